//! RFC 3263 section 4 case by case: a zone answers at once, and the targets are compared as text.

use super::*;

/// What a zone says, by question.
#[derive(Default)]
struct Zone(BTreeMap<String, Result<Answer, Miss>>);

impl Zone {
    fn naptr(mut self, name: &str, records: &[(u16, u16, &str, &str)]) -> Self {
        let naptr = |(order, preference, service, replacement): &(u16, u16, &str, &str)| Naptr {
            order: *order,
            preference: *preference,
            flags: "s".to_owned(),
            service: (*service).to_owned(),
            regexp: String::new(),
            replacement: (*replacement).to_owned(),
        };
        let answer = Answer { naptr: records.iter().map(naptr).collect(), ..Answer::default() };
        self.0.insert(format!("{name} NAPTR"), Ok(answer));
        self
    }

    fn srv(mut self, name: &str, records: &[(u16, u16, u16, &str)]) -> Self {
        let srv = |(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
            priority: *priority,
            weight: *weight,
            port: *port,
            target: (*target).to_owned(),
        };
        let answer = Answer { srv: records.iter().map(srv).collect(), ..Answer::default() };
        self.0.insert(format!("{name} SRV"), Ok(answer));
        self
    }

    fn host(mut self, name: &str, addresses: &[&str]) -> Self {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        for (kind, v4) in [("A", true), ("AAAA", false)] {
            let own: Vec<IpAddr> =
                addresses.iter().copied().filter(|address| address.is_ipv4() == v4).collect();
            if !own.is_empty() {
                self.0.insert(format!("{name} {kind}"), Ok(Answer { addresses: own, ..Answer::default() }));
            }
        }
        self
    }

    fn fails(mut self, question: &str) -> Self {
        self.0.insert(question.to_owned(), Err(Miss::Failed("SERVFAIL".to_owned())));
        self
    }

    /// A name that is there in some way has no record; any other does not exist.
    fn answer(&self, question: &Question) -> Result<Answer, Miss> {
        let known = |key: &String| key.split(' ').next().is_some_and(|name| name == question.name);
        match self.0.get(&question.to_string()) {
            Some(answer) => answer.clone(),
            None if self.0.keys().any(known) => Err(Miss::NoRecords),
            None => Err(Miss::NameNotFound),
        }
    }
}

fn example() -> Zone {
    Zone::default()
        .naptr(
            "example.com",
            &[
                (50, 50, "SIPS+D2T", "_sips._tcp.example.com."),
                (90, 50, "SIP+D2T", "_sip._tcp.example.com"),
                (100, 50, "SIP+D2U", "_sip._udp.example.com"),
            ],
        )
        .srv(
            "_sips._tcp.example.com",
            &[(0, 1, 5061, "server1.example.com."), (1, 1, 5071, "server2.example.com")],
        )
        .srv(
            "_sip._tcp.example.com",
            &[(0, 1, 5060, "server1.example.com"), (1, 1, 5070, "server2.example.com")],
        )
        .srv("_sip._udp.example.com", &[(0, 1, 5060, "server2.example.com")])
        .host("server1.example.com", &["192.0.2.1", "2001:db8::1"])
        .host("server2.example.com", &["192.0.2.2"])
        .host("example.com", &["192.0.2.9"])
}

const ALL: &[Transport] = &[Transport::Tls, Transport::Tcp, Transport::Udp];
const PLAIN: &[Transport] = &[Transport::Tcp, Transport::Udp];

/// Runs a search to its end; the questions in the order in which they were asked come along.
fn search(
    destination: Destination,
    able: Abilities,
    zone: &Zone,
) -> (Vec<String>, Result<Vec<Target>, LocateError>) {
    let mut locator = Locator::new(destination, able, Ident::from_seed(1));
    let mut out = Outbox::new();
    let mut asked = Vec::new();
    locator.handle(Input::Begin, &mut out);
    while let Some(effect) = out.pop() {
        match effect {
            Effect::Ask(question) => {
                asked.push(question.to_string());
                let outcome = zone.answer(&question);
                locator.handle(Input::Answered { question, outcome }, &mut out);
            }
            Effect::Located(targets) => {
                assert!(out.is_empty() && locator.is_done() && !targets.is_empty());
                return (asked, Ok(targets));
            }
            Effect::Failed(error) => {
                assert!(out.is_empty() && locator.is_done());
                return (asked, Err(error));
            }
        }
    }
    panic!("the search has no end: {locator:?}");
}

fn texts(targets: Result<Vec<Target>, LocateError>) -> Vec<String> {
    match targets {
        Ok(targets) => targets.iter().map(Target::to_string).collect(),
        Err(error) => vec![format!("error: {error}")],
    }
}

fn of(uri: &str, able: &[Transport], zone: &Zone) -> (Vec<String>, Vec<String>) {
    let uri: crate::wire::Uri = uri.parse().unwrap();
    let destination = Destination::of(uri.as_ref()).unwrap();
    let (asked, targets) = search(destination, Abilities::over(able), zone);
    (asked, texts(targets))
}

/// Section 4.1 and 4.2 as a table: URI, our transports, what is asked, where it goes.
#[test]
fn every_case_of_rfc_3263_section_4() {
    let zone = example();
    let plain = Zone::default().host("h.example.com", &["192.0.2.5"]);
    let no_naptr = Zone::default()
        .srv("_sip._tcp.d.example", &[(0, 0, 5080, "s.example.com")])
        .srv("_sip._udp.d.example", &[(0, 0, 5090, "s.example.com")])
        .srv("_sips._tcp.d.example", &[(0, 0, 5091, "s.example.com")])
        .host("s.example.com", &["192.0.2.7"]);
    type Case<'a> = (&'a str, &'a [Transport], &'a Zone, &'a [&'a str], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        // 4.1: a transport parameter is used; 4.2: numeric, so neither SRV nor A.
        ("sip:192.0.2.44;transport=tcp", PLAIN, &zone, &[], &["tcp 192.0.2.44:5060"]),
        ("sip:192.0.2.44:5071;transport=tls", ALL, &zone, &[], &["tls 192.0.2.44:5071"]),
        // 4.1: numeric without transport: UDP for sip, TLS over TCP for sips.
        ("sip:192.0.2.44", PLAIN, &zone, &[], &["udp 192.0.2.44:5060", "tcp 192.0.2.44:5060"]),
        ("sip:192.0.2.44:5062", &[Transport::Tcp], &zone, &[], &["tcp 192.0.2.44:5062"]),
        ("sip:[2001:db8::44]:5062", &[Transport::Udp], &zone, &[], &["udp [2001:db8::44]:5062"]),
        ("sips:192.0.2.44", ALL, &zone, &[], &["tls 192.0.2.44:5061"]),
        // 4.1: a port without transport: UDP for sip, TLS for sips; 4.2: A and AAAA, no SRV.
        (
            "sip:h.example.com:5062",
            PLAIN,
            &plain,
            &["h.example.com AAAA", "h.example.com A"],
            &["udp 192.0.2.5:5062", "tcp 192.0.2.5:5062"],
        ),
        (
            "sips:h.example.com:5062",
            ALL,
            &plain,
            &["h.example.com AAAA", "h.example.com A"],
            &["tls 192.0.2.5:5062"],
        ),
        // 4.2: a transport without port: its SRV records, no NAPTR.
        (
            "sip:example.com;transport=udp",
            ALL,
            &zone,
            &["_sip._udp.example.com SRV", "server2.example.com AAAA", "server2.example.com A"],
            &["udp 192.0.2.2:5060"],
        ),
        (
            "sip:example.com;transport=tls",
            ALL,
            &zone,
            &[
                "_sips._tcp.example.com SRV",
                "server1.example.com AAAA",
                "server1.example.com A",
                "server2.example.com AAAA",
                "server2.example.com A",
            ],
            &["tls [2001:db8::1]:5061", "tls 192.0.2.1:5061", "tls 192.0.2.2:5071"],
        ),
        // the same for sips with transport=tcp, which means TLS (RFC 3261 section 26.2.2)
        (
            "sips:example.com;transport=tcp",
            ALL,
            &zone,
            &[
                "_sips._tcp.example.com SRV",
                "server1.example.com AAAA",
                "server1.example.com A",
                "server2.example.com AAAA",
                "server2.example.com A",
            ],
            &["tls [2001:db8::1]:5061", "tls 192.0.2.1:5061", "tls 192.0.2.2:5071"],
        ),
        // 4.1: NAPTR, and what we cannot do is left out; the server's order wins over ours.
        (
            "sip:example.com",
            &[Transport::Udp, Transport::Tcp],
            &zone,
            &[
                "example.com NAPTR",
                "_sip._tcp.example.com SRV",
                "_sip._udp.example.com SRV",
                "server1.example.com AAAA",
                "server1.example.com A",
                "server2.example.com AAAA",
                "server2.example.com A",
            ],
            &["tcp [2001:db8::1]:5060", "tcp 192.0.2.1:5060", "tcp 192.0.2.2:5070", "udp 192.0.2.2:5060"],
        ),
        // 4.1: for sips only SIPS+D2T is left.
        (
            "sips:example.com",
            ALL,
            &zone,
            &[
                "example.com NAPTR",
                "_sips._tcp.example.com SRV",
                "server1.example.com AAAA",
                "server1.example.com A",
                "server2.example.com AAAA",
                "server2.example.com A",
            ],
            &["tls [2001:db8::1]:5061", "tls 192.0.2.1:5061", "tls 192.0.2.2:5071"],
        ),
        // 4.1: no NAPTR: an SRV query for each transport, in our order; _sips only for sips.
        (
            "sip:d.example",
            ALL,
            &no_naptr,
            &[
                "d.example NAPTR",
                "_sip._tcp.d.example SRV",
                "_sip._udp.d.example SRV",
                "s.example.com AAAA",
                "s.example.com A",
            ],
            &["tcp 192.0.2.7:5080", "udp 192.0.2.7:5090"],
        ),
        (
            "sips:d.example",
            ALL,
            &no_naptr,
            &["d.example NAPTR", "_sips._tcp.d.example SRV", "s.example.com AAAA", "s.example.com A"],
            &["tls 192.0.2.7:5091"],
        ),
        // 4.2: neither: the addresses of the name on the default port, UDP for sip and TLS for sips.
        (
            "sip:h.example.com",
            PLAIN,
            &plain,
            &[
                "h.example.com NAPTR",
                "_sip._tcp.h.example.com SRV",
                "_sip._udp.h.example.com SRV",
                "h.example.com AAAA",
                "h.example.com A",
            ],
            &["udp 192.0.2.5:5060", "tcp 192.0.2.5:5060"],
        ),
        (
            "sips:h.example.com",
            ALL,
            &plain,
            &["h.example.com NAPTR", "_sips._tcp.h.example.com SRV", "h.example.com AAAA", "h.example.com A"],
            &["tls 192.0.2.5:5061"],
        ),
        (
            "sip:h.example.com;transport=tcp",
            PLAIN,
            &plain,
            &["_sip._tcp.h.example.com SRV", "h.example.com AAAA", "h.example.com A"],
            &["tcp 192.0.2.5:5060"],
        ),
        // 4: maddr is the target, the name stays the domain's.
        ("sip:example.com;maddr=192.0.2.77;transport=tcp", PLAIN, &zone, &[], &["tcp 192.0.2.77:5060"]),
    ];
    for (uri, able, zone, asked, targets) in cases {
        let (was_asked, found) = of(uri, able, zone);
        assert_eq!(
            (was_asked.as_slice(), found.as_slice()),
            (to_strings(asked).as_slice(), to_strings(targets).as_slice()),
            "{uri}"
        );
    }
}

fn to_strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_target_says_its_name_and_where_it_came_from() {
    let destination = Destination::new("Example.COM.", None, Some(Transport::Tls));
    let (_, targets) = search(destination, Abilities::over(ALL), &example());
    let targets = targets.unwrap();
    // RFC 5922 section 4: the certificate is for the domain, not for the SRV record's host.
    assert!(targets.iter().all(|target| target.name == "example.com"));
    let origin = Origin::Srv {
        service: "_sips._tcp.example.com".to_owned(),
        host: "server1.example.com".to_owned(),
        priority: 0,
        weight: 1,
    };
    assert_eq!(targets[0].origin, origin);
    let numeric = Destination::new("[::1]", Some(5061), Some(Transport::Tls));
    let (_, targets) = search(numeric, Abilities::over(ALL), &Zone::default());
    let targets = targets.unwrap();
    assert_eq!((targets[0].name.as_str(), &targets[0].origin), ("::1", &Origin::Given));
    let uri: crate::wire::Uri = "sips:example.com;maddr=192.0.2.7".parse().unwrap();
    let (_, targets) = search(Destination::of(uri.as_ref()).unwrap(), Abilities::over(ALL), &Zone::default());
    assert_eq!(targets.unwrap()[0].name, "example.com");
}

#[test]
fn what_cannot_be_is_an_error_with_its_reason() {
    let refused = |uri: &str, able: &[Transport]| {
        let uri: crate::wire::Uri = uri.parse().unwrap();
        let destination = match Destination::of(uri.as_ref()) {
            Ok(destination) => destination,
            Err(error) => return error,
        };
        search(destination, Abilities::over(able), &Zone::default()).1.unwrap_err()
    };
    let unsupported = |transport: &str| LocateError::Unsupported { transport: transport.to_owned() };
    assert_eq!(refused("sip:example.com;transport=pigeon", ALL), unsupported("pigeon"));
    assert_eq!(refused("sip:example.com;transport=sctp", ALL), unsupported("sctp"));
    assert_eq!(refused("sips:example.com;transport=udp", ALL), unsupported("sips over this transport"));
    assert_eq!(refused("sips:example.com", PLAIN), unsupported("sips"));
    assert_eq!(refused("sip:example.com", &[]), unsupported("sip"));
    assert_eq!(refused("tel:+15555550101", ALL), LocateError::NoHost);
    let name = "example.com".to_owned();
    assert_eq!(refused("sip:example.com", ALL), LocateError::NameNotFound { name });
}

#[test]
fn a_service_that_is_not_offered_is_not_looked_for_elsewhere() {
    let zone = example()
        .srv("_sip._tcp.example.com", &[(0, 0, 0, ".")])
        .srv("_sip._udp.example.com", &[(0, 0, 5060, ".")]);
    let (asked, targets) = of("sip:example.com", PLAIN, &zone);
    assert_eq!(targets, ["error: `example.com` says that it offers no SIP"]);
    assert!(!asked.iter().any(|question| question.ends_with(" A")), "{asked:?}");
    let zone = example().srv("_sip._tcp.example.com", &[(0, 0, 0, ".")]);
    assert_eq!(of("sip:example.com", PLAIN, &zone).1, ["udp 192.0.2.2:5060"]);
}

#[test]
fn records_of_other_applications_are_passed_over() {
    let mut zone = example();
    let mut foreign = Answer::default();
    for (flags, service, regexp, replacement) in [
        ("u", "E2U+sip", "!^.*$!sip:info@example.com!", "."),
        ("a", "SIP+D2T", "", "server1.example.com"),
        ("s", "SIP+D2T", "!x!y!", "_sip._tcp.example.com"),
        ("s", "SIP+D2T", "", "."),
        ("s", "SIP+D2X", "", "_sip._x.example.com"),
        ("S", "sip+d2u", "", "_sip._udp.example.com"),
    ] {
        foreign.naptr.push(Naptr {
            order: 1,
            preference: 1,
            flags: flags.to_owned(),
            service: service.to_owned(),
            regexp: regexp.to_owned(),
            replacement: replacement.to_owned(),
        });
    }
    zone.0.insert("example.com NAPTR".to_owned(), Ok(foreign));
    assert_eq!(of("sip:example.com", PLAIN, &zone).1, ["udp 192.0.2.2:5060"]);
}

#[test]
fn addresses_that_came_along_are_not_asked_for() {
    let mut zone = example();
    let mut answer =
        zone.answer(&Question { name: "_sip._udp.example.com".to_owned(), kind: RecordKind::Srv }).unwrap();
    answer.additional = vec![("Server2.Example.com.".to_owned(), "192.0.2.22".parse().unwrap())];
    zone.0.insert("_sip._udp.example.com SRV".to_owned(), Ok(answer));
    let (asked, targets) = of("sip:example.com;transport=udp", ALL, &zone);
    assert_eq!(asked, ["_sip._udp.example.com SRV", "server2.example.com AAAA"]);
    assert_eq!(targets, ["udp 192.0.2.22:5060"]);
}

#[test]
fn a_failing_nameserver_is_told_when_nothing_else_was_found() {
    let failing = ["example.com NAPTR", "_sip._tcp.example.com SRV", "_sip._udp.example.com SRV"];
    let zone = failing.iter().fold(example(), |zone, question| zone.fails(question));
    // The name's own addresses are still a way (RFC 3263 section 4.2).
    assert_eq!(of("sip:example.com", PLAIN, &zone).1, ["udp 192.0.2.9:5060", "tcp 192.0.2.9:5060"]);
    let zone = zone.fails("example.com A").fails("example.com AAAA");
    let (_, targets) = of("sip:example.com", PLAIN, &zone);
    assert_eq!(targets, ["error: `example.com` cannot be looked up: SERVFAIL"]);
    let zone = Zone::default().srv("_sip._tcp.example.com", &[(0, 0, 5060, "gone.example.com")]);
    assert_eq!(of("sip:example.com", PLAIN, &zone).1, ["error: `example.com` has no address"]);
}

#[test]
fn only_the_versions_of_ip_that_we_have_are_asked_for() {
    let able = Abilities { transports: PLAIN.to_vec(), ipv4: true, ipv6: false };
    let destination = Destination::new("server1.example.com", Some(5060), Some(Transport::Tcp));
    let (asked, targets) = search(destination, able, &example());
    assert_eq!(
        (asked, texts(targets)),
        (to_strings(&["server1.example.com A"]), to_strings(&["tcp 192.0.2.1:5060"]))
    );
}

#[test]
fn time_up_uses_what_is_there() {
    let destination = Destination::new("server1.example.com", Some(5060), Some(Transport::Tcp));
    let mut locator = Locator::new(destination.clone(), Abilities::over(PLAIN), Ident::from_seed(1));
    let mut out = Outbox::new();
    locator.handle(Input::Begin, &mut out);
    let question = Question { name: "server1.example.com".to_owned(), kind: RecordKind::A };
    let outcome = example().answer(&question);
    let answered = Input::Answered { question, outcome };
    locator.handle(answered.clone(), &mut out);
    locator.handle(Input::TimeUp, &mut out);
    let last = out.drain().last().unwrap();
    assert!(matches!(&last, Effect::Located(targets) if targets.len() == 1), "{last:?}");
    let waiting: Vec<bool> = locator.lookups().iter().map(|lookup| lookup.outcome.is_none()).collect();
    assert_eq!(waiting, [true, false]);
    // A late or repeated answer changes nothing, nor does a second beginning.
    for input in [answered, Input::Begin, Input::TimeUp] {
        locator.handle(input, &mut out);
        assert!(out.is_empty());
    }
    let mut silent = Locator::new(destination, Abilities::over(PLAIN), Ident::from_seed(1));
    silent.handle(Input::Begin, &mut out);
    silent.handle(Input::TimeUp, &mut out);
    let error = LocateError::LookupFailed { name: "server1.example.com".into(), why: "no answer".into() };
    assert_eq!(out.drain().last(), Some(Effect::Failed(error)));
}

#[test]
fn lists_are_bounded_and_hold_nothing_twice() {
    let names: Vec<String> = (0..100).map(|n| format!("s{n}.example.com")).collect();
    let records: Vec<(u16, u16, u16, &str)> =
        names.iter().enumerate().map(|(n, name)| (n as u16, 0, 5060, name.as_str())).collect();
    let mut zone = Zone::default().srv("_sip._tcp.example.com", &records);
    for name in &names {
        zone = zone.host(name, &["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    }
    let (asked, targets) = of("sip:example.com;transport=tcp", PLAIN, &zone);
    assert_eq!(asked.len(), 1 + 2 * MAX_HOSTS);
    assert_eq!(targets.len(), 3);
    let many: Vec<String> = (1..200).map(|n| format!("192.0.2.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let zone = Zone::default().host("example.com", &many);
    assert_eq!(of("sip:example.com:5060;transport=tcp", PLAIN, &zone).1.len(), MAX_TARGETS);
}

#[test]
fn an_end_that_has_only_tls_asks_for_sips() {
    let (asked, targets) =
        of("sip:d.example", &[Transport::Tls], &Zone::default().host("d.example", &["192.0.2.8"]));
    assert_eq!(asked[..2], ["d.example NAPTR", "_sips._tcp.d.example SRV"]);
    assert_eq!(targets, ["tls 192.0.2.8:5061"]);
}

proptest::proptest! {
    /// Whatever a zone says: the search ends, asks a bounded number of questions and none twice, and its list is bounded.
    #[test]
    fn every_zone_has_an_end(
        services in proptest::collection::vec((0_usize..4, 0_u16..3, 0_u16..3, 0_u16..2, 0_usize..12), 0..40),
        hosts in proptest::collection::vec((0_usize..12, proptest::collection::vec(0_u8..5, 0..5)), 0..12),
        naptr in proptest::collection::vec((0_u16..3, 0_u16..3, 0_usize..7, 0_usize..5), 0..12),
        broken in proptest::collection::vec(0_usize..8, 0..4),
        secure in proptest::bool::ANY,
    ) {
        let names = ["_sips._tcp.example.com", "_sip._tcp.example.com", "_sip._udp.example.com", "_x.example.com", "."];
        let words = ["SIPS+D2T", "SIP+D2T", "SIP+D2U", "SIP+D2S", "SIPS+D2W", "E2U+sip", ""];
        let host = |n: usize| if n == 0 { ".".to_owned() } else { format!("h{n}.example.com") };
        let mut zone = Zone::default();
        let records: Vec<_> = naptr.iter().map(|(o, p, w, n)| (*o, *p, words[*w], names[*n])).collect();
        zone = zone.naptr("example.com", &records);
        for (index, name) in names.iter().enumerate().take(4) {
            let of_it: Vec<(u16, u16, u16, String)> = services
                .iter()
                .filter(|(service, ..)| *service == index)
                .map(|(_, priority, weight, port, target)| (*priority, *weight, *port * 5060, host(*target)))
                .collect();
            let of_it: Vec<_> = of_it.iter().map(|(a, b, c, target)| (*a, *b, *c, target.as_str())).collect();
            zone = zone.srv(name, &of_it);
        }
        for (name, addresses) in &hosts {
            let texts: Vec<String> = addresses
                .iter()
                .map(|n| if *n == 0 { "2001:db8::1".to_owned() } else { format!("192.0.2.{n}") })
                .collect();
            zone = zone.host(&host(*name), &texts.iter().map(String::as_str).collect::<Vec<_>>());
        }
        for index in broken {
            let question = ["example.com NAPTR", "_sips._tcp.example.com SRV", "_sip._tcp.example.com SRV",
                "_sip._udp.example.com SRV", "h1.example.com A", "h1.example.com AAAA", "example.com A", "h2.example.com A"][index];
            zone = zone.fails(question);
        }
        let destination = Destination::new("example.com", None, None);
        let destination = if secure { destination.secure() } else { destination };
        let (asked, targets) = search(destination, Abilities::over(ALL), &zone);
        let mut once = asked.clone();
        once.sort();
        once.dedup();
        proptest::prop_assert_eq!(once.len(), asked.len());
        proptest::prop_assert!(asked.len() <= 1 + 2 * MAX_SERVICES + 2 * (MAX_HOSTS + 1));
        if let Ok(targets) = targets {
            proptest::prop_assert!((1..=MAX_TARGETS).contains(&targets.len()));
            proptest::prop_assert!(!secure || targets.iter().all(|target| target.transport == Transport::Tls));
        }
    }
}
