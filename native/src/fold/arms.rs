//! Under which arm an event happened: the lists that a session was shown last, and what was taken from them.
//!
//! An arm is a way of making lists: a surface, a bundle, or the draw that put one item into the explored slot. An event
//! belongs to the list that it names by `request_id`, else to the one that the session's last event on the same item
//! belonged to. Invariant: bounded, and a function of the decisions and events of the session in the order of the log.

use crate::codec::{put_u64, Reader};
use crate::error::{Error, Result};
use crate::fold::state::{mark, State};
use crate::fold::step::Told;
use crate::hash::{id_hash, key_hash, Namespace};
use crate::record::Decision;

/// What a way of making lists is told apart by.
pub const ARM_DIMENSIONS: [&str; 3] = ["surface", "bundle", "explored"];
/// Place of the one that is about an item and not about a list.
pub const EXPLORED: usize = 2;
/// Lists of a session that are remembered.
pub const LISTS_MAX: usize = 16;
/// Items of a session of which it is remembered which list they were taken from.
pub const FOLLOWED_MAX: usize = 32;

/// A list that was shown: the hash of its request's id and the keys of its arms; 0 where nothing was explored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    request: u64,
    surface: u64,
    bundle: u64,
    /// Hash of the item that was drawn.
    drawn: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// The oldest first.
    lists: Vec<List>,
    /// (item, request), the latest last.
    followed: Vec<(u64, u64)>,
}

/// Key of a surface's or a bundle's counts in the shared table; lists without a bundle are an arm of their own.
pub fn arm_key(dimension: usize, name: &str) -> u64 {
    id_hash(&format!("{} {name}", ARM_DIMENSIONS[dimension]))
}

/// Key of what an item did where it was drawn.
pub fn drawn_key(item: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&item.to_le_bytes(), EXPLORED as u64)
}

impl List {
    fn of(decision: &Decision<'_>) -> List {
        let drawn = decision.explored.as_ref().and_then(|e| e.pool.get(e.drawn as usize));
        List {
            request: id_hash(decision.request_id),
            surface: arm_key(0, decision.surface),
            bundle: arm_key(1, decision.bundle),
            drawn: drawn.map_or(0, |arm| id_hash(arm.item_id)),
        }
    }

    /// Key of the arm that the list, or the item of it, was shown under.
    pub fn arm(&self, dimension: usize, item: Option<u64>) -> Option<u64> {
        match dimension {
            0 => Some(self.surface),
            1 => Some(self.bundle),
            _ => item.filter(|item| *item == self.drawn).map(drawn_key),
        }
    }
}

impl Lists {
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// A list that is asked for again under its id takes the place of the one before.
    fn show(&mut self, list: List) {
        self.lists.retain(|known| known.request != list.request);
        if self.lists.len() == LISTS_MAX {
            self.lists.remove(0);
        }
        self.lists.push(list);
    }

    fn list(&self, request: u64) -> Option<&List> {
        self.lists.iter().find(|list| list.request == request)
    }

    /// The list of an event on an item that names `request`, or none.
    pub fn of(&self, request: Option<u64>, item: Option<u64>) -> Option<&List> {
        match request.and_then(|request| self.list(request)) {
            Some(list) => Some(list),
            None => self.list(self.followed.iter().find(|(followed, _)| Some(*followed) == item)?.1),
        }
    }

    /// The item was taken from that list; whether that is known.
    fn follow(&mut self, item: u64, request: u64) -> bool {
        if self.list(request).is_none() {
            return false;
        }
        self.followed.retain(|(followed, _)| *followed != item);
        if self.followed.len() == FOLLOWED_MAX {
            self.followed.remove(0);
        }
        self.followed.push((item, request));
        true
    }

    pub fn heap_bytes(&self) -> usize {
        self.lists.capacity() * size_of::<List>() + self.followed.capacity() * size_of::<(u64, u64)>()
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.lists.len() as u64);
        for list in &self.lists {
            [list.request, list.surface, list.bundle, list.drawn].iter().for_each(|n| out.extend(n.to_le_bytes()));
        }
        put_u64(out, self.followed.len() as u64);
        for (item, request) in &self.followed {
            out.extend(item.to_le_bytes());
            out.extend(request.to_le_bytes());
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Lists> {
        let bounded = |n: u64, most: usize| match usize::try_from(n) {
            Ok(n) if n <= most => Ok(n),
            _ => Err(Error::corrupt(0, "too many lists of a session")),
        };
        let mut found = Lists::default();
        for _ in 0..bounded(r.u64()?, LISTS_MAX)? {
            let (request, surface) = (r.fixed_u64()?, r.fixed_u64()?);
            found.lists.push(List { request, surface, bundle: r.fixed_u64()?, drawn: r.fixed_u64()? });
        }
        for _ in 0..bounded(r.u64()?, FOLLOWED_MAX)? {
            found.followed.push((r.fixed_u64()?, r.fixed_u64()?));
        }
        Ok(found)
    }
}

impl State {
    /// A session was shown a list, when anything is counted by arm.
    pub(super) fn show_list(&mut self, decision: &Decision<'_>) {
        if !self.aggregates.definitions.count_arms() {
            return;
        }
        let session = key_hash(Namespace::Session, decision.session_id);
        self.slot(session, Namespace::Session, decision.session_id);
        let Some(slot) = self.users.get_mut(&session) else { return };
        slot.own.get_or_insert_default().lists.show(List::of(decision));
        mark(&mut slot.dirty, &mut self.dirty.users, session);
    }

    /// An accepted event may say from which list its item was taken; what the session does with that item later belongs to
    /// the same.
    pub(super) fn follow_list(&mut self, told: &Told<'_>) {
        if !self.aggregates.definitions.count_arms() {
            return;
        }
        let (Some(request), Some(item)) = (told.event.request_id, told.hashes.item) else { return };
        let Some(slot) = self.users.get_mut(&told.hashes.session) else { return };
        if slot.own.as_mut().is_some_and(|own| own.lists.follow(item, id_hash(request))) {
            mark(&mut slot.dirty, &mut self.dirty.users, told.hashes.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(request: u64) -> List {
        List { request, surface: 10 + request, bundle: 1, drawn: if request == 3 { 77 } else { 0 } }
    }

    fn surface(lists: &Lists, request: Option<u64>, item: Option<u64>) -> Option<u64> {
        lists.of(request, item).and_then(|list| list.arm(0, item))
    }

    #[test]
    fn an_event_belongs_to_the_list_it_names_else_to_the_one_its_item_was_taken_from() {
        let mut lists = Lists::default();
        lists.show(list(3));
        lists.show(list(4));
        assert_eq!(surface(&lists, Some(3), Some(7)), Some(13));
        assert_eq!(surface(&lists, None, Some(7)), None, "nothing says which list");
        assert!(lists.follow(7, 4) && !lists.follow(8, 5));
        assert_eq!(surface(&lists, None, Some(7)), Some(14));
        assert_eq!(surface(&lists, Some(5), Some(7)), Some(14), "a list that nobody knows says nothing");
        assert!(lists.follow(7, 3));
        assert_eq!(surface(&lists, None, Some(7)), Some(13), "the last one counts");
        assert_eq!(surface(&lists, None, Some(8)), None);
    }

    #[test]
    fn only_the_drawn_item_is_an_arm_of_the_explored_slot() {
        assert_eq!(list(3).arm(EXPLORED, Some(77)), Some(drawn_key(77)));
        assert_eq!(list(3).arm(EXPLORED, Some(78)), None);
        assert_eq!((list(4).arm(EXPLORED, Some(77)), list(4).arm(EXPLORED, None)), (None, None));
    }

    #[test]
    fn it_is_bounded_and_comes_back_from_bytes() {
        let mut lists = Lists::default();
        for request in 0..LISTS_MAX as u64 + 3 {
            lists.show(list(request));
            assert!((0..5).all(|item| lists.follow(100 * request + item, request)));
        }
        assert_eq!((lists.lists.len(), lists.followed.len()), (LISTS_MAX, FOLLOWED_MAX));
        assert_eq!(surface(&lists, Some(2), None), None, "the oldest lists are gone");
        lists.show(list(5));
        assert_eq!((lists.lists.len(), lists.lists.last().map(|l| l.request)), (LISTS_MAX, Some(5)));
        let mut bytes = Vec::new();
        lists.encode(&mut bytes);
        assert!(bytes.len() < 1_100, "{} bytes", bytes.len());
        assert_eq!(Lists::decode(&mut Reader::new(&bytes)).unwrap(), lists);
        for cut in 0..bytes.len() {
            assert!(Lists::decode(&mut Reader::new(&bytes[..cut])).is_err());
        }
    }
}
