//! Feature vectors: one row per item, computed from the live views at one moment.
//!
//! The moment is an argument. Rows are f32, in the order of the plan; what cannot be computed is the feature's default,
//! and no value is ever NaN or infinite.

use crate::fold::contexts::DIMENSIONS;
use crate::fold::plan::{Count, Feature, Moment, Op, Plan, Rate, Scope, Statistic};
use crate::fold::shared::{rate, Stats};
use crate::fold::state::State;
use crate::fold::step::{is_positive, Catalog};
use crate::fold::user::{Recent, Session, User};
use crate::hash::id_hash;
use crate::items::Value as ItemValue;
use crate::recall::covis::Covis;
use crate::record::EventType;
use serde_json::Value;

const MINUTE: f64 = 60_000.0;

/// Who asks, where and when.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    pub user: Option<&'a User>,
    /// JSON of what `PUT /v1/users` said.
    pub profile: Option<&'a [u8]>,
    pub session_id: &'a str,
    /// (key, value) pairs of the request's context.
    pub context: &'a [(String, String)],
    pub as_of_ms: i64,
}

impl<'a> Asker<'a> {
    /// A value of the request's context, else what the user's latest events said of it.
    fn context(&self, key: &str) -> Option<&'a str> {
        let given = self.context.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        let last = || {
            let last = &self.user?.context;
            match key {
                "device" => last.device.as_deref(),
                "country" => last.country.as_deref(),
                "channel" => last.channel.as_deref(),
                _ => None,
            }
        };
        given.or_else(last)
    }
}

/// What the cross features of one request share.
struct Shared<'a> {
    session: Option<&'a Session>,
    /// Entries of the session, oldest first.
    entries: Vec<&'a Recent>,
    /// Primary categories of the session's wanted items with their counts.
    session_categories: Vec<(u64, u32)>,
    last: Option<u64>,
    price_mean: Option<f64>,
    covisited: Vec<(u32, f32)>,
    /// The profile, read when a feature of the plan needs it.
    profile: Value,
}

impl State {
    /// Fills `out` (len = items × plan) row by row. `covis` is the state's own, taken out of it for its scratch space.
    pub fn vectors(&self, covis: &mut Covis, plan: &Plan, asker: &Asker<'_>, items: &[u32], out: &mut [f32]) {
        let shared = self.shared(covis, plan, asker);
        let once = self.once(plan, asker, &shared);
        for (row, item) in out.chunks_exact_mut(plan.len().max(1)).zip(items) {
            row.copy_from_slice(&once);
            for (slot, f) in row.iter_mut().zip(&plan.features) {
                let value = match f.scope {
                    Scope::Item => self.item_value(covis, *item, &f.op, asker.as_of_ms),
                    Scope::Seller => self.seller_value(*item, &f.op, asker.as_of_ms),
                    Scope::Category => self.category_value(*item, &f.op, asker.as_of_ms),
                    Scope::Cross => self.cross_value(*item, asker, &shared, &f.op),
                    _ => continue,
                };
                *slot = finite(value, f.default);
            }
        }
    }

    /// The row of a request before any item: user, session and context features, defaults elsewhere.
    pub fn asker_row(&self, covis: &mut Covis, plan: &Plan, asker: &Asker<'_>) -> Vec<f32> {
        let shared = self.shared(covis, plan, asker);
        self.once(plan, asker, &shared)
    }

    fn once(&self, plan: &Plan, asker: &Asker<'_>, shared: &Shared<'_>) -> Vec<f32> {
        let value = |f: &Feature| match f.scope {
            Scope::User if matches!(f.op, Op::UserAttribute { .. }) => attribute(&shared.profile, &f.op),
            Scope::User => asker.user.and_then(|u| self.user_value(u, &f.op, asker.as_of_ms)),
            Scope::Session => self.session_value(shared, &f.op, asker.as_of_ms),
            Scope::Context => self.context_value(asker, &f.op),
            _ => None,
        };
        plan.features.iter().map(|f| finite(value(f), f.default)).collect()
    }

    fn shared<'a>(&self, covis: &mut Covis, plan: &Plan, asker: &Asker<'a>) -> Shared<'a> {
        let session = asker.user.and_then(|u| u.session(asker.session_id));
        let entries: Vec<&Recent> = match (asker.user, session) {
            (Some(u), Some(s)) => u.recent.iter().filter(|r| r.session == s.number).collect(),
            _ => Vec::new(),
        };
        let mut session_categories: Vec<(u64, u32)> = Vec::new();
        let mut prices = crate::fold::moments::Moments::default();
        for r in entries.iter().filter(|r| is_positive(r.event_type)) {
            let facts = self.facts.facts(r.item);
            if let Some(price) = facts.price {
                prices.add(price);
            }
            if let Some(category) = facts.categories.first() {
                match session_categories.iter_mut().find(|(c, _)| c == category) {
                    Some(entry) => entry.1 += 1,
                    None => session_categories.push((*category, 1)),
                }
            }
        }
        let wanted: Vec<u32> = entries
            .iter()
            .rev()
            .filter(|r| is_positive(r.event_type))
            .filter_map(|r| self.catalogue.ids().by_hash(r.item))
            .take(10)
            .collect();
        let mut covisited = covis.recall(&wanted, 200);
        covisited.sort_unstable_by_key(|(item, _)| *item);
        let profile = asker.profile.filter(|_| plan.features.iter().any(|f| matches!(f.op, Op::UserAttribute { .. })));
        Shared {
            session,
            last: entries.iter().rev().find(|r| is_positive(r.event_type)).map(|r| r.item),
            entries,
            session_categories,
            price_mean: prices.mean().or_else(|| asker.user.and_then(|u| u.price.mean())),
            covisited,
            profile: profile.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default(),
        }
    }

    fn user_value(&self, user: &User, op: &Op, as_of: i64) -> Option<f64> {
        let count = |slot: u8, window| {
            let event_type = EventType::from_u8(slot).ok()?;
            Some(user.counter(event_type).map_or(0, |c| c.in_window(window, as_of)) as f64)
        };
        match op {
            Op::UserCount(c) => count(c.slot, c.window),
            Op::UserDecayed { slot, half_life_ms } => {
                let event_type = EventType::from_u8(*slot).ok()?;
                Some(user.counter(event_type).map_or(0.0, |c| c.decayed(*half_life_ms, as_of)))
            }
            Op::UserRate(r) => {
                Some(rate(count(r.hits, r.window)?, count(r.trials, r.window)?, r.prior_rate, r.prior_strength))
            }
            Op::UserMoment { of, statistic } => {
                let m = match of {
                    Moment::Dwell => &user.dwell,
                    Moment::Price => &user.price,
                    Moment::OrderValue => &user.order_value,
                };
                match statistic {
                    Statistic::Count => Some(m.count as f64),
                    Statistic::Sum => Some(m.sum()),
                    Statistic::Mean => m.mean(),
                    Statistic::Deviation => m.deviation(),
                }
            }
            Op::UserSessions => Some(f64::from(user.sessions_total)),
            Op::UserCategories => Some(user.categories.len() as f64),
            Op::UserAgeDays => (user.first_ms > 0).then(|| (as_of - user.first_ms).max(0) as f64 / (1440.0 * MINUTE)),
            Op::UserIdleHours => (user.last_ms > 0).then(|| (as_of - user.last_ms).max(0) as f64 / (60.0 * MINUTE)),
            _ => None,
        }
    }

    fn session_value(&self, shared: &Shared<'_>, op: &Op, as_of: i64) -> Option<f64> {
        let session = shared.session?;
        Some(match op {
            Op::SessionCount { slot } => f64::from(*session.counts.get(*slot as usize)?),
            Op::SessionItems => shared.entries.len() as f64,
            Op::SessionDistinctItems => {
                let mut items: Vec<u64> = shared.entries.iter().map(|r| r.item).collect();
                items.sort_unstable();
                items.dedup();
                items.len() as f64
            }
            Op::SessionDistinctCategories => shared.session_categories.len() as f64,
            Op::SessionDwellMean => {
                let dwelt = shared.entries.iter().filter(|r| r.dwell_ms > 0).count();
                if dwelt == 0 {
                    return None;
                }
                shared.entries.iter().map(|r| f64::from(r.dwell_ms)).sum::<f64>() / dwelt as f64 / 1000.0
            }
            Op::SessionDurationMinutes => (session.last_ms - session.started_ms) as f64 / MINUTE,
            Op::SessionIdleMinutes => (as_of - session.last_ms).max(0) as f64 / MINUTE,
            Op::SessionScroll => f64::from(session.scroll_pct_max),
            Op::SessionCartItems => session.cart.len() as f64,
            Op::SessionCartQuantity => session.cart.iter().map(|(_, n)| f64::from(*n)).sum(),
            Op::SessionCartValue => {
                session.cart.iter().map(|(i, n)| self.facts.facts(*i).price.unwrap_or(0.0) * f64::from(*n)).sum()
            }
            Op::SessionPriceMean => return shared.price_mean,
            _ => return None,
        })
    }

    fn stats_value(stats: Option<&Stats>, op: &Op, as_of: i64) -> Option<f64> {
        let none = Stats::default();
        let stats = stats.unwrap_or(&none);
        let ratio = |r: &Rate| {
            let (hits, trials) =
                (stats.slot_count(r.hits, r.window, as_of) as f64, stats.slot_count(r.trials, r.window, as_of) as f64);
            rate(hits, trials, r.prior_rate, r.prior_strength)
        };
        match op {
            Op::ItemCount(Count { slot, window })
            | Op::CategoryCount(Count { slot, window })
            | Op::SellerCount(Count { slot, window }) => Some(stats.slot_count(*slot, *window, as_of) as f64),
            Op::ItemDecayed { slot, half_life_ms } => {
                Some(stats.get(*slot).map_or(0.0, |c| c.decayed(*half_life_ms, as_of)))
            }
            Op::ItemRate(r) | Op::CategoryRate(r) | Op::SellerRate(r) | Op::ContextRate { rate: r, .. } => {
                Some(ratio(r))
            }
            Op::ItemPopularity { half_life_ms } | Op::CategoryPopularity { half_life_ms } => {
                Some(stats.popularity(*half_life_ms, as_of))
            }
            Op::ItemTrend | Op::CategoryTrend => Some(stats.trend(as_of)),
            Op::ItemDwellMean => stats.dwell.mean().map(|ms| ms / 1000.0),
            Op::ItemRevenue => Some(stats.revenue.sum()),
            _ => None,
        }
    }

    fn item_value(&self, covis: &Covis, item: u32, op: &Op, as_of: i64) -> Option<f64> {
        match op {
            Op::ItemPrice => self.catalogue.get(item)?.price,
            Op::ItemPriceBucket => Some((1.0 + self.catalogue.get(item)?.price?).log2().floor()),
            Op::ItemAttribute { key } => {
                let name = self.catalogue.labels().index(key)?;
                let found = self.catalogue.get(item)?.attributes.iter().find(|a| a.name == name)?;
                match found.value {
                    ItemValue::Number(n) => Some(n),
                    ItemValue::Bool(b) => Some(f64::from(u8::from(b))),
                    _ => None,
                }
            }
            Op::ItemAgeDays => {
                let since = self.catalogue.get(item)?.added_ms();
                Some((as_of - since).max(0) as f64 / (1440.0 * MINUTE))
            }
            Op::ItemAvailable => Some(f64::from(u8::from(self.catalogue.get(item)?.available))),
            Op::ItemNeighbours => Some(covis.neighbours(item).len() as f64),
            _ => Self::stats_value(self.items.get(item as usize), op, as_of),
        }
    }

    fn category_value(&self, item: u32, op: &Op, as_of: i64) -> Option<f64> {
        let category = self.facts.facts(id_hash(self.catalogue.ids().id(item))).categories.first()?;
        Self::stats_value(self.categories.get(*category), op, as_of)
    }

    fn seller_value(&self, item: u32, op: &Op, as_of: i64) -> Option<f64> {
        let seller = self.facts.facts(id_hash(self.catalogue.ids().id(item))).seller?;
        Self::stats_value(self.categories.get(seller), op, as_of)
    }

    fn context_value(&self, asker: &Asker<'_>, op: &Op) -> Option<f64> {
        let hours = asker.as_of_ms.div_euclid(3_600_000);
        match op {
            Op::ContextHour => Some(hours.rem_euclid(24) as f64),
            // 1970-01-01 was a Thursday.
            Op::ContextWeekend => Some(f64::from(u8::from((hours.div_euclid(24) + 3).rem_euclid(7) >= 5))),
            Op::ContextIs { key, value } => Some(f64::from(u8::from(asker.context(key) == Some(value)))),
            Op::ContextNumber { key } => leading_number(asker.context(key)?),
            Op::ContextRate { dimension, .. } => {
                let value = asker.context(DIMENSIONS[*dimension as usize])?;
                Self::stats_value(Some(&self.contexts.get(*dimension, value)?.stats), op, asker.as_of_ms)
            }
            _ => None,
        }
    }

    fn cross_value(&self, item: u32, asker: &Asker<'_>, shared: &Shared<'_>, op: &Op) -> Option<f64> {
        let hash = id_hash(self.catalogue.ids().id(item));
        let flag = |b: bool| Some(f64::from(u8::from(b)));
        let category = || self.facts.facts(hash).categories.first().copied();
        match op {
            Op::CrossInCart => flag(shared.session?.cart.iter().any(|(i, _)| *i == hash)),
            Op::CrossClicked => flag(asker.user?.clicked.contains(hash)),
            Op::CrossBought => flag(asker.user?.bought.contains(hash)),
            Op::CrossMinutesSince => {
                let last = asker.user?.recent.iter().rev().find(|r| r.item == hash)?;
                Some((asker.as_of_ms - last.ts_ms).max(0) as f64 / MINUTE)
            }
            Op::CrossSessionCategoryShare => {
                let total: u32 = shared.session_categories.iter().map(|(_, n)| n).sum();
                let category = category()?;
                let own = shared.session_categories.iter().find(|(c, _)| *c == category).map_or(0, |(_, n)| *n);
                (total > 0).then(|| f64::from(own) / f64::from(total))
            }
            Op::CrossUserCategoryShare => {
                let user = asker.user?;
                let category = category()?;
                let own = user.categories.iter().find(|c| c.category == category).map_or(0, |c| u64::from(c.count));
                let wishes: u64 = user.counts.iter().filter(|(t, _)| is_positive(*t)).map(|(_, c)| c.total()).sum();
                (wishes > 0).then(|| (own as f64 / wishes as f64).min(1.0))
            }
            Op::CrossSameCategoryAsLast => {
                let last = self.facts.facts(shared.last?).categories.first().copied()?;
                flag(category() == Some(last))
            }
            Op::CrossSameBrandAsLast => {
                let last = self.catalogue.get(self.catalogue.ids().by_hash(shared.last?)?)?.brand?;
                flag(self.catalogue.get(item)?.brand == Some(last))
            }
            Op::CrossPriceRatio => {
                let mean = shared.price_mean.filter(|m| *m > 0.0)?;
                Some(self.catalogue.get(item)?.price? / mean)
            }
            Op::CrossCovisitation => {
                let at = shared.covisited.binary_search_by_key(&item, |(i, _)| *i).ok()?;
                Some(f64::from(shared.covisited[at].1))
            }
            Op::ContextItemCount { dimension, window } => {
                let value = asker.context(DIMENSIONS[*dimension as usize])?;
                let counter = self.contexts.get(*dimension, value)?.item(item)?;
                Some(counter.in_window(*window, asker.as_of_ms) as f64)
            }
            _ => None,
        }
    }
}

/// A number or flag of the profile's attributes; with `value`, whether it is that text.
fn attribute(profile: &Value, op: &Op) -> Option<f64> {
    let Op::UserAttribute { key, value } = op else { return None };
    let given = profile.get("attributes")?.get(key)?;
    let flag = |b: bool| f64::from(u8::from(b));
    match value {
        Some(wanted) => Some(flag(given.as_str() == Some(wanted))),
        None => given.as_f64().or(given.as_bool().map(flag)),
    }
}

/// The number that a text begins with: 7 of `7.2.1`.
fn leading_number(text: &str) -> Option<f64> {
    let text = text.trim_start_matches('v');
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

fn finite(value: Option<f64>, default: f32) -> f32 {
    // Adding 0 turns -0 into 0: sums of nothing print as people expect.
    value.map(|v| v as f32 + 0.0).filter(|v| v.is_finite()).unwrap_or(default)
}
