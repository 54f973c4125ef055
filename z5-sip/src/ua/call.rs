//! The states of a call.
//!
//! ```text
//! Invite --> Calling --2xx--> Active --BYE--> gone
//!               |--refused, cancelled, lost--> gone
//! INVITE --> Ringing --accepted--> Active
//!               |--rejected, cancelled, lost--> gone
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use super::failure::CallFailure;
use super::leg::Leg;
use super::types::{CallKey, Side};
use crate::dialog::{Acceptance, DialogId, Provisional, Session, SessionTimer};
use crate::flow::FlowId;
use crate::outbox::Deadline;
use crate::sdp::{Capabilities, SessionDescription};
use crate::wire::{Message, Name};

pub(super) struct Call {
    /// The flow that its INVITE took or came on; when that is lost, the one that it moves to.
    pub(super) flow: FlowId,
    pub(super) state: State,
}

pub(super) enum State {
    Calling(Calling),
    Ringing(Ringing),
    Active(Active),
}

/// An outgoing call without a final answer.
pub(super) struct Calling {
    /// The transaction of the INVITE.
    pub(super) client: u64,
    /// The session as offered; each fork goes on from it by itself.
    pub(super) session: Session,
    pub(super) cancel: Cancel,
    /// How often the session interval was raised because of a 422.
    pub(super) raised: u32,
    /// The early dialogs in the order in which they came up.
    pub(super) forks: Vec<Fork>,
    /// Why we take it back ourselves.
    pub(super) unusable: Option<CallFailure>,
}

/// One early dialog of an outgoing call.
pub(super) struct Fork {
    pub(super) leg: Leg,
    /// The RSeq of its last reliable provisional response.
    pub(super) rseq: Option<u32>,
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
    /// The description in it, until it is answered.
    pub(super) offer: Option<Box<SessionDescription>>,
    pub(super) leg: Leg,
    /// When we answer that nobody came.
    pub(super) until: Instant,
    /// What the caller said about reliable provisional responses, as far as we want it.
    pub(super) reliability: Reliability,
    /// The last RSeq used.
    pub(super) rseq: u32,
    /// Our reliable provisional response that waits for its PRACK.
    pub(super) unacknowledged: Option<Provisional>,
    /// What is to be sent after it.
    pub(super) waiting: VecDeque<Waiting>,
    /// Taken already, but the 2xx may not go out yet.
    pub(super) accepting: Option<Capabilities>,
    /// The answer that an unreliable 183 carried: the 2xx repeats it.
    pub(super) previewed: Option<Vec<u8>>,
    /// The call that this one replaces when it is taken.
    pub(super) replaces: Option<CallKey>,
}

impl Ringing {
    /// Whether the first reliable response has to make our offer.
    pub(super) fn offer_due(&self) -> bool {
        self.offer.is_none() && self.leg.session.negotiated().is_none()
    }

    /// Whether even ringing has to: the caller takes nothing unreliable.
    pub(super) fn must_offer(&self) -> bool {
        let required =
            self.reliability == Reliability::Required && self.request.lists_token(Name::Require, "100rel");
        required && self.offer_due() && self.unacknowledged.is_none() && !self.leg.session.is_offering()
    }
}

/// Whether provisional responses of ours are reliable (RFC 3262 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reliability {
    /// The caller does not know the extension, or it is off here.
    Off,
    /// Those that matter may be.
    Possible,
    /// All have to be.
    Required,
}

/// A provisional response that waits for the PRACK of the one before.
pub(super) enum Waiting {
    Ring,
    Progress(Capabilities),
}

/// A call with an established dialog.
pub(super) struct Active {
    pub(super) leg: Leg,
    /// Our 2xx that waits for its ACK.
    pub(super) acceptance: Option<Acceptance>,
    /// A reliable provisional response whose PRACK the 2xx has overtaken.
    pub(super) unacknowledged: Option<Provisional>,
    /// The application knows that it stands. False while our offer in a 2xx waits for the answer in the ACK.
    pub(super) established: bool,
    /// Ends the call when nobody refreshes it.
    pub(super) timer: Option<SessionTimer>,
    /// The greatest Min-SE of the dialog's requests and 422s, in seconds (RFC 4028 section 7.4). 0 when none had one.
    pub(super) min_se: u32,
    /// We made the call: the Call-ID is ours.
    pub(super) caller: bool,
    /// The far end takes no more requests for pictures: it said `general_error` (RFC 5168).
    pub(super) no_fast_update: bool,
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

impl Active {
    /// A call that stands from now on.
    pub(super) fn new(leg: Leg, caller: bool) -> Self {
        Self {
            leg,
            acceptance: None,
            unacknowledged: None,
            established: true,
            timer: None,
            min_se: 0,
            caller,
            no_fast_update: false,
            ending: Ending::No,
        }
    }

    /// Notes the Min-SE of a request or a 422.
    pub(super) fn keep_min_se(&mut self, message: &Message) {
        let seconds = message.header_token(Name::MinSe).and_then(|seconds| seconds.parse().ok());
        self.min_se = self.min_se.max(seconds.unwrap_or_default());
    }

    /// Whether an offer of ours may go out now.
    pub(super) fn may_offer(&self) -> bool {
        self.stands() && self.leg.may_offer()
    }

    /// Whether it stands and nobody is ending it.
    pub(super) fn stands(&self) -> bool {
        self.established && self.ending == Ending::No
    }
}

impl State {
    /// Whether an offer of ours may go out by UPDATE in this early dialog.
    pub(super) fn takes_update(&self, id: &DialogId) -> bool {
        match self {
            Self::Calling(Calling { cancel: Cancel::No, forks, .. }) => {
                forks.iter().any(|fork| fork.leg.dialog.id() == id && fork.leg.may_update())
            }
            Self::Ringing(_) => self.updatable().is_some(),
            Self::Calling(_) | Self::Active(_) => false,
        }
    }

    /// The early dialog in which an offer of ours may go out by UPDATE: the one that came up last.
    pub(super) fn updatable(&self) -> Option<DialogId> {
        let leg = match self {
            Self::Calling(Calling { cancel: Cancel::No, forks, .. }) => {
                forks.iter().rev().map(|fork| &fork.leg).find(|leg| leg.may_update())
            }
            // The caller does not know our answer before its PRACK.
            Self::Ringing(ringing) if ringing.unacknowledged.is_none() && ringing.previewed.is_none() => {
                Some(&ringing.leg).filter(|leg| leg.may_update())
            }
            Self::Calling(_) | Self::Ringing(_) | Self::Active(_) => None,
        };
        leg.map(|leg| leg.dialog.id().clone())
    }
}

impl Call {
    /// Its dialogs: several early ones while it forks, else one.
    pub(super) fn legs(&self) -> impl Iterator<Item = &Leg> {
        let (forks, one) = match &self.state {
            State::Calling(calling) => (&calling.forks[..], None),
            State::Ringing(ringing) => (&[][..], Some(&ringing.leg)),
            State::Active(active) => (&[][..], Some(&active.leg)),
        };
        forks.iter().map(|fork| &fork.leg).chain(one)
    }

    /// The same, to be changed.
    pub(super) fn legs_mut(&mut self) -> impl Iterator<Item = &mut Leg> {
        let (forks, one) = match &mut self.state {
            State::Calling(calling) => (&mut calling.forks[..], None),
            State::Ringing(ringing) => (&mut [][..], Some(&mut ringing.leg)),
            State::Active(active) => (&mut [][..], Some(&mut active.leg)),
        };
        forks.iter_mut().map(|fork| &mut fork.leg).chain(one)
    }

    /// Whether we made the call.
    pub(super) fn is_caller(&self) -> bool {
        match &self.state {
            State::Calling(_) => true,
            State::Ringing(_) => false,
            State::Active(active) => active.caller,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        let legs = self.legs().filter_map(Leg::next_deadline).min_by_key(|deadline| deadline.at);
        let own = match &self.state {
            State::Calling(Calling { cancel: Cancel::Sent(until), .. }) => {
                Some(Deadline::new(*until, "the cancelled INVITE has no final response"))
            }
            State::Calling(_) => None,
            State::Ringing(ringing) => Deadline::earlier(
                ringing.unacknowledged.as_ref().map(Provisional::next_deadline),
                Some(Deadline::new(ringing.until, "nobody takes the incoming call")),
            ),
            State::Active(active) => {
                let timer = active.timer.as_ref().filter(|_| active.ending == Ending::No);
                Deadline::earlier(
                    active.acceptance.as_ref().map(Acceptance::next_deadline),
                    timer.map(SessionTimer::next_deadline),
                )
            }
        };
        Deadline::earlier(own, legs)
    }
}
