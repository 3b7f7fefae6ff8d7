//! The catalogue: what `PUT /v1/items` says, kept in memory and ready for filters and similarity.
//!
//! `body` splits a request into elements, `values` knows the rules of single values, `validate` and `users` those of an
//! item and a user; `dictionary` gives ids their numbers, `item` is one item in memory, `catalogue` is all of them,
//! `filter` and `similarity` answer about them. Invariant: the catalogue is a function of the records applied to it, in
//! their order. This module does not know HTTP, the log or who asks.

mod body;
mod catalogue;
mod categories;
mod dictionary;
mod filter;
mod item;
mod nearest;
mod similarity;
mod time;
mod users;
mod validate;
mod values;

#[cfg(test)]
mod tests;

pub use body::Rejected;
pub use catalogue::Catalogue;
pub use categories::Categories;
pub use dictionary::Dictionary;
pub use filter::Filter;
pub use item::{Attribute, Item, Span, Value};
pub use similarity::Tokens;
pub use time::parse_rfc3339;
pub use users::{merge_user, parse_users, replace_user, UserBatch};
pub use validate::{merge_patch, parse_items, ItemBatch};

/// Bounds of a body, an item and a user; `chars` are Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Items or users in one body.
    pub batch_max: usize,
    pub id_chars_max: usize,
    pub title_chars_max: usize,
    pub description_chars_max: usize,
    pub categories_max: usize,
    /// Of one category path, a brand, a seller, or one string of a list.
    pub label_chars_max: usize,
    pub currency_chars_max: usize,
    pub url_chars_max: usize,
    pub attributes_max: usize,
    pub attribute_name_chars_max: usize,
    pub attribute_value_chars_max: usize,
    /// Strings in one attribute.
    pub attribute_list_max: usize,
    /// Floats of an embedding while no length is configured.
    pub embedding_max: usize,
    pub features_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            batch_max: 1000,
            id_chars_max: 128,
            title_chars_max: 1000,
            description_chars_max: 20_000,
            categories_max: 32,
            label_chars_max: 256,
            currency_chars_max: 16,
            url_chars_max: 2048,
            attributes_max: 256,
            attribute_name_chars_max: 128,
            attribute_value_chars_max: 4096,
            attribute_list_max: 256,
            embedding_max: 4096,
            features_max: 256,
        }
    }
}

/// Codes of a refusal; the same words as for events wherever they fit.
pub mod code {
    pub const MISSING_FIELD: &str = "missing_field";
    pub const WRONG_TYPE: &str = "wrong_type";
    pub const TOO_LONG: &str = "too_long";
    pub const UNKNOWN_FIELD: &str = "unknown_field";
    pub const OUT_OF_RANGE: &str = "out_of_range";
    /// A time that is no integer of milliseconds and no RFC 3339 text.
    pub const BAD_TS: &str = "bad_ts";
    /// More attributes or features than an item or a user may have.
    pub const TOO_MANY_PROPS: &str = "too_many_props";
    pub const UNKNOWN_ITEM: &str = "unknown_item";
    pub const BAD_FILTER: &str = "bad_filter";
    /// Whole request: more elements than a body may carry.
    pub const BODY_TOO_LARGE: &str = "body_too_large";
}
