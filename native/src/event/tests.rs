//! The rules of the contract, each in every form of a body, and bodies that mean harm.

use super::*;
use crate::error::Error;
use crate::record::{Event, EventType};
use serde_json::{json, Value};

mod forms;
mod hostile;
mod rules;
mod speed;

const NOW_MS: i64 = 1_700_000_000_000;

pub(super) fn options(media: Media) -> Options<'static> {
    Options {
        media,
        limits: Limits::default(),
        custom_types: &[],
        received_ms: NOW_MS,
        wall_now_ms: NOW_MS,
        trusted: false,
        purchase_requires_trusted: false,
    }
}

/// The smallest valid event with the fields of `changes` put in; a null change takes the field out.
pub(super) fn event(changes: Value) -> Value {
    let mut event =
        json!({"event_id": "e1", "session_id": "s1", "event_type": "view", "item_id": "i1", "ts_ms": NOW_MS});
    let fields = event.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => fields.remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
    event
}

pub(super) fn msgpack(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put_msgpack(&mut out, value);
    out
}

fn put_msgpack(out: &mut Vec<u8>, value: &Value) {
    use rmp::encode as put;
    match value {
        Value::Null => put::write_nil(out).unwrap(),
        Value::Bool(b) => put::write_bool(out, *b).unwrap(),
        Value::Number(n) => match (n.as_u64(), n.as_i64()) {
            (Some(v), _) => drop(put::write_uint(out, v).unwrap()),
            (_, Some(v)) => drop(put::write_sint(out, v).unwrap()),
            _ => put::write_f64(out, n.as_f64().unwrap()).unwrap(),
        },
        Value::String(s) => put::write_str(out, s).unwrap(),
        Value::Array(items) => {
            put::write_array_len(out, items.len() as u32).unwrap();
            items.iter().for_each(|item| put_msgpack(out, item));
        }
        Value::Object(members) => {
            put::write_map_len(out, members.len() as u32).unwrap();
            for (key, value) in members {
                put::write_str(out, key).unwrap();
                put_msgpack(out, value);
            }
        }
    }
}

/// Every form of a body that carries these events and nothing else.
pub(super) fn forms(events: &[Value]) -> Vec<(&'static str, Media, Vec<u8>)> {
    let array = Value::Array(events.to_vec());
    let envelope = json!({ "events": events });
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let mut forms = vec![
        ("array", Media::Json, array.to_string().into_bytes()),
        ("envelope", Media::Json, envelope.to_string().into_bytes()),
        ("lines", Media::Ndjson, lines.join("\n").into_bytes()),
        ("msgpack array", Media::Msgpack, msgpack(&array)),
        ("msgpack envelope", Media::Msgpack, msgpack(&envelope)),
    ];
    if let [one] = events {
        forms.push(("object", Media::Json, one.to_string().into_bytes()));
        forms.push(("msgpack object", Media::Msgpack, msgpack(one)));
    }
    forms
}
