//! A state that tests fold records into, one by one, as if they came from a log.

use crate::fold::state::{State, StateConfig};
use crate::fold::vector::Asker;
use crate::hash::{key_hash, Namespace};
use crate::log::{Frame, FrameHeader};
use crate::record::{Event, EventType, Kind, Props};

/// A noon.
pub const NOW: i64 = 20_000 * 86_400_000 + 43_200_000;

pub struct Scene {
    pub state: State,
    events: u64,
    draws: u64,
}

impl Default for Scene {
    fn default() -> Scene {
        Scene { state: State::new(StateConfig::default()), events: 0, draws: 1 }
    }
}

impl Scene {
    pub fn fold(&mut self, kind: Kind, key_hash: u64, received_ms: i64, body: &[u8]) {
        let header =
            FrameHeader { kind: kind as u8, flags: 0, partition: 0, key_hash, received_ms: received_ms as u64 };
        let offset = self.state.applied;
        self.state.fold(&Frame { offset, end: offset + 1, header, body }).unwrap();
    }

    /// Puts an item; its index.
    pub fn put(&mut self, json: &str, received_ms: i64) -> u32 {
        self.fold(Kind::Item, 0, received_ms, json.as_bytes());
        let id: serde_json::Value = serde_json::from_str(json).unwrap();
        self.state.catalogue.ids().index(id["id"].as_str().unwrap()).unwrap()
    }

    /// One event of user `u…` in session `s` of that user.
    pub fn did(&mut self, user: &str, event_type: EventType, item: &str, ts_ms: i64) {
        self.events += 1;
        let (id, session) = (format!("e{}", self.events), format!("s-{user}"));
        let event = Event {
            event_id: &id,
            user_id: Some(user),
            session_id: &session,
            event_type,
            custom: None,
            item_id: Some(item),
            ts_ms,
            received_ms: ts_ms,
            request_id: None,
            position: None,
            linked_user: None,
            trusted: true,
            props: Props::default(),
        };
        let mut body = Vec::new();
        event.encode(&mut body);
        self.fold(Kind::Event, key_hash(Namespace::User, user), ts_ms, &body);
    }

    /// A number below `n` from a generator that every scene starts alike.
    pub fn draw(&mut self, n: u64) -> u64 {
        self.draws = self.draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.draws >> 33) % n
    }
}

/// A request of a user in the session of `Scene::did`.
pub fn asker<'a>(state: &'a State, user: &str, session_id: &'a str, as_of_ms: i64) -> Asker<'a> {
    let hash = key_hash(Namespace::User, user);
    let (user, own) = (state.user(hash), state.own(hash));
    Asker {
        user,
        own,
        profile: None,
        session_id,
        surface: "home",
        arms: ["home", ""],
        context: &[],
        session: None,
        fused: None,
        vectors: None,
        text: None,
        found: &[],
        published: None,
        as_of_ms,
    }
}
