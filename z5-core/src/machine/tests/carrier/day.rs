//! A day of a session against the mock carrier in simulated time: registrations renewed, calls, licences and configurations renewed,
//! connections cut, servers away and back, addresses that change. Nothing may pile up and nothing drift.

use super::*;
use crate::clock::WallAnchor;
use io::{Look, Route};
use z5_mock::recorder::Service;
use z5_mock::{Carrier, Fault, LicenceOptions};

/// Between registrations at most.
const GRANTED: Duration = Duration::from_secs(300);
const HOURS: u64 = 24;

#[test]
fn a_day_of_refreshes_calls_and_outages_leaves_nothing_behind() {
    let licence = LicenceOptions {
        lifetime: Duration::from_secs(3 * 3600),
        grace: Duration::from_secs(3600),
        refresh_after: Duration::from_secs(3600),
        ..LicenceOptions::default()
    };
    let builder = Carrier::builder()
        .granted_expires(GRANTED)
        .licence(licence)
        .configuration_lifetime(Duration::from_secs(2 * 3600));
    let mut net = Net::new(builder, 5, |_| {}, RetryMode::Supervised);
    let began = net.now;
    net.input(Input::Start);
    net.live(Duration::from_secs(30));
    assert_eq!(net.state(), SessionState::Ready);
    let (mut call, mut established, mut renewed, mut sizes, mut registers) =
        (1000, 0, 0, Vec::new(), Vec::new());
    for hour in 0..HOURS {
        let before = net.registers;
        for tenth in 0..10 {
            call += 1;
            net.call(call, "echo");
            net.live(Duration::from_secs(60));
            net.command(Command::Hangup { call: CallId(call) });
            net.live(Duration::from_secs(60));
            look(&mut net, began, hour);
            match (hour % 4, tenth) {
                // The SIP server is switched off and on.
                (1, 4) => {
                    net.sim.faults().arm(Fault::Refuse(Service::Sip));
                    net.sim.cut_sip([127, 0, 0, 1].into(), net.now);
                    net.hear();
                    net.live(Duration::from_secs(90));
                    net.sim.faults().disarm(Fault::Refuse(Service::Sip));
                }
                // Licence and address book cannot be had; the names neither.
                (2, 4) => {
                    let away = [Fault::Maintenance(Service::Mcs, None), Fault::BlackHole(Service::Dns)];
                    for fault in away {
                        net.sim.faults().arm(fault);
                    }
                    net.live(Duration::from_secs(90));
                    away.iter().for_each(|fault| net.sim.faults().disarm(*fault));
                }
                _ => drop(net.live(Duration::from_secs(90))),
            }
            net.live(Duration::from_secs(150));
        }
        // The quiet end of the hour: every transaction and every pause is over.
        assert_eq!(
            net.state(),
            SessionState::Ready,
            "hour {hour}: {:?}",
            net.events.iter().rev().take(20).collect::<Vec<_>>()
        );
        established +=
            net.events.iter().filter(|event| matches!(event, EventKind::CallEstablished { .. })).count();
        renewed +=
            net.events.iter().filter(|event| matches!(event, EventKind::LicenceRenewed { .. })).count();
        net.events.clear();
        let agent = net.machine.line.remembered();
        sizes.push((net.sim.sizes(), agent, net.facts.len(), net.machine.view().calls.len()));
        registers.push(net.registers - before);
    }
    let took = net.now - began;
    assert_eq!(took.as_secs(), HOURS * 3600 + 30, "an hour is an hour");
    let first = sizes[1];
    assert!(sizes[1..].iter().all(|size| *size == first), "something piles up: {sizes:#?}");
    // All calls but the few that an outage met.
    assert!(established as u64 >= HOURS * 10 - 12, "{established} calls");
    assert!(renewed as u64 >= HOURS - 3, "{renewed} licences");
    // A registration each 150 to 300 s, whatever hour it is, and a few more where the server was away.
    assert!(registers.iter().all(|count| (12..=60).contains(count)), "drift: {registers:?}");
}

/// The driver's look at the clock and the routes; another local address each third hour.
fn look(net: &mut Net, began: Instant, hour: u64) {
    let wall = WallAnchor { at: net.now, unix_s: UNIX_S + (net.now - began).as_secs() };
    let route = Route::From([192, 0, 2, 1 + (hour / 3) as u8].into());
    net.input(Input::Look(Look { wall, route }));
}
