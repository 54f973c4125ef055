//! One run of a session, event by event: what to do when it is ready, when a call comes, when time is up, at Ctrl-C.
//!
//! `Script` decides from events, `run` waits for them. Ctrl-C once ends politely (BYE,
//! unregister), twice at once.

mod alarms;
mod deeds;
mod interrupts;
mod plan;
mod question;

use tokio::sync::mpsc;
use z5_core::events::Events;
use z5_core::{Advice, CallId, CallMedia, CallRequest, Event, EventKind, Failure, Session, Side, Step};

use self::alarms::{Alarm, Alarms, wait_until};
use self::deeds::Deeds;
use self::question::{Question, answered};
use crate::act::Deed;
use crate::exit::Exit;
use crate::failure;
use crate::live::{Action, Input};
use crate::output::{self, Output};
use crate::report::Report;

pub(crate) use interrupts::interrupts;
pub(crate) use plan::{Kept, Media, Plan};

/// Runs `plan` to its end. Gives an exit only when Ctrl-C came twice; everything else the report judges.
pub(crate) async fn run(
    plan: &Plan,
    session: &Session,
    mut events: Events,
    report: &mut Report,
    out: &mut Output,
) -> Option<Exit> {
    let mut script = Script {
        plan,
        session,
        call: None,
        left: None,
        deeds: Deeds::new(plan.acts()),
        alarms: Alarms::default(),
        goal: false,
        question: None,
    };
    let mut interrupts = interrupts();
    let mut inputs = out.inputs();
    let mut interrupted = false;
    // A terminal that goes away is told twice, as a loss and by SIGHUP; together they are one interrupt.
    let mut hangup_follows = false;
    loop {
        let alarm = script.alarms.next();
        let event = tokio::select! {
            // events first: what refuses a deed is told before the deed counts as taken
            biased;
            event = events.next() => event,
            () = script.deeds.settled() => {
                script.deeds.on_settled();
                continue;
            }
            Some(()) = interrupts.recv() => {
                if interrupted && !std::mem::take(&mut hangup_follows) {
                    return Some(Exit::Interrupted);
                }
                if !std::mem::replace(&mut interrupted, true) {
                    out.note("stopping; Ctrl-C again ends at once");
                    script.on_interrupt(report);
                }
                continue;
            }
            input = next_input(&mut inputs) => {
                match out.input(&input) {
                    Some(Action::Interrupt) if interrupted => return Some(Exit::Interrupted),
                    Some(Action::Lost) if interrupted => {}
                    Some(action @ (Action::Interrupt | Action::Lost)) => {
                        interrupted = true;
                        hangup_follows = action == Action::Lost;
                        out.note("stopping; Ctrl-C again ends at once");
                        script.on_interrupt(report);
                    }
                    Some(action) => script.on_action(action, report),
                    None => {}
                }
                continue;
            }
            answer = answered(&mut script.question) => {
                script.on_answer(answer, report);
                continue;
            }
            // one deed at a time, so that a refusal has its deed
            () = wait_until(alarm), if !script.deeds.settling() => {
                script.on_alarm(report, out);
                continue;
            }
        };
        let Some(event) = event else {
            if !interrupted {
                script.deeds.on_settled();
                if script.goal {
                    script.deeds.judge(report);
                }
            }
            return None;
        };
        match matches!(plan, Plan::Echo { .. }) && is_of_a_call(&event) {
            true => report.note(&event),
            false => report.take(&event),
        }
        out.event(&event);
        script.on_event(&event, report, out);
    }
}

/// What the terminal tells; without a view, never.
async fn next_input(inputs: &mut Option<mpsc::UnboundedReceiver<Input>>) -> Input {
    if let Some(receiver) = inputs
        && let Some(input) = receiver.recv().await
    {
        return input;
    }
    std::future::pending().await
}

/// What an event tells is about one of the calls, not about the session.
fn is_of_a_call(event: &Event) -> bool {
    serde_json::to_value(event).is_ok_and(|members| members.get("call").is_some())
}

struct Script<'a> {
    plan: &'a Plan,
    session: &'a Session,
    call: Option<CallId>,
    /// The call that goes on when the one it was handed over to comes to nothing.
    left: Option<CallId>,
    deeds: Deeds<'a>,
    alarms: Alarms,
    /// What the run is for has been reached: registered, or a call established.
    goal: bool,
    question: Option<Question>,
}

impl Script<'_> {
    /// Ctrl-C: leave politely. A run that had not yet reached what it is for has not passed.
    fn on_interrupt(&mut self, report: &mut Report) {
        self.alarms.clear();
        self.question = None;
        if !self.goal {
            report.fail(failure::interrupted());
        }
        self.session.stop();
    }

    /// What was done in the view.
    fn on_action(&mut self, action: Action, report: &mut Report) {
        let Some(call) = self.call else {
            if action == Action::HangUp {
                self.on_interrupt(report);
            }
            return;
        };
        let deed = match action {
            Action::Type(text) => Deed::Text(text),
            Action::Press(key) => Deed::Keys(key.to_string()),
            Action::Hold(true) => Deed::Hold,
            Action::Hold(false) => Deed::Resume,
            Action::Mute(kind, muted) => Deed::Mute(kind, muted),
            Action::HangUp => Deed::Hangup,
            Action::Interrupt | Action::Lost => return,
        };
        deed.perform(self.session, call);
        self.note_typed(&deed, report);
    }

    /// What is typed counts as promised.
    fn note_typed(&self, deed: &Deed, report: &mut Report) {
        if let Deed::Text(text) = deed {
            let sent = &mut report.call.get_or_insert_default().text_sent;
            sent.get_or_insert_default().push_str(text);
        }
    }

    /// The number that was chosen on the terminal; none at the end of input.
    fn on_answer(&self, answer: Option<String>, report: &mut Report) {
        match answer {
            Some(number) => self.session.choose_number(&number),
            None => {
                report.fail(Failure {
                    step: Some(Step::SignIn),
                    code: "sign-in.number-required",
                    message: "the account has several numbers and none was chosen".to_owned(),
                    advice: Advice::CheckSettings,
                    retry_after_s: None,
                });
                self.session.stop();
            }
        }
    }

    fn on_alarm(&mut self, report: &mut Report, out: &mut Output) {
        match (self.alarms.pop(), self.call) {
            (Some(Alarm::HangUp), Some(call)) => self.session.hangup(call),
            (Some(Alarm::Answer), Some(call)) => {
                let (Plan::Call { media, .. } | Plan::Answer { media, .. }) = self.plan else { return };
                self.session.answer(call, media.to_call_media());
            }
            (Some(Alarm::Type(character)), Some(call)) => {
                let mut room = [0; 4];
                let text = character.encode_utf8(&mut room);
                self.session.send_text(call, text);
                out.typed(text);
            }
            (Some(Alarm::Act(number)), Some(call)) => {
                let (Plan::Call { media, .. } | Plan::Answer { media, .. }) = self.plan else { return };
                let Some(act) = media.acts.get(number) else { return };
                out.note(&format!("5 call  {:<19} {}", "at", act.deed.words()));
                act.deed.perform(self.session, call);
                self.deeds.on_given(number, self.session);
                self.note_typed(&act.deed, report);
                if let Deed::Text(text) = &act.deed {
                    out.typed(text);
                }
            }
            (Some(Alarm::Wait), _) => {
                let why = "no call came in the time of --wait".to_owned();
                report.fail(Failure::outside_steps("answer.no-call", why, Advice::RetryNow));
                self.session.stop();
            }
            _ => self.session.stop(),
        }
    }

    fn on_event(&mut self, event: &Event, report: &mut Report, out: &mut Output) {
        self.deeds.on_event(event);
        match (&event.kind, self.plan) {
            (EventKind::NumberRequired { numbers }, _) => self.question = Some(Question::ask(numbers)),
            (EventKind::Ready { .. }, Plan::Register { stay } | Plan::Echo { stay }) => {
                self.goal = true;
                self.alarms.set(*stay, Alarm::Stay);
            }
            (EventKind::Ready { .. }, Plan::Message { target, text }) => {
                self.session.message(target, text);
            }
            (EventKind::MessageSent { .. }, Plan::Message { .. }) => {
                self.goal = true;
                self.session.stop();
            }
            (EventKind::MessageFailed { .. }, Plan::Message { .. }) => self.session.stop(),
            (EventKind::Ready { .. }, Plan::Call { target, anonymous, location, media }) => {
                let mut request = CallRequest::to(target.as_str()).with(media.to_call_media());
                request.anonymous = *anonymous;
                request.location.clone_from(location);
                self.call = Some(self.session.call(request));
            }
            (EventKind::Ready { .. }, Plan::Answer { wait, .. }) => self.alarms.set(*wait, Alarm::Wait),
            (EventKind::Incoming { call, .. }, Plan::Echo { .. }) => {
                self.session.answer(*call, CallMedia::echo());
            }
            (EventKind::Incoming { call, .. }, Plan::Answer { media, ring, .. }) if self.call.is_none() => {
                self.alarms.clear();
                self.call = Some(*call);
                match ring.is_zero() {
                    true => self.session.answer(*call, media.to_call_media()),
                    false => self.alarms.set(*ring, Alarm::Answer),
                }
            }
            // Someone else takes the far end's place: the run goes on with them.
            (
                EventKind::Incoming { call, replaces: Some(old), .. },
                Plan::Call { media, .. } | Plan::Answer { media, .. },
            ) if self.call == Some(*old) => {
                self.alarms.clear();
                self.call = Some(*call);
                self.session.answer(*call, media.to_call_media());
            }
            // An echo stays where it is: with another one it would never fall silent.
            (EventKind::TransferRequested { call, .. }, plan) if plan.is_echo() => {
                self.session.reject_transfer(*call);
            }
            // The far end hands us over: so does the run.
            (
                EventKind::TransferRequested { call, .. },
                Plan::Call { media, .. } | Plan::Answer { media, .. },
            ) if self.call == Some(*call) => {
                self.alarms.clear();
                let new = self.session.accept_transfer(*call, media.to_call_media());
                self.left = Some(*call);
                self.call = Some(new);
                report.attempt = Some(new);
            }
            // Who we were handed over to is not there: the call that we were in goes on.
            (EventKind::CallFailed { call, .. }, Plan::Call { media, .. } | Plan::Answer { media, .. })
                if self.call == Some(*call) && self.left.is_some() =>
            {
                self.call = self.left.take();
                if let Some(duration) = media.duration {
                    self.alarms.set(duration, Alarm::HangUp);
                }
            }
            (EventKind::CallEnded { call, .. }, _) if self.left == Some(*call) => {
                self.left = None;
                report.attempt = None;
            }
            (EventKind::Incoming { call, .. }, _) => self.session.reject(*call),
            (
                EventKind::CallEstablished { call, .. },
                Plan::Call { media, .. } | Plan::Answer { media, .. },
            ) => {
                self.goal = true;
                report.attempt = None;
                let result = report.call.get_or_insert_default();
                result.recording.clone_from(&media.kept.recording);
                result.film.clone_from(&media.kept.film);
                result.snapshot.clone_from(&media.kept.snapshot);
                result.pictures.clone_from(&media.kept.pictures);
                if let Some(text) = media.typed() {
                    match media.typing {
                        None => {
                            self.session.send_text(*call, &text);
                            out.typed(&text);
                        }
                        Some(_) => text.chars().enumerate().for_each(|(number, character)| {
                            self.alarms.set(media.typed_after(number), Alarm::Type(character));
                        }),
                    }
                    out.note(&format!("5 call  {:<19} {}", "typed", output::typed(&text)));
                    result.text_sent = Some(text);
                }
                for (number, act) in media.acts.iter().enumerate() {
                    self.alarms.set(act.at, Alarm::Act(number));
                }
                if let Some(duration) = media.duration {
                    self.alarms.set(duration, Alarm::HangUp);
                }
            }
            (EventKind::CallEnded { call, by, .. }, _) if self.call == Some(*call) => {
                if *by == Side::Remote {
                    self.alarms.clear();
                }
                self.session.stop();
            }
            (EventKind::CallFailed { call, .. }, _) if self.call == Some(*call) => {
                self.alarms.clear();
                self.session.stop();
            }
            _ => {}
        }
    }
}
