//! What events say of a call: where it is, its media by name, what its far end tells of itself, how long its set-up took.

use serde::Serialize;

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallState {
    /// Outgoing: the request is under way.
    Dialling,
    /// The far end rings, or we do.
    Ringing,
    /// Incoming: our answer is under way.
    Answering,
    /// Media flows.
    Established,
    /// We hang up, the far end has not confirmed.
    Ending,
    /// Over.
    Ended,
}

impl CallState {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dialling => "dialling",
            Self::Ringing => "ringing",
            Self::Answering => "answering",
            Self::Established => "established",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }
}

/// What a medium is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Real-time text.
    Text,
    /// Pictures.
    Video,
}

impl MediaKind {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Text => "text",
            Self::Video => "video",
        }
    }
}

/// Something that a far end says about itself or its call (Call-Info, RFC 3261 section 20.9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// `rue-owner`, `icon`, `EmergencyCallData.SubscriberInfo` and the like.
    pub purpose: String,
    /// Where it is: `https:`, or `cid:` for what came with the message.
    pub uri: String,
    /// Of what came with the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What came with the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// Milliseconds of a call's set-up. What did not happen is none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct CallTimings {
    /// From the command (or the incoming request) to the first byte on the wire: ports and keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepare_ms: Option<f64>,
    /// From the first byte of INVITE to the first ringing (post-dial delay).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_dial_ms: Option<f64>,
    /// From the first byte of INVITE to the final answer (set-up).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup_ms: Option<f64>,
}
