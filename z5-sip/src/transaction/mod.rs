//! The four transaction machines (RFC 3261 section 17, with the corrections of RFC 6026), and how a message finds its
//! transaction (sections 17.1.3 and 17.2.3, RFC 2543 included).
//!
//! A machine knows one transaction: it sends, repeats, absorbs repetitions and gives up. It does not know dialogs,
//! the ACK of a 2xx, or who owns it: that is the user agent's.
//!
//! | machine | opens with | ends with |
//! |---|---|---|
//! | [`ClientInvite`] | an INVITE to send | timer B, D, M, or a lost flow |
//! | [`ClientNonInvite`] | any other request to send | timer F, K, or a lost flow |
//! | [`ServerInvite`] | an INVITE received | timer H, I, L |
//! | [`ServerNonInvite`] | any other request received | timer J |
//!
//! All have one shape: `handle(input, now, out)`, then [`Outbox`](crate::outbox::Outbox) holds what to do, and
//! `next_deadline()` says when to come back with `Deadline`. A late or repeated `Deadline` does no harm.

mod client_invite;
mod client_non_invite;
mod key;
mod server_invite;
mod server_non_invite;
mod timers;

#[cfg(test)]
mod tests;

pub use client_invite::ClientInvite;
pub use client_non_invite::ClientNonInvite;
pub use key::{ClientKey, MergeKey, SentBy, ServerKey};
pub use server_invite::ServerInvite;
pub use server_non_invite::ServerNonInvite;
pub use timers::Timers;

use crate::wire::Message;

/// What happens to a client transaction.
#[derive(Debug)]
pub enum ClientInput {
    /// A response that matched it.
    Response(Message),
    /// The flow is gone, or a write failed.
    FlowLost,
    /// Nobody waits for the answer any more, as after a CANCEL: an INVITE that has only provisional responses ends after
    /// another 64 x T1 (RFC 3261 section 9.1). What comes until then is still dealt with.
    Abandon,
    /// Time to look at the timers.
    Deadline,
}

/// What a client transaction wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEffect {
    /// Write this on the flow.
    Send(Message),
    /// Give this to the transaction user. A repeated provisional is passed on, a repeated final is not, except that
    /// every 2xx to an INVITE is: its ACK is the dialog's (RFC 6026 section 7.2).
    Response(Message),
    /// No final response in time: RFC 3261's name of the timer that ran out.
    TimedOut(&'static str),
    /// The flow went away before a final response.
    FlowLost,
}

/// What happens to a server transaction.
#[derive(Debug)]
pub enum ServerInput {
    /// The request came again.
    Repeated,
    /// The ACK of a final response from 300 to 699 (only for an INVITE).
    Ack,
    /// The transaction user answers.
    Respond(Message),
    /// The flow is gone, or a write failed.
    FlowLost,
    /// Time to look at the timers.
    Deadline,
}

/// What a server transaction wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEffect {
    /// Write this on the flow.
    Send(Message),
    /// The final response was never acknowledged (timer H).
    NotAcknowledged,
    /// The flow went away before a final response could be sent.
    FlowLost,
}
