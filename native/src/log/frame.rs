//! The frame, the unit of the log. Little-endian:
//!
//! ```text
//! len u32 | crc32c u32 | kind u8 | flags u8 | partition u16 | key_hash u64 | received_ms u64 | body
//! ```
//!
//! `crc32c` covers everything after itself; `len` counts the bytes that it covers, so a frame takes `8 + len`. `flags`
//! is 0 today and has room for sealing. Kind 0 is the marker at the head of a group: `partition` is the version of the
//! format (1), the body is the marker's own offset u64 and the length of the group u64, itself included.
//!
//! Invariant: a frame is handed out only if its checksum holds. What a kind means is not known here.

use crate::error::{Error, Result};

pub const HEADER_BYTES: usize = 28;
/// Limits that make a random header implausible; they keep the search for the next frame after damage fast.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
pub const KIND_MAX: u8 = 63;
pub const FLAGS_MAX: u8 = 15;

pub(super) const MARKER_BYTES: usize = HEADER_BYTES + 16;
const MARKER: u8 = 0;
const FORMAT: u16 = 1;
/// `len` and `crc32c`, which the checksum does not cover.
const PREFIX_BYTES: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// 1 to `KIND_MAX`.
    pub kind: u8,
    /// At most `FLAGS_MAX`.
    pub flags: u8,
    pub partition: u16,
    pub key_hash: u64,
    pub received_ms: u64,
}

/// Encodes one frame. What breaks the limits above is refused by `Log::append`.
pub fn push_frame(out: &mut Vec<u8>, h: &FrameHeader, body: &[u8]) {
    let start = out.len();
    let covered = HEADER_BYTES - PREFIX_BYTES + body.len();
    out.reserve(PREFIX_BYTES + covered);
    out.extend_from_slice(&u32::try_from(covered).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.push(h.kind);
    out.push(h.flags);
    out.extend_from_slice(&h.partition.to_le_bytes());
    out.extend_from_slice(&h.key_hash.to_le_bytes());
    out.extend_from_slice(&h.received_ms.to_le_bytes());
    out.extend_from_slice(body);
    let crc = crc32c::crc32c(&out[start + PREFIX_BYTES..]);
    out[start + 4..start + PREFIX_BYTES].copy_from_slice(&crc.to_le_bytes());
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub offset: u64,
    /// Offset of the byte after the frame: where a reader that has taken it goes on.
    pub end: u64,
    pub header: FrameHeader,
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, which lie at `offset` of the log.
    pub(super) fn parse(bytes: &'a [u8], offset: u64) -> Result<Frame<'a>> {
        let size = whole(bytes).map_err(|why| Error::corrupt(offset, why))?;
        Ok(Frame {
            offset,
            end: offset.saturating_add(size as u64),
            header: FrameHeader {
                kind: bytes[8],
                flags: bytes[9],
                partition: u16::from_le_bytes([bytes[10], bytes[11]]),
                key_hash: u64_at(bytes, 12),
                received_ms: u64_at(bytes, 20),
            },
            body: &bytes[HEADER_BYTES..size],
        })
    }

    pub(super) fn is_marker(&self) -> bool {
        self.header.kind == MARKER
    }

    /// End of the group that this marker heads; none for other frames and for a marker that lies elsewhere than it says.
    pub(super) fn group_end(&self) -> Option<u64> {
        let here = self.is_marker() && self.body.len() == 16 && u64_at(self.body, 0) == self.offset;
        here.then(|| self.offset.saturating_add(u64_at(self.body, 8)))
    }
}

/// The frames of a piece of the log, markers left out. The first error ends it.
pub struct FrameIter<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> FrameIter<'a> {
    /// `bytes` begin at `offset` with the start of a frame, as `Log::read` returns them.
    pub fn new(bytes: &'a [u8], offset: u64) -> Self {
        FrameIter { rest: bytes, offset }
    }
}

impl<'a> Iterator for FrameIter<'a> {
    type Item = Result<Frame<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match Frame::parse(self.rest, self.offset) {
                Ok(frame) => {
                    self.rest = &self.rest[(frame.end - frame.offset) as usize..];
                    self.offset = frame.end;
                    if !frame.is_marker() {
                        return Some(Ok(frame));
                    }
                }
                Err(e) => {
                    self.rest = &[];
                    return Some(Err(e));
                }
            }
        }
        None
    }
}

/// Size that the header states, if it is one that the log would have written. The checksum is not looked at.
pub(super) fn stated_size(bytes: &[u8]) -> std::result::Result<usize, &'static str> {
    if bytes.len() < HEADER_BYTES {
        return Err("an incomplete frame header");
    }
    let size = PREFIX_BYTES + u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if !(HEADER_BYTES..=FRAME_BYTES_MAX).contains(&size) || bytes[8] > KIND_MAX || bytes[9] > FLAGS_MAX {
        return Err("not a frame header");
    }
    Ok(size)
}

/// Size of the valid frame at the start of `bytes`, or why there is none.
pub(super) fn whole(bytes: &[u8]) -> std::result::Result<usize, &'static str> {
    let size = stated_size(bytes)?;
    if size > bytes.len() {
        return Err("an incomplete frame");
    }
    let crc = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    if crc32c::crc32c(&bytes[PREFIX_BYTES..size]) != crc {
        return Err("a frame whose checksum does not hold");
    }
    Ok(size)
}

/// Checks that `bytes` are whole frames that may be appended. Lengths and limits only: their maker summed them.
pub(super) fn check_batch(bytes: &[u8]) -> Result<()> {
    let mut at = 0;
    while at < bytes.len() {
        let size = stated_size(&bytes[at..]).map_err(|why| Error::invalid("bad_frame", "", why))?;
        if size > bytes.len() - at {
            return Err(Error::invalid("bad_frame", "", "an incomplete frame"));
        }
        if bytes[at + 8] == MARKER {
            return Err(Error::invalid("bad_frame", "kind", "kind 0 belongs to the log"));
        }
        at += size;
    }
    Ok(())
}

/// Opens a group at `offset`; its length is not known yet.
pub(super) fn push_marker(out: &mut Vec<u8>, offset: u64, length: u64) {
    let mut body = [0u8; 16];
    body[..8].copy_from_slice(&offset.to_le_bytes());
    body[8..].copy_from_slice(&length.to_le_bytes());
    let h = FrameHeader { kind: MARKER, flags: 0, partition: FORMAT, key_hash: 0, received_ms: 0 };
    push_frame(out, &h, &body);
}

/// Writes the final length into the marker at the head of the group.
pub(super) fn seal_group(group: &mut [u8], offset: u64) {
    let mut marker = Vec::with_capacity(MARKER_BYTES);
    push_marker(&mut marker, offset, group.len() as u64);
    group[..MARKER_BYTES].copy_from_slice(&marker);
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0u8; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: FrameHeader =
        FrameHeader { kind: 1, flags: 2, partition: 0x0304, key_hash: 0x0102030405060708, received_ms: 9 };

    #[test]
    fn the_layout_is_the_documented_one() {
        let mut out = Vec::new();
        push_frame(&mut out, &H, b"ab");
        assert_eq!(out.len(), 30);
        assert_eq!(out[..4], [22, 0, 0, 0]);
        assert_eq!(out[4..8], crc32c::crc32c(&out[8..]).to_le_bytes());
        assert_eq!(
            out[8..],
            [1, 2, 4, 3, 8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0, b'a', b'b'],
            "kind, flags, partition, key_hash, received_ms, body"
        );
    }

    #[test]
    fn frames_come_back_with_their_offsets_and_markers_stay_inside() {
        let mut out = Vec::new();
        push_marker(&mut out, 100, 0);
        push_frame(&mut out, &H, b"ab");
        push_frame(&mut out, &H, b"");
        seal_group(&mut out, 100);
        let frames: Vec<_> = FrameIter::new(&out, 100).map(|f| f.unwrap()).collect();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].offset, frames[0].end, frames[0].body), (144, 174, &b"ab"[..]));
        assert_eq!((frames[1].offset, frames[1].end, frames[1].header), (174, 202, H));
        assert_eq!(Frame::parse(&out, 100).unwrap().group_end(), Some(202));
        assert_eq!(Frame::parse(&out, 101).unwrap().group_end(), None, "a marker that lies elsewhere than it says");
    }

    #[test]
    fn every_flipped_bit_and_every_missing_byte_is_noticed() {
        let mut out = Vec::new();
        push_frame(&mut out, &H, b"abcdef");
        for bit in 0..out.len() * 8 {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameIter::new(&bad, 0).next().unwrap().is_err(), "bit {bit}");
        }
        for cut in 1..out.len() {
            assert!(FrameIter::new(&out[..cut], 0).next().unwrap().is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_batch_that_the_log_could_not_read_back_is_refused() {
        let refused = |bytes: &[u8]| check_batch(bytes).unwrap_err().code();
        let mut marker = Vec::new();
        push_marker(&mut marker, 0, 44);
        assert_eq!(refused(&marker), "bad_frame");
        let mut kind = Vec::new();
        push_frame(&mut kind, &FrameHeader { kind: 64, ..H }, b"");
        assert_eq!(refused(&kind), "bad_frame");
        let mut large = Vec::new();
        push_frame(&mut large, &H, &vec![0; FRAME_BYTES_MAX]);
        assert_eq!(refused(&large), "bad_frame");
        let mut good = Vec::new();
        push_frame(&mut good, &H, b"x");
        assert_eq!(check_batch(&good), Ok(()));
        assert_eq!(refused(&good[..good.len() - 1]), "bad_frame");
    }
}
