//! One run of a session, event by event: what to do when it is ready, when a call comes, when time is up, at Ctrl-C.
//!
//! `Script` decides from events and gives back an [`Action`]; `run` carries it out. Ctrl-C once ends politely (BYE,
//! unregister), twice at once.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;
use z5_core::events::{Events, NumberOffer};
use z5_core::{
    Advice, AudioIn, AudioOut, CallId, CallMedia, CallRequest, Event, EventKind, Failure, Session, Side,
};

use crate::audio::AudioArg;
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::report::Report;

/// What a run is for.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Register, stay, leave.
    Register {
        /// How long to stay.
        stay: Duration,
    },
    /// Place one call.
    Call {
        /// Whom.
        target: String,
        /// What is sent and kept.
        media: Media,
    },
    /// Wait for one call.
    Answer {
        /// How long to wait.
        wait: Duration,
        /// What is sent and kept.
        media: Media,
    },
}

/// What a call sends and keeps.
#[derive(Debug)]
pub(crate) struct Media {
    /// What is sent.
    pub(crate) audio: AudioArg,
    /// The recording.
    pub(crate) recording: Option<PathBuf>,
    /// Lines to type.
    pub(crate) text: Vec<String>,
    /// Hang up this long after the answer.
    pub(crate) duration: Option<Duration>,
}

/// RFC 4103 section 3 and T.140: one line is ended by U+2028.
const LINE_SEPARATOR: &str = "\u{2028}";

impl Media {
    /// As the session takes it.
    pub(crate) fn to_call_media(&self) -> CallMedia {
        let audio_in = match &self.audio {
            AudioArg::Silence => AudioIn::Silence,
            AudioArg::Tone { hz, dbm0 } => AudioIn::Tone { hz: *hz, level_dbm0: *dbm0 },
            AudioArg::Wav(path) => AudioIn::Wav { path: path.clone(), looping: false },
        };
        let audio_out = match &self.recording {
            Some(path) => AudioOut::Wav { path: path.clone() },
            None => AudioOut::Nothing,
        };
        CallMedia { audio: true, audio_in, audio_out, ..CallMedia::default() }
    }

    /// Everything that is typed.
    pub(crate) fn typed(&self) -> Option<String> {
        (!self.text.is_empty()).then(|| self.text.join(LINE_SEPARATOR))
    }
}

/// Which clock ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    /// `register --stay` is over.
    Stay,
    /// `answer --wait` is over.
    Wait,
    /// `--duration` of the call is over.
    HangUp,
}

/// Runs `plan` to its end and judges it by `expect`, which sees the report before the verdict.
pub(crate) async fn run(
    plan: &Plan,
    session: &Session,
    mut events: Events,
    report: &mut Report,
    out: &mut Output,
) -> Option<Exit> {
    let mut script = Script { plan, session, call: None, alarm: None };
    let mut interrupts = 0;
    loop {
        let event = {
            let alarm = script.alarm;
            let mut interrupt = pin!(tokio::signal::ctrl_c());
            tokio::select! {
                event = events.next() => event,
                _ = &mut interrupt => {
                    interrupts += 1;
                    if interrupts > 1 {
                        return Some(Exit::Interrupted);
                    }
                    out.note("stopping; Ctrl-C again ends at once");
                    script.alarm = None;
                    session.stop();
                    continue;
                }
                () = wait_until(alarm) => {
                    script.on_alarm(report);
                    continue;
                }
            }
        };
        let event = event?;
        report.take(&event);
        out.event(&event);
        script.on_event(&event, report, out).await;
    }
}

async fn wait_until(alarm: Option<(Instant, Alarm)>) {
    match alarm {
        Some((at, _)) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

struct Script<'a> {
    plan: &'a Plan,
    session: &'a Session,
    call: Option<CallId>,
    alarm: Option<(Instant, Alarm)>,
}

impl Script<'_> {
    fn set_alarm(&mut self, after: Duration, alarm: Alarm) {
        // a duration nobody lives to see is the same as none
        self.alarm = Instant::from_std(z5_core::clock::now()).checked_add(after).map(|at| (at, alarm));
    }

    fn on_alarm(&mut self, report: &mut Report) {
        match (self.alarm.take(), self.call) {
            (Some((_, Alarm::HangUp)), Some(call)) => self.session.hangup(call),
            (Some((_, Alarm::Wait)), _) => {
                report.fail(Failure {
                    step: None,
                    code: "answer.no-call",
                    message: "no call came in the time of --wait".to_owned(),
                    advice: Advice::CheckSettings,
                    retry_after_s: None,
                });
                self.session.stop();
            }
            _ => self.session.stop(),
        }
    }

    async fn on_event(&mut self, event: &Event, report: &mut Report, out: &mut Output) {
        match (&event.kind, self.plan) {
            (EventKind::NumberRequired { numbers }, _) => self.choose_number(numbers).await,
            (EventKind::Ready { .. }, Plan::Register { stay }) => self.set_alarm(*stay, Alarm::Stay),
            (EventKind::Ready { .. }, Plan::Call { target, media }) => {
                let request = CallRequest::to(target.as_str()).with(media.to_call_media());
                self.call = Some(self.session.call(request));
                report.call.get_or_insert_default().recording.clone_from(&media.recording);
            }
            (EventKind::Ready { .. }, Plan::Answer { wait, .. }) => self.set_alarm(*wait, Alarm::Wait),
            (EventKind::Incoming { call, .. }, Plan::Answer { media, .. }) if self.call.is_none() => {
                self.alarm = None;
                self.call = Some(*call);
                self.session.answer(*call, media.to_call_media());
                report.call.get_or_insert_default().recording.clone_from(&media.recording);
            }
            (EventKind::Incoming { call, .. }, _) => self.session.reject(*call),
            (
                EventKind::CallEstablished { call, .. },
                Plan::Call { media, .. } | Plan::Answer { media, .. },
            ) => {
                if let Some(text) = media.typed() {
                    self.session.send_text(*call, &text);
                    out.note(&format!("5 call  typed              {text:?}"));
                    report.call.get_or_insert_default().text_sent = Some(text);
                }
                if let Some(duration) = media.duration {
                    self.set_alarm(duration, Alarm::HangUp);
                }
            }
            (EventKind::CallEnded { call, by, .. }, _) if self.call == Some(*call) => {
                if *by == Side::Remote {
                    self.alarm = None;
                }
                self.session.stop();
            }
            (EventKind::CallFailed { call, .. }, _) if self.call == Some(*call) => {
                self.alarm = None;
                self.session.stop();
            }
            _ => {}
        }
    }

    async fn choose_number(&self, numbers: &[NumberOffer]) {
        let mut question = "This account has several numbers:\n".to_owned();
        for (index, number) in numbers.iter().enumerate() {
            let label = number.label.as_deref().unwrap_or("");
            question += &format!("  {}  {}  {label}\n", index + 1, number.number);
        }
        question += "Which one (1, 2, ... or the number)? ";
        let answer = tokio::task::spawn_blocking(move || output::ask(&question)).await.ok().flatten();
        let Some(answer) = answer else { return self.session.stop() };
        let by_index = answer.parse::<usize>().ok().and_then(|n| numbers.get(n.checked_sub(1)?));
        self.session.choose_number(by_index.map_or(answer.as_str(), |number| number.number.as_str()));
    }
}
