//! What came of a body: accepted events, encoded one after another in one buffer, and the refusals.

use crate::record::Event;

/// One refused event; `payload` is the event as JSON text, for the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub index: usize,
    /// Absent when the event has none that could be one.
    pub event_id: Option<String>,
    pub code: &'static str,
    pub message: String,
    pub payload: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Index in the body and end in `bytes` of every accepted event.
    accepted: Vec<(u32, usize)>,
    pub rejected: Vec<Rejected>,
}

impl Batch {
    /// An event is about as long encoded as it was in the body, so one allocation usually serves all.
    pub(super) fn with_capacity(body_bytes: usize) -> Self {
        Batch {
            bytes: Vec::with_capacity(body_bytes),
            accepted: Vec::with_capacity(body_bytes / 256 + 1),
            rejected: vec![],
        }
    }

    pub(super) fn push(&mut self, index: usize, event: &Event<'_>) {
        event.encode(&mut self.bytes);
        self.accepted.push((u32::try_from(index).unwrap_or(u32::MAX), self.bytes.len()));
    }

    /// Accepted and rejected together.
    pub fn events(&self) -> usize {
        self.accepted.len() + self.rejected.len()
    }

    pub fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// The accepted events in the order of the body, each with its index there; `linked_user` is still empty.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Event<'_>)> {
        let mut start = 0;
        self.accepted.iter().filter_map(move |&(index, end)| {
            let body = &self.bytes[start..end];
            start = end;
            Event::decode(body).ok().map(|event| (index as usize, event))
        })
    }
}
