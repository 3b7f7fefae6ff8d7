//! What the fold needs of each item, by item hash, kept beside the catalogue so that a step never parses anything.

use rustc_hash::FxHashMap;

use crate::fold::step::{Catalog, Facts};
use crate::hash::id_hash;
use crate::items::Catalogue;

#[derive(Debug, Default)]
struct Row {
    categories: Box<[u64]>,
    price: Option<f64>,
    seller: Option<u64>,
}

#[derive(Debug, Default)]
pub struct FactTable {
    rows: FxHashMap<u64, Row>,
    /// Path text of each category hash, for answers people read.
    names: FxHashMap<u64, Box<str>>,
}

impl FactTable {
    /// Takes over what the catalogue now says of one item.
    pub fn update(&mut self, catalogue: &Catalogue, item: u32) {
        let hash = catalogue.ids().hash(item);
        let Some(data) = catalogue.get(item) else {
            self.rows.remove(&hash);
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
        self.rows.insert(hash, Row { categories: categories.into_boxed_slice(), price: data.price, seller });
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
        self.rows.get(&item).map_or(Facts::default(), |r| Facts {
            categories: &r.categories,
            price: r.price,
            seller: r.seller,
        })
    }
}
