//! The part of feature rows that does not depend on who asks, kept between requests.
//!
//! Item, category and seller features are values as of the end of the minute of the request: functions of the counts, of
//! what the catalogue says, and of that minute. Invariant: what is kept equals what would be computed, bit for bit,
//! because it is used only while neither the counts, the data nor the minute that it was made of have changed. Who asks, and what a row
//! looks like, is not known here.

use rustc_hash::FxHashMap;

use crate::ahead::{fetch, in_large_pages};
use crate::fold::aggregate::Owner;
use crate::fold::counter::Counter;
use crate::fold::plan::{Count, Feature, Op, Plan, Rate, Scope};
use crate::fold::shared::{rate, Stats};
use crate::fold::state::State;
use crate::fold::step::Catalog;
use crate::fold::weight::Weight;

const MINUTE_MS: i64 = 60_000;
/// Items kept per plan; beyond it everything is made again. A request adds at most its candidates.
const ITEMS_MAX: usize = 1 << 18;
const GROUPS_MAX: usize = 1 << 16;
/// Plans kept: the catalogue's, the ranker's, and one of each while a bundle is replaced.
const PLANS_MAX: usize = 4;
/// No such place, brand or group.
pub const NONE: u32 = u32::MAX;

/// The minute of a moment; all that is kept was made as of its last millisecond.
pub fn minute_of(as_of_ms: i64) -> i64 {
    as_of_ms.div_euclid(MINUTE_MS)
}

fn end_of(minute: i64) -> i64 {
    minute.saturating_mul(MINUTE_MS).saturating_add(MINUTE_MS - 1)
}

/// A feature with its place in the row.
#[derive(Debug, Clone)]
pub struct Column {
    pub at: usize,
    pub op: Op,
    pub default: f32,
}

/// What a request reads of an item before any feature: one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub struct Head {
    minute: i64,
    pub hash: u64,
    /// Hash of the primary category; 0 without one.
    pub category: u64,
    /// NaN without one.
    pub price: f64,
    revision: u32,
    pub brand: u32,
    pub category_at: u32,
    pub seller_at: u32,
    /// What the weights make of the item's own features.
    pub score: f32,
    /// In the catalogue and to be had.
    pub available: bool,
}

impl Head {
    /// Hash of the primary category.
    #[inline]
    pub fn primary(&self) -> Option<u64> {
        (self.category_at != NONE).then_some(self.category)
    }
}

const EMPTY: Head = Head {
    minute: NEVER,
    hash: 0,
    category: 0,
    price: f64::NAN,
    revision: 0,
    brand: NONE,
    category_at: NONE,
    seller_at: NONE,
    score: 0.0,
    available: false,
};

#[derive(Debug, Clone)]
struct Group {
    hash: u64,
    minute: i64,
    score: f32,
}

/// Columns that stand side by side in a block and in a row: one copy.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Of the first, in a row and in a block.
    at: usize,
    from: usize,
    len: usize,
}

fn runs(columns: &[Column]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (from, column) in columns.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.at + run.len == column.at => run.len += 1,
            _ => runs.push(Run { at: column.at, from, len: 1 }),
        }
    }
    runs
}

/// The minute of a block that holds nothing.
const NEVER: i64 = i64::MIN;

/// Blocks of the categories, or of the sellers: both are counted under the hash of a name.
#[derive(Debug, Clone, Default)]
struct Groups {
    columns: Vec<Column>,
    runs: Vec<Run>,
    weights: Vec<Weight>,
    by_hash: FxHashMap<u64, u32>,
    heads: Vec<Group>,
    values: Vec<f32>,
    /// The score of an item that has no such group.
    none: f32,
    /// Of sellers; else of categories.
    of_sellers: bool,
}

impl Groups {
    fn place(&mut self, hash: u64) -> u32 {
        let (heads, values, width) = (&mut self.heads, &mut self.values, self.columns.len());
        *self.by_hash.entry(hash).or_insert_with(|| {
            heads.push(Group { hash, minute: NEVER, score: 0.0 });
            values.resize(heads.len() * width, 0.0);
            heads.len() as u32 - 1
        })
    }

    /// Brings the block of a group up to date.
    #[inline]
    fn bring(&mut self, state: &State, at: u32, minute: i64) -> usize {
        let at = at as usize;
        if self.heads[at].minute != minute {
            self.refresh(state, at, minute);
        }
        at
    }

    /// Forgets the blocks of groups whose counts changed.
    fn forget(&mut self, changed: Option<impl Iterator<Item = u64>>) {
        match changed {
            None => self.heads.iter_mut().for_each(|head| head.minute = NEVER),
            Some(changed) => {
                for hash in changed {
                    if let Some(at) = self.by_hash.get(&hash) {
                        self.heads[*at as usize].minute = NEVER;
                    }
                }
            }
        }
    }

    fn refresh(&mut self, state: &State, at: usize, minute: i64) {
        let head = &mut self.heads[at];
        head.minute = minute;
        let owner = if self.of_sellers { Owner::Seller } else { Owner::Category };
        let (hash, stats) = (head.hash, state.categories.get(head.hash));
        let out = &mut self.values[at * self.columns.len()..(at + 1) * self.columns.len()];
        for (slot, column) in out.iter_mut().zip(&self.columns) {
            let value = match &column.op {
                Op::Aggregate(reading) => state.shared_reading(owner, hash, reading, end_of(minute)),
                op => stats_value(stats, op, end_of(minute)),
            };
            *slot = finite(value, column.default);
        }
        head.score = weigh(&self.weights, out);
    }

    fn write(&self, at: usize, row: &mut [f32]) {
        put_runs(&self.runs, &self.values[at * self.columns.len()..], row);
    }

    fn clear(&mut self) {
        self.by_hash.clear();
        self.heads.clear();
        self.values.clear();
    }
}

/// Blocks of one plan.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    digest: u64,
    /// Changes of categories that were taken in.
    changes: u64,
    columns: Vec<Column>,
    runs: Vec<Run>,
    weights: Vec<Weight>,
    /// Place of each item in `heads`, by catalogue index.
    places: Vec<u32>,
    heads: Vec<Head>,
    values: Vec<f32>,
    categories: Groups,
    sellers: Groups,
    /// Features that are computed for each row: they depend on who asks, or change without a revision.
    cross: Vec<Column>,
}

impl Blocks {
    /// `weights`, one per feature of the plan, makes every block keep its score too.
    pub fn new(plan: &Plan, weights: Option<&[Weight]>) -> Blocks {
        let mut blocks = Blocks { digest: plan.digest, ..Blocks::default() };
        blocks.sellers.of_sellers = true;
        for (at, Feature { op, scope, default, .. }) in plan.features.iter().enumerate() {
            let column = Column { at, op: op.clone(), default: *default };
            let (columns, kept) = match scope {
                Scope::Item if *op != Op::ItemNeighbours && !matches!(op, Op::Published(_)) => {
                    (&mut blocks.columns, &mut blocks.weights)
                }
                Scope::Category => (&mut blocks.categories.columns, &mut blocks.categories.weights),
                Scope::Seller => (&mut blocks.sellers.columns, &mut blocks.sellers.weights),
                Scope::Item | Scope::Cross => {
                    blocks.cross.push(column);
                    continue;
                }
                Scope::User | Scope::Session | Scope::Context => continue,
            };
            columns.push(column);
            kept.extend(weights.and_then(|w| w.get(at)));
        }
        blocks.runs = runs(&blocks.columns);
        for groups in [&mut blocks.categories, &mut blocks.sellers] {
            groups.runs = runs(&groups.columns);
            let defaults: Vec<f32> = groups.columns.iter().map(|c| c.default).collect();
            groups.none = weigh(&groups.weights, &defaults);
        }
        blocks
    }

    /// Begins a request: from here to the next `begin` the state does not change.
    pub fn begin(&mut self, state: &State) {
        for groups in [&mut self.categories, &mut self.sellers] {
            groups.forget(state.categories.changed_since(self.changes));
        }
        self.changes = state.categories.changes();
        let groups = self.categories.heads.len().max(self.sellers.heads.len());
        if self.heads.len() > ITEMS_MAX || groups > GROUPS_MAX {
            self.places.clear();
            self.heads.clear();
            self.values.clear();
            self.categories.clear();
            self.sellers.clear();
        }
    }

    pub fn cross(&self) -> &[Column] {
        &self.cross
    }

    /// Appends the place of each item's block, brought up to date, to `places`.
    ///
    /// Memory is what this waits for, so each loop does one thing: short loops let the processor wait for many items at
    /// once.
    pub fn bring(
        &mut self,
        state: &State,
        items: impl Iterator<Item = u32> + Clone,
        minute: i64,
        places: &mut Vec<u32>,
    ) {
        let from = places.len();
        for item in items.clone() {
            let at = match self.places.get(item as usize) {
                Some(at) if *at != NONE => *at,
                _ => self.take_place(item),
            };
            places.push(at);
            fetch(&self.heads[at as usize]);
            if self.weights.is_empty() {
                fetch(&self.values[at as usize * self.columns.len()..][..self.columns.len()]);
            }
        }
        let mut stale: Vec<(u32, u32)> = Vec::new();
        for (item, at) in items.zip(&places[from..]) {
            let head = &self.heads[*at as usize];
            if head.minute != minute || head.revision != state.revision(item) {
                stale.push((item, *at));
            }
        }
        // After events many items have to be counted again: their counters are asked for before the first is read.
        let counted = |(item, _): &(u32, u32)| state.items.get(*item as usize);
        stale.iter().filter_map(counted).for_each(fetch);
        stale.iter().filter_map(counted).for_each(Stats::fetch_all);
        for (item, at) in stale {
            self.refresh(state, item, at as usize, minute);
        }
    }

    #[inline]
    pub fn head(&self, at: u32) -> &Head {
        &self.heads[at as usize]
    }

    /// Items with their heads, as the columns of a request read them.
    pub fn rows<'b>(
        &'b self,
        items: impl ExactSizeIterator<Item = u32> + Clone + 'b,
        places: &'b [u32],
    ) -> impl ExactSizeIterator<Item = (u32, &'b Head)> + Clone + 'b {
        items.zip(places).map(|(item, at)| (item, self.head(*at)))
    }

    /// Puts the item, category and seller features of an item into its row.
    #[inline]
    pub fn write(&mut self, state: &State, at: u32, minute: i64, row: &mut [f32]) {
        let at = at as usize;
        put_runs(&self.runs, &self.values[at * self.columns.len()..], row);
        let Head { category_at, seller_at, .. } = self.heads[at];
        for (groups, group) in [(&mut self.categories, category_at), (&mut self.sellers, seller_at)] {
            if group != NONE && !groups.columns.is_empty() {
                let group = groups.bring(state, group, minute);
                groups.write(group, row);
            }
        }
    }

    /// What the weights make of an item's, its category's and its seller's features.
    #[inline]
    pub fn score(&mut self, state: &State, at: u32, minute: i64) -> f32 {
        let Head { category_at, seller_at, score, .. } = self.heads[at as usize];
        let mut sum = score;
        for (groups, group) in [(&mut self.categories, category_at), (&mut self.sellers, seller_at)] {
            if groups.columns.is_empty() {
                continue;
            }
            sum += match group {
                NONE => groups.none,
                group => {
                    let group = groups.bring(state, group, minute);
                    groups.heads[group].score
                }
            };
        }
        sum
    }

    /// The place of a category's block, if an item of it was a candidate; see `Head::category_at`.
    pub fn category_place(&self, category: u64) -> Option<u32> {
        self.categories.by_hash.get(&category).copied()
    }

    /// Categories seen so far; `Head::category_at` is below it.
    pub fn categories_len(&self) -> usize {
        self.categories.heads.len()
    }

    fn take_place(&mut self, item: u32) -> u32 {
        let index = item as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, NONE);
        }
        let at = self.heads.len();
        self.places[index] = at as u32;
        let room = (self.heads.capacity(), self.values.capacity());
        self.heads.push(EMPTY);
        // With weights the score is all that is read of an item's features.
        if self.weights.is_empty() {
            self.values.resize((at + 1) * self.columns.len(), 0.0);
        }
        if room != (self.heads.capacity(), self.values.capacity()) {
            in_large_pages(&self.heads);
            in_large_pages(&self.values);
        }
        at as u32
    }

    #[cold]
    fn refresh(&mut self, state: &State, item: u32, at: usize, minute: i64) {
        let hash = state.catalogue.ids().hash(item);
        let facts = state.facts.facts(hash);
        let data = state.catalogue.get(item);
        let mut head = Head {
            minute,
            hash,
            category: facts.categories.first().copied().unwrap_or_default(),
            price: data.and_then(|d| d.price).unwrap_or(f64::NAN),
            revision: state.revision(item),
            brand: data.and_then(|d| d.brand).unwrap_or(NONE),
            category_at: facts.categories.first().map_or(NONE, |c| self.categories.place(*c)),
            seller_at: facts.seller.map_or(NONE, |s| self.sellers.place(s)),
            score: 0.0,
            available: data.is_some_and(|d| d.available),
        };
        let value = |column: &Column| finite(state.item_value(item, &column.op, end_of(minute)), column.default);
        if self.weights.is_empty() {
            let out = &mut self.values[at * self.columns.len()..(at + 1) * self.columns.len()];
            out.iter_mut().zip(&self.columns).for_each(|(slot, column)| *slot = value(column));
        } else {
            head.score = self.columns.iter().zip(&self.weights).map(|(column, w)| w.of(value(column))).sum();
        }
        self.heads[at] = head;
    }
}

fn put_runs(runs: &[Run], block: &[f32], row: &mut [f32]) {
    for Run { at, from, len } in runs {
        row[*at..at + len].copy_from_slice(&block[*from..from + len]);
    }
}

fn weigh(weights: &[Weight], values: &[f32]) -> f32 {
    weights.iter().zip(values).map(|(w, v)| w.of(*v)).sum()
}

/// Blocks by plan, those used last at the end.
#[derive(Debug, Default)]
pub struct Plans {
    held: Vec<Blocks>,
}

impl Plans {
    pub fn of(&mut self, plan: &Plan) -> &mut Blocks {
        match self.held.iter().position(|b| b.digest == plan.digest) {
            Some(at) => {
                let last = self.held.len() - 1;
                self.held[at..].rotate_left(1);
                &mut self.held[last]
            }
            None => {
                if self.held.len() == PLANS_MAX {
                    self.held.remove(0);
                }
                self.held.push(Blocks::new(plan, None));
                let last = self.held.len() - 1;
                &mut self.held[last]
            }
        }
    }
}

/// A feature of counts that users share; what was never counted has counts of 0.
pub fn stats_value(stats: Option<&Stats>, op: &Op, as_of: i64) -> Option<f64> {
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
            Some(stats.get(*slot).map_or(0.0, |c: &Counter| c.decayed(*half_life_ms, as_of)))
        }
        Op::ItemRate(r) | Op::CategoryRate(r) | Op::SellerRate(r) | Op::ContextRate { rate: r, .. } => Some(ratio(r)),
        Op::ItemPopularity { half_life_ms } | Op::CategoryPopularity { half_life_ms } => {
            Some(stats.popularity(*half_life_ms, as_of))
        }
        Op::ItemTrend | Op::CategoryTrend => Some(stats.trend(as_of)),
        Op::ItemDwellMean => stats.dwell.mean().map(|ms| ms / 1000.0),
        Op::ItemRevenue => Some(stats.revenue.sum()),
        _ => None,
    }
}

/// The value as a row holds it: f32, never NaN or infinite.
pub fn finite(value: Option<f64>, default: f32) -> f32 {
    // Adding 0 turns -0 into 0: sums of nothing print as people expect.
    value.map(|v| v as f32 + 0.0).filter(|v| v.is_finite()).unwrap_or(default)
}
