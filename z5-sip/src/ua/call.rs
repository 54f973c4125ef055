//! The states of a call.
//!
//! ```text
//! Invite --> Calling --2xx--> Active --BYE--> gone
//!               |--refused, cancelled, lost--> gone
//! INVITE --> Ringing --accepted--> Active
//!               |--rejected, cancelled, lost--> gone
//! ```

use std::time::Instant;

use super::failure::CallFailure;
use super::types::Side;
use crate::dialog::{Acceptance, Dialog, Session, SessionTimer};
use crate::flow::FlowId;
use crate::outbox::Deadline;
use crate::sdp::Capabilities;
use crate::wire::Message;

pub(super) struct Call {
    /// The flow that its last request took or came on.
    pub(super) flow: FlowId,
    pub(super) state: State,
}

#[expect(clippy::large_enum_variant, reason = "a call spends its life in the largest one")]
pub(super) enum State {
    Calling(Calling),
    Ringing(Ringing),
    Active(Active),
}

/// An outgoing call without a final answer.
pub(super) struct Calling {
    /// The transaction of the INVITE.
    pub(super) client: u64,
    pub(super) session: Session,
    pub(super) cancel: Cancel,
}

/// How far taking an outgoing call back has come (RFC 3261 section 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    /// Not wanted.
    No,
    /// Wanted; a CANCEL may only go out after a provisional response.
    Wanted,
    /// Sent; without a final response the call is given up at this moment.
    Sent(Instant),
}

/// An incoming call that nobody has taken.
pub(super) struct Ringing {
    /// The transaction of the INVITE.
    pub(super) server: u64,
    pub(super) request: Message,
    pub(super) dialog: Dialog,
    /// When we answer that nobody came.
    pub(super) until: Instant,
}

/// A call with an established dialog.
pub(super) struct Active {
    pub(super) dialog: Dialog,
    pub(super) session: Session,
    /// Our 2xx that waits for its ACK.
    pub(super) acceptance: Option<Acceptance>,
    /// The application knows that it stands. False while our offer in a 2xx waits for the answer in the ACK.
    pub(super) established: bool,
    /// The transaction of an INVITE of ours within the call.
    pub(super) reinvite: Option<u64>,
    /// An offer that met one of the far end (491), and when it goes out again.
    pub(super) retry: Option<(Instant, Capabilities)>,
    /// Ends the call when nobody refreshes it.
    pub(super) timer: Option<SessionTimer>,
    /// The far end takes UPDATE: a refresh need not be an INVITE.
    pub(super) updatable: bool,
    /// The INVITE of ours within the call only refreshes it.
    pub(super) refreshing: bool,
    /// We made the call: the Call-ID is ours.
    pub(super) caller: bool,
    pub(super) ending: Ending,
}

/// How far ending an established call has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ending {
    /// It stands.
    No,
    /// Wanted; a callee may not send BYE before the ACK of its 2xx (RFC 3261 section 15).
    AfterAck,
    /// Our BYE is on its way.
    Bye {
        /// Who caused it.
        by: Side,
        /// Why a call that never stood came to nothing.
        failure: Option<CallFailure>,
    },
}

impl Call {
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Calling(Calling { cancel: Cancel::Sent(until), .. }) => {
                Some(Deadline::new(*until, "the cancelled INVITE has no final response"))
            }
            State::Calling(_) => None,
            State::Ringing(ringing) => Some(Deadline::new(ringing.until, "nobody takes the incoming call")),
            State::Active(active) => {
                let retry =
                    active.retry.as_ref().map(|(at, _)| Deadline::new(*at, "offer again after both did"));
                let first =
                    Deadline::earlier(active.acceptance.as_ref().map(Acceptance::next_deadline), retry);
                let timer = active.timer.as_ref().filter(|_| active.ending == Ending::No);
                Deadline::earlier(first, timer.map(SessionTimer::next_deadline))
            }
        }
    }
}
