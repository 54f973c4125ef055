//! The mailboxes: SUBSCRIBE to `message-summary` is granted and answered by a NOTIFY at once (RFC 6665, RFC 3842).
//!
//! A subscription is not remembered: what waits in a mailbox does not change while the carrier runs, so there is nothing
//! to notify later. A SUBSCRIBE with `Expires: 0` is told the last state and `terminated` (RFC 6665 section 4.4.1).

use z5_sip::wire::{Message, Method, Name, RequestBuilder, ResponseBuilder};

use super::proxy::request_user;
use super::switch::Switch;
use super::{ConnectionId, FAR_ENDS};
use crate::account;

/// The longest subscription that is granted, in seconds (RFC 3842 section 5.3 asks for hours; this carrier for half an hour).
const LONGEST: u32 = 1800;
const PACKAGE: &str = "message-summary";

impl Switch {
    /// Answers a SUBSCRIBE; true when it was one.
    pub(super) fn subscribe(&mut self, from: ConnectionId, request: &Message) -> bool {
        if request.method() != Some(Method::Subscribe) || from == FAR_ENDS {
            return false;
        }
        if !request.lists_token(Name::Event, PACKAGE) {
            let response = ResponseBuilder::to_request(request, 489, "").header(Name::AllowEvents, PACKAGE);
            self.answer_with(from, request, response);
            return true;
        }
        let Some(subscriber) = self.authenticate(from, request, true) else { return true };
        // Within its dialog it is addressed to us; whose mailbox it is says To.
        let within = request.to().ok().filter(|to| to.tag().is_some());
        let named = match within {
            Some(to) => to.uri.user_unescaped().map(|user| user.into_owned()),
            None => request_user(request),
        };
        let mailbox = named
            .and_then(|user| account::find(&self.state.accounts, &user).map(|(_, number)| number.clone()));
        let Some(mailbox) = mailbox else {
            self.answer(from, request, 404, "");
            return true;
        };
        if mailbox.sip_user != subscriber {
            self.answer(from, request, 403, "Not Your Mailbox");
            return true;
        }
        let granted = request.expires().ok().flatten().unwrap_or(LONGEST).min(LONGEST);
        let tag = match request.to().ok().and_then(|to| to.tag().map(str::to_owned)) {
            Some(tag) => tag,
            None => self.ident.tag(),
        };
        let here = format!("<sip:{}>", self.local(from));
        let response = ResponseBuilder::to_request(request, 200, "")
            .to_tag(&tag)
            .header(Name::Expires, granted.to_string())
            .header(Name::Contact, &here);
        self.answer_with(from, request, response);
        let state = match granted {
            0 => "terminated;reason=timeout".to_owned(),
            seconds => format!("active;expires={seconds}"),
        };
        let waiting = if mailbox.video_messages == 0 { "no" } else { "yes" };
        let body = format!(
            "Messages-Waiting: {waiting}\r\nMessage-Account: sip:{}@{}\r\nMultimedia-Message: {}/0\r\n",
            mailbox.sip_user,
            self.state.names.domain(),
            mailbox.video_messages
        );
        if let Some(notify) = self.notification(from, request, &tag, &here, &state, body) {
            self.send(from, notify);
        }
        true
    }

    fn notification(
        &mut self,
        to: ConnectionId,
        request: &Message,
        tag: &str,
        here: &str,
        state: &str,
        body: String,
    ) -> Option<Message> {
        let contact = request.contact().ok()?.uri.to_uri();
        let (subscriber, mailbox) = (request.text(Name::From)?, request.text(Name::To)?);
        let mailbox = match request.to().ok()?.tag() {
            Some(_) => mailbox.into_owned(),
            None => format!("{mailbox};tag={tag}"),
        };
        // One NOTIFY follows each SUBSCRIBE, so its number can count them.
        let cseq = request.cseq().ok()?.number;
        RequestBuilder::new(Method::Notify, contact)
            .via(self.transport(to), self.local(to), &self.ident.branch())
            .max_forwards(70)
            .header(Name::From, mailbox)
            .header(Name::To, subscriber.as_ref())
            .header(Name::CallId, request.call_id().ok()?)
            .header(Name::CSeq, format!("{cseq} NOTIFY"))
            .header(Name::Contact, here)
            .header(Name::Event, PACKAGE)
            .header(Name::SubscriptionState, state)
            .body("application/simple-message-summary", body)
            .build()
            .ok()
    }
}
