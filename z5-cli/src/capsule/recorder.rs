//! Gathers a capsule while a run goes on: every event, the SIP messages, the figures as time series, the text.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use z5_core::events::MediaKind;
use z5_core::{Event, EventKind, SipTrace, StreamStats};

use super::folder::{Folder, ReportFiles};
use super::mask::Mask;
use super::series::Measured;
use super::transcript::{Piece, Speaker, Transcript};
use super::{Capsule, FORMAT, Message, VERSION};
use crate::advice;
use crate::report::Report;

/// How often a call is measured.
pub(crate) const EVERY: Duration = Duration::from_millis(500);
/// Events kept from the beginning, and the newest beside them.
const FIRST: usize = 500;
const NEWEST: usize = 500;
/// Calls that are measured: one of them may be handed over to another.
const CALLS: usize = 8;

/// What is gathered.
#[derive(Debug)]
pub(crate) struct Recorder {
    folder: Folder,
    mask: Mask,
    trace: Arc<SipTrace>,
    started_unix_s: u64,
    environment: Value,
    first: Vec<Value>,
    newest: VecDeque<Value>,
    events_left_out: u64,
    measured: Vec<Measured>,
    transcript: Transcript,
}

impl Recorder {
    /// Reserves the files.
    pub(crate) fn begin(folder: &Path, mask: Mask, mut environment: Value) -> std::io::Result<Self> {
        let folder = Folder::reserve(folder)?;
        let trace = match mask {
            Mask::On => SipTrace::new(),
            Mask::Off => SipTrace::with_people(),
        };
        mask.value(&mut environment);
        Ok(Self {
            folder,
            mask,
            trace: Arc::new(trace),
            started_unix_s: z5_core::clock::WallAnchor::read().unix_s,
            environment,
            first: Vec::new(),
            newest: VecDeque::new(),
            events_left_out: 0,
            measured: Vec::new(),
            transcript: Transcript::default(),
        })
    }

    /// The run goes by another calendar, which says this at its start.
    pub(crate) const fn begins(&mut self, unix_s: u64) {
        self.started_unix_s = unix_s;
    }

    /// For the session.
    pub(crate) fn trace(&self) -> Arc<SipTrace> {
        Arc::clone(&self.trace)
    }

    /// Takes what an event says.
    pub(crate) fn take(&mut self, event: &Event) {
        if self.hold_elsewhere(event) {
            return;
        }
        let Ok(mut value) = serde_json::to_value(event) else { return };
        self.mask.value(&mut value);
        if self.first.len() < FIRST {
            self.first.push(value);
            return;
        }
        if self.newest.len() == NEWEST {
            self.newest.pop_front();
            self.events_left_out += 1;
        }
        self.newest.push_back(value);
    }

    /// Figures and text have members of their own; such an event need not be kept as it is.
    fn hold_elsewhere(&mut self, event: &Event) -> bool {
        let at_ms = event.at_ms;
        let said = |speaker, text: &str| Piece {
            at_ms,
            speaker,
            text: text.to_owned(),
            source: None,
            waits_ms: Vec::new(),
            echoes_ms: Vec::new(),
        };
        if let EventKind::CallEstablished { call, media, .. } | EventKind::CallChanged { call, media } =
            &event.kind
        {
            for stream in &media.streams {
                self.measure(call.number(), stream.kind, at_ms);
            }
        } else if let EventKind::CallEnded { call, report, .. } = &event.kind {
            self.sample(call.number(), at_ms, [&report.audio, &report.text, &report.video], true);
        } else if let EventKind::CallFigures { call, figures } = &event.kind {
            self.sample(call.number(), at_ms, [&figures.audio, &figures.text, &figures.video], false);
            return true;
        } else if let EventKind::Text { text, source, .. } = &event.kind {
            self.transcript.add(Piece { source: source.clone(), ..said(Speaker::Remote, text) });
            return true;
        } else if let EventKind::TextSent { text, waits_ms, .. } = &event.kind {
            self.transcript.add(Piece { waits_ms: waits_ms.clone(), ..said(Speaker::Local, text) });
            return true;
        }
        false
    }

    fn measure(&mut self, call: u64, kind: MediaKind, at_ms: f64) {
        let known = self.measured.iter().any(|stream| stream.call == call && stream.kind == kind);
        if !known && self.measured.len() < CALLS * 3 {
            self.measured.push(Measured::new(call, kind, at_ms));
        }
    }

    fn sample(&mut self, call: u64, at_ms: f64, stats: [&Option<StreamStats>; 3], last: bool) {
        let kinds = [MediaKind::Audio, MediaKind::Text, MediaKind::Video];
        for (kind, stats) in kinds.into_iter().zip(stats) {
            let stream = self.measured.iter_mut().find(|stream| stream.call == call && stream.kind == kind);
            if let (Some(stream), Some(stats)) = (stream, stats) {
                stream.add(at_ms, stats, last);
            }
        }
    }

    /// The files of the report, as the result names them.
    pub(crate) fn files(&self, failure: Option<String>) -> ReportFiles {
        self.folder.files(failure)
    }

    /// Writes the report of a run that is over.
    pub(crate) fn write(&self, report: &Report) -> Result<(), String> {
        self.folder.write(&self.capsule(report))
    }

    /// Gives the names back: the run had not begun.
    pub(crate) fn release(self) {
        self.folder.release();
    }

    fn capsule(&self, report: &Report) -> Capsule {
        let mut result = serde_json::to_value(report).unwrap_or(Value::Null);
        self.mask.value(&mut result);
        let traced = self.trace.traced();
        // Read back as it will be read from the file.
        let message = |message| serde_json::from_value::<Message>(serde_json::to_value(message).ok()?).ok();
        Capsule {
            format: FORMAT.to_owned(),
            version: VERSION,
            started_unix_s: self.started_unix_s,
            numbers_shown: self.mask == Mask::Off,
            result,
            // where the configuration is stays on this machine
            advice: report.unwanted_failure().map(|failure| advice::of(failure, None)),
            events: self.first.iter().chain(&self.newest).cloned().collect(),
            events_left_out: self.events_left_out,
            messages: traced.messages.into_iter().filter_map(message).collect(),
            messages_left_out: traced.left_out,
            streams: self.measured.iter().map(Measured::series).collect(),
            transcript: self.transcript.pieces(),
            transcript_left_out: self.transcript.left_out,
            environment: self.environment.clone(),
        }
    }
}

/// The program, the system it runs on and its command line; `settings`: the configuration without secrets.
pub(crate) fn environment(settings: Option<Value>) -> Value {
    let arguments = std::env::args_os().skip(1);
    let mut arguments: Vec<String> =
        arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    hide_location(&mut arguments);
    let (os, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    json!({
        "program": "z5",
        "version": env!("CARGO_PKG_VERSION"),
        "system": format!("{os} {architecture}"),
        "pictures": cfg!(feature = "openh264"),
        "opus": cfg!(feature = "opus"),
        "arguments": arguments,
        "configuration": settings,
    })
}

/// Where someone is stands in no report.
fn hide_location(arguments: &mut [String]) {
    let mut names_it = false;
    for argument in arguments {
        if std::mem::replace(&mut names_it, argument == "--location") {
            "***".clone_into(argument);
        } else if argument.starts_with("--location=") {
            "--location=***".clone_into(argument);
        }
    }
}
