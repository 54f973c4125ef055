//! The RTCP side of a session: when to report, what was reported to us, the round trip.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::feedback::Feedback;
use super::history::History;
use super::latch::Latch;
use super::reach::Reach;
use crate::clock::WallAnchor;
use crate::rtcp::{self, ExtendedReport, Interval, News, Report, ReportBlock, VoipMetrics};
use crate::stats::{DropReason, RemoteReport};

/// A longer round trip than this is a lie or a clock step.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(60);

/// Reporting of one session. Its fields lie in memory as they stand here: what every packet needs first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Reporting {
    interval: Interval,
    /// Timestamp of the last packet sent, or the first timestamp, and when that was.
    last_sent: (u32, Instant),
    /// A packet was sent since the last report, and since the one before.
    sent_since: [bool; 2],
    /// A packet was ever sent.
    has_sent: bool,
    anchor: WallAnchor,
    latch: Latch,
    /// Middle 32 bits of the last sender report received, its sender, and when it came.
    last_report: Option<(u32, u32, Instant)>,
    /// NTP timestamp and RTP timestamp of the last sender report received.
    sender_clock: Option<(u64, u32)>,
    pub(super) round_trip: Option<Duration>,
    pub(super) remote_report: Option<RemoteReport>,
    pub(super) bye: bool,
    /// Middle 32 bits of the last reference time of a receiver, whose it is, and when it came (RFC 3611 section 4.4).
    last_reference: Option<(u32, u32, Instant)>,
    pub(super) remote_voip: Option<VoipMetrics>,
}

/// What a compound said beyond figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// The source we listen to says goodbye.
    pub bye: bool,
    /// A key frame of ours is wanted (PLI, or a new FIR).
    pub key_frame_wanted: bool,
    /// We are to send no more bits per second than that (TMMBR).
    pub limit: Option<u64>,
    /// Packets of ours are to be sent again: see [`Session::resend`](super::Session::resend).
    pub resend: bool,
    /// A report block on our packets came.
    pub reported: bool,
    /// Bytes of the compound, opened, at the beginning of its datagram.
    pub len: usize,
}

/// Where news of a compound goes besides the figures.
pub(super) struct Ears<'s> {
    pub(super) feedback: &'s mut Feedback,
    pub(super) history: Option<&'s mut History>,
    pub(super) ours: u32,
    pub(super) remote: Option<u32>,
    pub(super) clock_rate: u32,
}

impl Reporting {
    /// How many of its first bytes every packet touches.
    pub(super) const HOT: usize = std::mem::offset_of!(Self, anchor);

    pub(super) fn new(
        start: Instant,
        anchor: WallAnchor,
        seed: u64,
        signalled: SocketAddr,
        first_timestamp: u32,
    ) -> Self {
        Self {
            interval: Interval::new(start, seed),
            anchor,
            latch: Latch::new(signalled),
            last_sent: (first_timestamp, start),
            sent_since: [false; 2],
            has_sent: false,
            last_report: None,
            sender_clock: None,
            round_trip: None,
            remote_report: None,
            bye: false,
            last_reference: None,
            remote_voip: None,
        }
    }

    /// Video with feedback was agreed: reports come more often.
    pub(super) fn with_feedback(&mut self) {
        self.interval.with_feedback();
    }

    pub(super) fn next(&self) -> Instant {
        self.interval.next()
    }

    pub(super) fn schedule(&mut self, now: Instant) {
        self.interval.sent(now);
    }

    /// An SSRC that is not `taken`.
    pub(super) fn another(&mut self, taken: u32) -> u32 {
        let drawn = self.interval.draw();
        if drawn == taken { drawn.wrapping_add(1) } else { drawn }
    }

    pub(super) fn destination(&self) -> SocketAddr {
        self.latch.destination()
    }

    /// May a report in the clear come from there?
    pub(super) fn admits(&self, from: SocketAddr, now: Instant) -> bool {
        self.latch.admits(from, now)
    }

    pub(super) fn set_remote(&mut self, signalled: SocketAddr) {
        self.latch.renew(signalled);
    }

    pub(super) fn set_reach(&mut self, reach: Reach) {
        self.latch.set_reach(reach);
    }

    /// May a report come from there at all?
    pub(super) fn reaches(&self, from: SocketAddr) -> bool {
        self.latch.reaches(from)
    }

    pub(super) fn signalled(&self) -> SocketAddr {
        self.latch.signalled()
    }

    /// An RTP packet left.
    pub(super) fn sent(&mut self, timestamp: u32, now: Instant) {
        self.last_sent = (timestamp, now);
        self.sent_since[0] = true;
        if !std::mem::replace(&mut self.has_sent, true) {
            self.interval.hurry(now);
        }
    }

    /// Reads a compound in the clear.
    pub(super) fn read(
        &mut self,
        compound: &[u8],
        from: SocketAddr,
        mut ears: Ears<'_>,
        now: Instant,
    ) -> Result<Told, DropReason> {
        let mut told = Told { len: compound.len(), ..Told::default() };
        let stamp = middle(self.anchor.ntp(now));
        let (ours, remote) = (ears.ours, ears.remote);
        rtcp::read(compound, |news| match news {
            // The clock of another source says nothing of the one that is listened to.
            News::SenderInfo { ssrc, ntp, rtp_timestamp, .. }
                if remote.is_none_or(|remote| remote == ssrc) =>
            {
                self.last_report = Some((middle(ntp), ssrc, now));
                self.sender_clock = Some((ntp, rtp_timestamp));
            }
            News::Block(block) if block.ssrc == ours => {
                self.take_block(&block, ears.clock_rate, stamp);
                told.reported = true;
            }
            News::Bye { ssrc } => told.bye |= remote == Some(ssrc),
            News::Nack { media, first, following } if media == ours => {
                if let Some(history) = ears.history.as_deref_mut() {
                    ears.feedback.figures.nacks_received += 1;
                    history.ask(first);
                    (1..=16)
                        .filter(|n| following >> (n - 1) & 1 == 1)
                        .for_each(|n| history.ask(first.wrapping_add(n)));
                    told.resend = true;
                }
            }
            News::PictureLoss { media } if media == ours => {
                ears.feedback.figures.plis_received += 1;
                told.key_frame_wanted = true;
            }
            News::FullIntra { from, ssrc, sequence } if ssrc == ours => {
                if ears.feedback.is_new_fir(from, sequence) {
                    ears.feedback.figures.firs_received += 1;
                    told.key_frame_wanted = true;
                }
            }
            News::BitrateRequest { from, ssrc, limit } if ssrc == ours && ears.feedback.config.tmmbr => {
                ears.feedback.limit_asked(from, limit, now);
                told.limit = Some(limit);
            }
            News::BitrateNotice { owner, .. } if owner == ours => ears.feedback.limit_confirmed(),
            News::ReferenceTime { ssrc, ntp } => self.last_reference = Some((middle(ntp), ssrc, now)),
            News::SinceReference { ssrc, last, delay } if ssrc == ours => {
                self.measure_round_trip(stamp, last, delay);
            }
            News::Voip(metrics) if metrics.ssrc == ours => self.remote_voip = Some(metrics),
            News::SenderInfo { .. }
            | News::Block(_)
            | News::Receiver { .. }
            | News::Nack { .. }
            | News::PictureLoss { .. }
            | News::FullIntra { .. }
            | News::BitrateRequest { .. }
            | News::BitrateNotice { .. }
            | News::SinceReference { .. }
            | News::Voip(_) => {}
        })?;
        self.latch.learn(from, now);
        self.bye |= told.bye;
        Ok(told)
    }

    /// Writes an extended report: our clock, the answer to the far end's, and what we heard (RFC 3611 sections 4.4, 4.5, 4.7).
    pub(super) fn write_extended(
        &mut self,
        buffer: &mut [u8],
        ssrc: u32,
        voip: Option<VoipMetrics>,
        now: Instant,
    ) -> Option<usize> {
        let since = self.last_reference.map(|(last, from, at)| {
            let delay = now.saturating_duration_since(at).as_secs_f64() * 65536.0;
            (from, last, delay as u32)
        });
        let reference_time = Some(self.anchor.ntp(now));
        let report = ExtendedReport { ssrc, reference_time, since_reference: since, voip };
        rtcp::write_extended(&report, buffer)
    }

    /// RFC 3550 section 6.4.1: round trip = arrival - LSR - DLSR.
    fn take_block(&mut self, block: &ReportBlock, clock_rate: u32, stamp: u32) {
        self.remote_report = Some(RemoteReport {
            fraction_lost: f64::from(block.fraction_lost) / 256.0,
            lost: i64::from(block.lost),
            jitter_ms: f64::from(block.jitter) * 1000.0 / f64::from(clock_rate),
        });
        self.measure_round_trip(stamp, block.last_report, block.delay);
    }

    fn measure_round_trip(&mut self, stamp: u32, last: u32, delay: u32) {
        if last == 0 {
            return;
        }
        let units = stamp.wrapping_sub(last).wrapping_sub(delay);
        // On one host rounding may make it slightly negative.
        let units = if units > 0xffff_ff00 { 0 } else { units };
        let round_trip = Duration::from_secs_f64(f64::from(units) / 65536.0);
        if round_trip < MAX_ROUND_TRIP {
            self.round_trip = Some(round_trip);
        }
    }

    /// The wall time (NTP) of a moment.
    pub(super) fn ntp(&self, at: Instant) -> u64 {
        self.anchor.ntp(at)
    }

    /// The wall time (NTP) the far end's last sender report gave an RTP timestamp, for skew between streams.
    pub(super) fn sender_clock(&self) -> Option<(u64, u32)> {
        self.sender_clock
    }

    /// Writes SR or RR with SDES.
    #[expect(
        clippy::too_many_arguments,
        reason = "the session's fields, passed apart because it lends them apart"
    )]
    pub(super) fn write(
        &mut self,
        buffer: &mut [u8],
        ssrc: u32,
        (packets, bytes): (u64, u64),
        block: Option<ReportBlock>,
        cname: &str,
        clock_rate: u32,
        now: Instant,
    ) -> Option<usize> {
        let sender = self.sent_since.contains(&true).then(|| {
            let (timestamp, at) = self.last_sent;
            let since = now.saturating_duration_since(at).as_secs_f64() * f64::from(clock_rate);
            (self.anchor.ntp(now), timestamp.wrapping_add(since as u32), packets as u32, bytes as u32)
        });
        self.sent_since = [false, self.sent_since[0]];
        let block = block.map(|block| match self.last_report {
            Some((last_report, from, at)) if from == block.ssrc => {
                let delay = now.saturating_duration_since(at).as_secs_f64() * 65536.0;
                ReportBlock { last_report, delay: delay as u32, ..block }
            }
            Some(_) | None => block,
        });
        rtcp::write_report(&Report { ssrc, sender, block, cname }, buffer)
    }
}

/// The middle 32 bits of an NTP timestamp.
fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}
