//! Far ends behind a bad network of their own: their calls suffer, others do not.

use z5_mock::{Carrier, Impairment, PathStats, Script, ScriptStep};

use crate::raw::{body, media_port, offer, status, udp, until};
use crate::{ALICE, PCMU, establish, rtp, user, within};

/// What the relay counts of so many packets to a far end that echoes.
async fn echoed(carrier: &Carrier, number: &str, packets: u16) -> [PathStats; 2] {
    let mut alice = user(carrier, ALICE).await;
    let media = udp().await;
    let answer = establish(&mut alice, number, &offer(&[(&media, PCMU)])).await;
    let relay = ("127.0.0.1", media_port(body(&answer), 0));
    let counted = || {
        let stats = carrier.relay_stats().pop().unwrap();
        [stats.from_caller, stats.from_callee]
    };
    for number in 0..packets {
        media.send_to(&rtp(0, number, &[0x55; 160]), relay).await.unwrap();
        // One at a time: what the kernel drops is not what the seed decides.
        until("a packet at the relay", || counted()[0].rtp_packets > number.into()).await;
    }
    until("the last echo", || {
        let [there, back] = counted();
        back.rtp_packets == u64::from(packets) - there.lost && back.forwarded + back.lost == back.rtp_packets
    })
    .await;
    let counted = counted();
    within(&mut alice, &answer, "BYE", 3).await;
    assert_eq!(status(&alice.receive().await), 200);
    counted
}

#[tokio::test]
async fn the_lossy_far_end_loses_media_both_ways_and_the_echo_none() {
    let carrier = Carrier::builder().seed(4).start().await.unwrap();
    let [there, back] = echoed(&carrier, "lossy", 400).await;
    assert!((8..80).contains(&there.lost) && (8..80).contains(&back.lost), "{there:?} {back:?}");
    let [there, back] = echoed(&carrier, "echo", 50).await;
    assert_eq!((there.lost, back.lost), (0, 0));
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_scripted_far_end_has_the_network_that_is_written_beside_that_of_the_carrier() {
    let answers = || vec![ScriptStep::Answer];
    let bad = |loss| Impairment { loss, ..Impairment::default() };
    let dead = Script::new("+15555550950", answers()).unwrap().impairment(bad(1.0));
    let whole = Script::new("+15555550951", answers()).unwrap();
    let carrier = Carrier::builder().far_end(dead).far_end(whole).start().await.unwrap();
    let [there, back] = echoed(&carrier, "+15555550950", 20).await;
    assert_eq!((there.lost, there.forwarded, back.rtp_packets), (20, 0, 0));
    assert_eq!(echoed(&carrier, "+15555550951", 20).await[1].forwarded, 20);
    carrier.impair(bad(1.0));
    assert_eq!(echoed(&carrier, "+15555550951", 20).await[0].lost, 20);
    carrier.shutdown().await;
}
