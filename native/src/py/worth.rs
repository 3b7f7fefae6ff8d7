//! An expression of worth in Python's hands, and the list that is ordered by it.

use numpy::{PyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::cascade::worth::{self, blend};
use crate::py::core::{refuse, Core};
use crate::py::error::to_py;
use crate::py::rank::Ranked;

/// A compiled expression over heads and fields.
#[pyclass(module = "rtp_monolith._native", frozen)]
pub struct Worth {
    worth: worth::Worth,
}

#[pymethods]
impl Worth {
    /// Steps in postfix order, as `ranking/value.py` writes them. Raises `bad_expression`.
    #[new]
    fn new(steps: Vec<(String, f64)>, heads: usize, fields: Vec<String>) -> PyResult<Worth> {
        Ok(Worth { worth: worth::Worth::new(&steps, heads, fields).map_err(to_py)? })
    }

    /// float32 [n] of heads [n, heads] and fields [n, fields], NaN where a field is absent. Raises `bad_shape`.
    fn of<'py>(
        &self,
        py: Python<'py>,
        heads: PyReadonlyArray2<'_, f32>,
        fields: PyReadonlyArray2<'_, f32>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let (n, width) = (heads.shape()[0], heads.shape()[1]);
        if width != self.worth.heads || fields.shape() != [n, self.worth.fields.len()] {
            let message = format!("{:?} heads and {:?} fields for {} items", heads.shape(), fields.shape(), n);
            return Err(refuse("bad_shape", "heads", message));
        }
        let (heads, fields) = (heads.as_array(), fields.as_array());
        Ok(PyArray1::from_vec(py, self.worth.of(n, |item, at| heads[[item, at]], |item, at| fields[[item, at]])))
    }
}

#[pymethods]
impl Core {
    /// Orders a list by what its items are worth, `recall_weight` by how surely the sources found them; equal ones keep
    /// their order. `probabilities` [items, heads of the ranker]; `columns` are the heads of the expression among them, None
    /// for all in their order. Their worth alone, float32 [items] in the order before. Raises `bad_shape`, `unknown_field`.
    #[pyo3(signature = (ranked, probabilities, worth, columns=None, recall_weight=0.0))]
    fn weigh<'py>(
        &self,
        py: Python<'py>,
        ranked: &mut Ranked,
        probabilities: PyReadonlyArray2<'_, f32>,
        worth: &Worth,
        columns: Option<Vec<usize>>,
        recall_weight: f32,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let worth = &worth.worth;
        let (n, width) = (probabilities.shape()[0], probabilities.shape()[1]);
        let columns = columns.unwrap_or_else(|| (0..worth.heads).collect());
        if n != ranked.items.len() || columns.len() != worth.heads || columns.iter().any(|at| *at >= width) {
            let message =
                format!("{n} x {width} for {} items, columns {columns:?} of {}", ranked.items.len(), worth.heads);
            return Err(refuse("bad_shape", "probabilities", message));
        }
        let probabilities = probabilities.as_array();
        let head = |item: usize, at: usize| probabilities[[item, columns[at]]];
        let made = worth.of_list(&self.state, &ranked.items, head).map_err(to_py)?;
        if recall_weight > 0.0 {
            let found: Vec<f32> = ranked.items.iter().map(|c| c.score).collect();
            ranked.order_by(blend(&found, &made, recall_weight).into_iter());
        } else {
            ranked.order_by(made.iter().copied());
        }
        Ok(PyArray1::from_vec(py, made))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Worth>()
}
