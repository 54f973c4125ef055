//! What happens at a time of its own: `--stay`, `--wait`, `--ring`, `--duration`, each `--at` and each character that is typed slowly.

use std::time::Duration;

use tokio::time::Instant;

/// Which clock ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alarm {
    /// `register --stay` is over.
    Stay,
    /// `answer --wait` is over.
    Wait,
    /// It has rung for `answer --ring`.
    Answer,
    /// `--duration` of the call is over.
    HangUp,
    /// The deed of `--at` with this number is due.
    Act(usize),
    /// The next character of `--text` is due.
    Type(char),
}

/// Every clock that runs.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    /// Soonest last.
    running: Vec<(Instant, Alarm)>,
}

impl Alarms {
    pub(super) fn set(&mut self, after: Duration, alarm: Alarm) {
        // a duration nobody lives to see is the same as none
        let Some(at) = Instant::from_std(z5_core::clock::now()).checked_add(after) else { return };
        let before = self.running.partition_point(|(other, _)| *other > at);
        self.running.insert(before, (at, alarm));
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.running.last().map(|(at, _)| *at)
    }

    /// The one that was due next, which runs no more.
    pub(super) fn pop(&mut self) -> Option<Alarm> {
        self.running.pop().map(|(_, alarm)| alarm)
    }

    pub(super) fn clear(&mut self) {
        self.running.clear();
    }
}

/// Until this time; without one, for ever.
pub(super) async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
