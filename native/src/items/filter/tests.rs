use super::Filter;
use crate::error::Error;
use crate::items::Catalogue;

const ITEM: &str = r#"{"id":"i1","title":"Red Running SHOE","description":"a \"quoted\" Größe",
    "categories":["Men > Shoes > Running","Sale"],"brand":"Nike","price":49.5,"currency":"EUR",
    "available":false,"created_at":"2026-01-01T00:00:00Z","attributes":{"color":"red","list":["a","b"],
    "new":true,"none":[],"size":42},"image_url":"https://x/1.png"}"#;

fn catalogue() -> Catalogue {
    let mut c = Catalogue::default();
    c.upsert(ITEM.as_bytes(), 1).unwrap();
    c.upsert(br#"{"id":"i2"}"#, 1).unwrap();
    c
}

/// Whether the full item and the bare one pass.
fn both(filter: &str) -> (bool, bool) {
    let c = catalogue();
    let f = Filter::parse(filter.as_bytes()).unwrap_or_else(|e| panic!("{filter}: {e}"));
    (f.matches(&c, c.get(0).unwrap()), f.matches(&c, c.get(1).unwrap()))
}

fn test(field: &str, op: &str, value: &str) -> (bool, bool) {
    both(&format!(r#"{{"field":"{field}","op":"{op}","value":{value}}}"#))
}

fn bad(filter: &str) -> (String, String) {
    match Filter::parse(filter.as_bytes()).unwrap_err() {
        Error::Invalid { code: "bad_filter", field, message } => (field, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_op_on_every_field() {
    for (field, op, value, full, bare) in [
        ("id", "eq", r#""i1""#, true, false),
        ("id", "in", r#"["i2","x"]"#, false, true),
        ("title", "eq", r#""red running shoe""#, false, false),
        ("title", "contains", r#""running s""#, true, false),
        ("title", "contains", r#""shoes""#, false, false),
        ("title", "contains", r#""""#, true, false),
        ("title", "gt", r#""Blue""#, true, false),
        ("title", "lt", r#""Blue""#, false, false),
        ("title", "eq", "1", false, false),
        ("description", "contains", r#""GRÖSSE""#, false, false),
        ("description", "contains", r#""größe""#, true, false),
        ("description", "contains", r#""\"Quoted\"""#, true, false),
        ("brand", "eq", r#""Nike""#, true, false),
        ("brand", "eq", r#""nike""#, false, false),
        ("brand", "ne", r#""Nike""#, false, true),
        ("brand", "ne", "3", true, true),
        ("brand", "in", r#"["Puma","Nike"]"#, true, false),
        ("brand", "not_in", r#"["Puma","Nike"]"#, false, true),
        ("brand", "in", "[]", false, false),
        ("brand", "not_in", "[]", true, true),
        ("seller", "eq", r#""x""#, false, false),
        ("seller", "ne", r#""x""#, true, true),
        ("price", "eq", "49.5", true, false),
        ("price", "eq", r#""49.5""#, false, false),
        ("price", "in", "[1, 49.50]", true, false),
        ("price", "lt", "49.5", false, false),
        ("price", "lte", "49.5", true, false),
        ("price", "gt", "49.4", true, false),
        ("price", "gte", "49.5", true, false),
        ("price", "gte", "50", false, false),
        ("price", "gt", r#""1""#, false, false),
        ("price", "contains", r#""49""#, false, false),
        ("currency", "eq", r#""EUR""#, true, false),
        ("available", "eq", "true", false, true),
        ("available", "ne", "true", true, false),
        ("available", "in", "[false]", true, false),
        ("available", "eq", r#""true""#, false, false),
        ("available", "lt", "1", false, false),
        ("created_at", "gte", r#""2026-01-01T01:00:00+01:00""#, true, false),
        ("created_at", "gt", r#""2026-01-01T00:00:00Z""#, false, false),
        ("created_at", "lt", "1767225600001", true, false),
        ("created_at", "eq", "1767225600000", true, false),
        ("image_url", "contains", r#""X/1""#, true, false),
        ("attributes.color", "eq", r#""red""#, true, false),
        ("attributes.size", "gt", "41", true, false),
        ("attributes.size", "eq", r#""42""#, false, false),
        ("attributes.new", "eq", "true", true, false),
        ("attributes.new", "in", "[false]", false, false),
        ("attributes.list", "eq", r#""b""#, true, false),
        ("attributes.list", "ne", r#""b""#, false, true),
        ("attributes.list", "in", r#"["c","a"]"#, true, false),
        ("attributes.list", "not_in", r#"["c","a"]"#, false, true),
        ("attributes.list", "contains", r#""a""#, true, false),
        ("attributes.list", "contains", r#""A""#, false, false),
        ("attributes.list", "gt", r#""a""#, false, false),
        ("attributes.other", "ne", "1", true, true),
        ("attributes.other", "lt", "1", false, false),
    ] {
        assert_eq!(test(field, op, value), (full, bare), "{field} {op} {value}");
    }
}

#[test]
fn a_category_belongs_to_every_level_of_its_path() {
    for (op, value, full) in [
        ("eq", r#""Men""#, true),
        ("eq", r#"" Men >  Shoes""#, true),
        ("eq", r#""Men > Shoes > Running""#, true),
        ("eq", r#""Sale""#, true),
        ("eq", r#""Shoes""#, false),
        ("eq", r#""Me""#, false),
        ("eq", r#""Men > Shoes > Running > Trail""#, false),
        ("ne", r#""Men""#, false),
        ("in", r#"["x","Men > Shoes"]"#, true),
        ("not_in", r#"["x","Men > Shoes"]"#, false),
        ("contains", r#""Men > Shoes""#, true),
        ("contains", r#""Shoes""#, true),
        ("contains", r#""Shoe""#, false),
        ("contains", r#""shoes""#, false),
        ("gt", r#""A""#, false),
    ] {
        assert_eq!(test("categories", op, value).0, full, "{op} {value}");
    }
}

#[test]
fn exists_tells_what_is_there() {
    for (field, full, bare) in [
        ("id", true, true),
        ("title", true, false),
        ("categories", true, false),
        ("seller", false, false),
        ("available", true, true),
        ("created_at", true, false),
        ("attributes.color", true, false),
        ("attributes.none", false, false),
    ] {
        assert_eq!(both(&format!(r#"{{"field":"{field}","op":"exists"}}"#)), (full, bare), "{field}");
        assert_eq!(test(field, "exists", "true"), (full, bare), "{field}");
        assert_eq!(test(field, "exists", "false"), (!full, !bare), "{field}");
    }
}

#[test]
fn nodes_combine() {
    let price = r#"{"field":"price","op":"gt","value":10}"#;
    let brand = r#"{"field":"brand","op":"eq","value":"Puma"}"#;
    assert_eq!(both(r#"{"and":[]}"#), (true, true));
    assert_eq!(both(r#"{"or":[]}"#), (false, false));
    assert_eq!(both(&format!(r#"{{"and":[{price},{brand}]}}"#)), (false, false));
    assert_eq!(both(&format!(r#"{{"or":[{price},{brand}]}}"#)), (true, false));
    assert_eq!(both(&format!(r#"{{"not":{price}}}"#)), (false, true));
    assert_eq!(both(&format!(r#"{{"not":{{"or":[{brand},{{"not":{price}}}]}}}}"#)), (true, false));
}

#[test]
fn what_is_no_filter_is_refused_with_its_path() {
    let ok = r#"{"field":"price","op":"gt","value":10}"#;
    for (filter, path) in [
        ("", "filter"),
        ("{", "filter"),
        ("[]", "filter"),
        ("null", "filter"),
        ("{}", "filter"),
        (r#"{"and":[],"or":[]}"#, "filter"),
        (r#"{"and":{}}"#, "filter.and"),
        (r#"{"and":[1]}"#, "filter.and[0]"),
        (r#"{"not":[]}"#, "filter.not"),
        (r#"{"op":"eq"}"#, "filter.field"),
        (r#"{"field":"price"}"#, "filter.op"),
        (r#"{"field":"price","op":1,"value":1}"#, "filter.op"),
        (r#"{"field":"price","op":"eq"}"#, "filter.value"),
        (r#"{"field":"price","op":"eq","value":null}"#, "filter.value"),
        (r#"{"field":"price","op":"eq","value":[1]}"#, "filter.value"),
        (r#"{"field":"price","op":"lt","value":true}"#, "filter.value"),
        (r#"{"field":"price","op":"in","value":1}"#, "filter.value"),
        (r#"{"field":"price","op":"in","value":[1,{}]}"#, "filter.value[1]"),
        (r#"{"field":"title","op":"contains","value":1}"#, "filter.value"),
        (r#"{"field":"title","op":"exists","value":1}"#, "filter.value"),
        (r#"{"field":"created_at","op":"gt","value":"monday"}"#, "filter.value"),
        (r#"{"field":"embedding","op":"exists"}"#, "filter.field"),
        (r#"{"field":"attributes.","op":"exists"}"#, "filter.field"),
        (r#"{"field":7,"op":"exists"}"#, "filter.field"),
        (r#"{"field":"price","op":"gt","value":1,"not":{}}"#, "filter"),
        (r#"{"field":"price","op":"gt","value":1,"boost":2}"#, "filter.boost"),
    ] {
        assert_eq!(bad(filter).0, path, "{filter}");
    }
    assert_eq!(
        bad(&format!(r#"{{"or":[{ok},{{"not":{{"field":"price","op":"gr","value":1}}}}]}}"#)).0,
        "filter.or[1].not.op"
    );
    assert_eq!(bad(r#"{"field":"prise","op":"gt"}"#).1, "unknown field \"prise\"; did you mean \"price\"?");
    assert_eq!(bad(r#"{"field":"price","op":"ltee"}"#).1, "unknown op \"ltee\"; did you mean \"lte\"?");
    assert_eq!(bad(r#"{"adn":[]}"#).1, "not a part of a filter; did you mean \"and\"?");
}

#[test]
fn depth_nodes_and_values_are_bounded() {
    let ok = r#"{"field":"price","op":"gt","value":10}"#;
    let nested = |n: usize| format!("{}{ok}{}", r#"{"not":"#.repeat(n), "}".repeat(n));
    let wide = |n: usize| format!(r#"{{"and":[{}]}}"#, vec![ok; n].join(","));
    let values = |n: usize| format!(r#"{{"field":"price","op":"in","value":[{}]}}"#, vec!["1"; n].join(","));
    assert!(Filter::parse(nested(15).as_bytes()).is_ok());
    assert_eq!(bad(&nested(16)).1, "deeper than 16 levels");
    assert_eq!(bad(&nested(500)).0, "filter");
    assert!(Filter::parse(wide(255).as_bytes()).is_ok());
    assert_eq!(bad(&wide(256)), ("filter.and[255]".into(), "more than 256 nodes".into()));
    assert!(Filter::parse(values(1000).as_bytes()).is_ok());
    assert_eq!(bad(&values(1001)).1, "more than 1000 values");
}
