//! Voice: tones, keys, comfort noise, hold, another codec on the way.

use super::*;

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
