//! What scenarios say of the calls that were.

use serde_json::Value;
use z5_core::Failure;

use super::model::TextTest;
use super::outcome::failure;
use super::party::Party;
use super::perform::member;
use crate::expect::Expectation;

/// Judges the calls that were, the latest first: how many, and members of them.
pub(super) fn judge(
    party: &Party,
    calls: usize,
    members: &[(String, TextTest)],
) -> Result<Vec<Expectation>, Failure> {
    let session = party.state().session.clone();
    let session = session
        .ok_or_else(|| failure("run.not-possible", "there is no session yet: `register` comes first"))?;
    let records = session.history();
    let latest: Vec<Value> =
        records.iter().rev().map(|record| serde_json::to_value(record).unwrap_or_default()).collect();
    let count = |count: usize| if count == 1 { "1 call".to_owned() } else { format!("{count} calls") };
    let held = latest.len() == calls;
    let mut all = vec![Expectation::fact("history", &count(calls), count(latest.len()), held)];
    let latest = Value::Array(latest);
    for (path, test) in members {
        let measured = match latest.pointer(&format!("/{}", path.replace('.', "/"))) {
            Some(Value::String(text)) => format!("{text:?}"),
            Some(other) => other.to_string(),
            None => "not there".to_owned(),
        };
        let held = member(&latest, path, test);
        all.push(Expectation::fact("history", &format!("{path} {}", test.words()), measured, held));
    }
    Ok(all)
}
