//! Bodies that are damaged or mean harm: never a panic, never an event that breaks a rule.

use super::*;
use serde::de::IgnoredAny;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A seeded stream of numbers below a bound.
struct Dice {
    seed: u64,
    step: u64,
}

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.step += 1;
        (xxh3_64_with_seed(&self.step.to_le_bytes(), self.seed) % bound as u64) as usize
    }

    /// A few bytes replaced, removed, doubled or cut off.
    fn damage(&mut self, body: &[u8]) -> Vec<u8> {
        const LIKELY: &[u8] = b"\"\\{}[],:0-9.eEunt \n\r\t\0\x1f\x7f\xc0\xff\x80\xd9\xdd\xdf";
        let mut out = body.to_vec();
        for _ in 0..=self.below(4) {
            if out.is_empty() {
                break;
            }
            let at = self.below(out.len());
            match self.below(5) {
                0 => out[at] = LIKELY[self.below(LIKELY.len())],
                1 => out[at] = self.below(256) as u8,
                2 => drop(out.remove(at)),
                3 => out.insert(at, LIKELY[self.below(LIKELY.len())]),
                _ => {
                    let to = at + self.below(out.len() - at);
                    let slice = out[at..to].to_vec();
                    out.splice(at..at, slice);
                }
            }
        }
        if self.below(8) == 0 {
            out.truncate(self.below(out.len() + 1));
        }
        out
    }
}

fn sound(batch: &Batch) {
    let accepted: Vec<usize> = batch.iter().map(|(i, _)| i).collect();
    assert_eq!(accepted.len(), batch.accepted());
    let mut indices: Vec<usize> = batch.rejected.iter().map(|r| r.index).chain(accepted).collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..batch.events()).collect::<Vec<_>>());
    for (_, e) in batch.iter() {
        for id in [Some(e.event_id), Some(e.session_id), e.user_id, e.item_id, e.request_id].into_iter().flatten() {
            assert!((1..=128).contains(&id.chars().count()));
        }
        assert!(e.ts_ms > 0 && e.ts_ms <= NOW_MS + 300_000);
        assert_eq!(e.props.iter().count(), e.props.count as usize);
        assert!(!e.event_type.needs_item() || e.item_id.is_some());
    }
    for r in &batch.rejected {
        assert!(serde_json::from_slice::<IgnoredAny>(&r.payload).is_ok(), "{:?}", String::from_utf8_lossy(&r.payload));
    }
}

#[test]
fn damaged_bodies_are_refused_and_nothing_worse() {
    let lines = r#"[{"item_id":"i1","quantity":2,"price":9.50}]"#;
    let events = [
        event(json!({"user_id": "u\u{e9}\"\\", "request_id": "r", "position": 4, "props": {"a": 1.5, "b": true}})),
        event(json!({"event_type": "purchase", "item_id": null, "schema_version": 2, "props": {"items": lines}})),
    ];
    let mut dice = Dice { seed: 11, step: 0 };
    let (mut readable, mut accepted) = (0, 0);
    for round in 0..4000 {
        let bodies = forms(if round % 2 == 0 { &events } else { &events[..1] });
        for (_, media, body) in bodies {
            let damaged = dice.damage(&body);
            if let Ok(batch) = parse(&damaged, &options(media)) {
                sound(&batch);
                readable += 1;
                accepted += batch.accepted();
            }
        }
    }
    // The damage is mild enough to reach the rules and not only the syntax.
    assert!(readable > 1000 && accepted > 1000, "{readable} {accepted}");
}

#[test]
fn our_json_is_the_json_of_serde() {
    let body = json!([event(json!({"props": {"a": [1.5e3, -0, {"b": "\u{e9}\n\u{1f600}"}], "c": null}})), [], {}, "x"]);
    let body = body.to_string().replace("é", r"\u00e9").into_bytes();
    let mut dice = Dice { seed: 5, step: 0 };
    let (mut good, mut bad) = (0, 0);
    for _ in 0..20_000 {
        let Ok(text) = String::from_utf8(dice.damage(&body)) else { continue };
        let theirs = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        let mut json = json::Json::new(&text);
        let ours = syntax::Syntax::skip(&mut json).and_then(|()| syntax::Syntax::end(&mut json)).is_ok();
        assert_eq!(ours, theirs, "{text}");
        good += usize::from(ours);
        bad += usize::from(!ours);
    }
    assert!(good > 1000 && bad > 1000, "{good} {bad}");
}

#[test]
fn a_lone_surrogate_is_refused_for_its_event() {
    let body = r#"[{"event_id":"a\ud800","session_id":"s","event_type":"scroll","ts_ms":1},
                   {"event_id":"b","session_id":"s","event_type":"scroll","ts_ms":1,"props":{"\udc00":"x"}},
                   {"event_id":"c","session_id":"s","event_type":"scroll","ts_ms":1,"props":{"x":"\ud800"}},
                   {"event_id":"d","session_id":"s","event_type":"scroll","ts_ms":1}]"#;
    let batch = parse(body.as_bytes(), &options(Media::Json)).unwrap();
    let got: Vec<_> = batch.rejected.iter().map(|r| (r.code, r.message.as_str())).collect();
    assert_eq!(
        got,
        [
            ("wrong_type", "event_id: is not Unicode text"),
            ("wrong_type", "props: every key must be a string"),
            ("wrong_type", "props.x: must be a string, a number or a boolean"),
        ]
    );
    assert_eq!(batch.iter().next().unwrap().1.event_id, "d");
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    let body = r#"{"event_id":"a","event_id":"b","session_id":"s","event_type":"scroll","ts_ms":0,"ts_ms":9,
                   "props":{"x":"1"},"props":{"y":"1","z":"3","y":"2"}}"#;
    let batch = parse(body.as_bytes(), &options(Media::Json)).unwrap();
    let (_, e) = batch.iter().next().unwrap();
    assert_eq!((e.event_id, e.ts_ms), ("b", 9));
    assert_eq!(e.props.iter().collect::<Vec<_>>(), [("y", "2"), ("z", "3")]);
}

#[test]
fn exact_number_texts_are_kept() {
    let body = r#"{"event_id":"a","session_id":"s","event_type":"scroll","ts_ms":9,
                   "props":{"a":1.50,"b":1e2,"c":-0,"d":123456789012345678901234567890,"e":false,"f":"\u00e9"}}"#;
    let batch = parse(body.as_bytes(), &options(Media::Json)).unwrap();
    let (_, e) = batch.iter().next().unwrap();
    let values: Vec<_> = e.props.iter().map(|(_, v)| v).collect();
    assert_eq!(values, ["1.50", "1e2", "-0", "123456789012345678901234567890", "false", "é"]);
}

#[test]
fn nesting_and_crowds_cost_no_stack_and_no_time() {
    let deep = format!("[{{\"props\":{}", "[".repeat(900_000));
    assert_eq!(parse(deep.as_bytes(), &options(Media::Json)).unwrap_err().code(), "malformed_body");
    assert_eq!(parse(&vec![0x91; 1 << 20], &options(Media::Msgpack)).unwrap_err().code(), "malformed_body");
    let nested = format!(r#"{{"props":{{"a":{}1{}}}}}"#, "[".repeat(100), "]".repeat(100));
    assert_eq!(parse(nested.as_bytes(), &options(Media::Json)).unwrap().rejected[0].code, "missing_field");
    let crowd: Vec<String> = (0..50_000).map(|i| format!("\"k{i}\":1")).collect();
    let mut body = event(json!({})).to_string();
    body.truncate(body.len() - 1);
    body.push_str(&format!(",\"props\":{{{}}}}}", crowd.join(",")));
    assert_eq!(parse(body.as_bytes(), &options(Media::Json)).unwrap().rejected[0].code, "too_many_props");
}

#[test]
fn msgpack_that_json_cannot_say_is_refused_for_its_event() {
    let with = |key: &[u8], value: &[u8]| {
        let base = event(json!({}));
        let mut body = msgpack(&base);
        body[0] += 1;
        body.extend_from_slice(key);
        body.extend_from_slice(value);
        let batch = parse(&body, &options(Media::Msgpack)).unwrap();
        sound(&batch);
        (batch.rejected[0].code, batch.rejected[0].message.clone())
    };
    let user = b"\xa7user_id";
    assert_eq!(with(user, b"\xa1\xff"), ("wrong_type", "user_id: is not Unicode text".into()));
    assert_eq!(with(user, b"\xc4\x01u"), ("wrong_type", "user_id: must be a string".into()));
    assert_eq!(
        with(b"\x07", b"\x01"),
        ("unknown_field", "\"a key that is not text\": is not a field of an event".into())
    );
    assert_eq!(with(b"\xa5props", b"\x81\x07\x01"), ("wrong_type", "props: every key must be a string".into()));
    let nan = b"\x81\xa1a\xcb\x7f\xf8\0\0\0\0\0\0";
    assert_eq!(with(b"\xa5props", nan), ("wrong_type", "props.a: must be a string, a number or a boolean".into()));
}
