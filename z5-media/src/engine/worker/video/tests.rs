//! Another source within a stream, in fake time: what leaves, in which order and with which time stamps.

use std::sync::Arc;

use super::*;
use crate::clock;
use crate::engine::ring::ring;
use crate::stream::FeedbackConfig;
use crate::video::tests_support::stream;
use crate::video::{AnnexBSource, NoPicture, VideoFeed, feed};

const SPS: [u8; 10] = [0x67, 0x42, 0xc0, 0x0b, 0x8c, 0x8d, 0x40, 0xb0, 0x4b, 0x21];

/// A stream in packetization mode 0, what leaves it, and the time.
struct World {
    stream: VideoStream,
    leaves: FrameReader,
    _to_worker: FrameWriter,
    start: Instant,
    ms: u64,
    /// Time stamp, NAL unit type and last byte of each packet.
    left: Vec<(u32, u8, u8)>,
}

impl World {
    fn new(source: impl VideoSource + 'static) -> Self {
        let start = clock::now();
        let ((to_worker, incoming), (outgoing, leaves)) = (ring(100_000), ring(100_000));
        let config = VideoConfig {
            send_payload_type: 97,
            receive_payload_type: 97,
            also_received: Vec::new(),
            mode: Mode::SingleNal,
            level: None,
            feedback: FeedbackConfig::default(),
            max_bits_per_second: 1_000_000,
            source: Box::new(source),
            sink: Box::new(NoPicture),
        };
        let first = u32::MAX - 90 * 1000;
        let stream =
            VideoStream::new(StreamId::new(1, 0), config, incoming, outgoing, start, start, first, true);
        Self { stream, leaves, _to_worker: to_worker, start, ms: 0, left: Vec::new() }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    /// Lets so many milliseconds pass.
    fn live(&mut self, ms: u64) {
        let events: EventSender = Arc::new(|_| ());
        let mut payload = [0; 2048];
        for _ in 0..ms {
            self.stream.handle(self.now(), &events);
            while let Some((head, len)) = self.leaves.pop(&mut payload) {
                if head.payload_type == 97 {
                    self.left.push((head.timestamp, payload[0] & 0x1f, payload[len - 1]));
                }
            }
            self.ms += 1;
        }
    }

    /// Milliseconds from one packet to the next, by their time stamps.
    fn steps(&self) -> Vec<i64> {
        let ms = |pair: &[(u32, u8, u8)]| i64::from(pair[1].0.wrapping_sub(pair[0].0) as i32) / 90;
        self.left.windows(2).map(ms).collect()
    }
}

/// A film of 25 pictures a second, every tenth a key frame.
fn film() -> AnnexBSource {
    AnnexBSource::of(stream(50, 10, 30)).unwrap().at_rate(25.0).unwrap()
}

fn unit(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [&[0, 0, 0, 1], *part].concat()).collect()
}

fn delta(feed: &VideoFeed) {
    feed.push(unit(&[&[0x41, 0x88, 1, 2, 0xb0]])).unwrap();
}

#[test]
fn another_source_begins_with_a_key_frame_and_time_goes_on() {
    let mut world = World::new(film());
    // Beyond the wrap of the time stamps, between two pictures.
    world.live(1330);
    let before = world.left.len();
    let (feed, source) = feed();
    world.stream.set_source(Box::new(source), world.now());
    assert!(feed.take_key_frame_wish() && feed.target().is_some(), "it is told what is wanted");
    delta(&feed);
    world.live(100);
    assert_eq!(world.left.len(), before, "what nobody could decode does not leave");
    assert!(!feed.take_key_frame_wish());
    world.live(420);
    assert!(feed.take_key_frame_wish(), "no key frame came: it is asked again");
    feed.push(unit(&[&SPS, &[0x68, 0xce, 0x3c, 0x80], &[0x65, 0x88, 1, 2, 0xa0]])).unwrap();
    world.live(40);
    delta(&feed);
    world.live(700);
    assert!(!feed.take_key_frame_wish(), "it came");
    let after: Vec<_> = world.left[before..].iter().map(|(_, kind, last)| (*kind, *last)).collect();
    assert_eq!(after, [(7, 0x21), (8, 0x80), (5, 0xa0), (1, 0xb0)]);
    // 1320 ms was the time of the last picture, 1850 of the key frame, looked for every 4 ms; then as the feed was fed.
    let steps = world.steps();
    assert!(steps.iter().all(|step| *step >= 0), "{steps:?}");
    assert!((530..=536).contains(&steps[before - 1]), "{steps:?}");
    assert!((38..=44).contains(steps.last().unwrap()), "{steps:?}");

    // And a file again, whose own time begins at nothing.
    let before = world.left.len();
    world.stream.set_source(Box::new(film()), world.now());
    world.live(200);
    assert_eq!(world.left[before].1, 7);
    assert!(world.steps().iter().all(|step| (0..=800).contains(step)), "{:?}", world.steps());
    let pictures: Vec<_> = world.steps()[before..].iter().filter(|step| **step > 0).copied().collect();
    assert_eq!(pictures, [40, 40, 40, 40], "its own pace");
}

#[test]
fn a_source_has_no_parameter_sets_of_the_one_before() {
    let mut world = World::new(film());
    world.live(300);
    let (before, (feed, source)) = (world.left.len(), feed());
    world.stream.set_source(Box::new(source), world.now());
    feed.push(unit(&[&[0x65, 0x88, 1, 2, 0xa0]])).unwrap();
    world.live(20);
    assert_eq!(world.left[before..].iter().map(|left| left.1).collect::<Vec<_>>(), [5]);
}

#[test]
fn a_source_that_has_ended_is_followed_and_privacy_outlasts_the_change() {
    let mut world = World::new(NoPicture);
    world.live(100);
    world.left.clear();
    world.stream.set_privacy(true);
    world.stream.set_source(Box::new(film()), world.now());
    world.live(200);
    let kinds: Vec<u8> = world.left.iter().map(|left| left.1).filter(|kind| *kind != 12).collect();
    assert_eq!(kinds, [7, 8, 5], "one blank picture");
    world.left.clear();
    world.stream.set_privacy(false);
    world.live(400);
    let kinds: Vec<u8> = world.left.iter().map(|left| left.1).collect();
    assert_eq!(kinds[..6], [7, 8, 5, 5, 1, 1], "from a key frame on");
}
