//! Lists that do not depend on who asks: popular, trending, popular in a context or category, new.
//!
//! Invariant: a list is at most one refresh old (a second), and rebuilding from the state gives it again; nothing here is
//! persisted.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::fold::counter::Window;
use crate::fold::shared::trend_of;
use crate::fold::state::State;
use crate::hash::id_hash;
use crate::recall::top::TopList;

pub const POPULAR_HALF_LIFE_MS: i64 = 3 * 86_400_000;
/// Items in each list; no quota of a surface is larger.
const LIST_MAX: usize = 1_000;
const CATEGORY_LIST_MAX: usize = 200;
/// Newest items of a category that fill its list when few of them are popular.
const CATEGORY_FRESH_MAX: usize = 100;
/// Items scored per refresh beside those on the lists.
const TOUCHED_MAX: usize = 128;
/// Scores of untouched items fade together, so their order holds; they are all scored again this often.
const RESCORE_MS: i64 = 30_000;

/// Brings a list up to date; an item that cannot be had, or of which there is nothing to say, leaves it.
fn update(list: &mut TopList, state: &State, touched: &[u32], everything: bool, score: impl Fn(u32) -> f64) {
    let kept: FxHashMap<u32, f32> =
        if everything { FxHashMap::default() } else { list.items().iter().copied().collect() };
    list.refresh(touched, |item| match kept.get(&item) {
        Some(score) if touched.binary_search(&item).is_err() => *score,
        _ if !state.catalogue.get(item).is_some_and(|i| i.available) => f32::NAN,
        _ => Some(score(item) as f32).filter(|s| *s > 0.0).unwrap_or(f32::NAN),
    });
}

/// What an item is a member of: its categories, every level, and its brand.
fn keys_of(state: &State, item: u32) -> impl Iterator<Item = u64> + '_ {
    let brand = state.catalogue.get(item).and_then(|data| data.brand);
    let brand = brand.map(|brand| brand_key(state.catalogue.labels().id(brand)));
    state.facts.facts_at(item).categories.iter().copied().chain(brand)
}

/// Brands stand beside the categories; a path of categories never begins with the separator.
pub fn brand_key(name: &str) -> u64 {
    id_hash(&format!(" > brand > {name}"))
}

/// When a list was made, and the list.
type MadeAt = (i64, Vec<(u32, f32)>);

pub struct Lists {
    pub popular: TopList,
    pub trending: TopList,
    pub fresh: TopList,
    by_category: FxHashMap<u64, Vec<(u32, f32)>>,
    /// Items of each category, in the order of their arrival.
    members: FxHashMap<u64, Vec<u32>>,
    by_context: BTreeMap<(u8, bool, String), MadeAt>,
    scored_ms: i64,
    stale_categories: bool,
    known: Vec<bool>,
}

impl Default for Lists {
    fn default() -> Self {
        Lists {
            popular: TopList::new(LIST_MAX),
            trending: TopList::new(LIST_MAX),
            fresh: TopList::new(LIST_MAX),
            by_category: FxHashMap::default(),
            members: FxHashMap::default(),
            by_context: BTreeMap::new(),
            scored_ms: i64::MIN,
            stale_categories: false,
            known: Vec::new(),
        }
    }
}

impl Lists {
    /// Takes in what changed since the last call, at most `TOUCHED_MAX` items of it: the rest waits for the next call,
    /// so that no request pays for a busy second. True when nothing is left.
    pub fn refresh(&mut self, state: &mut State, now_ms: i64) -> bool {
        self.take_in(state, now_ms, TOUCHED_MAX)
    }

    fn take_in(&mut self, state: &mut State, now_ms: i64, touched_max: usize) -> bool {
        let rescore = self.scored_ms == i64::MIN || now_ms.saturating_sub(self.scored_ms).abs() >= RESCORE_MS;
        let touched = state.touched.take_some(touched_max);
        if rescore {
            self.scored_ms = now_ms;
        }
        if !touched.is_empty() || rescore {
            for item in &touched {
                self.join_categories(state, *item);
            }
            self.rescore(state, &touched, rescore, now_ms);
            self.stale_categories = true;
        }
        let done = state.touched.is_empty();
        if self.stale_categories && done {
            self.fill_categories(state);
            self.stale_categories = false;
        }
        done
    }

    /// Makes all lists from nothing, after a restart.
    pub fn rebuild(&mut self, state: &mut State, now_ms: i64) {
        *self = Lists::default();
        let all: Vec<u32> = state.catalogue.iter_present().map(|(item, _)| item).collect();
        all.into_iter().for_each(|item| state.touched.insert(item));
        self.take_in(state, now_ms, usize::MAX);
    }

    /// Scores what was touched, or everything on the lists too when it is time; the rest keeps its score.
    fn rescore(&mut self, state: &State, touched: &[u32], everything: bool, now_ms: i64) {
        let stats = |item: u32| state.items.get(item as usize);
        let popularity = |item: u32| stats(item).map_or(0.0, |s| s.popularity(POPULAR_HALF_LIFE_MS, now_ms));
        let trend = |item: u32| stats(item).map_or(0.0, |s| s.trend(now_ms));
        // Days, from old to new: the order matters, the size does not. As of the latest scoring of everything, so that an
        // item scored a moment later is not taken for an older one.
        let as_of_ms = self.scored_ms;
        let freshness = |item: u32| {
            let since = state.catalogue.get(item).map_or(0, |i| i.added_ms());
            let days = as_of_ms.saturating_sub(since) as f64 / 86_400_000.0;
            if days < 0.0 {
                1.0 - days
            } else {
                1.0 / (1.0 + days)
            }
        };
        update(&mut self.popular, state, touched, everything, popularity);
        update(&mut self.trending, state, touched, everything, trend);
        update(&mut self.fresh, state, touched, everything, freshness);
    }

    fn join_categories(&mut self, state: &State, item: u32) {
        let at = item as usize;
        if self.known.len() <= at {
            self.known.resize(at + 1, false);
        }
        if self.known[at] || state.catalogue.get(item).is_none() {
            return;
        }
        self.known[at] = true;
        for key in keys_of(state, item) {
            self.members.entry(key).or_default().push(item);
        }
    }

    fn fill_categories(&mut self, state: &State) {
        self.by_category.clear();
        for (item, score) in self.popular.items() {
            for key in keys_of(state, *item) {
                let list = self.by_category.entry(key).or_default();
                if list.len() < CATEGORY_LIST_MAX {
                    list.push((*item, *score));
                }
            }
        }
    }

    /// Items of a category, or of a brand by its `brand_key`: the popular ones first, then the newest.
    pub fn in_category(&self, category: u64, n: usize, out: &mut Vec<(u32, f32)>) {
        let popular = self.by_category.get(&category).map_or(&[][..], |l| l);
        let best = popular.first().map_or(1.0, |(_, s)| *s).max(f32::MIN_POSITIVE);
        let from = out.len();
        out.extend(popular.iter().take(n).map(|(item, s)| (*item, 0.5 + 0.5 * s / best)));
        let members = self.members.get(&category).map_or(&[][..], |m| m);
        for (rank, item) in members.iter().rev().take(CATEGORY_FRESH_MAX).enumerate() {
            if out.len() - from >= n {
                break;
            }
            if !popular.iter().any(|(p, _)| p == item) {
                out.push((*item, 0.5 * (1.0 - rank as f32 / CATEGORY_FRESH_MAX as f32)));
            }
        }
    }

    /// What of the trending items is of a category.
    pub fn trending_in(&self, state: &State, category: u64, n: usize) -> Vec<(u32, f32)> {
        let inside = |item: u32| state.facts.facts_at(item).categories.contains(&category);
        self.trending.items().iter().filter(|(item, _)| inside(*item)).take(n).copied().collect()
    }

    /// What is popular under one value of a context dimension, from the counts of the last week; or trending there.
    pub fn in_context(
        &mut self,
        state: &State,
        (dimension, value): (u8, &str),
        trending: bool,
        now_ms: i64,
        n: usize,
    ) -> Vec<(u32, f32)> {
        let Some(context) = state.contexts.get(dimension, value) else { return Vec::new() };
        let key = (dimension, trending, value.to_owned());
        if let Some((made_ms, list)) = self.by_context.get(&key) {
            if (now_ms - made_ms).abs() < 1_000 {
                return list.iter().take(n).copied().collect();
            }
        }
        let mut list: Vec<(u32, f32)> = context
            .items()
            .map(|(item, c)| {
                let week = c.in_window(Window::Week, now_ms) as f64;
                let score = if trending { trend_of(c.in_window(Window::Hour, now_ms) as f64, week) } else { week };
                (item, score as f32)
            })
            .filter(|(_, n)| *n > 0.0)
            .collect();
        list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        list.truncate(LIST_MAX);
        let answer = list.iter().take(n).copied().collect();
        self.by_context.insert(key, (now_ms, list));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::scene::{Scene, NOW};

    #[test]
    fn new_items_stand_by_when_they_came_and_not_by_when_they_were_scored() {
        let mut scene = Scene::default();
        let mut lists = Lists::default();
        lists.rebuild(&mut scene.state, NOW);
        for n in 0..2 * TOUCHED_MAX + 10 {
            scene.put(&format!(r#"{{"id":"i{n}"}}"#, n = n), NOW);
        }
        let mut now_ms = NOW;
        while !lists.refresh(&mut scene.state, now_ms) {
            now_ms += 40;
        }
        let late = scene.put(r#"{"id":"late"}"#, NOW + 1_000);
        lists.refresh(&mut scene.state, NOW + 1_010);
        let order: Vec<u32> = lists.fresh.items().iter().map(|(item, _)| *item).collect();
        assert_eq!(order[0], late);
        assert!(order[1..].windows(2).all(|w| w[0] < w[1]), "those that came together stand by their index");
        assert_eq!(order.len(), 2 * TOUCHED_MAX + 11);
    }
}
