//! The rules of one event (CONTRACT section 1), whatever syntax it came in.
//!
//! The first broken rule names the refusal, in a fixed order: version, unknown fields, then the fields in the order of
//! the contract's table. An empty string is a missing field. Not here: duplicates, users, consent.

use super::aliases;
use super::intake::Draft;
use super::purchase::purchase_items;
use super::schema::{code, Field, SCHEMA_VERSION};
use super::syntax::Value;
use super::{Limits, Options};
use crate::codec::put_str;
use crate::record::{Event, EventType, Props};
use std::borrow::Cow;

/// Input that a message repeats is cut to this many characters.
const QUOTED_CHARS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: &'static str,
    pub message: String,
}

type Checked<T> = Result<T, Refusal>;

#[cold]
fn refuse<T>(code: &'static str, field: Field, why: &str) -> Checked<T> {
    Err(Refusal { code, message: format!("{}: {why}", field.name()) })
}

/// An integer as JSON writes it; `Huge` does not fit 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    Fits(i64),
    Huge,
}

/// `None` when the value is no integer: 1.0 and 1e3 are not, and neither is true.
pub fn whole(value: &Value<'_>) -> Option<Whole> {
    match value {
        Value::Int(v) => Some(Whole::Fits(*v)),
        Value::Number(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let integral = digits.bytes().all(|b| b.is_ascii_digit());
            integral.then(|| text.parse().map_or(Whole::Huge, Whole::Fits))
        }
        _ => None,
    }
}

/// Checks a draft. The event borrows from the draft and from `props`, which is overwritten with its encoded props.
pub fn validate<'d>(
    draft: &'d Draft<'_>,
    opt: &Options<'_>,
    shift_ms: i64,
    props: &'d mut Vec<u8>,
) -> Checked<Event<'d>> {
    let ids = opt.limits.id_chars_max;
    known_fields(draft)?;
    let event_id = required(draft, Field::EventId, ids)?;
    let user_id = text(draft, Field::UserId, ids)?;
    let session_id = required(draft, Field::SessionId, ids)?;
    let (event_type, custom) = event_type(draft, opt.custom_types)?;
    let item_id = text(draft, Field::ItemId, ids)?;
    if item_id.is_none() && event_type.needs_item() {
        return refuse(code::ITEM_ID_REQUIRED, Field::ItemId, "is required for this event type");
    }
    let ts_ms = ts_ms(draft, opt, shift_ms)?;
    let count = encode_props(draft, &opt.limits, event_type, props)?;
    let request_id = text(draft, Field::RequestId, ids)?;
    let position = position(draft, opt.limits.position_max)?;
    let moves_money = matches!(event_type, EventType::Purchase | EventType::Refund);
    if moves_money && opt.purchase_requires_trusted && !opt.trusted {
        return refuse(code::FORBIDDEN, Field::EventType, "purchases and refunds are only taken with a server key");
    }
    Ok(Event {
        event_id,
        user_id,
        session_id,
        event_type,
        custom,
        item_id,
        ts_ms,
        received_ms: opt.received_ms,
        request_id,
        position,
        linked_user: None,
        trusted: opt.trusted,
        props: Props { count, bytes: props },
    })
}

/// An event that states version 1 has the fields of version 1 only; one that states none has all.
fn known_fields(draft: &Draft<'_>) -> Checked<()> {
    let version = match integer(draft, Field::SchemaVersion)? {
        None => SCHEMA_VERSION,
        Some(Whole::Fits(v @ (1 | SCHEMA_VERSION))) => v,
        Some(_) => return refuse(code::UNSUPPORTED_SCHEMA_VERSION, Field::SchemaVersion, "must be 1 or 2"),
    };
    if let Some(name) = &draft.unknown {
        let message = format!("{}: is not a field of an event", quoted(name));
        return Err(Refusal { code: code::UNKNOWN_FIELD, message });
    }
    for field in [Field::RequestId, Field::Position] {
        if field.since() > version && !is_absent(draft.value(field)) {
            return refuse(code::UNKNOWN_FIELD, field, "is not a field of schema version 1");
        }
    }
    Ok(())
}

#[inline]
fn text<'d>(draft: &'d Draft<'_>, field: Field, chars_max: usize) -> Checked<Option<&'d str>> {
    match draft.value(field) {
        Value::Null => Ok(None),
        Value::Text(s) if s.is_empty() => Ok(None),
        Value::Text(s) if longer(s, chars_max) => {
            refuse(code::TOO_LONG, field, &format!("is longer than {chars_max} characters"))
        }
        Value::Text(s) => Ok(Some(s)),
        Value::BadText => refuse(code::WRONG_TYPE, field, "is not Unicode text"),
        _ => refuse(code::WRONG_TYPE, field, "must be a string"),
    }
}

#[inline]
fn required<'d>(draft: &'d Draft<'_>, field: Field, chars_max: usize) -> Checked<&'d str> {
    match text(draft, field, chars_max)? {
        Some(s) => Ok(s),
        None => refuse(code::MISSING_FIELD, field, "is required"),
    }
}

fn integer(draft: &Draft<'_>, field: Field) -> Checked<Option<Whole>> {
    match draft.value(field) {
        Value::Null => Ok(None),
        Value::Text(s) if s.is_empty() => Ok(None),
        value => match whole(value) {
            Some(v) => Ok(Some(v)),
            None => refuse(code::WRONG_TYPE, field, "must be an integer"),
        },
    }
}

/// A type of the contract, else one a team declared, else an alias.
fn event_type<'d>(draft: &'d Draft<'_>, custom_types: &[String]) -> Checked<(EventType, Option<&'d str>)> {
    let name = required(draft, Field::EventType, usize::MAX)?;
    if let Some(t) = EventType::of(name) {
        return Ok((t, None));
    }
    if custom_types.iter().any(|own| own == name) {
        return Ok((EventType::Custom, Some(name)));
    }
    match aliases::event_type(name) {
        Some(t) => Ok((t, None)),
        None => refuse(
            code::UNKNOWN_EVENT_TYPE,
            Field::EventType,
            &format!("{} is neither a type of the contract nor declared in the config", quoted(name)),
        ),
    }
}

/// The event time, corrected by `shift_ms`.
fn ts_ms(draft: &Draft<'_>, opt: &Options<'_>, shift_ms: i64) -> Checked<i64> {
    let sent = match integer(draft, Field::TsMs)? {
        None => return refuse(code::MISSING_FIELD, Field::TsMs, "is required"),
        Some(Whole::Fits(v)) if v > 0 => v,
        Some(_) => return refuse(code::BAD_TS, Field::TsMs, "must be ms since 1970, more than 0 and within 64 bits"),
    };
    let corrected = sent.saturating_add(shift_ms);
    if corrected <= 0 {
        return refuse(code::BAD_TS, Field::TsMs, "is not after 1970 when corrected by sent_at");
    }
    let ahead_max = opt.limits.future_ms_max;
    if corrected > opt.wall_now_ms.saturating_add(ahead_max) {
        let why = format!("is more than {} s after its receipt", ahead_max / 1000);
        return refuse(code::TS_IN_FUTURE, Field::TsMs, &why);
    }
    Ok(corrected)
}

fn position(draft: &Draft<'_>, position_max: i64) -> Checked<Option<u32>> {
    let fits = |v: i64| u32::try_from(v).ok().filter(|_| v <= position_max);
    match integer(draft, Field::Position)? {
        None => Ok(None),
        Some(Whole::Fits(v)) if fits(v).is_some() => Ok(fits(v)),
        Some(_) => refuse(code::WRONG_TYPE, Field::Position, &format!("must be an integer from 0 to {position_max}")),
    }
}

/// Writes the props in their order and returns their number.
fn encode_props(draft: &Draft<'_>, limits: &Limits, event_type: EventType, out: &mut Vec<u8>) -> Checked<u32> {
    out.clear();
    if !is_absent(draft.value(Field::Props)) {
        return refuse(code::WRONG_TYPE, Field::Props, "must be an object");
    }
    if draft.too_many_props {
        return refuse(code::TOO_MANY_PROPS, Field::Props, &format!("has more than {} members", limits.props_max));
    }
    if draft.prop_key_not_text {
        return refuse(code::WRONG_TYPE, Field::Props, "every key must be a string");
    }
    for (key, value) in &draft.props {
        if longer(key, limits.prop_key_chars_max) {
            let why = format!("a key is longer than {} characters: {}", limits.prop_key_chars_max, quoted(key));
            return refuse(code::TOO_LONG, Field::Props, &why);
        }
        let is_lines = key == "items" && matches!(event_type, EventType::Purchase | EventType::Refund);
        let chars_max = if is_lines { limits.purchase_items_chars_max } else { limits.prop_value_chars_max };
        let Some(text) = prop_text(value) else {
            return prop_refused(code::WRONG_TYPE, key, "must be a string, a number or a boolean");
        };
        if longer(&text, chars_max) {
            return prop_refused(code::TOO_LONG, key, &format!("is longer than {chars_max} characters"));
        }
        if is_lines {
            purchase_items(&text).map_err(|e| Refusal { code: code::WRONG_TYPE, message: e.to_string() })?;
        }
        put_str(out, key);
        put_str(out, &text);
    }
    Ok(draft.props.len() as u32)
}

/// Numbers and booleans are kept as their JSON text.
#[inline]
fn prop_text<'d>(value: &'d Value<'_>) -> Option<Cow<'d, str>> {
    match value {
        Value::Text(s) | Value::Number(s) => Some(Cow::Borrowed(s)),
        Value::Int(v) => Some(Cow::Owned(v.to_string())),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Null | Value::BadText | Value::Other => None,
    }
}

fn is_absent(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Text(s) => s.is_empty(),
        _ => false,
    }
}

#[cold]
fn prop_refused<T>(code: &'static str, key: &str, why: &str) -> Checked<T> {
    let key: String = key.chars().take(QUOTED_CHARS_MAX).collect();
    Err(Refusal { code, message: format!("props.{key}: {why}") })
}

/// Longer in characters; the bytes answer for most strings.
#[inline]
fn longer(s: &str, chars_max: usize) -> bool {
    s.len() > chars_max && s.chars().count() > chars_max
}

fn quoted(s: &str) -> String {
    let mut cut: String = s.chars().take(QUOTED_CHARS_MAX).collect();
    if cut.len() < s.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}
