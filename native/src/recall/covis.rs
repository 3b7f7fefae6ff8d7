//! Co-visitation: what was used together with an item, counted as it happens.
//!
//! Invariant: an item has at most `neighbours_max` neighbours, and every answer depends only on the counts, never on the
//! order in which neighbours lie in memory. This module does not know which pairs of events count as together.

use crate::ahead::fetch;
use crate::codec::{put_i64, put_u64, Reader};
use crate::error::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    pub item: u32,
    pub count: u32,
    pub last_ms: i64,
}

#[derive(Debug, Clone, Default)]
struct Row {
    neighbours: Vec<Neighbour>,
    /// Sum of all weights added from, and to, this item; evicted neighbours included.
    out_weight: u64,
    in_weight: u64,
    dirty: bool,
}

/// Each step back in the session counts this much less.
const RECENCY: f64 = 0.8;
/// Weight added to both totals, so that one chance meeting of two rare items does not beat an established pair.
const SMOOTHING: f64 = 10.0;
/// Item indices from here on are ignored: the table is as long as the largest index.
const ITEMS_MAX: u32 = 1 << 24;

#[derive(Debug)]
pub struct Covis {
    neighbours_max: usize,
    rows: Vec<Row>,
    /// How many neighbours each row has, in a table that a cache holds.
    degrees: Vec<u16>,
    dirty: Vec<u32>,
    epoch: u32,
    stamps: Vec<u32>,
    sums: Vec<f64>,
}

impl Default for Covis {
    fn default() -> Self {
        Covis::new(64)
    }
}

impl Covis {
    pub fn new(neighbours_max: usize) -> Self {
        let neighbours_max = neighbours_max.min(usize::from(u16::MAX));
        Covis {
            neighbours_max,
            rows: Vec::new(),
            degrees: Vec::new(),
            dirty: Vec::new(),
            epoch: 0,
            stamps: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// Counts `b` once more (`weight` times) as seen with `a`; directed. When `a` is full, its neighbour with the lowest
    /// count goes, then the oldest, then the smallest id, and `b` takes the place with `weight` as its count.
    pub fn add(&mut self, a: u32, b: u32, ts_ms: i64, weight: u32) {
        if a == b || weight == 0 || self.neighbours_max == 0 || a.max(b) >= ITEMS_MAX {
            return;
        }
        self.make_room_for(a.max(b));
        self.mark(a);
        self.mark(b);
        self.rows[b as usize].in_weight = self.rows[b as usize].in_weight.saturating_add(u64::from(weight));
        let row = &mut self.rows[a as usize];
        row.out_weight = row.out_weight.saturating_add(u64::from(weight));
        if let Some(known) = row.neighbours.iter_mut().find(|n| n.item == b) {
            known.count = known.count.saturating_add(weight);
            known.last_ms = known.last_ms.max(ts_ms);
            return;
        }
        let newcomer = Neighbour { item: b, count: weight, last_ms: ts_ms };
        if row.neighbours.len() < self.neighbours_max {
            row.neighbours.push(newcomer);
            self.degrees[a as usize] += 1;
        } else if let Some(weakest) = row.neighbours.iter_mut().min_by_key(|n| (n.count, n.last_ms, n.item)) {
            *weakest = newcomer;
        }
    }

    /// Asks for the entry of an item, and for its neighbours once that is there.
    pub fn fetch(&self, item: u32, neighbours: bool) {
        match self.rows.get(item as usize) {
            Some(row) if neighbours => fetch(&row.neighbours[..]),
            Some(row) => fetch(row),
            None => {}
        }
    }

    /// Neighbours of `a` by count, then recency, both descending, then id ascending.
    pub fn neighbours(&self, a: u32) -> Vec<Neighbour> {
        let mut found = self.rows.get(a as usize).map(|r| r.neighbours.clone()).unwrap_or_default();
        found.sort_unstable_by_key(|n| (std::cmp::Reverse((n.count, n.last_ms)), n.item));
        found
    }

    /// How many neighbours an item has.
    #[inline]
    pub fn degree(&self, a: u32) -> usize {
        self.degrees.get(a as usize).map_or(0, |n| usize::from(*n))
    }

    /// Adds the counts of another table, then drops beyond `neighbours_max` in the order of eviction.
    pub fn merge(&mut self, other: &Covis) {
        for (a, theirs) in other.rows.iter().enumerate() {
            if theirs.out_weight == 0 && theirs.in_weight == 0 {
                continue;
            }
            let a = a as u32;
            self.make_room_for(a);
            self.mark(a);
            let row = &mut self.rows[a as usize];
            row.out_weight = row.out_weight.saturating_add(theirs.out_weight);
            row.in_weight = row.in_weight.saturating_add(theirs.in_weight);
            for n in &theirs.neighbours {
                match row.neighbours.iter_mut().find(|known| known.item == n.item) {
                    Some(known) => {
                        known.count = known.count.saturating_add(n.count);
                        known.last_ms = known.last_ms.max(n.last_ms);
                    }
                    None => row.neighbours.push(*n),
                }
            }
            row.neighbours.sort_unstable_by_key(|n| std::cmp::Reverse((n.count, n.last_ms, n.item)));
            row.neighbours.truncate(self.neighbours_max);
            self.degrees[a as usize] = row.neighbours.len() as u16;
        }
    }

    /// The `n` items most seen with `recent` (most recent first), by score descending, then id ascending:
    ///
    /// score(j) = sum over steps p of 0.8^p * count(r_p, j) / sqrt((out(r_p) + 10) * (in(j) + 10))
    ///
    /// with out and in the total weights from r_p and to j: the cosine of two items, shrunk for rare ones, so that an item
    /// seen with everything is near to nothing. An item that occurs again in `recent` counts at its latest step only; the
    /// latest item itself is not returned.
    pub fn recall(&mut self, recent: &[u32], n: usize) -> Vec<(u32, f32)> {
        self.recall_from(recent, RECENCY, n)
    }

    /// `recall` with another number in the place of 0.8: with 1 all of `recent` count alike.
    pub fn recall_from(&mut self, recent: &[u32], recency: f64, n: usize) -> Vec<(u32, f32)> {
        self.begin();
        let mut found = Vec::new();
        let mut step_weight = 1.0;
        for (step, &seed) in recent.iter().enumerate() {
            let weight = step_weight;
            step_weight *= recency;
            let Some(row) = self.rows.get(seed as usize).filter(|_| !recent[..step].contains(&seed)) else { continue };
            let seed_norm = weight / (row.out_weight as f64 + SMOOTHING).sqrt();
            for neighbour in &row.neighbours {
                let at = neighbour.item as usize;
                if self.stamps[at] != self.epoch {
                    self.stamps[at] = self.epoch;
                    self.sums[at] = 0.0;
                    found.push(neighbour.item);
                }
                self.sums[at] += seed_norm * f64::from(neighbour.count);
            }
        }
        let mut scored: Vec<(u32, f32)> = found
            .into_iter()
            .filter(|item| recent.first() != Some(item))
            .map(|item| {
                let at = item as usize;
                (item, (self.sums[at] / (self.rows[at].in_weight as f64 + SMOOTHING).sqrt()) as f32)
            })
            .collect();
        let order = |x: &(u32, f32), y: &(u32, f32)| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0));
        if scored.len() > n {
            if n > 0 {
                scored.select_nth_unstable_by(n - 1, order);
            }
            scored.truncate(n);
        }
        scored.sort_unstable_by(order);
        scored
    }

    /// Items whose entry changed since the last call, ascending.
    pub fn take_dirty_items(&mut self) -> Vec<u32> {
        let mut items = std::mem::take(&mut self.dirty);
        items.sort_unstable();
        for &item in &items {
            self.rows[item as usize].dirty = false;
        }
        items
    }

    /// What `restore` takes; `None` for an item that was never counted.
    pub fn entry(&self, item: u32) -> Option<Vec<u8>> {
        let row = self.rows.get(item as usize).filter(|r| r.out_weight > 0 || r.in_weight > 0)?;
        let mut out = Vec::with_capacity(24 + 16 * row.neighbours.len());
        put_u64(&mut out, row.out_weight);
        put_u64(&mut out, row.in_weight);
        put_u64(&mut out, row.neighbours.len() as u64);
        for n in self.neighbours(item) {
            put_u64(&mut out, u64::from(n.item));
            put_u64(&mut out, u64::from(n.count));
            put_i64(&mut out, n.last_ms);
        }
        Some(out)
    }

    /// Replaces the entry of an item by what `entry` gave, in any order of items.
    pub fn restore(&mut self, item: u32, bytes: &[u8]) -> Result<()> {
        let mut reader = Reader::new(bytes);
        let mut row = Row { out_weight: reader.u64()?, in_weight: reader.u64()?, ..Row::default() };
        let mut largest = item;
        for _ in 0..reader.u64()? {
            let neighbour =
                Neighbour { item: small(reader.u64()?)?, count: small(reader.u64()?)?, last_ms: reader.i64()? };
            largest = largest.max(neighbour.item);
            row.neighbours.push(neighbour);
        }
        if !reader.is_empty() || largest >= ITEMS_MAX {
            return Err(Error::corrupt(0, "a co-visitation entry of another shape"));
        }
        row.neighbours.sort_unstable_by_key(|n| std::cmp::Reverse((n.count, n.last_ms, n.item)));
        row.neighbours.truncate(self.neighbours_max);
        self.make_room_for(largest);
        row.dirty = self.rows[item as usize].dirty;
        self.degrees[item as usize] = row.neighbours.len() as u16;
        self.rows[item as usize] = row;
        Ok(())
    }

    /// Heap bytes held, counted by capacity; walks the rows.
    pub fn memory_bytes(&self) -> usize {
        let lists: usize = self.rows.iter().map(|r| r.neighbours.capacity() * std::mem::size_of::<Neighbour>()).sum();
        lists
            + self.rows.capacity() * std::mem::size_of::<Row>()
            + self.degrees.capacity() * 2
            + (self.dirty.capacity() + self.stamps.capacity()) * 4
            + self.sums.capacity() * 8
    }

    fn make_room_for(&mut self, item: u32) {
        let needed = item as usize + 1;
        if self.rows.len() < needed {
            self.rows.resize_with(needed, Row::default);
            self.degrees.resize(needed, 0);
        }
    }

    fn mark(&mut self, item: u32) {
        let row = &mut self.rows[item as usize];
        if !row.dirty {
            row.dirty = true;
            self.dirty.push(item);
        }
    }

    /// New sums without clearing the old ones.
    fn begin(&mut self) {
        if self.stamps.len() < self.rows.len() {
            self.stamps.resize(self.rows.len(), 0);
            self.sums.resize(self.rows.len(), 0.0);
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.stamps.fill(0);
            self.epoch = 1;
        }
    }
}

fn small(v: u64) -> Result<u32> {
    u32::try_from(v).map_err(|_| Error::corrupt(0, "a number beyond 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[Neighbour]) -> Vec<u32> {
        list.iter().map(|n| n.item).collect()
    }

    #[test]
    fn neighbours_come_by_count_then_recency_then_id() {
        let mut c = Covis::new(8);
        for (b, ts) in [(3, 10), (2, 10), (4, 20), (5, 5), (5, 6)] {
            c.add(1, b, ts, 1);
        }
        assert_eq!(ids(&c.neighbours(1)), [5, 4, 2, 3]);
        assert_eq!(c.neighbours(1)[0], Neighbour { item: 5, count: 2, last_ms: 6 });
        assert!(c.neighbours(99).is_empty());
        c.add(1, 5, 1, 1);
        assert_eq!(c.neighbours(1)[0].last_ms, 6, "a late pair does not make the neighbour older");
    }

    #[test]
    fn eviction_takes_lowest_count_then_oldest_then_smallest_id() {
        let mut c = Covis::new(3);
        for (b, ts, weight) in [(2, 9, 5), (3, 7, 1), (4, 7, 1)] {
            c.add(1, b, ts, weight);
        }
        c.add(1, 5, 1, 1);
        assert_eq!(ids(&c.neighbours(1)), [2, 4, 5]);
        c.add(1, 6, 8, 1);
        assert_eq!(ids(&c.neighbours(1)), [2, 6, 4], "5 was older than 4");
    }

    #[test]
    fn self_pairs_zero_weights_and_wild_indices_count_nothing() {
        let mut c = Covis::new(3);
        c.add(1, 1, 0, 1);
        c.add(1, 2, 0, 0);
        c.add(1, u32::MAX, 0, 1);
        assert!(c.take_dirty_items().is_empty());
        assert_eq!(c.entry(1), None);
        c.add(1, 2, 0, u32::MAX);
        c.add(1, 2, 0, u32::MAX);
        assert_eq!(c.neighbours(1)[0].count, u32::MAX);
    }

    #[test]
    fn recall_follows_the_formula_and_head_items_do_not_swamp() {
        let mut c = Covis::new(8);
        c.add(1, 2, 0, 6);
        c.add(1, 9, 0, 7);
        c.add(3, 4, 0, 6);
        for other in 20..60 {
            c.add(other, 9, 0, 10);
        }
        let got = c.recall(&[1, 3, 1], 10);
        let expect = |w: f64, count: f64, out: f64, inn: f64| (w * count / ((out + 10.0) * (inn + 10.0)).sqrt()) as f32;
        assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [2, 4, 9]);
        for ((_, score), want) in
            got.iter().zip([expect(1.0, 6.0, 13.0, 6.0), expect(0.8, 6.0, 6.0, 6.0), expect(1.0, 7.0, 13.0, 407.0)])
        {
            assert!((score - want).abs() < 1e-6, "{score} {want}");
        }
        assert_eq!(c.recall(&[1, 3], 1).len(), 1);
        let alike = c.recall_from(&[1, 3], 1.0, 10);
        assert_eq!(alike[0], (4, expect(1.0, 6.0, 6.0, 6.0)));
        assert_eq!(c.recall_from(&[1, 3], 0.8, 10), c.recall(&[1, 3], 10));
        assert!(c.recall(&[], 5).is_empty() && c.recall(&[1], 0).is_empty() && c.recall(&[7777], 5).is_empty());
        c.add(3, 1, 0, 1);
        assert!(c.recall(&[1, 3], 10).iter().all(|g| g.0 != 1), "the latest item is not an answer to itself");
    }

    #[test]
    fn merging_adds_and_restoring_gives_the_same_answers() {
        let (mut whole, mut left, mut right) = (Covis::default(), Covis::default(), Covis::default());
        for step in 0u32..500 {
            let (a, b) = (step * 7 % 13, step * 11 % 17);
            whole.add(a, b, i64::from(step), 1 + step % 3);
            let half = if step % 2 == 0 { &mut left } else { &mut right };
            half.add(a, b, i64::from(step), 1 + step % 3);
        }
        left.merge(&right);
        let mut back = Covis::default();
        let dirty = left.take_dirty_items();
        assert!(dirty.windows(2).all(|w| w[0] < w[1]) && left.take_dirty_items().is_empty());
        for &item in dirty.iter().rev() {
            assert_eq!(whole.entry(item), left.entry(item));
            back.restore(item, &left.entry(item).unwrap()).unwrap();
        }
        assert!(back.take_dirty_items().is_empty());
        for item in 0..17 {
            assert_eq!(whole.neighbours(item), back.neighbours(item));
            assert_eq!(whole.recall(&[item, 3, 5], 9), back.recall(&[item, 3, 5], 9));
        }
        let bytes = left.entry(1).unwrap();
        assert!((0..bytes.len()).all(|cut| Covis::default().restore(1, &bytes[..cut]).is_err()));
        assert!(back.restore(ITEMS_MAX, &bytes).is_err());
        assert!(back.memory_bytes() > 17 * 16);
    }
}
