//! What users and items cost in memory: an estimate from lengths and capacities, walked on demand and never on a hot path.

use std::mem::size_of;

use crate::fold::shared::Stats;
use crate::fold::state::{Person, Slot, State};
use crate::fold::user::User;

/// Bytes in memory, with the number of things they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    pub users: u64,
    pub user_bytes: u64,
    pub items: u64,
    /// Catalogue, counts, a team's shared aggregates, co-visitation and the session index.
    pub item_bytes: u64,
}

impl State {
    pub fn footprint(&self) -> Footprint {
        let slots: usize = self.users.values().map(Slot::heap_bytes).sum();
        // A hash map holds its entries at most 7/8 full, with a byte of control each.
        let table = self.users.capacity() * (size_of::<(u64, Slot)>() + 1) * 8 / 7;
        let stats: usize = self.items.iter().map(Stats::heap_bytes).sum();
        let items = self.catalogue.memory_bytes()
            + self.covis.memory_bytes()
            + self.bought.memory_bytes()
            + self.knn.memory_bytes()
            + stats
            + self.aggregates.shared_bytes()
            + self.items.capacity() * size_of::<Stats>();
        Footprint {
            users: self.users.len() as u64,
            user_bytes: (slots + table) as u64,
            items: self.catalogue.ids().len() as u64,
            item_bytes: items as u64,
        }
    }
}

impl Slot {
    fn heap_bytes(&self) -> usize {
        let person = match &self.person {
            Person::Known(user) => size_of::<User>() + user.heap_bytes(),
            Person::Linked(user) => user.len(),
        };
        let own = self.own.as_ref().map_or(0, |own| own.heap_bytes());
        own + self.id.len() + self.profile.as_ref().map_or(0, |p| p.len()) + self.seen.len() * 8 + person
    }
}
