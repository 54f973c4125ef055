//! The record with everything that differs from run to run replaced by what it is and how many of its kind came before: ports, branches,
//! tags, Call-IDs, nonces, instance identifiers, versions and numbers of sessions. So two runs of the same journey read the same.

use std::collections::HashMap;

/// Replaces as it reads.
#[derive(Default)]
pub(super) struct Stable {
    known: HashMap<(&'static str, String), usize>,
    counts: HashMap<&'static str, usize>,
}

/// What stands before a value, what the value is, and what ends it.
const MARKED: [(&str, &str, &[char]); 12] = [
    (";branch=", "branch", &[';', ',', ' ', '\r', '\n']),
    (";tag=", "tag", &[';', ',', ' ', '\r', '\n', '>']),
    ("Call-ID: ", "call", &['\r', '\n']),
    ("nonce=\"", "nonce", &['"']),
    ("opaque=\"", "opaque", &['"']),
    ("urn:uuid:", "instance", &['"', '>', ';']),
    ("instanceId=", "instance", &['&', ' ', '\n']),
    ("z5-mock/", "version", &[' ', '\r', '\n']),
    ("z5/", "version", &[' ', '\r', '\n']),
    ("Content-Length: ", "length", &['\r', '\n']),
    ("SIP-ETag: ", "etag", &['\r', '\n']),
    ("etag: ", "etag", &['\r', '\n']),
];

/// Addresses with ports: of loopback, so not those that a test wrote for something else.
const HOSTS: [&str; 2] = ["127.0.0.1:", "[::1]:"];

impl Stable {
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let (content, end) = line.strip_suffix("\r\n").map_or_else(
                || line.strip_suffix('\n').map_or((line, ""), |content| (content, "\n")),
                |content| (content, "\n"),
            );
            match self.description(content) {
                Some(line) => out.push_str(&line),
                None => self.line(content, &mut out),
            }
            out.push_str(end);
        }
        out
    }

    /// A line of a session description that has a port or numbers of the session.
    fn description(&mut self, line: &str) -> Option<String> {
        if let Some(origin) = line.strip_prefix("o=") {
            let words: Vec<&str> = origin.split(' ').collect();
            let [user, _, _, rest @ ..] = words.as_slice() else { return None };
            return Some(format!("o={user} <session> <version> {}", rest.join(" ")));
        }
        if let Some(media) = line.strip_prefix("m=") {
            let words: Vec<&str> = media.split(' ').collect();
            let [kind, port, rest @ ..] = words.as_slice() else { return None };
            let port = if *port == "0" { "0".to_owned() } else { self.named("port", port) };
            return Some(format!("m={kind} {port} {}", rest.join(" ")));
        }
        let port = line.strip_prefix("a=rtcp:")?;
        Some(format!("a=rtcp:{}", self.named("port", port.split(' ').next().unwrap_or_default())))
    }

    fn line(&mut self, mut rest: &str, out: &mut String) {
        while !rest.is_empty() {
            let marked = MARKED
                .iter()
                .find_map(|(mark, kind, ends)| rest.starts_with(mark).then_some((*mark, *kind, *ends)));
            if let Some((mark, kind, ends)) = marked {
                let value = &rest[mark.len()..];
                let length = value.find(ends).unwrap_or(value.len());
                out.push_str(mark);
                out.push_str(&self.named(kind, &value[..length]));
                rest = &value[length..];
                continue;
            }
            if let Some(host) = HOSTS.iter().find(|host| rest.starts_with(**host)) {
                let value = &rest[host.len()..];
                let length = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
                out.push_str(host);
                if length > 0 {
                    out.push_str(&self.named("port", &value[..length]));
                }
                rest = &value[length..];
                continue;
            }
            let mut letters = rest.chars();
            out.extend(letters.next());
            rest = letters.as_str();
        }
    }

    /// The same for the same value.
    fn named(&mut self, kind: &'static str, value: &str) -> String {
        if matches!(kind, "version" | "length") {
            return format!("<{kind}>");
        }
        let known = self.known.get(&(kind, value.to_owned())).copied();
        let number = known.unwrap_or_else(|| {
            let count = self.counts.entry(kind).or_default();
            *count += 1;
            self.known.insert((kind, value.to_owned()), *count);
            *count
        });
        format!("<{kind}-{number}>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_gets_a_name_and_keeps_it() {
        let message = |branch: &str, port: u16| {
            format!(
                "INVITE sip:echo@csdvrs.test SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:{port};branch={branch}\r\n\
                 To: <sip:x>;tag=a{port}\r\nCall-ID: {branch}@z5\r\nUser-Agent: z5/0.1.0\r\n\r\no=z5 {port} 2 IN IP4 127.0.0.1\r\nm=audio {port} RTP/AVP 0\r\nm=text 0 RTP/AVP 98\r\n"
            )
        };
        let mut one = Stable::default();
        let first = one.text(&message("z9hG4bKabc", 40_001));
        assert_eq!(first, Stable::default().text(&message("z9hG4bKxyz", 51_234)));
        assert_eq!(first, one.text(&message("z9hG4bKabc", 40_001)), "the same value has the same name");
        for part in [
            "127.0.0.1:<port-1>;branch=<branch-1>",
            "tag=<tag-1>",
            "Call-ID: <call-1>",
            "z5/<version>",
            "o=z5 <session> <version> IN",
            "m=audio <port-1> RTP/AVP 0",
            "m=text 0",
        ] {
            assert!(first.contains(part), "{part} is not in {first}");
        }
        assert!(one.text(&message("z9hG4bKother", 40_001)).contains("branch=<branch-2>"));
    }
}
