//! `z5 firewall`: the documented requirement, or that of a configuration, as rules. Sends nothing, unless `--resolve` asks the
//! configured nameservers.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use z5_core::policy::{self, Destination, Requirement};
use z5_core::{Failure, preflight};

use super::head::Head;
use super::load_file;
use crate::args::FirewallArgs;
use crate::exit::Exit;
use crate::failure::usage;
use crate::firewall::{self, Format};
use crate::output::{self, Output};

/// The result object.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: Head<'a>,
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

pub(super) async fn run(args: &FirewallArgs, config: Option<&Path>, out: &mut Output) -> Exit {
    let outcome = match config {
        None if args.resolve => {
            let message = "--resolve asks the nameservers of a configuration: name one with --config FILE";
            Err(usage("usage.no-configuration", message))
        }
        None => Ok((policy::documented(), "the documented requirement".to_owned())),
        Some(path) => of_configuration(path, args.resolve)
            .await
            .map(|rows| (rows, path.display().to_string().replace(char::is_control, " "))),
    };
    let source = if config.is_some() { "configuration" } else { "requirement" };
    let (rows, words) = match outcome {
        Ok(found) => found,
        Err(failure) => {
            output::failure(&failure);
            out.object(&Line {
                head: Head::new("firewall", Exit::Usage, Some(&failure)),
                source,
                rules: Vec::new(),
            });
            return Exit::Usage;
        }
    };
    let format = match (matches!(out, Output::Json), args.format) {
        (true, None | Some(Format::Json)) => Format::Json,
        (true, Some(_)) => {
            output::error(
                "usage.format: --json and another --format exclude each other\n  what to do: leave one of the two out",
            );
            return Exit::Usage;
        }
        (false, format) => format.unwrap_or(Format::Table),
    };
    if !format.takes_names()
        && let Some(name) = first_name(&rows)
    {
        output::error(&format!(
            "firewall.name: a rule needs addresses, and {name} is a name without one\n  what to do: add --resolve to ask \
             the configured nameservers, write its addresses into dns.hosts, or use --format table, csv or json"
        ));
        return Exit::Usage;
    }
    if format == Format::Json {
        output::print_json(&Line {
            head: Head::new("firewall", Exit::Ok, None),
            source,
            rules: rows.iter().map(rule).collect(),
        });
    } else {
        output::print(&firewall::text(format, &rows, &words));
    }
    Exit::Ok
}

/// How long a nameserver may take.
const PATIENCE: Duration = Duration::from_secs(3);

async fn of_configuration(path: &Path, resolve: bool) -> Result<Vec<Requirement>, Failure> {
    let config = load_file(Some(path))?;
    if !resolve {
        return Ok(policy::of_configuration(&config, &preflight::nameservers(&config)));
    }
    let rows = preflight::requirements(&config, PATIENCE).await;
    rows.map_err(|error| usage(error.code(), error.to_string()))
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
