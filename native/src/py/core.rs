//! `Core`: the views of one log with the queue of what is on its way to the disk. Write side and recovery.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::cascade::candidates::Indices;
use crate::cascade::lists::Lists;
use crate::cascade::prerank::Prerank;
use crate::error::Error;
use crate::event::{self, Media};
use crate::explore::Tables;
use crate::fold::caps::CapLimits;
use crate::fold::persist::user_key;
use crate::fold::published::Published;
use crate::fold::queue::Queue;
use crate::fold::state::{State, StateConfig};
use crate::hash::{key_hash, Namespace};
use crate::log::FrameIter;
use crate::py::error::to_py;
use crate::py::log::PyLog;
use crate::py::published::Defaults;
use crate::record::{Decision, Event, Hashes, Kind, Link};

/// Items taken into the text index by one refresh.
const TEXT_SHARE: usize = 64;

/// (index, id, code, message, payload) of something refused.
type Refusal<'py> = (usize, Option<String>, String, String, Bound<'py, PyBytes>);
/// (hash, key in the view store) of a user record to load.
type Wanted<'py> = (u64, Bound<'py, PyBytes>);

#[pyclass(module = "rtp_monolith._native")]
pub struct Core {
    pub state: State,
    pub queue: Queue,
    pub lists: Lists,
    pub indices: Indices,
    pub prerank: Option<Prerank>,
    /// Of a bundle that is tried beside the one in use.
    pub prerank_beside: Option<Prerank>,
    pub posteriors: Tables,
    pub defaults: Defaults,
    custom_types: Vec<String>,
    purchase_requires_trusted: bool,
    event_limits: event::Limits,
    item_limits: crate::items::Limits,
    embedding_length: Option<usize>,
}

/// Events of one body, read and checked, not yet in the log.
#[pyclass(module = "rtp_monolith._native")]
pub struct EventBatch {
    batch: event::Batch,
}

#[pymethods]
impl EventBatch {
    #[getter]
    fn accepted(&self) -> usize {
        self.batch.accepted()
    }

    #[getter]
    fn rejected<'py>(&self, py: Python<'py>) -> Vec<Refusal<'py>> {
        let of = |r: &event::Rejected| {
            let payload = PyBytes::new(py, &r.payload);
            (r.index, r.event_id.clone(), r.code.to_owned(), r.message.clone(), payload)
        };
        self.batch.rejected.iter().map(of).collect()
    }
}

impl Core {
    fn wanted<'py>(&self, py: Python<'py>, hashes: &[u64]) -> Vec<Wanted<'py>> {
        let key = |h: u64| PyBytes::new(py, &user_key(h, self.state.config.partitions));
        self.state.missing(hashes).into_iter().map(|h| (h, key(h))).collect()
    }

    /// Lends the indices to `f` beside the state they belong to.
    pub fn with_indices<T>(&mut self, f: impl FnOnce(&State, &mut Lists, &mut Indices) -> T) -> T {
        self.indices.knn = std::mem::take(&mut self.state.knn);
        self.indices.covis = std::mem::take(&mut self.state.covis);
        self.indices.bought = std::mem::take(&mut self.state.bought);
        let answer = f(&self.state, &mut self.lists, &mut self.indices);
        self.state.knn = std::mem::take(&mut self.indices.knn);
        self.state.covis = std::mem::take(&mut self.indices.covis);
        self.state.bought = std::mem::take(&mut self.indices.bought);
        answer
    }
}

#[pymethods]
impl Core {
    #[new]
    #[pyo3(signature = (*, partitions=256, custom_types=vec![], purchase_requires_trusted=false, events_max=1000,
        props_max=64, per_item_hour_max=5, per_hour_max=500, embedding_length=None, aggregates=None, published=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        partitions: u16,
        custom_types: Vec<String>,
        purchase_requires_trusted: bool,
        events_max: usize,
        props_max: usize,
        per_item_hour_max: u8,
        per_hour_max: u16,
        embedding_length: Option<usize>,
        aggregates: Option<&[u8]>,
        published: Option<&[u8]>,
    ) -> PyResult<Core> {
        let caps = CapLimits { per_item_hour_max, per_hour_max };
        let item_limits = crate::items::Limits { batch_max: events_max, ..crate::items::Limits::default() };
        let mut state = State::new(StateConfig {
            partitions,
            caps,
            items: item_limits.clone(),
            embedding_length,
            ..StateConfig::default()
        });
        if let Some(json) = aggregates {
            state.define(json).map_err(to_py)?;
        }
        let published = published.map(Published::define).transpose().map_err(to_py)?.unwrap_or_default();
        Ok(Core {
            state,
            queue: Queue::default(),
            lists: Lists::default(),
            indices: Indices { published, ..Indices::default() },
            prerank: None,
            prerank_beside: None,
            posteriors: Tables::default(),
            defaults: Defaults::default(),
            custom_types,
            purchase_requires_trusted,
            event_limits: event::Limits { events_max, props_max, ..event::Limits::default() },
            item_limits,
            embedding_length,
        })
    }

    /// Reads and checks a body of events. Raises for the whole request only.
    fn parse_events(
        &self,
        body: &[u8],
        media: &str,
        received_ms: i64,
        wall_now_ms: i64,
        trusted: bool,
    ) -> PyResult<EventBatch> {
        let media = match media {
            "ndjson" => Media::Ndjson,
            "msgpack" => Media::Msgpack,
            _ => Media::Json,
        };
        let options = event::Options {
            media,
            limits: self.event_limits.clone(),
            custom_types: &self.custom_types,
            received_ms,
            wall_now_ms,
            trusted,
            purchase_requires_trusted: self.purchase_requires_trusted,
        };
        event::parse(body, &options).map(|batch| EventBatch { batch }).map_err(to_py)
    }

    /// User records that must be loaded before these events are submitted. Loading a session may tell of a user that it
    /// is linked to: ask again after a load that found something.
    fn missing_for_events<'py>(&self, py: Python<'py>, events: &EventBatch) -> Vec<Wanted<'py>> {
        self.wanted(py, &self.queue.missing_of(&self.state, &events.batch))
    }

    /// User records that a request of this user and session must have loaded.
    #[pyo3(signature = (user_id, session_id))]
    fn missing_for_request<'py>(&self, py: Python<'py>, user_id: Option<&str>, session_id: &str) -> Vec<Wanted<'py>> {
        let session = key_hash(Namespace::Session, session_id);
        let mut hashes = vec![session];
        hashes.extend(user_id.map(|u| key_hash(Namespace::User, u)));
        hashes.push(self.state.resolve(user_id, session_id));
        hashes.sort_unstable();
        hashes.dedup();
        self.wanted(py, &hashes)
    }

    /// User records that these frames need.
    fn missing_for_frames<'py>(&self, py: Python<'py>, frames: &[u8], start: u64) -> PyResult<Vec<Wanted<'py>>> {
        let mut hashes = Vec::new();
        for frame in FrameIter::new(frames, start) {
            let frame = frame.map_err(to_py)?;
            hashes.push(frame.header.key_hash);
            if frame.header.kind == Kind::Event as u8 {
                let event = Hashes::of(&Event::decode(frame.body).map_err(to_py)?);
                Queue::keys_of(std::iter::once(&event), &mut hashes);
            }
            if frame.header.kind == Kind::Decision as u8 && self.state.aggregates.definitions.count_arms() {
                let decision = Decision::decode(frame.body).map_err(to_py)?;
                hashes.push(key_hash(Namespace::Session, decision.session_id));
            }
            if frame.header.kind == Kind::Link as u8 {
                let link = Link::decode(frame.body).map_err(to_py)?;
                hashes.push(key_hash(Namespace::Session, link.session_id));
            }
        }
        hashes.sort_unstable();
        hashes.dedup();
        Ok(self.wanted(py, &hashes))
    }

    fn load(&mut self, hash: u64, value: &[u8]) -> PyResult<()> {
        self.state.load(hash, value).map_err(to_py)
    }

    /// Hands the events to the log; the ticket comes back from `advance` when they are durable, folded and visible.
    fn submit_events(&mut self, log: &PyLog, events: &EventBatch) -> PyResult<u64> {
        let Core { state, queue, .. } = self;
        queue.submit_events(state, &log.log, &events.batch).map_err(to_py)
    }

    /// (accepted [(index, id, json)], rejected) of a body of items.
    #[allow(clippy::type_complexity)]
    fn parse_items<'py>(
        &self,
        py: Python<'py>,
        body: &[u8],
        ndjson: bool,
    ) -> PyResult<(Vec<(usize, String, Bound<'py, PyBytes>)>, Vec<Refusal<'py>>)> {
        let batch = crate::items::parse_items(body, ndjson, &self.item_limits, self.embedding_length).map_err(to_py)?;
        let accepted = batch.items.iter().map(|(i, id, json)| (*i, id.clone(), PyBytes::new(py, json))).collect();
        Ok((accepted, refusals(py, &batch.rejected)))
    }

    /// (accepted [(index, id, json)], rejected) of a body of users.
    #[allow(clippy::type_complexity)]
    fn parse_users<'py>(
        &self,
        py: Python<'py>,
        body: &[u8],
        ndjson: bool,
    ) -> PyResult<(Vec<(usize, String, Bound<'py, PyBytes>)>, Vec<Refusal<'py>>)> {
        let batch = crate::items::parse_users(body, ndjson, &self.item_limits).map_err(to_py)?;
        let accepted = batch.users.iter().map(|(i, id, json)| (*i, id.clone(), PyBytes::new(py, json))).collect();
        Ok((accepted, refusals(py, &batch.rejected)))
    }

    fn missing_for_users<'py>(&self, py: Python<'py>, ids: Vec<String>) -> Vec<Wanted<'py>> {
        let hashes: Vec<u64> = ids.iter().map(|id| key_hash(Namespace::User, id)).collect();
        self.wanted(py, &hashes)
    }

    /// The record to submit so that each part of a user's record that this one has becomes what it says; None when
    /// that changes nothing. The user is loaded.
    fn replace_user<'py>(&self, py: Python<'py>, id: &str, json: &[u8]) -> Option<Bound<'py, PyBytes>> {
        let held = self.state.profile(key_hash(Namespace::User, id));
        crate::items::replace_user(held, json, &self.item_limits).map(|record| PyBytes::new(py, &record))
    }

    fn submit_items(&mut self, log: &PyLog, items: Vec<Vec<u8>>, received_ms: i64) -> PyResult<u64> {
        let records: Vec<(Kind, u64, &[u8])> = items.iter().map(|json| (Kind::Item, 0, &json[..])).collect();
        self.queue.submit_records(&mut self.state, &log.log, &records, received_ms, true).map_err(to_py)
    }

    fn submit_users(&mut self, log: &PyLog, users: Vec<(String, Vec<u8>)>, received_ms: i64) -> PyResult<u64> {
        let records: Vec<(Kind, u64, &[u8])> =
            users.iter().map(|(id, json)| (Kind::User, key_hash(Namespace::User, id), &json[..])).collect();
        self.queue.submit_records(&mut self.state, &log.log, &records, received_ms, true).map_err(to_py)
    }

    fn submit_item_delete(&mut self, log: &PyLog, id: &str, received_ms: i64) -> PyResult<u64> {
        let records = [(Kind::ItemDelete, 0, id.as_bytes())];
        self.queue.submit_records(&mut self.state, &log.log, &records, received_ms, true).map_err(to_py)
    }

    /// Raises `unknown_item` or what is wrong with the merged item.
    fn submit_item_patch(&mut self, log: &PyLog, id: &str, patch: &[u8], received_ms: i64) -> PyResult<u64> {
        let current = self.state.catalogue.ids().index(id).and_then(|i| self.state.catalogue.json(i));
        crate::items::merge_patch(current, id, patch, &self.item_limits, self.embedding_length).map_err(to_py)?;
        let mut body = Vec::new();
        crate::codec::put_str(&mut body, id);
        body.extend_from_slice(patch);
        let records = [(Kind::ItemPatch, 0, &body[..])];
        self.queue.submit_records(&mut self.state, &log.log, &records, received_ms, true).map_err(to_py)
    }

    /// Folds what is durable; [(ticket, accepted, duplicates, position)] of the answers that are due.
    fn advance(&mut self, log: &PyLog, received_ms: i64) -> PyResult<Vec<(u64, u32, u32, u64)>> {
        let settled = self.queue.advance(&mut self.state, &log.log, received_ms).map_err(to_py)?;
        Ok(settled.into_iter().map(|s| (s.ticket, s.accepted, s.duplicates, s.position)).collect())
    }

    /// Tickets that will never be answered because the log failed.
    fn abandon(&mut self) -> Vec<u64> {
        self.queue.abandon()
    }

    /// Folds frames read from the log; recovery and rebuild.
    fn replay(&mut self, frames: &[u8], start: u64) -> PyResult<()> {
        let frames = FrameIter::new(frames, start).collect::<crate::error::Result<Vec<_>>>().map_err(to_py)?;
        self.state.fold_run(&frames, &[], |_, _| ()).map_err(to_py)?;
        // What these frames used may leave memory before what the next ones use.
        self.state.admissions += 1;
        Ok(())
    }

    /// What folding costs people alone, for measurements: they take the frames' events, what users share does not, and
    /// this core is of no further use. Without `steps` the events are only read. How many events were taken or read.
    #[pyo3(signature = (frames, start, *, steps=true))]
    fn step_users(&mut self, frames: &[u8], start: u64, steps: bool) -> PyResult<usize> {
        let frames = FrameIter::new(frames, start).collect::<crate::error::Result<Vec<_>>>().map_err(to_py)?;
        let frames: Vec<_> = frames.into_iter().filter(|f| f.header.kind == Kind::Event as u8).collect();
        self.state.step_users(&frames, steps).map_err(to_py)
    }

    /// Writes the link records that were due when the process ended and did not reach the log.
    fn submit_due_links(&mut self, log: &PyLog, received_ms: i64) -> PyResult<usize> {
        let due: Vec<(u64, Vec<u8>)> = self.state.links_due.values().cloned().collect();
        if due.is_empty() {
            return Ok(0);
        }
        let records: Vec<(Kind, u64, &[u8])> = due.iter().map(|(h, b)| (Kind::Link, *h, &b[..])).collect();
        self.queue.submit_records(&mut self.state, &log.log, &records, received_ms, false).map_err(to_py)?;
        Ok(due.len())
    }

    /// (users whose links are due) that must be loaded before `advance` folds them.
    fn missing_for_links<'py>(&self, py: Python<'py>) -> Vec<Wanted<'py>> {
        let hashes: Vec<u64> = self.state.links_due.values().map(|(h, _)| *h).collect();
        self.wanted(py, &hashes)
    }

    /// One entry of the view store; user records are not restored but loaded when needed.
    fn restore(&mut self, key: &[u8], value: &[u8]) -> PyResult<()> {
        self.state.restore(key, value).map_err(to_py)
    }

    /// Begins a flush of everything that changed, as of the applied offset; false when nothing did.
    fn begin_flush(&mut self) -> bool {
        self.state.begin_changes()
    }

    /// Encodes up to `n` more records; folding waits until this answers false.
    fn encode_flush(&mut self, n: usize) -> bool {
        self.state.encode_changes(n)
    }

    /// Value of the meta record that ends the encoded flush, and the flush's size in bytes.
    fn flush_meta<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyBytes>, usize)> {
        let changes = &self.state.flushing;
        let meta = changes.back().and_then(|(_, value)| value.as_deref())?;
        let size = changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        Some((PyBytes::new(py, meta), size))
    }

    /// The next `n` changes of the flush, [(key, value or None)]; the meta record is the last of all.
    fn next_changes<'py>(&mut self, py: Python<'py>, n: usize) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        let n = n.min(self.state.flushing.len());
        for (key, value) in self.state.flushing.drain(..n) {
            list.append((PyBytes::new(py, &key), value.map(|v| PyBytes::new(py, &v))))?;
        }
        Ok(list)
    }

    /// Folding waits for `encode_flush`.
    #[getter]
    fn is_encoding(&self) -> bool {
        self.state.is_encoding()
    }

    /// Changes of the flush that are not handed out yet.
    #[getter]
    fn flushing(&self) -> usize {
        self.state.flushing.len()
    }

    /// Drops clean user records beyond `keep` from memory.
    fn evict(&mut self, keep: usize) -> usize {
        let oldest = self.queue.oldest_admission(&self.state);
        self.state.evict(keep, oldest)
    }

    /// A bounded share of the work; true when the lists hold everything.
    fn refresh_lists(&mut self, now_ms: i64) -> bool {
        let done = self.lists.refresh(&mut self.state, now_ms);
        self.refresh_tables();
        self.indices.text.keep_up(&self.state.catalogue, TEXT_SHARE) && done
    }

    fn rebuild_lists(&mut self, now_ms: i64) {
        self.lists.rebuild(&mut self.state, now_ms);
    }

    #[getter]
    fn applied(&self) -> u64 {
        self.state.applied
    }

    #[getter]
    fn events_now_ms(&self) -> i64 {
        self.state.events_now_ms
    }

    #[getter]
    fn dirty(&self) -> usize {
        if self.state.dirty.any {
            self.state.dirty_len().max(1)
        } else {
            0
        }
    }

    #[getter]
    fn items_len(&self) -> usize {
        self.state.catalogue.len()
    }

    /// Counts and sizes by name.
    fn stats(&self) -> Vec<(&'static str, u64)> {
        let s = &self.state;
        vec![
            ("applied_offset", s.applied),
            ("events", s.events_total),
            ("decisions", s.decisions_total),
            ("items", s.catalogue.len() as u64),
            ("item_ids", s.catalogue.ids().len() as u64),
            ("users", s.users_total),
            ("users_in_memory", s.users.len() as u64),
            ("categories", s.categories.len() as u64),
            ("knn_sessions", s.knn.sessions() as u64),
            ("knn_bytes", s.knn.memory_bytes() as u64),
            ("covis_bytes", s.covis.memory_bytes() as u64),
            ("catalogue_bytes", s.catalogue.memory_bytes() as u64),
            ("links_due", s.links_due.len() as u64),
            ("aggregates", s.aggregates.definitions.len() as u64),
            ("aggregate_owners", s.aggregates.shared_len() as u64),
            ("vector_items", self.indices.vectors.len() as u64),
            ("vector_bytes", self.indices.vectors.memory_bytes() as u64),
            ("text_items", self.indices.text.len() as u64),
            ("text_bytes", self.indices.text.memory_bytes() as u64),
        ]
    }

    /// (users, bytes, item ids, bytes) in memory; walks all of them.
    fn footprint(&self) -> (u64, u64, u64, u64) {
        let f = self.state.footprint();
        (f.users, f.user_bytes, f.items, f.item_bytes)
    }

    /// Bytes that an encoded user record never exceeds, a team's own aggregates aside.
    #[staticmethod]
    fn user_bytes_max() -> usize {
        crate::fold::user::BYTES_MAX
    }

    /// Whether views that end with this meta record hold the aggregates of this core, no more and no less.
    fn fits(&self, meta: &[u8]) -> PyResult<bool> {
        self.state.fits(meta).map_err(to_py)
    }

    /// (key, offset of the log from which on it is counted) of a team's aggregates.
    fn aggregates(&self) -> Vec<(String, u64)> {
        let definitions = &self.state.aggregates.definitions;
        let each = (0..definitions.len() as u16).filter_map(|at| definitions.get(at));
        each.map(|d| (format!("{:016x}", d.key), d.since)).collect()
    }

    /// Offset and partitions of a store's meta record; None for views of another layout.
    #[staticmethod]
    fn peek_meta(value: &[u8]) -> PyResult<Option<(u64, u16)>> {
        State::peek_meta(value).map_err(to_py)
    }
}

fn refusals<'py>(py: Python<'py>, rejected: &[crate::items::Rejected]) -> Vec<Refusal<'py>> {
    rejected
        .iter()
        .map(|r| (r.index, r.id.clone(), r.code.to_owned(), r.message.clone(), PyBytes::new(py, &r.payload)))
        .collect()
}

/// What the caller gave does not fit a Rust argument.
pub fn refuse(code: &'static str, field: &str, message: String) -> PyErr {
    to_py(Error::invalid(code, field, message))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Core>()?;
    m.add_class::<EventBatch>()
}
