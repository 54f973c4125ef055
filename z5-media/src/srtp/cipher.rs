//! The two packet transforms: AES counter mode with HMAC-SHA1 (RFC 3711 section 4) and AES-GCM (RFC 7714).
//!
//! Works on the packet in place and knows no sequence numbers beyond the index it is told.

use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::gcm::{self, GcmKey};
use super::kdf::{Label, aes_ctr, apply_ctr, derive};
use super::mac::{Mac, TAG};
use super::{KeyError, SrtpSuite};
use crate::prefetch::prefetch;
use crate::stats::DropReason;

/// Bytes of a GCM tag.
pub(super) const GCM_TAG: usize = gcm::TAG;
/// Fixed part of every RTCP packet that stays in the clear.
pub(super) const RTCP_HEADER: usize = 8;
/// E bit and SRTCP index.
pub(super) const INDEX_WORD: usize = 4;
/// The E bit of the index word: this packet is encrypted.
pub(super) const E_BIT: u32 = 0x8000_0000;

/// Session keys of one direction for RTP or for RTCP. They lie apart from the stream, which names them, and are asked for before
/// their packet's turn: so few lines of the stream itself are needed.
pub(super) enum Cipher {
    /// Counter mode and HMAC.
    Cm(Box<Counter>),
    /// AEAD.
    Gcm { key: GcmKey, salt: [u8; 12] },
}

/// Counter mode and HMAC, with the bytes of its tag.
pub(super) struct Counter {
    key: EncryptingKey,
    salt: [u8; 14],
    mac: Mac,
    tag: usize,
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
            | SrtpSuite::Aes256CmHmacSha1_80 => Ok(Self::Cm(Box::new(Counter {
                key: aes_ctr(key)?,
                salt: *derive::<14>(suite, key_and_salt, salt)?,
                mac: Mac::new(&derive::<20>(suite, key_and_salt, authentication)?[..])?,
                tag,
            }))),
            SrtpSuite::AeadAes128Gcm | SrtpSuite::AeadAes256Gcm => {
                Ok(Self::Gcm { key: GcmKey::new(key)?, salt: *derive::<12>(suite, key_and_salt, salt)? })
            }
        }
    }

    /// Asks for the keys.
    pub(super) fn prefetch(&self) {
        match self {
            Self::Gcm { key, .. } => key.prefetch(),
            Self::Cm(counter) => prefetch(&**counter, size_of::<Counter>()),
        }
    }

    /// Bytes the tag adds.
    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Cm(counter) => counter.tag,
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
            Self::Cm(counter) => {
                let Counter { key, salt, mac, tag } = &**counter;
                let body = packet.get_mut(header..len).ok_or(KeyError)?;
                apply_ctr(key, cm_iv(salt, ssrc, index), body)?;
                let full = rtp_tag(mac, packet.get(..len).ok_or(KeyError)?, index);
                let room = packet.get_mut(len..total).ok_or(KeyError)?;
                room.copy_from_slice(&full[..*tag]);
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
            Self::Cm(counter) => {
                let Counter { key, salt, mac, tag } = &**counter;
                let (body, seen) = packet.split_at_mut(len);
                let full = rtp_tag(mac, body, index);
                verify_slices_are_equal(&full[..*tag], seen).map_err(|_| DropReason::AuthenticationFailed)?;
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
            Self::Cm(counter) => {
                let Counter { key, salt, mac, tag } = &**counter;
                apply_ctr(key, cm_iv(salt, ssrc, u64::from(index)), &mut packet[RTCP_HEADER..len])?;
                packet[len..len + INDEX_WORD].copy_from_slice(&word);
                let full = mac.sign(&packet[..len + INDEX_WORD], &[]);
                packet[len + INDEX_WORD..total].copy_from_slice(&full[..*tag]);
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
            Self::Cm(counter) => {
                let Counter { key, salt, mac, tag } = &**counter;
                let (signed, seen) = packet.split_at_mut(len + INDEX_WORD);
                let full = mac.sign(signed, &[]);
                verify_slices_are_equal(&full[..*tag], seen).map_err(|_| DropReason::AuthenticationFailed)?;
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
            Self::Cm(counter) => packet.len().checked_sub(counter.tag),
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
fn rtp_tag(mac: &Mac, packet: &[u8], index: u64) -> [u8; TAG] {
    mac.sign(packet, &((index >> 16) as u32).to_be_bytes())
}

/// RFC 7714 section 8.1: salt XOR (00 00 || SSRC || ROC || SEQ).
fn gcm_rtp_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    gcm_nonce(salt, (u128::from(ssrc) << 48) | u128::from(index))
}

/// RFC 7714 section 9.1: salt XOR (00 00 || SSRC || 00 00 || index).
fn gcm_rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> [u8; 12] {
    gcm_nonce(salt, (u128::from(ssrc) << 48) | u128::from(index))
}

fn gcm_nonce(salt: &[u8; 12], value: u128) -> [u8; 12] {
    let mut nonce = *salt;
    for (byte, part) in nonce.iter_mut().zip(&value.to_be_bytes()[4..]) {
        *byte ^= part;
    }
    nonce
}

/// RFC 7714 section 9.2: header and index word are authenticated, not encrypted.
fn gcm_rtcp_aad(header: &[u8], word: [u8; 4]) -> [u8; RTCP_HEADER + INDEX_WORD] {
    let mut aad = [0_u8; RTCP_HEADER + INDEX_WORD];
    aad[..RTCP_HEADER].copy_from_slice(&header[..RTCP_HEADER]);
    aad[RTCP_HEADER..].copy_from_slice(&word);
    aad
}

/// Encrypts `rest[..len]` and writes the tag behind it.
fn seal_gcm(key: &GcmKey, nonce: [u8; 12], aad: &[u8], rest: &mut [u8], len: usize) -> Result<(), KeyError> {
    let (plain, room) = rest.split_at_mut_checked(len).ok_or(KeyError)?;
    key.seal(&nonce, aad, plain, room.first_chunk_mut().ok_or(KeyError)?)
}

/// Decrypts `sealed` (cipher text, then tag) in place.
fn open_gcm(key: &GcmKey, nonce: [u8; 12], aad: &[u8], sealed: &mut [u8]) -> Result<(), DropReason> {
    let (text, tag) = sealed.split_last_chunk_mut::<GCM_TAG>().ok_or(DropReason::TooShort)?;
    key.open(&nonce, aad, text, tag).map_err(|_| DropReason::AuthenticationFailed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::tests::hex;

    /// RFC 7714 gives session keys, not master keys.
    fn gcm(key: &str) -> Cipher {
        Cipher::Gcm { key: GcmKey::new(&hex(key)).unwrap(), salt: *b"Quid pro quo" }
    }

    const KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
    const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573";
    const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef";

    /// RFC 7714 sections 16.1 and 16.2: SRTP, both directions.
    #[test]
    fn rfc_7714_srtp_vectors() {
        for (key, sealed) in [
            (
                KEY_128,
                "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
            ),
            (
                KEY_256,
                "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
            ),
        ] {
            let (cipher, clear, sealed) = (gcm(key), hex(RTP), hex(sealed));
            let mut packet = clear.clone();
            packet.resize(clear.len() + GCM_TAG, 0);
            let len = cipher.seal_rtp(&mut packet, 12, clear.len(), 0x5501_a0b2, 0xf17b).unwrap();
            assert_eq!(packet[..len], sealed[..]);
            let len = cipher.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b).unwrap();
            assert_eq!(packet[..len], clear[..]);
        }
    }

    /// RFC 7714 sections 17.1 and 17.2: SRTCP encrypted and tagged, both directions; and 17.3, 17.4 (tagged only) refused
    /// by the E bit before the cipher sees them.
    #[test]
    fn rfc_7714_srtcp_vectors() {
        for (key, sealed) in [
            (
                KEY_128,
                "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
            ),
            (
                KEY_256,
                "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
            ),
        ] {
            let (cipher, clear, sealed) = (gcm(key), hex(RTCP), hex(sealed));
            let mut packet = clear.clone();
            packet.resize(clear.len() + GCM_TAG + INDEX_WORD, 0);
            let len = cipher.seal_rtcp(&mut packet, clear.len(), 0x4d61_7273, 0x5d4).unwrap();
            assert_eq!(packet[..len], sealed[..]);
            assert_eq!(cipher.rtcp_index_word(&packet).unwrap(), E_BIT | 0x5d4);
            let len = cipher.open_rtcp(&mut packet, 0x4d61_7273, 0x5d4).unwrap();
            assert_eq!(packet[..len], clear[..]);
        }
    }

    /// RFC 6188 section 7.1: the AES-256 counter mode key stream, first and around block 0xff00.
    #[test]
    fn rfc_6188_key_stream() {
        let key = aes_ctr(&hex("57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98")).unwrap();
        let salt: [u8; 14] = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd").try_into().unwrap();
        let mut stream = vec![0; 16 * 0xff02];
        apply_ctr(&key, cm_iv(&salt, 0, 0), &mut stream).unwrap();
        let block = |n: usize| stream[16 * n..16 * (n + 1)].to_vec();
        assert_eq!(block(0), hex("92bdd28a93c3f52511c677d08b5515a4"));
        assert_eq!(block(1), hex("9da71b2378a854f67050756ded165bac"));
        assert_eq!(block(2), hex("63c4868b7096d88421b563b8c94c9a31"));
        assert_eq!(block(0xfeff), hex("cea518c90fd91ced9cbb18c078a54711"));
        assert_eq!(block(0xff00), hex("3dbc4814f4da5f00a08772b63c6a046d"));
        assert_eq!(block(0xff01), hex("6eb246913062a16891433e97dd01a57f"));
    }
}
