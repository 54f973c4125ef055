//! Far ends that a test or a scenario file writes: what they do from the INVITE to the end, step by step.

use std::str::FromStr;
use std::time::Duration;

use z5_sip::wire::{Message, Name, ResponseBuilder};

use super::{Call, FarEnds, Kind, Later, built};
use crate::account::{self, Account};
use crate::fault::order::duration;
use crate::impairment::Impairment;

/// A far end with a number of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub(crate) number: String,
    pub(crate) name: String,
    pub(crate) media: Media,
    pub(crate) says: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) impairment: Option<Impairment>,
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
    /// REFER to a number of the carrier (RFC 3515). The end: it hangs up when the caller has got there, and stays otherwise.
    Transfer(String),
    /// BYE; the end.
    HangUp,
}

/// Why a script cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadScript {
    /// No such step.
    #[error(
        "{0:?} is no step; ring, early-media, answer, refuse STATUS, redirect NUMBER, wait TIME, type TEXT, hold, resume, re-invite, transfer NUMBER and hang-up are"
    )]
    Step(String),
    /// No step at all.
    #[error(
        "there is no step, and a caller would wait for ever: write at least one, such as answer or refuse 486"
    )]
    Empty,
    /// A step at a place where it means nothing.
    #[error("{step} (step {number}) makes no sense {place}")]
    Place {
        /// Which.
        step: &'static str,
        /// Counted from 1.
        number: usize,
        /// Where, and what to do.
        place: &'static str,
    },
    /// A number that is none.
    #[error("{0:?} is no phone number: write it as +15555550950")]
    Number(String),
    /// It sends callers to itself.
    #[error("{0} (step {1}) is this far end itself: nobody would ever get anywhere; name another number")]
    Itself(String, usize),
}

impl Script {
    /// An echo under this number (`+15555550950`) that does these steps.
    ///
    /// # Errors
    /// A number that is none, no step, steps in an order that means nothing, callers sent to the number itself.
    pub fn new(number: &str, steps: Vec<Step>) -> Result<Self, BadScript> {
        check(&steps).map_err(|(_, why)| why)?;
        let script = Self::numbered(number, steps)?;
        match script.leads_to() {
            Some((at, target)) if script.is_dialled_by(target) => {
                Err(BadScript::Itself(target.to_owned(), at + 1))
            }
            Some(_) | None => Ok(script),
        }
    }

    /// The same with steps that were judged already.
    pub(crate) fn numbered(number: &str, steps: Vec<Step>) -> Result<Self, BadScript> {
        let digits = number.strip_prefix('+').unwrap_or_default();
        if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadScript::Number(number.to_owned()));
        }
        Ok(Self {
            number: number.to_owned(),
            name: String::new(),
            media: Media::default(),
            says: super::ANNOUNCEMENT_TEXT.to_owned(),
            steps,
            impairment: None,
        })
    }

    /// The step by which a caller is sent to somebody else, and whom.
    pub(crate) fn leads_to(&self) -> Option<(usize, &str)> {
        self.steps.iter().enumerate().find_map(|(at, step)| match step {
            Step::Redirect(target) | Step::Transfer(target) => Some((at, target.as_str())),
            Step::Ring | Step::EarlyMedia | Step::Answer | Step::Refuse(_) | Step::Wait(_) => None,
            Step::Type(_) | Step::Hold | Step::Resume | Step::Reinvite | Step::HangUp => None,
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

    /// What its own network does to its media, both ways, beside what the carrier's does.
    #[must_use]
    pub fn impairment(mut self, impairment: Impairment) -> Self {
        self.impairment = Some(impairment);
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

/// Why a number or a name cannot be that of one more far end: whoever has it already.
pub(crate) fn taken<'a>(
    dialled: &str,
    mut others: impl Iterator<Item = &'a Script>,
    accounts: &[Account],
) -> Option<String> {
    if let Some(other) = others.find(|other| other.is_dialled_by(dialled)) {
        return Some(format!("{dialled} is far end {} already: give each its own", other.number));
    }
    let (account, number) = account::find(accounts, dialled)?;
    let (number, name) = (&number.e164, account.username());
    Some(format!("{dialled} is {number} of account {name}, whom nobody could call any more: take another"))
}

/// The far ends that a carrier is to start with, one beside the other.
///
/// # Errors
/// The number of the first that has what another has, and why.
pub(crate) fn check_all(scripts: &[Script], accounts: &[Account]) -> Result<(), (String, String)> {
    for (at, script) in scripts.iter().enumerate() {
        let name = Some(&script.name).filter(|name| !name.is_empty());
        for dialled in [Some(&script.number), name].into_iter().flatten() {
            if let Some(why) = taken(dialled, scripts[..at].iter(), accounts) {
                return Err((script.number.clone(), why));
            }
        }
    }
    Ok(())
}

/// What a far end has done by the steps so far, as far as later ones depend on it.
#[derive(Default)]
struct SoFar {
    answered: bool,
    early: bool,
    held: bool,
    /// Since the last pause: rang, offered something, typed.
    rang: bool,
    offered: bool,
    typed: bool,
}

/// One answer or refusal; changes only between it and the end, one at a time; nothing after the end, and no pause at it. Which step is
/// wrong, counted from 0, and why.
pub(crate) fn check(steps: &[Step]) -> Result<(), (usize, BadScript)> {
    let mut so_far = SoFar::default();
    for (at, step) in steps.iter().enumerate() {
        let last = at + 1 == steps.len();
        let wrong = match so_far.take(step, last) {
            None if step.ends() && !last => {
                let place = "before other steps: the call is over then, leave the others out";
                Some(place)
            }
            wrong => wrong,
        };
        if let Some(place) = wrong {
            return Err((at, BadScript::Place { step: step.word(), number: at + 1, place }));
        }
    }
    if steps.is_empty() { Err((0, BadScript::Empty)) } else { Ok(()) }
}

impl SoFar {
    /// One more step; where it is wrong, if it is.
    fn take(&mut self, step: &Step, last: bool) -> Option<&'static str> {
        let change = matches!(step, Step::Hold | Step::Resume | Step::Reinvite);
        let within = change || matches!(step, Step::Type(_) | Step::Transfer(_) | Step::HangUp);
        if within && !self.answered {
            return Some("before the answer: write answer before it");
        }
        if change && self.offered {
            return Some("right after another change: offers go one at a time, write wait between them");
        }
        match step {
            Step::Wait(Duration::ZERO) => return Some("without a time: write one, or leave it out"),
            Step::Wait(_) if last => return Some("at the end: write what follows it, or leave it out"),
            Step::Wait(_) => (self.rang, self.offered, self.typed) = (false, false, false),
            Step::Ring | Step::EarlyMedia | Step::Answer | Step::Refuse(_) | Step::Redirect(_)
                if self.answered =>
            {
                return Some("after the answer: a call is answered once");
            }
            Step::Ring if self.rang => return Some("right after another one: write wait between them"),
            Step::Ring => self.rang = true,
            Step::EarlyMedia if self.early => return Some("a second time: the media runs already"),
            Step::EarlyMedia => self.early = true,
            Step::Answer => self.answered = true,
            Step::Hold if self.held => return Some("while it holds already: write resume before it"),
            Step::Resume if !self.held => return Some("without hold before it"),
            Step::Hold => (self.held, self.offered) = (true, true),
            Step::Resume => (self.held, self.offered) = (false, true),
            Step::Reinvite => self.offered = true,
            Step::Type(_) => self.typed = true,
            Step::HangUp if self.typed => {
                return Some("right after type: nothing of the text would be sent, write wait between them");
            }
            Step::Refuse(_) | Step::Redirect(_) | Step::Transfer(_) | Step::HangUp => {}
        }
        None
    }
}

impl Step {
    /// Whether nothing can follow.
    const fn ends(&self) -> bool {
        matches!(self, Self::Refuse(_) | Self::Redirect(_) | Self::Transfer(_) | Self::HangUp)
    }

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
            Self::Transfer(_) => "transfer",
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
            ("redirect", number) if is_dialled(number) => Ok(Self::Redirect(number.to_owned())),
            ("transfer", number) if is_dialled(number) => Ok(Self::Transfer(number.to_owned())),
            _ => Err(bad()),
        }
    }
}

/// The name of a far end of the carrier's, or a number.
fn is_dialled(target: &str) -> bool {
    Kind::of(target).is_some() || target.strip_prefix('+').is_some_and(|digits| !digits.is_empty())
}

impl FarEnds {
    /// A call for a scripted far end.
    pub(super) fn on_scripted(&mut self, request: &Message, call_id: &str, index: usize) -> Vec<Message> {
        let Some(script) = self.state.scripts.get(index) else { return Vec::new() };
        let call = Call::new(script.kind(), Some(index), self.ident.tag(), request);
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
                Step::Transfer(target) => out.extend(self.refer(call_id, &target)),
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
    fn far_ends_do_not_stand_in_for_each_other_or_for_customers() {
        let script = |number| Script::new(number, vec![Step::Answer]).unwrap();
        let accounts = account::default_accounts();
        let judged = |scripts: &[Script]| check_all(scripts, &accounts).map_err(|(_, why)| why);
        // One of the carrier's may be replaced.
        assert_eq!(judged(&[script("+15555550950"), script("+15555550900").name("echo")]), Ok(()));
        for scripts in [
            [script("+15555550950"), script("+15555550950")],
            [script("+15555550950").name("clerk"), script("+15555550951").name("clerk")],
            [script("+15555550950"), script("+15555550101")],
            [script("+15555550950"), script("+15555550951").name("alice")],
        ] {
            assert!(judged(&scripts).is_err(), "{scripts:?}");
        }
    }

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
            (&["hold"][..], "step 1) makes no sense before the answer"),
            (&["type Hello"], "before the answer"),
            (&["transfer echo"], "before the answer"),
            (&["answer", "type"], "is no step"),
            (&["answer", "transfer nobody"], "is no step"),
            (&["answer", "ring"], "(step 2) makes no sense after the answer"),
            (&["answer", "answer"], "after the answer"),
            (&["ring", "ring", "answer"], "write wait between"),
            (&["early-media", "early-media"], "a second time"),
            (&["refuse 486", "answer"], "before other steps"),
            (&["answer", "transfer echo", "hang-up"], "before other steps"),
            (&["answer", "hold", "wait 1s", "hold"], "holds already"),
            (&["answer", "resume"], "without hold"),
            (&["answer", "hold", "resume"], "one at a time"),
            (&["answer", "re-invite", "re-invite"], "one at a time"),
            (&["answer", "type Bye.", "hang-up"], "nothing of the text"),
            (&["answer", "wait 0s", "hang-up"], "without a time"),
            (&["answer", "wait 1s"], "at the end"),
            (&[], "there is no step"),
            (&["refuse 200"], "is no step"),
            (&["wait"], "is no step"),
            (&["redirect +"], "is no step"),
            (&["redirect +15555550950"], "this far end itself"),
            (&["answer", "transfer +15555550950"], "+15555550950 (step 2) is this far end itself"),
            (&["sing"], "is no step"),
        ] {
            let why = script(words).unwrap_err().to_string();
            assert!(why.contains(part), "{words:?}: {why}");
        }
        assert!(Script::new("950", vec![Step::Answer]).unwrap_err().to_string().contains("+15555550950"));
    }
}
