//! What may be shown: in the catalogue, available, wanted by the filters of the request and the surface, not excluded, not
//! had already.

use crate::cascade::rules::{Moment, RuleSet};
use crate::fold::lookup::Lookup;
use crate::fold::state::State;
use crate::items::Filter;

/// The rules of one request; by default nothing is forbidden. Items are catalogue indices.
#[derive(Default)]
pub struct Rules<'a> {
    /// What the user clicked and bought, where the surface hides it.
    pub clicked: Option<Lookup>,
    pub bought: Option<Lookup>,
    /// Sorted.
    pub excluded: Vec<u32>,
    /// Id hashes of what the user declined, where it is to stay away.
    pub declined: Vec<u64>,
    pub filter: Option<&'a Filter>,
    /// What the surface declares, where it has filters.
    pub declared: Option<(&'a RuleSet, &'a Moment)>,
}

impl Rules<'_> {
    pub fn allow(&self, state: &State, item: u32) -> bool {
        state.catalogue.get(item).is_some_and(|data| data.available)
            && self.allow_available(state, item, state.catalogue.ids().hash(item))
    }

    /// `allow` for an item that is known to be there and available, and whose id hash is at hand.
    #[inline]
    pub fn allow_available(&self, state: &State, item: u32, hash: u64) -> bool {
        let had = |had: &Option<Lookup>| had.as_ref().is_some_and(|h| h.contains(hash));
        self.excluded.binary_search(&item).is_err()
            && !had(&self.clicked)
            && !had(&self.bought)
            && !self.declined.contains(&hash)
            && self
                .filter
                .is_none_or(|f| state.catalogue.get(item).is_some_and(|data| f.matches(&state.catalogue, data)))
            && self.declared.is_none_or(|(rules, moment)| rules.refusing(state, moment, item).is_none())
    }
}
