//! The compiled core of rtp: everything that must run per event or per candidate.
//!
//! The path of the data is the list of modules: `event` reads what clients send, `log` makes it durable, `fold` turns
//! it into state, `items` knows the catalogue, `recall`, `cascade`, `rerank` and `explore` make lists from both. `py` is the
//! thin border to Python and holds no logic. Nothing here opens a socket, reads a clock (but for the stopwatch of a stage
//! that was given a budget) or draws an unseeded random number.

mod ahead;
pub mod cascade;
pub mod codec;
pub mod error;
pub mod event;
pub mod explore;
pub mod fold;
pub mod hash;
pub mod items;
pub mod log;
pub mod matrix;
pub mod recall;
pub mod record;
pub mod rerank;

mod py;
