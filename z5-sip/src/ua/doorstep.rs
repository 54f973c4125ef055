//! Requests that come while the binding they come by is still being made.
//!
//! Over UDP an INVITE or a NOTIFY may overtake the 200 that says so, and the registrar may route to us the moment it holds the
//! binding. Such requests wait for that 200, an INVITE with a 100: then they are served like any other, or refused as what comes
//! on a flow without a binding is. They have their transactions already, so repetitions and a CANCEL find them.

use super::{Turn, UserAgent};
use crate::flow::FlowId;
use crate::multipart::BodyPart;
use crate::wire::{Message, Method};

/// How many may wait. A registrar that has more for us than this before its own answer means no good.
const AT_MOST: usize = 16;

/// A request that waits.
pub(super) struct Guest {
    /// Its transaction.
    number: u64,
    flow: FlowId,
    request: Message,
    /// The other parts of its body.
    parts: Vec<BodyPart>,
}

impl UserAgent {
    /// Whether requests on this flow will be welcome if the REGISTER that is on its way is granted.
    fn is_expected(&self, flow: FlowId) -> bool {
        let flow = self.principal(flow);
        self.bindings.values().any(|binding| binding.is_made_over(flow))
    }

    /// Lets a request wait that nobody may make yet. False when there is nothing to wait for.
    pub(super) fn let_wait(
        &mut self,
        flow: FlowId,
        number: u64,
        request: &Message,
        turn: &mut Turn<'_>,
    ) -> bool {
        if !self.is_expected(flow) || self.doorstep.len() >= AT_MOST {
            return false;
        }
        if request.method() == Some(Method::Invite) {
            self.respond(number, 100, turn, |builder| builder);
        }
        let parts = std::mem::take(&mut self.parts);
        self.doorstep.push(Guest { number, flow, request: request.clone(), parts });
        true
    }

    /// After every turn: who waits is let in or sent away, once it is known which.
    pub(super) fn answer_doorstep(&mut self, turn: &mut Turn<'_>) {
        if self.doorstep.is_empty() {
            return;
        }
        for guest in std::mem::take(&mut self.doorstep) {
            let Guest { number, flow, ref request, .. } = guest;
            if !self.transactions.servers.contains_key(&number) {
                // Its flow is gone.
            } else if self.is_welcome(flow, turn) {
                let request = request.clone();
                self.parts = guest.parts;
                self.serve(flow, number, request, turn);
            } else if self.is_expected(flow) {
                self.doorstep.push(guest);
            } else {
                self.turn_away(flow, number, turn);
            }
        }
    }

    /// The INVITE that a CANCEL is for waits: it waits no more.
    pub(super) fn leave_doorstep(&mut self, invite: u64, turn: &mut Turn<'_>) {
        let before = self.doorstep.len();
        self.doorstep.retain(|guest| guest.number != invite);
        if self.doorstep.len() < before {
            self.respond(invite, 487, turn, |builder| builder);
        }
    }
}
