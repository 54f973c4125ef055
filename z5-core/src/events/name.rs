//! The names of events in JSON, and which of them are states or the end of something.

use super::EventKind;

impl EventKind {
    /// The name, as the member `event` of the JSON form.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::State { .. } => "state",
            Self::CallState { .. } => "call-state",
            Self::StepStarted { .. } => "step-started",
            Self::StepDone { .. } => "step-done",
            Self::StepFailed { .. } => "step-failed",
            Self::ServerFailed { .. } => "server-failed",
            Self::NumberRequired { .. } => "number-required",
            Self::Ready { .. } => "ready",
            Self::Incoming { .. } => "incoming",
            Self::CallProgress { .. } => "call-progress",
            Self::CallInfo { .. } => "call-info",
            Self::FlowRegistered { .. } => "flow-registered",
            Self::FlowLost { .. } => "flow-lost",
            Self::CallEstablished { .. } => "call-established",
            Self::FirstMedia { .. } => "first-media",
            Self::MediaSilent { .. } => "media-silent",
            Self::MediaBack { .. } => "media-back",
            Self::FirstPicture { .. } => "first-picture",
            Self::Text { .. } => "text",
            Self::TextSent { .. } => "text-sent",
            Self::CallFigures { .. } => "call-figures",
            Self::CallChanged { .. } => "call-changed",
            Self::TransferRequested { .. } => "transfer-requested",
            Self::TransferProgress { .. } => "transfer-progress",
            Self::Transferred { .. } => "transferred",
            Self::Message { .. } => "message",
            Self::MessageSent { .. } => "message-sent",
            Self::MessageFailed { .. } => "message-failed",
            Self::MessageWaiting { .. } => "message-waiting",
            Self::MailboxLost { .. } => "mailbox-lost",
            Self::Digit { .. } => "digit",
            Self::CallHold { .. } => "call-hold",
            Self::CallMuted { .. } => "call-muted",
            Self::SourceEnded { .. } => "source-ended",
            Self::CallTrouble { .. } => "call-trouble",
            Self::CallEnded { .. } => "call-ended",
            Self::CallFailed { .. } => "call-failed",
            Self::CommandRefused { .. } => "command-refused",
            Self::Retrying { .. } => "retrying",
            Self::EmergencyOnly { .. } => "emergency-only",
            Self::LicenceRenewed { .. } => "licence-renewed",
            Self::ConfigurationRenewed { .. } => "configuration-renewed",
            Self::ContactsLoaded { .. } => "contacts-loaded",
            Self::StoreTrouble { .. } => "store-trouble",
            Self::ContactsChanged { .. } => "contacts-changed",
            Self::ContactNotChanged { .. } => "contact-not-changed",
            Self::ContactsProgress { .. } => "contacts-progress",
            Self::ContactMerged(_) => "contact-merged",
            Self::ContactRefused { .. } => "contact-refused",
            Self::ContactsSynced { .. } => "contacts-synced",
            Self::NetworkChanged { .. } => "network-changed",
            Self::ClockChanged { .. } => "clock-changed",
            Self::Refreshed { .. } => "refreshed",
            Self::Unregistered { .. } => "unregistered",
            Self::Overflow { .. } => "overflow",
            Self::Stopped { .. } => "stopped",
        }
    }

    /// True for events that say what now is (the latest replaces the earlier).
    pub const fn is_state(&self) -> bool {
        matches!(self, Self::State { .. } | Self::CallState { .. } | Self::CallFigures { .. })
    }

    /// True for the events that close something; an overflow drops them last.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::StepFailed { .. } | Self::CallEnded { .. } | Self::CallFailed { .. } | Self::Stopped { .. }
        )
    }
}
