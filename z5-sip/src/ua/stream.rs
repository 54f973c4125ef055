//! Requests that are too large for a datagram go over TCP (RFC 3261 section 18.1.1).
//!
//! Beside a UDP flow stands a TCP connection to its server. The user agent asks for it ([`Effect::OpenStream`](super::Effect::OpenStream))
//! when the registrar has taken a binding on the flow, or when a request needs it; the driver says what came of it
//! ([`Input::StreamUp`](super::Input::StreamUp), [`Input::StreamFailed`](super::Input::StreamFailed)). Meanwhile a request
//! within 200 bytes of the usual path MTU of 1500 waits, and what follows it in its dialog waits behind it: out of order it
//! would be refused (section 12.2.2). Where there is no TCP everything goes over UDP until the next registration.
//!
//! A request over TCP has a Via for it; the Contact stays on UDP, where the server reaches us. Responses are not moved: they go
//! where their request came from (section 18.2.2).

use std::net::SocketAddr;

use super::apart::Apart;
use super::schedule::Sleeper;
use super::transactions::{Client, Owner, StartError};
use super::types::Effect;
use super::{RequestFailure, Turn, UserAgent};
use crate::flow::{Flow, FlowDeath, FlowEnd, FlowId};
use crate::request::Outline;
use crate::wire::{Message, Transport};

/// The largest request over UDP where the path MTU is not known (RFC 3261 section 18.1.1).
pub(super) const MAX_DATAGRAM: usize = 1300;

/// The TCP connection beside a UDP flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Asked for.
    Opening,
    Up(FlowId),
    /// It was up; what waited on it finds its way back.
    Lost(FlowId),
    /// The server has no TCP.
    Refused,
}

/// Where a request goes.
pub(super) enum Fit {
    /// As this message on this connection.
    Goes(Message, FlowId),
    /// Nowhere before the stream beside its flow is up or is known to be none. So it would read as a datagram.
    Waits(Message),
}

impl UserAgent {
    pub(super) fn on_stream_up(
        &mut self,
        flow: FlowId,
        beside: FlowId,
        (local, remote): (SocketAddr, SocketAddr),
        turn: &mut Turn<'_>,
    ) {
        if !self.flows.contains_key(&beside) {
            return turn.out.push(Effect::CloseFlow { flow, why: FlowDeath::Down(FlowEnd::Local) });
        }
        let habits = self.habits();
        self.flows.insert(flow, Flow::new(Transport::Tcp, local, remote, habits, turn.now));
        self.streams.insert(beside, Stream::Up(flow));
        self.dirty.push(Sleeper::Flow(flow));
        self.release(beside, turn);
    }

    pub(super) fn on_stream_failed(&mut self, beside: FlowId, turn: &mut Turn<'_>) {
        if self.streams.get(&beside) == Some(&Stream::Opening) {
            self.streams.insert(beside, Stream::Refused);
            self.release(beside, turn);
        }
    }

    /// Asks for the stream beside a UDP flow, unless there is one.
    pub(super) fn want_stream(&mut self, beside: FlowId, turn: &mut Turn<'_>) {
        let datagrams = self.flows.get(&beside).is_some_and(|flow| flow.transport() == Transport::Udp);
        let known = matches!(self.streams.get(&beside), Some(Stream::Opening | Stream::Up(_)));
        if datagrams && !known {
            self.streams.insert(beside, Stream::Opening);
            turn.out.push(Effect::OpenStream { beside });
        }
    }

    /// The request as it goes out, and over which connection.
    pub(super) fn write_fitting(&mut self, outline: &Outline, flow: FlowId) -> Result<Fit, StartError> {
        let message = self.write(outline, flow)?;
        let datagrams = self.flows.get(&flow).is_some_and(|flow| flow.transport() == Transport::Udp);
        if !datagrams {
            return Ok(Fit::Goes(message, flow));
        }
        let large = message.as_bytes().len() > MAX_DATAGRAM;
        match self.streams.get(&flow) {
            Some(Stream::Up(stream)) if large => {
                let stream = *stream;
                Ok(Fit::Goes(self.write(outline, stream)?, stream))
            }
            None if large => Ok(Fit::Waits(message)),
            Some(Stream::Opening) if large || self.is_waited_for(flow, &outline.call_id) => {
                Ok(Fit::Waits(message))
            }
            Some(Stream::Up(_) | Stream::Opening | Stream::Lost(_) | Stream::Refused) | None => {
                Ok(Fit::Goes(message, flow))
            }
        }
    }

    /// Whether a request with this Call-ID waits for the stream beside a flow.
    fn is_waited_for(&self, flow: FlowId, call_id: &str) -> bool {
        let waits = |client: &Client| client.flow == flow && client.is_waiting();
        self.transactions.clients.values().any(|client| waits(client) && client.outline.call_id == call_id)
    }

    /// What waited for the stream beside a flow goes out, in its order.
    fn release(&mut self, beside: FlowId, turn: &mut Turn<'_>) {
        let waits = |client: &Client| client.flow == beside && client.is_waiting();
        let waiting = self.transactions.clients.iter().filter(|(_, client)| waits(client));
        let waiting: Vec<u64> = waiting.map(|(number, _)| *number).collect();
        for number in waiting {
            let Some(client) = self.transactions.clients.get(&number) else { continue };
            let (owner, outline) = (client.owner, client.outline.clone());
            let written = match self.streams.get(&beside) {
                _ if self.is_over(owner) => None,
                Some(Stream::Up(_)) => self.write_fitting(&outline, beside).ok(),
                Some(_) | None => self.write(&outline, beside).ok().map(|it| Fit::Goes(it, beside)),
            };
            match written {
                Some(Fit::Goes(message, flow)) if !self.is_too_large(owner, &message, flow) => {
                    self.begin_client(number, message, outline, flow, owner, turn);
                }
                Some(Fit::Goes(message, _)) => {
                    self.transactions.remove_client(number);
                    if let Owner::Apart(apart) = owner {
                        let bytes = message.as_bytes().len();
                        self.on_apart_failed(apart, RequestFailure::TooLarge { bytes }, turn);
                    }
                }
                Some(Fit::Waits(_)) => {}
                None => self.transactions.remove_client(number),
            }
        }
    }

    /// Whether nobody wants a request any more that has not gone out yet: its call has ended meanwhile.
    fn is_over(&self, owner: Owner) -> bool {
        match owner {
            Owner::Reinvite(call) | Owner::Update(call) | Owner::OfferingPrack(call) | Owner::Info(call) => {
                !self.calls.contains_key(&call)
            }
            Owner::Register(_)
            | Owner::Invite(_)
            | Owner::Bye(_)
            | Owner::Cancel
            | Owner::Apart(_)
            | Owner::Refer(_)
            | Owner::Notify(_)
            | Owner::Prack
            | Owner::Stray => false,
        }
    }

    /// A MESSAGE outside a call has at most 1300 bytes where nobody watches for congestion (RFC 3428 section 8).
    pub(super) fn is_too_large(&self, owner: Owner, message: &Message, flow: FlowId) -> bool {
        let datagrams = self.flows.get(&flow).is_some_and(|flow| flow.transport() == Transport::Udp);
        let alone = matches!(owner, Owner::Apart(Apart::Message { call: None, .. }));
        alone && datagrams && message.as_bytes().len() > MAX_DATAGRAM
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

    /// A flow is going: a stream is marked as lost, so that what waits on it takes the datagrams. Gives the stream beside it,
    /// which is of no use without it.
    pub(super) fn losing_stream(&mut self, flow: FlowId) -> Option<FlowId> {
        for stream in self.streams.values_mut() {
            if *stream == Stream::Up(flow) {
                *stream = Stream::Lost(flow);
            }
        }
        match self.streams.get(&flow) {
            Some(Stream::Up(stream)) => Some(*stream),
            Some(Stream::Opening | Stream::Lost(_) | Stream::Refused) | None => None,
        }
    }

    /// It is gone.
    pub(super) fn forget_stream(&mut self, flow: FlowId) {
        self.streams.retain(|datagrams, stream| *datagrams != flow && *stream != Stream::Lost(flow));
    }

    /// Whether a flow is a stream beside another one.
    pub(super) fn is_stream(&self, flow: FlowId) -> bool {
        self.principal(flow) != flow
    }

    /// The UDP flow that a TCP connection stands beside, else the flow itself.
    pub(super) fn principal(&self, flow: FlowId) -> FlowId {
        let beside = self
            .streams
            .iter()
            .find(|(_, stream)| matches!(stream, Stream::Up(it) | Stream::Lost(it) if *it == flow));
        beside.map_or(flow, |(datagrams, _)| *datagrams)
    }
}
