//! `--capture`: the file is made before anything is sent, and what became of it stands in the result. A capture that fails
//! half-way (a full disk) fails the run at its end; the call goes on.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use z5_core::{Capture, CaptureOutcome, Failure};

use crate::args::CaptureArgs;
use crate::expect::Expectation;
use crate::failure::usage;
use crate::lossy;

/// A capture that runs.
#[derive(Debug)]
pub(crate) struct Running {
    file: PathBuf,
    capture: Arc<Capture>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CaptureResult {
    /// The pcapng file.
    #[serde(serialize_with = "lossy::path")]
    pub(crate) file: PathBuf,
    #[serde(flatten)]
    pub(crate) outcome: CaptureOutcome,
}

/// Creates the file that was asked for.
pub(crate) fn begin(args: &CaptureArgs) -> Result<Option<Running>, Failure> {
    let Some(file) = args.capture.clone() else { return Ok(None) };
    let made = if args.overwrite { Capture::overwrite(&file) } else { Capture::create(&file) };
    match made {
        Ok(capture) => Ok(Some(Running { file, capture: Arc::new(capture) })),
        Err(error) => {
            let there = error.source.kind() == std::io::ErrorKind::AlreadyExists;
            let hint = if there { "; --overwrite replaces it" } else { "" };
            Err(usage("usage.capture", format!("{error}{hint}")))
        }
    }
}

impl Running {
    /// For the session.
    pub(crate) fn handle(&self) -> Arc<Capture> {
        Arc::clone(&self.capture)
    }

    /// Completes the file.
    pub(crate) fn finish(self) -> CaptureResult {
        CaptureResult { outcome: self.capture.finish(), file: self.file }
    }
}

impl CaptureResult {
    /// A capture is promised whole.
    pub(crate) fn expectation(&self) -> Expectation {
        let CaptureOutcome { packets, left_out, failure } = &self.outcome;
        let measured = match failure {
            Some(why) => format!("{packets} packets, then: {why}"),
            None => format!("{packets} packets, {left_out} left out"),
        };
        let held = failure.is_none() && *left_out == 0;
        Expectation::fact("capture.complete", "no packet left out", measured, held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_with_a_hole_does_not_hold() {
        let of = |left_out, failure: Option<&str>| {
            let outcome = CaptureOutcome { packets: 3, left_out, failure: failure.map(str::to_owned) };
            CaptureResult { file: "x".into(), outcome }.expectation()
        };
        assert!(of(0, None).held);
        assert!(!of(1, None).held);
        let full = of(0, Some("no space left on device"));
        assert!(!full.held && full.measured.contains("no space"), "{full:?}");
    }
}
