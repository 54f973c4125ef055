//! What leaves while nothing may be sent (RFC 6263; RFC 9248 section 6.7: at least every 15 s), and what is told of what was
//! heard, in fake time.

use std::sync::Arc;

use super::*;
use crate::clock;
use crate::engine::AudioOptions;
use crate::engine::ring::ring;
use crate::sink::Null;
use crate::source::Tone;
use crate::stream::FeedbackConfig;

/// A stream of a tone with the far ends of its rings.
fn stream(options: AudioOptions, send: bool, start: Instant) -> (AudioStream, FrameWriter, FrameReader) {
    let ((to_worker, incoming), (outgoing, leaves)) = (ring(4800), ring(4800));
    let stream = AudioStream::new(AudioParts {
        id: StreamId::new(1, 0),
        format: AudioFormat {
            codec: AudioCodec::Pcmu,
            send_payload_type: 0,
            receive_payload_type: 0,
            telephone_event: None,
            options,
        },
        source: Box::new(Tone::new(1000.0, -12.0)),
        sink: Box::new(Null),
        incoming,
        outgoing,
        epoch: start,
        start,
        tick: Duration::from_millis(20),
        first_timestamp: 5,
        send,
    });
    (stream, to_worker, leaves)
}

#[test]
fn a_held_or_muted_stream_says_something_at_once_and_then_every_fifteen_seconds() {
    let start = clock::now();
    let options = AudioOptions { comfort_noise: Some(13), ..AudioOptions::default() };
    let (mut stream, _to_worker, mut leaves) = stream(options, false, start);
    let events: EventSender = Arc::new(|_| ());
    let mut left = Vec::new();
    let (mut payload, mut scratch) = ([0; 400], Scratch::default());
    for n in 0..=60 * 50 {
        let now = start + Duration::from_millis(20) * n;
        stream.tick(now, &mut scratch, &events);
        while let Some((head, len)) = leaves.pop(&mut payload) {
            assert_eq!((head.payload_type, len), (0, 160));
            assert!(payload[..len].iter().all(|byte| *byte == 0xff), "nothing of the source leaves");
            assert_eq!(head.timestamp, 5 + 160 * n, "the clock runs on");
            left.push(20 * n);
        }
    }
    assert_eq!(left, [0, 300, 600, 15_600, 30_600, 45_600]);
    // What was muted speaks again with the marker of a new talkspurt, and at once.
    stream.set_send(true);
    stream.tick(start + Duration::from_millis(20) * (60 * 50 + 1), &mut scratch, &events);
    let (head, _) = leaves.pop(&mut payload).unwrap();
    assert!(head.marker);
    assert!(payload[..160].iter().any(|byte| *byte != 0xff), "the tone is back");
}

#[test]
fn what_was_heard_goes_to_the_packet_thread_once_a_second_where_extended_reports_were_agreed() {
    for extended_reports in [true, false] {
        let start = clock::now();
        let feedback = FeedbackConfig { extended_reports, ..FeedbackConfig::default() };
        let options = AudioOptions { feedback, ..AudioOptions::default() };
        let (mut stream, mut to_worker, mut leaves) = stream(options, true, start);
        let events: EventSender = Arc::new(|_| ());
        let (mut told, mut payload, mut scratch) = (Vec::new(), [0; 400], Scratch::default());
        for n in 0..150_u32 {
            let after = Duration::from_millis(20) * n;
            let at_nanos = after.as_nanos() as u64;
            let head = FrameHead {
                timestamp: n * 160,
                sequence: u64::from(n) + 70_000,
                at_nanos,
                ..FrameHead::default()
            };
            // A fifth is lost.
            if n % 5 != 2 {
                assert!(to_worker.push(&head, &[0x20; 160]));
            }
            stream.tick(start + after, &mut scratch, &events);
            while let Some((head, len)) = leaves.pop(&mut payload) {
                if head.payload_type == word::VOICE {
                    told.push((n, VoiceHeard::unpack(crate::engine::ring::value(&payload[..len]))));
                }
            }
        }
        assert_eq!(told.len(), if extended_reports { 3 } else { 0 }, "{told:?}");
        if let Some((n, heard)) = told.last() {
            assert!((100..150).contains(n) && heard.g711 && heard.late == 0, "{heard:?}");
            assert!((0.15..0.25).contains(&heard.concealed), "{heard:?}");
            assert!(heard.delay >= Duration::from_millis(40), "{heard:?}");
        }
    }
}
