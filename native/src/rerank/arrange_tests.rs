//! Lists keep to their rules, and are as long as they can be.

use super::*;
use crate::rerank::Mmr;

/// Worth falls with the position.
fn list(n: usize, k: usize, bounds: &Bounds) -> Vec<usize> {
    arranged(n, k, bounds).picks.iter().map(|p| p.candidate).collect()
}

/// With the reasons told; without them, as lists are served, the picks are the same.
fn arranged(n: usize, k: usize, bounds: &Bounds) -> Arranged {
    let scores: Vec<f32> = (0..n).map(|i| (n - i) as f32).collect();
    let by_worth = |trace| arrange(n, k, bounds, &mut Mmr::new(&scores, 0.0, |_, _| 0.0), trace);
    let told = by_worth(true);
    assert_eq!(by_worth(false).picks, told.picks);
    let alike = |a: usize, b: usize| if a % 3 == b % 3 { 0.7 } else { 0.1 };
    let spread = |trace| arrange(n, k, bounds, &mut Mmr::new(&scores, 0.8, alike), trace);
    assert_eq!(spread(false).picks, spread(true).picks);
    told
}

fn cap(most: usize, within: Option<usize>, keys: &[u64]) -> Cap {
    Cap::new(most, within, keys.iter().map(|k| (*k > 0).then_some(*k)))
}

fn group(n: usize, members: &[usize], least: f32, most: f32) -> Group {
    Group { member: (0..n).map(|c| members.contains(&c)).collect(), least, most }
}

#[test]
fn without_rules_it_is_the_order_of_worth() {
    assert_eq!(list(5, 3, &Bounds::default()), [0, 1, 2]);
    assert_eq!(list(2, 9, &Bounds::default()), [0, 1]);
    assert!(list(0, 4, &Bounds::default()).is_empty());
}

#[test]
fn a_cap_of_the_list_and_a_cap_of_a_window() {
    let keys = [7, 7, 7, 7, 5, 5, 0, 0];
    let whole = Bounds { caps: vec![cap(2, None, &keys)], ..Bounds::default() };
    let got = arranged(8, 6, &whole);
    assert_eq!(got.picks.iter().map(|p| p.candidate).collect::<Vec<_>>(), [0, 1, 4, 5, 6, 7]);
    assert_eq!(got.held, [(2, 2, Broken::Cap(0)), (3, 2, Broken::Cap(0))]);
    let window = Bounds { caps: vec![cap(1, Some(3), &keys)], ..Bounds::default() };
    assert_eq!(list(8, 8, &window)[..6], [0, 4, 6, 1, 5, 7]);
}

#[test]
fn a_rule_that_cannot_be_met_gives_way_and_is_named() {
    let caps = vec![cap(1, None, &[1, 1, 1, 0])];
    let got = arranged(4, 4, &Bounds { caps, ..Bounds::default() });
    assert_eq!(got.picks.iter().map(|p| p.candidate).collect::<Vec<_>>(), [0, 3, 1, 2]);
    assert_eq!(got.picks[2].broken, [Broken::Cap(0)]);
    assert!(got.picks[1].broken.is_empty());
    // A share for a group of which there is one.
    let groups = vec![group(4, &[3], 0.5, 1.0)];
    let got = arranged(4, 4, &Bounds { groups, ..Bounds::default() });
    assert_eq!(got.picks.iter().map(|p| p.candidate).collect::<Vec<_>>(), [0, 3, 1, 2]);
    assert_eq!((&got.picks[1].needed[..], &got.picks[3].broken[..]), (&[0][..], &[Broken::Least(0)][..]));
}

#[test]
fn the_weaker_rule_gives_way_first() {
    // 2 and 3 are wanted, capped together; 1 is buried.
    let caps = vec![cap(1, None, &[0, 0, 9, 9, 0])];
    let groups = vec![group(5, &[2, 3], 1.0, 1.0)];
    let bounds = Bounds { caps, groups, buried: vec![false, true, false, false, false], ..Bounds::default() };
    let got = arranged(5, 4, &bounds);
    assert_eq!(got.picks.iter().map(|p| p.candidate).collect::<Vec<_>>(), [2, 0, 4, 1]);
    assert_eq!(got.picks[1].broken, [Broken::Least(0)], "the cap stands, the share gives way");
    assert_eq!(got.picks[3].broken, [Broken::Least(0), Broken::Buried]);
}

#[test]
fn shares_hold_in_every_beginning_of_a_list() {
    let groups = vec![group(40, &[30, 31, 32, 33, 34], 0.2, 1.0), group(40, &(0..20).collect::<Vec<_>>(), 0.0, 0.5)];
    let got = list(40, 20, &Bounds { groups, ..Bounds::default() });
    for places in 1..=20 {
        let wanted = got[..places].iter().filter(|c| **c >= 30).count();
        assert!(wanted >= places / 5, "{got:?}");
    }
    assert_eq!(got.iter().filter(|c| **c < 20).count(), 10);
}

#[test]
fn pins_stand_and_count() {
    let keys = [3, 3, 3, 0, 0, 0];
    let pins = vec![(2, 5), (2, 4), (0, 2), (9, 2), (1, 77)];
    let bounds = Bounds { pins, caps: vec![cap(2, None, &keys)], ..Bounds::default() };
    let got = arranged(6, 5, &bounds);
    assert_eq!(got.picks.iter().map(|p| p.candidate).collect::<Vec<_>>(), [2, 0, 5, 4, 3]);
    assert_eq!(got.picks.iter().map(|p| p.pinned).collect::<Vec<_>>(), [true, false, true, true, false]);
    // A pin further down counts in the windows that reach it.
    let bounds = Bounds { pins: vec![(1, 2)], caps: vec![cap(1, Some(2), &keys)], ..Bounds::default() };
    assert_eq!(list(6, 5, &bounds), [3, 2, 4, 0, 5]);
}

#[test]
fn an_item_moves_no_further_than_declared() {
    let mut x = 7u64;
    let mut draw = |n: usize| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 33) as usize % n
    };
    for round in 0..300 {
        let (k, max) = (1 + draw(20), draw(6));
        // The list before, of which some are gone and others are new.
        let mut places: Vec<usize> = (0..k).collect();
        (0..k).for_each(|at| places.swap(at, draw(k)));
        let was: Vec<Option<usize>> = places.iter().map(|p| (draw(3) > 0).then_some(*p)).collect();
        let bounds = Bounds { moves: Some(Moves { max, was: was.clone() }), ..Bounds::default() };
        let got = arranged(k, k, &bounds);
        for (place, pick) in got.picks.iter().enumerate() {
            assert!(pick.broken.is_empty(), "round {round}: {:?}", pick.broken);
            if let Some(was) = was[pick.candidate] {
                assert!(was.abs_diff(place) <= max, "round {round}: {was} to {place} with {max}");
            }
        }
    }
}

/// All rules again with nothing kept from place to place.
#[test]
fn equals_a_slow_reading_of_the_rules() {
    let mut x = 11u64;
    let mut draw = |n: usize| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 33) as usize % n
    };
    for round in 0..200 {
        let (n, k) = (1 + draw(30), 1 + draw(15));
        let keys: Vec<u64> = (0..n).map(|_| draw(5) as u64).collect();
        let members: Vec<usize> = (0..n).filter(|_| draw(3) == 0).collect();
        let (most, within) = (1 + draw(3), [None, Some(1 + draw(6))][draw(2)]);
        let (least, share) = (draw(5) as f32 / 10.0, (5 + draw(6)) as f32 / 10.0);
        let buried: Vec<bool> = (0..n).map(|_| draw(6) == 0).collect();
        let pins: Vec<(usize, usize)> = (0..draw(3)).map(|_| (draw(k), draw(n))).collect();
        let bounds = Bounds {
            pins: pins.clone(),
            caps: vec![cap(most, within, &keys)],
            groups: vec![group(n, &members, least, share)],
            moves: None,
            buried: buried.clone(),
        };
        let got = list(n, k, &bounds);
        let k = k.min(n);
        let fixed: Vec<Option<usize>> = Filling::new(n, k, &bounds).fixed;
        let mut want: Vec<usize> = Vec::new();
        for place in 0..k {
            if let Some(pinned) = fixed[place] {
                want.push(pinned);
                continue;
            }
            let at = |p: usize, c: usize| if p == place { Some(c) } else { want.get(p).copied().or(fixed[p]) };
            let member = |c: usize| members.contains(&c);
            let free = |c: usize| !want.contains(&c) && !fixed.contains(&Some(c));
            let weight = |c: usize| {
                let same = |p: usize| at(p, c).is_some_and(|o| keys[o] == keys[c]);
                let width = within.unwrap_or(k).min(k);
                let windows = (0..=k - width).filter(|from| (*from..from + width).contains(&place));
                let full = keys[c] > 0
                    && windows.into_iter().any(|from| (from..from + width).filter(|p| same(*p)).count() > most);
                let all = (0..k).filter(|p| at(*p, c).is_some_and(member)).count();
                let enough = member(c) && all > (share * k as f32 + ROUNDING) as usize;
                let due = (least * (place + 1) as f32 + ROUNDING) as usize;
                let unmet = want.iter().filter(|o| member(**o)).count() < due;
                let short = unmet && !member(c) && (0..n).any(|o| free(o) && member(o));
                (full, enough, short, buried[c])
            };
            want.push((0..n).filter(|c| free(*c)).min_by_key(|c| (weight(*c), *c)).unwrap());
        }
        assert_eq!(got, want, "round {round}");
    }
}
