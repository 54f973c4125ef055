//! Extended reports (RFC 3611): receiver reference time (section 4.4), DLRR (4.5) and VoIP metrics (4.7).
//!
//! Other blocks are passed over.

use super::News;
use super::write::Writer;

/// Extended report.
pub(super) const XR: u8 = 207;

const RECEIVER_REFERENCE_TIME: u8 = 4;
const DLRR: u8 = 5;
const VOIP: u8 = 7;
/// Bytes of a VoIP metrics block behind its head.
const VOIP_LEN: usize = 32;
/// What an unknown signal or noise level, R factor or MOS is written as.
const UNAVAILABLE: u8 = 127;

/// VoIP metrics (section 4.7). A value the other side did not have is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct VoipMetrics {
    /// The source reported on.
    pub ssrc: u32,
    /// Share of packets lost, 0.0 to 1.0, in steps of 1/256.
    pub loss: f64,
    /// Share of packets discarded because they came too late or early.
    pub discard: f64,
    /// Round trip in milliseconds; 0 means not known (section 4.7.3).
    pub round_trip_ms: u16,
    /// Delay within the far end (codec, jitter buffer), milliseconds.
    pub end_system_ms: u16,
    /// R factor, 0 to 100.
    pub r_factor: Option<u8>,
    /// Estimated listening quality, 1.0 to 5.0.
    pub mos_listening: Option<f64>,
    /// Estimated conversational quality.
    pub mos_conversation: Option<f64>,
    /// Nominal playout delay, milliseconds.
    pub jitter_buffer_ms: u16,
}

/// Tells what an extended report says; `body` begins with the sender's SSRC.
pub(super) fn read(body: &[u8], tell: &mut impl FnMut(News)) {
    let Some((from, mut rest)) = body.split_first_chunk::<4>() else { return };
    let ssrc = u32::from_be_bytes(*from);
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let len = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some((block, tail)) = tail.split_at_checked(len) else { return };
        match head[0] {
            RECEIVER_REFERENCE_TIME if len == 8 => {
                tell(News::ReferenceTime {
                    ssrc,
                    ntp: u64::from(word(block, 0)) << 32 | u64::from(word(block, 4)),
                });
            }
            DLRR => {
                for entry in block.chunks_exact(12) {
                    let (last, delay) = (word(entry, 4), word(entry, 8));
                    tell(News::SinceReference { ssrc: word(entry, 0), last, delay });
                }
            }
            VOIP if len == VOIP_LEN => tell(News::Voip(voip(block))),
            _ => {}
        }
        rest = tail;
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

fn voip(block: &[u8]) -> VoipMetrics {
    let byte = |at: usize| block.get(at).copied().unwrap_or(UNAVAILABLE);
    let half = |at: usize| u16::from_be_bytes([byte(at), byte(at + 1)]);
    let known = |at: usize| Some(byte(at)).filter(|value| *value != UNAVAILABLE);
    let mos = |at: usize| known(at).map(|value| f64::from(value) / 10.0);
    VoipMetrics {
        ssrc: word(block, 0),
        loss: f64::from(byte(4)) / 256.0,
        discard: f64::from(byte(5)) / 256.0,
        round_trip_ms: half(12),
        end_system_ms: half(14),
        r_factor: known(20),
        mos_listening: mos(22),
        mos_conversation: mos(23),
        jitter_buffer_ms: half(26),
    }
}

/// An extended report to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtendedReport {
    /// Our SSRC.
    pub ssrc: u32,
    /// Our clock, so that a receiver that sends no media can measure the round trip too.
    pub reference_time: Option<u64>,
    /// Answer to the far end's reference time: its SSRC, the middle 32 bits of it, and the delay since in 1/65536 s.
    pub since_reference: Option<(u32, u32, u32)>,
    /// What we heard.
    pub voip: Option<VoipMetrics>,
}

/// Writes an extended report. Returns its length, or `None` when the buffer is too small.
pub fn write_extended(report: &ExtendedReport, buffer: &mut [u8]) -> Option<usize> {
    let mut to = Writer { buffer, at: 0 };
    let blocks = report.reference_time.map_or(0, |_| 12)
        + report.since_reference.map_or(0, |_| 16)
        + report.voip.map_or(0, |_| 4 + VOIP_LEN);
    to.head(0, XR, 8 + blocks)?;
    to.word(report.ssrc)?;
    if let Some(ntp) = report.reference_time {
        for word in [u32::from(RECEIVER_REFERENCE_TIME) << 24 | 2, (ntp >> 32) as u32, ntp as u32] {
            to.word(word)?;
        }
    }
    if let Some((ssrc, last, delay)) = report.since_reference {
        for word in [u32::from(DLRR) << 24 | 3, ssrc, last, delay] {
            to.word(word)?;
        }
    }
    if let Some(voip) = &report.voip {
        to.word((u32::from(VOIP) << 24) | (VOIP_LEN as u32 / 4))?;
        to.word(voip.ssrc)?;
        let share = |share: f64| (share * 256.0).clamp(0.0, 255.0) as u8;
        let mos =
            |mos: Option<f64>| mos.map_or(UNAVAILABLE, |mos| (mos * 10.0).round().clamp(10.0, 50.0) as u8);
        // Burst and gap are not told apart: no burst, Gmin 16 (section 4.7.2).
        to.bytes(&[share(voip.loss), share(voip.discard), 0, share(voip.loss), 0, 0, 0, 0])?;
        to.bytes(&voip.round_trip_ms.to_be_bytes())?;
        to.bytes(&voip.end_system_ms.to_be_bytes())?;
        to.bytes(&[UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, 16])?;
        to.bytes(&[voip.r_factor.unwrap_or(UNAVAILABLE), UNAVAILABLE])?;
        to.bytes(&[mos(voip.mos_listening), mos(voip.mos_conversation)])?;
        // Enhanced concealment, adaptive jitter buffer (section 4.7.6).
        to.bytes(&[0b1011_0000, 0])?;
        for delay in [voip.jitter_buffer_ms; 3] {
            to.bytes(&delay.to_be_bytes())?;
        }
    }
    Some(to.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp;

    #[test]
    fn every_block_is_read_back_and_unknown_ones_are_passed_over() {
        let voip = VoipMetrics {
            ssrc: 9,
            loss: 0.25,
            discard: 0.0,
            round_trip_ms: 40,
            end_system_ms: 60,
            r_factor: Some(88),
            mos_listening: Some(4.2),
            mos_conversation: None,
            jitter_buffer_ms: 60,
        };
        let report = ExtendedReport {
            ssrc: 7,
            reference_time: Some(0x0102_0304_0506_0708),
            since_reference: Some((9, 5, 6)),
            voip: Some(voip),
        };
        let mut buffer = [0; 128];
        let len = write_extended(&report, &mut buffer).unwrap();
        let expected = [
            News::ReferenceTime { ssrc: 7, ntp: 0x0102_0304_0506_0708 },
            News::SinceReference { ssrc: 9, last: 5, delay: 6 },
            News::Voip(voip),
        ];
        let read = |bytes: &[u8]| {
            let mut news = Vec::new();
            rtcp::read(bytes, |n| news.push(n)).unwrap();
            news
        };
        assert_eq!(read(&buffer[..len]), expected);
        buffer[8] = 99;
        assert_eq!(read(&buffer[..len]), expected[1..]);
        // A block that runs past the end ends the reading.
        buffer[10] = 9;
        assert_eq!(read(&buffer[..len]), []);
        assert_eq!(write_extended(&report, &mut [0; 40]), None);
    }
}
