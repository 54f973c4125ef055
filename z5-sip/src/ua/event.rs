//! What a user agent tells the application.

use std::fmt;
use std::time::Duration;

use super::body::Body;
use super::extras::CallInfo;
use super::failure::{CallFailure, CommandRefusal, RegisterFailure};
use super::info::Info;
use super::request_failure::RequestFailure;
use super::types::{CallKey, MessageKey, ProbeKey, Reason, Side, SubscriptionEnd, SubscriptionKey};
use crate::flow::{FlowDeath, FlowId};
use crate::multipart::BodyPart;
use crate::mwi::MessageSummary;
use crate::sdp::{Negotiated, OfferSummary};
use crate::wire::Uri;

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
    /// Registration failed, no binding holds, and it will not be tried again without a [`Command::Register`](super::Command::Register).
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
        /// The caller offers nothing and takes nothing unreliable (`Require: 100rel`): it hears that it rings only when
        /// [`Command::Ring`](super::Command::Ring) brings our offer (RFC 3262 section 5).
        ring_with_offer: bool,
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
    /// What may flow before an incoming call is taken, after [`Command::Progress`](super::Command::Progress): the caller's offer is answered, or ours
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
        /// It answers a [`Command::Renegotiate`](super::Command::Renegotiate).
        by_us: bool,
    },
    /// A [`Command::Renegotiate`](super::Command::Renegotiate) was refused because another offer was open; none is any more.
    MayOffer {
        /// The call.
        call: CallKey,
    },
    /// The far end offers a medium that does not flow yet, or new keys. Answer with `AnswerOffer` or `RefuseOffer`; after
    /// 2 s it is answered with what we can do already.
    Offered {
        /// The call.
        call: CallKey,
        /// What it offers.
        offered: OfferSummary,
    },
    /// A [`Command::Renegotiate`](super::Command::Renegotiate) came to nothing; what flowed before flows on.
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
    /// A [`Command::SendInfo`](super::Command::SendInfo) was refused (its status), or never answered (408, 503), or
    /// not sent because the far end has said that it makes no pictures on request (403).
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
