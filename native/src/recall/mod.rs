//! Sources of candidates that live in memory and change with every event, and the merging of what they return.
//!
//! Items are dense `u32` indices and sessions are `u64` keys everywhere here; names are known to others. Answers depend
//! on the applied events alone: every tie has a stated order and no hash map is iterated.

pub mod covis;
pub mod knn;
pub mod merge;
pub mod scan;
mod simd;
pub mod text;
pub mod top;
pub mod vectors;
pub mod words;
