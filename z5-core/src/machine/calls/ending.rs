//! How calls end: hung up, given up, refused, over. Each ends with exactly one `CallFailed` or `CallEnded`.

use std::time::{Duration, Instant};

use z5_sip::outbox::{Deadline, Outbox};
use z5_sip::ua::{self, CallKey};

use super::{Calls, Orders, failure};
use crate::call::{CallId, CallReport, Side};
use crate::clock::ms;
use crate::error::{CallError, millis};
use crate::events::{CallState, EventKind, MediaKind};
use crate::machine::io::{Effect, StoppedMedia};

/// How long the far end's word on the end of a call is waited for. What is under way goes on without the call: an INVITE without
/// a provisional response cannot be cancelled (RFC 3261 section 9.1) and a BYE is repeated, for 64 x T1 each; who is answered
/// after all hangs up.
const FAREWELL: Duration = Duration::from_secs(1);

impl Calls {
    /// The user ends a call, whatever its state.
    pub(crate) fn hang_up(&mut self, id: CallId, now: Instant, out: &mut Outbox<Effect>) -> Orders {
        let Some(call) = self.calls.get_mut(&id) else { return self.unknown(id, out) };
        if call.end.is_some() || call.state == CallState::Ending {
            return Vec::new();
        }
        if !call.incoming && call.sent_at.is_none() {
            // Nothing was sent yet: the user agent does not know the call.
            self.fail(id, Side::Local, CallError::Cancelled, now, out);
            return Vec::new();
        }
        let key = call.key;
        call.patience = None;
        call.over_by = Some(now + FAREWELL);
        self.set_state(id, CallState::Ending, out);
        vec![ua::Command::Hangup { call: key }]
    }

    /// Ends every call.
    pub(crate) fn hang_up_all(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Orders {
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        ids.into_iter().flat_map(|id| self.hang_up(id, now, out)).collect()
    }

    /// An established call is over; its figures follow.
    pub(crate) fn on_ended(
        &mut self,
        key: CallKey,
        by: Side,
        cause: Option<String>,
        out: &mut Outbox<Effect>,
    ) {
        let Some((id, call)) = self.by_key(key) else { return };
        if call.end.is_none() {
            call.end = Some((by, cause));
            out.push(Effect::StopMedia { call: id });
        }
    }

    /// The figures of a call that is over.
    pub(crate) fn on_media_stopped(
        &mut self,
        id: CallId,
        figures: StoppedMedia,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        if self.calls.get(&id).is_none_or(|call| call.end.is_none()) {
            return;
        }
        self.set_state(id, CallState::Ended, out);
        let Some(call) = self.calls.remove(&id) else { return };
        let Some((by, cause)) = call.end else { return };
        let has_text = call.media.streams.iter().any(|stream| stream.kind == MediaKind::Text);
        let report = CallReport {
            duration_ms: call.established_at.map_or(0.0, |at| ms(at, now)),
            timings: call.timings,
            media: call.media,
            audio: figures.audio,
            text: figures.text,
            video: figures.video,
            skew_ms: figures.skew_ms,
            text_received: has_text.then_some(call.text_received),
            digits_received: (call.digits || !call.digits_received.is_empty())
                .then_some(call.digits_received),
        };
        out.push(Effect::Emit(EventKind::CallEnded { call: id, by, cause, report: Box::new(report) }));
    }

    /// A call that never stood is over.
    pub(crate) fn on_failed(
        &mut self,
        key: CallKey,
        failure: ua::CallFailure,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let Some((id, call)) = self.by_key(key) else { return };
        let waited = millis(now.saturating_duration_since(call.sent_at.unwrap_or(call.asked_at)));
        let patience = match (call.gave_up, call.timings.post_dial_ms) {
            (false, _) => failure::Patience::Left,
            (true, Some(_)) => failure::Patience::Rang,
            (true, None) => failure::Patience::NeverRang,
        };
        let (by, error) = failure::call_error(failure, waited, patience);
        self.fail(id, by, error, now, out);
    }

    pub(super) fn fail(
        &mut self,
        id: CallId,
        by: Side,
        error: CallError,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        self.set_state(id, CallState::Ended, out);
        let Some(call) = self.calls.remove(&id) else { return };
        let mut timings = call.timings;
        timings.setup_ms = call.sent_at.map(|sent| ms(sent, now));
        out.push(Effect::StopMedia { call: id });
        out.push(Effect::Emit(EventKind::CallFailed { call: id, by, error, timings }));
    }

    /// The session is over: every call ends now.
    pub(crate) fn abandon(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        const WHY: &str = "the session is over";
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            if call.established_at.is_none() {
                let error = CallError::ConnectionLost { why: WHY.to_owned() };
                self.fail(id, Side::Network, error, now, out);
            } else if call.end.is_none() {
                call.end = Some((Side::Network, Some(WHY.to_owned())));
                out.push(Effect::StopMedia { call: id });
            }
        }
    }

    /// Gives up calls that nobody answers, and those whose end nobody answers.
    pub(crate) fn on_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Orders {
        let (mut unanswered, mut over) = (Vec::new(), Vec::new());
        for (id, call) in &mut self.calls {
            if call.patience.take_if(|at| *at <= now).is_some() {
                call.gave_up = true;
                unanswered.push(*id);
            }
            if call.over_by.take_if(|at| *at <= now).is_some() {
                over.push((call.key, call.established_at.is_some()));
            }
        }
        for (key, stood) in over {
            match stood {
                true => self.on_ended(key, Side::Local, None, out),
                false => {
                    let failure = ua::CallFailure::Cancelled { by: ua::Side::Local, reason: None };
                    self.on_failed(key, failure, now, out);
                }
            }
        }
        unanswered.into_iter().flat_map(|id| self.hang_up(id, now, out)).collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let each = self.calls.values().flat_map(|call| {
            let patience = call.patience.map(|at| Deadline::new(at, "step 5: nobody answers"));
            let over = call.over_by.map(|at| Deadline::new(at, "step 5: nobody answers the end of a call"));
            [patience, over]
        });
        each.flatten().min_by_key(|deadline| deadline.at)
    }
}
