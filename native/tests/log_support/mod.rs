//! What the tests of the log share: frames with known bodies, reading everything back, disks that count and fail.
#![allow(dead_code)]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use _native::error::Result;
use _native::log::{push_frame, Disk, FrameHeader, FrameIter, Log, LogOptions};

pub const LONG: Duration = Duration::from_secs(60);
/// Size of a frame around a body, and of a marker with its body.
pub const FRAME: u64 = 28;
pub const MARKER: u64 = 44;

pub fn frame(received_ms: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let h = FrameHeader { kind: 1, flags: 0, partition: 7, key_hash: 42, received_ms };
    push_frame(&mut out, &h, body);
    out
}

/// One group: appended and waited for.
pub fn commit(log: &Log, bodies: &[&str]) -> u64 {
    let frames: Vec<u8> = bodies.iter().flat_map(|b| frame(1, b.as_bytes())).collect();
    let end = log.append(&frames).unwrap();
    assert!(log.wait_durable(end, LONG).unwrap());
    end
}

pub fn open(dir: &Path) -> Result<Log> {
    Log::open(dir, LogOptions::default())
}

/// Bodies of all frames from `from` on, in pieces of at most `max_bytes`.
pub fn bodies_from(log: &Log, mut from: u64, max_bytes: usize) -> Result<Vec<String>> {
    let mut out = Vec::new();
    loop {
        let (bytes, next) = log.read(from, max_bytes)?;
        for f in FrameIter::new(&bytes, from) {
            out.push(String::from_utf8_lossy(f?.body).into_owned());
        }
        if next == from {
            return Ok(out);
        }
        from = next;
    }
}

pub fn bodies(log: &Log) -> Vec<String> {
    bodies_from(log, log.start(), 1 << 20).unwrap()
}

pub fn segment(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

pub fn copy_dir(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Repeats a test's chance: xorshift, never 0.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Counts, and fails with the error number it was given; 0 is a good disk.
#[derive(Default)]
pub struct TestDisk {
    pub writes: AtomicUsize,
    pub syncs: AtomicUsize,
    pub write_errno: AtomicI32,
    pub sync_errno: AtomicI32,
    pub truncate_errno: AtomicI32,
    /// A failing write lets this many bytes through first.
    pub written_before_failure: AtomicUsize,
}

fn errno(e: &AtomicI32) -> io::Result<()> {
    match e.load(Ordering::SeqCst) {
        0 => Ok(()),
        n => Err(io::Error::from_raw_os_error(n)),
    }
}

impl Disk for TestDisk {
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.writes.fetch_add(1, Ordering::SeqCst);
        if let Err(e) = errno(&self.write_errno) {
            let part = self.written_before_failure.load(Ordering::SeqCst).min(bytes.len());
            file.write_all_at(&bytes[..part], at)?;
            return Err(e);
        }
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        errno(&self.sync_errno)?;
        file.sync_data()
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        errno(&self.truncate_errno)?;
        file.set_len(len)
    }
}

pub fn with_disk(dir: &Path, segment_bytes: u64) -> (Arc<TestDisk>, Log) {
    let disk = Arc::new(TestDisk::default());
    let log = Log::open(dir, LogOptions { segment_bytes, disk: disk.clone(), ..LogOptions::default() }).unwrap();
    (disk, log)
}
