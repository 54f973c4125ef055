//! A report as JUnit XML, as build servers read it: a test suite for each scenario, a test case for each step.

use crate::scenario::{NotReached, Outcome, StepOutcome};

/// How the file begins.
pub(crate) const MARK: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"z5 run\"";

/// The whole file.
pub(crate) fn xml(outcomes: &[Outcome]) -> String {
    let total: usize = outcomes.iter().map(cases).sum();
    let failed: usize = outcomes.iter().map(failures).sum();
    let seconds: f64 = outcomes.iter().map(|outcome| outcome.took_ms / 1000.0).sum();
    let mut out =
        format!("{MARK} tests=\"{total}\" failures=\"{failed}\" errors=\"0\" time=\"{seconds:.3}\">\n");
    outcomes.iter().for_each(|outcome| out += &suite(outcome));
    out + "</testsuites>\n"
}

/// What was not reached is told as skipped.
fn cases(outcome: &Outcome) -> usize {
    outcome.told.len() + outcome.not_reached.len()
}

fn failures(outcome: &Outcome) -> usize {
    // a world that did not come to be has no step that could say so
    let of_steps = outcome.told.iter().filter(|step| !step.good()).count();
    of_steps.max(usize::from(!outcome.good()))
}

fn suite(outcome: &Outcome) -> String {
    let mut out = format!(
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.3}\" file=\"{}\">\n",
        escape(&outcome.scenario),
        cases(outcome),
        failures(outcome),
        outcome.not_reached.len(),
        outcome.took_ms / 1000.0,
        escape(&outcome.file),
    );
    out += &format!(
        "    <properties><property name=\"clock\" value=\"{}\"/></properties>\n",
        outcome.clock.name()
    );
    for (number, step) in outcome.told.iter().enumerate() {
        out += &case(number + 1, step, outcome);
    }
    for (number, NotReached { party, what }) in outcome.not_reached.iter().enumerate() {
        let number = outcome.told.len() + number + 1;
        out +=
            &(head(number, party.as_deref(), what, outcome, 0.0) + ">\n      <skipped/>\n    </testcase>\n");
    }
    if let (Some(failure), true) = (&outcome.failure, outcome.told.is_empty()) {
        out += &format!("    <system-err>{}: {}</system-err>\n", failure.code, escape(&failure.message));
    }
    out + "  </testsuite>\n"
}

/// A test case as far as it is the same for all.
fn head(number: usize, party: Option<&str>, what: &str, outcome: &Outcome, took_ms: f64) -> String {
    let party = party.map_or_else(String::new, |party| format!("{party}: "));
    format!(
        "    <testcase name=\"{number:03} {}\" classname=\"{}\" time=\"{:.3}\"",
        escape(&format!("{party}{what}")),
        escape(&outcome.scenario),
        took_ms / 1000.0,
    )
}

fn case(number: usize, step: &StepOutcome, outcome: &Outcome) -> String {
    let head = head(number, step.party.as_deref(), &step.what, outcome, step.took_ms);
    if step.good() {
        return head + "/>\n";
    }
    let place = step.line.map_or_else(String::new, |line| format!("{}:{line}: ", outcome.file));
    let (code, mut text) = match &step.failure {
        Some(failure) => (failure.code, format!("{place}{}", failure.message)),
        None => ("run.expectation", place),
    };
    for broken in step.expectations.iter().filter(|expectation| !expectation.held) {
        text += &format!("{}\n", broken.sentence());
    }
    let text = escape(text.trim_end());
    format!(
        "{head}>\n      <failure type=\"{code}\" message=\"{}\">{text}</failure>\n    </testcase>\n",
        text.replace('\n', " ")
    )
}

/// Text as it may stand in XML 1.0: what is no character there becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_far_end_says_cannot_break_the_file() {
        assert_eq!(escape("a<b>&\"c\"\u{1b}[2J"), "a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}[2J");
    }
}
