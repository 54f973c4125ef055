//! `z5 acceptance`: the points of the plan that a machine can judge, several at a time, and the table that is filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, watch};
use z5_core::Failure;

use super::echo;
use super::head::Head;
use super::reports;
use super::run::{at_once, given_once, interrupt, load, reserve};
use crate::acceptance::{Elsewhere, POINTS, Point};
use crate::args::{AcceptanceArgs, WorldArgs};
use crate::exit::Exit;
use crate::expect::{Expectation, nearest};
use crate::failure::{self, usage};
use crate::output::{self, Output};
use crate::read::meant;
use crate::result_file::{self, Readers, Replace};
use crate::scenario::{self, Clock, Mistake, Outcome, Scenario, Stop, World};
use crate::script;

/// A row of the table.
#[derive(Debug, Clone, Serialize)]
struct Row {
    event: &'static str,
    id: &'static str,
    title: &'static str,
    /// "pass", "fail" or "not-judged".
    verdict: &'static str,
    /// What was measured, each with what was wanted.
    measured: Vec<String>,
    /// What no machine has judged, and why; or why it failed.
    open: String,
    failure: Option<Failure>,
    took_ms: Option<f64>,
}

const PASS: &str = "pass";
const FAIL: &str = "fail";
/// Why a point is not judged in simulated time.
const NEEDS_TIME: &str = "it needs real time: leave --clock simulated out";
const NOT_JUDGED: &str = "not-judged";
/// Why a point has no verdict after Ctrl-C.
const INTERRUPTED: &str = "interrupted";

/// The result object.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    summary: BTreeMap<&'static str, usize>,
}

/// The party that is no party of any scenario: z5 answers with it as an echo.
const ECHO: &str = "echo";
/// The variable of the scenarios that names whom they call for an echo.
const FAR: &str = "far";

/// A point that can be run.
struct Ready {
    place: usize,
    /// Somebody calls an echo.
    calls_echo: bool,
    scenario: Scenario,
    world: World,
}

pub(super) async fn run(args: &AcceptanceArgs, config: Option<&Path>, out: &mut Output) -> Exit {
    if let Some(folder) = &args.export {
        return export(folder, out);
    }
    // from here on a signal ends it politely
    let mut interrupts = script::interrupts();
    let echo = match named(&args.world, ECHO).map(echo::Planned::load).transpose() {
        Ok(echo) => echo,
        Err(failure) => return end(&[], Some(&failure), Exit::Usage, out),
    };
    let far = echo.as_ref().map(|echo| echo.target.clone());
    let (mut rows, ready) = match prepare(args, far, config) {
        Ok(prepared) => prepared,
        Err(failure) => return end(&[], Some(&failure), Exit::Usage, out),
    };
    let table = match reserve(args.markdown.as_deref(), args.overwrite, MARK, "usage.markdown") {
        Ok(table) => table,
        Err(failure) => return end(&[], Some(&failure), Exit::Usage, out),
    };
    // accounts of a real carrier are the same for every point: one would take the other's calls
    let jobs = if is_real(args, config) { 1 } else { usize::from(args.jobs) };
    let echo = match echo.filter(|_| ready.iter().any(|point| point.calls_echo)) {
        Some(echo) => {
            let answers = tokio::select! {
                answers = echo.answer() => answers,
                _ = interrupts.recv() => Err(failure::interrupted()),
            };
            match answers {
                Ok(echo) => Some(echo),
                Err(failure) => {
                    ready.into_iter().for_each(|point| reports::release(point.scenario));
                    let exit = match failure.step {
                        Some(step) => Exit::Step(step),
                        None if failure.code == failure::interrupted().code => Exit::Expectation,
                        None => Exit::Usage,
                    };
                    return end(&[], Some(&failure), exit, out);
                }
            }
        }
        None => None,
    };
    let (twice, fault) = judge(ready, jobs, interrupts, &mut rows, out).await;
    if let Some(echo) = echo.filter(|_| !twice) {
        echo.leave().await;
    }
    rows.iter().for_each(|row| show(row, out));
    let written = table.map_or(Ok(()), |table| table.write(markdown(&rows).as_bytes()));
    let lost = written.err().map(|why| usage("output.lost", why));
    if twice {
        return at_once(lost.as_ref());
    }
    // what nobody judged is no pass
    let failed = rows.iter().any(|row| row.verdict == FAIL || row.open == INTERRUPTED)
        || rows.iter().all(|row| row.verdict == NOT_JUDGED);
    let exit = match () {
        () if fault => Exit::Bug,
        () if failed || lost.is_some() || output::is_lost() => Exit::Expectation,
        () => Exit::Ok,
    };
    end(&rows, lost.as_ref(), exit, out)
}

/// Whether the points run against somebody else's carrier.
fn is_real(args: &AcceptanceArgs, config: Option<&Path>) -> bool {
    config.is_some() || !args.world.party.is_empty()
}

/// The configuration of a party that the command line names.
fn named<'a>(world: &'a WorldArgs, name: &str) -> Option<&'a Path> {
    world.party.iter().find(|(party, _)| party == name).map(|(_, file)| Path::new(file))
}

/// Every row as it stands before anything is run, and what is to be run. `far` is where our own echo answers.
fn prepare(
    args: &AcceptanceArgs,
    far: Option<String>,
    config: Option<&Path>,
) -> Result<(Vec<Row>, Vec<Ready>), Failure> {
    given_once(&args.world)?;
    for name in &args.only {
        if !POINTS.iter().any(|point| point.id.eq_ignore_ascii_case(name)) {
            let ids = POINTS.iter().map(|point| point.id);
            let near = nearest(name, ids).map_or_else(String::new, |near| format!("; did you mean {near}?"));
            return Err(usage(
                "usage.only",
                format!("--only: the plan has no point `{name}`, only V1 to V17{near}"),
            ));
        }
    }
    known_parties(&args.world)?;
    let wanted =
        |point: &Point| args.only.is_empty() || args.only.iter().any(|id| point.id.eq_ignore_ascii_case(id));
    let real = is_real(args, config);
    let simulated = args.clock == Clock::Simulated;
    if real && simulated {
        let why = "--clock simulated has no real carrier: leave --config and --party out";
        return Err(usage("usage.clock", why.to_owned()));
    }
    let mut given = args.world.by(args.clock);
    if let (Some(far), false) = (far, args.world.set.iter().any(|(name, _)| name == FAR)) {
        given.set.push((FAR.to_owned(), far));
    }
    let (mut rows, mut ready, mut known) = (Vec::new(), Vec::new(), 0);
    for point in POINTS.iter().filter(|point| wanted(point)) {
        let mut row = Row {
            event: "point",
            id: point.id,
            title: point.title,
            verdict: NOT_JUDGED,
            measured: Vec::new(),
            open: point.open.to_owned(),
            failure: None,
            took_ms: None,
        };
        known += point.scenario.map_or(0, |(_, text)| own(&args.world, text).set.len());
        if let (true, Some(why)) = (real, lacking(point, &given)) {
            row.open = why;
        } else if let (true, Some(missing)) =
            (real, point.scenario.and_then(|(_, text)| alone(args, config, text)))
        {
            row.open = missing;
        } else if let Some((file, text)) = point.scenario {
            let own = own(&given, text);
            match load(text, Path::new(file), Path::new(""), &own, config) {
                Ok((mut scenario, world)) => {
                    // found before anything is sent; what was reserved before stays empty and harmless
                    let folder = args.report.report.as_ref().map(|folder| folder.join(point.id));
                    reports::record(&mut scenario, folder.as_deref(), args.report.show_numbers)?;
                    let calls_echo = own.set.iter().any(|(name, _)| name == FAR);
                    ready.push(Ready { place: rows.len(), calls_echo, scenario, world });
                }
                // what needs real time is no mistake of the user's either
                Err(mistakes)
                    if simulated
                        && mistakes.iter().all(|mistake| mistake.why.contains("--clock simulated")) =>
                {
                    row.open = NEEDS_TIME.to_owned();
                }
                Err(mistakes) => {
                    let told = |mistake: &Mistake| (mistake.told(file), mistake.code);
                    let told: Vec<_> = mistakes.iter().map(told).collect();
                    let (code, all) = scenario::all_told(&told);
                    return Err(usage(code, all));
                }
            }
        }
        rows.push(row);
    }
    match args.world.set.first() {
        Some((name, _)) if known == 0 => {
            let texts = POINTS.iter().filter(|point| wanted(point)).filter_map(|point| point.scenario);
            let names: BTreeSet<&str> = texts.flat_map(|(_, text)| variables(text)).collect();
            let near = meant(name, names);
            Err(usage("usage.set", format!("--set: none of these points has a variable `{name}`{near}")))
        }
        _ => Ok((rows, ready)),
    }
}

/// The names that stand as `${name}` in a text.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

/// Somebody whom no point knows would be left out without a word.
fn known_parties(world: &WorldArgs) -> Result<(), Failure> {
    let mut known = BTreeSet::from([ECHO.to_owned()]);
    for (_, text) in POINTS.iter().filter_map(|point| point.scenario) {
        known.extend(scenario::parties(text).into_iter().flat_map(|(party, account)| [party, account]));
    }
    match world.party.iter().find(|(name, _)| !known.contains(name)) {
        None => Ok(()),
        Some((name, _)) => {
            let near = meant(name, known.iter().map(String::as_str));
            let all = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            Err(usage(
                "usage.party",
                format!("--party: no point has a party `{name}`{near}; there are {all}"),
            ))
        }
    }
}

/// What a real carrier lacks for a point, or what has to be said of it.
fn lacking(point: &Point, given: &WorldArgs) -> Option<String> {
    match point.elsewhere {
        Elsewhere::Judged => None,
        Elsewhere::Told(name, ..) if given.set.iter().any(|(set, _)| set == name) => None,
        Elsewhere::Told(name, value, what) => Some(format!("needs --set {name}={value}: {what}")),
    }
}

/// Why a point has not enough accounts of a real carrier: each of its parties needs one of its own, and those that are devices of one
/// account share one.
fn alone(args: &AcceptanceArgs, config: Option<&Path>, text: &str) -> Option<String> {
    let named = |name: &str| named(&args.world, name);
    let (mut taken, mut missing) = (Vec::new(), Vec::new());
    // who calls the echo must be somebody else
    taken.extend(named(ECHO).map(|file| (file, ECHO.to_owned())));
    for (party, account) in scenario::parties(text) {
        let file = named(&party).or_else(|| named(&account)).or(config);
        let others = |(other, of): &(&Path, String)| Some(*other) == file && *of != account;
        match file {
            Some(file) if !taken.iter().any(others) => taken.push((file, account)),
            Some(_) | None => missing.push(format!("--party {account}=FILE")),
        }
    }
    missing.dedup();
    (!missing.is_empty()).then(|| format!("needs another account: {}", missing.join(" ")))
}

/// Of `--set` and `--party` what belongs to this scenario: others have the rest.
fn own(args: &WorldArgs, text: &str) -> WorldArgs {
    let set = args.set.iter().filter(|(name, _)| text.contains(&format!("${{{name}}}"))).cloned().collect();
    let names = scenario::parties(text);
    let is_here = |name: &str| names.iter().any(|(party, account)| party == name || account == name);
    let party = args.party.iter().filter(|(name, _)| is_here(name)).cloned().collect();
    WorldArgs { set, party, clock: args.clock }
}

/// Runs so many at a time. True when Ctrl-C came twice; true when z5 itself was at fault.
async fn judge(
    ready: Vec<Ready>,
    jobs: usize,
    mut interrupts: mpsc::UnboundedReceiver<()>,
    rows: &mut [Row],
    out: &mut Output,
) -> (bool, bool) {
    let (stopper, stop) = watch::channel(Stop::No);
    let places = Arc::new(Semaphore::new(jobs));
    let (send, mut outcomes) = mpsc::unbounded_channel();
    for Ready { place, scenario, world, .. } in ready {
        let (places, stop, send) = (Arc::clone(&places), stop.clone(), send.clone());
        tokio::spawn(async move {
            let _place = places.acquire().await;
            let wanted = *stop.borrow() == Stop::No;
            let outcome = match wanted {
                true => scenario::watched(scenario, world, stop, |_| {}).await,
                false => {
                    let outcome = Outcome::not_begun(&scenario);
                    reports::release(scenario);
                    outcome
                }
            };
            drop(send.send((place, outcome)));
        });
    }
    drop(send);
    let mut fault = false;
    loop {
        tokio::select! {
            outcome = outcomes.recv() => match outcome {
                Some((place, outcome)) => {
                    fault |= outcome.fault;
                    if let Some(row) = rows.get_mut(place) {
                        fill(row, &outcome, *stop.borrow() != Stop::No);
                        out.progress(&format!("{} {}", row.id, row.verdict));
                    }
                }
                None => return (*stop.borrow() == Stop::AtOnce, fault),
            },
            Some(()) = interrupts.recv() => {
                interrupt(&stopper);
            }
        }
    }
}

/// What came of the scenario, in the row. One that was stopped before its end has not failed.
fn fill(row: &mut Row, outcome: &Outcome, stopped: bool) {
    if stopped && !outcome.good() {
        row.open = INTERRUPTED.to_owned();
        return;
    }
    row.verdict = if outcome.good() { PASS } else { FAIL };
    row.took_ms = Some(outcome.took_ms);
    let expectations = outcome.told.iter().flat_map(|step| &step.expectations);
    row.measured = expectations
        .map(|expectation| {
            let Expectation { what, wanted, measured, held, seen_by } = expectation;
            match (seen_by, held) {
                // what was looked for is the better half, and who has seen it
                (Some(eyes), _) => format!("{wanted}: {measured}, {}", eyes.words()),
                (None, true) => format!("{what} {measured}"),
                (None, false) => format!("{what} {measured} (wanted {})", expectation.wish()),
            }
        })
        .collect();
    row.failure.clone_from(&outcome.failure);
    if row.measured.is_empty() {
        // a point without figures is judged by its steps: what was waited for came
        let waited = outcome.told.iter().filter(|step| step.good() && step.action == "wait");
        row.measured = waited.map(|step| step.what.clone()).collect();
    }
}

/// A row for people, or as a line of JSON.
fn show(row: &Row, out: &mut Output) {
    out.object(row);
    let good = match row.verdict {
        PASS => Some(true),
        FAIL => Some(false),
        _ => None,
    };
    out.row(&format!("{:<4} {}", row.id, row.title), good);
    let mut under = |text: &str| out.row(&format!("     {text}"), None);
    if !row.measured.is_empty() {
        under(&row.measured.join("; "));
    }
    if let Some(failure) = &row.failure {
        under(&format!("{}: {}", failure.code, failure.message));
    }
    match (row.verdict, row.open.as_str()) {
        (NOT_JUDGED, why) => under(&format!("not judged by a machine: {why}")),
        (_, "") => {}
        (_, open) => under(&format!("left to people: {open}")),
    }
}

/// How a table begins.
const MARK: &str = "# Acceptance of z5 ";

/// The table as Markdown.
fn markdown(rows: &[Row]) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let mut out = format!(
        "{MARK}{}\n\n| point | what | verdict | measured | left open |\n|---|---|---|---|---|\n",
        env!("CARGO_PKG_VERSION")
    );
    for row in rows {
        let mut measured = row.measured.join("; ");
        if let Some(failure) = &row.failure {
            measured = format!("{}: {} {measured}", failure.code, failure.message);
        }
        let cells = [row.id, row.title, row.verdict, measured.trim(), &row.open].map(cell);
        out += &format!("| {} |\n", cells.join(" | "));
    }
    out
}

fn export(folder: &Path, out: &mut Output) -> Exit {
    let made = std::fs::create_dir_all(folder).map_err(|error| result_file::why(folder, &error));
    let written = made.and_then(|()| {
        POINTS.iter().filter_map(|point| point.scenario).try_for_each(|(file, text)| {
            let place = folder.join(file);
            result_file::write(&place, Replace::Nothing, Readers::Usual, text.as_bytes())?;
            out.note(&format!("wrote {}", place.display()));
            Ok(())
        })
    });
    if let Err(why) = written {
        return end(&[], Some(&usage("usage.export", why)), Exit::Usage, out);
    }
    end(&[], None, Exit::Ok, out)
}

fn end(rows: &[Row], failure: Option<&Failure>, exit: Exit, out: &mut Output) -> Exit {
    let mut summary = BTreeMap::from([(PASS, 0), (FAIL, 0), (NOT_JUDGED, 0)]);
    for row in rows {
        *summary.entry(row.verdict).or_default() += 1;
    }
    let count = |verdict| summary.get(verdict).copied().unwrap_or(0);
    if !rows.is_empty() {
        let text = format!(
            "{} of {} points pass, {} fail, {} are not judged by a machine",
            count(PASS),
            rows.len(),
            count(FAIL),
            count(NOT_JUDGED)
        );
        out.verdict(exit == Exit::Ok, &text);
    }
    let first = failure.or_else(|| rows.iter().find_map(|row| row.failure.as_ref()));
    if let Some(failure) = first {
        output::failure(failure);
    }
    out.object(&Line { head: Head::new("acceptance", exit, first), summary });
    exit
}
