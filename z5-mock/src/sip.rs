//! The MCS over SIP (steps 4 and 5): connections over TCP and TLS and datagrams in, one switch that holds all state.
//!
//! A connection task only frames (RFC 3261 section 18.3), answers keep-alive pings (RFC 5626 section 4.4.1) and writes
//! what the switch sends; everything else is decided in the switch.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use z5_sip::wire::{Frame, Framer, Limits, Message, Transport};

use crate::fault::{CertificateFault, Fault};
use crate::impairment::Conditions;
use crate::pipe::Pipe;
use crate::recorder::{Direction, Recorder, Service};
use crate::shaped::{Shape, Shaped};
use crate::tls;

pub(crate) mod abandoned;
pub(crate) mod bindings;
pub(crate) mod calls;
pub(crate) mod datagrams;
pub(crate) mod description;
pub(crate) mod forks;
pub(crate) mod mwi;
pub(crate) mod proxy;
pub(crate) mod registrar;
pub(crate) mod switch;
pub(crate) mod trouble;

/// Messages that may wait to be written on one connection; a client that reads slower is cut off.
pub(crate) const OUTBOUND_MESSAGES: usize = 256;
/// Inputs that may wait for the switch; connections stop reading when it is full.
pub(crate) const SWITCH_INPUTS: usize = 1024;
const READ_BYTES: usize = 16 * 1024;

/// A connection's number, never used twice; 0 is the far ends' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// The connection that far ends use.
pub(crate) const FAR_ENDS: ConnectionId = ConnectionId(0);

/// Numbers for connections of one carrier, from 1 on; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(Arc<AtomicU64>);

impl Numbers {
    pub(crate) fn next(&self) -> ConnectionId {
        ConnectionId(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// What reaches the switch.
pub(crate) enum Input {
    Opened {
        id: ConnectionId,
        transport: Transport,
        peer: SocketAddr,
        local: SocketAddr,
        outlet: mpsc::Sender<Bytes>,
    },
    Message {
        id: ConnectionId,
        message: Message,
    },
    Closed {
        id: ConnectionId,
    },
    /// Every connection at this address of the carrier ends.
    Cut {
        here: IpAddr,
    },
}

/// Makes a task for each accepted connection.
pub(crate) struct Door {
    pub(crate) switch: mpsc::Sender<Input>,
    pub(crate) faults: crate::fault::Faults,
    pub(crate) recorder: Recorder,
    pub(crate) numbers: Numbers,
    /// What happens on the way.
    pub(crate) conditions: Conditions,
    pub(crate) seed: u64,
}

impl Door {
    pub(crate) async fn connection(&self, stream: TcpStream, peer: SocketAddr, shape: Shape) {
        let Ok(local) = stream.local_addr() else { return };
        let id = self.numbers.next();
        let stream = Shaped::new(self.impaired(id, stream), shape);
        self.serve(id, stream, Transport::Tcp, local, peer).await;
    }

    /// The same behind TLS.
    pub(crate) async fn secure_connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        shape: Shape,
        acceptor: impl Fn(Option<CertificateFault>) -> TlsAcceptor,
    ) {
        let Ok(local) = stream.local_addr() else { return };
        let fault = self.faults.at(local.ip()).strike(|fault| {
            if let Fault::Certificate(Service::Sip, kind) = *fault { Some(kind) } else { None }
        });
        let id = self.numbers.next();
        match acceptor(fault).accept(self.impaired(id, stream)).await {
            Ok(stream) => {
                let negotiated = tls::negotiated(stream.get_ref().1);
                self.recorder.record(Service::Sip, Direction::Received, peer, negotiated);
                self.serve(id, Shaped::new(stream, shape), Transport::Tls, local, peer).await;
            }
            Err(error) => {
                let why = format!("[TLS handshake failed: {error}]");
                self.recorder.record(Service::Sip, Direction::Received, peer, why);
            }
        }
    }

    /// The stream behind the network as it is told to be; each connection has chances of its own.
    fn impaired(&self, ConnectionId(id): ConnectionId, stream: TcpStream) -> Pipe<TcpStream> {
        Pipe::new(stream, &self.conditions, self.seed.wrapping_add(2 * id))
    }

    async fn serve(
        &self,
        id: ConnectionId,
        mut stream: Shaped<impl AsyncRead + AsyncWrite + Unpin>,
        transport: Transport,
        local: SocketAddr,
        peer: SocketAddr,
    ) {
        let (outlet, outbound) = mpsc::channel(OUTBOUND_MESSAGES);
        if self.switch.send(Input::Opened { id, transport, peer, local, outlet }).await.is_err() {
            return;
        }
        let opened = format!("[connection over {}]", transport.as_str());
        self.recorder.record(Service::Sip, Direction::Received, peer, opened);
        let why = self.run(id, &mut stream, peer, outbound).await;
        self.recorder.record(Service::Sip, Direction::Received, peer, format!("[connection ended: {why}]"));
        // The switch may be gone already; then nobody needs to know.
        let _ = self.switch.send(Input::Closed { id }).await;
    }

    async fn run(
        &self,
        id: ConnectionId,
        stream: &mut Shaped<impl AsyncRead + AsyncWrite + Unpin>,
        peer: SocketAddr,
        mut outbound: mpsc::Receiver<Bytes>,
    ) -> String {
        let mut framer = Framer::accepting(Limits::default());
        let mut buffer = vec![0; READ_BYTES];
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(0) => return "closed by the client".to_owned(),
                    Err(error) => return error.to_string(),
                    Ok(length) => framer.push(&buffer[..length]),
                },
                bytes = outbound.recv() => {
                    let Some(bytes) = bytes else { return "closed by the carrier".to_owned() };
                    let written = async {
                        stream.write_all(&bytes).await?;
                        // TLS keeps what the socket has not taken
                        stream.flush().await
                    };
                    if let Err(error) = written.await {
                        return error.to_string();
                    }
                    continue;
                }
            }
            while let Some(frame) = framer.next() {
                match frame {
                    Ok(Frame::Message(message)) => {
                        let redacted = z5_sip::wire::redact(&message);
                        self.recorder.record(Service::Sip, Direction::Received, peer, redacted);
                        if self.switch.send(Input::Message { id, message }).await.is_err() {
                            return "the carrier ends".to_owned();
                        }
                    }
                    Ok(Frame::Ping) if self.faults.strikes(Fault::NoPong) => {}
                    Ok(Frame::Ping) => {
                        if let Err(error) = stream.write_all(b"\r\n").await.and(stream.flush().await) {
                            return error.to_string();
                        }
                    }
                    Ok(Frame::Pong) => {}
                    Err(error) => return format!("unreadable: {error}"),
                }
            }
        }
    }
}
