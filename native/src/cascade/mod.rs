//! The read path: from a request to candidates with their sources, to the eligible ones, to a list.
//!
//! `lists` keeps what can be known before a request (popular, trending, new); `candidates` asks every source of a surface
//! and merges; `eligible` drops what may not be shown; `prerank` picks who is ranked in full, `worth` orders
//! those; `negative` is what the visitor declined; `rules` is what a surface declares of its lists, `newcomers` fills the
//! slot that is explored. Stages are functions of their arguments: the state, the request, the moment, the seed.

pub mod candidates;
pub mod eligible;
pub mod lists;
pub mod negative;
pub mod newcomers;
pub mod prerank;
pub mod rules;
pub mod worth;

/// Sources of recall; the place is the bit in `Candidate::sources` and in the decision log, so the order is on disk.
pub const SOURCES: [&str; 17] = [
    "session_knn",
    "covis",
    "trending",
    "popular",
    "popular_context",
    "new",
    "catalogue",
    "same_category",
    "given",
    "ann",
    "text",
    "explore",
    "ann_user",
    "bought_together",
    "same_brand",
    "trending_context",
    "history",
];

pub mod source {
    pub const SESSION_KNN: u8 = 0;
    pub const COVIS: u8 = 1;
    pub const TRENDING: u8 = 2;
    pub const POPULAR: u8 = 3;
    pub const POPULAR_CONTEXT: u8 = 4;
    pub const NEW: u8 = 5;
    pub const CATALOGUE: u8 = 6;
    pub const SAME_CATEGORY: u8 = 7;
    pub const GIVEN: u8 = 8;
    pub const ANN: u8 = 9;
    pub const TEXT: u8 = 10;
    pub const EXPLORE: u8 = 11;
    pub const ANN_USER: u8 = 12;
    pub const BOUGHT_TOGETHER: u8 = 13;
    pub const SAME_BRAND: u8 = 14;
    pub const TRENDING_CONTEXT: u8 = 15;
    pub const HISTORY: u8 = 16;
}
