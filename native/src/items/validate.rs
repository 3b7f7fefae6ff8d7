//! The table of an item: its fields, their rules and the canonical JSON that answers `GET /v1/items/{id}`.
//!
//! Invariant: canonical JSON parses to itself, holds only fields that were sent, and equal items have equal bytes. What
//! is already in the catalogue is the caller's to say.

use super::body::{elements, reject, Rejected};
use super::nearest::{hint, shown};
use super::values::{self, Kind, Map};
use super::{code, Limits};
use crate::error::{Error, Result};
use serde_json::value::RawValue;

#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
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
    Attributes,
    ImageUrl,
    Embedding,
}

pub const FIELD_COUNT: usize = 13;

/// In the order of the canonical JSON.
pub const FIELDS: [(Field, &str); FIELD_COUNT] = [
    (Field::Id, "id"),
    (Field::Title, "title"),
    (Field::Description, "description"),
    (Field::Categories, "categories"),
    (Field::Brand, "brand"),
    (Field::Seller, "seller"),
    (Field::Price, "price"),
    (Field::Currency, "currency"),
    (Field::Available, "available"),
    (Field::CreatedAt, "created_at"),
    (Field::Attributes, "attributes"),
    (Field::ImageUrl, "image_url"),
    (Field::Embedding, "embedding"),
];

impl Field {
    pub fn of(name: &str) -> Option<Field> {
        FIELDS.iter().find(|(_, n)| *n == name).map(|(f, _)| *f)
    }
}

/// The accepted items of a body, each with its index there, its id and its canonical JSON; and the refusals.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ItemBatch {
    pub items: Vec<(usize, String, Vec<u8>)>,
    pub rejected: Vec<Rejected>,
}

/// Reads a body of `PUT /v1/items`. `embedding_length` is the configured one; without it every length is taken.
pub fn parse_items(body: &[u8], ndjson: bool, limits: &Limits, embedding_length: Option<usize>) -> Result<ItemBatch> {
    let mut batch = ItemBatch::default();
    for (index, raw) in elements(body, "items", ndjson, limits)?.into_iter().enumerate() {
        match Draft::read(raw, limits).and_then(|draft| draft.encode(limits, embedding_length)) {
            Ok((id, json)) => batch.items.push((index, id, json)),
            Err(error) => batch.rejected.push(reject(index, raw, error, limits)?),
        }
    }
    Ok(batch)
}

/// The item that a `PATCH /v1/items/{id}` makes: fields replace, attributes merge by name, null removes either.
///
/// Errors: `unknown_item` without a current item; `malformed_body`; the codes of an item, also when the patch alone
/// would be fine and the merged item is not; `out_of_range` for an id other than the one addressed.
pub fn merge_patch(
    current: Option<&[u8]>,
    id: &str,
    patch: &[u8],
    limits: &Limits,
    embedding_length: Option<usize>,
) -> Result<Vec<u8>> {
    let raw: &RawValue = serde_json::from_slice(patch).map_err(|e| Error::malformed(e.to_string()))?;
    let mut change = Draft::read(raw, limits)?;
    if let Some(own) = change.slots[Field::Id as usize].take() {
        let own = own.ok_or_else(|| Error::invalid(code::MISSING_FIELD, "id", "an item keeps its id"))?;
        if values::read_text(own, "id", limits.id_chars_max)? != id {
            return Err(Error::invalid(code::OUT_OF_RANGE, "id", "not the id in the address"));
        }
    }
    let unknown = || Error::invalid(code::UNKNOWN_ITEM, "id", format!("no item \"{}\"", shown(id)));
    let held: &RawValue =
        serde_json::from_slice(current.ok_or_else(unknown)?).map_err(|e| Error::malformed(e.to_string()))?;
    let mut draft = Draft::read(held, limits)?;
    draft.apply(change);
    Ok(draft.encode(limits, embedding_length)?.1)
}

/// The members of an item, their values unread: `None` was not sent, `Some(None)` was sent as null or empty.
#[derive(Default)]
struct Draft<'a> {
    slots: [Option<Option<&'a RawValue>>; FIELD_COUNT],
    attributes: Map<'a>,
}

impl<'a> Draft<'a> {
    fn read(raw: &'a RawValue, limits: &Limits) -> Result<Draft<'a>> {
        let mut draft = Draft::default();
        for (name, value) in values::members(raw, "")? {
            let Some(field) = Field::of(&name) else {
                let hint = hint(&name, &FIELDS.map(|(_, n)| n));
                return Err(Error::invalid(code::UNKNOWN_FIELD, shown(&name), format!("not a field of an item{hint}")));
            };
            draft.slots[field as usize] = Some((!values::absent(value)).then_some(value));
        }
        if let Some(Some(attributes)) = draft.slots[Field::Attributes as usize] {
            draft.attributes = values::read_map(attributes, "attributes", limits)?;
        }
        Ok(draft)
    }

    fn apply(&mut self, change: Draft<'a>) {
        let attributes = Field::Attributes as usize;
        if matches!(change.slots[attributes], Some(None)) {
            self.attributes.clear();
        }
        let removes_only = change.attributes.values().all(|raw| values::kind(raw) == Kind::Null);
        self.attributes.extend(change.attributes);
        for (i, (slot, new)) in self.slots.iter_mut().zip(change.slots).enumerate() {
            // Removing from no attributes leaves no attributes, not an empty map.
            if i == attributes && slot.is_none() && removes_only {
                continue;
            }
            if new.is_some() {
                *slot = new;
            }
        }
    }

    /// The id and the canonical JSON.
    fn encode(&self, limits: &Limits, embedding_length: Option<usize>) -> Result<(String, Vec<u8>)> {
        let id = self.slots[Field::Id as usize]
            .flatten()
            .ok_or_else(|| Error::invalid(code::MISSING_FIELD, "id", "an item needs an id"))?;
        let id = values::read_text(id, "id", limits.id_chars_max)?.into_owned();
        let mut out = Vec::with_capacity(256);
        for (field, name) in FIELDS {
            let Some(Some(raw)) = self.slots[field as usize] else { continue };
            out.extend_from_slice(if out.is_empty() { b"{\"" } else { b",\"" });
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            self.put(&mut out, field, name, raw, limits, embedding_length)?;
        }
        out.push(b'}');
        Ok((id, out))
    }

    fn put(
        &self,
        out: &mut Vec<u8>,
        field: Field,
        name: &str,
        raw: &RawValue,
        limits: &Limits,
        embedding_length: Option<usize>,
    ) -> Result<()> {
        match field {
            Field::Id => values::put_text(out, raw, name, limits.id_chars_max),
            Field::Title => values::put_text(out, raw, name, limits.title_chars_max),
            Field::Description => values::put_text(out, raw, name, limits.description_chars_max),
            Field::Categories => values::put_texts(out, raw, name, limits.categories_max, limits.label_chars_max),
            Field::Brand | Field::Seller => values::put_text(out, raw, name, limits.label_chars_max),
            Field::Price => values::put_number(out, raw, name, 0.0),
            Field::Currency => values::put_text(out, raw, name, limits.currency_chars_max),
            Field::Available => values::put_bool(out, raw, name),
            Field::CreatedAt => {
                values::read_time(raw, name)?;
                match values::kind(raw) {
                    Kind::Text => values::put_text(out, raw, name, usize::MAX)?,
                    _ => out.extend_from_slice(raw.get().as_bytes()),
                }
                Ok(())
            }
            Field::Attributes => values::put_map(out, &self.attributes, name, limits.attributes_max, false, limits),
            Field::ImageUrl => values::put_text(out, raw, name, limits.url_chars_max),
            Field::Embedding => values::put_floats(out, raw, name, embedding_length, limits.embedding_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(json: &str) -> Result<String> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        let limits = Limits::default();
        Draft::read(raw, &limits).and_then(|d| d.encode(&limits, Some(2))).map(|(_, j)| String::from_utf8(j).unwrap())
    }

    fn patch(current: &str, change: &str) -> Result<String> {
        let current = (!current.is_empty()).then_some(current.as_bytes());
        merge_patch(current, "a", change.as_bytes(), &Limits::default(), None).map(|j| String::from_utf8(j).unwrap())
    }

    fn refusal<T: std::fmt::Debug>(result: Result<T>) -> (&'static str, String) {
        match result.unwrap_err() {
            Error::Invalid { code, field, .. } => (code, field),
            other => (other.code(), String::new()),
        }
    }

    #[test]
    fn an_item_is_written_in_one_order_with_the_values_it_came_with() {
        let sent = r#"{"embedding":[1,-2.5e0],"image_url":"u","attributes":{"z":true,"a":["x","y"],"n":1.50,"s":""},
            "created_at":"2026-01-31T12:00:00+01:00","available":false,"currency":"EUR","price":9.50,"seller":"s",
            "brand":"b","categories":["a > b","c"],"description":"d\u00e9\n","title":"t\"","id":"i"}"#;
        let want = concat!(
            r#"{"id":"i","title":"t\"","description":"dé\n","categories":["a > b","c"],"#,
            r#""brand":"b","seller":"s","price":9.50,"#,
            r#""currency":"EUR","available":false,"created_at":"2026-01-31T12:00:00+01:00","#,
            r#""attributes":{"a":["x","y"],"n":1.50,"s":"","z":true},"image_url":"u","embedding":[1,-2.5e0]}"#
        );
        assert_eq!(put(sent).unwrap(), want);
        assert_eq!(put(want).unwrap(), want);
    }

    #[test]
    fn null_and_empty_fields_are_absent_and_the_last_of_equal_keys_counts() {
        assert_eq!(
            put(r#"{"id":"i","title":null,"brand":"","attributes":{"a":null}}"#).unwrap(),
            r#"{"id":"i","attributes":{}}"#
        );
        assert_eq!(
            put(r#"{"id":"i","price":"x","price":1,"categories":[]}"#).unwrap(),
            r#"{"id":"i","categories":[],"price":1}"#
        );
    }

    #[test]
    fn every_rule_refuses_with_its_code_and_field() {
        let long = |n: usize| "x".repeat(n);
        let list = |n: usize, value: &str| vec![value; n].join(",");
        for (field, code, at) in [
            (r#""price":-0.01"#.into(), "out_of_range", "price"),
            (r#""price":1e999"#.into(), "out_of_range", "price"),
            (r#""price":"9""#.into(), "wrong_type", "price"),
            (r#""title":1"#.into(), "wrong_type", "title"),
            (r#""title":"\ud800""#.into(), "wrong_type", "title"),
            (format!(r#""title":"{}""#, long(1001)), "too_long", "title"),
            (format!(r#""description":"{}""#, long(20_001)), "too_long", "description"),
            (format!(r#""brand":"{}""#, long(257)), "too_long", "brand"),
            (format!(r#""image_url":"{}""#, long(2049)), "too_long", "image_url"),
            (format!(r#""currency":"{}""#, long(17)), "too_long", "currency"),
            (r#""categories":"a""#.into(), "wrong_type", "categories"),
            (r#""categories":["a",1]"#.into(), "wrong_type", "categories[1]"),
            (r#""categories":["a"," "]"#.into(), "missing_field", "categories[1]"),
            (format!(r#""categories":["{}"]"#, long(257)), "too_long", "categories[0]"),
            (format!(r#""categories":[{}]"#, list(33, "\"a\"")), "too_long", "categories"),
            (r#""available":1"#.into(), "wrong_type", "available"),
            (r#""created_at":1.5"#.into(), "bad_ts", "created_at"),
            (r#""created_at":99999999999999999"#.into(), "bad_ts", "created_at"),
            (r#""created_at":"yesterday""#.into(), "bad_ts", "created_at"),
            (r#""created_at":true"#.into(), "wrong_type", "created_at"),
            (r#""attributes":[]"#.into(), "wrong_type", "attributes"),
            (r#""attributes":{"":1}"#.into(), "missing_field", "attributes"),
            (format!(r#""attributes":{{"{}":1}}"#, long(129)), "too_long", "attributes"),
            (r#""attributes":{"a":{}}"#.into(), "wrong_type", "attributes.a"),
            (r#""attributes":{"a":[1]}"#.into(), "wrong_type", "attributes.a[0]"),
            (r#""attributes":{"a":1e400}"#.into(), "out_of_range", "attributes.a"),
            (format!(r#""attributes":{{"a":"{}"}}"#, long(4097)), "too_long", "attributes.a"),
            (format!(r#""attributes":{{"a":[{}]}}"#, list(257, "\"a\"")), "too_long", "attributes.a"),
            (r#""embedding":[1]"#.into(), "out_of_range", "embedding"),
            (r#""embedding":[1,1e39]"#.into(), "out_of_range", "embedding[1]"),
            (r#""embedding":[1,"2"]"#.into(), "wrong_type", "embedding[1]"),
            (r#""colour":1"#.into(), "unknown_field", "colour"),
            (r#""id":5"#.into(), "wrong_type", "id"),
            (r#""id":"""#.into(), "missing_field", "id"),
            (format!(r#""id":"{}""#, long(129)), "too_long", "id"),
        ] {
            let item = format!(r#"{{"id":"i",{field}}}"#);
            assert_eq!(refusal(put(&item)), (code, at.to_owned()), "{}", &field[..field.len().min(80)]);
        }
        let many: Vec<String> = (0..257).map(|i| format!("\"a{i}\":{i}")).collect();
        assert_eq!(refusal(put(&format!(r#"{{"id":"i","attributes":{{{}}}}}"#, many.join(",")))).0, "too_many_props");
        assert_eq!(
            put(r#"{"id":"i","titel":"x"}"#).unwrap_err().to_string(),
            "titel: not a field of an item; did you mean \"title\"?"
        );
        assert_eq!(put(&format!(r#"{{"id":"i","title":"{}"}}"#, "é".repeat(1000))).unwrap().len(), 2021);
    }

    #[test]
    fn one_bad_item_does_not_cost_its_neighbours() {
        let body = br#"[{"id":"a"}, {"title":"x"}, 7, {"id":"b","price":-1}, {"id":"c"}]"#;
        let batch = parse_items(body, false, &Limits::default(), None).unwrap();
        let accepted: Vec<(usize, &str)> = batch.items.iter().map(|(i, id, _)| (*i, id.as_str())).collect();
        assert_eq!(accepted, [(0, "a"), (4, "c")]);
        let rejected: Vec<_> = batch.rejected.iter().map(|r| (r.index, r.id.as_deref(), r.code, &*r.message)).collect();
        assert_eq!(
            rejected,
            [
                (1, None, "missing_field", "id: an item needs an id"),
                (2, None, "wrong_type", "expected an object, got a number"),
                (3, Some("b"), "out_of_range", "price: less than 0"),
            ]
        );
        assert_eq!(batch.rejected[2].payload, br#"{"id":"b","price":-1}"#);
        let deep = format!(r#"[{{"id":"a","x":{}{}}}]"#, "[".repeat(200), "]".repeat(200));
        assert_eq!(refusal(parse_items(deep.as_bytes(), false, &Limits::default(), None)).0, "malformed_body");
        assert_eq!(
            refusal(parse_items(b"{\"items\":[],\"sent\":1}", false, &Limits::default(), None)).0,
            "unknown_field"
        );
    }

    #[test]
    fn a_patch_replaces_fields_merges_attributes_and_removes_nulls() {
        let held = r#"{"id":"a","title":"t","price":1,"attributes":{"a":1,"b":2}}"#;
        let change = r#"{"price":2.50,"title":null,"brand":"x","attributes":{"b":null,"c":["y"]}}"#;
        assert_eq!(
            patch(held, change).unwrap(),
            r#"{"id":"a","brand":"x","price":2.50,"attributes":{"a":1,"c":["y"]}}"#
        );
        assert_eq!(patch(held, r#"{"id":"a","attributes":null}"#).unwrap(), r#"{"id":"a","title":"t","price":1}"#);
        assert_eq!(patch(held, "{}").unwrap(), held);
        assert_eq!(patch(r#"{"id":"a"}"#, r#"{"attributes":{"a":null}}"#).unwrap(), r#"{"id":"a"}"#);
        assert_eq!(patch(r#"{"id":"a"}"#, r#"{"attributes":{"a":1}}"#).unwrap(), r#"{"id":"a","attributes":{"a":1}}"#);
    }

    #[test]
    fn a_patch_that_makes_no_item_is_refused() {
        let held = r#"{"id":"a"}"#;
        assert_eq!(refusal(patch("", "{}")), ("unknown_item", "id".into()));
        assert_eq!(refusal(patch(held, "{")).0, "malformed_body");
        assert_eq!(refusal(patch(held, "[]")).0, "wrong_type");
        assert_eq!(refusal(patch(held, r#"{"id":"b"}"#)), ("out_of_range", "id".into()));
        assert_eq!(refusal(patch(held, r#"{"id":null}"#)), ("missing_field", "id".into()));
        assert_eq!(refusal(patch(held, r#"{"price":-1}"#)), ("out_of_range", "price".into()));
        assert_eq!(refusal(patch(held, r#"{"prize":1}"#)), ("unknown_field", "prize".into()));
        let full: Vec<String> = (0..256).map(|i| format!("\"a{i:03}\":{i}")).collect();
        let full = format!(r#"{{"id":"a","attributes":{{{}}}}}"#, full.join(","));
        assert_eq!(patch(&full, "{}").unwrap(), full);
        assert_eq!(refusal(patch(&full, r#"{"attributes":{"b":1}}"#)).0, "too_many_props");
    }
}
