//! REFER within a call, both ways (RFC 3515): a far end that hands its call over, and one that is asked to call somebody else and tells how
//! that goes (RFC 4488: or not). A call that comes in place of another one (RFC 3891).
//!
//! One transfer at a time in a call; none before the answer, none outside calls and none with emergency services.

use z5_sip::wire::{Message, Method, Name, NameAddr, Scheme, UriRef};

use super::placed::{Dialog, Wish};
use super::{Call, FarEnds, Kind, Later, built};
use crate::sip::switch::address;

/// How long whoever asked may listen, in seconds.
const LISTENS_S: u32 = 180;

/// What is going on with a transfer in a call.
#[derive(Default)]
pub(super) struct Transfer {
    /// We have asked the other side to call somebody, and hear how that goes.
    asked: bool,
    /// We were asked, and tell: the number of the REFER.
    told: Option<u32>,
}

impl FarEnds {
    /// Asks the caller to call a number of the carrier instead.
    pub(super) fn refer(&mut self, key: &str, target: &str) -> Option<Message> {
        let number = Kind::of(target).map_or_else(|| target.to_owned(), Kind::number);
        let domain = self.state.names.domain().to_owned();
        let contact = address(&format!("sip:far-end@{};transport=tcp", self.state.addresses.sip))?;
        let mut call = self.calls.remove(key).filter(|call| call.answered)?;
        let own = own_uri(&call);
        call.transfer.asked = true;
        let request = self.request(&mut call, key, Method::Refer).and_then(|refer| {
            let refer = refer
                .contact(&contact)
                .header(Name::ReferTo, format!("<sip:{number}@{domain};user=phone>"))
                .header_opt(Name::ReferredBy, own.map(|uri| format!("<{uri}>")));
            built(refer.build())
        });
        self.calls.insert(key.to_owned(), call);
        request
    }

    /// What the other side says to a REFER of ours: a refusal ends it, and the call goes on.
    pub(super) fn on_refer_answered(&mut self, key: &str, status: u16) {
        if let Some(call) = self.calls.get_mut(key).filter(|_| status >= 300) {
            call.transfer.asked = false;
        }
    }

    /// How the call goes that we asked for: when it stands, ours is over.
    pub(super) fn on_notify(&mut self, request: &Message, key: &str, tag: &str) -> Vec<Message> {
        let event = request.header_token(Name::Event).unwrap_or_default();
        let Some(call) = self.calls.get_mut(key) else { return Vec::new() };
        if !event.eq_ignore_ascii_case("refer") {
            return self.reply(request, 489, tag).into_iter().collect();
        }
        if !call.transfer.asked {
            return self.reply(request, 481, tag).into_iter().collect();
        }
        let state = request.header_token(Name::SubscriptionState).unwrap_or_default();
        let status = fragment_status(request.body());
        let over = status >= 200 || state.eq_ignore_ascii_case("terminated");
        call.transfer.asked = !over;
        let mut out: Vec<Message> = self.reply(request, 200, tag).into_iter().collect();
        if (200..300).contains(&status) {
            out.extend(self.on_later(key, Later::HangUp));
        }
        out
    }

    /// We are asked to call somebody else.
    pub(super) fn on_refer(&mut self, request: &Message, key: &str, tag: &str) -> Vec<Message> {
        let (Ok(wish), Ok(cseq)) = (wish(request), request.cseq()) else {
            let status = wish(request).err().unwrap_or(400);
            return self.reply(request, status, tag).into_iter().collect();
        };
        let Some(call) = self.calls.get_mut(key) else { return Vec::new() };
        let status = match call {
            Call { answered: false, .. } | Call { kind: Kind::Emergency, .. } => 603,
            Call { transfer: Transfer { told: Some(_), .. }, .. } => 491,
            _ => 202,
        };
        if status != 202 {
            return self.reply(request, status, tag).into_iter().collect();
        }
        let unheard =
            request.header_token(Name::ReferSub).is_some_and(|sub| sub.eq_ignore_ascii_case("false"));
        call.transfer.told = (!unheard).then_some(cseq.number);
        let mut out: Vec<Message> = self.accepted(request, tag, unheard).into_iter().collect();
        out.extend(self.tell_progress(key, 100, "Trying"));
        match self.place(key, wish) {
            Some((_, invite)) => out.push(invite),
            None => out.extend(self.tell_progress(key, 488, "Not Acceptable Here")),
        }
        out
    }

    fn accepted(&self, request: &Message, tag: &str, unheard: bool) -> Option<Message> {
        let contact = address(&format!("sip:far-end@{};transport=tcp", self.state.addresses.sip))?;
        let response = z5_sip::wire::ResponseBuilder::to_request(request, 202, "")
            .to_tag(tag)
            .contact(&contact)
            .header_opt(Name::ReferSub, unheard.then_some("false"));
        built(response.build())
    }

    /// NOTIFY of how the call goes that we were asked for, if anybody listens; a final status ends that.
    pub(super) fn tell_progress(&mut self, key: &str, status: u16, reason: &str) -> Option<Message> {
        let contact = address(&format!("sip:far-end@{};transport=tcp", self.state.addresses.sip))?;
        let mut call = self.calls.remove(key)?;
        let told = call.transfer.told;
        if status >= 200 {
            call.transfer.told = None;
        }
        let notify = told.and_then(|cseq| {
            let state = match status {
                0..=199 => format!("active;expires={LISTENS_S}"),
                _ => "terminated;reason=noresource".to_owned(),
            };
            let notify = self.request(&mut call, key, Method::Notify)?;
            let notify = notify
                .contact(&contact)
                .header(Name::Event, format!("refer;id={cseq}"))
                .header(Name::SubscriptionState, state)
                .body("message/sipfrag;version=2.0", format!("SIP/2.0 {status} {reason}\r\n"));
            built(notify.build())
        });
        self.calls.insert(key.to_owned(), call);
        notify
    }

    /// The call of ours whose place an INVITE is to take, or the status with which that is refused (RFC 3891 section 3).
    pub(super) fn replaced(&self, request: &Message) -> Result<Option<String>, u16> {
        let Some(value) = request.text(Name::Replaces) else { return Ok(None) };
        let params = request.header_params(Name::Replaces);
        let (Some(to), Some(from)) = (params.get("to-tag"), params.get("from-tag")) else { return Err(400) };
        let id = value.split(';').next().unwrap_or_default().trim();
        let found = [id.to_owned(), format!("{id}{}", super::placed::PLACED)].into_iter().find(|key| {
            let call = self.calls.get(key).filter(|call| call.tag == to);
            let dialog = call.and_then(dialog);
            dialog.is_some_and(|dialog| dialog.remote.ends_with(&format!(";tag={from}")))
        });
        let answered = found.as_ref().and_then(|key| self.calls.get(key)).map(|call| call.answered);
        match answered {
            Some(true) if params.has("early-only") => Err(486),
            Some(true) => Ok(found),
            Some(false) | None => Err(481),
        }
    }
}

/// The dialog of a call, whichever side we are.
pub(super) fn dialog(call: &Call) -> Option<Dialog> {
    match &call.placed {
        Some(placed) => placed.dialog.clone(),
        None => Dialog::called(&call.invite, &call.tag),
    }
}

/// What a far end was dialled as.
fn own_uri(call: &Call) -> Option<String> {
    let end = if call.placed.is_some() { call.invite.from() } else { call.invite.to() };
    end.ok().map(|address| address.uri.as_str().to_owned())
}

/// The status line of a `message/sipfrag` body (RFC 3420); 0 when there is none.
fn fragment_status(body: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(body);
    let status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.split(' ').next()?.trim().parse().ok());
    status.unwrap_or_default()
}

/// Whom a REFER is about: exactly one target that can be called, or the status with which it is refused (RFC 3515 section 2.4.2).
fn wish(request: &Message) -> Result<Wish, u16> {
    let mut targets = request.values(Name::ReferTo);
    let (Some(target), None) = (targets.next(), targets.next()) else { return Err(400) };
    let target = NameAddr::parse(target).map_err(|_| 400_u16)?;
    if !matches!(target.uri.scheme(), Scheme::Sip | Scheme::Sips | Scheme::Tel) {
        return Err(416);
    }
    let named = target.uri.headers().unwrap_or_default().split('&').filter_map(|one| one.split_once('='));
    let mut replaces = None;
    for (name, value) in named {
        if name.eq_ignore_ascii_case("replaces") {
            replaces = Some(unescaped(value).ok_or(400_u16)?);
        }
    }
    Ok(Wish {
        target: without_headers(&target.uri),
        replaces,
        referred_by: request.header(Name::ReferredBy).map(<[u8]>::to_vec),
    })
}

fn without_headers(uri: &UriRef<'_>) -> String {
    uri.as_str().split('?').next().unwrap_or_default().to_owned()
}

/// A header value in a URI (RFC 3261 section 19.1.1) as text; `None` when an escape is none, or it would be no header.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first == b'%' {
            let digits = std::str::from_utf8(more.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &more[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte >= b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refer(to: &str) -> Message {
        let text = format!(
            "REFER sip:echo@csdvrs.test SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: <sip:a@csdvrs.test>;tag=a\r\nTo: <sip:echo@csdvrs.test>;tag=b\r\nCall-ID: c\r\nCSeq: 2 REFER\r\n\
             {to}Content-Length: 0\r\n\r\n"
        );
        Message::parse_datagram(text.into_bytes().into()).unwrap()
    }

    #[test]
    fn a_refer_names_exactly_one_whom_a_far_end_can_call() {
        let one = wish(&refer("Refer-To: <sip:b@h.test?Replaces=x%40y%3Bto-tag%3D1%3Bfrom-tag%3D2&a=b>\r\n"))
            .unwrap();
        assert_eq!(one.target, "sip:b@h.test");
        assert_eq!(one.replaces.as_deref(), Some("x@y;to-tag=1;from-tag=2"));
        for (text, status) in [
            ("", 400),
            ("Refer-To: <sip:b@h.test>\r\nRefer-To: <sip:c@h.test>\r\n", 400),
            ("Refer-To: <sip:b@h.test?Replaces=%4>\r\n", 400),
            ("Refer-To: <sip:b@h.test?Replaces=a%0D%0Ab>\r\n", 400),
            ("Refer-To: <https://h.test/>\r\n", 416),
        ] {
            assert_eq!(wish(&refer(text)).err(), Some(status), "{text}");
        }
    }

    #[test]
    fn a_fragment_says_how_a_call_goes() {
        for (body, status) in
            [("SIP/2.0 200 OK\r\n", 200), ("SIP/2.0 180\r\n", 180), ("", 0), ("HTTP/1.1 200 OK", 0)]
        {
            assert_eq!(fragment_status(body.as_bytes()), status, "{body}");
        }
    }
}
