//! Notifications: what was sent to whoever asks, and one more of them.

use pyo3::prelude::*;
use serde_json::Value;

use crate::hash::{id_hash, key_hash, Namespace};
use crate::py::core::Core;
use crate::py::error::to_py;
use crate::py::log::PyLog;
use crate::py::read::Ask;
use crate::record::{Kind, Sent};

/// Times of notifications, the country last heard of, the attribute `timezone`.
type Addressee = (Vec<i64>, Option<String>, Option<String>);

#[pymethods]
impl Core {
    /// When this surface sent something to the asking user, the oldest first, those included that are not on the disk
    /// yet; where events of the user last said it was; and the text of the user's attribute `timezone`.
    fn addressee(&self, ask: &Ask) -> Addressee {
        let surface = id_hash(&ask.surface.get().name);
        let user = self.state.user(ask.hash);
        let mut sent: Vec<i64> = user.map(|u| u.sends.of(surface).collect()).unwrap_or_default();
        let pending = self.queue.sends.iter().filter(|(who, by, _)| (*who, *by) == (ask.hash, surface));
        sent.extend(pending.map(|(_, _, ms)| *ms));
        let profile = self.state.profile(ask.hash).and_then(|json| serde_json::from_slice::<Value>(json).ok());
        let zone = profile.as_ref().and_then(|p| p["attributes"]["timezone"].as_str()).map(str::to_owned);
        (sent, user.and_then(|u| u.context.country.clone()), zone)
    }

    /// Hands to the log that this surface sent something to the asking user; it counts from the next `addressee` on.
    fn note_sent(&mut self, log: &PyLog, ask: &Ask, request_id: &str, score: f32) -> PyResult<()> {
        let surface = &ask.surface.get().name;
        let linked = self.queue.linked_user(&self.state, key_hash(Namespace::Session, &ask.session_id));
        let user_id = ask.user_id.clone().or_else(|| linked.map(str::to_owned));
        let as_of_ms = ask.now_ms;
        let mut body = Vec::new();
        Sent { user_id: user_id.as_deref(), session_id: &ask.session_id, surface, request_id, as_of_ms, score }
            .encode(&mut body);
        let Core { state, queue, .. } = self;
        queue.defer_record(state, &log.log, Kind::Sent, ask.hash, &body, as_of_ms).map_err(to_py)?;
        queue.sends.push_back((ask.hash, id_hash(surface), as_of_ms));
        Ok(())
    }
}
