//! The plain way: a tokio task per call, webrtc-srtp, rtp-rs, a map to reorder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rtp_rs::{RtpPacketBuilder, RtpReader};
use tokio::net::UdpSocket;
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

use super::packets::Work;
use super::traffic::SUITE;

fn context() -> Context {
    let key: Vec<u8> = (0..SUITE.key_and_salt_len() as u8).collect();
    let (master, salt) = key.split_at(SUITE.key_len());
    Context::new(master, salt, ProtectionProfile::AeadAes128Gcm, None, None).expect("keys")
}

/// Runs every call on a single-threaded runtime of this thread.
pub(crate) fn run(work: Work) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let Work { sockets, sink, stop, packets, .. } = work;
    let local = async move {
        for socket in sockets {
            let packets = Arc::clone(&packets);
            let socket = UdpSocket::from_std(socket).expect("registered");
            tokio::spawn(async move {
                let (mut open, mut seal) = (context(), context());
                let mut waiting: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
                let mut buffer = [0_u8; 2048];
                let mut sequence = 0_u16;
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
                    let _ = socket.send_to(&wire, sink).await;
                    packets.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while !stop.load(Ordering::Relaxed) {
            let _ = tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await;
        }
    };
    runtime.block_on(local);
}
