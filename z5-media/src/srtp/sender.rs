//! Protects outgoing packets of one SSRC at a time.

use super::cipher::Cipher;
use super::{KeyError, SrtpSuite};
use crate::rtp;

/// The key has protected as many packets as it may (RFC 3711 section 9.2), or the buffer has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SRTP key is used up or the packet does not fit its buffer")]
pub struct KeyExhausted;

impl From<KeyError> for KeyExhausted {
    fn from(_: KeyError) -> Self {
        Self
    }
}

/// The protecting half of a session.
pub struct Sender {
    rtp: Cipher,
    /// Apart, because it is seldom needed and would stand between what every packet needs.
    rtcp: Box<Cipher>,
    /// Roll-over counter and the last sequence number sent.
    last: Option<(u32, u16)>,
    next_rtcp_index: u32,
    /// Seals in place of the above when chosen.
    #[cfg(any(test, feature = "webrtc-srtp"))]
    second: Option<Box<super::second::Second>>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Sender {
    pub(super) fn new(suite: SrtpSuite, key_and_salt: &[u8]) -> Result<Self, KeyError> {
        Ok(Self {
            rtp: Cipher::rtp(suite, key_and_salt)?,
            rtcp: Box::new(Cipher::rtcp(suite, key_and_salt)?),
            last: None,
            next_rtcp_index: 0,
            #[cfg(any(test, feature = "webrtc-srtp"))]
            second: None,
        })
    }

    #[cfg(any(test, feature = "webrtc-srtp"))]
    pub(super) fn second(suite: SrtpSuite, key_and_salt: &[u8]) -> Result<Self, KeyError> {
        let second = super::second::Second::new(suite, key_and_salt)?;
        Ok(Self { second: Some(Box::new(second)), ..Self::new(suite, key_and_salt)? })
    }

    /// Begins anew with another SSRC, whose roll-over counter is zero.
    pub fn restart(&mut self) {
        self.last = None;
    }

    /// Asks the processor for the key of an RTP packet that comes soon. Changes nothing but the time that passes.
    pub fn prefetch(&self) {
        self.rtp.prefetch();
    }

    /// Protects the RTP packet in `buffer[..len]`; the buffer needs [`SrtpSuite::MAX_OVERHEAD`] bytes of room behind.
    /// Returns the length on the wire.
    ///
    /// # Errors
    /// When the packet is no RTP packet, the buffer has no room or the index space is used up.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, KeyExhausted> {
        #[cfg(any(test, feature = "webrtc-srtp"))]
        if let Some(second) = &mut self.second {
            return Ok(second.protect_rtp(buffer, len)?);
        }
        let packet = buffer.get(..len).ok_or(KeyExhausted)?;
        let header = rtp::header_len(packet).map_err(|_| KeyExhausted)?;
        let sequence = rtp::sequence(packet);
        let roll_over = match self.last {
            None => 0,
            // Forward across the wrap; a packet sent again from before the wrap would belong to the old counter.
            Some((roll_over, last)) if sequence < last && last - sequence > 0x8000 => {
                roll_over.checked_add(1).ok_or(KeyExhausted)?
            }
            Some((roll_over, last)) if sequence > last && sequence - last > 0x8000 => {
                roll_over.checked_sub(1).ok_or(KeyExhausted)?
            }
            Some((roll_over, _)) => roll_over,
        };
        let index = (u64::from(roll_over) << 16) | u64::from(sequence);
        let newest = self.last.is_none_or(|(r, s)| index > (u64::from(r) << 16 | u64::from(s)));
        let ssrc = rtp::ssrc(packet);
        let total = self.rtp.seal_rtp(buffer, header, len, ssrc, index)?;
        if newest {
            self.last = Some((roll_over, sequence));
        }
        Ok(total)
    }

    /// Protects the compound RTCP packet in `buffer[..len]`. Returns the length on the wire.
    ///
    /// # Errors
    /// When the buffer has no room or the index space is used up.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, KeyExhausted> {
        #[cfg(any(test, feature = "webrtc-srtp"))]
        if let Some(second) = &mut self.second {
            return Ok(second.protect_rtcp(buffer, len)?);
        }
        let ssrc = buffer.get(4..8).and_then(|s| s.first_chunk::<4>()).ok_or(KeyExhausted)?;
        let ssrc = u32::from_be_bytes(*ssrc);
        let index = self.next_rtcp_index;
        if index > 0x7fff_ffff {
            return Err(KeyExhausted);
        }
        let total = self.rtcp.seal_rtcp(buffer, len, ssrc, index)?;
        self.next_rtcp_index = index + 1;
        Ok(total)
    }
}
