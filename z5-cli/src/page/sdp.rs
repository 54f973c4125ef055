//! Session descriptions in the redacted messages of a capsule: which answers which (RFC 3264), and the lines of each m-line.

use crate::capsule::Message;

/// An offer and what was answered.
pub(super) struct Exchange<'a> {
    pub(super) offer: &'a Message,
    pub(super) answer: Option<&'a Message>,
}

/// One m-line with what belongs to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Medium<'a> {
    /// `audio 20000 RTP/AVP 0 8`.
    pub(super) line: &'a str,
    /// Attributes without `a=`: its own after those of the session.
    pub(super) attributes: Vec<&'a str>,
}

/// The lines of a message's description; none when it has none that is shown.
fn description(message: &Message) -> Option<&str> {
    let (_, body) = message.text.split_once("\n\n(")?;
    let (size, lines) = body.split_once('\n')?;
    size.contains("application/sdp").then_some(lines)
}

/// Offers in the order in which they were made, each with its answer.
pub(super) fn exchanges(messages: &[Message]) -> Vec<Exchange<'_>> {
    let mut found: Vec<Exchange<'_>> = Vec::new();
    for message in messages {
        let Some(body) = description(message) else { continue };
        // What this side wrote twice (a request again with credentials, a 200 after a 183) is one description.
        let again = found.iter().rev().find(|known| {
            let same = |other: &Message| {
                other.dialog == message.dialog
                    && other.sent == message.sent
                    && description(other) == Some(body)
            };
            same(known.offer) || known.answer.is_some_and(same)
        });
        if again.is_some() {
            continue;
        }
        let open = found.iter_mut().rev().find(|known| {
            known.answer.is_none() && known.offer.dialog == message.dialog && known.offer.sent != message.sent
        });
        match open {
            Some(open) => open.answer = Some(message),
            None => found.push(Exchange { offer: message, answer: None }),
        }
    }
    found
}

/// Every m-line of a message.
pub(super) fn media(message: &Message) -> Vec<Medium<'_>> {
    let mut session = Vec::new();
    let mut media: Vec<Medium<'_>> = Vec::new();
    for line in description(message).unwrap_or_default().lines() {
        if let Some(line) = line.strip_prefix("m=") {
            media.push(Medium { line, attributes: session.clone() });
        } else if let Some(attribute) = line.strip_prefix("a=") {
            match media.last_mut() {
                Some(medium) => medium.attributes.push(attribute),
                None => session.push(attribute),
            }
        } else if let (Some(medium), true) = (media.last_mut(), line.starts_with("b=")) {
            medium.attributes.push(line);
        }
    }
    media
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn message(sent: bool, status: Option<u16>, sdp: &str) -> Message {
        Message {
            at_ms: 0.0,
            sent,
            transport: "tcp".into(),
            local: "127.0.0.1:1".into(),
            remote: "127.0.0.1:2".into(),
            method: Some("INVITE".into()),
            status,
            cseq: Some(1),
            dialog: "d".into(),
            bytes: 0,
            text: match sdp {
                "" => "INVITE sip:x SIP/2.0\n".to_owned(),
                sdp => format!("INVITE sip:x SIP/2.0\nTo: <sip:x>\n\n(9 bytes of application/sdp)\n{sdp}"),
            },
        }
    }

    #[test]
    fn an_answer_belongs_to_the_offer_before_it() {
        let offer = "v=0\na=group:X\nm=audio 1 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nb=TIAS:64000\n";
        let answer = "v=0\nm=audio 2 RTP/AVP 0\na=sendrecv\n";
        let messages = [
            message(true, None, offer),
            message(false, Some(407), ""),
            message(true, None, offer),
            message(false, Some(183), answer),
            message(false, Some(200), answer),
            message(true, None, "v=0\nm=audio 1 RTP/AVP 0\na=sendonly\n"),
        ];
        let found = exchanges(&messages);
        assert_eq!(found.len(), 2);
        assert!(found[0].offer.sent && found[0].answer.is_some_and(|answer| answer.status == Some(183)));
        assert!(found[1].answer.is_none());
        let [medium] = &media(found[0].offer)[..] else { panic!("one m-line") };
        assert_eq!(medium.line, "audio 1 RTP/AVP 0");
        assert_eq!(medium.attributes, ["group:X", "rtpmap:0 PCMU/8000", "b=TIAS:64000"]);
    }
}
