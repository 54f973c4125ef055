//! The engine: sockets, threads and events around the sans-IO streams. The border other crates build on.
//!
//! An engine has threads of its own, in pairs: one moves packets, the other runs sources, codecs and sinks; frames pass between
//! the two through rings. There is one pair unless more are asked for, and a stream belongs to one of them. The methods here are called from any other thread; they hand a command over and, where they
//! return figures, wait for the answer (normally well under a millisecond).

mod config;
mod demux;
mod error;
mod limits;
mod load;
mod net;
mod pace;
mod ports;
mod priority;
mod registry;
mod ring;
mod shard;
mod shared;
pub mod simulated;
mod start;
mod wheel;
mod worker;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use config::EventSender;
pub use config::{
    AudioCodec, AudioConfig, AudioFormat, AudioOptions, Direction, EngineConfig, EventHandler, OpusOptions,
    StreamConfig, StreamEvent, StreamId, StreamKind, TelephoneEvent, TextConfig, TextPayloadTypes,
    VideoConfig,
};
pub use error::{EngineError, MediaError, PortError};
pub use limits::{TooFewFiles, room_for};
pub use load::{EncodedMedia, LoadConfig};
pub use ports::LocalPort;
use registry::{Registry, Running};
use shard::Shard;
pub use shared::SharedPort;

use crate::capture::Capture;
use crate::clock::{Clock, WallAnchor};
use crate::codec::telephone_event;
use crate::stats::{MediaKind, StreamStats};
use crate::stream::Reach;

/// Packet threads an engine has at most.
pub const MAX_PACKET_THREADS: usize = 16;
/// The usual length of a key press (RFC 7874 and RFC 9248 section 6.5).
pub const DIGIT_DURATION: Duration = Duration::from_millis(100);
/// Longest wait for the engine's answer; it only passes when a thread died or a sink blocks.
const ANSWER: Duration = Duration::from_secs(5);

/// A running media engine. Dropping it ends every stream and completes every sink.
pub struct Engine {
    shards: Vec<Shard>,
    registry: Mutex<Registry>,
    next_port: AtomicU64,
    clock: Clock,
    epoch: Instant,
    anchor: WallAnchor,
    /// In simulated time: the network, and our number there.
    network: Option<(simulated::Network, usize)>,
    capture: Option<Arc<Capture>>,
    reach: Option<Reach>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine's threads.
    ///
    /// # Errors
    /// When the system gives no threads or no poll instance.
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        let events: EventSender = Arc::from(config.events);
        let epoch = Clock::System.now();
        let count = config.packet_threads.clamp(1, MAX_PACKET_THREADS);
        let shards = (0..count).map(|_| Shard::start(&events, config.realtime, epoch));
        Ok(Self {
            shards: shards.collect::<Result<Vec<_>, EngineError>>()?,
            registry: Mutex::new(Registry::new(count)),
            next_port: AtomicU64::new(config.port_seed),
            clock: Clock::System,
            epoch,
            anchor: WallAnchor::read(),
            network: None,
            capture: config.capture,
            reach: config.reach,
        })
    }

    /// An engine in simulated time: without threads and sockets, on a network that exists in memory only. Its number of packet
    /// threads and their priority mean nothing here.
    #[must_use]
    pub fn simulated(config: EngineConfig, network: &simulated::Network) -> Self {
        let events: EventSender = Arc::from(config.events);
        let clock = network.clock().clone();
        let epoch = clock.now();
        let (shard, halves) = Shard::by_hand(&events, epoch, &clock);
        Self {
            shards: vec![shard],
            registry: Mutex::new(Registry::new(1)),
            next_port: AtomicU64::new(config.port_seed),
            clock,
            epoch,
            anchor: network.anchor(),
            network: Some((network.clone(), network.join(&halves))),
            capture: config.capture,
            reach: config.reach,
        }
    }

    /// Binds an even RTP port and the odd RTCP port above it on `bind`, within `ports`; `0..=0` takes any pair.
    ///
    /// # Errors
    /// When the range is exhausted or holds no pair, or the address is not ours.
    pub fn reserve(&self, bind: IpAddr, ports: RangeInclusive<u16>) -> Result<LocalPort, PortError> {
        let start = self.next_port.fetch_add(1, Ordering::Relaxed);
        match &self.network {
            None => ports::reserve(bind, ports, start),
            Some((network, _)) => network.reserve(bind, ports, start).map(LocalPort::simulated),
        }
    }

    /// Binds a pair for each packet thread, on which any number of streams can run: for load generation. Otherwise as
    /// [`reserve`](Self::reserve). The sockets live as long as the engine.
    ///
    /// # Errors
    /// When the range is exhausted or holds no pair, the address is not ours, the engine has stopped, or it has no sockets.
    pub fn share(&self, bind: IpAddr, ports: RangeInclusive<u16>) -> Result<SharedPort, PortError> {
        if self.network.is_some() {
            return Err(PortError::Simulated);
        }
        let mut registry = self.registry.lock().map_err(|_| PortError::Stopped)?;
        let start = self.next_port.fetch_add(self.shards.len() as u64, Ordering::Relaxed);
        let (port, sockets) = shared::open(bind, &ports, self.shards.len(), registry.shared_ports, start)?;
        for (shard, sockets) in self.shards.iter().zip(sockets) {
            shard.tell_net(net::Command::Share(Box::new(sockets))).map_err(|_| PortError::Stopped)?;
        }
        registry.shared_ports += 1;
        Ok(port)
    }

    /// Runs a stream on a reserved port. The first packet leaves at once.
    ///
    /// # Errors
    /// When the configuration cannot be used; the port is freed then.
    pub fn start_stream(&self, port: LocalPort, config: StreamConfig) -> Result<StreamId, MediaError> {
        start::check(&config)?;
        let running = Running::of(&config);
        let claim = start::claim(&port, &config);
        let id = self.registry.lock().map_err(|_| MediaError::Stopped)?.add(running, claim)?;
        let times = start::Times { epoch: self.epoch, start: self.clock.now(), anchor: self.anchor };
        let built = start::build(id, port, claim, config, times, self.capture.clone());
        let started = built.and_then(|(mut net, work)| {
            if let Some(reach) = &self.reach {
                net.session.set_reach(reach.clone());
            }
            let waited = match (&net.sockets, &self.network) {
                (net::Sockets::Simulated(ports), Some((_, engine))) => ports.attach(*engine, id.slot()),
                _ => Vec::new(),
            };
            self.tell_net(id, net::Command::Add(net))?;
            for (end, datagram, from) in waited {
                self.tell_net(id, net::Command::Waited { id, end, datagram, from })?;
            }
            work.map_or(Ok(()), |work| self.tell_worker(id, worker::Command::Add(work)))
        });
        if let Err(error) = started {
            self.forget(id);
            return Err(error);
        }
        Ok(id)
    }

    /// Queues text (T.140) for sending; it leaves within 300 ms.
    ///
    /// # Errors
    /// When there is no such text stream.
    pub fn send_text(&self, stream: StreamId, text: &str) -> Result<(), MediaError> {
        if self.running(stream).ok_or(MediaError::NoSuchStream)?.kind != MediaKind::Text {
            return Err(MediaError::WrongKind { wanted: "text" });
        }
        self.tell_worker(stream, worker::Command::Text { id: stream, text: text.into() })
    }

    /// Presses keys (RFC 4733): each sounds for `duration` (40 ms to 8 s, [`DIGIT_DURATION`] is usual) with a gap of 80 ms
    /// after it. While a key sounds, audio from the source is left out.
    ///
    /// # Errors
    /// When there is no such stream, the far end did not agree to telephone events, or a character is no key; then none
    /// is pressed.
    pub fn send_digits(&self, stream: StreamId, digits: &str, duration: Duration) -> Result<(), MediaError> {
        if !self.running(stream).ok_or(MediaError::NoSuchStream)?.telephone_event {
            return Err(MediaError::NoTelephoneEvent);
        }
        if !(Duration::from_millis(40)..=Duration::from_secs(8)).contains(&duration) {
            return Err(MediaError::DigitDuration { duration });
        }
        let code = |digit| telephone_event::event(digit).ok_or(MediaError::Digit { digit });
        let events = digits.chars().map(code).collect::<Result<Vec<u8>, _>>()?;
        self.tell_worker(stream, worker::Command::Digits { id: stream, events, duration })
    }

    /// Sends another source's sound from the next frame on, in place of the one before, which is dropped; also after that one
    /// has ended. The stream's packets and time stamps go on as if nothing had happened.
    ///
    /// # Errors
    /// When there is no such audio stream, or it sends what was encoded before.
    pub fn set_audio_source(
        &self,
        stream: StreamId,
        source: Box<dyn crate::source::AudioSource>,
    ) -> Result<(), MediaError> {
        let running = self.running(stream).ok_or(MediaError::NoSuchStream)?;
        if running.kind != MediaKind::Audio || !running.works {
            return Err(MediaError::WrongKind { wanted: "audio of a source" });
        }
        self.tell_worker(stream, worker::Command::AudioSource { id: stream, source })
    }

    /// Sends another source's pictures in place of the one's before, which is dropped; also after that one has ended. What
    /// was made already still leaves; then comes a key frame of the new source, and what it gives before one is left out.
    /// Time stamps go on. The blank picture of a private stream stays.
    ///
    /// # Errors
    /// When there is no such video stream, or the source's pictures fit no packet whole where none may be split
    /// (packetization mode 0); then the one before goes on.
    pub fn set_video_source(
        &self,
        stream: StreamId,
        source: Box<dyn crate::video::VideoSource>,
    ) -> Result<(), MediaError> {
        self.video(stream)?;
        let whole = self.running(stream).is_some_and(|running| running.whole_units);
        let limit = crate::video::LARGEST_WHOLE_UNIT;
        match source.largest_unit() {
            Some(largest) if whole && largest > limit => Err(MediaError::UnitTooLarge { largest, limit }),
            Some(_) | None => self.tell_worker(stream, worker::Command::VideoSource { id: stream, source }),
        }
    }

    /// Makes our next picture a key frame, as soon as the source can: the far end asked for one by INFO (RFC 5168).
    ///
    /// # Errors
    /// When there is no such video stream.
    pub fn send_key_frame(&self, stream: StreamId) -> Result<(), MediaError> {
        self.video(stream)?;
        self.tell_worker(stream, worker::Command::KeyFrame { id: stream, ours: true })
    }

    /// Asks the far end for a key frame by RTCP (PLI or FIR), where that was agreed.
    ///
    /// # Errors
    /// When there is no such video stream.
    pub fn request_key_frame(&self, stream: StreamId) -> Result<(), MediaError> {
        self.video(stream)?;
        self.tell_worker(stream, worker::Command::KeyFrame { id: stream, ours: false })
    }

    /// Asks the far end to send no more than so many bits per second (TMMBR), where that was agreed.
    ///
    /// # Errors
    /// When there is no such video stream.
    pub fn limit_far_end(&self, stream: StreamId, bits_per_second: u64) -> Result<(), MediaError> {
        self.video(stream)?;
        self.tell_worker(stream, worker::Command::Limit { id: stream, bits_per_second })
    }

    /// Sends a blank picture in place of the source's, or the source's again (RFC 9248 section 6.7). Packets go on, the far end
    /// sees that it is intended, and nothing is signalled. The source is read on, and what it gives is dropped.
    ///
    /// # Errors
    /// When there is no such video stream.
    pub fn set_privacy(&self, stream: StreamId, private: bool) -> Result<(), MediaError> {
        self.video(stream)?;
        self.tell_worker(stream, worker::Command::Privacy { id: stream, private })
    }

    fn video(&self, stream: StreamId) -> Result<(), MediaError> {
        match self.running(stream).ok_or(MediaError::NoSuchStream)?.kind {
            MediaKind::Video => Ok(()),
            MediaKind::Audio | MediaKind::Text => Err(MediaError::WrongKind { wanted: "video" }),
        }
    }

    /// Changes which ways media may flow (hold and resume), without a new stream.
    ///
    /// # Errors
    /// When there is no such stream.
    pub fn set_direction(&self, stream: StreamId, direction: Direction) -> Result<(), MediaError> {
        let running = self.running(stream).ok_or(MediaError::NoSuchStream)?;
        self.tell_net(stream, net::Command::SetReceive { id: stream, receive: direction.receive })?;
        if !running.works {
            return self.tell_net(stream, net::Command::SetSend { id: stream, send: direction.send });
        }
        self.tell_worker(stream, worker::Command::SetDirection { id: stream, direction })
    }

    /// Sends elsewhere and learns the source anew, when the far end announced other addresses (a re-INVITE). A packet opens the
    /// path there at once.
    ///
    /// # Errors
    /// When there is no such stream, or on a shared port another stream has its far end there.
    pub fn set_remote(
        &self,
        stream: StreamId,
        remote: SocketAddr,
        remote_rtcp: SocketAddr,
    ) -> Result<(), MediaError> {
        let running = self.running(stream).ok_or(MediaError::NoSuchStream)?;
        self.registry.lock().map_err(|_| MediaError::Stopped)?.reclaim(stream, remote, remote_rtcp)?;
        self.tell_net(stream, net::Command::SetRemote { id: stream, remote, remote_rtcp })?;
        // Behind it in time: what opens the path must go where the far end is now.
        if running.works { self.tell_worker(stream, worker::Command::Reopen { id: stream }) } else { Ok(()) }
    }

    /// Goes on on another port of its own, when this machine has another address than before: what was bound is closed. SSRC,
    /// sequence numbers, keys and figures go on, and a packet opens the path from the new port at once.
    ///
    /// # Errors
    /// When there is no such stream, or either port is a shared one; the new port is freed then.
    pub fn set_local(&self, stream: StreamId, port: LocalPort) -> Result<(), MediaError> {
        let running = self.running(stream).ok_or(MediaError::NoSuchStream)?;
        if self.registry.lock().map_err(|_| MediaError::Stopped)?.is_shared(stream) {
            return Err(MediaError::SharedPort);
        }
        let local = [port.rtp_addr(), port.rtcp_addr()];
        let sockets = start::sockets(port.ends).ok_or(MediaError::SharedPort)?;
        let waited = match (&sockets, &self.network) {
            (net::Sockets::Simulated(ports), Some((_, engine))) => ports.attach(*engine, stream.slot()),
            _ => Vec::new(),
        };
        self.tell_net(stream, net::Command::SetLocal { id: stream, sockets: Box::new(sockets), local })?;
        for (end, datagram, from) in waited {
            self.tell_net(stream, net::Command::Waited { id: stream, end, datagram, from })?;
        }
        // Behind it in time, as above.
        if running.works { self.tell_worker(stream, worker::Command::Reopen { id: stream }) } else { Ok(()) }
    }

    /// Opens what comes with the far end's new key, when it changed within a call (a re-INVITE). Only the key of the far
    /// end in `params` counts: ours goes on.
    ///
    /// # Errors
    /// When there is no such stream, it runs without SRTP, or the keys are refused.
    pub fn set_remote_key(
        &self,
        stream: StreamId,
        params: &crate::srtp::SrtpParams,
    ) -> Result<(), MediaError> {
        if self.running(stream).ok_or(MediaError::NoSuchStream)?.security.is_none() {
            return Err(MediaError::Keys);
        }
        let (_, receiver) = params.contexts().map_err(|_| MediaError::Keys)?;
        self.tell_net(stream, net::Command::SetReceiver { id: stream, receiver: Box::new(receiver) })
    }

    /// Watches whether media comes: after `patience` without any, [`StreamEvent::Flow`] tells why, as far as it shows; and
    /// again when it comes back. A stream that is not to receive is not missed. `None` ends it.
    ///
    /// Not for text, which may rightly be idle (RFC 4103 section 5.2).
    ///
    /// # Errors
    /// When there is no such stream.
    pub fn watch(&self, stream: StreamId, patience: Option<Duration>) -> Result<(), MediaError> {
        self.running(stream).ok_or(MediaError::NoSuchStream)?;
        self.tell_net(stream, net::Command::Watch { id: stream, patience })
    }

    /// Goes on with another codec, or other payload types, when that was agreed within a call (a re-INVITE). Source and
    /// recording keep their sample rate.
    ///
    /// # Errors
    /// When there is no such audio stream, or the format cannot be used.
    pub fn set_audio_format(&self, stream: StreamId, format: AudioFormat) -> Result<(), MediaError> {
        start::check_format(&format)?;
        let clock_rate = format.codec.clock_rate();
        let changed = self.registry.lock().map_err(|_| MediaError::Stopped)?.set_format(stream, &format);
        if !changed {
            return Err(MediaError::NoSuchStream);
        }
        let payload_types = format.received();
        self.tell_net(stream, net::Command::SetPayloadTypes { id: stream, payload_types, clock_rate })?;
        self.tell_worker(stream, worker::Command::Format { id: stream, format: Box::new(format) })
    }

    /// Figures of a running stream; `None` when there is no such stream.
    #[must_use]
    pub fn stats(&self, stream: StreamId) -> Option<StreamStats> {
        let running = self.running(stream)?;
        let work = self.work((stream, running), |reply| worker::Command::Figures { id: stream, reply })?;
        let net = self.ask_net(stream, |reply| net::Command::Figures { id: stream, reply })?;
        Some(registry::figures(running, net, work))
    }

    /// How much later the picture of `video` is shown than the sound of `audio` that was captured with it; negative when the
    /// sound is later. `None` until both were rendered and the far end's sender reports of both came.
    ///
    /// Both streams must come from the same far end. Noticeable above 100 ms (EN 301 549 section 6.5.4).
    #[must_use]
    pub fn skew_ms(&self, audio: StreamId, video: StreamId) -> Option<f64> {
        let behind = |stream| {
            let running = self.running(stream)?;
            let work = self.ask_worker(stream, |reply| worker::Command::Figures { id: stream, reply })?;
            let net = self.ask_net(stream, |reply| net::Command::Figures { id: stream, reply })?;
            registry::behind(&net, &work, running.clock_rate, self.anchor)
        };
        Some((behind(video)? - behind(audio)?) * 1000.0)
    }

    /// Ends a stream: says BYE by RTCP, completes the sink, frees the ports, and returns the final figures.
    ///
    /// Text that was queued leaves before. `None` when there is no such stream.
    pub fn stop_stream(&self, stream: StreamId) -> Option<StreamStats> {
        let running = self.running(stream)?;
        let work = self.work((stream, running), |reply| worker::Command::Stop { id: stream, reply });
        let net = self.ask_net(stream, |reply| net::Command::Stop { id: stream, reply });
        self.forget(stream);
        Some(registry::figures(running, net?, work?))
    }

    /// The worker's figures; none of a stream without a half there.
    fn work(
        &self,
        (stream, running): (StreamId, Running),
        command: impl FnOnce(mpsc::SyncSender<worker::WorkerFigures>) -> worker::Command,
    ) -> Option<worker::WorkerFigures> {
        if running.works { self.ask_worker(stream, command) } else { Some(worker::WorkerFigures::default()) }
    }

    fn running(&self, stream: StreamId) -> Option<Running> {
        self.registry.lock().ok()?.running(stream)
    }

    fn forget(&self, stream: StreamId) {
        if let Ok(mut registry) = self.registry.lock() {
            registry.remove(stream);
        }
    }

    /// The threads that a stream belongs to.
    fn shard(&self, stream: StreamId) -> Result<&Shard, MediaError> {
        self.shards.get(stream.slot() % self.shards.len().max(1)).ok_or(MediaError::Stopped)
    }

    fn tell_net(&self, stream: StreamId, command: net::Command) -> Result<(), MediaError> {
        let told = self.shard(stream)?.tell_net(command);
        self.changed();
        told
    }

    fn tell_worker(&self, stream: StreamId, command: worker::Command) -> Result<(), MediaError> {
        let told = self.shard(stream)?.tell_worker(command);
        self.changed();
        told
    }

    /// In simulated time, whoever drives the network hears of it.
    fn changed(&self) {
        if let Some((network, _)) = &self.network {
            network.changed();
        }
    }

    fn ask_net<T>(
        &self,
        stream: StreamId,
        command: impl FnOnce(mpsc::SyncSender<T>) -> net::Command,
    ) -> Option<T> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.tell_net(stream, command(reply)).ok()?;
        answer.recv_timeout(ANSWER).ok()
    }

    fn ask_worker<T>(
        &self,
        stream: StreamId,
        command: impl FnOnce(mpsc::SyncSender<T>) -> worker::Command,
    ) -> Option<T> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.tell_worker(stream, command(reply)).ok()?;
        answer.recv_timeout(ANSWER).ok()
    }
}

#[cfg(test)]
mod tests;
