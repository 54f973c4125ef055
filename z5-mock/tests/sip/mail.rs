//! The far ends of a relay service: a queue that becomes an interpreter, and video mail that a mailbox tells of.

use z5_mock::Carrier;

use crate::raw::{Raw, Request, body, datagram, header, media_port, offer, status, udp};
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
    while carrier.relay_stats()[0].from_caller.rtp_packets == 0 {
        tokio::task::yield_now().await;
    }
    within(&mut alice, &answer, "BYE", 3).await;
    let second = notified(&mut alice).await;
    assert!(body(&second).contains("Messages-Waiting: yes"), "{second}");
    assert!(body(&second).contains("Multimedia-Message: 1/0"), "{second}");
    assert!(number(&second) > number(&first));
    assert_eq!(status(&alice.receive().await), 200, "the BYE is answered too");
    // Somebody else leaves one.
    assert!(carrier.leave_video_message("+15555550101").await);
    assert!(!carrier.leave_video_message("+15555559999").await);
    let third = notified(&mut alice).await;
    assert!(body(&third).contains("Multimedia-Message: 2/0"), "{third}");
    let to = header(&granted, "To");
    let (_, last) = subscribe(&mut alice, &to, (5, 0)).await;
    assert!(header(&last, "Subscription-State").starts_with("terminated"), "{last}");
    assert!(number(&last) > number(&third));
    // Who has ended the subscription hears no more of it: the next thing is the answer to this.
    assert!(carrier.leave_video_message(ALICE).await);
    within(&mut alice, &answer, "INFO", 4).await;
    assert_eq!(status(&alice.receive().await), 481);
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
    while datagram(&media).await.0[12..] != said[12..] {}
    carrier.shutdown().await;
}
