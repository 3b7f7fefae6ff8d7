//! The border to Python: one thin file per native concept, no logic.

pub mod error;
pub mod log;
mod recall;

use pyo3::prelude::*;

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    log::register(m)?;
    recall::register(m)?;
    Ok(())
}
