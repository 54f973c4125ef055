//! Requests about the address book, side by side: each lane carries one at a time, with credentials that know what the server asks for.

use z5_sip::outbox::Outbox;

use super::{ADDRESS_BOOK, BookPlace, Turn};
use crate::account::book::Unsent;
use crate::error::ProvisionError;
use crate::machine::context::Context;
use crate::machine::exchange::{Exchange, HttpAuth, Request, Server};
use crate::machine::io::{Effect, HttpsFailure, HttpsReply, RequestId};
use crate::machine::mcs::replied;
use crate::secret::Secret;

/// Requests under way at a time while changes are sent.
pub(super) const LANES: usize = 8;

#[derive(Debug)]
pub(super) struct Lanes {
    server: Server,
    username: String,
    password: Secret,
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    auth: HttpAuth,
    exchange: Option<(Exchange, Job)>,
}

/// What a request is for.
#[derive(Debug)]
pub(super) enum Job {
    /// CardDAV: what is new since the token; in pages, if it can be.
    Report { token: Option<String>, limited: bool },
    /// CardDAV: all tags.
    Tags,
    /// CardDAV: these cards.
    Multiget,
    /// CardDAV: the whole card that a change goes onto.
    Whole(Unsent),
    /// CardDAV: a change.
    Send(Unsent),
    /// The list as a whole.
    Fetch,
    /// The list with these changes.
    Store(Vec<Unsent>),
    /// Where the collection is.
    Find,
}

impl Lanes {
    pub(super) fn new(place: &BookPlace, auth: HttpAuth) -> Self {
        Self {
            server: place.server.clone(),
            username: place.username.clone(),
            password: place.password.clone(),
            lanes: vec![Lane { auth, exchange: None }],
        }
    }

    pub(super) fn asked(&self, id: RequestId) -> bool {
        self.of(id).is_some()
    }

    fn of(&self, id: RequestId) -> Option<usize> {
        let under_way = |lane: &Lane| lane.exchange.as_ref().is_some_and(|(exchange, _)| exchange.id() == id);
        self.lanes.iter().position(under_way)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.lanes.iter().any(|lane| lane.exchange.is_some())
    }

    /// A lane with nothing under way, if there may be one more request.
    pub(super) fn free(&mut self) -> Option<usize> {
        if let Some(index) = self.lanes.iter().position(|lane| lane.exchange.is_none()) {
            return Some(index);
        }
        (self.lanes.len() < LANES).then(|| {
            let auth = HttpAuth::new(&self.username, &self.password);
            self.lanes.push(Lane { auth, exchange: None });
            self.lanes.len() - 1
        })
    }

    pub(super) fn start(&mut self, lane: usize, request: Request, job: Job, turn: &mut Turn<'_, '_>) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        let context = &mut *turn.context;
        let exchange =
            Exchange::begin(&self.server, request, &mut lane.auth, context.ids, context.ident, turn.out);
        lane.exchange = Some((exchange, job));
    }

    /// A reply to one of these requests, with what it was for; none while the request goes on.
    pub(super) fn on_outcome(
        &mut self,
        id: RequestId,
        outcome: Result<HttpsReply, HttpsFailure>,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Result<Option<(Job, HttpsReply)>, ProvisionError> {
        let Some(lane) = self.of(id).and_then(|index| self.lanes.get_mut(index)) else { return Ok(None) };
        let Some((mut exchange, job)) = lane.exchange.take() else { return Ok(None) };
        let answer = exchange.on_outcome(outcome, &mut lane.auth, context.ids, context.ident, out);
        match replied(answer, &self.server.host, ADDRESS_BOOK)? {
            Some(reply) => Ok(Some((job, reply))),
            None => {
                lane.exchange = Some((exchange, job));
                Ok(None)
            }
        }
    }
}
