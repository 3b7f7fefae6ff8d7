//! Session-kNN and re-ranking by themselves, for tests and offline measurements; the shard uses them inside its state.

use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::error::to_py;
use crate::recall::knn;

/// Indices as a numpy array of uint32 or any sequence of integers.
#[derive(FromPyObject)]
enum Indices<'py> {
    Array(PyReadonlyArray1<'py, u32>),
    Sequence(Vec<u32>),
}

impl Indices<'_> {
    fn as_slice(&self) -> PyResult<&[u32]> {
        match self {
            Indices::Array(a) => a.as_slice().map_err(|e| PyValueError::new_err(e.to_string())),
            Indices::Sequence(v) => Ok(v),
        }
    }
}

#[pyclass(module = "rtp_monolith._native")]
struct SessionKnn {
    index: knn::SessionKnn,
}

#[pymethods]
impl SessionKnn {
    #[new]
    #[pyo3(signature = (*, sessions_max=1_000_000, session_items_max=100, posting_max=5_000, items_max=1 << 24))]
    fn new(sessions_max: usize, session_items_max: usize, posting_max: usize, items_max: u32) -> Self {
        let limits = knn::KnnLimits { sessions_max, session_items_max, posting_max, items_max };
        SessionKnn { index: knn::SessionKnn::new(limits) }
    }

    fn touch(&mut self, session: u64, item: u32, ts_ms: i64) {
        self.index.touch(session, item, ts_ms);
    }

    fn touch_many(
        &mut self,
        py: Python<'_>,
        sessions: PyReadonlyArray1<'_, u64>,
        items: PyReadonlyArray1<'_, u32>,
        ts_ms: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<()> {
        let (sessions, items, ts_ms) = (sessions.as_slice()?, items.as_slice()?, ts_ms.as_slice()?);
        if sessions.len() != items.len() || items.len() != ts_ms.len() {
            return Err(PyValueError::new_err("sessions, items and ts_ms must be equally long"));
        }
        py.detach(|| {
            for ((&session, &item), &ts) in sessions.iter().zip(items).zip(ts_ms) {
                self.index.touch(session, item, ts);
            }
        });
        Ok(())
    }

    fn forget(&mut self, session: u64) {
        self.index.forget(session);
    }

    #[pyo3(signature = (
        items, n, *, exclude=None, m_most_recent_sessions=500, neighborhood_size_k=50, max_items_in_session=2,
        idf_weighting=1.0, with_latest=false, reach=0.0
    ))]
    #[allow(clippy::too_many_arguments)] // the parameters of the paper, by keyword
    fn query(
        &mut self,
        py: Python<'_>,
        items: Indices<'_>,
        n: usize,
        exclude: Option<u64>,
        m_most_recent_sessions: usize,
        neighborhood_size_k: usize,
        max_items_in_session: usize,
        idf_weighting: f64,
        with_latest: bool,
        reach: f64,
    ) -> PyResult<Vec<(u32, f32)>> {
        let items = items.as_slice()?;
        let params = knn::KnnParams {
            m_most_recent_sessions,
            neighborhood_size_k,
            max_items_in_session,
            idf_weighting,
            with_latest,
            reach,
        };
        let mut out = Vec::new();
        py.detach(|| self.index.query(items, exclude, &params, n, &mut out));
        Ok(out)
    }

    fn take_dirty_sessions(&mut self) -> Vec<u64> {
        self.index.take_dirty_sessions()
    }

    fn session_entry<'py>(&self, py: Python<'py>, session: u64) -> Option<Bound<'py, PyBytes>> {
        self.index.session_entry(session).map(|bytes| PyBytes::new(py, &bytes))
    }

    fn restore(&mut self, session: u64, entry: &[u8]) -> PyResult<()> {
        self.index.restore(session, entry).map_err(to_py)
    }

    fn sessions(&self) -> usize {
        self.index.sessions()
    }

    fn memory_bytes(&self) -> usize {
        self.index.memory_bytes()
    }

    fn __len__(&self) -> usize {
        self.index.len()
    }
}

/// `sim` is a square matrix over the positions of `scores`.
#[pyfunction]
fn mmr(
    scores: PyReadonlyArray1<'_, f32>,
    sim: PyReadonlyArray2<'_, f32>,
    k: usize,
    diversity: f32,
) -> PyResult<Vec<u32>> {
    let (scores, sim) = (scores.as_slice()?, sim.as_array());
    if sim.shape() != [scores.len(), scores.len()] {
        return Err(PyValueError::new_err("sim must have one row and one column per score"));
    }
    Ok(crate::rerank::mmr(scores, k, diversity, |a, b| sim[[a, b]]))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<SessionKnn>()?;
    m.add_function(wrap_pyfunction!(mmr, m)?)
}
