//! webrtc-srtp as a second backend, behind guards (feature `webrtc-srtp`; in tests it is the oracle).
//!
//! The crate may not face the network by itself: it takes SRTCP with a clear E bit without looking at the tag, panics on
//! short SRTCP and on over-long header extensions, and keeps state per SSRC before authentication. So nothing reaches it
//! here before length, E bit and extension were checked, and an SSRC nobody has proven gets a context of its own that is
//! forgotten when its packet is not authentic. It allocates per packet; the default backend does not.

use webrtc_srtp::context::Context;
use webrtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use webrtc_srtp::protection_profile::ProtectionProfile;
use zeroize::Zeroizing;

use super::cipher::{E_BIT, INDEX_WORD, RTCP_HEADER};
use super::receiver::MAX_SOURCES;
use super::{KeyError, SrtpSuite};
use crate::rtp;
use crate::stats::DropReason;

/// Packets its replay windows look back.
const WINDOW: usize = 128;

/// Contexts of one direction.
pub(super) struct Second {
    suite: SrtpSuite,
    key_and_salt: Zeroizing<Vec<u8>>,
    sending: Context,
    sources: Vec<(u32, Context)>,
}

/// Why the suite's RTCP tag may differ from its RTP tag: RFC 4568 section 6.2.2.
fn tags(suite: SrtpSuite) -> (usize, usize) {
    match suite {
        SrtpSuite::AesCm128HmacSha1_32 => (4, 10),
        SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::Aes256CmHmacSha1_80 => (10, 10),
        SrtpSuite::AeadAes128Gcm | SrtpSuite::AeadAes256Gcm => (16, 16),
    }
}

impl Second {
    /// Contexts for a suite it has; it has no `AES_256_CM`.
    pub(super) fn new(suite: SrtpSuite, key_and_salt: &[u8]) -> Result<Self, KeyError> {
        Ok(Self {
            suite,
            key_and_salt: Zeroizing::new(key_and_salt.to_vec()),
            sending: context(suite, key_and_salt)?,
            sources: Vec::new(),
        })
    }

    /// Sources proven so far.
    pub(super) fn sources(&self) -> usize {
        self.sources.len()
    }

    pub(super) fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, KeyError> {
        let sealed = self.sending.encrypt_rtp(buffer.get(..len).ok_or(KeyError)?).map_err(|_| KeyError)?;
        fit(buffer, &sealed).ok_or(KeyError)
    }

    pub(super) fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, KeyError> {
        let sealed = self.sending.encrypt_rtcp(buffer.get(..len).ok_or(KeyError)?).map_err(|_| KeyError)?;
        fit(buffer, &sealed).ok_or(KeyError)
    }

    pub(super) fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        let header = rtp::header_len(packet)?;
        check_extension(packet, header)?;
        if packet.len() < header + tags(self.suite).0 {
            return Err(DropReason::TooShort);
        }
        self.open(packet, rtp::ssrc(packet), Context::decrypt_rtp)
    }

    pub(super) fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        let tag = tags(self.suite).1;
        if packet.len() < RTCP_HEADER + INDEX_WORD + tag {
            return Err(DropReason::TooShort);
        }
        // The index word stands before the tag of counter mode and behind the tag of GCM.
        let end = match self.suite {
            SrtpSuite::AeadAes128Gcm | SrtpSuite::AeadAes256Gcm => packet.len(),
            SrtpSuite::AesCm128HmacSha1_80
            | SrtpSuite::AesCm128HmacSha1_32
            | SrtpSuite::Aes256CmHmacSha1_80 => packet.len() - tag,
        };
        let word =
            packet.get(..end).and_then(|p| p.last_chunk::<INDEX_WORD>()).ok_or(DropReason::TooShort)?;
        if u32::from_be_bytes(*word) & E_BIT == 0 {
            return Err(DropReason::NotEncrypted);
        }
        let ssrc = packet.get(4..8).and_then(|s| s.first_chunk::<4>()).ok_or(DropReason::TooShort)?;
        self.open(packet, u32::from_be_bytes(*ssrc), Context::decrypt_rtcp)
    }

    fn open<T: AsRef<[u8]>>(
        &mut self,
        packet: &mut [u8],
        ssrc: u32,
        decrypt: impl FnOnce(&mut Context, &[u8]) -> Result<T, webrtc_srtp::Error>,
    ) -> Result<usize, DropReason> {
        let reason = |error| {
            let replayed = matches!(
                error,
                webrtc_srtp::Error::SrtpSsrcDuplicated(..) | webrtc_srtp::Error::SrtcpSsrcDuplicated(..)
            );
            if replayed { DropReason::Replayed } else { DropReason::AuthenticationFailed }
        };
        if let Some((_, context)) = self.sources.iter_mut().find(|(known, _)| *known == ssrc) {
            let clear = decrypt(context, packet).map_err(reason)?;
            return fit(packet, clear.as_ref()).ok_or(DropReason::TooLong);
        }
        if self.sources.len() >= MAX_SOURCES {
            return Err(DropReason::SsrcLimit);
        }
        let mut fresh =
            context(self.suite, &self.key_and_salt).map_err(|_| DropReason::AuthenticationFailed)?;
        let clear = decrypt(&mut fresh, packet).map_err(reason)?;
        self.sources.push((ssrc, fresh));
        fit(packet, clear.as_ref()).ok_or(DropReason::TooLong)
    }
}

fn context(suite: SrtpSuite, key_and_salt: &[u8]) -> Result<Context, KeyError> {
    let profile = match suite {
        SrtpSuite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        SrtpSuite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        SrtpSuite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpSuite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        SrtpSuite::Aes256CmHmacSha1_80 => return Err(KeyError),
    };
    let (key, salt) = key_and_salt.split_at_checked(suite.key_len()).ok_or(KeyError)?;
    let windows = (Some(srtp_replay_protection(WINDOW)), Some(srtcp_replay_protection(WINDOW)));
    Context::new(key, salt, profile, windows.0, windows.1).map_err(|_| KeyError)
}

/// Copies `bytes` to the front of the buffer.
fn fit(buffer: &mut [u8], bytes: &[u8]) -> Option<usize> {
    buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(bytes.len())
}

/// Refuses an RFC 8285 extension with an element that runs past its end.
fn check_extension(packet: &[u8], header: usize) -> Result<(), DropReason> {
    let Some(first) = packet.first().filter(|first| **first & 0x10 != 0) else { return Ok(()) };
    let start = rtp::HEADER_LEN + 4 * usize::from(first & 0x0f);
    let extension = packet.get(start..header).ok_or(DropReason::BadHeader)?;
    let (head, mut rest) = extension.split_first_chunk::<4>().ok_or(DropReason::BadHeader)?;
    let two_byte = match u16::from_be_bytes([head[0], head[1]]) {
        0xbede => false,
        0x1000 => true,
        _ => return Ok(()),
    };
    while let Some((id, tail)) = rest.split_first() {
        let (len, tail) = match (two_byte, *id) {
            (_, 0) => (0, tail),
            (false, id) if id >> 4 == 15 => return Err(DropReason::BadHeader),
            (false, id) => (usize::from(id & 15) + 1, tail),
            (true, _) => {
                tail.split_first().map(|(len, t)| (usize::from(*len), t)).ok_or(DropReason::BadHeader)?
            }
        };
        rest = tail.get(len..).ok_or(DropReason::BadHeader)?;
    }
    Ok(())
}
