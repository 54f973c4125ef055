//! The sliding replay window (RFC 3711 section 3.3.2), 128 packets wide.

use crate::stats::DropReason;

/// Packets the window looks back.
const WINDOW: u64 = 128;

/// Which of the last 128 indices below the highest one were received.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReplayWindow {
    /// Highest authenticated index plus one; 0 before the first.
    next: u64,
    /// Bit `n`: index `next - 1 - n` was received.
    seen: u128,
}

impl ReplayWindow {
    /// May this index still be received? Called before authentication, changes nothing.
    pub(crate) fn check(&self, index: u64) -> Result<(), DropReason> {
        if index >= self.next {
            return Ok(());
        }
        let age = self.next - 1 - index;
        if age >= WINDOW {
            Err(DropReason::TooOld)
        } else if self.seen >> age & 1 == 1 {
            Err(DropReason::Replayed)
        } else {
            Ok(())
        }
    }

    /// Marks an authenticated index.
    pub(crate) fn mark(&mut self, index: u64) {
        if index >= self.next {
            let ahead = index + 1 - self.next;
            self.seen = if ahead >= WINDOW { 0 } else { self.seen << ahead };
            self.seen |= 1;
            self.next = index + 1;
        } else {
            let age = self.next - 1 - index;
            if age < WINDOW {
                self.seen |= 1 << age;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_passes_once_and_the_edge_is_exact() {
        let mut window = ReplayWindow::default();
        for index in [5, 3, 130, 4] {
            assert_eq!(window.check(index), Ok(()));
            window.mark(index);
            assert_eq!(window.check(index), Err(DropReason::Replayed));
        }
        // Highest is 130: 130 - 127 = 3 is the oldest index inside.
        assert_eq!(window.check(3), Err(DropReason::Replayed));
        assert_eq!(window.check(2), Err(DropReason::TooOld));
        assert_eq!(window.check(6), Ok(()));
    }

    #[test]
    fn a_far_jump_forgets_everything_before() {
        let mut window = ReplayWindow::default();
        window.mark(1);
        window.mark(1_000_000);
        assert_eq!(window.check(1), Err(DropReason::TooOld));
        assert_eq!(window.check(999_999), Ok(()));
        assert_eq!(window.check(1_000_000), Err(DropReason::Replayed));
    }
}
