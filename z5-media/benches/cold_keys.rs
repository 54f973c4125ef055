//! What sealing and opening cost with the keys of many streams, which come in no order and are in no near cache: the library's
//! primitive with keys it hides, and our whole SRTP with each key asked for a packet ahead and not. Kinds take turns pass by pass
//! in one process, so that a busy machine disturbs all alike; ratios are of passes that followed each other.
//!
//! `cargo bench -p z5-media --bench cold_keys`
#![expect(clippy::expect_used, reason = "a benchmark may stop at what cannot happen")]
#![expect(clippy::print_stdout, reason = "its result")]

use std::hint::black_box;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use z5_media::clock::now;
use z5_media::rtp::{HEADER_LEN, Header};
use z5_media::srtp::{Receiver, Sender, SrtpParams, SrtpSuite};

/// Packets sealed, and then opened, one after the other, as a turn of the engine does.
const TURN: usize = 50;
/// Bytes touched between turns, as the system's own work does.
const BETWEEN: usize = 256 << 10;
const PASSES: usize = 300;

/// A stream's keys, both ways.
trait Stream {
    fn new() -> Self;
    fn seal(&mut self, packet: &mut [u8], len: usize) -> usize;
    fn open(&mut self, packet: &mut [u8]) -> bool;
    fn ask_sealing(&self) {}
    fn ask_opening(&self) {}
}

/// The primitive with nothing around it.
struct Primitive {
    sealing: LessSafeKey,
    opening: LessSafeKey,
    packets: u32,
}

impl Primitive {
    fn nonce(&self) -> Nonce {
        let mut nonce = [9; 12];
        nonce[8..].copy_from_slice(&self.packets.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Stream for Primitive {
    fn new() -> Self {
        let key = || LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).expect("16 bytes"));
        Self { sealing: key(), opening: key(), packets: 0 }
    }

    fn seal(&mut self, packet: &mut [u8], len: usize) -> usize {
        self.packets += 1;
        let (header, rest) = packet.split_at_mut(HEADER_LEN);
        let (payload, room) = rest.split_at_mut(len - HEADER_LEN);
        let tag = self
            .sealing
            .seal_in_place_separate_tag(self.nonce(), Aad::from(&*header), payload)
            .expect("room");
        room[..16].copy_from_slice(tag.as_ref());
        len + 16
    }

    fn open(&mut self, packet: &mut [u8]) -> bool {
        let (header, sealed) = packet.split_at_mut(HEADER_LEN);
        self.opening.open_in_place(self.nonce(), Aad::from(&*header), sealed).is_ok()
    }
}

/// Ours.
struct Srtp<const AHEAD: bool>(Sender, Receiver);

impl<const AHEAD: bool> Stream for Srtp<AHEAD> {
    fn new() -> Self {
        let suite = SrtpSuite::AeadAes128Gcm;
        let key = vec![7; suite.key_and_salt_len()];
        let params = SrtpParams::new(suite, &key, &key).expect("its length");
        let (sender, receiver) = params.contexts().expect("keys");
        Self(sender, receiver)
    }

    fn seal(&mut self, packet: &mut [u8], len: usize) -> usize {
        self.0.protect_rtp(packet, len).expect("room")
    }

    fn open(&mut self, packet: &mut [u8]) -> bool {
        self.1.unprotect_rtp(packet).is_ok()
    }

    fn ask_sealing(&self) {
        if AHEAD {
            self.0.prefetch();
        }
    }

    fn ask_opening(&self) {
        if AHEAD {
            self.1.prefetch();
        }
    }
}

/// Streams, the packets of a turn, and what the system is said to touch.
struct Bench<S> {
    streams: Vec<Box<S>>,
    packets: Vec<[u8; 2048]>,
    between: Vec<u64>,
    sequence: u16,
}

impl<S: Stream> Bench<S> {
    fn new(count: usize) -> Self {
        Self {
            streams: (0..count).map(|_| Box::new(S::new())).collect(),
            packets: vec![[0x55; 2048]; TURN],
            between: vec![0; BETWEEN / 8],
            sequence: 0,
        }
    }

    /// Nanoseconds for a packet sealed and one opened.
    fn pass(&mut self, order: &[u32], size: usize) -> f64 {
        let mut spent = 0.0;
        self.sequence = self.sequence.wrapping_add(1);
        for turn in order.chunks(TURN) {
            self.between.iter_mut().step_by(8).for_each(|word| *word = word.wrapping_add(1));
            black_box(&mut self.between);
            for packet in &mut self.packets {
                Header { payload_type: 0, marker: false, sequence: self.sequence, timestamp: 160, ssrc: 7 }
                    .write(packet.first_chunk_mut().expect("long enough"));
            }
            let mut lens = [0; TURN];
            let start = now();
            for (n, at) in turn.iter().enumerate() {
                if let Some(next) = turn.get(n + 1) {
                    self.streams[*next as usize].ask_sealing();
                }
                lens[n] = self.streams[*at as usize].seal(&mut self.packets[n], size);
            }
            for (n, at) in turn.iter().enumerate() {
                if let Some(next) = turn.get(n + 1) {
                    self.streams[*next as usize].ask_opening();
                }
                assert!(self.streams[*at as usize].open(&mut self.packets[n][..lens[n]]), "authentic");
            }
            spent += start.elapsed().as_secs_f64();
        }
        spent * 1e9 / order.len() as f64
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % below
    };
    println!("AEAD_AES_128_GCM, ns for a packet sealed and one opened; medians of {PASSES} passes");
    for count in [1000, 2000] {
        for size in [172, 1200] {
            let mut primitive = Bench::<Primitive>::new(count);
            let (mut plain, mut ahead) = (Bench::<Srtp<false>>::new(count), Bench::<Srtp<true>>::new(count));
            let mut times = [const { Vec::new() }; 3];
            let mut order: Vec<u32> = (0..count as u32).collect();
            for _ in 0..PASSES {
                (1..count).rev().for_each(|n| order.swap(n, random(n + 1)));
                times[0].push(primitive.pass(&order, size));
                times[1].push(plain.pass(&order, size));
                times[2].push(ahead.pass(&order, size));
            }
            let gain = median(times[1].iter().zip(&times[2]).map(|(plain, ahead)| plain / ahead).collect());
            let [primitive, plain, ahead] = times.map(median);
            println!(
                "  {count} streams, {size} B: primitive of aws-lc-rs {primitive:.0}, SRTP {plain:.0}, asked for ahead {ahead:.0} ({gain:.2}x)"
            );
        }
    }
}
