//! What far ends send by themselves within a call: BYE and re-INVITE (RFC 3261 sections 14.1 and 15).

use std::time::Duration;

use z5_sip::wire::{Message, Method, Name, RequestBuilder, Transport};

use super::placed::PLACED;
use super::{CHANGE_AFTER, Call, FarEnds, Kind, Later, answer, built, transfer};
use crate::fault::Fault;
use crate::sip::switch::{SERVER, address};

/// RFC 3261 section 17.1.1.1.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);

impl FarEnds {
    pub(super) fn on_later(&mut self, call_id: &str, later: Later) -> Vec<Message> {
        match later {
            Later::Answer if self.calls.get(call_id).is_some_and(|call| !call.answered) => {
                self.answer(call_id, 200).into_iter().collect()
            }
            Later::Answer => Vec::new(),
            Later::HangUp => {
                let Some(mut call) = self.calls.remove(call_id) else { return Vec::new() };
                self.state.mail.forget(call_id);
                let bye = self.request(&mut call, call_id, Method::Bye).and_then(|bye| built(bye.build()));
                let copy = bye.clone().filter(|_| self.state.faults.strikes(Fault::DuplicateBye));
                bye.into_iter().chain(copy).collect()
            }
            Later::Reinvite => self.reinvite(call_id, None).into_iter().collect(),
            Later::Hold => {
                self.later(call_id, Later::Resume, CHANGE_AFTER);
                self.reinvite(call_id, Some("sendonly")).into_iter().collect()
            }
            Later::Script(at) => self.go_on(call_id, at),
            Later::Unacknowledged { cseq, waited, pause } => {
                self.on_unacknowledged(call_id, cseq, waited, pause)
            }
            Later::Resume => self.reinvite(call_id, Some("sendrecv")).into_iter().collect(),
            Later::Transfer => self.refer(call_id, Kind::Echo.number().as_str()).into_iter().collect(),
            Later::GiveUp => self.on_give_up(call_id).into_iter().collect(),
            Later::Interpreter => self.interpreter(call_id).into_iter().collect(),
        }
    }

    /// A 2xx to an INVITE goes out: it is repeated until its ACK comes, over any transport (RFC 3261 section 13.3.1.4).
    pub(super) fn await_ack(&mut self, call_id: &str, request: &Message, response: Option<&Message>) {
        let response =
            response.filter(|response| response.status().is_some_and(|status| (200..300).contains(&status)));
        let (Some(response), Some(Method::Invite), Ok(cseq)) = (response, request.method(), request.cseq())
        else {
            return;
        };
        let Some(call) = self.calls.get_mut(call_id) else { return };
        call.unacknowledged = Some((cseq.number, response.clone()));
        self.later(call_id, Later::Unacknowledged { cseq: cseq.number, waited: T1, pause: T1 }, T1);
    }

    pub(super) fn on_ack(&mut self, ack: &Message, call_id: &str) {
        let Some(call) = self.calls.get_mut(call_id) else { return };
        call.unacknowledged =
            call.unacknowledged.take().filter(|(cseq, _)| !ack.cseq().is_ok_and(|ack| ack.number == *cseq));
    }

    /// Once more, with twice the pause up to T2; after 64 times T1 whoever called is taken for gone, and the call ended.
    fn on_unacknowledged(
        &mut self,
        call_id: &str,
        cseq: u32,
        waited: Duration,
        pause: Duration,
    ) -> Vec<Message> {
        let waits = self.calls.get(call_id).and_then(|call| call.unacknowledged.as_ref());
        let Some((_, response)) = waits.filter(|(number, _)| *number == cseq) else { return Vec::new() };
        if waited >= 64 * T1 {
            return self.on_later(call_id, Later::HangUp);
        }
        let response = response.clone();
        let pause = (2 * pause).min(T2).min(64 * T1 - waited);
        self.later(call_id, Later::Unacknowledged { cseq, waited: waited + pause, pause }, pause);
        vec![response]
    }

    /// Somebody else at the same ports from now on, as the last offer of the caller allows; where there is encryption with keys of its own.
    fn interpreter(&mut self, call_id: &str) -> Option<Message> {
        let call = self.calls.get_mut(call_id)?;
        call.kind = Kind::Interpreter;
        call.media.somebody_else();
        let says = answer::says(&call.offer, call.kind, None);
        let (media, now) = (&mut call.media, self.state.clock.now());
        call.description = answer::answer(&call.offer, call.kind, &says, media, &mut self.ports, now)?;
        self.reinvite(call_id, None)
    }

    /// Offers our description once more, with this direction if one is given.
    pub(super) fn reinvite(&mut self, call_id: &str, direction: Option<&str>) -> Option<Message> {
        let mut call = self.calls.remove(call_id)?;
        call.description = next_offer(&call.description, call.media.next_version(), direction);
        if let Some(direction) = direction {
            call.media.hold(direction == "sendonly");
        }
        let contact = address(&format!("sip:far-end@{};transport=tcp", self.state.addresses.sip))?;
        let request = self.request(&mut call, call_id, Method::Invite).and_then(|invite| {
            built(invite.contact(&contact).body("application/sdp", call.description.clone()).build())
        });
        call.reinvite.clone_from(&request);
        self.calls.insert(call_id.to_owned(), call);
        request
    }

    /// Acknowledges the final answer to an INVITE. Answers to a BYE need nothing more: the call is gone already.
    pub(super) fn on_response(&mut self, response: &Message) -> Vec<Message> {
        let (Ok(cseq), Some(call_id)) = (response.cseq(), self.key(response)) else { return Vec::new() };
        let status = response.status().unwrap_or_default();
        if cseq.method == Method::Refer {
            self.on_refer_answered(&call_id, status);
        }
        if cseq.method != Method::Invite {
            return Vec::new();
        }
        // The first INVITE of a call that was placed has the number 1.
        if self.calls.get(&call_id).is_some_and(|call| call.placed.is_some()) && cseq.number == 1 {
            return self.on_placed(&call_id, response);
        }
        if status < 200 {
            return Vec::new();
        }
        let Some(mut call) = self.calls.remove(&call_id) else { return Vec::new() };
        let ack = call.reinvite.take().and_then(|reinvite| {
            if status >= 300 {
                return RequestBuilder::ack(&reinvite, response).ok().and_then(|ack| built(ack.build()));
            }
            // The ACK of a 2xx has the number of its INVITE (RFC 3261 section 13.2.2.4).
            call.cseq -= 1;
            self.request(&mut call, &call_id, Method::Ack).and_then(|ack| built(ack.build()))
        });
        self.calls.insert(call_id, call);
        ack.into_iter().collect()
    }

    /// A request within the dialog (RFC 3261 section 12.2.1.1).
    pub(super) fn request(&mut self, call: &mut Call, key: &str, method: Method) -> Option<RequestBuilder> {
        let dialog = transfer::dialog(call)?;
        let sent_by = format!("far-end.{}", self.state.names.domain());
        call.cseq += 1;
        let mut request = RequestBuilder::new(method, dialog.target)
            .via(Transport::Tcp, sent_by, &self.ident.branch())
            .max_forwards(70)
            .header(Name::From, dialog.local)
            .header(Name::To, dialog.remote)
            .call_id(key.strip_suffix(PLACED).unwrap_or(key))
            .cseq(call.cseq)
            .header(Name::UserAgent, SERVER);
        for route in dialog.routes {
            request = request.header(Name::Route, route);
        }
        Some(request)
    }
}

/// The same description with the next version (RFC 3264 section 8) and another direction.
fn next_offer(description: &str, version: u32, direction: Option<&str>) -> String {
    let lines = description.lines().map(|line| {
        let is_direction = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"].contains(&line);
        match (line.strip_prefix("o="), direction) {
            (Some(origin), _) => {
                let mut words: Vec<String> = origin.split(' ').map(str::to_owned).collect();
                if let Some(word) = words.get_mut(2) {
                    *word = version.to_string();
                }
                format!("o={}\r\n", words.join(" "))
            }
            (None, Some(direction)) if is_direction => format!("a={direction}\r\n"),
            (None, _) => format!("{line}\r\n"),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_offer_has_a_new_version_and_direction() {
        let before = "v=0\r\no=far-end 1 1 IN IP4 127.0.0.1\r\nm=audio 4 RTP/AVP 0\r\na=sendrecv\r\n";
        let after = "v=0\r\no=far-end 1 2 IN IP4 127.0.0.1\r\nm=audio 4 RTP/AVP 0\r\na=sendonly\r\n";
        assert_eq!(next_offer(before, 2, Some("sendonly")), after);
        assert_eq!(next_offer(before, 1, None), before);
    }
}
