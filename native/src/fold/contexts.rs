//! Counts under one value of a context dimension, such as device = mobile: of everything, and of each item.
//!
//! Invariant: what is kept depends on the folded log alone; which of it was already stored only decides whether a
//! removal has to be written. The hash maps here are looked up, and sorted before anything of them goes out.

use rustc_hash::FxHashMap;

use crate::ahead::fetch;
use crate::fold::counter::{Counter, When};
use crate::fold::marks::Marks;
use crate::fold::shared::Stats;

pub const DIMENSIONS: [&str; 3] = ["device", "country", "channel"];
/// Values remembered per dimension; what comes later is not told apart.
const VALUES_MAX: usize = 256;
/// Items remembered per context value.
const CONTEXT_ITEMS_MAX: usize = 1_000;

#[derive(Debug, Clone, Default)]
struct Entry {
    counter: Counter,
    dirty: bool,
    /// A flush has written it, so its removal must be written too.
    stored: bool,
}

/// One value of a context dimension.
#[derive(Debug, Clone, Default)]
pub struct Context {
    pub stats: Stats,
    items: FxHashMap<u32, Entry>,
    dirty_items: Vec<u32>,
}

/// Names one item under one context, for a flush under way.
fn place_of(context: u32, item: u32) -> u64 {
    u64::from(context) << 32 | u64::from(item)
}

impl Context {
    pub fn item(&self, item: u32) -> Option<&Counter> {
        self.items.get(&item).map(|e| &e.counter)
    }

    /// Asks for the counter of an item.
    pub fn fetch(&self, item: u32) {
        if let Some(entry) = self.items.get(&item) {
            fetch(entry);
        }
    }

    /// Items with their counters, in no order.
    pub fn items(&self) -> impl Iterator<Item = (u32, &Counter)> {
        self.items.iter().map(|(item, e)| (*item, &e.counter))
    }

    /// Counts an interaction; past twice the bound, the items seen longest ago make room (ties: the smaller total,
    /// then the smaller index goes).
    pub fn add_item(&mut self, item: u32, ts_ms: i64) {
        self.add_item_at(item, &When::at(ts_ms));
    }

    pub fn add_item_at(&mut self, item: u32, when: &When) {
        let entry = self.items.entry(item).or_default();
        entry.counter.add_at(when, 1);
        if !entry.dirty {
            entry.dirty = true;
            self.dirty_items.push(item);
        }
        if self.items.len() > 2 * CONTEXT_ITEMS_MAX {
            self.make_room();
        }
    }

    fn make_room(&mut self) {
        let mut order: Vec<(i64, u64, u32)> =
            self.items.iter().map(|(i, e)| (e.counter.newest_ms(), e.counter.total(), *i)).collect();
        let surplus = order.len() - CONTEXT_ITEMS_MAX;
        order.select_nth_unstable(surplus);
        for (_, _, item) in &order[..surplus] {
            if self.items.remove(item).is_some_and(|e| e.stored && !e.dirty) {
                self.dirty_items.push(*item);
            }
        }
    }

    pub fn restore_item(&mut self, item: u32, counter: Counter) {
        self.items.insert(item, Entry { counter, dirty: false, stored: true });
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
        let entry = self.items.get_mut(&item)?;
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
        assert!(contexts.change(2, "web").is_some() && contexts.change(3, "web").is_none());
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
