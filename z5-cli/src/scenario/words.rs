//! A step in words, for people: what it is called in the output, in JUnit and in a result.

use std::time::Duration;

use z5_core::Refusal;
use z5_mock::Impairment;

use super::model::{Action, Heard, Impaired, PartyPlan, Policy, Standing, Step, Wait};

/// What a step is called: as its author says, or its action in words, with the leg that it names.
pub(super) fn said(step: &Step, party: Option<&PartyPlan>) -> String {
    let leg = party.and_then(|party| party.legs.get(step.leg)).filter(|leg| !leg.is_empty());
    match (&step.name, leg) {
        (Some(name), _) => name.clone(),
        (None, Some(leg)) => format!("{} ({leg})", words(step)),
        (None, None) => words(step),
    }
}

/// The action in words.
fn words(step: &Step) -> String {
    let target = |word: &str, target: &str| format!("{word} {target}");
    match &step.action {
        Action::Call(call) => target("call", &call.target),
        Action::Do(deed) => deed.words(),
        Action::Reject(how) => refused(how),
        Action::Incoming(Policy::Ring) => "calls that come in ring".to_owned(),
        Action::Incoming(Policy::Answer(_)) => "calls that come in are taken".to_owned(),
        Action::Incoming(Policy::Refuse(how)) => format!("calls that come in: {}", refused(how)),
        Action::Transfers { follow: true } => "follow who hands over".to_owned(),
        Action::Transfers { follow: false } => "refuse to be handed over".to_owned(),
        Action::Connect { .. } => "connect both far ends".to_owned(),
        Action::Search { text, .. } => target("search", text),
        Action::Forget { name } => target("forget", name),
        Action::History { calls, .. } => format!("history: {calls}"),
        Action::Message { to, text } => format!("message to {to}: {text:?}"),
        Action::Contact { name, .. } => target("contact", name),
        Action::Wait(wait) => format!("wait: {}", waited(wait)),
        Action::Pause(time) => format!("pause {}", humantime::format_duration(*time)),
        Action::Expect(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Action::Fault(fault, _) => format!("fault {fault}"),
        Action::Mend(fault) => format!("mend {fault}"),
        Action::Impair(Impaired::Media, impairment) => format!("impair: {}", impaired(impairment)),
        Action::Impair(Impaired::Sip, impairment) => format!("impair SIP: {}", impaired(impairment)),
        Action::Wire(wire) => target("wire", wire.start.trim_end()),
        Action::Say(text) => text.clone(),
        Action::Start
        | Action::Register
        | Action::Sync
        | Action::SameContacts(_)
        | Action::Stop { .. }
        | Action::Answer { .. }
        | Action::Cut
        | Action::Parallel(_) => step.word.to_owned(),
    }
}

/// How a call is turned down, in words.
fn refused(how: &Refusal) -> String {
    match how {
        Refusal::Decline => "decline".to_owned(),
        Refusal::Busy => "say that it is busy".to_owned(),
        Refusal::Unavailable => "say that nobody is there".to_owned(),
        Refusal::Redirect(to) => format!("send to {to}"),
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

/// What is waited for.
pub(super) fn waited(wait: &Wait) -> String {
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
