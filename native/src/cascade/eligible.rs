//! What may be shown: in the catalogue, available, wanted by the request's filter, not excluded, not had already.

use crate::fold::state::State;
use crate::fold::user::User;
use crate::hash::id_hash;
use crate::items::Filter;

/// The rules of one request. Items are catalogue indices.
pub struct Rules<'a> {
    pub user: Option<&'a User>,
    pub hide_clicked: bool,
    pub hide_bought: bool,
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
        if let Some(user) = self.user {
            let hash = id_hash(state.catalogue.ids().id(item));
            if (self.hide_clicked && user.clicked.contains(hash)) || (self.hide_bought && user.bought.contains(hash)) {
                return false;
            }
        }
        self.filter.is_none_or(|f| f.matches(&state.catalogue, data))
    }
}
