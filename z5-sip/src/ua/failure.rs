//! Why a registration or a call came to nothing, exactly.

use std::time::Duration;

use super::request_failure::retry_after;
use super::types::{Reason, Side};
use crate::auth::AuthFailure;
use crate::sdp::NegotiationFailure;
use crate::wire::{Message, Name, Uri};

/// Why a registration failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RegisterFailure {
    /// There is no flow to register on.
    #[error("there is no connection to register on")]
    NoFlow,
    /// The flow went away before the answer.
    #[error("the connection was lost before the registrar answered")]
    ConnectionLost,
    /// No answer.
    #[error("no answer from the registrar (timer {timer})")]
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
    /// The registrar refused the credentials on a fresh nonce.
    #[error("the credentials for {realm:?} were refused")]
    CredentialsRefused {
        /// The realm that refused.
        realm: String,
        /// How many registrations in a row it refused: after the first, fetch fresh credentials and give them with
        /// [`super::Command::Credentials`]; after the second, stop and tell the user (RFC 9248 section 5.1).
        times: u32,
    },
    /// 403: the account may not register.
    #[error("forbidden: {reason}")]
    Forbidden {
        /// The phrase.
        reason: String,
    },
    /// 404: the registrar does not know the address of record.
    #[error("the registrar does not know the account: {reason}")]
    UnknownAccount {
        /// The phrase.
        reason: String,
    },
    /// 429, 480, 500, 503 or 600 with or without Retry-After; another refusal with it.
    #[error("the registrar is not available now ({status} {reason})")]
    Unavailable {
        /// The status.
        status: u16,
        /// The phrase.
        reason: String,
        /// How long to wait, if it said.
        retry_after: Option<Duration>,
    },
    /// 423 again and again, or one that makes no sense.
    #[error("the registrar asks for an impossible lifetime (Min-Expires {min_expires} s)")]
    IntervalTooBrief {
        /// What it asked for last, in seconds.
        min_expires: u32,
    },
    /// 200 without our binding or without a lifetime.
    #[error("the registrar's answer cannot be used: {why}")]
    BadReply {
        /// What is wrong.
        why: &'static str,
    },
    /// 3xx.
    #[error("the registrar points elsewhere ({status}): {}", .targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Redirected {
        /// The status.
        status: u16,
        /// Where to.
        targets: Vec<Uri>,
    },
    /// Any other status.
    #[error("the registrar refused: {status} {reason}")]
    Refused {
        /// The status.
        status: u16,
        /// The phrase.
        reason: String,
        /// The text of a `Warning`.
        warning: Option<String>,
    },
    /// A value of the configuration cannot be put into a message.
    #[error("the request cannot be built: {why}")]
    Unbuildable {
        /// What the builder said.
        why: String,
    },
}

/// Why a call that never stood is over.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallFailure {
    /// 486 or 600.
    #[error("busy")]
    Busy {
        /// The status.
        status: u16,
    },
    /// 603, 607 or 608.
    #[error("declined ({status} {reason})")]
    Declined {
        /// The status.
        status: u16,
        /// The phrase.
        reason: String,
    },
    /// 480.
    #[error("not available now ({reason})")]
    Unavailable {
        /// The phrase.
        reason: String,
        /// When to try again, if it said.
        retry_after: Option<Duration>,
    },
    /// 404, 410, 484, 485 or 604.
    #[error("no such number or address ({status} {reason})")]
    NotFound {
        /// The status.
        status: u16,
        /// The phrase.
        reason: String,
    },
    /// 408, or a 487 that we did not ask for: it rang and nobody came.
    #[error("no answer ({status})")]
    NoAnswer {
        /// The status.
        status: u16,
    },
    /// Someone took the call back before it was answered: we (`Local`), or the caller of an incoming call (`Remote`).
    #[error("cancelled")]
    Cancelled {
        /// Who.
        by: Side,
        /// What the `Reason` header of the CANCEL said.
        reason: Option<Reason>,
    },
    /// We turned the incoming call down, or nobody answered it in time.
    #[error("turned down with {status}")]
    Rejected {
        /// What we answered.
        status: u16,
    },
    /// 488 or 606: the far end cannot do what we offered.
    #[error("the far end cannot do what was offered ({status}){}", .warning.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    NotAcceptable {
        /// The status.
        status: u16,
        /// The text of the `Warning`.
        warning: Option<String>,
    },
    /// The far end's description and ours have nothing in common, or it cannot be read.
    #[error(transparent)]
    Negotiation(#[from] NegotiationFailure),
    /// The 200 had no description.
    #[error("the far end accepted without saying what it can do")]
    NoAnswerDescription,
    /// 3xx.
    #[error("moved ({status}): {}", .targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Moved {
        /// The status.
        status: u16,
        /// Where to.
        targets: Vec<Uri>,
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
    /// There is no flow to call on.
    #[error("there is no connection to call on")]
    NoFlow,
    /// The flow went away before the call stood.
    #[error("the connection was lost")]
    ConnectionLost,
    /// No answer at all.
    #[error("no answer (timer {timer})")]
    TimedOut {
        /// RFC 3261's name of the timer: `B` (nothing heard), `H` (our 200 was never acknowledged), `F` (a request within
        /// the call was never answered). `PRACK`: our reliable provisional response was never acknowledged.
        /// `subscription`: a transfer was not reported on any more.
        timer: &'static str,
    },
    /// A value cannot be put into a message.
    #[error("the request cannot be built: {why}")]
    Unbuildable {
        /// What the builder said.
        why: String,
    },
    /// Any other final status.
    #[error("refused: {status} {reason}{}", .warning.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// The status.
        status: u16,
        /// The phrase.
        reason: String,
        /// The text of the `Warning`.
        warning: Option<String>,
        /// When to try again, if it said, as with 503.
        retry_after: Option<Duration>,
    },
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CommandRefusal {
    /// No call has this key.
    #[error("no such call")]
    UnknownCall,
    /// A call or subscription has this key already, or the key is one of an incoming call.
    #[error("the key is taken")]
    KeyTaken,
    /// No subscription has this key.
    #[error("no such subscription")]
    UnknownSubscription,
    /// The call is not in a state in which this makes sense.
    #[error("the call is not in a state for this")]
    WrongState,
    /// Another offer is open: [`super::Event::MayOffer`] follows when none is any more.
    #[error("another offer is open")]
    OfferOpen,
    /// The status of a Reject is not 300 to 699.
    #[error("the status is not 300 to 699")]
    BadStatus,
}

impl CallFailure {
    /// What a final refusal other than a challenge means.
    pub(crate) fn from_response(response: &Message) -> Self {
        let status = response.status().unwrap_or_default();
        let reason = response.reason().unwrap_or_default().into_owned();
        let warning = response.text(Name::Warning).map(|text| warning_text(&text));
        let mut failure = Self::from_parts(status, reason, warning, targets(response));
        if let Self::Unavailable { retry_after: wait, .. } | Self::Refused { retry_after: wait, .. } =
            &mut failure
        {
            *wait = retry_after(response);
        }
        failure
    }

    /// What a final refusal means of which only the first line is known.
    pub(crate) fn from_status(status: u16, reason: String) -> Self {
        Self::from_parts(status, reason, None, Vec::new())
    }

    fn from_parts(status: u16, reason: String, warning: Option<String>, targets: Vec<Uri>) -> Self {
        match status {
            300..400 => Self::Moved { status, targets },
            404 | 410 | 484 | 485 | 604 => Self::NotFound { status, reason },
            408 | 487 => Self::NoAnswer { status },
            480 => Self::Unavailable { reason, retry_after: None },
            486 | 600 => Self::Busy { status },
            488 | 606 => Self::NotAcceptable { status, warning },
            603 | 607 | 608 => Self::Declined { status, reason },
            _ => Self::Refused { status, reason, warning, retry_after: None },
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
}

impl RegisterFailure {
    /// What a challenge that cannot be answered means. An empty list of offers stands for no challenge at all.
    pub(crate) fn from_challenge(failure: AuthFailure) -> Self {
        match failure {
            AuthFailure::NoChallenge => Self::NoUsableChallenge { offered: Vec::new() },
            AuthFailure::NoUsableChallenge { offered } => Self::NoUsableChallenge { offered },
            AuthFailure::NoCredentials { realms } => Self::NoUsableChallenge { offered: realms },
            AuthFailure::Rejected { realm } => Self::CredentialsRefused { realm, times: 1 },
        }
    }
}

/// Where a 3xx points: the highest `q` first, as listed among equals (RFC 3261 section 8.1.3.4).
pub(crate) fn targets(response: &Message) -> Vec<Uri> {
    let contacts = response.contacts().filter_map(Result::ok).filter_map(|contact| contact.addr());
    let mut contacts: Vec<_> = contacts.collect();
    contacts.sort_by_key(|address| std::cmp::Reverse(address.q_thousandths()));
    contacts.into_iter().map(|address| address.uri.to_uri()).collect()
}

/// The quoted text of a Warning (`399 host "text"`), or all of it when there is none.
pub(crate) fn warning_text(value: &str) -> String {
    match value.split_once('"') {
        Some((_, rest)) => rest.split('"').next().unwrap_or_default().to_owned(),
        None => value.to_owned(),
    }
}
