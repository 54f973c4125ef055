//! What `z5 monitor` has measured, as Prometheus reads it (text format 0.0.4). `server` hands it out.
//!
//! Labels are names of scenarios and parties as their authors chose them, codes and verdicts: nothing that a far end or an account says.

mod server;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

pub(crate) use server::serve;

use crate::scenario::Outcome;

/// Everything that is counted.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    scenarios: BTreeMap<String, Figures>,
    /// Rounds that were left out because the one before was not over.
    skipped: u64,
}

/// Of one scenario.
#[derive(Debug, Default)]
struct Figures {
    good: u64,
    bad: u64,
    /// By code.
    failures: BTreeMap<&'static str, u64>,
    last_good: Option<bool>,
    last_seconds: f64,
    last_end_unix_s: u64,
    /// By party and figure; only what was measured.
    parties: BTreeMap<(String, &'static str), f64>,
}

/// A figure of a party: its metric, a label, where it stands in the result, and what it is multiplied with.
type Figure = (&'static str, &'static str, f64);

/// Labels and values of a metric.
type Lines = Vec<(String, String)>;

/// From milliseconds.
const SECONDS: f64 = 0.001;

/// Times of steps, as `z5_step_seconds{step}`.
const STEPS: &[Figure] = &[
    ("resolve", "/timings_ms/resolve", SECONDS),
    ("sign_in", "/timings_ms/sign_in", SECONDS),
    ("provision", "/timings_ms/provision", SECONDS),
    ("register", "/timings_ms/register", SECONDS),
    ("call_post_dial", "/timings_ms/call_post_dial", SECONDS),
    ("call_setup", "/timings_ms/call_setup", SECONDS),
    ("first_audio", "/timings_ms/first_audio", SECONDS),
    ("first_picture", "/timings_ms/first_picture", SECONDS),
];

/// Figures of the last call, each a metric of its own.
const CALLS: &[Figure] = &[
    ("z5_call_audio_packets_lost", "/call/audio/lost", 1.0),
    ("z5_call_audio_packets_received", "/call/audio/packets_received", 1.0),
    ("z5_call_audio_jitter_seconds", "/call/audio/jitter_ms", SECONDS),
    ("z5_call_audio_round_trip_seconds", "/call/audio/round_trip_ms", SECONDS),
    ("z5_call_mos", "/call/audio/voice/mos_listening", 1.0),
    ("z5_call_video_frame_rate", "/call/video/video/frame_rate", 1.0),
    ("z5_call_video_freezes", "/call/video/video/freezes", 1.0),
];

impl Metrics {
    /// Before its first run a scenario has counters at zero, so that a rate can be told from the first failure on.
    pub(crate) fn expect(&mut self, scenario: &str) {
        self.scenarios.entry(scenario.to_owned()).or_default();
    }

    pub(crate) fn skip(&mut self, rounds: u64) {
        self.skipped += rounds;
    }

    /// A run is over.
    pub(crate) fn take(&mut self, outcome: &Outcome, unix_s: u64) {
        let figures = self.scenarios.entry(outcome.scenario.clone()).or_default();
        let good = outcome.good();
        *(if good { &mut figures.good } else { &mut figures.bad }) += 1;
        if let Some(failure) = &outcome.failure {
            *figures.failures.entry(failure.code).or_default() += 1;
        }
        figures.last_good = Some(good);
        figures.last_seconds = outcome.took_ms * SECONDS;
        figures.last_end_unix_s = unix_s;
        figures.parties.clear();
        for (party, result) in &outcome.parties {
            for (name, pointer, factor) in STEPS.iter().chain(CALLS) {
                if let Some(value) = result.pointer(pointer).and_then(Value::as_f64) {
                    figures.parties.insert((party.clone(), name), value * factor);
                }
            }
        }
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, lines: Lines| {
            if lines.is_empty() {
                return;
            }
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(out, "{name}{labels} {value}");
            }
        };
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        metric("z5_build_info", "gauge", "The program.", vec![(labels(&version), "1".to_owned())]);
        let skipped = vec![(String::new(), self.skipped.to_string())];
        metric(
            "z5_monitor_rounds_skipped_total",
            "counter",
            "Rounds left out because one was not over.",
            skipped,
        );
        let each = |line: &dyn Fn(&str, &Figures) -> Lines| -> Lines {
            self.scenarios.iter().flat_map(|(name, figures)| line(name, figures)).collect()
        };
        let runs = each(&|name, figures| {
            let line = |verdict, count: u64| {
                (labels(&[("scenario", name), ("verdict", verdict)]), count.to_string())
            };
            vec![line("ok", figures.good), line("failed", figures.bad)]
        });
        metric("z5_scenario_runs_total", "counter", "Runs of a scenario that are over, by verdict.", runs);
        let failures = each(&|name, figures| {
            let line = |(code, count): (&&str, &u64)| {
                (labels(&[("scenario", name), ("code", code)]), count.to_string())
            };
            figures.failures.iter().map(line).collect()
        });
        metric(
            "z5_scenario_failures_total",
            "counter",
            "Runs that failed, by the code of the first failure.",
            failures,
        );
        let last = |value: &dyn Fn(&Figures, bool) -> String| {
            each(&|name, figures| {
                let line = |good| (labels(&[("scenario", name)]), value(figures, good));
                figures.last_good.map(line).into_iter().collect()
            })
        };
        let good = last(&|_, good| u8::from(good).to_string());
        metric("z5_scenario_last_ok", "gauge", "1 when the last run of a scenario passed, else 0.", good);
        let took = last(&|figures, _| figures.last_seconds.to_string());
        metric("z5_scenario_last_duration_seconds", "gauge", "How long the last run took.", took);
        let end = last(&|figures, _| figures.last_end_unix_s.to_string());
        metric(
            "z5_scenario_last_end_timestamp_seconds",
            "gauge",
            "When the last run was over, since 1970.",
            end,
        );
        let of_party = |wanted: &str, step: bool| {
            each(&|name, figures| {
                let known = figures.parties.iter().filter(|((_, figure), _)| *figure == wanted);
                let line = |((party, figure), value): (&(String, &'static str), &f64)| {
                    let mut all = vec![("scenario", name), ("party", party)];
                    if step {
                        all.push(("step", figure));
                    }
                    (labels(&all), value.to_string())
                };
                known.map(line).collect()
            })
        };
        let steps = STEPS.iter().flat_map(|(step, ..)| of_party(step, true)).collect();
        metric(
            "z5_step_seconds",
            "gauge",
            "How long a step took in the last run, as far as it was measured.",
            steps,
        );
        for (name, ..) in CALLS {
            metric(
                name,
                "gauge",
                "Of the last call in the last run, as far as it was measured.",
                of_party(name, false),
            );
        }
        out
    }
}

/// Labels with their values escaped.
fn labels(all: &[(&str, &str)]) -> String {
    let one = |(name, value): &(&str, &str)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    format!("{{{}}}", all.iter().map(one).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_has_not_run_has_counters_and_no_figures() {
        let mut metrics = Metrics::default();
        metrics.expect("a \"call\"\\");
        let text = metrics.text();
        let wanted = "z5_scenario_runs_total{scenario=\"a \\\"call\\\"\\\\\",verdict=\"failed\"} 0\n";
        assert!(text.contains(wanted), "{text}");
        assert!(!text.contains("last") && !text.contains("z5_step"), "{text}");
    }

    /// Each metric has its help and type once, before its lines, and no other line.
    #[test]
    fn the_text_is_in_prometheus_form() {
        let mut metrics = Metrics::default();
        let party = serde_json::json!({"timings_ms": {"register": 12.5}, "call": {"audio": {"lost": 3}}});
        let outcome = Outcome {
            event: "scenario",
            scenario: "s".to_owned(),
            file: "s.yaml".to_owned(),
            clock: crate::scenario::Clock::Real,
            verdict: "ok",
            took_ms: 1500.0,
            steps: Default::default(),
            failure: None,
            parties: [("alice".to_owned(), party)].into_iter().collect(),
            notes: Vec::new(),
            fault: false,
            told: Vec::new(),
            not_reached: Vec::new(),
        };
        metrics.take(&outcome, 1_700_000_000);
        let text = metrics.text();
        let mut known = Vec::new();
        for line in text.lines() {
            let name = match line.strip_prefix("# TYPE ") {
                Some(rest) => {
                    let name = rest.split(' ').next().unwrap_or_default();
                    assert!(!known.contains(&name), "{name} twice");
                    known.push(name);
                    name
                }
                None => line.trim_start_matches("# HELP ").split(['{', ' ']).next().unwrap_or_default(),
            };
            assert!(name.starts_with("z5_"), "{line}");
            assert!(line.starts_with('#') || known.last() == Some(&name), "{line} is not under its type");
        }
        for line in [
            "z5_step_seconds{scenario=\"s\",party=\"alice\",step=\"register\"} 0.0125",
            "z5_call_audio_packets_lost{scenario=\"s\",party=\"alice\"} 3",
            "z5_scenario_last_ok{scenario=\"s\"} 1",
            "z5_scenario_last_duration_seconds{scenario=\"s\"} 1.5",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
