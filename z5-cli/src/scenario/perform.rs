//! Does one step: tells the session what to do and waits until it is taken, agreed to, or has failed.
//!
//! Everything waits until the step's `within` is over and no longer. What the session does not take at once is a failure of the step.

use std::time::{Duration, Instant};

use z5_core::events::MediaKind;
use z5_core::{CallId, CallRequest, Failure, Session, clock};
use z5_mock::Impairment;

use super::model::{Action, CallPlan, Heard, Impaired, MediaPlan, Standing, Step, TextTest, Wait};
use super::outcome::failure;
use super::party::{Party, Stage, State};
use super::run::Running;
use super::venue::NoMock;
use super::{contacts, wire, world};
use crate::act::Deed;
use crate::commands::{keep, stands_still};
use crate::expect::Expectation;

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
        Some(party) => of_party(running, step, party, &mut expectations).await,
        None => of_nobody(running, step, &mut expectations).await,
    };
    Done { result, expectations }
}

/// What a step is called: as its author says, or its action in words.
pub(super) fn said(step: &Step) -> String {
    step.name.clone().unwrap_or_else(|| words(step))
}

/// The action in words.
fn words(step: &Step) -> String {
    let target = |word: &str, target: &str| format!("{word} {target}");
    match &step.action {
        Action::Call(call) => target("call", &call.target),
        Action::Do(deed) => deed.words(),
        Action::Message { to, text } => format!("message to {to}: {text:?}"),
        Action::Contact { name, .. } => target("contact", name),
        Action::Wait(wait) => format!("wait: {}", waited(wait)),
        Action::Pause(time) => format!("pause {}", humantime::format_duration(*time)),
        Action::Expect(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Action::Fault(fault, _) => format!("fault {fault}"),
        Action::Mend(fault) => format!("mend {fault}"),
        Action::Impair(Impaired::Media, impairment) => format!("impair: {}", impaired(impairment)),
        Action::Impair(Impaired::Sip, impairment) => format!("impair SIP: {}", impaired(impairment)),
        Action::Wire(wire) => target("wire", &wire.start),
        Action::Say(text) => text.clone(),
        Action::Start
        | Action::Register
        | Action::Sync
        | Action::SameContacts(_)
        | Action::Stop { .. }
        | Action::Answer { .. }
        | Action::Reject
        | Action::Cut
        | Action::Parallel(_) => step.word.to_owned(),
    }
}

/// An impairment as a scenario writes it.
fn impaired(impairment: &Impairment) -> String {
    let Impairment { loss, burst, delay, jitter, reorder, duplicate, rate } = impairment;
    let share =
        |name: &str, share: &f64| (*share > 0.0).then(|| format!("{name} {}%", (share * 1e4).round() / 1e2));
    let time = |name: &str, time: &Duration| {
        (!time.is_zero()).then(|| format!("{name} {}", humantime::format_duration(*time)))
    };
    let all = [
        share("loss", loss),
        burst.as_ref().and_then(|burst| share("burst", &burst.share())),
        time("delay", delay),
        time("jitter", jitter),
        share("reorder", reorder),
        share("duplicate", duplicate),
        rate.as_ref().map(|rate| format!("rate {} bit/s", rate.bits_per_second)),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { "off".to_owned() } else { all.join(", ") }
}

fn waited(wait: &Wait) -> String {
    match wait {
        Wait::State(Standing::Registered) => "registered".to_owned(),
        Wait::State(Standing::Calling) => "calling".to_owned(),
        Wait::State(Standing::Ringing) => "ringing".to_owned(),
        Wait::State(Standing::Established) => "established".to_owned(),
        Wait::State(Standing::Over) => "over".to_owned(),
        Wait::Heard { what: Heard::Text, test } => format!("text {}", test.words()),
        Wait::Heard { what: Heard::Digits, test } => format!("digits {}", test.words()),
        Wait::Event { name, members } => {
            let members: Vec<String> =
                members.iter().map(|(member, test)| format!("{member} {}", test.words())).collect();
            format!("{name} {}", members.join(", ")).trim_end().to_owned()
        }
        Wait::Failed(Some(code)) => format!("failed, {code}"),
        Wait::Failed(None) => "failed".to_owned(),
    }
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
        Action::Wire(wanted) => {
            venue.recorded().map(|entries| expectations.extend(wire::judge(wanted, &entries)))
        }
        Action::Start
        | Action::Register
        | Action::Stop { .. }
        | Action::Call(_)
        | Action::Answer { .. }
        | Action::Reject
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
    match &step.action {
        Action::Start => start(running, party),
        Action::Register => {
            if party.state().session.is_none() || party.state().over {
                start(running, party)?;
            }
            deadline.wait(party, "the registration", |state| standing(state, Standing::Registered)).await
        }
        Action::Stop { confirmed } => stop(party, *confirmed, &deadline).await,
        Action::Call(plan) => call(party, plan).await,
        Action::Answer { after, media } => answer(party, *after, media, &deadline).await,
        Action::Reject => {
            let id = deadline.wait(party, "an incoming call", incoming).await?;
            let before = party.state().troubles.len();
            session(party)?.reject(id);
            taken(party, before).await
        }
        Action::Do(Deed::Hangup) => hang_up(party, &deadline).await,
        Action::Do(deed) => carry_out(party, deed, &deadline).await,
        Action::Message { to, text } => {
            let troubles = party.state().troubles.len();
            session(party)?.message(to, text);
            let sent = |state: &mut State| {
                trouble(state, troubles).or_else(|| state.find("message-sent", |_| true).map(|_| Ok(())))
            };
            deadline.wait(party, "the answer to the message", sent).await
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
        Action::Wait(wait) => wait_for(party, wait, &deadline).await,
        Action::Expect(all) => {
            let mut state = party.state();
            for asked in all {
                let judged = state.report.judge(asked);
                state.report.expectations.push(judged.clone());
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
        what: &str,
        check: impl FnMut(&mut State) -> Option<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout_at(self.at.into(), party.until(check)).await {
            Ok(found) => found,
            Err(_) => {
                let within = humantime::format_duration(self.within);
                // what went wrong meanwhile is the better answer
                Err(party.state().failure().unwrap_or_else(|| {
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
    session(party)?.stop();
    deadline.wait(party, "the end of the session", |state| state.over.then_some(Ok(()))).await?;
    match party.state().report.unregistered {
        Some(false) if confirmed => {
            Err(failure("run.not-left", "the registrar did not confirm that we left"))
        }
        _ => Ok(()),
    }
}

/// The running session.
pub(super) fn session(party: &Party) -> Result<Session, Failure> {
    let state = party.state();
    match &state.session {
        Some(session) if !state.over => Ok(session.clone()),
        Some(_) => Err(state.failure().unwrap_or_else(|| {
            failure("run.not-possible", "the session is over: `register` begins another")
        })),
        None => Err(failure("run.not-possible", "there is no session yet: `register` comes first")),
    }
}

/// The running call.
fn current(party: &Party) -> Result<(Session, CallId), Failure> {
    let session = session(party)?;
    let state = party.state();
    match state.running() {
        Some(now) => Ok((session, now.id)),
        None => Err(state.failure().unwrap_or_else(|| {
            let why = if state.call.is_some() { "the call is over" } else { "there is no call" };
            failure("run.not-possible", why)
        })),
    }
}

async fn call(party: &Party, plan: &CallPlan) -> Result<(), Failure> {
    let session = session(party)?;
    let target = contacts::target(&session, &plan.target)?;
    let kept = keep(plan.media.record.as_deref(), plan.media.video.as_ref(), party.config(), false)?;
    let before = {
        let mut state = party.state();
        if state.running().is_some() {
            return Err(failure("run.not-possible", "there is a call already: `hangup` comes first"));
        }
        if let Some(open) = state.report.unwanted_failure() {
            // a failure that nobody expected does not vanish with the next call
            return Err(open.clone());
        }
        let media = world::media(&plan.media, kept.clone()).to_call_media();
        let mut request = CallRequest::to(target.as_str()).with(media);
        request.anonymous = plan.anonymous;
        request.location.clone_from(&plan.location);
        // events of the call wait for the state
        let id = session.call(request);
        state.begin(id, plan.media.clone(), kept);
        state.report.still_picture = stands_still(plan.media.video.as_ref(), party.config());
        state.troubles.len()
    };
    taken(party, before).await
}

async fn answer(
    party: &Party,
    after: Duration,
    plan: &MediaPlan,
    deadline: &Deadline,
) -> Result<(), Failure> {
    let id = deadline.wait(party, "an incoming call", incoming).await?;
    pass(after).await;
    let session = session(party)?;
    let kept = keep(plan.record.as_deref(), plan.video.as_ref(), party.config(), false)?;
    {
        let mut state = party.state();
        state.begin(id, plan.clone(), kept.clone());
        state.report.still_picture = stands_still(plan.video.as_ref(), party.config());
        session.answer(id, world::media(plan, kept).to_call_media());
    }
    let deadline = Deadline { at: deadline.at + after, ..*deadline };
    deadline.wait(party, "the call", |state| standing(state, Standing::Established)).await
}

/// The call that rings here for the longest time.
fn incoming(state: &mut State) -> Option<Result<CallId, Failure>> {
    if let Some(id) = state.incoming.pop_front() {
        return Some(Ok(id));
    }
    over(state)
}

/// The session has ended: nothing more will come.
fn over<T>(state: &State) -> Option<Result<T, Failure>> {
    state
        .over
        .then(|| Err(state.failure().unwrap_or_else(|| failure("run.not-possible", "the session is over"))))
}

/// Whether the session took what it was told last; `before`: how many troubles there were.
async fn taken(party: &Party, before: usize) -> Result<(), Failure> {
    party.settled().await;
    match trouble::<()>(&party.state(), before) {
        Some(refused) => refused,
        None => Ok(()),
    }
}

/// What was refused since there were so many.
fn trouble<T>(state: &State, before: usize) -> Option<Result<T, Failure>> {
    state.troubles.get(before).cloned().map(Err)
}

async fn hang_up(party: &Party, deadline: &Deadline) -> Result<(), Failure> {
    let (session, id) = current(party)?;
    session.hangup(id);
    deadline
        .wait(party, "the end of the call", |state| {
            let ended = state.running().is_none();
            // a call that was given up before its answer fails with that word, as it was meant to
            if ended && state.failure().is_some_and(|failure| failure.code == "call.cancelled") {
                state.report.expect_failure();
            }
            ended.then_some(Ok(()))
        })
        .await
}

/// Something in the running call: what the far end has to agree to is waited for.
async fn carry_out(party: &Party, deed: &Deed, deadline: &Deadline) -> Result<(), Failure> {
    let (session, id) = current(party)?;
    let before = {
        let mut state = party.state();
        if *deed == Deed::Resume && !state.held {
            return Err(failure("run.not-possible", "the call is not on hold"));
        }
        if let Deed::Text(text) = deed {
            let sent = &mut state.report.call.get_or_insert_default().text_sent;
            sent.get_or_insert_default().push_str(text);
        }
        state.troubles.len()
    };
    deed.perform(&session, id);
    taken(party, before).await?;
    let agreed = |state: &mut State| match deed {
        Deed::Hold => state.held,
        Deed::Resume => !state.held,
        Deed::Add(kind) => {
            let flows = |members: &serde_json::Value| flows(members, *kind);
            state.find("call-changed", flows).is_some()
        }
        Deed::Transfer(_) => state.find("transferred", |_| true).is_some(),
        Deed::Mute(..) | Deed::Keys(_) | Deed::Text(_) | Deed::Hangup => true,
    };
    deadline
        .wait(party, &format!("the far end's agreement to {}", deed.words()), |state| {
            if agreed(state) {
                return Some(Ok(()));
            }
            let ended = || failure("run.not-possible", "the call is over");
            let gone = state.running().is_none();
            trouble(state, before).or_else(|| gone.then(|| Err(state.failure().unwrap_or_else(ended))))
        })
        .await
}

/// A medium is sent, by the members of `call-changed`.
fn flows(members: &serde_json::Value, kind: MediaKind) -> bool {
    let streams = members.pointer("/media/streams").and_then(|streams| streams.as_array());
    streams.into_iter().flatten().any(|stream| stream["kind"] == kind.name() && stream["send"] == true)
}

async fn wait_for(party: &Party, wait: &Wait, deadline: &Deadline) -> Result<(), Failure> {
    let what = waited(wait);
    match wait {
        Wait::State(wanted) => deadline.wait(party, &what, |state| standing(state, *wanted)).await,
        Wait::Heard { what: heard, test } => {
            let is_there = |state: &mut State| {
                let text = match heard {
                    Heard::Digits => state.digits.as_str(),
                    Heard::Text => {
                        let call = state.report.call.as_ref();
                        call.and_then(|call| call.text_received.as_deref()).unwrap_or_default()
                    }
                };
                test.holds(text).then_some(Ok(())).or_else(|| call_over(state, &what))
            };
            deadline.wait(party, &what, is_there).await
        }
        Wait::Event { name, members } => {
            let fits =
                |event: &serde_json::Value| members.iter().all(|(path, test)| member(event, path, test));
            let found = |state: &mut State| match state.find(name, fits) {
                Some(_) => Some(Ok(())),
                None => over(state),
            };
            deadline.wait(party, &what, found).await
        }
        Wait::Failed(code) => {
            let failed = |state: &mut State| {
                state.report.failure.as_ref()?;
                if let Some(code) = code {
                    let judged = state.report.judge(code);
                    return judged.held.then_some(Ok(())).or_else(|| Some(Err(state.failure()?)));
                }
                state.report.expect_failure();
                Some(Ok(()))
            };
            deadline.wait(party, &what, failed).await
        }
    }
}

/// Whether a member of an event is as it should be. Numbers and yes or no are compared as JSON writes them.
fn member(event: &serde_json::Value, path: &str, test: &TextTest) -> bool {
    let found = event.pointer(&format!("/{}", path.replace('.', "/")));
    match found {
        Some(serde_json::Value::String(text)) => test.holds(text),
        Some(other) => test.holds(&other.to_string()),
        None => false,
    }
}

/// A state that is waited for, or what makes it impossible.
fn standing(state: &mut State, wanted: Standing) -> Option<Result<(), Failure>> {
    let stage = state.call.as_ref().map(|now| now.stage);
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
        Standing::Ringing | Standing::Established => call_over(state, "it"),
    }
}

/// The call is over: what is waited for will not come.
fn call_over<T>(state: &State, what: &str) -> Option<Result<T, Failure>> {
    if state.call.is_some() && state.running().is_none() {
        let ended = || failure("run.not-possible", format!("the call was over before {what} came"));
        return Some(Err(state.failure().unwrap_or_else(ended)));
    }
    over(state)
}
