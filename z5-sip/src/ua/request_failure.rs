//! Why a request outside calls came to nothing: MESSAGE, OPTIONS, SUBSCRIBE and the fetch of bindings.

use std::time::Duration;

use super::failure::warning_text;
use super::transactions::StartError;
use crate::auth::AuthFailure;
use crate::wire::{Message, Name};

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    /// There is no flow to send it on.
    #[error("there is no connection to send it on")]
    NoFlow,
    /// The flow went away before the answer.
    #[error("the connection was lost before the answer")]
    ConnectionLost,
    /// No answer.
    #[error("no answer (timer {timer})")]
    TimedOut {
        /// RFC 3261's name of the timer: `F`.
        timer: &'static str,
    },
    /// None of the challenges can be answered.
    #[error("no challenge that can be answered, offered: {}", .offered.join(", "))]
    NoUsableChallenge {
        /// Scheme, algorithm and realm of each.
        offered: Vec<String>,
    },
    /// Credentials were refused twice.
    #[error("the credentials for {realm:?} were refused")]
    CredentialsRefused {
        /// The realm that refused.
        realm: String,
    },
    /// A final status that is no success.
    #[error("refused: {status} {reason}{}", .warning.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// 300 to 699.
        status: u16,
        /// The phrase.
        reason: String,
        /// The text of a `Warning`.
        warning: Option<String>,
        /// How long to wait before trying again, if it said.
        retry_after: Option<Duration>,
    },
    /// A 2xx that says something impossible.
    #[error("the answer cannot be used: {why}")]
    BadReply {
        /// What is wrong.
        why: &'static str,
    },
    /// A MESSAGE outside a call above 1300 bytes on UDP (RFC 3428 section 8).
    #[error("a message of {bytes} bytes is too large to be sent outside a call")]
    TooLarge {
        /// The bytes of the whole request.
        bytes: usize,
    },
    /// The call it belongs to is not there, or has no dialog yet.
    #[error("there is no such call")]
    NoCall,
    /// Neither a call nor a target was given.
    #[error("there is neither a call nor a target")]
    NoTarget,
    /// A value cannot be put into a message.
    #[error("the request cannot be built: {why}")]
    Unbuildable {
        /// What the builder said.
        why: String,
    },
}

impl RequestFailure {
    /// What a final refusal other than a challenge means.
    #[must_use]
    pub(crate) fn from_response(response: &Message) -> Self {
        Self::Refused {
            status: response.status().unwrap_or_default(),
            reason: response.reason().unwrap_or_default().into_owned(),
            warning: response.text(Name::Warning).map(|text| warning_text(&text)),
            retry_after: retry_after(response),
        }
    }

    /// What a challenge that cannot be answered means. An empty list of offers stands for no challenge at all.
    pub(crate) fn from_challenge(failure: AuthFailure) -> Self {
        match failure {
            AuthFailure::NoChallenge => Self::NoUsableChallenge { offered: Vec::new() },
            AuthFailure::NoUsableChallenge { offered } => Self::NoUsableChallenge { offered },
            AuthFailure::NoCredentials { realms } => Self::NoUsableChallenge { offered: realms },
            AuthFailure::Rejected { realm } => Self::CredentialsRefused { realm },
        }
    }

    /// How long to wait before trying again, if the far end said.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::NoFlow
            | Self::ConnectionLost
            | Self::TimedOut { .. }
            | Self::NoUsableChallenge { .. }
            | Self::CredentialsRefused { .. }
            | Self::BadReply { .. }
            | Self::TooLarge { .. }
            | Self::NoCall
            | Self::NoTarget
            | Self::Unbuildable { .. } => None,
        }
    }

    /// Whether the same request would fail again, however long one waits.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::NoFlow | Self::ConnectionLost | Self::TimedOut { .. } => false,
            Self::Refused { status, .. } => !matches!(status, 408 | 480 | 481 | 486 | 491 | 500 | 502..=504),
            Self::NoUsableChallenge { .. }
            | Self::CredentialsRefused { .. }
            | Self::BadReply { .. }
            | Self::TooLarge { .. }
            | Self::NoCall
            | Self::NoTarget
            | Self::Unbuildable { .. } => true,
        }
    }
}

/// The seconds of Retry-After.
pub(super) fn retry_after(response: &Message) -> Option<Duration> {
    response.retry_after().ok().flatten().map(|seconds| Duration::from_secs(seconds.into()))
}

impl From<StartError> for RequestFailure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::NoFlow => Self::NoFlow,
            StartError::Build(why) => Self::Unbuildable { why: why.to_string() },
            StartError::TooLarge { bytes } => Self::TooLarge { bytes },
        }
    }
}
