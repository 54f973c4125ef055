//! SRTP and SRTCP in place (RFC 3711, RFC 6188, RFC 7714): suites and keys.
//!
//! - [`Sender`] protects what leaves, [`Receiver`] opens what arrives; both work inside the caller's buffer.
//! - Nothing is believed before its tag fits: no state is made for a packet that does not authenticate.
//! - Only encrypted SRTCP is accepted (E bit set). No MKI, no key derivation rate, no re-keying.

mod cipher;
mod gcm;
mod kdf;
mod mac;
mod receiver;
mod replay;
#[cfg(any(test, feature = "webrtc-srtp"))]
mod second;
mod sender;

pub use receiver::Receiver;
pub(crate) use replay::ReplayWindow;
pub use sender::{KeyExhausted, Sender};

use zeroize::Zeroizing;

/// A protection profile, by its name in RFC 4568, RFC 6188 and RFC 7714.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SrtpSuite {
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 4568 section 6.2.1).
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32` (RFC 4568 section 6.2.2): 32-bit tags on RTP, 80-bit tags on RTCP.
    AesCm128HmacSha1_32,
    /// `AES_256_CM_HMAC_SHA1_80` (RFC 6188).
    Aes256CmHmacSha1_80,
    /// `AEAD_AES_128_GCM` (RFC 7714).
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM` (RFC 7714).
    AeadAes256Gcm,
}

impl SrtpSuite {
    /// Every suite, the strongest first: the longer keys before the shorter, GCM (which also costs least) before CM, the
    /// 32-bit tag last.
    pub const ALL: [Self; 5] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes256CmHmacSha1_80,
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
    ];

    /// The name used in an SDES `a=crypto` line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::Aes256CmHmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of that SDES name, compared without regard to case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of master key and master salt together, as SDES carries them (base64 decoded).
    #[must_use]
    pub fn key_and_salt_len(self) -> usize {
        self.key_len() + self.salt_len()
    }

    /// Bytes of the master key.
    #[must_use]
    pub fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::Aes256CmHmacSha1_80 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of the master salt.
    #[must_use]
    pub fn salt_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::Aes256CmHmacSha1_80 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// Most bytes protection adds to a packet (SRTCP: tag and index word).
    pub const MAX_OVERHEAD: usize = 20;
}

/// Keys the cryptographic library refused. It does not say why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SRTP keys cannot be used")]
pub struct KeyError;

/// Key material of the wrong size for its suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{suite} wants {wanted} bytes of key and salt, got {seen}")]
pub struct KeyLengthError {
    /// The suite's name.
    pub suite: &'static str,
    /// Bytes it wants.
    pub wanted: usize,
    /// Bytes given.
    pub seen: usize,
}

/// What SDES (or later DTLS) agreed for one stream. The keys are wiped on drop and never printed.
#[derive(Clone)]
pub struct SrtpParams {
    suite: SrtpSuite,
    local: Zeroizing<Vec<u8>>,
    remote: Zeroizing<Vec<u8>>,
}

impl SrtpParams {
    /// `local` protects what is sent, `remote` opens what is received; each is master key then master salt.
    ///
    /// # Errors
    /// When a key has another length than the suite's.
    pub fn new(suite: SrtpSuite, local: &[u8], remote: &[u8]) -> Result<Self, KeyLengthError> {
        let wanted = suite.key_and_salt_len();
        for key in [local, remote] {
            if key.len() != wanted {
                return Err(KeyLengthError { suite: suite.name(), wanted, seen: key.len() });
            }
        }
        Ok(Self { suite, local: Zeroizing::new(local.to_vec()), remote: Zeroizing::new(remote.to_vec()) })
    }

    /// Of what a DTLS handshake exports for SRTP (RFC 5764 section 4.2): the keys of client and server, then their salts. The
    /// handshake itself is not here.
    ///
    /// # Errors
    /// When there is not exactly as much as the suite wants for both sides.
    pub fn from_exporter(suite: SrtpSuite, exported: &[u8], client: bool) -> Result<Self, KeyLengthError> {
        let (key, salt) = (suite.key_len(), suite.salt_len());
        let wanted = 2 * suite.key_and_salt_len();
        if exported.len() != wanted {
            return Err(KeyLengthError { suite: suite.name(), wanted, seen: exported.len() });
        }
        let (keys, salts) = exported.split_at(2 * key);
        let side = |n: usize| {
            let parts = [&keys[n * key..][..key], &salts[n * salt..][..salt]];
            Zeroizing::new(parts.concat())
        };
        let (local, remote) = if client { (side(0), side(1)) } else { (side(1), side(0)) };
        Ok(Self { suite, local, remote })
    }

    /// The suite both directions use.
    #[must_use]
    pub fn suite(&self) -> SrtpSuite {
        self.suite
    }

    /// The protecting and the opening half.
    ///
    /// # Errors
    /// When the cryptographic library refuses the keys.
    pub fn contexts(&self) -> Result<(Sender, Receiver), KeyError> {
        Ok((Sender::new(self.suite, &self.local)?, Receiver::new(self.suite, &self.remote)?))
    }

    /// The same by webrtc-srtp behind guards, for comparison in the field. It allocates per packet.
    ///
    /// # Errors
    /// When it refuses the keys or has no such suite (`AES_256_CM`).
    #[cfg(any(test, feature = "webrtc-srtp"))]
    pub fn second_contexts(&self) -> Result<(Sender, Receiver), KeyError> {
        Ok((Sender::second(self.suite, &self.local)?, Receiver::second(self.suite, &self.remote)?))
    }
}

impl std::fmt::Debug for SrtpParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpParams").field("suite", &self.suite).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
