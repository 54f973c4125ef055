//! Opens incoming packets: roll-over estimation, replay check, authentication, decryption, in that order.

use super::cipher::{Cipher, E_BIT};
use super::replay::ReplayWindow;
use super::{KeyError, SrtpSuite};
use crate::rtp;
use crate::stats::DropReason;

/// Synchronisation sources one session keeps state for. Only authenticated packets make state. None is ever forgotten, because
/// its packets could then be replayed; a far end takes a new one with every transfer and hold music, so there are many.
pub(super) const MAX_SOURCES: usize = 64;

/// State of one authenticated synchronisation source.
#[derive(Debug, Clone, Copy, Default)]
struct Source {
    ssrc: u32,
    /// Highest authenticated index (roll-over counter and sequence number); `None` before the first RTP packet.
    highest: Option<u64>,
    rtp: ReplayWindow,
    rtcp: ReplayWindow,
}

/// The opening half of a session.
pub struct Receiver {
    rtp: Cipher,
    /// Apart, because it is seldom needed and would stand between what every packet needs.
    rtcp: Box<Cipher>,
    /// The first source, which normally is the only one, and the others.
    first: Option<Source>,
    others: Vec<Source>,
    /// Opens in place of the above when chosen.
    #[cfg(any(test, feature = "webrtc-srtp"))]
    second: Option<Box<super::second::Second>>,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        #[cfg(any(test, feature = "webrtc-srtp"))]
        if let Some(second) = &self.second {
            return f.debug_struct("Receiver").field("sources", &second.sources()).finish_non_exhaustive();
        }
        let sources = usize::from(self.first.is_some()) + self.others.len();
        f.debug_struct("Receiver").field("sources", &sources).finish_non_exhaustive()
    }
}

impl Receiver {
    pub(super) fn new(suite: SrtpSuite, key_and_salt: &[u8]) -> Result<Self, KeyError> {
        Ok(Self {
            rtp: Cipher::rtp(suite, key_and_salt)?,
            rtcp: Box::new(Cipher::rtcp(suite, key_and_salt)?),
            first: None,
            others: Vec::new(),
            #[cfg(any(test, feature = "webrtc-srtp"))]
            second: None,
        })
    }

    #[cfg(any(test, feature = "webrtc-srtp"))]
    pub(super) fn second(suite: SrtpSuite, key_and_salt: &[u8]) -> Result<Self, KeyError> {
        let second = super::second::Second::new(suite, key_and_salt)?;
        Ok(Self { second: Some(Box::new(second)), ..Self::new(suite, key_and_salt)? })
    }

    /// Asks the processor for the key of an RTP packet that comes soon. Changes nothing but the time that passes.
    pub fn prefetch(&self) {
        self.rtp.prefetch();
    }

    /// Opens an SRTP packet in place. Returns the length of the RTP packet it leaves.
    ///
    /// # Errors
    /// The reason to drop it; then no state has changed.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        #[cfg(any(test, feature = "webrtc-srtp"))]
        if let Some(second) = &mut self.second {
            return second.unprotect_rtp(packet);
        }
        let header = rtp::header_len(packet)?;
        let (ssrc, sequence) = (rtp::ssrc(packet), rtp::sequence(packet));
        let Self { rtp, first, others, .. } = self;
        with_source(first, others, ssrc, |source| {
            let index = estimate_index(source.highest, sequence);
            source.rtp.check(index)?;
            let len = rtp.open_rtp(packet, header, ssrc, index)?;
            source.rtp.mark(index);
            source.highest = Some(source.highest.map_or(index, |highest| highest.max(index)));
            Ok(len)
        })
    }

    /// Opens an SRTCP packet in place. Returns the length of the compound RTCP packet it leaves.
    ///
    /// # Errors
    /// The reason to drop it; then no state has changed.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        #[cfg(any(test, feature = "webrtc-srtp"))]
        if let Some(second) = &mut self.second {
            return second.unprotect_rtcp(packet);
        }
        let ssrc = packet.get(4..8).and_then(|s| s.first_chunk::<4>()).ok_or(DropReason::TooShort)?;
        let ssrc = u32::from_be_bytes(*ssrc);
        let word = self.rtcp.rtcp_index_word(packet)?;
        if word & E_BIT == 0 {
            return Err(DropReason::NotEncrypted);
        }
        let index = word & !E_BIT;
        let Self { rtcp, first, others, .. } = self;
        with_source(first, others, ssrc, |source| {
            source.rtcp.check(u64::from(index))?;
            let len = rtcp.open_rtcp(packet, ssrc, index)?;
            source.rtcp.mark(u64::from(index));
            Ok(len)
        })
    }
}

/// Opens a packet with the state of its source, or with a fresh one that is kept only if the packet proves authentic.
fn with_source(
    first: &mut Option<Source>,
    others: &mut Vec<Source>,
    ssrc: u32,
    open: impl FnOnce(&mut Source) -> Result<usize, DropReason>,
) -> Result<usize, DropReason> {
    if let Some(first) = first.as_mut().filter(|first| first.ssrc == ssrc) {
        return open(first);
    }
    if let Some(other) = others.iter_mut().find(|other| other.ssrc == ssrc) {
        return open(other);
    }
    if others.len() + 1 >= MAX_SOURCES {
        return Err(DropReason::SsrcLimit);
    }
    let mut fresh = Source { ssrc, ..Source::default() };
    let len = open(&mut fresh)?;
    if first.is_none() {
        *first = Some(fresh);
    } else {
        others.push(fresh);
    }
    Ok(len)
}

/// RFC 3711 section 3.3.1 and appendix A: the index nearest to the highest one that has this sequence number.
fn estimate_index(highest: Option<u64>, sequence: u16) -> u64 {
    let Some(highest) = highest else { return u64::from(sequence) };
    let (roll_over, last) = (highest >> 16, (highest & 0xffff) as u16);
    let guess = if last < 0x8000 {
        // Too far ahead means from before the wrap, unless there was none yet.
        if sequence > last && sequence - last > 0x8000 { roll_over.saturating_sub(1) } else { roll_over }
    } else if last - 0x8000 > sequence {
        roll_over + 1
    } else {
        roll_over
    };
    (guess << 16 | u64::from(sequence)) & 0xffff_ffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_estimated_on_both_sides_of_the_wrap() {
        assert_eq!(estimate_index(None, 65535), 65535);
        assert_eq!(estimate_index(Some(65535), 0), 0x1_0000);
        assert_eq!(estimate_index(Some(0x1_0000), 65535), 65535);
        assert_eq!(estimate_index(Some(0x1_0005), 3), 0x1_0003);
        assert_eq!(estimate_index(Some(0x2_8000), 0x7fff), 0x2_7fff);
        assert_eq!(estimate_index(Some(0x2_8001), 0), 0x3_0000);
        assert_eq!(estimate_index(Some(0x2_7fff), 0xffff), 0x2_ffff);
    }
}
