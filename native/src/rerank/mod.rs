//! What happens to a list after it is scored: order against sameness, and what a surface declares of its lists. Works on
//! positions; items are unknown here.
//!
//! `mmr` and `dpp` are two meanings of "less of the same"; `arrange` fills the places of a list under rules, by either.

pub mod arrange;
pub mod dpp;
pub mod mmr;

pub use arrange::{arrange, Bounds, Broken, Cap, Group, Moves, Pick};
pub use dpp::Dpp;
pub use mmr::{mmr, Mmr};

/// A way to weigh what a candidate is worth against the picks so far.
pub trait Spread {
    /// The candidate of most worth among those that `may` be picked next, of equal ones the earlier; None when none may.
    fn best(&mut self, may: &dyn Fn(usize) -> bool) -> Option<usize>;
    /// From here on this one is picked.
    fn pick(&mut self, candidate: usize);
    /// What a candidate is worth at this moment, or a bound that is not below it.
    fn worth(&self, candidate: usize) -> f32;
}

/// Scores as shares of the way from the lowest to the highest; what is not finite is the lowest.
pub fn scale(scores: &[f32]) -> Vec<f32> {
    let finite = || scores.iter().copied().filter(|s| s.is_finite());
    let low = finite().fold(f32::INFINITY, f32::min);
    let high = finite().fold(f32::NEG_INFINITY, f32::max);
    let span = high - low;
    scores.iter().map(|&s| if s.is_finite() && span > 0.0 { ((s - low) / span).min(1.0) } else { 0.0 }).collect()
}
