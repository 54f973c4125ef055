//! Whether media still comes: silence is told once, with the best reason there is, and so is its end.
//!
//! Only an accepted packet is media; what comes instead gives the reason. A stream that is not to receive (hold, `sendonly` at
//! our side) is not watched, and when it may receive again it is given its whole time anew.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::stats::DropReason;

/// What is told of a stream that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// No media came for as long as was set.
    Silent(Silence),
    /// Media comes again, after so long.
    Back(Duration),
}

/// A silence and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Since the last media, or since the stream began to receive.
    pub lasted: Duration,
    /// Why, as far as it shows.
    pub reason: SilenceReason,
}

/// Why there is no media, the most telling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SilenceReason {
    /// Packets come and are dropped, the last one for this reason.
    Dropped(DropReason),
    /// The far end said goodbye by RTCP.
    Goodbye,
    /// Reports come: the path is open and the far end sends no media.
    OnlyReports,
    /// Media came before.
    Stopped,
    /// Nothing ever came.
    NothingCame,
}

impl std::fmt::Display for SilenceReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dropped(reason) => write!(f, "packets come and are dropped ({reason:?})"),
            Self::Goodbye => f.write_str("the far end said goodbye by RTCP"),
            Self::OnlyReports => f.write_str("reports come by RTCP, media does not"),
            Self::Stopped => f.write_str("it came before and stopped"),
            Self::NothingCame => f.write_str("nothing has ever come"),
        }
    }
}

/// Since when media is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// None is expected.
    Never,
    /// From the next look at the clock on.
    NextLook,
    At(Instant),
}

/// The watch over one stream.
#[derive(Debug)]
pub(super) struct Watch {
    patience: Option<Duration>,
    since: Since,
    /// The present silence was told.
    told: bool,
    /// A silence that was told is over.
    back: Option<Duration>,
    came: bool,
    goodbye: bool,
    dropped: Option<(DropReason, Instant)>,
    reported: Option<Instant>,
}

impl Watch {
    pub(super) fn new(receive: bool, start: Instant) -> Self {
        Self {
            patience: None,
            since: if receive { Since::At(start) } else { Since::Never },
            told: false,
            back: None,
            came: false,
            goodbye: false,
            dropped: None,
            reported: None,
        }
    }

    /// How long media may be missing; `None`: for ever.
    pub(super) fn set_patience(&mut self, patience: Option<Duration>) {
        self.patience = patience;
    }

    /// Media is expected from now on, or not.
    pub(super) fn expect(&mut self, receive: bool) {
        if !receive {
            self.since = Since::Never;
        } else if self.since == Since::Never || self.told {
            self.since = Since::NextLook;
        }
        self.told = false;
        self.back = None;
    }

    /// A packet was accepted.
    pub(super) fn heard(&mut self, now: Instant) {
        if let (true, Since::At(since)) = (self.told, self.since) {
            self.back = Some(now.saturating_duration_since(since));
        }
        (self.told, self.came, self.goodbye) = (false, true, false);
        if self.since != Since::Never {
            self.since = Since::At(now);
        }
    }

    /// A packet was dropped.
    pub(super) fn dropped(&mut self, reason: DropReason, now: Instant) {
        self.dropped = Some((reason, now));
    }

    /// A report came.
    pub(super) fn reported(&mut self, goodbye: bool, now: Instant) {
        self.reported = Some(now);
        self.goodbye |= goodbye;
    }

    /// When [`news`](Self::news) wants to be called; `start` stands for "at once".
    pub(super) fn next(&self, start: Instant) -> Option<Instant> {
        let patience = self.patience?;
        match self.since {
            _ if self.back.is_some() => Some(start),
            Since::NextLook => Some(start),
            Since::At(since) if !self.told => Some(since + patience),
            Since::At(_) | Since::Never => None,
        }
    }

    /// What is to be told now.
    pub(super) fn news(&mut self, now: Instant) -> Option<Flow> {
        let patience = self.patience?;
        if let Some(lasted) = self.back.take() {
            return Some(Flow::Back(lasted));
        }
        let since = match self.since {
            Since::At(since) => since,
            Since::NextLook => {
                self.since = Since::At(now);
                return None;
            }
            Since::Never => return None,
        };
        let lasted = now.saturating_duration_since(since);
        if self.told || lasted < patience {
            return None;
        }
        self.told = true;
        let reason = match (self.dropped, self.reported) {
            (Some((reason, at)), _) if at > since => SilenceReason::Dropped(reason),
            _ if self.goodbye => SilenceReason::Goodbye,
            (_, Some(at)) if at > since => SilenceReason::OnlyReports,
            _ if self.came => SilenceReason::Stopped,
            _ => SilenceReason::NothingCame,
        };
        Some(Flow::Silent(Silence { lasted, reason }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn watch(start: Instant) -> Watch {
        let mut watch = Watch::new(true, start);
        watch.set_patience(Some(PATIENCE));
        watch
    }

    fn silent(reason: SilenceReason) -> Option<Flow> {
        Some(Flow::Silent(Silence { lasted: PATIENCE, reason }))
    }

    #[test]
    fn a_silence_is_told_once_at_its_time_and_so_is_its_end() {
        let start = clock::now();
        let mut watch = watch(start);
        assert_eq!(watch.next(start), Some(start + PATIENCE));
        assert_eq!(watch.news(start + PATIENCE - Duration::from_millis(1)), None);
        assert_eq!(watch.news(start + PATIENCE), silent(SilenceReason::NothingCame));
        assert_eq!((watch.next(start), watch.news(start + 2 * PATIENCE)), (None, None));
        let later = start + 3 * PATIENCE;
        watch.heard(later);
        assert_eq!(watch.next(start), Some(start));
        assert_eq!(watch.news(later), Some(Flow::Back(3 * PATIENCE)));
        assert_eq!((watch.next(start), watch.news(later)), (Some(later + PATIENCE), None));
        assert_eq!(watch.news(later + PATIENCE), silent(SilenceReason::Stopped));
    }

    #[test]
    fn the_most_telling_reason_is_given_and_what_was_before_the_silence_does_not_count() {
        let start = clock::now();
        let then = start + Duration::from_secs(1);
        let end = then + PATIENCE;
        let told = |change: &dyn Fn(&mut Watch)| {
            let mut watch = watch(start);
            watch.dropped(DropReason::TooShort, start);
            watch.reported(false, start);
            watch.heard(then);
            change(&mut watch);
            watch.news(end)
        };
        let during = then + Duration::from_secs(2);
        assert_eq!(told(&|_| ()), silent(SilenceReason::Stopped));
        assert_eq!(told(&|watch| watch.reported(false, during)), silent(SilenceReason::OnlyReports));
        assert_eq!(told(&|watch| watch.reported(true, during)), silent(SilenceReason::Goodbye));
        let wrong_key = DropReason::AuthenticationFailed;
        let both = |watch: &mut Watch| {
            watch.reported(true, during);
            watch.dropped(wrong_key, during);
        };
        assert_eq!(told(&both), silent(SilenceReason::Dropped(wrong_key)));
    }

    #[test]
    fn a_stream_on_hold_is_not_missed_and_has_its_whole_time_after_it() {
        let start = clock::now();
        let mut watch = watch(start);
        watch.expect(false);
        assert_eq!((watch.next(start), watch.news(start + 10 * PATIENCE)), (None, None));
        watch.expect(true);
        let resumed = start + 11 * PATIENCE;
        assert_eq!(watch.next(start), Some(start), "the clock is wanted at once");
        assert_eq!(watch.news(resumed), None);
        assert_eq!(watch.next(start), Some(resumed + PATIENCE));
        // What is expected already goes on.
        watch.expect(true);
        assert_eq!(watch.news(resumed + PATIENCE), silent(SilenceReason::NothingCame));
        watch.set_patience(None);
        assert_eq!(watch.next(start), None);
    }
}
