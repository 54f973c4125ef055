//! The calls of a party: one without a name, and those that steps name. What the session tells of a call goes to its leg.
//!
//! A leg outlives its calls: the next one takes the place of the one before, a call that is handed over goes on in the same leg.

use std::collections::BTreeSet;
use std::time::Instant;

use z5_core::{CallId, Event, EventKind, Failure, Refusal, Step, clock};

use super::model::{MediaPlan, Policy};
use super::outcome::failure;
use super::party::State;
use super::world;
use super::yaml::Place;
use crate::report::Report;
use crate::script::Kept;

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Calling,
    Ringing,
    Established,
    Over,
}

/// The call that steps are about.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) id: CallId,
    pub(super) stage: Stage,
    pub(super) media: MediaPlan,
    pub(super) kept: Kept,
    /// The `call` that placed it; none for one that came in.
    placed: Option<Place>,
    /// A step was about it.
    seen: bool,
    /// When it failed.
    failed: Option<Instant>,
}

/// A call of a party, by its name in the scenario.
#[derive(Debug)]
pub(super) struct Leg {
    /// Empty for the one without a name.
    pub(super) name: String,
    pub(super) call: Option<Current>,
    /// The call that goes on when the one it was handed over to comes to nothing.
    left: Option<CallId>,
    /// Every call that it was about, by number.
    owned: BTreeSet<u64>,
    /// We hold the call.
    pub(super) held: bool,
    /// Keys of the far end in this call.
    pub(super) digits: String,
    /// Its result; that of the one without a name is the party's.
    pub(super) report: Option<Report>,
}

impl Leg {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            call: None,
            left: None,
            owned: BTreeSet::new(),
            held: false,
            digits: String::new(),
            report: None,
        }
    }

    /// The call that stands or is being set up.
    pub(super) fn running(&self) -> Option<&Current> {
        self.call.as_ref().filter(|now| now.stage < Stage::Over)
    }

    fn is_now(&self, call: CallId) -> bool {
        self.call.as_ref().is_some_and(|now| now.id == call)
    }

    /// The call goes on as another one.
    fn becomes(&mut self, call: CallId) {
        self.owned.insert(call.number());
        if let Some(now) = &mut self.call {
            now.id = call;
        }
    }

    fn stage(&mut self, stage: Stage) {
        if let Some(now) = self.call.as_mut().filter(|now| now.stage < stage) {
            now.stage = stage;
        }
    }
}

impl State {
    /// Whose call it is or was.
    pub(super) fn leg_of(&self, call: u64) -> Option<usize> {
        self.legs.iter().position(|leg| leg.owned.contains(&call))
    }

    /// The leg whose call it is now.
    fn leg_now(&self, call: CallId) -> Option<usize> {
        self.legs.iter().position(|leg| leg.is_now(call))
    }

    /// A new call takes the place of the one before: what is waited for from here on is about it.
    pub(super) fn begin(
        &mut self,
        leg: usize,
        id: CallId,
        (media, kept): (MediaPlan, Kept),
        placed: Option<Place>,
    ) {
        if leg > 0 {
            let report = self.report.of_another_call();
            if let Some(leg) = self.legs.get_mut(leg) {
                leg.report = Some(report);
            }
        }
        let report = self.report_of(leg);
        report.next_call();
        if kept.files().next().is_some() {
            let result = report.call.get_or_insert_default();
            result.recording.clone_from(&kept.recording);
            result.film.clone_from(&kept.film);
            result.snapshot.clone_from(&kept.snapshot);
        }
        self.forget_calls(leg);
        if let Some(leg) = self.legs.get_mut(leg) {
            (leg.held, leg.left) = (false, None);
            leg.digits.clear();
            let (stage, seen, failed) = (Stage::Calling, false, None);
            leg.call = Some(Current { id, stage, media, kept, placed, seen, failed });
            leg.owned = BTreeSet::from([id.number()]);
        }
    }

    /// A step is about the call of this leg.
    pub(super) fn see(&mut self, leg: usize) {
        if let Some(now) = self.legs.get_mut(leg).and_then(|leg| leg.call.as_mut()) {
            now.seen = true;
        }
    }

    /// A call that was placed, goes on, and no step was about: nobody knows what came of it.
    pub(super) fn unseen(&self) -> Option<(Place, Failure)> {
        let unseen = |now: &&Current| now.placed.is_some() && !now.seen;
        let at = self.legs.iter().filter_map(Leg::running).find(unseen)?.placed?;
        let why = format!(
            "nobody waited for the call of line {}: a `wait`, an `expect`, `hangup` or another step has to be about it",
            at.line
        );
        Some((at, failure("run.not-waited", why)))
    }

    /// A failure of this leg's call, with the place where it was placed and the time at which it failed.
    pub(super) fn placed(&self, leg: usize, mut failure: Failure) -> (Option<Place>, Failure) {
        let now = self.legs.get(leg).and_then(|leg| leg.call.as_ref());
        let Some((at, failed)) = now.and_then(|now| Some((now.placed?, now.failed?))) else {
            return (None, failure);
        };
        if failure.step == Some(Step::Call) {
            let after = failed.saturating_duration_since(self.began).as_secs_f64();
            failure.message += &format!(" (the call of line {}, {after:.3} s into the scenario)", at.line);
        }
        (Some(at), failure)
    }

    /// What an event says of a call.
    pub(super) fn on_call(&mut self, number: u64, event: &Event) {
        if let EventKind::Incoming { call, replaces, .. } = event.kind {
            return self.on_incoming(call, replaces);
        }
        let owner = self.leg_of(number);
        if owner.is_none() {
            // a call that rang here and is over
            self.incoming.retain(|waiting| waiting.number() != number);
            return;
        }
        let Some(at) = owner else { return };
        let (session, follows) = (self.session.clone(), self.follows);
        let Some(leg) = self.legs.get_mut(at) else { return };
        let is_now = leg.call.as_ref().is_some_and(|now| now.id.number() == number);
        match (&event.kind, leg.left) {
            (EventKind::TransferRequested { call, .. }, _) if is_now => match (session, &leg.call) {
                // an echo stays where it is: with another one it would never fall silent
                (Some(session), Some(now)) if follows && !now.media.echo => {
                    let media = world::media(&now.media, now.kept.clone()).to_call_media();
                    let new = session.accept_transfer(*call, media);
                    leg.left = Some(now.id);
                    leg.becomes(new);
                    self.report_of(at).attempt = Some(new);
                }
                (Some(session), _) => session.reject_transfer(*call),
                (None, _) => {}
            },
            (EventKind::CallProgress { .. }, _) if is_now => leg.stage(Stage::Ringing),
            (EventKind::CallEstablished { .. }, _) if is_now => {
                leg.stage(Stage::Established);
                self.report_of(at).attempt = None;
            }
            (EventKind::CallHold { local, .. }, _) if is_now => leg.held = *local,
            (EventKind::Digit { digit, .. }, _) if is_now => leg.digits.push(*digit),
            (EventKind::Text { text, .. }, _) if is_now => {
                let received = &mut self.report_of(at).call.get_or_insert_default().text_received;
                received.get_or_insert_default().push_str(text);
            }
            (EventKind::CallEnded { call, .. }, Some(left)) if *call == left => {
                leg.left = None;
                self.report_of(at).attempt = None;
            }
            // who we were handed over to is not there: the call that we were in goes on
            (EventKind::CallFailed { .. }, Some(left)) if is_now => {
                leg.becomes(left);
                leg.left = None;
            }
            (EventKind::CallFailed { .. }, _) if is_now => {
                if let Some(now) = &mut leg.call {
                    now.failed = Some(clock::now());
                }
                self.on_over(at);
            }
            (EventKind::CallEnded { .. }, _) if is_now => self.on_over(at),
            _ => {}
        }
    }

    /// Somebody calls.
    fn on_incoming(&mut self, call: CallId, replaces: Option<CallId>) {
        let Some(session) = self.session.clone() else { return };
        // someone else takes the far end's place: the scenario goes on with them
        if let Some(leg) = replaces.and_then(|old| self.leg_now(old)).and_then(|leg| self.legs.get_mut(leg)) {
            leg.becomes(call);
            if let Some(now) = &leg.call {
                session.answer(call, world::media(&now.media, now.kept.clone()).to_call_media());
            }
            return;
        }
        match self.policy.clone() {
            Policy::Ring => self.incoming.push_back(call),
            Policy::Refuse(how) => self.refuse(call, how),
            Policy::Answer(_) if self.legs.iter().any(|leg| leg.running().is_some()) => {
                self.refuse(call, Refusal::Busy);
            }
            Policy::Answer(media) => {
                self.begin(0, call, (media.clone(), Kept::default()), None);
                session.answer(call, world::media(&media, Kept::default()).to_call_media());
            }
        }
    }

    /// Turns a call down, as somebody wants it.
    pub(super) fn refuse(&mut self, call: CallId, how: Refusal) {
        if let Some(session) = &self.session {
            self.refused.insert(call);
            session.reject_with(call, how);
        }
    }

    fn on_over(&mut self, at: usize) {
        let Some(leg) = self.legs.get_mut(at) else { return };
        leg.stage(Stage::Over);
        leg.held = false;
        let judged = leg.call.as_ref().is_some_and(|now| !now.media.silent);
        // what was reserved for recordings and not written is taken away again
        for file in leg.call.iter().flat_map(|now| now.kept.files()) {
            if std::fs::metadata(file).is_ok_and(|file| file.len() == 0) {
                drop(std::fs::remove_file(file));
            }
        }
        if judged {
            let unmet = self.report_of(at).usual_of_call().into_iter().filter(|kept| !kept.held);
            self.unmet.extend(unmet.collect::<Vec<_>>());
        }
    }
}
