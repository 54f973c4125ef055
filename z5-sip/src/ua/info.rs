//! INFO within a call, both ways: picture requests (RFC 5168), digits of the older kind (`application/dtmf-relay`), and
//! whatever else the application names.
//!
//! This is the INFO of RFC 2976, without packages: one that names a package gets 469 (RFC 6086 section 4.2.2), one with
//! a body of a type that nobody here reads 415 (RFC 2976 section 2.2): a 200 would say that it had an effect. One without
//! a body is a sign of life and gets 200.

use bytes::Bytes;

use super::failure::CommandRefusal;
use super::transactions::Owner;
use super::types::{CallKey, Event};
use super::{Turn, UserAgent};
use crate::wire::{Message, Method, Name};

/// What an INFO is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Info {
    /// A whole picture is wanted now (RFC 5168, `application/media_control+xml`). For a far end that does not take the
    /// feedback messages of RTCP.
    PictureFastUpdate,
    /// A key (`application/dtmf-relay`): 0 to 9, `*`, `#`, A to D.
    Dtmf {
        /// The key.
        digit: char,
        /// How long it was held, in milliseconds.
        duration_ms: u16,
    },
    /// A body of another type. It arrives only when [`super::UaConfig::info_types`] lists the type.
    Other {
        /// Content-Type.
        content_type: String,
        /// The body.
        body: Bytes,
    },
}

const MEDIA_CONTROL: &str = "application/media_control+xml";
const DTMF_RELAY: &str = "application/dtmf-relay";
const DTMF: &str = "application/dtmf";

/// RFC 5168 section 6.
const FAST_UPDATE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<media_control><vc_primitive><to_encoder>\
    <picture_fast_update/></to_encoder></vc_primitive></media_control>\r\n";

/// What a digit lasts that does not say it, in milliseconds.
const DEFAULT_DURATION_MS: u16 = 250;

impl UserAgent {
    /// The application has something to say within a call that stands.
    pub(super) fn on_send_info(&mut self, key: CallKey, info: &Info, turn: &mut Turn<'_>) {
        let flow = self.calls.get(&key).and_then(|call| self.flow_of(call));
        let why = match self.calls.contains_key(&key) {
            true => CommandRefusal::WrongState,
            false => CommandRefusal::UnknownCall,
        };
        let Some(active) = self.active(key).filter(|active| active.stands()) else {
            return turn.emit(Event::CommandRefused { call: Some(key), why });
        };
        // After `general_error` no more are sent (RFC 5168 section 5).
        let unwanted = active.no_fast_update && *info == Info::PictureFastUpdate;
        if unwanted {
            return turn.emit(Event::InfoFailed { call: key, status: 403 });
        }
        let Some(body) = encode(info) else {
            return turn.emit(Event::CommandRefused { call: Some(key), why: CommandRefusal::WrongState });
        };
        let Some(flow) = flow else { return turn.emit(Event::InfoFailed { call: key, status: 503 }) };
        let mut outline = active.leg.dialog.next(Method::Info);
        outline.body = Some(body);
        let outline = self.signed(outline);
        if self.start_client(outline, flow, Owner::Info(key), turn).is_err() {
            turn.emit(Event::InfoFailed { call: key, status: 500 });
        }
    }

    /// Our INFO is answered, or is taken to be.
    pub(super) fn on_info_final(&mut self, key: CallKey, status: u16, turn: &mut Turn<'_>) {
        if (200..300).contains(&status) || !self.calls.contains_key(&key) {
            return;
        }
        turn.emit(Event::InfoFailed { call: key, status });
        // The far end has forgotten the call (RFC 3261 section 12.2.1.2).
        if status == 481 {
            self.end_lost(key, turn);
        }
    }

    /// An INFO of the far end.
    pub(super) fn on_info(&mut self, number: u64, info: &Message, turn: &mut Turn<'_>) {
        let Some((key, id)) = self.dialog_of(info) else {
            self.respond(number, 481, turn, |builder| builder);
            return;
        };
        if !self.admit_to(key, &id, info) {
            self.respond(number, 500, turn, |builder| builder.header(Name::RetryAfter, "1"));
            return;
        }
        if info.header(Name::InfoPackage).is_some() {
            // Recv-Info without a value: no packages (RFC 6086 section 3.3).
            self.respond(number, 469, turn, |builder| builder.header(Name::RecvInfo, ""));
            return;
        }
        match decode(info, &self.config.info_types) {
            Read::Nothing => {
                self.respond(number, 200, turn, |builder| builder);
            }
            Read::Info(info) => {
                self.respond(number, 200, turn, |builder| builder);
                turn.emit(Event::Info { call: key, info });
            }
            Read::NoMorePictures => {
                self.respond(number, 200, turn, |builder| builder);
                if let Some(active) = self.active(key) {
                    active.no_fast_update = true;
                }
            }
            Read::Malformed => {
                self.respond(number, 400, turn, |builder| builder);
            }
            Read::Unknown => {
                let mut accept = vec![MEDIA_CONTROL, DTMF_RELAY, DTMF];
                accept.extend(self.config.info_types.iter().map(String::as_str));
                let accept = accept.join(", ");
                self.respond(number, 415, turn, |builder| builder.header(Name::Accept, accept));
            }
        }
    }
}

/// `None` for what is no key.
fn encode(info: &Info) -> Option<(std::borrow::Cow<'static, str>, Bytes)> {
    Some(match info {
        Info::PictureFastUpdate => (MEDIA_CONTROL.into(), Bytes::from_static(FAST_UPDATE.as_bytes())),
        Info::Dtmf { digit, duration_ms } => {
            let digit = key(*digit)?;
            let body = format!("Signal={digit}\r\nDuration={duration_ms}\r\n");
            (DTMF_RELAY.into(), body.into_bytes().into())
        }
        Info::Other { content_type, body } => (content_type.clone().into(), body.clone()),
    })
}

fn key(digit: char) -> Option<char> {
    let digit = digit.to_ascii_uppercase();
    matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D').then_some(digit)
}

enum Read {
    Nothing,
    Info(Info),
    NoMorePictures,
    Malformed,
    Unknown,
}

fn decode(info: &Message, others: &[String]) -> Read {
    if info.body().is_empty() {
        return Read::Nothing;
    }
    let is = |kind: &str| info.content_type().is_some_and(|media_type| media_type.eq_ignore_ascii_case(kind));
    let text = String::from_utf8_lossy(info.body());
    if is(MEDIA_CONTROL) {
        // The schema is small, and names a primitive by an element: <picture_fast_update/>.
        let has = |element: &str| {
            text.split('<').any(|tag| {
                let name =
                    tag.split(|letter: char| letter.is_whitespace() || matches!(letter, '>' | '/')).next();
                name.is_some_and(|name| name.rsplit(':').next() == Some(element))
            })
        };
        return match (has("media_control"), has("picture_fast_update"), has("general_error")) {
            (false, _, _) => Read::Malformed,
            (true, true, _) => Read::Info(Info::PictureFastUpdate),
            (true, false, true) => Read::NoMorePictures,
            // Other primitives (freeze, parts of a picture) ask for nothing that we could do.
            (true, false, false) => Read::Nothing,
        };
    }
    if is(DTMF_RELAY) || is(DTMF) {
        return relay(&text).map_or(Read::Malformed, Read::Info);
    }
    if others.iter().any(|kind| is(kind)) {
        let content_type = info.text(Name::ContentType).map(std::borrow::Cow::into_owned).unwrap_or_default();
        return Read::Info(Info::Other { content_type, body: Bytes::copy_from_slice(info.body()) });
    }
    Read::Unknown
}

/// `Signal=5` and `Duration=160`, or the bare digit of `application/dtmf`.
fn relay(text: &str) -> Option<Info> {
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let signal = value("Signal").unwrap_or(text.trim());
    let digit = match signal {
        // Some number them as RFC 4733 does.
        "10" => '*',
        "11" => '#',
        "12" => 'A',
        "13" => 'B',
        "14" => 'C',
        "15" => 'D',
        signal => {
            let mut letters = signal.chars();
            letters.next().filter(|_| letters.next().is_none()).and_then(key)?
        }
    };
    let duration_ms = match value("Duration") {
        Some(duration) => duration.parse().ok()?,
        None => DEFAULT_DURATION_MS,
    };
    Some(Info::Dtmf { digit, duration_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_in_every_form_met() {
        let digit = |text: &str| match relay(text) {
            Some(Info::Dtmf { digit, duration_ms }) => Some((digit, duration_ms)),
            _ => None,
        };
        assert_eq!(digit("Signal=5\r\nDuration=160\r\n"), Some(('5', 160)));
        assert_eq!(digit("signal = d \nduration= 90"), Some(('D', 90)));
        assert_eq!(digit("Signal=11\r\n"), Some(('#', DEFAULT_DURATION_MS)));
        assert_eq!(digit("7"), Some(('7', DEFAULT_DURATION_MS)));
        for broken in ["", "Signal=", "Signal=E", "Signal=55", "Signal=5\r\nDuration=x", "Duration=160"] {
            assert_eq!(digit(broken), None, "{broken}");
        }
    }

    #[test]
    fn only_keys_are_written() {
        assert!(encode(&Info::Dtmf { digit: '\r', duration_ms: 100 }).is_none());
        let (kind, body) = encode(&Info::Dtmf { digit: 'a', duration_ms: 100 }).unwrap();
        assert_eq!((kind.as_ref(), &body[..]), (DTMF_RELAY, &b"Signal=A\r\nDuration=100\r\n"[..]));
    }
}
