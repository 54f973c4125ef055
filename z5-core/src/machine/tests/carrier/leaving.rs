//! Whenever a session is told to stop, as the drop of its last handle does, it has ended within a second: while it starts, with and
//! without a call, and when nobody answers any more.

use super::*;
use z5_mock::Carrier;

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn a_session_that_is_told_to_stop_has_ended_within_a_second_at_any_moment() {
    let mut states = std::collections::BTreeSet::new();
    for dead in [false, true] {
        for stop in (0..700).step_by(20) {
            let mut net = Net::new(Carrier::builder(), 3, |_| {}, RetryMode::Supervised);
            net.input(Input::Start);
            let calls = 500;
            net.live(calls.min(stop) * MILLISECOND);
            if stop > calls {
                net.call(1, "echo");
                net.live((stop - calls) * MILLISECOND);
            }
            states.insert((net.state().name(), net.machine.view().calls.len()));
            if dead {
                // The network is gone without a word.
                net.facts.clear();
                net.flows.clear();
                net.https_age += 1;
            }
            net.command(Command::Stop);
            net.live(1000 * MILLISECOND);
            let stopped = |event: &EventKind| matches!(event, EventKind::Stopped { error: None, .. });
            assert!(net.events.last().is_some_and(stopped), "{stop} ms, dead: {dead}: {:#?}", net.events);
        }
    }
    // What was stopped: every step, and a session without and with a call.
    assert!(states.len() >= 6, "{states:?}");
}
