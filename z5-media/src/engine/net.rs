//! The packet thread: sockets, sessions, timers. No codec, file or embedder's code runs here.
//!
//! One turn: wait for readiness, commands or the next deadline (or under load for the next tick, see the pace); take at
//! most [`DATAGRAMS_PER_TURN`] datagrams, at most [`DATAGRAMS_PER_SOCKET`] of one socket before the next has its turn;
//! send what the worker made and what the wheel says is due; write due reports. What is told is in `commands`, what comes in
//! `receive`, what leaves in `send`.

mod commands;
mod receive;
mod send;
mod sharing;
mod stream;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::mpsc;
use std::thread::Thread;
use std::time::{Duration, Instant};

pub(super) use commands::Command;
use mio::{Events, Poll, Registry, Token};
use rtrb::{Consumer, Producer};
use send::transmit;
use sharing::Sharing;
pub(super) use stream::{Feed, NetFigures, NetStream, Sockets};

use super::config::{EventSender, StreamEvent, StreamId};
use super::pace::{Pace, TICK};
use super::wheel::Wheel;
use crate::batch::{Batch, SLOT};
use crate::clock::Clock;

/// Datagrams taken in one turn before commands, sending and timers have theirs.
const DATAGRAMS_PER_TURN: usize = 512;
/// Datagrams of one socket before the next ready one.
const DATAGRAMS_PER_SOCKET: usize = 32;
/// Datagrams asked for in the first system call, and in those after it.
const FIRST_BATCH: usize = 3;
const RECEIVE_BATCH: usize = 16;
/// Readiness of a stream's own socket is told as long as something waits there. Then one datagram is taken at a time: to ask
/// for several, or again, costs half as much as the first one did, to hear nothing most often. Elsewhere, and of shared sockets,
/// it is told once, and until a read would block it is ours to remember.
const LEVELS: bool = cfg!(target_os = "linux");
/// A socket that is ready again so soon has more to give than a datagram at a time.
const SOON: Duration = Duration::from_millis(2);
/// Packets of one stream handed to the system together.
const SEND_BATCH: usize = 32;
/// The token of the waker; streams use two tokens each, and shared pairs two from [`SHARED`] on.
pub(super) const WAKE: Token = Token(usize::MAX);
/// The first token of shared pairs, above those of streams.
const SHARED: usize = 2 * super::config::MAX_STREAMS;

/// The packet thread's state.
pub(super) struct Net {
    /// What waits for sockets.
    registry: Option<Registry>,
    commands: mpsc::Receiver<Command>,
    events: EventSender,
    clock: Clock,
    /// Slots whose streams have frames to send.
    sendable: Consumer<u32>,
    /// Slots whose streams have frames for the worker, and the worker to wake.
    readable: Producer<u32>,
    worker: Option<Thread>,
    epoch: Instant,
    streams: Vec<Option<Box<NetStream>>>,
    /// Socket pairs that many streams share.
    sharing: Vec<Sharing>,
    /// Away only while it turns.
    wheel: Option<Wheel>,
    /// Sockets with something to be read, and by socket whether it is among them. Apart from the streams, so that it is at
    /// hand.
    ready: VecDeque<usize>,
    queued: Vec<bool>,
    /// The turn before left something in sockets.
    behind: bool,
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

/// What a packet thread has around it; nothing of it in simulated time.
#[derive(Default)]
pub(super) struct Surroundings {
    /// Where sockets are waited for.
    pub(super) registry: Option<Registry>,
    /// Whom to wake.
    pub(super) worker: Option<Thread>,
}

impl Net {
    /// A packet thread without streams.
    pub(super) fn new(
        Surroundings { registry, worker }: Surroundings,
        commands: mpsc::Receiver<Command>,
        events: EventSender,
        (sendable, readable): (Consumer<u32>, Producer<u32>),
        epoch: Instant,
        clock: Clock,
    ) -> Self {
        Self {
            registry,
            clock,
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
            queued: Vec::new(),
            behind: false,
            timers: BinaryHeap::with_capacity(256),
            buffer: Box::new([0; SLOT]),
            inbox: Batch::new(RECEIVE_BATCH),
            outbox: Batch::new(SEND_BATCH),
            pace: Pace::new(epoch),
        }
    }

    /// Runs until told to shut down.
    pub(super) fn run(mut self, mut poll: Poll) {
        let mut events = Events::with_capacity(512);
        loop {
            let now = self.clock.now();
            let mut timeout = self.timeout(now);
            let pause = if self.ready.is_empty() { self.pace.pause(now) } else { None };
            if let Some(pause) = pause {
                std::thread::park_timeout(pause);
                // The system waits for whole milliseconds; what is due within one is for the next tick.
                let left = |timeout: Duration| timeout.saturating_sub(pause);
                timeout =
                    timeout.map(|timeout| if left(timeout) < TICK { Duration::ZERO } else { left(timeout) });
            }
            if let Err(error) = poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the media engine cannot wait for its sockets");
                return;
            }
            if pause.is_some() {
                self.pace.woke(now, self.clock.now());
            }
            for event in &events {
                if event.token() != WAKE {
                    self.queue(event.token().0);
                }
            }
            if !self.turn() {
                return;
            }
        }
    }

    /// Does what it was told, what came and what is due; `false` when the engine ends.
    pub(super) fn turn(&mut self) -> bool {
        if !self.obey() {
            return false;
        }
        let taken = self.receive(self.clock.now());
        let now = self.clock.now();
        self.send(now);
        // Awake for packets: what is due in the next millisecond leaves with them.
        let sent = self.turn_wheel(now, taken > 0);
        self.flush_shared();
        self.report(now);
        self.pace.took(taken + sent, now);
        true
    }

    /// Until when the thread may block; zero while datagrams are left over from the turn before.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        self.next_deadline().map(|at| at.saturating_duration_since(now))
    }

    /// When something is due by itself.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse((at, ..))| *at);
        timer.into_iter().chain(self.wheel.as_ref().and_then(Wheel::next_deadline)).min()
    }

    fn at(&self, slot: usize) -> Option<&NetStream> {
        self.streams.get(slot)?.as_deref()
    }

    fn stream(&mut self, id: StreamId) -> Option<&mut Box<NetStream>> {
        self.streams.get_mut(id.slot())?.as_mut().filter(|stream| stream.id == id)
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
