//! What reading an event costs. Run with `cargo test --release event::tests::speed -- --ignored --nocapture`.

use super::*;
use std::time::Instant;

#[test]
#[ignore = "a measurement, run in release"]
fn nanoseconds_per_event() {
    let events: Vec<Value> = (0..100)
        .map(|i| {
            event(json!({
                "event_id": format!("0190c5a1-7d3e-7000-8000-{i:012}"), "user_id": format!("user-{i}"),
                "session_id": format!("5f0c9a3e-{i:04}"), "item_id": format!("item-{i:06}"), "position": i % 20,
                "props": {"surface": "home", "device": "mobile", "dwell_ms": 1234},
            }))
        })
        .collect();
    let rounds = 50;
    for (form, media, body) in forms(&events) {
        let opt = options(media);
        // The best of many short slices, so that a busy machine is not what is measured.
        let best = (0..200)
            .map(|_| {
                let start = Instant::now();
                let accepted: usize = (0..rounds).map(|_| parse(&body, &opt).unwrap().iter().count()).sum();
                assert_eq!(accepted, rounds * events.len());
                start.elapsed().as_nanos() / accepted as u128
            })
            .min();
        println!("{form}: {} ns/event of {} bytes, read back included", best.unwrap(), body.len() / events.len());
    }
}
