//! A call that stands while this machine gets another address.

use super::standing::AUDIO;
use super::video::{VIDEO, WITH_VIDEO, config};
use super::*;
use crate::events::MediaKind;

/// As [`AUDIO`], with a key.
const ENCRYPTED: &str = "m=audio 40000 RTP/SAVP 0\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";

impl World {
    /// A call that stands with this description of the far end, after a start with this configuration.
    fn calling(text: &str, media: &str) -> (Self, CallId) {
        let options = StartOptions { retry: RetryMode::Supervised, ..StartOptions::default() };
        let mut world = Self::of(text, options).start();
        let call = world.ring(1, media).unwrap();
        world.establish(call);
        (world, call)
    }

    /// Another network, where we have this address.
    fn wander(&mut self, home: &str) {
        self.home = home.parse().unwrap();
        self.command(Command::NetworkChanged);
        assert_eq!(self.state(), SessionState::Ready, "{:?}", self.names());
    }

    /// Our INVITEs since `from`.
    fn invites(&self, from: usize) -> Vec<&str> {
        let sent = self.sent[from..].iter().map(String::as_str);
        sent.filter(|message| message.starts_with("INVITE ")).collect()
    }

    /// The place and the direction in our last offer.
    fn last_offer(&self) -> (&str, &str) {
        let offer = self.sent.iter().rev().find(|message| message.starts_with("INVITE ")).unwrap();
        (line(offer, "c="), line(offer, "a=send"))
    }

    /// Lets time pass until there are so many.
    fn until_invited(&mut self, from: usize, count: usize) {
        for _ in 0..900 {
            if self.invites(from).len() >= count {
                break;
            }
            self.pass(Duration::from_secs(1));
        }
        assert_eq!(self.invites(from).len(), count, "{:?}", self.names());
    }

    /// Answers our last INVITE on the connection that stands.
    fn agree(&mut self, status: u16) {
        self.agree_with(status, AUDIO);
    }

    fn agree_with(&mut self, status: u16, media: &str) {
        let invite = self.sent.iter().rev().find(|message| message.starts_with("INVITE ")).unwrap().clone();
        let request = Message::parse_datagram(Bytes::from(invite)).unwrap();
        let mut response = ResponseBuilder::to_request(&request, status, "Words")
            .header(Name::Contact, "<sip:bob@127.0.0.1:5060>");
        if status == 200 {
            let body =
                format!("v=0\r\no=- 1 9 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{media}");
            response = response.body("application/sdp", body);
        }
        let response = response.build().unwrap();
        let flow = self.machine.line.flow().unwrap();
        self.input(Input::Received { flow, bytes: response.as_bytes() });
        self.settle();
    }

    /// The far end takes no UPDATE: that we are elsewhere is told by an INVITE with the old offer, before anything else.
    fn agree_to_contact(&mut self, from: usize) {
        assert_eq!(self.invites(from).len(), 1, "one offer at a time");
        self.agree(200);
    }

    fn locals(&self) -> Vec<String> {
        let changed = |event: &EventKind| {
            let EventKind::CallChanged { media, .. } = event else { return None };
            Some(media.streams.iter().map(|stream| stream.local.to_string()).collect::<Vec<_>>().join(" "))
        };
        self.events.iter().filter_map(changed).collect()
    }
}

fn line<'a>(message: &'a str, start: &str) -> &'a str {
    message.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} in {message}"))
}

#[test]
fn a_call_that_stands_is_moved_to_the_new_address_by_one_offer() {
    let (mut world, _) = World::calling(CONFIG, AUDIO);
    let answer =
        world.said("SIP/2.0 200").map(|_| world.sent.iter().rev().find(|m| m.contains("m=audio")).unwrap());
    let origin = line(answer.unwrap(), "o=").to_owned();
    let from = world.sent.len();
    world.wander("198.51.100.7");
    world.agree_to_contact(from);
    let invites = world.invites(from);
    assert_eq!(invites.len(), 2, "{invites:?}");
    let offer = invites[1];
    assert_eq!(line(offer, "c="), "c=IN IP4 198.51.100.7");
    assert!(line(offer, "m=audio").starts_with("m=audio 31000 "), "{offer}");
    assert!(line(offer, "Contact:").contains("@198.51.100.7:"), "{offer}");
    // The same session, a later version of it (RFC 3264 section 8).
    let same = |line: &str| {
        line.split(' ')
            .enumerate()
            .filter(|(at, _)| *at != 2)
            .map(|(_, word)| word.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(same(line(offer, "o=")), same(&origin));
    assert_ne!(line(offer, "o="), origin);
    world.agree(200);
    assert_eq!(world.locals(), ["198.51.100.7:31000"]);
    world.pass(Duration::from_secs(600));
    assert_eq!(world.invites(from).len(), 2, "told once");
    assert_eq!(world.trouble(), None);
}

#[test]
fn an_offer_that_crosses_the_far_ends_is_made_again_and_a_refusal_is_not() {
    let (mut world, call) = World::calling(CONFIG, AUDIO);
    let from = world.sent.len();
    world.wander("198.51.100.7");
    world.agree_to_contact(from);
    world.agree(491);
    assert_eq!(world.invites(from).len(), 2);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.invites(from).len(), 3, "after a pause of its own");
    world.agree(488);
    assert_eq!(world.trouble(), Some("call.change-refused"));
    world.pass(Duration::from_secs(600));
    assert_eq!(world.invites(from).len(), 3, "who refuses is not asked again");
    assert_eq!(world.machine.view().calls.len(), 1, "the call goes on: {call}");
    // Until there is another address.
    world.wander("198.51.100.8");
    world.agree(200);
    assert!(world.invites(from).last().unwrap().contains("c=IN IP4 198.51.100.8"));
}

#[test]
fn what_is_open_when_the_address_changes_comes_first() {
    let (mut world, call) = World::calling(CONFIG, AUDIO);
    let from = world.sent.len();
    world.command(Command::Hold { call, hold: true });
    world.wander("198.51.100.7");
    // The hold was lost with its connection and is offered again over the new one.
    world.pass(Duration::from_millis(100));
    world.agree(200);
    world.pass(Duration::from_millis(100));
    let last = world.invites(from).last().unwrap().to_string();
    assert_eq!((line(&last, "c="), line(&last, "a=send")), ("c=IN IP4 198.51.100.7", "a=sendonly"));
    world.agree(200);
    assert_eq!(world.locals().last().map(String::as_str), Some("198.51.100.7:31000"));
}

#[test]
fn keys_stay_when_a_call_moves() {
    let text = format!("{CONFIG}[media]\nsrtp = \"required\"\n");
    let (mut world, _) = World::calling(&text, ENCRYPTED);
    let key = |message: &str| line(message, "a=crypto:").to_owned();
    let before = world.sent.iter().rev().find(|m| m.contains("m=audio")).map(|m| key(m)).unwrap();
    let from = world.sent.len();
    world.wander("198.51.100.7");
    let answer = AUDIO.replace("AVP", "SAVP") + ENCRYPTED.split_once("\r\n").unwrap().1;
    world.agree_with(200, &answer);
    let offers = world.invites(from);
    assert_eq!(offers.len(), 2);
    for offer in offers {
        assert_eq!(offer.matches("a=crypto:").count(), 1, "the suite in use alone: {offer}");
        assert_eq!(key(offer).split("inline:").nth(1), before.split("inline:").nth(1));
    }
}

#[test]
fn a_call_without_a_port_at_the_new_address_is_told_once_and_moved_with_the_next_registration() {
    let (mut world, _) = World::calling(CONFIG, AUDIO);
    let from = world.sent.len();
    world.silent = "ports";
    world.wander("198.51.100.7");
    world.agree_to_contact(from);
    world.pass(Duration::from_secs(600));
    let told = world.names().iter().filter(|name| **name == "call-trouble").count();
    assert_eq!((told, world.trouble()), (1, Some("call.local-port")));
    assert_eq!(world.invites(from).len(), 1);
    world.silent = "";
    world.pass(Duration::from_secs(600));
    assert_eq!(line(world.invites(from)[1], "c="), "c=IN IP4 198.51.100.7");
}

#[test]
fn media_of_a_configured_address_and_those_of_the_same_one_stay_where_they_are() {
    let bound = format!("{CONFIG}[media]\nbind = \"127.0.0.1\"\n");
    for (text, home) in [(bound.as_str(), "198.51.100.7"), (CONFIG, "127.0.0.1"), (CONFIG, "::1")] {
        let (mut world, _) = World::calling(text, AUDIO);
        let from = world.sent.len();
        world.wander(home);
        world.agree_to_contact(from);
        world.pass(Duration::from_secs(600));
        assert_eq!(world.invites(from).len(), 1, "{home}");
        assert_eq!(line(world.invites(from)[0], "c="), "c=IN IP4 127.0.0.1");
        assert_eq!(world.trouble(), None);
    }
}

#[test]
fn a_medium_that_was_refused_and_added_later_is_where_it_is_now_and_moves_by_one_offer() {
    let options = StartOptions { retry: RetryMode::Supervised, ..StartOptions::default() };
    let mut world = World::of(&config("film"), options);
    world.features = Some(&["audio", "text", "video"]);
    let (mut world, call) = (world.start(), CallId(9));
    let target = "bob".into();
    world.command(Command::Call { call, target, wanted: WITH_VIDEO, anonymous: false, location: None });
    world.make_ready(call);
    world.reply(200, &format!("{AUDIO}m=video 0 RTP/AVP 96\r\n"));
    assert!(world.invites(0)[0].contains("m=video 30002 "));

    // The far end adds it; by then it gets another port.
    let invite = world.invites(0)[0].to_owned();
    let header = |name: &str| line(&invite, name).split_once(": ").unwrap().1.to_owned();
    let (from, to, id) = (header("To:"), header("From:"), header("Call-ID:"));
    let contact = header("Contact:").split(['<', '>']).nth(1).unwrap().to_owned();
    let media = format!("{AUDIO}{}", VIDEO.replace("99 100 34", "99 100"));
    let body = format!("v=0\r\no=- 1 10 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{media}");
    let head = |method: &str| {
        format!(
            "{method} {contact} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK{method}\r\n\
             Max-Forwards: 70\r\nFrom: {from};tag=b\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: 2 {method}\r\n\
             Contact: <sip:bob@127.0.0.1:5060>\r\n"
        )
    };
    let describes = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n", body.len());
    let offer = format!("{}{describes}{body}", head("INVITE"));
    world.input(Input::Received { flow: FlowId(1), bytes: offer.as_bytes() });
    world.settle();
    assert_eq!(world.prepared, [MediaKind::Video]);
    world.make_ready(call);
    let answer = world.sent.iter().rev().find(|message| message.starts_with("SIP/2.0 200")).unwrap();
    assert!(answer.contains("m=video 30000 "), "{answer}");
    let ack = format!("{}Content-Length: 0\r\n\r\n", head("ACK"));
    world.input(Input::Received { flow: FlowId(1), bytes: ack.as_bytes() });
    world.settle();

    let from = world.sent.len();
    world.wander("198.51.100.7");
    for count in 1..=2 {
        assert_eq!(world.invites(from).len(), count);
        world.agree_with(200, &media);
    }
    let offer = world.invites(from)[1];
    assert_eq!((offer.matches("m=video").count(), line(offer, "c=")), (1, "c=IN IP4 198.51.100.7"));
    assert!(line(offer, "m=video").starts_with("m=video 31002 "), "{offer}");
    world.pass(Duration::from_secs(600));
    assert_eq!(world.invites(from).len(), 2, "told once");
}

/// A call at a new address that waits for the answer to a hold which says so too; and from where our messages count.
fn held_while_moving() -> (World, usize) {
    let (mut world, call) = World::calling(CONFIG, AUDIO);
    let from = world.sent.len();
    world.wander("198.51.100.7");
    world.command(Command::Hold { call, hold: true });
    world.agree_to_contact(from);
    assert_eq!(world.last_offer(), ("c=IN IP4 198.51.100.7", "a=sendonly"));
    (world, from)
}

/// The place alone, with nothing else asked for.
const ALONE: (&str, &str) = ("c=IN IP4 198.51.100.7", "a=sendrecv");

#[test]
fn a_place_that_went_with_a_hold_is_offered_alone_at_once_when_the_hold_is_refused() {
    for status in [488, 606, 403] {
        let (mut world, from) = held_while_moving();
        world.agree(status);
        assert_eq!((world.invites(from).len(), world.last_offer()), (3, ALONE), "{status}");
        world.agree(200);
        assert_eq!(world.locals(), ["198.51.100.7:31000"]);
        world.pass(Duration::from_secs(600));
        assert_eq!(world.invites(from).len(), 3, "{status}: told");

        let (mut world, from) = held_while_moving();
        world.agree(status);
        world.agree(status);
        world.pass(Duration::from_secs(600));
        assert_eq!(world.invites(from).len(), 3, "{status}: who refuses that too is not asked again");
    }
}

#[test]
fn a_hold_that_was_not_heard_while_the_address_moved_leaves_its_place_to_the_next_registrations() {
    for status in [503, 500] {
        let (mut world, from) = held_while_moving();
        world.agree(status);
        assert_eq!(world.invites(from).len(), 2, "{status}: not at once");
        for count in 3..=6 {
            world.until_invited(from, count);
            assert_eq!(world.last_offer(), ALONE);
            world.agree(status);
            assert_eq!(world.invites(from).len(), count, "{status}: not at once");
        }
        world.pass(Duration::from_secs(600));
        assert_eq!(world.invites(from).len(), 6, "{status}: a few times at most");
    }
}

#[test]
fn a_hold_that_always_crosses_the_far_ends_offer_ends_and_its_place_is_told_later() {
    let (mut world, from) = held_while_moving();
    // The user agent repeats it by itself.
    let mut crossed = 0;
    while world.trouble().is_none() {
        crossed += 1;
        assert!(crossed < 20, "an end");
        world.agree(491);
        world.pass(Duration::from_secs(3));
    }
    let sent = world.invites(from).len();
    world.until_invited(from, sent + 1);
    assert_eq!(world.last_offer(), ALONE);
    world.agree(200);
    world.pass(Duration::from_secs(600));
    assert_eq!((world.invites(from).len(), world.locals().len()), (sent + 1, 1));
}

#[test]
fn a_hold_that_is_never_answered_ends_its_call_wherever_it_is() {
    let (mut world, from) = held_while_moving();
    world.pass(Duration::from_secs(600));
    assert_eq!(world.invites(from).len(), 2, "RFC 3261 section 12.2.1.2: no far end is left to be asked");
    assert!(world.names().contains(&"call-ended"), "{:?}", world.names());
}

#[test]
fn a_place_that_went_with_a_medium_is_offered_alone_when_that_is_refused() {
    let (mut world, call) = World::calling(CONFIG, AUDIO);
    let from = world.sent.len();
    world.wander("198.51.100.7");
    world.add_text(call);
    world.agree_to_contact(from);
    assert!(world.invites(from)[1].contains("m=text "), "{:?}", world.invites(from));
    world.agree(488);
    assert_eq!((world.invites(from).len(), world.last_offer()), (3, ALONE));
    assert!(!world.invites(from)[2].contains("m=text 3"), "{:?}", world.invites(from));
    world.agree(200);
    assert_eq!(world.locals(), ["198.51.100.7:31000"]);
}

#[test]
fn media_that_stayed_for_a_medium_to_be_added_move_when_that_comes_to_nothing() {
    for ports in [true, false] {
        let (mut world, call) = World::calling(CONFIG, AUDIO);
        let from = world.sent.len();
        world.command(Command::Add { call, kind: MediaKind::Text });
        world.wander("198.51.100.7");
        world.agree_to_contact(from);
        if ports {
            world.make_ready(call);
            assert_eq!(line(world.invites(from)[1], "c="), "c=IN IP4 127.0.0.1");
            world.agree(488);
        } else {
            let outcome = Err(crate::error::CallError::LocalPort { why: "none".to_owned() });
            world.input(Input::MediaReady { call, outcome });
            world.settle();
        }
        assert_eq!(world.last_offer(), ALONE);
        world.agree(200);
        assert_eq!(world.locals(), ["198.51.100.7:31000"]);
    }
}

#[test]
fn a_hold_on_its_own_says_the_place_that_was_left_for_later() {
    let (mut world, call) = World::calling(CONFIG, AUDIO);
    let from = world.sent.len();
    world.wander("198.51.100.7");
    world.agree_to_contact(from);
    world.agree(503);
    world.command(Command::Hold { call, hold: true });
    assert_eq!(world.last_offer(), ("c=IN IP4 198.51.100.7", "a=sendonly"));
    world.agree(200);
    world.pass(Duration::from_secs(600));
    assert_eq!(world.invites(from).len(), 3, "it is known by then");
}

#[test]
fn a_place_that_may_not_have_been_heard_is_offered_again_with_the_next_registration() {
    for (status, most) in [(503, 6), (500, 6), (403, 2)] {
        let (mut world, _) = World::calling(CONFIG, AUDIO);
        let from = world.sent.len();
        world.wander("198.51.100.7");
        world.agree_to_contact(from);
        for count in 2..=most {
            world.until_invited(from, count);
            assert_eq!(line(world.invites(from).last().unwrap(), "c="), "c=IN IP4 198.51.100.7");
            world.agree(status);
            assert_eq!(world.invites(from).len(), count, "{status}: not at once");
        }
        world.pass(Duration::from_secs(600));
        assert_eq!(world.invites(from).len(), most, "{status}: a few times at most");
        // Another address, another count.
        world.wander("198.51.100.8");
        world.agree(200);
        world.agree(503);
        world.until_invited(from, most + 3);
        world.agree(200);
        assert_eq!(world.locals().last().map(String::as_str), Some("198.51.100.8:31000"));
    }
}
