//! The TCP connections beside UDP flows, for what is larger than 1300 bytes (RFC 3261 section 18.1.1). The user agent says when
//! it wants one; a server that has none leaves everything to UDP. Their loss is nobody's trouble.

use std::net::SocketAddr;
use std::time::Instant;

use z5_sip::locate::{Origin, Target};
use z5_sip::outbox::Outbox;
use z5_sip::ua::{self, FlowId, Transport};

use super::{Line, Link};
use crate::machine::io::Effect;

/// One of them, under way or up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stream {
    /// The UDP flow.
    beside: FlowId,
    flow: FlowId,
}

impl Line {
    /// True when this is the TCP connection beside a UDP flow, under way or up.
    pub(crate) fn is_stream(&self, flow: FlowId) -> bool {
        self.streams.iter().any(|stream| stream.flow == flow)
    }

    /// Connects to the server of a UDP flow over TCP. False when there is no such flow any more.
    pub(super) fn open_stream(&mut self, beside: FlowId, out: &mut Outbox<Effect>) -> bool {
        let first = match self.link {
            Link::Up { flow, remote, .. } if flow == beside => Some(remote),
            Link::Up { .. } | Link::None | Link::Connecting(_) | Link::Failed | Link::Lost { .. } => None,
        };
        let Some(address) = first.or_else(|| self.spare_server(beside)) else { return false };
        let flow = self.next_flow();
        self.streams.push(Stream { beside, flow });
        let name = self.name().to_owned();
        let target = Target { transport: Transport::Tcp, address, name, origin: Origin::Given };
        out.push(Effect::Connect { flow, targets: vec![target] });
        true
    }

    /// It stands: the user agent is told.
    pub(crate) fn on_stream_up(
        &mut self,
        flow: FlowId,
        (local, remote): (SocketAddr, SocketAddr),
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Vec<ua::Event> {
        let Some(beside) = self.beside(flow) else { return Vec::new() };
        self.agent(ua::Input::StreamUp { flow, beside, local, remote }, now, out)
    }

    /// It was never made: the user agent is told.
    pub(crate) fn on_stream_failed(
        &mut self,
        flow: FlowId,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Vec<ua::Event> {
        let Some(beside) = self.beside(flow) else { return Vec::new() };
        self.forget_stream(flow);
        self.agent(ua::Input::StreamFailed { beside }, now, out)
    }

    /// It is gone.
    pub(super) fn forget_stream(&mut self, flow: FlowId) {
        self.streams.retain(|stream| stream.flow != flow);
    }

    /// A UDP flow is gone, and what stands beside it goes with it.
    pub(super) fn close_streams_beside(&mut self, beside: FlowId, out: &mut Outbox<Effect>) {
        self.streams.retain(|stream| {
            let stays = stream.beside != beside;
            if !stays {
                out.push(Effect::Close { flow: stream.flow });
            }
            stays
        });
    }

    fn beside(&self, flow: FlowId) -> Option<FlowId> {
        self.streams.iter().find(|stream| stream.flow == flow).map(|stream| stream.beside)
    }
}
