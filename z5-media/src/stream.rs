//! One RTP session with one far end, sans-IO: datagram in place to frame, frame to datagram in the caller's buffer.
//!
//! Covers RFC 3550 reception and reporting, SRTP where keys were agreed, symmetric RTP (RFC 4961) and the choice of
//! the one source that is listened to. It does not decode, reorder or play: see the jitter buffer for that.
//!
//! The loop around it:
//! ```text
//! datagram on the RTP socket  -> receive_rtp  -> Frame, or a counted DropReason
//! datagram on the RTCP socket -> receive_rtcp -> goodbye, wanted key frames and limits; resend -> lengths
//! frame to send: payload at buffer[HEADER_LEN..] -> send -> length, to destination()
//! next_deadline() reached     -> report       -> length, to rtcp_destination()
//! the end                     -> goodbye      -> length, to rtcp_destination()
//! ```

mod feedback;
mod figures;
mod history;
mod latch;
mod reach;
mod remote;
mod reporting;
mod voice;
mod watch;

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use feedback::Feedback;
pub use feedback::FeedbackConfig;
pub use figures::SessionFigures;
use history::History;
use latch::Latch;
pub use reach::Reach;
use remote::Remote;
pub use reporting::Told;
use reporting::{Ears, Reporting};
pub use voice::VoiceHeard;
use watch::Watch;
pub use watch::{Flow, Silence, SilenceReason};

use crate::clock::WallAnchor;
use crate::rtp::{self, HEADER_LEN, Header, Packet};
use crate::srtp::{Receiver, Sender};
use crate::stats::{DropCounts, DropReason};

/// Payload types a stream may accept at most.
const MAX_PAYLOAD_TYPES: usize = 8;
/// No packet can carry this one.
const NO_TYPE: u8 = u8::MAX;

/// What a session needs to know.
#[derive(Debug)]
pub struct SessionConfig {
    /// Where the far end asked for RTP.
    pub remote: SocketAddr,
    /// Where the far end asked for RTCP; the same as `remote` with multiplexing.
    pub remote_rtcp: SocketAddr,
    /// Media is accepted; otherwise it is counted and dropped.
    pub receive: bool,
    /// Protecting and opening contexts.
    pub srtp: Option<(Sender, Receiver)>,
    /// Our SSRC.
    pub ssrc: u32,
    /// First sequence number.
    pub first_sequence: u16,
    /// First timestamp, for reports before the first packet.
    pub first_timestamp: u32,
    /// RTP timestamp units per second, both ways.
    pub clock_rate: u32,
    /// Canonical name.
    pub cname: String,
    /// Payload types accepted; at most eight are kept.
    pub payload_types: Vec<u8>,
    /// Feedback that was negotiated.
    pub feedback: FeedbackConfig,
    /// When the stream starts.
    pub start: Instant,
    /// Wall time for sender reports.
    pub anchor: WallAnchor,
}

/// An accepted packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'d> {
    /// Payload type.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Extended sequence number.
    pub sequence: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// The first contributing source, where a mixer names any.
    pub csrc: Option<u32>,
    /// A new source or a restarted sequence: buffers must be emptied.
    pub restarted: bool,
    /// The first packet of the stream.
    pub first: bool,
    /// Payload in the datagram.
    pub payload: &'d [u8],
}

/// The fields of a frame apart from its bytes.
struct Meta {
    payload_type: u8,
    marker: bool,
    sequence: u64,
    timestamp: u32,
    csrc: Option<u32>,
    restarted: bool,
    first: bool,
    payload: Range<usize>,
}

/// A packet that could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The buffer has no room for header, payload and SRTP's overhead.
    #[error("the packet does not fit its buffer")]
    NoRoom,
    /// The SRTP key may not protect more packets.
    #[error("the SRTP key is used up")]
    KeyExhausted,
}

/// One RTP session. Its fields lie in memory as they stand here: what every packet needs first and together.
#[derive(Debug)]
#[repr(C)]
pub struct Session {
    srtp: Option<(Sender, Receiver)>,
    latch: Latch,
    ssrc: u32,
    clock_rate: u32,
    next_sequence: u16,
    receive: bool,
    /// Those accepted; [`NO_TYPE`] where there are fewer.
    payload_types: [u8; MAX_PAYLOAD_TYPES],
    packets_sent: u64,
    bytes_sent: u64,
    start: Instant,
    first_packet: Option<Duration>,
    watch: Watch,
    remote: Option<Remote>,
    /// SSRC given up after a collision, for which a BYE is due.
    given_up: Option<u32>,
    feedback: Feedback,
    reporting: Reporting,
    history: Option<History>,
    drops: DropCounts,
    voice: Option<VoiceHeard>,
    cname: String,
}

/// As many payload types as a stream accepts.
fn kept(payload_types: &[u8]) -> [u8; MAX_PAYLOAD_TYPES] {
    let mut kept = [NO_TYPE; MAX_PAYLOAD_TYPES];
    for (slot, payload_type) in kept.iter_mut().zip(payload_types) {
        *slot = *payload_type;
    }
    kept
}

impl Session {
    /// A session that has neither sent nor received.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        let payload_types = kept(&config.payload_types);
        let seed = u64::from(config.ssrc) << 32 | u64::from(config.first_timestamp);
        let mut reporting =
            Reporting::new(config.start, config.anchor, seed, config.remote_rtcp, config.first_timestamp);
        if config.feedback.key_frames() {
            reporting.with_feedback();
        }
        Self {
            ssrc: config.ssrc,
            next_sequence: config.first_sequence,
            clock_rate: config.clock_rate,
            cname: config.cname,
            receive: config.receive,
            payload_types,
            latch: Latch::new(config.remote),
            srtp: config.srtp,
            remote: None,
            reporting,
            feedback: Feedback::new(config.feedback),
            history: config.feedback.nack.then(History::new),
            given_up: None,
            packets_sent: 0,
            bytes_sent: 0,
            drops: DropCounts::default(),
            watch: Watch::new(config.receive, config.start),
            voice: None,
            start: config.start,
            first_packet: None,
        }
    }

    /// Accepts media or not (hold). Packets that come all the same are counted.
    pub fn set_receive(&mut self, receive: bool) {
        self.receive = receive;
        self.watch.expect(receive);
    }

    /// The far end announced other addresses (a re-INVITE): media goes there, and the source is learned anew.
    pub fn set_remote(&mut self, remote: SocketAddr, remote_rtcp: SocketAddr) {
        self.latch.renew(remote);
        self.reporting.set_remote(remote_rtcp);
    }

    /// Neither media nor reports are taken from, or sent to, a source that this does not permit. What was announced is the caller's
    /// to judge.
    pub fn set_reach(&mut self, reach: Reach) {
        self.reporting.set_reach(reach.clone());
        self.latch.set_reach(reach);
    }

    /// The far end changed its key (a re-INVITE): what comes is opened with the new one. Our own key goes on, and with it
    /// the count of packets sent under it, which must never begin again (RFC 3711 section 9.1). A session in the clear
    /// stays as it is.
    pub fn set_receiver(&mut self, receiver: Receiver) {
        if let Some((_, opening)) = &mut self.srtp {
            *opening = receiver;
        }
    }

    /// Watches whether media comes: after so long without any, [`flow`](Self::flow) tells. `None`: it is not watched.
    pub fn set_patience(&mut self, patience: Option<Duration>) {
        self.watch.set_patience(patience);
    }

    /// What was heard so far; where extended reports were agreed, the far end is told (RFC 3611 section 4.7).
    pub fn set_voice(&mut self, heard: VoiceHeard) {
        self.voice = Some(heard);
    }

    /// What is to be told of media that is missing or comes again; to be called when
    /// [`next_deadline`](Self::next_deadline) has passed.
    pub fn flow(&mut self, now: Instant) -> Option<Flow> {
        self.watch.news(now)
    }

    /// Accepts other payload types from now on (a re-INVITE), and counts time by another clock where the codec changed.
    pub fn set_payload_types(&mut self, payload_types: &[u8], clock_rate: u32) {
        self.payload_types = kept(payload_types);
        self.clock_rate = clock_rate;
        if let Some(remote) = &mut self.remote {
            remote.reception.set_clock_rate(clock_rate);
        }
    }

    /// Counts a packet that was dropped before or after the session saw it.
    pub fn count(&mut self, reason: DropReason) {
        self.drops.count(reason);
    }

    /// Where RTP goes: to the source media comes from, once learned.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        self.latch.destination()
    }

    /// Where RTCP goes.
    #[must_use]
    pub fn rtcp_destination(&self) -> SocketAddr {
        self.reporting.destination()
    }

    /// When [`report`](Self::report) wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        let feedback = self.feedback.next();
        let regular = if self.given_up.is_some() { self.start } else { self.reporting.next() };
        let watch = self.watch.next(self.start);
        [feedback, watch].into_iter().flatten().fold(regular, Instant::min)
    }

    /// Asks the far end for a key frame by PLI or FIR, again and again until [`key_frame_came`](Self::key_frame_came).
    /// Returns `false` when neither was negotiated.
    pub fn want_key_frame(&mut self, now: Instant) -> bool {
        self.feedback.want_key_frame(now);
        self.feedback.config.key_frames()
    }

    /// The key frame that was asked for is here.
    pub fn key_frame_came(&mut self) {
        self.feedback.key_frame_came();
    }

    /// Asks the far end to send no more than `limit` bits per second (TMMBR), where that was negotiated.
    pub fn request_limit(&mut self, limit: u64, now: Instant) {
        self.feedback.request_limit(limit, now);
    }

    /// Copies the next datagram the far end missed into `buffer`, for [`destination`](Self::destination); `None` when
    /// there is none (left).
    pub fn resend(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        let len = self.history.as_mut()?.next(buffer, now)?;
        self.feedback.figures.packets_resent += 1;
        Some(len)
    }

    /// Takes a datagram from the RTP socket, opens it in place and says what it holds.
    ///
    /// # Errors
    /// The reason it was dropped, which is counted.
    pub fn receive_rtp<'d>(
        &mut self,
        datagram: &'d mut [u8],
        from: SocketAddr,
        now: Instant,
    ) -> Result<Frame<'d>, DropReason> {
        match self.accept_rtp(datagram, from, now) {
            Ok(meta) => Ok(Frame {
                payload_type: meta.payload_type,
                marker: meta.marker,
                sequence: meta.sequence,
                timestamp: meta.timestamp,
                csrc: meta.csrc,
                restarted: meta.restarted,
                first: meta.first,
                payload: &datagram[meta.payload],
            }),
            Err(reason) => {
                self.drops.count(reason);
                self.watch.dropped(reason, now);
                Err(reason)
            }
        }
    }

    fn accept_rtp(
        &mut self,
        datagram: &mut [u8],
        from: SocketAddr,
        now: Instant,
    ) -> Result<Meta, DropReason> {
        // Cheapest first: a flood from elsewhere costs an address comparison, or one HMAC where SRTP must judge.
        rtp::header_len(datagram)?;
        let len = match &mut self.srtp {
            _ if !self.latch.reaches(from) => return Err(DropReason::ForeignSource),
            Some((_, receiver)) => receiver.unprotect_rtp(datagram)?,
            None if self.latch.admits(from, now) => datagram.len(),
            None => return Err(DropReason::ForeignSource),
        };
        let datagram = &datagram[..len];
        let packet = Packet::parse(datagram)?;
        if !self.payload_types.contains(&packet.payload_type) {
            return Err(DropReason::UnknownPayloadType);
        }
        self.notice_collision(packet.ssrc);
        let (new_source, remote) = Remote::select(
            &mut self.remote,
            packet.ssrc,
            packet.sequence,
            self.clock_rate,
            self.srtp.is_some() || self.latch.displaces(from, now),
        )?;
        let accepted = remote.reception.accept(packet.sequence, packet.timestamp, now)?;
        remote.packets += 1;
        remote.bytes += packet.payload.len() as u64;
        self.latch.learn(from, now);
        self.watch.heard(now);
        self.feedback.received(accepted.sequence, new_source || accepted.restarted, now);
        if !self.receive {
            return Err(DropReason::NotReceiving);
        }
        let first = self.first_packet.is_none();
        if first {
            self.first_packet = Some(now.saturating_duration_since(self.start));
        }
        let offset = packet.payload.as_ptr() as usize - datagram.as_ptr() as usize;
        Ok(Meta {
            payload_type: packet.payload_type,
            marker: packet.marker,
            sequence: accepted.sequence,
            timestamp: packet.timestamp,
            csrc: packet.csrc,
            restarted: new_source || accepted.restarted,
            first,
            payload: offset..offset + packet.payload.len(),
        })
    }

    /// Takes a datagram from the RTCP socket (or one that [`rtp::is_rtcp`] picks out of a multiplexed one).
    /// Returns what it said beyond figures.
    ///
    /// # Errors
    /// The reason it was dropped, which is counted.
    pub fn receive_rtcp(
        &mut self,
        datagram: &mut [u8],
        from: SocketAddr,
        now: Instant,
    ) -> Result<Told, DropReason> {
        let opened = match &mut self.srtp {
            _ if !self.reporting.reaches(from) => Err(DropReason::ForeignSource),
            Some((_, receiver)) => receiver.unprotect_rtcp(datagram),
            // In the clear only the host media comes from, or was announced for, is believed.
            // And of it only one port, once that is known.
            None if [self.latch.destination().ip(), self.reporting.signalled().ip()].contains(&from.ip())
                && self.reporting.admits(from, now) =>
            {
                Ok(datagram.len())
            }
            None => Err(DropReason::ForeignSource),
        };
        let remote_ssrc = self.remote.as_ref().map(|remote| remote.ssrc);
        let ears = Ears {
            feedback: &mut self.feedback,
            history: self.history.as_mut(),
            ours: self.ssrc,
            remote: remote_ssrc,
            clock_rate: self.clock_rate,
        };
        let read = opened.and_then(|len| self.reporting.read(&datagram[..len], from, ears, now));
        match &read {
            Ok(told) => self.watch.reported(told.bye, now),
            Err(reason) => self.drops.count(*reason),
        }
        read
    }

    /// Another source uses our SSRC: we take another one and say goodbye for the old one (RFC 3550 section 8.2). Only once:
    /// who reflects our own packets would make us change for ever.
    fn notice_collision(&mut self, ssrc: u32) {
        if ssrc != self.ssrc || self.feedback.figures.ssrc_collisions > 0 {
            return;
        }
        self.feedback.figures.ssrc_collisions += 1;
        self.given_up = Some(self.ssrc);
        self.ssrc = self.reporting.another(ssrc);
        if let Some((sender, _)) = &mut self.srtp {
            sender.restart();
        }
        // With a roll-over counter of zero for the new source the sequence must not be close to its wrap.
        self.next_sequence &= 0x7fff;
        if let Some(history) = &mut self.history {
            *history = History::new();
        }
    }

    /// Completes the packet whose payload of `payload_len` bytes stands at `buffer[HEADER_LEN..]`. Returns the length
    /// of the datagram for [`destination`](Self::destination).
    ///
    /// # Errors
    /// When the buffer is too small or the SRTP key is used up.
    pub fn send(
        &mut self,
        buffer: &mut [u8],
        payload_len: usize,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        now: Instant,
    ) -> Result<usize, SendError> {
        let mut len = HEADER_LEN + payload_len;
        if buffer.len() < len {
            return Err(SendError::NoRoom);
        }
        let header = buffer.first_chunk_mut::<HEADER_LEN>().ok_or(SendError::NoRoom)?;
        Header { payload_type, marker, sequence: self.next_sequence, timestamp, ssrc: self.ssrc }
            .write(header);
        if let Some((sender, _)) = &mut self.srtp {
            len = sender.protect_rtp(buffer, len).map_err(|_| SendError::KeyExhausted)?;
        }
        if let Some(history) = &mut self.history {
            history.keep(self.next_sequence, &buffer[..len], now);
        }
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.packets_sent += 1;
        self.bytes_sent += payload_len as u64;
        self.reporting.sent(timestamp, now);
        Ok(len)
    }

    /// Writes what is due (a report, feedback, or both) for [`rtcp_destination`](Self::rtcp_destination); `None` when
    /// nothing is.
    pub fn report(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        let regular = now >= self.reporting.next() || self.given_up.is_some();
        let feedback = self.feedback.is_due(now);
        if !regular && !feedback {
            return None;
        }
        let mut len = 0;
        if regular {
            self.reporting.schedule(now);
        }
        if regular || !self.feedback.config.reduced_size {
            len = self.write_report(buffer, now)?;
        }
        if regular && self.feedback.config.extended_reports {
            let room = buffer.get_mut(len..)?;
            let round_trip = self.reporting.round_trip;
            let voip = self.remote.as_ref().zip(self.voice).map(|(remote, heard)| {
                let counts = (remote.reception.expected(), remote.reception.lost());
                heard.metrics(remote.ssrc, counts, round_trip)
            });
            len += self.reporting.write_extended(room, self.ssrc, voip, now).unwrap_or(0);
        }
        if let Some(old) = self.given_up.take() {
            len += crate::rtcp::write_bye(old, buffer.get_mut(len..)?).unwrap_or(0);
        }
        if feedback {
            let remote = self.remote.as_ref().map(|remote| remote.ssrc);
            let round_trip = self.reporting.round_trip;
            len += self.feedback.write(buffer.get_mut(len..)?, self.ssrc, remote, round_trip, now);
        }
        if len == 0 {
            return None;
        }
        self.protect_rtcp(buffer, len)
    }

    /// Writes the last report with a BYE, for [`rtcp_destination`](Self::rtcp_destination).
    pub fn goodbye(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        let len = self.write_report(buffer, now)?;
        let len = len + crate::rtcp::write_bye(self.ssrc, buffer.get_mut(len..)?)?;
        self.protect_rtcp(buffer, len)
    }

    fn write_report(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        let block = self.remote.as_mut().map(|remote| remote.block());
        let counts = (self.packets_sent, self.bytes_sent);
        self.reporting.write(buffer, self.ssrc, counts, block, &self.cname, self.clock_rate, now)
    }

    fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        match &mut self.srtp {
            Some((sender, _)) => sender.protect_rtcp(buffer, len).ok(),
            None => Some(len),
        }
    }

    /// How many of its first bytes every packet touches.
    pub(crate) const fn hot() -> usize {
        std::mem::offset_of!(Self, reporting) + Reporting::HOT
    }

    /// Asks for the key that opens the next packet.
    pub(crate) fn prefetch_opening(&self) {
        if let Some((_, receiver)) = &self.srtp {
            receiver.prefetch();
        }
    }

    /// Asks for the key that seals the next packet.
    pub(crate) fn prefetch_sealing(&self) {
        if let Some((sender, _)) = &self.srtp {
            sender.prefetch();
        }
    }

    /// Figures so far.
    #[must_use]
    pub fn figures(&self) -> SessionFigures {
        SessionFigures::of(self)
    }
}

#[cfg(test)]
mod tests;
