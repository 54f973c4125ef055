//! How subscriptions are sent and what NOTIFY brings (RFC 6665, RFC 3842): the glue between
//! [`Subscription`](crate::subscription::Subscription) and the transactions. One dialog a subscription; a NOTIFY of a
//! second fork is answered 481, which ends that fork's (RFC 6665 section 4.4.1).

use std::time::{Duration, Instant};

use super::apart::Apart;
use super::failure::CommandRefusal;
use super::options::Privacy;
use super::request_failure::RequestFailure;
use super::schedule::Sleeper;
use super::transactions::{Owner, StartError};
use super::types::{Effect as UaEffect, Event, Package, SubscriptionKey};
use super::{Turn, UserAgent};
use crate::dialog::{Dialog, DialogId};
use crate::flow::FlowId;
use crate::mwi::{self, MessageSummary};
use crate::outbox::{Deadline, Outbox};
use crate::request::Outline;
use crate::subscription::{Effect, State, Subscription};
use crate::wire::{Message, Method, Name, Params, Uri};

/// The packages of NOTIFYs that are taken.
pub(super) const ALLOW_EVENTS: &str = "message-summary, refer";

/// One subscription with its dialog.
pub(super) struct Subscribed {
    machine: Subscription,
    target: Uri,
    package: Package,
    /// What a NOTIFY is found by before there is a dialog.
    call_id: String,
    tag: String,
    dialog: Option<Dialog>,
    /// The flow of its last request.
    flow: Option<FlowId>,
    /// The transaction of the SUBSCRIBE that waits for its answer.
    client: Option<u64>,
    /// The last SUBSCRIBE that opened a dialog, as it went out.
    opened: Option<Message>,
}

impl UserAgent {
    pub(super) fn on_subscribe(
        &mut self,
        key: SubscriptionKey,
        target: Uri,
        package: Package,
        expires: Duration,
        turn: &mut Turn<'_>,
    ) {
        if self.subscriptions.contains_key(&key) {
            return turn.emit(Event::CommandRefused { call: None, why: CommandRefusal::KeyTaken });
        }
        let subscribed = Subscribed {
            machine: Subscription::new(key, expires),
            target,
            package,
            call_id: String::new(),
            tag: String::new(),
            dialog: None,
            flow: None,
            client: None,
            opened: None,
        };
        self.subscriptions.insert(key, subscribed);
        self.with_subscription(key, turn, |machine, _, out| machine.subscribe(out));
    }

    pub(super) fn on_unsubscribe(&mut self, key: SubscriptionKey, turn: &mut Turn<'_>) {
        if !self.subscriptions.contains_key(&key) {
            let why = CommandRefusal::UnknownSubscription;
            return turn.emit(Event::CommandRefused { call: None, why });
        }
        self.with_subscription(key, turn, |machine, _, out| machine.unsubscribe(out));
    }

    pub(super) fn on_subscription_deadline(&mut self, key: SubscriptionKey, turn: &mut Turn<'_>) {
        self.with_subscription(key, turn, |machine, now, out| machine.on_deadline(now, out));
    }

    pub(super) fn subscription_deadline(&self, key: SubscriptionKey) -> Option<Deadline> {
        self.subscriptions.get(&key)?.machine.next_deadline()
    }

    /// A new flow is bound: notifiers learn our new Contact, and what waits for a connection begins.
    pub(super) fn move_subscriptions(&mut self, turn: &mut Turn<'_>) {
        let gone = |flow: Option<FlowId>| flow.is_none_or(|flow| !self.flows.contains_key(&flow));
        let stranded = self.subscriptions.iter().filter(|(_, subscribed)| gone(subscribed.flow));
        let stranded: Vec<SubscriptionKey> = stranded.map(|(key, _)| *key).collect();
        for key in stranded {
            self.with_subscription(key, turn, |machine, _, out| machine.on_flow_up(out));
        }
    }

    /// The final response to a SUBSCRIBE of ours, challenges aside.
    pub(super) fn on_subscribe_final(
        &mut self,
        key: SubscriptionKey,
        number: u64,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        let patience = self.config.timers.long();
        let Some(subscribed) = self.waiting_for(key, Some(number)) else { return };
        subscribed.client = None;
        if response.status().is_some_and(|status| (200..300).contains(&status)) {
            match (&mut subscribed.dialog, &subscribed.opened) {
                // A NOTIFY of another fork may have come before: the dialog is that one's.
                (Some(dialog), _) => {
                    if DialogId::of_response(response).as_ref() == Some(dialog.id()) {
                        dialog.refresh_target(response);
                    }
                }
                (None, Some(request)) => subscribed.dialog = Dialog::from_response(request, response).ok(),
                (None, None) => {}
            }
        }
        self.with_subscription(key, turn, |machine, now, out| {
            machine.on_response(response, patience, now, out);
        });
    }

    /// A SUBSCRIBE of ours came to nothing; `number` is its transaction when it had one.
    pub(super) fn on_subscribe_failed(
        &mut self,
        key: SubscriptionKey,
        number: Option<u64>,
        failure: RequestFailure,
        turn: &mut Turn<'_>,
    ) {
        let Some(subscribed) = self.waiting_for(key, number) else { return };
        subscribed.client = None;
        self.with_subscription(key, turn, |machine, now, out| machine.on_failed(failure, now, out));
    }

    /// The subscription while this transaction is the one it waits for.
    fn waiting_for(&mut self, key: SubscriptionKey, number: Option<u64>) -> Option<&mut Subscribed> {
        self.subscriptions.get_mut(&key).filter(|subscribed| subscribed.client == number)
    }

    pub(super) fn next_subscribe_cseq(&mut self, key: SubscriptionKey) -> Option<u32> {
        let dialog = self.subscriptions.get_mut(&key)?.dialog.as_mut()?;
        Some(dialog.next(Method::Subscribe).cseq)
    }

    /// The SUBSCRIBE went out again, with credentials.
    pub(super) fn set_subscribe_client(&mut self, key: SubscriptionKey, before: u64, next: u64) {
        let request = self.transactions.clients.get(&next).map(|client| client.request().clone());
        let Some(subscribed) = self.waiting_for(key, Some(before)) else { return };
        subscribed.client = Some(next);
        if subscribed.dialog.is_none() {
            subscribed.opened = request;
        }
    }

    /// One turn of the machine, and what follows from it.
    fn with_subscription(
        &mut self,
        key: SubscriptionKey,
        turn: &mut Turn<'_>,
        act: impl FnOnce(&mut Subscription, Instant, &mut Outbox<Effect>),
    ) {
        let Some(subscribed) = self.subscriptions.get_mut(&key) else { return };
        let mut effects = Outbox::new();
        act(&mut subscribed.machine, turn.now, &mut effects);
        self.dirty.push(Sleeper::Subscription(key));
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Send { expires, anew } => {
                    if let Err(error) = self.send_subscribe(key, expires, anew, turn) {
                        self.on_subscribe_failed(key, None, error.into(), turn);
                    }
                }
                Effect::Event(event) => turn.out.push(UaEffect::Event(event)),
                Effect::Gone => {
                    self.subscriptions.remove(&key);
                }
            }
        }
    }

    fn send_subscribe(
        &mut self,
        key: SubscriptionKey,
        expires: u32,
        anew: bool,
        turn: &mut Turn<'_>,
    ) -> Result<(), StartError> {
        let Some(subscribed) = self.subscriptions.get_mut(&key) else { return Ok(()) };
        subscribed.client = None;
        if anew {
            subscribed.dialog = None;
        }
        let (package, target) = (subscribed.package, subscribed.target.clone());
        let flow = subscribed.flow.filter(|flow| self.flows.contains_key(flow) && !anew).or(self.current);
        let flow = flow.ok_or(StartError::NoFlow)?;
        let inside = subscribed.dialog.as_mut().map(|dialog| dialog.next(Method::Subscribe));
        let opens = inside.is_none();
        let outline = match inside {
            Some(outline) => outline,
            None => {
                let tag = self.ident.tag();
                let outline = self.outside_dialog(Method::Subscribe, &target, &tag, Privacy::Off);
                let outline = outline.map_err(StartError::Build)?;
                if let Some(subscribed) = self.subscriptions.get_mut(&key) {
                    subscribed.tag = tag;
                    subscribed.call_id.clone_from(&outline.call_id);
                }
                outline
            }
        };
        let outline = self.subscribing(outline, package, expires, flow);
        let number = self.start_client(outline, flow, Owner::Apart(Apart::Subscription(key)), turn)?;
        let request = self.transactions.clients.get(&number).map(|client| client.request().clone());
        if let Some(subscribed) = self.subscriptions.get_mut(&key) {
            subscribed.client = Some(number);
            subscribed.flow = Some(flow);
            if opens {
                subscribed.opened = request;
            }
        }
        Ok(())
    }

    fn subscribing(&self, outline: Outline, package: Package, expires: u32, flow: FlowId) -> Outline {
        self.with_abilities(outline, flow)
            .with(Name::Event, package.as_str())
            .with(Name::Accept, package.media_type())
            .with(Name::Expires, expires.to_string())
    }

    /// A NOTIFY that belongs to no call: one of a subscription of ours, or an unsolicited summary, which many servers
    /// send to whoever is registered.
    pub(super) fn on_notify(&mut self, number: u64, request: &Message, inside: bool, turn: &mut Turn<'_>) {
        let key = DialogId::of_request(request).and_then(|id| self.subscription_of(&id));
        if inside && key.is_none() {
            self.respond(number, 481, turn, |builder| builder);
            return;
        }
        if !request.header_token(Name::Event).is_some_and(|event| event.eq_ignore_ascii_case(mwi::PACKAGE)) {
            self.respond(number, 489, turn, |builder| builder.header(Name::AllowEvents, ALLOW_EVENTS));
            return;
        }
        let summary = match request.body() {
            [] => None,
            body => match MessageSummary::parse(body) {
                Ok(summary) => Some(summary),
                Err(error) => {
                    let why = error.to_string();
                    self.respond(number, 400, turn, |builder| super::incoming::warned(builder, 399, &why));
                    return;
                }
            },
        };
        let state = state(request);
        if let (Some(key), Some(state)) = (key, state) {
            if !self.admit_notify(key, request) {
                self.respond(number, 500, turn, |builder| builder);
                return;
            }
            self.respond(number, 200, turn, |builder| builder);
            summary.into_iter().for_each(|summary| turn.emit(Event::MessageWaiting(summary)));
            return self
                .with_subscription(key, turn, |machine, now, out| machine.on_notify(&state, now, out));
        }
        // An unsolicited one need not name its state, and has to say something.
        match summary.filter(|_| key.is_none()) {
            Some(summary) => {
                self.respond(number, 200, turn, |builder| builder);
                turn.emit(Event::MessageWaiting(summary));
            }
            None => {
                self.respond(number, 400, turn, |builder| builder);
            }
        }
    }

    /// The subscription that a NOTIFY belongs to: by its dialog, or by Call-ID and tag while there is none.
    fn subscription_of(&self, id: &DialogId) -> Option<SubscriptionKey> {
        let belongs = |subscribed: &Subscribed| match &subscribed.dialog {
            Some(dialog) => dialog.id() == id,
            None => {
                subscribed.opened.is_some()
                    && subscribed.call_id == id.call_id
                    && subscribed.tag == id.local_tag
            }
        };
        self.subscriptions.iter().find(|(_, subscribed)| belongs(subscribed)).map(|(key, _)| *key)
    }

    /// Notes the order of a NOTIFY; the first one makes the dialog (RFC 6665 section 4.4.1).
    fn admit_notify(&mut self, key: SubscriptionKey, notify: &Message) -> bool {
        let Some(subscribed) = self.subscriptions.get_mut(&key) else { return false };
        let Ok(cseq) = notify.cseq() else { return false };
        match (&mut subscribed.dialog, &subscribed.opened) {
            (Some(dialog), _) => {
                let admitted = dialog.admit(cseq.number).is_ok();
                if admitted {
                    dialog.refresh_target(notify);
                }
                admitted
            }
            (None, Some(subscribe)) => {
                subscribed.dialog = Dialog::from_notify(subscribe, notify).ok();
                subscribed.dialog.is_some()
            }
            (None, None) => false,
        }
    }
}

/// What Subscription-State says.
fn state(notify: &Message) -> Option<State> {
    let name = notify.header_token(Name::SubscriptionState)?.to_ascii_lowercase();
    let params: Params<'_> = notify.header_params(Name::SubscriptionState);
    let seconds = |name: &str| params.get(name).and_then(|value| value.parse().ok());
    Some(State {
        name,
        expires: seconds("expires"),
        reason: params.get("reason").map(str::to_ascii_lowercase),
        retry_after: seconds("retry-after"),
    })
}
