//! One session of a user record: when it was, what happened in it, its cart.
//!
//! Invariant: `encode` and `decode` are inverse. It does not know the other sessions of its user.

use crate::codec::{put_i64, put_str, put_u64, Reader};
use crate::error::Result;
use crate::fold::user::small;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: String,
    /// Counts up per user; names the session inside the record.
    pub number: u32,
    pub started_ms: i64,
    pub last_ms: i64,
    /// Events by type, `EventType as usize`.
    pub counts: [u32; 15],
    pub dwell_ms: u64,
    pub scroll_pct_max: u32,
    /// Item hash and quantity, in the order of adding.
    pub cart: Vec<(u64, u32)>,
}

impl Session {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_str(out, &self.id);
        put_u64(out, u64::from(self.number));
        put_i64(out, self.started_ms);
        put_i64(out, self.last_ms - self.started_ms);
        let mask = self.counts.iter().enumerate().fold(0u64, |m, (i, n)| m | u64::from(*n > 0) << i);
        put_u64(out, mask);
        self.counts.iter().filter(|n| **n > 0).for_each(|n| put_u64(out, u64::from(*n)));
        put_u64(out, self.dwell_ms);
        put_u64(out, u64::from(self.scroll_pct_max));
        put_u64(out, self.cart.len() as u64);
        for (item, n) in &self.cart {
            out.extend_from_slice(&item.to_le_bytes());
            put_u64(out, u64::from(*n));
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Session> {
        let id = r.str()?.to_owned();
        let number = small(r)?;
        let started_ms = r.i64()?;
        let last_ms = started_ms + r.i64()?;
        let mask = r.u64()?;
        let mut counts = [0; 15];
        for (i, n) in counts.iter_mut().enumerate() {
            if mask >> i & 1 == 1 {
                *n = small(r)?;
            }
        }
        let mut s = Session {
            id,
            number,
            started_ms,
            last_ms,
            counts,
            dwell_ms: r.u64()?,
            scroll_pct_max: small(r)?,
            cart: Vec::new(),
        };
        for _ in 0..r.u64()? {
            s.cart.push((r.fixed_u64()?, small(r)?));
        }
        Ok(s)
    }
}
