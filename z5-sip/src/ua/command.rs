//! What the application wishes of a user agent.

use std::time::Duration;

use super::body::Body;
use super::info::Info;
use super::options::CallOptions;
use super::types::{CallKey, MessageKey, Package, ProbeKey, SubscriptionKey};
use crate::auth::Credentials;
use crate::sdp::Capabilities;
use crate::wire::Uri;

/// What the application wishes.
#[derive(Clone, Debug)]
pub enum Command {
    /// Register on the newest flow of each `reg_id` and keep it so. Again while registered: refresh now.
    Register,
    /// The same for one of our ways to the registrar alone.
    RegisterWay {
        /// Which (RFC 5626 section 4.2.1).
        reg_id: u32,
    },
    /// Ask the registrar which bindings it holds (RFC 3261 section 10.2.3), ours and those of other devices.
    FetchBindings,
    /// Other credentials from now on, as after [`Event::RegistrationFailed`](super::Event::RegistrationFailed) with refused ones.
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
        /// What we can do, on ports already reserved: used where [`Event::Incoming`](super::Event::Incoming) says that ringing
        /// must offer, and it holds on when the call is taken. Without it such a caller hears nothing before the call is taken.
        offer: Option<Capabilities>,
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
    /// Do not take an incoming call and say who may (302, RFC 3261 section 21.3.3).
    Redirect {
        /// An incoming call.
        call: CallKey,
        /// Whom the caller is to call instead.
        to: Uri,
    },
    /// Change what flows in a call, as hold and resume do: by INVITE when it stands, by UPDATE before, once early media
    /// is agreed on; with a far end that takes no UPDATE, in our next PRACK, or by INVITE as soon as the call stands. Every medium of the call stays in its place; one that is left out is closed.
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
    /// Ask what someone can do (OPTIONS). Any final answer comes back as [`Event::Probed`](super::Event::Probed).
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
    /// Answer an [`Event::Offered`](super::Event::Offered).
    AnswerOffer {
        /// The call.
        call: CallKey,
        /// What we can do from now on, on ports already reserved.
        answer: Capabilities,
    },
    /// Refuse an [`Event::Offered`](super::Event::Offered) with 488; what flowed before flows on.
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
    /// Do what an [`Event::TransferRequested`](super::Event::TransferRequested) asks for: the far end is told what becomes of the new call.
    AcceptTransfer {
        /// The call in which it was asked for.
        call: CallKey,
        /// The application's number for the new call.
        new_call: CallKey,
        /// What we can do in it, on ports already reserved.
        offer: Capabilities,
    },
    /// Do not do what an [`Event::TransferRequested`](super::Event::TransferRequested) asks for.
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
