//! Between the reply's promise and the disk: batches that are in the log's queue wait here, in order, until they are
//! durable; only then are they folded. What the disk refused never reaches the state.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::Result;
use crate::event;
use crate::fold::state::{Person, State};
use crate::hash::{key_hash, partition_of, Namespace};
use crate::log::{push_frame, FrameHeader, FrameIter, Log, HEADER_BYTES};
use crate::record::{Event, Hashes, Kind};

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
    /// Of the events in `frames`, one after another; empty where there are none.
    hashes: Vec<Hashes>,
    answer: Answer,
}

/// What the answer to a batch needs beside the fold.
struct Answer {
    /// Events left out because the batch had them already.
    repeated: u32,
    /// Someone waits for it.
    due: bool,
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
    /// (key, event) of the events in the batch that is being admitted.
    seen: FxHashSet<(u64, u64)>,
    /// Frames of decisions that are not in the log's queue yet.
    deferred: Vec<u8>,
    /// Notifications on their way to the disk, in the order of the log: (user key, hash of the surface, ms).
    pub sends: VecDeque<(u64, u64, i64)>,
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
    pub fn keys_of<'h>(events: impl Iterator<Item = &'h Hashes>, out: &mut Vec<u64>) {
        for hashes in events {
            out.extend(hashes.user);
            out.push(hashes.session);
        }
    }

    /// Keys of a batch that are not in memory, the users of linked sessions included as far as is known, ascending.
    pub fn missing_of(&self, state: &State, batch: &event::Batch) -> Vec<u64> {
        let mut missing = Vec::new();
        let mut need = |hash: u64| {
            if !state.users.contains_key(&hash) {
                missing.push(hash);
            }
        };
        for hashes in batch.hashes() {
            need(hashes.session);
            match hashes.user {
                Some(user) => need(user),
                None => {
                    if let Some(user) = self.linked_user(state, hashes.session) {
                        need(key_hash(Namespace::User, user));
                    }
                }
            }
        }
        missing.sort_unstable();
        missing.dedup();
        missing
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

    /// Puts events into frames and hands them to the log.
    pub fn submit_events(&mut self, state: &mut State, log: &Log, events: &event::Batch) -> Result<u64> {
        let mut frames = Vec::with_capacity(events.bytes_len() + HEADER_BYTES * events.accepted());
        let mut all_hashes = Vec::with_capacity(events.accepted());
        let mut linked = std::mem::take(&mut self.scratch);
        let mut linking: Vec<(u64, Box<str>)> = Vec::new();
        self.seen.clear();
        let mut repeated = 0;
        for event::Encoded { body, linked_at, hashes } in events.encoded() {
            // A user's memory of ids is shorter than a batch may be, so a batch is searched by itself; an event has one
            // key before its session is linked and another one after.
            let (own_hash, event_hash) = (hashes.own(), hashes.event);
            if !self.seen.insert((own_hash, event_hash)) {
                repeated += 1;
                continue;
            }
            state.touch(hashes.session);
            let user: Option<Box<str>> = match Event::user_of(body)? {
                Some(user) => {
                    // A duplicate links nothing, so it must not lead the bare events after it.
                    if self.linked_user(state, hashes.session) != Some(user) && !state.counted(own_hash, event_hash) {
                        linking.push((hashes.session, user.into()));
                    }
                    None
                }
                None => match linking.iter().rev().find(|(s, _)| *s == hashes.session) {
                    Some((_, user)) => Some(user.clone()),
                    None => self.linked_user(state, hashes.session).map(Into::into),
                },
            };
            let (mut body, mut hash) = (body, own_hash);
            if let Some(user) = user {
                hash = key_hash(Namespace::User, &user);
                if !self.seen.insert((hash, event_hash)) {
                    repeated += 1;
                    continue;
                }
                linked.clear();
                Event::link_encoded(body, linked_at, &user, &mut linked);
                body = &linked;
            }
            state.touch(hash);
            push_frame(&mut frames, &header(state, Kind::Event, hash, events.received_ms()), body);
            all_hashes.push(hashes);
        }
        self.scratch = linked;
        let ticket = self.submit(state, log, frames, all_hashes, Answer { repeated, due: true })?;
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
        self.submit(state, log, frames, Vec::new(), Answer { repeated: 0, due: answered })
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
        state.touch(hash);
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
        self.batches.push_back(Batch {
            ticket: 0,
            start,
            end,
            frames,
            hashes: Vec::new(),
            answer: Answer { repeated: 0, due: false },
        });
        Ok(())
    }

    fn submit(
        &mut self,
        state: &mut State,
        log: &Log,
        frames: Vec<u8>,
        hashes: Vec<Hashes>,
        answer: Answer,
    ) -> Result<u64> {
        self.submit_deferred(state, log)?;
        let end = if frames.is_empty() { log.end() } else { log.append(&frames)? };
        self.next_ticket += 1;
        state.admissions += 1;
        let start = end - frames.len() as u64;
        self.batches.push_back(Batch { ticket: self.next_ticket, start, end, frames, hashes, answer });
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
            let settled = self.fold_batch(state, &batch)?;
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
            if batch.answer.due {
                self.waiting.push_back((due, Settled { position: due, ..settled }));
            }
        }
        while self.waiting.front().is_some_and(|(due, _)| *due <= state.applied || *due == 0) {
            settled.extend(self.waiting.pop_front().map(|(_, s)| s));
        }
        Ok(settled)
    }

    fn fold_batch(&mut self, state: &mut State, batch: &Batch) -> Result<Settled> {
        let (mut accepted, mut duplicates) = (0, batch.answer.repeated);
        let frames = FrameIter::new(&batch.frames, batch.start).collect::<Result<Vec<_>>>()?;
        let sends = frames.iter().filter(|f| f.header.kind == Kind::Sent as u8).count();
        self.sends.drain(..sends.min(self.sends.len()));
        state.fold_run(&frames, &batch.hashes, |n, duplicate| {
            if duplicate {
                duplicates += 1;
            } else {
                accepted += 1;
            }
            let Some(hashes) = batch.hashes.get(n).filter(|h| h.user.is_some() && !self.linking.is_empty()) else {
                return;
            };
            let user = Event::user_of(frames[n].body).ok().flatten();
            if self.linking.get(&hashes.session).map(|u| &**u) == user {
                self.linking.remove(&hashes.session);
            }
        })?;
        Ok(Settled { ticket: batch.ticket, accepted, duplicates, position: batch.end })
    }

    /// The log failed: what was not durable is gone and will be sent again by its clients. Returns the tickets.
    pub fn abandon(&mut self) -> Vec<u64> {
        self.linking.clear();
        self.deferred.clear();
        self.sends.clear();
        let waiting = self.waiting.drain(..).map(|(_, s)| s.ticket);
        waiting.chain(self.batches.drain(..).filter(|b| b.answer.due).map(|b| b.ticket)).collect()
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
