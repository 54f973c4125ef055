//! What a session has counted, as plain data.

use std::net::SocketAddr;
use std::time::Duration;

use super::Session;
use crate::rtcp::VoipMetrics;
use crate::stats::{DropCounts, FeedbackFigures, RemoteReport};

/// How much more than the round trip a packet may seem to travel: its stamp is of its first sample, so that the time it covers
/// comes on top.
const PACKET: f64 = 0.020;
/// How much before its stamp it may seem to come: clocks are read with such errors.
const READING: f64 = 0.002;

/// How long the last packet travelled, by the wall clock that the far end's sender reports give to RTP timestamps (RFC 3550
/// section 6.4.1). Only clocks in step make sense of that, and the one bound there is tells whether they may be: a packet does
/// not come before it is sent, nor after more than the round trip. Within it the figure is as wrong as the clocks are.
fn one_way(session: &Session) -> Option<Duration> {
    let round_trip = session.reporting.round_trip?.as_secs_f64();
    let (ntp, stamp) = session.reporting.sender_clock()?;
    let (at, timestamp) = session.remote.as_ref()?.reception.last_arrival()?;
    let since = f64::from(timestamp.wrapping_sub(stamp) as i32) / f64::from(session.clock_rate.max(1));
    // Seconds since 1900 with 32 bits of fraction; the difference is small enough for a float.
    let apart = session.reporting.ntp(at).wrapping_sub(ntp) as i64 as f64 / 4_294_967_296.0;
    let travelled = apart - since;
    let possible = (-READING..=round_trip + PACKET).contains(&travelled);
    possible.then(|| Duration::from_secs_f64(travelled.max(0.0)))
}

/// Counters and measurements of a session; its part of the stream's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionFigures {
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// RTP packets accepted.
    pub packets_received: u64,
    /// Payload bytes accepted.
    pub bytes_received: u64,
    /// Packets missing; `None` before the first one.
    pub lost: Option<u64>,
    /// Packets behind a later one.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Interarrival jitter.
    pub jitter: Option<Duration>,
    /// Round trip by RTCP.
    pub round_trip: Option<Duration>,
    /// From the far end's stamp of the last packet to its arrival, where both clocks may be in step.
    pub one_way: Option<Duration>,
    /// What the far end reported.
    pub remote_report: Option<RemoteReport>,
    /// Drops by reason.
    pub drops: DropCounts,
    /// From the start to the first accepted packet.
    pub first_packet: Option<Duration>,
    /// Where media comes from.
    pub source: Option<SocketAddr>,
    /// The SSRC it carries.
    pub remote_ssrc: Option<u32>,
    /// The far end said goodbye.
    pub bye: bool,
    /// Feedback both ways; `None` when there was none.
    pub feedback: Option<FeedbackFigures>,
    /// Wall time (NTP) and RTP timestamp of the same moment, by the last sender report received.
    pub sender_clock: Option<(u64, u32)>,
    /// What the far end heard, by its extended reports.
    pub remote_voip: Option<VoipMetrics>,
}

impl SessionFigures {
    pub(super) fn of(session: &Session) -> Self {
        let remote = session.remote.as_ref();
        let before = remote.map(|r| r.before).unwrap_or_default();
        Self {
            packets_sent: session.packets_sent,
            bytes_sent: session.bytes_sent,
            packets_received: remote.map_or(0, |r| r.packets),
            bytes_received: remote.map_or(0, |r| r.bytes),
            lost: remote.map(|r| before.lost + r.reception.lost()),
            reordered: before.reordered + remote.map_or(0, |r| r.reception.reordered()),
            duplicates: before.duplicates + remote.map_or(0, |r| r.reception.duplicates()),
            jitter: remote.and_then(|r| r.reception.jitter_time()),
            round_trip: session.reporting.round_trip,
            one_way: one_way(session),
            remote_report: session.reporting.remote_report,
            drops: session.drops,
            first_packet: session.first_packet,
            source: session.latch.source(),
            remote_ssrc: remote.map(|r| r.ssrc),
            bye: session.reporting.bye,
            feedback: Some(session.feedback.figures).filter(|figures| *figures != FeedbackFigures::default()),
            sender_clock: session.reporting.sender_clock(),
            remote_voip: session.reporting.remote_voip,
        }
    }
}
