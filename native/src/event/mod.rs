//! Reads what clients send: a body becomes accepted events, and refusals with a code per event.
//!
//! `json` and `msgpack` know syntax, `intake` walks a body, `validate` knows the rules, `schema` and `aliases` are their
//! tables. Invariant: every element of a readable body is either accepted or rejected, under its own index; one bad event
//! never costs its neighbours. This module does not know users, duplicates or the log: those are the caller's.

mod aliases;
mod batch;
mod intake;
mod json;
mod msgpack;
mod purchase;
mod schema;
mod syntax;
mod validate;

#[cfg(test)]
mod tests;

pub use batch::{Batch, Encoded, Rejected};
pub use intake::parse;
pub use purchase::{purchase_items, PurchaseLine};
pub use schema::SCHEMA_VERSION;

/// How the body is written. The caller derives it from `Content-Type`; `text/plain` of a browser beacon is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Json,
    Ndjson,
    Msgpack,
}

/// Bounds of a body and of one event; `chars` are Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub events_max: usize,
    pub id_chars_max: usize,
    pub props_max: usize,
    pub prop_key_chars_max: usize,
    pub prop_value_chars_max: usize,
    /// The text of `props.items` of a purchase: a hundred lines of long ids fit.
    pub purchase_items_chars_max: usize,
    pub position_max: i64,
    pub future_ms_max: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            events_max: 1000,
            id_chars_max: 128,
            props_max: 64,
            prop_key_chars_max: 128,
            prop_value_chars_max: 4096,
            purchase_items_chars_max: 32_768,
            position_max: 1_000_000,
            future_ms_max: 5 * 60 * 1000,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Options<'a> {
    pub media: Media,
    pub limits: Limits,
    /// Event types a team declared, beside those of the contract.
    pub custom_types: &'a [String],
    /// Stamped into every accepted event; the base of the `sent_at` correction.
    pub received_ms: i64,
    /// Wall time, whatever the shard's clock is: what "in the future" is measured against.
    pub wall_now_ms: i64,
    /// Sent with a server key.
    pub trusted: bool,
    pub purchase_requires_trusted: bool,
}
