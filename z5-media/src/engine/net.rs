//! The packet thread: sockets, sessions, timers. No codec, file or embedder's code runs here.
//!
//! One turn: wait for readiness, commands or the next deadline (or under load for the
//! next tick, see the pace); take at most [`DATAGRAMS_PER_TURN`] datagrams, at most
//! [`DATAGRAMS_PER_SOCKET`] of one socket before the next has its turn; send what the worker made; write due reports.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::Thread;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use rtrb::{Consumer, Producer};

use super::config::{EventSender, StreamEvent, StreamId};
use super::pace::Pace;
use super::ring::{self, FrameHead, FrameReader, FrameWriter, word};
use crate::batch::{Batch, SLOT};
use crate::capture::{Capture, Transport};
use crate::clock;
use crate::rtp::{self, HEADER_LEN};
use crate::stats::DropReason;
use crate::stream::{Session, SessionFigures, Told};

/// Datagrams taken in one turn before commands, sending and timers have theirs.
const DATAGRAMS_PER_TURN: usize = 512;
/// Datagrams of one socket before the next ready one.
const DATAGRAMS_PER_SOCKET: usize = 32;
/// Datagrams asked for in one system call.
const RECEIVE_BATCH: usize = 16;
/// Packets of one stream handed to the system together.
const SEND_BATCH: usize = 32;
/// The token of the waker; streams use two tokens each.
pub(super) const WAKE: Token = Token(usize::MAX);

/// What the packet thread is told.
pub(super) enum Command {
    Add(Box<NetStream>),
    SetReceive { id: StreamId, receive: bool },
    SetRemote { id: StreamId, remote: SocketAddr, remote_rtcp: SocketAddr },
    Watch { id: StreamId, patience: Option<Duration> },
    SetReceiver { id: StreamId, receiver: Box<crate::srtp::Receiver> },
    Figures { id: StreamId, reply: mpsc::SyncSender<NetFigures> },
    Stop { id: StreamId, reply: mpsc::SyncSender<NetFigures> },
    Shutdown,
}

/// The packet thread's part of a stream's figures.
pub(super) struct NetFigures {
    pub(super) session: SessionFigures,
    pub(super) send_errors: u64,
}

/// One stream on the packet thread.
pub(super) struct NetStream {
    pub(super) id: StreamId,
    pub(super) session: Session,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    pub(super) mux: bool,
    pub(super) to_worker: FrameWriter,
    pub(super) from_worker: FrameReader,
    /// The worker does not come by itself: wake it for each frame (text).
    pub(super) wake_worker: bool,
    /// The worker wants to hear of wanted key frames, limits and losses (video).
    pub(super) adapts: bool,
    pub(super) send_errors: u64,
    /// Which of its sockets are in the ready queue.
    pub(super) queued: [bool; 2],
    /// The moment its one valid timer is set to.
    pub(super) armed: Instant,
    /// Addresses of both sockets, for the capture.
    pub(super) local: [SocketAddr; 2],
    pub(super) capture: Option<Arc<Capture>>,
}

impl NetStream {
    fn figures(&self) -> NetFigures {
        NetFigures { session: self.session.figures(), send_errors: self.send_errors }
    }

    /// Sends on the RTP socket, or on the RTCP socket where that is apart.
    fn transmit(&mut self, datagram: &[u8], to: SocketAddr, rtcp: bool) {
        if let Some(capture) = &self.capture {
            let from = self.local[usize::from(rtcp && !self.mux)];
            capture.record(Transport::Udp, from, to, datagram, clock::now());
        }
        let socket = if rtcp && !self.mux { &self.rtcp } else { &self.rtp };
        if socket.send_to(datagram, to).is_err() && !rtcp {
            self.send_errors += 1;
        }
    }
}

impl NetStream {
    /// Sends what was gathered, as few messages as the system allows.
    fn flush(&mut self, outbox: &mut Batch) {
        if outbox.is_empty() {
            return;
        }
        if let Some(capture) = &self.capture {
            let now = clock::now();
            for (datagram, to) in outbox.iter_mut() {
                capture.record(Transport::Udp, self.local[0], to, datagram, now);
            }
        }
        self.send_errors += outbox.send(&self.rtp) as u64;
    }
}

/// The packet thread's state.
pub(super) struct Net {
    pub(super) poll: Poll,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: EventSender,
    /// Slots whose streams have frames to send.
    pub(super) sendable: Consumer<u32>,
    /// Slots whose streams have frames for the worker, and the worker to wake.
    pub(super) readable: Producer<u32>,
    pub(super) worker: Thread,
    pub(super) epoch: Instant,
    pub(super) streams: Vec<Option<Box<NetStream>>>,
    pub(super) ready: VecDeque<usize>,
    pub(super) timers: BinaryHeap<Reverse<(Instant, u32, u64)>>,
    /// What is being sent.
    pub(super) buffer: Box<[u8; SLOT]>,
    /// What was just received.
    pub(super) inbox: Batch,
    /// Packets of one stream that leave together.
    pub(super) outbox: Batch,
    pub(super) pace: Pace,
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
            let taken = self.receive();
            self.send();
            let now = clock::now();
            self.report(now);
            self.pace.took(taken, now);
        }
    }

    /// Until when the thread may block; zero while datagrams are left over from the turn before.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        self.timers.peek().map(|Reverse((at, ..))| at.saturating_duration_since(now))
    }

    fn stream(&mut self, id: StreamId) -> Option<&mut Box<NetStream>> {
        self.streams.get_mut(id.slot())?.as_mut().filter(|stream| stream.id == id)
    }

    /// Carries out commands; `false` when the engine ends.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Add(stream)) => self.add(stream),
                Ok(Command::SetReceive { id, receive }) => {
                    if let Some(stream) = self.stream(id) {
                        stream.session.set_receive(receive);
                        self.arm(id.slot());
                    }
                }
                Ok(Command::SetRemote { id, remote, remote_rtcp }) => {
                    if let Some(stream) = self.stream(id) {
                        let remote_rtcp = if stream.mux { remote } else { remote_rtcp };
                        stream.session.set_remote(remote, remote_rtcp);
                    }
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
        let registry = self.poll.registry();
        let registered = registry
            .register(&mut stream.rtp, Token(2 * slot), Interest::READABLE)
            .and_then(|()| registry.register(&mut stream.rtcp, Token(2 * slot + 1), Interest::READABLE));
        if let Err(error) = registered {
            tracing::error!(%error, stream = %stream.id, "cannot wait for the media sockets");
        }
        if self.streams.len() <= slot {
            self.streams.resize_with(slot + 1, || None);
        }
        stream.armed = stream.session.next_deadline();
        self.timers.push(Reverse((stream.armed, slot as u32, stream.id.0)));
        self.streams[slot] = Some(stream);
        // What came before registration makes no edge.
        self.queue(2 * slot);
        self.queue(2 * slot + 1);
    }

    /// Sends what is left and says goodbye.
    fn stop(&mut self, id: StreamId) -> Option<NetFigures> {
        self.stream(id)?;
        self.send_frames(id.slot());
        let mut stream = self.streams.get_mut(id.slot())?.take()?;
        if let Some(len) = stream.session.goodbye(&mut self.buffer[..], clock::now()) {
            let to = stream.session.rtcp_destination();
            stream.transmit(&self.buffer[..len], to, true);
        }
        let registry = self.poll.registry();
        for socket in [&mut stream.rtp, &mut stream.rtcp] {
            if let Err(error) = registry.deregister(socket) {
                tracing::debug!(%error, stream = %id, "cannot deregister a media socket");
            }
        }
        Some(stream.figures())
    }

    /// Puts a socket (two per slot) into the ready queue once.
    fn queue(&mut self, socket: usize) {
        if let Some(Some(stream)) = self.streams.get_mut(socket / 2)
            && !std::mem::replace(&mut stream.queued[socket % 2], true)
        {
            self.ready.push_back(socket);
        }
    }

    /// Takes datagrams from ready sockets, a bounded number; returns how many.
    fn receive(&mut self) -> usize {
        let mut left = DATAGRAMS_PER_TURN;
        let now = clock::now();
        while left > 0 {
            let Some(socket) = self.ready.pop_front() else { break };
            let Some(Some(stream)) = self.streams.get_mut(socket / 2) else { continue };
            stream.queued[socket % 2] = false;
            let share = left.min(DATAGRAMS_PER_SOCKET);
            let taken = self.drain(socket, share, now);
            left = left.saturating_sub(taken);
            if taken >= share {
                // Readiness is told at edges only: until a read would block, it is ours to remember.
                self.queue(socket);
            }
        }
        DATAGRAMS_PER_TURN - left
    }

    /// Takes at most `share` datagrams of one socket; returns how many there were.
    fn drain(&mut self, socket: usize, share: usize, now: Instant) -> usize {
        let Some(Some(stream)) = self.streams.get_mut(socket / 2) else { return 0 };
        let (mut woke, mut asked, mut taken) = (false, false, 0);
        while taken < share {
            let wanted = RECEIVE_BATCH.min(share - taken);
            let source = if socket.is_multiple_of(2) { &stream.rtp } else { &stream.rtcp };
            let got = match self.inbox.receive(source, wanted) {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Some systems tell errors of earlier sends here; the next read goes on.
                Err(_) => {
                    taken += 1;
                    continue;
                }
            };
            taken += got;
            for (datagram, from) in self.inbox.iter_mut() {
                if let Some(capture) = &stream.capture {
                    capture.record(Transport::Udp, from, stream.local[socket % 2], datagram, now);
                }
                if datagram.len() == SLOT {
                    stream.session.count(DropReason::TooLong);
                } else if socket % 2 == 1 || (stream.mux && rtp::is_rtcp(datagram)) {
                    if let Ok(told) = stream.session.receive_rtcp(datagram, from, now) {
                        woke |= pass_on(stream, told, &self.events);
                        asked |= told.resend;
                    }
                } else {
                    woke |= take_rtp(stream, datagram, from, now, self.epoch, &self.events);
                }
            }
            if got < wanted {
                // Nothing more waits; asking again would cost a system call to hear it.
                break;
            }
        }
        if asked {
            while let Some(len) = stream.session.resend(&mut self.buffer[..], now) {
                let to = stream.session.destination();
                stream.transmit(&self.buffer[..len], to, false);
            }
        }
        if woke && stream.wake_worker {
            // Full: the worker is far behind; it finds the frames at the stream's next announcement or deadline.
            let _ = self.readable.push((socket / 2) as u32);
            self.worker.unpark();
        }
        self.arm(socket / 2);
        taken
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
    fn send(&mut self) {
        while let Ok(slot) = self.sendable.pop() {
            self.send_frames(slot as usize);
        }
    }

    fn send_frames(&mut self, slot: usize) {
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
        let now = clock::now();
        loop {
            if self.outbox.is_full() {
                stream.flush(&mut self.outbox);
            }
            // Full and flushed: there is a free slot.
            let Some(slot) = self.outbox.free_slot() else { break };
            let Some((head, len)) = stream.from_worker.pop(&mut slot[HEADER_LEN..]) else { break };
            match head.payload_type {
                0..=127 => {}
                word::KEY_FRAME => {
                    stream.session.want_key_frame(now);
                    continue;
                }
                word::LIMIT => {
                    let limit = ring::value(&slot[HEADER_LEN..HEADER_LEN + len]);
                    stream.session.request_limit(limit, now);
                    continue;
                }
                word::KEY_FRAME_CAME => {
                    stream.session.key_frame_came();
                    continue;
                }
                _ => continue,
            }
            let (payload_type, marker) = (head.payload_type, head.marker);
            match stream.session.send(&mut slot[..], len, payload_type, marker, head.timestamp, now) {
                Ok(len) => self.outbox.commit(len, stream.session.destination()),
                Err(_) => stream.send_errors += 1,
            }
        }
        stream.flush(&mut self.outbox);
        // The first packet and wishes of the worker make a report or feedback due.
        self.arm(slot);
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
                stream.transmit(&self.buffer[..len], to, true);
            }
            if let Some(flow) = stream.session.flow(now) {
                (self.events)(StreamEvent::Flow { stream: stream.id, flow });
            }
            let next = stream.session.next_deadline().max(now + Duration::from_millis(1));
            stream.armed = next;
            self.timers.push(Reverse((next, slot, id)));
        }
    }
}

/// Hands what a compound said to the worker and the application; returns whether the worker has something to do.
fn pass_on(stream: &mut NetStream, told: Told, events: &EventSender) -> bool {
    if told.bye {
        events(StreamEvent::Bye { stream: stream.id });
    }
    // Audio and text have no rate to change and no key frames.
    if !stream.adapts {
        return false;
    }
    if told.key_frame_wanted {
        stream.to_worker.say(word::KEY_FRAME, 0);
    }
    if let Some(limit) = told.limit {
        stream.to_worker.say(word::LIMIT, limit);
    }
    if told.reported
        && let Some(report) = stream.session.figures().remote_report
    {
        stream.to_worker.say(word::LOSS, (report.fraction_lost * f64::from(u32::MAX)) as u64);
    }
    told.key_frame_wanted || told.limit.is_some() || told.reported
}

/// Opens an RTP datagram and hands its frame to the worker; returns whether there is one.
fn take_rtp(
    stream: &mut NetStream,
    datagram: &mut [u8],
    from: SocketAddr,
    now: Instant,
    epoch: Instant,
    events: &EventSender,
) -> bool {
    let Ok(frame) = stream.session.receive_rtp(datagram, from, now) else { return false };
    let head = FrameHead {
        payload_type: frame.payload_type,
        marker: frame.marker,
        restarted: frame.restarted,
        timestamp: frame.timestamp,
        sequence: frame.sequence,
        at_nanos: now.saturating_duration_since(epoch).as_nanos() as u64,
    };
    let first = frame.first;
    let taken = stream.to_worker.push(&head, frame.payload);
    if !taken {
        stream.session.count(DropReason::Overflow);
    }
    if first && let Some(after) = stream.session.figures().first_packet {
        events(StreamEvent::FirstPacket { stream: stream.id, from, after });
    }
    taken
}
