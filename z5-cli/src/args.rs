//! The command line: commands, their arguments and what each accepts. Does no work.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use z5_core::config::{AudioCodec, SrtpMode, SrtpSuite, Transport, VideoSetting, audio_codec, srtp_suite};
use z5_mock::fault::Order;

use crate::act::Act;
use crate::audio::AudioArg;
use crate::expect::Expr;
use crate::firewall;

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

#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    /// The phone number to sign in with, when the account has several
    #[arg(long, value_name = "+E164")]
    pub(crate) number: Option<String>,
    /// Believe the authorities of this PEM file in place of the configuration's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// "clear": forget all of them
    #[arg(value_name = "clear")]
    pub(crate) action: Option<HistoryAction>,
    /// Only the latest
    #[arg(long, value_name = "N", conflicts_with = "action")]
    pub(crate) last: Option<usize>,
}

/// What is to be done with the history in place of showing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum HistoryAction {
    // without words of its own, which would make the whole help a long one
    Clear,
}

#[derive(Debug, Args)]
pub(crate) struct ContactsArgs {
    #[command(subcommand)]
    pub(crate) command: ContactsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContactsCommand {
    /// Every contact, from the store; nothing is sent
    #[command(after_help = "Example:\n  z5 --config z5.toml contacts list")]
    List,
    /// Contacts by the beginning of words of their name, or by the end of a number; nothing is sent
    #[command(after_help = "Examples:\n  z5 --config z5.toml contacts search bob\n  \
        z5 --config z5.toml contacts search 0102")]
    Search {
        /// What is looked for; case and accents are no matter
        text: String,
    },
    /// Add a contact
    #[command(after_help = "Examples:\n  z5 --config z5.toml contacts add Dora +15555550177\n  \
        z5 --config z5.toml contacts add --offline \"Dora D\" sip:dora@relay.test")]
    Add(ContactAddArgs),
    /// Remove a contact
    #[command(after_help = "Example:\n  z5 --config z5.toml contacts remove Dora")]
    Remove(ContactRemoveArgs),
    /// Add the contacts of a file: vCard 3.0 or 4.0, or xCard
    #[command(after_help = "Example:\n  z5 --config z5.toml contacts import friends.vcf")]
    Import(ContactImportArgs),
    /// Write every contact, to standard output without a file; nothing is sent
    #[command(after_help = "Examples:\n  z5 --config z5.toml contacts export friends.vcf\n  \
        z5 --config z5.toml contacts export friends.xml\n  z5 --config z5.toml contacts export --format vcard3")]
    Export(ContactExportArgs),
    /// Fetch what is new on the server, send what was changed here
    #[command(after_help = "Example:\n  z5 --config z5.toml contacts sync")]
    Sync(AccountArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Change it here alone; the server hears of it with the next sync
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) account: AccountArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ContactAddArgs {
    /// The name
    pub(crate) name: String,
    /// Numbers and SIP addresses
    #[arg(value_name = "NUMBER")]
    pub(crate) numbers: Vec<String>,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ContactRemoveArgs {
    /// Its id (`list --json` shows them), or a name or number that only one contact has
    pub(crate) contact: String,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ContactImportArgs {
    /// The file; "-" is standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ContactExportArgs {
    /// Where; it must not be there yet
    pub(crate) file: Option<PathBuf>,
    /// How it is written; without it xcard for FILE.xml and vcard4 otherwise
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<CardFormat>,
}

/// How contacts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CardFormat {
    Vcard4,
    Vcard3,
    Xcard,
}

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
pub(crate) struct PageArgs {
    /// The folder that --report named, or a capsule file in it
    #[arg(value_name = "DIR|FILE")]
    pub(crate) capsule: PathBuf,
    /// Where to; report.html beside the capsule when nothing is said, "-" for standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
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

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// A condition on the result, as for `z5 call`
    #[arg(long, value_name = "EXPR")]
    pub(crate) expect: Vec<Expr>,
    /// Seed of branches, tags and Call-IDs; Z5_SEED does the same
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
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

#[derive(Debug, Args)]
pub(crate) struct MockArgs {
    /// Write a configuration that uses this carrier, and its CA certificate beside it. ACCOUNT=FILE for another
    /// account than alice; may be given several times
    #[arg(long, value_name = "[ACCOUNT=]FILE")]
    pub(crate) write_config: Vec<String>,
    /// Replace files of --write-config that are there and that no z5 mock has written
    #[arg(long, requires = "write_config")]
    pub(crate) force: bool,

    /// What the carrier is and what goes wrong, from a file (docs/scenario.toml has every key); what else is given here goes before it
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) scenario: Option<PathBuf>,

    /// End after this time; without it, on Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) duration: Option<Duration>,

    /// UDP and TCP port of the DNS server (0: any free port, like the others)
    #[arg(long, value_name = "PORT")]
    pub(crate) dns_port: Option<u16>,
    /// TCP port of ZDial (HTTPS)
    #[arg(long, value_name = "PORT")]
    pub(crate) zdial_port: Option<u16>,
    /// TCP port of the MCS (HTTPS)
    #[arg(long, value_name = "PORT")]
    pub(crate) mcs_port: Option<u16>,
    /// TCP and UDP port of the SIP server
    #[arg(long, value_name = "PORT")]
    pub(crate) sip_port: Option<u16>,
    /// Port of the SIP server for TLS
    #[arg(long, value_name = "PORT")]
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

    /// Seed of nonces and media identifiers
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
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

/// What every command with a session takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Session and verdict")]
pub(crate) struct SessionArgs {
    /// A condition on the result, such as audio.heard, setup_ms<500 or code=busy; docs/expect.md lists the names. Several may
    /// be given
    #[arg(long, value_name = "EXPR")]
    pub(crate) expect: Vec<Expr>,
    /// The phone number to sign in with, when the account has several
    #[arg(long, value_name = "+E164")]
    pub(crate) number: Option<String>,
    /// Transport of SIP in place of the configuration's: tcp, tls, udp or auto (RFC 3263)
    #[arg(long, value_name = "TRANSPORT")]
    pub(crate) sip_transport: Option<Transport>,
    /// Believe the authorities of this PEM file in place of the configuration's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Seed of branches, tags and Call-IDs; Z5_SEED does the same
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// What a call offers and takes, in place of the configuration's.
#[derive(Debug, Args)]
pub(crate) struct OfferArgs {
    /// Audio codecs in order of preference: opus, G722, PCMU, PCMA
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = audio_codec)]
    pub(crate) codec: Vec<AudioCodec>,
    /// Encryption of media: off, optional or required
    #[arg(long, value_name = "MODE")]
    pub(crate) srtp: Option<SrtpMode>,
    /// SRTP suites in order of preference, such as AEAD_AES_256_GCM
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = srtp_suite)]
    pub(crate) suite: Vec<SrtpSuite>,
}

/// What a call sends, where it is recorded, how long it lasts.
#[derive(Debug, Args)]
pub(crate) struct MediaArgs {
    /// What to send: a WAV file, "tone", "tone:HZ", "tone:HZ:DBM0", "silence"
    #[arg(long, value_name = "WHAT", default_value = "silence")]
    pub(crate) audio: AudioArg,
    /// What to send as video: FILE.h264 or FILE.y4m (either with @FPS), "pattern", "pattern:WIDTHxHEIGHT@FPS", "film"
    /// (built in), "blank" or "off"
    #[arg(long, value_name = "WHAT")]
    pub(crate) video: Option<VideoSetting>,
    /// Record heard.wav, seen.h264 and seen.png in this folder; heard-2.wav and so on when taken
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// With --record, also every picture uncompressed in seen.y4m: 4 MB a second at 352x288
    #[arg(long, requires = "record")]
    pub(crate) y4m: bool,
    /// Text to type once the call is up; may be given several times, each is one line
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// Do this so long after the answer: hold, resume, mute, mute:video,
    /// unmute (also :audio, :text), dtmf:KEYS, text:TEXT, add:text, add:video, transfer:TARGET, hangup
    #[arg(long, value_name = "TIME=ACTION")]
    pub(crate) at: Vec<Act>,
    /// Hang up this long after the answer; without it the far end or Ctrl-C ends the call
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) duration: Option<Duration>,
    /// Lines in a terminal too, in place of the view with a place to type; for screen readers
    #[arg(long)]
    pub(crate) plain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// A number (+15555550900, 911), a SIP URI, or a user name of the provider's domain
    #[arg(value_parser = target)]
    pub(crate) target: String,
    /// Give up when nobody has answered for this time, in place of the configuration's timeouts.call (185s)
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) ring_timeout: Option<Duration>,
    /// Do not let the far end learn who calls (RFC 3323)
    #[arg(long)]
    pub(crate) anonymous: bool,
    /// Where the call comes from: geo:LATITUDE,LONGITUDE, a PIDF-LO file, or a location server
    #[arg(long, value_name = "FILE|geo:...|https:...")]
    pub(crate) location: Option<String>,
    #[command(flatten)]
    pub(crate) media: MediaArgs,
    #[command(flatten)]
    pub(crate) offer: OfferArgs,
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
pub(crate) struct AnswerArgs {
    #[command(flatten)]
    pub(crate) media: MediaArgs,
    #[command(flatten)]
    pub(crate) offer: OfferArgs,
    /// Give up when no call came in this time
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "60s")]
    pub(crate) wait: Duration,
    /// Let it ring for this time before answering
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s")]
    pub(crate) ring: Duration,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Scenario files (YAML); docs/scenarios.md is the reference
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) world: WorldArgs,
    /// Write a report as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    /// Judge the files and configurations only; nothing is sent
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the JSON schema of a scenario file
    #[arg(long, conflicts_with_all = ["files", "check", "junit", "set", "party"])]
    pub(crate) schema: bool,
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
}

#[derive(Debug, Args)]
pub(crate) struct AcceptanceArgs {
    /// These points only
    #[arg(long, value_name = "V1,...", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    #[command(flatten)]
    pub(crate) world: WorldArgs,
    /// Write the table as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// How many points are judged at a time; one against a real carrier
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    /// Write the scenarios into this folder, to read and to change them; nothing is run
    #[arg(long, value_name = "DIR")]
    pub(crate) export: Option<PathBuf>,
}

/// What scenarios are given from outside.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorldArgs {
    /// A value for one of the file's `vars`; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// The configuration of a party at a real carrier; --config is for those without one
    #[arg(long, value_name = "NAME=FILE", value_parser = pair)]
    pub(crate) party: Vec<(String, String)>,
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write it as NAME=VALUE".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// What to read; "-" is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// It is SIP, whatever it begins with
    #[arg(long, conflicts_with = "sdp")]
    pub(crate) sip: bool,
    /// It is a session description alone
    #[arg(long)]
    pub(crate) sdp: bool,
    /// One message as UDP carries it: what stands behind its body is no part of it
    #[arg(long, conflicts_with_all = ["stream", "sdp"])]
    pub(crate) datagram: bool,
    /// Messages one after the other as TCP carries them: each needs its Content-Length
    #[arg(long, conflicts_with = "sdp")]
    pub(crate) stream: bool,
    /// Read line ends of a text file (LF) as those of SIP (CR LF)
    #[arg(long)]
    pub(crate) fix_newlines: bool,
    /// Encryption of media on this side: "off", "optional" or "required"
    #[arg(long, value_name = "MODE", default_value = "optional")]
    pub(crate) srtp: SrtpMode,
    /// This side has a certificate: keys by DTLS (UDP/TLS/RTP/SAVPF) are taken as well
    #[arg(long)]
    pub(crate) dtls: bool,
    /// End with status 1 unless this is the verdict: "accept", "refuse", "drop", or the status of a refusal
    #[arg(long, value_name = "VERDICT", value_parser = expected_verdict)]
    pub(crate) expect: Option<ExpectedVerdict>,
}

/// What `--expect` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpectedVerdict {
    Accept,
    Refuse,
    Drop,
    Status(u16),
}

fn expected_verdict(text: &str) -> Result<ExpectedVerdict, String> {
    match text {
        "accept" => Ok(ExpectedVerdict::Accept),
        "refuse" => Ok(ExpectedVerdict::Refuse),
        "drop" => Ok(ExpectedVerdict::Drop),
        _ => match text.parse() {
            Ok(status @ 300..700) => Ok(ExpectedVerdict::Status(status)),
            Ok(_) | Err(_) => Err("write accept, refuse, drop, or a status from 300 to 699".to_owned()),
        },
    }
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

/// The word for a time that only Ctrl-C ends.
const FOREVER: &str = "forever";

/// A time, or for ever.
fn stay(text: &str) -> Result<Duration, String> {
    if text == FOREVER { Ok(Duration::MAX) } else { duration(text) }
}

/// "5s", "500ms", "2m 30s"; a bare number is refused because its unit would be a guess.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|why| format!("{why}; write for example 5s, 500ms or 2m"))
}

/// A time in which something can happen.
fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("0 s leaves no time at all; write for example 5s, 500ms or 2m".to_owned()),
        time => Ok(time),
    }
}

/// Somebody; what else is wrong with it is told when the domain is known.
fn target(text: &str) -> Result<String, String> {
    match text.trim().is_empty() {
        true => Err("it is empty: nobody can be called so".to_owned()),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("5").unwrap_err().contains("5s"));
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

    /// As a shell takes a line apart: blanks, and two kinds of quotes.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quote) = (vec![String::new()], None);
        for c in line.chars() {
            match (c, quote) {
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
