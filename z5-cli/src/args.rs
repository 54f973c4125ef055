//! The command line: commands, their arguments and what each accepts. Does no work.
//!
//! This file lists the commands; what each takes is in the file of its subject.

mod call;
mod config;
mod contacts;
mod explain;
#[cfg(test)]
mod mistakes;
mod mock;
mod scenario;
mod session;
mod value;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use call::{AnswerArgs, CallArgs, MediaArgs, OfferArgs};
pub(crate) use config::{CheckArgs, ConfigArgs, ConfigCommand, FirewallArgs, InitArgs};
pub(crate) use contacts::{
    CardFormat, ContactAddArgs, ContactExportArgs, ContactsArgs, ContactsCommand, SendArgs,
};
pub(crate) use explain::{ExpectedVerdict, ExplainArgs, PageArgs};
pub(crate) use mock::{DemoArgs, MockArgs};
pub(crate) use scenario::{AcceptanceArgs, MonitorArgs, RunArgs, WorldArgs};
pub(crate) use session::{
    AccountArgs, CaptureArgs, HistoryAction, HistoryArgs, MessageArgs, RegisterArgs, ReportArgs, ReportsArgs,
    SessionArgs,
};

/// Test calls of a video-relay videophone, from the command line.
#[derive(Debug, Parser)]
#[command(name = "z5", version, about, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Configuration file (TOML); docs/configuration.md lists every key
    #[arg(long, short, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    pub(crate) config: Option<PathBuf>,

    /// JSON lines on standard output: every event, then one result object
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,

    /// Log to standard error: -v events and connections, -vv everything (may hold personal data)
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = EVERYWHERE)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The heading of what every command takes.
const EVERYWHERE: &str = "With every command";

const EXIT_CODES: &str = "Exit status: 0 ok, 1 an expectation failed, 2 usage or configuration, 70 a bug in z5;\n\
    11 DNS, 12 sign-in, 13 licence or address book, 14 registration, 15 call failed;\n\
    130 interrupted twice.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Five steps and a two-way call against a mock carrier inside this process
    #[command(after_help = "Example:\n  z5 demo")]
    Demo(DemoArgs),
    /// Run the mock carrier: DNS, ZDial, MCS, SIP, media relay and far ends on 127.0.0.1
    #[command(after_help = "Example:\n  z5 mock --write-config z5.toml")]
    Mock(MockArgs),
    /// Walk the steps up to the registration, then unregister
    #[command(after_help = "Example:\n  z5 --config z5.toml register --stay 30s")]
    Register(RegisterArgs),
    /// Place one call
    #[command(after_help = "Examples:\n  z5 --config z5.toml call echo --duration 5s\n  \
        z5 --config z5.toml call +15555550900 --audio hello.wav --video pattern --record out\n  \
        z5 --config z5.toml call 911 --location geo:38.8977,-77.0365 --duration 5s")]
    Call(CallArgs),
    /// Send one text message, outside any call
    #[command(after_help = "Example:\n  z5 --config z5.toml message +15555550102 \"are you there?\"")]
    Message(MessageArgs),
    /// Wait for one call, answer it
    #[command(after_help = "Example:\n  z5 --config z5.toml answer --record out --wait 60s")]
    Answer(AnswerArgs),
    /// Say what z5 makes of a SIP message, a stream of them, or a session description
    #[command(after_help = "Examples:\n  z5 explain invite.sip\n  z5 explain --stream --json flow.bin\n  \
        z5 explain --fix-newlines --expect 488 - < offer.txt")]
    Explain(ExplainArgs),
    /// Run scenarios: files with several parties, steps and conditions
    #[command(
        after_help = "Examples:\n  z5 run call.yaml\n  z5 run --set target=+15555550900 --junit out.xml a.yaml b.yaml\n  \
        z5 run --party alice=alice.toml --party bob=bob.toml call.yaml\n  z5 run --check call.yaml"
    )]
    Run(RunArgs),
    /// The acceptance plan of a relay videophone, V1 to V17, as a table that is filled in
    #[command(
        after_help = "Examples:\n  z5 acceptance\n  z5 acceptance --only V4,V9 --set talk=2m --markdown table.md\n  \
        z5 acceptance --party alice=alice.toml --party bob=bob.toml --set bob=+15555550102"
    )]
    Acceptance(AcceptanceArgs),
    /// Run scenarios again and again, with metrics for Prometheus
    #[command(after_help = "Examples:\n  z5 --config z5.toml monitor call.yaml\n  \
        z5 monitor --every 5m --jitter 30s --listen 127.0.0.1:9650 --json a.yaml b.yaml")]
    Monitor(MonitorArgs),
    /// List the phone numbers of the account (steps 1 and 2)
    #[command(after_help = "Example:\n  z5 --config z5.toml numbers")]
    Numbers(AccountArgs),
    /// Show the licence (steps 1 to 3)
    #[command(after_help = "Example:\n  z5 --config z5.toml licence --json")]
    Licence(AccountArgs),
    /// The calls that were, from the store of the account; newest last
    #[command(
        after_help = "Examples:\n  z5 --config z5.toml history --last 5\n  z5 --config z5.toml history clear"
    )]
    History(HistoryArgs),
    /// The address book: shown and changed here, synced with the server
    Contacts(ContactsArgs),
    /// Judge a configuration, show it without its secrets, or write one to begin with
    Config(ConfigArgs),
    /// Whether the network lets through what the configuration needs; signs in nowhere
    #[command(
        after_help = "Examples:\n  z5 --config z5.toml check\n  z5 --config z5.toml check --patience 10s --json"
    )]
    Check(CheckArgs),
    /// What a firewall must permit: the documented requirement, or that of a configuration
    #[command(after_help = "Examples:\n  z5 firewall\n  z5 firewall --format nftables\n  \
        z5 --config z5.toml firewall --resolve --format iptables")]
    Firewall(FirewallArgs),
    /// Make the page of a report from its capsule
    #[command(
        name = "report",
        after_help = "Examples:\n  z5 --config z5.toml call echo --duration 5s --report out\n  \
        z5 report out\n  z5 report out/capsule.json -o call.html"
    )]
    Page(PageArgs),
    /// What this program can do
    #[command(after_help = "Example:\n  z5 capabilities --json")]
    Capabilities,
    /// A script that completes commands and options in a shell
    #[command(after_help = "Example:\n  z5 completions bash")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// The manual page
    #[command(after_help = "Example:\n  z5 man")]
    Man,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn staying_without_a_time_is_for_ever() {
        let of = |arguments: &[&str]| {
            let all = ["z5", "register"].iter().chain(arguments);
            let Command::Register(args) = Cli::try_parse_from(all).unwrap().command else {
                panic!("register")
            };
            args.stay
        };
        assert_eq!(of(&[]), Duration::ZERO);
        assert_eq!(of(&["--stay", "30s"]), Duration::from_secs(30));
        assert_eq!(of(&["--stay", "--seed", "1"]), Duration::MAX);
    }

    /// Every example of the help is a command line that can be read.
    #[test]
    fn the_examples_of_the_help_can_be_typed() {
        fn examples(command: &clap::Command, out: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            out.extend(help.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned));
            command.get_subcommands().for_each(|below| examples(below, out));
        }
        let mut lines = Vec::new();
        examples(&Cli::command(), &mut lines);
        assert!(lines.len() > 15, "{lines:?}");
        for line in lines {
            let words = words(line.split(" < ").next().unwrap_or(&line));
            Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{line}\n{error}"));
        }
    }

    /// So is every command of the README and of the documents.
    #[test]
    fn the_commands_of_the_documents_can_be_typed() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        let pages = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
        let mut count = 0;
        for page in pages.chain([root.join("README.md")]) {
            let text = std::fs::read_to_string(&page).unwrap().replace("\\\n", "");
            for line in text.lines().filter_map(|line| line.strip_prefix("    ")) {
                let line = line.trim_end_matches(" &");
                if !line.starts_with("z5 ") {
                    continue;
                }
                Cli::try_parse_from(words(line))
                    .unwrap_or_else(|error| panic!("{}: {line}\n{error}", page.display()));
                count += 1;
            }
        }
        assert!(count > 30, "{count}");
    }

    /// As a shell takes a line apart: blanks, and two kinds of quotes.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quote) = (vec![String::new()], None);
        for c in line.chars() {
            match (c, quote) {
                (' ', None) if words.last().is_some_and(String::is_empty) => {}
                (' ', None) => words.push(String::new()),
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                (c, _) => words.last_mut().unwrap().push(c),
            }
        }
        words
    }

    #[test]
    fn global_flags_may_stand_behind_the_command() {
        let cli = Cli::try_parse_from(["z5", "call", "echo", "--duration", "5s", "--json"]).unwrap();
        assert!(cli.json);
        assert!(matches!(cli.command, Command::Call(CallArgs { target, .. }) if target == "echo"));
    }
}
