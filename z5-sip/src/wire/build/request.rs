//! Requests (RFC 3261 section 8.1.1), CANCEL (section 9.1) and the ACK to a failure (section 17.1.1.3).

use std::fmt::Display;

use bytes::Bytes;

use super::{Address, BuildError, Draft};
use crate::wire::chars;
use crate::wire::header::Transport;
use crate::wire::message::{MessageRef, StartLine};
use crate::wire::method::Method;
use crate::wire::name::Name;
use crate::wire::uri::UriRef;
use crate::wire::{Host, Message};

/// Builds a request; every setter takes the builder and gives it back, the first error comes out of `build`.
#[derive(Debug, Clone)]
#[must_use]
pub struct RequestBuilder {
    method: Method,
    draft: Draft,
}

impl RequestBuilder {
    /// The request line. `uri` is a [`Uri`](crate::wire::Uri), a [`UriRef`] or text.
    pub fn new(method: Method, uri: impl Display) -> Self {
        Self::with_uri(method, &uri.to_string())
    }

    /// The same with the text of the URI.
    pub(crate) fn with_uri(method: Method, uri: &str) -> Self {
        let mut draft = Draft::request(method.as_str().as_bytes(), uri.as_bytes());
        if !chars::all_token(method.as_str().as_bytes()) {
            draft.fail(BuildError::BadMethod);
        }
        if UriRef::parse(uri.as_bytes()).is_err() {
            draft.fail(BuildError::BadUri { name: "the request line".into() });
        }
        Self { method, draft }
    }

    /// A Via with `rport` asked for (RFC 3581). `sent_by` is a host, or host and port, as
    /// [`std::net::SocketAddr`] prints itself.
    pub fn via(mut self, transport: Transport, sent_by: impl Display, branch: &str) -> Self {
        let sent_by = sent_by.to_string();
        if Host::parse_with_port(sent_by.as_bytes()).is_err() {
            self.draft.fail(BuildError::BadParam { name: "sent-by".into() });
        }
        self.via_of(transport, &sent_by, branch)
    }

    /// The same for an address of ours.
    pub(crate) fn via_of(mut self, transport: Transport, sent_by: &str, branch: &str) -> Self {
        if !chars::all_token(branch.as_bytes()) {
            self.draft.fail(BuildError::BadParam { name: "branch".into() });
        }
        if self.draft.is_sound() {
            let parts = ["SIP/2.0/", transport.as_str(), " ", sent_by, ";branch=", branch, ";rport"];
            self.draft.parts(Name::Via, &parts);
        }
        self
    }

    /// Max-Forwards.
    pub fn max_forwards(mut self, hops: u8) -> Self {
        self.draft.number(Name::MaxForwards, hops.into(), &[]);
        self
    }

    /// From.
    pub fn from(self, address: &Address) -> Self {
        self.address(Name::From, address)
    }

    /// To.
    pub fn to(self, address: &Address) -> Self {
        self.address(Name::To, address)
    }

    /// Contact.
    pub fn contact(self, address: &Address) -> Self {
        self.address(Name::Contact, address)
    }

    /// Any header whose value is an address.
    pub fn address(mut self, name: Name<'_>, address: &Address) -> Self {
        match address.to_value() {
            Ok(value) => self.header(name, value),
            Err(why) => {
                self.draft.fail(why);
                self
            }
        }
    }

    /// Call-ID.
    pub fn call_id(self, call_id: &str) -> Self {
        self.header(Name::CallId, call_id)
    }

    /// CSeq; the method is the request's own.
    pub fn cseq(mut self, number: u32) -> Self {
        if self.draft.is_sound() {
            self.draft.number(Name::CSeq, number.into(), &[" ", self.method.as_str()]);
        }
        self
    }

    /// Any header field. A Content-Length is ignored: the builder counts the body itself.
    pub fn header(mut self, name: Name<'_>, value: impl AsRef<[u8]>) -> Self {
        self.draft.header(name, value.as_ref());
        self
    }

    /// Any header field, when there is a value.
    pub fn header_opt(self, name: Name<'_>, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Content-Type and body; any bytes.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.draft.body(content_type, body.into());
        self
    }

    /// The message, or the first error of any setter.
    pub fn build(self) -> Result<Message, BuildError> {
        self.draft.build()
    }

    /// The CANCEL of a request: same Request-URI, topmost Via, From, To, Call-ID, CSeq number and Route
    /// (RFC 3261 section 9.1).
    pub fn cancel(request: &Message) -> Result<Self, BuildError> {
        Self::follow(Method::Cancel, request, None)
    }

    /// The ACK of a final response from 300 to 699: as [`Self::cancel`], but To is the response's
    /// (RFC 3261 section 17.1.1.3). The ACK of a 2xx is a request of the dialog, not this.
    pub fn ack(request: &Message, response: &Message) -> Result<Self, BuildError> {
        let to = response.header(Name::To);
        let to = to.ok_or(BuildError::Source { name: "To", why: super::HeaderError::Missing })?;
        Self::follow(Method::Ack, request, Some(to))
    }

    fn follow(method: Method, request: &Message, to: Option<&[u8]>) -> Result<Self, BuildError> {
        let request: MessageRef<'_> = request.view();
        let StartLine::Request { uri, .. } = request.start() else { return Err(BuildError::WrongKind) };
        let required = |name: Name<'_>, label| {
            let value = request.values(name).next();
            value.ok_or(BuildError::Source { name: label, why: super::HeaderError::Missing })
        };
        let field = |name: Name<'_>, label| {
            request.header(name).ok_or(BuildError::Source { name: label, why: super::HeaderError::Missing })
        };
        let cseq = request.cseq().map_err(|why| BuildError::Source { name: "CSeq", why })?;
        let mut builder = Self::with_uri(method, &String::from_utf8_lossy(uri));
        let draft = &mut builder.draft;
        draft.copied(Name::Via, required(Name::Via, "Via")?);
        for route in request.headers(Name::Route) {
            draft.copied(Name::Route, route);
        }
        draft.header(Name::MaxForwards, b"70");
        draft.copied(Name::From, field(Name::From, "From")?);
        draft.copied(
            Name::To,
            match to {
                Some(to) => to,
                None => field(Name::To, "To")?,
            },
        );
        draft.copied(Name::CallId, field(Name::CallId, "Call-ID")?);
        Ok(builder.cseq(cseq.number))
    }
}
