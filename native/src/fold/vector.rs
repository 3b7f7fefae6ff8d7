//! Feature vectors: one row per item, computed from the live views at one moment.
//!
//! The moment is an argument. Rows are f32, in the order of the plan; what cannot be computed is the feature's default,
//! and no value is ever NaN or infinite.

use crate::fold::blocks::{finite, minute_of, stats_value, Blocks, Column};
use crate::fold::contexts::DIMENSIONS;
use crate::fold::cross::Shared;
use crate::fold::fields::{local_time, profile_size, words_of};
use crate::fold::near::Near;
use crate::fold::own::Own;
use crate::fold::plan::{Feature, Moment, Op, Plan, Scope, Statistic};
use crate::fold::published::View;
use crate::fold::shared::rate;
use crate::fold::state::State;
use crate::fold::step::Catalog;
use crate::fold::user::User;
use crate::recall::covis::Covis;
use crate::recall::merge::Candidate;
use crate::recall::text::TextIndex;
use crate::recall::vectors::VectorTable;
use crate::record::EventType;
use serde_json::Value;

const MINUTE: f64 = 60_000.0;

/// Who asks, where and when.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    pub user: Option<&'a User>,
    /// A team's own aggregates of that user.
    pub own: Option<&'a Own>,
    /// JSON of what `PUT /v1/users` said.
    pub profile: Option<&'a [u8]>,
    pub session_id: &'a str,
    /// Name of the surface, empty without one.
    pub surface: &'a str,
    /// By which arms the list is made: surface and bundle.
    pub arms: [&'a str; 2],
    /// (key, value) pairs of the request's context.
    pub context: &'a [(String, String)],
    /// The session's vector, with the items' vectors that it is to be multiplied with.
    pub session: Option<(&'a [f32], &'a VectorTable)>,
    /// The same for the past of the user and the session together; the session's where nothing is known of the past.
    pub fused: Option<(&'a [f32], &'a VectorTable)>,
    /// Of the model in use.
    pub vectors: Option<&'a VectorTable>,
    /// Words of all items, up to date, when the plan asks for matches.
    pub text: Option<&'a TextIndex>,
    /// What the sources found, in the order of the rows; empty when nothing was asked of them.
    pub found: &'a [Candidate],
    /// What batch jobs published, when anything is declared to be.
    pub published: Option<View<'a>>,
    pub as_of_ms: i64,
}

impl<'a> Asker<'a> {
    /// Session vector times item vector for each item, for a light model; nothing at all without a session vector.
    pub fn rough_affinities(&self, items: impl Iterator<Item = u32> + Clone) -> Vec<f32> {
        let mut found = Vec::new();
        if let Some((session, vectors)) = self.session {
            vectors.rough_affinities(items, session, &mut found);
        }
        found
    }

    /// A value of the request's context, else what the user's latest events said of it.
    pub fn context(&self, key: &str) -> Option<&'a str> {
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

impl State {
    /// Rows of the items one after another, items × plan values. `covis` is the state's own, taken out of it for its
    /// scratch space; `blocks` are those of the plan.
    pub fn vectors(
        &self,
        covis: &mut Covis,
        blocks: &mut Blocks,
        plan: &Plan,
        asker: &Asker<'_>,
        items: &[u32],
    ) -> Vec<f32> {
        let shared = self.shared(covis, plan, asker);
        let once = self.once(plan, asker, &shared);
        let minute = minute_of(asker.as_of_ms);
        blocks.begin(self);
        let mut places = Vec::with_capacity(items.len());
        blocks.bring(self, items.iter().copied(), minute, &mut places);
        // What depends on the item and the asker, column by column, then every row in one go.
        let mut crossed = Vec::with_capacity(items.len() * blocks.cross().len());
        let mut near = Near::default();
        for column in blocks.cross() {
            self.cross_column(covis, blocks, asker, &shared, &mut near, column, items, &places, &mut crossed);
        }
        let mut out = Vec::with_capacity(items.len() * plan.len());
        for (n, at) in places.iter().enumerate() {
            let from = out.len();
            out.extend_from_slice(&once);
            blocks.write(self, *at, minute, &mut out[from..]);
            for (column, values) in blocks.cross().iter().zip(crossed.chunks_exact(items.len())) {
                out[from + column.at] = values[n];
            }
        }
        if let Some(published) = &asker.published {
            let hashes = places.iter().map(|at| blocks.head(*at).hash);
            published.write(blocks.cross(), hashes, plan.len().max(1), &mut out);
        }
        out
    }

    /// Appends one value for each item, the column's default where there is none.
    #[allow(clippy::too_many_arguments)]
    fn cross_column(
        &self,
        covis: &Covis,
        blocks: &Blocks,
        asker: &Asker<'_>,
        shared: &Shared<'_>,
        near: &mut Near,
        column: &Column,
        items: &[u32],
        places: &[u32],
        out: &mut Vec<f32>,
    ) {
        let until = out.len() + items.len();
        if let Some(values) = self.of_cascade(asker, shared, near, &column.op, items) {
            out.extend(values);
        } else if matches!(column.op, Op::Published(_)) {
            // Written row by row when the rows are there; where nothing was published they hold the default.
        } else if let Op::CrossMatch(how) = &column.op {
            let values = asker.matches(self, how, items).into_iter().flatten();
            out.extend(values.map(|value| finite(Some(f64::from(value)), column.default)));
        } else if matches!(column.op, Op::Affinity) {
            let values = affinities(asker.session, items.iter().copied()).into_iter();
            out.extend(values.map(|value| finite(Some(f64::from(value)), column.default)));
        } else if matches!(column.op, Op::AffinityUser) {
            let values = affinities(asker.fused, items.iter().copied()).into_iter();
            out.extend(values.map(|value| finite(Some(f64::from(value)), column.default)));
        } else {
            let rows = blocks.rows(items.iter().copied(), places);
            shared.column(self, covis, asker, rows, &column.op, |value| out.push(finite(value, column.default)));
        }
        out.resize(until, column.default);
    }

    /// The row of a request before any item: user, session and context features, defaults elsewhere.
    pub fn asker_row(&self, covis: &mut Covis, plan: &Plan, asker: &Asker<'_>) -> Vec<f32> {
        let shared = self.shared(covis, plan, asker);
        self.once(plan, asker, &shared)
    }

    fn once(&self, plan: &Plan, asker: &Asker<'_>, shared: &Shared<'_>) -> Vec<f32> {
        let value = |f: &Feature| match f.scope {
            Scope::User | Scope::Session | Scope::Context if matches!(f.op, Op::Aggregate(_)) => {
                let Op::Aggregate(reading) = &f.op else { return None };
                self.asker_reading(asker, f.scope, reading)
            }
            Scope::Context if matches!(f.op, Op::ArmAggregate(_)) => {
                let Op::ArmAggregate(reading) = &f.op else { return None };
                self.arm_reading(asker, reading)
            }
            Scope::User if matches!(f.op, Op::UserWord(_)) => {
                let Op::UserWord(word) = &f.op else { return None };
                word.of_profile(&shared.profile)
            }
            Scope::User if matches!(f.op, Op::UserSize { .. }) => {
                let Op::UserSize { key } = &f.op else { return None };
                profile_size(&shared.profile, key)
            }
            Scope::User if matches!(f.op, Op::UserAttribute { .. }) => attribute(&shared.profile, &f.op),
            Scope::User if matches!(f.op, Op::Published(_)) => {
                let Op::Published(name) = &f.op else { return None };
                asker.published?.user(*name)
            }
            Scope::User => asker.user.and_then(|u| self.user_value(u, &f.op, asker.as_of_ms)),
            Scope::Session => self.session_value(shared, &f.op, asker.as_of_ms),
            Scope::Context => self.context_value(asker, &f.op),
            _ => None,
        };
        plan.features.iter().map(|f| finite(value(f), f.default)).collect()
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

    fn context_value(&self, asker: &Asker<'_>, op: &Op) -> Option<f64> {
        let hours = asker.as_of_ms.div_euclid(3_600_000);
        match op {
            Op::ContextHour => Some(hours.rem_euclid(24) as f64),
            // 1970-01-01 was a Thursday.
            Op::ContextWeekend => Some(f64::from(u8::from((hours.div_euclid(24) + 3).rem_euclid(7) >= 5))),
            Op::SurfaceIs { value } => Some(f64::from(u8::from(asker.surface == value))),
            Op::ContextIs { key, value } => Some(f64::from(u8::from(asker.context(key) == Some(value)))),
            Op::ContextWord(word) => word.of_text(asker.context(&word.key)),
            Op::ContextLocal { weekday, offset_min } => Some(local_time(asker.as_of_ms, *offset_min, *weekday)),
            Op::ContextSize { key } => words_of(asker.context(key)?),
            Op::ContextNumber { key } => leading_number(asker.context(key)?),
            Op::ContextRate { dimension, .. } => {
                let value = asker.context(DIMENSIONS[*dimension as usize])?;
                stats_value(Some(&self.contexts.get(*dimension, value)?.stats), op, asker.as_of_ms)
            }
            _ => None,
        }
    }
}

/// A vector times item vector for each item, 0 for one without; nothing at all without a vector.
fn affinities(of: Option<(&[f32], &VectorTable)>, items: impl Iterator<Item = u32>) -> Vec<f32> {
    let (mut hits, mut found) = (Vec::new(), Vec::new());
    if let Some((vector, vectors)) = of {
        vectors.affinities(items, vector, &mut hits, &mut found);
    }
    found
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

#[cfg(test)]
#[path = "vector_tests.rs"]
mod tests;
