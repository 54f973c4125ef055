//! Every flag and every value of every command, mistyped: each mistake is told by the name of the flag and what was seen, with the nearest
//! of what may stand there, in words. A flag that these tests do not know fails them: whoever adds one says here how it is mistyped.
//!
//! Values that name files and people are judged after the command line; `tests/bad_input.rs` has those.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, Parser};

use super::Cli;

/// What a library would say to its own programmer.
const RAW: &[&str] = &[
    "invalid digit",
    "expected number",
    "time unit needed",
    "target type",
    "socket address syntax",
    "os error",
    "invalid float",
    "ParseIntError",
    "cannot parse integer",
    "``",
    "\"\"",
];

/// Names of files, people and texts: any text may be one.
const FREE: &[&str] = &[
    "config",
    "target",
    "location",
    "record",
    "text",
    "ca",
    "capture",
    "report",
    "write_config",
    "scenario",
    "files",
    "file",
    "junit",
    "markdown",
    "export",
    "only",
    "capsule",
    "output",
    "name",
    "numbers",
    "contact",
    "party",
    "set",
];

/// What is written wrong in an argument of this name, and what the refusal must then say.
fn mistyped(path: &str, arg: &Arg) -> Option<Vec<(String, String)>> {
    let known = arg.get_possible_values();
    if arg.get_action().takes_values() && !known.is_empty() {
        // every value with a letter too many
        let near = |name: &str| (format!("{name}{}", &name[name.len() - 1..]), format!("'{name}'"));
        return Some(known.iter().map(|value| near(value.get_name())).collect());
    }
    let time =
        || ["5", "abc", "5x", "s", ""].map(|text| (text, "write for example 5s, 500ms or 2m")).to_vec();
    let whole =
        || ["x", "-1", "1.5", "99999999999999999999", ""].map(|text| (text, "a whole number from ")).to_vec();
    let value_name = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    let list: Vec<(&str, &str)> = match (arg.get_id().as_str(), value_name) {
        (_, "TIME") => time(),
        (_, "N" | "PORT") => whole(),
        (_, "+E164") => {
            ["alice", "+1 555", ""].map(|text| (text, "digits alone, such as +15555550101")).to_vec()
        }
        (_, "SPEED") => ["fast", "0", "-1", "1e9", ""].map(|text| (text, "from 0.1 to 100")).to_vec(),
        ("audio", _) => vec![
            ("tonne", "did you mean `tone`?"),
            ("silent", "did you mean `silence`?"),
            ("tone:high", "between 50 and 3800"),
            ("tone:440:loud", "between -60 and 3"),
            ("", "name a WAV file"),
        ],
        ("video", _) => vec![
            ("patern", "did you mean `pattern`?"),
            ("blak", "did you mean `blank`?"),
            ("pattern:big", "pattern:640x480@25"),
            ("film.h264@0", "1 to 120"),
            ("zzz", "FILE.y4m"),
        ],
        ("at", _) => vec![
            ("2s", "TIME=ACTION"),
            ("2=hold", "the unit is missing"),
            ("2s=hodl", "did you mean `hold`?"),
            ("2s=mute:adio", "did you mean `audio`?"),
            ("2s=dtmf:1X", "0-9, *, #, A-D"),
            ("2s=zzz", "transfer:TARGET"),
            ("2s=text:", "text:TEXT"),
        ],
        ("codec", _) => vec![("PCMUU", "did you mean `PCMU`?"), ("zzz", "there are: ")],
        ("suite", _) => vec![("AEAD_AES_256_GC", "did you mean `AEAD_AES_256_GCM`?"), ("zzz", "there are: ")],
        ("srtp", _) => vec![("optinal", "did you mean `optional`?"), ("zzz", "off, optional, required")],
        ("sip_transport", _) => vec![("tcpp", "did you mean `tcp`?"), ("zzz", "tcp, tls, udp, auto")],
        ("expect", _) if path == "explain" => {
            vec![
                ("acept", "did you mean `accept`?"),
                ("900", "from 300 to 699"),
                ("zzz", "accept, refuse, drop"),
            ]
        }
        ("expect", _) => vec![
            ("audio.herd", "did you mean `audio.heard`?"),
            ("audio.loss<1ms", "is in %, not in `ms`"),
            ("mos>", "here a number is missing"),
            ("code=buzy", "did you mean `busy`?"),
            ("zzz", "docs/expect.md"),
        ],
        ("fault", _) => vec![
            ("zdial.refsue", "did you mean zdial.refuse?"),
            ("zdial.refuse,tmes=1", "did you mean times=?"),
            ("zdial.refuse,times=x", "a whole number from 1"),
            ("zzz", "docs/mock.md"),
        ],
        ("impair" | "impair_sip", _) => vec![
            ("los=1%", "did you mean loss?"),
            ("loss=1", "1% for one packet in a hundred, or 100%"),
            ("loss=much", "2.5% or 0.025"),
            ("delay=40", "40ms or 1s"),
            ("rate=fast", "300k or 2M"),
            ("loss=1%,loss=2%", "loss=2%"),
        ],
        ("address", _) => vec![("10.0.0.1", "127.0.0.0/8"), ("zzz", "such as 127.0.0.2")],
        ("listen", _) => vec![
            ("9650", "the address before the port is missing"),
            ("localhost:9650", "a name is not looked up"),
            ("127.0.0.1:99999", "write for example 127.0.0.1:9650"),
        ],
        _ => return None,
    };
    Some(list.into_iter().map(|(text, says)| (text.to_owned(), says.to_owned())).collect())
}

/// Every command with the words that lead to it.
fn commands(command: &Command, path: &[&str], each: &mut impl FnMut(&[&str], &Command)) {
    each(path, command);
    for below in command.get_subcommands() {
        commands(below, &[path, &[below.get_name()]].concat(), each);
    }
}

/// What is said to a command line that cannot be read.
fn refusal(arguments: &[&str]) -> (clap::Error, String) {
    let all = [&["z5"][..], arguments].concat();
    match Cli::try_parse_from(&all) {
        Ok(_) => panic!("{all:?} was taken"),
        Err(error) => {
            let told = error.to_string();
            assert!(error.use_stderr() && error.exit_code() == 2, "{all:?}: {told}");
            for raw in RAW {
                assert!(!told.contains(raw), "{all:?} is told in a library's words, {raw:?}: {told}");
            }
            (error, told)
        }
    }
}

#[test]
fn every_value_of_every_flag_that_is_mistyped_is_told_in_words() {
    let (mut flags, mut mistakes) = (0, 0);
    commands(&Cli::command(), &[], &mut |path, command| {
        for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
            let id = arg.get_id().as_str();
            let Some(all) = mistyped(&path.join(" "), arg) else {
                assert!(FREE.contains(&id), "{path:?}: say in these tests how {id} is mistyped");
                continue;
            };
            flags += 1;
            for (value, says) in all {
                let flag = arg.get_long().map(|long| format!("--{long}"));
                let written = flag.as_ref().map_or_else(|| value.clone(), |flag| format!("{flag}={value}"));
                let (_, told) = refusal(&[path, &[&written]].concat());
                assert!(told.contains(&says), "{path:?} {written}: {told}");
                let names = arg.get_value_names().unwrap_or_default();
                let named = flag.unwrap_or_else(|| names[0].to_string());
                assert!(told.contains(&named) && told.contains(&value), "{path:?} {written}: {told}");
                mistakes += 1;
            }
        }
    });
    assert!(flags > 60 && mistakes > 250, "{flags} {mistakes}");
}

#[test]
fn a_pair_without_its_half_says_which_is_missing() {
    for flag in ["--set", "--party"] {
        for (value, says) in [("talk", "the value is missing"), ("=1s", "the name is missing")] {
            let (_, told) = refusal(&["run", &format!("{flag}={value}")]);
            assert!(told.contains(says) && told.contains(flag), "{told}");
        }
    }
}

#[test]
fn every_name_of_a_flag_and_a_command_that_is_mistyped_is_told_with_the_nearest() {
    commands(&Cli::command(), &[], &mut |path, command| {
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long() else { continue };
            let written = format!("--{long}{}", &long[long.len() - 1..]);
            let (error, told) = refusal(&[path, &[&written]].concat());
            if error.kind() == ErrorKind::UnknownArgument {
                assert!(told.contains(&format!("'--{long}'")), "{path:?} {written}: {told}");
            }
        }
        for below in command.get_subcommands() {
            let name = below.get_name();
            let written = format!("{name}{}", &name[name.len() - 1..]);
            let (error, told) = refusal(&[path, &[&written]].concat());
            let near = match error.get(ContextKind::SuggestedSubcommand) {
                Some(ContextValue::Strings(near)) => near.clone(),
                _ => Vec::new(),
            };
            assert!(near.iter().any(|near| near == name), "{path:?} {written}: {told}");
        }
    });
}
