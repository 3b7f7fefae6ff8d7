//! The three file operations of the commit path, as a trait so that tests can make them fail, and the recorder.
//!
//! Invariant: `write` is called once per group, with all of its bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

pub trait Disk: Send + Sync {
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }
}

/// The operating system's files, unchanged.
pub struct OsDisk;

impl Disk for OsDisk {}

/// Knows what a power cut would leave: a line `name length` for each file that was synced to that length. The last line
/// of a name counts; a file without a line may be lost whole.
pub struct Recorder {
    file: Option<File>,
}

impl Recorder {
    pub fn open(path: Option<&Path>) -> io::Result<Recorder> {
        let file = path.map(|p| OpenOptions::new().create(true).append(true).open(p)).transpose()?;
        Ok(Recorder { file })
    }

    pub fn synced(&mut self, name: &str, len: u64) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(format!("{name} {len}\n").as_bytes()),
            None => Ok(()),
        }
    }
}
