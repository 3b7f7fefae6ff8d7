//! The read side of `Core`: state as JSON, and the stages of a list. `Ask` is one request, `Ranked` what travels on.

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::cascade::candidates::{self, Request, Wanted};
use crate::cascade::eligible::Rules;
use crate::cascade::SOURCES;
use crate::fold::plan::Plan;
use crate::fold::vector::Asker;
use crate::hash::{key_hash, Namespace};
use crate::items::Filter;
use crate::matrix::Matrix;
use crate::py::core::{refuse, Core};
use crate::py::error::to_py;
use crate::py::log::PyLog;
use crate::recall::knn::KnnParams;
use crate::recall::merge::Candidate;
use crate::record::{Decision, Kind, Shown};
use crate::rerank::mmr;

/// Rows of features that a decision carries; a longer list is logged without those of its tail.
const ROWS_LOGGED_MAX: usize = 50;

/// What a surface declares, compiled once.
#[pyclass(module = "rtp_monolith._native", frozen)]
pub struct SurfacePlan {
    name: String,
    sources: Vec<Wanted>,
    hide_clicked: bool,
    hide_bought: bool,
    diversity: f32,
    counts_served: bool,
    knn: KnnParams,
}

#[pymethods]
impl SurfacePlan {
    /// `sources`: [(name, quota, weight)]; raises `unknown_source` for a name that is not one.
    #[new]
    #[pyo3(signature = (name, sources, *, hide_clicked, hide_bought, diversity, counts_served,
        m_most_recent_sessions=500, neighborhood_size_k=50, max_items_in_session=2, idf_weighting=1.0))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        name: String,
        sources: Vec<(String, usize, f32)>,
        hide_clicked: bool,
        hide_bought: bool,
        diversity: f32,
        counts_served: bool,
        m_most_recent_sessions: usize,
        neighborhood_size_k: usize,
        max_items_in_session: usize,
        idf_weighting: f64,
    ) -> PyResult<SurfacePlan> {
        let mut wanted = Vec::new();
        for (source, quota, weight) in sources {
            let Some(at) = SOURCES.iter().position(|s| *s == source) else {
                return Err(refuse("unknown_source", &name, format!("{source:?} is not one of {SOURCES:?}")));
            };
            wanted.push(Wanted { source: at as u8, quota, weight });
        }
        let knn = KnnParams { m_most_recent_sessions, neighborhood_size_k, max_items_in_session, idf_weighting };
        Ok(SurfacePlan { name, sources: wanted, hide_clicked, hide_bought, diversity, counts_served, knn })
    }
}

/// One request, resolved against the state.
#[pyclass(module = "rtp_monolith._native")]
pub struct Ask {
    surface: Py<SurfacePlan>,
    user_id: Option<String>,
    pub session_id: String,
    pub hash: u64,
    seeds: Vec<u32>,
    excluded: Vec<u32>,
    category: Option<String>,
    context: Vec<(String, String)>,
    filter: Option<Filter>,
    now_ms: i64,
    query: Option<String>,
    /// The session in the space of the item vectors.
    pub vector: Option<Vec<f32>>,
    /// What an index outside found for it.
    pub nearest: Option<Vec<(u32, f32)>>,
}

impl Ask {
    fn rules<'a>(&'a self, core: &'a Core, surface: &SurfacePlan) -> Rules<'a> {
        Rules {
            user: core.state.user(self.hash),
            hide_clicked: surface.hide_clicked,
            hide_bought: surface.hide_bought,
            excluded: self.excluded.clone(),
            filter: self.filter.as_ref(),
        }
    }
}

impl Core {
    /// Feature vectors of items for the asking user, row by row.
    fn rows(&mut self, ask: &Ask, items: &[u32], plan: &Plan) -> Vec<f32> {
        let mut out = vec![0.0; items.len() * plan.len()];
        self.with_indices(|state, _, indices| {
            let (user, profile) = (state.user(ask.hash), state.profile(ask.hash));
            let (session_id, context) = (&ask.session_id[..], &ask.context[..]);
            let asker = Asker { user, profile, session_id, context, as_of_ms: ask.now_ms };
            state.vectors(&mut indices.covis, plan, &asker, items, &mut out);
        });
        out
    }
}

/// Candidates on their way through the stages, best first.
#[pyclass(module = "rtp_monolith._native")]
pub struct Ranked {
    items: Vec<Candidate>,
}

#[pymethods]
impl Ranked {
    fn __len__(&self) -> usize {
        self.items.len()
    }

    fn truncate(&mut self, n: usize) {
        self.items.truncate(n);
    }
}

#[pymethods]
impl Core {
    /// JSON of one item; None when there is none of that id.
    fn item_json<'py>(&self, py: Python<'py>, id: &str) -> Option<Bound<'py, PyBytes>> {
        let item = self.state.catalogue.ids().index(id)?;
        self.state.catalogue.get(item)?;
        Some(PyBytes::new(py, self.state.catalogue.json(item)?))
    }

    /// JSON of a user's state with the features of the plan; None when nothing is known of the key.
    #[pyo3(signature = (user_id, session_id, plan, now_ms))]
    fn user_json<'py>(
        &mut self,
        py: Python<'py>,
        user_id: Option<&str>,
        session_id: &str,
        plan: &PyPlan,
        now_ms: i64,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let hash = self.state.resolve(user_id, session_id);
        let features = self.with_indices(|state, _, indices| {
            let user = state.user(hash);
            let latest = user.and_then(|u| u.sessions.iter().max_by_key(|s| (s.last_ms, s.number)));
            let session_id = latest.map_or("", |s| &s.id);
            let profile = state.profile(hash);
            let asker = Asker { user, profile, session_id, context: &[], as_of_ms: now_ms };
            plan.plan.named(&state.asker_row(&mut indices.covis, &plan.plan, &asker))
        });
        let json = self.state.user_json(hash, features).map_err(to_py)?;
        Ok(json.map(|j| PyBytes::new(py, &j)))
    }

    /// Resolves one request. `seeds` are item ids, strongest last; raises `bad_filter`.
    #[pyo3(signature = (surface, user_id, session_id, now_ms, *, seeds=vec![], category=None, context=vec![],
        exclude=vec![], filter=None, query=None))]
    #[allow(clippy::too_many_arguments)]
    fn ask(
        &self,
        surface: Py<SurfacePlan>,
        user_id: Option<String>,
        session_id: String,
        now_ms: i64,
        seeds: Vec<String>,
        category: Option<String>,
        context: Vec<(String, String)>,
        exclude: Vec<String>,
        filter: Option<&[u8]>,
        query: Option<String>,
    ) -> PyResult<Ask> {
        let index = |id: &String| self.state.catalogue.ids().index(id);
        let mut excluded: Vec<u32> = exclude.iter().filter_map(index).collect();
        excluded.sort_unstable();
        Ok(Ask {
            hash: self.state.resolve(user_id.as_deref(), &session_id),
            seeds: seeds.iter().filter_map(index).collect(),
            filter: filter.map(Filter::parse).transpose().map_err(to_py)?,
            surface,
            user_id,
            session_id,
            excluded,
            category,
            context,
            now_ms,
            query,
            vector: None,
            nearest: None,
        })
    }

    /// Events counted for the asking user so far.
    fn state_version(&self, ask: &Ask) -> u64 {
        self.state.user(ask.hash).map_or(0, |u| u.version)
    }

    /// Every source of the surface asked, merged, best first.
    fn recall(&mut self, ask: &Ask) -> Ranked {
        self.refresh_tables();
        let surface = ask.surface.get();
        let items = self.with_indices(|state, lists, indices| {
            let request = Request {
                user: state.user(ask.hash),
                session_id: &ask.session_id,
                seeds: &ask.seeds,
                category: ask.category.as_deref(),
                context: &ask.context,
                now_ms: ask.now_ms,
                knn: surface.knn,
                sources: &surface.sources,
                vector: ask.vector.as_deref(),
                nearest: ask.nearest.as_deref(),
                query: ask.query.as_deref(),
                filter: ask.filter.as_ref(),
            };
            candidates::recall(state, lists, indices, &request)
        });
        Ranked { items }
    }

    /// Drops what may not be shown and keeps the best `limit`; fills from the catalogue when fewer than `k` are left.
    fn prerank(&self, ask: &Ask, ranked: &mut Ranked, limit: usize, k: usize) {
        let rules = ask.rules(self, ask.surface.get());
        candidates::keep_eligible(&self.state, &rules, &mut ranked.items, limit);
        if ranked.items.len() < k {
            candidates::fill(&self.state, &self.lists, &rules, &mut ranked.items, k);
        }
    }

    /// The best `k` with less of the same: MMR over what the items have in common, among the best `5 k`: what stands
    /// further down would not rise to the first `k` for being different.
    fn diversify(&self, ask: &Ask, ranked: &mut Ranked, k: usize) {
        let scores: Vec<f32> = ranked.items.iter().take(5 * k).map(|c| c.score).collect();
        let likeness = |a: usize, b: usize| self.likeness(ranked.items[a].item, ranked.items[b].item);
        let order = mmr(&scores, k, ask.surface.get().diversity, likeness);
        ranked.items = order.iter().map(|at| ranked.items[*at as usize]).collect();
    }

    /// Given items, scored and ordered; the ids that are not in the catalogue come back apart.
    fn rank_given(&mut self, ask: &Ask, ids: Vec<String>) -> (Ranked, Vec<String>) {
        let mut unknown = Vec::new();
        let mut known = Vec::new();
        for id in ids {
            match self.state.catalogue.ids().index(&id).filter(|i| self.state.catalogue.get(*i).is_some()) {
                Some(item) => known.push(item),
                None => unknown.push(id),
            }
        }
        let recalled = self.recall(ask);
        let mut items = candidates::score_given(&self.state, &recalled.items, &known, ask.now_ms);
        items.sort_by(|a, b| b.score.total_cmp(&a.score));
        (Ranked { items }, unknown)
    }

    /// [(id, score, sources)] of a list.
    fn shown<'s>(&'s self, ranked: &Ranked) -> Vec<(&'s str, f32, u32)> {
        ranked.items.iter().map(|c| (self.state.catalogue.ids().id(c.item), c.score, c.sources)).collect()
    }

    /// Feature vectors of a list: float32 [items, features].
    fn vectors<'py>(
        &mut self,
        py: Python<'py>,
        ask: &Ask,
        ranked: &Ranked,
        plan: &PyPlan,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let items: Vec<u32> = ranked.items.iter().map(|c| c.item).collect();
        let rows = self.rows(ask, &items, &plan.plan);
        PyArray1::from_vec(py, rows).reshape([items.len(), plan.plan.len()])
    }

    /// Feature vectors of items by id, in the order given; raises `unknown_item` for an id never heard of.
    fn vectors_of<'py>(
        &mut self,
        py: Python<'py>,
        ask: &Ask,
        ids: Vec<String>,
        plan: &PyPlan,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let of = |id: &String| self.state.catalogue.ids().index(id);
        let items: Option<Vec<u32>> = ids.iter().map(of).collect();
        let items = items.ok_or_else(|| refuse("unknown_item", "ids", "an item the log never named".to_owned()))?;
        let rows = self.rows(ask, &items, &plan.plan);
        PyArray1::from_vec(py, rows).reshape([items.len(), plan.plan.len()])
    }

    /// Hands the decision to the log with whatever is written next; `submit_decisions` does it at once. With a plan it carries the vectors of its first
    /// `ROWS_LOGGED_MAX` items.
    #[pyo3(signature = (log, ask, ranked, *, request_id, config_digest, seed, bundle, context, degraded, plan=None))]
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
    ) -> PyResult<()> {
        let features = plan.map_or_else(Matrix::default, |p| {
            let items: Vec<u32> = ranked.items.iter().take(ROWS_LOGGED_MAX).map(|c| c.item).collect();
            Matrix { columns: p.plan.len(), values: self.rows(ask, &items, &p.plan) }
        });
        let surface = ask.surface.get();
        let decision = Decision {
            request_id,
            user_id: ask.user_id.as_deref(),
            session_id: &ask.session_id,
            surface: &surface.name,
            as_of_ms: ask.now_ms,
            applied_offset: self.state.applied,
            state_version: self.state_version(ask),
            config_digest,
            seed,
            counts_served: surface.counts_served,
            bundle,
            context,
            degraded: degraded.iter().map(String::as_str).collect(),
            items: ranked
                .items
                .iter()
                .map(|c| Shown {
                    item_id: self.state.catalogue.ids().id(c.item),
                    score: c.score,
                    sources: c.sources,
                    propensity: 1.0,
                })
                .collect(),
            plan_digest: plan.map_or(0, |p| p.plan.digest),
            features,
        };
        let mut body = Vec::new();
        decision.encode(&mut body);
        let (namespace, id) = decision.user_key();
        let hash = key_hash(namespace, id);
        self.queue.defer_record(&mut self.state, &log.log, Kind::Decision, hash, &body, ask.now_ms).map_err(to_py)?;
        Ok(())
    }

    /// Hands the decisions made since the last batch to the log.
    fn submit_decisions(&mut self, log: &PyLog) -> PyResult<()> {
        let Core { state, queue, .. } = self;
        queue.submit_deferred(state, &log.log).map_err(to_py)
    }

    /// True when a user key of that name is known in memory: users first, then sessions.
    fn knows(&self, id: &str, session: bool) -> bool {
        let namespace = if session { Namespace::Session } else { Namespace::User };
        self.state.users.contains_key(&key_hash(namespace, id))
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

/// One decision of the log as JSON, for audits and people.
#[pyfunction]
pub fn decision_json<'py>(py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let d = Decision::decode(body).map_err(to_py)?;
    let names = |mask: u32| -> Vec<&str> {
        SOURCES.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, s)| *s).collect()
    };
    let items: Vec<serde_json::Value> = d
        .items
        .iter()
        .map(|i| {
            serde_json::json!({"id": i.item_id, "score": i.score, "source": names(i.sources), "propensity": i.propensity})
        })
        .collect();
    let json = serde_json::json!({
        "request_id": d.request_id, "user_id": d.user_id, "session_id": d.session_id, "surface": d.surface,
        "as_of_ms": d.as_of_ms, "applied_offset": d.applied_offset, "state_version": d.state_version,
        "config_digest": format!("{:016x}", d.config_digest), "seed": d.seed, "bundle": d.bundle,
        "context": serde_json::from_slice::<serde_json::Value>(d.context).unwrap_or_default(),
        "degraded": d.degraded, "items": items, "plan_digest": d.plan_digest,
        "features": d.features.values.chunks_exact(d.features.columns.max(1)).collect::<Vec<_>>(),
    });
    Ok(PyBytes::new(py, json.to_string().as_bytes()))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<SurfacePlan>()?;
    m.add_class::<Ask>()?;
    m.add_class::<Ranked>()?;
    m.add_class::<PyPlan>()?;
    m.add_function(wrap_pyfunction!(decision_json, m)?)
}
