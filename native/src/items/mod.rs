//! (module items)
