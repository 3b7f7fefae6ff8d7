//! Counts in windows: integers per coarse time bucket, finer when recent.
//!
//! Invariant: the content is a function of the multiset of (ts, n) added, whatever their order, so two counters of
//! disjoint event sets merge by addition. Decay, rates and window sums are computed when read, never stored.

use crate::codec::{put_i64, put_u64, Reader};
use crate::error::{Error, Result};

/// One resolution: `len` buckets of `width_ms`. A window of `len - 1` widths is always covered in full; the answer may
/// include up to one bucket more, because the oldest bucket is counted whole.
pub(super) struct Level {
    pub width_ms: i64,
    start: usize,
    pub len: usize,
}

impl Level {
    /// Indices from `first` to `last` with where their buckets lie: one division for all of them, which is most of what
    /// reading a counter costs.
    fn places(&self, first: i64, last: i64) -> impl Iterator<Item = (i64, usize)> + use<> {
        let (start, end) = (self.start, self.start + self.len);
        let mut at = self.place(first);
        (first..=last).map(move |index| {
            let here = at;
            at = if at + 1 < end { at + 1 } else { start };
            (index, here)
        })
    }

    /// Where the bucket of that index lies.
    pub fn place(&self, index: i64) -> usize {
        self.start + index.rem_euclid(self.len as i64) as usize
    }
}

/// The resolution that answers a window; None is for ever.
pub(super) fn level_of(window: Window) -> Option<&'static Level> {
    match window {
        Window::Minutes5 => Some(&LEVELS[0]),
        Window::Hour => Some(&LEVELS[1]),
        Window::Day => Some(&LEVELS[2]),
        Window::Week => Some(&LEVELS[3]),
        Window::Lifetime => None,
    }
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

pub(super) const LEVELS: [Level; 4] = [
    Level { width_ms: MINUTE, start: 0, len: 6 },
    Level { width_ms: 10 * MINUTE, start: 6, len: 7 },
    Level { width_ms: 2 * HOUR, start: 13, len: 13 },
    Level { width_ms: DAY, start: 26, len: 8 },
];
pub const BUCKETS: usize = 34;

/// The windows a feature may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Minutes5,
    Hour,
    Day,
    Week,
    Lifetime,
}

impl Window {
    pub fn ms(self) -> i64 {
        match self {
            Window::Lifetime => 0,
            Window::Minutes5 => 300_000,
            Window::Hour => HOUR,
            Window::Day => DAY,
            Window::Week => 7 * DAY,
        }
    }

    pub fn from_ms(ms: i64) -> Option<Window> {
        Some(match ms {
            0 => Window::Lifetime,
            300_000 => Window::Minutes5,
            HOUR => Window::Hour,
            DAY => Window::Day,
            w if w == 7 * DAY => Window::Week,
            _ => return None,
        })
    }
}

/// A moment with the buckets that it falls into: an event counts in a dozen counters and is placed once.
#[derive(Debug, Clone, Copy)]
pub struct When {
    pub ts_ms: i64,
    /// By level: which of all buckets since 1970, and where that one lies in a counter.
    index: [i64; LEVELS.len()],
    slot: [u8; LEVELS.len()],
}

impl When {
    pub fn at(ts_ms: i64) -> When {
        let mut when = When { ts_ms, index: [0; LEVELS.len()], slot: [0; LEVELS.len()] };
        for (level, (index, slot)) in LEVELS.iter().zip(when.index.iter_mut().zip(&mut when.slot)) {
            *index = ts_ms / level.width_ms;
            *slot = (level.start + index.rem_euclid(level.len as i64) as usize) as u8;
        }
        when
    }

    /// By level: which of all buckets since 1970, and where it lies.
    pub(super) fn places(&self) -> impl Iterator<Item = (i64, usize)> + '_ {
        self.index.iter().zip(&self.slot).map(|(index, slot)| (*index, usize::from(*slot)))
    }
}

/// Counts of one kind of event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// Latest time added; fixes which buckets exist. 0 while empty.
    newest_ms: i64,
    total: u64,
    buckets: [u32; BUCKETS],
}

/// A decayed count on its way through the levels.
struct Decayed {
    sum: f64,
    counted: u64,
    /// Where the finer level begins: buckets that end before it hold nothing that was counted already.
    finer_from: i64,
}

impl Default for Counter {
    fn default() -> Self {
        Counter { newest_ms: 0, total: 0, buckets: [0; BUCKETS] }
    }
}

impl Counter {
    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Counts `n` at `ts_ms` (> 0). What is older than a level reaches back is left out of that level only.
    pub fn add(&mut self, ts_ms: i64, n: u32) {
        self.add_at(&When::at(ts_ms), n);
    }

    /// `add` for a moment that is placed already.
    pub fn add_at(&mut self, when: &When, n: u32) {
        self.total = self.total.saturating_add(u64::from(n));
        if when.ts_ms > self.newest_ms {
            self.advance(when.ts_ms);
        }
        // Within the newest minute every level has the bucket: by far the most events.
        let newest = when.index[0] == self.newest_ms / MINUTE;
        for (level, (index, slot)) in LEVELS.iter().zip(when.index.iter().zip(&when.slot)) {
            if newest || *index > self.newest_ms / level.width_ms - level.len as i64 {
                let bucket = &mut self.buckets[usize::from(*slot)];
                *bucket = bucket.saturating_add(n);
            }
        }
    }

    fn advance(&mut self, to_ms: i64) {
        if self.newest_ms > 0 && to_ms / MINUTE > self.newest_ms / MINUTE {
            for level in &LEVELS {
                let (from, to) = (self.newest_ms / level.width_ms, to_ms / level.width_ms);
                let len = level.len as i64;
                if to - from >= len {
                    self.buckets[level.start..level.start + level.len].fill(0);
                } else {
                    for index in from + 1..=to {
                        self.buckets[level.start + index.rem_euclid(len) as usize] = 0;
                    }
                }
            }
        }
        self.newest_ms = to_ms;
    }

    pub fn merge(&mut self, other: &Counter) {
        if other.total == 0 {
            return;
        }
        if other.newest_ms > self.newest_ms {
            self.advance(other.newest_ms);
        }
        self.total = self.total.saturating_add(other.total);
        for level in &LEVELS {
            let len = level.len as i64;
            let (newest, theirs) = (self.newest_ms / level.width_ms, other.newest_ms / level.width_ms);
            for index in (newest - len + 1).max(theirs - len + 1)..=theirs {
                let at = level.start + index.rem_euclid(len) as usize;
                self.buckets[at] = self.buckets[at].saturating_add(other.buckets[at]);
            }
        }
    }

    /// Count within the window that ends at `as_of_ms`; times after it are not counted.
    pub fn in_window(&self, window: Window, as_of_ms: i64) -> u64 {
        match window {
            Window::Minutes5 => self.in_level::<0>(as_of_ms),
            Window::Hour => self.in_level::<1>(as_of_ms),
            Window::Day => self.in_level::<2>(as_of_ms),
            Window::Week => self.in_level::<3>(as_of_ms),
            Window::Lifetime => self.total,
        }
    }

    /// What changes a window's count besides the events: two moments of one number have the same count.
    pub fn moment_of(window: Window, as_of_ms: i64) -> i64 {
        level_of(window).map_or(0, |level| as_of_ms / level.width_ms)
    }

    /// The level is known when this is compiled, and a division by what is known then is none.
    #[inline]
    fn in_level<const AT: usize>(&self, as_of_ms: i64) -> u64 {
        let Level { width_ms, len, .. } = LEVELS[AT];
        let len = len as i64;
        let (now, newest) = (as_of_ms / width_ms, self.newest_ms / width_ms);
        let held = LEVELS[AT].places((now - len + 1).max(newest - len + 1), now.min(newest));
        held.map(|(_, at)| u64::from(self.buckets[at])).sum()
    }

    /// Buckets of a level that exist, as (from, to, count), oldest first.
    #[inline]
    fn alive(&self, level: &'static Level) -> impl Iterator<Item = (i64, i64, u64)> + '_ {
        let len = level.len as i64;
        let newest = self.newest_ms / level.width_ms;
        level
            .places((newest - len + 1).max(0), newest)
            .map(move |(index, at)| (index * level.width_ms, (index + 1) * level.width_ms, u64::from(self.buckets[at])))
    }

    /// Exponentially decayed count. Each event counts with the age of the finest bucket that still holds it; what is
    /// older than the coarsest level counts with the age of its edge.
    pub fn decayed(&self, half_life_ms: i64, as_of_ms: i64) -> f64 {
        let decay = |age: i64| (-(age.max(0) as f64) / half_life_ms as f64).exp2();
        if self.total == 0 {
            return 0.0;
        }
        let mut sum = Decayed { sum: 0.0, counted: 0, finer_from: i64::MAX };
        self.decay_level::<0>(&mut sum, as_of_ms, decay);
        self.decay_level::<1>(&mut sum, as_of_ms, decay);
        self.decay_level::<2>(&mut sum, as_of_ms, decay);
        self.decay_level::<3>(&mut sum, as_of_ms, decay);
        let rest = self.total.saturating_sub(sum.counted);
        if rest > 0 {
            sum.sum += rest as f64 * decay((as_of_ms - self.newest_ms).max(0) + 8 * DAY);
        }
        sum.sum
    }

    #[inline]
    fn decay_level<const AT: usize>(&self, into: &mut Decayed, as_of_ms: i64, decay: impl Fn(i64) -> f64) {
        let level = const { &LEVELS[AT] };
        for (from, to, n) in self.alive(level).filter(|(_, _, n)| *n > 0) {
            let finer: u64 = if AT == 0 || to <= into.finer_from {
                0
            } else {
                let inside = |(f, t, _): &(i64, i64, u64)| *f >= from && *t <= to;
                self.alive(&LEVELS[AT - 1]).filter(inside).map(|b| b.2).sum()
            };
            let own = n.saturating_sub(finer);
            if own > 0 {
                into.counted += own;
                into.sum += own as f64 * decay(as_of_ms - (from + to) / 2);
            }
        }
        into.finer_from = (self.newest_ms / level.width_ms - level.len as i64 + 1).max(0) * level.width_ms;
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.total);
        if self.total == 0 {
            return;
        }
        put_i64(out, self.newest_ms);
        let mut mask = 0u64;
        for (i, n) in self.buckets.iter().enumerate() {
            mask |= u64::from(*n > 0) << i;
        }
        put_u64(out, mask);
        for n in self.buckets.iter().filter(|n| **n > 0) {
            put_u64(out, u64::from(*n));
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Counter> {
        let mut c = Counter { total: r.u64()?, ..Counter::default() };
        if c.total == 0 {
            return Ok(c);
        }
        c.newest_ms = r.i64()?;
        let mask = r.u64()?;
        for (i, slot) in c.buckets.iter_mut().enumerate() {
            if mask >> i & 1 == 1 {
                *slot = u32::try_from(r.u64()?).map_err(|_| Error::corrupt(0, "a bucket over 32 bits"))?;
            }
        }
        Ok(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn counter(times: &[i64]) -> Counter {
        let mut c = Counter::default();
        for t in times {
            c.add(*t, 1);
        }
        c
    }

    /// A small generator of numbers for laws; seeded, so a failure repeats.
    fn numbers(seed: u64, n: usize, below: i64) -> Vec<i64> {
        let mut x = seed;
        (0..n)
            .map(|_| {
                x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (x >> 33) as i64 % below
            })
            .collect()
    }

    #[test]
    fn windows_hold_what_happened_in_them() {
        let c = counter(&[NOW, NOW - 4 * MINUTE, NOW - 50 * MINUTE, NOW - 20 * HOUR, NOW - 6 * DAY, NOW - 30 * DAY]);
        assert_eq!(c.in_window(Window::Minutes5, NOW), 2);
        assert_eq!(c.in_window(Window::Hour, NOW), 3);
        assert_eq!(c.in_window(Window::Day, NOW), 4);
        assert_eq!(c.in_window(Window::Week, NOW), 5);
        assert_eq!(c.in_window(Window::Lifetime, NOW), 6);
        assert_eq!(c.in_window(Window::Minutes5, NOW + 10 * MINUTE), 0);
        assert_eq!(c.in_window(Window::Day, NOW + 2 * DAY), 0);
        assert_eq!(c.in_window(Window::Week, NOW - 5 * DAY), 1);
    }

    #[test]
    fn a_window_agrees_with_counting_the_events_at_bucket_resolution() {
        let times: Vec<i64> = numbers(7, 2_000, 9 * DAY).iter().map(|d| NOW - d).collect();
        let c = counter(&times);
        for (window, level) in [Window::Minutes5, Window::Hour, Window::Day, Window::Week].into_iter().zip(&LEVELS) {
            let from = (NOW / level.width_ms - level.len as i64 + 1) * level.width_ms;
            let newest = c.newest_ms();
            let held = (newest / level.width_ms - level.len as i64 + 1) * level.width_ms;
            let want = times.iter().filter(|t| **t >= from.max(held)).count() as u64;
            assert_eq!(c.in_window(window, NOW), want, "{window:?}");
        }
    }

    #[test]
    fn order_does_not_matter_and_merge_is_addition() {
        let times: Vec<i64> = numbers(3, 500, 10 * DAY).iter().map(|d| NOW - d).collect();
        let mut backwards = times.clone();
        backwards.reverse();
        let whole = counter(&times);
        assert_eq!(whole, counter(&backwards));
        for split in [1, 100, 499] {
            let (a, b) = times.split_at(split);
            let (mut ab, mut ba) = (counter(a), counter(b));
            ab.merge(&counter(b));
            ba.merge(&counter(a));
            assert_eq!(ab, whole);
            assert_eq!(ba, whole);
        }
        let (mut left, mut right) = (counter(&times[..100]), counter(&times[100..300]));
        let last = counter(&times[300..]);
        left.merge(&right);
        left.merge(&last);
        right.merge(&last);
        let mut other = counter(&times[..100]);
        other.merge(&right);
        assert_eq!(left, other, "merge is associative");
    }

    #[test]
    fn decay_halves_per_half_life() {
        let c = counter(&[NOW]);
        let now = c.decayed(HOUR, NOW);
        assert!((now - 1.0).abs() < 0.02);
        assert!((c.decayed(HOUR, NOW + 3 * HOUR) / now - 0.125).abs() < 0.01);
        let many = counter(&[NOW - 30 * DAY, NOW]);
        assert!(many.decayed(DAY, NOW) > 0.95 && many.decayed(DAY, NOW) < 1.01);
        let spread: Vec<i64> = (0..7 * 24).map(|h| NOW - h * HOUR).collect();
        let exact: f64 = spread.iter().map(|t| (-((NOW - t) as f64) / (2 * DAY) as f64).exp2()).sum();
        assert!((counter(&spread).decayed(2 * DAY, NOW) / exact - 1.0).abs() < 0.1);
    }

    #[test]
    fn decay_takes_each_event_from_the_finest_bucket_that_holds_it() {
        for seed in 0..40 {
            let times: Vec<i64> =
                numbers(seed, 1 + 7 * seed as usize, 12 * DAY).iter().map(|d| NOW - d * d / (9 * DAY)).collect();
            let c = counter(&times);
            // Every pair of levels, bucket against bucket.
            let mut want = 0.0;
            let mut counted = 0;
            for (i, level) in LEVELS.iter().enumerate() {
                for (from, to, n) in c.alive(level) {
                    let inside = |(f, t, _): &(i64, i64, u64)| *f >= from && *t <= to;
                    let finer: u64 =
                        if i == 0 { 0 } else { c.alive(&LEVELS[i - 1]).filter(inside).map(|(.., held)| held).sum() };
                    let own = n.saturating_sub(finer);
                    counted += own;
                    if own > 0 {
                        want += own as f64 * (-((NOW - (from + to) / 2).max(0) as f64) / DAY as f64).exp2();
                    }
                }
            }
            let rest = c.total() - counted;
            if rest > 0 {
                want += rest as f64 * (-((NOW - c.newest_ms() + 8 * DAY) as f64) / DAY as f64).exp2();
            }
            assert_eq!(c.decayed(DAY, NOW).to_bits(), want.to_bits(), "{seed}");
        }
    }

    #[test]
    fn a_counter_comes_back_from_bytes() {
        let c = counter(&numbers(5, 50, 3 * DAY).iter().map(|d| NOW - d).collect::<Vec<_>>());
        let mut out = Vec::new();
        c.encode(&mut out);
        Counter::default().encode(&mut out);
        let mut r = Reader::new(&out);
        assert_eq!(Counter::decode(&mut r).unwrap(), c);
        assert_eq!(Counter::decode(&mut r).unwrap(), Counter::default());
        assert!(r.is_empty());
    }
}
