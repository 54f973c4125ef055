//! `z5 explain`: what the wire layer and a user agent make of a file.

use std::path::Path;

use serde::Serialize;
use z5_core::Failure;
use z5_core::explain::{Explanation, Framing, Kind, Verdict, explain, options};
use z5_core::media::file::Limit;

use crate::args::{ExpectedVerdict, ExplainArgs};
use crate::exit::Exit;
use crate::expect::Expectation;
use crate::failure::usage;
use crate::input;
use crate::output::{self, Output};

/// More is not read: a capture of that size belongs in another tool.
const MOST: u64 = 64 * 1024 * 1024;

/// The JSON object.
#[derive(Serialize)]
struct Result<'a> {
    event: &'static str,
    command: &'static str,
    input: &'a str,
    /// "failed" when there is nothing to explain; else the explanation has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    exit_code: u8,
    failure: Option<&'a Failure>,
    expectations: &'a [Expectation],
    #[serde(flatten)]
    explanation: Option<&'a Explanation>,
}

pub(super) fn run(args: &ExplainArgs, mut out: Output) -> Exit {
    let input = args.file.display().to_string();
    let mut result = Result {
        event: "result",
        command: "explain",
        input: &input,
        verdict: None,
        exit_code: Exit::Usage.status(),
        failure: None,
        expectations: &[],
        explanation: None,
    };
    let explanation = match read(&args.file).and_then(|bytes| explained(args, &bytes)) {
        Ok(explanation) => explanation,
        Err(failure) => {
            result.verdict = Some("failed");
            result.failure = Some(&failure);
            out.object(&result);
            output::failure(&failure);
            return Exit::Usage;
        }
    };
    let expectations: Vec<Expectation> =
        args.expect.iter().map(|wanted| held(wanted, &explanation)).collect();
    let met = expectations.iter().all(|expectation| expectation.held);
    out.explanation(&explanation);
    for expectation in expectations.iter().filter(|expectation| !expectation.held) {
        let (wanted, measured) = (&expectation.wanted, &expectation.measured);
        output::error(&format!("expected {wanted}, the verdict is {measured}"));
    }
    let exit = if met { Exit::Ok } else { Exit::Expectation };
    result.exit_code = exit.status();
    result.expectations = &expectations;
    result.explanation = Some(&explanation);
    out.object(&result);
    if output::is_lost() { Exit::Expectation } else { exit }
}

fn explained(args: &ExplainArgs, bytes: &[u8]) -> std::result::Result<Explanation, Failure> {
    let asked = args.sip || args.sdp || args.datagram || args.stream || args.expect.is_some();
    if !asked && !is_of_sip(bytes) {
        let why = match bytes.is_empty() {
            true => "it is empty",
            false => {
                "there is neither a SIP message in it, whose first line has SIP/2.0, nor a session description, which begins \
                 with v=; --sip has it judged as SIP all the same"
            }
        };
        return Err(usage("usage.input", format!("{}: {why}", args.file.display())));
    }
    let mut options = options(args.srtp, args.dtls).map_err(|error| error.failure())?;
    options.kind = match (args.sip, args.sdp) {
        (true, _) => Some(Kind::Sip),
        (_, true) => Some(Kind::Sdp),
        (false, false) => None,
    };
    options.framing = match (args.datagram, args.stream) {
        (true, _) => Some(Framing::Datagram),
        (_, true) => Some(Framing::Stream),
        (false, false) => None,
    };
    options.fix_newlines = args.fix_newlines;
    Ok(explain(bytes, &options, z5_core::clock::now()))
}

/// The whole of a file, or of standard input for `-`.
fn read(path: &Path) -> std::result::Result<Vec<u8>, Failure> {
    let refused = |why: String| usage("usage.input", format!("{}: {why}", path.display()));
    let limit = Limit::once("an input of explain", MOST);
    match input::read(path, limit) {
        Ok(bytes) if is_capture(&bytes) => Err(refused(
            "a packet capture, not the SIP in it: take that out of it first, for example in Wireshark by Follow > TCP stream, \
             saved as raw, then z5 explain --stream FILE; or by tshark -r FILE -q -z follow,tcp,ascii,0"
                .to_owned(),
        )),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Whether it may be meant as SIP or SDP, by its first line that is not empty.
fn is_of_sip(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.starts_with(b"v=") || line.to_ascii_uppercase().windows(4).any(|window| window == b"SIP/")
}

/// pcapng begins with a block of this type, pcap with a magic number in either order of bytes, for either unit of time.
fn is_capture(bytes: &[u8]) -> bool {
    const MAGIC: [[u8; 4]; 5] = [
        [0x0a, 0x0d, 0x0d, 0x0a],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
    ];
    MAGIC.iter().any(|magic| bytes.starts_with(magic))
}

fn held(wanted: &ExpectedVerdict, explanation: &Explanation) -> Expectation {
    let judgement = &explanation.judgement;
    let measured = match (judgement.verdict, judgement.status) {
        (Verdict::Accept, _) => "accept".to_owned(),
        (Verdict::Drop, _) => "drop".to_owned(),
        (Verdict::Refuse, Some(status)) => format!("refuse {status}"),
        (Verdict::Refuse, None) => "refuse".to_owned(),
    };
    let (words, held) = match wanted {
        ExpectedVerdict::Accept => ("accept".to_owned(), judgement.verdict == Verdict::Accept),
        ExpectedVerdict::Refuse => ("refuse".to_owned(), judgement.verdict == Verdict::Refuse),
        ExpectedVerdict::Drop => ("drop".to_owned(), judgement.verdict == Verdict::Drop),
        ExpectedVerdict::Status(status) => (format!("refuse {status}"), judgement.status == Some(*status)),
    };
    Expectation::fact("verdict", &words, measured, held)
}
