//! Shows the address book, from the store at once and from the carrier when it has come; and the calls that were.
//!
//! `cargo run -p z5-core --example address_book -- z5.toml z5-store`

#![allow(clippy::wildcard_enum_match_arm, reason = "an application looks at the events that it needs")]

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use z5_core::{Config, DirStore, EventKind, Session, StartOptions, Store};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(store)) = (arguments.next(), arguments.next()) else {
        return Err("usage: address_book CONFIGURATION STORE".into());
    };
    run(Config::load(file)?, Arc::new(DirStore::open(store)?), &mut std::io::stdout())
}

pub(crate) fn run(config: Config, store: Arc<dyn Store>, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let options = StartOptions { store: Some(store), ..StartOptions::default() };
    let (session, mut events) = Session::start_with(config, options)?;
    let mut told = false;
    while let Some(event) = events.next_blocking() {
        // What an earlier session kept is there before the first step.
        if !std::mem::replace(&mut told, true) {
            writeln!(out, "{} contacts were kept", session.contacts().len())?;
        }
        match event.kind {
            EventKind::Ready { .. } => {
                for contact in session.contacts() {
                    let numbers: Vec<&str> = contact.numbers.iter().map(|own| own.number.as_str()).collect();
                    writeln!(out, "{}: {}", contact.name, numbers.join(", "))?;
                }
                // As a person types it: the beginnings of words, or the end of a number.
                let found = session.address_book().search("bo").len();
                writeln!(out, "{found} found by \"bo\"")?;
                for call in session.history().iter() {
                    writeln!(out, "{:?} {}: {}", call.direction, call.remote, call.outcome)?;
                }
                session.stop();
            }
            // Whatever is wrong with the store, the session goes on.
            EventKind::StoreTrouble { error } => writeln!(out, "{}: {error}", error.code())?,
            EventKind::Stopped { error: Some(error), .. } => {
                writeln!(out, "{}: {error}; {}", error.code(), error.advice().text())?;
            }
            _ => {}
        }
    }
    Ok(())
}
