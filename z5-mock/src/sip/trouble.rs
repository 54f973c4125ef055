//! What the proxy does wrong when it is told to: refusals, silence, and what it makes of descriptions on their way to a caller.

use bytes::Bytes;
use z5_sip::wire::{Message, Method, Name, RequestBuilder, Transport};

use super::ConnectionId;
use super::FAR_ENDS;
use super::description;
use super::forks::ELSEWHERE;
use super::switch::Switch;
use crate::fault::{AnswerFault, Fault};

/// A body and its type when that changes.
type Body = Option<(Option<String>, Bytes)>;

/// A payload type and an encoding that nobody offers.
const FOREIGN_PAYLOAD: &str = "119";
const FOREIGN_ENCODING: &str = "x-nobody-has-this/8000";
/// A suite of RFC 4568 section 6.2 that nobody offers, and keys that nobody has: 30 bytes, as AES_CM_128 wants, and 44, 46 and 28.
const FOREIGN_SUITE: &str = "F8_128_HMAC_SHA1_80";
const FOREIGN_BYTES: u8 = 0x5a;
/// Larger than any body of a SIP message may reasonably be.
pub(super) const HUGE_BODY_BYTES: usize = 512 * 1024;

impl Switch {
    /// True when a request of a client went wrong on purpose: it has been answered, or never will be.
    pub(super) fn trouble(
        &mut self,
        from: ConnectionId,
        request: &Message,
        method: &Method,
        within: bool,
    ) -> bool {
        if from == FAR_ENDS {
            return false;
        }
        let all = self.state.faults.clone();
        let faults = all.at(self.local(from).ip());
        let status = match (method, within) {
            (Method::Invite, false) => faults
                .strike(|fault| if let Fault::InviteStatus(status) = fault { Some(*status) } else { None }),
            (Method::Invite, true) => faults
                .strike(|fault| if let Fault::ReinviteStatus(status) = fault { Some(*status) } else { None }),
            (Method::Refer, _) => faults
                .strike(|fault| if let Fault::ReferStatus(status) = fault { Some(*status) } else { None }),
            (Method::Message, _) => faults
                .strike(|fault| if let Fault::MessageStatus(status) = fault { Some(*status) } else { None }),
            _ => None,
        };
        if let Some(status) = status {
            self.answer(from, request, status, "");
            return true;
        }
        if *method != Method::Invite || within {
            return false;
        }
        if faults.strikes(Fault::InviteCredentialsRejected) {
            self.challenge(from, request, true, false);
            return true;
        }
        if faults.strikes(Fault::DropAfterInvite) {
            self.close(from);
            return true;
        }
        faults.strikes(Fault::InviteVanishes)
    }

    /// The body of an answer to a caller as the faults want it.
    pub(super) fn spoiled(&mut self, call_id: &str, response: &Message, status: u16, body: Body) -> Body {
        if !(200..300).contains(&status) {
            return body;
        }
        let strike = || {
            self.state
                .faults
                .strike(|fault| if let Fault::Answer(fault) = fault { Some(*fault) } else { None })
        };
        let fault = match self.calls.find(call_id) {
            Some(call) => *call.spoiled.get_or_insert_with(strike),
            None => strike(),
        };
        let Some(fault) = fault else { return body };
        let text = match &body {
            Some((None, bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            // Among other parts it stays as it is, and without a relay what came is what goes.
            Some((Some(_), _)) => return body,
            None => String::from_utf8_lossy(&description::of(response).unwrap_or_default()).into_owned(),
        };
        Some((None, spoil(&text, fault).into_bytes().into()))
    }

    /// Tells a client that rings that another device took the call, and the caller that it is over.
    pub(super) fn take_elsewhere(&mut self, call_id: &str) {
        if self
            .calls
            .find(call_id)
            .is_none_or(|call| call.callee.connection == FAR_ENDS || !call.forks.is_empty())
            || !self.state.faults.strikes(Fault::AnsweredElsewhere)
        {
            return;
        }
        let Some(call) = self.calls.find(call_id) else { return };
        let (to, invite) = (call.callee.connection, call.invite.clone());
        let cancel = invite.and_then(|invite| cancel(&invite, ELSEWHERE));
        if let Some(cancel) = cancel {
            self.send(to, cancel);
        }
    }
}

/// CANCEL of a request that was passed on (RFC 3261 section 9.1), with a reason if there is one (RFC 3326).
pub(super) fn cancel(invite: &Message, reason: Option<&str>) -> Option<Message> {
    let target = invite.request_uri()?.ok()?.as_str().to_owned();
    let via = invite.via().ok()?;
    let branch = via.branch()?.to_owned();
    let sent_by = match via.port {
        Some(port) => format!("{}:{port}", via.host),
        None => via.host.to_string(),
    };
    let cancel = RequestBuilder::new(Method::Cancel, target)
        .via(via.known_transport().unwrap_or(Transport::Tcp), sent_by, &branch)
        .max_forwards(70)
        .header(Name::From, invite.text(Name::From)?.as_bytes())
        .header(Name::To, invite.text(Name::To)?.as_bytes())
        .call_id(invite.call_id().ok()?)
        .cseq(invite.cseq().ok()?.number);
    let cancel = match reason {
        Some(reason) => cancel.header(Name::Reason, reason),
        None => cancel,
    };
    cancel.build().ok()
}

/// The description with a fault in it.
fn spoil(text: &str, fault: AnswerFault) -> String {
    match fault {
        AnswerFault::Missing => String::new(),
        AnswerFault::Unreadable => "v=0\r\no=far-end\r\nthis is no description\r\n".to_owned(),
        AnswerFault::LineMissing => text.rfind("m=").map_or_else(String::new, |at| text[..at].to_owned()),
        AnswerFault::ForeignCodec => lines(text, |line| match line.strip_prefix("m=") {
            Some(media) => {
                let kept: Vec<&str> = media.split(' ').take(3).collect();
                let media = kept.join(" ");
                Some(format!("m={media} {FOREIGN_PAYLOAD}\r\na=rtpmap:{FOREIGN_PAYLOAD} {FOREIGN_ENCODING}"))
            }
            None if line.starts_with("a=rtpmap:") || line.starts_with("a=fmtp:") => None,
            None => Some(line.to_owned()),
        }),
        AnswerFault::CryptoMissing => {
            lines(text, |line| (!line.starts_with("a=crypto:")).then(|| line.to_owned()))
        }
        AnswerFault::CryptoForeign => lines(text, |line| Some(with_crypto(line, Some(FOREIGN_SUITE)))),
        AnswerFault::WrongKey => lines(text, |line| Some(with_crypto(line, None))),
        AnswerFault::TextRefused => lines(text, |line| match line.strip_prefix("m=text ") {
            Some(media) => {
                let rest = media.split_once(' ').map_or("", |(_, rest)| rest);
                Some(format!("m=text 0 {rest}"))
            }
            None => Some(line.to_owned()),
        }),
        AnswerFault::Huge => format!("{text}a=x-padding:{}\r\n", "z".repeat(HUGE_BODY_BYTES)),
    }
}

fn lines(text: &str, change: impl Fn(&str) -> Option<String>) -> String {
    text.lines().filter_map(change).fold(String::with_capacity(text.len()), |all, line| all + &line + "\r\n")
}

/// Another suite, or the same with another key as long as the one before.
fn with_crypto(line: &str, suite: Option<&str>) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    if !line.starts_with("a=crypto:") || words.len() < 3 {
        return line.to_owned();
    }
    match suite {
        Some(suite) => words[1] = suite.to_owned(),
        None => {
            let key = words[2].strip_prefix("inline:").unwrap_or_default();
            let (key, rest) =
                key.split_once('|').map_or((key, String::new()), |(key, rest)| (key, format!("|{rest}")));
            let length = STANDARD.decode(key).map_or(30, |bytes| bytes.len());
            words[2] = format!("inline:{}{rest}", STANDARD.encode(vec![FOREIGN_BYTES; length]));
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\nm=audio 4000 RTP/SAVP 0\r\na=rtpmap:0 PCMU/8000\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA|2^20\r\n\
        m=text 4002 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n";

    #[test]
    fn each_fault_changes_what_it_says_and_nothing_else() {
        let of = |fault| spoil(ANSWER, fault);
        assert_eq!(of(AnswerFault::Missing), "");
        assert!(of(AnswerFault::Huge).starts_with(ANSWER) && of(AnswerFault::Huge).len() > HUGE_BODY_BYTES);
        assert_eq!(of(AnswerFault::LineMissing), ANSWER[..ANSWER.find("m=text").unwrap()]);
        assert_eq!(of(AnswerFault::TextRefused), ANSWER.replace("m=text 4002", "m=text 0"));
        let without: String = ANSWER
            .lines()
            .filter(|line| !line.contains("crypto"))
            .map(|line| format!("{line}\r\n"))
            .collect();
        assert_eq!(of(AnswerFault::CryptoMissing), without);
        assert_eq!(of(AnswerFault::CryptoForeign), ANSWER.replace("AES_CM_128_HMAC_SHA1_80", FOREIGN_SUITE));
        assert_eq!(of(AnswerFault::WrongKey), ANSWER.replace(&"A".repeat(40), &"Wlpa".repeat(10)));
        let foreign = of(AnswerFault::ForeignCodec);
        assert!(foreign.contains("m=audio 4000 RTP/SAVP 119\r\na=rtpmap:119 x-"), "{foreign}");
        assert!(!foreign.contains("PCMU") && !foreign.contains("t140"), "{foreign}");
    }
}
