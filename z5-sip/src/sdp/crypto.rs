//! Keys in the session description (RFC 4568, "SDES"): the `a=crypto` attribute.
//!
//! Session parameters that change the protection (UNENCRYPTED_SRTP and the like), several keys per line and MKI are
//! refused, not ignored: ignoring them would protect less than was said, or read every packet wrong. A lifetime is read and
//! must be one that the suite allows; it is not enforced, as z5's calls end long before 2^48 packets.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

/// A crypto suite that z5 can carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CryptoSuite {
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 4568 section 6.2.1).
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32` (RFC 4568 section 6.2.2).
    AesCm128HmacSha1_32,
    /// `AES_256_CM_HMAC_SHA1_80` (RFC 6188).
    Aes256CmHmacSha1_80,
    /// `AEAD_AES_128_GCM` (RFC 7714).
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM` (RFC 7714).
    AeadAes256Gcm,
}

impl CryptoSuite {
    /// Every suite.
    pub const ALL: [Self; 5] = [
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::Aes256CmHmacSha1_80,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// The name in the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::Aes256CmHmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Reads the name in the attribute; suites are case-sensitive tokens in the registry, so is this.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.as_str() == token)
    }

    /// Bytes of master key and master salt together.
    #[must_use]
    pub fn key_and_salt_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 30,
            Self::Aes256CmHmacSha1_80 => 46,
            Self::AeadAes128Gcm => 28,
            Self::AeadAes256Gcm => 44,
        }
    }
}

/// One `a=crypto` line: a master key with its salt, and the suite it is for. Its bytes are wiped on drop and never
/// shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SdesKey {
    tag: u32,
    suite: CryptoSuite,
    key_and_salt: Zeroizing<Vec<u8>>,
}

impl SdesKey {
    /// A key for `suite`, offered under `tag`. `key_and_salt` comes from the system's secure source and has
    /// [`CryptoSuite::key_and_salt_len`] bytes.
    ///
    /// # Errors
    /// [`CryptoError::KeyLength`] when it has not.
    pub fn new(tag: u32, suite: CryptoSuite, key_and_salt: &[u8]) -> Result<Self, CryptoError> {
        if key_and_salt.len() != suite.key_and_salt_len() {
            return Err(CryptoError::KeyLength {
                expected: suite.key_and_salt_len(),
                found: key_and_salt.len(),
            });
        }
        Ok(Self { tag, suite, key_and_salt: Zeroizing::new(key_and_salt.to_vec()) })
    }

    /// The tag that ties an answer to an offer.
    #[must_use]
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// The suite.
    #[must_use]
    pub fn suite(&self) -> CryptoSuite {
        self.suite
    }

    /// The secret itself: master key, then master salt.
    #[must_use]
    pub fn key_and_salt(&self) -> &[u8] {
        &self.key_and_salt
    }

    /// The same secret under another tag: an answer repeats the tag it chose (RFC 4568 section 5.1.2).
    #[must_use]
    pub fn with_tag(&self, tag: u32) -> Self {
        Self { tag, ..self.clone() }
    }

    /// The value of the attribute.
    pub(crate) fn to_attribute(&self) -> String {
        let key = Zeroizing::new(STANDARD.encode(self.key_and_salt.as_slice()));
        format!("{} {} inline:{}", self.tag, self.suite.as_str(), key.as_str())
    }

    /// Reads the value of an attribute: `tag suite inline:key[|lifetime] [session-parameters]`.
    ///
    /// # Errors
    /// What of it cannot be honoured; the tag is kept where it could be read.
    pub(crate) fn parse(value: &str) -> Result<Self, CryptoError> {
        let mut words = value.split_ascii_whitespace();
        // one to nine digits (RFC 4568 section 9.1)
        let tag = words.next().filter(|word| word.len() <= 9 && word.bytes().all(|b| b.is_ascii_digit()));
        let tag = tag.and_then(|word| word.parse::<u32>().ok()).ok_or(CryptoError::Tag)?;
        let token = words.next().ok_or(CryptoError::Suite { name: String::new() })?;
        let suite =
            CryptoSuite::from_token(token).ok_or_else(|| CryptoError::Suite { name: token.to_owned() })?;
        let parameters =
            words.next().and_then(|word| word.strip_prefix("inline:")).ok_or(CryptoError::Method)?;
        if let Some(parameter) = words.find(|word| !is_harmless(word)) {
            // Only the name: a value might be part of a secret.
            let name = parameter.split(['=', ':']).next().unwrap_or_default();
            return Err(CryptoError::SessionParameter { name: name.to_owned() });
        }
        if parameters.contains(';') {
            return Err(CryptoError::SeveralKeys);
        }
        let mut parts = parameters.split('|');
        let encoded = parts.next().unwrap_or_default();
        for (position, part) in parts.enumerate() {
            match lifetime(part) {
                _ if part.contains(':') => return Err(CryptoError::KeyIdentifier),
                // SRTP's longest, for every suite here (RFC 4568 section 6.1, RFC 7714 section 14.1)
                Some(packets) if position == 0 && (1..=1 << 48).contains(&packets) => {}
                Some(_) | None => return Err(CryptoError::Lifetime),
            }
        }
        let key = STANDARD
            .decode(encoded)
            .or_else(|_| STANDARD_NO_PAD.decode(encoded))
            .map(Zeroizing::new)
            .map_err(|_| CryptoError::Encoding)?;
        Self::new(tag, suite, &key)
    }
}

/// `2^20` or a plain number of packets.
fn lifetime(text: &str) -> Option<u64> {
    match text.strip_prefix("2^") {
        Some(power) => power.parse::<u32>().ok().and_then(|power| 2_u64.checked_pow(power)),
        None => text.parse().ok(),
    }
}

/// A window size hint changes nothing for the peer (RFC 4568 section 6.3.7); every other parameter does.
fn is_harmless(parameter: &str) -> bool {
    parameter.starts_with("WSH=")
}

impl fmt::Debug for SdesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SdesKey")
            .field("tag", &self.tag)
            .field("suite", &self.suite)
            .field("key_and_salt", &"[redacted]")
            .finish()
    }
}

/// Why an `a=crypto` line, or key material, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The tag is missing or not a number.
    #[error("the tag is missing or not a number")]
    Tag,
    /// The suite is not one that z5 can carry out.
    #[error("the suite {name:?} is not supported")]
    Suite {
        /// The suite's name.
        name: String,
    },
    /// The key method is missing or not `inline`.
    #[error("the key method is not inline")]
    Method,
    /// The key is not base64.
    #[error("the key is not base64")]
    Encoding,
    /// The key has the wrong length for its suite.
    #[error("the key has {found} bytes where the suite needs {expected}")]
    KeyLength {
        /// What the suite needs.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// Several keys in one line.
    #[error("several keys in one line are not supported")]
    SeveralKeys,
    /// A lifetime that is no number of packets, or more than SRTP allows.
    #[error("the lifetime is no number of packets up to 2^48")]
    Lifetime,
    /// A suite that z5 can carry out and that is not switched on here.
    #[error("the suite {} is not switched on here", .suite.as_str())]
    NotEnabled {
        /// The suite.
        suite: CryptoSuite,
    },
    /// A master key identifier.
    #[error("a master key identifier is not supported")]
    KeyIdentifier,
    /// A session parameter that changes the protection.
    #[error("the session parameter {name} is not supported")]
    SessionParameter {
        /// The parameter's name.
        name: String,
    },
}
