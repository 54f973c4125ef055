//! As many streams as a small carrier has, each on ports of its own, over real sockets of the loopback interface.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::mpsc::channel;
use std::time::Duration;

use z5_media::rtp::{HEADER_LEN, Header};
use z5_media::source::Tone;
use z5_media::{
    AudioCodec, Direction, EncodedMedia, Engine, EngineConfig, LoadConfig, LocalPort, StreamConfig,
    StreamEvent, StreamKind, room_for,
};

/// An address of its own, so that tests beside this one find ports.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 44, 0, 1));
const STREAMS: u32 = 2000;
/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(media: &EncodedMedia, to: &LocalPort, ssrc: u32) -> StreamConfig {
    let load = LoadConfig {
        codec: AudioCodec::Pcmu,
        send_payload_type: 0,
        receive_payload_type: 0,
        ptime_ms: 60,
        media: media.clone(),
    };
    StreamConfig {
        kind: StreamKind::Load(load),
        remote: to.rtp_addr(),
        remote_rtcp: to.rtcp_addr(),
        rtcp_mux: false,
        // The packet that opens the path leaves all the same: one each, and no load on the machine that runs the tests.
        direction: Direction::RECEIVE,
        srtp: None,
        ssrc,
        first_sequence: 1,
        first_timestamp: 1,
        cname: "many@z5.invalid".into(),
    }
}

#[test]
fn two_thousand_streams_on_ports_of_their_own_hear_each_other_or_the_system_is_named() {
    if let Err(refused) = room_for(STREAMS as usize) {
        assert!(refused.allowed < refused.wanted && refused.to_string().contains("ulimit -n"), "{refused}");
        return;
    }
    let (sender, events) = channel();
    let mut setup = EngineConfig::new(move |event| drop(sender.send(event)));
    setup.packet_threads = 2;
    let engine = Engine::start(setup).unwrap();
    let media = EncodedMedia::encode(AudioCodec::Pcmu, &mut Tone::new(1000.0, -12.0), 60, 8).unwrap();
    let mut streams = Vec::new();
    for n in (0..STREAMS).step_by(2) {
        let (a, b) = (engine.reserve(LOCAL, 0..=0).unwrap(), engine.reserve(LOCAL, 0..=0).unwrap());
        let (config_a, config_b) = (config(&media, &b, n), config(&media, &a, n + 1));
        streams.push((engine.start_stream(a, config_a).unwrap(), n + 1));
        streams.push((engine.start_stream(b, config_b).unwrap(), n));
    }
    let mut heard = HashSet::new();
    while heard.len() < streams.len() {
        if let StreamEvent::FirstPacket { stream, .. } = events.recv_timeout(PATIENCE).unwrap() {
            assert!(heard.insert(stream));
        }
    }
    for (stream, remote_ssrc) in streams {
        let report = engine.stop_stream(stream).unwrap();
        assert_eq!(report.remote_ssrc, Some(remote_ssrc));
        assert!(report.packets_received > 0 && report.packets_sent > 0, "{report:?}");
        assert_eq!((report.dropped.len(), report.send_errors), (0, 0), "{report:?}");
    }
}

#[test]
fn packets_that_come_all_at_once_are_taken_to_the_last_one() {
    const PACKETS: u16 = 100;
    let engine = Engine::start(EngineConfig::new(drop)).unwrap();
    let media = EncodedMedia::encode(AudioCodec::Pcmu, &mut Tone::new(1000.0, -12.0), 60, 8).unwrap();
    let far = UdpSocket::bind((LOCAL, 0)).unwrap();
    let port = engine.reserve(LOCAL, 0..=0).unwrap();
    let mut config = config(&media, &port, 1);
    (config.remote, config.remote_rtcp) = (far.local_addr().unwrap(), far.local_addr().unwrap());
    let to = port.rtp_addr();
    let stream = engine.start_stream(port, config).unwrap();
    for n in 0..PACKETS {
        let mut packet = [0x55; HEADER_LEN + 160];
        let timestamp = u32::from(n) * 160;
        let header = Header { payload_type: 0, marker: n == 0, sequence: n, timestamp, ssrc: 2 };
        header.write(packet.first_chunk_mut().unwrap());
        far.send_to(&packet, to).unwrap();
    }
    // After the last one nothing comes that could wake anybody.
    let mut looks = std::iter::repeat_with(|| engine.stats(stream).unwrap()).take(100_000);
    assert!(looks.any(|stats| stats.packets_received == u64::from(PACKETS)));
}
