//! Laws over many inputs, and what the catalogue costs.

use super::*;
use std::time::Instant;

/// A small generator of numbers; seeded, so a failure repeats.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

const ITEM: &str = r#"{"id":"a","title":"té\n","categories":["x > y"],"brand":"b","price":9.5,
    "created_at":"2026-01-31T12:00:00Z","attributes":{"k":["v"],"n":1},"embedding":[1,2]}"#;
const USER: &str = r#"{"id":"u","attributes":{"a":null,"b":"c"},"features":{"x":1.5},"as_of":"2026-01-31T12:00:00Z"}"#;
const FILTER: &str = r#"{"and":[{"not":{"field":"attributes.k","op":"in","value":["v",1,true]}},
    {"or":[{"field":"price","op":"lte","value":1}]}]}"#;

fn mutate(numbers: &mut Numbers, text: &str) -> Vec<u8> {
    let mut bytes = text.replace('\n', "").into_bytes();
    for _ in 0..=numbers.below(2) {
        let at = numbers.below(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        let bytes_of_json = b"{}[]\",:\\u0\x00\xff19.-eE ntf>";
        let other = bytes_of_json[numbers.below(bytes_of_json.len())];
        match numbers.below(4) {
            0 if !bytes.is_empty() => bytes[at] = other,
            1 if !bytes.is_empty() => drop(bytes.remove(at)),
            2 => bytes.insert(at, other),
            _ => {
                let end = (at + numbers.below(20)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

#[test]
fn no_body_makes_a_panic_and_every_accepted_item_is_canonical() {
    let limits = Limits::default();
    let mut numbers = Numbers(11);
    let (mut accepted, mut filters) = (0, 0);
    let mut catalogue = Catalogue::default();
    for round in 0..30_000 {
        let ndjson = round % 3 == 0;
        if let Ok(batch) = parse_items(&mutate(&mut numbers, ITEM), ndjson, &limits, None) {
            for (_, id, json) in batch.items {
                accepted += 1;
                let again = parse_items(&json, false, &limits, None).unwrap();
                assert_eq!(again.items, [(0, id, json.clone())]);
                catalogue.upsert(&json, 1).unwrap();
            }
        }
        if let Ok(json) = merge_patch(Some(ITEM.as_bytes()), "a", &mutate(&mut numbers, ITEM), &limits, None) {
            assert_eq!(merge_patch(Some(&json), "a", b"{}", &limits, None).unwrap(), json);
        }
        if let Ok(batch) = parse_users(&mutate(&mut numbers, USER), ndjson, &limits) {
            for (_, _, json) in batch.users {
                let merged = merge_user(None, &json, &limits);
                assert_eq!(merge_user(Some(&merged), &json, &limits), merged, "merging twice is merging once");
            }
        }
        if let Ok(filter) = Filter::parse(&mutate(&mut numbers, FILTER)) {
            filters += 1;
            for (_, item) in catalogue.iter_present().take(5) {
                let _ = filter.matches(&catalogue, item);
            }
        }
        let _ = Catalogue::default().restore(&mutate(&mut numbers, "\0\u{1}a\u{1}\u{2}\u{a}{\"id\":\"a\"}"));
    }
    assert!(accepted > 1_000 && filters > 500, "{accepted} {filters}");
}

#[test]
fn any_history_is_restored_byte_for_byte() {
    let mut numbers = Numbers(5);
    let mut live = Catalogue::default();
    for step in 0..5_000 {
        let id = numbers.below(400);
        match numbers.below(4) {
            0 => drop(live.intern(&format!("i{id}"))),
            1 => drop(live.delete(&format!("i{id}"))),
            _ => {
                let (top, leaf, brand) = (numbers.below(5), numbers.below(9), numbers.below(7));
                let json =
                    format!(r#"{{"id":"i{id}","categories":["c{top} > d{leaf}"],"brand":"b{brand}","price":{step}}}"#);
                live.upsert(json.as_bytes(), step).unwrap();
            }
        }
    }
    let mut back = Catalogue::default();
    for i in 0..live.ids().len() as u32 {
        back.restore(&live.entry(i)).unwrap();
    }
    assert_eq!(back.len(), live.len());
    let held: usize = live.iter_present().map(|(_, item)| item.memory_bytes()).sum();
    assert!(live.memory_bytes() > held && live.memory_bytes() < 3 * held);
    let filter = Filter::parse(
        br#"{"and":[{"field":"categories","op":"eq","value":"c1"},{"field":"price","op":"gt","value":99}]}"#,
    );
    let filter = filter.unwrap();
    let mut passed = 0;
    for i in 0..live.ids().len() as u32 {
        assert_eq!(back.entry(i), live.entry(i));
        assert_eq!(back.similarity(i, i / 2), live.similarity(i, i / 2));
        let of = |c: &Catalogue| c.get(i).map(|item| (filter.matches(c, item), item.added_ms()));
        assert_eq!(of(&back), of(&live));
        passed += usize::from(of(&live).is_some_and(|f| f.0));
    }
    assert!(passed > 10, "{passed}");
}

fn shop_item(i: usize, numbers: &mut Numbers) -> String {
    let (a, b, c) = (numbers.below(12), numbers.below(8), numbers.below(6));
    format!(
        r#"{{"id":"item-{i}","title":"A believable title of product {i}",
            "description":"Some words about what it is and why one wants it, {i}.",
            "categories":["Top {a} > Middle {b} > Leaf {c}"],"brand":"Brand {}","price":{}.99,"currency":"EUR",
            "attributes":{{"color":"color {}","material":"m{}","size":["S","M","L"],"weight":{}}},
            "image_url":"/img/{i}.svg"}}"#,
        numbers.below(300),
        numbers.below(500),
        numbers.below(12),
        numbers.below(20),
        numbers.below(5000),
    )
}

/// `cargo test --release items::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    const N: usize = 100_000;
    let mut numbers = Numbers(1);
    let bodies: Vec<String> = (0..N).map(|i| shop_item(i, &mut numbers)).collect();
    let per = |start: Instant, n: usize| start.elapsed().as_nanos() as f64 / n as f64;
    let start = Instant::now();
    let parsed: Vec<Vec<u8>> = bodies
        .iter()
        .map(|b| parse_items(b.as_bytes(), false, &Limits::default(), None).unwrap().items.remove(0).2)
        .collect();
    println!("parse and check  {:8.0} ns/item", per(start, N));
    let mut c = Catalogue::default();
    let start = Instant::now();
    for json in &parsed {
        c.upsert(json, 1).unwrap();
    }
    println!("upsert           {:8.0} ns/item", per(start, N));
    println!("memory           {:8.0} bytes/item, JSON {}", c.memory_bytes() as f64 / N as f64, parsed[0].len());
    let thousand: Vec<String> = (0..1000).map(|i| format!("\"item-{}\"", i * 7)).collect();
    for (name, filter) in [
        ("price <", r#"{"field":"price","op":"lt","value":100}"#.to_owned()),
        ("category =", r#"{"field":"categories","op":"eq","value":"Top 3 > Middle 2"}"#.to_owned()),
        ("attribute =", r#"{"field":"attributes.material","op":"eq","value":"m3"}"#.to_owned()),
        ("title contains", r#"{"field":"title","op":"contains","value":"product 77"}"#.to_owned()),
        ("id in 1000", format!(r#"{{"field":"id","op":"in","value":[{}]}}"#, thousand.join(","))),
        (
            "and of three",
            r#"{"and":[{"field":"available","op":"eq","value":true},{"field":"price","op":"lt",
            "value":250},{"field":"brand","op":"in","value":["Brand 1","Brand 2"]}]}"#
                .to_owned(),
        ),
    ] {
        let filter = Filter::parse(filter.as_bytes()).unwrap();
        let start = Instant::now();
        let passed = c.iter_present().filter(|(_, item)| filter.matches(&c, item)).count();
        println!("filter {name:14} {:6.1} ns/item, {passed} pass", per(start, N));
    }
    let start = Instant::now();
    let mut sum = 0.0;
    for i in 0..1_000_000u32 {
        sum += c.similarity(i.wrapping_mul(7919) % 200, i.wrapping_mul(104_729) % 200);
    }
    println!("similarity       {:8.1} ns, mean {:.3}", per(start, 1_000_000), sum / 1e6);
}
