//! From JSON to a filter, with the path of whatever is wrong.

use super::{Field, Filter, Node, Scalar, Test, Values, FIELDS};
use crate::error::{Error, Result};
use crate::items::nearest::{hint, shown};
use crate::items::{categories, code, time};
use serde_json::{Map, Value};
use std::cmp::Ordering;

const DEPTH_MAX: usize = 16;
const NODES_MAX: usize = 256;
const VALUES_MAX: usize = 1000;

const OPS: [&str; 10] = ["eq", "ne", "in", "not_in", "lt", "lte", "gt", "gte", "contains", "exists"];
const KEYS: [&str; 6] = ["and", "or", "not", "field", "op", "value"];

fn bad<T>(path: &str, message: impl Into<String>) -> Result<T> {
    Err(Error::invalid(code::BAD_FILTER, path, message))
}

impl Filter {
    /// Errors: `bad_filter` whose `field` is the path of the bad node, as `filter.and[1].op`.
    pub fn parse(json: &[u8]) -> Result<Filter> {
        let Ok(value) = serde_json::from_slice::<Value>(json) else {
            return bad("filter", "not JSON that can be read");
        };
        let mut nodes = 0;
        Ok(Filter { root: node(&value, "filter", 1, &mut nodes)? })
    }
}

fn node(value: &Value, path: &str, depth: usize, nodes: &mut usize) -> Result<Node> {
    let Value::Object(map) = value else { return bad(path, "expected an object") };
    *nodes += 1;
    if *nodes > NODES_MAX {
        return bad(path, format!("more than {NODES_MAX} nodes"));
    }
    if depth > DEPTH_MAX {
        return bad(path, format!("deeper than {DEPTH_MAX} levels"));
    }
    if let Some(key) = map.keys().find(|k| !KEYS.contains(&k.as_str())) {
        return bad(&format!("{path}.{}", shown(key)), format!("not a part of a filter{}", hint(key, &KEYS)));
    }
    if map.contains_key("field") {
        return test(map, path);
    }
    let mut parts = map.iter();
    match (parts.next(), parts.next()) {
        (Some((key, inner)), None) => match key.as_str() {
            "and" => Ok(Node::And(list(inner, &format!("{path}.and"), depth, nodes)?)),
            "or" => Ok(Node::Or(list(inner, &format!("{path}.or"), depth, nodes)?)),
            "not" => Ok(Node::Not(Box::new(node(inner, &format!("{path}.not"), depth + 1, nodes)?))),
            _ => bad(&format!("{path}.field"), "missing"),
        },
        _ => bad(path, "expected exactly one of and, or, not, or a field with an op"),
    }
}

fn list(value: &Value, path: &str, depth: usize, nodes: &mut usize) -> Result<Vec<Node>> {
    let Value::Array(list) = value else { return bad(path, "expected an array of filters") };
    list.iter().enumerate().map(|(i, inner)| node(inner, &format!("{path}[{i}]"), depth + 1, nodes)).collect()
}

fn test(map: &Map<String, Value>, path: &str) -> Result<Node> {
    if let Some(other) = ["and", "or", "not"].iter().find(|k| map.contains_key(**k)) {
        return bad(path, format!("a field and \"{other}\" in one node"));
    }
    let field = field(map.get("field"), &format!("{path}.field"))?;
    let at = format!("{path}.op");
    let op = match map.get("op") {
        Some(Value::String(op)) if OPS.contains(&op.as_str()) => op.as_str(),
        Some(Value::String(op)) => return bad(&at, format!("unknown op \"{}\"{}", shown(op), hint(op, &OPS))),
        Some(_) => return bad(&at, "expected a string"),
        None => return bad(&at, "missing"),
    };
    let at = format!("{path}.value");
    let test = match (op, map.get("value")) {
        ("exists", None) => Test::Exists(true),
        ("exists", Some(Value::Bool(wanted))) => Test::Exists(*wanted),
        ("exists", Some(_)) => return bad(&at, "expected true or false"),
        (_, None) => return bad(&at, "missing"),
        ("eq" | "ne", Some(value)) => {
            Test::Equals { values: Values::One(scalar(&field, value, &at)?), wanted: op == "eq" }
        }
        ("in" | "not_in", Some(value)) => Test::Equals { values: many(&field, value, &at)?, wanted: op == "in" },
        ("contains", Some(Value::String(text))) => {
            let exact = if field == Field::Categories { categories::normal(text) } else { text.clone() };
            Test::Contains { exact, lower: text.to_lowercase() }
        }
        ("contains", Some(_)) => return bad(&at, "expected a string"),
        (_, Some(value)) => {
            let than = scalar(&field, value, &at)?;
            if matches!(than, Scalar::Bool(_)) {
                return bad(&at, "expected a number or a string");
            }
            let order = if op.starts_with("lt") { Ordering::Less } else { Ordering::Greater };
            Test::Compares { order, or_equal: op.ends_with('e'), than }
        }
    };
    Ok(Node::Test { field, test })
}

fn field(value: Option<&Value>, path: &str) -> Result<Field> {
    let Some(Value::String(name)) = value else { return bad(path, "expected the name of a field") };
    if let Some(attribute) = name.strip_prefix("attributes.") {
        if !attribute.is_empty() {
            return Ok(Field::Attribute(attribute.to_owned()));
        }
    }
    match FIELDS.iter().find(|(n, _)| n == name) {
        Some((_, field)) => Ok(field.clone()),
        None => {
            let names: Vec<&str> = FIELDS.iter().map(|(n, _)| *n).chain(["attributes.*"]).collect();
            bad(path, format!("unknown field \"{}\"{}", shown(name), hint(name, &names)))
        }
    }
}

/// A value in the form of its field: a category path trimmed, a time in milliseconds.
fn scalar(field: &Field, value: &Value, path: &str) -> Result<Scalar> {
    match value {
        Value::String(text) => match field {
            Field::Categories => Ok(Scalar::Text(categories::normal(text))),
            Field::CreatedAt => match time::parse_rfc3339(text) {
                Some(ms) => Ok(Scalar::Number(ms as f64)),
                None => bad(path, "expected milliseconds since 1970 or an RFC 3339 time"),
            },
            _ => Ok(Scalar::Text(text.clone())),
        },
        // Adding zero makes a negative zero a plain one, so that sets find it.
        Value::Number(n) => Ok(Scalar::Number(n.as_f64().unwrap_or(f64::MAX) + 0.0)),
        Value::Bool(b) => Ok(Scalar::Bool(*b)),
        Value::Null => bad(path, "null compares with nothing; use the op exists"),
        _ => bad(path, "expected a string, number or boolean"),
    }
}

fn many(field: &Field, value: &Value, path: &str) -> Result<Values> {
    let Value::Array(list) = value else { return bad(path, "expected an array") };
    if list.len() > VALUES_MAX {
        return bad(path, format!("more than {VALUES_MAX} values"));
    }
    let (mut texts, mut numbers, mut bools) = (rustc_hash::FxHashSet::default(), Vec::new(), [false; 2]);
    for (i, value) in list.iter().enumerate() {
        match scalar(field, value, &format!("{path}[{i}]"))? {
            Scalar::Text(text) => {
                texts.insert(text);
            }
            Scalar::Number(n) => numbers.push(n),
            Scalar::Bool(b) => bools[usize::from(b)] = true,
        }
    }
    numbers.sort_unstable_by(f64::total_cmp);
    Ok(Values::Many { texts, numbers, bools })
}
