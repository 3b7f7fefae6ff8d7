//! What a visitor declined (skipped, disliked, left at once), as a surface declares it: the items themselves stay away for
//! a while, and what is like them counts less, the less the longer ago it was.
//!
//! Invariant: a function of the user record and the moment; a later wish for the same item takes a refusal back. It does
//! not know how alike two items are.

use serde::Deserialize;

use crate::fold::state::State;
use crate::fold::step::is_positive;
use crate::fold::user::{Recent, User};
use crate::recall::merge::Candidate;
use crate::record::EventType;

/// Refusals that a list looks at, the latest first.
const DECLINED_MAX: usize = 12;
/// What an item loses that is wholly declined, of the way between the list's best and worst scores: a little more than all
/// of it, so that it stands behind the last of what nobody declined.
const SPAN: f32 = 1.1;
/// A refusal that weighs less lowers nothing any more.
const WEIGHT_MIN: f32 = 0.01;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Negative {
    /// Event types by name, a team's own too, with what an item loses of its score that is wholly like one declined a
    /// moment ago. With 0 the event says that the item is done with, and nothing about others.
    events: Vec<(String, f32)>,
    /// A view or click that lasted less, where it is known how long it lasted, and its weight.
    quick: Option<(u32, f32)>,
    half_life_ms: i64,
    hide: bool,
    /// After which a declined item may be listed again; None for ever.
    hide_ms: Option<i64>,
}

/// An item that was declined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Declined {
    pub item: u32,
    /// Of its id.
    pub hash: u64,
    pub at_ms: i64,
    /// Of the event after its decay.
    pub weight: f32,
    /// It may not be listed.
    pub hidden: bool,
}

impl Negative {
    /// What an entry weighs as a refusal; None when it is none.
    fn weight(&self, user: &User, entry: &Recent) -> Option<f32> {
        let seen = matches!(entry.event_type, EventType::View | EventType::Click) && entry.dwell_ms > 0;
        let quick = self.quick.filter(|(most, _)| seen && entry.dwell_ms < *most).map(|(_, weight)| weight);
        let named = || self.events.iter().find(|(name, _)| name == user.type_name(entry)).map(|(_, weight)| *weight);
        quick.or_else(named)
    }

    /// What the user declined last, the latest first, as of a moment.
    pub fn declined(&self, state: &State, user: &User, now_ms: i64) -> Vec<Declined> {
        let mut settled: Vec<u64> = Vec::new();
        let mut found = Vec::new();
        for entry in user.recent.iter().rev() {
            let weight = self.weight(user, entry);
            if weight.is_none() && !is_positive(entry.event_type) || settled.contains(&entry.item) {
                continue;
            }
            settled.push(entry.item);
            let (Some(item), Some(weight)) = (state.catalogue.ids().by_hash(entry.item), weight) else { continue };
            let age_ms = (now_ms - entry.ts_ms).max(0);
            let weight = weight * (-(age_ms as f64) / self.half_life_ms as f64).exp2() as f32;
            let hidden = self.hide && self.hide_ms.is_none_or(|ms| age_ms < ms);
            found.push(Declined { item, hash: entry.item, at_ms: entry.ts_ms, weight, hidden });
        }
        found
    }

    /// Until when an item stays away.
    pub fn hidden_until(&self, declined: &Declined) -> Option<i64> {
        Some(declined.at_ms + self.hide_ms?)
    }
}

/// Whether an item, by the hash of its id, was declined for what it is.
pub fn refused(declined: &[Declined], hash: u64) -> bool {
    declined.iter().any(|d| d.hash == hash && d.weight > 0.0)
}

/// Lowers the scores of what is like something declined; by candidate which share of `SPAN` it lost. It is measured by the
/// scores of the list and not by its own: what is declined goes down also where all that is good is of its kind.
pub fn lower(declined: &[Declined], items: &mut [Candidate], likeness: impl Fn(u32, u32) -> f32) -> Vec<(usize, f32)> {
    let declined: Vec<&Declined> = declined.iter().filter(|d| d.weight >= WEIGHT_MIN).take(DECLINED_MAX).collect();
    if declined.is_empty() {
        return Vec::new();
    }
    let scores = items.iter().map(|c| c.score).filter(|s| s.is_finite());
    let (low, high) = scores.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), s| (low.min(s), high.max(s)));
    let span = SPAN * (high - low).max(0.0);
    let mut done = Vec::new();
    for (at, candidate) in items.iter_mut().enumerate() {
        let kept = |d: &&Declined| 1.0 - (d.weight * likeness(candidate.item, d.item)).clamp(0.0, 1.0);
        let lost = 1.0 - declined.iter().map(kept).product::<f32>();
        if lost > 0.0 {
            candidate.score -= lost * span;
            done.push((at, lost));
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::scene::{Scene, NOW};
    use crate::hash::{key_hash, Namespace};

    const RULE: &str = r#"{"events": [["skip", 0.8], ["dislike", 0.8]], "quick": [3000, 0.5], "half_life_ms": 60000,
        "hide": true, "hide_ms": 120000}"#;

    fn scene() -> Scene {
        let mut scene = Scene::default();
        for id in ["a", "b", "c", "d"] {
            scene.put(&format!(r#"{{"id":"{id}"}}"#), NOW);
        }
        scene
    }

    fn declined(scene: &Scene, now_ms: i64) -> Vec<(u32, f32, bool)> {
        let rule: Negative = serde_json::from_str(RULE).unwrap();
        let user = scene.state.user(key_hash(Namespace::User, "u")).unwrap();
        rule.declined(&scene.state, user, now_ms).iter().map(|d| (d.item, d.weight, d.hidden)).collect()
    }

    #[test]
    fn refusals_fade_and_a_later_wish_takes_them_back() {
        let mut scene = scene();
        for (event_type, item, at) in [
            (EventType::View, "a", 0),
            (EventType::Skip, "a", 1),
            (EventType::Dislike, "b", 2),
            (EventType::Like, "b", 3),
            (EventType::View, "c", 4),
            (EventType::Skip, "d", 5),
            (EventType::Impression, "d", 6),
        ] {
            scene.did("u", event_type, item, NOW + at);
        }
        assert_eq!(declined(&scene, NOW + 5)[0], (3, 0.8, true));
        let later = declined(&scene, NOW + 60_001);
        assert_eq!(later.iter().map(|d| (d.0, d.2)).collect::<Vec<_>>(), [(3, true), (0, true)]);
        assert!((later[1].1 - 0.4).abs() < 1e-6, "half of it after a half-life");
        assert!(declined(&scene, NOW + 120_005).iter().all(|d| !d.2), "and then they may come back");
    }

    #[test]
    fn what_is_like_a_refusal_counts_less() {
        let list = |scores: &[f32]| -> Vec<Candidate> {
            (0..).zip(scores).map(|(item, score)| Candidate { item, score: *score, found: 0.0, sources: 0 }).collect()
        };
        let of = |item, weight| Declined { item, hash: 0, at_ms: 0, weight, hidden: false };
        let likeness = |a: u32, b: u32| if a % 2 == b % 2 { 0.5 } else { 0.0 };
        let close = |items: &[Candidate], wanted: &[f32]| {
            assert!(items.iter().zip(wanted).all(|(c, w)| (c.score - w).abs() < 1e-5), "{items:?} are not {wanted:?}");
        };
        let mut items = list(&[1.0, 1.0, 2.0]);
        let lost = lower(&[of(8, 0.8), of(6, 0.8)], &mut items, likeness);
        assert_eq!(lost.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 2]);
        assert!(lost.iter().all(|(_, share)| (share - 0.64).abs() < 1e-6), "0.6 of 0.6 is left");
        close(&items, &[1.0 - 0.704, 1.0, 2.0 - 0.704]);
        let mut below = list(&[-1.0, -2.0, -3.0]);
        lower(&[of(8, 1.0)], &mut below, likeness);
        close(&below, &[-2.1, -2.0, -4.1]);
        let mut alike = list(&[0.3, 0.3]);
        lower(&[of(8, 1.0)], &mut alike, likeness);
        close(&alike, &[0.3, 0.3]);
        assert!(lower(&[of(8, 0.001)], &mut items, likeness).is_empty() && lower(&[], &mut items, likeness).is_empty());
    }

    #[test]
    fn what_is_wholly_declined_stands_behind_the_rest_however_good_it_is() {
        // Nine of ten are of the declined kind and better than the one that is not.
        let mut items: Vec<Candidate> =
            (0..10).map(|n| Candidate { item: n, score: 0.9 - 0.01 * n as f32, found: 0.0, sources: 0 }).collect();
        items[9].score = 0.02;
        let kind = |a: u32, _: u32| if a == 9 { 0.0 } else { 1.0 };
        let skip = Declined { item: 99, hash: 0, at_ms: 0, weight: 0.8, hidden: true };
        lower(&[skip, Declined { item: 98, ..skip }], &mut items, kind);
        let best = items.iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap();
        assert_eq!((best.item, best.score), (9, 0.02));
        assert!(items[..9].windows(2).all(|w| w[0].score > w[1].score), "among themselves they stand as before");
    }

    #[test]
    fn a_view_that_ends_at_once_is_a_refusal() {
        let rule: Negative = serde_json::from_str(RULE).unwrap();
        let user = User::default();
        let view = |event_type, dwell_ms| Recent { item: 1, event_type, ts_ms: 0, dwell_ms, session: 0, custom: 0 };
        let weight = |event_type, dwell_ms| rule.weight(&user, &view(event_type, dwell_ms));
        assert_eq!([weight(EventType::View, 2_999), weight(EventType::Click, 1)], [Some(0.5); 2]);
        assert_eq!([weight(EventType::View, 3_000), weight(EventType::View, 0), weight(EventType::Like, 1)], [None; 3]);
        assert_eq!([weight(EventType::Skip, 0), weight(EventType::RemoveFromCart, 0)], [Some(0.8), None]);
        let done = Declined { item: 1, hash: 1, at_ms: 0, weight: 0.0, hidden: true };
        assert!(refused(&[Declined { weight: 0.1, ..done }], 1) && !refused(&[done], 1) && !refused(&[], 1));
    }
}
