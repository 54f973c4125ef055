//! Calls that come in: rung, taken or turned down.

use std::time::{Duration, Instant};

use z5_sip::outbox::Outbox;
use z5_sip::sdp::{MediaKind as SdpKind, OfferSummary};
use z5_sip::ua::{self, BodyPart, CallInfo, CallKey};
use z5_sip::wire::Uri;

use super::licensed::{self, check_licence, licensed};
use super::{Call, Calls, Desk, Orders, capabilities_of, nothing_to_carry};
use crate::call::{CallId, Refusal};
use crate::config::Profile;
use crate::error::CallError;
use crate::events::{About, CallState, EventKind, MediaKind};
use crate::machine::dial;
use crate::machine::io::{Effect, ReadyMedium, Wanted};

/// What an incoming call is answered with that the licence has no room for (RFC 3261 section 21.4.24).
const BUSY_HERE: u16 = 486;
/// What a call is answered with while none is taken: before the session is ready, while it leaves, after the licence ran out
/// (section 21.4.18).
pub(in crate::machine) const TEMPORARILY_UNAVAILABLE: u16 = 480;
/// What a rejected call is answered with (section 21.6.2).
const DECLINE: u16 = 603;

/// A call that comes in.
pub(crate) struct Incoming {
    pub(crate) key: CallKey,
    pub(crate) from: Uri,
    pub(crate) display_name: Option<String>,
    pub(crate) offered: OfferSummary,
    /// The caller hears that it rings only with our offer (RFC 3262 section 5).
    pub(crate) ring_with_offer: bool,
    pub(crate) replaces: Option<CallKey>,
    pub(crate) asserted: Option<Uri>,
    pub(crate) about: Vec<About>,
}

/// What a far end says about itself or the call (Call-Info), with the part that it refers to.
pub(in crate::machine) fn about(infos: Vec<CallInfo>, parts: &[BodyPart]) -> Vec<About> {
    let about = |info: CallInfo| {
        let part = info.uri.as_str().split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("cid"));
        let part = part.and_then(|(_, id)| parts.iter().find(|part| part.content_id.as_deref() == Some(id)));
        About {
            purpose: info.purpose,
            uri: info.uri.as_str().to_owned(),
            content_type: part.map(BodyPart::media_type),
            content: part.map(|part| String::from_utf8_lossy(part.body.as_bytes()).into_owned()),
        }
    };
    infos.into_iter().map(about).collect()
}

/// For how long after an emergency call its far end may call back whatever the licence says. RFC 6881 ED-68 keeps
/// other obstacles away for about as long.
const CALL_BACK: Duration = Duration::from_secs(30 * 60);

impl Calls {
    /// Whether an emergency call was made a short while ago.
    fn awaits_call_back(&self, now: Instant) -> bool {
        self.emergency_at.is_some_and(|at| now.saturating_duration_since(at) < CALL_BACK)
    }

    /// Someone calls.
    pub(crate) fn on_incoming(
        &mut self,
        id: CallId,
        incoming: Incoming,
        desk: &Desk<'_>,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let Incoming { key, from, display_name, offered, ring_with_offer, replaces, asserted, about } =
            incoming;
        let replaces = replaces.and_then(|key| self.id_of(key));
        // Emergency services that call back ask for no licence (RFC 6881 ED-69).
        let called_back = self.awaits_call_back(desk.now);
        if !called_back && check_licence(desk).is_err() {
            return vec![ua::Command::Reject { call: key, status: TEMPORARILY_UNAVAILABLE }];
        }
        if let Some(licence) = desk.account.licence.as_ref().filter(|_| !called_back) {
            // One that takes another's place needs no room of its own.
            if replaces.is_none() && self.calls.len() >= licence.max_calls() as usize {
                return vec![ua::Command::Reject { call: key, status: BUSY_HERE }];
            }
        }
        let mut call = Call::new(key, true, desk.now);
        // An INVITE without a description leaves the offer to us: everything may come.
        call.offered = match offered.media.is_empty() {
            true => KINDS.map(|(kind, _)| kind).to_vec(),
            false => kinds_of(&offered),
        };
        // Whose ringing must bring our offer gets what needs no camera; pictures can be added.
        let usual = Wanted { audio: true, text: None, video: Some(false), record: false, echo: false };
        let rung_with = match ring_with_offer {
            true => licensed(usual, desk).unwrap_or_default(),
            false => Vec::new(),
        };
        if !rung_with.is_empty() {
            call.offered.retain(|kind| rung_with.contains(kind));
        }
        let offers = |kind| call.offered.contains(&kind);
        let [audio, text, video] = KINDS.map(|(kind, _)| offers(kind));
        self.calls.insert(id, call);
        self.set_state(id, CallState::Ringing, out);
        let from = from.as_str().to_owned();
        let asserted = asserted.map(|uri| uri.as_str().to_owned());
        out.push(Effect::Emit(EventKind::Incoming {
            call: id,
            from,
            display_name,
            asserted,
            about,
            replaces,
            audio,
            text,
            video,
        }));
        if !rung_with.is_empty() {
            self.prepare(id, rung_with, desk, out);
            return Vec::new();
        }
        vec![ua::Command::Ring { call: key, offer: None }]
    }

    /// Ports and keys of a call that rings with our offer are there, or not: then it rings without, which is better than not
    /// to ring at all.
    pub(super) fn ring_with(
        &mut self,
        id: CallId,
        outcome: Result<Vec<ReadyMedium>, CallError>,
        desk: &Desk<'_>,
    ) -> Orders {
        let Some(call) = self.calls.get_mut(&id) else { return Vec::new() };
        let made = outcome.and_then(|ready| Ok((capabilities_of(&ready, call.emergency, desk)?, ready)));
        let offer = made.ok().map(|(offer, ready)| {
            call.ready = ready;
            offer
        });
        vec![ua::Command::Ring { call: call.key, offer }]
    }

    /// Who takes our call says something about themselves.
    pub(crate) fn on_call_info(&mut self, key: CallKey, about: Vec<About>, out: &mut Outbox<Effect>) {
        if let Some((id, _)) = self.by_key(key) {
            out.push(Effect::Emit(EventKind::CallInfo { call: id, about }));
        }
    }

    /// The user takes an incoming call.
    pub(crate) fn answer(&mut self, id: CallId, wanted: Wanted, desk: &Desk<'_>, out: &mut Outbox<Effect>) {
        let echo = wanted.echo;
        let wanted = match self.check_answer(id, wanted, desk) {
            Ok(wanted) => wanted,
            Err(error) => {
                out.push(Effect::ForgetWish { call: id });
                out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
                return;
            }
        };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let mut kinds = accepted(call, &wanted);
        call.wanted = wanted;
        call.echo = echo;
        // Our offer is out already, with its ports: only the sources are missing.
        if !call.ready.is_empty() {
            call.ready.retain(|medium| kinds.contains(&medium.kind));
            kinds.clear();
        }
        call.asked_at = desk.now;
        self.set_state(id, CallState::Answering, out);
        self.prepare(id, kinds, desk, out);
    }

    /// Whether the call can be taken like this, and what it may carry.
    fn check_answer(&self, id: CallId, wanted: Wanted, desk: &Desk<'_>) -> Result<Vec<MediaKind>, CallError> {
        let call = self.calls.get(&id).ok_or(CallError::UnknownCall { call: id.0 })?;
        if !call.incoming || call.state != CallState::Ringing {
            return Err(CallError::WrongState { call: id.0, state: call.state.name(), command: "answer" });
        }
        let wanted = match self.awaits_call_back(desk.now) {
            true => licensed::configured(wanted, desk),
            false => {
                check_licence(desk)?;
                licensed(wanted, desk)?
            }
        };
        match accepted(call, &wanted).is_empty() {
            true => Err(nothing_to_carry()),
            false => Ok(wanted),
        }
    }

    /// The user does not take an incoming call.
    pub(crate) fn reject(
        &mut self,
        id: CallId,
        how: &Refusal,
        desk: Option<&Desk<'_>>,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        match self.calls.get(&id) {
            Some(call) if call.incoming && call.state == CallState::Ringing => {
                let with = |status| vec![ua::Command::Reject { call: call.key, status }];
                match how {
                    Refusal::Decline => with(DECLINE),
                    Refusal::Busy => with(BUSY_HERE),
                    Refusal::Unavailable => with(TEMPORARILY_UNAVAILABLE),
                    // who leaves has no domain any more that a name could belong to
                    Refusal::Redirect(target) => {
                        let domain = desk.map_or("", |desk| desk.account.domain.as_str());
                        let carrier = desk.is_some_and(|desk| desk.plan.profile == Profile::Z5);
                        match dial::target(target, domain, carrier) {
                            Ok(target) => vec![ua::Command::Redirect { call: call.key, to: target.uri }],
                            Err(error) => {
                                out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
                                Vec::new()
                            }
                        }
                    }
                }
            }
            Some(call) => {
                let error = CallError::WrongState { call: id.0, state: call.state.name(), command: "reject" };
                out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
                Vec::new()
            }
            None => self.unknown(id, out),
        }
    }
}

/// What a call can carry, by our name and that of session descriptions.
const KINDS: [(MediaKind, SdpKind); 3] = [
    (MediaKind::Audio, SdpKind::Audio),
    (MediaKind::Text, SdpKind::Text),
    (MediaKind::Video, SdpKind::Video),
];

/// What a description offers of the media that a call can carry.
pub(in crate::machine) fn kinds_of(offered: &OfferSummary) -> Vec<MediaKind> {
    let offers = |kind| offered.media.iter().any(|media| media.kind == Some(kind) && !media.closed);
    KINDS.into_iter().filter_map(|(kind, named)| offers(named).then_some(kind)).collect()
}

/// What was offered and is wanted.
fn accepted(call: &Call, wanted: &[MediaKind]) -> Vec<MediaKind> {
    call.offered.iter().copied().filter(|kind| wanted.contains(kind)).collect()
}
