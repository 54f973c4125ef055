//! The machine in fake time, from a seed.

use std::time::Duration;

use super::*;
use crate::impairment::Impairment;

const MILLISECOND: Duration = Duration::from_millis(1);

#[expect(clippy::disallowed_methods, reason = "only the start of the fake time")]
fn start() -> Instant {
    Instant::now()
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn machine(impairment: Impairment, seed: u64) -> Datagrams {
    let given = (Faults::default(), Recorder::new(64));
    Datagrams::new(address(5060), given, Numbers::default(), Conditions::new(impairment), seed)
}

fn request(method: &str, branch: &str) -> String {
    format!(
        "{method} sip:a@z5.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:b@z5.test>;tag=b\r\nTo: <sip:a@z5.test>\r\nCall-ID: {branch}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn answer(method: &str, branch: &str) -> String {
    request(method, branch).replacen(&format!("{method} sip:a@z5.test SIP/2.0"), "SIP/2.0 200 OK", 1)
}

/// What is to be done, in a word each.
fn words(out: &mut Vec<Effect>) -> Vec<String> {
    let word = |effect| match effect {
        Effect::Opened { id, peer } => format!("opened {} {}", id.0, peer.port()),
        Effect::Message { id, message } => {
            format!("message {} {}", id.0, message.call_id().unwrap_or_default())
        }
        Effect::Closed { id } => format!("closed {}", id.0),
        Effect::Send { peer, bytes } => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            format!("send {} {}", peer.port(), text.split(' ').next().unwrap_or_default())
        }
    };
    std::mem::take(out).into_iter().map(word).collect()
}

#[test]
fn a_request_that_comes_again_gets_the_same_answer_and_passes_on_while_it_has_none() {
    let (mut machine, now, mut out) = (machine(Impairment::default(), 1), start(), Vec::new());
    let options = request("OPTIONS", "x");
    machine.receive(options.as_bytes(), address(9), now, &mut out);
    assert_eq!(words(&mut out), ["opened 1 9", "message 1 x"]);
    machine.receive(options.as_bytes(), address(9), now, &mut out);
    assert_eq!(words(&mut out), ["message 1 x"]);
    machine.say(ConnectionId(1), &answer("OPTIONS", "x").into(), now, &mut out);
    machine.receive(options.as_bytes(), address(9), now, &mut out);
    assert_eq!(words(&mut out), ["send 9 SIP/2.0", "send 9 SIP/2.0"]);
    machine.say(ConnectionId(1), &"x".repeat(MAX_PAYLOAD).into(), now, &mut out);
    machine.say(ConnectionId(1), &"x".repeat(MAX_PAYLOAD + 1).into(), now, &mut out);
    assert_eq!(words(&mut out).len(), 1);
    assert_eq!(machine.next_deadline(), None);
    // From another port it is somebody else.
    machine.receive(options.as_bytes(), address(10), now, &mut out);
    assert_eq!(words(&mut out), ["opened 2 10", "message 2 x"]);
    machine.forget(ConnectionId(1));
    machine.receive(options.as_bytes(), address(9), now, &mut out);
    assert_eq!(words(&mut out), ["opened 3 9", "message 3 x"]);
    machine.close(&mut out);
    assert_eq!(words(&mut out), ["closed 2", "closed 3"]);
}

/// RFC 3261 section 17.1.2.2: after T1, then twice as long each time up to T2, for 64 times T1 or so.
#[test]
fn a_request_is_sent_again_until_something_comes_back_or_nobody_is_there() {
    let (mut machine, began, mut out) = (machine(Impairment::default(), 1), start(), Vec::new());
    machine.receive(request("OPTIONS", "x").as_bytes(), address(9), began, &mut out);
    out.clear();
    for branch in ["answered", "ignored"] {
        machine.say(ConnectionId(1), &request("INVITE", branch).into(), began, &mut out);
    }
    machine.say(ConnectionId(1), &request("ACK", "never").into(), began, &mut out);
    assert_eq!(words(&mut out), ["send 9 INVITE", "send 9 INVITE", "send 9 ACK"]);
    machine.on_deadline(began + 500 * MILLISECOND, &mut out);
    assert_eq!(words(&mut out), ["send 9 INVITE", "send 9 INVITE"]);
    machine.receive(answer("INVITE", "answered").as_bytes(), address(9), began, &mut out);
    assert_eq!(words(&mut out), ["message 1 answered"]);
    let mut at = Vec::new();
    while let Some(next) = machine.next_deadline() {
        machine.on_deadline(next, &mut out);
        at.extend(words(&mut out).iter().map(|_| (next - began).as_millis()));
    }
    assert_eq!(at, [1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
}

#[test]
fn a_seed_decides_what_is_lost_doubled_and_late() {
    let bad = Impairment {
        loss: 0.2,
        duplicate: 0.2,
        reorder: 0.2,
        delay: 20 * MILLISECOND,
        jitter: 30 * MILLISECOND,
        ..Impairment::default()
    };
    let run = |seed| {
        let (mut machine, began, mut out) = (machine(bad.clone(), seed), start(), Vec::new());
        let mut seen = Vec::new();
        for number in 0..100 {
            let now = began + number * MILLISECOND;
            machine.on_deadline(now, &mut out);
            let bytes = request("OPTIONS", &number.to_string());
            machine.receive(bytes.as_bytes(), address(9), now, &mut out);
            seen.extend(words(&mut out).into_iter().map(|word| (number, word)));
        }
        let mut last = 100;
        while let Some(next) = machine.next_deadline() {
            machine.on_deadline(next, &mut out);
            last += 1;
            seen.extend(words(&mut out).into_iter().map(|word| (last, word)));
        }
        seen
    };
    let (one, again, other) = (run(7), run(7), run(8));
    assert!(one == again && one != other);
    let came: Vec<u32> =
        one.iter().filter_map(|(_, word)| word.strip_prefix("message 1 ")?.parse().ok()).collect();
    let once: std::collections::BTreeSet<u32> = came.iter().copied().collect();
    assert!((60..95).contains(&once.len()), "{} of 100", once.len());
    assert!(came.len() > once.len() + 5 && !came.is_sorted(), "{came:?}");
}
