//! Codecs and payload formats: G.711 by table, G.722, Opus (feature `opus`), comfort noise, telephone events, H.264 packetisation.

pub mod audio;
pub mod comfort_noise;
pub mod g711;
pub mod g722;
pub mod h264;
#[cfg(feature = "opus")]
pub(crate) mod opus;
#[cfg(not(feature = "opus"))]
#[path = "codec/no_opus.rs"]
pub(crate) mod opus;
pub mod telephone_event;
