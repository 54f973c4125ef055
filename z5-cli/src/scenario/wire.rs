//! What crossed the wire, judged: a message that begins so, with this in it and without that. By the record of the mock carrier, or by
//! what z5 saw at its own end (`SipTrace`); both have messages redacted alike and remarks in square brackets.

use z5_core::clock::WallAnchor;
use z5_core::trace::{TlsFacts, Traced};
use z5_mock::{Direction, Entry, Service};

use super::model::Wire;
use super::run::Running;
use super::venue::NoMock;
use crate::expect::{Expectation, Eyes};

/// The most of a message that is quoted.
const QUOTED: usize = 80;
const NOTHING: &str = "no such message";

/// What somebody saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    all: Vec<Sight>,
    /// So many more were seen and are not known any more.
    forgotten: u64,
}

#[derive(Debug)]
struct Sight {
    service: Service,
    by_carrier: bool,
    text: String,
}

impl Seen {
    fn by_carrier((entries, forgotten): (Vec<Entry>, u64)) -> Self {
        let sight = |Entry { service, direction, text, .. }| {
            let by_carrier = direction == Direction::Sent;
            Sight { service, by_carrier, text }
        };
        Self { all: entries.into_iter().map(sight).collect(), forgotten }
    }

    /// One party's own.
    fn extend(&mut self, traced: &Traced, now_s: u64) {
        let remark = |text| Sight { service: Service::Sip, by_carrier: false, text };
        for connection in &traced.connections {
            let over = connection.transport.to_ascii_uppercase();
            self.all.push(remark(format!("[connection over {over}]")));
            let agreed = connection.tls.as_ref();
            self.all.extend(agreed.map(|agreed| remark(handshake(agreed, now_s))));
        }
        self.all.extend(traced.messages.iter().map(|message| Sight {
            service: Service::Sip,
            by_carrier: !message.sent,
            text: message.without_people().to_owned(),
        }));
        self.forgotten += traced.left_out + traced.connections_left_out;
    }
}

/// As the mock carrier writes it, and with what only our end knows.
fn handshake(agreed: &TlsFacts, now_s: u64) -> String {
    format!(
        "[TLS {}, {}, {}, {}]",
        agreed.version.unwrap_or("of another version"),
        agreed.suite.unwrap_or("unknown suite"),
        agreed.name,
        agreed.certificate.words(now_s)
    )
}

/// What was seen, and by whom: as the step says, else by the mock carrier where there is one. `party`: with its eyes alone.
pub(super) fn seen(running: &Running, party: Option<usize>, wanted: &Wire) -> Result<(Eyes, Seen), NoMock> {
    match (wanted.seen, running.venue.recorded()) {
        (Some(Eyes::Carrier) | None, Ok(recorded)) => Ok((Eyes::Carrier, Seen::by_carrier(recorded))),
        (Some(Eyes::Carrier), Err(NoMock)) => Err(NoMock),
        (Some(Eyes::Z5), _) | (None, Err(NoMock)) => {
            let now_s = WallAnchor::read().unix_s;
            let mut seen = Seen::default();
            let whose = running.parties.iter().enumerate();
            for (_, each) in whose.filter(|(index, _)| party.is_none_or(|party| party == *index)) {
                seen.extend(&each.traced(), now_s);
            }
            Ok((Eyes::Z5, seen))
        }
    }
}

/// One message has everything it should have, each has one of what each should have, and none has what it should not.
pub(super) fn judge(wanted: &Wire, eyes: Eyes, seen: &Seen) -> Vec<Expectation> {
    let of_these = seen.all.iter().filter(|sight| {
        sight.by_carrier == wanted.by_carrier && wanted.of.is_none_or(|service| service == sight.service)
    });
    let texts: Vec<String> = of_these
        .filter(|sight| sight.text.starts_with(&wanted.start))
        .map(|sight| match &wanted.header {
            Some(name) => header(&sight.text, name),
            None => sight.text.clone(),
        })
        .collect();
    let place = match &wanted.header {
        Some(name) => format!("{} {name}", wanted.start.trim_end()),
        None => wanted.start.trim_end().to_owned(),
    };
    let told = |what: String, measured: String, held: bool| {
        let fact = Expectation::fact("wire", &format!("{place}: {what}"), measured, held);
        Expectation { seen_by: Some(eyes), ..fact }
    };
    let mut all = Vec::new();
    if wanted.has.is_empty() && wanted.each.is_empty() && wanted.lacks.is_empty() {
        let found = texts.iter().find(|text| wanted.header.is_none() || !text.is_empty());
        all.push(told("seen".to_owned(), shown(found, seen.forgotten), found.is_some()));
    }
    for part in &wanted.has {
        let found = texts.iter().find(|text| text.contains(part.as_str()));
        let closest = found.or_else(|| texts.iter().rfind(|text| !text.is_empty()));
        all.push(told(format!("has {part:?}"), shown(closest, seen.forgotten), found.is_some()));
    }
    // what holds of every message cannot be said of those that are forgotten
    let whole = !texts.is_empty() && seen.forgotten == 0;
    if !wanted.each.is_empty() {
        let of_them = |text: &&String| wanted.each.iter().any(|part| text.contains(part.as_str()));
        let stray = texts.iter().find(|text| !of_them(text));
        let measured = shown(stray.or_else(|| texts.first()), seen.forgotten);
        let measured = match (stray, texts.len()) {
            (None, 2..) => format!("{measured} and {} more", texts.len() - 1),
            (Some(_), _) | (None, _) => measured,
        };
        let parts: Vec<String> = wanted.each.iter().map(|part| format!("{part:?}")).collect();
        all.push(told(format!("each has {}", parts.join(" or ")), measured, stray.is_none() && whole));
    }
    for part in &wanted.lacks {
        let found = texts.iter().find(|text| text.contains(part.as_str()));
        let measured = match (found, texts.len(), seen.forgotten) {
            (Some(text), ..) => shown(Some(text), 0),
            (None, 0, forgotten) => shown(None, forgotten),
            (None, 1, 0) => "not there, in 1 message".to_owned(),
            (None, count, 0) => format!("not there, in {count} messages"),
            (None, count, forgotten) => format!("not there, in {count} messages, {}", not_kept(forgotten)),
        };
        all.push(told(format!("lacks {part:?}"), measured, found.is_none() && whole));
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

fn not_kept(forgotten: u64) -> String {
    format!("and {forgotten} more were not kept")
}

fn shown(text: Option<&String>, forgotten: u64) -> String {
    let line = match (text, forgotten) {
        (Some(text), _) => text.lines().collect::<Vec<_>>().join(" | "),
        (None, 0) => return NOTHING.to_owned(),
        (None, forgotten) => return format!("{NOTHING}, {}", not_kept(forgotten)),
    };
    // a remark is told whole: what was agreed stands at its end
    match line.char_indices().nth(QUOTED) {
        Some((end, _)) if !line.starts_with('[') => format!("{}...", &line[..end]),
        Some(_) | None => line,
    }
}

#[cfg(test)]
mod tests {
    use z5_core::preflight::CertificateFacts;
    use z5_core::trace::TracedConnection;

    use super::*;

    fn seen(texts: &[&str]) -> Seen {
        let sight =
            |text: &&str| Sight { service: Service::Sip, by_carrier: false, text: (*text).to_owned() };
        Seen { all: texts.iter().map(sight).collect(), forgotten: 0 }
    }

    fn wire(start: &str, header: Option<&str>, [has, each, lacks]: [&[&str]; 3]) -> Wire {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        Wire {
            start: start.to_owned(),
            seen: None,
            of: Some(Service::Sip),
            by_carrier: false,
            header: header.map(str::to_owned),
            has: texts(has),
            each: texts(each),
            lacks: texts(lacks),
        }
    }

    #[test]
    fn a_header_is_looked_into_and_what_was_seen_is_quoted() {
        let seen = seen(&["INVITE sip:x SIP/2.0\r\nFrom: <sip:a@b>\r\nfrom: second\r\n\r\nFrom: body\r\n"]);
        let judged = judge(&wire("INVITE", Some("From"), [&["a@b"], &[], &["body"]]), Eyes::Z5, &seen);
        assert!(judged.iter().all(|e| e.held && e.seen_by == Some(Eyes::Z5)), "{judged:?}");
        let judged = judge(&wire("INVITE", Some("From"), [&["c@d"], &[], &["second"]]), Eyes::Carrier, &seen);
        assert!(judged.iter().all(|e| !e.held && e.measured.contains("a@b")), "{judged:?}");
        assert!(judged[0].sentence().ends_with("seen by the carrier"), "{}", judged[0].sentence());
    }

    #[test]
    fn what_was_never_sent_has_and_lacks_nothing() {
        for parts in
            [[&[], &[], &[]], [&["x"], &[], &[]], [&[], &["x"], &[]], [&[], &[], &["x"]]] as [[&[&str]; 3]; 4]
        {
            let judged =
                judge(&wire("INVITE", None, parts), Eyes::Z5, &seen(&["REGISTER sip:x SIP/2.0\r\n\r\n"]));
            assert!(judged.len() == 1 && !judged[0].held && judged[0].measured == NOTHING, "{judged:?}");
        }
    }

    #[test]
    fn each_message_has_one_of_several() {
        let both = seen(&["[TLS 1.3, A]", "[TLS 1.2, B]"]);
        let of = |each: &[&str]| judge(&wire("[TLS ", None, [&[], each, &[]]), Eyes::Z5, &both).remove(0);
        assert!(of(&["1.3", "1.2"]).held);
        let stray = of(&["1.3"]);
        assert!(!stray.held && stray.measured == "[TLS 1.2, B]", "{stray:?}");
    }

    /// Of what was forgotten it is not known what it had or lacked.
    #[test]
    fn what_was_forgotten_may_have_had_it() {
        let partly = Seen { forgotten: 3, ..seen(&["INVITE sip:x SIP/2.0\r\n\r\n"]) };
        let of = |parts| judge(&wire("INVITE", None, parts), Eyes::Carrier, &partly).remove(0);
        assert!(of([&["sip:x"], &[], &[]]).held);
        for parts in [[&[], &["sip:x"], &[]], [&[], &[], &["sip:y"]]] as [[&[&str]; 3]; 2] {
            assert!(!of(parts).held);
        }
        assert!(of([&[], &[], &["sip:y"]]).measured.ends_with("and 3 more were not kept"));
    }

    #[test]
    fn our_own_end_tells_of_each_connection_what_its_handshake_came_to() {
        let at = "127.0.0.1:1".parse().unwrap();
        let certificate =
            CertificateFacts { names: vec!["a.test".to_owned()], ..CertificateFacts::default() };
        let name = "a.test".to_owned();
        let tls = TlsFacts { version: Some("1.3"), suite: Some("TLS13_X"), name, certificate };
        let connection = |transport, tls| TracedConnection { at_ms: 0.0, transport, remote: at, tls };
        let connections = vec![connection("udp", None), connection("tls", Some(tls))];
        let mut seen = Seen::default();
        seen.extend(&Traced { connections, ..Traced::default() }, 0);
        let of = |start, has| judge(&wire(start, None, [&[has], &[], &[]]), Eyes::Z5, &seen).remove(0);
        let told = of("[connection over ", "UDP");
        assert!(told.held && told.measured == "[connection over UDP]", "{told:?}");
        let told = of("[TLS ", "1.3");
        assert!(
            told.held && told.measured == "[TLS 1.3, TLS13_X, a.test, certificate for a.test]",
            "{told:?}"
        );
    }
}
