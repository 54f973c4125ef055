//! What people and programs see: readable lines, or JSON lines. Decides nothing.

#![expect(clippy::print_stderr, reason = "this is the command line's output")]

pub(crate) mod contacts;
mod explained;
mod human;
mod words;

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::Serialize;
use tokio::sync::mpsc;
use z5_core::explain::Explanation;
use z5_core::{Event, Failure};

use crate::advice;
use crate::failure::in_words;
use crate::live::{Action, Input, Live};
use crate::report::Report;

pub(crate) use human::Human;
pub(crate) use words::{somebody, typed, visible};

/// Where events and the result go.
#[derive(Debug)]
pub(crate) enum Output {
    /// JSON lines.
    Json,
    /// Readable lines.
    Human(Human),
    /// A view of the call, and lines before and after it.
    Live(Box<Live>),
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        if json {
            return Self::Json;
        }
        let terminal = std::io::stdout().is_terminal() && !is_dumb();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        Self::Human(Human::new(terminal, colour))
    }

    /// With a live view of the call, where there is a terminal for one.
    pub(crate) fn viewing(self, far_end: &str, plain: bool) -> Self {
        match self {
            Self::Human(human) if !plain && has_screen() => {
                let colour = std::env::var_os("NO_COLOR").is_none();
                Self::Live(Box::new(Live::new(human, far_end, colour)))
            }
            // a line that was written is never written over: a screen reader reads what comes
            Self::Human(human) if plain => Self::Human(human.keeping_lines()),
            Self::Json | Self::Human(_) | Self::Live(_) => self,
        }
    }

    /// What is typed and pressed in the view; none without one.
    pub(crate) fn inputs(&mut self) -> Option<mpsc::UnboundedReceiver<Input>> {
        match self {
            Self::Live(live) => live.inputs(),
            Self::Json | Self::Human(_) => None,
        }
    }

    /// What an input asks for.
    pub(crate) fn input(&mut self, input: &Input) -> Option<Action> {
        match self {
            Self::Live(live) => live.input(input),
            Self::Json | Self::Human(_) => None,
        }
    }

    /// Calls are measured while they run.
    pub(crate) fn wants_figures(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    /// An event of the session.
    pub(crate) fn event(&mut self, event: &Event) {
        match self {
            Self::Json => json(event),
            Self::Human(human) => human.event(event),
            Self::Live(live) => live.event(event),
        }
    }

    /// A remark: readable only, programs have the events.
    pub(crate) fn note(&mut self, text: &str) {
        match self {
            Self::Json => {}
            Self::Human(human) => human.note(text),
            Self::Live(live) => live.note(text),
        }
    }

    /// Text that a plan sends now: it stands beside what is typed by hand, so that both sides of the talk are seen.
    pub(crate) fn typed(&mut self, text: &str) {
        if let Self::Live(live) = self {
            live.typed(text);
        }
    }

    /// An object of the command's own, for programs only.
    pub(crate) fn object(&mut self, object: &impl Serialize) {
        if matches!(self, Self::Json) {
            json(object);
        }
    }

    /// An explanation in readable lines; programs have the object.
    pub(crate) fn explanation(&mut self, explanation: &Explanation) {
        for line in explained::lines(explanation) {
            self.note(&line);
        }
    }

    /// The verdict, at the end. A failure is also told on standard error.
    pub(crate) fn result(&mut self, report: &Report) {
        match self {
            Self::Json => {
                #[derive(Serialize)]
                struct Line<'a> {
                    event: &'static str,
                    #[serde(flatten)]
                    report: &'a Report,
                }
                json(&Line { event: "result", report });
            }
            Self::Human(human) => human.result(report),
            Self::Live(live) => live.result(report),
        }
        if let Some(failure) = report.unwanted_failure() {
            self::failure(failure);
        }
    }

    /// Something long goes on: a line on standard error, for a person who watches. Programs wait for the result.
    pub(crate) fn progress(&mut self, text: &str) {
        if matches!(self, Self::Human(_)) && std::io::stderr().is_terminal() {
            eprintln!("{}", plain(text));
        }
    }

    /// A line of a list with a mark before it: good, bad, or neither. Readable only.
    pub(crate) fn row(&mut self, text: &str, good: Option<bool>) {
        if let Self::Human(human) = self {
            human.row(text, good);
        }
    }

    /// The last line. Readable only.
    pub(crate) fn verdict(&mut self, good: bool, text: &str) {
        if let Self::Human(human) = self {
            human.verdict(good, text);
        }
    }
}

/// The configuration of the run, for the command that is to be run next.
static CONFIG: OnceLock<String> = OnceLock::new();

/// Commands that are proposed name this configuration.
pub(crate) fn configured_by(file: &Path) {
    let _ = CONFIG.set(file.display().to_string());
}

/// A command that is proposed, with the configuration of this run.
pub(crate) fn command(words: &str) -> String {
    let config = CONFIG.get().map_or_else(|| "FILE".to_owned(), |config| advice::quoted(config));
    format!("z5 --config {config} {words}")
}

/// A failure in words, on standard error.
pub(crate) fn failure(failure: &Failure) {
    failure_with(failure, &advice::of(failure, CONFIG.get().map(String::as_str)));
}

/// The same where more is known of what to do than the failure says.
pub(crate) fn failure_with(failure: &Failure, what: &str) {
    let step = failure.step.map_or_else(String::new, |step| format!("step {} ({step}): ", step.number()));
    let retry = failure.retry_after_s.map_or_else(String::new, |seconds| format!(" (in {seconds} s)"));
    error(&format!("{step}{}: {}\n  what to do: {what}{retry}", failure.code, failure.message));
}

/// Set when standard output took no more, for another reason than a reader that had read enough.
static LOST: AtomicBool = AtomicBool::new(false);

/// Whether part of the answer could not be written (a full disk, for example).
pub(crate) fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Writes to standard output. A reader that went away is no reason to stop a call half-way; what else fails is
/// remembered and told at the end.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        lost(&error);
    }
}

/// Told once.
fn lost(error: &dyn std::fmt::Display) {
    if !LOST.swap(true, Ordering::Relaxed) {
        let why = in_words(&error.to_string());
        self::error(&format!("output.lost: standard output takes no more: {why}"));
    }
}

/// The answer of a command without events.
pub(crate) fn print(text: &str) {
    write(text);
}

/// The same as one line of JSON.
pub(crate) fn print_json(object: &impl Serialize) {
    json(object);
}

/// One line of JSON.
fn json(object: &impl Serialize) {
    match serde_json::to_string(object) {
        Ok(text) => write(&format!("{text}\n")),
        Err(error) => lost(&error),
    }
}

/// One error, on standard error.
pub(crate) fn error(text: &str) {
    // Nobody can be told that standard error takes nothing.
    let _ = ErrorLines.write_all(format!("z5: {}\n", plain(text)).as_bytes());
}

/// Standard error; while a view has the terminal, what is written waits until it is given back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorLines;

/// What waits; none while no view has the terminal.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);
/// Bytes that wait at most.
const HELD_MOST: usize = 256 * 1024;

impl Write for ErrorLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match HELD.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(held) => {
                let room = HELD_MOST.saturating_sub(held.len()).min(bytes.len());
                held.extend_from_slice(&bytes[..room]);
                Ok(bytes.len())
            }
            None => std::io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Errors and logs wait from now on.
pub(crate) fn hold_errors() {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
}

/// They are written, and wait no longer.
pub(crate) fn release_errors() {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(held) = held {
        let _ = std::io::stderr().write_all(&held);
    }
}

/// Whether there is a terminal that can show more than lines.
fn has_screen() -> bool {
    !is_dumb() && std::env::var_os("TERM").is_some() && can_ask() && std::io::stderr().is_terminal()
}

/// A terminal that says that it knows no escapes.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term.is_empty() || term == "dumb")
}

/// Text that may hold words of a far end: control characters are shown, never carried out by the terminal.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| !c.is_control() || c == '\n') {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| match c {
        '\n' => "\n".to_owned(),
        c if c.is_control() => c.escape_unicode().to_string(),
        c => c.to_string(),
    });
    Cow::Owned(shown.collect())
}

/// A question on a terminal; the answer without its line end, none at the end of input.
pub(crate) fn ask(question: &str) -> Option<String> {
    write(question);
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim().to_owned()),
    }
}

/// Whether there is someone to ask.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_end_cannot_drive_the_terminal() {
        assert_eq!(plain("Busy\u{1b}[2J here"), "Busy\\u{1b}[2J here");
        assert_eq!(plain("Ä ☎\nline"), "Ä ☎\nline");
    }
}
