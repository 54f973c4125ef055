//! z5-core.
