//! What a surface declares of its lists, put into force: pins added, scores boosted, places filled, changes bounded.

use std::hash::{Hash, Hasher};

use pyo3::prelude::*;
use rustc_hash::FxHasher;

use crate::cascade::{negative, source};
use crate::fold::user::User;
use crate::py::core::Core;
use crate::py::rank::Ranked;
use crate::py::read::{Ask, SurfacePlan};
use crate::recall::merge::Candidate;
use crate::rerank::arrange::Arranged;
use crate::rerank::{arrange, Bounds, Broken, Dpp, Mmr, Moves, Spread};

/// Why an item may not be shown: a code, what it is about, and until when.
type Reason = (&'static str, Option<String>, Option<i64>);

impl Core {
    /// Puts the items of the pins that hold among the candidates; the pins as place and candidate, with their rules.
    fn pin(&self, ask: &Ask, surface: &SurfacePlan, items: &mut Vec<Candidate>) -> (Vec<(usize, usize)>, Vec<usize>) {
        let (mut pins, mut by) = (Vec::new(), Vec::new());
        let allowed = ask.rules(self, surface);
        for (rule, place, item) in surface.rules.pins(&self.state, &ask.moment) {
            if !allowed.allow(&self.state, item) {
                continue;
            }
            let at = items.iter().position(|c| c.item == item).unwrap_or_else(|| {
                let score = items.last().map_or(0.0, |c| c.score);
                items.push(Candidate { item, score, found: 0.0, sources: 1 << source::GIVEN });
                items.len() - 1
            });
            pins.push((place, at));
            by.push(rule);
        }
        (pins, by)
    }

    fn fill(&self, surface: &SurfacePlan, items: &[Candidate], k: usize, bounds: &Bounds, trace: bool) -> Arranged {
        let scores: Vec<f32> = items.iter().map(|c| c.score).collect();
        let likeness = |a: usize, b: usize| self.likeness(items[a].item, items[b].item);
        let mut spread: Box<dyn Spread + '_> = if surface.dpp {
            Box::new(Dpp::new(&scores, surface.diversity, likeness))
        } else {
            Box::new(Mmr::new(&scores, surface.diversity, likeness))
        };
        arrange(items.len(), k, bounds, spread.as_mut(), trace)
    }
}

/// Notes of what rules did, in the words of `explain`.
struct Notes<'a> {
    surface: &'a SurfacePlan,
    effects: Vec<(u32, String, &'static str, f64)>,
}

impl Notes<'_> {
    fn add(&mut self, item: u32, rule: String, effect: &'static str, number: usize) {
        self.effects.push((item, rule, effect, number as f64));
    }

    fn arranged(&mut self, arranged: &Arranged, items: &[Candidate]) {
        let rules = &self.surface.rules;
        for (place, pick) in arranged.picks.iter().enumerate() {
            let item = items[pick.candidate].item;
            for group in &pick.needed {
                self.add(item, rules.group_name(*group), "needed", place);
            }
            // That something is buried is told once, and by the name of its rule.
            for broken in pick.broken.iter().filter(|b| **b != Broken::Buried) {
                self.add(item, rules.name(*broken), "gave_way", place);
            }
        }
        for (candidate, place, broken) in arranged.held.iter().filter(|(_, _, b)| *b != Broken::Buried) {
            self.add(items[*candidate].item, rules.name(*broken), "held_back", *place);
        }
    }
}

#[pymethods]
impl Core {
    /// The first `k` places of a list, under the rules of the surface. With the list that was shown before and
    /// `moves_max`, no item of both stands further from where it stood. `trace` notes what the rules did.
    #[pyo3(signature = (ask, ranked, k, last=None, moves_max=None, trace=false))]
    fn arrange(
        &self,
        ask: &Ask,
        ranked: &mut Ranked,
        k: usize,
        last: Option<PyRef<'_, Ranked>>,
        moves_max: Option<usize>,
        trace: bool,
    ) {
        let surface = ask.surface.get();
        let (rules, items) = (&surface.rules, &mut ranked.items);
        let mut notes = Notes { surface, effects: Vec::new() };
        for (at, rule) in rules.boost(&self.state, &ask.moment, items) {
            let boost = &rules.boost[rule];
            notes.effects.push((items[at].item, format!("boost.{}", boost.name), "times", f64::from(boost.times)));
        }
        for (at, lost) in negative::lower(&ask.declined, items, |a, b| self.likeness(a, b)) {
            notes.effects.push((items[at].item, "negative".to_owned(), "lowered", f64::from(lost)));
        }
        let (pins, by) = self.pin(ask, surface, items);
        let bounds = Bounds { pins, ..rules.bounds(&self.state, &ask.moment, items) };
        let mut arranged = self.fill(surface, items, k, &bounds, trace);
        if trace {
            notes.arranged(&arranged, items);
            for candidate in items.iter().filter(|_| !rules.bury.is_empty()) {
                if let Some(rule) = rules.burying(&self.state, &ask.moment, candidate.item) {
                    notes.effects.push((candidate.item, format!("bury.{}", rule.name), "buried", 0.0));
                }
            }
            for ((place, at), rule) in bounds.pins.iter().zip(&by) {
                notes.add(items[*at].item, format!("pin.{}", rules.pin[*rule].name), "pinned", *place);
            }
        }
        let mut listed: Vec<Candidate> = arranged.picks.iter().map(|p| items[p.candidate]).collect();
        if let (Some(last), Some(max)) = (last, moves_max) {
            let was = places_of(&last, &listed);
            let pins = arranged.picks.iter().enumerate().filter(|(_, p)| p.pinned).map(|(at, _)| (at, at)).collect();
            let moves = Some(Moves { max, was: was.clone() });
            let bounds = Bounds { pins, moves, ..rules.bounds(&self.state, &ask.moment, &listed) };
            // The order found is the order wanted; only what may not move so far is elsewhere.
            let order: Vec<f32> = (0..listed.len()).map(|at| -(at as f32)).collect();
            let settled = arrange::arrange(listed.len(), k, &bounds, &mut Mmr::new(&order, 0.0, |_, _| 0.0), false);
            for (place, pick) in settled.picks.iter().enumerate().filter(|_| trace) {
                let item = listed[pick.candidate].item;
                match was[pick.candidate] {
                    Some(was) => notes.add(item, "stability".into(), "was", was),
                    None => notes.add(item, "stability".into(), "entered", place),
                }
                if pick.candidate != place {
                    notes.add(item, "stability".into(), "wanted", pick.candidate);
                }
                if pick.broken.contains(&Broken::Move) {
                    notes.add(item, "stability".into(), "gave_way", place);
                }
            }
            listed = settled.picks.iter().map(|p| listed[p.candidate]).collect();
            arranged.picks = settled.picks;
        }
        ranked.pinned = (0..arranged.picks.len()).filter(|at| arranged.picks[*at].pinned).collect();
        ranked.items = listed;
        ranked.effects = notes.effects;
    }

    /// Whether every item of a list that was shown may still be shown, and there are `k` of them.
    fn may_stay(&self, ask: &Ask, last: &Ranked, k: usize) -> bool {
        let rules = ask.rules(self, ask.surface.get());
        last.items.len() == k && last.items.iter().all(|c| rules.allow(&self.state, c.item))
    }

    /// A number that changes with whatever the visitor did or asked that a list could answer to: actions, the request,
    /// the pins of the moment. Impressions are no evidence, nor is what others do.
    fn evidence(&self, ask: &Ask) -> u64 {
        let mut hasher = FxHasher::default();
        let surface = ask.surface.get();
        if let Some(user) = self.state.user(ask.hash) {
            for r in &user.recent {
                (r.item, r.event_type as u8, r.ts_ms, r.session, r.custom).hash(&mut hasher);
            }
            (user.clicked.len(), user.bought.len()).hash(&mut hasher);
            carts(user, &mut hasher);
        }
        self.state.profile(ask.hash).hash(&mut hasher);
        (&ask.session_id, ask.hash, &ask.seeds, &ask.excluded, &ask.category, &ask.context, &ask.query)
            .hash(&mut hasher);
        ask.filter_hash.hash(&mut hasher);
        ask.declined.iter().for_each(|d| (d.hash, d.hidden).hash(&mut hasher));
        surface.rules.pins(&self.state, &ask.moment).hash(&mut hasher);
        hasher.finish()
    }

    /// [(item, rule, effect, number)] of what `arrange` noted.
    fn effects<'s>(&'s self, ranked: &'s Ranked) -> Vec<(&'s str, &'s str, &'static str, f64)> {
        let id = |item: u32| self.state.catalogue.ids().id(item);
        ranked.effects.iter().map(|(item, rule, effect, n)| (id(*item), &rule[..], *effect, *n)).collect()
    }

    /// The items that could have been drawn for the explored slot: [(item, clicks, impressions)].
    fn pool<'s>(&'s self, ranked: &Ranked) -> Vec<(&'s str, u64, u64)> {
        let id = |item: u32| self.state.catalogue.ids().id(item);
        ranked.filled.iter().flat_map(|f| &f.pool).map(|(item, clicks, n)| (id(*item), *clicks, *n)).collect()
    }

    /// Why an item may not be in a list of this request, as (code, rule, until_ms); None when it may.
    fn why_not(&self, ask: &Ask, id: &str) -> Option<Reason> {
        let surface = ask.surface.get();
        let rules = ask.rules(self, surface);
        let known = self.state.catalogue.ids().index(id);
        let Some((item, data)) = known.and_then(|item| Some((item, self.state.catalogue.get(item)?))) else {
            return Some(("unknown_item", None, None));
        };
        let hash = self.state.catalogue.ids().hash(item);
        let user = self.state.user(ask.hash);
        if !data.available {
            return Some(("unavailable", None, None));
        }
        if rules.excluded.binary_search(&item).is_ok() {
            return Some(("excluded", None, None));
        }
        let until = |last: Option<i64>, cooldown: Option<i64>| last.zip(cooldown).map(|(last, ms)| last + ms);
        if rules.bought.as_ref().is_some_and(|b| b.contains(hash)) {
            let last = user.and_then(|u| u.bought.last_ms(hash));
            return Some(("bought", None, until(last, surface.bought_cooldown_ms)));
        }
        if rules.clicked.as_ref().is_some_and(|c| c.contains(hash)) {
            let last = user.and_then(|u| u.clicked.last_ms(hash));
            return Some(("seen", None, until(last, surface.clicked_cooldown_ms)));
        }
        if let Some(declined) = ask.declined.iter().find(|d| d.hidden && d.item == item) {
            let until = surface.rules.negative.as_ref().and_then(|rule| rule.hidden_until(declined));
            return Some(("declined", None, until));
        }
        if rules.filter.is_some_and(|f| !f.matches(&self.state.catalogue, data)) {
            return Some(("filtered_by_request", None, None));
        }
        let refusing = surface.rules.refusing(&self.state, &ask.moment, item)?;
        Some(("filtered", Some(format!("filter.{}", refusing.name)), None))
    }
}

fn carts(user: &User, hasher: &mut FxHasher) {
    for session in &user.sessions {
        (session.number, &session.cart).hash(hasher);
    }
}

/// Where items stood in the list before; an explored item stood beside it.
fn places_of(last: &Ranked, listed: &[Candidate]) -> Vec<Option<usize>> {
    let explored = 1 << source::EXPLORE;
    let before: Vec<u32> = last.items.iter().filter(|c| c.sources & explored == 0).map(|c| c.item).collect();
    listed.iter().map(|c| before.iter().position(|item| *item == c.item)).collect()
}
