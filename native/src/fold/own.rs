//! Whose aggregates are where: those of a user and its sessions in the user's slot, shared ones in one table.
//!
//! What an anonymous session counted moves to the user whom its link names when the link record is folded, like the rest
//! of what it did. It is kept aside until then and not read from the record, so that definitions that are newer than the
//! record are counted too. Invariant: a function of the log and the definitions.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::codec::{put_bytes, put_i64, put_u64, Reader};
use crate::error::{Error, Result};
use crate::fold::aggregate::{merge, Definition, Definitions, Entry, Owner};
use crate::fold::arms::Lists;
use crate::fold::condition::Seen;
use crate::fold::contexts::DIMENSIONS;
use crate::fold::counter::When;
use crate::fold::lines::Line;
use crate::fold::pairs::{anchor_of, Pairs};
use crate::fold::state::{Person, Slot, State};
use crate::fold::step::{Stepped, Told};
use crate::fold::user::SESSIONS_MAX;
use crate::hash::id_hash;
use crate::record::EventType;

/// Aggregates of one user key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Own {
    pub user: Vec<Entry>,
    /// Hash of the session, time of its last event, what it counted; the session with the oldest last event makes room.
    sessions: Vec<(u64, i64, Vec<Entry>)>,
    /// Of the key of a session, when anything is counted by arm.
    pub lists: Lists,
}

impl Own {
    pub fn session(&self, session: u64) -> &[Entry] {
        self.sessions.iter().find(|(hash, ..)| *hash == session).map_or(&[], |(.., entries)| entries)
    }

    pub fn is_empty(&self) -> bool {
        self.user.is_empty() && self.sessions.is_empty() && self.lists.is_empty()
    }

    /// What leaves a session whose doings join a user: all but its lists, which stay its own.
    pub fn leave(own: &mut Option<Box<Own>>) -> Option<Box<Own>> {
        let mut left = own.take()?;
        let lists = std::mem::take(&mut left.lists);
        *own = (!lists.is_empty()).then(|| Box::new(Own { lists, ..Own::default() }));
        Some(left)
    }

    fn session_mut(&mut self, session: u64, ts_ms: i64) -> &mut Vec<Entry> {
        let at = match self.sessions.iter().position(|(hash, ..)| *hash == session) {
            Some(at) => at,
            None => {
                if self.sessions.len() == SESSIONS_MAX {
                    let oldest = (0..SESSIONS_MAX).min_by_key(|at| (self.sessions[*at].1, self.sessions[*at].0));
                    self.sessions.remove(oldest.unwrap_or_default());
                }
                self.sessions.push((session, ts_ms, Vec::new()));
                self.sessions.len() - 1
            }
        };
        let (_, last_ms, entries) = &mut self.sessions[at];
        *last_ms = (*last_ms).max(ts_ms);
        entries
    }

    pub fn merge(&mut self, other: &Own) {
        merge(&mut self.user, &other.user);
        for (session, last_ms, entries) in &other.sessions {
            merge(self.session_mut(*session, *last_ms), entries);
        }
    }

    pub fn heap_bytes(&self) -> usize {
        use std::mem::size_of;
        let sessions = self.sessions.iter().map(|(.., entries)| entries);
        let all = sessions.chain(std::iter::once(&self.user));
        let entries: usize =
            all.map(|e| e.capacity() * size_of::<Entry>() + e.iter().map(|e| e.acc.heap_bytes()).sum::<usize>()).sum();
        size_of::<Own>()
            + self.lists.heap_bytes()
            + self.sessions.capacity() * size_of::<(u64, i64, Vec<Entry>)>()
            + entries
    }

    pub fn encode(&self, definitions: &Definitions, out: &mut Vec<u8>) {
        definitions.encode_entries(&self.user, out);
        put_u64(out, self.sessions.len() as u64);
        for (session, last_ms, entries) in &self.sessions {
            out.extend_from_slice(&session.to_le_bytes());
            put_i64(out, *last_ms);
            definitions.encode_entries(entries, out);
        }
        if !self.lists.is_empty() {
            self.lists.encode(out);
        }
    }

    pub fn decode(definitions: &Definitions, r: &mut Reader<'_>) -> Result<Own> {
        let user = definitions.decode_entries(r)?;
        let n = r.u64()? as usize;
        if n > SESSIONS_MAX {
            return Err(Error::corrupt(0, "too many sessions"));
        }
        let session = |_| Ok((r.fixed_u64()?, r.i64()?, definitions.decode_entries(r)?));
        let sessions = (0..n).map(session).collect::<Result<Vec<_>>>()?;
        let lists = if r.is_empty() { Lists::default() } else { Lists::decode(r)? };
        Ok(Own { user, sessions, lists })
    }
}

/// Definitions, shared aggregates, and what waits for its link record.
#[derive(Debug, Default)]
pub struct Aggregates {
    pub definitions: Definitions,
    shared: FxHashMap<(Owner, u64), (Vec<Entry>, bool)>,
    dirty: Vec<(Owner, u64)>,
    pub pairs: Pairs,
    /// By the source offset of the link.
    pub due: BTreeMap<u64, Box<Own>>,
}

/// Owners of the shared table.
pub const SHARED: [Owner; 5] = [Owner::Item, Owner::Category, Owner::Seller, Owner::Context, Owner::Arm];

/// Key of a context value in the shared table.
pub fn context_key(dimension: usize, value: &str) -> u64 {
    id_hash(&format!("{} {value}", DIMENSIONS[dimension]))
}

impl Aggregates {
    pub fn shared(&self, owner: Owner, key: u64) -> &[Entry] {
        self.shared.get(&(owner, key)).map_or(&[], |(entries, _)| entries)
    }

    /// How many owners have aggregates that users share; of pairs, the first items.
    pub fn shared_len(&self) -> usize {
        self.shared.len() + self.pairs.anchors()
    }

    pub fn shared_bytes(&self) -> usize {
        let of = |entries: &Vec<Entry>| {
            entries.capacity() * size_of::<Entry>() + entries.iter().map(|e| e.acc.heap_bytes()).sum::<usize>()
        };
        self.shared.capacity() * (size_of::<((Owner, u64), (Vec<Entry>, bool))>() + 1)
            + self.shared.values().map(|(entries, _)| of(entries)).sum::<usize>()
            + self.pairs.heap_bytes()
    }

    fn change(&mut self, owner: Owner, key: u64, add: impl FnOnce(&Definitions, &mut Vec<Entry>) -> bool) {
        let (entries, dirty) = self.shared.entry((owner, key)).or_default();
        if add(&self.definitions, entries) && !*dirty {
            *dirty = true;
            self.dirty.push((owner, key));
        }
    }

    /// Keys that changed since the last call, ascending, of each of `SHARED`.
    pub fn take_dirty(&mut self) -> [Vec<u64>; SHARED.len()] {
        let mut changed = std::mem::take(&mut self.dirty);
        changed.sort_unstable();
        for key in &changed {
            if let Some((_, dirty)) = self.shared.get_mut(key) {
                *dirty = false;
            }
        }
        SHARED.map(|owner| changed.iter().filter(|(o, _)| *o == owner).map(|(_, key)| *key).collect())
    }

    pub fn entry_bytes(&self, owner: Owner, key: u64) -> Vec<u8> {
        let mut out = Vec::new();
        self.definitions.encode_entries(self.shared(owner, key), &mut out);
        out
    }

    pub fn restore(&mut self, owner: Owner, key: u64, r: &mut Reader<'_>) -> Result<()> {
        let entries = self.definitions.decode_entries(r)?;
        if !entries.is_empty() {
            self.shared.insert((owner, key), (entries, false));
        }
        Ok(())
    }

    /// What ends a meta record; nothing at all without definitions.
    pub fn encode_meta(&self, out: &mut Vec<u8>) {
        if self.definitions.is_empty() {
            return;
        }
        self.definitions.encode(out);
        put_u64(out, self.due.len() as u64);
        for (source, own) in &self.due {
            put_u64(out, *source);
            let mut bytes = Vec::new();
            own.encode(&self.definitions, &mut bytes);
            put_bytes(out, &bytes);
        }
    }

    pub fn restore_meta(&mut self, r: &mut Reader<'_>, applied: u64) -> Result<()> {
        let known = if r.is_empty() { Vec::new() } else { Definitions::decode(r)? };
        self.definitions.begin(&known, applied);
        let due = if r.is_empty() { 0 } else { r.u64()? };
        for _ in 0..due {
            let source = r.u64()?;
            let own = Own::decode(&self.definitions, &mut Reader::new(r.bytes()?))?;
            self.due.insert(source, Box::new(own));
        }
        Ok(())
    }
}

/// When the person bought what a refund names, last; None when that is not among the last actions.
fn bought_when(slot: Option<&Slot>, line: Option<&Line>) -> Option<When> {
    let (Person::Known(user), line) = (&slot?.person, line?) else { return None };
    let bought = user.recent.iter().filter(|r| r.item == line.item && r.event_type == EventType::Purchase);
    bought.map(|r| r.ts_ms).max().map(When::at)
}

impl State {
    /// Counts an accepted event of the user key `owner` in the aggregates that want it.
    /// `anchors` are what the session took up before it, the latest first.
    pub(super) fn aggregate(&mut self, told: &Told<'_>, owner: u64, stepped: &Stepped, anchors: &[Option<u32>]) {
        let State { aggregates, catalogue, facts, users, contexts, .. } = self;
        let lines: &[Line] = &stepped.lines;
        for n in 0..aggregates.definitions.of_type(told.event.event_type).len() {
            let at = aggregates.definitions.of_type(told.event.event_type)[n];
            let Some(per_line) = aggregates.definitions.get(at).map(|d| d.per_line) else { continue };
            // Without lines, what speaks of them is asked once and finds them missing.
            for n in 0..if per_line { lines.len().max(1) } else { 1 } {
                let line = lines.get(n).filter(|_| per_line);
                let seen = Seen { event: told.event, line, catalogue, about: &[] };
                let Some(definition) = aggregates.definitions.get(at) else { continue };
                if !definition.counts(&seen) {
                    continue;
                }
                let back = if definition.back { bought_when(users.get(&owner), line.or(lines.first())) } else { None };
                let when = back.as_ref().unwrap_or(&told.when);
                let add = |d: &Definition, entries: &mut Vec<Entry>| d.add(entries, at, &seen, when);
                match definition.owner {
                    Owner::User | Owner::Session => {
                        let Some(slot) = users.get_mut(&owner) else { continue };
                        let own = slot.own.get_or_insert_default();
                        if definition.owner == Owner::User {
                            add(definition, &mut own.user);
                        } else {
                            add(definition, own.session_mut(told.hashes.session, told.event.ts_ms));
                        }
                        continue;
                    }
                    _ if !stepped.counted => continue,
                    Owner::Arm => {
                        let shown = users.get(&told.hashes.session).and_then(|slot| slot.own.as_deref());
                        let Some(own) = shown else { continue };
                        let named = told.event.request_id.map(id_hash);
                        let arm = |item| own.lists.of(named, item)?.arm(definition.dimension, item);
                        let whole = || lines.iter().find_map(|l| arm(Some(l.item))).or_else(|| arm(None));
                        let Some(key) = line.map_or_else(whole, |l| arm(Some(l.item))) else { continue };
                        aggregates.change(Owner::Arm, key, |all, entries| all.get(at).is_some_and(|d| add(d, entries)));
                    }
                    Owner::ItemPair => {
                        let Some(item) = line.and_then(|l| l.index) else { continue };
                        let Some(anchor) = anchor_of(item, anchors) else { continue };
                        aggregates.pairs.change(&aggregates.definitions, (anchor, item), told.event.ts_ms, |entries| {
                            add(definition, entries)
                        });
                    }
                    Owner::Context => {
                        let dimension = definition.dimension;
                        let Some(value) = told.context(dimension as u8) else { continue };
                        // Values that the contexts have no room for are not told apart here either.
                        if contexts.get(dimension as u8, value).is_some() {
                            aggregates.change(Owner::Context, context_key(dimension, value), |all, entries| {
                                all.get(at).is_some_and(|d| add(d, entries))
                            });
                        }
                    }
                    owner => {
                        let Some(item) = line.and_then(|l| l.index) else { continue };
                        let facts = facts.facts_at(item);
                        let own = [u64::from(item)];
                        let keys = match owner {
                            Owner::Item => &own[..],
                            Owner::Category => facts.categories,
                            _ => facts.seller.as_slice(),
                        };
                        for key in keys.iter().copied() {
                            aggregates.change(owner, key, |all, entries| all.get(at).is_some_and(|d| add(d, entries)));
                        }
                    }
                }
            }
        }
    }
}
