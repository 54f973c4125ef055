//! Two engines on a network in memory, and fake time: nothing waits, and the same happens each time.

use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::clock;
use crate::codec::h264::Mode;
use crate::engine::{
    AudioCodec, AudioConfig, AudioOptions, Direction, Engine, EngineConfig, LocalPort, MediaError,
    StreamConfig, StreamEvent, StreamId, StreamKind, TextConfig, TextPayloadTypes, VideoConfig,
};
use crate::loopback;
use crate::quality::Listener;
use crate::sink::{AudioSink, Null, SinkError};
use crate::source::Tone;
use crate::stats::StreamStats;
use crate::stream::FeedbackConfig;
use crate::video::tests_support::stream;
use crate::video::{AnnexBSource, NoPicture, OwnedFrame, VideoSink, VideoSource, feed, frames};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Each datagram takes this long.
const HOP: Duration = Duration::from_millis(10);

/// A network, the time on it, and what is under way.
struct World {
    network: Network,
    now: Arc<Mutex<Instant>>,
    flying: VecDeque<(Instant, Datagram)>,
}

impl World {
    fn new() -> Self {
        let now = Arc::new(Mutex::new(clock::now()));
        let clock = Arc::clone(&now);
        let network = Network::new(move || *clock.lock().unwrap(), Duration::from_secs(1_800_000_000), || ());
        Self { network, now, flying: VecDeque::new() }
    }

    fn engine(&self) -> (Engine, Receiver<StreamEvent>) {
        let (sender, events) = channel();
        let mut config = EngineConfig::new(move |event| drop(sender.send(event)));
        config.port_seed = 0;
        (Engine::simulated(config, &self.network), events)
    }

    /// Lets time pass; every `lost`-th datagram never arrives.
    fn live(&mut self, time: Duration, lost: Option<usize>) {
        let until = *self.now.lock().unwrap() + time;
        let mut sent = 0;
        loop {
            let now = *self.now.lock().unwrap();
            for datagram in self.network.sent() {
                sent += 1;
                if lost.is_none_or(|lost| sent % lost != 0) {
                    self.flying.push_back((now + HOP, datagram));
                }
            }
            let landing = self.flying.front().map(|(at, _)| *at);
            let next = landing.into_iter().chain(self.network.next_deadline()).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            *self.now.lock().unwrap() = next.max(now);
            while let Some((_, datagram)) = self.flying.pop_front_if(|(at, _)| *at <= next) {
                self.network.deliver(datagram);
            }
            self.network.turn();
        }
        *self.now.lock().unwrap() = until;
    }
}

fn config(kind: StreamKind, to: &LocalPort, ssrc: u32) -> StreamConfig {
    StreamConfig {
        kind,
        remote: to.rtp_addr(),
        remote_rtcp: to.rtcp_addr(),
        rtcp_mux: false,
        direction: Direction::BOTH,
        srtp: None,
        ssrc,
        first_sequence: 1000,
        first_timestamp: 77,
        cname: "test@z5.invalid".into(),
    }
}

fn tone(hz: f64) -> StreamKind {
    StreamKind::Audio(AudioConfig {
        codec: AudioCodec::Pcmu,
        send_payload_type: 0,
        receive_payload_type: 0,
        telephone_event: None,
        ptime_ms: 20,
        source: Box::new(Tone::new(hz, -12.0)),
        sink: Box::new(Null),
        options: AudioOptions::default(),
    })
}

/// Starts one stream at each end.
fn joined(a: &Engine, b: &Engine, kinds: [StreamKind; 2]) -> [StreamId; 2] {
    let (port_a, port_b) = (a.reserve(LOCAL, 0..=0).unwrap(), b.reserve(LOCAL, 0..=0).unwrap());
    let [kind_a, kind_b] = kinds;
    let (config_a, config_b) = (config(kind_a, &port_b, 1), config(kind_b, &port_a, 2));
    [a.start_stream(port_a, config_a).unwrap(), b.start_stream(port_b, config_b).unwrap()]
}

/// Two tones for two simulated minutes.
fn call(lost: Option<usize>) -> [StreamStats; 2] {
    let mut world = World::new();
    let ((a, _events_a), (b, _events_b)) = (world.engine(), world.engine());
    let [stream_a, stream_b] = joined(&a, &b, [tone(1000.0), tone(440.0)]);
    world.live(Duration::from_secs(120), lost);
    [a.stop_stream(stream_a).unwrap(), b.stop_stream(stream_b).unwrap()]
}

#[test]
fn two_minutes_of_tones_take_a_moment_and_are_measured_as_they_were() {
    let [a, b] = call(None);
    for (report, hz) in [(&a, 440.0), (&b, 1000.0)] {
        assert!((report.heard.unwrap().dominant_hz.unwrap() - hz).abs() < 2.0, "{report:?}");
        assert_eq!((report.lost, report.dropped.len(), report.send_errors), (Some(0), 0, 0), "{report:?}");
        assert!((5990..=6001).contains(&report.packets_received), "{report:?}");
        // There and back, by RTCP.
        assert!((report.round_trip_ms.unwrap() - 20.0).abs() < 0.1, "{report:?}");
        assert!(report.jitter_ms.unwrap() < 0.5, "{report:?}");
    }
}

#[test]
fn the_same_world_gives_the_same_figures_and_another_one_others() {
    let figures = |lost| format!("{:?}", call(lost));
    let one = figures(Some(50));
    assert_eq!(one, figures(Some(50)));
    assert_ne!(one, figures(Some(20)));
    let [a, _] = call(Some(50));
    let share = a.lost.unwrap() as f64 / 6000.0;
    assert!((0.01..0.05).contains(&share), "{share}");
}

/// Keeps what is heard, for the test to read.
struct Heard(Arc<Mutex<Vec<i16>>>);

impl AudioSink for Heard {
    fn open(&mut self, _: u32) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, frame: &[i16]) -> Result<(), SinkError> {
        self.0.lock().unwrap().extend_from_slice(frame);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn another_source_is_heard_from_the_next_frame_on_and_nothing_is_missing() {
    let mut world = World::new();
    let ((a, events_a), (b, _events_b)) = (world.engine(), world.engine());
    let samples = Arc::new(Mutex::new(Vec::new()));
    let mut listens = tone(0.0);
    let StreamKind::Audio(audio) = &mut listens else { panic!("audio") };
    audio.sink = Box::new(Heard(Arc::clone(&samples)));
    let [stream_a, stream_b] = joined(&a, &b, [tone(440.0), listens]);
    let tone_of = |from: usize, to: usize| {
        let mut listener = Listener::new(8000);
        listener.hear(&samples.lock().unwrap()[from * 8000..to * 8000]);
        listener.heard().unwrap()
    };
    world.live(Duration::from_secs(4), None);
    a.set_audio_source(stream_a, Box::new(Tone::new(1000.0, -12.0).lasting(Duration::from_secs(4)))).unwrap();
    world.live(Duration::from_secs(6), None);
    // It has ended meanwhile, which is told, and is followed all the same.
    let ended = |event| matches!(event, StreamEvent::SourceEnded { .. });
    assert_eq!(events_a.try_iter().filter(|event| ended(event.clone())).count(), 1);
    a.set_audio_source(stream_a, Box::new(Tone::new(600.0, -12.0))).unwrap();
    world.live(Duration::from_secs(4), None);
    for (from, hz) in [(1, 440.0), (5, 1000.0), (11, 600.0)] {
        let heard = tone_of(from, from + 2);
        assert!((heard.dominant_hz.unwrap() - hz).abs() < 2.0, "{from} s: {heard:?}");
        assert!(heard.tone_share.unwrap() > 0.95, "{from} s: {heard:?}");
    }
    // The change itself: no gap and no hole between two tones.
    let quiet = samples.lock().unwrap()[3 * 8000..7 * 8000]
        .chunks(80)
        .filter(|part| part.iter().all(|sample| sample.unsigned_abs() < 1000))
        .count();
    assert_eq!(quiet, 0);
    let [_, report] = [a.stop_stream(stream_a).unwrap(), b.stop_stream(stream_b).unwrap()];
    assert_eq!((report.lost, report.reordered, report.dropped.len()), (Some(0), 0, 0), "{report:?}");
    assert!((695..=701).contains(&report.packets_received), "{report:?}");
    assert_eq!(report.playout.unwrap().concealed_ms, 0.0, "time stamps went on: {report:?}");
    assert!(matches!(
        a.set_audio_source(stream_a, Box::new(Tone::new(1.0, 0.0))),
        Err(MediaError::NoSuchStream)
    ));
}

#[test]
fn another_source_must_fit_the_stream() {
    let mut world = World::new();
    let ((a, _events_a), (b, _events_b)) = (world.engine(), world.engine());
    let video = |mode| {
        StreamKind::Video(VideoConfig {
            send_payload_type: 97,
            receive_payload_type: 97,
            also_received: Vec::new(),
            mode,
            level: None,
            feedback: FeedbackConfig::default(),
            max_bits_per_second: 1_000_000,
            source: Box::new(NoPicture),
            sink: Box::new(NoPicture),
        })
    };
    let [whole, split] = joined(&a, &b, [video(Mode::SingleNal), video(Mode::NonInterleaved)]);
    let film = |slice| Box::new(AnnexBSource::of(stream(20, 10, slice)).unwrap());
    let refused = a.set_video_source(whole, film(1181)).unwrap_err();
    assert!(matches!(refused, MediaError::UnitTooLarge { largest: 1181, limit: 1180 }), "{refused}");
    a.set_video_source(whole, film(1180)).unwrap();
    b.set_video_source(split, film(20_000)).unwrap();
    world.live(Duration::from_secs(1), None);
    for (engine, stream) in [(&a, whole), (&b, split)] {
        let video = engine.stats(stream).unwrap().video.unwrap();
        assert_eq!((video.pictures_sent, video.pictures_left_out), (20, 0), "{video:?}");
        assert_eq!((video.pictures_received, video.pictures_dropped), (20, 0), "{video:?}");
    }
    let sound = Box::new(Tone::new(440.0, -12.0));
    assert!(matches!(a.set_audio_source(whole, sound), Err(MediaError::WrongKind { .. })));
}

#[test]
fn text_arrives_in_simulated_time_and_what_came_before_the_stream_is_not_lost() {
    let mut world = World::new();
    let ((a, _events_a), (b, events_b)) = (world.engine(), world.engine());
    let types = TextPayloadTypes { t140: 98, red: Some(99) };
    let kind = || StreamKind::Text(TextConfig { send: types, receive: types, characters_per_second: 30 });
    let (port_a, port_b) = (a.reserve(LOCAL, 0..=0).unwrap(), b.reserve(LOCAL, 0..=0).unwrap());
    let (config_a, config_b) = (config(kind(), &port_b, 1), config(kind(), &port_a, 2));
    let stream_a = a.start_stream(port_a, config_a).unwrap();
    a.send_text(stream_a, "hello").unwrap();
    world.live(Duration::from_secs(1), None);
    // The far end picks up late: what waits at its port is taken then.
    b.start_stream(port_b, config_b).unwrap();
    world.live(Duration::from_secs(1), None);
    let texts = events_b
        .try_iter()
        .filter_map(|event| if let StreamEvent::Text { text, .. } = event { Some(text) } else { None });
    assert_eq!(texts.collect::<String>().trim_start_matches('\u{feff}'), "hello");
}

/// A compound of a mixer: a receiver report, and the names of these people.
fn described(people: &[usize]) -> Vec<u8> {
    let mut body = Vec::new();
    for person in people {
        body.extend((100 + *person as u32).to_be_bytes());
        body.extend([2, NAMES[*person].len() as u8]);
        body.extend(NAMES[*person].bytes());
        body.resize(body.len() / 4 * 4 + 4, 0);
    }
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    [&report[..], &[0x80 | people.len() as u8, 202, 0, (body.len() / 4) as u8], &body].concat()
}

const NAMES: [&str; 3] = ["Ann", "Bo", "Chloé"];

#[test]
fn the_sources_of_a_mixer_are_labelled_whatever_is_lost_or_late() {
    let mut labelled = 0;
    for seed in 1..=40_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut below = |end: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 11) % end
        };
        let mut world = World::new();
        let (engine, events) = world.engine();
        let [mixer, mixer_rtcp] = [40_000, 40_001].map(|port| SocketAddr::new(LOCAL, port));
        let port = engine.reserve(LOCAL, 0..=0).unwrap();
        let [rtp, rtcp] = [port.rtp_addr(), port.rtcp_addr()];
        let types = TextPayloadTypes { t140: 98, red: None };
        let kind = StreamKind::Text(TextConfig { send: types, receive: types, characters_per_second: 30 });
        let config = StreamConfig { remote: mixer, remote_rtcp: mixer_rtcp, ..config(kind, &port, 1) };
        engine.start_stream(port, config).unwrap();
        // What arrives when: words of somebody, or names.
        let mut arrivals = Vec::new();
        for n in 0..60_u64 {
            let at = 100 * n + below(250);
            let person = below(3) as usize;
            if below(5) == 0 {
                continue;
            }
            if below(3) == 0 {
                let people: Vec<usize> = (0..3).filter(|_| below(2) == 0).collect();
                arrivals.push((at, Err(people)));
            } else {
                let mut packet = vec![0x81, 98];
                packet.extend((n as u16).to_be_bytes());
                packet.extend((100 * n as u32).to_be_bytes());
                packet.extend(9_u32.to_be_bytes());
                packet.extend((100 + person as u32).to_be_bytes());
                packet.extend(b"word");
                arrivals.push((at, Ok((person, packet))));
            }
        }
        arrivals.sort_by_key(|(at, _)| *at);
        let mut named = [false; 3];
        let start = *world.now.lock().unwrap();
        for (at, what) in arrivals {
            let now = *world.now.lock().unwrap();
            world.live((start + Duration::from_millis(at)).saturating_duration_since(now), None);
            let (from, to, bytes) = match &what {
                Ok((_, packet)) => (mixer, rtp, packet.clone()),
                Err(people) => (mixer_rtcp, rtcp, described(people)),
            };
            assert!(world.network.deliver(Datagram { from, to, bytes }));
            world.network.turn();
            if let Err(people) = &what {
                people.iter().for_each(|person| named[*person] = true);
            }
            for event in events.try_iter() {
                let StreamEvent::Text { text, source: Some(source), label, .. } = event else { continue };
                let Ok((person, _)) = what else { panic!("names are no text") };
                assert_eq!((source, text.as_str()), (100 + person as u32, "word"), "seed {seed}");
                assert_eq!(label.as_deref(), named[person].then_some(NAMES[person]), "seed {seed}");
                labelled += usize::from(label.is_some());
            }
        }
    }
    assert!(labelled > 200, "{labelled} labelled words");
}

#[test]
fn ports_are_pairs_are_freed_and_are_never_shared() {
    let world = World::new();
    let (engine, _events) = world.engine();
    let held = engine.reserve(LOCAL, 20_000..=20_003).unwrap();
    let other = engine.reserve(LOCAL, 20_000..=20_003).unwrap();
    assert_eq!((held.rtp_addr().port() % 2, held.rtcp_addr().port()), (0, held.rtp_addr().port() + 1));
    assert_ne!(held.rtp_addr(), other.rtp_addr());
    let full = engine.reserve(LOCAL, 20_000..=20_003).unwrap_err();
    assert!(matches!(full, PortError::Exhausted { pairs: 2, .. }), "{full}");
    drop(held);
    assert!(engine.reserve(LOCAL, 20_000..=20_003).is_ok());
    assert!(matches!(engine.share(LOCAL, 0..=0), Err(PortError::Simulated)));
}

fn pictures(source: impl VideoSource + 'static, sink: impl VideoSink + 'static) -> StreamKind {
    let feedback = FeedbackConfig { pli: true, reduced_size: true, ..FeedbackConfig::default() };
    StreamKind::Video(VideoConfig {
        send_payload_type: 97,
        receive_payload_type: 97,
        also_received: Vec::new(),
        mode: Mode::NonInterleaved,
        level: None,
        feedback,
        max_bits_per_second: 1_000_000,
        source: Box::new(source),
        sink: Box::new(sink),
    })
}

#[test]
fn an_echo_gives_pictures_back_byte_for_byte_and_as_far_apart() {
    let mut world = World::new();
    let ((a, _events_a), (b, _events_b)) = (world.engine(), world.engine());
    let bytes = stream(60, 10, 3000);
    let film = AnnexBSource::of(bytes.clone()).unwrap().at_rate(50.0).unwrap();
    let ((sink, seen), (echoed, echo)) = (frames(), loopback::pictures());
    let [caller, callee] = joined(&a, &b, [pictures(film, sink), pictures(echo, echoed)]);
    let mut back: Vec<OwnedFrame> = Vec::new();
    for _ in 0..5 {
        world.live(Duration::from_millis(400), None);
        back.extend(seen.try_iter());
    }
    assert!(back.iter().flat_map(|frame| &frame.data).eq(&bytes), "{} pictures", back.len());
    let apart = |pair: &[OwnedFrame]| pair[1].timestamp.wrapping_sub(pair[0].timestamp);
    assert!(back.windows(2).all(|pair| apart(pair) == 1800));
    let (ours, theirs) = (a.stop_stream(caller).unwrap(), b.stop_stream(callee).unwrap());
    // What comes leaves in the same turn: there and back are two hops, and the packets of the first picture are spread.
    let first = ours.video.unwrap().first_frame_ms.unwrap();
    assert!((20.0..75.0).contains(&first), "{first}");
    assert_eq!(theirs.video.unwrap().pictures_sent, 60);
}

#[test]
fn lost_packets_of_a_film_are_sent_again_between_two_engines() {
    let mut world = World::new();
    let ((a, _events_a), (b, _events_b)) = (world.engine(), world.engine());
    let bytes = stream(60, 10, 3000);
    let film = AnnexBSource::of(bytes.clone()).unwrap().at_rate(50.0).unwrap();
    let (sink, seen) = frames();
    let kinds = [pictures(film, NoPicture), pictures(NoPicture, sink)].map(|mut kind| {
        if let StreamKind::Video(config) = &mut kind {
            config.feedback.nack = true;
        }
        kind
    });
    let [sender, receiver] = joined(&a, &b, kinds);
    let mut heard = Vec::new();
    for _ in 0..5 {
        world.live(Duration::from_millis(400), Some(17));
        heard.extend(seen.try_iter().flat_map(|frame| frame.data));
    }
    assert!(heard == bytes, "the film is the same byte for byte");
    let (sent, report) = (a.stop_stream(sender).unwrap(), b.stop_stream(receiver).unwrap());
    let (answered, asked) = (sent.feedback.unwrap(), report.feedback.unwrap());
    assert!(asked.packets_recovered > 10 && answered.nacks_received > 0, "{asked:?} {answered:?}");
    assert!(answered.packets_resent >= asked.packets_recovered, "{asked:?} {answered:?}");
    assert_eq!(report.video.unwrap().pictures_dropped, 0);
}

#[test]
fn a_key_frame_that_is_wanted_of_an_echo_is_asked_of_the_far_end() {
    let mut world = World::new();
    let ((a, events), (b, _events_b)) = (world.engine(), world.engine());
    let ((camera, source), (sink, seen), (echoed, echo)) = (feed(), frames(), loopback::pictures());
    let [caller, _] = joined(&a, &b, [pictures(source, sink), pictures(echo, echoed)]);
    camera.push(stream(1, 1, 100)).unwrap();
    world.live(Duration::from_secs(1), None);
    assert!(seen.try_iter().next().is_some_and(|frame| frame.key_frame));
    assert!(!camera.take_key_frame_wish());
    a.request_key_frame(caller).unwrap();
    world.live(Duration::from_millis(500), None);
    assert!(camera.take_key_frame_wish(), "the wish went through the echo");
    camera.push(stream(1, 1, 100)).unwrap();
    world.live(Duration::from_millis(500), None);
    assert!(seen.try_iter().any(|frame| frame.key_frame), "and its answer back");
    let wishes = |event: &StreamEvent| matches!(event, StreamEvent::KeyFrameRequested { .. });
    assert!(events.try_iter().any(|event| wishes(&event)));
}

#[test]
fn a_key_frame_that_the_embedder_asks_for_is_asked_for_until_it_came() {
    let mut world = World::new();
    let ((a, _events_a), (b, _events_b)) = (world.engine(), world.engine());
    let ((camera, source), (sink, seen)) = (feed(), frames());
    let [asking, _] = joined(&a, &b, [pictures(NoPicture, sink), pictures(source, NoPicture)]);
    camera.push(stream(1, 1, 100)).unwrap();
    world.live(Duration::from_secs(1), None);
    a.request_key_frame(asking).unwrap();
    world.live(Duration::from_secs(3), None);
    assert!(camera.take_key_frame_wish());
    camera.push(stream(1, 1, 100)).unwrap();
    world.live(Duration::from_secs(1), None);
    assert_eq!(seen.try_iter().filter(|frame| frame.key_frame).count(), 2);
    // One that was on its way when the picture left.
    let _ = camera.take_key_frame_wish();
    world.live(Duration::from_secs(10), None);
    assert!(!camera.take_key_frame_wish(), "it came");
    let asked = a.stop_stream(asking).unwrap().feedback.unwrap().plis_sent;
    assert!((2..25).contains(&asked), "{asked} times in three seconds without one, none later");
}

#[test]
fn an_echo_gives_sound_back() {
    let mut world = World::new();
    let ((a, _events_a), (b, _events_b)) = (world.engine(), world.engine());
    let (sink, source) = loopback::echo(0);
    let StreamKind::Audio(config) = tone(440.0) else { panic!("a tone is sound") };
    let echo = AudioConfig { source: Box::new(source), sink: Box::new(sink), ..config };
    let [caller, _] = joined(&a, &b, [tone(440.0), StreamKind::Audio(echo)]);
    world.live(Duration::from_secs(3), None);
    let heard = a.stop_stream(caller).unwrap().heard.unwrap();
    assert!((heard.dominant_hz.unwrap() - 440.0).abs() < 2.0, "{heard:?}");
}

/// The address of the machine changes in the middle of a call.
#[test]
fn a_stream_goes_on_from_another_address_and_loses_nothing_of_itself() {
    let mut world = World::new();
    let ((a, events_a), (b, _events_b)) = (world.engine(), world.engine());
    let [stream_a, stream_b] = joined(&a, &b, [tone(1000.0), tone(440.0)]);
    world.live(Duration::from_secs(5), None);
    let elsewhere = a.reserve("127.0.0.2".parse().unwrap(), 0..=0).unwrap();
    let (rtp, rtcp) = (elsewhere.rtp_addr(), elsewhere.rtcp_addr());
    a.set_local(stream_a, elsewhere).unwrap();
    // The far end hears of it by signalling.
    b.set_remote(stream_b, rtp, rtcp).unwrap();
    world.live(Duration::from_secs(5), None);
    let [figures_a, figures_b] = [a.stop_stream(stream_a).unwrap(), b.stop_stream(stream_b).unwrap()];
    // What was under way to the old port is lost, and nothing else.
    for (figures, lost) in [(&figures_a, 2), (&figures_b, 0)] {
        assert!(figures.lost.unwrap() <= lost && figures.send_errors == 0, "{figures:?}");
        assert!(figures.heard.as_ref().unwrap().tone_share.unwrap() > 0.95, "{figures:?}");
        assert!(figures.packets_received >= 495, "{figures:?}");
    }
    assert_eq!(events_a.try_iter().filter(|e| matches!(e, StreamEvent::FirstPacket { .. })).count(), 1);
    // Both ports of the first place are free again.
    let free = a.reserve(LOCAL, 10_000..=10_001);
    assert!(free.is_ok(), "{free:?}");
}
