//! Preflight: whether the network lets through what a configuration needs, asked before any sign-in.
//!
//! Every name is asked of every nameserver over UDP and TCP, every address and port is connected to, TLS is made where it
//! belongs, and the service is asked something harmless that needs no account: HTTPS for its challenge, SIP for its OPTIONS,
//! RTP ports with a STUN binding request. Nothing but what the configuration names is contacted. `plan` says what is probed,
//! `driver::probe` does it, `verdict` says what an answer means.

pub(crate) mod certificate;
pub(crate) mod plan;
pub(crate) mod remedy;
mod servers;
pub(crate) mod verdict;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use z5_sip::locate::Target;

pub use certificate::CertificateFacts;
pub use remedy::Remedy;
pub use verdict::Verdict;

use crate::call::{CallMedia, VideoIn};
use crate::config::{Config, PortRange};
use crate::error::{CallError, StartError};
use crate::policy::{self, Destination, Protocol, Purpose, Requirement};
use crate::{driver, machine};
use plan::Probe;
use verdict::Finding;

/// One probe and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Which step needs it, 1 to 5.
    pub step: u8,
    /// What for.
    pub purpose: Purpose,
    /// Transport.
    pub protocol: Protocol,
    /// Where; none when the name has no known address.
    pub address: Option<SocketAddr>,
    /// The name that was asked for, or that the certificate must have; none for a bare address.
    pub name: Option<String>,
    /// What it is.
    pub verdict: Verdict,
    /// From the first packet to the answer, or to the connection when there was no further answer; none without either.
    pub latency_ms: Option<f64>,
    /// What was seen, in words.
    pub detail: String,
    /// The certificate that was shown, good or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
    /// Their clock minus ours, in seconds, where a date came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_offset_s: Option<i64>,
    /// What to do about it; only where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// What a firewall must permit for it; only where nothing got through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Requirement>,
}

/// What a preflight found.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Preflight {
    /// Every probe in the order of the steps.
    pub rows: Vec<Row>,
    /// Their clock minus ours in seconds, the median of the dates that came; none without one.
    pub clock_offset_s: Option<i64>,
}

/// Certificates and licences are judged by this machine's clock; from here on it is called wrong. A date has whole seconds.
pub const CLOCK_TOLERANCE_S: i64 = 60;
/// Probes under way at a time: enough to be quick, few enough not to look like a scan.
const AT_A_TIME: usize = 16;

impl Preflight {
    /// Whether this machine's clock is near theirs; none when no date came.
    pub fn clock_is_right(&self) -> Option<bool> {
        self.clock_offset_s.map(|offset| offset.abs() <= CLOCK_TOLERANCE_S)
    }

    /// Everything that could be judged is as it must be.
    pub fn is_good(&self) -> bool {
        self.clock_is_right() != Some(false) && !self.rows.iter().any(|row| row.verdict.is_failure())
    }
}

/// The nameservers that this configuration leads to: those it names, and the operating system's when it says so; none when no name
/// has to be asked for.
pub fn nameservers(config: &Config) -> Vec<SocketAddr> {
    let system = if config.dns.system { driver::system_nameservers() } else { Vec::new() };
    policy::nameservers(config, &system)
}

/// Reads everything that a session would read before it sends anything: the configuration, its passwords, licence keys and
/// authorities.
///
/// # Errors
/// The first that cannot be used.
pub fn readable(config: &Config) -> Result<(), StartError> {
    machine::plan::Plan::new(config, &[], String::new(), &crate::StartOptions::default())?;
    driver::Prober::new(config, Duration::ZERO)?;
    Ok(())
}

/// Whether the file or the pattern that the configuration sends as video can be sent: a call would say so only when it is made.
///
/// # Errors
/// [`CallError::VideoSource`].
pub fn sendable(config: &Config) -> Result<(), CallError> {
    CallMedia { video_in: Some(VideoIn::from(&config.media.video)), ..CallMedia::default() }.check()
}

/// Probes everything; `each` gets every row as soon as it and those before it are known. No probe waits longer than
/// `patience` for any one answer. Needs a tokio runtime with time and network.
///
/// # Errors
/// A configuration or an authority file that cannot be used; found before anything is sent.
pub async fn run(
    config: &Config,
    patience: Duration,
    mut each: impl FnMut(&Row),
) -> Result<Preflight, StartError> {
    let world = World::new(config, patience).await?;
    let mut rows = Vec::new();
    let mut take = |probe: Probe, finding: Finding| {
        let row = row(&probe, finding);
        each(&row);
        rows.push(row);
    };
    let found = world.names(&mut take).await;
    let known = |name: &str| {
        machine::plan::fixed(&config.dns.hosts, name).or_else(|| found.get(name).cloned()).unwrap_or_default()
    };
    let mut services = world.targets.as_deref().map_or_else(Vec::new, servers::probes);
    services.extend(plan::services(&world.wanted, known));
    all(&world.prober, services, &mut take).await;

    let mut offsets: Vec<i64> = rows.iter().filter_map(|row| row.clock_offset_s).collect();
    offsets.sort_unstable();
    let clock_offset_s = offsets.get(offsets.len() / 2).copied();
    Ok(Preflight { rows, clock_offset_s })
}

/// What a firewall must permit, with the addresses that the configured nameservers give; a name that they have none for stays. Needs a
/// tokio runtime with time and network.
///
/// # Errors
/// As [`run`].
pub async fn requirements(config: &Config, patience: Duration) -> Result<Vec<Requirement>, StartError> {
    let world = World::new(config, patience).await?;
    let found = world.names(&mut |_, _| {}).await;
    let rows = policy::of_configuration(config, &world.nameservers);
    let mut rows = policy::resolved(&rows, |name| found.get(name).cloned().unwrap_or_default());
    let Some(targets) = &world.targets else { return Ok(rows) };
    let at = rows.iter().position(|row| row.purpose == Purpose::Sip).unwrap_or(rows.len());
    rows.retain(|row| row.purpose != Purpose::Sip);
    let mut servers: Vec<Requirement> = Vec::new();
    for target in targets {
        let Some((protocol, _)) = servers::way(target) else { continue };
        // large requests go over TCP where the server takes them
        let also = (protocol == Protocol::Udp).then_some(Protocol::Tcp);
        for protocol in [Some(protocol), also].into_iter().flatten() {
            let ports = PortRange::single(target.address.port());
            let destination = Destination::Address(target.address.ip());
            let row = Requirement { purpose: Purpose::Sip, protocol, ports, destination };
            if !servers.contains(&row) {
                servers.push(row);
            }
        }
    }
    rows.splice(at..at, servers);
    Ok(rows)
}

/// What a preflight goes by.
struct World<'a> {
    config: &'a Config,
    prober: driver::Prober,
    nameservers: Vec<SocketAddr>,
    /// The SIP servers of profile `generic`, where they were found; then `wanted` has nothing about SIP.
    targets: Option<Vec<Target>>,
    wanted: Vec<policy::Wanted>,
}

impl<'a> World<'a> {
    async fn new(config: &'a Config, patience: Duration) -> Result<Self, StartError> {
        let plan = machine::plan::Plan::new(config, &[], String::new(), &crate::StartOptions::default())?;
        let prober = driver::Prober::new(config, patience)?;
        let nameservers = nameservers(config);
        let mut wanted = policy::wanted(config);
        let targets = match plan.sip.search {
            Some(search) => servers::find(config, search, &prober, &nameservers).await,
            None => None,
        };
        if targets.is_some() {
            wanted = servers::without_sip(&wanted);
        }
        Ok(Self { config, prober, nameservers, targets, wanted })
    }

    /// The naming probes, and what the names are.
    async fn names(&self, take: &mut impl FnMut(Probe, Finding)) -> BTreeMap<String, Vec<IpAddr>> {
        let mut asked = plan::names(self.config, &self.wanted);
        asked.extend(self.targets.iter().flat_map(|targets| servers::names(self.config, targets)));
        let mut found: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        let mut each = |probe: Probe, finding: Finding| {
            if let Probe::Name { name, .. } = &probe {
                let known = found.entry(name.clone()).or_default();
                for address in &finding.addresses {
                    if !known.contains(address) {
                        known.push(*address);
                    }
                }
            }
            take(probe, finding);
        };
        all(&self.prober, plan::naming(&asked, &self.nameservers), &mut each).await;
        found
    }
}

/// Runs the probes, a few at a time, and hands the findings over in the probes' order.
async fn all(prober: &driver::Prober, probes: Vec<Probe>, take: &mut impl FnMut(Probe, Finding)) {
    let mut tasks = tokio::task::JoinSet::new();
    let mut waiting = probes.iter().cloned().enumerate();
    let mut done: BTreeMap<usize, Finding> = BTreeMap::new();
    let mut next = 0;
    loop {
        while tasks.len() < AT_A_TIME
            && let Some((index, probe)) = waiting.next()
        {
            let prober = prober.clone();
            tasks.spawn(async move { (index, prober.probe(&probe).await) });
        }
        match tasks.join_next().await {
            Some(Ok((index, finding))) => drop(done.insert(index, finding)),
            // a probe that panicked leaves its row unjudged; the others go on
            Some(Err(error)) => tracing::error!(%error, "a probe stopped"),
            None => break,
        }
        while let Some(finding) = done.remove(&next) {
            if let Some(probe) = probes.get(next) {
                take(probe.clone(), finding);
            }
            next += 1;
        }
    }
    for (index, probe) in probes.into_iter().enumerate().skip(next) {
        take(probe, done.remove(&index).unwrap_or_default());
    }
}

fn row(probe: &Probe, finding: Finding) -> Row {
    let (purpose, protocol, address, name) = probe.place();
    let rule =
        address.filter(|_| finding.verdict.is_closed() && !finding.guarded).map(|address| Requirement {
            purpose,
            protocol,
            ports: probe.ports(address),
            destination: Destination::Address(address.ip()),
        });
    Row {
        step: purpose.step(),
        purpose,
        protocol,
        address,
        name,
        verdict: finding.verdict,
        remedy: finding.remedy(),
        latency_ms: finding.latency.map(|latency| (latency.as_secs_f64() * 1e6).round() / 1e3),
        detail: finding.detail,
        certificate: finding.certificate,
        clock_offset_s: finding.clock_offset_s,
        rule,
    }
}
