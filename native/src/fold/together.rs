//! Which items went together: into one cart, or out of the shop in one order.
//!
//! Invariant: a function of the record before the event, the event and its lines; a pair is named once for each time it
//! happens. It does not know who counts.

use crate::fold::lines::Line;
use crate::fold::step::{Items, Told, PAIRS_MAX, PAIR_GAP_MS};
use crate::fold::user::User;
use crate::record::EventType;

/// What comes into a cart goes with what is in it; what is bought goes with the rest of its order, or, where a shop sends
/// an event for each item, with what the session bought within the hour.
pub fn together(
    user: &User,
    told: &Told<'_>,
    lines: &[Line],
    session: u32,
    catalog: &impl Items,
    mut pair: impl FnMut(u32, u32),
) {
    match told.event.event_type {
        EventType::AddToCart => {
            let Some(cart) = user.sessions.iter().find(|s| s.number == session).map(|s| &s.cart) else { return };
            for line in lines.iter().filter(|l| cart.iter().all(|(held, _)| *held != l.item)) {
                let others = cart.iter().rev().take(PAIRS_MAX).filter_map(|(held, _)| catalog.index(*held));
                others.zip(std::iter::repeat(line.index)).for_each(|(a, b)| b.into_iter().for_each(|b| pair(a, b)));
            }
        }
        EventType::Purchase if lines.len() == 1 => {
            let Some(item) = lines[0].index else { return };
            let mut known: Vec<u64> = vec![lines[0].item];
            for r in user.recent.iter().rev().filter(|r| r.session == session && r.event_type == EventType::Purchase) {
                let near = (told.event.ts_ms - r.ts_ms).abs() <= PAIR_GAP_MS;
                if near && known.len() <= PAIRS_MAX && !known.contains(&r.item) {
                    known.push(r.item);
                    catalog.index(r.item).into_iter().for_each(|other| pair(other, item));
                }
            }
        }
        EventType::Purchase => {
            for (at, a) in lines.iter().enumerate().take(PAIRS_MAX) {
                for b in lines[at + 1..].iter().take(PAIRS_MAX).filter(|b| b.item != a.item) {
                    if let (Some(a), Some(b)) = (a.index, b.index) {
                        pair(a, b);
                    }
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::fold::scene::{Scene, NOW};
    use crate::record::EventType::{AddToCart, Click, Purchase, RemoveFromCart};

    fn shop() -> (Scene, [u32; 3]) {
        let mut scene = Scene::default();
        let items = ["a", "b", "c"].map(|id| scene.put(&format!(r#"{{"id":"{id}"}}"#), NOW));
        (scene, items)
    }

    fn count(scene: &Scene, a: u32, b: u32) -> u32 {
        scene.state.bought.neighbours(a).iter().find(|n| n.item == b).map_or(0, |n| n.count)
    }

    #[test]
    fn what_is_in_the_cart_goes_with_what_comes_into_it() {
        let (mut scene, [a, b, c]) = shop();
        scene.did("u", Click, "c", NOW);
        scene.did("u", AddToCart, "a", NOW);
        scene.did("u", AddToCart, "b", NOW + 1);
        scene.did("u", AddToCart, "b", NOW + 2);
        assert_eq!([count(&scene, a, b), count(&scene, b, a), count(&scene, a, c)], [1, 1, 0], "a click is no cart");
        scene.did("u", RemoveFromCart, "a", NOW + 3);
        scene.did("u", AddToCart, "c", NOW + 4);
        assert_eq!([count(&scene, a, c), count(&scene, b, c)], [0, 1], "what left the cart is not in it");
    }

    #[test]
    fn purchases_of_one_session_within_the_hour_are_one_order() {
        let (mut scene, [a, b, c]) = shop();
        scene.did("u", Purchase, "a", NOW);
        scene.did("u", Purchase, "b", NOW + 60_000);
        scene.did("u", Purchase, "a", NOW + 70_000);
        scene.did("u", Purchase, "c", NOW + 2 * 3_600_000);
        assert_eq!([count(&scene, a, b), count(&scene, a, c)], [2, 0]);
        scene.did("v", Purchase, "b", NOW);
        assert_eq!(count(&scene, a, b), 2, "another customer");
    }
}
