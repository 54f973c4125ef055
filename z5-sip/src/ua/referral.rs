//! Transfers that the far end asks us for: its REFER, the call that we make for it, and our reports (RFC 3515, RFC 4488,
//! RFC 7647: within a call only).
//!
//! The application decides within [`DECIDE_WITHIN`]; a REFER is no INVITE and cannot wait for ever. One report at a time
//! is on its way, so that none overtakes another; what is new by then goes out next.

use std::time::{Duration, Instant};

use super::failure::{CallFailure, CommandRefusal};
use super::incoming::warned;
use super::options::CallOptions;
use super::replaces::Replaces;
use super::schedule::Sleeper;
use super::transactions::Owner;
use super::transfer::SIPFRAG;
use super::types::{CallKey, Event};
use super::{Turn, UserAgent};
use crate::dialog::{Dialog, DialogId};
use crate::outbox::Deadline;
use crate::sdp::Capabilities;
use crate::wire::{Message, Method, Name, NameAddr, Uri, UriRef, reason_phrase};

/// How long the application may take over [`Event::TransferRequested`]; then the REFER is declined with 603. It has to be
/// less than the 32 s for which the far end waits (timer F).
pub const DECIDE_WITHIN: Duration = Duration::from_secs(20);

/// How long we report on the call that we made: longer than it may ring.
const REPORT_FOR: Duration = Duration::from_secs(300);

/// A REFER that waits for the application.
pub(super) struct Requested {
    server: u64,
    id: DialogId,
    by: Instant,
    target: Uri,
    options: CallOptions,
    /// The far end wants no reports (RFC 4488).
    silent: bool,
    cseq: u32,
    contact: String,
}

/// The reports on a call that we made for someone.
pub(super) struct Referral {
    /// The call in which we were asked.
    call: CallKey,
    id: DialogId,
    /// The CSeq of the REFER, which names the subscription.
    event: u32,
    /// The dialog, once that call is over.
    dialog: Option<Dialog>,
    expires_at: Instant,
    in_flight: bool,
    next: Option<Report>,
    last: u16,
    /// The last report is on its way.
    over: bool,
}

#[derive(Clone, Copy)]
struct Report {
    status: u16,
    /// The subscription runs out with it, whatever the status.
    timeout: bool,
}

impl Requested {
    pub(super) fn next_deadline(&self) -> Deadline {
        Deadline::new(self.by, "nobody decides about a transfer")
    }
}

impl Report {
    /// Nothing is reported after it.
    fn is_last(self) -> bool {
        self.status >= 200 || self.timeout
    }
}

impl Referral {
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        // A last word that waits for the report before it goes out with that one's answer, or its timeout.
        let said = self.over || self.next.is_some_and(Report::is_last);
        (!said).then(|| Deadline::new(self.expires_at, "the reports on a transfer end"))
    }

    /// The call is over; reports go on.
    pub(super) fn outlive(&mut self, dialog: &Dialog) {
        if self.id == *dialog.id() {
            self.dialog = Some(dialog.clone());
        }
    }
}

impl UserAgent {
    /// A REFER of the far end.
    pub(super) fn on_refer(&mut self, number: u64, refer: &Message, inside: bool, turn: &mut Turn<'_>) {
        if !inside {
            // Anyone could make us call anyone (RFC 3515 section 5.1).
            let why = "a transfer is only taken within a call";
            self.respond(number, 403, turn, |builder| warned(builder, 399, why));
            return;
        }
        let Some((key, id)) = self.dialog_of(refer) else {
            self.respond(number, 481, turn, |builder| builder);
            return;
        };
        if !self.admit_to(key, &id, refer) {
            self.respond(number, 500, turn, |builder| builder.header(Name::RetryAfter, "1"));
            return;
        }
        let contact = self.calls.get(&key).and_then(|call| self.call_contact(call)).unwrap_or_default();
        if !self.active(key).is_some_and(|active| active.stands()) {
            let why = "the call does not stand yet";
            self.respond(number, 403, turn, |builder| warned(builder, 399, why));
            return;
        }
        if self.requested.contains_key(&key) || self.referrals.values().any(|referral| referral.id == id) {
            self.respond(number, 491, turn, |builder| builder);
            return;
        }
        let (target, options) = match refer_target(refer) {
            Ok(wanted) => wanted,
            Err((status, why)) => {
                self.respond(number, status, turn, |builder| warned(builder, 399, why));
                return;
            }
        };
        let silent = refer.header_token(Name::ReferSub).is_some_and(|sub| sub.eq_ignore_ascii_case("false"));
        let event = Event::TransferRequested {
            call: key,
            target: target.clone(),
            replaces: options.replaces.is_some(),
            referred_by: options.referred_by.clone(),
        };
        let cseq = refer.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let by = turn.now + DECIDE_WITHIN;
        self.requested
            .insert(key, Requested { server: number, id, by, target, options, silent, cseq, contact });
        self.dirty.push(Sleeper::Transfer(key));
        turn.emit(event);
    }

    /// The application lets itself be transferred: 202, the new call, and reports on it.
    pub(super) fn on_accept_transfer(
        &mut self,
        key: CallKey,
        new_call: CallKey,
        offer: Capabilities,
        turn: &mut Turn<'_>,
    ) {
        if new_call.is_incoming()
            || self.calls.contains_key(&new_call)
            || self.transfers.contains_key(&new_call)
        {
            let why = CommandRefusal::KeyTaken;
            return turn.emit(Event::CommandRefused { call: Some(new_call), why });
        }
        let Some(requested) = self.take_requested(key, turn) else { return };
        let Requested { server, id, target, options, silent, cseq, contact, .. } = requested;
        self.respond(server, 202, turn, |builder| {
            let builder = builder.header(Name::Contact, contact);
            builder.header_opt(Name::ReferSub, silent.then_some("false"))
        });
        if !silent {
            let referral = Referral {
                call: key,
                id,
                event: cseq,
                dialog: None,
                expires_at: turn.now + REPORT_FOR,
                in_flight: false,
                next: None,
                last: 100,
                over: false,
            };
            self.referrals.insert(new_call, referral);
            self.report(new_call, Report { status: 100, timeout: false }, turn);
        }
        self.on_invite_command(new_call, &target, offer, &options, turn);
    }

    /// The application does not let itself be transferred.
    pub(super) fn on_reject_transfer(&mut self, key: CallKey, status: u16, turn: &mut Turn<'_>) {
        if !(300..700).contains(&status) {
            return turn.emit(Event::CommandRefused { call: Some(key), why: CommandRefusal::BadStatus });
        }
        if let Some(requested) = self.take_requested(key, turn) {
            self.respond(requested.server, status, turn, |builder| builder);
        }
    }

    fn take_requested(&mut self, key: CallKey, turn: &mut Turn<'_>) -> Option<Requested> {
        let requested = self.requested.remove(&key);
        self.dirty.push(Sleeper::Transfer(key));
        if requested.is_none() {
            let why = match self.calls.contains_key(&key) {
                true => CommandRefusal::WrongState,
                false => CommandRefusal::UnknownCall,
            };
            turn.emit(Event::CommandRefused { call: Some(key), why });
        }
        requested
    }

    /// Nobody decided in time.
    pub(super) fn on_requested_deadline(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        if self.requested.get(&key).is_some_and(|requested| requested.by <= turn.now)
            && let Some(requested) = self.requested.remove(&key)
        {
            self.respond(requested.server, 603, turn, |builder| builder);
        }
    }

    /// A call is over: what was asked in it gets an answer, and what is reported in its dialog goes on without it.
    pub(super) fn outlive_call(&mut self, key: CallKey, dialog: &Dialog, turn: &mut Turn<'_>) {
        if let Some(requested) = self.requested.remove(&key) {
            self.respond(requested.server, 487, turn, |builder| builder);
        }
        self.transfers.values_mut().for_each(|transfer| transfer.outlive(dialog));
        self.referrals.values_mut().for_each(|referral| referral.outlive(dialog));
        self.dirty.push(Sleeper::Transfer(key));
    }

    /// What became of calls in this turn is reported to whoever asked for them.
    pub(super) fn report_outcomes(&mut self, turn: &mut Turn<'_>) {
        for (key, status) in std::mem::take(&mut turn.outcomes) {
            if self.referrals.contains_key(&key) {
                self.report(key, Report { status, timeout: false }, turn);
            }
        }
    }

    /// The subscription has run out.
    pub(super) fn on_referral_deadline(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let due = |referral: &Referral| !referral.over && referral.expires_at <= turn.now;
        let Some(referral) = self.referrals.get(&key).filter(|referral| due(referral)) else { return };
        let status = referral.last;
        self.report(key, Report { status, timeout: true }, turn);
    }

    /// The reports in a dialog, by the number of their REFER when one is named, and the call that they are told in.
    pub(super) fn referral_of(&self, id: &DialogId, event: Option<u32>) -> Option<(CallKey, CallKey)> {
        let mut told = self.referrals.iter().filter(|(_, referral)| referral.id == *id && !referral.over);
        let (key, referral) = told.find(|(_, referral)| event.is_none_or(|event| event == referral.event))?;
        Some((*key, referral.call))
    }

    /// The dialog of these reports, whether its call stands or not.
    pub(super) fn referral_dialog(&mut self, key: CallKey) -> Option<&mut Dialog> {
        let referral = self.referrals.get(&key)?;
        let (call, id) = (referral.call, referral.id.clone());
        self.dialog_mut(call, key, &id)
    }

    /// Reports go on for what is asked, our own bound at most; gives for how long. Nothing asked is our own bound.
    pub(super) fn listen_on(&mut self, key: CallKey, asked: Option<Duration>, now: Instant) -> Duration {
        let granted = asked.unwrap_or(REPORT_FOR).min(REPORT_FOR);
        if let Some(referral) = self.referrals.get_mut(&key) {
            referral.expires_at = now + granted;
            self.dirty.push(Sleeper::Referral(key));
        }
        granted
    }

    /// Says again how things stand; as the last word when nobody wants to hear more.
    pub(super) fn repeat_report(&mut self, key: CallKey, last: bool, turn: &mut Turn<'_>) {
        if let Some(status) = self.referrals.get(&key).map(|referral| referral.last) {
            self.report(key, Report { status, timeout: last }, turn);
        }
    }

    fn report(&mut self, key: CallKey, report: Report, turn: &mut Turn<'_>) {
        let Some(referral) = self.referrals.get_mut(&key).filter(|referral| !referral.over) else { return };
        if referral.in_flight {
            // The last word is not taken back by what comes after it.
            if !referral.next.is_some_and(Report::is_last) {
                referral.next = Some(report);
                self.dirty.push(Sleeper::Referral(key));
            }
            return;
        }
        referral.in_flight = true;
        referral.last = report.status;
        referral.over = report.is_last();
        let (call, id, event) = (referral.call, referral.id.clone(), referral.event);
        let left = referral.expires_at.saturating_duration_since(turn.now).as_secs();
        let state = match (referral.over, report.timeout) {
            (false, _) => format!("active;expires={left}"),
            (true, false) => "terminated;reason=noresource".to_owned(),
            (true, true) => "terminated;reason=timeout".to_owned(),
        };
        let flow = self.calls.get(&call).map_or(self.current, |call| self.flow_of(call));
        let outline = self.dialog_mut(call, key, &id).map(|dialog| dialog.next(Method::Notify));
        self.dirty.push(Sleeper::Referral(key));
        let (Some(outline), Some(flow)) = (outline, flow) else {
            self.referrals.remove(&key);
            return;
        };
        let mut outline =
            outline.with(Name::Event, format!("refer;id={event}")).with(Name::SubscriptionState, state);
        let line = format!("SIP/2.0 {} {}\r\n", report.status, reason_phrase(report.status));
        outline.body = Some((format!("{SIPFRAG};version=2.0").into(), line.into_bytes().into()));
        let outline = self.with_abilities(outline, flow);
        if self.start_client(outline, flow, Owner::Notify(key), turn).is_err() {
            self.referrals.remove(&key);
        }
    }

    /// The dialog of a referral, whether its call stands or not.
    fn dialog_mut(&mut self, call: CallKey, key: CallKey, id: &DialogId) -> Option<&mut Dialog> {
        let alive =
            self.calls.get_mut(&call).and_then(|call| call.legs_mut().find(|leg| leg.dialog.id() == id));
        match alive {
            Some(leg) => Some(&mut leg.dialog),
            None => self.referrals.get_mut(&key).and_then(|referral| referral.dialog.as_mut()),
        }
    }

    /// The next CSeq for a report that is sent again with credentials.
    pub(super) fn next_report_cseq(&mut self, key: CallKey) -> Option<u32> {
        self.referral_dialog(key).map(|dialog| dialog.next(Method::Options).cseq)
    }

    /// A report is answered, or never will be (`None`).
    pub(super) fn on_notify_final(&mut self, key: CallKey, status: Option<u16>, turn: &mut Turn<'_>) {
        let Some(referral) = self.referrals.get_mut(&key) else { return };
        referral.in_flight = false;
        let next = referral.next.take();
        // Nobody listens any more (RFC 6665 section 4.2.2), or there is nothing more to say.
        let gone = matches!(status, None | Some(404 | 405 | 408 | 410 | 481 | 489 | 501));
        if gone || referral.over {
            self.referrals.remove(&key);
            self.dirty.push(Sleeper::Referral(key));
            return;
        }
        if let Some(next) = next {
            self.report(key, next, turn);
        }
    }
}

/// Whom a REFER asks us to call, and what the call is to say; or how it is refused, and why.
fn refer_target(refer: &Message) -> Result<(Uri, CallOptions), (u16, &'static str)> {
    let value = refer.header(Name::ReferTo).ok_or((400, "there is no Refer-To"))?;
    let address = NameAddr::parse(value).map_err(|_| (400, "Refer-To cannot be read"))?;
    let uri = address.uri;
    if !crate::dialog::is_callable(&uri.to_uri()) {
        return Err((416, "only SIP addresses can be called"));
    }
    if uri.param("method").is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
        return Err((501, "only a call can be asked for"));
    }
    let replaces = match replaces_of(uri) {
        Some(value) if Replaces::parse(&value).is_none() => {
            return Err((400, "the Replaces in Refer-To cannot be read"));
        }
        replaces => replaces,
    };
    let plain = without_method(uri).parse().map_err(|_| (400, "Refer-To cannot be read"))?;
    let referred_by = refer.text(Name::ReferredBy).map(std::borrow::Cow::into_owned);
    Ok((plain, CallOptions { replaces, referred_by, ..CallOptions::default() }))
}

/// The Replaces among the headers of a URI. All other headers would let the far end write our request
/// (RFC 3261 section 19.1.5) and are left out.
fn replaces_of(uri: UriRef<'_>) -> Option<String> {
    uri.headers()?.split('&').find_map(|header| {
        let (name, value) = header.split_once('=')?;
        name.eq_ignore_ascii_case("Replaces").then(|| crate::wire::unescape(value).into_owned())
    })
}

/// The URI as it may stand in a Request-URI (RFC 3261 section 19.1.1, table 1).
fn without_method(uri: UriRef<'_>) -> String {
    let text = uri.as_str();
    let text = text.split('?').next().filter(|_| uri.headers().is_some()).unwrap_or(text);
    let mut parts = text.split(';');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts.filter(|part| !part.to_ascii_lowercase().starts_with("method=")) {
        plain.push(';');
        plain.push_str(part);
    }
    plain
}

impl CallFailure {
    /// The status that a report tells of a call of ours that came to nothing.
    pub(super) fn reported(&self) -> u16 {
        match self {
            Self::Busy { status }
            | Self::Declined { status, .. }
            | Self::NotFound { status, .. }
            | Self::NoAnswer { status }
            | Self::Rejected { status }
            | Self::NotAcceptable { status, .. }
            | Self::Moved { status, .. }
            | Self::Refused { status, .. } => *status,
            Self::Unavailable { .. } => 480,
            Self::Cancelled { .. } => 487,
            Self::Negotiation(_) | Self::NoAnswerDescription => 488,
            // Whose credentials failed is nobody else's matter.
            Self::NoUsableChallenge { .. } | Self::CredentialsRefused { .. } => 403,
            Self::NoFlow | Self::ConnectionLost => 503,
            Self::TimedOut { .. } => 408,
            Self::Unbuildable { .. } => 500,
        }
    }
}
