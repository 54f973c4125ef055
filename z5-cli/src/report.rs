//! The result object of a run, gathered from the session's events. docs/json.md documents it.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use z5_core::call::EstablishedMedia;
use z5_core::error::Attempt;
use z5_core::events::{EventKind, MediaKind, StepDetail};
use z5_core::{CallId, Event, Failure, Side, Step, StreamStats};

use crate::capsule::{Recorder, ReportFiles};
use crate::capture::CaptureResult;
use crate::exit::Exit;
use crate::expect::{Expectation, Expr};
use crate::lossy;

/// Everything a run found out. Serialised as the last JSON line, `"event":"result"`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// `register`, `call`, `answer` or `demo`.
    pub(crate) command: &'static str,
    /// "ok" or "failed".
    pub(crate) verdict: &'static str,
    /// The exit status.
    pub(crate) exit_code: u8,
    /// The first failure.
    pub(crate) failure: Option<Failure>,
    /// Milliseconds; only what happened.
    pub(crate) timings_ms: Timings,
    /// Our address of record, once registered.
    pub(crate) address: Option<String>,
    /// SIP servers that were tried and were of no use, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) servers_failed: Vec<Attempt>,
    /// The registrar confirmed that we left.
    pub(crate) unregistered: Option<bool>,
    /// Calls that were answered, by either side.
    pub(crate) calls: Option<u64>,
    /// The call.
    pub(crate) call: Option<CallResult>,
    /// The capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<CaptureResult>,
    /// Where the report is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<ReportFiles>,
    /// What the run promised.
    pub(crate) expectations: Vec<Expectation>,
    /// What `--expect` asks.
    #[serde(skip)]
    asked: Vec<Expr>,
    /// What gathers the report.
    #[serde(skip)]
    recorder: Option<Recorder>,
    /// The failure is what was asked for.
    #[serde(skip)]
    wanted_failure: bool,
    #[serde(skip)]
    process_start: Instant,
    #[serde(skip)]
    session_offset_ms: f64,
    /// A call that we were handed over to and that does not stand yet: its failure is not the run's.
    #[serde(skip)]
    pub(crate) attempt: Option<CallId>,
    /// Since when each medium was to come, and when the call ended, in milliseconds of the session.
    #[serde(skip)]
    awaited: Vec<(MediaKind, f64)>,
    #[serde(skip)]
    ended_at: f64,
    /// We send a picture that stands still, so that one that is echoed cannot move.
    #[serde(skip)]
    pub(crate) still_picture: bool,
    #[serde(skip)]
    fault: bool,
    #[serde(skip)]
    usage: bool,
    #[serde(skip)]
    started: bool,
    #[serde(skip)]
    stopped: bool,
    #[serde(skip)]
    at_once: bool,
}

/// Milliseconds of what happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Timings {
    /// Step 1.
    pub(crate) resolve: Option<f64>,
    /// Step 2.
    pub(crate) sign_in: Option<f64>,
    /// Step 3.
    pub(crate) provision: Option<f64>,
    /// Step 4.
    pub(crate) register: Option<f64>,
    /// From the start of the process to the end of step 4.
    pub(crate) ready: Option<f64>,
    /// From the first byte of INVITE to the first ringing.
    pub(crate) call_post_dial: Option<f64>,
    /// From the first byte of INVITE to the final answer.
    pub(crate) call_setup: Option<f64>,
    /// From the answer to the first audio packet.
    pub(crate) first_audio: Option<f64>,
    /// From the answer to the first text packet.
    pub(crate) first_text: Option<f64>,
    /// From the answer to the first video packet.
    pub(crate) first_video: Option<f64>,
    /// From the answer to the first picture that can be shown.
    pub(crate) first_picture: Option<f64>,
    /// From the start of the process to its end.
    pub(crate) total: Option<f64>,
}

/// One call.
#[derive(Debug, Default, Serialize)]
pub(crate) struct CallResult {
    /// The media were agreed.
    pub(crate) established: bool,
    /// Who ended it, `local` or `remote`.
    pub(crate) ended_by: Option<Side>,
    /// Words of the far end, or of the loss.
    pub(crate) cause: Option<String>,
    /// What was agreed.
    pub(crate) media: EstablishedMedia,
    /// From the answer to the end.
    pub(crate) duration_ms: Option<f64>,
    /// Figures of the sound, both directions.
    pub(crate) audio: Option<StreamStats>,
    /// Figures of the text, both directions.
    pub(crate) text: Option<StreamStats>,
    /// Figures of the video, both directions.
    pub(crate) video: Option<StreamStats>,
    /// How much later pictures were shown than the sound that goes with them, in milliseconds.
    pub(crate) skew_ms: Option<f64>,
    /// What we typed.
    pub(crate) text_sent: Option<String>,
    /// What came.
    pub(crate) text_received: Option<String>,
    /// The keys that came.
    pub(crate) digits_received: Option<String>,
    /// The recording.
    #[serde(serialize_with = "lossy::optional")]
    pub(crate) recording: Option<PathBuf>,
    /// The recording of what was seen.
    #[serde(serialize_with = "lossy::optional")]
    pub(crate) film: Option<PathBuf>,
    /// The latest picture of it.
    #[serde(serialize_with = "lossy::optional")]
    pub(crate) snapshot: Option<PathBuf>,
    /// Every picture of it, uncompressed.
    #[serde(serialize_with = "lossy::optional")]
    pub(crate) pictures: Option<PathBuf>,
}

impl Report {
    pub(crate) fn new(command: &'static str, process_start: Instant) -> Self {
        Self {
            command,
            verdict: "failed",
            exit_code: 0,
            failure: None,
            timings_ms: Timings::default(),
            address: None,
            servers_failed: Vec::new(),
            unregistered: None,
            calls: None,
            call: None,
            capture: None,
            report: None,
            expectations: Vec::new(),
            asked: Vec::new(),
            recorder: None,
            wanted_failure: false,
            process_start,
            session_offset_ms: 0.0,
            attempt: None,
            awaited: Vec::new(),
            ended_at: 0.0,
            still_picture: false,
            fault: false,
            usage: false,
            started: false,
            stopped: false,
            at_once: false,
        }
    }

    /// With the conditions of `--expect`.
    pub(crate) fn asking(mut self, asked: &[Expr]) -> Self {
        self.asked = asked.to_vec();
        self
    }

    /// Gathers a report from now on.
    pub(crate) fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// What gathers it.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// The failure, unless it is the one that was asked for.
    pub(crate) fn unwanted_failure(&self) -> Option<&Failure> {
        self.failure.as_ref().filter(|_| !self.wanted_failure)
    }

    /// The session starts now: its events count from here.
    pub(crate) fn session_starts(&mut self) {
        self.started = true;
        self.calls.get_or_insert(0);
        self.session_offset_ms = self.since_process_start();
    }

    fn since_process_start(&self) -> f64 {
        let elapsed = z5_core::clock::now().saturating_duration_since(self.process_start);
        round(elapsed.as_secs_f64() * 1000.0)
    }

    /// Keeps the first failure; later ones follow from it.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// A step that failed is tried again.
    fn mend(&mut self) {
        let of_the_way = |failure: &Failure| failure.step.is_some_and(|step| step != Step::Call);
        if self.failure.as_ref().is_some_and(of_the_way) {
            self.failure = None;
        }
    }

    /// A failure of the command line or of a file named there.
    pub(crate) fn fail_usage(&mut self, failure: Failure) {
        self.usage = true;
        self.fail(failure);
    }

    /// What is to come from now on; what was to come for a moment only is not missed.
    fn awaits(&mut self, media: &EstablishedMedia, at_ms: f64) {
        let comes = |kind| media.streams.iter().any(|stream| stream.kind == kind && stream.receive);
        self.awaited.retain(|(kind, since)| comes(*kind) || at_ms - since >= LONG_ENOUGH_MS);
        let known: Vec<MediaKind> = self.awaited.iter().map(|(kind, _)| *kind).collect();
        let new = [MediaKind::Audio, MediaKind::Video].into_iter().filter(|kind| !known.contains(kind));
        self.awaited.extend(new.filter(|kind| comes(*kind)).map(|kind| (kind, at_ms)));
    }

    /// Takes what an event says.
    pub(crate) fn take(&mut self, event: &Event) {
        self.note(event);
        self.learn(event);
    }

    /// Keeps an event for the report that is gathered, and counts what there may be several of.
    pub(crate) fn note(&mut self, event: &Event) {
        if let EventKind::CallEstablished { .. } = event.kind {
            *self.calls.get_or_insert(0) += 1;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.take(event);
        }
    }

    /// The result of another call of the same session.
    pub(crate) fn of_another_call(&self) -> Self {
        let mut other = Self::new(self.command, self.process_start);
        let Timings { resolve, sign_in, provision, register, ready, .. } = self.timings_ms;
        other.timings_ms = Timings { resolve, sign_in, provision, register, ready, ..Timings::default() };
        other.calls = self.calls;
        other.address.clone_from(&self.address);
        other.servers_failed.clone_from(&self.servers_failed);
        other.session_offset_ms = self.session_offset_ms;
        other
    }

    /// Takes what an event says into the result.
    pub(crate) fn learn(&mut self, event: &Event) {
        if matches!(event.kind, EventKind::CallEstablished { .. }) {
            // a call that took another one's place begins anew
            self.awaited.clear();
        }
        if let EventKind::CallEstablished { media, .. } | EventKind::CallChanged { media, .. } = &event.kind {
            self.awaits(media, event.at_ms);
        }
        let timings = &mut self.timings_ms;
        match &event.kind {
            EventKind::StepDone { step, took_ms, detail, .. } => {
                match step {
                    Step::Resolve => timings.resolve = Some(*took_ms),
                    Step::SignIn => timings.sign_in = Some(*took_ms),
                    Step::Provision => timings.provision = Some(*took_ms),
                    Step::Register => timings.register = Some(*took_ms),
                    Step::Call => {}
                }
                if let StepDetail::Registered { address, .. } = detail {
                    self.address = Some(address.clone());
                }
            }
            EventKind::StepFailed { error, .. } => self.fail(error.failure()),
            EventKind::ServerFailed { server, transport, outcome } => self.servers_failed.push(Attempt {
                address: *server,
                transport: Some(transport),
                outcome: outcome.clone(),
            }),
            // what is tried again, or went well in the end, is no failure of the run
            EventKind::Retrying { .. } => self.mend(),
            EventKind::Ready { .. } => timings.ready = Some(round(event.at_ms + self.session_offset_ms)),
            EventKind::CallEstablished { media, timings: call, .. } => {
                timings.call_post_dial = call.post_dial_ms;
                timings.call_setup = call.setup_ms;
                let result = self.call.get_or_insert_default();
                result.established = true;
                result.media = media.clone();
            }
            EventKind::FirstMedia { kind, after_ms, .. } => match kind {
                MediaKind::Audio => timings.first_audio = Some(*after_ms),
                MediaKind::Text => timings.first_text = Some(*after_ms),
                MediaKind::Video => timings.first_video = Some(*after_ms),
            },
            EventKind::FirstPicture { after_ms, .. } => timings.first_picture = Some(*after_ms),
            EventKind::CallEnded { by, cause, report, .. } => {
                self.ended_at = event.at_ms;
                let result = self.call.get_or_insert_default();
                result.ended_by = Some(*by);
                result.cause.clone_from(cause);
                result.text_received.clone_from(&report.text_received);
                result.digits_received.clone_from(&report.digits_received);
                result.duration_ms = Some(report.duration_ms);
                result.audio.clone_from(&report.audio);
                result.text.clone_from(&report.text);
                result.video.clone_from(&report.video);
                result.skew_ms = report.skew_ms;
            }
            // the call that we were in goes on
            EventKind::CallFailed { call, .. } if self.attempt == Some(*call) => self.attempt = None,
            EventKind::CallFailed { by, error, timings: call, .. } => {
                timings.call_post_dial = call.post_dial_ms;
                self.call.get_or_insert_default().ended_by = Some(*by);
                self.fail(error.failure());
            }
            EventKind::CommandRefused { error, .. } | EventKind::MessageFailed { error, .. } => {
                self.fail(error.failure());
            }
            EventKind::CallTrouble { error, .. } => self.fail(error.failure()),
            EventKind::Unregistered { confirmed } => self.unregistered = Some(*confirmed),
            EventKind::Stopped { error, fault } => {
                self.stopped = true;
                if let Some(error) = error {
                    self.fail(error.failure());
                }
                if let Some(fault) = fault {
                    self.fault = true;
                    self.fail(fault.failure());
                }
            }
            EventKind::State { .. }
            | EventKind::CallState { .. }
            | EventKind::StepStarted { .. }
            | EventKind::NumberRequired { .. }
            | EventKind::Incoming { .. }
            | EventKind::CallProgress { .. }
            | EventKind::CallInfo { .. }
            | EventKind::FlowRegistered { .. }
            | EventKind::FlowLost { .. }
            | EventKind::Text { .. }
            | EventKind::TextSent { .. }
            | EventKind::CallFigures { .. }
            | EventKind::MediaSilent { .. }
            | EventKind::MediaBack { .. }
            | EventKind::Digit { .. }
            | EventKind::CallHold { .. }
            | EventKind::CallMuted { .. }
            | EventKind::CallChanged { .. }
            | EventKind::TransferRequested { .. }
            | EventKind::TransferProgress { .. }
            | EventKind::Transferred { .. }
            | EventKind::Message { .. }
            | EventKind::MessageSent { .. }
            | EventKind::MessageWaiting { .. }
            | EventKind::MailboxLost { .. }
            | EventKind::SourceEnded { .. }
            | EventKind::Refreshed { .. }
            | EventKind::EmergencyOnly { .. }
            | EventKind::LicenceRenewed { .. }
            | EventKind::ConfigurationRenewed { .. }
            | EventKind::ContactsLoaded { .. }
            | EventKind::ContactsChanged { .. }
            | EventKind::ContactNotChanged { .. }
            | EventKind::ContactsProgress { .. }
            | EventKind::ContactMerged(_)
            | EventKind::ContactRefused { .. }
            | EventKind::ContactsSynced { .. }
            | EventKind::StoreTrouble { .. }
            | EventKind::NetworkChanged { .. }
            | EventKind::ClockChanged { .. }
            | EventKind::Overflow { .. } => {}
        }
    }

    /// What every call promises: sound that was agreed came, video that was agreed moves, everything was typed.
    pub(crate) fn usual_of_call(&self) -> Vec<Expectation> {
        let mut all = Vec::new();
        if let Some(call) = &self.call {
            // not text: it may rightly be idle (RFC 4103 section 5.2)
            let missed = |wanted| {
                let since = self.awaited.iter().find(|(kind, _)| *kind == wanted).map(|(_, since)| *since);
                since.is_some_and(|since| self.ended_at - since >= LONG_ENOUGH_MS)
            };
            if missed(MediaKind::Audio) {
                let packets = call.audio.as_ref().map(|figures| figures.packets_received);
                all.push(Expectation::count("audio.packets_received", packets, 1));
            }
            if missed(MediaKind::Video) {
                let figures = call.video.as_ref().and_then(|figures| figures.video);
                all.push(Expectation::seen(figures.as_ref(), !self.still_picture));
            }
            if let Some(typed) = &call.text_sent {
                let sent =
                    call.text.as_ref().and_then(|figures| figures.text).map(|text| text.characters_sent);
                let typed = typed.chars().count() as u64;
                all.push(Expectation::count("text.characters_sent", sent, typed));
            }
        }
        all
    }

    /// What every run promises: that of its call, and that the registrar was there to the end.
    pub(crate) fn expect_usual(&mut self) {
        let of_call = self.usual_of_call();
        self.expectations.extend(of_call);
        if let Some(confirmed) = self.unregistered {
            let measured = if confirmed { "confirmed" } else { "not confirmed" };
            self.expectations.push(Expectation::fact("unregistered", "confirmed", measured, confirmed));
        }
        self.expectations.extend(self.capture.as_ref().map(CaptureResult::expectation));
    }

    /// Judges what was asked for with `--expect`. Nothing is judged of a run that did not begin.
    fn judge_asked(&mut self) {
        if self.usage || self.asked.is_empty() {
            return;
        }
        let Ok(result) = serde_json::to_value(&*self) else { return };
        for asked in &self.asked {
            let judged = asked.judge(&result);
            self.wanted_failure |= asked.wants_failure() && judged.held;
            self.expectations.push(judged);
        }
    }

    /// Judges one condition on what is known by now. A failure that is asked for is no failure of the run.
    pub(crate) fn judge(&mut self, asked: &Expr) -> Expectation {
        let result = serde_json::to_value(&*self).unwrap_or_default();
        let judged = asked.judge(&result);
        self.wanted_failure |= asked.wants_failure() && judged.held;
        judged
    }

    /// What was refused was meant to be, and what it was asked of goes on.
    pub(crate) fn forgive(&mut self, code: &str) {
        if self.failure.as_ref().is_some_and(|failure| failure.code == code) {
            self.failure = None;
        }
    }

    /// Whatever failed was meant to.
    pub(crate) fn expect_failure(&mut self) {
        self.wanted_failure = true;
    }

    /// z5 itself was at fault.
    pub(crate) fn is_fault(&self) -> bool {
        self.fault || (self.started && !self.stopped && !self.at_once)
    }

    /// Another call begins in the same session.
    pub(crate) fn next_call(&mut self) {
        let Timings { resolve, sign_in, provision, register, ready, .. } = self.timings_ms;
        self.timings_ms = Timings { resolve, sign_in, provision, register, ready, ..Timings::default() };
        (self.call, self.attempt, self.failure, self.wanted_failure) = (None, None, None, false);
        self.awaited.clear();
    }

    /// Somebody wanted the end at once: nothing was waited for.
    pub(crate) fn end_at_once(&mut self) {
        self.at_once = true;
        self.fail(crate::failure::interrupted());
    }

    /// A session was started.
    pub(crate) fn began(&self) -> bool {
        self.started && !self.usage
    }

    /// Judges the run: call once, at its end.
    pub(crate) fn finish(&mut self) -> Exit {
        self.timings_ms.total = Some(self.since_process_start());
        self.judge_asked();
        let exit = self.conclude();
        match self.recorder.take() {
            // nothing was sent, so there is nothing to report
            Some(recorder) if self.usage => {
                recorder.release();
                exit
            }
            Some(recorder) => self.write(&recorder, exit),
            None => exit,
        }
    }

    /// Writes the report of a party, whose verdict is the scenario's. Gives what the system said when it could not be written.
    pub(crate) fn write_of_party(&mut self, good: bool) -> Option<String> {
        let recorder = self.recorder.take()?;
        self.timings_ms.total = Some(self.since_process_start());
        let exit = if good { Exit::Ok } else { Exit::Expectation };
        (self.verdict, self.exit_code) = (if good { "ok" } else { "failed" }, exit.status());
        self.report = Some(recorder.files(None));
        let why = recorder.write(self).err()?;
        self.report = Some(recorder.files(Some(why.clone())));
        Some(why)
    }

    /// Writes the report, last of all: it has the verdict in it. One that cannot be written fails the run.
    fn write(&mut self, recorder: &Recorder, exit: Exit) -> Exit {
        self.report = Some(recorder.files(None));
        let Err(error) = recorder.write(self) else { return exit };
        let why = error.to_string();
        self.expectations.push(Expectation::fact("report.written", "both files", why.as_str(), false));
        self.report = Some(recorder.files(Some(why)));
        self.conclude()
    }

    fn conclude(&mut self) -> Exit {
        let exit = match self.unwanted_failure() {
            _ if crate::output::is_lost() => Exit::Expectation,
            _ if self.at_once => Exit::Interrupted,
            // every session ends with `stopped`; one that does not has a fault
            _ if self.fault || (self.started && !self.stopped && !self.usage) => Exit::Bug,
            Some(_) if self.usage => Exit::Usage,
            Some(Failure { step: Some(step), .. }) => Exit::Step(*step),
            Some(Failure { step: None, .. }) => Exit::Expectation,
            None if self.expectations.iter().any(|expectation| !expectation.held) => Exit::Expectation,
            None => Exit::Ok,
        };
        self.exit_code = exit.status();
        self.verdict = if exit == Exit::Ok { "ok" } else { "failed" };
        exit
    }
}

/// A call must last this long before missing packets are a fault. The first packet on every stream goes out at once.
const LONG_ENOUGH_MS: f64 = 1000.0;

/// Microseconds are as fine as these clocks are honest.
fn round(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}
