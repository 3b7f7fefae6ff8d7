//! Accepted events and shown items of a log, column by column in the layout of Arrow, for the offline store.
//!
//! The log holds what was admitted; whether an event had been counted before is decided when it is folded. `Memory` decides
//! the same from the log alone, within a window of it, so rows are a function of a range of the log and what lies close
//! before it.

use std::collections::VecDeque;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::event::purchase_items;
use crate::hash::{id_hash, key_hash, Namespace};
use crate::log::FrameIter;
use crate::py::error::to_py;
use crate::py::log::PyLog;
use crate::py::rank::source_names;
use crate::record::{Decision, Event, EventType, Kind, EVENT_TYPES};

/// A user's last events that are remembered, as the fold has it.
const REMEMBERED: u32 = 256;
const US_PER_MS: i64 = 1000;

/// Which events were seen within the last `window` bytes of the log.
struct Memory {
    window: u64,
    /// (user key, event) → offset, and the user key's number of that event.
    seen: FxHashMap<(u64, u64), (u64, u32)>,
    /// User key → its accepted events, and how many of its entries are in `order`.
    counts: FxHashMap<u64, (u32, u32)>,
    order: VecDeque<(u64, u64, u64)>,
}

impl Memory {
    fn new(window: u64) -> Memory {
        Memory { window, seen: FxHashMap::default(), counts: FxHashMap::default(), order: VecDeque::new() }
    }

    /// True when the event counts: neither its user key nor its session, from before that was somebody's, had it lately.
    fn accept(&mut self, offset: u64, event: &Event<'_>) -> bool {
        self.forget(offset);
        let (key, id) = (event.key_hash(), id_hash(event.event_id));
        let session = key_hash(Namespace::Session, event.session_id);
        let known = self.has(key, id) || (session != key && self.has(session, id));
        let count = self.counts.entry(key).or_default();
        count.0 += u32::from(!known);
        count.1 += 1;
        self.seen.insert((key, id), (offset, count.0));
        self.order.push_back((offset, key, id));
        !known
    }

    fn has(&self, key: u64, id: u64) -> bool {
        let Some((_, number)) = self.seen.get(&(key, id)) else { return false };
        self.counts.get(&key).is_some_and(|(count, _)| count - number < REMEMBERED)
    }

    fn forget(&mut self, offset: u64) {
        while let Some(&(at, key, id)) = self.order.front() {
            if at.saturating_add(self.window) >= offset {
                return;
            }
            self.order.pop_front();
            if self.seen.get(&(key, id)).is_some_and(|(latest, _)| *latest == at) {
                self.seen.remove(&(key, id));
            }
            if let Some(count) = self.counts.get_mut(&key) {
                count.1 -= 1;
                if count.1 == 0 {
                    self.counts.remove(&key);
                }
            }
        }
    }
}

/// One column: bits of what is there (empty when all is), 32-bit offsets (empty unless variable), bytes.
#[derive(Default)]
struct Column {
    rows: usize,
    nulls: usize,
    valid: Vec<u8>,
    offsets: Vec<u8>,
    data: Vec<u8>,
}

impl Column {
    fn mark(&mut self, there: bool) {
        if self.rows % 8 == 0 {
            self.valid.push(0);
        }
        if there {
            self.valid[self.rows / 8] |= 1 << (self.rows % 8);
        } else {
            self.nulls += 1;
        }
        self.rows += 1;
    }

    fn text(&mut self, value: Option<&str>) -> Result<()> {
        self.data.extend_from_slice(value.unwrap_or("").as_bytes());
        self.end(self.data.len(), value.is_some())
    }

    /// One list of the values pushed into its child so far; `end` counts from the child's beginning.
    fn end(&mut self, end: usize, there: bool) -> Result<()> {
        if self.offsets.is_empty() {
            self.offsets.extend_from_slice(&0i32.to_le_bytes());
        }
        let end = i32::try_from(end).map_err(|_| Error::invalid("out_of_range", "max_bytes", "a column over 2 GiB"))?;
        self.offsets.extend_from_slice(&end.to_le_bytes());
        self.mark(there);
        Ok(())
    }

    fn number<const N: usize>(&mut self, value: Option<[u8; N]>) {
        self.data.extend_from_slice(&value.unwrap_or([0; N]));
        self.mark(value.is_some());
    }

    fn long(&mut self, value: i64) {
        self.number(Some(value.to_le_bytes()));
    }

    fn double(&mut self, value: Option<f64>) {
        self.number(value.map(f64::to_le_bytes));
    }

    fn flag(&mut self, value: bool) {
        if self.rows % 8 == 0 {
            self.data.push(0);
        }
        self.data[self.rows / 8] |= u8::from(value) << (self.rows % 8);
        self.mark(true);
    }
}

type Named = Vec<(&'static str, Column)>;

/// Columns by name in a fixed order; a row fills every one of them.
struct Columns {
    columns: Named,
    at: usize,
}

impl Columns {
    fn of(names: &[&'static str]) -> Columns {
        Columns { columns: names.iter().map(|name| (*name, Column::default())).collect(), at: 0 }
    }

    /// The next column of the row; the names stand in the order of the calls.
    fn next(&mut self) -> &mut Column {
        let at = self.at % self.columns.len();
        self.at += 1;
        &mut self.columns[at].1
    }

    fn to_dict<'py>(&self, py: Python<'py>, out: &Bound<'py, PyDict>) -> PyResult<()> {
        for (name, column) in &self.columns {
            let valid = (column.nulls > 0).then(|| PyBytes::new(py, &column.valid));
            let offsets = (!column.offsets.is_empty()).then(|| PyBytes::new(py, &column.offsets));
            let data = PyBytes::new(py, &column.data);
            out.set_item(*name, (column.rows, column.nulls, valid, offsets, data))?;
        }
        Ok(())
    }
}

const EVENTS: [&str; 16] = [
    "log_offset",
    "event_id",
    "event_type",
    "user_id",
    "linked",
    "session_id",
    "item_id",
    "ts",
    "received",
    "request_id",
    "position",
    "trusted",
    "dwell_ms",
    "value",
    "props",
    "lines",
];
const PROPS: [&str; 2] = ["props.key", "props.value"];
const LINES: [&str; 3] = ["lines.item_id", "lines.quantity", "lines.price"];
const IMPRESSIONS: [&str; 16] = [
    "log_offset",
    "request_id",
    "user_id",
    "session_id",
    "surface",
    "ts",
    "item_id",
    "position",
    "score",
    "propensity",
    "explored",
    "source",
    "model",
    "degraded",
    "state_version",
    "context",
];
const SOURCE: [&str; 1] = ["source.name"];
const DEGRADED: [&str; 1] = ["degraded.code"];

/// Rows of events under way.
struct EventRows {
    own: Columns,
    props: Columns,
    lines: Columns,
}

impl EventRows {
    fn new() -> EventRows {
        EventRows { own: Columns::of(&EVENTS), props: Columns::of(&PROPS), lines: Columns::of(&LINES) }
    }

    fn push(&mut self, offset: u64, event: &Event<'_>) -> Result<()> {
        let name = EVENT_TYPES.get(event.event_type as usize).map(|(_, name)| *name).or(event.custom);
        for (key, value) in event.props.iter() {
            self.props.next().text(Some(key))?;
            self.props.next().text(Some(value))?;
        }
        let lines = self.push_lines(event)?;
        let (props, line_rows) = (self.props.columns[0].1.rows, self.lines.columns[0].1.rows);
        let own = &mut self.own;
        own.next().long(offset as i64);
        own.next().text(Some(event.event_id))?;
        own.next().text(name)?;
        own.next().text(event.user_id.or(event.linked_user))?;
        own.next().flag(event.user_id.is_none() && event.linked_user.is_some());
        own.next().text(Some(event.session_id))?;
        own.next().text(event.item_id)?;
        own.next().long(event.ts_ms.saturating_mul(US_PER_MS));
        own.next().long(event.received_ms.saturating_mul(US_PER_MS));
        own.next().text(event.request_id)?;
        own.next().number(event.position.map(|p| (p.min(i32::MAX as u32) as i32).to_le_bytes()));
        own.next().flag(event.trusted);
        own.next().double(event.props.number("dwell_ms"));
        own.next().double(event.props.number("value"));
        own.next().end(props, true)?;
        own.next().end(line_rows, lines)
    }

    /// The lines of an order; one of the named item when it lists none. False for other events.
    fn push_lines(&mut self, event: &Event<'_>) -> Result<bool> {
        if !matches!(event.event_type, EventType::Purchase | EventType::Refund) {
            return Ok(false);
        }
        if let Some(lines) = event.props.get("items").and_then(|text| purchase_items(text).ok()) {
            for line in lines {
                self.push_line(&line.item_id, Some(line.quantity), line.price)?;
            }
        } else if let Some(item) = event.item_id {
            let quantity = event.props.number("quantity").filter(|q| *q >= 1.0).map(|q| q as u32);
            // A refund that does not say how many takes all back.
            let unsaid = (event.event_type == EventType::Purchase).then_some(1);
            self.push_line(item, quantity.or(unsaid), event.props.number("price"))?;
        }
        Ok(true)
    }

    fn push_line(&mut self, item: &str, quantity: Option<u32>, price: Option<f64>) -> Result<()> {
        self.lines.next().text(Some(item))?;
        self.lines.next().number(quantity.map(|q| (q.min(i32::MAX as u32) as i32).to_le_bytes()));
        self.lines.next().double(price);
        Ok(())
    }
}

/// Rows of shown items under way.
struct ShownRows {
    own: Columns,
    source: Columns,
    degraded: Columns,
}

impl ShownRows {
    fn new() -> ShownRows {
        ShownRows { own: Columns::of(&IMPRESSIONS), source: Columns::of(&SOURCE), degraded: Columns::of(&DEGRADED) }
    }

    fn push(&mut self, offset: u64, decision: &Decision<'_>) -> Result<()> {
        let context = std::str::from_utf8(decision.context).unwrap_or("");
        let slot = decision.explored.as_ref().map(|e| e.slot as usize);
        for (position, item) in decision.items.iter().enumerate() {
            for name in source_names(item.sources) {
                self.source.next().text(Some(name))?;
            }
            for code in &decision.degraded {
                self.degraded.next().text(Some(code))?;
            }
            let (sources, codes) = (self.source.columns[0].1.rows, self.degraded.columns[0].1.rows);
            let own = &mut self.own;
            own.next().long(offset as i64);
            own.next().text(Some(decision.request_id))?;
            own.next().text(decision.user_id)?;
            own.next().text(Some(decision.session_id))?;
            own.next().text(Some(decision.surface))?;
            own.next().long(decision.as_of_ms.saturating_mul(US_PER_MS));
            own.next().text(Some(item.item_id))?;
            own.next().number(Some((position as i32).to_le_bytes()));
            own.next().number(Some(item.score.to_le_bytes()));
            own.next().number(Some(item.propensity.to_le_bytes()));
            own.next().flag(slot == Some(position));
            own.next().end(sources, true)?;
            own.next().text(Some(decision.bundle).filter(|name| !name.is_empty()))?;
            own.next().end(codes, true)?;
            own.next().long(decision.state_version as i64);
            own.next().text(Some(context).filter(|text| !matches!(*text, "" | "{}" | "null")))?;
        }
        Ok(())
    }
}

/// Reads a log as columns; knows which events came before, as far as it was shown them.
#[pyclass(module = "rtp_monolith._native")]
pub struct LogColumns {
    memory: Memory,
}

#[pymethods]
impl LogColumns {
    /// `window_bytes`: how far back in the log the same event of the same user makes a later one a duplicate.
    #[new]
    #[pyo3(signature = (*, window_bytes))]
    fn new(window_bytes: u64) -> LogColumns {
        LogColumns { memory: Memory::new(window_bytes) }
    }

    /// Remembers the events from `offset` to `until`, which come right before what is read next.
    fn warm(&mut self, py: Python<'_>, log: &PyLog, offset: u64, until: u64) -> PyResult<()> {
        let log = &log.log;
        py.detach(|| {
            let mut at = offset;
            while at < until {
                let (bytes, next) = log.read(at, 1 << 20)?;
                for frame in FrameIter::new(&bytes, at) {
                    let frame = frame?;
                    if frame.header.kind == Kind::Event as u8 && frame.offset < until {
                        self.memory.accept(frame.offset, &Event::decode(frame.body)?);
                    }
                }
                if next == at {
                    break;
                }
                at = next;
            }
            Ok(())
        })
        .map_err(to_py)
    }

    /// ({column: (rows, nulls, valid, offsets, data)} of events, the same of shown items, next offset) of the next
    /// `max_bytes`, no frame of which ends behind `until`; the next offset is `offset` when there is nothing more.
    #[allow(clippy::type_complexity)]
    fn read<'py>(
        &mut self,
        py: Python<'py>,
        log: &PyLog,
        offset: u64,
        max_bytes: usize,
        until: u64,
    ) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyDict>, u64)> {
        let log = &log.log;
        let (events, shown, next) = py
            .detach(|| {
                let (mut events, mut shown, mut at) = (EventRows::new(), ShownRows::new(), offset);
                let (bytes, next) = log.read(offset, max_bytes)?;
                for frame in FrameIter::new(&bytes, offset) {
                    let frame = frame?;
                    if frame.end > until {
                        return Ok((events, shown, at));
                    }
                    at = frame.end;
                    if frame.header.kind == Kind::Event as u8 {
                        let event = Event::decode(frame.body)?;
                        if self.memory.accept(frame.offset, &event) {
                            events.push(frame.offset, &event)?;
                        }
                    } else if frame.header.kind == Kind::Decision as u8 {
                        shown.push(frame.offset, &Decision::decode(frame.body)?)?;
                    }
                }
                Ok((events, shown, next.min(until.max(offset))))
            })
            .map_err(to_py)?;
        let (of_events, of_shown) = (PyDict::new(py), PyDict::new(py));
        for part in [&events.own, &events.props, &events.lines] {
            part.to_dict(py, &of_events)?;
        }
        for part in [&shown.own, &shown.source, &shown.degraded] {
            part.to_dict(py, &of_shown)?;
        }
        Ok((of_events, of_shown, next))
    }

    /// Events remembered at this moment.
    fn __len__(&self) -> usize {
        self.memory.order.len()
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<LogColumns>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Props;

    fn event<'a>(id: &'a str, user: Option<&'a str>, session: &'a str) -> Event<'a> {
        Event {
            event_id: id,
            user_id: user,
            session_id: session,
            event_type: EventType::Click,
            custom: None,
            item_id: Some("i"),
            ts_ms: 5,
            received_ms: 6,
            request_id: None,
            position: None,
            linked_user: None,
            trusted: false,
            props: Props::default(),
        }
    }

    #[test]
    fn an_event_counts_once_for_its_user_and_for_what_the_session_did_before() {
        let mut memory = Memory::new(1000);
        assert!(memory.accept(1, &event("a", None, "s")));
        assert!(!memory.accept(2, &event("a", None, "s")));
        assert!(!memory.accept(3, &event("a", Some("u"), "s")), "the session signed in and sent it again");
        assert!(!memory.accept(4, &event("a", Some("u"), "other")), "the same user on another device");
        assert!(memory.accept(5, &event("a", None, "another")), "another person");
        let linked = Event { linked_user: Some("w"), ..event("a", None, "another") };
        assert!(!memory.accept(6, &linked), "the same, now that the session is somebody's");
    }

    #[test]
    fn what_lies_too_far_back_is_forgotten() {
        let mut memory = Memory::new(100);
        assert!(memory.accept(0, &event("a", None, "s")));
        assert!(!memory.accept(100, &event("a", None, "s")));
        assert!(!memory.accept(200, &event("a", None, "s")), "counted from the latest of its kind");
        assert!(memory.accept(301, &event("a", None, "s")));
        assert_eq!((memory.order.len(), memory.seen.len(), memory.counts.len()), (1, 1, 1));
        let mut memory = Memory::new(1 << 40);
        assert!(memory.accept(0, &event("first", None, "s")));
        for n in 1..REMEMBERED {
            assert!(memory.accept(u64::from(n), &event(&n.to_string(), None, "s")));
        }
        assert!(!memory.accept(300, &event("first", None, "s")), "one of the last 256");
        let mut memory = Memory::new(1 << 40);
        for n in 0..=REMEMBERED {
            assert!(memory.accept(u64::from(n), &event(&n.to_string(), None, "s")));
        }
        assert!(memory.accept(300, &event("0", None, "s")), "256 others came since");
    }
}
