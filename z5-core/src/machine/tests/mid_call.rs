//! What the user does in a call that stands, and what the far end says to it.

use super::standing::AUDIO;
use super::*;
use crate::events::MediaKind;

const WITH_KEYS: &str = "m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

impl World {
    /// A call from the far end that stands.
    fn standing(media: &str) -> (Self, CallId) {
        let mut world = Self::new().start();
        let call = world.ring(1, media).unwrap();
        world.establish(call);
        (world, call)
    }

    pub(super) fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
        self.settle();
    }

    /// Answers our last INVITE.
    pub(super) fn reply(&mut self, status: u16, media: &str) {
        let invite = self.sent.iter().rev().find(|message| message.starts_with("INVITE ")).unwrap().clone();
        let request = Message::parse_datagram(Bytes::from(invite)).unwrap();
        let mut response = ResponseBuilder::to_request(&request, status, "Words")
            .header(Name::Contact, "<sip:bob@127.0.0.1:5060>")
            .to_tag("b");
        if status == 200 {
            let body =
                format!("v=0\r\no=- 1 9 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{media}");
            response = response.body("application/sdp", body);
        }
        let response = response.build().unwrap();
        self.input(Input::Received { flow: FlowId(1), bytes: response.as_bytes() });
        self.settle();
    }

    /// The direction line of our last offer.
    fn offered(&self) -> Option<&str> {
        let invite = self.sent.iter().rev().find(|message| message.starts_with("INVITE "))?;
        invite.lines().find(|line| ["a=sendonly", "a=sendrecv", "a=inactive", "a=recvonly"].contains(line))
    }

    fn holds(&self) -> Vec<(bool, bool)> {
        let hold = |event: &EventKind| {
            if let EventKind::CallHold { local, remote, .. } = event { Some((*local, *remote)) } else { None }
        };
        self.events.iter().filter_map(hold).collect()
    }
}

#[test]
fn hold_and_resume_are_asked_for_and_told_when_agreed() {
    let (mut world, call) = World::standing(AUDIO);
    world.command(Command::Hold { call, hold: true });
    assert_eq!(world.offered(), Some("a=sendonly"));
    assert_eq!(world.holds(), [], "not before the far end has agreed");
    world.reply(200, &format!("{AUDIO}a=recvonly\r\n"));
    assert_eq!(world.holds(), [(true, false)]);
    let [held] = &world.changes[..] else { panic!("{:?}", world.changes) };
    assert_eq!((held.send, held.receive), (false, false), "nothing of ours is heard on hold");
    // a second hold asks nothing
    let sent = world.sent.len();
    world.command(Command::Hold { call, hold: true });
    assert_eq!(world.sent.len(), sent);
    // the far end holds too, then neither
    world.change(3, &format!("{AUDIO}a=inactive\r\n"));
    assert_eq!(world.holds().last(), Some(&(true, true)));
    world.command(Command::Hold { call, hold: false });
    world.reply(200, &format!("{AUDIO}a=sendonly\r\n"));
    assert_eq!(world.holds().last(), Some(&(false, true)));
    world.change(5, AUDIO);
    assert_eq!(world.holds().last(), Some(&(false, false)));
    let [resumed] = &world.changes[..] else { panic!("{:?}", world.changes) };
    assert_eq!((resumed.send, resumed.receive), (true, true));
}

#[test]
fn a_hold_that_is_refused_is_told_and_changes_nothing() {
    let (mut world, call) = World::standing(AUDIO);
    world.command(Command::Hold { call, hold: true });
    world.reply(488, "");
    assert_eq!(world.trouble(), Some("call.change-refused"));
    assert_eq!(world.holds(), []);
    world.command(Command::Hold { call, hold: true });
    assert_eq!(world.offered(), Some("a=sendonly"), "it may be asked for again");
}

#[test]
fn a_resume_that_comes_before_the_hold_is_agreed_waits_for_it() {
    let (mut world, call) = World::standing(AUDIO);
    world.command(Command::Hold { call, hold: true });
    let sent = world.sent.len();
    world.command(Command::Hold { call, hold: false });
    assert_eq!(world.sent.len(), sent, "one offer at a time");
    world.reply(200, &format!("{AUDIO}a=recvonly\r\n"));
    assert_eq!(world.holds(), [(true, false)]);
    assert_eq!(world.offered(), Some("a=sendrecv"));
    world.reply(200, AUDIO);
    assert_eq!(world.holds(), [(true, false), (false, false)]);
    assert!(!world.events.iter().any(|event| matches!(event, EventKind::CommandRefused { .. })));
    // one that is taken back asks nothing more, and a hold that is refused needs no resume
    world.command(Command::Hold { call, hold: true });
    world.command(Command::Hold { call, hold: false });
    world.command(Command::Hold { call, hold: true });
    world.reply(200, &format!("{AUDIO}a=recvonly\r\n"));
    assert_eq!((world.offered(), world.holds().last()), (Some("a=sendonly"), Some(&(true, false))));
    world.command(Command::Hold { call, hold: false });
    world.command(Command::Hold { call, hold: true });
    world.reply(488, "");
    assert_eq!(world.offered(), Some("a=sendrecv"), "held still");
}

#[test]
fn a_resume_is_over_when_it_is_answered_whatever_the_far_end_wants_to_send() {
    let (mut world, call) = World::standing(AUDIO);
    world.command(Command::Hold { call, hold: true });
    world.reply(200, &format!("{AUDIO}a=recvonly\r\n"));
    world.command(Command::Hold { call, hold: false });
    world.reply(200, &format!("{AUDIO}a=recvonly\r\n"));
    assert_eq!(world.holds(), [(true, false), (false, false)]);
    // Nothing is left of the wish: a hold is one again, and so is a resume.
    world.command(Command::Hold { call, hold: true });
    assert_eq!(world.offered(), Some("a=sendonly"));
    world.reply(200, &format!("{AUDIO}a=inactive\r\n"));
    assert_eq!(world.holds().last(), Some(&(true, true)));
    world.command(Command::Hold { call, hold: false });
    assert_eq!(world.offered(), Some("a=sendrecv"));
}

#[test]
fn what_is_wanted_while_an_offer_is_open_goes_out_when_it_is_answered() {
    // A medium while a hold is open.
    let (mut world, call) = World::standing(AUDIO);
    world.command(Command::Hold { call, hold: true });
    let sent = world.sent.len();
    world.add_text(call);
    assert_eq!(world.sent.len(), sent, "one offer at a time");
    world.reply(200, &format!("{AUDIO}a=recvonly\r\n"));
    assert_eq!((world.holds(), world.trouble()), (vec![(true, false)], None));
    let added = world.sent.iter().rev().find(|message| message.starts_with("INVITE ")).unwrap();
    assert!(added.contains("m=text 30002 ") && added.contains("a=sendonly"), "{added}");
    world.reply(
        200,
        &format!("{AUDIO}a=recvonly\r\nm=text 41002 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\na=recvonly\r\n"),
    );
    assert_eq!((&world.started[..], world.trouble()), (&[MediaKind::Text][..], None));
    // A hold while a medium is being added, and both behind another one.
    let (mut world, call) = World::standing(AUDIO);
    world.add_text(call);
    let sent = world.sent.len();
    world.command(Command::Hold { call, hold: true });
    assert_eq!(world.sent.len(), sent, "one offer at a time");
    world.reply(488, "");
    assert_eq!(world.trouble(), Some("call.change-refused"), "the text, not the hold");
    assert_eq!(world.offered(), Some("a=sendonly"));
    world.command(Command::Hold { call, hold: false });
    world.add_text(call);
    world.reply(200, &format!("{AUDIO}a=recvonly\r\n"));
    let both = world.sent.iter().rev().find(|message| message.starts_with("INVITE ")).unwrap();
    assert!(both.contains("m=text 30002 ") && both.contains("a=sendrecv"), "{both}");
    world.reply(200, &format!("{AUDIO}m=text 41002 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n"));
    assert_eq!(world.holds().last(), Some(&(false, false)));
    assert_eq!(world.started, [MediaKind::Text]);
    assert!(!world.events.iter().any(|event| matches!(event, EventKind::CommandRefused { .. })));
}

#[test]
fn a_muted_medium_stays_muted_whatever_the_far_end_changes() {
    let (mut world, call) = World::standing(AUDIO);
    world.command(Command::Mute { call, kind: MediaKind::Audio, muted: true });
    let [muted] = &world.changes[..] else { panic!("{:?}", world.changes) };
    assert_eq!((muted.send, muted.receive), (false, true));
    world.change(2, "m=audio 41000 RTP/AVP 0\r\n");
    let [moved] = &world.changes[..] else { panic!("{:?}", world.changes) };
    assert_eq!((moved.send, moved.receive), (false, true));
    world.command(Command::Mute { call, kind: MediaKind::Audio, muted: false });
    let [open] = &world.changes[..] else { panic!("{:?}", world.changes) };
    assert_eq!((open.send, open.receive), (true, true));
    world.command(Command::Mute { call, kind: MediaKind::Text, muted: true });
    assert_eq!(world.refused(), "call.media", "there is no text to mute");
    assert_eq!(world.names().iter().filter(|name| **name == "call-muted").count(), 2);
}

#[test]
fn keys_are_pressed_only_where_they_can_be_heard() {
    let (mut world, call) = World::standing(AUDIO);
    world.command(Command::SendDigits { call, digits: "1".into() });
    let info = world.sent.iter().rev().find(|message| message.starts_with("INFO ")).unwrap();
    assert!(info.contains("Signal=1"), "without telephone events by INFO: {info}");

    let (mut world, call) = World::standing(WITH_KEYS);
    world.command(Command::SendDigits { call, digits: "12x".into() });
    assert_eq!(world.refused(), "call.bad-digit");
    world.input(Input::Command(Command::SendDigits { call, digits: "12#a".into() }));
    assert!(world.wishes.contains(&Effect::SendDigits { call, digits: "12#A".into() }), "{:?}", world.wishes);
}

#[test]
fn another_source_is_sent_of_a_medium_that_flows_and_nothing_is_signalled() {
    let (mut world, call) = World::standing(AUDIO);
    let sent = world.sent.len();
    let kind = MediaKind::Audio;
    world.input(Input::Command(Command::Source { call, kind }));
    assert_eq!(world.wishes, [Effect::SwitchSource { call, kind }]);
    world.settle();
    world.input(Input::Command(Command::Source { call, kind: MediaKind::Video }));
    let switch = |wish: &Effect| matches!(wish, Effect::SwitchSource { .. });
    assert!(!world.wishes.iter().any(switch), "{:?}", world.wishes);
    world.settle();
    assert_eq!(world.refused(), "call.media", "there is no video");
    assert_eq!(world.sent.len(), sent);
}

impl World {
    /// The user adds text, and its port is there.
    pub(super) fn add_text(&mut self, call: CallId) {
        self.command(Command::Add { call, kind: MediaKind::Text });
        assert_eq!(self.prepared, [MediaKind::Text]);
        let pair = io::PortPair {
            rtp: "127.0.0.1:30002".parse().unwrap(),
            rtcp: "127.0.0.1:30003".parse().unwrap(),
        };
        let keys = io::KeyPool(zeroize::Zeroizing::new([8; io::KeyPool::LEN]));
        let ready = vec![io::ReadyMedium { kind: MediaKind::Text, ports: pair, keys, fragments: false }];
        self.input(Input::MediaReady { call, outcome: Ok(ready) });
        self.settle();
    }
}

#[test]
fn text_is_added_to_a_call_and_started_when_the_far_end_agrees() {
    let (mut world, call) = World::standing(AUDIO);
    world.add_text(call);
    let invite = world.sent.iter().rev().find(|message| message.starts_with("INVITE ")).unwrap();
    let lines: Vec<&str> = invite.lines().filter(|line| line.starts_with("m=")).collect();
    assert!(lines.len() == 2 && lines[1].starts_with("m=text 30002 "), "{invite}");
    assert!(!world.names().contains(&"call-changed"), "not before the far end has agreed");
    world.reply(200, &format!("{AUDIO}m=text 41002 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n"));
    assert_eq!(world.started, [MediaKind::Text]);
    assert!(world.names().contains(&"call-changed"));
    assert_eq!(world.trouble(), None);
    world.input(Input::Command(Command::SendText { call, text: "hi".into() }));
    assert!(world.wishes.contains(&Effect::SendText { call, text: "hi".into() }), "{:?}", world.wishes);
    world.settle();
    world.command(Command::Add { call, kind: MediaKind::Text });
    assert_eq!(world.refused(), "call.media", "it is there already");
}

#[test]
fn text_that_we_did_not_take_at_first_can_be_added_later() {
    let mut world = World::new().start();
    let call =
        world.ring(1, &format!("{AUDIO}m=text 41000 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n")).unwrap();
    world.establish(call);
    world.add_text(call);
    let invite = world.sent.iter().rev().find(|message| message.starts_with("INVITE ")).unwrap();
    let lines: Vec<&str> = invite.lines().filter(|line| line.starts_with("m=")).collect();
    assert!(
        lines.len() == 2 && lines[1].starts_with("m=text 30002 "),
        "the line that was refused is used: {invite}"
    );
    world.reply(200, &format!("{AUDIO}m=text 41002 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n"));
    assert_eq!(world.started, [MediaKind::Text]);
}

#[test]
fn text_that_the_far_end_does_not_take_is_told_and_the_call_goes_on() {
    for (status, answer) in [(200, format!("{AUDIO}m=text 0 RTP/AVP 98\r\n")), (488, String::new())] {
        let (mut world, call) = World::standing(AUDIO);
        world.started.clear();
        world.add_text(call);
        world.reply(status, &answer);
        assert_eq!(world.trouble(), Some("call.change-refused"), "{status}");
        assert!(world.started.is_empty(), "{status}");
        world.input(Input::Command(Command::SendText { call, text: "hi".into() }));
        world.settle();
        assert_eq!(world.refused(), "call.no-text", "{status}");
    }
}

#[test]
fn nothing_is_done_to_a_call_that_does_not_stand() {
    let mut world = World::new().start();
    let call = world.ring(1, AUDIO).unwrap();
    for command in [
        Command::Hold { call, hold: true },
        Command::Mute { call, kind: MediaKind::Audio, muted: true },
        Command::SendDigits { call, digits: "1".into() },
        Command::Add { call, kind: MediaKind::Text },
        Command::Source { call, kind: MediaKind::Audio },
    ] {
        world.command(command);
        assert_eq!(world.refused(), "call.wrong-state");
    }
    world.command(Command::Hold { call: CallId(99), hold: true });
    assert_eq!(world.refused(), "call.unknown-call");
}

#[test]
fn a_silence_is_told_and_ends_the_call_only_where_that_is_configured_and_never_an_emergency_call() {
    use crate::config::WhenSilent;
    use crate::machine::io::MediaFact;
    use z5_media::SilenceReason;

    for (when_silent, emergency, ends) in [
        (WhenSilent::Tell, false, false),
        (WhenSilent::HangUp, false, true),
        (WhenSilent::HangUp, true, false),
    ] {
        let (mut world, call) = World::standing(AUDIO);
        world.machine.plan.media.when_silent = when_silent;
        world.machine.calls.set_emergency(call, emergency);
        let kind = MediaKind::Audio;
        let lasted = Duration::from_secs(20);
        let reason = SilenceReason::OnlyReports;
        world.input(Input::Media { call, kind, fact: MediaFact::Silent { lasted, reason } });
        world.settle();
        let told = EventKind::MediaSilent { call, kind, silent_ms: 20_000.0, reason };
        assert!(world.events.contains(&told), "{:?}", world.events);
        let byes = world.sent.iter().filter(|message| message.starts_with("BYE ")).count();
        assert_eq!(byes, usize::from(ends), "{when_silent:?}, emergency {emergency}");
        let codes: Vec<_> = world
            .events
            .iter()
            .filter_map(|event| {
                if let EventKind::CallTrouble { error, .. } = event { Some(error.code()) } else { None }
            })
            .collect();
        assert_eq!(codes, if ends { vec!["call.media-silent"] } else { vec![] });
        world.input(Input::Media { call, kind, fact: MediaFact::Back { after: lasted } });
        world.settle();
        if !ends {
            assert!(world.events.contains(&EventKind::MediaBack { call, kind, silent_ms: 20_000.0 }));
        }
    }
}
