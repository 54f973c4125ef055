//! Who wants to know of a mailbox: SUBSCRIBE to `message-summary` is granted and answered by a NOTIFY at once, and another follows when a
//! message is left, looked at or removed (RFC 6665, RFC 3842).
//!
//! A SUBSCRIBE with `Expires: 0` is told the last state and `terminated` (RFC 6665 section 4.4.1). What is in a mailbox is in `mail`.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use z5_sip::wire::{Message, Method, Name, RequestBuilder, ResponseBuilder};

use super::proxy::request_user;
use super::switch::Switch;
use super::{ConnectionId, FAR_ENDS};
use crate::account;

/// The longest subscription that is granted, in seconds (RFC 3842 section 5.3 asks for hours; this carrier for half an hour).
const LONGEST: u32 = 1800;
const PACKAGE: &str = "message-summary";
/// Subscriptions that are remembered; beyond that none is prolonged.
const MAX_SUBSCRIPTIONS: usize = 4096;

/// Who wants to know.
#[derive(Default)]
pub(super) struct Mailboxes {
    /// By Call-ID.
    subscriptions: HashMap<String, Subscription>,
}

struct Subscription {
    mailbox: String,
    /// Its last SUBSCRIBE, and what we call ourselves in its dialog.
    request: Message,
    tag: String,
    connection: ConnectionId,
    /// The number of its last NOTIFY.
    cseq: u32,
    expires: Instant,
}

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
        let mailbox = named.and_then(|user| {
            account::find(&self.state.accounts, &user).map(|(_, number)| number.sip_user.clone())
        });
        let Some(mailbox) = mailbox else {
            self.answer(from, request, 404, "");
            return true;
        };
        if mailbox != subscriber {
            self.answer(from, request, 403, "Not Your Mailbox");
            return true;
        }
        let granted = request.expires().ok().flatten().unwrap_or(LONGEST).min(LONGEST);
        let tag = match request.to().ok().and_then(|to| to.tag().map(str::to_owned)) {
            Some(tag) => tag,
            None => self.ident.tag(),
        };
        let (Ok(call_id), Ok(asked)) = (request.call_id().map(str::to_owned), request.cseq()) else {
            return true;
        };
        let here = format!("<sip:{}>", self.local(from));
        let response = ResponseBuilder::to_request(request, 200, "")
            .to_tag(&tag)
            .header(Name::Expires, granted.to_string())
            .header(Name::Contact, &here);
        self.answer_with(from, request, response);
        let now = self.state.clock.now();
        let told = self.mailboxes.subscriptions.get(&call_id).map_or(0, |known| known.cseq);
        let subscription = Subscription {
            mailbox,
            request: request.clone(),
            tag,
            connection: from,
            cseq: asked.number.max(told + 1),
            expires: now + Duration::from_secs(granted.into()),
        };
        if let Some(notify) = self.notification(&subscription, now) {
            self.send(from, notify);
        }
        let subscriptions = &mut self.mailboxes.subscriptions;
        subscriptions.retain(|_, known| known.expires > now);
        if granted == 0 || subscriptions.len() >= MAX_SUBSCRIPTIONS {
            subscriptions.remove(&call_id);
        } else {
            subscriptions.insert(call_id, subscription);
        }
        true
    }

    /// Everybody who wants to know of a mailbox that has changed is told.
    pub(crate) fn tell_of_mail(&mut self) {
        for user in self.state.mail.take_changed() {
            self.tell_of(&user);
        }
    }

    fn tell_of(&mut self, user: &str) {
        let now = self.state.clock.now();
        let mut subscriptions = std::mem::take(&mut self.mailboxes.subscriptions);
        subscriptions.retain(|_, known| known.expires > now);
        for subscription in subscriptions.values_mut().filter(|known| known.mailbox == user) {
            // A client that came back over a new connection is told there.
            if !self.is_open(subscription.connection)
                && let Some(binding) = self.bindings.newest(user, now)
            {
                subscription.connection = binding.connection;
            }
            subscription.cseq += 1;
            if let Some(notify) = self.notification(subscription, now) {
                self.send(subscription.connection, notify);
            }
        }
        self.mailboxes.subscriptions = subscriptions;
    }

    fn notification(&mut self, of: &Subscription, now: Instant) -> Option<Message> {
        let Subscription { mailbox, request, tag, connection, cseq, expires } = of;
        let left = expires.saturating_duration_since(now).as_secs();
        let state = match left {
            0 => "terminated;reason=timeout".to_owned(),
            seconds => format!("active;expires={seconds}"),
        };
        let (new, old) = self.state.mail.count(mailbox);
        let body = format!(
            "Messages-Waiting: {}\r\nMessage-Account: sip:{mailbox}@{}\r\nMultimedia-Message: {new}/{old}\r\n",
            if new == 0 { "no" } else { "yes" },
            self.state.names.domain(),
        );
        let contact = request.contact().ok()?.uri.to_uri();
        let (subscriber, account) = (request.text(Name::From)?, request.text(Name::To)?);
        let account = match request.to().ok()?.tag() {
            Some(_) => account.into_owned(),
            None => format!("{account};tag={tag}"),
        };
        RequestBuilder::new(Method::Notify, contact)
            .via(self.transport(*connection), self.local(*connection), &self.ident.branch())
            .max_forwards(70)
            .header(Name::From, account)
            .header(Name::To, subscriber.as_ref())
            .header(Name::CallId, request.call_id().ok()?)
            .header(Name::CSeq, format!("{cseq} NOTIFY"))
            .header(Name::Contact, format!("<sip:{}>", self.local(*connection)))
            .header(Name::Event, PACKAGE)
            .header(Name::SubscriptionState, state)
            .body("application/simple-message-summary", body)
            .build()
            .ok()
    }
}
