//! What an application sees of a session: the examples of z5-core run against the mock, a store of the application's own, a reader that
//! does not read.

use std::error::Error;
use std::io::Write;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use z5_core::store::Kind;
use z5_core::{
    CallRequest, Config, EventKind, MemoryStore, RetryMode, Session, SessionState, StartOptions, Store,
    StoreError,
};

use super::support::{Client, carrier, config};

// As they stand in the documentation: what `main` does is left to whoever types the command.
#[allow(dead_code, reason = "main reads the command line, which is not here")]
#[path = "../../../z5-core/examples/address_book.rs"]
mod address_book;
#[allow(dead_code, reason = "main reads the command line, which is not here")]
#[path = "../../../z5-core/examples/answer.rs"]
mod answer;
#[allow(dead_code, reason = "main reads the command line, which is not here")]
#[path = "../../../z5-core/examples/choose_number.rs"]
mod choose_number;
#[allow(dead_code, reason = "main reads the command line, which is not here")]
#[path = "../../../z5-core/examples/place_call.rs"]
mod place_call;

/// What an example prints, line by line.
struct Lines(mpsc::UnboundedSender<String>, String);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1 += std::str::from_utf8(bytes).map_err(std::io::Error::other)?;
        while let Some((line, rest)) = self.1.split_once('\n') {
            drop(self.0.send(line.to_owned()));
            self.1 = rest.to_owned();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An example on a thread of its own, as it runs in an application.
struct Example {
    lines: mpsc::UnboundedReceiver<String>,
    task: JoinHandle<Result<(), String>>,
}

impl Example {
    fn run(example: impl FnOnce(&mut dyn Write) -> Result<(), Box<dyn Error>> + Send + 'static) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        let mut out = Lines(sender, String::new());
        let task = tokio::task::spawn_blocking(move || example(&mut out).map_err(|error| error.to_string()));
        Self { lines, task }
    }

    async fn line(&mut self) -> String {
        self.lines.recv().await.expect("another line")
    }

    /// Everything that is still printed.
    async fn end(mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = self.lines.recv().await {
            all.push(line);
        }
        assert_eq!(self.task.await.expect("no panic"), Ok(()), "{all:?}");
        all
    }
}

#[tokio::test]
async fn the_example_that_places_a_call() {
    let carrier = carrier(|carrier| carrier).await;
    let (config, _files) = config(&carrier, "alice", |_| {});
    let seen = Example::run(move |out| place_call::run(config, "echo", out)).end().await;
    let [ready, text, figures] = &seen[..] else { panic!("{seen:?}") };
    assert!(ready.starts_with("ready as sip:+15555550101@"), "{ready}");
    assert_eq!(text, "the text came back");
    let figures: Vec<u64> =
        figures.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    assert!(figures[0] > 0 && figures[1] > 0, "the sound of the application came back: {seen:?}");
}

#[tokio::test]
async fn the_example_that_answers_one() {
    let carrier = carrier(|carrier| carrier).await;
    let ((bob, _bobs), (alice, _alices)) =
        (config(&carrier, "bob", |_| {}), config(&carrier, "alice", |_| {}));
    let mut bob = Example::run(move |out| answer::run(bob, out));
    assert!(bob.line().await.starts_with("ready as sip:+15555550102@"));
    let alice = Example::run(move |out| place_call::run(alice, "+15555550102", out));
    assert!(bob.line().await.ends_with(" calls"));
    let seen = alice.end().await;
    assert_eq!(seen[1], "the text came back", "in capitals, as it was typed: {seen:?}");
    assert_eq!(bob.end().await, ["ended by Remote; typed: HELLO"]);
}

#[tokio::test]
async fn the_example_that_chooses_a_number() {
    let carrier = carrier(|carrier| carrier).await;
    let (config, _files) = config(&carrier, "carol", |_| {});
    let seen = Example::run(move |out| choose_number::run(config, "+15555550104", out)).end().await;
    assert!(seen.contains(&"+15555550104 (free)".to_owned()), "{seen:?}");
    assert!(seen.contains(&"now ready".to_owned()), "{seen:?}");
    assert!(seen.contains(&"ready with +15555550104".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn the_example_that_shows_the_address_book() {
    let carrier = carrier(|carrier| carrier).await;
    let (config, _files) = config(&carrier, "alice", |_| {});
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let run = |store: &Arc<dyn Store>| {
        let (config, store): (Config, _) = (config.clone(), Arc::clone(store));
        Example::run(move |out| address_book::run(config, store, out)).end()
    };
    let first = run(&store).await;
    assert_eq!(first[0], "0 contacts were kept");
    let bob = |line: &&String| line.starts_with("Bob") && line.ends_with("+15555550102");
    assert_eq!(first.iter().filter(bob).count(), 1, "{first:?}");
    assert_eq!(first.last().map(String::as_str), Some("1 found by \"bo\""));
    let second = run(&store).await;
    assert_eq!(second[0], format!("{} contacts were kept", first.len() - 2));
    assert_eq!(second[1..], first[1..]);
}

/// A store that says when the session wrote who it is: at its start, and after everything else at its end.
#[derive(Debug)]
struct Telling {
    records: MemoryStore,
    instances: Mutex<mpsc::UnboundedSender<()>>,
}

impl Store for Telling {
    fn read(&self, kind: Kind) -> Result<Option<Vec<u8>>, StoreError> {
        self.records.read(kind)
    }

    fn write(&self, kind: Kind, record: &[u8]) -> Result<(), StoreError> {
        if kind == Kind::Instance {
            let _ = self.instances.lock().unwrap().send(());
        }
        self.records.write(kind, record)
    }

    fn set_aside(&self, kind: Kind) -> Result<Option<String>, StoreError> {
        self.records.set_aside(kind)
    }

    fn place(&self) -> String {
        "the application".to_owned()
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_nobody_up_and_is_told_what_it_missed() {
    const MANY: usize = 3000;
    let carrier = carrier(|carrier| carrier).await;
    let (config, _files) = config(&carrier, "alice", |_| {});
    let (sender, mut instances) = mpsc::unbounded_channel();
    let store = Arc::new(Telling { records: MemoryStore::new(), instances: Mutex::new(sender) });
    let options = StartOptions { retry: RetryMode::Once, store: Some(store), ..StartOptions::default() };
    let (session, mut events) = Session::start_with(config, options).unwrap();
    instances.recv().await.unwrap();
    // Nothing of this can be done, which is told each time; nobody listens.
    let call = session.call(CallRequest::to("+15555550102"));
    (0..MANY).for_each(|_| session.hold(call));
    session.stop();
    // Its last record is written although not one event was read.
    instances.recv().await.unwrap();
    let first = events.next().await.unwrap();
    let EventKind::Overflow { lost } = first.kind else { panic!("{first:?}") };
    let (mut seen, mut last) = (0, None);
    while let Some(event) = events.next().await {
        seen += 1;
        last = Some(event);
    }
    assert!(lost as usize + seen > MANY, "{lost} lost, {seen} seen");
    let last = last.unwrap();
    assert!(matches!(last.kind, EventKind::Stopped { error: None, fault: None }), "{last:?}");
    let present = session.snapshot();
    assert_eq!((present.state, present.sequence), (SessionState::Stopped, last.sequence));
    // What is over takes orders without a word, from any thread.
    std::thread::spawn(move || session.hangup(call)).join().unwrap();
}

#[tokio::test]
async fn every_error_that_an_application_can_get_says_what_to_do() {
    let error = Session::start(Config::default()).unwrap_err();
    assert_eq!(error.failure().code, error.code());
    assert_eq!(error.advice(), z5_core::Advice::CheckSettings);
    let carrier = carrier(|carrier| carrier.fault(z5_mock::Fault::AccountSuspended)).await;
    let mut client = Client::start(config(&carrier, "alice", |_| {}));
    let error = client.end().await.unwrap();
    assert_eq!((error.code(), error.advice()), ("sign-in.account-locked", z5_core::Advice::AskCarrier));
}
