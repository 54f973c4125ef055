//! After warming up, packets cost no allocation: streams exchange SRTP audio, with codecs on sockets of their own and
//! pre-encoded on shared ones, while every allocation of the process is counted.
//!
//! In a binary of its own, because the counting allocator counts whatever runs beside it.

#![expect(clippy::unwrap_used, reason = "a test stops at what cannot happen")]
#![expect(
    unsafe_code,
    reason = "a global allocator cannot be written without it; it only counts and passes on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use z5_media::source::Tone;
use z5_media::{
    AudioCodec, AudioConfig, AudioOptions, AudioSink, Direction, EncodedMedia, Engine, EngineConfig,
    LoadConfig, LocalPort, SinkError, SrtpParams, SrtpSuite, StreamConfig, StreamId, StreamKind,
};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static COUNTING: AtomicBool = AtomicBool::new(false);

fn count() {
    if COUNTING.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Frames after which the buffers have their size.
const WARM_UP: u64 = 45;
/// Frames counted: 400 ms.
const COUNTED: u64 = 20;

/// Switches the counting on and off at given frames and tells when it is over.
struct Gate {
    frames: u64,
    over: mpsc::SyncSender<()>,
}

impl AudioSink for Gate {
    fn open(&mut self, _sample_rate: u32) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, _frame: &[i16]) -> Result<(), SinkError> {
        self.frames += 1;
        if self.frames == WARM_UP {
            COUNTING.store(true, Ordering::Relaxed);
        } else if self.frames == WARM_UP + COUNTED {
            COUNTING.store(false, Ordering::Relaxed);
            let _ = self.over.try_send(());
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn audio(sink: Box<dyn AudioSink>) -> StreamKind {
    StreamKind::Audio(AudioConfig {
        options: AudioOptions::default(),
        codec: AudioCodec::Pcmu,
        send_payload_type: 0,
        receive_payload_type: 0,
        telephone_event: None,
        ptime_ms: 20,
        source: Box::new(Tone::new(1000.0, -12.0)),
        sink,
    })
}

fn load(media: &EncodedMedia) -> StreamKind {
    StreamKind::Load(LoadConfig {
        codec: AudioCodec::Pcmu,
        send_payload_type: 0,
        receive_payload_type: 0,
        ptime_ms: 20,
        media: media.clone(),
    })
}

fn stream(to: &LocalPort, kind: StreamKind, keys: SrtpParams, ssrc: u32) -> StreamConfig {
    StreamConfig {
        kind,
        remote: to.rtp_addr(),
        remote_rtcp: to.rtcp_addr(),
        rtcp_mux: false,
        direction: Direction::BOTH,
        srtp: Some(keys),
        ssrc,
        first_sequence: 1,
        first_timestamp: 1,
        cname: "c".into(),
    }
}

/// Pairs of pre-encoded streams between two shared ports.
const SHARED_PAIRS: u32 = 20;

fn share(engine: &Engine, local: IpAddr) -> Vec<StreamId> {
    let (left, right) = (engine.share(local, 0..=0).unwrap(), engine.share(local, 0..=0).unwrap());
    let suite = SrtpSuite::AeadAes128Gcm;
    let keys = || SrtpParams::new(suite, &[3; 28], &[3; 28]).unwrap();
    let media = EncodedMedia::encode(AudioCodec::Pcmu, &mut Tone::new(1000.0, -12.0), 20, 8).unwrap();
    let mut streams = Vec::new();
    for n in 0..SHARED_PAIRS {
        let (a, b) = (left.port(Some(1000 + n)), right.port(Some(n)));
        let (config_a, config_b) =
            (stream(&b, load(&media), keys(), n), stream(&a, load(&media), keys(), 1000 + n));
        streams.push(engine.start_stream(a, config_a).unwrap());
        streams.push(engine.start_stream(b, config_b).unwrap());
    }
    streams
}

#[test]
fn packets_in_steady_state_allocate_nothing() {
    let local: IpAddr = "127.0.0.1".parse().unwrap();
    let (over, finished) = mpsc::sync_channel(1);
    let engine = Arc::new(Engine::start(EngineConfig::new(drop)).unwrap());
    let (a, b) = (engine.reserve(local, 0..=0).unwrap(), engine.reserve(local, 0..=0).unwrap());
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    let keys = |x, y| SrtpParams::new(suite, &[x; 30], &[y; 30]).unwrap();
    let shared = share(&engine, local);
    let config_a = stream(&b, audio(Box::new(Gate { frames: 0, over })), keys(1, 2), 1);
    let config_b = stream(&a, audio(Box::new(z5_media::sink::Null)), keys(2, 1), 1);
    let a = engine.start_stream(a, config_a).unwrap();
    engine.start_stream(b, config_b).unwrap();
    finished.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), 0);
    let stats = engine.stop_stream(a).unwrap();
    assert!(stats.packets_received >= COUNTED, "{stats:?}");
    for stream in shared {
        let stats = engine.stop_stream(stream).unwrap();
        assert!(stats.packets_received >= COUNTED && stats.packets_sent >= COUNTED, "{stats:?}");
        assert_eq!(stats.dropped.len(), 0, "{stats:?}");
    }
}
