//! `z5 mock`: the mock carrier as a program.

use std::path::Path;

use serde::Serialize;
use z5_mock::{Builder, Carrier};

use crate::advice;
use crate::args::MockArgs;
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::read::meant;
use crate::result_file::{Readers, Replace, ResultFile};
use crate::script;

/// The first JSON line: where everything is.
#[derive(Debug, Serialize)]
struct Started {
    event: &'static str,
    dns: String,
    zdial: String,
    mcs: String,
    sip: String,
    sips: String,
    configurations: Vec<String>,
    /// Those of a scenario file first.
    far_ends: Vec<FarEnd>,
    /// What was asked for and acts only for some clients.
    notes: Vec<String>,
}

/// Somebody who can be called.
#[derive(Clone, Debug, Serialize)]
struct FarEnd {
    number: String,
    /// Empty where it has none.
    name: String,
}

/// Sets one of the ports.
type SetPort = fn(Builder, u16) -> Builder;

pub(super) async fn run(args: &MockArgs, mut out: Output) -> Exit {
    let mut builder = match &args.scenario {
        None => Carrier::builder(),
        Some(file) => match Carrier::from_scenario(file) {
            Ok(builder) => builder,
            Err(error) => {
                output::error(&format!(
                    "mock.scenario: {error}\n  what to do: correct the file; docs/scenario.toml has every key"
                ));
                return Exit::Usage;
            }
        },
    };
    let ports: [(Option<u16>, SetPort); 5] = [
        (args.dns_port, Builder::dns_port),
        (args.zdial_port, Builder::zdial_port),
        (args.mcs_port, Builder::mcs_port),
        (args.sip_port, Builder::sip_port),
        (args.sips_port, Builder::sips_port),
    ];
    for (port, set) in ports {
        if let Some(port) = port {
            builder = set(builder, port);
        }
    }
    if args.sip_over_tls {
        builder = builder.proxies_over_tls();
    }
    if args.ipv6 {
        builder = builder.on_ipv6();
    }
    if let Some(seed) = args.seed {
        builder = builder.seed(seed);
    }
    for address in &args.address {
        builder = builder.further_address(*address);
    }
    for order in &args.fault {
        builder = builder.fault_order(*order);
    }
    if let Some(impairment) = &args.impair {
        builder = builder.impairment(impairment.clone());
    }
    if let Some(impairment) = &args.impair_sip {
        builder = builder.sip_impairment(impairment.clone());
    }
    let notes = of_datagrams(&builder);
    let mut interrupts = script::interrupts();
    let carrier = match builder.start().await {
        Ok(carrier) => carrier,
        Err(error) => {
            output::error(&format!(
                "mock.start: {error}\n  what to do: choose other ports, or 0 for any free one"
            ));
            return Exit::Usage;
        }
    };
    let mut written = Vec::new();
    for request in &args.write_config {
        match write_config(&carrier, request, args.overwrite) {
            Ok(file) => written.push(file),
            Err(why) => {
                output::error(&format!(
                    "mock.write-config: {why}\n  what to do: write --write-config FILE, or ACCOUNT=FILE for another account"
                ));
                return Exit::Usage;
            }
        }
    }
    tell(&carrier, written, notes, &mut out);
    let end = args
        .duration
        .and_then(|duration| tokio::time::Instant::from_std(z5_core::clock::now()).checked_add(duration));
    let over = async {
        match end {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        _ = interrupts.recv() => {}
    }
    carrier.shutdown().await;
    out.note("stopped");
    Exit::Ok
}

/// `[ACCOUNT=]FILE`: the configuration, and the CA certificate beside it under the same name.
fn write_config(carrier: &Carrier, request: &str, overwrite: bool) -> Result<String, String> {
    let first = carrier.accounts().first().map_or("", |account| account.username());
    // a path may hold an equals sign too; the name of an account has neither slash nor dot
    let named = request.split_once('=').filter(|(account, _)| !account.contains(['/', '\\', '.']));
    let (account, file) = named.unwrap_or((first, request));
    let Some(mut config) = carrier.client_config(account) else {
        let known: Vec<&str> = carrier.accounts().iter().map(|account| account.username()).collect();
        let near = meant(account, known.iter().copied());
        return Err(format!("there is no account `{account}`{near}; there are {}", known.join(", ")));
    };
    let file = Path::new(file);
    let ca = file.with_extension("ca.pem");
    let ca_name = ca.file_name().ok_or("--write-config names no file")?;
    if let Some(tls) = &mut config.tls {
        tls.ca_file = ca_name.to_string_lossy().into_owned();
    }
    let text = config.to_toml().map_err(|error| error.to_string())?;
    let replace = Replace::asked(overwrite, MARK);
    let reserve = |place, readers| ResultFile::reserve(place, replace, readers);
    // both before either: a configuration without its certificate is none. It holds a password: nobody else may read it.
    let (to, to_ca) = (reserve(file, Readers::Owner)?, reserve(&ca, Readers::Usual)?);
    to_ca.write(format!("{MARK}\n{}", carrier.ca_pem()).as_bytes())?;
    to.write(format!("{MARK}\n{text}").as_bytes())?;
    Ok(file.display().to_string())
}

/// The first line of what z5 mock writes; text before the certificate is no part of it (RFC 7468 section 2).
const MARK: &str = "# Written by z5 mock for one run of it; the next one replaces it.";

/// What was asked for and does nothing to most clients.
fn of_datagrams(builder: &Builder) -> Vec<String> {
    let keys = builder.sip_impairment_of_datagrams();
    match keys.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "{} of SIP: over UDP alone (z5 --sip-transport udp); over TCP and TLS delay, jitter and rate act, and loss is TCP's \
             to mend",
            keys.join(", ")
        )],
    }
}

fn tell(carrier: &Carrier, configurations: Vec<String>, notes: Vec<String>, out: &mut Output) {
    let far_ends: Vec<FarEnd> =
        carrier.far_ends().into_iter().map(|(number, name)| FarEnd { number, name }).collect();
    out.object(&Started {
        event: "mock-started",
        dns: carrier.dns_addr().to_string(),
        zdial: carrier.zdial_url(),
        mcs: carrier.mcs_url(),
        sip: carrier.sip_addr().to_string(),
        sips: carrier.sips_addr().to_string(),
        configurations: configurations.clone(),
        far_ends: far_ends.clone(),
        notes: notes.clone(),
    });
    out.note(&format!("mock carrier, on {} only; Ctrl-C stops it", carrier.sip_addr().ip()));
    out.note(&format!("  DNS    {} (UDP and TCP)", carrier.dns_addr()));
    out.note(&format!("  ZDial  {}", carrier.zdial_url()));
    out.note(&format!("  MCS    {}", carrier.mcs_url()));
    out.note(&format!(
        "  SIP    {} (TCP and UDP), {} (TLS), domain {}",
        carrier.sip_addr(),
        carrier.sips_addr(),
        carrier.domain()
    ));
    for account in carrier.accounts() {
        let numbers: Vec<&str> = account.numbers().iter().map(|number| number.e164.as_str()).collect();
        out.note(&format!("  account {} with {}", account.username(), numbers.join(" ")));
    }
    out.note("  far ends, by number or name:");
    for ends in far_ends.chunks(4) {
        let words: Vec<String> = ends.iter().map(|end| format!("{} {}", end.number, end.name)).collect();
        out.note(&format!("    {}", words.join(", ").replace(" ,", ",").trim_end()));
    }
    for note in &notes {
        out.note(&format!("  note   {note}"));
    }
    for file in &configurations {
        let quoted = advice::quoted(file);
        out.note(&format!("wrote {file}; next: z5 --config {quoted} call echo --text HELLO --duration 5s"));
    }
}
