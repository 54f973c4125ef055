//! Failures of the program's own, which belong to no step: what was asked for cannot be done, or somebody stopped it.

use z5_core::{Advice, Failure};

/// The command line, the configuration or a file named there cannot be used.
pub(crate) fn usage(code: &'static str, message: impl Into<String>) -> Failure {
    Failure::outside_steps(code, message.into(), Advice::CheckSettings)
}

/// Ctrl-C or its like came before what was wanted.
pub(crate) fn interrupted() -> Failure {
    Failure::outside_steps("run.interrupted", "interrupted before it was done".to_owned(), Advice::RetryNow)
}
