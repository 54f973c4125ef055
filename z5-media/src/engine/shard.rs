//! A packet thread and its worker; in simulated time both halves without threads, moved by hand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use mio::{Poll, Waker};
use rtrb::RingBuffer;

use super::config::EventSender;
use super::error::{EngineError, MediaError};
use super::{net, priority, worker};
use crate::clock::Clock;

/// Announcements of streams with frames that fit between the two halves.
const ANNOUNCEMENTS: usize = 4096;

/// Both halves of some of an engine's streams; a stream belongs to the shard its slot names.
pub(super) struct Shard {
    net: mpsc::Sender<net::Command>,
    work: mpsc::Sender<worker::Command>,
    runs: Runs,
}

/// What moves the halves.
enum Runs {
    Threads { waker: Arc<Waker>, thread: Option<JoinHandle<()>>, worker: Option<JoinHandle<()>> },
    ByHand(Arc<ByHand>),
}

/// Both halves without threads: whoever tells them something, or lets time pass, moves them.
pub(super) struct ByHand(Mutex<Halves>);

struct Halves {
    net: net::Net,
    worker: worker::Worker,
}

impl Shard {
    /// Starts both threads.
    pub(super) fn start(events: &EventSender, realtime: bool, epoch: Instant) -> Result<Self, EngineError> {
        let failed = |what| move |source| EngineError::System { what, source };
        let poll = Poll::new().map_err(failed("poll instance"))?;
        let waker = Arc::new(Waker::new(poll.registry(), net::WAKE).map_err(failed("waker"))?);
        let registry = poll.registry().try_clone().map_err(failed("poll instance"))?;
        let (announce_sendable, sendable) = RingBuffer::new(ANNOUNCEMENTS);
        let (announce_readable, readable) = RingBuffer::new(ANNOUNCEMENTS);
        let (work, worker_commands) = mpsc::channel();
        let link = worker::Link::new(announce_sendable, readable, Some(Arc::clone(&waker)));
        let worker = worker::Worker::new(worker_commands, Arc::clone(events), link, Clock::System);
        let worker = std::thread::Builder::new().name("z5-media-work".into()).spawn(|| worker.run());
        let worker = worker.map_err(failed("worker thread"))?;
        let (net, commands) = mpsc::channel();
        let rings = (sendable, announce_readable);
        let there = net::Surroundings { registry: Some(registry), worker: Some(worker.thread().clone()) };
        let packets = net::Net::new(there, commands, Arc::clone(events), rings, epoch, Clock::System);
        let run = move || {
            if realtime && let Err(why) = priority::raise() {
                tracing::warn!(%why, "no real-time priority for media");
            }
            packets.run(poll);
        };
        let mut shard = Self { net, work, runs: Runs::Threads { waker, thread: None, worker: Some(worker) } };
        // If it fails, dropping the shard ends its worker.
        let started = std::thread::Builder::new().name("z5-media-net".into()).spawn(run);
        if let Runs::Threads { thread, .. } = &mut shard.runs {
            *thread = Some(started.map_err(failed("packet thread"))?);
        }
        Ok(shard)
    }

    /// Both halves without threads, at a clock that somebody else lets go on.
    pub(super) fn by_hand(events: &EventSender, epoch: Instant, clock: &Clock) -> (Self, Arc<ByHand>) {
        let (announce_sendable, sendable) = RingBuffer::new(ANNOUNCEMENTS);
        let (announce_readable, readable) = RingBuffer::new(ANNOUNCEMENTS);
        let (work, worker_commands) = mpsc::channel();
        let link = worker::Link::new(announce_sendable, readable, None);
        let worker = worker::Worker::new(worker_commands, Arc::clone(events), link, clock.clone());
        let (net, commands) = mpsc::channel();
        let rings = (sendable, announce_readable);
        let there = net::Surroundings::default();
        let packets = net::Net::new(there, commands, Arc::clone(events), rings, epoch, clock.clone());
        let halves = Arc::new(ByHand(Mutex::new(Halves { net: packets, worker })));
        (Self { net, work, runs: Runs::ByHand(Arc::clone(&halves)) }, halves)
    }

    pub(super) fn tell_net(&self, command: net::Command) -> Result<(), MediaError> {
        self.net.send(command).map_err(|_| MediaError::Stopped)?;
        match &self.runs {
            Runs::Threads { waker, thread, .. } => {
                // It blocks for its sockets, or under load sleeps until the next tick.
                if let Some(thread) = thread {
                    thread.thread().unpark();
                }
                waker.wake().map_err(|_| MediaError::Stopped)
            }
            Runs::ByHand(halves) => {
                halves.turn();
                Ok(())
            }
        }
    }

    pub(super) fn tell_worker(&self, command: worker::Command) -> Result<(), MediaError> {
        self.work.send(command).map_err(|_| MediaError::Stopped)?;
        match &self.runs {
            Runs::Threads { worker, .. } => {
                if let Some(worker) = worker {
                    worker.thread().unpark();
                }
            }
            Runs::ByHand(halves) => halves.turn(),
        }
        Ok(())
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        // The worker first: it completes sinks and hands over the last frames, which the packet thread then sends.
        let _ = self.tell_worker(worker::Command::Shutdown);
        if let Runs::Threads { worker, .. } = &mut self.runs
            && worker.take().is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("a media worker thread had panicked");
        }
        let told = self.tell_net(net::Command::Shutdown).is_ok();
        if let Runs::Threads { thread, .. } = &mut self.runs
            && let Some(thread) = thread.take()
            // One that has ended takes no command; one that cannot be woken is not waited for.
            && (told || thread.is_finished())
            && thread.join().is_err()
        {
            tracing::error!("a media packet thread had panicked");
        }
    }
}

impl ByHand {
    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what it was told and what is due, until neither half has anything for the other.
    pub(super) fn turn(&self) {
        self.halves().turn();
    }

    /// Takes a datagram for the stream in that slot, at its RTP (0) or RTCP (1) port.
    pub(super) fn receive(
        &self,
        (slot, end): (usize, usize),
        datagram: &mut [u8],
        from: std::net::SocketAddr,
    ) {
        let mut halves = self.halves();
        halves.net.take(slot, end, datagram, from);
        halves.turn();
    }

    /// When something is due by itself.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let halves = self.halves();
        halves.net.next_deadline().into_iter().chain(halves.worker.next_deadline()).min()
    }
}

impl Halves {
    fn turn(&mut self) {
        loop {
            self.net.turn();
            self.worker.turn();
            self.net.turn();
            if !self.worker.has_work() {
                return;
            }
        }
    }
}
