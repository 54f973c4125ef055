//! REGISTER (RFC 3261 section 10.3) behind digest (RFC 8760).

use std::time::Duration;

use z5_sip::wire::{Contact, Message, Name, ResponseBuilder};

use super::bindings::Binding;
use super::switch::Switch;
use super::trouble::HUGE_BODY_BYTES;
use super::{ConnectionId, FAR_ENDS};
use crate::account;
use crate::fault::Fault;
use crate::recorder::Service;

/// Granted when a client names no interval (RFC 3261 section 10.2.1.1).
const DEFAULT_EXPIRES_SECONDS: u32 = 3600;

/// One contact of the request and the seconds asked for it.
struct Asked {
    contact: String,
    instance: Option<String>,
    seconds: u32,
}

/// Status, reason and Retry-After of a fault that turns a REGISTER away for a while.
fn turned_away(fault: &Fault) -> Option<(u16, &'static str, Option<Duration>)> {
    if let Fault::Maintenance(Service::Sip, after) = *fault {
        Some((503, "Maintenance", after))
    } else if let Fault::RateLimited(Service::Sip, after) = *fault {
        Some((429, "Too Many Requests", after))
    } else if let Fault::Conflict(after) = *fault {
        // Of RFC 2543; RFC 3261 has it no more, registrars do.
        Some((409, "Conflict", after))
    } else {
        None
    }
}

impl Switch {
    pub(super) fn register(&mut self, from: ConnectionId, request: &Message) {
        if from == FAR_ENDS {
            return;
        }
        let all = self.state.faults.clone();
        let faults = all.at(self.local(from).ip());
        if faults.strikes(Fault::DropAfterRegister) {
            self.close(from);
            return;
        }
        let status = faults
            .strike(|fault| if let Fault::RegisterStatus(status) = fault { Some(*status) } else { None });
        if let Some(status) = status {
            self.answer(from, request, status, "");
            return;
        }
        if let Some((status, reason, after)) = faults.strike(turned_away) {
            let after = after.map(|after| after.as_secs().to_string());
            let response =
                ResponseBuilder::to_request(request, status, reason).header_opt(Name::RetryAfter, after);
            self.answer_with(from, request, response);
            return;
        }
        if faults.strikes(Fault::HugeBody(Service::Sip)) {
            let response =
                ResponseBuilder::to_request(request, 200, "").body("text/plain", vec![b'z'; HUGE_BODY_BYTES]);
            self.answer_with(from, request, response);
            return;
        }
        if faults.strikes(Fault::ChallengeUnusable) {
            let challenge = "Digest realm=\"unusable\", nonce=\"0\", algorithm=SHA3-1024, qop=\"auth\"";
            let response =
                ResponseBuilder::to_request(request, 401, "").header(Name::WwwAuthenticate, challenge);
            self.answer_with(from, request, response);
            return;
        }
        let Some(username) = self.authenticate(from, request, false) else { return };
        if faults.strikes(Fault::CredentialsRejected(Service::Sip)) {
            self.challenge(from, request, false, false);
            return;
        }
        if faults.strikes(Fault::StaleNonce(Service::Sip)) {
            self.challenge(from, request, false, true);
            return;
        }
        let accounts = &self.state.accounts;
        let owner = account::find(accounts, &username).map(|(_, number)| number.sip_user.clone());
        let named = request.to().ok().and_then(|to| to.uri.user_unescaped().map(|user| user.into_owned()));
        let registered =
            named.and_then(|user| account::find(accounts, &user)).map(|(_, number)| number.sip_user.clone());
        match (owner, registered) {
            (Some(owner), Some(registered))
                if owner == registered && !faults.strikes(Fault::RegisterForbidden) =>
            {
                self.bind(from, request, &owner);
            }
            _ => self.answer(from, request, 403, ""),
        }
    }

    fn bind(&mut self, from: ConnectionId, request: &Message, user: &str) {
        let header_seconds = request.expires().ok().flatten();
        let now = self.state.clock.now();
        let star = request.contacts().any(|contact| matches!(contact, Ok(Contact::Star)));
        if star {
            if header_seconds != Some(0) || request.contacts().count() != 1 {
                self.answer(from, request, 400, "Invalid Contact *");
                return;
            }
            self.bindings.unbind_all(user);
        }
        let mut asked = Vec::new();
        for contact in request.contacts() {
            let Ok(contact) = contact else {
                self.answer(from, request, 400, "Malformed Contact");
                return;
            };
            if let Some(address) = contact.addr() {
                let seconds = address.expires().or(header_seconds).unwrap_or(DEFAULT_EXPIRES_SECONDS);
                let instance = address.params.get("+sip.instance").map(str::to_owned);
                asked.push(Asked { contact: address.uri.as_str().to_owned(), instance, seconds });
            }
        }
        let least = self.limits.min_expires.as_secs();
        if asked.iter().any(|asked| asked.seconds != 0 && u64::from(asked.seconds) < least) {
            let response =
                ResponseBuilder::to_request(request, 423, "").header(Name::MinExpires, least.to_string());
            self.answer_with(from, request, response);
            return;
        }
        for Asked { contact, instance, seconds } in &asked {
            if *seconds == 0 {
                self.bindings.unbind(user, contact);
            } else {
                let granted = Duration::from_secs((*seconds).into()).min(self.limits.granted_expires);
                let (contact, instance) = (contact.clone(), instance.clone());
                let binding = Binding { contact, connection: from, instance, expires: now + granted };
                self.bindings.bind(user, binding);
            }
        }
        let mut response = ResponseBuilder::to_request(request, 200, "");
        let missing = self.state.faults.at(self.local(from).ip()).strikes(Fault::BindingMissing);
        for (binding, left) in self.bindings.of(user, now).into_iter().filter(|_| !missing) {
            let value = format!("<{}>;expires={}", binding.contact, left.as_secs());
            response = response.header(Name::Contact, value);
        }
        // The mock is the first hop too, and answers pings (RFC 5626 section 6).
        let asks = request.lists_token(Name::Supported, "outbound");
        let numbered =
            |contact: Contact<'_>| contact.addr().is_some_and(|contact| contact.params.has("reg-id"));
        if asks && request.contacts().filter_map(Result::ok).any(numbered) {
            response = response.header(Name::Require, "outbound");
        }
        self.answer_with(from, request, response);
    }
}
