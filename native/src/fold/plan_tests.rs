//! What a plan takes and what it refuses when it is loaded.

use super::*;

#[test]
fn a_plan_is_refused_when_it_is_loaded() {
    let good = br#"[{"name": "clicks", "op": "item_count", "event": "click", "window_ms": 3600000}]"#;
    let plan = Plan::parse(good).unwrap();
    assert_eq!(plan.features[0].scope, Scope::Item);
    assert_ne!(plan.digest, Plan::parse(b"[]").unwrap().digest);
    for (bad, word) in [
        (r#"[{"name": "f", "op": "item_cuont"}]"#, "item_cuont"),
        (r#"[{"name": "f", "op": "item_count", "event": "clik", "window_ms": 0}]"#, "clik"),
        (r#"[{"name": "f", "op": "item_count", "event": "click", "window_ms": 7}]"#, "window of 7"),
        (r#"[{"name": "f", "op": "item_count", "event": "click"}]"#, "window_ms"),
        (r#"[{"name": "f", "op": "user_decayed", "event": "click", "half_life_ms": 0}]"#, "half_life_ms"),
        (r#"[{"name": "f", "op": "user_moment", "moment": "dwell"}]"#, "statistic"),
        (r#"[{"name": "f", "op": "user_sessions", "colour": 1}]"#, "colour"),
        (r#"[{"name": "f", "op": "found_by", "value": "covisit"}]"#, "covisit"),
        (r#"[{"name": "f", "op": "near", "value": "median"}]"#, "median"),
        (r#"[{"name": "f", "op": "context_item_count", "key": "shoe", "window_ms": 0}]"#, "shoe"),
    ] {
        let error = Plan::parse(bad.as_bytes()).unwrap_err();
        assert_eq!(error.code(), "bad_feature");
        assert!(error.to_string().contains(word), "{error}");
    }
}
