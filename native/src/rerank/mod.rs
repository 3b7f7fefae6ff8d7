//! (module rerank)
