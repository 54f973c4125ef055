//! What goes into a user agent and what comes out of it: numbers, inputs and effects. The wishes of the application are in
//! `command`, what it is told in `event`.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;

pub use super::command::{Command, TransferTarget};
pub use super::event::{Binding, Event};
use super::request_failure::RequestFailure;
use crate::flow::{FlowDeath, FlowEnd, FlowId};
use crate::mwi;
use crate::wire::Transport;

/// One call. The caller chooses the number of an outgoing call; the user agent that of an incoming one, always with the
/// top bit set, so that the two never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub u64);

impl CallKey {
    /// The bit that marks the key of an incoming call.
    pub const INCOMING: u64 = 1 << 63;

    /// Whether the user agent chose this key.
    #[must_use]
    pub fn is_incoming(self) -> bool {
        self.0 & Self::INCOMING != 0
    }
}

/// One message (RFC 3428). The caller chooses the number and finds it again in what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey(pub u64);

/// One question by OPTIONS. The caller chooses the number and finds it again in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeKey(pub u64);

/// One subscription. The caller chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionKey(pub u64);

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Package {
    /// `message-summary` (RFC 3842): what waits in a mailbox.
    MessageSummary,
}

impl Package {
    /// The value of Event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MessageSummary => mwi::PACKAGE,
        }
    }

    /// The media type of its NOTIFYs.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::MessageSummary => mwi::MEDIA_TYPE,
        }
    }
}

/// Why a subscription ended or has to begin anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionEnd {
    /// We took it back.
    #[error("taken back")]
    Unsubscribed,
    /// The notifier ended it (RFC 6665 section 4.1.3).
    #[error("ended by the notifier{}", .reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Terminated {
        /// `rejected`, `noresource`, `deactivated`, `probation`, `timeout`, `giveup`, `invariant` or another token.
        reason: Option<String>,
    },
    /// It ran out because no refresh got through.
    #[error("run out")]
    Expired,
    /// It was accepted, but no NOTIFY came within 64 x T1 (timer N).
    #[error("accepted, but nothing was ever notified")]
    NoNotify,
    /// A SUBSCRIBE of ours came to nothing.
    #[error(transparent)]
    Failed(#[from] RequestFailure),
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This end.
    Local,
    /// The far end, or a proxy on its behalf.
    Remote,
    /// Neither: the flow was lost, or a timer ran out.
    Network,
}

/// What the driver tells the user agent.
pub enum Input<'a> {
    /// A connection is up and usable. The newest one carries new requests; earlier ones live on for their dialogs.
    FlowUp {
        /// Its number.
        flow: FlowId,
        /// What carries it.
        transport: Transport,
        /// Our address on it, as written into `Via` and `Contact`.
        local: SocketAddr,
        /// The far end's address.
        remote: SocketAddr,
        /// Which of our ways to the registrar it is, from 1 (RFC 5626 section 4.2.1): a new connection on the same way
        /// has the same number and takes the place of the one before, each number has a binding of its own.
        reg_id: u32,
    },
    /// The TCP connection of an [`Effect::OpenStream`] is up. It carries requests of more than 1300 bytes (RFC 3261 section
    /// 18.1.1) and never becomes the newest flow. It ends like any other, and no later than its UDP flow.
    StreamUp {
        /// Its number.
        flow: FlowId,
        /// The UDP flow.
        beside: FlowId,
        /// Our address on it.
        local: SocketAddr,
        /// The far end's address.
        remote: SocketAddr,
    },
    /// The TCP connection of an [`Effect::OpenStream`] was refused or did not come up in a few seconds: what is large goes over
    /// UDP after all.
    StreamFailed {
        /// The UDP flow.
        beside: FlowId,
    },
    /// A connection is gone, whoever closed it.
    FlowDown {
        /// Its number.
        flow: FlowId,
        /// Why, as the driver saw it.
        why: FlowEnd,
    },
    /// Bytes arrived: any cut of a stream, or exactly one datagram.
    Received {
        /// Where.
        flow: FlowId,
        /// What.
        bytes: &'a [u8],
    },
    /// The time of [`super::UserAgent::next_deadline`] has come. Early and repeated calls are harmless.
    Deadline,
    /// A wish of the application.
    Command(Command),
}

/// What the driver must do. Consecutive `Send`s for one flow within a turn go out in one write.
#[derive(Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once within its turn: a box would be an allocation for each event"
)]
pub enum Effect {
    /// Write these bytes: whole messages on a stream, exactly one datagram on UDP.
    Send {
        /// Where.
        flow: FlowId,
        /// What.
        bytes: Bytes,
    },
    /// Close the connection. The user agent has already forgotten it; no `FlowDown` is needed (one does no harm).
    CloseFlow {
        /// Which.
        flow: FlowId,
        /// Why.
        why: FlowDeath,
    },
    /// Connect over TCP to the server of this UDP flow: [`Input::StreamUp`] or [`Input::StreamFailed`] must follow, unless the
    /// UDP flow ends before. Requests may wait for it.
    OpenStream {
        /// The UDP flow.
        beside: FlowId,
    },
    /// Tell the application.
    Event(Event),
}

/// The `Reason` header of a BYE or CANCEL (RFC 3326), such as `SIP;cause=200;text="Call completed elsewhere"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850` or another.
    pub protocol: String,
    /// The cause in the protocol's numbering.
    pub cause: Option<u32>,
    /// The text.
    pub text: Option<String>,
}

impl Reason {
    /// Another device of the callee took the call: not a missed call.
    #[must_use]
    pub fn is_answered_elsewhere(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("SIP") && self.cause == Some(200)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, " {cause}")?;
        }
        if let Some(text) = &self.text {
            write!(f, " {text}")?;
        }
        Ok(())
    }
}

/// Bytes of a message are shown as their number: they may hold credentials and keys.
impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlowUp { flow, transport, local, remote, reg_id } => {
                write!(f, "FlowUp({}, {transport} {local} to {remote}, reg-id {reg_id})", flow.0)
            }
            Self::StreamUp { flow, beside, local, remote } => {
                write!(f, "StreamUp({} beside {}, {local} to {remote})", flow.0, beside.0)
            }
            Self::StreamFailed { beside } => write!(f, "StreamFailed(beside {})", beside.0),
            Self::FlowDown { flow, why } => write!(f, "FlowDown({}, {why})", flow.0),
            Self::Received { flow, bytes } => write!(f, "Received({}, {} bytes)", flow.0, bytes.len()),
            Self::Deadline => f.write_str("Deadline"),
            Self::Command(command) => command.fmt(f),
        }
    }
}

/// Bytes of a message are shown as their number: they may hold credentials and keys.
impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { flow, bytes } => write!(f, "Send({}, {} bytes)", flow.0, bytes.len()),
            Self::CloseFlow { flow, why } => write!(f, "CloseFlow({}, {why})", flow.0),
            Self::OpenStream { beside } => write!(f, "OpenStream(beside {})", beside.0),
            Self::Event(event) => event.fmt(f),
        }
    }
}
