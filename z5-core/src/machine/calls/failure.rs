//! Why a call came to nothing: the user agent's exact reasons in the words of the session.

use z5_sip::sdp::{NegotiationFailure, RefusedWhy};
use z5_sip::ua::{self, CallFailure};

use crate::call::Side;
use crate::error::CallError;

/// How our own patience with a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It did not.
    Left,
    /// It rang, and nobody answered.
    Rang,
    /// Nothing was ever heard of it.
    NeverRang,
}

/// `waited_ms` since the first byte.
pub(super) fn call_error(failure: CallFailure, waited_ms: u64, patience: Patience) -> (Side, CallError) {
    let words = failure.to_string();
    let remote = |error| (Side::Remote, error);
    match failure {
        CallFailure::Busy { status } => remote(CallError::Busy { status, reason: "Busy".to_owned() }),
        CallFailure::Declined { status, reason } => remote(CallError::Declined { status, reason }),
        CallFailure::Unavailable { reason, .. } => remote(CallError::Unavailable { status: 480, reason }),
        CallFailure::NotFound { status, reason } => remote(CallError::NotFound { status, reason }),
        CallFailure::NoAnswer { .. } => remote(CallError::NoAnswer { after_ms: waited_ms }),
        CallFailure::Cancelled { by: ua::Side::Local, .. } if patience == Patience::Rang => {
            (Side::Local, CallError::NoAnswer { after_ms: waited_ms })
        }
        CallFailure::Cancelled { by: ua::Side::Local, .. } if patience == Patience::NeverRang => {
            let waiting_for = "it never rang".to_owned();
            (Side::Network, CallError::TimedOut { waiting_for, after_ms: waited_ms })
        }
        CallFailure::Cancelled { reason: Some(reason), .. } if reason.is_answered_elsewhere() => {
            remote(CallError::AnsweredElsewhere)
        }
        CallFailure::Cancelled { by, .. } => (side(by), CallError::Cancelled),
        CallFailure::Rejected { status } => {
            let reason = "turned down here".to_owned();
            (Side::Local, CallError::Declined { status, reason })
        }
        CallFailure::NotAcceptable { status, warning } => {
            let why = warning.unwrap_or_else(|| format!("the far end answered {status} to the offer"));
            remote(CallError::NoCommonCodec { why })
        }
        CallFailure::Negotiation(failure) => remote(negotiation(failure)),
        CallFailure::NoAnswerDescription => remote(CallError::BadSdp { why: words }),
        CallFailure::Moved { status, .. } => {
            remote(CallError::Refused { status, reason: words, warning: None })
        }
        CallFailure::NoUsableChallenge { .. } => {
            remote(CallError::CredentialsRefused { status: 407, reason: words })
        }
        CallFailure::CredentialsRefused { .. } => {
            remote(CallError::CredentialsRefused { status: 407, reason: words })
        }
        CallFailure::NoFlow | CallFailure::ConnectionLost => {
            (Side::Network, CallError::ConnectionLost { why: words })
        }
        CallFailure::TimedOut { timer } => {
            let waiting_for = match timer {
                "H" => "our answer was never acknowledged".to_owned(),
                timer => format!("timer {timer}"),
            };
            (Side::Network, CallError::TimedOut { waiting_for, after_ms: waited_ms })
        }
        CallFailure::Unbuildable { why } => {
            (Side::Local, CallError::BadTarget { target: String::new(), why })
        }
        CallFailure::Refused { status: 403, reason, .. } => {
            remote(CallError::Forbidden { status: 403, reason })
        }
        CallFailure::Refused { status, reason, warning, .. } => {
            remote(CallError::Refused { status, reason, warning })
        }
    }
}

pub(in crate::machine) const fn side(side: ua::Side) -> Side {
    match side {
        ua::Side::Local => Side::Local,
        ua::Side::Remote => Side::Remote,
        ua::Side::Network => Side::Network,
    }
}

fn negotiation(failure: NegotiationFailure) -> CallError {
    let why = failure.to_string();
    match failure {
        NegotiationFailure::Description(_) | NegotiationFailure::LinesDiffer { .. } => {
            CallError::BadSdp { why }
        }
        NegotiationFailure::NothingInCommon { refused } => {
            let crypto = |why: &RefusedWhy| {
                matches!(
                    why,
                    RefusedWhy::CryptoRequired { .. }
                        | RefusedWhy::CryptoNotConfigured
                        | RefusedWhy::CryptoMismatch
                )
            };
            if refused.iter().any(|media| crypto(&media.why)) {
                CallError::CryptoRefused { why }
            } else {
                CallError::NoCommonCodec { why }
            }
        }
    }
}
