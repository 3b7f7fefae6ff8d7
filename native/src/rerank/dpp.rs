//! Determinantal point process: the picks span as much volume as their worth and their differences make.
//!
//! Greedy MAP with one Cholesky row per candidate, kept up to date: Chen, Zhang and Zhou, "Fast Greedy MAP Inference for
//! Determinantal Point Process to Improve Recommendation Diversity", NeurIPS 2018; the trade-off of relevance and
//! diversity is theirs too (section 4). Invariant: with `diversity` 0 the order is that of the scores, and each pick is
//! the one that a determinant of the whole kernel would choose. What likeness means is the caller's.

use super::{scale, Spread};

/// What is left of a candidate that the picks have said already. A determinant of zero has no logarithm, and a likeness
/// that is no inner product (clipped cosines, a mixture of measures) can make it negative.
const LEFT_MIN: f32 = 1e-6;

/// The kernel is q_i s_ij q_j with s_ij the likeness, s_ii = 1 and q_i = exp(a r_i), where r is the score scaled to
/// [0, 1] over the list and a = (1 - diversity) / (2 diversity). A pick adds `2 a r_i + ln left_i` to the logarithm of
/// the determinant; times `diversity` that is `(1 - diversity) r_i + diversity ln left_i`, which has no infinite a.
pub struct Dpp<S> {
    scaled: Vec<f32>,
    diversity: f32,
    sim: S,
    /// Squared length of what is left of each candidate's vector beside the span of the picks.
    left: Vec<f32>,
    /// Cholesky rows, one after the other per candidate: its coordinates in the span of the picks.
    rows: Vec<Vec<f32>>,
}

impl<S: Fn(usize, usize) -> f32> Dpp<S> {
    /// `sim` is asked once per pick and candidate and expected in [0, 1]; what is not finite is no likeness.
    pub fn new(scores: &[f32], diversity: f32, sim: S) -> Dpp<S> {
        let diversity = if diversity > 0.0 { diversity.min(1.0) } else { 0.0 };
        let n = scores.len();
        Dpp { scaled: scale(scores), diversity, sim, left: vec![1.0; n], rows: vec![Vec::new(); n] }
    }
}

impl<S: Fn(usize, usize) -> f32> Spread for Dpp<S> {
    fn best(&mut self, may: &dyn Fn(usize) -> bool) -> Option<usize> {
        let mut top: Option<(usize, f32)> = None;
        for candidate in (0..self.scaled.len()).filter(|c| may(*c)) {
            let worth = self.worth(candidate);
            if top.is_none_or(|(_, best)| worth > best) {
                top = Some((candidate, worth));
            }
        }
        top.map(|(candidate, _)| candidate)
    }

    fn pick(&mut self, pick: usize) {
        let length = self.left[pick];
        // A pick that adds no direction leaves the others what they have.
        if self.diversity == 0.0 || length <= LEFT_MIN {
            return;
        }
        let row = std::mem::take(&mut self.rows[pick]);
        let root = length.sqrt();
        for other in (0..self.scaled.len()).filter(|other| *other != pick) {
            let s = (self.sim)(pick, other);
            let s = if s.is_finite() { s } else { 0.0 };
            let along: f32 = row.iter().zip(&self.rows[other]).map(|(a, b)| a * b).sum();
            let coordinate = (s - along) / root;
            self.rows[other].push(coordinate);
            self.left[other] -= coordinate * coordinate;
        }
        self.left[pick] = 0.0;
    }

    fn worth(&self, candidate: usize) -> f32 {
        let relevance = (1.0 - self.diversity) * self.scaled[candidate];
        if self.diversity == 0.0 {
            return relevance;
        }
        relevance + self.diversity * self.left[candidate].max(LEFT_MIN).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(x: usize) -> f64 {
        ((x.wrapping_mul(2_654_435_761) >> 7) % 1009) as f64 / 1009.0
    }

    /// Unit vectors of 8 numbers, none negative, so that their cosines are a kernel within [0, 1].
    fn vectors(n: usize) -> Vec<Vec<f64>> {
        (0..n)
            .map(|i| {
                let v: Vec<f64> = (0..8).map(|j| noise(i * 8 + j + 1).powi(3)).collect();
                let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
                v.iter().map(|x| x / length).collect()
            })
            .collect()
    }

    fn cosine(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    /// By elimination with pivots.
    fn determinant(mut m: Vec<Vec<f64>>) -> f64 {
        let mut product = 1.0;
        for at in 0..m.len() {
            let pivot = (at..m.len()).max_by(|a, b| m[*a][at].abs().total_cmp(&m[*b][at].abs())).unwrap();
            if m[pivot][at] == 0.0 {
                return 0.0;
            }
            if pivot != at {
                m.swap(pivot, at);
                product = -product;
            }
            product *= m[at][at];
            for row in at + 1..m.len() {
                let factor = m[row][at] / m[at][at];
                let above = m[at].clone();
                m[row].iter_mut().zip(above).for_each(|(x, y)| *x -= factor * y);
            }
        }
        product
    }

    fn greedy(scores: &[f32], diversity: f32, k: usize, sim: impl Fn(usize, usize) -> f32) -> Vec<usize> {
        let mut spread = Dpp::new(scores, diversity, sim);
        let mut picks: Vec<usize> = Vec::new();
        while picks.len() < k {
            let Some(next) = spread.best(&|c| !picks.contains(&c)) else { break };
            spread.pick(next);
            picks.push(next);
        }
        picks
    }

    #[test]
    fn each_pick_is_that_of_the_largest_determinant() {
        let n = 30;
        let vectors = vectors(n);
        let scores: Vec<f32> = (0..n).map(|i| noise(i + 900) as f32).collect();
        let (low, high) = scores.iter().fold((1.0f32, 0.0f32), |(l, h), &s| (l.min(s), h.max(s)));
        // At 1 the first pick is a tie of all.
        for diversity in [0.2f64, 0.5, 0.8, 0.95] {
            let a = (1.0 - diversity) / (2.0 * diversity);
            let quality = |i: usize| (a * f64::from((scores[i] - low) / (high - low))).exp();
            let kernel = |set: &[usize]| -> Vec<Vec<f64>> {
                let entry = |i: usize, j: usize| quality(i) * cosine(&vectors[i], &vectors[j]) * quality(j);
                set.iter().map(|i| set.iter().map(|j| entry(*i, *j)).collect()).collect()
            };
            let mut picks: Vec<usize> = Vec::new();
            // More than the vectors have dimensions, and every determinant is zero.
            while picks.len() < 7 {
                let with = |i: usize| determinant(kernel(&[&picks[..], &[i]].concat()));
                let rest = (0..n).filter(|i| !picks.contains(i));
                picks.push(rest.max_by(|&x, &y| with(x).total_cmp(&with(y)).then(y.cmp(&x))).unwrap());
            }
            let sim = |i: usize, j: usize| cosine(&vectors[i], &vectors[j]) as f32;
            assert_eq!(greedy(&scores, diversity as f32, 7, sim), picks, "diversity {diversity}");
        }
    }

    #[test]
    fn twins_come_last_in_the_order_of_their_scores() {
        // 0, 1 and 2 are the same thing, 3 and 4 are each like nothing.
        let sim = |a: usize, b: usize| if a.max(b) < 3 { 1.0 } else { 0.0 };
        let scores = [1.0, 0.9, 0.95, 0.2, 0.1];
        assert_eq!(greedy(&scores, 0.5, 5, sim), [0, 3, 4, 2, 1]);
        assert_eq!(greedy(&scores, 0.0, 5, sim), [0, 2, 1, 3, 4], "without diversity the order is by score");
    }

    #[test]
    fn whatever_likeness_says_every_candidate_comes_once() {
        for odd in [f32::NAN, 2.0, -3.0, f32::INFINITY, 1.0] {
            let mut picks = greedy(&[3.0, f32::NAN, 1.0, 1.0], 0.7, 9, |_, _| odd);
            picks.sort_unstable();
            assert_eq!(picks, [0, 1, 2, 3], "{odd}");
        }
        assert!(greedy(&[], 0.5, 3, |_, _| 0.0).is_empty());
    }
}
