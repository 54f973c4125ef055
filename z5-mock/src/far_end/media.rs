//! The media of a far end's call: each accepted media line plays by itself, in a task at a pair of sockets or in a simulation.

mod carried;

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use z5_media::codec::audio::{Encoder, MAX_ENCODED};
use z5_media::srtp::{Receiver, Sender, SrtpParams};
use z5_media::{AudioCodec, OpusOptions};

use self::carried::{Leaving, Seat, run};
use super::feedback::{self, Feedback, Recovery};
use super::film::{Film, PICTURE_TICKS};
use super::recording::Tape;
use super::rtp;
use super::text::{Typing, Writer};
use crate::imagined::{Bound, Imagined, Out};
use crate::relay::Ports;

const MAX_DATAGRAM: usize = 2048;
/// Room for an SRTP tag and the SRTCP index.
const TAG_ROOM: usize = 32;
const FRAME: Duration = Duration::from_millis(20);
/// Packets of sound a second.
const FRAMES_PER_SECOND: u32 = 50;
/// Amplitude of tones: -10 dBm0, where a full-scale sine is +3.14 dBm0 (ITU-T G.711).
const TONE_AMPLITUDE: f64 = 32_767.0 * 0.220_3;
/// Pace of the film.
const PICTURE: Duration = Duration::from_millis(40);
/// Pace of text packets (RFC 4103 section 5.1).
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
    /// Records what comes.
    pub(super) tape: Option<Tape>,
}

/// The media lines of one call.
#[derive(Default)]
pub(super) struct Lines {
    lines: BTreeMap<usize, Line>,
    versions: u32,
    /// How many others were at this far end before.
    before: u32,
}

/// A line that runs.
struct Line {
    port: u16,
    runs: Runs,
}

/// What carries a line.
enum Runs {
    /// A task at two sockets.
    Sockets { rtp: Arc<UdpSocket>, rtcp: Arc<UdpSocket>, orders: Arc<Orders>, tasks: JoinSet<()> },
    /// In simulated time: two ports.
    Imagined { seat: Arc<Mutex<Seat>>, ports: Imagined, _bound: Bound },
}

/// What a line is told from outside while its task runs.
#[derive(Default)]
struct Orders {
    held: AtomicBool,
    /// A whole picture is wanted.
    picture: Notify,
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
        now: Instant,
    ) -> Option<u16> {
        let contexts = match &plan.srtp {
            Some(params) => Some(params.contexts().ok()?),
            None => None,
        };
        let before = self.before;
        let mut play = Play::new(plan, contexts, described, now);
        match self.lines.get_mut(&index) {
            Some(Line { port, runs: Runs::Sockets { rtp, rtcp, orders, tasks } }) => {
                play.ssrc = ssrc(*port) + before;
                tasks.abort_all();
                tasks.spawn(run(play, Arc::clone(rtp), Arc::clone(rtcp), Arc::clone(orders)));
                Some(*port)
            }
            Some(Line { port, runs: Runs::Imagined { seat, .. } }) => {
                play.ssrc = ssrc(*port) + before;
                let mut seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
                play.held = seat.play.held;
                seat.play = play;
                Some(*port)
            }
            None => {
                let line = match ports.simulation() {
                    Some(simulation) => Self::imagine(play, ports, simulation)?,
                    None => Self::begin(play, ports)?,
                };
                let port = line.port;
                self.lines.insert(index, line);
                Some(port)
            }
        }
    }

    fn begin(mut play: Play, ports: &mut Ports) -> Option<Line> {
        let pair = ports.pair().ok()?;
        play.ssrc = ssrc(pair.rtp_port);
        let (rtp, rtcp, orders) = (Arc::new(pair.rtp), Arc::new(pair.rtcp), Arc::<Orders>::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(run(play, Arc::clone(&rtp), Arc::clone(&rtcp), Arc::clone(&orders)));
        Some(Line { port: pair.rtp_port, runs: Runs::Sockets { rtp, rtcp, orders, tasks } })
    }

    fn imagine(mut play: Play, ports: &mut Ports, simulation: Imagined) -> Option<Line> {
        let addresses = ports.imagine()?;
        let port = addresses[0].port();
        play.ssrc = ssrc(port);
        let seat = Arc::new(Mutex::new(Seat { play, addresses }));
        let bound = simulation.bind(addresses.to_vec(), Arc::<Mutex<Seat>>::clone(&seat)).ok()?;
        Some(Line { port, runs: Runs::Imagined { seat, ports: simulation, _bound: bound } })
    }

    /// Somebody else is there from the next start on: another source of media (RFC 3550 section 8.1), which counts anew.
    pub(super) fn somebody_else(&mut self) {
        self.before += 1;
    }

    /// While held, nothing is sent.
    pub(super) fn hold(&self, held: bool) {
        for line in self.lines.values() {
            match &line.runs {
                Runs::Sockets { orders, .. } => orders.held.store(held, Ordering::Relaxed),
                Runs::Imagined { seat, .. } => {
                    seat.lock().unwrap_or_else(PoisonError::into_inner).play.held = held;
                }
            }
        }
    }

    /// The far end asked for a whole picture by INFO (RFC 5168).
    pub(super) fn give_picture(&self) {
        for line in self.lines.values() {
            match &line.runs {
                Runs::Sockets { orders, .. } => orders.picture.notify_one(),
                Runs::Imagined { seat, ports, .. } => {
                    let mut out = Out::default();
                    let mut seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
                    let Seat { play, addresses } = &mut *seat;
                    play.on_picture_wanted(&mut Leaving { addresses: *addresses, out: &mut out });
                    drop(seat);
                    ports.put_down(out);
                }
            }
        }
    }

    pub(super) fn stop(&mut self, index: usize) {
        self.lines.remove(&index);
    }
}

fn ssrc(port: u16) -> u32 {
    u32::from(port) << 12 | 0x5e5
}

/// Sends packets from the RTP (0) or RTCP (1) port of a line. A full socket buffer loses one, as a network would.
trait Outlet {
    fn send(&mut self, end: usize, packet: &[u8], to: SocketAddr);
}

/// The media of one line: what comes and what is due goes in, what is sent comes out.
struct Play {
    held: bool,
    /// What comes is sent back.
    echo: bool,
    made: Made,
    /// What is made is made this often.
    pace: Duration,
    began: Instant,
    /// When next; none until the first packet is made.
    next: Option<Instant>,
    /// Of a line with video.
    recovery: Option<Recovery>,
    /// Where RTCP comes from.
    reports_to: Option<SocketAddr>,
    remote_ssrc: u32,
    ssrc: u32,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    tape: Option<Tape>,
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
        self.pass_over();
        packet
    }

    /// The time of one packet passes.
    fn pass_over(&mut self) {
        self.timestamp = self.timestamp.wrapping_add(self.codec.clock_rate() / FRAMES_PER_SECOND);
    }
}

impl Play {
    fn new(
        plan: Plan,
        contexts: Option<(Sender, Receiver)>,
        described: Option<SocketAddr>,
        now: Instant,
    ) -> Self {
        let echo = matches!(plan.sends, Sends::Echo);
        let (made, pace) = match plan.sends {
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
        let (sender, receiver) = contexts.unzip();
        Self {
            held: false,
            echo,
            made,
            pace,
            began: now,
            next: None,
            recovery: plan.video.then(Recovery::default),
            reports_to: None,
            remote_ssrc: 0,
            ssrc: 0,
            sender,
            receiver,
            tape: plan.tape,
            source: None,
            described,
            highest: 0,
        }
    }

    /// A datagram has come to the RTP (0) or RTCP (1) port; `buffer` has room behind it for a tag.
    fn on_packet(
        &mut self,
        end: usize,
        buffer: &mut [u8],
        length: usize,
        source: SocketAddr,
        now: Instant,
        out: &mut impl Outlet,
    ) {
        match end {
            0 => self.on_rtp(buffer, length, source, now, out),
            _ => self.on_rtcp(buffer, length, source, out),
        }
    }

    /// When something is to be made; never while there is nothing, or nowhere to send it.
    fn next_deadline(&self) -> Option<Instant> {
        let idle = matches!(self.made, Made::Nothing) || self.destination().is_none();
        (!idle).then(|| self.next.unwrap_or(self.began))
    }

    /// Makes what is due.
    fn on_deadline(&mut self, now: Instant, out: &mut impl Outlet) {
        while self.next_deadline().is_some_and(|due| due <= now) {
            // What could not be sent before there was somewhere to send it is not made up for.
            self.next = Some(self.next.unwrap_or(now) + self.pace);
            if self.held { self.pass_over() } else { self.make(out) }
        }
    }

    /// Where media goes: where it comes from, or is said to come from until the first packet is here.
    fn destination(&self) -> Option<SocketAddr> {
        self.source.or(self.described)
    }

    fn on_rtp(
        &mut self,
        buffer: &mut [u8],
        length: usize,
        source: SocketAddr,
        now: Instant,
        out: &mut impl Outlet,
    ) {
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
        if let Some(tape) = &mut self.tape {
            tape.packet(&buffer[..length]);
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.received(self.highest, now);
            let missing = recovery.due(now);
            if !missing.is_empty() {
                self.report(&feedback::nack(self.ssrc, self.remote_ssrc, &missing), out);
            }
        }
        if self.echo {
            // Sequence and timestamp stay, so that loss and order are echoed too; the source is our own.
            buffer[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
            self.send(buffer, length, out);
        }
    }

    /// Protects and sends what is in the buffer's first `length` bytes.
    fn send(&mut self, buffer: &mut [u8], length: usize, out: &mut impl Outlet) {
        if self.held {
            return;
        }
        let protected = match &mut self.sender {
            Some(sender) => sender.protect_rtp(buffer, length),
            None => Ok(length),
        };
        if let (Ok(length), Some(to)) = (protected, self.destination()) {
            out.send(0, &buffer[..length], to);
            if let Some(recovery) = &mut self.recovery {
                recovery.sent(u16::from_be_bytes([buffer[2], buffer[3]]), &buffer[..length]);
            }
        }
    }

    /// A whole picture is wanted of us: of the film, or of whoever is echoed.
    fn on_picture_wanted(&mut self, out: &mut impl Outlet) {
        match &mut self.made {
            Made::Film { film, .. } => film.begin_anew(),
            Made::Nothing | Made::Tone(_) | Made::Text { .. } => {
                self.report(&feedback::picture_loss(self.ssrc, self.remote_ssrc), out);
            }
        }
    }

    /// Sends feedback behind a report (RFC 4585 section 3.1: compound).
    fn report(&mut self, feedback: &[u8], out: &mut impl Outlet) {
        let mut packet = rtp::receiver_report(self.ssrc, self.remote_ssrc, 0, self.highest.into());
        packet.extend_from_slice(feedback);
        let beside = |mut to: SocketAddr| {
            to.set_port(to.port().wrapping_add(1));
            to
        };
        let Some(to) = self.reports_to.or(self.source.map(beside)) else { return };
        self.send_rtcp(packet, to, out);
    }

    fn send_rtcp(&mut self, mut packet: Vec<u8>, to: SocketAddr, out: &mut impl Outlet) {
        let plain = packet.len();
        packet.resize(plain + TAG_ROOM, 0);
        let protected = match &mut self.sender {
            Some(sender) => sender.protect_rtcp(&mut packet, plain),
            None => Ok(plain),
        };
        if let Ok(length) = protected {
            out.send(1, &packet[..length], to);
        }
    }

    fn on_rtcp(&mut self, buffer: &mut [u8], length: usize, source: SocketAddr, out: &mut impl Outlet) {
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
                            out.send(0, packet, to);
                        }
                    }
                }
                (Feedback::Missing(_), None) => {}
                (Feedback::Picture, _) => self.on_picture_wanted(out),
            }
        }
        if let Some((about, last)) = rtp::sender_report(&buffer[..length]) {
            let report = rtp::receiver_report(self.ssrc, about, last, self.highest.into());
            self.send_rtcp(report, source, out);
        }
    }

    /// Time passes on hold. What is not made takes no sequence number, so that a hold is no loss; text waits.
    fn pass_over(&mut self) {
        match &mut self.made {
            Made::Nothing => {}
            Made::Tone(tone) => tone.pass_over(),
            Made::Text { timestamp, .. } => *timestamp = timestamp.wrapping_add(TEXT_PACE.as_millis() as u32),
            Made::Film { timestamp, .. } => *timestamp = timestamp.wrapping_add(PICTURE_TICKS),
        }
    }

    fn make(&mut self, out: &mut impl Outlet) {
        let mut packets: Vec<Vec<u8>> = Vec::new();
        match &mut self.made {
            Made::Nothing => {}
            Made::Tone(tone) => packets.push(tone.packet(self.ssrc)),
            Made::Text { writer, typing, sequence, timestamp } => {
                let typed = typing.as_ref().map(Typing::take).filter(|typed| !typed.is_empty());
                if let Some(typed) = typed {
                    writer.push(&typed);
                }
                let payload = writer.next(*timestamp);
                let over = payload.is_none() && typing.is_none();
                if let Some(payload) = payload {
                    let (number, marker) = (payload.payload_type, payload.marker);
                    let header = rtp::header(number, marker, *sequence, *timestamp, self.ssrc);
                    packets.push([&header[..], &payload.bytes].concat());
                    *sequence = sequence.wrapping_add(1);
                }
                *timestamp = timestamp.wrapping_add(TEXT_PACE.as_millis() as u32);
                if over {
                    self.made = Made::Nothing;
                }
            }
            Made::Film { film, payload_type, sequence, timestamp } => {
                let payloads = film.next_picture();
                let last = payloads.len().saturating_sub(1);
                for (at, payload) in payloads.into_iter().enumerate() {
                    let header = rtp::header(*payload_type, at == last, *sequence, *timestamp, self.ssrc);
                    packets.push([&header[..], &payload].concat());
                    *sequence = sequence.wrapping_add(1);
                }
                *timestamp = timestamp.wrapping_add(PICTURE_TICKS);
            }
        }
        for mut packet in packets {
            let length = packet.len();
            packet.resize(length + TAG_ROOM, 0);
            self.send(&mut packet, length, out);
        }
    }
}
