//! What a surface declares of its lists, as `rtp_monolith/state/surface_rules.py` writes it, and what it says of one list.
//!
//! Conditions are those of a team's features; what stands for the event is the request: its context as props, its moment
//! as the time. Invariant: rules are functions of the state, the request and the candidates; none of them makes a list
//! shorter but a filter.

use serde::Deserialize;

use crate::cascade::negative::Negative;
use crate::codec::put_str;
use crate::error::{Error, Result};
use crate::fold::condition::{Condition, Seen};
use crate::fold::counter::Window;
use crate::fold::fields::Respect;
use crate::fold::lines::Line;
use crate::fold::shared::Stats;
use crate::fold::state::State;
use crate::recall::merge::Candidate;
use crate::record::{Event, EventType, Props};
use crate::rerank::{Bounds, Broken, Cap, Group};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSet {
    pub filter: Vec<When>,
    pub boost: Vec<Boost>,
    pub bury: Vec<When>,
    pub pin: Vec<Pin>,
    pub cap: Vec<Limit>,
    pub mix: Vec<Mix>,
    pub floor: Vec<Floor>,
    pub negative: Option<Negative>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    pub name: String,
    when: Condition,
}

/// A score counts so many times, measured from zero, or from the lowest of the list where that is below it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boost {
    pub name: String,
    when: Condition,
    pub times: f32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub name: String,
    pub item: String,
    position: usize,
    when: Option<Condition>,
    from_ms: Option<i64>,
    until_ms: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub name: String,
    by: Respect,
    most: usize,
    within: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    pub name: String,
    when: Condition,
    least: f32,
    most: f32,
}

/// `share` of the places for sellers that had less than `below` of the impressions of the last seven days.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    pub name: String,
    share: f32,
    below: f64,
}

/// A request as conditions see it.
#[derive(Debug, Default)]
pub struct Moment {
    props: Vec<u8>,
    count: u32,
    now_ms: i64,
    about: Vec<u32>,
}

impl Moment {
    pub fn new(context: &[(String, String)], now_ms: i64) -> Moment {
        let mut props = Vec::new();
        context.iter().flat_map(|(key, value)| [key, value]).for_each(|text| put_str(&mut props, text));
        Moment { props, count: context.len() as u32, now_ms, about: Vec::new() }
    }

    /// With the items that the request is about.
    pub fn about(self, items: &[u32]) -> Moment {
        Moment { about: items.to_vec(), ..self }
    }

    fn holds(&self, condition: &Condition, state: &State, item: Option<u32>) -> bool {
        let event = Event {
            event_id: "",
            user_id: None,
            session_id: "",
            event_type: EventType::View,
            custom: None,
            item_id: None,
            ts_ms: self.now_ms,
            received_ms: self.now_ms,
            request_id: None,
            position: None,
            linked_user: None,
            trusted: false,
            props: Props { count: self.count, bytes: &self.props },
        };
        let line = item.map(|at| Line { item: 0, index: Some(at), quantity: 1, price: None });
        let catalogue = &state.catalogue;
        condition.holds(&Seen { event: &event, line: line.as_ref(), catalogue, about: &self.about })
    }
}

impl RuleSet {
    /// Errors: `bad_rule`.
    pub fn parse(json: &[u8]) -> Result<RuleSet> {
        serde_json::from_slice(json).map_err(|e| Error::invalid("bad_rule", "rules", e.to_string()))
    }

    /// The first filter that an item does not pass.
    pub fn refusing(&self, state: &State, moment: &Moment, item: u32) -> Option<&When> {
        self.filter.iter().find(|rule| !moment.holds(&rule.when, state, Some(item)))
    }

    /// Boosts the scores; what was done, by candidate and rule.
    pub fn boost(&self, state: &State, moment: &Moment, items: &mut [Candidate]) -> Vec<(usize, usize)> {
        let low = items.iter().map(|c| c.score).filter(|s| s.is_finite()).fold(0.0f32, f32::min);
        let mut done = Vec::new();
        for (at, candidate) in items.iter_mut().enumerate().filter(|_| !self.boost.is_empty()) {
            for (number, rule) in self.boost.iter().enumerate() {
                if moment.holds(&rule.when, state, Some(candidate.item)) {
                    let boosted = low + (candidate.score - low) * rule.times;
                    candidate.score = boosted.clamp(f32::MIN, f32::MAX);
                    done.push((at, number));
                }
            }
        }
        done
    }

    /// Pins that hold at this moment and whose item is known: rule, place, item.
    pub fn pins(&self, state: &State, moment: &Moment) -> Vec<(usize, usize, u32)> {
        let holds = |pin: &Pin| {
            pin.from_ms.is_none_or(|from| moment.now_ms >= from)
                && pin.until_ms.is_none_or(|until| moment.now_ms < until)
        };
        let known = self.pin.iter().enumerate().filter(|(_, pin)| holds(pin));
        let known = known.filter_map(|(at, pin)| Some((at, pin.position, state.catalogue.ids().index(&pin.item)?)));
        let of = |rule: usize, item| self.pin[rule].when.as_ref().is_none_or(|w| moment.holds(w, state, Some(item)));
        known.filter(|(rule, _, item)| of(*rule, *item)).collect()
    }

    /// What these candidates must keep to. Groups are the mixes, then the floors.
    pub fn bounds(&self, state: &State, moment: &Moment, items: &[Candidate]) -> Bounds {
        let each = |when: &Condition| items.iter().map(|c| moment.holds(when, state, Some(c.item))).collect();
        let mut groups: Vec<Group> =
            self.mix.iter().map(|m| Group { member: each(&m.when), least: m.least, most: m.most }).collect();
        let all = if self.floor.is_empty() { 0.0 } else { seen(&state.global, moment.now_ms) };
        for floor in &self.floor {
            let member = items.iter().map(|c| is_small(state, c.item, floor.below, all, moment.now_ms)).collect();
            groups.push(Group { member, least: floor.share, most: 1.0 });
        }
        let buried = |c: &Candidate| self.bury.iter().any(|rule| moment.holds(&rule.when, state, Some(c.item)));
        Bounds {
            caps: self
                .cap
                .iter()
                .map(|rule| {
                    Cap::new(rule.most, rule.within, items.iter().map(|c| state.likeness_key(c.item, &rule.by)))
                })
                .collect(),
            groups,
            buried: if self.bury.is_empty() { Vec::new() } else { items.iter().map(buried).collect() },
            ..Bounds::default()
        }
    }

    /// Whether an item may join a list at a place without breaking a cap.
    pub fn fits(&self, state: &State, listed: &[Candidate], place: usize, item: u32) -> bool {
        self.cap.iter().all(|rule| {
            let Some(key) = state.likeness_key(item, &rule.by) else { return true };
            let reach = rule.within.map_or(usize::MAX, |w| w.saturating_sub(1));
            let near = listed.iter().enumerate().filter(|(at, _)| at.abs_diff(place) <= reach);
            near.filter(|(_, c)| state.likeness_key(c.item, &rule.by) == Some(key)).count() < rule.most
        })
    }

    /// `cap.NAME` and the like.
    pub fn name(&self, broken: Broken) -> String {
        match broken {
            Broken::Cap(at) => format!("cap.{}", self.cap[at].name),
            Broken::Most(at) | Broken::Least(at) => self.group_name(at),
            Broken::Move => "stability".to_owned(),
            Broken::Buried => "bury".to_owned(),
        }
    }

    pub fn group_name(&self, at: usize) -> String {
        match self.mix.get(at) {
            Some(mix) => format!("mix.{}", mix.name),
            None => format!("floor.{}", self.floor[at - self.mix.len()].name),
        }
    }

    /// The rule that buries an item.
    pub fn burying(&self, state: &State, moment: &Moment, item: u32) -> Option<&When> {
        self.bury.iter().find(|rule| moment.holds(&rule.when, state, Some(item)))
    }
}

/// Whether the item's seller had less than `below` of the impressions of the last seven days, of which all had `all`;
/// nobody did before the first.
fn is_small(state: &State, item: u32, below: f64, all: f64, now_ms: i64) -> bool {
    let Some(seller) = state.facts.facts_at(item).seller else { return false };
    all == 0.0 || state.categories.get(seller).map_or(0.0, |stats| seen(stats, now_ms)) < below * all
}

fn seen(stats: &Stats, now_ms: i64) -> f64 {
    stats.count(EventType::Impression, Window::Week, now_ms) as f64
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
