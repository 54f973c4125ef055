//! The state tables of RFC 3261 section 17 with RFC 6026, as one line per input: what came, what went out, the state
//! after it. Time is an argument, so a table is the whole truth about a machine.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::*;
use crate::outbox::{Deadline, Outbox};
use crate::wire::{Method, Name, RequestBuilder, ResponseBuilder, Transport};

/// The one instant that all tables count from.
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "a table needs one instant to count from")]
    *START.get_or_init(Instant::now)
}

fn request(method: Method) -> Message {
    RequestBuilder::new(method, "sip:bob@example.com")
        .via(Transport::Udp, "127.0.0.1:5070", "z9hG4bKtx")
        .max_forwards(70)
        .header(Name::From, "<sip:alice@example.com>;tag=a")
        .header(Name::To, "<sip:bob@example.com>")
        .call_id("c")
        .cseq(1)
        .header(Name::UserAgent, "z5")
        .build()
        .unwrap()
}

fn response(method: Method, status: u16) -> Message {
    let builder = ResponseBuilder::to_request(&request(method), status, "");
    if status > 100 { builder.to_tag("b") } else { builder }.build().unwrap()
}

fn name(message: &Message) -> String {
    match message.method() {
        Some(method) => method.to_string(),
        None => message.status().unwrap_or_default().to_string(),
    }
}

/// A machine of either kind in a table.
trait Machine {
    fn feed(&mut self, input: &str, now: Instant) -> Vec<String>;
    fn state(&self) -> &'static str;
    fn deadline(&self) -> Option<Deadline>;
}

fn client_effects(out: &mut Outbox<ClientEffect>) -> Vec<String> {
    out.drain()
        .map(|effect| match effect {
            ClientEffect::Send(message) => format!("send {}", name(&message)),
            ClientEffect::Response(message) => format!("up {}", name(&message)),
            ClientEffect::TimedOut(timer) => format!("timeout {timer}"),
            ClientEffect::FlowLost => "flow lost".to_owned(),
        })
        .collect()
}

fn server_effects(out: &mut Outbox<ServerEffect>) -> Vec<String> {
    out.drain()
        .map(|effect| match effect {
            ServerEffect::Send(message) => format!("send {}", name(&message)),
            ServerEffect::NotAcknowledged => "not acknowledged".to_owned(),
            ServerEffect::FlowLost => "flow lost".to_owned(),
        })
        .collect()
}

macro_rules! client {
    ($machine:ty, $method:expr) => {
        impl Machine for $machine {
            fn feed(&mut self, input: &str, now: Instant) -> Vec<String> {
                let mut out = Outbox::new();
                let input = match input {
                    "lost" => ClientInput::FlowLost,
                    "abandon" => ClientInput::Abandon,
                    "time" => ClientInput::Deadline,
                    status => ClientInput::Response(response($method, status.parse().unwrap())),
                };
                self.handle(input, now, &mut out);
                client_effects(&mut out)
            }
            fn state(&self) -> &'static str {
                self.state()
            }
            fn deadline(&self) -> Option<Deadline> {
                self.next_deadline()
            }
        }
    };
}

macro_rules! server {
    ($machine:ty, $method:expr) => {
        impl Machine for $machine {
            fn feed(&mut self, input: &str, now: Instant) -> Vec<String> {
                let mut out = Outbox::new();
                let input = match input {
                    "lost" => ServerInput::FlowLost,
                    "time" => ServerInput::Deadline,
                    "again" => ServerInput::Repeated,
                    "ack" => ServerInput::Ack,
                    status => ServerInput::Respond(response($method, status.parse().unwrap())),
                };
                self.handle(input, now, &mut out);
                server_effects(&mut out)
            }
            fn state(&self) -> &'static str {
                self.state()
            }
            fn deadline(&self) -> Option<Deadline> {
                self.next_deadline()
            }
        }
    };
}

client!(ClientInvite, Method::Invite);
client!(ClientNonInvite, Method::Bye);
server!(ServerInvite, Method::Invite);
server!(ServerNonInvite, Method::Bye);

/// Feeds inputs; `+` waits for the next deadline and hands it in. One line for each, with the time in milliseconds.
fn table(machine: &mut dyn Machine, inputs: &str) -> String {
    let began = start();
    let mut now = began;
    let mut lines = Vec::new();
    for input in inputs.split_whitespace() {
        let fed = match input {
            "+" => {
                now = machine.deadline().map_or(now, |deadline| deadline.at);
                "time"
            }
            other => other,
        };
        let effects = machine.feed(fed, now).join(", ");
        lines.push(format!("{} {input}: {effects} -> {}", (now - began).as_millis(), machine.state()));
    }
    lines.join("\n")
}

fn client_invite(reliable: bool) -> ClientInvite {
    let mut out = Outbox::new();
    let machine = ClientInvite::new(request(Method::Invite), reliable, Timers::default(), start(), &mut out);
    assert_eq!(client_effects(&mut out), ["send INVITE"]);
    machine
}

fn client_other(reliable: bool) -> ClientNonInvite {
    let mut out = Outbox::new();
    let machine = ClientNonInvite::new(request(Method::Bye), reliable, Timers::default(), start(), &mut out);
    assert_eq!(client_effects(&mut out), ["send BYE"]);
    machine
}

fn server_invite(reliable: bool) -> ServerInvite {
    ServerInvite::new(request(Method::Invite), reliable, Timers::default())
}

fn server_other(reliable: bool) -> ServerNonInvite {
    ServerNonInvite::new(request(Method::Bye), reliable, Timers::default())
}

/// A table as it stands in a test: indented lines.
fn lines(expected: &str) -> String {
    expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn check(machine: &mut dyn Machine, inputs: &str, expected: &str) {
    let found = table(machine, inputs);
    assert_eq!(found, lines(expected), "\n{found}");
}

#[test]
fn client_invite_that_is_accepted() {
    check(
        &mut client_invite(true),
        "100 180 200 200 486 + +",
        "0 100: up 100 -> proceeding
         0 180: up 180 -> proceeding
         0 200: up 200 -> accepted
         0 200: up 200 -> accepted
         0 486:  -> accepted
         32000 +:  -> terminated
         32000 +:  -> terminated",
    );
}

#[test]
fn client_invite_that_is_refused_on_datagrams() {
    check(
        &mut client_invite(false),
        "100 486 486 200 + 486",
        "0 100: up 100 -> proceeding
         0 486: send ACK, up 486 -> completed
         0 486: send ACK -> completed
         0 200:  -> completed
         32000 +:  -> terminated
         32000 486:  -> terminated",
    );
}

#[test]
fn client_invite_that_is_refused_on_a_stream() {
    check(
        &mut client_invite(true),
        "486 486",
        "0 486: send ACK, up 486 -> terminated
         0 486:  -> terminated",
    );
}

#[test]
fn client_invite_that_nobody_answers() {
    check(
        &mut client_invite(false),
        "+ + + + + + +",
        "500 +: send INVITE -> calling
         1500 +: send INVITE -> calling
         3500 +: send INVITE -> calling
         7500 +: send INVITE -> calling
         15500 +: send INVITE -> calling
         31500 +: send INVITE -> calling
         32000 +: timeout B -> terminated",
    );
    check(&mut client_invite(true), "+ +", "32000 +: timeout B -> terminated\n32000 +:  -> terminated");
}

#[test]
fn client_invite_whose_flow_is_lost() {
    check(
        &mut client_invite(true),
        "100 lost",
        "0 100: up 100 -> proceeding\n0 lost: flow lost -> terminated",
    );
    check(&mut client_invite(true), "200 lost", "0 200: up 200 -> accepted\n0 lost:  -> terminated");
}

#[test]
fn client_invite_waits_for_ever_once_it_rings() {
    let mut machine = client_invite(false);
    machine.feed("180", start());
    assert_eq!(machine.next_deadline(), None);
    assert!(machine.is_proceeding());
}

#[test]
fn client_invite_that_is_abandoned_is_forgotten_in_the_end() {
    check(
        &mut client_invite(true),
        "180 abandon 180 +",
        "0 180: up 180 -> proceeding
         0 abandon:  -> proceeding
         0 180: up 180 -> proceeding
         32000 +:  -> terminated",
    );
    check(
        &mut client_invite(true),
        "180 abandon 487",
        "0 180: up 180 -> proceeding
         0 abandon:  -> proceeding
         0 487: send ACK, up 487 -> terminated",
    );
}

#[test]
fn client_request_on_datagrams() {
    check(
        &mut client_other(false),
        "+ + + 100 + + 200 200 +",
        "500 +: send BYE -> trying
         1500 +: send BYE -> trying
         3500 +: send BYE -> trying
         3500 100: up 100 -> proceeding
         7500 +: send BYE -> proceeding
         11500 +: send BYE -> proceeding
         11500 200: up 200 -> completed
         11500 200:  -> completed
         16500 +:  -> terminated",
    );
}

#[test]
fn client_request_on_a_stream() {
    check(&mut client_other(true), "200 200", "0 200: up 200 -> terminated\n0 200:  -> terminated");
    check(&mut client_other(true), "100 +", "0 100: up 100 -> proceeding\n32000 +: timeout F -> terminated");
    check(&mut client_other(true), "lost", "0 lost: flow lost -> terminated");
}

#[test]
fn server_invite_that_refuses_on_datagrams() {
    check(
        &mut server_invite(false),
        "again 100 again 486 again + + + + ack again + again",
        "0 again:  -> proceeding
         0 100: send 100 -> proceeding
         0 again: send 100 -> proceeding
         0 486: send 486 -> completed
         0 again: send 486 -> completed
         500 +: send 486 -> completed
         1500 +: send 486 -> completed
         3500 +: send 486 -> completed
         7500 +: send 486 -> completed
         7500 ack:  -> confirmed
         7500 again:  -> confirmed
         12500 +:  -> terminated
         12500 again:  -> terminated",
    );
}

#[test]
fn server_invite_that_refuses_on_a_stream() {
    check(&mut server_invite(true), "486 ack", "0 486: send 486 -> completed\n0 ack:  -> terminated");
    check(
        &mut server_invite(true),
        "486 +",
        "0 486: send 486 -> completed\n32000 +: not acknowledged -> terminated",
    );
}

#[test]
fn server_invite_that_accepts_lets_the_dialog_repeat() {
    check(
        &mut server_invite(true),
        "180 200 again 200 486 ack +",
        "0 180: send 180 -> proceeding
         0 200: send 200 -> accepted
         0 again:  -> accepted
         0 200: send 200 -> accepted
         0 486:  -> accepted
         0 ack:  -> accepted
         32000 +:  -> terminated",
    );
}

#[test]
fn server_invite_whose_flow_is_lost() {
    check(
        &mut server_invite(true),
        "100 lost",
        "0 100: send 100 -> proceeding\n0 lost: flow lost -> terminated",
    );
    check(&mut server_invite(true), "486 lost", "0 486: send 486 -> completed\n0 lost:  -> terminated");
}

#[test]
fn server_request_repeats_its_answer_until_timer_j() {
    check(
        &mut server_other(false),
        "again 200 again 486 + again",
        "0 again:  -> trying
         0 200: send 200 -> completed
         0 again: send 200 -> completed
         0 486:  -> completed
         32000 +:  -> terminated
         32000 again:  -> terminated",
    );
    check(&mut server_other(true), "200 again", "0 200: send 200 -> terminated\n0 again:  -> terminated");
    check(
        &mut server_other(false),
        "100 again",
        "0 100: send 100 -> proceeding\n0 again: send 100 -> proceeding",
    );
}

#[test]
fn the_ack_of_a_refusal_follows_its_invite() {
    let mut machine = client_invite(false);
    let mut out = Outbox::new();
    machine.handle(ClientInput::Response(response(Method::Invite, 486)), start(), &mut out);
    let Some(ClientEffect::Send(ack)) = out.pop() else { panic!() };
    assert_eq!(ack.via().unwrap().branch(), Some("z9hG4bKtx"));
    assert_eq!(ack.to().unwrap().tag(), Some("b"));
    assert_eq!(ack.cseq().unwrap().number, 1);
    assert_eq!(ack.header(Name::UserAgent), Some(&b"z5"[..]));
}

#[test]
fn every_deadline_has_its_reason() {
    assert_eq!(client_invite(false).next_deadline().unwrap().why, "timer A: repeat the INVITE");
    assert_eq!(client_other(true).next_deadline().unwrap().why, "timer F: the request is unanswered");
    assert_eq!(client_invite(true).next_deadline().unwrap().at - start(), Duration::from_secs(32));
}

fn parse(text: &str) -> Message {
    Message::parse_datagram(bytes::Bytes::from(text.replace('\n', "\r\n"))).unwrap()
}

fn incoming(method: &str, via: &str, to: &str) -> Message {
    parse(&format!(
        "{method} sip:b@h SIP/2.0\nVia: {via}\nFrom: <sip:a@h>;tag=1\nTo: <sip:b@h>{to}\nCall-ID: x\nCSeq: 5 {method}\n\n"
    ))
}

#[test]
fn a_request_finds_its_transaction_by_branch_sent_by_and_method() {
    let via = "SIP/2.0/TCP Host.example.com;branch=z9hG4bK1";
    let invite = ServerKey::of(&incoming("INVITE", via, "")).unwrap();
    assert_eq!(
        ServerKey::of(&incoming("ACK", "SIP/2.0/TCP host.example.com:5060;branch=z9hG4bK1", ";tag=2"))
            .unwrap(),
        invite
    );
    assert_ne!(ServerKey::of(&incoming("CANCEL", via, "")).unwrap(), invite);
    assert_eq!(ServerKey::cancelled_by(&incoming("CANCEL", via, "")).unwrap(), invite);
    assert_ne!(ServerKey::of(&incoming("INVITE", "SIP/2.0/TCP other;branch=z9hG4bK1", "")).unwrap(), invite);
}

#[test]
fn without_the_cookie_everything_that_stays_the_same_counts() {
    let via = "SIP/2.0/UDP old.example.com;branch=1";
    let invite = ServerKey::of(&incoming("INVITE", via, "")).unwrap();
    assert!(matches!(invite, ServerKey::Classic { .. }));
    assert_eq!(ServerKey::of(&incoming("ACK", via, ";tag=2")).unwrap(), invite);
    assert_eq!(ServerKey::cancelled_by(&incoming("CANCEL", via, "")).unwrap(), invite);
    assert_ne!(
        ServerKey::of(&incoming("INVITE", "SIP/2.0/UDP old.example.com;branch=2", "")).unwrap(),
        invite
    );
    let bye = |to| ServerKey::of(&incoming("BYE", via, to)).unwrap();
    assert_ne!(bye(";tag=2"), bye(";tag=3"));
}

#[test]
fn a_response_finds_its_transaction_by_branch_and_cseq() {
    let invite = ClientKey::of(&request(Method::Invite)).unwrap();
    assert_eq!(ClientKey::of(&response(Method::Invite, 200)).unwrap(), invite);
    assert_ne!(ClientKey::of(&response(Method::Cancel, 200)).unwrap(), invite);
}

#[test]
fn requests_merge_only_outside_dialogs() {
    let one = MergeKey::of(&incoming("INVITE", "SIP/2.0/UDP a;branch=z9hG4bK1", "")).unwrap();
    assert_eq!(MergeKey::of(&incoming("INVITE", "SIP/2.0/UDP b;branch=z9hG4bK2", "")).unwrap(), one);
    assert_eq!(MergeKey::of(&incoming("INVITE", "SIP/2.0/UDP b;branch=z9hG4bK2", ";tag=2")), None);
    assert_eq!(MergeKey::of(&incoming("ACK", "SIP/2.0/UDP b;branch=z9hG4bK2", "")), None);
}
