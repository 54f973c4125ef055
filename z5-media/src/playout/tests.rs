//! Loss, reordering, late packets and drifting clocks, with fake time.

use proptest::prelude::*;

use super::*;
use crate::clock;

const FRAME: Duration = Duration::from_millis(20);

/// A packet whose every sample is a value that names it.
fn payload(n: u64) -> Vec<u8> {
    let mut bytes = vec![0; 160];
    Law::Mu.encode(&[(n as i16 % 100 + 1) * 100; 160], &mut bytes);
    bytes
}

fn value(n: u64) -> i16 {
    let mut out = [0];
    Law::Mu.decode(&payload(n)[..1], &mut out);
    out[0]
}

struct World {
    playout: AudioPlayout,
    start: Instant,
    drops: Vec<DropReason>,
}

impl World {
    fn new() -> Self {
        Self { playout: AudioPlayout::g711(Law::Mu), start: clock::now(), drops: Vec::new() }
    }

    fn insert(&mut self, n: u64, at: Duration) {
        let timestamp = (u32::MAX - 500).wrapping_add(n as u32 * 160);
        if let Err(reason) = self.playout.insert(70000 + n, timestamp, &payload(n), self.start + at) {
            self.drops.push(reason);
        }
    }

    /// The value of the middle sample of the next frame; `None` before the beginning.
    fn pull(&mut self, at: Duration) -> Option<i16> {
        let mut out = [0; 160];
        self.playout.pull(&mut out, self.start + at).then_some(out[100])
    }
}

#[test]
fn an_even_stream_is_played_whole_after_sixty_milliseconds() {
    let mut world = World::new();
    let mut heard = Vec::new();
    for n in 0..100 {
        let at = FRAME * n as u32;
        world.insert(n, at);
        heard.push(world.pull(at));
    }
    assert_eq!(heard[..3], [None; 3]);
    let expected: Vec<_> = (0..97).map(|n| Some(value(n))).collect();
    assert_eq!(heard[3..], expected[..]);
    let figures = world.playout.figures().unwrap();
    assert_eq!((figures.concealed_ms, figures.played_ms), (0.0, 97.0 * 20.0));
    assert_eq!(world.drops, []);
}

#[test]
fn a_lost_packet_is_concealed_and_a_reordered_one_is_not_missed() {
    let mut world = World::new();
    let mut heard = Vec::new();
    for n in 0..50_u64 {
        let at = FRAME * n as u32;
        match n {
            10 => {}
            20 => world.insert(21, at),
            21 => world.insert(20, at),
            n => world.insert(n, at),
        }
        heard.extend(world.pull(at));
    }
    assert_eq!((heard[20], heard[21], heard[22]), (value(20), value(21), value(22)));
    assert_eq!(world.playout.figures().unwrap().concealed_ms, 20.0);
    assert!(heard[10] != 0, "concealed by what came before, not by silence");
}

#[test]
fn late_packets_raise_the_delay_until_none_is_late() {
    let mut world = World::new();
    // Every tenth packet is 100 ms late; with the first delay it misses its place.
    for n in 0..600_u64 {
        let at = FRAME * n as u32;
        if n % 10 != 0 || n == 0 {
            world.insert(n, at);
        }
        if n >= 15 && (n - 5) % 10 == 0 {
            world.insert(n - 5, at);
        }
        world.pull(at);
    }
    let late = world.drops.iter().filter(|r| **r == DropReason::Late).count();
    assert!((1..15).contains(&late), "{late}");
    assert!(world.playout.figures().unwrap().target_delay_ms > 60.0);
}

#[test]
fn a_path_that_becomes_longer_is_followed() {
    let mut world = World::new();
    let mut heard = Vec::new();
    for n in 0..200_u64 {
        let at = FRAME * n as u32;
        // From packet 50 on everything takes 500 ms longer.
        if n < 50 {
            world.insert(n, at);
        } else if n >= 75 {
            world.insert(n - 25, at);
        }
        heard.push(world.pull(at));
    }
    let tail: Vec<_> = heard[150..].iter().flatten().copied().collect();
    assert!(tail.iter().all(|v| *v >= 100), "{tail:?}");
    let figures = world.playout.figures().unwrap();
    assert!(figures.concealed_ms < 800.0, "{figures:?}");
}

#[test]
fn a_faster_far_clock_is_met_by_leaving_out_a_little() {
    let mut world = World::new();
    let mut next = 0;
    // The far end sends 1 % faster for a minute: 600 ms more audio than we play.
    for tick in 0..3_000_u64 {
        let at = FRAME * tick as u32;
        while next * 100 <= tick * 101 {
            world.insert(next, at);
            next += 1;
        }
        world.pull(at);
    }
    let figures = world.playout.figures().unwrap();
    assert!((400.0..700.0).contains(&figures.skipped_ms), "{figures:?}");
    assert_eq!(world.drops, []);
}

#[test]
fn a_new_timestamp_base_and_packets_of_other_length_are_played() {
    let mut world = World::new();
    let mut out = [0; 160];
    for n in 0..20_u64 {
        let at = FRAME * n as u32;
        // 10 ms packets, and from the tenth pair on another timestamp base.
        for half in [0, 1] {
            let index = n * 2 + half;
            let base = if n < 10 { 0 } else { 90_000_000 };
            let timestamp = base + index as u32 * 80;
            world.playout.insert(70000 + index, timestamp, &payload(1)[..80], world.start + at).unwrap();
        }
        world.playout.pull(&mut out, world.start + at);
    }
    assert_eq!(out[80], value(1));
    assert!(world.playout.figures().unwrap().concealed_ms <= 80.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_pattern_of_arrival_is_played_in_order_and_on_time(
        arrivals in proptest::collection::vec((0_u64..200, 0_u32..3), 50..300)
    ) {
        let mut world = World::new();
        let mut tick = 0;
        for (n, pulls) in arrivals {
            world.insert(n, FRAME * tick);
            for _ in 0..pulls {
                world.pull(FRAME * tick);
                tick += 1;
            }
        }
        if let Some(figures) = world.playout.figures() {
            prop_assert!(figures.played_ms <= f64::from(tick) * 20.0);
            prop_assert!(figures.concealed_ms <= figures.played_ms);
        }
    }
}

#[test]
fn the_far_end_may_switch_between_codecs_of_one_rate() {
    let start = clock::now();
    let mut playout = AudioPlayout::new(AudioCodec::Pcmu, &[AudioCodec::Pcma, AudioCodec::G722]);
    let (mut mu, mut a) = ([0; 160], [0; 160]);
    Law::Mu.encode(&[4000; 160], &mut mu);
    Law::A.encode(&[4000; 160], &mut a);
    for n in 0..20_u32 {
        let codec = usize::from(n % 4 > 1);
        let payload = if codec == 0 { &mu } else { &a };
        playout.insert_of(codec, u64::from(n), n * 160, payload, start).unwrap();
    }
    // There is no fourth codec.
    assert_eq!(playout.insert_of(3, 30, 4800, &[0; 160], start), Err(DropReason::UnknownPayloadType));
    let mut out = [0; 160];
    for n in 0..15 {
        playout.pull(&mut out, start + START_DELAY + FRAME * n);
        assert!(out.iter().all(|sample| (3900..4100).contains(sample)), "{n} {out:?}");
    }
}

#[test]
fn g722_counts_half_as_many_timestamp_units_as_samples() {
    let start = clock::now();
    let mut playout = AudioPlayout::new(AudioCodec::G722, &[]);
    for n in 0..20_u32 {
        playout.insert(u64::from(n), n * 160, &[0xfa; 160], start).unwrap();
    }
    let mut out = [0; 320];
    for n in 0..20 {
        assert!(playout.pull(&mut out, start + START_DELAY + FRAME * n));
    }
    let figures = playout.figures().unwrap();
    assert_eq!((figures.played_ms, figures.concealed_ms), (400.0, 0.0));
}

#[test]
fn described_silence_is_noise_and_no_concealment() {
    let start = clock::now();
    let mut playout = AudioPlayout::g711(Law::Mu);
    for n in 0..10_u64 {
        playout.insert(n, n as u32 * 160, &payload(n), start).unwrap();
    }
    playout.insert_comfort_noise(10, 1600, 40);
    let mut out = [0; 160];
    let mut now = start + START_DELAY;
    for _ in 0..100 {
        playout.pull(&mut out, now);
        now += FRAME;
    }
    let figures = playout.figures().unwrap();
    assert_eq!(figures.concealed_ms, 0.0, "{figures:?}");
    assert!(figures.comfort_noise_ms > 1700.0 && out.iter().any(|sample| *sample != 0), "{figures:?}");
    // Five seconds after the last word the next one is heard from its beginning.
    playout.insert(11, 41600, &payload(7), now).unwrap();
    let mut heard = false;
    for _ in 0..10 {
        playout.pull(&mut out, now);
        now += FRAME;
        heard |= out.contains(&value(7));
    }
    assert!(heard);
}

/// Packets of a tone of 500 Hz, 20 ms each, at the codec's own rate.
fn tone_packets(codec: AudioCodec, count: usize, options: &crate::OpusOptions) -> Vec<Vec<u8>> {
    let rate = codec.sample_rate();
    let mut encoder = crate::codec::audio::Encoder::new(codec, rate, options).unwrap();
    let frame = rate as usize / 50;
    let encode = |n: usize| {
        let turns = |at: usize| (n * frame + at) as f64 * 500.0 / f64::from(rate);
        let samples: Vec<i16> =
            (0..frame).map(|at| ((turns(at) * std::f64::consts::TAU).sin() * 8000.0) as i16).collect();
        let mut encoded = vec![0; 1500];
        let len = encoder.encode(&samples, &mut encoded);
        encoded.truncate(len);
        encoded
    };
    (0..count).map(encode).collect()
}

fn rms(samples: &[i16]) -> f64 {
    (samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum::<f64>() / samples.len() as f64).sqrt()
}

#[test]
fn the_far_end_may_switch_to_a_codec_of_any_rate() {
    // At 8, 16 and (with Opus) 48 kHz; the last switch changes the clock of the timestamps too.
    for main in AudioCodec::ALL {
        let start = clock::now();
        let others: Vec<_> = AudioCodec::ALL.into_iter().filter(|other| *other != main).collect();
        let mut playout = AudioPlayout::new(main, &others);
        let frame = main.sample_rate() as usize / 50;
        let mut sequence = 0;
        let mut timestamp = 1000_u32;
        for (at, codec) in std::iter::once(main).chain(others.iter().copied()).enumerate() {
            let mut heard = vec![0; frame];
            for packet in tone_packets(codec, 40, &crate::OpusOptions::default()) {
                let now = start + FRAME * sequence as u32;
                playout.insert_of(at, sequence, timestamp, &packet, now).unwrap();
                timestamp = timestamp.wrapping_add(codec.clock_rate() / 50);
                sequence += 1;
                playout.pull(&mut heard, now);
            }
            let level = 20.0 * (rms(&heard) / 5657.0).log10();
            assert!(level.abs() < 1.5, "{main:?}, then {codec:?}: {level} dB");
        }
    }
}

#[cfg(feature = "opus")]
#[test]
fn opus_rebuilds_single_losses_and_makes_up_longer_ones() {
    let start = clock::now();
    let options =
        crate::OpusOptions { fec: true, max_playback_rate: Some(16_000), ..crate::OpusOptions::default() };
    let mut playout = AudioPlayout::new(AudioCodec::Opus, &[]);
    let mut out = vec![0; 960];
    let mut quiet = Vec::new();
    for (n, packet) in (0_u32..).zip(tone_packets(AudioCodec::Opus, 100, &options)) {
        let now = start + FRAME * n;
        // Two single losses, then one of three packets in a row.
        if !matches!(n, 40 | 50 | 60..=62) {
            playout.insert(u64::from(n), n * 960, &packet, now).unwrap();
        }
        if playout.pull(&mut out, now) && n > 10 {
            quiet.extend(Some((n, rms(&out).round())).filter(|(_, rms)| *rms < 200.0));
        }
    }
    let figures = playout.figures().unwrap();
    // Of the three the last is rebuilt too.
    assert_eq!((figures.recovered_ms, figures.concealed_ms), (60.0, 40.0), "{figures:?}");
    // Redundancy is coded with few bits and concealment fades: softer than the tone, but no hole.
    assert!(quiet.is_empty(), "silent frames: {quiet:?}");
}

#[cfg(feature = "opus")]
#[test]
fn silence_that_opus_does_not_send_is_no_loss() {
    let start = clock::now();
    let options = crate::OpusOptions { dtx: true, ..crate::OpusOptions::default() };
    let mut encoder = crate::codec::audio::Encoder::new(AudioCodec::Opus, 48_000, &options).unwrap();
    let mut playout = AudioPlayout::new(AudioCodec::Opus, &[]);
    let (mut out, mut encoded, mut sequence) = (vec![0; 960], vec![0; 1500], 0);
    for n in 0..200_u32 {
        let now = start + FRAME * n;
        let len = encoder.encode(&[0; 960], &mut encoded);
        if len > 0 {
            playout.insert(sequence, n * 960, &encoded[..len], now).unwrap();
            sequence += 1;
        }
        playout.pull(&mut out, now);
    }
    let figures = playout.figures().unwrap();
    assert!(sequence < 60, "{sequence} packets in four seconds of silence");
    assert_eq!(figures.recovered_ms, 0.0, "{figures:?}");
}

#[test]
fn what_does_not_come_on_hold_was_neither_played_nor_made_up() {
    let mut world = World::new();
    let frames = |from: u64, to: u64, world: &mut World, comes: bool| {
        for n in from..to {
            if comes {
                world.insert(n, FRAME * n as u32);
            }
            world.pull(FRAME * n as u32);
        }
    };
    frames(0, 50, &mut world, true);
    frames(50, 53, &mut world, false);
    let before = world.playout.figures().unwrap();
    world.playout.expect(false);
    frames(53, 150, &mut world, false);
    assert_eq!(world.playout.figures().unwrap(), before);
    world.playout.expect(true);
    frames(150, 200, &mut world, false);
    let after = world.playout.figures().unwrap();
    assert_eq!(
        (after.played_ms - before.played_ms, after.concealed_ms - before.concealed_ms),
        (1000.0, 1000.0)
    );
}
