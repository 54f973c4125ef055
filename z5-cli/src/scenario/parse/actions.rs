//! What a step does: its action's value, and the keys that belong to it. `steps` reads the rest of the step.

use z5_core::Refusal;
use z5_core::config::VideoSetting;
use z5_mock::{Service, When};

use super::steps::{Author, bounded};
use super::{fault, impairment, location, path, whole};
use crate::act::Deed;
use crate::audio::AudioArg;
use crate::expect::{Expr, Eyes};
use crate::scenario::language::{EVENTS, EYES, INCOMING, REFUSALS, SERVERS, STATES, TRANSFERS, Word};
use crate::scenario::model::{
    Action, CallPlan, Heard, Impaired, MediaPlan, Policy, Standing, TextTest, Wait, Wire,
};
use crate::scenario::read::{Fields, Reading, unknown};
use crate::scenario::yaml::{Node, Value};

impl Author<'_> {
    pub(super) fn action(
        &mut self,
        word: &Word,
        value: &Node,
        (party, leg): (Option<usize>, usize),
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
                if other == leg && other > 0 {
                    let why = "`connect` joins two calls: this is the one that `leg` names already";
                    self.reading.mistake(value.at, why);
                }
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
            "wire" => self.wire(value, party, fields)?,
            _ => self.parallel(value),
        })
    }

    /// The code of a failure that is to come.
    pub(super) fn code(&mut self, node: &Node, what: &str) -> Option<Expr> {
        let expr: Expr = self.reading.parsed(node, what, |text| format!("code={text}").parse())?;
        if !expr.wants_failure() {
            self.reading.mistake(node.at, format!("{what}: that is the code of no failure"));
        }
        Some(expr)
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
            "failed" => Some(Wait::Failed(code.and_then(|node| self.code(node, "`code`")))),
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

    fn wire(&mut self, value: &Node, party: Option<usize>, fields: &mut Fields<'_>) -> Option<Action> {
        let start = self.reading.text(value, "`wire`")?;
        let seen = fields.take("seen").and_then(|node| {
            let eyes =
                self.reading.parsed(node, "`seen`", |text| chosen("place to look from", text, EYES))?;
            if eyes == "carrier" && party.is_some() {
                let why = "the carrier does not know whose it is: leave `as` out, or say `seen: here`";
                self.reading.mistake(node.at, why);
            }
            Some(if eyes == "carrier" { Eyes::Carrier } else { Eyes::Z5 })
        });
        // whose eyes: those of this party
        let seen = seen.or(party.map(|_| Eyes::Z5));
        let of = fields
            .take("of")
            .and_then(|node| self.reading.parsed(node, "`of`", |text| chosen("server", text, SERVERS)));
        let of = match of.unwrap_or("sip") {
            "sip" => Some(Service::Sip),
            "zdial" => Some(Service::Zdial),
            "mcs" => Some(Service::Mcs),
            _ => None,
        };
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
        let (has, each, lacks) = (texts("has"), texts("each"), texts("lacks"));
        let by_carrier = by_carrier == Some(true);
        let wire = Wire { start, seen, of, by_carrier, header, has, each, lacks };
        if let (Some(Eyes::Z5), Some(why)) = (seen, wire.unseen_here()) {
            self.reading.mistake(value.at, why);
        }
        Some(Action::Wire(wire))
    }
}

/// One of the words of a list.
pub(super) fn chosen(what: &str, text: &str, known: &'static [&'static str]) -> Result<&'static str, String> {
    let found = known.iter().find(|word| **word == text).copied();
    found.ok_or_else(|| unknown(&format!("there is no {what}"), text, known.iter().copied()))
}
