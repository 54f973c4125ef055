//! What travels with calls beside the calls: who the network says is calling, cards of owners, where an emergency call comes
//! from, text that is added later; and the keep-alive of UDP flows.

use std::net::IpAddr;
use std::time::Duration;

use z5_core::config::SrtpMode;
use z5_core::events::{About, MediaKind};
use z5_core::{CallMedia, CallRequest, Config, EventKind, SessionState};
use z5_mock::{Fault, Script, Service, When};

use crate::support::{Client, carrier, config, load};
use crate::transports::messages;

const CARD: &str =
    "<vcards xmlns=\"urn:ietf:params:xml:ns:vcard-4.0\"><vcard><fn><text>Alice</text></fn></vcard></vcards>";

/// A configuration with a card of its owner, as a file beside it.
fn with_card((mut config, files): (Config, tempfile::TempDir)) -> (Config, tempfile::TempDir) {
    let path = files.path().join("owner.xml");
    std::fs::write(&path, CARD).unwrap();
    config.sip.owner_card = Some(path);
    (config, files)
}

#[tokio::test]
async fn owners_show_their_cards_and_the_network_says_who_calls() {
    let carrier = carrier(|carrier| carrier).await;
    let mut alice = Client::ready(with_card(config(&carrier, "alice", |_| {}))).await;
    let (mut bobs, files) = config(&carrier, "bob", |_| {});
    bobs.sip.owner_uri = Some("https://cards.test/bob".to_owned());
    let mut bob = Client::ready((bobs, files)).await;
    let call = alice.session.call(CallRequest::to("+15555550102"));
    let incoming = bob.until("incoming", |kind| matches!(kind, EventKind::Incoming { .. })).await;
    let EventKind::Incoming { call: at_bob, asserted, about, .. } = incoming else { unreachable!() };
    assert!(asserted.is_some_and(|asserted| asserted.starts_with("sip:+15555550101@")), "the proxy vouches");
    let [About { purpose, uri, content, content_type }] = &about[..] else { panic!("{about:?}") };
    assert_eq!((purpose.as_str(), content.as_deref()), ("rue-owner", Some(CARD)));
    assert_eq!(content_type.as_deref(), Some("application/vcard+xml"));
    assert!(uri.starts_with("cid:"), "{uri}");
    bob.session.answer(at_bob, CallMedia::default());
    let told = alice.until("the far end's card", |kind| matches!(kind, EventKind::CallInfo { .. })).await;
    let EventKind::CallInfo { about, .. } = told else { unreachable!() };
    assert!(about.iter().any(|about| about.uri == "https://cards.test/bob"), "{about:?}");
    alice.until("established", |kind| matches!(kind, EventKind::CallEstablished { .. })).await;
    // Who hides shows no card and is not vouched for.
    alice.session.hangup(call);
    bob.until("ended", |kind| matches!(kind, EventKind::CallEnded { .. })).await;
    alice.session.call(CallRequest::to("+15555550102").anonymous());
    let incoming = bob.until("incoming", |kind| matches!(kind, EventKind::Incoming { .. })).await;
    let EventKind::Incoming { asserted, about, .. } = incoming else { unreachable!() };
    assert_eq!((asserted, about), (None, Vec::new()));
    alice.stop().await;
    bob.stop().await;
}

#[tokio::test]
async fn emergency_services_hear_where_the_call_comes_from() {
    let carrier = carrier(|carrier| carrier).await;
    let (mut settings, files) = config(&carrier, "alice", |_| {});
    settings.emergency.location = Some("geo:38.8977,-77.0365;u=30".to_owned());
    let mut client = Client::ready((settings, files)).await;
    for (request, expected) in [
        (CallRequest::to("911"), "location 38.8977 -77.0365"),
        (CallRequest::to("911").from_location("geo:1.5,2".parse().unwrap()), "location 1.5 2"),
        (
            CallRequest::to("911").from_location("https://ls.test/1".parse().unwrap()),
            "location at https://ls.test/1",
        ),
    ] {
        let media = CallMedia { text: Some(true), ..CallMedia::default() };
        let call = client.session.call(request.with(media));
        let mut typed = String::new();
        while !typed.contains(expected) {
            if let EventKind::Text { text, .. } =
                client.until(expected, |kind| matches!(kind, EventKind::Text { .. })).await
            {
                typed.push_str(&text);
            }
        }
        client.session.hangup(call);
        client.until("ended", |kind| matches!(kind, EventKind::CallEnded { .. })).await;
    }
    let invites = messages(&carrier, "INVITE");
    assert!(invites.iter().all(|invite| invite.starts_with("INVITE urn:service:sos ")), "{invites:#?}");
    client.stop().await;
}

/// Reads what is typed until these words are there.
async fn typed(client: &mut Client, words: &str) {
    let mut all = String::new();
    while !all.contains(words) {
        let text = client.until(words, |kind| matches!(kind, EventKind::Text { .. })).await;
        if let EventKind::Text { text, .. } = text {
            all.push_str(&text);
        }
    }
}

/// With keys of its own where there is encryption: the interpreter is somebody else.
#[tokio::test]
async fn a_relay_call_waits_in_a_queue_until_an_interpreter_takes_it() {
    for srtp in [SrtpMode::Off, SrtpMode::Required] {
        let carrier = carrier(|carrier| carrier).await;
        let (mut configuration, files) = config(&carrier, "alice", |_| {});
        configuration.media.srtp = srtp;
        let mut client = Client::ready((configuration, files)).await;
        client
            .session
            .call(CallRequest::to("vrs").with(CallMedia { text: Some(true), ..CallMedia::default() }));
        typed(&mut client, "You are number 1 in the queue.").await;
        typed(&mut client, "Interpreter 42 is here.").await;
        client.stop().await;
    }
}

/// The words come apart by the pause between them, and the end of the call after both.
#[tokio::test]
async fn a_scripted_far_end_types_at_its_time() {
    let steps = ["answer", "type One moment", "wait 1s", "type , please.", "wait 1500ms", "hang-up"];
    let steps = steps.iter().map(|step| step.parse().unwrap()).collect();
    let script = Script::new("+15555550950", steps).unwrap();
    let carrier = carrier(|carrier| carrier.far_end(script)).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let media = CallMedia { text: Some(true), ..CallMedia::default() };
    client.session.call(CallRequest::to("+15555550950").with(media));
    typed(&mut client, "One moment, please.").await;
    let pieces = client.seen.iter().filter(|event| matches!(event.kind, EventKind::Text { .. })).count();
    assert!(pieces >= 2, "{:#?}", client.seen);
    client.until("ended", |kind| matches!(kind, EventKind::CallEnded { .. })).await;
    client.stop().await;
}

#[tokio::test]
async fn a_video_mail_that_is_left_is_told_as_waiting() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let mailbox = |kind: &EventKind| matches!(kind, EventKind::MessageWaiting { .. });
    let told = client.until("the state of the mailbox", mailbox).await;
    assert!(matches!(told, EventKind::MessageWaiting { waiting: false, .. }), "{told:?}");
    let call = client.session.call(CallRequest::to("videomail"));
    client.until("media", |kind| matches!(kind, EventKind::FirstMedia { .. })).await;
    // The greeting may be here before anything of ours is there, and nothing recorded is no message.
    let recorded = async {
        while carrier.relay_stats().iter().all(|line| line.from_caller.rtp_packets == 0) {
            tokio::task::yield_now().await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(60), recorded).await.is_ok(),
        "nothing came to be recorded"
    );
    client.session.hangup(call);
    let told = client.until("the state of the mailbox", mailbox).await;
    assert!(matches!(told, EventKind::MessageWaiting { waiting: true, .. }), "{told:?}");
    client.stop().await;
}

#[tokio::test]
async fn text_is_added_to_a_call_that_began_with_sound() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let media = CallMedia { text: Some(false), ..CallMedia::default() };
    let call = client.session.call(CallRequest::to("echo").with(media));
    client.until("established", |kind| matches!(kind, EventKind::CallEstablished { .. })).await;
    client.session.add(call, MediaKind::Text);
    let changed = client.until("text", |kind| matches!(kind, EventKind::CallChanged { .. })).await;
    let EventKind::CallChanged { media, .. } = changed else { unreachable!() };
    assert!(media.streams.iter().any(|stream| stream.kind == MediaKind::Text && stream.send), "{media:?}");
    client.session.send_text(call, "HELLO");
    let mut typed = String::new();
    while !typed.contains("HELLO") {
        if let EventKind::Text { text, .. } =
            client.until("HELLO", |kind| matches!(kind, EventKind::Text { .. })).await
        {
            typed.push_str(&text);
        }
    }
    client.stop().await;
}

#[tokio::test]
async fn a_udp_flow_is_kept_by_stun_and_replaced_when_our_address_moves() {
    let carrier = carrier(|carrier| carrier).await;
    // The first answer is right; every later one names another port, as after a NAT that has forgotten us.
    carrier.faults().arm_when(Fault::AddressMoves, When { from: 2, times: Some(1) });
    let (mut settings, files) = load(&carrier.generic_config_over("alice", "udp").unwrap());
    settings.sip.keep_alive = 1;
    let mut client = Client::ready((settings, files)).await;
    // The carrier says that it supports outbound, so STUN is asked without being told to.
    client
        .until(
            "a new flow",
            |kind| matches!(kind, EventKind::State { state } if state.name() == "registering"),
        )
        .await;
    client.until("registered again", |kind| matches!(kind, EventKind::Refreshed { .. })).await;
    let call = client.session.call(CallRequest::to("echo"));
    client.until("established", |kind| matches!(kind, EventKind::CallEstablished { .. })).await;
    client.session.hangup(call);
    client.until("ended", |kind| matches!(kind, EventKind::CallEnded { .. })).await;
    client.stop().await;
    let asked = messages(&carrier, "[STUN]").len();
    assert!(asked >= 2, "{asked} STUN requests");
    let ports: std::collections::BTreeSet<String> = messages(&carrier, "REGISTER")
        .iter()
        .filter_map(|register| register.lines().find(|line| line.starts_with("Via:")).map(str::to_owned))
        .filter_map(|via| via.split([' ', ';']).nth(2).map(str::to_owned))
        .collect();
    assert!(ports.len() >= 2, "another socket: {ports:?}");
}

// macOS has 127.0.0.1 alone.
#[cfg(not(target_os = "macos"))]
#[tokio::test]
async fn two_flows_to_two_servers_and_a_call_outlives_the_loss_of_either() {
    let second = IpAddr::from([127, 0, 0, 2]);
    let carrier = carrier(|carrier| carrier.further_address([127, 0, 0, 2].into())).await;
    let (mut settings, files) = config(&carrier, "alice", |_| {});
    settings.sip.flows = Some(2);
    let mut alice = Client::ready((settings, files)).await;
    let also = alice.until("the second flow", |kind| matches!(kind, EventKind::FlowRegistered { .. })).await;
    let EventKind::FlowRegistered { reg_id, server, .. } = also else { unreachable!() };
    assert_eq!((reg_id, server.ip()), (2, second));
    let mut bob = Client::ready(config(&carrier, "bob", |_| {})).await;
    let call = alice.session.call(CallRequest::to("+15555550102"));
    let incoming = bob.until("incoming", |kind| matches!(kind, EventKind::Incoming { .. })).await;
    let EventKind::Incoming { call: at_bob, .. } = incoming else { unreachable!() };
    bob.session.answer(at_bob, CallMedia::default());
    alice.until("established", |kind| matches!(kind, EventKind::CallEstablished { .. })).await;
    bob.until("established", |kind| matches!(kind, EventKind::CallEstablished { .. })).await;

    // The server that carries the second flow is switched off: calls go on, the flow comes back.
    carrier.cut_sip(second).await;
    alice.until("the loss", |kind| matches!(kind, EventKind::FlowLost { reg_id: 2, .. })).await;
    alice.until("the second flow again", |kind| matches!(kind, EventKind::FlowRegistered { .. })).await;
    assert_eq!(alice.session.snapshot().state, SessionState::Ready);

    // Then the one that carries the first, for good: bob too finds the other one.
    let first = carrier.sip_addr().ip();
    carrier.faults().arm_at(Fault::Refuse(Service::Sip), first);
    carrier.cut_sip(first).await;
    alice.until("the loss", |kind| matches!(kind, EventKind::FlowLost { reg_id: 1, .. })).await;
    bob.until("registered again", |kind| matches!(kind, EventKind::Refreshed { .. })).await;
    // The next request of the call goes over the other flow, and no state but Ready is told.
    alice.session.hold(call);
    alice.until("hold", |kind| matches!(kind, EventKind::CallHold { local: true, .. })).await;
    bob.until("held", |kind| matches!(kind, EventKind::CallHold { remote: true, .. })).await;
    alice.session.hangup(call);
    bob.until("ended", |kind| matches!(kind, EventKind::CallEnded { .. })).await;
    let lost = alice.seen.iter().any(|event| matches!(event.kind, EventKind::MailboxLost { .. }));
    assert!(!lost, "the subscription moves too");
    // Someone can still reach alice.
    bob.session.call(CallRequest::to("+15555550101"));
    alice.until("incoming", |kind| matches!(kind, EventKind::Incoming { .. })).await;
    let unready = alice.seen.iter().skip_while(|event| !matches!(event.kind, EventKind::Ready { .. }));
    let unready = unready.filter(|event| matches!(event.kind, EventKind::State { .. })).count();
    assert_eq!(unready, 0, "never without a registration: {:#?}", alice.seen);
    alice.stop().await;
    bob.stop().await;
}
