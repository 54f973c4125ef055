//! RTCP feedback (RFC 4585 section 4.2, RFC 5104 section 7.1): the `a=rtcp-fb` attribute.
//!
//! Only what z5's video acts on. Other values are read past: an answer leaves them out, which refuses them.

use sdp_types::Media;

use super::formats;

/// One kind of feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feedback {
    /// `nack`: lost packets are named (RFC 4585 section 6.2.1).
    Nack,
    /// `nack pli`: a picture was lost (RFC 4585 section 6.3.1).
    PictureLoss,
    /// `ccm fir`: a full picture is asked for (RFC 5104 section 4.3.1).
    FullIntra,
    /// `ccm tmmbr`: a bit rate is asked for (RFC 5104 section 4.2.1).
    BitRate,
}

impl Feedback {
    /// Every kind, in the order in which a video line offers them.
    pub const ALL: [Self; 4] = [Self::Nack, Self::PictureLoss, Self::FullIntra, Self::BitRate];

    /// The value of the attribute, without the payload type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nack => "nack",
            Self::PictureLoss => "nack pli",
            Self::FullIntra => "ccm fir",
            Self::BitRate => "ccm tmmbr",
        }
    }

    /// Reads `nack pli` and the like; parameters behind a `ccm` value are left out.
    #[must_use]
    pub fn from_value(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace().map(str::to_ascii_lowercase);
        let (kind, what) = (words.next()?, words.next());
        match (kind.as_str(), what.as_deref()) {
            ("nack", None) => Some(Self::Nack),
            ("nack", Some("pli")) => Some(Self::PictureLoss),
            ("ccm", Some("fir")) => Some(Self::FullIntra),
            ("ccm", Some("tmmbr")) => Some(Self::BitRate),
            (_, _) => None,
        }
    }
}

/// The feedback of a line: the payload type or `*` as written, and what it says, in the writer's order.
pub(super) fn of_line(media: &Media) -> impl Iterator<Item = (&str, Feedback)> {
    formats::values(media, "rtcp-fb").filter_map(|value| {
        let (token, rest) = value.trim().split_once(' ')?;
        Some((token, Feedback::from_value(rest)?))
    })
}

/// What of a line's feedback holds for its payload types `numbers` and is among `ours`, each kind once.
pub(super) fn common(media: &Media, numbers: &[u8], ours: &[Feedback]) -> Vec<Feedback> {
    let mut common = Vec::new();
    for (token, feedback) in of_line(media) {
        if applies(token, numbers) && ours.contains(&feedback) && !common.contains(&feedback) {
            common.push(feedback);
        }
    }
    common
}

/// Whether a payload type token stands for one of `numbers`.
pub(super) fn applies(token: &str, numbers: &[u8]) -> bool {
    token == "*" || token.parse().is_ok_and(|number: u8| numbers.contains(&number))
}
