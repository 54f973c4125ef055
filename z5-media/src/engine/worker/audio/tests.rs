//! What leaves while nothing may be sent, in fake time (RFC 6263; RFC 9248 section 6.7: at least every 15 s).

use std::sync::Arc;

use super::*;
use crate::clock;
use crate::engine::ring::ring;
use crate::sink::Null;
use crate::source::Tone;

#[test]
fn a_held_or_muted_stream_says_something_at_once_and_then_every_fifteen_seconds() {
    let start = clock::now();
    let ((_to_worker, incoming), (outgoing, mut leaves)) = (ring(2400), ring(2400));
    let mut stream = AudioStream::new(AudioParts {
        id: StreamId::new(1, 0),
        codec: AudioCodec::Pcmu,
        options: AudioOptions { comfort_noise: Some(13), ..AudioOptions::default() },
        payload_type: 0,
        receive_payload_type: 0,
        telephone_event: None,
        source: Box::new(Tone::new(1000.0, -12.0)),
        sink: Box::new(Null),
        incoming,
        outgoing,
        epoch: start,
        start,
        tick: Duration::from_millis(20),
        first_timestamp: 5,
        send: false,
    });
    let events: EventSender = Arc::new(|_| ());
    let mut left = Vec::new();
    let mut payload = [0; 400];
    for n in 0..=60 * 50 {
        let now = start + Duration::from_millis(20) * n;
        stream.tick(now, &events);
        while let Some((head, len)) = leaves.pop(&mut payload) {
            assert_eq!((head.payload_type, len), (0, 160));
            assert!(payload[..len].iter().all(|byte| *byte == 0xff), "nothing of the source leaves");
            assert_eq!(head.timestamp, 5 + 160 * n, "the clock runs on");
            left.push(n / 50);
        }
    }
    assert_eq!(left, [0, 15, 30, 45, 60]);
    // What was muted speaks again with the marker of a new talkspurt, and at once.
    stream.set_send(true);
    stream.tick(start + Duration::from_millis(20) * (60 * 50 + 1), &events);
    let (head, _) = leaves.pop(&mut payload).unwrap();
    assert!(head.marker);
    assert!(payload[..160].iter().any(|byte| *byte != 0xff), "the tone is back");
}
