//! How many calls a machine carries: pairs of calls with pre-encoded G.711 between two engines on 127.0.0.1, for some seconds.
//!
//! `cargo run --release -p z5-media --example load -- 1000 own|shared 5`: so many calls, each with ports of its own or all on shared
//! ones, so many seconds. Prints what was sent, received and missed; fails when more than one packet in a hundred was missed,
//! or when the system does not allow as many sockets (which is said before the first call). No signalling, no codec, no other address than loopback.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints what it found")]

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use z5_media::clock;
use z5_media::source::Tone;
use z5_media::{
    AudioCodec, Direction, EncodedMedia, Engine, EngineConfig, LoadConfig, LocalPort, SharedPort,
    StreamConfig, StreamId, StreamKind, room_for,
};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn config(media: &EncodedMedia, to: &LocalPort, ssrc: u32) -> StreamConfig {
    let load = LoadConfig {
        codec: AudioCodec::Pcmu,
        send_payload_type: 0,
        receive_payload_type: 0,
        ptime_ms: 20,
        media: media.clone(),
    };
    StreamConfig {
        kind: StreamKind::Load(load),
        remote: to.rtp_addr(),
        remote_rtcp: to.rtcp_addr(),
        rtcp_mux: false,
        direction: Direction::BOTH,
        srtp: None,
        ssrc,
        first_sequence: 1,
        first_timestamp: 1,
        cname: "load@z5.invalid".into(),
    }
}

/// One side of all calls.
struct Side {
    engine: Engine,
    shared: Option<SharedPort>,
    streams: Vec<StreamId>,
}

impl Side {
    fn new(shared: bool) -> Result<Self, Box<dyn Error>> {
        let engine = Engine::start(EngineConfig::new(drop))?;
        let shared = shared.then(|| engine.share(LOCAL, 0..=0)).transpose()?;
        Ok(Self { engine, shared, streams: Vec::new() })
    }

    /// A port for a call whose far end sends with that SSRC.
    fn port(&self, remote_ssrc: u32) -> Result<LocalPort, Box<dyn Error>> {
        match &self.shared {
            Some(shared) => Ok(shared.port(Some(remote_ssrc))),
            None => Ok(self.engine.reserve(LOCAL, 0..=0)?),
        }
    }

    /// Packets sent and received so far.
    fn packets(&self) -> (u64, u64) {
        let stats = self.streams.iter().filter_map(|stream| self.engine.stats(*stream));
        stats.fold((0, 0), |sum, stats| (sum.0 + stats.packets_sent, sum.1 + stats.packets_received))
    }
}

fn pass(time: Duration) {
    let end = clock::now() + time;
    while clock::now() < end {
        std::thread::park_timeout(end.saturating_duration_since(clock::now()));
    }
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let calls: u32 = arguments.next().unwrap_or_else(|| "1000".into()).parse()?;
    let shared = match arguments.next().as_deref() {
        None | Some("own") => false,
        Some("shared") => true,
        Some(other) => return Err(format!("{other}: ports are \"own\" or \"shared\"").into()),
    };
    let seconds: u64 = arguments.next().unwrap_or_else(|| "5".into()).parse()?;
    if !shared {
        room_for(2 * calls as usize)?;
    }
    let media = EncodedMedia::encode(AudioCodec::Pcmu, &mut Tone::new(1000.0, -12.0), 20, 50)
        .ok_or("the tone does not fit its packets")?;
    let (mut near, mut far) = (Side::new(shared)?, Side::new(shared)?);
    for call in 0..calls {
        let (here, there) = (1 + call, (1 << 24) + call);
        let (a, b) = (near.port(there)?, far.port(here)?);
        let (to_b, to_a) = (config(&media, &b, here), config(&media, &a, there));
        near.streams.push(near.engine.start_stream(a, to_b)?);
        far.streams.push(far.engine.start_stream(b, to_a)?);
    }
    pass(Duration::from_secs(seconds));
    // Each stream is asked, the receivers after the senders: what is under way arrives in between.
    let sent = [near.packets().0, far.packets().0];
    let received = [far.packets().1, near.packets().1];
    let (sent, received) = (sent.iter().sum::<u64>(), received.iter().sum::<u64>());
    let missed = sent.saturating_sub(received);
    let wanted = u64::from(calls) * 2 * 50 * seconds;
    println!(
        "{calls} calls, {seconds} s: {sent} packets sent ({wanted} wanted), {received} received, {missed} missed"
    );
    let fine = missed * 100 <= sent && sent * 100 >= wanted * 95;
    println!("{}", if fine { "carried" } else { "too many for this machine" });
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
