//! Fills the places of a list under what a surface declares, one place after the other.
//!
//! Every place takes the candidate that breaks the least, and of those the one of most worth by `Spread`. What weighs
//! more than what is fixed: pins stand where they are told; then caps, then the most and the least of a group, then how
//! far an item may move, then what is buried. So a list is never shorter for a rule: where all that is left would break
//! one, the weakest gives way, and the pick names it. Invariant: the picks are a prefix of a permutation of the
//! candidates, k of them where there are that many. Works on positions; what a rule is called is the caller's.

use rustc_hash::FxHashMap;

use super::Spread;

const CAP: u8 = 16;
const MOST: u8 = 8;
const LEAST: u8 = 4;
const MOVE: u8 = 2;
const BURIED: u8 = 1;
/// Shares of a list are decimal fractions: 0.3 of 10 places is 3 of them.
const ROUNDING: f32 = 1e-4;
/// The key of a candidate that a cap does not know.
const NO_KEY: usize = usize::MAX;

/// At most `most` candidates of one key in any `within` places one after the other.
pub struct Cap {
    most: usize,
    within: usize,
    /// By candidate: the number of its key.
    keys: Vec<usize>,
    numbers: usize,
}

impl Cap {
    /// `keys` by candidate; None is under no cap. Without `within` the whole list is meant.
    pub fn new(most: usize, within: Option<usize>, keys: impl Iterator<Item = Option<u64>>) -> Cap {
        let mut numbers: FxHashMap<u64, usize> = FxHashMap::default();
        let number = |key: Option<u64>| {
            key.map_or(NO_KEY, |key| {
                let next = numbers.len();
                *numbers.entry(key).or_insert(next)
            })
        };
        let keys = keys.map(number).collect();
        Cap { most, within: within.unwrap_or(usize::MAX).max(1), keys, numbers: numbers.len() }
    }
}

/// Candidates that have a share of the places: at least `least` of every beginning of the list, at most `most` of it all.
pub struct Group {
    pub member: Vec<bool>,
    pub least: f32,
    pub most: f32,
}

/// Where candidates stood before, and how many places an item may move.
pub struct Moves {
    pub max: usize,
    pub was: Vec<Option<usize>>,
}

/// What a list keeps to; the default is nothing.
#[derive(Default)]
pub struct Bounds {
    /// Place and candidate, in the order of their right to the place.
    pub pins: Vec<(usize, usize)>,
    pub caps: Vec<Cap>,
    pub groups: Vec<Group>,
    pub moves: Option<Moves>,
    /// By candidate; empty when none is.
    pub buried: Vec<bool>,
}

/// A rule by its place in `Bounds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    Cap(usize),
    Most(usize),
    Least(usize),
    Move,
    Buried,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pick {
    pub candidate: usize,
    pub pinned: bool,
    /// What gave way for it.
    pub broken: Vec<Broken>,
    /// Groups that needed the place.
    pub needed: Vec<usize>,
}

#[derive(Debug, Default)]
pub struct Arranged {
    pub picks: Vec<Pick>,
    /// Candidates that were worth more than a pick and were passed over: candidate, the first such place, what for.
    pub held: Vec<(usize, usize, Broken)>,
}

/// The picks for `k` places out of `n` candidates. `trace` fills `held`, for those who ask why.
pub fn arrange(n: usize, k: usize, bounds: &Bounds, spread: &mut dyn Spread, trace: bool) -> Arranged {
    let k = k.min(n);
    let mut filling = Filling::new(n, k, bounds);
    let mut arranged = Arranged::default();
    let mut told = vec![false; if trace { n } else { 0 }];
    let mut weights = vec![0u8; n];
    for place in 0..k {
        filling.begin(place);
        let pick = match filling.fixed[place] {
            Some(candidate) => Pick { candidate, pinned: true, ..Pick::default() },
            None => {
                // Nearly always something breaks nothing, and then it need not be known what the others would.
                let free = |c: usize| !filling.taken[c] && filling.weight(c) == 0;
                let unbroken = if trace { None } else { spread.best(&free) };
                let mut lightest = u8::MAX;
                if unbroken.is_none() {
                    for (candidate, weight) in weights.iter_mut().enumerate() {
                        *weight = if filling.taken[candidate] { u8::MAX } else { filling.weight(candidate) };
                        lightest = lightest.min(*weight);
                    }
                }
                let lightest_may = |c: usize| weights[c] == lightest && lightest < u8::MAX;
                let Some(candidate) = unbroken.or_else(|| spread.best(&lightest_may)) else { break };
                if trace {
                    let worth = spread.worth(candidate);
                    for other in 0..n {
                        let passed = weights[other] > lightest && weights[other] < u8::MAX && !told[other];
                        if passed && spread.worth(other) > worth {
                            told[other] = true;
                            arranged.held.extend(filling.broken(other).first().map(|b| (other, place, *b)));
                        }
                    }
                }
                Pick { candidate, pinned: false, broken: filling.gave_way(candidate), needed: filling.needs(candidate) }
            }
        };
        filling.take(pick.candidate);
        spread.pick(pick.candidate);
        arranged.picks.push(pick);
    }
    arranged
}

/// A list half filled.
struct Filling<'a> {
    bounds: &'a Bounds,
    k: usize,
    place: usize,
    /// By place: who is pinned there.
    fixed: Vec<Option<usize>>,
    /// Picked, or pinned to a place to come.
    taken: Vec<bool>,
    /// In the order of their places.
    placed: Vec<usize>,
    /// By cap and key: how many of the window that ends before the place, of the whole list with the pins to come.
    counts: Vec<Vec<usize>>,
    /// By group: members placed, members placed or pinned, and members that are free.
    members: Vec<[usize; 3]>,
    /// Groups whose share of the beginning of the list is not met unless one of them is next.
    unmet: Vec<usize>,
    /// Whoever has to be placed by then leaves no room for others.
    tight: Option<usize>,
}

impl<'a> Filling<'a> {
    fn new(n: usize, k: usize, bounds: &'a Bounds) -> Filling<'a> {
        let mut fixed: Vec<Option<usize>> = vec![None; k];
        let mut taken = vec![false; n];
        for (place, candidate) in &bounds.pins {
            let wanted = (*place).min(k.saturating_sub(1));
            let free = (wanted..k).chain((0..wanted).rev()).find(|p| fixed[*p].is_none());
            if let Some(at) = free.filter(|_| *candidate < n && !taken[*candidate]) {
                fixed[at] = Some(*candidate);
                taken[*candidate] = true;
            }
        }
        let mut counts: Vec<Vec<usize>> = bounds.caps.iter().map(|cap| vec![0; cap.numbers]).collect();
        for (cap, counts) in bounds.caps.iter().zip(&mut counts).filter(|(cap, _)| cap.within >= k) {
            fixed.iter().flatten().filter(|c| cap.keys[**c] != NO_KEY).for_each(|c| counts[cap.keys[*c]] += 1);
        }
        let of = |group: &Group| {
            let all = group.member.iter().filter(|m| **m).count();
            let pinned = fixed.iter().flatten().filter(|c| group.member[**c]).count();
            [0, pinned, all - pinned]
        };
        let members = bounds.groups.iter().map(of).collect();
        let (unmet, placed) = (Vec::new(), Vec::with_capacity(k));
        Filling { bounds, k, place: 0, fixed, taken, placed, counts, members, unmet, tight: None }
    }

    fn begin(&mut self, place: usize) {
        self.place = place;
        for (cap, counts) in self.bounds.caps.iter().zip(&mut self.counts).filter(|(cap, _)| cap.within < self.k) {
            // The window of `within` places that ends here no longer holds the one before it.
            if let Some(gone) = place.checked_sub(cap.within) {
                let key = cap.keys[self.placed[gone]];
                counts.get_mut(key).into_iter().for_each(|n| *n -= 1);
            }
        }
        self.unmet.clear();
        for (at, group) in self.bounds.groups.iter().enumerate() {
            let due = (group.least * (place + 1) as f32 + ROUNDING) as usize;
            if self.members[at][0] < due {
                self.unmet.push(at);
            }
        }
        self.tight = self.tight();
    }

    /// The first place up to which every free place belongs to those who may not stand lower.
    fn tight(&self) -> Option<usize> {
        let moves = self.bounds.moves.as_ref()?;
        let mut due = vec![0usize; self.k];
        for (candidate, was) in moves.was.iter().enumerate() {
            if let Some(last) = was.map(|was| was + moves.max).filter(|_| !self.taken[candidate]) {
                if last < self.k {
                    due[last.max(self.place)] += 1;
                }
            }
        }
        let (mut waiting, mut free) = (0, 0);
        for (place, due) in due.iter().enumerate().skip(self.place) {
            waiting += due;
            free += usize::from(self.fixed[place].is_none());
            if waiting > 0 && waiting >= free {
                return Some(place);
            }
        }
        None
    }

    fn weight(&self, candidate: usize) -> u8 {
        let bounds = self.bounds;
        let mut weight = 0;
        if (0..bounds.caps.len()).any(|cap| self.is_full(cap, candidate)) {
            weight |= CAP;
        }
        if (0..bounds.groups.len()).any(|group| self.is_enough(group, candidate)) {
            weight |= MOST;
        }
        let member = |group: &usize| bounds.groups[*group].member[candidate];
        let mut open = self.unmet.iter().filter(|group| self.members[**group][2] > 0).peekable();
        if open.peek().is_some() && !open.any(member) {
            weight |= LEAST;
        }
        if self.moves_too_far(candidate) {
            weight |= MOVE;
        }
        if bounds.buried.get(candidate).copied().unwrap_or(false) {
            weight |= BURIED;
        }
        weight
    }

    fn is_full(&self, cap: usize, candidate: usize) -> bool {
        let (rule, counts) = (&self.bounds.caps[cap], &self.counts[cap]);
        let key = rule.keys[candidate];
        if key == NO_KEY {
            return false;
        }
        counts[key] >= rule.most || (rule.within < self.k && self.is_full_ahead(rule, key))
    }

    /// Whether a window that reaches beyond the place would hold too many, for the pins that stand there.
    fn is_full_ahead(&self, cap: &Cap, key: usize) -> bool {
        let end = (self.place + cap.within).min(self.k);
        let pinned = |place: usize| self.fixed[place].is_some_and(|c| cap.keys[c] == key);
        if !(self.place + 1..end).any(pinned) {
            return false;
        }
        let first = (self.place + 1).saturating_sub(cap.within);
        (first..=self.place).any(|from| {
            let window = from..(from + cap.within).min(self.k);
            let held = window.filter(|at| match at.cmp(&self.place) {
                std::cmp::Ordering::Less => cap.keys[self.placed[*at]] == key,
                std::cmp::Ordering::Equal => true,
                std::cmp::Ordering::Greater => pinned(*at),
            });
            held.count() > cap.most
        })
    }

    fn is_enough(&self, group: usize, candidate: usize) -> bool {
        let rule = &self.bounds.groups[group];
        rule.member[candidate] && self.members[group][1] >= (rule.most * self.k as f32 + ROUNDING) as usize
    }

    fn moves_too_far(&self, candidate: usize) -> bool {
        let Some(moves) = &self.bounds.moves else { return false };
        let was = moves.was[candidate];
        was.is_some_and(|was| was > self.place + moves.max)
            || self.tight.is_some_and(|tight| was.is_none_or(|was| was + moves.max > tight))
    }

    /// What a candidate would break here, the weightiest first.
    fn broken(&self, candidate: usize) -> Vec<Broken> {
        let (caps, groups) = (0..self.bounds.caps.len(), 0..self.bounds.groups.len());
        let mut broken: Vec<Broken> = caps.filter(|at| self.is_full(*at, candidate)).map(Broken::Cap).collect();
        broken.extend(groups.filter(|at| self.is_enough(*at, candidate)).map(Broken::Most));
        if self.weight(candidate) & LEAST != 0 {
            broken.extend(self.unmet.iter().filter(|g| self.members[**g][2] > 0).map(|g| Broken::Least(*g)));
        }
        if self.moves_too_far(candidate) {
            broken.push(Broken::Move);
        }
        if self.bounds.buried.get(candidate).copied().unwrap_or(false) {
            broken.push(Broken::Buried);
        }
        broken
    }

    /// What gave way for a pick, and the groups of which no candidate is left.
    fn gave_way(&self, candidate: usize) -> Vec<Broken> {
        let mut broken = self.broken(candidate);
        let short = self.unmet.iter().filter(|g| self.members[**g][2] == 0);
        broken.extend(short.map(|g| Broken::Least(*g)));
        broken
    }

    fn needs(&self, candidate: usize) -> Vec<usize> {
        self.unmet.iter().copied().filter(|g| self.bounds.groups[*g].member[candidate]).collect()
    }

    fn take(&mut self, candidate: usize) {
        let pinned = self.fixed[self.place].is_some();
        self.taken[candidate] = true;
        self.placed.push(candidate);
        for (cap, counts) in self.bounds.caps.iter().zip(&mut self.counts) {
            // Of the whole list pins were counted beforehand.
            if cap.within < self.k || !pinned {
                counts.get_mut(cap.keys[candidate]).into_iter().for_each(|n| *n += 1);
            }
        }
        for (group, [placed, sure, free]) in self.bounds.groups.iter().zip(&mut self.members) {
            if group.member[candidate] {
                *placed += 1;
                *sure += usize::from(!pinned);
                *free -= usize::from(!pinned);
            }
        }
    }
}

#[cfg(test)]
#[path = "arrange_tests.rs"]
mod tests;
