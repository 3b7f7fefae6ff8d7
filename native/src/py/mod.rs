//! The border to Python: one thin file per native concept, no logic.

mod recall;

use pyo3::prelude::*;

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    recall::register(m)?;
    Ok(())
}
