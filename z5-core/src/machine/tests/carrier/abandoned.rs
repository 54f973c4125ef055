//! What an outage leaves at the carrier: calls whose caller went before the ACK, while it rang, or in the middle, are over there too.

use super::*;
use z5_mock::recorder::Service;
use z5_mock::{Carrier, Fault};

const SECOND: Duration = Duration::from_secs(1);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn ready() -> Net {
    let mut net = Net::new(Carrier::builder(), 7, |_| {}, RetryMode::Supervised);
    net.input(Input::Start);
    net.live(5 * SECOND);
    assert_eq!(net.state(), SessionState::Ready, "{:?}", net.events);
    net
}

/// Calls in the proxy and at far ends.
fn calls(net: &Net) -> (usize, usize) {
    (net.sim.sizes().calls, net.sim.sizes().far_end_calls)
}

/// Every connection ends, and the server is away for a while.
fn outage(net: &mut Net, lasting: Duration) {
    net.sim.faults().arm(Fault::Refuse(Service::Sip));
    net.sim.cut_sip(HERE, net.now);
    net.hear();
    net.live(lasting);
    net.sim.faults().disarm(Fault::Refuse(Service::Sip));
}

#[test]
fn a_far_end_that_never_gets_its_ack_ends_the_call_after_32_s() {
    let mut net = ready();
    net.call(1, "echo");
    // It has been answered; the 200 is on its way.
    net.live(ROUND_TRIP / 2);
    assert_eq!(calls(&net), (1, 1));
    outage(&mut net, 5 * SECOND);
    net.live(26 * SECOND);
    assert_eq!(calls(&net), (1, 1), "an ACK may still come");
    net.live(SECOND);
    assert_eq!(calls(&net).1, 0, "64 times T1 are over");
    // The answer to its BYE, or the end of the wait for one.
    net.live(40 * SECOND);
    assert_eq!(calls(&net), (0, 0));
    assert_eq!(net.state(), SessionState::Ready);
}

/// Each ACK vanishes; a 2xx that comes again is acknowledged again, and at the end there is a BYE.
#[test]
fn a_call_without_a_single_ack_is_ended_by_the_far_end() {
    let mut net = ready();
    net.sim.faults().arm(Fault::LostAck);
    net.call(1, "echo");
    net.live(31 * SECOND);
    let established = |event: &&EventKind| matches!(event, EventKind::CallEstablished { .. });
    assert_eq!(net.events.iter().filter(established).count(), 1);
    assert_eq!(calls(&net), (1, 1));
    let acks = net.sim.recorder().entries().iter().filter(|entry| entry.text.starts_with("ACK ")).count();
    // At 0, 0.5, 1.5, 3.5, 7.5 s and each 4 s from then on.
    assert_eq!(acks, 10, "one for each 2xx");
    net.live(2 * SECOND);
    assert!(net.events.iter().any(|event| matches!(event, EventKind::CallEnded { .. })), "{:?}", net.events);
    assert_eq!(calls(&net), (0, 0));
}

/// One ACK that is lost costs a repeated 2xx and nothing more.
#[test]
fn a_call_whose_first_ack_is_lost_stands() {
    let mut net = ready();
    net.sim.faults().arm_when(Fault::LostAck, z5_mock::When::first(1));
    net.call(1, "echo");
    net.live(120 * SECOND);
    assert_eq!(calls(&net), (1, 1));
    assert!(!net.events.iter().any(|event| matches!(event, EventKind::CallEnded { .. })));
}

#[test]
fn what_rings_is_given_up_when_its_caller_stays_away() {
    let mut net = ready();
    net.call(1, "noanswer");
    net.live(2 * SECOND);
    assert_eq!(calls(&net), (1, 1));
    outage(&mut net, 60 * SECOND);
    assert_eq!(calls(&net).1, 0, "it was cancelled");
    net.live(40 * SECOND);
    assert_eq!(calls(&net), (0, 0));
}

#[test]
fn an_established_call_outlives_an_outage_of_minutes_and_is_forgotten_after_a_longer_one() {
    let mut net = ready();
    net.call(1, "echo");
    net.live(2 * SECOND);
    outage(&mut net, 120 * SECOND);
    assert_eq!(calls(&net), (1, 1));
    net.live(300 * SECOND);
    assert_eq!(calls(&net), (1, 1), "its caller is back");
    net.command(Command::Hangup { call: CallId(1) });
    net.live(2 * SECOND);
    assert_eq!(calls(&net), (0, 0));
    net.call(2, "echo");
    net.live(2 * SECOND);
    assert_eq!(calls(&net), (1, 1));
    // A minute until its media counts as silent, and three for its caller to come back.
    outage(&mut net, 250 * SECOND);
    assert_eq!(calls(&net), (0, 0));
}

/// Over TCP nothing is repeated; Timer B (RFC 3261 section 17.1.1.2) ends the wait for any answer at all, if our patience has not.
#[test]
fn a_call_whose_invite_vanishes_times_out() {
    for (patience, after) in [(None, 32), (Some(10), 11)] {
        let mut net = Net::new(
            Carrier::builder().fault(Fault::InviteVanishes),
            7,
            |config| {
                if let Some(seconds) = patience {
                    config.timeouts.call = crate::config::Millis(seconds * 1000);
                }
            },
            RetryMode::Supervised,
        );
        net.input(Input::Start);
        net.live(5 * SECOND);
        net.call(1, "echo");
        net.live((after - 1) * SECOND);
        let failed = |net: &Net| {
            net.events.iter().find_map(|event| {
                if let EventKind::CallFailed { error, .. } = event { Some(error.code()) } else { None }
            })
        };
        assert_eq!(failed(&net), None, "{patience:?}");
        net.live(2 * SECOND);
        assert_eq!(failed(&net), Some("call.timed-out"), "{patience:?}: {:?}", net.events);
        assert_eq!(net.state(), SessionState::Ready);
    }
}
