//! Steps: one action each, with the keys that belong to it. Loops are unrolled here, so that every round is judged before the first
//! step is done.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use z5_core::Refusal;
use z5_core::config::VideoSetting;
use z5_mock::When;

use super::{fault, impairment, location, path, whole};
use crate::act::Deed;
use crate::audio::AudioArg;
use crate::expect::Expr;
use crate::scenario::language::{EVENTS, EVERY_STEP, INCOMING, REFUSALS, STATES, TRANSFERS, WORDS, Word};
use crate::scenario::model::{
    Action, CallPlan, Heard, Impaired, MediaPlan, PartyPlan, Policy, Standing, Step, TextTest, Wait, Wire,
};
use crate::scenario::read::{Fields, Reading, duration, unknown};
use crate::scenario::yaml::{Key, Node, Place, Value};

/// Steps in a scenario, loops unrolled.
const MAX_STEPS: usize = 20_000;
/// For how long a step may wait or pause.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// What is known while steps are read.
pub(super) struct Author<'a> {
    pub(super) reading: &'a mut Reading,
    pub(super) parties: &'a [PartyPlan],
    pub(super) folder: &'a Path,
    pub(super) patience: Duration,
    /// Steps so far.
    pub(super) count: usize,
    /// By party.
    pub(super) legs: Vec<Legs>,
}

/// The calls of a party that have names.
#[derive(Debug, Clone, Default)]
pub(super) struct Legs {
    pub(super) names: Vec<String>,
    /// Those that a step begins.
    begun: BTreeSet<usize>,
    /// Steps that are about one.
    used: Vec<(usize, Place)>,
}

impl Author<'_> {
    /// A list of steps.
    pub(super) fn list(&mut self, node: &Node, what: &str) -> Vec<Step> {
        let mut steps = Vec::new();
        for node in self.reading.list(node, what) {
            self.step(node, &mut steps);
        }
        steps
    }

    fn step(&mut self, node: &Node, steps: &mut Vec<Step>) {
        self.count += 1;
        let number = self.count;
        if self.count >= MAX_STEPS {
            if self.count == MAX_STEPS {
                self.reading
                    .mistake(node.at, format!("with its loops a scenario has at most {MAX_STEPS} steps"));
            }
            return;
        }
        // a word alone is an action without a value
        let alone;
        let node = match &node.value {
            Value::Text(word) => {
                let key = Key { at: node.at, name: word.clone() };
                let nothing = Node { at: node.at, value: Value::Nothing };
                alone = Node { at: node.at, value: Value::Map(vec![(key, nothing)]) };
                &alone
            }
            Value::Nothing | Value::List(_) | Value::Map(_) => node,
        };
        let Value::Map(entries) = &node.value else {
            return self
                .reading
                .mistake(node.at, "a step is an action with its keys, such as `- call: echo`");
        };
        let names = || WORDS.iter().map(|word| word.name);
        let mut actions = entries
            .iter()
            .filter_map(|(key, value)| Some((WORDS.iter().find(|w| w.name == key.name)?, key, value)));
        // `say`, `for` and others may also be keys of another action: none is, a test holds that
        let Some((word, key, value)) = actions.next() else {
            let why = match entries.iter().find(|(key, _)| !EVERY_STEP.contains(&key.name.as_str())) {
                Some((key, _)) => unknown("there is no action", &key.name, names()),
                None => format!("a step has an action: {}", names().collect::<Vec<_>>().join(", ")),
            };
            return self.reading.mistake(node.at, why);
        };
        if let Some((second, at, _)) = actions.next() {
            let why = format!(
                "a step has one action, and `{}` and `{}` are two: begin the second with `- `",
                word.name, second.name
            );
            return self.reading.mistake(at.at, why);
        }
        let mut known = vec![word.name];
        known.extend(word.keys);
        known.extend(EVERY_STEP);
        let mut fields = self.reading.fields(node, &format!("`{}`", word.name), &known);
        fields.take(word.name);
        let name = fields.take("name").and_then(|node| self.reading.text(node, "`name`"));
        let within = fields
            .take("within")
            .and_then(|node| self.reading.parsed(node, "`within`", bounded))
            .unwrap_or(self.patience);
        let party = self.party(word, value, &mut fields, key.at);
        let begins = matches!(word.name, "call" | "answer");
        let leg = fields.take("leg").map_or(0, |node| self.leg(party, node, begins));
        match word.name {
            "repeat" => return self.repeat(value, &mut fields, steps),
            "for" => return self.for_each(value, &mut fields, steps),
            _ => {}
        }
        if let Some(action) = self.action(word, value, party, &mut fields) {
            steps.push(Step { at: key.at, number, name, party, leg, within, word: word.name, action });
        }
    }

    /// A call of the party by its name: an index behind the one without a name.
    fn leg(&mut self, party: Option<usize>, node: &Node, begins: bool) -> usize {
        let Some(name) = self.reading.text(node, "`leg`") else { return 0 };
        if !super::is_name(&name) {
            self.reading.mistake(node.at, format!("`{name}` is no name: letters, digits, _ and -"));
            return 0;
        }
        let Some(legs) = party.and_then(|party| self.legs.get_mut(party)) else { return 0 };
        let known = legs.names.iter().position(|known| *known == name).map(|place| place + 1);
        let leg = known.unwrap_or_else(|| {
            legs.names.push(name);
            legs.names.len()
        });
        if begins {
            legs.begun.insert(leg);
        } else {
            legs.used.push((leg, node.at));
        }
        leg
    }

    /// Every call that a step is about is begun by another one.
    pub(super) fn judge_legs(&mut self) {
        for legs in &self.legs {
            let name = |leg: &usize| legs.names.get(leg - 1).map_or("", String::as_str);
            let begun: Vec<&str> = legs.begun.iter().map(name).collect();
            for (leg, at) in legs.used.iter().filter(|(leg, _)| !legs.begun.contains(leg)) {
                let why = match begun.is_empty() {
                    true => format!("no `call` or `answer` of this party begins the leg `{}`", name(leg)),
                    false => unknown(
                        "no `call` or `answer` of this party begins the leg",
                        name(leg),
                        begun.iter().copied(),
                    ),
                };
                self.reading.mistake(*at, why);
            }
        }
    }

    /// Who does it.
    fn party(&mut self, word: &Word, value: &Node, fields: &mut Fields<'_>, at: Place) -> Option<usize> {
        let mut named = fields.take("as");
        if word.names_party && value.value != Value::Nothing {
            if let Some(twice) = named {
                self.reading
                    .mistake(twice.at, format!("`{}` names who does it already: leave `as` out", word.name));
            }
            named = Some(value);
        }
        if let (Some(node), false) = (named, word.by_party) {
            self.reading
                .mistake(node.at, format!("nobody in particular does `{}`: leave `as` out", word.name));
            return None;
        }
        let names: Vec<&str> = self.parties.iter().map(|party| party.name.as_str()).collect();
        match (named, names.as_slice()) {
            (Some(node), _) => self.known_party(node, "`as`"),
            (None, [_]) if word.by_party => Some(0),
            (None, [_, _, ..]) if word.by_party => {
                let how = if word.names_party { "say" } else { "say with `as`" };
                self.reading.mistake(at, format!("who does `{}`? {how}: {}", word.name, names.join(" or ")));
                None
            }
            (None, _) => None,
        }
    }

    /// The party of this name.
    fn known_party(&mut self, node: &Node, what: &str) -> Option<usize> {
        let name = self.reading.text(node, what)?;
        let names: Vec<&str> = self.parties.iter().map(|party| party.name.as_str()).collect();
        let found = names.iter().position(|known| *known == name);
        if found.is_none() {
            self.reading.mistake(node.at, unknown("there is no party", &name, names));
        }
        found
    }

    fn repeat(&mut self, value: &Node, fields: &mut Fields<'_>, steps: &mut Vec<Step>) {
        let Some(rounds) = self.reading.parsed(value, "`repeat`", whole::<u32>) else { return };
        let rounds: Vec<String> = (1..=rounds.min(MAX_STEPS as u32)).map(|round| round.to_string()).collect();
        self.rounds("round", &rounds, fields, value, steps);
    }

    fn for_each(&mut self, value: &Node, fields: &mut Fields<'_>, steps: &mut Vec<Step>) {
        let Some(name) = self.reading.text(value, "`for`") else { return };
        let items = match fields.take("in") {
            Some(node) => self.reading.texts(node, "`in`").into_iter().map(|(_, text)| text).collect(),
            None => {
                self.reading.mistake(value.at, "`for` goes with `in`, a list, and `do`, the steps");
                Vec::new()
            }
        };
        self.rounds(&name, &items, fields, value, steps);
    }

    fn rounds(
        &mut self,
        name: &str,
        items: &[String],
        fields: &mut Fields<'_>,
        value: &Node,
        steps: &mut Vec<Step>,
    ) {
        let Some(body) = fields.take("do") else {
            return self.reading.mistake(value.at, "a loop goes with `do`, the steps");
        };
        let outer = self.reading.vars.get(name).cloned();
        for item in items {
            self.reading.vars.insert(name.to_owned(), item.clone());
            steps.extend(self.list(body, "`do`"));
            if self.count >= MAX_STEPS {
                break;
            }
        }
        match outer {
            Some(outer) => self.reading.vars.insert(name.to_owned(), outer),
            None => self.reading.vars.remove(name),
        };
    }

    fn action(
        &mut self,
        word: &Word,
        value: &Node,
        party: Option<usize>,
        fields: &mut Fields<'_>,
    ) -> Option<Action> {
        let what = format!("`{}`", word.name);
        let deed = |prefix: &str| {
            let prefix = prefix.to_owned();
            move |text: &str| format!("{prefix}:{text}").parse::<Deed>()
        };
        Some(match word.name {
            "start" => Action::Start,
            "register" => Action::Register,
            "reject" => {
                let how = match fields.take("with") {
                    Some(node) => {
                        self.reading.parsed(node, "`with`", |text| chosen("refusal", text, REFUSALS))?
                    }
                    None => "decline",
                };
                Action::Reject(self.refusal(how, fields)?)
            }
            "incoming" => {
                let what =
                    self.reading.parsed(value, &what, |text| chosen("way to treat calls", text, INCOMING))?;
                Action::Incoming(match what {
                    "ring" => Policy::Ring,
                    "answer" => Policy::Answer(self.media(fields)),
                    how => Policy::Refuse(self.refusal(how, fields)?),
                })
            }
            "transfers" => {
                let what = self
                    .reading
                    .parsed(value, &what, |text| chosen("way to treat transfers", text, TRANSFERS))?;
                Action::Transfers { follow: what == "follow" }
            }
            "connect" => {
                let other = self.leg(party, value, false);
                Action::Connect { other }
            }
            "search" => {
                let text = self.reading.text(value, &what)?;
                let finds = fields.take("finds").map(|node| self.reading.texts(node, "`finds`"));
                let finds = finds.map(|names| names.into_iter().map(|(_, name)| name).collect());
                Action::Search { text, finds }
            }
            "forget" => Action::Forget { name: self.reading.text(value, &what)? },
            "history" => {
                let calls = self.reading.parsed(value, &what, whole::<usize>)?;
                Action::History { calls, members: self.members(fields.take("where")) }
            }
            "hangup" => Action::Do(Deed::Hangup),
            "hold" => Action::Do(Deed::Hold),
            "resume" => Action::Do(Deed::Resume),
            "cut" => {
                if value.value != Value::Nothing {
                    self.reading.mistake(value.at, "`cut` takes no value");
                }
                Action::Cut
            }
            "stop" => {
                let confirmed =
                    fields.take("confirmed").and_then(|node| self.reading.flag(node, "`confirmed`"));
                Action::Stop { confirmed: confirmed.unwrap_or(true) }
            }
            "answer" => {
                let after =
                    fields.take("after").and_then(|node| self.reading.parsed(node, "`after`", bounded));
                Action::Answer { after: after.unwrap_or_default(), media: self.media(fields) }
            }
            "call" => {
                let target = self.reading.text(value, &what)?;
                let anonymous =
                    fields.take("anonymous").and_then(|node| self.reading.flag(node, "`anonymous`"));
                let folder = self.folder;
                let location = fields
                    .take("location")
                    .and_then(|node| self.reading.parsed(node, "`location`", |text| location(text, folder)));
                let media = self.media(fields);
                Action::Call(Box::new(CallPlan {
                    target,
                    anonymous: anonymous == Some(true),
                    location,
                    media,
                }))
            }
            "type" => Action::Do(self.reading.parsed(value, &what, deed("text"))?),
            "dtmf" | "transfer" | "add" => Action::Do(self.reading.parsed(value, &what, deed(word.name))?),
            // sound when nothing is said
            "mute" | "unmute" => Action::Do(match value.value {
                Value::Nothing => Deed::Mute(z5_core::events::MediaKind::Audio, word.name == "mute"),
                Value::Text(_) | Value::List(_) | Value::Map(_) => {
                    self.reading.parsed(value, &what, deed(word.name))?
                }
            }),
            "message" => {
                let text = self.reading.text(value, &what);
                let to = fields.take("to").and_then(|node| self.reading.text(node, "`to`"));
                if to.is_none() {
                    self.reading.mistake(fields.at, "`message` goes with `to`");
                }
                Action::Message { to: to?, text: text? }
            }
            "contact" => {
                let name = self.reading.text(value, &what)?;
                let numbers = fields.take("numbers").map(|node| self.reading.texts(node, "`numbers`"));
                let numbers = numbers.unwrap_or_default().into_iter().map(|(_, number)| number).collect();
                Action::Contact { name, numbers }
            }
            "sync" => Action::Sync,
            "same_contacts" => Action::SameContacts(self.known_party(value, &what)?),
            "wait" => Action::Wait(self.wait(value, fields)?),
            "expect" => {
                let asked = self.reading.texts(value, &what);
                let mut all = Vec::new();
                for (at, text) in asked {
                    match text.parse::<Expr>() {
                        Ok(expr) => all.push(expr),
                        Err(why) => self.reading.mistake(at, format!("{what}: {why}")),
                    }
                }
                Action::Expect(all)
            }
            "pause" => Action::Pause(self.reading.parsed(value, &what, bounded)?),
            "say" => Action::Say(self.reading.text(value, &what)?),
            "fault" => {
                let fault = self.reading.parsed(value, &what, fault);
                let mut count = |key: &str| {
                    fields
                        .take(key)
                        .and_then(|node| self.reading.parsed(node, &format!("`{key}`"), whole::<u32>))
                };
                let when = When { from: count("from").unwrap_or(1).max(1), times: count("times") };
                Action::Fault(fault?, when)
            }
            "impair" => {
                let of = fields.take("of").and_then(|node| {
                    self.reading.parsed(node, "`of`", |text| match text {
                        "media" => Ok(Impaired::Media),
                        "sip" => Ok(Impaired::Sip),
                        other => Err(format!("`{other}`: media and sip can be impaired")),
                    })
                });
                let impairment = match &value.value {
                    Value::Text(word) if word == "off" => z5_mock::Impairment::default(),
                    Value::Nothing | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                        impairment(self.reading, value)
                    }
                };
                Action::Impair(of.unwrap_or(Impaired::Media), impairment)
            }
            "mend" => Action::Mend(self.reading.parsed(value, &what, fault)?),
            "wire" => self.wire(value, fields)?,
            _ => self.parallel(value),
        })
    }

    fn refusal(&mut self, how: &str, fields: &mut Fields<'_>) -> Option<Refusal> {
        let to = fields.take("to");
        if let (Some(node), false) = (to, how == "redirect") {
            self.reading.mistake(node.at, "`to` goes with `redirect`");
        }
        Some(match (how, to) {
            ("busy", _) => Refusal::Busy,
            ("unavailable", _) => Refusal::Unavailable,
            ("redirect", Some(node)) => Refusal::Redirect(self.reading.text(node, "`to`")?),
            ("redirect", None) => {
                self.reading.mistake(fields.at, "`redirect` goes with `to`: who takes the call instead");
                return None;
            }
            _ => Refusal::Decline,
        })
    }

    /// Branches that run at the same time; each party is in one of them.
    fn parallel(&mut self, value: &Node) -> Action {
        let mut taken = BTreeSet::new();
        let mut branches = Vec::new();
        for node in self.reading.list(value, "`parallel`") {
            // a branch of one step needs no list
            let mut steps = Vec::new();
            match &node.value {
                Value::List(_) => steps = self.list(node, "a branch of `parallel`"),
                Value::Nothing | Value::Text(_) | Value::Map(_) => self.step(node, &mut steps),
            }
            let mut own = BTreeSet::new();
            who(&steps, &mut own);
            if let Some(both) = own.intersection(&taken).next() {
                let name = self.parties.get(*both).map_or("", |party| &party.name);
                self.reading.mistake(node.at, format!("`{name}` is in two branches of one `parallel`"));
            }
            taken.extend(own);
            branches.push(Arc::new(steps));
        }
        Action::Parallel(branches)
    }

    fn media(&mut self, fields: &mut Fields<'_>) -> MediaPlan {
        let folder = self.folder;
        let echo = fields.take("echo").and_then(|node| self.reading.flag(node, "`echo`")) == Some(true);
        let (audio, video) = (fields.take("audio"), fields.take("video"));
        if let (true, Some(node)) = (echo, audio.or(video)) {
            self.reading.mistake(node.at, "an echo sends what comes: leave `audio` and `video` out");
        }
        let audio = audio.and_then(|node| self.reading.parsed(node, "`audio`", str::parse));
        let audio = match audio.unwrap_or(AudioArg::Silence) {
            AudioArg::Wav(file) => AudioArg::Wav(path(folder, file)),
            other @ (AudioArg::None | AudioArg::Silence | AudioArg::Tone { .. }) => other,
        };
        let video = video.and_then(|node| self.reading.parsed(node, "`video`", str::parse));
        let video = video.map(|video| match video {
            VideoSetting::File { path: file, rate } => VideoSetting::File { path: path(folder, file), rate },
            other @ (VideoSetting::Off
            | VideoSetting::Blank
            | VideoSetting::Pattern(_)
            | VideoSetting::Film) => other,
        });
        let record = fields.take("record").and_then(|node| self.reading.text(node, "`record`"));
        let record = record.map(|to| path(folder, to));
        let silent = fields.take("silent").and_then(|node| self.reading.flag(node, "`silent`")) == Some(true);
        MediaPlan { audio, video, record, silent, echo }
    }

    fn wait(&mut self, value: &Node, fields: &mut Fields<'_>) -> Option<Wait> {
        let word = self.reading.text(value, "`wait`")?;
        let test = self.text_test(fields);
        let code = fields.take("code");
        let members = fields.take("where");
        let unused = |reading: &mut Reading, node: Option<&Node>, key: &str, with: &str| {
            if let Some(node) = node {
                reading.mistake(node.at, format!("`{key}` goes with {with}"));
            }
        };
        if word != "failed" {
            unused(self.reading, code, "code", "`wait: failed`");
        }
        if !EVENTS.contains(&word.as_str()) {
            unused(self.reading, members, "where", "an event of docs/json.md");
        }
        if test.is_some() && !matches!(word.as_str(), "text" | "digits") {
            self.reading.mistake(value.at, "`is` and `has` go with `wait: text` and `wait: digits`; members of an event stand in `where`");
        }
        let heard = |what| {
            let test = test.clone().unwrap_or(TextTest::Has(String::new()));
            Some(Wait::Heard { what, test })
        };
        match word.as_str() {
            "registered" => Some(Wait::State(Standing::Registered)),
            "calling" => Some(Wait::State(Standing::Calling)),
            "ringing" => Some(Wait::State(Standing::Ringing)),
            "established" => Some(Wait::State(Standing::Established)),
            "over" => Some(Wait::State(Standing::Over)),
            "text" => heard(Heard::Text),
            "digits" => heard(Heard::Digits),
            "failed" => Some(Wait::Failed(code.and_then(|node| {
                self.reading.parsed(node, "`code`", |text| format!("code={text}").parse())
            }))),
            other => match EVENTS.iter().find(|event| **event == other) {
                Some(name) => Some(Wait::Event { name, members: self.members(members) }),
                None => {
                    let known = STATES.iter().chain(EVENTS).copied();
                    self.reading
                        .mistake(value.at, unknown("nothing can be waited for that is called", other, known));
                    None
                }
            },
        }
    }

    /// Members of an event by their path, such as `counts.0.new`; `~` before a value: has it somewhere.
    fn members(&mut self, node: Option<&Node>) -> Vec<(String, TextTest)> {
        let Some(Node { at, value }) = node else { return Vec::new() };
        let Value::Map(entries) = value else {
            self.reading.mistake(*at, "`where` is written as members and values");
            return Vec::new();
        };
        let mut all = Vec::new();
        for (key, value) in entries {
            let Some(text) = self.reading.text(value, &format!("`{}`", key.name)) else { continue };
            let test = match text.strip_prefix('~') {
                Some(part) => TextTest::Has(part.to_owned()),
                None => TextTest::Is(text),
            };
            all.push((key.name.clone(), test));
        }
        all
    }

    fn text_test(&mut self, fields: &mut Fields<'_>) -> Option<TextTest> {
        let is = fields.take("is").and_then(|node| self.reading.text(node, "`is`"));
        let has = fields.take("has").and_then(|node| self.reading.text(node, "`has`"));
        match (is, has) {
            (Some(_), Some(_)) => {
                self.reading.mistake(fields.at, "`is` and `has`: one of them");
                None
            }
            (is, has) => is.map(TextTest::Is).or(has.map(TextTest::Has)),
        }
    }

    fn wire(&mut self, value: &Node, fields: &mut Fields<'_>) -> Option<Action> {
        let start = self.reading.text(value, "`wire`")?;
        let by_carrier = fields.take("by").and_then(|node| {
            self.reading.parsed(node, "`by`", |text| match text {
                "client" => Ok(false),
                "carrier" => Ok(true),
                other => Err(unknown("there is no side", other, ["client", "carrier"])),
            })
        });
        let header = fields.take("header").and_then(|node| self.reading.text(node, "`header`"));
        let mut texts = |key: &str| -> Vec<String> {
            let node = fields.take(key);
            let all = node.map(|node| self.reading.texts(node, &format!("`{key}`"))).unwrap_or_default();
            all.into_iter().map(|(_, text)| text).collect()
        };
        let (has, lacks) = (texts("has"), texts("lacks"));
        Some(Action::Wire(Wire { start, by_carrier: by_carrier == Some(true), header, has, lacks }))
    }
}

/// Who takes part in steps.
fn who(steps: &[Step], into: &mut BTreeSet<usize>) {
    for step in steps {
        into.extend(step.party);
        if let Action::Parallel(branches) = &step.action {
            branches.iter().for_each(|branch| who(branch, into));
        }
    }
}

/// A time that somebody lives to see.
fn bounded(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time <= LONGEST => Ok(time),
        _ => Err("a week is the longest".to_owned()),
    }
}

/// One of the words of a list.
fn chosen(what: &str, text: &str, known: &'static [&'static str]) -> Result<&'static str, String> {
    let found = known.iter().find(|word| **word == text).copied();
    found.ok_or_else(|| unknown(&format!("there is no {what}"), text, known.iter().copied()))
}
