//! What came of a scenario: step by step while it runs, and as a whole. Serialised as JSON lines; docs/json.md describes them.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use z5_core::{Advice, Event, Failure};

use super::model::{Action, PartyPlan, Scenario, Step};
use super::words;
use super::world::Clock;
use crate::expect::Expectation;
use crate::failure::interrupted;

/// What a running scenario tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// A step is over.
    Step(StepOutcome),
    /// An event of a party's session.
    Event {
        /// The scenario.
        scenario: String,
        /// The party.
        party: String,
        /// What happened.
        event: Box<Event>,
    },
}

/// One step that was done or failed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StepOutcome {
    /// Always "step".
    pub(crate) event: &'static str,
    /// The scenario.
    pub(crate) scenario: String,
    /// The line of the file; none for what is judged at the end.
    pub(crate) line: Option<usize>,
    /// Who did it.
    pub(crate) party: Option<String>,
    /// The action: a word of the language, or `end`.
    pub(crate) action: &'static str,
    /// The same in words, with what it was about.
    pub(crate) what: String,
    /// "ok" or "failed".
    pub(crate) verdict: &'static str,
    /// From the start of the scenario, in milliseconds.
    pub(crate) at_ms: f64,
    /// How long it took.
    pub(crate) took_ms: f64,
    /// What was measured.
    pub(crate) expectations: Vec<Expectation>,
    /// Why it failed.
    pub(crate) failure: Option<Failure>,
}

impl StepOutcome {
    pub(crate) fn good(&self) -> bool {
        self.verdict == GOOD
    }
}

pub(super) const GOOD: &str = "ok";
pub(super) const BAD: &str = "failed";

/// A whole scenario.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outcome {
    /// Always "scenario".
    pub(crate) event: &'static str,
    /// Its name.
    pub(crate) scenario: String,
    /// Its file.
    pub(crate) file: String,
    /// Which clock it went by.
    pub(crate) clock: Clock,
    /// "ok" or "failed".
    pub(crate) verdict: &'static str,
    /// How long it took, in milliseconds.
    pub(crate) took_ms: f64,
    /// Steps that were done, that failed, and that were not reached.
    pub(crate) steps: Counts,
    /// The first failure.
    pub(crate) failure: Option<Failure>,
    /// The last result of each party, as of `z5 call`.
    pub(crate) parties: serde_json::Map<String, Value>,
    /// What was asked for and no party can feel.
    pub(crate) notes: Vec<String>,
    /// A fault of z5 itself.
    #[serde(skip)]
    pub(crate) fault: bool,
    /// Every step, for reports.
    #[serde(skip)]
    pub(crate) told: Vec<StepOutcome>,
    /// Every step that was not reached, for reports.
    #[serde(skip)]
    pub(crate) not_reached: Vec<NotReached>,
}

/// A step that was not reached.
#[derive(Debug, Clone)]
pub(crate) struct NotReached {
    /// Who would have done it.
    pub(crate) party: Option<String>,
    /// In words.
    pub(crate) what: String,
}

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Done.
    pub(crate) ok: usize,
    /// Failed.
    pub(crate) failed: usize,
    /// Not reached, those in branches included.
    pub(crate) skipped: usize,
}

impl Outcome {
    /// Of a scenario that could not begin.
    pub(crate) fn not_run(scenario: &str, file: &Path, failure: Failure) -> Self {
        Self {
            event: "scenario",
            scenario: scenario.to_owned(),
            file: file.display().to_string(),
            clock: Clock::Real,
            verdict: BAD,
            took_ms: 0.0,
            steps: Counts::default(),
            failure: Some(failure),
            parties: serde_json::Map::new(),
            notes: Vec::new(),
            fault: false,
            told: Vec::new(),
            not_reached: Vec::new(),
        }
    }

    /// Of one whose turn did not come because somebody wanted an end.
    pub(crate) fn not_begun(scenario: &Scenario) -> Self {
        let not_reached = not_reached(&scenario.parties, &scenario.steps, &BTreeSet::new());
        let steps = Counts { skipped: not_reached.len(), ..Counts::default() };
        Self { not_reached, steps, ..Self::not_run(&scenario.name, &scenario.file, interrupted()) }
    }

    pub(crate) fn good(&self) -> bool {
        self.verdict == GOOD
    }
}

/// Steps that are not over, those in branches included, in the order of the file.
pub(super) fn not_reached(
    parties: &[PartyPlan],
    steps: &[Step],
    reached: &BTreeSet<usize>,
) -> Vec<NotReached> {
    let mut all = Vec::new();
    for step in steps {
        if let Action::Parallel(branches) = &step.action {
            all.extend(branches.iter().flat_map(|branch| not_reached(parties, branch, reached)));
        } else if !reached.contains(&step.number) {
            let party = step.party.and_then(|party| parties.get(party));
            let what = words::said(step, party);
            all.push(NotReached { party: party.map(|party| party.name.clone()), what });
        }
    }
    all
}

/// A failure of the scenario's own, with what is to be done about one of this code.
pub(super) fn failure(code: &'static str, message: impl Into<String>) -> Failure {
    let advice = match code {
        // somebody was late or is out of reach
        "run.timed-out" | "run.not-left" => Advice::CheckNetwork,
        _ => Advice::CheckSettings,
    };
    Failure::outside_steps(code, message.into(), advice)
}
