//! The keys of a scenario file as serde reads them; what they mean is judged elsewhere.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// A time as text, judged when everything is read.
pub(super) type Time = Option<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) seed: u64,
    pub(super) addresses: Vec<Spanned<String>>,
    pub(super) ipv6: Option<Spanned<bool>>,
    pub(super) sip_over_tls: bool,
    pub(super) ports: Ports,
    pub(super) registration: Registration,
    pub(super) configuration: Configuration,
    pub(super) policy: Policy,
    pub(super) licence: Licence,
    pub(super) impairment: ImpairmentTable,
    pub(super) sip_impairment: ImpairmentTable,
    pub(super) account: Vec<AccountEntry>,
    pub(super) hosts: BTreeMap<String, Vec<Spanned<String>>>,
    pub(super) fault: Vec<FaultEntry>,
    pub(super) far_end: Vec<FarEndEntry>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            seed: 1,
            addresses: Vec::new(),
            ipv6: None,
            sip_over_tls: false,
            ports: Ports::default(),
            registration: Registration::default(),
            configuration: Configuration::default(),
            policy: Policy::default(),
            licence: Licence::default(),
            impairment: ImpairmentTable::default(),
            sip_impairment: ImpairmentTable::default(),
            account: Vec::new(),
            hosts: BTreeMap::new(),
            fault: Vec::new(),
            far_end: Vec::new(),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ports {
    pub(super) dns: Option<Spanned<u16>>,
    pub(super) zdial: Option<Spanned<u16>>,
    pub(super) mcs: Option<Spanned<u16>>,
    pub(super) sip: Option<Spanned<u16>>,
    pub(super) sips: Option<Spanned<u16>>,
    pub(super) rtp: Option<Spanned<(u16, u16)>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Registration {
    pub(super) granted: Time,
    pub(super) least: Time,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Configuration {
    pub(super) lifetime: Time,
    pub(super) rtp_ports: Option<Spanned<(u16, u16)>>,
    pub(super) contacts: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Policy {
    pub(super) rtp_ports: Option<Spanned<(u16, u16)>>,
    pub(super) audio_codecs: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) max_bitrate: Option<Spanned<u64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Licence {
    pub(super) features: Option<Vec<Spanned<String>>>,
    pub(super) max_calls: Option<u32>,
    pub(super) max_bitrate: Option<Spanned<u64>>,
    pub(super) lifetime: Time,
    pub(super) grace: Time,
    pub(super) refresh_after: Time,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ImpairmentTable {
    pub(super) loss: Option<Spanned<f64>>,
    pub(super) burst: Option<Spanned<f64>>,
    pub(super) burst_length: Option<Spanned<f64>>,
    pub(super) reorder: Option<Spanned<f64>>,
    pub(super) duplicate: Option<Spanned<f64>>,
    pub(super) delay: Time,
    pub(super) jitter: Time,
    pub(super) rate: Option<Spanned<String>>,
    pub(super) queue: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountEntry {
    pub(super) username: Spanned<String>,
    pub(super) password: String,
    #[serde(default)]
    pub(super) suspended: bool,
    pub(super) token: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) number: Vec<NumberEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberEntry {
    pub(super) number: Spanned<String>,
    pub(super) label: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) state: Option<Spanned<String>>,
    pub(super) sip_user: Option<Spanned<String>>,
    pub(super) sip_password: Option<String>,
    pub(super) emergency_address_on_file: Option<bool>,
    pub(super) video_messages: Option<u32>,
    pub(super) token: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultEntry {
    pub(super) name: Spanned<String>,
    pub(super) from: Option<Spanned<u32>>,
    pub(super) times: Option<Spanned<u32>>,
    pub(super) at: Option<Spanned<String>>,
    pub(super) after: Time,
    #[serde(rename = "for")]
    pub(super) lasting: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FarEndEntry {
    pub(super) number: Spanned<String>,
    pub(super) name: Option<Spanned<String>>,
    pub(super) media: Option<Spanned<String>>,
    pub(super) says: Option<Spanned<String>>,
    pub(super) impairment: Option<Spanned<String>>,
    pub(super) steps: Spanned<Vec<Spanned<String>>>,
}
