//! `z5 history`: the calls that were, from the store of the configuration's account. Sends nothing.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use z5_core::store::Direction;
use z5_core::{CallRecord, DirStore, Failure, Store, StoreError};

use super::head::Head;
use super::load_file;
use crate::args::{HistoryAction, HistoryArgs};
use crate::exit::Exit;
use crate::failure::usage;
use crate::output::{self, Output};
use crate::store;

/// The result object.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<Vec<CallRecord>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleared: Option<usize>,
}

pub(super) fn run(args: &HistoryArgs, path: Option<&Path>, out: &mut Output) -> Exit {
    let clear = args.action == Some(HistoryAction::Clear);
    let done = place(path).and_then(|place| match clear {
        true => forget(&place).map(|cleared| (None, Some(cleared))),
        false => calls(&place, args.last).map(|calls| (Some(calls), None)),
    });
    let ((calls, cleared), failure) = match done {
        Ok(done) => (done, None),
        Err(failure) => ((None, None), Some(failure)),
    };
    for call in calls.iter().flatten() {
        out.note(&output::plain(&line(call)));
    }
    match (&calls, cleared) {
        (Some(calls), _) if calls.is_empty() => out.note("no calls"),
        (_, Some(cleared)) => out.note(&format!("{cleared} calls forgotten")),
        _ => {}
    }
    if let Some(failure) = &failure {
        output::failure(failure);
    }
    let exit = match &failure {
        Some(_) => Exit::Usage,
        None if output::is_lost() => Exit::Expectation,
        None => Exit::Ok,
    };
    out.object(&Line { head: Head::new("history", exit, failure.as_ref()), calls, cleared });
    exit
}

fn place(path: Option<&Path>) -> Result<std::path::PathBuf, Failure> {
    let config = load_file(path)?;
    store::directory(&config).ok_or_else(|| {
        let message = "calls are not kept: the configuration says store = \"none\", or neither XDG_DATA_HOME nor HOME is set";
        usage("usage.no-store", message)
    })
}

/// The latest `last` calls, oldest first; none were kept where there is no store yet.
fn calls(place: &Path, last: Option<usize>) -> Result<Vec<CallRecord>, Failure> {
    if !place.exists() {
        return Ok(Vec::new());
    }
    let mut calls =
        DirStore::read_only(place).and_then(|store| store.calls()).map_err(|error| error.failure())?;
    let first = last.map_or(0, |last| calls.len().saturating_sub(last));
    Ok(calls.split_off(first))
}

fn forget(place: &Path) -> Result<usize, Failure> {
    if !place.exists() {
        return Ok(0);
    }
    let forget = || -> Result<usize, StoreError> {
        let store = DirStore::open(place)?;
        let calls = store.calls()?.len();
        store.clear_calls()?;
        Ok(calls)
    };
    forget().map_err(|error| error.failure())
}

/// One call in a line.
fn line(call: &CallRecord) -> String {
    let at = UNIX_EPOCH + Duration::from_secs(call.started_unix_s);
    let at = humantime::format_rfc3339_seconds(at);
    let direction = match call.direction {
        Direction::Incoming => "from",
        Direction::Outgoing => "to  ",
    };
    let name = call.display_name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    let outcome = match call.duration_ms {
        Some(ms) => format!("{:.1} s", ms as f64 / 1000.0),
        None => call.outcome.clone(),
    };
    format!("{at}  {direction} {:<24} {outcome}", format!("{}{name}", output::somebody(&call.remote)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_one_line() {
        let mut call = CallRecord {
            started_unix_s: 1_790_000_000,
            direction: Direction::Incoming,
            remote: "sip:+15555550102@c.test".into(),
            display_name: Some("Bob".into()),
            duration_ms: Some(61_250),
            outcome: "answered".into(),
            by: None,
        };
        assert_eq!(line(&call), "2026-09-21T14:13:20Z  from +15555550102 (Bob)       61.2 s");
        (call.direction, call.duration_ms, call.display_name) = (Direction::Outgoing, None, None);
        call.outcome = "call.busy".into();
        assert_eq!(line(&call), "2026-09-21T14:13:20Z  to   +15555550102             call.busy");
    }
}
