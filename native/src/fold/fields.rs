//! What items, users and requests say of themselves, as numbers: attributes, words of a vocabulary, local time, and how
//! often the user acted on items that are alike in one respect.
//!
//! Invariant: functions of the catalogue, the profile, the request and the user's record; nothing is counted here.

use serde::Deserialize;
use serde_json::Value;

use crate::fold::aggregate::Owner;
use crate::fold::blocks::stats_value;
use crate::fold::counter::Window;
use crate::fold::plan::{Op, Plan};
use crate::fold::state::State;
use crate::fold::user::{Recent, User};
use crate::hash::id_hash;
use crate::items::{Item, Value as ItemValue};
use crate::recall::words::each_word;

const DAY_MS: f64 = 86_400_000.0;
const MINUTE_MS: i64 = 60_000;

/// A text that is one of some words: the value is the place of the word, from 1; 0 for a text that is none of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    pub key: String,
    pub words: Vec<String>,
}

impl Word {
    /// `texts` calls its argument with every text of the field; of several words the first in the vocabulary counts.
    fn place(&self, texts: impl FnOnce(&mut dyn FnMut(&str)) -> bool) -> Option<f64> {
        let mut found: Option<usize> = None;
        let present = texts(&mut |text| {
            if let Some(at) = self.words.iter().position(|w| w == text) {
                found = Some(found.map_or(at, |f| f.min(at)));
            }
        });
        present.then(|| found.map_or(0.0, |at| at as f64 + 1.0))
    }

    pub fn of_text(&self, text: Option<&str>) -> Option<f64> {
        self.place(|each| text.filter(|t| !t.is_empty()).map(each).is_some())
    }

    /// Of an attribute of the user record.
    pub fn of_profile(&self, profile: &Value) -> Option<f64> {
        match profile.get("attributes")?.get(&self.key)? {
            Value::String(text) => self.of_text(Some(text)),
            Value::Array(texts) => self.place(|each| {
                texts.iter().filter_map(Value::as_str).for_each(each);
                !texts.is_empty()
            }),
            _ => None,
        }
    }
}

/// Words of a text as the search cuts them; None without any.
pub fn words_of(text: &str) -> Option<f64> {
    let mut count = 0u32;
    each_word(text, &mut String::new(), &mut |_| count += 1);
    (count > 0).then(|| f64::from(count))
}

/// Words of a text, elements of a list that the user record holds.
pub fn profile_size(profile: &Value, key: &str) -> Option<f64> {
    match profile.get("attributes")?.get(key)? {
        Value::String(text) => words_of(text),
        Value::Array(texts) => Some(texts.len() as f64),
        _ => None,
    }
}

/// Hour (0–23, or the weekday, Monday 0) of a moment so many minutes ahead of UTC.
pub fn local_time(as_of_ms: i64, offset_min: i64, weekday: bool) -> f64 {
    let hours = as_of_ms.saturating_add(offset_min.saturating_mul(MINUTE_MS)).div_euclid(3_600_000);
    // 1970-01-01 was a Thursday.
    if weekday {
        (hours.div_euclid(24) + 3).rem_euclid(7) as f64
    } else {
        hours.rem_euclid(24) as f64
    }
}

/// A respect in which items are alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "String")]
pub enum Respect {
    Brand,
    Seller,
    Category,
    TopCategory,
    Item,
    Attribute(String),
    /// A word that means nothing: no two items are alike there.
    Nothing,
}

impl From<String> for Respect {
    fn from(word: String) -> Respect {
        match word.as_str() {
            "brand" => Respect::Brand,
            "seller" => Respect::Seller,
            "category" => Respect::Category,
            "top_category" => Respect::TopCategory,
            "item" => Respect::Item,
            _ => word.strip_prefix("attributes.").map_or(Respect::Nothing, |name| Respect::Attribute(name.to_owned())),
        }
    }
}

/// In what two items are alike, and which of the user's last actions count.
#[derive(Debug, Clone, PartialEq)]
pub struct Alike {
    /// Number of the feature among those of its kind, by which a request finds what it counted for it.
    pub place: u8,
    pub key: Respect,
    /// Event type, any without one.
    pub slot: Option<u8>,
    pub window: Window,
}

/// Numbers the features of this kind.
pub fn number_alike(plan: &mut Plan) {
    let alike =
        plan.features.iter_mut().filter_map(|f| if let Op::CrossInteracted(a) = &mut f.op { Some(a) } else { None });
    alike.zip(0..=u8::MAX).for_each(|(alike, place)| alike.place = place);
}

/// Values with how often the user acted on an item that has them.
pub type Acted = Vec<(u64, u32)>;

impl State {
    /// What the user acted on, for every feature of the plan that asks; by `Alike::place`.
    pub(super) fn acted_on(&self, plan: &Plan, user: Option<&User>, as_of_ms: i64) -> Vec<(u8, Acted)> {
        let Some(user) = user else { return Vec::new() };
        let mut found = Vec::new();
        for feature in &plan.features {
            let Op::CrossInteracted(alike) = &feature.op else { continue };
            let since_ms = match alike.window.ms() {
                0 => i64::MIN,
                ms => as_of_ms.saturating_sub(ms),
            };
            let counts = |r: &&Recent| {
                r.ts_ms > since_ms && r.ts_ms <= as_of_ms && alike.slot.is_none_or(|s| s == r.event_type as u8)
            };
            let mut acted: Acted = Vec::new();
            for r in user.recent.iter().filter(counts) {
                let item = self.catalogue.ids().by_hash(r.item);
                let Some(value) = item.and_then(|item| self.likeness_key(item, &alike.key)) else { continue };
                match acted.iter_mut().find(|(v, _)| *v == value) {
                    Some((_, n)) => *n += 1,
                    None => acted.push((value, 1)),
                }
            }
            found.push((alike.place, acted));
        }
        found
    }

    /// What stands for an item in a respect; None when it says nothing there.
    pub(crate) fn likeness_key(&self, item: u32, key: &Respect) -> Option<u64> {
        let data = self.catalogue.get(item)?;
        match key {
            Respect::Brand => data.brand.map(u64::from),
            Respect::Seller => data.seller.map(u64::from),
            Respect::Category => data.categories.first().map(|c| u64::from(*c)),
            Respect::TopCategory => data.categories.first().map(|c| u64::from(self.catalogue.categories().top(*c))),
            Respect::Item => Some(u64::from(item)),
            Respect::Nothing => None,
            Respect::Attribute(name) => {
                let name = self.catalogue.labels().index(name)?;
                match &data.attributes.iter().find(|a| a.name == name)?.value {
                    ItemValue::Text(span) => Some(id_hash(&data.text(*span))),
                    ItemValue::Number(n) => Some((n + 0.0).to_bits()),
                    ItemValue::Bool(b) => Some(u64::from(*b)),
                    ItemValue::Texts(_) => None,
                }
            }
        }
    }

    /// Calls `each` with the texts of a field of an item; false when it has none.
    fn any_item_text(&self, item: &Item, key: &str, each: &mut dyn FnMut(&str)) -> bool {
        let labels = self.catalogue.labels();
        let label = match key {
            "brand" => item.brand,
            "seller" => item.seller,
            "currency" => item.currency,
            _ => None,
        };
        if let Some(label) = label {
            each(labels.id(label));
            return true;
        }
        if key == "category" || key == "categories" {
            let paths = if key == "category" { item.categories.get(..1).unwrap_or_default() } else { &item.categories };
            for path in paths {
                if key == "category" {
                    each(self.catalogue.category_name(*path));
                } else {
                    self.catalogue.categories().ancestors(*path).for_each(|c| each(self.catalogue.category_name(c)));
                }
            }
            return !paths.is_empty();
        }
        let name = key.strip_prefix("attributes.").and_then(|name| labels.index(name));
        match name.and_then(|name| item.attributes.iter().find(|a| a.name == name)).map(|a| &a.value) {
            Some(ItemValue::Text(span)) => each(&item.text(*span)),
            Some(ItemValue::Texts(list)) if !list.is_empty() => list.iter().for_each(|span| each(&item.text(*span))),
            _ => return false,
        }
        true
    }
}

impl State {
    /// A feature of an item; those of its counts are `stats_value`.
    pub(super) fn item_value(&self, item: u32, op: &Op, as_of: i64) -> Option<f64> {
        match op {
            Op::ItemPrice => self.catalogue.get(item)?.price,
            Op::ItemPriceBucket => Some((1.0 + self.catalogue.get(item)?.price?).log2().floor()),
            Op::ItemAttribute { key } => self.item_number(item, self.catalogue.labels().index(key)?),
            Op::ItemAgeDays => {
                let since = self.catalogue.get(item)?.added_ms();
                Some((as_of - since).max(0) as f64 / DAY_MS)
            }
            Op::ItemAvailable => Some(f64::from(u8::from(self.catalogue.get(item)?.available))),
            Op::ItemWord(word) => {
                let data = self.catalogue.get(item)?;
                word.place(|each| self.any_item_text(data, &word.key, each))
            }
            Op::ItemSize { key } => self.item_size(self.catalogue.get(item)?, key),
            Op::Aggregate(reading) => self.shared_reading(Owner::Item, u64::from(item), reading, as_of),
            _ => stats_value(self.items.get(item as usize), op, as_of),
        }
    }

    fn item_size(&self, item: &Item, key: &str) -> Option<f64> {
        match key {
            "title" => words_of(&item.text(item.title)),
            "description" => words_of(&item.text(item.description)),
            "categories" => Some(item.categories.len() as f64),
            _ => {
                let name = self.catalogue.labels().index(key.strip_prefix("attributes.")?)?;
                match &item.attributes.iter().find(|a| a.name == name)?.value {
                    ItemValue::Text(span) => words_of(&item.text(*span)),
                    ItemValue::Texts(list) => Some(list.len() as f64),
                    _ => None,
                }
            }
        }
    }

    /// An attribute of an item that is a number or a flag; `name` as `Catalogue::labels` numbers it.
    pub fn item_number(&self, item: u32, name: u32) -> Option<f64> {
        let found = self.catalogue.get(item)?.attributes.iter().find(|a| a.name == name)?;
        match found.value {
            ItemValue::Number(n) => Some(n),
            ItemValue::Bool(b) => Some(f64::from(u8::from(b))),
            _ => None,
        }
    }
}
