//! What may be shown: in the catalogue, available, wanted by the request's filter, not excluded, not had already.

use crate::fold::lookup::Lookup;
use crate::fold::state::State;
use crate::items::Filter;

/// The rules of one request. Items are catalogue indices.
pub struct Rules<'a> {
    /// What the user clicked and bought, where the surface hides it.
    pub clicked: Option<Lookup>,
    pub bought: Option<Lookup>,
    /// Sorted.
    pub excluded: Vec<u32>,
    pub filter: Option<&'a Filter>,
}

impl Rules<'_> {
    pub fn allow(&self, state: &State, item: u32) -> bool {
        let Some(data) = state.catalogue.get(item) else { return false };
        if !data.available || self.excluded.binary_search(&item).is_ok() {
            return false;
        }
        let had = |had: &Option<Lookup>| had.as_ref().is_some_and(|h| h.contains(state.catalogue.ids().hash(item)));
        if had(&self.clicked) || had(&self.bought) {
            return false;
        }
        self.filter.is_none_or(|f| f.matches(&state.catalogue, data))
    }
}
