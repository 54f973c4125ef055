//! What far ends send by themselves within a call: BYE and re-INVITE (RFC 3261 sections 14.1 and 15), as the called side.

use z5_sip::wire::{Message, Method, Name, RequestBuilder, Transport};

use super::{CHANGE_AFTER, Call, FarEnds, Later, built};
use crate::fault::Fault;
use crate::sip::switch::{SERVER, address};

impl FarEnds {
    pub(super) fn on_later(&mut self, call_id: &str, later: Later) -> Vec<Message> {
        match later {
            Later::Answer if self.calls.get(call_id).is_some_and(|call| !call.answered) => {
                self.answer(call_id, 200).into_iter().collect()
            }
            Later::Answer => Vec::new(),
            Later::HangUp => {
                let Some(mut call) = self.calls.remove(call_id) else { return Vec::new() };
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
            Later::Resume => self.reinvite(call_id, Some("sendrecv")).into_iter().collect(),
        }
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

    /// Acknowledges the final answer to a re-INVITE. Answers to a BYE need nothing more: the call is gone already.
    pub(super) fn on_response(&mut self, response: &Message) -> Vec<Message> {
        let invite = response.cseq().is_ok_and(|cseq| cseq.method == Method::Invite);
        let status = response.status().unwrap_or_default();
        let Ok(call_id) = response.call_id().map(str::to_owned) else { return Vec::new() };
        if !invite || status < 200 {
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

    /// A request of the called side: From and To exchanged, the route as it was recorded (RFC 3261 section 12.1.1).
    fn request(&mut self, call: &mut Call, call_id: &str, method: Method) -> Option<RequestBuilder> {
        let invite = &call.invite;
        let target = invite.contact().ok()?.uri.as_str().to_owned();
        let sent_by = format!("far-end.{}", self.state.names.domain());
        let from = format!("{};tag={}", invite.text(Name::To)?, call.tag);
        call.cseq += 1;
        let mut request = RequestBuilder::new(method, target)
            .via(Transport::Tcp, sent_by, &self.ident.branch())
            .max_forwards(70)
            .header(Name::From, from)
            .header(Name::To, invite.text(Name::From)?.as_bytes())
            .call_id(call_id)
            .cseq(call.cseq)
            .header(Name::UserAgent, SERVER);
        for route in invite.values(Name::RecordRoute) {
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
