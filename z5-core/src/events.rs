//! What a session tells: events, serialisable as JSON lines.
//!
//! There are two kinds. *State* events ([`EventKind::is_state`]) say what now is; when a reader is slow the latest replaces
//! the earlier one, so nothing needed is missed. *Happenings* go through a bounded queue; when it overflows, the oldest
//! are dropped and [`EventKind::Overflow`] says how many. The core never waits for a reader.

mod queue;

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use z5_media::SilenceReason;

pub(crate) use queue::{EventSender, event_channel};
pub use queue::{Events, QUEUE_CAPACITY};

use crate::call::{CallId, CallReport, EstablishedMedia, MessageId, Side};
use crate::error::{Attempt, AttemptOutcome, CallError, InternalError, SessionError, Step};
use crate::policy::{LocalRtpPorts, NameRole};

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Counts up from 1 over all events of the session. A gap is a replaced state event or an overflow.
    pub sequence: u64,
    /// Milliseconds since the session started, monotonic, microsecond resolution.
    pub at_ms: f64,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What an event says. In JSON the member `event` names it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// State: where the session is now.
    State {
        /// The state.
        state: SessionState,
    },
    /// State: where a call is now.
    CallState {
        /// The call.
        call: CallId,
        /// The state.
        state: CallState,
    },
    /// A step began.
    StepStarted {
        /// Which.
        step: Step,
        /// 1 to 5.
        number: u8,
    },
    /// A step is done; its proof is held.
    StepDone {
        /// Which.
        step: Step,
        /// 1 to 5.
        number: u8,
        /// How long it took.
        took_ms: f64,
        /// What came out of it.
        detail: StepDetail,
    },
    /// A step failed. What follows is [`EventKind::Retrying`], or the session stops. [`EventKind::NumberRequired`] comes instead of
    /// a failure.
    StepFailed {
        /// Which.
        step: Step,
        /// 1 to 5.
        number: u8,
        /// How long it took.
        took_ms: f64,
        /// Why.
        error: SessionError,
    },
    /// A SIP server was tried and is of no use; the next one follows, if there is one (RFC 3263 section 4.3).
    ServerFailed {
        /// Where.
        server: SocketAddr,
        /// `tcp`, `tls` or `udp`.
        transport: &'static str,
        /// What was seen.
        outcome: AttemptOutcome,
    },
    /// The account has several numbers and none is chosen: call `Session::choose_number`. Step 2 waits.
    NumberRequired {
        /// What is on offer.
        numbers: Vec<NumberOffer>,
    },
    /// Registered: calls are possible.
    Ready {
        /// Our address of record.
        address: String,
        /// Since the start of the session.
        timings: StepTimings,
    },
    /// Someone calls: `Session::answer` or `Session::reject`.
    Incoming {
        /// The call.
        call: CallId,
        /// The caller's address.
        from: String,
        /// The caller's display name.
        #[serde(skip_serializing_if = "Option::is_none")]
        display_name: Option<String>,
        /// Who the network says is calling (P-Asserted-Identity, RFC 3325).
        #[serde(skip_serializing_if = "Option::is_none")]
        asserted: Option<String>,
        /// What the caller says about themselves, such as `rue-owner` (RFC 9248 section 5.2.3).
        #[serde(skip_serializing_if = "Vec::is_empty")]
        about: Vec<About>,
        /// The call of ours whose place it takes when it is answered (RFC 3891).
        #[serde(skip_serializing_if = "Option::is_none")]
        replaces: Option<CallId>,
        /// Audio is offered.
        audio: bool,
        /// Text is offered.
        text: bool,
        /// Video is offered.
        video: bool,
    },
    /// Another server holds a registration of ours beside the first one (RFC 5626), or the first does again.
    FlowRegistered {
        /// Which of our ways: from 2, or 1 when the first is back.
        reg_id: u32,
        /// tcp, tls or udp.
        transport: &'static str,
        /// Our address.
        local: SocketAddr,
        /// The server's.
        server: SocketAddr,
    },
    /// One of several does no longer, while another one does; the connection is made again by itself.
    FlowLost {
        /// Which of our ways.
        reg_id: u32,
        /// Why.
        why: String,
    },
    /// A provisional answer: ringing and the like.
    CallProgress {
        /// The call.
        call: CallId,
        /// SIP status, 180 to 199.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// Who takes our call says something about themselves; comes before `CallEstablished`.
    CallInfo {
        /// The call.
        call: CallId,
        /// Such as `rue-owner`.
        about: Vec<About>,
    },
    /// Answered: media flows.
    CallEstablished {
        /// The call.
        call: CallId,
        /// What was agreed.
        media: EstablishedMedia,
        /// How long it took.
        timings: CallTimings,
    },
    /// The first packet of a medium arrived.
    FirstMedia {
        /// The call.
        call: CallId,
        /// `audio`, `text` or `video`.
        kind: MediaKind,
        /// Since the call was established.
        after_ms: f64,
    },
    /// No sound (or picture) came for `timeouts.media_silent`, although it was agreed and is not on hold.
    MediaSilent {
        /// The call.
        call: CallId,
        /// `audio`.
        kind: MediaKind,
        /// Since the last packet, or since the stream began to receive.
        silent_ms: f64,
        /// Why, as far as it shows: `nothing-came`, `stopped`, `only-reports` (RTCP comes), `goodbye`, or
        /// `{"dropped": ...}` with the reason for which packets that come are dropped.
        reason: SilenceReason,
    },
    /// It comes again.
    MediaBack {
        /// The call.
        call: CallId,
        /// `audio`.
        kind: MediaKind,
        /// How long it was away.
        silent_ms: f64,
    },
    /// The first picture of the far end that can be shown arrived.
    FirstPicture {
        /// The call.
        call: CallId,
        /// Since the call was established.
        after_ms: f64,
    },
    /// Real-time text arrived. `\u{8}` deletes the last character, `\u{2028}` starts a line, `\u{fffd}` marks lost text.
    Text {
        /// The call.
        call: CallId,
        /// The characters.
        text: String,
    },
    /// A key of the far end.
    Digit {
        /// The call.
        call: CallId,
        /// 0-9, *, #, A-D, or `!` for flash.
        digit: char,
        /// How long it was pressed.
        duration_ms: u64,
    },
    /// Who holds the call now.
    CallHold {
        /// The call.
        call: CallId,
        /// We do.
        local: bool,
        /// The far end does.
        remote: bool,
    },
    /// A medium of ours was muted, or unmuted.
    CallMuted {
        /// The call.
        call: CallId,
        /// Which.
        kind: MediaKind,
        /// Muted now.
        muted: bool,
    },
    /// What flows in a call has changed: a medium was added or closed, a direction or an address is another.
    CallChanged {
        /// The call.
        call: CallId,
        /// What flows now.
        media: EstablishedMedia,
    },
    /// The far end wants us to call someone else: `Session::accept_transfer` or `Session::reject_transfer`.
    TransferRequested {
        /// The call in which it asks.
        call: CallId,
        /// Whom we are to call.
        target: String,
        /// Who says to have asked (RFC 3892).
        #[serde(skip_serializing_if = "Option::is_none")]
        referred_by: Option<String>,
    },
    /// How far the far end has come with the call that we asked it to make.
    TransferProgress {
        /// The call in which we asked.
        call: CallId,
        /// SIP status, 100 to 199.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// The far end talks to whom we sent it; our call with it ends.
    Transferred {
        /// The call in which we asked.
        call: CallId,
    },
    /// Someone sent a text message.
    Message {
        /// Who says to have sent it.
        from: String,
        /// The call it came through, if any.
        #[serde(skip_serializing_if = "Option::is_none")]
        call: Option<CallId>,
        /// What it is, such as `text/plain`.
        content_type: String,
        /// The text; what is no text comes as an empty one.
        text: String,
    },
    /// A message of ours was taken.
    MessageSent {
        /// Which.
        message: MessageId,
        /// SIP status: 200 by the far end, 202 by a relay that may deliver it later.
        status: u16,
    },
    /// A message of ours came to nothing.
    MessageFailed {
        /// Which.
        message: MessageId,
        /// Why.
        error: CallError,
    },
    /// What waits in the mailbox (RFC 3842).
    MessageWaiting {
        /// Whether something new does.
        waiting: bool,
        /// How many of each class.
        counts: Vec<MailCount>,
    },
    /// The mailbox tells nothing any more.
    MailboxLost {
        /// Why.
        why: String,
    },
    /// A source of the call is at its end: silence is sent from now on, or no new picture.
    SourceEnded {
        /// The call.
        call: CallId,
        /// `audio` or `video`.
        kind: MediaKind,
    },
    /// Something about a call went wrong that does not end it, for example a full disk under a recording.
    CallTrouble {
        /// The call.
        call: CallId,
        /// What.
        error: CallError,
    },
    /// An established call is over.
    CallEnded {
        /// The call.
        call: CallId,
        /// Who ended it.
        by: Side,
        /// The words of the Reason header, or of the loss.
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        /// Figures of both directions.
        report: Box<CallReport>,
    },
    /// A call was not established.
    CallFailed {
        /// The call.
        call: CallId,
        /// Who gave up; `remote` for a refusal.
        by: Side,
        /// Why.
        error: CallError,
        /// How long it took.
        timings: CallTimings,
    },
    /// A command could not be carried out. The call it was for goes on.
    CommandRefused {
        /// The call.
        call: CallId,
        /// Why.
        error: CallError,
    },
    /// Something failed and is tried again by itself. `Session::retry_now` does not wait.
    Retrying {
        /// The step that is tried again; steps before it are walked anew where their proofs are too old.
        step: Step,
        /// 1 to 5.
        number: u8,
        /// Which attempt that will be, from 2.
        attempt: u32,
        /// When, in milliseconds from now.
        in_ms: u64,
        /// Why the last one failed.
        error: SessionError,
    },
    /// Registered without a licence: nothing but emergency calls is possible. A licence is asked for again where that can help;
    /// `Ready` tells when there is one.
    EmergencyOnly {
        /// Our address of record.
        address: String,
        /// Why there is no licence.
        error: SessionError,
    },
    /// The licence was renewed while the session stands.
    LicenceRenewed {
        /// What it says now.
        licence: LicenceReport,
    },
    /// The configuration of the number was fetched afresh while the session stands.
    ConfigurationRenewed {
        /// It is not what it was.
        changed: bool,
    },
    /// The address book is there, after the session was ready without it.
    ContactsLoaded {
        /// How many contacts it has.
        contacts: usize,
    },
    /// The network is another one, or came back: everything that hangs on the old one is made anew at once. Calls keep their
    /// media.
    NetworkChanged {
        /// How we know.
        cause: NetworkCause,
    },
    /// The clock of this machine was set, or the machine slept: every deadline is judged again.
    ClockChanged {
        /// By how many seconds, negative when it was set back.
        by_s: i64,
    },
    /// The registration was refreshed.
    Refreshed {
        /// What the registrar granted.
        granted_s: u64,
    },
    /// We told the registrar that we leave.
    Unregistered {
        /// False when it did not confirm in time.
        confirmed: bool,
    },
    /// Happenings were lost because nobody read them.
    Overflow {
        /// How many.
        lost: u64,
    },
    /// The last event: the session is over.
    Stopped {
        /// Why, when it did not stop on request.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<SessionError>,
        /// A fault of z5 itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        fault: Option<InternalError>,
    },
}

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
        matches!(self, Self::State { .. } | Self::CallState { .. })
    }

    /// True for the events that close something; an overflow drops them last.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::StepFailed { .. } | Self::CallEnded { .. } | Self::CallFailed { .. } | Self::Stopped { .. }
        )
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

/// What came out of a step. In JSON the members stand in `detail`, `step` tells which these are.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StepDetail {
    /// Step 1.
    Resolved {
        /// Every name in the configured order.
        names: Vec<NameReport>,
    },
    /// Step 2.
    SignedIn {
        /// Every number of the account.
        offered: Vec<NumberOffer>,
        /// The chosen one.
        chosen: String,
        /// The display name that goes with it.
        #[serde(skip_serializing_if = "Option::is_none")]
        display_name: Option<String>,
        /// The SIP domain.
        domain: String,
        /// The group on the MCS.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Local RTP ports, as the client and the group set them.
        rtp_ports: LocalRtpPorts,
        /// How we proved who we are.
        authentication: &'static str,
    },
    /// Step 3.
    Provisioned {
        /// The licence.
        licence: LicenceReport,
        /// How many contacts the address book has.
        contacts: usize,
    },
    /// Step 4.
    Registered {
        /// Our address of record.
        address: String,
        /// `tcp`, `tls` or `udp`.
        transport: &'static str,
        /// Our end of the connection.
        local: SocketAddr,
        /// The server's end.
        server: SocketAddr,
        /// Servers that failed before this one.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tried: Vec<Attempt>,
        /// What the registrar granted, in seconds.
        granted_s: u64,
        /// When it will be refreshed, in seconds from now.
        refresh_s: u64,
    },
}

/// One name and what step 1 found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameReport {
    /// The name.
    pub name: String,
    /// Its role; none for a SIP proxy of profile `generic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<NameRole>,
    /// Addresses in the order in which they will be tried.
    pub addresses: Vec<IpAddr>,
    /// Who answered for A and for AAAA.
    pub answers: Vec<NameAnswer>,
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameAnswer {
    /// `A` or `AAAA`; `hosts` for the static table.
    pub record: &'static str,
    /// The nameserver; none for the static table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<SocketAddr>,
    /// `udp` or `tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<&'static str>,
    /// How many addresses.
    pub count: usize,
    /// Seconds for which the answer is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
}

/// A number of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NumberOffer {
    /// E.164 with plus.
    pub number: String,
    /// The user's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Shown to called parties.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Whether it can be used.
    pub state: NumberState,
    /// The account's default.
    pub default: bool,
    /// An address for emergency calls is on file.
    pub emergency_address_on_file: bool,
}

/// Whether a number can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NumberState {
    /// Free.
    Available,
    /// Registered elsewhere.
    InUse,
    /// Suspended.
    Suspended,
    /// A state this version does not know.
    Unknown,
}

/// What a licence says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LicenceReport {
    /// Features.
    pub features: Vec<String>,
    /// Calls at once.
    pub max_calls: u32,
    /// When it ends, seconds since 1970.
    pub expires_unix_s: u64,
    /// The same as seconds from now.
    pub expires_in_s: u64,
    /// How much longer it holds while the server cannot be reached.
    pub grace_s: u64,
    /// Bits per second, all media of a call together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u64>,
    /// The key that signed it.
    pub kid: String,
}

/// Milliseconds per step, and the whole.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct StepTimings {
    /// Step 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_ms: Option<f64>,
    /// Step 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in_ms: Option<f64>,
    /// Step 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provision_ms: Option<f64>,
    /// Step 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub register_ms: Option<f64>,
    /// From `Session::start` to ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<f64>,
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
