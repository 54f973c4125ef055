//! How a message finds its transaction (RFC 3261 sections 17.1.3 and 17.2.3), and how a merged request is noticed
//! (section 8.2.2.2).

use std::net::IpAddr;

use crate::ident::BRANCH_COOKIE;
use crate::wire::{Host, Message, Method};

/// A client transaction: the branch of the topmost Via and the method of CSeq, which tells a CANCEL from its INVITE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey {
    branch: String,
    method: Method,
}

impl ClientKey {
    /// Of a request we send, or of a response we received. `None` when a header it needs is missing or malformed.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        let branch = message.branch()?.to_owned();
        Some(Self { branch, method: message.cseq().ok()?.method })
    }
}

/// A server transaction. An ACK has the key of its INVITE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerKey {
    /// The branch has the magic cookie: branch, sent-by and method are enough.
    Branch {
        /// The branch.
        branch: String,
        /// Host and port of the topmost Via, the port that the transport implies if none is written; two clients may
        /// choose the same branch.
        sent_by: (SentBy, u16),
        /// The method, INVITE for an ACK.
        method: Method,
    },
    /// RFC 2543: no cookie; everything that stays the same in repetitions and in the ACK.
    Classic {
        /// The Request-URI as written.
        request_uri: String,
        /// The tag of To; left out for INVITE and ACK, where only the ACK has it.
        to_tag: Option<String>,
        /// The tag of From.
        from_tag: Option<String>,
        /// Call-ID.
        call_id: String,
        /// The number of CSeq.
        cseq: u32,
        /// The topmost Via as written.
        via: String,
        /// The method, INVITE for an ACK.
        method: Method,
    },
}

/// The host of a sent-by: addresses compare as addresses, names without letter case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SentBy {
    /// An address.
    Address(IpAddr),
    /// A name in lower case.
    Name(String),
}

impl From<Host<'_>> for SentBy {
    fn from(host: Host<'_>) -> Self {
        match host {
            Host::V4(address) => Self::Address(address.into()),
            Host::V6(address) => Self::Address(address.into()),
            Host::Name(name) => Self::Name(name.to_ascii_lowercase()),
        }
    }
}

impl ServerKey {
    /// Of a request we received. `None` when a header it needs is missing or malformed.
    #[must_use]
    pub fn of(request: &Message) -> Option<Self> {
        let method = request.method()?;
        let method = if method == Method::Ack { Method::Invite } else { method };
        Self::with_method(request, method)
    }

    /// The transaction that a CANCEL is for: the same key with the method of the request it cancels, which can only
    /// be INVITE for us (RFC 3261 section 9.2).
    #[must_use]
    pub fn cancelled_by(cancel: &Message) -> Option<Self> {
        Self::with_method(cancel, Method::Invite)
    }

    fn with_method(request: &Message, method: Method) -> Option<Self> {
        let via = request.via().ok()?;
        if let Some(branch) = via.branch().filter(|branch| has_cookie(branch)) {
            let sent_by = (via.host.into(), via.port_or_default());
            return Some(Self::Branch { branch: branch.to_owned(), sent_by, method });
        }
        let top = request.values(crate::wire::Name::Via).next()?;
        let to_tag = match method == Method::Invite {
            true => None,
            false => request.to_tag().map(str::to_owned),
        };
        Some(Self::Classic {
            request_uri: request.request_uri()?.ok()?.as_str().to_owned(),
            to_tag,
            from_tag: request.from_tag().map(str::to_owned),
            call_id: request.call_id().ok()?.to_owned(),
            cseq: request.cseq().ok()?.number,
            via: String::from_utf8_lossy(top).into_owned(),
            method,
        })
    }
}

/// The cookie compares without letter case in the field (RFC 3261 section 7.3.1 on tokens).
fn has_cookie(branch: &str) -> bool {
    branch.get(..BRANCH_COOKIE.len()).is_some_and(|start| start.eq_ignore_ascii_case(BRANCH_COOKIE))
}

/// What two copies of one request share that took different ways to us (RFC 3261 section 8.2.2.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MergeKey {
    from_tag: String,
    call_id: String,
    cseq: u32,
    method: Method,
}

impl MergeKey {
    /// Of a request outside any dialog; `None` for one inside a dialog, for ACK and CANCEL.
    #[must_use]
    pub fn of(request: &Message) -> Option<Self> {
        let method = request.method()?;
        if matches!(method, Method::Ack | Method::Cancel) || request.to_tag().is_some() {
            return None;
        }
        Some(Self {
            from_tag: request.from_tag()?.to_owned(),
            call_id: request.call_id().ok()?.to_owned(),
            cseq: request.cseq().ok()?.number,
            method,
        })
    }
}
