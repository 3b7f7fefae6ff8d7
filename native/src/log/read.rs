//! Readers: streaming pieces of whole frames beside the writer, and the check of everything.
//!
//! Invariant: only durable bytes whose checksums hold are handed out. Readers hold no lock while they read.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};

use super::frame::{stated_size, whole, HEADER_BYTES};
use super::recover::Damage;
use super::scan::scan;
use super::segment::{self, Segment, SegmentInfo};
use super::store::{read_locked, Log};
use crate::error::{Error, Result};

/// What a full check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    pub bytes: u64,
    pub frames: u64,
    /// Every damaged range that is not a known gap, oldest first.
    pub damaged: Vec<Damage>,
}

impl Log {
    /// Whole frames from `from`, at most `max_bytes` of them unless the first alone is larger, and the offset to go on at.
    /// An empty piece with a greater offset steps over a gap; with `from` itself, everything durable was read.
    /// Errors: `offset_gone` (retention), `offset_beyond_end`, `log_corrupt` at the first frame that is damaged.
    pub fn read(&self, from: u64, max_bytes: usize) -> Result<(Vec<u8>, u64)> {
        let durable = self.durable();
        if from < self.start() {
            return Err(gone(from));
        }
        if from > durable {
            let message = format!("offset {from} is beyond the durable end {durable}");
            return Err(Error::invalid("offset_beyond_end", "from", message));
        }
        if from == durable {
            return Ok((Vec::new(), from));
        }
        let next_gap = {
            let gaps = read_locked(&self.shared.gaps);
            if let Some(end) = gaps.end_at(from) {
                return Ok((Vec::new(), end.min(durable)));
            }
            gaps.next_after(from).unwrap_or(u64::MAX)
        };
        let Some(segment) = self.segment_of(from, durable) else { return Err(gone(from)) };
        let limit = segment.end.min(next_gap);
        if from >= limit {
            return Err(Error::corrupt(from, "bytes between two segments are missing"));
        }
        let bytes = self.read_frames(&segment, from, limit, max_bytes)?;
        let next = from.saturating_add(bytes.len() as u64);
        Ok((bytes, next))
    }

    fn segment_of(&self, offset: u64, durable: u64) -> Option<Segment> {
        let segments = read_locked(&self.shared.segments);
        let after = segments.partition_point(|s| s.base <= offset);
        let mut found = segments.get(after.checked_sub(1)?)?.clone();
        if after == segments.len() {
            found.end = durable;
        }
        Some(found)
    }

    fn read_frames(&self, segment: &Segment, from: u64, limit: u64, max_bytes: usize) -> Result<Vec<u8>> {
        let mut file = match File::open(segment::path(&self.shared.dir, segment.base)) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(gone(from)),
            Err(e) => return Err(e.into()),
        };
        let left = limit - from;
        let mut bytes = read_at(&mut file, from - segment.base, left.min(max_bytes.max(HEADER_BYTES) as u64))?;
        if let Ok(size) = stated_size(&bytes) {
            if size > bytes.len() && size as u64 <= left {
                bytes = read_at(&mut file, from - segment.base, size as u64)?;
            }
        }
        let mut taken = 0;
        loop {
            match whole(&bytes[taken..]) {
                Ok(size) => taken += size,
                Err(why) if taken == 0 => return Err(Error::corrupt(from, why)),
                // The end of the piece, or damage that the next read begins at and reports.
                Err(_) => break,
            }
        }
        bytes.truncate(taken);
        Ok(bytes)
    }

    /// Oldest first; the last one is active.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.measured().iter().map(|s| SegmentInfo { base: s.base, bytes: s.end - s.base }).collect()
    }

    /// Durable bytes that are kept.
    pub fn size_bytes(&self) -> u64 {
        self.measured().iter().map(|s| s.end - s.base).sum()
    }

    pub(super) fn measured(&self) -> Vec<Segment> {
        let mut segments = read_locked(&self.shared.segments).clone();
        if let Some(last) = segments.last_mut() {
            last.end = self.durable().max(last.base);
        }
        segments
    }

    /// Reads everything durable and reports every damaged place. Segments that retention removes meanwhile are left out.
    pub fn verify(&self) -> Result<Verified> {
        let mut out = Verified::default();
        for s in self.measured() {
            let bytes = match segment::read_all(&self.shared.dir, s.base, s.end - s.base) {
                Ok(bytes) => bytes,
                Err(_) if s.base < self.start() => continue,
                Err(e) => return Err(e),
            };
            let found = scan(&bytes, s.base);
            out.bytes += bytes.len() as u64;
            out.frames += found.frames;
            let gaps = read_locked(&self.shared.gaps);
            let new = found.holes.into_iter().filter(|h| !gaps.covers(h.from, h.to));
            out.damaged.extend(new.map(|h| Damage { from: h.from, to: h.to, why: h.why }));
            let end = s.base + bytes.len() as u64;
            if end < s.end {
                out.damaged.push(Damage { from: end, to: s.end, why: "the segment is shorter than it was" });
            }
        }
        Ok(out)
    }
}

fn read_at(file: &mut File, at: u64, len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    file.seek(SeekFrom::Start(at))?;
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn gone(from: u64) -> Error {
    Error::invalid("offset_gone", "from", format!("offset {from} was removed by retention"))
}
