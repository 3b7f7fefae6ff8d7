//! Count, sum and sum of squares in whole thousandths: exact, so that merging in any order gives the same bytes.

use crate::codec::{put_i64, put_u64, Reader};
use crate::error::Result;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moments {
    pub count: u64,
    sum_milli: i64,
    /// Sum of squares of thousandths, kept in thousandths of a unit squared.
    squares_milli: u64,
}

impl Moments {
    /// Values beyond ±10^9 are clipped, so that one absurd price cannot overflow the sums of a year.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let v = value.clamp(-1e9, 1e9);
        self.count += 1;
        self.sum_milli = self.sum_milli.saturating_add((v * 1000.0).round() as i64);
        self.squares_milli = self.squares_milli.saturating_add((v * v * 1000.0).round() as u64);
    }

    /// Takes a value off the sum, as a refund does; the order that it belongs to stays counted. Nothing added, nothing
    /// to take back from.
    pub fn take_back(&mut self, value: f64) {
        if value.is_finite() && self.count > 0 {
            self.sum_milli = self.sum_milli.saturating_sub((value.clamp(-1e9, 1e9) * 1000.0).round() as i64);
        }
    }

    pub fn merge(&mut self, other: &Moments) {
        self.count += other.count;
        self.sum_milli = self.sum_milli.saturating_add(other.sum_milli);
        self.squares_milli = self.squares_milli.saturating_add(other.squares_milli);
    }

    pub fn sum(&self) -> f64 {
        self.sum_milli as f64 / 1000.0
    }

    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum() / self.count as f64)
    }

    /// Population standard deviation.
    pub fn deviation(&self) -> Option<f64> {
        let mean = self.mean()?;
        let squares = self.squares_milli as f64 / 1000.0 / self.count as f64;
        Some((squares - mean * mean).max(0.0).sqrt())
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.count);
        if self.count > 0 {
            put_i64(out, self.sum_milli);
            put_u64(out, self.squares_milli);
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Moments> {
        let count = r.u64()?;
        if count == 0 {
            return Ok(Moments::default());
        }
        Ok(Moments { count, sum_milli: r.i64()?, squares_milli: r.u64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_of_known_values() {
        let mut m = Moments::default();
        assert_eq!(m.mean(), None);
        for v in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            m.add(v);
        }
        m.add(f64::NAN);
        assert_eq!(m.mean(), Some(5.0));
        assert_eq!(m.deviation(), Some(2.0));
        assert_eq!(m.sum(), 40.0);
        m.take_back(8.0);
        assert_eq!((m.count, m.sum(), m.mean()), (8, 32.0, Some(4.0)));
        let mut nothing = Moments::default();
        nothing.take_back(8.0);
        assert_eq!(nothing, Moments::default());
    }

    #[test]
    fn merge_is_addition_to_the_bit() {
        let values = [0.1, 19.99, -3.5, 1e12, 250.0];
        let fill = |vs: &[f64]| {
            let mut m = Moments::default();
            vs.iter().for_each(|v| m.add(*v));
            m
        };
        let (mut ab, mut ba) = (fill(&values[..2]), fill(&values[2..]));
        ab.merge(&fill(&values[2..]));
        ba.merge(&fill(&values[..2]));
        assert_eq!(ab, fill(&values));
        assert_eq!(ba, fill(&values));
        let mut out = Vec::new();
        ab.encode(&mut out);
        assert_eq!(Moments::decode(&mut Reader::new(&out)).unwrap(), ab);
    }
}
