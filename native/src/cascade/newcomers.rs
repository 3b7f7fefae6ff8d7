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

/// The slot, or the next place below it that is not given away. `pinned` is ascending.
pub fn free_place(slot: usize, pinned: &[usize]) -> usize {
    pinned.iter().fold(slot, |at, place| if *place == at { at + 1 } else { at })
}

/// Draws one item of the pool into the list, which keeps at most `k`: what stood there moves down, over the places in
/// `pinned`. None when the pool or the list has no room for one.
pub fn explore(
    tables: &mut Tables,
    pool: Vec<Arm>,
    slot: Slot,
    candidates: &mut Vec<Candidate>,
    k: usize,
    pinned: &[usize],
) -> Option<Filled> {
    candidates.truncate(k);
    let at = slot.position.min(candidates.len());
    // A full list gives up its last place that may be had.
    if at >= k || (candidates.len() == k && (at..k).all(|place| pinned.contains(&place))) {
        return None;
    }
    let arms: Vec<Arc<Table>> = pool.iter().map(|(_, clicks, n)| tables.of(slot.prior, *clicks, *n)).collect();
    let drawn = draw(&arms, slot.seed)?;
    let score = candidates.get(at).or(candidates.last()).map_or(0.0, |c| c.score);
    let sources = 1 << source::EXPLORE | 1 << source::NEW;
    let mut moving = Candidate { item: pool[drawn].0, score, found: 0.0, sources };
    for place in (at..candidates.len()).filter(|place| !pinned.contains(place)) {
        std::mem::swap(&mut candidates[place], &mut moving);
    }
    if candidates.len() < k {
        candidates.push(moving);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::lookup::Lookup;
    use crate::fold::scene::{Scene, NOW};
    use crate::record::{Arm as LoggedArm, Decision, Kind};

    fn slot(position: usize, seed: u64) -> Slot {
        let prior = Prior::new(1.0, 20.0).unwrap();
        Slot { position, pool_max: 10, impressions_max: 5, prior, seed, counts_served: false }
    }

    fn listed(items: &[u32]) -> Vec<Candidate> {
        items.iter().map(|item| Candidate { item: *item, score: 10.0 - *item as f32, found: 0.0, sources: 1 }).collect()
    }

    /// Items 0 to 11, a day apart, the last the newest; item 11 was shown five times, 10 three times with a click.
    fn shop() -> (Scene, Lists) {
        let mut scene = Scene::default();
        for n in 0..12 {
            scene.put(&format!(r#"{{"id":"i{n}","available":{}}}"#, n != 9), NOW + n * 86_400_000);
        }
        let now = NOW + 12 * 86_400_000;
        for (item, kind, times) in
            [("i11", EventType::Impression, 5), ("i10", EventType::Impression, 3), ("i10", EventType::Click, 1)]
        {
            (0..times).for_each(|n| scene.did(&format!("u{n}"), kind, item, now));
        }
        let mut lists = Lists::default();
        lists.rebuild(&mut scene.state, now);
        (scene, lists)
    }

    #[test]
    fn the_pool_is_the_newest_that_few_have_seen() {
        let (scene, lists) = shop();
        let pool_of =
            |slot: Slot, rules: Rules<'_>, list: &[u32]| pool(&scene.state, &lists, &rules, &listed(list), &slot);
        let items = |pool: &[Arm]| pool.iter().map(|(item, ..)| *item).collect::<Vec<_>>();
        let all = pool_of(slot(0, 0), Rules::default(), &[8, 3]);
        assert_eq!(items(&all), [10, 7, 6, 5, 4, 2, 1, 0], "11 is no longer new, 9 cannot be had, 8 and 3 are listed");
        assert_eq!(all[0], (10, 1, 3));
        assert_eq!(items(&pool_of(Slot { pool_max: 2, ..slot(0, 0) }, Rules::default(), &[])), [10, 8]);
        assert_eq!(items(&pool_of(Slot { impressions_max: 0, ..slot(0, 0) }, Rules::default(), &[])), [0; 0]);
        let mut clicked = Lookup::with_room(1);
        clicked.put(scene.state.catalogue.ids().hash(10), 0);
        let rules = Rules { clicked: Some(clicked), excluded: vec![8], ..Rules::default() };
        assert_eq!(items(&pool_of(slot(0, 0), rules, &[]))[0], 7);
        let served = pool_of(Slot { counts_served: true, ..slot(0, 0) }, Rules::default(), &[]);
        assert_eq!(served[..2], [(11, 0, 0), (10, 1, 0)], "nothing was served here");
    }

    #[test]
    fn the_drawn_item_takes_the_slot_and_the_rest_moves_down() {
        let (mut tables, arms) = (Tables::default(), vec![(10, 1, 3), (7, 0, 0), (6, 0, 0)]);
        let mut drawn = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let mut list = listed(&[0, 1, 2, 3]);
            let filled = explore(&mut tables, arms.clone(), slot(1, seed), &mut list, 4, &[]).unwrap();
            let item = arms[filled.drawn].0;
            assert_eq!(list.iter().map(|c| c.item).collect::<Vec<_>>(), [0, item, 1, 2]);
            assert_eq!((filled.at, list[1].score), (1, 9.0));
            assert_eq!(list[1].sources, 1 << source::EXPLORE | 1 << source::NEW);
            drawn.insert(item);
        }
        assert_eq!(drawn.len(), 3, "every seed draws for itself");
    }

    #[test]
    fn a_list_without_room_or_a_pool_without_items_stays_as_it_is() {
        let (mut tables, arms) = (Tables::default(), vec![(7, 0, 0)]);
        let mut list = listed(&[0, 1]);
        assert!(explore(&mut tables, vec![], slot(0, 1), &mut list, 5, &[]).is_none());
        assert_eq!(list, listed(&[0, 1]));
        assert!(
            explore(&mut tables, arms.clone(), slot(9, 1), &mut list, 2, &[]).is_none(),
            "the slot is beyond the list"
        );
        assert_eq!(list, listed(&[0, 1]));
        assert!(explore(&mut tables, arms.clone(), slot(0, 1), &mut listed(&[0]), 0, &[]).is_none());
        let filled = explore(&mut tables, arms.clone(), slot(9, 1), &mut list, 5, &[]).unwrap();
        assert_eq!((filled.at, list.len(), list[2].item), (2, 3, 7), "a short list is explored at its end");
        let mut none = Vec::new();
        let filled = explore(&mut tables, arms, slot(3, 1), &mut none, 5, &[]).unwrap();
        assert_eq!((filled.at, filled.propensity > 1.0 - 1e-12, none[0].score), (0, true, 0.0));
    }

    #[test]
    fn what_is_logged_gives_the_same_draw_and_the_same_bits() {
        let (mut tables, mut scene) = (Tables::default(), Scene::default());
        for seed in 0..200u64 {
            let n = 1 + scene.draw(40);
            let pool: Vec<Arm> = (0..n as u32).map(|i| (i, scene.draw(4), scene.draw(60))).collect();
            let ids: Vec<String> = pool.iter().map(|(item, ..)| format!("i{item}")).collect();
            let mut list = listed(&[90, 91]);
            let filled = explore(&mut tables, pool.clone(), slot(1, seed), &mut list, 2, &[]).unwrap();
            let arms = pool.iter().zip(&ids).map(|((_, clicks, impressions), id)| LoggedArm {
                item_id: id,
                clicks: *clicks,
                impressions: *impressions,
            });
            let explored = Explored {
                slot: filled.at as u32,
                seed,
                prior_clicks: 1.0,
                prior_impressions: 20.0,
                drawn: filled.drawn as u32,
                pool: arms.collect(),
            };
            let mut body = Vec::new();
            decision(Some(explored)).encode(&mut body);
            let back = Decision::decode(&body).unwrap().explored.unwrap();
            let (drawn, propensity) = again(&back).unwrap();
            assert_eq!((drawn, propensity.to_bits()), (filled.drawn, filled.propensity.to_bits()));
        }
    }

    fn decision(explored: Option<Explored<'_>>) -> Decision<'_> {
        Decision {
            request_id: "r",
            user_id: None,
            session_id: "s",
            surface: "home",
            as_of_ms: NOW,
            applied_offset: 0,
            state_version: 0,
            config_digest: 0,
            seed: 0,
            counts_served: true,
            bundle: "",
            context: b"{}",
            degraded: Vec::new(),
            items: Vec::new(),
            plan_digest: 0,
            features: crate::matrix::Matrix::default(),
            explored,
            external: crate::record::External::default(),
            footing: crate::record::Footing::default(),
        }
    }

    #[test]
    fn an_activation_is_folded_once_and_the_one_before_is_known() {
        let mut scene = Scene::default();
        let activate = |scene: &mut Scene, version: &str| {
            let mut body = Vec::new();
            crate::record::Activation { name: "shop", version }.encode(&mut body);
            scene.fold(Kind::Activation, 0, NOW, &body);
            scene.state.activations.iter().map(|(_, version)| version.clone()).collect::<Vec<_>>()
        };
        assert_eq!(activate(&mut scene, "1"), ["1"]);
        assert_eq!(activate(&mut scene, "2"), ["2", "1"]);
        assert_eq!(activate(&mut scene, "2"), ["2", "1"]);
        assert_eq!(activate(&mut scene, "3"), ["3", "2"]);
        assert_eq!(activate(&mut scene, "2"), ["2", "3"]);
    }
}
