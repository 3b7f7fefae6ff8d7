//! Decides at open what the log holds: where it ends, what is cut, what is damage. Reads only; `store` acts on the plan.
//!
//! The **floor** is the offset below which every byte is known to have been synced: the greatest of `synced`, the offset of
//! the last valid marker, the end of that marker's group if bytes follow it, and the base of the last segment. In
//! the last segment, a range without valid frames is
//!
//! * at or above the floor: the torn write that nobody was told of. The log is cut there, valid frames after it included;
//! * below the floor with valid frames after it: damage. `Error::Corrupt`, or a gap with `salvage`;
//! * below the floor with nothing valid after it: cut, and the loss is reported in `lost_synced_bytes`. Its offsets become a
//!   gap, because views and callers may have seen them.
//!
//! Older segments are only measured here (a missing or short one is damage); their frames are checked when they are read
//! and by `verify`, since reading all of a large log would make every start slow. `salvage` reads everything.
//!
//! Not covered: damage to the marker and the frames of the last synced group together with the loss of `synced` looks
//! like a torn write.

use std::path::Path;

use super::gaps::Gaps;
use super::scan::{scan, Hole};
use super::segment::{self, Segment};
use crate::error::{Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub from: u64,
    pub to: u64,
    pub why: &'static str,
}

/// What opening found beside a whole log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of a torn write that were cut (read-only: ignored).
    pub cut_bytes: u64,
    /// Synced bytes that are missing from the tail. Not 0 means that the disk lost or changed what it had confirmed.
    pub lost_synced_bytes: u64,
    /// Ranges that `salvage` accepted now; later openings know them.
    pub damaged: Vec<Damage>,
}

pub struct Plan {
    /// The end of the last one is where the log ends.
    pub segments: Vec<Segment>,
    pub gaps: Gaps,
    pub gaps_changed: bool,
    /// The last segment is longer than its end says.
    pub cut: bool,
    /// The base of the segment to begin, if the last one must not be continued.
    pub next_base: Option<u64>,
    pub recovery: Recovery,
    salvage: bool,
}

pub fn plan(dir: &Path, salvage: bool, synced: Option<u64>) -> Result<Plan> {
    let mut plan = Plan {
        segments: segment::list(dir)?,
        gaps: Gaps::load(dir)?,
        gaps_changed: false,
        cut: false,
        next_base: None,
        recovery: Recovery::default(),
        salvage,
    };
    let synced = synced.unwrap_or(0);
    let Some(first) = plan.segments.first() else {
        let resume = synced.max(plan.gaps.last_end());
        if resume > 0 {
            plan.damage(Hole { from: 0, to: resume, why: "every segment is missing" })?;
        }
        plan.next_base = Some(resume);
        return Ok(plan);
    };
    plan.gaps.forget_before(first.base);
    plan.check_chain()?;
    if salvage {
        for i in 0..plan.segments.len() - 1 {
            let s = plan.segments[i].clone();
            for hole in scan(&segment::read_all(dir, s.base, s.end - s.base)?, s.base).holes {
                plan.damage(hole)?;
            }
        }
    }
    plan.settle_tail(dir, synced)?;
    Ok(plan)
}

impl Plan {
    pub fn end(&self) -> u64 {
        self.segments.last().map_or(0, |s| s.end)
    }

    fn damage(&mut self, hole: Hole) -> Result<()> {
        if self.gaps.covers(hole.from, hole.to) {
            return Ok(());
        }
        if !self.salvage {
            return Err(Error::corrupt(hole.from, hole.why));
        }
        self.gap(hole.from, hole.to);
        self.recovery.damaged.push(Damage { from: hole.from, to: hole.to, why: hole.why });
        Ok(())
    }

    fn gap(&mut self, from: u64, to: u64) {
        self.gaps_changed |= from < to && !self.gaps.covers(from, to);
        self.gaps.add(from, to);
    }

    /// Each segment must begin where the one before it ended, or after a known gap.
    fn check_chain(&mut self) -> Result<()> {
        for i in 1..self.segments.len() {
            let (end, next) = (self.segments[i - 1].end, self.segments[i].base);
            if end < next {
                self.damage(Hole { from: end, to: next, why: "bytes between two segments are missing" })?;
            }
            if end > next {
                if !self.salvage {
                    return Err(Error::corrupt(next, "two segments overlap"));
                }
                self.recovery.damaged.push(Damage { from: next, to: end, why: "two segments overlap" });
                self.segments[i - 1].end = next;
            }
        }
        Ok(())
    }

    fn settle_tail(&mut self, dir: &Path, synced: u64) -> Result<()> {
        let Some(last) = self.segments.last().cloned() else { return Ok(()) };
        let found = scan(&segment::read_all(dir, last.base, last.end - last.base)?, last.base);
        let mut floor = synced.max(last.base);
        if let Some((start, end)) = found.last_group {
            floor = floor.max(if end < last.end { end } else { start });
        }
        let mut end = last.end;
        for hole in found.holes {
            if self.gaps.covers(hole.from, hole.to) {
                continue;
            }
            if hole.from >= floor || hole.to == last.end {
                end = hole.from;
                break;
            }
            self.damage(hole)?;
        }
        self.cut = end < last.end;
        self.recovery.cut_bytes = last.end - end;
        self.recovery.lost_synced_bytes = floor.saturating_sub(end.max(self.gaps.last_end()));
        let resume = end.max(floor).max(self.gaps.last_end());
        self.gap(end, resume);
        // A group that was cut must not be followed by another in the same file: its stated length would then tell
        // that bytes which were never synced had been.
        let whole = found.last_group.is_some_and(|(_, group_end)| group_end == end) || end == last.base;
        if resume > end || !whole {
            self.next_base = Some(resume);
        }
        if let Some(s) = self.segments.last_mut() {
            s.end = end;
        }
        Ok(())
    }
}
