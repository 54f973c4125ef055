//! One dialog of a call with its session: what an early dialog, a call that rings and one that stands have in common.

use std::time::Instant;

use crate::dialog::{Dialog, Session};
use crate::outbox::Deadline;
use crate::sdp::Capabilities;
use crate::wire::{Message, Method};

/// A dialog, what is offered and agreed on in it, and which offers are on their way.
pub(super) struct Leg {
    pub(super) dialog: Dialog,
    pub(super) session: Session,
    /// The transaction of an INVITE or UPDATE of ours within the dialog that carries an offer.
    pub(super) offering: Option<u64>,
    /// That request only refreshes the session.
    pub(super) refreshing: bool,
    /// An offer that met one of the far end (491, 500), and when it goes out again.
    pub(super) retry: Option<(Instant, Capabilities)>,
    /// It waits for a flow, and until then at most.
    pub(super) adrift: bool,
    /// How often an offer was put off in a row.
    pub(super) put_off: u32,
    /// The far end takes UPDATE.
    pub(super) updatable: bool,
    /// An offer of ours for a far end that takes no UPDATE: it goes with the next PRACK (RFC 3262 section 5), or by INVITE
    /// once the call stands.
    pub(super) held: Option<Capabilities>,
    /// An offer of the far end that waits for the application.
    pub(super) asked: Option<Asked>,
}

/// An offer that the application is to answer.
pub(super) struct Asked {
    /// The transaction of the INVITE, UPDATE or PRACK.
    pub(super) server: u64,
    pub(super) request: Message,
    /// When it is answered with what this end can do already.
    pub(super) by: Instant,
}

impl Leg {
    pub(super) fn new(dialog: Dialog, session: Session, updatable: bool) -> Self {
        Self {
            dialog,
            session,
            offering: None,
            refreshing: false,
            retry: None,
            adrift: false,
            put_off: 0,
            updatable,
            held: None,
            asked: None,
        }
    }

    /// Whether an offer of ours may go out now: none is under way in either direction (RFC 3264 section 4).
    pub(super) fn may_offer(&self) -> bool {
        self.offering.is_none() && self.retry.is_none() && self.asked.is_none() && !self.session.is_offering()
    }

    /// Whether an UPDATE with an offer may go out in an early dialog: the first exchange is over, and the far end takes
    /// UPDATE (RFC 3311 section 5.1).
    pub(super) fn may_update(&self) -> bool {
        self.may_offer() && self.updatable && self.session.negotiated().is_some()
    }

    /// Whether an offer may wait for the next PRACK: the first exchange is over by a reliable response.
    pub(super) fn may_hold(&self) -> bool {
        self.may_offer() && self.session.negotiated().is_some()
    }

    /// Whether what waits for the application is an UPDATE.
    pub(super) fn asked_by_update(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.request.method() == Some(Method::Update))
    }

    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        let retry = self.retry.as_ref().map(|(at, _)| Deadline::new(*at, "offer again after both did"));
        let asked = self.asked.as_ref();
        let asked = asked.map(|asked| Deadline::new(asked.by, "answer the far end's offer ourselves"));
        Deadline::earlier(retry, asked)
    }
}
