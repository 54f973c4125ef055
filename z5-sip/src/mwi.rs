//! The body of a message-summary NOTIFY (RFC 3842 section 5): whether messages wait, and how many of which class
//! (RFC 3458). Read leniently, for what voice-mail servers write differs; headers of single messages are not kept.

use std::fmt;

use crate::wire::Uri;

/// The media type of a summary.
pub const MEDIA_TYPE: &str = "application/simple-message-summary";

/// The event package.
pub const PACKAGE: &str = "message-summary";

/// Classes that are kept; a longer list is cut.
const CLASSES: usize = 16;

/// What waits in a mailbox.
#[derive(Clone, PartialEq)]
pub struct MessageSummary {
    /// Whether new messages wait.
    pub waiting: bool,
    /// The mailbox, when it is named.
    pub account: Option<Uri>,
    /// How many of each class, in the order of the body; empty when it does not say.
    pub counts: Vec<(MessageClass, Counts)>,
}

/// How many messages of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    /// Not looked at yet.
    pub new: u32,
    /// Looked at and kept.
    pub old: u32,
    /// Of the new ones, those marked urgent, when it says so.
    pub new_urgent: Option<u32>,
    /// Of the old ones, those marked urgent, when it says so.
    pub old_urgent: Option<u32>,
}

/// What a message is (RFC 3458 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageClass {
    /// `voice-message`
    Voice,
    /// `fax-message`
    Fax,
    /// `pager-message`
    Pager,
    /// `multimedia-message`: video mail.
    Multimedia,
    /// `text-message`
    Text,
    /// `none`
    None,
    /// Any other token, in small letters.
    Other(String),
}

/// Why a body is no summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SummaryError {
    /// The body is no text.
    #[error("the summary is no text")]
    NotText,
    /// There is no `Messages-Waiting` with yes or no.
    #[error("the summary does not say whether messages wait")]
    NoStatus,
}

impl MessageSummary {
    /// Reads a body.
    ///
    /// # Errors
    /// [`SummaryError`]: without `Messages-Waiting: yes` or `no` nothing is known.
    pub fn parse(body: &[u8]) -> Result<Self, SummaryError> {
        let text = std::str::from_utf8(body).map_err(|_| SummaryError::NotText)?;
        let mut waiting = None;
        let mut account = None;
        let mut counts = Vec::new();
        for line in text.lines() {
            // An empty line opens the headers of single messages.
            if line.trim().is_empty() && waiting.is_some() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            match name.as_str() {
                "messages-waiting" if value.eq_ignore_ascii_case("yes") => waiting = Some(true),
                "messages-waiting" if value.eq_ignore_ascii_case("no") => waiting = Some(false),
                "message-account" => account = Uri::parse(value).ok(),
                _ => {
                    if let Some(found) = Counts::parse(value).filter(|_| counts.len() < CLASSES) {
                        counts.push((MessageClass::parse(name), found));
                    }
                }
            }
        }
        Ok(Self { waiting: waiting.ok_or(SummaryError::NoStatus)?, account, counts })
    }

    /// The counts of one class; zero when it is not listed.
    #[must_use]
    pub fn of(&self, class: &MessageClass) -> Counts {
        self.counts.iter().find(|(of, _)| of == class).map(|(_, counts)| *counts).unwrap_or_default()
    }
}

impl Counts {
    /// `new/old (new-urgent/old-urgent)`
    fn parse(value: &str) -> Option<Self> {
        let (plain, urgent) = match value.split_once('(') {
            Some((plain, urgent)) => (plain, Some(urgent.split(')').next().unwrap_or_default())),
            None => (value, None),
        };
        let (new, old) = pair(plain)?;
        let urgent = urgent.and_then(pair);
        Some(Self {
            new,
            old,
            new_urgent: urgent.map(|(new, _)| new),
            old_urgent: urgent.map(|(_, old)| old),
        })
    }
}

fn pair(text: &str) -> Option<(u32, u32)> {
    let (new, old) = text.split_once('/')?;
    Some((new.trim().parse().ok()?, old.trim().parse().ok()?))
}

impl MessageClass {
    fn parse(name: String) -> Self {
        match name.as_str() {
            "voice-message" => Self::Voice,
            "fax-message" => Self::Fax,
            "pager-message" => Self::Pager,
            "multimedia-message" => Self::Multimedia,
            "text-message" => Self::Text,
            "none" => Self::None,
            _ => Self::Other(name),
        }
    }

    /// The token of the body.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Voice => "voice-message",
            Self::Fax => "fax-message",
            Self::Pager => "pager-message",
            Self::Multimedia => "multimedia-message",
            Self::Text => "text-message",
            Self::None => "none",
            Self::Other(name) => name,
        }
    }
}

/// The account is shown as its length: it may be a number.
impl fmt::Debug for MessageSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageSummary")
            .field("waiting", &self.waiting)
            .field("account", &self.account.as_ref().map(|uri| format!("{} letters", uri.as_str().len())))
            .field("counts", &self.counts)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_3842() {
        let body = b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\n\
            Voice-Message: 4/8 (1/2)\r\nVideo-Message: 0/0\r\n\r\nTo: <alice@atlanta.example.com>\r\nX: 1/2\r\n";
        let summary = MessageSummary::parse(body).unwrap();
        assert!(summary.waiting);
        assert_eq!(summary.account, Some(Uri::parse("sip:alice@vmail.example.com").unwrap()));
        let voice = Counts { new: 4, old: 8, new_urgent: Some(1), old_urgent: Some(2) };
        assert_eq!(summary.of(&MessageClass::Voice), voice);
        assert_eq!(summary.counts[1].0, MessageClass::Other("video-message".to_owned()));
        assert_eq!(summary.counts.len(), 2, "a message's own headers are no class");
    }

    #[test]
    fn video_mail_is_told_apart_and_missing_classes_count_nothing() {
        let summary = MessageSummary::parse(
            b"messages-waiting:YES\nMultimedia-Message : 1/0\nfax-message: 2/1 (0/0)\n",
        );
        let summary = summary.unwrap();
        assert_eq!(summary.of(&MessageClass::Multimedia).new, 1);
        assert_eq!(summary.of(&MessageClass::Fax).new_urgent, Some(0));
        assert_eq!(summary.of(&MessageClass::Voice), Counts::default());
    }

    #[test]
    fn what_cannot_be_read_is_named_or_passed_over() {
        assert_eq!(MessageSummary::parse(b""), Err(SummaryError::NoStatus));
        assert_eq!(MessageSummary::parse(b"Messages-Waiting: perhaps"), Err(SummaryError::NoStatus));
        assert_eq!(MessageSummary::parse(b"\xff\xfe"), Err(SummaryError::NotText));
        let odd = b"Messages-Waiting: no\r\nVoice-Message: 99999999999/1\r\nFax-Message: 1\r\nnoise\r\n";
        let summary = MessageSummary::parse(odd).unwrap();
        assert!(!summary.waiting && summary.counts.is_empty());
        let many: String = (0..100).map(|class| format!("c{class}: 1/1\n")).collect();
        let summary = MessageSummary::parse(format!("Messages-Waiting: yes\n{many}").as_bytes()).unwrap();
        assert_eq!(summary.counts.len(), CLASSES);
    }

    #[test]
    fn the_mailbox_is_in_no_debug_line() {
        let body = b"Messages-Waiting: yes\r\nMessage-Account: sip:5551234@vm.example.com\r\n";
        assert!(!format!("{:?}", MessageSummary::parse(body)).contains("5551234"));
    }
}
