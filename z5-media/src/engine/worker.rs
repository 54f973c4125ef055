//! The worker thread: sources, codecs, playout, text and sinks, each stream at its own absolute deadlines.

mod audio;
mod opening;
mod phases;
mod text;
mod video;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use audio::Scratch;
pub(super) use audio::{AudioParts, AudioStream};
use mio::Waker;
use phases::Phases;
use rtrb::{Consumer, Producer};
pub(super) use text::TextStream;
pub(super) use video::VideoStream;

use super::config::{AudioFormat, Direction, EventSender, StreamId};
use crate::clock::Clock;
use crate::source::AudioSource;
use crate::stats::{DropCounts, Heard, Playout, TextFigures, VideoFigures};
use crate::video::VideoSource;

/// Deadlines this close are served together, which saves wake-ups with many streams.
const TOGETHER: Duration = Duration::from_micros(500);
/// Longest sleep without a deadline.
const IDLE: Duration = Duration::from_secs(3600);

/// What the worker thread is told.
pub(super) enum Command {
    Add(Stream),
    SetDirection {
        id: StreamId,
        direction: Direction,
    },
    /// The far end is elsewhere now: the path there is to be opened.
    Reopen {
        id: StreamId,
    },
    Text {
        id: StreamId,
        text: String,
    },
    /// Another source in place of the one before.
    AudioSource {
        id: StreamId,
        source: Box<dyn AudioSource>,
    },
    VideoSource {
        id: StreamId,
        source: Box<dyn VideoSource>,
    },
    /// A key frame is wanted: of ours, or of the far end.
    KeyFrame {
        id: StreamId,
        ours: bool,
    },
    /// A blank picture is sent in place of the source's, or no longer.
    Privacy {
        id: StreamId,
        private: bool,
    },
    /// The far end is to send no more than that.
    Limit {
        id: StreamId,
        bits_per_second: u64,
    },
    /// Another codec, or other payload types.
    Format {
        id: StreamId,
        format: Box<AudioFormat>,
    },
    Digits {
        id: StreamId,
        events: Vec<u8>,
        duration: Duration,
    },
    Figures {
        id: StreamId,
        reply: mpsc::SyncSender<WorkerFigures>,
    },
    Stop {
        id: StreamId,
        reply: mpsc::SyncSender<WorkerFigures>,
    },
    Shutdown,
}

/// The worker's part of a stream's figures.
#[derive(Debug, Default)]
pub(super) struct WorkerFigures {
    pub(super) playout: Option<Playout>,
    pub(super) heard: Option<Heard>,
    pub(super) text: Option<TextFigures>,
    pub(super) video: Option<VideoFigures>,
    pub(super) drops: DropCounts,
    /// RTP timestamp and moment of what was last played or shown.
    pub(super) rendered: Option<(u32, Instant)>,
}

/// One stream on the worker thread.
pub(super) enum Stream {
    Audio(Box<AudioStream>),
    Text(Box<TextStream>),
    Video(Box<VideoStream>),
}

impl Stream {
    fn id(&self) -> StreamId {
        match self {
            Self::Audio(stream) => stream.id,
            Self::Text(stream) => stream.id,
            Self::Video(stream) => stream.id,
        }
    }

    fn next_deadline(&self) -> Instant {
        match self {
            Self::Audio(stream) => stream.next_deadline(),
            Self::Text(stream) => stream.next_deadline(),
            Self::Video(stream) => stream.next_deadline(),
        }
    }

    /// Does what is due; returns whether frames were made.
    fn handle(&mut self, now: Instant, scratch: &mut Scratch, events: &EventSender) -> bool {
        match self {
            Self::Audio(stream) => stream.tick(now, scratch, events),
            Self::Text(stream) => stream.handle(now, events),
            Self::Video(stream) => stream.handle(now, events),
        }
    }

    fn finish(&mut self, now: Instant, events: &EventSender) -> WorkerFigures {
        match self {
            Self::Audio(stream) => stream.finish(events),
            Self::Text(stream) => stream.finish(now, events),
            Self::Video(stream) => stream.finish(now, events),
        }
    }

    fn figures(&self, now: Instant) -> WorkerFigures {
        match self {
            Self::Audio(stream) => stream.figures(),
            Self::Text(stream) => stream.figures(),
            Self::Video(stream) => stream.figures(now),
        }
    }
}

/// The worker thread's state.
pub(super) struct Worker {
    commands: mpsc::Receiver<Command>,
    events: EventSender,
    link: Link,
    clock: Clock,
    streams: Vec<Option<Stream>>,
    /// Deadlines; an entry counts only if its stream still waits for exactly that moment.
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    armed: Vec<Option<Instant>>,
    phases: Phases,
    scratch: Box<Scratch>,
}

/// The way to the packet thread.
pub(super) struct Link {
    /// Slots with frames for it, and how to wake it.
    sendable: Producer<u32>,
    /// Slots with received frames that do not wait for a deadline.
    readable: Consumer<u32>,
    /// None where nobody waits for it, in simulated time.
    waker: Option<Arc<Waker>>,
    /// Something was announced since it was woken.
    announced: bool,
}

impl Link {
    pub(super) fn new(sendable: Producer<u32>, readable: Consumer<u32>, waker: Option<Arc<Waker>>) -> Self {
        Self { sendable, readable, waker, announced: false }
    }
}

impl Worker {
    /// A worker without streams.
    pub(super) fn new(
        commands: mpsc::Receiver<Command>,
        events: EventSender,
        link: Link,
        clock: Clock,
    ) -> Self {
        let phases = Phases::new(clock.now());
        Self {
            commands,
            events,
            link,
            clock,
            streams: Vec::new(),
            timers: BinaryHeap::with_capacity(256),
            armed: Vec::new(),
            phases,
            scratch: Box::default(),
        }
    }

    /// Runs until told to shut down.
    pub(super) fn run(mut self) {
        while self.turn() {
            let now = self.clock.now();
            let wait = self.timers.peek().map_or(IDLE, |Reverse((at, _))| at.saturating_duration_since(now));
            if !wait.is_zero() {
                std::thread::park_timeout(wait);
            }
        }
    }

    /// Does what it was told, what came and what is due; `false` when the engine ends.
    pub(super) fn turn(&mut self) -> bool {
        if !self.obey() {
            return false;
        }
        while let Ok(slot) = self.link.readable.pop() {
            let now = self.clock.now();
            self.handle(slot as usize, now);
        }
        self.serve_deadlines();
        if std::mem::take(&mut self.link.announced)
            && let Some(Err(error)) = self.link.waker.as_ref().map(|waker| waker.wake())
        {
            tracing::error!(%error, "cannot wake a packet thread");
        }
        true
    }

    /// Frames came that it has not looked at.
    pub(super) fn has_work(&self) -> bool {
        !self.link.readable.is_empty()
    }

    /// When something is due by itself.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    fn serve_deadlines(&mut self) {
        let now = self.clock.now();
        while let Some(Reverse((at, slot))) = self.timers.peek().copied() {
            if at > now + TOGETHER {
                return;
            }
            self.timers.pop();
            if self.armed.get(slot as usize).copied().flatten() == Some(at) {
                self.armed[slot as usize] = None;
                self.handle(slot as usize, now.max(at));
            }
        }
    }

    /// Lets a stream do what is due and arms its next deadline.
    fn handle(&mut self, slot: usize, now: Instant) {
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
        if stream.handle(now, &mut self.scratch, &self.events) {
            self.announce(slot);
        }
        self.arm(slot);
    }

    fn arm(&mut self, slot: usize) {
        let Some(Some(stream)) = self.streams.get(slot) else { return };
        let at = stream.next_deadline();
        if self.armed[slot] != Some(at) {
            self.armed[slot] = Some(at);
            self.timers.push(Reverse((at, slot as u32)));
        }
    }

    /// Tells the packet thread that this stream has frames.
    fn announce(&mut self, slot: usize) {
        // Full: the packet thread is behind; the frames go out with the stream's next announcement.
        let _ = self.link.sendable.push(slot as u32);
        self.link.announced = true;
    }

    fn stream(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(id.slot())?.as_mut().filter(|stream| stream.id() == id)
    }

    /// Carries out commands; `false` when the engine ends.
    fn obey(&mut self) -> bool {
        loop {
            let command = self.commands.try_recv();
            let now = self.clock.now();
            match command {
                Ok(Command::Add(stream)) => self.add(stream),
                Ok(Command::SetDirection { id, direction }) => match self.stream(id) {
                    Some(Stream::Audio(stream)) => {
                        stream.set_send(direction.send);
                        stream.set_receive(direction.receive);
                    }
                    Some(Stream::Text(stream)) => stream.set_send(direction.send),
                    Some(Stream::Video(stream)) => {
                        stream.set_send(direction.send);
                        stream.set_receive(direction.receive);
                    }
                    None => {}
                },
                Ok(Command::Reopen { id }) => {
                    match self.stream(id) {
                        Some(Stream::Audio(stream)) => stream.reopen(),
                        Some(Stream::Text(stream)) => stream.reopen(),
                        Some(Stream::Video(stream)) => stream.reopen(),
                        None => {}
                    }
                    self.handle(id.slot(), now);
                }
                Ok(Command::KeyFrame { id, ours }) => {
                    if let Some(Stream::Video(stream)) = self.stream(id) {
                        stream.key_frame(ours, now);
                        self.handle(id.slot(), now);
                        self.announce(id.slot());
                    }
                }
                Ok(Command::Privacy { id, private }) => {
                    if let Some(Stream::Video(stream)) = self.stream(id) {
                        stream.set_privacy(private);
                        self.handle(id.slot(), now);
                    }
                }
                Ok(Command::AudioSource { id, source }) => {
                    if let Some(Stream::Audio(stream)) = self.stream(id) {
                        stream.set_source(source);
                    }
                }
                Ok(Command::VideoSource { id, source }) => {
                    if let Some(Stream::Video(stream)) = self.stream(id) {
                        stream.set_source(source, now);
                        self.handle(id.slot(), now);
                    }
                }
                Ok(Command::Limit { id, bits_per_second }) => {
                    if let Some(Stream::Video(stream)) = self.stream(id) {
                        stream.limit_far_end(bits_per_second);
                        self.announce(id.slot());
                    }
                }
                Ok(Command::Text { id, text }) => {
                    if let Some(Stream::Text(stream)) = self.stream(id) {
                        stream.push(&text, now);
                        self.handle(id.slot(), now);
                    }
                }
                Ok(Command::Digits { id, events, duration }) => {
                    if let Some(Stream::Audio(stream)) = self.stream(id) {
                        stream.dial(&events, duration);
                    }
                }
                Ok(Command::Format { id, format }) => {
                    if let Some(Stream::Audio(stream)) = self.stream(id) {
                        stream.set_format(&format);
                    }
                }
                Ok(Command::Figures { id, reply }) => {
                    if let Some(stream) = self.stream(id) {
                        let _ = reply.try_send(stream.figures(now));
                    }
                }
                Ok(Command::Stop { id, reply }) => {
                    if let Some(figures) = self.stop(id) {
                        let _ = reply.try_send(figures);
                    }
                }
                Err(mpsc::TryRecvError::Empty) => return true,
                Ok(Command::Shutdown) | Err(mpsc::TryRecvError::Disconnected) => {
                    let left: Vec<StreamId> = self.streams.iter().flatten().map(Stream::id).collect();
                    for id in left {
                        self.stop(id);
                    }
                    return false;
                }
            }
        }
    }

    fn add(&mut self, mut stream: Stream) {
        let slot = stream.id().slot();
        if let Stream::Audio(stream) = &mut stream {
            stream.open(&self.events);
        }
        if self.streams.len() <= slot {
            self.streams.resize_with(slot + 1, || None);
            self.armed.resize(slot + 1, None);
        }
        self.armed[slot] = None;
        self.streams[slot] = Some(stream);
        // The first packet leaves at once, the others in company.
        let now = self.clock.now();
        self.handle(slot, now);
        if let Some(Some(Stream::Audio(stream))) = self.streams.get_mut(slot) {
            stream.align(|next, tick| self.phases.enter(slot, next, tick));
            self.arm(slot);
        }
    }

    fn stop(&mut self, id: StreamId) -> Option<WorkerFigures> {
        self.stream(id)?;
        let mut stream = self.streams.get_mut(id.slot())?.take()?;
        self.armed[id.slot()] = None;
        self.phases.leave(id.slot());
        Some(stream.finish(self.clock.now(), &self.events))
    }
}
