//! The compiled form of feature definitions: a list of operations over the views.
//!
//! Definitions live in `rtp_monolith/features/catalog.py` and are compiled to JSON there; an operation that this file
//! does not know, or an argument that does not fit, is refused when the plan is loaded and never at request time.

use serde::Deserialize;

use crate::cascade::SOURCES;
use crate::error::{Error, Result};
use crate::fold::arms::{ARM_DIMENSIONS, EXPLORED};
use crate::fold::contexts::DIMENSIONS;
use crate::fold::counter::Window;
use crate::fold::fields::{number_alike, Alike, Word};
use crate::fold::matching::TextMatch;
use crate::fold::reading::{Read, Reading};
use crate::fold::shared::SERVED;
use crate::record::{EventType, EVENT_TYPES};

/// Whom a feature describes; user, session and context features are computed once per request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    User,
    Session,
    Item,
    Category,
    Seller,
    Context,
    Cross,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    Dwell,
    Price,
    OrderValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    Count,
    Sum,
    Mean,
    Deviation,
}

/// A counter slot with its window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Count {
    pub slot: u8,
    pub window: Window,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    pub hits: u8,
    pub trials: u8,
    pub window: Window,
    pub prior_rate: f64,
    pub prior_strength: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    UserCount(Count),
    UserDecayed {
        slot: u8,
        half_life_ms: i64,
    },
    UserRate(Rate),
    UserMoment {
        of: Moment,
        statistic: Statistic,
    },
    UserSessions,
    UserCategories,
    UserAgeDays,
    UserIdleHours,
    /// Of what `PUT /v1/users` said: the number, or 1 when it is `value`.
    UserAttribute {
        key: String,
        value: Option<String>,
    },
    SessionCount {
        slot: u8,
    },
    SessionItems,
    SessionDistinctItems,
    SessionDistinctCategories,
    SessionDwellMean,
    SessionDurationMinutes,
    SessionIdleMinutes,
    SessionScroll,
    SessionCartItems,
    SessionCartQuantity,
    SessionCartValue,
    SessionPriceMean,
    ItemCount(Count),
    ItemDecayed {
        slot: u8,
        half_life_ms: i64,
    },
    ItemRate(Rate),
    ItemPopularity {
        half_life_ms: i64,
    },
    ItemTrend,
    ItemDwellMean,
    ItemRevenue,
    ItemPrice,
    ItemPriceBucket,
    ItemAttribute {
        key: String,
    },
    ItemAgeDays,
    ItemAvailable,
    ItemNeighbours,
    CategoryCount(Count),
    CategoryRate(Rate),
    CategoryPopularity {
        half_life_ms: i64,
    },
    CategoryTrend,
    SellerCount(Count),
    SellerRate(Rate),
    ContextHour,
    ContextWeekend,
    ContextIs {
        key: String,
        value: String,
    },
    ContextNumber {
        key: String,
    },
    ContextRate {
        dimension: u8,
        rate: Rate,
    },
    /// 1 on the surface of that name.
    SurfaceIs {
        value: String,
    },
    ContextItemCount {
        dimension: u8,
        window: Window,
    },
    CrossInCart,
    CrossClicked,
    CrossBought,
    CrossMinutesSince,
    CrossSessionCategoryShare,
    CrossUserCategoryShare,
    CrossSameCategoryAsLast,
    CrossSameBrandAsLast,
    CrossPriceRatio,
    CrossCovisitation,
    /// Session vector times item vector; 0 without either.
    Affinity,
    /// The same with the past of the user in it.
    AffinityUser,
    /// What the sources of this request said of the item, all together.
    FoundScore,
    /// 1 when the source of that bit found the item.
    FoundBy {
        source: u8,
    },
    /// Cosine of the item's vector with those of what the visitor wanted lately.
    Near(Nearness),
    ItemWord(Word),
    UserWord(Word),
    ContextWord(Word),
    /// Hour or weekday where the clock is so many minutes ahead of UTC.
    ContextLocal {
        weekday: bool,
        offset_min: i64,
    },
    CrossInteracted(Alike),
    /// Words of a text, elements of a list.
    ItemSize {
        key: String,
    },
    UserSize {
        key: String,
    },
    ContextSize {
        key: String,
    },
    /// How well a text of the request matches what the item says.
    CrossMatch(TextMatch),
    /// What was published of the user or the item, by the hash of the feature's name.
    Published(u64),
    /// A team's own aggregate; whose, says the scope.
    Aggregate(Box<Reading>),
    /// One of what the session took up last and the item.
    PairAggregate(Box<Reading>),
    /// One of the arm that makes the list; of the explored slot, of the item.
    ArmAggregate(Box<Reading>),
}

/// Which wishes an item is compared with, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nearness {
    /// The mean of the session's last wishes.
    Mean,
    /// The nearest of them.
    Max,
    /// The last of them.
    Last,
    /// The mean of what was wanted in earlier sessions.
    Before,
}

/// One feature of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    pub name: String,
    pub op: Op,
    pub scope: Scope,
    /// Value when there is nothing to compute from.
    pub default: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub features: Vec<Feature>,
    pub digest: u64,
}

/// The JSON form of one feature; which arguments an operation needs is checked in `compile`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    name: String,
    op: String,
    /// Of the feature's meaning; it is part of the digest and of nothing else.
    #[serde(default, rename = "version")]
    _version: u32,
    #[serde(default)]
    default: f32,
    event: Option<String>,
    hits: Option<String>,
    trials: Option<String>,
    window_ms: Option<i64>,
    half_life_ms: Option<i64>,
    prior_rate: Option<f64>,
    prior_strength: Option<f64>,
    moment: Option<Moment>,
    statistic: Option<Statistic>,
    key: Option<String>,
    value: Option<String>,
    read: Option<Read>,
    trials_key: Option<String>,
    refunds_key: Option<String>,
    words: Option<Vec<String>>,
    ttl_ms: Option<i64>,
    dimension: Option<String>,
    utc_offset_min: Option<i64>,
}

impl Plan {
    pub fn parse(json: &[u8]) -> Result<Plan> {
        let specs: Vec<Spec> = serde_json::from_slice(json)
            .map_err(|e| Error::invalid("bad_feature", "", format!("the plan cannot be read: {e}")))?;
        let features = specs.into_iter().map(Spec::compile).collect::<Result<Vec<_>>>()?;
        let mut plan = Plan { features, digest: xxhash_rust::xxh3::xxh3_64(json) };
        number_alike(&mut plan);
        Ok(plan)
    }

    /// Whether the text index must be up to date before its rows are made.
    pub fn reads_text(&self) -> bool {
        self.features.iter().any(|f| matches!(f.op, Op::CrossMatch(_)))
    }

    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// User, session and context features of one row by name; the others describe items.
    pub fn named(&self, row: &[f32]) -> serde_json::Map<String, serde_json::Value> {
        let of_user = |s: Scope| matches!(s, Scope::User | Scope::Session);
        let features = self.features.iter().zip(row).filter(|(f, _)| of_user(f.scope));
        features.map(|(f, v)| (f.name.clone(), f64::from(*v).into())).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }
}

impl Spec {
    fn compile(self) -> Result<Feature> {
        use Op::*;
        let op = match self.op.as_str() {
            "user_count" => UserCount(self.count()?),
            "user_decayed" => UserDecayed { slot: self.slot(&self.event)?, half_life_ms: self.half_life()? },
            "user_rate" => UserRate(self.rate()?),
            "user_moment" => UserMoment {
                of: self.moment.ok_or_else(|| self.lacks("moment"))?,
                statistic: self.statistic.ok_or_else(|| self.lacks("statistic"))?,
            },
            "user_sessions" => UserSessions,
            "user_categories" => UserCategories,
            "user_age_days" => UserAgeDays,
            "user_idle_hours" => UserIdleHours,
            "user_attribute" => UserAttribute { key: self.text(&self.key, "key")?, value: self.value.clone() },
            "session_count" => SessionCount { slot: self.slot(&self.event)? },
            "session_items" => SessionItems,
            "session_distinct_items" => SessionDistinctItems,
            "session_distinct_categories" => SessionDistinctCategories,
            "session_dwell_mean" => SessionDwellMean,
            "session_duration_minutes" => SessionDurationMinutes,
            "session_idle_minutes" => SessionIdleMinutes,
            "session_scroll" => SessionScroll,
            "session_cart_items" => SessionCartItems,
            "session_cart_quantity" => SessionCartQuantity,
            "session_cart_value" => SessionCartValue,
            "session_price_mean" => SessionPriceMean,
            "item_count" => ItemCount(self.count()?),
            "item_decayed" => ItemDecayed { slot: self.slot(&self.event)?, half_life_ms: self.half_life()? },
            "item_rate" => ItemRate(self.rate()?),
            "item_popularity" => ItemPopularity { half_life_ms: self.half_life()? },
            "item_trend" => ItemTrend,
            "item_dwell_mean" => ItemDwellMean,
            "item_revenue" => ItemRevenue,
            "item_price" => ItemPrice,
            "item_price_bucket" => ItemPriceBucket,
            "item_attribute" => ItemAttribute { key: self.text(&self.key, "key")? },
            "item_age_days" => ItemAgeDays,
            "item_available" => ItemAvailable,
            "item_neighbours" => ItemNeighbours,
            "category_count" => CategoryCount(self.count()?),
            "category_rate" => CategoryRate(self.rate()?),
            "category_popularity" => CategoryPopularity { half_life_ms: self.half_life()? },
            "category_trend" => CategoryTrend,
            "seller_count" => SellerCount(self.count()?),
            "seller_rate" => SellerRate(self.rate()?),
            "context_hour" => ContextHour,
            "context_weekend" => ContextWeekend,
            "context_is" => ContextIs { key: self.text(&self.key, "key")?, value: self.text(&self.value, "value")? },
            "context_number" => ContextNumber { key: self.text(&self.key, "key")? },
            "context_rate" => ContextRate { dimension: self.dimension()?, rate: self.rate()? },
            "surface_is" => SurfaceIs { value: self.text(&self.value, "value")? },
            "context_item_count" => ContextItemCount { dimension: self.dimension()?, window: self.window()? },
            "cross_in_cart" => CrossInCart,
            "cross_clicked" => CrossClicked,
            "cross_bought" => CrossBought,
            "cross_minutes_since" => CrossMinutesSince,
            "cross_session_category_share" => CrossSessionCategoryShare,
            "cross_user_category_share" => CrossUserCategoryShare,
            "cross_same_category_as_last" => CrossSameCategoryAsLast,
            "cross_same_brand_as_last" => CrossSameBrandAsLast,
            "cross_price_ratio" => CrossPriceRatio,
            "cross_covisitation" => CrossCovisitation,
            "affinity" => Affinity,
            "affinity_user" => AffinityUser,
            "found_score" => FoundScore,
            "found_by" => FoundBy { source: self.source()? },
            "near" => Near(self.nearness()?),
            _ => self.team_op()?,
        };
        if !self.default.is_finite() {
            return Err(self.refuse("the default must be a finite number".into()));
        }
        Ok(Feature { scope: self.scope(), name: self.name, op, default: self.default })
    }

    /// Whom the operation describes: its first word.
    fn scope(&self) -> Scope {
        match self.op.split('_').next() {
            Some("item") if self.op == "item_pair_aggregate" => Scope::Cross,
            Some("arm") if self.dimension.as_deref() != Some(ARM_DIMENSIONS[EXPLORED]) => Scope::Context,
            Some("user") => Scope::User,
            Some("session") => Scope::Session,
            Some("item") => Scope::Item,
            Some("category") => Scope::Category,
            Some("seller") => Scope::Seller,
            Some("surface") => Scope::Context,
            Some("context") if self.op != "context_item_count" => Scope::Context,
            _ => Scope::Cross,
        }
    }

    fn refuse(&self, message: String) -> Error {
        Error::invalid("bad_feature", self.name.clone(), message)
    }

    fn lacks(&self, argument: &str) -> Error {
        self.refuse(format!("{} needs {argument:?}", self.op))
    }

    fn text(&self, value: &Option<String>, argument: &str) -> Result<String> {
        value.clone().ok_or_else(|| self.lacks(argument))
    }

    fn slot(&self, name: &Option<String>) -> Result<u8> {
        let name = name.as_deref().ok_or_else(|| self.lacks("event"))?;
        if name == "served" {
            return Ok(SERVED);
        }
        let found = EVENT_TYPES.iter().find(|(_, n)| *n == name).map(|(t, _)| *t as u8);
        found
            .or((name == "custom").then_some(EventType::Custom as u8))
            .ok_or_else(|| self.refuse(format!("unknown event type {name:?}")))
    }

    fn window(&self) -> Result<Window> {
        let ms = self.window_ms.ok_or_else(|| self.lacks("window_ms"))?;
        Window::from_ms(ms)
            .ok_or_else(|| self.refuse(format!("window of {ms} ms; there are 5 min, 1 h, 1 d, 7 d and 0 (lifetime)")))
    }

    fn half_life(&self) -> Result<i64> {
        self.half_life_ms.filter(|h| *h > 0).ok_or_else(|| self.lacks("half_life_ms"))
    }

    fn count(&self) -> Result<Count> {
        Ok(Count { slot: self.slot(&self.event)?, window: self.window()? })
    }

    fn prior(&self) -> Result<(f64, f64)> {
        let rate = self.prior_rate.filter(|p| (0.0..=1.0).contains(p)).ok_or_else(|| self.lacks("prior_rate"))?;
        let strength =
            self.prior_strength.filter(|s| *s > 0.0 && s.is_finite()).ok_or_else(|| self.lacks("prior_strength"))?;
        Ok((rate, strength))
    }

    fn rate(&self) -> Result<Rate> {
        let (prior_rate, prior_strength) = self.prior()?;
        let (hits, trials) = (self.slot(&self.hits)?, self.slot(&self.trials)?);
        Ok(Rate { hits, trials, window: self.window()?, prior_rate, prior_strength })
    }

    fn source(&self) -> Result<u8> {
        let name = self.text(&self.value, "value")?;
        let at = SOURCES.iter().position(|s| *s == name);
        at.map(|at| at as u8).ok_or_else(|| self.refuse(format!("{name:?} is not one of {SOURCES:?}")))
    }

    fn nearness(&self) -> Result<Nearness> {
        match self.text(&self.value, "value")?.as_str() {
            "mean" => Ok(Nearness::Mean),
            "max" => Ok(Nearness::Max),
            "last" => Ok(Nearness::Last),
            "before" => Ok(Nearness::Before),
            other => Err(self.refuse(format!("{other:?} is not mean, max, last or before"))),
        }
    }

    fn dimension(&self) -> Result<u8> {
        self.dimension_of(self.key.as_deref().ok_or_else(|| self.lacks("key"))?)
    }

    fn dimension_of(&self, key: &str) -> Result<u8> {
        DIMENSIONS
            .iter()
            .position(|d| *d == key)
            .map(|d| d as u8)
            .ok_or_else(|| self.refuse(format!("{key:?} is not one of {DIMENSIONS:?}")))
    }
}

#[path = "plan_team.rs"]
mod team;

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
