//! Whether one item passes a filter. No allocation unless a text has escapes or letters beyond ASCII.

use super::{Field, Filter, Node, Scalar, Test, Values};
use crate::items::categories::has_level;
use crate::items::item::Span;
use crate::items::{Catalogue, Item, Value};
use std::borrow::Cow;
use std::cmp::Ordering;

/// What an item has in a field.
enum Cell<'a> {
    Missing,
    Text(Cow<'a, str>),
    Number(f64),
    Bool(bool),
    Texts(&'a [Span]),
    Categories(&'a [u32]),
}

impl Filter {
    pub fn matches(&self, catalogue: &Catalogue, item: &Item) -> bool {
        matches(&self.root, catalogue, item)
    }
}

fn matches(node: &Node, catalogue: &Catalogue, item: &Item) -> bool {
    match node {
        Node::And(all) => all.iter().all(|n| matches(n, catalogue, item)),
        Node::Or(any) => any.iter().any(|n| matches(n, catalogue, item)),
        Node::Not(inner) => !matches(inner, catalogue, item),
        Node::Test { field, test } => passes(test, &cell(field, catalogue, item), catalogue, item),
    }
}

fn cell<'a>(field: &Field, catalogue: &'a Catalogue, item: &'a Item) -> Cell<'a> {
    let text = |text: Option<Cow<'a, str>>| text.map_or(Cell::Missing, Cell::Text);
    let label = |label: Option<u32>| text(label.map(|l| Cow::Borrowed(catalogue.labels().id(l))));
    match field {
        Field::Id => Cell::Text(Cow::Borrowed(catalogue.ids().id(item.index))),
        Field::Title => text(item.text_of(item.title)),
        Field::Description => text(item.text_of(item.description)),
        Field::Categories if item.categories.is_empty() => Cell::Missing,
        Field::Categories => Cell::Categories(&item.categories),
        Field::Brand => label(item.brand),
        Field::Seller => label(item.seller),
        Field::Price => item.price.map_or(Cell::Missing, Cell::Number),
        Field::Currency => label(item.currency),
        Field::Available => Cell::Bool(item.available),
        Field::CreatedAt => item.created_ms.map_or(Cell::Missing, |ms| Cell::Number(ms as f64)),
        Field::ImageUrl => text(item.text_of(item.image_url)),
        Field::Attribute(name) => {
            let named = item.attributes.iter().find(|a| catalogue.labels().id(a.name) == name);
            match named.map(|a| &a.value) {
                None => Cell::Missing,
                Some(Value::Text(span)) => Cell::Text(item.text(*span)),
                Some(Value::Number(n)) => Cell::Number(*n),
                Some(Value::Bool(b)) => Cell::Bool(*b),
                Some(Value::Texts(list)) if list.is_empty() => Cell::Missing,
                Some(Value::Texts(list)) => Cell::Texts(list),
            }
        }
    }
}

fn passes(test: &Test, cell: &Cell<'_>, catalogue: &Catalogue, item: &Item) -> bool {
    match test {
        Test::Exists(wanted) => matches!(cell, Cell::Missing) != *wanted,
        Test::Equals { values, wanted } => equals(values, cell, catalogue, item) == *wanted,
        Test::Compares { order, or_equal, than } => {
            let found = match (cell, than) {
                (Cell::Number(a), Scalar::Number(b)) => a.partial_cmp(b),
                (Cell::Text(a), Scalar::Text(b)) => Some(a.as_ref().cmp(b.as_str())),
                _ => None,
            };
            found == Some(*order) || (*or_equal && found == Some(Ordering::Equal))
        }
        Test::Contains { exact, lower } => match cell {
            Cell::Text(text) => contains(text, lower),
            Cell::Texts(list) => list.iter().any(|span| item.text(*span) == exact.as_str()),
            Cell::Categories(paths) => paths.iter().any(|path| {
                has_level(catalogue.category_name(*path), exact) || belongs(catalogue, *path, |level| level == exact)
            }),
            _ => false,
        },
    }
}

fn equals(values: &Values, cell: &Cell<'_>, catalogue: &Catalogue, item: &Item) -> bool {
    match cell {
        Cell::Missing => false,
        Cell::Text(text) => values.has_text(text),
        Cell::Number(n) => values.has_number(*n),
        Cell::Bool(b) => match values {
            Values::One(one) => *one == Scalar::Bool(*b),
            Values::Many { bools, .. } => bools[usize::from(*b)],
        },
        Cell::Texts(list) => list.iter().any(|span| values.has_text(&item.text(*span))),
        Cell::Categories(paths) => paths.iter().any(|path| belongs(catalogue, *path, |level| values.has_text(level))),
    }
}

fn belongs(catalogue: &Catalogue, category: u32, test: impl Fn(&str) -> bool) -> bool {
    catalogue.categories().ancestors(category).any(|c| test(catalogue.category_name(c)))
}

impl Values {
    #[inline]
    fn has_text(&self, text: &str) -> bool {
        match self {
            Values::One(Scalar::Text(one)) => one == text,
            Values::One(_) => false,
            Values::Many { texts, .. } => texts.contains(text),
        }
    }

    #[inline]
    fn has_number(&self, n: f64) -> bool {
        match self {
            Values::One(Scalar::Number(one)) => *one == n,
            Values::One(_) => false,
            Values::Many { numbers, .. } => numbers.binary_search_by(|x| x.total_cmp(&(n + 0.0))).is_ok(),
        }
    }
}

/// Whether the text has the words, which are lower case, in any case.
fn contains(text: &str, lower: &str) -> bool {
    if !text.is_ascii() {
        return text.to_lowercase().contains(lower);
    }
    let (text, lower) = (text.as_bytes(), lower.as_bytes());
    let Some((&first, rest)) = lower.split_first() else { return true };
    text.iter().enumerate().any(|(i, b)| {
        b.to_ascii_lowercase() == first
            && text.get(i + 1..i + lower.len()).is_some_and(|tail| tail.eq_ignore_ascii_case(rest))
    })
}
