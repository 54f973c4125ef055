//! What the user does in a call that stands: hold and resume, mute, keys.

use z5_sip::outbox::Outbox;
use z5_sip::ua::{self, CallFailure, CallKey, Info};

use super::licensed::licensed;
use super::moving::Place;
use super::{Call, Calls, Desk, Orders};
use crate::call::CallId;
use crate::error::CallError;
use crate::events::{CallState, EventKind, MediaKind};
use crate::machine::io::{Effect, MediaChange, StreamPlan, Wanted};

/// How long a key is pressed that goes by INFO, in milliseconds (RFC 7874 section 4: 100 by default).
const KEY_MS: u16 = 100;

/// Who holds a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) local: bool,
    pub(super) remote: bool,
    /// What we asked the far end for and have no answer to.
    wanted: Option<bool>,
    /// What the user wants next: said while an offer was open.
    next: Option<bool>,
}

/// How it was before the last offer of ours, should that not go out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    /// The offer was for hold or resume.
    hold: bool,
    wanted: Option<bool>,
    adding: bool,
    place: Place,
}

impl Hold {
    /// What an agreement says: a stream that we may not send on is held by the far end (RFC 3264 section 8.4). Whether we hold is
    /// for the answer to our own offer to say, whatever the far end makes of its direction.
    pub(super) fn after(self, streams: &[StreamPlan], by_us: bool) -> Self {
        let sends = streams.iter().any(|plan| plan.send);
        let agreed = self.wanted.filter(|_| by_us);
        Self {
            local: agreed.unwrap_or(self.local),
            remote: !streams.is_empty() && !sends,
            wanted: self.wanted.filter(|_| !by_us),
            ..self
        }
    }
}

impl Calls {
    /// Holds a call, or takes it off hold.
    pub(crate) fn hold(
        &mut self,
        id: CallId,
        hold: bool,
        desk: &Desk<'_>,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let name = if hold { "hold" } else { "resume" };
        let Some(call) = self.free(id, name, out) else { return Vec::new() };
        let Hold { local, wanted, next, .. } = call.hold;
        if next.or(wanted).unwrap_or(local) == hold {
            return Vec::new();
        }
        match call.capabilities(hold, desk) {
            Ok(offer) => {
                call.offers(true);
                call.hold = Hold { wanted: Some(hold), next: None, ..call.hold };
                call.add_offered = call.has_proposal();
                vec![ua::Command::Renegotiate { call: call.key, offer }]
            }
            Err(error) => {
                out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
                Vec::new()
            }
        }
    }

    /// Another offer is open: a hold, a resume or a medium to be added waits for its end.
    pub(crate) fn on_offer_refused(&mut self, key: CallKey) {
        let Some((_, call)) = self.by_key(key) else { return };
        let Some(before) = call.before.take() else { return };
        (call.add_offered, call.place) = (before.adding, before.place);
        if before.hold {
            let wanted = std::mem::replace(&mut call.hold.wanted, before.wanted);
            // It may be what is asked for already.
            call.hold.next = wanted.filter(|_| wanted != before.wanted);
        }
    }

    /// No offer is open any more: what the user has wanted since is asked for now, all of it in one offer.
    pub(crate) fn on_may_offer(&mut self, key: CallKey, desk: &Desk<'_>, out: &mut Outbox<Effect>) -> Orders {
        let Some((id, call)) = self.by_key(key) else { return Vec::new() };
        let next = call.hold.next.take();
        let orders = next.map(|hold| self.hold(id, hold, desk, out)).unwrap_or_default();
        if !orders.is_empty() {
            return orders;
        }
        let waits = |call: &Call| call.has_proposal() && !call.add_offered;
        let Some((_, call)) = self.by_key(key).filter(|(_, call)| waits(call)) else {
            let untold = self.by_key(key).filter(|(_, call)| call.place == Place::Untold);
            return untold.map(|(id, _)| id).map(|id| self.offer_place(id, desk, out)).unwrap_or_default();
        };
        match call.capabilities(call.hold.local, desk) {
            Ok(offer) => {
                call.offers_addition();
                vec![ua::Command::Renegotiate { call: key, offer }]
            }
            Err(error) => {
                call.drop_proposal();
                out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
                Vec::new()
            }
        }
    }

    /// The far end did not agree to a change that we asked for; what flowed flows on. That our media are elsewhere by now is not what
    /// it refused, when it was asked for more: [`Calls::follow_address`] then offers that alone.
    pub(crate) fn on_renegotiation_failed(
        &mut self,
        key: CallKey,
        failure: &CallFailure,
        out: &mut Outbox<Effect>,
    ) {
        let Some((id, call)) = self.by_key(key) else { return };
        let held = call.hold.wanted.take().is_some();
        call.place_refused(failure, held || call.add_offered);
        // What has not been offered yet will be.
        if call.add_offered {
            call.drop_proposal();
        }
        let error = CallError::ChangeRefused { why: failure.to_string() };
        out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
    }

    /// Adds a medium to a call: first its port and key, then the offer.
    pub(crate) fn add(&mut self, id: CallId, kind: MediaKind, desk: &Desk<'_>, out: &mut Outbox<Effect>) {
        let wanted = |other| Some(kind == other);
        let wanted = Wanted {
            audio: kind == MediaKind::Audio,
            text: wanted(MediaKind::Text),
            video: wanted(MediaKind::Video),
            record: false,
            echo: false,
        };
        let licensed = licensed(wanted, desk);
        let Some(call) = self.standing(id, "add", out) else { return };
        let flows = call.media.streams.iter().any(|stream| stream.kind == kind);
        let refused = match licensed {
            Err(error) => Some(error),
            Ok(_) if flows => {
                Some(CallError::Media { why: format!("the call carries {} already", kind.name()) })
            }
            Ok(_) if !call.adding.is_empty() => {
                Some(CallError::Media { why: "another medium is being added".to_owned() })
            }
            Ok(_) => None,
        };
        if let Some(error) = refused {
            return out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
        }
        call.adds(&[kind]);
        call.proposing = true;
        if !call.wanted.contains(&kind) {
            call.wanted.push(kind);
        }
        self.prepare(id, vec![kind], desk, out);
    }

    /// The far end's answer is here: a medium that we wanted and that does not flow is told and forgotten.
    pub(super) fn settle_proposal(&mut self, id: CallId, out: &mut Outbox<Effect>) {
        let asked = |call: &&mut Call| call.proposing && call.add_offered;
        let Some(call) = self.calls.get_mut(&id).filter(asked) else { return };
        (call.proposing, call.add_offered) = (false, false);
        let flows = |kind: &MediaKind| call.media.streams.iter().any(|stream| stream.kind == *kind);
        let missing: Vec<MediaKind> = call.adding.drain(..).filter(|kind| !flows(kind)).collect();
        call.ready.retain(|medium| !missing.contains(&medium.kind));
        for kind in missing {
            let why = format!("the far end did not agree to {}", kind.name());
            out.push(Effect::Emit(EventKind::CallTrouble {
                call: id,
                error: CallError::ChangeRefused { why },
            }));
        }
    }

    /// Another source is sent of a medium that flows; the far end is told nothing.
    pub(crate) fn switch_source(&mut self, id: CallId, kind: MediaKind, out: &mut Outbox<Effect>) {
        let Some(call) = self.standing(id, "source", out) else { return };
        if call.runs(kind) {
            out.push(Effect::SwitchSource { call: id, kind });
        } else {
            let error = CallError::Media { why: format!("the call carries no {}", kind.name()) };
            out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
        }
    }

    /// Sends nothing of a medium, or sends it again; the far end is told nothing.
    pub(crate) fn mute(&mut self, id: CallId, kind: MediaKind, muted: bool, out: &mut Outbox<Effect>) {
        let Some(call) = self.standing(id, "mute", out) else { return };
        let Some(stream) = call.media.streams.iter().find(|stream| stream.kind == kind) else {
            let why = format!("the call carries no {}", kind.name());
            let error = CallError::Media { why };
            out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
            return;
        };
        if call.muted.contains(&kind) == muted {
            return;
        }
        call.muted.retain(|other| *other != kind);
        if muted {
            call.muted.push(kind);
        }
        if kind == MediaKind::Video {
            // Who signs must see that it is intended: a blank picture, not a frozen one (RFC 9248 section 6.7).
            out.push(Effect::Privacy { call: id, private: muted });
            out.push(Effect::Emit(EventKind::CallMuted { call: id, kind, muted }));
            return;
        }
        let send = stream.send && !muted && !call.hold.local;
        let changes =
            vec![MediaChange { kind, send, receive: stream.receive, moved: None, srtp: None, format: None }];
        out.push(Effect::DirectMedia { call: id, changes });
        out.push(Effect::Emit(EventKind::CallMuted { call: id, kind, muted }));
    }

    /// Presses keys: in the sound (RFC 4733), or by INFO where the far end has no telephone events.
    pub(crate) fn send_digits(&mut self, id: CallId, digits: &str, out: &mut Outbox<Effect>) -> Orders {
        let Some(call) = self.standing(id, "digits", out) else { return Vec::new() };
        let key = |digit: char| digit.is_ascii_digit() || matches!(digit, '*' | '#' | 'A'..='D' | 'a'..='d');
        match digits.chars().find(|digit| !key(*digit)) {
            Some(digit) => {
                let error = CallError::BadDigit { digit };
                out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
                Vec::new()
            }
            None if call.digits => {
                out.push(Effect::SendDigits { call: id, digits: digits.to_ascii_uppercase() });
                Vec::new()
            }
            // The far end has no telephone events: by signalling, then.
            None => {
                let order = |digit: char| ua::Command::SendInfo {
                    call: call.key,
                    info: Info::Dtmf { digit: digit.to_ascii_uppercase(), duration_ms: KEY_MS },
                };
                digits.chars().map(order).collect()
            }
        }
    }

    /// The far end says something by INFO: a key counts like one that came with the sound.
    pub(crate) fn on_info(&mut self, key: CallKey, info: &Info, out: &mut Outbox<Effect>) -> Orders {
        let Some((id, call)) = self.by_key(key) else { return Vec::new() };
        match info {
            Info::Dtmf { digit, duration_ms } => {
                call.press(*digit);
                let duration_ms = u64::from(*duration_ms);
                out.push(Effect::Emit(EventKind::Digit { call: id, digit: *digit, duration_ms }));
                return self.give_back_key(id, *digit, out);
            }
            Info::PictureFastUpdate if call.runs(MediaKind::Video) => {
                out.push(Effect::SendKeyFrame { call: id });
            }
            Info::PictureFastUpdate | Info::Other { .. } => {}
        }
        Vec::new()
    }

    /// The far end does not take what we said by INFO. Whoever refuses to make a picture is not asked again (RFC 5168 section
    /// 5); one that was not reached (408, 503) or had no time (500) is.
    pub(crate) fn on_info_failed(&mut self, key: CallKey, status: u16) {
        let Some((_, call)) = self.by_key(key) else { return };
        if call.pictures_by_info == Some(true) && !matches!(status, 408 | 500 | 503) {
            call.pictures_by_info = None;
        }
    }

    /// The call, when it stands; tells the application when it does not.
    pub(super) fn standing(
        &mut self,
        id: CallId,
        command: &'static str,
        out: &mut Outbox<Effect>,
    ) -> Option<&mut Call> {
        let error = match self.calls.get(&id) {
            None => CallError::UnknownCall { call: id.0 },
            Some(call) if call.state != CallState::Established => {
                CallError::WrongState { call: id.0, state: call.state.name(), command }
            }
            Some(_) => return self.calls.get_mut(&id),
        };
        out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
        None
    }
}

impl Call {
    /// Media are made ready to be added. Ports that the same ones had before were given back when they were refused.
    pub(super) fn adds(&mut self, kinds: &[MediaKind]) {
        self.ready.retain(|medium| !kinds.contains(&medium.kind));
        self.adding = kinds.to_vec();
    }

    /// Forgets a medium that was to be added.
    fn drop_proposal(&mut self) {
        self.add_offered = false;
        if std::mem::take(&mut self.proposing) {
            let missing = std::mem::take(&mut self.adding);
            self.ready.retain(|medium| !missing.contains(&medium.kind));
        }
    }

    /// Whether a medium that we want to add is ready to be offered.
    fn has_proposal(&self) -> bool {
        let ready = |kind: &MediaKind| self.ready.iter().any(|medium| medium.kind == *kind);
        self.proposing && self.adding.iter().all(ready)
    }

    /// Notes that the offer which goes out now is for a medium that we add.
    pub(super) fn offers_addition(&mut self) {
        self.offers(false);
        self.add_offered = true;
    }

    /// Notes that an offer goes out now, for hold or resume or for something else. Any of them says where our media are.
    pub(super) fn offers(&mut self, hold: bool) {
        let (wanted, adding, place) = (self.hold.wanted, self.add_offered, self.place);
        self.before = Some(Before { hold, wanted, adding, place });
        if place != Place::Known {
            self.place = Place::Offered;
        }
    }

    /// Asks the far end for a picture by INFO (RFC 5168): RTCP could not, or was not heard.
    pub(super) fn ask_for_picture(&mut self) -> Orders {
        if self.pictures_by_info.is_none() || self.state != CallState::Established || self.hold.local {
            return Vec::new();
        }
        self.pictures_by_info = Some(true);
        vec![ua::Command::SendInfo { call: self.key, info: Info::PictureFastUpdate }]
    }

    /// Whether a medium flows, or is on hold.
    pub(super) fn runs(&self, kind: MediaKind) -> bool {
        self.media.streams.iter().any(|stream| stream.kind == kind)
    }

    /// Whether what we may send of a medium is sent. Video that is muted is: a blank picture.
    pub(super) fn is_sent(&self, kind: MediaKind) -> bool {
        kind == MediaKind::Video || !self.muted.contains(&kind)
    }
}
