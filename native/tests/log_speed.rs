//! What the log costs over the disk: batches of 100 frames against write + fdatasync of the same bytes.
//!
//! `cargo test --release --test log_speed -- --ignored --nocapture` prints the full size; the small one runs always.

mod log_support;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use _native::log::Log;
use log_support::*;

const FRAMES: usize = 100;
const BODY: [u8; 150] = [b'x'; 150];

fn batch() -> Vec<u8> {
    (0..FRAMES).flat_map(|i| frame(i as u64, &BODY)).collect()
}

/// Seconds for `batches`, each written and synced before the next.
fn floor(dir: &Path, bytes: &[u8], batches: usize) -> f64 {
    let mut file = File::create(dir.join("floor")).unwrap();
    let began = Instant::now();
    for _ in 0..batches {
        file.write_all(bytes).unwrap();
        file.sync_data().unwrap();
    }
    began.elapsed().as_secs_f64()
}

/// Seconds for `batches` made from bodies and appended, at most `window` of them unsynced at a time.
fn log(log: &Log, batches: usize, window: usize) -> f64 {
    let began = Instant::now();
    let mut ends = Vec::with_capacity(batches);
    for i in 0..batches {
        ends.push(log.append(&batch()).unwrap());
        if i + 1 >= window {
            assert!(log.wait_durable(ends[i + 1 - window], LONG).unwrap());
        }
    }
    assert!(log.wait_durable(log.end(), LONG).unwrap());
    began.elapsed().as_secs_f64()
}

fn measure(batches: usize) {
    let bytes = batch();
    let per_s = |s: f64| (batches * FRAMES) as f64 / s;
    for window in [1, 8, 32] {
        let dir = tempfile::tempdir().unwrap();
        let floor_s = floor(dir.path(), &bytes, batches);
        let (disk, open) = with_disk(&dir.path().join("log"), 64 << 20);
        let log_s = log(&open, batches, window);
        let syncs = disk.syncs.load(std::sync::atomic::Ordering::SeqCst);
        println!(
            "window {window}: log {:.0} events/s, {syncs} syncs; write+fdatasync {:.0} events/s; ratio {:.2}",
            per_s(log_s),
            per_s(floor_s),
            floor_s / log_s
        );
        assert_eq!(open.verify().unwrap().frames, (batches * FRAMES) as u64);
        let began = Instant::now();
        assert_eq!(bodies(&open).len(), batches * FRAMES);
        let read_mb_s = open.size_bytes() as f64 / 1e6 / began.elapsed().as_secs_f64();
        println!("window {window}: read back and checked at {read_mb_s:.0} MB/s");
    }
}

#[test]
fn small() {
    measure(50);
}

#[test]
#[ignore = "seconds of disk time; run it with --release"]
fn full() {
    measure(5_000);
}
