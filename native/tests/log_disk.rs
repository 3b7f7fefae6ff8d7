//! Disks that are full or broken, as a fault hook plays them; real ones are in `log_mounted`.

mod log_support;

use std::fs;
use std::sync::atomic::Ordering;

use _native::log::{Log, Recovery};
use log_support::*;

fn fails(log: &Log, code: &str) -> u64 {
    let end = log.append(&frame(1, b"lost")).unwrap();
    assert_eq!(log.wait_durable(end, LONG).unwrap_err().code(), code);
    assert_eq!(log.failure().unwrap().code(), code);
    assert_eq!(log.append(&frame(1, b"refused")).unwrap_err().code(), code);
    assert!(log.drain_wake() > 0);
    end
}

#[test]
fn a_failed_write_refuses_everything_until_the_disk_is_well() {
    for (errno, code) in [(libc::ENOSPC, "disk_full"), (libc::EIO, "disk_error"), (libc::EROFS, "disk_read_only")] {
        for part in [0, 1, 50, 75] {
            let dir = tempfile::tempdir().unwrap();
            let (disk, log) = with_disk(dir.path(), 1 << 20);
            let kept = commit(&log, &["kept"]);
            disk.write_errno.store(errno, Ordering::SeqCst);
            disk.written_before_failure.store(part, Ordering::SeqCst);
            let lost = fails(&log, code);
            assert_eq!(log.durable(), kept);
            assert_eq!(fs::metadata(segment(dir.path(), 0)).unwrap().len(), kept, "taken back to the synced length");
            assert_eq!(bodies(&log), ["kept"]);
            disk.write_errno.store(0, Ordering::SeqCst);
            log.try_recover().unwrap();
            assert_eq!(log.failure(), None);
            assert_eq!(log.wait_durable(lost, LONG).unwrap_err().code(), code, "lost stays lost");
            assert!(log.wait_durable(kept, LONG).unwrap());
            assert!(commit(&log, &["after"]) > lost, "no offset twice");
            assert_eq!(bodies(&log), ["kept", "after"]);
            log.try_recover().unwrap();
            drop(log);
            let log = open(dir.path()).unwrap();
            assert_eq!(log.recovery(), &Recovery::default());
            assert_eq!(bodies(&log), ["kept", "after"]);
        }
    }
}

#[test]
fn a_failed_sync_counts_as_a_failed_write() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, log) = with_disk(dir.path(), 1 << 20);
    let kept = commit(&log, &["kept"]);
    disk.sync_errno.store(libc::EIO, Ordering::SeqCst);
    fails(&log, "disk_error");
    assert_eq!(log.try_recover().unwrap_err().code(), "disk_error", "not well yet");
    assert_eq!(log.append(&frame(1, b"refused")).unwrap_err().code(), "disk_error");
    assert_eq!(log.close().unwrap_err().code(), "disk_error");
    drop(log);
    let log = open(dir.path()).unwrap();
    assert_eq!((log.end(), bodies(&log)), (kept, vec!["kept".to_owned()]));
}

#[test]
fn what_could_not_be_taken_back_is_taken_back_before_anything_else_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, log) = with_disk(dir.path(), 1 << 20);
    commit(&log, &["kept"]);
    disk.sync_errno.store(libc::EIO, Ordering::SeqCst);
    disk.truncate_errno.store(libc::EIO, Ordering::SeqCst);
    fails(&log, "disk_error");
    disk.sync_errno.store(0, Ordering::SeqCst);
    assert_eq!(log.try_recover().unwrap_err().code(), "disk_error");
    disk.truncate_errno.store(0, Ordering::SeqCst);
    log.try_recover().unwrap();
    commit(&log, &["after"]);
    drop(log);
    assert_eq!(bodies(&open(dir.path()).unwrap()), ["kept", "after"]);
}

#[test]
fn everything_queued_behind_a_failure_is_lost_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, log) = with_disk(dir.path(), 1 << 20);
    disk.write_errno.store(libc::ENOSPC, Ordering::SeqCst);
    let mut ends = Vec::new();
    while let Ok(end) = log.append(&frame(1, b"lost")) {
        ends.push(end);
    }
    disk.write_errno.store(0, Ordering::SeqCst);
    log.try_recover().unwrap();
    for end in ends {
        assert_eq!(log.wait_durable(end, LONG).unwrap_err().code(), "disk_full");
    }
    commit(&log, &["after"]);
    assert_eq!(bodies(&log), ["after"]);
    assert_eq!(log.segments().len(), 2);
    log.retain(Some(0), None, u64::MAX).unwrap();
    assert_eq!(bodies(&log), ["after"]);
    drop(log);
    assert_eq!(bodies(&open(dir.path()).unwrap()), ["after"]);
}

#[test]
fn a_crash_right_after_a_failure_leaves_a_log_that_opens() {
    let dir = tempfile::tempdir().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let (disk, log) = with_disk(dir.path(), 1 << 20);
    commit(&log, &["kept"]);
    disk.write_errno.store(libc::ENOSPC, Ordering::SeqCst);
    let lost = fails(&log, "disk_full");
    copy_dir(dir.path(), crashed.path());
    fs::write(crashed.path().join("gaps"), format!("{} {lost}\n", log.durable())).unwrap();
    let log = open(crashed.path()).unwrap();
    assert_eq!(log.end(), lost, "killed between the gap and its segment");
    commit(&log, &["after"]);
    drop(log);
    assert_eq!(bodies(&open(crashed.path()).unwrap()), ["kept", "after"]);
}
