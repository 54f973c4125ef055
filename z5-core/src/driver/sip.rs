//! A SIP connection over TCP: no Nagle delay, one write per turn, bytes up as they come.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use z5_sip::ua::{FlowEnd, FlowId};

use super::{Fact, Facts, race};
use crate::error::{Attempt, AttemptOutcome};

/// Room for one read; a SIP message is seldom larger.
const READ_BUFFER: usize = 16 * 1024;
/// Reads that may wait to be handled: at most this many times [`READ_BUFFER`] per connection.
const READS_QUEUED: usize = 16;
/// How long the last bytes of a closing connection may take.
const LAST_BYTES: std::time::Duration = std::time::Duration::from_millis(100);

/// Connects and reports.
pub(super) fn connect(flow: FlowId, targets: Vec<SocketAddr>, facts: Facts) {
    tokio::spawn(async move {
        let fact = match race::connect(&targets).await {
            Ok((stream, _)) => Fact::Connected { flow, stream },
            Err(attempts) => Fact::ConnectFailed { flow, attempts },
        };
        drop(facts.send(fact));
    });
}

/// An open connection.
pub(super) struct Connection {
    to_writer: mpsc::UnboundedSender<Bytes>,
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
}

impl Connection {
    /// Takes a connected stream; gives both ends' addresses.
    pub(super) fn open(
        flow: FlowId,
        stream: TcpStream,
        facts: Facts,
    ) -> Result<(Self, SocketAddr, SocketAddr), Vec<Attempt>> {
        let ends = stream.set_nodelay(true).and_then(|()| Ok((stream.local_addr()?, stream.peer_addr()?)));
        let (local, remote) = ends.map_err(|error| {
            let address = SocketAddr::from(([0, 0, 0, 0], 0));
            vec![Attempt { address, outcome: AttemptOutcome::from_io(&error, std::time::Duration::ZERO) }]
        })?;
        let (read, write) = stream.into_split();
        let (to_writer, from_core) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write_all(flow, write, from_core, facts.clone()));
        let reader = tokio::spawn(read_all(flow, read, facts));
        Ok((Self { to_writer, writer, reader }, local, remote))
    }

    /// Sends the bytes of one turn.
    pub(super) fn write(&mut self, bytes: Bytes) {
        drop(self.to_writer.send(bytes));
    }

    /// Closes; what was written before still goes out. The task that is returned ends when it has, or when the time for it is up.
    pub(super) fn close(self) -> JoinHandle<()> {
        let Self { to_writer, mut writer, reader } = self;
        reader.abort();
        drop(to_writer);
        tokio::spawn(async move {
            if tokio::time::timeout(LAST_BYTES, &mut writer).await.is_err() {
                writer.abort();
            }
        })
    }
}

async fn write_all(
    flow: FlowId,
    mut write: OwnedWriteHalf,
    mut from_core: mpsc::UnboundedReceiver<Bytes>,
    facts: Facts,
) {
    while let Some(bytes) = from_core.recv().await {
        if write.write_all(&bytes).await.is_err() {
            drop(facts.send(Fact::Closed { flow, why: FlowEnd::Reset }));
            return;
        }
    }
    // A failure to say goodbye changes nothing.
    drop(write.shutdown().await);
}

async fn read_all(flow: FlowId, mut read: OwnedReadHalf, facts: Facts) {
    let mut buffer = BytesMut::with_capacity(READ_BUFFER);
    let reads = Arc::new(Semaphore::new(READS_QUEUED));
    let why = loop {
        // A far end that sends faster than it is handled waits in the window of TCP, not in our memory.
        let Ok(room) = Arc::clone(&reads).acquire_owned().await else { return };
        buffer.reserve(READ_BUFFER);
        match (&mut read).take(READ_BUFFER as u64).read_buf(&mut buffer).await {
            Ok(0) => break FlowEnd::Closed,
            Ok(_) => {
                if facts.send(Fact::Received { flow, bytes: buffer.split().freeze(), room }).is_err() {
                    return;
                }
            }
            Err(_) => break FlowEnd::Reset,
        }
    };
    drop(facts.send(Fact::Closed { flow, why }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 2 * 1024 * 1024;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn the_last_bytes_go_out_before_the_end() {
        let (near, mut far) = pair().await;
        let (facts, _facts_in) = mpsc::unbounded_channel();
        let (mut connection, ..) = Connection::open(FlowId(1), near, facts).unwrap();
        connection.write(Bytes::from_static(b"BYE"));
        connection.close().await.unwrap();
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"BYE");
    }

    #[tokio::test]
    async fn a_far_end_that_floods_waits() {
        let (near, mut far) = pair().await;
        let (facts, mut facts_in) = mpsc::unbounded_channel();
        let (_connection, ..) = Connection::open(FlowId(1), near, facts).unwrap();
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
                | Fact::Stream { .. } => {}
            }
        }
        flood.await.unwrap().unwrap();
        assert_eq!(seen, MANY);
    }
}
