//! Strings with dense numbers, in order of first appearance: item ids, and the names that items share.
//!
//! Invariant: an index never changes its string and is never reused. All text lies in one arena; what a string means is
//! not known here.

use crate::ahead::fetch;
use crate::hash::id_hash;
use rustc_hash::FxHashMap;

#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    arena: String,
    /// Where each string ends in the arena.
    ends: Vec<usize>,
    /// `id_hash` of each string, so that nobody hashes it again.
    hashes: Vec<u64>,
    /// Hash to index. Two strings of one hash: the later one lies at the next free number, so `index` stays exact even
    /// for ids made to collide.
    by_hash: FxHashMap<u64, u32>,
}

impl Dictionary {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The index of a string, given now if it had none.
    pub fn intern(&mut self, text: &str) -> u32 {
        self.intern_hashed(text, id_hash(text))
    }

    /// `intern` of a string whose `id_hash` is known.
    pub(super) fn intern_hashed(&mut self, text: &str, hash: u64) -> u32 {
        let slot = match self.find(text, hash) {
            Ok(index) => return index,
            Err(slot) => slot,
        };
        let index = self.ends.len() as u32;
        self.arena.push_str(text);
        self.ends.push(self.arena.len());
        self.hashes.push(hash);
        self.by_hash.insert(slot, index);
        index
    }

    pub fn index(&self, text: &str) -> Option<u32> {
        self.find(text, id_hash(text)).ok()
    }

    /// Asks for what `index` compares a string with.
    pub fn fetch(&self, index: u32) {
        if let Some(end) = self.ends.get(index as usize) {
            fetch(&self.arena.as_bytes()[end.saturating_sub(1)..*end]);
        }
    }

    /// The string of an index that this dictionary gave; empty for any other.
    #[inline]
    pub fn id(&self, index: u32) -> &str {
        let i = index as usize;
        let Some(&end) = self.ends.get(i) else { return "" };
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.arena[start..end]
    }

    /// `id_hash` of the string of an index that this dictionary gave; 0 for any other.
    #[inline]
    pub fn hash(&self, index: u32) -> u64 {
        self.hashes.get(index as usize).copied().unwrap_or_default()
    }

    /// The index of the string with this `id_hash`; of several, the first that came.
    #[inline]
    pub fn by_hash(&self, hash: u64) -> Option<u32> {
        self.by_hash.get(&hash).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..self.ends.len() as u32).map(|i| (i, self.id(i)))
    }

    /// Bytes of memory, roughly: the arena, the ends and a hash table at its usual load.
    pub fn memory_bytes(&self) -> usize {
        self.arena.capacity()
            + (self.ends.capacity() + self.hashes.capacity()) * 8
            + self.by_hash.capacity() * 8 / 7 * 17
    }

    /// The index, or the free number to keep it under.
    fn find(&self, text: &str, hash: u64) -> Result<u32, u64> {
        let mut slot = hash;
        loop {
            match self.by_hash.get(&slot) {
                None => return Err(slot),
                Some(&index) if self.id(index) == text => return Ok(index),
                Some(_) => slot = slot.wrapping_add(1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_dense_and_in_order_of_appearance() {
        let mut d = Dictionary::default();
        assert_eq!(["b", "a", "b", "", "é", "a"].map(|s| d.intern(s)), [0, 1, 0, 2, 3, 1]);
        assert_eq!(d.len(), 4);
        assert_eq!(d.iter().collect::<Vec<_>>(), [(0, "b"), (1, "a"), (2, ""), (3, "é")]);
        assert_eq!(d.index("é"), Some(3));
        assert_eq!(d.index("nobody"), None);
        assert_eq!(d.by_hash(id_hash("a")), Some(1));
        assert_eq!(d.by_hash(id_hash("nobody")), None);
        assert_eq!(d.id(4), "");
        assert_eq!((d.hash(1), d.hash(4)), (id_hash("a"), 0));
    }

    #[test]
    fn strings_of_one_hash_stay_apart() {
        let mut d = Dictionary::default();
        assert_eq!(d.intern_hashed("a", 7), 0);
        assert_eq!(d.intern_hashed("b", 7), 1);
        assert_eq!(d.intern_hashed("c", 8), 2);
        assert_eq!(d.intern_hashed("b", 7), 1);
        assert_eq!(d.intern_hashed("c", 8), 2);
        assert_eq!(d.by_hash(7), Some(0));
        assert_eq!(d.len(), 3);
    }
}
