//! What is done in a running call and when: the values of `--at TIME=ACTION`.

use std::str::FromStr;
use std::time::Duration;

use z5_core::events::MediaKind;
use z5_core::{CallId, Session};

use crate::read::{meant, time};

/// One planned deed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Act {
    /// After the answer.
    pub(crate) at: Duration,
    /// What.
    pub(crate) deed: Deed,
}

/// What can be done in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Hold the call.
    Hold,
    /// Take it off hold.
    Resume,
    /// Mute or unmute a medium on this side.
    Mute(MediaKind, bool),
    /// Add a medium to the call.
    Add(MediaKind),
    /// Press keys.
    Keys(String),
    /// Type text.
    Text(String),
    /// Hand the call over.
    Transfer(String),
    /// End it.
    Hangup,
}

/// What each begins with.
const WORDS: [&str; 9] = ["hold", "resume", "mute", "unmute", "add", "dtmf", "text", "transfer", "hangup"];
const ACTIONS: &str = "hold, resume, mute[:audio|:text|:video], unmute[:audio|:text|:video], dtmf:KEYS, text:TEXT, add:text, add:video, transfer:TARGET or hangup";

impl FromStr for Act {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (at, deed) = text
            .split_once('=')
            .ok_or_else(|| format!("write it as TIME=ACTION, for example 2s=hold; actions are {ACTIONS}"))?;
        let at = time(at)?;
        Ok(Self { at, deed: deed.parse()? })
    }
}

impl FromStr for Deed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, value) = match text.split_once(':') {
            Some((word, value)) => (word, Some(value)),
            None => (text, None),
        };
        Ok(match (word, value) {
            ("hold", None) => Self::Hold,
            ("resume", None) => Self::Resume,
            ("hangup", None) => Self::Hangup,
            ("mute", kind) => Self::Mute(medium(kind)?, true),
            ("unmute", kind) => Self::Mute(medium(kind)?, false),
            ("add", Some(kind)) => Self::Add(medium(Some(kind))?),
            ("dtmf", Some(keys)) if !keys.is_empty() => match keys.chars().find(|key| !is_key(*key)) {
                None => Self::Keys(keys.to_owned()),
                Some(other) => return Err(format!("{other:?} is no key: 0-9, *, #, A-D are")),
            },
            ("transfer", Some(target)) if !target.is_empty() => Self::Transfer(target.to_owned()),
            ("text", Some(typed)) if !typed.is_empty() => Self::Text(typed.to_owned()),
            _ => {
                let near = if WORDS.contains(&word) { String::new() } else { meant(word, WORDS) };
                return Err(format!("`{text}` is no action{near}; there are {ACTIONS}"));
            }
        })
    }
}

/// RFC 4733 section 3.2.
fn is_key(key: char) -> bool {
    key.is_ascii_digit() || matches!(key, '*' | '#' | 'A'..='D' | 'a'..='d')
}

fn medium(name: Option<&str>) -> Result<MediaKind, String> {
    match name {
        None | Some("audio") => Ok(MediaKind::Audio),
        Some("text") => Ok(MediaKind::Text),
        Some("video") => Ok(MediaKind::Video),
        Some(other) => {
            let near = meant(other, ["audio", "text", "video"]);
            Err(format!("`{other}` is no medium{near}; there are audio, text and video"))
        }
    }
}

impl Deed {
    /// Does it.
    pub(crate) fn perform(&self, session: &Session, call: CallId) {
        match self {
            Self::Hold => session.hold(call),
            Self::Resume => session.resume(call),
            Self::Mute(kind, muted) => session.mute(call, *kind, *muted),
            Self::Add(kind) => session.add(call, *kind),
            Self::Keys(keys) => session.send_digits(call, keys),
            Self::Text(text) => session.send_text(call, text),
            Self::Transfer(target) => session.transfer(call, target),
            Self::Hangup => session.hangup(call),
        }
    }

    /// For people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Hold => "hold".to_owned(),
            Self::Resume => "resume".to_owned(),
            Self::Mute(kind, true) => format!("mute {}", kind.name()),
            Self::Mute(kind, false) => format!("unmute {}", kind.name()),
            Self::Add(kind) => format!("add {}", kind.name()),
            Self::Keys(keys) => format!("press {keys}"),
            Self::Text(text) => format!("type {text:?}"),
            Self::Transfer(target) => format!("hand over to {target}"),
            Self::Hangup => "hang up".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(text: &str) -> Result<Act, String> {
        text.parse()
    }

    #[test]
    fn actions_are_read() {
        let at = Duration::from_millis(1500);
        for (text, deed) in [
            ("1500ms=hold", Deed::Hold),
            ("1500ms=resume", Deed::Resume),
            ("1500ms=mute", Deed::Mute(MediaKind::Audio, true)),
            ("1500ms=unmute:text", Deed::Mute(MediaKind::Text, false)),
            ("1500ms=add:text", Deed::Add(MediaKind::Text)),
            ("1500ms=mute:video", Deed::Mute(MediaKind::Video, true)),
            ("1500ms=dtmf:12#", Deed::Keys("12#".to_owned())),
            ("1500ms=text:a=b:c", Deed::Text("a=b:c".to_owned())),
            ("1500ms=transfer:sip:carol@c.test", Deed::Transfer("sip:carol@c.test".to_owned())),
            ("1500ms=hangup", Deed::Hangup),
        ] {
            assert_eq!(act(text), Ok(Act { at, deed }), "{text}");
        }
    }

    #[test]
    fn what_is_no_action_is_told_with_those_that_are() {
        for text in [
            "hold",
            "2s=fly",
            "2s=dtmf:",
            "2s=dtmf:1X",
            "2s=mute:smell",
            "2s=add",
            "2s=add:picture",
            "2=hold",
            "2s=hold:1",
        ] {
            assert!(act(text).is_err(), "{text}");
        }
        assert!(act("2s=fly").unwrap_err().contains("resume"));
    }
}
