//! `z5 run`, `z5 acceptance` and `z5 monitor`: what is told of scenarios.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::session::ReportsArgs;
use super::value::{pair, some_time};
use crate::read::{time, whole};
use crate::scenario::Clock;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Scenario files (YAML); docs/scenarios.md is the reference
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) world: WorldArgs,
    /// Which clock the run goes by; simulated time takes next to none, and has the mock carrier only
    #[arg(long, value_name = "CLOCK", value_enum, default_value = "real")]
    pub(crate) clock: Clock,
    /// Write a report as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Replace the file of --junit also when z5 has not written it
    #[arg(long, requires = "junit")]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) report: ReportsArgs,
    /// Judge the files and configurations only; nothing is sent
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the JSON schema of a scenario file
    #[arg(long, conflicts_with_all = ["files", "check", "junit", "set", "party"])]
    pub(crate) schema: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AcceptanceArgs {
    /// These points only
    #[arg(long, value_name = "V1,...", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    #[command(flatten)]
    pub(crate) world: WorldArgs,
    /// Which clock the run goes by; simulated time takes next to none, and has the mock carrier only
    #[arg(long, value_name = "CLOCK", value_enum, default_value = "real")]
    pub(crate) clock: Clock,
    /// Write the table as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Replace the file of --markdown also when z5 has not written it
    #[arg(long, requires = "markdown")]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) report: ReportsArgs,
    /// How many points are judged at a time; one against a real carrier
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = jobs, allow_negative_numbers = true)]
    pub(crate) jobs: u8,
    /// Write the scenarios into this folder, to read and to change them; nothing is run
    #[arg(long, value_name = "DIR")]
    pub(crate) export: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    /// Scenario files (YAML), run one after the other in each round; docs/scenarios.md is the reference
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) world: WorldArgs,
    /// How often a round begins; one that is not over in this time lets the next one out
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "60s")]
    pub(crate) every: Duration,
    /// Each round begins up to this much later, by chance, so that many monitors do not call at the same time
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "0s")]
    pub(crate) jitter: Duration,
    /// Where Prometheus finds /metrics; anybody who reaches this address can read them
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9650", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) report: ReportsArgs,
    /// Reports that are kept of each scenario: the newest, and those of runs that failed before others
    #[arg(long, value_name = "N", requires = "report", default_value_t = 50, value_parser = keep,
        allow_negative_numbers = true)]
    pub(crate) keep: u16,
}

/// What scenarios are given from outside.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorldArgs {
    /// A value for one of the file's `vars`; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Which clock the run goes by; a monitor's is real.
    #[arg(skip)]
    pub(crate) clock: Clock,
    /// The configuration of a party at a real carrier; --config is for those without one
    #[arg(long, value_name = "NAME=FILE", value_parser = pair)]
    pub(crate) party: Vec<(String, String)>,
}

impl WorldArgs {
    /// A name that `--set` or `--party` gives twice, with both values as they stand.
    pub(crate) fn twice(&self) -> Option<String> {
        let find = |flag: &str, given: &[(String, String)]| {
            given.iter().enumerate().find_map(|(at, (name, value))| {
                let (_, first) = given[..at].iter().find(|(other, _)| other == name)?;
                Some(format!("{flag} gives {name} twice: {name}={first} and then {name}={value}"))
            })
        };
        find("--set", &self.set).or_else(|| find("--party", &self.party))
    }

    /// The same by this clock.
    pub(crate) fn by(&self, clock: Clock) -> Self {
        Self { clock, ..self.clone() }
    }
}

/// Points of the plan that are judged at a time.
fn jobs(text: &str) -> Result<u8, String> {
    whole(text, 1, 64).map(|jobs| u8::try_from(jobs).unwrap_or(u8::MAX))
}

/// Reports that are kept.
fn keep(text: &str) -> Result<u16, String> {
    whole(text, 1, 10_000).map(|keep| u16::try_from(keep).unwrap_or(u16::MAX))
}

/// An address of this machine and a port of it; names are not looked up.
fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let example = "write for example 127.0.0.1:9650, 0.0.0.0:9650 for every network, or [::1]:9650";
        match text.rsplit_once(':') {
            _ if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("the address before the port is missing: {example}")
            }
            Some(("localhost", _)) => format!("a name is not looked up: {example}"),
            _ => format!("`{text}` is no address and port: {example}"),
        }
    })
}
