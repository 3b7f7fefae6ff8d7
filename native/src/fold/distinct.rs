//! How many different values: exact up to `KEPT`, an estimate beyond, in bounded room.
//!
//! Bar-Yossef et al., "Counting distinct elements in a data stream", RANDOM 2002: of all hashes the `KEPT` smallest are
//! kept, and how close together they lie says how many there are. The standard error is 1/√(KEPT − 2), about 13 %. Each
//! keeps its latest time, so that a window counts the share of them that lies in it. Invariant: a function of the set of
//! (value, latest time), whatever the order.

use crate::codec::{put_i64, put_u64, Reader};
use crate::error::{Error, Result};

pub const KEPT: usize = 64;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distinct {
    /// (hash, latest time), by hash.
    kept: Vec<(u64, i64)>,
    newest_ms: i64,
}

impl Distinct {
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    pub fn add(&mut self, hash: u64, ts_ms: i64) {
        self.newest_ms = self.newest_ms.max(ts_ms);
        match self.kept.binary_search_by_key(&hash, |(h, _)| *h) {
            Ok(at) => self.kept[at].1 = self.kept[at].1.max(ts_ms),
            Err(at) if at < KEPT => {
                self.kept.insert(at, (hash, ts_ms));
                self.kept.truncate(KEPT);
            }
            Err(_) => {}
        }
    }

    pub fn merge(&mut self, other: &Distinct) {
        other.kept.iter().for_each(|(hash, ts_ms)| self.add(*hash, *ts_ms));
        self.newest_ms = self.newest_ms.max(other.newest_ms);
    }

    /// Different values of the `window_ms` that end at `as_of_ms`; 0 is for ever.
    pub fn count(&self, window_ms: i64, as_of_ms: i64) -> f64 {
        let within = |ts_ms: i64| window_ms == 0 || (ts_ms > as_of_ms.saturating_sub(window_ms) && ts_ms <= as_of_ms);
        let found = self.kept.iter().filter(|(_, ts_ms)| within(*ts_ms)).count() as f64;
        let all = match self.kept.last() {
            Some((largest, _)) if self.kept.len() == KEPT => (KEPT - 1) as f64 / (*largest as f64 / 2f64.powi(64)),
            _ => return found,
        };
        found / KEPT as f64 * all
    }

    pub fn heap_bytes(&self) -> usize {
        self.kept.capacity() * 16
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_i64(out, self.newest_ms);
        put_u64(out, self.kept.len() as u64);
        for (hash, ts_ms) in &self.kept {
            out.extend_from_slice(&hash.to_le_bytes());
            put_i64(out, self.newest_ms - ts_ms);
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Distinct> {
        let newest_ms = r.i64()?;
        let n = r.u64()? as usize;
        if n > KEPT {
            return Err(Error::corrupt(0, "too many distinct values"));
        }
        let kept = (0..n).map(|_| Ok((r.fixed_u64()?, newest_ms - r.i64()?))).collect::<Result<Vec<_>>>()?;
        Ok(Distinct { kept, newest_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::id_hash;

    const NOW: i64 = 1_700_000_000_000;

    fn of(numbers: impl Iterator<Item = u64>) -> Distinct {
        let mut d = Distinct::default();
        numbers.for_each(|n| d.add(id_hash(&n.to_string()), NOW - n as i64 * 1_000));
        d
    }

    #[test]
    fn small_numbers_are_exact_and_large_ones_close() {
        for n in [0, 1, 17, 63] {
            assert_eq!(of((0..n).chain(0..n)).count(0, NOW), n as f64);
        }
        for n in [1_000, 10_000] {
            let count = of(0..n).count(0, NOW);
            assert!((count / n as f64 - 1.0).abs() < 0.3, "{n} {count}");
        }
        assert_eq!(of(0..10_000).kept.len(), KEPT);
        assert_eq!(of(0..10).count(5_000, NOW), 5.0);
        let half = of(0..10_000);
        assert!((half.count(5_000_000, NOW) / half.count(0, NOW) - 0.5).abs() < 0.2);
    }

    #[test]
    fn order_does_not_matter_and_merge_is_union() {
        let whole = of(0..500);
        assert_eq!(of((0..500).rev()), whole);
        let (mut a, b) = (of(0..300), of(200..500));
        a.merge(&b);
        assert_eq!(a, whole);
        let mut out = Vec::new();
        whole.encode(&mut out);
        assert_eq!(Distinct::decode(&mut Reader::new(&out)).unwrap(), whole);
    }
}
