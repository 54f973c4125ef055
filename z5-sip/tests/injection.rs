//! No CR, LF or NUL of a caller becomes a line of its own, through whatever public setter it comes: builders, editors,
//! addresses, credentials, the configuration and commands of a user agent, the codecs of an offer.
//!
//! The setters are counted from the sources, so that a new one without a row here fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail their test"
)]

use std::time::Instant;

use bytes::Bytes;
use z5_sip::auth::Credentials;
use z5_sip::flow::FlowId;
use z5_sip::ident::Ident;
use z5_sip::outbox::Outbox;
use z5_sip::sdp::{Capabilities, Codec, MediaCapability, MediaKind, Origin, make_offer};
use z5_sip::ua::{CallKey, Command, Effect, Input, Transport as FlowTransport, UaConfig, UserAgent};
use z5_sip::wire::{
    Address, BuildError, Edit, Message, Method, Name, RequestBuilder, ResponseBuilder, Transport, Uri,
};

/// Each way to end a line or a string before its time.
const EVIL: [&str; 6] = [
    "a\r\nX-Evil: 1",
    "a\nX-Evil: 1",
    "a\rX-Evil: 1",
    "a\0X-Evil: 1",
    "\r\n\r\nX-Evil: 1",
    "a\r\n X-Evil: 1",
];

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

fn request() -> RequestBuilder {
    let me = Address::new(&uri("sip:a@h"));
    RequestBuilder::new(Method::Invite, "sip:b@h")
        .via(Transport::Tcp, "h", "z9hG4bK1")
        .from(&me.clone().tag("1"))
        .to(&me)
        .call_id("c")
        .cseq(1)
}

fn message() -> Message {
    request().header(Name::Route, "<sip:p;lr>").build().unwrap()
}

fn response() -> ResponseBuilder {
    ResponseBuilder::to_request(&message(), 200, "")
}

fn named(evil: &str) -> Address {
    Address::named(evil, &uri("sip:a@h"))
}

type Setter = fn(&str) -> Result<Message, BuildError>;

/// Every setter that takes text, by the type and name it has in the sources.
const SETTERS: &[(&str, Setter)] = &[
    ("RequestBuilder::new", |e| RequestBuilder::new(Method::Invite, e).build()),
    ("RequestBuilder::new", |e| RequestBuilder::new(Method::Other(e.into()), "sip:h").build()),
    ("RequestBuilder::via", |e| request().via(Transport::Tcp, e, "z9hG4bK2").build()),
    ("RequestBuilder::via", |e| request().via(Transport::Tcp, "h", e).build()),
    ("RequestBuilder::from", |e| request().from(&named(e)).build()),
    ("RequestBuilder::to", |e| request().to(&named(e)).build()),
    ("RequestBuilder::contact", |e| request().contact(&named(e)).build()),
    ("RequestBuilder::address", |e| request().address(Name::ReferTo, &named(e)).build()),
    ("RequestBuilder::address", |e| request().address(Name::Other(e), &named("x")).build()),
    ("RequestBuilder::call_id", |e| request().call_id(e).build()),
    ("RequestBuilder::header", |e| request().header(Name::Subject, e).build()),
    ("RequestBuilder::header", |e| request().header(Name::Other(e), "x").build()),
    ("RequestBuilder::header_opt", |e| request().header_opt(Name::Subject, Some(e)).build()),
    ("RequestBuilder::body", |e| request().body(e, "x").build()),
    ("ResponseBuilder::to_request", |e| ResponseBuilder::to_request(&message(), 200, e).build()),
    ("ResponseBuilder::to_request_ref", |e| {
        ResponseBuilder::to_request_ref(message().view(), 200, e).build()
    }),
    ("ResponseBuilder::to_tag", |e| response().to_tag(e).build()),
    ("ResponseBuilder::contact", |e| response().contact(&named(e)).build()),
    ("ResponseBuilder::address", |e| response().address(Name::ReplyTo, &named(e)).build()),
    ("ResponseBuilder::header", |e| response().header(Name::Server, e).build()),
    ("ResponseBuilder::header_opt", |e| response().header_opt(Name::Server, Some(e)).build()),
    ("ResponseBuilder::body", |e| response().body(e, "x").build()),
    ("Address::named", |e| request().contact(&named(e)).build()),
    ("Address::tag", |e| request().contact(&named("x").tag(e)).build()),
    ("Address::param", |e| request().contact(&named("x").param(e, None)).build()),
    ("Address::param", |e| request().contact(&named("x").param("p", Some(e))).build()),
    ("Edit::push_via", |e| Edit::new(&message()).push_via(e).build()),
    ("Edit::request_uri", |e| Edit::new(&message()).request_uri(e).build()),
    ("Edit::set", |e| Edit::new(&message()).set(Name::Subject, e).build()),
    ("Edit::set", |e| Edit::new(&message()).set(Name::Other(e), "x").build()),
    ("Edit::insert_first", |e| Edit::new(&message()).insert_first(Name::Subject, e).build()),
    ("Edit::append", |e| Edit::new(&message()).append(Name::Subject, e).build()),
    ("Edit::append", |e| Edit::new(&message()).append(Name::Other(e), "x").build()),
];

/// Public functions that take no text of a caller, or text that ends up in no head.
const HARMLESS: &[&str] = &[
    "RequestBuilder::max_forwards",
    "RequestBuilder::cseq",
    "RequestBuilder::build",
    "RequestBuilder::cancel",
    "RequestBuilder::ack",
    "ResponseBuilder::record_route",
    "ResponseBuilder::build",
    "Address::new",
    "Address::to_value",
    "Edit::new",
    "Edit::pop_via",
    "Edit::stamp_received",
    "Edit::remove",
    "Edit::remove_first_value",
    "Edit::body",
    "Edit::build",
];

#[test]
fn no_setter_lets_a_line_in() {
    for (name, set) in SETTERS {
        for evil in EVIL {
            assert!(set(evil).is_err(), "{name} takes {evil:?}");
        }
    }
}

#[test]
fn every_public_setter_has_its_row() {
    let sources = [
        ("RequestBuilder", include_str!("../src/wire/build/request.rs")),
        ("ResponseBuilder", include_str!("../src/wire/build/response.rs")),
        ("Address", include_str!("../src/wire/build/address.rs")),
        ("Edit", include_str!("../src/wire/edit.rs")),
    ];
    let mut known: Vec<&str> = SETTERS.iter().map(|(name, _)| *name).collect();
    known.extend(HARMLESS);
    for (kind, source) in sources {
        let functions = source.lines().filter_map(|line| line.strip_prefix("    pub fn "));
        let names: Vec<&str> = functions.filter_map(|rest| rest.split(['(', '<']).next()).collect();
        assert!(names.len() > 4, "{kind} has setters");
        for name in names {
            let full = format!("{kind}::{name}");
            assert!(known.contains(&&*full), "{full} has no row in this test");
        }
    }
}

#[test]
fn no_uri_has_a_line_in_it() {
    for evil in EVIL {
        for text in [
            format!("sip:{evil}"),
            format!("sip:a@{evil}"),
            format!("sip:a@h;x={evil}"),
            format!("tel:{evil}"),
        ] {
            assert!(Uri::parse(&text).is_err(), "{text:?}");
        }
    }
}

/// What a user agent with this configuration writes when it registers and calls.
fn written(config: UaConfig) -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
    let now = Instant::now();
    let flow = FlowId(1);
    let mut agent = UserAgent::new(config, Ident::from_seed(1));
    let mut out = Outbox::new();
    let (local, remote) = ("127.0.0.1:5062".parse().unwrap(), "127.0.0.1:5060".parse().unwrap());
    agent.handle(
        Input::FlowUp { flow, transport: FlowTransport::Tcp, local, remote, reg_id: 1 },
        now,
        &mut out,
    );
    agent.handle(Input::Command(Command::Register), now, &mut out);
    let audio = MediaCapability::new(MediaKind::Audio, 4000, vec![Codec::pcmu()]);
    let offer = Capabilities { address: [127, 0, 0, 1].into(), media: vec![audio] };
    let call = CallKey(1);
    let target = uri("sip:b@example.com");
    agent.handle(
        Input::Command(Command::Invite { call, target, offer, options: Box::default() }),
        now,
        &mut out,
    );
    // a challenge brings the credentials in
    let mut all = Vec::new();
    let sent = |out: &mut Outbox<Effect>, all: &mut Vec<u8>| -> Vec<Bytes> {
        let mut each = Vec::new();
        for effect in out.drain() {
            if let Effect::Send { bytes, .. } = effect {
                all.extend_from_slice(&bytes);
                each.push(bytes);
            }
        }
        each
    };
    for bytes in sent(&mut out, &mut all) {
        let request = Message::parse_datagram(bytes).unwrap();
        let challenge = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
        let response = ResponseBuilder::to_request(&request, 401, "")
            .to_tag("t")
            .header(Name::WwwAuthenticate, challenge);
        let response = response.build().unwrap();
        agent.handle(Input::Received { flow, bytes: response.as_bytes() }, now, &mut out);
    }
    sent(&mut out, &mut all);
    all
}

#[test]
fn no_setting_of_a_user_agent_lets_a_line_in() {
    type Set = fn(&mut UaConfig, String);
    let settings: [(&str, Set); 6] = [
        ("display_name", |config, evil| config.display_name = Some(evil)),
        ("user_agent", |config, evil| config.user_agent = evil),
        ("instance_id", |config, evil| config.instance_id = Some(evil)),
        ("contact_user", |config, evil| config.contact_user = Some(evil)),
        ("user name", |config, evil| config.credentials = vec![Credentials::new(evil, "secret")]),
        ("realm", |config, evil| config.credentials = vec![Credentials::new("a", "secret").for_realm(evil)]),
    ];
    let base = || UaConfig::new(uri("sip:a@example.com"), uri("sip:example.com"));
    let mut good = base();
    good.credentials = vec![Credentials::new("a", "secret")];
    assert!(written(good).windows(9).any(|at| at == b"response="), "the challenge is answered");
    for (name, set) in settings {
        for evil in EVIL {
            let mut config = base();
            set(&mut config, evil.to_owned());
            let wire = written(config);
            for line in wire.split(|byte| matches!(byte, b'\r' | b'\n' | b'\0')) {
                let line = line.trim_ascii_start();
                assert!(!line.starts_with(b"X-Evil"), "{name} lets {evil:?} in");
            }
        }
    }
}

#[test]
fn no_codec_lets_a_line_into_an_offer() {
    for evil in EVIL {
        let mut codec = Codec::new(evil, 8000, 96).with_fmtp(evil);
        codec.channels = Some(2);
        let audio = MediaCapability::new(MediaKind::Audio, 4000, vec![codec]);
        let capabilities = Capabilities { address: [127, 0, 0, 1].into(), media: vec![audio] };
        let bytes = make_offer(&capabilities, Origin { id: 1, version: 1 }).to_bytes();
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains('\0'), "{text:?}");
        for line in text.split(['\r', '\n']).filter(|line| !line.is_empty()) {
            assert!(line.as_bytes()[1] == b'=', "{line:?} of {text:?}");
        }
    }
}
