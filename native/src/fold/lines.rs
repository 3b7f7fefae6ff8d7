//! The lines of an event: the item that it names, or what an order held.
//!
//! Invariant: a refund by order id takes the order away, so that no order is refunded twice. What a line adds to counts is
//! not known here.

use crate::fold::step::{Facts, Items, Told};
use crate::fold::user::User;
use crate::hash::id_hash;
use crate::record::EventType;

/// A line of the event: one for most types, several for a purchase.
pub struct Line {
    pub item: u64,
    pub index: Option<u32>,
    pub quantity: u32,
    pub price: Option<f64>,
}

impl Line {
    pub fn facts<'c>(&self, catalog: &'c impl Items) -> Facts<'c> {
        self.index.map_or(Facts::default(), |at| catalog.facts_at(at))
    }

    /// What was paid: the price of the event, else the catalogue's.
    pub fn value(&self, catalog: &impl Items) -> f64 {
        self.price.or(self.facts(catalog).price).unwrap_or(0.0) * f64::from(self.quantity)
    }
}

/// Nearly every event has one line or none: no memory is taken for it.
pub enum Lines {
    One([Line; 1]),
    Any(Vec<Line>),
}

impl std::ops::Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        match self {
            Lines::One(line) => line,
            Lines::Any(lines) => lines,
        }
    }
}

pub(super) fn event_lines(user: &mut User, told: &Told<'_>, catalog: &impl Items) -> Lines {
    let Told { event, said, hashes, .. } = told;
    let line = |item, quantity, price| Line { item, index: catalog.index(item), quantity, price };
    let order = said.order_id.map(id_hash);
    let lines = match (event.event_type, said.items, hashes.item) {
        (EventType::Purchase | EventType::Refund, Some(text), _) => Lines::Any(
            crate::event::purchase_items(text)
                .unwrap_or_default()
                .iter()
                .map(|l| line(id_hash(&l.item_id), l.quantity, l.price))
                .collect(),
        ),
        (_, _, Some(item)) => Lines::One([line(item, said.quantity().unwrap_or(1), said.price)]),
        (_, _, None) => Lines::Any(Vec::new()),
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
                    Lines::Any(items.into_iter().map(|item| line(item, 1, None)).collect())
                }
                _ => lines,
            }
        }
        _ => lines,
    }
}
