//! What goes into a user agent and what comes out of it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::body::Body;
use super::extras::CallInfo;
use super::failure::{CallFailure, CommandRefusal, RegisterFailure};
use super::info::Info;
use super::options::CallOptions;
use super::request_failure::RequestFailure;
use crate::auth::Credentials;
use crate::flow::{FlowDeath, FlowEnd, FlowId};
use crate::multipart::BodyPart;
use crate::mwi::{self, MessageSummary};
use crate::sdp::{Capabilities, Negotiated, OfferSummary};
use crate::wire::{Transport, Uri};

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
    /// A TCP connection to the server of a UDP flow is up. It carries requests of more than 1300 bytes (RFC 3261 section
    /// 18.1.1) and never becomes the newest flow; without it they go over UDP.
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

/// What the application wishes.
#[derive(Clone, Debug)]
pub enum Command {
    /// Register on the newest flow of each `reg_id` and keep it so. Again while registered: refresh now.
    Register,
    /// Ask the registrar which bindings it holds (RFC 3261 section 10.2.3), ours and those of other devices.
    FetchBindings,
    /// Other credentials from now on, as after [`Event::RegistrationFailed`] with refused ones.
    Credentials(Vec<Credentials>),
    /// Take the binding back.
    Unregister,
    /// Call someone.
    Invite {
        /// The application's number for the call.
        call: CallKey,
        /// Whom.
        target: Uri,
        /// What we can do, on ports already reserved.
        offer: Capabilities,
        /// What else it asks for.
        options: Box<CallOptions>,
    },
    /// Tell the caller that it rings here (180).
    Ring {
        /// An incoming call.
        call: CallKey,
    },
    /// Send early media to the caller before the call is taken (183): reliably when the caller knows how (RFC 3262), as a
    /// foretaste otherwise. What it answers holds on when the call is taken.
    Progress {
        /// An incoming call.
        call: CallKey,
        /// What we can do, on ports already reserved.
        answer: Capabilities,
    },
    /// Take an incoming call.
    Accept {
        /// An incoming call.
        call: CallKey,
        /// What we can do, on ports already reserved. Not looked at after [`Command::Progress`] has answered the caller's
        /// offer already: change it with [`Command::Renegotiate`] then.
        answer: Capabilities,
    },
    /// Turn an incoming call down.
    Reject {
        /// An incoming call.
        call: CallKey,
        /// 300 to 699, such as 486 (busy), 603 (decline), 488.
        status: u16,
    },
    /// Change what flows in a call, as hold and resume do: by INVITE when it stands, by UPDATE before, once early media
    /// is agreed on. Every medium of the call stays in its place; one that is left out is closed.
    Renegotiate {
        /// The call.
        call: CallKey,
        /// What we can do from now on.
        offer: Capabilities,
    },
    /// Send a message: within a call when one is named, else to `target`.
    Message {
        /// The application's number for it.
        message: MessageKey,
        /// The call through whose dialog it goes.
        call: Option<CallKey>,
        /// To whom, outside any call.
        target: Option<Uri>,
        /// What the body is, such as `text/plain;charset=UTF-8`.
        content_type: String,
        /// The body. Outside a call and on UDP the whole request may have 1300 bytes.
        body: Body,
    },
    /// Ask what someone can do (OPTIONS). Any final answer comes back as [`Event::Probed`].
    Probe {
        /// The application's number for it.
        probe: ProbeKey,
        /// Whom.
        target: Uri,
    },
    /// Subscribe to an event package and keep it so.
    Subscribe {
        /// The application's number for it.
        subscription: SubscriptionKey,
        /// Whose state: for a mailbox the address of its server, such as the `mwi` of RFC 9248.
        target: Uri,
        /// Which state.
        package: Package,
        /// For how long we ask; what is granted decides the refresh.
        expires: Duration,
    },
    /// Take a subscription back.
    Unsubscribe {
        /// Which.
        subscription: SubscriptionKey,
    },
    /// Answer an [`Event::Offered`].
    AnswerOffer {
        /// The call.
        call: CallKey,
        /// What we can do from now on, on ports already reserved.
        answer: Capabilities,
    },
    /// Refuse an [`Event::Offered`] with 488; what flowed before flows on.
    RefuseOffer {
        /// The call.
        call: CallKey,
    },
    /// Ask the far end of a call that stands to call someone else. The call ends when it did.
    Transfer {
        /// The call.
        call: CallKey,
        /// Whom it is to call.
        to: TransferTarget,
    },
    /// Do what an [`Event::TransferRequested`] asks for: the far end is told what becomes of the new call.
    AcceptTransfer {
        /// The call in which it was asked for.
        call: CallKey,
        /// The application's number for the new call.
        new_call: CallKey,
        /// What we can do in it, on ports already reserved.
        offer: Capabilities,
    },
    /// Do not do what an [`Event::TransferRequested`] asks for.
    RejectTransfer {
        /// The call in which it was asked for.
        call: CallKey,
        /// 300 to 699, such as 603.
        status: u16,
    },
    /// Say something within a call that stands.
    SendInfo {
        /// The call.
        call: CallKey,
        /// What.
        info: Info,
    },
    /// End a call in whatever state: CANCEL before the answer, BYE after it, 603 for an incoming one that rings.
    Hangup {
        /// The call.
        call: CallKey,
    },
}

/// Whom a far end is to call.
#[derive(Clone, Debug, PartialEq)]
pub enum TransferTarget {
    /// An address (a blind transfer).
    Blind(Uri),
    /// The far end of another call of ours that stands: it takes that call over (an attended transfer).
    Attended(CallKey),
}

/// What the driver must do. Consecutive `Send`s for one flow within a turn go out in one write.
#[derive(Clone)]
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
    /// Tell the application.
    Event(Event),
}

/// What the application should know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The registrar holds our binding.
    Registered {
        /// For how long, as it said.
        granted: Duration,
        /// When we shall refresh, from now.
        refresh_in: Duration,
        /// Requests it took: 2 is the usual one with a challenge in between, 1 a refresh under a good nonce.
        round_trips: u32,
        /// Which of our ways.
        reg_id: u32,
        /// The proxies between the registrar and us, as it recorded them (RFC 3327).
        path: Vec<String>,
        /// The address that leads to this very instance, when the registrar made one (RFC 5627).
        gruu: Option<Uri>,
    },
    /// One of several bindings is gone; another one still holds.
    BindingLost {
        /// Which of our ways.
        reg_id: u32,
        /// Why.
        failure: RegisterFailure,
    },
    /// What the registrar holds.
    Bindings {
        /// Every binding of our address of record.
        bindings: Vec<Binding>,
    },
    /// The registrar did not tell its bindings.
    FetchFailed {
        /// Why.
        failure: RequestFailure,
    },
    /// Registration failed, no binding holds, and it will not be tried again without a [`Command::Register`].
    RegistrationFailed(RegisterFailure),
    /// A refresh failed for now; the binding still holds and we shall try again.
    RegistrationDelayed {
        /// What the registrar said.
        failure: RegisterFailure,
        /// When we try again, from now.
        retry_in: Duration,
    },
    /// The binding is taken back (or was never made).
    Unregistered,
    /// Someone calls. Answer with `Ring`, `Accept`, `Reject` or `Hangup`.
    Incoming {
        /// The number the user agent gave the call.
        call: CallKey,
        /// Who says to be calling.
        from: Uri,
        /// Whom they called.
        to: Uri,
        /// The name shown with `from`.
        display_name: Option<String>,
        /// What they offer.
        offered: OfferSummary,
        /// The call of ours that this one is to take the place of (RFC 3891): taking it ends that one. It needs no
        /// ringing, because someone talks already.
        replaces: Option<CallKey>,
        /// Who the network says is calling (P-Asserted-Identity, RFC 3325). Our own proxy wrote it: nobody else's
        /// requests come this far.
        asserted: Option<Uri>,
        /// What they say about themselves and the call, such as `purpose=rue-owner`.
        call_info: Vec<CallInfo>,
        /// The parts of the body beside the offer, such as those that `call_info` refers to.
        parts: Vec<BodyPart>,
    },
    /// A provisional answer to an outgoing call: 180 rings, 183 may carry early media.
    Progress {
        /// The call.
        call: CallKey,
        /// 101 to 199.
        status: u16,
        /// Its phrase.
        reason: String,
        /// What may already flow. Without the extension `100rel` it is a foretaste that the final answer may change.
        early_media: Option<Negotiated>,
        /// Which of the devices that ring says so, from zero; each has an early dialog of its own.
        fork: u32,
    },
    /// What may flow before an incoming call is taken, after [`Command::Progress`]: the caller's offer is answered, or ours
    /// is.
    EarlyMedia {
        /// The call.
        call: CallKey,
        /// What may flow.
        negotiated: Negotiated,
    },
    /// Our INVITE was sent elsewhere (3xx) and goes to another address now.
    Redirected {
        /// The call.
        call: CallKey,
        /// 300 to 302, or the refusal of one of several addresses.
        status: u16,
        /// Where it goes.
        target: Uri,
    },
    /// What the one who takes our call says about himself; comes right before [`Event::Established`].
    CallInfo {
        /// The call.
        call: CallKey,
        /// Such as `purpose=rue-owner`.
        call_info: Vec<CallInfo>,
        /// The parts of the body beside the answer.
        parts: Vec<BodyPart>,
    },
    /// The call stands.
    Established {
        /// The call.
        call: CallKey,
        /// What flows.
        negotiated: Negotiated,
    },
    /// What flows has changed within a call (a re-INVITE or UPDATE of either side).
    Renegotiated {
        /// The call.
        call: CallKey,
        /// What flows now.
        negotiated: Negotiated,
    },
    /// The far end offers a medium that does not flow yet, or new keys. Answer with `AnswerOffer` or `RefuseOffer`; after
    /// 2 s it is answered with what we can do already.
    Offered {
        /// The call.
        call: CallKey,
        /// What it offers.
        offered: OfferSummary,
    },
    /// A [`Command::Renegotiate`] came to nothing; what flowed before flows on.
    RenegotiationFailed {
        /// The call.
        call: CallKey,
        /// Why.
        failure: CallFailure,
    },
    /// The far end asks us to call someone else. Answer with `AcceptTransfer` or `RejectTransfer`; after 20 s it is
    /// declined.
    TransferRequested {
        /// The call in which it asks.
        call: CallKey,
        /// Whom we are to call.
        target: Uri,
        /// The new call is to take the place of one that the target has (an attended transfer).
        replaces: bool,
        /// What Referred-By says about who asks (RFC 3892).
        referred_by: Option<String>,
    },
    /// The far end tells how far it has come with the call that we asked for. These three may come after the call's own
    /// end.
    TransferProgress {
        /// The call in which we asked.
        call: CallKey,
        /// 100 to 199.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// The far end talks to whom we sent it; our call with it ends.
    Transferred {
        /// The call in which we asked.
        call: CallKey,
    },
    /// The transfer came to nothing; the call goes on.
    TransferFailed {
        /// The call in which we asked.
        call: CallKey,
        /// Why.
        failure: CallFailure,
    },
    /// The far end says something within a call.
    Info {
        /// The call.
        call: CallKey,
        /// What.
        info: Info,
    },
    /// A [`Command::SendInfo`] was refused (its status), or never answered (408, 503).
    InfoFailed {
        /// The call.
        call: CallKey,
        /// The status.
        status: u16,
    },
    /// An established call is over.
    Ended {
        /// The call.
        call: CallKey,
        /// Who ended it.
        by: Side,
        /// What the `Reason` header said, if there was one.
        reason: Option<Reason>,
    },
    /// A call that never stood is over.
    Failed {
        /// The call.
        call: CallKey,
        /// Why.
        failure: CallFailure,
    },
    /// A message of ours was taken: 200 by the far end, 202 by a relay that may deliver it later.
    MessageDelivered {
        /// Which.
        message: MessageKey,
        /// 200 to 299.
        status: u16,
    },
    /// A message of ours came to nothing.
    MessageFailed {
        /// Which.
        message: MessageKey,
        /// Why.
        failure: RequestFailure,
    },
    /// Someone sent a message.
    MessageReceived {
        /// Who says to have sent it.
        from: Uri,
        /// The call whose dialog it came through.
        call: Option<CallKey>,
        /// What the body is, without parameters.
        content_type: String,
        /// The body.
        body: Body,
    },
    /// Someone answered our OPTIONS, as an INVITE would be answered now: 200 means free, 486 busy, 404 unknown.
    Probed {
        /// Which question.
        probe: ProbeKey,
        /// 200 to 699.
        status: u16,
        /// The methods it takes.
        allow: Vec<String>,
        /// The extensions it speaks.
        supported: Vec<String>,
        /// The bodies it reads.
        accept: Vec<String>,
    },
    /// Our OPTIONS was not answered.
    ProbeFailed {
        /// Which question.
        probe: ProbeKey,
        /// Why.
        failure: RequestFailure,
    },
    /// A notifier holds our subscription; said again at each refresh.
    Subscribed {
        /// Which.
        subscription: SubscriptionKey,
        /// For how long, as it said.
        granted: Duration,
    },
    /// A subscription or its refresh came to nothing for now; we try again by ourselves.
    SubscriptionDelayed {
        /// Which.
        subscription: SubscriptionKey,
        /// What happened.
        why: SubscriptionEnd,
        /// When we try again, from now.
        retry_in: Duration,
    },
    /// A subscription is over and its number free.
    SubscriptionEnded {
        /// Which.
        subscription: SubscriptionKey,
        /// Why.
        why: SubscriptionEnd,
    },
    /// What waits in a mailbox, from a subscription or unasked from our own server.
    MessageWaiting(MessageSummary),
    /// A connection is lost. Calls on it live on; give the user agent a new flow and `Register`.
    FlowDead {
        /// Which.
        flow: FlowId,
        /// Why.
        why: FlowDeath,
    },
    /// A command could not be carried out.
    CommandRefused {
        /// The call it named.
        call: Option<CallKey>,
        /// Why.
        why: CommandRefusal,
    },
    /// Something arrived that was answered with an error, or dropped.
    Unexpected {
        /// Where.
        flow: FlowId,
        /// What, in a few words without content.
        what: &'static str,
    },
    /// A message passed, with secrets and numbers removed. Only when [`super::UaConfig::trace`] is set.
    Trace {
        /// Where.
        flow: FlowId,
        /// It left (`Local`) or arrived (`Remote`).
        from: Side,
        /// The redacted text.
        text: String,
    },
}

/// One binding that a registrar holds.
#[derive(Clone, PartialEq)]
pub struct Binding {
    /// Where it leads.
    pub contact: Uri,
    /// How long it holds, when it says so.
    pub expires: Option<Duration>,
    /// Its rank in thousandths; 1000 when it says nothing.
    pub q: u16,
    /// The device, as in `+sip.instance`, without quotes and brackets.
    pub instance: Option<String>,
    /// Which way of the device.
    pub reg_id: Option<u32>,
    /// It leads to a flow of ours.
    pub ours: bool,
}

/// The contact is shown as its length: it may hold a number.
impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("contact", &format_args!("{} letters", self.contact.as_str().len()))
            .field("expires", &self.expires)
            .field("q", &self.q)
            .field("reg_id", &self.reg_id)
            .field("ours", &self.ours)
            .finish_non_exhaustive()
    }
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
            Self::Event(event) => event.fmt(f),
        }
    }
}
