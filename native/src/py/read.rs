//! The read side of `Core`: state as JSON, and a request up to its candidates. `Ask` is one request; `rank` goes on from there.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::cascade::candidates::{self, Request, Wanted};
use crate::cascade::eligible::Rules;
use crate::cascade::negative::Declined;
use crate::cascade::rules::{Moment, RuleSet};
use crate::cascade::SOURCES;
use crate::fold::published::Given;
use crate::fold::vector::Asker;
use crate::hash::{key_hash, Namespace};
use crate::items::Filter;
use crate::py::core::{refuse, Core};
use crate::py::error::to_py;
use crate::py::rank::{PyPlan, Ranked};
use crate::recall::knn::KnnParams;
use crate::rerank::mmr;

/// What a surface declares, compiled once.
#[pyclass(module = "rtp_monolith._native", frozen)]
pub struct SurfacePlan {
    pub name: String,
    pub sources: Vec<Wanted>,
    pub hide_clicked: bool,
    pub hide_bought: bool,
    pub diversity: f32,
    pub counts_served: bool,
    pub knn: KnnParams,
    /// After which what was hidden may be shown again; None for ever.
    pub clicked_cooldown_ms: Option<i64>,
    pub bought_cooldown_ms: Option<i64>,
    /// Diversity by determinants, not by MMR.
    pub dpp: bool,
    pub rules: RuleSet,
    /// A request that names no items is about the cart of its session.
    pub about_cart: bool,
}

#[pymethods]
impl SurfacePlan {
    /// `sources`: [(name, quota, weight)]; `rules`: JSON of `state/surface_rules.py`. Raises `unknown_source` for a name
    /// that is not one, `bad_rule`.
    #[new]
    #[pyo3(signature = (name, sources, *, hide_clicked, hide_bought, diversity, counts_served,
        m_most_recent_sessions=500, neighborhood_size_k=50, max_items_in_session=2, idf_weighting=1.0,
        clicked_cooldown_ms=None, bought_cooldown_ms=None, dpp=false, rules=None, about_cart=false))]
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
        clicked_cooldown_ms: Option<i64>,
        bought_cooldown_ms: Option<i64>,
        dpp: bool,
        rules: Option<&[u8]>,
        about_cart: bool,
    ) -> PyResult<SurfacePlan> {
        let mut wanted = Vec::new();
        for (source, quota, weight) in sources {
            let Some(at) = SOURCES.iter().position(|s| *s == source) else {
                return Err(refuse("unknown_source", &name, format!("{source:?} is not one of {SOURCES:?}")));
            };
            wanted.push(Wanted { source: at as u8, quota, weight });
        }
        let knn = KnnParams {
            m_most_recent_sessions,
            neighborhood_size_k,
            max_items_in_session,
            idf_weighting,
            ..KnnParams::default()
        };
        Ok(SurfacePlan {
            name,
            sources: wanted,
            hide_clicked,
            hide_bought,
            diversity,
            counts_served,
            knn,
            clicked_cooldown_ms,
            bought_cooldown_ms,
            dpp,
            rules: rules.map_or_else(|| Ok(RuleSet::default()), RuleSet::parse).map_err(to_py)?,
            about_cart,
        })
    }
}

/// One request, resolved against the state.
#[pyclass(module = "rtp_monolith._native")]
pub struct Ask {
    pub surface: Py<SurfacePlan>,
    /// By which surface and bundle the list is made, for what is counted by arm.
    pub arms: [String; 2],
    pub user_id: Option<String>,
    pub session_id: String,
    pub hash: u64,
    pub seeds: Vec<u32>,
    pub excluded: Vec<u32>,
    pub category: Option<String>,
    pub context: Vec<(String, String)>,
    pub filter: Option<Filter>,
    pub now_ms: i64,
    pub query: Option<String>,
    /// The session in the space of the item vectors.
    pub vector: Option<Vec<f32>>,
    /// What an index outside found for it.
    pub nearest: Option<Vec<(u32, f32)>>,
    /// The past of the user and the session together, and what an index outside found for that.
    pub user_vector: Option<Vec<f32>>,
    pub user_nearest: Option<Vec<(u32, f32)>>,
    /// What batch jobs published of it.
    pub given: Given,
    /// As the rules of the surface see it.
    pub moment: Moment,
    /// Of the text of the filter.
    pub filter_hash: u64,
    /// What the user declined, where the surface minds that.
    pub declined: Vec<Declined>,
}

impl Ask {
    pub fn rules<'a>(&'a self, core: &Core, surface: &'a SurfacePlan) -> Rules<'a> {
        let user = core.state.user(self.hash);
        Rules {
            clicked: user
                .filter(|_| surface.hide_clicked)
                .map(|u| u.clicked.lookup(surface.clicked_cooldown_ms, self.now_ms)),
            bought: user
                .filter(|_| surface.hide_bought)
                .map(|u| u.bought.lookup(surface.bought_cooldown_ms, self.now_ms)),
            excluded: self.excluded.clone(),
            declined: self.declined.iter().filter(|d| d.hidden).map(|d| d.hash).collect(),
            filter: self.filter.as_ref(),
            declared: Some((&surface.rules, &self.moment)).filter(|_| !surface.rules.filter.is_empty()),
        }
    }
}

#[pymethods]
impl Ask {
    /// The list is made with that bundle, by its label, and for that surface; without one, for that of the request.
    #[pyo3(signature = (bundle, surface=None))]
    fn made_with(&mut self, bundle: String, surface: Option<String>) {
        let [own, _] = &self.arms;
        self.arms = [surface.unwrap_or_else(|| own.clone()), bundle];
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
            let asker = Asker {
                user,
                own: state.own(hash),
                profile,
                session_id,
                surface: "",
                arms: ["", ""],
                context: &[],
                session: None,
                fused: None,
                vectors: None,
                text: None,
                found: &[],
                published: None,
                as_of_ms: now_ms,
            };
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
        let hash = self.state.resolve(user_id.as_deref(), &session_id);
        let mut seeds: Vec<u32> = seeds.iter().filter_map(index).collect();
        let user = self.state.user(hash);
        if let Some(user) = user.filter(|_| surface.get().about_cart && seeds.is_empty()) {
            let held = user.cart(&session_id).iter().filter_map(|(item, _)| self.state.catalogue.ids().by_hash(*item));
            seeds.extend(held);
            excluded.extend_from_slice(&seeds);
        }
        excluded.sort_unstable();
        let negative = surface.get().rules.negative.as_ref();
        let declined = user.zip(negative).map(|(user, rule)| rule.declined(&self.state, user, now_ms));
        Ok(Ask {
            hash,
            declined: declined.unwrap_or_default(),
            moment: Moment::new(&context, now_ms).about(&seeds),
            seeds,
            filter: filter.map(Filter::parse).transpose().map_err(to_py)?,
            filter_hash: filter.map_or(0, xxhash_rust::xxh3::xxh3_64),
            arms: [surface.get().name.clone(), String::new()],
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
            user_vector: None,
            user_nearest: None,
            given: Given::default(),
        })
    }

    /// Events counted for the asking user so far.
    fn state_version(&self, ask: &Ask) -> u64 {
        self.state.user(ask.hash).map_or(0, |u| u.version)
    }

    /// Every source of the surface asked, merged, best first. With a budget, no source is asked once it is spent; those in
    /// the bit mask `failing` are not asked at all.
    #[pyo3(signature = (ask, budget_us=0, failing=0))]
    fn recall(&mut self, ask: &Ask, budget_us: u64, failing: u32) -> Ranked {
        self.refresh_tables();
        let surface = ask.surface.get();
        let began = Instant::now();
        let spent = || budget_us > 0 && began.elapsed() >= Duration::from_micros(budget_us);
        let found = self.with_indices(|state, lists, indices| {
            let request = Request {
                user: state.user(ask.hash),
                session_id: &ask.session_id,
                seeds: &ask.seeds,
                category: ask.category.as_deref(),
                context: &ask.context,
                now_ms: ask.now_ms,
                knn: surface.knn,
                sources: &surface.sources,
                failing,
                vector: ask.vector.as_deref(),
                nearest: ask.nearest.as_deref(),
                user_vector: ask.user_vector.as_deref(),
                user_nearest: ask.user_nearest.as_deref(),
                declined: &ask.declined,
                query: ask.query.as_deref(),
                filter: ask.filter.as_ref(),
            };
            candidates::recall(state, lists, indices, &request, &spent)
        });
        Ranked { skipped: found.skipped, ..Ranked::new(found.candidates) }
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
        let recalled = self.recall(ask, 0, 0);
        let mut items = candidates::score_given(&self.state, &recalled.items, &known, ask.now_ms);
        items.sort_by(|a, b| b.score.total_cmp(&a.score));
        (Ranked::new(items), unknown)
    }

    /// True when a user key of that name is known in memory: users first, then sessions.
    fn knows(&self, id: &str, session: bool) -> bool {
        let namespace = if session { Namespace::Session } else { Namespace::User };
        self.state.users.contains_key(&key_hash(namespace, id))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<SurfacePlan>()?;
    m.add_class::<Ask>()
}
