//! A request body as its elements: one object, an array, an object around an array, or a line each.
//!
//! Invariant: either every element of a readable body is handed out under its index, or the whole body is refused.

use super::nearest::shown;
use super::values::{self, Kind};
use super::{code, Limits};
use crate::error::{Error, Result};
use serde_json::value::RawValue;

/// Deeper than this is refused as malformed: the text of a rejected element is read again by others.
const DEPTH_MAX: usize = 128;

/// One element that was read and refused; its neighbours are not touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub index: usize,
    /// The element's own id, as far as it has a usable one.
    pub id: Option<String>,
    pub code: &'static str,
    pub field: String,
    /// Names the field too.
    pub message: String,
    /// The element as it was received, JSON text.
    pub payload: Vec<u8>,
}

/// `envelope` is the key of the array when the body is an object around it.
///
/// Errors: `malformed_body`; `body_too_large` for more than `batch_max` elements; `unknown_field` beside the array.
pub fn elements<'a>(body: &'a [u8], envelope: &str, ndjson: bool, limits: &Limits) -> Result<Vec<&'a RawValue>> {
    let list = if ndjson { lines(body)? } else { document(body, envelope)? };
    if list.len() > limits.batch_max {
        let message = format!("{} {envelope} in one body, at most {}", list.len(), limits.batch_max);
        return Err(Error::Malformed { code: code::BODY_TOO_LARGE, message });
    }
    Ok(list)
}

fn lines(body: &[u8]) -> Result<Vec<&RawValue>> {
    let text = std::str::from_utf8(body).map_err(|e| Error::malformed(e.to_string()))?;
    let mut list = Vec::new();
    for (i, line) in text.split('\n').enumerate() {
        let line = line.trim_matches([' ', '\t', '\r']);
        if !line.is_empty() {
            list.push(serde_json::from_str(line).map_err(|e| Error::malformed(format!("line {}: {e}", i + 1)))?);
        }
    }
    if list.is_empty() {
        return Err(Error::malformed("the body is empty"));
    }
    Ok(list)
}

fn document<'a>(body: &'a [u8], envelope: &str) -> Result<Vec<&'a RawValue>> {
    let raw: &RawValue = serde_json::from_slice(body).map_err(|e| Error::malformed(e.to_string()))?;
    match values::kind(raw) {
        Kind::Array => values::elements(raw, "", ""),
        Kind::Object => {
            let Ok(members) = values::members(raw, "") else { return Ok(vec![raw]) };
            if members.iter().any(|(k, _)| k == "id") {
                return Ok(vec![raw]);
            }
            let Some((_, list)) = members.iter().rfind(|(k, _)| k == envelope) else { return Ok(vec![raw]) };
            if let Some((other, _)) = members.iter().find(|(k, _)| k != envelope) {
                let message = format!("is not a member of the envelope, which has only \"{envelope}\"");
                return Err(Error::invalid(code::UNKNOWN_FIELD, shown(other), message));
            }
            values::elements(list, "", "").map_err(|_| Error::malformed(format!("\"{envelope}\" is not an array")))
        }
        _ => Err(Error::malformed("expected an object or an array")),
    }
}

/// The refusal of one element; an error itself when the element may not even be kept.
pub fn reject(index: usize, raw: &RawValue, error: Error, limits: &Limits) -> Result<Rejected> {
    if depth(raw.get()) > DEPTH_MAX {
        return Err(Error::malformed("nested too deeply"));
    }
    let Error::Invalid { code, ref field, .. } = error else { return Err(error) };
    let id = values::members(raw, "").ok().and_then(|m| {
        let (_, id) = m.into_iter().rfind(|(k, _)| k == "id")?;
        let id = values::read_text(id, "id", limits.id_chars_max).ok()?;
        (!id.is_empty()).then(|| id.into_owned())
    });
    let payload = raw.get().as_bytes().to_vec();
    Ok(Rejected { index, id, code, field: field.clone(), message: error.to_string(), payload })
}

/// Depth of brackets outside strings, in text that is JSON.
fn depth(json: &str) -> usize {
    let (mut now, mut deepest, mut inside, mut escaped) = (0usize, 0, false, false);
    for b in json.bytes() {
        if inside {
            inside = escaped || b != b'"';
            escaped = !escaped && b == b'\\';
            continue;
        }
        match b {
            b'"' => inside = true,
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str, ndjson: bool) -> Result<Vec<&str>> {
        elements(body.as_bytes(), "items", ndjson, &Limits { batch_max: 3, ..Limits::default() })
            .map(|list| list.into_iter().map(RawValue::get).collect())
    }

    #[test]
    fn every_form_of_a_body_is_split() {
        assert_eq!(texts(r#"[{"id":"a"}, 1]"#, false).unwrap(), [r#"{"id":"a"}"#, "1"]);
        assert_eq!(texts(r#"{"items": [ {} ,{"id":"b"}]}"#, false).unwrap(), ["{}", r#"{"id":"b"}"#]);
        assert_eq!(texts(r#" {"id":"a"} "#, false).unwrap(), [r#"{"id":"a"}"#]);
        assert_eq!(texts(r#"{"id":"a","items":[]}"#, false).unwrap().len(), 1);
        assert_eq!(texts("[]", false).unwrap(), [""; 0]);
        assert_eq!(texts("{\"id\":\"a\"}\r\n\n  \n[1]\n", true).unwrap(), [r#"{"id":"a"}"#, "[1]"]);
    }

    #[test]
    fn a_body_that_cannot_be_read_is_refused_whole() {
        for body in ["", " ", "[", "{", "[1,]", "3", "\"a\"", "null", "[1] 2", r#"{"items":{}}"#] {
            assert_eq!(texts(body, false).unwrap_err().code(), "malformed_body", "{body}");
        }
        assert_eq!(
            texts("{}\n{", true).unwrap_err().to_string(),
            "line 2: EOF while parsing an object at line 1 column 1"
        );
        assert_eq!(texts(r#"{"items":[],"x":1}"#, false).unwrap_err().code(), "unknown_field");
        assert_eq!(texts("\n \n", true).unwrap_err().code(), "malformed_body");
        assert_eq!(elements(b"[\"\xff\"]", "items", false, &Limits::default()).unwrap_err().code(), "malformed_body");
        assert_eq!(elements(b"\xff", "items", true, &Limits::default()).unwrap_err().code(), "malformed_body");
        assert_eq!(texts("[1,2,3,4]", false).unwrap_err().code(), "body_too_large");
        assert_eq!(texts("1\n2\n3\n4", true).unwrap_err().code(), "body_too_large");
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        assert_eq!(depth(r#"{"a":["[[\"[[",{}]}"#), 3);
        assert_eq!(depth(r#""\\""#), 0);
        assert_eq!(depth("1"), 0);
    }
}
