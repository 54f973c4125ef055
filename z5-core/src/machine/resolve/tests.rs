//! Step 1 with fake time: who is asked when, and what each silence or refusal ends as.

use std::time::{Duration, Instant};

use super::*;
use crate::clock;
use crate::config::Config;
use crate::session::StartOptions;

const FIRST: &str = "127.0.0.1:53";
const SECOND: &str = "127.0.0.2:53";

struct World {
    step: Resolving,
    out: Outbox<Effect>,
    now: Instant,
    /// Questions not answered yet, in the order asked.
    open: Vec<(LookupId, String, Record, SocketAddr, DnsTransport)>,
}

fn plan() -> Plan {
    let text = r#"
profile = "generic"
[dns]
servers = ["127.0.0.1:53", "127.0.0.2"]
[sip]
domain = "sip.test"
username = "a"
password = "b"
proxy = "sip.test:5060"
[timeouts]
dns = 4000
"#;
    let config = Config::parse(text, "z5.toml").unwrap();
    Plan::new(&config, &[], String::new(), &StartOptions::default()).unwrap()
}

impl World {
    fn new() -> Self {
        let (now, mut out) = (clock::now(), Outbox::new());
        let step = Resolving::begin(&plan(), 1, now, &mut out);
        let mut this = Self { step, out, now, open: Vec::new() };
        this.collect();
        this
    }

    fn collect(&mut self) {
        for effect in self.out.drain() {
            if let Effect::Lookup { id, name, record, server, transport, .. } = effect {
                self.open.push((id, name, record, server, transport));
            }
        }
    }

    /// Whom the open questions went to, as text.
    fn asked(&self) -> Vec<String> {
        let word =
            |(_, _, record, server, transport): &(LookupId, String, Record, SocketAddr, DnsTransport)| {
                format!("{} {} {server}", record.name(), transport.name())
            };
        self.open.iter().map(word).collect()
    }

    fn answer(&mut self, index: usize, outcome: Result<&[&str], LookupFailure>) -> Progress<Resolved> {
        let (id, ..) = self.open.remove(index);
        let outcome = outcome.map(|addresses| LookupAnswer {
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            ttl_s: 60,
            ..LookupAnswer::default()
        });
        let progress = self.step.on_looked(id, outcome, self.now, &mut self.out);
        self.collect();
        progress
    }

    fn wait(&mut self) -> Progress<Resolved> {
        self.now = self.step.next_deadline().unwrap().at;
        let progress = self.step.on_deadline(self.now, &mut self.out);
        self.collect();
        progress
    }

    /// Waits until the step is over.
    fn end(&mut self) -> &'static str {
        loop {
            if let Progress::Done(done) = self.wait() {
                return done.map_or_else(|error| error.code(), |_| "resolved");
            }
        }
    }
}

fn code(progress: Progress<Resolved>) -> &'static str {
    match progress {
        Progress::Going => "going",
        Progress::Done(done) => done.map_or_else(|error| error.code(), |_| "resolved"),
    }
}

#[test]
fn both_families_are_asked_at_once_and_the_order_of_addresses_is_kept() {
    let mut world = World::new();
    assert_eq!(world.asked(), [format!("A udp {FIRST}"), format!("AAAA udp {FIRST}")]);
    assert_eq!(code(world.answer(0, Ok(&["192.0.2.2", "192.0.2.1"]))), "going");
    let Progress::Done(Ok(resolved)) = world.answer(0, Ok(&["2001:db8::1"])) else {
        panic!("both families answered")
    };
    let addresses: Vec<String> =
        resolved.addresses("SIP.test.").unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.2", "192.0.2.1", "2001:db8::1"]);
    assert_eq!(resolved.names()[0].answers.len(), 2);
    // The versions of IP take turns (RFC 8305 section 4).
    let targets: Vec<String> = resolved.sip_targets().iter().map(ToString::to_string).collect();
    assert_eq!(targets, ["tcp [2001:db8::1]:5060", "tcp 192.0.2.2:5060", "tcp 192.0.2.1:5060"]);
}

#[test]
fn one_family_is_enough_and_the_other_is_waited_for_shortly() {
    let mut world = World::new();
    assert_eq!(code(world.answer(1, Err(LookupFailure::NoRecords))), "going");
    assert_eq!(code(world.answer(0, Ok(&["192.0.2.1"]))), "resolved");

    let mut world = World::new();
    world.answer(0, Ok(&["192.0.2.1"]));
    let before = world.now;
    assert_eq!(world.end(), "resolved");
    assert_eq!(world.now - before, FAMILY_GRACE);
}

#[test]
fn a_short_answer_and_a_silence_lead_to_tcp() {
    let mut world = World::new();
    world.answer(0, Err(LookupFailure::Truncated));
    assert_eq!(world.asked()[1], format!("A tcp {FIRST}"));

    let mut world = World::new();
    world.wait();
    assert_eq!(world.asked()[2..], [format!("A tcp {FIRST}"), format!("AAAA tcp {FIRST}")]);
    world.wait();
    assert_eq!(world.asked()[4..], [format!("A udp {SECOND}"), format!("AAAA udp {SECOND}")]);
    // The first server may still win.
    world.answer(0, Ok(&["192.0.2.1"]));
    assert_eq!(code(world.answer(0, Ok(&["2001:db8::1"]))), "resolved");
}

#[test]
fn an_answered_error_skips_the_same_server() {
    let mut world = World::new();
    world.answer(0, Err(LookupFailure::ServerFailed("SERVFAIL".into())));
    assert_eq!(world.asked()[1], format!("A udp {SECOND}"));
}

#[test]
fn each_failure_ends_as_itself() {
    let mut world = World::new();
    assert_eq!(code(world.answer(0, Err(LookupFailure::NameNotFound))), "resolve.name-not-found");

    let mut world = World::new();
    world.answer(0, Err(LookupFailure::NoRecords));
    assert_eq!(code(world.answer(0, Err(LookupFailure::NoRecords))), "resolve.no-records");

    for (failure, expected) in [
        (LookupFailure::Refused, "resolve.refused"),
        (LookupFailure::ServerFailed("SERVFAIL".into()), "resolve.server-failed"),
        (LookupFailure::Unreachable("connection refused".into()), "resolve.blocked"),
        (LookupFailure::TimedOut, "resolve.timed-out"),
    ] {
        let mut world = World::new();
        let mut last = "going";
        while last == "going" {
            last = code(world.answer(0, Err(failure.clone())));
        }
        assert_eq!(last, expected);
    }
}

#[test]
fn silence_ends_at_the_deadline() {
    let mut world = World::new();
    let began = world.now;
    assert_eq!(world.end(), "resolve.timed-out");
    assert_eq!(world.now - began, Duration::from_secs(4));
}

#[test]
fn a_name_in_the_table_is_not_asked() {
    let mut config = Config::parse(
        "profile = \"generic\"\n[sip]\ndomain=\"sip.test\"\nusername=\"a\"\npassword=\"b\"",
        "z",
    )
    .unwrap();
    config.dns.hosts.insert("sip.test".into(), vec!["192.0.2.9".parse().unwrap()]);
    let plan = Plan::new(&config, &[], String::new(), &StartOptions::default()).unwrap();
    let mut out = Outbox::new();
    let now = clock::now();
    let mut step = Resolving::begin(&plan, 1, now, &mut out);
    assert!(out.is_empty());
    assert_eq!(code(step.on_deadline(now, &mut out)), "resolved");
}

#[test]
fn a_name_that_has_what_it_needs_waits_for_the_others_in_silence() {
    let text = r#"
profile = "z5"
[dns]
servers = ["127.0.0.1:53"]
[names]
zdial = "zdial.test"
mcs_lb = "lb.test"
mcs = "mcs.test"
mcs_node1 = "mcs1.test"
mcs_node2 = "mcs2.test"
[zdial]
username = "a"
password = "b"
[licence]
issuer = "mcs"
audience = "z5"
keys = [{ kid = "k1", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }]
[timeouts]
dns = 4000
"#;
    let plan =
        Plan::new(&Config::parse(text, "z5.toml").unwrap(), &[], String::new(), &StartOptions::default())
            .unwrap();
    let (now, mut out) = (clock::now(), Outbox::new());
    let step = Resolving::begin(&plan, 1, now, &mut out);
    let mut world = World { step, out, now, open: Vec::new() };
    world.collect();
    // One family of one name answers; nobody else ever does.
    assert!(matches!(world.answer(0, Ok(&["192.0.2.1"])), Progress::Going));
    let mut turns = 0;
    while matches!(world.wait(), Progress::Going) {
        turns += 1;
        assert!(turns < 20, "a deadline that stays overdue keeps the driver busy");
    }
}

#[test]
fn a_closed_udp_port_does_not_cost_the_whole_step() {
    let (now, mut out) = (clock::now(), Outbox::new());
    let mut step = Resolving::begin(&plan(), 1, now, &mut out);
    let later = now + STAGGER;
    step.on_deadline(later, &mut out);
    for effect in out.drain() {
        let Effect::Lookup { transport, patience, .. } = effect else { continue };
        match transport {
            DnsTransport::Udp => assert_eq!(patience, UDP_PATIENCE),
            DnsTransport::Tcp => assert_eq!(patience, Duration::from_secs(4) - STAGGER),
        }
    }
}

/// Profile `generic` without a port: RFC 3263.
fn searching(transport: &str) -> World {
    let text = format!(
        "profile = \"generic\"\n[dns]\nservers = [\"127.0.0.1:53\"]\n[sip]\ndomain = \"sip.test\"\n\
         username = \"a\"\npassword = \"b\"\ntransport = \"{transport}\"\n[timeouts]\ndns = 6000\n"
    );
    let plan =
        Plan::new(&Config::parse(&text, "z5.toml").unwrap(), &[], String::new(), &StartOptions::default())
            .unwrap();
    let (now, mut out) = (clock::now(), Outbox::new());
    let step = Resolving::begin(&plan, 1, now, &mut out);
    let mut world = World { step, out, now, open: Vec::new() };
    world.collect();
    world
}

impl World {
    /// Answers the one question about this name and record.
    fn say(&mut self, question: &str, outcome: Result<LookupAnswer, LookupFailure>) -> Progress<Resolved> {
        let index = self
            .open
            .iter()
            .position(|(_, name, record, ..)| format!("{name} {}", record.name()) == question);
        let Some(index) = index else { panic!("nobody asked for {question}: {:?}", self.open) };
        let (id, ..) = self.open.remove(index);
        let progress = self.step.on_looked(id, outcome, self.now, &mut self.out);
        self.collect();
        progress
    }
}

fn srv(port: u16, target: &str) -> LookupAnswer {
    let record = z5_sip::locate::Srv { priority: 0, weight: 0, port, target: target.into() };
    LookupAnswer { srv: vec![record], ttl_s: 60, ..LookupAnswer::default() }
}

fn address(text: &str) -> LookupAnswer {
    LookupAnswer { addresses: vec![text.parse().unwrap()], ttl_s: 60, ..LookupAnswer::default() }
}

#[test]
fn a_domain_without_a_port_is_searched_by_srv_and_everything_asked_is_reported() {
    let mut world = searching("tls");
    world.say("_sips._tcp.sip.test SRV", Ok(srv(5071, "edge.sip.test.")));
    world.say("edge.sip.test AAAA", Err(LookupFailure::NoRecords));
    let Progress::Done(Ok(resolved)) = world.say("edge.sip.test A", Ok(address("192.0.2.1"))) else {
        panic!("all is answered")
    };
    let target = &resolved.sip_targets()[0];
    assert_eq!((target.to_string(), target.name.as_str()), ("tls 192.0.2.1:5071".to_owned(), "sip.test"));
    let reports: Vec<(&str, &str, usize)> = resolved
        .names()
        .iter()
        .flat_map(|report| {
            report.answers.iter().map(|answer| (report.name.as_str(), answer.record, answer.count))
        })
        .collect();
    assert_eq!(reports, [("_sips._tcp.sip.test", "SRV", 1), ("edge.sip.test", "A", 1)]);
}

#[test]
fn a_nameserver_that_swallows_naptr_and_srv_costs_their_patience_each() {
    let mut world = searching("auto");
    let began = world.now;
    while !world.open.iter().any(|(_, _, record, ..)| *record == Record::A) {
        assert_eq!(code(world.wait()), "going");
    }
    // NAPTR, then both SRV lookups side by side.
    assert_eq!(world.now - began, search::PATIENCE * 2);
    world.say("sip.test AAAA", Err(LookupFailure::NoRecords));
    let Progress::Done(Ok(resolved)) = world.say("sip.test A", Ok(address("192.0.2.1"))) else {
        panic!("the addresses of the name will do")
    };
    let targets: Vec<String> = resolved.sip_targets().iter().map(ToString::to_string).collect();
    assert_eq!(targets, ["udp 192.0.2.1:5060", "tcp 192.0.2.1:5060"]);
}

#[test]
fn a_domain_that_offers_no_sip_and_one_that_does_not_exist_are_told_apart() {
    let mut world = searching("tcp");
    assert_eq!(code(world.say("_sip._tcp.sip.test SRV", Ok(srv(0, ".")))), "resolve.no-sip-service");
    let mut world = searching("tcp");
    world.say("_sip._tcp.sip.test SRV", Err(LookupFailure::NameNotFound));
    assert_eq!(code(world.say("sip.test A", Err(LookupFailure::NameNotFound))), "resolve.name-not-found");
    let mut world = searching("auto");
    assert_eq!(world.end(), "resolve.timed-out");
}
