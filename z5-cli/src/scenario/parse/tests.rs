//! What is accepted, what is told about mistakes, and that language, schema and document are the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up its world has failed")]

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::*;
use crate::scenario::language::{EVENTS, EVERY_STEP, STATES, WORDS};
use crate::scenario::model::Action;
use crate::scenario::{Clock, Configurations, SCHEMA, judge};

fn given(set: &[(&str, &str)]) -> Given {
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Given { set, environment: |name| (name == "Z5_TEST_NAME").then(|| "from outside".to_owned()) }
}

fn read(text: &str) -> Result<Scenario, Vec<Mistake>> {
    scenario(text, Path::new("test.yaml"), Path::new(""), &given(&[]))
}

/// With its place, without the file.
fn told(mistake: &Mistake) -> String {
    mistake.told("").trim_start_matches(':').trim_start().to_owned()
}

/// The only mistake of a text, with its place.
fn mistake(text: &str) -> String {
    match read(text) {
        Err(all) if all.len() == 1 => told(&all[0]),
        other => panic!("{text}\n{other:?}"),
    }
}

#[test]
fn a_scenario_has_a_name_parties_and_steps() {
    let scenario =
        read("parties: [alice, bob]\nsteps:\n  - register: bob\n  - {call: 911, as: alice}\n").unwrap();
    assert_eq!(scenario.name, "test");
    let who: Vec<_> = scenario.steps.iter().map(|step| (step.word, step.party, step.at.line)).collect();
    assert_eq!(who, [("register", Some(1), 3), ("call", Some(0), 4)]);
    assert!(matches!(&scenario.steps[1].action, Action::Call(call) if call.target == "911"));
}

/// `<(...)` of a shell is /dev/fd/63, which is no name.
#[test]
fn a_scenario_that_comes_from_a_pipe_is_not_called_by_its_number() {
    let name =
        |file: &str| scenario("steps: [register]", Path::new(file), Path::new(""), &given(&[])).unwrap().name;
    assert_eq!(["/dev/fd/63", "/proc/self/fd/9", "/dev/stdin"].map(name), ["scenario", "scenario", "stdin"]);
    assert_eq!(["63.yaml", "fd/call.yaml"].map(name), ["63", "call"]);
}

#[test]
fn variables_come_from_the_file_the_command_line_and_the_named_environment() {
    let text = "vars: {who: echo}\nenv: [Z5_TEST_NAME]\nsteps: [{say: '${who} ${env.Z5_TEST_NAME}'}]";
    let said = |set: &[(&str, &str)]| {
        let scenario = scenario(text, Path::new("t"), Path::new(""), &given(set)).unwrap();
        let Action::Say(text) = &scenario.steps[0].action else { panic!("{scenario:?}") };
        text.clone()
    };
    assert_eq!(said(&[]), "echo from outside");
    assert_eq!(said(&[("who", "bob")]), "bob from outside");
    let wrong = scenario(text, Path::new("t"), Path::new(""), &given(&[("whoo", "x")])).unwrap_err();
    assert!(wrong[0].why.contains("did you mean `who`"), "{wrong:?}");
    assert!(mistake("steps: [{say: '${env.HOME}'}]").contains("no variable `env.HOME`"));
    assert!(mistake("env: [Z5_TEST_NONE]\nsteps: []").contains("environment has no variable"));
}

#[test]
fn loops_are_unrolled_and_bounded() {
    let text = "steps:\n  - for: x\n    in: [a, b]\n    do:\n      - repeat: 2\n        do: [{say: '${x}${round}'}]\n";
    let said: Vec<String> = read(text)
        .unwrap()
        .steps
        .iter()
        .map(|step| if let Action::Say(text) = &step.action { text.clone() } else { String::new() })
        .collect();
    assert_eq!(said, ["a1", "a2", "b1", "b2"]);
    let endless = "steps: [{repeat: 1000000, do: [{repeat: 1000000, do: [hold]}]}]";
    assert!(mistake(endless).contains("at most"), "{}", mistake(endless));
    assert!(
        mistake("steps: [{repeat: 3, do: [{say: '${x}'}]}]").starts_with("1:32"),
        "a mistake in a loop is one"
    );
}

#[test]
fn every_mistake_has_its_place_and_the_nearest_word() {
    for (text, place, word) in [
        ("steps:\n  - regster\n", "2:5", "did you mean `register`"),
        ("stepz: []\nsteps: []\n", "1:1", "did you mean `steps`"),
        ("steps:\n  - call: echo\n    audoi: tone\n", "3:5", "did you mean `audio`"),
        ("steps:\n  - call: echo\n    audio: tone:9\n", "3:12", "frequency"),
        ("steps:\n  - expect: audio.herd\n", "2:13", "audio.heard"),
        ("steps:\n  - wait: establisht\n", "2:11", "did you mean `established`"),
        ("steps:\n  - wait: text\n    where: {x: 1}\n", "3:12", "goes with"),
        ("steps:\n  - wait: ringing\n    is: x\n", "2:11", "go with"),
        ("steps:\n  - pause: 5\n", "2:12", "5s"),
        ("steps:\n  - pause: 90000d\n", "2:12", "a week"),
        ("steps:\n  - dtmf: 12X\n", "2:11", "no key"),
        ("steps:\n  - call: echo\n    hold:\n", "3:5", "are two"),
        ("steps:\n  - within: 5s\n", "2:5", "a step has an action"),
        ("steps:\n  - message: hi\n", "2:5", "goes with `to`"),
        ("steps:\n  - call:\n", "2:", "says nothing"),
        ("steps:\n  - fault: licence.expird\n", "2:12", "did you mean `licence.expired`"),
        ("steps:\n  - {pause: 1s, as: alice}\n", "2:21", "leave `as` out"),
        ("parties: [a, b]\nsteps:\n  - hold\n", "3:5", "who does `hold`? say: a or b"),
        ("parties: [a, b]\nsteps:\n  - hold: c\n", "3:11", "there is no party `c`"),
        ("parties: [a, a]\nsteps: []\n", "1:14", "two parties"),
        ("parties: {a: {acount: x}}\nsteps: []\n", "1:15", "did you mean `account`"),
        ("parties: {a: {srtp: sometimes}}\nsteps: []\n", "1:21", "required"),
        ("mock: {impair: {loss: 3}}\nsteps: []\n", "1:23", "2.5%"),
        ("mock: {impair: {burst_length: 3}}\nsteps: []\n", "1:16", "beside burst"),
        ("mock: {impair_sip: {rate: fast}}\nsteps: []\n", "1:27", "300k"),
        ("steps:\n  - {impair: off, of: dns}\n", "2:23", "media and sip"),
        ("mock: {accounts: [{name: x, number: 5}]}\nsteps: []\n", "1:37", "+15555550101"),
        ("name: x\n", "1:1", "has `steps`"),
        ("steps: hold\n", "1:8", "is a list"),
        ("steps: []\n", "1:8", "at least one step"),
        ("steps:\n  - parallel: [hold, hold]\n", "2:22", "two branches"),
        ("steps:\n  - repeat: 2\n", "2:13", "goes with `do`"),
        (
            "steps:\n  - {call: x, leg: a}\n  - {connect: a, leg: a}\n",
            "3:15",
            "the one that `leg` names already",
        ),
        ("steps:\n  - {transfer: x, refused: bsuy}\n", "2:28", "busy"),
        ("steps:\n  - {transfer: x, refused: ok}\n", "2:28", "code of no failure"),
        ("steps:\n  - {hangup: alice, refused: busy}\n", "2:21", "has no key `refused`"),
        ("steps:\n  - {wire: INVITE, seen: heer}\n", "2:26", "did you mean `here`"),
        ("steps:\n  - {wire: '[TLS ', of: zdail}\n", "2:25", "did you mean `zdial`"),
        ("steps:\n  - {wire: GET, of: mcs, seen: here}\n", "2:12", "only the mock carrier tells"),
        ("steps:\n  - {wire: GET, of: any, as: alice}\n", "2:12", "only the mock carrier tells"),
        ("steps:\n  - {wire: INVITE, as: alice, seen: carrier}\n", "2:37", "leave `as` out"),
        ("steps:\n  - {wire: INVITE, as: alcie}\n", "2:24", "did you mean `alice`"),
        ("steps:\n  - {hangup: alice, only: mokc}\n", "2:27", "did you mean `mock`"),
        (
            "steps:\n  - {repeat: 2, only: mock, do: [{pause: 1s, only: real}]}\n",
            "2:23",
            "would never be done",
        ),
    ] {
        let seen = match read(text) {
            Err(all) => all.iter().map(|mistake| told(mistake) + "\n").collect::<String>(),
            Ok(scenario) => panic!("{text}\n{scenario:?}"),
        };
        assert!(seen.lines().any(|line| line.starts_with(place)) && seen.contains(word), "{text}\n{seen}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let all = read("steps:\n  - regster\n  - call: echo\n    vidoe: off\n  - pause: soon\n").unwrap_err();
    let lines: Vec<_> = all.iter().map(|mistake| mistake.at.unwrap().line).collect();
    assert_eq!(lines, [2, 4, 5]);
}

#[test]
fn what_cannot_be_done_in_a_world_is_found_before_it_begins() {
    let judged = |text: &str, given: &Configurations| {
        let all = judge(&mut read(text).unwrap(), given).unwrap_err();
        all.into_iter().map(|mistake| mistake.why).collect::<Vec<_>>().join("; ")
    };
    let none = Configurations::default();
    assert!(judged("steps: [register]", &none).contains("--party alice=FILE"));
    assert!(judged("mock:\nparties: [dave]\nsteps: [{register: dave}]", &none).contains("no account `dave`"));
    let file = Configurations { everyone: Some("no-such.toml".into()), ..Configurations::default() };
    let told = judged("mock:\nsteps:\n  - parallel: [[{fault: licence.expired}]]", &file);
    assert!(told.contains("against a real one") && told.contains("no-such.toml"), "{told}");
    let other =
        Configurations { parties: [("bob".to_owned(), "x.toml".into())].into(), ..Configurations::default() };
    assert!(judged("mock:\nsteps: [register]", &other).contains("--party: test.yaml has no party `bob`"));
    assert!(judged("mock:\nsteps: [{call: echo, audio: no-such.wav}]", &none).contains("no-such.wav"));
    let at_the_carrier = judged("mock:\nsteps: [{wire: INVITE, seen: carrier}]", &file);
    assert!(at_the_carrier.contains("`seen: carrier` needs the mock carrier"), "{at_the_carrier}");
    assert!(judged("mock:\nsteps: [{wire: GET, of: mcs}]", &file).contains("only the mock carrier tells"));
    assert!(
        judged("mock:\nsteps: [{register: alice, only: real}]", &none)
            .contains("no step is done at the mock")
    );
    // what is z5's own to see needs no mock carrier, and what is for it alone is left out
    let told =
        judged("mock:\nsteps: [{cut: , only: mock}, {wire: INVITE}, {wire: '[TLS ', has: '1.3'}]", &file);
    assert!(told.starts_with("--config: ") && !told.contains(';'), "{told}");
}

#[test]
fn what_does_not_go_with_the_command_line_has_its_true_place_or_none() {
    let places = |text: &str, given: &Configurations| -> Vec<String> {
        judge(&mut read(text).unwrap(), given).unwrap_err().iter().map(|mistake| mistake.told("f")).collect()
    };
    let simulated = Configurations { clock: Clock::Simulated, ..Configurations::default() };
    let [told] = &places("# first\nname: x\nsteps: [register]\n", &simulated)[..] else { panic!() };
    assert!(told.starts_with("f:2:1: --clock simulated has the mock carrier only"), "{told}");
    let file = Configurations { everyone: Some("x.toml".into()), ..simulated };
    let [told] = &places("mock:\nsteps: [register]\n", &file)[..] else { panic!() };
    assert!(told.starts_with("--clock simulated has no real carrier"), "{told}");
    // a number that cannot be chosen
    let other =
        "mock:\nparties:\n  alice:\n    profile: generic\n    number: +15555550199\nsteps: [register]\n";
    let [told] = &places(other, &Configurations::default())[..] else { panic!() };
    assert!(told.starts_with("f:5:13: party `alice`") && told.contains("`+15555550101`"), "{told}");
    // nor is there an account that the carrier's file does not have
    let folder = tempfile::tempdir().unwrap();
    let carrier = folder.path().join("carrier.toml");
    let account = "[[account]]\nusername = \"carl\"\npassword = \"x\"\n[[account.number]]\nnumber = \"+15555550171\"\ndisplay_name = \"Carl\"\n";
    std::fs::write(&carrier, account).unwrap();
    let text =
        format!("mock: {{carrier: {}}}\nparties: [carll]\nsteps: [{{register: carll}}]\n", carrier.display());
    let [told] = &places(&text, &Configurations::default())[..] else { panic!() };
    assert!(told.starts_with("f:2:11: party `carll`") && told.contains("did you mean `carl`"), "{told}");
    let own = other.replace("+15555550199", "+15555550101");
    judge(&mut read(&own).unwrap(), &Configurations::default()).unwrap();
}

/// What is mistyped anywhere is told with its line, in words of ours, and a key with the nearest one.
#[test]
fn every_key_and_value_that_is_mistyped_is_told_in_words() {
    use crate::scenario::language::{ACCOUNT, FILE, IMPAIR, MOCK, PARTY};
    const VALUES: [&str; 6] = ["zzz", "-7.5", "5", "[[1]]", "{zzz: 1}", "99999999999999999999"];
    let raw = ["invalid", "expected ", "os error", "target type", "time unit needed", "``", "ParseInt"];
    let doubled = |key: &str| format!("{key}{}", &key[key.len() - 1..]);
    // a text with a hole for a key and its value in its last line
    let holes: [(&str, &[&str]); 5] = [
        ("mock:\nsteps: [register]\n", FILE),
        ("steps: [register]\nmock:\n  ", MOCK),
        ("steps: [register]\nmock:\n  impair:\n    ", IMPAIR),
        ("steps: [register]\nparties:\n  alice:\n    ", PARTY),
        ("steps: [register]\nmock:\n  accounts:\n    - ", ACCOUNT),
    ];
    let mut told_of = 0;
    let mut check = |text: String, near: Option<&str>| {
        let Err(all) = read(&text) else {
            assert!(near.is_none(), "taken: {text}");
            return;
        };
        for mistake in &all {
            let told = told(mistake);
            assert!(mistake.at.is_some_and(|at| at.line <= 4), "{text}: {told}");
            assert!(!raw.iter().any(|raw| told.contains(raw)), "in a library's words: {text}: {told}");
            told_of += 1;
        }
        if let Some(near) = near {
            let meant = format!("did you mean `{near}`?");
            assert!(all.iter().any(|mistake| mistake.why.contains(&meant)), "{text}: {all:?}");
        }
    };
    for (before, keys) in holes {
        for key in keys {
            check(format!("{before}{}: x\n", doubled(key)), Some(key));
            for value in VALUES.iter().filter(|_| !before.contains(&format!("{key}:"))) {
                check(format!("{before}{key}: {value}\n"), None);
            }
        }
    }
    for word in WORDS {
        check(format!("mock:\nsteps:\n  - {}: x\n", doubled(word.name)), Some(word.name));
        for key in word.keys.iter().chain(EVERY_STEP) {
            check(format!("mock:\nsteps:\n  - {}: x\n    {}: y\n", word.name, doubled(key)), Some(key));
            for value in VALUES {
                check(format!("mock:\nsteps:\n  - {}: x\n    {key}: {value}\n", word.name), None);
                check(format!("mock:\nsteps:\n  - {}: {value}\n    {key}: {value}\n", word.name), None);
            }
        }
    }
    assert!(told_of > 800, "{told_of}");
}

/// As YAML's core schema reads a tree: what an editor checks against the schema.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Nothing => Json::Null,
        Value::Text(text) => match text.as_str() {
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            text => text.parse::<i64>().map_or_else(|_| Json::from(text), Json::from),
        },
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, node)| (key.name.clone(), json(node))).collect(),
    }
}

fn validates(document: &Json) -> Result<(), String> {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("urn:z5:schema:scenario", serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let index = compiler.compile("urn:z5:schema:scenario", &mut schemas).unwrap();
    schemas.validate(document, index).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_schema_has_the_words_of_the_language_and_no_others() {
    let schema: Json = serde_json::from_str(SCHEMA).unwrap();
    let keys = |pointer: &str| -> BTreeSet<String> {
        schema.pointer(pointer).unwrap_or(&Json::Null).as_object().unwrap().keys().cloned().collect()
    };
    let set = |all: &[&str]| -> BTreeSet<String> { all.iter().map(|key| (*key).to_owned()).collect() };
    assert_eq!(keys("/properties"), set(language::FILE));
    assert_eq!(keys("/$defs/party/properties"), set(language::PARTY));
    assert_eq!(keys("/$defs/mock/properties"), set(language::MOCK));
    assert_eq!(keys("/$defs/account/properties"), set(language::ACCOUNT));
    assert_eq!(keys("/$defs/impair/properties"), set(language::IMPAIR));
    let words: BTreeSet<String> =
        keys("/$defs").iter().filter_map(|key| Some(key.strip_prefix("step-")?.to_owned())).collect();
    assert_eq!(words, WORDS.iter().map(|word| word.name.to_owned()).collect());
    for word in WORDS {
        let mut known = set(word.keys);
        known.extend(set(EVERY_STEP));
        known.insert(word.name.to_owned());
        if !word.by_party && !word.may_name_party {
            known.remove("as");
        }
        assert_eq!(keys(&format!("/$defs/step-{}/properties", word.name)), known, "{}", word.name);
        let beside = WORDS.iter().flat_map(|other| other.keys).chain(EVERY_STEP);
        assert!(beside.clone().all(|key| *key != word.name), "`{}` is a key of another action", word.name);
    }
}

#[test]
fn what_is_refused_here_the_schema_refuses_where_it_can() {
    validates(&json!({"steps": ["register", {"call": 911, "audio": "tone"}, {"hangup": null}]})).unwrap();
    for bad in [
        json!({}),
        json!({"steps": []}),
        json!({"steps": ["regster"]}),
        json!({"steps": [{"reject": null, "with": "bsuy"}]}),
        json!({"steps": [{"contacts": "serach", "who": "x"}]}),
        json!({"steps": [{"call": "echo", "audoi": "tone"}]}),
        json!({"steps": [{"call": "echo", "hold": null}]}),
        json!({"steps": [{"pause": 5}]}),
        json!({"steps": [], "mock": {"impair": {"loss": 3}}}),
        json!({"steps": [{"message": "hi"}]}),
    ] {
        assert!(validates(&bad).is_err(), "{bad}");
    }
}

/// Every event of a session can be waited for, and the document lists all words.
#[test]
fn the_document_knows_every_word() {
    let document = include_str!("../../../../docs/scenarios.md");
    for word in WORDS {
        assert!(
            document.contains(&format!("| `{}`", word.name)),
            "{} is not in docs/scenarios.md",
            word.name
        );
        for key in word.keys {
            assert!(
                document.contains(&format!("`{key}`")),
                "{key} of {} is not in docs/scenarios.md",
                word.name
            );
        }
    }
    for key in [language::FILE, language::PARTY, language::MOCK, language::IMPAIR, STATES].concat() {
        assert!(document.contains(&format!("`{key}`")), "{key} is not in docs/scenarios.md");
    }
    let events = include_str!("../../../../docs/json.md");
    for event in EVENTS {
        assert!(events.contains(&format!("| `{event}`")), "{event} is not in docs/json.md");
    }
}

/// The scenarios that are in the program can be read, and hold by the schema.
#[test]
fn every_shipped_scenario_is_what_the_schema_says() {
    for (file, text) in crate::acceptance::POINTS.iter().filter_map(|point| point.scenario) {
        let read = scenario(text, Path::new(file), Path::new(""), &given(&[]));
        let mut read = read.unwrap_or_else(|mistakes| panic!("{file}\n{mistakes:?}"));
        judge(&mut read, &Configurations::default())
            .unwrap_or_else(|mistakes| panic!("{file}\n{mistakes:?}"));
        validates(&json(&yaml::read(text).unwrap())).unwrap_or_else(|why| panic!("{file}\n{why}"));
    }
}

/// Whatever is cut out of a scenario, the rest is read or refused.
#[test]
fn what_is_left_of_a_scenario_is_read_or_refused() {
    for text in crate::acceptance::POINTS.iter().filter_map(|point| Some(point.scenario?.1)) {
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        for (from, to) in places.iter().step_by(5).zip(places.iter().skip(7).step_by(5)) {
            drop(read(&format!("{}{}", &text[..*from], &text[*to..])));
            drop(read(&text[..*to]));
        }
    }
}

/// The examples of the document can be read, and hold by the schema.
#[test]
fn the_examples_of_the_document_can_be_read() {
    let document = include_str!("../../../../docs/scenarios.md");
    let blocks: Vec<&str> =
        document.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 4, "{}", blocks.len());
    for block in blocks {
        let read = scenario(block, Path::new("example.yaml"), Path::new(""), &given(&[]));
        read.unwrap_or_else(|mistakes| panic!("{block}\n{mistakes:?}"));
        validates(&json(&yaml::read(block).unwrap())).unwrap_or_else(|why| panic!("{block}\n{why}"));
    }
}
