//! From a team's aggregates to the number that a row holds: windows, decay, priors and ages are applied here only.

use crate::error::Result;
use crate::fold::aggregate::{find, Acc, Entry, Owner};
use crate::fold::arms::arm_key;
use crate::fold::counter::Window;
use crate::fold::own::context_key;
use crate::fold::plan::Scope;
use crate::fold::shared::rate;
use crate::fold::state::State;
use crate::fold::vector::Asker;
use crate::fold::windowed::Sum;
use crate::hash::{id_hash, key_hash, Namespace};

use crate::fold::contexts::DIMENSIONS;

const MINUTE: f64 = 60_000.0;

/// How an accumulator is read.
#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    Count,
    Decayed,
    Rate,
    Sum,
    Mean,
    Max,
    Min,
    Last,
    Distinct,
    MinutesSince,
}

/// A feature's way to its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub read: Read,
    pub key: u64,
    /// Of a rate: what its hits are divided by.
    pub trials: u64,
    /// What refunds take back; 0 without.
    pub refunds: u64,
    pub window: Window,
    pub half_life_ms: i64,
    pub prior_rate: f64,
    pub prior_strength: f64,
    /// A value older than this is none; 0 is for ever.
    pub ttl_ms: i64,
    /// Hashes of the words that the value is one of, for text: the value is the place in it, from 1, or 0.
    pub words: Option<Vec<u64>>,
    /// Of the scopes `context` and `arm`.
    pub dimension: usize,
}

impl Reading {
    /// The value of entries that exist; without an accumulator, what nothing counted gives.
    fn value(&self, state: &State, entries: &[Entry], as_of_ms: i64) -> Option<f64> {
        let definitions = &state.aggregates.definitions;
        let find = |key: u64| definitions.place(key).and_then(|at| find(entries, at));
        definitions.place(self.key)?;
        let acc = find(self.key);
        let trials = if self.read == Read::Rate { find(self.trials) } else { None };
        if self.ttl_ms > 0 {
            let newest_ms = acc.iter().chain(&trials).map(|a| a.newest_ms()).max();
            if newest_ms.is_some_and(|at| as_of_ms.saturating_sub(at) > self.ttl_ms) {
                return None;
            }
        }
        let in_window = |acc: Option<&Acc>| match acc {
            Some(Acc::Count(c)) => c.in_window(self.window, as_of_ms) as f64,
            _ => 0.0,
        };
        let back = if self.refunds == 0 { None } else { find(self.refunds) };
        match (self.read, acc) {
            (Read::Count, acc) => Some((in_window(acc) - in_window(back)).max(0.0)),
            (Read::Rate, acc) => Some(rate(in_window(acc), in_window(trials), self.prior_rate, self.prior_strength)),
            (Read::Decayed, Some(Acc::Count(c))) => {
                let back = match back {
                    Some(Acc::Count(b)) => b.decayed(self.half_life_ms, as_of_ms),
                    _ => 0.0,
                };
                Some((c.decayed(self.half_life_ms, as_of_ms) - back).max(0.0))
            }
            (Read::Decayed | Read::Sum | Read::Distinct, None) => Some(0.0),
            (Read::Sum, Some(Acc::Sum(s))) => Some(self.kept(s.in_window(self.window, as_of_ms), back, as_of_ms).sum()),
            (Read::Mean, Some(Acc::Sum(s))) => {
                let found = self.kept(s.in_window(self.window, as_of_ms), back, as_of_ms);
                (found.count > 0).then(|| found.sum() / found.count as f64)
            }
            (Read::Max, Some(Acc::Largest(m))) => Some(m.in_window(self.window, as_of_ms).0).filter(|v| v.is_finite()),
            (Read::Min, Some(Acc::Largest(m))) => Some(-m.in_window(self.window, as_of_ms).0).filter(|v| v.is_finite()),
            (Read::Last, Some(Acc::Last { value, .. })) => Some(match &self.words {
                Some(words) => words.iter().position(|w| w == value).map_or(0.0, |at| at as f64 + 1.0),
                None => f64::from_bits(*value),
            }),
            (Read::Distinct, Some(Acc::Distinct(d))) => Some(d.count(self.window.ms(), as_of_ms)),
            (Read::MinutesSince, Some(acc)) => Some(as_of_ms.saturating_sub(acc.newest_ms()).max(0) as f64 / MINUTE),
            _ => None,
        }
    }
}

impl Reading {
    /// A window's sum without what was taken back of it.
    fn kept(&self, found: Sum, back: Option<&Acc>, as_of_ms: i64) -> Sum {
        match back {
            Some(Acc::Sum(b)) => found.without(&b.in_window(self.window, as_of_ms)),
            _ => found,
        }
    }
}

/// Hashes of words in their order.
pub fn hashes_of(words: &[String]) -> Vec<u64> {
    words.iter().map(|word| id_hash(word)).collect()
}

impl State {
    /// Of whoever asks: scopes user, session and context.
    pub(super) fn asker_reading(&self, asker: &Asker<'_>, scope: Scope, reading: &Reading) -> Option<f64> {
        let entries = match scope {
            Scope::Context => {
                let value = asker.context(DIMENSIONS[reading.dimension])?;
                self.aggregates.shared(Owner::Context, context_key(reading.dimension, value))
            }
            Scope::User => {
                asker.user?;
                asker.own.map_or(&[][..], |own| &own.user)
            }
            _ => {
                asker.user?.session(asker.session_id)?;
                asker.own.map_or(&[][..], |own| own.session(key_hash(Namespace::Session, asker.session_id)))
            }
        };
        reading.value(self, entries, asker.as_of_ms)
    }

    /// Of the surface or the bundle that makes the list.
    pub(super) fn arm_reading(&self, asker: &Asker<'_>, reading: &Reading) -> Option<f64> {
        let name = asker.arms.get(reading.dimension)?;
        self.shared_reading(Owner::Arm, arm_key(reading.dimension, name), reading, asker.as_of_ms)
    }

    /// Of an item by its index, of a category or a seller by its hash, of an arm by its key.
    pub(super) fn shared_reading(&self, owner: Owner, key: u64, reading: &Reading, as_of_ms: i64) -> Option<f64> {
        reading.value(self, self.aggregates.shared(owner, key), as_of_ms)
    }

    /// Of an item after another one.
    pub(super) fn pair_reading(&self, anchor: u32, item: u32, reading: &Reading, as_of_ms: i64) -> Option<f64> {
        let kept = self.aggregates.pairs.get(&self.aggregates.definitions, anchor, item);
        reading.value(self, kept.as_deref().unwrap_or_default(), as_of_ms)
    }

    /// Takes over a team's definitions; before anything is folded or restored. Errors: `bad_feature`.
    pub fn define(&mut self, json: &[u8]) -> Result<()> {
        self.aggregates.definitions = crate::fold::aggregate::Definitions::parse(json)?;
        Ok(())
    }
}
