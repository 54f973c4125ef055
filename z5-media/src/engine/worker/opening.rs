//! What leaves when there is nothing to say: a packet at once and twice more, so that the relay learns our address even when
//! one is lost, then one every 15 s, so that the bindings on the path live (RFC 6263; RFC 9248 section 6.7).

use std::time::{Duration, Instant};

/// A packet leaves at least this often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Packets that open the path, and the time between them: as often as text repeats what it says (RFC 4103).
const OPENINGS: u8 = 3;
const BETWEEN: Duration = Duration::from_millis(300);

/// When the next such packet is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    /// Packets left that open the path.
    left: u8,
    last: Option<Instant>,
}

impl Opening {
    pub(super) fn new() -> Self {
        Self { left: OPENINGS, last: None }
    }

    /// A packet left, of whatever kind.
    pub(super) fn sent(&mut self, now: Instant) {
        self.left = self.left.saturating_sub(1);
        self.last = Some(now);
    }

    /// When one must leave, at the latest; `None`: at once.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.last.map(|last| last + if self.left > 0 { BETWEEN } else { KEEP_ALIVE })
    }

    /// Must one leave now?
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due_at().is_none_or(|at| at <= now)
    }

    /// The far end is elsewhere now: the path there is to be opened.
    pub(super) fn again(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_path_is_opened_three_times_and_then_kept_open_and_anew_where_it_leads_elsewhere() {
        let start = clock::now();
        let mut opening = Opening::new();
        let run = |opening: &mut Opening, from: u64, to: u64| {
            let due = |ms: &u64| {
                let now = start + Duration::from_millis(*ms);
                let due = opening.is_due(now);
                if due {
                    opening.sent(now);
                }
                due
            };
            (from..to).step_by(100).filter(due).collect::<Vec<_>>()
        };
        assert_eq!(run(&mut opening, 0, 40_000), [0, 300, 600, 15_600, 30_600]);
        opening.again();
        assert_eq!(run(&mut opening, 40_000, 42_000), [40_000, 40_300, 40_600]);
    }
}
