//! Requests that are too large for a datagram go over TCP (RFC 3261 section 18.1.1).
//!
//! The driver keeps a TCP connection to the server of a UDP flow ([`Input::StreamUp`](super::Input::StreamUp)). A request
//! within 200 bytes of the usual path MTU of 1500 is written for that connection, its Via with it; the Contact stays on UDP,
//! where the server reaches us. Responses are not moved: they go where their request came from (section 18.2.2).

use std::net::SocketAddr;
use std::time::Instant;

use super::apart::Apart;
use super::schedule::Sleeper;
use super::transactions::{Owner, StartError};
use super::{Turn, UserAgent};
use crate::flow::{Flow, FlowId};
use crate::request::Outline;
use crate::wire::{Message, Transport};

/// The largest request over UDP where the path MTU is not known (RFC 3261 section 18.1.1).
pub(super) const MAX_DATAGRAM: usize = 1300;

impl UserAgent {
    pub(super) fn on_stream_up(
        &mut self,
        flow: FlowId,
        beside: FlowId,
        (local, remote): (SocketAddr, SocketAddr),
        now: Instant,
    ) {
        if !self.flows.contains_key(&beside) {
            return;
        }
        let habits = self.habits();
        self.flows.insert(flow, Flow::new(Transport::Tcp, local, remote, habits, now));
        self.streams.insert(beside, flow);
        self.dirty.push(Sleeper::Flow(flow));
    }

    /// The request as it goes out, and over which connection.
    pub(super) fn write_fitting(
        &mut self,
        outline: &Outline,
        flow: FlowId,
    ) -> Result<(Message, FlowId), StartError> {
        let message = self.write(outline, flow)?;
        let datagrams = self.flows.get(&flow).is_some_and(|flow| flow.transport() == Transport::Udp);
        match self.streams.get(&flow).copied().filter(|stream| self.flows.contains_key(stream)) {
            Some(stream) if datagrams && message.as_bytes().len() > MAX_DATAGRAM => {
                Ok((self.write(outline, stream)?, stream))
            }
            Some(_) | None => Ok((message, flow)),
        }
    }

    /// The connection for a large request is lost before anything came back on it: the request goes over UDP after all (RFC
    /// 3261 section 18.1.1). It keeps its CSeq, so that a server which has it already sees that it is the same one. False when
    /// there is nothing to be done.
    pub(super) fn retry_as_datagram(&mut self, number: u64, owner: Owner, turn: &mut Turn<'_>) -> bool {
        let Some(client) = self.transactions.clients.get(&number) else { return false };
        let flow = self.principal(client.flow);
        if flow == client.flow || !self.flows.contains_key(&flow) || client.is_proceeding() {
            return false;
        }
        let outline = client.outline.clone();
        let cseq = outline.cseq;
        let Ok(next) = self.start_client(outline, flow, owner, turn) else { return false };
        match owner {
            Owner::Invite(call) => {
                if let Some(calling) = self.calling(call, number) {
                    calling.client = next;
                }
            }
            Owner::Reinvite(call) | Owner::Update(call) | Owner::OfferingPrack(call) => {
                self.follow_offer(call, number, next)
            }
            Owner::Refer(call) => self.follow_refer(call, number, next, cseq),
            Owner::Apart(Apart::Subscription(key)) => self.set_subscribe_client(key, number, next),
            // These are found by their owner, not by their number.
            Owner::Register(_)
            | Owner::Apart(Apart::Message { .. } | Apart::Probe(_) | Apart::Fetch)
            | Owner::Bye(_)
            | Owner::Notify(_)
            | Owner::Info(_)
            | Owner::Prack
            | Owner::Cancel
            | Owner::Stray => {}
        }
        true
    }

    /// The UDP flow that a TCP connection stands beside, else the flow itself.
    pub(super) fn principal(&self, flow: FlowId) -> FlowId {
        let beside = self.streams.iter().find(|(_, stream)| **stream == flow);
        beside.map_or(flow, |(datagrams, _)| *datagrams)
    }
}
