//! The exit status: part of the interface, documented in the README and in `--help`.

use z5_core::Step;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything held.
    Ok,
    /// It ran, but an expectation failed.
    Expectation,
    /// The command line, the configuration or a file named there cannot be used. Nothing was sent.
    Usage,
    /// A step failed.
    Step(Step),
    /// A fault of z5 itself.
    Bug,
    /// Ctrl-C twice (128 + SIGINT, as shells do).
    Interrupted,
}

impl Exit {
    /// The number the system gets.
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Expectation => 1,
            Self::Usage => 2,
            Self::Step(step) => 10 + step.number(),
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_eleven_to_fifteen() {
        let all: Vec<u8> = Step::ALL.into_iter().map(|step| Exit::Step(step).status()).collect();
        assert_eq!(all, [11, 12, 13, 14, 15]);
    }
}
