//! The calls that pass through the proxy: who is on which connection, and the relay of each media line.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;
use z5_sip::wire::Message;

use super::ConnectionId;
use super::forks::Fork;
use crate::fault::AnswerFault;
use crate::relay::{Access, Side, Stream};

/// Calls kept at a time; beyond that the oldest is forgotten and its relay closed.
const MAX_CALLS: usize = 4096;

/// One of the two in a call.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) connection: ConnectionId,
    /// The SIP user name, if it is one of ours; its newest binding is used when the connection is gone.
    pub(crate) user: Option<String>,
    /// The contact its first INVITE was sent to: CANCEL and the ACK of a refusal carry the same Request-URI
    /// (RFC 3261 sections 9.1 and 17.1.1.3). None for the caller and for far ends.
    pub(crate) contact: Option<String>,
}

/// A call from its INVITE to the answer to its BYE.
pub(crate) struct Call {
    pub(crate) caller_tag: String,
    pub(crate) caller: Party,
    pub(crate) callee: Party,
    pub(crate) streams: Vec<Option<Stream>>,
    /// The network of a far end that has a bad one of its own.
    pub(crate) access: Option<Access>,
    /// Its first INVITE as it was passed on, for a CANCEL by the carrier itself.
    pub(crate) invite: Option<Message>,
    /// The first INVITE was answered 2xx.
    pub(crate) established: bool,
    /// When a final answer to the first INVITE that was not 2xx, or a BYE, has passed.
    pub(crate) ended: Option<Instant>,
    /// Since when one of its parties is away.
    pub(crate) away: Option<Instant>,
    /// What its answers to the caller are spoiled by, decided with the first one: one that is repeated is the same.
    pub(crate) spoiled: Option<Option<AnswerFault>>,
    /// Whose mailbox gets a message when it is over.
    pub(crate) mailbox: Option<String>,
    /// Where its INVITE went, when that was to several devices.
    pub(crate) forks: Vec<Fork>,
}

impl Call {
    pub(crate) fn party(&self, side: Side) -> &Party {
        match side {
            Side::Caller => &self.caller,
            Side::Callee => &self.callee,
        }
    }

    pub(crate) fn party_mut(&mut self, side: Side) -> &mut Party {
        match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        }
    }

    /// Nothing but the last answers is to come.
    pub(crate) fn end(&mut self, now: Instant) {
        self.ended.get_or_insert(now);
        self.streams.clear();
    }

    /// Whose mailbox gets a message now that the call is hung up: once, and none where nothing was recorded.
    pub(crate) fn message_left(&mut self) -> Option<String> {
        let recorded = self.streams.is_empty() || self.streams.iter().flatten().any(Stream::carried);
        self.mailbox.take().filter(|_| self.established && recorded)
    }

    /// Which side sent this request.
    pub(crate) fn sender(&self, request: &Message) -> Side {
        let from_caller = request.from().ok().and_then(|from| from.tag()) == Some(self.caller_tag.as_str());
        if from_caller { Side::Caller } else { Side::Callee }
    }
}

/// All calls by Call-ID.
#[derive(Default)]
pub(crate) struct Calls {
    calls: HashMap<String, Call>,
    order: VecDeque<String>,
}

impl Calls {
    pub(crate) fn insert(&mut self, call_id: &str, call: Call) {
        if self.order.len() == MAX_CALLS
            && let Some(oldest) = self.order.pop_front()
        {
            self.calls.remove(&oldest);
        }
        if self.calls.insert(call_id.to_owned(), call).is_none() {
            self.order.push_back(call_id.to_owned());
        }
    }

    /// Every Call-ID, the oldest first.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.order.iter().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn find(&mut self, call_id: &str) -> Option<&mut Call> {
        self.calls.get_mut(call_id)
    }

    pub(crate) fn remove(&mut self, call_id: &str) {
        if self.calls.remove(call_id).is_some() {
            self.order.retain(|known| known != call_id);
        }
    }
}
