//! The provisional answers to an outgoing call: one early dialog for each fork (RFC 3261 sections 12.1.2 and 13.2.2.1),
//! and the PRACK of those that are reliable (RFC 3262 section 4).

use super::call::{Cancel, Fork};
use super::compose::SDP;
use super::config::ReliableProvisionals;
use super::failure::CallFailure;
use super::leg::Leg;
use super::outgoing::is_sdp;
use super::schedule::Sleeper;
use super::transactions::Owner;
use super::types::{CallKey, Event};
use super::{Turn, UserAgent};
use crate::dialog::{Dialog, DialogId};
use crate::transaction::ClientInput;
use crate::wire::{Message, Method, Name};

/// Early dialogs of one call that are kept. A proxy that forks further is heard, but its further forks have no dialog
/// before they answer.
const MAX_FORKS: usize = 16;

impl UserAgent {
    pub(super) fn on_provisional(
        &mut self,
        key: CallKey,
        number: u64,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        let status = response.status().unwrap_or_default();
        let index = if status > 100 { self.fork_of(key, number, response) } else { None };
        // Even a call that is taken back acknowledges what it gets.
        let fresh = match index {
            Some(index) => self.acknowledge_provisional(key, number, index, response, turn),
            None => true,
        };
        let Some(calling) = self.calling(key, number) else { return };
        match calling.cancel {
            Cancel::Wanted => return self.send_cancel(key, turn),
            Cancel::Sent(_) => return,
            Cancel::No if status == 100 || !fresh => return,
            Cancel::No => {}
        }
        let session = match index {
            Some(index) => &calling.forks[index].leg.session,
            None => &calling.session,
        };
        // What a response says that may be lost is only a foretaste: the session goes on from the offer, and the 2xx
        // decides.
        let early_media = match (is_sdp(response), session.is_offering()) {
            (true, true) => session.clone().accept(response.body()).ok(),
            (true, false) => session.negotiated().cloned(),
            (false, _) => None,
        };
        let fork = index.and_then(|index| u32::try_from(index).ok()).unwrap_or_default();
        let reason = response.reason().unwrap_or_default().into_owned();
        turn.emit(Event::Progress { call: key, status, reason, early_media, fork });
    }

    /// The early dialog of a provisional response, which may be its first. `None` when it opens none.
    fn fork_of(&mut self, key: CallKey, number: u64, response: &Message) -> Option<usize> {
        let id = DialogId::of_response(response)?;
        let updatable = response.lists_token(Name::Allow, "UPDATE");
        let invite = self.transactions.clients.get(&number)?.request().clone();
        let calling = self.calling(key, number)?;
        if let Some(index) = calling.forks.iter().position(|fork| *fork.leg.dialog.id() == id) {
            let leg = &mut calling.forks[index].leg;
            leg.updatable |= updatable;
            leg.dialog.refresh_target(response);
            return Some(index);
        }
        if calling.forks.len() >= MAX_FORKS {
            return None;
        }
        let dialog = Dialog::from_response(&invite, response).ok()?;
        let leg = Leg::new(dialog, calling.session.clone(), updatable);
        calling.forks.push(Fork { leg, rseq: None });
        let index = calling.forks.len() - 1;
        self.dialogs.insert(id, key);
        Some(index)
    }

    /// Acknowledges a reliable provisional response. False for one that came before, or that comes too early: it is
    /// neither acknowledged nor looked at (RFC 3262 section 4).
    fn acknowledge_provisional(
        &mut self,
        key: CallKey,
        number: u64,
        index: usize,
        response: &Message,
        turn: &mut Turn<'_>,
    ) -> bool {
        let required = response.lists_token(Name::Require, "100rel");
        let rseq = response.rseq().ok().flatten();
        let Some(rseq) = rseq.filter(|_| required && self.reliable_wanted()) else { return true };
        let Some(client) = self.transactions.clients.get(&number) else { return false };
        let (flow, Ok(cseq)) = (self.principal(client.flow), client.request().cseq()) else { return false };
        let Some(calling) = self.calling(key, number) else { return false };
        let Some(fork) = calling.forks.get_mut(index) else { return false };
        if fork.rseq.is_some_and(|last| last.checked_add(1) != Some(rseq)) {
            return false;
        }
        fork.rseq = Some(rseq);
        let session = &mut fork.leg.session;
        let mut unusable = None;
        let mut body = None;
        if is_sdp(response) {
            if session.is_offering() && fork.leg.offering.is_none() {
                unusable = session.accept(response.body()).err();
            } else if session.negotiated().is_none() {
                // Our INVITE had no offer: this is one, and its answer goes with the PRACK.
                match session.answer(response.body()) {
                    Ok((answer, _)) => body = Some(answer),
                    Err(failure) => unusable = Some(failure),
                }
            }
        }
        let held = if body.is_none() && fork.leg.may_hold() { fork.leg.held.take() } else { None };
        // An offer of our own, to be answered in the 200 of the PRACK (section 5).
        let offers = held.is_some();
        if let Some(offer) = held {
            body = Some(fork.leg.session.offer(offer));
        }
        let mut outline = fork.leg.dialog.next(Method::Prack);
        outline = outline.with(Name::RAck, format!("{rseq} {} INVITE", cseq.number));
        outline.body = body.map(|body| (SDP.into(), body.into()));
        let outline = self.signed(outline);
        // When it cannot go out, the far end repeats its response or gives the call up.
        let owner = if offers { Owner::OfferingPrack(key) } else { Owner::Prack };
        let started = self.start_client(outline, flow, owner, turn);
        if let Some(calling) = self.calling(key, number).filter(|_| offers)
            && let Some(fork) = calling.forks.get_mut(index)
        {
            fork.leg.refreshing = false;
            match started {
                Ok(prack) => fork.leg.offering = Some(prack),
                Err(_) => drop(fork.leg.session.withdraw()),
            }
        }
        if let (Some(failure), Some(calling)) = (unusable, self.calling(key, number)) {
            calling.unusable.get_or_insert(CallFailure::Negotiation(failure));
            self.cancel_calling(key, turn);
            return false;
        }
        true
    }

    /// Our PRACK with an offer is answered. What refuses it refuses the offer; the dialog goes on.
    pub(super) fn on_prack_final(
        &mut self,
        key: CallKey,
        number: u64,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        let stands = self.active(key).is_some();
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Some(leg) = call.legs_mut().find(|leg| leg.offering == Some(number)) else { return };
        leg.offering = None;
        self.dirty.push(Sleeper::Call(key));
        let outcome = match response.status().unwrap_or_default() {
            200..300 if is_sdp(response) => {
                leg.session.accept(response.body()).map_err(CallFailure::Negotiation)
            }
            200..300 => Err(CallFailure::NoAnswerDescription),
            // Both ends offered at once: it goes with the next PRACK, or once the call stands.
            491 if !stands => {
                leg.held = leg.session.withdraw();
                return;
            }
            _ => Err(CallFailure::from_response(response)),
        };
        match outcome {
            Ok(negotiated) => turn.emit(Event::Renegotiated { call: key, negotiated, by_us: true }),
            Err(failure) => {
                leg.session.withdraw();
                turn.emit(Event::RenegotiationFailed { call: key, failure });
            }
        }
    }

    /// Whether this end knows reliable provisional responses.
    fn reliable_wanted(&self) -> bool {
        self.config.reliable_provisionals != ReliableProvisionals::Off
    }

    /// The early dialogs of a call are over, but for the one with this id, which is handed out.
    pub(super) fn drop_forks(
        &mut self,
        key: CallKey,
        number: u64,
        keep: Option<&DialogId>,
        turn: &mut Turn<'_>,
    ) -> Option<Fork> {
        let forks = std::mem::take(&mut self.calling(key, number)?.forks);
        let mut kept: Option<Fork> = None;
        let mut held = None;
        for mut fork in forks {
            if Some(fork.leg.dialog.id()) == keep {
                kept = Some(fork);
            } else {
                held = held.or(fork.leg.held.take());
                self.forget_leg(&fork.leg, turn);
            }
        }
        // What we want holds for whoever takes the call.
        if let Some(kept) = &mut kept {
            kept.leg.held = kept.leg.held.take().or(held);
        }
        kept
    }

    /// A dialog is over: it is found no more, and what waits for an answer in it gets one (RFC 3261 section 15.1.2).
    pub(super) fn forget_leg(&mut self, leg: &Leg, turn: &mut Turn<'_>) {
        self.dialogs.remove(leg.dialog.id());
        self.remember_ended(leg.dialog.id().clone());
        if let Some(asked) = &leg.asked {
            self.respond(asked.server, 487, turn, |builder| builder);
        }
        // Nobody waits for the answer to an offer of ours, and who has lost its own flow gives none.
        if let Some(number) = leg.offering {
            self.turn_client(number, ClientInput::Abandon, turn);
        }
    }
}
