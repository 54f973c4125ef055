//! SIP over TLS and UDP, over IPv6, with loss, with messages too large for a datagram, and with servers that fail.

use std::net::IpAddr;
use std::time::Duration;

use z5_core::config::UdpKeepAlive;
use z5_core::events::StepDetail;
use z5_core::{AudioIn, CallMedia, CallRequest, Event, EventKind};
use z5_media::source::Tone;
use z5_mock::recorder::Service;
use z5_mock::{Carrier, CertificateFault, Fault, When};

use crate::support::{Client, carrier, config, load};

const ECHO: &str = "+15555550900";

fn tone() -> CallMedia {
    let source = Tone::new(1000.0, -10.0).lasting(Duration::from_millis(600));
    CallMedia { audio_in: AudioIn::Custom(Box::new(source)), ..CallMedia::default() }
}

/// What step 4 said: the transport, the server, and how many failed before it.
fn registered(seen: &[Event]) -> (&'static str, std::net::SocketAddr, usize) {
    let found = seen.iter().find_map(|event| match &event.kind {
        EventKind::StepDone { detail: StepDetail::Registered { transport, server, tried, .. }, .. } => {
            Some((*transport, *server, tried.len()))
        }
        _ => None,
    });
    found.expect("step 4 is done")
}

/// A call to the echo that brings the tone back.
async fn echo_call(client: &mut Client) {
    let call = client.session.call(CallRequest::to(ECHO).with(tone()));
    client.until("the end of the tone", |kind| matches!(kind, EventKind::SourceEnded { .. })).await;
    client.session.hangup(call);
    let ended = client.until("ended", |kind| matches!(kind, EventKind::CallEnded { .. })).await;
    let EventKind::CallEnded { report, .. } = ended else { unreachable!() };
    let heard = report.audio.and_then(|audio| audio.heard).expect("something was heard");
    assert!((heard.dominant_hz.expect("a tone") - 1000.0).abs() < 5.0, "{heard:?}");
}

/// What the carrier received and sent over SIP, each message as text.
pub(crate) fn messages(carrier: &Carrier, start: &str) -> Vec<String> {
    let entries = carrier.recorder().entries();
    entries
        .into_iter()
        .filter(|entry| entry.service == Service::Sip && entry.text.starts_with(start))
        .map(|entry| entry.text.clone())
        .collect()
}

async fn registers_and_calls_over(transport: &'static str) {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(load(&carrier.generic_config_over("alice", transport).unwrap())).await;
    echo_call(&mut client).await;
    let seen = client.stop().await;
    let server = if transport == "tls" { carrier.sips_addr() } else { carrier.sip_addr() };
    assert_eq!(registered(&seen), (transport, server, 0));
    let via = format!("Via: SIP/2.0/{} ", transport.to_uppercase());
    let requests = messages(&carrier, "REGISTER");
    assert!(requests.len() >= 2 && requests.iter().all(|request| request.contains(&via)), "{requests:#?}");
}

#[tokio::test]
async fn a_plain_account_registers_and_calls_over_tls() {
    registers_and_calls_over("tls").await;
}

#[tokio::test]
async fn a_plain_account_registers_and_calls_over_udp() {
    registers_and_calls_over("udp").await;
}

#[tokio::test]
async fn a_proxy_with_transport_tls_in_the_configuration_of_zdial_is_dialled_over_tls() {
    let carrier = carrier(z5_mock::Builder::proxies_over_tls).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    echo_call(&mut client).await;
    assert_eq!(registered(&client.stop().await), ("tls", carrier.sips_addr(), 0));
}

#[tokio::test]
async fn all_of_it_works_over_ipv6() {
    for transport in ["tcp", "tls", "udp"] {
        let carrier = carrier(z5_mock::Builder::on_ipv6).await;
        let mut client = Client::ready(load(&carrier.generic_config_over("alice", transport).unwrap())).await;
        echo_call(&mut client).await;
        let (_, server, _) = registered(&client.stop().await);
        assert!(server.is_ipv6(), "{transport} {server}");
        let invite = messages(&carrier, "INVITE").pop().expect("an INVITE");
        assert!(invite.contains("IN IP6 ::1") && invite.contains("@[::1]:"), "{invite}");
    }
}

#[tokio::test]
async fn two_sessions_over_udp_survive_lost_datagrams() {
    // Without TCP beside it: the carrier's proxy keeps no transactions, so nobody would repeat what came in over TCP and is lost
    // on its way out over UDP.
    let carrier = carrier(|carrier| carrier.fault(Fault::Reset(Service::Sip))).await;
    let config_of = |name| {
        let (mut config, files) = load(&carrier.generic_config_over(name, "udp").unwrap());
        // STUN has datagrams too, whose moment would decide which ones are lost.
        config.sip.udp_keep_alive = UdpKeepAlive::Crlf;
        (config, files)
    };
    let mut alice = Client::start(config_of("alice"));
    // The first REGISTER, the first challenge and the answer after that are lost.
    for from in [1, 3, 6] {
        carrier.faults().arm_when(Fault::DatagramLost, When { from, times: Some(1) });
    }
    alice.until("ready", |kind| matches!(kind, EventKind::Ready { .. })).await;
    let mut bob = Client::ready(config_of("bob")).await;
    carrier.faults().disarm(Fault::DatagramLost);
    // Every fourth datagram of the whole call.
    for from in (2..200).step_by(4) {
        carrier.faults().arm_when(Fault::DatagramLost, When { from, times: Some(1) });
    }
    let call = alice.session.call(CallRequest::to("+15555550102").with(tone()));
    let incoming = bob.until("incoming", |kind| matches!(kind, EventKind::Incoming { .. })).await;
    let EventKind::Incoming { call: at_bob, .. } = incoming else { unreachable!() };
    bob.session.answer(at_bob, tone());
    for client in [&mut alice, &mut bob] {
        client.until("established", |kind| matches!(kind, EventKind::CallEstablished { .. })).await;
    }
    alice.session.hangup(call);
    for client in [&mut alice, &mut bob] {
        client.until("ended", |kind| matches!(kind, EventKind::CallEnded { .. })).await;
    }
    carrier.faults().disarm(Fault::DatagramLost);
    assert!(messages(&carrier, "[datagram lost]").len() >= 3);
    alice.stop().await;
    bob.stop().await;
}

/// A name that makes each request of ours larger than a datagram may be.
fn long_winded(carrier: &Carrier) -> (z5_core::Config, tempfile::TempDir) {
    let (mut configuration, files) = load(&carrier.generic_config_over("alice", "udp").unwrap());
    configuration.sip.display_name = Some("Alice ".repeat(200));
    (configuration, files)
}

#[tokio::test]
async fn a_request_of_more_than_1300_bytes_goes_over_tcp_and_its_call_stands() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(long_winded(&carrier)).await;
    echo_call(&mut client).await;
    client.stop().await;
    // Even the registration, which was there before any connection beside it.
    for method in ["REGISTER", "INVITE"] {
        let sent = messages(&carrier, method);
        assert!(!sent.is_empty() && sent.iter().all(|sent| sent.contains("Via: SIP/2.0/TCP ")), "{sent:#?}");
    }
    let invites = messages(&carrier, "INVITE");
    // The Contact stays where the registrar reaches us.
    assert!(invites.iter().all(|invite| !invite.contains(";transport=tcp>")), "{invites:#?}");
}

#[tokio::test]
async fn a_server_without_tcp_gets_large_requests_over_udp() {
    let carrier = carrier(|carrier| carrier.fault(Fault::Reset(Service::Sip))).await;
    let mut client = Client::ready(long_winded(&carrier)).await;
    while !carrier.recorder().entries().iter().any(|entry| entry.text == "[connection reset]") {
        tokio::task::yield_now().await;
    }
    echo_call(&mut client).await;
    client.stop().await;
    let invites = messages(&carrier, "INVITE");
    assert!(invites.iter().any(|invite| invite.contains("Via: SIP/2.0/UDP ")), "{invites:#?}");
}

#[tokio::test]
async fn the_domain_s_records_lead_to_the_servers_and_a_dead_one_is_passed_over() {
    let nobody: IpAddr = [127, 0, 0, 99].into();
    for (transport, expected) in [("tcp", "tcp"), ("tls", "tls"), ("udp", "udp"), ("auto", "tls")] {
        let carrier = carrier(|carrier| carrier.host("lb.mcs.csdvrs.test", &[nobody])).await;
        let client = Client::ready(load(&carrier.generic_config_by_name("alice", transport).unwrap())).await;
        let seen = client.stop().await;
        let server = if expected == "tls" { carrier.sips_addr() } else { carrier.sip_addr() };
        assert_eq!(registered(&seen), (expected, server, 1), "{transport}");
        let failed = seen.iter().find_map(|event| match &event.kind {
            EventKind::ServerFailed { server, transport, .. } => Some((server.ip(), *transport)),
            _ => None,
        });
        assert_eq!(failed, Some((nobody, expected)), "{transport}");
        let asked: Vec<&str> = seen
            .iter()
            .find_map(|event| match &event.kind {
                EventKind::StepDone { detail: StepDetail::Resolved { names }, .. } => Some(
                    names.iter().flat_map(|name| name.answers.iter().map(|answer| answer.record)).collect(),
                ),
                _ => None,
            })
            .expect("step 1 is done");
        assert_eq!(asked.contains(&"NAPTR"), transport == "auto", "{asked:?}");
        assert!(asked.contains(&"SRV"), "{asked:?}");
    }
}

// macOS has 127.0.0.1 alone.
#[cfg(not(target_os = "macos"))]
#[tokio::test]
async fn a_server_that_answers_503_is_left_for_the_next() {
    let carrier = carrier(|carrier| {
        carrier
            .further_address([127, 0, 0, 2].into())
            .fault_when(Fault::RegisterStatus(503), When { from: 1, times: Some(1) })
    })
    .await;
    let client = Client::ready(load(&carrier.generic_config_by_name("alice", "tcp").unwrap())).await;
    let (_, server, tried) = registered(&client.stop().await);
    assert_eq!((server.ip(), tried), (IpAddr::from([127, 0, 0, 2]), 1));
}

// macOS has 127.0.0.1 alone.
#[cfg(not(target_os = "macos"))]
#[tokio::test]
async fn when_every_server_fails_the_error_names_them_all() {
    let carrier =
        carrier(|carrier| carrier.further_address([127, 0, 0, 2].into()).fault(Fault::Refuse(Service::Sip)))
            .await;
    for transport in ["tcp", "tls", "udp", "auto"] {
        let files = load(&carrier.generic_config_by_name("alice", transport).unwrap());
        let (step, code, message) = Client::failure(files).await;
        assert_eq!((step, code), (4, "register.unreachable"), "{message}");
        let named: Vec<&str> = if transport == "auto" { vec!["tls", "tcp", "udp"] } else { vec![transport] };
        for transport in named {
            for address in ["127.0.0.1", "127.0.0.2"] {
                assert!(message.contains(&format!("{transport} {address}:")), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn a_domain_that_offers_no_sip_is_told_as_such() {
    let carrier = carrier(|carrier| carrier.fault(Fault::NoSipService)).await;
    for transport in ["tcp", "auto"] {
        let files = load(&carrier.generic_config_by_name("alice", transport).unwrap());
        let (step, code, message) = Client::failure(files).await;
        assert_eq!((step, code), (1, "resolve.no-sip-service"), "{message}");
    }
}

async fn tls_failure(fault: Fault, transport: &str) -> (u8, &'static str, String) {
    let carrier = carrier(|carrier| carrier.fault(fault)).await;
    Client::failure(load(&carrier.generic_config_by_name("alice", transport).unwrap())).await
}

#[tokio::test]
async fn every_bad_certificate_has_its_code() {
    for (kind, code) in [
        (CertificateFault::UnknownCa, "register.tls-unknown-issuer"),
        (CertificateFault::Expired, "register.tls-expired"),
        (CertificateFault::WrongName, "register.tls-wrong-name"),
    ] {
        let (step, found, message) = tls_failure(Fault::Certificate(Service::Sip, kind), "tls").await;
        assert_eq!((step, found), (4, code), "{message}");
    }
    let (_, code, message) = tls_failure(Fault::Garbage(Service::Sip), "tls").await;
    assert_eq!(code, "register.tls-protocol", "{message}");
}

/// Whoever can show a bad certificate must not get the account in the clear.
#[tokio::test]
async fn a_bad_certificate_does_not_lead_to_an_unencrypted_server() {
    let fault = Fault::Certificate(Service::Sip, CertificateFault::UnknownCa);
    let (_, code, message) = tls_failure(fault, "auto").await;
    assert_eq!(code, "register.tls-unknown-issuer", "{message}");
}
