//! The two packet transforms: AES counter mode with HMAC-SHA1 (RFC 3711 section 4) and AES-GCM (RFC 7714).
//!
//! Works on the packet in place and knows no sequence numbers beyond the index it is told.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::kdf::{Label, aes_ctr, apply_ctr, derive};
use super::{KeyError, SrtpSuite};
use crate::stats::DropReason;

/// Bytes of a GCM tag.
pub(super) const GCM_TAG: usize = 16;
/// Fixed part of every RTCP packet that stays in the clear.
pub(super) const RTCP_HEADER: usize = 8;
/// E bit and SRTCP index.
pub(super) const INDEX_WORD: usize = 4;
/// The E bit of the index word: this packet is encrypted.
pub(super) const E_BIT: u32 = 0x8000_0000;

/// Session keys of one direction for RTP or for RTCP.
#[expect(
    clippy::large_enum_variant,
    reason = "one per direction of a stream; a box would cost the hot path a miss"
)]
pub(super) enum Cipher {
    /// Counter mode and HMAC.
    Cm { key: EncryptingKey, salt: [u8; 14], mac: hmac::Key, tag: usize },
    /// AEAD.
    Gcm { key: LessSafeKey, salt: [u8; 12] },
}

impl Cipher {
    /// Keys for RTP packets.
    pub(super) fn rtp(suite: SrtpSuite, key_and_salt: &[u8]) -> Result<Self, KeyError> {
        let tag = if suite == SrtpSuite::AesCm128HmacSha1_32 { 4 } else { 10 };
        let labels = [Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt];
        Self::derive(suite, key_and_salt, labels, tag)
    }

    /// Keys for RTCP packets; their HMAC tag always has 80 bits (RFC 4568 section 6.2.2).
    pub(super) fn rtcp(suite: SrtpSuite, key_and_salt: &[u8]) -> Result<Self, KeyError> {
        let labels = [Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt];
        Self::derive(suite, key_and_salt, labels, 10)
    }

    fn derive(
        suite: SrtpSuite,
        key_and_salt: &[u8],
        [encryption, authentication, salt]: [Label; 3],
        tag: usize,
    ) -> Result<Self, KeyError> {
        let key = derive::<32>(suite, key_and_salt, encryption)?;
        let key = key.get(..suite.key_len()).ok_or(KeyError)?;
        match suite {
            SrtpSuite::AesCm128HmacSha1_80
            | SrtpSuite::AesCm128HmacSha1_32
            | SrtpSuite::Aes256CmHmacSha1_80 => Ok(Self::Cm {
                key: aes_ctr(key)?,
                salt: *derive::<14>(suite, key_and_salt, salt)?,
                mac: hmac::Key::new(
                    hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                    &derive::<20>(suite, key_and_salt, authentication)?[..],
                ),
                tag,
            }),
            SrtpSuite::AeadAes128Gcm | SrtpSuite::AeadAes256Gcm => {
                let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
                Ok(Self::Gcm {
                    key: LessSafeKey::new(UnboundKey::new(algorithm, key).map_err(|_| KeyError)?),
                    salt: *derive::<12>(suite, key_and_salt, salt)?,
                })
            }
        }
    }

    /// Bytes the tag adds.
    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Cm { tag, .. } => *tag,
            Self::Gcm { .. } => GCM_TAG,
        }
    }

    /// Protects the RTP packet `packet[..len]` with its 48-bit `index`; `packet` has room for the tag behind it.
    /// Returns the new length.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, KeyError> {
        let total = len + self.tag_len();
        match self {
            Self::Cm { key, salt, mac, tag } => {
                let body = packet.get_mut(header..len).ok_or(KeyError)?;
                apply_ctr(key, cm_iv(salt, ssrc, index), body)?;
                let full = rtp_tag(mac, packet.get(..len).ok_or(KeyError)?, index);
                let room = packet.get_mut(len..total).ok_or(KeyError)?;
                room.copy_from_slice(&full.as_ref()[..*tag]);
            }
            Self::Gcm { key, salt } => {
                let (aad, rest) = packet.split_at_mut_checked(header).ok_or(KeyError)?;
                seal_gcm(key, gcm_rtp_nonce(salt, ssrc, index), aad, rest, len - header)?;
            }
        }
        Ok(total)
    }

    /// Verifies and decrypts an SRTP packet in place. Returns its length without the tag.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, DropReason> {
        let len = packet.len().checked_sub(self.tag_len()).ok_or(DropReason::TooShort)?;
        if len < header {
            return Err(DropReason::TooShort);
        }
        match self {
            Self::Cm { key, salt, mac, tag } => {
                let (body, seen) = packet.split_at_mut(len);
                let full = rtp_tag(mac, body, index);
                verify_slices_are_equal(&full.as_ref()[..*tag], seen)
                    .map_err(|_| DropReason::AuthenticationFailed)?;
                apply_ctr(key, cm_iv(salt, ssrc, index), &mut body[header..])
                    .map_err(|_| DropReason::AuthenticationFailed)?;
            }
            Self::Gcm { key, salt } => {
                let (aad, rest) = packet.split_at_mut(header);
                open_gcm(key, gcm_rtp_nonce(salt, ssrc, index), aad, rest)?;
            }
        }
        Ok(len)
    }

    /// Protects the compound RTCP packet `packet[..len]` with its 31-bit `index`. Returns the new length.
    pub(super) fn seal_rtcp(
        &self,
        packet: &mut [u8],
        len: usize,
        ssrc: u32,
        index: u32,
    ) -> Result<usize, KeyError> {
        let word = (index | E_BIT).to_be_bytes();
        let total = len + self.tag_len() + INDEX_WORD;
        if len < RTCP_HEADER || packet.len() < total {
            return Err(KeyError);
        }
        match self {
            Self::Cm { key, salt, mac, tag } => {
                apply_ctr(key, cm_iv(salt, ssrc, u64::from(index)), &mut packet[RTCP_HEADER..len])?;
                packet[len..len + INDEX_WORD].copy_from_slice(&word);
                let full = hmac::sign(mac, &packet[..len + INDEX_WORD]);
                packet[len + INDEX_WORD..total].copy_from_slice(&full.as_ref()[..*tag]);
            }
            Self::Gcm { key, salt } => {
                let (header, rest) = packet.split_at_mut(RTCP_HEADER);
                let aad = gcm_rtcp_aad(header, word);
                seal_gcm(key, gcm_rtcp_nonce(salt, ssrc, index), &aad, rest, len - RTCP_HEADER)?;
                packet[len + GCM_TAG..total].copy_from_slice(&word);
            }
        }
        Ok(total)
    }

    /// Verifies and decrypts an SRTCP packet in place, its index word already read. Returns the RTCP length.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) -> Result<usize, DropReason> {
        let overhead = self.tag_len() + INDEX_WORD;
        let len = packet.len().checked_sub(overhead).ok_or(DropReason::TooShort)?;
        if len < RTCP_HEADER {
            return Err(DropReason::TooShort);
        }
        match self {
            Self::Cm { key, salt, mac, tag } => {
                let (signed, seen) = packet.split_at_mut(len + INDEX_WORD);
                let full = hmac::sign(mac, signed);
                verify_slices_are_equal(&full.as_ref()[..*tag], seen)
                    .map_err(|_| DropReason::AuthenticationFailed)?;
                apply_ctr(key, cm_iv(salt, ssrc, u64::from(index)), &mut signed[RTCP_HEADER..len])
                    .map_err(|_| DropReason::AuthenticationFailed)?;
            }
            Self::Gcm { key, salt } => {
                let (sealed, word) = packet.split_at_mut(len + GCM_TAG);
                let (header, rest) = sealed.split_at_mut(RTCP_HEADER);
                let word = word.first_chunk::<4>().copied().ok_or(DropReason::TooShort)?;
                let aad = gcm_rtcp_aad(header, word);
                open_gcm(key, gcm_rtcp_nonce(salt, ssrc, index), &aad, rest)?;
            }
        }
        Ok(len)
    }

    /// Reads E bit and index of an SRTCP packet: before the HMAC tag, or at the very end with GCM.
    pub(super) fn rtcp_index_word(&self, packet: &[u8]) -> Result<u32, DropReason> {
        let end = match self {
            Self::Cm { tag, .. } => packet.len().checked_sub(*tag),
            Self::Gcm { .. } => Some(packet.len()),
        };
        let word = end
            .and_then(|end| packet.get(end.checked_sub(INDEX_WORD)?..end))
            .and_then(|word| word.first_chunk::<4>())
            .ok_or(DropReason::TooShort)?;
        Ok(u32::from_be_bytes(*word))
    }
}

/// RFC 3711 section 4.1.1: IV = (salt * 2^16) XOR (SSRC * 2^64) XOR (index * 2^16).
fn cm_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut wide = [0_u8; 16];
    wide[..14].copy_from_slice(salt);
    let iv = u128::from_be_bytes(wide) ^ (u128::from(ssrc) << 64) ^ (u128::from(index) << 16);
    iv.to_be_bytes()
}

/// RFC 3711 section 4.2: the tag covers the packet and the roll-over counter.
fn rtp_tag(mac: &hmac::Key, packet: &[u8], index: u64) -> hmac::Tag {
    let mut context = hmac::Context::with_key(mac);
    context.update(packet);
    context.update(&((index >> 16) as u32).to_be_bytes());
    context.sign()
}

/// RFC 7714 section 8.1: salt XOR (00 00 || SSRC || ROC || SEQ).
fn gcm_rtp_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    gcm_nonce(salt, (u128::from(ssrc) << 48) | u128::from(index))
}

/// RFC 7714 section 9.1: salt XOR (00 00 || SSRC || 00 00 || index).
fn gcm_rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> Nonce {
    gcm_nonce(salt, (u128::from(ssrc) << 48) | u128::from(index))
}

fn gcm_nonce(salt: &[u8; 12], value: u128) -> Nonce {
    let mut nonce = *salt;
    for (byte, part) in nonce.iter_mut().zip(&value.to_be_bytes()[4..]) {
        *byte ^= part;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 section 9.2: header and index word are authenticated, not encrypted.
fn gcm_rtcp_aad(header: &[u8], word: [u8; 4]) -> [u8; RTCP_HEADER + INDEX_WORD] {
    let mut aad = [0_u8; RTCP_HEADER + INDEX_WORD];
    aad[..RTCP_HEADER].copy_from_slice(&header[..RTCP_HEADER]);
    aad[RTCP_HEADER..].copy_from_slice(&word);
    aad
}

/// Encrypts `rest[..len]` and writes the tag behind it.
fn seal_gcm(
    key: &LessSafeKey,
    nonce: Nonce,
    aad: &[u8],
    rest: &mut [u8],
    len: usize,
) -> Result<(), KeyError> {
    let (plain, room) = rest.split_at_mut_checked(len).ok_or(KeyError)?;
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), plain).map_err(|_| KeyError)?;
    room.get_mut(..GCM_TAG).ok_or(KeyError)?.copy_from_slice(tag.as_ref());
    Ok(())
}

/// Decrypts `sealed` (cipher text, then tag) in place.
fn open_gcm(key: &LessSafeKey, nonce: Nonce, aad: &[u8], sealed: &mut [u8]) -> Result<(), DropReason> {
    key.open_in_place(nonce, Aad::from(aad), sealed).map(|_| ()).map_err(|_| DropReason::AuthenticationFailed)
}
