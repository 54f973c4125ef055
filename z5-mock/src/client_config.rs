//! The configuration file that lets a z5 client use this carrier (docs/configuration.md has the format).
//!
//! Plain data; the mock knows the format only as a text to write. A file it writes is readable by its owner alone
//! because a password is in it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::mcs::licence::AUDIENCE;
use crate::names::Names;
use crate::state::State;

/// Name of the configuration file that [`ClientConfig::write_to`] makes.
pub const CONFIG_FILE: &str = "z5.toml";
/// Name of the certificate file beside it.
pub const CA_FILE: &str = "ca.pem";

/// The file as data; every section is optional where the profile does not need it.
#[derive(Clone, Serialize)]
pub struct ClientConfig {
    /// `z5` or `generic`.
    pub profile: String,
    /// Step 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// The five names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Names>,
    /// Step 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zdial: Option<Zdial>,
    /// Trust for steps 2 and 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Trust>,
    /// Ports of the MCS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcs: Option<Mcs>,
    /// How licences are judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<Licence>,
    /// The SIP account of the generic profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip: Option<Sip>,
    /// Media on loopback.
    pub media: Media,
    /// The authority's certificate; written as its own file, not part of the TOML.
    #[serde(skip)]
    pub ca_pem: String,
}

/// `[dns]`
#[derive(Clone, Debug, Serialize)]
pub struct Dns {
    /// `host:port` of each name server.
    pub servers: Vec<String>,
    /// Whether the system's resolver is used.
    pub system: bool,
    /// Static answers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}

/// `[zdial]`
#[derive(Clone, Serialize)]
pub struct Zdial {
    /// TCP port.
    pub port: u16,
    /// Sign-in name.
    pub username: String,
    /// Sign-in password.
    pub password: String,
    /// The number to use; `None` when the account has only one, or to be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// `[tls]`
#[derive(Clone, Debug, Serialize)]
pub struct Trust {
    /// Relative to the configuration file.
    pub ca_file: String,
}

/// `[mcs]`
#[derive(Clone, Debug, Serialize)]
pub struct Mcs {
    /// Licence and address book.
    pub https_port: u16,
    /// SIP over TCP.
    pub sip_port: u16,
    /// SIP over TLS.
    pub sips_port: u16,
}

/// `[licence]`
#[derive(Clone, Debug, Serialize)]
pub struct Licence {
    /// Expected `iss`.
    pub issuer: String,
    /// Expected `aud`.
    pub audience: String,
    /// Pinned keys.
    pub keys: Vec<Key>,
}

/// One of `[[licence.keys]]`
#[derive(Clone, Debug, Serialize)]
pub struct Key {
    /// Name of the key.
    pub kid: String,
    /// Ed25519 public key, base64url.
    pub x: String,
}

/// `[sip]`
#[derive(Clone, Serialize)]
pub struct Sip {
    /// Domain of the address of record.
    pub domain: String,
    /// User part of the address of record, also for authentication.
    pub username: String,
    /// Password for digest.
    pub password: String,
    /// Shown to the person called.
    pub display_name: String,
    /// `host:port` that requests are sent to; without it they go where the domain's records say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// `tcp`, `tls`, `udp` or `auto`
    pub transport: String,
}

/// `[media]`
#[derive(Clone, Debug, Serialize)]
pub struct Media {
    /// Local address of media sockets.
    pub bind: String,
}

impl ClientConfig {
    /// For an account of this carrier; its only number is chosen, one of several is not.
    pub(crate) fn of(state: &State, username: &str) -> Option<Self> {
        let addresses = state.addresses;
        let account = state.accounts.iter().find(|account| account.username() == username)?;
        let number = match account.numbers() {
            [only] => Some(only.e164.clone()),
            _ => None,
        };
        let key = state.signer.public();
        Some(Self {
            profile: "z5".to_owned(),
            dns: Some(Dns {
                servers: state
                    .places
                    .iter()
                    .map(|place| SocketAddr::new(*place, addresses.dns.port()).to_string())
                    .collect(),
                system: false,
                hosts: Default::default(),
            }),
            names: Some(state.names.clone()),
            zdial: Some(Zdial {
                port: addresses.zdial.port(),
                username: username.to_owned(),
                password: account.password().to_owned(),
                number,
            }),
            tls: Some(Trust { ca_file: CA_FILE.to_owned() }),
            mcs: Some(Mcs {
                https_port: addresses.mcs.port(),
                sip_port: addresses.sip.port(),
                sips_port: addresses.sips.port(),
            }),
            licence: Some(Licence {
                issuer: state.signer.issuer().to_owned(),
                audience: AUDIENCE.to_owned(),
                keys: vec![Key { kid: key.kid.clone(), x: key.x.clone() }],
            }),
            sip: None,
            media: Media { bind: IpAddr::to_string(&addresses.sip.ip()) },
            ca_pem: state.tls.as_ref().map_or_else(String::new, |tls| tls.ca_pem.clone()),
        })
    }

    /// Of profile `generic` for the default number of an account, over `tcp`, `tls` or `udp`: steps 2 and 3 are skipped.
    pub(crate) fn generic(state: &State, username: &str, transport: &str) -> Option<Self> {
        let addresses = state.addresses;
        let account = state.accounts.iter().find(|account| account.username() == username)?;
        let number = account.numbers().first()?;
        let proxy = if transport == "tls" { addresses.sips } else { addresses.sip };
        Some(Self {
            profile: "generic".to_owned(),
            dns: None,
            names: None,
            zdial: None,
            tls: Some(Trust { ca_file: CA_FILE.to_owned() }),
            mcs: None,
            licence: None,
            sip: Some(Sip {
                domain: state.names.domain().to_owned(),
                username: number.sip_user.clone(),
                password: number.sip_password.clone(),
                display_name: number.display_name.clone(),
                proxy: Some(proxy.to_string()),
                transport: transport.to_owned(),
            }),
            media: Media { bind: IpAddr::to_string(&addresses.sip.ip()) },
            ca_pem: state.tls.as_ref().map_or_else(String::new, |tls| tls.ca_pem.clone()),
        })
    }

    /// The file's text.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Writes [`CONFIG_FILE`] (mode 0600) and, if needed, [`CA_FILE`] into an existing directory; returns the former's path.
    pub fn write_to(&self, directory: &Path) -> io::Result<PathBuf> {
        let text = self.to_toml().map_err(io::Error::other)?;
        if self.tls.is_some() {
            std::fs::write(directory.join(CA_FILE), &self.ca_pem)?;
        }
        let path = directory.join(CONFIG_FILE);
        write_private(&path, &text)?;
        Ok(path)
    }
}

/// Writes a file that only its owner may read, from the moment it exists.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = open_private(&mut options, path)?;
    file.write_all(text.as_bytes())
}

#[cfg(unix)]
fn open_private(options: &mut std::fs::OpenOptions, path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let file = options.mode(0o600).open(path)?;
    // An older file keeps its mode when opened; tighten it before anything secret is in it.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// What the directory gives to what is in it holds for the file.
#[cfg(not(unix))]
fn open_private(options: &mut std::fs::OpenOptions, path: &Path) -> io::Result<std::fs::File> {
    options.open(path)
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("profile", &self.profile)
            .field("dns", &self.dns)
            .field("mcs", &self.mcs)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Zdial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zdial")
            .field("port", &self.port)
            .field("password", &"[redacted]")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sip")
            .field("proxy", &self.proxy)
            .field("password", &"[redacted]")
            .finish_non_exhaustive()
    }
}
