//! RTCP (RFC 3550 section 6): reading and writing SR, RR, SDES (CNAME; NAME is read) and BYE, feedback (RFC 4585, RFC 5104) and extended
//! reports (RFC 3611).
//!
//! Reading is lenient about unknown packet types (they are skipped) and strict about structure: one bad length
//! makes the whole compound bad. Reduced-size packets (RFC 5506) are accepted.

mod description;
mod extended;
mod feedback;
mod interval;
mod write;

pub use description::{Called, descriptions};
use extended::XR;
pub use extended::{ExtendedReport, VoipMetrics, write_extended};
pub use feedback::{Feedback, write_feedback};
use feedback::{PSFB, RTPFB, SSRCS};
pub use interval::Interval;
pub use write::{Report, write_bye, write_report};

use crate::stats::DropReason;

/// Sender report.
const SR: u8 = 200;
/// Receiver report.
const RR: u8 = 201;
/// Source description.
const SDES: u8 = 202;
/// Goodbye.
const BYE: u8 = 203;
/// Bytes of a report block.
const BLOCK_LEN: usize = 24;

/// What one RTCP packet of a compound says to us.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum News {
    /// A sender report's own part.
    SenderInfo {
        /// Who sends.
        ssrc: u32,
        /// 64-bit NTP timestamp.
        ntp: u64,
        /// RTP timestamp of the same moment.
        rtp_timestamp: u32,
        /// Packets sent.
        packets: u32,
        /// Payload bytes sent.
        bytes: u32,
    },
    /// A receiver report without blocks, or the head of one with blocks.
    Receiver {
        /// Who reports.
        ssrc: u32,
    },
    /// One report block.
    Block(ReportBlock),
    /// That source leaves.
    Bye {
        /// Who leaves.
        ssrc: u32,
    },
    /// Packets are missing (generic NACK).
    Nack {
        /// Whose packets.
        media: u32,
        /// The first of them.
        first: u16,
        /// A bit for each of the 16 after it, the lowest for the next one.
        following: u16,
    },
    /// The picture of that source is damaged (PLI).
    PictureLoss {
        /// Whose picture.
        media: u32,
    },
    /// A key frame is wanted (FIR).
    FullIntra {
        /// Who asks.
        from: u32,
        /// Of whom.
        ssrc: u32,
        /// Tells a new request from a repeated one.
        sequence: u8,
    },
    /// A limit for what a source sends is asked for (TMMBR).
    BitrateRequest {
        /// Who asks.
        from: u32,
        /// Of whom.
        ssrc: u32,
        /// Bits per second.
        limit: u64,
    },
    /// A limit that holds now (TMMBN).
    BitrateNotice {
        /// Who obeys.
        from: u32,
        /// Who asked for it.
        owner: u32,
        /// Bits per second.
        limit: u64,
    },
    /// The clock of a receiver (RRTR).
    ReferenceTime {
        /// Who reports.
        ssrc: u32,
        /// 64-bit NTP timestamp.
        ntp: u64,
    },
    /// The answer to a receiver's clock (DLRR).
    SinceReference {
        /// Whose clock was heard.
        ssrc: u32,
        /// Middle 32 bits of it.
        last: u32,
        /// Delay since then in 1/65536 s.
        delay: u32,
    },
    /// VoIP metrics.
    Voip(VoipMetrics),
}

/// A report block (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: u32,
    /// Fraction lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start, 24 bits signed.
    pub lost: i32,
    /// Extended highest sequence number.
    pub highest: u32,
    /// Jitter in timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp of the last sender report; 0: none.
    pub last_report: u32,
    /// Delay since then in 1/65536 s.
    pub delay: u32,
}

/// Reads a compound packet, telling each piece of news to `tell`. The whole compound is checked first, so a bad
/// one tells nothing.
///
/// # Errors
/// When a length, version or count does not fit.
pub fn read(compound: &[u8], mut tell: impl FnMut(News)) -> Result<(), DropReason> {
    let mut rest = compound;
    if rest.len() < 8 {
        return Err(DropReason::TooShort);
    }
    while !rest.is_empty() {
        rest = next(rest)?.2;
    }
    rest = compound;
    while !rest.is_empty() {
        let (head, body, tail) = next(rest)?;
        news(head, body, &mut tell);
        rest = tail;
    }
    Ok(())
}

/// One packet of a compound and what follows it.
type Split<'a> = ((usize, u8), &'a [u8], &'a [u8]);

/// Count and type of the next packet, its body without the first word, and what follows it.
fn next(rest: &[u8]) -> Result<Split<'_>, DropReason> {
    let head = rest.first_chunk::<4>().ok_or(DropReason::BadRtcp)?;
    if head[0] >> 6 != 2 {
        return Err(DropReason::BadVersion);
    }
    let len = 4 * usize::from(u16::from_be_bytes([head[2], head[3]])) + 4;
    let (packet, tail) = rest.split_at_checked(len).ok_or(DropReason::BadRtcp)?;
    let mut body = &packet[4..];
    if head[0] & 0x20 != 0 {
        // Padding belongs to the last packet only (section 6.4.1).
        let padding = usize::from(body.last().copied().unwrap_or(0));
        if !tail.is_empty() || padding == 0 || padding > body.len() {
            return Err(DropReason::BadRtcp);
        }
        body = &body[..body.len() - padding];
    }
    let count = usize::from(head[0] & 0x1f);
    let least = match head[1] {
        SR => 24 + count * BLOCK_LEN,
        RR => 4 + count * BLOCK_LEN,
        BYE => count * 4,
        RTPFB | PSFB => SSRCS,
        XR => 4,
        _ => 0,
    };
    if body.len() < least {
        return Err(DropReason::BadRtcp);
    }
    Ok(((count, head[1]), body, tail))
}

fn news((count, kind): (usize, u8), body: &[u8], tell: &mut impl FnMut(News)) {
    let word = |at: usize| body.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let blocks = match kind {
        SR => {
            tell(News::SenderInfo {
                ssrc: word(0),
                ntp: u64::from(word(4)) << 32 | u64::from(word(8)),
                rtp_timestamp: word(12),
                packets: word(16),
                bytes: word(20),
            });
            24
        }
        RR => {
            tell(News::Receiver { ssrc: word(0) });
            4
        }
        BYE => {
            (0..count).for_each(|n| tell(News::Bye { ssrc: word(4 * n) }));
            return;
        }
        RTPFB | PSFB => return feedback::read(count as u8, kind, body, tell),
        XR => return extended::read(body, tell),
        _ => return,
    };
    for n in 0..count {
        let at = blocks + n * BLOCK_LEN;
        tell(News::Block(ReportBlock {
            ssrc: word(at),
            fraction_lost: (word(at + 4) >> 24) as u8,
            // Sign extension of 24 bits.
            lost: ((word(at + 4) << 8) as i32) >> 8,
            highest: word(at + 8),
            jitter: word(at + 12),
            last_report: word(at + 16),
            delay: word(at + 20),
        }));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(compound: &[u8]) -> Result<Vec<News>, DropReason> {
        let mut news = Vec::new();
        read(compound, |n| news.push(n)).map(|()| news)
    }

    fn block() -> ReportBlock {
        ReportBlock {
            ssrc: 9,
            fraction_lost: 25,
            lost: -3,
            highest: 70000,
            jitter: 8,
            last_report: 5,
            delay: 6,
        }
    }

    #[test]
    fn a_written_report_is_read_back() {
        let mut buffer = [0_u8; 256];
        let report = Report {
            ssrc: 7,
            sender: Some((0x1122_3344_5566_7788, 160, 2, 320)),
            block: Some(block()),
            cname: "someone@z5.invalid",
        };
        let len = write_report(&report, &mut buffer).unwrap();
        assert_eq!(len % 4, 0);
        assert_eq!(
            all(&buffer[..len]).unwrap(),
            [
                News::SenderInfo {
                    ssrc: 7,
                    ntp: 0x1122_3344_5566_7788,
                    rtp_timestamp: 160,
                    packets: 2,
                    bytes: 320
                },
                News::Block(block())
            ]
        );
        let report = Report { sender: None, block: None, ..report };
        let len = write_report(&report, &mut buffer).unwrap();
        assert_eq!(all(&buffer[..len]).unwrap(), [News::Receiver { ssrc: 7 }]);
        let len = len + write_bye(7, &mut buffer[len..]).unwrap();
        assert_eq!(all(&buffer[..len]).unwrap(), [News::Receiver { ssrc: 7 }, News::Bye { ssrc: 7 }]);
        assert_eq!(write_report(&report, &mut [0; 20]), None);
    }

    #[test]
    fn one_bad_length_makes_the_compound_bad() {
        let mut buffer = [0_u8; 256];
        let report = Report { ssrc: 7, sender: None, block: Some(block()), cname: "c" };
        let len = write_report(&report, &mut buffer).unwrap();
        for cut in 1..len {
            assert!(all(&buffer[..cut]).is_err() || cut == 32, "{cut}");
        }
        buffer[0] = 0x82;
        assert_eq!(all(&buffer[..len]), Err(DropReason::BadRtcp));
    }

    #[test]
    fn unknown_types_are_skipped_and_padding_is_bounded() {
        let mut bytes = vec![0x80, 77, 0, 1, 1, 2, 3, 4, 0xa1, 203, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4];
        assert_eq!(all(&bytes).unwrap(), [News::Bye { ssrc: 7 }]);
        bytes[19] = 9;
        assert_eq!(all(&bytes), Err(DropReason::BadRtcp));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 190_u8..210) {
            let mut bytes = bytes;
            if bytes.len() > 3 { bytes[0] |= 0x80; bytes[0] &= 0xbf; bytes[1] = kind; bytes[2] = 0; bytes[3] &= 31; }
            let _ = all(&bytes);
        }
    }
}
