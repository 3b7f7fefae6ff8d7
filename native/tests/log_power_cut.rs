//! Power cuts: what was not synced is lost in every way that a disk may lose it. The recorder says what was synced.

mod log_support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use _native::log::{Disk, Log, LogOptions, Recovery};
use log_support::*;

/// Keeps a copy of the directory as it is between the write and the sync of chosen groups.
struct Snapshots {
    dir: PathBuf,
    recorder: PathBuf,
    copies: PathBuf,
    syncs: AtomicUsize,
    every: usize,
}

impl Disk for Snapshots {
    fn sync(&self, file: &File) -> io::Result<()> {
        let n = self.syncs.fetch_add(1, Ordering::SeqCst);
        if n > 0 && n.is_multiple_of(self.every) {
            let to = self.copies.join(format!("{n}"));
            copy_dir(&self.dir, &to);
            fs::copy(&self.recorder, self.copies.join(format!("{n}.synced")))?;
        }
        file.sync_data()
    }
}

fn synced_lengths(recorder: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(recorder).unwrap();
    text.lines().filter_map(|l| l.split_once(' ')).map(|(name, len)| (name.to_owned(), len.parse().unwrap())).collect()
}

/// Keeps of each file what was synced, and of the rest what chance leaves: nothing, a part, or a part of its blocks.
fn cut_power(dir: &Path, recorder: &Path, chance: &mut Chance) {
    let synced = synced_lengths(recorder);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let keep = synced.get(name).copied().unwrap_or(0) as usize;
        let mut bytes = fs::read(&path).unwrap();
        assert!(bytes.len() >= keep, "{name} is shorter than was synced");
        let way = if name.ends_with(".log") { chance.below(3) } else { 2 * chance.below(2) };
        match way {
            0 => bytes.truncate(keep),
            1 => bytes.truncate(keep + chance.below((bytes.len() - keep) as u64 + 1) as usize),
            _ if name.ends_with(".log") => {
                for block in bytes[keep..].chunks_mut(64) {
                    if chance.below(3) == 0 {
                        block.fill(0);
                    }
                }
            }
            _ => {}
        }
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn nothing_synced_is_lost_and_nothing_half_written_is_kept() {
    let base = tempfile::tempdir().unwrap();
    let (dir, recorder, copies) = (base.path().join("log"), base.path().join("recorder"), base.path().join("copies"));
    fs::create_dir(&copies).unwrap();
    let disk = Snapshots {
        dir: dir.clone(),
        recorder: recorder.clone(),
        copies: copies.clone(),
        syncs: AtomicUsize::new(0),
        every: 3,
    };
    let options =
        LogOptions { segment_bytes: 5_000, recorder: Some(recorder), disk: Arc::new(disk), ..LogOptions::default() };
    let log = Log::open(&dir, options).unwrap();
    let mut chance = Chance(20261123);
    let mut next = 0;
    for _ in 0..120 {
        let group: Vec<String> = (0..1 + chance.below(8)).map(|i| format!("{}", next + i)).collect();
        next += group.len() as u64;
        commit(&log, &group.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let all = bodies(&log);
    drop(log);
    let mut cuts = 0;
    for n in (3..120).step_by(3) {
        let recorded = copies.join(format!("{n}.synced"));
        let durable: u64 = synced_lengths(&recorded).iter().filter(|(f, _)| f.ends_with(".log")).map(|(_, l)| l).sum();
        for seed in 1..6 {
            let crashed = base.path().join("crashed");
            copy_dir(&copies.join(format!("{n}")), &crashed);
            cut_power(&crashed, &recorded, &mut Chance(n * 1000 + seed));
            let log = open(&crashed).unwrap_or_else(|e| panic!("snapshot {n}, seed {seed}: {e}"));
            assert_eq!(log.recovery().lost_synced_bytes, 0, "snapshot {n}, seed {seed}");
            assert!(log.end() >= durable, "snapshot {n}, seed {seed}");
            let mut kept = bodies(&log);
            assert_eq!(kept, all[..kept.len()], "snapshot {n}, seed {seed}: a prefix");
            cuts += usize::from(log.recovery().cut_bytes > 0);
            commit(&log, &["after"]);
            drop(log);
            let log = open(&crashed).unwrap();
            assert_eq!(log.recovery(), &Recovery::default());
            kept.push("after".to_owned());
            assert_eq!(bodies(&log), kept);
        }
    }
    assert!(cuts > 50, "only {cuts} torn writes");
}

#[test]
fn the_recorder_knows_every_file_after_a_close() {
    let base = tempfile::tempdir().unwrap();
    let recorder = base.path().join("recorder");
    let options = || LogOptions { segment_bytes: 200, recorder: Some(recorder.clone()), ..LogOptions::default() };
    let dir = base.path().join("log");
    let log = Log::open(&dir, options()).unwrap();
    for _ in 0..10 {
        commit(&log, &["body"]);
    }
    log.close().unwrap();
    for entry in fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert_eq!(synced_lengths(&recorder).get(&name), Some(&entry.metadata().unwrap().len()), "{name}");
    }
    fs::remove_file(&recorder).unwrap();
    drop(Log::open(&dir, options()).unwrap());
    assert_eq!(synced_lengths(&recorder).len(), 6, "opening syncs and records what it found");
}
