//! Item vectors, the session vector of a request and the text index, as Python drives them.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::cascade::negative::refused;
use crate::fold::step::is_positive;
use crate::fold::user::Recent;
use crate::py::core::{refuse, Core};
use crate::py::error::to_py;
use crate::py::read::Ask;
use crate::record::EVENT_TYPES;

/// Answers are lists of this size at most.
const NEAREST_MAX: usize = 10_000;

type Nearest<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);
type Clicks<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u8>>);

impl Core {
    /// Tells the tables of recall what changed in the catalogue.
    pub fn refresh_tables(&mut self) {
        let changed = self.state.renewed.take();
        self.indices.vectors.refresh(&self.state.catalogue, &changed);
        self.indices.text.changed(&changed);
    }

    /// Likeness of two items in [0, 1]: cosine of their vectors, else what their categories and attributes share.
    pub fn likeness(&self, a: u32, b: u32) -> f32 {
        self.indices.vectors.similarity(a, b).unwrap_or_else(|| self.state.catalogue.similarity(a, b))
    }

    /// The last `length` of the session's wishes whose item has a vector, oldest first.
    fn wishes(&self, ask: &Ask, length: usize) -> Vec<(u32, &Recent)> {
        let mut found: Vec<(u32, &Recent)> = Vec::new();
        if let Some(user) = self.state.user(ask.hash) {
            let here = user.session(&ask.session_id).map(|s| s.number);
            let liked = |r: &&Recent| is_positive(r.event_type) && !refused(&ask.declined, r.item);
            let wanted = |r: &&Recent| Some(r.session) == here && liked(r);
            let wanted = user.recent.iter().filter(wanted);
            let known = wanted.filter_map(|r| Some((self.state.catalogue.ids().by_hash(r.item)?, r)));
            found.extend(known.filter(|(item, _)| self.indices.vectors.has(*item)));
        }
        found.drain(..found.len().saturating_sub(length));
        found
    }

    /// Raises `bad_vectors` for another length than the items', `not_finite`.
    fn checked(&self, vector: &PyReadonlyArray1<'_, f32>) -> PyResult<Vec<f32>> {
        let (held, given) = (self.indices.vectors.dimension(), vector.len());
        if given != held {
            return Err(refuse("bad_vectors", "vector", format!("{given} values; the item vectors have {held}")));
        }
        let vector: Vec<f32> = vector.as_array().to_vec();
        if vector.iter().any(|x| !x.is_finite()) {
            return Err(refuse("not_finite", "vector", "a value is not a finite number".to_owned()));
        }
        Ok(vector)
    }
}

#[pymethods]
impl Core {
    /// Replaces the item vectors: float32 [items, dimension], a row for each id. Raises `bad_vectors`, `not_finite`.
    fn set_vectors(&mut self, ids: Vec<String>, vectors: PyReadonlyArray2<'_, f32>) -> PyResult<()> {
        let rows = vectors.as_slice().map_err(|e| PyValueError::new_err(e.to_string()))?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.refresh_tables();
        self.indices.vectors.set(&self.state.catalogue, &ids, rows, vectors.shape()[1]).map_err(to_py)
    }

    /// Adds to the vectors that `adopt_vectors` puts in place of the present ones, as of a bundle that is made ready
    /// beside requests, some thousand rows at a time; `first` drops what was staged before. Raises as `set_vectors`, and
    /// then too what was staged is dropped.
    #[pyo3(signature = (ids, vectors, *, first=false))]
    fn stage_vectors(&mut self, ids: Vec<String>, vectors: PyReadonlyArray2<'_, f32>, first: bool) -> PyResult<()> {
        let rows = vectors.as_slice().map_err(|e| PyValueError::new_err(e.to_string()))?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.refresh_tables();
        if first {
            self.indices.vectors.unstage();
        }
        self.indices.vectors.stage(&self.state.catalogue, &ids, rows, vectors.shape()[1]).map_err(to_py)
    }

    /// False when nothing was staged. Items without a vector of their own get theirs within the next requests.
    fn adopt_vectors(&mut self) -> bool {
        self.refresh_tables();
        self.indices.vectors.adopt()
    }

    /// [(item, its JSON)] of at most `n` items that the bundle in use, or with `beside` the one beside it, has no vector of,
    /// and that are new, changed or without one made yet; with `given_only` those that were sent with an embedding. Each
    /// is told once.
    #[pyo3(signature = (n, *, given_only=false, beside=false))]
    fn take_cold<'py>(
        &mut self,
        py: Python<'py>,
        n: usize,
        given_only: bool,
        beside: bool,
    ) -> Vec<(u32, Bound<'py, PyBytes>)> {
        self.refresh_tables();
        let (vectors, catalogue) = (&mut self.indices.vectors, &self.state.catalogue);
        let table = if beside { vectors.beside() } else { Some(vectors) };
        let Some(table) = table else { return Vec::new() };
        let cold = table.take_cold(catalogue, n, given_only);
        cold.into_iter().filter_map(|item| Some((item, PyBytes::new(py, catalogue.json(item)?)))).collect()
    }

    /// Vectors made from the content of items, or `given` with them: float32 [items, dimension], a row for each of what
    /// `take_cold` told. Says how many are in use now. Raises `bad_vectors`.
    #[pyo3(signature = (items, rows, *, given=false, beside=false))]
    fn put_made(
        &mut self,
        items: PyReadonlyArray1<'_, u32>,
        rows: PyReadonlyArray2<'_, f32>,
        given: bool,
        beside: bool,
    ) -> PyResult<usize> {
        let values = rows.as_slice().map_err(|e| PyValueError::new_err(e.to_string()))?;
        let (n, dimension) = (rows.shape()[0], rows.shape()[1]);
        if n != items.len() {
            return Err(refuse("bad_vectors", "rows", format!("{n} rows for {} items", items.len())));
        }
        let (vectors, catalogue) = (&mut self.indices.vectors, &self.state.catalogue);
        let table = if beside { vectors.beside() } else { Some(vectors) };
        let Some(table) = table else { return Ok(0) };
        let rows = values.chunks_exact(dimension.max(1));
        let items = items.as_array();
        Ok(items.iter().zip(rows).filter(|(item, row)| table.put_made(catalogue, **item, row, given)).count())
    }

    /// Where the vector of an item comes from: `trained`, `content`, `given`, `category` or `none`.
    fn vector_origin(&mut self, id: &str) -> &'static str {
        self.refresh_tables();
        self.state.catalogue.ids().index(id).map_or("none", |item| self.indices.vectors.origin(item))
    }

    fn clear_vectors(&mut self) {
        self.indices.vectors.clear();
    }

    /// Items that a search may find.
    #[getter]
    fn vectors_len(&mut self) -> usize {
        self.refresh_tables();
        self.indices.vectors.len()
    }

    /// 0 without vectors.
    #[getter]
    fn vectors_dimension(&self) -> usize {
        self.indices.vectors.dimension()
    }

    /// The session's wishes that have a vector, oldest first, the last `length` of them.
    fn session_items<'py>(&mut self, py: Python<'py>, ask: &Ask, length: usize) -> Bound<'py, PyArray1<u32>> {
        self.refresh_tables();
        PyArray1::from_vec(py, self.wishes(ask, length).iter().map(|(item, _)| *item).collect())
    }

    /// `session_items` with their times (ms) and the numbers of their event types, as `event_types` counts them.
    fn session_clicks<'py>(&mut self, py: Python<'py>, ask: &Ask, length: usize) -> Clicks<'py> {
        self.refresh_tables();
        let wishes = self.wishes(ask, length);
        (
            PyArray1::from_vec(py, wishes.iter().map(|(item, _)| *item).collect()),
            PyArray1::from_vec(py, wishes.iter().map(|(_, wish)| wish.ts_ms).collect()),
            PyArray1::from_vec(py, wishes.iter().map(|(_, wish)| wish.event_type as u8).collect()),
        )
    }

    /// The contract's event types by their numbers.
    #[staticmethod]
    fn event_types() -> Vec<&'static str> {
        EVENT_TYPES.iter().map(|(_, name)| *name).collect()
    }

    /// Vectors of items: float32 [items, dimension], zeros where there is none.
    fn gather<'py>(&self, py: Python<'py>, items: PyReadonlyArray1<'_, u32>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (items, dimension) = (items.as_array(), self.indices.vectors.dimension());
        let mut rows = vec![0.0; items.len() * dimension];
        for (to, item) in rows.chunks_exact_mut(dimension.max(1)).zip(items) {
            if let Some(row) = self.indices.vectors.row(*item) {
                to.copy_from_slice(row);
            }
        }
        PyArray1::from_vec(py, rows).reshape([items.len(), dimension])
    }

    /// Keeps the session vector in the request: `ann` looks for items near it. Raises `bad_vectors`, `not_finite`.
    fn set_session_vector(&self, ask: &mut Ask, vector: PyReadonlyArray1<'_, f32>) -> PyResult<()> {
        ask.vector = Some(self.checked(&vector)?);
        Ok(())
    }

    /// Keeps the vector of user and session together: `ann_user` looks for items near it. Raises as `set_session_vector`.
    fn set_user_vector(&self, ask: &mut Ask, vector: PyReadonlyArray1<'_, f32>) -> PyResult<()> {
        ask.user_vector = Some(self.checked(&vector)?);
        Ok(())
    }

    /// Keeps what an index outside found, best first: `ann`, or with `user` the source `ann_user`, brings these instead
    /// of scanning. Raises `bad_vectors`.
    #[pyo3(signature = (ask, items, scores, *, user=false))]
    fn set_nearest(
        &self,
        ask: &mut Ask,
        items: PyReadonlyArray1<'_, u32>,
        scores: PyReadonlyArray1<'_, f32>,
        user: bool,
    ) -> PyResult<()> {
        if items.len() != scores.len() {
            return Err(refuse("bad_vectors", "scores", format!("{} for {} items", scores.len(), items.len())));
        }
        let pairs = items.as_array().iter().copied().zip(scores.as_array().iter().copied()).collect::<Vec<_>>();
        let found = Some(pairs.into_iter().filter(|(_, score)| score.is_finite()).collect());
        *(if user { &mut ask.user_nearest } else { &mut ask.nearest }) = found;
        Ok(())
    }

    /// (items uint32, scores float32) of the `n` items nearest to a vector by dot product, best first, ties to the lower
    /// item; at most 10,000. Of many, the scores well above the last are those of rounded vectors. Raises `bad_vectors`,
    /// `not_finite`.
    fn nearest<'py>(&mut self, py: Python<'py>, vector: PyReadonlyArray1<'_, f32>, n: usize) -> PyResult<Nearest<'py>> {
        let vector = self.checked(&vector)?;
        self.refresh_tables();
        let mut found = Vec::new();
        let indices = &mut self.indices;
        py.detach(|| indices.vectors.nearest(&vector, n.min(NEAREST_MAX), &mut indices.scratch, &mut found));
        let (items, scores): (Vec<u32>, Vec<f32>) = found.into_iter().unzip();
        Ok((PyArray1::from_vec(py, items), PyArray1::from_vec(py, scores)))
    }

    /// (may be found, may not) of the items whose vector or visibility changed since the last call; all of them after
    /// `set_vectors`. For an index outside.
    fn take_vector_changes<'py>(&mut self, py: Python<'py>) -> (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u32>>) {
        self.refresh_tables();
        let vectors = &mut self.indices.vectors;
        let (here, gone): (Vec<u32>, Vec<u32>) =
            vectors.take_untold().into_iter().partition(|item| vectors.may_be_found(*item));
        (PyArray1::from_vec(py, here), PyArray1::from_vec(py, gone))
    }

    /// Indexes up to `items_max` more items for text search; says how many are left. The first search does what is left,
    /// so a shard that offers search calls this before it is asked.
    fn index_text(&mut self, items_max: usize) -> usize {
        self.refresh_tables();
        self.indices.text.catch_up(&self.state.catalogue, items_max)
    }

    /// [(id, score)] of the `n` items whose text matches best. For tests and measurements; lists ask the source `text`.
    fn search_text(&mut self, query: &str, n: usize) -> Vec<(String, f32)> {
        self.refresh_tables();
        let catalogue = &self.state.catalogue;
        let found = self.indices.text.search(catalogue, query, n.min(NEAREST_MAX));
        found.into_iter().map(|(item, score)| (catalogue.ids().id(item).to_owned(), score)).collect()
    }
}
