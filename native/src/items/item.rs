//! One item in memory: its canonical JSON, and beside it only what filters, features and similarity read often.
//!
//! Texts are not copied: a span points into the JSON. Invariant: everything here is a function of the JSON, the time of
//! the first put and the numbering of names.

use super::categories::Categories;
use super::dictionary::Dictionary;
use super::similarity::{token, Class, Tokens, TOKEN_TEXT_BYTES_MAX};
use super::validate::{Field, FIELD_COUNT};
use super::values::{self, Kind};
use crate::error::{Error, Result};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The inside of a string token of the JSON; the top bit of `len` says that it has escapes. Empty: no such field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

const ESCAPED: u32 = 1 << 31;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(Span),
    Number(f64),
    Bool(bool),
    Texts(Box<[Span]>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Number of the name in `Catalogue::labels`.
    pub name: u32,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    json: Box<str>,
    pub index: u32,
    pub title: Span,
    pub description: Span,
    pub image_url: Span,
    embedding: Span,
    /// The deepest level of each path, most important first; `Categories::ancestors` gives the levels above.
    pub categories: Box<[u32]>,
    /// Numbers in `Catalogue::labels`, as for `seller` and `currency`.
    pub brand: Option<u32>,
    pub seller: Option<u32>,
    pub currency: Option<u32>,
    pub price: Option<f64>,
    pub available: bool,
    /// As sent; `added_ms` is what newness counts from.
    pub created_ms: Option<i64>,
    pub first_put_ms: i64,
    /// By name.
    pub attributes: Box<[Attribute]>,
    pub tokens: Tokens,
}

impl Item {
    /// `created_at`, else the first time the item was put.
    pub fn added_ms(&self) -> i64 {
        self.created_ms.unwrap_or(self.first_put_ms)
    }

    pub fn json(&self) -> &[u8] {
        self.json.as_bytes()
    }

    #[inline]
    pub fn text(&self, span: Span) -> Cow<'_, str> {
        let (start, len) = (span.start as usize, (span.len & !ESCAPED) as usize);
        if span.len & ESCAPED == 0 {
            return Cow::Borrowed(self.json.get(start..start + len).unwrap_or_default());
        }
        let token = self.json.get(start - 1..start + len + 1).unwrap_or_default();
        Cow::Owned(serde_json::from_str(token).unwrap_or_default())
    }

    /// `None` when the field was not sent.
    #[inline]
    pub fn text_of(&self, span: Span) -> Option<Cow<'_, str>> {
        (span.start > 0).then(|| self.text(span))
    }

    pub fn has_embedding(&self) -> bool {
        self.embedding.len > 0
    }

    pub fn embedding(&self) -> Option<Vec<f32>> {
        let start = self.embedding.start as usize;
        serde_json::from_str(self.json.get(start..start + self.embedding.len as usize)?).ok()
    }

    pub fn memory_bytes(&self) -> usize {
        let lists: usize =
            self.attributes.iter().map(|a| if let Value::Texts(t) = &a.value { t.len() * 8 } else { 0 }).sum();
        size_of::<Item>()
            + self.json.len()
            + self.categories.len() * 4
            + self.attributes.len() * size_of::<Attribute>()
            + lists
            + self.tokens.as_slice().len() * 4
    }
}

/// Where names get their numbers.
pub struct Names<'a> {
    pub labels: &'a mut Dictionary,
    pub categories: &'a mut Categories,
}

/// The members of a canonical item, by field.
#[derive(Clone, Copy)]
pub struct Slots<'a> {
    json: &'a str,
    fields: [Option<&'a RawValue>; FIELD_COUNT],
}

impl<'a> Slots<'a> {
    /// Errors: `malformed_body` when it is no item at all.
    pub fn read(json: &'a [u8]) -> Result<Slots<'a>> {
        let json = std::str::from_utf8(json).map_err(|e| Error::malformed(e.to_string()))?;
        if json.len() >= ESCAPED as usize {
            return Err(Error::malformed("an item of 2 GiB"));
        }
        let members: values::Members<'a> = serde_json::from_str(json).map_err(|e| Error::malformed(e.to_string()))?;
        let mut fields = [None; FIELD_COUNT];
        for (name, value) in members.0 {
            if let Some(field) = Field::of(&name) {
                fields[field as usize] = Some(value);
            }
        }
        Ok(Slots { json, fields })
    }

    pub fn id(&self) -> Option<Cow<'a, str>> {
        self.fields[Field::Id as usize].and_then(values::text).filter(|id| !id.is_empty())
    }
}

/// Reads an item that was validated when it came; a value of a wrong type counts as absent.
pub fn read(slots: &Slots<'_>, index: u32, first_put_ms: i64, names: &mut Names<'_>) -> Item {
    let json = slots.json;
    let slot = |field: Field| slots.fields[field as usize];
    let text = |field| slot(field).and_then(values::text);
    let span = |field| slot(field).map_or(Span::default(), |raw| span_of(json, raw));
    let mut tokens = Vec::with_capacity(16);
    let categories = read_categories(slot(Field::Categories), names, &mut tokens);
    let mut label = |field| text(field).map(|t| names.labels.intern(&t));
    let (brand, seller, currency) = (label(Field::Brand), label(Field::Seller), label(Field::Currency));
    if let Some(brand) = text(Field::Brand) {
        tokens.push(token(Class::Brand, "", &brand));
    }
    let attributes = read_attributes(json, slot(Field::Attributes), names, &mut tokens);
    Item {
        index,
        title: span(Field::Title),
        description: span(Field::Description),
        image_url: span(Field::ImageUrl),
        embedding: slot(Field::Embedding).map_or(Span::default(), |raw| whole_span(json, raw)),
        categories,
        brand,
        seller,
        currency,
        price: slot(Field::Price).and_then(values::number),
        available: slot(Field::Available).is_none_or(|raw| raw.get() != "false"),
        created_ms: slot(Field::CreatedAt).and_then(|raw| values::read_time(raw, "").ok()),
        first_put_ms,
        attributes,
        tokens: Tokens::new(&tokens),
        json: json.into(),
    }
}

fn read_categories(raw: Option<&RawValue>, names: &mut Names<'_>, tokens: &mut Vec<u32>) -> Box<[u32]> {
    let paths = raw.and_then(|raw| values::elements(raw, "", "").ok()).unwrap_or_default();
    let mut leaves = Vec::with_capacity(paths.len());
    for path in paths.into_iter().filter_map(values::text) {
        let Some(leaf) = names.categories.intern(&path) else { continue };
        if !leaves.contains(&leaf) {
            leaves.push(leaf);
            let levels: Vec<u32> = names.categories.ancestors(leaf).collect();
            tokens.extend(levels.iter().rev().map(|c| token(Class::Category, "", names.categories.name(*c))));
        }
    }
    leaves.into()
}

fn read_attributes(
    json: &str,
    raw: Option<&RawValue>,
    names: &mut Names<'_>,
    tokens: &mut Vec<u32>,
) -> Box<[Attribute]> {
    let members = raw.and_then(|raw| values::members(raw, "").ok()).unwrap_or_default();
    let mut attributes = Vec::with_capacity(members.len());
    for (name, raw) in members {
        let mut add = |text: &str| {
            if text.len() <= TOKEN_TEXT_BYTES_MAX {
                tokens.push(token(Class::Attribute, &name, text));
            }
        };
        let value = match values::kind(raw) {
            Kind::Text => {
                add(&values::text(raw).unwrap_or_default());
                Value::Text(span_of(json, raw))
            }
            Kind::Bool => {
                add(raw.get());
                Value::Bool(raw.get() == "true")
            }
            Kind::Number => Value::Number(values::number(raw).unwrap_or_default()),
            Kind::Array => {
                let list = values::elements(raw, "", "").unwrap_or_default();
                list.iter().filter_map(|raw| values::text(raw)).for_each(|text| add(&text));
                Value::Texts(list.into_iter().map(|raw| span_of(json, raw)).collect())
            }
            Kind::Null | Kind::Object => continue,
        };
        attributes.push(Attribute { name: names.labels.intern(&name), value });
    }
    attributes.into()
}

fn whole_span(json: &str, raw: &RawValue) -> Span {
    // `raw` borrows from `json`, so its place is the distance of the two addresses.
    let start = (raw.get().as_ptr() as usize).saturating_sub(json.as_ptr() as usize);
    Span { start: start as u32, len: raw.get().len() as u32 }
}

fn span_of(json: &str, raw: &RawValue) -> Span {
    if values::kind(raw) != Kind::Text {
        return Span::default();
    }
    let whole = whole_span(json, raw);
    let escaped = if raw.get().as_bytes().contains(&b'\\') { ESCAPED } else { 0 };
    Span { start: whole.start + 1, len: (whole.len - 2) | escaped }
}
