//! Filters of lists: `{"and": [...]}`, `{"or": [...]}`, `{"not": …}`, `{"field", "op", "value"}` (CONTRACT section 3).
//!
//! `parse` turns JSON into a tree and refuses what cannot mean anything, `matching` decides for one item. Rules beyond
//! the grammar: a missing field fails every op except `ne`, `not_in` and `exists: false`; an empty list is a missing
//! field, `available` is never missing. On lists every op asks whether any element does. A category belongs to every
//! level of its path: `a` equals and contains an item in `a > b`; `contains` on categories also takes the name of one
//! level. On text `contains` ignores case. `and` of nothing is true, `or` of nothing is false. Values of another type
//! never compare. Invariant: an accepted filter is bounded and total.

mod matching;
mod parse;

#[cfg(test)]
mod tests;

use rustc_hash::FxHashSet;

#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    root: Node,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Test { field: Field, test: Test },
}

#[derive(Debug, Clone, PartialEq)]
enum Field {
    Id,
    Title,
    Description,
    Categories,
    Brand,
    Seller,
    Price,
    Currency,
    Available,
    CreatedAt,
    ImageUrl,
    Attribute(String),
}

const FIELDS: [(&str, Field); 11] = [
    ("id", Field::Id),
    ("title", Field::Title),
    ("description", Field::Description),
    ("categories", Field::Categories),
    ("brand", Field::Brand),
    ("seller", Field::Seller),
    ("price", Field::Price),
    ("currency", Field::Currency),
    ("available", Field::Available),
    ("created_at", Field::CreatedAt),
    ("image_url", Field::ImageUrl),
];

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// `eq` and `in`; `wanted` is false for `ne` and `not_in`.
    Equals {
        values: Values,
        wanted: bool,
    },
    /// Holds when the item's value is ordered so against `than`, or is equal and `or_equal`.
    Compares {
        order: std::cmp::Ordering,
        or_equal: bool,
        than: Scalar,
    },
    /// `exact` for list elements, `lower` for the inside of a text.
    Contains {
        exact: String,
        lower: String,
    },
    Exists(bool),
}

#[derive(Debug, Clone, PartialEq)]
enum Scalar {
    Text(String),
    Number(f64),
    Bool(bool),
}

/// One value, or a set for lookups.
#[derive(Debug, Clone, PartialEq)]
enum Values {
    One(Scalar),
    Many { texts: FxHashSet<String>, numbers: Vec<f64>, bools: [bool; 2] },
}
