//! What the result objects of the commands begin with. Those of calls are reports ([`crate::report`]).

use serde::Serialize;
use z5_core::Failure;

use crate::exit::Exit;

/// The head of a result, flattened into the command's own.
#[derive(Debug, Serialize)]
pub(super) struct Head<'a> {
    event: &'static str,
    command: &'static str,
    verdict: &'static str,
    exit_code: u8,
    failure: Option<&'a Failure>,
}

impl<'a> Head<'a> {
    /// "ok" is what ends with 0, everything else has failed.
    pub(super) fn new(command: &'static str, exit: Exit, failure: Option<&'a Failure>) -> Self {
        let verdict = if exit == Exit::Ok { "ok" } else { "failed" };
        Self { event: "result", command, verdict, exit_code: exit.status(), failure }
    }
}
