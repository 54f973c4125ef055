//! What the guard lets out and what it stops, wish by wish.

use std::time::Duration;

use bytes::Bytes;
use z5_sip::locate::{Origin, Target};
use z5_sip::ua::FlowId;

use super::*;
use crate::events::MediaKind;
use crate::machine::io::{
    Asker, CodecPlan, HttpsRequest, LookupId, MediaChange, Record, RequestId, StreamPlan,
};

const ZDIAL: &str = "208.94.16.114:443";
const MCS: &str = "208.94.16.21";

fn guard(allow: &[&str]) -> Guard {
    let allow: Vec<Allow> = allow.iter().map(|text| text.parse().unwrap()).collect();
    Guard::new(GuardMode::Policy, &allow)
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn lookup(server: &str, transport: DnsTransport) -> Effect {
    Effect::Lookup {
        id: LookupId { of: Asker::Names, number: 1 },
        name: "a.test".into(),
        record: Record::A,
        server: at(server),
        transport,
        patience: Duration::from_secs(1),
    }
}

fn https(addresses: &[&str], port: u16) -> Effect {
    let request = HttpsRequest {
        method: "GET",
        host: "a.test".into(),
        port,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        target: "/".into(),
        headers: Vec::new(),
        body: Bytes::new(),
    };
    Effect::Https { id: RequestId(1), request }
}

fn connect(targets: &[(&str, Transport)]) -> Effect {
    let target = |(address, transport): &(&str, Transport)| Target {
        transport: *transport,
        address: at(address),
        name: "a.test".into(),
        origin: Origin::Host,
    };
    Effect::Connect { flow: FlowId(1), targets: targets.iter().map(target).collect() }
}

fn media(remote: &str) -> Effect {
    let plan = StreamPlan {
        kind: MediaKind::Text,
        remote: at(remote),
        remote_rtcp: at(remote),
        rtcp_mux: true,
        send: true,
        receive: true,
        codec: CodecPlan::Text { send: 98, receive: 98, red: None, characters_per_second: 30 },
        srtp: None,
    };
    Effect::StartMedia { call: CallId(1), streams: vec![plan] }
}

fn passes(guard: &Guard, effect: Effect) -> bool {
    matches!(guard.judge(effect.clone()), Passage::Open(same) if same == effect)
}

#[test]
fn the_documented_requirement_is_permitted_and_its_neighbours_are_not() {
    let guard = guard(&[]);
    for dns in [DnsTransport::Udp, DnsTransport::Tcp] {
        assert!(passes(&guard, lookup("208.94.16.61:53", dns)));
        assert!(!passes(&guard, lookup("208.94.16.63:53", dns)));
        assert!(!passes(&guard, lookup("208.94.16.61:5353", dns)));
    }
    assert!(passes(&guard, https(&["208.94.16.114", "208.95.32.114"], 443)));
    assert!(passes(&guard, connect(&[("208.94.16.21:5060", Transport::Tcp)])));
    assert!(!passes(&guard, connect(&[("208.94.16.21:5060", Transport::Udp)])), "the requirement says TCP");
    assert!(!passes(&guard, connect(&[("208.94.16.21:5061", Transport::Tls)])));
    assert!(passes(&guard, media("208.95.32.21:10000")));
    assert!(!passes(&guard, media("208.95.32.21:9998")));
    assert!(!passes(&guard, media("192.0.2.1:10000")), "a far end that wants media elsewhere");
    assert!(passes(&Guard::new(GuardMode::Off, &[]), media("192.0.2.1:10000")));
}

#[test]
fn what_is_stopped_ends_as_what_cannot_be_reached() {
    let guard = guard(&[]);
    let Passage::Shut(Input::Looked { outcome: Err(LookupFailure::Unreachable(why)), .. }) =
        guard.judge(lookup("192.0.2.53:53", DnsTransport::Udp))
    else {
        panic!("the question went out")
    };
    assert_eq!(why, OUTSIDE);
    let Passage::Shut(Input::Https { outcome: Err(HttpsFailure::Unreachable(attempts)), .. }) =
        guard.judge(https(&["192.0.2.1"], 443))
    else {
        panic!("the request went out")
    };
    assert_eq!(attempts, [forbidden(at("192.0.2.1:443"), None)]);
    let Passage::Shut(Input::ConnectFailed { attempts, .. }) =
        guard.judge(connect(&[("192.0.2.1:5060", Transport::Tcp)]))
    else {
        panic!("the connection was made")
    };
    assert_eq!(attempts[0].to_string(), "tcp 192.0.2.1:5060: outside the policy (egress.guard)");
    let Passage::Shut(Input::MediaStarted { outcome: Err(error), .. }) =
        guard.judge(media("192.0.2.1:10000"))
    else {
        panic!("media flow")
    };
    assert_eq!(error.code(), "call.media");
}

#[test]
fn of_several_addresses_those_inside_are_used() {
    let guard = guard(&[]);
    let Passage::Open(Effect::Https { request, .. }) =
        guard.judge(https(&["192.0.2.1", "208.94.16.114"], 443))
    else {
        panic!("nothing is left")
    };
    assert_eq!(request.addresses, [at(ZDIAL).ip()]);
    let Passage::Open(Effect::Connect { targets, .. }) =
        guard.judge(connect(&[("192.0.2.1:5060", Transport::Tcp), (&format!("{MCS}:5060"), Transport::Tcp)]))
    else {
        panic!("nothing is left")
    };
    assert_eq!(targets.len(), 1);
}

#[test]
fn a_call_that_moves_outside_sends_nothing_there() {
    let guard = guard(&[]);
    let change = |to: &str| MediaChange {
        kind: MediaKind::Audio,
        send: true,
        receive: true,
        moved: Some((at(to), at(to))),
        srtp: None,
        format: None,
    };
    let moved = |to: &str| Effect::DirectMedia { call: CallId(1), changes: vec![change(to)] };
    assert!(passes(&guard, moved("208.94.16.21:20000")));
    let Passage::Muted(Effect::DirectMedia { changes, .. }, _, error) = guard.judge(moved("192.0.2.1:20000"))
    else {
        panic!("media follow")
    };
    assert_eq!((changes[0].send, changes[0].moved), (false, None));
    assert!(error.to_string().contains("192.0.2.1:20000"));
}

#[test]
fn sources_of_media_are_held_to_the_same_rule() {
    let reach = guard(&["udp 192.0.2.0/24:4000-4999"]).reach().unwrap();
    assert!(reach.permits(at("208.94.16.21:20000")) && reach.permits(at("192.0.2.9:4500")));
    assert!(!reach.permits(at("198.51.100.1:4500")) && !reach.permits(at("192.0.2.9:5000")));
    assert!(Guard::new(GuardMode::Off, &[]).reach().is_none());
}

#[test]
fn what_is_allowed_besides_is_read_strictly() {
    let guard = guard(&["udp 127.0.0.0/8:53", "tcp [2001:db8::]/32:443-444", "tcp 192.0.2.7:5061"]);
    assert!(passes(&guard, lookup("127.9.9.9:53", DnsTransport::Udp)));
    assert!(!passes(&guard, lookup("127.9.9.9:53", DnsTransport::Tcp)));
    assert!(!passes(&guard, lookup("128.0.0.1:53", DnsTransport::Udp)));
    assert!(passes(&guard, https(&["2001:db8:1::1"], 444)) && !passes(&guard, https(&["2001:db9::1"], 444)));
    assert!(passes(&guard, connect(&[("192.0.2.7:5061", Transport::Tls)])));
    let all = Guard::new(GuardMode::Policy, &["udp 0.0.0.0/0:1-65535".parse().unwrap()]);
    assert!(passes(&all, media("198.51.100.1:4000")));
    for bad in [
        "",
        "udp",
        "udp 127.0.0.1",
        "sctp 127.0.0.1:1",
        "udp 127.0.0.1/33:1",
        "udp host:53",
        "udp 127.0.0.1:0",
        "tcp 127.0.0.1:9-1",
        "tcp [::1]/129:1",
    ] {
        assert!(bad.parse::<Allow>().is_err(), "{bad:?}");
    }
}

/// A new kind of wish that reaches somebody must be judged: this names every kind, and says which reach nobody.
#[test]
fn every_wish_that_reaches_somebody_is_judged() {
    fn reaches_somebody(effect: &Effect) -> bool {
        match effect {
            Effect::Lookup { .. }
            | Effect::Https { .. }
            | Effect::Connect { .. }
            | Effect::StartMedia { .. }
            | Effect::DirectMedia { .. } => true,
            // on what stands already, or nowhere
            Effect::EndLookups(_)
            | Effect::EndHttps
            | Effect::Write { .. }
            | Effect::Close { .. }
            | Effect::PrepareMedia { .. }
            | Effect::MoveMedia { .. }
            | Effect::ForgetWish { .. }
            | Effect::StopMedia { .. }
            | Effect::SendText { .. }
            | Effect::Privacy { .. }
            | Effect::SwitchSource { .. }
            | Effect::SendKeyFrame { .. }
            | Effect::SendDigits { .. }
            | Effect::Recall
            | Effect::Keep(_)
            | Effect::Emit(_) => false,
        }
    }
    let nothing = Guard { allow: Some(Vec::new()) };
    for effect in [
        lookup("208.94.16.61:53", DnsTransport::Udp),
        https(&["208.94.16.114"], 443),
        connect(&[("208.94.16.21:5060", Transport::Tcp)]),
        media("208.95.32.21:10000"),
    ] {
        assert!(reaches_somebody(&effect) && !passes(&nothing, effect));
    }
    assert!(passes(&nothing, Effect::EndLookups(Asker::Names)));
}
