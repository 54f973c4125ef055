//! A SIP flow: TCP without Nagle's delay, TLS on it, or a connected UDP socket. One write per turn on a stream, one datagram per
//! message on UDP, bytes up as they come. What waits to be written is bounded: a server that reads nothing ends its flow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use z5_media::capture::{self, Capture};
use z5_sip::locate::Target;
use z5_sip::ua::{FlowEnd, FlowId, Transport};

use super::tap::{Tap, Tapped};
use super::tls::Trust;
use super::{Fact, Facts, race, tls, tracer};
use crate::clock;
use crate::error::{Attempt, AttemptOutcome, millis};
use crate::machine::transport_name;
use crate::trace::TlsFacts;

/// Room for one read; a SIP message is seldom larger.
const READ_BUFFER: usize = 16 * 1024;
/// The largest UDP datagram (RFC 768 and RFC 791: 65 535 octets with both headers).
const DATAGRAM: usize = 65_535;
/// Reads that may wait to be handled: at most this many times [`READ_BUFFER`] per connection.
const READS_QUEUED: usize = 16;
/// Bytes that may wait to be written. All that one account has under way at a time is a few tens of messages; more waits
/// only for a server that has stopped reading.
const MAX_UNWRITTEN: usize = 256 * 1024;
/// How long the last bytes of a closing connection may take.
const LAST_BYTES: std::time::Duration = std::time::Duration::from_millis(100);

/// A connection that was made.
pub(crate) enum Link {
    Tcp(TcpStream),
    /// With the name that the certificate is for.
    Tls(Box<TlsStream<Tapped<TcpStream>>>, String),
    Udp(UdpSocket),
    /// Without a socket, in simulated time.
    Simulated(Ends),
}

/// Connects and reports.
pub(super) fn connect(
    flow: FlowId,
    targets: Vec<Target>,
    trust: Arc<Trust>,
    capture: Option<Arc<Capture>>,
    facts: Facts,
) {
    tokio::spawn(async move {
        let one = |target: Target| {
            let (address, link) = (target.address, one(target, Arc::clone(&trust), capture.clone()));
            async move { link.await.map(|link| (link, address)) }
        };
        let fact = match race::run(targets, one).await {
            Ok(((link, remote), tried)) => Fact::Connected { flow, link, remote, tried },
            Err(attempts) => Fact::ConnectFailed { flow, attempts },
        };
        drop(facts.send(fact));
    });
}

async fn one(target: Target, trust: Arc<Trust>, capture: Option<Arc<Capture>>) -> Result<Link, Attempt> {
    let transport = Some(transport_name(target.transport));
    let failed = |outcome| Attempt { address: target.address, transport, outcome };
    match target.transport {
        Transport::Tcp => race::tcp(target.address, transport).await.map(Link::Tcp),
        Transport::Tls => {
            let (connector, name) =
                trust.for_name(&target.name).map_err(|why| failed(AttemptOutcome::Failed { why }))?;
            let stream = race::tcp(target.address, transport).await?;
            let began = clock::now();
            let tap = match stream.local_addr() {
                Ok(local) => Tap::new(capture.as_ref(), capture::Transport::Tcp, (local, target.address)),
                // Gone again; the handshake will say so.
                Err(_) => None,
            };
            let handshake = connector.connect(name, Tapped::new(stream, tap));
            match tokio::time::timeout(race::PATIENCE, handshake).await {
                Ok(Ok(stream)) => Ok(Link::Tls(Box::new(stream), target.name)),
                Ok(Err(error)) => Err(failed(match tls::failure(&error) {
                    Some(why) => AttemptOutcome::Tls { why },
                    None => AttemptOutcome::from_io(&error, clock::now().saturating_duration_since(began)),
                })),
                Err(_) => Err(failed(AttemptOutcome::TimedOut { after_ms: millis(race::PATIENCE) })),
            }
        }
        Transport::Udp => {
            let any: SocketAddr = match target.address {
                SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
            };
            // Connected, so that only the server's datagrams come in and its ICMP errors are told.
            let made = async {
                let socket = UdpSocket::bind(any).await?;
                socket.connect(target.address).await.map(|()| socket)
            };
            made.await
                .map(Link::Udp)
                .map_err(|error| failed(AttemptOutcome::from_io(&error, std::time::Duration::ZERO)))
        }
        Transport::Sctp | Transport::Ws | Transport::Wss => {
            Err(failed(AttemptOutcome::Failed { why: "z5 does not have this transport".to_owned() }))
        }
    }
}

/// An open connection.
pub(super) struct Connection {
    flow: FlowId,
    /// Each message is a datagram of its own.
    datagrams: bool,
    to_writer: Option<mpsc::UnboundedSender<Bytes>>,
    /// Bytes given to the writer and not written yet.
    unwritten: Arc<AtomicUsize>,
    facts: Facts,
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
}

/// What is known of a connection that opened.
pub(crate) struct Ends {
    pub(super) transport: Transport,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

impl Link {
    pub(super) const fn transport(&self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Tcp,
            Self::Tls(..) => Transport::Tls,
            Self::Udp(_) => Transport::Udp,
            Self::Simulated(ends) => ends.transport,
        }
    }

    /// What its handshake came to.
    pub(super) fn tls(&self) -> Option<TlsFacts> {
        match self {
            Self::Tls(stream, name) => Some(tracer::agreed(stream.get_ref().1, name)),
            Self::Tcp(_) | Self::Udp(_) | Self::Simulated(_) => None,
        }
    }
}

impl Connection {
    /// Takes a connection that was made to this address; gives both ends' addresses. One that was reset meanwhile has no far
    /// end to be asked for: that it is gone is told like any other end.
    pub(super) fn open(
        flow: FlowId,
        link: Link,
        remote: SocketAddr,
        capture: Option<&Arc<Capture>>,
        facts: Facts,
    ) -> std::io::Result<(Self, Ends)> {
        let unwritten = Arc::new(AtomicUsize::new(0));
        let (to_writer, from_core) = mpsc::unbounded_channel();
        let queue = Queue { flow, from_core, unwritten: Arc::clone(&unwritten), facts: facts.clone() };
        let (ends, writer, reader) = match link {
            Link::Tcp(stream) => {
                stream.set_nodelay(true)?;
                let ends = Ends { transport: Transport::Tcp, local: stream.local_addr()?, remote };
                let (read, write) = stream.into_split();
                let tap = Tap::new(capture, capture::Transport::Tcp, (ends.local, ends.remote));
                (
                    ends,
                    tokio::spawn(write_all(queue, write, tap.clone())),
                    tokio::spawn(read_all(flow, read, tap, facts.clone())),
                )
            }
            Link::Tls(stream, _) => {
                let socket = stream.get_ref().0.stream();
                socket.set_nodelay(true)?;
                let ends = Ends { transport: Transport::Tls, local: socket.local_addr()?, remote };
                let (read, write) = tokio::io::split(*stream);
                // What travels is captured below the encryption.
                (
                    ends,
                    tokio::spawn(write_all(queue, write, None)),
                    tokio::spawn(read_all(flow, read, None, facts.clone())),
                )
            }
            Link::Simulated(_) => return Err(std::io::ErrorKind::Unsupported.into()),
            Link::Udp(socket) => {
                let ends = Ends { transport: Transport::Udp, local: socket.local_addr()?, remote };
                let socket = Arc::new(socket);
                let tap = Tap::new(capture, capture::Transport::Udp, (ends.local, ends.remote));
                let writer = tokio::spawn(send_all(queue, Arc::clone(&socket), tap.clone()));
                (ends, writer, tokio::spawn(receive_all(flow, socket, tap, facts.clone())))
            }
        };
        let datagrams = ends.transport == Transport::Udp;
        let to_writer = Some(to_writer);
        Ok((Self { flow, datagrams, to_writer, unwritten, facts, writer, reader }, ends))
    }

    /// Sends the messages of one turn.
    pub(super) fn write(&mut self, messages: Vec<Bytes>) {
        let Some(to_writer) = &self.to_writer else { return };
        let size: usize = messages.iter().map(Bytes::len).sum();
        if self.unwritten.fetch_add(size, Ordering::Relaxed) + size > MAX_UNWRITTEN {
            // The flow is given up: what waits will never be read, and a new flow starts with nothing.
            self.to_writer = None;
            self.writer.abort();
            self.reader.abort();
            drop(self.facts.send(Fact::Closed { flow: self.flow, why: FlowEnd::Stuck }));
            return;
        }
        if self.datagrams || messages.len() == 1 {
            for message in messages {
                drop(to_writer.send(message));
            }
        } else {
            let mut all = BytesMut::with_capacity(size);
            messages.iter().for_each(|message| all.extend_from_slice(message));
            drop(to_writer.send(all.freeze()));
        }
    }

    /// Closes; what was written before still goes out. The task that is returned ends when it has, or when the time for it is up.
    pub(super) fn close(self) -> JoinHandle<()> {
        let Self { to_writer, mut writer, reader, .. } = self;
        reader.abort();
        drop(to_writer);
        tokio::spawn(async move {
            if tokio::time::timeout(LAST_BYTES, &mut writer).await.is_err() {
                writer.abort();
            }
        })
    }
}

/// The writer's end of what the core sends.
struct Queue {
    flow: FlowId,
    from_core: mpsc::UnboundedReceiver<Bytes>,
    unwritten: Arc<AtomicUsize>,
    facts: Facts,
}

async fn write_all(mut queue: Queue, mut write: impl AsyncWrite + Unpin, tap: Option<Tap>) {
    while let Some(bytes) = queue.from_core.recv().await {
        let sent = async {
            write.write_all(&bytes).await?;
            write.flush().await
        };
        if sent.await.is_err() {
            drop(queue.facts.send(Fact::Closed { flow: queue.flow, why: FlowEnd::Reset }));
            return;
        }
        if let Some(tap) = &tap {
            tap.sent(&bytes);
        }
        queue.unwritten.fetch_sub(bytes.len(), Ordering::Relaxed);
    }
    // A failure to say goodbye changes nothing.
    drop(write.shutdown().await);
}

async fn send_all(mut queue: Queue, socket: Arc<UdpSocket>, tap: Option<Tap>) {
    while let Some(bytes) = queue.from_core.recv().await {
        match socket.send(&bytes).await {
            Err(error) if is_closed_port(&error) => {
                drop(queue.facts.send(Fact::Closed { flow: queue.flow, why: FlowEnd::Refused }));
                return;
            }
            // A datagram may be lost here as well as anywhere: the transaction repeats it.
            Err(error) => tracing::debug!(%error, "a datagram was not sent"),
            Ok(_) => {
                if let Some(tap) = &tap {
                    tap.sent(&bytes);
                }
            }
        }
        queue.unwritten.fetch_sub(bytes.len(), Ordering::Relaxed);
    }
}

async fn read_all(flow: FlowId, mut read: impl AsyncRead + Unpin, tap: Option<Tap>, facts: Facts) {
    let mut buffer = BytesMut::with_capacity(READ_BUFFER);
    let reads = Arc::new(Semaphore::new(READS_QUEUED));
    let why = loop {
        // A far end that sends faster than it is handled waits in the window of TCP, not in our memory.
        let Ok(room) = Arc::clone(&reads).acquire_owned().await else { return };
        buffer.reserve(READ_BUFFER);
        match (&mut read).take(READ_BUFFER as u64).read_buf(&mut buffer).await {
            Ok(0) => break FlowEnd::Closed,
            Ok(_) => {
                if let Some(tap) = &tap {
                    tap.received(&buffer);
                }
                if facts
                    .send(Fact::Received { flow, bytes: buffer.split().freeze(), room: Some(room) })
                    .is_err()
                {
                    return;
                }
            }
            Err(_) => break FlowEnd::Reset,
        }
    };
    drop(facts.send(Fact::Closed { flow, why }));
}

async fn receive_all(flow: FlowId, socket: Arc<UdpSocket>, tap: Option<Tap>, facts: Facts) {
    let mut buffer = vec![0; DATAGRAM];
    let reads = Arc::new(Semaphore::new(READS_QUEUED));
    let why = loop {
        let Ok(room) = Arc::clone(&reads).acquire_owned().await else { return };
        match socket.recv(&mut buffer).await {
            Ok(length) => {
                let bytes = Bytes::copy_from_slice(&buffer[..length]);
                if let Some(tap) = &tap {
                    tap.received(&bytes);
                }
                if facts.send(Fact::Received { flow, bytes, room: Some(room) }).is_err() {
                    return;
                }
            }
            Err(error) if is_closed_port(&error) => break FlowEnd::Refused,
            Err(_) => break FlowEnd::Reset,
        }
    };
    drop(facts.send(Fact::Closed { flow, why }));
}

/// What an ICMP message about a closed port becomes at a connected socket for datagrams: ECONNREFUSED, or on Windows WSAECONNRESET.
fn is_closed_port(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 2 * 1024 * 1024;
    /// Where no test looks.
    const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn the_last_bytes_go_out_before_the_end() {
        let (near, mut far) = pair().await;
        let (facts, _facts_in) = mpsc::unbounded_channel();
        let (mut connection, ..) =
            Connection::open(FlowId(1), Link::Tcp(near), ANYWHERE, None, facts).unwrap();
        connection.write(vec![Bytes::from_static(b"ACK"), Bytes::from_static(b"BYE")]);
        connection.close().await.unwrap();
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"ACKBYE");
    }

    #[tokio::test]
    async fn a_far_end_that_floods_waits() {
        let (near, mut far) = pair().await;
        let (facts, mut facts_in) = mpsc::unbounded_channel();
        let (_connection, ..) = Connection::open(FlowId(1), Link::Tcp(near), ANYWHERE, None, facts).unwrap();
        let flood = tokio::spawn(async move { far.write_all(&vec![b'x'; MANY]).await });
        let mut seen = 0;
        while let Some(fact) = facts_in.recv().await {
            assert!(facts_in.len() < READS_QUEUED, "{} reads wait", facts_in.len());
            match fact {
                Fact::Received { bytes, .. } => {
                    assert!(bytes.len() <= READ_BUFFER, "{}", bytes.len());
                    seen += bytes.len();
                }
                Fact::Closed { .. } => break,
                Fact::Looked { .. }
                | Fact::Https { .. }
                | Fact::Connected { .. }
                | Fact::ConnectFailed { .. }
                | Fact::Heard { .. }
                | Fact::Stream { .. }
                | Fact::Recalled(_)
                | Fact::NotKept(_) => {}
            }
        }
        flood.await.unwrap().unwrap();
        assert_eq!(seen, MANY);
    }

    #[tokio::test]
    async fn a_far_end_that_reads_nothing_ends_its_flow() {
        let (near, _far) = pair().await;
        let (facts, mut facts_in) = mpsc::unbounded_channel();
        let (mut connection, ..) =
            Connection::open(FlowId(1), Link::Tcp(near), ANYWHERE, None, facts).unwrap();
        // The windows of both kernels take a few megabytes, then ours is the only memory left.
        let message = Bytes::from(vec![b'x'; 64 * 1024]);
        let mut written = 0;
        while facts_in.is_empty() {
            connection.write(vec![message.clone()]);
            written += 1;
            assert!(written < 10_000, "the queue has no end");
            tokio::task::yield_now().await;
            assert!(connection.unwritten.load(Ordering::Relaxed) <= MAX_UNWRITTEN + message.len());
        }
        let fact = facts_in.recv().await;
        assert!(matches!(fact, Some(Fact::Closed { flow: FlowId(1), why: FlowEnd::Stuck })));
        connection.write(vec![message]);
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn each_message_is_a_datagram_and_a_closed_port_is_told() {
        let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = far.local_addr().unwrap();
        let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        near.connect(address).await.unwrap();
        let (facts, mut facts_in) = mpsc::unbounded_channel();
        let (mut connection, ends) =
            Connection::open(FlowId(1), Link::Udp(near), address, None, facts).unwrap();
        assert_eq!((ends.transport, ends.remote), (Transport::Udp, address));
        connection.write(vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        let mut buffer = [0; 16];
        for expected in ["one", "two"] {
            let (length, from) = far.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..length], from), (expected.as_bytes(), ends.local));
        }
        far.send_to(b"three", ends.local).await.unwrap();
        assert!(matches!(facts_in.recv().await, Some(Fact::Received { bytes, .. }) if bytes == "three"));
        drop(far);
        connection.write(vec![Bytes::from_static(b"four")]);
        let refused = facts_in.recv().await;
        assert!(matches!(refused, Some(Fact::Closed { why: FlowEnd::Refused, .. })));
    }
}
