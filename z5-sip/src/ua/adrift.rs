//! Requests of calls that were lost with their flow before they were answered.
//!
//! A call goes on over the next flow (RFC 5626 section 4.4), and so does what it was about: an offer is made again, a BYE and a
//! PRACK are sent again, each as a new request with a new CSeq. One that had arrived all the same does no harm: the same offer
//! has the same version, a BYE of a call that is over and a PRACK of a response that is acknowledged are answered 481. Without
//! a flow for 64 x T1 nobody waits any more: the far end has given up as well.

use std::time::Instant;

use super::transactions::Owner;
use super::{CallFailure, Turn, UserAgent};
use crate::dialog::DialogId;
use crate::flow::FlowId;
use crate::request::Outline;
use crate::wire::Method;

/// How many may wait for a flow.
const AT_MOST: usize = 64;

/// A BYE or a PRACK.
pub(super) struct Adrift {
    owner: Owner,
    outline: Outline,
    dialog: DialogId,
    until: Instant,
}

impl UserAgent {
    /// Keeps a request whose flow was lost for the next one.
    pub(super) fn set_adrift(&mut self, number: u64, owner: Owner, turn: &Turn<'_>) {
        let Some(client) = self.transactions.clients.get(&number) else { return };
        let Some(dialog) = DialogId::of_sent(client.request()) else { return };
        self.keep(owner, client.outline.clone(), dialog, turn);
    }

    /// The same for one that has no flow to go out on at all.
    pub(super) fn keep(&mut self, owner: Owner, outline: Outline, dialog: DialogId, turn: &Turn<'_>) {
        let until = turn.now + self.config.timers.long();
        self.adrift.retain(|adrift| adrift.until > turn.now);
        if self.adrift.len() < AT_MOST {
            self.adrift.push(Adrift { owner, outline, dialog, until });
        }
    }

    /// An offer of ours was lost with its flow: it is made again over the next one, and has failed when none comes.
    pub(super) fn set_offer_adrift(&mut self, number: u64, owner: Owner, turn: &mut Turn<'_>) {
        let (Owner::Reinvite(key) | Owner::Update(key) | Owner::OfferingPrack(key)) = owner else { return };
        let elsewhere = self.calls.get(&key).and_then(|call| self.flow_of(call)).is_some();
        let by = if elsewhere { turn.now } else { turn.now + self.config.timers.long() };
        let offering = self.active(key).filter(|active| active.stands()).map(|active| &mut active.leg);
        let offering = offering.filter(|leg| leg.offering == Some(number) && !leg.refreshing);
        let Some(leg) = offering else {
            return self.on_offer_failed(key, number, CallFailure::ConnectionLost, turn);
        };
        leg.offering = None;
        leg.adrift = !elsewhere;
        leg.retry = leg.session.withdraw().map(|offer| (by, offer));
        self.dirty.push(super::schedule::Sleeper::Call(key));
    }

    /// A flow is there again.
    pub(super) fn pick_up(&mut self, flow: FlowId, turn: &mut Turn<'_>) {
        for adrift in std::mem::take(&mut self.adrift) {
            let Adrift { owner, mut outline, dialog, until } = adrift;
            let of_call = self.dialogs.get(&dialog).copied();
            let leg = of_call.and_then(|key| self.leg(key, &dialog));
            outline.cseq = match (&outline.method, leg) {
                _ if until <= turn.now => continue,
                (_, Some(leg)) => leg.dialog.next(Method::Options).cseq,
                (Method::Bye, None) => outline.cseq + 1,
                // Its call is over.
                (_, None) => continue,
            };
            // When it cannot go out there is nobody to tell.
            let _ = self.start_client(outline, flow, owner, turn);
        }
    }
}
