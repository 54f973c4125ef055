//! What a step borrows from the machine while it handles an input.

use std::time::Instant;

use bytes::Bytes;
use z5_sip::ident::Ident;
use z5_sip::outbox::Outbox;

use super::exchange::{Exchange, HttpAuth, Server};
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
        Exchange::begin(server, "GET", target, None, None, auth, self.ids, self.ident, out)
    }

    pub(crate) fn post(
        &mut self,
        server: &Server,
        target: String,
        content: (&'static str, Bytes),
        auth: &mut HttpAuth,
        out: &mut Outbox<Effect>,
    ) -> Exchange {
        Exchange::begin(server, "POST", target, Some(content), None, auth, self.ids, self.ident, out)
    }

    pub(crate) fn report(
        &mut self,
        server: &Server,
        target: String,
        content: (&'static str, Bytes),
        auth: &mut HttpAuth,
        out: &mut Outbox<Effect>,
    ) -> Exchange {
        Exchange::begin(server, "REPORT", target, Some(content), Some("1"), auth, self.ids, self.ident, out)
    }
}
