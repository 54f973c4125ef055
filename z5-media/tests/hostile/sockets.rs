//! The same over real sockets.

use z5_media::codec::telephone_event::Payload;

use super::*;

/// An engine's stream that a socket of the test talks to.
struct Attacked {
    engine: Engine,
    stream: z5_media::StreamId,
    events: std::sync::mpsc::Receiver<StreamEvent>,
    rtp: SocketAddr,
    rtcp: SocketAddr,
    far_end: std::net::UdpSocket,
}

impl Attacked {
    fn new(feedback: FeedbackConfig) -> Self {
        let (told, events) = std::sync::mpsc::channel();
        let engine = Engine::start(EngineConfig::new(move |event| drop(told.send(event)))).unwrap();
        let port = engine.reserve(addr(NEAR).ip(), 0..=0).unwrap();
        let far_end = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (rtp, rtcp, remote) = (port.rtp_addr(), port.rtcp_addr(), far_end.local_addr().unwrap());
        let config = StreamConfig {
            kind: StreamKind::Audio(AudioConfig {
                codec: AudioCodec::Pcmu,
                send_payload_type: 0,
                receive_payload_type: 0,
                telephone_event: Some(TelephoneEvent {
                    send_payload_type: 101,
                    receive_payload_type: 101,
                    clock_rate: 8000,
                }),
                ptime_ms: 20,
                source: Box::new(z5_media::source::Silence),
                sink: Box::new(z5_media::sink::Null),
                options: AudioOptions { feedback, ..AudioOptions::default() },
            }),
            remote,
            remote_rtcp: remote,
            rtcp_mux: false,
            direction: Direction::BOTH,
            srtp: None,
            ssrc: 2,
            first_sequence: 1,
            first_timestamp: 1,
            cname: "c".into(),
        };
        let stream = engine.start_stream(port, config).unwrap();
        Self { engine, stream, events, rtp, rtcp, far_end }
    }

    /// Sends so few that they fit the socket's buffer, and waits until `seen` says that they were taken.
    fn send(&self, datagrams: &[Vec<u8>], seen: impl Fn(&StreamStats) -> bool) -> StreamStats {
        for datagram in datagrams {
            self.far_end.send_to(datagram, self.rtp).unwrap();
        }
        // Each look asks both threads, which take what waits before they answer.
        std::iter::repeat_with(|| self.engine.stats(self.stream).unwrap()).find(seen).unwrap()
    }
}

fn dropped(stats: &StreamStats) -> u64 {
    stats.dropped.values().sum()
}

#[test]
fn over_real_sockets_all_of_it_is_counted_and_sound_goes_on() {
    let attacked = Attacked::new(ALL);
    let good = |n: u16| forged(1, n, &[0x55; 160]);
    attacked.send(&[good(1), good(2)], |stats| stats.packets_received == 2);
    let with_type = |payload_type: u8| {
        let mut packet = good(3);
        packet[1] = payload_type;
        packet
    };
    let mut extension = good(3);
    (extension[0], extension[14], extension[15]) = (0x90, 0xff, 0xff);
    let cases = [
        (vec![0x80; 5], DropReason::TooShort),
        (vec![0x80; 4000], DropReason::TooLong),
        (vec![0x80; 65_000], DropReason::TooLong),
        (vec![0x00; 60], DropReason::BadVersion),
        (extension, DropReason::BadHeader),
        (with_type(96), DropReason::UnknownPayloadType),
        (forged(77, 3, &[0; 160]), DropReason::ForeignSsrc),
        (forged(1, 40_000, &[0; 160]), DropReason::SequenceJump),
        (good(2), DropReason::Duplicate),
    ];
    for (n, (datagram, reason)) in cases.iter().enumerate() {
        let stats = attacked.send(std::slice::from_ref(datagram), |stats| dropped(stats) == n as u64 + 1);
        assert!(stats.dropped.contains_key(reason), "{reason:?}: {:?}", stats.dropped);
    }
    // A zero-length datagram, and reports full of lies on the port for reports.
    let lies = [
        vec![],
        words(&[0x81cd_0004, 1, 2, 0x0000_ffff, 0x0011_ffff]),
        words(&[0x83cd_0004, 1, 0, 2, 0]),
        words(&[0x81c9_0007, 1, 2, 0xffff_ffff, 9, u32::MAX, 1, 1]),
        words(&[0x81cb_0001, 99]),
    ];
    for lie in &lies {
        attacked.far_end.send_to(lie, attacked.rtcp).unwrap();
    }
    let counted = cases.len() as u64 + 1;
    let stats = attacked.send(&[], |stats| stats.remote_report.is_some() && dropped(stats) == counted);
    assert!(!stats.bye_received, "{stats:?}");
    let stats = attacked.send(&[good(4)], |stats| stats.packets_received == 3);
    assert_eq!((stats.remote_ssrc, stats.source), (Some(1), attacked.far_end.local_addr().ok()));
    // And it is played, when the buffer has filled.
    attacked.send(&[], |stats| stats.playout.is_some_and(|playout| playout.played_ms > 0.0));
}

#[test]
fn a_flood_of_keys_over_a_real_socket_is_told_at_most_once_each_and_what_is_too_much_is_counted() {
    let attacked = Attacked::new(FeedbackConfig::default());
    let (mut sequence, mut stats) = (0_u16, None);
    for batch in 0..50_u32 {
        let datagrams: Vec<Vec<u8>> = (0..40)
            .map(|n| {
                sequence += 1;
                let payload = Payload { event: (n % 20) as u8, end: true, volume: 10, duration: 160 };
                let mut packet = forged(1, sequence, &payload.to_bytes());
                packet[1] = 101;
                packet[4..8].copy_from_slice(&((batch * 40 + n) * 800).to_be_bytes());
                packet
            })
            .collect();
        let wanted = u64::from(batch + 1) * 40;
        stats = Some(attacked.send(&datagrams, |stats| stats.packets_received == wanted));
    }
    let stopped = attacked.engine.stop_stream(attacked.stream).unwrap();
    assert_eq!(stats.unwrap().packets_received, 2000);
    let told =
        attacked.events.try_iter().filter(|event| matches!(event, StreamEvent::Digit { .. })).count() as u64;
    let overflow = stopped.dropped.get(&DropReason::Overflow).copied().unwrap_or(0);
    // Seventeen of twenty codes are keys; what the worker had no room for was counted.
    assert!(told <= 1700 && told + overflow >= 1700, "{told} told, {:?}", stopped.dropped);
}
