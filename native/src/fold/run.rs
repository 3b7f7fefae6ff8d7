//! Events that lie one after another in the log, folded a few at a time.
//!
//! Invariant: the state is what folding the frames one by one makes of it. A run only asks early for the memory that its
//! events will touch: people and items of neighbouring events have nothing to do with each other, and their records would
//! be waited for one after another.

use crate::ahead::fetch;
use crate::error::Result;
use crate::fold::facts::Known;
use crate::fold::state::{Person, Slot, State};
use crate::fold::step::{is_positive, step, Outcome, Told};
use crate::fold::user::User;
use crate::hash::Namespace;
use crate::log::Frame;
use crate::record::{Event, Hashes, Kind};

/// Events whose memory is asked for together: what they touch has to stay in the nearest caches until it is used.
const RUN_MAX: usize = 16;

impl State {
    /// Folds frames of any kind; true in `duplicate` where an event had been counted before. `hashes` are those of the
    /// frames, which are all events then; empty when they are not known.
    pub fn fold_run(
        &mut self,
        frames: &[Frame<'_>],
        hashes: &[Hashes],
        mut folded: impl FnMut(usize, bool),
    ) -> Result<()> {
        let is_event = |frame: &Frame<'_>| frame.header.kind == Kind::Event as u8;
        let mut at = 0;
        for alike in frames.chunk_by(|a, b| is_event(a) && is_event(b)) {
            for run in alike.chunks(RUN_MAX) {
                if is_event(&run[0]) {
                    self.fold_events(run, hashes.get(at..at + run.len()), |n, duplicate| folded(at + n, duplicate))?;
                } else {
                    for (n, frame) in run.iter().enumerate() {
                        folded(at + n, self.fold(frame)?);
                    }
                }
                at += run.len();
            }
        }
        Ok(())
    }

    fn fold_events(
        &mut self,
        frames: &[Frame<'_>],
        hashes: Option<&[Hashes]>,
        mut folded: impl FnMut(usize, bool),
    ) -> Result<()> {
        let events = frames.iter().map(|f| Event::decode(f.body)).collect::<Result<Vec<_>>>()?;
        let hashes_of = |n: usize, event| hashes.map_or_else(|| Hashes::of(event), |known| known[n]);
        let told: Vec<Told<'_>> = events.iter().enumerate().map(|(n, e)| Told::of(e, hashes_of(n, e))).collect();
        self.fetch(&told);
        for (n, (frame, told)) in frames.iter().zip(&told).enumerate() {
            let known = frame.end <= self.applied;
            let duplicate = known || !self.fold_event(frame.end, told);
            if !known {
                self.applied = frame.end;
                self.dirty.any = true;
            }
            folded(n, duplicate);
        }
        Ok(())
    }

    /// Lets people take these events and nobody else: what a step costs without what users share, so this state is of no
    /// further use. Without `steps` the events are read and that is all. For measurements.
    pub fn step_users(&mut self, frames: &[Frame<'_>], steps: bool) -> Result<usize> {
        let mut contributions = Vec::new();
        let mut accepted = 0;
        for run in frames.chunks(RUN_MAX) {
            let events = run.iter().map(|f| Event::decode(f.body)).collect::<Result<Vec<_>>>()?;
            if !steps {
                accepted += std::hint::black_box(events).len();
                continue;
            }
            let told: Vec<Told<'_>> = events.iter().map(|e| Told::of(e, Hashes::of(e))).collect();
            for one in &told {
                self.fetch_heads(one);
            }
            for one in &told {
                let used = self.admissions;
                let (namespace, id) = match one.event.user_id {
                    Some(user) => (Namespace::User, user),
                    None => (Namespace::Session, one.event.session_id),
                };
                let slot = self.users.entry(one.hashes.own()).or_insert_with(|| Slot::new(namespace, id, used));
                let Person::Known(user) = &mut slot.person else { continue };
                let items = Known { ids: self.catalogue.ids(), facts: &self.facts };
                contributions.clear();
                let stepped = step(user, one, &items, &self.config.caps, &mut contributions);
                accepted += usize::from(stepped.outcome == Outcome::Accepted);
                std::hint::black_box(&contributions);
            }
        }
        Ok(accepted)
    }

    /// Three rounds, because a place can only be asked for when what points to it is there.
    fn fetch(&self, events: &[Told<'_>]) {
        let found: Vec<(Option<&User>, Option<u32>)> = events.iter().map(|told| self.fetch_heads(told)).collect();
        for (told, (user, item)) in events.iter().zip(&found) {
            let hashes = &told.hashes;
            if let Some(user) = user {
                user.fetch(hashes.event_type);
            }
            let Some(item) = *item else { continue };
            if let Some(stats) = self.items.get(item as usize) {
                stats.fetch(hashes.event_type as u8);
            }
            fetch(self.facts.facts_at(item).categories);
            if is_positive(hashes.event_type) {
                self.covis.fetch(item, true);
            }
        }
        for (told, (_, item)) in events.iter().zip(&found) {
            let Some(item) = *item else { continue };
            for category in self.facts.facts_at(item).categories {
                if let Some(stats) = self.categories.get(*category) {
                    stats.fetch(told.hashes.event_type as u8);
                }
            }
            if is_positive(told.hashes.event_type) {
                for (dimension, value) in told.said.context.iter().enumerate() {
                    if let Some(context) = value.and_then(|value| self.contexts.get(dimension as u8, value)) {
                        context.fetch(item);
                    }
                }
            }
        }
    }

    /// The first round: the user and the item of an event.
    fn fetch_heads(&self, told: &Told<'_>) -> (Option<&User>, Option<u32>) {
        let hashes = &told.hashes;
        let user = self.fetched_user(hashes.own());
        if let Some(user) = user {
            fetch(user);
        }
        // Whether the session belongs to the user.
        if hashes.user.is_some() {
            self.users.get(&hashes.session).into_iter().for_each(fetch);
        }
        let item = hashes.item.and_then(|item| self.catalogue.ids().by_hash(item));
        if let Some(item) = item {
            self.catalogue.ids().fetch(item);
            self.items.get(item as usize).into_iter().for_each(fetch);
            self.facts.fetch(item);
            if is_positive(hashes.event_type) {
                self.covis.fetch(item, false);
                self.knn.fetch(hashes.session, item);
            }
        }
        (user, item)
    }

    fn fetched_user(&self, hash: u64) -> Option<&User> {
        match self.users.get(&hash) {
            Some(Slot { person: Person::Known(user), .. }) => Some(user),
            _ => None,
        }
    }
}
