//! What happens to a list after it is scored: order against sameness. Works on positions; items are unknown here.

pub mod mmr;

pub use mmr::mmr;
