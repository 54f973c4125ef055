//! Reads and rewrites session descriptions (RFC 8866) line by line; what is not rewritten stays byte-identical.
//!
//! Only what a relay must know: connection addresses, ports, `a=rtcp` (RFC 3605). Not validated; ICE candidates pass.

use std::net::IpAddr;

use bytes::Bytes;
use z5_sip::ident::Ident;
use z5_sip::multipart;
use z5_sip::wire::Message;

/// A media line as the relay sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MediaLine {
    /// `audio`, `video`, `text` or another word.
    pub(crate) kind: String,
    /// 0: refused or closed.
    pub(crate) port: u16,
    pub(crate) rtcp_port: u16,
    /// `None` when it is no IP address.
    pub(crate) address: Option<IpAddr>,
}

/// What a media line is rewritten to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replacement {
    pub(crate) port: u16,
    pub(crate) rtcp_port: u16,
}

/// The session description of a message, alone or among other parts.
pub(crate) fn of(message: &Message) -> Option<Bytes> {
    if is_sdp(message.content_type()?) {
        return Some(Bytes::copy_from_slice(message.body()));
    }
    let parts = multipart::is_multipart(message).then(|| multipart::read(message).ok())??;
    parts.into_iter().find(|part| part.media_type() == SDP).map(|part| part.body.0)
}

/// The whole body, and its type when that changes, with another session description in the place of its own.
pub(crate) fn with(message: &Message, sdp: String, ident: &mut Ident) -> Option<(Option<String>, Bytes)> {
    if message.content_type().is_some_and(is_sdp) {
        return Some((None, sdp.into_bytes().into()));
    }
    let mut parts = multipart::read(message).ok()?;
    let part = parts.iter_mut().find(|part| part.media_type() == SDP)?;
    part.body = sdp.into_bytes().into();
    multipart::write(&parts, ident).ok().map(|(kind, body)| (Some(kind), body))
}

const SDP: &str = "application/sdp";

fn is_sdp(content_type: &str) -> bool {
    content_type.eq_ignore_ascii_case(SDP)
}

/// The media lines in order.
pub(crate) fn media_lines(text: &str) -> Vec<MediaLine> {
    let mut session_address = None;
    let mut found: Vec<MediaLine> = Vec::new();
    for line in text.lines() {
        if let Some(address) = connection_address(line) {
            match found.last_mut() {
                None => session_address = address.parse().ok(),
                Some(media) => media.address = address.parse().ok(),
            }
        } else if let Some((kind, port)) = media(line) {
            let rtcp_port = port.saturating_add(1);
            found.push(MediaLine { kind: kind.to_owned(), port, rtcp_port, address: session_address });
        } else if let (Some(port), Some(media)) = (rtcp_port(line), found.last_mut()) {
            media.rtcp_port = port;
        }
    }
    found
}

/// The description with every replaced media line on `address`; `None` leaves a media line's ports alone.
pub(crate) fn rewrite(text: &str, address: IpAddr, replacements: &[Option<Replacement>]) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut index: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\r', '\n']);
        let end = &line[content.len()..];
        let mut replacement = index.and_then(|index| replacements.get(index).copied().flatten());
        if let Some((kind, _)) = media(content) {
            index = Some(index.map_or(0, |index| index + 1));
            replacement = index.and_then(|index| replacements.get(index).copied().flatten());
            let rest = content.splitn(3, ' ').nth(2).unwrap_or_default();
            match replacement {
                Some(new) => out.push_str(&format!("m={kind} {} {rest}", new.port)),
                None => out.push_str(content),
            }
        } else if let Some(old) = connection_address(content)
            && old.parse::<IpAddr>().is_ok_and(|old| !old.is_unspecified())
        {
            out.push_str(&format!("c=IN {} {address}", if address.is_ipv4() { "IP4" } else { "IP6" }));
        } else if let (Some(_), Some(new)) = (rtcp_port(content), replacement) {
            // The address that may follow the port is left out: it is that of the connection line.
            out.push_str(&format!("a=rtcp:{}", new.rtcp_port));
        } else {
            out.push_str(content);
        }
        out.push_str(end);
    }
    out
}

fn media(line: &str) -> Option<(&str, u16)> {
    let mut words = line.strip_prefix("m=")?.split(' ');
    let kind = words.next()?;
    let port = words.next()?.split('/').next()?.parse().ok()?;
    Some((kind, port))
}

fn connection_address(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("c=IN IP4 ").or_else(|| line.strip_prefix("c=IN IP6 "))?;
    rest.split(['/', ' ']).next()
}

fn rtcp_port(line: &str) -> Option<u16> {
    line.strip_prefix("a=rtcp:")?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.7\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0 8\r\na=rtcp:4005 IN IP4 127.0.0.7\r\na=x-strange:  kept \r\n\
        m=video 0 RTP/AVP 96\r\nm=text 4010 RTP/AVP 98\r\nc=IN IP4 127.0.0.8\r\na=rtpmap:98 t140/1000\r\n";

    #[test]
    fn lines_are_read_with_session_and_media_addresses() {
        let lines = media_lines(OFFER);
        let seen: Vec<_> = lines
            .iter()
            .map(|line| (line.kind.as_str(), line.port, line.rtcp_port, line.address.unwrap().to_string()))
            .collect();
        let expected = [
            ("audio", 4000, 4005, "127.0.0.7"),
            ("video", 0, 1, "127.0.0.7"),
            ("text", 4010, 4011, "127.0.0.8"),
        ];
        assert_eq!(seen, expected.map(|(kind, port, rtcp, address)| (kind, port, rtcp, address.to_owned())));
    }

    #[test]
    fn only_addresses_and_ports_change() {
        let new = |port| Some(Replacement { port, rtcp_port: port + 1 });
        let text = rewrite(OFFER, [127, 0, 0, 1].into(), &[new(5000), None, new(5002)]);
        let expected = OFFER
            .replace("c=IN IP4 127.0.0.7", "c=IN IP4 127.0.0.1")
            .replace("c=IN IP4 127.0.0.8", "c=IN IP4 127.0.0.1")
            .replace("m=audio 4000", "m=audio 5000")
            .replace("a=rtcp:4005 IN IP4 127.0.0.7", "a=rtcp:5001")
            .replace("m=text 4010", "m=text 5002");
        assert_eq!(text, expected);
        let held = "c=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\n";
        assert_eq!(rewrite(held, [127, 0, 0, 1].into(), &[None]), held);
    }

    #[test]
    fn broken_lines_pass_as_they_are() {
        let broken = "m=\r\nm=audio\r\nm=audio x RTP/AVP 0\nc=IN IP4 nowhere\r\na=rtcp:\r\nc=";
        assert_eq!(rewrite(broken, [127, 0, 0, 1].into(), &[]), broken);
        assert!(media_lines(broken).is_empty());
    }
}
