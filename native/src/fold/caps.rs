//! What one user key may add to counts shared by all: a bot that clicks ten thousand times moves a counter five times.
//!
//! The user's own state sees every event; only the contributions stop.

use crate::ahead::fetch;
use crate::codec::{put_u64, Reader};
use crate::error::{Error, Result};
use crate::record::EventType;

const HOUR_MS: i64 = 3_600_000;
/// Distinct (item, type) pairs remembered within an hour; the total cap holds for what is forgotten.
const PAIRS_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapLimits {
    pub per_item_hour_max: u8,
    pub per_hour_max: u16,
}

impl Default for CapLimits {
    fn default() -> Self {
        CapLimits { per_item_hour_max: 5, per_hour_max: 500 }
    }
}

/// Contributions in the user's current hour of event time. Late events count against the current hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caps {
    hour: i64,
    total: u16,
    /// (low half of the item hash, type, count), oldest first.
    pairs: Vec<(u32, u8, u8)>,
}

impl Caps {
    pub fn allow(&mut self, limits: &CapLimits, item_hash: u64, event_type: EventType, ts_ms: i64) -> bool {
        let hour = ts_ms / HOUR_MS;
        if hour > self.hour {
            *self = Caps { hour, ..Caps::default() };
        }
        if self.total >= limits.per_hour_max {
            return false;
        }
        let pair = (item_hash as u32, event_type as u8);
        match self.pairs.iter_mut().find(|p| (p.0, p.1) == pair) {
            Some(p) if p.2 >= limits.per_item_hour_max => return false,
            Some(p) => p.2 += 1,
            None => {
                if self.pairs.len() == PAIRS_MAX {
                    self.pairs.remove(0);
                }
                self.pairs.push((pair.0, pair.1, 1));
            }
        }
        self.total += 1;
        true
    }

    /// Asks for what an event is about to be looked up in.
    pub fn fetch(&self) {
        fetch(&self.pairs[..]);
    }

    /// Bytes behind the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.pairs.capacity() * std::mem::size_of::<(u32, u8, u8)>()
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.hour as u64);
        put_u64(out, u64::from(self.total));
        put_u64(out, self.pairs.len() as u64);
        for (hash, event_type, n) in &self.pairs {
            out.extend_from_slice(&hash.to_le_bytes());
            out.extend_from_slice(&[*event_type, *n]);
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Caps> {
        let hour = r.u64()? as i64;
        let total = u16::try_from(r.u64()?).map_err(|_| Error::corrupt(0, "caps"))?;
        let n = r.u64()? as usize;
        if n > PAIRS_MAX {
            return Err(Error::corrupt(0, "too many caps"));
        }
        let mut pairs = Vec::with_capacity(n);
        for _ in 0..n {
            let b = r.take(6)?;
            pairs.push((u32::from_le_bytes([b[0], b[1], b[2], b[3]]), b[4], b[5]));
        }
        Ok(Caps { hour, total, pairs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_counts_a_bounded_number_of_times() {
        let limits = CapLimits { per_item_hour_max: 3, per_hour_max: 5 };
        let mut caps = Caps::default();
        let t = 1_700_000_000_000;
        let item: Vec<bool> = (0..4).map(|_| caps.allow(&limits, 1, EventType::Click, t)).collect();
        assert_eq!(item, [true, true, true, false]);
        assert!(caps.allow(&limits, 1, EventType::AddToCart, t), "another type has its own cap");
        assert!(caps.allow(&limits, 2, EventType::Click, t));
        assert!(!caps.allow(&limits, 3, EventType::Click, t), "the hour is full");
        assert!(!caps.allow(&limits, 3, EventType::Click, t - 10 * HOUR_MS), "an old time opens no new hour");
        assert!(caps.allow(&limits, 1, EventType::Click, t + HOUR_MS));
        let mut out = Vec::new();
        caps.encode(&mut out);
        assert_eq!(Caps::decode(&mut Reader::new(&out)).unwrap(), caps);
    }
}
