//! Step 5 x fault: each row of a call's code in the table of docs/mock.md ends with that code, what is only a nuisance is heard
//! through, and every code of calls has a fault or a reason why no server can cause it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::task::JoinSet;
use z5_core::config::{Millis, SrtpMode, WhenSilent};
use z5_core::error::CallError;
use z5_core::events::MediaKind;
use z5_core::{AudioIn, CallMedia, CallRequest, EventKind, RetryMode, StartOptions, StreamStats};
use z5_media::DropReason;
use z5_media::source::Tone;
use z5_mock::{Carrier, Fault, Order};

use crate::matrix::{note, rows};
use crate::support::{Client, carrier, config, load};

const TONE: &str = "+15555550907";
/// It hangs up after three seconds.
const ANNOUNCEMENT: &str = "+15555550906";

/// Codes that no server can cause, and where they are tested.
const NOT_BY_A_SERVER: [(&str, &str); 12] = [
    ("call.cancelled", "we gave up: z5-cli runs"),
    ("call.local-port", "no port in the configured range is free"),
    ("call.media", "nothing to carry, or this machine gives no engine"),
    ("call.not-ready", "asked for too early: machine::tests"),
    ("call.unknown-call", "a command for a call that is over"),
    ("call.wrong-state", "a command that makes no sense yet"),
    ("call.bad-target", "what was dialled: z5-cli bad_input"),
    ("call.audio-file", "a file of ours: z5-cli bad_input"),
    ("call.video-source", "a file of ours: z5-cli bad_input"),
    ("call.recording", "a folder of ours: z5-cli bad_input"),
    ("call.bad-digit", "a key that is none"),
    ("call.emergency", "hold and transfer of an emergency call: mid_call"),
];

/// The first error that is told about a call.
async fn first_error(client: &mut Client) -> &'static str {
    let told = |kind: &EventKind| error(kind).is_some();
    let event = client.until("an error", told).await;
    error(&event).map(CallError::code).unwrap_or_default()
}

fn error(kind: &EventKind) -> Option<&CallError> {
    match kind {
        EventKind::CallFailed { error, .. }
        | EventKind::CommandRefused { error, .. }
        | EventKind::CallTrouble { error, .. }
        | EventKind::MessageFailed { error, .. } => Some(error),
        _ => None,
    }
}

async fn established(client: &mut Client) {
    let over = |kind: &EventKind| {
        assert!(!matches!(kind, EventKind::CallFailed { .. }), "{kind:?}");
        matches!(kind, EventKind::CallEstablished { .. })
    };
    client.until("established", over).await;
}

/// Where a fault is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Everywhere,
    /// At the address over which the session is registered, of two.
    Ours,
    /// At the other one.
    Other,
}

const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The code that is told of what a user does while there is this fault; empty when nothing is.
async fn end(fault: Fault, code: String, place: Place) -> &'static str {
    let carrier = carrier(|carrier| match place {
        Place::Everywhere => carrier.fault(fault),
        // The first address is the one that is taken while nothing is wrong with it.
        Place::Ours | Place::Other => {
            let at = if place == Place::Ours { Ipv4Addr::LOCALHOST } else { SECOND };
            carrier.further_address(SECOND).fault_order(Order { at: Some(at.into()), ..Order::from(fault) })
        }
    })
    .await;
    let (mut configuration, files) = config(&carrier, "alice", |_| {});
    let name = fault.to_string();
    if code == "call.media-silent" {
        configuration.media.when_silent = WhenSilent::HangUp;
        configuration.timeouts.media_silent = Millis(1500);
    }
    if name == "media.wrong-key" || name.starts_with("call.crypto") {
        configuration.media.srtp = SrtpMode::Required;
    }
    if name == "call.nobody-answers" || name == "call.never-rings" {
        configuration.timeouts.call = Millis(1500);
    }
    let retry = if code == "call.unlicensed" { RetryMode::Supervised } else { RetryMode::Once };
    let mut client = Client::start_with(
        (configuration, files),
        StartOptions { seed: Some(1), retry, ..StartOptions::default() },
    );
    let stands = |kind: &EventKind| matches!(kind, EventKind::Ready { .. } | EventKind::EmergencyOnly { .. });
    client.until("ready", stands).await;
    match code.as_str() {
        "call.answered-elsewhere" => return answered_elsewhere(&carrier, client).await,
        "call.message-failed" => {
            client.session.message(TONE, "hello");
        }
        "call.licence-expired" => loop {
            client.session.call(CallRequest::to(ANNOUNCEMENT));
            let over =
                |kind: &EventKind| error(kind).is_some() || matches!(kind, EventKind::CallEnded { .. });
            if let Some(error) = error(&client.until("the end of a call of three seconds", over).await) {
                return error.code();
            }
        },
        _ => {
            let media = CallMedia { text: Some(true), ..CallMedia::default() };
            let call = client.session.call(CallRequest::to(TONE).with(media));
            match code.as_str() {
                "call.no-text" => {
                    established(&mut client).await;
                    client.session.send_text(call, "hello");
                }
                "call.transfer-failed" => {
                    established(&mut client).await;
                    client.session.transfer(call, ANNOUNCEMENT);
                }
                "call.change-refused" => {
                    established(&mut client).await;
                    client.session.hold(call);
                }
                // A call that goes through has nothing to tell.
                _ if place == Place::Other => {
                    established(&mut client).await;
                    return "";
                }
                _ => {}
            }
        }
    }
    if place == Place::Other {
        return not_hindered(&mut client).await;
    }
    first_error(&mut client).await
}

/// What was done within a call, or without one, has gone through.
async fn not_hindered(client: &mut Client) -> &'static str {
    let done = |kind: &EventKind| {
        error(kind).is_some()
            || matches!(
                kind,
                EventKind::MessageSent { .. } | EventKind::CallHold { .. } | EventKind::Transferred { .. }
            )
    };
    error(&client.until("what was asked for", done).await).map(CallError::code).unwrap_or_default()
}

/// What the called one is told when another device took the call.
async fn answered_elsewhere(carrier: &Carrier, mut bob: Client) -> &'static str {
    let alice = Client::ready(load(&carrier.generic_config("bob").unwrap())).await;
    alice.session.call(CallRequest::to("+15555550101"));
    first_error(&mut bob).await
}

/// What takes half a minute until it has a code, and where that is tested in simulated time.
const NOT_IN_REAL_TIME: [(&str, &str); 1] =
    [("sip.invite-vanishes", "z5-core: a_call_whose_invite_vanishes_times_out")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_call_ends_with_the_code_of_its_row() {
    let mut runs = JoinSet::new();
    let (mut names, mut wrong) = (HashMap::new(), BTreeMap::new());
    for (code, faults) in rows().into_iter().filter(|(code, _)| code.starts_with("call.")) {
        for name in faults.into_iter().filter(|name| NOT_IN_REAL_TIME.iter().all(|(known, _)| known != name))
        {
            let fault: Fault = name.parse().unwrap();
            let mut places = vec![(Place::Everywhere, code.clone())];
            // What is said about a call is said by the server whose flow it is, and by no other.
            if fault.has_address() && name.starts_with("sip.") {
                places.push((Place::Ours, code.clone()));
                places.push((Place::Other, String::new()));
            }
            for (place, wanted) in places {
                while runs.len() >= 5 {
                    note(runs.join_next_with_id().await, &names, &mut wrong);
                }
                let code = code.clone();
                let run = runs.spawn(async move { (wanted, end(fault, code, place).await.to_owned()) });
                names.insert(run.id(), format!("{name} {place:?}"));
            }
        }
    }
    while let Some(run) = runs.join_next_with_id().await {
        note(Some(run), &names, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_code_of_a_call_has_a_fault_that_provokes_it() {
    let rows = rows();
    let provoked: BTreeSet<&str> =
        rows.iter().map(|(code, _)| code.as_str()).filter(|code| code.starts_with("call.")).collect();
    let known: BTreeSet<&str> = CallError::CODES.iter().copied().collect();
    let excused: BTreeSet<&str> = NOT_BY_A_SERVER.iter().map(|(code, _)| *code).collect();
    let missing: Vec<_> =
        known.iter().filter(|code| !provoked.contains(*code) && !excused.contains(*code)).collect();
    assert!(missing.is_empty(), "without a fault: {missing:?}");
    assert!(provoked.is_subset(&known) && excused.is_subset(&known), "a row for a code that is none");
    assert!(provoked.is_disjoint(&excused), "excused without need");
}

/// The figures of the sound of a call of two and a half seconds to the far end that plays a tone.
async fn heard_through(fault: Fault, srtp: SrtpMode) -> StreamStats {
    let carrier = carrier(|carrier| carrier.fault(fault)).await;
    let (mut configuration, files) = config(&carrier, "alice", |_| {});
    configuration.media.srtp = srtp;
    let mut client = Client::ready((configuration, files)).await;
    let source = Tone::new(700.0, -10.0).lasting(Duration::from_millis(2500));
    let media = CallMedia { audio_in: AudioIn::Custom(Box::new(source)), ..CallMedia::default() };
    let call = client.session.call(CallRequest::to(TONE).with(media));
    let ended = |kind: &EventKind| matches!(kind, EventKind::SourceEnded { kind: MediaKind::Audio, .. });
    client.until("the end of our tone", ended).await;
    client.session.hangup(call);
    let ended = client.until("ended", |kind| matches!(kind, EventKind::CallEnded { .. })).await;
    let EventKind::CallEnded { report, .. } = ended else { unreachable!() };
    report.audio.expect("sound was carried")
}

/// Forged, doubled and foreign packets are counted and not heard; a stream that begins anew is heard on, and one that moves where its
/// key proves that it is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_only_a_nuisance_is_heard_through_and_counted() {
    let cases = [
        ("media.spoofed", SrtpMode::Off, Some(DropReason::ForeignSource)),
        ("media.spoofed", SrtpMode::Required, Some(DropReason::AuthenticationFailed)),
        ("media.wrong-ssrc", SrtpMode::Off, Some(DropReason::ForeignSsrc)),
        ("media.wrong-ssrc", SrtpMode::Required, Some(DropReason::AuthenticationFailed)),
        ("media.replayed", SrtpMode::Off, Some(DropReason::Duplicate)),
        ("media.replayed", SrtpMode::Required, Some(DropReason::Replayed)),
        ("media.reset", SrtpMode::Off, None),
        ("media.port-moves", SrtpMode::Required, None),
    ];
    let mut runs = JoinSet::new();
    for (name, srtp, reason) in cases {
        let fault = name.parse().unwrap();
        runs.spawn(async move { (name, srtp, reason, heard_through(fault, srtp).await) });
    }
    while let Some(run) = runs.join_next().await {
        let (name, srtp, reason, audio) = run.unwrap();
        let heard =
            audio.heard.as_ref().unwrap_or_else(|| panic!("{name} {srtp:?}: nothing heard: {audio:?}"));
        let hz = heard.dominant_hz.unwrap_or_default();
        assert!((hz - 1000.0).abs() < 5.0, "{name} {srtp:?}: {hz} Hz in {audio:?}");
        if let Some(reason) = reason {
            assert!(audio.dropped.get(&reason).is_some_and(|count| *count > 0), "{name} {srtp:?}: {audio:?}");
        }
    }
}
