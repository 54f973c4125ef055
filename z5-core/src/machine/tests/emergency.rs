//! Emergency calls: ports, licence and location; and what a registration says of the location.

use super::*;

#[test]
fn emergency_calls_have_ports_of_their_own() {
    for shared_ports in [false, true] {
        let mut world = World::new().start();
        world.machine.plan.media.shared_ports = shared_ports;
        let mut shared = |call, target: &str| {
            world.input(Input::Command(Command::Call {
                call: CallId(call),
                target: target.into(),
                wanted: SOUND,
                anonymous: false,
                location: None,
            }));
            let prepared = |wish: &Effect| {
                if let Effect::PrepareMedia { shared, .. } = wish { Some(*shared) } else { None }
            };
            let found = world.wishes.iter().find_map(prepared);
            world.settle();
            found
        };
        assert_eq!(shared(9, "echo"), Some(shared_ports));
        assert_eq!(shared(10, "911"), Some(false));
    }
}

#[test]
fn the_licence_limits_calls_but_never_an_emergency_call() {
    let mut world = World::new().start();
    assert_eq!(world.call(1, "+15555550102"), "going");
    assert_eq!(world.call(2, "+15555550103"), "going");
    assert_eq!(world.call(3, "+15555550104"), "call.too-many-calls");
    assert_eq!(world.call(4, "911"), "going");

    let mut world = World::new().start();
    world.now += Duration::from_secs(2000);
    assert_eq!(world.call(1, "+15555550102"), "call.licence-expired");
    assert_eq!(world.call(2, "911"), "going");
}

#[test]
fn an_emergency_call_says_where_it_comes_from_and_others_only_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let block = dir.path().join("provider.xml");
    std::fs::write(&block, "<ad:EmergencyCallData.ProviderInfo/>").unwrap();
    let text = format!(
        "{CONFIG}[emergency]\nlocation = \"geo:38.8977,-77.0365\"\nprovider_info = {:?}\n",
        block.display().to_string()
    );
    for (target, location, expected) in [
        ("911", None, Some("38.8977 -77.0365")),
        ("911", Some("geo:1,2"), Some("1 2")),
        ("911", Some("https://ls.test/1"), Some("Geolocation: <https://ls.test/1>")),
        ("echo", None, None),
        ("echo", Some("geo:1,2"), Some("1 2")),
    ] {
        let mut world = World::with(&text, false).start();
        let call = CallId(9);
        let location = location.map(|text: &str| text.parse().unwrap());
        world.input(Input::Command(Command::Call {
            call,
            target: target.into(),
            wanted: SOUND,
            anonymous: false,
            location,
        }));
        world.settle();
        let pair = io::PortPair {
            rtp: "127.0.0.1:30000".parse().unwrap(),
            rtcp: "127.0.0.1:30001".parse().unwrap(),
        };
        let keys = io::KeyPool(zeroize::Zeroizing::new([7; io::KeyPool::LEN]));
        let ready = vec![io::ReadyMedium {
            kind: crate::events::MediaKind::Audio,
            ports: pair,
            keys,
            fragments: false,
        }];
        world.input(Input::MediaReady { call, outcome: Ok(ready) });
        world.settle();
        let invite = world.sent.iter().find(|message| message.starts_with("INVITE ")).unwrap();
        assert_eq!(invite.starts_with("INVITE urn:service:sos "), target == "911", "{invite}");
        assert_eq!(invite.contains("purpose=EmergencyCallData.ProviderInfo"), target == "911", "{invite}");
        match expected {
            Some(expected) => assert!(invite.contains(expected), "{expected} in {invite}"),
            None => assert!(!invite.contains("Geolocation:"), "{invite}"),
        }
    }
}

/// The user's choice, made in the configuration: a location for emergency calls alone stays out of registrations.
#[test]
fn registrations_carry_the_location_only_where_that_was_said() {
    let place = "[emergency]\nlocation = \"https://ls.test/1\"\n";
    for (told, choice) in [(false, ""), (true, "location_with_registration = true\n")] {
        let world = World::with(&format!("{CONFIG}{place}{choice}"), false).start();
        let registers: Vec<_> = world.sent.iter().filter(|sent| sent.starts_with("REGISTER ")).collect();
        assert!(!registers.is_empty());
        assert!(registers.iter().all(|sent| sent.contains("Geolocation: <https://ls.test/1>") == told));
    }
}
