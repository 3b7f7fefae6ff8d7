//! Variable-length integers and strings: the alphabet of every binary record.

use crate::error::{Error, Result};

#[inline]
pub fn put_u64(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push((v as u8) | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Zigzag, so that small negative numbers stay small.
#[inline]
pub fn put_i64(out: &mut Vec<u8>, v: i64) {
    put_u64(out, ((v << 1) ^ (v >> 63)) as u64);
}

#[inline]
pub fn put_bytes(out: &mut Vec<u8>, b: &[u8]) {
    put_u64(out, b.len() as u64);
    out.extend_from_slice(b);
}

#[inline]
pub fn put_str(out: &mut Vec<u8>, s: &str) {
    put_bytes(out, s.as_bytes());
}

/// 0 for none, length + 1 otherwise: an empty string and no string differ.
#[inline]
pub fn put_opt_str(out: &mut Vec<u8>, s: Option<&str>) {
    match s {
        None => out.push(0),
        Some(s) => {
            put_u64(out, s.len() as u64 + 1);
            out.extend_from_slice(s.as_bytes());
        }
    }
}

/// Reads what the `put_` functions wrote; every step checks bounds, so a damaged record is an error and never a panic.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8> {
        let (&first, rest) = self.rest.split_first().ok_or_else(short)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline]
    pub fn u64(&mut self) -> Result<u64> {
        let mut v = 0u64;
        let mut shift = 0;
        loop {
            let b = self.u8()?;
            v |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(v);
            }
            shift += 7;
            if shift > 63 {
                return Err(Error::corrupt(0, "a number longer than 64 bits"));
            }
        }
    }

    #[inline]
    pub fn i64(&mut self) -> Result<i64> {
        let v = self.u64()?;
        Ok(((v >> 1) as i64) ^ -((v & 1) as i64))
    }

    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        if n > self.rest.len() {
            return Err(short());
        }
        let (head, rest) = self.rest.split_at(n);
        self.rest = rest;
        Ok(head)
    }

    /// Eight bytes as they are: hashes, which no variable length makes shorter.
    pub fn fixed_u64(&mut self) -> Result<u64> {
        let b = self.take(8)?;
        Ok(u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
    }

    pub fn f32(&mut self) -> Result<f32> {
        let b = self.take(4)?;
        Ok(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.u64()?;
        self.take(usize::try_from(n).map_err(|_| short())?)
    }

    #[inline]
    pub fn str(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::corrupt(0, "text that is not UTF-8"))
    }

    #[inline]
    pub fn opt_str(&mut self) -> Result<Option<&'a str>> {
        match self.u64()? {
            0 => Ok(None),
            n => {
                let n = usize::try_from(n - 1).map_err(|_| short())?;
                std::str::from_utf8(self.take(n)?).map(Some).map_err(|_| Error::corrupt(0, "text that is not UTF-8"))
            }
        }
    }
}

fn short() -> Error {
    Error::corrupt(0, "a record shorter than it says")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings_come_back() {
        let mut out = Vec::new();
        for v in [0, 1, 127, 128, u64::MAX] {
            put_u64(&mut out, v);
        }
        for v in [0, -1, 1, i64::MIN, i64::MAX] {
            put_i64(&mut out, v);
        }
        put_opt_str(&mut out, None);
        put_opt_str(&mut out, Some(""));
        put_str(&mut out, "é");
        let mut r = Reader::new(&out);
        for v in [0, 1, 127, 128, u64::MAX] {
            assert_eq!(r.u64().unwrap(), v);
        }
        for v in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(r.i64().unwrap(), v);
        }
        assert_eq!(r.opt_str().unwrap(), None);
        assert_eq!(r.opt_str().unwrap(), Some(""));
        assert_eq!(r.str().unwrap(), "é");
        assert!(r.is_empty());
        assert!(r.u8().is_err());
    }

    #[test]
    fn damage_is_an_error() {
        assert!(Reader::new(&[0xff; 11]).u64().is_err());
        assert!(Reader::new(&[5, b'a']).str().is_err());
        assert!(Reader::new(&[1, 0xff]).str().is_err());
    }
}
