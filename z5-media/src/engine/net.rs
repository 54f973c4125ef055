//! The packet thread: sockets, sessions, timers. No codec, file or embedder's code runs here.
//!
//! One turn: wait for readiness, commands or the next deadline (or under load for the next tick, see the pace); take at
//! most [`DATAGRAMS_PER_TURN`] datagrams, at most [`DATAGRAMS_PER_SOCKET`] of one socket before the next has its turn;
//! send what the worker made and what the wheel says is due; write due reports.

mod sharing;
mod stream;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rtrb::{Consumer, Producer};
use sharing::Sharing;
pub(super) use stream::{Feed, NetFigures, NetStream, Sockets};
use stream::{Next, Taken};

use super::config::{EventSender, StreamEvent, StreamId};
use super::pace::Pace;
use super::prefetch::prefetch;
use super::registry;
use super::shared::SharedSockets;
use super::wheel::Wheel;
use crate::batch::{Batch, MAX_BATCH, SLOT};
use crate::clock;
use crate::rtp;
use crate::stats::DropReason;

/// Datagrams taken in one turn before commands, sending and timers have theirs.
const DATAGRAMS_PER_TURN: usize = 512;
/// Datagrams of one socket before the next ready one.
const DATAGRAMS_PER_SOCKET: usize = 32;
/// Datagrams asked for in one system call.
const RECEIVE_BATCH: usize = 16;
/// Packets of one stream handed to the system together.
const SEND_BATCH: usize = 32;
/// The token of the waker; streams use two tokens each, and shared pairs two from [`SHARED`] on.
pub(super) const WAKE: Token = Token(usize::MAX);
/// The first token of shared pairs, above those of streams.
const SHARED: usize = 2 * super::config::MAX_STREAMS;

/// What the packet thread is told.
pub(super) enum Command {
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
    Shutdown,
}

/// The packet thread's state.
pub(super) struct Net {
    poll: Poll,
    commands: mpsc::Receiver<Command>,
    events: EventSender,
    /// Slots whose streams have frames to send.
    sendable: Consumer<u32>,
    /// Slots whose streams have frames for the worker, and the worker to wake.
    readable: Producer<u32>,
    worker: Thread,
    epoch: Instant,
    streams: Vec<Option<Box<NetStream>>>,
    /// Socket pairs that many streams share.
    sharing: Vec<Sharing>,
    /// Away only while it turns.
    wheel: Option<Wheel>,
    ready: VecDeque<usize>,
    timers: BinaryHeap<Reverse<(Instant, u32, u64)>>,
    /// What is being sent.
    buffer: Box<[u8; SLOT]>,
    /// What was just received.
    inbox: Batch,
    /// What was just received from a shared socket; made with the first one.
    wide: Option<Batch>,
    /// Packets of one stream that leave together.
    outbox: Batch,
    pace: Pace,
}

impl Net {
    /// A packet thread without streams.
    pub(super) fn new(
        poll: Poll,
        commands: mpsc::Receiver<Command>,
        events: EventSender,
        (sendable, readable): (Consumer<u32>, Producer<u32>),
        worker: Thread,
        epoch: Instant,
    ) -> Self {
        Self {
            poll,
            commands,
            events,
            sendable,
            readable,
            worker,
            epoch,
            streams: Vec::new(),
            sharing: Vec::new(),
            wheel: Some(Wheel::new(epoch)),
            wide: None,
            ready: VecDeque::with_capacity(256),
            timers: BinaryHeap::with_capacity(256),
            buffer: Box::new([0; SLOT]),
            inbox: Batch::new(RECEIVE_BATCH),
            outbox: Batch::new(SEND_BATCH),
            pace: Pace::new(epoch),
        }
    }

    /// Runs until told to shut down.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(512);
        loop {
            let now = clock::now();
            let mut timeout = self.timeout(now);
            if self.ready.is_empty()
                && let Some(pause) = self.pace.pause(now)
            {
                std::thread::park_timeout(pause);
                timeout = Some(Duration::ZERO);
            }
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the media engine cannot wait for its sockets");
                return;
            }
            for event in &events {
                if event.token() != WAKE {
                    self.queue(event.token().0);
                }
            }
            if !self.obey() {
                return;
            }
            let taken = self.receive(clock::now());
            let now = clock::now();
            self.send(now);
            let sent = self.turn_wheel(now);
            self.flush_shared();
            self.report(now);
            self.pace.took(taken + sent, now);
        }
    }

    /// Until when the thread may block; zero while datagrams are left over from the turn before.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.peek().map(|Reverse((at, ..))| *at);
        let due = timer.into_iter().chain(self.wheel.as_ref().and_then(Wheel::next_deadline)).min();
        due.map(|at| at.saturating_duration_since(now))
    }

    fn stream(&mut self, id: StreamId) -> Option<&mut Box<NetStream>> {
        self.streams.get_mut(id.slot())?.as_mut().filter(|stream| stream.id == id)
    }

    /// Carries out commands; `false` when the engine ends.
    fn obey(&mut self) -> bool {
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
            Sockets::Own { rtp, rtcp, .. } => {
                let registry = self.poll.registry();
                let registered = registry
                    .register(rtp, Token(2 * slot), Interest::READABLE)
                    .and_then(|()| registry.register(rtcp, Token(2 * slot + 1), Interest::READABLE));
                if let Err(error) = registered {
                    tracing::error!(%error, stream = %stream.id, "cannot wait for the media sockets");
                }
            }
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
        }
        stream.armed = stream.session.next_deadline();
        self.timers.push(Reverse((stream.armed, slot as u32, stream.id.0)));
        let (id, load) = (stream.id, matches!(stream.feed, Feed::Load(_)));
        self.streams[slot] = Some(stream);
        // What came before registration makes no edge.
        self.queue(2 * slot);
        self.queue(2 * slot + 1);
        if load {
            // The first packet leaves at once; the others where the wheel has room.
            let now = clock::now();
            if let Some(ticks) = self.send_load(slot, id.0 as u32, now)
                && let Some(wheel) = &mut self.wheel
            {
                wheel.add(slot as u32, id.0 as u32, ticks, now);
            }
        }
    }

    /// Takes over a socket pair that streams will share.
    fn share(&mut self, sockets: SharedSockets) {
        let index = self.sharing.len();
        let mut sharing = Sharing::new(sockets);
        for (end, socket) in sharing.sockets.iter_mut().enumerate() {
            let token = Token(SHARED + 2 * index + end);
            if let Err(error) = self.poll.registry().register(socket, token, Interest::READABLE) {
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
        let now = clock::now();
        self.send_frames(id.slot(), now);
        self.flush_shared();
        let mut stream = self.streams.get_mut(id.slot())?.take()?;
        if let Some(len) = stream.session.goodbye(&mut self.buffer[..], now) {
            let to = stream.session.rtcp_destination();
            transmit(&mut stream, &mut self.sharing, &self.buffer[..len], (to, true), now);
        }
        match &mut stream.sockets {
            Sockets::Own { rtp, rtcp, .. } => {
                let registry = self.poll.registry();
                for socket in [rtp, rtcp] {
                    if let Err(error) = registry.deregister(socket) {
                        tracing::debug!(%error, stream = %id, "cannot deregister a media socket");
                    }
                }
            }
            Sockets::Shared(claim) => {
                if let Some(sharing) = self.sharing.get_mut(claim.place.index) {
                    registry::take(&mut sharing.tables, claim);
                }
            }
        }
        Some(stream.figures())
    }

    /// Puts a socket (two per slot, then two per shared pair) into the ready queue once.
    fn queue(&mut self, socket: usize) {
        let queued = match socket.checked_sub(SHARED) {
            Some(shared) => self.sharing.get_mut(shared / 2).map(|sharing| &mut sharing.queued),
            None => match self.streams.get_mut(socket / 2) {
                Some(Some(stream)) => match &mut stream.sockets {
                    Sockets::Own { queued, .. } => Some(queued),
                    Sockets::Shared(_) => None,
                },
                Some(None) | None => None,
            },
        };
        if let Some(queued) = queued
            && !std::mem::replace(&mut queued[socket % 2], true)
        {
            self.ready.push_back(socket);
        }
    }

    /// Takes a socket out of the ready queue's books; `false` when it is gone.
    fn unqueue(&mut self, socket: usize) -> bool {
        let queued = match socket.checked_sub(SHARED) {
            Some(shared) => self.sharing.get_mut(shared / 2).map(|sharing| &mut sharing.queued),
            None => match self.streams.get_mut(socket / 2) {
                Some(Some(stream)) => match &mut stream.sockets {
                    Sockets::Own { queued, .. } => Some(queued),
                    Sockets::Shared(_) => None,
                },
                Some(None) | None => None,
            },
        };
        queued.map(|queued| queued[socket % 2] = false).is_some()
    }

    /// Takes datagrams from ready sockets, a bounded number; returns how many.
    fn receive(&mut self, now: Instant) -> usize {
        let mut taken = 0;
        while taken < DATAGRAMS_PER_TURN {
            let Some(socket) = self.ready.pop_front() else { break };
            if !self.unqueue(socket) {
                continue;
            }
            let (more, count) = if socket >= SHARED {
                self.drain_shared(socket - SHARED, DATAGRAMS_PER_TURN - taken, now)
            } else {
                self.drain(socket, (DATAGRAMS_PER_TURN - taken).min(DATAGRAMS_PER_SOCKET), now)
            };
            taken += count;
            if more {
                // Readiness is told at edges only: until a read would block, it is ours to remember.
                self.queue(socket);
            }
        }
        taken
    }

    /// Takes at most `share` datagrams of one socket; returns whether more may wait, and how many there were.
    fn drain(&mut self, socket: usize, share: usize, now: Instant) -> (bool, usize) {
        let Some(Some(stream)) = self.streams.get_mut(socket / 2) else { return (false, 0) };
        let (mut sum, mut taken, mut more) = (Taken::default(), 0, true);
        while taken < share {
            let wanted = RECEIVE_BATCH.min(share - taken);
            // The session's memory comes while the system looks for the packet.
            prefetch(&stream.session);
            let Sockets::Own { rtp, rtcp, .. } = &stream.sockets else { break };
            let source = if socket.is_multiple_of(2) { rtp } else { rtcp };
            let got = match self.inbox.receive(source, wanted) {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                // Some systems tell errors of earlier sends here; the next read goes on.
                Err(_) => {
                    taken += 1;
                    continue;
                }
            };
            taken += got;
            for (datagram, from) in self.inbox.iter_mut() {
                let taken = stream.take(datagram, from, socket % 2, (now, self.epoch), &self.events);
                sum.woke |= taken.woke;
                sum.asked |= taken.asked;
            }
            if got < wanted {
                // Nothing more waits; asking again would cost a system call to hear it.
                more = false;
                break;
            }
        }
        self.follow(socket / 2, sum, now);
        (more, taken)
    }

    /// Takes at most about `share` datagrams of a shared socket and deals them out.
    fn drain_shared(&mut self, socket: usize, share: usize, now: Instant) -> (bool, usize) {
        let (index, end) = (socket / 2, socket % 2);
        let Some(mut inbox) = self.wide.take() else { return (false, 0) };
        let (mut taken, mut more) = (0, true);
        while taken < share {
            let Some(sharing) = self.sharing.get(index) else { break };
            match inbox.receive(&sharing.sockets[end], MAX_BATCH) {
                Ok(got) => more = got == MAX_BATCH,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                Err(_) => {
                    taken += 1;
                    continue;
                }
            }
            taken += inbox.len();
            let mut datagrams = inbox.iter_mut();
            let mut next = datagrams.next().map(|next| self.find(index, end, next));
            while let Some((found, datagram, from)) = next {
                next = datagrams.next().map(|next| self.find(index, end, next));
                self.deal((index, end), found, datagram, from, now);
            }
            if !more {
                break;
            }
        }
        self.wide = Some(inbox);
        (more, taken)
    }

    /// Finds the stream that claims a datagram of a shared socket, and asks for its memory.
    fn find<'d>(
        &self,
        index: usize,
        end: usize,
        (datagram, from): (&'d mut [u8], SocketAddr),
    ) -> (Option<usize>, &'d mut [u8], SocketAddr) {
        let is_rtcp = end == 1 || rtp::is_rtcp(datagram);
        let found =
            self.sharing.get(index).and_then(|sharing| sharing.tables[end].find(datagram, is_rtcp, from));
        if let Some(Some(Some(stream))) = found.map(|slot| self.streams.get(slot)) {
            prefetch(&**stream);
        }
        (found, datagram, from)
    }

    /// Gives a datagram of a shared socket to the stream that claims it.
    fn deal(
        &mut self,
        (index, end): (usize, usize),
        found: Option<usize>,
        datagram: &mut [u8],
        from: SocketAddr,
        now: Instant,
    ) {
        let Some((slot, Some(stream))) =
            found.and_then(|slot| Some((slot, self.streams.get_mut(slot)?.as_mut())))
        else {
            if let Some(sharing) = self.sharing.get(index) {
                sharing.drops.count(DropReason::UnknownStream);
            }
            return;
        };
        let taken = stream.take(datagram, from, end, (now, self.epoch), &self.events);
        self.follow(slot, taken, now);
    }

    /// What a stream's datagrams made to be done.
    fn follow(&mut self, slot: usize, taken: Taken, now: Instant) {
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
        if taken.asked {
            while let Some(len) = stream.session.resend(&mut self.buffer[..], now) {
                let to = stream.session.destination();
                transmit(stream, &mut self.sharing, &self.buffer[..len], (to, false), now);
            }
        }
        if taken.woke && matches!(stream.feed, Feed::Worker { wake: true, .. }) {
            // Full: the worker is far behind; it finds the frames at the stream's next announcement or deadline.
            let _ = self.readable.push(slot as u32);
            self.worker.unpark();
        }
        self.arm(slot);
    }

    /// Sets a stream's timer anew when it became due earlier than it is set to.
    fn arm(&mut self, slot: usize) {
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
        let next = stream.session.next_deadline();
        if next < stream.armed {
            stream.armed = next;
            self.timers.push(Reverse((next, slot as u32, stream.id.0)));
        }
    }

    /// Sends the frames the worker has announced.
    fn send(&mut self, now: Instant) {
        while let Ok(slot) = self.sendable.pop() {
            self.send_frames(slot as usize, now);
        }
    }

    fn send_frames(&mut self, slot: usize, now: Instant) {
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
        match &stream.sockets {
            Sockets::Own { .. } => {
                loop {
                    if self.outbox.is_full() {
                        stream.flush(&mut self.outbox);
                    }
                    // Full and flushed: there is a free slot.
                    let Some(room) = self.outbox.free_slot() else { break };
                    match stream.next_packet(room, now) {
                        Next::Packet(len) => self.outbox.commit(len, stream.session.destination()),
                        Next::Nothing => {}
                        Next::End => break,
                    }
                }
                stream.flush(&mut self.outbox);
            }
            Sockets::Shared(claim) => {
                let index = claim.place.index;
                loop {
                    let Some(sharing) = self.sharing.get_mut(index) else { return };
                    let Some(room) = sharing.room(&mut self.streams) else { break };
                    let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
                    match stream.next_packet(room, now) {
                        Next::Packet(len) => {
                            let to = stream.session.destination();
                            stream.record_sent(to, 0, &room[..len], now);
                            sharing.commit(len, to, slot);
                        }
                        Next::Nothing => {}
                        Next::End => break,
                    }
                }
            }
        }
        // The first packet and wishes of the worker make a report or feedback due.
        self.arm(slot);
    }

    /// Sends pre-encoded media that is due; returns how many packets.
    fn turn_wheel(&mut self, now: Instant) -> usize {
        let Some(mut wheel) = self.wheel.take() else { return 0 };
        let mut sent = 0;
        wheel.turn(now, |slot, id, after| {
            sent += 1;
            if let Some(Some(Some(stream))) = after.map(|after| self.streams.get(after as usize)) {
                prefetch(&**stream);
            }
            self.send_load(slot as usize, id, now)
        });
        self.wheel = Some(wheel);
        sent
    }

    /// Sends the next packet of a stream of pre-encoded media; returns in how many milliseconds it sends again, or `None`
    /// when it is gone.
    fn send_load(&mut self, slot: usize, id: u32, now: Instant) -> Option<u64> {
        let stream = self.streams.get_mut(slot)?.as_mut().filter(|stream| stream.id.0 as u32 == id)?;
        let Feed::Load(load) = &stream.feed else { return None };
        let ticks = u64::from(load.ptime_ms);
        match &stream.sockets {
            Sockets::Own { .. } => {
                if let Next::Packet(len) = stream.next_load(&mut self.buffer, now) {
                    let to = stream.session.destination();
                    stream.transmit(&self.buffer[..len], to, false, now);
                }
            }
            Sockets::Shared(claim) => {
                let sharing = self.sharing.get_mut(claim.place.index)?;
                let room = sharing.room(&mut self.streams)?;
                let stream = self.streams.get_mut(slot)?.as_mut()?;
                if let Next::Packet(len) = stream.next_load(room, now) {
                    let to = stream.session.destination();
                    stream.record_sent(to, 0, &room[..len], now);
                    sharing.commit(len, to, slot);
                }
            }
        }
        self.arm(slot);
        Some(ticks)
    }

    /// Sends what was gathered for shared sockets.
    fn flush_shared(&mut self) {
        for sharing in &mut self.sharing {
            sharing.flush(&mut self.streams);
        }
    }

    /// Writes the reports and the feedback that are due. Each stream has exactly one valid timer.
    fn report(&mut self, now: Instant) {
        while let Some(Reverse((at, slot, id))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            let Some(Some(stream)) = self.streams.get_mut(slot as usize) else { continue };
            if stream.id.0 != id || stream.armed != at {
                continue;
            }
            if let Some(len) = stream.session.report(&mut self.buffer[..], now) {
                let to = stream.session.rtcp_destination();
                transmit(stream, &mut self.sharing, &self.buffer[..len], (to, true), now);
            }
            if let Some(flow) = stream.session.flow(now) {
                (self.events)(StreamEvent::Flow { stream: stream.id, flow });
            }
            let next = stream.next_timer(now);
            stream.armed = next;
            self.timers.push(Reverse((next, slot, id)));
        }
    }
}

/// Sends one datagram of a stream at once, RTP or RTCP.
fn transmit(
    stream: &mut NetStream,
    sharing: &mut [Sharing],
    datagram: &[u8],
    (to, is_rtcp): (SocketAddr, bool),
    now: Instant,
) {
    match &stream.sockets {
        Sockets::Own { .. } => stream.transmit(datagram, to, is_rtcp, now),
        Sockets::Shared(claim) => {
            if let Some(sharing) = sharing.get_mut(claim.place.index) {
                sharing.transmit(stream, datagram, to, is_rtcp, now);
            }
        }
    }
}
