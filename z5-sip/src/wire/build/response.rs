//! Responses to a request (RFC 3261 section 8.2.6).

use std::fmt;

use bytes::Bytes;

use super::{Address, BuildError, Draft, check_value, reason_phrase};
use crate::wire::chars;
use crate::wire::message::{Message, MessageRef};
use crate::wire::name::Name;

/// Builds a response; the first error comes out of `build`.
#[derive(Clone)]
#[must_use]
pub struct ResponseBuilder {
    draft: Draft,
    /// To as the request has it, written at `to_at` once the tag is known.
    to: Option<Vec<u8>>,
    to_at: usize,
    to_has_tag: bool,
}

/// Lengths only: it may hold a key.
impl fmt::Debug for ResponseBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBuilder").field("draft", &self.draft).finish_non_exhaustive()
    }
}

impl ResponseBuilder {
    /// Copies every Via, From, To, Call-ID and CSeq of the request; Record-Route with
    /// [`Self::record_route`]. An empty `reason` means the registered phrase.
    pub fn to_request(request: &Message, status: u16, reason: &str) -> Self {
        Self::to_request_ref(request.view(), status, reason)
    }

    /// The same for a borrowed message.
    pub fn to_request_ref(request: MessageRef<'_>, status: u16, reason: &str) -> Self {
        let mut draft = Draft::new();
        if !request.is_request() {
            draft.fail(BuildError::WrongKind);
        }
        if !(100..700).contains(&status) {
            draft.fail(BuildError::BadStatus(status));
        }
        if let Err(why) = check_value("the reason phrase", reason.as_bytes()) {
            draft.fail(why);
        }
        let reason = if reason.is_empty() { reason_phrase(status) } else { reason };
        draft.line(&[b"SIP/2.0", status.to_string().as_bytes(), reason.as_bytes()]);
        for via in request.headers(Name::Via) {
            draft.copied(Name::Via, via);
        }
        // What a malformed request lacks cannot be copied; its refusal is sent without it.
        let mut to_at = 0;
        for name in [Name::From, Name::CallId, Name::CSeq] {
            if let Some(value) = request.header(name) {
                draft.copied(name, value);
            }
            if name == Name::From {
                to_at = draft.len();
            }
        }
        let to = request.header(Name::To).map(<[u8]>::to_vec);
        let to_has_tag = request.to().is_ok_and(|to| to.params.has("tag"));
        Self { draft, to, to_at, to_has_tag }
    }

    /// Adds a tag to To, unless the request's To has one already.
    pub fn to_tag(mut self, tag: &str) -> Self {
        if !chars::all_token(tag.as_bytes()) {
            self.draft.fail(BuildError::BadParam { name: "tag".into() });
        } else if !self.to_has_tag
            && let Some(to) = &mut self.to
        {
            // With and without brackets, what stands last behind a `;` is the header's own parameter.
            to.extend_from_slice(b";tag=");
            to.extend_from_slice(tag.as_bytes());
            self.to_has_tag = true;
        }
        self
    }

    /// Copies every Record-Route of the request: for responses that make a dialog (RFC 3261 section 12.1.1).
    pub fn record_route(mut self, request: &Message) -> Self {
        for route in request.headers(Name::RecordRoute) {
            self.draft.copied(Name::RecordRoute, route);
        }
        self
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
    pub fn build(mut self) -> Result<Message, BuildError> {
        if let Some(to) = self.to.take() {
            self.draft.insert(self.to_at, Name::To, &to);
        }
        self.draft.build()
    }
}
