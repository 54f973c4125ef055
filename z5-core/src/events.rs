//! What a session tells: events, serialisable as JSON lines.
//!
//! There are two kinds. *State* events ([`EventKind::is_state`]) say what now is; when a reader is slow the latest replaces
//! the earlier one, so nothing needed is missed. *Happenings* go through a bounded queue; when it overflows, the oldest
//! are dropped and [`EventKind::Overflow`] says how many. The core never waits for a reader.

mod call;
mod name;
mod queue;
mod session;
mod step;

use std::net::SocketAddr;

use serde::Serialize;
use z5_media::SilenceReason;

pub use call::{About, CallState, CallTimings, MediaKind};
pub(crate) use queue::{EventSender, event_channel};
pub use queue::{Events, QUEUE_CAPACITY};
pub use session::{MailCount, NetworkCause, SessionState};
pub use step::{LicenceReport, NameAnswer, NameReport, NumberOffer, NumberState, StepDetail, StepTimings};

use crate::account::book::ContactMerged;
use crate::call::{CallFigures, CallId, CallReport, EstablishedMedia, MessageId, Side};
use crate::error::{AttemptOutcome, BookError, CallError, InternalError, SessionError, Step, StoreError};
use crate::machine::book::SyncReport;

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
    /// A step failed. What follows is [`EventKind::Retrying`], or [`EventKind::StepDone`] with what an earlier run was given, or the
    /// session stops. [`EventKind::NumberRequired`] comes instead of a failure.
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
        /// `audio` or `video`.
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
        /// `audio` or `video`.
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
        /// Who said it in a call of several (RFC 9071): the CSRC that the mixer gave them, as eight hexadecimal digits.
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// What the mixer calls them, if it had said so by then (RTCP SDES: NAME, or else CNAME). Its word alone.
        #[serde(skip_serializing_if = "Option::is_none")]
        label: Option<String>,
    },
    /// Real-time text of ours left in a packet for the first time.
    TextSent {
        /// The call.
        call: CallId,
        /// The characters.
        text: String,
        /// How long each of them waited since it was handed over, in milliseconds; null for one that was held back meanwhile.
        waits_ms: Vec<Option<f64>>,
    },
    /// State: what was measured of a call up to now. Only where [`StartOptions::figures_every`](crate::StartOptions) asks for it.
    CallFigures {
        /// The call.
        call: CallId,
        /// The figures.
        figures: Box<CallFigures>,
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
    /// What is kept between two runs could not be read or written, or had to be mended. The session goes on.
    StoreTrouble {
        /// What.
        error: StoreError,
    },
    /// The address book was changed here.
    ContactsChanged {
        /// How many contacts it has.
        contacts: usize,
        /// Changes that the server does not have yet.
        unsent: usize,
    },
    /// A change of the address book could not be made.
    ContactNotChanged {
        /// Why.
        error: BookError,
    },
    /// So many cards of a large address book have come.
    ContactsProgress {
        /// Cards.
        contacts: usize,
    },
    /// A contact was changed on both sides. Nothing is lost by it.
    ContactMerged(ContactMerged),
    /// The server does not take a change of ours. It stays here, and is tried again when it is changed again or with
    /// `Session::sync_contacts`.
    ContactRefused {
        /// The contact.
        id: String,
        /// The HTTP status.
        status: u16,
    },
    /// The address book was synced.
    ContactsSynced {
        /// What that did.
        #[serde(flatten)]
        report: SyncReport,
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
