//! A session that is started for an answer and ends with it: its events, and the politeness that a call has too. One Ctrl-C (SIGTERM,
//! SIGHUP) stops it, a second one leaves at once.

use std::sync::Arc;

use tokio::sync::mpsc;
use z5_core::config::RetryMode;
use z5_core::{Book, Config, Event, Events, Failure, Goal, Session, StartOptions};

use crate::failure::{interrupted, usage};
use crate::script;

/// The session and who may interrupt it.
pub(super) struct Asking {
    session: Session,
    events: Events,
    interrupts: mpsc::UnboundedReceiver<()>,
    /// Somebody asked it to stop.
    stopping: bool,
}

/// What comes next.
pub(super) enum Next {
    Event(Event),
    /// The first interrupt: the session is asked to stop, and what it still tells follows.
    Interrupted(Failure),
    /// The second one.
    Twice,
    /// The session has told everything.
    End,
}

impl Asking {
    /// A session that tries nothing twice: who asks wants an answer, also when that is a failure.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub(super) fn begin(config: Config, goal: Goal) -> Result<Self, Failure> {
        let options = StartOptions {
            interactive_number: true,
            retry: RetryMode::Once,
            goal,
            ..StartOptions::default()
        };
        let (session, events) =
            Session::start_with(config, options).map_err(|error| usage(error.code(), error.to_string()))?;
        Ok(Self { session, events, interrupts: script::interrupts(), stopping: false })
    }

    pub(super) async fn next(&mut self) -> Next {
        tokio::select! {
            event = self.events.next() => event.map_or(Next::End, Next::Event),
            Some(()) = self.interrupts.recv() => {
                if std::mem::replace(&mut self.stopping, true) {
                    return Next::Twice;
                }
                self.session.stop();
                Next::Interrupted(interrupted())
            }
        }
    }

    /// The address book as it is now.
    pub(super) fn address_book(&self) -> Arc<Book> {
        self.session.address_book()
    }

    /// The answer is there, or cannot be had.
    pub(super) fn stop(&self) {
        self.session.stop();
    }
}
