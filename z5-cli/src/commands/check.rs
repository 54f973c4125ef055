//! `z5 check`: the preflight of a configuration. Contacts what it names and nothing else; signs in nowhere.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use z5_core::preflight::{self, CLOCK_TOLERANCE_S, Preflight, Remedy, Row, Verdict};
use z5_core::{Advice, Failure};

use super::head::Head;
use super::load_file;
use crate::args::CheckArgs;
use crate::exit::Exit;
use crate::failure::usage;
use crate::output::{self, Output};

/// One row as a JSON line.
#[derive(Serialize)]
struct Probed<'a> {
    event: &'static str,
    #[serde(flatten)]
    row: &'a Row,
}

/// The result object.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    /// How many rows have each verdict; all of them are listed.
    summary: BTreeMap<String, usize>,
    /// The rows that something must be done about.
    failed: Vec<&'a Row>,
    clock_offset_s: Option<i64>,
    clock_is_right: Option<bool>,
}

pub(super) async fn run(args: &CheckArgs, path: Option<&Path>, out: &mut Output) -> Exit {
    let outcome = match load_file(path) {
        Ok(config) => {
            let each = |row: &Row| {
                out.object(&Probed { event: "probe", row });
                for line in lines(row) {
                    out.row(&line.0, line.1);
                }
            };
            let found = preflight::run(&config, args.patience, each).await;
            found.map_err(|error| usage(error.code(), error.to_string()))
        }
        Err(failure) => Err(failure),
    };
    let exit = match &outcome {
        Ok(found) => told(found, out),
        Err(failure) => {
            out.object(&line(&Preflight::default(), Some(failure), Exit::Usage));
            output::failure(failure);
            Exit::Usage
        }
    };
    if output::is_lost() && exit == Exit::Ok { Exit::Expectation } else { exit }
}

fn line<'a>(found: &'a Preflight, failure: Option<&'a Failure>, exit: Exit) -> Line<'a> {
    let count = |verdict: Verdict| found.rows.iter().filter(|row| row.verdict == verdict).count();
    let name = |verdict: Verdict| serde_json::to_value(verdict).ok()?.as_str().map(str::to_owned);
    Line {
        head: Head::new("check", exit, failure),
        summary: Verdict::ALL
            .into_iter()
            .filter_map(|verdict| Some((name(verdict)?, count(verdict))))
            .collect(),
        failed: found.rows.iter().filter(|row| row.verdict.is_failure()).collect(),
        clock_offset_s: found.clock_offset_s,
        clock_is_right: found.clock_is_right(),
    }
}

/// Clock, summary and what to do next.
fn told(found: &Preflight, out: &mut Output) -> Exit {
    let failed = found.rows.iter().filter(|row| row.verdict.is_failure()).count();
    match found.clock_offset_s {
        Some(offset) if found.clock_is_right() == Some(false) => out.row(
            &format!(
                "  clock  this machine's clock is {} s {}: certificates and licences are judged by it",
                offset.unsigned_abs(),
                if offset > 0 { "behind" } else { "ahead" }
            ),
            Some(false),
        ),
        Some(offset) => out.row(
            &format!("  clock  right: {offset} s from theirs (up to {CLOCK_TOLERANCE_S} s are allowed)"),
            Some(true),
        ),
        None => out.row("  clock  not measured: no service told its time", None),
    }
    let good = found.is_good();
    let failure = (!good).then(|| match failed {
        0 => usage("check.clock", "this machine's clock is wrong"),
        _ => {
            let message = format!("{failed} of {} probes failed", found.rows.len());
            let first = found.rows.iter().find_map(|row| row.remedy);
            let advice = first.map_or(Advice::CheckNetwork, Remedy::advice);
            Failure::outside_steps("check.failed", message, advice)
        }
    });
    let exit = if good { Exit::Ok } else { Exit::Expectation };
    let counts: Vec<String> = Verdict::ALL
        .into_iter()
        .map(|verdict| (verdict, found.rows.iter().filter(|row| row.verdict == verdict).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    out.verdict(good, &counts.join(", "));
    if found.rows.iter().any(|row| row.rule.is_some()) {
        out.note(&format!("all rules that this configuration needs: {}", output::command("firewall")));
    }
    out.object(&line(found, failure.as_ref(), exit));
    match (&failure, remedies(&found.rows).as_slice()) {
        (None, _) => {}
        (Some(failure), []) => output::failure(failure),
        (Some(failure), todo) => output::failure_with(failure, &todo.join("\n    ")),
    }
    exit
}

/// What to do, one line for each kind of failure, in the order of the rows: where, and what.
fn remedies(rows: &[Row]) -> Vec<String> {
    let mut kinds: Vec<(Remedy, Vec<String>)> = Vec::new();
    for row in rows {
        let Some(remedy) = row.remedy else { continue };
        let what = match (row.step, row.name.clone(), row.address) {
            // a nameserver is known by its address
            (1, _, Some(address)) => address.to_string(),
            (_, Some(name), _) => name,
            (_, None, address) => address.map_or_else(String::new, |address| address.to_string()),
        };
        let place = format!("{} {what}", short(row));
        match kinds.iter_mut().find(|(known, _)| *known == remedy) {
            Some((_, places)) if places.contains(&place) => {}
            Some((_, places)) => places.push(place),
            None => kinds.push((remedy, vec![place])),
        }
    }
    let places = |places: &[String]| match places {
        [first, second, _, more @ ..] => format!("{first}, {second} and {} more", more.len() + 1),
        few => few.join(", "),
    };
    kinds.iter().map(|(remedy, at)| format!("{}: {remedy}", places(at))).collect()
}

/// A row for people, and whether it is good; `None`: not judged.
fn lines(row: &Row) -> Vec<(String, Option<bool>)> {
    let latency = row.latency_ms.map_or_else(|| " ".repeat(11), |ms| format!("{ms:>8.1} ms"));
    let name = row.name.as_ref().map_or_else(String::new, |name| format!("  {name}"));
    let address = row.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
    let state = (row.verdict != Verdict::NotJudged).then(|| !row.verdict.is_failure());
    let detail = match row.verdict == Verdict::Reachable {
        true => row.detail.clone(),
        false => format!("{}: {}", row.verdict, row.detail),
    };
    let mut lines = vec![(
        format!(
            "{} {:<6} {latency}  {} {address:<21}{name}  {}",
            row.step,
            short(row),
            row.protocol.name(),
            detail
        ),
        state,
    )];
    if let Some(rule) = &row.rule {
        let (ports, protocol) = (rule.ports, rule.protocol.name());
        lines.push((format!("{:21} permit: outbound {ports} {protocol} {}", "", rule.destination), None));
    }
    lines
}

fn short(row: &Row) -> &'static str {
    match row.step {
        1 => "DNS",
        2 => "ZDial",
        3 => "MCS",
        4 => "SIP",
        _ => "RTP",
    }
}
