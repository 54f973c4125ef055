//! An account that answers every call with its echo while something else runs: the far end of points of the acceptance plan at a
//! carrier that has none.
//!
//! As many callers as there are may talk to it at a time. It judges nothing: who calls does.

use std::path::Path;

use tokio::task::JoinHandle;
use z5_core::config::SrtpMode;
use z5_core::events::Events;
use z5_core::{CallMedia, Config, EventKind, Failure, RetryMode, Session, StartOptions};

use crate::failure::usage;

/// One that is not there yet.
#[derive(Debug)]
pub(super) struct Planned {
    config: Config,
    /// What is dialled to reach it.
    pub(super) target: String,
}

/// One that answers.
#[derive(Debug)]
pub(super) struct Echo {
    session: Session,
    reader: JoinHandle<()>,
}

impl Planned {
    /// By its configuration. Nothing is sent.
    ///
    /// # Errors
    /// When it cannot be read, or does not say how the account is called.
    pub(super) fn load(file: &Path) -> Result<Self, Failure> {
        let mut config = Config::load(file).map_err(|error| usage(error.code(), format!("echo: {error}")))?;
        if config.media.srtp == SrtpMode::Off {
            // whether a call is encrypted is for the caller to say
            config.media.srtp = SrtpMode::Optional;
        }
        let sip =
            || Some(format!("sip:{}@{}", config.sip.username.as_deref()?, config.sip.domain.as_deref()?));
        let target = match &config.zdial {
            Some(zdial) => zdial.number.clone(),
            None => sip(),
        };
        let unnamed = || {
            let why = "does not say which number the echo has: name it as zdial.number";
            usage("usage.echo", format!("{} {why}", file.display()))
        };
        Ok(Self { target: target.ok_or_else(unnamed)?, config })
    }

    /// Registers; done when it can be called.
    ///
    /// # Errors
    /// The step that failed.
    pub(super) async fn answer(self) -> Result<Echo, Failure> {
        let options = StartOptions { retry: RetryMode::Once, ..StartOptions::default() };
        let (session, mut events) = Session::start_with(self.config, options)
            .map_err(|error| usage(error.code(), error.to_string()))?;
        let mut failure = None;
        while let Some(event) = events.next().await {
            if let EventKind::Ready { .. } = event.kind {
                let reader = tokio::spawn(read(session.clone(), events));
                return Ok(Echo { session, reader });
            } else if let EventKind::StepFailed { error, .. } = &event.kind {
                failure = Some(error.failure());
            }
        }
        Err(failure
            .unwrap_or_else(|| usage("usage.echo", "the echo's session ended before it was registered")))
    }
}

/// Takes every call, until the session's last event.
async fn read(session: Session, mut events: Events) {
    while let Some(event) = events.next().await {
        if let EventKind::Incoming { call, .. } = event.kind {
            session.answer(call, CallMedia::echo());
        } else if let EventKind::TransferRequested { call, .. } = event.kind {
            // with another echo it would never fall silent
            session.reject_transfer(call);
        }
    }
}

impl Echo {
    /// Hangs up and unregisters.
    pub(super) async fn leave(self) {
        self.session.stop();
        // it ends with the session, which ends by itself
        drop(self.reader.await);
    }
}
