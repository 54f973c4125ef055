//! The call capsule: one run as a machine file, from which the page of `z5 report` is made. docs/report.md describes it.
//!
//! What is written is masked before: no credential, token or key at all, and no number or name unless `--show-numbers` asks for
//! them. What was not measured is absent. The size is bounded: long calls keep fewer samples, not more.

mod folder;
mod mask;
mod recorder;
mod series;
#[cfg(test)]
mod tests;
mod transcript;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use z5_core::media::file::{self, FileError, Limit, words};

pub(crate) use folder::ReportFiles;
pub(crate) use mask::Mask;
pub(crate) use recorder::{EVERY, Recorder, environment};
pub(crate) use series::{Sample, Series};
pub(crate) use transcript::{Piece, Speaker, readable};

/// What `format` says.
pub(crate) const FORMAT: &str = "z5-capsule";
/// The version that is written; older ones are read.
pub(crate) const VERSION: u32 = 1;
/// The machine file of a report.
pub(crate) const FILE: &str = "capsule.json";
/// The page of a report.
pub(crate) const PAGE: &str = "report.html";
/// A capsule has well below 4 MB; what is larger than this is none.
const LARGEST: u64 = 64 * 1024 * 1024;

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Capsule {
    /// [`FORMAT`].
    pub(crate) format: String,
    /// [`VERSION`] of the program that wrote it.
    pub(crate) version: u32,
    /// When the run began, in seconds since 1970 UTC.
    pub(crate) started_unix_s: u64,
    /// Numbers and names are shown.
    pub(crate) numbers_shown: bool,
    /// The result object as `--json` prints it.
    pub(crate) result: Value,
    /// What to do about the failure, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
    /// The events as `--json` prints them, without those that the other members hold: text and figures.
    pub(crate) events: Vec<Value>,
    /// Events that were dropped to bound the size.
    #[serde(default)]
    pub(crate) events_left_out: u64,
    /// The SIP messages, redacted.
    #[serde(default)]
    pub(crate) messages: Vec<Message>,
    /// Messages that were dropped to bound the size.
    #[serde(default)]
    pub(crate) messages_left_out: u64,
    /// What was measured of each stream while it ran.
    #[serde(default)]
    pub(crate) streams: Vec<Series>,
    /// Real-time text both ways, in the order in which it left and came.
    #[serde(default)]
    pub(crate) transcript: Vec<Piece>,
    /// Pieces of text that were dropped to bound the size.
    #[serde(default)]
    pub(crate) transcript_left_out: u64,
    /// Program, system, command line and configuration, without secrets.
    #[serde(default)]
    pub(crate) environment: Value,
}

/// One SIP message; `z5_core::trace::TracedMessage` as it is read back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Milliseconds since the session started.
    pub(crate) at_ms: f64,
    /// We sent it.
    pub(crate) sent: bool,
    /// `tcp`, `tls` or `udp`.
    pub(crate) transport: String,
    /// Our address.
    pub(crate) local: String,
    /// The server's.
    pub(crate) remote: String,
    /// Of the request, or of the one that a response answers.
    pub(crate) method: Option<String>,
    /// Of a response.
    pub(crate) status: Option<u16>,
    /// The number of CSeq.
    pub(crate) cseq: Option<u32>,
    /// Equal for messages of one Call-ID.
    pub(crate) dialog: String,
    /// Its size on the wire.
    pub(crate) bytes: usize,
    /// The redacted form.
    pub(crate) text: String,
}

/// Why a capsule cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CapsuleError {
    #[error("{0}: {1}")]
    Read(String, FileError),
    #[error("{0} is no capsule: {1}")]
    NotOne(String, String),
    #[error("{0} is a capsule of version {1}, and this z5 knows versions up to {VERSION}: use a newer z5")]
    TooNew(String, u32),
}

impl Capsule {
    /// Reads the capsule of a folder, or a capsule file.
    pub(crate) fn load(path: &Path) -> Result<Self, CapsuleError> {
        let file = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
        let name = file.display().to_string();
        let limit = Limit::once("a capsule", LARGEST);
        let text = file::read(&file, limit).map_err(|error| CapsuleError::Read(name.clone(), error))?;
        Self::parse(&text, &name)
    }

    fn parse(text: &[u8], name: &str) -> Result<Self, CapsuleError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let none = |why: String| CapsuleError::NotOne(name.to_owned(), why);
        // The head first: a capsule of the future may not fit what is known today.
        let head: Head = serde_json::from_slice(text).map_err(|error| none(unread(&error)))?;
        if head.format != FORMAT {
            return Err(none(format!("its format is {:?}, {FORMAT:?} is wanted", head.format)));
        }
        if head.version > VERSION {
            return Err(CapsuleError::TooNew(name.to_owned(), head.version));
        }
        serde_json::from_slice(text).map_err(|error| none(unread(&error)))
    }
}

/// Why JSON is none, or has not the members of a capsule.
fn unread(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data => {
            let said = error.to_string();
            let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
            format!("line {line}: {}", words::value(said, |_, _| None))
        }
        serde_json::error::Category::Eof => format!("it ends in line {line}, in the middle: it was cut off"),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            format!("it is no JSON from line {line}, column {column} on")
        }
    }
}
