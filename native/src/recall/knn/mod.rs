//! VMIS-kNN over sessions as they happen: sessions that shared the latest items of this one vote for what comes next.
//!
//! Kersbergen, Sprangers, Schelter: "Serenade - Low-Latency Session-Based Recommendation in e-Commerce at Scale",
//! SIGMOD 2022. The paper builds its index once a day; this one takes every interaction as it comes.
//!
//! Invariant: an answer depends only on the live sessions (their distinct items and last times), never on the order in
//! which they were touched, restored or compacted. This module does not know what an item is or who may see it.

mod posting;
mod query;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use crate::ahead::fetch;
use crate::codec::{put_i64, put_u64, Reader};
use crate::error::{Error, Result};
use posting::{Clock, Entry, Posting};
use query::Scratch;

/// Bounds of the index. Sessions beyond `sessions_max` are evicted, the oldest last time first, then the smallest key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnnLimits {
    pub sessions_max: usize,
    /// Distinct items kept per session, the last touched.
    pub session_items_max: usize,
    /// Sessions kept per item, the most recent; a query looks at no more than half of them.
    pub posting_max: usize,
    /// Touches of item indices from here on are ignored: arrays are as long as the largest index.
    pub items_max: u32,
}

impl Default for KnnLimits {
    fn default() -> Self {
        KnnLimits { sessions_max: 1_000_000, session_items_max: 100, posting_max: 5_000, items_max: 1 << 24 }
    }
}

/// The parameters of the paper, under the names of its configuration file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnnParams {
    pub m_most_recent_sessions: usize,
    pub neighborhood_size_k: usize,
    pub max_items_in_session: usize,
    /// Factor on ln(pairs / sessions of the item); 0 switches the weighting off.
    pub idf_weighting: f64,
    /// Beyond the paper: the latest item may come again. Who counts what comes next wants it, who recommends may not.
    pub with_latest: bool,
    /// Beyond the paper, 0 switches it off: in a neighbour, what stands farther than one place from the latest shared item
    /// counts by exp(-places beyond / reach) (STAN, Garg et al., SIGIR 2019).
    pub reach: f64,
}

impl Default for KnnParams {
    fn default() -> Self {
        KnnParams {
            m_most_recent_sessions: 500,
            neighborhood_size_k: 50,
            max_items_in_session: 2,
            idf_weighting: 1.0,
            with_latest: false,
            reach: 0.0,
        }
    }
}

#[derive(Debug, Default)]
struct Session {
    key: u64,
    dirty: bool,
    /// Distinct, in the order of their last touch; `PENDING` is set where the session waits in the item's posting.
    items: Vec<u32>,
}

const PENDING: u32 = 1 << 31;

/// (last time when pushed, key, slot, life): a lower bound of the session's place, brought up to date when it surfaces.
type Oldest = Reverse<(i64, u64, u32, u32)>;

#[derive(Debug, Default)]
pub struct SessionKnn {
    limits: KnnLimits,
    slots: FxHashMap<u64, u32>,
    free: Vec<u32>,
    sessions: Vec<Session>,
    /// Parallel to `sessions`, apart from it because queries read nothing else of most sessions.
    clocks: Vec<Clock>,
    lives: u32,
    postings: Vec<Posting>,
    /// Live sessions per item.
    counts: Vec<u32>,
    /// Sum of `counts`.
    pairs: u64,
    oldest: BinaryHeap<Oldest>,
    dirty: Vec<u64>,
    /// Scratch space of `resolve`.
    arrivals: Vec<Entry>,
    scratch: Scratch,
}

impl SessionKnn {
    pub fn new(limits: KnnLimits) -> Self {
        let limits = KnnLimits { items_max: limits.items_max.min(PENDING), ..limits };
        SessionKnn { limits, ..SessionKnn::default() }
    }

    /// Session `key` interacted with `item`. Calls come in log order; a late `ts_ms` does not move the session back.
    pub fn touch(&mut self, key: u64, item: u32, ts_ms: i64) {
        if item >= self.limits.items_max || self.limits.sessions_max == 0 || self.limits.session_items_max == 0 {
            return;
        }
        self.make_room_for(item);
        let slot = match self.slots.get(&key) {
            Some(&slot) => slot,
            None => self.open(key, ts_ms),
        };
        let before = self.clocks[slot as usize];
        let (is_fresh, dropped) = self.remember(slot, item);
        let moved = ts_ms > before.last_ms;
        if moved {
            self.clocks[slot as usize].last_ms = ts_ms;
        } else if let Some(dropped) = dropped {
            self.postings[dropped as usize].take((before.last_ms, key));
        }
        if moved || is_fresh {
            self.enlist(slot, moved);
        }
        if let Some(dropped) = dropped {
            self.left(dropped);
        }
        self.mark(slot);
        self.evict();
    }

    /// Asks for what a touch is about to need.
    pub fn fetch(&self, key: u64, item: u32) {
        if let Some(&slot) = self.slots.get(&key) {
            fetch(&self.sessions[slot as usize]);
            fetch(&self.clocks[slot as usize]);
        }
        if let Some(posting) = self.postings.get(item as usize) {
            fetch(posting);
            fetch(&self.counts[item as usize]);
        }
    }

    /// Removes a session and all it contributed.
    pub fn forget(&mut self, key: u64) {
        if let Some(slot) = self.slots.get(&key).copied() {
            for item in self.close(slot) {
                self.left(item & !PENDING);
            }
        }
    }

    pub fn sessions(&self) -> usize {
        self.slots.len()
    }

    /// Pairs of a session and a distinct item in it.
    pub fn len(&self) -> usize {
        usize::try_from(self.pairs).unwrap_or(usize::MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Heap bytes held, counted by capacity; walks the postings and the slots.
    pub fn memory_bytes(&self) -> usize {
        let postings: usize = self.postings.iter().map(Posting::memory_bytes).sum();
        let sessions: usize =
            self.sessions.iter().map(|s| std::mem::size_of::<Session>() + s.items.capacity() * 4).sum();
        postings
            + sessions
            + self.clocks.capacity() * std::mem::size_of::<Clock>()
            + self.slots.capacity() * 17
            + self.oldest.capacity() * std::mem::size_of::<Oldest>()
            + (self.counts.capacity() + self.free.capacity()) * 4
            + self.dirty.capacity() * 8
            + self.scratch.memory_bytes()
    }

    /// Keys of the sessions that changed or went since the last call, ascending.
    pub fn take_dirty_sessions(&mut self) -> Vec<u64> {
        let mut keys = std::mem::take(&mut self.dirty);
        keys.sort_unstable();
        keys.dedup();
        for key in &keys {
            if let Some(&slot) = self.slots.get(key) {
                self.sessions[slot as usize].dirty = false;
            }
        }
        keys
    }

    /// What `restore` takes; `None` when the session is not (or no longer) here.
    pub fn session_entry(&self, key: u64) -> Option<Vec<u8>> {
        let slot = *self.slots.get(&key)? as usize;
        let items = &self.sessions[slot].items;
        let mut out = Vec::with_capacity(10 + 4 * items.len());
        put_i64(&mut out, self.clocks[slot].last_ms);
        put_u64(&mut out, items.len() as u64);
        items.iter().for_each(|&item| put_u64(&mut out, u64::from(item & !PENDING)));
        Some(out)
    }

    /// Puts back a session as `session_entry` gave it, in any order of keys. Under smaller limits than it was written
    /// with, the same sessions and items are dropped that touching would have dropped.
    pub fn restore(&mut self, key: u64, bytes: &[u8]) -> Result<()> {
        let mut reader = Reader::new(bytes);
        let last_ms = reader.i64()?;
        let mut items = Vec::new();
        for _ in 0..reader.u64()? {
            let item = u32::try_from(reader.u64()?).ok().filter(|&item| item < self.limits.items_max);
            let item = item.ok_or_else(|| Error::corrupt(0, "a session with an item beyond items_max"))?;
            if items.contains(&item) {
                return Err(Error::corrupt(0, "a session that holds an item twice"));
            }
            items.push(item);
        }
        if !reader.is_empty() {
            return Err(Error::corrupt(0, "a session longer than it says"));
        }
        if self.slots.contains_key(&key) {
            self.forget(key);
        }
        items.drain(..items.len().saturating_sub(self.limits.session_items_max));
        if items.is_empty() || self.limits.sessions_max == 0 {
            return Ok(());
        }
        let slot = self.open(key, last_ms);
        for &item in &items {
            self.make_room_for(item);
            self.counts[item as usize] += 1;
            self.pairs += 1;
        }
        self.sessions[slot as usize].items = items;
        self.enlist(slot, true);
        self.evict();
        Ok(())
    }

    fn make_room_for(&mut self, item: u32) {
        let needed = item as usize + 1;
        if self.postings.len() < needed {
            self.postings.resize_with(needed, Posting::default);
            self.counts.resize(needed, 0);
        }
    }

    fn open(&mut self, key: u64, last_ms: i64) -> u32 {
        self.lives = self.lives.wrapping_add(1).max(1);
        let clock = Clock { last_ms, life: self.lives };
        let session = Session { key, dirty: false, items: Vec::new() };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.sessions[slot as usize] = session;
                self.clocks[slot as usize] = clock;
                slot
            }
            None => {
                self.sessions.push(session);
                self.clocks.push(clock);
                (self.sessions.len() - 1) as u32
            }
        };
        self.slots.insert(key, slot);
        self.oldest.push(Reverse((last_ms, key, slot, clock.life)));
        slot
    }

    fn entry(&self, slot: u32) -> Entry {
        let clock = self.clocks[slot as usize];
        Entry { last_ms: clock.last_ms, key: self.sessions[slot as usize].key, slot, life: clock.life }
    }

    /// Lets the session wait for its place in the posting of its latest item, or of all its items after it moved on.
    /// Where it waits already there is nothing to do.
    #[inline]
    fn enlist(&mut self, slot: u32, all: bool) {
        let life = self.clocks[slot as usize].life;
        let held = self.sessions[slot as usize].items.len();
        for at in if all { 0 } else { held - 1 }..held {
            let item = self.sessions[slot as usize].items[at];
            if item & PENDING != 0 {
                continue;
            }
            self.sessions[slot as usize].items[at] = item | PENDING;
            if self.postings[item as usize].defer(slot, life) {
                self.resolve(item);
            }
        }
    }

    /// Gives every session that waits in the posting of an item its place there.
    fn resolve(&mut self, item: u32) {
        let Some(posting) = self.postings.get_mut(item as usize).filter(|p| !p.pending.is_empty()) else { return };
        for (slot, life) in posting.pending.drain(..) {
            let (clock, session) = (self.clocks[slot as usize], &mut self.sessions[slot as usize]);
            // The session may be gone, or have dropped the item since.
            let held = session.items.iter_mut().find(|i| **i == item | PENDING).filter(|_| clock.life == life);
            if let Some(held) = held {
                *held = item;
                self.arrivals.push(Entry { last_ms: clock.last_ms, key: session.key, slot, life });
            }
        }
        posting.admit(&mut self.arrivals, &self.clocks, self.limits.posting_max);
    }

    /// Makes `item` the latest of the session's items: was it new to it, and which one had to go for it?
    fn remember(&mut self, slot: u32, item: u32) -> (bool, Option<u32>) {
        let items = &mut self.sessions[slot as usize].items;
        if let Some(at) = items.iter().rposition(|&i| i & !PENDING == item) {
            items[at..].rotate_left(1);
            return (false, None);
        }
        let dropped = (items.len() >= self.limits.session_items_max).then(|| items.remove(0) & !PENDING);
        items.push(item);
        self.counts[item as usize] += 1;
        self.pairs += 1;
        if let Some(dropped) = dropped {
            self.counts[dropped as usize] -= 1;
            self.pairs -= 1;
        }
        (true, dropped)
    }

    fn mark(&mut self, slot: u32) {
        let session = &mut self.sessions[slot as usize];
        if !session.dirty {
            session.dirty = true;
            self.dirty.push(session.key);
        }
    }

    /// Empties the slot and returns the items the session held.
    fn close(&mut self, slot: u32) -> Vec<u32> {
        let session = std::mem::take(&mut self.sessions[slot as usize]);
        self.clocks[slot as usize] = Clock::default();
        self.slots.remove(&session.key);
        self.free.push(slot);
        self.dirty.push(session.key);
        for &held in &session.items {
            let item = (held & !PENDING) as usize;
            self.counts[item] -= 1;
            self.pairs -= 1;
            self.postings[item].bury(&self.clocks, self.limits.posting_max);
        }
        if self.oldest.len() > 2 * self.slots.len() + 64 {
            let clocks = &self.clocks;
            self.oldest.retain(|Reverse((_, _, slot, life))| clocks[*slot as usize].life == *life);
        }
        session.items
    }

    /// A session left the item although older ones stay. Eviction never needs this: it takes the oldest of all, so
    /// whatever a truncated posting had to drop is gone already.
    fn left(&mut self, item: u32) {
        if !self.postings[item as usize].lose(self.limits.posting_max) {
            return;
        }
        self.resolve(item);
        let mut entries = Vec::new();
        for slot in 0..self.sessions.len() {
            if self.sessions[slot].items.contains(&item) {
                entries.push(self.entry(slot as u32));
            }
        }
        self.postings[item as usize].gather(entries, &self.clocks, self.limits.posting_max);
    }

    fn evict(&mut self) {
        while self.slots.len() > self.limits.sessions_max {
            let Some(mut top) = self.oldest.peek_mut() else { return };
            let Reverse((last_ms, key, slot, life)) = *top;
            let clock = self.clocks[slot as usize];
            if clock.life == life && clock.last_ms != last_ms {
                *top = Reverse((clock.last_ms, key, slot, life));
                continue;
            }
            PeekMut::pop(top);
            if clock.life == life {
                self.close(slot);
            }
        }
    }
}
