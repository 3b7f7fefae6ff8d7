//! The log as callers hold it, and the commit thread.
//!
//! Invariant: an append either becomes durable whole, or is refused, or is counted among the lost before anything that
//! follows it is durable. Locks are taken in the order writer, queue, lists; none is held across the disk but the writer's.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::frame::{check_batch, push_marker};
use super::gaps::Gaps;
use super::options::LogOptions;
use super::recover::{plan, Recovery};
use super::segment::{sync_dir, Segment};
use super::synced::Synced;
use super::sys::Wake;
use super::writer::Writer;
use crate::error::{Error, Result};

/// A buffer that grew beyond this for one large group is given back.
const BUFFER_KEPT_BYTES: usize = 16 << 20;
/// While groups of at least `BUSY_BYTES` follow each other, one begins at most so often: what arrives meanwhile shares
/// its sync, and a sync costs the processor as much as folding dozens of events. Single events never wait.
const BUSY_GAP: Duration = Duration::from_millis(4);
const BUSY_BYTES: usize = 8 << 10;

pub struct Log {
    pub(super) shared: Arc<Shared>,
    committer: Mutex<Option<JoinHandle<()>>>,
    recovery: Recovery,
}

pub(super) struct Shared {
    pub dir: PathBuf,
    pub read_only: bool,
    pub durable: AtomicU64,
    pub segments: RwLock<Vec<Segment>>,
    pub gaps: RwLock<Gaps>,
    queue: Mutex<Queue>,
    /// Something was queued, or the log is closing.
    work: Condvar,
    /// `durable` moved, or the log failed.
    done: Condvar,
    writer: Mutex<Option<Writer>>,
    wake: Wake,
}

struct Queue {
    /// Whole frames, the marker of their group first; empty or one group.
    buf: Vec<u8>,
    /// Offset that the next append begins at.
    end: u64,
    failure: Option<Error>,
    /// Ranges (after, up to and with) of end offsets that were handed out and lost: start → (end, why).
    lost: BTreeMap<u64, (u64, Error)>,
    closing: bool,
    /// Someone stands still until the group is durable.
    urgent: bool,
}

impl Log {
    /// Opens or makes the log in `dir`. Errors: `log_corrupt`, `log_locked`, `disk_*`.
    pub fn open(dir: &Path, options: LogOptions) -> Result<Log> {
        if !options.read_only && !dir.is_dir() {
            std::fs::create_dir_all(dir)?;
            sync_dir(dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        }
        let lock = if options.read_only { None } else { Some(Synced::lock(dir)?) };
        let mut found = plan(dir, options.salvage, Synced::load(dir))?;
        let mut end = found.end();
        let mut writer = None;
        if let Some(lock) = lock {
            end = found.next_base.unwrap_or(end);
            writer = Some(Writer::open(dir, &options, lock, &mut found)?);
        }
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            read_only: options.read_only,
            durable: AtomicU64::new(end),
            segments: RwLock::new(found.segments),
            gaps: RwLock::new(found.gaps),
            queue: Mutex::new(Queue {
                buf: Vec::new(),
                end,
                failure: None,
                lost: BTreeMap::new(),
                closing: false,
                urgent: false,
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            writer: Mutex::new(writer),
            wake: Wake::new()?,
        });
        let mut committer = None;
        if !options.read_only {
            let shared = Arc::clone(&shared);
            committer = Some(std::thread::Builder::new().name("log-commit".into()).spawn(move || shared.commit_all())?);
        }
        Ok(Log { shared, committer: Mutex::new(committer), recovery: found.recovery })
    }

    /// Queues whole frames made by `push_frame` and returns the offset after them; they are durable when `durable()` has
    /// reached it. The first of them lies at the returned offset minus their length. Never waits for the disk.
    pub fn append(&self, frames: &[u8]) -> Result<u64> {
        check_batch(frames)?;
        if self.shared.read_only {
            return Err(Error::Io { code: "disk_read_only", message: "the log is open for reading only".to_owned() });
        }
        let mut queue = locked(&self.shared.queue);
        if let Some(e) = &queue.failure {
            return Err(e.clone());
        }
        if queue.closing {
            return Err(closed());
        }
        if frames.is_empty() {
            return Ok(queue.end);
        }
        if queue.buf.is_empty() {
            let start = queue.end;
            push_marker(&mut queue.buf, start, 0);
            queue.end = start.saturating_add(queue.buf.len() as u64);
            self.shared.work.notify_one();
        }
        queue.buf.extend_from_slice(frames);
        queue.end = queue.end.saturating_add(frames.len() as u64);
        Ok(queue.end)
    }

    /// Offset after everything queued.
    pub fn end(&self) -> u64 {
        locked(&self.shared.queue).end
    }

    /// Every byte below is on the disk (or in a gap).
    pub fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// The writer's note of what the disk has, which another process may be moving on; None when there is none.
    pub fn synced(&self) -> Option<u64> {
        Synced::load(&self.shared.dir)
    }

    /// Offset of the oldest byte that is kept.
    pub fn start(&self) -> u64 {
        read_locked(&self.shared.segments).first().map_or(0, |s| s.base)
    }

    /// True when the append that returned `offset` is durable, false when the time was too short; the error when it is
    /// lost, also after `try_recover`.
    pub fn wait_durable(&self, offset: u64, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now().checked_add(timeout);
        let mut queue = locked(&self.shared.queue);
        loop {
            if let Some((_, (to, why))) = queue.lost.range(..offset).next_back() {
                if offset <= *to {
                    return Err(why.clone());
                }
            }
            if self.durable() >= offset {
                return Ok(true);
            }
            if let Some(e) = &queue.failure {
                return Err(e.clone());
            }
            let left = deadline.map_or(timeout, |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(false);
            }
            queue.urgent = true;
            self.shared.work.notify_all();
            queue = self.shared.done.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// An eventfd: readable after each group and after a failure, until `drain_wake`.
    pub fn wake_fd(&self) -> RawFd {
        self.shared.wake.fd()
    }

    pub fn drain_wake(&self) -> u64 {
        self.shared.wake.drain()
    }

    /// Why the log takes nothing: `disk_full`, `disk_read_only` or `disk_error`.
    pub fn failure(&self) -> Option<Error> {
        locked(&self.shared.queue).failure.clone()
    }

    /// What opening found beside a whole log.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Takes a log that failed back into use, if the disk lets it. What was not durable is lost for good: its offsets become
    /// a gap, and `durable` steps over it. Callers must have given up on lost appends, as `wait_durable` tells them to.
    pub fn try_recover(&self) -> Result<()> {
        let mut writer = locked(&self.shared.writer);
        let (failure, end) = {
            let queue = locked(&self.shared.queue);
            (queue.failure.clone(), queue.end)
        };
        let Some(e) = failure else { return Ok(()) };
        let Some(open) = writer.as_mut() else { return Err(closed()) };
        open.resume(end, &self.shared.gaps, &self.shared.segments)?;
        let mut queue = locked(&self.shared.queue);
        queue.lost.insert(self.durable(), (end, e));
        queue.failure = None;
        self.shared.durable.store(end, Ordering::Release);
        self.shared.done.notify_all();
        Ok(())
    }

    /// Commits what is queued and gives the directory free. Later appends are refused; reads go on.
    pub fn close(&self) -> Result<()> {
        locked(&self.shared.queue).closing = true;
        self.shared.work.notify_all();
        if let Some(thread) = locked(&self.committer).take() {
            let _ = thread.join();
        }
        let writer = locked(&self.shared.writer).take();
        match self.failure() {
            Some(e) => Err(e),
            None => writer.map_or(Ok(()), Writer::close),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl Shared {
    fn commit_all(&self) {
        let mut group = Vec::new();
        let mut not_before = Instant::now();
        while self.take_group(&mut group, not_before) {
            not_before = Instant::now();
            if group.len() >= BUSY_BYTES {
                not_before += BUSY_GAP;
            }
            let result = match locked(&self.writer).as_mut() {
                Some(writer) => writer.commit(&mut group, &self.segments),
                None => Err(closed()),
            };
            let mut queue = locked(&self.queue);
            match result {
                Ok(end) => self.durable.store(end, Ordering::Release),
                Err(e) => {
                    queue.failure = Some(e);
                    queue.buf.clear();
                }
            }
            drop(queue);
            self.done.notify_all();
            self.wake.signal();
            group.clear();
            group.shrink_to(BUFFER_KEPT_BYTES);
        }
    }

    /// Waits for work, and until `not_before` unless someone stands still for it; false when the log closes and nothing
    /// is left.
    fn take_group(&self, group: &mut Vec<u8>, not_before: Instant) -> bool {
        let mut queue = locked(&self.queue);
        while !queue.closing {
            if queue.buf.is_empty() {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left = not_before.saturating_duration_since(Instant::now());
            if left.is_zero() || queue.urgent {
                break;
            }
            queue = self.work.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.urgent = false;
        std::mem::swap(&mut queue.buf, group);
        !group.is_empty()
    }
}

fn closed() -> Error {
    Error::Io { code: "log_closed", message: "the log is closed".to_owned() }
}

// No code panics while it holds one of these locks, so what they protect is whole even when they are poisoned.

pub(super) fn locked<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn read_locked<T>(m: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    m.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write_locked<T>(m: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    m.write().unwrap_or_else(PoisonError::into_inner)
}
