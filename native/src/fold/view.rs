//! Answers people read: one user key's state as JSON (CONTRACT section 2).

use serde_json::{json, Map, Value};

use crate::error::Result;
use crate::fold::own::Own;
use crate::fold::state::{Person, Slot, State};
use crate::fold::user::{Recent, Session, User};
use crate::hash::{key_hash, Namespace};
use crate::record::EVENT_TYPES;

impl User {
    /// What an entry of the last-K list was called by the client.
    pub fn type_name(&self, entry: &Recent) -> &str {
        match EVENT_TYPES.get(entry.event_type as usize) {
            Some((_, name)) => name,
            None => self.custom.get(usize::from(entry.custom)).map_or("custom", |(name, _)| name),
        }
    }
}

impl State {
    /// Hash of the key that answers for `(user_id, session_id)`: the user, the user a session is linked to, or the
    /// session itself.
    pub fn resolve(&self, user_id: Option<&str>, session_id: &str) -> u64 {
        if let Some(user) = user_id {
            return key_hash(Namespace::User, user);
        }
        let session = key_hash(Namespace::Session, session_id);
        match self.users.get(&session) {
            Some(Slot { person: Person::Linked(user), .. }) => key_hash(Namespace::User, user),
            _ => session,
        }
    }

    /// The record of a key that is in memory.
    pub fn user(&self, hash: u64) -> Option<&User> {
        match &self.users.get(&hash)?.person {
            Person::Known(user) => Some(user),
            Person::Linked(_) => None,
        }
    }

    /// A team's own aggregates of a key that is in memory.
    pub fn own(&self, hash: u64) -> Option<&Own> {
        self.users.get(&hash)?.own.as_deref()
    }

    /// What `PUT /v1/users` said of a key that is in memory.
    pub fn profile(&self, hash: u64) -> Option<&[u8]> {
        self.users.get(&hash)?.profile.as_deref()
    }

    /// JSON of a user key; None when nothing is known of it. `features` is computed by the caller's plan.
    pub fn user_json(&self, hash: u64, features: Map<String, Value>) -> Result<Option<Vec<u8>>> {
        let Some(slot) = self.users.get(&hash) else { return Ok(None) };
        let Person::Known(user) = &slot.person else { return Ok(None) };
        if user.version == 0 && slot.profile.is_none() {
            return Ok(None);
        }
        let mut counts = Map::new();
        for (event_type, name) in EVENT_TYPES {
            if let Some(c) = user.counter(event_type) {
                counts.insert(name.to_owned(), c.total().into());
            }
        }
        for (name, n) in &user.custom {
            counts.insert(name.clone(), (*n).into());
        }
        let mut sessions: Vec<&Session> = user.sessions.iter().collect();
        sessions.sort_by_key(|s| (s.started_ms, s.number));
        let profile: Value = match &slot.profile {
            Some(json) => serde_json::from_slice(json).unwrap_or(Value::Null),
            None => Value::Null,
        };
        let mut all = features;
        if let Some(Value::Object(published)) = profile.get("features") {
            all.extend(published.clone());
        }
        let body = json!({
            "user_id": slot.id,
            "anonymous": slot.namespace == Namespace::Session,
            "state_version": user.version,
            "first_ms": user.first_ms,
            "last_ms": user.last_ms,
            "sessions": sessions.iter().map(|s| self.session_json(user, s)).collect::<Vec<_>>(),
            "counts": counts,
            "categories": self.category_json(user),
            "attributes": profile.get("attributes").cloned().unwrap_or_else(|| json!({})),
            "features": all,
        });
        Ok(Some(body.to_string().into_bytes()))
    }

    fn session_json(&self, user: &User, session: &Session) -> Value {
        let name =
            |hash: u64| self.catalogue.ids().by_hash(hash).map(|i| self.catalogue.ids().id(i)).unwrap_or_default();
        let items: Vec<Value> = user
            .recent
            .iter()
            .filter(|r| r.session == session.number)
            .map(|r| {
                let mut entry = json!({"item_id": name(r.item), "event_type": user.type_name(r), "ts_ms": r.ts_ms});
                if r.dwell_ms > 0 {
                    entry["dwell_ms"] = r.dwell_ms.into();
                }
                entry
            })
            .collect();
        let cart: Vec<&str> = session.cart.iter().map(|(item, _)| name(*item)).collect();
        let quantities: Map<String, Value> =
            session.cart.iter().map(|(item, n)| (name(*item).to_owned(), (*n).into())).collect();
        json!({
            "session_id": session.id,
            "started_ms": session.started_ms,
            "last_ms": session.last_ms,
            "items": items,
            "cart": cart,
            "cart_quantities": quantities,
            "dwell_ms": session.dwell_ms,
            "scroll_pct_max": session.scroll_pct_max,
        })
    }

    fn category_json(&self, user: &User) -> Vec<Value> {
        let mut order: Vec<_> = user.categories.iter().collect();
        order.sort_by_key(|c| (std::cmp::Reverse(c.count), std::cmp::Reverse(c.last_ms), c.category));
        order
            .iter()
            .filter_map(|c| Some(json!({"category": self.facts.category_name(c.category)?, "count": c.count})))
            .collect()
    }
}
