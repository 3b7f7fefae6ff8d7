//! Text search on small catalogues with literal answers, and the laws of an index that has a past.

use super::*;

fn put(c: &mut Catalogue, item: serde_json::Value) -> u32 {
    c.upsert(item.to_string().as_bytes(), 1).unwrap()
}

fn titles(list: &[&str]) -> Catalogue {
    let mut c = Catalogue::default();
    for (i, title) in list.iter().enumerate() {
        put(&mut c, serde_json::json!({"id": i.to_string(), "title": title}));
    }
    c
}

fn ids(index: &mut TextIndex, c: &Catalogue, query: &str) -> Vec<u32> {
    index.search(c, query, 100).into_iter().map(|(item, _)| item).collect()
}

#[test]
fn scores_are_those_of_the_paper() {
    let c = titles(&["red shoe", "red red hat", "blue hat"]);
    let mut index = TextIndex::default();
    // Lengths by weight 8, 12, 8, on average 28 / 3; red occurs 4 and 8 times by weight.
    let idf = (1.0f64 + (3.0 - 2.0 + 0.5) / (2.0 + 0.5)).ln();
    let worth = |count: f64, length: f64| idf * 2.2 * count / (count + 1.2 * (1.0 - 0.4 + 0.4 * length / (28.0 / 3.0)));
    let got = index.search(&c, "red ", 9);
    assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [1, 0]);
    assert!((f64::from(got[0].1) - worth(8.0, 12.0)).abs() < 1e-5);
    assert!((f64::from(got[1].1) - worth(4.0, 8.0)).abs() < 1e-5);
}

#[test]
fn every_field_counts_by_its_weight() {
    let mut c = Catalogue::default();
    put(&mut c, serde_json::json!({"id": "d", "description": "trail"}));
    put(&mut c, serde_json::json!({"id": "c", "categories": ["shoes > trail"]}));
    put(&mut c, serde_json::json!({"id": "b", "brand": "trail"}));
    put(&mut c, serde_json::json!({"id": "t", "title": "trail"}));
    put(&mut c, serde_json::json!({"id": "bare"}));
    put(&mut c, serde_json::json!({"id": "price", "price": 3, "attributes": {"trail": "trail"}}));
    let mut index = TextIndex::default();
    assert_eq!(ids(&mut index, &c, "Trail"), [3, 2, 1, 0]);
    assert_eq!(index.len(), 4, "an item without text is not in the index");
    assert_eq!(ids(&mut index, &c, "shoes"), [1]);
}

#[test]
fn the_last_word_may_be_unfinished() {
    let c = titles(&["running shoes", "running shorts", "shoe tree", "sh"]);
    let mut index = TextIndex::default();
    assert_eq!(ids(&mut index, &c, "running sho"), [0, 1, 2]);
    assert_eq!(ids(&mut index, &c, "shoe"), [2, 0], "the word itself before what begins with it");
    assert_eq!(ids(&mut index, &c, "shoe "), [2], "a space ends the word");
    assert_eq!(ids(&mut index, &c, "runn shoes"), [0], "only the last word");
    assert_eq!(ids(&mut index, &c, "s"), [0; 0], "one letter begins too much");
}

#[test]
fn nothing_asked_or_nothing_known_finds_nothing() {
    let c = titles(&["red shoe"]);
    let mut index = TextIndex::default();
    for query in ["", "   ", "?!", "zzz", "🎧", "\u{0}"] {
        assert_eq!(ids(&mut index, &c, query), [0; 0], "{query:?}");
    }
    assert!(index.search(&c, "red", 0).is_empty());
    assert!(TextIndex::default().search(&Catalogue::default(), "red", 5).is_empty());
}

#[test]
fn an_absurdly_long_query_is_read_in_part() {
    let c = titles(&["red shoe", "hat"]);
    let mut index = TextIndex::default();
    let long = format!("red {}", "word ".repeat(200_000));
    assert_eq!(ids(&mut index, &c, &long), [0]);
    assert_eq!(ids(&mut index, &c, &"x".repeat(1 << 20)), [0; 0]);
    let late = format!("{} hat", "a ".repeat(2_000));
    assert_eq!(ids(&mut index, &c, &late), [0; 0], "beyond what is read");
}

#[test]
fn other_scripts_are_found() {
    let c = titles(&["Крем для рук", "東京ラーメン", "Café Crème", "한국어 책", "كِتَاب"]);
    let mut index = TextIndex::default();
    for (query, item) in
        [("крем", 0), ("КРЕМ рук", 0), ("ラーメン", 1), ("京", 1), ("cafe", 2), ("CRÈME", 2), ("한국", 3), ("كتاب", 4)]
    {
        assert_eq!(ids(&mut index, &c, query), [item], "{query}");
    }
}

#[test]
fn changes_are_seen_by_the_next_search() {
    let mut c = titles(&["red shoe", "red hat"]);
    let mut index = TextIndex::default();
    assert_eq!(ids(&mut index, &c, "red"), [0, 1]);
    let boot = put(&mut c, serde_json::json!({"id": "2", "title": "red boot"}));
    put(&mut c, serde_json::json!({"id": "0", "title": "blue shoe"}));
    put(&mut c, serde_json::json!({"id": "1", "title": "red hat", "available": false}));
    index.changed(&[0, 1, boot]);
    assert_eq!(ids(&mut index, &c, "red"), [2]);
    assert_eq!(ids(&mut index, &c, "shoe"), [0]);
    c.delete("2");
    put(&mut c, serde_json::json!({"id": "1", "title": "red hat"}));
    index.changed(&[1, 2]);
    assert_eq!(ids(&mut index, &c, "red"), [1]);
}

#[test]
fn a_backlog_is_worked_off_in_shares() {
    let c = titles(&["a one", "a two", "a three", "a four", "a five"]);
    let mut index = TextIndex::default();
    index.changed(&[0]);
    assert!(index.keep_up(&c, 9) && index.is_empty(), "nobody searches here yet");
    assert_eq!((index.catch_up(&c, 2), index.len()), (3, 2));
    assert!(!index.keep_up(&c, 2) && index.keep_up(&c, 1));
    index.changed(&[1, 2, 3]);
    index.changed(&[0]);
    assert_eq!(index.catch_up(&c, 2), 2);
    assert_eq!(ids(&mut index, &c, "five"), [4], "a search does the rest");
    assert_eq!((index.catch_up(&c, 9), index.len()), (0, 5));
}

/// Words of a small language, in shares like those of a real one: few are frequent.
fn prose(seed: u64, words: usize) -> String {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as f64 / (1u64 << 53) as f64
    };
    let word = |r: f64| format!("w{}", ((r * r * r * 400.0) as u32).to_string().replace('1', "one"));
    (0..words).map(|_| word(next())).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_index_with_a_past_answers_as_a_fresh_one() {
    let mut c = Catalogue::default();
    let mut old = TextIndex::default();
    old.catch_up(&c, 1);
    for round in 0..5u64 {
        let mut changed = Vec::new();
        for i in 0..900u64 {
            if (i + round) % 3 > 0 {
                let (title, about) = (prose(i + 10_000 * round, 4), prose(i + 777 * round, 12));
                let available = (i + round) % 11 > 0;
                let item = serde_json::json!({"id": i.to_string(), "title": title, "description": about,
                    "available": available});
                changed.push(put(&mut c, item));
            } else if let Some(item) = c.ids().index(&i.to_string()) {
                c.delete(&i.to_string());
                changed.push(item);
            }
        }
        old.changed(&changed);
        old.catch_up(&c, usize::MAX);
    }
    assert!(old.documents.len() < 2_500, "what died was cleared away: {}", old.documents.len());
    let mut fresh = TextIndex::default();
    for seed in 0..60 {
        let query = prose(seed, 1 + seed as usize % 5);
        let got = old.search(&c, &query, 50);
        assert_eq!(got, fresh.search(&c, &query, 50), "{query}");
        assert!(got.windows(2).all(|w| w[0].1 > w[1].1 || (w[0].1 == w[1].1 && w[0].0 < w[1].0)));
    }
    assert!(fresh.memory_bytes() < old.memory_bytes() * 2 && old.memory_bytes() < fresh.memory_bytes() * 3);
}

#[test]
fn leaving_out_what_cannot_come_in_changes_no_list() {
    // One word is in all items, the others in few: the long list is closed once there are enough better ones.
    let list: Vec<String> = (0..6_000).map(|i| format!("shop {}", prose(i, 6))).collect();
    let c = titles(&list.iter().map(String::as_str).collect::<Vec<_>>());
    let mut index = TextIndex::default();
    for seed in 0..40 {
        let query = format!("shop {} ", prose(seed, 3));
        let all = index.search(&c, &query, 6_000);
        for n in [1, 10, 200] {
            assert_eq!(index.search(&c, &query, n), all[..n.min(all.len())], "{query}");
        }
    }
}
