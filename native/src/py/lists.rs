//! Lists that were shown, read back from the log, so that the next ones go on from them after a restart.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::cascade::newcomers::{Filled, Slot};
use crate::cascade::source;
use crate::error::Result;
use crate::explore::Prior;
use crate::log::FrameIter;
use crate::py::core::Core;
use crate::py::error::to_py;
use crate::py::log::PyLog;
use crate::py::rank::Ranked;
use crate::recall::merge::Candidate;
use crate::record::{Decision, Explored, Kind};

const GIVEN: u32 = 1 << source::GIVEN;

/// surface, user, session, request_id, after, as_of_ms, made_ms, evidence, bundle, ids, list
type ListRow<'py> = Bound<'py, PyTuple>;

impl Core {
    /// The list of a decision, without items that nobody knows any more.
    fn listed(&self, d: &Decision<'_>) -> Result<Ranked> {
        let catalog = self.state.catalogue.ids();
        let items = d.items.iter().filter_map(|i| {
            Some(Candidate { item: catalog.index(i.item_id)?, score: i.score, found: i.score, sources: i.sources })
        });
        let mut ranked = Ranked::new(items.collect());
        ranked.pinned = d.footing.pinned.iter().map(|place| *place as usize).collect();
        ranked.filled = match &d.explored {
            Some(explored) if ranked.items.len() == d.items.len() => self.filled(d, explored)?,
            _ => None,
        };
        Ok(ranked)
    }

    fn filled(&self, d: &Decision<'_>, explored: &Explored<'_>) -> Result<Option<Filled>> {
        let at = explored.slot as usize;
        let Some(shown) = d.items.get(at) else { return Ok(None) };
        let prior = Prior::new(explored.prior_clicks, explored.prior_impressions)?;
        let catalog = self.state.catalogue.ids();
        let arms = explored.pool.iter().map(|arm| Some((catalog.index(arm.item_id)?, arm.clicks, arm.impressions)));
        let Some(pool) = arms.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let (pool_max, counts_served) = (pool.len(), d.counts_served);
        let slot = Slot { position: at, pool_max, impressions_max: 0, prior, seed: explored.seed, counts_served };
        let (drawn, propensity) = (explored.drawn as usize, f64::from(shown.propensity));
        Ok(Some(Filled { slot, at, drawn, propensity, pool }))
    }
}

#[pymethods]
impl Core {
    /// (lists made at `since_ms` or later, next offset) of the next `max_bytes` of the log, in its order; the next offset is
    /// `offset` at its end. Lists of given items, which nothing goes on from, are left out.
    fn lists<'py>(
        &self,
        py: Python<'py>,
        log: &PyLog,
        offset: u64,
        max_bytes: usize,
        since_ms: i64,
    ) -> PyResult<(Vec<ListRow<'py>>, u64)> {
        let (bytes, next) = py.detach(|| log.log.read(offset, max_bytes)).map_err(to_py)?;
        let mut rows = Vec::new();
        for frame in FrameIter::new(&bytes, offset) {
            let frame = frame.map_err(to_py)?;
            if frame.header.kind != Kind::Decision as u8 || (frame.header.received_ms as i64) < since_ms {
                continue;
            }
            let d = Decision::decode(frame.body).map_err(to_py)?;
            // A pin that no source found is given too, but stands among others.
            if !d.items.is_empty() && d.items.iter().all(|item| item.sources & GIVEN != 0) {
                continue;
            }
            let ids: Vec<&str> = d.items.iter().map(|i| i.item_id).collect();
            let (footing, ranked) = (&d.footing, Py::new(py, self.listed(&d).map_err(to_py)?)?);
            let who = (d.surface, d.user_id, d.session_id, d.request_id, footing.after).into_pyobject(py)?;
            let what = (d.as_of_ms, footing.made_ms, footing.evidence, d.bundle, ids, ranked).into_pyobject(py)?;
            rows.push(who.as_sequence().concat(what.as_sequence())?.to_tuple()?);
        }
        Ok((rows, next))
    }
}
