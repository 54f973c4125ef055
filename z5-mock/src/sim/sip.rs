//! Connections for SIP inside simulated time: bytes in and out, at once or late, and whatever ends them.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;
use z5_sip::wire::{Frame, Framer, Limits, Transport};

use super::{Datagram, Sim};
use crate::endpoint::GARBAGE;
use crate::fault::{CertificateFault, Fault};
use crate::recorder::{Direction, Service};
use crate::sip::{ConnectionId, FAR_ENDS, Input, OUTBOUND_MESSAGES};
use crate::way::Way;

/// Bytes of an answer that is cut off.
const CUT_AFTER: usize = 60;

pub(super) struct Connection {
    framer: Framer,
    outlet: mpsc::Receiver<Bytes>,
    here: IpAddr,
    peer: SocketAddr,
    /// Nothing is ever said.
    dumb: bool,
    /// Bytes until the end, where it is cut off.
    left: Option<usize>,
    /// Messages until nothing more is said, where it is forgotten.
    answers: Option<usize>,
    /// What is late on its way here, and on its way to the client.
    pub(super) inward: Way,
    pub(super) outward: Way,
    /// The client has ended it: what it sent before still arrives.
    closing: bool,
}

/// What becomes of a connection for SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It stands, under this number.
    Stands(u64),
    /// The port is closed, or nobody is there.
    Refused,
    /// A certificate that must not be accepted.
    Certificate(CertificateFault),
    /// Over TLS: what comes is no TLS.
    NoTls,
    /// Over TLS: nothing comes, so that there is no handshake.
    Silent,
}

/// What the carrier says of SIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It sends on a connection.
    Bytes(u64, Bytes),
    /// It ends a connection.
    Closed(u64),
    /// It sends over UDP.
    Datagram(Datagram),
}

impl Sim {
    /// A connection for SIP from a client.
    pub fn connect(&mut self, server: SocketAddr, tls: bool, client: SocketAddr, now: Instant) -> Opened {
        self.at(now);
        let addresses = self.state.addresses;
        let port = if tls { addresses.sips.port() } else { addresses.sip.port() };
        let here = server.ip();
        let faults = self.state.faults.at(here);
        if server.port() != port
            || !self.state.places.contains(&here)
            || self.state.faults.is_armed_at(Fault::Refuse(Service::Sip), here)
        {
            return Opened::Refused;
        }
        let reset = faults.strikes(Fault::Reset(Service::Sip));
        let hole = !reset && faults.strikes(Fault::BlackHole(Service::Sip));
        let garbage = !reset && !hole && faults.strikes(Fault::Garbage(Service::Sip));
        if tls && hole {
            return Opened::Silent;
        }
        if tls && garbage {
            return Opened::NoTls;
        }
        let certificate = faults.strike(|fault| {
            if let Fault::Certificate(Service::Sip, kind) = *fault { tls.then_some(kind) } else { None }
        });
        if let Some(certificate) = certificate.filter(|_| !reset) {
            return Opened::Certificate(certificate);
        }
        let dumb = hole || garbage || faults.strikes(Fault::Slow(Service::Sip));
        let cut = [Fault::Cut(Service::Sip), Fault::ResetMidway(Service::Sip)];
        let left = cut.into_iter().any(|fault| faults.strikes(fault)).then_some(CUT_AFTER);
        let answers = faults.strikes(Fault::HalfOpen(Service::Sip)).then_some(1);
        let ConnectionId(id) = self.ports.numbers.next();
        if reset {
            self.out.push(Said::Closed(id));
            return Opened::Stands(id);
        }
        if garbage {
            self.out.push(Said::Bytes(id, Bytes::from_static(GARBAGE)));
        }
        let (outlet, outbound) = mpsc::channel(OUTBOUND_MESSAGES);
        let transport = if tls { Transport::Tls } else { Transport::Tcp };
        let opened = format!("[connection over {}]", transport.as_str());
        self.state.recorder.record(Service::Sip, Direction::Received, client, opened);
        let framer = Framer::accepting(Limits::default());
        // As over sockets, each connection has chances of its own.
        let way = |number| Way::new(self.sip_impairment.clone(), self.seed.wrapping_add(2 * id + number));
        let connection = Connection {
            framer,
            outlet: outbound,
            here,
            peer: client,
            dumb,
            left,
            answers,
            inward: way(0),
            outward: way(1),
            closing: false,
        };
        self.connections.insert(id, connection);
        let id = ConnectionId(id);
        self.switch.handle(Input::Opened { id, transport, peer: client, local: server, outlet });
        Opened::Stands(id.0)
    }

    /// Bytes that a client sends on a connection.
    pub fn received(&mut self, id: u64, bytes: &[u8], now: Instant) {
        self.at(now);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.inward.is_clear() {
            self.arrived(id, bytes);
        } else {
            connection.inward.push(bytes, now);
        }
    }

    /// They have arrived.
    fn arrived(&mut self, id: u64, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.dumb) else {
            return;
        };
        connection.framer.push(bytes);
        let mut messages = Vec::new();
        let mut broken = false;
        while let Some(frame) = connection.framer.next() {
            match frame {
                Ok(Frame::Message(message)) => {
                    let redacted = z5_sip::wire::redact(&message);
                    self.state.recorder.record(Service::Sip, Direction::Received, connection.peer, redacted);
                    messages.push(message);
                }
                Ok(Frame::Ping) if self.state.faults.strikes(Fault::NoPong) => {}
                Ok(Frame::Ping) if connection.answers == Some(0) => {}
                Ok(Frame::Ping) => {
                    let now = self.state.clock.now().into_std();
                    connection.say(id, Bytes::from_static(b"\r\n"), now, &mut self.out);
                }
                Ok(Frame::Pong) => {}
                Err(_) => broken = true,
            }
        }
        for message in messages {
            self.switch.handle(Input::Message { id: ConnectionId(id), message });
        }
        if broken {
            self.end(id);
        }
        self.settle();
    }

    /// A client ends a connection.
    pub fn closed(&mut self, id: u64, now: Instant) {
        self.at(now);
        match self.connections.get_mut(&id) {
            Some(connection) if !connection.inward.is_empty() => connection.closing = true,
            Some(_) | None => self.end(id),
        }
        self.out.retain(|said| !matches!(said, Said::Bytes(of, _) | Said::Closed(of) if *of == id));
        self.settle();
    }

    /// Ends every connection for SIP at an address, as a server that is switched off does.
    pub fn cut_sip(&mut self, here: IpAddr, now: Instant) {
        self.at(now);
        let ids: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.here == here)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.end(id);
            self.out.push(Said::Closed(id));
        }
        // Over UDP nobody is told.
        self.switch.handle(Input::Cut { here });
        self.settle();
    }

    /// What the carrier has said since it was asked last.
    pub fn said(&mut self) -> Vec<Said> {
        self.settle();
        std::mem::take(&mut self.out)
    }

    /// What was late on connections for SIP and is due arrives at its end.
    pub(super) fn carry(&mut self, now: Instant) {
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            while let Some(bytes) = self.connections.get_mut(&id).and_then(|one| one.inward.due(now)) {
                self.arrived(id, &bytes);
            }
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            while let Some(bytes) = connection.outward.due(now) {
                self.out.push(Said::Bytes(id, bytes.into()));
            }
            if connection.closing && connection.inward.is_empty() {
                self.end(id);
            }
        }
    }

    fn end(&mut self, id: u64) {
        if self.connections.remove(&id).is_some() {
            self.switch.handle(Input::Closed { id: ConnectionId(id) });
        }
    }

    /// Carries what is between switch and far ends, and collects what goes to clients, until nothing moves.
    pub(super) fn settle(&mut self) {
        let now = self.state.clock.now().into_std();
        self.switch.tell_of_mail();
        loop {
            let mut moved = false;
            while let Ok(message) = self.for_far_ends.try_recv() {
                moved = true;
                for message in self.far_ends.handle(&message) {
                    self.switch.handle(Input::Message { id: FAR_ENDS, message });
                }
            }
            let mut ended = Vec::new();
            for (id, connection) in &mut self.connections {
                loop {
                    match connection.outlet.try_recv() {
                        Ok(bytes) if connection.dumb || connection.answers == Some(0) => drop(bytes),
                        Ok(mut bytes) => {
                            moved = true;
                            if let Some(answers) = &mut connection.answers {
                                *answers -= 1;
                            }
                            if let Some(left) = &mut connection.left {
                                bytes.truncate(*left);
                                *left -= bytes.len();
                            }
                            if !bytes.is_empty() {
                                connection.say(*id, bytes, now, &mut self.out);
                            }
                            if connection.left == Some(0) {
                                ended.push(*id);
                                break;
                            }
                        }
                        Err(mpsc::error::TryRecvError::Empty) => break,
                        // The switch has given it up.
                        Err(mpsc::error::TryRecvError::Disconnected) => {
                            ended.push(*id);
                            break;
                        }
                    }
                }
            }
            for id in ended {
                moved = true;
                self.end(id);
                self.out.push(Said::Closed(id));
            }
            moved |= self.settle_datagrams(now);
            if !moved {
                return;
            }
        }
    }
}

impl Connection {
    /// Sends bytes to the client, which come at once or late; none to one that has gone.
    fn say(&mut self, id: u64, bytes: Bytes, now: Instant, out: &mut Vec<Said>) {
        if self.closing {
            return;
        }
        if self.outward.is_clear() {
            out.push(Said::Bytes(id, bytes));
        } else {
            self.outward.push(&bytes, now);
        }
    }
}
