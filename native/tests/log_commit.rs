//! Group commit, waiting, waking, and readers beside the writer.

mod log_support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use _native::log::{FrameIter, Log, LogOptions, SyncMode};
use log_support::*;

#[test]
fn many_threads_share_syncs_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, log) = with_disk(dir.path(), 20_000);
    let before = disk.syncs.load(Ordering::SeqCst);
    thread::scope(|s| {
        for t in 0..8 {
            let log = &log;
            s.spawn(move || {
                let mut end = 0;
                for i in 0..200 {
                    end = log.append(&frame(i, format!("{t}:{i}").as_bytes())).unwrap();
                    if i % 20 == 0 {
                        assert!(log.wait_durable(end, LONG).unwrap());
                    }
                }
                assert!(log.wait_durable(end, LONG).unwrap());
            });
        }
    });
    let syncs = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs < 1600, "{syncs} syncs for 1600 appends");
    assert_eq!(disk.writes.load(Ordering::SeqCst), syncs, "one write and one sync per group");
    assert_eq!(log.durable(), log.end());
    assert!(log.segments().len() > 1);
    let check = |log: &Log| {
        let all = bodies(log);
        assert_eq!(all.len(), 1600);
        for t in 0..8 {
            let own: Vec<_> = all.iter().filter(|b| b.starts_with(&format!("{t}:"))).collect();
            assert_eq!(own, (0..200).map(|i| format!("{t}:{i}")).collect::<Vec<_>>().iter().collect::<Vec<_>>());
        }
    };
    check(&log);
    let end = log.end();
    log.close().unwrap();
    let log = open(dir.path()).unwrap();
    assert_eq!((log.end(), log.durable()), (end, end));
    check(&log);
}

#[test]
fn offsets_are_byte_positions() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    assert_eq!((log.start(), log.end(), log.durable()), (0, 0, 0));
    assert_eq!(log.append(&[]).unwrap(), 0, "no frames, no group");
    assert_eq!(commit(&log, &["abc", "d"]), MARKER + FRAME + 3 + FRAME + 1);
    let (bytes, next) = log.read(0, 1 << 20).unwrap();
    assert_eq!((bytes.len() as u64, next), (104, 104));
    let frames: Vec<_> = FrameIter::new(&bytes, 0).map(|f| f.unwrap()).map(|f| (f.offset, f.end)).collect();
    assert_eq!(frames, [(44, 75), (75, 104)]);
    assert_eq!(std::fs::metadata(segment(dir.path(), 0)).unwrap().len(), 104);
    assert_eq!(bodies_from(&log, 75, 1).unwrap(), ["d"], "a frame larger than the piece comes whole");
    assert_eq!(log.read(104, 10).unwrap(), (vec![], 104));
    assert_eq!(log.read(105, 10).unwrap_err().code(), "offset_beyond_end");
    assert_eq!(log.read(76, 10).unwrap_err().code(), "log_corrupt");
    assert_eq!(log.append(b"not a frame").unwrap_err().code(), "bad_frame");
    assert_eq!(log.end(), 104);
}

#[test]
fn waiting_ends_and_the_loop_is_woken() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    assert_eq!(log.drain_wake(), 0);
    assert!(!log.wait_durable(1, Duration::from_millis(1)).unwrap());
    commit(&log, &["a"]);
    commit(&log, &["b"]);
    while log.drain_wake() == 0 {
        thread::yield_now();
    }
    assert!(log.wake_fd() > 2);
}

#[test]
fn closing_commits_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    for i in 0..50u64 {
        log.append(&frame(i, b"x")).unwrap();
    }
    log.close().unwrap();
    log.close().unwrap();
    assert_eq!(log.durable(), log.end());
    assert_eq!(log.append(&frame(1, b"x")).unwrap_err().code(), "log_closed");
    assert_eq!(bodies(&log).len(), 50, "a closed log can be read");
    assert_eq!(open(dir.path()).unwrap().durable(), log.end());
}

#[test]
fn one_writer_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    assert_eq!(open(dir.path()).err().unwrap().code(), "log_locked");
    drop(log);
    assert!(open(dir.path()).is_ok());
}

#[test]
fn streaming_readers_follow_the_writer_through_segments() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 4096, sync: SyncMode::Never, ..LogOptions::default() };
    let log = Log::open(dir.path(), options).unwrap();
    let written = AtomicBool::new(false);
    thread::scope(|s| {
        let readers: Vec<_> = [1, 100, 5000, 1 << 20]
            .map(|max_bytes| {
                let (log, written) = (&log, &written);
                s.spawn(move || {
                    let (mut at, mut next_body) = (0, 0);
                    loop {
                        let last_round = written.load(Ordering::SeqCst);
                        let (bytes, next) = log.read(at, max_bytes).unwrap();
                        assert!(next <= log.durable());
                        for f in FrameIter::new(&bytes, at) {
                            assert_eq!(f.unwrap().body, format!("{next_body}").repeat(1 + next_body % 90).as_bytes());
                            next_body += 1;
                        }
                        if next == at && last_round {
                            return next_body;
                        }
                        at = next;
                    }
                })
            })
            .into_iter()
            .collect();
        for i in 0..3000usize {
            let end = log.append(&frame(1, format!("{i}").repeat(1 + i % 90).as_bytes())).unwrap();
            if i % 7 == 0 {
                log.wait_durable(end, LONG).unwrap();
            }
        }
        log.wait_durable(log.end(), LONG).unwrap();
        written.store(true, Ordering::SeqCst);
        for r in readers {
            assert_eq!(r.join().unwrap(), 3000);
        }
    });
    assert!(log.segments().len() > 10);
}
