//! Takes one call: rings, answers with a tone, types back in capitals what is typed, until the far end hangs up.
//!
//! `cargo run -p z5-core --example answer -- z5.toml`

#![allow(clippy::wildcard_enum_match_arm, reason = "an application looks at the events that it needs")]

use std::error::Error;
use std::io::Write;

use z5_core::{AudioIn, CallMedia, Config, EventKind, Session};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: answer CONFIGURATION")?;
    run(Config::load(file)?, &mut std::io::stdout())
}

pub(crate) fn run(config: Config, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let (session, mut events) = Session::start(config)?;
    // Whoever calls meanwhile is declined: this example has one line.
    let mut line = None;
    while let Some(event) = events.next_blocking() {
        match event.kind {
            EventKind::Ready { address, .. } => writeln!(out, "ready as {address}")?,
            EventKind::Incoming { call, from, display_name, video, .. } if line.is_none() => {
                let name = display_name.unwrap_or(from);
                writeln!(out, "{name} calls{}", if video { " with video" } else { "" })?;
                let tone = AudioIn::Tone { hz: 425.0, level_dbm0: -10.0 };
                session.answer(call, CallMedia { audio_in: tone, ..CallMedia::default() });
                line = Some(call);
            }
            EventKind::Incoming { call, .. } => session.reject(call),
            EventKind::Text { call, text, .. } => session.send_text(call, &text.to_uppercase()),
            EventKind::CallEnded { call, by, report, .. } if line == Some(call) => {
                let typed = report.text_received.unwrap_or_default();
                writeln!(out, "ended by {by:?}; typed: {typed}")?;
                session.stop();
            }
            EventKind::CallFailed { call, error, .. } if line == Some(call) => {
                writeln!(out, "{}: {error}", error.code())?;
                line = None;
            }
            EventKind::Stopped { error: Some(error), .. } => {
                writeln!(out, "{}: {error}; {}", error.code(), error.advice().text())?;
            }
            _ => {}
        }
    }
    Ok(())
}
