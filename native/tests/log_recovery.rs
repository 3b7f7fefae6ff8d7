//! Opening after damage: what is cut, what is reported, what can be salvaged.

mod log_support;

use std::fs;
use std::path::Path;

use _native::error::Error;
use _native::log::{Damage, Log, LogOptions, Recovery};
use log_support::*;

const GROUP: u64 = MARKER + FRAME + 4;

/// Two groups, `a` and then `b0 b1 b2`, closed.
fn two_groups(dir: &Path) -> Vec<u8> {
    let log = open(dir).unwrap();
    commit(&log, &["aaaa"]);
    commit(&log, &["b0b0", "b1b1", "b2b2"]);
    drop(log);
    fs::read(segment(dir, 0)).unwrap()
}

fn put(dir: &Path, bytes: &[u8]) {
    fs::write(segment(dir, 0), bytes).unwrap();
}

fn forget_synced(dir: &Path) {
    let _ = fs::remove_file(dir.join("synced"));
}

fn salvage(dir: &Path) -> Log {
    Log::open(dir, LogOptions { salvage: true, ..LogOptions::default() }).unwrap()
}

/// What is left can be written to and opened again.
fn goes_on(dir: &Path, log: Log, mut expected: Vec<&str>) {
    commit(&log, &["more"]);
    expected.push("more");
    assert_eq!(bodies(&log), expected);
    let end = log.end();
    drop(log);
    let log = open(dir).unwrap();
    assert_eq!((log.end(), log.recovery()), (end, &Recovery::default()));
    assert_eq!(bodies(&log), expected);
    assert!(log.verify().unwrap().damaged.is_empty());
}

#[test]
fn a_write_torn_at_any_byte_of_the_last_frame_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let whole = two_groups(dir.path());
    let last = whole.len() - 32;
    for cut in last..whole.len() {
        for garbage in [&[][..], &[0; 32], b"what lay on this block before it"] {
            // A torn write is not longer than the write.
            let garbage = &garbage[..garbage.len().min(whole.len() - cut)];
            if garbage == &whole[cut..cut + garbage.len()] && !garbage.is_empty() {
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), &[&whole[..cut], garbage].concat());
            let log = open(dir.path()).unwrap();
            assert_eq!(log.end(), last as u64, "cut at {cut}");
            assert_eq!(log.recovery().cut_bytes, (cut - last + garbage.len()) as u64);
            assert_eq!(log.recovery().lost_synced_bytes, 0);
            goes_on(dir.path(), log, vec!["aaaa", "b0b0", "b1b1"]);
        }
    }
}

#[test]
fn the_start_of_a_group_that_was_never_written_is_cut() {
    for known in [true, false] {
        for garbage in [&[0; 4096][..], b"x", &frame(1, b"no marker before it")[..]] {
            let dir = tempfile::tempdir().unwrap();
            let whole = two_groups(dir.path());
            put(dir.path(), &[&whole, garbage].concat());
            if !known {
                forget_synced(dir.path());
            }
            let log = open(dir.path()).unwrap();
            assert_eq!((bodies(&log).len() >= 4, log.recovery().lost_synced_bytes), (true, 0));
            let kept = bodies(&log);
            goes_on(dir.path(), log, kept.iter().map(String::as_str).collect());
        }
    }
}

#[test]
fn blocks_of_the_last_write_may_land_in_any_order() {
    let whole = two_groups(tempfile::tempdir().unwrap().path());
    for from in GROUP as usize..whole.len() {
        let mut torn = whole.clone();
        let to = (from + 40).min(torn.len());
        torn[from..to].fill(0);
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &torn);
        let log = open(dir.path()).unwrap();
        let kept = bodies(&log);
        assert!(kept == ["aaaa"] || kept == ["aaaa", "b0b0"] || kept == ["aaaa", "b0b0", "b1b1"], "{from}: {kept:?}");
        assert_eq!(log.recovery().lost_synced_bytes, 0);
        goes_on(dir.path(), log, kept.iter().map(String::as_str).collect());
    }
}

#[test]
fn synced_bytes_that_changed_are_corruption_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let whole = two_groups(dir.path());
    // Known from `synced` up to the last frame; from the markers alone, everything before the second group.
    for (known, until) in [(true, whole.len() - 32), (false, GROUP as usize)] {
        for at in 0..until {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            put(dir.path(), &bad);
            if !known {
                forget_synced(dir.path());
            }
            let offset = match open(dir.path()).err() {
                Some(Error::Corrupt { offset, .. }) => offset,
                other => panic!("byte {at}: {other:?}"),
            };
            assert!(offset <= at as u64 && at as u64 - offset < MARKER, "byte {at} reported at {offset}");
            assert_eq!(fs::read(segment(dir.path(), 0)).unwrap(), bad, "nothing is touched");
        }
    }
}

#[test]
fn damage_in_an_older_segment_is_reported_by_readers_and_by_verify() {
    let dir = tempfile::tempdir().unwrap();
    let small = || LogOptions { segment_bytes: 1, ..LogOptions::default() };
    let log = Log::open(dir.path(), small()).unwrap();
    for body in ["aaaa", "bbbb", "cccc"] {
        commit(&log, &[body]);
    }
    drop(log);
    let path = segment(dir.path(), GROUP);
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x01;
        fs::write(&path, &bad).unwrap();
        let log = Log::open(dir.path(), small()).unwrap();
        assert_eq!(bodies_from(&log, 0, 1 << 20).unwrap_err().code(), "log_corrupt", "byte {at}");
        let found = log.verify().unwrap();
        assert_eq!((found.damaged.len(), found.bytes), (1, 3 * GROUP), "byte {at}");
        assert!(found.damaged[0].from <= GROUP + at as u64 && GROUP + at as u64 <= found.damaged[0].to);
    }
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    match Log::open(dir.path(), small()).err() {
        Some(Error::Corrupt { offset, .. }) => assert_eq!(offset, 2 * GROUP - 1, "a segment that ends early"),
        other => panic!("{other:?}"),
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(Log::open(dir.path(), small()).err().unwrap().code(), "log_corrupt");
}

#[test]
fn salvage_lists_the_damage_and_reads_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = two_groups(dir.path());
    bytes[GROUP as usize + MARKER as usize + 30] ^= 1;
    bytes[50] ^= 1;
    put(dir.path(), &bytes);
    assert_eq!(open(dir.path()).err().unwrap().code(), "log_corrupt");
    let log = salvage(dir.path());
    let why = "a frame whose checksum does not hold";
    let second = GROUP + MARKER;
    assert_eq!(
        log.recovery().damaged,
        [Damage { from: 44, to: 76, why }, Damage { from: second, to: second + 32, why }]
    );
    assert_eq!(bodies(&log), ["b1b1", "b2b2"]);
    assert_eq!(bodies_from(&log, 0, 1).unwrap(), ["b1b1", "b2b2"]);
    goes_on(dir.path(), log, vec!["b1b1", "b2b2"]);
}

#[test]
fn salvage_bridges_a_missing_segment() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), LogOptions { segment_bytes: 1, ..LogOptions::default() }).unwrap();
    for body in ["aaaa", "bbbb", "cccc"] {
        commit(&log, &[body]);
    }
    drop(log);
    fs::remove_file(segment(dir.path(), GROUP)).unwrap();
    let log = salvage(dir.path());
    let why = "bytes between two segments are missing";
    assert_eq!(log.recovery().damaged, [Damage { from: GROUP, to: 2 * GROUP, why }]);
    goes_on(dir.path(), log, vec!["aaaa", "cccc"]);
    for base in [0, 2 * GROUP, 3 * GROUP] {
        let _ = fs::remove_file(segment(dir.path(), base));
    }
    assert_eq!(open(dir.path()).err().unwrap().code(), "log_corrupt", "an empty log that once was not");
}

#[test]
fn a_tail_that_the_disk_had_confirmed_is_not_lost_in_silence() {
    for (keep, left) in [(0, 0), (10, 0), (GROUP as usize, GROUP), (GROUP as usize + 90, GROUP + MARKER + 32)] {
        let dir = tempfile::tempdir().unwrap();
        let whole = two_groups(dir.path());
        put(dir.path(), &whole[..keep]);
        let log = open(dir.path()).unwrap();
        let kept = bodies(&log);
        assert_eq!(log.recovery().lost_synced_bytes, whole.len() as u64 - left, "{keep}");
        assert_eq!(log.end(), whole.len() as u64, "offsets that were seen are not used again");
        goes_on(dir.path(), log, kept.iter().map(String::as_str).collect());
    }
}

#[test]
fn reading_only_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let whole = two_groups(dir.path());
    put(dir.path(), &[&whole[..], b"torn"].concat());
    let log = Log::open(dir.path(), LogOptions { read_only: true, ..LogOptions::default() }).unwrap();
    assert_eq!((log.end(), log.recovery().cut_bytes), (whole.len() as u64, 4));
    assert_eq!(bodies(&log), ["aaaa", "b0b0", "b1b1", "b2b2"]);
    assert_eq!(log.append(&frame(1, b"x")).unwrap_err().code(), "disk_read_only");
    assert_eq!(log.retain(Some(0), None, u64::MAX).unwrap_err().code(), "disk_read_only");
    drop(log);
    assert_eq!(fs::read(segment(dir.path(), 0)).unwrap().len(), whole.len() + 4);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}
