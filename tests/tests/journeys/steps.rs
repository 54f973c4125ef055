//! The five steps, what they report, and how fast they are.

use z5_core::events::StepDetail;
use z5_core::{EventKind, RetryMode, StartOptions};

use crate::support::{Client, carrier, config};

#[tokio::test]
async fn five_steps_lead_to_ready_and_back() {
    let carrier = carrier(|carrier| carrier).await;
    let client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let snapshot = client.session.snapshot();
    assert_eq!(snapshot.number.as_deref(), Some("+15555550101"));
    assert!(client.session.contacts().iter().any(|contact| contact.name.contains("Echo")));
    let seen = client.stop().await;

    let details: Vec<(&StepDetail, u8)> = seen
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::StepDone { detail, number, .. } => Some((detail, *number)),
            _ => None,
        })
        .collect();
    assert_eq!(details.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let StepDetail::Resolved { names } = details[0].0 else { panic!("step 1 reports names") };
    assert_eq!(names.len(), 5);
    for name in names {
        assert_eq!(name.addresses.len(), 1, "{name:?}");
        assert_eq!(name.answers[0].transport, Some("udp"));
        assert_eq!(name.answers[0].server, Some(carrier.dns_addr()));
    }
    let StepDetail::SignedIn { chosen, offered, authentication, .. } = details[1].0 else { panic!("step 2") };
    assert_eq!((chosen.as_str(), offered.len(), *authentication), ("+15555550101", 1, "SHA-256"));
    let StepDetail::Provisioned { licence, contacts, .. } = details[2].0 else { panic!("step 3") };
    assert!(licence.features.iter().any(|feature| feature == "text"));
    assert!(*contacts >= 2);
    let StepDetail::Registered { granted_s, server, .. } = details[3].0 else { panic!("step 4") };
    assert_eq!((*granted_s, *server), (600, carrier.sip_addr()));
    for event in &seen {
        if let EventKind::Ready { timings, .. } = &event.kind {
            println!("timings_ms {}", serde_json::to_string(timings).unwrap());
        }
    }
}

#[tokio::test]
async fn the_steps_come_in_order_and_every_event_is_one_flat_json_object() {
    let carrier = carrier(|carrier| carrier).await;
    let seen = Client::ready(config(&carrier, "alice", |_| {})).await.stop().await;
    let mut sequence = 0;
    for event in &seen {
        assert!(event.sequence > sequence);
        sequence = event.sequence;
        let json = serde_json::to_value(event).unwrap();
        assert_eq!(json["event"], event.kind.name(), "{json}");
    }
}

#[tokio::test]
async fn a_number_is_chosen_when_asked_for() {
    let carrier = carrier(|carrier| carrier).await;
    let options =
        StartOptions { interactive_number: true, retry: RetryMode::Once, ..StartOptions::default() };
    let files = config(&carrier, "carol", |client| {
        if let Some(zdial) = &mut client.zdial {
            zdial.number = None;
        }
    });
    let mut client = Client::start_with(files, options);
    let asked =
        client.until("number required", |kind| matches!(kind, EventKind::NumberRequired { .. })).await;
    let EventKind::NumberRequired { numbers } = asked else { unreachable!() };
    assert_eq!(numbers.len(), 2);
    client.session.choose_number("5555550104");
    client.until("ready", |kind| matches!(kind, EventKind::Ready { .. })).await;
    assert_eq!(client.session.snapshot().number.as_deref(), Some("+15555550104"));
    client.stop().await;
}

#[tokio::test]
async fn names_come_over_tcp_when_udp_is_blocked_or_cut_short() {
    for fault in [z5_mock::Fault::UdpBlocked, z5_mock::Fault::Truncated] {
        let carrier = carrier(|carrier| carrier.fault(fault)).await;
        let seen = Client::ready(config(&carrier, "alice", |_| {})).await.stop().await;
        let over_tcp = seen.iter().any(|event| match &event.kind {
            EventKind::StepDone { detail: StepDetail::Resolved { names }, .. } => {
                names.iter().all(|name| name.answers.iter().all(|answer| answer.transport == Some("tcp")))
            }
            _ => false,
        });
        assert!(over_tcp, "{fault:?}");
    }
}

#[tokio::test]
async fn dropping_the_last_handle_unregisters() {
    let carrier = carrier(|carrier| carrier).await;
    let client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let Client { session, mut events, .. } = client;
    drop(session);
    let mut unregistered = false;
    while let Some(event) =
        tokio::time::timeout(std::time::Duration::from_secs(1), events.next()).await.unwrap()
    {
        unregistered |= matches!(event.kind, EventKind::Unregistered { confirmed: true });
    }
    assert!(unregistered);
}

/// Three carriers in one process, with faults and accounts of their own: a session on each, and nothing of one at another.
#[tokio::test]
async fn carriers_side_by_side_do_not_meet() {
    let mut clients = Vec::new();
    let mut carriers = Vec::new();
    for seed in 1..=3 {
        let carrier = z5_mock::Carrier::builder().seed(seed).start().await.unwrap();
        carriers.push(carrier);
    }
    carriers[1].faults().arm(z5_mock::Fault::RegisterForbidden);
    for carrier in &carriers {
        clients.push(Client::start(config(carrier, "alice", |_| {})));
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let over = |kind: &EventKind| matches!(kind, EventKind::Ready { .. } | EventKind::Stopped { .. });
        let end = client.until("an end", over).await;
        assert_eq!(matches!(end, EventKind::Ready { .. }), index != 1, "{index}: {end:?}");
    }
    for (index, carrier) in carriers.iter().enumerate() {
        let registers =
            carrier.recorder().entries().iter().filter(|entry| entry.text.starts_with("REGISTER")).count();
        assert_eq!(registers, 2, "one challenged and one answered at carrier {index}");
    }
}
