//! What events say of a session: where it is, why its network was looked at anew, what waits in its mailbox.

use serde::Serialize;

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Not begun.
    #[default]
    Idle,
    /// Step 1.
    Resolving,
    /// Step 2.
    SigningIn,
    /// Step 2, waiting for `choose_number`.
    ChoosingNumber,
    /// Step 3.
    Provisioning,
    /// Step 4.
    Registering,
    /// A step failed; it is tried again after a pause.
    Waiting,
    /// Registered without a licence: only emergency calls are possible.
    EmergencyOnly,
    /// Calls are possible.
    Ready,
    /// Calls are ended, the registration is being removed.
    Stopping,
    /// Over.
    Stopped,
}

impl SessionState {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Resolving => "resolving",
            Self::SigningIn => "signing-in",
            Self::ChoosingNumber => "choosing-number",
            Self::Provisioning => "provisioning",
            Self::Registering => "registering",
            Self::Waiting => "waiting",
            Self::EmergencyOnly => "emergency-only",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// How a change of the network was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkCause {
    /// `Session::network_changed`.
    Told,
    /// The system sends from another address, or has a way to the servers again.
    Route,
    /// The machine slept, or its clock was set forward.
    Wake,
}

/// Messages of one class in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MailCount {
    /// `multimedia-message` is video mail, `voice-message` and others as RFC 3458 names them.
    pub class: String,
    /// Not looked at yet.
    pub new: u32,
    /// Looked at and kept.
    pub old: u32,
}
