//! Maximal marginal relevance: each next pick trades its score against its likeness to what is picked already.
//!
//! Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking", SIGIR 1998. Invariant: the result is a prefix of
//! a permutation of the positions, and with `diversity` 0 it is the order by score. What likeness means is the caller's.

use std::cmp::Ordering;
use std::collections::binary_heap::PeekMut;
use std::collections::BinaryHeap;

use super::{scale, Spread};

/// Positions of the `k` picks, in order. Each pick has the largest `score - diversity * (largest sim to a pick so far)`,
/// scores scaled to [0, 1] over the whole list; ties go to the earlier position. `diversity` is clamped to [0, 1].
///
/// The paper's lambda is 1 / (1 + diversity): the two criteria differ by that positive factor, so the order is the same.
/// `sim` is asked at most once per pick and remaining candidate; its values are expected in [0, 1]. What is not finite
/// counts as the lowest score, or as no likeness.
///
/// A candidate's value only falls as picks are added, so an old value is a bound: only candidates whose bound is on top
/// are compared with the picks they have not met (lazy greedy, Minoux 1978). The picks are the same.
pub fn mmr(scores: &[f32], k: usize, diversity: f32, sim: impl Fn(usize, usize) -> f32) -> Vec<u32> {
    let scaled = scale(scores);
    let diversity = if diversity > 0.0 { diversity.min(1.0) } else { 0.0 };
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    if diversity == 0.0 {
        order.sort_by(|&a, &b| scaled[b as usize].total_cmp(&scaled[a as usize]));
        order.truncate(k);
        return order;
    }
    let first = |position: u32| Bound { value: scaled[position as usize], position, met: 0, likeness: 0.0 };
    let mut heap: BinaryHeap<Bound> = order.into_iter().map(first).collect();
    let mut picks: Vec<u32> = Vec::with_capacity(k.min(scores.len()));
    while picks.len() < k {
        let Some(mut top) = heap.peek_mut() else { break };
        if top.met == picks.len() {
            picks.push(PeekMut::pop(top).position);
            continue;
        }
        for pick in &picks[top.met..] {
            let s = sim(top.position as usize, *pick as usize);
            top.likeness = top.likeness.max(if s.is_finite() { s } else { 0.0 });
        }
        top.met = picks.len();
        top.value = scaled[top.position as usize] - diversity * top.likeness;
    }
    picks
}

/// What a candidate was worth when it had met the first `met` picks. Ordered by value, then the earlier position.
struct Bound {
    value: f32,
    position: u32,
    met: usize,
    likeness: f32,
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.total_cmp(&other.value).then(other.position.cmp(&self.position))
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Bound {}

/// The same trade-off one pick at a time, for lists whose places are not all given to the best.
pub struct Mmr<S> {
    scaled: Vec<f32>,
    diversity: f32,
    sim: S,
    picks: Vec<usize>,
    /// Candidates by score, the best first; of equal ones the earlier.
    order: Vec<usize>,
    /// By candidate: how many picks it has met, and the largest likeness to one of them.
    met: Vec<(usize, f32)>,
}

impl<S: Fn(usize, usize) -> f32> Mmr<S> {
    /// As `mmr` takes them.
    pub fn new(scores: &[f32], diversity: f32, sim: S) -> Mmr<S> {
        let diversity = if diversity > 0.0 { diversity.min(1.0) } else { 0.0 };
        let scaled = scale(scores);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scaled[b].total_cmp(&scaled[a]));
        Mmr { scaled, diversity, sim, picks: Vec::new(), order, met: vec![(0, 0.0); scores.len()] }
    }

    fn meet(&mut self, candidate: usize) {
        let (met, likeness) = &mut self.met[candidate];
        for pick in &self.picks[*met..] {
            let s = (self.sim)(candidate, *pick);
            *likeness = likeness.max(if s.is_finite() { s } else { 0.0 });
        }
        *met = self.picks.len();
    }
}

impl<S: Fn(usize, usize) -> f32> Spread for Mmr<S> {
    /// Goes down the scores until none that follows can be worth more: likeness only takes away.
    fn best(&mut self, may: &dyn Fn(usize) -> bool) -> Option<usize> {
        let mut top: Option<(usize, f32)> = None;
        for at in 0..self.order.len() {
            let candidate = self.order[at];
            let beats = |worth: f32| top.is_none_or(|(t, best)| worth > best || (worth == best && candidate < t));
            if top.is_some_and(|(_, best)| self.scaled[candidate] < best) {
                break;
            }
            if !beats(self.worth(candidate)) || !may(candidate) {
                continue;
            }
            if self.diversity > 0.0 {
                self.meet(candidate);
            }
            if beats(self.worth(candidate)) {
                top = Some((candidate, self.worth(candidate)));
            }
        }
        top.map(|(candidate, _)| candidate)
    }

    fn pick(&mut self, candidate: usize) {
        self.picks.push(candidate);
    }

    fn worth(&self, candidate: usize) -> f32 {
        self.scaled[candidate] - self.diversity * self.met[candidate].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_diversity_it_is_the_order_by_score_and_ties_stay() {
        let scores = [1.0, 3.0, 2.0, 3.0, f32::NAN, 1.0];
        assert_eq!(mmr(&scores, 9, 0.0, |_, _| 1.0), [1, 3, 2, 0, 4, 5]);
        assert_eq!(mmr(&scores, 2, f32::NAN, |_, _| 1.0), [1, 3]);
    }

    #[test]
    fn a_twin_waits_until_its_likeness_is_paid() {
        // 0 and 1 are twins, 2 is worth less and like nothing.
        let sim = |a: usize, b: usize| if a.max(b) == 1 { 1.0 } else { 0.0 };
        let scores = [1.0, 0.9, 0.5, 0.0];
        assert_eq!(mmr(&scores, 4, 0.3, sim), [0, 1, 2, 3], "0.9 - 0.3 is still more than 0.5");
        assert_eq!(mmr(&scores, 4, 0.5, sim), [0, 2, 1, 3], "0.9 - 0.5 is less than 0.5");
        assert_eq!(mmr(&scores, 4, 1.0, sim), [0, 2, 3, 1]);
        assert_eq!(mmr(&scores, 4, 7.0, sim), [0, 2, 3, 1], "clamped to 1");
    }

    #[test]
    fn equals_the_form_of_the_paper() {
        let n = 40;
        let noise = |x: usize| ((x.wrapping_mul(2_654_435_761) >> 7) % 1009) as f64 / 1009.0;
        let scores: Vec<f32> = (0..n).map(|i| noise(i + 1) as f32).collect();
        let sim = |a: usize, b: usize| noise(a.min(b) * n + a.max(b) + 77) as f32;
        for diversity in [0.1, 0.37, 0.8, 1.0] {
            let (low, high) = scores.iter().fold((1.0f32, 0.0f32), |(l, h), &s| (l.min(s), h.max(s)));
            let lambda = 1.0 / (1.0 + f64::from(diversity));
            let mut picks: Vec<usize> = Vec::new();
            while picks.len() < 25 {
                let value = |i: usize| {
                    let relevance = f64::from((scores[i] - low) / (high - low));
                    let likeness = picks.iter().map(|&p| f64::from(sim(i, p))).fold(f64::NEG_INFINITY, f64::max);
                    lambda * relevance - (1.0 - lambda) * if picks.is_empty() { 0.0 } else { likeness }
                };
                let rest = (0..n).filter(|i| !picks.contains(i));
                picks.push(rest.max_by(|&a, &b| value(a).total_cmp(&value(b)).then(b.cmp(&a))).unwrap());
            }
            let got: Vec<usize> = mmr(&scores, 25, diversity, sim).into_iter().map(|p| p as usize).collect();
            assert_eq!(got, picks);
        }
    }

    #[test]
    fn one_pick_at_a_time_is_the_same_list() {
        let noise = |x: usize| ((x.wrapping_mul(2_654_435_761) >> 7) % 1009) as f32 / 1009.0;
        let scores: Vec<f32> = (0..60).map(|i| noise(i + 5)).collect();
        let sim = |a: usize, b: usize| noise(a.min(b) * 60 + a.max(b) + 3);
        for diversity in [0.0, 0.2, 0.9, f32::NAN] {
            let mut spread = Mmr::new(&scores, diversity, sim);
            let mut picks: Vec<u32> = Vec::new();
            while let Some(next) = spread.best(&|c| !picks.contains(&(c as u32))) {
                spread.pick(next);
                picks.push(next as u32);
            }
            assert_eq!(picks, mmr(&scores, 60, diversity, sim));
        }
    }

    #[test]
    fn nothing_in_gives_nothing_out() {
        assert!(mmr(&[], 5, 0.5, |_, _| 0.0).is_empty());
        assert!(mmr(&[1.0], 0, 0.5, |_, _| 0.0).is_empty());
        assert_eq!(mmr(&[2.0, 2.0], 5, 0.5, |_, _| f32::NAN), [0, 1]);
    }
}
