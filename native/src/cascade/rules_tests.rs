//! What rules say of the items of a small shop.

use super::*;
use crate::fold::scene::{Scene, NOW};

const RULES: &str = r#"{
    "filter": [{"name": "grown", "when": {"not": {"test": {"field": {"name": "item.brand", "kind": "text"},
        "op": {"test": "in", "values": ["toys"]}}}}}],
    "boost": [{"name": "cheap", "times": 3, "when": {"test": {"field": {"name": "item.price", "kind": "number"},
        "op": {"test": "lt", "values": [5]}}}}],
    "bury": [{"name": "phones", "when": {"test": {"field": {"name": "props.device", "kind": "text"},
        "op": {"test": "in", "values": ["phone"]}}}}],
    "pin": [{"name": "sale", "item": "i3", "position": 1, "when": null, "from_ms": 1000, "until_ms": 2000},
        {"name": "gone", "item": "nobody", "position": 0, "when": null, "from_ms": null, "until_ms": null}],
    "cap": [{"name": "seller", "by": "seller", "most": 1, "within": 3},
        {"name": "aisle", "by": "top_category", "most": 2, "within": null}],
    "mix": [{"name": "bags", "least": 0.25, "most": 0.5, "when": {"test": {"field":
        {"name": "item.categories", "kind": "texts"}, "op": {"test": "in", "values": ["a > bags"]}}}}],
    "floor": [{"name": "small", "share": 0.1, "below": 0.25}]
}"#;

fn shop() -> Scene {
    let mut scene = Scene::default();
    for n in 0..6 {
        let (brand, seller) = (if n == 5 { "toys" } else { "acme" }, n % 2);
        let category = if n < 2 { "a > bags" } else { "a > hats" };
        scene.put(
            &format!(
                r#"{{"id":"i{n}","brand":"{brand}","seller":"s{seller}","price":{},"categories":["{category}"]}}"#,
                n * 2
            ),
            NOW,
        );
    }
    scene
}

fn list(scores: &[f32]) -> Vec<Candidate> {
    (0..).zip(scores).map(|(item, score)| Candidate { item, score: *score, found: 0.0, sources: 0 }).collect()
}

#[test]
fn filters_and_boosts_ask_the_item() {
    let scene = shop();
    let rules = RuleSet::parse(RULES.as_bytes()).unwrap();
    let moment = Moment::new(&[], NOW);
    let refused: Vec<bool> = (0..6).map(|i| rules.refusing(&scene.state, &moment, i).is_some()).collect();
    assert_eq!(refused, [false, false, false, false, false, true]);
    let mut items = list(&[1.0, 0.5, 4.0, 2.0]);
    assert_eq!(rules.boost(&scene.state, &moment, &mut items), [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(items.iter().map(|c| c.score).collect::<Vec<_>>(), [3.0, 1.5, 12.0, 2.0]);
    let mut below = list(&[-1.0, -2.0, -3.0]);
    rules.boost(&scene.state, &moment, &mut below);
    assert_eq!(below.iter().map(|c| c.score).collect::<Vec<_>>(), [3.0, 0.0, -3.0], "a boost never lowers");
}

#[test]
fn conditions_ask_the_request_and_pins_the_time() {
    let scene = shop();
    let rules = RuleSet::parse(RULES.as_bytes()).unwrap();
    let phone = Moment::new(&[("device".to_owned(), "phone".to_owned())], 999);
    assert_eq!(rules.burying(&scene.state, &phone, 0).map(|r| &r.name[..]), Some("phones"));
    assert!(rules.burying(&scene.state, &Moment::new(&[], 999), 0).is_none());
    let pins = |now| rules.pins(&scene.state, &Moment::new(&[], now));
    assert_eq!((pins(999), pins(1000), pins(2000)), (vec![], vec![(0, 1, 3)], vec![]));
}

#[test]
fn conditions_compare_with_the_items_of_the_request() {
    let scene = shop();
    let passing = |name: &str, kind: &str, op: &str, about: &[u32]| -> Vec<u32> {
        let test = format!(r#"{{"test": {{"field": {{"name": "about.{name}", "kind": "{kind}"}}, "op": {op}}}}}"#);
        let rules = RuleSet::parse(format!(r#"{{"filter": [{{"name": "x", "when": {test}}}]}}"#).as_bytes()).unwrap();
        let moment = Moment::new(&[], NOW).about(about);
        (0..6).filter(|item| rules.refusing(&scene.state, &moment, *item).is_none()).collect()
    };
    let yes = r#"{"test": "in", "values": [true]}"#;
    assert_eq!(passing("same_category", "flag", yes, &[0]), [0, 1]);
    assert_eq!(passing("same_category", "flag", yes, &[0, 2]), [0, 1, 2, 3, 4, 5], "of one of them");
    assert_eq!(passing("same_top_category", "flag", yes, &[0]), [0, 1, 2, 3, 4, 5]);
    assert_eq!(passing("same_brand", "flag", yes, &[5]), [5]);
    assert_eq!(passing("same_seller", "flag", yes, &[1]), [1, 3, 5]);
    assert_eq!(passing("same_seller", "flag", r#"{"test": "in", "values": [false]}"#, &[1]), [0, 2, 4]);
    let half = r#"{"test": "lte", "values": [0.5]}"#;
    assert_eq!(passing("price_ratio", "number", half, &[2, 4]), [0, 1, 2, 3], "prices rise by two; together 12");
    assert_eq!(
        (passing("price_ratio", "number", half, &[]), passing("same_brand", "flag", yes, &[])),
        (vec![], vec![])
    );
    let unknown = br#"{"filter": [{"name": "x", "when": {"test": {"field": {"name": "about.shape", "kind": "flag"},
        "op": {"test": "exists"}}}}]}"#;
    assert_eq!(RuleSet::parse(unknown).unwrap_err().code(), "bad_rule");
}

#[test]
fn items_grow_old() {
    let mut scene = shop();
    scene.put(&format!(r#"{{"id":"old","created_at":{}}}"#, NOW - 36_000_000), NOW);
    let young = r#"{"filter": [{"name": "x", "when": {"test": {"field": {"name": "item.age_hours", "kind": "number"},
        "op": {"test": "lt", "values": [10]}}}}]}"#;
    let rules = RuleSet::parse(young.as_bytes()).unwrap();
    let passes = |item, now| rules.refusing(&scene.state, &Moment::new(&[], now), item).is_none();
    assert_eq!([passes(0, NOW), passes(6, NOW - 1), passes(6, NOW)], [true, true, false]);
    assert!(!passes(0, NOW + 36_000_000));
}

#[test]
fn bounds_hold_caps_shares_and_the_small() {
    let mut scene = shop();
    let rules = RuleSet::parse(RULES.as_bytes()).unwrap();
    let small = |scene: &Scene| {
        let items = list(&[0.0; 6]);
        rules.bounds(&scene.state, &Moment::new(&[], NOW), &items).groups[1].member.clone()
    };
    assert_eq!(small(&scene), [true; 6], "before the first impression every seller is small");
    for n in 0..8 {
        scene.did(&format!("u{n}"), EventType::Impression, if n == 0 { "i1" } else { "i0" }, NOW);
    }
    assert_eq!(small(&scene), [false, true, false, true, false, true], "an eighth is less than a quarter");
    let bounds = rules.bounds(&scene.state, &Moment::new(&[], NOW), &list(&[0.0; 6]));
    assert_eq!(bounds.groups[0].member, [true, true, false, false, false, false]);
    assert_eq!((bounds.groups[0].least, bounds.groups[0].most, bounds.groups[1].least), (0.25, 0.5, 0.1));
    assert!(bounds.buried.iter().all(|b| !b));
    // i0 and i2 are of one seller; three of one aisle are too many.
    let listed = list(&[3.0, 2.0]);
    assert!(!rules.fits(&scene.state, &listed, 1, 2) && !rules.fits(&scene.state, &listed, 9, 2));
    assert!(rules.fits(&scene.state, &listed[..1], 4, 2), "far enough from the other");
}

#[test]
fn what_cannot_be_read_is_refused() {
    for bad in [r#"{"boosts": []}"#, r#"{"cap": [{"name": "x", "by": "brand"}]}"#, "["] {
        assert_eq!(RuleSet::parse(bad.as_bytes()).unwrap_err().code(), "bad_rule");
    }
}
