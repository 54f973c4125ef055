//! `z5 firewall`: the documented requirement, or that of a configuration, as rules. Sends nothing.

use std::path::Path;

use serde::Serialize;
use z5_core::Config;
use z5_core::policy::{self, Destination, Requirement};

use crate::args::FirewallArgs;
use crate::exit::Exit;
use crate::firewall::{self, Format};
use crate::output::{self, Output};

/// The result object.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    command: &'static str,
    verdict: &'static str,
    exit_code: u8,
    /// "requirement" or "configuration".
    source: &'static str,
    rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
struct Rule<'a> {
    step: u8,
    direction: &'static str,
    first_port: u16,
    last_port: u16,
    purpose: policy::Purpose,
    protocol: policy::Protocol,
    destination: &'a Destination,
}

pub(super) fn run(args: &FirewallArgs, config: Option<&Path>, out: &mut Output) -> Exit {
    let (rows, source, words) = match config {
        None => (policy::documented(), "requirement", "the documented requirement".to_owned()),
        Some(path) => match Config::load(path) {
            Ok(config) => {
                let servers = z5_core::preflight::nameservers(&config);
                let rows = policy::of_configuration(&config, &servers);
                (rows, "configuration", path.display().to_string().replace(char::is_control, " "))
            }
            Err(error) => {
                output::error(&format!("{}: {error}", error.code()));
                return Exit::Usage;
            }
        },
    };
    let format = if matches!(out, Output::Json) { Format::Json } else { args.format };
    if !format.takes_names()
        && let Some(name) = first_name(&rows)
    {
        output::error(&format!(
            "firewall.name: a rule needs addresses, and {name} is a name\n  what to do: write its addresses into \
             dns.hosts of the configuration, or use --format table, csv or json"
        ));
        return Exit::Usage;
    }
    if format == Format::Json {
        output::print_json(&Line {
            event: "result",
            command: "firewall",
            verdict: "ok",
            exit_code: 0,
            source,
            rules: rows.iter().map(rule).collect(),
        });
    } else {
        output::print(&firewall::text(format, &rows, &words));
    }
    Exit::Ok
}

fn first_name(rows: &[Requirement]) -> Option<&str> {
    rows.iter().find_map(|row| match &row.destination {
        Destination::Name(name) => Some(name.as_str()),
        Destination::Address(_) | Destination::Any => None,
    })
}

fn rule(row: &Requirement) -> Rule<'_> {
    Rule {
        step: row.purpose.step(),
        direction: "outbound",
        first_port: row.ports.first(),
        last_port: row.ports.last(),
        purpose: row.purpose,
        protocol: row.protocol,
        destination: &row.destination,
    }
}
