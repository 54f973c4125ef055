//! Transfers that we ask the far end for: REFER within a call, and the reports that follow it (RFC 3515, RFC 5589; the
//! implicit subscription of RFC 6665, or none at all with RFC 4488).
//!
//! The subscription is a usage of the dialog of its own (RFC 5057): it outlives the call. One transfer at a time for
//! each call.

use std::time::{Duration, Instant};

use super::call::{Call, State};
use super::failure::{CallFailure, CommandRefusal};
use super::incoming::warned;
use super::schedule::Sleeper;
use super::transactions::Owner;
use super::types::{CallKey, Event, TransferTarget};
use super::{Turn, UserAgent};
use crate::dialog::{Dialog, DialogId};
use crate::outbox::Deadline;
use crate::wire::{Message, Method, Name};

/// The type of what a report carries: the first line of a response (RFC 3420).
pub(super) const SIPFRAG: &str = "message/sipfrag";

/// How long a subscription lives whose reports do not say it.
const DEFAULT_EXPIRES: Duration = Duration::from_secs(300);

/// The longest that a report may let us wait for the next one.
const LONGEST_EXPIRES: Duration = Duration::from_secs(3600);

/// A REFER of ours and its subscription.
pub(super) struct Transfer {
    id: DialogId,
    /// The CSeq of the REFER, which names the subscription (RFC 3515 section 2.4.6).
    cseq: u32,
    /// The transaction of the REFER while it is unanswered.
    client: Option<u64>,
    /// When the subscription ends unless a report prolongs it. None before the REFER is accepted.
    until: Option<Instant>,
    /// The dialog, once its call is over.
    dialog: Option<Dialog>,
}

impl Transfer {
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        self.until.map(|until| Deadline::new(until, "a transfer is not reported on any more"))
    }

    /// The call is over; reports may still come.
    pub(super) fn outlive(&mut self, dialog: &Dialog) {
        if self.id == *dialog.id() {
            self.dialog = Some(dialog.clone());
        }
    }
}

impl UserAgent {
    /// The application wants the far end to call someone else.
    pub(super) fn on_transfer(&mut self, key: CallKey, to: &TransferTarget, turn: &mut Turn<'_>) {
        let target = self.refer_to(key, to);
        let reports = self.config.transfer_reports;
        let flow = self.calls.get(&key).and_then(|call| self.flow_of(call));
        let aor = format!("<{}>", self.config.aor);
        let refused = match (self.calls.get(&key), &target) {
            (None, _) => Some(CommandRefusal::UnknownCall),
            (Some(_), None) => Some(CommandRefusal::WrongState),
            (Some(_), Some(_)) if self.transfers.contains_key(&key) => Some(CommandRefusal::WrongState),
            (Some(_), Some(_)) => None,
        };
        if let Some(why) = refused {
            return turn.emit(Event::CommandRefused { call: Some(key), why });
        }
        let (Some(target), Some(active)) = (target, self.active(key)) else { return };
        let Some(flow) = flow else {
            return turn.emit(Event::TransferFailed { call: key, failure: CallFailure::NoFlow });
        };
        let id = active.leg.dialog.id().clone();
        let private = active.leg.dialog.is_private();
        let mut outline = active.leg.dialog.next(Method::Refer).with(Name::ReferTo, target);
        if !private {
            outline = outline.with(Name::ReferredBy, aor);
        }
        if !reports {
            outline = outline.with(Name::ReferSub, "false");
        }
        let cseq = outline.cseq;
        let outline = self.with_abilities(outline, flow);
        match self.start_client(outline, flow, Owner::Refer(key), turn) {
            Ok(number) => {
                let transfer = Transfer { id, cseq, client: Some(number), until: None, dialog: None };
                self.transfers.insert(key, transfer);
            }
            Err(error) => turn.emit(Event::TransferFailed { call: key, failure: error.into() }),
        }
    }

    /// The value of Refer-To; `None` when a call it needs does not stand.
    fn refer_to(&self, key: CallKey, to: &TransferTarget) -> Option<String> {
        let standing = |key: &CallKey| match self.calls.get(key) {
            Some(Call { state: State::Active(active), .. }) if active.stands() => Some(active),
            Some(_) | None => None,
        };
        standing(&key)?;
        match to {
            TransferTarget::Blind(uri) => Some(format!("<{uri}>")),
            TransferTarget::Attended(other) => {
                let other = standing(other).filter(|_| *other != key)?;
                let DialogId { call_id, local_tag, remote_tag } = other.leg.dialog.id();
                // Its tags as the target sees them (RFC 3891 section 3).
                let replaces = format!("{call_id};to-tag={remote_tag};from-tag={local_tag}");
                Some(format!("<{}?Replaces={}>", other.leg.dialog.remote_target(), escaped(&replaces)))
            }
        }
    }

    /// The REFER went out again, with credentials.
    pub(super) fn follow_refer(&mut self, key: CallKey, before: u64, now: u64, cseq: u32) {
        if let Some(transfer) =
            self.transfers.get_mut(&key).filter(|transfer| transfer.client == Some(before))
        {
            transfer.client = Some(now);
            transfer.cseq = cseq;
        }
    }

    /// Our REFER is answered.
    pub(super) fn on_refer_final(
        &mut self,
        key: CallKey,
        number: u64,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        let patience = self.config.timers.long();
        let ours = |transfer: &&mut Transfer| transfer.client == Some(number);
        let Some(transfer) = self.transfers.get_mut(&key).filter(ours) else { return };
        transfer.client = None;
        let status = response.status().unwrap_or_default();
        if !(200..300).contains(&status) {
            self.end_transfer(key, Err(CallFailure::from_response(response)), turn);
            // The far end has forgotten the call (RFC 3261 section 12.2.1.2).
            if matches!(status, 408 | 481) {
                self.end_lost(key, turn);
            }
            return;
        }
        let silent =
            response.header_token(Name::ReferSub).is_some_and(|sub| sub.eq_ignore_ascii_case("false"));
        if silent {
            // Nobody will tell what comes of it (RFC 4488 section 4).
            return self.end_transfer(key, Ok(()), turn);
        }
        // RFC 6665 section 4.1.2.4, timer N: the first report has to come in time.
        transfer.until.get_or_insert(turn.now + patience);
        self.dirty.push(Sleeper::Transfer(key));
    }

    /// The REFER came to nothing.
    pub(super) fn on_refer_failed(
        &mut self,
        key: CallKey,
        number: u64,
        failure: CallFailure,
        turn: &mut Turn<'_>,
    ) {
        if self.transfers.get(&key).is_some_and(|transfer| transfer.client == Some(number)) {
            self.end_transfer(key, Err(failure), turn);
        }
    }

    /// A report on a transfer of ours (RFC 3515 section 2.4.4).
    pub(super) fn on_refer_notify(&mut self, number: u64, notify: &Message, turn: &mut Turn<'_>) {
        let wanted = notify.header_params(Name::Event).get("id").map(str::parse::<u32>);
        let of_dialog = DialogId::of_request(notify);
        let found = self.transfers.iter().find(|(_, transfer)| {
            Some(&transfer.id) == of_dialog.as_ref()
                && wanted.as_ref().is_none_or(|id| *id == Ok(transfer.cseq))
        });
        let (Some(key), Some(id)) = (found.map(|(key, _)| *key), of_dialog) else {
            self.respond(number, 481, turn, |builder| builder);
            return;
        };
        let Some(state) = notify.header_token(Name::SubscriptionState) else {
            self.respond(number, 400, turn, |builder| warned(builder, 399, "there is no Subscription-State"));
            return;
        };
        let over = state.eq_ignore_ascii_case("terminated");
        let expires = notify.header_params(Name::SubscriptionState).get("expires");
        let expires = expires.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let expires = expires.unwrap_or(DEFAULT_EXPIRES).min(LONGEST_EXPIRES);
        let described = notify.content_type().is_some_and(|kind| kind.eq_ignore_ascii_case(SIPFRAG));
        if !notify.body().is_empty() && !described {
            self.respond(number, 415, turn, |builder| builder.header(Name::Accept, SIPFRAG));
            return;
        }
        let in_order = match self.leg(key, &id) {
            Some(leg) => Some(&mut leg.dialog),
            None => self.transfers.get_mut(&key).and_then(|transfer| transfer.dialog.as_mut()),
        };
        let cseq = notify.cseq().map(|cseq| cseq.number).unwrap_or_default();
        if in_order.is_none_or(|dialog| dialog.admit(cseq).is_err()) {
            self.respond(number, 500, turn, |builder| builder.header(Name::RetryAfter, "0"));
            return;
        }
        self.respond(number, 200, turn, |builder| builder);
        if let Some(transfer) = self.transfers.get_mut(&key) {
            transfer.until = Some(turn.now + expires);
            self.dirty.push(Sleeper::Transfer(key));
        }
        match status_line(notify.body()) {
            Some((200..300, _)) => self.end_transfer(key, Ok(()), turn),
            Some((status @ 300..700, reason)) => {
                self.end_transfer(key, Err(CallFailure::from_status(status, reason)), turn);
            }
            Some((status, reason)) if !over => {
                turn.emit(Event::TransferProgress { call: key, status, reason });
            }
            None if !over => {}
            // The far end tells no more, and never told the outcome.
            Some(_) | None => {
                self.end_transfer(key, Err(CallFailure::TimedOut { timer: "subscription" }), turn);
            }
        }
    }

    /// No report came in time.
    pub(super) fn on_transfer_deadline(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let due = |transfer: &Transfer| transfer.until.is_some_and(|until| until <= turn.now);
        if self.transfers.get(&key).is_some_and(due) {
            self.end_transfer(key, Err(CallFailure::TimedOut { timer: "subscription" }), turn);
        }
    }

    fn end_transfer(&mut self, key: CallKey, outcome: Result<(), CallFailure>, turn: &mut Turn<'_>) {
        self.transfers.remove(&key);
        self.dirty.push(Sleeper::Transfer(key));
        match outcome {
            Ok(()) => {
                turn.emit(Event::Transferred { call: key });
                // The far end talks to someone else now (RFC 5589 section 6.1).
                if self.calls.contains_key(&key) {
                    self.on_hangup(key, turn);
                }
            }
            Err(failure) => turn.emit(Event::TransferFailed { call: key, failure }),
        }
    }
}

/// Whether a request is about a transfer: the event package of RFC 3515.
pub(super) fn is_refer_event(request: &Message) -> bool {
    request.header_token(Name::Event).is_some_and(|event| event.eq_ignore_ascii_case("refer"))
}

/// Status and phrase of the response whose first line a report carries.
fn status_line(body: &[u8]) -> Option<(u16, String)> {
    let line = body.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty())?;
    let line = String::from_utf8_lossy(line);
    let (version, rest) = line.trim().split_once(' ')?;
    let (status, reason) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
    let status = status.parse().ok().filter(|status| (100..700).contains(status))?;
    version.eq_ignore_ascii_case("SIP/2.0").then(|| (status, reason.trim().to_owned()))
}

/// A header of a URI may only have letters that need no escape (RFC 3261 section 19.1.1).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_by_its_first_line() {
        let read = |body: &str| status_line(body.as_bytes());
        assert_eq!(read("SIP/2.0 180 Ringing\r\n"), Some((180, "Ringing".to_owned())));
        assert_eq!(read("SIP/2.0 200\r\nTo: x\r\n\r\n"), Some((200, String::new())));
        assert_eq!(read("\r\nsip/2.0 486 Busy Here"), Some((486, "Busy Here".to_owned())));
        for nothing in
            ["", "\r\n", "SIP/2.0", "SIP/2.0 99 x", "SIP/2.0 700 x", "HTTP/1.1 200 OK", "SIP/2.0 2OO OK"]
        {
            assert_eq!(read(nothing), None, "{nothing}");
        }
        assert_eq!(status_line(b"SIP/2.0 180 Ring\xff\r\n").map(|(status, _)| status), Some(180));
    }

    #[test]
    fn what_names_a_dialog_is_escaped_in_a_uri() {
        assert_eq!(escaped("a@b;to-tag=1"), "a%40b%3Bto-tag%3D1");
    }
}
