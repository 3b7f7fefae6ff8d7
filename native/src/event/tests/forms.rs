//! Bodies: their forms, the envelope, and what refuses a whole request.

use super::*;

fn indices(batch: &Batch) -> (Vec<usize>, Vec<usize>) {
    (batch.iter().map(|(i, _)| i).collect(), batch.rejected.iter().map(|r| r.index).collect())
}

fn read(media: Media, body: &str) -> std::result::Result<(Vec<usize>, Vec<usize>), Error> {
    parse(body.as_bytes(), &options(media)).map(|batch| indices(&batch))
}

#[test]
fn a_bad_event_leaves_its_neighbours_alone_in_every_form() {
    let bad = event(json!({"event_id": "e2", "ts_ms": 0}));
    let events = [event(json!({})), bad.clone(), json!(5), event(json!({"event_id": "e4"}))];
    for (form, media, body) in forms(&events) {
        let batch = parse(&body, &options(media)).unwrap();
        assert_eq!(indices(&batch), (vec![0, 3], vec![1, 2]), "{form}");
        assert_eq!(batch.iter().map(|(_, e)| e.event_id).collect::<Vec<_>>(), ["e1", "e4"]);
        assert_eq!(batch.rejected[0].event_id.as_deref(), Some("e2"));
        assert_eq!(batch.rejected[1].event_id, None);
        assert_eq!(batch.rejected[1].payload, b"5");
        assert_eq!(batch.events(), 4);
    }
}

#[test]
fn an_id_that_could_not_be_accepted_is_not_answered() {
    for id in [json!("x".repeat(129)), json!(7), json!("")] {
        let body = event(json!({"event_id": id})).to_string();
        assert_eq!(parse(body.as_bytes(), &options(Media::Json)).unwrap().rejected[0].event_id, None);
    }
}

#[test]
fn no_events_are_no_error_but_no_body_is() {
    assert_eq!(read(Media::Json, "[]"), Ok((vec![], vec![])));
    assert_eq!(read(Media::Json, r#"{"events":[]}"#), Ok((vec![], vec![])));
    assert_eq!(parse(&[0x90], &options(Media::Msgpack)).unwrap().events(), 0);
    for media in [Media::Json, Media::Ndjson, Media::Msgpack] {
        assert_eq!(parse(b"", &options(media)).unwrap_err().code(), "malformed_body");
    }
    assert_eq!(read(Media::Ndjson, " \n\r\n"), Err(Error::malformed("the body is empty")));
}

#[test]
fn a_body_of_another_shape_is_malformed() {
    let e = event(json!({}));
    for body in ["1", "\"x\"", "null", "{", "[", "[{]", "{\"events\":{}}", "{\"events\":null}", "\u{feff}[]", "[] x"] {
        assert_eq!(read(Media::Json, body).unwrap_err().code(), "malformed_body", "{body}");
    }
    assert_eq!(read(Media::Json, &format!("{e}\n{e}")).unwrap_err().code(), "malformed_body");
    assert_eq!(parse(b"[\"\xff\"]", &options(Media::Json)).unwrap_err(), Error::malformed("not UTF-8 at byte 2"));
    for body in [&[0xc0][..], &[0x81], &[0x90, 0x90], &[0xc1], &[0x07]] {
        assert_eq!(parse(body, &options(Media::Msgpack)).unwrap_err().code(), "malformed_body", "{body:?}");
    }
}

#[test]
fn lines_may_be_blank_and_a_broken_one_is_named() {
    let e = event(json!({}));
    assert_eq!(read(Media::Ndjson, &format!("\n{e}\r\n  \n[]\n{e}\n")), Ok((vec![0, 2], vec![1])));
    assert_eq!(
        read(Media::Ndjson, &format!("{e}\n\n{{\"a\":}}\n")),
        Err(Error::malformed("line 3 is not JSON at byte 5: expected a value")),
    );
    assert_eq!(read(Media::Ndjson, &format!("{e} {e}")).unwrap_err().code(), "malformed_body");
}

#[test]
fn the_envelope_has_two_members() {
    let e = event(json!({}));
    assert_eq!(read(Media::Json, &format!(r#"{{"sent_at":null,"events":[{e}]}}"#)), Ok((vec![0], vec![])));
    let unknown = read(Media::Json, &format!(r#"{{"events":[{e}],"batch":1}}"#)).unwrap_err();
    assert_eq!(
        unknown,
        Error::invalid("unknown_field", "batch", "is not a member of the envelope; it has events and sent_at"),
    );
    // Without `events` it is an event, and an event has no `sent_at`.
    let batch = parse(br#"{"sent_at":1}"#, &options(Media::Json)).unwrap();
    assert_eq!(batch.rejected[0].code, "unknown_field");
    // The last of two members counts.
    assert_eq!(read(Media::Json, &format!(r#"{{"events":1,"events":[{e}]}}"#)), Ok((vec![0], vec![])));
}

#[test]
fn sent_at_corrects_the_clock_of_the_client() {
    let received = NOW_MS;
    let ts_of = |ts: i64, sent_at: i64| {
        let body = json!({"events": [event(json!({"ts_ms": ts}))], "sent_at": sent_at});
        for (media, bytes) in [(Media::Json, body.to_string().into_bytes()), (Media::Msgpack, msgpack(&body))] {
            let batch = parse(&bytes, &options(media)).unwrap();
            let got = batch.iter().next().map(|(_, e)| e.ts_ms).ok_or_else(|| batch.rejected[0].code);
            if media == Media::Msgpack {
                return got;
            }
        }
        unreachable!()
    };
    // A client an hour behind and one an hour ahead; both made the event 2 s before sending it.
    assert_eq!(ts_of(received - 3_602_000, received - 3_600_000), Ok(received - 2000));
    assert_eq!(ts_of(received + 3_598_000, received + 3_600_000), Ok(received - 2000));
    assert_eq!(ts_of(received + 300_001, received), Err("ts_in_future"));
    assert_eq!(ts_of(1, received + 1), Err("bad_ts"));
    assert_eq!(ts_of(5, i64::MAX), Err("bad_ts"));
    assert_eq!(ts_of(i64::MAX, 1), Err("ts_in_future"));
    assert_eq!(ts_of(-5, received), Err("bad_ts"));
}

#[test]
fn a_sent_at_that_is_no_time_refuses_the_request() {
    for sent_at in ["0", "-1", "1.5", "\"1\"", "true", "[]", "99999999999999999999", "\"\""] {
        let body = format!(r#"{{"events":[],"sent_at":{sent_at}}}"#);
        let expected = Error::malformed("sent_at must be a positive integer, ms since 1970");
        assert_eq!(read(Media::Json, &body), Err(expected), "{sent_at}");
    }
}

#[test]
fn a_thousand_events_are_the_most() {
    let events = vec![event(json!({})); 1001];
    for (form, media, body) in forms(&events) {
        let error = parse(&body, &options(media)).unwrap_err();
        assert_eq!(error.code(), "body_too_large", "{form}");
        assert_eq!(error.to_string(), "a body carries at most 1000 events");
    }
    for (form, media, body) in forms(&events[..1000]) {
        assert_eq!(parse(&body, &options(media)).unwrap().accepted(), 1000, "{form}");
    }
}
