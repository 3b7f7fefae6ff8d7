//! What a frame of the log carries. One layout for the embedded log, a Kafka partition and the fold.
//!
//! The fold reads records borrowed from the frame body; nothing is copied on the way from disk to state.

mod decision;
mod external;
mod sent;

pub use decision::{Arm, Decision, Explored, Footing, Shown};
pub use external::{External, Told};
pub use sent::Sent;

use crate::codec::{put_bytes, put_i64, put_opt_str, put_str, put_u64, Reader};
use crate::error::{Error, Result};
use crate::hash::{id_hash, key_hash, Namespace};

/// `kind` byte of a frame. Values are on disk and never reused.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Event = 1,
    /// Body: the item as canonical JSON (replaces).
    Item = 2,
    /// Body: the item id.
    ItemDelete = 3,
    /// Body: id, then the merged-in fields as JSON.
    ItemPatch = 4,
    /// Body: the user record as canonical JSON (merges).
    User = 5,
    /// Body: `Link`.
    Link = 6,
    /// Body: `Decision`.
    Decision = 7,
    /// Body: `Activation`.
    Activation = 8,
    /// Body: what is tried beside the bundle in use, as JSON of whoever tries it; the latest counts.
    Trial = 9,
    /// Body: `Sent`.
    Sent = 10,
}

impl Kind {
    pub fn from_u8(v: u8) -> Result<Kind> {
        Ok(match v {
            1 => Kind::Event,
            2 => Kind::Item,
            3 => Kind::ItemDelete,
            4 => Kind::ItemPatch,
            5 => Kind::User,
            6 => Kind::Link,
            7 => Kind::Decision,
            8 => Kind::Activation,
            9 => Kind::Trial,
            10 => Kind::Sent,
            _ => return Err(Error::corrupt(0, format!("unknown record kind {v}"))),
        })
    }
}

/// Event types of the contract. The numbers are on disk.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    Impression = 0,
    Click = 1,
    Scroll = 2,
    Dwell = 3,
    AddToCart = 4,
    RemoveFromCart = 5,
    Purchase = 6,
    Refund = 7,
    Search = 8,
    View = 9,
    Skip = 10,
    Like = 11,
    Dislike = 12,
    Identify = 13,
    /// Declared by a team in its config; the name travels in the record.
    Custom = 14,
}

pub const EVENT_TYPES: [(EventType, &str); 14] = [
    (EventType::Impression, "impression"),
    (EventType::Click, "click"),
    (EventType::Scroll, "scroll"),
    (EventType::Dwell, "dwell"),
    (EventType::AddToCart, "add_to_cart"),
    (EventType::RemoveFromCart, "remove_from_cart"),
    (EventType::Purchase, "purchase"),
    (EventType::Refund, "refund"),
    (EventType::Search, "search"),
    (EventType::View, "view"),
    (EventType::Skip, "skip"),
    (EventType::Like, "like"),
    (EventType::Dislike, "dislike"),
    (EventType::Identify, "identify"),
];

impl EventType {
    pub fn from_u8(v: u8) -> Result<EventType> {
        if v == EventType::Custom as u8 {
            return Ok(EventType::Custom);
        }
        EVENT_TYPES.get(v as usize).map(|(t, _)| *t).ok_or_else(|| Error::corrupt(0, format!("unknown event type {v}")))
    }

    /// The type of the contract with this name. Spelled out: a search of the table compares each name with a call.
    pub fn of(name: &str) -> Option<EventType> {
        Some(match name {
            "impression" => EventType::Impression,
            "click" => EventType::Click,
            "scroll" => EventType::Scroll,
            "dwell" => EventType::Dwell,
            "add_to_cart" => EventType::AddToCart,
            "remove_from_cart" => EventType::RemoveFromCart,
            "purchase" => EventType::Purchase,
            "refund" => EventType::Refund,
            "search" => EventType::Search,
            "view" => EventType::View,
            "skip" => EventType::Skip,
            "like" => EventType::Like,
            "dislike" => EventType::Dislike,
            "identify" => EventType::Identify,
            _ => return None,
        })
    }

    /// The item is required for these (CONTRACT section 1).
    pub fn needs_item(self) -> bool {
        use EventType::*;
        matches!(self, Impression | Click | View | AddToCart | RemoveFromCart | Like | Dislike | Skip)
    }
}

/// One accepted event, borrowed from the body of its frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    pub event_id: &'a str,
    pub user_id: Option<&'a str>,
    pub session_id: &'a str,
    pub event_type: EventType,
    /// Set if and only if `event_type` is `Custom`.
    pub custom: Option<&'a str>,
    pub item_id: Option<&'a str>,
    pub ts_ms: i64,
    pub received_ms: i64,
    pub request_id: Option<&'a str>,
    pub position: Option<u32>,
    /// The user a bare session was linked to when the event was admitted; the fold counts the event for it.
    pub linked_user: Option<&'a str>,
    /// Sent with a server key (purchases may be restricted to these).
    pub trusted: bool,
    pub props: Props<'a>,
}

impl<'a> Event<'a> {
    /// Namespace and id of the user key that this event counts for.
    pub fn user_key(&self) -> (Namespace, &'a str) {
        match self.user_id.or(self.linked_user) {
            Some(u) => (Namespace::User, u),
            None => (Namespace::Session, self.session_id),
        }
    }

    pub fn key_hash(&self) -> u64 {
        let (ns, id) = self.user_key();
        key_hash(ns, id)
    }

    /// Returns where in `out` the linked user stands, for `link_encoded`.
    pub fn encode(&self, out: &mut Vec<u8>) -> usize {
        out.push(self.event_type as u8);
        out.push(u8::from(self.trusted));
        put_str(out, self.event_id);
        put_opt_str(out, self.user_id);
        put_str(out, self.session_id);
        put_opt_str(out, self.custom);
        put_opt_str(out, self.item_id);
        put_i64(out, self.ts_ms);
        put_i64(out, self.received_ms);
        put_opt_str(out, self.request_id);
        put_u64(out, self.position.map_or(0, |p| u64::from(p) + 1));
        let linked_at = out.len();
        put_opt_str(out, self.linked_user);
        put_u64(out, u64::from(self.props.count));
        out.extend_from_slice(self.props.bytes);
        linked_at
    }

    /// The bytes of an event that was encoded without a linked user, with one; `linked_at` counts from their start.
    pub fn link_encoded(body: &[u8], linked_at: usize, user: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&body[..linked_at]);
        put_opt_str(out, Some(user));
        out.extend_from_slice(&body[linked_at + 1..]);
    }

    /// The user of an encoded event, without reading the rest of it.
    pub fn user_of(body: &'a [u8]) -> Result<Option<&'a str>> {
        let mut r = Reader::new(body);
        r.take(2)?;
        r.bytes()?;
        r.opt_str()
    }

    pub fn decode(body: &'a [u8]) -> Result<Event<'a>> {
        let mut r = Reader::new(body);
        let event_type = EventType::from_u8(r.u8()?)?;
        let trusted = r.u8()? & 1 == 1;
        Ok(Event {
            event_type,
            trusted,
            event_id: r.str()?,
            user_id: r.opt_str()?,
            session_id: r.str()?,
            custom: r.opt_str()?,
            item_id: r.opt_str()?,
            ts_ms: r.i64()?,
            received_ms: r.i64()?,
            request_id: r.opt_str()?,
            position: match r.u64()? {
                0 => None,
                p => Some(u32::try_from(p - 1).map_err(|_| Error::corrupt(0, "position too large"))?),
            },
            linked_user: r.opt_str()?,
            props: Props { count: u32::try_from(r.u64()?).map_err(|_| Error::corrupt(0, "props"))?, bytes: r.rest() },
        })
    }
}

/// Hashes of the names in an event, computed once when it is read, and its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashes {
    pub event_type: EventType,
    pub event: u64,
    pub session: u64,
    /// Of the user that the event itself names.
    pub user: Option<u64>,
    pub item: Option<u64>,
}

impl Hashes {
    pub fn of(event: &Event<'_>) -> Hashes {
        Hashes {
            event_type: event.event_type,
            event: id_hash(event.event_id),
            session: key_hash(Namespace::Session, event.session_id),
            user: event.user_id.map(|user| key_hash(Namespace::User, user)),
            item: event.item_id.map(id_hash),
        }
    }

    /// The key that the event counts for when its session is nobody's.
    pub fn own(&self) -> u64 {
        self.user.unwrap_or(self.session)
    }
}

/// Pairs of strings in their order, undecoded: `count` times key, value as written by `put_str`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Props<'a> {
    pub count: u32,
    pub bytes: &'a [u8],
}

impl<'a> Props<'a> {
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut r = Reader::new(self.bytes);
        (0..self.count).map_while(move |_| Some((r.str().ok()?, r.str().ok()?)))
    }

    /// Pairs as bytes, not checked to be UTF-8: for reading many keys in one pass.
    pub fn raw(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut r = Reader::new(self.bytes);
        (0..self.count).map_while(move |_| Some((r.bytes().ok()?, r.bytes().ok()?)))
    }

    /// The last value of a key, as in a JSON object.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.iter().filter(|(k, _)| *k == key).last().map(|(_, v)| v)
    }

    pub fn number(&self, key: &str) -> Option<f64> {
        self.get(key).and_then(|v| v.trim().parse::<f64>().ok()).filter(|v| v.is_finite())
    }
}

/// What a session did without a user joins that user, once.
#[derive(Debug, Clone, PartialEq)]
pub struct Link<'a> {
    pub session_id: &'a str,
    pub user_id: &'a str,
    /// Log offset of the event that made the link: the same link written twice is applied once.
    pub source_offset: u64,
    /// The anonymous user record as `fold::user` encodes it.
    pub anonymous: &'a [u8],
}

impl<'a> Link<'a> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_str(out, self.session_id);
        put_str(out, self.user_id);
        put_u64(out, self.source_offset);
        put_bytes(out, self.anonymous);
    }

    pub fn decode(body: &'a [u8]) -> Result<Link<'a>> {
        let mut r = Reader::new(body);
        Ok(Link { session_id: r.str()?, user_id: r.str()?, source_offset: r.u64()?, anonymous: r.bytes()? })
    }
}

/// From here on lists are ranked by this bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation<'a> {
    pub name: &'a str,
    pub version: &'a str,
}

impl<'a> Activation<'a> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_str(out, self.name);
        put_str(out, self.version);
    }

    pub fn decode(body: &'a [u8]) -> Result<Activation<'a>> {
        let r = &mut Reader::new(body);
        Ok(Activation { name: r.str()?, version: r.str()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_and_names_its_user() {
        let mut props = Vec::new();
        put_str(&mut props, "price");
        put_str(&mut props, "9.50");
        let mut e = Event {
            event_id: "e1",
            user_id: None,
            session_id: "s1",
            event_type: EventType::Custom,
            custom: Some("wishlist"),
            item_id: Some("i1"),
            ts_ms: 1,
            received_ms: 2,
            request_id: None,
            position: Some(0),
            linked_user: None,
            trusted: true,
            props: Props { count: 1, bytes: &props },
        };
        let mut body = Vec::new();
        e.encode(&mut body);
        assert_eq!(Event::decode(&body).unwrap(), e);
        assert_eq!(e.props.number("price"), Some(9.5));
        assert_eq!(e.user_key(), (Namespace::Session, "s1"));
        e.linked_user = Some("u1");
        assert_eq!(e.user_key(), (Namespace::User, "u1"));
        let (mut linked, mut patched) = (Vec::new(), Vec::new());
        let linked_at = e.encode(&mut linked);
        Event::link_encoded(&body, linked_at, "u1", &mut patched);
        assert_eq!(patched, linked);
        assert_eq!(Event::user_of(&linked).unwrap(), None);
        for cut in 0..body.len() - props.len() {
            assert!(Event::decode(&body[..cut]).is_err());
        }
    }

    #[test]
    fn an_activation_comes_back() {
        let a = Activation { name: "demo-shop", version: "3" };
        let mut body = Vec::new();
        a.encode(&mut body);
        assert_eq!(Activation::decode(&body).unwrap(), a);
        for cut in 0..body.len() {
            assert!(Activation::decode(&body[..cut]).is_err());
        }
    }

    #[test]
    fn every_type_of_the_table_is_found_by_its_name_and_number() {
        for (number, (event_type, name)) in EVENT_TYPES.into_iter().enumerate() {
            assert_eq!((EventType::of(name), event_type as usize), (Some(event_type), number));
            assert_eq!(EventType::from_u8(number as u8), Ok(event_type));
        }
        assert_eq!(EventType::of("custom"), None);
    }

    #[test]
    fn a_user_and_a_session_of_the_same_name_differ() {
        assert_ne!(key_hash(Namespace::User, "a"), key_hash(Namespace::Session, "a"));
    }
}
