//! The key that records are sealed with: made once, in a file that only its owner can read, or given by the application (from the
//! keychain of its system, for example).

use std::fmt;

use zeroize::Zeroizing;

use crate::entropy;
use crate::error::StartError;

/// A key for AES-256-GCM. Shown by nothing, wiped on drop.
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; Self::LEN]>);

impl StoreKey {
    /// Its bytes.
    pub const LEN: usize = 32;

    /// One that the application keeps. Thirty-two bytes of a secure random source, not a password.
    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new one from the system's secure random source.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, StartError> {
        entropy::keys().map(Self)
    }

    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::new)
    }

    /// The bytes themselves, for whoever keeps them.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
