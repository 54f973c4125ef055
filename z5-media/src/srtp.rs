//! SRTP and SRTCP (RFC 3711): suites and keys.

use zeroize::Zeroizing;

/// A protection profile, by its name in RFC 4568 and RFC 7714.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SrtpSuite {
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 3711, RFC 4568 section 6.2.1).
    AesCm128HmacSha1_80,
}

impl SrtpSuite {
    /// The name used in an SDES `a=crypto` line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
        }
    }

    /// The suite of that SDES name, compared without regard to case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::AesCm128HmacSha1_80].into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
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
            Self::AesCm128HmacSha1_80 => 16,
        }
    }

    /// Bytes of the master salt.
    #[must_use]
    pub fn salt_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 => 14,
        }
    }
}

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

    /// The suite both directions use.
    #[must_use]
    pub fn suite(&self) -> SrtpSuite {
        self.suite
    }
}

impl std::fmt::Debug for SrtpParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpParams").field("suite", &self.suite).finish_non_exhaustive()
    }
}
