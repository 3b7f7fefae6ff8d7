//! Literal answers of the index, its bounds and what a restart gives back. Random comparisons with the oracle are in Python.

use super::*;

const LIMITS: KnnLimits = KnnLimits { sessions_max: 4, session_items_max: 3, posting_max: 100, items_max: 50 };

fn ask(index: &mut SessionKnn, items: &[u32], params: &KnnParams) -> Vec<(u32, f32)> {
    let mut out = vec![(9, 9.0)];
    index.query(items, None, params, 20, &mut out);
    out
}

fn ids(answer: &[(u32, f32)]) -> Vec<u32> {
    answer.iter().map(|a| a.0).collect()
}

fn filled(limits: KnnLimits, touches: &[(u64, u32, i64)]) -> SessionKnn {
    let mut index = SessionKnn::new(limits);
    touches.iter().for_each(|&(key, item, ts)| index.touch(key, item, ts));
    index
}

/// Three sessions: {1, 2} at 20, {2, 3} at 40, {1, 2, 4} at 60.
fn three() -> SessionKnn {
    filled(LIMITS, &[(1, 1, 10), (1, 2, 20), (2, 2, 30), (2, 3, 40), (3, 1, 50), (3, 2, 55), (3, 4, 60)])
}

#[test]
fn votes_are_similarity_times_match_weight_times_idf() {
    let mut index = three();
    // Window [1, 2]: weights 2/2 for item 2 and 1/2 for item 1. Similarities: 3 -> 1.5, 2 -> 1.0, 1 -> 1.5; all match at
    // distance 1, weight 0.9. Pairs: 7; item 1 in 2 sessions, items 3 and 4 in 1.
    let got = ask(&mut index, &[1, 2], &KnnParams::default());
    assert_eq!(ids(&got), [1, 4, 3]);
    let want = [0.9 * 3.0 * (7.0f64 / 2.0).ln(), 0.9 * 1.5 * 7.0f64.ln(), 0.9 * 7.0f64.ln()];
    for (&(_, score), want) in got.iter().zip(want) {
        assert!((f64::from(score) - want).abs() < 1e-6, "{score} is not {want}");
    }
    let plain = ask(&mut index, &[1, 2], &KnnParams { idf_weighting: 0.0, ..KnnParams::default() });
    assert_eq!(
        plain.iter().map(|p| (p.0, (p.1 * 100.0).round() as i32)).collect::<Vec<_>>(),
        [(1, 270), (4, 135), (3, 90)]
    );
}

#[test]
fn repeats_count_at_their_latest_place_and_the_window_is_of_interactions() {
    let mut index = three();
    // [1, 2, 1]: distinct 2, item 1 at distance 1 weighs 3/2, item 2 at distance 2 weighs 2/2.
    let params = KnnParams { max_items_in_session: 3, idf_weighting: 0.0, ..KnnParams::default() };
    let got = ask(&mut index, &[1, 2, 1], &params);
    let votes = [(2, 0.9 * 2.5 * 2.0 + 0.8), (4, 0.9 * 2.5), (3, 0.8)];
    assert_eq!(ids(&got), votes.map(|v| v.0));
    assert!(got.iter().zip(votes).all(|(g, v)| (g.1 - v.1).abs() < 1e-6), "{got:?}");
    let short = KnnParams { max_items_in_session: 1, ..params };
    assert_eq!(ids(&ask(&mut index, &[3, 1], &short)), [2, 4], "item 3 is outside the window");
}

#[test]
fn m_keeps_the_recent_and_k_the_similar() {
    let mut index = three();
    let params = KnnParams { idf_weighting: 0.0, ..KnnParams::default() };
    let recent = KnnParams { m_most_recent_sessions: 2, ..params };
    assert_eq!(ids(&ask(&mut index, &[2], &recent)), [1, 3, 4], "session 1 is the oldest, its vote for 1 is missing");
    assert_eq!(ask(&mut index, &[2], &recent)[0].1, 0.9);
    let nearest = KnnParams { neighborhood_size_k: 1, ..params };
    assert_eq!(ids(&ask(&mut index, &[1, 2], &nearest)), [1, 4], "3 and 1 are equally similar, 3 is more recent");
    assert!(ask(&mut index, &[2], &KnnParams { neighborhood_size_k: 0, ..params }).is_empty());
    assert!(ask(&mut index, &[2], &KnnParams { m_most_recent_sessions: 0, ..params }).is_empty());
    assert!(ask(&mut index, &[2], &KnnParams { max_items_in_session: 0, ..params }).is_empty());
}

#[test]
fn the_latest_item_may_come_again_and_what_stands_near_it_counts_more() {
    let roomy = KnnLimits { session_items_max: 10, ..LIMITS };
    let mut index = filled(roomy, &[(1, 1, 10), (1, 2, 20), (1, 3, 30), (1, 4, 40)]);
    let plain = KnnParams { idf_weighting: 0.0, ..KnnParams::default() };
    assert_eq!(ask(&mut index, &[2], &plain), [(1, 0.9), (3, 0.9), (4, 0.9)]);
    let again = KnnParams { with_latest: true, ..plain };
    assert_eq!(ids(&ask(&mut index, &[2], &again)), [1, 2, 3, 4]);
    let near = KnnParams { reach: 2.0, ..plain };
    let far = (0.9 * (-0.5f64).exp()) as f32;
    assert_eq!(ask(&mut index, &[2], &near), [(1, 0.9), (3, 0.9), (4, far)]);
}

#[test]
fn a_session_leaves_itself_out_when_asked() {
    let mut index = three();
    let mut out = Vec::new();
    index.query(&[1, 2], Some(3), &KnnParams::default(), 20, &mut out);
    assert_eq!(ids(&out), [3, 1], "nothing of session 3");
    index.query(&[1, 2], Some(77), &KnnParams::default(), 20, &mut out);
    assert_eq!(out, ask(&mut index, &[1, 2], &KnnParams::default()));
    index.query(&[1, 2], None, &KnnParams::default(), 1, &mut out);
    assert_eq!(ids(&out), [1]);
}

#[test]
fn bounds_evict_the_oldest_session_and_the_oldest_item() {
    let mut index = three();
    index.take_dirty_sessions();
    index.touch(4, 9, 20);
    index.touch(5, 9, 90);
    assert_eq!((index.sessions(), index.take_dirty_sessions()), (4, vec![1, 4, 5]), "1 and 4 are as old, 1 is smaller");
    assert_eq!((index.session_entry(1), index.session_entry(4).is_some()), (None, true));
    index.touch(6, 9, 1);
    assert_eq!((index.sessions(), index.take_dirty_sessions()), (4, vec![6]), "too late to stay");
    index.touch(3, 7, 70);
    assert_eq!(ids(&ask(&mut index, &[7], &KnnParams::default())), [4, 2], "item 1 had to go");
    index.touch(3, 2, 70);
    index.touch(3, 8, 60);
    assert_eq!(ids(&ask(&mut index, &[8], &KnnParams::default())), [7, 2], "2 was touched again, so 4 had to go");
    assert!(ids(&ask(&mut index, &[4], &KnnParams::default())).is_empty());
    assert_eq!(index.len(), 2 + 3 + 1 + 1);
}

#[test]
fn a_forgotten_session_is_gone_and_may_come_back_at_the_same_time() {
    let mut index = three();
    index.forget(3);
    index.forget(3);
    assert_eq!((index.sessions(), index.len()), (2, 4));
    assert!(ask(&mut index, &[4], &KnnParams::default()).is_empty());
    index.touch(3, 2, 60);
    let mut same = filled(LIMITS, &[(1, 1, 10), (1, 2, 20), (2, 2, 30), (2, 3, 40), (3, 2, 60)]);
    for asked in 0..5 {
        assert_eq!(
            ask(&mut index, &[asked, 2], &KnnParams::default()),
            ask(&mut same, &[asked, 2], &KnnParams::default())
        );
    }
}

#[test]
fn restoring_in_any_order_gives_the_same_answers_and_damage_is_an_error() {
    let mut index = three();
    let mut back = SessionKnn::new(LIMITS);
    for key in index.take_dirty_sessions().into_iter().rev() {
        back.restore(key, &index.session_entry(key).unwrap()).unwrap();
    }
    let entry = index.session_entry(3).unwrap();
    back.restore(3, &entry).unwrap();
    for asked in 0..5 {
        assert_eq!(
            ask(&mut index, &[1, asked], &KnnParams::default()),
            ask(&mut back, &[1, asked], &KnnParams::default())
        );
    }
    assert!((0..entry.len()).all(|cut| back.restore(8, &entry[..cut]).is_err()));
    let mut wild = Vec::new();
    put_i64(&mut wild, 1);
    put_u64(&mut wild, 1);
    put_u64(&mut wild, u64::from(LIMITS.items_max));
    assert!(back.restore(8, &wild).is_err());
    assert!(back.session_entry(8).is_none());
    assert!(back.memory_bytes() > 3 * 48);
}

#[test]
fn smaller_limits_at_restore_drop_what_touching_would_have_dropped() {
    let index = three();
    let mut small = SessionKnn::new(KnnLimits { sessions_max: 2, session_items_max: 1, ..LIMITS });
    for key in [3, 1, 2] {
        small.restore(key, &index.session_entry(key).unwrap()).unwrap();
    }
    assert_eq!((small.sessions(), small.len(), small.take_dirty_sessions()), (2, 2, vec![1]));
    small.touch(9, 4, 99);
    assert_eq!((small.session_entry(2), small.sessions()), (None, 2));
}

#[test]
fn posting_memory_stays_in_proportion_to_what_is_live() {
    let mut index = SessionKnn::new(KnnLimits { sessions_max: 100, ..KnnLimits::default() });
    for step in 0..200_000u64 {
        index.touch(step % 150, (step * 31 % 97) as u32, step as i64);
        if step % 1000 == 0 {
            index.take_dirty_sessions();
        }
    }
    assert!(index.memory_bytes() < 1 << 20, "{} bytes", index.memory_bytes());
    assert!(index.oldest.len() <= 2 * 100 + 65);
    assert!(index.postings.iter().all(|p| p.entries.len() <= 200));
}
