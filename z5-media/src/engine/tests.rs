//! Two engines on the loopback interface. Tests wait for events; a tone takes the tone's own time.

mod paths;
mod text;
mod video;
mod voice;

use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::sink::Null;
use crate::source::{AudioSource, Silence, Tone};
use crate::srtp::{SrtpParams, SrtpSuite};
use crate::stats::DropReason;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

struct End {
    engine: Engine,
    events: Receiver<StreamEvent>,
}

impl End {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        let (sender, events) = channel();
        let mut setup = EngineConfig::new(move |event| drop(sender.send(event)));
        change(&mut setup);
        Self { engine: Engine::start(setup).unwrap(), events }
    }

    fn wait<T>(&self, mut wanted: impl FnMut(StreamEvent) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.events.recv_timeout(PATIENCE).unwrap()) {
                return found;
            }
        }
    }

    fn text(&self, len: usize) -> String {
        let mut whole = String::new();
        self.wait(|event| {
            if let StreamEvent::Text { text, .. } = event {
                whole.push_str(&text);
            }
            (whole.chars().count() >= len).then_some(())
        });
        whole
    }

    fn source_ended(&self) {
        self.wait(|event| matches!(event, StreamEvent::SourceEnded { .. }).then_some(()));
    }
}

fn config(kind: StreamKind, to: &LocalPort, srtp: Option<SrtpParams>, ssrc: u32) -> StreamConfig {
    StreamConfig {
        kind,
        remote: to.rtp_addr(),
        remote_rtcp: to.rtcp_addr(),
        rtcp_mux: false,
        direction: Direction::BOTH,
        srtp,
        ssrc,
        first_sequence: 1000,
        first_timestamp: 77,
        cname: "test@z5.invalid".into(),
    }
}

fn audio(codec: AudioCodec, source: impl AudioSource + 'static) -> StreamKind {
    let payload_type = match codec {
        AudioCodec::Pcmu => 0,
        AudioCodec::Pcma => 8,
        AudioCodec::G722 => 9,
        AudioCodec::Opus => 96,
    };
    StreamKind::Audio(AudioConfig {
        codec,
        send_payload_type: payload_type,
        receive_payload_type: payload_type,
        telephone_event: None,
        ptime_ms: 20,
        source: Box::new(source),
        sink: Box::new(Null),
        options: AudioOptions::default(),
    })
}

fn text(red: Option<u8>) -> StreamKind {
    let types = TextPayloadTypes { t140: 98, red };
    StreamKind::Text(TextConfig { send: types, receive: types, characters_per_second: 30 })
}

fn keys(suite: SrtpSuite) -> (SrtpParams, SrtpParams) {
    let (a, b) = (vec![1; suite.key_and_salt_len()], vec![2; suite.key_and_salt_len()]);
    (SrtpParams::new(suite, &a, &b).unwrap(), SrtpParams::new(suite, &b, &a).unwrap())
}

/// Half a second of tone: long enough for several spectra, short enough for a test.
fn tone(hz: f64) -> Tone {
    Tone::new(hz, -12.0).lasting(Duration::from_millis(500))
}
