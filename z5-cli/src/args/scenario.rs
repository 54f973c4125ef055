//! `z5 run`, `z5 acceptance` and `z5 monitor`: what is told of scenarios.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::session::ReportsArgs;
use super::value::{duration, pair, some_time};
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
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
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
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s")]
    pub(crate) jitter: Duration,
    /// Where Prometheus finds /metrics; anybody who reaches this address can read them
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9650")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) report: ReportsArgs,
    /// Reports that are kept of each scenario: the newest, and those of runs that failed before others
    #[arg(long, value_name = "N", requires = "report", default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) keep: u32,
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
