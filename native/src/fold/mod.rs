//! From frames of the log to state: `step` folds one event into one user record, `state` keeps every view, `queue`
//! holds what is written and not yet on disk, `persist` turns views into bytes and back, `plan` reads them as features.

pub mod aggregate;
pub mod arms;
pub mod blocks;
pub mod caps;
pub mod cart;
pub mod condition;
pub mod contexts;
pub mod counter;
pub mod cross;
pub mod distinct;
pub mod facts;
pub mod fields;
pub mod footprint;
pub mod lines;
pub mod links;
pub mod lookup;
pub mod marks;
pub mod matching;
pub mod moments;
pub mod near;
pub mod own;
pub mod pairs;
pub mod persist;
pub mod plan;
pub mod published;
pub mod queue;
pub mod reading;
pub mod ring;
pub mod run;
pub mod said;
#[cfg(test)]
pub mod scene;
pub mod shared;
pub mod split;
pub mod state;
pub mod step;
pub mod timed_ring;
pub mod user;
pub mod vector;
pub mod view;
pub mod weight;
pub mod windowed;
