//! Sequence numbers extended to 64 bits and the reception figures of RFC 3550 (appendices A.1, A.3, A.8).

use std::time::{Duration, Instant};

use crate::srtp::ReplayWindow;
use crate::stats::DropReason;

/// A jump ahead of this many packets is believed only when the next packet follows it (RFC 3550 appendix A.1).
const MAX_DROPOUT: i64 = 3000;
/// So is a jump back of this many.
const MAX_MISORDER: i64 = 100;
/// Where extension starts, so that packets from before the first one have a number too.
const FIRST_CYCLE: u64 = 1 << 16;

/// Reception of one SSRC.
#[derive(Debug, Clone)]
pub struct Reception {
    clock_rate: u32,
    /// Extended number of the first packet since the last restart.
    base: u64,
    highest: u64,
    /// Expected before the last restart of the sequence.
    expected_before: u64,
    received: u64,
    seen: ReplayWindow,
    /// After a big jump: the sequence number that would confirm it.
    confirm: Option<u16>,
    reordered: u64,
    duplicates: u64,
    /// Arrival and timestamp of the last packet, for jitter.
    last_arrival: Option<(Instant, u32)>,
    /// In timestamp units; `None` before the second packet.
    jitter: Option<f64>,
    prior: (u64, u64),
}

/// What [`Reception::accept`] says of an accepted packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The extended sequence number.
    pub sequence: u64,
    /// The sequence began anew: buffers ordered by it must be emptied.
    pub restarted: bool,
}

impl Reception {
    /// Counts timestamps by another clock from the next packet on; jitter is measured anew.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        if clock_rate != self.clock_rate {
            self.clock_rate = clock_rate;
            self.jitter = None;
            self.last_arrival = None;
        }
    }

    /// Starts with the first packet of a source, which still has to be passed to [`accept`](Self::accept).
    #[must_use]
    pub fn new(clock_rate: u32, first: u16) -> Self {
        let base = FIRST_CYCLE + u64::from(first);
        Self {
            clock_rate,
            base,
            highest: base,
            expected_before: 0,
            received: 0,
            seen: ReplayWindow::default(),
            confirm: None,
            reordered: 0,
            duplicates: 0,
            last_arrival: None,
            jitter: None,
            prior: (0, 0),
        }
    }

    /// Takes the sequence number and timestamp of a packet of this source.
    ///
    /// # Errors
    /// When it is a duplicate, too old, or a jump that is not confirmed yet.
    pub fn accept(&mut self, sequence: u16, timestamp: u32, now: Instant) -> Result<Accepted, DropReason> {
        let ahead = i64::from(sequence.wrapping_sub(self.highest as u16) as i16);
        let mut restarted = false;
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead) {
            if self.confirm != Some(sequence) {
                self.confirm = Some(sequence.wrapping_add(1));
                return Err(DropReason::SequenceJump);
            }
            self.expected_before += self.highest - self.base + 1;
            // The new run must not meet the numbers of the old one.
            let cycle = (self.highest >> 16) + 2;
            self.base = (cycle << 16) + u64::from(sequence);
            self.highest = self.base;
            self.seen = ReplayWindow::default();
            self.last_arrival = None;
            restarted = true;
        }
        self.confirm = None;
        let ahead = if restarted { 0 } else { ahead };
        let extended = self.highest.saturating_add_signed(ahead);
        match self.seen.check(extended) {
            Ok(()) => {}
            Err(DropReason::Replayed) => {
                self.duplicates += 1;
                return Err(DropReason::Duplicate);
            }
            Err(reason) => return Err(reason),
        }
        self.seen.mark(extended);
        self.received += 1;
        if extended < self.highest {
            self.reordered += 1;
        }
        self.highest = self.highest.max(extended);
        // A packet from before the first one: it was expected after all.
        self.base = self.base.min(extended);
        self.measure_jitter(timestamp, now);
        Ok(Accepted { sequence: extended, restarted })
    }

    /// RFC 3550 section 6.4.1: J += (|D| - J) / 16.
    fn measure_jitter(&mut self, timestamp: u32, now: Instant) {
        if let Some((then, last)) = self.last_arrival {
            let apart = now.saturating_duration_since(then).as_secs_f64() * f64::from(self.clock_rate);
            let difference = (apart - f64::from(timestamp.wrapping_sub(last) as i32)).abs();
            // A new talkspurt or a timestamp that starts anew is no jitter.
            if difference < f64::from(self.clock_rate) {
                let jitter = self.jitter.unwrap_or(0.0);
                self.jitter = Some(jitter + (difference - jitter) / 16.0);
            }
        }
        self.last_arrival = Some((now, timestamp));
    }

    /// Arrival and timestamp of the last packet; `None` before the first one.
    #[must_use]
    pub fn last_arrival(&self) -> Option<(Instant, u32)> {
        self.last_arrival
    }

    /// Packets expected since the start.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.expected_before + (self.highest - self.base + 1)
    }

    /// Packets accepted.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets expected but not received.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// Packets that came behind a later one.
    #[must_use]
    pub fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Packets that came twice.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Interarrival jitter in timestamp units; `None` before the second packet.
    #[must_use]
    pub fn jitter(&self) -> Option<f64> {
        self.jitter
    }

    /// The same as a duration.
    #[must_use]
    pub fn jitter_time(&self) -> Option<Duration> {
        self.jitter.map(|units| Duration::from_secs_f64(units / f64::from(self.clock_rate)))
    }

    /// The 32 bits of the extended highest sequence number a report block carries.
    #[must_use]
    pub fn highest(&self) -> u32 {
        (self.highest - FIRST_CYCLE) as u32
    }

    /// Fraction lost since the last call, in 1/256 (RFC 3550 appendix A.3).
    pub fn fraction_lost(&mut self) -> u8 {
        let (expected, received) = (self.expected(), self.received);
        let expected_interval = expected.saturating_sub(self.prior.0);
        let received_interval = received.saturating_sub(self.prior.1);
        self.prior = (expected, received);
        let lost = expected_interval.saturating_sub(received_interval);
        (lost * 256).checked_div(expected_interval).map_or(0, |share| u8::try_from(share).unwrap_or(255))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn feed(reception: &mut Reception, sequences: &[u16]) -> Vec<Result<u64, DropReason>> {
        let now = clock::now();
        sequences.iter().map(|s| reception.accept(*s, 0, now).map(|a| a.sequence)).collect()
    }

    #[test]
    fn loss_reorder_duplicates_and_the_wrap_are_counted() {
        let mut reception = Reception::new(8000, 65534);
        let got = feed(&mut reception, &[65534, 0, 65535, 65535, 3, 65533]);
        let base = FIRST_CYCLE + 65534;
        assert_eq!(
            got,
            [Ok(base), Ok(base + 2), Ok(base + 1), Err(DropReason::Duplicate), Ok(base + 5), Ok(base - 1)]
        );
        assert_eq!((reception.expected(), reception.received(), reception.lost()), (7, 5, 2));
        assert_eq!((reception.reordered(), reception.duplicates()), (2, 1));
        assert_eq!(reception.fraction_lost(), (2 * 256 / 7) as u8);
        assert_eq!(reception.fraction_lost(), 0);
    }

    #[test]
    fn a_big_jump_needs_two_packets_in_a_row() {
        let mut reception = Reception::new(8000, 10);
        let got = feed(&mut reception, &[10, 20000, 11, 30000, 30001, 30002]);
        assert!(got[0].is_ok() && got[2].is_ok() && got[4].is_ok() && got[5].is_ok());
        assert_eq!((got[1], got[3]), (Err(DropReason::SequenceJump), Err(DropReason::SequenceJump)));
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn jitter_of_an_even_stream_is_zero_and_of_an_uneven_one_known() {
        let start = clock::now();
        let mut even = Reception::new(8000, 0);
        for n in 0..50_u32 {
            even.accept(n as u16, n * 160, start + Duration::from_millis(u64::from(n) * 20)).unwrap();
        }
        assert!(even.jitter().unwrap() < 1e-6);
        let mut uneven = Reception::new(8000, 0);
        for n in 0..400_u32 {
            let late = u64::from(n % 2) * 10;
            uneven
                .accept(n as u16, n * 160, start + Duration::from_millis(u64::from(n) * 20 + late))
                .unwrap();
        }
        // Every difference is 10 ms, so the estimate converges to 80 units.
        assert!((uneven.jitter().unwrap() - 80.0).abs() < 0.1, "{:?}", uneven.jitter());
    }
}
