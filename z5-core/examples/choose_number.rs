//! Signs in with an account that has several numbers: shows them, chooses one, and tells where the session is at each moment.
//!
//! `cargo run -p z5-core --example choose_number -- z5.toml +15555550104`

#![allow(clippy::wildcard_enum_match_arm, reason = "an application looks at the events that it needs")]

use std::error::Error;
use std::io::Write;

use z5_core::events::NumberState;
use z5_core::{Config, EventKind, Session, StartOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(number)) = (arguments.next(), arguments.next()) else {
        return Err("usage: choose_number CONFIGURATION NUMBER".into());
    };
    run(Config::load(file)?, &number, &mut std::io::stdout())
}

pub(crate) fn run(mut config: Config, number: &str, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    // What the configuration names would be chosen without asking.
    if let Some(zdial) = &mut config.zdial {
        zdial.number = None;
    }
    let options = StartOptions { interactive_number: true, ..StartOptions::default() };
    let (session, mut events) = Session::start_with(config, options)?;
    while let Some(event) = events.next_blocking() {
        match event.kind {
            // States: a slow reader sees the latest alone, and that is all it needs.
            EventKind::State { state } => writeln!(out, "now {}", state.name())?,
            EventKind::NumberRequired { numbers } => {
                for offer in &numbers {
                    let mark = if offer.state == NumberState::Available { "free" } else { "not free" };
                    writeln!(out, "{} ({mark})", offer.number)?;
                }
                session.choose_number(number);
            }
            EventKind::Ready { .. } => {
                let present = session.snapshot();
                writeln!(out, "ready with {}", present.number.unwrap_or_default())?;
                session.stop();
            }
            EventKind::Stopped { error: Some(error), .. } => {
                writeln!(out, "{}: {error}; {}", error.code(), error.advice().text())?;
            }
            _ => {}
        }
    }
    Ok(())
}
