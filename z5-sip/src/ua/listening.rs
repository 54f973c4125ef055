//! SUBSCRIBE of the far end. It can ask for one thing: to hear on, or no more, of a transfer that it asked for (RFC 6665 section
//! 4.2.1, RFC 3515 section 2.4.4). Such a subscription begins with its REFER alone: asked for by SUBSCRIBE it is refused 403, as
//! RFC 3515 has it, and one that is over or was never there is 481. The subscriptions of RFC 7614, which begin at an address that
//! a REFER's answer gives, are an extension that we do not offer: a REFER that requires it is refused 420.

use std::time::Duration;

use super::incoming::warned;
use super::transfer::is_refer_event;
use super::types::CallKey;
use super::{Turn, UserAgent};
use crate::dialog::DialogId;
use crate::wire::{Message, Name};

/// The one package of which we have something to tell.
const PACKAGE: &str = "refer";

impl UserAgent {
    pub(super) fn on_subscribe_request(
        &mut self,
        number: u64,
        request: &Message,
        inside: bool,
        turn: &mut Turn<'_>,
    ) {
        if !is_refer_event(request) {
            self.respond(number, 489, turn, |builder| builder.header(Name::AllowEvents, PACKAGE));
            return;
        }
        if !inside {
            let why = "reports on a transfer begin with its REFER";
            self.respond(number, 403, turn, |builder| warned(builder, 399, why));
            return;
        }
        let Some((key, contact)) = self.listener(request) else {
            self.respond(number, 481, turn, |builder| builder);
            return;
        };
        let cseq = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
        if self.referral_dialog(key).is_none_or(|dialog| dialog.admit(cseq).is_err()) {
            self.respond(number, 500, turn, |builder| builder);
            return;
        }
        let asked = request.expires().ok().flatten().map(|seconds| Duration::from_secs(seconds.into()));
        let granted = self.listen_on(key, asked, turn.now);
        self.respond(number, 200, turn, |builder| {
            builder.header(Name::Expires, granted.as_secs().to_string()).header(Name::Contact, contact)
        });
        // Each SUBSCRIBE is followed by how things stand (RFC 6665 section 4.2.1.2).
        self.repeat_report(key, granted.is_zero(), turn);
    }

    /// The reports that a SUBSCRIBE is about, and our Contact in their dialog.
    fn listener(&self, request: &Message) -> Option<(CallKey, String)> {
        let id = DialogId::of_request(request)?;
        let event: Option<u32> = match request.header_params(Name::Event).get("id") {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        let (key, call) = self.referral_of(&id, event)?;
        let contact = match self.calls.get(&call) {
            Some(call) => self.call_contact(call),
            None => self.current.and_then(|flow| self.contact_value(flow, false)),
        };
        Some((key, contact.unwrap_or_default()))
    }
}
