//! Which far ends there are and how they are dialled; docs/mock.md lists them.

/// The emergency number of the carrier's country.
const EMERGENCY_NUMBER: &str = "911";

/// What a far end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sends everything back.
    Echo,
    /// 486.
    Busy,
    /// 603.
    Decline,
    /// 180 until CANCEL.
    NoAnswer,
    /// 404.
    NotFound,
    /// 480.
    Unavailable,
    /// Tone and text, then BYE.
    Announcement,
    /// A tone until BYE.
    Tone,
    /// Answers and sends nothing.
    Silent,
    /// 302 to the echo.
    Redirect,
    /// 183 with media, then 200.
    EarlyMedia,
    /// Rings two seconds, then echoes.
    SlowAnswer,
    /// Echoes one second, then BYE.
    HangUp,
    /// 488.
    CodecRefusal,
    /// Echoes, and sends a re-INVITE with the same description after a second.
    Reinvite,
    /// Echoes, holds the call after a second and resumes it a second later.
    Hold,
    /// 911 and `urn:service:sos`: an echo that types the location it was told.
    Emergency,
    /// A queue with a picture, music and a text that says how long it is; an interpreter takes over after two seconds.
    Vrs,
    /// Who has taken over from the queue: an echo that says who it is. Cannot be dialled.
    Interpreter,
    /// Greets with a picture and a text, and records; the caller's mailbox gets a message when it is hung up.
    VideoMail,
    /// Echoes, and hands the call over to the echo after a second (REFER, RFC 3515); hangs up when that has come about.
    Transfer,
    /// An echo behind a network that loses media both ways.
    Lossy,
}

/// Every far end: its number's last three digits after +15555550, its name, what it does.
pub(crate) const FAR_ENDS_BY_NUMBER: [(&str, &str, Kind); 20] = [
    ("900", "echo", Kind::Echo),
    ("901", "busy", Kind::Busy),
    ("902", "decline", Kind::Decline),
    ("903", "noanswer", Kind::NoAnswer),
    ("904", "notfound", Kind::NotFound),
    ("905", "unavailable", Kind::Unavailable),
    ("906", "announcement", Kind::Announcement),
    ("907", "tone", Kind::Tone),
    ("908", "silent", Kind::Silent),
    ("909", "redirect", Kind::Redirect),
    ("910", "earlymedia", Kind::EarlyMedia),
    ("912", "slow", Kind::SlowAnswer),
    ("913", "hangup", Kind::HangUp),
    ("914", "codecrefusal", Kind::CodecRefusal),
    ("915", "reinvite", Kind::Reinvite),
    ("916", "hold", Kind::Hold),
    ("917", "vrs", Kind::Vrs),
    ("918", "videomail", Kind::VideoMail),
    ("919", "transfer", Kind::Transfer),
    ("920", "lossy", Kind::Lossy),
];

impl Kind {
    /// The far end that a dialled user part means: E.164, digits, or name.
    pub fn of(user: &str) -> Option<Self> {
        if user == EMERGENCY_NUMBER || user == "urn:service:sos" || user.starts_with("urn:service:sos.") {
            return Some(Self::Emergency);
        }
        let digits = user.strip_prefix('+').unwrap_or(user);
        let last = digits.strip_prefix("15555550");
        let entry = FAR_ENDS_BY_NUMBER.iter().find(|(number, name, _)| last == Some(number) || user == *name);
        entry.map(|(_, _, kind)| *kind)
    }

    /// Whether it sends back what it gets.
    pub(super) const fn echoes(self) -> bool {
        matches!(
            self,
            Self::Echo
                | Self::HangUp
                | Self::SlowAnswer
                | Self::EarlyMedia
                | Self::Emergency
                | Self::Interpreter
                | Self::Reinvite
                | Self::Hold
                | Self::Transfer
                | Self::Lossy
        )
    }

    /// Whether it sends the built-in film.
    pub(super) const fn shows_film(self) -> bool {
        matches!(self, Self::Announcement | Self::Vrs | Self::VideoMail)
    }

    /// Whether it has a text of its own.
    pub(super) const fn types(self) -> bool {
        self.shows_film() || matches!(self, Self::Emergency | Self::Interpreter)
    }

    /// Every far end that can be dialled, by number and name.
    pub(crate) fn all() -> impl Iterator<Item = (String, String)> {
        let emergency = (EMERGENCY_NUMBER.to_owned(), "urn:service:sos".to_owned());
        let named = FAR_ENDS_BY_NUMBER.iter();
        let named = named.map(|(number, name, _)| (format!("+15555550{number}"), (*name).to_owned()));
        named.chain([emergency])
    }

    /// The number to dial.
    pub fn number(self) -> String {
        if self == Self::Emergency {
            return EMERGENCY_NUMBER.to_owned();
        }
        let entry = FAR_ENDS_BY_NUMBER.iter().find(|(_, _, kind)| *kind == self);
        entry.map_or_else(String::new, |(number, _, _)| format!("+15555550{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_end_is_dialled_by_number_digits_or_name() {
        for (number, name, kind) in FAR_ENDS_BY_NUMBER {
            let number = format!("+15555550{number}");
            assert_eq!(Kind::of(&number), Some(kind));
            assert_eq!(Kind::of(&number[1..]), Some(kind));
            assert_eq!(Kind::of(name), Some(kind));
            assert_eq!(kind.number(), number);
        }
        assert_eq!(Kind::of("+15555550101"), None);
    }
}
