//! A team's own aggregates: what is counted, of which events, for whom, and the accumulators that hold it.
//!
//! A definition is named by a key that is a fingerprint of its meaning; features read accumulators by that key. Every
//! accumulator is bounded and a function of what was added, whatever the order. Invariant: counts of two meanings are
//! never mixed: stored bytes carry a tag of the key and of where in the log counting began, and bytes of another tag are
//! left aside. It does not know whose accumulators they are.

use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::codec::{put_bytes, put_i64, put_u64, Reader};
use crate::error::{Error, Result};
use crate::fold::arms::{ARM_DIMENSIONS, EXPLORED};
use crate::fold::condition::{Condition, Field, Kind, Seen, ALL_TYPES};
use crate::fold::contexts::DIMENSIONS;
use crate::fold::counter::{Counter, When};
use crate::fold::distinct::Distinct;
use crate::fold::windowed::{Largest, Sum, Windowed};
use crate::hash::id_hash;
use crate::record::EventType;

/// Definitions of one shard.
pub const AGGREGATES_MAX: usize = 64;
const VERSION: u8 = 1;

/// Whose accumulators a definition fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    User,
    Session,
    Item,
    Category,
    Seller,
    Context,
    /// What the session took up last, and the item of the event.
    ItemPair,
    /// A way of making lists.
    Arm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Keeps {
    Count,
    Sum,
    Max,
    Min,
    Last,
    Distinct,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    key: String,
    owner: Owner,
    keeps: Keeps,
    #[serde(rename = "where")]
    condition: Option<Condition>,
    of: Option<Field>,
    /// Of the owners `context` and `arm`.
    dimension: Option<String>,
    /// Counts refunds at the time of the purchase that they take back.
    #[serde(default)]
    back: bool,
}

#[derive(Debug)]
pub struct Definition {
    pub key: u64,
    pub owner: Owner,
    /// Place in `DIMENSIONS`, of an arm in `ARM_DIMENSIONS`.
    pub dimension: usize,
    keeps: Keeps,
    condition: Option<Condition>,
    of: Option<Field>,
    /// Counted for each line of an event and not for the event as a whole.
    pub per_line: bool,
    /// Counted at the time of the purchase that is taken back.
    pub back: bool,
    /// Offset of the log from which on events are counted.
    pub since: u64,
    tag: u32,
}

fn tag_of(key: u64, since: u64) -> u32 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&key.to_le_bytes());
    bytes[8..].copy_from_slice(&since.to_le_bytes());
    xxhash_rust::xxh3::xxh3_64(&bytes) as u32
}

/// The 16 hexadecimal digits of a fingerprint.
pub fn parse_key(text: &str) -> Option<u64> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

impl Definition {
    fn compile(spec: Spec) -> Result<Definition> {
        let refuse = |message: &str| Error::invalid("bad_feature", spec.key.clone(), message);
        let key = parse_key(&spec.key).ok_or_else(|| refuse("a key is 16 hexadecimal digits"))?;
        let of_kind = spec.of.as_ref().map(|f| f.kind);
        let fits = match spec.keeps {
            Keeps::Count => of_kind.is_none(),
            Keeps::Sum | Keeps::Max | Keeps::Min => of_kind == Some(Kind::Number),
            Keeps::Last => matches!(of_kind, Some(Kind::Number | Kind::Text)),
            Keeps::Distinct => matches!(of_kind, Some(Kind::Number | Kind::Text | Kind::Texts)),
        };
        if !fits {
            return Err(refuse("`of` does not fit what is kept"));
        }
        let dimension = match (spec.owner, spec.dimension.as_deref()) {
            (Owner::Context, Some(name)) => DIMENSIONS.iter().position(|d| *d == name),
            (Owner::Arm, Some(name)) => ARM_DIMENSIONS.iter().position(|d| *d == name),
            (Owner::Context | Owner::Arm, None) => None,
            _ => Some(0),
        };
        let per_item = matches!(spec.owner, Owner::Item | Owner::Category | Owner::Seller | Owner::ItemPair);
        let of_drawn = spec.owner == Owner::Arm && dimension == Some(EXPLORED);
        let of_line = spec.condition.as_ref().is_some_and(Condition::is_of_line)
            || spec.of.as_ref().is_some_and(Field::is_of_line);
        Ok(Definition {
            key,
            owner: spec.owner,
            dimension: dimension.ok_or_else(|| refuse("an unknown dimension"))?,
            keeps: spec.keeps,
            condition: spec.condition,
            of: spec.of,
            per_line: per_item || of_line || of_drawn,
            back: spec.back,
            since: 0,
            tag: tag_of(key, 0),
        })
    }

    pub fn counts(&self, seen: &Seen<'_>) -> bool {
        self.condition.as_ref().is_none_or(|c| c.holds(seen))
    }

    /// Adds what an event says; nothing when it says nothing that can be added.
    pub fn add(&self, entries: &mut Vec<Entry>, at: u16, seen: &Seen<'_>, when: &When) -> bool {
        let number = || self.of.as_ref().and_then(|f| f.number(seen));
        let mut added = true;
        match self.keeps {
            Keeps::Count => entry(entries, at, || Acc::Count(Box::default())).add_count(when),
            Keeps::Sum | Keeps::Max | Keeps::Min => {
                let Some(value) = number() else { return false };
                match self.keeps {
                    Keeps::Sum => entry(entries, at, || Acc::Sum(Box::default())).add_number(when, value),
                    Keeps::Max => entry(entries, at, || Acc::Largest(Box::default())).add_number(when, value),
                    _ => entry(entries, at, || Acc::Largest(Box::default())).add_number(when, -value),
                }
            }
            Keeps::Last => {
                let mut value = number().map(f64::to_bits);
                if let Some(field) = self.of.as_ref().filter(|f| f.kind == Kind::Text) {
                    field.any_text(seen, &mut |text| {
                        value = Some(id_hash(text));
                        true
                    });
                }
                let Some(value) = value else { return false };
                entry(entries, at, || Acc::Last { ts_ms: 0, value: 0 }).set_last(when.ts_ms, value);
            }
            Keeps::Distinct => {
                let Some(field) = &self.of else { return false };
                added = false;
                if field.kind == Kind::Number {
                    let Some(value) = number() else { return false };
                    let hash = xxhash_rust::xxh3::xxh3_64(&(value + 0.0).to_bits().to_le_bytes());
                    entry(entries, at, || Acc::Distinct(Box::default())).add_distinct(hash, when.ts_ms);
                    return true;
                }
                field.any_text(seen, &mut |text| {
                    added = true;
                    entry(entries, at, || Acc::Distinct(Box::default())).add_distinct(id_hash(text), when.ts_ms);
                    false
                });
            }
        }
        added
    }
}

/// What was added for one owner.
#[derive(Debug, Clone, PartialEq)]
pub enum Acc {
    Count(Box<Counter>),
    Sum(Box<Windowed<Sum>>),
    Largest(Box<Windowed<Largest>>),
    /// The bits of a number, or the hash of a text.
    Last {
        ts_ms: i64,
        value: u64,
    },
    Distinct(Box<Distinct>),
}

/// An accumulator with the place of its definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub at: u16,
    pub acc: Acc,
}

fn entry(entries: &mut Vec<Entry>, at: u16, make: impl FnOnce() -> Acc) -> &mut Acc {
    let place = match entries.binary_search_by_key(&at, |e| e.at) {
        Ok(place) => place,
        Err(place) => {
            entries.insert(place, Entry { at, acc: make() });
            place
        }
    };
    &mut entries[place].acc
}

pub fn find(entries: &[Entry], at: u16) -> Option<&Acc> {
    entries.binary_search_by_key(&at, |e| e.at).ok().map(|place| &entries[place].acc)
}

/// Takes over what another owner's accumulators hold.
pub fn merge(entries: &mut Vec<Entry>, others: &[Entry]) {
    for other in others {
        match entries.binary_search_by_key(&other.at, |e| e.at) {
            Ok(place) => entries[place].acc.merge(&other.acc),
            Err(place) => entries.insert(place, other.clone()),
        }
    }
}

impl Acc {
    fn add_count(&mut self, when: &When) {
        if let Acc::Count(counter) = self {
            counter.add_at(when, 1);
        }
    }

    fn add_number(&mut self, when: &When, value: f64) {
        match self {
            Acc::Sum(sums) => sums.add_at(when, Sum::of(value)),
            Acc::Largest(most) => most.add_at(when, Largest::of(value)),
            _ => {}
        }
    }

    /// Of two at the same time, the one that stands later in the log.
    fn set_last(&mut self, at_ms: i64, to: u64) {
        match self {
            Acc::Last { ts_ms, value } if at_ms >= *ts_ms => (*ts_ms, *value) = (at_ms, to),
            _ => {}
        }
    }

    fn add_distinct(&mut self, hash: u64, ts_ms: i64) {
        if let Acc::Distinct(distinct) = self {
            distinct.add(hash, ts_ms);
        }
    }

    fn merge(&mut self, other: &Acc) {
        match (self, other) {
            (Acc::Count(a), Acc::Count(b)) => a.merge(b),
            (Acc::Sum(a), Acc::Sum(b)) => a.merge(b),
            (Acc::Largest(a), Acc::Largest(b)) => a.merge(b),
            (Acc::Distinct(a), Acc::Distinct(b)) => a.merge(b),
            // What is merged in happened before.
            (Acc::Last { ts_ms, value }, Acc::Last { ts_ms: at_ms, value: other }) if at_ms > ts_ms => {
                (*ts_ms, *value) = (*at_ms, *other);
            }
            _ => {}
        }
    }

    /// The time of the latest event that was added.
    pub fn newest_ms(&self) -> i64 {
        match self {
            Acc::Count(c) => c.newest_ms(),
            Acc::Sum(s) => s.newest_ms(),
            Acc::Largest(m) => m.newest_ms(),
            Acc::Last { ts_ms, .. } => *ts_ms,
            Acc::Distinct(d) => d.newest_ms(),
        }
    }

    pub fn heap_bytes(&self) -> usize {
        use std::mem::size_of;
        match self {
            Acc::Count(_) => size_of::<Counter>(),
            Acc::Sum(_) => size_of::<Windowed<Sum>>(),
            Acc::Largest(_) => size_of::<Windowed<Largest>>(),
            Acc::Last { .. } => 0,
            Acc::Distinct(d) => size_of::<Distinct>() + d.heap_bytes(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Acc::Count(c) => c.encode(out),
            Acc::Sum(s) => s.encode(out),
            Acc::Largest(m) => m.encode(out),
            Acc::Last { ts_ms, value } => {
                put_i64(out, *ts_ms);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Acc::Distinct(d) => d.encode(out),
        }
    }

    fn decode(keeps: Keeps, r: &mut Reader<'_>) -> Result<Acc> {
        Ok(match keeps {
            Keeps::Count => Acc::Count(Box::new(Counter::decode(r)?)),
            Keeps::Sum => Acc::Sum(Box::new(Windowed::decode(r)?)),
            Keeps::Max | Keeps::Min => Acc::Largest(Box::new(Windowed::decode(r)?)),
            Keeps::Last => Acc::Last { ts_ms: r.i64()?, value: r.fixed_u64()? },
            Keeps::Distinct => Acc::Distinct(Box::new(Distinct::decode(r)?)),
        })
    }
}

/// The definitions of a shard, in the order of their keys.
#[derive(Debug, Default)]
pub struct Definitions {
    list: Vec<Definition>,
    places: FxHashMap<u64, u16>,
    /// By event type: places of the definitions that may count such an event.
    by_type: [Vec<u16>; 16],
    /// Bits of the event types that may be counted for a pair of items.
    pair_types: u16,
    arms: bool,
}

impl Definitions {
    /// Errors: `bad_feature`.
    pub fn parse(json: &[u8]) -> Result<Definitions> {
        let specs: Vec<Spec> = serde_json::from_slice(json)
            .map_err(|e| Error::invalid("bad_feature", "", format!("the aggregates cannot be read: {e}")))?;
        let mut list = specs.into_iter().map(Definition::compile).collect::<Result<Vec<_>>>()?;
        list.sort_by_key(|d| d.key);
        if list.len() > AGGREGATES_MAX {
            let message = format!("{} aggregates, at most {AGGREGATES_MAX}", list.len());
            return Err(Error::invalid("bad_feature", "", message));
        }
        if list.windows(2).any(|two| two[0].key == two[1].key) {
            return Err(Error::invalid("bad_feature", "", "an aggregate is there twice"));
        }
        let mut found = Definitions { list, ..Definitions::default() };
        for (at, definition) in found.list.iter().enumerate() {
            found.places.insert(definition.key, at as u16);
            let types = definition.condition.as_ref().map_or(ALL_TYPES, Condition::may_pass);
            if definition.owner == Owner::ItemPair {
                found.pair_types |= types;
            }
            found.arms |= definition.owner == Owner::Arm;
            for (slot, places) in found.by_type.iter_mut().enumerate() {
                if types >> slot & 1 == 1 {
                    places.push(at as u16);
                }
            }
        }
        Ok(found)
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn of_type(&self, event_type: EventType) -> &[u16] {
        &self.by_type[event_type as usize]
    }

    /// Whether anything is counted by arm.
    pub fn count_arms(&self) -> bool {
        self.arms
    }

    /// Whether an event of that type may be counted for a pair of items.
    pub fn count_pairs(&self, event_type: EventType) -> bool {
        self.pair_types >> event_type as u8 & 1 == 1
    }

    pub fn get(&self, at: u16) -> Option<&Definition> {
        self.list.get(usize::from(at))
    }

    pub fn place(&self, key: u64) -> Option<u16> {
        self.places.get(&key).copied()
    }

    /// Keys with the offsets that they are counted from.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.list.len() as u64);
        for definition in &self.list {
            out.extend_from_slice(&definition.key.to_le_bytes());
            put_u64(out, definition.since);
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Vec<(u64, u64)>> {
        (0..r.u64()?).map(|_| Ok((r.fixed_u64()?, r.u64()?))).collect()
    }

    /// Takes over where views began to count; what they do not have begins at `applied`.
    pub fn begin(&mut self, known: &[(u64, u64)], applied: u64) {
        for definition in &mut self.list {
            definition.since = known.iter().find(|(key, _)| *key == definition.key).map_or(applied, |(_, s)| *s);
            definition.tag = tag_of(definition.key, definition.since);
        }
    }

    /// Whether views with these keys hold what these definitions ask for and nothing else.
    pub fn are(&self, known: &[(u64, u64)]) -> bool {
        self.list.iter().map(|d| d.key).eq(known.iter().map(|(key, _)| *key))
    }

    pub fn encode_entries(&self, entries: &[Entry], out: &mut Vec<u8>) {
        put_u64(out, entries.len() as u64);
        let mut bytes = Vec::new();
        for entry in entries {
            let Some(definition) = self.get(entry.at) else { continue };
            out.extend_from_slice(&definition.tag.to_le_bytes());
            bytes.clear();
            bytes.push(VERSION);
            entry.acc.encode(&mut bytes);
            put_bytes(out, &bytes);
        }
    }

    /// Entries of other definitions, or of these from before they were taken away, are left out.
    pub fn decode_entries(&self, r: &mut Reader<'_>) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for _ in 0..r.u64()? {
            let tag = r.take(4)?;
            let tag = u32::from_le_bytes([tag[0], tag[1], tag[2], tag[3]]);
            let mut bytes = Reader::new(r.bytes()?);
            let Some(at) = self.list.iter().position(|d| d.tag == tag) else { continue };
            if bytes.u8()? != VERSION {
                return Err(Error::corrupt(0, "an aggregate of an unknown layout"));
            }
            entries.push(Entry { at: at as u16, acc: Acc::decode(self.list[at].keeps, &mut bytes)? });
        }
        entries.sort_by_key(|e| e.at);
        Ok(entries)
    }
}
