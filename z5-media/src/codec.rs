//! Codecs and payload formats: G.711 by table, telephone events, H.264 packetisation.

pub mod g711;
pub mod h264;
pub mod telephone_event;
