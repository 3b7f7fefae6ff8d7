//! The record of a user: bounds, order, merging, bytes.

use super::*;
use crate::fold::caps::CapLimits;
use crate::fold::cart::{cart_remove, CART_MAX};
use crate::fold::sends::SENDS_MAX;
use crate::record::EVENT_TYPES;

const T: i64 = 1_700_000_000_000;

fn recent(item: u64, ts_ms: i64, session: u32) -> Recent {
    Recent { item, event_type: EventType::Click, ts_ms, dwell_ms: 0, session, custom: 0 }
}

fn busy(seed: u64) -> User {
    let mut u = User { version: 7, first_ms: T, last_ms: T + 900, ..User::default() };
    for n in 0..60 {
        let session = u.session_mut(&format!("s{}", n % 4), T + n as i64).number;
        u.insert_recent(recent(seed + n, T + n as i64, session));
        u.count_category(n % 40, 1, T + n as i64);
        u.clicked.insert(seed + n, 60_000 * (20_000 + seed as i64));
        u.dedupe.insert((seed + n) << 20);
    }
    cart_add(&mut u.session_mut("s1", T).cart, 5, 2);
    u.counter_mut(EventType::Click).add(T, 60);
    u.count_custom("wishlist", 3);
    u.price.add(9.5);
    u.remember_order(77, vec![1, 2, 3]);
    u.context.device = Some("mobile".into());
    u.sends.add(seed, T);
    u
}

#[test]
fn a_record_comes_back_and_damage_is_an_error() {
    let u = busy(1);
    let mut out = Vec::new();
    u.encode(&mut out);
    assert_eq!(User::decode(&out).unwrap(), u);
    assert!(out.len() < BYTES_MAX);
    for cut in 0..out.len() {
        assert!(User::decode(&out[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn the_largest_record_is_within_its_bound() {
    let caps = CapLimits { per_item_hour_max: 255, per_hour_max: 65_535 };
    let mut u =
        User { version: u64::MAX, first_ms: i64::MIN, last_ms: T, sessions_total: u32::MAX - 400, ..User::default() };
    for n in 0..300u64 {
        let far = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        // An id of 128 characters of four bytes.
        let session = u.session_mut(&format!("{}{n:03}", "\u{1f6cd}".repeat(125)), T - 12 + n as i64 % 12);
        (session.started_ms, session.dwell_ms, session.scroll_pct_max) = (i64::MIN / 4, u64::MAX, 100);
        session.counts = [u32::MAX; 15];
        for item in 0..CART_MAX as u64 {
            cart_add(&mut session.cart, far + item, u32::MAX);
        }
        let number = session.number;
        u.insert_recent(Recent { dwell_ms: u32::MAX, ..recent(far, i64::MIN / 4 + n as i64, number) });
        u.dedupe.insert(far);
        // Steps between two minutes are written: the largest are from one end of time to the other.
        let swing = if n % 2 == 0 { i64::MIN } else { i64::MAX };
        u.clicked.insert(far, swing);
        u.bought.insert(far, swing);
        u.count_category(far, u32::MAX, i64::MIN / 4);
        u.count_custom(&format!("{}{n:03}", "c".repeat(61)), u64::MAX / 2);
        u.remember_order(far, vec![far; 2 * ORDER_ITEMS_MAX]);
        u.caps.allow(&caps, far + n, EventType::Click, T);
    }
    for (event_type, _) in EVENT_TYPES.iter() {
        for bucket in 0..10_000 {
            u.counter_mut(*event_type).add(T - bucket * 60_000, u32::MAX);
        }
    }
    for moments in [&mut u.dwell, &mut u.price, &mut u.order_value] {
        for _ in 0..20_000 {
            moments.add(1e9);
        }
    }
    let text = Some("\u{1f6cd}".repeat(TEXT_CHARS_MAX));
    u.context = LastContext { device: text.clone(), country: text.clone(), channel: text.clone(), query: text };
    u.links = vec![u64::MAX; LINKS_MAX];
    (0..2 * SENDS_MAX).for_each(|n| u.sends.add(u64::MAX - n as u64, i64::MAX - n as i64));
    let mut out = Vec::new();
    u.encode(&mut out);
    assert_eq!((u.sessions.len(), u.recent.len(), u.custom.len()), (SESSIONS_MAX, RECENT_MAX, CUSTOM_TYPES_MAX));
    assert!(out.len() <= BYTES_MAX && out.len() > BYTES_MAX - 2_000, "{}", out.len());
    assert_eq!(User::decode(&out).unwrap(), u);
}

#[test]
fn the_last_k_are_in_time_order_and_the_oldest_fall_off() {
    let mut u = User::default();
    for n in 0..RECENT_MAX as u64 {
        u.insert_recent(recent(n, T + 10 * n as i64, 0));
    }
    u.insert_recent(recent(100, T + 5, 0));
    assert_eq!(u.recent.len(), RECENT_MAX);
    assert_eq!(u.recent[0].item, 100, "late, and still among the last");
    u.insert_recent(recent(200, T - 1, 0));
    assert_eq!(u.recent[0].item, 100, "older than all that is kept");
    assert!(u.recent.windows(2).all(|w| w[0].ts_ms <= w[1].ts_ms));
}

#[test]
fn what_a_session_did_joins_once() {
    let (mut u, other) = (busy(1_000), busy(5_000));
    let before = u.clone();
    assert!(u.merge_anonymous(42, &other));
    assert_eq!(u.version, 14);
    assert_eq!(u.counter(EventType::Click).unwrap().total(), 120);
    assert_eq!(u.price.count, 2);
    assert_eq!(u.session("s1").unwrap().cart, [(5, 4)]);
    assert_eq!((u.sends.of(1_000).count(), u.sends.of(5_000).count()), (1, 1));
    assert_eq!(u.session("s1").unwrap().number, before.session("s1").unwrap().number);
    let merged = u.clone();
    assert!(!u.merge_anonymous(42, &other), "the same link again");
    assert_eq!(u, merged);
}

#[test]
fn a_full_set_of_sessions_drops_the_one_unused_longest() {
    let mut u = User::default();
    for n in 0..=SESSIONS_MAX {
        u.session_mut(&format!("s{n}"), T + n as i64);
    }
    assert_eq!(u.sessions.len(), SESSIONS_MAX);
    assert!(u.session("s0").is_none() && u.session("s1").is_some());
    assert_eq!(u.sessions_total as usize, SESSIONS_MAX + 1);
}

#[test]
fn carts_and_categories_are_bounded() {
    let mut cart = Vec::new();
    for item in 0..CART_MAX as u64 + 1 {
        cart_add(&mut cart, item, 1);
    }
    assert_eq!((cart.len(), cart[0].0), (CART_MAX, 1));
    cart_remove(&mut cart, 3, Some(1));
    cart_remove(&mut cart, 4, None);
    assert!(cart.iter().all(|(i, _)| *i != 3 && *i != 4));
    let mut u = User::default();
    for c in 0..10_000 {
        u.count_category(c, 1 + u32::from(c == 5), T + c as i64);
    }
    assert_eq!(u.categories.len(), CATEGORIES_MAX);
    assert!(u.categories.iter().any(|c| c.category == 5), "the most counted stays");
}

#[test]
fn a_custom_type_keeps_its_name_through_bytes_and_a_merge() {
    let did = |names: &[&str]| {
        let mut u = User { version: 1, last_ms: T, ..User::default() };
        let session = u.session_mut("s", T).number;
        for (n, name) in names.iter().enumerate() {
            u.count_custom(name, 1);
            let custom = u.custom_place(Some(name));
            u.insert_recent(Recent { event_type: EventType::Custom, custom, ..recent(n as u64, T, session) });
        }
        u
    };
    let names = |u: &User| u.recent.iter().map(|r| u.type_name(r).to_owned()).collect::<Vec<_>>();
    let visitor = did(&["wishlist", "share"]);
    let mut out = Vec::new();
    visitor.encode(&mut out);
    assert_eq!(names(&User::decode(&out).unwrap()), ["wishlist", "share"]);
    let mut user = did(&["share", "compare"]);
    assert!(user.merge_anonymous(1, &visitor));
    assert_eq!(names(&user), ["wishlist", "share", "share", "compare"]);
    assert_eq!(user.type_name(&recent(1, T, 0)), "click");
}
