//! Vectors of items that the model was not trained on, made outside: from their content, or as they were sent.
//!
//! Invariant: a vector of the model is never replaced, and each item is told once until it changes or the table is another.
//! It does not know how they are made.

use super::{Origin, VectorTable};
use crate::items::Catalogue;

impl VectorTable {
    /// At most `n` items that are there without a vector of the model, and new, changed or without one made yet; with
    /// `given_only` those that were sent with one. Each is told once.
    pub fn take_cold(&mut self, catalogue: &Catalogue, n: usize, given_only: bool) -> Vec<u32> {
        let mut found = Vec::new();
        while found.len() < n && !self.cold.is_empty() {
            let more = self.cold.take_some(n - found.len());
            found.extend(more.into_iter().filter(|item| {
                let made = self.origins.get(*item as usize) != Some(&Origin::Own);
                made && catalogue.get(*item).is_some_and(|data| !given_only || data.has_embedding())
            }));
        }
        found
    }

    /// The vector of an item that the model has none of, made from its content or `given` with it; false when the item
    /// has one of the model, is not there or not known here, or the row has another length or no finite values.
    pub fn put_made(&mut self, catalogue: &Catalogue, item: u32, row: &[f32], given: bool) -> bool {
        let known = self.origins.get(item as usize).is_some_and(|origin| *origin != Origin::Own);
        let fits = row.len() == self.dimension && row.iter().all(|x| x.is_finite());
        if !known || !fits || catalogue.get(item).is_none() {
            return false;
        }
        self.put(item, row, if given { Origin::Given } else { Origin::Content });
        self.show(catalogue, item);
        true
    }

    /// Where the vector of an item comes from: `trained`, `content`, `given`, `category` or `none`.
    pub fn origin(&self, item: u32) -> &'static str {
        match self.origins.get(item as usize).copied().unwrap_or_default() {
            Origin::Missing => "none",
            Origin::Own => "trained",
            Origin::Mean => "category",
            Origin::Content => "content",
            Origin::Given => "given",
        }
    }

    /// Whatever the model has no vector of is to be made.
    pub(super) fn chill(&mut self) {
        for (item, origin) in self.origins.iter().enumerate() {
            if *origin != Origin::Own {
                self.cold.insert(item as u32);
            }
        }
    }
}
