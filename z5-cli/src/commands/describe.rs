//! What the program can do, for programs and shells: `z5 capabilities`, `z5 completions` and `z5 man`. Sends nothing.

use clap::{CommandFactory as _, ValueEnum as _};
use serde::Serialize;
use z5_core::config::{AudioCodec, SrtpSuite, VIDEO_CODEC};
use z5_core::policy::Purpose;
use z5_mock::Fault;

use crate::args::Cli;
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::{expect, firewall};

/// The result object.
#[derive(Serialize)]
struct Line {
    event: &'static str,
    command: &'static str,
    verdict: &'static str,
    exit_code: u8,
    version: &'static str,
    target: String,
    commands: Vec<String>,
    profiles: [&'static str; 2],
    sip_transports: [&'static str; 4],
    srtp: [&'static str; 3],
    srtp_suites: Vec<&'static str>,
    audio_codecs: Vec<&'static str>,
    /// Payload formats; whether pictures can be made and seen here too.
    video_codecs: [&'static str; 1],
    video_encoder: bool,
    text: [&'static str; 1],
    expect: Vec<&'static str>,
    firewall_formats: Vec<String>,
    faults: Vec<String>,
    failure_codes: Vec<&'static str>,
}

pub(super) fn capabilities(out: &mut Output) -> Exit {
    let commands = Cli::command();
    let line = Line {
        event: "result",
        command: "capabilities",
        verdict: "ok",
        exit_code: 0,
        version: env!("CARGO_PKG_VERSION"),
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        commands: commands
            .get_subcommands()
            .filter(|one| !one.is_hide_set())
            .map(|one| one.get_name().to_owned())
            .collect(),
        profiles: ["z5", "generic"],
        sip_transports: ["tcp", "tls", "udp", "auto"],
        srtp: ["off", "optional", "required"],
        srtp_suites: SrtpSuite::ALL.map(SrtpSuite::name).to_vec(),
        audio_codecs: AudioCodec::ALL.map(AudioCodec::name).to_vec(),
        video_codecs: ["H264"],
        video_encoder: VIDEO_CODEC,
        text: ["t140"],
        expect: expect::NAMES.iter().map(|name| name.name).collect(),
        firewall_formats: firewall::Format::value_variants()
            .iter()
            .filter_map(|format| Some(format.to_possible_value()?.get_name().to_owned()))
            .collect(),
        faults: Fault::all().iter().map(ToString::to_string).collect(),
        failure_codes: z5_core::error::all_codes(),
    };
    out.note(&format!("z5 {} for {}", line.version, line.target));
    let steps: Vec<&str> =
        [Purpose::Naming, Purpose::ZDial, Purpose::LicenceAndAddressBook, Purpose::Sip, Purpose::Rtp]
            .map(Purpose::words)
            .to_vec();
    out.note(&format!("steps        {}", steps.join(", ")));
    out.note(&format!("profiles     {}", line.profiles.join(", ")));
    out.note(&format!("SIP over     {}", line.sip_transports.join(", ")));
    out.note(&format!("SRTP         {}; {}", line.srtp.join(", "), line.srtp_suites.join(", ")));
    out.note(&format!("sound        {}", line.audio_codecs.join(", ")));
    out.note(&format!(
        "video        {}, {}",
        line.video_codecs.join(", "),
        if line.video_encoder { "with encoder and decoder" } else { "from and to files" }
    ));
    out.note("text         T.140 (RFC 4103)");
    out.note(&format!("commands     {}", line.commands.join(", ")));
    out.note(&format!("conditions   {} names for --expect (docs/expect.md)", line.expect.len()));
    out.note(&format!("faults       {} of the mock carrier (docs/mock.md)", line.faults.len()));
    out.note(&format!("failures     {} codes (docs/errors.md)", line.failure_codes.len()));
    out.object(&line);
    Exit::Ok
}

/// A script for the shell.
pub(super) fn completions(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "z5", &mut script);
    output::print(&String::from_utf8_lossy(&script));
    Exit::Ok
}

/// The manual page, in roff.
pub(super) fn man() -> Exit {
    let mut page = Vec::new();
    match clap_mangen::Man::new(Cli::command()).render(&mut page) {
        Ok(()) => {
            output::print(&String::from_utf8_lossy(&page));
            Exit::Ok
        }
        Err(error) => {
            output::error(&format!("the manual page cannot be written: {error}"));
            Exit::Bug
        }
    }
}
