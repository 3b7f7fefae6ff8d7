//! What an item has to do with the items that a request is about: the product on show, what is in the cart.
//!
//! Invariant: without such items, or where the one or the other side says nothing, there is no value. It does not know
//! rules, nor which items a request is about.

use crate::fold::condition::Seen;
use crate::items::Item;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Relation {
    /// The item shares a whole category path with one of them.
    SameCategory,
    /// The first level of its first category is that of one of them.
    SameTopCategory,
    SameBrand,
    SameSeller,
    /// Its price as a multiple of what they cost together.
    PriceRatio,
}

impl Relation {
    pub fn named(name: &str) -> Result<Relation, String> {
        Ok(match name {
            "same_category" => Relation::SameCategory,
            "same_top_category" => Relation::SameTopCategory,
            "same_brand" => Relation::SameBrand,
            "same_seller" => Relation::SameSeller,
            "price_ratio" => Relation::PriceRatio,
            _ => return Err(format!("unknown field \"about.{name}\"")),
        })
    }

    pub fn flag(self, seen: &Seen<'_>) -> Option<bool> {
        let item = seen.item()?;
        let mut others = others(seen).peekable();
        others.peek()?;
        let top = |item: &Item| Some(seen.catalogue.categories().top(*item.categories.first()?));
        let known = |own: Option<u32>| own.is_some();
        Some(match self {
            Relation::SameCategory => others.any(|o| o.categories.iter().any(|c| item.categories.contains(c))),
            Relation::SameTopCategory => others.any(|o| known(top(o)) && top(o) == top(item)),
            Relation::SameBrand => others.any(|o| known(o.brand) && o.brand == item.brand),
            Relation::SameSeller => others.any(|o| known(o.seller) && o.seller == item.seller),
            Relation::PriceRatio => return None,
        })
    }

    pub fn number(self, seen: &Seen<'_>) -> Option<f64> {
        if self != Relation::PriceRatio {
            return None;
        }
        let together: f64 = others(seen).filter_map(|o| o.price).sum();
        Some(seen.item()?.price? / together).filter(|_| together > 0.0)
    }
}

fn others<'a>(seen: &Seen<'a>) -> impl Iterator<Item = &'a Item> {
    let catalogue = seen.catalogue;
    seen.about.iter().filter_map(move |item| catalogue.get(*item))
}
