//! The network requirements as data: what a customer's firewall must let out, row by row.
//!
//! Step drivers, checks and documents read this one table. It is only data: nothing in this crate connects to these
//! names or addresses unless a configuration names them.

mod requirement;

use std::net::Ipv4Addr;

use serde::Serialize;

pub use requirement::{Destination, Requirement, documented, of_configuration, resolved};
pub(crate) use requirement::{Wanted, nameservers, wanted};

use crate::config::{AudioCodec, PortRange};

/// What a row is needed for; the sections of the requirement in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Step 1: name resolution.
    Naming,
    /// Step 2: sign-in at ZDial.
    ZDial,
    /// Step 3: licence and address book from the MCS.
    LicenceAndAddressBook,
    /// Step 4: SIP to the MCS.
    Sip,
    /// Step 5: media, all of it proxied through the MCS.
    Rtp,
}

impl Purpose {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Naming => "naming",
            Self::ZDial => "ZDial",
            Self::LicenceAndAddressBook => "licence and address book",
            Self::Sip => "SIP",
            Self::Rtp => "RTP",
        }
    }

    /// The number of the step, 1 to 5.
    pub const fn step(self) -> u8 {
        match self {
            Self::Naming => 1,
            Self::ZDial => 2,
            Self::LicenceAndAddressBook => 3,
            Self::Sip => 4,
            Self::Rtp => 5,
        }
    }
}

/// Transport protocol of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Protocol {
    /// As firewalls write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// One row: outbound traffic that must be permitted. Source ports are ephemeral except for RTP, see [`LocalRtpPorts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Rule {
    /// What for.
    pub purpose: Purpose,
    /// Destination ports.
    pub ports: PortRange,
    /// Transport.
    pub protocol: Protocol,
    /// Destination address.
    pub address: Ipv4Addr,
}

/// The role of a name in step 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameRole {
    /// The ZDial server.
    ZDial,
    /// The load-balanced name of the MCS.
    McsLoadBalanced,
    /// The first node of the MCS.
    McsNode1,
    /// The second node of the MCS.
    McsNode2,
    /// The general name of the MCS.
    Mcs,
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

const fn rule(purpose: Purpose, ports: PortRange, protocol: Protocol, address: Ipv4Addr) -> Rule {
    Rule { purpose, ports, protocol, address }
}

const DNS: PortRange = PortRange::single(53);
const HTTPS: PortRange = PortRange::single(443);
const SIP: PortRange = PortRange::single(5060);
const RTP: PortRange = PortRange::new(10_000, 65_535);

/// The five names of step 1, in the order of the requirement.
pub const NAMES: [(NameRole, &str); 5] = [
    (NameRole::ZDial, "zdial.champvrs.com"),
    (NameRole::McsLoadBalanced, "lb.mcs.csdvrs.com"),
    (NameRole::McsNode1, "mcs1.mcs.csdvrs.com"),
    (NameRole::McsNode2, "mcs2.mcs.csdvrs.com"),
    (NameRole::Mcs, "mcs.csdvrs.com"),
];

/// The six nameservers.
pub const NAMESERVERS: [Ipv4Addr; 6] = [
    v4(208, 94, 16, 61),
    v4(208, 94, 16, 62),
    v4(208, 94, 16, 90),
    v4(208, 95, 32, 61),
    v4(208, 95, 32, 62),
    v4(208, 95, 32, 90),
];

/// The two addresses of ZDial.
pub const ZDIAL: [Ipv4Addr; 2] = [v4(208, 94, 16, 114), v4(208, 95, 32, 114)];

/// The two addresses of the MCS.
pub const MCS: [Ipv4Addr; 2] = [v4(208, 94, 16, 21), v4(208, 95, 32, 21)];

/// Every row of the requirement's table, in its order.
pub const RULES: [Rule; 20] = [
    rule(Purpose::Naming, DNS, Protocol::Udp, NAMESERVERS[0]),
    rule(Purpose::Naming, DNS, Protocol::Udp, NAMESERVERS[1]),
    rule(Purpose::Naming, DNS, Protocol::Udp, NAMESERVERS[2]),
    rule(Purpose::Naming, DNS, Protocol::Udp, NAMESERVERS[3]),
    rule(Purpose::Naming, DNS, Protocol::Udp, NAMESERVERS[4]),
    rule(Purpose::Naming, DNS, Protocol::Udp, NAMESERVERS[5]),
    rule(Purpose::Naming, DNS, Protocol::Tcp, NAMESERVERS[0]),
    rule(Purpose::Naming, DNS, Protocol::Tcp, NAMESERVERS[1]),
    rule(Purpose::Naming, DNS, Protocol::Tcp, NAMESERVERS[2]),
    rule(Purpose::Naming, DNS, Protocol::Tcp, NAMESERVERS[3]),
    rule(Purpose::Naming, DNS, Protocol::Tcp, NAMESERVERS[4]),
    rule(Purpose::Naming, DNS, Protocol::Tcp, NAMESERVERS[5]),
    rule(Purpose::ZDial, HTTPS, Protocol::Tcp, ZDIAL[0]),
    rule(Purpose::ZDial, HTTPS, Protocol::Tcp, ZDIAL[1]),
    rule(Purpose::LicenceAndAddressBook, HTTPS, Protocol::Tcp, MCS[0]),
    rule(Purpose::LicenceAndAddressBook, HTTPS, Protocol::Tcp, MCS[1]),
    rule(Purpose::Sip, SIP, Protocol::Tcp, MCS[0]),
    rule(Purpose::Sip, SIP, Protocol::Tcp, MCS[1]),
    rule(Purpose::Rtp, RTP, Protocol::Udp, MCS[0]),
    rule(Purpose::Rtp, RTP, Protocol::Udp, MCS[1]),
];

/// Who decided the local RTP port range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortSource {
    /// The group's policy on the MCS.
    Group,
    /// What the sign-in says, where the group's policy is silent.
    SignIn,
    /// The client's configuration.
    Client,
    /// Nobody said anything: the system picks.
    System,
}

/// Local UDP ports for RTP: "client configurable, and group configurable on the MCS". The group's range wins, because the
/// customer's firewall follows the group; all are kept so that a user can see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LocalRtpPorts {
    /// From the configuration.
    pub client: Option<PortRange>,
    /// From ZDial, with the sign-in.
    pub sign_in: Option<PortRange>,
    /// From the MCS: what the group itself names.
    pub group: Option<PortRange>,
}

impl LocalRtpPorts {
    /// The range in force and who set it. [`PortRange::ANY`] means the system picks.
    pub fn in_force(&self) -> (PortRange, PortSource) {
        match (self.group, self.sign_in, self.client) {
            (Some(range), _, _) => (range, PortSource::Group),
            (None, Some(range), _) => (range, PortSource::SignIn),
            (None, None, Some(range)) => (range, PortSource::Client),
            (None, None, None) => (PortRange::ANY, PortSource::System),
        }
    }
}

/// What the MCS says of the group of a number, with each licence (docs/wire/licence.md); what it does not say is none. Its ports take
/// the place of the client's; codecs and bit rate are what the client's settings are held to. Emergency calls are held to the ports alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct GroupPolicy {
    /// What the group is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Local RTP ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtp_ports: Option<PortRange>,
    /// Audio codecs that may be used, by their encoding names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_codecs: Option<Vec<String>>,
    /// Bits per second, all media of a call together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u64>,
}

impl GroupPolicy {
    /// Whether a codec may be used.
    pub fn permits(&self, codec: AudioCodec) -> bool {
        let same = |name: &String| name.eq_ignore_ascii_case(codec.name());
        self.audio_codecs.as_ref().is_none_or(|names| names.iter().any(same))
    }
}

/// A setting that client and group both have a say in, and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limited<T> {
    /// From the configuration.
    pub client: T,
    /// From the group, if it says anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<T>,
    /// What holds for calls.
    pub in_force: T,
}

/// The settings of calls that the group has a say in, as both sides have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyReport {
    /// What the group is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Local RTP ports; what holds is [`LocalRtpPorts::in_force`].
    pub rtp_ports: LocalRtpPorts,
    /// Encoding names, in the client's order.
    pub audio_codecs: Limited<Vec<String>>,
    /// Bits per second of all media of a call together at most.
    pub max_bitrate: BitRates,
    /// Bits per second of video at most. What holds is what sound and text leave of the call's; 0 where that is too little for pictures.
    pub video_bitrate: VideoRate,
}

/// Who has a say in the bit rate of a call, all its media together; nobody need say anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BitRates {
    /// From the licence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<u64>,
    /// From the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u64>,
    /// What holds for calls: the lower one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_force: Option<u64>,
}

/// The bit rate of video: the client's setting, within what sound and text leave of that of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VideoRate {
    /// From the configuration.
    pub client: u64,
    /// What holds for calls.
    pub in_force: u64,
}

#[cfg(test)]
mod tests;
