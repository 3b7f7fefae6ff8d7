//! One event against one user record: `step(user, event) → (user', contributions)`.
//!
//! Invariant: a function of the record, the event and the catalogue's facts at that place in the log; it reads no
//! clock and touches nothing that users share. What the event adds to shared counts is returned, never applied here.
//!
//! Late events: the last-K list, windows and session bounds place an event by its `ts_ms`; everything else counts in
//! log order.

use crate::fold::caps::CapLimits;
use crate::fold::user::{cart_add, cart_remove, Recent, User, TEXT_CHARS_MAX};
use crate::hash::id_hash;
use crate::record::{Event, EventType};

/// Items of a session that a new interaction is paired with.
const PAIRS_MAX: usize = 10;
/// Two interactions further apart are not "seen together".
const PAIR_GAP_MS: i64 = 3_600_000;

/// What the fold needs to know of an item when its event is counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'c> {
    /// Hashes of the category paths, every level, most specific of the most important path first.
    pub categories: &'c [u64],
    pub price: Option<f64>,
}

/// The catalogue as the fold sees it.
pub trait Catalog {
    fn facts(&self, item: u64) -> Facts<'_>;
}

/// What one event adds to counts that users share.
#[derive(Debug, Clone, PartialEq)]
pub enum Contribution<'e> {
    Item {
        item: u64,
        event_type: EventType,
        ts_ms: i64,
    },
    Revenue {
        item: u64,
        value: f64,
    },
    Dwell {
        item: u64,
        dwell_ms: u32,
    },
    Category {
        category: u64,
        event_type: EventType,
        ts_ms: i64,
    },
    /// An interaction within a context: dimension 0 device, 1 country, 2 channel.
    Context {
        dimension: u8,
        value: &'e str,
        item: Option<u64>,
        event_type: EventType,
        ts_ms: i64,
    },
    /// Seen together, both directions.
    Pair {
        a: u64,
        b: u64,
        ts_ms: i64,
    },
    /// The session index learns that this session holds the item.
    Touch {
        session: u64,
        item: u64,
        ts_ms: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    Duplicate,
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
pub fn step<'e>(
    user: &mut User,
    event: &Event<'e>,
    catalog: &impl Catalog,
    limits: &CapLimits,
    out: &mut Vec<Contribution<'e>>,
) -> Outcome {
    if !user.dedupe.insert(id_hash(event.event_id)) {
        return Outcome::Duplicate;
    }
    let items = event_items(user, event);
    user.version += 1;
    user.first_ms = if user.first_ms == 0 { event.ts_ms } else { user.first_ms.min(event.ts_ms) };
    user.last_ms = user.last_ms.max(event.ts_ms);
    user.counter_mut(event.event_type).add(event.ts_ms, 1);
    if let Some(name) = event.custom {
        user.count_custom(name, 1);
    }
    remember_context(user, event);
    let number = count_in_session(user, event);
    let first_item = items.first().map_or(0, |l| l.item);
    let counted = user.caps.allow(limits, first_item, event.event_type, event.ts_ms);
    if counted {
        contribute(user, event, &items, number, catalog, out);
    }
    remember_items(user, event, &items, number, catalog);
    Outcome::Accepted
}

/// A line of the event: one for most types, several for a purchase.
struct Line {
    item: u64,
    quantity: u32,
    price: Option<f64>,
}

fn event_items(user: &mut User, event: &Event<'_>) -> Vec<Line> {
    let order = event.props.get("order_id").map(id_hash);
    let lines: Vec<Line> = match (event.event_type, event.props.get("items")) {
        (EventType::Purchase | EventType::Refund, Some(text)) => crate::event::purchase_items(text)
            .unwrap_or_default()
            .iter()
            .map(|l| Line { item: id_hash(&l.item_id), quantity: l.quantity, price: l.price })
            .collect(),
        _ => event
            .item_id
            .iter()
            .map(|id| Line {
                item: id_hash(id),
                quantity: event.props.number("quantity").map_or(1, |q| q.clamp(1.0, 1e6) as u32),
                price: event.props.number("price"),
            })
            .collect(),
    };
    match (event.event_type, order) {
        (EventType::Purchase, Some(order)) if !lines.is_empty() => {
            user.remember_order(order, lines.iter().map(|l| l.item).collect());
            lines
        }
        (EventType::Refund, Some(order)) => {
            let held = user.orders.iter().position(|(o, _)| *o == order).map(|at| user.orders.remove(at).1);
            match held {
                Some(items) if lines.is_empty() => {
                    items.into_iter().map(|item| Line { item, quantity: 1, price: None }).collect()
                }
                _ => lines,
            }
        }
        _ => lines,
    }
}

fn remember_context(user: &mut User, event: &Event<'_>) {
    for (key, value) in event.props.iter() {
        let slot = match key {
            "device" => &mut user.context.device,
            "country" => &mut user.context.country,
            "channel" => &mut user.context.channel,
            "query" => &mut user.context.query,
            _ => continue,
        };
        let text: String = value.chars().take(TEXT_CHARS_MAX).collect();
        *slot = (!text.is_empty()).then_some(text);
    }
}

fn count_in_session(user: &mut User, event: &Event<'_>) -> u32 {
    let session = user.session_mut(event.session_id, event.ts_ms);
    session.started_ms = session.started_ms.min(event.ts_ms);
    session.last_ms = session.last_ms.max(event.ts_ms);
    let n = &mut session.counts[event.event_type as usize];
    *n = n.saturating_add(1);
    if let Some(pct) = event.props.number("depth_pct") {
        session.scroll_pct_max = session.scroll_pct_max.max(pct.clamp(0.0, 100.0) as u32);
    }
    if let Some(ms) = dwell_ms(event) {
        session.dwell_ms += u64::from(ms);
    }
    session.number
}

/// Dwell in ms, at most a day; what is longer is a tab left open.
fn dwell_ms(event: &Event<'_>) -> Option<u32> {
    event.props.number("dwell_ms").filter(|v| *v >= 0.0).map(|v| v.min(86_400_000.0) as u32)
}

fn remember_items(user: &mut User, event: &Event<'_>, items: &[Line], number: u32, catalog: &impl Catalog) {
    let dwell = dwell_ms(event);
    if let Some(ms) = dwell {
        user.dwell.add(f64::from(ms));
    }
    for line in items {
        let facts = catalog.facts(line.item);
        match event.event_type {
            EventType::Click => {
                user.clicked.insert(line.item);
            }
            EventType::Purchase => {
                user.bought.insert(line.item);
                user.sessions.iter_mut().for_each(|s| cart_remove(&mut s.cart, line.item, None));
            }
            EventType::Refund => user.bought.remove(line.item),
            EventType::AddToCart | EventType::RemoveFromCart => {
                let quantity = event.props.number("quantity").map(|q| q.clamp(1.0, 1e6) as u32);
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
    if event.event_type == EventType::Purchase {
        let lines: f64 = items.iter().filter_map(|l| l.price.map(|p| p * f64::from(l.quantity))).sum();
        user.order_value.add(event.props.number("value").unwrap_or(lines));
        if items.is_empty() {
            user.session_mut(event.session_id, event.ts_ms).cart.clear();
        }
    }
}

/// Dwell belongs to the latest action on that item in that session.
fn attach_dwell(user: &mut User, item: u64, session: u32, dwell_ms: u32) {
    if let Some(r) = user.recent.iter_mut().rev().find(|r| r.item == item && r.session == session) {
        r.dwell_ms = r.dwell_ms.saturating_add(dwell_ms);
    }
}

fn contribute<'e>(
    user: &User,
    event: &Event<'e>,
    items: &[Line],
    number: u32,
    catalog: &impl Catalog,
    out: &mut Vec<Contribution<'e>>,
) {
    let (event_type, ts_ms) = (event.event_type, event.ts_ms);
    for (dimension, key) in ["device", "country", "channel"].into_iter().enumerate() {
        if let Some(value) = event.props.get(key).filter(|v| !v.is_empty() && v.len() <= 4 * TEXT_CHARS_MAX) {
            let item = items.first().filter(|_| is_positive(event_type)).map(|l| l.item);
            out.push(Contribution::Context { dimension: dimension as u8, value, item, event_type, ts_ms });
        }
    }
    for line in items {
        let item = line.item;
        out.push(Contribution::Item { item, event_type, ts_ms });
        for category in catalog.facts(item).categories {
            out.push(Contribution::Category { category: *category, event_type, ts_ms });
        }
        if event_type == EventType::Purchase {
            let price = line.price.or(catalog.facts(item).price).unwrap_or(0.0);
            out.push(Contribution::Revenue { item, value: price * f64::from(line.quantity) });
        }
        if let Some(dwell_ms) = dwell_ms(event) {
            out.push(Contribution::Dwell { item, dwell_ms });
        }
        if is_positive(event_type) {
            pair(user, event, item, number, out);
            let session = crate::hash::key_hash(crate::hash::Namespace::Session, event.session_id);
            out.push(Contribution::Touch { session, item, ts_ms });
        }
    }
    for (i, a) in items.iter().enumerate().take(PAIRS_MAX) {
        for b in items[i + 1..].iter().take(PAIRS_MAX).filter(|b| b.item != a.item) {
            out.push(Contribution::Pair { a: a.item, b: b.item, ts_ms });
        }
    }
}

/// Pairs an item with what the session touched before it; looking again at an item of the session adds nothing.
fn pair(user: &User, event: &Event<'_>, item: u64, session: u32, out: &mut Vec<Contribution<'_>>) {
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
    for other in &earlier[..n] {
        out.push(Contribution::Pair { a: *other, b: item, ts_ms: event.ts_ms });
    }
}
