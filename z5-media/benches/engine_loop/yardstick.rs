//! The plain way: a tokio task per call with webrtc-srtp and rtp-rs, on one thread. Written as one would who wants it simple and
//! right, and fast where that is free: no lock, no channel, no second task, a buffer that is kept.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rtp_rs::{RtpPacketBuilder, RtpReader, Seq};
use tokio::net::UdpSocket;
use webrtc_srtp::context::Context;
use webrtc_srtp::option::srtp_replay_protection;
use webrtc_srtp::protection_profile::ProtectionProfile;

use super::cpu::now;
use super::packets::{Progress, Work};
use super::traffic::{PACKET_TIME, RATE, SUITE};

/// Packets between two reports: five seconds (RFC 3550 section 6.2).
const REPORT_EVERY: u64 = 5 * RATE;

/// One half of a call's keys, with a replay window (RFC 3711 section 3.3.2).
fn context() -> Context {
    let key: Vec<u8> = (0..SUITE.key_and_salt_len() as u8).collect();
    let (master, salt) = key.split_at(SUITE.key_len());
    let window = Some(srtp_replay_protection(64));
    Context::new(master, salt, ProtectionProfile::AeadAes128Gcm, window, None).expect("keys")
}

/// Runs every call on a single-threaded runtime of this thread: one of several threads would cost more.
fn run<F: Future<Output = ()> + 'static>(work: Work, call: fn(UdpSocket, SocketAddr, Arc<Progress>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let Work { sockets, far, progress } = work;
    local.block_on(&runtime, async move {
        for socket in sockets {
            let socket = UdpSocket::from_std(socket).expect("registered");
            tokio::task::spawn_local(call(socket, far, Arc::clone(&progress)));
        }
        // Every call has its keys before the clock starts.
        tokio::task::yield_now().await;
        progress.ready.store(true, Ordering::Release);
        while !progress.stop.load(Ordering::Relaxed) {
            let _ = tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await;
        }
    });
}

/// Calls as an endpoint has them: each sends at its own pace, orders what comes, counts it and reports.
pub(crate) fn endpoint(work: Work) {
    run(work, |socket, far, progress| async move {
        let (mut open, mut seal) = (context(), context());
        let (start, mut reception) = (now(), Reception::default());
        let mut waiting: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let (mut buffer, payload) = ([0_u8; 2048], vec![0x55; progress.size - z5_media::rtp::HEADER_LEN]);
        let mut sent = 0_u64;
        // Calls begin when they begin, not together.
        let _ = socket.readable().await;
        let mut pace = tokio::time::interval(PACKET_TIME);
        loop {
            tokio::select! {
                received = socket.recv_from(&mut buffer) => {
                    let Ok((len, _)) = received else { continue };
                    let Ok(clear) = open.decrypt_rtp(&buffer[..len]) else { continue };
                    let Ok(packet) = RtpReader::new(&clear) else { continue };
                    if let Some(sequence) = reception.count(&packet, now()) {
                        waiting.insert(sequence, packet.payload().to_vec());
                        progress.received.fetch_add(1, Ordering::Relaxed);
                    }
                }
                _ = pace.tick() => {
                    // It would be played.
                    waiting.pop_first();
                    let packet = RtpPacketBuilder::new()
                        .payload_type(0)
                        .sequence((sent as u16).into())
                        .timestamp(sent as u32 * 160)
                        .ssrc(99)
                        .payload(&payload)
                        .build();
                    sent += 1;
                    let Ok(Ok(wire)) = packet.map(|packet| seal.encrypt_rtp(&packet)) else { continue };
                    if socket.send_to(&wire, far).await.is_ok() {
                        progress.sent.fetch_add(1, Ordering::Relaxed);
                    }
                    if sent % REPORT_EVERY == 1
                        && let Ok(report) = seal.encrypt_rtcp(&reception.report(now() - start, sent, payload.len()))
                    {
                        let _ = socket.send_to(&report, far).await;
                    }
                }
            }
        }
    });
}

/// The least that could be called so: what comes is opened, parsed, ordered and sent on, without timer, figures and reports.
pub(crate) fn echo(work: Work) {
    run(work, |socket, far, progress| async move {
        let (mut open, mut seal) = (context(), context());
        let mut waiting: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
        let (mut buffer, mut sequence) = ([0_u8; 2048], 0_u16);
        while let Ok((len, _)) = socket.recv_from(&mut buffer).await {
            let Ok(clear) = open.decrypt_rtp(&buffer[..len]) else { continue };
            let Ok(reader) = RtpReader::new(&clear) else { continue };
            waiting.insert(reader.sequence_number().into(), reader.payload().to_vec());
            let Some((_, payload)) = waiting.pop_first() else { continue };
            let packet = RtpPacketBuilder::new()
                .payload_type(reader.payload_type())
                .sequence(sequence.into())
                .timestamp(reader.timestamp())
                .ssrc(99)
                .payload(&payload)
                .build();
            sequence = sequence.wrapping_add(1);
            let Ok(Ok(wire)) = packet.map(|packet| seal.encrypt_rtp(&packet)) else { continue };
            let _ = socket.send_to(&wire, far).await;
            progress.echoed(1);
        }
    });
}

/// What a receiver counts (RFC 3550 appendices A.1, A.3 and A.8), as far as a report block wants it.
#[derive(Default)]
struct Reception {
    ssrc: u32,
    first: Option<u64>,
    highest: u64,
    received: u64,
    last: Option<(Instant, u32)>,
    jitter: f64,
}

impl Reception {
    /// Counts a packet; its extended sequence number, unless it comes too late to be played.
    fn count(&mut self, packet: &RtpReader, now: Instant) -> Option<u64> {
        let sequence = packet.sequence_number();
        let ahead = if self.first.is_some() { sequence - Seq::from(self.highest as u16) } else { 0 };
        let base =
            if self.first.is_some() { self.highest } else { u64::from(u16::from(sequence)) + (1 << 16) };
        let extended = base.checked_add_signed(i64::from(ahead))?;
        self.first.get_or_insert(extended);
        self.highest = self.highest.max(extended);
        self.received += 1;
        self.ssrc = packet.ssrc();
        if let Some((then, stamp)) = self.last.replace((now, packet.timestamp())) {
            let apart = (now - then).as_secs_f64() * 8000.0;
            let difference = (apart - f64::from(packet.timestamp().wrapping_sub(stamp) as i32)).abs();
            self.jitter += (difference - self.jitter) / 16.0;
        }
        (ahead > -10).then_some(extended)
    }

    /// A sender report with a block on what came (section 6.4.1); its clock is the time since the call began.
    fn report(&self, since: Duration, packets: u64, payload: usize) -> Vec<u8> {
        let expected = self.first.map_or(0, |first| self.highest - first + 1);
        let lost = expected.saturating_sub(self.received).min(0x7f_ffff) as u32;
        let words = [
            0x81c8_000c,
            99,
            since.as_secs() as u32,
            (u64::from(since.subsec_nanos()) * (1 << 32) / 1_000_000_000) as u32,
            packets as u32 * 160,
            packets as u32,
            (packets * payload as u64) as u32,
            self.ssrc,
            lost,
            self.highest as u32,
            self.jitter as u32,
            0,
            0,
        ];
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }
}
