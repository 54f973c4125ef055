//! A session of its own against a mock carrier of its own for a while, in this process: calls without end, registrations and licences
//! renewed, connections cut, servers away and back, the network said to be another. Prints what became of it and how much memory the
//! process has each minute; ends with status 1 when a call failed that should not have, or when memory or the number of open files grew.
//!
//! `cargo run --release -p z5-tests --example soak -- 20m` (Linux: memory is read from /proc).
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a program that reports what it measures in real time"
)]

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use z5_core::{
    AudioIn, CallMedia, CallRequest, Config, EventKind, Events, RetryMode, Session, SessionState,
    StartOptions,
};
use z5_mock::recorder::Service;
use z5_mock::{Carrier, Fault, LicenceOptions};

const ECHO: &str = "+15555550900";
/// How long a call lasts.
const CALL: Duration = Duration::from_secs(5);
/// Memory in use after this time is what growth is measured from: pools and caches have filled by then.
const WARM_UP: Duration = Duration::from_secs(60);
/// More than this is growth, in KiB.
const TOLERATED_KIB: u64 = 4096;
/// Open files that there may be more of from one minute to another: those of one call with sound and text are 24.
const TOLERATED_FILES: usize = 8;

#[derive(Default)]
struct Figures {
    calls: u64,
    heard: u64,
    failed: u64,
    lost_in_outage: u64,
    outages: u64,
    licences: u64,
}

/// Resident memory of this process, in KiB.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn tasks() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// `20m`, `90s`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.len().checked_sub(1)?);
    let number: u64 = number.parse().ok()?;
    match unit {
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        _ => None,
    }
}

/// What goes wrong in this minute, and comes right again before it is over.
async fn trouble(minute: u64, carrier: &Carrier, session: &Session, figures: &mut Figures) {
    let faults = carrier.faults();
    match minute % 4 {
        0 => carrier.cut_sip(Ipv4Addr::LOCALHOST.into()).await,
        1 => {
            faults.arm(Fault::Refuse(Service::Sip));
            carrier.cut_sip(Ipv4Addr::LOCALHOST.into()).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            faults.disarm(Fault::Refuse(Service::Sip));
        }
        2 => session.network_changed(),
        _ => {
            // The licence cannot be renewed for a while.
            faults.arm(Fault::Maintenance(Service::Mcs, None));
            tokio::time::sleep(Duration::from_secs(20)).await;
            faults.disarm(Fault::Maintenance(Service::Mcs, None));
        }
    }
    figures.outages += 1;
}

/// One call; true when it was heard.
async fn call(session: &Session, events: &mut Events, disturbed: bool, figures: &mut Figures) {
    // After an outage a session is back when it says so.
    while session.snapshot().state != SessionState::Ready {
        if events.next().await.is_none() {
            figures.failed += 1;
            return;
        }
    }
    let tone = AudioIn::Tone { hz: 1000.0, level_dbm0: -10.0 };
    let media = CallMedia { audio_in: tone, text: Some(true), ..CallMedia::default() };
    let call = session.call(CallRequest::to(ECHO).with(media));
    figures.calls += 1;
    let mut end = None;
    loop {
        let next = async {
            match end {
                Some(at) => tokio::time::timeout_at(at, events.next()).await,
                None => Ok(events.next().await),
            }
        };
        let Ok(event) = next.await else {
            end = None;
            session.hangup(call);
            continue;
        };
        let Some(event) = event else {
            figures.failed += 1;
            return;
        };
        match event.kind {
            EventKind::CallEstablished { call: of, .. } if of == call => {
                end = Some(tokio::time::Instant::now() + CALL);
                session.send_text(call, "hello");
            }
            EventKind::CallEnded { call: of, report, .. } if of == call => {
                let heard = report.audio.as_ref().and_then(|audio| audio.heard.as_ref());
                match heard.and_then(|heard| heard.dominant_hz).is_some_and(|hz| (hz - 1000.0).abs() < 5.0) {
                    true => figures.heard += 1,
                    false => figures.failed += 1,
                }
                return;
            }
            EventKind::CallFailed { call: of, error, .. } if of == call => {
                match disturbed {
                    true => figures.lost_in_outage += 1,
                    false => {
                        println!("a call failed: {error}");
                        figures.failed += 1;
                    }
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
                return;
            }
            EventKind::LicenceRenewed { .. } => figures.licences += 1,
            _ => {}
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let lasting =
        std::env::args().nth(1).and_then(|text| duration(&text)).unwrap_or(Duration::from_secs(20 * 60));
    let licence = LicenceOptions {
        lifetime: Duration::from_secs(600),
        refresh_after: Duration::from_secs(60),
        ..LicenceOptions::default()
    };
    let carrier = Carrier::builder()
        .seed(1)
        .granted_expires(Duration::from_secs(60))
        .licence(licence)
        .recorder_capacity(256)
        .start()
        .await
        .expect("the mock carrier starts");
    let folder = tempfile::tempdir().expect("a directory");
    let file = carrier.client_config("alice").and_then(|config| config.write_to(folder.path()).ok());
    let config = Config::load(file.expect("a configuration")).expect("a good configuration");
    let options = StartOptions { seed: Some(1), retry: RetryMode::Supervised, ..StartOptions::default() };
    let (session, mut events) = Session::start_with(config, options).expect("the session starts");
    while let Some(event) = events.next().await {
        if matches!(event.kind, EventKind::Ready { .. }) {
            break;
        }
    }
    let began = Instant::now();
    let (mut figures, mut minute, mut warm) = (Figures::default(), 0, None);
    // Between two calls, so that none is counted.
    let mut files = Vec::new();
    println!("minute  RSS KiB  threads  descriptors  calls  heard  lost in outages  failed");
    while began.elapsed() < lasting {
        let now = began.elapsed().as_secs() / 60;
        let disturbed = now > minute;
        if disturbed {
            minute = now;
            let resident = resident_kib().unwrap_or_default();
            println!(
                "{minute:>6}  {resident:>7}  {:>7}  {:>11}  {:>5}  {:>5}  {:>15}  {:>6}",
                tasks(),
                descriptors(),
                figures.calls,
                figures.heard,
                figures.lost_in_outage,
                figures.failed
            );
            if began.elapsed() >= WARM_UP && warm.is_none() {
                warm = Some(resident);
            }
            files.push(descriptors());
            let mut outage = Figures::default();
            let (run, trouble) = tokio::join!(
                call(&session, &mut events, true, &mut figures),
                trouble(minute, &carrier, &session, &mut outage)
            );
            let ((), ()) = (run, trouble);
            figures.outages += outage.outages;
            continue;
        }
        call(&session, &mut events, false, &mut figures).await;
    }
    let end = resident_kib();
    session.stop();
    while events.next().await.is_some() {}
    carrier.shutdown().await;
    let growth = warm.zip(end).map(|(warm, end)| end.saturating_sub(warm));
    println!(
        "{} s: {} calls, {} heard, {} lost in {} outages, {} failed; {} licences renewed",
        began.elapsed().as_secs(),
        figures.calls,
        figures.heard,
        figures.lost_in_outage,
        figures.outages,
        figures.failed,
        figures.licences
    );
    match growth {
        Some(growth) => {
            println!("memory grew by {growth} KiB after the first minute (tolerated: {TOLERATED_KIB})")
        }
        None => println!("memory was not measured"),
    }
    let (first, last) =
        (files.first().copied().unwrap_or_default(), files.last().copied().unwrap_or_default());
    println!(
        "open files: {first} after the first minute, {last} at the last (tolerated: {TOLERATED_FILES} more)"
    );
    let good = figures.failed == 0
        && last <= first + TOLERATED_FILES
        && growth.is_none_or(|growth| growth <= TOLERATED_KIB);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
