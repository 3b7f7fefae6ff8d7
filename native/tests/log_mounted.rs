//! Disks that are really full or read-only: a small tmpfs, where this process may mount one.
//!
//! A binary of its own with one test: a child that is being started (`mount`) holds copies of all open files for a moment,
//! a log's lock among them, and would keep other tests from opening theirs.

mod log_support;

use std::path::Path;
use std::process::Command;

use _native::log::{Log, LogOptions, Recovery};
use log_support::*;

struct Mount<'a>(&'a Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

fn mount<'a>(dir: &'a Path, options: &str) -> Option<Mount<'a>> {
    let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir).output();
    match done {
        Ok(out) if out.status.success() => Some(Mount(dir)),
        other => {
            eprintln!("SKIPPED: a small tmpfs cannot be mounted here: {other:?}");
            None
        }
    }
}

#[test]
fn disks_that_are_really_full_or_cannot_be_written() {
    a_disk_that_is_really_full();
    a_directory_that_cannot_be_written();
}

fn a_disk_that_is_really_full() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = mount(dir.path(), "size=1m") else { return };
    let log =
        Log::open(&dir.path().join("log"), LogOptions { segment_bytes: 100_000, ..LogOptions::default() }).unwrap();
    let body = "x".repeat(10_000);
    let mut written = 0;
    let code = loop {
        let end = log.append(&frame(1, body.as_bytes())).unwrap();
        match log.wait_durable(end, LONG) {
            Ok(true) => written += 1,
            Ok(false) => panic!("no answer"),
            Err(e) => break e.code(),
        }
    };
    assert_eq!(code, "disk_full");
    assert!(written > 50);
    assert_eq!(bodies(&log).len(), written);
    assert_eq!(log.try_recover().unwrap_err().code(), "disk_full");
    let freed = log.retain(Some(500_000), None, u64::MAX).unwrap();
    assert!(freed > 100_000);
    log.try_recover().unwrap();
    let left = bodies(&log).len();
    commit(&log, &["after"]);
    drop(log);
    let log = open(&dir.path().join("log")).unwrap();
    assert_eq!(log.recovery(), &Recovery::default());
    let all = bodies(&log);
    assert_eq!((all.len(), all[left].as_str()), (left + 1, "after"));
}

fn a_directory_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = mount(dir.path(), "size=1m") else { return };
    let path = dir.path().join("log");
    let log = open(&path).unwrap();
    commit(&log, &["kept"]);
    drop(log);
    let done = Command::new("mount").args(["-o", "remount,ro"]).arg(dir.path()).status().unwrap();
    assert!(done.success());
    assert_eq!(open(&path).err().unwrap().code(), "disk_read_only");
    assert_eq!(open(&dir.path().join("new")).err().unwrap().code(), "disk_read_only");
    let log = Log::open(&path, LogOptions { read_only: true, ..LogOptions::default() }).unwrap();
    assert_eq!(bodies(&log), ["kept"]);
}
