//! Counts under one value of a context dimension, such as device = mobile: of everything, and of each item.
//!
//! Invariant: what is kept depends on the folded log alone; which of it was already stored only decides whether a
//! removal has to be written. The hash maps here are looked up, and sorted before anything of them goes out.

use rustc_hash::FxHashMap;

use crate::fold::counter::Counter;
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

/// A change of an item under a context: its counter, or none when it was removed.
pub type ItemChange<'c> = (u32, Option<&'c Counter>);

impl Context {
    pub fn item(&self, item: u32) -> Option<&Counter> {
        self.items.get(&item).map(|e| &e.counter)
    }

    /// Items with their counters, in no order.
    pub fn items(&self) -> impl Iterator<Item = (u32, &Counter)> {
        self.items.iter().map(|(item, e)| (*item, &e.counter))
    }

    /// Counts an interaction; past twice the bound, the items seen longest ago make room (ties: the smaller total,
    /// then the smaller index goes).
    pub fn add_item(&mut self, item: u32, ts_ms: i64) {
        let entry = self.items.entry(item).or_default();
        entry.counter.add(ts_ms, 1);
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

    /// Visits what changed since the last call, ascending.
    fn take_items(&mut self, mut visit: impl FnMut(ItemChange<'_>)) {
        let mut changed = std::mem::take(&mut self.dirty_items);
        changed.sort_unstable();
        changed.dedup();
        for item in changed {
            match self.items.get_mut(&item) {
                Some(entry) => {
                    (entry.dirty, entry.stored) = (false, true);
                    visit((item, Some(&entry.counter)));
                }
                None => visit((item, None)),
            }
        }
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

    /// Visits each context that changed since the last call, with its stats, then its changed items.
    pub fn take_changes(
        &mut self,
        mut stats: impl FnMut(u8, &str, &Stats),
        mut item: impl FnMut(u8, &str, ItemChange<'_>),
    ) {
        for at in self.dirty.take() {
            let (dimension, value, context) = &mut self.rows[at as usize];
            stats(*dimension, value, &context.stats);
            context.take_items(|change| item(*dimension, value, change));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn taken(contexts: &mut Contexts) -> Vec<(u32, bool)> {
        let mut found = Vec::new();
        contexts.take_changes(|_, _, _| (), |_, _, (item, counter)| found.push((item, counter.is_some())));
        found
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
