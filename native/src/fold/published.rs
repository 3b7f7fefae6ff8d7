//! Features computed elsewhere and handed in: of the asking user with each request, of items in a table that is swapped
//! whole.
//!
//! Invariant: NaN is "nobody said", and a reader gets the feature's default for it; a row has the columns in the order of
//! their definition. It does not know where values come from.

use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::fold::aggregate::parse_key;
use crate::fold::blocks::{finite, Column};
use crate::fold::plan::Op;
use crate::hash::id_hash;

/// Columns of one scope; a corrupt or wild definition never makes wide rows.
const COLUMNS_MAX: usize = 4096;

/// One published feature as it is defined.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    name: String,
    /// Numbers of a vector; 0 for a single number.
    width: u32,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definitions {
    user: Vec<Definition>,
    item: Vec<Definition>,
}

/// A feature with its width, and a fingerprint of what its values mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub width: u32,
    pub key: u64,
}

/// The columns of one scope.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    pub sources: Vec<Source>,
    pub names: Vec<String>,
    by_hash: FxHashMap<u64, u32>,
    /// Values that decisions carried, and how many of them were nobody's.
    pub counted: Vec<(u64, u64)>,
}

impl Columns {
    fn define(definitions: Vec<Definition>) -> Result<Columns> {
        let mut columns = Columns::default();
        for Definition { name, width, key } in definitions {
            let bad = |what: &str| Error::invalid("bad_feature", name.clone(), format!("{name:?}: {what}"));
            let key = parse_key(&key).ok_or_else(|| bad("key is not 16 hexadecimal digits"))?;
            match width {
                0 => columns.names.push(name.clone()),
                n => columns.names.extend((0..n.min(COLUMNS_MAX as u32)).map(|at| format!("{name}_{at}"))),
            }
            if columns.names.len() > COLUMNS_MAX {
                return Err(bad("too many columns"));
            }
            columns.sources.push(Source { name, width, key });
        }
        columns.by_hash = columns.names.iter().zip(0..).map(|(name, at)| (id_hash(name), at)).collect();
        columns.counted = vec![(0, 0); columns.names.len()];
        Ok(columns)
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The place of a column by the hash of its name.
    fn at(&self, name: u64) -> Option<usize> {
        self.by_hash.get(&name).map(|at| *at as usize)
    }

    fn count(&mut self, values: &[f32]) {
        for row in values.chunks_exact(self.names.len().max(1)) {
            for (counted, value) in self.counted.iter_mut().zip(row) {
                counted.0 += 1;
                counted.1 += u64::from(value.is_nan());
            }
        }
    }
}

/// Rows by the hash of an id.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    by_hash: FxHashMap<u64, u32>,
    values: Vec<f32>,
}

impl Rows {
    /// Keeps a row under an id; of a later one of the same id the values that are not NaN are taken.
    pub fn put(&mut self, hash: u64, row: &[f32]) {
        let next = self.by_hash.len() as u32;
        let at = *self.by_hash.entry(hash).or_insert(next) as usize;
        let end = (at + 1) * row.len();
        if self.values.len() < end {
            self.values.resize(end, f32::NAN);
        }
        for (held, value) in self.values[at * row.len()..end].iter_mut().zip(row) {
            if !value.is_nan() {
                *held = *value;
            }
        }
    }

    fn get(&self, hash: u64, width: usize) -> Option<&[f32]> {
        let at = *self.by_hash.get(&hash)? as usize;
        self.values.get(at * width..(at + 1) * width)
    }

    fn memory_bytes(&self) -> usize {
        self.values.capacity() * 4 + self.by_hash.capacity() * 8 / 7 * 17
    }
}

/// What is defined, and the items' values.
#[derive(Debug, Clone, Default)]
pub struct Published {
    pub user: Columns,
    pub item: Columns,
    table: Rows,
    staged: Rows,
    /// By item column: from when on its values are too old.
    expires_ms: Vec<i64>,
}

impl Published {
    /// Errors: `bad_feature`.
    pub fn define(json: &[u8]) -> Result<Published> {
        let given: Definitions = serde_json::from_slice(json)
            .map_err(|e| Error::invalid("bad_feature", "", format!("published features cannot be read: {e}")))?;
        let (user, item) = (Columns::define(given.user)?, Columns::define(given.item)?);
        Ok(Published { user, item, ..Published::default() })
    }

    pub fn is_empty(&self) -> bool {
        self.user.is_empty() && self.item.is_empty()
    }

    /// Items with a row.
    pub fn len(&self) -> usize {
        self.table.by_hash.len()
    }

    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.staged.memory_bytes()
    }

    /// Drops what was staged.
    pub fn unstage(&mut self) {
        self.staged = Rows::default();
    }

    pub fn stage(&mut self, id: &str, row: &[f32]) {
        self.staged.put(id_hash(id), row);
    }

    /// Puts what was staged in place of the table.
    pub fn adopt(&mut self, expires_ms: Vec<i64>) {
        self.table = std::mem::take(&mut self.staged);
        self.expires_ms = expires_ms;
    }

    /// Counts what a decision carries.
    pub fn count(&mut self, user: &[f32], items: &[f32]) {
        self.user.count(user);
        self.item.count(items);
    }
}

/// What a request brought: the asking user's values, and those of items when they are not the table's.
#[derive(Debug, Clone, Default)]
pub struct Given {
    pub user: Vec<f32>,
    pub items: Option<Rows>,
}

/// What one request reads.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    published: &'a Published,
    given: &'a Given,
    as_of_ms: i64,
}

impl<'a> View<'a> {
    /// None when nothing is defined.
    pub fn of(published: &'a Published, given: &'a Given, as_of_ms: i64) -> Option<View<'a>> {
        (!published.is_empty()).then_some(View { published, given, as_of_ms })
    }

    /// A column of the asking user, by the hash of its name.
    pub fn user(&self, name: u64) -> Option<f64> {
        let value = *self.given.user.get(self.published.user.at(name)?)?;
        (!value.is_nan()).then_some(f64::from(value))
    }

    /// A column of an item.
    pub fn item(&self, item: u64, name: u64) -> Option<f64> {
        let at = self.published.item.at(name)?;
        let value = self.fresh(at, self.row(item)?[at]);
        (!value.is_nan()).then_some(f64::from(value))
    }

    /// Every column of an item as a decision carries it.
    pub fn item_row(&self, item: u64, out: &mut Vec<f32>) {
        match self.row(item) {
            Some(row) => out.extend(row.iter().enumerate().map(|(at, value)| self.fresh(at, *value))),
            None => out.resize(out.len() + self.published.item.len(), f32::NAN),
        }
    }

    /// Puts the published columns of items, by the hashes of their ids, into their rows, which hold the defaults.
    pub fn write(&self, columns: &[Column], items: impl Iterator<Item = u64>, width: usize, out: &mut [f32]) {
        let place = |column: &Column| match column.op {
            Op::Published(name) => Some((column.at, self.published.item.at(name)?, column.default)),
            _ => None,
        };
        let wanted: Vec<(usize, usize, f32)> = columns.iter().filter_map(place).collect();
        if wanted.is_empty() {
            return;
        }
        for (row, item) in out.chunks_exact_mut(width).zip(items) {
            let Some(values) = self.row(item) else { continue };
            for (to, from, default) in &wanted {
                row[*to] = finite(Some(f64::from(self.fresh(*from, values[*from]))), *default);
            }
        }
    }

    fn row(&self, item: u64) -> Option<&'a [f32]> {
        self.given.items.as_ref().unwrap_or(&self.published.table).get(item, self.published.item.len())
    }

    /// NaN for a value of the table that is too old. What a request brought was chosen by whoever made it.
    fn fresh(&self, at: usize, value: f32) -> f32 {
        let expires_ms = self.published.expires_ms.get(at).copied().unwrap_or(i64::MAX);
        if self.given.items.is_none() && self.as_of_ms >= expires_ms {
            return f32::NAN;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINED: &[u8] = br#"{"user": [{"name": "user_tier", "width": 0, "key": "00000000000000aa"}],
        "item": [{"name": "item_taste", "width": 2, "key": "00000000000000bb"},
                 {"name": "item_rate", "width": 0, "key": "00000000000000cc"}]}"#;

    fn column(at: usize, name: &str) -> Column {
        Column { at, op: Op::Published(id_hash(name)), default: -1.0 }
    }

    #[test]
    fn a_request_reads_its_user_and_the_table_and_gets_defaults_for_the_rest() {
        let mut published = Published::define(DEFINED).unwrap();
        assert_eq!(published.item.names, ["item_taste_0", "item_taste_1", "item_rate"]);
        published.stage("a", &[1.0, 2.0, f32::NAN]);
        published.stage("b", &[3.0, 4.0, 5.0]);
        published.stage("b", &[f32::NAN, f32::NAN, 6.0]);
        assert_eq!(published.len(), 0, "nothing is seen before it is adopted");
        published.adopt(vec![100, 100, 200]);
        assert_eq!(published.len(), 2);
        let given = Given { user: vec![7.0], items: None };
        let (early, late) = (View::of(&published, &given, 99).unwrap(), View::of(&published, &given, 100).unwrap());
        assert_eq!(early.user(id_hash("user_tier")), Some(7.0));
        assert_eq!(early.user(id_hash("item_rate")), None);
        assert_eq!(early.item(id_hash("b"), id_hash("item_taste_1")), Some(4.0));
        assert_eq!(late.item(id_hash("b"), id_hash("item_taste_1")), None);
        assert_eq!(late.item(id_hash("b"), id_hash("item_rate")), Some(6.0));
        let columns = [column(2, "item_taste_0"), column(0, "item_rate"), column(1, "item_gone")];
        let items = ["a", "b", "c"].map(id_hash);
        let mut rows = [-1.0; 9];
        early.write(&columns, items.into_iter(), 3, &mut rows);
        assert_eq!(rows, [-1.0, -1.0, 1.0, 6.0, -1.0, 3.0, -1.0, -1.0, -1.0]);
        let mut row = Vec::new();
        late.item_row(id_hash("b"), &mut row);
        late.item_row(id_hash("c"), &mut row);
        assert!(row[..2].iter().all(|v| v.is_nan()) && row[2] == 6.0 && row[3..].iter().all(|v| v.is_nan()));
        published.count(&[7.0], &row);
        assert_eq!((published.user.counted, published.item.counted), (vec![(1, 0)], vec![(2, 2), (2, 2), (2, 1)]));
    }

    #[test]
    fn what_a_request_brings_of_items_stands_for_the_table_and_does_not_age() {
        let mut published = Published::define(DEFINED).unwrap();
        published.stage("a", &[1.0, 2.0, 3.0]);
        published.adopt(vec![0, 0, 0]);
        let mut rows = Rows::default();
        rows.put(id_hash("b"), &[9.0, 8.0, 7.0]);
        let given = Given { user: Vec::new(), items: Some(rows) };
        let view = View::of(&published, &given, 50).unwrap();
        assert_eq!(view.item(id_hash("a"), id_hash("item_rate")), None);
        assert_eq!(view.item(id_hash("b"), id_hash("item_rate")), Some(7.0));
        assert_eq!(view.user(id_hash("user_tier")), None, "a request without values has the default");
    }

    #[test]
    fn a_definition_that_does_not_fit_is_refused() {
        assert!(View::of(&Published::default(), &Given::default(), 0).is_none());
        for json in [
            &br#"{"user": []}"#[..],
            br#"{"user": [], "item": [{"name": "x", "width": 0, "key": "zz"}]}"#,
            br#"{"user": [], "item": [{"name": "x", "width": -1, "key": "00000000000000aa"}]}"#,
        ] {
            assert!(Published::define(json).is_err());
        }
    }
}
