//! Calls whose end nobody answers: they are over for the application after a second, and what is under way lives on beneath.

use super::*;
use crate::call::Side;

fn dial(world: &mut World, call: CallId) {
    world.command(Command::Call {
        call,
        target: "bob".into(),
        wanted: io::Wanted { text: Some(false), ..SOUND },
        anonymous: false,
        location: None,
    });
    world.make_ready(call);
}

/// How the call ended, who ended it, and after how long.
fn end(world: &mut World, call: CallId) -> (&'static str, Side, Duration) {
    let began = world.now;
    loop {
        let told = world.events.iter().find_map(|event| {
            if let EventKind::CallFailed { call: of, by, error, .. } = event {
                return (*of == call).then_some((error.code(), *by));
            }
            let EventKind::CallEnded { call: of, by, .. } = event else { return None };
            (*of == call).then_some(("ended", *by))
        });
        if let Some((code, by)) = told {
            return (code, by, world.now - began);
        }
        assert!(world.now - began < Duration::from_secs(120), "no end: {:?}", world.names());
        world.wait();
    }
}

fn ends(world: &World) -> usize {
    world.names().iter().filter(|name| matches!(**name, "call-failed" | "call-ended")).count()
}

const PATIENCE: &str = "call = 10000\n";

#[test]
fn a_call_that_nothing_is_heard_of_is_over_a_second_after_its_time_and_hung_up_when_it_is_answered_late() {
    let mut world = World::with(&format!("{CONFIG}{PATIENCE}"), false).start();
    let call = CallId(9);
    dial(&mut world, call);
    let (code, by, after) = end(&mut world, call);
    assert_eq!((code, by), ("call.timed-out", Side::Network));
    assert!(after >= Duration::from_secs(10) && after < Duration::from_millis(11_100), "{after:?}");
    assert!(world.machine.view().calls.is_empty());
    assert_eq!(world.said("CANCEL "), None, "nothing may be cancelled before a provisional response");
    // The far end takes it after all.
    world.reply(200, standing::AUDIO);
    assert!(world.said("ACK ").is_some() && world.said("BYE ").is_some(), "{:?}", world.sent);
    assert_eq!(ends(&world), 1);
    assert_eq!(world.call(10, "bob"), "going");
}

#[test]
fn a_call_that_is_hung_up_before_anything_is_heard_of_it_is_over_within_a_second() {
    let mut world = World::new().start();
    let call = CallId(9);
    dial(&mut world, call);
    world.command(Command::Hangup { call });
    let (code, by, after) = end(&mut world, call);
    assert_eq!((code, by), ("call.cancelled", Side::Local));
    assert!(after < Duration::from_millis(1100), "{after:?}");
    // Ringing comes late: now it is cancelled, and that is answered to nobody.
    world.reply(180, "");
    assert!(world.said("CANCEL ").is_some(), "{:?}", world.sent);
    world.reply(487, "");
    world.pass(Duration::from_secs(40));
    assert_eq!(ends(&world), 1);
}

#[test]
fn a_call_whose_bye_is_not_answered_is_over_with_its_figures_within_a_second() {
    let mut world = World::new().start();
    let call = world.ring(1, standing::AUDIO).unwrap();
    world.establish(call);
    world.command(Command::Hangup { call });
    assert!(world.said("BYE ").is_some());
    let (code, by, after) = end(&mut world, call);
    assert_eq!((code, by), ("ended", Side::Local));
    assert!(after < Duration::from_millis(1100), "{after:?}");
    let bye = world.sent.iter().rev().find(|message| message.starts_with("BYE ")).unwrap();
    let bye = Message::parse_datagram(Bytes::from(bye.clone())).unwrap();
    let late = ResponseBuilder::to_request(&bye, 200, "OK").build().unwrap();
    world.input(Input::Received { flow: FlowId(1), bytes: late.as_bytes() });
    world.pass(Duration::from_secs(40));
    assert_eq!(ends(&world), 1);
}
