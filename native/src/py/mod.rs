//! The border to Python: one thin file per native concept, no logic.

mod arrange;
pub mod bundles;
mod columns;
mod core;
mod error;
mod events;
pub mod log;
mod published;
mod rank;
mod read;
mod recall;
mod sends;
mod vectors;
mod worth;

use pyo3::prelude::*;

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    log::register(m)?;
    columns::register(m)?;
    core::register(m)?;
    read::register(m)?;
    rank::register(m)?;
    recall::register(m)?;
    worth::register(m)
}
