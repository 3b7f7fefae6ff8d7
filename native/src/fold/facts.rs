//! What the fold needs of each item, kept beside the catalogue so that a step never parses anything.

use rustc_hash::FxHashMap;

use crate::ahead::fetch;
use crate::fold::step::{Catalog, Facts, Items};
use crate::hash::id_hash;
use crate::items::{Catalogue, Dictionary};

#[derive(Debug, Default)]
struct Row {
    categories: Box<[u64]>,
    price: Option<f64>,
    seller: Option<u64>,
}

#[derive(Debug, Default)]
pub struct FactTable {
    /// By item index; empty where no item is.
    rows: Vec<Row>,
    /// Item hash to index, of the items that are there.
    by_hash: FxHashMap<u64, u32>,
    /// Path text of each category hash, for answers people read.
    names: FxHashMap<u64, Box<str>>,
}

impl FactTable {
    /// Takes over what the catalogue now says of one item.
    pub fn update(&mut self, catalogue: &Catalogue, item: u32) {
        let hash = catalogue.ids().hash(item);
        let at = item as usize;
        if self.rows.len() <= at {
            self.rows.resize_with(at + 1, Row::default);
        }
        let Some(data) = catalogue.get(item) else {
            self.rows[at] = Row::default();
            self.by_hash.remove(&hash);
            return;
        };
        let mut categories = Vec::new();
        for level in data.categories.iter().flat_map(|c| catalogue.categories().ancestors(*c)) {
            let name = catalogue.category_name(level);
            let category = id_hash(name);
            if !categories.contains(&category) {
                categories.push(category);
                self.names.entry(category).or_insert_with(|| name.into());
            }
        }
        let seller = data.seller.map(|s| seller_hash(catalogue.labels().id(s)));
        self.rows[at] = Row { categories: categories.into_boxed_slice(), price: data.price, seller };
        self.by_hash.insert(hash, item);
    }

    pub fn facts_at(&self, item: u32) -> Facts<'_> {
        self.rows.get(item as usize).map_or(Facts::default(), |r| Facts {
            categories: &r.categories,
            price: r.price,
            seller: r.seller,
        })
    }

    /// Asks for the facts of an item.
    pub fn fetch(&self, item: u32) {
        if let Some(row) = self.rows.get(item as usize) {
            fetch(row);
        }
    }

    pub fn category_name(&self, hash: u64) -> Option<&str> {
        self.names.get(&hash).map(|n| &**n)
    }
}

/// Sellers are counted beside the categories; a path of categories never begins with the separator.
fn seller_hash(name: &str) -> u64 {
    id_hash(&format!(" > seller > {name}"))
}

impl Catalog for FactTable {
    fn facts(&self, item: u64) -> Facts<'_> {
        self.by_hash.get(&item).map_or(Facts::default(), |at| self.facts_at(*at))
    }
}

/// Items by hash and by index, as a step asks for them.
#[derive(Debug, Clone, Copy)]
pub struct Known<'k> {
    pub ids: &'k Dictionary,
    pub facts: &'k FactTable,
}

impl Items for Known<'_> {
    fn index(&self, hash: u64) -> Option<u32> {
        self.ids.by_hash(hash)
    }

    fn facts_at(&self, index: u32) -> Facts<'_> {
        self.facts.facts_at(index)
    }
}
