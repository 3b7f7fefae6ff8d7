//! Columns of a row that the cascade itself fills: what the sources said of an item, and how near it is to what the visitor
//! wanted, in the space of the item vectors.
//!
//! Invariant: a function of the state, the request, the vectors of the model in use and what its sources found; 0 where one
//! of them is missing. It does not know what a ranker makes of it.

use crate::fold::cross::Shared;
use crate::fold::plan::{Nearness, Op};
use crate::fold::state::State;
use crate::fold::step::is_positive;
use crate::fold::user::Recent;
use crate::fold::vector::Asker;
use crate::recall::vectors::VectorTable;

/// Different wishes of the session that items are compared with.
const LATEST_MAX: usize = 5;
/// Different wishes of earlier sessions.
const BEFORE_MAX: usize = 30;

/// What the visitor wanted, in the space of the items; made when the first column of a request asks for it.
#[derive(Debug, Default)]
pub struct Near {
    /// The session's, the latest first, each of length 1.
    latest: Option<Vec<Vec<f32>>>,
    before: Option<Vec<f32>>,
}

impl State {
    /// A column of the cascade for all items of a request; None for the operations of other columns.
    pub fn of_cascade(
        &self,
        asker: &Asker<'_>,
        shared: &Shared<'_>,
        near: &mut Near,
        op: &Op,
        items: &[u32],
    ) -> Option<Vec<f32>> {
        let missing = || vec![0.0; items.len()];
        let (found, whole) = (asker.found, asker.found.len() >= items.len());
        match op {
            Op::FoundScore if whole => Some(found.iter().take(items.len()).map(|c| c.found).collect()),
            Op::FoundBy { source } if whole => Some(
                found.iter().take(items.len()).map(|c| f32::from(u8::from(c.sources >> source & 1 == 1))).collect(),
            ),
            Op::FoundScore | Op::FoundBy { .. } => Some(missing()),
            Op::Near(how) => Some(match asker.vectors {
                Some(vectors) => self.nearness(asker, shared, vectors, near, *how, items).unwrap_or_else(missing),
                None => missing(),
            }),
            _ => None,
        }
    }

    /// None when there is no wish to be near to.
    fn nearness(
        &self,
        asker: &Asker<'_>,
        shared: &Shared<'_>,
        vectors: &VectorTable,
        near: &mut Near,
        how: Nearness,
        items: &[u32],
    ) -> Option<Vec<f32>> {
        if how == Nearness::Before {
            let before = near.before.get_or_insert_with(|| {
                let session = shared.session.map(|s| s.number);
                let earlier =
                    asker.user.iter().flat_map(|u| u.recent.iter().rev()).filter(|r| Some(r.session) != session);
                mean(&self.wished(vectors, earlier, BEFORE_MAX))
            });
            return (!before.is_empty()).then(|| vectors.cosines(items, before));
        }
        let latest =
            near.latest.get_or_insert_with(|| self.wished(vectors, shared.entries.iter().rev().copied(), LATEST_MAX));
        let last = latest.first()?;
        match how {
            Nearness::Last => Some(vectors.cosines(items, last)),
            Nearness::Mean => Some(vectors.cosines(items, &mean(latest))),
            _ => {
                let mut best = vectors.cosines(items, last);
                for wish in &latest[1..] {
                    best.iter_mut().zip(vectors.cosines(items, wish)).for_each(|(b, c)| *b = b.max(c));
                }
                Some(best)
            }
        }
    }

    /// Vectors of the first `n` different wanted items, each of length 1.
    fn wished<'a>(&self, vectors: &VectorTable, recent: impl Iterator<Item = &'a Recent>, n: usize) -> Vec<Vec<f32>> {
        let (mut seen, mut wished) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for one in recent.filter(|r| is_positive(r.event_type)) {
            if wished.len() == n {
                break;
            }
            if seen.contains(&one.item) {
                continue;
            }
            seen.push(one.item);
            wished.extend(self.catalogue.ids().by_hash(one.item).and_then(|item| vectors.direction(item)));
        }
        wished
    }
}

/// Empty of nothing.
fn mean(wished: &[Vec<f32>]) -> Vec<f32> {
    let mut sum = wished.first().cloned().unwrap_or_default();
    for wish in wished.iter().skip(1) {
        sum.iter_mut().zip(wish).for_each(|(s, x)| *s += x);
    }
    let count = wished.len().max(1) as f32;
    sum.iter_mut().for_each(|s| *s /= count);
    sum
}
