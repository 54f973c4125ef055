//! Step 5: the calls of a session.
//!
//! A call is prepared (ports, keys, files), offered or answered through the user agent, carried by the media driver, and ends
//! with exactly one `CallFailed` or `CallEnded`. What ends a call never ends the session.

mod failure;
mod incoming;
mod licensed;
mod mid_call;
mod running;
mod transfer;

pub(super) use failure::side;
pub(crate) use incoming::Incoming;
pub(super) use incoming::TEMPORARILY_UNAVAILABLE;
pub(super) use incoming::about;
pub(super) use incoming::kinds_of;
pub(super) use licensed::video_rate;
use licensed::{check_licence, licensed};

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use z5_media::AudioFormat;
use z5_sip::outbox::{Deadline, Outbox};
use z5_sip::sdp::{Capabilities, Negotiated};
use z5_sip::ua::{self, CallKey, CallOptions, Privacy};
use z5_sip::wire::Uri;

use super::call_media;
use super::dial;
use super::io::{Effect, MediaFact, ReadyMedium, SrtpPlan, StoppedMedia, Wanted};
use super::plan::Plan;
use super::register::LineAccount;
use crate::call::{CallId, CallReport, EstablishedMedia, Side};
use crate::clock::{WallAnchor, ms};
use crate::config::{Profile, WhenSilent};
use crate::error::{CallError, millis};
use crate::events::{CallState, CallTimings, EventKind, MediaKind};
use crate::location::Location;

/// What a call is answered with whose media cannot be carried here (section 21.4.26).
const NOT_ACCEPTABLE_HERE: u16 = 488;

/// How much of the text that came the figures of a call keep, in bytes; the newest stays. Every piece was an event before.
const TEXT_KEPT: usize = 1024 * 1024;

/// How many keys the figures of a call keep.
const DIGITS_KEPT: usize = 1024;

/// All calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    calls: BTreeMap<CallId, Call>,
    /// When the last emergency call was made.
    emergency_at: Option<Instant>,
}

#[derive(Debug)]
struct Call {
    key: CallKey,
    state: CallState,
    incoming: bool,
    target: Option<Uri>,
    /// What the far end offered, for an incoming call.
    offered: Vec<MediaKind>,
    /// What may be carried: asked for, or configured, and licensed.
    wanted: Vec<MediaKind>,
    asked_at: Instant,
    sent_at: Option<Instant>,
    established_at: Option<Instant>,
    timings: CallTimings,
    ready: Vec<ReadyMedium>,
    media: EstablishedMedia,
    /// The keys of each stream that runs encrypted.
    keys: Vec<(MediaKind, SrtpPlan)>,
    /// The codec of the sound.
    format: Option<AudioFormat>,
    /// Silence may be described in place of being sent, if that is agreed.
    suppress: bool,
    text_received: String,
    digits_received: String,
    /// The far end agreed to telephone events.
    digits: bool,
    /// The far end has been asked for a picture by INFO and has not refused; `None` once it has.
    pictures_by_info: Option<bool>,
    hold: mid_call::Hold,
    muted: Vec<MediaKind>,
    /// Media that are being made ready to answer an offer within the call.
    adding: Vec<MediaKind>,
    emergency: bool,
    /// The far end has asked us to call someone else.
    referred: bool,
    /// This call was asked for in that one.
    transfer_of: Option<CallKey>,
    extras: Extras,
    /// Media of `adding` that we want, to be offered; else they answer an offer.
    proposing: bool,
    /// When the far end has not answered until then, we give up.
    patience: Option<Instant>,
    gave_up: bool,
    end: Option<(Side, Option<String>)>,
}

/// What a call asks for beside its target and media.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extras {
    pub(crate) anonymous: bool,
    pub(crate) location: Option<Location>,
}

/// What the calls borrow while they handle something.
pub(crate) struct Desk<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) account: &'a LineAccount,
    pub(crate) wall: WallAnchor,
    /// The grace of the licence counts: its server cannot be reached.
    pub(crate) grace: bool,
    pub(crate) local: IpAddr,
    pub(crate) now: Instant,
}

/// What the user agent is to do next.
pub(crate) type Orders = Vec<ua::Command>;

impl Calls {
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = (CallId, CallState, bool)> + '_ {
        self.calls.iter().map(|(id, call)| (*id, call.state, call.incoming))
    }

    /// Makes a call: first ports, keys and files.
    pub(crate) fn dial(
        &mut self,
        id: CallId,
        target: &str,
        wanted: Wanted,
        extras: Extras,
        desk: &Desk<'_>,
        out: &mut Outbox<Effect>,
    ) {
        match self.check_dial(target, wanted, desk) {
            Err(error) => {
                out.push(Effect::ForgetWish { call: id });
                let timings = CallTimings::default();
                out.push(Effect::Emit(EventKind::CallFailed { call: id, by: Side::Local, error, timings }));
            }
            Ok((target, kinds)) => {
                let mut call = Call::new(CallKey(id.0), false, desk.now);
                call.target = Some(target.uri);
                call.emergency = target.emergency;
                if target.emergency {
                    self.emergency_at = Some(desk.now);
                }
                call.extras = extras;
                call.wanted.clone_from(&kinds);
                self.calls.insert(id, call);
                self.set_state(id, CallState::Dialling, out);
                prepare(id, kinds, desk, out);
            }
        }
    }

    fn check_dial(
        &self,
        target: &str,
        wanted: Wanted,
        desk: &Desk<'_>,
    ) -> Result<(dial::Target, Vec<MediaKind>), CallError> {
        let carrier = desk.plan.profile == Profile::Z5;
        let target = dial::target(target, &desk.account.domain, carrier)?;
        if target.emergency {
            return Ok((target, licensed::configured(wanted, desk)));
        }
        check_licence(desk)?;
        if let Some(licence) = &desk.account.licence
            && self.calls.len() >= licence.max_calls() as usize
        {
            return Err(CallError::TooManyCalls { max: licence.max_calls() });
        }
        let kinds = licensed(wanted, desk)?;
        match kinds.is_empty() {
            true => Err(nothing_to_carry()),
            false => Ok((target, kinds)),
        }
    }

    /// Ports, keys and files are there, or not.
    pub(crate) fn on_media_ready(
        &mut self,
        id: CallId,
        outcome: Result<Vec<ReadyMedium>, CallError>,
        desk: &Desk<'_>,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.end.is_none()) else {
            out.push(Effect::StopMedia { call: id });
            return Vec::new();
        };
        if call.established_at.is_some() {
            return self.on_more_ready(id, outcome, desk, out);
        }
        let made = outcome.and_then(|ready| {
            let address = ready.first().map_or(desk.local, |medium| medium.ports.rtp.ip());
            let capabilities = call_media::capabilities(&ready, &desk.plan.media, &[], address, false)?;
            Ok((ready, capabilities))
        });
        let (ready, capabilities) = match made {
            Ok(made) => made,
            Err(error) => {
                let (key, incoming, referrer) = (call.key, call.incoming, call.transfer_of);
                self.fail(id, Side::Local, error, desk.now, out);
                let status = NOT_ACCEPTABLE_HERE;
                return match (incoming, referrer) {
                    (true, _) => vec![ua::Command::Reject { call: key, status }],
                    (false, Some(call)) => vec![ua::Command::RejectTransfer { call, status }],
                    (false, None) => Vec::new(),
                };
            }
        };
        call.ready = ready;
        call.suppress = desk.plan.media.silence_suppression;
        call.timings.prepare_ms = Some(ms(call.asked_at, desk.now));
        let key = call.key;
        if !call.incoming {
            call.sent_at = Some(desk.now);
            call.patience = Some(desk.now + desk.plan.timeouts.call.duration());
        }
        match (call.transfer_of, call.target.clone()) {
            (Some(call), _) => {
                vec![ua::Command::AcceptTransfer { call, new_call: key, offer: capabilities }]
            }
            (None, Some(target)) => {
                let options = Box::new(call.options(desk));
                vec![ua::Command::Invite { call: key, target, offer: capabilities, options }]
            }
            (None, None) => vec![ua::Command::Accept { call: key, answer: capabilities }],
        }
    }

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
        self.set_state(id, CallState::Ending, out);
        vec![ua::Command::Hangup { call: key }]
    }

    /// Ends every call.
    pub(crate) fn hang_up_all(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Orders {
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        ids.into_iter().flat_map(|id| self.hang_up(id, now, out)).collect()
    }

    /// The user types.
    pub(crate) fn send_text(&mut self, id: CallId, text: String, out: &mut Outbox<Effect>) {
        let refused = match self.calls.get(&id) {
            None => Some(CallError::UnknownCall { call: id.0 }),
            Some(call) if call.established_at.is_none() => {
                Some(CallError::WrongState { call: id.0, state: call.state.name(), command: "text" })
            }
            Some(call)
                if !call.media.streams.iter().any(|stream| stream.kind == MediaKind::Text && stream.send) =>
            {
                let why = match call.wanted.contains(&MediaKind::Text) {
                    true => "the far end did not agree to text",
                    false => "text was not asked for",
                };
                Some(CallError::NoText { call: id.0, why: why.to_owned() })
            }
            Some(_) => None,
        };
        match refused {
            Some(error) => out.push(Effect::Emit(EventKind::CommandRefused { call: id, error })),
            None => out.push(Effect::SendText { call: id, text }),
        }
    }

    fn unknown(&self, id: CallId, out: &mut Outbox<Effect>) -> Orders {
        let error = CallError::UnknownCall { call: id.0 };
        out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
        Vec::new()
    }

    /// The far end rings, or something like it.
    pub(crate) fn on_progress(
        &mut self,
        key: CallKey,
        status: u16,
        reason: String,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let Some((id, call)) = self.by_key(key) else { return };
        if call.timings.post_dial_ms.is_none() {
            call.timings.post_dial_ms = call.sent_at.map(|sent| ms(sent, now));
        }
        if call.state == CallState::Dialling {
            self.set_state(id, CallState::Ringing, out);
        }
        out.push(Effect::Emit(EventKind::CallProgress { call: id, status, reason }));
    }

    /// The call stands.
    pub(crate) fn on_established(
        &mut self,
        key: CallKey,
        negotiated: &Negotiated,
        most: u64,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let Some((id, call)) = self.by_key(key) else { return Vec::new() };
        call.patience = None;
        call.established_at = Some(now);
        call.timings.setup_ms = call.sent_at.or(Some(call.asked_at)).map(|sent| ms(sent, now));
        let ending = call.state == CallState::Ending;
        match call_media::agreed(negotiated, &call.ready, call.suppresses(), most) {
            Err(error) => {
                out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
                self.hang_up(id, now, out)
            }
            Ok((streams, media)) => {
                call.media = media.clone();
                call.keys = running::keys(&streams);
                call.format = running::format(&streams);
                call.digits = running::digits(&streams);
                let timings = call.timings;
                if !ending {
                    self.set_state(id, CallState::Established, out);
                    out.push(Effect::StartMedia { call: id, streams });
                }
                out.push(Effect::Emit(EventKind::CallEstablished { call: id, media, timings }));
                Vec::new()
            }
        }
    }

    /// Media could not be started: the call is of no use.
    pub(crate) fn on_media_started(
        &mut self,
        id: CallId,
        outcome: Result<(), CallError>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let Err(error) = outcome else { return Vec::new() };
        out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
        self.hang_up(id, now, out)
    }

    #[cfg(test)]
    pub(crate) fn set_emergency(&mut self, id: CallId, emergency: bool) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.emergency = emergency;
        }
    }

    /// Something happened on a stream.
    pub(crate) fn on_media(
        &mut self,
        id: CallId,
        kind: MediaKind,
        fact: MediaFact,
        when_silent: WhenSilent,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let Some(call) = self.calls.get_mut(&id) else { return Vec::new() };
        let mut ends = None;
        let after_ms = call.established_at.map_or(0.0, |at| ms(at, now));
        let event = match fact {
            MediaFact::FirstPacket => EventKind::FirstMedia { call: id, kind, after_ms },
            MediaFact::FirstPicture => EventKind::FirstPicture { call: id, after_ms },
            MediaFact::KeyFrameWanted => return call.ask_for_picture(),
            MediaFact::Text(text) => {
                call.text_received.push_str(&text);
                keep_newest(&mut call.text_received);
                EventKind::Text { call: id, text }
            }
            MediaFact::Digit { digit, duration } => {
                call.press(digit);
                EventKind::Digit { call: id, digit, duration_ms: millis(duration) }
            }
            MediaFact::SourceEnded => EventKind::SourceEnded { call: id, kind },
            MediaFact::SinkFailed(why) => {
                EventKind::CallTrouble { call: id, error: CallError::Media { why } }
            }
            MediaFact::Silent { lasted, reason } => {
                if when_silent == WhenSilent::HangUp && !call.emergency {
                    let (kind, after_ms) = (kind.name(), millis(lasted));
                    ends = Some(CallError::MediaSilent { kind, after_ms, why: reason.to_string() });
                }
                let silent_ms = lasted.as_secs_f64() * 1000.0;
                EventKind::MediaSilent { call: id, kind, silent_ms, reason }
            }
            MediaFact::Back { after } => {
                EventKind::MediaBack { call: id, kind, silent_ms: after.as_secs_f64() * 1000.0 }
            }
        };
        out.push(Effect::Emit(event));
        let Some(error) = ends else { return Vec::new() };
        out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
        self.hang_up(id, now, out)
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
        let gave_up = call.gave_up;
        let (by, error) = failure::call_error(failure, waited, gave_up);
        self.fail(id, by, error, now, out);
    }

    fn fail(&mut self, id: CallId, by: Side, error: CallError, now: Instant, out: &mut Outbox<Effect>) {
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

    /// Gives up calls that nobody answers.
    pub(crate) fn on_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Orders {
        let due = |call: &Call| call.patience.is_some_and(|at| at <= now);
        let ids: Vec<CallId> = self.calls.iter().filter(|(_, call)| due(call)).map(|(id, _)| *id).collect();
        for id in &ids {
            if let Some(call) = self.calls.get_mut(id) {
                call.patience = None;
                call.gave_up = true;
            }
        }
        ids.into_iter().flat_map(|id| self.hang_up(id, now, out)).collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let at = self.calls.values().filter_map(|call| call.patience).min()?;
        Some(Deadline::new(at, "step 5: nobody answers"))
    }

    fn by_key(&mut self, key: CallKey) -> Option<(CallId, &mut Call)> {
        self.calls.iter_mut().find(|(_, call)| call.key == key).map(|(id, call)| (*id, call))
    }

    fn set_state(&mut self, id: CallId, state: CallState, out: &mut Outbox<Effect>) {
        if let Some(call) =
            self.calls.get_mut(&id).filter(|call| call.state != state || state == CallState::Dialling)
        {
            call.state = state;
            out.push(Effect::Emit(EventKind::CallState { call: id, state }));
        }
    }
}

impl Call {
    /// A key came.
    fn press(&mut self, digit: char) {
        if self.digits_received.len() < DIGITS_KEPT {
            self.digits_received.push(digit);
        }
    }

    /// May silence go unsent? Never in an emergency call: who listens there must hear that the line stands (RFC 6881 ED-73).
    fn suppresses(&self) -> bool {
        self.suppress && !self.emergency
    }

    /// What flows, and what was made ready to be added; media that were refused stay refused.
    fn capabilities(&self, hold: bool, desk: &Desk<'_>) -> Result<Capabilities, CallError> {
        let flows = |kind| self.media.streams.iter().any(|stream| stream.kind == kind);
        let ready =
            || self.ready.iter().filter(|medium| flows(medium.kind) || self.adding.contains(&medium.kind));
        let address = ready().next().map_or(desk.local, |medium| medium.ports.rtp.ip());
        call_media::capabilities(ready(), &desk.plan.media, &self.keys, address, hold)
    }

    /// What an INVITE of ours carries beside the offer.
    fn options(&self, desk: &Desk<'_>) -> CallOptions {
        let privacy = if self.extras.anonymous { Privacy::Anonymous } else { Privacy::Off };
        let mut options = CallOptions { privacy, ..CallOptions::default() };
        // What names a part must be told from that of every other message (RFC 2392).
        let name = |what: &str| format!("{what}.{}@{}.invalid", self.key.0, desk.plan.instance_id);
        let mut location = self.extras.location.as_ref();
        if self.emergency {
            location = location.or(desk.plan.emergency.location.as_ref());
            for (block, bytes) in &desk.plan.emergency.blocks {
                let (purpose, kind) = (
                    format!("EmergencyCallData.{block}"),
                    format!("application/EmergencyCallData.{block}+xml"),
                );
                options = options.with_block(&purpose, &kind, &name(block), bytes.clone());
            }
        }
        options.location =
            location.and_then(|location| location.to_sip(&desk.account.address, &name("location")));
        options
    }

    fn new(key: CallKey, incoming: bool, now: Instant) -> Self {
        Self {
            key,
            state: CallState::Dialling,
            incoming,
            target: None,
            offered: Vec::new(),
            wanted: Vec::new(),
            asked_at: now,
            sent_at: None,
            established_at: None,
            timings: CallTimings::default(),
            ready: Vec::new(),
            media: EstablishedMedia::default(),
            keys: Vec::new(),
            format: None,
            suppress: false,
            text_received: String::new(),
            digits_received: String::new(),
            digits: false,
            pictures_by_info: Some(false),
            hold: mid_call::Hold::default(),
            muted: Vec::new(),
            adding: Vec::new(),
            emergency: false,
            referred: false,
            transfer_of: None,
            extras: Extras::default(),
            proposing: false,
            patience: None,
            gave_up: false,
            end: None,
        }
    }
}

fn prepare(id: CallId, kinds: Vec<MediaKind>, desk: &Desk<'_>, out: &mut Outbox<Effect>) {
    let bind = desk.plan.media.bind.unwrap_or(desk.local);
    let (ports, _) = desk.account.rtp_ports.in_force();
    out.push(Effect::PrepareMedia { call: id, bind, ports, kinds });
}

fn nothing_to_carry() -> CallError {
    CallError::Media { why: "the call would carry neither audio nor text nor video".to_owned() }
}

/// Cuts the oldest characters off what is longer than [`TEXT_KEPT`].
fn keep_newest(text: &mut String) {
    if text.len() > TEXT_KEPT {
        let over = text.len() - TEXT_KEPT;
        let from = (over..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text.drain(..from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_text_is_kept() {
        let mut text = "é".repeat(TEXT_KEPT / 2);
        keep_newest(&mut text);
        assert_eq!(text.len(), TEXT_KEPT);
        text.push_str("end");
        keep_newest(&mut text);
        assert!(text.len() <= TEXT_KEPT && text.len() > TEXT_KEPT - 2, "{}", text.len());
        assert!(text.ends_with("éend") && text.starts_with('é'));
    }
}
