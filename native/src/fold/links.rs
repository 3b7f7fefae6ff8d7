//! Who a session is: what a visitor did before signing in joins the user whom its link record names, once.
//!
//! Invariant: a link is due from the event that names both until its own record is folded, and what waits for that record
//! is a function of the log up to that event.

use crate::error::Result;
use crate::fold::own::Own;
use crate::fold::state::{mark, Person, Slot, State};
use crate::fold::user::User;
use crate::hash::{key_hash, Namespace};
use crate::record::Link;

impl State {
    /// A session and a user seen together for the first time: the session's anonymous doings leave for a link record.
    /// What the session sent so far stays known to it, for it may be sent again before that record is folded.
    pub(super) fn link(&mut self, offset: u64, session_hash: u64, session_id: &str, user_id: &str) {
        let slot = self.slot(session_hash, Namespace::Session, session_id);
        let before = std::mem::replace(&mut slot.person, Person::Linked(user_id.into()));
        if let Person::Known(anonymous) = &before {
            slot.seen.clone_from(&anonymous.dedupe);
        }
        let own = Own::leave(&mut slot.own);
        let was_dirty = std::mem::replace(&mut slot.dirty, true);
        if !was_dirty {
            self.dirty.users.push(session_hash);
        }
        if let Person::Known(anonymous) = before {
            if anonymous.version > 0 {
                let mut record = Vec::new();
                anonymous.encode(&mut record);
                let mut body = Vec::new();
                Link { session_id, user_id, source_offset: offset, anonymous: &record }.encode(&mut body);
                if let Some(own) = own {
                    self.aggregates.due.insert(offset, own);
                }
                self.links_due.insert(offset, (key_hash(Namespace::User, user_id), body));
            }
        }
    }

    /// False when a linked session sent this event before; remembers it.
    pub(super) fn first_of_linked(&mut self, session_hash: u64, event_hash: u64) -> bool {
        let Some(slot) = self.users.get_mut(&session_hash) else { return true };
        if matches!(slot.person, Person::Known(_)) {
            return true;
        }
        let first = slot.seen.insert(event_hash);
        if first {
            mark(&mut slot.dirty, &mut self.dirty.users, session_hash);
        }
        first
    }

    pub(super) fn is_linked(&self, session_hash: u64, user_id: &str) -> bool {
        matches!(self.users.get(&session_hash), Some(Slot { person: Person::Linked(u), .. }) if **u == *user_id)
    }

    pub(super) fn fold_link(&mut self, link: &Link<'_>) -> Result<()> {
        self.links_due.remove(&link.source_offset);
        let anonymous = User::decode(link.anonymous)?;
        let hash = key_hash(Namespace::User, link.user_id);
        self.slot(hash, Namespace::User, link.user_id);
        let Some(slot) = self.users.get_mut(&hash) else { return Ok(()) };
        if let Person::Known(user) = &mut slot.person {
            user.merge_anonymous(link.source_offset, &anonymous);
        }
        if let Some(own) = self.aggregates.due.remove(&link.source_offset) {
            slot.own.get_or_insert_default().merge(&own);
        }
        mark(&mut slot.dirty, &mut self.dirty.users, hash);
        Ok(())
    }
}
