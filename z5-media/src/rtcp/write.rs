//! Writes compound packets into the caller's buffer: SR or RR, then SDES with the CNAME; and BYE.

use super::{BLOCK_LEN, BYE, RR, ReportBlock, SDES, SR};

/// A compound to be written.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Our SSRC.
    pub ssrc: u32,
    /// NTP timestamp, RTP timestamp, packets and bytes sent; `None` when nothing was sent since two reports.
    pub sender: Option<(u64, u32, u32, u32)>,
    /// What we received; `None` before the first packet.
    pub block: Option<ReportBlock>,
    /// Canonical name; cut to 255 bytes.
    pub cname: &'a str,
}

/// Appends to a buffer; remembers that it was too small.
pub(super) struct Writer<'b> {
    pub(super) buffer: &'b mut [u8],
    pub(super) at: usize,
}

impl Writer<'_> {
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.buffer.get_mut(self.at..self.at + bytes.len())?.copy_from_slice(bytes);
        self.at += bytes.len();
        Some(())
    }

    pub(super) fn word(&mut self, word: u32) -> Option<()> {
        self.bytes(&word.to_be_bytes())
    }

    /// First word of a packet of `len` bytes in all.
    pub(super) fn head(&mut self, count: u8, kind: u8, len: usize) -> Option<()> {
        let words = u16::try_from(len / 4 - 1).ok()?;
        self.bytes(&[0x80 | count, kind])?;
        self.bytes(&words.to_be_bytes())
    }
}

/// Writes SR or RR and SDES. Returns the length, or `None` when the buffer is too small.
pub fn write_report(report: &Report<'_>, buffer: &mut [u8]) -> Option<usize> {
    let mut to = Writer { buffer, at: 0 };
    let blocks = usize::from(report.block.is_some());
    match report.sender {
        Some((ntp, timestamp, packets, bytes)) => {
            to.head(blocks as u8, SR, 28 + blocks * BLOCK_LEN)?;
            for word in [report.ssrc, (ntp >> 32) as u32, ntp as u32, timestamp, packets, bytes] {
                to.word(word)?;
            }
        }
        None => {
            to.head(blocks as u8, RR, 8 + blocks * BLOCK_LEN)?;
            to.word(report.ssrc)?;
        }
    }
    if let Some(block) = &report.block {
        to.word(block.ssrc)?;
        to.word(u32::from(block.fraction_lost) << 24 | (block.lost as u32 & 0x00ff_ffff))?;
        for word in [block.highest, block.jitter, block.last_report, block.delay] {
            to.word(word)?;
        }
    }
    // One chunk: SSRC, CNAME item, and a zero that ends the list and fills up to a word (section 6.5).
    let cname = report.cname.as_bytes();
    let cname = &cname[..cname.len().min(255)];
    let chunk = (4 + 2 + cname.len() + 1).next_multiple_of(4);
    to.head(1, SDES, 4 + chunk)?;
    to.word(report.ssrc)?;
    to.bytes(&[1, cname.len() as u8])?;
    to.bytes(cname)?;
    to.bytes(&[0; 4][..chunk - 6 - cname.len()])?;
    Some(to.at)
}

/// Writes a BYE. Returns its length, or `None` when the buffer is too small.
pub fn write_bye(ssrc: u32, buffer: &mut [u8]) -> Option<usize> {
    let mut to = Writer { buffer, at: 0 };
    to.head(1, BYE, 8)?;
    to.word(ssrc)?;
    Some(to.at)
}
