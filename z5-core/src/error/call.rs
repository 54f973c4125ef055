//! Step 5: a call. A call error ends the call, never the session.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::{Failure, Step, codes};

/// Why a call was not made, or a command on a call was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// 486, 600.
    #[error("busy: SIP {status} {reason}")]
    Busy {
        /// SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// 603.
    #[error("declined: SIP {status} {reason}")]
    Declined {
        /// SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// 404, 410, 484, 604.
    #[error("there is no such number or address: SIP {status} {reason}")]
    NotFound {
        /// SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// 480: known, but not reachable now.
    #[error("not available now: SIP {status} {reason}")]
    Unavailable {
        /// SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// It rang and nobody answered.
    #[error("nobody answered in {after_ms} ms")]
    NoAnswer {
        /// How long.
        after_ms: u64,
    },
    /// Given up by us before the answer.
    #[error("the call was cancelled before it was answered")]
    Cancelled,
    /// Another device of ours took the incoming call (RFC 3326): not a missed call.
    #[error("another device took the call")]
    AnsweredElsewhere,
    /// The server wants other credentials.
    #[error("the SIP credentials were refused for this call: SIP {status} {reason}")]
    CredentialsRefused {
        /// SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// 403.
    #[error("the call is forbidden: SIP {status} {reason}")]
    Forbidden {
        /// SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// Any other refusal.
    #[error("the call was refused: SIP {status} {reason}{}", warning.as_deref().map(|w| format!(" (warning: {w})")).unwrap_or_default())]
    Refused {
        /// SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
        /// The Warning header.
        warning: Option<String>,
    },
    /// No codec in common.
    #[error("no codec in common: {why}")]
    NoCommonCodec {
        /// What was offered and answered.
        why: String,
    },
    /// Encryption was required and not agreed.
    #[error("encryption could not be agreed: {why}")]
    CryptoRefused {
        /// What was seen.
        why: String,
    },
    /// The session description cannot be used.
    #[error("the session description of the far end cannot be used: {why}")]
    BadSdp {
        /// What is wrong, with the line.
        why: String,
    },
    /// No local port for media.
    #[error("no local port for media: {why}")]
    LocalPort {
        /// Which range, and what the system said.
        why: String,
    },
    /// Media could not be started.
    #[error("media could not be started: {why}")]
    Media {
        /// What happened.
        why: String,
    },
    /// Sound that was agreed stayed away, and `media.when_silent` is `hang-up`.
    #[error("no {kind} has come for {after_ms} ms: {why}")]
    MediaSilent {
        /// `audio` or `video`.
        kind: &'static str,
        /// How long.
        after_ms: u64,
        /// What came instead.
        why: String,
    },
    /// The SIP connection broke.
    #[error("the SIP connection was lost during the call set-up: {why}")]
    ConnectionLost {
        /// What was seen.
        why: String,
    },
    /// The server did not answer.
    #[error("no answer from the SIP server in {after_ms} ms: {waiting_for}")]
    TimedOut {
        /// What was waited for.
        waiting_for: String,
        /// How long.
        after_ms: u64,
    },
    /// The session is not registered.
    #[error("the session is not ready for calls: it is {state}")]
    NotReady {
        /// What it is.
        state: &'static str,
    },
    /// No such call, or it is over.
    #[error("there is no call {call}, or it is over")]
    UnknownCall {
        /// The number that was given.
        call: u64,
    },
    /// The call is in a state where the command makes no sense.
    #[error("call {call} is {state}: {command} is not possible")]
    WrongState {
        /// The call.
        call: u64,
        /// What it is.
        state: &'static str,
        /// What was asked.
        command: &'static str,
    },
    /// The target cannot be dialled.
    #[error("`{target}` cannot be called: {why}")]
    BadTarget {
        /// As given.
        target: String,
        /// What is wrong.
        why: String,
    },
    /// The audio file cannot be played.
    #[error("the audio file {} cannot be played: {why}", path.display())]
    AudioFile {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What is to be sent as video cannot be.
    #[error("the video {what} cannot be sent: {why}")]
    VideoSource {
        /// The file, or `pattern`.
        what: String,
        /// Why.
        why: String,
    },
    /// The recording cannot be written.
    #[error("the recording {} cannot be written: {why}", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Text was sent on a call without text.
    #[error("call {call} carries no text: {why}")]
    NoText {
        /// The call.
        call: u64,
        /// Why not.
        why: String,
    },
    /// A character that is no key.
    #[error("{digit:?} is no key: 0-9, *, #, A-D are")]
    BadDigit {
        /// The character.
        digit: char,
    },
    /// The far end was not handed over; the call goes on.
    #[error("the transfer came to nothing: {why}")]
    TransferFailed {
        /// What was said.
        why: String,
    },
    /// A message was not taken.
    #[error("the message was not delivered: {why}")]
    MessageFailed {
        /// SIP status, or the one that says the same where none was answered; none when nothing came back.
        status: Option<u16>,
        /// What was said.
        why: String,
    },
    /// A call with emergency services is neither held nor handed over (RFC 6881 ED-66).
    #[error("{command} is not possible in an emergency call")]
    Emergency {
        /// What was asked.
        command: &'static str,
    },
    /// Hold, resume or another change of a running call was not agreed to; what flowed flows on.
    #[error("the far end did not agree to the change: {why}")]
    ChangeRefused {
        /// What it said.
        why: String,
    },
    /// There is no licence.
    #[error("there is no licence, only emergency calls are possible: {why}")]
    Unlicensed {
        /// Why there is none.
        why: String,
    },
    /// The licence ran out while the session was up.
    #[error("the licence has expired: only emergency calls are possible")]
    LicenceExpired,
    /// The licence has not this feature.
    #[error("the licence does not include {feature}")]
    LicenceForbids {
        /// The feature.
        feature: &'static str,
    },
    /// As many calls as the licence allows.
    #[error("the licence allows {max} calls at once")]
    TooManyCalls {
        /// The limit.
        max: u32,
    },
}

codes!(CallError, Step::Call, {
    Self::Busy { .. } => "call.busy", RetryAfter;
    Self::Declined { .. } => "call.declined", RetryAfter;
    Self::NotFound { .. } => "call.not-found", CheckSettings;
    Self::Unavailable { .. } => "call.unavailable", RetryAfter;
    Self::NoAnswer { .. } => "call.no-answer", RetryAfter;
    Self::Cancelled => "call.cancelled", RetryNow;
    Self::AnsweredElsewhere => "call.answered-elsewhere", RetryNow;
    Self::CredentialsRefused { .. } => "call.credentials-refused", SignInAgain;
    Self::Forbidden { .. } => "call.forbidden", AskCarrier;
    Self::Refused { .. } => "call.refused", AskCarrier;
    Self::NoCommonCodec { .. } => "call.no-common-codec", CheckSettings;
    Self::CryptoRefused { .. } => "call.crypto-refused", CheckSettings;
    Self::BadSdp { .. } => "call.bad-sdp", AskCarrier;
    Self::LocalPort { .. } => "call.local-port", CheckSettings;
    Self::Media { .. } => "call.media", CheckSettings;
    Self::MediaSilent { .. } => "call.media-silent", CheckNetwork;
    Self::ConnectionLost { .. } => "call.connection-lost", RetryNow;
    Self::TimedOut { .. } => "call.timed-out", CheckNetwork;
    Self::NotReady { .. } => "call.not-ready", RetryAfter;
    Self::UnknownCall { .. } => "call.unknown-call", CheckSettings;
    Self::WrongState { .. } => "call.wrong-state", CheckSettings;
    Self::BadTarget { .. } => "call.bad-target", CheckSettings;
    Self::AudioFile { .. } => "call.audio-file", CheckSettings;
    Self::VideoSource { .. } => "call.video-source", CheckSettings;
    Self::Recording { .. } => "call.recording", CheckSettings;
    Self::NoText { .. } => "call.no-text", CheckSettings;
    Self::BadDigit { .. } => "call.bad-digit", CheckSettings;
    Self::TransferFailed { .. } => "call.transfer-failed", AskCarrier;
    Self::MessageFailed { .. } => "call.message-failed", AskCarrier;
    Self::Emergency { .. } => "call.emergency", CheckSettings;
    Self::ChangeRefused { .. } => "call.change-refused", RetryAfter;
    Self::Unlicensed { .. } => "call.unlicensed", AskCarrier;
    Self::LicenceExpired => "call.licence-expired", AskCarrier;
    Self::LicenceForbids { .. } => "call.licence-forbids", AskCarrier;
    Self::TooManyCalls { .. } => "call.too-many-calls", AskCarrier;
} but {
    Self::MessageFailed { status: Some(404 | 410 | 484 | 485 | 513 | 604), .. } => CheckSettings;
    Self::MessageFailed { status: None | Some(408 | 480 | 486 | 500..=599 | 600 | 603), .. } => RetryAfter;
    Self::MessageFailed { status: Some(401 | 407), .. } => SignInAgain;
});

impl CallError {
    /// As a plain record.
    pub fn failure(&self) -> Failure {
        Failure {
            step: Some(self.step()),
            code: self.code(),
            message: self.to_string(),
            advice: self.advice(),
            retry_after_s: None,
        }
    }
}

impl Serialize for CallError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.failure().serialize(serializer)
    }
}
