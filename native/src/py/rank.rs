//! The stages of a list after recall, and the decision: `Ranked` travels through them.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::cascade::candidates::Indices;
use crate::cascade::newcomers::{self, Filled, Slot};
use crate::cascade::prerank::keep_best;
use crate::cascade::{candidates, source, SOURCES};
use crate::explore::Prior;
use crate::fold::plan::Plan;
use crate::fold::published::{Published, View};
use crate::fold::state::State;
use crate::fold::vector::Asker;
use crate::hash::{key_hash, Namespace};
use crate::matrix::Matrix;
use crate::py::core::{refuse, Core};
use crate::py::error::to_py;
use crate::py::log::PyLog;
use crate::py::published::external_json;
use crate::py::read::Ask;
use crate::recall::merge::Candidate;
use crate::recall::vectors::VectorTable;
use crate::record::{Arm, Decision, Explored, Kind, Shown};

/// Rows of features that a decision carries; a longer list is logged without those of its tail.
const ROWS_LOGGED_MAX: usize = 50;

/// Candidates on their way through the stages, best first.
#[pyclass(module = "rtp_monolith._native")]
pub struct Ranked {
    pub items: Vec<Candidate>,
    /// Bit mask of sources that were not asked.
    pub skipped: u32,
    /// How the explored slot was filled.
    pub filled: Option<Filled>,
    /// Items in the order in which rows were made of them last.
    pub rowed: Vec<u32>,
    /// Places that rules have given away, ascending.
    pub pinned: Vec<usize>,
    /// What rules did to items, for `explain`: item, rule, effect, number.
    pub effects: Vec<(u32, String, &'static str, f64)>,
}

impl Ranked {
    pub fn new(items: Vec<Candidate>) -> Ranked {
        Ranked { items, skipped: 0, filled: None, rowed: Vec::new(), pinned: Vec::new(), effects: Vec::new() }
    }

    fn indices(&self) -> Vec<u32> {
        self.items.iter().map(|c| c.item).collect()
    }

    /// New scores, one each; the best comes first, equal ones keep their order.
    pub fn order_by(&mut self, scores: impl Iterator<Item = f32>) {
        self.items.iter_mut().zip(scores).for_each(|(c, s)| c.score = s);
        let n = self.items.len();
        keep_best(&mut self.items, n);
    }

    /// A list that was shown before is a list of candidates again.
    fn forget_explored(&mut self) {
        if self.filled.take().is_some() {
            self.items.iter_mut().for_each(|c| c.sources &= !(1 << source::EXPLORE));
        }
    }
}

#[pymethods]
impl Ranked {
    fn __len__(&self) -> usize {
        self.items.len()
    }

    fn truncate(&mut self, n: usize) {
        self.items.truncate(n);
    }

    /// Probability with which the explored item was drawn; None without one.
    #[getter]
    fn propensity(&self) -> Option<f64> {
        self.filled.as_ref().map(|f| f.propensity)
    }

    /// Sources that were not asked: the budget was spent, or they were said to fail.
    #[getter]
    fn skipped(&self) -> Vec<&'static str> {
        source_names(self.skipped)
    }
}

/// Names of the sources in a bit mask.
pub fn source_names(mask: u32) -> Vec<&'static str> {
    SOURCES.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, s)| *s).collect()
}

impl Ask {
    /// Who asks, for features.
    fn asker<'a>(&'a self, state: &'a State, vectors: &'a VectorTable, published: &'a Published) -> Asker<'a> {
        Asker {
            user: state.user(self.hash),
            own: state.own(self.hash),
            profile: state.profile(self.hash),
            session_id: &self.session_id,
            surface: &self.surface.get().name,
            arms: [&self.arms[0], &self.arms[1]],
            context: &self.context,
            session: self.vector.as_deref().map(|session| (session, vectors)),
            fused: self.user_vector.as_deref().or(self.vector.as_deref()).map(|fused| (fused, vectors)),
            vectors: Some(vectors).filter(|v| v.dimension() > 0),
            text: None,
            found: &[],
            published: View::of(published, &self.given, self.now_ms),
            as_of_ms: self.now_ms,
        }
    }
}

impl Core {
    /// Feature vectors of items for the asking user, row by row; `found` is what the sources say of each, or empty.
    fn feature_rows(&mut self, ask: &Ask, items: &[u32], found: &[Candidate], plan: &Plan) -> Vec<f32> {
        if plan.reads_text() {
            self.indices.text.catch_up(&self.state.catalogue, usize::MAX);
        }
        self.with_indices(|state, _, Indices { covis, plans, vectors, text, published, .. }| {
            let asker = Asker { found, text: Some(text), ..ask.asker(state, vectors, published) };
            state.vectors(covis, plans.of(plan), plan, &asker, items)
        })
    }

    fn feature_array<'py>(
        &mut self,
        py: Python<'py>,
        ask: &Ask,
        items: &[u32],
        found: &[Candidate],
        plan: &Plan,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let rows = self.feature_rows(ask, items, found, plan);
        PyArray1::from_vec(py, rows).reshape([items.len(), plan.len()])
    }

    /// The rows that a decision carries: those given, else computed.
    fn logged_rows(
        &mut self,
        ask: &Ask,
        ranked: &Ranked,
        plan: Option<&PyPlan>,
        rows: Option<PyReadonlyArray2<'_, f32>>,
    ) -> PyResult<Matrix> {
        let Some(plan) = plan.map(|p| &p.plan) else { return Ok(Matrix::default()) };
        let mut items = ranked.indices();
        items.truncate(ROWS_LOGGED_MAX);
        let Some(rows) = rows else {
            let values = self.feature_rows(ask, &items, &ranked.items, plan);
            self.defaults.count(plan, &values);
            return Ok(Matrix { columns: plan.len(), values });
        };
        let (given, columns) = (rows.shape()[0], rows.shape()[1]);
        if given != ranked.rowed.len() || columns != plan.len() {
            let message = format!("{given} rows of {columns}, {} of {} were made", ranked.rowed.len(), plan.len());
            return Err(refuse("bad_shape", "rows", message));
        }
        let rows = rows.as_array();
        let mut values = vec![0.0f32; items.len() * columns];
        let mut beside: Vec<usize> = Vec::new();
        for (at, (item, row)) in items.iter().zip(values.chunks_exact_mut(columns.max(1))).enumerate() {
            match ranked.rowed.iter().position(|rowed| rowed == item) {
                Some(place) => row.iter_mut().zip(rows.row(place)).for_each(|(to, from)| *to = *from),
                None => beside.push(at),
            }
        }
        // What came in after the ranker, the explored item: it has the row that the ranker would have read.
        for at in beside {
            let row = self.feature_rows(ask, &items[at..=at], &ranked.items[at..=at], plan);
            values[at * columns..(at + 1) * columns].copy_from_slice(&row);
        }
        Ok(Matrix { columns, values })
    }

    fn explored<'a>(&'a self, filled: &Filled) -> Explored<'a> {
        let arm = |(item, clicks, impressions): &newcomers::Arm| Arm {
            item_id: self.state.catalogue.ids().id(*item),
            clicks: *clicks,
            impressions: *impressions,
        };
        Explored {
            slot: filled.at as u32,
            seed: filled.slot.seed,
            prior_clicks: filled.slot.prior.clicks,
            prior_impressions: filled.slot.prior.impressions,
            drawn: filled.drawn as u32,
            pool: filled.pool.iter().map(arm).collect(),
        }
    }
}

#[pymethods]
impl Core {
    /// Drops what may not be shown, fills from the catalogue when fewer than `k` are left, and keeps the best `limit`:
    /// by the light model when there is one and `light`, else by what the sources say.
    #[pyo3(signature = (ask, ranked, limit, k, light=true))]
    fn prerank(&mut self, ask: &Ask, ranked: &mut Ranked, limit: usize, k: usize, light: bool) {
        ranked.forget_explored();
        let mut model = if light { self.prerank.take() } else { None };
        let rules = ask.rules(self, ask.surface.get());
        match &mut model {
            Some(model) => model.keep_eligible(&self.state, &rules, ask.now_ms, &mut ranked.items),
            None => candidates::keep_eligible(&self.state, &rules, &mut ranked.items, limit),
        }
        if ranked.items.len() < k {
            candidates::fill(&self.state, &self.lists, &rules, &mut ranked.items, k, ask.now_ms);
        }
        if let Some(model) = &mut model {
            self.with_indices(|state, _, Indices { covis, vectors, published, .. }| {
                model.score(state, covis, &ask.asker(state, vectors, published), &mut ranked.items);
            });
            keep_best(&mut ranked.items, limit);
        }
        self.prerank = model.or(self.prerank.take());
    }

    /// [(id, score, sources)] of a list.
    fn shown<'s>(&'s self, ranked: &Ranked) -> Vec<(&'s str, f32, u32)> {
        ranked.items.iter().map(|c| (self.state.catalogue.ids().id(c.item), c.score, c.sources)).collect()
    }

    /// Feature vectors of a list: float32 [items, features]. The list remembers which items they are of, for `decide`.
    fn rows<'py>(
        &mut self,
        py: Python<'py>,
        ask: &Ask,
        ranked: &mut Ranked,
        plan: &PyPlan,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        ranked.rowed = ranked.indices();
        self.feature_array(py, ask, &ranked.indices(), &ranked.items, &plan.plan)
    }

    /// What `rows` gives, of any plan; nothing is remembered.
    fn vectors<'py>(
        &mut self,
        py: Python<'py>,
        ask: &Ask,
        ranked: &Ranked,
        plan: &PyPlan,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        self.feature_array(py, ask, &ranked.indices(), &ranked.items, &plan.plan)
    }

    /// Feature vectors of items by id, in the order given; raises `unknown_item` for an id never heard of.
    fn vectors_of<'py>(
        &mut self,
        py: Python<'py>,
        ask: &Ask,
        ids: Vec<String>,
        plan: &PyPlan,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        // Whoever has a `Ranked` has asked `recall`, which does this.
        self.refresh_tables();
        let of = |id: &String| self.state.catalogue.ids().index(id);
        let items: Option<Vec<u32>> = ids.iter().map(of).collect();
        let items = items.ok_or_else(|| refuse("unknown_item", "ids", "an item the log never named".to_owned()))?;
        self.feature_array(py, ask, &items, &[], &plan.plan)
    }

    /// New scores for a list, one each; the best comes first, equal ones keep their order. Raises `bad_shape`, `not_finite`.
    fn set_scores(&self, ranked: &mut Ranked, scores: PyReadonlyArray1<'_, f32>) -> PyResult<()> {
        let scores = scores.as_array();
        if scores.len() != ranked.items.len() {
            let message = format!("{} scores for {} items", scores.len(), ranked.items.len());
            return Err(refuse("bad_shape", "scores", message));
        }
        if let Some(at) = scores.iter().position(|s| !s.is_finite()) {
            return Err(refuse("not_finite", "scores", format!("the score of item {at} is {}", scores[at])));
        }
        ranked.order_by(scores.iter().copied());
        Ok(())
    }

    /// Puts one new item into the list by Thompson sampling and cuts the list to `k`. The probability with which this
    /// item was drawn; None when there was nothing to draw from. Raises `bad_prior`.
    #[pyo3(signature = (ask, ranked, *, k, slot, pool_max, impressions_max, prior_clicks, prior_impressions, seed))]
    #[allow(clippy::too_many_arguments)]
    fn explore(
        &mut self,
        ask: &Ask,
        ranked: &mut Ranked,
        k: usize,
        slot: usize,
        pool_max: usize,
        impressions_max: u64,
        prior_clicks: f64,
        prior_impressions: f64,
        seed: u64,
    ) -> PyResult<Option<f64>> {
        let prior = Prior::new(prior_clicks, prior_impressions).map_err(to_py)?;
        let surface = ask.surface.get();
        let counts_served = surface.counts_served;
        let slot = Slot { position: slot, pool_max, impressions_max, prior, seed, counts_served };
        ranked.forget_explored();
        ranked.items.truncate(k);
        let slot = Slot { position: newcomers::free_place(slot.position, &ranked.pinned), ..slot };
        let mut pool = newcomers::pool(&self.state, &self.lists, &ask.rules(self, surface), &ranked.items, &slot);
        pool.retain(|arm| surface.rules.fits(&self.state, &ranked.items, slot.position, arm.0));
        ranked.filled = newcomers::explore(&mut self.posteriors, pool, slot, &mut ranked.items, k, &ranked.pinned);
        Ok(ranked.filled.as_ref().map(|f| f.propensity))
    }

    /// Hands the decision to the log with whatever is written next; `submit_decisions` does it at once. With a plan it
    /// carries the vectors of its first `ROWS_LOGGED_MAX` items: out of `rows`, what `rows` gave for this list whatever its
    /// order was then, else computed here.
    /// Raises `bad_shape`.
    #[pyo3(signature = (log, ask, ranked, *, request_id, config_digest, seed, bundle, context, degraded, plan=None,
        rows=None))]
    #[allow(clippy::too_many_arguments)]
    fn decide(
        &mut self,
        log: &PyLog,
        ask: &Ask,
        ranked: &Ranked,
        request_id: &str,
        config_digest: u64,
        seed: u64,
        bundle: &str,
        context: &[u8],
        degraded: Vec<String>,
        plan: Option<&PyPlan>,
        rows: Option<PyReadonlyArray2<'_, f32>>,
    ) -> PyResult<()> {
        let features = self.logged_rows(ask, ranked, plan, rows)?;
        let (user_values, item_values) = self.external(ask, ranked);
        self.count_published(&user_values.values, &item_values.values);
        let surface = ask.surface.get();
        let filled = ranked.filled.as_ref();
        let shown = |(at, c): (usize, &Candidate)| Shown {
            item_id: self.state.catalogue.ids().id(c.item),
            score: c.score,
            sources: c.sources,
            propensity: filled.filter(|f| f.at == at).map_or(1.0, |f| f.propensity as f32),
        };
        let decision = Decision {
            request_id,
            user_id: ask.user_id.as_deref(),
            session_id: &ask.session_id,
            surface: &surface.name,
            as_of_ms: ask.now_ms,
            applied_offset: self.state.applied,
            state_version: self.state.user(ask.hash).map_or(0, |u| u.version),
            config_digest,
            seed,
            counts_served: surface.counts_served,
            bundle,
            context,
            degraded: degraded.iter().map(String::as_str).collect(),
            items: ranked.items.iter().enumerate().map(shown).collect(),
            plan_digest: plan.map_or(0, |p| p.plan.digest),
            features,
            explored: filled.map(|f| self.explored(f)),
            external: self.told(user_values, item_values),
        };
        let mut body = Vec::new();
        decision.encode(&mut body);
        let (namespace, id) = decision.user_key();
        let hash = key_hash(namespace, id);
        // The fold may have to remember the list for its session: that record must not leave memory before.
        self.state.touch(key_hash(Namespace::Session, &ask.session_id));
        self.queue.defer_record(&mut self.state, &log.log, Kind::Decision, hash, &body, ask.now_ms).map_err(to_py)?;
        Ok(())
    }

    /// Hands the decisions made since the last batch to the log.
    fn submit_decisions(&mut self, log: &PyLog) -> PyResult<()> {
        let Core { state, queue, .. } = self;
        queue.submit_deferred(state, &log.log).map_err(to_py)
    }
}

/// A compiled list of features.
#[pyclass(name = "Plan", module = "rtp_monolith._native", frozen)]
pub struct PyPlan {
    pub plan: Plan,
}

#[pymethods]
impl PyPlan {
    /// `json`: what `features/compile.py` writes; raises `bad_feature`.
    #[new]
    fn new(json: &[u8]) -> PyResult<PyPlan> {
        Ok(PyPlan { plan: Plan::parse(json).map_err(to_py)? })
    }

    #[getter]
    fn names(&self) -> Vec<&str> {
        self.plan.features.iter().map(|f| f.name.as_str()).collect()
    }

    #[getter]
    fn digest(&self) -> u64 {
        self.plan.digest
    }

    fn __len__(&self) -> usize {
        self.plan.len()
    }
}

/// One decision of the log as JSON, for audits and people. An explored slot is drawn again: `check` is what comes out.
#[pyfunction]
pub fn decision_json<'py>(py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let d = Decision::decode(body).map_err(to_py)?;
    let items: Vec<serde_json::Value> = d
        .items
        .iter()
        .map(|i| {
            let source = source_names(i.sources);
            serde_json::json!({"id": i.item_id, "score": i.score, "source": source, "propensity": i.propensity})
        })
        .collect();
    let explored = d.explored.as_ref().map(|e| explored_json(&d, e)).transpose()?;
    let json = serde_json::json!({
        "request_id": d.request_id, "user_id": d.user_id, "session_id": d.session_id, "surface": d.surface,
        "as_of_ms": d.as_of_ms, "applied_offset": d.applied_offset, "state_version": d.state_version,
        "config_digest": format!("{:016x}", d.config_digest), "seed": d.seed, "bundle": d.bundle,
        "context": serde_json::from_slice::<serde_json::Value>(d.context).unwrap_or_default(),
        "degraded": d.degraded, "items": items, "plan_digest": d.plan_digest,
        "features": d.features.values.chunks_exact(d.features.columns.max(1)).collect::<Vec<_>>(),
        "explore": explored, "external": external_json(&d.external),
    });
    Ok(PyBytes::new(py, json.to_string().as_bytes()))
}

fn explored_json(d: &Decision<'_>, e: &Explored<'_>) -> PyResult<serde_json::Value> {
    let (drawn, propensity) = newcomers::again(e).map_err(to_py)?;
    let pool: Vec<serde_json::Value> = e
        .pool
        .iter()
        .map(|a| serde_json::json!({"id": a.item_id, "clicks": a.clicks, "impressions": a.impressions}))
        .collect();
    Ok(serde_json::json!({
        "slot": e.slot, "seed": e.seed, "prior_clicks": e.prior_clicks, "prior_impressions": e.prior_impressions,
        "pool": pool, "propensity": d.items.get(e.slot as usize).map(|i| i.propensity),
        "check": {"id": e.pool.get(drawn).map(|a| a.item_id), "propensity": propensity as f32},
    }))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Ranked>()?;
    m.add_class::<PyPlan>()?;
    m.add_function(wrap_pyfunction!(decision_json, m)?)
}
