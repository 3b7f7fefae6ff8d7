//! All items: the only place where they are put, deleted, saved and restored.
//!
//! Invariant: every id that was ever seen has an index, also when no item is there, and `restore` of all `entry` bytes
//! in the order of their indices gives the same catalogue. Who wants an item, and when a change is durable, is not
//! known here.

use super::categories::Categories;
use super::dictionary::Dictionary;
use super::item::{read, Item, Names, Slots};
use crate::codec::{put_bytes, put_i64, put_str, put_u64, Reader};
use crate::error::{Error, Result};
use crate::hash::id_hash;

#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    ids: Dictionary,
    labels: Dictionary,
    categories: Categories,
    /// By index; shorter than `ids` when the last ids never had an item.
    items: Vec<Option<Box<Item>>>,
    present: usize,
    /// Sum of `Item::memory_bytes`, kept so that asking costs nothing.
    items_bytes: usize,
    version: u64,
    dirty: Vec<u32>,
    /// By index: whether it is in `dirty`.
    is_dirty: Vec<bool>,
}

impl Catalogue {
    /// Items that are there.
    pub fn len(&self) -> usize {
        self.present
    }

    pub fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// Grows with every change of an item; for caches over the catalogue, not comparable between processes.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Ids and their indices, of items and of what only events named.
    pub fn ids(&self) -> &Dictionary {
        &self.ids
    }

    /// Names of brands, sellers, currencies and attributes. Their numbers are not for the disk.
    pub fn labels(&self) -> &Dictionary {
        &self.labels
    }

    pub fn categories(&self) -> &Categories {
        &self.categories
    }

    /// `a > b`.
    pub fn category_name(&self, category: u32) -> &str {
        self.categories.name(category)
    }

    /// The index of an id, given now if it had none; without an item.
    pub fn intern(&mut self, id: &str) -> u32 {
        self.intern_hashed(id, id_hash(id))
    }

    /// `intern` of an id whose `id_hash` is known.
    pub fn intern_hashed(&mut self, id: &str, hash: u64) -> u32 {
        let known = self.ids.len();
        let index = self.ids.intern_hashed(id, hash);
        if self.ids.len() > known {
            self.mark(index);
        }
        index
    }

    #[inline]
    pub fn get(&self, index: u32) -> Option<&Item> {
        self.items.get(index as usize)?.as_deref()
    }

    pub fn find(&self, id: &str) -> Option<&Item> {
        self.get(self.ids.index(id)?)
    }

    /// The item as `GET /v1/items/{id}` answers it.
    pub fn json(&self, index: u32) -> Option<&[u8]> {
        self.get(index).map(Item::json)
    }

    pub fn iter_present(&self) -> impl Iterator<Item = (u32, &Item)> {
        self.items.iter().enumerate().filter_map(|(i, item)| Some((i as u32, item.as_deref()?)))
    }

    /// Puts the canonical JSON of an item; `log_ms` is when, by the log. The same bytes again change nothing.
    pub fn upsert(&mut self, json: &[u8], log_ms: i64) -> Result<u32> {
        let slots = Slots::read(json)?;
        let id = slots.id().ok_or_else(|| Error::malformed("an item without an id"))?;
        let held = self.find(&id);
        if let Some(item) = held.filter(|item| item.json() == json) {
            return Ok(item.index);
        }
        let first_put_ms = held.map_or(log_ms, |item| item.first_put_ms);
        let index = self.intern(&id);
        self.place(index, &slots, first_put_ms);
        self.mark(index);
        Ok(index)
    }

    /// `false` when there was no such item. The id keeps its index.
    pub fn delete(&mut self, id: &str) -> bool {
        let Some(index) = self.ids.index(id) else { return false };
        let Some(held) = self.items.get_mut(index as usize).and_then(Option::take) else { return false };
        self.items_bytes -= held.memory_bytes();
        self.present -= 1;
        self.version += 1;
        self.mark(index);
        true
    }

    /// Likeness of two items in [0, 1]; 0 when one is not there.
    #[inline]
    pub fn similarity(&self, a: u32, b: u32) -> f32 {
        match (self.get(a), self.get(b)) {
            (Some(_), Some(_)) if a == b => 1.0,
            (Some(a), Some(b)) => a.tokens.similarity(&b.tokens),
            _ => 0.0,
        }
    }

    /// Indices that changed since the last call, ids that appeared included, ascending.
    pub fn take_dirty(&mut self) -> Vec<u32> {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in &dirty {
            self.is_dirty[*index as usize] = false;
        }
        dirty.sort_unstable();
        dirty
    }

    /// What the view store keeps for an index: index, id, whether an item is there, its first put and its JSON.
    pub fn entry(&self, index: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put_u64(&mut out, u64::from(index));
        put_str(&mut out, self.ids.id(index));
        if let Some(item) = self.get(index) {
            out.push(1);
            put_i64(&mut out, item.first_put_ms);
            put_bytes(&mut out, item.json());
        } else {
            out.push(0);
        }
        out
    }

    /// Takes back what `entry` gave, in the order of the indices. Errors: `log_corrupt` for anything else.
    pub fn restore(&mut self, entry: &[u8]) -> Result<()> {
        let mut r = Reader::new(entry);
        let (index, id, present) = (r.u64()?, r.str()?, r.u8()?);
        if index != self.ids.len() as u64 || self.ids.index(id).is_some() || present > 1 {
            return Err(Error::corrupt(0, format!("item entry {index} out of order after {}", self.ids.len())));
        }
        let item = if present == 1 { Some((r.i64()?, r.bytes()?)) } else { None };
        if !r.is_empty() {
            return Err(Error::corrupt(0, "an item entry longer than it says"));
        }
        if let Some((first_put_ms, json)) = item {
            let slots = Slots::read(json).map_err(|e| Error::corrupt(0, e.to_string()))?;
            if slots.id().as_deref() != Some(id) {
                return Err(Error::corrupt(0, format!("entry {index} holds another item")));
            }
            self.place(index as u32, &slots, first_put_ms);
        }
        self.ids.intern(id);
        Ok(())
    }

    /// Bytes of memory, roughly.
    pub fn memory_bytes(&self) -> usize {
        let lists = self.items.capacity() * 8 + self.is_dirty.capacity() + self.dirty.capacity() * 4;
        self.items_bytes + lists + self.ids.memory_bytes() + self.labels.memory_bytes() + self.categories.memory_bytes()
    }

    fn place(&mut self, index: u32, slots: &Slots<'_>, first_put_ms: i64) {
        let mut names = Names { labels: &mut self.labels, categories: &mut self.categories };
        let item = read(slots, index, first_put_ms, &mut names);
        let i = index as usize;
        if self.items.len() <= i {
            self.items.resize_with(i + 1, || None);
        }
        self.items_bytes += item.memory_bytes();
        match self.items[i].replace(Box::new(item)) {
            Some(replaced) => self.items_bytes -= replaced.memory_bytes(),
            None => self.present += 1,
        }
        self.version += 1;
    }

    fn mark(&mut self, index: u32) {
        let i = index as usize;
        if self.is_dirty.len() <= i {
            self.is_dirty.resize(i + 1, false);
        }
        if !std::mem::replace(&mut self.is_dirty[i], true) {
            self.dirty.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(c: &mut Catalogue, json: &str, ms: i64) -> u32 {
        c.upsert(json.as_bytes(), ms).unwrap()
    }

    #[test]
    fn an_item_is_put_read_replaced_and_deleted() {
        let mut c = Catalogue::default();
        assert_eq!(c.intern("seen"), 0);
        let i = put(&mut c, r#"{"id":"a\"","title":"é\n","categories":["x > y","z"],"brand":"b","price":2.5}"#, 5);
        assert_eq!((i, c.len(), c.ids().len(), c.version()), (1, 1, 2, 1));
        let item = c.find("a\"").unwrap();
        assert_eq!(item.text_of(item.title).as_deref(), Some("é\n"));
        assert_eq!(item.text_of(item.description), None);
        let names: Vec<&str> = item.categories.iter().map(|l| c.category_name(*l)).collect();
        assert_eq!(names, ["x > y", "z"]);
        assert_eq!((item.price, item.available, item.brand.map(|b| c.labels().id(b))), (Some(2.5), true, Some("b")));
        put(&mut c, r#"{"id":"a\"","available":false}"#, 9);
        assert_eq!(c.json(1).unwrap(), br#"{"id":"a\"","available":false}"#);
        assert_eq!((c.len(), c.version(), c.get(1).unwrap().available), (1, 2, false));
        assert_eq!(c.iter_present().map(|(i, _)| i).collect::<Vec<_>>(), [1]);
        assert!(c.delete("a\""));
        assert!(!c.delete("a\""));
        assert!(!c.delete("seen"));
        assert!(!c.delete("nobody"));
        assert_eq!((c.len(), c.version(), c.json(1), c.ids().index("a\"")), (0, 3, None, Some(1)));
    }

    #[test]
    fn what_is_no_item_changes_nothing() {
        let mut c = Catalogue::default();
        for json in [&b"{"[..], b"[]", b"{}", br#"{"id":""}"#, br#"{"id":1}"#, b"\xff"] {
            assert_eq!(c.upsert(json, 1).unwrap_err().code(), "malformed_body");
        }
        assert_eq!((c.len(), c.ids().len(), c.take_dirty().len()), (0, 0, 0));
    }

    #[test]
    fn newness_counts_from_created_at_else_the_first_put() {
        let mut c = Catalogue::default();
        let mut added = |json: &str, ms| {
            let i = put(&mut c, json, ms);
            c.get(i).unwrap().added_ms()
        };
        assert_eq!(added(r#"{"id":"a"}"#, 100), 100);
        assert_eq!(added(r#"{"id":"a","title":"t"}"#, 200), 100);
        assert_eq!(added(r#"{"id":"a","created_at":50}"#, 300), 50);
        assert_eq!(added(r#"{"id":"a","created_at":"1970-01-01T00:00:01Z"}"#, 300), 1000);
        assert_eq!(added(r#"{"id":"a"}"#, 400), 100);
        c.delete("a");
        put(&mut c, r#"{"id":"a"}"#, 500);
        assert_eq!(c.get(0).unwrap().added_ms(), 500);
    }

    #[test]
    fn similarity_follows_categories_brand_and_attributes() {
        let mut c = Catalogue::default();
        put(&mut c, r#"{"id":"a","categories":["m > s > r"],"brand":"n","attributes":{"color":"red"}}"#, 1);
        put(&mut c, r#"{"id":"b","categories":["m > s > r"],"brand":"n","attributes":{"color":"blue"}}"#, 1);
        put(&mut c, r#"{"id":"c","categories":["m > s > t"],"brand":"n"}"#, 1);
        put(&mut c, r#"{"id":"d","categories":["m > b > t"],"brand":"o"}"#, 1);
        put(&mut c, r#"{"id":"e"}"#, 1);
        let to_a: Vec<f32> = (0..6).map(|i| c.similarity(0, i)).collect();
        assert_eq!(to_a, [1.0, 28.0 / 30.0, 20.0 / 37.0, 8.0 / 49.0, 0.0, 0.0]);
        assert_eq!(c.similarity(3, 0), c.similarity(0, 3));
        assert_eq!(c.similarity(4, 4), 1.0);
        assert_eq!(c.similarity(9, 9), 0.0);
    }

    #[test]
    fn dirty_indices_are_told_once_and_in_order() {
        let mut c = Catalogue::default();
        for id in ["a", "b", "c"] {
            c.intern(id);
        }
        assert_eq!(c.take_dirty(), [0, 1, 2]);
        put(&mut c, r#"{"id":"c"}"#, 1);
        put(&mut c, r#"{"id":"a"}"#, 1);
        put(&mut c, r#"{"id":"d"}"#, 1);
        c.intern("a");
        assert_eq!(c.take_dirty(), [0, 2, 3]);
        put(&mut c, r#"{"id":"a"}"#, 2);
        assert_eq!(c.take_dirty(), [0; 0], "the same bytes again change nothing");
        c.delete("c");
        c.delete("b");
        assert_eq!(c.take_dirty(), [2]);
    }

    #[test]
    fn entries_restore_the_catalogue_and_nothing_else_does() {
        let mut c = Catalogue::default();
        c.intern("seen");
        put(&mut c, r#"{"id":"a","categories":["x > y"],"brand":"b","embedding":[1,2.5]}"#, 7);
        put(&mut c, r#"{"id":"gone"}"#, 8);
        put(&mut c, r#"{"id":"b","created_at":3}"#, 9);
        c.delete("gone");
        let entries: Vec<Vec<u8>> = (0..4).map(|i| c.entry(i)).collect();
        let mut back = Catalogue::default();
        for entry in &entries {
            back.restore(entry).unwrap();
        }
        assert_eq!((0..4).map(|i| back.entry(i)).collect::<Vec<_>>(), entries);
        assert_eq!(back.iter_present().collect::<Vec<_>>(), c.iter_present().collect::<Vec<_>>());
        assert_eq!((back.len(), back.take_dirty().len()), (2, 0));
        assert_eq!(back.find("a").unwrap().embedding(), Some(vec![1.0, 2.5]));
        assert_eq!(back.find("b").unwrap().embedding(), None);
        assert!(back.memory_bytes() > 2 * size_of::<Item>());

        assert!(Catalogue::default().restore(&entries[1]).is_err(), "a gap");
        assert!(back.restore(&entries[1]).is_err(), "twice");
        let mut first = Catalogue::default();
        first.restore(&entries[0]).unwrap();
        for cut in 0..entries[1].len() {
            assert_eq!(first.restore(&entries[1][..cut]).unwrap_err().code(), "log_corrupt");
        }
        assert_eq!(first.ids().len(), 1);
        let mut other = vec![1, 1, b'z', 1, 2];
        put_bytes(&mut other, br#"{"id":"a"}"#);
        assert!(first.restore(&other).is_err(), "another item's JSON");
    }
}
