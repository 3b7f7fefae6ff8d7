//! Which bundle is in use, as the log says it, and what stands ready beside it: another's item vectors and light model.

use pyo3::prelude::*;

use crate::cascade::prerank::Prerank;
use crate::fold::split::Split;
use crate::py::core::{refuse, Core};
use crate::py::error::to_py;
use crate::py::log::PyLog;
use crate::py::rank::PyPlan;
use crate::py::read::Ask;
use crate::record::{Activation, Kind};

fn prerank_of(json: Option<&[u8]>, plan: Option<&PyPlan>) -> PyResult<Option<Prerank>> {
    let Some(json) = json else { return Ok(None) };
    let plan = plan.ok_or_else(|| refuse("bad_prerank", "plan", "a model needs the plan of its columns".into()))?;
    Prerank::parse(json, &plan.plan).map(Some).map_err(to_py)
}

#[pymethods]
impl Core {
    /// The light model of the bundle in use, None without one; `plan` knows its columns. Raises `bad_prerank`.
    #[pyo3(signature = (json, plan=None))]
    fn set_prerank(&mut self, json: Option<&[u8]>, plan: Option<&PyPlan>) -> PyResult<()> {
        self.prerank = prerank_of(json, plan)?;
        Ok(())
    }

    /// What was staged stays beside the bundle in use, with its light model. Raises `bad_prerank`.
    #[pyo3(signature = (json, plan=None))]
    fn hold_beside(&mut self, json: Option<&[u8]>, plan: Option<&PyPlan>) -> PyResult<()> {
        self.prerank_beside = prerank_of(json, plan)?;
        self.indices.vectors.hold();
        Ok(())
    }

    /// The bundle in use and the one beside it change places, for one list: who swaps swaps back.
    fn swap_beside(&mut self) {
        self.indices.vectors.swap();
        std::mem::swap(&mut self.prerank, &mut self.prerank_beside);
    }

    fn drop_beside(&mut self) {
        self.indices.vectors.unstage();
        self.prerank_beside = None;
    }

    /// Splits the people: a `share` of them, the same ones for one `salt`, see what stands beside. None ends it.
    fn split_people(&mut self, salt: u64, share: Option<f64>) {
        self.state.split = share.map(|share| Split::new(salt, share));
    }

    fn sees_beside(&self, ask: &Ask) -> bool {
        self.state.split.as_ref().is_some_and(|split| split.is_tried_on(ask.hash))
    }

    /// Clicks since `split_people`: of those who see the bundle in use, of those who see the one beside it.
    #[getter]
    fn split_clicks(&self) -> (u64, u64) {
        self.state.split.as_ref().map_or((0, 0), |split| (split.clicks[0], split.clicks[1]))
    }

    /// Hands to the log what is tried from here on; once it is folded, `trial` is this.
    fn submit_trial(&mut self, log: &PyLog, body: &[u8], received_ms: i64) -> PyResult<u64> {
        let records = [(Kind::Trial, 0, body)];
        self.queue.submit_records(&mut self.state, &log.log, &records, received_ms, true).map_err(to_py)
    }

    /// The body of the latest trial record; empty before the first.
    #[getter]
    fn trial(&self) -> &[u8] {
        &self.state.trial
    }

    /// Hands an activation to the log; once it is folded, `active_bundle` is this one.
    fn submit_activation(&mut self, log: &PyLog, name: &str, version: &str, received_ms: i64) -> PyResult<u64> {
        let mut body = Vec::new();
        Activation { name, version }.encode(&mut body);
        let records = [(Kind::Activation, 0, &body[..])];
        self.queue.submit_records(&mut self.state, &log.log, &records, received_ms, true).map_err(to_py)
    }

    /// (name, version) of the bundle that was activated last.
    #[getter]
    fn active_bundle(&self) -> Option<(String, String)> {
        self.state.activations.first().cloned()
    }

    /// The bundle that was in use before that one.
    #[getter]
    fn previous_bundle(&self) -> Option<(String, String)> {
        self.state.activations.get(1).cloned()
    }
}
