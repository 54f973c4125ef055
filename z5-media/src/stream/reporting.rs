//! The RTCP side of a session: when to report, what was reported to us, the round trip.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::clock::WallAnchor;
use crate::rtcp::{self, Interval, News, Report, ReportBlock};
use crate::stats::{DropReason, RemoteReport};

/// A longer round trip than this is a lie or a clock step.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(60);

/// Reporting of one session.
#[derive(Debug)]
pub(super) struct Reporting {
    interval: Interval,
    anchor: WallAnchor,
    signalled: SocketAddr,
    destination: SocketAddr,
    /// Timestamp of the last packet sent, or the first timestamp, and when that was.
    last_sent: (u32, Instant),
    /// A packet was sent since the last report, and since the one before.
    sent_since: [bool; 2],
    /// Middle 32 bits of the last sender report received, its sender, and when it came.
    last_report: Option<(u32, u32, Instant)>,
    pub(super) round_trip: Option<Duration>,
    pub(super) remote_report: Option<RemoteReport>,
    pub(super) bye: bool,
}

impl Reporting {
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
            signalled,
            destination: signalled,
            last_sent: (first_timestamp, start),
            sent_since: [false; 2],
            last_report: None,
            round_trip: None,
            remote_report: None,
            bye: false,
        }
    }

    pub(super) fn next(&self) -> Instant {
        self.interval.next()
    }

    pub(super) fn schedule(&mut self, now: Instant) {
        self.interval.sent(now);
    }

    pub(super) fn destination(&self) -> SocketAddr {
        self.destination
    }

    pub(super) fn set_remote(&mut self, signalled: SocketAddr) {
        self.signalled = signalled;
        self.destination = signalled;
    }

    pub(super) fn signalled(&self) -> SocketAddr {
        self.signalled
    }

    /// An RTP packet left.
    pub(super) fn sent(&mut self, timestamp: u32, now: Instant) {
        self.last_sent = (timestamp, now);
        self.sent_since[0] = true;
    }

    /// Reads a compound in the clear. Returns whether the source we listen to said goodbye.
    pub(super) fn read(
        &mut self,
        compound: &[u8],
        from: SocketAddr,
        ours: u32,
        remote: Option<u32>,
        clock_rate: u32,
        now: Instant,
    ) -> Result<bool, DropReason> {
        let mut bye = false;
        let stamp = middle(self.anchor.ntp(now));
        rtcp::read(compound, |news| match news {
            News::SenderInfo { ssrc, ntp, .. } => self.last_report = Some((middle(ntp), ssrc, now)),
            News::Block(block) if block.ssrc == ours => self.take_block(&block, clock_rate, stamp),
            News::Bye { ssrc } => bye |= remote == Some(ssrc),
            News::Block(_) | News::Receiver { .. } => {}
        })?;
        self.destination = from;
        self.bye |= bye;
        Ok(bye)
    }

    /// RFC 3550 section 6.4.1: round trip = arrival - LSR - DLSR.
    fn take_block(&mut self, block: &ReportBlock, clock_rate: u32, stamp: u32) {
        self.remote_report = Some(RemoteReport {
            fraction_lost: f64::from(block.fraction_lost) / 256.0,
            lost: i64::from(block.lost),
            jitter_ms: f64::from(block.jitter) * 1000.0 / f64::from(clock_rate),
        });
        if block.last_report != 0 {
            let units = stamp.wrapping_sub(block.last_report).wrapping_sub(block.delay);
            // On one host rounding may make it slightly negative.
            let units = if units > 0xffff_ff00 { 0 } else { units };
            let round_trip = Duration::from_secs_f64(f64::from(units) / 65536.0);
            if round_trip < MAX_ROUND_TRIP {
                self.round_trip = Some(round_trip);
            }
        }
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
