//! The table of item vectors: means for strangers, visibility, what an index outside is told.

use super::*;

fn put(c: &mut Catalogue, id: &str, categories: &[&str], available: bool) -> u32 {
    let json = serde_json::json!({"id": id, "categories": categories, "available": available}).to_string();
    c.upsert(json.as_bytes(), 1).unwrap()
}

fn nearest(table: &VectorTable, vector: &[f32], n: usize) -> Vec<(u32, f32)> {
    let mut out = Vec::new();
    table.clone().nearest(vector, n, &mut Scratch::default(), &mut out);
    out
}

#[test]
fn a_search_for_many_settles_its_border_exactly_and_lends_its_scores() {
    let mut c = Catalogue::default();
    let ids: Vec<String> = (0..3_000).map(|i| format!("i{i}")).collect();
    ids.iter().for_each(|id| assert!(put(&mut c, id, &["m"], true) < 3_000));
    let given: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut x = 7u32;
    let mut noise = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let rows: Vec<f32> = (0..3_000 * 16).map(|_| noise()).collect();
    let query: Vec<f32> = (0..16).map(|_| noise()).collect();
    let mut table = VectorTable::default();
    table.set(&c, &given, &rows, 16).unwrap();
    let mut exact: Vec<(u32, f32)> = (0..3_000).map(|item| (item, table.affinity(item, &query))).collect();
    exact.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut found = Vec::new();
    table.nearest(&query, 400, &mut Scratch::default(), &mut found);
    let mut sorted = [&found, &exact[..400]].map(|list| list.iter().map(|(item, _)| *item).collect::<Vec<u32>>());
    sorted.iter_mut().for_each(|list| list.sort_unstable());
    assert_eq!(sorted[0], sorted[1]);
    let near = |score: f32, item: u32| (score - table.affinity(item, &query)).abs() < 0.02 * exact[0].1;
    assert!(found.iter().all(|(item, score)| near(*score, *item)));
    let mut rough = Vec::new();
    table.rough_affinities(0..3_000, &query, &mut rough);
    for (item, score) in &found {
        assert_eq!(rough[*item as usize], *score, "as the search said");
    }
    for (item, score) in &exact[400..] {
        assert_eq!(rough[*item as usize].to_bits(), score.to_bits(), "computed");
    }
    table.set(&c, &given, &rows, 16).unwrap();
    table.rough_affinities(0..3_000, &query, &mut rough);
    assert!(exact.iter().all(|(item, score)| rough[*item as usize] == *score), "rows were written since");
}

#[test]
fn an_item_without_a_vector_gets_the_mean_of_its_most_specific_category() {
    let mut c = Catalogue::default();
    for (id, path) in [("a", "m > s > r"), ("b", "m > s > r"), ("c", "m > s > t"), ("d", "w")] {
        put(&mut c, id, &[path], true);
    }
    let same = put(&mut c, "same", &["nobody", "m > s > r"], true);
    let sibling = put(&mut c, "sibling", &["m > s > other"], true);
    let stranger = put(&mut c, "stranger", &["x > y"], true);
    let bare = put(&mut c, "bare", &[], true);
    let mut table = VectorTable::default();
    let rows = [1.0, 0.0, 3.0, 2.0, 5.0, 7.0, 0.0, 1.0];
    table.set(&c, &["a", "b", "c", "d"], &rows, 2).unwrap();
    assert_eq!(table.row(0), Some(&[1.0, 0.0][..]));
    assert_eq!(table.row(same), Some(&[2.0, 1.0][..]));
    assert_eq!(table.row(sibling), Some(&[3.0, 3.0][..]));
    assert_eq!((table.row(stranger), table.row(bare), table.row(99)), (None, None, None));
    assert_eq!((table.len(), table.has(same), table.has(bare)), (6, true, false));
    assert_eq!(nearest(&table, &[1.0, 0.0], 9), [(2, 5.0), (1, 3.0), (5, 3.0), (4, 2.0), (0, 1.0), (3, 0.0)]);
    assert_eq!((table.affinity(2, &[1.0, 2.0]), table.affinity(bare, &[1.0, 2.0])), (19.0, 0.0));
    assert_eq!(table.affinity(2, &[1.0]), 0.0, "another space");
}

#[test]
fn what_is_put_later_is_found_and_what_goes_is_not() {
    let mut c = Catalogue::default();
    put(&mut c, "a", &["m"], true);
    let mut table = VectorTable::default();
    table.set(&c, &["a", "late", "never"], &[1.0, 0.0, 0.0, 2.0, 9.0, 9.0], 2).unwrap();
    assert_eq!(nearest(&table, &[1.0, 1.0], 9), [(0, 1.0)]);
    let (late, mean) = (put(&mut c, "late", &["m"], true), put(&mut c, "mean", &["m"], true));
    table.refresh(&c, &[late, mean]);
    assert_eq!(nearest(&table, &[1.0, 1.0], 9), [(late, 2.0), (mean, 1.5), (0, 1.0)]);
    put(&mut c, "late", &["m"], false);
    c.delete("a");
    table.refresh(&c, &[0, late]);
    assert_eq!(nearest(&table, &[1.0, 1.0], 9), [(mean, 2.0)], "only `late` is left to make the mean");
    assert!(table.has(0) && !table.may_be_found(0), "a deleted item may still stand in a session");
    put(&mut c, "a", &["elsewhere"], true);
    table.refresh(&c, &[0]);
    assert_eq!(nearest(&table, &[1.0, 0.0], 1), [(0, 1.0)]);
    let seen = c.intern("never");
    table.refresh(&c, &[]);
    assert_eq!((table.row(seen), table.may_be_found(seen)), (Some(&[9.0, 9.0][..]), false));
    table.clear();
    assert_eq!((table.dimension(), table.len(), table.row(0)), (0, 0, None));
    table.refresh(&c, &[0]);
    assert!(nearest(&table, &[1.0, 0.0], 1).is_empty());
}

#[test]
fn the_order_in_which_things_come_does_not_show() {
    let paths = ["m > s", "m > t", "w", "m"];
    let ids: Vec<String> = (0..60).map(|i| format!("i{i}")).collect();
    let rows: Vec<f32> = (0..40 * 3).map(|i| ((i * 37 % 101) as f32 - 50.0) / 7.0).collect();
    let given: Vec<&str> = ids[..40].iter().map(String::as_str).collect();
    let item = |c: &mut Catalogue, i: usize| put(c, &ids[i], &[paths[i % 4]], !i.is_multiple_of(7));
    let mut at_once = Catalogue::default();
    (0..60).for_each(|i| assert_eq!(item(&mut at_once, i), i as u32));
    let mut wanted = VectorTable::default();
    wanted.set(&at_once, &given, &rows, 3).unwrap();

    let mut c = Catalogue::default();
    ids.iter().enumerate().for_each(|(i, id)| assert_eq!(c.intern(id), i as u32));
    let mut table = VectorTable::default();
    table.set(&c, &given, &rows, 3).unwrap();
    for i in (0..60).map(|i| i * 23 % 60) {
        put(&mut c, &ids[i], &["w"], true);
        table.refresh(&c, &[i as u32]);
        if i % 2 == 0 {
            c.delete(&ids[i]);
            table.refresh(&c, &[i as u32]);
        }
        item(&mut c, i);
        table.refresh(&c, &[i as u32]);
    }
    for i in 0..60 {
        assert_eq!(table.row(i), wanted.row(i), "{i}");
        assert_eq!(table.may_be_found(i), wanted.may_be_found(i), "{i}");
    }
    assert_eq!(nearest(&table, &[1.0, 0.5, -1.0], 99), nearest(&wanted, &[1.0, 0.5, -1.0], 99));
}

#[test]
fn likeness_is_the_cosine_and_opposites_are_merely_not_alike() {
    let mut c = Catalogue::default();
    for id in ["a", "b", "c", "zero"] {
        put(&mut c, id, &[], true);
    }
    let bare = put(&mut c, "bare", &[], true);
    let mut table = VectorTable::default();
    table.set(&c, &["a", "b", "c", "zero"], &[3.0, 4.0, 8.0, 6.0, -3.0, -4.0, 0.0, 0.0], 2).unwrap();
    assert!((table.similarity(0, 1).unwrap() - 0.96).abs() < 1e-6);
    assert_eq!((table.similarity(0, 2), table.similarity(0, 3)), (Some(0.0), Some(0.0)));
    assert_eq!((table.similarity(0, bare), table.similarity(bare, bare)), (None, None));
}

#[test]
fn vectors_that_do_not_fit_are_refused_and_the_old_ones_stay() {
    let mut c = Catalogue::default();
    put(&mut c, "a", &[], true);
    let mut table = VectorTable::default();
    table.set(&c, &["a"], &[1.0, 2.0], 2).unwrap();
    for (rows, dimension, code) in
        [(&[1.0, 2.0, 3.0][..], 2, "bad_vectors"), (&[], 0, "bad_vectors"), (&[1.0, f32::NAN], 2, "not_finite")]
    {
        assert_eq!(table.set(&c, &["a"], rows, dimension).unwrap_err().code(), code);
    }
    assert_eq!(table.row(0), Some(&[1.0, 2.0][..]));
    assert!(nearest(&table, &[1.0], 5).is_empty(), "a query of another length");
    table.set(&c, &["a", "a"], &[1.0, 2.0, 3.0, 4.0], 2).unwrap();
    assert_eq!(table.row(0), Some(&[3.0, 4.0][..]), "the last of one id");
}

#[test]
fn what_is_staged_in_parts_becomes_what_is_set_at_once() {
    let mut c = Catalogue::default();
    let ids: Vec<String> = (0..30).map(|i| format!("i{i}")).collect();
    let given: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rows: Vec<f32> = (0..60).map(|i| (i * 17 % 31) as f32).collect();
    ids[..20].iter().enumerate().for_each(|(i, id)| assert_eq!(put(&mut c, id, &["m"], true), i as u32));
    put(&mut c, "bare", &["m"], true);
    let mut table = VectorTable::default();
    table.set(&c, &["i3"], &[7.0], 1).unwrap();
    assert!(!table.adopt(), "nothing waits");
    table.stage(&c, &given[..9], &rows[..18], 2).unwrap();
    assert_eq!((table.row(3), table.row(1)), (Some(&[7.0][..]), Some(&[7.0][..])), "the old ones still serve");
    c.delete("i2");
    ids[20..].iter().for_each(|id| assert!(put(&mut c, id, &["m", "w"], true) > 20));
    table.refresh(&c, &(2..31).collect::<Vec<u32>>());
    table.stage(&c, &given[5..], &rows[10..], 2).unwrap();
    assert!(table.adopt() && !table.adopt());
    table.refresh(&c, &[]);
    let mut wanted = VectorTable::default();
    wanted.set(&c, &given, &rows, 2).unwrap();
    for item in 0..31 {
        assert_eq!(table.row(item), wanted.row(item), "{item}");
        assert_eq!(table.may_be_found(item), wanted.may_be_found(item), "{item}");
    }
    table.stage(&c, &["i1"], &[1.0, 2.0], 2).unwrap();
    assert_eq!(table.stage(&c, &["i1"], &[1.0], 1).unwrap_err().code(), "bad_vectors");
    assert!(!table.adopt(), "what was refused takes the rest with it");
}

#[test]
fn what_is_held_beside_is_lent_and_both_follow_the_catalogue() {
    let mut c = Catalogue::default();
    ["a", "b", "bare"].iter().for_each(|id| assert!(put(&mut c, id, &["m"], true) < 3));
    let mut table = VectorTable::default();
    table.set(&c, &["a", "b"], &[1.0, 3.0], 1).unwrap();
    table.swap();
    assert_eq!(table.row(0), Some(&[1.0][..]), "nothing is held");
    table.stage(&c, &["a", "b", "late"], &[1.0, 2.0, 5.0, 6.0, 7.0, 8.0], 2).unwrap();
    table.hold();
    table.refresh(&c, &[]);
    table.swap();
    assert_eq!((table.dimension(), table.row(1), table.row(2)), (2, Some(&[5.0, 6.0][..]), Some(&[3.0, 4.0][..])));
    let late = put(&mut c, "late", &["w"], true);
    c.delete("a");
    table.refresh(&c, &[0, late]);
    assert_eq!(
        (table.row(late), table.may_be_found(0), table.may_be_found(late)),
        (Some(&[7.0, 8.0][..]), false, true)
    );
    table.swap();
    assert_eq!((table.dimension(), table.row(1), table.may_be_found(0)), (1, Some(&[3.0][..]), false));
    assert_eq!(table.row(late), None, "no vector and nobody of its category has one");
    table.swap();
    table.swap();
    table.unstage();
    table.swap();
    assert_eq!(table.dimension(), 1);
}

#[test]
fn an_index_outside_is_told_of_every_change_once() {
    let mut c = Catalogue::default();
    for id in ["a", "b", "c"] {
        put(&mut c, id, &["m"], true);
    }
    let mut table = VectorTable::default();
    table.set(&c, &["a", "b"], &[1.0, 2.0], 1).unwrap();
    assert_eq!((table.take_untold(), table.take_untold()), (vec![0, 1, 2], vec![]));
    c.delete("b");
    table.refresh(&c, &[1]);
    assert_eq!(table.take_untold(), [1, 2], "the mean of `c` has moved too");
    put(&mut c, "a", &["m"], true);
    table.refresh(&c, &[0]);
    assert_eq!(table.take_untold(), [0; 0], "nothing of its vector or visibility changed");
}

#[test]
fn affinities_of_a_list_are_those_of_its_items() {
    let mut c = Catalogue::default();
    for id in ["a", "b", "c"] {
        put(&mut c, id, &["m"], true);
    }
    let bare = put(&mut c, "bare", &[], true);
    let mut table = VectorTable::default();
    let vector: Vec<f32> = (0..37).map(|n| (n as f32 * 0.3).cos()).collect();
    let (mut hits, mut found) = (Vec::new(), vec![9.0]);
    table.affinities([0, 1].into_iter(), &vector, &mut hits, &mut found);
    assert_eq!(found, [0.0, 0.0], "no vectors yet");
    let rows: Vec<f32> = (0..3 * 37).map(|n| (n as f32 * 0.7).sin()).collect();
    table.set(&c, &["a", "b", "c"], &rows, 37).unwrap();
    let items = [2, bare, 0, 99, 2, 1];
    table.affinities(items.into_iter(), &vector, &mut hits, &mut found);
    let one_by_one = items.map(|item| table.affinity(item, &vector));
    assert_eq!(found.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), one_by_one.map(f32::to_bits));
    assert!(found[0] != 0.0 && found[1] == 0.0 && found[3] == 0.0);
    table.affinities(items.into_iter(), &vector[..36], &mut hits, &mut found);
    assert_eq!(found, [0.0; 6], "a vector of another space");
    table.affinities(std::iter::empty(), &vector, &mut hits, &mut found);
    assert!(found.is_empty());
}

#[test]
fn what_the_model_never_saw_is_told_once_and_takes_the_vector_that_is_made() {
    let mut c = Catalogue::default();
    let trained = put(&mut c, "trained", &["m"], true);
    let cold = put(&mut c, "cold", &["m"], true);
    let given = c.upsert(br#"{"id":"given","embedding":[1,2]}"#, 1).unwrap();
    let mut table = VectorTable::default();
    table.set(&c, &["trained"], &[3.0, 4.0], 2).unwrap();
    assert_eq!([trained, cold, given, 9].map(|item| table.origin(item)), ["trained", "category", "none", "none"]);
    assert_eq!(table.clone().take_cold(&c, 9, true), [given]);
    assert_eq!(table.take_cold(&c, 1, false), [cold]);
    assert_eq!(table.take_cold(&c, 9, false), [given]);
    assert_eq!(table.take_cold(&c, 9, false), [0; 0]);
    assert!(!table.put_made(&c, trained, &[1.0, 0.0], false), "it has one of the model");
    assert!(!table.put_made(&c, cold, &[1.0], false) && !table.put_made(&c, cold, &[1.0, f32::NAN], false));
    assert!(table.put_made(&c, cold, &[0.0, 9.0], false) && table.put_made(&c, given, &[1.0, 2.0], true));
    assert_eq!((table.origin(cold), table.origin(given)), ("content", "given"));
    assert_eq!(nearest(&table, &[0.0, 1.0], 2), [(cold, 9.0), (trained, 4.0)]);
    let late = put(&mut c, "late", &["m"], true);
    table.refresh(&c, &[late]);
    assert_eq!(table.row(late), Some(&[3.0, 4.0][..]), "means are of the model's vectors");
    assert_eq!(table.take_cold(&c, 9, false), [late]);
    put(&mut c, "cold", &["n"], true);
    c.upsert(br#"{"id":"given"}"#, 1).unwrap();
    table.refresh(&c, &[cold, given]);
    assert_eq!((table.origin(cold), table.origin(given)), ("content", "none"));
    assert_eq!(table.take_cold(&c, 9, false), [cold, given], "they changed");
    c.delete("cold");
    table.refresh(&c, &[cold]);
    assert_eq!((table.origin(cold), table.may_be_found(cold)), ("none", false));
    assert_eq!(table.take_cold(&c, 9, false), [0; 0], "it is gone");
}
