//! Ports, keys and addresses: what is refused, what a stranger may not do, what many streams share.

use super::*;

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
