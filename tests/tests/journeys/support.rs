//! A carrier, a session on it, and the reading of events with a limit on patience.

use std::collections::VecDeque;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use z5_core::media::{AudioSink, SinkError};
use z5_core::{Config, Event, EventKind, Events, RetryMode, Session, SessionError, StartOptions};
use z5_mock::{Builder, Carrier, ClientConfig};

/// No single event of a journey on loopback takes longer, except where a test waits for a deadline it has set itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// A carrier that lives as long as the test.
pub(crate) async fn carrier(build: impl FnOnce(Builder) -> Builder) -> Carrier {
    build(Carrier::builder().seed(7)).start().await.expect("the mock carrier starts")
}

/// The configuration of an account, with its files in a directory that lives as long as it.
pub(crate) fn config(
    carrier: &Carrier,
    account: &str,
    change: impl FnOnce(&mut ClientConfig),
) -> (Config, TempDir) {
    let mut client = carrier.client_config(account).expect("a known account");
    change(&mut client);
    load(&client)
}

pub(crate) fn load(client: &ClientConfig) -> (Config, TempDir) {
    let dir = TempDir::new().expect("a directory");
    let file = client.write_to(dir.path()).expect("the configuration is written");
    (Config::load(&file).expect("the mock writes a configuration that z5 reads"), dir)
}

/// A session and everything it said.
pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) events: Events,
    pub(crate) seen: Vec<Event>,
    _files: TempDir,
}

impl Client {
    pub(crate) fn start((config, files): (Config, TempDir)) -> Self {
        Self::start_with(
            (config, files),
            StartOptions { seed: Some(1), retry: RetryMode::Once, ..StartOptions::default() },
        )
    }

    pub(crate) fn start_with((config, files): (Config, TempDir), options: StartOptions) -> Self {
        let (session, events) = Session::start_with(config, options).expect("the session starts");
        Self { session, events, seen: Vec::new(), _files: files }
    }

    /// A session that is ready.
    pub(crate) async fn ready(config: (Config, TempDir)) -> Self {
        let mut client = Self::start(config);
        client.until("ready", |kind| matches!(kind, EventKind::Ready { .. })).await;
        client
    }

    /// Reads events up to one that is wanted.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&EventKind) -> bool) -> EventKind {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.events.next()).await;
            let Ok(next) = next else { panic!("no {what} in {PATIENCE:?}; seen: {:#?}", self.seen) };
            let Some(event) = next else {
                panic!("the session ended without {what}; seen: {:#?}", self.seen)
            };
            self.seen.push(event.clone());
            if wanted(&event.kind) {
                return event.kind;
            }
        }
    }

    /// Reads to the end; gives the error of the session.
    pub(crate) async fn end(&mut self) -> Option<SessionError> {
        let stopped = self.until("stopped", |kind| matches!(kind, EventKind::Stopped { .. })).await;
        let after = self.events.next().await;
        assert!(after.is_none(), "nothing follows the last event: {after:?}");
        match stopped {
            EventKind::Stopped { error, fault } => {
                assert_eq!(fault, None);
                error
            }
            _ => None,
        }
    }

    /// Stops and expects a clean end.
    pub(crate) async fn stop(mut self) -> Vec<Event> {
        self.session.stop();
        assert_eq!(self.end().await, None);
        let confirmed = |event: &Event| matches!(event.kind, EventKind::Unregistered { confirmed: true });
        assert!(self.seen.iter().any(confirmed), "unregistered: {:#?}", self.seen);
        self.seen
    }

    /// The code of the failure a session ends with, and of its step.
    pub(crate) async fn failure(config: (Config, TempDir)) -> (u8, &'static str, String) {
        let mut client = Self::start(config);
        let error = client.end().await.expect("the session fails");
        let told = client
            .seen
            .iter()
            .any(|event| matches!(&event.kind, EventKind::StepFailed { error: told, .. } if *told == error));
        assert!(told, "the failed step is told: {:#?}", client.seen);
        (error.step().number(), error.code(), error.to_string())
    }
}

/// Sound as it comes, frame by frame.
pub(crate) struct Ear(pub(crate) mpsc::UnboundedSender<Vec<i16>>);

impl AudioSink for Ear {
    fn open(&mut self, _: u32) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, frame: &[i16]) -> Result<(), SinkError> {
        self.0.send(frame.to_vec()).map_err(|_| SinkError::Closed)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Listens until a fifth of a second holds a tone of so many hertz, by how often it crosses zero.
pub(crate) async fn hear(sound: &mut mpsc::UnboundedReceiver<Vec<i16>>, hz: usize) {
    let mut window = VecDeque::new();
    for _ in 0..3000 {
        let frame = tokio::time::timeout(PATIENCE, sound.recv()).await.expect("sound in time");
        window.extend(frame.expect("the call goes on"));
        window.drain(..window.len().saturating_sub(1600));
        let signs: Vec<bool> = window.iter().map(|sample| *sample > 0).collect();
        let crossings = signs.windows(2).filter(|pair| pair[0] != pair[1]).count();
        if signs.len() == 1600 && crossings.abs_diff(2 * hz / 5) <= 2 {
            return;
        }
    }
    panic!("no tone of {hz} Hz in a minute of sound");
}
