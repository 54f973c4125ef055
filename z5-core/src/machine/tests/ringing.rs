//! A caller that offers nothing and takes nothing unreliable: it is rung with our offer (RFC 3262 section 5).

use super::*;
use crate::events::MediaKind;

impl World {
    /// A request of that caller.
    fn caller(&mut self, method: &str, cseq: u32, tag: &str, extra: &str, body: &str) {
        // A CANCEL is known by the INVITE's branch.
        let branch = if method == "CANCEL" { "INVITE" } else { method };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:bob@c.test>;tag=f1\r\nTo: <sip:+15555550101@c.test>{tag}\r\nCall-ID: c1\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:bob@127.0.0.1:5060>\r\n{extra}{kind}Content-Length: {}\r\n\r\n{body}",
            self.contact,
            body.len()
        );
        self.input(Input::Received { flow: FlowId(1), bytes: text.as_bytes() });
        self.settle();
    }

    fn latest(&self, start: &str) -> Option<&String> {
        self.sent.iter().rev().find(|message| message.starts_with(start))
    }

    /// Its call, up to our asking for ports.
    fn ring_offering(&mut self) -> CallId {
        self.caller("INVITE", 1, "", "Require: 100rel\r\n", "");
        let told = self.events.iter().find_map(|event| {
            let EventKind::Incoming { call, audio: true, text: true, video: false, .. } = event else {
                return None;
            };
            Some(*call)
        });
        told.unwrap_or_else(|| panic!("{:?}", self.events))
    }
}

fn value<'a>(message: &'a str, name: &str) -> &'a str {
    message.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim()
}

#[test]
fn a_caller_without_an_offer_is_rung_with_ours_and_what_the_user_does_not_take_is_closed() {
    let mut world = World::new().start();
    let call = world.ring_offering();
    assert_eq!(
        (&world.prepared[..], world.latest("SIP/2.0 180")),
        (&[MediaKind::Audio, MediaKind::Text][..], None)
    );
    world.make_ready(call);
    let ringing = world.latest("SIP/2.0 180").unwrap().clone();
    assert!(ringing.contains("m=audio 30000 ") && ringing.contains("m=text 30002 "), "{ringing}");
    let tag = format!(";tag={}", value(&ringing, "To:").split(";tag=").nth(1).unwrap());
    let rack = format!("RAck: {} 1 INVITE\r\n", value(&ringing, "RSeq:"));
    let answer = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n\
        m=text 4002 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n";
    world.caller("PRACK", 2, &tag, &rack, answer);
    assert!(world.latest("SIP/2.0 200").unwrap().contains("CSeq: 2 PRACK"));
    // Sound alone is wanted: no other port is asked for, the text that was agreed on is closed.
    world.answer(call, true, Some(false));
    world.settle();
    assert_eq!(world.prepared, []);
    world.input(Input::MediaReady { call, outcome: Ok(Vec::new()) });
    world.settle();
    let ok = world.latest("SIP/2.0 200").unwrap();
    assert!(ok.contains("CSeq: 1 INVITE") && ok.contains("Content-Length: 0"), "{ok}");
    world.caller("ACK", 1, &tag, "", "");
    assert_eq!(world.started, [MediaKind::Audio]);
    let closing = world.latest("INVITE ").unwrap();
    assert!(closing.contains("m=audio 30000 ") && closing.contains("m=text 0 "), "{closing}");
}

#[test]
fn such_a_caller_that_gives_up_or_for_whom_there_are_no_ports_leaves_nothing_behind() {
    let mut world = World::new().start();
    let call = world.ring_offering();
    world.make_ready(call);
    world.caller("CANCEL", 1, "", "", "");
    assert!(world.latest("SIP/2.0 487").is_some(), "{:?}", world.sent);
    assert!(world.events.iter().any(|event| matches!(event, EventKind::CallFailed { .. })));
    let mut world = World::new().start();
    let call = world.ring_offering();
    let why = "none is free".to_owned();
    world.input(Input::MediaReady { call, outcome: Err(crate::error::CallError::LocalPort { why }) });
    world.settle();
    assert!(world.latest("SIP/2.0 4").is_none() && world.latest("SIP/2.0 180").is_none(), "{:?}", world.sent);
    // The user may still take it: our offer is in the 200.
    world.answer(call, true, Some(false));
    world.settle();
    world.make_ready(call);
    assert!(world.latest("SIP/2.0 200").unwrap().contains("m=audio 30000 "));
}
