//! Posting list of one item: the sessions that hold it, in order of session time.
//!
//! Invariant: entries are sorted by (last time, session key), and every session has at most one live entry. An entry is
//! live while it carries the current time of its session; when a session moves on, its old entry is left behind until the
//! next compaction and the session waits in `pending`, so a touch costs an append however many items the session holds.
//! Whoever calls passes the clocks; a posting does not know which items a session holds.

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

/// Sessions that may wait: a query pays for them, so this bounds what the first one after many touches has to do.
const PENDING_MAX: usize = 64;
/// Below this length compaction costs more than the entries it would drop.
const COMPACT_MIN: usize = 8;

#[derive(Debug)]
pub(super) struct Posting {
    pub entries: Vec<Entry>,
    /// (slot, life) of sessions that hold the item and have no live entry; some may be gone by now.
    pub pending: Vec<(u32, u32)>,
    compact_at: u32,
    /// Sessions of this item that went since the last compaction: about as many entries are dead.
    dead: u32,
    /// Live sessions that hold the item may be missing here, all of them older than what is kept.
    truncated: bool,
    /// Sessions removed out of order since the posting was last complete: each may hide one that was truncated.
    lost: u32,
}

impl Default for Posting {
    fn default() -> Self {
        Posting {
            entries: Vec::new(),
            pending: Vec::new(),
            compact_at: COMPACT_MIN as u32,
            dead: 0,
            truncated: false,
            lost: 0,
        }
    }
}

impl Posting {
    /// Lets a session wait. True when so many do that they must be admitted before a query would have to.
    #[inline]
    pub fn defer(&mut self, slot: u32, life: u32) -> bool {
        self.pending.push((slot, life));
        self.pending.len() >= PENDING_MAX
    }

    /// Places entries, in any order, where they belong and empties `arrivals`.
    pub fn admit(&mut self, arrivals: &mut Vec<Entry>, clocks: &[Clock], posting_max: usize) {
        let Some(first) = arrivals.iter().map(Entry::rank).min() else { return };
        // Arrivals are nearly always the newest: only the tail from the first of them on has to be put in order.
        let from = match self.entries.last() {
            Some(last) if last.rank() > first => self.entries.partition_point(|e| e.rank() < first),
            _ => self.entries.len(),
        };
        self.entries.append(arrivals);
        // Stable because that sort merges two runs in linear time; ranks are never equal among live entries.
        self.entries[from..].sort_by_key(Entry::rank);
        if self.entries.len() >= self.compact_at as usize {
            self.compact(clocks, posting_max);
        }
    }

    /// Drops dead entries and, beyond `posting_max`, the oldest live ones.
    pub fn compact(&mut self, clocks: &[Clock], posting_max: usize) {
        self.entries.retain(|e| e.is_live(clocks));
        if self.entries.len() > posting_max {
            self.entries.drain(..self.entries.len() - posting_max);
            self.truncated = true;
        }
        self.pending.retain(|&(slot, life)| clocks[slot as usize].life == life);
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
    pub fn gather(&mut self, mut entries: Vec<Entry>, clocks: &[Clock], posting_max: usize) {
        *self = Posting::default();
        self.admit(&mut entries, clocks, posting_max);
    }

    pub fn memory_bytes(&self) -> usize {
        std::mem::size_of::<Posting>()
            + self.entries.capacity() * std::mem::size_of::<Entry>()
            + self.pending.capacity() * 8
    }
}
