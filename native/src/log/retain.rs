//! Retention: old segments go whole, oldest first.
//!
//! Invariant: what is left is one piece; the active segment and everything from `keep_from` on stays. What time it is and
//! which offsets are still needed are the caller's to say.

use std::fs;

use super::scan::scan;
use super::segment::{self, Segment};
use super::store::{write_locked, Log};
use crate::error::{Error, Result};

impl Log {
    /// Removes segments while the log is larger than `max_bytes`, or while everything in the oldest was received before
    /// `older_than_ms`. Returns the bytes removed.
    pub fn retain(&self, max_bytes: Option<u64>, older_than_ms: Option<u64>, keep_from: u64) -> Result<u64> {
        if self.shared.read_only {
            return Err(Error::Io { code: "disk_read_only", message: "the log is open for reading only".to_owned() });
        }
        let mut size = self.size_bytes();
        let mut removed = 0;
        let mut closed = self.measured();
        closed.pop();
        for oldest in &closed {
            if oldest.end > keep_from {
                break;
            }
            let too_large = max_bytes.is_some_and(|max| size > max);
            if !too_large && !self.all_before(oldest, older_than_ms)? {
                break;
            }
            // One at a time and synced: a power cut must not bring an older segment back without its successor.
            fs::remove_file(segment::path(&self.shared.dir, oldest.base))?;
            write_locked(&self.shared.segments).retain(|s| s.base != oldest.base);
            segment::sync_dir(&self.shared.dir)?;
            size -= oldest.end - oldest.base;
            removed += oldest.end - oldest.base;
        }
        Ok(removed)
    }

    fn all_before(&self, segment: &Segment, older_than_ms: Option<u64>) -> Result<bool> {
        let Some(limit) = older_than_ms else { return Ok(false) };
        let newest = match segment.newest_received_ms {
            Some(newest) => newest,
            None => {
                let bytes = segment::read_all(&self.shared.dir, segment.base, segment.end - segment.base)?;
                let newest = scan(&bytes, segment.base).newest_received_ms;
                let mut segments = write_locked(&self.shared.segments);
                if let Some(s) = segments.iter_mut().find(|s| s.base == segment.base) {
                    s.newest_received_ms = Some(newest);
                }
                newest
            }
        };
        Ok(newest < limit)
    }
}
