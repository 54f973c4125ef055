//! The far ends of a relay service: a queue that becomes an interpreter, and video mail that a mailbox tells of.

use tokio::net::UdpSocket;
use z5_mock::Carrier;

use crate::raw::{Raw, Request, body, datagram, header, in_time, media_port, offer, status, udp, until};
use crate::{ALICE, PCMU, establish, rtp, user, within};

/// SUBSCRIBE for Alice's own mailbox, from outside or within a dialog; the NOTIFY that follows, answered.
async fn subscribe(alice: &mut Raw, to: &str, (cseq, expires): (u32, u32)) -> (String, String) {
    let uri = format!("sip:{ALICE}@csdvrs.test");
    let extra = format!("Event: message-summary\r\nExpires: {expires}\r\n");
    let request =
        Request { method: "SUBSCRIBE", uri: &uri, to, call_id: "sub", cseq, extra: &extra, body: "" };
    let granted = alice.request(&request, "sip-15555550101").await;
    assert_eq!(status(&granted), 200, "{granted}");
    let notify = notified(alice).await;
    (granted, notify)
}

async fn notified(alice: &mut Raw) -> String {
    let notify = alice.receive().await;
    assert!(notify.starts_with("NOTIFY "), "{notify}");
    alice.answer(&notify, "200 OK", "").await;
    notify
}

fn number(request: &str) -> u32 {
    header(request, "CSeq").split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn who_watches_a_mailbox_is_told_of_each_message_that_is_left() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let to = format!("<sip:{ALICE}@csdvrs.test>");
    let (granted, first) = subscribe(&mut alice, &to, (1, 600)).await;
    assert!(body(&first).contains("Messages-Waiting: no"), "{first}");
    let media = udp().await;
    let answer = establish(&mut alice, "videomail", &offer(&[(&media, PCMU)])).await;
    media.send_to(&rtp(0, 1, &[0x55; 160]), ("127.0.0.1", media_port(body(&answer), 0))).await.unwrap();
    until("a packet at the relay", || carrier.relay_stats()[0].from_caller.rtp_packets > 0).await;
    within(&mut alice, &answer, "BYE", 3).await;
    let second = notified(&mut alice).await;
    assert!(body(&second).contains("Messages-Waiting: yes"), "{second}");
    assert!(body(&second).contains("Multimedia-Message: 1/0"), "{second}");
    assert!(number(&second) > number(&first));
    assert_eq!(status(&alice.receive().await), 200, "the BYE is answered too");
    // Somebody else leaves one.
    assert!(carrier.leave_video_message("+15555550101"));
    assert!(!carrier.leave_video_message("+15555559999"));
    let third = notified(&mut alice).await;
    assert!(body(&third).contains("Multimedia-Message: 2/0"), "{third}");
    let to = header(&granted, "To");
    let (_, last) = subscribe(&mut alice, &to, (5, 0)).await;
    assert!(header(&last, "Subscription-State").starts_with("terminated"), "{last}");
    assert!(number(&last) > number(&third));
    // Who has ended the subscription hears no more of it: the next thing is the answer to this.
    assert!(carrier.leave_video_message(ALICE));
    within(&mut alice, &answer, "INFO", 4).await;
    assert_eq!(status(&alice.receive().await), 481);
    carrier.shutdown().await;
}

/// Asks by sender reports until a report of the far end says that it has got as far as this packet.
async fn has_come(socket: &UdpSocket, relay: u16, sequence: u8) {
    let mut report = vec![0x80, 200, 0, 6];
    report.resize(28, 1);
    loop {
        socket.send_to(&report, ("127.0.0.1", relay + 1)).await.unwrap();
        // Its sound and its pictures come too.
        let (packet, _) = datagram(socket).await;
        if packet[1] == 201 && packet[16..20] == [0, 0, 0, sequence] {
            return;
        }
    }
}

/// A picture of two packets, one that is whole by itself, and one whose second packet is missing.
const PICTURES: [(u16, u32, bool, &[u8]); 4] = [
    (1, 0, false, &[0x67, 1, 2]),
    (2, 0, true, &[0x65, 3, 4]),
    (3, 3600, true, &[0x41, 5]),
    (5, 7200, true, &[0x41, 6]),
];
const H264: &str = "RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=1\r\na=sendrecv\r\n";

#[tokio::test]
async fn pictures_are_kept_fetched_and_removed_and_the_mailbox_says_so() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    subscribe(&mut alice, &format!("<sip:{ALICE}@csdvrs.test>"), (1, 600)).await;
    let (sound, video) = (udp().await, udp().await);
    let port = video.local_addr().unwrap().port();
    let description = offer(&[(&sound, PCMU)]) + &format!("m=video {port} {H264}");
    let answer = establish(&mut alice, "videomail", &description).await;
    let at = |index| ("127.0.0.1", media_port(body(&answer), index));
    sound.send_to(&rtp(0, 1, &[0x55; 160]), at(0)).await.unwrap();
    for (sequence, timestamp, marker, payload) in PICTURES {
        let mut packet = rtp(97 | u8::from(marker) << 7, sequence, payload);
        packet[4..8].copy_from_slice(&u32::to_be_bytes(timestamp));
        video.send_to(&packet, at(1)).await.unwrap();
    }
    in_time("all sound at the far end", has_come(&sound, at(0).1, 1)).await;
    in_time("all pictures at the far end", has_come(&video, at(1).1, 5)).await;
    within(&mut alice, &answer, "BYE", 3).await;
    assert!(body(&notified(&mut alice).await).contains("Multimedia-Message: 1/0"));
    assert_eq!(status(&alice.receive().await), 200);
    let messages = carrier.video_messages(ALICE);
    assert_eq!((messages.len(), messages[0].from.as_deref(), messages[0].new), (1, Some(ALICE), true));
    let recorded = &messages[0].recorded;
    assert_eq!((recorded.pictures, recorded.broken, recorded.sound_packets), (2, 1, 1), "{recorded:?}");
    // As a client does it, over HTTPS.
    let ask = async |method: &str, id: &str| {
        let mut client = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(60));
        client = client.resolve("mcs.csdvrs.test", carrier.mcs_addr());
        let authority = reqwest::Certificate::from_pem(carrier.ca_pem().as_bytes()).unwrap();
        let client = client.tls_certs_only([authority]).build().unwrap();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = client.request(method, format!("{}/mcs/v1/videomail{id}", carrier.mcs_url()));
        let reply = request.basic_auth(ALICE, Some("sip-15555550101")).send().await.unwrap();
        (reply.status().as_u16(), reply.bytes().await.unwrap())
    };
    let (code, list) = ask("GET", "").await;
    let list = String::from_utf8(list.to_vec()).unwrap();
    assert!(code == 200 && list.contains("\"pictures\":2") && list.contains("\"new\":true"), "{list}");
    let (code, pictures) = ask("GET", &format!("/{}", messages[0].id)).await;
    assert_eq!(code, 200);
    assert_eq!(pictures[..], [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x65, 3, 4, 0, 0, 0, 1, 0x41, 5]);
    let seen = notified(&mut alice).await;
    assert!(body(&seen).contains("Messages-Waiting: no") && body(&seen).contains("0/1"), "{seen}");
    assert_eq!(ask("DELETE", "").await.0, 204);
    assert!(body(&notified(&mut alice).await).contains("Multimedia-Message: 0/0"));
    assert_eq!((ask("DELETE", "/1").await.0, carrier.empty_mailbox(ALICE)), (404, 0));
    assert!(carrier.leave_video_message(ALICE) && carrier.empty_mailbox(ALICE) == 1);
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_call_through_which_nothing_came_leaves_no_message() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    let answer = establish(&mut alice, "videomail", &offer(&[(&media, PCMU)])).await;
    within(&mut alice, &answer, "BYE", 3).await;
    assert_eq!(status(&alice.receive().await), 200);
    let (_, notify) = subscribe(&mut alice, &format!("<sip:{ALICE}@csdvrs.test>"), (1, 600)).await;
    assert!(body(&notify).contains("Multimedia-Message: 0/0"), "{notify}");
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_queue_plays_music_until_an_interpreter_takes_over_and_hears() {
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = user(&carrier, ALICE).await;
    let media = udp().await;
    let description = offer(&[(&media, PCMU)]);
    let answer = establish(&mut alice, "vrs", &description).await;
    let relay = ("127.0.0.1", media_port(body(&answer), 0));
    let said = rtp(0, 1, &[0x55; 160]);
    media.send_to(&said, relay).await.unwrap();
    let (music, _) = datagram(&media).await;
    assert_ne!(music[12..], said[12..]);
    let taken = alice.receive().await;
    assert!(taken.starts_with("INVITE ") && media_port(body(&taken), 0) == relay.1, "{taken}");
    alice.answer(&taken, "200 OK", &description).await;
    assert!(alice.receive().await.starts_with("ACK "));
    media.send_to(&said, relay).await.unwrap();
    // What is still on its way is music.
    let heard = async { while datagram(&media).await.0[12..] != said[12..] {} };
    in_time("what the interpreter says", heard).await;
    carrier.shutdown().await;
}
