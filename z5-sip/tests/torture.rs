//! Our own messages for every point of RFC 4475 and RFC 5118: they need no file and are always run.
//!
//! Each row changes one good message in one way and says what a user agent must make of it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail their test"
)]

mod agree;

use bytes::Bytes;
use z5_sip::wire::{Message, Method, Name, ParseError, Rules, Verdict, validate};

const INVITE: &str = "INVITE sip:bob@example.com SIP/2.0\r\n\
    Via: SIP/2.0/TCP client.example.net:5060;branch=z9hG4bK74bf9\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@example.net>;tag=9fxced76sl\r\n\
    To: \"Bob\" <sip:bob@example.com>\r\n\
    Call-ID: 3848276298220188511@client.example.net\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:alice@client.example.net;transport=tcp>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 5\r\n\
    \r\n\
    v=0\r\n";

const RESPONSE: &str = "SIP/2.0 200 OK\r\n\
    Via: SIP/2.0/TCP client.example.net:5060;branch=z9hG4bK74bf9\r\n\
    From: \"Alice\" <sip:alice@example.net>;tag=9fxced76sl\r\n\
    To: \"Bob\" <sip:bob@example.com>;tag=1\r\n\
    Call-ID: 3848276298220188511@client.example.net\r\n\
    CSeq: 1 INVITE\r\n\
    Content-Length: 0\r\n\
    \r\n";

fn parse(text: &str) -> Message {
    Message::parse_datagram(Bytes::copy_from_slice(text.as_bytes())).expect(text)
}

/// `accept`, `refuse 400` or `drop`.
fn verdict(message: &Message) -> String {
    match validate(message) {
        Verdict::Accept => "accept".into(),
        Verdict::Refuse { status, .. } => format!("refuse {status}"),
        Verdict::Drop { .. } => "drop".into(),
    }
}

fn check(base: &str, rows: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (from, to, expected) in rows {
        assert!(base.contains(from), "{from} is not in the message");
        let message = parse(&base.replacen(from, to, 1));
        // what is told and what a user agent does are the same, for every message here
        agree::assert_agrees(to, message.as_bytes());
        if verdict(&message) != *expected {
            wrong.push(format!("{to:?}: {:?}", validate(&message)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn valid_though_strange() {
    check(
        INVITE,
        &[
            ("INVITE", "INVITE", "accept"),
            // Folds, spaces before the colon, compact names, leading zeros.
            (
                "To: \"Bob\" <sip:bob@example.com>",
                "t  :\r\n \"Bob\"\r\n\t<sip:bob@example.com>\r\n  ",
                "accept",
            ),
            ("Via: SIP/2.0/TCP client", "v: SIP  / 2.0\r\n /TCP\r\n   client", "accept"),
            ("CSeq: 1", "cSEQ: 0001\r\n ", "accept"),
            ("Max-Forwards: 70", "mAx-fORWARDS:0070", "accept"),
            // Odd but legal letters.
            ("From: \"Alice\"", "From: token1~` token2'+_ token3*%!.-", "accept"),
            ("\"Bob\"", "\"BEL:\\\u{7} NUL:\\\0 quote:\\\" backslash:\\\\\"", "accept"),
            ("tag=9fxced76sl", "odd''~+*_!.-%=\"работающий\";tag=_token~1'+`*%!-.", "accept"),
            ("Call-ID: 3848", "Call-ID: word%ZK-!.*_+'@word`~)(><:\\/\"][?}{", "accept"),
            ("Max-Forwards: 70", "Max-Forwards: 255\r\nX-!.%*_+`'~:\u{feff}大停電", "accept"),
            // Escapes.
            ("sip:bob@example.com SIP", "sip:sips%3Auser%40example.com@example.com SIP", "accept"),
            ("sip:bob@example.com SIP", "sip:null-%00-null@example.com SIP", "accept"),
            ("sip:bob@example.com SIP", "sip:user;par=u%40example.net@example.com SIP", "accept"),
            ("\"Alice\"", "\"%Z%45\"", "accept"),
            // Shapes of addresses.
            ("\"Alice\" <", "caller<", "accept"),
            ("\"Alice\" <sip:alice@example.net>", "sip:alice@example.net", "accept"),
            ("\"Alice\" <sip:alice@example.net>", "<http://www.example.com>", "accept"),
            // Transports nobody knows.
            ("Via: ", "Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKa\r\nVia: ", "accept"),
            // RFC 2543.
            (";branch=z9hG4bK74bf9", "", "accept"),
            (";tag=9fxced76sl", "", "accept"),
            ("Max-Forwards: 70\r\n", "", "accept"),
            ("Content-Length: 5\r\n", "", "accept"),
            (";branch=z9hG4bK74bf9", ";branch=z9hG4bK", "accept"),
            // Left to the layers above.
            ("Max-Forwards: 70", "Max-Forwards: 0", "accept"),
            ("Max-Forwards: 70", "Max-Forwards: 70\r\nAuthorization: NoOneKnows opaque-data=here", "accept"),
            ("Max-Forwards: 70", "Max-Forwards: 70\r\nX-Values: ;;,,;;,;", "accept"),
        ],
    );
}

#[test]
fn invalid_requests() {
    check(
        INVITE,
        &[
            // The start line.
            ("INVITE sip", "INVITE  sip", "refuse 400"),
            ("SIP/2.0\r\n", "SIP/2.0  \r\n", "refuse 400"),
            ("sip:bob@example.com SIP", "sip:bob@example.com; lr SIP", "refuse 400"),
            ("sip:bob@example.com SIP", "<sip:bob@example.com> SIP", "refuse 400"),
            ("sip:bob@example.com SIP", "sip:bob@example.com?Route=%3Csip:x%3E SIP", "refuse 400"),
            ("sip:bob@example.com SIP", "sip: SIP", "refuse 400"),
            ("SIP/2.0\r\n", "SIP/7.0\r\n", "refuse 505"),
            ("sip:bob@example.com SIP", "nobodyKnowsThisScheme:opaque SIP", "refuse 416"),
            ("sip:bob@example.com SIP", "soap.beep://192.0.2.103:3002 SIP", "refuse 416"),
            // Fields.
            ("branch=z9hG4bK74bf9", ";,;,,", "refuse 400"),
            ("transport=tcp>", "transport=tcp>;;;;", "refuse 400"),
            ("\"Bob\"", "\"Bob", "refuse 400"),
            ("<sip:bob@example.com>", "< sip:bob@example.com >", "refuse 400"),
            ("\"Alice\"", "Bell, Alexander", "refuse 400"),
            ("<sip:alice@client.example.net;transport=tcp>", "sip:a@h?Route=%3Csip:x%3E", "refuse 400"),
            ("Max-Forwards: 70", "Date: Fri, 01 Jan 2010 16:00:00 EST", "refuse 400"),
            ("Max-Forwards: 70", "Max-Forwards: 300", "refuse 400"),
            ("CSeq: 1", "CSeq: 36893488147419103232", "refuse 400"),
            ("CSeq: 1 INVITE", "CSeq: 1 OPTIONS", "refuse 400"),
            ("INVITE sip", "NEWMETHOD sip", "refuse 400"),
            ("Max-Forwards: 70", "Expires: 10000000000000000000000", "refuse 400"),
            ("transport=tcp>", "transport=tcp>;expires=280297596632815", "refuse 400"),
            ("Max-Forwards: 70", "no colon here", "refuse 400"),
            ("Max-Forwards: 70", "Max-Forwards\r\n : 70", "refuse 400"),
            ("\r\nVia", "\r\n Via", "refuse 400"),
            ("Max-Forwards: 70\r\n", "Max-Forwards: 70\n", "refuse 400"),
            ("Max-Forwards: 70", "X: a\rMax-Forwards: 70", "refuse 400"),
            // Missing and repeated ones.
            ("Call-ID: 3848276298220188511@client.example.net\r\n", "", "refuse 400"),
            ("To: \"Bob\" <sip:bob@example.com>\r\n", "", "refuse 400"),
            ("CSeq: 1 INVITE\r\n", "", "refuse 400"),
            ("Via: SIP/2.0/TCP client.example.net:5060;branch=z9hG4bK74bf9\r\n", "", "refuse 400"),
            ("CSeq: 1 INVITE", "CSeq: 1 INVITE\r\nCSeq: 2 INVITE", "refuse 400"),
            ("To: ", "t: <sip:other@example.com>\r\nTo: ", "refuse 400"),
            ("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 5", "refuse 400"),
            // Lengths.
            ("Content-Length: 5", "Content-Length: 9999", "refuse 400"),
            ("Content-Length: 5", "Content-Length: -999", "refuse 400"),
            ("Content-Length: 5", "Content-Length: 5\r\nl: 4", "refuse 400"),
            ("Content-Length: 5", "Content-Length: 5\r\nl: 5", "refuse 400"),
            // What we do not support.
            ("Max-Forwards: 70", "Require: nothingSupportsThis, 100rel", "refuse 420"),
            ("application/sdp", "application/unknownformat", "refuse 415"),
            ("Max-Forwards: 70", "Content-Encoding: gzip", "refuse 415"),
            ("Max-Forwards: 70", "Accept: text/nobodyKnowsThis", "refuse 406"),
        ],
    );
}

#[test]
fn an_ack_is_never_answered() {
    let ack = INVITE.replace("INVITE", "ACK");
    check(
        &ack,
        &[("ACK", "ACK", "accept"), ("CSeq: 1", "CSeq: x", "drop"), ("SIP/2.0\r\n", "SIP/3.0\r\n", "drop")],
    );
}

#[test]
fn responses_are_accepted_or_dropped() {
    check(
        RESPONSE,
        &[
            ("200 OK", "200 OK", "accept"),
            ("200 OK", "100 ", "accept"),
            ("200 OK", "100", "accept"),
            ("200 OK", "200 = 2**3 * 5**2 но сто девяносто девять - простое", "accept"),
            ("200 OK", "4294967301 better not break the receiver", "drop"),
            ("200 OK", "99 Too Low", "drop"),
            ("200 OK", "700 Too High", "drop"),
            ("CSeq: 1", "CSeq: 9292394834772304023312", "drop"),
            ("CSeq: 1", "Retry-After: 949302838503028349304023988\r\nCSeq: 1", "drop"),
            ("Via: ", "Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1\r\nVia: ", "drop"),
            ("SIP/2.0 200", "SIP/7.0 200", "drop"),
        ],
    );
    // For a proxy the second Via is the next hop.
    let two = RESPONSE.replacen("Via: ", "Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1\r\nVia: ", 1);
    assert_eq!(Rules::proxy().validate(&parse(&two)), Verdict::Accept);
}

#[test]
fn a_proxy_looks_at_hops_and_its_own_requirements() {
    let judge = |from: &str, to: &str| match Rules::proxy().validate(&parse(&INVITE.replacen(from, to, 1))) {
        Verdict::Refuse { status, .. } => status,
        Verdict::Accept | Verdict::Drop { .. } => 0,
    };
    assert_eq!(judge("Max-Forwards: 70", "Max-Forwards: 0"), 483);
    assert_eq!(judge("Max-Forwards: 70", "Proxy-Require: foo"), 420);
    assert_eq!(judge("Max-Forwards: 70", "Require: foo"), 0);
    assert_eq!(judge("application/sdp", "application/unknownformat"), 0);
}

#[test]
fn what_is_no_message_at_all() {
    let parse = |text: &str| Message::parse_datagram(Bytes::copy_from_slice(text.as_bytes())).err();
    assert_eq!(parse(""), Some(ParseError::Empty));
    assert_eq!(parse("\r\n\r\n"), Some(ParseError::Empty));
    assert_eq!(parse("hello"), Some(ParseError::NoEmptyLine));
    assert_eq!(parse("hello\r\n\r\n"), Some(ParseError::NotSip));
    assert_eq!(parse("GET / HTTP/1.1\r\n\r\n"), Some(ParseError::NotSip));
    assert_eq!(parse("SIP/2.0\r\n\r\n"), Some(ParseError::NotSip));
    assert_eq!(parse("SIP/2.0 \r\n\r\n"), Some(ParseError::NotSip));
    assert_eq!(parse("INVITE sip:a@b SIP/2.0\r\nTo: half a li"), Some(ParseError::NoEmptyLine));
}

#[test]
fn bytes_before_and_behind_a_datagram_s_message() {
    let message = parse(&format!("\r\n\r\n{INVITE}{INVITE}"));
    assert_eq!(message.as_bytes(), INVITE.as_bytes());
    assert_eq!(message.body(), b"v=0\r\n");
}

/// RFC 5118 section 4, each in a message of our own.
#[test]
fn ipv6_forms_of_rfc_5118() {
    const REGISTER: &str = "REGISTER sip:[2001:db8::10] SIP/2.0\r\n\
        To: sip:user@example.com\r\n\
        From: sip:user@example.com;tag=81x2\r\n\
        Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111\r\n\
        Call-ID: SSG9559905523997077@hlau_4100\r\n\
        Contact: \"Caller\" <sip:caller@[2001:db8::1]>\r\n\
        CSeq: 98176 REGISTER\r\n\
        Content-Length: 0\r\n\r\n";
    check(
        REGISTER,
        &[
            ("REGISTER", "REGISTER", "accept"),
            // 4.2: no brackets.
            ("sip:[2001:db8::10] SIP", "sip:2001:db8::10 SIP", "refuse 400"),
            // 4.3 and 4.4: a port inside the brackets is part of the address, outside it is the port.
            ("sip:[2001:db8::10] SIP", "sip:[2001:db8::10:5070] SIP", "accept"),
            ("sip:[2001:db8::10] SIP", "sip:[2001:db8::10]:5070 SIP", "accept"),
            // 4.5: received with and without brackets.
            ("::9:1];", "::9:1];received=[2001:db8::9:255];", "accept"),
            ("::9:1];", "::9:1];received=2001:db8::9:255;", "accept"),
            // 4.9: IPv4-mapped; 4.10: the three colons of RFC 3261's grammar.
            ("[2001:db8::9:1]", "[::ffff:192.0.2.10]:19823", "accept"),
            ("sip:[2001:db8::10] SIP", "sip:[2001:db8:::192.0.2.1] SIP", "accept"),
            ("sip:[2001:db8::10] SIP", "sip:[2001:db8::10::1] SIP", "refuse 400"),
        ],
    );
    let host = |text: &str| parse(text).request_uri().unwrap().unwrap().host().unwrap().ip();
    assert_eq!(host(REGISTER), "2001:db8::10".parse().ok());
    let inside = REGISTER.replace("[2001:db8::10]", "[2001:db8::10:5070]");
    assert_eq!(host(&inside), "2001:db8::10:5070".parse().ok());
    assert_eq!(parse(&inside).request_uri().unwrap().unwrap().port(), None);
    let outside = parse(&REGISTER.replace("[2001:db8::10]", "[2001:db8::10]:5070"));
    assert_eq!(outside.request_uri().unwrap().unwrap().port(), Some(5070));
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let message = parse(&REGISTER.replace("::9:1];", &format!("::9:1];received={received};")));
        let via = message.via().unwrap();
        assert_eq!(via.received().and_then(|host| host.ip()), "2001:db8::9:255".parse().ok());
        assert_eq!(via.branch(), Some("z9hG4bKas3-111"));
    }
    // 4.7: several kinds of address in one header.
    let mixed = parse(&REGISTER.replace(
        "\"Caller\" <sip:caller@[2001:db8::1]>",
        "\"Caller\" <sip:caller@[2001:db8::1]>, <sip:caller@192.0.2.1>, sip:caller@host;q=0.5",
    ));
    let hosts: Vec<_> =
        mixed.contacts().map(|c| c.unwrap().addr().unwrap().uri.host().unwrap().to_string()).collect();
    assert_eq!(hosts, ["[2001:db8::1]", "192.0.2.1", "host"]);
    let mapped = parse(&REGISTER.replace("[2001:db8::9:1]", "[::ffff:192.0.2.10]:19823"));
    assert_eq!(mapped.via().unwrap().port, Some(19823));
}

#[test]
fn values_of_the_good_message() {
    let m = parse(INVITE);
    assert_eq!(m.method(), Some(Method::Invite));
    assert_eq!(m.from().unwrap().display_name().as_deref(), Some("Alice"));
    assert_eq!(m.to().unwrap().tag(), None);
    assert_eq!(m.call_id(), Ok("3848276298220188511@client.example.net"));
    assert_eq!(m.contact().unwrap().uri.param("transport"), Some("tcp"));
    assert_eq!(m.header(Name::Other("CONTENT-length")), Some(&b"5"[..]));
    let names: Vec<_> = m.all_headers().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact", "Content-Type", "Content-Length"]
    );
}
