//! Journeys of whole sessions against the mock carrier, over real sockets on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a test program: a panic is a failed test, and every event that is not waited for is passed over"
)]

mod call_matrix;
mod calls;
mod embedding;
mod extras;
mod faults;
mod matrix;
mod privacy;
mod shared;
mod steps;
mod support;
mod transports;
mod video;
