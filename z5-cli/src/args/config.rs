//! `z5 config`, `z5 check` and `z5 firewall`: what is judged before any call.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::value::some_time;
use crate::firewall;

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Judge it, with every file and variable that it names; nothing is sent
    #[command(after_help = "Example:\n  z5 --config z5.toml config check")]
    Check,
    /// Show what it says, secrets as ***
    #[command(after_help = "Example:\n  z5 --config z5.toml config show")]
    Show,
    /// Write a commented one; to standard output without a file
    #[command(after_help = "Example:\n  z5 config init z5.toml")]
    Init(InitArgs),
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where; it must not be there yet
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// How long one answer may take
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "3s")]
    pub(crate) patience: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct FirewallArgs {
    /// How it is written; a table without it, JSON with --json
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<firewall::Format>,
    /// Ask the nameservers of the configuration for its names; without it nothing is sent
    #[arg(long)]
    pub(crate) resolve: bool,
}
