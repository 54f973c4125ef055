//! Responses to a request (RFC 3261 section 8.2.6).

use std::fmt;

use bytes::Bytes;

use super::{Address, BuildError, Draft, check_value, reason_phrase};
use crate::wire::chars;
use crate::wire::header::NameAddr;
use crate::wire::message::{Message, MessageRef};
use crate::wire::name::Name;

/// Builds a response; the first error comes out of `build`.
#[derive(Clone)]
#[must_use]
pub struct ResponseBuilder {
    draft: Draft,
    /// The field To when it may get a tag.
    untagged: Option<usize>,
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
        let safe = check_value("the reason phrase", reason.as_bytes());
        let reason = if reason.is_empty() { reason_phrase(status) } else { reason };
        let mut draft = Draft::response(status, reason.as_bytes());
        if !request.is_request() {
            draft.fail(BuildError::WrongKind);
        }
        if !(100..700).contains(&status) {
            draft.fail(BuildError::BadStatus(status));
        }
        if let Err(why) = safe {
            draft.fail(why);
        }
        for via in request.headers(Name::Via) {
            draft.copied(Name::Via, via);
        }
        // What a malformed request lacks cannot be copied; its refusal is sent without it.
        let mut untagged = None;
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            let Some(value) = request.header(name) else { continue };
            if name == Name::To && !NameAddr::params_of(value).is_ok_and(|params| params.has("tag")) {
                untagged = Some(draft.len());
            }
            draft.copied(name, value);
        }
        Self { draft, untagged }
    }

    /// Adds a tag to To, unless the request's To has one already.
    pub fn to_tag(mut self, tag: &str) -> Self {
        if !chars::all_token(tag.as_bytes()) {
            self.draft.fail(BuildError::BadParam { name: "tag".into() });
        } else if let Some(to) = self.untagged.take() {
            // With and without brackets, what stands last behind a `;` is the header's own parameter.
            self.draft.extend(to, &[b";tag=", tag.as_bytes()]);
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
    pub fn build(self) -> Result<Message, BuildError> {
        self.draft.build()
    }
}
