//! REFER (RFC 3515) with far ends on either side of it, and a call that takes the place of another one (RFC 3891).

use z5_mock::{Carrier, Script, ScriptStep};

use crate::raw::{Raw, Request, body, datagram, header, in_time, media_port, offer, status, udp};
use crate::{ALICE, BOB, PCMU, establish, rtp, user, within};

/// Sends a request within the dialog of `answer`, with these headers.
async fn within_with(raw: &mut Raw, answer: &str, method: &str, cseq: u32, more: &str, content: &str) {
    let target = header(answer, "Contact").trim_matches(['<', '>']).to_owned();
    let (to, call_id) = (header(answer, "To"), header(answer, "Call-ID"));
    let extra = format!("Route: {}\r\n{more}", header(answer, "Record-Route"));
    let request =
        Request { method, uri: &target, to: &to, call_id: &call_id, cseq, extra: &extra, body: content };
    raw.send(&request).await;
}

/// What comes next is a NOTIFY; it is answered. Its body, and how the subscription stands.
async fn notified(raw: &mut Raw) -> (String, String) {
    let notify = raw.receive().await;
    assert!(notify.starts_with("NOTIFY ") && header(&notify, "Event") == "refer;id=3", "{notify}");
    assert!(header(&notify, "Content-Type").starts_with("message/sipfrag"), "{notify}");
    raw.answer(&notify, "200 OK", "").await;
    (body(&notify).trim_end().to_owned(), header(&notify, "Subscription-State"))
}

/// Asks the far end of the call to call somebody; what it says to that.
async fn refer(raw: &mut Raw, answer: &str, more: &str) -> String {
    within_with(raw, answer, "REFER", 3, more, "").await;
    raw.receive().await
}

#[tokio::test]
async fn a_far_end_hands_its_call_over_and_hangs_up_when_the_new_one_stands() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    let answer = establish(&mut alice, "transfer", &offer(&[(&media, PCMU)])).await;
    let asked = alice.receive().await;
    assert!(asked.starts_with("REFER ") && header(&asked, "To").contains(";tag="), "{asked}");
    assert_eq!(header(&asked, "Refer-To"), "<sip:+15555550900@csdvrs.test;user=phone>");
    assert!(header(&asked, "Referred-By").contains("transfer@csdvrs.test"), "{asked}");
    alice.answer(&asked, "202 Accepted", "").await;
    for (number, (fragment, state)) in (3..).zip([
        ("SIP/2.0 100 Trying", "active;expires=60"),
        ("SIP/2.0 200 OK", "terminated;reason=noresource"),
    ]) {
        let more = format!("Event: refer\r\nSubscription-State: {state}\r\n");
        within_with(&mut alice, &answer, "NOTIFY", number, &more, fragment).await;
        assert_eq!(status(&alice.receive().await), 200, "{fragment}");
    }
    let bye = alice.receive().await;
    assert!(bye.starts_with("BYE "), "{bye}");
    alice.answer(&bye, "200 OK", "").await;
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_transfer_that_is_refused_or_fails_leaves_the_call_as_it_was() {
    let steps = vec![ScriptStep::Answer, ScriptStep::Transfer("+15555550102".to_owned())];
    let script = Script::new("+15555550950", steps).unwrap();
    let carrier = Carrier::builder().far_end(script).start().await.unwrap();
    for refused in [true, false] {
        let mut alice = user(&carrier, ALICE).await;
        let media = udp().await;
        let answer = establish(&mut alice, "+15555550950", &offer(&[(&media, PCMU)])).await;
        let asked = alice.receive().await;
        assert_eq!(header(&asked, "Refer-To"), "<sip:+15555550102@csdvrs.test;user=phone>");
        let event = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n";
        alice.answer(&asked, if refused { "603 Decline" } else { "202 Accepted" }, "").await;
        if refused {
            // Nobody listens any more.
            within_with(&mut alice, &answer, "NOTIFY", 3, event, "SIP/2.0 200 OK").await;
            assert_eq!(status(&alice.receive().await), 481);
        } else {
            within_with(&mut alice, &answer, "NOTIFY", 3, "Event: presence\r\n", "SIP/2.0 200 OK").await;
            assert_eq!(status(&alice.receive().await), 489);
            within_with(&mut alice, &answer, "NOTIFY", 4, event, "SIP/2.0 486 Busy Here").await;
            assert_eq!(status(&alice.receive().await), 200);
        }
        media.send_to(&rtp(0, 1, &[0x55; 160]), ("127.0.0.1", media_port(body(&answer), 0))).await.unwrap();
        datagram(&media).await;
        within(&mut alice, &answer, "BYE", 5).await;
        assert_eq!(status(&alice.receive().await), 200);
    }
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_far_end_that_is_asked_to_calls_somebody_and_tells_how_that_goes() {
    let carrier = Carrier::builder().start().await.unwrap();
    let (mut alice, mut bob) = (user(&carrier, ALICE).await, user(&carrier, BOB).await);
    let (at_alice, at_bob) = (udp().await, udp().await);
    let answer = establish(&mut alice, "echo", &offer(&[(&at_alice, PCMU)])).await;
    let more = format!("Refer-To: <sip:{BOB}@csdvrs.test>\r\nReferred-By: <sip:{ALICE}@csdvrs.test>\r\n");
    let accepted = refer(&mut alice, &answer, &more).await;
    assert_eq!(status(&accepted), 202, "{accepted}");
    assert_eq!(notified(&mut alice).await, ("SIP/2.0 100 Trying".into(), "active;expires=180".into()));
    let invite = bob.receive().await;
    assert!(invite.starts_with("INVITE ") && header(&invite, "From").contains("echo"), "{invite}");
    assert_eq!(header(&invite, "Referred-By"), format!("<sip:{ALICE}@csdvrs.test>"));
    bob.answer(&invite, "180 Ringing", "").await;
    assert_eq!(notified(&mut alice).await.0, "SIP/2.0 180 Ringing");
    let described = offer(&[(&at_bob, PCMU)]);
    bob.answer(&invite, "200 OK", &described).await;
    assert!(bob.receive().await.starts_with("ACK "));
    assert_eq!(notified(&mut alice).await, ("SIP/2.0 200 OK".into(), "terminated;reason=noresource".into()));
    // The answer again: its ACK was lost.
    bob.answer(&invite, "200 OK", &described).await;
    assert!(bob.receive().await.starts_with("ACK "));
    within(&mut alice, &answer, "BYE", 4).await;
    assert_eq!(status(&alice.receive().await), 200);
    // The far end is an echo to whom it called too.
    let relay = ("127.0.0.1", media_port(body(&invite), 0));
    let heard = async {
        // What comes before it has learned where to is lost.
        at_bob.send_to(&rtp(0, 1, &[0x55; 160]), relay).await.unwrap();
        datagram(&at_bob).await
    };
    assert_eq!(in_time("an echo", heard).await.0[12..], [0x55; 160]);
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_far_end_refuses_what_it_cannot_follow_and_says_what_it_takes() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    let answer = establish(&mut alice, "echo", &offer(&[(&media, PCMU)])).await;
    for (more, code) in [
        ("", 400),
        ("Refer-To: <sip:a@csdvrs.test>\r\nRefer-To: <sip:b@csdvrs.test>\r\n", 400),
        ("Refer-To: <https://csdvrs.test/>\r\n", 416),
    ] {
        let refused = refer(&mut alice, &answer, more).await;
        assert_eq!(status(&refused), code, "{more}: {refused}");
    }
    // Without a subscription (RFC 4488) nobody is told that bob is not there.
    let unheard = format!("Refer-To: <sip:{BOB}@csdvrs.test>\r\nRefer-Sub: false\r\n");
    let accepted = refer(&mut alice, &answer, &unheard).await;
    assert_eq!((status(&accepted), header(&accepted, "Refer-Sub").as_str()), (202, "false"), "{accepted}");
    let absent = refer(&mut alice, &answer, &format!("Refer-To: <sip:{BOB}@csdvrs.test>\r\n")).await;
    assert_eq!(status(&absent), 202, "{absent}");
    assert_eq!(notified(&mut alice).await.0, "SIP/2.0 100 Trying");
    assert!(notified(&mut alice).await.0.starts_with("SIP/2.0 480 "));
    within(&mut alice, &answer, "PUBLISH", 9).await;
    let refused = alice.receive().await;
    assert_eq!(status(&refused), 405, "{refused}");
    assert!(header(&refused, "Allow").contains("REFER"), "{refused}");
    within(&mut alice, &answer, "BYE", 10).await;
    assert_eq!(status(&alice.receive().await), 200);
    let help = establish(&mut alice, "911", &offer(&[(&media, PCMU)])).await;
    let refused = refer(&mut alice, &help, &format!("Refer-To: <sip:{BOB}@csdvrs.test>\r\n")).await;
    assert_eq!(status(&refused), 603, "nobody is sent away from emergency services");
    carrier.shutdown().await;
}

#[tokio::test]
async fn two_far_ends_are_joined_and_the_second_call_is_over() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let (media, other) = (udp().await, udp().await);
    let first = establish(&mut alice, "echo", &offer(&[(&media, PCMU)])).await;
    // A second call, with a Call-ID of its own.
    let (uri, description) = ("sip:silent@csdvrs.test", offer(&[(&other, PCMU)]));
    let invite = Request {
        method: "INVITE",
        uri,
        to: "<sip:silent@csdvrs.test>",
        call_id: "call-2",
        cseq: 1,
        extra: "",
        body: &description,
    };
    let second = alice.request(&invite, "sip-15555550101").await;
    assert_eq!(status(&second), 200, "{second}");
    within(&mut alice, &second, "ACK", 2).await;
    let tag = header(&second, "To").split(";tag=").nth(1).unwrap().to_owned();
    let target = header(&second, "Contact").trim_matches(['<', '>']).to_owned();
    let replaces =
        |to: &str| format!("Refer-To: <{target}?Replaces=call-2%3Bto-tag%3D{to}%3Bfrom-tag%3Dt-{ALICE}>\r\n");
    let wrong = refer(&mut alice, &first, &replaces("nobody")).await;
    assert_eq!(status(&wrong), 202);
    assert_eq!(notified(&mut alice).await.0, "SIP/2.0 100 Trying");
    assert!(notified(&mut alice).await.0.starts_with("SIP/2.0 481 "), "a call that there is not");
    let right = refer(&mut alice, &first, &replaces(&tag)).await;
    assert_eq!(status(&right), 202, "{right}");
    let (mut fragments, mut over) = (Vec::new(), false);
    while fragments.len() < 2 || !over {
        let message = alice.receive().await;
        alice.answer(&message, "200 OK", "").await;
        match message.split(' ').next().unwrap() {
            "NOTIFY" => fragments.push(body(&message).trim_end().to_owned()),
            "BYE" => over = header(&message, "Call-ID") == "call-2",
            _ => panic!("{message}"),
        }
    }
    assert_eq!(fragments, ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]);
    carrier.shutdown().await;
}
