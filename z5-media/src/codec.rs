//! Codecs: G.711 by table, and the payloads that are no sound (telephone events).

pub mod g711;
pub mod telephone_event;
