//! Runs a scenario: its world, its steps in order and side by side, its end. `perform` does single steps.
//!
//! A step that fails ends the scenario, except a condition (`expect`, `wire`): the rest is still worth knowing. Whatever happens, every
//! session ends politely: calls are hung up, registrations taken back.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use z5_core::{Advice, Failure, clock};

use super::model::{Action, Scenario, Step};
use super::outcome::{BAD, Counts, GOOD, Outcome, StepOutcome, Told, failure, not_reached};
use super::party::Party;
use super::perform::{self, Done};
use super::venue::Venue;
use super::words;
use super::world::{Clock, World};
use super::yaml::Place;
use crate::expect::Expectation;
use crate::failure::interrupted;
use crate::report::Report;

/// How long a session may take to leave: the core does it within a second.
const LEAVING: Duration = Duration::from_secs(5);

/// Everything that steps share.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) scenario: Scenario,
    pub(super) parties: Vec<Arc<Party>>,
    pub(super) venue: Venue,
    pub(super) tell: mpsc::UnboundedSender<Told>,
    began: Instant,
    /// Steps that are over, by number.
    reached: Mutex<BTreeSet<usize>>,
    done: AtomicUsize,
    failed: AtomicUsize,
    /// What failed at the end, beside steps.
    bad: AtomicUsize,
    /// Failures of steps: whose, and with which code.
    told: Mutex<Vec<(Option<String>, &'static str)>>,
}

/// Whether somebody wants a scenario to end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nobody.
    No,
    /// Calls are hung up, registrations taken back.
    Politely,
    /// Nothing is waited for; reports have what there is.
    AtOnce,
}

/// The step whose failure ends the scenario.
struct Ended;

/// Steps are nested, so their future has to be on the heap.
type Steps = Pin<Box<dyn Future<Output = Result<(), Ended>> + Send>>;

/// Runs it to its end, or until `stop` says so, and shows what it tells to `see`.
pub(crate) async fn watched(
    scenario: Scenario,
    world: World,
    stop: watch::Receiver<Stop>,
    mut see: impl FnMut(&Told),
) -> Outcome {
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut steps = Vec::new();
    let mut take = |told: Told| {
        see(&told);
        if let Told::Step(step) = told {
            steps.push(step);
        }
    };
    let (clock, notes) = (world.clock(), super::notes::notes(&scenario, &world));
    let running: Pin<Box<dyn Future<Output = Outcome> + Send>> = match world {
        World::Simulated(..) => Box::pin(aside(scenario, world, tell, stop)),
        World::Mock(_) | World::Real(_) => Box::pin(run(scenario, world, tell, stop)),
    };
    tokio::pin!(running);
    let mut outcome = loop {
        tokio::select! {
            outcome = &mut running => break outcome,
            Some(told) = told.recv() => take(told),
        }
    };
    // what was told while the end was being reached
    while let Ok(told) = told.try_recv() {
        take(told);
    }
    // what one party waited for in vain is told less well than why the other one failed
    let mut bad = steps.iter().filter(|step| !step.good());
    let first = bad.next();
    let vain =
        |step: &&StepOutcome| step.failure.as_ref().is_some_and(|failure| failure.code == "run.timed-out");
    let cause = |step: &&StepOutcome| step.failure.as_ref().is_some_and(|failure| failure.step.is_some());
    let first = first.filter(vain).and_then(|_| bad.find(cause)).or(first);
    outcome.failure = outcome.failure.or_else(|| {
        let step = first?;
        step.failure.clone().or_else(|| {
            let broken = step.expectations.iter().find(|expectation| !expectation.held)?;
            let line = step.line.map_or_else(String::new, |line| format!("line {line}: "));
            Some(failure("run.expectation", format!("{line}{}", broken.sentence())))
        })
    });
    outcome.clock = clock;
    outcome.notes = notes;
    outcome.told = steps;
    outcome
}

/// Runs it to its end in simulated time, on a thread of its own: its clock is that of a runtime, which goes from one deadline to the
/// next when nothing more is to be done.
async fn aside(
    scenario: Scenario,
    world: World,
    tell: mpsc::UnboundedSender<Told>,
    stop: watch::Receiver<Stop>,
) -> Outcome {
    let mut ended = Outcome::not_run(
        &scenario.name,
        &scenario.file,
        failure("run.world", "the simulation did not come to its end"),
    );
    let (done, outcome) = oneshot::channel();
    let simulate = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        if let Ok(runtime) = runtime {
            // who waits no longer has not missed it
            drop(done.send(runtime.block_on(run(scenario, world, tell, stop))));
        }
    };
    let thread = std::thread::Builder::new().name("z5-simulation".to_owned()).spawn(simulate);
    if let Ok(outcome) = outcome.await {
        return outcome;
    }
    // it panicked, or the system gave no thread
    ended.fault = thread.is_ok();
    ended
}

/// Runs it to its end.
async fn run(
    scenario: Scenario,
    world: World,
    tell: mpsc::UnboundedSender<Told>,
    mut stop: watch::Receiver<Stop>,
) -> Outcome {
    let began = clock::now();
    let running = match enter(scenario, world, tell, began).await {
        Ok(running) => Arc::new(running),
        Err(outcome) => return *outcome,
    };
    let deadline = began + running.scenario.timeout;
    let steps = steps(Arc::clone(&running), Arc::clone(&running.scenario.steps));
    let (mut early, mut whole) = (None, false);
    tokio::select! {
        // the verdict of its steps is told as they end
        ended = steps => whole = ended.is_ok(),
        _changed = stop.wait_for(|stop| *stop != Stop::No) => {
            early = Some(interrupted());
        }
        () = tokio::time::sleep_until(deadline.into()) => {
            let within = humantime::format_duration(running.scenario.timeout);
            let message = format!("the scenario was not over in its `timeout` of {within}: `timeout` at the top of the file gives it longer");
            early = Some(Failure::outside_steps("run.timed-out", message, Advice::CheckSettings));
        }
    }
    if let Some(early) = early {
        running.tell_end(None, "end of the scenario", Vec::new(), Some(early));
    }
    if whole {
        judge_calls(&running).await;
    }
    let at_once = tokio::select! {
        () = leave(&running) => false,
        Ok(_) = stop.wait_for(|stop| *stop == Stop::AtOnce) => true,
    };
    close(running, at_once).await
}

/// Starts the carrier and prepares the parties.
async fn enter(
    mut scenario: Scenario,
    world: World,
    tell: mpsc::UnboundedSender<Told>,
    began: Instant,
) -> Result<Running, Box<Outcome>> {
    let broken = |scenario: &Scenario, why: String| {
        let mut outcome = Outcome::not_run(&scenario.name, &scenario.file, failure("run.world", why));
        outcome.took_ms = ms(began, clock::now());
        outcome.not_reached = not_reached(&scenario.parties, &scenario.steps, &BTreeSet::new());
        outcome.steps.skipped = outcome.not_reached.len();
        Box::new(outcome)
    };
    let entered = Venue::enter(world, &scenario.parties).await;
    let (venue, configs) = entered.map_err(|why| broken(&scenario, why))?;
    let mut reports = std::mem::take(&mut scenario.reports).into_iter();
    let parties = scenario.parties.iter().zip(configs);
    let parties = parties.map(|(plan, config)| {
        let mut recorder = reports.next();
        if let (Some(recorder), Some(unix_s)) = (&mut recorder, venue.begins_unix_s()) {
            recorder.begins(unix_s);
        }
        Party::new(plan.clone(), config, recorder, began)
    });
    let parties = parties.collect();
    let [done, failed, bad] = [const { AtomicUsize::new(0) }; 3];
    let (reached, told) = (Mutex::default(), Mutex::default());
    Ok(Running { scenario, parties, venue, tell, began, reached, done, failed, bad, told })
}

fn steps(running: Arc<Running>, all: Arc<Vec<Step>>) -> Steps {
    Box::pin(async move {
        for step in all.iter() {
            if let Action::Parallel(branches) = &step.action {
                parallel(&running, branches).await?;
                continue;
            }
            let at = clock::now();
            let Done { result, expectations } = perform::step(&running, step).await;
            let good = result.is_ok() && expectations.iter().all(|expectation| expectation.held);
            running.tell_step(step, at, good, expectations, result.as_ref().err().cloned());
            let goes_on = matches!(step.action, Action::Expect(_) | Action::Wire(_));
            if !good && !goes_on {
                return Err(Ended);
            }
        }
        Ok(())
    })
}

/// All branches at once; the first that fails ends the others.
async fn parallel(running: &Arc<Running>, branches: &[Arc<Vec<Step>>]) -> Result<(), Ended> {
    let mut all = JoinSet::new();
    for branch in branches {
        all.spawn(steps(Arc::clone(running), Arc::clone(branch)));
    }
    while let Some(branch) = all.join_next().await {
        match branch {
            Ok(done) => done?,
            // a bug of z5's own goes on as it began; nobody ends a branch but by dropping all of them
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return Err(Ended),
            },
        }
    }
    Ok(())
}

/// A call that was placed and goes on has had a step that was about it, or nobody knows what came of it.
async fn judge_calls(running: &Running) {
    for party in &running.parties {
        // what has happened by now is told by now
        party.settled().await;
        let unseen = party.state().unseen();
        if let Some((at, unseen)) = unseen {
            let party = Some(party.plan.name.clone());
            let what = "somebody waits for each call";
            running.tell_end_of(Some(at), clock::now(), party, what, Vec::new(), Some(unseen));
        }
    }
}

/// Every session that still runs ends.
async fn leave(running: &Arc<Running>) {
    let mut leaving = Vec::new();
    // what fails because we leave, such as a call that is given up, is no failure
    let open: Vec<_> = running.parties.iter().map(|party| party.state().unwanted()).collect();
    for party in &running.parties {
        let state = party.state();
        if let (Some(session), false) = (&state.session, state.over) {
            session.stop();
            leaving.push(Arc::clone(party));
        }
    }
    let deadline = clock::now() + LEAVING;
    for party in leaving {
        let (at, name) = (clock::now(), party.plan.name.clone());
        let over = party.until(|state| state.over.then_some(()));
        let gone = tokio::time::timeout_at(deadline.into(), over).await.is_ok();
        let state = party.state();
        let (registered, confirmed) = (state.report.timings_ms.register.is_some(), state.report.unregistered);
        drop(state);
        let why = match confirmed {
            _ if !gone => Some("the session did not end".to_owned()),
            Some(false) => Some("the registrar did not confirm that we left".to_owned()),
            Some(true) | None => None,
        };
        if registered || why.is_some() {
            let failure = why.map(|why| failure("run.not-left", why));
            running.tell_end_at(at, Some(name), "unregister", Vec::new(), failure);
        }
    }
    for (party, open) in running.parties.iter().zip(open) {
        let unmet = std::mem::take(&mut party.state().unmet);
        let name = party.plan.name.clone();
        if !unmet.is_empty() {
            running.tell_end(Some(name.clone()), "what every call promises", unmet, None);
        }
        // one that a step has told already is not told again
        for (at, open) in open {
            if !running.has_told(&name, &open) {
                let what = "no failure that was not expected";
                running.tell_end_of(at, clock::now(), Some(name.clone()), what, Vec::new(), Some(open));
            }
        }
    }
}

/// The verdict, and the end of the carrier, which is not waited for when the program ends anyway.
async fn close(running: Arc<Running>, at_once: bool) -> Outcome {
    for party in &running.parties {
        let why = party.state().report.write_of_party(running.is_good());
        if let Some(why) = why {
            let failure = failure("report.not-written", why);
            running.tell_end(Some(party.plan.name.clone()), "report", Vec::new(), Some(failure));
        }
    }
    let mut parties = serde_json::Map::new();
    let mut fault = false;
    for party in &running.parties {
        let state = party.state();
        fault |= state.report.is_fault();
        let mut report = of_scenario(&state.report);
        let legs =
            state.legs.iter().filter_map(|leg| Some((leg.name.clone(), of_scenario(leg.report.as_ref()?))));
        let legs: serde_json::Map<_, _> = legs.collect();
        if let (Some(members), false) = (report.as_object_mut(), legs.is_empty()) {
            members.insert("legs".to_owned(), legs.into());
        }
        parties.insert(party.plan.name.clone(), report);
    }
    let (ok, failed) = (running.done.load(Ordering::Relaxed), running.failed.load(Ordering::Relaxed));
    let not_reached = not_reached(&running.scenario.parties, &running.scenario.steps, &running.reached());
    let outcome = Outcome {
        event: "scenario",
        scenario: running.scenario.name.clone(),
        file: running.scenario.file.display().to_string(),
        clock: Clock::Real,
        verdict: if running.is_good() { GOOD } else { BAD },
        took_ms: ms(running.began, clock::now()),
        steps: Counts { ok, failed, skipped: not_reached.len() },
        failure: None,
        parties,
        notes: Vec::new(),
        // what has not left because nobody waited for it is no bug
        fault: fault && !at_once,
        told: Vec::new(),
        not_reached,
    };
    if let (Ok(Running { venue, .. }), false) = (Arc::try_unwrap(running), at_once) {
        venue.leave().await;
    }
    outcome
}

/// A result without what is the scenario's to say.
fn of_scenario(report: &Report) -> serde_json::Value {
    let mut report = serde_json::to_value(report).unwrap_or_default();
    if let Some(members) = report.as_object_mut() {
        for of_a_run in ["command", "verdict", "exit_code"] {
            members.remove(of_a_run);
        }
    }
    report
}

impl Running {
    fn tell_step(
        &self,
        step: &Step,
        at: Instant,
        good: bool,
        expectations: Vec<Expectation>,
        failure: Option<Failure>,
    ) {
        let party = step.party.and_then(|party| Some(self.parties.get(party)?.plan.name.clone()));
        let what = words::said(step, step.party.and_then(|party| self.scenario.parties.get(party)));
        self.reached().insert(step.number);
        self.count(good);
        if let Some(failure) = &failure {
            self.failures().push((party.clone(), failure.code));
        }
        self.say(Some(step.at.line), party, step.word, what, (at, good), expectations, failure);
    }

    /// Something that is judged at the end.
    fn tell_end(
        &self,
        party: Option<String>,
        what: &str,
        expectations: Vec<Expectation>,
        failure: Option<Failure>,
    ) {
        self.tell_end_at(clock::now(), party, what, expectations, failure);
    }

    fn tell_end_at(
        &self,
        at: Instant,
        party: Option<String>,
        what: &str,
        expectations: Vec<Expectation>,
        failure: Option<Failure>,
    ) {
        self.tell_end_of(None, at, party, what, expectations, failure);
    }

    /// About a step of the file.
    fn tell_end_of(
        &self,
        place: Option<Place>,
        at: Instant,
        party: Option<String>,
        what: &str,
        expectations: Vec<Expectation>,
        failure: Option<Failure>,
    ) {
        let good = failure.is_none() && expectations.iter().all(|expectation| expectation.held);
        if !good {
            self.bad.fetch_add(1, Ordering::Relaxed);
        }
        let line = place.map(|place| place.line);
        self.say(line, party, "end", what.to_owned(), (at, good), expectations, failure);
    }

    fn failures(&self) -> MutexGuard<'_, Vec<(Option<String>, &'static str)>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_told(&self, party: &str, failure: &Failure) -> bool {
        self.failures().iter().any(|(whose, code)| whose.as_deref() == Some(party) && *code == failure.code)
    }

    fn reached(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_good(&self) -> bool {
        self.failed.load(Ordering::Relaxed) == 0 && self.bad.load(Ordering::Relaxed) == 0
    }

    fn count(&self, good: bool) {
        let counter = if good { &self.done } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    #[expect(clippy::too_many_arguments, reason = "one call for each member of the line")]
    fn say(
        &self,
        line: Option<usize>,
        party: Option<String>,
        action: &'static str,
        what: String,
        (at, good): (Instant, bool),
        expectations: Vec<Expectation>,
        failure: Option<Failure>,
    ) {
        let outcome = StepOutcome {
            event: "step",
            scenario: self.scenario.name.clone(),
            line,
            party,
            action,
            what,
            verdict: if good { GOOD } else { BAD },
            at_ms: ms(self.began, at),
            took_ms: ms(at, clock::now()),
            expectations,
            failure,
        };
        // who listens no more has the outcome
        drop(self.tell.send(Told::Step(outcome)));
    }
}

/// Milliseconds, as fine as these clocks are honest.
fn ms(from: Instant, to: Instant) -> f64 {
    (to.saturating_duration_since(from).as_secs_f64() * 1e6).round() / 1e3
}
