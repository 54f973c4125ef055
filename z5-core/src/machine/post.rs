//! Text messages outside calls (RFC 3428) and the mailbox (RFC 3842): what is sent, and what the session tells of it.

use std::time::{Duration, Instant};

use z5_sip::mwi::MessageSummary;
use z5_sip::outbox::Outbox;
use z5_sip::ua::{self, Body, MessageKey, Package, RequestFailure, SubscriptionEnd, SubscriptionKey};
use z5_sip::wire::Uri;

use super::io::Effect;
use super::{Machine, State, dial};
use crate::call::MessageId;
use crate::config::Profile;
use crate::error::CallError;
use crate::events::{EventKind, MailCount};

/// The session has one subscription: its own mailbox.
const MAILBOX: SubscriptionKey = SubscriptionKey(1);
/// How long it is asked for; what is granted decides the refresh (RFC 3842 section 5.3: about an hour).
const MAILBOX_EXPIRES: Duration = Duration::from_secs(3600);

impl Machine {
    /// Watches the mailbox, when there is one.
    pub(super) fn watch_mailbox(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let State::Ready(ready) = &self.state else { return };
        let Some(mailbox) = &ready.registered.account.mailbox else { return };
        match Uri::parse(mailbox) {
            Ok(target) => {
                let order = ua::Command::Subscribe {
                    subscription: MAILBOX,
                    target,
                    package: Package::MessageSummary,
                    expires: MAILBOX_EXPIRES,
                };
                self.order(vec![order], now, out);
            }
            Err(error) => {
                let why = format!("its address cannot be used: {error}");
                out.push(Effect::Emit(EventKind::MailboxLost { why }));
            }
        }
    }

    /// Takes the subscription back, before the registration.
    pub(super) fn leave_mailbox(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let watched = match &self.state {
            State::Stopping(stopping) => stopping.account.mailbox.is_some(),
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Registering(_)
            | State::Waiting(_)
            | State::Ready(_)
            | State::Stopped => false,
        };
        if watched {
            let order = ua::Command::Unsubscribe { subscription: MAILBOX };
            let events = self.line.agent(ua::Input::Command(order), now, out);
            for event in events {
                self.on_agent_event(event, now, out);
            }
        }
    }

    pub(super) fn on_mail(summary: &MessageSummary, out: &mut Outbox<Effect>) {
        let counts = summary.counts.iter().map(|(class, counts)| MailCount {
            class: class.as_str().to_owned(),
            new: counts.new,
            old: counts.old,
        });
        let counts = counts.collect();
        out.push(Effect::Emit(EventKind::MessageWaiting { waiting: summary.waiting, counts }));
    }

    pub(super) fn on_mailbox_lost(why: &SubscriptionEnd, out: &mut Outbox<Effect>) {
        if *why != SubscriptionEnd::Unsubscribed {
            out.push(Effect::Emit(EventKind::MailboxLost { why: why.to_string() }));
        }
    }

    pub(super) fn send_message(
        &mut self,
        message: MessageId,
        target: &str,
        text: String,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let State::Ready(ready) = &self.state else {
            let error = CallError::NotReady { state: self.told.name() };
            out.push(Effect::Emit(EventKind::MessageFailed { message, error }));
            return;
        };
        let carrier = self.plan.profile == Profile::Z5;
        match dial::target(target, &ready.registered.account.domain, carrier) {
            Ok(target) => {
                let order = ua::Command::Message {
                    message: MessageKey(message.0),
                    call: None,
                    target: Some(target.uri),
                    content_type: "text/plain;charset=UTF-8".to_owned(),
                    body: Body::from(text),
                };
                self.order(vec![order], now, out);
            }
            Err(error) => out.push(Effect::Emit(EventKind::MessageFailed { message, error })),
        }
    }

    pub(super) fn on_message_failed(key: MessageKey, failure: &RequestFailure, out: &mut Outbox<Effect>) {
        let status = match failure {
            RequestFailure::Refused { status, .. } => Some(*status),
            RequestFailure::NoUsableChallenge { .. } | RequestFailure::CredentialsRefused { .. } => Some(407),
            // What the message itself is to blame for: as a server says it (RFC 3261 sections 21.5.7 and 21.4.5).
            RequestFailure::TooLarge { .. } => Some(513),
            RequestFailure::NoTarget | RequestFailure::Unbuildable { .. } => Some(404),
            RequestFailure::NoFlow
            | RequestFailure::ConnectionLost
            | RequestFailure::TimedOut { .. }
            | RequestFailure::BadReply { .. }
            | RequestFailure::NoCall => None,
        };
        let error = CallError::MessageFailed { status, why: failure.to_string() };
        out.push(Effect::Emit(EventKind::MessageFailed { message: MessageId(key.0), error }));
    }
}
