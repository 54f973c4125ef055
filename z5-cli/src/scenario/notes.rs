//! What a scenario asks for and none of its parties can feel: told before it runs and in its result. It is no mistake: the network is as bad
//! as it was told to be.

use z5_core::config::Transport;

use super::model::{Action, Impaired, Scenario, Step};
use super::world::World;

/// Each once, in the order of the file.
pub(crate) fn notes(scenario: &Scenario, world: &World) -> Vec<String> {
    let builder = match world {
        World::Mock(builder) | World::Simulated(builder, _) => builder,
        World::Real(_) => return Vec::new(),
    };
    // `auto` may choose it where the domain's records are asked
    let speaks_udp = scenario.parties.iter().any(|party| match party.transport {
        Some(Transport::Udp) => true,
        Some(Transport::Auto) => party.generic,
        Some(Transport::Tcp | Transport::Tls) | None => false,
    });
    let mut notes = Vec::new();
    if speaks_udp {
        return notes;
    }
    note("mock".to_owned(), &builder.sip_impairment_of_datagrams(), &mut notes);
    of_steps(&scenario.steps, &mut notes);
    notes
}

fn of_steps(steps: &[Step], notes: &mut Vec<String>) {
    for step in steps {
        if let Action::Impair(Impaired::Sip, impairment) = &step.action {
            note(format!("line {}", step.at.line), &impairment.of_datagrams(), notes);
        }
        if let Action::Parallel(branches) = &step.action {
            branches.iter().for_each(|branch| of_steps(branch, notes));
        }
    }
}

fn note(place: String, keys: &[&str], notes: &mut Vec<String>) {
    if keys.is_empty() {
        return;
    }
    let note = format!(
        "{place}: {} of SIP: over UDP alone, which no party speaks (`profile: generic` with `transport: udp`); over TCP and TLS delay, \
         jitter and rate act, and loss is TCP's to mend",
        keys.join(", ")
    );
    // a loop is many steps of one line
    if !notes.contains(&note) {
        notes.push(note);
    }
}
