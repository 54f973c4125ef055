//! z5-mock.
