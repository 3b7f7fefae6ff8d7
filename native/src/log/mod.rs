//! (module log)
