//! One slot of a list for an item that few have seen yet: the pool it is drawn from, and the draw again from the log.
//!
//! Counts are those of all time: they only grow, so an item that was shown often enough leaves the pool for good, and an
//! old one whose last week was quiet does not come back as new. Invariant: the pool depends on the state, the lists and
//! the rules of the request; the draw on the pool, the prior and the seed.

use std::sync::Arc;

use crate::cascade::eligible::Rules;
use crate::cascade::lists::Lists;
use crate::cascade::source;
use crate::error::Result;
use crate::explore::{draw, propensity, Prior, Table, Tables};
use crate::fold::counter::Window;
use crate::fold::shared::SERVED;
use crate::fold::state::State;
use crate::recall::merge::Candidate;
use crate::record::{EventType, Explored};

/// What a surface says of its explored slot.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Position in the list, from 0.
    pub position: usize,
    pub pool_max: usize,
    /// An item shown so often or more is not new.
    pub impressions_max: u64,
    pub prior: Prior,
    pub seed: u64,
    /// Impressions are those that the shard served, not those that were viewed.
    pub counts_served: bool,
}

/// An arm of the pool: item, clicks, impressions.
pub type Arm = (u32, u64, u64);

/// A slot that was filled.
#[derive(Debug, Clone)]
pub struct Filled {
    pub slot: Slot,
    /// Where the item stands: the slot, or the end of a shorter list.
    pub at: usize,
    pub drawn: usize,
    pub propensity: f64,
    pub pool: Vec<Arm>,
}

/// The newest items that may be shown, were shown less than `impressions_max` times and are not in the list.
pub fn pool(state: &State, lists: &Lists, rules: &Rules<'_>, listed: &[Candidate], slot: &Slot) -> Vec<Arm> {
    let impression = if slot.counts_served { SERVED } else { EventType::Impression as u8 };
    let counts = |item: u32| {
        let count = |kind| state.items.get(item as usize).map_or(0, |s| s.slot_count(kind, Window::Lifetime, 0));
        (item, count(EventType::Click as u8), count(impression))
    };
    let newest = lists.fresh.items().iter().map(|(item, _)| counts(*item));
    newest
        .filter(|(item, _, impressions)| {
            *impressions < slot.impressions_max && !listed.iter().any(|c| c.item == *item) && rules.allow(state, *item)
        })
        .take(slot.pool_max)
        .collect()
}

/// Draws one item of the pool into the list, which keeps at most `k`: what stood there moves down. None when the pool or
/// the list has no room for one.
pub fn explore(
    tables: &mut Tables,
    pool: Vec<Arm>,
    slot: Slot,
    candidates: &mut Vec<Candidate>,
    k: usize,
) -> Option<Filled> {
    candidates.truncate(k);
    let at = slot.position.min(candidates.len());
    if at >= k {
        return None;
    }
    let arms: Vec<Arc<Table>> = pool.iter().map(|(_, clicks, n)| tables.of(slot.prior, *clicks, *n)).collect();
    let drawn = draw(&arms, slot.seed)?;
    let score = candidates.get(at).or(candidates.last()).map_or(0.0, |c| c.score);
    let sources = 1 << source::EXPLORE | 1 << source::NEW;
    candidates.insert(at, Candidate { item: pool[drawn].0, score, sources });
    candidates.truncate(k);
    Some(Filled { slot, at, drawn, propensity: propensity(&arms, drawn), pool })
}

/// Draws again what a decision logged: the arm that wins under its seed, and the logged arm's propensity.
pub fn again(explored: &Explored<'_>) -> Result<(usize, f64)> {
    let prior = Prior::new(explored.prior_clicks, explored.prior_impressions)?;
    let mut tables = Tables::default();
    let arms: Vec<Arc<Table>> = explored.pool.iter().map(|a| tables.of(prior, a.clicks, a.impressions)).collect();
    let drawn = draw(&arms, explored.seed).unwrap_or_default();
    Ok((drawn, propensity(&arms, explored.drawn as usize)))
}
