//! Two engines on the loopback interface. Tests wait for events; a tone takes the tone's own time.

use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::codec::h264::Mode;
use crate::sink::Null;
use crate::source::{AudioSource, Silence, Tone};
use crate::srtp::{SrtpParams, SrtpSuite};
use crate::stats::DropReason;
use crate::stream::FeedbackConfig;
use crate::video::tests_support::stream;
use crate::video::{AnnexBSource, NoPicture, VideoSink, VideoSource, feed, frames};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

struct End {
    engine: Engine,
    events: Receiver<StreamEvent>,
}

impl End {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        let (sender, events) = channel();
        let mut setup = EngineConfig::new(move |event| drop(sender.send(event)));
        change(&mut setup);
        Self { engine: Engine::start(setup).unwrap(), events }
    }

    fn wait<T>(&self, mut wanted: impl FnMut(StreamEvent) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.events.recv_timeout(PATIENCE).unwrap()) {
                return found;
            }
        }
    }

    fn text(&self, len: usize) -> String {
        let mut whole = String::new();
        self.wait(|event| {
            if let StreamEvent::Text { text, .. } = event {
                whole.push_str(&text);
            }
            (whole.chars().count() >= len).then_some(())
        });
        whole
    }

    fn source_ended(&self) {
        self.wait(|event| matches!(event, StreamEvent::SourceEnded { .. }).then_some(()));
    }
}

fn config(kind: StreamKind, to: &LocalPort, srtp: Option<SrtpParams>, ssrc: u32) -> StreamConfig {
    StreamConfig {
        kind,
        remote: to.rtp_addr(),
        remote_rtcp: to.rtcp_addr(),
        rtcp_mux: false,
        direction: Direction::BOTH,
        srtp,
        ssrc,
        first_sequence: 1000,
        first_timestamp: 77,
        cname: "test@z5.invalid".into(),
    }
}

fn audio(codec: AudioCodec, source: impl AudioSource + 'static) -> StreamKind {
    let payload_type = match codec {
        AudioCodec::Pcmu => 0,
        AudioCodec::Pcma => 8,
        AudioCodec::G722 => 9,
        AudioCodec::Opus => 96,
    };
    StreamKind::Audio(AudioConfig {
        codec,
        send_payload_type: payload_type,
        receive_payload_type: payload_type,
        telephone_event: None,
        ptime_ms: 20,
        source: Box::new(source),
        sink: Box::new(Null),
        options: AudioOptions::default(),
    })
}

fn text(red: Option<u8>) -> StreamKind {
    let types = TextPayloadTypes { t140: 98, red };
    StreamKind::Text(TextConfig { send: types, receive: types, characters_per_second: 30 })
}

fn keys(suite: SrtpSuite) -> (SrtpParams, SrtpParams) {
    let (a, b) = (vec![1; suite.key_and_salt_len()], vec![2; suite.key_and_salt_len()]);
    (SrtpParams::new(suite, &a, &b).unwrap(), SrtpParams::new(suite, &b, &a).unwrap())
}

/// Half a second of tone: long enough for several spectra, short enough for a test.
fn tone(hz: f64) -> Tone {
    Tone::new(hz, -12.0).lasting(Duration::from_millis(500))
}

#[test]
fn tones_pass_both_ways_in_the_clear_and_with_srtp() {
    let suites = [None, Some(SrtpSuite::AesCm128HmacSha1_80), Some(SrtpSuite::AeadAes128Gcm)];
    for (suite, codec) in suites.into_iter().zip([AudioCodec::Pcmu, AudioCodec::Pcma, AudioCodec::G722]) {
        let (a, b) = (End::new(), End::new());
        let (port_a, port_b) =
            (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
        let (key_a, key_b) = suite.map(keys).unzip();
        let config_a = config(audio(codec, tone(1000.0)), &port_b, key_a, 1);
        let config_b = config(audio(codec, tone(440.0)), &port_a, key_b, 2);
        let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
        let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
        a.source_ended();
        b.source_ended();
        let report_a = a.engine.stop_stream(stream_a).unwrap();
        let report_b = b.engine.stop_stream(stream_b).unwrap();
        for (report, hz) in [(&report_a, 440.0), (&report_b, 1000.0)] {
            let heard = report.heard.unwrap();
            assert!((heard.dominant_hz.unwrap() - hz).abs() < 2.0, "{report:?}");
            assert!((heard.level_dbm0.unwrap() + 12.0).abs() < 1.0, "{report:?}");
            assert!(heard.audible && heard.tone_share.unwrap() > 0.9, "{report:?}");
            assert!(report.packets_sent >= 25 && report.packets_received >= 20, "{report:?}");
            // On a busy machine a packet may come after its time; none may be lost or refused.
            let refused = report.dropped.keys().filter(|reason| **reason != DropReason::Late).count();
            assert_eq!((report.lost, refused, report.send_errors), (Some(0), 0, 0), "{report:?}");
            assert!(report.first_packet_ms.unwrap() < 500.0, "{report:?}");
            assert_eq!(report.security, suite.map(SrtpSuite::name));
        }
        assert!(a.engine.stats(stream_a).is_none());
    }
}

#[test]
fn text_passes_both_ways() {
    for red in [Some(99), None] {
        let (a, b) = (End::new(), End::new());
        let (port_a, port_b) =
            (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
        let (config_a, config_b) = (config(text(red), &port_b, None, 1), config(text(red), &port_a, None, 2));
        let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
        let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
        a.engine.send_text(stream_a, "HELLO\n").unwrap();
        b.engine.send_text(stream_b, "gr\u{fc}\u{df} dich \u{1f44b}").unwrap();
        assert_eq!(b.text(6), "HELLO\u{2028}");
        assert_eq!(a.text(11), "gr\u{fc}\u{df} dich \u{1f44b}");
        let figures = b.engine.stop_stream(stream_b).unwrap();
        let counted = figures.text.unwrap();
        assert_eq!((counted.characters_sent, counted.characters_received, counted.losses_marked), (11, 6, 0));
        assert_eq!((figures.heard, figures.codec), (None, "t140"));
        a.wait(|event| matches!(event, StreamEvent::Bye { .. }).then_some(()));
        let ended = b.engine.send_text(stream_b, "x");
        assert!(matches!(ended, Err(MediaError::NoSuchStream)), "{ended:?}");
    }
}

#[test]
fn text_queued_at_the_end_still_leaves() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let (config_a, config_b) =
        (config(text(Some(99)), &port_b, None, 1), config(text(Some(99)), &port_a, None, 2));
    b.engine.start_stream(port_b, config_b).unwrap();
    let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
    b.wait(|event| matches!(event, StreamEvent::FirstPacket { .. }).then_some(()));
    a.engine.send_text(stream_a, "bye").unwrap();
    a.engine.stop_stream(stream_a).unwrap();
    assert_eq!(b.text(3), "bye");
}

#[test]
fn a_wrong_key_is_counted_and_nothing_is_heard() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    let wrong = SrtpParams::new(suite, &[9; 30], &[9; 30]).unwrap();
    let short = Tone::new(1000.0, -12.0).lasting(Duration::from_millis(100));
    let config_a = config(audio(AudioCodec::Pcmu, short), &port_b, Some(keys(suite).0), 1);
    let config_b = config(audio(AudioCodec::Pcmu, Silence), &port_a, Some(wrong), 2);
    let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
    a.engine.start_stream(port_a, config_a).unwrap();
    a.source_ended();
    // The frames were handed over before the event; stopping the sender sends them out.
    drop(a);
    let report = b.engine.stop_stream(stream_b).unwrap();
    assert!(report.dropped[&DropReason::AuthenticationFailed] >= 4, "{report:?}");
    assert_eq!((report.packets_received, report.heard, report.first_packet_ms), (0, None, None));
}

#[test]
fn a_held_stream_still_opens_the_path() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let mut config_a = config(audio(AudioCodec::Pcmu, tone(500.0)), &port_b, None, 1);
    config_a.direction = Direction::RECEIVE;
    let config_b = config(audio(AudioCodec::Pcmu, Silence), &port_a, None, 2);
    let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
    let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
    b.wait(|event| matches!(event, StreamEvent::FirstPacket { .. }).then_some(()));
    assert_eq!(a.engine.stats(stream_a).unwrap().packets_sent, 1);
    a.engine.set_direction(stream_a, Direction::BOTH).unwrap();
    a.source_ended();
    assert!(a.engine.stop_stream(stream_a).unwrap().packets_sent >= 25);
    assert!(b.engine.stats(stream_b).unwrap().heard.is_some());
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_and_frees_its_port() {
    let end = End::new();
    let port = end.engine.reserve(LOCAL, 0..=0).unwrap();
    let address = port.rtp_addr();
    let mut bad = config(audio(AudioCodec::Pcmu, Silence), &port, None, 1);
    if let StreamKind::Audio(audio) = &mut bad.kind {
        audio.ptime_ms = 25;
    }
    assert!(matches!(end.engine.start_stream(port, bad), Err(MediaError::PacketTime { ptime_ms: 25 })));
    let again = end.engine.reserve(LOCAL, address.port()..=address.port() + 1).unwrap();
    let twice = config(text(Some(98)), &again, None, 1);
    assert!(matches!(
        end.engine.start_stream(again, twice),
        Err(MediaError::PayloadType { payload_type: 98, .. })
    ));
}

#[test]
fn keys_pressed_arrive_as_digits() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let with_events = |mut kind| {
        if let StreamKind::Audio(audio) = &mut kind {
            audio.telephone_event =
                Some(TelephoneEvent { send_payload_type: 101, receive_payload_type: 101, clock_rate: 8000 });
        }
        kind
    };
    let config_a = config(with_events(audio(AudioCodec::Pcmu, Silence)), &port_b, None, 1);
    let config_b = config(with_events(audio(AudioCodec::Pcmu, Silence)), &port_a, None, 2);
    let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
    let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
    let short = Duration::from_millis(40);
    assert!(matches!(a.engine.send_digits(stream_a, "1x", short), Err(MediaError::Digit { digit: 'x' })));
    a.engine.send_digits(stream_a, "4#", short).unwrap();
    let digits: Vec<_> = (0..2)
        .map(|_| {
            b.wait(|event| {
                if let StreamEvent::Digit { digit, duration, .. } = event {
                    Some((digit, duration))
                } else {
                    None
                }
            })
        })
        .collect();
    assert_eq!(digits, [('4', short), ('#', short)]);
    let report = b.engine.stop_stream(stream_b).unwrap();
    assert_eq!((report.lost, report.dropped.len()), (Some(0), 0), "{report:?}");
}

#[test]
fn a_spoofed_source_is_counted_and_not_heard() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let (address_a, address_b) = (port_a.rtp_addr(), port_b.rtp_addr());
    let config_a = config(audio(AudioCodec::Pcmu, Silence), &port_b, None, 1);
    let config_b = config(audio(AudioCodec::Pcmu, Silence), &port_a, None, 2);
    let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
    a.engine.start_stream(port_a, config_a).unwrap();
    b.wait(|event| matches!(event, StreamEvent::FirstPacket { .. }).then_some(()));
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut packet = [0x20; 172];
    for sequence in 0..50 {
        let header = crate::rtp::Header { payload_type: 0, marker: false, sequence, timestamp: 0, ssrc: 1 };
        header.write(packet.first_chunk_mut().unwrap());
        stranger.send_to(&packet, address_b).unwrap();
    }
    // Each look asks the engine's threads, which take what waits before they answer.
    let report = std::iter::repeat_with(|| b.engine.stats(stream_b).unwrap())
        .find(|report| report.dropped.get(&DropReason::ForeignSource).is_some_and(|n| *n == 50))
        .unwrap();
    assert_eq!((report.source, report.remote_ssrc), (Some(address_a), Some(1)));
    let report = b.engine.stop_stream(stream_b).unwrap();
    assert!(!report.heard.is_some_and(|heard| heard.audible), "{report:?}");
}

#[test]
fn one_port_carries_rtp_and_rtcp_when_multiplexed() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let (key_a, key_b) = keys(SrtpSuite::AesCm128HmacSha1_80);
    let short = Tone::new(700.0, -12.0).lasting(Duration::from_millis(100));
    let mut config_a = config(audio(AudioCodec::Pcmu, short), &port_b, Some(key_a), 1);
    let mut config_b = config(audio(AudioCodec::Pcmu, Silence), &port_a, Some(key_b), 2);
    (config_a.rtcp_mux, config_b.rtcp_mux) = (true, true);
    let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
    let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
    a.source_ended();
    b.wait(|event| matches!(event, StreamEvent::FirstPacket { .. }).then_some(()));
    a.engine.stop_stream(stream_a).unwrap();
    b.wait(|event| matches!(event, StreamEvent::Bye { .. }).then_some(()));
    let report = b.engine.stop_stream(stream_b).unwrap();
    assert!(report.bye_received, "{report:?}");
    assert_eq!(report.dropped.len(), 0, "{report:?}");
}

#[test]
fn many_streams_run_side_by_side_on_one_packet_thread_or_several() {
    run_many(1);
    run_many(3);
}

fn run_many(packet_threads: usize) {
    let end = || {
        End::with(|setup| {
            setup.packet_threads = packet_threads;
            setup.realtime = true;
        })
    };
    let (a, b) = (end(), end());
    let pairs: Vec<_> = (0..24)
        .map(|n| {
            let (port_a, port_b) =
                (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
            let config_a = config(audio(AudioCodec::Pcmu, Silence), &port_b, None, n);
            let config_b = config(audio(AudioCodec::Pcmu, Silence), &port_a, None, 1000 + n);
            let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
            (n, a.engine.start_stream(port_a, config_a).unwrap(), stream_b)
        })
        .collect();
    let mut heard = std::collections::HashSet::new();
    b.wait(|event| {
        if let StreamEvent::FirstPacket { stream, .. } = event {
            heard.insert(stream);
        }
        (heard.len() == pairs.len()).then_some(())
    });
    for (n, stream_a, stream_b) in pairs {
        assert_eq!(b.engine.stop_stream(stream_b).unwrap().remote_ssrc, Some(n));
        assert!(a.engine.stop_stream(stream_a).is_some());
    }
}

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

#[test]
fn silence_is_described_and_played_as_noise() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let mut talking = audio(AudioCodec::Pcmu, Tone::new(700.0, -12.0).lasting(Duration::from_millis(100)));
    if let StreamKind::Audio(audio) = &mut talking {
        audio.options.comfort_noise = Some(13);
    }
    let config_a = config(talking, &port_b, None, 1);
    let short = Tone::new(400.0, -12.0).lasting(Duration::from_millis(900));
    let config_b = config(audio(AudioCodec::Pcmu, short), &port_a, None, 2);
    let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
    let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
    b.source_ended();
    let sent = a.engine.stop_stream(stream_a).unwrap();
    // A tenth of a second of tone, a fifth of hangover, then one description now and then.
    assert!((15..25).contains(&sent.packets_sent), "{sent:?}");
    let playout = b.engine.stop_stream(stream_b).unwrap().playout.unwrap();
    assert!(playout.comfort_noise_ms > 100.0, "{playout:?}");
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

#[test]
fn every_datagram_of_a_call_is_in_the_capture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("call.pcapng");
    let capture = Some(Arc::new(Capture::create(&path).unwrap()));
    let (a, b) = (End::with(|setup| setup.capture = capture), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let short = || Tone::new(700.0, -12.0).lasting(Duration::from_millis(100));
    let config_a = config(audio(AudioCodec::Pcmu, short()), &port_b, None, 0x5a5a_0001);
    let config_b = config(audio(AudioCodec::Pcmu, short()), &port_a, None, 0x5a5a_0002);
    b.engine.start_stream(port_b, config_b).unwrap();
    let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
    let (mut ended, mut heard) = (false, false);
    a.wait(|event| {
        ended |= matches!(event, StreamEvent::SourceEnded { .. });
        heard |= matches!(event, StreamEvent::FirstPacket { .. });
        (ended && heard).then_some(())
    });
    let report = a.engine.stop_stream(stream_a).unwrap();
    drop(a);
    let bytes = std::fs::read(&path).unwrap();
    // RTP packets of both directions by version, payload type and SSRC.
    let count = |ssrc: u32| {
        let of_source = |window: &&[u8]| {
            window[0] == 0x80 && window[1] & 0x7f == 0 && window[8..12] == ssrc.to_be_bytes()
        };
        bytes.windows(12).filter(of_source).count() as u64
    };
    assert_eq!(count(0x5a5a_0001), report.packets_sent);
    assert!(count(0x5a5a_0002) >= report.packets_received);
}

#[test]
fn a_running_stream_goes_on_with_another_codec() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let config_a = config(audio(AudioCodec::Pcmu, Tone::new(1000.0, -12.0)), &port_b, None, 1);
    let config_b = config(audio(AudioCodec::Pcmu, tone(440.0)), &port_a, None, 2);
    let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
    let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
    let format = AudioFormat {
        codec: AudioCodec::G722,
        send_payload_type: 9,
        receive_payload_type: 9,
        telephone_event: None,
        options: AudioOptions::default(),
    };
    for (end, stream) in [(&a, stream_a), (&b, stream_b)] {
        end.engine.set_audio_format(stream, format.clone()).unwrap();
    }
    b.source_ended();
    let report = b.engine.stop_stream(stream_b).unwrap();
    assert_eq!(report.codec, "G722");
    assert!((report.heard.unwrap().dominant_hz.unwrap() - 1000.0).abs() < 2.0, "{report:?}");
    let bad = AudioFormat { send_payload_type: 72, ..format.clone() };
    assert!(matches!(a.engine.set_audio_format(stream_a, bad), Err(MediaError::PayloadType { .. })));
    assert!(matches!(b.engine.set_audio_format(stream_b, format), Err(MediaError::NoSuchStream)));
}

// macOS has 127.0.0.1 alone.
#[cfg(not(target_os = "macos"))]
#[test]
fn text_goes_on_from_another_address_of_this_machine() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let (config_a, config_b) =
        (config(text(Some(99)), &port_b, None, 1), config(text(Some(99)), &port_a, None, 2));
    let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
    let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
    a.engine.send_text(stream_a, "here").unwrap();
    assert_eq!(b.text(4), "here");
    let elsewhere = a.engine.reserve("127.0.0.2".parse().unwrap(), 0..=0).unwrap();
    let (rtp, rtcp) = (elsewhere.rtp_addr(), elsewhere.rtcp_addr());
    b.engine.set_remote(stream_b, rtp, rtcp).unwrap();
    // Its figures are asked for behind that command: from here on it knows where to send.
    assert!(b.engine.stats(stream_b).is_some());
    a.engine.set_local(stream_a, elsewhere).unwrap();
    a.engine.send_text(stream_a, "there").unwrap();
    b.engine.send_text(stream_b, "back").unwrap();
    assert_eq!((b.text(5), a.text(4)), ("there".to_owned(), "back".to_owned()));
    assert_eq!(b.engine.stop_stream(stream_b).unwrap().text.unwrap().losses_marked, 0);
}

// macOS has 127.0.0.1 alone.
#[cfg(not(target_os = "macos"))]
#[test]
fn a_stream_on_a_shared_port_stays_there() {
    let a = End::new();
    let shared = a.engine.share(LOCAL, 0..=0).unwrap();
    let far = a.engine.reserve(LOCAL, 0..=0).unwrap();
    let config = config(text(None), &far, None, 1);
    let stream = a.engine.start_stream(shared.port(Some(7)), config).unwrap();
    let elsewhere = a.engine.reserve("127.0.0.2".parse().unwrap(), 0..=0).unwrap();
    let refused = a.engine.set_local(stream, elsewhere);
    assert!(matches!(refused, Err(MediaError::SharedPort)), "{refused:?}");
}
