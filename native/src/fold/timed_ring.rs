//! The latest items that a user acted on in one way, with the minute of the last time: what a cool-down counts from.
//!
//! Invariant: it remembers the same items as a `HashRing` of its size; a minute only grows. Records from before there
//! were minutes read as minute 0, long ago.

use crate::codec::{put_i64, Reader};
use crate::error::{Error, Result};
use crate::fold::lookup::Lookup;
use crate::fold::ring::HashRing;

const MINUTE_MS: i64 = 60_000;

/// The last `N` distinct items, each as the low 4 bytes of its hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimedRing<const N: usize> {
    ring: HashRing<N, 4>,
    /// Minutes since 1970, in the order of the ring.
    minutes: Vec<i64>,
}

impl<const N: usize> TimedRing<N> {
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub fn heap_bytes(&self) -> usize {
        self.ring.heap_bytes() + self.minutes.capacity() * size_of::<i64>()
    }

    pub fn contains(&self, hash: u64) -> bool {
        self.ring.contains(hash)
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ring.iter()
    }

    pub fn insert(&mut self, hash: u64, ts_ms: i64) {
        self.insert_minute(hash, ts_ms.div_euclid(MINUTE_MS));
    }

    fn insert_minute(&mut self, hash: u64, minute: i64) {
        let full = self.ring.len() == N;
        if self.ring.insert(hash) {
            if full {
                self.minutes.remove(0);
            }
            self.minutes.push(minute);
        } else {
            self.touch(hash, minute);
        }
    }

    fn touch(&mut self, hash: u64, minute: i64) {
        if let Some(known) = self.ring.place(hash).and_then(|at| self.minutes.get_mut(at)) {
            *known = minute.max(*known);
        }
    }

    pub fn remove(&mut self, hash: u64) {
        if let Some(at) = self.ring.place(hash) {
            self.ring.remove(hash);
            self.minutes.remove(at);
        }
    }

    /// The other's entries count as newer than ours.
    pub fn merge(&mut self, other: &Self) {
        for (hash, minute) in other.ring.iter().zip(&other.minutes) {
            self.insert_minute(hash, *minute);
        }
    }

    /// All of it, or what is less than `cooldown_ms` old, with the minute of each.
    pub fn lookup(&self, cooldown_ms: Option<i64>, now_ms: i64) -> Lookup {
        let mut lookup = Lookup::of_bits(self.ring.len(), HashRing::<N, 4>::MASK);
        let hidden = |minute: i64| cooldown_ms.is_none_or(|ms| minute * MINUTE_MS > now_ms.saturating_sub(ms));
        let known = self.ring.iter().zip(&self.minutes).filter(|(_, minute)| hidden(**minute));
        known.for_each(|(hash, minute)| lookup.put(hash, *minute));
        lookup
    }

    /// When an item was acted on last, in whole minutes.
    pub fn last_ms(&self, hash: u64) -> Option<i64> {
        self.ring.place(hash).and_then(|at| self.minutes.get(at)).map(|minute| minute * MINUTE_MS)
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        self.ring.encode(out);
    }

    /// The minutes, each as the step from the one before it; what `encode` wrote is older than they are.
    pub fn encode_minutes(&self, out: &mut Vec<u8>) {
        let mut before = 0;
        for minute in &self.minutes {
            put_i64(out, minute - before);
            before = *minute;
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let ring = HashRing::decode(r)?;
        let minutes = vec![0; ring.len()];
        Ok(TimedRing { ring, minutes })
    }

    pub fn decode_minutes(&mut self, r: &mut Reader<'_>) -> Result<()> {
        let mut before = 0i64;
        for minute in &mut self.minutes {
            before = before.checked_add(r.i64()?).ok_or_else(|| Error::corrupt(0, "a minute out of range"))?;
            *minute = before;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn ring(entries: &[(u64, i64)]) -> TimedRing<3> {
        let mut ring = TimedRing::default();
        entries.iter().for_each(|(hash, ts_ms)| ring.insert(*hash, *ts_ms));
        ring
    }

    #[test]
    fn an_item_is_hidden_for_as_long_as_it_cools_down() {
        let ring = ring(&[(1, HOUR), (2, 2 * HOUR), (1, 5 * HOUR + 59_000), (2, HOUR)]);
        let hidden = |cooldown, now| {
            let lookup = ring.lookup(cooldown, now);
            [1, 2, 3].map(|hash| lookup.contains(hash))
        };
        assert_eq!(hidden(None, i64::MAX), [true, true, false]);
        assert_eq!(hidden(Some(3 * HOUR), 6 * HOUR), [true, false, false], "the last time counts");
        assert_eq!(hidden(Some(4 * HOUR), 6 * HOUR - 1), [true, true, false]);
        assert_eq!(hidden(Some(4 * HOUR), 6 * HOUR), [true, false, false]);
        assert_eq!(hidden(Some(HOUR), 6 * HOUR), [false; 3], "a minute is the finest there is");
        assert_eq!(ring.last_ms(1), Some(5 * HOUR));
        assert_eq!(ring.last_ms(3), None);
    }

    #[test]
    fn minutes_go_with_their_items() {
        let mut mine = ring(&[(1, HOUR), (2, 2 * HOUR), (3, 3 * HOUR), (4, 4 * HOUR)]);
        assert_eq!([1, 2, 4].map(|hash| mine.last_ms(hash)), [None, Some(2 * HOUR), Some(4 * HOUR)]);
        mine.remove(3);
        mine.remove(77);
        mine.merge(&ring(&[(2, 9 * HOUR), (4, HOUR), (5, HOUR)]));
        assert_eq!([2, 3, 4, 5].map(|h| mine.last_ms(h)), [Some(9 * HOUR), None, Some(4 * HOUR), Some(HOUR)]);
        let mut out = Vec::new();
        mine.encode(&mut out);
        let hashes = out.len();
        mine.encode_minutes(&mut out);
        let mut again = TimedRing::<3>::decode(&mut Reader::new(&out)).unwrap();
        assert_eq!(again.last_ms(2), Some(0), "without minutes it was long ago");
        again.decode_minutes(&mut Reader::new(&out[hashes..])).unwrap();
        assert_eq!(again, mine);
    }
}
