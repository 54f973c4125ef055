//! What a step borrows from the machine while it handles an input.

use std::time::Instant;

use bytes::Bytes;
use z5_sip::ident::Ident;
use z5_sip::outbox::Outbox;

use super::exchange::{Exchange, HttpAuth, Request, Server};
use super::io::Effect;
use super::plan::Plan;
use crate::clock::WallAnchor;

/// The plan, the time, and the sources of numbers.
pub(crate) struct Context<'a> {
    pub(crate) plan: &'a Plan,
    /// The last number given to an HTTPS request.
    pub(crate) ids: &'a mut u64,
    pub(crate) ident: &'a mut Ident,
    pub(crate) now: Instant,
    pub(crate) wall: WallAnchor,
}

impl Context<'_> {
    pub(crate) fn get(
        &mut self,
        server: &Server,
        target: String,
        auth: &mut HttpAuth,
        out: &mut Outbox<Effect>,
    ) -> Exchange {
        let request = Request { method: "GET", target, headers: Vec::new(), content: None };
        Exchange::begin(server, request, auth, self.ids, self.ident, out)
    }

    pub(crate) fn post(
        &mut self,
        server: &Server,
        target: String,
        content: (&'static str, Bytes),
        auth: &mut HttpAuth,
        out: &mut Outbox<Effect>,
    ) -> Exchange {
        let request = Request { method: "POST", target, headers: Vec::new(), content: Some(content) };
        Exchange::begin(server, request, auth, self.ids, self.ident, out)
    }
}
