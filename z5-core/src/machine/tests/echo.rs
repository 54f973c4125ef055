//! An echo: text and keys go back to whom they came from. Sound and pictures go back in the driver (`z5_media::loopback`).

use super::*;
use crate::events::MediaKind;
use crate::machine::io::MediaFact;

const ALL: &str = "m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n\
                   m=text 41000 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n";
const ECHO: io::Wanted =
    io::Wanted { audio: true, text: Some(true), video: Some(true), record: false, echo: true };

impl World {
    /// What an echo does with what comes on a stream.
    fn gives_back(&mut self, call: CallId, kind: MediaKind, fact: MediaFact) -> Vec<Effect> {
        self.wishes.clear();
        self.input(Input::Media { call, kind, fact });
        let sent = |wish: &&Effect| matches!(wish, Effect::SendText { .. } | Effect::SendDigits { .. });
        let sent = self.wishes.iter().filter(sent).cloned().collect();
        self.settle();
        sent
    }

    fn typed(&mut self, call: CallId, text: &str) -> Vec<Effect> {
        self.gives_back(
            call,
            MediaKind::Text,
            MediaFact::Text { text: text.to_owned(), source: None, label: None },
        )
    }

    fn pressed(&mut self, call: CallId, digit: char) -> Vec<Effect> {
        let fact = MediaFact::Digit { digit, duration: Duration::from_millis(100) };
        self.gives_back(call, MediaKind::Audio, fact)
    }

    fn echoing(media: &str, wanted: io::Wanted) -> (Self, CallId) {
        let mut world = Self::new().start();
        let call = world.ring(1, media).unwrap();
        world.establish_with(call, wanted);
        (world, call)
    }
}

fn text(call: CallId, text: &str) -> Vec<Effect> {
    vec![Effect::SendText { call, text: text.to_owned() }]
}

#[test]
fn text_and_keys_go_back_as_they_came() {
    let (mut world, call) = World::echoing(ALL, ECHO);
    assert_eq!(world.typed(call, "\u{feff}He\u{8}i\u{2028}"), text(call, "He\u{8}i\u{2028}"));
    assert_eq!(world.typed(call, "\u{feff}"), [], "each end says by itself how it writes");
    assert_eq!(world.pressed(call, '#'), [Effect::SendDigits { call, digits: "#".into() }]);
    assert_eq!(world.pressed(call, '!'), [], "a flash is no key");
    assert!(!world.names().contains(&"command-refused") && world.trouble().is_none());
    // It is heard here too.
    assert_eq!(world.names().iter().filter(|name| **name == "digit" || **name == "text").count(), 4);
}

#[test]
fn who_is_no_echo_gives_nothing_back() {
    let (mut world, call) = World::echoing(ALL, io::Wanted { echo: false, video: None, ..ECHO });
    assert_eq!(world.typed(call, "hello"), []);
    assert_eq!(world.pressed(call, '1'), []);
}

#[test]
fn an_echo_types_nothing_where_nothing_may_be_typed() {
    let (mut world, call) = World::echoing(ALL, ECHO);
    world.command(Command::Mute { call, kind: MediaKind::Text, muted: true });
    assert_eq!(world.typed(call, "muted"), []);
    world.command(Command::Mute { call, kind: MediaKind::Text, muted: false });
    assert_eq!(world.typed(call, "again"), text(call, "again"));
    assert!(!world.names().contains(&"command-refused"));
}

#[test]
fn a_key_without_telephone_events_goes_back_by_info() {
    let (mut world, _) = World::echoing("m=audio 40000 RTP/AVP 0\r\n", ECHO);
    let body = "Signal=5\r\nDuration=160\r\n";
    let answer = world.sent.iter().rev().find(|message| message.starts_with("SIP/2.0 200")).unwrap();
    let to = answer.lines().find(|line| line.starts_with("To:")).unwrap();
    let info = format!(
        "INFO {} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKi\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@c.test>;tag=f1\r\n{to}\r\nCall-ID: c1\r\nCSeq: 7 INFO\r\n\
         Content-Type: application/dtmf-relay\r\nContent-Length: {}\r\n\r\n{body}",
        world.contact,
        body.len()
    );
    world.input(Input::Received { flow: FlowId(1), bytes: info.as_bytes() });
    world.settle();
    let back = world.sent.iter().rev().find(|message| message.starts_with("INFO ")).unwrap();
    assert!(back.contains("Signal=5"), "{back}");
}

#[test]
fn an_echo_takes_what_is_licensed_and_leaves_the_rest() {
    let mut world = World::new();
    world.features = Some(&["audio"]);
    let mut world = world.start();
    let call = world.ring(1, ALL).unwrap();
    world.establish_with(call, ECHO);
    assert_eq!(world.started, [MediaKind::Audio]);
    assert_eq!(world.typed(call, "no text here"), []);
}

#[test]
fn a_key_that_comes_while_the_call_is_hung_up_goes_nowhere() {
    let (mut world, call) = World::echoing(ALL, ECHO);
    world.command(Command::Hangup { call });
    assert_eq!(world.pressed(call, '1'), []);
    assert!(world.names().contains(&"digit") && !world.names().contains(&"command-refused"));
}
