//! Sums and extremes in windows: the buckets of a `Counter`, each holding more than a count.
//!
//! Invariant: as a counter's, the content is a function of what was added, whatever the order, and two of disjoint events
//! merge into the one of all events.

use crate::codec::{put_i64, put_u64, Reader};
use crate::error::Result;
use crate::fold::counter::{level_of, When, Window, BUCKETS, LEVELS};

/// Values beyond are clipped, so that one absurd number cannot overflow the sums of a year.
pub const VALUE_MAX: f64 = 1e9;

/// What a bucket holds.
pub trait Cell: Copy + PartialEq {
    const NONE: Self;
    fn join(&mut self, other: &Self);
    fn encode(&self, out: &mut Vec<u8>);
    fn decode(r: &mut Reader<'_>) -> Result<Self>;
}

/// Number and sum in whole thousandths: exact, whatever the order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sum {
    pub count: u64,
    milli: i64,
}

impl Sum {
    pub fn of(value: f64) -> Sum {
        Sum { count: 1, milli: (value.clamp(-VALUE_MAX, VALUE_MAX) * 1000.0).round() as i64 }
    }

    pub fn sum(&self) -> f64 {
        self.milli as f64 / 1000.0
    }
}

impl Cell for Sum {
    const NONE: Sum = Sum { count: 0, milli: 0 };

    fn join(&mut self, other: &Sum) {
        self.count = self.count.saturating_add(other.count);
        self.milli = self.milli.saturating_add(other.milli);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.count);
        put_i64(out, self.milli);
    }

    fn decode(r: &mut Reader<'_>) -> Result<Sum> {
        Ok(Sum { count: r.u64()?, milli: r.i64()? })
    }
}

/// The largest value; of negated values, the smallest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Largest(pub f64);

impl Largest {
    pub fn of(value: f64) -> Largest {
        Largest(value.clamp(-VALUE_MAX, VALUE_MAX))
    }
}

impl Cell for Largest {
    const NONE: Largest = Largest(f64::NEG_INFINITY);

    fn join(&mut self, other: &Largest) {
        self.0 = self.0.max(other.0);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn decode(r: &mut Reader<'_>) -> Result<Largest> {
        Ok(Largest(f64::from_bits(r.fixed_u64()?)))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Windowed<C> {
    /// Latest time added; fixes which buckets exist. 0 while empty.
    newest_ms: i64,
    total: C,
    cells: [C; BUCKETS],
}

impl<C: Cell> Default for Windowed<C> {
    fn default() -> Windowed<C> {
        Windowed { newest_ms: 0, total: C::NONE, cells: [C::NONE; BUCKETS] }
    }
}

impl<C: Cell> Windowed<C> {
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    pub fn add_at(&mut self, when: &When, cell: C) {
        self.total.join(&cell);
        if when.ts_ms > self.newest_ms {
            self.advance(when.ts_ms);
        }
        for (level, (index, slot)) in LEVELS.iter().zip(when.places()) {
            if index > self.newest_ms / level.width_ms - level.len as i64 {
                self.cells[slot].join(&cell);
            }
        }
    }

    fn advance(&mut self, to_ms: i64) {
        if self.newest_ms > 0 {
            for level in &LEVELS {
                let (from, to) = (self.newest_ms / level.width_ms, to_ms / level.width_ms);
                for index in (from + 1).max(to - level.len as i64 + 1)..=to {
                    self.cells[level.place(index)] = C::NONE;
                }
            }
        }
        self.newest_ms = to_ms;
    }

    pub fn merge(&mut self, other: &Windowed<C>) {
        if other.newest_ms == 0 {
            return;
        }
        if other.newest_ms > self.newest_ms {
            self.advance(other.newest_ms);
        }
        self.total.join(&other.total);
        for level in &LEVELS {
            let len = level.len as i64;
            let (newest, theirs) = (self.newest_ms / level.width_ms, other.newest_ms / level.width_ms);
            for index in (newest - len + 1).max(theirs - len + 1)..=theirs {
                let at = level.place(index);
                self.cells[at].join(&other.cells[at]);
            }
        }
    }

    /// What the window that ends at `as_of_ms` holds; times after it are not counted.
    pub fn in_window(&self, window: Window, as_of_ms: i64) -> C {
        let Some(level) = level_of(window) else { return self.total };
        let len = level.len as i64;
        let (now, newest) = (as_of_ms / level.width_ms, self.newest_ms / level.width_ms);
        let mut found = C::NONE;
        for index in (now - len + 1).max(newest - len + 1)..=now.min(newest) {
            found.join(&self.cells[level.place(index)]);
        }
        found
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_i64(out, self.newest_ms);
        self.total.encode(out);
        let filled = self.cells.iter().enumerate().filter(|(_, c)| **c != C::NONE);
        put_u64(out, filled.clone().fold(0, |mask, (at, _)| mask | 1 << at));
        filled.for_each(|(_, cell)| cell.encode(out));
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Windowed<C>> {
        let mut found = Windowed { newest_ms: r.i64()?, total: C::decode(r)?, cells: [C::NONE; BUCKETS] };
        let mask = r.u64()?;
        for (at, cell) in found.cells.iter_mut().enumerate() {
            if mask >> at & 1 == 1 {
                *cell = C::decode(r)?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const MINUTE: i64 = 60_000;
    const DAY: i64 = 86_400_000;

    fn filled<C: Cell>(of: fn(f64) -> C, values: &[(i64, f64)]) -> Windowed<C> {
        let mut w = Windowed::default();
        values.iter().for_each(|(ts, v)| w.add_at(&When::at(*ts), of(*v)));
        w
    }

    /// Times of the last ten days with values; seeded.
    fn drawn(seed: u64, n: usize) -> Vec<(i64, f64)> {
        let mut x = seed;
        let mut next = |below: i64| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 33) as i64 % below
        };
        (0..n).map(|_| (NOW - next(10 * DAY), next(20_000) as f64 / 8.0 - 1_000.0)).collect()
    }

    #[test]
    fn windows_hold_what_happened_in_them() {
        let values = [(NOW, 1.5), (NOW - 50 * MINUTE, 8.0), (NOW - 20 * 60 * MINUTE, -3.0), (NOW - 30 * DAY, 100.0)];
        let sums = filled(Sum::of, &values);
        let sum = |w| (sums.in_window(w, NOW).count, sums.in_window(w, NOW).sum());
        assert_eq!(sum(Window::Minutes5), (1, 1.5));
        assert_eq!(sum(Window::Hour), (2, 9.5));
        assert_eq!(sum(Window::Day), (3, 6.5));
        assert_eq!(sum(Window::Lifetime), (4, 106.5));
        assert_eq!(sums.in_window(Window::Hour, NOW + DAY), Sum::NONE);
        let most = filled(Largest::of, &values);
        assert_eq!(most.in_window(Window::Minutes5, NOW).0, 1.5);
        assert_eq!(most.in_window(Window::Week, NOW).0, 8.0);
        assert_eq!(most.in_window(Window::Lifetime, NOW).0, 100.0);
        assert_eq!(most.in_window(Window::Week, NOW + 30 * DAY), Largest::NONE);
    }

    #[test]
    fn order_does_not_matter_and_merge_is_addition() {
        fn law<C: Cell + std::fmt::Debug>(of: fn(f64) -> C) {
            let values = drawn(3, 400);
            let whole = filled(of, &values);
            let backwards: Vec<_> = values.iter().rev().copied().collect();
            assert_eq!(filled(of, &backwards), whole);
            for split in [0, 1, 150, 399] {
                let (mut ab, mut ba) = (filled(of, &values[..split]), filled(of, &values[split..]));
                ab.merge(&filled(of, &values[split..]));
                ba.merge(&filled(of, &values[..split]));
                assert_eq!(ab, whole);
                assert_eq!(ba, whole);
            }
            let mut out = Vec::new();
            whole.encode(&mut out);
            let mut r = Reader::new(&out);
            assert_eq!(Windowed::decode(&mut r).unwrap(), whole);
            assert!(r.is_empty());
        }
        law(Sum::of);
        law(Largest::of);
    }

    #[test]
    fn a_window_agrees_with_adding_up_at_bucket_resolution() {
        let values = drawn(7, 2_000);
        let sums = filled(Sum::of, &values);
        for window in [Window::Minutes5, Window::Hour, Window::Day, Window::Week] {
            let level = level_of(window).unwrap();
            let held = |at: i64| (at / level.width_ms - level.len as i64 + 1) * level.width_ms;
            let from = held(NOW).max(held(sums.newest_ms()));
            let want: f64 = values.iter().filter(|(ts, _)| *ts >= from).map(|(_, v)| v).sum();
            assert!((sums.in_window(window, NOW).sum() - want).abs() < 1e-6, "{window:?}");
        }
    }

    #[test]
    fn absurd_values_are_clipped() {
        let sums = filled(Sum::of, &[(NOW, 1e300), (NOW, -1e300), (NOW, 7.0)]);
        assert_eq!(sums.in_window(Window::Lifetime, NOW).sum(), 7.0);
        assert_eq!(filled(Largest::of, &[(NOW, 1e300)]).in_window(Window::Lifetime, NOW).0, VALUE_MAX);
    }
}
