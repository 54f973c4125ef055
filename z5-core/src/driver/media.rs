//! Step 5 on the wire: ports, keys and streams of `z5_media`, kept per call.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use z5_media::capture::{Capture, KeyOf};
use z5_media::engine::simulated;
use z5_media::loopback::{EchoSink, PictureSink};
use z5_media::{
    AudioConfig, Direction, Engine, EngineConfig, Flow, KeyLengthError, LocalPort, MediaError, PortError,
    Reach, SharedPort, Silence, SrtpParams, SrtpSuite, StreamConfig, StreamEvent, StreamId, StreamKind,
    TextConfig, TextPayloadTypes, VideoConfig, codec::h264, video,
};
use zeroize::Zeroizing;

use super::{Fact, Facts, NewSource};
use crate::call::{AudioIn, AudioOut, CallFigures, CallId, CallMedia, VideoIn, VideoOut};
use crate::config::{PortRange, VideoSetting};
use crate::entropy::Entropy;
use crate::error::{CallError, StartError};
use crate::events::MediaKind;
use crate::machine::io::{
    CodecPlan, KeyAndSalt, KeyPool, MediaChange, MediaFact, PortPair, ReadyMedium, SrtpPlan, StoppedMedia,
    StreamPlan,
};

/// The engine and what each call has of it. Made with the first call: a session without calls needs no thread for it.
pub(super) struct Media {
    engine: Option<Engine>,
    facts: Facts,
    capture: Option<Arc<Capture>>,
    reach: Option<Reach>,
    /// How long sound may stay away.
    patience: Duration,
    calls: BTreeMap<CallId, CallStreams>,
    /// Ports that calls share, by what they are for.
    shared: BTreeMap<SharedFor, SharedPort>,
    made: AtomicU64,
    source: Source,
    /// What is sent as video when a call does not say.
    video: VideoSetting,
}

/// A medium, and where its ports are: an address and the first and last port.
type SharedFor = (MediaKind, IpAddr, (u16, u16));

/// Where chance comes from and datagrams go.
pub(super) struct Source {
    pub(super) entropy: Entropy,
    /// In simulated time.
    pub(super) network: Option<simulated::Network>,
    /// As the configuration has them, for the engine.
    pub(super) packet_threads: usize,
    pub(super) realtime: bool,
}

#[derive(Default)]
struct CallStreams {
    wish: Option<CallMedia>,
    ports: BTreeMap<MediaKind, LocalPort>,
    source: Option<Box<dyn z5_media::AudioSource>>,
    sink: Option<AudioOut>,
    /// What the call said of video; kept for one that the far end adds later.
    video_in: Option<VideoIn>,
    video_out: Option<VideoOut>,
    /// Opened before the offer, so that what cannot be sent is not offered.
    film: Option<Box<dyn video::VideoSource>>,
    /// What feeds the sources of an echo.
    heard: Option<EchoSink>,
    watched: Option<PictureSink>,
    /// What of the call is an echo, for its whole life.
    echoes: Vec<MediaKind>,
    streams: BTreeMap<MediaKind, StreamId>,
    /// Where each stream receives.
    local: BTreeMap<MediaKind, SocketAddr>,
}

impl Media {
    pub(super) fn start(
        facts: Facts,
        source: Source,
        capture: Option<Arc<Capture>>,
        reach: Option<Reach>,
        patience: Duration,
        video: VideoSetting,
    ) -> Result<Self, StartError> {
        let made = AtomicU64::new(source.entropy.number()?);
        Ok(Self {
            source,
            engine: None,
            facts,
            capture,
            reach,
            patience,
            calls: BTreeMap::new(),
            shared: BTreeMap::new(),
            made,
            video,
        })
    }

    /// Keeps the sources and sinks of a command until the call needs them.
    pub(super) fn keep(&mut self, call: CallId, wish: CallMedia) {
        let streams = self.calls.entry(call).or_default();
        // An answer to a call that runs already is refused by the machine; its wishes are dropped.
        if streams.streams.is_empty() {
            streams.wish = Some(wish);
        }
    }

    /// Drops the sources and sinks of a command that was refused; what runs is not touched.
    pub(super) fn forget_wish(&mut self, call: CallId) {
        let Some(streams) = self.calls.get_mut(&call) else { return };
        streams.wish = None;
        if streams.streams.is_empty() && streams.ports.is_empty() {
            self.calls.remove(&call);
        }
    }

    /// Reserves ports, makes keys, opens the source and checks the recording's place.
    pub(super) fn prepare(
        &mut self,
        call: CallId,
        bind: IpAddr,
        (ports, shared): (PortRange, bool),
        kinds: &[MediaKind],
    ) -> Result<Vec<ReadyMedium>, CallError> {
        let engine =
            engine(&mut self.engine, &self.facts, &self.source, self.capture.as_ref(), self.reach.as_ref())?;
        let streams = self.calls.entry(call).or_default();
        if let Some(wish) = streams.wish.take() {
            wish.check()?;
            let (source, heard) = wish.audio_in.open()?;
            (streams.source, streams.heard) = (Some(source), heard);
            streams.sink = Some(wish.audio_out);
            streams.video_in = wish.video_in;
            streams.video_out = Some(wish.video_out);
        }
        if kinds.contains(&MediaKind::Video) && streams.film.is_none() {
            // Video that a call did without and that is wanted now: as configured, else a blank picture.
            let on = |source: &VideoIn| !matches!(source, VideoIn::Off);
            let configured = || Some(VideoIn::from(&self.video)).filter(on);
            let source = streams.video_in.take().filter(on).or_else(configured).unwrap_or(VideoIn::Blank);
            let (film, watched) = source.open(self.source.network.as_ref())?;
            (streams.film, streams.watched) = (Some(film), watched);
        }
        let mut ready = Vec::new();
        for kind in kinds {
            let port = match shared {
                false => reserve(engine, bind, ports)?,
                true => place(&mut self.shared, engine, (*kind, bind, ports))?,
            };
            let keys =
                self.source.entropy.keys().map_err(|error| CallError::Media { why: error.to_string() })?;
            let pair = PortPair { rtp: port.rtp_addr(), rtcp: port.rtcp_addr() };
            let film = streams.film.as_ref().filter(|_| *kind == MediaKind::Video);
            let largest = film.and_then(|film| film.largest_unit());
            let fragments = largest.is_some_and(|bytes| bytes > video::LARGEST_WHOLE_UNIT);
            ready.push(ReadyMedium { kind: *kind, ports: pair, keys: KeyPool(keys), fragments });
            streams.ports.insert(*kind, port);
        }
        Ok(ready)
    }

    /// Starts what was agreed; ports that are not needed are freed.
    pub(super) fn start_streams(&mut self, call: CallId, plans: Vec<StreamPlan>) -> Result<(), CallError> {
        let engine =
            engine(&mut self.engine, &self.facts, &self.source, self.capture.as_ref(), self.reach.as_ref())?;
        let Some(streams) = self.calls.get_mut(&call) else { return Ok(()) };
        for plan in plans {
            let Some(port) = streams.ports.remove(&plan.kind) else { continue };
            let kind = plan.kind;
            let serial = self.made.fetch_add(1, Ordering::Relaxed);
            let local = port.rtp_addr();
            if let Some(SrtpPlan { suite, local: ours, remote: theirs }) = &plan.srtp {
                note_key(self.capture.as_ref(), KeyOf::SentFrom(local), *suite, ours);
                note_key(self.capture.as_ref(), KeyOf::SentTo(local), *suite, theirs);
            }
            let config = stream_config(plan, streams, serial, &self.source)?;
            let stream = engine.start_stream(port, config).map_err(|error| {
                let why = if let MediaError::Claimed { remote } = error {
                    format!(
                        "another call has its far end at {remote} as well, and calls on shared ports are told apart by that; \
                         leave `media.shared_ports` out"
                    )
                } else {
                    error.to_string()
                };
                CallError::Media { why }
            })?;
            // Text may rightly be idle (RFC 4103 section 5.2).
            if kind != MediaKind::Text {
                engine
                    .watch(stream, Some(self.patience))
                    .map_err(|error| CallError::Media { why: error.to_string() })?;
            }
            streams.streams.insert(kind, stream);
            streams.local.insert(kind, local);
        }
        streams.ports.clear();
        Ok(())
    }

    /// Lets running streams go on on ports of another address: all of them, or none when one finds no port.
    pub(super) fn relocate(
        &mut self,
        call: CallId,
        bind: IpAddr,
        ports: PortRange,
        media: &[(MediaKind, Option<SrtpPlan>)],
    ) -> Result<Vec<(MediaKind, PortPair)>, CallError> {
        let (Some(engine), Some(streams)) = (&self.engine, self.calls.get_mut(&call)) else {
            return Ok(Vec::new());
        };
        let running = media.iter().filter_map(|(kind, srtp)| Some((*kind, streams.streams.get(kind)?, srtp)));
        let reserved = running.map(|medium| Ok((medium, reserve(engine, bind, ports)?)));
        let reserved = reserved.collect::<Result<Vec<_>, CallError>>()?;
        let mut moved = Vec::new();
        for ((kind, stream, srtp), port) in reserved {
            let pair = PortPair { rtp: port.rtp_addr(), rtcp: port.rtcp_addr() };
            if let Some(SrtpPlan { suite, local: ours, remote: theirs }) = srtp {
                note_key(self.capture.as_ref(), KeyOf::SentFrom(pair.rtp), *suite, ours);
                note_key(self.capture.as_ref(), KeyOf::SentTo(pair.rtp), *suite, theirs);
            }
            engine.set_local(*stream, port).map_err(|error| CallError::Media { why: error.to_string() })?;
            streams.local.insert(kind, pair.rtp);
            moved.push((kind, pair));
        }
        Ok(moved)
    }

    /// Ends a call's streams, or gives back what was prepared.
    pub(super) fn stop(&mut self, call: CallId) -> StoppedMedia {
        let Some(mut streams) = self.calls.remove(&call) else { return StoppedMedia::default() };
        let Some(engine) = &self.engine else { return StoppedMedia::default() };
        let of = |kind| streams.streams.get(&kind).copied();
        let skew_ms = match (of(MediaKind::Audio), of(MediaKind::Video)) {
            (Some(audio), Some(video)) => engine.skew_ms(audio, video),
            _ => None,
        };
        let mut stop = |kind| streams.streams.remove(&kind).and_then(|stream| engine.stop_stream(stream));
        let [audio, text, video] = [MediaKind::Audio, MediaKind::Text, MediaKind::Video].map(&mut stop);
        StoppedMedia { audio, text, video, skew_ms }
    }

    /// What was measured of every running call up to now.
    pub(super) fn figures(&self) -> Vec<(CallId, CallFigures)> {
        let Some(engine) = &self.engine else { return Vec::new() };
        let running = self.calls.iter().filter(|(_, call)| !call.streams.is_empty());
        let each = running.map(|(id, call)| {
            let of = |kind| call.streams.get(&kind).copied();
            let stats = |kind| of(kind).and_then(|stream| engine.stats(stream));
            let skew_ms = match (of(MediaKind::Audio), of(MediaKind::Video)) {
                (Some(audio), Some(video)) => engine.skew_ms(audio, video),
                _ => None,
            };
            let [audio, text, video] = [MediaKind::Audio, MediaKind::Text, MediaKind::Video].map(stats);
            (*id, CallFigures { audio, text, video, skew_ms })
        });
        each.collect()
    }

    /// Does something with a call's video, if it runs.
    fn with_video(&self, call: CallId, what: impl FnOnce(&Engine, StreamId) -> Result<(), MediaError>) {
        let stream = self.calls.get(&call).and_then(|streams| streams.streams.get(&MediaKind::Video));
        if let (Some(engine), Some(stream)) = (&self.engine, stream)
            && let Err(error) = what(engine, *stream)
        {
            tracing::warn!(%call, %error, "video was not changed");
        }
    }

    /// Shows the far end a blank picture, or the source's again.
    pub(super) fn set_privacy(&self, call: CallId, private: bool) {
        self.with_video(call, |engine, stream| engine.set_privacy(stream, private));
    }

    /// Sends another source of a call's sound or video.
    pub(super) fn switch_source(&self, call: CallId, source: NewSource) -> Result<(), CallError> {
        let kind = source.kind();
        let streams = self.calls.get(&call);
        let stream = streams.and_then(|streams| streams.streams.get(&kind)).copied();
        let (Some(engine), Some(streams), Some(stream)) = (&self.engine, streams, stream) else {
            return Err(CallError::Media { why: format!("the call carries no {}", kind.name()) });
        };
        // The two ends of an echo are tied together when it begins.
        let echo = matches!(source, NewSource::Audio(AudioIn::Echo) | NewSource::Video(VideoIn::Echo));
        if echo || streams.echoes.contains(&kind) {
            let why =
                format!("the {} of a call is an echo from its beginning to its end, or never", kind.name());
            return Err(CallError::Media { why });
        }
        match source {
            NewSource::Audio(source) => engine
                .set_audio_source(stream, source.open()?.0)
                .map_err(|error| CallError::Media { why: error.to_string() }),
            NewSource::Video(source) => {
                let what = source.name();
                if matches!(source, VideoIn::Off) {
                    let why = "a call that carries video mutes it; it is not taken away".to_owned();
                    return Err(CallError::VideoSource { what, why });
                }
                engine
                    .set_video_source(stream, source.open(self.source.network.as_ref())?.0)
                    .map_err(|error| CallError::VideoSource { what, why: error.to_string() })
            }
        }
    }

    /// Our next picture is to be a key frame.
    pub(super) fn send_key_frame(&self, call: CallId) {
        self.with_video(call, |engine, stream| engine.send_key_frame(stream));
    }

    /// Pauses, resumes or redirects what a call sends and receives.
    pub(super) fn direct(&self, call: CallId, changes: &[MediaChange]) {
        let (Some(engine), Some(streams)) = (&self.engine, self.calls.get(&call)) else { return };
        for change in changes {
            let Some(stream) = streams.streams.get(&change.kind) else { continue };
            let direction = Direction { send: change.send, receive: change.receive };
            let directed = engine.set_direction(*stream, direction);
            let moved =
                change.moved.map_or(Ok(()), |(remote, rtcp)| engine.set_remote(*stream, remote, rtcp));
            let keyed = change.srtp.as_ref().map_or(Ok(()), |plan| {
                srtp(plan)
                    .map_err(|_| MediaError::Keys)
                    .and_then(|params| engine.set_remote_key(*stream, &params))
            });
            if let (Some(plan), Some(local)) = (&change.srtp, streams.local.get(&change.kind)) {
                note_key(self.capture.as_ref(), KeyOf::SentTo(*local), plan.suite, &plan.remote);
            }
            let formatted =
                change.format.clone().map_or(Ok(()), |format| engine.set_audio_format(*stream, format));
            if let Err(error) = directed.and(moved).and(keyed).and(formatted) {
                tracing::warn!(%call, %error, "a stream was not changed");
            }
        }
    }

    pub(super) fn send_text(&self, call: CallId, text: &str) {
        let stream = self.calls.get(&call).and_then(|streams| streams.streams.get(&MediaKind::Text));
        if let (Some(engine), Some(stream)) = (&self.engine, stream)
            && let Err(error) = engine.send_text(*stream, text)
        {
            tracing::warn!(%call, %error, "text was not sent");
        }
    }

    pub(super) fn send_digits(&self, call: CallId, digits: &str) {
        let stream = self.calls.get(&call).and_then(|streams| streams.streams.get(&MediaKind::Audio));
        if let (Some(engine), Some(stream)) = (&self.engine, stream)
            && let Err(error) = engine.send_digits(*stream, digits, z5_media::DIGIT_DURATION)
        {
            tracing::warn!(%call, %error, "keys were not sent");
        }
    }

    /// Which call an event of the engine is about.
    pub(super) fn translate(&self, event: StreamEvent) -> Option<(CallId, MediaKind, MediaFact)> {
        let (stream, fact) = match event {
            StreamEvent::FirstPacket { stream, .. } => (stream, MediaFact::FirstPacket),
            StreamEvent::Text { stream, text, source, label } => {
                (stream, MediaFact::Text { text, source, label })
            }
            StreamEvent::TextSent { stream, text, waits } => (stream, MediaFact::TextSent { text, waits }),
            StreamEvent::SourceEnded { stream } => (stream, MediaFact::SourceEnded),
            StreamEvent::SinkFailed { stream, why } => (stream, MediaFact::SinkFailed(why)),
            StreamEvent::Digit { stream, digit, duration } => (stream, MediaFact::Digit { digit, duration }),
            StreamEvent::Flow { stream, flow: Flow::Silent(Silence { lasted, reason }) } => {
                (stream, MediaFact::Silent { lasted, reason })
            }
            StreamEvent::Flow { stream, flow: Flow::Back(after) } => (stream, MediaFact::Back { after }),
            StreamEvent::Bye { .. } => return None,
            StreamEvent::FirstPicture { stream, .. } => (stream, MediaFact::FirstPicture),
            StreamEvent::KeyFrameWanted { stream } => (stream, MediaFact::KeyFrameWanted),
            // The source was told: nothing more is to be done.
            StreamEvent::KeyFrameRequested { .. } | StreamEvent::TargetBitrate { .. } | _ => return None,
        };
        self.calls.iter().find_map(|(call, streams)| {
            let (kind, _) = streams.streams.iter().find(|(_, own)| **own == stream)?;
            Some((*call, *kind, fact.clone()))
        })
    }
}

fn engine<'a>(
    engine: &'a mut Option<Engine>,
    facts: &Facts,
    source: &Source,
    capture: Option<&Arc<Capture>>,
    reach: Option<&Reach>,
) -> Result<&'a Engine, CallError> {
    if engine.is_none() {
        let facts = facts.clone();
        let mut config = EngineConfig::new(move |event| drop(facts.send(Fact::Stream { event })));
        config.capture = capture.cloned();
        config.packet_threads = source.packet_threads;
        config.realtime = source.realtime;
        config.reach = reach.cloned();
        *engine = Some(match &source.network {
            None => Engine::start(config).map_err(|error| CallError::Media { why: error.to_string() })?,
            Some(network) => {
                config.port_seed = 0;
                Engine::simulated(config, network)
            }
        });
    }
    engine.as_ref().ok_or_else(|| CallError::Media { why: "no engine".to_owned() })
}

fn reserve(engine: &Engine, bind: IpAddr, ports: PortRange) -> Result<LocalPort, CallError> {
    engine.reserve(bind, ports.inclusive()).map_err(|error| no_port(bind, ports, &error))
}

fn no_port(bind: IpAddr, ports: PortRange, error: &PortError) -> CallError {
    CallError::LocalPort { why: format!("{bind}, ports {ports}: {error}") }
}

/// A place on the ports that all calls share for a medium; they are opened for the first one and stay.
fn place(
    opened: &mut BTreeMap<SharedFor, SharedPort>,
    engine: &Engine,
    (kind, bind, ports): (MediaKind, IpAddr, PortRange),
) -> Result<LocalPort, CallError> {
    let port = match opened.entry((kind, bind, (ports.first(), ports.last()))) {
        Entry::Occupied(port) => port.into_mut(),
        Entry::Vacant(vacant) => {
            let opened = engine.share(bind, ports.inclusive());
            vacant.insert(opened.map_err(|error| no_port(bind, ports, &error))?)
        }
    };
    Ok(port.port(None))
}

/// Writes a key beside the capture. A call goes on without it.
fn note_key(capture: Option<&Arc<Capture>>, of: KeyOf, suite: SrtpSuite, key: &KeyAndSalt) {
    let Some(capture) = capture else { return };
    let base64 = Zeroizing::new(BASE64_STANDARD.encode(key.0.as_slice()));
    if let Err(error) = capture.keys(of, suite.name(), &base64) {
        tracing::error!(%error, "what is captured cannot be opened later");
    }
}

fn srtp(plan: &SrtpPlan) -> Result<SrtpParams, KeyLengthError> {
    SrtpParams::new(plan.suite, plan.local.0.as_slice(), plan.remote.0.as_slice())
}

fn stream_config(
    plan: StreamPlan,
    streams: &mut CallStreams,
    serial: u64,
    origin: &Source,
) -> Result<StreamConfig, CallError> {
    let media = |why: String| CallError::Media { why };
    let kind = match plan.codec {
        CodecPlan::Audio { format, ptime_ms } => StreamKind::Audio(AudioConfig {
            codec: format.codec,
            send_payload_type: format.send_payload_type,
            receive_payload_type: format.receive_payload_type,
            telephone_event: format.telephone_event,
            options: format.options,
            ptime_ms,
            source: match streams.source.take() {
                Some(source) => source,
                None => AudioIn::Silence.open()?.0,
            },
            sink: {
                let sink = streams.sink.take().unwrap_or(AudioOut::Nothing).open()?;
                match streams.heard.take() {
                    Some(echo) => {
                        streams.echoes.push(MediaKind::Audio);
                        Box::new(echo.beside(sink))
                    }
                    None => sink,
                }
            },
        }),
        CodecPlan::Text { send, receive, red, characters_per_second } => StreamKind::Text(TextConfig {
            send: TextPayloadTypes { t140: send, red: red.map(|red| red.0) },
            receive: TextPayloadTypes { t140: receive, red: red.map(|red| red.1) },
            characters_per_second,
        }),
        CodecPlan::Video(plan) => StreamKind::Video(VideoConfig {
            send_payload_type: plan.send,
            receive_payload_type: plan.receive,
            also_received: plan.also_received,
            mode: match plan.packetization_mode {
                0 => h264::Mode::SingleNal,
                _ => h264::Mode::NonInterleaved,
            },
            level: Some(video::Level::of(plan.level)),
            feedback: plan.feedback,
            max_bits_per_second: plan.max_bits_per_second,
            source: match streams.film.take() {
                Some(source) => source,
                None => VideoIn::Off.open(origin.network.as_ref())?.0,
            },
            sink: {
                let network = origin.network.as_ref();
                let sink = streams.video_out.take().unwrap_or(VideoOut::Nothing).open(network)?;
                match streams.watched.take() {
                    Some(echo) => {
                        streams.echoes.push(MediaKind::Video);
                        Box::new(echo.beside(sink))
                    }
                    None => sink,
                }
            },
        }),
    };
    let srtp = plan.srtp.as_ref().map(srtp).transpose().map_err(|error| media(error.to_string()))?;
    let random = origin.entropy.number().map_err(|error| media(error.to_string()))?.to_le_bytes();
    let word = |at: usize| u32::from_le_bytes([random[at], random[at + 1], random[at + 2], random[at + 3]]);
    Ok(StreamConfig {
        kind,
        remote: plan.remote,
        remote_rtcp: plan.remote_rtcp,
        rtcp_mux: plan.rtcp_mux,
        direction: Direction { send: plan.send, receive: plan.receive },
        srtp,
        ssrc: word(0),
        // Below 2^15, so that SRTP receivers guess the roll-over counter right (RFC 3711 section 3.3.1).
        first_sequence: (word(4) & 0x7fff) as u16,
        first_timestamp: word(4).rotate_left(7) ^ word(0),
        // Random and without personal data (RFC 7022 section 4.2).
        cname: format!("{serial:016x}@z5.invalid"),
    })
}
