//! Retention by size and age: whole segments, never the active one, nothing that is still needed.

mod log_support;

use std::path::Path;

use _native::log::{Log, LogOptions};
use log_support::*;

const KEEP_ALL_FROM: u64 = u64::MAX;
const GROUP: u64 = MARKER + FRAME + 4;

/// Five segments of one group each, received at 100, 200, 150, 400, 500.
fn five(dir: &Path) -> Log {
    let log = Log::open(dir, LogOptions { segment_bytes: 1, ..LogOptions::default() }).unwrap();
    for received_ms in [100, 200, 150, 400, 500] {
        let end = log.append(&frame(received_ms, b"body")).unwrap();
        log.wait_durable(end, LONG).unwrap();
    }
    assert_eq!(log.segments().len(), 5);
    assert_eq!(log.size_bytes(), 5 * GROUP);
    log
}

#[test]
fn by_size() {
    let dir = tempfile::tempdir().unwrap();
    let log = five(dir.path());
    assert_eq!(log.retain(Some(5 * GROUP), None, KEEP_ALL_FROM).unwrap(), 0);
    assert_eq!(log.retain(Some(3 * GROUP + 1), None, KEEP_ALL_FROM).unwrap(), 2 * GROUP);
    assert_eq!((log.start(), log.end(), log.segments()[0].base), (2 * GROUP, 5 * GROUP, 2 * GROUP));
    assert_eq!(log.read(0, 100).unwrap_err().code(), "offset_gone");
    assert_eq!(log.read(2 * GROUP - 1, 100).unwrap_err().code(), "offset_gone");
    assert_eq!(bodies(&log).len(), 3);
    assert_eq!(log.retain(Some(0), None, KEEP_ALL_FROM).unwrap(), 2 * GROUP);
    assert_eq!(log.segments().len(), 1, "the active one stays");
    drop(log);
    let log = open(dir.path()).unwrap();
    assert_eq!((log.start(), log.end()), (4 * GROUP, 5 * GROUP));
    assert_eq!(commit(&log, &["more"]), 6 * GROUP);
}

#[test]
fn by_age_of_the_newest_and_only_from_the_old_end() {
    let dir = tempfile::tempdir().unwrap();
    let log = five(dir.path());
    assert_eq!(log.retain(None, Some(100), KEEP_ALL_FROM).unwrap(), 0);
    assert_eq!(log.retain(None, Some(160), KEEP_ALL_FROM).unwrap(), GROUP, "150 lies behind 200");
    assert_eq!(log.retain(None, Some(201), KEEP_ALL_FROM).unwrap(), 2 * GROUP);
    assert_eq!(log.retain(None, Some(u64::MAX), KEEP_ALL_FROM).unwrap(), GROUP);
    assert_eq!(log.start(), 4 * GROUP);
}

#[test]
fn what_is_needed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let log = five(dir.path());
    assert_eq!(log.retain(Some(0), Some(u64::MAX), 2 * GROUP - 1).unwrap(), GROUP);
    assert_eq!(log.retain(Some(0), Some(u64::MAX), 2 * GROUP).unwrap(), GROUP);
    assert_eq!(log.retain(None, None, KEEP_ALL_FROM).unwrap(), 0);
    assert_eq!(log.start(), 2 * GROUP);
    assert!(log.verify().unwrap().damaged.is_empty());
}
