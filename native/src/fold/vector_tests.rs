//! Rows: what is kept between requests is what would be computed, and what cannot be computed is the default.

use super::*;
use crate::fold::blocks::Plans;
use crate::fold::scene::{asker, Scene, NOW};
use crate::record::Kind;

const PLAN: &str = r#"[
    {"name": "clicks_5m", "op": "item_count", "event": "click", "window_ms": 300000},
    {"name": "clicks_1d", "op": "item_count", "event": "click", "window_ms": 86400000},
    {"name": "decayed", "op": "item_decayed", "event": "click", "half_life_ms": 3600000},
    {"name": "ctr", "op": "item_rate", "hits": "click", "trials": "impression", "window_ms": 0, "prior_rate": 0.05,
     "prior_strength": 20},
    {"name": "popularity", "op": "item_popularity", "half_life_ms": 86400000},
    {"name": "trend", "op": "item_trend"},
    {"name": "price", "op": "item_price", "default": -1},
    {"name": "margin", "op": "item_attribute", "key": "margin"},
    {"name": "age", "op": "item_age_days"},
    {"name": "available", "op": "item_available", "default": 0.5},
    {"name": "neighbours", "op": "item_neighbours"},
    {"name": "category_clicks", "op": "category_count", "event": "click", "window_ms": 3600000, "default": -2},
    {"name": "category_popularity", "op": "category_popularity", "half_life_ms": 86400000},
    {"name": "seller_clicks", "op": "seller_count", "event": "click", "window_ms": 604800000, "default": -3},
    {"name": "user_clicks", "op": "user_count", "event": "click", "window_ms": 0},
    {"name": "session_items", "op": "session_items"},
    {"name": "hour", "op": "context_hour"},
    {"name": "home", "op": "surface_is", "value": "home"},
    {"name": "elsewhere", "op": "surface_is", "value": "cart"},
    {"name": "clicked", "op": "cross_clicked"},
    {"name": "minutes", "op": "cross_minutes_since", "default": 1000000},
    {"name": "session_share", "op": "cross_session_category_share"},
    {"name": "user_share", "op": "cross_user_category_share"},
    {"name": "same_category", "op": "cross_same_category_as_last"},
    {"name": "same_brand", "op": "cross_same_brand_as_last"},
    {"name": "price_ratio", "op": "cross_price_ratio", "default": 1},
    {"name": "covisitation", "op": "cross_covisitation"},
    {"name": "affinity", "op": "affinity"}
]"#;

fn rows(scene: &mut Scene, plans: &mut Plans, plan: &Plan, user: &str, items: &[u32], as_of_ms: i64) -> Vec<u32> {
    let mut covis = std::mem::take(&mut scene.state.covis);
    let session = format!("s-{user}");
    let who = asker(&scene.state, user, &session, as_of_ms);
    let out = scene.state.vectors(&mut covis, plans.of(plan), plan, &who, items);
    scene.state.covis = covis;
    assert!(out.iter().all(|v| v.is_finite()));
    out.iter().map(|v| v.to_bits()).collect()
}

fn item_json(scene: &mut Scene, n: u64) -> String {
    let (price, margin) = (scene.draw(9_000), scene.draw(100));
    match scene.draw(5) {
        0 => format!(r#"{{"id":"i{n}"}}"#),
        _ => format!(
            r#"{{"id":"i{n}","categories":["c{} > d{}"],"brand":"b{}","seller":"m{}","price":{price},"available":{},
                "attributes":{{"margin":{margin}}}}}"#,
            n % 3,
            n % 7,
            n % 4,
            n % 5,
            price % 9 > 0,
        ),
    }
}

#[test]
fn kept_rows_are_the_rows_that_would_be_computed() {
    const ITEMS: u64 = 30;
    let mut scene = Scene::default();
    let plan = Plan::parse(PLAN.as_bytes()).unwrap();
    let mut kept = Plans::default();
    let mut now = NOW;
    for n in 0..ITEMS {
        let json = item_json(&mut scene, n);
        scene.put(&json, now);
    }
    let all: Vec<u32> = (0..ITEMS as u32).collect();
    let mut answers = std::collections::HashSet::new();
    for _ in 0..1_500 {
        now += [0, 1, 900, 7_000, 61_000, 3_600_000][scene.draw(6) as usize];
        let (user, item) = (format!("u{}", scene.draw(4)), scene.draw(ITEMS));
        match scene.draw(20) {
            0 => {
                let json = item_json(&mut scene, item);
                scene.put(&json, now);
            }
            1 => scene.fold(Kind::ItemDelete, 0, now, format!("i{item}").as_bytes()),
            n => {
                let kinds = [EventType::Click, EventType::Impression, EventType::View, EventType::AddToCart];
                let late = [0, 0, 5_000, 7_200_000][scene.draw(4) as usize];
                scene.did(&user, kinds[n as usize % 4], &format!("i{item}"), now - late);
            }
        }
        let warm = rows(&mut scene, &mut kept, &plan, &user, &all, now);
        assert_eq!(warm, rows(&mut scene, &mut Plans::default(), &plan, &user, &all, now));
        answers.extend(warm);
    }
    assert!(answers.len() > 5_000, "traffic moves the values: {}", answers.len());
}

#[test]
fn items_are_seen_at_the_end_of_the_minute_and_the_user_at_the_moment() {
    let mut scene = Scene::default();
    let plan = Plan::parse(PLAN.as_bytes()).unwrap();
    let at = |name: &str| plan.features.iter().position(|f| f.name == name).unwrap();
    let item = scene.put(r#"{"id":"a"}"#, NOW);
    scene.did("u", EventType::Click, "a", NOW);
    let mut plans = Plans::default();
    let mut value =
        |name: &str, ms: i64| f32::from_bits(rows(&mut scene, &mut plans, &plan, "u", &[item], ms)[at(name)]);
    let end = |minute: i64| ((minute * 60_000 + 59_999) as f64 / 86_400_000.0) as f32;
    assert_eq!([value("age", NOW), value("age", NOW + 59_999), value("age", NOW + 60_000)], [end(0), end(0), end(1)]);
    let decayed = |age: f64| (-age / 3_600_000.0).exp2() as f32;
    assert_eq!([value("decayed", NOW + 5), value("decayed", NOW + 60_000)], [decayed(29_999.0), decayed(89_999.0)]);
    assert_eq!([value("minutes", NOW + 6_000), value("minutes", NOW + 60_000)], [0.1, 1.0]);
}

#[test]
fn what_cannot_be_computed_is_the_default() {
    let mut scene = Scene::default();
    let plan = Plan::parse(PLAN.as_bytes()).unwrap();
    let bare = scene.put(r#"{"id":"bare"}"#, NOW);
    scene.did("u", EventType::Click, "never put", NOW);
    let unheard = 77;
    let width = plan.len();
    let row = rows(&mut scene, &mut Plans::default(), &plan, "nobody", &[bare, 1, unheard], NOW);
    for (name, want) in [
        ("price", [-1.0, -1.0, -1.0]),
        ("available", [1.0, 0.5, 0.5]),
        ("clicks_5m", [0.0, 1.0, 0.0]),
        ("category_clicks", [-2.0; 3]),
        ("seller_clicks", [-3.0; 3]),
        ("price_ratio", [1.0; 3]),
        ("minutes", [1e6; 3]),
        ("same_category", [0.0; 3]),
        ("affinity", [0.0; 3]),
        ("home", [1.0; 3]),
        ("elsewhere", [0.0; 3]),
    ] {
        let at = plan.features.iter().position(|f| f.name == name).unwrap();
        assert_eq!([0, 1, 2].map(|r| f32::from_bits(row[r * width + at])), want, "{name}");
    }
}

#[test]
fn plans_that_come_and_go_do_not_disturb_each_other() {
    let mut scene = Scene::default();
    let item = scene.put(r#"{"id":"a","price":5}"#, NOW);
    scene.did("u", EventType::Click, "a", NOW);
    let plan =
        |n: i32| format!(r#"[{{"name":"p","op":"item_price"}},{{"name":"c{n}","op":"item_age_days","default":{n}}}]"#);
    let parsed: Vec<Plan> = (0..7).map(|n| Plan::parse(plan(n).as_bytes()).unwrap()).collect();
    let mut plans = Plans::default();
    for round in 0..40usize {
        let plan = &parsed[round * 3 % 7];
        let warm = rows(&mut scene, &mut plans, plan, "u", &[item], NOW);
        assert_eq!(warm, rows(&mut scene, &mut Plans::default(), plan, "u", &[item], NOW));
    }
}

#[test]
fn a_session_of_ten_thousand_clicks_has_rows() {
    let mut scene = Scene::default();
    let plan = Plan::parse(PLAN.as_bytes()).unwrap();
    let items: Vec<u32> = (0..300)
        .map(|n| scene.put(&format!(r#"{{"id":"i{n}","price":3,"categories":["c{}"]}}"#, n % 9), NOW))
        .collect();
    for n in 0..10_000 {
        scene.did("u", EventType::Click, &format!("i{}", n * 7 % 300), NOW + n);
    }
    let row = rows(&mut scene, &mut Plans::default(), &plan, "u", &items, NOW + 10_000);
    let column = |name: &str| {
        let at = plan.features.iter().position(|f| f.name == name).unwrap();
        row.iter().skip(at).step_by(plan.len()).map(|v| f32::from_bits(*v)).collect::<Vec<f32>>()
    };
    assert_eq!(column("user_clicks"), [10_000.0; 300]);
    assert_eq!(column("session_items"), [crate::fold::user::RECENT_MAX as f32; 300]);
    assert_eq!(column("clicked").iter().filter(|v| **v == 1.0).count(), 256);
    assert_eq!(column("price_ratio"), [1.0; 300]);
}
