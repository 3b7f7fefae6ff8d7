//! The question to the index: which items come next in a session that did this?
//!
//! Reads nothing but live entries, and writes only into scratch space that is kept between queries.

use super::posting::{Clock, Entry};
use super::{KnnParams, SessionKnn, PENDING};

/// One item of the window, walking its posting from the newest session to older ones.
#[derive(Debug)]
struct Cursor {
    item: usize,
    /// Distance from the end of the window, 1 for the latest item.
    distance: usize,
    decay: f64,
    next: usize,
    rank: (i64, u64),
    slot: u32,
}

impl Cursor {
    /// Moves to the next live session but `exclude`; false at the end.
    #[inline]
    fn advance(&mut self, entries: &[Entry], clocks: &[Clock], exclude: u32) -> bool {
        while self.next > 0 {
            self.next -= 1;
            let entry = &entries[self.next];
            if entry.slot != exclude && entry.is_live(clocks) {
                self.rank = entry.rank();
                self.slot = entry.slot;
                return true;
            }
        }
        false
    }
}

#[derive(Debug)]
struct Neighbour {
    slot: u32,
    /// Place by session time among the m most recent, 0 for the newest.
    recency: u32,
    distance: usize,
    /// The latest shared item.
    shared: u32,
    similarity: f64,
}

#[derive(Debug, Default)]
pub(super) struct Scratch {
    cursors: Vec<Cursor>,
    neighbours: Vec<Neighbour>,
    epoch: u32,
    stamps: Vec<u32>,
    sums: Vec<f64>,
    found: Vec<u32>,
    scored: Vec<(f64, u32)>,
}

impl Scratch {
    pub fn memory_bytes(&self) -> usize {
        self.stamps.capacity() * 4 + self.sums.capacity() * 8 + self.found.capacity() * 4 + self.scored.capacity() * 16
    }

    /// New sums for `items` items without clearing the old ones.
    fn begin(&mut self, items: usize) {
        if self.stamps.len() < items {
            self.stamps.resize(items, 0);
            self.sums.resize(items, 0.0);
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.stamps.fill(0);
            self.epoch = 1;
        }
        self.found.clear();
    }

    #[inline]
    fn add(&mut self, item: u32, value: f64) {
        let at = item as usize;
        if self.stamps[at] == self.epoch {
            self.sums[at] += value;
        } else {
            self.stamps[at] = self.epoch;
            self.sums[at] = value;
            self.found.push(item);
        }
    }
}

impl SessionKnn {
    /// The `n` items that the neighbours of a session vote for, best first, ties by smaller item; `out` is replaced.
    ///
    /// `items` is the evolving session, oldest first. `exclude` is its own key when it is in the index itself. Steps:
    ///
    /// 1. The window is the last `max_items_in_session` interactions. Of an item that occurs more than once in it only
    ///    the latest counts. Its weight is (window length - distance + 1) / distinct items, distance 1 being the latest.
    /// 2. Of all sessions that hold an item of the window, the `m_most_recent_sessions` with the largest (last time,
    ///    key) are looked at; similarity = sum of the weights of the shared items.
    /// 3. The `neighborhood_size_k` most similar are kept, ties to the more recent.
    /// 4. Each votes for each of its items with similarity * (1 - 0.1 * distance of the latest shared item), which is
    ///    what the reference does, below zero from distance 11 on. An item's score is the sum of its votes times
    ///    idf_weighting * ln(pairs / sessions of the item), counted over the whole index; without the factor when
    ///    idf_weighting is 0.
    /// 5. The latest item itself is not returned; earlier ones of the session may be.
    ///
    /// `with_latest` leaves out step 5, and with a `reach` a vote of step 4 is smaller for items that stand farther from
    /// the latest shared one: a session's items stand in the order in which it touched them last.
    ///
    /// Where the reference leaves ties of equal times to the order of its file, the key decides here.
    /// `m_most_recent_sessions` counts as at most half of `posting_max`.
    pub fn query(
        &mut self,
        items: &[u32],
        exclude: Option<u64>,
        params: &KnnParams,
        n: usize,
        out: &mut Vec<(u32, f32)>,
    ) {
        out.clear();
        let window = &items[items.len().saturating_sub(params.max_items_in_session)..];
        let Some(&latest) = window.last() else { return };
        for &item in window {
            self.resolve(item);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let exclude = exclude.and_then(|key| self.slots.get(&key).copied()).unwrap_or(u32::MAX);
        self.open_cursors(window, exclude, &mut scratch.cursors);
        self.find_neighbours(params, exclude, &mut scratch);
        keep_most_similar(&mut scratch.neighbours, params.neighborhood_size_k);
        self.vote(params, latest, &mut scratch);
        take_best(&mut scratch.scored, n, out);
        self.scratch = scratch;
    }

    fn open_cursors(&self, window: &[u32], exclude: u32, cursors: &mut Vec<Cursor>) {
        cursors.clear();
        let mut distinct = 0;
        for (back, &item) in window.iter().rev().enumerate() {
            if window[window.len() - back..].contains(&item) {
                continue;
            }
            distinct += 1;
            let Some(posting) = self.postings.get(item as usize) else { continue };
            let mut cursor = Cursor {
                item: item as usize,
                distance: back + 1,
                decay: (window.len() - back) as f64,
                next: posting.entries.len(),
                rank: (0, 0),
                slot: 0,
            };
            if cursor.advance(&posting.entries, &self.clocks, exclude) {
                cursors.push(cursor);
            }
        }
        for cursor in cursors {
            cursor.decay /= f64::from(distinct);
        }
    }

    /// Merges the postings of the window from the newest session on. All are in the same order, so the m most recent
    /// sessions come out first and each one's shared items come out together: no heap and no table of similarities.
    fn find_neighbours(&self, params: &KnnParams, exclude: u32, scratch: &mut Scratch) {
        let m = params.m_most_recent_sessions.min(self.limits.posting_max / 2);
        let Scratch { cursors, neighbours, .. } = scratch;
        neighbours.clear();
        while neighbours.len() < m {
            let Some(newest) = cursors.iter().max_by_key(|c| c.rank) else { return };
            let slot = newest.slot;
            let recency = neighbours.len() as u32;
            let mut found = Neighbour { slot, recency, distance: usize::MAX, shared: 0, similarity: 0.0 };
            cursors.retain_mut(|cursor| {
                if cursor.slot != slot {
                    return true;
                }
                found.similarity += cursor.decay;
                if cursor.distance < found.distance {
                    (found.distance, found.shared) = (cursor.distance, cursor.item as u32);
                }
                cursor.advance(&self.postings[cursor.item].entries, &self.clocks, exclude)
            });
            neighbours.push(found);
        }
    }

    fn vote(&self, params: &KnnParams, latest: u32, scratch: &mut Scratch) {
        scratch.begin(self.postings.len());
        let neighbours = std::mem::take(&mut scratch.neighbours);
        for neighbour in &neighbours {
            let vote = match_weight(neighbour.distance) * neighbour.similarity;
            let items = &self.sessions[neighbour.slot as usize].items;
            if params.reach > 0.0 {
                let here = items.iter().position(|item| item & !PENDING == neighbour.shared).unwrap_or(0);
                for (at, item) in items.iter().enumerate() {
                    let beyond = at.abs_diff(here).saturating_sub(1) as f64;
                    scratch.add(item & !PENDING, vote * (-beyond / params.reach).exp());
                }
            } else {
                items.iter().for_each(|item| scratch.add(item & !PENDING, vote));
            }
        }
        scratch.neighbours = neighbours;
        scratch.scored.clear();
        for &item in &scratch.found {
            if item == latest && !params.with_latest {
                continue;
            }
            let mut score = scratch.sums[item as usize];
            if params.idf_weighting != 0.0 {
                score *= params.idf_weighting * (self.pairs as f64 / f64::from(self.counts[item as usize])).ln();
            }
            scratch.scored.push((score, item));
        }
    }
}

#[inline]
fn match_weight(distance: usize) -> f64 {
    if distance < 100 {
        1.0 - 0.1 * distance as f64
    } else {
        0.0
    }
}

fn keep_most_similar(neighbours: &mut Vec<Neighbour>, k: usize) {
    let order = |a: &Neighbour, b: &Neighbour| b.similarity.total_cmp(&a.similarity).then(a.recency.cmp(&b.recency));
    if neighbours.len() > k {
        if k > 0 {
            neighbours.select_nth_unstable_by(k - 1, order);
        }
        neighbours.truncate(k);
    }
    // Sums of votes must not depend on the order that a selection left behind.
    neighbours.sort_unstable_by(order);
}

fn take_best(scored: &mut Vec<(f64, u32)>, n: usize, out: &mut Vec<(u32, f32)>) {
    let order = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    if scored.len() > n {
        if n > 0 {
            scored.select_nth_unstable_by(n - 1, order);
        }
        scored.truncate(n);
    }
    scored.sort_unstable_by(order);
    out.extend(scored.iter().map(|&(score, item)| (item, score as f32)));
}
