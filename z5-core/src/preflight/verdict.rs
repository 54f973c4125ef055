//! What an answer, or none, means. Pure: bytes and socket errors in, a verdict and its words out.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use z5_sip::stun::{self, Answer, TransactionId};

use super::certificate::CertificateFacts;
use super::remedy::Remedy;
use crate::error::{AttemptOutcome, TlsFailure};
use crate::policy::Purpose;

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// What was expected answered.
    Reachable,
    /// The port is closed: by the host, or by a firewall that says so.
    Refused,
    /// Nothing came.
    TimedOut,
    /// This machine or its network does not let the packet out.
    Blocked,
    /// TLS is spoken, with a certificate that must not be believed.
    WrongCertificate,
    /// Something takes the connection and says nothing.
    Silent,
    /// Something answers that is not the service.
    SomethingElse,
    /// The service answers, but not what is needed.
    WrongAnswer,
    /// Silence that says nothing, or nothing could be asked.
    #[default]
    NotJudged,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 9] = [
        Self::Reachable,
        Self::Refused,
        Self::TimedOut,
        Self::Blocked,
        Self::WrongCertificate,
        Self::Silent,
        Self::SomethingElse,
        Self::WrongAnswer,
        Self::NotJudged,
    ];

    /// Whether something must be done about it.
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Reachable | Self::NotJudged)
    }

    /// Nothing got through: a firewall may be the reason.
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Refused | Self::TimedOut | Self::Blocked)
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::Refused => "refused",
            Self::TimedOut => "timed out",
            Self::Blocked => "blocked",
            Self::WrongCertificate => "wrong certificate",
            Self::Silent => "silent",
            Self::SomethingElse => "something else answers",
            Self::WrongAnswer => "wrong answer",
            Self::NotJudged => "not judged",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// What came of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) latency: Option<Duration>,
    pub(crate) detail: String,
    pub(crate) certificate: Option<CertificateFacts>,
    pub(crate) clock_offset_s: Option<i64>,
    pub(crate) addresses: Vec<IpAddr>,
    /// The egress guard of the configuration kept it back: no firewall's rule would help.
    pub(crate) guarded: bool,
    /// What to do about it, where that is more than the verdict says.
    pub(crate) by: Option<Remedy>,
}

impl Finding {
    pub(crate) fn new(verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { verdict, detail: detail.into(), ..Self::default() }
    }

    /// With what to do about it.
    pub(crate) fn by(mut self, remedy: Remedy) -> Self {
        self.by = Some(remedy);
        self
    }

    /// What to do about it; none where it is good.
    pub(crate) fn remedy(&self) -> Option<Remedy> {
        match self.guarded {
            true => Some(Remedy::WidenGuard),
            false => Remedy::of_verdict(self.verdict).map(|usual| self.by.unwrap_or(usual)),
        }
    }

    pub(crate) fn after(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }
}

/// A socket that failed, or TLS.
pub(crate) fn of_attempt(outcome: &AttemptOutcome) -> Finding {
    let verdict = match outcome {
        AttemptOutcome::Refused => Verdict::Refused,
        AttemptOutcome::TimedOut { .. } => Verdict::TimedOut,
        AttemptOutcome::Unreachable
        | AttemptOutcome::NotPermitted
        | AttemptOutcome::OutsidePolicy
        | AttemptOutcome::Failed { .. } => Verdict::Blocked,
        AttemptOutcome::Tls { why: TlsFailure::Protocol } | AttemptOutcome::Reset => Verdict::SomethingElse,
        AttemptOutcome::Tls { .. } => Verdict::WrongCertificate,
        AttemptOutcome::Answered { .. } => Verdict::Reachable,
    };
    Finding { by: Remedy::of_attempt(outcome), ..Finding::new(verdict, outcome.to_string()) }
}

/// The answer of a nameserver, by its response code and its addresses.
pub(crate) fn of_name(code: u16, words: &str, truncated: bool, addresses: Vec<IpAddr>) -> Finding {
    let finding = match (code, addresses.is_empty()) {
        (0, false) => {
            let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            Finding::new(Verdict::Reachable, list.join(" "))
        }
        (0, true) if truncated => Finding::new(Verdict::Reachable, "answers too long for UDP, TCP must work"),
        (0, true) => Finding::new(Verdict::WrongAnswer, "the name has no address").by(Remedy::CorrectName),
        (3, _) => Finding::new(Verdict::WrongAnswer, "the name does not exist there").by(Remedy::CorrectName),
        _ => {
            let why = format!("the nameserver answers {words}");
            Finding::new(Verdict::WrongAnswer, why).by(Remedy::OtherNameserver)
        }
    };
    Finding { addresses, ..finding }
}

/// The head of an HTTP answer to a request without credentials; `now_s` is ours, in seconds since 1970.
pub(crate) fn of_http(purpose: Purpose, head: &[u8], now_s: u64) -> Finding {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
    let Some(status) = status.and_then(|rest| rest.get(2..5)).and_then(|digits| digits.parse::<u16>().ok())
    else {
        return Finding::new(Verdict::SomethingElse, "what answers does not speak HTTP");
    };
    let fields: Vec<(&str, &str)> = lines.map_while(|line| line.split_once(':')).collect();
    let all = |name: &'static str| {
        fields
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let schemes: Vec<&str> = all("www-authenticate").filter_map(|value| value.split(' ').next()).collect();
    let challenge = if schemes.is_empty() { String::new() } else { format!(" ({})", schemes.join(", ")) };
    let verdict = match (purpose, status) {
        (_, 300..=399) => Verdict::SomethingElse,
        (_, 404) => Verdict::SomethingElse,
        (_, 429 | 500..) => Verdict::WrongAnswer,
        (Purpose::ZDial, 401) if schemes.is_empty() => Verdict::WrongAnswer,
        _ => Verdict::Reachable,
    };
    let detail = match status {
        300..=399 => format!("redirects elsewhere ({status}); a sign-in page of this network?"),
        404 => "a web server answers 404; it does not know the service".to_owned(),
        _ => format!("answers {status}{challenge}"),
    };
    let date = all("date").next().and_then(|date| httpdate::parse_http_date(date).ok());
    let seconds = date.and_then(|date| Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs()));
    let clock_offset_s = seconds
        .and_then(|theirs| Some(i64::try_from(theirs).ok()?.saturating_sub(i64::try_from(now_s).ok()?)));
    let by = match status {
        300..=399 => Some(Remedy::SignInToNetwork),
        404 => Some(Remedy::CorrectService),
        _ => None,
    };
    Finding { clock_offset_s, by, ..Finding::new(verdict, detail) }
}

/// What came back to OPTIONS. Any SIP answer will do: one that refuses the method is a SIP server too.
pub(crate) fn of_sip(answer: &[u8]) -> Finding {
    let text = String::from_utf8_lossy(answer);
    let line = text.trim_start_matches("\r\n").lines().next().unwrap_or("");
    match line.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse::<u16>().ok()) {
        Some(status) => Finding::new(Verdict::Reachable, format!("answers OPTIONS with {status}")),
        None if line.is_empty() => {
            Finding::new(Verdict::SomethingElse, "closes the connection without an answer")
        }
        None => Finding::new(Verdict::SomethingElse, "what answers does not speak SIP"),
    }
}

/// A media port outside a call, asked by STUN under this identifier. A relay is rightly silent; "nobody here" may be said by the host or by
/// a firewall that rejects. Only an answer shows that the way is open.
pub(crate) fn of_rtp(id: TransactionId, answer: Result<Vec<u8>, AttemptOutcome>) -> Finding {
    match answer.map(|datagram| stun::read_answer(&datagram)) {
        Ok(Ok((theirs, Answer::Mapped(us)))) if theirs == id => {
            Finding::new(Verdict::Reachable, format!("answers STUN: it sees us at {us}"))
        }
        Ok(Ok((theirs, Answer::Refused(code)))) if theirs == id => {
            Finding::new(Verdict::Reachable, format!("answers STUN with an error, {code}"))
        }
        Ok(_) => Finding::new(Verdict::Reachable, "answers, though not STUN"),
        Err(AttemptOutcome::Refused) => Finding::new(
            Verdict::NotJudged,
            "told to be closed: by the host, as outside a call, or by a firewall that rejects",
        ),
        Err(AttemptOutcome::TimedOut { .. }) => {
            Finding::new(Verdict::NotJudged, "silent, as a relay may be outside a call")
        }
        Err(other) => of_attempt(&other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers() {
        let address = vec!["192.0.2.1".parse().unwrap()];
        assert_eq!(of_name(0, "No Error", false, address).verdict, Verdict::Reachable);
        assert_eq!(of_name(0, "No Error", true, vec![]).verdict, Verdict::Reachable);
        for (code, words) in [(0, "no address"), (3, "does not exist"), (2, "SERVFAIL")] {
            let found = of_name(code, "SERVFAIL", false, vec![]);
            assert!(found.verdict == Verdict::WrongAnswer && found.detail.contains(words), "{found:?}");
        }
    }

    #[test]
    fn https_services() {
        let found = |purpose, head: &str| of_http(purpose, head.as_bytes(), 784_111_800);
        let challenge = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"a\"\r\n\
             www-authenticate: Basic realm=\"a\"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        let zdial = found(Purpose::ZDial, challenge);
        assert_eq!(
            (zdial.verdict, zdial.detail.as_str()),
            (Verdict::Reachable, "answers 401 (Digest, Basic)")
        );
        assert_eq!(zdial.clock_offset_s, Some(-23));
        for (head, verdict) in [
            ("HTTP/1.1 401 Unauthorized\r\n\r\n", Verdict::WrongAnswer),
            ("HTTP/1.1 302 Found\r\nLocation: http://login.test\r\n\r\n", Verdict::SomethingElse),
            ("HTTP/1.1 404 Not Found\r\n\r\n", Verdict::SomethingElse),
            ("HTTP/1.1 503 Busy\r\n\r\n", Verdict::WrongAnswer),
            ("HTTP/1.1 429 Slow down\r\n\r\n", Verdict::WrongAnswer),
            ("HTTP/1.1 2", Verdict::SomethingElse),
            ("SSH-2.0-x\r\n", Verdict::SomethingElse),
            ("", Verdict::SomethingElse),
        ] {
            assert_eq!(found(Purpose::ZDial, head).verdict, verdict, "{head}");
        }
        let mcs = found(Purpose::LicenceAndAddressBook, "HTTP/1.1 405 No\r\n\r\n");
        assert_eq!((mcs.verdict, mcs.clock_offset_s), (Verdict::Reachable, None));
    }

    #[test]
    fn sip_servers() {
        assert_eq!(of_sip(b"SIP/2.0 405 Method Not Allowed\r\n").verdict, Verdict::Reachable);
        assert_eq!(of_sip(b"\r\nSIP/2.0 200 OK\r\n").verdict, Verdict::Reachable);
        for answer in [&b""[..], b"HTTP/1.1 400 Bad\r\n", b"SIP/2.0 \xff\xff", b"SIP/2.0 4"] {
            assert_eq!(of_sip(answer).verdict, Verdict::SomethingElse, "{answer:?}");
        }
    }

    #[test]
    fn media_ports_may_be_silent() {
        let id = TransactionId([7; 12]);
        let of = |answer| of_rtp(id, answer);
        for silence in [AttemptOutcome::TimedOut { after_ms: 500 }, AttemptOutcome::Refused] {
            let silent = of(Err(silence));
            assert_eq!((silent.verdict, silent.verdict.is_failure()), (Verdict::NotJudged, false));
        }
        assert_eq!(of(Err(AttemptOutcome::NotPermitted)).verdict, Verdict::Blocked);
    }

    #[test]
    fn a_media_port_that_answers_is_reachable_and_says_where_we_are() {
        let id = TransactionId([7; 12]);
        let us = "203.0.113.9:4000".parse().unwrap();
        let answer = stun::answer(&stun::request(id), us).unwrap();
        let found = of_rtp(id, Ok(answer.clone()));
        assert_eq!(
            (found.verdict, found.detail.as_str()),
            (Verdict::Reachable, "answers STUN: it sees us at 203.0.113.9:4000")
        );
        // somebody else's answer, and something else altogether, show an open way and nothing more
        for (asked, answer) in [(TransactionId([8; 12]), answer), (id, vec![0x80; 12])] {
            let found = of_rtp(asked, Ok(answer));
            assert_eq!(
                (found.verdict, found.detail.as_str()),
                (Verdict::Reachable, "answers, though not STUN")
            );
        }
    }

    #[test]
    fn sockets_and_tls() {
        let tls = |why| of_attempt(&AttemptOutcome::Tls { why }).verdict;
        assert_eq!(tls(TlsFailure::Expired), Verdict::WrongCertificate);
        assert_eq!(tls(TlsFailure::Protocol), Verdict::SomethingElse);
        assert_eq!(of_attempt(&AttemptOutcome::Unreachable).verdict, Verdict::Blocked);
        for verdict in Verdict::ALL {
            assert!(!verdict.is_closed() || verdict.is_failure(), "{verdict}");
        }
    }
}
