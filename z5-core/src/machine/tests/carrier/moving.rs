//! A call with a far end of the carrier while this machine gets another address.

use super::*;

#[test]
fn a_call_follows_the_address_of_this_machine_within_two_seconds_and_the_carrier_with_it() {
    let mut net =
        Net::new(z5_mock::Carrier::builder(), 3, |config| config.media.bind = None, RetryMode::Supervised);
    net.input(Input::Start);
    net.live(Duration::from_secs(3));
    net.call(1, "echo");
    net.live(Duration::from_secs(2));
    let mut before = net.events.len();
    for last in [2, 3] {
        net.home = [127, 0, 0, last].into();
        net.command(Command::NetworkChanged);
        net.live(Duration::from_secs(2));
        assert_eq!(net.state(), SessionState::Ready, "{:?}", net.events);
        let moved = net.events[before..].iter().rev().find_map(|event| {
            if let EventKind::CallChanged { media, .. } = event { Some(media.streams.clone()) } else { None }
        });
        let moved = moved.unwrap_or_else(|| panic!("{:?}", &net.events[before..]));
        assert!(moved.iter().all(|stream| stream.local.ip() == net.home && stream.send && stream.receive));
        before = net.events.len();
    }
    net.live(Duration::from_secs(60));
    let troubled = |event: &EventKind| matches!(event.name(), "call-trouble" | "call-ended" | "call-changed");
    assert!(!net.events[before..].iter().any(troubled), "{:?}", &net.events[before..]);
    assert_eq!(net.sim.sizes().far_end_calls, 1);
    net.command(Command::Hangup { call: CallId(1) });
    net.live(Duration::from_secs(2));
    assert_eq!(net.sim.sizes().far_end_calls, 0);
}
