//! Before step 1: the session could not even begin.

use std::path::PathBuf;

use super::{Advice, Failure};
use crate::config::ConfigError;

/// Why a session could not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The authorities cannot be used.
    #[error("`{}`: {why}", path.as_ref().map_or_else(|| "tls.ca_pem".to_owned(), |path| format!("tls.ca_file` `{}", path.display())))]
    CaFile {
        /// The file; none when they stand in the configuration.
        path: Option<PathBuf>,
        /// Why.
        why: String,
    },
    /// A pinned key cannot be used.
    #[error("the licence key `{kid}` cannot be used: {why}")]
    LicenceKey {
        /// Which.
        kid: String,
        /// Why.
        why: String,
    },
    /// The system's secure random source failed.
    #[error("the system gives no secure random bytes: {why}")]
    Entropy {
        /// The system's words.
        why: String,
    },
    /// The system gives no thread, timer or socket.
    #[error("the system gives z5 no {what}: {why}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// The system's words.
        why: String,
    },
    /// A setting has no place in simulated time.
    #[error("`{setting}` has no place in simulated time: a disk takes its own")]
    Simulated {
        /// Which.
        setting: &'static str,
    },
}

impl StartError {
    /// The codes that are not the configuration's.
    pub const OWN_CODES: &'static [&'static str] =
        &["start.ca-file", "start.licence-key", "start.entropy", "start.system", "start.simulated"];

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::CaFile { .. } => "start.ca-file",
            Self::LicenceKey { .. } => "start.licence-key",
            Self::Entropy { .. } => "start.entropy",
            Self::System { .. } => "start.system",
            Self::Simulated { .. } => "start.simulated",
        }
    }

    /// What the user can do.
    pub const fn advice(&self) -> Advice {
        match self {
            Self::Config(_) | Self::CaFile { .. } | Self::LicenceKey { .. } | Self::Simulated { .. } => {
                Advice::CheckSettings
            }
            Self::Entropy { .. } | Self::System { .. } => Advice::RetryAfter,
        }
    }

    /// As a plain record.
    pub fn failure(&self) -> Failure {
        Failure::outside_steps(self.code(), self.to_string(), self.advice())
    }
}
