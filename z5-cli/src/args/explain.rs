//! `z5 explain` and `z5 report`: what is made of a file.

use std::path::PathBuf;

use clap::Args;
use z5_core::config::SrtpMode;

use crate::read::meant;

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
            Ok(_) | Err(_) => {
                let near = meant(text, ["accept", "refuse", "drop"]);
                Err(format!(
                    "`{text}` is no verdict{near}; write accept, refuse, drop, or a status from 300 to 699"
                ))
            }
        },
    }
}

#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// The folder that --report named, or a capsule file in it
    #[arg(value_name = "DIR|FILE")]
    pub(crate) capsule: PathBuf,
    /// Where to; report.html beside the capsule when nothing is said, "-" for standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file also when it is no report
    #[arg(long)]
    pub(crate) overwrite: bool,
}
