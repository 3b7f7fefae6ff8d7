//! Posting list of one item: the sessions that hold it, in order of session time.
//!
//! Invariant: entries are sorted by (last time, session key), and every session has at most one live entry. An entry is
//! live while it carries the current time of its session; a session that moves on is put again and its old entry is left
//! behind until the next compaction, so a touch costs an append instead of a search. Whoever calls passes the clocks;
//! a posting does not know which items a session holds.

/// Current time of the session in a slot. `life` tells successive tenants of a slot apart; 0 is an empty slot.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    pub last_ms: i64,
    pub life: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub last_ms: i64,
    pub key: u64,
    pub slot: u32,
    pub life: u32,
}

impl Entry {
    #[inline]
    pub fn rank(&self) -> (i64, u64) {
        (self.last_ms, self.key)
    }

    #[inline]
    pub fn is_live(&self, clocks: &[Clock]) -> bool {
        let clock = clocks[self.slot as usize];
        clock.life == self.life && clock.last_ms == self.last_ms
    }
}

/// Below this length compaction costs more than the entries it would drop.
const COMPACT_MIN: usize = 8;

#[derive(Debug)]
pub(super) struct Posting {
    pub entries: Vec<Entry>,
    compact_at: u32,
    /// Entries known dead since the last compaction (their sessions are gone).
    dead: u32,
    /// Live sessions that hold the item may be missing here, all of them older than what is kept.
    truncated: bool,
    /// Sessions removed out of order since the posting was last complete: each may hide one that was truncated.
    lost: u32,
}

impl Default for Posting {
    fn default() -> Self {
        Posting { entries: Vec::new(), compact_at: COMPACT_MIN as u32, dead: 0, truncated: false, lost: 0 }
    }
}

impl Posting {
    /// Places the entry in order. The common case, the newest time of all, appends.
    #[inline]
    pub fn put(&mut self, entry: Entry, clocks: &[Clock], posting_max: usize) {
        match self.entries.last_mut() {
            // The session's own entry is dead now and nothing lies between: take its place.
            Some(last) if last.slot == entry.slot && last.life == entry.life => {
                *last = entry;
                return;
            }
            Some(last) if last.rank() > entry.rank() => {
                let at = self.entries.partition_point(|e| e.rank() < entry.rank());
                self.entries.insert(at, entry);
            }
            _ => self.entries.push(entry),
        }
        if self.entries.len() >= self.compact_at as usize {
            self.compact(clocks, posting_max);
        }
    }

    /// Appends without regard to order; `settle` must follow before anything else.
    pub fn put_unordered(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    pub fn settle(&mut self, clocks: &[Clock], posting_max: usize) {
        self.entries.sort_unstable_by_key(Entry::rank);
        self.compact(clocks, posting_max);
    }

    /// Drops dead entries and, beyond `posting_max`, the oldest live ones.
    pub fn compact(&mut self, clocks: &[Clock], posting_max: usize) {
        self.entries.retain(|e| e.is_live(clocks));
        if self.entries.len() > posting_max {
            self.entries.drain(..self.entries.len() - posting_max);
            self.truncated = true;
        }
        self.dead = 0;
        let room = (2 * self.entries.len()).max(COMPACT_MIN);
        self.compact_at = u32::try_from(room).unwrap_or(u32::MAX);
        if self.entries.is_empty() {
            self.entries = Vec::new();
        } else if self.entries.capacity() > 2 * room {
            self.entries.shrink_to(room);
        }
    }

    /// Takes out the live entry of a session whose time does not move.
    pub fn take(&mut self, rank: (i64, u64)) {
        let from = self.entries.partition_point(|e| e.rank() < rank);
        let to = self.entries.partition_point(|e| e.rank() <= rank);
        self.entries.drain(from..to);
    }

    /// A session of this posting is gone (its clock says so already).
    pub fn bury(&mut self, clocks: &[Clock], posting_max: usize) {
        self.dead += 1;
        if 2 * self.dead as usize > self.entries.len() {
            self.compact(clocks, posting_max);
        }
    }

    /// A session left although older ones stay. True when so many did that the posting must be gathered again to be
    /// sure of its `posting_max / 2` newest sessions.
    pub fn lose(&mut self, posting_max: usize) -> bool {
        self.lost = self.lost.saturating_add(u32::from(self.truncated));
        self.lost as usize > posting_max / 2
    }

    /// Replaces the content by all live sessions of the item, in any order.
    pub fn gather(&mut self, entries: Vec<Entry>, clocks: &[Clock], posting_max: usize) {
        *self = Posting { entries, ..Posting::default() };
        self.settle(clocks, posting_max);
    }

    pub fn memory_bytes(&self) -> usize {
        std::mem::size_of::<Posting>() + self.entries.capacity() * std::mem::size_of::<Entry>()
    }
}
