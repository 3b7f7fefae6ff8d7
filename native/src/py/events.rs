//! The events and decisions of a log as Python reads them for training: fields by name, in the order of the log.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::error::Error;
use crate::event::purchase_items;
use crate::log::FrameIter;
use crate::py::error::to_py;
use crate::py::log::PyLog;
use crate::record::{Event, EventType, Kind, EVENT_TYPES};

/// offset, event type, user (linked ones included), session, items, ts_ms, request_id, position, props
type EventRow<'py> = Bound<'py, PyTuple>;
/// offset, end, body
type DecisionRow<'py> = (u64, u64, Bound<'py, PyBytes>);

/// What a type's events are asked for; a custom type goes by `custom`.
fn mask_of(types: &[String]) -> PyResult<u32> {
    let mut mask = 0;
    for name in types {
        let found = EVENT_TYPES.iter().find(|(_, n)| n == name).map(|(t, _)| *t as u32);
        let found = found.or((name == "custom").then_some(EventType::Custom as u32));
        let known = || to_py(Error::invalid("unknown_event_type", "types", format!("{name:?} is no event type")));
        mask |= 1 << found.ok_or_else(known)?;
    }
    Ok(mask)
}

/// The items an event speaks of: the lines of an order, else the one it names.
fn items_of(event: &Event<'_>) -> Vec<String> {
    let lines = match event.event_type {
        EventType::Purchase | EventType::Refund => event.props.get("items").and_then(|text| purchase_items(text).ok()),
        _ => None,
    };
    match lines {
        Some(lines) => lines.into_iter().map(|line| line.item_id).collect(),
        None => event.item_id.iter().map(|id| (*id).to_owned()).collect(),
    }
}

fn event_row<'py>(py: Python<'py>, offset: u64, event: &Event<'_>) -> PyResult<EventRow<'py>> {
    let name = EVENT_TYPES.get(event.event_type as usize).map_or("custom", |(_, name)| name);
    let props = PyDict::new(py);
    for (key, value) in event.props.iter().filter(|(key, _)| *key != "items") {
        props.set_item(PyString::intern(py, key), value)?;
    }
    let items = PyTuple::new(py, items_of(event))?;
    let user = event.user_id.or(event.linked_user);
    let (session, request) = (event.session_id, event.request_id);
    let name = PyString::intern(py, name);
    (offset, name, user, session, items, event.ts_ms, request, event.position, props).into_pyobject(py)
}

/// Impressions of one list that lie together in the log.
struct Together<'a> {
    first: Event<'a>,
    offset: u64,
    items: Vec<&'a str>,
    positions: Vec<Option<u32>>,
    times: Vec<i64>,
}

impl<'a> Together<'a> {
    fn of(offset: u64, event: &Event<'a>) -> Option<Together<'a>> {
        let item = event.item_id.filter(|_| event.event_type == EventType::Impression)?;
        event.request_id?;
        let (positions, times) = (vec![event.position], vec![event.ts_ms]);
        Some(Together { first: event.clone(), offset, items: vec![item], positions, times })
    }

    /// False for what is not one more impression of the same list.
    fn takes(&mut self, event: &Event<'a>) -> bool {
        let first = &self.first;
        let alike = event.event_type == EventType::Impression
            && event.session_id == first.session_id
            && event.request_id == first.request_id
            && (event.user_id, event.linked_user) == (first.user_id, first.linked_user);
        let Some(item) = event.item_id.filter(|_| alike) else { return false };
        self.items.push(item);
        self.positions.push(event.position);
        self.times.push(event.ts_ms);
        true
    }

    /// The row of the first with what all of them say in the places of item, time and position.
    fn row<'py>(self, py: Python<'py>) -> PyResult<EventRow<'py>> {
        if let [_] = self.items[..] {
            return event_row(py, self.offset, &self.first);
        }
        let row = event_row(py, self.offset, &self.first)?;
        let (items, times) = (PyTuple::new(py, &self.items)?, PyTuple::new(py, &self.times)?);
        let positions = PyTuple::new(py, &self.positions)?;
        let kind = PyString::intern(py, "impressions");
        let (offset, user, session) = (row.get_item(0)?, row.get_item(2)?, row.get_item(3)?);
        let (request, props) = (row.get_item(6)?, row.get_item(8)?);
        (offset, kind, user, session, items, times, request, positions, props).into_pyobject(py)
    }
}

#[pymethods]
impl PyLog {
    /// (events, decisions, next offset) of the next `max_bytes`; the next offset is `offset` at the end of the log.
    /// With `types` only events of these are given. With `together` impressions of one list that nothing else given
    /// stands between are one row of the type `impressions`: its offset and props are those of the first, items, times
    /// and positions are tuples.
    #[pyo3(signature = (offset, max_bytes, types=None, *, together=false))]
    #[allow(clippy::type_complexity)]
    fn events<'py>(
        &self,
        py: Python<'py>,
        offset: u64,
        max_bytes: usize,
        types: Option<Vec<String>>,
        together: bool,
    ) -> PyResult<(Vec<EventRow<'py>>, Vec<DecisionRow<'py>>, u64)> {
        let mask = types.map_or(Ok(u32::MAX), |types| mask_of(&types))?;
        let (bytes, next) = py.detach(|| self.log.read(offset, max_bytes)).map_err(to_py)?;
        let (mut events, mut decisions) = (Vec::new(), Vec::new());
        let mut open: Option<Together<'_>> = None;
        for frame in FrameIter::new(&bytes, offset) {
            let frame = frame.map_err(to_py)?;
            if frame.header.kind == Kind::Event as u8 {
                let wanted = frame.body.first().is_some_and(|kind| mask >> (kind & 31) & 1 == 1);
                if wanted {
                    let event = Event::decode(frame.body).map_err(to_py)?;
                    if open.as_mut().is_some_and(|list| list.takes(&event)) {
                        continue;
                    }
                    if let Some(list) = open.take() {
                        events.push(list.row(py)?);
                    }
                    open = Together::of(frame.offset, &event).filter(|_| together);
                    if open.is_none() {
                        events.push(event_row(py, frame.offset, &event)?);
                    }
                }
            } else if frame.header.kind == Kind::Decision as u8 {
                if let Some(list) = open.take() {
                    events.push(list.row(py)?);
                }
                decisions.push((frame.offset, frame.end, PyBytes::new(py, frame.body)));
            }
        }
        if let Some(list) = open {
            events.push(list.row(py)?);
        }
        Ok((events, decisions, next))
    }
}
