//! A lower bound of the synced length, in the file `synced`: offset u64, crc32c u32. The same file is the writer's lock.
//!
//! It is written after each sync and itself synced only at close. It cannot run ahead of the log: it is written after
//! the bytes that it counts are on the disk. When it is lost or torn the markers in the log must do.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::sys::lock_exclusive;
use crate::error::{Error, Result};

pub const FILE: &str = "synced";
pub const BYTES: u64 = 12;

pub struct Synced {
    file: File,
}

impl Synced {
    /// Takes the writer's lock.
    pub fn lock(dir: &Path) -> Result<Synced> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(dir.join(FILE))?;
        if !lock_exclusive(&file)? {
            return Err(Error::Io { code: "log_locked", message: "another writer has this log open".to_owned() });
        }
        Ok(Synced { file })
    }

    /// None when there is no bound or it cannot be trusted.
    pub fn load(dir: &Path) -> Option<u64> {
        let bytes = fs::read(dir.join(FILE)).ok()?;
        let (offset, crc) = bytes.get(..BYTES as usize)?.split_at(8);
        if crc32c::crc32c(offset).to_le_bytes() != crc {
            return None;
        }
        Some(u64::from_le_bytes(offset.try_into().ok()?))
    }

    pub fn store(&self, offset: u64) -> Result<()> {
        let mut bytes = [0u8; BYTES as usize];
        bytes[..8].copy_from_slice(&offset.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..8]);
        bytes[8..].copy_from_slice(&crc.to_le_bytes());
        Ok(self.file.write_all_at(&bytes, 0)?)
    }

    pub fn sync(&self) -> Result<()> {
        Ok(self.file.sync_all()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_comes_back_and_a_torn_one_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Synced::load(dir.path()), None);
        let synced = Synced::lock(dir.path()).unwrap();
        assert_eq!(Synced::load(dir.path()), None);
        synced.store(77).unwrap();
        assert_eq!(Synced::load(dir.path()), Some(77));
        assert_eq!(Synced::lock(dir.path()).err().unwrap().code(), "log_locked");
        let mut bytes = fs::read(dir.path().join(FILE)).unwrap();
        bytes[0] ^= 1;
        fs::write(dir.path().join(FILE), &bytes).unwrap();
        assert_eq!(Synced::load(dir.path()), None);
        fs::write(dir.path().join(FILE), &bytes[..11]).unwrap();
        assert_eq!(Synced::load(dir.path()), None);
    }
}
