//! Both halves together with fake time: loss, reordering, idling, limits.

use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::clock;
use crate::stats::DropReason;

const T140: u8 = 98;
const RED: u8 = 99;

struct World {
    now: Instant,
    sender: TextSender,
    receiver: TextReceiver,
    shown: String,
    sequence: u64,
}

impl World {
    fn new(red: bool) -> Self {
        let now = clock::now();
        let red = red.then_some(RED);
        Self {
            now,
            sender: TextSender::new(T140, red, 30, now, u32::MAX - 100),
            receiver: TextReceiver::new(T140, red),
            shown: String::new(),
            sequence: 70000,
        }
    }

    /// Moves to the sender's next deadline and sends.
    fn send(&mut self) -> (u64, TextPacket, Vec<u8>) {
        self.now = self.now.max(self.sender.next_deadline());
        let mut payload = [0; 1200];
        let packet = self.sender.poll(self.now, &mut payload).unwrap();
        self.sequence += 1;
        (self.sequence, packet, payload[..packet.len].to_vec())
    }

    fn deliver(&mut self, (sequence, packet, payload): &(u64, TextPacket, Vec<u8>)) {
        self.receiver.take(*sequence, packet.payload_type, payload, self.now, &mut self.shown).unwrap();
    }

    /// Runs until the sender is idle, dropping the packets whose number `lost` names.
    fn run(&mut self, lost: impl Fn(u64) -> bool) {
        for n in 0.. {
            let packet = self.send();
            if !lost(n) {
                self.deliver(&packet);
            }
            if self.sender.next_deadline() > self.now + BUFFERING && self.sender.queued() == 0 {
                return;
            }
        }
    }
}

#[test]
fn text_arrives_with_and_without_redundancy() {
    for red in [true, false] {
        let mut world = World::new(red);
        let first = world.send();
        world.deliver(&first);
        world.sender.push("HELLO\r\nw\u{f6}rld\n");
        world.run(|_| false);
        assert_eq!(world.shown, "HELLO\u{2028}w\u{f6}rld\u{2028}");
        let figures = world.receiver.figures();
        assert_eq!((figures.characters_received, figures.characters_recovered), (12, 0));
        assert_eq!(world.sender.characters_sent(), 12);
    }
}

#[test]
fn each_packet_carries_three_generations_and_then_the_sender_falls_silent() {
    let mut world = World::new(true);
    let start = world.now;
    let mark = world.send();
    assert_eq!((world.now, mark.1.marker), (start, false));
    world.sender.push("ab");
    let mut sent = Vec::new();
    // The mark that opens the path is repeated as well.
    let bom = "\u{feff}";
    for expected in [(true, ["", bom, "ab"]), (false, [bom, "ab", ""]), (false, ["ab", "", ""])] {
        let packet = world.send();
        sent.push(world.now - start);
        let texts: Vec<_> =
            blocks(&packet.2).unwrap().map(|b| String::from_utf8(b.data.to_vec()).unwrap()).collect();
        assert_eq!((packet.1.marker, texts), (expected.0, expected.1.map(String::from).to_vec()));
    }
    assert_eq!(sent, [1, 2, 3].map(|n| BUFFERING * n));
    assert_eq!(world.sender.next_deadline(), world.now + KEEP_ALIVE);
    let keep_alive = world.send();
    let primary = blocks(&keep_alive.2).unwrap().last().unwrap();
    assert_eq!(primary.data, "\u{feff}".as_bytes());
    world.deliver(&keep_alive);
    assert_eq!(world.shown, "", "a byte order mark is no text");
}

/// When packets leave of a sender that has nothing to say.
fn silence(sender: &mut TextSender, from: Instant, until: Instant) -> Vec<u64> {
    let (mut payload, mut left) = ([0; 1200], Vec::new());
    while sender.next_deadline() < until {
        let now = sender.next_deadline().max(from);
        let packet = sender.poll(now, &mut payload).unwrap();
        assert!(!packet.marker, "nothing is said");
        let bom = "\u{feff}".as_bytes();
        assert!(payload[..packet.len].windows(bom.len()).any(|part| part == bom));
        left.push((now - from).as_millis() as u64);
    }
    left
}

#[test]
fn the_packet_that_opens_the_path_goes_three_times_and_again_where_the_far_end_moved() {
    let start = clock::now();
    for red in [Some(RED), None] {
        let mut sender = TextSender::new(T140, red, 30, start, 0);
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(silence(&mut sender, start, after(20_000)), [0, 300, 600, 15_600]);
        sender.reopen();
        assert_eq!(silence(&mut sender, after(20_000), after(22_000)), [0, 300, 600]);
    }
}

#[test]
fn text_after_a_pause_bears_the_marker() {
    let start = clock::now();
    for red in [Some(RED), None] {
        let mut sender = TextSender::new(T140, red, 30, start, 0);
        let mut payload = [0; 1200];
        let mut markers = Vec::new();
        for tenth in 0..100_u64 {
            if [10, 12, 14, 50].contains(&tenth) {
                sender.push("x");
            }
            let now = start + Duration::from_millis(100 * tenth);
            if sender.poll(now, &mut payload).is_some_and(|packet| packet.marker) {
                markers.push(tenth);
            }
        }
        assert_eq!(markers, [10, 50]);
    }
}

#[test]
fn what_redundancy_brings_of_lost_first_packets_is_shown() {
    let mut world = World::new(true);
    world.send();
    world.sender.push("ab");
    let _lost = [world.send(), world.send()];
    let last_repeat = world.send();
    world.deliver(&last_repeat);
    assert_eq!(world.shown, "ab");
    assert_eq!(world.receiver.figures().characters_recovered, 2);
}

#[test]
fn lost_text_is_marked_after_the_wait_and_late_text_is_not_lost() {
    let mut world = World::new(false);
    world.sender.push("a");
    let first = world.send();
    world.deliver(&first);
    world.sender.push("b");
    let late = world.send();
    world.sender.push("c");
    let third = world.send();
    world.deliver(&third);
    assert_eq!(world.shown, "a");
    let deadline = world.receiver.next_deadline().unwrap();
    assert_eq!(deadline, world.now + REORDER_WAIT);
    let mut shown = String::new();
    world.receiver.expire(deadline - Duration::from_millis(1), &mut shown);
    assert_eq!(shown, "");
    world.receiver.expire(deadline, &mut shown);
    assert_eq!(shown, "\u{fffd}c");
    assert_eq!(world.receiver.next_deadline(), None);
    assert_eq!(world.receiver.figures().losses_marked, 1);
    world.deliver(&late);
    assert_eq!(world.shown, "a", "what came after its mark stays out");
}

#[test]
fn the_character_limit_holds_over_ten_seconds() {
    let mut world = World::new(true);
    let start = world.now;
    world.sender.push(&"x".repeat(1000));
    world.run(|_| false);
    assert_eq!(world.shown.len(), 1000);
    assert!(world.now - start >= Duration::from_secs(30), "{:?}", world.now - start);
}

#[test]
fn malformed_redundancy_is_refused() {
    let mut receiver = TextReceiver::new(T140, Some(RED));
    let now = clock::now();
    let mut shown = String::new();
    for payload in [&[][..], &[0x80 | T140], &[0x80 | T140, 0, 3, 255, T140, 1], &[T140 + 1, 65]] {
        assert_eq!(receiver.take(1, RED, payload, now, &mut shown), Err(DropReason::MalformedPayload));
    }
    assert_eq!(shown, "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_two_losses_in_a_row_lose_nothing(text in "[a-z]{1,400}", pattern in any::<u64>()) {
        let mut world = World::new(true);
        let first = world.send();
        world.deliver(&first);
        // Two packets of every three may be lost, the third never.
        world.sender.push(&text);
        world.run(|n| n % 3 != 2 && pattern >> (n % 64) & 1 == 1);
        let last = world.send();
        world.deliver(&last);
        prop_assert_eq!(&world.shown, &text);
    }

    #[test]
    fn any_loss_reorder_and_duplication_shows_the_text_in_order(
        pieces in proptest::collection::vec("[a-z]{0,6}", 1..20),
        pattern in proptest::collection::vec((0_u8..4, 0_usize..4), 80),
    ) {
        let mut world = World::new(true);
        let mut wire = vec![world.send()];
        let mut whole = String::new();
        for piece in pieces {
            world.sender.push(&piece);
            whole.push_str(&piece);
            wire.push(world.send());
        }
        let mut order = Vec::new();
        for (n, packet) in wire.into_iter().enumerate() {
            let (fate, shift) = pattern[n % pattern.len()];
            if fate > 0 || n == 0 {
                order.push((n + shift * usize::from(n > 0), packet.clone()));
            }
            if fate == 3 {
                order.push((n + shift + 1, packet));
            }
        }
        order.sort_by_key(|(at, _)| *at);
        for (_, packet) in &order {
            world.deliver(packet);
        }
        let mut shown = std::mem::take(&mut world.shown);
        world.receiver.expire(world.now + REORDER_WAIT * 2, &mut shown);
        // What is shown is the text with pieces missing, and each missing piece has a mark unless it was the tail.
        let mut rest = whole.as_str();
        for run in shown.split(LOST) {
            let at = rest.find(run);
            prop_assert!(at.is_some(), "{:?} of {:?}", shown, whole);
            rest = &rest[at.unwrap_or(0) + run.len()..];
        }
    }

    #[test]
    fn no_payload_makes_it_panic(
        packets in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 1..20)
    ) {
        let mut receiver = TextReceiver::new(T140, Some(RED));
        let now = clock::now();
        let mut shown = String::new();
        for (sequence, mut payload) in packets {
            if let Some(first) = payload.first_mut() { *first = (*first & 0x80) | T140; }
            let _ = receiver.take(65536 + u64::from(sequence), RED, &payload, now, &mut shown);
        }
    }
}

#[test]
fn what_characters_wait_for_their_first_packet_is_measured() {
    let start = clock::now();
    let mut sender = TextSender::new(98, Some(99), 30, start, 0);
    let mut payload = [0; 1200];
    assert_eq!(sender.latency(), (None, None));
    sender.poll(start, &mut payload).unwrap();
    sender.push("no time was told of these");
    // One of twenty characters waits 300 ms, the others 100.
    let first = start + BUFFERING;
    sender.poll(first, &mut payload).unwrap();
    assert_eq!(sender.latency(), (None, None));
    assert!(sender.take_news().is_some_and(|news| news.waits.iter().all(Option::is_none)));
    sender.push_at("a", first);
    sender.push_at("nineteen characters", first + Duration::from_millis(200));
    sender.poll(first + BUFFERING, &mut payload).unwrap();
    assert_eq!(sender.latency(), (Some(100.0), Some(100.0)));
    let news = sender.take_news().unwrap();
    assert_eq!(news.text, "anineteen characters");
    let waits: Vec<u128> = news.waits.iter().map(|wait| wait.unwrap().as_millis()).collect();
    assert_eq!((waits.len(), waits[0], &waits[1..4]), (20, 300, &[100; 3][..]));
    assert_eq!(sender.take_news(), None);
    sender.push_at("bc", first + BUFFERING);
    sender.poll(first + 2 * BUFFERING, &mut payload).unwrap();
    assert_eq!(sender.latency(), (Some(100.0), Some(300.0)));
}
