//! A request before it has a Via: what stays the same when it is sent again with credentials, another CSeq or on another
//! flow (RFC 3261 section 8.1).

use std::borrow::Cow;

use bytes::Bytes;

use crate::wire::{BuildError, Message, Method, Name, RequestBuilder, Transport};

/// Hops a request of ours may take (RFC 3261 section 8.1.1.6).
const MAX_FORWARDS: u8 = 70;

/// The parts of a request of ours. Values are checked when it is written.
#[derive(Clone)]
pub struct Outline {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: String,
    /// The values of Route, first hop first.
    pub routes: Vec<String>,
    /// The value of From, with our tag.
    pub from: String,
    /// The value of To, with the far end's tag inside a dialog.
    pub to: String,
    /// Call-ID.
    pub call_id: String,
    /// The number of CSeq.
    pub cseq: u32,
    /// Everything else, in order.
    pub headers: Vec<(Name<'static>, String)>,
    /// Content-Type and body.
    pub body: Option<(Cow<'static, str>, Bytes)>,
}

/// The hop a request is written for.
#[derive(Clone, Copy)]
pub struct Hop<'a> {
    /// What carries it.
    pub transport: Transport,
    /// Our address on the flow, as [`Flow::sent_by`](crate::flow::Flow::sent_by) gives it.
    pub sent_by: &'a str,
    /// The transaction.
    pub branch: &'a str,
}

impl Outline {
    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: Name<'static>, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The message for one hop, with the credentials that go with this attempt.
    ///
    /// # Errors
    /// A value that cannot stand in a header.
    pub fn write(
        &self,
        hop: Hop<'_>,
        credentials: &[(Name<'static>, String)],
    ) -> Result<Message, BuildError> {
        let mut builder = RequestBuilder::with_uri(self.method.clone(), &self.uri)
            .via_of(hop.transport, hop.sent_by, hop.branch)
            .max_forwards(MAX_FORWARDS);
        for route in &self.routes {
            builder = builder.header(Name::Route, route);
        }
        builder = builder
            .header(Name::From, &self.from)
            .header(Name::To, &self.to)
            .call_id(&self.call_id)
            .cseq(self.cseq);
        for (name, value) in credentials.iter().chain(&self.headers) {
            builder = builder.header(*name, value);
        }
        if let Some((content_type, body)) = &self.body {
            builder = builder.body(content_type, body.clone());
        }
        builder.build()
    }
}
