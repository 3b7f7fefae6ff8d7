//! The light ranker: a linear model, distilled from the ranker, that picks who is ranked in full.
//!
//! score = bias + Σ weight · (f(x) − mean) / deviation + affinity · (session · item) + recall · score + Σ sources, with
//! f(x) = sign(x) · ln(1 + |x|). Invariant: a function of the model, the state, the request and the candidate. What
//! depends on the item alone is kept between requests, what depends on the category is computed once per request.

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::cascade::SOURCES;
use crate::error::{Error, Result};
use crate::fold::blocks::{finite, minute_of, Blocks, Column, Weight, NONE};
use crate::fold::cross::Shared;
use crate::fold::plan::{Plan, Scope};
use crate::fold::state::State;
use crate::fold::vector::Asker;
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
    sources: [f32; SOURCES.len()],
    of_category: Cross,
    of_item: Cross,
    /// Scores of this request by category; see `Head::category_at`.
    by_category: Vec<Option<f32>>,
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
            sources,
            of_category,
            of_item,
            by_category: Vec::new(),
        })
    }

    /// Gives every candidate its score; none is NaN.
    pub fn score(&mut self, state: &State, covis: &mut Covis, asker: &Asker<'_>, candidates: &mut [Candidate]) {
        let shared = state.shared(covis, &self.plan, asker);
        let minute = minute_of(asker.as_of_ms);
        self.blocks.begin();
        self.by_category.clear();
        let homeless = category_score(&self.of_category, &shared, None);
        for candidate in candidates {
            let at = self.blocks.item(state, candidate.item, minute);
            let mut score = self.bias + self.recall * candidate.score + self.affinity * asker.affinity(candidate.item);
            score += self.blocks.score(state, at, minute);
            let head = *self.blocks.head(at);
            score += match head.category_at {
                NONE => homeless,
                place => {
                    if self.by_category.len() <= place as usize {
                        self.by_category.resize(self.blocks.categories_len(), None);
                    }
                    let known = &mut self.by_category[place as usize];
                    *known.get_or_insert_with(|| category_score(&self.of_category, &shared, Some(head.category)))
                }
            };
            for (column, weight) in &self.of_item {
                let value = shared.value(covis, asker, candidate.item, &head, &column.op);
                score += weight.of(finite(value, column.default));
            }
            let mut found = candidate.sources;
            while found != 0 {
                let source = found.trailing_zeros() as usize;
                score += self.sources.get(source).copied().unwrap_or_default();
                found &= found - 1;
            }
            candidate.score = if score.is_finite() { score } else { f32::MIN };
        }
    }
}

fn category_score(columns: &Cross, shared: &Shared<'_>, category: Option<u64>) -> f32 {
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
    Error::invalid("bad_prerank", field, message)
}
