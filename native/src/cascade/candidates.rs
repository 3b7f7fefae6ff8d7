//! Recall: every source of a surface is asked, the answers are merged with their sources kept, and what may not be shown
//! is dropped. When the sources run dry the catalogue itself is the last one.

use crate::cascade::eligible::Rules;
use crate::cascade::lists::{brand_key, Lists};
use crate::cascade::negative::{refused, Declined};
use crate::cascade::source;
use crate::error::{Error, Result};
use crate::fold::blocks::Plans;
use crate::fold::contexts::{hours_of, DIMENSIONS, HOURS};
use crate::fold::published::Published;
use crate::fold::state::State;
use crate::fold::step::{is_positive, Catalog};
use crate::fold::user::User;
use crate::hash::{id_hash, key_hash, Namespace};
use crate::items::Filter;
use crate::recall::covis::Covis;
use crate::recall::knn::KnnParams;
use crate::recall::knn::SessionKnn;
use crate::recall::merge::{Candidate, Merger, SourceList};
use crate::recall::scan::Scratch;
use crate::recall::text::TextIndex;
use crate::recall::vectors::VectorTable;

/// One source as a surface declares it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub source: u8,
    pub quota: usize,
    pub weight: f32,
}

pub struct Request<'a> {
    pub user: Option<&'a User>,
    pub session_id: &'a str,
    /// Items of the request itself (the product on show, the cart), strongest last.
    pub seeds: &'a [u32],
    /// Category path the request is about.
    pub category: Option<&'a str>,
    pub context: &'a [(String, String)],
    pub now_ms: i64,
    pub knn: KnnParams,
    pub sources: &'a [Wanted],
    /// Bit mask of sources that are not asked, as if they had failed.
    pub failing: u32,
    /// What the session encoder made of the session, in the space of the item vectors.
    pub vector: Option<&'a [f32]>,
    /// What an index outside found for that vector, best first; asked instead of the scan.
    pub nearest: Option<&'a [(u32, f32)]>,
    /// The same two for the past of the user and the session together.
    pub user_vector: Option<&'a [f32]>,
    pub user_nearest: Option<&'a [(u32, f32)]>,
    /// What the user declined: no wish of theirs.
    pub declined: &'a [Declined],
    /// What the visitor typed.
    pub query: Option<&'a str>,
    /// Of the request; only the sources that could bring anything look at it before the merge.
    pub filter: Option<&'a Filter>,
}

/// What the sources found, best first, and the bit mask of the sources that were not asked.
#[derive(Debug, Clone, Default)]
pub struct Recalled {
    pub candidates: Vec<Candidate>,
    pub skipped: u32,
}

/// Candidates that later stages see; what more sources find is of the least score.
pub const CANDIDATES_MAX: usize = 1_000;

/// Recent wishes that the item-to-item sources start from.
const SEEDS_MAX: usize = 10;

/// What a source is asked for when a filter will drop some of it.
const FILTERED_MAX: usize = 1_000;

/// What the user wanted lately, oldest first: this session's items, or the latest of earlier ones, then the request's.
pub fn wishes(state: &State, request: &Request<'_>) -> Vec<u32> {
    let mut items: Vec<u32> = Vec::new();
    if let Some(user) = request.user {
        let wanted = |r: &&crate::fold::user::Recent| is_positive(r.event_type) && !refused(request.declined, r.item);
        let session = user.session(request.session_id).map(|s| s.number);
        let here = user.recent.iter().filter(wanted).filter(|r| Some(r.session) == session);
        items.extend(here.filter_map(|r| state.catalogue.ids().by_hash(r.item)));
        if items.is_empty() {
            items.extend(user.recent.iter().filter(wanted).filter_map(|r| state.catalogue.ids().by_hash(r.item)));
        }
    }
    items.extend_from_slice(request.seeds);
    items
}

/// Indices that need scratch space to be asked; they leave the state for the time of a request.
#[derive(Default)]
pub struct Indices {
    pub knn: SessionKnn,
    pub covis: Covis,
    /// Of carts and orders alone.
    pub bought: Covis,
    pub merger: Merger,
    /// Feature blocks by plan.
    pub plans: Plans,
    pub vectors: VectorTable,
    pub text: TextIndex,
    pub scratch: Scratch,
    pub published: Published,
}

/// Asks the sources and merges. The answer still holds what may not be shown. `spent` is asked before each source: once
/// it says yes, no further source is asked.
pub fn recall(
    state: &State,
    lists: &mut Lists,
    indices: &mut Indices,
    request: &Request<'_>,
    spent: &dyn Fn() -> bool,
) -> Recalled {
    let wishes = wishes(state, request);
    let mut latest: Vec<u32> = Vec::new();
    for item in wishes.iter().rev() {
        if latest.len() < SEEDS_MAX && !latest.contains(item) {
            latest.push(*item);
        }
    }
    let mut found: Vec<(Wanted, Vec<(u32, f32)>)> = Vec::with_capacity(request.sources.len());
    let mut recalled = Recalled::default();
    let mut over = false;
    for wanted in request.sources {
        let bit = 1u32 << wanted.source;
        over = over || spent();
        if over || request.failing & bit != 0 {
            recalled.skipped |= bit;
            continue;
        }
        let n = wanted.quota;
        let mut items = Vec::new();
        match wanted.source {
            source::SESSION_KNN => {
                let own = key_hash(Namespace::Session, request.session_id);
                indices.knn.query(&wishes, Some(own), &request.knn, n, &mut items);
            }
            source::COVIS => items = indices.covis.recall(&latest, n),
            source::TRENDING => items.extend(lists.trending.items().iter().take(n)),
            source::POPULAR => items.extend(lists.popular.items().iter().take(n)),
            source::NEW => items.extend(lists.fresh.items().iter().take(n)),
            source::POPULAR_CONTEXT => items = in_context(state, lists, request, false, n),
            source::TRENDING_CONTEXT => items = in_context(state, lists, request, true, n),
            source::SAME_CATEGORY => items = same_category(state, lists, request, &latest, n),
            source::ANN => items = nearest(state, indices, request, (request.nearest, request.vector), n),
            source::ANN_USER => {
                items = nearest(state, indices, request, (request.user_nearest, request.user_vector), n);
            }
            source::SAME_BRAND => items = same_brand(state, lists, &latest, n),
            source::BOUGHT_TOGETHER => items = bought_together(state, &mut indices.bought, request, &latest, n),
            source::HISTORY => items = history(state, request, n),
            source::TEXT => items = text_matches(state, indices, request, n),
            _ => continue,
        }
        found.push((*wanted, items));
    }
    let sources: Vec<SourceList<'_>> =
        found.iter().map(|(w, items)| SourceList { source: w.source, weight: w.weight, items }).collect();
    indices.merger.merge(&sources, state.catalogue.ids().len(), &mut recalled.candidates);
    recalled.candidates.truncate(CANDIDATES_MAX);
    recalled
}

/// A number that the catalogue says of an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Price,
    /// By name as `Catalogue::labels` numbers it; None when no item has such an attribute.
    Attribute(Option<u32>),
}

impl Number {
    /// `price` or `attributes.NAME`. Errors: `unknown_field`.
    pub fn parse(state: &State, field: &str) -> Result<Number> {
        if field == "price" {
            return Ok(Number::Price);
        }
        match field.strip_prefix("attributes.") {
            Some(name) if !name.is_empty() => Ok(Number::Attribute(state.catalogue.labels().index(name))),
            _ => Err(Error::invalid("unknown_field", field, "not `price` or `attributes.NAME`")),
        }
    }

    /// NaN where the item has none.
    pub fn of(self, state: &State, item: u32) -> f32 {
        let found = match self {
            Number::Price => state.catalogue.get(item).and_then(|i| i.price),
            Number::Attribute(name) => name.and_then(|name| state.item_number(item, name)),
        };
        found.map_or(f32::NAN, |v| v as f32)
    }
}

/// What an index outside found, and the vector to scan for without it.
type Near<'a> = (Option<&'a [(u32, f32)]>, Option<&'a [f32]>);

/// Items near a vector, their scores spread over [0, 1]: by themselves the first and the last differ little.
fn nearest(state: &State, indices: &mut Indices, request: &Request<'_>, near: Near<'_>, n: usize) -> Vec<(u32, f32)> {
    let mut items = Vec::new();
    let Indices { vectors, scratch, .. } = indices;
    match near {
        (Some(found), _) => items.extend(found.iter().filter(|(item, _)| vectors.may_be_found(*item))),
        (None, Some(vector)) => vectors.nearest(vector, asked_for(request, n), scratch, &mut items),
        (None, None) => {}
    }
    keep_matching(state, request, &mut items, n);
    let (best, last) = (items.first().map_or(0.0, |i| i.1), items.last().map_or(0.0, |i| i.1));
    let span = best - last;
    items.iter_mut().for_each(|(_, s)| *s = if span > 0.0 { (*s - last) / span } else { 1.0 });
    items
}

fn text_matches(state: &State, indices: &mut Indices, request: &Request<'_>, n: usize) -> Vec<(u32, f32)> {
    let Some(query) = request.query else { return Vec::new() };
    let mut items = indices.text.search(&state.catalogue, query, asked_for(request, n));
    keep_matching(state, request, &mut items, n);
    items
}

/// With a filter a source is asked for more than is wanted of it, since most may fall.
fn asked_for(request: &Request<'_>, n: usize) -> usize {
    if request.filter.is_some() {
        n.max(FILTERED_MAX)
    } else {
        n
    }
}

fn keep_matching(state: &State, request: &Request<'_>, items: &mut Vec<(u32, f32)>, n: usize) {
    if let Some(filter) = request.filter {
        items.retain(|(item, _)| state.catalogue.get(*item).is_some_and(|data| filter.matches(&state.catalogue, data)));
    }
    items.truncate(n);
}

/// What is popular, or trending, on this device, in this country, through this channel, at these hours, in the category
/// of the request; each list as shares of its best.
fn in_context(state: &State, lists: &mut Lists, request: &Request<'_>, trending: bool, n: usize) -> Vec<(u32, f32)> {
    let mut sum: Vec<(u32, f32)> = Vec::new();
    let mut add = |list: Vec<(u32, f32)>| {
        let best = list.first().map_or(1.0, |(_, s)| *s);
        sum.extend(list.iter().map(|(item, s)| (*item, s / best)));
    };
    for (dimension, name) in DIMENSIONS.iter().enumerate() {
        let given = request.context.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        let known = request.user.and_then(|u| match dimension {
            0 => u.context.device.as_deref(),
            1 => u.context.country.as_deref(),
            2 => u.context.channel.as_deref(),
            _ => None,
        });
        let hours = (dimension as u8 == HOURS).then(|| hours_of(request.now_ms));
        let Some(value) = hours.or(given).or(known) else { continue };
        add(lists.in_context(state, (dimension as u8, value), trending, request.now_ms, n));
    }
    if let Some(category) = request.category.map(id_hash) {
        let mut list = Vec::new();
        if trending {
            list = lists.trending_in(state, category, n);
        } else {
            lists.in_category(category, n, &mut list);
        }
        add(list);
    }
    combine(sum, n)
}

/// Categories of the latest wishes, the latest weighing most, with what is popular or new in each.
fn same_category(state: &State, lists: &Lists, request: &Request<'_>, latest: &[u32], n: usize) -> Vec<(u32, f32)> {
    let mut weights: Vec<(u64, f32)> = Vec::new();
    let mut add = |category: u64, weight: f32| match weights.iter_mut().find(|(c, _)| *c == category) {
        Some(entry) => entry.1 += weight,
        None => weights.push((category, weight)),
    };
    if let Some(name) = request.category {
        add(id_hash(name), 4.0);
    }
    let mut recency = 1.0;
    for item in latest {
        // The most specific level says most; each level up counts a quarter.
        let mut level = recency;
        for category in state.facts.facts(state.catalogue.ids().hash(*item)).categories.iter().take(4) {
            add(*category, level);
            level *= 0.25;
        }
        recency *= 0.8;
    }
    let mut sum = Vec::new();
    let mut list = Vec::new();
    for (category, weight) in weights.iter().take(12) {
        list.clear();
        lists.in_category(*category, n, &mut list);
        sum.extend(list.iter().map(|(item, s)| (*item, weight * s)));
    }
    combine(sum, n)
}

/// Brands of the latest wishes, the latest weighing most, with what is popular or new of each.
fn same_brand(state: &State, lists: &Lists, latest: &[u32], n: usize) -> Vec<(u32, f32)> {
    let (mut sum, mut list, mut recency) = (Vec::new(), Vec::new(), 1.0);
    for brand in latest.iter().map(|item| state.catalogue.get(*item).and_then(|data| data.brand)) {
        if let Some(brand) = brand {
            list.clear();
            lists.in_category(brand_key(state.catalogue.labels().id(brand)), n, &mut list);
            sum.extend(list.iter().map(|(item, s)| (*item, recency * s)));
        }
        recency *= 0.8;
    }
    combine(sum, n)
}

/// What the user opened, the latest first, this session's or earlier ones', without what was declined.
fn history(state: &State, request: &Request<'_>, n: usize) -> Vec<(u32, f32)> {
    let mut items: Vec<(u32, f32)> = Vec::new();
    let recent = request.user.map_or(&[][..], |user| &user.recent[..]);
    for entry in recent.iter().rev().filter(|r| is_positive(r.event_type)) {
        let declined = request.declined.iter().any(|d| d.hash == entry.item);
        let Some(item) = state.catalogue.ids().by_hash(entry.item).filter(|_| !declined) else { continue };
        if items.len() < n && items.iter().all(|(known, _)| *known != item) {
            items.push((item, 1.0 / (1.0 + items.len() as f32)));
        }
    }
    items
}

/// What goes into carts and orders with the items of the request, all of them alike; without any, with the latest wishes.
fn bought_together(
    state: &State,
    bought: &mut Covis,
    request: &Request<'_>,
    latest: &[u32],
    n: usize,
) -> Vec<(u32, f32)> {
    if request.seeds.is_empty() {
        return bought.recall(latest, n);
    }
    let mut items = bought.recall_from(request.seeds, 1.0, n + request.seeds.len());
    items.retain(|(item, _)| !request.seeds.contains(item) && state.catalogue.get(*item).is_some());
    items.truncate(n);
    items
}

/// Adds up the scores per item and keeps the best.
fn combine(mut list: Vec<(u32, f32)>, n: usize) -> Vec<(u32, f32)> {
    list.sort_unstable_by_key(|(item, _)| *item);
    list.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    list.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    list.truncate(n);
    list
}

/// Keeps what may be shown, at most `limit`.
pub fn keep_eligible(state: &State, rules: &Rules<'_>, candidates: &mut Vec<Candidate>, limit: usize) {
    let mut kept = 0;
    candidates.retain(|c| {
        let keep = kept < limit && rules.allow(state, c.item);
        kept += usize::from(keep);
        keep
    });
}

/// Fills up to `k` from the catalogue: what is popular, then the newest, then by index.
pub fn fill(state: &State, lists: &Lists, rules: &Rules<'_>, candidates: &mut Vec<Candidate>, k: usize, now_ms: i64) {
    let bit = 1u32 << source::CATALOGUE;
    let mut taken: Vec<u32> = candidates.iter().map(|c| c.item).collect();
    taken.sort_unstable();
    let more = lists.popular.items().iter().chain(lists.fresh.items()).map(|(item, _)| *item);
    let mut added: Vec<u32> = Vec::new();
    for item in more.chain(state.catalogue.iter_present().map(|(item, _)| item)) {
        if candidates.len() >= k {
            return;
        }
        if taken.binary_search(&item).is_err() && !added.contains(&item) && rules.allow(state, item) {
            added.push(item);
            candidates.push(Candidate { item, score: 0.0, found: unfound(state, item, now_ms), sources: bit });
        }
    }
}

/// What is said of an item that no source found: a little for popularity.
pub fn unfound(state: &State, item: u32, now_ms: i64) -> f32 {
    let stats = state.items.get(item as usize);
    let popularity = stats.map_or(0.0, |s| s.popularity(crate::cascade::lists::POPULAR_HALF_LIFE_MS, now_ms));
    1e-3 * (popularity / (popularity + 100.0)) as f32
}

/// Scores for given items: what the sources say of them, else a little for popularity.
pub fn score_given(state: &State, candidates: &[Candidate], items: &[u32], now_ms: i64) -> Vec<Candidate> {
    let mut known: Vec<&Candidate> = candidates.iter().collect();
    known.sort_unstable_by_key(|c| c.item);
    items
        .iter()
        .map(|item| match known.binary_search_by_key(item, |c| c.item) {
            Ok(at) => Candidate { sources: known[at].sources | 1 << source::GIVEN, ..*known[at] },
            Err(_) => {
                let score = unfound(state, *item, now_ms);
                Candidate { item: *item, score, found: score, sources: 1 << source::GIVEN }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::scene::{Scene, NOW};
    use std::cell::Cell;

    #[test]
    fn sources_that_fail_or_come_too_late_are_named_and_the_rest_is_merged() {
        let mut scene = Scene::default();
        for n in 0..2_000 {
            scene.put(&format!(r#"{{"id":"i{n}"}}"#), NOW);
        }
        for n in 0..30 {
            scene.did(&format!("u{n}"), crate::record::EventType::Click, "i7", NOW);
        }
        let (mut lists, mut indices) = (Lists::default(), Indices::default());
        lists.rebuild(&mut scene.state, NOW);
        let wanted =
            [source::NEW, source::POPULAR, source::TRENDING].map(|source| Wanted { source, quota: 900, weight: 1.0 });
        let asked = Cell::new(0);
        let mut ask = |failing: u32, sources_max: u32| {
            asked.set(0);
            let request = Request {
                user: None,
                session_id: "s",
                seeds: &[],
                category: None,
                context: &[],
                now_ms: NOW,
                knn: KnnParams::default(),
                sources: &wanted,
                failing,
                vector: None,
                nearest: None,
                user_vector: None,
                user_nearest: None,
                declined: &[],
                query: None,
                filter: None,
            };
            let spent = || asked.replace(asked.get() + 1) >= sources_max;
            recall(&scene.state, &mut lists, &mut indices, &request, &spent)
        };
        let bits = |sources: &[u8]| sources.iter().map(|s| 1u32 << s).sum::<u32>();
        let all = ask(0, 9);
        assert_eq!((all.skipped, all.candidates.len()), (0, 900));
        assert_eq!(all.candidates[0].item, 7, "popular and trending");
        let some = ask(bits(&[source::NEW, source::COVIS]), 9);
        assert_eq!((some.skipped, some.candidates.len()), (bits(&[source::NEW]), 1));
        assert_eq!(ask(0, 1).skipped, bits(&[source::POPULAR, source::TRENDING]), "time for one");
        let none = ask(0, 0);
        assert_eq!((none.skipped, none.candidates.len()), (bits(&[source::NEW, source::POPULAR, source::TRENDING]), 0));
    }

    #[test]
    fn numbers_of_items_are_named_by_their_field() {
        let mut scene = Scene::default();
        let a = scene.put(r#"{"id":"a","price":2.5,"attributes":{"margin":0.25,"eco":true,"color":"red"}}"#, NOW);
        let b = scene.put(r#"{"id":"b"}"#, NOW);
        for (field, want) in [("price", 2.5), ("attributes.margin", 0.25), ("attributes.eco", 1.0)] {
            let number = Number::parse(&scene.state, field).unwrap();
            assert_eq!(number.of(&scene.state, a), want);
            assert!(number.of(&scene.state, b).is_nan() && number.of(&scene.state, 99).is_nan());
        }
        for absent in ["attributes.color", "attributes.nobody"] {
            assert!(Number::parse(&scene.state, absent).unwrap().of(&scene.state, a).is_nan());
        }
        for wrong in ["prise", "attributes.", "title", ""] {
            assert_eq!(Number::parse(&scene.state, wrong).unwrap_err().code(), "unknown_field");
        }
    }
}
