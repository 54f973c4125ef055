//! What steps 1 to 4 bring to light: names and addresses, numbers, the licence, the registration, and how long each took.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::error::Attempt;
use crate::policy::{LocalRtpPorts, NameRole, PolicyReport};

/// What came out of a step. In JSON the members stand in `detail`, `step` tells which these are.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StepDetail {
    /// Step 1.
    Resolved {
        /// Every name in the configured order.
        names: Vec<NameReport>,
    },
    /// Step 2.
    SignedIn {
        /// Every number of the account.
        offered: Vec<NumberOffer>,
        /// The chosen one.
        chosen: String,
        /// The display name that goes with it.
        #[serde(skip_serializing_if = "Option::is_none")]
        display_name: Option<String>,
        /// The SIP domain.
        domain: String,
        /// The group on the MCS.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Local RTP ports, as the client and the group set them.
        rtp_ports: LocalRtpPorts,
        /// How we proved who we are; `kept` when nobody was asked, because what an earlier run was given holds.
        authentication: &'static str,
    },
    /// Step 3.
    Provisioned {
        /// The licence.
        licence: LicenceReport,
        /// How many contacts the address book has.
        contacts: usize,
        /// What client and group say of media.
        policy: Box<PolicyReport>,
    },
    /// Step 4.
    Registered {
        /// Our address of record.
        address: String,
        /// `tcp`, `tls` or `udp`.
        transport: &'static str,
        /// Our end of the connection.
        local: SocketAddr,
        /// The server's end.
        server: SocketAddr,
        /// Servers that failed before this one.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tried: Vec<Attempt>,
        /// What the registrar granted, in seconds.
        granted_s: u64,
        /// When it will be refreshed, in seconds from now.
        refresh_s: u64,
    },
}

/// One name and what step 1 found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameReport {
    /// The name.
    pub name: String,
    /// Its role; none for a SIP proxy of profile `generic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<NameRole>,
    /// Addresses in the order in which they will be tried.
    pub addresses: Vec<IpAddr>,
    /// Who answered for A and for AAAA.
    pub answers: Vec<NameAnswer>,
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameAnswer {
    /// `A` or `AAAA`; `hosts` for the static table.
    pub record: &'static str,
    /// The nameserver; none for the static table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<SocketAddr>,
    /// `udp` or `tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<&'static str>,
    /// How many addresses.
    pub count: usize,
    /// Seconds for which the answer is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
}

/// A number of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberOffer {
    /// E.164 with plus.
    pub number: String,
    /// The user's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Shown to called parties.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Whether it can be used.
    pub state: NumberState,
    /// The account's default.
    pub default: bool,
    /// An address for emergency calls is on file.
    pub emergency_address_on_file: bool,
}

/// Whether a number can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NumberState {
    /// Free.
    Available,
    /// Registered elsewhere.
    InUse,
    /// Suspended.
    Suspended,
    /// A state this version does not know.
    Unknown,
}

/// What a licence says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LicenceReport {
    /// Features.
    pub features: Vec<String>,
    /// Calls at once.
    pub max_calls: u32,
    /// When it ends, seconds since 1970.
    pub expires_unix_s: u64,
    /// The same as seconds from now.
    pub expires_in_s: u64,
    /// How much longer it holds while the server cannot be reached.
    pub grace_s: u64,
    /// Bits per second, all media of a call together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u64>,
    /// The key that signed it.
    pub kid: String,
}

/// Milliseconds per step, and the whole.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct StepTimings {
    /// Step 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_ms: Option<f64>,
    /// Step 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in_ms: Option<f64>,
    /// Step 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provision_ms: Option<f64>,
    /// Step 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub register_ms: Option<f64>,
    /// From `Session::start` to ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<f64>,
}
