//! What happens on the streams of a call, and the text that the user types into one.

use std::time::Instant;

use z5_sip::outbox::Outbox;

use super::{Call, Calls, Orders};
use crate::call::CallId;
use crate::clock::ms;
use crate::config::WhenSilent;
use crate::error::{CallError, millis};
use crate::events::{CallState, EventKind, MediaKind};
use crate::machine::io::{Effect, MediaFact};

/// How much of the text that came the figures of a call keep, in bytes; the newest stays. Every piece was an event before.
const TEXT_KEPT: usize = 1024 * 1024;

/// How many keys the figures of a call keep.
const DIGITS_KEPT: usize = 1024;

impl Calls {
    /// The user types.
    pub(crate) fn send_text(&mut self, id: CallId, text: String, out: &mut Outbox<Effect>) {
        let refused = match self.calls.get(&id) {
            None => Some(CallError::UnknownCall { call: id.0 }),
            Some(call) if call.established_at.is_none() => {
                Some(CallError::WrongState { call: id.0, state: call.state.name(), command: "text" })
            }
            Some(call)
                if !call.media.streams.iter().any(|stream| stream.kind == MediaKind::Text && stream.send) =>
            {
                let why = match call.wanted.contains(&MediaKind::Text) {
                    true => "the far end did not agree to text",
                    false => "text was not asked for",
                };
                Some(CallError::NoText { call: id.0, why: why.to_owned() })
            }
            Some(_) => None,
        };
        match refused {
            Some(error) => out.push(Effect::Emit(EventKind::CommandRefused { call: id, error })),
            None => out.push(Effect::SendText { call: id, text }),
        }
    }

    /// Something happened on a stream.
    pub(crate) fn on_media(
        &mut self,
        id: CallId,
        kind: MediaKind,
        fact: MediaFact,
        when_silent: WhenSilent,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Orders {
        let Some(call) = self.calls.get_mut(&id) else { return Vec::new() };
        let (mut ends, mut back, mut key) = (None, None, None);
        let after_ms = call.established_at.map_or(0.0, |at| ms(at, now));
        let event = match fact {
            MediaFact::FirstPacket => EventKind::FirstMedia { call: id, kind, after_ms },
            MediaFact::FirstPicture => EventKind::FirstPicture { call: id, after_ms },
            MediaFact::KeyFrameWanted => return call.ask_for_picture(),
            MediaFact::Text { text, source, label } => {
                call.text_received.push_str(&text);
                keep_newest(&mut call.text_received);
                back = call.text_to_give_back(&text).map(|text| Effect::SendText { call: id, text });
                let source = source.map(|source| format!("{source:08x}"));
                EventKind::Text { call: id, text, source, label }
            }
            MediaFact::TextSent { text, waits } => {
                let waits_ms = waits.into_iter().map(|wait| Some(wait?.as_secs_f64() * 1000.0)).collect();
                EventKind::TextSent { call: id, text, waits_ms }
            }
            MediaFact::Digit { digit, duration } => {
                call.press(digit);
                key = Some(digit);
                EventKind::Digit { call: id, digit, duration_ms: millis(duration) }
            }
            MediaFact::SourceEnded => EventKind::SourceEnded { call: id, kind },
            MediaFact::SinkFailed(why) => {
                EventKind::CallTrouble { call: id, error: CallError::Media { why } }
            }
            MediaFact::Silent { lasted, reason } => {
                if when_silent == WhenSilent::HangUp && !call.emergency {
                    let (kind, after_ms) = (kind.name(), millis(lasted));
                    ends = Some(CallError::MediaSilent { kind, after_ms, why: reason.to_string() });
                }
                let silent_ms = lasted.as_secs_f64() * 1000.0;
                EventKind::MediaSilent { call: id, kind, silent_ms, reason }
            }
            MediaFact::Back { after } => {
                EventKind::MediaBack { call: id, kind, silent_ms: after.as_secs_f64() * 1000.0 }
            }
        };
        out.push(Effect::Emit(event));
        back.into_iter().for_each(|back| out.push(back));
        if let Some(digit) = key {
            return self.give_back_key(id, digit, out);
        }
        let Some(error) = ends else { return Vec::new() };
        out.push(Effect::Emit(EventKind::CallTrouble { call: id, error }));
        self.hang_up(id, now, out)
    }

    /// A key came: an echo presses it too.
    pub(super) fn give_back_key(&mut self, id: CallId, digit: char, out: &mut Outbox<Effect>) -> Orders {
        let stands = |call: &Call| call.state == CallState::Established;
        let echoes = self.calls.get(&id).is_some_and(|call| call.echo && stands(call));
        // Events of RFC 4733 that are no keys stay here.
        match echoes && (digit.is_ascii_digit() || matches!(digit, '*' | '#' | 'A'..='D')) {
            true => self.send_digits(id, digit.encode_utf8(&mut [0; 4]), out),
            false => Vec::new(),
        }
    }
}

impl Call {
    /// What an echo types of the text that came: all of it but the byte order mark, which each end sends by itself (T.140).
    fn text_to_give_back(&self, text: &str) -> Option<String> {
        let kind = MediaKind::Text;
        let sends = self.media.streams.iter().any(|stream| stream.kind == kind && stream.send);
        let text = text.replace('\u{feff}', "");
        (self.echo && sends && self.is_sent(kind) && !text.is_empty()).then_some(text)
    }

    /// A key came.
    pub(super) fn press(&mut self, digit: char) {
        if self.digits_received.len() < DIGITS_KEPT {
            self.digits_received.push(digit);
        }
    }
}

/// Cuts the oldest characters off what is longer than [`TEXT_KEPT`].
fn keep_newest(text: &mut String) {
    if text.len() > TEXT_KEPT {
        let over = text.len() - TEXT_KEPT;
        let from = (over..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text.drain(..from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_text_is_kept() {
        let mut text = "é".repeat(TEXT_KEPT / 2);
        keep_newest(&mut text);
        assert_eq!(text.len(), TEXT_KEPT);
        text.push_str("end");
        keep_newest(&mut text);
        assert!(text.len() <= TEXT_KEPT && text.len() > TEXT_KEPT - 2, "{}", text.len());
        assert!(text.ends_with("éend") && text.starts_with('é'));
    }
}
