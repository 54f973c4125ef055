//! Codecs and payload formats: G.711 by table, G.722, comfort noise, telephone events, H.264 packetisation.

pub(crate) mod audio;
pub mod comfort_noise;
pub mod g711;
pub mod g722;
pub mod h264;
pub mod telephone_event;
