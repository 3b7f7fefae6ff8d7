//! One refusal per rule, and what the rules let through.

use super::*;

/// The refusal of an event, which must be the same in every form.
fn refusal(opt: &Options<'_>, event: &Value) -> (&'static str, String) {
    let mut seen = Vec::new();
    for (form, media, body) in forms(std::slice::from_ref(event)) {
        let batch = parse(&body, &Options { media, ..opt.clone() }).unwrap_or_else(|e| panic!("{form}: {e}"));
        assert_eq!((batch.accepted(), batch.rejected.len()), (0, 1), "{form}: {event}");
        let r = &batch.rejected[0];
        assert_eq!(r.index, 0);
        assert_eq!(serde_json::from_slice::<Value>(&r.payload).unwrap(), *event, "{form}");
        seen.push((r.code, r.message.clone()));
    }
    assert!(seen.windows(2).all(|w| w[0] == w[1]), "{seen:?}");
    seen.swap_remove(0)
}

/// What `check` says of the accepted event, in every form.
fn accepted(opt: &Options<'_>, event: &Value, check: impl Fn(&Event<'_>)) {
    for (form, media, body) in forms(std::slice::from_ref(event)) {
        let batch = parse(&body, &Options { media, ..opt.clone() }).unwrap_or_else(|e| panic!("{form}: {e}"));
        assert_eq!(batch.rejected, [], "{form}: {event}");
        let (index, event) = batch.iter().next().unwrap();
        assert_eq!(index, 0);
        check(&event);
    }
}

fn each_is_refused(cases: &[(Value, &'static str, &str)]) {
    for (changes, code, message) in cases {
        assert_eq!(refusal(&options(Media::Json), &event(changes.clone())), (*code, message.to_string()), "{changes}");
    }
}

#[test]
fn ids_types_and_times_are_refused_with_their_code() {
    let long = "é".repeat(129);
    each_is_refused(&[
        (json!({"event_id": null}), "missing_field", "event_id: is required"),
        (json!({"event_id": ""}), "missing_field", "event_id: is required"),
        (json!({"event_id": 7}), "wrong_type", "event_id: must be a string"),
        (json!({"event_id": long}), "too_long", "event_id: is longer than 128 characters"),
        (json!({"user_id": 7}), "wrong_type", "user_id: must be a string"),
        (json!({"user_id": long}), "too_long", "user_id: is longer than 128 characters"),
        (json!({"session_id": null}), "missing_field", "session_id: is required"),
        (json!({"session_id": ["s"]}), "wrong_type", "session_id: must be a string"),
        (json!({"session_id": long}), "too_long", "session_id: is longer than 128 characters"),
        (json!({"event_type": null}), "missing_field", "event_type: is required"),
        (json!({"event_type": {}}), "wrong_type", "event_type: must be a string"),
        (
            json!({"event_type": "teleport"}),
            "unknown_event_type",
            "event_type: \"teleport\" is neither a type of the contract nor declared in the config",
        ),
        (json!({"item_id": null}), "item_id_required", "item_id: is required for this event type"),
        (json!({"item_id": ""}), "item_id_required", "item_id: is required for this event type"),
        (json!({"item_id": true}), "wrong_type", "item_id: must be a string"),
        (json!({"item_id": long}), "too_long", "item_id: is longer than 128 characters"),
        (json!({"ts_ms": null}), "missing_field", "ts_ms: is required"),
        (json!({"ts_ms": "1700000000000"}), "wrong_type", "ts_ms: must be an integer"),
        (json!({"ts_ms": 1.0}), "wrong_type", "ts_ms: must be an integer"),
        (json!({"ts_ms": true}), "wrong_type", "ts_ms: must be an integer"),
        (json!({"ts_ms": 0}), "bad_ts", "ts_ms: must be ms since 1970, more than 0 and within 64 bits"),
        (json!({"ts_ms": -5}), "bad_ts", "ts_ms: must be ms since 1970, more than 0 and within 64 bits"),
        (json!({"ts_ms": u64::MAX}), "bad_ts", "ts_ms: must be ms since 1970, more than 0 and within 64 bits"),
        (json!({"ts_ms": NOW_MS + 300_001}), "ts_in_future", "ts_ms: is more than 300 s after its receipt"),
        (json!({"ts_ms": i64::MAX}), "ts_in_future", "ts_ms: is more than 300 s after its receipt"),
    ]);
}

#[test]
fn props_decisions_and_versions_are_refused_with_their_code() {
    let long = "é".repeat(129);
    let many: serde_json::Map<String, Value> = (0..65).map(|i| (format!("p{i}"), json!("v"))).collect();
    each_is_refused(&[
        (json!({"props": [1]}), "wrong_type", "props: must be an object"),
        (json!({"props": "x"}), "wrong_type", "props: must be an object"),
        (json!({"props": {"a": {}}}), "wrong_type", "props.a: must be a string, a number or a boolean"),
        (json!({"props": {"a": []}}), "wrong_type", "props.a: must be a string, a number or a boolean"),
        (json!({"props": {"a": null}}), "wrong_type", "props.a: must be a string, a number or a boolean"),
        (json!({"props": {"a": "é".repeat(4097)}}), "too_long", "props.a: is longer than 4096 characters"),
        (json!({ "props": many }), "too_many_props", "props: has more than 64 members"),
        (json!({"request_id": 1}), "wrong_type", "request_id: must be a string"),
        (json!({"request_id": long}), "too_long", "request_id: is longer than 128 characters"),
        (json!({"position": -1}), "wrong_type", "position: must be an integer from 0 to 1000000"),
        (json!({"position": 1_000_001}), "wrong_type", "position: must be an integer from 0 to 1000000"),
        (json!({"position": "3"}), "wrong_type", "position: must be an integer"),
        (json!({"schema_version": 3}), "unsupported_schema_version", "schema_version: must be 1 or 2"),
        (json!({"schema_version": 0}), "unsupported_schema_version", "schema_version: must be 1 or 2"),
        (json!({"schema_version": 2.0}), "wrong_type", "schema_version: must be an integer"),
        (json!({"schema_version": "2"}), "wrong_type", "schema_version: must be an integer"),
        (
            json!({"schema_version": 1, "request_id": "r"}),
            "unknown_field",
            "request_id: is not a field of schema version 1",
        ),
        (json!({"schema_version": 1, "position": 0}), "unknown_field", "position: is not a field of schema version 1"),
        (json!({"colour": "red"}), "unknown_field", "\"colour\": is not a field of an event"),
        (json!({"received_ms": 1}), "unknown_field", "\"received_ms\": is not a field of an event"),
        (
            json!({"event_type": "purchase", "props": {"items": "[{}]"}}),
            "wrong_type",
            "props.items: line 0: item_id must be a string of 1 to 128 characters",
        ),
    ]);
    let key = json!({"props": {"k".repeat(129): "v"}});
    assert_eq!(refusal(&options(Media::Json), &event(key)).0, "too_long");
}

#[test]
fn what_is_no_object_is_refused_under_its_index() {
    for not_an_object in [json!(1), json!("e"), json!([]), json!(null)] {
        for (form, media, body) in forms(&[not_an_object.clone(), event(json!({}))]) {
            let batch = parse(&body, &options(media)).unwrap();
            assert_eq!((batch.rejected[0].code, batch.rejected[0].index), ("wrong_type", 0), "{form}");
            assert_eq!(batch.iter().map(|(index, _)| index).collect::<Vec<_>>(), [1]);
        }
    }
}

#[test]
fn every_field_arrives() {
    let mut opt = options(Media::Json);
    opt.trusted = true;
    opt.received_ms = NOW_MS + 7;
    let sent = event(json!({
        "user_id": "u1", "request_id": "r1", "position": 3, "schema_version": 2,
        "props": {"a": "x", "b": 1.5, "c": true, "d": -7, "e": ""},
    }));
    accepted(&opt, &sent, |e| {
        assert_eq!((e.event_id, e.user_id, e.session_id), ("e1", Some("u1"), "s1"));
        assert_eq!((e.event_type, e.custom, e.item_id), (EventType::View, None, Some("i1")));
        assert_eq!((e.ts_ms, e.received_ms), (NOW_MS, NOW_MS + 7));
        assert_eq!((e.request_id, e.position, e.linked_user, e.trusted), (Some("r1"), Some(3), None, true));
        let props: Vec<_> = e.props.iter().collect();
        assert_eq!(props, [("a", "x"), ("b", "1.5"), ("c", "true"), ("d", "-7"), ("e", "")]);
    });
}

#[test]
fn bounds_are_inclusive_and_count_characters() {
    let opt = options(Media::Json);
    let id = "é".repeat(128);
    let many: serde_json::Map<String, Value> = (0..64).map(|i| (format!("p{i}"), json!("é".repeat(64)))).collect();
    let sent = event(json!({
        "event_id": id, "user_id": id, "session_id": id, "item_id": id, "request_id": id,
        "position": 1_000_000, "ts_ms": NOW_MS + 300_000, "props": many,
    }));
    accepted(&opt, &sent, |e| {
        assert_eq!((e.event_id, e.position, e.props.count), (id.as_str(), Some(1_000_000), 64));
        assert_eq!(e.ts_ms, NOW_MS + 300_000);
    });
    accepted(&opt, &event(json!({"position": 0, "ts_ms": 1, "props": {"a": "é".repeat(4096)}})), |e| {
        assert_eq!((e.position, e.ts_ms, e.props.get("a").unwrap().len()), (Some(0), 1, 8192));
    });
}

#[test]
fn null_and_empty_are_absent() {
    let opt = options(Media::Json);
    let mut sent = event(json!({"event_type": "scroll", "item_id": null}));
    for name in ["user_id", "item_id", "request_id", "position", "props", "schema_version"] {
        for absent in [Value::Null, json!("")] {
            sent[name] = absent;
            accepted(&opt, &sent, |e| {
                assert_eq!(
                    (e.user_id, e.item_id, e.request_id, e.position, e.props.count),
                    (None, None, None, None, 0)
                );
            });
        }
    }
    accepted(&opt, &event(json!({"request_id": "r", "position": 2})), |e| assert_eq!(e.position, Some(2)));
    accepted(&opt, &event(json!({"schema_version": 1, "request_id": "", "position": ""})), |e| {
        assert_eq!(e.event_id, "e1")
    });
}

#[test]
fn types_are_ours_then_declared_then_aliases() {
    let declared = ["wishlist".to_string(), "view_item".to_string()];
    let mut opt = options(Media::Json);
    for (t, name) in crate::record::EVENT_TYPES {
        accepted(&opt, &event(json!({"event_type": name})), |e| assert_eq!((e.event_type, e.custom), (t, None)));
    }
    accepted(&opt, &event(json!({"event_type": "view_item"})), |e| assert_eq!(e.event_type, EventType::View));
    accepted(&opt, &event(json!({"event_type": "Product Added"})), |e| assert_eq!(e.event_type, EventType::AddToCart));
    let no_item = event(json!({"event_type": "Product List Viewed", "item_id": null}));
    assert_eq!(refusal(&opt, &no_item).0, "item_id_required");
    for undeclared in ["wishlist", "View", "custom", "view "] {
        assert_eq!(refusal(&opt, &event(json!({"event_type": undeclared}))).0, "unknown_event_type");
    }
    let (_, message) = refusal(&opt, &event(json!({"event_type": "é".repeat(500)})));
    assert!(message.chars().count() < 200, "{message}");
    opt.custom_types = &declared;
    for name in ["wishlist", "view_item"] {
        accepted(&opt, &event(json!({"event_type": name, "item_id": null})), |e| {
            assert_eq!((e.event_type, e.custom), (EventType::Custom, Some(name)));
        });
    }
}

#[test]
fn a_purchase_may_be_reserved_for_servers() {
    let mut opt = options(Media::Json);
    let lines = r#"[{"item_id":"i1","quantity":2,"price":9.50}]"#;
    let sent = event(json!({"event_type": "purchase", "item_id": null, "props": {"items": lines}}));
    accepted(&opt, &sent, |e| assert_eq!(e.props.get("items"), Some(lines)));
    opt.purchase_requires_trusted = true;
    assert_eq!(
        refusal(&opt, &sent),
        ("forbidden", "event_type: purchases and refunds are only taken with a server key".to_string())
    );
    assert_eq!(refusal(&opt, &event(json!({"event_type": "refund"}))).0, "forbidden");
    accepted(&opt, &event(json!({})), |e| assert!(!e.trusted));
    opt.trusted = true;
    accepted(&opt, &sent, |e| assert!(e.trusted));
}

#[test]
fn items_of_other_events_are_free_text_and_a_refund_needs_neither_item_nor_items() {
    let opt = options(Media::Json);
    accepted(&opt, &event(json!({"props": {"items": "three"}})), |e| assert_eq!(e.props.get("items"), Some("three")));
    accepted(&opt, &event(json!({"event_type": "refund", "item_id": null})), |e| assert_eq!(e.item_id, None));
    let refund = event(json!({"event_type": "refund", "props": {"items": "three"}}));
    assert_eq!(refusal(&opt, &refund).0, "wrong_type");
    let line = format!(r#"{{"item_id":"{}","quantity":1000000,"price":1234567.89}}"#, "i".repeat(128));
    let lines = format!("[{}]", vec![line; 100].join(","));
    assert!(lines.len() > Limits::default().prop_value_chars_max);
    accepted(&opt, &event(json!({"event_type": "purchase", "props": {"items": lines}})), |e| {
        assert_eq!(purchase_items(e.props.get("items").unwrap()).unwrap().len(), 100);
    });
}
