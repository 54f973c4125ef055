//! Whether the values make sense together, and the reading of passwords.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use z5_media::file::{self, Limit};

use super::{
    AudioCodec, Config, ConfigError, LicenceKey, PortRange, Problem, Profile, SrtpSuite, Transport, ZDial,
};
use crate::egress::GuardMode;
use crate::location::{Location, LocationError};
use crate::secret::Secret;

const PACKET_THREADS: std::ops::RangeInclusive<usize> = 1..=z5_media::MAX_PACKET_THREADS;
/// One flow is no redundancy, two are the rule, more than four help nobody (RFC 5626 section 4.2.1).
pub(crate) const FLOWS: std::ops::RangeInclusive<u32> = 1..=4;

/// Seconds: bindings in NATs last 30 s over UDP and some minutes over TCP (RFC 5626 section 4.4).
const KEEP_ALIVE: std::ops::RangeInclusive<u32> = 1..=840;

/// The most bytes of a document that goes with calls.
const PART: u64 = 64 * 1024 - 1;

/// Seconds: the shortest registration worth asking for and the longest any registrar grants in practice.
const EXPIRES: std::ops::RangeInclusive<u32> = 5..=604_800;

/// Kilobits a second of video: the least at which signing was read in studies, and what level 3.1 takes.
const VIDEO_KBPS: std::ops::RangeInclusive<u32> = 60..=14_000;

impl Config {
    /// Names every key that is missing or cannot be applied.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        match self.profile {
            Profile::Z5 => self.check_z5(&mut problems),
            Profile::Generic => self.check_generic(&mut problems),
        }
        self.check_common(&mut problems);
        if self.tls.ca_file.is_some() && self.tls.ca_pem.is_some() {
            problems.push(Problem::bad("tls.ca_pem", "give either `tls.ca_file` or `tls.ca_pem`, not both"));
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    fn check_z5(&self, out: &mut Vec<Problem>) {
        let need = "profile `z5` walks all five steps";
        match &self.names {
            None => out.push(Problem::missing("names", format!("{need} and resolves the five names first"))),
            Some(names) => {
                let all = [
                    ("names.zdial", &names.zdial),
                    ("names.mcs_lb", &names.mcs_lb),
                    ("names.mcs", &names.mcs),
                    ("names.mcs_node1", &names.mcs_node1),
                    ("names.mcs_node2", &names.mcs_node2),
                ];
                for (key, name) in all {
                    check_name(key, name, out);
                }
                let covered = all.iter().all(|(_, name)| self.dns.hosts.contains_key(name.as_str()));
                if self.dns.servers.is_empty() && !self.dns.system && !covered {
                    out.push(Problem::missing(
                        "dns.servers",
                        "name at least one nameserver as \"address:port\", or set `dns.system = true`, or give \
                         every name in `dns.hosts`",
                    ));
                }
            }
        }
        match &self.zdial {
            None => out.push(Problem::missing("zdial", format!("{need} and signs in with this account"))),
            Some(zdial) => check_zdial(zdial, out),
        }
        match &self.licence {
            None => out.push(Problem::missing(
                "licence",
                format!("{need}; give the issuer, the audience and at least one key"),
            )),
            Some(licence) => {
                if licence.keys.is_empty() {
                    out.push(Problem::missing("licence.keys", "without a key no licence can be verified"));
                }
                for (index, key) in licence.keys.iter().enumerate() {
                    check_key(index, key, out);
                }
            }
        }
        check_port("mcs.https_port", self.mcs.https_port, out);
        check_port("mcs.sip_port", self.mcs.sip_port, out);
        check_port("mcs.sips_port", self.mcs.sips_port, out);
        if self.sip.transport == Transport::Udp {
            out.push(Problem::bad(
                "sip.transport",
                "profile `z5` registers over \"tcp\" or \"tls\"; \"udp\" is for profile `generic`",
            ));
        }
    }

    fn check_generic(&self, out: &mut Vec<Problem>) {
        let need = "profile `generic` registers this account";
        match &self.sip.domain {
            None => out.push(Problem::missing("sip.domain", need)),
            Some(domain) if domain.is_empty() => out.push(Problem::bad("sip.domain", "it is empty")),
            Some(_) => {}
        }
        if self.sip.username.is_none() {
            out.push(Problem::missing("sip.username", need));
        }
        check_password(
            "sip",
            self.sip.password.is_some(),
            self.sip.password_env.is_some(),
            self.sip.password_file.is_some(),
            out,
        );
        let target = self.sip.proxy.as_ref().map(|proxy| proxy.host.as_str()).or(self.sip.domain.as_deref());
        if let Some(host) = target {
            let known = host.parse::<IpAddr>().is_ok() || self.dns.hosts.contains_key(host);
            if !known && self.dns.servers.is_empty() && !self.dns.system {
                out.push(Problem::missing(
                    "dns.servers",
                    format!("`{host}` is a name: name a nameserver, or set `dns.system = true`"),
                ));
            }
        }
    }

    fn check_common(&self, out: &mut Vec<Problem>) {
        self.check_contacts(out);
        for (index, server) in self.dns.servers.iter().enumerate() {
            if server.host.parse::<IpAddr>().is_err() {
                let why = format!(
                    "`{server}` is a name; a nameserver is given by its address, as \"192.0.2.53:53\""
                );
                out.push(Problem::bad(&format!("dns.servers[{index}]"), why));
            }
        }
        for (name, addresses) in &self.dns.hosts {
            if addresses.is_empty() {
                out.push(Problem::bad(&format!("dns.hosts.{name}"), "the list of addresses is empty"));
            }
        }
        let codecs = AudioCodec::ALL.map(AudioCodec::name);
        check_list("media.audio_codecs", &self.media.audio_codecs, AudioCodec::name, &codecs, out);
        let suites = SrtpSuite::ALL.map(SrtpSuite::name);
        check_list("media.srtp_suites", &self.media.srtp_suites, SrtpSuite::name, &suites, out);
        if self.media.video.needs_codec() && !super::VIDEO_CODEC {
            out.push(Problem::bad(
                "media.video",
                "this z5 was built without OpenH264 and cannot encode; name an H.264 file, \"blank\" or \"off\", or build it with \
                 `--features openh264`",
            ));
        }
        if !VIDEO_KBPS.contains(&self.media.video_kbps) {
            let why = format!(
                "{} is not between {} and {}",
                self.media.video_kbps,
                VIDEO_KBPS.start(),
                VIDEO_KBPS.end()
            );
            out.push(Problem::bad("media.video_kbps", why));
        }
        if self.media.bind.is_some_and(|bind| bind.is_unspecified()) {
            out.push(Problem::bad(
                "media.bind",
                "this address is nobody's: the far end must be told where to send; leave the key out to use the address of the SIP \
                 connection",
            ));
        }
        let useless = |ports: &PortRange| !ports.is_any() && pairs(ports.first(), ports.last()) == 0;
        if self.media.ports.as_ref().is_some_and(useless) {
            out.push(Problem::bad(
                "media.ports",
                "the range has no even port followed by an odd one (RTP and RTCP)",
            ));
        }
        let threads = u32::try_from(self.media.packet_threads).unwrap_or(u32::MAX);
        let needed = self.media.pairs_of_a_call().saturating_mul(threads);
        let few =
            |ports: &PortRange| !ports.is_any() && (1..needed).contains(&pairs(ports.first(), ports.last()));
        if let Some(ports) = self.media.ports.filter(|ports| self.media.shared_ports && few(ports)) {
            let why = format!(
                "audio, text and video have a pair of ports each, for each packet thread, {needed} of them here, and `media.ports` \
                 ({ports}) has fewer; widen it or leave media out"
            );
            out.push(Problem::bad("media.shared_ports", why));
        }
        if !PACKET_THREADS.contains(&self.media.packet_threads) {
            let (given, first, last) =
                (self.media.packet_threads, PACKET_THREADS.start(), PACKET_THREADS.end());
            out.push(Problem::bad("media.packet_threads", format!("{given} is outside {first} to {last}")));
        }
        if let Some(mailbox) = &self.sip.mwi
            && !z5_sip::wire::Uri::parse(mailbox).is_ok_and(|uri| uri.as_ref().is_sip())
        {
            out.push(Problem::bad("sip.mwi", format!("`{mailbox}` is no `sip:` address")));
        }
        if let Some(flows) = self.sip.flows.filter(|flows| !FLOWS.contains(flows)) {
            let why = format!("{flows} is outside {} to {}", FLOWS.start(), FLOWS.end());
            out.push(Problem::bad("sip.flows", why));
        }
        if !KEEP_ALIVE.contains(&self.sip.keep_alive) {
            let (least, most) = (KEEP_ALIVE.start(), KEEP_ALIVE.end());
            let why = format!("{} is outside {least} to {most} seconds", self.sip.keep_alive);
            out.push(Problem::bad("sip.keep_alive", why));
        }
        self.check_owner(out);
        self.check_emergency(out);
        if !EXPIRES.contains(&self.sip.expires) {
            let why =
                format!("{} is outside {} to {} seconds", self.sip.expires, EXPIRES.start(), EXPIRES.end());
            out.push(Problem::bad("sip.expires", why));
        }
        let times = [
            ("timeouts.dns", self.timeouts.dns),
            ("timeouts.sign_in", self.timeouts.sign_in),
            ("timeouts.provision", self.timeouts.provision),
            ("timeouts.register", self.timeouts.register),
            ("timeouts.call", self.timeouts.call),
            ("timeouts.media_silent", self.timeouts.media_silent),
        ];
        for (key, time) in times {
            if time.0 == 0 {
                out.push(Problem::bad(key, "0 ms leaves no time at all"));
            }
        }
        if self.retry.first_pause.0 == 0 {
            out.push(Problem::bad("retry.first_pause", "0 ms would ask a server that failed without end"));
        }
        if self.retry.longest_pause < self.retry.first_pause {
            out.push(Problem::bad("retry.longest_pause", "it is shorter than `retry.first_pause`"));
        }
        if !self.egress.allow.is_empty() && self.egress.guard == GuardMode::Off {
            out.push(Problem::bad("egress.allow", "it has no effect without `egress.guard = \"policy\"`"));
        }
        if let Some(id) = &self.device.instance_id {
            let form = [8, 4, 4, 4, 12];
            let parts: Vec<&str> = id.split('-').collect();
            let right = parts.len() == form.len()
                && parts.iter().zip(form).all(|(part, length)| {
                    part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
                });
            if !right {
                out.push(Problem::bad(
                    "device.instance_id",
                    "not a UUID such as \"00000000-0000-4000-8000-000000000001\"",
                ));
            }
        }
    }

    fn check_owner(&self, out: &mut Vec<Problem>) {
        if self.sip.owner_uri.is_some() && self.sip.owner_card.is_some() {
            out.push(Problem::bad("sip.owner_card", "give either `owner_uri` or `owner_card`, not both"));
        }
        if let Some(uri) = &self.sip.owner_uri
            && !(uri.starts_with("https://") && z5_sip::wire::Uri::parse(uri).is_ok())
        {
            out.push(Problem::bad("sip.owner_uri", format!("`{uri}` is no `https:` address")));
        }
        if let Some(path) = &self.sip.owner_card
            && let Err(why) = read_part(path)
        {
            out.push(Problem::bad("sip.owner_card", why));
        }
    }

    fn check_emergency(&self, out: &mut Vec<Problem>) {
        let emergency = &self.emergency;
        if emergency.location.is_some() && emergency.location_file.is_some() {
            let why = "give either `location` or `location_file`, not both";
            out.push(Problem::bad("emergency.location_file", why));
        } else if let Err(error) = self.location() {
            let key = if emergency.location.is_some() { "location" } else { "location_file" };
            out.push(Problem::bad(&format!("emergency.{key}"), error.to_string()));
        }
        if emergency.location_with_registration
            && emergency.location.is_none()
            && emergency.location_file.is_none()
        {
            let why = "there is no location to send: give `location` or `location_file`";
            out.push(Problem::bad("emergency.location_with_registration", why));
        }
        for (name, path) in emergency.blocks() {
            if let Err(why) = read_part(path) {
                let key = match name {
                    "ProviderInfo" => "provider_info",
                    "ServiceInfo" => "service_info",
                    "DeviceInfo" => "device_info",
                    "SubscriberInfo" => "subscriber_info",
                    _ => "comment",
                };
                out.push(Problem::bad(&format!("emergency.{key}"), why));
            }
        }
    }

    /// Where emergency calls come from, when the configuration says so.
    ///
    /// # Errors
    /// When it is no location, or its file cannot be used.
    pub(crate) fn location(&self) -> Result<Option<Location>, LocationError> {
        match (&self.emergency.location, &self.emergency.location_file) {
            (Some(text), _) => text.parse().map(Some),
            (None, Some(path)) => Location::load(path).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The password of step 2.
    ///
    /// # Errors
    /// When the environment variable or the file it is in cannot be read.
    pub(crate) fn zdial_password(&self) -> Result<Option<Secret>, ConfigError> {
        let Some(zdial) = &self.zdial else { return Ok(None) };
        read("zdial", zdial.password.as_ref(), zdial.password_env.as_deref(), zdial.password_file.as_ref())
    }

    /// The SIP password, when the configuration has one.
    ///
    /// # Errors
    /// When the environment variable or the file it is in cannot be read.
    pub(crate) fn sip_password(&self) -> Result<Option<Secret>, ConfigError> {
        let sip = &self.sip;
        read("sip", sip.password.as_ref(), sip.password_env.as_deref(), sip.password_file.as_ref())
    }

    /// The password of the address book, when the configuration has one.
    ///
    /// # Errors
    /// When the environment variable or the file it is in cannot be read.
    pub(crate) fn contacts_password(&self) -> Result<Option<Secret>, ConfigError> {
        let it = &self.contacts;
        read("contacts", it.password.as_ref(), it.password_env.as_deref(), it.password_file.as_ref())
    }

    /// The address book: where it is comes first, who we are there comes whole or not at all.
    fn check_contacts(&self, out: &mut Vec<Problem>) {
        let it = &self.contacts;
        let secrets = [it.password.is_some(), it.password_env.is_some(), it.password_file.is_some()];
        for (index, server) in
            it.servers.iter().enumerate().filter(|(_, server)| !crate::machine::is_host(server))
        {
            let why = format!("`{server}` is not the name of a host; write it without scheme, port and path");
            out.push(Problem::bad(&format!("contacts.servers[{index}]"), why));
        }
        match &it.uri {
            None if it.username.is_some() || secrets.contains(&true) => {
                let need = "credentials of an address book are for the one that `contacts.uri` names";
                out.push(Problem::missing("contacts.uri", need));
            }
            None if it.protocol.is_some() && self.profile == Profile::Generic => {
                let need = "`contacts.protocol` says how, and nothing says where the address book is";
                out.push(Problem::missing("contacts.uri", need));
            }
            None => return,
            Some(uri) => {
                if let Err(why) = crate::machine::configured_uri(uri, it.protocol.unwrap_or_default()) {
                    out.push(Problem::bad("contacts.uri", format!("`{uri}` {why}")));
                }
            }
        }
        match &it.username {
            Some(_) => check_password("contacts", secrets[0], secrets[1], secrets[2], out),
            None if secrets.contains(&true) => {
                out.push(Problem::missing("contacts.username", "a password alone says not whose it is"));
            }
            None => {}
        }
    }
}

/// A document that goes with calls: XML of reasonable length.
pub(crate) fn read_part(path: &Path) -> Result<Vec<u8>, String> {
    let name = path.display();
    let bytes =
        file::read(path, Limit::of("a part of a call", PART)).map_err(|why| format!("{name}: {why}"))?;
    match bytes.len() {
        0 => Err(format!("{name} is empty")),
        _ if !bytes.trim_ascii_start().starts_with(b"<") => Err(format!("{name} is no XML document")),
        _ => Ok(bytes),
    }
}

fn check_zdial(zdial: &ZDial, out: &mut Vec<Problem>) {
    check_port("zdial.port", zdial.port, out);
    if zdial.username.is_empty() {
        out.push(Problem::bad("zdial.username", "it is empty"));
    }
    check_password(
        "zdial",
        zdial.password.is_some(),
        zdial.password_env.is_some(),
        zdial.password_file.is_some(),
        out,
    );
}

fn check_password(table: &str, plain: bool, env: bool, file: bool, out: &mut Vec<Problem>) {
    let key = format!("{table}.password");
    match u8::from(plain) + u8::from(env) + u8::from(file) {
        0 => out.push(Problem::missing(&key, "give `password`, `password_env` or `password_file`")),
        1 => {}
        _ => out.push(Problem::bad(&key, "give only one of `password`, `password_env` and `password_file`")),
    }
}

fn check_key(index: usize, key: &LicenceKey, out: &mut Vec<Problem>) {
    let at = format!("licence.keys[{index}]");
    match (&key.public_key_pem, &key.x) {
        (Some(_), None) => {}
        (None, Some(x)) => {
            if URL_SAFE_NO_PAD.decode(x).map(|bytes| bytes.len()) != Ok(32) {
                out.push(Problem::bad(&at, "`x` is not 32 bytes in base64url without padding"));
            }
        }
        (None, None) | (Some(_), Some(_)) => {
            out.push(Problem::bad(&at, "give exactly one of `public_key_pem` and `x`"));
        }
    }
}

fn check_name(key: &str, name: &str, out: &mut Vec<Problem>) {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.len() > 253 || !name.trim_end_matches('.').split('.').all(label) {
        out.push(Problem::bad(key, format!("`{name}` is not a host name")));
    }
}

/// A list of preferences names something, and nothing twice.
fn check_list<T: Copy + PartialEq>(
    key: &str,
    list: &[T],
    name: impl Fn(T) -> &'static str,
    all: &[&str],
    out: &mut Vec<Problem>,
) {
    if list.is_empty() {
        let why = format!("the list is empty; name at least one of \"{}\"", all.join("\", \""));
        out.push(Problem::bad(key, why));
    }
    for (at, item) in list.iter().enumerate() {
        if list[..at].contains(item) {
            out.push(Problem::bad(key, format!("\"{}\" stands there twice", name(*item))));
        }
    }
}

fn check_port(key: &str, port: u16, out: &mut Vec<Problem>) {
    if port == 0 {
        out.push(Problem::bad(key, "0 is not a port; use 1 to 65535"));
    }
}

/// How many even/odd port pairs a range holds.
fn pairs(first: u16, last: u16) -> u32 {
    let even = u32::from(first) + u32::from(first) % 2;
    (u32::from(last) + 1).saturating_sub(even) / 2
}

/// Why an environment variable gives no password. Neither its content is shown, nor a name that looks like a password put
/// in the wrong place.
fn unset(name: &str, error: &std::env::VarError) -> String {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let variable = match name.bytes().all(plain) {
        true => format!("environment variable `{name}`"),
        false => "the environment variable named here".to_owned(),
    };
    match error {
        std::env::VarError::NotPresent => format!("{variable} is not set"),
        std::env::VarError::NotUnicode(_) => format!("{variable} does not hold UTF-8"),
    }
}

fn read(
    table: &str,
    plain: Option<&Secret>,
    env: Option<&str>,
    file: Option<&PathBuf>,
) -> Result<Option<Secret>, ConfigError> {
    let found = match (plain, env, file) {
        (Some(secret), _, _) => Ok(secret.clone()),
        (None, Some(name), _) => std::env::var(name)
            .map(Secret::new)
            .map_err(|error| Problem::bad(&format!("{table}.password_env"), unset(name, &error))),
        (None, None, Some(path)) => file::read_text(path, Limit::of("a password", 4096))
            .map(|text| Secret::new(text.trim_end_matches(['\r', '\n'])))
            .map_err(|error| {
                Problem::bad(&format!("{table}.password_file"), format!("{}: {error}", path.display()))
            }),
        (None, None, None) => return Ok(None),
    };
    let secret = found.map_err(|problem| ConfigError::Invalid(vec![problem]))?;
    if secret.is_empty() {
        let why = "the password is empty";
        return Err(ConfigError::Invalid(vec![Problem::bad(&format!("{table}.password"), why)]));
    }
    Ok(Some(secret))
}
