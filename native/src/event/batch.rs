//! What came of a body: accepted events, encoded one after another in one buffer, and the refusals.

use crate::record::{Event, Hashes};

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

/// Where an accepted event lies, and what is known of it.
#[derive(Debug)]
struct Place {
    /// In the body.
    index: u32,
    /// In `bytes`.
    end: usize,
    /// Counted from the start of the event.
    linked_at: usize,
    hashes: Hashes,
}

/// One accepted event as the log wants it.
#[derive(Debug, Clone, Copy)]
pub struct Encoded<'b> {
    /// Its linked user is still empty and stands at `linked_at`.
    pub body: &'b [u8],
    pub linked_at: usize,
    pub hashes: Hashes,
}

#[derive(Debug, Default)]
pub struct Batch {
    received_ms: i64,
    bytes: Vec<u8>,
    accepted: Vec<Place>,
    pub rejected: Vec<Rejected>,
}

impl Batch {
    /// An event is about as long encoded as it was in the body, so one allocation usually serves all.
    pub(super) fn with_capacity(body_bytes: usize, received_ms: i64) -> Self {
        Batch {
            received_ms,
            bytes: Vec::with_capacity(body_bytes),
            accepted: Vec::with_capacity(body_bytes / 256 + 1),
            rejected: vec![],
        }
    }

    pub(super) fn push(&mut self, index: usize, event: &Event<'_>) {
        let start = self.bytes.len();
        let linked_at = event.encode(&mut self.bytes) - start;
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.accepted.push(Place { index, end: self.bytes.len(), linked_at, hashes: Hashes::of(event) });
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
        self.accepted
            .iter()
            .zip(self.encoded())
            .filter_map(|(place, encoded)| Event::decode(encoded.body).ok().map(|event| (place.index as usize, event)))
    }

    /// The same events, not decoded.
    pub fn encoded(&self) -> impl Iterator<Item = Encoded<'_>> {
        let mut start = 0;
        self.accepted.iter().map(move |place| {
            let body = &self.bytes[start..place.end];
            start = place.end;
            Encoded { body, linked_at: place.linked_at, hashes: place.hashes }
        })
    }

    pub fn hashes(&self) -> impl Iterator<Item = &Hashes> {
        self.accepted.iter().map(|place| &place.hashes)
    }

    /// What every event of the batch was stamped with.
    pub fn received_ms(&self) -> i64 {
        self.received_ms
    }

    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }
}
