//! Ranges of offsets that hold no frames, as the file `gaps`: damage that was accepted, and offsets handed out for frames
//! that a failed disk lost. Most logs never have one.
//!
//! Invariant: sorted, not empty, not touching. Why a range is a gap is not known here.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::segment::sync_dir;
use crate::error::{Error, Result};

pub const FILE: &str = "gaps";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    ranges: Vec<(u64, u64)>,
}

impl Gaps {
    pub fn load(dir: &Path) -> Result<Gaps> {
        let text = match fs::read_to_string(dir.join(FILE)) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Gaps::default()),
            Err(e) => return Err(e.into()),
        };
        let mut gaps = Gaps::default();
        for line in text.lines() {
            let range = line.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            let (from, to) = range.ok_or_else(|| Error::corrupt(0, "the file of gaps cannot be read"))?;
            gaps.add(from, to);
        }
        Ok(gaps)
    }

    /// Replaces the file whole, durably; returns its length.
    pub fn store(&self, dir: &Path) -> Result<u64> {
        let text: String = self.ranges.iter().map(|(from, to)| format!("{from} {to}\n")).collect();
        let fresh = dir.join("gaps.new");
        let mut file = File::create(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, dir.join(FILE))?;
        sync_dir(dir)?;
        Ok(text.len() as u64)
    }

    pub fn add(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        self.ranges.push((from, to));
        self.ranges.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(self.ranges.len());
        for &(from, to) in &self.ranges {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        self.ranges = merged;
    }

    pub fn covers(&self, from: u64, to: u64) -> bool {
        self.ranges.iter().any(|r| r.0 <= from && to <= r.1)
    }

    /// End of the gap that `offset` lies in.
    pub fn end_at(&self, offset: u64) -> Option<u64> {
        self.ranges.iter().find(|r| r.0 <= offset && offset < r.1).map(|r| r.1)
    }

    /// Start of the first gap after `offset`.
    pub fn next_after(&self, offset: u64) -> Option<u64> {
        self.ranges.iter().find(|r| r.0 > offset).map(|r| r.0)
    }

    pub fn last_end(&self) -> u64 {
        self.ranges.last().map_or(0, |r| r.1)
    }

    pub fn forget_before(&mut self, start: u64) {
        self.ranges.retain(|r| r.1 > start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Gaps::load(dir.path()).unwrap(), Gaps::default());
        let mut gaps = Gaps::default();
        gaps.add(50, 60);
        gaps.add(10, 20);
        gaps.add(20, 30);
        gaps.add(5, 5);
        assert_eq!(gaps.ranges, [(10, 30), (50, 60)]);
        assert_eq!(gaps.store(dir.path()).unwrap(), 12);
        assert_eq!(Gaps::load(dir.path()).unwrap(), gaps);
        assert!(gaps.covers(10, 30) && !gaps.covers(10, 31) && !gaps.covers(29, 51));
        assert_eq!(
            (gaps.end_at(29), gaps.end_at(30), gaps.next_after(10), gaps.last_end()),
            (Some(30), None, Some(50), 60)
        );
        gaps.forget_before(30);
        assert_eq!(gaps.ranges, [(50, 60)]);
        fs::write(dir.path().join(FILE), "10 x\n").unwrap();
        assert_eq!(Gaps::load(dir.path()).unwrap_err().code(), "log_corrupt");
    }
}
