//! Between the reply's promise and the disk: batches that are in the log's queue wait here, in order, until they are
//! durable; only then are they folded. What the disk refused never reaches the state.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::Result;
use crate::fold::state::{Person, State};
use crate::hash::{id_hash, key_hash, partition_of, Namespace};
use crate::log::{push_frame, FrameHeader, FrameIter, Log};
use crate::record::{Event, Kind};

/// Answer to one admitted batch, in the order of admission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    pub ticket: u64,
    pub accepted: u32,
    pub duplicates: u32,
    /// End of the log that holds the whole batch.
    pub position: u64,
}

struct Batch {
    ticket: u64,
    start: u64,
    end: u64,
    frames: Vec<u8>,
    /// Events left out because the batch had them already.
    repeated: u32,
    /// Someone waits for the answer.
    answered: bool,
}

#[derive(Default)]
pub struct Queue {
    batches: VecDeque<Batch>,
    /// Sessions whose event with a user is written and not yet folded: later events of the bare session follow it.
    linking: FxHashMap<u64, Box<str>>,
    /// Folded answers that wait for their link records.
    waiting: VecDeque<(u64, Settled)>,
    next_ticket: u64,
    scratch: Vec<u8>,
    /// Frames of decisions that are not in the log's queue yet.
    deferred: Vec<u8>,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.waiting.is_empty()
    }

    /// Oldest admission still on its way, so that its users stay in memory.
    pub fn oldest_admission(&self, state: &State) -> u64 {
        state.admissions.saturating_sub(self.batches.len() as u64)
    }

    /// Keys that must be in memory before these events are admitted: the user's and the session's.
    pub fn keys_of<'e>(events: impl Iterator<Item = Event<'e>>, out: &mut Vec<u64>) {
        for e in events {
            if let Some(user) = e.user_id {
                out.push(key_hash(Namespace::User, user));
            }
            out.push(key_hash(Namespace::Session, e.session_id));
        }
    }

    /// The user a bare session belongs to, as of everything written so far.
    pub fn linked_user<'s>(&'s self, state: &'s State, session_hash: u64) -> Option<&'s str> {
        if let Some(user) = self.linking.get(&session_hash) {
            return Some(user);
        }
        match &state.users.get(&session_hash)?.person {
            Person::Linked(user) => Some(user),
            Person::Known(_) => None,
        }
    }

    /// Encodes events into frames and hands them to the log.
    pub fn submit_events<'e>(
        &mut self,
        state: &mut State,
        log: &Log,
        events: impl Iterator<Item = Event<'e>>,
    ) -> Result<u64> {
        let mut frames = Vec::new();
        let mut body = std::mem::take(&mut self.scratch);
        let mut linking: Vec<(u64, Box<str>)> = Vec::new();
        let mut seen: FxHashSet<(u64, u64)> = FxHashSet::default();
        let mut repeated = 0;
        for mut event in events {
            // A user's memory of ids is shorter than a batch may be, so a batch is searched by itself; an event has one
            // key before its session is linked and another one after.
            let (own_hash, event_hash) = (event.key_hash(), id_hash(event.event_id));
            if !seen.insert((own_hash, event_hash)) {
                repeated += 1;
                continue;
            }
            let session_hash = key_hash(Namespace::Session, event.session_id);
            state.touch(session_hash);
            let linked: Option<Box<str>> = match event.user_id {
                Some(user) => {
                    // A duplicate links nothing, so it must not lead the bare events after it.
                    let counted = || state.counted(key_hash(Namespace::User, user), event.event_id);
                    if self.linked_user(state, session_hash) != Some(user) && !counted() {
                        linking.push((session_hash, user.into()));
                    }
                    None
                }
                None => match linking.iter().rev().find(|(s, _)| *s == session_hash) {
                    Some((_, user)) => Some(user.clone()),
                    None => self.linked_user(state, session_hash).map(Into::into),
                },
            };
            event.linked_user = linked.as_deref();
            let hash = event.key_hash();
            if hash != own_hash && !seen.insert((hash, event_hash)) {
                repeated += 1;
                continue;
            }
            body.clear();
            event.encode(&mut body);
            state.touch(hash);
            push_frame(&mut frames, &header(state, Kind::Event, hash, event.received_ms), &body);
        }
        self.scratch = body;
        let ticket = self.submit(state, log, frames, repeated, true)?;
        self.linking.extend(linking);
        Ok(ticket)
    }

    /// Hands records other than events to the log: (kind, key hash, body).
    pub fn submit_records(
        &mut self,
        state: &mut State,
        log: &Log,
        records: &[(Kind, u64, &[u8])],
        received_ms: i64,
        answered: bool,
    ) -> Result<u64> {
        let mut frames = Vec::new();
        for (kind, hash, body) in records {
            state.touch(*hash);
            push_frame(&mut frames, &header(state, *kind, *hash, received_ms), body);
        }
        self.submit(state, log, frames, 0, answered)
    }

    /// Keeps a record that nobody waits for until the next batch, or `submit_deferred`, takes it along: a sync of the
    /// disk per list would cost more than the list. Refused when the log has failed.
    pub fn defer_record(
        &mut self,
        state: &mut State,
        log: &Log,
        kind: Kind,
        hash: u64,
        body: &[u8],
        received_ms: i64,
    ) -> Result<()> {
        if let Some(failure) = log.failure() {
            return Err(failure);
        }
        push_frame(&mut self.deferred, &header(state, kind, hash, received_ms), body);
        Ok(())
    }

    pub fn submit_deferred(&mut self, state: &mut State, log: &Log) -> Result<()> {
        if self.deferred.is_empty() {
            return Ok(());
        }
        let frames = std::mem::take(&mut self.deferred);
        let end = log.append(&frames)?;
        state.admissions += 1;
        let start = end - frames.len() as u64;
        self.batches.push_back(Batch { ticket: 0, start, end, frames, repeated: 0, answered: false });
        Ok(())
    }

    fn submit(&mut self, state: &mut State, log: &Log, frames: Vec<u8>, repeated: u32, answered: bool) -> Result<u64> {
        self.submit_deferred(state, log)?;
        let end = if frames.is_empty() { log.end() } else { log.append(&frames)? };
        self.next_ticket += 1;
        state.admissions += 1;
        let start = end - frames.len() as u64;
        self.batches.push_back(Batch { ticket: self.next_ticket, start, end, frames, repeated, answered });
        Ok(self.next_ticket)
    }

    /// Folds every batch that is durable and returns the answers that are due. A session that turned out to be a
    /// user's gets its link record written first; its answer follows when that record is folded. While a flush is being
    /// encoded nothing is folded.
    pub fn advance(&mut self, state: &mut State, log: &Log, received_ms: i64) -> Result<Vec<Settled>> {
        let mut settled = Vec::new();
        if state.is_encoding() {
            return Ok(settled);
        }
        let durable = log.durable();
        while self.batches.front().is_some_and(|b| b.end <= durable) {
            let Some(batch) = self.batches.pop_front() else { break };
            let links_before = state.links_due.keys().next_back().copied();
            let answer = self.fold_batch(state, &batch)?;
            let links: Vec<(u64, Vec<u8>)> = state
                .links_due
                .range((
                    links_before.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded),
                    std::ops::Bound::Unbounded,
                ))
                .map(|(_, link)| link.clone())
                .collect();
            let mut due = batch.end;
            if !links.is_empty() {
                let records: Vec<(Kind, u64, &[u8])> = links.iter().map(|(h, b)| (Kind::Link, *h, &b[..])).collect();
                self.submit_records(state, log, &records, received_ms, false)?;
                due = log.end();
            }
            if batch.answered {
                self.waiting.push_back((due, Settled { position: due, ..answer }));
            }
        }
        while self.waiting.front().is_some_and(|(due, _)| *due <= state.applied || *due == 0) {
            settled.extend(self.waiting.pop_front().map(|(_, s)| s));
        }
        Ok(settled)
    }

    fn fold_batch(&mut self, state: &mut State, batch: &Batch) -> Result<Settled> {
        let (mut accepted, mut duplicates) = (0, batch.repeated);
        for frame in FrameIter::new(&batch.frames, batch.start) {
            let frame = frame?;
            if state.fold(&frame)? {
                duplicates += 1;
            } else {
                accepted += 1;
            }
            if frame.header.kind == Kind::Event as u8 && !self.linking.is_empty() {
                let event = Event::decode(frame.body)?;
                let session = key_hash(Namespace::Session, event.session_id);
                if event.user_id.is_some() && self.linking.get(&session).map(|u| &**u) == event.user_id {
                    self.linking.remove(&session);
                }
            }
        }
        Ok(Settled { ticket: batch.ticket, accepted, duplicates, position: batch.end })
    }

    /// The log failed: what was not durable is gone and will be sent again by its clients. Returns the tickets.
    pub fn abandon(&mut self) -> Vec<u64> {
        self.linking.clear();
        self.deferred.clear();
        let waiting = self.waiting.drain(..).map(|(_, s)| s.ticket);
        waiting.chain(self.batches.drain(..).filter(|b| b.answered).map(|b| b.ticket)).collect()
    }
}

fn header(state: &State, kind: Kind, hash: u64, received_ms: i64) -> FrameHeader {
    FrameHeader {
        kind: kind as u8,
        flags: 0,
        partition: partition_of(hash, state.config.partitions),
        key_hash: hash,
        received_ms: received_ms as u64,
    }
}
