//! One event against one user record: `step(user, event) → (user', contributions)`.
//!
//! Invariant: a function of the record, the event and the catalogue's facts at that place in the log; it reads no
//! clock and touches nothing that users share. What the event adds to shared counts is returned, never applied here.
//!
//! Late events: the last-K list, windows and session bounds place an event by its `ts_ms`; everything else counts in
//! log order.

use crate::fold::caps::CapLimits;
use crate::fold::cart::{cart_add, cart_remove};
use crate::fold::contexts::{hours_of, HOURS};
use crate::fold::counter::When;
use crate::fold::lines::{event_lines, Line, Lines};
use crate::fold::said::Said;
use crate::fold::together::together;
use crate::fold::user::{Recent, User, TEXT_CHARS_MAX};
use crate::record::{Event, EventType, Hashes};

/// Items of a session that a new interaction is paired with.
pub const PAIRS_MAX: usize = 10;
/// Two interactions further apart are not "seen together".
pub const PAIR_GAP_MS: i64 = 3_600_000;

/// What the fold needs to know of an item when its event is counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'c> {
    /// Hashes of the category paths, every level, most specific of the most important path first.
    pub categories: &'c [u64],
    pub price: Option<f64>,
    /// Key of its seller among the categories' counts.
    pub seller: Option<u64>,
}

/// The catalogue as those see it who know an item by its hash.
pub trait Catalog {
    fn facts(&self, item: u64) -> Facts<'_>;
}

/// The items as a step sees them: a hash is looked up once, the rest goes by index.
pub trait Items {
    fn index(&self, hash: u64) -> Option<u32>;
    fn facts_at(&self, index: u32) -> Facts<'_>;
}

/// An event with all that follows from it alone.
pub struct Told<'e> {
    pub event: &'e Event<'e>,
    pub hashes: Hashes,
    pub said: Said<'e>,
    pub when: When,
}

impl<'e> Told<'e> {
    pub fn of(event: &'e Event<'e>, hashes: Hashes) -> Told<'e> {
        Told { event, hashes, said: Said::read(event), when: When::at(event.ts_ms) }
    }

    /// The value that it has of a context dimension.
    pub fn context(&self, dimension: u8) -> Option<&'e str> {
        if dimension == HOURS {
            return Some(hours_of(self.event.ts_ms));
        }
        *self.said.context.get(usize::from(dimension))?
    }
}

/// What one event adds to counts that users share, with the type and the time that it has. Items are indices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Contribution {
    Item {
        item: u32,
    },
    Revenue {
        item: u32,
        value: f64,
    },
    Dwell {
        item: u32,
        dwell_ms: u32,
    },
    Category {
        category: u64,
    },
    /// An interaction within a context of the event, by its place in `DIMENSIONS`.
    Context {
        dimension: u8,
        item: Option<u32>,
    },
    /// Seen together, both directions.
    Pair {
        a: u32,
        b: u32,
    },
    /// In one cart or one order, both directions.
    Together {
        a: u32,
        b: u32,
    },
    /// The session index learns that the event's session holds the item.
    Touch {
        item: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    Duplicate,
}

/// What a step found: `lines` are none for a duplicate, and `counted` is false for what a cap keeps from shared counts.
pub struct Stepped {
    pub outcome: Outcome,
    pub counted: bool,
    pub lines: Lines,
}

/// True for the types that say "wants this".
pub fn is_positive(t: EventType) -> bool {
    matches!(t, EventType::Click | EventType::View | EventType::AddToCart | EventType::Purchase | EventType::Like)
}

/// True for the types that enter the last-K list.
fn is_action(t: EventType) -> bool {
    !matches!(t, EventType::Impression | EventType::Scroll | EventType::Dwell | EventType::Refund)
        && !matches!(t, EventType::Search | EventType::Identify)
}

/// Counts one event. `out` receives the contributions, empty when it is a duplicate or capped.
pub fn step(
    user: &mut User,
    told: &Told<'_>,
    catalog: &impl Items,
    limits: &CapLimits,
    out: &mut Vec<Contribution>,
) -> Stepped {
    let Told { event, said, .. } = told;
    if !user.dedupe.insert(told.hashes.event) {
        return Stepped { outcome: Outcome::Duplicate, counted: false, lines: Lines::Any(Vec::new()) };
    }
    let lines = event_lines(user, told, catalog);
    let items: &[Line] = &lines;
    user.version += 1;
    user.first_ms = if user.first_ms == 0 { event.ts_ms } else { user.first_ms.min(event.ts_ms) };
    user.last_ms = user.last_ms.max(event.ts_ms);
    user.counter_mut(event.event_type).add_at(&told.when, 1);
    if let Some(name) = event.custom {
        user.count_custom(name, 1);
    }
    remember_context(user, said);
    let number = count_in_session(user, event, said);
    let first_item = items.first().map_or(0, |l| l.item);
    let counted = user.caps.allow(limits, first_item, event.event_type, event.ts_ms);
    if counted {
        contribute(user, told, items, number, catalog, out);
    }
    remember_items(user, event, said, items, number, catalog);
    Stepped { outcome: Outcome::Accepted, counted, lines }
}

fn remember_context(user: &mut User, said: &Said<'_>) {
    let [device, country, channel] = said.context;
    let known = &mut user.context;
    for (slot, value) in [
        (&mut known.device, device),
        (&mut known.country, country),
        (&mut known.channel, channel),
        (&mut known.query, said.query),
    ] {
        // Most events say what is known already; nothing is allocated then.
        if let Some(value) = value.filter(|v| slot.as_deref() != Some(*v)) {
            let text: String = value.chars().take(TEXT_CHARS_MAX).collect();
            *slot = (!text.is_empty()).then_some(text);
        }
    }
}

fn count_in_session(user: &mut User, event: &Event<'_>, said: &Said<'_>) -> u32 {
    let session = user.session_mut(event.session_id, event.ts_ms);
    session.started_ms = session.started_ms.min(event.ts_ms);
    session.last_ms = session.last_ms.max(event.ts_ms);
    let n = &mut session.counts[event.event_type as usize];
    *n = n.saturating_add(1);
    if let Some(pct) = said.depth_pct {
        session.scroll_pct_max = session.scroll_pct_max.max(pct.clamp(0.0, 100.0) as u32);
    }
    if let Some(ms) = said.dwell_ms {
        session.dwell_ms += u64::from(ms);
    }
    session.number
}

fn remember_items(
    user: &mut User,
    event: &Event<'_>,
    said: &Said<'_>,
    items: &[Line],
    number: u32,
    catalog: &impl Items,
) {
    let dwell = said.dwell_ms;
    if let Some(ms) = dwell {
        user.dwell.add(f64::from(ms));
    }
    for line in items {
        match event.event_type {
            EventType::Click => user.clicked.insert(line.item, event.ts_ms),
            EventType::Purchase => {
                user.bought.insert(line.item, event.ts_ms);
                user.sessions.iter_mut().for_each(|s| cart_remove(&mut s.cart, line.item, None));
            }
            EventType::Refund => user.bought.remove(line.item),
            EventType::AddToCart | EventType::RemoveFromCart => {
                let quantity = said.quantity();
                let session = user.session_mut(event.session_id, event.ts_ms);
                if event.event_type == EventType::AddToCart {
                    cart_add(&mut session.cart, line.item, quantity.unwrap_or(1));
                } else {
                    cart_remove(&mut session.cart, line.item, quantity);
                }
            }
            EventType::Dwell => attach_dwell(user, line.item, number, dwell.unwrap_or(0)),
            _ => {}
        }
        if is_positive(event.event_type) {
            let facts = line.facts(catalog);
            if let Some(price) = facts.price {
                user.price.add(price);
            }
            for category in facts.categories {
                user.count_category(*category, 1, event.ts_ms);
            }
        }
        if is_action(event.event_type) {
            user.insert_recent(Recent {
                item: line.item,
                event_type: event.event_type,
                ts_ms: event.ts_ms,
                dwell_ms: dwell.unwrap_or(0),
                session: number,
                custom: user.custom_place(event.custom),
            });
        }
    }
    if let Some(sign) = money_sign(event.event_type) {
        let lines: f64 = items.iter().map(|l| l.value(catalog)).sum();
        let value = said.value.unwrap_or(lines);
        if sign > 0.0 {
            user.order_value.add(value);
        } else {
            user.order_value.take_back(value);
        }
    }
    if event.event_type == EventType::Purchase && items.is_empty() {
        user.session_mut(event.session_id, event.ts_ms).cart.clear();
    }
}

/// A purchase brings money, a refund takes it back.
fn money_sign(event_type: EventType) -> Option<f64> {
    match event_type {
        EventType::Purchase => Some(1.0),
        EventType::Refund => Some(-1.0),
        _ => None,
    }
}

/// Dwell belongs to the latest action on that item in that session.
fn attach_dwell(user: &mut User, item: u64, session: u32, dwell_ms: u32) {
    if let Some(r) = user.recent.iter_mut().rev().find(|r| r.item == item && r.session == session) {
        r.dwell_ms = r.dwell_ms.saturating_add(dwell_ms);
    }
}

fn contribute(
    user: &User,
    told: &Told<'_>,
    items: &[Line],
    number: u32,
    catalog: &impl Items,
    out: &mut Vec<Contribution>,
) {
    let Told { event, said, .. } = told;
    let event_type = event.event_type;
    for (dimension, value) in said.context.into_iter().enumerate() {
        if value.is_some_and(|v| !v.is_empty() && v.len() <= 4 * TEXT_CHARS_MAX) {
            let item = items.first().filter(|_| is_positive(event_type)).and_then(|l| l.index);
            out.push(Contribution::Context { dimension: dimension as u8, item });
        }
    }
    for line in items {
        let Some(item) = line.index else { continue };
        out.push(Contribution::Item { item });
        let facts = catalog.facts_at(item);
        for category in facts.categories.iter().chain(facts.seller.as_ref()) {
            out.push(Contribution::Category { category: *category });
        }
        if let Some(sign) = money_sign(event_type) {
            out.push(Contribution::Revenue { item, value: sign * line.value(catalog) });
        }
        if let Some(dwell_ms) = said.dwell_ms {
            out.push(Contribution::Dwell { item, dwell_ms });
        }
        if is_positive(event_type) {
            out.push(Contribution::Context { dimension: HOURS, item: Some(item) });
            pair(user, event, line.item, number, |other| {
                out.extend(catalog.index(other).map(|a| Contribution::Pair { a, b: item }));
            });
            out.push(Contribution::Touch { item });
        }
    }
    together(user, told, items, number, catalog, |a, b| out.push(Contribution::Together { a, b }));
    for (i, a) in items.iter().enumerate().take(PAIRS_MAX) {
        for b in items[i + 1..].iter().take(PAIRS_MAX).filter(|b| b.item != a.item) {
            if let (Some(a), Some(b)) = (a.index, b.index) {
                out.push(Contribution::Pair { a, b });
            }
        }
    }
}

/// Names what the session touched before an item; looking again at an item of the session adds nothing.
fn pair(user: &User, event: &Event<'_>, item: u64, session: u32, mut with: impl FnMut(u64)) {
    let mut earlier: [u64; PAIRS_MAX] = [0; PAIRS_MAX];
    let mut n = 0;
    for r in user.recent.iter().rev().filter(|r| r.session == session && is_positive(r.event_type)) {
        if r.item == item {
            if matches!(event.event_type, EventType::Click | EventType::View) {
                return;
            }
            continue;
        }
        if n < PAIRS_MAX && (event.ts_ms - r.ts_ms).abs() <= PAIR_GAP_MS && !earlier[..n].contains(&r.item) {
            earlier[n] = r.item;
            n += 1;
        }
    }
    earlier[..n].iter().for_each(|other| with(*other));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::put_str;
    use crate::hash::id_hash;
    use crate::record::Props;

    const T: i64 = 1_700_000_000_000;

    struct Nothing;

    impl Items for Nothing {
        fn index(&self, hash: u64) -> Option<u32> {
            Some(hash as u32)
        }

        fn facts_at(&self, _: u32) -> Facts<'_> {
            Facts { categories: &[11], price: Some(20.0), seller: None }
        }
    }

    struct Case {
        user: User,
        n: u32,
    }

    impl Case {
        fn new() -> Case {
            Case { user: User::default(), n: 0 }
        }

        /// One event of session s; returns what it contributes, as text that outlives it.
        fn send(
            &mut self,
            event_type: EventType,
            item: Option<&str>,
            ts_ms: i64,
            props: &[(&str, &str)],
        ) -> Vec<String> {
            self.n += 1;
            let id = format!("e{}", self.n);
            self.send_as(&id, event_type, item, ts_ms, props).1
        }

        fn send_as(
            &mut self,
            event_id: &str,
            event_type: EventType,
            item_id: Option<&str>,
            ts_ms: i64,
            props: &[(&str, &str)],
        ) -> (Outcome, Vec<String>) {
            let mut bytes = Vec::new();
            for (k, v) in props {
                put_str(&mut bytes, k);
                put_str(&mut bytes, v);
            }
            let event = Event {
                event_id,
                user_id: None,
                session_id: "s",
                event_type,
                custom: None,
                item_id,
                ts_ms,
                received_ms: ts_ms,
                request_id: None,
                position: None,
                linked_user: None,
                trusted: false,
                props: Props { count: props.len() as u32, bytes: &bytes },
            };
            let mut out = Vec::new();
            let told = Told::of(&event, Hashes::of(&event));
            let outcome = step(&mut self.user, &told, &Nothing, &CapLimits::default(), &mut out).outcome;
            (outcome, out.iter().map(|c| format!("{c:?}")).collect())
        }
    }

    fn pairs(contributions: &[String]) -> usize {
        contributions.iter().filter(|c| c.starts_with("Pair")).count()
    }

    #[test]
    fn the_same_event_counts_once() {
        let mut case = Case::new();
        assert_eq!(case.send_as("e", EventType::Click, Some("a"), T, &[]).0, Outcome::Accepted);
        let (outcome, out) = case.send_as("e", EventType::Click, Some("a"), T, &[]);
        assert_eq!((outcome, out.len()), (Outcome::Duplicate, 0));
        assert_eq!((case.user.version, case.user.recent.len()), (1, 1));
    }

    #[test]
    fn items_of_one_session_are_paired_once() {
        let mut case = Case::new();
        assert_eq!(pairs(&case.send(EventType::Click, Some("a"), T, &[])), 0);
        assert_eq!(pairs(&case.send(EventType::Click, Some("b"), T + 1, &[])), 1);
        assert_eq!(pairs(&case.send(EventType::Click, Some("a"), T + 2, &[])), 0, "looking again says nothing new");
        assert_eq!(pairs(&case.send(EventType::Click, Some("c"), T + 3, &[])), 2);
        assert_eq!(pairs(&case.send(EventType::Click, Some("d"), T + 2 * PAIR_GAP_MS, &[])), 0, "another visit");
    }

    #[test]
    fn a_purchase_empties_the_cart_of_what_was_bought_and_a_refund_takes_it_back() {
        let mut case = Case::new();
        case.send(EventType::AddToCart, Some("a"), T, &[("quantity", "2")]);
        case.send(EventType::AddToCart, Some("b"), T + 1, &[]);
        let lines = r#"[{"item_id": "a", "quantity": 2, "price": 5}]"#;
        case.send(EventType::Purchase, None, T + 2, &[("order_id", "o1"), ("items", lines)]);
        let (a, b) = (id_hash("a"), id_hash("b"));
        assert_eq!(case.user.sessions[0].cart, [(b, 1)]);
        assert!(case.user.bought.contains(a) && !case.user.bought.contains(b));
        assert_eq!(case.user.order_value.sum(), 10.0);
        let out = case.send(EventType::Refund, None, T + 3, &[("order_id", "o1")]);
        assert!(!case.user.bought.contains(a));
        assert!(out.iter().any(|c| c.starts_with("Item")), "{out:?}");
        let again = case.send(EventType::Refund, None, T + 4, &[("order_id", "o1")]);
        assert!(!again.iter().any(|c| c.starts_with("Item")), "an order is refunded once");
    }

    #[test]
    fn dwell_goes_to_the_latest_action_on_the_item() {
        let mut case = Case::new();
        case.send(EventType::Click, Some("a"), T, &[]);
        case.send(EventType::Click, Some("b"), T + 1, &[]);
        case.send(EventType::Dwell, Some("a"), T + 2, &[("dwell_ms", "1500")]);
        assert_eq!(case.user.recent[0].dwell_ms, 1500);
        assert_eq!(case.user.recent[1].dwell_ms, 0);
        assert_eq!(case.user.dwell.mean(), Some(1500.0));
    }

    #[test]
    fn a_bot_moves_itself_and_not_the_counts_of_others() {
        let mut case = Case::new();
        let sent: Vec<usize> = (0..20).map(|n| case.send(EventType::Click, Some("a"), T + n, &[]).len()).collect();
        let limit = usize::from(CapLimits::default().per_item_hour_max);
        assert!(sent[..limit].iter().all(|n| *n > 0) && sent[limit..].iter().all(|n| *n == 0));
        assert_eq!(case.user.version, 20);
    }
}
