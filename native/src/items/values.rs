//! The rules of single JSON values, and how each is written canonically.
//!
//! Canonical: strings carry only the escapes they must, numbers keep the text they came with, keys of maps are sorted
//! and occur once. Which field a value belongs to is told by the caller, for the message of a refusal.

use super::nearest::shown;
use super::{code, Limits};
use crate::error::{Error, Result};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The members of an object in their order, values unread.
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Self::Value, M::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Key(name), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Walk).map(Members)
    }
}

/// A map whose later keys replace earlier equal ones, as JSON readers do.
pub type Map<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

pub fn kind(raw: &RawValue) -> Kind {
    match raw.get().as_bytes().first() {
        Some(b'n') => Kind::Null,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'"') => Kind::Text,
        Some(b'[') => Kind::Array,
        Some(b'{') => Kind::Object,
        _ => Kind::Number,
    }
}

impl Kind {
    fn article(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::Text => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        }
    }
}

/// Null and the empty string are an absent field.
pub fn absent(raw: &RawValue) -> bool {
    matches!(raw.get(), "null" | "\"\"")
}

/// `None` when it is no string, or a string with a lone surrogate.
pub fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inside = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inside.as_bytes().contains(&b'\\') {
        return serde_json::from_str(raw.get()).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inside))
}

/// Infinite when the number is beyond the range of a double.
pub fn number(raw: &RawValue) -> Option<f64> {
    if kind(raw) != Kind::Number {
        return None;
    }
    raw.get().parse().ok()
}

pub fn wrong_type(field: &str, expected: &str, raw: &RawValue) -> Error {
    Error::invalid(code::WRONG_TYPE, field, format!("expected {expected}, got {}", kind(raw).article()))
}

pub fn members<'a>(raw: &'a RawValue, field: &str) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>> {
    if kind(raw) != Kind::Object {
        return Err(wrong_type(field, "an object", raw));
    }
    let members: Members<'a> = serde_json::from_str(raw.get())
        .map_err(|_| Error::invalid(code::WRONG_TYPE, field, "a key that is not Unicode text"))?;
    Ok(members.0)
}

pub fn elements<'a>(raw: &'a RawValue, field: &str, expected: &str) -> Result<Vec<&'a RawValue>> {
    if kind(raw) != Kind::Array {
        return Err(wrong_type(field, expected, raw));
    }
    serde_json::from_str(raw.get()).map_err(|e| Error::malformed(e.to_string()))
}

/// A checked string; borrowed when it has no escapes.
pub fn read_text<'a>(raw: &'a RawValue, field: &str, chars_max: usize) -> Result<Cow<'a, str>> {
    if kind(raw) != Kind::Text {
        return Err(wrong_type(field, "a string", raw));
    }
    let text = text(raw).ok_or_else(|| Error::invalid(code::WRONG_TYPE, field, "a string that is not Unicode text"))?;
    if text.len() > chars_max && text.chars().count() > chars_max {
        return Err(Error::invalid(code::TOO_LONG, field, format!("longer than {chars_max} characters")));
    }
    Ok(text)
}

pub fn put_json_text(out: &mut Vec<u8>, text: &str) {
    // Writing to a vector cannot fail, and a string always has a JSON form.
    let _ = serde_json::to_writer(out, text);
}

pub fn put_text(out: &mut Vec<u8>, raw: &RawValue, field: &str, chars_max: usize) -> Result<()> {
    put_json_text(out, &read_text(raw, field, chars_max)?);
    Ok(())
}

pub fn put_bool(out: &mut Vec<u8>, raw: &RawValue, field: &str) -> Result<()> {
    if kind(raw) != Kind::Bool {
        return Err(wrong_type(field, "a boolean", raw));
    }
    out.extend_from_slice(raw.get().as_bytes());
    Ok(())
}

/// A finite number of at least `min`.
pub fn put_number(out: &mut Vec<u8>, raw: &RawValue, field: &str, min: f64) -> Result<()> {
    let value = number(raw).ok_or_else(|| wrong_type(field, "a number", raw))?;
    if !value.is_finite() {
        return Err(Error::invalid(code::OUT_OF_RANGE, field, "not a finite number"));
    }
    if value < min {
        return Err(Error::invalid(code::OUT_OF_RANGE, field, format!("less than {min}")));
    }
    out.extend_from_slice(raw.get().as_bytes());
    Ok(())
}

/// Milliseconds since 1970 of an integer or an RFC 3339 text.
pub fn read_time(raw: &RawValue, field: &str) -> Result<i64> {
    let bad = |message| Error::invalid(code::BAD_TS, field, message);
    match kind(raw) {
        Kind::Number => match raw.get().parse::<i64>() {
            Ok(ms) if (super::time::MS_MIN..=super::time::MS_MAX).contains(&ms) => Ok(ms),
            Ok(_) => Err(bad("milliseconds outside the years 0 to 9999")),
            Err(_) => Err(bad("expected an integer of milliseconds since 1970")),
        },
        Kind::Text => text(raw)
            .and_then(|t| super::time::parse_rfc3339(&t))
            .ok_or_else(|| bad("expected an RFC 3339 time with an offset, like 2026-01-31T12:00:00Z")),
        _ => Err(wrong_type(field, "milliseconds since 1970 or an RFC 3339 time", raw)),
    }
}

/// An array of non-empty strings.
pub fn put_texts(out: &mut Vec<u8>, raw: &RawValue, field: &str, count_max: usize, chars_max: usize) -> Result<()> {
    let list = elements(raw, field, "an array of strings")?;
    if list.len() > count_max {
        return Err(Error::invalid(code::TOO_LONG, field, format!("more than {count_max} entries")));
    }
    out.push(b'[');
    for (i, raw) in list.into_iter().enumerate() {
        let at = format!("{field}[{i}]");
        let text = read_text(raw, &at, chars_max)?;
        if text.trim().is_empty() {
            return Err(Error::invalid(code::MISSING_FIELD, at, "an empty string"));
        }
        if i > 0 {
            out.push(b',');
        }
        put_json_text(out, &text);
    }
    out.push(b']');
    Ok(())
}

/// An array of finite 32-bit floats.
pub fn put_floats(out: &mut Vec<u8>, raw: &RawValue, field: &str, length: Option<usize>, max: usize) -> Result<()> {
    let list = elements(raw, field, "an array of numbers")?;
    let n = list.len();
    let expected = match length {
        Some(length) if n != length => format!("{length} numbers"),
        None if n == 0 || n > max => format!("1 to {max} numbers"),
        _ => String::new(),
    };
    if !expected.is_empty() {
        return Err(Error::invalid(code::OUT_OF_RANGE, field, format!("expected {expected}, got {n}")));
    }
    out.push(b'[');
    for (i, raw) in list.into_iter().enumerate() {
        let at = || format!("{field}[{i}]");
        let value = number(raw).ok_or_else(|| wrong_type(&at(), "a number", raw))?;
        if !(value as f32).is_finite() {
            return Err(Error::invalid(code::OUT_OF_RANGE, at(), "not a finite 32-bit float"));
        }
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(raw.get().as_bytes());
    }
    out.push(b']');
    Ok(())
}

/// A string, number, boolean or array of strings.
pub fn put_value(out: &mut Vec<u8>, raw: &RawValue, field: &str, limits: &Limits) -> Result<()> {
    match kind(raw) {
        Kind::Text => put_text(out, raw, field, limits.attribute_value_chars_max),
        Kind::Number => put_number(out, raw, field, f64::NEG_INFINITY),
        Kind::Bool => put_bool(out, raw, field),
        Kind::Array => put_texts(out, raw, field, limits.attribute_list_max, limits.label_chars_max),
        _ => Err(wrong_type(field, "a string, number, boolean or array of strings", raw)),
    }
}

/// A map of names to values with its names checked; values are checked when they are written.
pub fn read_map<'a>(raw: &'a RawValue, field: &str, limits: &Limits) -> Result<Map<'a>> {
    let mut map = Map::new();
    for (name, value) in members(raw, field)? {
        if name.is_empty() {
            return Err(Error::invalid(code::MISSING_FIELD, field, "an empty name"));
        }
        if name.chars().count() > limits.attribute_name_chars_max {
            let max = limits.attribute_name_chars_max;
            return Err(Error::invalid(code::TOO_LONG, field, format!("a name longer than {max} characters")));
        }
        map.insert(name, value);
    }
    Ok(map)
}

/// Writes the map in the order of its names; nulls only if `nulls`, else they are left out.
pub fn put_map(out: &mut Vec<u8>, map: &Map<'_>, field: &str, max: usize, nulls: bool, limits: &Limits) -> Result<()> {
    out.push(b'{');
    let mut count = 0;
    for (name, raw) in map {
        if kind(raw) == Kind::Null && !nulls {
            continue;
        }
        if count > 0 {
            out.push(b',');
        }
        count += 1;
        put_json_text(out, name);
        out.push(b':');
        if kind(raw) == Kind::Null {
            out.extend_from_slice(b"null");
        } else {
            put_value(out, raw, &format!("{field}.{}", shown(name)), limits)?;
        }
    }
    if count > max {
        return Err(Error::invalid(code::TOO_MANY_PROPS, field, format!("more than {max} entries")));
    }
    out.push(b'}');
    Ok(())
}
