//! What reaches a user key without being an event of it: what a back end says of the user, and the notifications that a
//! surface decided to send.
//!
//! Invariant: bounded, and in the order of their times whatever the order of the log. It does not know why something was
//! sent, nor whether it arrived.

use crate::codec::{put_i64, put_u64, Reader};
use crate::error::{Error, Result};
use crate::fold::state::{mark, Person, State};
use crate::hash::{id_hash, Namespace};
use crate::record::Sent;

/// Notifications that a user record remembers, of all surfaces together.
pub const SENDS_MAX: usize = 32;

/// Notifications as (hash of the surface, ms), the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sends(Vec<(u64, i64)>);

impl Sends {
    pub fn add(&mut self, surface: u64, ms: i64) {
        self.0.insert(self.0.partition_point(|(_, at)| *at <= ms), (surface, ms));
        if self.0.len() > SENDS_MAX {
            self.0.remove(0);
        }
    }

    pub fn merge(&mut self, other: &Sends) {
        other.0.iter().for_each(|(surface, ms)| self.add(*surface, *ms));
    }

    /// When a surface sent something, the oldest first.
    pub fn of(&self, surface: u64) -> impl Iterator<Item = i64> + '_ {
        self.0.iter().filter(move |(by, _)| *by == surface).map(|(_, ms)| *ms)
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.0.len() as u64);
        for (surface, ms) in &self.0 {
            out.extend_from_slice(&surface.to_le_bytes());
            put_i64(out, *ms);
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Sends> {
        let n = r.u64()?;
        if n > SENDS_MAX as u64 {
            return Err(Error::corrupt(0, "more notifications than are remembered"));
        }
        Ok(Sends((0..n).map(|_| Ok((r.fixed_u64()?, r.i64()?))).collect::<Result<Vec<_>>>()?))
    }
}

impl State {
    pub(super) fn fold_sent(&mut self, sent: &Sent<'_>) {
        let (namespace, id) = match sent.user_id {
            Some(user) => (Namespace::User, user),
            None => (Namespace::Session, sent.session_id),
        };
        // The session may have been linked to a user since.
        let hash = self.resolve(sent.user_id, sent.session_id);
        self.slot(hash, namespace, id);
        let Some(slot) = self.users.get_mut(&hash) else { return };
        if let Person::Known(user) = &mut slot.person {
            user.sends.add(id_hash(sent.surface), sent.as_of_ms);
        }
        mark(&mut slot.dirty, &mut self.dirty.users, hash);
    }

    pub(super) fn put_profile(&mut self, hash: u64, json: &[u8]) -> Result<()> {
        let id = user_id_of(json)?;
        let limits = self.config.items.clone();
        self.slot(hash, Namespace::User, &id);
        let Some(slot) = self.users.get_mut(&hash) else { return Ok(()) };
        let merged = crate::items::merge_user(slot.profile.as_deref(), json, &limits);
        slot.profile = Some(merged.into_boxed_slice());
        mark(&mut slot.dirty, &mut self.dirty.users, hash);
        Ok(())
    }
}

/// The id in the canonical JSON of a user record.
fn user_id_of(json: &[u8]) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct WithId {
        id: String,
    }
    let record: WithId = serde_json::from_slice(json).map_err(|e| Error::malformed(e.to_string()))?;
    Ok(record.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::scene::{Scene, NOW};
    use crate::hash::key_hash;
    use crate::record::{EventType, Kind};

    fn sent(scene: &mut Scene, user_id: Option<&str>, session_id: &str, ms: i64) {
        let mut body = Vec::new();
        Sent { user_id, session_id, surface: "push", request_id: "r", as_of_ms: ms, score: 0.5 }.encode(&mut body);
        let hash = scene.state.resolve(user_id, session_id);
        scene.fold(Kind::Sent, hash, ms, &body);
    }

    fn times(scene: &Scene, user: Option<&str>, session: &str, surface: &str) -> Vec<i64> {
        let user = scene.state.user(scene.state.resolve(user, session)).unwrap();
        user.sends.of(id_hash(surface)).collect()
    }

    #[test]
    fn the_latest_are_kept_in_the_order_of_their_times() {
        let mut sends = Sends::default();
        for n in 0..40 {
            sends.add(n % 2, 1_000 * (n as i64 ^ 1));
        }
        assert_eq!(sends.0.len(), SENDS_MAX);
        assert!(sends.0.windows(2).all(|w| w[0].1 <= w[1].1) && sends.0[0].1 == 8_000);
        assert_eq!(sends.of(0).collect::<Vec<_>>(), (0..16).map(|n| 9_000 + 2_000 * n).collect::<Vec<i64>>());
        let mut out = Vec::new();
        sends.encode(&mut out);
        assert_eq!(Sends::decode(&mut Reader::new(&out)).unwrap(), sends);
        assert!((0..out.len()).all(|cut| Sends::decode(&mut Reader::new(&out[..cut])).is_err()));
    }

    #[test]
    fn a_record_counts_for_its_user_and_counts_no_event() {
        let mut scene = Scene::default();
        sent(&mut scene, Some("ada"), "s1", NOW + 5);
        sent(&mut scene, Some("ada"), "s2", NOW);
        assert_eq!(times(&scene, Some("ada"), "x", "push"), [NOW, NOW + 5]);
        assert!(times(&scene, Some("ada"), "x", "mail").is_empty());
        let hash = key_hash(Namespace::User, "ada");
        assert_eq!((scene.state.user(hash).unwrap().version, scene.state.users_total), (0, 0));
        scene.did("ada", EventType::Click, "i", NOW);
        assert_eq!(scene.state.users_total, 1);
        assert!(scene.state.dirty.users.contains(&hash));
    }

    #[test]
    fn what_was_sent_to_a_session_is_its_users() {
        let mut scene = Scene::default();
        scene.did("bob", EventType::Click, "i", NOW);
        sent(&mut scene, None, "s-bob", NOW + 1);
        assert_eq!(times(&scene, Some("bob"), "s-bob", "push"), [NOW + 1]);
    }
}
