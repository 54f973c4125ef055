//! Feedback messages (RFC 4585 section 6, RFC 5104 section 4): generic NACK, PLI, FIR, TMMBR and TMMBN.
//!
//! Messages of other formats (SLI, RPSI, application layer feedback) are passed over. Rates are plain bits per second;
//! on the wire they have 17 significant bits, and writing rounds them down.

use super::News;
use super::write::Writer;

/// Transport layer feedback.
pub(super) const RTPFB: u8 = 205;
/// Payload-specific feedback.
pub(super) const PSFB: u8 = 206;
/// Bytes of both SSRCs that begin every feedback message.
pub(super) const SSRCS: usize = 8;

const NACK: u8 = 1;
const TMMBR: u8 = 3;
const TMMBN: u8 = 4;
const PLI: u8 = 1;
const FIR: u8 = 4;
/// Bytes of one FIR, TMMBR or TMMBN entry.
const ENTRY: usize = 8;

/// Tells what a feedback message says; `body` begins with the sender's SSRC.
pub(super) fn read(format: u8, kind: u8, body: &[u8], tell: &mut impl FnMut(News)) {
    let Some((head, control)) = body.split_at_checked(SSRCS) else { return };
    let (from, media) = (word(head, 0), word(head, 4));
    match (kind, format) {
        (RTPFB, NACK) => {
            for pair in control.chunks_exact(4) {
                let first = u16::from_be_bytes([pair[0], pair[1]]);
                let following = u16::from_be_bytes([pair[2], pair[3]]);
                tell(News::Nack { media, first, following });
            }
        }
        (RTPFB, TMMBR) => {
            for entry in control.chunks_exact(ENTRY) {
                tell(News::BitrateRequest { from, ssrc: word(entry, 0), limit: limit(word(entry, 4)) });
            }
        }
        (RTPFB, TMMBN) => {
            for entry in control.chunks_exact(ENTRY) {
                tell(News::BitrateNotice { from, owner: word(entry, 0), limit: limit(word(entry, 4)) });
            }
        }
        (PSFB, PLI) => tell(News::PictureLoss { media }),
        (PSFB, FIR) => {
            for entry in control.chunks_exact(ENTRY) {
                tell(News::FullIntra { from, ssrc: word(entry, 0), sequence: entry[4] });
            }
        }
        _ => {}
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

/// A rate on the wire: 6 bits exponent, 17 bits mantissa, 9 bits overhead (RFC 5104 section 4.2.1.1).
fn limit(word: u32) -> u64 {
    let mantissa = u64::from(word >> 9 & 0x1_ffff);
    mantissa.checked_shl(word >> 26).filter(|rate| rate >> (word >> 26) == mantissa).unwrap_or(u64::MAX)
}

fn limit_word(rate: u64, overhead: u16) -> u32 {
    let exponent = (64 - rate.leading_zeros()).saturating_sub(17);
    exponent << 26 | ((rate >> exponent) as u32 & 0x1_ffff) << 9 | u32::from(overhead & 0x1ff)
}

/// A feedback message to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feedback<'a> {
    /// These packets are missing: sequence number, and a bit for each of the 16 after it.
    Nack(&'a [(u16, u16)]),
    /// The picture is damaged.
    PictureLoss,
    /// Send a key frame; `sequence` tells a new request from a repeated one.
    FullIntra {
        /// Command sequence number.
        sequence: u8,
    },
    /// Send no more than that.
    BitrateRequest {
        /// Bits per second.
        limit: u64,
        /// Measured overhead per packet in bytes.
        overhead: u16,
    },
    /// This limit holds, and `owner` asked for it.
    BitrateNotice {
        /// Who asked.
        owner: u32,
        /// Bits per second.
        limit: u64,
    },
}

/// Writes one message from `ours` about the media of `theirs`. Returns its length, or `None` when the buffer is too small.
pub fn write_feedback(feedback: &Feedback<'_>, ours: u32, theirs: u32, buffer: &mut [u8]) -> Option<usize> {
    let mut to = Writer { buffer, at: 0 };
    let mut head = |format, kind, entries: usize, media: u32| {
        to.head(format, kind, 4 + SSRCS + entries)?;
        to.word(ours)?;
        to.word(media)
    };
    match *feedback {
        Feedback::Nack(pairs) => {
            head(NACK, RTPFB, 4 * pairs.len(), theirs)?;
            for (first, following) in pairs {
                to.word(u32::from(*first) << 16 | u32::from(*following))?;
            }
        }
        Feedback::PictureLoss => head(PLI, PSFB, 0, theirs)?,
        // In the following three the media source of the header is not used and zero (RFC 5104 section 4.2 and 4.3).
        Feedback::FullIntra { sequence } => {
            head(FIR, PSFB, ENTRY, 0)?;
            to.word(theirs)?;
            to.word(u32::from(sequence) << 24)?;
        }
        Feedback::BitrateRequest { limit, overhead } => {
            head(TMMBR, RTPFB, ENTRY, 0)?;
            to.word(theirs)?;
            to.word(limit_word(limit, overhead))?;
        }
        Feedback::BitrateNotice { owner, limit } => {
            head(TMMBN, RTPFB, ENTRY, 0)?;
            to.word(owner)?;
            to.word(limit_word(limit, 0))?;
        }
    }
    Some(to.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp;

    fn back(feedback: Feedback<'_>) -> Vec<News> {
        let mut buffer = [0; 64];
        let len = write_feedback(&feedback, 7, 9, &mut buffer).unwrap();
        for short in 0..len {
            assert_eq!(write_feedback(&feedback, 7, 9, &mut buffer[..short].to_vec()), None);
        }
        let mut news = Vec::new();
        rtcp::read(&buffer[..len], |n| news.push(n)).unwrap();
        news
    }

    #[test]
    fn each_message_is_read_back() {
        assert_eq!(
            back(Feedback::Nack(&[(65535, 0x8001), (7, 0)])),
            [
                News::Nack { media: 9, first: 65535, following: 0x8001 },
                News::Nack { media: 9, first: 7, following: 0 }
            ]
        );
        assert_eq!(back(Feedback::PictureLoss), [News::PictureLoss { media: 9 }]);
        assert_eq!(
            back(Feedback::FullIntra { sequence: 200 }),
            [News::FullIntra { from: 7, ssrc: 9, sequence: 200 }]
        );
        assert_eq!(
            back(Feedback::BitrateRequest { limit: 256_000, overhead: 40 }),
            [News::BitrateRequest { from: 7, ssrc: 9, limit: 256_000 }]
        );
        assert_eq!(
            back(Feedback::BitrateNotice { owner: 5, limit: 0 }),
            [News::BitrateNotice { from: 7, owner: 5, limit: 0 }]
        );
    }

    #[test]
    fn rates_keep_seventeen_bits_and_absurd_ones_saturate() {
        for rate in [0, 1, 0x1_ffff, 0x2_0000, 1_234_567, 10_000_000_000] {
            let read = limit(limit_word(rate, 511));
            assert!(read <= rate && rate - read <= rate >> 16, "{rate} {read}");
        }
        assert_eq!(limit(0xffff_ffff), u64::MAX);
    }

    #[test]
    fn unknown_formats_and_cut_messages_say_nothing() {
        for (format, kind) in [(15, RTPFB), (2, PSFB), (15, PSFB), (31, PSFB)] {
            let mut news = Vec::new();
            rtcp::read(&[0x80 | format, kind, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4], |n| news.push(n))
                .unwrap();
            assert_eq!(news, []);
        }
        // Too short for both SSRCs.
        assert!(rtcp::read(&[0x81, PSFB, 0, 1, 0, 0, 0, 1], |_| {}).is_err());
        // An entry cut in half is left out.
        let mut news = Vec::new();
        rtcp::read(&[0x84, PSFB, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4], |n| news.push(n)).unwrap();
        assert_eq!(news, []);
    }
}
