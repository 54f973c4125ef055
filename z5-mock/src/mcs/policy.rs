//! What the MCS says of the group of a number with each licence: local RTP ports, audio codecs, bit rate (docs/wire/licence.md).

use serde_json::{Map, Value, json};

/// The policy of the group; what is left out is not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupPolicy {
    /// Local RTP ports of clients, both ends included.
    pub rtp_ports: Option<(u16, u16)>,
    /// Encoding names of the audio codecs that are permitted.
    pub audio_codecs: Option<Vec<String>>,
    /// Bits per second, all media of a call together.
    pub max_bitrate: Option<u64>,
}

impl GroupPolicy {
    /// The member `policy`, if anything is said.
    pub(super) fn member(&self) -> Option<Value> {
        if *self == Self::default() {
            return None;
        }
        let mut member = Map::from_iter([("group".to_owned(), json!("default"))]);
        if let Some((low, high)) = self.rtp_ports {
            member.insert("rtp-port-range".to_owned(), json!([low, high]));
        }
        if let Some(codecs) = &self.audio_codecs {
            member.insert("audio-codecs".to_owned(), json!(codecs));
        }
        if let Some(bitrate) = self.max_bitrate {
            member.insert("max-bitrate".to_owned(), json!(bitrate));
        }
        Some(Value::Object(member))
    }
}
