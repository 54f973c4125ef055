//! The registrar, the proxy, the relay and the far ends, used by a hand-written client over plain sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod forking;
mod impaired;
mod lossy;
mod mail;
mod raw;
mod simulated;
mod transfers;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use raw::{Raw, Request, body, datagram, header, media_port, offer, status, udp, until};
use z5_media::srtp::{SrtpParams, SrtpSuite};
use z5_mock::{Carrier, FarEnd, Fault, When};

const ALICE: &str = "15555550101";
const BOB: &str = "15555550102";
const PCMU: &str = "RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
const SAID: &str = "Welcome to z5.";
const TEXT: &str =
    "RTP/AVP 100 98\r\na=rtpmap:100 red/1000\r\na=rtpmap:98 t140/1000\r\na=fmtp:100 98/98/98\r\n";

async fn user(carrier: &Carrier, name: &str) -> Raw {
    let mut raw = Raw::connect(carrier.sip_addr(), name).await;
    let registered = raw.register(&format!("sip-{name}"), "Expires: 300\r\n").await;
    assert_eq!(status(&registered), 200, "{registered}");
    raw
}

fn invite<'a>(uri: &'a str, to: &'a str, body: &'a str) -> Request<'a> {
    Request { method: "INVITE", uri, to, call_id: "call-1", cseq: 1, extra: "", body }
}

/// Sends a request within the dialog that `answer` made.
async fn within(raw: &mut Raw, answer: &str, method: &str, cseq: u32) {
    let contact = header(answer, "Contact");
    let target = contact.trim_matches(['<', '>']).to_owned();
    let to = header(answer, "To");
    let extra = format!("Route: {}\r\n", header(answer, "Record-Route"));
    let call_id = header(answer, "Call-ID");
    raw.send(&Request { method, uri: &target, to: &to, call_id: &call_id, cseq, extra: &extra, body: "" })
        .await;
}

async fn establish(raw: &mut Raw, number: &str, description: &str) -> String {
    let uri = format!("sip:{number}@csdvrs.test;user=phone");
    let to = format!("<{uri}>");
    let mut answer = raw.request(&invite(&uri, &to, description), &format!("sip-{}", raw.user)).await;
    while status(&answer) < 200 {
        answer = raw.receive().await;
    }
    assert_eq!(status(&answer), 200, "{answer}");
    within(raw, &answer, "ACK", 2).await;
    answer
}

fn rtp(payload_type: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&0x1122_3344_u32.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

#[tokio::test]
async fn registration_is_challenged_granted_renewed_and_ended() {
    let carrier = Carrier::builder().granted_expires(Duration::from_secs(120)).start().await.unwrap();
    let mut alice = Raw::connect(carrier.sip_addr(), ALICE).await;
    let granted = alice.register("sip-15555550101", "Expires: 3600\r\n").await;
    assert_eq!(status(&granted), 200);
    let contact = header(&granted, "Contact");
    assert!(contact.ends_with(";expires=120") || contact.ends_with(";expires=119"), "{contact}");
    let short = alice.register("sip-15555550101", "Expires: 5\r\n").await;
    assert_eq!((status(&short), header(&short, "Min-Expires").as_str()), (423, "60"));
    assert_eq!(status(&alice.register("wrong", "").await), 401);
    let gone = alice.register("sip-15555550101", "Expires: 0\r\n").await;
    assert_eq!((status(&gone), header(&gone, "Contact").as_str()), (200, ""));
    assert!(!carrier.recorder().to_text().contains("response=\"0"), "digest responses are redacted");
    carrier.shutdown().await;
}

#[tokio::test]
async fn nobody_registers_for_somebody_else() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = Raw::connect(carrier.sip_addr(), ALICE).await;
    let to = format!("<sip:{BOB}@csdvrs.test>");
    let request = Request {
        method: "REGISTER",
        uri: "sip:csdvrs.test",
        to: &to,
        call_id: "r",
        cseq: 1,
        extra: "",
        body: "",
    };
    assert_eq!(status(&alice.request(&request, "sip-15555550101").await), 403);
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_ping_has_a_pong_and_nonsense_ends_the_connection() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut raw = Raw::connect(carrier.sip_addr(), ALICE).await;
    raw.write("\r\n\r\n").await;
    assert_eq!(raw.bytes(2).await, b"\r\n");
    raw.write("this is no SIP\r\nContent-Length: x\r\n\r\n").await;
    assert!(raw.is_closed().await);
    carrier.shutdown().await;
}

#[tokio::test]
async fn registration_faults_have_their_answers() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = Raw::connect(carrier.sip_addr(), ALICE).await;
    for (fault, code) in [(Fault::RegisterForbidden, 403), (Fault::RegisterStatus(503), 503)] {
        carrier.faults().arm(fault);
        assert_eq!(status(&alice.register("sip-15555550101", "").await), code, "{fault}");
        carrier.faults().disarm(fault);
    }
    carrier.faults().arm_when(Fault::StaleNonce(z5_mock::Service::Sip), When::first(1));
    let stale = alice.register("sip-15555550101", "").await;
    assert!(status(&stale) == 401 && header(&stale, "WWW-Authenticate").contains("stale=true"), "{stale}");
    carrier.faults().arm(Fault::DropAfterRegister);
    let to = format!("<sip:{ALICE}@csdvrs.test>");
    alice
        .send(&Request {
            method: "REGISTER",
            uri: "sip:csdvrs.test",
            to: &to,
            call_id: "d",
            cseq: 1,
            extra: "",
            body: "",
        })
        .await;
    assert!(alice.is_closed().await);
    carrier.shutdown().await;
}

#[tokio::test]
async fn refusals_of_far_ends_and_of_the_proxy() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    let description = offer(&[(&media, PCMU)]);
    let cases = [
        ("+15555550901", 486),
        ("busy", 486),
        ("+15555550902", 603),
        ("+15555550904", 404),
        ("+15555550905", 480),
        ("+15555550909", 302),
        ("+15555550914", 488),
        ("+15555550199", 404),
        (BOB, 480),
    ];
    for (index, (number, code)) in cases.into_iter().enumerate() {
        let (uri, call_id) = (format!("sip:{number}@csdvrs.test"), format!("refused-{index}"));
        let to = format!("<{uri}>");
        let request = Request { call_id: &call_id, ..invite(&uri, &to, &description) };
        let answer = alice.request(&request, "sip-15555550101").await;
        assert_eq!(status(&answer), code, "{number}: {answer}");
        assert!(header(&answer, "Via").starts_with(&format!("SIP/2.0/TCP {}", alice.local)), "{answer}");
    }
    carrier.shutdown().await;
}

#[tokio::test]
async fn no_answer_rings_until_it_is_cancelled() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    let uri = format!("sip:{}@csdvrs.test", FarEnd::NoAnswer.number());
    let to = format!("<{uri}>");
    let ringing = alice.request(&invite(&uri, &to, &offer(&[(&media, PCMU)])), "sip-15555550101").await;
    assert_eq!(status(&ringing), 180);
    let cancel = format!(
        "CANCEL {uri} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: call-1\r\nCSeq: 2 CANCEL\r\nContent-Length: 0\r\n\r\n",
        header(&ringing, "Via"),
        header(&ringing, "From")
    );
    alice.write(&cancel).await;
    let (first, second) = (alice.receive().await, alice.receive().await);
    assert_eq!((status(&first), header(&first, "CSeq").as_str()), (200, "2 CANCEL"));
    assert_eq!((status(&second), header(&second, "CSeq").as_str()), (487, "2 INVITE"));
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_cancel_goes_where_its_invite_went() {
    let carrier = Carrier::builder().start().await.unwrap();
    let (mut alice, mut bob) = (user(&carrier, ALICE).await, user(&carrier, BOB).await);
    let media = udp().await;
    let uri = "sip:+15555550102@csdvrs.test;user=phone";
    let to = format!("<{uri}>");
    let sent = offer(&[(&media, PCMU)]);
    let ringing = async {
        let request = invite(uri, &to, &sent);
        alice.send(&request).await;
        let challenge = alice.receive().await;
        let credentials = alice.credentials(&request, &challenge, "sip-15555550101");
        alice.send(&Request { cseq: 2, extra: &credentials, ..request.clone() }).await;
        let received = bob.receive().await;
        bob.answer(&received, "180 Ringing", "").await;
        (received, alice.receive().await)
    };
    let (received, ringing) = ringing.await;
    let cancel = format!(
        "CANCEL {uri} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: call-1\r\nCSeq: 2 CANCEL\r\nContent-Length: 0\r\n\r\n",
        header(&ringing, "Via"),
        header(&ringing, "From")
    );
    alice.write(&cancel).await;
    let forwarded = bob.receive().await;
    let target = |message: &str| message.split(' ').nth(1).unwrap_or_default().to_owned();
    assert!(forwarded.starts_with("CANCEL "), "{forwarded}");
    assert_eq!(target(&forwarded), target(&received), "RFC 3261 section 9.1");
    assert_eq!(header(&forwarded, "Via").split(',').next(), header(&received, "Via").split(',').next());
    carrier.shutdown().await;
}

#[tokio::test]
async fn the_echo_sends_audio_and_text_back_through_the_relay() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let (audio, text) = (udp().await, udp().await);
    let answer = establish(&mut alice, "+15555550900", &offer(&[(&audio, PCMU), (&text, TEXT)])).await;
    let description = body(&answer);
    assert!(
        description.contains("RTP/AVP 0 101\r\n") && description.contains("RTP/AVP 100 98\r\n"),
        "{description}"
    );
    for (index, (socket, payload_type)) in [(&audio, 0), (&text, 100)].into_iter().enumerate() {
        let relay = std::net::SocketAddr::from(([127, 0, 0, 1], media_port(description, index)));
        for sequence in [7, 8, 10] {
            let packet = rtp(payload_type, sequence, b"\x62HELLO");
            socket.send_to(&packet, relay).await.unwrap();
            let (back, from) = datagram(socket).await;
            assert_eq!(from, relay, "media comes from where it is sent to");
            assert_eq!((&back[..8], &back[12..]), (&packet[..8], &packet[12..]));
            assert_ne!(back[8..12], packet[8..12], "the echo has its own SSRC");
        }
    }
    within(&mut alice, &answer, "BYE", 3).await;
    assert_eq!(status(&alice.receive().await), 200);
    let stats = carrier.relay_stats();
    assert_eq!(stats.len(), 2);
    assert!(
        stats.iter().all(|line| line.from_caller.rtp_packets == 3 && line.from_callee.forwarded == 3),
        "{stats:?}"
    );
    carrier.shutdown().await;
}

#[tokio::test]
async fn the_echo_answers_sender_reports_and_encrypts_with_its_own_key() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let audio = udp().await;
    let rtcp_port = audio.local_addr().unwrap().port();
    let local = [7_u8; 30];
    let crypto = format!(
        "RTP/SAVP 0\r\na=rtcp:{rtcp_port}\r\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{}\r\n",
        STANDARD.encode(local)
    );
    let answer = establish(&mut alice, "+15555550900", &offer(&[(&audio, &crypto)])).await;
    let line = body(&answer).lines().find(|line| line.starts_with("a=crypto:3 ")).unwrap().to_owned();
    let remote = STANDARD.decode(line.split("inline:").nth(1).unwrap()).unwrap();
    let params = SrtpParams::new(SrtpSuite::AesCm128HmacSha1_80, &local, &remote).unwrap();
    let (mut sender, mut receiver) = params.contexts().unwrap();
    let relay = std::net::SocketAddr::from(([127, 0, 0, 1], media_port(body(&answer), 0)));
    let plain = rtp(0, 1, &[0x55; 160]);
    let mut packet = plain.clone();
    packet.resize(plain.len() + 32, 0);
    let length = sender.protect_rtp(&mut packet, plain.len()).unwrap();
    audio.send_to(&packet[..length], relay).await.unwrap();
    let (mut back, _) = datagram(&audio).await;
    assert_ne!(back[12..172], plain[12..], "it is encrypted");
    let length = receiver.unprotect_rtp(&mut back).unwrap();
    assert_eq!(back[12..length], plain[12..]);
    let mut report = vec![0x80, 200, 0, 6, 0x11, 0x22, 0x33, 0x44, 0, 0, 0xab, 0xcd, 0xef, 0x01, 0, 0];
    report.resize(28, 0);
    report.resize(28 + 32, 0);
    let length = sender.protect_rtcp(&mut report, 28).unwrap();
    audio.send_to(&report[..length], (relay.ip(), relay.port() + 1)).await.unwrap();
    let (mut back, _) = datagram(&audio).await;
    let length = receiver.unprotect_rtcp(&mut back).unwrap();
    assert!(length > 32 && back[1] == 201 && back[24..28] == [0xab, 0xcd, 0xef, 0x01], "LSR is ours");
    carrier.shutdown().await;
}

#[tokio::test]
async fn two_users_call_each_other_through_the_relay() {
    let carrier = Carrier::builder().start().await.unwrap();
    let (mut alice, mut bob) = (user(&carrier, ALICE).await, user(&carrier, BOB).await);
    let (here, there) = (udp().await, udp().await);
    let uri = "sip:+15555550102@csdvrs.test;user=phone";
    let sent = offer(&[(&here, PCMU)]);
    let to = format!("<{uri}>");
    let request = invite(uri, &to, &sent);
    alice.send(&request).await;
    let challenge = alice.receive().await;
    assert_eq!(status(&challenge), 407);
    let credentials = alice.credentials(&request, &challenge, "sip-15555550101");
    alice.send(&Request { cseq: 2, extra: &credentials, ..request.clone() }).await;
    let received = bob.receive().await;
    assert!(
        received.starts_with(&format!("INVITE sip:{BOB}@{};transport=tcp SIP/2.0\r\n", bob.local)),
        "{received}"
    );
    assert_eq!(header(&received, "Max-Forwards"), "69");
    assert_eq!(header(&received, "Proxy-Authorization"), "", "credentials stop at the proxy");
    assert_eq!(header(&received, "Record-Route"), format!("<sip:{};transport=tcp;lr>", carrier.sip_addr()));
    let old_port = here.local_addr().unwrap().port().to_string();
    let new_port = media_port(body(&received), 0).to_string();
    assert_eq!(body(&received), sent.replace(&old_port, &new_port), "nothing else changes");
    bob.answer(&received, "180 Ringing", "").await;
    assert_eq!(status(&alice.receive().await), 180);
    bob.answer(&received, "200 OK", &offer(&[(&there, PCMU)])).await;
    let answer = alice.receive().await;
    within(&mut alice, &answer, "ACK", 2).await;
    assert!(bob.receive().await.starts_with("ACK "));
    let relay_here = std::net::SocketAddr::from(([127, 0, 0, 1], media_port(body(&answer), 0)));
    let relay_there = std::net::SocketAddr::from(([127, 0, 0, 1], media_port(body(&received), 0)));
    here.send_to(b"from alice", relay_here).await.unwrap();
    assert_eq!(datagram(&there).await, (b"from alice".to_vec(), relay_there));
    there.send_to(b"from bob", relay_there).await.unwrap();
    assert_eq!(datagram(&here).await, (b"from bob".to_vec(), relay_here));
    let stranger = udp().await;
    stranger.send_to(b"spoofed", relay_here).await.unwrap();
    here.send_to(b"again", relay_here).await.unwrap();
    assert_eq!(datagram(&there).await.0, b"again", "only the learned source is relayed");
    assert_eq!(carrier.relay_stats()[0].from_caller.foreign, 1);
    let as_bob =
        answer.replace(&header(&answer, "Contact"), &format!("<sip:{ALICE}@{};transport=tcp>", alice.local));
    let (from, to) = (header(&answer, "From"), header(&answer, "To"));
    let bye = format!(
        "BYE sip:{ALICE}@{} SIP/2.0\r\nVia: SIP/2.0/TCP {};branch=z9hG4bKbye\r\nMax-Forwards: 70\r\nRoute: {}\r\nFrom: {to}\r\nTo: {from}\r\nCall-ID: call-1\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        alice.local,
        bob.local,
        header(&as_bob, "Record-Route")
    );
    bob.write(&bye).await;
    let bye = alice.receive().await;
    assert!(bye.starts_with("BYE ") && header(&bye, "Route").is_empty(), "{bye}");
    alice.answer(&bye, "200 OK", "").await;
    assert_eq!(status(&bob.receive().await), 200);
    carrier.shutdown().await;
}

#[tokio::test]
async fn the_announcement_has_a_tone_and_a_text_and_hangs_up() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let (audio, text) = (udp().await, udp().await);
    let answer = establish(&mut alice, "announcement", &offer(&[(&audio, PCMU), (&text, TEXT)])).await;
    let mut said = String::new();
    for (index, socket) in [&audio, &text].into_iter().enumerate() {
        socket
            .send_to(&rtp(0, 1, &[0xff; 160]), ("127.0.0.1", media_port(body(&answer), index)))
            .await
            .unwrap();
    }
    let (tone, _) = datagram(&audio).await;
    assert_eq!((tone.len(), tone[1]), (172, 0x80), "20 ms of PCMU, the first one marked");
    while said.len() < SAID.len() {
        let (packet, _) = datagram(&text).await;
        let payload = &packet[12..];
        let headers = payload.iter().step_by(4).position(|first| first & 0x80 == 0).unwrap();
        let redundant: usize = (0..headers).map(|at| usize::from(payload[at * 4 + 3])).sum();
        said.push_str(std::str::from_utf8(&payload[headers * 4 + 1 + redundant..]).unwrap());
    }
    assert_eq!(said, SAID);
    let bye = alice.receive().await;
    assert!(bye.starts_with(&format!("BYE sip:{ALICE}@{}", alice.local)), "{bye}");
    assert!(header(&bye, "From").contains("announcement"));
    alice.answer(&bye, "200 OK", "").await;
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_lost_connection_takes_its_binding_along_and_a_call_survives_a_new_one() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    let answer = establish(&mut alice, "echo", &offer(&[(&media, PCMU)])).await;
    drop(alice);
    let mut again = user(&carrier, ALICE).await;
    within(&mut again, &answer, "BYE", 9).await;
    assert_eq!(status(&again.receive().await), 200);
    carrier.shutdown().await;
}

#[tokio::test]
async fn an_emergency_call_is_answered_by_number_and_by_service_name() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    for (call_id, uri) in [("e1", "sip:911@csdvrs.test;user=dialstring"), ("e2", "urn:service:sos")] {
        let to = format!("<{uri}>");
        let description = offer(&[(&media, PCMU)]);
        let request = Request { call_id, ..invite(uri, &to, &description) };
        let answer = alice.request(&request, "sip-15555550101").await;
        assert_eq!(status(&answer), 200, "{answer}");
    }
    carrier.shutdown().await;
}

#[tokio::test]
async fn the_one_that_hangs_up_can_do_it_twice() {
    let carrier = Carrier::builder().fault(Fault::DuplicateBye).start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    establish(&mut alice, "hangup", &offer(&[(&media, PCMU)])).await;
    let (first, second) = (alice.receive().await, alice.receive().await);
    assert!(first.starts_with("BYE ") && second.starts_with("BYE "));
    assert_eq!(header(&first, "CSeq"), header(&second, "CSeq"));
    carrier.shutdown().await;
}

#[tokio::test]
async fn sip_cut_in_the_middle_of_an_answer() {
    let carrier = Carrier::builder().fault(Fault::Cut(z5_mock::Service::Sip)).start().await.unwrap();
    let mut alice = Raw::connect(carrier.sip_addr(), ALICE).await;
    let to = format!("<sip:{ALICE}@csdvrs.test>");
    alice
        .send(&Request {
            method: "REGISTER",
            uri: "sip:csdvrs.test",
            to: &to,
            call_id: "c",
            cseq: 1,
            extra: "",
            body: "",
        })
        .await;
    assert!(alice.bytes(60).await.starts_with(b"SIP/2.0 401 "));
    assert!(alice.is_closed().await);
    carrier.shutdown().await;
}

/// Sends packets to the echo one by one and returns what came back for each: as many as `expected` says.
async fn echoes(carrier: &Carrier, expected: &[usize]) -> Vec<Vec<(Vec<u8>, std::net::SocketAddr)>> {
    let mut alice = user(carrier, ALICE).await;
    let media = udp().await;
    let answer = establish(&mut alice, "echo", &offer(&[(&media, PCMU)])).await;
    let relay = ("127.0.0.1", media_port(body(&answer), 0));
    let mut all = Vec::new();
    for (sequence, expected) in expected.iter().enumerate() {
        media.send_to(&rtp(0, sequence as u16, &[0x55; 160]), relay).await.unwrap();
        let mut back = Vec::new();
        for _ in 0..*expected {
            back.push(datagram(&media).await);
        }
        all.push(back);
    }
    all
}

#[tokio::test]
async fn forged_and_replayed_packets_reach_the_caller() {
    let carrier =
        Carrier::builder().fault(Fault::SpoofedMedia).fault(Fault::ReplayedMedia).start().await.unwrap();
    let back = echoes(&carrier, &[2, 2, 2, 2, 2, 2, 2, 2, 2, 3]).await;
    let (forged, real) = (&back[0][0], &back[0][1]);
    assert!(forged.1 != real.1 && forged.0[8..12] != real.0[8..12] && forged.0[..8] == real.0[..8]);
    assert!(back[9].iter().any(|packet| packet == real), "the first one again");
    carrier.shutdown().await;
}

#[tokio::test]
async fn the_relay_moves_its_port() {
    let carrier = Carrier::builder().fault(Fault::RelayMoves).start().await.unwrap();
    let back = echoes(&carrier, &[1; 52]).await;
    assert_eq!(back[0][0].1, back[49][0].1);
    assert_ne!(back[0][0].1, back[51][0].1);
    carrier.shutdown().await;
}

#[tokio::test]
async fn impaired_media_is_late_and_doubled() {
    let impairment = z5_mock::Impairment {
        delay: Duration::from_millis(20),
        duplicate: 1.0,
        ..z5_mock::Impairment::default()
    };
    let carrier = Carrier::builder().impairment(impairment).start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    let answer = establish(&mut alice, "echo", &offer(&[(&media, PCMU)])).await;
    let sent = tokio::time::Instant::now();
    media.send_to(&rtp(0, 1, &[0x55; 160]), ("127.0.0.1", media_port(body(&answer), 0))).await.unwrap();
    for _ in 0..4 {
        datagram(&media).await;
        assert!(sent.elapsed() >= Duration::from_millis(40), "20 ms each way");
    }
    let stats = &carrier.relay_stats()[0];
    assert_eq!((stats.from_caller.rtp_packets, stats.from_caller.forwarded), (1, 2));
    assert_eq!((stats.from_callee.rtp_packets, stats.from_callee.forwarded), (2, 4));
    carrier.shutdown().await;
}

#[tokio::test]
async fn media_can_be_lost_one_way_or_both() {
    for (fault, to_callee) in [(Fault::OneWayMedia, 1), (Fault::NoMedia, 0)] {
        let carrier = Carrier::builder().fault(fault).start().await.unwrap();
        let mut alice = user(&carrier, ALICE).await;
        let media = udp().await;
        let answer = establish(&mut alice, "echo", &offer(&[(&media, PCMU)])).await;
        media.send_to(&rtp(0, 1, &[0x55; 160]), ("127.0.0.1", media_port(body(&answer), 0))).await.unwrap();
        until("a packet that the relay loses", || {
            let stats = &carrier.relay_stats()[0];
            stats.from_caller.lost + stats.from_callee.lost > 0
        })
        .await;
        let stats = &carrier.relay_stats()[0];
        assert_eq!((stats.from_caller.forwarded, stats.from_callee.forwarded), (to_callee, 0), "{fault}");
        carrier.shutdown().await;
    }
}

#[tokio::test]
async fn a_far_end_holds_and_resumes() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    let answer = establish(&mut alice, "hold", &offer(&[(&media, PCMU)])).await;
    let relay = ("127.0.0.1", media_port(body(&answer), 0));
    media.send_to(&rtp(0, 1, &[0x55; 160]), relay).await.unwrap();
    datagram(&media).await;
    for (version, direction, echo) in [(2, "sendonly", false), (3, "sendrecv", true)] {
        let reinvite = alice.receive().await;
        assert!(reinvite.starts_with("INVITE ") && header(&reinvite, "To").contains(";tag="), "{reinvite}");
        assert!(body(&reinvite).contains(&format!("o=far-end 1 {version} ")), "{reinvite}");
        assert!(body(&reinvite).contains(&format!("a={direction}\r\n")), "{reinvite}");
        assert_eq!(media_port(body(&reinvite), 0), relay.1, "the relay stays where it is");
        alice.answer(&reinvite, "200 OK", &offer(&[(&media, PCMU)])).await;
        let ack = alice.receive().await;
        let number = header(&reinvite, "CSeq").replace("INVITE", "ACK");
        assert!(ack.starts_with("ACK ") && header(&ack, "CSeq") == number, "{ack}");
        media.send_to(&rtp(0, version, &[0x55; 160]), relay).await.unwrap();
        if echo {
            // What was sent while held did not come back, or it would come first.
            assert_eq!(datagram(&media).await.0[3], 3);
        }
    }
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_far_end_renegotiates_and_takes_a_refusal() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    let answer = establish(&mut alice, "reinvite", &offer(&[(&media, PCMU)])).await;
    let reinvite = alice.receive().await;
    assert!(reinvite.starts_with("INVITE "));
    alice.answer(&reinvite, "488 Not Acceptable Here", "").await;
    let ack = alice.receive().await;
    assert!(ack.starts_with("ACK ") && header(&ack, "Via") == header(&reinvite, "Via"), "{ack}");
    media.send_to(&rtp(0, 1, &[0x55; 160]), ("127.0.0.1", media_port(body(&answer), 0))).await.unwrap();
    datagram(&media).await;
    within(&mut alice, &answer, "BYE", 3).await;
    assert_eq!(status(&alice.receive().await), 200);
    carrier.shutdown().await;
}
