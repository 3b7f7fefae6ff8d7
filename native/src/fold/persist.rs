//! Views as bytes: what the view store keeps and what recovery reads back.
//!
//! Invariant: the bytes depend on the folded log alone. A view rebuilt from the log equals the flushed one byte for
//! byte, so nothing here may depend on caches, flush times or the order of a hash map.

use std::collections::VecDeque;

use crate::codec::{put_bytes, put_i64, put_opt_str, put_str, put_u64, Reader};
use crate::error::{Error, Result};
use crate::fold::aggregate::{Definitions, Owner};
use crate::fold::counter::Counter;
use crate::fold::own::{Aggregates, Own, SHARED};
use crate::fold::shared::Stats;
use crate::fold::state::{Person, Slot, State};
use crate::fold::user::{EventIds, User};
use crate::hash::{partition_of, Namespace};

/// One change of the store: a key with its new value, or none when it goes.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// First byte of a key.
mod space {
    pub const META: u8 = b'm';
    pub const ITEM: u8 = b'i';
    pub const STATS: u8 = b's';
    pub const CATEGORY: u8 = b'c';
    pub const CONTEXT: u8 = b'x';
    pub const CONTEXT_ITEM: u8 = b'y';
    pub const COVIS: u8 = b'v';
    pub const BOUGHT: u8 = b'w';
    pub const SESSION: u8 = b'k';
    pub const USER: u8 = b'u';
    /// A team's aggregates, in the order of `own::SHARED`; behind the meta record, which says what they are.
    pub const SHARED: [u8; 5] = [b'n', b'o', b'p', b'q', b'r'];
    /// Those of pairs of items, by the first of them.
    pub const PAIRS: u8 = b't';
}

pub const META_KEY: &[u8] = &[space::META];
/// What all the records together hold and how. Raised with every change of what the fold keeps, an addition too: a folder
/// written before would start with that empty and say nothing. Views of another layout are made again from the log.
const LAYOUT: u64 = 4;
/// Room that is enough for most records, so that encoding one does not grow its bytes step by step.
const USER_BYTES_USUAL: usize = 512;
const STATS_BYTES_USUAL: usize = 128;

/// Key of a user record: partition first, so that a partition is one range when it moves.
pub fn user_key(hash: u64, partitions: u16) -> Vec<u8> {
    let mut key = vec![space::USER];
    key.extend_from_slice(&partition_of(hash, partitions).to_be_bytes());
    key.extend_from_slice(&hash.to_be_bytes());
    key
}

fn key(space: u8, tail: &[u8]) -> Vec<u8> {
    let mut key = vec![space];
    key.extend_from_slice(tail);
    key
}

fn context_key(space: u8, dimension: u8, value: &str, item: Option<u32>) -> Vec<u8> {
    let mut tail = vec![dimension];
    if let Some(item) = item {
        tail.extend_from_slice(&item.to_be_bytes());
    }
    tail.extend_from_slice(value.as_bytes());
    key(space, &tail)
}

fn stats_bytes(stats: &Stats) -> Vec<u8> {
    let mut out = Vec::with_capacity(STATS_BYTES_USUAL);
    stats.encode(&mut out);
    out
}

impl Slot {
    fn encode(&self, definitions: &Definitions) -> Vec<u8> {
        let mut out = Vec::with_capacity(USER_BYTES_USUAL);
        out.push(match self.namespace {
            Namespace::User => 0,
            Namespace::Session => 1,
        });
        put_str(&mut out, &self.id);
        match &self.profile {
            None => out.push(0),
            Some(json) => {
                out.push(1);
                put_bytes(&mut out, json);
            }
        }
        match &self.person {
            Person::Linked(user) => {
                put_opt_str(&mut out, Some(user));
                self.seen.encode(&mut out);
            }
            Person::Known(user) => {
                put_opt_str(&mut out, None);
                user.encode(&mut out);
            }
        }
        if let Some(own) = self.own.as_ref().filter(|own| !own.is_empty()) {
            own.encode(definitions, &mut out);
        }
        out
    }

    fn decode(bytes: &[u8], definitions: &Definitions) -> Result<Slot> {
        let r = &mut Reader::new(bytes);
        let namespace = match r.u8()? {
            0 => Namespace::User,
            1 => Namespace::Session,
            _ => return Err(Error::corrupt(0, "an unknown namespace")),
        };
        let id = r.str()?.into();
        let profile = if r.u8()? == 1 { Some(r.bytes()?.into()) } else { None };
        let (person, seen) = match r.opt_str()? {
            Some(user) => (Person::Linked(user.into()), EventIds::decode(r)?),
            None => (Person::Known(Box::new(User::read(r)?)), EventIds::default()),
        };
        let own = if r.is_empty() { None } else { Some(Box::new(Own::decode(definitions, r)?)) };
        Ok(Slot { namespace, id, person, profile, own, seen, dirty: false, used: 0 })
    }
}

impl State {
    /// Which of these keys are not in memory.
    pub fn missing(&self, hashes: &[u64]) -> Vec<u64> {
        hashes.iter().copied().filter(|h| !self.users.contains_key(h)).collect()
    }

    /// Takes in a user record from the store.
    pub fn load(&mut self, hash: u64, bytes: &[u8]) -> Result<()> {
        let mut slot = Slot::decode(bytes, &self.aggregates.definitions)?;
        slot.used = self.admissions;
        self.users.entry(hash).or_insert(slot);
        Ok(())
    }

    /// Marks a record as needed by the admission that is being made: it stays in memory until that is folded.
    pub fn touch(&mut self, hash: u64) {
        if let Some(slot) = self.users.get_mut(&hash) {
            slot.used = self.admissions;
        }
    }

    pub fn dirty_len(&self) -> usize {
        self.dirty.users.len() + self.dirty.items.len()
    }

    /// Begins a flush of everything that changed, as of the applied offset. Nothing may be folded until `encode_changes`
    /// has encoded all of it. False when nothing changed.
    pub fn begin_changes(&mut self) -> bool {
        if !std::mem::take(&mut self.dirty.any) {
            return false;
        }
        let (contexts, context_items) = self.contexts.take_changes();
        let mut users = std::mem::take(&mut self.dirty.users);
        users.sort_unstable();
        let wide = |items: Vec<u32>| items.into_iter().map(u64::from).collect();
        let shared = self.aggregates.take_dirty();
        self.unencoded = VecDeque::from([
            (space::CATEGORY, self.categories.take_dirty().into()),
            (space::CONTEXT, contexts.into()),
            (space::CONTEXT_ITEM, context_items.into()),
            (space::ITEM, wide(self.catalogue.take_dirty())),
            (space::STATS, wide(self.dirty.items.take())),
            (space::COVIS, wide(self.covis.take_dirty_items())),
            (space::BOUGHT, wide(self.bought.take_dirty_items())),
            (space::SESSION, self.knn.take_dirty_sessions().into()),
            (space::USER, users.into()),
        ]);
        self.unencoded.extend(space::SHARED.into_iter().zip(shared).map(|(space, keys)| (space, keys.into())));
        self.unencoded.push_back((space::PAIRS, wide(self.aggregates.pairs.take_dirty())));
        self.unencoded.push_back((space::META, VecDeque::from([0])));
        true
    }

    /// Folding has to wait for `encode_changes`.
    pub fn is_encoding(&self) -> bool {
        !self.unencoded.is_empty()
    }

    /// Encodes up to `n` more records of the flush; false when it is complete. The meta record is the last.
    pub fn encode_changes(&mut self, n: usize) -> bool {
        let mut left = n;
        while let Some((space, ids)) = self.unencoded.front_mut() {
            let space = *space;
            let part: Vec<u64> = ids.drain(..left.min(ids.len())).collect();
            if ids.is_empty() {
                self.unencoded.pop_front();
            }
            left -= part.len();
            for id in part {
                let change = self.change(space, id);
                self.flushing.extend(change);
            }
            if left == 0 {
                break;
            }
        }
        self.is_encoding()
    }

    fn change(&mut self, space: u8, id: u64) -> Option<Change> {
        let item = id as u32;
        let short = item.to_be_bytes();
        Some(match space {
            space::ITEM => (key(space, &short), Some(self.catalogue.entry(item))),
            space::CATEGORY => (key(space, &id.to_be_bytes()), Some(stats_bytes(self.categories.get(id)?))),
            space::CONTEXT => {
                let (dimension, value, stats) = self.contexts.stats_at(id)?;
                (context_key(space, dimension, value, None), Some(stats_bytes(stats)))
            }
            space::CONTEXT_ITEM => {
                let (dimension, value, item, counter) = self.contexts.store_item_at(id)?;
                let bytes = counter.map(|c| {
                    let mut bytes = Vec::with_capacity(STATS_BYTES_USUAL);
                    c.encode(&mut bytes);
                    bytes
                });
                (context_key(space, dimension, value, Some(item)), bytes)
            }
            space::STATS => (key(space, &short), Some(stats_bytes(&self.items[item as usize]))),
            space::COVIS => (key(space, &short), self.covis.entry(item)),
            space::BOUGHT => (key(space, &short), self.bought.entry(item)),
            space::SESSION => (key(space, &id.to_be_bytes()), self.knn.session_entry(id)),
            space::PAIRS => (key(space, &short), self.aggregates.pairs.entry_bytes(item)),
            space::USER => {
                let slot = self.users.get_mut(&id)?;
                slot.dirty = false;
                (user_key(id, self.config.partitions), Some(slot.encode(&self.aggregates.definitions)))
            }
            _ if shared_owner(space).is_some() => {
                let bytes = shared_owner(space).map(|owner| self.aggregates.entry_bytes(owner, id));
                (key(space, &id.to_be_bytes()), bytes)
            }
            _ => (META_KEY.to_vec(), Some(self.meta())),
        })
    }

    fn meta(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(&mut out, LAYOUT);
        put_u64(&mut out, self.applied);
        put_u64(&mut out, u64::from(self.config.partitions));
        put_i64(&mut out, self.events_now_ms);
        put_u64(&mut out, self.events_total);
        put_u64(&mut out, self.decisions_total);
        put_u64(&mut out, self.users_total);
        self.global.encode(&mut out);
        put_u64(&mut out, self.links_due.len() as u64);
        for (source, (hash, body)) in &self.links_due {
            put_u64(&mut out, *source);
            put_u64(&mut out, *hash);
            put_bytes(&mut out, body);
        }
        put_u64(&mut out, self.activations.len() as u64);
        for (name, version) in &self.activations {
            put_str(&mut out, name);
            put_str(&mut out, version);
        }
        put_bytes(&mut out, &self.trial);
        self.aggregates.encode_meta(&mut out);
        out
    }

    /// Offset and partitions that a store's meta record names, without taking it in. None for views of another layout.
    pub fn peek_meta(bytes: &[u8]) -> Result<Option<(u64, u16)>> {
        let r = &mut Reader::new(bytes);
        if r.u64()? != LAYOUT {
            return Ok(None);
        }
        Ok(Some((r.u64()?, u16::try_from(r.u64()?).map_err(|_| Error::corrupt(0, "partitions"))?)))
    }

    /// Takes in one entry of the store, in key order. User records are skipped: they are loaded when needed.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let (Some(space), tail) = (key.first(), key.get(1..).unwrap_or_default()) else { return Ok(()) };
        let r = &mut Reader::new(value);
        match *space {
            space::ITEM => {
                self.catalogue.restore(value)?;
                self.facts.update(&self.catalogue, be_u32(tail)?);
            }
            space::STATS => {
                let item = be_u32(tail)?;
                *self.item_stats(item) = Stats::decode(r)?;
            }
            space::CATEGORY => {
                self.categories.restore(be_u64(tail)?, Stats::decode(r)?);
            }
            space::CONTEXT => {
                let (dimension, value) = context_name(tail, 1)?;
                if let Some(context) = self.contexts.restore(dimension, value) {
                    context.stats = Stats::decode(r)?;
                }
            }
            space::CONTEXT_ITEM => {
                let (dimension, value) = context_name(tail, 5)?;
                if let Some(context) = self.contexts.restore(dimension, value) {
                    context.restore_item(be_u32(&tail[1..])?, Counter::decode(r)?);
                }
            }
            space::COVIS => self.covis.restore(be_u32(tail)?, value)?,
            space::BOUGHT => self.bought.restore(be_u32(tail)?, value)?,
            space::SESSION => self.knn.restore(be_u64(tail)?, value)?,
            space::META => self.restore_meta(r)?,
            space::PAIRS => {
                let Aggregates { definitions, pairs, .. } = &mut self.aggregates;
                pairs.restore(definitions, be_u32(tail)?, r)?;
            }
            space => {
                if let Some(owner) = shared_owner(space) {
                    self.aggregates.restore(owner, be_u64(tail)?, r)?;
                }
            }
        }
        Ok(())
    }

    fn restore_meta(&mut self, r: &mut Reader<'_>) -> Result<()> {
        self.restore_meta_but_aggregates(r)?;
        self.aggregates.restore_meta(r, self.applied)
    }

    fn restore_meta_but_aggregates(&mut self, r: &mut Reader<'_>) -> Result<()> {
        r.u64()?;
        self.applied = r.u64()?;
        self.config.partitions = u16::try_from(r.u64()?).map_err(|_| Error::corrupt(0, "partitions"))?;
        self.events_now_ms = r.i64()?;
        self.events_total = r.u64()?;
        self.decisions_total = r.u64()?;
        self.users_total = r.u64()?;
        self.global = Stats::decode(r)?;
        for _ in 0..r.u64()? {
            let (source, hash) = (r.u64()?, r.u64()?);
            self.links_due.insert(source, (hash, r.bytes()?.to_vec()));
        }
        for _ in 0..r.u64()? {
            self.activations.push((r.str()?.to_owned(), r.str()?.to_owned()));
        }
        self.trial = r.bytes()?.to_vec();
        Ok(())
    }

    /// Whether views that end with this meta record hold a team's aggregates as they are defined here, no more and no less.
    pub fn fits(&self, meta: &[u8]) -> Result<bool> {
        let mut kept = State::new(self.config.clone());
        let r = &mut Reader::new(meta);
        kept.restore_meta_but_aggregates(r)?;
        let known = if r.is_empty() { Vec::new() } else { Definitions::decode(r)? };
        Ok(self.aggregates.definitions.are(&known))
    }

    /// Drops clean user records beyond `keep`, the longest unused first; those of admissions on their way stay.
    pub fn evict(&mut self, keep: usize, oldest_admission: u64) -> usize {
        if self.users.len() <= keep {
            return 0;
        }
        let mut ages: Vec<(u64, u64)> = self
            .users
            .iter()
            .filter(|(_, s)| !s.dirty && s.used < oldest_admission)
            .map(|(h, s)| (s.used, *h))
            .collect();
        // An eighth more than needed, so that the next flush does not have to look again.
        let surplus = (self.users.len() - keep + keep / 8).min(ages.len());
        if surplus == 0 {
            return 0;
        }
        ages.select_nth_unstable(surplus - 1);
        for (_, hash) in &ages[..surplus] {
            self.users.remove(hash);
        }
        surplus
    }
}

fn shared_owner(space: u8) -> Option<Owner> {
    space::SHARED.iter().position(|s| *s == space).map(|at| SHARED[at])
}

fn be_u32(bytes: &[u8]) -> Result<u32> {
    match bytes.get(..4) {
        Some(b) => Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]])),
        None => Err(Error::corrupt(0, "a key too short")),
    }
}

fn be_u64(bytes: &[u8]) -> Result<u64> {
    Ok(u64::from(be_u32(bytes)?) << 32 | u64::from(be_u32(bytes.get(4..).unwrap_or_default())?))
}

fn context_name(tail: &[u8], at: usize) -> Result<(u8, &str)> {
    let dimension = *tail.first().ok_or_else(|| Error::corrupt(0, "a key too short"))?;
    let value = tail.get(at..).and_then(|v| std::str::from_utf8(v).ok());
    Ok((dimension, value.ok_or_else(|| Error::corrupt(0, "a context value that is not UTF-8"))?))
}
