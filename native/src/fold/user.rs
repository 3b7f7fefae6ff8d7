//! The record of one user key: everything ranking reads about a person, bounded, as one binary value.
//!
//! Items appear as 64-bit hashes, so a record means the same on every shard. `BYTES_MAX` is the published bound.

use crate::ahead::fetch;
use crate::codec::{put_i64, put_opt_str, put_str, put_u64, Reader};
use crate::error::{Error, Result};
use crate::fold::caps::Caps;
use crate::fold::cart::cart_add;
use crate::fold::counter::Counter;
use crate::fold::moments::Moments;
use crate::fold::ring::HashRing;
use crate::fold::sends::Sends;
pub use crate::fold::session::Session;
use crate::fold::timed_ring::TimedRing;
use crate::record::EventType;

pub const RECENT_MAX: usize = 50;
pub const SESSIONS_MAX: usize = 12;
pub const CATEGORIES_MAX: usize = 32;
/// Custom types a shard may declare, each with a count of its own.
pub const CUSTOM_TYPES_MAX: usize = 64;
pub const TEXT_CHARS_MAX: usize = 48;
pub const ORDERS_MAX: usize = 6;
pub const ORDER_ITEMS_MAX: usize = 8;
const LINKS_MAX: usize = 16;
/// Layout 1 ends before the minutes of what was clicked and bought, layout 2 before what was sent.
const LAYOUT: u8 = 3;

/// Bound of an encoded record in bytes, ids and numbers at their largest; a busy shopper's stays under 4,096.
pub const BYTES_MAX: usize = 30_300;

/// The event ids that a key remembers.
pub type EventIds = HashRing<256, 6>;

/// One entry of the last-K list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    pub item: u64,
    pub event_type: EventType,
    pub ts_ms: i64,
    pub dwell_ms: u32,
    /// `Session::number` it belongs to.
    pub session: u32,
    /// Place of a custom type's name in `User::custom`; 0 for the types of the contract.
    pub custom: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryCount {
    pub category: u64,
    pub count: u32,
    pub last_ms: i64,
}

/// Last values of the request context that events carried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastContext {
    pub device: Option<String>,
    pub country: Option<String>,
    pub channel: Option<String>,
    pub query: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Accepted events of this user, linked sessions included: `state_version` outside.
    pub version: u64,
    pub first_ms: i64,
    pub last_ms: i64,
    pub dedupe: EventIds,
    pub sessions: Vec<Session>,
    pub sessions_total: u32,
    pub recent: Vec<Recent>,
    pub clicked: TimedRing<256>,
    pub bought: TimedRing<128>,
    /// Sorted by type.
    pub counts: Vec<(EventType, Counter)>,
    pub custom: Vec<(String, u64)>,
    pub dwell: Moments,
    pub price: Moments,
    pub order_value: Moments,
    pub categories: Vec<CategoryCount>,
    pub context: LastContext,
    pub caps: Caps,
    /// Latest orders and what they held, so that a refund by order id finds its items.
    pub orders: Vec<(u64, Vec<u64>)>,
    /// Source offsets of links already merged.
    pub links: Vec<u64>,
    /// Notifications that surfaces decided to send.
    pub sends: Sends,
}

impl User {
    pub fn counter(&self, event_type: EventType) -> Option<&Counter> {
        self.counts.iter().find(|(t, _)| *t == event_type).map(|(_, c)| c)
    }

    pub fn counter_mut(&mut self, event_type: EventType) -> &mut Counter {
        let at = match self.counts.binary_search_by_key(&event_type, |(t, _)| *t) {
            Ok(at) => at,
            Err(at) => {
                self.counts.insert(at, (event_type, Counter::default()));
                at
            }
        };
        &mut self.counts[at].1
    }

    pub fn session(&self, id: &str) -> Option<&Session> {
        self.sessions.iter().find(|s| s.id == id)
    }

    /// The cart of a session; where it has none, the one that was used last.
    pub fn cart(&self, session_id: &str) -> &[(u64, u32)] {
        let filled = || self.sessions.iter().filter(|s| !s.cart.is_empty());
        let own = filled().find(|s| s.id == session_id);
        own.or_else(|| filled().max_by_key(|s| (s.last_ms, s.number))).map_or(&[], |s| &s.cart)
    }

    /// The session of that id, made if need be; the one with the oldest last event makes room.
    pub fn session_mut(&mut self, id: &str, ts_ms: i64) -> &mut Session {
        if let Some(at) = self.sessions.iter().position(|s| s.id == id) {
            return &mut self.sessions[at];
        }
        let number = self.sessions_total;
        self.sessions_total += 1;
        self.push_session(Session {
            id: id.to_owned(),
            number,
            started_ms: ts_ms,
            last_ms: ts_ms,
            counts: [0; 15],
            dwell_ms: 0,
            scroll_pct_max: 0,
            cart: Vec::new(),
        });
        let at = self.sessions.iter().position(|s| s.number == number).unwrap_or(0);
        &mut self.sessions[at]
    }

    fn push_session(&mut self, session: Session) {
        let keep = session.number;
        self.sessions.push(session);
        if self.sessions.len() > SESSIONS_MAX {
            let oldest = (0..self.sessions.len())
                .filter(|i| self.sessions[*i].number != keep)
                .min_by_key(|i| (self.sessions[*i].last_ms, self.sessions[*i].number));
            if let Some(at) = oldest {
                self.sessions.remove(at);
            }
        }
    }

    /// Places an entry by its time, after those of the same time; the oldest falls off.
    pub fn insert_recent(&mut self, entry: Recent) {
        self.place_recent(self.recent.partition_point(|r| r.ts_ms <= entry.ts_ms), entry);
    }

    fn place_recent(&mut self, at: usize, entry: Recent) {
        if self.recent.len() == RECENT_MAX {
            if at == 0 {
                return;
            }
            self.recent.remove(0);
            self.recent.insert(at - 1, entry);
        } else {
            self.recent.insert(at, entry);
        }
    }

    /// Counts a category; when full, the least counted and then the longest unseen makes room.
    pub fn count_category(&mut self, category: u64, count: u32, ts_ms: i64) {
        if let Some(c) = self.categories.iter_mut().find(|c| c.category == category) {
            c.count = c.count.saturating_add(count);
            c.last_ms = c.last_ms.max(ts_ms);
            return;
        }
        if self.categories.len() == CATEGORIES_MAX {
            let least = (0..CATEGORIES_MAX).min_by_key(|i| {
                let c = &self.categories[*i];
                (c.count, c.last_ms, c.category)
            });
            if let Some(at) = least {
                self.categories.remove(at);
            }
        }
        self.categories.push(CategoryCount { category, count, last_ms: ts_ms });
    }

    pub fn remember_order(&mut self, order: u64, mut items: Vec<u64>) {
        items.truncate(ORDER_ITEMS_MAX);
        if self.orders.len() == ORDERS_MAX {
            self.orders.remove(0);
        }
        self.orders.push((order, items));
    }

    pub fn count_custom(&mut self, name: &str, n: u64) {
        if let Some(c) = self.custom.iter_mut().find(|(k, _)| k == name) {
            c.1 += n;
        } else if self.custom.len() < CUSTOM_TYPES_MAX {
            self.custom.push((name.to_owned(), n));
        }
    }

    /// Place of a counted custom type; the last of all for one that found no room.
    pub fn custom_place(&self, name: Option<&str>) -> u8 {
        let Some(name) = name else { return 0 };
        self.custom.iter().position(|(k, _)| k == name).unwrap_or(CUSTOM_TYPES_MAX) as u8
    }

    /// Takes over what an anonymous session did, once per source; false when it was merged before.
    pub fn merge_anonymous(&mut self, source_offset: u64, other: &User) -> bool {
        if self.links.contains(&source_offset) {
            return false;
        }
        if self.links.len() == LINKS_MAX {
            self.links.remove(0);
        }
        self.links.push(source_offset);
        self.version += other.version;
        self.first_ms = if self.first_ms == 0 { other.first_ms } else { self.first_ms.min(other.first_ms) };
        self.last_ms = self.last_ms.max(other.last_ms);
        // As older: a long anonymous history must not push out what the user sent a moment ago and may send again.
        self.dedupe.merge_older(&other.dedupe);
        self.clicked.merge(&other.clicked);
        self.bought.merge(&other.bought);
        for (t, c) in &other.counts {
            self.counter_mut(*t).merge(c);
        }
        for (name, n) in &other.custom {
            self.count_custom(name, *n);
        }
        self.merge_sessions(other);
        self.sends.merge(&other.sends);
        self.dwell.merge(&other.dwell);
        self.price.merge(&other.price);
        self.order_value.merge(&other.order_value);
        for c in &other.categories {
            self.count_category(c.category, c.count, c.last_ms);
        }
        for (order, items) in &other.orders {
            self.remember_order(*order, items.clone());
        }
        let (mine, theirs) = (&mut self.context, &other.context);
        for (mine, theirs) in [
            (&mut mine.device, &theirs.device),
            (&mut mine.country, &theirs.country),
            (&mut mine.channel, &theirs.channel),
            (&mut mine.query, &theirs.query),
        ] {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        }
        true
    }

    fn merge_sessions(&mut self, other: &User) {
        for theirs in &other.sessions {
            let number = match self.sessions.iter_mut().find(|s| s.id == theirs.id) {
                Some(mine) => {
                    mine.started_ms = mine.started_ms.min(theirs.started_ms);
                    mine.last_ms = mine.last_ms.max(theirs.last_ms);
                    for (m, t) in mine.counts.iter_mut().zip(theirs.counts) {
                        *m = m.saturating_add(t);
                    }
                    mine.dwell_ms += theirs.dwell_ms;
                    mine.scroll_pct_max = mine.scroll_pct_max.max(theirs.scroll_pct_max);
                    let added = std::mem::replace(&mut mine.cart, theirs.cart.clone());
                    for (item, n) in added {
                        cart_add(&mut mine.cart, item, n);
                    }
                    mine.number
                }
                None => {
                    let number = self.sessions_total;
                    self.sessions_total += 1;
                    self.push_session(Session { number, ..theirs.clone() });
                    number
                }
            };
            // What a visitor did came before the sign-in, also where the times are equal.
            for r in other.recent.iter().rev().filter(|r| r.session == theirs.number) {
                let name = other.custom.get(usize::from(r.custom)).map(|(name, _)| name.as_str());
                let custom = self.custom_place(name.filter(|_| r.event_type == EventType::Custom));
                let at = self.recent.partition_point(|mine| mine.ts_ms < r.ts_ms);
                self.place_recent(at, Recent { session: number, custom, ..r.clone() });
            }
        }
    }

    /// Asks for what an event of that type is about to touch behind the struct itself.
    pub fn fetch(&self, event_type: EventType) {
        self.dedupe.fetch();
        self.caps.fetch();
        if let Some(counter) = self.counter(event_type) {
            fetch(counter);
        }
        // Nearly always the latest session and the end of the list.
        if let Some(session) = self.sessions.last() {
            fetch(session);
        }
        fetch(&self.recent[self.recent.len().saturating_sub(4)..]);
        fetch(&self.categories[..]);
    }

    /// Bytes behind the struct itself, by capacity.
    pub fn heap_bytes(&self) -> usize {
        use std::mem::size_of;
        let sessions: usize = self.sessions.iter().map(|s| s.id.capacity() + s.cart.capacity() * 16).sum();
        self.dedupe.heap_bytes()
            + self.clicked.heap_bytes()
            + self.bought.heap_bytes()
            + self.sessions.capacity() * size_of::<Session>()
            + sessions
            + self.recent.capacity() * size_of::<Recent>()
            + self.counts.capacity() * size_of::<(EventType, Counter)>()
            + self.categories.capacity() * size_of::<CategoryCount>()
            + self.caps.heap_bytes()
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(LAYOUT);
        put_u64(out, self.version);
        put_i64(out, self.first_ms);
        put_i64(out, self.last_ms);
        self.dedupe.encode(out);
        put_u64(out, u64::from(self.sessions_total));
        put_u64(out, self.sessions.len() as u64);
        self.sessions.iter().for_each(|s| s.encode(out));
        put_u64(out, self.recent.len() as u64);
        for r in &self.recent {
            out.extend_from_slice(&r.item.to_le_bytes());
            // A custom type is the last one: its name's place is counted on from there.
            out.push(r.event_type as u8 + r.custom);
            put_i64(out, self.last_ms - r.ts_ms);
            put_u64(out, u64::from(r.dwell_ms));
            put_u64(out, u64::from(r.session));
        }
        self.clicked.encode(out);
        self.bought.encode(out);
        put_u64(out, self.counts.len() as u64);
        for (t, c) in &self.counts {
            out.push(*t as u8);
            c.encode(out);
        }
        put_u64(out, self.custom.len() as u64);
        for (name, n) in &self.custom {
            put_str(out, name);
            put_u64(out, *n);
        }
        self.dwell.encode(out);
        self.price.encode(out);
        self.order_value.encode(out);
        put_u64(out, self.categories.len() as u64);
        for c in &self.categories {
            out.extend_from_slice(&c.category.to_le_bytes());
            put_u64(out, u64::from(c.count));
            put_i64(out, c.last_ms);
        }
        for text in [&self.context.device, &self.context.country, &self.context.channel, &self.context.query] {
            put_opt_str(out, text.as_deref());
        }
        self.caps.encode(out);
        put_u64(out, self.orders.len() as u64);
        for (order, items) in &self.orders {
            out.extend_from_slice(&order.to_le_bytes());
            put_u64(out, items.len() as u64);
            items.iter().for_each(|i| out.extend_from_slice(&i.to_le_bytes()));
        }
        put_u64(out, self.links.len() as u64);
        self.links.iter().for_each(|l| put_u64(out, *l));
        self.clicked.encode_minutes(out);
        self.bought.encode_minutes(out);
        self.sends.encode(out);
    }

    pub fn decode(bytes: &[u8]) -> Result<User> {
        User::read(&mut Reader::new(bytes))
    }

    /// `decode` of a record that more may follow.
    pub fn read(r: &mut Reader<'_>) -> Result<User> {
        let layout = r.u8()?;
        if layout == 0 || layout > LAYOUT {
            return Err(Error::corrupt(0, "a user record of an unknown layout"));
        }
        let mut u = User { version: r.u64()?, first_ms: r.i64()?, last_ms: r.i64()?, ..User::default() };
        u.dedupe = HashRing::decode(r)?;
        u.sessions_total = small(r)?;
        for _ in 0..r.u64()? {
            u.sessions.push(Session::decode(r)?);
        }
        for _ in 0..r.u64()? {
            let item = r.fixed_u64()?;
            let kind = r.u8()?;
            let event_type = EventType::from_u8(kind.min(EventType::Custom as u8))?;
            u.recent.push(Recent {
                item,
                event_type,
                custom: kind - event_type as u8,
                ts_ms: u.last_ms - r.i64()?,
                dwell_ms: small(r)?,
                session: small(r)?,
            });
        }
        u.clicked = TimedRing::decode(r)?;
        u.bought = TimedRing::decode(r)?;
        for _ in 0..r.u64()? {
            u.counts.push((EventType::from_u8(r.u8()?)?, Counter::decode(r)?));
        }
        for _ in 0..r.u64()? {
            u.custom.push((r.str()?.to_owned(), r.u64()?));
        }
        u.dwell = Moments::decode(r)?;
        u.price = Moments::decode(r)?;
        u.order_value = Moments::decode(r)?;
        for _ in 0..r.u64()? {
            u.categories.push(CategoryCount { category: r.fixed_u64()?, count: small(r)?, last_ms: r.i64()? });
        }
        u.context = LastContext { device: text(r)?, country: text(r)?, channel: text(r)?, query: text(r)? };
        u.caps = Caps::decode(r)?;
        for _ in 0..r.u64()? {
            let order = r.fixed_u64()?;
            let items = (0..r.u64()?).map(|_| r.fixed_u64()).collect::<Result<Vec<u64>>>()?;
            u.orders.push((order, items));
        }
        for _ in 0..r.u64()? {
            u.links.push(r.u64()?);
        }
        if layout > 1 {
            u.clicked.decode_minutes(r)?;
            u.bought.decode_minutes(r)?;
        }
        if layout > 2 {
            u.sends = Sends::decode(r)?;
        }
        Ok(u)
    }
}

pub(super) fn small(r: &mut Reader<'_>) -> Result<u32> {
    u32::try_from(r.u64()?).map_err(|_| Error::corrupt(0, "a number over 32 bits"))
}

fn text(r: &mut Reader<'_>) -> Result<Option<String>> {
    Ok(r.opt_str()?.map(str::to_owned))
}

#[cfg(test)]
#[path = "user_tests.rs"]
mod tests;
