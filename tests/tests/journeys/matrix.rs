//! Step x fault x (every address, one of two): each row of the table in docs/mock.md ends with the code it names, and where only one
//! of two addresses has a fault that another server makes good, with a session that is ready. Step 5 is in `call_matrix`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use tokio::task::{self, JoinError, JoinSet};
use z5_core::config::{ContactsProtocol, Millis};
use z5_core::error::{ProvisionError, RegisterError, ResolveError, SignInError};
use z5_core::{EventKind, RetryMode, StartOptions};
use z5_mock::{ContactsBy, Fault, Order};

use crate::support::{Client, carrier, config, load};

/// Codes that no server can cause, and why.
const NOT_BY_A_SERVER: [(&str, &str); 9] = [
    ("resolve.invalid-name", "the configuration: config::tests"),
    ("resolve.no-nameservers", "the configuration: resolve::tests"),
    ("sign-in.tls-revoked", "z5 reads no revocation lists; the code is for platforms that do"),
    ("provision.tls-revoked", "as above"),
    ("register.tls-revoked", "as above"),
    ("sign-in.number-required", "several numbers and none chosen: faults::several_numbers_and_none_chosen"),
    ("sign-in.unknown-number", "a number of someone else: faults::a_number_of_someone_else"),
    (
        "sign-in.no-secure-proxy",
        "sip.transport = \"tls\" where there is none: faults::tls_where_the_carrier_has_none",
    ),
    ("register.tls-protocol", "a port that speaks no TLS: transports::every_bad_certificate_has_its_code"),
];

/// What does not hinder at one of two addresses, because the server at the other one is asked instead (RFC 8305, RFC 3263 section 4.3).
/// Everything else is said by a server that works: no other one is asked what it says.
fn is_passed_by(name: &str) -> bool {
    let (service, kind) = name.split_once('.').unwrap();
    let connection = [
        "refuse",
        "black-hole",
        "reset",
        "garbage",
        "slow",
        "cut",
        "reset-midway",
        "half-open",
        "unknown-ca",
    ]
    .contains(&kind)
        || kind.starts_with("certificate");
    match service {
        "dns" => ["refuse", "black-hole", "servfail", "refused"].contains(&kind),
        "zdial" | "mcs" => connection || kind == "server-error" || kind.starts_with("maintenance"),
        "sip" => {
            connection
                || ["drop-after-register", "register-status=503", "huge-body"].contains(&kind)
                || kind.starts_with("maintenance")
        }
        _ => false,
    }
}

/// What only somebody meets who looks for the address book by its domain.
fn by_domain(name: &str) -> bool {
    ["server", "not-offered", "path"].iter().any(|kind| name.starts_with(&format!("address-book.{kind}")))
}

/// Code and faults of each row.
pub(crate) fn rows() -> Vec<(String, Vec<String>)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/mock.md")).unwrap();
    let table = page.split("## Which fault leads to which code").nth(1).unwrap();
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    table
        .split("\n#")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            (words(cells[1]).remove(0), words(cells[2]))
        })
        .collect()
}

/// The code that a session with this fault ends with; empty when it becomes ready.
async fn end(fault: Fault, at_one_of_two: bool) -> String {
    let second = Ipv4Addr::new(127, 0, 0, 2);
    let carrier = carrier(|carrier| match at_one_of_two {
        true => carrier
            .further_address(second)
            .fault_order(Order { at: Some(Ipv4Addr::LOCALHOST.into()), ..Order::from(fault) }),
        false if by_domain(&fault.to_string()) => {
            carrier.contacts_by(&[ContactsBy::CardDavDomain]).fault(fault)
        }
        false => carrier.fault(fault),
    })
    .await;
    let name = fault.to_string();
    // What is seen only over TLS, or in SRV records, needs an account that is registered so.
    let over_tls = name.starts_with("sip.certificate") || name == "sip.unknown-ca";
    let (mut configuration, files) = match (name.as_str(), over_tls) {
        ("dns.no-sip-service", _) => load(&carrier.generic_config_by_name("alice", "tcp").unwrap()),
        (_, true) => load(&carrier.generic_config_by_name("alice", "tls").unwrap()),
        (_, false) => config(&carrier, "alice", |_| {}),
    };
    // What only the other ways to an address book meet.
    if name.starts_with("address-book.list-") {
        configuration.contacts.protocol = Some(ContactsProtocol::Xcard);
    } else if name == "address-book.elsewhere" {
        configuration.contacts.uri = Some(carrier.mcs_url());
    }
    let silent = ["black-hole", "slow", "half-open"].iter().any(|kind| name.ends_with(kind));
    if silent && !(at_one_of_two && is_passed_by(&name)) {
        let times = &mut configuration.timeouts;
        // Of the silent step alone: the others take what a busy machine makes them take.
        let time = match name.split('.').next() {
            Some("dns") => &mut times.dns,
            Some("zdial") => &mut times.sign_in,
            Some("mcs") => &mut times.provision,
            _ => &mut times.register,
        };
        *time = Millis(1500);
    }
    let options = StartOptions { seed: Some(1), retry: RetryMode::Once, ..StartOptions::default() };
    let mut client = Client::start_with((configuration, files), options);
    let is_over = |kind: &EventKind| matches!(kind, EventKind::Ready { .. } | EventKind::Stopped { .. });
    let end = client.until("an end", is_over).await;
    if let EventKind::Stopped { error: Some(error), .. } = end {
        error.code().to_owned()
    } else {
        String::new()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_every_step_ends_with_the_code_of_its_row() {
    let mut runs = JoinSet::new();
    let (mut names, mut wrong) = (HashMap::new(), BTreeMap::new());
    for (code, faults) in rows().into_iter().filter(|(code, _)| !code.starts_with("call.")) {
        for name in faults {
            let fault: Fault = name.parse().unwrap();
            let code = code.clone();
            // A few at a time: the deadlines of the silent ones are real.
            while runs.len() >= 5 {
                note(runs.join_next_with_id().await, &names, &mut wrong);
            }
            if fault.has_address() {
                let code = if is_passed_by(&name) { String::new() } else { code.clone() };
                let name = format!("{name} at one of two addresses");
                names.insert(runs.spawn(async move { (code, end(fault, true).await) }).id(), name);
            }
            names.insert(runs.spawn(async move { (code, end(fault, false).await) }).id(), name);
        }
    }
    while let Some(run) = runs.join_next_with_id().await {
        note(Some(run), &names, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What was wanted and what was seen, or the panic of a run.
type Run = Result<(task::Id, (String, String)), JoinError>;

/// Notes what went wrong, under the name of the run: all of it, for the one who has to mend it.
pub(crate) fn note(
    run: Option<Run>,
    names: &HashMap<task::Id, String>,
    wrong: &mut BTreeMap<String, String>,
) {
    let (id, why) = match run.unwrap() {
        Ok((_, (wanted, seen))) if wanted == seen => return,
        Ok((id, (wanted, seen))) => (id, format!("{seen:?} in place of {wanted:?}")),
        Err(panic) => (panic.id(), "it ended in a panic, which is above".to_owned()),
    };
    wrong.insert(names.get(&id).cloned().unwrap_or_default(), why);
}

#[test]
fn every_code_of_steps_1_to_4_has_a_fault_that_provokes_it() {
    let rows = rows();
    let provoked: BTreeSet<&str> =
        rows.iter().map(|(code, _)| code.as_str()).filter(|code| !code.starts_with("call.")).collect();
    let known: BTreeSet<&str> =
        [ResolveError::CODES, SignInError::CODES, ProvisionError::CODES, RegisterError::CODES]
            .concat()
            .into_iter()
            .collect();
    let excused: BTreeSet<&str> = NOT_BY_A_SERVER.iter().map(|(code, _)| *code).collect();
    let missing: Vec<_> =
        known.iter().filter(|code| !provoked.contains(*code) && !excused.contains(*code)).collect();
    assert!(missing.is_empty(), "without a fault: {missing:?}");
    assert!(provoked.is_subset(&known) && excused.is_subset(&known), "a row for a code that is none");
    assert!(rows.iter().all(|(_, faults)| !faults.is_empty()));
}

#[test]
fn every_fault_has_a_code_or_a_row_that_says_what_is_made_of_it() {
    let coded = rows().into_iter().flat_map(|(_, faults)| faults);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/mock.md")).unwrap();
    let table = page.split("### Faults that have no code\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let first_cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split('|').next());
    let overcome = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned));
    let stem = |name: String| name.split('=').next().unwrap_or_default().to_owned();
    let (coded, overcome): (BTreeSet<_>, BTreeSet<_>) = (coded.map(stem).collect(), overcome.collect());
    let all: BTreeSet<String> = Fault::all().into_iter().map(|fault| stem(fault.to_string())).collect();
    let told: BTreeSet<String> = coded.union(&overcome).cloned().collect();
    let missing: Vec<_> = all.difference(&told).collect();
    assert!(missing.is_empty(), "in neither table: {missing:?}");
    assert!(overcome.is_subset(&all) && coded.is_disjoint(&overcome), "{overcome:?}");
}

/// The guard of z5-core holds on the wire too: nothing reaches a carrier that is outside the policy, step by step.
#[tokio::test]
async fn nothing_leaves_for_a_destination_outside_the_policy() {
    use z5_core::egress::GuardMode;
    for (allow, code) in [
        (&[][..], "resolve.blocked"),
        (&["udp 127.0.0.1:1-65535"][..], "sign-in.unreachable"),
        (&["udp 127.0.0.1:1-65535", "tcp 127.0.0.0/8:1-65535"][..], ""),
    ] {
        let carrier = carrier(|carrier| carrier).await;
        let (mut configuration, files) = config(&carrier, "alice", |_| {});
        configuration.egress.guard = GuardMode::Policy;
        configuration.egress.allow = allow.iter().map(|text| text.parse().unwrap()).collect();
        let options = StartOptions { seed: Some(1), retry: RetryMode::Once, ..StartOptions::default() };
        let mut client = Client::start_with((configuration, files), options);
        let is_over = |kind: &EventKind| matches!(kind, EventKind::Ready { .. } | EventKind::Stopped { .. });
        let end = client.until("an end", is_over).await;
        let seen = if let EventKind::Stopped { error: Some(error), .. } = end { error.code() } else { "" };
        assert_eq!(seen, code);
        assert_eq!(carrier.recorder().entries().is_empty(), code == "resolve.blocked");
    }
}
