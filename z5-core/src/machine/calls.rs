//! Step 5: the calls of a session.
//!
//! A call is prepared (ports, keys, files), offered or answered through the user agent, carried by the media driver, and ends
//! with exactly one `CallFailed` or `CallEnded`. What ends a call never ends the session.

mod bitrate;
mod ending;
mod failure;
mod incoming;
mod licensed;
mod mid_call;
mod moving;
mod outgoing;
mod running;
mod stream;
mod transfer;

pub(crate) use bitrate::Limits;
pub(super) use bitrate::Shares;
pub(super) use failure::side;
pub(crate) use incoming::Incoming;
pub(super) use incoming::TEMPORARILY_UNAVAILABLE;
pub(super) use incoming::about;
pub(super) use incoming::kinds_of;
pub(super) use licensed::shares;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use z5_media::AudioFormat;
use z5_sip::outbox::Outbox;
use z5_sip::sdp::{Capabilities, Negotiated};
use z5_sip::ua::{self, CallKey};
use z5_sip::wire::Uri;

use super::call_media;
use super::io::{Effect, ReadyMedium, SrtpPlan};
use super::plan::Plan;
use super::register::LineAccount;
use crate::call::{CallId, EstablishedMedia, Side};
use crate::clock::{WallAnchor, ms};
use crate::error::CallError;
use crate::events::{CallState, CallTimings, EventKind, MediaKind};
use crate::location::Location;

/// What a call is answered with whose media cannot be carried here (section 21.4.26).
const NOT_ACCEPTABLE_HERE: u16 = 488;

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
    /// What comes goes back: text and keys by this machine, sound and pictures by the driver.
    echo: bool,
    /// The far end agreed to telephone events.
    digits: bool,
    /// The far end has been asked for a picture by INFO and has not refused; `None` once it has.
    pictures_by_info: Option<bool>,
    hold: mid_call::Hold,
    before: Option<mid_call::Before>,
    /// More was agreed on, while it rang, than the user took.
    left_over: bool,
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
    /// They are in an offer of ours that is open.
    add_offered: bool,
    /// When the far end has not answered until then, we give up.
    patience: Option<Instant>,
    place: moving::Place,
    /// How often that was offered and may not have been heard.
    place_tries: u8,
    /// Its media are bound to an address that is not ours any more, and that was told.
    stuck: bool,
    gave_up: bool,
    /// When it is over here, whether or not the far end has answered our end of it.
    over_by: Option<Instant>,
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
        if call.incoming && call.state == CallState::Ringing {
            return self.ring_with(id, outcome, desk);
        }
        let made = outcome.and_then(|ready| {
            // What it rang with holds on.
            let ready = if call.ready.is_empty() { ready } else { std::mem::take(&mut call.ready) };
            Ok((capabilities_of(&ready, call.emergency, desk)?, ready))
        });
        let (capabilities, ready) = match made {
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
        shares: Shares,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let Some((id, call)) = self.by_key(key) else { return Vec::new() };
        call.patience = None;
        call.established_at = Some(now);
        call.timings.setup_ms = call.sent_at.or(Some(call.asked_at)).map(|sent| ms(sent, now));
        let ending = call.state == CallState::Ending;
        match call_media::agreed(negotiated, &call.ready, call.suppresses(), shares.limits(call.emergency)) {
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
                call.left_over = call.incoming && negotiated.media.len() > media.streams.len() && !ending;
                if !ending {
                    self.set_state(id, CallState::Established, out);
                    out.push(Effect::StartMedia { call: id, streams });
                }
                out.push(Effect::Emit(EventKind::CallEstablished { call: id, media, timings }));
                Vec::new()
            }
        }
    }

    /// A call that rang with more than the user took: what is left over is closed.
    pub(crate) fn close_left_over(&mut self, key: CallKey, desk: &Desk<'_>) -> Orders {
        let Some((_, call)) = self.by_key(key) else { return Vec::new() };
        let left_over = std::mem::take(&mut call.left_over);
        match call.capabilities(false, desk) {
            Ok(offer) if left_over => {
                call.offers(false);
                vec![ua::Command::Renegotiate { call: key, offer }]
            }
            Ok(_) | Err(_) => Vec::new(),
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
        let (media, limits) = licensed::media(desk, self.emergency);
        call_media::capabilities(ready(), (&media, limits.opus), &self.keys, address, hold)
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
            echo: false,
            digits: false,
            pictures_by_info: Some(false),
            hold: mid_call::Hold::default(),
            before: None,
            left_over: false,
            muted: Vec::new(),
            adding: Vec::new(),
            emergency: false,
            referred: false,
            transfer_of: None,
            extras: Extras::default(),
            proposing: false,
            add_offered: false,
            patience: None,
            place: moving::Place::default(),
            place_tries: 0,
            stuck: false,
            gave_up: false,
            over_by: None,
            end: None,
        }
    }
}

/// What we can do on ports that were just made ready.
fn capabilities_of(
    ready: &[ReadyMedium],
    emergency: bool,
    desk: &Desk<'_>,
) -> Result<Capabilities, CallError> {
    let address = ready.first().map_or(desk.local, |medium| medium.ports.rtp.ip());
    let (media, limits) = licensed::media(desk, emergency);
    call_media::capabilities(ready, (&media, limits.opus), &[], address, false)
}

impl Calls {
    fn prepare(&self, id: CallId, kinds: Vec<MediaKind>, desk: &Desk<'_>, out: &mut Outbox<Effect>) {
        let media = &desk.plan.media;
        let bind = media.bind.unwrap_or(desk.local);
        let (ports, _) = desk.account.rtp_ports.in_force();
        // Who answers an emergency call may send from anywhere, which only a port of its own allows.
        let shared = media.shared_ports && !self.calls.get(&id).is_some_and(|call| call.emergency);
        out.push(Effect::PrepareMedia { call: id, bind, ports, kinds, shared });
    }
}

fn nothing_to_carry() -> CallError {
    CallError::Media { why: "the call would carry neither audio nor text nor video".to_owned() }
}
