//! The light ranker scores as its file says, and picks the best.

use super::*;
use crate::cascade::source;
use crate::fold::blocks::Plans;
use crate::fold::scene::{asker, Scene, NOW};
use crate::recall::vectors::VectorTable;
use crate::record::EventType;

const PLAN: &str = r#"[
    {"name": "clicks", "op": "item_count", "event": "click", "window_ms": 86400000},
    {"name": "price", "op": "item_price"},
    {"name": "neighbours", "op": "item_neighbours"},
    {"name": "category_clicks", "op": "category_count", "event": "click", "window_ms": 0, "default": 3},
    {"name": "seller_clicks", "op": "seller_count", "event": "click", "window_ms": 0, "default": -4},
    {"name": "user_clicks", "op": "user_count", "event": "click", "window_ms": 0},
    {"name": "clicked", "op": "cross_clicked"},
    {"name": "share", "op": "cross_session_category_share"},
    {"name": "user_share", "op": "cross_user_category_share"},
    {"name": "same_category", "op": "cross_same_category_as_last"},
    {"name": "same_brand", "op": "cross_same_brand_as_last"},
    {"name": "ratio", "op": "cross_price_ratio", "default": 1}
]"#;

const COLUMNS: [(&str, f64, f64, f64); 11] = [
    ("price", 2.0, 0.5, -0.3),
    ("clicks", 1.0, 2.0, 0.7),
    ("ratio", 0.6, 0.3, -0.2),
    ("neighbours", 0.5, 0.9, 0.1),
    ("category_clicks", 3.0, 1.5, 0.4),
    ("seller_clicks", 2.0, 1.0, -0.6),
    ("clicked", 0.1, 0.2, -1.0),
    ("share", 0.2, 0.25, 0.9),
    ("user_share", 0.2, 0.3, 0.8),
    ("same_category", 0.3, 0.4, 0.5),
    ("same_brand", 0.1, 0.3, 0.2),
];

fn model(columns: &[(&str, f64, f64, f64)]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|(name, mean, deviation, weight)| {
            format!(r#"{{"name":"{name}","mean":{mean},"deviation":{deviation},"weight":{weight}}}"#)
        })
        .collect();
    let sources = r#"{"covis":0.25,"popular":-0.5}"#;
    format!(r#"{{"bias":-1.5,"columns":[{}],"affinity":0.8,"recall":2.0,"sources":{sources}}}"#, columns.join(","))
}

fn shop() -> Scene {
    let mut scene = Scene::default();
    for n in 0..40 {
        let json = match n % 8 {
            0 => format!(r#"{{"id":"i{n}"}}"#),
            _ => format!(
                r#"{{"id":"i{n}","categories":["c{}"],"brand":"b{}","seller":"m{}","price":{}}}"#,
                n % 5,
                n % 3,
                n % 4,
                n * 3
            ),
        };
        scene.put(&json, NOW);
    }
    for n in 0..200 {
        let (user, item) = (format!("u{}", scene.draw(3)), format!("i{}", scene.draw(40)));
        scene.did(&user, EventType::Click, &item, NOW + n);
    }
    scene
}

#[test]
fn the_score_is_the_formula() {
    let mut scene = shop();
    let plan = Plan::parse(PLAN.as_bytes()).unwrap();
    let mut prerank = Prerank::parse(model(&COLUMNS).as_bytes(), &plan).unwrap();
    let ids: Vec<String> = (0..40).map(|n| format!("i{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut vectors = VectorTable::default();
    let values: Vec<f32> = (0..80).map(|n| (n as f32 * 0.7).sin()).collect();
    vectors.set(&scene.state.catalogue, &ids, &values, 2).unwrap();
    for round in 0..30i64 {
        let user = format!("u{}", round % 4);
        let session_id = format!("s-{user}");
        let mut covis = std::mem::take(&mut scene.state.covis);
        let mut who = asker(&scene.state, &user, &session_id, NOW + round * 20_000);
        let session = [0.5, -1.25];
        who.session = (round % 3 > 0).then_some((&session[..], &vectors));
        let mut candidates: Vec<Candidate> = (0..40u32)
            .map(|item| Candidate { item, score: item as f32 / 40.0, found: 0.0, sources: item % 16 })
            .collect();
        let given = candidates.clone();
        prerank.keep_eligible(&scene.state, &Rules::default(), who.as_of_ms, &mut candidates);
        assert_eq!(candidates, given);
        prerank.score(&scene.state, &mut covis, &who, &mut candidates);
        let items: Vec<u32> = (0..40).collect();
        let rows = scene.state.vectors(&mut covis, Plans::default().of(&plan), &plan, &who, &items);
        for (candidate, given) in candidates.iter().zip(&given) {
            let row = &rows[given.item as usize * plan.len()..];
            let mut want = -1.5 + 2.0 * f64::from(given.score);
            for (name, mean, deviation, weight) in COLUMNS {
                let x = f64::from(row[plan.features.iter().position(|f| f.name == name).unwrap()]);
                want += weight * (x.signum() * x.abs().ln_1p() - mean) / deviation;
            }
            if let Some((session, table)) = who.session {
                want += 0.8 * f64::from(table.affinity(given.item, session));
            }
            want += if given.sources >> source::COVIS & 1 == 1 { 0.25 } else { 0.0 };
            want += if given.sources >> source::POPULAR & 1 == 1 { -0.5 } else { 0.0 };
            assert!((f64::from(candidate.score) - want).abs() < 1e-4, "{} for {want}", candidate.score);
        }
        scene.state.covis = covis;
        scene.did(&user, EventType::Click, &format!("i{}", round % 40), NOW + 1_000 + round);
    }
}

#[test]
fn what_may_not_be_shown_is_dropped_and_what_is_added_is_scored() {
    let mut scene = shop();
    scene.put(r#"{"id":"i3","available":false}"#, NOW);
    let plan = Plan::parse(PLAN.as_bytes()).unwrap();
    let mut prerank = Prerank::parse(model(&COLUMNS).as_bytes(), &plan).unwrap();
    let of = |item| Candidate { item, score: 0.0, found: 0.0, sources: 0 };
    let mut candidates: Vec<Candidate> = [1, 2, 3, 4, 99].map(of).into();
    let rules = Rules { excluded: vec![4], ..Rules::default() };
    prerank.keep_eligible(&scene.state, &rules, NOW, &mut candidates);
    assert_eq!(candidates, [1, 2].map(of));
    candidates.push(of(9));
    let mut covis = std::mem::take(&mut scene.state.covis);
    let who = asker(&scene.state, "u1", "s-u1", NOW);
    prerank.score(&scene.state, &mut covis, &who, &mut candidates);
    let mut alone = vec![of(9)];
    prerank.keep_eligible(&scene.state, &Rules::default(), NOW, &mut alone);
    prerank.score(&scene.state, &mut covis, &who, &mut alone);
    assert_eq!(candidates[2], alone[0]);
}

#[test]
fn a_score_that_is_not_a_number_comes_last() {
    let mut scene = shop();
    let plan = Plan::parse(PLAN.as_bytes()).unwrap();
    let wild = [("clicks", 0.0, 1e-30, 3e8), ("category_clicks", 0.0, 1e-30, -3e8)];
    let mut prerank = Prerank::parse(model(&wild).as_bytes(), &plan).unwrap();
    let mut candidates: Vec<Candidate> =
        (0..40).map(|item| Candidate { item, score: 0.0, found: 0.0, sources: 0 }).collect();
    let mut covis = std::mem::take(&mut scene.state.covis);
    prerank.keep_eligible(&scene.state, &Rules::default(), NOW, &mut candidates);
    prerank.score(&scene.state, &mut covis, &asker(&scene.state, "u1", "s-u1", NOW), &mut candidates);
    assert!(candidates.iter().any(|c| c.score == f32::MIN));
    assert!(candidates.iter().all(|c| c.score.is_finite()));
}

#[test]
fn a_model_that_does_not_fit_is_refused() {
    let plan = Plan::parse(PLAN.as_bytes()).unwrap();
    for (json, word) in [
        ("{".to_owned(), "cannot be read"),
        (model(&[("clikcs", 0.0, 1.0, 1.0)]), "clikcs"),
        (model(&[("user_clicks", 0.0, 1.0, 1.0)]), "same for every item"),
        (model(&[("clicks", 0.0, 0.0, 1.0)]), "deviation of 0"),
        (model(&[("clicks", 0.0, -1.0, 1.0)]), "deviation of -1"),
        (model(&[("clicks", 0.0, 1e-200, 1e200)]), "finite"),
        (model(&[]).replace("covis", "covid"), "covid"),
        (model(&[]).replace("-1.5", "1e300"), "finite"),
        (model(&[]).replace("bias", "bios"), "bios"),
    ] {
        let error = Prerank::parse(json.as_bytes(), &plan).unwrap_err();
        assert_eq!(error.code(), "bad_prerank");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn the_best_are_kept_in_order_and_ties_stay() {
    let scores = [0.0, -3.0, 2.5, -0.0, 7.0, 2.5, f32::MIN, -0.5];
    let list: Vec<Candidate> =
        (0..).zip(scores).map(|(item, score)| Candidate { item, score, found: 0.0, sources: 0 }).collect();
    for (limit, want) in
        [(8, &[4, 2, 5, 0, 3, 7, 1, 6][..]), (4, &[4, 2, 5, 0]), (1, &[4]), (0, &[]), (99, &[4, 2, 5, 0, 3, 7, 1, 6])]
    {
        let mut kept = list.clone();
        keep_best(&mut kept, limit);
        assert_eq!(kept.iter().map(|c| c.item).collect::<Vec<_>>(), want);
    }
}
