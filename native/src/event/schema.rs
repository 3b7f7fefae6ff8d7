//! The table of an event: its fields and the codes of a refusal. The only place that spells them.
//!
//! A field that is not listed here is refused, so adding one is adding a row. The rules of each field are in `validate`.

/// The version that clients should send; version 1 lacks the fields that `Field::since` says.
pub const SCHEMA_VERSION: i64 = 2;

#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    EventId,
    UserId,
    SessionId,
    EventType,
    ItemId,
    TsMs,
    Props,
    RequestId,
    Position,
    SchemaVersion,
}

pub const FIELD_COUNT: usize = 10;

pub const FIELDS: [(Field, &str); FIELD_COUNT] = [
    (Field::EventId, "event_id"),
    (Field::UserId, "user_id"),
    (Field::SessionId, "session_id"),
    (Field::EventType, "event_type"),
    (Field::ItemId, "item_id"),
    (Field::TsMs, "ts_ms"),
    (Field::Props, "props"),
    (Field::RequestId, "request_id"),
    (Field::Position, "position"),
    (Field::SchemaVersion, "schema_version"),
];

impl Field {
    /// Spelled out: a search of the table compares each key with a call.
    #[inline]
    pub fn of(name: &str) -> Option<Field> {
        Some(match name {
            "event_id" => Field::EventId,
            "user_id" => Field::UserId,
            "session_id" => Field::SessionId,
            "event_type" => Field::EventType,
            "item_id" => Field::ItemId,
            "ts_ms" => Field::TsMs,
            "props" => Field::Props,
            "request_id" => Field::RequestId,
            "position" => Field::Position,
            "schema_version" => Field::SchemaVersion,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        FIELDS[self as usize].1
    }

    /// First schema version that has the field.
    pub fn since(self) -> i64 {
        match self {
            Field::RequestId | Field::Position => 2,
            _ => 1,
        }
    }
}

/// Codes for one event (CONTRACT section 1).
pub mod code {
    pub const MISSING_FIELD: &str = "missing_field";
    pub const WRONG_TYPE: &str = "wrong_type";
    pub const TOO_LONG: &str = "too_long";
    pub const UNKNOWN_EVENT_TYPE: &str = "unknown_event_type";
    pub const ITEM_ID_REQUIRED: &str = "item_id_required";
    pub const BAD_TS: &str = "bad_ts";
    pub const TS_IN_FUTURE: &str = "ts_in_future";
    pub const UNSUPPORTED_SCHEMA_VERSION: &str = "unsupported_schema_version";
    pub const TOO_MANY_PROPS: &str = "too_many_props";
    pub const UNKNOWN_FIELD: &str = "unknown_field";
    /// A purchase without a server key where the config asks for one.
    pub const FORBIDDEN: &str = "forbidden";
    /// Whole request: more events than a body may carry.
    pub const BODY_TOO_LARGE: &str = "body_too_large";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_table_is_found_by_its_name() {
        for (at, (field, name)) in FIELDS.into_iter().enumerate() {
            assert_eq!((Field::of(name), field as usize, field.name()), (Some(field), at, name));
        }
        assert_eq!(Field::of("event_ids"), None);
    }
}
