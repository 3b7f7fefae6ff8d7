//! The system calls that the standard library lacks: an eventfd, a file lock, a reservation of space.
//!
//! Invariant: every descriptor is owned by exactly one `File`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

/// Wakes an event loop in the same process: readable after a signal, until drained.
pub struct Wake {
    file: File,
}

impl Wake {
    pub fn new() -> io::Result<Wake> {
        // SAFETY: takes no pointers; the result is checked before use.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and has no other owner.
        Ok(Wake { file: unsafe { File::from_raw_fd(fd) } })
    }

    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// A full counter refuses, and then the reader is awake anyway.
    pub fn signal(&self) {
        let _ = (&self.file).write(&1u64.to_ne_bytes());
    }

    /// Signals since the last call.
    pub fn drain(&self) -> u64 {
        let mut count = [0u8; 8];
        match (&self.file).read(&mut count) {
            Ok(8) => u64::from_ne_bytes(count),
            _ => 0,
        }
    }
}

/// False when another process or another opening of the file holds the lock. It ends with the file.
pub fn lock_exclusive(file: &File) -> io::Result<bool> {
    // SAFETY: takes no pointers; the descriptor is open for the length of the call.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    let e = io::Error::last_os_error();
    if e.raw_os_error() == Some(libc::EWOULDBLOCK) {
        return Ok(false);
    }
    Err(e)
}

/// Takes `bytes` of space for the file without changing its length. A file system that cannot is not an error.
pub fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX);
    // SAFETY: takes no pointers; the descriptor is open for the length of the call.
    if unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, bytes) } == 0 {
        return Ok(());
    }
    let e = io::Error::last_os_error();
    match e.raw_os_error() {
        Some(libc::EOPNOTSUPP) | Some(libc::ENOSYS) => Ok(()),
        _ => Err(e),
    }
}
