//! Union of what the recall sources found, as one list of candidates that remember who found them.
//!
//! Invariant: a candidate is in the output once, sorted by score descending, then id ascending. This module does not know
//! the sources beyond their number and weight.

/// What one source found. `source` is its bit in `Candidate::sources`, 0 to 31.
#[derive(Debug, Clone, Copy)]
pub struct SourceList<'a> {
    pub source: u8,
    pub weight: f32,
    /// Item and score; an item that occurs twice counts where it comes first.
    pub items: &'a [(u32, f32)],
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Candidate {
    pub item: u32,
    pub score: f32,
    /// What the sources said of it; later stages put scores of their own into `score`.
    pub found: f32,
    /// Bit `source` is set for every source that found the item.
    pub sources: u32,
}

/// Scratch space of `merge`, kept between requests.
#[derive(Debug, Default)]
pub struct Merger {
    epoch: u32,
    /// Per item: the epoch in which it was last found, and its place in the output then.
    places: Vec<(u32, u32)>,
    found: Vec<Candidate>,
    order: Vec<u64>,
}

impl Merger {
    pub fn new() -> Self {
        Merger::default()
    }

    /// score = sum over the sources that found the item of weight * score / largest score of that source.
    ///
    /// Scores below zero count as zero, and so does a whole source whose largest is zero: its items are found, with
    /// nothing to say for themselves. `items` is the number of items; larger indices are dropped. `out` is replaced.
    pub fn merge(&mut self, lists: &[SourceList<'_>], items: usize, out: &mut Vec<Candidate>) {
        self.begin(items);
        for list in lists {
            let largest = list.items.iter().fold(0.0f32, |m, &(_, s)| if s.is_finite() { m.max(s) } else { m });
            let factor = if largest > 0.0 { list.weight.max(0.0) / largest } else { 0.0 };
            let bit = 1u32.checked_shl(u32::from(list.source)).unwrap_or(0);
            for &(item, score) in list.items {
                let share = if score > 0.0 { factor * score.min(largest) } else { 0.0 };
                self.add(item, share, bit);
            }
        }
        // Scores are never negative, so their bits order as they do; one integer key sorts fastest.
        self.order.clear();
        self.order.extend(self.found.iter().map(|c| (u64::from(!c.score.to_bits()) << 32) | u64::from(c.item)));
        self.order.sort_unstable();
        out.clear();
        out.extend(self.order.iter().map(|&key| {
            let candidate = self.found[self.places[(key & 0xffff_ffff) as usize].1 as usize];
            Candidate { found: candidate.score, ..candidate }
        }));
    }

    #[inline]
    fn add(&mut self, item: u32, share: f32, bit: u32) {
        let Some(place) = self.places.get_mut(item as usize) else { return };
        if place.0 != self.epoch {
            *place = (self.epoch, self.found.len() as u32);
            self.found.push(Candidate { item, score: share, found: share, sources: bit });
            return;
        }
        let candidate = &mut self.found[place.1 as usize];
        if candidate.sources & bit == 0 {
            candidate.score += share;
            candidate.sources |= bit;
        }
    }

    fn begin(&mut self, items: usize) {
        if self.places.len() < items {
            self.places.resize(items, (0, 0));
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.places.fill((0, 0));
            self.epoch = 1;
        }
        self.found.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(source: u8, weight: f32, items: &[(u32, f32)]) -> SourceList<'_> {
        SourceList { source, weight, items }
    }

    #[test]
    fn scores_are_shares_of_the_largest_and_sources_are_kept() {
        let mut out = Vec::new();
        let (a, b) = ([(7, 4.0), (3, 2.0), (7, 4.0)], [(3, 100.0), (9, 50.0), (1, 50.0)]);
        let mut merger = Merger::new();
        for _ in 0..2 {
            merger.merge(&[list(0, 1.0, &a), list(2, 0.5, &b)], 10, &mut out);
            let got: Vec<_> = out.iter().map(|c| (c.item, c.score, c.sources)).collect();
            assert_eq!(got, [(3, 1.0, 0b101), (7, 1.0, 0b001), (1, 0.25, 0b100), (9, 0.25, 0b100)]);
            assert!(out.iter().all(|c| c.found == c.score));
        }
    }

    #[test]
    fn wild_input_orders_last_and_never_breaks_the_order() {
        let mut out = Vec::new();
        let (a, zero) = ([(0, f32::NAN), (1, -3.0), (2, f32::INFINITY), (3, 1.0), (99, 9.0)], [(4, 0.0), (5, -0.0)]);
        Merger::new().merge(&[list(1, 1.0, &a[..4]), list(40, 1.0, &zero), list(3, -1.0, &a[4..])], 10, &mut out);
        let got: Vec<_> = out.iter().map(|c| (c.item, c.score)).collect();
        assert_eq!(got, [(2, 1.0), (3, 1.0), (0, 0.0), (1, 0.0), (4, 0.0), (5, 0.0)]);
        Merger::new().merge(&[], 10, &mut out);
        assert!(out.is_empty());
    }
}
