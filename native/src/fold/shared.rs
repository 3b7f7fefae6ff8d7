//! Counts that users share: per item, category and context value. Additive partials: merging two that were folded from
//! disjoint parts of a log gives what folding the whole would give.

use std::collections::BTreeMap;

use crate::codec::{put_u64, Reader};
use crate::error::{Error, Result};
use crate::fold::counter::{Counter, Window};
use crate::fold::moments::Moments;
use crate::record::EventType;

/// Slot of the counter of impressions that the shard itself logged; event types use their own number.
pub const SERVED: u8 = 15;

/// Counters by event type with the moments of dwell and revenue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sorted by slot.
    counters: Vec<(u8, Counter)>,
    pub dwell: Moments,
    pub revenue: Moments,
}

impl Stats {
    pub fn get(&self, slot: u8) -> Option<&Counter> {
        self.counters.iter().find(|(s, _)| *s == slot).map(|(_, c)| c)
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
        match self.counters.binary_search_by_key(&slot, |(s, _)| *s) {
            Ok(at) => self.counters[at].1.add(ts_ms, 1),
            Err(at) => {
                let mut counter = Counter::default();
                counter.add(ts_ms, 1);
                self.counters.insert(at, (slot, counter));
            }
        }
    }

    /// Bytes behind the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.counters.capacity() * std::mem::size_of::<(u8, Counter)>()
    }

    pub fn merge(&mut self, other: &Stats) {
        for (slot, theirs) in &other.counters {
            match self.counters.binary_search_by_key(slot, |(s, _)| *s) {
                Ok(at) => self.counters[at].1.merge(theirs),
                Err(at) => self.counters.insert(at, (*slot, theirs.clone())),
            }
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
        let expected = week.max(hour) / 168.0;
        (hour - expected).max(0.0) / (expected + 1.0).sqrt()
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.counters.len() as u64);
        for (slot, c) in &self.counters {
            out.push(*slot);
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
        let counters = (0..n).map(|_| Ok((r.u8()?, Counter::decode(r)?))).collect::<Result<Vec<_>>>()?;
        Ok(Stats { counters, dwell: Moments::decode(r)?, revenue: Moments::decode(r)? })
    }
}

/// Rate with a beta prior: `(hits + rate·strength) / (trials + strength)`. Early on it is the prior, later the data.
pub fn rate(hits: f64, trials: f64, prior_rate: f64, prior_strength: f64) -> f64 {
    ((hits.min(trials.max(hits)) + prior_rate * prior_strength) / (trials.max(hits) + prior_strength)).clamp(0.0, 1.0)
}

pub const DIMENSIONS: [&str; 3] = ["device", "country", "channel"];
/// Values remembered per dimension; what comes later is not told apart.
const VALUES_MAX: usize = 256;
/// Items remembered per context value.
const CONTEXT_ITEMS_MAX: usize = 1_000;

/// One value of a context dimension, such as device = mobile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    pub stats: Stats,
    /// Interactions by item index.
    pub items: BTreeMap<u32, Counter>,
}

impl Context {
    /// Counts an interaction; past twice the bound, the items seen longest ago make room (ties: the smaller total,
    /// then the smaller index goes).
    pub fn add_item(&mut self, item: u32, ts_ms: i64) -> Vec<u32> {
        self.items.entry(item).or_default().add(ts_ms, 1);
        if self.items.len() <= 2 * CONTEXT_ITEMS_MAX {
            return Vec::new();
        }
        let mut order: Vec<(i64, u64, u32)> = self.items.iter().map(|(i, c)| (c.newest_ms(), c.total(), *i)).collect();
        order.sort_unstable();
        let gone: Vec<u32> = order[..order.len() - CONTEXT_ITEMS_MAX].iter().map(|e| e.2).collect();
        for item in &gone {
            self.items.remove(item);
        }
        gone
    }
}

/// All context values, by (dimension, value).
#[derive(Debug, Clone, Default)]
pub struct Contexts {
    map: BTreeMap<(u8, String), Context>,
}

impl Contexts {
    pub fn get(&self, dimension: u8, value: &str) -> Option<&Context> {
        self.map.get(&(dimension, value.to_owned()))
    }

    /// None when the dimension has all the values it may have.
    pub fn entry(&mut self, dimension: u8, value: &str) -> Option<&mut Context> {
        let key = (dimension, value.to_owned());
        if !self.map.contains_key(&key) && self.map.keys().filter(|(d, _)| *d == dimension).count() >= VALUES_MAX {
            return None;
        }
        Some(self.map.entry(key).or_default())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&(u8, String), &Context)> {
        self.map.iter()
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

    #[test]
    fn a_context_is_bounded_and_forgets_the_oldest() {
        let mut c = Context::default();
        let mut gone = Vec::new();
        for i in 0..=2 * CONTEXT_ITEMS_MAX as u32 {
            gone.extend(c.add_item(i, NOW + i64::from(i)));
        }
        assert_eq!(c.items.len(), CONTEXT_ITEMS_MAX);
        assert_eq!(gone.len(), CONTEXT_ITEMS_MAX + 1);
        assert!(c.items.contains_key(&(2 * CONTEXT_ITEMS_MAX as u32)) && !c.items.contains_key(&0));
        let mut contexts = Contexts::default();
        for v in 0..300 {
            contexts.entry(0, &format!("v{v}"));
        }
        assert!(contexts.entry(0, "v0").is_some() && contexts.entry(0, "v299").is_none());
        assert!(contexts.entry(1, "DE").is_some());
    }
}
