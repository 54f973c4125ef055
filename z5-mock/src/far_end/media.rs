//! The media of a far end's call: a pair of sockets and a task for each accepted media line.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use z5_media::codec::audio::{Encoder, MAX_ENCODED};
use z5_media::srtp::{Receiver, Sender, SrtpParams};
use z5_media::{AudioCodec, OpusOptions};

use super::feedback::{self, Feedback, Recovery};
use super::film::{Film, PICTURE_TICKS};
use super::rtp;
use super::text::{Typing, Writer};
use crate::clock;
use crate::relay::Ports;

const MAX_DATAGRAM: usize = 2048;
/// Room for an SRTP tag and the SRTCP index.
const TAG_ROOM: usize = 32;
const FRAME: Duration = Duration::from_millis(20);
/// Packets of sound a second.
const FRAMES_PER_SECOND: u32 = 50;
/// Amplitude of tones: -10 dBm0, where a full-scale sine is +3.14 dBm0 (ITU-T G.711).
const TONE_AMPLITUDE: f64 = 32_767.0 * 0.220_3;
/// Pace of text packets (RFC 4103 section 5.1).
/// Pace of the film.
const PICTURE: Duration = Duration::from_millis(40);
const TEXT_PACE: Duration = Duration::from_millis(300);

/// What a media line sends.
#[derive(Clone, Debug)]
pub(super) enum Sends {
    Nothing,
    Echo,
    Tone {
        payload_type: u8,
        codec: AudioCodec,
        hertz: f64,
    },
    Text {
        t140: u8,
        red: Option<u8>,
        text: String,
        /// What is typed later; none where the text is all.
        typing: Option<Typing>,
    },
    /// The built-in film, in H.264 packetization mode 1.
    Film {
        payload_type: u8,
    },
}

#[derive(Clone)]
pub(super) struct Plan {
    pub(super) sends: Sends,
    /// What is missing is asked for and given again.
    pub(super) video: bool,
    pub(super) srtp: Option<SrtpParams>,
}

/// The media lines of one call.
#[derive(Default)]
pub(super) struct Lines {
    lines: HashMap<usize, Line>,
    /// Ports of lines that are only imagined.
    imagined: HashMap<usize, u16>,
    versions: u32,
    /// How many others were at this far end before.
    before: u32,
}

struct Line {
    port: u16,
    rtp: Arc<UdpSocket>,
    rtcp: Arc<UdpSocket>,
    held: Arc<AtomicBool>,
    /// A whole picture is wanted.
    picture: Arc<Notify>,
    tasks: JoinSet<()>,
}

impl Lines {
    /// The `sess-version` of the next description (RFC 8866 section 5.2).
    pub(super) fn next_version(&mut self) -> u32 {
        self.versions += 1;
        self.versions
    }

    pub(super) const fn session_id(&self) -> u32 {
        1
    }

    /// Starts a media line, or starts it anew on the same port; its RTP port. `described` is where the offer says that media comes
    /// from.
    pub(super) fn start(
        &mut self,
        index: usize,
        plan: Plan,
        described: Option<SocketAddr>,
        ports: &mut Ports,
    ) -> Option<u16> {
        if let Some(port) = self.imagined.get(&index) {
            return Some(*port);
        }
        if let Some(port) = ports.imagine() {
            self.imagined.insert(index, port);
            return Some(port);
        }
        let line = match self.lines.entry(index) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                let pair = ports.pair().ok()?;
                free.insert(Line {
                    port: pair.rtp_port,
                    rtp: Arc::new(pair.rtp),
                    rtcp: Arc::new(pair.rtcp),
                    held: Arc::default(),
                    picture: Arc::default(),
                    tasks: JoinSet::new(),
                })
            }
        };
        let contexts = match &plan.srtp {
            Some(params) => Some(params.contexts().ok()?),
            None => None,
        };
        let (sender, receiver) = contexts.unzip();
        let ssrc = (u32::from(line.port) << 12 | 0x5e5) + self.before;
        line.tasks.abort_all();
        let task = Task {
            held: Arc::clone(&line.held),
            picture: Arc::clone(&line.picture),
            recovery: plan.video.then(Recovery::default),
            reports_to: None,
            remote_ssrc: 0,
            rtp: Arc::clone(&line.rtp),
            rtcp: Arc::clone(&line.rtcp),
            ssrc,
            sender,
            receiver,
            source: None,
            described,
            highest: 0,
        };
        line.tasks.spawn(task.run(plan.sends));
        Some(line.port)
    }

    /// Somebody else is there from the next start on: another source of media (RFC 3550 section 8.1), which counts anew.
    pub(super) fn somebody_else(&mut self) {
        self.before += 1;
    }

    /// While held, nothing is sent.
    pub(super) fn hold(&self, held: bool) {
        for line in self.lines.values() {
            line.held.store(held, Ordering::Relaxed);
        }
    }

    /// The far end asked for a whole picture by INFO (RFC 5168).
    pub(super) fn give_picture(&self) {
        self.lines.values().for_each(|line| line.picture.notify_one());
    }

    pub(super) fn stop(&mut self, index: usize) {
        self.lines.remove(&index);
        self.imagined.remove(&index);
    }
}

struct Task {
    held: Arc<AtomicBool>,
    picture: Arc<Notify>,
    /// Of a line with video.
    recovery: Option<Recovery>,
    /// Where RTCP comes from.
    reports_to: Option<SocketAddr>,
    remote_ssrc: u32,
    rtp: Arc<UdpSocket>,
    rtcp: Arc<UdpSocket>,
    ssrc: u32,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    /// Where the media comes from, learned from its first packet and then held, but for the described address, which goes first.
    source: Option<SocketAddr>,
    described: Option<SocketAddr>,
    highest: u16,
}

/// What a task makes by itself, packet by packet.
enum Made {
    Nothing,
    Tone(Box<Tone>),
    Text { writer: Writer, typing: Option<Typing>, sequence: u16, timestamp: u32 },
    Film { film: Film, payload_type: u8, sequence: u16, timestamp: u32 },
}

/// A sine without end, encoded.
struct Tone {
    payload_type: u8,
    codec: AudioCodec,
    encoder: Encoder,
    step: f64,
    phase: f64,
    sequence: u16,
    timestamp: u32,
    encoded: Vec<u8>,
}

impl Tone {
    fn new(payload_type: u8, codec: AudioCodec, hertz: f64) -> Option<Box<Self>> {
        let rate = codec.sample_rate();
        let encoder = Encoder::new(codec, rate, &OpusOptions::default()).ok()?;
        let step = TAU * hertz / f64::from(rate);
        let encoded = vec![0; MAX_ENCODED];
        Some(Box::new(Self {
            payload_type,
            codec,
            encoder,
            step,
            phase: 0.0,
            sequence: 1,
            timestamp: 0,
            encoded,
        }))
    }

    /// The next packet.
    fn packet(&mut self, ssrc: u32) -> Vec<u8> {
        let samples = self.codec.sample_rate() / FRAMES_PER_SECOND;
        let sample = |n: u32| (TONE_AMPLITUDE * (self.phase + self.step * f64::from(n)).sin()) as i16;
        let frame: Vec<i16> = (0..samples).map(sample).collect();
        self.phase = (self.phase + self.step * f64::from(samples)) % TAU;
        let len = self.encoder.encode(&frame, &mut self.encoded);
        let begins = self.sequence == 1;
        let mut packet = rtp::header(self.payload_type, begins, self.sequence, self.timestamp, ssrc).to_vec();
        packet.extend_from_slice(&self.encoded[..len]);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.codec.clock_rate() / FRAMES_PER_SECOND);
        packet
    }
}

impl Task {
    async fn run(mut self, sends: Sends) {
        let echo = matches!(sends, Sends::Echo);
        let (mut made, pace) = match sends {
            Sends::Tone { payload_type, codec, hertz } => {
                (Tone::new(payload_type, codec, hertz).map_or(Made::Nothing, Made::Tone), FRAME)
            }
            Sends::Text { t140, red, text, typing } => {
                let writer = Writer::new(&text, t140, red);
                (Made::Text { writer, typing, sequence: 1, timestamp: 0 }, TEXT_PACE)
            }
            Sends::Film { payload_type } => {
                let made = Made::Film { film: Film::new(), payload_type, sequence: 1, timestamp: 0 };
                (made, PICTURE)
            }
            Sends::Nothing | Sends::Echo => (Made::Nothing, FRAME),
        };
        let picture = Arc::clone(&self.picture);
        let mut ticks = tokio::time::interval(pace);
        // As in the relay: a new socket must be known to take packets before the first one is sent.
        for socket in [&self.rtp, &self.rtcp] {
            if socket.writable().await.is_err() {
                return;
            }
        }
        let mut buffers = [[0; MAX_DATAGRAM + TAG_ROOM]; 2];
        loop {
            let idle = matches!(made, Made::Nothing) || self.destination().is_none();
            let [media, control] = &mut buffers;
            tokio::select! {
                // An error is an ICMP message about a caller that left (Windows tells it here).
                received = self.rtp.recv_from(&mut media[..MAX_DATAGRAM]) => if let Ok((length, source)) = received {
                    self.on_rtp(media, length, source, echo);
                },
                received = self.rtcp.recv_from(&mut control[..MAX_DATAGRAM]) => if let Ok((length, source)) = received {
                    self.on_rtcp(control, length, source, &mut made);
                },
                () = picture.notified() => self.on_picture_wanted(&mut made),
                _ = ticks.tick(), if !idle => self.make(&mut made),
            }
        }
    }

    /// Where media goes: where it comes from, or is said to come from until the first packet is here.
    fn destination(&self) -> Option<SocketAddr> {
        self.source.or(self.described)
    }

    fn on_rtp(&mut self, buffer: &mut [u8], length: usize, source: SocketAddr, echo: bool) {
        if self.source.is_some_and(|known| known != source) && self.described != Some(source) {
            return;
        }
        let opened = match &mut self.receiver {
            Some(receiver) => receiver.unprotect_rtp(&mut buffer[..length]),
            None => Ok(length),
        };
        let Ok(length) = opened else { return };
        if !rtp::is_rtp(&buffer[..length]) {
            return;
        }
        self.source = Some(source);
        self.highest = u16::from_be_bytes([buffer[2], buffer[3]]);
        self.remote_ssrc = u32::from_be_bytes([buffer[8], buffer[9], buffer[10], buffer[11]]);
        if let Some(recovery) = &mut self.recovery {
            let now = clock::now();
            recovery.received(self.highest, now);
            let missing = recovery.due(now);
            if !missing.is_empty() {
                self.report(&feedback::nack(self.ssrc, self.remote_ssrc, &missing));
            }
        }
        if echo {
            // Sequence and timestamp stay, so that loss and order are echoed too; the source is our own.
            buffer[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
            self.send(buffer, length);
        }
    }

    /// Protects and sends what is in the buffer's first `length` bytes.
    fn send(&mut self, buffer: &mut [u8], length: usize) {
        if self.held.load(Ordering::Relaxed) {
            return;
        }
        let protected = match &mut self.sender {
            Some(sender) => sender.protect_rtp(buffer, length),
            None => Ok(length),
        };
        if let (Ok(length), Some(to)) = (protected, self.destination()) {
            // A full socket buffer loses the packet, as a network would.
            let _ = self.rtp.try_send_to(&buffer[..length], to);
            if let Some(recovery) = &mut self.recovery {
                recovery.sent(u16::from_be_bytes([buffer[2], buffer[3]]), &buffer[..length]);
            }
        }
    }

    /// A whole picture is wanted of us: of the film, or of whoever is echoed.
    fn on_picture_wanted(&mut self, made: &mut Made) {
        match made {
            Made::Film { film, .. } => film.begin_anew(),
            Made::Nothing | Made::Tone(_) | Made::Text { .. } => {
                self.report(&feedback::picture_loss(self.ssrc, self.remote_ssrc));
            }
        }
    }

    /// Sends feedback behind a report (RFC 4585 section 3.1: compound).
    fn report(&mut self, feedback: &[u8]) {
        let mut packet = rtp::receiver_report(self.ssrc, self.remote_ssrc, 0, self.highest.into());
        packet.extend_from_slice(feedback);
        let beside = |mut to: SocketAddr| {
            to.set_port(to.port().wrapping_add(1));
            to
        };
        let Some(to) = self.reports_to.or(self.source.map(beside)) else { return };
        self.send_rtcp(packet, to);
    }

    fn send_rtcp(&mut self, mut packet: Vec<u8>, to: SocketAddr) {
        let plain = packet.len();
        packet.resize(plain + TAG_ROOM, 0);
        let protected = match &mut self.sender {
            Some(sender) => sender.protect_rtcp(&mut packet, plain),
            None => Ok(plain),
        };
        if let Ok(length) = protected {
            let _ = self.rtcp.try_send_to(&packet[..length], to);
        }
    }

    fn on_rtcp(&mut self, buffer: &mut [u8], length: usize, source: SocketAddr, made: &mut Made) {
        let opened = match &mut self.receiver {
            Some(receiver) => receiver.unprotect_rtcp(&mut buffer[..length]),
            None => Ok(length),
        };
        let Ok(length) = opened else { return };
        self.reports_to = Some(source);
        for asked in feedback::read(&buffer[..length]) {
            match (asked, &self.recovery) {
                (Feedback::Missing(numbers), Some(recovery)) => {
                    for packet in numbers.into_iter().filter_map(|number| recovery.again(number)) {
                        if let Some(to) = self.source {
                            let _ = self.rtp.try_send_to(packet, to);
                        }
                    }
                }
                (Feedback::Missing(_), None) => {}
                (Feedback::Picture, _) => self.on_picture_wanted(made),
            }
        }
        if let Some((about, last)) = rtp::sender_report(&buffer[..length]) {
            let report = rtp::receiver_report(self.ssrc, about, last, self.highest.into());
            self.send_rtcp(report, source);
        }
    }

    fn make(&mut self, made: &mut Made) {
        let mut packet = Vec::new();
        match made {
            Made::Nothing => return,
            Made::Tone(tone) => packet = tone.packet(self.ssrc),
            Made::Text { writer, typing, sequence, timestamp } => {
                let typed = typing.as_ref().map(Typing::take).filter(|typed| !typed.is_empty());
                if let Some(typed) = typed {
                    writer.push(&typed);
                }
                let Some(payload) = writer.next(*timestamp) else {
                    match typing {
                        Some(_) => *timestamp = timestamp.wrapping_add(TEXT_PACE.as_millis() as u32),
                        None => *made = Made::Nothing,
                    }
                    return;
                };
                packet.extend_from_slice(&rtp::header(
                    payload.payload_type,
                    payload.marker,
                    *sequence,
                    *timestamp,
                    self.ssrc,
                ));
                packet.extend_from_slice(&payload.bytes);
                *sequence = sequence.wrapping_add(1);
                *timestamp = timestamp.wrapping_add(TEXT_PACE.as_millis() as u32);
            }
            Made::Film { film, payload_type, sequence, timestamp } => {
                let payloads = film.next_picture();
                let last = payloads.len().saturating_sub(1);
                for (at, payload) in payloads.into_iter().enumerate() {
                    let header = rtp::header(*payload_type, at == last, *sequence, *timestamp, self.ssrc);
                    let mut packet = [&header[..], &payload].concat();
                    *sequence = sequence.wrapping_add(1);
                    let length = packet.len();
                    packet.resize(length + TAG_ROOM, 0);
                    self.send(&mut packet, length);
                }
                *timestamp = timestamp.wrapping_add(PICTURE_TICKS);
                return;
            }
        }
        let length = packet.len();
        packet.resize(length + TAG_ROOM, 0);
        self.send(&mut packet, length);
    }
}
