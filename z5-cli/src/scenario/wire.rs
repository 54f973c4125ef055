//! What the mock carrier saw on the wire, judged: a message that begins so, with this in it and without that.

use z5_mock::{Direction, Entry, Service};

use super::model::Wire;
use crate::expect::Expectation;

/// The most of a message that is quoted.
const QUOTED: usize = 80;

/// One message has everything it should have, and none has what it should not.
pub(super) fn judge(wanted: &Wire, entries: &[Entry]) -> Vec<Expectation> {
    let direction = if wanted.by_carrier { Direction::Sent } else { Direction::Received };
    let of_sip = entries.iter().filter(|entry| entry.service == Service::Sip && entry.direction == direction);
    let seen: Vec<String> = of_sip
        .filter(|entry| entry.text.starts_with(&wanted.start))
        .map(|entry| match &wanted.header {
            Some(name) => header(&entry.text, name),
            None => entry.text.clone(),
        })
        .collect();
    let place = match &wanted.header {
        Some(name) => format!("{} {name}", wanted.start),
        None => wanted.start.clone(),
    };
    let mut all = Vec::new();
    if wanted.has.is_empty() && wanted.lacks.is_empty() {
        let found = seen.iter().find(|text| wanted.header.is_none() || !text.is_empty());
        all.push(Expectation::fact("wire", &format!("{place}: seen"), shown(found), found.is_some()));
    }
    for part in &wanted.has {
        let found = seen.iter().find(|text| text.contains(part.as_str()));
        let closest = found.or_else(|| seen.iter().rfind(|text| !text.is_empty()));
        all.push(Expectation::fact(
            "wire",
            &format!("{place}: has {part:?}"),
            shown(closest),
            found.is_some(),
        ));
    }
    for part in &wanted.lacks {
        let found = seen.iter().find(|text| text.contains(part.as_str()));
        let held = found.is_none() && !seen.is_empty();
        let measured = match (found, seen.len()) {
            (Some(text), _) => shown(Some(text)),
            (None, 0) => "no such message".to_owned(),
            (None, 1) => "not there, in 1 message".to_owned(),
            (None, count) => format!("not there, in {count} messages"),
        };
        all.push(Expectation::fact("wire", &format!("{place}: lacks {part:?}"), measured, held));
    }
    all
}

/// The values of a header field, one a line.
fn header(message: &str, name: &str) -> String {
    let lines = message.lines().skip(1).take_while(|line| !line.trim().is_empty());
    let values = lines.filter_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    });
    values.collect::<Vec<_>>().join("\n")
}

fn shown(text: Option<&String>) -> String {
    let Some(text) = text else { return "no such message".to_owned() };
    let line = text.lines().collect::<Vec<_>>().join(" | ");
    match line.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn entry(text: &str) -> Entry {
        let peer = SocketAddr::from(([127, 0, 0, 1], 5060));
        Entry { service: Service::Sip, direction: Direction::Received, peer, text: text.to_owned() }
    }

    fn wire(header: Option<&str>, has: &[&str], lacks: &[&str]) -> Wire {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        Wire {
            start: "INVITE".to_owned(),
            by_carrier: false,
            header: header.map(str::to_owned),
            has: texts(has),
            lacks: texts(lacks),
        }
    }

    #[test]
    fn a_header_is_looked_into_and_what_was_seen_is_quoted() {
        let seen = [entry("INVITE sip:x SIP/2.0\r\nFrom: <sip:a@b>\r\nfrom: second\r\n\r\nFrom: body\r\n")];
        let judged = judge(&wire(Some("From"), &["a@b"], &["body"]), &seen);
        assert!(judged.iter().all(|e| e.held), "{judged:?}");
        let judged = judge(&wire(Some("From"), &["c@d"], &["second"]), &seen);
        assert!(judged.iter().all(|e| !e.held && e.measured.contains("a@b")), "{judged:?}");
    }

    #[test]
    fn what_was_never_sent_has_and_lacks_nothing() {
        for wanted in [wire(None, &[], &[]), wire(None, &["x"], &[]), wire(None, &[], &["x"])] {
            let judged = judge(&wanted, &[entry("REGISTER sip:x SIP/2.0\r\n\r\n")]);
            assert!(judged.len() == 1 && !judged[0].held && judged[0].measured == "no such message");
        }
    }
}
