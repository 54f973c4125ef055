//! Does one step: tells the session what to do and waits until it is taken, agreed to, or has failed.
//!
//! Everything waits until the step's `within` is over and no longer. What the session does not take at once is a failure of the step.

use std::time::{Duration, Instant};

use z5_core::events::MediaKind;
use z5_core::{CallId, CallRequest, Failure, Session, clock};

use super::legs::Stage;
use super::model::{Action, CallPlan, Heard, MediaPlan, Standing, Step, TextTest, Wait};
use super::outcome::failure;
use super::party::{Party, State};
use super::run::Running;
use super::venue::NoMock;
use super::{contacts, history, wire, words, world};
use crate::act::Deed;
use crate::commands::{keep, shows, stands_still};
use crate::expect::{Expectation, Expr};

/// What came of a step.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) result: Result<(), Failure>,
    pub(super) expectations: Vec<Expectation>,
}

/// Does it.
pub(super) async fn step(running: &Running, step: &Step) -> Done {
    let mut expectations = Vec::new();
    let result = match step.party.and_then(|party| running.parties.get(party)) {
        Some(party) => {
            see(step, party);
            let done = of_party(running, step, party, &mut expectations).await;
            match &step.refused {
                Some(code) => refused(step, party, code, done),
                None => done,
            }
        }
        None => of_nobody(running, step, &mut expectations).await,
    };
    Done { result: result.map_err(|failure| placed(step, failure)), expectations }
}

/// What the scenario itself cannot do says in which line.
fn placed(step: &Step, mut failure: Failure) -> Failure {
    if failure.code.starts_with("run.") {
        failure.message = format!("line {}: {}", step.at.line, failure.message);
    }
    failure
}

/// A step that is about a call looks at what becomes of it.
fn see(step: &Step, party: &Party) {
    let mut state = party.state();
    match &step.action {
        Action::Do(_)
        | Action::Wait(
            Wait::State(Standing::Ringing | Standing::Established | Standing::Over)
            | Wait::Heard { .. }
            | Wait::Failed(_),
        ) => state.see(step.leg),
        Action::Connect { other } => {
            state.see(step.leg);
            state.see(*other);
        }
        Action::Expect(all) if all.iter().any(Expr::is_of_a_call) => state.see(step.leg),
        // an event is seen when it is found
        Action::Wait(Wait::Event { .. } | Wait::State(Standing::Registered | Standing::Calling))
        | Action::Expect(_)
        | Action::Start
        | Action::Register
        | Action::Stop { .. }
        | Action::Call(_)
        | Action::Answer { .. }
        | Action::Reject(_)
        | Action::Incoming(_)
        | Action::Transfers { .. }
        | Action::Search { .. }
        | Action::Forget { .. }
        | Action::History { .. }
        | Action::Message { .. }
        | Action::Contact { .. }
        | Action::Sync
        | Action::SameContacts(_)
        | Action::Pause(_)
        | Action::Fault(..)
        | Action::Mend(_)
        | Action::Impair(..)
        | Action::Cut
        | Action::Wire(_)
        | Action::Parallel(_)
        | Action::Say(_) => {}
    }
}

/// What has to be refused was: that is no failure then.
fn refused(step: &Step, party: &Party, code: &Expr, done: Result<(), Failure>) -> Result<(), Failure> {
    let Err(seen) = done else {
        let why = format!("`{}` was to be refused with {}, and was not", step.word, code.wanted());
        return Err(failure("run.not-refused", why));
    };
    if !code.names(seen.code) {
        let wanted =
            format!("`{}` in line {} was to be refused with {}", step.word, step.at.line, code.wanted());
        return Err(Failure { message: format!("{} ({wanted})", seen.message), ..seen });
    }
    party.state().report_of(step.leg).forgive(seen.code);
    Ok(())
}

async fn of_nobody(
    running: &Running,
    step: &Step,
    expectations: &mut Vec<Expectation>,
) -> Result<(), Failure> {
    let venue = &running.venue;
    let done = match &step.action {
        Action::Pause(time) => {
            pass(*time).await;
            Ok(())
        }
        Action::Say(_) => Ok(()),
        Action::Fault(fault, when) => venue.arm(*fault, *when),
        Action::Mend(fault) => venue.disarm(*fault),
        Action::Impair(of, impairment) => venue.impair(*of, impairment.clone()),
        Action::Cut => venue.cut().await,
        Action::Wire(wanted) => wire::seen(running, step.party, wanted)
            .map(|(eyes, seen)| expectations.extend(wire::judge(wanted, eyes, &seen))),
        Action::Start
        | Action::Register
        | Action::Stop { .. }
        | Action::Call(_)
        | Action::Answer { .. }
        | Action::Reject(_)
        | Action::Incoming(_)
        | Action::Transfers { .. }
        | Action::Connect { .. }
        | Action::Search { .. }
        | Action::Forget { .. }
        | Action::History { .. }
        | Action::Do(_)
        | Action::Message { .. }
        | Action::Contact { .. }
        | Action::Sync
        | Action::SameContacts(_)
        | Action::Wait(_)
        | Action::Expect(_)
        | Action::Parallel(_) => Err(NoMock),
    };
    // found before anything was sent
    done.map_err(|NoMock| {
        failure("run.not-possible", format!("`{}` needs a party or the mock carrier", step.word))
    })
}

async fn of_party(
    running: &Running,
    step: &Step,
    party: &std::sync::Arc<Party>,
    expectations: &mut Vec<Expectation>,
) -> Result<(), Failure> {
    let deadline = Deadline { at: clock::now() + step.within, within: step.within };
    let leg = step.leg;
    match &step.action {
        Action::Start => start(running, party),
        Action::Register => {
            if party.state().session.is_none() || party.state().over {
                start(running, party)?;
            }
            deadline
                .wait(party, leg, "the registration", |state| standing(state, leg, Standing::Registered))
                .await
        }
        Action::Stop { confirmed } => stop(party, *confirmed, &deadline).await,
        Action::Call(plan) => call(party, step, plan).await,
        Action::Answer { after, media } => answer(party, leg, *after, media, &deadline).await,
        Action::Reject(how) => {
            let id = deadline.wait(party, leg, "an incoming call", incoming).await?;
            let before = party.state().troubles.len();
            party.state().refuse(id, how.clone());
            taken(party, before).await
        }
        Action::Incoming(policy) => {
            party.state().policy = policy.clone();
            Ok(())
        }
        Action::Transfers { follow } => {
            party.state().follows = *follow;
            Ok(())
        }
        Action::Connect { other } => connect(party, leg, *other, &deadline).await,
        Action::Search { text, finds } => {
            expectations.push(contacts::search(&session(party)?.address_book(), text, finds.as_deref()));
            Ok(())
        }
        Action::Forget { name } => contacts::remove(party, name, &deadline).await,
        Action::History { calls, members } => {
            expectations.extend(history::judge(party, *calls, members)?);
            Ok(())
        }
        Action::Do(Deed::Hangup) => hang_up(party, leg, &deadline).await,
        Action::Do(deed) => carry_out(party, leg, deed, &deadline).await,
        Action::Message { to, text } => {
            let troubles = party.state().troubles.len();
            session(party)?.message(to, text);
            let sent = |state: &mut State| {
                trouble(state, troubles).or_else(|| state.find(0, "message-sent", |_| true).map(|_| Ok(())))
            };
            deadline.wait(party, 0, "the answer to the message", sent).await
        }
        Action::Contact { name, numbers } => contacts::add(party, name, numbers, &deadline).await,
        Action::Sync => contacts::sync(party, &deadline).await,
        Action::SameContacts(other) => {
            let Some(other) = running.parties.get(*other) else {
                return Err(failure("run.not-possible", "there is no such party"));
            };
            let (own, theirs) = (session(party)?.address_book(), session(other)?.address_book());
            expectations.push(contacts::same(&own, &theirs, &other.plan.name));
            Ok(())
        }
        Action::Wait(wait) => wait_for(party, leg, wait, &deadline).await,
        Action::Expect(all) => {
            let mut state = party.state();
            // those of the session, whichever call is looked at
            let calls = state.report.calls;
            for asked in all {
                let report = state.report_of(leg);
                report.calls = calls;
                let judged = report.judge(asked);
                report.expectations.push(judged.clone());
                expectations.push(judged);
            }
            Ok(())
        }
        Action::Pause(_)
        | Action::Fault(..)
        | Action::Mend(_)
        | Action::Impair(..)
        | Action::Cut
        | Action::Wire(_)
        | Action::Parallel(_)
        | Action::Say(_) => of_nobody(running, step, expectations).await,
    }
}

/// How long a step waits.
pub(super) struct Deadline {
    at: Instant,
    within: Duration,
}

impl Deadline {
    /// Until `check` finds what it looks for, or finds that it will not come.
    pub(super) async fn wait<T>(
        &self,
        party: &Party,
        leg: usize,
        what: &str,
        check: impl FnMut(&mut State) -> Option<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout_at(self.at.into(), party.until(check)).await {
            Ok(found) => found,
            Err(_) => {
                let within = humantime::format_duration(self.within);
                // what went wrong meanwhile is the better answer
                Err(party.state().failure(leg).unwrap_or_else(|| {
                    failure("run.timed-out", format!("{what} did not come within {within}"))
                }))
            }
        }
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep_until((clock::now() + time).into()).await;
}

fn start(running: &Running, party: &std::sync::Arc<Party>) -> Result<(), Failure> {
    let state = party.state();
    if state.session.is_some() && !state.over {
        return Err(failure("run.not-possible", "the session runs already"));
    }
    drop(state);
    party.start(&running.venue, &running.scenario.name, running.tell.clone())
}

async fn stop(party: &Party, confirmed: bool, deadline: &Deadline) -> Result<(), Failure> {
    let session = session(party)?;
    // a call that has come to nothing by now is told as such
    party.settled().await;
    let unseen = party.state().unseen();
    session.stop();
    if let Some((_, unseen)) = unseen {
        return Err(unseen);
    }
    deadline.wait(party, 0, "the end of the session", |state| state.over.then_some(Ok(()))).await?;
    match party.state().report.unregistered {
        Some(false) if confirmed => {
            Err(failure("run.not-left", "the registrar did not confirm that we left"))
        }
        _ => Ok(()),
    }
}

/// The running session.
pub(super) fn session(party: &Party) -> Result<Session, Failure> {
    let mut state = party.state();
    match &state.session {
        Some(session) if !state.over => Ok(session.clone()),
        Some(_) => Err(state.failure(0).unwrap_or_else(|| {
            failure("run.not-possible", "the session is over: `register` begins another")
        })),
        None => Err(failure("run.not-possible", "there is no session yet: `register` comes first")),
    }
}

/// The running call of a leg.
fn current(party: &Party, leg: usize) -> Result<(Session, CallId), Failure> {
    let session = session(party)?;
    let mut state = party.state();
    let Some(of) = state.legs.get(leg) else {
        return Err(failure("run.not-possible", "there is no such call"));
    };
    if let Some(now) = of.running() {
        return Ok((session, now.id));
    }
    let why = if of.call.is_some() { "the call is over" } else { "there is no call" };
    let why = if of.name.is_empty() { why.to_owned() } else { format!("{}: {why}", of.name) };
    Err(state.failure(leg).unwrap_or_else(|| failure("run.not-possible", why)))
}

/// A leg has one call at a time.
fn is_free(party: &Party, leg: usize) -> Result<(), Failure> {
    match is_over(&party.state(), leg) {
        true => Ok(()),
        false => {
            let why = "there is a call already: `hangup` comes first, or `leg` names another one";
            Err(failure("run.not-possible", why))
        }
    }
}

async fn call(party: &Party, step: &Step, plan: &CallPlan) -> Result<(), Failure> {
    let (session, leg) = (session(party)?, step.leg);
    is_free(party, leg)?;
    let target = contacts::target(&session, &plan.target)?;
    let pictures = shows(plan.media.video.as_ref(), party.config());
    let kept = keep(plan.media.record.as_deref(), pictures, false)?;
    let before = {
        let mut state = party.state();
        if let Some((_, open)) = state.unwanted_of(leg) {
            // a failure that nobody expected does not vanish with the next call
            return Err(open);
        }
        let media = world::media(&plan.media, kept.clone()).to_call_media();
        let mut request = CallRequest::to(target.as_str()).with(media);
        request.anonymous = plan.anonymous;
        request.location.clone_from(&plan.location);
        // events of the call wait for the state
        let id = session.call(request);
        state.begin(leg, id, (plan.media.clone(), kept), Some(step.at));
        state.report_of(leg).still_picture = stands_still(plan.media.video.as_ref(), party.config());
        state.troubles.len()
    };
    taken(party, before).await
}

async fn answer(
    party: &Party,
    leg: usize,
    after: Duration,
    plan: &MediaPlan,
    deadline: &Deadline,
) -> Result<(), Failure> {
    is_free(party, leg)?;
    let id = deadline.wait(party, leg, "an incoming call", incoming).await?;
    pass(after).await;
    let session = session(party)?;
    let pictures = plan.echo || shows(plan.video.as_ref(), party.config());
    let kept = keep(plan.record.as_deref(), pictures, false)?;
    {
        let mut state = party.state();
        state.begin(leg, id, (plan.clone(), kept.clone()), None);
        let still = plan.echo || stands_still(plan.video.as_ref(), party.config());
        state.report_of(leg).still_picture = still;
        session.answer(id, world::media(plan, kept).to_call_media());
    }
    let deadline = Deadline { at: deadline.at + after, ..*deadline };
    deadline.wait(party, leg, "the call", |state| standing(state, leg, Standing::Established)).await
}

/// Joins the far ends of two calls; done when they talk to each other and both calls are over.
async fn connect(party: &Party, leg: usize, other: usize, deadline: &Deadline) -> Result<(), Failure> {
    let (session, call) = current(party, leg)?;
    let (_, with) = current(party, other)?;
    let before = party.state().troubles.len();
    session.connect(call, with);
    taken(party, before).await?;
    let joined = |state: &mut State| {
        if let Some(refused) = trouble(state, before) {
            return Some(refused);
        }
        if !is_over(state, leg) || !is_over(state, other) {
            return None;
        }
        let ended = || failure("run.not-possible", "the call was over before its far end was connected");
        Some(match state.find(leg, "transferred", |_| true) {
            Some(_) => Ok(()),
            None => Err(state.failure(leg).unwrap_or_else(ended)),
        })
    };
    deadline.wait(party, leg, "the end of both calls", joined).await
}

/// The call that rings here for the longest time.
fn incoming(state: &mut State) -> Option<Result<CallId, Failure>> {
    if let Some(id) = state.incoming.pop_front() {
        return Some(Ok(id));
    }
    over(state)
}

/// The session has ended: nothing more will come.
fn over<T>(state: &mut State) -> Option<Result<T, Failure>> {
    state
        .over
        .then(|| Err(state.failure(0).unwrap_or_else(|| failure("run.not-possible", "the session is over"))))
}

/// Whether the session took what it was told last; `before`: how many troubles there were.
pub(super) async fn taken(party: &Party, before: usize) -> Result<(), Failure> {
    party.settled().await;
    match trouble::<()>(&party.state(), before) {
        Some(refused) => refused,
        None => Ok(()),
    }
}

/// What was refused since there were so many.
pub(super) fn trouble<T>(state: &State, before: usize) -> Option<Result<T, Failure>> {
    state.troubles.get(before).cloned().map(Err)
}

async fn hang_up(party: &Party, leg: usize, deadline: &Deadline) -> Result<(), Failure> {
    let (session, id) = current(party, leg)?;
    session.hangup(id);
    deadline
        .wait(party, leg, "the end of the call", |state| {
            let ended = is_over(state, leg);
            // a call that was given up before its answer fails with that word, as it was meant to
            if ended && state.failure(leg).is_some_and(|failure| failure.code == "call.cancelled") {
                state.report_of(leg).expect_failure();
            }
            ended.then_some(Ok(()))
        })
        .await
}

/// There is no call in this leg that stands or is being set up.
fn is_over(state: &State, leg: usize) -> bool {
    state.legs.get(leg).is_none_or(|leg| leg.running().is_none())
}

/// Something in the running call: what the far end has to agree to is waited for.
async fn carry_out(party: &Party, leg: usize, deed: &Deed, deadline: &Deadline) -> Result<(), Failure> {
    let (session, id) = current(party, leg)?;
    let held = move |state: &State| state.legs.get(leg).is_some_and(|leg| leg.held);
    let before = {
        let mut state = party.state();
        if *deed == Deed::Resume && !held(&state) {
            return Err(failure("run.not-possible", "the call is not on hold"));
        }
        if let Deed::Text(text) = deed {
            let sent = &mut state.report_of(leg).call.get_or_insert_default().text_sent;
            sent.get_or_insert_default().push_str(text);
        }
        state.troubles.len()
    };
    deed.perform(&session, id);
    taken(party, before).await?;
    let agreed = |state: &mut State| match deed {
        Deed::Hold => held(state),
        Deed::Resume => !held(state),
        Deed::Add(kind) => {
            let flows = |members: &serde_json::Value| flows(members, *kind);
            state.find(leg, "call-changed", flows).is_some()
        }
        Deed::Transfer(_) => state.find(leg, "transferred", |_| true).is_some(),
        Deed::Mute(..) | Deed::Keys(_) | Deed::Text(_) | Deed::Hangup => true,
    };
    deadline
        .wait(party, leg, &format!("the far end's agreement to {}", deed.words()), |state| {
            if agreed(state) {
                return Some(Ok(()));
            }
            let ended = || failure("run.not-possible", "the call is over");
            let gone = is_over(state, leg);
            trouble(state, before).or_else(|| gone.then(|| Err(state.failure(leg).unwrap_or_else(ended))))
        })
        .await
}

/// A medium is sent, by the members of `call-changed`.
fn flows(members: &serde_json::Value, kind: MediaKind) -> bool {
    let streams = members.pointer("/media/streams").and_then(|streams| streams.as_array());
    streams.into_iter().flatten().any(|stream| stream["kind"] == kind.name() && stream["send"] == true)
}

async fn wait_for(party: &Party, leg: usize, wait: &Wait, deadline: &Deadline) -> Result<(), Failure> {
    let what = words::waited(wait);
    match wait {
        Wait::State(wanted) => deadline.wait(party, leg, &what, |state| standing(state, leg, *wanted)).await,
        Wait::Heard { what: heard, test } => {
            let is_there = |state: &mut State| {
                let holds = match heard {
                    Heard::Digits => state.legs.get(leg).is_some_and(|leg| test.holds(&leg.digits)),
                    Heard::Text => {
                        let call = state.report_of(leg).call.as_ref();
                        test.holds(call.and_then(|call| call.text_received.as_deref()).unwrap_or_default())
                    }
                };
                holds.then_some(Ok(())).or_else(|| call_over(state, leg, &what))
            };
            deadline.wait(party, leg, &what, is_there).await
        }
        Wait::Event { name, members } => {
            let fits =
                |event: &serde_json::Value| members.iter().all(|(path, test)| member(event, path, test));
            let found = |state: &mut State| match state.find(leg, name, fits) {
                Some(_) => Some(Ok(())),
                None => over(state),
            };
            deadline.wait(party, leg, &what, found).await
        }
        Wait::Failed(code) => {
            let failed = |state: &mut State| {
                let report = state.report_of(leg);
                let failure = report.failure.clone()?;
                match code {
                    Some(code) if report.judge(code).held => {}
                    Some(_) => return Some(Err(state.placed(leg, failure).1)),
                    None => report.expect_failure(),
                }
                Some(Ok(()))
            };
            deadline.wait(party, leg, &what, failed).await
        }
    }
}

/// Whether a member of an event is as it should be. Numbers and yes or no are compared as JSON writes them.
pub(super) fn member(event: &serde_json::Value, path: &str, test: &TextTest) -> bool {
    let found = event.pointer(&format!("/{}", path.replace('.', "/")));
    match found {
        Some(serde_json::Value::String(text)) => test.holds(text),
        Some(other) => test.holds(&other.to_string()),
        None => false,
    }
}

/// A state that is waited for, or what makes it impossible.
fn standing(state: &mut State, leg: usize, wanted: Standing) -> Option<Result<(), Failure>> {
    let stage = state.legs.get(leg).and_then(|leg| leg.call.as_ref()).map(|now| now.stage);
    match wanted {
        Standing::Registered if state.ready => Some(Ok(())),
        Standing::Registered => over(state),
        Standing::Calling if !state.incoming.is_empty() => Some(Ok(())),
        Standing::Calling => over(state),
        Standing::Over if stage == Some(Stage::Over) => Some(Ok(())),
        Standing::Over => over(state),
        Standing::Ringing
            if stage.is_some_and(|stage| stage == Stage::Ringing || stage == Stage::Established) =>
        {
            Some(Ok(()))
        }
        Standing::Established if stage == Some(Stage::Established) => Some(Ok(())),
        Standing::Ringing | Standing::Established => call_over(state, leg, "it"),
    }
}

/// The call is over: what is waited for will not come.
fn call_over<T>(state: &mut State, leg: usize, what: &str) -> Option<Result<T, Failure>> {
    if state.legs.get(leg).is_some_and(|leg| leg.call.is_some()) && is_over(state, leg) {
        let ended = || failure("run.not-possible", format!("the call was over before {what} came"));
        return Some(Err(state.failure(leg).unwrap_or_else(ended)));
    }
    over(state)
}
