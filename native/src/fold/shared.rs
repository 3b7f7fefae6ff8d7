//! Counts that users share: per item, category and context value. Additive partials: merging two that were folded from
//! disjoint parts of a log gives what folding the whole would give.

use rustc_hash::FxHashMap;

use crate::ahead::fetch;
use crate::codec::{put_u64, Reader};
use crate::error::{Error, Result};
use crate::fold::counter::{Counter, When, Window};
use crate::fold::moments::Moments;
use crate::record::EventType;

/// Slot of the counter of impressions that the shard itself logged; event types use their own number.
pub const SERVED: u8 = 15;

/// Counters by event type with the moments of dwell and revenue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Which slots have a counter, a bit each: finding one touches no other.
    slots: u16,
    /// In the order of their slots.
    counters: Vec<Counter>,
    pub dwell: Moments,
    pub revenue: Moments,
}

impl Stats {
    pub fn get(&self, slot: u8) -> Option<&Counter> {
        self.place(slot).ok().and_then(|at| self.counters.get(at))
    }

    /// Where the counter of a slot (below 16) is, or would have to be.
    fn place(&self, slot: u8) -> std::result::Result<usize, usize> {
        let bit = 1u16 << slot;
        let at = (self.slots & (bit - 1)).count_ones() as usize;
        if self.slots & bit == 0 {
            Err(at)
        } else {
            Ok(at)
        }
    }

    /// The counter of a slot, made if need be.
    fn counter_mut(&mut self, slot: u8) -> &mut Counter {
        let at = match self.place(slot) {
            Ok(at) => at,
            Err(at) => {
                self.slots |= 1 << slot;
                self.counters.insert(at, Counter::default());
                at
            }
        };
        &mut self.counters[at]
    }

    fn by_slot(&self) -> impl Iterator<Item = (u8, &Counter)> {
        (0..16).filter(|slot| self.slots >> slot & 1 == 1).zip(&self.counters)
    }

    pub fn count(&self, event_type: EventType, window: Window, as_of_ms: i64) -> u64 {
        self.slot_count(event_type as u8, window, as_of_ms)
    }

    pub fn slot_count(&self, slot: u8, window: Window, as_of_ms: i64) -> u64 {
        self.get(slot).map_or(0, |c| c.in_window(window, as_of_ms))
    }

    pub fn decayed(&self, event_type: EventType, half_life_ms: i64, as_of_ms: i64) -> f64 {
        self.get(event_type as u8).map_or(0.0, |c| c.decayed(half_life_ms, as_of_ms))
    }

    pub fn add(&mut self, slot: u8, ts_ms: i64) {
        self.add_at(slot, &When::at(ts_ms));
    }

    pub fn add_at(&mut self, slot: u8, when: &When) {
        self.counter_mut(slot).add_at(when, 1);
    }

    /// Asks for the counter of a slot.
    pub fn fetch(&self, slot: u8) {
        if let Some(counter) = self.get(slot) {
            fetch(counter);
        }
    }

    /// Asks for all counters.
    pub fn fetch_all(&self) {
        self.counters.iter().for_each(fetch);
    }

    /// Bytes behind the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.counters.capacity() * std::mem::size_of::<Counter>()
    }

    pub fn merge(&mut self, other: &Stats) {
        for (slot, theirs) in other.by_slot() {
            self.counter_mut(slot).merge(theirs);
        }
        self.dwell.merge(&other.dwell);
        self.revenue.merge(&other.revenue);
    }

    /// Decayed interest: what people did with it, weighed by what it says. A refund takes a purchase back.
    pub fn popularity(&self, half_life_ms: i64, as_of_ms: i64) -> f64 {
        const WEIGHTS: [(EventType, f64); 6] = [
            (EventType::Click, 1.0),
            (EventType::View, 1.0),
            (EventType::Like, 2.0),
            (EventType::AddToCart, 3.0),
            (EventType::Purchase, 5.0),
            (EventType::Refund, -5.0),
        ];
        WEIGHTS.iter().map(|(t, w)| w * self.decayed(*t, half_life_ms, as_of_ms)).sum::<f64>().max(0.0)
    }

    /// Interest of the last hour against what the last week makes one expect, in standard deviations of a Poisson
    /// count: new things rise, steady favourites do not.
    pub fn trend(&self, as_of_ms: i64) -> f64 {
        let sum = |w| -> f64 {
            [EventType::Click, EventType::View, EventType::AddToCart, EventType::Purchase]
                .iter()
                .map(|t| self.count(*t, w, as_of_ms) as f64)
                .sum()
        };
        let (hour, week) = (sum(Window::Hour), sum(Window::Week));
        trend_of(hour, week)
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.counters.len() as u64);
        for (slot, c) in self.by_slot() {
            out.push(slot);
            c.encode(out);
        }
        self.dwell.encode(out);
        self.revenue.encode(out);
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Stats> {
        let n = r.u64()?;
        if n > 16 {
            return Err(Error::corrupt(0, "too many counters"));
        }
        let mut stats = Stats::default();
        for _ in 0..n {
            let slot = r.u8()?;
            // Ascending, as they were written.
            if slot > SERVED || stats.slots >> slot != 0 {
                return Err(Error::corrupt(0, "a counter of an unknown or repeated slot"));
            }
            stats.slots |= 1 << slot;
            stats.counters.push(Counter::decode(r)?);
        }
        Ok(Stats { dwell: Moments::decode(r)?, revenue: Moments::decode(r)?, ..stats })
    }
}

/// Counts of an hour against those of the week that it ends, in standard deviations of a Poisson count.
pub fn trend_of(hour: f64, week: f64) -> f64 {
    let expected = week.max(hour) / 168.0;
    (hour - expected).max(0.0) / (expected + 1.0).sqrt()
}

/// Rate with a beta prior: `(hits + rate·strength) / (trials + strength)`. Early on it is the prior, later the data.
pub fn rate(hits: f64, trials: f64, prior_rate: f64, prior_strength: f64) -> f64 {
    ((hits.min(trials.max(hits)) + prior_rate * prior_strength) / (trials.max(hits) + prior_strength)).clamp(0.0, 1.0)
}

/// Stats by category hash. Looked up, and sorted before anything goes out.
#[derive(Debug, Clone, Default)]
pub struct Categories {
    rows: FxHashMap<u64, (Stats, bool)>,
    dirty: Vec<u64>,
    /// The last changes, over and over in the same places, and how many there ever were.
    changed: Vec<u64>,
    changes: u64,
}

/// Changes remembered for caches; who looks less often than this forgets everything.
const CHANGES_MAX: usize = 4_096;

impl Categories {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn get(&self, category: u64) -> Option<&Stats> {
        self.rows.get(&category).map(|(stats, _)| stats)
    }

    /// How often counts were changed, for `changed_since`.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The categories whose counts changed after `changes` answered that number; None when that is too long ago.
    pub fn changed_since(&self, changes: u64) -> Option<impl Iterator<Item = u64> + '_> {
        let new = self.changes.checked_sub(changes).filter(|new| *new <= CHANGES_MAX as u64)?;
        Some((self.changes - new..self.changes).map(|at| self.changed[at as usize % CHANGES_MAX]))
    }

    fn tell(&mut self, category: u64) {
        let at = self.changes as usize % CHANGES_MAX;
        self.changes += 1;
        if at == self.changed.len() {
            self.changed.push(category);
        } else {
            self.changed[at] = category;
        }
    }

    /// The stats to count in, counted as changed.
    pub fn change(&mut self, category: u64) -> &mut Stats {
        self.tell(category);
        let (stats, dirty) = self.rows.entry(category).or_default();
        if !*dirty {
            *dirty = true;
            self.dirty.push(category);
        }
        stats
    }

    pub fn restore(&mut self, category: u64, stats: Stats) {
        self.tell(category);
        self.rows.insert(category, (stats, false));
    }

    /// What changed since the last call, ascending.
    pub fn take_dirty(&mut self) -> Vec<u64> {
        let mut changed = std::mem::take(&mut self.dirty);
        changed.sort_unstable();
        for category in &changed {
            if let Some((_, dirty)) = self.rows.get_mut(category) {
                *dirty = false;
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn stats(n: u32, slots: &[u8]) -> Stats {
        let mut s = Stats::default();
        for i in 0..n {
            s.add(slots[i as usize % slots.len()], NOW - i64::from(i) * 1_000_003);
            s.revenue.add(f64::from(i));
        }
        s
    }

    #[test]
    fn partials_merge_like_one_fold() {
        let (a, b, c) = (stats(40, &[1, 6]), stats(25, &[0, 1, SERVED]), stats(7, &[9]));
        let merged = |parts: &[&Stats]| {
            let mut m = Stats::default();
            parts.iter().for_each(|p| m.merge(p));
            m
        };
        assert_eq!(merged(&[&a, &b, &c]), merged(&[&c, &b, &a]));
        let mut bc = b.clone();
        bc.merge(&c);
        assert_eq!(merged(&[&a, &bc]), merged(&[&a, &b, &c]));
        let mut out = Vec::new();
        bc.encode(&mut out);
        assert_eq!(Stats::decode(&mut Reader::new(&out)).unwrap(), bc);
    }

    #[test]
    fn changes_are_told_while_they_are_remembered() {
        let mut categories = Categories::default();
        let since = |c: &Categories, n: u64| c.changed_since(n).map(Iterator::collect::<Vec<u64>>);
        assert_eq!(since(&categories, 0), Some(vec![]));
        assert_eq!(since(&categories, 1), None, "a number of another table");
        for n in 0..CHANGES_MAX as u64 {
            categories.change(n % 3);
        }
        let before = categories.changes();
        assert_eq!(since(&categories, 0).map(|all| all.len()), Some(CHANGES_MAX));
        categories.change(7);
        categories.change(8);
        categories.change(7);
        assert_eq!(since(&categories, before), Some(vec![7, 8, 7]));
        assert_eq!(since(&categories, before + 3), Some(vec![]));
        assert_eq!(since(&categories, 2), None);
        assert!(since(&categories, 3).is_some());
    }

    #[test]
    fn a_rate_starts_at_its_prior_and_ends_at_the_data() {
        assert_eq!(rate(0.0, 0.0, 0.05, 20.0), 0.05);
        assert!((rate(500.0, 1_000.0, 0.05, 20.0) - 0.491).abs() < 0.001);
        assert!(rate(3.0, 1.0, 0.05, 20.0) < 1.0, "more clicks than impressions is still a rate");
    }

    #[test]
    fn a_burst_trends_and_a_steady_favourite_does_not() {
        let mut steady = Stats::default();
        for h in 0..168 {
            steady.add(EventType::Click as u8, NOW - h * 3_600_000);
        }
        let mut burst = Stats::default();
        for m in 0..20 {
            burst.add(EventType::Click as u8, NOW - m * 60_000);
        }
        assert!(burst.trend(NOW) > 10.0 * steady.trend(NOW).max(0.1));
        assert_eq!(burst.trend(NOW + 86_400_000), 0.0);
    }
}
