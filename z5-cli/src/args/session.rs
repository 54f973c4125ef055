//! What commands with a session take: the account, conditions, a capture, a report.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use z5_core::config::Transport;

use super::value::{FOREVER, count, number, seed, stay, target};
use crate::expect::Expr;

#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    /// The phone number to sign in with, when the account has several
    #[arg(long, value_name = "+E164", value_parser = number)]
    pub(crate) number: Option<String>,
    /// Believe the authorities of this PEM file in place of the configuration's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

/// What every command with a session takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Session and verdict")]
pub(crate) struct SessionArgs {
    /// A condition on the result, such as audio.heard, setup_ms<500 or code=busy; docs/expect.md lists the names. Several may
    /// be given
    #[arg(long, value_name = "EXPR")]
    pub(crate) expect: Vec<Expr>,
    /// The phone number to sign in with, when the account has several
    #[arg(long, value_name = "+E164", value_parser = number)]
    pub(crate) number: Option<String>,
    /// Transport of SIP in place of the configuration's: tcp, tls, udp or auto (RFC 3263)
    #[arg(long, value_name = "TRANSPORT")]
    pub(crate) sip_transport: Option<Transport>,
    /// Believe the authorities of this PEM file, not the configuration's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Seed of branches, tags and Call-IDs; Z5_SEED does the same
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// The capture of a run.
#[derive(Debug, Args)]
pub(crate) struct CaptureArgs {
    /// Write SIP and RTP of this run as pcapng, and the keys that open it beside it; needs no privileges
    #[arg(long, value_name = "FILE.pcapng")]
    pub(crate) capture: Option<PathBuf>,
    /// Replace the file of --capture when it exists
    #[arg(long, requires = "capture")]
    pub(crate) overwrite: bool,
}

/// The report of a run.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Report of this run: capsule.json and report.html in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Show numbers, users and names in the report
    #[arg(long, requires = "report")]
    pub(crate) show_numbers: bool,
}

/// The reports of many runs; the same flags, and more than one report.
#[derive(Debug, Args)]
pub(crate) struct ReportsArgs {
    /// Reports below this folder, one for each scenario and party in a folder of its own: capsule.json and report.html
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Show numbers, users and names in the reports
    #[arg(long, requires = "report")]
    pub(crate) show_numbers: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Stay registered for this time, without a time until Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = stay, default_value = "0s", num_args = 0..=1,
        default_missing_value = FOREVER)]
    pub(crate) stay: Duration,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// A number, a SIP URI, or a user name of the provider's domain
    #[arg(value_parser = target)]
    pub(crate) target: String,
    /// What to say
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// "clear": forget all of them
    #[arg(value_name = "clear")]
    pub(crate) action: Option<HistoryAction>,
    /// Only the latest
    #[arg(long, value_name = "N", conflicts_with = "action", value_parser = count, allow_negative_numbers = true)]
    pub(crate) last: Option<usize>,
}

/// What is to be done with the history in place of showing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum HistoryAction {
    // without words of its own, which would make the whole help a long one
    Clear,
}
