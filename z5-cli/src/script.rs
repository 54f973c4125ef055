//! One run of a session, event by event: what to do when it is ready, when a call comes, when time is up, at Ctrl-C.
//!
//! `Script` decides from events, `run` waits for them. Ctrl-C once ends politely (BYE,
//! unregister), twice at once.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use z5_core::config::VideoSetting;
use z5_core::events::{Events, NumberOffer};
use z5_core::{
    Advice, AudioIn, AudioOut, CallId, CallMedia, CallRequest, Event, EventKind, Failure, Location, Session,
    Side, Step, VideoIn, VideoOut,
};

use crate::act::{Act, Deed};
use crate::audio::AudioArg;
use crate::exit::Exit;
use crate::expect::Expectation;
use crate::failure;
use crate::live::{Action, Input};
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
        /// Do not tell who calls.
        anonymous: bool,
        /// Where the call comes from.
        location: Option<Location>,
        /// What is sent and kept.
        media: Media,
    },
    /// Send one text message.
    Message {
        /// To whom.
        target: String,
        /// What.
        text: String,
    },
    /// Wait for one call.
    Answer {
        /// How long to wait.
        wait: Duration,
        /// How long it rings.
        ring: Duration,
        /// What is sent and kept.
        media: Media,
    },
}

/// What a call sends and keeps.
#[derive(Debug)]
pub(crate) struct Media {
    /// What is sent.
    pub(crate) audio: AudioArg,
    /// What is sent as video, where the configuration's is not.
    pub(crate) video: Option<VideoSetting>,
    /// What is kept.
    pub(crate) kept: Kept,
    /// Lines to type.
    pub(crate) text: Vec<String>,
    /// What is done in the call, by time.
    pub(crate) acts: Vec<Act>,
    /// Hang up this long after the answer.
    pub(crate) duration: Option<Duration>,
}

/// The files of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// What was heard.
    pub(crate) recording: Option<PathBuf>,
    /// What was seen.
    pub(crate) film: Option<PathBuf>,
    /// The latest picture of it.
    pub(crate) snapshot: Option<PathBuf>,
    /// Every picture, uncompressed.
    pub(crate) pictures: Option<PathBuf>,
}

impl Kept {
    /// Every file.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.recording, &self.film, &self.snapshot, &self.pictures].into_iter().flatten()
    }
}

impl Plan {
    /// What is to be done in the call.
    fn acts(&self) -> &[Act] {
        match self {
            Self::Call { media, .. } | Self::Answer { media, .. } => &media.acts,
            Self::Register { .. } | Self::Message { .. } => &[],
        }
    }
}

/// How far a planned deed has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    /// The call was over before its time.
    NotReached,
    /// Asked for; whether the session takes it is not known yet.
    Given,
    /// Taken; the far end has not agreed.
    Asked,
    /// The session did not take it, for this reason.
    Refused(String),
    Done,
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
        let audio_out = match &self.kept.recording {
            Some(path) => AudioOut::Wav { path: path.clone() },
            None => AudioOut::Nothing,
        };
        CallMedia {
            audio: true,
            audio_in,
            audio_out,
            video_in: self.video.as_ref().map(VideoIn::from),
            video_out: VideoOut::Watched {
                film: self.kept.film.clone(),
                snapshot: self.kept.snapshot.clone(),
                pictures: self.kept.pictures.clone(),
            },
            ..CallMedia::default()
        }
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
    /// It has rung for `answer --ring`.
    Answer,
    /// `--duration` of the call is over.
    HangUp,
    /// The deed of `--at` with this number is due.
    Act(usize),
}

/// Runs `plan` to its end. Gives an exit only when Ctrl-C came twice; everything else the report judges.
pub(crate) async fn run(
    plan: &Plan,
    session: &Session,
    mut events: Events,
    report: &mut Report,
    out: &mut Output,
) -> Option<Exit> {
    let acts = vec![Progress::NotReached; plan.acts().len()];
    let mut script = Script {
        plan,
        session,
        call: None,
        left: None,
        held: false,
        alarms: Vec::new(),
        goal: false,
        question: None,
        acts,
        settling: None,
    };
    let mut interrupts = interrupts();
    let mut inputs = out.inputs();
    let mut interrupted = false;
    // A terminal that goes away is told twice, as a loss and by SIGHUP; together they are one interrupt.
    let mut hangup_follows = false;
    loop {
        let alarm = script.next_alarm();
        let event = tokio::select! {
            // events first: what refuses a deed is told before the deed counts as taken
            biased;
            event = events.next() => event,
            () = settled(&mut script.settling) => {
                script.on_settled();
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
            () = wait_until(alarm), if script.settling.is_none() => {
                script.on_alarm(report, out);
                continue;
            }
        };
        let Some(event) = event else {
            if !interrupted {
                script.on_settled();
                script.judge(report);
            }
            return None;
        };
        report.take(&event);
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

/// Every Ctrl-C (and, on Unix, SIGTERM and SIGHUP), also those that come while something else is awaited.
pub(crate) fn interrupts() -> mpsc::UnboundedReceiver<()> {
    let (sender, receiver) = mpsc::unbounded_channel();
    // the handlers are there when this returns: a signal that comes at once is not lost
    #[cfg(unix)]
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // a system that gives no handler leaves the signal's own effect
        let Ok(mut signals) = signal(kind) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move { while signals.recv().await.is_some() && sender.send(()).is_ok() {} });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && sender.send(()).is_ok() {} });
    receiver
}

/// The answer to the question that is being asked; without one, never.
async fn answered(question: &mut Option<Question>) -> Option<String> {
    match question {
        Some(asked) => {
            let answer = (&mut asked.answer).await.ok().flatten();
            let numbers = std::mem::take(&mut asked.numbers);
            *question = None;
            let answer = answer?;
            let by_index = answer.parse::<usize>().ok().and_then(|n| numbers.get(n.checked_sub(1)?));
            Some(by_index.map_or(answer.as_str(), String::as_str).to_owned())
        }
        None => std::future::pending().await,
    }
}

/// The session has looked at every deed that was given to it.
async fn settled(settling: &mut Option<Settling>) {
    match settling {
        Some(wait) => {
            wait.await;
            *settling = None;
        }
        None => std::future::pending().await,
    }
}

/// Resolves when the session has taken or refused what it was told.
type Settling = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

struct Script<'a> {
    plan: &'a Plan,
    session: &'a Session,
    call: Option<CallId>,
    /// The call that goes on when the one it was handed over to comes to nothing.
    left: Option<CallId>,
    /// We hold the call.
    held: bool,
    /// What became of each `--at`.
    acts: Vec<Progress>,
    /// A deed was given to the session.
    settling: Option<Settling>,
    /// Soonest last.
    alarms: Vec<(Instant, Alarm)>,
    /// What the run is for has been reached: registered, or a call established.
    goal: bool,
    question: Option<Question>,
}

/// A question on the terminal; a thread waits for its answer.
struct Question {
    numbers: Vec<String>,
    answer: JoinHandle<Option<String>>,
}

impl Script<'_> {
    fn set_alarm(&mut self, after: Duration, alarm: Alarm) {
        // a duration nobody lives to see is the same as none
        let Some(at) = Instant::from_std(z5_core::clock::now()).checked_add(after) else { return };
        let before = self.alarms.partition_point(|(other, _)| *other > at);
        self.alarms.insert(before, (at, alarm));
    }

    fn next_alarm(&self) -> Option<Instant> {
        self.alarms.last().map(|(at, _)| *at)
    }

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
            (Some((_, Alarm::HangUp)), Some(call)) => self.session.hangup(call),
            (Some((_, Alarm::Answer)), Some(call)) => {
                let (Plan::Call { media, .. } | Plan::Answer { media, .. }) = self.plan else { return };
                self.session.answer(call, media.to_call_media());
            }
            (Some((_, Alarm::Act(number))), Some(call)) => {
                let (Plan::Call { media, .. } | Plan::Answer { media, .. }) = self.plan else { return };
                let Some(act) = media.acts.get(number) else { return };
                out.note(&format!("5 call  {:<19} {}", "at", act.deed.words()));
                act.deed.perform(self.session, call);
                self.settling = Some(Box::pin(self.session.settled()));
                let held = self.held || self.awaits(|deed| *deed == Deed::Hold);
                let progress = match act.deed == Deed::Resume && !held {
                    true => Progress::Refused("refused: the call was not on hold".to_owned()),
                    false => Progress::Given,
                };
                if let Some(known) = self.acts.get_mut(number) {
                    *known = progress;
                }
                self.note_typed(&act.deed, report);
            }
            (Some((_, Alarm::Wait)), _) => {
                let why = "no call came in the time of --wait".to_owned();
                report.fail(Failure::outside_steps("answer.no-call", why, Advice::RetryNow));
                self.session.stop();
            }
            _ => self.session.stop(),
        }
    }

    /// The far end has agreed to what was asked for.
    fn agreed(&mut self, deed: impl Fn(&Deed) -> bool) {
        for (progress, act) in self.acts.iter_mut().zip(self.plan.acts()) {
            if matches!(progress, Progress::Asked | Progress::Given) && deed(&act.deed) {
                *progress = Progress::Done;
            }
        }
    }

    /// Such a deed was given and is not done.
    fn awaits(&self, deed: impl Fn(&Deed) -> bool) -> bool {
        let mut all = self.acts.iter().zip(self.plan.acts());
        all.any(|(progress, act)| matches!(progress, Progress::Asked | Progress::Given) && deed(&act.deed))
    }

    /// The session did not take the deed that was given to it last.
    fn on_refused(&mut self, why: &str) {
        if let Some(progress) = self.acts.iter_mut().find(|progress| **progress == Progress::Given) {
            *progress = Progress::Refused(format!("refused: {why}"));
        }
    }

    /// What was given to the session and not refused is taken: what needs nobody's agreement is done.
    fn on_settled(&mut self) {
        for (progress, act) in self.acts.iter_mut().zip(self.plan.acts()) {
            if *progress == Progress::Given {
                *progress = match &act.deed {
                    Deed::Hold if !self.held => Progress::Asked,
                    Deed::Resume if self.held => Progress::Asked,
                    Deed::Transfer(_) | Deed::Add(_) => Progress::Asked,
                    Deed::Hold
                    | Deed::Resume
                    | Deed::Mute(..)
                    | Deed::Keys(_)
                    | Deed::Text(_)
                    | Deed::Hangup => Progress::Done,
                };
            }
        }
    }

    /// Every planned deed was done, or the run has not passed.
    fn judge(&self, report: &mut Report) {
        if !self.goal {
            return;
        }
        for (progress, act) in self.acts.iter().zip(self.plan.acts()) {
            let wanted = format!("{} after {}", act.deed.words(), humantime::format_duration(act.at));
            let measured = match progress {
                Progress::NotReached => "not reached: the call was over",
                Progress::Given | Progress::Asked => "asked for, not agreed to",
                Progress::Refused(why) => why,
                Progress::Done => "done",
            };
            let held = *progress == Progress::Done;
            report.expectations.push(Expectation::fact("at", &wanted, measured, held));
        }
    }

    fn on_event(&mut self, event: &Event, report: &mut Report, out: &mut Output) {
        if let EventKind::CommandRefused { error, .. } = &event.kind {
            self.on_refused(&error.to_string());
        }
        if let EventKind::CallHold { local, .. } = event.kind {
            self.held = local;
            self.agreed(|deed| matches!((deed, local), (Deed::Hold, true) | (Deed::Resume, false)));
        }
        if let EventKind::CallChanged { media, .. } = &event.kind {
            let flows = |kind| media.streams.iter().any(|stream| stream.kind == kind && stream.send);
            self.agreed(|deed| matches!(deed, Deed::Add(kind) if flows(*kind)));
        }
        if let EventKind::Transferred { .. } = event.kind {
            self.agreed(|deed| matches!(deed, Deed::Transfer(_)));
        }
        match (&event.kind, self.plan) {
            (EventKind::NumberRequired { numbers }, _) => self.ask_for_number(numbers),
            (EventKind::Ready { .. }, Plan::Register { stay }) => {
                self.goal = true;
                self.set_alarm(*stay, Alarm::Stay);
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
            (EventKind::Ready { .. }, Plan::Answer { wait, .. }) => self.set_alarm(*wait, Alarm::Wait),
            (EventKind::Incoming { call, .. }, Plan::Answer { media, ring, .. }) if self.call.is_none() => {
                self.alarms.clear();
                self.call = Some(*call);
                match ring.is_zero() {
                    true => self.session.answer(*call, media.to_call_media()),
                    false => self.set_alarm(*ring, Alarm::Answer),
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
                    self.set_alarm(duration, Alarm::HangUp);
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
                    self.session.send_text(*call, &text);
                    out.note(&format!("5 call  {:<19} {text:?}", "typed"));
                    result.text_sent = Some(text);
                }
                for (number, act) in media.acts.iter().enumerate() {
                    self.set_alarm(act.at, Alarm::Act(number));
                }
                if let Some(duration) = media.duration {
                    self.set_alarm(duration, Alarm::HangUp);
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

    fn ask_for_number(&mut self, numbers: &[NumberOffer]) {
        let mut question = "\nThis account has several numbers:\n".to_owned();
        for (index, number) in numbers.iter().enumerate() {
            let label = number.label.as_deref().unwrap_or("");
            question += &format!("  {}  {}  {}\n", index + 1, number.number, output::plain(label));
        }
        question += "Which one (1, 2, ... or the number)? ";
        let answer = tokio::task::spawn_blocking(move || output::ask(&question));
        let numbers = numbers.iter().map(|number| number.number.clone()).collect();
        self.question = Some(Question { numbers, answer });
    }
}
