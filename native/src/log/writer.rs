//! The end of the log that is written: one group at a time into the active segment.
//!
//! Invariant: `len` is the synced length of the active file; after a failed group the file is taken back to it, or
//! stays closed to appends until it could be. Who waits for a group is not known here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use super::disk::{Disk, Recorder};
use super::frame::seal_group;
use super::gaps::{self, Gaps};
use super::options::{LogOptions, SyncMode};
use super::recover::Plan;
use super::segment::{self, Segment};
use super::store::write_locked;
use super::synced::{self, Synced};
use super::sys::reserve;
use crate::error::Result;

/// Space that must be free before a full disk counts as having space again.
const RESUME_BYTES: u64 = 64 << 10;

pub struct Writer {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    sync: SyncMode,
    segment_bytes: u64,
    file: File,
    base: u64,
    len: u64,
    synced: Synced,
    recorder: Recorder,
}

impl Writer {
    /// Carries out the plan: cuts, remembers the gaps, continues the last segment or begins the next.
    pub fn open(dir: &Path, options: &LogOptions, synced: Synced, plan: &mut Plan) -> Result<Writer> {
        let mut recorder = Recorder::open(options.recorder.as_deref())?;
        // First, so that a crash in between cannot make the offsets of lost bytes be used again.
        if plan.gaps_changed {
            let len = plan.gaps.store(dir)?;
            recorder.synced(gaps::FILE, len)?;
        }
        let segments = &mut plan.segments;
        let last = segments.last().map(|s| (s.base, s.end));
        if let Some((base, end)) = last {
            let file = segment::open_write(dir, base)?;
            if file.metadata()?.len() != end - base {
                options.disk.truncate(&file, end - base)?;
            }
            // What a killed process left in the page cache counts only once it is on the disk.
            options.disk.sync(&file)?;
        }
        if let Some(base) = plan.next_base {
            segment::create(dir, base)?;
            segments.push(Segment::new(base, base));
        }
        for s in segments.iter() {
            recorder.synced(&segment::name(s.base), s.end - s.base)?;
        }
        let (base, end) = segments.last().map_or((0, 0), |s| (s.base, s.end));
        let file = segment::open_write(dir, base)?;
        if options.sync == SyncMode::Data {
            synced.store(end)?;
        }
        Ok(Writer {
            file,
            base,
            len: end - base,
            dir: dir.to_owned(),
            disk: Arc::clone(&options.disk),
            sync: options.sync,
            segment_bytes: options.segment_bytes,
            synced,
            recorder,
        })
    }

    /// Writes and syncs one group, whose first frame is its marker; returns the end of the log.
    pub fn commit(&mut self, group: &mut [u8], segments: &RwLock<Vec<Segment>>) -> Result<u64> {
        let start = self.base.saturating_add(self.len);
        if self.len > 0 && self.len.saturating_add(group.len() as u64) > self.segment_bytes {
            self.begin_segment(start, 0, segments)?;
        }
        seal_group(group, start);
        let len = self.len.saturating_add(group.len() as u64);
        match self.write_group(group, len) {
            Ok(()) => {
                self.len = len;
                Ok(self.base.saturating_add(len))
            }
            Err(e) => {
                // When this fails too, `resume` tries again before anything else may be written.
                let _ = self.disk.truncate(&self.file, self.len);
                Err(e)
            }
        }
    }

    fn write_group(&mut self, group: &[u8], len: u64) -> Result<()> {
        self.disk.write(&self.file, group, self.len)?;
        if self.sync == SyncMode::Data {
            self.disk.sync(&self.file)?;
            // The recorder first: `synced` must never claim more than a recording does.
            self.recorder.synced(&segment::name(self.base), len)?;
            self.synced.store(self.base.saturating_add(len))?;
        }
        Ok(())
    }

    /// Makes the file of a new active segment; `free_bytes` must be there for it.
    fn begin_segment(&mut self, base: u64, free_bytes: u64, segments: &RwLock<Vec<Segment>>) -> Result<()> {
        let made = segment::create(&self.dir, base).and_then(|file| {
            if free_bytes > 0 {
                reserve(&file, free_bytes)?;
            }
            self.recorder.synced(&segment::name(base), 0)?;
            Ok(file)
        });
        self.file = match made {
            Ok(file) => file,
            Err(e) => {
                let _ = fs::remove_file(segment::path(&self.dir, base));
                return Err(e);
            }
        };
        let mut list = write_locked(segments);
        if let Some(last) = list.last_mut() {
            last.end = self.base.saturating_add(self.len);
        }
        list.push(Segment::new(base, base));
        (self.base, self.len) = (base, 0);
        Ok(())
    }

    /// After a failed group: goes on at `base`, beyond every offset handed out for frames that are lost.
    pub fn resume(&mut self, base: u64, gaps: &RwLock<Gaps>, segments: &RwLock<Vec<Segment>>) -> Result<()> {
        self.disk.truncate(&self.file, self.len)?;
        self.disk.sync(&self.file)?;
        let mut known = write_locked(gaps).clone();
        known.add(self.base.saturating_add(self.len), base);
        self.store_gaps(&known)?;
        self.begin_segment(base, RESUME_BYTES, segments)?;
        *write_locked(gaps) = known;
        Ok(())
    }

    fn store_gaps(&mut self, known: &Gaps) -> Result<()> {
        let len = known.store(&self.dir)?;
        Ok(self.recorder.synced(gaps::FILE, len)?)
    }

    pub fn close(mut self) -> Result<()> {
        if self.sync == SyncMode::Data {
            self.synced.store(self.base.saturating_add(self.len))?;
            self.synced.sync()?;
            self.recorder.synced(synced::FILE, synced::BYTES)?;
        }
        Ok(())
    }
}
