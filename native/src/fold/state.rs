//! All views of one log in memory, and the loop that folds frames into them.
//!
//! Invariant: after `fold` of the frames up to an offset, every view is a function of the log up to that offset, however
//! the frames were batched, flushed or recovered. This file knows neither the disk nor Python: cold user records are
//! handed in by the caller (`missing`, `load`) and dirty ones are taken out (`persist.rs`).

use std::collections::{BTreeMap, VecDeque};

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::fold::caps::CapLimits;
use crate::fold::contexts::Contexts;
use crate::fold::facts::{FactTable, Known};
use crate::fold::marks::Marks;
use crate::fold::own::{Aggregates, Own};
use crate::fold::persist::Change;
use crate::fold::shared::{Categories, Stats, SERVED};
use crate::fold::split::Split;
use crate::fold::step::{step, Contribution, Outcome, Told};
use crate::fold::user::{EventIds, User};
use crate::hash::{key_hash, Namespace};
use crate::items::Catalogue;
use crate::log::Frame;
use crate::recall::covis::Covis;
use crate::recall::knn::{KnnLimits, SessionKnn};
use crate::record::{Activation, Decision, Event, EventType, Hashes, Kind, Link, Sent};

/// The bundle in use and the one before it, for going back.
const ACTIVATIONS_MAX: usize = 2;

/// What is fixed when a data directory is made or a shard is started.
#[derive(Debug, Clone)]
pub struct StateConfig {
    pub partitions: u16,
    pub caps: CapLimits,
    pub knn: KnnLimits,
    pub items: crate::items::Limits,
    pub embedding_length: Option<usize>,
    pub covis_neighbours_max: usize,
}

impl Default for StateConfig {
    fn default() -> Self {
        StateConfig {
            partitions: 256,
            caps: CapLimits::default(),
            knn: KnnLimits::default(),
            items: crate::items::Limits::default(),
            embedding_length: None,
            covis_neighbours_max: 64,
        }
    }
}

/// What is known of one user key.
#[derive(Debug, Clone, PartialEq)]
pub enum Person {
    /// A user, or a visitor without one.
    Known(Box<User>),
    /// A session whose doings joined this user.
    Linked(Box<str>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    pub namespace: Namespace,
    pub id: Box<str>,
    pub person: Person,
    /// Canonical JSON of what `PUT /v1/users` said.
    pub profile: Option<Box<[u8]>>,
    /// A team's own aggregates.
    pub own: Option<Box<Own>>,
    /// The latest events that a linked session sent without a user: sent again, they are duplicates, whoever the
    /// session belongs to now and whether or not its link record is folded.
    pub seen: EventIds,
    pub dirty: bool,
    /// Last use, in admissions; the longest unused clean record leaves the cache first.
    pub used: u64,
}

impl Slot {
    /// Of a key of which nothing is known yet.
    pub(super) fn new(namespace: Namespace, id: &str, used: u64) -> Slot {
        Slot {
            namespace,
            id: id.into(),
            person: Person::Known(Box::default()),
            profile: None,
            own: None,
            seen: EventIds::default(),
            dirty: false,
            used,
        }
    }
}

pub struct State {
    pub config: StateConfig,
    pub catalogue: Catalogue,
    pub facts: FactTable,
    pub users: FxHashMap<u64, Slot>,
    /// By item index.
    pub items: Vec<Stats>,
    /// By item index: grows with every change of the item's counts or data, for caches over them; never written.
    revisions: Vec<u32>,
    pub categories: Categories,
    pub contexts: Contexts,
    pub aggregates: Aggregates,
    pub global: Stats,
    pub covis: Covis,
    /// Co-visitation of carts and orders alone.
    pub bought: Covis,
    pub knn: SessionKnn,
    /// Offset up to which the log is folded.
    pub applied: u64,
    /// Latest accepted event time: the clock of a replayed log.
    pub events_now_ms: i64,
    pub events_total: u64,
    pub decisions_total: u64,
    /// User keys with at least one event of their own.
    pub users_total: u64,
    /// Bundles in the order of their activation, the latest first: (name, version), at most `ACTIVATIONS_MAX`.
    pub activations: Vec<(String, String)>,
    /// Body of the latest trial record; empty before the first.
    pub trial: Vec<u8>,
    /// How people are split while a bundle is tried; of this process, not of the log.
    pub split: Option<Split>,
    /// Links folded on the session's side and not yet on the user's, by source offset.
    pub links_due: BTreeMap<u64, (u64, Vec<u8>)>,
    pub admissions: u64,
    pub dirty: Dirty,
    /// A flush under way: what is still to be encoded, by space, and what is encoded and not yet handed out.
    pub unencoded: VecDeque<(u8, VecDeque<u64>)>,
    pub flushing: VecDeque<Change>,
    /// Items whose counts or data changed since the lists were last made.
    pub touched: Marks,
    /// Items put, changed or deleted since the tables of recall (vectors, text) last took them in.
    pub renewed: Marks,
    /// Empty between two events, kept for its memory.
    contributions: Vec<Contribution>,
}

/// What changed since the last flush.
#[derive(Default)]
pub struct Dirty {
    pub users: Vec<u64>,
    pub items: Marks,
    pub any: bool,
}

impl State {
    pub fn new(config: StateConfig) -> State {
        State {
            catalogue: Catalogue::default(),
            facts: FactTable::default(),
            users: FxHashMap::default(),
            items: Vec::new(),
            revisions: Vec::new(),
            categories: Categories::default(),
            contexts: Contexts::default(),
            aggregates: Aggregates::default(),
            global: Stats::default(),
            covis: Covis::new(config.covis_neighbours_max),
            bought: Covis::new(config.covis_neighbours_max),
            knn: SessionKnn::new(config.knn),
            applied: 0,
            events_now_ms: 0,
            events_total: 0,
            decisions_total: 0,
            users_total: 0,
            activations: Vec::new(),
            trial: Vec::new(),
            split: None,
            links_due: BTreeMap::new(),
            admissions: 0,
            dirty: Dirty::default(),
            unencoded: VecDeque::new(),
            flushing: VecDeque::new(),
            touched: Marks::default(),
            renewed: Marks::default(),
            contributions: Vec::new(),
            config,
        }
    }

    /// Folds one frame; true when it was an event that had been counted before. Links that become due are kept in
    /// `links_due` until their own record is folded.
    pub fn fold(&mut self, frame: &Frame<'_>) -> Result<bool> {
        if frame.end <= self.applied {
            return Ok(true);
        }
        let body = frame.body;
        let mut duplicate = false;
        match Kind::from_u8(frame.header.kind)? {
            Kind::Event => {
                let event = Event::decode(body)?;
                duplicate = !self.fold_event(frame.end, &Told::of(&event, Hashes::of(&event)));
            }
            Kind::Item => self.put_item(body, frame.header.received_ms as i64)?,
            Kind::ItemDelete => self.delete_item(body)?,
            Kind::ItemPatch => self.patch_item(body, frame.header.received_ms as i64)?,
            Kind::User => self.put_profile(frame.header.key_hash, body)?,
            Kind::Link => self.fold_link(&Link::decode(body)?)?,
            Kind::Decision => self.fold_decision(&Decision::decode(body)?),
            Kind::Activation => self.fold_activation(&Activation::decode(body)?),
            Kind::Trial => self.trial = body.to_vec(),
            Kind::Sent => self.fold_sent(&Sent::decode(body)?),
        }
        self.applied = frame.end;
        self.dirty.any = true;
        Ok(duplicate)
    }

    /// False when the event was counted before.
    pub(super) fn fold_event(&mut self, offset: u64, told: &Told<'_>) -> bool {
        let Told { event, hashes, .. } = told;
        self.intern_items(told);
        let resolved: Box<str>;
        let (namespace, id, hash) = match (event.user_id, event.linked_user, self.users.get(&hashes.session)) {
            (Some(user), _, _) => (Namespace::User, user, hashes.own()),
            (None, Some(user), _) => (Namespace::User, user, key_hash(Namespace::User, user)),
            (None, None, Some(Slot { person: Person::Linked(user), .. })) => {
                resolved = user.clone();
                (Namespace::User, &*resolved, key_hash(Namespace::User, &resolved))
            }
            (None, None, _) => (Namespace::Session, event.session_id, hashes.session),
        };
        match event.user_id {
            None if !self.first_of_linked(hashes.session, hashes.event) => return false,
            Some(user) if !self.is_linked(hashes.session, user) => {
                // A duplicate links nothing.
                if self.counted(hash, hashes.event) {
                    return false;
                }
                self.link(offset, hashes.session, event.session_id, user);
            }
            _ => {}
        }
        let used = self.admissions;
        let slot = self.users.entry(hash).or_insert_with(|| Slot::new(namespace, id, used));
        let Person::Known(user) = &mut slot.person else { return false };
        let first = user.version == 0;
        let mut contributions = std::mem::take(&mut self.contributions);
        let items = Known { ids: self.catalogue.ids(), facts: &self.facts };
        let anchors = self.aggregates.definitions.anchors(user, event, &items);
        let stepped = step(user, told, &items, &self.config.caps, &mut contributions);
        let accepted = stepped.outcome == Outcome::Accepted;
        if accepted {
            slot.used = used;
            mark(&mut slot.dirty, &mut self.dirty.users, hash);
            self.events_total += 1;
            self.users_total += u64::from(first);
            self.events_now_ms = self.events_now_ms.max(event.ts_ms);
            self.global.add_at(event.event_type as u8, &told.when);
            if let Some(split) = self.split.as_mut().filter(|_| event.event_type == EventType::Click) {
                split.clicked(hash);
            }
            for c in contributions.drain(..) {
                self.contribute(told, c);
            }
            if !self.aggregates.definitions.of_type(event.event_type).is_empty() {
                self.aggregate(told, hash, &stepped, &anchors);
            }
            self.follow_list(told);
        }
        self.contributions = contributions;
        accepted
    }

    /// The slot of a key and its hash, made if need be.
    pub(super) fn slot(&mut self, hash: u64, namespace: Namespace, id: &str) -> &mut Slot {
        let used = self.admissions;
        self.users.entry(hash).or_insert_with(|| Slot::new(namespace, id, used))
    }

    /// Whether a key in memory has counted this event.
    pub fn counted(&self, hash: u64, event_hash: u64) -> bool {
        self.user(hash).is_some_and(|u| u.dedupe.contains(event_hash))
    }

    fn fold_decision(&mut self, decision: &Decision<'_>) {
        self.decisions_total += 1;
        self.show_list(decision);
        if !decision.counts_served {
            return;
        }
        for shown in &decision.items {
            if let Some(item) = self.catalogue.ids().index(shown.item_id) {
                self.stats_mut(item).add(SERVED, decision.as_of_ms);
            }
        }
    }

    fn fold_activation(&mut self, activation: &Activation<'_>) {
        let bundle = (activation.name.to_owned(), activation.version.to_owned());
        if self.activations.first() != Some(&bundle) {
            self.activations.insert(0, bundle);
            self.activations.truncate(ACTIVATIONS_MAX);
        }
    }

    fn contribute(&mut self, told: &Told<'_>, c: Contribution) {
        let slot = told.event.event_type as u8;
        let ts_ms = told.event.ts_ms;
        match c {
            Contribution::Item { item } => {
                self.stats_mut(item).add_at(slot, &told.when);
                self.touched.insert(item);
            }
            Contribution::Revenue { item, value } => self.stats_mut(item).revenue.add(value),
            Contribution::Dwell { item, dwell_ms } => self.stats_mut(item).dwell.add(f64::from(dwell_ms)),
            Contribution::Category { category } => self.categories.change(category).add_at(slot, &told.when),
            Contribution::Pair { a, b } => {
                self.covis.add(a, b, ts_ms, 1);
                self.covis.add(b, a, ts_ms, 1);
            }
            Contribution::Together { a, b } => {
                self.bought.add(a, b, ts_ms, 1);
                self.bought.add(b, a, ts_ms, 1);
            }
            Contribution::Touch { item } => self.knn.touch(told.hashes.session, item, ts_ms),
            Contribution::Context { dimension, item } => {
                let Some(value) = told.context(dimension) else { return };
                let Some(context) = self.contexts.change(dimension, value) else { return };
                context.stats.add_at(slot, &told.when);
                if let Some(item) = item {
                    context.add_item_at(item, &told.when);
                }
            }
        }
    }

    pub fn stats_mut(&mut self, item: u32) -> &mut Stats {
        self.dirty.items.insert(item);
        self.item_stats(item)
    }

    /// The stats of an item, made if need be, without counting them as changed.
    pub fn item_stats(&mut self, item: u32) -> &mut Stats {
        let at = item as usize;
        self.revise(item);
        if self.items.len() <= at {
            self.items.resize_with(at + 1, Stats::default);
        }
        &mut self.items[at]
    }

    /// What was made of the item's counts and data while this answered the same is still right.
    #[inline]
    pub fn revision(&self, item: u32) -> u32 {
        self.revisions.get(item as usize).copied().unwrap_or_default()
    }

    fn revise(&mut self, item: u32) {
        let at = item as usize;
        if self.revisions.len() <= at {
            self.revisions.resize(at + 1, 0);
        }
        self.revisions[at] = self.revisions[at].wrapping_add(1);
    }

    fn intern_items(&mut self, told: &Told<'_>) {
        if let (Some(id), Some(hash)) = (told.event.item_id, told.hashes.item) {
            self.catalogue.intern_hashed(id, hash);
        }
        if matches!(told.event.event_type, EventType::Purchase | EventType::Refund) {
            if let Some(text) = told.said.items {
                for line in crate::event::purchase_items(text).unwrap_or_default() {
                    self.catalogue.intern(&line.item_id);
                }
            }
        }
    }

    fn put_item(&mut self, json: &[u8], received_ms: i64) -> Result<()> {
        let item = self.catalogue.upsert(json, received_ms)?;
        self.item_changed(item);
        Ok(())
    }

    fn delete_item(&mut self, id: &[u8]) -> Result<()> {
        let id = std::str::from_utf8(id).map_err(|_| Error::corrupt(0, "an item id that is not UTF-8"))?;
        if let Some(item) = self.catalogue.ids().index(id) {
            self.catalogue.delete(id);
            self.item_changed(item);
        }
        Ok(())
    }

    /// The patch was valid when admitted; one that no longer fits (its item was deleted meanwhile) changes nothing.
    fn patch_item(&mut self, body: &[u8], received_ms: i64) -> Result<()> {
        let mut r = crate::codec::Reader::new(body);
        let id = r.str()?;
        let current = self.catalogue.ids().index(id).and_then(|i| self.catalogue.json(i));
        if let Ok(merged) =
            crate::items::merge_patch(current, id, r.rest(), &self.config.items, self.config.embedding_length)
        {
            self.put_item(&merged, received_ms)?;
        }
        Ok(())
    }

    fn item_changed(&mut self, item: u32) {
        self.facts.update(&self.catalogue, item);
        self.revise(item);
        self.touched.insert(item);
        self.renewed.insert(item);
    }
}

/// Marks a record as changed.
pub(super) fn mark(flag: &mut bool, list: &mut Vec<u64>, hash: u64) {
    if !*flag {
        *flag = true;
        list.push(hash);
    }
}
