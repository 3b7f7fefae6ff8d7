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

#[pymethods]
impl PyLog {
    /// (events, decisions, next offset) of the next `max_bytes`; the next offset is `offset` at the end of the log.
    /// With `types` only events of these are given.
    #[pyo3(signature = (offset, max_bytes, types=None))]
    #[allow(clippy::type_complexity)]
    fn events<'py>(
        &self,
        py: Python<'py>,
        offset: u64,
        max_bytes: usize,
        types: Option<Vec<String>>,
    ) -> PyResult<(Vec<EventRow<'py>>, Vec<DecisionRow<'py>>, u64)> {
        let mask = types.map_or(Ok(u32::MAX), |types| mask_of(&types))?;
        let (bytes, next) = py.detach(|| self.log.read(offset, max_bytes)).map_err(to_py)?;
        let (mut events, mut decisions) = (Vec::new(), Vec::new());
        for frame in FrameIter::new(&bytes, offset) {
            let frame = frame.map_err(to_py)?;
            if frame.header.kind == Kind::Event as u8 {
                let wanted = frame.body.first().is_some_and(|kind| mask >> (kind & 31) & 1 == 1);
                if wanted {
                    let event = Event::decode(frame.body).map_err(to_py)?;
                    events.push(event_row(py, frame.offset, &event)?);
                }
            } else if frame.header.kind == Kind::Decision as u8 {
                decisions.push((frame.offset, frame.end, PyBytes::new(py, frame.body)));
            }
        }
        Ok((events, decisions, next))
    }
}
