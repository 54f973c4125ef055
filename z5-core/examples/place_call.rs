//! Places a call with the application's own sound and a line of text, hangs up when the text has come back, and tells what was heard.
//!
//! `cargo run -p z5-core --example place_call -- z5.toml echo`

#![allow(clippy::wildcard_enum_match_arm, reason = "an application looks at the events that it needs")]

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use z5_core::media::{AudioSink, AudioSource, SinkError, SourceState};
use z5_core::{AudioIn, AudioOut, CallMedia, CallRequest, Config, EventKind, Session};

/// What an application would take from a microphone: here a saw of 200 Hz, made frame by frame.
struct Saw {
    rate: u32,
    at: u32,
}

impl AudioSource for Saw {
    fn open(&mut self, sample_rate: u32) {
        self.rate = sample_rate;
    }

    fn fill(&mut self, frame: &mut [i16]) -> SourceState {
        for sample in frame {
            self.at = (self.at + 200) % self.rate.max(1);
            *sample = (self.at * 8000 / self.rate.max(1)) as i16 - 4000;
        }
        SourceState::Playing
    }
}

/// What an application would give to a loudspeaker: here counted. Called on a thread of the engine, so it must not wait.
struct Count(Arc<AtomicU64>);

impl AudioSink for Count {
    fn open(&mut self, _: u32) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, frame: &[i16]) -> Result<(), SinkError> {
        let loud = frame.iter().filter(|sample| sample.unsigned_abs() > 1000).count();
        self.0.fetch_add(loud as u64, Ordering::Relaxed);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("usage: place_call CONFIGURATION TARGET".into());
    };
    run(Config::load(file)?, &target, &mut std::io::stdout())
}

pub(crate) fn run(config: Config, target: &str, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let heard = Arc::new(AtomicU64::new(0));
    let (session, mut events) = Session::start(config)?;
    let mut text = String::new();
    while let Some(event) = events.next_blocking() {
        match event.kind {
            EventKind::Ready { address, .. } => {
                writeln!(out, "ready as {address}")?;
                let media = CallMedia {
                    audio_in: AudioIn::Custom(Box::new(Saw { rate: 8000, at: 0 })),
                    audio_out: AudioOut::Custom(Box::new(Count(Arc::clone(&heard)))),
                    ..CallMedia::default()
                };
                session.call(CallRequest::to(target).with(media));
            }
            EventKind::CallEstablished { call, .. } => session.send_text(call, "HELLO"),
            EventKind::Text { call, text: more, .. } => {
                text += &more;
                if text.contains("HELLO") {
                    writeln!(out, "the text came back")?;
                    session.hangup(call);
                }
            }
            EventKind::CallEnded { report, .. } => {
                let packets = report.audio.map_or(0, |audio| audio.packets_received);
                let loud = heard.load(Ordering::Relaxed);
                writeln!(
                    out,
                    "{packets} packets of sound, {loud} loud samples in {:.0} ms",
                    report.duration_ms
                )?;
                session.stop();
            }
            EventKind::CallFailed { error, .. } => {
                writeln!(out, "{}: {error}; {}", error.code(), error.advice().text())?;
                session.stop();
            }
            // Tried again by itself; a window would show it, and a button for `Session::retry_now`.
            EventKind::Retrying { error, in_ms, .. } => {
                writeln!(out, "{}: {error}; again in {in_ms} ms", error.code())?;
            }
            EventKind::Stopped { error: Some(error), .. } => {
                writeln!(out, "{}: {error}; {}", error.code(), error.advice().text())?;
            }
            _ => {}
        }
    }
    Ok(())
}
