//! A list of the best items by some score, kept while scores change: popular, trending, popular in a context, new.
//!
//! Invariant: the list is sorted by score descending, then id ascending, and no item is in it twice. The scores belong to
//! the caller: the list does not know what they mean or when they fade.

#[derive(Debug, Clone, Default, PartialEq)]
pub struct TopList {
    items_max: usize,
    items: Vec<(u32, f32)>,
}

impl TopList {
    pub fn new(items_max: usize) -> Self {
        TopList { items_max, items: Vec::new() }
    }

    /// Best first.
    pub fn items(&self) -> &[(u32, f32)] {
        &self.items
    }

    /// Scores what was in the list and what changed, and keeps the best. An item that is neither cannot come in, so where
    /// scores also fade by themselves, `rebuild` now and then. A score that is not finite takes an item off the list.
    pub fn refresh(&mut self, dirty: &[u32], score: impl Fn(u32) -> f32) {
        let mut ids: Vec<u32> = self.items.iter().map(|&(item, _)| item).chain(dirty.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        self.items = best(ids.into_iter(), self.items_max, score);
    }

    /// Scores every given item (each once) and keeps the best.
    pub fn rebuild(&mut self, all: impl Iterator<Item = u32>, score: impl Fn(u32) -> f32) {
        self.items = best(all, self.items_max, score);
    }
}

fn best(ids: impl Iterator<Item = u32>, keep: usize, score: impl Fn(u32) -> f32) -> Vec<(u32, f32)> {
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    // Adding 0 turns -0 into 0, so that total_cmp sees ties where == does.
    let mut scored: Vec<(u32, f32)> = ids.map(|i| (i, score(i) + 0.0)).filter(|(_, s)| s.is_finite()).collect();
    if scored.len() > keep {
        if keep > 0 {
            scored.select_nth_unstable_by(keep - 1, order);
        }
        scored.truncate(keep);
        scored.shrink_to_fit();
    }
    scored.sort_unstable_by(order);
    scored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_best_and_breaks_ties_by_id() {
        let mut top = TopList::new(3);
        top.rebuild([5, 1, 4, 2, 3].into_iter(), |i| if i == 4 { 9.0 } else { 1.0 });
        assert_eq!(top.items(), [(4, 9.0), (1, 1.0), (2, 1.0)]);
        top.refresh(&[5, 5, 4], |i| if i == 5 { 2.0 } else { 1.0 });
        assert_eq!(top.items(), [(5, 2.0), (1, 1.0), (2, 1.0)]);
    }

    #[test]
    fn refresh_equals_rebuild_while_only_dirty_scores_change() {
        let mut scores: Vec<f32> = (0..200).map(|i| (i * 37 % 101) as f32).collect();
        let mut kept = TopList::new(20);
        kept.rebuild(0..200, |i| scores[i as usize]);
        for step in 0..50usize {
            let changed = [(step * 13 % 200) as u32, (step * 29 % 200) as u32];
            for &i in &changed {
                scores[i as usize] += 40.0;
            }
            kept.refresh(&changed, |i| scores[i as usize]);
            let mut fresh = TopList::new(20);
            fresh.rebuild(0..200, |i| scores[i as usize]);
            assert_eq!(kept, fresh);
        }
    }

    #[test]
    fn what_has_no_finite_score_is_not_listed() {
        let mut top = TopList::new(3);
        top.rebuild(0..4, |i| [f32::NAN, -0.0, f32::NEG_INFINITY, 0.0][i as usize]);
        assert_eq!(top.items(), [(1, 0.0), (3, 0.0)]);
        top.refresh(&[], |_| f32::NAN);
        assert!(top.items().is_empty());
        let mut none = TopList::new(0);
        none.rebuild(0..4, |_| 1.0);
        assert!(none.items().is_empty());
    }
}
