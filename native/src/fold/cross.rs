//! What a request and an item have in common: the features of one row that can only be computed for that row.
//!
//! `Shared` is made once per request, so that a row asks tables and never scans a history. Invariant: a function of the
//! state, the asker and the item.

use serde_json::Value;

use crate::fold::aggregate::Owner;
use crate::fold::arms::drawn_key;
use crate::fold::blocks::Head;
use crate::fold::contexts::{Context, DIMENSIONS};
use crate::fold::fields::Acted;
use crate::fold::lookup::Lookup;
use crate::fold::moments::Moments;
use crate::fold::pairs::{anchor_of, last_wishes};
use crate::fold::plan::{Op, Plan};
use crate::fold::state::State;
use crate::fold::step::{is_positive, Catalog};
use crate::fold::user::{CategoryCount, Recent, Session};
use crate::fold::vector::Asker;
use crate::recall::covis::Covis;

const MINUTE: f64 = 60_000.0;
/// Wishes of the session that co-visitation starts from, and the neighbours that it finds.
const WISHES_MAX: usize = 10;
const COVISITED_MAX: usize = 200;

/// The primary category of an item as a request sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    None,
    /// One that neither the session nor the user had to do with.
    Strange,
    Known(u64),
}

impl Category {
    /// Outer None without a category; inner None for one that is in no list.
    fn given(self) -> Option<Option<u64>> {
        match self {
            Category::None => None,
            Category::Strange => Some(None),
            Category::Known(hash) => Some(Some(hash)),
        }
    }
}

/// What the rows of one request share.
pub struct Shared<'a> {
    pub session: Option<&'a Session>,
    /// Entries of the session, oldest first.
    pub entries: Vec<&'a Recent>,
    /// Primary categories of the session's wanted items with their counts.
    pub session_categories: Vec<(u64, u32)>,
    pub price_mean: Option<f64>,
    /// The profile, read when a feature of the plan needs it.
    pub profile: Value,
    /// Sum of `session_categories`.
    session_wishes: u32,
    user_categories: &'a [CategoryCount],
    user_wishes: u64,
    /// Of the session's last wish.
    last_category: Option<u64>,
    last_brand: Option<u32>,
    clicked: Option<Lookup>,
    bought: Option<Lookup>,
    /// When the user last acted on an item, by item hash.
    acted: Option<Lookup>,
    /// Bits of the score of a neighbour of the session's last wishes, by item.
    covisited: Option<Lookup>,
    /// By `Alike::place`.
    acted_on: Vec<(u8, Acted)>,
    contexts: [Option<&'a Context>; DIMENSIONS.len()],
    /// What an item of the list would come after: the item of the request's page, what the session took up last.
    anchors: [Option<u32>; 3],
}

impl State {
    /// `covis` is the state's own, taken out of it for its scratch space.
    pub fn shared<'a>(&'a self, covis: &mut Covis, plan: &Plan, asker: &Asker<'a>) -> Shared<'a> {
        let needs = |wanted: fn(&Op) -> bool| plan.features.iter().any(|f| wanted(&f.op));
        let user = asker.user;
        let session = user.and_then(|u| u.session(asker.session_id));
        let entries: Vec<&Recent> = match (user, session) {
            (Some(u), Some(s)) => u.recent.iter().filter(|r| r.session == s.number).collect(),
            _ => Vec::new(),
        };
        let (session_categories, prices) = self.wishes(&entries);
        let last = entries.iter().rev().find(|r| is_positive(r.event_type)).map(|r| r.item);
        let last_item = last.and_then(|hash| self.catalogue.get(self.catalogue.ids().by_hash(hash)?));
        let profile = asker
            .profile
            .filter(|_| needs(|op| matches!(op, Op::UserAttribute { .. } | Op::UserWord(_) | Op::UserSize { .. })));
        let covisited = needs(|op| matches!(op, Op::CrossCovisitation)).then(|| self.covisited(covis, &entries));
        Shared {
            session,
            price_mean: prices.mean().or_else(|| user.and_then(|u| u.price.mean())),
            profile: profile.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default(),
            session_wishes: session_categories.iter().map(|(_, n)| n).sum(),
            user_categories: user.map_or(&[], |u| &u.categories),
            user_wishes: user
                .map_or(0, |u| u.counts.iter().filter(|(t, _)| is_positive(*t)).map(|(_, c)| c.total()).sum()),
            last_category: last.and_then(|hash| self.facts.facts(hash).categories.first().copied()),
            last_brand: last_item.and_then(|item| item.brand),
            clicked: user.filter(|_| needs(|op| matches!(op, Op::CrossClicked))).map(|u| u.clicked.lookup(None, 0)),
            bought: user.filter(|_| needs(|op| matches!(op, Op::CrossBought))).map(|u| u.bought.lookup(None, 0)),
            acted: user.filter(|_| needs(|op| matches!(op, Op::CrossMinutesSince))).map(|u| {
                let mut acted = Lookup::with_room(u.recent.len());
                u.recent.iter().for_each(|r| acted.put(r.item, r.ts_ms));
                acted
            }),
            covisited,
            acted_on: self.acted_on(plan, user, asker.as_of_ms),
            anchors: if needs(|op| matches!(op, Op::PairAggregate(_))) {
                self.anchors(asker, &entries)
            } else {
                [None; 3]
            },
            contexts: std::array::from_fn(|d| self.contexts.get(d as u8, asker.context(DIMENSIONS[d])?)),
            entries,
            session_categories,
        }
    }

    /// Primary categories of the wanted items with their counts, and the prices.
    fn wishes(&self, entries: &[&Recent]) -> (Vec<(u64, u32)>, Moments) {
        let mut categories: Vec<(u64, u32)> = Vec::new();
        let mut prices = Moments::default();
        for r in entries.iter().filter(|r| is_positive(r.event_type)) {
            let facts = self.facts.facts(r.item);
            if let Some(price) = facts.price {
                prices.add(price);
            }
            if let Some(category) = facts.categories.first() {
                match categories.iter_mut().find(|(c, _)| c == category) {
                    Some(entry) => entry.1 += 1,
                    None => categories.push((*category, 1)),
                }
            }
        }
        (categories, prices)
    }

    fn anchors(&self, asker: &Asker<'_>, entries: &[&Recent]) -> [Option<u32>; 3] {
        let ids = self.catalogue.ids();
        let page = asker.context("item_id").and_then(|id| ids.index(id));
        let [last, before] = last_wishes(entries.iter().rev().copied()).map(|item| ids.by_hash(item?));
        [page, last, before]
    }

    fn covisited(&self, covis: &mut Covis, entries: &[&Recent]) -> Lookup {
        let latest = entries.iter().rev().filter(|r| is_positive(r.event_type));
        let wanted: Vec<u32> = latest.filter_map(|r| self.catalogue.ids().by_hash(r.item)).take(WISHES_MAX).collect();
        let covisited = covis.recall(&wanted, COVISITED_MAX);
        Lookup::of(covisited.iter().map(|(item, score)| (u64::from(*item), i64::from(score.to_bits()))))
    }
}

impl Shared<'_> {
    /// One feature of all rows of a request, given in their order to `put`; `covis` for the features of it that have no
    /// revision. Column by column: a short loop over one table keeps that table near.
    pub fn column<'h>(
        &self,
        state: &State,
        covis: &Covis,
        asker: &Asker<'_>,
        rows: impl ExactSizeIterator<Item = (u32, &'h Head)> + Clone,
        op: &Op,
        put: impl FnMut(Option<f64>),
    ) {
        let flag = |b: bool| Some(f64::from(u8::from(b)));
        match op {
            Op::CrossInCart => {
                each(self.session, rows, put, |s, _, head| flag(s.cart.iter().any(|(i, _)| *i == head.hash)));
            }
            Op::CrossClicked => each(self.clicked.as_ref(), rows, put, |l, _, head| flag(l.contains(head.hash))),
            Op::CrossBought => each(self.bought.as_ref(), rows, put, |l, _, head| flag(l.contains(head.hash))),
            Op::CrossMinutesSince => each(self.acted.as_ref(), rows, put, |acted, _, head| {
                acted.get(head.hash).map(|last_ms| (asker.as_of_ms - last_ms).max(0) as f64 / MINUTE)
            }),
            Op::CrossSessionCategoryShare => {
                let all = f64::from(self.session_wishes);
                let shares = self.session_categories.iter().map(|(c, n)| (*c, f64::from(*n) / all));
                each((self.session_wishes > 0).then(|| numbers(shares)), rows, put, share_of);
            }
            Op::CrossUserCategoryShare => {
                let all = self.user_wishes as f64;
                let shares = self.user_categories.iter().map(|c| (c.category, (f64::from(c.count) / all).min(1.0)));
                each((self.user_wishes > 0).then(|| numbers(shares)), rows, put, share_of);
            }
            Op::CrossSameCategoryAsLast => {
                each(self.last_category, rows, put, |last, _, head| flag(head.primary() == Some(*last)));
            }
            Op::CrossSameBrandAsLast => each(self.last_brand, rows, put, |last, _, head| flag(*last == head.brand)),
            Op::CrossPriceRatio => {
                each(self.price_mean.filter(|m| *m > 0.0), rows, put, |mean, _, head| Some(head.price / mean));
            }
            Op::CrossCovisitation => each(self.covisited.as_ref(), rows, put, |covisited, item, _| {
                covisited.get(u64::from(item)).map(|bits| f64::from(f32::from_bits(bits as u32)))
            }),
            Op::ContextItemCount { dimension, window } => {
                each(self.contexts[usize::from(*dimension)], rows, put, |context, item, _| {
                    context.count(item, *window, asker.as_of_ms).map(|n| n as f64)
                });
            }
            Op::CrossInteracted(alike) => {
                let acted = self.acted_on.iter().find(|(place, _)| *place == alike.place);
                each(acted, rows, put, |(_, acted), item, _| {
                    let value = state.likeness_key(item, &alike.key)?;
                    Some(acted.iter().find(|(v, _)| *v == value).map_or(0.0, |(_, n)| f64::from(*n)))
                });
            }
            Op::PairAggregate(reading) => each(Some(&self.anchors), rows, put, |anchors, item, _| {
                state.pair_reading(anchor_of(item, &anchors[..])?, item, reading, asker.as_of_ms)
            }),
            Op::ArmAggregate(reading) => each(Some(()), rows, put, |(), _, head| {
                state.shared_reading(Owner::Arm, drawn_key(head.hash), reading, asker.as_of_ms)
            }),
            Op::Published(name) => {
                each(asker.published.as_ref(), rows, put, |published, _, head| published.item(head.hash, *name));
            }
            Op::ItemNeighbours => each(Some(()), rows, put, |(), item, _| Some(covis.degree(item) as f64)),
            _ => each(None::<()>, rows, put, |(), _, _| None),
        }
    }

    /// True for the features that are the same for all items of a primary category.
    pub fn is_of_category(op: &Op) -> bool {
        matches!(op, Op::CrossSessionCategoryShare | Op::CrossUserCategoryShare | Op::CrossSameCategoryAsLast)
    }

    /// The categories that the session or the user had to do with, some twice.
    pub fn categories(&self) -> impl Iterator<Item = u64> + '_ {
        let session = self.session_categories.iter().map(|(category, _)| *category);
        session.chain(self.user_categories.iter().map(|c| c.category)).chain(self.last_category)
    }

    /// A feature of `is_of_category` for a primary category.
    pub fn of_category(&self, category: Category, op: &Op) -> Option<f64> {
        match op {
            Op::CrossSessionCategoryShare => {
                let category = category.given()?;
                let own = self.session_categories.iter().find(|(c, _)| category == Some(*c)).map_or(0, |(_, n)| *n);
                (self.session_wishes > 0).then(|| f64::from(own) / f64::from(self.session_wishes))
            }
            Op::CrossUserCategoryShare => {
                let category = category.given()?;
                let own = self.user_categories.iter().find(|c| category == Some(c.category)).map_or(0, |c| c.count);
                (self.user_wishes > 0).then(|| (f64::from(own) / self.user_wishes as f64).min(1.0))
            }
            Op::CrossSameCategoryAsLast => {
                let last = self.last_category?;
                Some(f64::from(u8::from(category == Category::Known(last))))
            }
            _ => None,
        }
    }
}

/// Numbers by key.
fn numbers(pairs: impl ExactSizeIterator<Item = (u64, f64)>) -> Lookup {
    Lookup::of(pairs.map(|(key, number)| (key, number.to_bits() as i64)))
}

/// The number of the primary category of a row, 0 for one that has none.
fn share_of(shares: &Lookup, _: u32, head: &Head) -> Option<f64> {
    Some(shares.get(head.primary()?).map_or(0.0, |bits| f64::from_bits(bits as u64)))
}

/// `of` for every row; where what they have in common is missing, none of them has a value.
fn each<'h, T>(
    given: Option<T>,
    rows: impl Iterator<Item = (u32, &'h Head)>,
    mut put: impl FnMut(Option<f64>),
    of: impl Fn(&T, u32, &Head) -> Option<f64>,
) {
    match given {
        None => rows.for_each(|_| put(None)),
        Some(given) => rows.for_each(|(item, head)| put(of(&given, item, head))),
    }
}
