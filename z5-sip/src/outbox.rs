//! What a machine hands back: its effects in order, and when it wants to be woken.
//!
//! A machine never performs an effect; the driver drains the outbox after each `handle` and acts.

use std::collections::VecDeque;
use std::time::Instant;

/// Effects of one or more turns, in the order in which they must happen.
#[derive(Debug, Clone)]
pub struct Outbox<E> {
    effects: VecDeque<E>,
}

impl<E> Outbox<E> {
    /// An empty outbox.
    pub fn new() -> Self {
        Self { effects: VecDeque::new() }
    }

    /// Adds an effect after all earlier ones.
    pub fn push(&mut self, effect: E) {
        self.effects.push_back(effect);
    }

    /// Takes the oldest effect.
    pub fn pop(&mut self) -> Option<E> {
        self.effects.pop_front()
    }

    /// Takes every effect, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = E> + '_ {
        self.effects.drain(..)
    }

    /// The effects still waiting, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.effects.iter()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// How many effects wait.
    pub fn len(&self) -> usize {
        self.effects.len()
    }
}

impl<E> Default for Outbox<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Extend<E> for Outbox<E> {
    fn extend<T: IntoIterator<Item = E>>(&mut self, effects: T) {
        self.effects.extend(effects);
    }
}

/// When a machine wants to be handled next although nothing arrived, and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The moment; a driver may be late, never early.
    pub at: Instant,
    /// The timer's name, such as `"timer B"`.
    pub why: &'static str,
}

impl Deadline {
    /// A deadline with its reason.
    pub fn new(at: Instant, why: &'static str) -> Self {
        Self { at, why }
    }

    /// The earlier of two optional deadlines; the first wins a tie.
    pub fn earlier(first: Option<Self>, second: Option<Self>) -> Option<Self> {
        match (first, second) {
            (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
            (one, None) | (None, one) => one,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_leave_in_the_order_they_came() {
        let mut out = Outbox::new();
        out.extend([1, 2]);
        out.push(3);
        assert_eq!(out.len(), 3);
        assert_eq!(out.pop(), Some(1));
        assert_eq!(out.drain().collect::<Vec<_>>(), [2, 3]);
        assert!(out.is_empty());
    }
}
