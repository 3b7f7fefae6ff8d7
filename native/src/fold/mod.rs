//! (module fold)
