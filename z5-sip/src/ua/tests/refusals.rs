//! Requests that are refused, and what the refusal says.

use std::time::Duration;

use super::script::{FLOW, OFFER, Script};
use crate::ua::{Event, Input};
use crate::wire::Name;

fn request(method: &str, extra: &str) -> String {
    format!(
        "{method} sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP h;branch=z9hG4bKr{method}\nMax-Forwards: 70\n\
         From: <sip:x@h>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: r{method}\nCSeq: 1 {method}\n{extra}Content-Length: 0\n\n"
    )
}

#[test]
fn options_are_answered_with_what_is_allowed() {
    let mut script = Script::registered();
    script.raw(&request("OPTIONS", ""));
    let ok = script.next_status(200);
    assert!(ok.lists_token(Name::Allow, "INVITE") && ok.header(Name::Accept).is_some());
    assert!(ok.to().unwrap().tag().is_some() && ok.header(Name::Server).is_some());
}

#[test]
fn unknown_methods_get_405_with_allow() {
    let mut script = Script::registered();
    for method in ["FROBNICATE", "PUBLISH"] {
        script.raw(&request(method, ""));
        assert!(script.next_status(405).lists_token(Name::Allow, "BYE"));
    }
}

#[test]
fn unknown_extensions_get_420_with_their_names() {
    let mut script = Script::registered();
    script.raw(&request("OPTIONS", "Require: teleport, path\n"));
    let refused = script.next_status(420);
    assert_eq!(refused.header(Name::Unsupported), Some(&b"teleport"[..]));
}

#[test]
fn without_a_binding_nothing_is_taken() {
    let mut script = Script::new();
    script.incoming("", OFFER);
    script.next_status(403);
    assert!(matches!(script.take_events()[..], [Event::Unexpected { .. }]));
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    script.pass(Duration::from_secs(300));
    script.sent.clear();
    // The refresh was never answered: 300 s later the binding has run out.
    script.pass(Duration::from_secs(20));
    script.incoming("", OFFER);
    script.next_status(100);
}

#[test]
fn what_belongs_to_no_dialog_gets_481() {
    let mut script = Script::registered();
    for method in ["BYE", "INVITE", "OPTIONS"] {
        let inside = request(method, "").replace("<sip:alice@example.com>", "<sip:alice@example.com>;tag=zz");
        script.raw(&inside);
        script.next_status(481);
    }
    script.raw(&request("CANCEL", ""));
    script.next_status(481);
    script.raw(&request("BYE", "").replace("rBYE", "rBYE2"));
    script.next_status(481);
}

#[test]
fn options_out_of_order_in_a_call_get_500_and_leave_it() {
    let (mut script, ack) = Script::established();
    script.inside(&ack, "OPTIONS", 5, "", "");
    script.next_status(200);
    script.inside(&ack, "OPTIONS", 4, "", "");
    script.next_status(500);
    script.inside(&ack, "OPTIONS", 6, "", "");
    script.next_status(200);
}

#[test]
fn a_request_that_came_on_two_ways_is_answered_once() {
    let mut script = Script::registered();
    script.incoming("", OFFER);
    script.next_status(100);
    let other = |branch: &str, method: &str, to_tag: &str| {
        format!(
            "{method} sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP p.example.com;branch=z9hG4bK{branch}\n\
             Max-Forwards: 69\nFrom: \"Carol\" <sip:carol@example.com>;tag=caroltag\nTo: <sip:alice@example.com>{to_tag}\n\
             Call-ID: incoming1\nCSeq: 10 {method}\nContact: <sip:carol@192.0.2.3>\nContent-Length: 0\n\n"
        )
    };
    script.raw(&other("second", "INVITE", ""));
    let refused = script.next_status(482);
    script.raw(&other("second", "INVITE", ""));
    script.next_status(482);
    // The end of the second leaves the first, which a third is a copy of as well.
    let tag = format!(";tag={}", refused.to().unwrap().tag().unwrap());
    script.raw(&other("second", "ACK", &tag));
    script.raw(&other("third", "INVITE", ""));
    script.next_status(482);
    assert_eq!(script.agent.calls(), 1);
}

#[test]
fn a_copy_of_what_was_answered_over_a_stream_is_one_as_long_as_over_udp() {
    let message = |branch: &str| {
        format!(
            "MESSAGE sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP p.example.com;branch=z9hG4bK{branch}\n\
             Max-Forwards: 69\nFrom: <sip:carol@example.com>;tag=c\nTo: <sip:alice@example.com>\nCall-ID: m1\n\
             CSeq: 10 MESSAGE\nContent-Type: text/plain\nContent-Length: 0\n\n"
        )
    };
    let mut script = Script::registered();
    script.raw(&message("first"));
    script.next_status(200);
    script.raw(&message("second"));
    script.next_status(482);
    script.pass(Duration::from_secs(31));
    script.raw(&message("third"));
    script.next_status(482);
    script.pass(Duration::from_secs(1));
    script.raw(&message("fourth"));
    script.next_status(200);
}

#[test]
fn bodies_that_cannot_be_read_are_refused() {
    let mut script = Script::registered();
    script.incoming("", "v=0\r\nrubbish\r\n");
    let refused = script.next_status(400);
    assert!(refused.header(Name::Warning).is_some());
    let mut script = Script::registered();
    script.raw(
        &request("INVITE", "Content-Type: image/png\nContact: <sip:x@h>\n")
            .replace("Content-Length: 0", "Content-Length: 3"),
    );
    script.input(Input::Received { flow: FLOW, bytes: b"png" });
    assert!(script.next_status(415).header(Name::Accept).is_some());
}

#[test]
fn a_broken_stream_is_closed_and_told() {
    let mut script = Script::registered();
    script.raw("SIP/2.0 200 OK\nContent-Length: 4\nContent-Length: 5\n\n");
    assert!(script.closed);
    assert!(matches!(script.take_events()[..], [Event::FlowDead { .. }]));
    script.raw("anything");
    assert!(script.sent.is_empty());
}

#[test]
fn responses_to_nothing_are_dropped_and_told() {
    let mut script = Script::registered();
    script.raw(
        "SIP/2.0 200 OK\nVia: SIP/2.0/TCP 127.0.0.1:40001;branch=z9hG4bKnone\nFrom: <sip:a@h>;tag=1\n\
         To: <sip:b@h>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\nContent-Length: 0\n\n",
    );
    assert!(script.sent.is_empty());
    assert!(matches!(script.take_events()[..], [Event::Unexpected { .. }]));
}

#[test]
fn a_request_of_rfc_2543_is_found_again_by_its_ack() {
    let mut script = Script::registered();
    let invite = "INVITE sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP old.example.com\nMax-Forwards: 70\n\
        From: <sip:old@h>;tag=o\nTo: <sip:alice@example.com>\nCall-ID: old\nCSeq: 3 INVITE\n\
        Contact: <sip:old@h>\nContent-Length: 0\n\n";
    script.raw(invite);
    script.next_status(100);
    let call = script.incoming_call();
    script.take_events();
    script.command(crate::ua::Command::Reject { call, status: 486 });
    let busy = script.next_status(486);
    let tag = busy.to().unwrap().tag().unwrap().to_owned();
    script.take_events();
    let ack = invite
        .replace("INVITE", "ACK")
        .replace("<sip:alice@example.com>", &format!("<sip:alice@example.com>;tag={tag}"));
    script.raw(&ack.replace("Contact: <sip:old@h>\n", ""));
    assert!(script.take_events().is_empty(), "the ACK found its INVITE");
}

#[test]
fn what_breaks_a_stream_is_told_why_before_it_is_closed() {
    let long = format!("X: {}\n", "y".repeat(9000));
    for (from, to, status) in [
        ("Content-Length: 0", "Content-Length: -1", 400),
        ("Content-Length: 0", "Content-Length: 0\nContent-Length: 0", 400),
        ("Content-Length: 0\n", "", 400),
        ("Content-Length: 0", "Content-Length: 300000", 413),
        ("Max-Forwards: 70\n", &*long, 513),
    ] {
        let mut script = Script::registered();
        script.raw(&request("OPTIONS", "").replace(from, to));
        let refused = script.next_status(status);
        assert_eq!(refused.call_id(), Ok("rOPTIONS"));
        assert!(refused.to().unwrap().tag().is_some() && refused.header(Name::Server).is_some());
        assert!(script.closed && script.sent.is_empty());
    }
    // an ACK is not answered, a head that says nothing cannot be, and neither can a response
    for text in [
        request("ACK", "").replace("Length: 0", "Length: x"),
        request("OPTIONS", "").replace("Length: 0", "Length: x").replace("Call-ID: rOPTIONS\n", ""),
        "SIP/2.0 200 OK\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\nl: x\n\n".to_owned(),
    ] {
        let mut script = Script::registered();
        script.raw(&text);
        assert!(script.closed && script.sent.is_empty());
    }
}

#[test]
fn a_new_offer_in_another_language_is_refused() {
    let mut script = Script::registered();
    let inside = request("UPDATE", "Content-Type: text/plain\n")
        .replace("<sip:alice@example.com>", "<sip:alice@example.com>;tag=zz")
        .replace("Content-Length: 0", "Content-Length: 3");
    script.raw(&inside);
    script.input(Input::Received { flow: FLOW, bytes: b"abc" });
    assert!(script.next_status(415).header(Name::Accept).is_some());
}
