//! Segment files: their names, their listing, their creation.
//!
//! Invariant: the name of a file is the offset of its first byte. Frames are not known here.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::Result;

/// One segment as callers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    pub base: u64,
    pub bytes: u64,
}

/// One segment as the log keeps it. The end of the active one, the last, is the durable offset.
#[derive(Debug, Clone)]
pub struct Segment {
    pub base: u64,
    pub end: u64,
    /// Found by a scan when retention by age first asks; a closed segment does not change.
    pub newest_received_ms: Option<u64>,
}

impl Segment {
    pub fn new(base: u64, end: u64) -> Segment {
        Segment { base, end, newest_received_ms: None }
    }
}

pub fn name(base: u64) -> String {
    format!("{base:020}.log")
}

pub fn path(dir: &Path, base: u64) -> PathBuf {
    dir.join(name(base))
}

/// The segments of a directory, oldest first, with their file lengths. Other files are none of our business.
pub fn list(dir: &Path) -> Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(digits) = file_name.to_str().and_then(|n| n.strip_suffix(".log")) else { continue };
        if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        if let Ok(base) = digits.parse::<u64>() {
            found.push(Segment::new(base, base.saturating_add(entry.metadata()?.len())));
        }
    }
    found.sort_by_key(|s| s.base);
    Ok(found)
}

/// Makes the file and its name durable. A file left by an interrupted attempt is taken over empty.
pub fn create(dir: &Path, base: u64) -> Result<File> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path(dir, base))?;
    sync_dir(dir)?;
    Ok(file)
}

pub fn open_write(dir: &Path, base: u64) -> Result<File> {
    Ok(OpenOptions::new().write(true).open(path(dir, base))?)
}

pub fn read_all(dir: &Path, base: u64, bytes: u64) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    File::open(path(dir, base))?.take(bytes).read_to_end(&mut out)?;
    Ok(out)
}

pub fn sync_dir(dir: &Path) -> Result<()> {
    Ok(File::open(dir)?.sync_all()?)
}
