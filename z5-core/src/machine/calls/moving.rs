//! Calls that stand when this machine gets another address: their media go on from there, and the far end is told by an offer
//! with the new place of each medium (RFC 3261 section 14.1, RFC 3264 section 8.3.1). The user agent has moved their dialogs and
//! told our new Contact by then.
//!
//! An offer that meets another one of ours waits for its end, one that crosses the far end's (491) is made again by the user
//! agent, one that was lost with its connection over the next one, one that may not have been heard with the next registration.
//! When what is refused was asked for together with more (a hold, a medium), the place is offered alone. A far end that refuses that
//! is not asked again: it is told, and the call goes on as far as it can. Where `media.bind` names the address nothing is moved.

use z5_sip::outbox::Outbox;
use z5_sip::ua::{self, CallFailure};

use super::{Call, Calls, Desk, Orders};
use crate::call::CallId;
use crate::error::CallError;
use crate::events::{CallState, EventKind, MediaKind};
use crate::machine::io::{Effect, PortPair, ReadyMedium};

/// How often a place is offered of which nobody can say whether the far end has heard.
const PLACE_TRIES: u8 = 5;

/// Whether the far end knows where our media are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Known,
    /// It has to be offered.
    Untold,
    /// An offer of ours that says so is open.
    Offered,
    /// It was offered and may not have been heard: again with the next registration.
    Later,
}

impl Calls {
    /// Registered, perhaps elsewhere: what had to wait for that is offered again.
    pub(crate) fn on_registered(&mut self) {
        for call in self.calls.values_mut().filter(|call| call.place == Place::Later) {
            call.place = Place::Untold;
        }
    }

    /// Moves media that are bound to another address than the one at which we are reached, and offers what is left to be offered.
    pub(crate) fn follow_address(&mut self, desk: &Desk<'_>, out: &mut Outbox<Effect>) -> Orders {
        let (bind, (ports, _)) = (desk.local, desk.account.rtp_ports.in_force());
        if desk.plan.media.bind.is_some() || bind.is_unspecified() {
            return Vec::new();
        }
        let mut untold = Vec::new();
        for (id, call) in self.calls.iter().filter(|(_, call)| call.may_move()) {
            let elsewhere = |medium: &&ReadyMedium| {
                let ip = medium.ports.rtp.ip();
                ip != bind && ip.is_ipv4() == bind.is_ipv4() && call.runs(medium.kind)
            };
            let keys = |kind| call.keys.iter().find(|(of, _)| *of == kind).map(|(_, keys)| keys.clone());
            let streams = call.ready.iter().filter(elsewhere).map(|medium| (medium.kind, keys(medium.kind)));
            let streams: Vec<_> = streams.collect();
            match streams.is_empty() {
                true if call.place == Place::Untold => untold.push(*id),
                true => {}
                false => out.push(Effect::MoveMedia { call: *id, bind, ports, streams }),
            }
        }
        untold.into_iter().flat_map(|id| self.offer_place(id, desk, out)).collect()
    }

    /// Media go on elsewhere, or could not be moved. The latter is told once and tried again with the next registration.
    pub(crate) fn on_media_moved(
        &mut self,
        id: CallId,
        outcome: Result<Vec<(MediaKind, PortPair)>, CallError>,
        desk: &Desk<'_>,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.end.is_none()) else { return Vec::new() };
        match outcome {
            Err(error) => {
                if !std::mem::replace(&mut call.stuck, true) {
                    out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
                }
                Vec::new()
            }
            Ok(moved) if moved.is_empty() => Vec::new(),
            Ok(moved) => {
                for (kind, ports) in moved {
                    let of_it = call.ready.iter_mut().filter(|medium| medium.kind == kind);
                    of_it.for_each(|medium| medium.ports = ports);
                }
                (call.stuck, call.place, call.place_tries) = (false, Place::Untold, 0);
                self.offer_place(id, desk, out)
            }
        }
    }

    /// Offers what flows, where it is now.
    pub(super) fn offer_place(&mut self, id: CallId, desk: &Desk<'_>, out: &mut Outbox<Effect>) -> Orders {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.may_move()) else { return Vec::new() };
        match call.capabilities(call.hold.local, desk) {
            Ok(offer) => {
                call.offers(false);
                vec![ua::Command::Renegotiate { call: call.key, offer }]
            }
            Err(error) => {
                call.place = Place::Known;
                out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
                Vec::new()
            }
        }
    }
}

impl Call {
    /// It stands, and no medium is being added: that comes first.
    fn may_move(&self) -> bool {
        self.state == CallState::Established && self.end.is_none() && self.adding.is_empty()
    }

    /// The offer is answered.
    pub(super) fn place_known(&mut self) {
        if self.place == Place::Offered {
            self.place = Place::Known;
        }
    }

    /// The offer has failed. When a connection was lost, and a few times when it did not reach the far end (408, 503, no answer) or
    /// that had no time (491, 500), the next registration brings it again. When the far end may have refused what the offer was for
    /// in the first place (`for_more`), the place is offered alone, now. Else the far end does not agree.
    pub(super) fn place_refused(&mut self, failure: &CallFailure, for_more: bool) {
        if self.place != Place::Offered {
            return;
        }
        let lost = matches!(failure, CallFailure::NoFlow | CallFailure::ConnectionLost);
        let unheard = matches!(
            failure,
            CallFailure::TimedOut { .. }
                | CallFailure::NoAnswer { status: 408 }
                | CallFailure::Refused { status: 491 | 500 | 503, .. }
        );
        if unheard {
            self.place_tries = self.place_tries.saturating_add(1);
        }
        self.place = match lost || unheard && self.place_tries < PLACE_TRIES {
            true => Place::Later,
            false if for_more && !unheard => Place::Untold,
            false => Place::Known,
        };
    }
}
