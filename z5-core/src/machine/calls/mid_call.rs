//! What the user does in a call that stands: hold and resume, mute, keys.

use z5_sip::outbox::Outbox;
use z5_sip::ua::{self, CallFailure, CallKey};

use super::{Call, Calls, Desk, Orders, call_media};
use crate::call::CallId;
use crate::error::CallError;
use crate::events::{CallState, EventKind, MediaKind};
use crate::machine::io::{Effect, MediaChange, StreamPlan};

/// Who holds a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) local: bool,
    pub(super) remote: bool,
    /// What we asked the far end for and have no answer to.
    wanted: Option<bool>,
}

impl Hold {
    /// What an agreement says: a stream that we may not send on is held by the far end, one that we do not want to
    /// receive by us (RFC 3264 section 8.4).
    pub(super) fn after(self, streams: &[StreamPlan]) -> Self {
        let receives = streams.iter().any(|plan| plan.receive);
        let sends = streams.iter().any(|plan| plan.send);
        let agreed = self.wanted.filter(|hold| match hold {
            true => !receives,
            // one-way towards the far end is what our own hold left
            false => receives || !sends,
        });
        Self {
            local: agreed.unwrap_or(self.local),
            remote: !streams.is_empty() && !sends,
            wanted: self.wanted.filter(|_| agreed.is_none()),
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
        let Some(call) = self.standing(id, name, out) else { return Vec::new() };
        if call.hold.wanted.unwrap_or(call.hold.local) == hold {
            return Vec::new();
        }
        // media that were refused stay refused
        let agreed = |kind| call.media.streams.iter().any(|stream| stream.kind == kind);
        let ready = || call.ready.iter().filter(|medium| agreed(medium.kind));
        let address = ready().next().map_or(desk.local, |medium| medium.ports.rtp.ip());
        match call_media::capabilities(ready(), &desk.plan.media, address, hold) {
            Ok(offer) => {
                call.hold.wanted = Some(hold);
                vec![ua::Command::Renegotiate { call: call.key, offer }]
            }
            Err(error) => {
                out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
                Vec::new()
            }
        }
    }

    /// The far end did not agree to a change that we asked for; what flowed flows on.
    pub(crate) fn on_renegotiation_failed(
        &mut self,
        key: CallKey,
        failure: &CallFailure,
        out: &mut Outbox<Effect>,
    ) {
        let Some((id, call)) = self.by_key(key) else { return };
        call.hold.wanted = None;
        let error = CallError::ChangeRefused { why: failure.to_string() };
        out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
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
        let send = stream.send && !muted && !call.hold.local;
        let changes = vec![MediaChange { kind, send, receive: stream.receive, moved: None }];
        out.push(Effect::DirectMedia { call: id, changes });
        out.push(Effect::Emit(EventKind::CallMuted { call: id, kind, muted }));
    }

    /// Presses keys.
    pub(crate) fn send_digits(&mut self, id: CallId, digits: &str, out: &mut Outbox<Effect>) {
        let Some(call) = self.standing(id, "digits", out) else { return };
        let key = |digit: char| digit.is_ascii_digit() || matches!(digit, '*' | '#' | 'A'..='D' | 'a'..='d');
        let error = match digits.chars().find(|digit| !key(*digit)) {
            Some(digit) => CallError::BadDigit { digit },
            None if !call.digits => CallError::NoDigits { call: id.0 },
            None => {
                out.push(Effect::SendDigits { call: id, digits: digits.to_ascii_uppercase() });
                return;
            }
        };
        out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
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
