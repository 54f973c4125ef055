//! A large address book: how long the first sync takes, and what it costs in memory. A mock carrier in this process, the client in
//! another, so that the memory is the client's own.
//!
//! `cargo run --release -p z5-tests --example contacts -- 10000` (Linux: memory is read from /proc).
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a program that reports what it measures in real time"
)]

use std::path::Path;
use std::time::Instant;

use z5_core::{Config, EventKind, Goal, Session, StartOptions};
use z5_mock::Carrier;

const ALICE: &str = "15555550101";

/// A figure of this process in KiB, such as `VmHWM` (the most that was resident).
fn memory_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// A card as telephones write them: some 450 bytes.
fn card(n: usize) -> String {
    format!(
        "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:uuid:00000000-0000-4000-8000-{n:012}\r\nFN:Given{n} Family{}\r\n\
         N:Family{};Given{n};;;\r\nORG:Organisation {};Department\r\nTEL;VALUE=uri;TYPE=\"cell,video\":tel:+1555{n:07}\r\n\
         TEL;VALUE=uri;TYPE=work:tel:+1444{n:07}\r\nEMAIL;TYPE=work:person{n}@example.test\r\n\
         ADR;TYPE=home:;;{n} Long Street;Town;State;12345;Country\r\nNOTE:Something that somebody wrote about person {n}\r\n\
         REV:20260101T000000Z\r\nX-SOURCE;X-N={n}:telephone\r\nEND:VCARD\r\n",
        n % 977,
        n % 977,
        n % 61
    )
}

fn client(config: &Path) {
    let config = Config::load(config).expect("the carrier's configuration is good");
    let options = StartOptions { goal: Goal::Contacts, seed: Some(1), ..StartOptions::default() };
    let before = memory_kib("VmRSS");
    let (session, mut events) = Session::start_with(config, options).expect("a session starts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut began, mut report, mut took) = (0.0, None, 0.0);
    runtime.block_on(async {
        while let Some(event) = events.next().await {
            match event.kind {
                EventKind::StepStarted { number: 3, .. } => began = event.at_ms,
                EventKind::ContactsSynced { report: told } => {
                    (report, took) = (Some(told), event.at_ms - began);
                }
                EventKind::Stopped { error: Some(error), .. } => println!("failed: {error}"),
                _ => {}
            }
        }
    });
    let report = report.expect("the address book is synced");
    let most = memory_kib("VmHWM");
    println!("{} contacts, first sync {took:.0} ms", report.contacts);
    println!("memory: {before} KiB before, {most} KiB at most: {} KiB more", most - before);
    let book = session.address_book();
    let began = Instant::now();
    let (mut found, rounds) = (0, 200_u32);
    for n in 0..rounds {
        found += book.search(&format!("given{n} fam")).len() + book.search(&format!("{:04}", n * 7)).len();
    }
    println!(
        "search: {:.2} ms each ({found} found)",
        began.elapsed().as_secs_f64() * 500.0 / f64::from(rounds)
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, config] = arguments.as_slice()
        && word == "client"
    {
        return client(Path::new(config));
    }
    let count: usize = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime for the carrier");
    let carrier = runtime.block_on(Carrier::builder().start()).expect("a carrier starts");
    for n in 0..count {
        carrier.address_books().put(ALICE, &format!("{n}.vcf"), &card(n));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = carrier.client_config("alice").expect("alice has an account");
    let config = config.write_to(folder.path()).expect("the configuration is written");
    let own = std::env::current_exe().expect("this program");
    let status =
        std::process::Command::new(own).arg("client").arg(&config).status().expect("the client runs");
    assert!(status.success(), "the client failed");
}
