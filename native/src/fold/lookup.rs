//! A small set or map of numbers for the time of one request: what the user clicked, when an item was last acted on.
//!
//! Invariant: it answers like a hash map, and a lookup that misses costs one probe or two. It does not grow.

/// Open addressing over twice to four times the entries.
#[derive(Debug, Clone)]
pub struct Lookup {
    keys: Vec<u64>,
    values: Vec<i64>,
    /// Key 0 marks a free place, so its own value is kept apart.
    zero: Option<i64>,
    mask: usize,
    /// The bits of a key that are told apart.
    bits: u64,
}

impl Lookup {
    /// Room for `entries` different keys.
    pub fn with_room(entries: usize) -> Lookup {
        Lookup::of_bits(entries, u64::MAX)
    }

    /// Of pairs; of two with one key the later counts.
    pub fn of(pairs: impl ExactSizeIterator<Item = (u64, i64)>) -> Lookup {
        let mut lookup = Lookup::with_room(pairs.len());
        pairs.for_each(|(key, value)| lookup.put(key, value));
        lookup
    }

    /// The same for keys of which only some bits are known.
    pub fn of_bits(entries: usize, bits: u64) -> Lookup {
        let places = if entries == 0 { 0 } else { (2 * entries).next_power_of_two() };
        Lookup { keys: vec![0; places], values: vec![0; places], zero: None, mask: places.saturating_sub(1), bits }
    }

    /// Sets the value of a key; the caller keeps to the room it asked for.
    pub fn put(&mut self, key: u64, value: i64) {
        let key = key & self.bits;
        if key == 0 {
            self.zero = Some(value);
            return;
        }
        let mut at = self.start(key);
        for _ in 0..self.keys.len() {
            if self.keys[at] == 0 || self.keys[at] == key {
                self.keys[at] = key;
                self.values[at] = value;
                return;
            }
            at = (at + 1) & self.mask;
        }
    }

    #[inline]
    pub fn get(&self, key: u64) -> Option<i64> {
        let key = key & self.bits;
        if key == 0 || self.keys.is_empty() {
            return self.zero.filter(|_| key == 0);
        }
        let mut at = self.start(key);
        loop {
            let held = self.keys[at];
            if held == key {
                return Some(self.values[at]);
            }
            if held == 0 {
                return None;
            }
            at = (at + 1) & self.mask;
        }
    }

    #[inline]
    pub fn contains(&self, key: u64) -> bool {
        self.get(key).is_some()
    }

    #[inline]
    fn start(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & self.mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn it_answers_like_a_map() {
        let mut x = 9u64;
        for n in [0usize, 1, 3, 50, 256] {
            let mut lookup = Lookup::with_room(n);
            let mut map = HashMap::new();
            for value in 0..n as i64 {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = (x >> 33) % (2 * n as u64);
                lookup.put(key, value);
                map.insert(key, value);
            }
            for key in 0..4 * n as u64 + 2 {
                assert_eq!(lookup.get(key), map.get(&key).copied(), "{n} {key}");
                assert_eq!(lookup.contains(key), map.contains_key(&key));
            }
        }
    }
}
