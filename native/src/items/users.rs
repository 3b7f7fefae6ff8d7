//! User records: what `PUT /v1/users` may say, and how a new record joins the one that is held.
//!
//! Invariant: merging is total and bounded. A feature with an older `as_of` than the held one changes nothing, so late
//! batches may arrive in any order; without `as_of` the later record wins. What users do is not known here.

use super::body::{elements, reject, Rejected};
use super::nearest::{hint, shown};
use super::values::{self, Kind, Map};
use super::{code, Limits};
use crate::error::{Error, Result};
use serde_json::value::RawValue;
use std::borrow::Cow;

const FIELDS: [&str; 4] = ["id", "attributes", "features", "as_of"];

/// The accepted users of a body, each with its index there, its id and its canonical JSON; and the refusals.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UserBatch {
    pub users: Vec<(usize, String, Vec<u8>)>,
    pub rejected: Vec<Rejected>,
}

/// Reads a body of `PUT /v1/users`: `as_of` becomes milliseconds, a null attribute or feature stays as "remove".
pub fn parse_users(body: &[u8], ndjson: bool, limits: &Limits) -> Result<UserBatch> {
    let mut batch = UserBatch::default();
    for (index, raw) in elements(body, "users", ndjson, limits)?.into_iter().enumerate() {
        match canonical(raw, limits) {
            Ok((id, json)) => batch.users.push((index, id, json)),
            Err(error) => batch.rejected.push(reject(index, raw, error, limits)?),
        }
    }
    Ok(batch)
}

fn canonical(raw: &RawValue, limits: &Limits) -> Result<(String, Vec<u8>)> {
    let mut slots: [Option<&RawValue>; 4] = [None; 4];
    for (name, value) in values::members(raw, "")? {
        let Some(i) = FIELDS.iter().position(|f| *f == name) else {
            let hint = hint(&name, &FIELDS);
            return Err(Error::invalid(code::UNKNOWN_FIELD, shown(&name), format!("not a field of a user{hint}")));
        };
        slots[i] = (!values::absent(value)).then_some(value);
    }
    let id = slots[0].ok_or_else(|| Error::invalid(code::MISSING_FIELD, "id", "a user needs an id"))?;
    let id = values::read_text(id, "id", limits.id_chars_max)?;
    let mut out = b"{\"id\":".to_vec();
    values::put_json_text(&mut out, &id);
    for (slot, name, max) in [(1, "attributes", limits.attributes_max), (2, "features", limits.features_max)] {
        if let Some(raw) = slots[slot] {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            values::put_map(&mut out, &values::read_map(raw, name, limits)?, name, max, true, limits)?;
        }
    }
    if let Some(raw) = slots[3] {
        out.extend_from_slice(format!(",\"as_of\":{}", values::read_time(raw, "as_of")?).as_bytes());
    }
    out.push(b'}');
    Ok((id.into_owned(), out))
}

/// A record in parts; a held one also says since when each feature is known.
#[derive(Default)]
struct Parts<'a> {
    id: Cow<'a, str>,
    attributes: Map<'a>,
    features: Map<'a>,
    feature_as_of: Map<'a>,
    as_of: Option<&'a RawValue>,
}

impl<'a> Parts<'a> {
    /// Reads what this module wrote; of anything else what can be read.
    fn read(json: &'a [u8], limits: &Limits) -> Parts<'a> {
        let mut parts = Parts::default();
        let Ok(raw) = serde_json::from_slice::<&RawValue>(json) else { return parts };
        for (name, value) in values::members(raw, "").unwrap_or_default() {
            match &*name {
                "id" => parts.id = values::text(value).unwrap_or_default(),
                "attributes" => parts.attributes = values::read_map(value, "", limits).unwrap_or_default(),
                "features" => parts.features = values::read_map(value, "", limits).unwrap_or_default(),
                "feature_as_of" => parts.feature_as_of = values::read_map(value, "", limits).unwrap_or_default(),
                "as_of" => parts.as_of = Some(value),
                _ => {}
            }
        }
        parts
    }
}

/// The held record after a new one: `{"id", "attributes", "features", "feature_as_of": {feature: ms}}`.
///
/// Names beyond the bounds of one record are not taken, the held ones stay.
pub fn merge_user(current: Option<&[u8]>, new: &[u8], limits: &Limits) -> Vec<u8> {
    let mut held = current.map(|json| Parts::read(json, limits)).unwrap_or_default();
    let new = Parts::read(new, limits);
    for (name, value) in removals_first(new.attributes) {
        place(&mut held.attributes, name, value, limits.attributes_max);
    }
    for (name, value) in removals_first(new.features) {
        let since = held.feature_as_of.get(&name).and_then(|raw| values::read_time(raw, "").ok());
        let as_of = new.as_of.and_then(|raw| values::read_time(raw, "").ok());
        if matches!((since, as_of), (Some(since), Some(as_of)) if as_of < since) {
            continue;
        }
        held.feature_as_of.remove(&name);
        if place(&mut held.features, name.clone(), value, limits.features_max) {
            if let Some(raw) = new.as_of {
                held.feature_as_of.insert(name, raw);
            }
        }
    }
    let mut out = b"{\"id\":".to_vec();
    values::put_json_text(&mut out, if new.id.is_empty() { &held.id } else { &new.id });
    for (name, map) in
        [("attributes", &held.attributes), ("features", &held.features), ("feature_as_of", &held.feature_as_of)]
    {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        put_checked(&mut out, map);
    }
    out.push(b'}');
    out
}

/// The record that makes each part of the held one which `new` has what `new` says: names that it does not have are
/// removed. None when that changes nothing.
pub fn replace_user(current: Option<&[u8]>, new: &[u8], limits: &Limits) -> Option<Vec<u8>> {
    let (held, given) = (current.map(|json| Parts::read(json, limits)).unwrap_or_default(), Parts::read(new, limits));
    if current.is_none() && given.attributes.is_empty() && given.features.is_empty() {
        return None;
    }
    let members = serde_json::from_slice::<&RawValue>(new).ok().and_then(|raw| values::members(raw, "").ok());
    let mut out = b"{\"id\":".to_vec();
    values::put_json_text(&mut out, &given.id);
    for (part, held, mut new) in
        [("attributes", held.attributes, given.attributes), ("features", held.features, given.features)]
    {
        if members.iter().flatten().any(|(name, _)| name == part) {
            held.into_keys().for_each(|name| {
                new.entry(name).or_insert(RawValue::NULL);
            });
            out.extend_from_slice(format!(",\"{part}\":").as_bytes());
            put_checked(&mut out, &new);
        }
    }
    if let Some(as_of) = given.as_of {
        out.extend_from_slice(format!(",\"as_of\":{as_of}").as_bytes());
    }
    out.push(b'}');
    (current != Some(&merge_user(current, &out, limits)[..])).then_some(out)
}

/// Names that go make room for those that come.
fn removals_first(map: Map<'_>) -> impl Iterator<Item = (Cow<'_, str>, &RawValue)> {
    let (gone, here): (Vec<_>, Vec<_>) = map.into_iter().partition(|(_, value)| values::kind(value) == Kind::Null);
    gone.into_iter().chain(here)
}

/// Sets or removes; `false` when the name is not in the map afterwards.
fn place<'a>(map: &mut Map<'a>, name: Cow<'a, str>, value: &'a RawValue, max: usize) -> bool {
    if values::kind(value) == Kind::Null {
        map.remove(&name);
        return false;
    }
    if map.len() >= max && !map.contains_key(&name) {
        return false;
    }
    map.insert(name, value);
    true
}

/// Writes values that were canonical when they came.
fn put_checked(out: &mut Vec<u8>, map: &Map<'_>) {
    out.push(b'{');
    for (i, (name, value)) in map.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        values::put_json_text(out, name);
        out.push(b':');
        out.extend_from_slice(value.get().as_bytes());
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(json: &str) -> std::result::Result<String, (&'static str, String)> {
        let mut batch = parse_users(json.as_bytes(), false, &Limits::default()).unwrap();
        match batch.rejected.pop() {
            Some(r) => Err((r.code, r.field)),
            None => Ok(String::from_utf8(batch.users.remove(0).2).unwrap()),
        }
    }

    fn merged(records: &[&str]) -> String {
        let limits = Limits { attributes_max: 2, features_max: 2, ..Limits::default() };
        let fold = |held: Option<Vec<u8>>, new: &&str| Some(merge_user(held.as_deref(), new.as_bytes(), &limits));
        String::from_utf8(records.iter().fold(None, fold).unwrap()).unwrap()
    }

    #[test]
    fn a_user_is_written_canonically() {
        let sent = r#"{"as_of":"1970-01-01T00:00:01Z","features":{"z":1.50,"a":"x","b":true},
            "attributes":{"n":null},"id":"u"}"#;
        let want = r#"{"id":"u","attributes":{"n":null},"features":{"a":"x","b":true,"z":1.50},"as_of":1000}"#;
        assert_eq!(one(sent).unwrap(), want);
        assert_eq!(one(want).unwrap(), want);
        assert_eq!(one(r#"{"id":"u","as_of":null,"features":null}"#).unwrap(), r#"{"id":"u"}"#);
    }

    #[test]
    fn every_form_of_a_body_is_read() {
        let limits = Limits::default();
        let ids = |body: &[u8], ndjson| -> Vec<(usize, String)> {
            parse_users(body, ndjson, &limits).unwrap().users.into_iter().map(|(i, id, _)| (i, id)).collect()
        };
        let want = [(0, "a".to_owned()), (1, "b".to_owned())];
        assert_eq!(ids(br#"[{"id":"a"},{"id":"b"}]"#, false), want);
        assert_eq!(ids(br#"{"users":[{"id":"a"},{"id":"b"}]}"#, false), want);
        assert_eq!(ids(b"{\"id\":\"a\"}\n{\"id\":\"b\"}\n", true), want);
        assert_eq!(ids(br#"{"id":"a"}"#, false), want[..1]);
        assert_eq!(parse_users(b"{", false, &limits).unwrap_err().code(), "malformed_body");
    }

    #[test]
    fn what_is_no_user_is_refused() {
        for (json, code, field) in [
            ("{}", "missing_field", "id"),
            ("[3]", "wrong_type", ""),
            (r#"{"id":3}"#, "wrong_type", "id"),
            (r#"{"id":"u","feature":{}}"#, "unknown_field", "feature"),
            (r#"{"id":"u","features":[]}"#, "wrong_type", "features"),
            (r#"{"id":"u","features":{"a":{}}}"#, "wrong_type", "features.a"),
            (r#"{"id":"u","attributes":{"a":1e999}}"#, "out_of_range", "attributes.a"),
            (r#"{"id":"u","as_of":"now"}"#, "bad_ts", "as_of"),
            (r#"{"id":"u","as_of":1.5}"#, "bad_ts", "as_of"),
        ] {
            assert_eq!(one(json), Err((code, field.to_owned())), "{json}");
        }
    }

    #[test]
    fn records_merge_by_name_and_keep_since_when_a_feature_is_known() {
        assert_eq!(
            merged(&[
                r#"{"id":"u","attributes":{"a":1},"features":{"x":1,"y":1},"as_of":10}"#,
                r#"{"id":"u","attributes":{"a":null,"b":2},"features":{"x":2},"as_of":20}"#,
                r#"{"id":"u","features":{"y":3}}"#,
            ]),
            r#"{"id":"u","attributes":{"b":2},"features":{"x":2,"y":3},"feature_as_of":{"x":20}}"#
        );
        assert_eq!(merged(&[r#"{"id":"u"}"#]), r#"{"id":"u","attributes":{},"features":{},"feature_as_of":{}}"#);
    }

    #[test]
    fn an_older_value_changes_nothing_in_any_order() {
        let (old, new) = (r#"{"id":"u","features":{"x":1},"as_of":10}"#, r#"{"id":"u","features":{"x":2},"as_of":20}"#);
        let want = r#"{"id":"u","attributes":{},"features":{"x":2},"feature_as_of":{"x":20}}"#;
        assert_eq!(merged(&[old, new]), want);
        assert_eq!(merged(&[new, old]), want);
        let gone = r#"{"id":"u","attributes":{},"features":{},"feature_as_of":{}}"#;
        assert_eq!(merged(&[new, r#"{"id":"u","features":{"x":null},"as_of":30}"#]), gone);
    }

    #[test]
    fn a_record_taken_whole_removes_what_it_does_not_name() {
        let limits = Limits { attributes_max: 2, features_max: 2, ..Limits::default() };
        let held = merged(&[r#"{"id":"u","attributes":{"a":1,"b":2},"features":{"x":1},"as_of":10}"#]);
        let replaced = |held: &str, new: &str| {
            let record = replace_user(Some(held.as_bytes()), new.as_bytes(), &limits)?;
            let after = merge_user(Some(held.as_bytes()), &record, &limits);
            Some((String::from_utf8(record).unwrap(), String::from_utf8(after).unwrap()))
        };
        // A full record of other names: those that go make room.
        let new = r#"{"id":"u","attributes":{"a":3,"d":4}}"#;
        let (record, after) = replaced(&held, new).unwrap();
        assert_eq!(record, r#"{"id":"u","attributes":{"a":3,"b":null,"d":4}}"#);
        let want = r#"{"id":"u","attributes":{"a":3,"d":4},"features":{"x":1},"feature_as_of":{"x":10}}"#;
        assert_eq!(after, want, "a part that it does not have stays");
        assert_eq!(replaced(&after, new), None, "the same again");
        assert_eq!(replaced(&held, r#"{"id":"u","attributes":{"a":1,"b":2}}"#), None);
        let (_, after) = replaced(&held, r#"{"id":"u","attributes":{},"features":{"y":1},"as_of":20}"#).unwrap();
        assert_eq!(after, r#"{"id":"u","attributes":{},"features":{"y":1},"feature_as_of":{"y":20}}"#);
        let (_, after) = replaced(&held, r#"{"id":"u","features":{"y":1},"as_of":5}"#).unwrap();
        assert!(after.contains(r#""features":{"x":1,"y":1}"#), "what is newer than the record stays");
        // Where nothing is held.
        assert_eq!(replace_user(None, br#"{"id":"u","attributes":{},"features":{}}"#, &limits), None);
        assert_eq!(replace_user(None, new.as_bytes(), &limits).as_deref(), Some(new.as_bytes()));
    }

    #[test]
    fn names_that_go_make_room_for_those_that_come() {
        assert_eq!(
            merged(&[r#"{"id":"u","attributes":{"x":1,"y":1}}"#, r#"{"id":"u","attributes":{"a":2,"x":null}}"#]),
            r#"{"id":"u","attributes":{"a":2,"y":1},"features":{},"feature_as_of":{}}"#
        );
    }

    #[test]
    fn names_beyond_the_bound_are_not_taken_and_damage_is_an_empty_record() {
        assert_eq!(
            merged(&[r#"{"id":"u","features":{"a":1,"b":1}}"#, r#"{"id":"u","features":{"a":2,"c":1},"as_of":5}"#]),
            r#"{"id":"u","attributes":{},"features":{"a":2,"b":1},"feature_as_of":{"a":5}}"#
        );
        assert_eq!(merged(&["{", r#"{"id":"u"}"#]), r#"{"id":"u","attributes":{},"features":{},"feature_as_of":{}}"#);
    }
}
