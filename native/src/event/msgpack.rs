//! A msgpack reader that borrows, and its way back to JSON text for the dead letters.
//!
//! Lengths in the body are claims: nothing is allocated for them, and every byte is taken under a bounds check.

use super::syntax::{Broken, Open, Read, Shape, Syntax, Value, DEPTH_MAX};
use rmp::Marker;
use std::borrow::Cow;
use std::io::Write;

pub struct Msgpack<'a> {
    bytes: &'a [u8],
    pos: usize,
}

/// A value with the inside of its containers still to be read.
enum Token<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    F32(f32),
    F64(f64),
    Str(&'a [u8]),
    Bin(&'a [u8]),
    Ext,
    Array(u32),
    Map(u32),
}

impl<'a> Msgpack<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Msgpack { bytes, pos: 0 }
    }

    #[inline]
    fn take(&mut self, n: usize) -> Read<&'a [u8]> {
        let rest = &self.bytes[self.pos..];
        if n > rest.len() {
            return Err(Broken { at: self.pos, what: "the body ends inside a value" });
        }
        self.pos += n;
        Ok(&rest[..n])
    }

    #[inline]
    fn number<const N: usize>(&mut self) -> Read<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    #[inline]
    fn len8(&mut self) -> Read<usize> {
        Ok(usize::from(self.take(1)?[0]))
    }

    #[inline]
    fn len16(&mut self) -> Read<u32> {
        Ok(u32::from(u16::from_be_bytes(self.number()?)))
    }

    #[inline]
    fn len32(&mut self) -> Read<u32> {
        Ok(u32::from_be_bytes(self.number()?))
    }

    fn ext(&mut self, len: usize) -> Read<Token<'a>> {
        self.take(1)?;
        self.take(len).map(|_| Token::Ext)
    }

    #[inline(always)]
    fn token(&mut self) -> Read<Token<'a>> {
        let marker = Marker::from_u8(self.take(1)?[0]);
        Ok(match marker {
            Marker::Null => Token::Nil,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::FixPos(v) => Token::Int(i64::from(v)),
            Marker::FixNeg(v) => Token::Int(i64::from(v)),
            Marker::U8 => Token::Int(i64::from(u8::from_be_bytes(self.number()?))),
            Marker::U16 => Token::Int(i64::from(u16::from_be_bytes(self.number()?))),
            Marker::U32 => Token::Int(i64::from(u32::from_be_bytes(self.number()?))),
            Marker::U64 => {
                let v = u64::from_be_bytes(self.number()?);
                i64::try_from(v).map_or(Token::Uint(v), Token::Int)
            }
            Marker::I8 => Token::Int(i64::from(i8::from_be_bytes(self.number()?))),
            Marker::I16 => Token::Int(i64::from(i16::from_be_bytes(self.number()?))),
            Marker::I32 => Token::Int(i64::from(i32::from_be_bytes(self.number()?))),
            Marker::I64 => Token::Int(i64::from_be_bytes(self.number()?)),
            Marker::F32 => Token::F32(f32::from_be_bytes(self.number()?)),
            Marker::F64 => Token::F64(f64::from_be_bytes(self.number()?)),
            _ => return self.sized(marker),
        })
    }

    #[inline(always)]
    fn sized(&mut self, marker: Marker) -> Read<Token<'a>> {
        match marker {
            Marker::FixStr(n) => self.take(usize::from(n)).map(Token::Str),
            Marker::Str8 => self.len8().and_then(|n| self.take(n)).map(Token::Str),
            Marker::Str16 => self.len16().and_then(|n| self.take(n as usize)).map(Token::Str),
            Marker::Str32 => self.len32().and_then(|n| self.take(n as usize)).map(Token::Str),
            Marker::Bin8 => self.len8().and_then(|n| self.take(n)).map(Token::Bin),
            Marker::Bin16 => self.len16().and_then(|n| self.take(n as usize)).map(Token::Bin),
            Marker::Bin32 => self.len32().and_then(|n| self.take(n as usize)).map(Token::Bin),
            Marker::FixArray(n) => Ok(Token::Array(u32::from(n))),
            Marker::Array16 => self.len16().map(Token::Array),
            Marker::Array32 => self.len32().map(Token::Array),
            Marker::FixMap(n) => Ok(Token::Map(u32::from(n))),
            Marker::Map16 => self.len16().map(Token::Map),
            Marker::Map32 => self.len32().map(Token::Map),
            Marker::FixExt1 => self.ext(1),
            Marker::FixExt2 => self.ext(2),
            Marker::FixExt4 => self.ext(4),
            Marker::FixExt8 => self.ext(8),
            Marker::FixExt16 => self.ext(16),
            Marker::Ext8 => self.len8().and_then(|n| self.ext(n)),
            Marker::Ext16 => self.len16().and_then(|n| self.ext(n as usize)),
            Marker::Ext32 => self.len32().and_then(|n| self.ext(n as usize)),
            _ => Err(Broken { at: self.pos - 1, what: "a byte that msgpack does not use" }),
        }
    }

    /// Skips the inside of a container whose head was read.
    fn skip_members(&mut self, token: &Token<'_>, depth: usize) -> Read<()> {
        let members = match token {
            Token::Array(n) => u64::from(*n),
            Token::Map(n) => u64::from(*n) * 2,
            _ => return Ok(()),
        };
        if depth == DEPTH_MAX {
            return Err(Broken { at: self.pos, what: "nested too deeply" });
        }
        for _ in 0..members {
            let inner = self.token()?;
            self.skip_members(&inner, depth + 1)?;
        }
        Ok(())
    }

    /// Writes the next value as JSON. What JSON cannot say becomes null, bytes become hex.
    fn write_json(&mut self, out: &mut Vec<u8>) -> Read<()> {
        match self.token()? {
            Token::Nil | Token::Ext => out.extend_from_slice(b"null"),
            Token::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
            Token::Int(v) => out.extend_from_slice(v.to_string().as_bytes()),
            Token::Uint(v) => out.extend_from_slice(v.to_string().as_bytes()),
            Token::F32(v) => out.extend_from_slice(json_f32(v).as_deref().unwrap_or("null").as_bytes()),
            Token::F64(v) => out.extend_from_slice(json_f64(v).as_deref().unwrap_or("null").as_bytes()),
            Token::Str(s) => write_text(out, &String::from_utf8_lossy(s)),
            Token::Bin(b) => write_hex(out, b),
            Token::Array(n) => {
                out.push(b'[');
                for i in 0..n {
                    if i > 0 {
                        out.push(b',');
                    }
                    self.write_json(out)?;
                }
                out.push(b']');
            }
            Token::Map(n) => {
                out.push(b'{');
                for i in 0..n {
                    if i > 0 {
                        out.push(b',');
                    }
                    self.write_key(out)?;
                    out.push(b':');
                    self.write_json(out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }

    fn write_key(&mut self, out: &mut Vec<u8>) -> Read<()> {
        let from = out.len();
        self.write_json(out)?;
        if out.get(from) != Some(&b'"') {
            let text = String::from_utf8_lossy(&out.split_off(from)).into_owned();
            write_text(out, &text);
        }
        Ok(())
    }
}

fn json_f32(v: f32) -> Option<String> {
    v.is_finite().then(|| serde_json::to_string(&v).ok()).flatten()
}

fn json_f64(v: f64) -> Option<String> {
    v.is_finite().then(|| serde_json::to_string(&v).ok()).flatten()
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    // Writing a string to a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for b in bytes {
        let _ = write!(out, "{b:02x}");
    }
    out.push(b'"');
}

impl<'a> Syntax<'a> for Msgpack<'a> {
    #[inline]
    fn shape(&mut self) -> Read<Shape> {
        Ok(match self.bytes.get(self.pos).map(|b| Marker::from_u8(*b)) {
            Some(Marker::FixMap(_) | Marker::Map16 | Marker::Map32) => Shape::Object,
            Some(Marker::FixArray(_) | Marker::Array16 | Marker::Array32) => Shape::Array,
            _ => Shape::Scalar,
        })
    }

    fn open(&mut self) -> Read<Open> {
        match self.token()? {
            Token::Array(left) | Token::Map(left) => Ok(Open { left, first: true }),
            _ => Err(Broken { at: self.pos, what: "expected a container" }),
        }
    }

    #[inline(always)]
    fn key(&mut self, open: &mut Open) -> Read<Option<Value<'a>>> {
        if self.element(open)? {
            return self.value().map(Some);
        }
        Ok(None)
    }

    #[inline]
    fn element(&mut self, open: &mut Open) -> Read<bool> {
        let more = open.left > 0;
        open.left -= u32::from(more);
        Ok(more)
    }

    #[inline(always)]
    fn value(&mut self) -> Read<Value<'a>> {
        let token = self.token()?;
        Ok(match token {
            Token::Nil => Value::Null,
            Token::Bool(b) => Value::Bool(b),
            Token::Int(v) => Value::Int(v),
            Token::Uint(v) => Value::Number(Cow::Owned(v.to_string())),
            Token::F32(v) => json_f32(v).map_or(Value::Other, |s| Value::Number(Cow::Owned(s))),
            Token::F64(v) => json_f64(v).map_or(Value::Other, |s| Value::Number(Cow::Owned(s))),
            Token::Str(s) => match std::str::from_utf8(s) {
                Ok(s) => Value::Text(Cow::Borrowed(s)),
                Err(_) => Value::BadText,
            },
            Token::Bin(_) | Token::Ext => Value::Other,
            Token::Array(_) | Token::Map(_) => {
                self.skip_members(&token, 0)?;
                Value::Other
            }
        })
    }

    fn skip(&mut self) -> Read<()> {
        self.value().map(|_| ())
    }

    fn at(&mut self) -> usize {
        self.pos
    }

    fn seek(&mut self, at: usize) {
        self.pos = at;
    }

    fn end(&mut self) -> Read<()> {
        if self.pos < self.bytes.len() {
            return Err(Broken { at: self.pos, what: "something after the value" });
        }
        Ok(())
    }

    fn json(&self, from: usize, to: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity((to - from) * 2);
        // The range was walked before, so it is readable and its depth is bounded.
        let _ = Msgpack { bytes: &self.bytes[..to], pos: from }.write_json(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(bytes: &[u8]) -> String {
        let mut reader = Msgpack::new(bytes);
        let from = reader.at();
        reader.skip().unwrap();
        let to = reader.at();
        String::from_utf8(reader.json(from, to)).unwrap()
    }

    #[test]
    fn every_kind_of_value_becomes_json() {
        for (bytes, json) in [
            (&[0x93, 0xc0, 0xc2, 0xc3][..], "[null,false,true]"),
            (&[0x94, 0x07, 0xff, 0xcc, 0xff, 0xcd, 0x01, 0x00], "[7,-1,255,256]"),
            (&[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "18446744073709551615"),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808"),
            (&[0xcb, 0x40, 0x23, 0, 0, 0, 0, 0, 0], "9.5"),
            (&[0xca, 0x3f, 0x8c, 0xcc, 0xcd], "1.1"),
            (&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], "null"),
            (&[0xc4, 0x02, 0xab, 0x01], "\"ab01\""),
            (&[0xd4, 0x01, 0x00], "null"),
            (&[0xc7, 0x01, 0x05, 0x00], "null"),
            (&[0x82, 0xa1, b'"', 0x01, 0x02, 0xa0], "{\"\\\"\":1,\"2\":\"\"}"),
            (&[0xa2, 0xff, b'a'], "\"\u{fffd}a\""),
        ] {
            assert_eq!(json_of(bytes), json);
        }
    }

    #[test]
    fn a_length_that_lies_is_refused_without_an_allocation() {
        for bytes in
            [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &[0xdf, 0xff, 0xff, 0xff, 0xff, 0x01], &[0xdb, 0x7f, 0, 0, 0, 1]]
        {
            assert_eq!(Msgpack::new(bytes).skip().unwrap_err().what, "the body ends inside a value");
        }
        assert_eq!(Msgpack::new(&[0xc1]).skip(), Err(Broken { at: 0, what: "a byte that msgpack does not use" }));
        assert_eq!(Msgpack::new(&[0x91; 1_000_000]).skip().unwrap_err().what, "nested too deeply");
    }
}
