//! Pictures, and how far they are from the sound that belongs to them.

use super::*;
use crate::codec::h264::Mode;
use crate::stream::FeedbackConfig;
use crate::video::tests_support::stream;
use crate::video::{AnnexBSource, NoPicture, VideoSink, VideoSource, feed, frames};

/// Feedback as two z5 agree to it.
const FEEDBACK: FeedbackConfig = FeedbackConfig {
    nack: true,
    pli: true,
    fir: true,
    tmmbr: true,
    reduced_size: true,
    extended_reports: true,
};

fn video(source: impl VideoSource + 'static, sink: impl VideoSink + 'static) -> StreamKind {
    StreamKind::Video(VideoConfig {
        send_payload_type: 97,
        receive_payload_type: 97,
        also_received: vec![98],
        mode: Mode::NonInterleaved,
        level: None,
        feedback: FEEDBACK,
        max_bits_per_second: 1_000_000,
        source: Box::new(source),
        sink: Box::new(sink),
    })
}

/// A film of so many pictures, every tenth a key frame of 6 kilobytes, 100 a second.
fn film(pictures: usize) -> (Vec<u8>, AnnexBSource) {
    let bytes = stream(pictures, 10, 3000);
    (bytes.clone(), AnnexBSource::of(bytes).unwrap().at_rate(100.0).unwrap())
}

#[test]
fn a_film_arrives_as_it_was_sent() {
    for suite in [None, Some(SrtpSuite::AeadAes128Gcm)] {
        let (a, b) = (End::new(), End::new());
        let (port_a, port_b) =
            (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
        let (key_a, key_b) = suite.map(keys).unzip();
        let (bytes, source) = film(60);
        let (sink, pictures) = frames();
        let config_a = config(video(source, NoPicture), &port_b, key_a, 1);
        let config_b = config(video(NoPicture, sink), &port_a, key_b, 2);
        let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
        let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
        b.wait(|event| matches!(event, StreamEvent::FirstPicture { .. }).then_some(()));
        let mut heard = Vec::new();
        let mut timestamps = Vec::new();
        while heard.len() < bytes.len() {
            let picture = pictures.recv_timeout(PATIENCE).unwrap();
            timestamps.push(picture.timestamp);
            heard.extend(picture.data);
        }
        assert!(heard == bytes, "the film is the same byte for byte");
        assert!(timestamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == 900), "{timestamps:?}");
        let sent = a.engine.stop_stream(stream_a).unwrap().video.unwrap();
        let report = b.engine.stop_stream(stream_b).unwrap();
        let video = report.video.unwrap();
        assert_eq!((sent.pictures_sent, sent.key_frames_sent, sent.pictures_left_out), (60, 6, 0));
        assert_eq!((video.pictures_received, video.key_frames_received, video.pictures_dropped), (60, 6, 0));
        assert_eq!((video.width, video.height, report.lost), (Some(352), Some(288), Some(0)));
        assert!(video.frame_rate.is_some() && video.first_frame_ms.is_some() && video.freezes.is_some());
        assert_eq!((report.codec, report.kind), ("H264", MediaKind::Video));
    }
}

#[test]
fn who_joins_late_asks_for_a_key_frame_and_gets_it() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let (feed, source) = feed();
    let (sink, pictures) = frames();
    let config_a = config(video(source, NoPicture), &port_b, None, 1);
    let config_b = config(video(NoPicture, sink), &port_a, None, 2);
    let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
    let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
    let inter = [0, 0, 0, 1, 0x41, 0x88, 7, 7];
    feed.push(inter.to_vec()).unwrap();
    a.wait(|event| matches!(event, StreamEvent::KeyFrameRequested { .. }).then_some(()));
    assert!(feed.take_key_frame_wish());
    feed.push(stream(1, 1, 100)).unwrap();
    assert!(pictures.recv_timeout(PATIENCE).unwrap().key_frame);
    feed.push(inter.to_vec()).unwrap();
    assert_eq!(pictures.recv_timeout(PATIENCE).unwrap().data, inter);
    // A limit of the far end reaches the embedder, and INFO does what PLI does.
    b.engine.limit_far_end(stream_b, 120_000).unwrap();
    let target = a.wait(|event| {
        if let StreamEvent::TargetBitrate { bits_per_second, .. } = event {
            Some(bits_per_second)
        } else {
            None
        }
    });
    assert_eq!((target, feed.target()), (120_000, Some(120_000)));
    a.engine.send_key_frame(stream_a).unwrap();
    // It follows the wish before by less than what keeps wishes apart: it is heard a little later.
    let asked = crate::clock::now();
    while !feed.take_key_frame_wish() {
        assert!(asked.elapsed() < PATIENCE, "the wish of INFO is not heard");
        std::thread::park_timeout(Duration::from_millis(4));
    }
    let report = b.engine.stop_stream(stream_b).unwrap();
    assert!(report.feedback.unwrap().plis_sent >= 1, "{report:?}");
    a.engine.stop_stream(stream_a).unwrap();
    assert!(matches!(a.engine.send_key_frame(stream_a), Err(MediaError::NoSuchStream)));
}

#[cfg(feature = "openh264")]
#[test]
fn the_pattern_is_seen_at_the_far_end_in_order_and_in_time() {
    use crate::video::openh264::{pattern, watch};
    use crate::video::{OwnedFrame, Picture, Rung};
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let (told, seen) = channel();
    let show = move |picture: &Picture, _: &OwnedFrame| {
        let _ = told.send((picture.width(), picture.stamp()));
    };
    let (sink, thread) = watch(show).unwrap();
    let source = pattern(Rung { width: 352, height: 288, frame_rate: 30 }).unwrap();
    let config_a = config(video(source, NoPicture), &port_b, None, 1);
    let config_b = config(video(NoPicture, sink), &port_a, None, 2);
    let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
    a.engine.start_stream(port_a, config_a).unwrap();
    let stamps: Vec<_> = (0..30).map(|_| seen.recv_timeout(PATIENCE).unwrap()).collect();
    // Who has no time for the size that was asked for goes on with a smaller one: a busy machine may.
    assert!(stamps[0].0 == 352 && stamps.iter().all(|(_, stamp)| stamp.is_some()), "{stamps:?}");
    assert!(stamps.windows(2).all(|pair| pair[0].1.unwrap().number < pair[1].1.unwrap().number));
    b.engine.stop_stream(stream_b).unwrap();
    assert!(thread.join().is_ok());
}

#[test]
fn skew_between_sound_and_picture_is_measured_and_the_voice_path_judged() {
    let (a, b) = (End::new(), End::new());
    let reserve = |end: &End| end.engine.reserve(LOCAL, 0..=0).unwrap();
    let (sound_a, sound_b, picture_a, picture_b) = (reserve(&a), reserve(&b), reserve(&a), reserve(&b));
    let tone = || Tone::new(700.0, -12.0).lasting(Duration::from_millis(1300));
    let (_, film) = film(120);
    let sound_of_a = config(audio(AudioCodec::Pcmu, tone()), &sound_b, None, 1);
    let sound_of_b = config(audio(AudioCodec::Pcmu, tone()), &sound_a, None, 2);
    let picture_of_a = config(video(film, NoPicture), &picture_b, None, 3);
    let picture_of_b = config(video(NoPicture, NoPicture), &picture_a, None, 4);
    let heard = b.engine.start_stream(sound_b, sound_of_b).unwrap();
    let seen = b.engine.start_stream(picture_b, picture_of_b).unwrap();
    assert_eq!(b.engine.skew_ms(heard, seen), None);
    a.engine.start_stream(sound_a, sound_of_a).unwrap();
    a.engine.start_stream(picture_a, picture_of_a).unwrap();
    b.wait(|event| matches!(event, StreamEvent::SourceEnded { stream } if stream == heard).then_some(()));
    // The sound waits in its jitter buffer (60 ms at least at first), the picture does not.
    let skew = b.engine.skew_ms(heard, seen).unwrap();
    assert!((-1000.0..0.0).contains(&skew), "{skew}");
    let report = b.engine.stop_stream(heard).unwrap();
    let voice = report.voice.unwrap();
    assert!(voice.mos_listening > 1.0 && voice.mos_conversation.is_some(), "{report:?}");
}
