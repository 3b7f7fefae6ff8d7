//! Item vectors of the model in use: a row per item, and a stand-in for items that have none.
//!
//! An item that the model never saw gets the mean of the vectors of its most specific category, else of the levels above
//! it, until somebody makes a vector from its content or hands over the one that its owner gave: `take_cold` says for whom
//! that is to be done. Only vectors of the model count in means. Invariant: after `set`, and after `refresh` has revisited what it owes, the table is a function of the vectors
//! given and of the catalogue, whatever order things came in. Nothing here is written to disk: the vectors belong to a
//! bundle. It does not know users or sessions.

use rustc_hash::FxHashMap;

use crate::ahead::in_large_pages;
use crate::error::{Error, Result};
use crate::fold::marks::Marks;
use crate::items::{Catalogue, Item};
use crate::recall::scan::{Codes, Scratch};
use crate::recall::simd::{dot, hit, item_of, rescore, score_of, Hit};

mod made;

/// No category: the item has no vector of its own, or is not there.
const NOWHERE: u32 = u32::MAX;
/// How many more than are wanted a search keeps until it has scored them exactly, and as many above the border: this many
/// and one in so many. Of 100,000 normal vectors the rounding moves an item near rank 1,000 by about 30 places.
const MARGIN_MIN: usize = 32;
const MARGIN_SHARE: usize = 8;
/// A search for no more than this scores all of it exactly.
const EXACT_MAX: usize = 200;
/// Items whose stand-in is looked at again per refresh after a mean has moved.
const REVISITED_MAX: usize = 2_048;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Origin {
    #[default]
    Missing,
    Own,
    /// The mean of a category.
    Mean,
    /// Made from what is said of the item.
    Content,
    /// Sent with the item.
    Given,
}

/// Sum of the vectors of a category's items; f64, so that the order of additions cannot be seen in an f32.
#[derive(Debug, Clone, Default)]
struct Mean {
    count: u32,
    sum: Box<[f64]>,
}

#[derive(Debug, Clone, Default)]
pub struct VectorTable {
    /// 0 while there are no vectors.
    dimension: usize,
    /// Row by row, by item; zeros where there is no vector.
    rows: Vec<f32>,
    inverse_lengths: Vec<f32>,
    origins: Vec<Origin>,
    /// By item: the category whose mean its own vector counts in, with all levels above it.
    counted_in: Vec<u32>,
    codes: Codes,
    means: FxHashMap<u32, Mean>,
    /// Vectors of ids that nobody named yet.
    waiting: FxHashMap<Box<str>, Box<[f32]>>,
    ids_seen: usize,
    /// Items still to be revisited, and where the round goes on.
    owed: usize,
    at: usize,
    /// What an index outside has not been told yet.
    untold: Marks,
    /// Items whose vector is to be made from their content, or again.
    cold: Marks,
    /// What will replace all of this.
    staged: Option<Box<VectorTable>>,
    found: Found,
}

/// What the latest search found, so that a light model need not fetch the rows of a thousand items again.
#[derive(Debug, Clone, Default)]
struct Found {
    /// The vector that was searched for; empty when a row has changed since.
    vector: Vec<f32>,
    round: u32,
    /// By item: the round in which it was found last, and its score then.
    scores: Vec<(u32, f32)>,
}

impl Found {
    fn begin(&mut self, vector: &[f32], items: usize) {
        self.vector.clear();
        self.vector.extend_from_slice(vector);
        self.scores.resize(items, (0, 0.0));
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.scores.fill((0, 0.0));
            self.round = 1;
        }
    }

    fn put(&mut self, item: u32, score: f32) {
        self.scores[item as usize] = (self.round, score);
    }

    fn score(&self, item: u32) -> Option<f32> {
        self.scores.get(item as usize).filter(|(round, _)| *round == self.round).map(|(_, score)| *score)
    }

    fn forget(&mut self) {
        self.vector.clear();
    }
}

impl VectorTable {
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Items that a search may find: with a vector, their own or a mean, in the catalogue and available.
    pub fn len(&self) -> usize {
        self.codes.live_len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces everything. `vectors` are rows of `dimension` values, one for each id; of an id given twice the last counts.
    ///
    /// Errors: `bad_vectors` when the sizes do not fit, `not_finite`.
    pub fn set(&mut self, catalogue: &Catalogue, ids: &[&str], vectors: &[f32], dimension: usize) -> Result<()> {
        let mut table = VectorTable::of(dimension);
        table.add(catalogue, ids, vectors)?;
        (0..table.origins.len() as u32).for_each(|item| table.show(catalogue, item));
        table.chill();
        *self = VectorTable { owed: 0, ..table };
        Ok(())
    }

    /// Adds vectors to those that will replace the present ones; beside requests, some thousand at a time.
    ///
    /// Errors: as `set`, and `bad_vectors` for another dimension than that of what waits already.
    pub fn stage(&mut self, catalogue: &Catalogue, ids: &[&str], vectors: &[f32], dimension: usize) -> Result<()> {
        let mut table = self.staged.take().unwrap_or_else(|| Box::new(VectorTable::of(dimension)));
        if table.dimension != dimension {
            let message = format!("{dimension} values in a row after rows of {}", table.dimension);
            return Err(Error::invalid("bad_vectors", "vectors", message));
        }
        table.add(catalogue, ids, vectors)?;
        self.staged = Some(table);
        Ok(())
    }

    /// Drops what was staged.
    pub fn unstage(&mut self) {
        self.staged = None;
    }

    /// What was staged replaces the present vectors; false when nothing was. Stand-ins follow with the next refreshes.
    pub fn adopt(&mut self) -> bool {
        let staged = self.staged.take();
        let found = staged.is_some();
        if let Some(mut table) = staged {
            table.chill();
            *self = VectorTable { owed: table.origins.len(), ..*table };
        }
        found
    }

    /// What was staged is complete: it is to be kept beside the present vectors, and lent in their place.
    pub fn hold(&mut self) {
        if let Some(table) = &mut self.staged {
            table.owed = table.origins.len();
            table.chill();
        }
    }

    /// The table that is kept beside the present one.
    pub fn beside(&mut self) -> Option<&mut VectorTable> {
        self.staged.as_deref_mut()
    }

    /// What was staged and the present vectors change places; nothing happens when nothing was staged.
    pub fn swap(&mut self) {
        if let Some(mut other) = self.staged.take() {
            std::mem::swap(self, &mut *other);
            self.staged = Some(other);
        }
    }

    fn of(dimension: usize) -> VectorTable {
        VectorTable { dimension, codes: Codes::new(dimension), ..VectorTable::default() }
    }

    fn add(&mut self, catalogue: &Catalogue, ids: &[&str], vectors: &[f32]) -> Result<()> {
        let dimension = self.dimension;
        if dimension == 0 || vectors.len() != ids.len() * dimension {
            let message = format!("{} values are not {} rows of {dimension}", vectors.len(), ids.len());
            return Err(Error::invalid("bad_vectors", "vectors", message));
        }
        if let Some(at) = vectors.iter().position(|x| !x.is_finite()) {
            let message = format!("the vector of {:?} is not finite", ids[at / dimension]);
            return Err(Error::invalid("not_finite", "vectors", message));
        }
        self.refresh(catalogue, &[]);
        for (id, row) in ids.iter().zip(vectors.chunks_exact(dimension)) {
            let Some(item) = catalogue.ids().index(id) else {
                self.waiting.insert((*id).into(), row.into());
                continue;
            };
            self.count(catalogue, item, None);
            self.put(item, row, Origin::Own);
            self.count(catalogue, item, catalogue.get(item));
            self.show(catalogue, item);
        }
        Ok(())
    }

    pub fn clear(&mut self) {
        *self = VectorTable::default();
    }

    /// Takes in what changed in the catalogue: new ids, items put or deleted.
    pub fn refresh(&mut self, catalogue: &Catalogue, changed: &[u32]) {
        if let Some(staged) = &mut self.staged {
            staged.refresh(catalogue, changed);
        }
        if self.dimension == 0 {
            return;
        }
        let ids = catalogue.ids();
        self.grow(ids.len());
        for item in self.ids_seen..ids.len() {
            if let Some(row) = self.waiting.remove(ids.id(item as u32)) {
                self.put(item as u32, &row, Origin::Own);
            }
        }
        self.ids_seen = ids.len();
        for item in changed {
            if self.count(catalogue, *item, catalogue.get(*item)) {
                self.owed = self.origins.len();
            }
            let origin = &mut self.origins[*item as usize];
            if *origin != Origin::Own {
                self.cold.insert(*item);
            }
            // What was given was given with the item as it was.
            if *origin == Origin::Given {
                *origin = Origin::Missing;
            }
            self.show(catalogue, *item);
        }
        for _ in 0..self.owed.min(REVISITED_MAX) {
            self.at = if self.at + 1 < self.origins.len() { self.at + 1 } else { 0 };
            if matches!(self.origins[self.at], Origin::Missing | Origin::Mean) {
                self.show(catalogue, self.at as u32);
            }
        }
        self.owed = self.owed.saturating_sub(REVISITED_MAX);
    }

    /// The vector of an item.
    #[inline]
    pub fn row(&self, item: u32) -> Option<&[f32]> {
        let origin = *self.origins.get(item as usize)?;
        let from = item as usize * self.dimension;
        (origin != Origin::Missing).then(|| &self.rows[from..from + self.dimension])
    }

    #[inline]
    pub fn has(&self, item: u32) -> bool {
        self.origins.get(item as usize).is_some_and(|o| *o != Origin::Missing)
    }

    /// How well an item fits a vector of the same space; 0 when it has none or the lengths differ.
    #[inline]
    pub fn affinity(&self, item: u32, vector: &[f32]) -> f32 {
        match self.row(item) {
            Some(row) if row.len() == vector.len() => dot(row, vector),
            _ => 0.0,
        }
    }

    /// `affinity` of many items, in their order, into `out`.
    pub fn affinities(
        &self,
        items: impl Iterator<Item = u32>,
        vector: &[f32],
        hits: &mut Vec<Hit>,
        out: &mut Vec<f32>,
    ) {
        out.clear();
        hits.clear();
        let fits = self.dimension > 0 && vector.len() == self.dimension;
        // An item without a vector is asked for the first one instead, and what comes out is not used.
        hits.extend(items.map(|item| hit(item, 0.0)));
        let known = |one: &Hit| fits && self.has(item_of(*one));
        let asked: Vec<bool> = hits.iter().map(known).collect();
        if !asked.contains(&true) {
            out.resize(hits.len(), 0.0);
            return;
        }
        hits.iter_mut().zip(&asked).filter(|(_, asked)| !**asked).for_each(|(one, _)| *one = hit(0, 0.0));
        rescore(&self.rows, vector, hits);
        out.extend(hits.iter().zip(asked).map(|(one, asked)| if asked { score_of(*one) } else { 0.0 }));
    }

    /// An item's vector brought to length 1; None when it has none.
    pub fn direction(&self, item: u32) -> Option<Vec<f32>> {
        let row = self.row(item)?;
        Some(row.iter().map(|x| x * self.inverse_lengths[item as usize]).collect())
    }

    /// Dot products of the items' directions with `vector`, in their order; 0 for an item that has none.
    pub fn cosines(&self, items: &[u32], vector: &[f32]) -> Vec<f32> {
        let (mut hits, mut out) = (Vec::new(), Vec::new());
        self.affinities(items.iter().copied(), vector, &mut hits, &mut out);
        for (value, item) in out.iter_mut().zip(items) {
            *value *= self.inverse_lengths.get(*item as usize).copied().unwrap_or(0.0);
        }
        out
    }

    /// `affinities` for a light model: what the latest search found for this vector is taken as the search says it, which
    /// is exact to the rounding of a byte; the rest is computed.
    pub fn rough_affinities(&self, items: impl Iterator<Item = u32> + Clone, vector: &[f32], out: &mut Vec<f32>) {
        let (mut hits, mut rest) = (Vec::new(), Vec::new());
        if vector.is_empty() || self.found.vector != vector {
            return self.affinities(items, vector, &mut hits, out);
        }
        out.clear();
        out.extend(items.clone().map(|item| self.found.score(item).unwrap_or(f32::NAN)));
        let missing = items.zip(&*out).filter(|(_, score)| score.is_nan()).map(|(item, _)| item);
        self.affinities(missing, vector, &mut hits, &mut rest);
        out.iter_mut().filter(|score| score.is_nan()).zip(rest).for_each(|(score, more)| *score = more);
    }

    /// Cosine of two items within [0, 1]: opposites are not alike, that is all. `None` unless both have a vector.
    #[inline]
    pub fn similarity(&self, a: u32, b: u32) -> Option<f32> {
        let (x, y) = (self.row(a)?, self.row(b)?);
        let lengths = self.inverse_lengths[a as usize] * self.inverse_lengths[b as usize];
        Some((dot(x, y) * lengths).clamp(0.0, 1.0))
    }

    /// The `n` items that may be shown with the largest dot product, best first, ties to the lower item, into `out`.
    ///
    /// Who is among them is settled exactly: all that the rounding to bytes could have moved over the border is scored again.
    /// The scores of the rest are those of the bytes. A search for few items is exact throughout.
    pub fn nearest(&mut self, vector: &[f32], n: usize, scratch: &mut Scratch, out: &mut Vec<(u32, f32)>) {
        out.clear();
        if n == 0 || self.dimension == 0 || vector.len() != self.dimension {
            return;
        }
        let margin = MARGIN_MIN + n / MARGIN_SHARE;
        self.codes.top(vector, n + margin, scratch);
        let hits = &mut scratch.hits;
        let sure = if n > EXACT_MAX && hits.len() > n { n - margin } else { 0 };
        if sure > 0 {
            hits.select_nth_unstable_by(sure - 1, |a, b| b.cmp(a));
        }
        // Rows lie in the order of the items.
        hits[sure..].sort_unstable_by_key(|one| item_of(*one));
        rescore(&self.rows, vector, &mut hits[sure..]);
        if hits.len() > n {
            hits[sure..].select_nth_unstable_by(n - sure - 1, |a, b| b.cmp(a));
            hits.truncate(n);
        }
        hits.sort_unstable_by(|a, b| b.cmp(a));
        out.extend(hits.iter().map(|h| (item_of(*h), score_of(*h))));
        self.found.begin(vector, self.origins.len());
        out.iter().for_each(|(item, score)| self.found.put(*item, *score));
    }

    /// True when a search may find the item: it has a vector, is there and is available.
    pub fn may_be_found(&self, item: u32) -> bool {
        self.codes.is_live(item)
    }

    /// Items whose vector or visibility changed since the last call, ascending; all of them after `set`.
    pub fn take_untold(&mut self) -> Vec<u32> {
        self.untold.take()
    }

    pub fn memory_bytes(&self) -> usize {
        let lists = self.rows.capacity() + self.inverse_lengths.capacity() + self.counted_in.capacity();
        let waiting = self.waiting.len() * (self.dimension * 4 + 64);
        let means = self.means.len() * (self.dimension * 8 + 32);
        let found = self.found.scores.capacity() * 8;
        lists * 4 + self.origins.capacity() + self.codes.memory_bytes() + waiting + means + found
    }

    fn grow(&mut self, len: usize) {
        if len > self.origins.len() {
            if len > self.origins.capacity() {
                // An eighth ahead: rows are large.
                let more = len + len / 8 - self.origins.len();
                self.rows.reserve_exact(more * self.dimension);
                in_large_pages(&self.rows);
                self.origins.reserve_exact(more);
            }
            self.rows.resize(len * self.dimension, 0.0);
            self.inverse_lengths.resize(len, 0.0);
            self.origins.resize(len, Origin::Missing);
            self.counted_in.resize(len, NOWHERE);
            self.codes.grow(len);
        }
    }

    fn put(&mut self, item: u32, row: &[f32], origin: Origin) {
        let i = item as usize;
        self.rows[i * self.dimension..(i + 1) * self.dimension].copy_from_slice(row);
        let length = dot(row, row).sqrt();
        self.inverse_lengths[i] = if length > 0.0 { 1.0 / length } else { 0.0 };
        self.origins[i] = origin;
        self.codes.set(item, row);
        self.untold.insert(item);
        self.found.forget();
    }

    /// Counts an item's own vector in the mean of its first category and no other; true when a mean moved.
    fn count(&mut self, catalogue: &Catalogue, item: u32, data: Option<&Item>) -> bool {
        let i = item as usize;
        let own = self.origins[i] == Origin::Own;
        let here = data.filter(|_| own).and_then(|d| d.categories.first().copied()).unwrap_or(NOWHERE);
        let before = std::mem::replace(&mut self.counted_in[i], here);
        if before == here {
            return false;
        }
        let row = &self.rows[i * self.dimension..(i + 1) * self.dimension];
        for (category, sign) in [(before, -1.0), (here, 1.0)] {
            for level in catalogue.categories().ancestors(category) {
                let mean = self.means.entry(level).or_default();
                if mean.sum.is_empty() {
                    mean.sum = vec![0.0; row.len()].into();
                }
                mean.count = if sign > 0.0 { mean.count + 1 } else { mean.count - 1 };
                // Nothing left is exactly nothing, whatever was added and taken before.
                let keep = if mean.count > 0 { 1.0 } else { 0.0 };
                mean.sum.iter_mut().zip(row).for_each(|(s, x)| *s = keep * (*s + sign * f64::from(*x)));
            }
        }
        true
    }

    /// Gives an item its stand-in if it needs one, and says whether a search may find it.
    fn show(&mut self, catalogue: &Catalogue, item: u32) {
        let (i, data) = (item as usize, catalogue.get(item));
        let had = self.origins[i];
        let made = matches!(had, Origin::Content | Origin::Given) && data.is_some();
        if had != Origin::Own && !made {
            match data.and_then(|d| self.mean_of(catalogue, d)) {
                Some(mean) => {
                    if had == Origin::Missing || self.row(item) != Some(&mean[..]) {
                        self.put(item, &mean, Origin::Mean);
                    }
                }
                None => self.origins[i] = Origin::Missing,
            }
        }
        let live = self.origins[i] != Origin::Missing && data.is_some_and(|d| d.available);
        if live != self.codes.is_live(item) {
            self.codes.set_live(item, live);
            self.untold.insert(item);
        }
    }

    fn mean_of(&self, catalogue: &Catalogue, item: &Item) -> Option<Vec<f32>> {
        let levels = item.categories.iter().flat_map(|leaf| catalogue.categories().ancestors(*leaf));
        let mean = levels.filter_map(|level| self.means.get(&level)).find(|m| m.count > 0)?;
        Some(mean.sum.iter().map(|s| (s / f64::from(mean.count)) as f32).collect())
    }
}

#[cfg(test)]
#[path = "vectors_tests.rs"]
mod tests;
