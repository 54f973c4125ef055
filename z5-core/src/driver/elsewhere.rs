//! A machine that gets another address, in tests: what the system would choose as its own end of a way to a server is chosen here, by
//! the port of that server. On Linux every address of 127.0.0.0/8 is ours.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

static HOMES: Mutex<BTreeMap<u16, IpAddr>> = Mutex::new(BTreeMap::new());

/// From where this server is reached; `None` where the system chooses.
pub(super) fn from(server: SocketAddr) -> Option<SocketAddr> {
    let homes = HOMES.lock().unwrap_or_else(PoisonError::into_inner);
    homes.get(&server.port()).map(|home| SocketAddr::new(*home, 0))
}

/// A machine that wanders while this is kept. The ports are given to others later.
struct Wanderer([SocketAddr; 2]);

impl Wanderer {
    fn wander(&self, home: [u8; 4]) {
        let homes = self.0.map(|server| (server.port(), IpAddr::from(home)));
        HOMES.lock().unwrap_or_else(PoisonError::into_inner).extend(homes);
    }
}

impl Drop for Wanderer {
    fn drop(&mut self) {
        let mut homes = HOMES.lock().unwrap_or_else(PoisonError::into_inner);
        for server in self.0 {
            homes.remove(&server.port());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use z5_media::capture::Capture;
    use z5_mock::Carrier;

    use super::*;
    use crate::call::{AudioIn, CallRequest};
    use crate::config::Config;
    use crate::events::{EventKind, Events, MediaKind};
    use crate::session::{Session, StartOptions};

    /// Reads events until one gives something.
    async fn until<T>(events: &mut Events, what: &str, mut wanted: impl FnMut(EventKind) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let found = async {
            while let Some(event) = events.next().await {
                if !matches!(event.kind, EventKind::CallFigures { .. }) {
                    seen.push(event.kind.name());
                }
                if let Some(found) = wanted(event.kind) {
                    return Some(found);
                }
            }
            None
        };
        let found = tokio::time::timeout(Duration::from_secs(60), found).await;
        found.ok().flatten().unwrap_or_else(|| panic!("no {what}; seen: {seen:?}"))
    }

    /// Types this and waits for it to come back, and sound with it.
    async fn is_echoed(session: &Session, call: crate::CallId, events: &mut Events, text: &str) {
        session.send_text(call, text);
        let (mut heard, mut packets, mut fewest) = (String::new(), 0, u64::MAX);
        until(events, text, |kind| {
            if let EventKind::Text { text, .. } = &kind {
                heard.push_str(text);
            }
            if let EventKind::CallFigures { figures, .. } = &kind {
                packets = figures.audio.as_ref().map_or(0, |audio| audio.packets_received);
                fewest = fewest.min(packets);
            }
            (heard.contains(text) && packets >= fewest.saturating_add(20)).then_some(())
        })
        .await;
    }

    /// The RTP packets of a capture: from where to where, and of which source.
    fn packets(pcapng: &[u8]) -> Vec<(SocketAddr, SocketAddr, u32)> {
        let word = |at: usize| u32::from_le_bytes(pcapng[at..at + 4].try_into().unwrap());
        let (mut at, mut packets) = (0, Vec::new());
        while at + 12 <= pcapng.len() {
            let (kind, len) = (word(at), word(at + 4) as usize);
            let ip = &pcapng[at + 28..];
            // An enhanced packet block with UDP in IPv4, and RTP in that (RFC 5761 section 4 tells it from RTCP).
            if kind == 6 && ip[0] == 0x45 && ip[9] == 17 && ip[28] >> 6 == 2 && !(192..224).contains(&ip[29])
            {
                let end = |address: usize, port: usize| {
                    let host: [u8; 4] = ip[address..address + 4].try_into().unwrap();
                    SocketAddr::from((host, u16::from_be_bytes([ip[port], ip[port + 1]])))
                };
                let source = u32::from_be_bytes(ip[36..40].try_into().unwrap());
                packets.push((end(12, 20), end(16, 22), source));
            }
            at += len;
        }
        packets
    }

    #[tokio::test]
    async fn a_session_moves_its_call_to_another_address_over_real_sockets() {
        let carrier = Carrier::builder().seed(7).start().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = carrier.client_config("alice").unwrap().write_to(dir.path()).unwrap();
        let mut config = Config::load(&file).unwrap();
        config.media.bind = None;
        let pcapng = dir.path().join("call.pcapng");
        let capture = Arc::new(Capture::create(&pcapng).unwrap());
        let options = StartOptions {
            seed: Some(1),
            capture: Some(Arc::clone(&capture)),
            figures_every: Some(Duration::from_millis(50)),
            ..StartOptions::default()
        };
        let machine = Wanderer([carrier.sip_addr(), carrier.sips_addr()]);
        machine.wander([127, 0, 0, 1]);
        let (session, mut events) = Session::start_with(config, options).unwrap();
        until(&mut events, "ready", |kind| matches!(kind, EventKind::Ready { .. }).then_some(())).await;
        let mut request = CallRequest::to("echo");
        request.media.audio_in = AudioIn::Tone { hz: 440.0, level_dbm0: -20.0 };
        let call = session.call(request);
        let media = until(&mut events, "call", |kind| {
            if let EventKind::CallEstablished { media, .. } = kind { Some(media) } else { None }
        });
        let before = media.await.streams;
        assert!(before.iter().all(|stream| stream.local.ip().to_string() == "127.0.0.1"), "{before:?}");
        is_echoed(&session, call, &mut events, "here").await;

        // Nobody tells the session: it looks once a second.
        machine.wander([127, 0, 0, 2]);
        let media = until(&mut events, "move", |kind| {
            if let EventKind::CallChanged { media, .. } = kind { Some(media) } else { None }
        });
        let after = media.await.streams;
        assert!(after.iter().all(|stream| stream.local.ip().to_string() == "127.0.0.2"), "{after:?}");
        is_echoed(&session, call, &mut events, "there").await;
        session.hangup(call);
        until(&mut events, "end", |kind| matches!(kind, EventKind::CallEnded { .. }).then_some(())).await;
        session.stop();
        until(&mut events, "stop", |kind| matches!(kind, EventKind::Stopped { .. }).then_some(())).await;
        capture.finish();

        let packets = packets(&std::fs::read(&pcapng).unwrap());
        let sent = |from: SocketAddr| -> BTreeSet<u32> {
            packets.iter().filter(|packet| packet.0 == from).map(|packet| packet.2).collect()
        };
        for kind in [MediaKind::Audio, MediaKind::Text] {
            let local = |streams: &[crate::call::StreamAgreement]| {
                streams.iter().find(|stream| stream.kind == kind).unwrap().local
            };
            let (old, new) = (local(&before), local(&after));
            assert_eq!(sent(old).len(), 1, "{kind:?}");
            assert_eq!(sent(new), sent(old), "{kind:?}: the same source goes on");
            assert!(packets.iter().any(|packet| packet.1 == new), "{kind:?}: and hears there");
        }
        carrier.shutdown().await;
    }
}
