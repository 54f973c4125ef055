//! No number, name, password, key or text of the user in any log line above TRACE.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;
use z5_core::{CallMedia, CallRequest, EventKind};

use crate::support::{Client, carrier, config};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_whole_journey_leaves_nothing_personal_in_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // The only test of this program that looks at the log, so the others may write into it too: nothing of theirs may be
    // personal either.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let call = client
        .session
        .call(CallRequest::to("+15555550900").with(CallMedia { text: Some(true), ..CallMedia::default() }));
    client.until("established", |kind| matches!(kind, EventKind::CallEstablished { .. })).await;
    client.session.send_text(call, "SECRETWORDS");
    client.until("text", |kind| matches!(kind, EventKind::Text { .. })).await;
    client.stop().await;
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("event"), "the journey is logged");
    let ours = |line: &&str| !line.contains(" z5_mock");
    for secret in ["5555550", "alice-secret", "sip-1555", "SECRETWORDS", "Authorization", "inline:", "eyJ"] {
        let line = log.lines().filter(ours).find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} in {line:?}");
    }
}
