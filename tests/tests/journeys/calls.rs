//! Calls with media: to the far ends of the carrier, and between two sessions.

use std::time::Duration;

use z5_core::config::SrtpMode;
use z5_core::events::MediaKind;
use z5_core::{AudioIn, AudioOut, CallId, CallMedia, CallReport, CallRequest, EventKind, Side};
use z5_media::source::Tone;
use z5_mock::Fault;

use crate::support::{Client, carrier, config, load};

const ECHO: &str = "+15555550900";

/// A tone that lasts long enough to be judged; its end is an event.
fn tone() -> CallMedia {
    let source = Tone::new(1000.0, -10.0).lasting(Duration::from_millis(900));
    CallMedia { audio_in: AudioIn::Custom(Box::new(source)), ..CallMedia::default() }
}

impl Client {
    async fn established(&mut self, call: CallId) {
        let wanted = |kind: &EventKind| match kind {
            EventKind::CallEstablished { call: of, .. } => *of == call,
            EventKind::CallFailed { error, .. } => panic!("the call failed: {error}"),
            _ => false,
        };
        self.until("established", wanted).await;
    }

    async fn ended(&mut self, call: CallId) -> (Side, CallReport) {
        let ended = self
            .until("ended", |kind| matches!(kind, EventKind::CallEnded { call: of, .. } if *of == call))
            .await;
        match ended {
            EventKind::CallEnded { by, report, .. } => (by, *report),
            _ => unreachable!(),
        }
    }

    async fn failed(&mut self, target: &str) -> &'static str {
        let call = self.session.call(CallRequest::to(target));
        let failed = self
            .until("failed", |kind| matches!(kind, EventKind::CallFailed { call: of, .. } if *of == call))
            .await;
        match failed {
            EventKind::CallFailed { error, .. } => error.code(),
            _ => unreachable!(),
        }
    }

    /// Until our tone has been sent.
    async fn listen(&mut self) {
        self.until("the end of the tone", |kind| matches!(kind, EventKind::SourceEnded { .. })).await;
    }

    async fn text(&mut self, wanted: &str) {
        let mut got = String::new();
        while !got.contains(wanted) {
            if let EventKind::Text { text, .. } =
                self.until(wanted, |kind| matches!(kind, EventKind::Text { .. })).await
            {
                got.push_str(&text);
            }
        }
    }
}

fn assert_tone_came_back(report: &CallReport) {
    let audio = report.audio.as_ref().expect("audio was carried");
    let heard = audio.heard.as_ref().expect("something was heard");
    let hz = heard.dominant_hz.expect("a tone");
    assert!((hz - 1000.0).abs() < 5.0, "{heard:?}");
    let level = heard.level_dbm0.expect("a level");
    assert!((level + 10.0).abs() < 1.5, "{heard:?}");
}

#[tokio::test]
async fn an_echo_call_carries_tone_and_text_both_ways() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let recordings = tempfile::tempdir().unwrap();
    let wav = recordings.path().join("echo.wav");
    let media = CallMedia { audio_out: AudioOut::Wav { path: wav.clone() }, text: Some(true), ..tone() };
    let call = client.session.call(CallRequest::to(ECHO).with(media));
    client.established(call).await;
    client.session.send_text(call, "HELLO");
    client.text("HELLO").await;
    client.listen().await;
    client.session.hangup(call);
    let (by, report) = client.ended(call).await;
    assert_eq!(by, Side::Local);
    assert_tone_came_back(&report);
    assert_eq!(report.text_received.as_deref(), Some("HELLO"));
    println!("timings {}", serde_json::to_string(&report.timings).unwrap());
    assert!(report.timings.setup_ms.unwrap() < 500.0);
    let recorded = std::fs::metadata(&wav).unwrap().len();
    assert!(recorded > 8000, "{recorded} bytes recorded");
    let seen = client.stop().await;
    for wanted in [MediaKind::Audio, MediaKind::Text] {
        assert!(
            seen.iter()
                .any(|event| matches!(event.kind, EventKind::FirstMedia { kind, .. } if kind == wanted))
        );
    }
}

#[tokio::test]
async fn encrypted_media_is_carried_too() {
    let carrier = carrier(|carrier| carrier).await;
    let (mut configuration, files) = config(&carrier, "alice", |_| {});
    configuration.media.srtp = SrtpMode::Optional;
    let mut client = Client::ready((configuration, files)).await;
    let call = client.session.call(CallRequest::to(ECHO).with(tone()));
    client.established(call).await;
    client.until("audio", |kind| matches!(kind, EventKind::FirstMedia { kind: MediaKind::Audio, .. })).await;
    client.listen().await;
    client.session.hangup(call);
    let (_, report) = client.ended(call).await;
    assert_tone_came_back(&report);
    client.stop().await;
}

#[tokio::test]
async fn a_plain_account_calls_without_steps_2_and_3() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(load(&carrier.generic_config("alice").unwrap())).await;
    let call = client.session.call(CallRequest::to(ECHO).with(tone()));
    client.established(call).await;
    client.session.hangup(call);
    client.ended(call).await;
    let seen = client.stop().await;
    let steps: Vec<u8> = seen
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::StepDone { number, .. } => Some(number),
            _ => None,
        })
        .collect();
    assert_eq!(steps, [1, 4]);
}

#[tokio::test]
async fn every_refusal_has_its_code_and_leaves_the_session_ready() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    assert_eq!(client.failed("+15555550901").await, "call.busy");
    assert_eq!(client.failed("+15555550902").await, "call.declined");
    assert_eq!(client.failed("+15555550904").await, "call.not-found");
    assert_eq!(client.failed("+15555550905").await, "call.unavailable");
    assert_eq!(client.failed("+15555550102").await, "call.unavailable");
    assert_eq!(client.failed("a b").await, "call.bad-target");
    client.stop().await;
}

#[tokio::test]
async fn a_missing_file_is_told_before_anything_is_sent() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let audio_in = AudioIn::Wav { path: "there-is-no-such.wav".into(), looping: false };
    let media = CallMedia { audio_in, ..CallMedia::default() };
    assert_eq!(media.check().unwrap_err().code(), "call.audio-file");
    client.session.call(CallRequest::to(ECHO).with(media));
    let failed = client.until("failed", |kind| matches!(kind, EventKind::CallFailed { .. })).await;
    let EventKind::CallFailed { error, .. } = failed else { unreachable!() };
    assert_eq!(error.code(), "call.audio-file");
    client.stop().await;
}

#[tokio::test]
async fn nobody_answers_and_we_give_up() {
    let carrier = carrier(|carrier| carrier).await;
    let (mut configuration, files) = config(&carrier, "alice", |_| {});
    configuration.timeouts.call = z5_core::config::Millis(600);
    let mut client = Client::ready((configuration, files)).await;
    assert_eq!(client.failed("+15555550903").await, "call.no-answer");
    client.stop().await;
}

#[tokio::test]
async fn a_call_is_cancelled_while_it_rings() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let call = client.session.call(CallRequest::to("+15555550903"));
    client.until("ringing", |kind| matches!(kind, EventKind::CallProgress { status: 180, .. })).await;
    client.session.hangup(call);
    let failed = client.until("failed", |kind| matches!(kind, EventKind::CallFailed { .. })).await;
    let EventKind::CallFailed { error, by, .. } = failed else { unreachable!() };
    assert_eq!((error.code(), by), ("call.cancelled", Side::Local));
    client.stop().await;
}

#[tokio::test]
async fn an_announcement_speaks_writes_and_hangs_up() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let call = client.session.call(CallRequest::to("+15555550906"));
    client.established(call).await;
    client.text("Welcome").await;
    let (by, report) = client.ended(call).await;
    assert_eq!(by, Side::Remote);
    let hz = report.audio.and_then(|audio| audio.heard).and_then(|heard| heard.dominant_hz).expect("a tone");
    assert!((hz - 440.0).abs() < 5.0, "{hz}");
    client.stop().await;
}

/// Alice calls Bob; `alice_ends` says who hangs up.
async fn between_two_sessions(alice_ends: bool) {
    let carrier = carrier(|carrier| carrier).await;
    let mut alice = Client::ready(config(&carrier, "alice", |_| {})).await;
    let mut bob = Client::ready(config(&carrier, "bob", |_| {})).await;
    let call = alice.session.call(CallRequest::to("+15555550102").with(tone()));
    let incoming = bob.until("incoming", |kind| matches!(kind, EventKind::Incoming { .. })).await;
    let EventKind::Incoming { call: at_bob, from, audio, text, .. } = incoming else { unreachable!() };
    assert!(from.contains("5555550101"), "{from}");
    assert!(audio && text);
    alice.until("ringing", |kind| matches!(kind, EventKind::CallProgress { status: 180, .. })).await;
    bob.session.answer(at_bob, tone());
    alice.established(call).await;
    bob.established(at_bob).await;
    alice.session.send_text(call, "hi bob");
    bob.text("hi bob").await;
    bob.session.send_text(at_bob, "hi alice");
    alice.text("hi alice").await;
    alice.listen().await;
    let (first, second) = if alice_ends {
        alice.session.hangup(call);
        (Side::Local, Side::Remote)
    } else {
        bob.session.hangup(at_bob);
        (Side::Remote, Side::Local)
    };
    let (by, report) = alice.ended(call).await;
    assert_eq!(by, first);
    assert_tone_came_back(&report);
    let (by, report) = bob.ended(at_bob).await;
    assert_eq!(by, second);
    assert_tone_came_back(&report);
    assert_eq!(report.text_received.as_deref(), Some("hi bob"));
    alice.stop().await;
    bob.stop().await;
}

#[tokio::test]
async fn two_sessions_talk_and_the_caller_hangs_up() {
    between_two_sessions(true).await;
}

#[tokio::test]
async fn two_sessions_talk_and_the_called_hangs_up() {
    between_two_sessions(false).await;
}

#[tokio::test]
async fn an_incoming_call_is_declined() {
    let carrier = carrier(|carrier| carrier).await;
    let mut alice = Client::ready(config(&carrier, "alice", |_| {})).await;
    let mut bob = Client::ready(config(&carrier, "bob", |_| {})).await;
    let call = alice.session.call(CallRequest::to("+15555550102"));
    let incoming = bob.until("incoming", |kind| matches!(kind, EventKind::Incoming { .. })).await;
    let EventKind::Incoming { call: at_bob, .. } = incoming else { unreachable!() };
    bob.session.reject(at_bob);
    let failed = alice
        .until("failed", |kind| matches!(kind, EventKind::CallFailed { call: of, .. } if *of == call))
        .await;
    let EventKind::CallFailed { error, .. } = failed else { unreachable!() };
    assert_eq!(error.code(), "call.declined");
    bob.until("failed", |kind| matches!(kind, EventKind::CallFailed { .. })).await;
    alice.stop().await;
    bob.stop().await;
}

#[tokio::test]
async fn stopping_ends_running_calls_with_their_figures() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let call = client.session.call(CallRequest::to(ECHO).with(tone()));
    client.established(call).await;
    let seen = client.stop().await;
    assert!(
        seen.iter().any(|event| matches!(event.kind, EventKind::CallEnded { by: Side::Local, .. })),
        "{seen:#?}"
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_every_call() {
    let carrier = carrier(|carrier| carrier.fault(Fault::InviteStatus(403))).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    assert_eq!(client.failed(ECHO).await, "call.forbidden");
    client.stop().await;
}

#[tokio::test]
async fn a_far_end_that_holds_and_resumes_is_followed() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let source = Tone::new(1000.0, -10.0).lasting(Duration::from_millis(2800));
    let media = CallMedia { audio_in: AudioIn::Custom(Box::new(source)), ..CallMedia::default() };
    let call = client.session.call(CallRequest::to("+15555550916").with(media));
    client.established(call).await;
    client.listen().await;
    client.session.hangup(call);
    let (_, report) = client.ended(call).await;
    let audio = report.audio.expect("audio was carried");
    // On hold nothing is sent and the tone waits, so the call lasts about a second longer than its packets.
    println!(
        "packets around a hold: {} sent, {} received, {:?} ms",
        audio.packets_sent, audio.packets_received, report.duration_ms
    );
    let unheld = (report.duration_ms / 20.0) as u64;
    assert!(audio.packets_sent + 35 < unheld, "{} of {unheld}", audio.packets_sent);
    client.stop().await;
}
