//! The help: fits a screen, has examples, goes to standard output; and the readable output of the commands that list something.
//!
//! The commands that place calls get options often; of those only the form is held here, of the others every word.

mod common;

use common::{World, z5};

const WHOLE: &[&[&str]] = &[
    &["check"],
    &["firewall"],
    &["numbers"],
    &["licence"],
    &["history"],
    &["contacts"],
    &["contacts", "list"],
    &["contacts", "search"],
    &["contacts", "add"],
    &["contacts", "remove"],
    &["contacts", "import"],
    &["contacts", "export"],
    &["contacts", "sync"],
    &["config"],
    &["config", "check"],
    &["config", "show"],
    &["config", "init"],
    &["completions"],
    &["run"],
    &["acceptance"],
    &["monitor"],
];
const FORM: &[&[&str]] = &[
    &["demo"],
    &["mock"],
    &["register"],
    &["call"],
    &["message"],
    &["answer"],
    &["explain"],
    &["report"],
    &["capabilities"],
    &["man"],
];

fn help(command: &[&str]) -> String {
    let mut arguments = command.to_vec();
    arguments.push("--help");
    let run = z5(&arguments);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{command:?}");
    run.stdout
}

#[test]
fn the_help_of_each_command_fits_a_screen_and_has_an_example() {
    for command in WHOLE.iter().chain(FORM) {
        let help = help(command);
        let (lines, columns) = (help.lines().count(), help.lines().map(|line| line.chars().count()).max());
        assert!(lines <= 68 && columns <= Some(100), "{command:?}: {lines} lines, {columns:?} columns");
        let example = format!("  z5 {}", command[0]);
        let options = format!("z5 --config z5.toml {}", command[0]);
        assert!(
            [&["config"][..], &["contacts"]].contains(command)
                || help.contains(&example)
                || help.contains(&options),
            "{command:?} has no example:\n{help}"
        );
    }
}

#[test]
fn every_command_is_known_to_these_tests() {
    let top = z5(&["--help"]).stdout;
    let commands =
        top.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names =
        commands.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        assert!(WHOLE.iter().chain(FORM).any(|command| command[0] == name), "{name} is not tested");
    }
    assert!(top.contains("Exit status: 0 ok"), "{top}");
}

#[test]
fn the_help_is_what_it_was() {
    let all: String =
        WHOLE.iter().map(|command| format!("== {}\n{}", command.join(" "), help(command))).collect();
    insta::assert_snapshot!(all);
}

/// Figures, ports and paths differ from run to run.
fn steady(text: &str, world: &World) -> String {
    let text = text.replace(world.folder.path().to_str().unwrap_or_default(), "FOLDER");
    let mut out = String::new();
    // any program may have a media port of the range, and be silent there
    let fixed = text.lines().filter(|line| !line.contains(" RTP ") && !line.starts_with("FAIL  "));
    for c in fixed.flat_map(|line| line.chars().chain(['\n'])) {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            // columns are as wide as the figures in them
            ' ' if out.ends_with(' ') => {}
            c => out.push(c),
        }
    }
    out
}

#[test]
fn what_is_listed_reads_as_it_did() {
    let world = World::new(&[z5_mock::Fault::Refuse(z5_mock::Service::Sip)]);
    let config = world.config_of("alice").display().to_string();
    let commands = [&["check", "--patience", "700ms"][..], &["numbers"], &["licence"], &["config", "check"]];
    let all: String = commands
        .iter()
        .map(|command| {
            let mut arguments = vec!["--config", &config];
            arguments.extend(*command);
            let run = z5(&arguments);
            format!("== {}\n{}-- {}\n{}", command.join(" "), run.stdout, run.status, run.stderr)
        })
        .collect();
    insta::assert_snapshot!(steady(&all, &world));
}
