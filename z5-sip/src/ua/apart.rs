//! Requests of ours that belong to no call's state: MESSAGE, OPTIONS, SUBSCRIBE and the fetch of bindings. One answer comes back for each.

use super::request_failure::RequestFailure;
use super::transactions::Owner;
use super::types::{CallKey, Event, MessageKey, ProbeKey, SubscriptionKey};
use super::{Turn, UserAgent};
use crate::flow::FlowId;
use crate::request::Outline;
use crate::wire::Message;

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apart {
    Message {
        message: MessageKey,
        /// The call whose dialog it goes through.
        call: Option<CallKey>,
    },
    Probe(ProbeKey),
    Subscription(SubscriptionKey),
    /// The fetch of bindings.
    Fetch,
}

impl UserAgent {
    /// The final response, challenges aside.
    pub(super) fn on_apart_final(
        &mut self,
        apart: Apart,
        number: u64,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        match apart {
            Apart::Message { message, .. } => match response.status().unwrap_or_default() {
                status @ 200..300 => turn.emit(Event::MessageDelivered { message, status }),
                _ => {
                    let failure = RequestFailure::from_response(response);
                    turn.emit(Event::MessageFailed { message, failure });
                }
            },
            Apart::Probe(probe) => Self::on_probe_final(probe, response, turn),
            Apart::Subscription(key) => self.on_subscribe_final(key, number, response, turn),
            Apart::Fetch => self.on_fetch_final(response, turn),
        }
    }

    /// It came to nothing before a transaction of its own began.
    pub(super) fn on_apart_failed(&mut self, apart: Apart, failure: RequestFailure, turn: &mut Turn<'_>) {
        match apart {
            Apart::Message { message, .. } => turn.emit(Event::MessageFailed { message, failure }),
            Apart::Probe(probe) => turn.emit(Event::ProbeFailed { probe, failure }),
            Apart::Subscription(key) => self.on_subscribe_failed(key, None, failure, turn),
            Apart::Fetch => turn.emit(Event::FetchFailed { failure }),
        }
    }

    /// Its transaction came to nothing.
    pub(super) fn on_apart_lost(
        &mut self,
        apart: Apart,
        number: u64,
        failure: RequestFailure,
        turn: &mut Turn<'_>,
    ) {
        match apart {
            Apart::Subscription(key) => self.on_subscribe_failed(key, Some(number), failure, turn),
            Apart::Message { .. } | Apart::Probe(_) | Apart::Fetch => {
                self.on_apart_failed(apart, failure, turn);
            }
        }
    }

    /// The same request again, with credentials.
    pub(super) fn repeat_apart(
        &mut self,
        apart: Apart,
        number: u64,
        mut outline: Outline,
        flow: FlowId,
        turn: &mut Turn<'_>,
    ) {
        let next = match apart {
            Apart::Message { call: Some(_), .. } => self.next_cseq_after(number),
            Apart::Subscription(key) => self.next_subscribe_cseq(key),
            Apart::Message { call: None, .. } | Apart::Probe(_) | Apart::Fetch => None,
        };
        outline.cseq = next.unwrap_or(outline.cseq + 1);
        match (self.start_client(outline, flow, Owner::Apart(apart), turn), apart) {
            (Ok(next), Apart::Subscription(key)) => self.set_subscribe_client(key, number, next),
            (Ok(_), Apart::Message { .. } | Apart::Probe(_) | Apart::Fetch) => {}
            (Err(error), _) => self.on_apart_lost(apart, number, error.into(), turn),
        }
    }
}
