//! `z5 mock` and `z5 demo`: the carrier on this machine.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use z5_mock::Impairment;
use z5_mock::fault::Order;

use super::session::{CaptureArgs, ReportArgs};
use super::value::{port, seed, some_time};
use crate::expect::Expr;

#[derive(Debug, Args)]
pub(crate) struct MockArgs {
    /// Write a configuration that uses this carrier, and its CA certificate beside it. ACCOUNT=FILE for another
    /// account than alice; may be given several times
    #[arg(long, value_name = "[ACCOUNT=]FILE")]
    pub(crate) write_config: Vec<String>,
    /// Replace files of --write-config that are there and that no z5 mock has written
    #[arg(long, alias = "force", requires = "write_config")]
    pub(crate) overwrite: bool,

    /// What the carrier is and what goes wrong, from a file (docs/scenario.toml has every key); what else is given here goes before it
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) scenario: Option<PathBuf>,

    /// End after this time; without it, on Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) duration: Option<Duration>,

    /// UDP and TCP port of the DNS server (0: any free port, like the others)
    #[arg(long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    pub(crate) dns_port: Option<u16>,
    /// TCP port of ZDial (HTTPS)
    #[arg(long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    pub(crate) zdial_port: Option<u16>,
    /// TCP port of the MCS (HTTPS)
    #[arg(long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    pub(crate) mcs_port: Option<u16>,
    /// TCP and UDP port of the SIP server
    #[arg(long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    pub(crate) sip_port: Option<u16>,
    /// Port of the SIP server for TLS
    #[arg(long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    pub(crate) sips_port: Option<u16>,

    /// Name the SIP proxies with TLS in place of TCP
    #[arg(long)]
    pub(crate) sip_over_tls: bool,
    /// Be on ::1 in place of 127.0.0.1
    #[arg(long)]
    pub(crate) ipv6: bool,

    /// Be at this loopback address too, after 127.0.0.1. May be given several times
    #[arg(long, value_name = "127.x.y.z", conflicts_with = "ipv6", value_parser = loopback)]
    pub(crate) address: Vec<Ipv4Addr>,

    /// Something that goes wrong; docs/mock.md lists the names, NAME,from=N,times=N,at=ADDRESS,after=TIME,for=TIME says when
    /// and where. May be given several times
    #[arg(long, value_name = "NAME[,...]")]
    pub(crate) fault: Vec<Order>,

    /// What a bad network does to media, such as loss=2%,delay=40ms; also burst=3%, burst_length=8, jitter=10ms, reorder=1%,
    /// duplicate=1%, rate=300k and queue=200ms
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) impair: Option<Impairment>,
    /// The same for SIP; over TCP and TLS delay, jitter and rate alone
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) impair_sip: Option<Impairment>,

    /// Seed of nonces, media identifiers and impairment
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// A condition on the result, as for `z5 call`
    #[arg(long, value_name = "EXPR")]
    pub(crate) expect: Vec<Expr>,
    /// Seed of branches, tags and Call-IDs; Z5_SEED does the same
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// The mock carrier is on this machine and nowhere else.
fn loopback(text: &str) -> Result<Ipv4Addr, String> {
    let address: Ipv4Addr = text.parse().map_err(|_| "write an IPv4 address such as 127.0.0.2".to_owned())?;
    if address.is_loopback() {
        Ok(address)
    } else {
        Err("the mock carrier is on loopback only: 127.0.0.0/8".to_owned())
    }
}
