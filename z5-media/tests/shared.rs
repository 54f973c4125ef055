//! Many streams on shared sockets, over real ones of the loopback interface. Tests wait for events and figures.

#![expect(clippy::unwrap_used, reason = "a test stops at what cannot happen")]

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use z5_media::rtp::{HEADER_LEN, Header};
use z5_media::source::Tone;
use z5_media::{
    AudioCodec, AudioConfig, AudioOptions, Direction, DropReason, EncodedMedia, Engine, EngineConfig,
    LoadConfig, LocalPort, MediaError, SrtpParams, SrtpSuite, StreamConfig, StreamEvent, StreamId,
    StreamKind, StreamStats,
};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

fn engine(packet_threads: usize) -> (Engine, Receiver<StreamEvent>) {
    let (sender, events) = channel();
    let mut setup = EngineConfig::new(move |event| drop(sender.send(event)));
    setup.packet_threads = packet_threads;
    (Engine::start(setup).unwrap(), events)
}

fn load(ptime_ms: u32) -> StreamKind {
    let mut tone = Tone::new(1000.0, -12.0);
    let media = EncodedMedia::encode(AudioCodec::Pcmu, &mut tone, ptime_ms, 8).unwrap();
    StreamKind::Load(LoadConfig {
        codec: AudioCodec::Pcmu,
        send_payload_type: 0,
        receive_payload_type: 0,
        ptime_ms,
        media,
    })
}

fn config(kind: StreamKind, to: &LocalPort, ssrc: u32, srtp: Option<SrtpParams>) -> StreamConfig {
    StreamConfig {
        kind,
        remote: to.rtp_addr(),
        remote_rtcp: to.rtcp_addr(),
        rtcp_mux: false,
        direction: Direction::BOTH,
        srtp,
        ssrc,
        first_sequence: 65_000,
        first_timestamp: 0xffff_ff00,
        cname: "shared@z5.invalid".into(),
    }
}

fn keys(suite: SrtpSuite) -> (SrtpParams, SrtpParams) {
    let (a, b) = (vec![1; suite.key_and_salt_len()], vec![2; suite.key_and_salt_len()]);
    (SrtpParams::new(suite, &a, &b).unwrap(), SrtpParams::new(suite, &b, &a).unwrap())
}

/// Waits until every stream has received something.
fn all_heard(events: &Receiver<StreamEvent>, streams: usize) {
    let mut heard = HashSet::new();
    while heard.len() < streams {
        if let StreamEvent::FirstPacket { stream, .. } = events.recv_timeout(PATIENCE).unwrap() {
            assert!(heard.insert(stream));
        }
    }
}

/// Asks until the figures are as wanted; each look goes through the packet thread, which takes what waits before.
fn until(engine: &Engine, stream: StreamId, wanted: impl Fn(&StreamStats) -> bool) -> StreamStats {
    std::iter::repeat_with(|| engine.stats(stream).unwrap()).find(wanted).unwrap()
}

#[test]
fn two_thousand_streams_share_two_ports_and_each_gets_its_own_packets() {
    const PAIRS: u32 = 1000;
    let (engine, events) = engine(2);
    let (left, right) = (engine.share(LOCAL, 0..=0).unwrap(), engine.share(LOCAL, 0..=0).unwrap());
    let mut streams = Vec::new();
    for n in 0..PAIRS {
        let (ssrc_a, ssrc_b) = (n, 1_000_000 + n);
        let (a, b) = (left.port(Some(ssrc_b)), right.port(Some(ssrc_a)));
        let (key_a, key_b) = (n % 2 == 0).then(|| keys(SrtpSuite::AeadAes128Gcm)).unzip();
        let (config_a, config_b) = (config(load(60), &b, ssrc_a, key_a), config(load(60), &a, ssrc_b, key_b));
        streams.push((engine.start_stream(a, config_a).unwrap(), ssrc_b));
        streams.push((engine.start_stream(b, config_b).unwrap(), ssrc_a));
    }
    all_heard(&events, streams.len());
    for (stream, remote_ssrc) in streams {
        let report = engine.stop_stream(stream).unwrap();
        assert_eq!(report.remote_ssrc, Some(remote_ssrc));
        assert!(report.packets_received > 0 && report.packets_sent > 0, "{report:?}");
        assert_eq!((report.dropped.len(), report.send_errors), (0, 0), "{report:?}");
        // Nothing was decoded, so nothing is said of it.
        assert_eq!((report.heard, report.playout), (None, None));
    }
    // Who was stopped later still sent to who was stopped before.
    let unknown = |drops: std::collections::BTreeMap<DropReason, u64>| {
        drops.keys().all(|reason| *reason == DropReason::UnknownStream)
    };
    assert!(unknown(left.dropped()) && unknown(right.dropped()));
}

#[test]
fn streams_with_a_codec_and_reports_run_on_a_shared_port_as_on_their_own() {
    let (engine, events) = engine(1);
    let shared = engine.share(LOCAL, 0..=0).unwrap();
    assert_eq!(shared.port(None).rtp_addr().port() % 2, 0);
    assert_eq!(shared.port(None).rtcp_addr().port(), shared.port(None).rtp_addr().port() + 1);
    for mux in [false, true] {
        let tone = || {
            StreamKind::Audio(AudioConfig {
                codec: AudioCodec::Pcmu,
                send_payload_type: 0,
                receive_payload_type: 0,
                telephone_event: None,
                ptime_ms: 20,
                source: Box::new(Tone::new(700.0, -12.0).lasting(Duration::from_millis(400))),
                sink: Box::new(z5_media::sink::Null),
                options: AudioOptions::default(),
            })
        };
        let own = engine.reserve(LOCAL, 0..=0).unwrap();
        let place = shared.port(None);
        let (key_a, key_b) = keys(SrtpSuite::AesCm128HmacSha1_80);
        let mut config_a = config(tone(), &own, 1, Some(key_a));
        let mut config_b = config(tone(), &place, 2, Some(key_b));
        (config_a.rtcp_mux, config_b.rtcp_mux) = (mux, mux);
        let a = engine.start_stream(place, config_a).unwrap();
        let b = engine.start_stream(own, config_b).unwrap();
        let mut ended = 0;
        while ended < 2 {
            ended += usize::from(matches!(
                events.recv_timeout(PATIENCE).unwrap(),
                StreamEvent::SourceEnded { .. }
            ));
        }
        assert!(engine.stop_stream(b).unwrap().heard.unwrap().audible);
        // The goodbye comes by RTCP, on its own socket or among RTP.
        let report = until(&engine, a, |report| report.bye_received);
        let hz = report.heard.unwrap().dominant_hz.unwrap();
        assert!((hz - 700.0).abs() < 3.0, "{hz}");
        assert_eq!(report.lost, Some(0));
        engine.stop_stream(a).unwrap();
    }
}

#[test]
fn strangers_at_a_shared_port_are_counted_and_harmless() {
    let (engine, _events) = engine(1);
    let (left, right) = (engine.share(LOCAL, 0..=0).unwrap(), engine.share(LOCAL, 0..=0).unwrap());
    let (a, b) = (left.port(Some(2)), right.port(Some(1)));
    let (address, rtcp) = (a.rtp_addr(), a.rtcp_addr());
    let config_b = config(load(20), &a, 2, None);
    let a = engine.start_stream(a, config(load(20), &b, 1, None)).unwrap();
    engine.start_stream(b, config_b).unwrap();
    until(&engine, a, |report| report.packets_received > 0);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut packet = [0x20; 172];
    for n in 0..50_u16 {
        // With an SSRC that is expected from elsewhere, with any, with none, and not RTP at all.
        let header =
            Header { payload_type: 0, marker: false, sequence: n, timestamp: 0, ssrc: 2 + u32::from(n % 2) };
        header.write(packet.first_chunk_mut::<HEADER_LEN>().unwrap());
        stranger.send_to(&packet[..usize::from(n % 4) * 43], address).unwrap();
        stranger.send_to(&packet[..usize::from(n % 3) * 4], rtcp).unwrap();
    }
    let unknown = || left.dropped().get(&DropReason::UnknownStream).copied().unwrap_or(0);
    let report = until(&engine, a, |_| unknown() == 100);
    assert_eq!(report.dropped.len(), 0, "{report:?}");
    assert_eq!(report.remote_ssrc, Some(2));
}

#[test]
fn two_streams_cannot_want_the_same_packets_and_a_far_end_may_move() {
    let (engine, _events) = engine(3);
    let shared = engine.share(LOCAL, 0..=0).unwrap();
    let far = [
        engine.reserve(LOCAL, 0..=0).unwrap(),
        engine.reserve(LOCAL, 0..=0).unwrap(),
        engine.reserve(LOCAL, 0..=0).unwrap(),
    ];
    // The packet threads take turns, each with sockets of its own; the fourth stream meets the first.
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(engine.start_stream(shared.port(None), config(load(20), &far[0], 1, None)).unwrap());
    }
    for ssrc in [None, Some(9)] {
        let error = engine.start_stream(shared.port(ssrc), config(load(20), &far[0], 1, None)).unwrap_err();
        assert!(matches!(error, MediaError::Claimed { remote } if remote == far[0].rtp_addr()), "{error}");
        assert!(error.to_string().contains("SSRC"), "{error}");
        // Two turns of the others.
        drop((shared.port(None), shared.port(None)));
    }
    let place = shared.port(None);
    let ours = (place.rtp_addr(), place.rtcp_addr());
    let other = engine.start_stream(place, config(load(20), &far[1], 2, None)).unwrap();
    let error = engine.set_remote(other, far[0].rtp_addr(), far[0].rtcp_addr()).unwrap_err();
    assert!(matches!(error, MediaError::Claimed { .. }), "{error}");
    engine.stop_stream(streams[0]).unwrap();
    engine.set_remote(other, far[0].rtp_addr(), far[0].rtcp_addr()).unwrap();
    // What comes from the new address is the stream's; what comes from the old one is nobody's.
    let [new, old, _] = far;
    let towards = |ssrc| StreamConfig {
        remote: ours.0,
        remote_rtcp: ours.1,
        ..config(load(20), &shared.port(None), ssrc, None)
    };
    engine.start_stream(new, towards(77)).unwrap();
    until(&engine, other, |report| report.remote_ssrc == Some(77));
    let unknown = || shared.dropped().get(&DropReason::UnknownStream).copied().unwrap_or(0);
    let before = unknown();
    engine.start_stream(old, towards(78)).unwrap();
    let report = until(&engine, other, |_| unknown() > before);
    assert_eq!(report.remote_ssrc, Some(77));
}
