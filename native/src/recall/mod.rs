//! (module recall)
