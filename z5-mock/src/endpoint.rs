//! A TCP port of the carrier: bound early, listening or refusing as the faults say, with bounded connections.
//!
//! A bound socket that does not listen keeps the port number ours while connections to it are refused, so a refusal can
//! come and go at run time.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fault::{Fault, Faults};
use crate::recorder::{Direction, Recorder, Service};
use crate::shaped::Shape;

/// Connections of one server at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;
/// Length of the kernel's queue.
const BACKLOG: u32 = 1024;
/// How often a port is tried again when the kernel will not give it back at once.
const REBIND_PAUSE: Duration = Duration::from_millis(20);

/// A bound port that does not listen yet.
pub(crate) struct Reserved {
    socket: TcpSocket,
    pub(crate) addr: SocketAddr,
}

impl Reserved {
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // After a shutdown the same fixed port must be usable at once, as a server would do.
        socket.set_reuseaddr(addr.port() != 0)?;
        socket.bind(addr)?;
        let addr = socket.local_addr()?;
        Ok(Self { socket, addr })
    }

    pub(crate) fn listen(self) -> io::Result<TcpListener> {
        self.socket.listen(BACKLOG)
    }
}

enum Port {
    /// Bound and listening.
    Open(TcpListener),
    /// Bound, refusing.
    Closed(TcpSocket),
    /// To be bound again.
    Lost,
}

impl Port {
    fn open(socket: TcpSocket) -> Self {
        socket.listen(BACKLOG).map_or(Self::Lost, Self::Open)
    }
}

/// What every connection of a server shares.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) service: Service,
    /// The local address, for faults at one of several.
    pub(crate) address: IpAddr,
    pub(crate) faults: Faults,
    pub(crate) recorder: Recorder,
}

impl Endpoint {
    /// Listens at once unless it is to refuse; the future accepts connections until dropped, and they end with it.
    pub(crate) fn serve<H, F>(self, reserved: Reserved, handler: H) -> impl Future<Output = ()> + Send
    where
        H: Fn(TcpStream, SocketAddr, Shape) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let addr = reserved.addr;
        let mut changes = self.faults.subscribe();
        let mut port =
            if self.refuses() { Port::Closed(reserved.socket) } else { Port::open(reserved.socket) };
        async move {
            let handler = Arc::new(handler);
            let mut connections = JoinSet::new();
            loop {
                port = match port {
                    Port::Open(listener) => {
                        self.accept(&listener, &mut changes, &mut connections, &handler).await;
                        Port::Lost
                    }
                    Port::Lost if self.refuses() => Port::Closed(rebind(addr).await),
                    Port::Lost => Port::open(rebind(addr).await),
                    Port::Closed(socket) if self.refuses() => match changes.changed().await {
                        Ok(()) => Port::Closed(socket),
                        Err(_) => return,
                    },
                    Port::Closed(socket) => Port::open(socket),
                };
            }
        }
    }

    /// Returns when the port is to refuse.
    async fn accept<H, F>(
        &self,
        listener: &TcpListener,
        changes: &mut watch::Receiver<u64>,
        connections: &mut JoinSet<()>,
        handler: &Arc<H>,
    ) where
        H: Fn(TcpStream, SocketAddr, Shape) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() || self.refuses() {
                        return;
                    }
                }
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                    let Ok((stream, peer)) = accepted else { continue };
                    let endpoint = self.clone();
                    let handler = Arc::clone(handler);
                    connections.spawn(async move { endpoint.connection(stream, peer, handler.as_ref()).await });
                }
            }
        }
    }

    async fn connection<H, F>(&self, mut stream: TcpStream, peer: SocketAddr, handler: &H)
    where
        H: Fn(TcpStream, SocketAddr, Shape) -> F + Send + Sync,
        F: Future<Output = ()> + Send,
    {
        // Each message is written whole, so Nagle's algorithm could only add delay.
        let _ = stream.set_nodelay(true);
        let service = self.service;
        let faults = self.faults.at(self.address);
        if faults.strikes(Fault::Reset(service)) {
            self.note(peer, "[connection reset]");
            let _ = stream.set_zero_linger();
        } else if faults.strikes(Fault::BlackHole(service)) {
            self.note(peer, "[connection black-holed]");
            swallow(&mut stream).await;
        } else if faults.strikes(Fault::Garbage(service)) {
            self.note(peer, "[garbage sent]");
            let _ = stream.write_all(GARBAGE).await;
            swallow(&mut stream).await;
        } else {
            let shape = Shape::decide(faults, service);
            if matches!(shape, Shape::Reset { .. }) {
                let _ = stream.set_zero_linger();
            }
            handler(stream, peer, shape).await;
        }
    }

    fn refuses(&self) -> bool {
        self.faults.is_armed_at(Fault::Refuse(self.service), self.address)
    }

    fn note(&self, peer: SocketAddr, text: &str) {
        self.recorder.record(self.service, Direction::Sent, peer, text);
    }
}

/// What is said in place of any protocol.
pub(crate) const GARBAGE: &[u8] = b"\x00\xff\x17 this is no protocol \x80\x81\r\n\r\n";

/// Reads and forgets until the other side closes.
async fn swallow(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while matches!(stream.read(&mut buffer).await, Ok(read) if read > 0) {}
}

async fn rebind(addr: SocketAddr) -> TcpSocket {
    loop {
        if let Ok(reserved) = Reserved::bind(addr) {
            return reserved.socket;
        }
        crate::clock::after(REBIND_PAUSE).await;
    }
}
