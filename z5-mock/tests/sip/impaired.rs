//! What an impairment does to SIP over real sockets, by counts and by what cannot be early.

use std::time::{Duration, Instant};

use z5_mock::{Carrier, Impairment, Rate};

use crate::raw::{self, Raw, datagram, status, udp};

const ALICE: &str = "15555550101";

pub(crate) fn options(number: usize, transport: &str, local: std::net::SocketAddr) -> String {
    format!(
        "OPTIONS sip:csdvrs.test SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@csdvrs.test>;tag=a\r\nTo: <sip:csdvrs.test>\r\nCall-ID: {number}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

#[expect(clippy::disallowed_methods, reason = "what is late is measured against the system's clock")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn a_registration_over_tcp_is_late_on_both_ways_also_when_its_connection_stands_already() {
    let late = Impairment { delay: Duration::from_millis(20), ..Impairment::default() };
    let carrier = Carrier::builder().start().await.unwrap();
    let mut alice = Raw::connect(carrier.sip_addr(), ALICE).await;
    assert_eq!(status(&alice.register("sip-15555550101", "").await), 200);
    carrier.impair_sip(late);
    let began = now();
    assert_eq!(status(&alice.register("sip-15555550101", "").await), 200);
    assert!(began.elapsed() >= Duration::from_millis(80), "a challenge and an answer, 20 ms each way");
    carrier.impair_sip(Impairment::default());
    assert_eq!(status(&alice.register("sip-15555550101", "").await), 200);
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_bottleneck_holds_up_what_comes_over_tcp_and_loses_nothing() {
    let rate = Rate { bits_per_second: 400_000, queue: Duration::from_millis(50) };
    let slow = Impairment { rate: Some(rate), loss: 0.5, duplicate: 1.0, ..Impairment::default() };
    let carrier = Carrier::builder().sip_impairment(slow).start().await.unwrap();
    let mut alice = Raw::connect(carrier.sip_addr(), ALICE).await;
    let began = now();
    let mut bytes = 0;
    for number in 0..50 {
        let request = options(number, "TCP", alice.local);
        bytes += request.len();
        alice.write(&request).await;
    }
    for number in 0..50 {
        let answer = alice.receive().await;
        assert_eq!((status(&answer), raw::header(&answer, "Call-ID")), (200, number.to_string()));
    }
    // 50 bytes a millisecond, but for the packet that the bucket lets through.
    let least = Duration::from_millis((bytes as u64 - 1500) / 50);
    assert!(began.elapsed() >= least, "{bytes} bytes");
    carrier.shutdown().await;
}

/// How many of a hundred requests in datagrams are lost before the carrier.
async fn lost(seed: u64) -> usize {
    let bad = Impairment { loss: 0.2, ..Impairment::default() };
    let carrier = Carrier::builder().seed(seed).sip_impairment(bad).start().await.unwrap();
    let client = udp().await;
    let local = client.local_addr().unwrap();
    let received = || {
        let entries = carrier.recorder().entries();
        let received = entries.iter().filter(|entry| entry.direction == z5_mock::Direction::Received);
        received.map(|entry| entry.text.contains("datagram lost")).collect::<Vec<_>>()
    };
    for number in 0..100 {
        client.send_to(options(number, "UDP", local).as_bytes(), carrier.sip_addr()).await.unwrap();
        // One at a time: what the kernel drops is not what the seed decides.
        raw::until("one more datagram at the carrier", || received().len() > number).await;
    }
    let lost = received().into_iter().filter(|lost| *lost).count();
    carrier.shutdown().await;
    lost
}

#[tokio::test]
async fn datagrams_are_lost_as_the_seed_decides() {
    let one = lost(5).await;
    assert_eq!(one, lost(5).await);
    assert!((8..35).contains(&one), "{one} of 100");
    let others = [lost(6).await, lost(7).await, lost(8).await];
    assert!(others.iter().any(|other| *other != one), "{one}, {others:?}");
}

#[tokio::test]
async fn datagrams_come_twice_and_late_and_leave_twice_and_late() {
    let bad = Impairment { delay: Duration::from_millis(10), duplicate: 1.0, ..Impairment::default() };
    let carrier = Carrier::builder().sip_impairment(bad).start().await.unwrap();
    let client = udp().await;
    let began = now();
    let request = options(1, "UDP", client.local_addr().unwrap());
    client.send_to(request.as_bytes(), carrier.sip_addr()).await.unwrap();
    for _ in 0..4 {
        let (answer, _) = datagram(&client).await;
        assert!(answer.starts_with(b"SIP/2.0 200 "));
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
    carrier.shutdown().await;
}
