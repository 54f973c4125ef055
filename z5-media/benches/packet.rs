//! What one packet costs: SRTP in place beside the cryptographic primitive alone and beside webrtc-srtp, and RTP parsing
//! beside rtp-rs alone.
//!
//! `cargo bench -p z5-media --bench packet`
#![expect(clippy::expect_used, reason = "a benchmark may stop at what cannot happen")]

use std::hint::black_box;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;
use z5_media::batch::Batch;
use z5_media::rtp::{HEADER_LEN, Header, Packet};
use z5_media::srtp::{SrtpParams, SrtpSuite};

/// A voice packet and a full video packet, as sizes on the wire before protection.
const SIZES: [usize; 2] = [172, 1200];
const SUITES: [(SrtpSuite, ProtectionProfile); 2] = [
    (SrtpSuite::AesCm128HmacSha1_80, ProtectionProfile::Aes128CmHmacSha1_80),
    (SrtpSuite::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm),
];

fn packet(size: usize, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x55; size];
    let header = Header { payload_type: 0, marker: false, sequence, timestamp: 160, ssrc: 7 };
    header.write(packet.first_chunk_mut::<HEADER_LEN>().expect("long enough"));
    packet
}

fn params(suite: SrtpSuite) -> (SrtpParams, Vec<u8>) {
    let key: Vec<u8> = (0..suite.key_and_salt_len() as u8).collect();
    (SrtpParams::new(suite, &key, &key).expect("the suite's own length"), key)
}

fn oracle(suite: SrtpSuite, profile: ProtectionProfile) -> Context {
    let (_, key) = params(suite);
    let (master, salt) = key.split_at(suite.key_len());
    Context::new(master, salt, profile, None, None).expect("keys of the right length")
}

/// AEAD_AES_128_GCM over the same bytes without anything around it: the floor under SRTP.
fn primitive(c: &mut Criterion) {
    let key = || LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).expect("16 bytes"));
    let nonce = |n: u32| {
        let mut nonce = [9; 12];
        nonce[8..].copy_from_slice(&n.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    };
    for size in SIZES {
        let mut group = c.benchmark_group("srtp_protect");
        let key = key();
        let mut buffer = packet(size, 0);
        let mut n = 0;
        group.bench_function(BenchmarkId::new("primitive", format!("AEAD_AES_128_GCM/{size}")), |b| {
            b.iter(|| {
                n += 1;
                let (header, payload) = black_box(&mut buffer).split_at_mut(HEADER_LEN);
                key.seal_in_place_separate_tag(nonce(n), Aad::from(&*header), payload).expect("room")
            });
        });
        group.finish();
        let mut group = c.benchmark_group("srtp_unprotect");
        let mut sealed = packet(size, 0);
        let (header, payload) = sealed.split_at_mut(HEADER_LEN);
        let tag = key.seal_in_place_separate_tag(nonce(0), Aad::from(&*header), payload).expect("room");
        sealed.extend_from_slice(tag.as_ref());
        group.bench_function(BenchmarkId::new("primitive", format!("AEAD_AES_128_GCM/{size}")), |b| {
            b.iter_batched_ref(
                || sealed.clone(),
                |wire| {
                    let (header, payload) = black_box(wire).split_at_mut(HEADER_LEN);
                    key.open_in_place(nonce(0), Aad::from(&*header), payload).expect("authentic").len()
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

fn protect(c: &mut Criterion) {
    let mut group = c.benchmark_group("srtp_protect");
    for (suite, profile) in SUITES {
        for size in SIZES {
            group.throughput(Throughput::Elements(1));
            let name = format!("{}/{size}", suite.name());
            let (mut sender, _) = params(suite).0.contexts().expect("keys");
            let mut buffer = packet(size, 0);
            buffer.resize(size + SrtpSuite::MAX_OVERHEAD, 0);
            let mut sequence = 0_u16;
            group.bench_function(BenchmarkId::new("z5", &name), |b| {
                b.iter(|| {
                    sequence = sequence.wrapping_add(1);
                    buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
                    sender.protect_rtp(black_box(&mut buffer), size).expect("room")
                });
            });
            let mut context = oracle(suite, profile);
            let mut clear = packet(size, 0);
            group.bench_function(BenchmarkId::new("webrtc-srtp", &name), |b| {
                b.iter(|| {
                    sequence = sequence.wrapping_add(1);
                    clear[2..4].copy_from_slice(&sequence.to_be_bytes());
                    context.encrypt_rtp(black_box(&clear)).expect("a packet")
                });
            });
        }
    }
}

fn unprotect(c: &mut Criterion) {
    let mut group = c.benchmark_group("srtp_unprotect");
    for (suite, profile) in SUITES {
        for size in SIZES {
            group.throughput(Throughput::Elements(1));
            let name = format!("{}/{size}", suite.name());
            // Every packet may be opened once only, so each run seals the next one outside of the measurement.
            let (mut sender, mut receiver) = params(suite).0.contexts().expect("keys");
            let mut sequence = 0_u16;
            let mut seal = move || {
                sequence = sequence.wrapping_add(1);
                let mut wire = packet(size, sequence);
                wire.resize(size + SrtpSuite::MAX_OVERHEAD, 0);
                let len = sender.protect_rtp(&mut wire, size).expect("room");
                wire.truncate(len);
                wire
            };
            group.bench_function(BenchmarkId::new("z5", &name), |b| {
                b.iter_batched_ref(
                    &mut seal,
                    |wire| receiver.unprotect_rtp(black_box(wire)).expect("authentic"),
                    BatchSize::SmallInput,
                );
            });
            let mut context = oracle(suite, profile);
            let (mut sender, _) = params(suite).0.contexts().expect("keys");
            let mut sequence = 0_u16;
            let mut seal = move || {
                sequence = sequence.wrapping_add(1);
                let mut wire = packet(size, sequence);
                wire.resize(size + SrtpSuite::MAX_OVERHEAD, 0);
                let len = sender.protect_rtp(&mut wire, size).expect("room");
                wire.truncate(len);
                wire
            };
            group.bench_function(BenchmarkId::new("webrtc-srtp", &name), |b| {
                b.iter_batched_ref(
                    &mut seal,
                    |wire| context.decrypt_rtp(black_box(wire)).expect("authentic"),
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("rtp_parse");
    let wire = packet(172, 1);
    group.bench_function("z5", |b| b.iter(|| Packet::parse(black_box(&wire)).expect("a packet").timestamp));
    group.bench_function("rtp-rs", |b| {
        b.iter(|| rtp_rs::RtpReader::new(black_box(&wire)).expect("a packet").timestamp());
    });
}

/// A picture of 25 packets to one address: one message cut by the system, and a call for each packet.
fn send_picture(c: &mut Criterion) {
    const PACKETS: usize = 25;
    let bind = || std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let (from, to) = (bind(), bind());
    let target = to.local_addr().expect("bound");
    let mut group = c.benchmark_group("send_picture");
    group.throughput(Throughput::Elements(PACKETS as u64));
    let mut batch = Batch::new(PACKETS);
    group.bench_function("z5, one batch", |b| {
        b.iter(|| {
            (0..PACKETS).for_each(|_| batch.commit(1200, target));
            batch.send(&from)
        });
    });
    let bytes = [0; 1200];
    group.bench_function("send_to, one by one", |b| {
        b.iter(|| (0..PACKETS).filter(|_| from.send_to(black_box(&bytes), target).is_err()).count());
    });
}

criterion_group!(benches, primitive, protect, unprotect, parse, send_picture);
criterion_main!(benches);
