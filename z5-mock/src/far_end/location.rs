//! What an emergency call says of where it comes from (RFC 6442): read back to the caller by the far end of 911.

use z5_sip::multipart;
use z5_sip::wire::{Message, Name};

/// What is typed to the caller: the position of the PIDF-LO that came along, the reference, or that there was none.
pub(super) fn heard(request: &Message) -> String {
    let Some(value) = request.text(Name::Geolocation) else { return "no location".to_owned() };
    let uri = value.split(['<', '>']).find(|part| part.contains(':')).unwrap_or_default();
    let Some(content_id) = uri.strip_prefix("cid:") else { return format!("location at {uri}") };
    let parts = multipart::read(request).unwrap_or_default();
    let named = parts.iter().find(|part| part.content_id.as_deref() == Some(content_id));
    let Some(part) = named else { return "a location that is not there".to_owned() };
    let document = String::from_utf8_lossy(part.body.as_bytes());
    let position = document.split_once(":pos>").and_then(|(_, rest)| rest.split_once('<'));
    match position {
        Some((position, _)) => format!("location {}", position.trim()),
        None => format!("location of {} bytes", document.len()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn invite(headers: &str, body: &str) -> Message {
        let text = format!(
            "INVITE urn:service:sos SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <urn:service:sos>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Message::parse_datagram(Bytes::from(text)).unwrap()
    }

    #[test]
    fn what_came_is_what_is_typed() {
        assert_eq!(heard(&invite("", "")), "no location");
        let reference = invite("Geolocation: <https://ls.test/1>\r\n", "");
        assert_eq!(heard(&reference), "location at https://ls.test/1");
        let headers = "Geolocation: <cid:here@h>\r\nContent-Type: multipart/mixed;boundary=b\r\n";
        let part = |id: &str| {
            format!(
                "--b\r\nContent-Type: application/pidf+xml\r\nContent-ID: <{id}>\r\n\r\n\
                 <gml:pos>38.9 -77</gml:pos>\r\n--b--\r\n"
            )
        };
        assert_eq!(heard(&invite(headers, &part("here@h"))), "location 38.9 -77");
        assert_eq!(heard(&invite(headers, &part("there@h"))), "a location that is not there");
    }
}
