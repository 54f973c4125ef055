//! z5-media.
