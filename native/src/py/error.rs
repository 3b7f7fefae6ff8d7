//! Errors of the crate as the exceptions of `rtp_monolith.errors`. The tree itself lives there; only codes cross.

use pyo3::prelude::*;

use crate::error::Error;

/// The exception that `errors.from_native(code, field, message)` makes; its own failure if it cannot.
pub fn to_py(e: Error) -> PyErr {
    let field = match &e {
        Error::Invalid { field, .. } if !field.is_empty() => Some(field.as_str()),
        _ => None,
    };
    let message = match &e {
        Error::Invalid { message, .. } => message.clone(),
        other => other.to_string(),
    };
    Python::attach(|py| {
        let made = py
            .import("rtp_monolith.errors")
            .and_then(|errors| errors.call_method1("from_native", (e.code(), field, message)));
        made.map_or_else(|failed| failed, PyErr::from_value)
    })
}
