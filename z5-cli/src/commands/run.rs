//! `z5 run`: scenarios from files, one after the other, told line by line, with a verdict a machine can read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::sync::watch;
use z5_core::Failure;
use z5_core::media::file::{Limit, read_text};

use super::head::Head;
use super::reports::{self, slug};
use crate::args::{ReportsArgs, RunArgs, WorldArgs};
use crate::exit::Exit;
use crate::failure::usage;
use crate::junit;
use crate::output::{self, Output};
use crate::result_file::{Readers, Replace, ResultFile};
use crate::scenario::{self, Clock, Configurations, Given, Mistake, Outcome, Scenario, Stop, Told, World};
use crate::script;

/// The result object.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    clock: Clock,
    scenarios: Vec<Short<'a>>,
}

/// One scenario in it.
#[derive(Serialize)]
struct Short<'a> {
    scenario: &'a str,
    file: &'a str,
    verdict: &'static str,
    took_ms: f64,
    failure: Option<&'a Failure>,
}

pub(super) async fn run(args: &RunArgs, config: Option<&Path>, out: &mut Output) -> Exit {
    if args.schema {
        output::print(scenario::SCHEMA);
        return Exit::Ok;
    }
    let clock = args.clock;
    let loaded = match load_all(&args.files, &args.world.by(clock), config) {
        Ok(loaded) => loaded,
        Err(failure) => return end(&[], clock, Some(&failure), Exit::Usage, out),
    };
    if args.check {
        for (scenario, world) in &loaded {
            out.row(&format!("{}: {}", scenario.file.display(), scenario.name), Some(true));
            show_notes(scenario, world, out);
        }
        return end(&[], clock, None, Exit::Ok, out);
    }
    let loaded = match record(loaded, &args.report) {
        Ok(loaded) => loaded,
        Err(failure) => return end(&[], clock, Some(&failure), Exit::Usage, out),
    };
    // found before a long run, not after it
    let junit = match reserve(args.junit.as_deref(), args.overwrite, junit::MARK, "usage.junit") {
        Ok(junit) => junit,
        Err(failure) => return end(&[], clock, Some(&failure), Exit::Usage, out),
    };
    let (outcomes, twice) = all(loaded, out).await;
    let written = junit.map_or(Ok(()), |file| file.write(junit::xml(&outcomes).as_bytes()));
    let lost = written.err().map(|why| usage("output.lost", why));
    if twice {
        return at_once(lost.as_ref());
    }
    let exit = if outcomes.iter().any(|outcome| outcome.fault) {
        Exit::Bug
    } else if lost.is_some() || output::is_lost() || outcomes.iter().any(|outcome| !outcome.good()) {
        Exit::Expectation
    } else {
        Exit::Ok
    };
    end(&outcomes, clock, lost.as_ref(), exit, out)
}

/// The file that a command writes at its end, when one is asked for: judged before the work begins.
pub(super) fn reserve(
    place: Option<&Path>,
    overwrite: bool,
    mark: &'static str,
    code: &'static str,
) -> Result<Option<ResultFile>, Failure> {
    let reserve = |place| ResultFile::reserve(place, Replace::asked(overwrite, mark), Readers::Usual);
    place.map(reserve).transpose().map_err(|why| usage(code, why))
}

/// The end after a second Ctrl-C: there is no result, but what could not be written is told.
pub(super) fn at_once(lost: Option<&Failure>) -> Exit {
    if let Some(lost) = lost {
        output::failure(lost);
    }
    Exit::Interrupted
}

/// Begins the reports, in DIR/SCENARIO/PARTY.
fn record(mut loaded: Vec<(Scenario, World)>, args: &ReportsArgs) -> Result<Vec<(Scenario, World)>, Failure> {
    for (scenario, _) in &mut loaded {
        let folder = args.report.as_ref().map(|folder| folder.join(slug(&scenario.name)));
        reports::record(scenario, folder.as_deref(), args.show_numbers)?;
    }
    Ok(loaded)
}

/// For people; programs find them in the `scenario` line.
fn show_notes(scenario: &Scenario, world: &World, out: &mut Output) {
    for note in scenario::notes(scenario, world) {
        out.note(&format!("  note   {note}"));
    }
}

/// One after the other. True when Ctrl-C came twice.
async fn all(loaded: Vec<(Scenario, World)>, out: &mut Output) -> (Vec<Outcome>, bool) {
    let (stopper, stop) = watch::channel(Stop::No);
    let mut interrupts = script::interrupts();
    let mut outcomes = Vec::new();
    for (scenario, world) in loaded {
        if *stop.borrow() != Stop::No {
            outcomes.push(Outcome::not_begun(&scenario));
            reports::release(scenario);
            continue;
        }
        out.note(&format!("== {} ({})", scenario.name, scenario.file.display()));
        show_notes(&scenario, &world, out);
        let mut running = Box::pin(scenario::watched(scenario, world, stop.clone(), |told| tell(told, out)));
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                Some(()) = interrupts.recv() => {
                    interrupt(&stopper);
                }
            }
        };
        drop(running);
        conclude(&outcome, out);
        outcomes.push(outcome);
    }
    (outcomes, *stop.borrow() == Stop::AtOnce)
}

/// Ctrl-C: the first ends politely, the next at once.
pub(super) fn interrupt(stopper: &watch::Sender<Stop>) {
    match *stopper.borrow() {
        Stop::No => output::error("stopping; Ctrl-C again ends at once"),
        Stop::Politely | Stop::AtOnce => {}
    }
    stopper.send_modify(|stop| {
        *stop = if *stop == Stop::No { Stop::Politely } else { Stop::AtOnce };
    });
}

/// A line for a step; programs get events as well.
fn tell(told: &Told, out: &mut Output) {
    match told {
        Told::Event { scenario, party, event } => {
            #[derive(Serialize)]
            struct OfParty<'a> {
                scenario: &'a str,
                party: &'a str,
                #[serde(flatten)]
                event: &'a z5_core::Event,
            }
            out.object(&OfParty { scenario, party, event });
        }
        Told::Step(step) => {
            out.object(step);
            let party = step.party.as_deref().unwrap_or("-");
            // a line is written when its step is over
            let at = (step.at_ms + step.took_ms) / 1000.0;
            out.row(&format!("{at:>8.3} s  {party:<8} {}", step.what), Some(step.good()));
            for expectation in &step.expectations {
                out.row(&format!("{:>19}{}", "", expectation.sentence()), None);
            }
            if let Some(failure) = &step.failure {
                out.row(&format!("{:>19}{}: {}", "", failure.code, failure.message), None);
            }
        }
    }
}

/// The end of one scenario.
pub(super) fn conclude(outcome: &Outcome, out: &mut Output) {
    out.object(outcome);
    let seconds = outcome.took_ms / 1000.0;
    let steps = outcome.steps;
    let mut text = format!("{}: {} steps in {seconds:.1} s", outcome.scenario, steps.ok + steps.failed);
    if steps.skipped > 0 {
        text += &format!(", {} not reached", steps.skipped);
    }
    out.verdict(outcome.good(), &text);
    if let Some(failure) = &outcome.failure {
        output::failure(failure);
    }
}

fn end(outcomes: &[Outcome], clock: Clock, failure: Option<&Failure>, exit: Exit, out: &mut Output) -> Exit {
    if let Some(failure) = failure {
        output::failure(failure);
    }
    let scenarios = outcomes
        .iter()
        .map(|outcome| Short {
            scenario: &outcome.scenario,
            file: &outcome.file,
            verdict: outcome.verdict,
            took_ms: outcome.took_ms,
            failure: outcome.failure.as_ref(),
        })
        .collect();
    let first = failure.or_else(|| outcomes.iter().find_map(|outcome| outcome.failure.as_ref()));
    out.object(&Line { head: Head::new("run", exit, first), clock, scenarios });
    exit
}

/// Reads and judges every file; the failure tells all mistakes of all of them.
pub(super) fn load_all(
    files: &[PathBuf],
    args: &WorldArgs,
    config: Option<&Path>,
) -> Result<Vec<(Scenario, World)>, Failure> {
    given_once(args)?;
    let (mut loaded, mut mistakes) = (Vec::new(), Vec::new());
    for file in files {
        let text = text(file)?;
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        match load(&text, file, &folder, args, config) {
            Ok(one) => loaded.push(one),
            Err(all) => {
                mistakes.extend(all.iter().map(|mistake| (mistake.told(file.display()), mistake.code)));
            }
        }
    }
    match mistakes.is_empty() {
        true => Ok(loaded),
        false => {
            let (code, all) = scenario::all_told(&mistakes);
            Err(usage(code, all))
        }
    }
}

/// What is named is given once: of two values one would be passed over without a word.
pub(super) fn given_once(args: &WorldArgs) -> Result<(), Failure> {
    args.twice().map_or(Ok(()), |why| Err(usage("usage.twice", why)))
}

/// The text of a scenario file.
pub(super) fn text(file: &Path) -> Result<String, Failure> {
    read_text(file, Limit::once("a scenario", 1 << 20))
        .map_err(|why| usage("scenario.unreadable", format!("{}: {why}", file.display())))
}

/// Reads and judges one scenario.
pub(super) fn load(
    text: &str,
    file: &Path,
    folder: &Path,
    args: &WorldArgs,
    config: Option<&Path>,
) -> Result<(Scenario, World), Vec<Mistake>> {
    let set: BTreeMap<String, String> = args.set.iter().cloned().collect();
    let given = Given { set, environment: |name| std::env::var(name).ok() };
    let parties = args.party.iter().map(|(name, file)| (name.clone(), PathBuf::from(file))).collect();
    let configurations = Configurations { everyone: config.map(Path::to_owned), parties, clock: args.clock };
    let mut scenario = scenario::read(text, file, folder, &given)?;
    let world = scenario::judge(&mut scenario, &configurations)?;
    Ok((scenario, world))
}
