//! A user with several devices: all ring, one has the call, or the best refusal goes back (RFC 3261 section 16.7).

use z5_mock::Carrier;

use crate::raw::{Raw, Request, header, offer, status, udp};
use crate::{ALICE, BOB, PCMU, invite, user, within};

/// What a request and what belongs to it share.
fn branch(message: &str) -> String {
    let via = header(message, "Via");
    via.split(';').find(|part| part.starts_with("branch=")).unwrap_or_default().to_owned()
}

/// Alice, and two devices of Bob's.
async fn parties(carrier: &Carrier) -> (Raw, Raw, Raw) {
    let alice = user(carrier, ALICE).await;
    let (mut desk, mut pocket) = (user(carrier, BOB).await, user(carrier, BOB).await);
    (desk.tag, pocket.tag) = ("t-desk".to_owned(), "t-pocket".to_owned());
    (alice, desk, pocket)
}

/// Calls Bob with credentials; the INVITE as it went out, and as each device got it.
async fn call(alice: &mut Raw, desk: &mut Raw, pocket: &mut Raw, body: &str) -> [String; 3] {
    let (uri, to) = (format!("sip:{BOB}@csdvrs.test"), format!("<sip:{BOB}@csdvrs.test>"));
    let request = invite(&uri, &to, body);
    alice.send(&request).await;
    let challenge = alice.receive().await;
    alice.ack_refusal(&request, &challenge).await;
    let extra = alice.credentials(&request, &challenge, "sip-15555550101");
    let sent = alice.send(&Request { cseq: 2, extra: &extra, ..request }).await;
    [sent, desk.receive().await, pocket.receive().await]
}

#[tokio::test]
async fn the_first_device_that_answers_has_the_call_and_the_other_is_told_that_it_was_taken() {
    let carrier = Carrier::builder().start().await.unwrap();
    let (mut alice, mut desk, mut pocket) = parties(&carrier).await;
    let media = udp().await;
    let description = offer(&[(&media, PCMU)]);
    let [_, at_desk, in_pocket] = call(&mut alice, &mut desk, &mut pocket, &description).await;
    assert_ne!(branch(&at_desk), branch(&in_pocket));
    for (device, invite) in [(&mut desk, &at_desk), (&mut pocket, &in_pocket)] {
        device.answer(invite, "180 Ringing", "").await;
        let ringing = alice.receive().await;
        assert!(status(&ringing) == 180 && header(&ringing, "To").ends_with(&device.tag), "{ringing}");
    }
    pocket.answer(&in_pocket, "200 OK", &description).await;
    let answer = alice.receive().await;
    assert!(status(&answer) == 200 && header(&answer, "To").ends_with("t-pocket"), "{answer}");
    let cancel = desk.receive().await;
    assert!(cancel.starts_with("CANCEL ") && branch(&cancel) == branch(&at_desk), "{cancel}");
    assert!(header(&cancel, "Reason").contains("elsewhere"), "{cancel}");
    desk.answer(&cancel, "200 OK", "").await;
    desk.answer(&at_desk, "487 Request Terminated", "").await;
    let ack = desk.receive().await;
    assert!(ack.starts_with("ACK ") && branch(&ack) == branch(&at_desk), "{ack}");
    // Nothing of that reaches Alice, whose requests go to the device that answered.
    let requests = [
        ("ACK", 2, None),
        ("INVITE", 3, Some("488 Not Acceptable Here")),
        ("ACK", 3, None),
        ("INVITE", 4, Some("200 OK")),
        ("ACK", 4, None),
        ("BYE", 5, Some("200 OK")),
    ];
    for (method, cseq, said) in requests {
        within(&mut alice, &answer, method, cseq).await;
        let request = pocket.receive().await;
        assert!(request.starts_with(method), "{request}");
        if let Some(said) = said {
            pocket.answer(&request, said, "").await;
            let came = alice.receive().await;
            assert!(came.contains(said) && header(&came, "CSeq") == format!("{cseq} {method}"), "{came}");
        }
    }
    carrier.shutdown().await;
}

#[tokio::test]
async fn two_devices_that_answer_at_once_both_get_through_and_can_be_told_apart() {
    let carrier = Carrier::builder().start().await.unwrap();
    let (mut alice, mut desk, mut pocket) = parties(&carrier).await;
    let media = udp().await;
    let description = offer(&[(&media, PCMU)]);
    let [_, at_desk, in_pocket] = call(&mut alice, &mut desk, &mut pocket, &description).await;
    desk.answer(&at_desk, "200 OK", &description).await;
    let first = alice.receive().await;
    assert!(pocket.receive().await.starts_with("CANCEL "));
    // It had been picked up before that came.
    pocket.answer(&in_pocket, "200 OK", &description).await;
    let second = alice.receive().await;
    assert!(header(&first, "To").ends_with("t-desk") && header(&second, "To").ends_with("t-pocket"));
    for (method, cseq) in [("ACK", 2), ("BYE", 3)] {
        within(&mut alice, &second, method, cseq).await;
        assert!(pocket.receive().await.starts_with(method));
    }
    // The first one's call stands.
    for (method, cseq) in [("ACK", 2), ("INFO", 3), ("BYE", 4)] {
        within(&mut alice, &first, method, cseq).await;
        assert!(desk.receive().await.starts_with(method));
    }
    carrier.shutdown().await;
}

#[tokio::test]
async fn refusals_wait_for_each_other_and_the_best_goes_back() {
    for (first, second, best, waits) in [
        ("486 Busy Here", "480 Away", 480, true),
        ("603 Decline", "", 603, false),
        ("404 No", "302 There", 302, true),
    ] {
        let carrier = Carrier::builder().start().await.unwrap();
        let (mut alice, mut desk, mut pocket) = parties(&carrier).await;
        let [_, at_desk, in_pocket] = call(&mut alice, &mut desk, &mut pocket, "").await;
        desk.answer(&at_desk, first, "").await;
        assert!(desk.receive().await.starts_with("ACK "));
        if waits {
            pocket.answer(&in_pocket, second, "").await;
            assert!(pocket.receive().await.starts_with("ACK "));
        } else {
            // For all: the other one need not ring any more.
            assert!(pocket.receive().await.starts_with("CANCEL "));
        }
        assert_eq!(status(&alice.receive().await), best);
        carrier.shutdown().await;
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_stops_every_device() {
    let carrier = Carrier::builder().start().await.unwrap();
    let (mut alice, mut desk, mut pocket) = parties(&carrier).await;
    let [sent, at_desk, in_pocket] = call(&mut alice, &mut desk, &mut pocket, "").await;
    let lines = sent.lines().filter(|line| {
        ["Via:", "Max-Forwards:", "From:", "To:", "Call-ID:"].iter().any(|name| line.starts_with(name))
    });
    let head: String = lines.map(|line| format!("{line}\r\n")).collect();
    let uri = format!("sip:{BOB}@csdvrs.test");
    alice.write(&format!("CANCEL {uri} SIP/2.0\r\n{head}CSeq: 2 CANCEL\r\nContent-Length: 0\r\n\r\n")).await;
    let answer = alice.receive().await;
    assert!(status(&answer) == 200 && header(&answer, "CSeq") == "2 CANCEL", "{answer}");
    for (device, invite) in [(&mut desk, &at_desk), (&mut pocket, &in_pocket)] {
        let cancel = device.receive().await;
        assert!(cancel.starts_with("CANCEL ") && header(&cancel, "Reason").is_empty(), "{cancel}");
        device.answer(&cancel, "200 OK", "").await;
        device.answer(invite, "487 Request Terminated", "").await;
        assert!(device.receive().await.starts_with("ACK "));
    }
    let refusal = alice.receive().await;
    assert!(status(&refusal) == 487 && header(&refusal, "CSeq") == "2 INVITE", "{refusal}");
    carrier.shutdown().await;
}
