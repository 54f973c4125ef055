//! What the packet thread is told, and how it obeys: streams and shared sockets come, change and go.

use std::cmp::Reverse;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use super::send::transmit;
use super::stream::{Feed, NetFigures, NetStream, Sockets};
use super::{Net, SHARED, Sharing};
use crate::batch::{Batch, MAX_BATCH};
use crate::engine::config::StreamId;
use crate::engine::registry;
use crate::engine::shared::SharedSockets;

/// What the packet thread is told.
pub(in crate::engine) enum Command {
    Add(Box<NetStream>),
    Share(Box<SharedSockets>),
    SetReceive {
        id: StreamId,
        receive: bool,
    },
    /// Only streams of pre-encoded media are told here; the worker is for the others.
    SetSend {
        id: StreamId,
        send: bool,
    },
    SetRemote {
        id: StreamId,
        remote: SocketAddr,
        remote_rtcp: SocketAddr,
    },
    /// Never of a stream on a shared pair.
    SetLocal {
        id: StreamId,
        sockets: Box<Sockets>,
        local: [SocketAddr; 2],
    },
    Watch {
        id: StreamId,
        patience: Option<Duration>,
    },
    SetReceiver {
        id: StreamId,
        receiver: Box<crate::srtp::Receiver>,
    },
    SetPayloadTypes {
        id: StreamId,
        payload_types: Vec<u8>,
        clock_rate: u32,
    },
    Figures {
        id: StreamId,
        reply: mpsc::SyncSender<NetFigures>,
    },
    Stop {
        id: StreamId,
        reply: mpsc::SyncSender<NetFigures>,
    },
    /// A datagram that came before the stream did, in simulated time.
    Waited {
        id: StreamId,
        end: usize,
        datagram: Vec<u8>,
        from: SocketAddr,
    },
    Shutdown,
}

/// Lets the packet thread be told when something waits at a stream's socket; see [`LEVELS`](super::LEVELS).
fn wait_for(registry: &Registry, socket: &mut UdpSocket, token: Token) -> io::Result<()> {
    registry.register(socket, token, Interest::READABLE)?;
    #[cfg(target_os = "linux")]
    crate::batch::tell_while_readable(registry, socket, token.0)?;
    Ok(())
}

impl Net {
    /// Carries out commands; `false` when the engine ends.
    pub(super) fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Add(stream)) => self.add(stream),
                Ok(Command::Share(sockets)) => self.share(*sockets),
                Ok(Command::SetSend { id, send }) => {
                    if let Some(stream) = self.stream(id)
                        && let Feed::Load(load) = &mut stream.feed
                    {
                        load.set_send(send);
                    }
                }
                Ok(Command::SetReceive { id, receive }) => {
                    if let Some(stream) = self.stream(id) {
                        stream.session.set_receive(receive);
                        self.arm(id.slot());
                    }
                }
                Ok(Command::SetRemote { id, remote, remote_rtcp }) => {
                    self.set_remote(id, remote, remote_rtcp);
                }
                Ok(Command::SetLocal { id, sockets, local }) => self.set_local(id, *sockets, local),
                Ok(Command::Watch { id, patience }) => {
                    if let Some(stream) = self.stream(id) {
                        stream.session.set_patience(patience);
                        self.arm(id.slot());
                    }
                }
                Ok(Command::SetReceiver { id, receiver }) => {
                    if let Some(stream) = self.stream(id) {
                        stream.session.set_receiver(*receiver);
                    }
                }
                Ok(Command::SetPayloadTypes { id, payload_types, clock_rate }) => {
                    if let Some(stream) = self.stream(id) {
                        stream.session.set_payload_types(&payload_types, clock_rate);
                    }
                }
                Ok(Command::Figures { id, reply }) => {
                    if let Some(stream) = self.stream(id) {
                        // The asker may have given up; then nobody misses the answer.
                        let _ = reply.try_send(stream.figures());
                    }
                }
                Ok(Command::Stop { id, reply }) => {
                    if let Some(figures) = self.stop(id) {
                        let _ = reply.try_send(figures);
                    }
                }
                Ok(Command::Waited { id, end, mut datagram, from }) => {
                    self.take(id.slot(), end, &mut datagram, from);
                }
                Err(mpsc::TryRecvError::Empty) => return true,
                Ok(Command::Shutdown) | Err(mpsc::TryRecvError::Disconnected) => {
                    let left: Vec<StreamId> = self.streams.iter().flatten().map(|s| s.id).collect();
                    for id in left {
                        self.stop(id);
                    }
                    return false;
                }
            }
        }
    }

    fn add(&mut self, mut stream: Box<NetStream>) {
        let slot = stream.id.slot();
        match &mut stream.sockets {
            Sockets::Own { .. } | Sockets::Simulated(_) => self.listen(stream.id, &mut stream.sockets),
            Sockets::Shared(claim) => {
                // The registry holds the same claims and has refused what cannot be.
                if let Some(sharing) = self.sharing.get_mut(claim.place.index)
                    && registry::put(&mut sharing.tables, claim, slot).is_err()
                {
                    tracing::error!(stream = %stream.id, "the media of another stream come from the same place");
                }
            }
        }
        if self.streams.len() <= slot {
            self.streams.resize_with(slot + 1, || None);
            self.queued.resize(2 * (slot + 1), false);
        }
        stream.armed = stream.session.next_deadline();
        self.timers.push(Reverse((stream.armed, slot as u32, stream.id.0)));
        let (id, load) = (stream.id, matches!(stream.feed, Feed::Load(_)));
        let own = matches!(stream.sockets, Sockets::Own { .. });
        self.streams[slot] = Some(stream);
        if own {
            // What came before registration makes no edge.
            self.queue(2 * slot);
            self.queue(2 * slot + 1);
        }
        if load {
            // The first packet leaves at once; the others where the wheel has room.
            let now = self.clock.now();
            if let Some(ticks) = self.send_load(slot, id.0 as u32, now)
                && let Some(wheel) = &mut self.wheel
            {
                wheel.add(slot as u32, id.0 as u32, ticks, now);
            }
        }
    }

    /// Waits for what comes to sockets of its own.
    fn listen(&self, id: StreamId, sockets: &mut Sockets) {
        let (Sockets::Own { rtp, rtcp }, Some(registry)) = (sockets, &self.registry) else { return };
        let first = 2 * id.slot();
        let registered =
            wait_for(registry, rtp, Token(first)).and_then(|()| wait_for(registry, rtcp, Token(first + 1)));
        if let Err(error) = registered {
            tracing::error!(%error, stream = %id, "cannot wait for the media sockets");
        }
    }

    /// The opposite.
    fn unlisten(&self, id: StreamId, sockets: &mut Sockets) {
        let (Sockets::Own { rtp, rtcp }, Some(registry)) = (sockets, &self.registry) else { return };
        for socket in [rtp, rtcp] {
            if let Err(error) = registry.deregister(socket) {
                tracing::debug!(%error, stream = %id, "cannot deregister a media socket");
            }
        }
    }

    /// A stream goes on on other sockets; the old ones are closed.
    fn set_local(&mut self, id: StreamId, mut sockets: Sockets, local: [SocketAddr; 2]) {
        let Some(mut stream) = self.streams.get_mut(id.slot()).and_then(|it| it.take_if(|it| it.id == id))
        else {
            return;
        };
        self.unlisten(id, &mut stream.sockets);
        self.listen(id, &mut sockets);
        (stream.sockets, stream.local) = (sockets, local);
        let own = matches!(stream.sockets, Sockets::Own { .. });
        self.streams[id.slot()] = Some(stream);
        if own {
            // As of a stream that is new.
            self.queue(2 * id.slot());
            self.queue(2 * id.slot() + 1);
        }
    }

    /// Takes over a socket pair that streams will share.
    fn share(&mut self, sockets: SharedSockets) {
        let index = self.sharing.len();
        let mut sharing = Sharing::new(sockets);
        for (end, socket) in sharing.sockets.iter_mut().enumerate() {
            let token = Token(SHARED + 2 * index + end);
            let registry = self.registry.as_ref();
            if let Some(Err(error)) = registry.map(|it| it.register(socket, token, Interest::READABLE)) {
                tracing::error!(%error, "cannot wait for the shared media sockets");
            }
        }
        self.wide.get_or_insert_with(|| Batch::wide(MAX_BATCH));
        self.sharing.push(sharing);
        self.queue(SHARED + 2 * index);
        self.queue(SHARED + 2 * index + 1);
    }

    fn set_remote(&mut self, id: StreamId, remote: SocketAddr, remote_rtcp: SocketAddr) {
        let slot = id.slot();
        let Some(Some(stream)) =
            self.streams.get_mut(slot).filter(|s| s.as_ref().is_some_and(|s| s.id == id))
        else {
            return;
        };
        stream.session.set_remote(remote, if stream.mux { remote } else { remote_rtcp });
        if let Sockets::Shared(claim) = &mut stream.sockets
            && let Some(sharing) = self.sharing.get_mut(claim.place.index)
        {
            registry::take(&mut sharing.tables, claim);
            claim.remote = remote;
            claim.remote_rtcp = claim.remote_rtcp.and(Some(remote_rtcp));
            if registry::put(&mut sharing.tables, claim, slot).is_err() {
                tracing::error!(stream = %id, "the media of another stream come from the same place");
            }
        }
    }

    /// Sends what is left and says goodbye.
    fn stop(&mut self, id: StreamId) -> Option<NetFigures> {
        self.stream(id)?;
        let now = self.clock.now();
        self.send_frames(id.slot(), now);
        self.flush_shared();
        let mut stream = self.streams.get_mut(id.slot())?.take()?;
        if let Some(len) = stream.session.goodbye(&mut self.buffer[..], now) {
            let to = stream.session.rtcp_destination();
            transmit(&mut stream, &mut self.sharing, &self.buffer[..len], (to, true), now);
        }
        match &mut stream.sockets {
            Sockets::Own { .. } | Sockets::Simulated(_) => self.unlisten(id, &mut stream.sockets),
            Sockets::Shared(claim) => {
                if let Some(sharing) = self.sharing.get_mut(claim.place.index) {
                    registry::take(&mut sharing.tables, claim);
                }
            }
        }
        Some(stream.figures())
    }
}
