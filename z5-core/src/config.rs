//! The configuration: one typed struct per area. TOML on disk ([`Config::load`]) or built in code.
//!
//! Unknown keys are refused with file, line and the nearest valid name; a setting that cannot be applied is an error,
//! never ignored. There is no default server of any kind. Reading lives in `load`, judging in `check`.

mod check;
mod error;
mod load;
mod schema;
mod template;
mod values;
mod video;

pub(crate) use check::{FLOWS, read_part};

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::Deserialize;
use z5_media::file::{self, FileError, Limit};

pub use error::{ConfigError, Problem, ProblemKind};
pub use template::TEMPLATE;
pub use values::{
    AudioCodec, ContactsProtocol, HostPort, Millis, PortRange, Profile, RetryMode, SrtpMode, SrtpSuite,
    Transport, UdpKeepAlive, WhenSilent, audio_codec, srtp_suite,
};
pub(crate) use video::is_y4m;
pub use video::{Rung, VIDEO_CODEC, VideoSetting};

use crate::egress::{Allow, GuardMode};
use crate::secret::Secret;

/// Everything a session needs to know.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which steps are walked.
    pub profile: Profile,
    /// Step 1: nameservers and static hosts.
    pub dns: Dns,
    /// Step 1: the five names. Needed by profile `z5`.
    pub names: Option<Names>,
    /// Step 2: the account. Needed by profile `z5`.
    pub zdial: Option<ZDial>,
    /// Trust in servers.
    pub tls: Tls,
    /// Ports of the MCS.
    pub mcs: Mcs,
    /// Whose licences are believed. Needed by profile `z5`.
    pub licence: Option<Licence>,
    /// The address book, when it is not where the sign-in says.
    pub contacts: Contacts,
    /// SIP: the account of profile `generic`; overrides for profile `z5`.
    pub sip: Sip,
    /// What an emergency call says beside the call itself.
    pub emergency: Emergency,
    /// Media.
    pub media: Media,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// What is tried again, and when.
    pub retry: Retry,
    /// Which destinations are permitted.
    pub egress: Egress,
    /// This installation.
    pub device: Device,
    /// What is kept between two runs, and where. Left out, nothing is by the library; the program `z5` has a directory of its own for
    /// each account.
    pub store: Option<StoreSetting>,
}

/// Where a session keeps what survives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreSetting {
    /// Nowhere.
    None,
    /// In this directory, which is made if it is not there.
    Directory(PathBuf),
}

impl<'de> Deserialize<'de> for StoreSetting {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "" => Err(serde::de::Error::custom("it is empty; write \"none\" or a directory")),
            "none" => Ok(Self::None),
            _ => Ok(Self::Directory(PathBuf::from(text))),
        }
    }
}

impl Config {
    /// Whose account this is, such as `alice@zdial.example`: what is kept for one account is never used for another.
    pub fn account(&self) -> String {
        let (user, host) = match (self.profile, &self.zdial, &self.names) {
            (Profile::Z5, Some(zdial), Some(names)) => (Some(&zdial.username), Some(&names.zdial)),
            (Profile::Z5 | Profile::Generic, _, _) => (self.sip.username.as_ref(), self.sip.domain.as_ref()),
        };
        let host = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase());
        format!("{}@{}", user.map_or("", String::as_str), host.unwrap_or_default())
    }
}

/// Name resolution.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Nameservers as `address:port` (port 53 when left out), tried in this order.
    pub servers: Vec<HostPort>,
    /// Also use the nameservers of the operating system, after `servers`.
    pub system: bool,
    /// Names that are answered from here and never asked.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}

/// The five names of step 1.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// The ZDial server.
    pub zdial: String,
    /// The load-balanced name of the MCS.
    pub mcs_lb: String,
    /// The general name of the MCS.
    pub mcs: String,
    /// Node 1 of the MCS.
    pub mcs_node1: String,
    /// Node 2 of the MCS.
    pub mcs_node2: String,
}

/// The account at ZDial. Exactly one of the three password keys is given.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZDial {
    /// HTTPS port.
    #[serde(default = "https_port")]
    pub port: u16,
    /// Account name.
    pub username: String,
    /// The password itself.
    pub password: Option<Secret>,
    /// The environment variable that holds it.
    pub password_env: Option<String>,
    /// The file that holds it (a trailing line end is cut).
    pub password_file: Option<PathBuf>,
    /// The number to use when the account has several.
    pub number: Option<String>,
}

/// Which certificate authorities are believed.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// A PEM file of authorities to believe instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The same, written here instead of in a file.
    pub ca_pem: Option<String>,
}

impl Tls {
    /// The authorities to believe, as PEM; none where those of the system are.
    pub(crate) fn authorities(&self) -> Result<Option<Vec<u8>>, FileError> {
        match (&self.ca_file, &self.ca_pem) {
            (Some(path), _) => file::read(path, Limit::of("a list of authorities", 4 << 20)).map(Some),
            (None, pem) => Ok(pem.as_ref().map(|pem| pem.clone().into_bytes())),
        }
    }
}

/// Ports of the MCS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mcs {
    /// Licence and address book.
    pub https_port: u16,
    /// SIP over TCP.
    pub sip_port: u16,
    /// SIP over TLS.
    pub sips_port: u16,
}

impl Default for Mcs {
    fn default() -> Self {
        Self { https_port: https_port(), sip_port: 5060, sips_port: 5061 }
    }
}

/// Whose licences are believed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// The `iss` claim.
    pub issuer: String,
    /// The `aud` claim.
    pub audience: String,
    /// The pinned keys.
    pub keys: Vec<LicenceKey>,
}

/// One pinned Ed25519 key: exactly one of the two forms.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LicenceKey {
    /// The `kid` that selects it.
    pub kid: String,
    /// SubjectPublicKeyInfo in PEM.
    pub public_key_pem: Option<String>,
    /// The 32 bytes in base64url without padding (RFC 8037 `x`).
    pub x: Option<String>,
}

/// The address book.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Contacts {
    /// An `https:` URI: a CardDAV collection, or a host alone, whose address book is looked for (RFC 6764); with protocol `xcard` the
    /// list. Left out, profile `z5` takes what ZDial says, and profile `generic` has none.
    pub uri: Option<String>,
    /// How it is spoken to. Left out: CardDAV at `uri`; without one, what ZDial names, CardDAV first.
    pub protocol: Option<ContactsProtocol>,
    /// Hosts that may be given the credentials of the address book, besides the one that is named and what is beneath the
    /// `carddav-domain` of the sign-in, when DNS or a redirect leads there.
    pub servers: Vec<String>,
    /// Who we are there; left out, the credentials of the SIP account are used (RFC 9248 section 7.1).
    pub username: Option<String>,
    /// The password itself.
    pub password: Option<Secret>,
    /// The environment variable that holds it.
    pub password_env: Option<String>,
    /// The file that holds it.
    pub password_file: Option<PathBuf>,
}

/// SIP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sip {
    /// Domain of the account. Profile `generic` needs it.
    pub domain: Option<String>,
    /// User part of the address of record. Profile `generic` needs it.
    pub username: Option<String>,
    /// The password itself.
    pub password: Option<Secret>,
    /// The environment variable that holds it.
    pub password_env: Option<String>,
    /// The file that holds it.
    pub password_file: Option<PathBuf>,
    /// Digest user name when it differs from `username`.
    pub auth_username: Option<String>,
    /// Shown to the called party.
    pub display_name: Option<String>,
    /// Where requests go, `host` or `host:port`; profile `generic` uses the domain when left out. Without a port the SRV records
    /// of the name are followed (RFC 3263).
    pub proxy: Option<HostPort>,
    /// Transport to the proxy.
    pub transport: Transport,
    /// Seconds asked for in REGISTER; what the registrar grants decides the refresh.
    pub expires: u32,
    /// The mailbox whose state is watched (RFC 3842), as a `sip:` URI; profile `z5` takes ZDial's when left out.
    pub mwi: Option<String>,
    /// Where the card of the owner is (`Call-Info` with `purpose=rue-owner`, RFC 9248 section 5.2.3); `https:`.
    pub owner_uri: Option<String>,
    /// The same as a file (xCard, RFC 6351) that goes with the calls themselves.
    pub owner_card: Option<PathBuf>,
    /// How many servers hold a registration at a time, each over a connection of its own (RFC 5626); fewer when there are fewer.
    /// Nothing said: one for each proxy that the sign-in names (RFC 9248 section 5.1), else one.
    pub flows: Option<u32>,
    /// Seconds of silence after which the connection to the server is kept alive.
    pub keep_alive: u32,
    /// What keeps a UDP flow alive.
    pub udp_keep_alive: UdpKeepAlive,
}

impl Default for Sip {
    fn default() -> Self {
        Self {
            domain: None,
            username: None,
            password: None,
            password_env: None,
            password_file: None,
            auth_username: None,
            display_name: None,
            proxy: None,
            transport: Transport::Tcp,
            expires: 600,
            mwi: None,
            owner_uri: None,
            owner_card: None,
            flows: None,
            keep_alive: 25,
            udp_keep_alive: UdpKeepAlive::default(),
        }
    }
}

/// What an emergency call carries: the caller's location (RFC 6442) and additional data (RFC 7852). All of it is optional.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Emergency {
    /// `geo:LATITUDE,LONGITUDE`, or the address of a location server.
    pub location: Option<String>,
    /// A PIDF-LO document instead.
    pub location_file: Option<PathBuf>,
    /// Whether registrations carry the location too (RFC 9248, `sendLocationWithRegistration`). The user's choice; no
    /// unless it is said.
    pub location_with_registration: bool,
    /// Files with `EmergencyCallData.ProviderInfo` and its like (XML).
    pub provider_info: Option<PathBuf>,
    /// `EmergencyCallData.ServiceInfo`.
    pub service_info: Option<PathBuf>,
    /// `EmergencyCallData.DeviceInfo`.
    pub device_info: Option<PathBuf>,
    /// `EmergencyCallData.SubscriberInfo`.
    pub subscriber_info: Option<PathBuf>,
    /// `EmergencyCallData.Comment`.
    pub comment: Option<PathBuf>,
}

impl Emergency {
    /// The blocks with their purpose and where they are, in the order of RFC 7852 section 4.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let all = [
            ("ProviderInfo", &self.provider_info),
            ("ServiceInfo", &self.service_info),
            ("DeviceInfo", &self.device_info),
            ("SubscriberInfo", &self.subscriber_info),
            ("Comment", &self.comment),
        ];
        all.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?)))
    }
}

/// Media.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// Local address for RTP; left out, the address of the SIP connection.
    pub bind: Option<IpAddr>,
    /// Local RTP ports, `first-last`; left out, the system picks. The group's range on the MCS wins over it.
    pub ports: Option<PortRange>,
    /// All calls of the session share one pair of ports for each medium, told apart by the far end's address: for many calls at a
    /// time. The far end must send from the address that it announces. Emergency calls have ports of their own.
    pub shared_ports: bool,
    /// Threads that move packets, 1 to 16, each with a worker for codecs beside it; calls are dealt out among them.
    pub packet_threads: usize,
    /// Those threads ask for real-time priority (SCHED_FIFO); where it is not permitted a warning says how to permit it.
    pub realtime: bool,
    /// Audio codecs in order of preference. Comfort noise and telephone events come along by themselves.
    #[serde(deserialize_with = "values::audio_codecs")]
    pub audio_codecs: Vec<AudioCodec>,
    /// Describe silence (RFC 3389; DTX with Opus) in place of sending it, where the far end takes that. Never in an emergency
    /// call (RFC 6881 ED-73).
    pub silence_suppression: bool,
    /// Encryption by SDES keys.
    pub srtp: SrtpMode,
    /// SRTP suites in order of preference.
    #[serde(deserialize_with = "values::srtp_suites")]
    pub srtp_suites: Vec<SrtpSuite>,
    /// Offer and accept real-time text.
    pub text: bool,
    /// What is done when media that was agreed stays away for `timeouts.media_silent`.
    pub when_silent: WhenSilent,
    /// Offer and accept video, and what is sent unless the application says otherwise.
    pub video: VideoSetting,
    /// Kilobits a second of video, each way.
    pub video_kbps: u32,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            bind: None,
            ports: None,
            shared_ports: false,
            packet_threads: 1,
            realtime: false,
            audio_codecs: vec![AudioCodec::Pcmu, AudioCodec::Pcma, AudioCodec::G722],
            silence_suppression: false,
            srtp: SrtpMode::Off,
            srtp_suites: SrtpSuite::ALL.to_vec(),
            text: true,
            when_silent: WhenSilent::Tell,
            video: VideoSetting::Off,
            video_kbps: 1500,
        }
    }
}

impl Media {
    /// How many pairs of ports a call takes at most, one for each medium.
    pub(crate) fn pairs_of_a_call(&self) -> u32 {
        1 + u32::from(self.text) + u32::from(self.video != VideoSetting::Off)
    }

    /// What is sent of video at most.
    pub(crate) fn video_bits_per_second(&self) -> u64 {
        u64::from(self.video_kbps) * 1000
    }
}

/// A deadline per step, in milliseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Step 1.
    pub dns: Millis,
    /// Step 2.
    pub sign_in: Millis,
    /// Step 3.
    pub provision: Millis,
    /// Step 4.
    pub register: Millis,
    /// From dialling to the answer. RFC 9248 section 5.2.1: not before 3 minutes, so that video mail can answer.
    pub call: Millis,
    /// How long sound may stay away in a call that has agreed to it. Far ends that are muted send at least every 15 s
    /// (RFC 6263), so less than that tells of silences that are none.
    pub media_silent: Millis,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            dns: Millis(10_000),
            sign_in: Millis(15_000),
            provision: Millis(15_000),
            register: Millis(15_000),
            call: Millis(185_000),
            media_silent: Millis(20_000),
        }
    }
}

/// Which destinations are permitted, whatever servers answer.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// Off, or held to the documented requirement.
    pub guard: GuardMode,
    /// What is permitted besides the documented requirement.
    pub allow: Vec<Allow>,
}

/// What happens after a failure of steps 1 to 4.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Left out, what the program that starts the session says: [`StartOptions::retry`](crate::StartOptions::retry).
    pub mode: Option<RetryMode>,
    /// The first pause is at most this long, each further one twice as long; a lot decides how much of it is waited.
    pub first_pause: Millis,
    /// No pause is longer, except where a server asks for it (Retry-After, up to an hour).
    pub longest_pause: Millis,
}

impl Default for Retry {
    fn default() -> Self {
        Self { mode: None, first_pause: Millis(1000), longest_pause: Millis(300_000) }
    }
}

/// This installation.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Device {
    /// A UUID made once per installation; binds the licence and names the SIP instance. Left out, one is made for the
    /// run.
    pub instance_id: Option<String>,
}

const fn https_port() -> u16 {
    443
}

/// The loopback address, for examples and tests.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[cfg(test)]
mod tests;
