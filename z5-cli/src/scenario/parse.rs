//! From text to a scenario: the file's own keys, parties and the mock; `steps` reads what they do.
//!
//! Finds every mistake that can be found before anything is sent, each with line, column and the nearest valid word.

mod actions;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use z5_core::Location;
use z5_core::config::{ContactsProtocol, audio_codec, srtp_suite};
use z5_mock::impairment::{Parts, bits, length};
use z5_mock::{Fault, Impairment};

use super::language;
use super::model::{AccountPlan, MockPlan, PartyPlan, Scenario};
use super::read::{Fields, Reading, duration, percent, unknown};
use super::yaml::{self, Mistake, Node, Place, Value};

/// What comes from outside the file.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// Values of `--set`.
    pub(crate) set: BTreeMap<String, String>,
    /// Variables of the environment, as far as the file names them.
    pub(crate) environment: fn(&str) -> Option<String>,
}

/// The names of the parties, each with that of its account, as far as the text can be read.
pub(crate) fn party_names(text: &str) -> Vec<(String, String)> {
    let given = Given { set: BTreeMap::new(), environment: |_| None };
    let scenario = scenario(text, Path::new(""), Path::new(""), &given);
    scenario.map_or_else(
        |_| Vec::new(),
        |scenario| {
            let named = |party: PartyPlan| (party.name.clone(), party.account.unwrap_or(party.name));
            scenario.parties.into_iter().map(named).collect()
        },
    )
}

/// What a scenario is called that does not say so itself. The number of a pipe (`<(...)` of a shell is /dev/fd/63) is no name.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
    let is_pipe = folder == "fd" && stem.bytes().all(|byte| byte.is_ascii_digit());
    match stem.is_empty() || is_pipe {
        true => "scenario".to_owned(),
        false => stem.into_owned(),
    }
}

/// How long a scenario may take when it does not say.
const TIMEOUT: Duration = Duration::from_secs(300);
/// How long a step waits when nobody says.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a scenario. Paths in it count from `folder`.
///
/// # Errors
/// Every mistake, in the order of the file.
pub(crate) fn scenario(
    text: &str,
    file: &Path,
    folder: &Path,
    given: &Given,
) -> Result<Scenario, Vec<Mistake>> {
    let root = yaml::read(text).map_err(|mistake| vec![mistake])?;
    let mut reading = Reading::default();
    let mut fields = reading.fields(&root, "a scenario", language::FILE);
    variables(&mut reading, &mut fields, given, file);
    let name =
        fields.take("name").and_then(|node| reading.text(node, "`name`")).unwrap_or_else(|| name_of(file));
    if let Some(about) = fields.take("about") {
        reading.text(about, "`about`");
    }
    let mut time = |reading: &mut Reading, key: &str, usual| {
        let node = fields.take(key);
        node.and_then(|node| reading.parsed(node, &format!("`{key}`"), duration)).unwrap_or(usual)
    };
    let timeout = time(&mut reading, "timeout", TIMEOUT);
    let patience = time(&mut reading, "patience", PATIENCE);
    let mock = fields.take_even_empty("mock").map(|node| mock(&mut reading, node, folder));
    let mut parties = match fields.take("parties") {
        Some(node) => parties(&mut reading, node, folder),
        None => vec![PartyPlan::named("alice", root.at)],
    };
    let steps = match fields.take("steps") {
        Some(node) => {
            let mut author = steps::Author {
                reading: &mut reading,
                parties: &parties,
                folder,
                patience,
                count: 0,
                legs: vec![steps::Legs::default(); parties.len()],
            };
            let steps = author.list(node, "`steps`");
            author.judge_legs();
            let legs = std::mem::take(&mut author.legs);
            for (party, legs) in parties.iter_mut().zip(legs) {
                party.legs.extend(legs.names);
            }
            // what does nothing shows nothing; of steps that were not understood the mistakes are told already
            if steps.is_empty() && reading.mistakes.is_empty() {
                reading.mistake(node.at, "`steps` is empty: a scenario has at least one step");
            }
            steps
        }
        None => {
            reading.mistake(root.at, "a scenario has `steps`");
            Vec::new()
        }
    };
    if reading.mistakes.is_empty() {
        return Ok(Scenario {
            file: file.to_owned(),
            at: root.at,
            name,
            mock,
            parties,
            steps: Arc::new(steps),
            timeout,
            reports: Vec::new(),
        });
    }
    reading.mistakes.sort_by_key(|mistake| mistake.at);
    // a mistake in a loop is one, however often the loop goes round
    reading.mistakes.dedup();
    Err(reading.mistakes)
}

/// `vars`, what `--set` puts in their place, and the variables of the environment that `env` names.
fn variables(reading: &mut Reading, fields: &mut Fields<'_>, given: &Given, file: &Path) {
    if let Some(Node { at, value }) = fields.take("vars") {
        match value {
            Value::Map(entries) => {
                for (key, node) in entries {
                    if !is_name(&key.name) {
                        reading
                            .mistake(key.at, format!("`{}` is no name: letters, digits, _ and -", key.name));
                    }
                    let value = match given.set.get(&key.name) {
                        Some(set) => Some(set.clone()),
                        None => reading.text(node, &format!("the variable `{}`", key.name)),
                    };
                    reading.vars.insert(key.name.clone(), value.unwrap_or_default());
                }
            }
            Value::Nothing | Value::Text(_) | Value::List(_) => {
                reading.mistake(*at, "`vars` is written as names and values");
            }
        }
    }
    for name in given.set.keys().filter(|name| !reading.vars.contains_key(*name)).collect::<Vec<_>>() {
        let file = file.display();
        let why = match reading.vars.is_empty() {
            true => format!("--set {name}: {file} has no `vars`"),
            false => {
                let what = format!("--set: {file} has no variable");
                unknown(&what, name, reading.vars.keys().map(String::as_str))
            }
        };
        reading.mistakes.push(Mistake::of_the_command_line("usage.set", why));
    }
    if let Some(node) = fields.take("env") {
        for (at, name) in reading.texts(node, "`env`") {
            match (given.environment)(&name) {
                Some(value) => {
                    reading.vars.insert(format!("env.{name}"), value);
                }
                None => {
                    reading.mistake(at, format!("the environment has no variable {name}"));
                    reading.vars.insert(format!("env.{name}"), String::new());
                }
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

impl PartyPlan {
    fn named(name: &str, at: Place) -> Self {
        Self {
            at,
            name: name.to_owned(),
            account: None,
            config: None,
            generic: false,
            number: None,
            transport: None,
            srtp: None,
            suites: Vec::new(),
            codecs: Vec::new(),
            location: None,
            contacts: None,
            seed: None,
            legs: vec![String::new()],
        }
    }
}

/// A list of names, or names with settings.
fn parties(reading: &mut Reading, node: &Node, folder: &Path) -> Vec<PartyPlan> {
    let mut all: Vec<PartyPlan> = Vec::new();
    let mut add = |reading: &mut Reading, plan: PartyPlan| {
        if !is_name(&plan.name) {
            reading.mistake(plan.at, format!("`{}` is no name: letters, digits, _ and -", plan.name));
        } else if all.iter().any(|other| other.name == plan.name) {
            reading.mistake(plan.at, format!("there are two parties called `{}`", plan.name));
        } else {
            all.push(plan);
        }
    };
    match &node.value {
        Value::Map(entries) => {
            for (key, node) in entries {
                let plan = party(reading, PartyPlan::named(&key.name, key.at), node, folder);
                add(reading, plan);
            }
        }
        Value::Nothing | Value::Text(_) | Value::List(_) => {
            for (at, name) in reading.texts(node, "`parties`") {
                add(reading, PartyPlan::named(&name, at));
            }
        }
    }
    all
}

fn party(reading: &mut Reading, mut plan: PartyPlan, node: &Node, folder: &Path) -> PartyPlan {
    let mut fields = reading.fields(node, "a party", language::PARTY);
    if let Some(node) = fields.take("account") {
        plan.account = reading.text(node, "`account`");
    }
    if let Some(node) = fields.take("config") {
        plan.config = reading.text(node, "`config`").map(|path| folder.join(path));
    }
    if let Some(node) = fields.take("profile") {
        plan.generic = reading.parsed(node, "`profile`", |text| match text {
            "z5" => Ok(false),
            "generic" => Ok(true),
            other => Err(unknown("there is no profile", other, ["z5", "generic"])),
        }) == Some(true);
    }
    if let Some(node) = fields.take("number") {
        plan.number = reading.text(node, "`number`").map(|number| (node.at, number));
    }
    if let Some(node) = fields.take("transport") {
        plan.transport = reading.parsed(node, "`transport`", str::parse);
    }
    if let Some(node) = fields.take("srtp") {
        plan.srtp = reading.parsed(node, "`srtp`", str::parse);
    }
    if let Some(node) = fields.take("suites") {
        plan.suites = items(reading, node, "`suites`", srtp_suite);
    }
    if let Some(node) = fields.take("codecs") {
        plan.codecs = items(reading, node, "`codecs`", audio_codec);
    }
    if let Some(node) = fields.take("location") {
        plan.location = reading.parsed(node, "`location`", |text| {
            text.parse::<Location>().map(|_| text.to_owned()).map_err(|error| error.to_string())
        });
    }
    if let Some(node) = fields.take("contacts") {
        plan.contacts = reading.parsed(node, "`contacts`", |text| match text {
            "carddav" => Ok(ContactsProtocol::CardDav),
            "xcard" => Ok(ContactsProtocol::Xcard),
            other => Err(unknown("there is no kind of address book", other, ["carddav", "xcard"])),
        });
    }
    if let Some(node) = fields.take("seed") {
        plan.seed = reading.parsed(node, "`seed`", whole);
    }
    plan
}

fn items<T>(
    reading: &mut Reading,
    node: &Node,
    what: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut all = Vec::new();
    for (at, text) in reading.texts(node, what) {
        match parse(&text) {
            Ok(item) => all.push(item),
            Err(why) => reading.mistake(at, format!("{what}: {why}")),
        }
    }
    all
}

/// A place on the earth: `geo:`, a location server, or a PIDF-LO file.
fn location(text: &str, folder: &Path) -> Result<Location, String> {
    match text.contains(':') {
        true => text.parse().map_err(|error| format!("{error}")),
        false => Location::load(&folder.join(text)).map_err(|error| error.to_string()),
    }
}

fn whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no whole number, or too large"))
}

fn mock(reading: &mut Reading, node: &Node, folder: &Path) -> MockPlan {
    let mut plan = MockPlan::default();
    let mut fields = reading.fields(node, "`mock`", language::MOCK);
    if let Some(node) = fields.take("carrier") {
        plan.carrier = reading.text(node, "`carrier`").map(|file| (node.at, path(folder, file)));
    }
    if let Some(node) = fields.take("seed") {
        plan.seed = reading.parsed(node, "`seed`", whole);
    }
    if let Some(node) = fields.take("faults") {
        plan.faults =
            items(reading, node, "`faults`", |text| text.parse().map_err(|error| format!("{error}")));
    }
    if let Some(node) = fields.take("impair") {
        plan.impairment = Some(impairment(reading, node));
    }
    if let Some(node) = fields.take("impair_sip") {
        plan.sip_impairment = Some(impairment(reading, node));
    }
    if let Some(node) = fields.take("transport") {
        plan.tls = reading.parsed(node, "`transport`", |text| match text {
            "tcp" => Ok(false),
            "tls" => Ok(true),
            other => Err(format!("`{other}`: the sign-in server names proxies over tcp or tls")),
        }) == Some(true);
    }
    if let Some(node) = fields.take("ipv6") {
        plan.ipv6 = reading.flag(node, "`ipv6`") == Some(true);
    }
    for (key, place) in [("grant", &mut plan.grant), ("min_expires", &mut plan.min_expires)] {
        if let Some(node) = fields.take(key) {
            *place = reading.parsed(node, &format!("`{key}`"), duration);
        }
    }
    if let Some(node) = fields.take("accounts") {
        for node in reading.list(node, "`accounts`") {
            plan.accounts.extend(account(reading, node));
        }
    }
    plan
}

fn account(reading: &mut Reading, node: &Node) -> Option<AccountPlan> {
    let mut fields = reading.fields(node, "an account", language::ACCOUNT);
    let name = fields.take("name").and_then(|node| reading.text(node, "`name`"));
    let number = fields.take("number").and_then(|node| {
        reading.parsed(node, "`number`", |text| match text.strip_prefix('+') {
            Some(digits)
                if (3..=15).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit()) =>
            {
                Ok(text.to_owned())
            }
            _ => Err(format!("`{text}` is no number such as +15555550101")),
        })
    });
    let messages = fields.take("messages").and_then(|node| reading.parsed(node, "`messages`", whole));
    match (name, number) {
        (Some(name), Some(number)) => Some(AccountPlan { name, number, messages: messages.unwrap_or(0) }),
        _ => {
            reading.mistake(node.at, "an account has `name` and `number`");
            None
        }
    }
}

pub(super) fn impairment(reading: &mut Reading, node: &Node) -> Impairment {
    let mut fields = reading.fields(node, "`impair`", language::IMPAIR);
    let mut part = |reading: &mut Reading, key: &str| {
        fields.take(key).and_then(|node| reading.parsed(node, &format!("`{key}`"), percent))
    };
    let mut parts = Parts {
        loss: part(reading, "loss").unwrap_or_default(),
        burst: part(reading, "burst"),
        reorder: part(reading, "reorder").unwrap_or_default(),
        duplicate: part(reading, "duplicate").unwrap_or_default(),
        ..Parts::default()
    };
    let mut time = |reading: &mut Reading, key: &str| {
        fields.take(key).and_then(|node| reading.parsed(node, &format!("`{key}`"), duration))
    };
    parts.delay = time(reading, "delay").unwrap_or_default();
    parts.jitter = time(reading, "jitter").unwrap_or_default();
    parts.queue = time(reading, "queue");
    parts.burst_length = fields.take("burst_length").and_then(|node| {
        reading.parsed(node, "`burst_length`", |text| {
            length(text).ok_or_else(|| format!("`{text}` is no number of packets from 1 on"))
        })
    });
    parts.rate = fields.take("rate").and_then(|node| {
        reading.parsed(node, "`rate`", |text| {
            bits(text).ok_or_else(|| format!("`{text}` is no rate; write bits a second as `300k` or `2M`"))
        })
    });
    parts.whole().unwrap_or_else(|why| {
        reading.mistake(node.at, why.to_string());
        Impairment::default()
    })
}

/// A fault by its name.
fn fault(name: &str) -> Result<Fault, String> {
    name.parse().map_err(|_| {
        let known: Vec<String> = Fault::all().iter().map(ToString::to_string).collect();
        match crate::expect::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("there is no fault `{name}`; did you mean `{near}`?"),
            None => format!("there is no fault `{name}`; docs/mock.md lists them"),
        }
    })
}

/// A path that counts from the folder of the file.
fn path(folder: &Path, text: impl AsRef<Path>) -> PathBuf {
    folder.join(text)
}
