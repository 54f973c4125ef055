//! Takes the bytes of each flow apart into messages and notes them in a [`SipTrace`]: as they are handed to the connection, and as
//! they are read from it. Above the encryption, so TLS is readable. What handshakes came to is noted when a connection opens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use z5_sip::ua::{FlowId, Transport};
use z5_sip::wire::{Frame, Framer, Limits, Message};

use crate::clock;
use crate::machine::transport_name;
use crate::preflight::CertificateFacts;
use crate::trace::{SipTrace, TlsFacts, TracedConnection};

/// The trace and the flows that are open.
pub(super) struct Tracer {
    trace: Arc<SipTrace>,
    started: Instant,
    /// Of the configuration.
    location: Option<String>,
    flows: BTreeMap<FlowId, Flow>,
}

struct Flow {
    transport: &'static str,
    ends: (SocketAddr, SocketAddr),
    /// What comes on a stream; datagrams need none.
    framer: Option<Framer>,
}

impl Tracer {
    /// Times count from `started`; `location` is recognised in messages.
    pub(super) fn new(trace: Arc<SipTrace>, started: Instant, location: Option<String>) -> Self {
        Self { trace, started, location, flows: BTreeMap::new() }
    }

    pub(super) fn opened(
        &mut self,
        flow: FlowId,
        transport: Transport,
        (local, remote): (SocketAddr, SocketAddr),
        tls: Option<TlsFacts>,
    ) {
        let framer = (transport != Transport::Udp).then(|| Framer::new(Limits::default()));
        let transport = transport_name(transport);
        self.flows.insert(flow, Flow { transport, ends: (local, remote), framer });
        let at_ms = clock::ms(self.started, clock::now());
        self.trace.note_connection(TracedConnection { at_ms, transport, remote, tls });
    }

    pub(super) fn closed(&mut self, flow: FlowId) {
        self.flows.remove(&flow);
    }

    /// One message or keep-alive of ours.
    pub(super) fn sent(&self, flow: FlowId, bytes: &Bytes, now: Instant) {
        let Some(flow) = self.flows.get(&flow) else { return };
        if let Ok(message) = Message::parse_datagram(bytes.clone()) {
            self.note(flow, &message, true, now);
        }
    }

    /// What was read: of a stream any part of it.
    pub(super) fn received(&mut self, id: FlowId, bytes: &Bytes, now: Instant) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let mut messages = Vec::new();
        match &mut flow.framer {
            Some(framer) => {
                framer.push(bytes);
                while let Some(Ok(frame)) = framer.next() {
                    match frame {
                        Frame::Message(message) => messages.push(message),
                        Frame::Ping | Frame::Pong => {}
                    }
                }
            }
            None => messages.extend(Message::parse_datagram(bytes.clone()).ok()),
        }
        let Some(flow) = self.flows.get(&id) else { return };
        for message in messages {
            self.note(flow, &message, false, now);
        }
    }

    fn note(&self, flow: &Flow, message: &Message, sent: bool, now: Instant) {
        let at = (clock::ms(self.started, now), sent);
        self.trace.note(message, at, flow.transport, flow.ends, self.location.as_deref());
    }
}

/// What a handshake came to; `name`: whom the certificate had to be for.
pub(super) fn agreed(connection: &rustls::ClientConnection, name: &str) -> TlsFacts {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => Some("1.3"),
        Some(rustls::ProtocolVersion::TLSv1_2) => Some("1.2"),
        // no other is offered
        Some(_) | None => None,
    };
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    let certificate = leaf.map_or_else(CertificateFacts::default, |der| {
        let names = webpki::EndEntityCert::try_from(der)
            .map(|certificate| certificate.valid_dns_names().map(str::to_owned).collect())
            .unwrap_or_default();
        CertificateFacts::read(der, names)
    });
    TlsFacts { version, suite, name: name.to_owned(), certificate }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] =
        b"SIP/2.0 200 OK\r\nCall-ID: a\r\nCSeq: 2 REGISTER\r\nContent-Length: 4\r\n\r\nbody";

    #[test]
    fn messages_are_found_whatever_way_a_stream_is_cut() {
        let trace = Arc::new(SipTrace::new());
        let now = clock::now();
        let mut tracer = Tracer::new(Arc::clone(&trace), now, None);
        let ends = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let flow = FlowId(3);
        tracer.received(flow, &Bytes::from_static(MESSAGE), now);
        tracer.opened(flow, Transport::Tls, ends, None);
        let twice = [MESSAGE, b"\r\n", MESSAGE].concat();
        for piece in twice.chunks(7) {
            tracer.received(flow, &Bytes::copy_from_slice(piece), now);
        }
        tracer.sent(flow, &Bytes::from_static(b"\r\n\r\n"), now);
        tracer.sent(flow, &Bytes::from_static(MESSAGE), now);
        let traced = trace.traced().messages;
        let seen: Vec<_> =
            traced.iter().map(|message| (message.sent, message.status, message.method.as_deref())).collect();
        let register = Some("REGISTER");
        assert_eq!(
            seen,
            [(false, Some(200), register), (false, Some(200), register), (true, Some(200), register)]
        );
        assert_eq!((traced[0].transport, traced[0].remote), ("tls", ends.1));
        tracer.closed(flow);
        tracer.sent(flow, &Bytes::from_static(MESSAGE), now);
        let traced = trace.traced();
        assert_eq!((traced.messages.len(), traced.connections.len()), (3, 1));
        assert_eq!((traced.connections[0].transport, traced.connections[0].remote), ("tls", ends.1));
    }
}
