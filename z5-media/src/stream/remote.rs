//! The one synchronisation source a session listens to, and how another one takes over.

use crate::rtcp::ReportBlock;
use crate::rtp::Reception;
use crate::stats::DropReason;

/// What was received before the present source took over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    pub(super) lost: u64,
    pub(super) reordered: u64,
    pub(super) duplicates: u64,
}

/// The source listened to.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) ssrc: u32,
    pub(super) reception: Reception,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) before: Before,
    /// Another SSRC and the sequence number that would confirm it.
    candidate: Option<(u32, u16)>,
}

impl Remote {
    /// Finds the source of a packet: the present one, the first one, or a new one that has confirmed itself by two
    /// packets in a row (RFC 3550 appendix A.1); an authentic packet needs no confirmation.
    pub(super) fn select(
        slot: &mut Option<Self>,
        ssrc: u32,
        sequence: u16,
        clock_rate: u32,
        authentic: bool,
    ) -> Result<(bool, &mut Self), DropReason> {
        let Some(present) = slot else {
            let reception = Reception::new(clock_rate, sequence);
            let before = Before::default();
            let first = slot.insert(Self { ssrc, reception, packets: 0, bytes: 0, before, candidate: None });
            return Ok((false, first));
        };
        if present.ssrc == ssrc {
            present.candidate = None;
            return Ok((false, present));
        }
        if !authentic && present.candidate != Some((ssrc, sequence)) {
            present.candidate = Some((ssrc, sequence.wrapping_add(1)));
            return Err(DropReason::ForeignSsrc);
        }
        present.before.lost += present.reception.lost();
        present.before.reordered += present.reception.reordered();
        present.before.duplicates += present.reception.duplicates();
        present.ssrc = ssrc;
        present.reception = Reception::new(clock_rate, sequence);
        present.candidate = None;
        Ok((true, present))
    }

    /// The report block on this source, without the last sender report.
    pub(super) fn block(&mut self) -> ReportBlock {
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: self.reception.fraction_lost(),
            lost: i32::try_from(self.reception.lost()).map_or(0x7f_ffff, |lost| lost.min(0x7f_ffff)),
            highest: self.reception.highest(),
            jitter: self.reception.jitter().unwrap_or(0.0) as u32,
            last_report: 0,
            delay: 0,
        }
    }
}
