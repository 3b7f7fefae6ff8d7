//! Counts under one value of a context dimension, such as device = mobile: of everything, and of each item.
//!
//! Invariant: what is kept depends on the folded log alone; which of it was already stored only decides whether a
//! removal has to be written. The hash maps here are looked up, and sorted before anything of them goes out.

use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashMap;

use crate::ahead::fetch;
use crate::fold::counter::{Counter, When, Window};
use crate::fold::marks::Marks;
use crate::fold::shared::Stats;

pub const DIMENSIONS: [&str; 4] = ["device", "country", "channel", "hours"];
/// Place of the part of the day in `DIMENSIONS`: events have it from their time, the others from their props.
pub const HOURS: u8 = 3;

/// The four hours of the day (UTC) that a moment lies in.
pub fn hours_of(ts_ms: i64) -> &'static str {
    const PARTS: [&str; 6] = ["0-3", "4-7", "8-11", "12-15", "16-19", "20-23"];
    PARTS[(ts_ms.div_euclid(4 * 3_600_000).rem_euclid(6)) as usize]
}
/// Values remembered per dimension; what comes later is not told apart.
const VALUES_MAX: usize = 256;
/// Items remembered per context value.
const CONTEXT_ITEMS_MAX: usize = 1_000;

#[derive(Debug, Clone)]
struct Entry {
    item: u32,
    counter: Counter,
    dirty: bool,
    /// A flush has written it, so its removal must be written too.
    stored: bool,
}

/// The count of the window that an entry was asked for last: the moment and the window, then the count in the last bits.
/// Lists ask for the same window of the same few hundred items; a counter is three cache lines, this is a word.
///
/// Invariant: 0, or what the counter says; whoever changes the counter writes 0.
#[derive(Debug, Default)]
struct Asked(AtomicU64);

const ASKED_COUNT_BITS: u32 = 24;

impl Asked {
    fn count(&self, window: Window, as_of_ms: i64, of: impl FnOnce() -> u64) -> u64 {
        let moment = Counter::moment_of(window, as_of_ms) as u64;
        // What does not fit, such as a moment before 1970, is not kept.
        if moment >= 1 << (61 - ASKED_COUNT_BITS) {
            return of();
        }
        let key = moment << 3 | (window as u64 + 1);
        let held = self.0.load(Ordering::Relaxed);
        if held >> ASKED_COUNT_BITS == key {
            return held & ((1 << ASKED_COUNT_BITS) - 1);
        }
        let count = of();
        if count < 1 << ASKED_COUNT_BITS {
            self.0.store(key << ASKED_COUNT_BITS | count, Ordering::Relaxed);
        }
        count
    }
}

impl Clone for Asked {
    fn clone(&self) -> Asked {
        Asked(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

/// One value of a context dimension.
#[derive(Debug, Clone, Default)]
pub struct Context {
    pub stats: Stats,
    /// Place of each item in `entries`. A list asks for hundreds of items at a time: a table of places alone stays in the
    /// near caches, one of counters does not.
    places: FxHashMap<u32, u32>,
    entries: Vec<Entry>,
    /// Beside `entries`.
    asked: Vec<Asked>,
    dirty_items: Vec<u32>,
}

/// Names one item under one context, for a flush under way.
fn place_of(context: u32, item: u32) -> u64 {
    u64::from(context) << 32 | u64::from(item)
}

impl Context {
    pub fn item(&self, item: u32) -> Option<&Counter> {
        self.entry(item).map(|e| &e.counter)
    }

    fn entry(&self, item: u32) -> Option<&Entry> {
        self.entries.get(*self.places.get(&item)? as usize)
    }

    /// Events of an item in the window that ends at `as_of_ms`; None of an item that is not remembered.
    #[inline]
    pub fn count(&self, item: u32, window: Window, as_of_ms: i64) -> Option<u64> {
        let at = *self.places.get(&item)? as usize;
        let entry = || self.entries.get(at).map_or(0, |e| e.counter.in_window(window, as_of_ms));
        Some(self.asked.get(at)?.count(window, as_of_ms, entry))
    }

    /// Asks for the counter of an item.
    pub fn fetch(&self, item: u32) {
        self.entry(item).into_iter().for_each(fetch);
    }

    /// Items with their counters, in no order.
    pub fn items(&self) -> impl Iterator<Item = (u32, &Counter)> {
        self.entries.iter().map(|e| (e.item, &e.counter))
    }

    /// The entry to count in, made if need be.
    fn entry_mut(&mut self, item: u32) -> &mut Entry {
        let (entries, asked) = (&mut self.entries, &mut self.asked);
        let at = *self.places.entry(item).or_insert_with(|| {
            entries.push(Entry { item, counter: Counter::default(), dirty: false, stored: false });
            asked.push(Asked::default());
            entries.len() as u32 - 1
        });
        self.asked[at as usize] = Asked::default();
        &mut self.entries[at as usize]
    }

    fn remove(&mut self, item: u32) -> Option<Entry> {
        let at = self.places.remove(&item)?;
        let removed = self.entries.swap_remove(at as usize);
        self.asked.swap_remove(at as usize);
        if let Some(moved) = self.entries.get(at as usize) {
            self.places.insert(moved.item, at);
        }
        Some(removed)
    }

    /// Counts an interaction; past twice the bound, the items seen longest ago make room (ties: the smaller total,
    /// then the smaller index goes).
    pub fn add_item(&mut self, item: u32, ts_ms: i64) {
        self.add_item_at(item, &When::at(ts_ms));
    }

    pub fn add_item_at(&mut self, item: u32, when: &When) {
        let entry = self.entry_mut(item);
        entry.counter.add_at(when, 1);
        if !std::mem::replace(&mut entry.dirty, true) {
            self.dirty_items.push(item);
        }
        if self.entries.len() > 2 * CONTEXT_ITEMS_MAX {
            self.make_room();
        }
    }

    fn make_room(&mut self) {
        let mut order: Vec<(i64, u64, u32)> =
            self.entries.iter().map(|e| (e.counter.newest_ms(), e.counter.total(), e.item)).collect();
        let surplus = order.len() - CONTEXT_ITEMS_MAX;
        order.select_nth_unstable(surplus);
        for (_, _, item) in &order[..surplus] {
            if self.remove(*item).is_some_and(|e| e.stored && !e.dirty) {
                self.dirty_items.push(*item);
            }
        }
    }

    pub fn restore_item(&mut self, item: u32, counter: Counter) {
        *self.entry_mut(item) = Entry { item, counter, dirty: false, stored: true };
    }

    /// Items that changed since the last call, ascending.
    fn take_items(&mut self) -> Vec<u32> {
        let mut changed = std::mem::take(&mut self.dirty_items);
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// The counter of an item, none when it was removed; from now on it counts as stored.
    fn store_item(&mut self, item: u32) -> Option<&Counter> {
        let entry = self.entries.get_mut(*self.places.get(&item)? as usize)?;
        (entry.dirty, entry.stored) = (false, true);
        Some(&entry.counter)
    }
}

/// All context values, by (dimension, value).
#[derive(Debug, Clone, Default)]
pub struct Contexts {
    rows: Vec<(u8, Box<str>, Context)>,
    by_name: [FxHashMap<Box<str>, u32>; DIMENSIONS.len()],
    dirty: Marks,
}

impl Contexts {
    pub fn get(&self, dimension: u8, value: &str) -> Option<&Context> {
        let at = *self.by_name.get(usize::from(dimension))?.get(value)?;
        self.rows.get(at as usize).map(|(_, _, context)| context)
    }

    /// The context to count in, counted as changed; None when the dimension has all the values it may have.
    pub fn change(&mut self, dimension: u8, value: &str) -> Option<&mut Context> {
        let at = self.place(dimension, value)?;
        self.dirty.insert(at);
        self.rows.get_mut(at as usize).map(|(_, _, context)| context)
    }

    /// The context to put stored counts into.
    pub fn restore(&mut self, dimension: u8, value: &str) -> Option<&mut Context> {
        let at = self.place(dimension, value)?;
        self.rows.get_mut(at as usize).map(|(_, _, context)| context)
    }

    fn place(&mut self, dimension: u8, value: &str) -> Option<u32> {
        let names = self.by_name.get_mut(usize::from(dimension))?;
        if let Some(at) = names.get(value) {
            return Some(*at);
        }
        if names.len() >= VALUES_MAX {
            return None;
        }
        let at = self.rows.len() as u32;
        names.insert(value.into(), at);
        self.rows.push((dimension, value.into(), Context::default()));
        Some(at)
    }

    /// What changed since the last call, ascending: contexts for `stats_at`, items under them for `store_item_at`. Nothing
    /// may be counted until all of it was asked for.
    pub fn take_changes(&mut self) -> (Vec<u64>, Vec<u64>) {
        let contexts = self.dirty.take();
        let mut items = Vec::new();
        for at in &contexts {
            let changed = self.rows[*at as usize].2.take_items();
            items.extend(changed.into_iter().map(|item| place_of(*at, item)));
        }
        (contexts.into_iter().map(u64::from).collect(), items)
    }

    /// Dimension, value and stats of a context that changed.
    pub fn stats_at(&self, context: u64) -> Option<(u8, &str, &Stats)> {
        self.rows.get(context as usize).map(|(dimension, value, context)| (*dimension, &**value, &context.stats))
    }

    /// Dimension, value, item and its counter, none when it was removed; from now on it counts as stored.
    pub fn store_item_at(&mut self, place: u64) -> Option<(u8, &str, u32, Option<&Counter>)> {
        let item = place as u32;
        let (dimension, value, context) = self.rows.get_mut((place >> 32) as usize)?;
        Some((*dimension, value, item, context.store_item(item)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn taken(contexts: &mut Contexts) -> Vec<(u32, bool)> {
        let (_, items) = contexts.take_changes();
        let kept = |place| contexts.store_item_at(place).map(|(_, _, item, counter)| (item, counter.is_some()));
        items.into_iter().filter_map(kept).collect()
    }

    #[test]
    fn a_context_is_bounded_and_forgets_the_oldest() {
        let mut contexts = Contexts::default();
        let c = contexts.change(0, "phone").unwrap();
        for i in 0..=2 * CONTEXT_ITEMS_MAX as u32 {
            c.add_item(i, NOW + i64::from(i));
        }
        assert_eq!(c.items().count(), CONTEXT_ITEMS_MAX);
        assert!(c.item(2 * CONTEXT_ITEMS_MAX as u32).is_some() && c.item(CONTEXT_ITEMS_MAX as u32).is_none());
        for v in 0..300 {
            contexts.change(1, &format!("v{v}"));
        }
        assert!(contexts.change(1, "v0").is_some() && contexts.change(1, "v299").is_none());
        assert!(contexts.change(2, "web").is_some() && contexts.change(4, "web").is_none());
    }

    #[test]
    fn a_day_has_six_parts() {
        let hour = |h: i64| hours_of(20_000 * 86_400_000 + h * 3_600_000);
        assert_eq!([hour(0), hour(3), hour(4), hour(15), hour(23)], ["0-3", "0-3", "4-7", "12-15", "20-23"]);
        assert_eq!(hours_of(-1), "20-23");
    }

    #[test]
    fn every_item_keeps_its_counter_when_others_leave() {
        let mut c = Context::default();
        for round in 0..5 {
            for i in 0..1_500u32 {
                for _ in 0..=i % 3 {
                    c.add_item(i * 7 % 1_500 + 400 * round, NOW + i64::from(round * 1_500 + i));
                }
            }
        }
        let held: Vec<(u32, u64)> = c.items().map(|(item, counter)| (item, counter.total())).collect();
        assert_eq!((held.len(), c.places.len()), (c.entries.len(), c.entries.len()));
        for (item, total) in held {
            assert_eq!(c.item(item).map(Counter::total), Some(total));
            assert_eq!(c.count(item, Window::Lifetime, NOW), Some(total));
        }
        assert_eq!(c.count(1_000_000, Window::Lifetime, NOW), None);
    }

    #[test]
    fn what_was_asked_for_is_forgotten_when_the_counter_or_the_moment_changes() {
        const DAY: i64 = 86_400_000;
        let mut c = Context::default();
        let windows = [Window::Minutes5, Window::Hour, Window::Day, Window::Week, Window::Lifetime];
        for step in 0..60i64 {
            c.add_item((step % 7) as u32, NOW + step * DAY / 9);
            for as_of in [NOW + step * DAY / 9, NOW + step * DAY / 9 + 61_000, NOW + 9 * DAY, -1, i64::MAX] {
                for (item, counter) in c.items() {
                    for window in windows {
                        for _ in 0..2 {
                            assert_eq!(c.count(item, window, as_of), Some(counter.in_window(window, as_of)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn removals_of_what_was_stored_are_changes() {
        let mut contexts = Contexts::default();
        contexts.change(0, "phone").unwrap().add_item(7, NOW);
        assert_eq!(taken(&mut contexts), [(7, true)]);
        assert_eq!(taken(&mut contexts), []);
        let c = contexts.change(0, "phone").unwrap();
        for i in 1_000..1_000 + 2 * CONTEXT_ITEMS_MAX as u32 {
            c.add_item(i, NOW + i64::from(i));
        }
        let changes = taken(&mut contexts);
        assert_eq!(changes.iter().filter(|(_, kept)| *kept).count(), CONTEXT_ITEMS_MAX);
        assert_eq!(changes[0], (7, false), "what was stored is removed there too");
        contexts.restore(0, "phone").unwrap().restore_item(9, Counter::default());
        assert_eq!(taken(&mut contexts), [], "what was read back has not changed");
    }
}
