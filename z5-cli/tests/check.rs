//! `z5 check` against the mock carrier: all good, and one fault after the other with its verdict and its rule.

mod common;

use std::collections::BTreeSet;

use common::{Run, World, z5};
use serde_json::Value;
use z5_mock::{CertificateFault, Fault, Service};

const QUICK: [&str; 3] = ["check", "--patience", "700ms"];

/// Rows of a step.
fn rows(run: &Run, step: u64) -> Vec<&Value> {
    run.events.iter().filter(|row| row["event"] == "probe" && row["step"] == step).collect()
}

fn verdicts(run: &Run, step: u64) -> BTreeSet<&str> {
    rows(run, step).iter().filter_map(|row| row["verdict"].as_str()).collect()
}

#[test]
fn a_good_network_passes_row_by_row() {
    let world = World::new(&[]);
    let run = world.z5(&QUICK);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let result = run.result();
    assert_eq!((&result["verdict"], &result["failed"]), (&"ok".into(), &Value::Array(vec![])));
    assert_eq!(result["clock_is_right"], true);
    for step in 1..=4 {
        assert_eq!(verdicts(&run, step), BTreeSet::from(["reachable"]), "step {step}");
    }
    // every name over both, every name's certificate once, one address for SIP
    assert_eq!([1, 2, 3, 4].map(|step| rows(&run, step).len()), [10, 1, 4, 1], "{}", run.stdout);
    let zdial = rows(&run, 2)[0];
    assert!(zdial["detail"].as_str().unwrap().starts_with("answers 401 (Digest"), "{zdial}");
    assert!(zdial["latency_ms"].is_f64() && zdial["certificate"]["not_after_unix_s"].is_i64(), "{zdial}");
    assert!(rows(&run, 5).iter().all(|row| row["verdict"] != "blocked"), "{}", run.stdout);
}

/// Runs with a fault; nothing may have been asked of the services that costs an account something.
fn with(fault: Fault) -> Run {
    let world = World::new(&[fault]);
    let run = world.z5(&QUICK);
    assert_eq!((run.status, &run.result()["verdict"]), (1, &"failed".into()), "{fault}: {}", run.stdout);
    assert!(run.stderr.contains("check.failed") && run.stderr.contains("what to do"), "{}", run.stderr);
    run
}

#[test]
fn each_fault_has_its_verdict() {
    for (fault, step, verdict, closed) in [
        (Fault::Refuse(Service::Sip), 4, "refused", true),
        (Fault::Refuse(Service::Zdial), 2, "refused", true),
        (Fault::BlackHole(Service::Sip), 4, "silent", false),
        (Fault::Garbage(Service::Zdial), 2, "something-else", false),
        (Fault::Garbage(Service::Sip), 4, "something-else", false),
        (Fault::Reset(Service::Mcs), 3, "something-else", false),
        (Fault::Certificate(Service::Zdial, CertificateFault::Expired), 2, "wrong-certificate", false),
        (Fault::Certificate(Service::Mcs, CertificateFault::UnknownCa), 3, "wrong-certificate", false),
        (Fault::Redirect(Service::Zdial), 2, "something-else", false),
        (Fault::ServerError(Service::Zdial), 2, "wrong-answer", false),
        (Fault::NameNotFound, 1, "wrong-answer", false),
        (Fault::NameServerRefused, 1, "wrong-answer", false),
    ] {
        let run = with(fault);
        let row = rows(&run, step)[0];
        assert_eq!(row["verdict"], verdict, "{fault}: {row}");
        assert_eq!(row["rule"].is_object(), closed, "{fault}: {row}");
        if fault == Fault::Certificate(Service::Zdial, CertificateFault::Expired) {
            assert!(row["detail"].as_str().unwrap().contains("expired"), "{row}");
            assert!(row["certificate"]["not_after_unix_s"].is_i64(), "a bad certificate is shown too: {row}");
        }
    }
}

/// Whoever reads what failed is told what to do about that kind of failure, and where.
#[test]
fn each_kind_of_failure_has_its_own_remedy() {
    for (fault, remedy, advice, words) in [
        (Fault::Refuse(Service::Sip), "open-port", "check-network", "SIP lb.mcs"),
        (Fault::Garbage(Service::Zdial), "find-answerer", "check-network", "something else is there"),
        (Fault::Redirect(Service::Zdial), "sign-in-to-network", "check-network", "in a browser"),
        (Fault::ServerError(Service::Zdial), "wait-for-service", "retry-after", "the network is good"),
        (Fault::NameNotFound, "correct-name", "check-settings", "no such name"),
        (Fault::NameServerRefused, "other-nameserver", "check-settings", "under dns.servers"),
        (
            Fault::Certificate(Service::Zdial, CertificateFault::Expired),
            "renew-certificate",
            "ask-carrier",
            "must renew it",
        ),
        (
            Fault::Certificate(Service::Mcs, CertificateFault::UnknownCa),
            "believe-authority",
            "check-settings",
            "tls.ca_file",
        ),
        (
            Fault::Certificate(Service::Zdial, CertificateFault::WrongName),
            "correct-host",
            "check-settings",
            "for another name",
        ),
    ] {
        let world = World::new(&[fault]);
        // patient: what is slow on a busy machine is no failure
        let run = world.z5(&["check", "--patience", "10s"]);
        assert_eq!(run.status, 1, "{fault}: {}", run.stdout);
        let failed = run.result()["failed"].as_array().unwrap();
        assert!(failed.iter().any(|row| row["remedy"] == remedy), "{fault}: {failed:?}");
        assert_eq!(run.result()["failure"]["advice"], advice, "{fault}");
        let todo = run.stderr.split("what to do: ").nth(1).unwrap_or_default();
        assert!(todo.contains(words), "{fault}: {}", run.stderr);
        let mut good = run.events.iter().filter(|row| row["verdict"] == "reachable");
        assert!(good.all(|row| row["remedy"].is_null()), "{fault}");
    }
}

#[test]
fn a_blocked_udp_port_of_the_nameserver_is_seen_beside_tcp() {
    let run = with(Fault::UdpBlocked);
    let of = |protocol: &str| -> BTreeSet<&str> {
        let rows = rows(&run, 1).into_iter().filter(|row| row["protocol"] == protocol);
        rows.filter_map(|row| row["verdict"].as_str()).collect()
    };
    assert_eq!((of("udp"), of("tcp")), (BTreeSet::from(["timed-out"]), BTreeSet::from(["reachable"])));
    let rule = &rows(&run, 1)[0]["rule"];
    assert_eq!((&rule["protocol"], &rule["destination"]), (&"udp".into(), &"127.0.0.1".into()), "{rule}");
    // what TCP said is enough to go on
    assert_eq!(verdicts(&run, 2), BTreeSet::from(["reachable"]));
}

#[test]
fn a_plain_account_is_checked_over_each_transport() {
    let world = World::new(&[]);
    let (sip, sips) = (world.carrier.sip_addr(), world.carrier.sips_addr());
    let account = |proxy: String, transport: &str| {
        let file = world.folder.path().join(format!("{transport}.toml"));
        let text = format!(
            "profile = \"generic\"\n[dns]\nhosts = {{ \"{domain}\" = [\"127.0.0.1\"] }}\n[tls]\nca_file = \"ca.pem\"\n\
             [sip]\ndomain = \"{domain}\"\nusername = \"a\"\npassword = \"b\"\nproxy = \"{proxy}\"\ntransport = \"{transport}\"\n",
            domain = world.carrier.domain()
        );
        std::fs::write(&file, text).unwrap();
        z5(&["--config", file.to_str().unwrap(), "--json", "check", "--patience", "700ms"])
    };
    let domain = world.carrier.domain();
    for (proxy, transport) in [
        (format!("{domain}:{}", sip.port()), "udp"),
        (format!("{domain}:{}", sip.port()), "tcp"),
        (format!("{domain}:{}", sips.port()), "tls"),
    ] {
        let run = account(proxy, transport);
        assert_eq!(run.status, 0, "{transport}: {}\n{}", run.stderr, run.stdout);
        let sip = rows(&run, 4);
        assert_eq!(sip.len(), 1, "{transport}: {}", run.stdout);
        assert!(sip.iter().all(|row| row["verdict"] == "reachable"), "{transport}: {}", run.stdout);
        assert_eq!(verdicts(&run, 5), BTreeSet::from(["not-judged"]), "{transport}");
    }
}

#[test]
fn without_a_configuration_nothing_is_contacted() {
    let run = z5(&["check", "--json"]);
    assert_eq!(run.status, 2, "{}", run.stdout);
    assert_eq!(run.result()["failure"]["code"], "usage.no-configuration");
    assert_eq!(run.events.len(), 1);
    assert!(run.stderr.contains("--config"), "{}", run.stderr);
}

#[test]
fn the_readable_form_names_the_rule_and_the_next_command() {
    let world = World::new(&[Fault::Refuse(Service::Sip)]);
    let config = world.config_of("alice");
    let run = z5(&["--config", config.to_str().unwrap(), "check", "--patience", "700ms"]);
    let rule = format!("permit: outbound {} tcp 127.0.0.1", world.carrier.sip_addr().port());
    for words in ["ok     1 DNS", "FAILED 4 SIP", &rule, "clock  right", "FAIL  ", "firewall"] {
        assert!(run.stdout.contains(words), "no {words} in\n{}", run.stdout);
    }
}

#[test]
fn rules_of_a_configuration_have_addresses_when_its_nameservers_are_asked() {
    let world = World::new(&[]);
    let config = world.config_of("alice");
    let z5 = |more: &[&str]| {
        let mut all = vec!["--config", config.to_str().unwrap(), "firewall"];
        all.extend(more);
        z5(&all)
    };
    let names = z5(&["--format", "csv"]);
    assert!(names.stdout.lines().any(|line| line.starts_with("2,ZDial,") && !line.ends_with(",127.0.0.1")));
    let refused = z5(&["--format", "nftables"]);
    assert_eq!((refused.status, refused.stdout.as_str()), (2, ""));
    assert!(
        refused.stderr.contains("firewall.name") && refused.stderr.contains("--resolve"),
        "{}",
        refused.stderr
    );
    let rules = z5(&["--format", "nftables", "--resolve"]);
    let port = world.carrier.sip_addr().port();
    let sip = format!("ip daddr {{ 127.0.0.1 }} tcp dport {port} accept comment \"step 4: SIP\"");
    assert!(rules.status == 0 && rules.stdout.contains(&sip), "{}{}", rules.stdout, rules.stderr);
}

/// A domain whose servers only its records know.
#[test]
fn servers_that_srv_records_name_are_found_and_probed() {
    let world = World::new(&[]);
    let (sip, sips) = (world.carrier.sip_addr().port(), world.carrier.sips_addr().port());
    let file = world.folder.path().join("srv.toml");
    let text = format!(
        "profile = \"generic\"\n[dns]\nservers = [\"{}\"]\n[tls]\nca_file = \"ca.pem\"\n[sip]\ndomain = \"{}\"\n\
         username = \"a\"\npassword = \"b\"\ntransport = \"auto\"\n",
        world.carrier.dns_addr(),
        world.carrier.domain()
    );
    std::fs::write(&file, text).unwrap();
    let z5 = |more: &[&str]| {
        let mut all = vec!["--config", file.to_str().unwrap(), "--json"];
        all.extend(more);
        z5(&all)
    };
    let run = z5(&QUICK);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let places: BTreeSet<&str> = rows(&run, 4).iter().filter_map(|row| row["address"].as_str()).collect();
    let wanted = [format!("127.0.0.1:{sip}"), format!("127.0.0.1:{sips}")];
    assert_eq!(places, wanted.iter().map(String::as_str).collect(), "{}", run.stdout);
    let services = rows(&run, 1)
        .into_iter()
        .filter(|row| row["name"].as_str().is_some_and(|name| name.starts_with("_sip")));
    assert!(services.count() >= 2, "{}", run.stdout);
    let rules = z5(&["firewall", "--resolve"]);
    let ports: BTreeSet<u64> = rules.result()["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["step"] == 4)
        .filter_map(|rule| rule["first_port"].as_u64())
        .collect();
    assert_eq!(ports, BTreeSet::from([sip.into(), sips.into()]));
}

/// What the egress guard keeps a session from, it keeps a preflight from too.
#[test]
fn the_egress_guard_holds_a_preflight_as_well() {
    let world = World::new(&[]);
    let dns = world.carrier.dns_addr();
    world.append(&format!(
        "\n[egress]\nguard = \"policy\"\nallow = [\"udp 127.0.0.1:{0}\", \"tcp 127.0.0.1:{0}\"]\n",
        dns.port()
    ));
    let run = world.z5(&QUICK);
    assert_eq!(run.status, 1, "{}", run.stdout);
    assert_eq!(verdicts(&run, 1), BTreeSet::from(["reachable"]));
    for step in 2..=5 {
        for row in rows(&run, step) {
            assert_eq!((&row["verdict"], row["rule"].is_null()), (&"blocked".into(), true), "{row}");
            assert!(row["detail"].as_str().unwrap().contains("egress.guard"), "{row}");
        }
    }
    let contacted = world.carrier.recorder().entries();
    assert!(contacted.iter().all(|entry| entry.service == Service::Dns), "{contacted:?}");
}
