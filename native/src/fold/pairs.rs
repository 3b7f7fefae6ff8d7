//! A team's aggregates of two items: what the session took up last, and the item that came after it.
//!
//! An accumulator in memory is over a kilobyte and most pairs are seen once, so a pair holds its accumulators as the store
//! does, in a few bytes, and they are read and written again for each event. Invariant: an anchor has at most
//! `PARTNERS_MAX` partners, and which ones is a function of what was added in its order.

use rustc_hash::FxHashMap;

use crate::codec::{put_bytes, put_i64, put_u64, Reader};
use crate::error::{Error, Result};
use crate::fold::aggregate::{Definitions, Entry};
use crate::fold::step::{is_positive, Items};
use crate::fold::user::{Recent, User};
use crate::record::Event;

/// Items that are counted after one item.
pub const PARTNERS_MAX: usize = 64;

#[derive(Debug, Clone)]
struct Partner {
    item: u32,
    /// What was added, of whatever definition, since it took its place.
    count: u32,
    last_ms: i64,
    entries: Box<[u8]>,
}

#[derive(Debug, Default)]
struct Row {
    partners: Vec<Partner>,
    dirty: bool,
}

#[derive(Debug, Default)]
pub struct Pairs {
    rows: FxHashMap<u32, Row>,
    dirty: Vec<u32>,
}

impl Definitions {
    /// What the event's session took up last before the event, by its time; nothing when no pair may be counted.
    pub fn anchors(&self, user: &User, event: &Event<'_>, items: &impl Items) -> [Option<u32>; 2] {
        if !self.count_pairs(event.event_type) {
            return [None; 2];
        }
        let Some(session) = user.session(event.session_id) else { return [None; 2] };
        let here = user.recent.iter().rev().filter(|r| r.session == session.number && r.ts_ms <= event.ts_ms);
        last_wishes(here).map(|item| items.index(item?))
    }
}

/// The last two different items that are wanted in entries of a session, the latest first.
pub fn last_wishes<'r>(latest_first: impl Iterator<Item = &'r Recent>) -> [Option<u64>; 2] {
    let mut wanted = latest_first.filter(|r| is_positive(r.event_type)).map(|r| r.item);
    let last = wanted.next();
    [last, wanted.find(|item| Some(*item) != last)]
}

/// The item that another one is counted after: nothing comes after itself.
pub fn anchor_of(item: u32, anchors: &[Option<u32>]) -> Option<u32> {
    anchors.iter().flatten().copied().find(|anchor| *anchor != item)
}

impl Pairs {
    /// Lets `add` change what is kept of a pair. When the anchor is full, its partner with the lowest count goes, then the
    /// oldest, then the lowest index.
    pub fn change(
        &mut self,
        definitions: &Definitions,
        (anchor, item): (u32, u32),
        ts_ms: i64,
        add: impl FnOnce(&mut Vec<Entry>) -> bool,
    ) {
        let known = self.get(definitions, anchor, item);
        let is_new = known.is_none();
        let mut entries = known.unwrap_or_default();
        if !add(&mut entries) {
            return;
        }
        let row = self.rows.entry(anchor).or_default();
        let mut bytes = Vec::new();
        definitions.encode_entries(&entries, &mut bytes);
        if is_new {
            let newcomer = Partner { item, count: 1, last_ms: ts_ms, entries: bytes.into() };
            if row.partners.len() < PARTNERS_MAX {
                row.partners.push(newcomer);
            } else if let Some(weakest) = row.partners.iter_mut().min_by_key(|p| (p.count, p.last_ms, p.item)) {
                *weakest = newcomer;
            }
        } else if let Some(partner) = row.partners.iter_mut().find(|p| p.item == item) {
            partner.count = partner.count.saturating_add(1);
            partner.last_ms = partner.last_ms.max(ts_ms);
            partner.entries = bytes.into();
        }
        if !std::mem::replace(&mut row.dirty, true) {
            self.dirty.push(anchor);
        }
    }

    /// What was counted of a pair; None when nothing is kept of it.
    pub fn get(&self, definitions: &Definitions, anchor: u32, item: u32) -> Option<Vec<Entry>> {
        let partner = self.rows.get(&anchor)?.partners.iter().find(|p| p.item == item)?;
        definitions.decode_entries(&mut Reader::new(&partner.entries)).ok()
    }

    pub fn anchors(&self) -> usize {
        self.rows.len()
    }

    /// How many items are counted after that one.
    pub fn partners(&self, anchor: u32) -> usize {
        self.rows.get(&anchor).map_or(0, |row| row.partners.len())
    }

    pub fn heap_bytes(&self) -> usize {
        let of = |row: &Row| {
            row.partners.capacity() * size_of::<Partner>() + row.partners.iter().map(|p| p.entries.len()).sum::<usize>()
        };
        self.rows.capacity() * (size_of::<(u32, Row)>() + 1) + self.rows.values().map(of).sum::<usize>()
    }

    /// Anchors that changed since the last call, ascending.
    pub fn take_dirty(&mut self) -> Vec<u32> {
        let mut anchors = std::mem::take(&mut self.dirty);
        anchors.sort_unstable();
        for anchor in &anchors {
            if let Some(row) = self.rows.get_mut(anchor) {
                row.dirty = false;
            }
        }
        anchors
    }

    pub fn entry_bytes(&self, anchor: u32) -> Option<Vec<u8>> {
        let row = self.rows.get(&anchor)?;
        let mut out = Vec::new();
        put_u64(&mut out, row.partners.len() as u64);
        for partner in &row.partners {
            put_u64(&mut out, u64::from(partner.item));
            put_u64(&mut out, u64::from(partner.count));
            put_i64(&mut out, partner.last_ms);
            put_bytes(&mut out, &partner.entries);
        }
        Some(out)
    }

    /// Takes in what `entry_bytes` gave; pairs of other definitions are left out.
    pub fn restore(&mut self, definitions: &Definitions, anchor: u32, r: &mut Reader<'_>) -> Result<()> {
        let n = r.u64()? as usize;
        if n > PARTNERS_MAX {
            return Err(Error::corrupt(0, "too many partners of an item"));
        }
        let narrow = |v: u64| u32::try_from(v).map_err(|_| Error::corrupt(0, "a pair out of range"));
        let mut partners = Vec::with_capacity(n);
        for _ in 0..n {
            let (item, count, last_ms) = (narrow(r.u64()?)?, narrow(r.u64()?)?, r.i64()?);
            let entries = definitions.decode_entries(&mut Reader::new(r.bytes()?))?;
            if !entries.is_empty() {
                let mut bytes = Vec::new();
                definitions.encode_entries(&entries, &mut bytes);
                partners.push(Partner { item, count, last_ms, entries: bytes.into() });
            }
        }
        if !partners.is_empty() {
            self.rows.insert(anchor, Row { partners, dirty: false });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::aggregate::{find, Acc};
    use crate::fold::counter::{When, Window};

    const NOW: i64 = 1_700_000_000_000;

    fn definitions() -> Definitions {
        Definitions::parse(br#"[{"key":"00000000000000aa","owner":"item_pair","keeps":"count"}]"#).unwrap()
    }

    fn add(pairs: &mut Pairs, definitions: &Definitions, anchor: u32, item: u32, ts_ms: i64) {
        pairs.change(definitions, (anchor, item), ts_ms, |entries| {
            let count = match entries.first_mut() {
                Some(Entry { acc: Acc::Count(count), .. }) => count,
                _ => {
                    entries.push(Entry { at: 0, acc: Acc::Count(Box::default()) });
                    let Some(Entry { acc: Acc::Count(count), .. }) = entries.first_mut() else { return false };
                    count
                }
            };
            count.add_at(&When::at(ts_ms), 1);
            true
        });
    }

    fn count(pairs: &Pairs, definitions: &Definitions, anchor: u32, item: u32) -> Option<u64> {
        match find(&pairs.get(definitions, anchor, item)?, 0)? {
            Acc::Count(count) => Some(count.in_window(Window::Hour, NOW)),
            _ => None,
        }
    }

    #[test]
    fn pairs_are_counted_one_way_and_come_back_from_bytes() {
        let (definitions, mut pairs) = (definitions(), Pairs::default());
        for _ in 0..3 {
            add(&mut pairs, &definitions, 1, 2, NOW);
        }
        add(&mut pairs, &definitions, 2, 1, NOW);
        let counts = |pairs: &Pairs| [(1, 2), (2, 1), (1, 3)].map(|(a, b)| count(pairs, &definitions, a, b));
        assert_eq!(counts(&pairs), [Some(3), Some(1), None]);
        assert_eq!((pairs.take_dirty(), pairs.take_dirty()), (vec![1, 2], vec![]));
        let mut again = Pairs::default();
        for anchor in [1, 2] {
            let bytes = pairs.entry_bytes(anchor).unwrap();
            again.restore(&definitions, anchor, &mut Reader::new(&bytes)).unwrap();
            assert!(again.restore(&definitions, anchor, &mut Reader::new(&bytes[..bytes.len() - 1])).is_err());
        }
        assert_eq!(counts(&again), counts(&pairs));
        assert_eq!((again.anchors(), again.partners(1), pairs.entry_bytes(7)), (2, 1, None));
    }

    #[test]
    fn a_full_anchor_loses_what_was_counted_least_then_longest_ago() {
        let (definitions, mut pairs) = (definitions(), Pairs::default());
        for item in 0..PARTNERS_MAX as u32 {
            add(&mut pairs, &definitions, 999, item, NOW - i64::from(item % 2));
            if item != 4 && item != 7 {
                add(&mut pairs, &definitions, 999, item, NOW);
            }
        }
        for (newcomer, gone) in [(500, 7), (501, 4), (502, 500)] {
            assert!(count(&pairs, &definitions, 999, gone).is_some());
            add(&mut pairs, &definitions, 999, newcomer, NOW);
            assert_eq!(count(&pairs, &definitions, 999, newcomer), Some(1));
            assert_eq!(count(&pairs, &definitions, 999, gone), None);
            assert_eq!((pairs.anchors(), pairs.partners(999)), (1, PARTNERS_MAX));
        }
    }

    #[test]
    fn nothing_comes_after_itself() {
        assert_eq!(anchor_of(1, &[Some(1), Some(2)]), Some(2));
        assert_eq!(anchor_of(3, &[None, Some(1), Some(2)]), Some(1));
        assert_eq!(anchor_of(1, &[None, Some(1), None]), None);
    }
}
