//! Far ends that a test or a scenario file writes: what they do from the INVITE to the end, step by step.

use std::str::FromStr;
use std::time::Duration;

use z5_sip::wire::{Message, Name, ResponseBuilder};

use super::text::Typing;
use super::{Call, FarEnds, Kind, Later, built, media};
use crate::fault::order::duration;

/// A far end with a number of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub(crate) number: String,
    pub(crate) name: String,
    pub(crate) media: Media,
    pub(crate) says: String,
    pub(crate) steps: Vec<Step>,
}

/// What a scripted far end sends while its call stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// What it gets.
    #[default]
    Echo,
    /// 1000 Hz.
    Tone,
    /// 440 Hz, text and the built-in film.
    Announcement,
    /// Nothing.
    Silent,
}

/// One thing that it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// 180.
    Ring,
    /// 183 with a session description, media from then on.
    EarlyMedia,
    /// 200 with a session description.
    Answer,
    /// A final status from 400; the end.
    Refuse(u16),
    /// 302 to a number of the carrier; the end.
    Redirect(String),
    /// Nothing for this time.
    Wait(Duration),
    /// Real-time text, if the call has some; its text is not echoed then.
    Type(String),
    /// A re-INVITE with `sendonly`.
    Hold,
    /// A re-INVITE with `sendrecv`.
    Resume,
    /// A re-INVITE with the description as it was.
    Reinvite,
    /// BYE; the end.
    HangUp,
}

/// Why a script cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadScript {
    /// No such step.
    #[error(
        "{0:?} is no step; ring, early-media, answer, refuse STATUS, redirect NUMBER, wait TIME, type TEXT, hold, resume, re-invite and hang-up are"
    )]
    Step(String),
    /// A step at a place where it means nothing.
    #[error("{step} makes no sense {place}")]
    Place {
        /// Which.
        step: &'static str,
        /// Where.
        place: &'static str,
    },
    /// A number that is none.
    #[error("{0:?} is no phone number: write it as +15555550950")]
    Number(String),
}

impl Script {
    /// An echo under this number (`+15555550950`) that does these steps.
    ///
    /// # Errors
    /// A number that is none, or steps in an order that means nothing.
    pub fn new(number: &str, steps: Vec<Step>) -> Result<Self, BadScript> {
        let digits = number.strip_prefix('+').unwrap_or_default();
        if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadScript::Number(number.to_owned()));
        }
        check(&steps)?;
        Ok(Self {
            number: number.to_owned(),
            name: String::new(),
            media: Media::default(),
            says: super::ANNOUNCEMENT_TEXT.to_owned(),
            steps,
        })
    }

    /// Can be dialled by this name too.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// What it sends.
    #[must_use]
    pub fn media(mut self, media: Media) -> Self {
        self.media = media;
        self
    }

    /// What an announcement types.
    #[must_use]
    pub fn says(mut self, text: &str) -> Self {
        text.clone_into(&mut self.says);
        self
    }

    pub(crate) fn is_dialled_by(&self, user: &str) -> bool {
        user == self.number
            || self.number.strip_prefix('+') == Some(user)
            || (!user.is_empty() && user == self.name)
    }

    /// Whether it types at a time of its own.
    pub(super) fn types(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Type(_)))
    }

    const fn kind(&self) -> Kind {
        match self.media {
            Media::Echo => Kind::Echo,
            Media::Tone => Kind::Tone,
            Media::Announcement => Kind::Announcement,
            Media::Silent => Kind::Silent,
        }
    }
}

/// One answer or refusal; changes only between it and the end; nothing after the end.
fn check(steps: &[Step]) -> Result<(), BadScript> {
    let (mut answered, mut over) = (false, false);
    for step in steps {
        let place = |place| Err(BadScript::Place { step: step.word(), place });
        if over {
            return place("after the end of the call");
        }
        match step {
            Step::Wait(_) => {}
            Step::Ring | Step::EarlyMedia | Step::Answer if answered => return place("after the answer"),
            Step::Ring | Step::EarlyMedia => {}
            Step::Answer => answered = true,
            Step::Refuse(_) | Step::Redirect(_) if answered => return place("after the answer"),
            Step::Refuse(_) | Step::Redirect(_) => over = true,
            Step::Type(_) | Step::Hold | Step::Resume | Step::Reinvite | Step::HangUp if !answered => {
                return place("before the answer");
            }
            Step::Type(_) | Step::Hold | Step::Resume | Step::Reinvite => {}
            Step::HangUp => over = true,
        }
    }
    Ok(())
}

impl Step {
    const fn word(&self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::EarlyMedia => "early-media",
            Self::Answer => "answer",
            Self::Refuse(_) => "refuse",
            Self::Redirect(_) => "redirect",
            Self::Wait(_) => "wait",
            Self::Type(_) => "type",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Reinvite => "re-invite",
            Self::HangUp => "hang-up",
        }
    }
}

impl FromStr for Step {
    type Err = BadScript;

    /// As scenario files write it: a word, and behind a blank what it needs.
    fn from_str(text: &str) -> Result<Self, BadScript> {
        let bad = || BadScript::Step(text.to_owned());
        match text.split_once(' ').unwrap_or((text, "")) {
            ("ring", "") => Ok(Self::Ring),
            ("early-media", "") => Ok(Self::EarlyMedia),
            ("answer", "") => Ok(Self::Answer),
            ("hold", "") => Ok(Self::Hold),
            ("resume", "") => Ok(Self::Resume),
            ("re-invite", "") => Ok(Self::Reinvite),
            ("hang-up", "") => Ok(Self::HangUp),
            ("type", text) if !text.is_empty() => Ok(Self::Type(text.to_owned())),
            ("wait", time) => duration(time).map(Self::Wait).ok_or_else(bad),
            ("refuse", status) => {
                let status = status.parse().ok().filter(|status| (400..700).contains(status));
                status.map(Self::Refuse).ok_or_else(bad)
            }
            ("redirect", number) if Kind::of(number).is_some() || number.starts_with('+') => {
                Ok(Self::Redirect(number.to_owned()))
            }
            _ => Err(bad()),
        }
    }
}

impl FarEnds {
    /// A call for a scripted far end.
    pub(super) fn on_scripted(&mut self, request: &Message, call_id: &str, index: usize) -> Vec<Message> {
        let Some(script) = self.state.scripts.get(index) else { return Vec::new() };
        let call = Call {
            kind: script.kind(),
            script: Some(index),
            typing: Typing::default(),
            tag: self.ident.tag(),
            invite: request.clone(),
            offer: request.clone(),
            answered: false,
            media: media::Lines::default(),
            description: String::new(),
            cseq: 0,
            reinvite: None,
            unacknowledged: None,
        };
        self.calls.insert(call_id.to_owned(), call);
        self.go_on(call_id, 0)
    }

    /// Plays on from a step to the next pause or the end.
    pub(super) fn go_on(&mut self, call_id: &str, from: usize) -> Vec<Message> {
        let mut out = Vec::new();
        for at in from.. {
            let Some(call) = self.calls.get(call_id) else { break };
            let script = call.script.and_then(|index| self.state.scripts.get(index));
            let Some(step) = script.and_then(|script| script.steps.get(at)).cloned() else { break };
            let (invite, tag) = (call.invite.clone(), call.tag.clone());
            match step {
                Step::Wait(time) => {
                    self.later(call_id, Later::Script(at + 1), time);
                    break;
                }
                Step::Ring => out.extend(self.reply(&invite, 180, &tag)),
                Step::EarlyMedia => out.extend(self.answer(call_id, 183)),
                Step::Answer => out.extend(self.answer(call_id, 200)),
                Step::Refuse(status) => {
                    self.calls.remove(call_id);
                    out.extend(self.reply(&invite, status, &tag));
                }
                Step::Redirect(target) => {
                    self.calls.remove(call_id);
                    let number = Kind::of(&target).map_or(target, Kind::number);
                    let contact = format!("<sip:{number}@{};user=phone>", self.state.names.domain());
                    let moved = ResponseBuilder::to_request(&invite, 302, "")
                        .to_tag(&tag)
                        .header(Name::Contact, contact);
                    out.extend(built(moved.build()));
                }
                Step::Type(text) => {
                    if let Some(call) = self.calls.get(call_id) {
                        call.typing.push(&text);
                    }
                }
                Step::Hold => out.extend(self.reinvite(call_id, Some("sendonly"))),
                Step::Resume => out.extend(self.reinvite(call_id, Some("sendrecv"))),
                Step::Reinvite => out.extend(self.reinvite(call_id, None)),
                Step::HangUp => out.extend(self.on_later(call_id, Later::HangUp)),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_and_their_order_judged() {
        let steps =
            |words: &[&str]| words.iter().map(|word| word.parse::<Step>()).collect::<Result<Vec<_>, _>>();
        let script = |words: &[&str]| steps(words).and_then(|steps| Script::new("+15555550950", steps));
        assert!(
            script(&["ring", "wait 500ms", "answer", "type Hello.", "hold", "wait 1s", "resume", "hang-up"])
                .is_ok()
        );
        assert!(script(&["refuse 486"]).is_ok() && script(&["redirect echo"]).is_ok());
        for (words, part) in [
            (&["hold"][..], "before the answer"),
            (&["type Hello"], "before the answer"),
            (&["answer", "type"], "is no step"),
            (&["answer", "ring"], "after the answer"),
            (&["refuse 486", "answer"], "after the end"),
            (&["refuse 200"], "is no step"),
            (&["wait"], "is no step"),
            (&["sing"], "is no step"),
        ] {
            let why = script(words).unwrap_err().to_string();
            assert!(why.contains(part), "{words:?}: {why}");
        }
        assert!(Script::new("950", Vec::new()).is_err());
    }
}
