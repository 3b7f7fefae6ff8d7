//! The light ranker: a linear model, distilled from the ranker, that picks who is ranked in full.
//!
//! score = bias + Σ weight · (f(x) − mean) / deviation + affinity · (session · item) + recall · score + Σ sources, with
//! f(x) = sign(x) · ln(1 + |x|). Invariant: a function of the model, the state, the request and the candidate. What
//! depends on the item alone is kept between requests, what depends on the category is computed once per request.

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::cascade::eligible::Rules;
use crate::cascade::SOURCES;
use crate::error::{Error, Result};
use crate::fold::blocks::{finite, minute_of, Blocks, Column};
use crate::fold::cross::{Category, Shared};
use crate::fold::plan::{Op, Plan, Scope};
use crate::fold::state::State;
use crate::fold::vector::Asker;
use crate::fold::weight::Weight;
use crate::recall::covis::Covis;
use crate::recall::merge::Candidate;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    bias: f64,
    columns: Vec<FileColumn>,
    affinity: f64,
    recall: f64,
    sources: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileColumn {
    name: String,
    mean: f64,
    deviation: f64,
    weight: f64,
}

/// Columns of `Blocks::cross` with their weights.
type Cross = Vec<(Column, Weight)>;

#[derive(Debug)]
pub struct Prerank {
    /// The model's columns as a plan of their own.
    plan: Plan,
    blocks: Blocks,
    bias: f32,
    affinity: f32,
    recall: f32,
    /// By bit mask of sources: the sum of their weights.
    sources: Vec<f32>,
    of_category: Cross,
    of_item: Cross,
    /// Of this request: the candidates' places in the blocks, and scores by `Head::category_at`.
    places: Vec<u32>,
    by_category: Vec<f32>,
}

impl Prerank {
    /// `json` is a bundle's `prerank.json`, `plan` knows the operations of its columns. Errors: `bad_prerank`.
    pub fn parse(json: &[u8], plan: &Plan) -> Result<Prerank> {
        let file: File = serde_json::from_slice(json).map_err(|e| refuse("", format!("cannot be read: {e}")))?;
        let mut own = Plan { features: Vec::new(), digest: 0 };
        let mut weights = Vec::new();
        for column in &file.columns {
            let known = plan.features.iter().find(|f| f.name == column.name);
            let feature = known.ok_or_else(|| refuse(&column.name, "not a feature of the plan".into()))?;
            if matches!(feature.scope, Scope::User | Scope::Session | Scope::Context) {
                return Err(refuse(&column.name, "the same for every item of a list".into()));
            }
            if matches!(feature.op, Op::CrossMatch(_)) {
                return Err(refuse(&column.name, "too dear for every candidate".into()));
            }
            if column.deviation <= 0.0 {
                return Err(refuse(&column.name, format!("a deviation of {}", column.deviation)));
            }
            let scale = column.weight / column.deviation;
            weights.push(Weight {
                scale: number(&column.name, scale)?,
                shift: number(&column.name, scale * column.mean)?,
            });
            own.features.push(feature.clone());
        }
        let mut sources = [0.0; SOURCES.len()];
        for (name, weight) in &file.sources {
            let at = SOURCES.iter().position(|s| s == name);
            let at = at.ok_or_else(|| refuse(name, format!("not one of {SOURCES:?}")))?;
            sources[at] = number(name, *weight)?;
        }
        let blocks = Blocks::new(&own, Some(&weights));
        let weighed = blocks.cross().iter().map(|column| (column.clone(), weights[column.at]));
        let (of_category, of_item) = weighed.partition(|(column, _)| Shared::is_of_category(&column.op));
        Ok(Prerank {
            blocks,
            plan: own,
            bias: number("bias", file.bias)?,
            affinity: number("affinity", file.affinity)?,
            recall: number("recall", file.recall)?,
            sources: (0..1u32 << SOURCES.len()).map(|mask| sum_of(&sources, mask)).collect(),
            of_category,
            of_item,
            places: Vec::new(),
            by_category: Vec::new(),
        })
    }

    /// Drops the candidates that may not be shown. The first step of a request; `score` is the second.
    pub fn keep_eligible(&mut self, state: &State, rules: &Rules<'_>, as_of_ms: i64, candidates: &mut Vec<Candidate>) {
        self.blocks.begin(state);
        self.places.clear();
        self.bring(state, as_of_ms, candidates);
        let mut kept = 0;
        for at in 0..candidates.len() {
            let (candidate, place) = (candidates[at], self.places[at]);
            let head = self.blocks.head(place);
            if head.available && rules.allow_available(state, candidate.item, head.hash) {
                (candidates[kept], self.places[kept]) = (candidate, place);
                kept += 1;
            }
        }
        candidates.truncate(kept);
        self.places.truncate(kept);
    }

    /// Gives every candidate its score; none is NaN. Candidates may have been added since `keep_eligible`.
    ///
    /// Column by column: what a column reads of memory is read for all candidates in one short loop.
    pub fn score(&mut self, state: &State, covis: &mut Covis, asker: &Asker<'_>, candidates: &mut [Candidate]) {
        let shared = state.shared(covis, &self.plan, asker);
        let minute = minute_of(asker.as_of_ms);
        self.bring(state, asker.as_of_ms, candidates);
        for (candidate, at) in candidates.iter_mut().zip(&self.places) {
            let found = self.sources[candidate.sources as usize % self.sources.len()];
            candidate.score = self.bias + self.recall * candidate.score + found + self.blocks.score(state, *at, minute);
        }
        if self.affinity != 0.0 {
            let affinities = asker.rough_affinities(candidates.iter().map(|c| c.item));
            candidates.iter_mut().zip(affinities).for_each(|(c, affinity)| c.score += self.affinity * affinity);
        }
        self.add_categories(&shared, candidates);
        let items: Vec<u32> = candidates.iter().map(|c| c.item).collect();
        let rows = self.blocks.rows(items.iter().copied(), &self.places);
        for (column, weight) in &self.of_item {
            let mut scored = candidates.iter_mut();
            shared.column(state, covis, asker, rows.clone(), &column.op, |value| {
                if let Some(candidate) = scored.next() {
                    candidate.score += weight.of(finite(value, column.default));
                }
            });
        }
        candidates.iter_mut().filter(|c| !c.score.is_finite()).for_each(|c| c.score = f32::MIN);
    }

    /// Places of the candidates that have none yet.
    fn bring(&mut self, state: &State, as_of_ms: i64, candidates: &[Candidate]) {
        let more = candidates[self.places.len().min(candidates.len())..].iter().map(|c| c.item);
        self.blocks.bring(state, more, minute_of(as_of_ms), &mut self.places);
    }

    /// What depends on the primary category alone: computed for those that the user had to do with, and once for the rest.
    fn add_categories(&mut self, shared: &Shared<'_>, candidates: &mut [Candidate]) {
        if self.of_category.is_empty() {
            return;
        }
        let score = |category| category_score(&self.of_category, shared, category);
        let (homeless, strange) = (score(Category::None), score(Category::Strange));
        self.by_category.clear();
        self.by_category.resize(self.blocks.categories_len(), strange);
        for category in shared.categories() {
            if let Some(place) = self.blocks.category_place(category) {
                self.by_category[place as usize] = score(Category::Known(category));
            }
        }
        for (candidate, at) in candidates.iter_mut().zip(&self.places) {
            let place = self.blocks.head(*at).category_at as usize;
            candidate.score += self.by_category.get(place).copied().unwrap_or(homeless);
        }
    }
}

fn sum_of(weights: &[f32], mask: u32) -> f32 {
    weights.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, weight)| weight).sum()
}

fn category_score(columns: &Cross, shared: &Shared<'_>, category: Category) -> f32 {
    let value = |column: &Column| finite(shared.of_category(category, &column.op), column.default);
    columns.iter().map(|(column, weight)| weight.of(value(column))).sum()
}

/// The best `limit`, best first; of equal scores the one that stood first.
pub fn keep_best(candidates: &mut Vec<Candidate>, limit: usize) {
    let mut order: Vec<u64> = Vec::with_capacity(candidates.len());
    order.extend(candidates.iter().enumerate().map(|(at, c)| u64::from(!ascending(c.score)) << 32 | at as u64));
    if order.len() > limit {
        if limit > 0 {
            order.select_nth_unstable(limit - 1);
        }
        order.truncate(limit);
    }
    order.sort_unstable();
    *candidates = order.iter().map(|key| candidates[(*key & 0xffff_ffff) as usize]).collect();
}

/// Bits of a number that order as the number does.
fn ascending(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

fn number(name: &str, value: f64) -> Result<f32> {
    let narrow = value as f32;
    if narrow.is_finite() {
        return Ok(narrow);
    }
    Err(refuse(name, format!("{value} is not a finite number")))
}

fn refuse(field: &str, message: String) -> Error {
    let message = if field.is_empty() { message } else { format!("{field:?}: {message}") };
    Error::invalid("bad_prerank", field, message)
}

#[cfg(test)]
#[path = "prerank_tests.rs"]
mod tests;
