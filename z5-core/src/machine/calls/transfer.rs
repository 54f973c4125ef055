//! Calls that change hands: handed over by us, handed over by the far end (REFER, RFC 3515), and incoming calls that take
//! another's place (Replaces, RFC 3891).

use z5_sip::outbox::Outbox;
use z5_sip::ua::{self, CallKey, TransferTarget};
use z5_sip::wire::Uri;

use super::licensed::licensed;
use super::{Call, Calls, Desk, Orders, nothing_to_carry};
use crate::call::CallId;
use crate::config::Profile;
use crate::error::CallError;
use crate::events::{CallState, EventKind, MediaKind};
use crate::machine::dial;
use crate::machine::io::{Effect, ReadyMedium, Wanted};

/// What a transfer is answered with that the user does not want (RFC 3261 section 21.6.2).
const DECLINE: u16 = 603;

impl Calls {
    /// Hands a call over to someone else; this side leaves when that has worked.
    pub(crate) fn transfer(
        &mut self,
        id: CallId,
        target: &str,
        desk: &Desk<'_>,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let carrier = desk.plan.profile == Profile::Z5;
        let target = dial::target(target, &desk.account.domain, carrier);
        let Some(call) = self.free(id, "transfer", out) else { return Vec::new() };
        match target {
            Ok(target) => {
                vec![ua::Command::Transfer { call: call.key, to: TransferTarget::Blind(target.uri) }]
            }
            Err(error) => {
                out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
                Vec::new()
            }
        }
    }

    /// Joins the far ends of two of our calls; this side leaves both when that has worked.
    pub(crate) fn connect(&mut self, id: CallId, other: CallId, out: &mut Outbox<Effect>) -> Orders {
        let Some(to) = self.free(other, "transfer", out).map(|call| call.key) else { return Vec::new() };
        let Some(call) = self.free(id, "transfer", out) else { return Vec::new() };
        vec![ua::Command::Transfer { call: call.key, to: TransferTarget::Attended(to) }]
    }

    /// A call that stands and may be handed over: one with emergency services may not (RFC 6881 ED-66).
    pub(super) fn free(
        &mut self,
        id: CallId,
        command: &'static str,
        out: &mut Outbox<Effect>,
    ) -> Option<&mut Call> {
        if self.standing(id, command, out)?.emergency {
            let error = CallError::Emergency { command };
            out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
            return None;
        }
        self.calls.get_mut(&id)
    }

    pub(crate) fn on_transfer_progress(
        &mut self,
        key: CallKey,
        status: u16,
        reason: String,
        out: &mut Outbox<Effect>,
    ) {
        if let Some((id, _)) = self.by_key(key) {
            out.push(Effect::Emit(EventKind::TransferProgress { call: id, status, reason }));
        }
    }

    /// The far end talks to someone else now; the user agent ends our call with it (RFC 5589 section 6.1).
    pub(crate) fn on_transferred(&mut self, key: CallKey, out: &mut Outbox<Effect>) {
        if let Some((id, _)) = self.by_key(key) {
            out.push(Effect::Emit(EventKind::Transferred { call: id }));
        }
    }

    pub(crate) fn on_transfer_failed(&mut self, key: CallKey, why: String, out: &mut Outbox<Effect>) {
        if let Some((id, _)) = self.by_key(key) {
            let error = CallError::TransferFailed { why };
            out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
        }
    }

    /// The far end wants us to talk to someone else.
    pub(crate) fn on_transfer_requested(
        &mut self,
        key: CallKey,
        target: &Uri,
        referred_by: Option<String>,
        out: &mut Outbox<Effect>,
    ) {
        let Some((id, call)) = self.by_key(key) else { return };
        call.referred = true;
        let target = target.as_str().to_owned();
        out.push(Effect::Emit(EventKind::TransferRequested { call: id, target, referred_by }));
    }

    /// The user follows: first ports, keys and files for the new call.
    pub(crate) fn accept_transfer(
        &mut self,
        id: CallId,
        new: CallId,
        wanted: Wanted,
        desk: &Desk<'_>,
        out: &mut Outbox<Effect>,
    ) {
        let kinds = match self.check_referred(id, wanted, desk) {
            Ok(kinds) => kinds,
            Err(error) => {
                out.push(Effect::ForgetWish { call: new });
                out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
                return;
            }
        };
        let Some(old) = self.calls.get_mut(&id) else { return };
        old.referred = false;
        let mut call = Call::new(CallKey(new.0), false, desk.now);
        call.transfer_of = Some(old.key);
        call.emergency = old.emergency;
        call.wanted.clone_from(&kinds);
        call.echo = wanted.echo;
        self.calls.insert(new, call);
        self.set_state(new, CallState::Dialling, out);
        self.prepare(new, kinds, desk, out);
    }

    fn check_referred(
        &self,
        id: CallId,
        wanted: Wanted,
        desk: &Desk<'_>,
    ) -> Result<Vec<MediaKind>, CallError> {
        let call = self.calls.get(&id).ok_or(CallError::UnknownCall { call: id.0 })?;
        if !call.referred {
            let command = "accept-transfer";
            return Err(CallError::WrongState { call: id.0, state: call.state.name(), command });
        }
        let kinds = licensed(wanted, desk)?;
        match kinds.is_empty() {
            true => Err(nothing_to_carry()),
            false => Ok(kinds),
        }
    }

    /// The user stays where they are.
    pub(crate) fn reject_transfer(&mut self, id: CallId, out: &mut Outbox<Effect>) -> Orders {
        match self.calls.get_mut(&id) {
            Some(call) if call.referred => {
                call.referred = false;
                vec![ua::Command::RejectTransfer { call: call.key, status: DECLINE }]
            }
            Some(call) => {
                let error = CallError::WrongState {
                    call: id.0,
                    state: call.state.name(),
                    command: "reject-transfer",
                };
                out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
                Vec::new()
            }
            None => self.unknown(id, out),
        }
    }

    /// The number that the application knows a call by.
    pub(crate) fn id_of(&self, key: CallKey) -> Option<CallId> {
        self.calls.iter().find(|(_, call)| call.key == key).map(|(id, _)| *id)
    }

    /// The far end offers more than flows, or other keys. A medium that is licensed and wanted is made ready first; keys
    /// of a running stream are taken over. Video is added only where it was wanted when the call was made or taken: nobody
    /// is seen by surprise.
    pub(crate) fn on_offered(
        &mut self,
        key: CallKey,
        offered: &[MediaKind],
        desk: &Desk<'_>,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let may = Wanted { audio: true, text: None, video: None, record: false, echo: false };
        let may = licensed(may, desk).unwrap_or_default();
        let Some((id, call)) = self.by_key(key) else { return Vec::new() };
        let runs = |kind| call.media.streams.iter().any(|stream| stream.kind == kind);
        let wanted = |kind: &MediaKind| match kind {
            MediaKind::Audio => true,
            MediaKind::Text => may.contains(kind) || call.echo && call.wanted.contains(kind),
            MediaKind::Video => call.wanted.contains(kind),
        };
        let added: Vec<MediaKind> =
            offered.iter().copied().filter(|kind| !runs(*kind) && wanted(kind)).collect();
        // While we are adding a medium ourselves, that comes first.
        if added.is_empty() || call.proposing {
            return self.answer_offer(id, desk, out);
        }
        call.adds(&added);
        self.prepare(id, added, desk, out);
        Vec::new()
    }

    /// What an offer within a call added is ready, or not; it is answered either way.
    pub(super) fn on_more_ready(
        &mut self,
        id: CallId,
        outcome: Result<Vec<ReadyMedium>, CallError>,
        desk: &Desk<'_>,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let Some(call) = self.calls.get_mut(&id) else { return Vec::new() };
        let failed = outcome.is_err();
        match outcome {
            Ok(ready) => call.ready.extend(ready),
            Err(error) => {
                call.adding.clear();
                out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
            }
        }
        if !call.proposing {
            return self.answer_offer(id, desk, out);
        }
        if failed {
            call.proposing = false;
            return Vec::new();
        }
        match call.capabilities(call.hold.local, desk) {
            Ok(offer) => {
                call.offers_addition();
                vec![ua::Command::Renegotiate { call: call.key, offer }]
            }
            Err(error) => {
                call.proposing = false;
                call.adding.clear();
                out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
                Vec::new()
            }
        }
    }

    /// Answers an offer within a call with everything that flows, and what was just made ready.
    pub(super) fn answer_offer(&mut self, id: CallId, desk: &Desk<'_>, out: &mut Outbox<Effect>) -> Orders {
        let Some(call) = self.calls.get(&id) else { return Vec::new() };
        match call.capabilities(call.hold.local, desk) {
            Ok(answer) => vec![ua::Command::AnswerOffer { call: call.key, answer }],
            Err(error) => {
                out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
                vec![ua::Command::RefuseOffer { call: call.key }]
            }
        }
    }
}
