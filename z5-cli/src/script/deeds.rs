//! What became of each `--at`: given to the session, taken by it, agreed to by the far end.

use std::pin::Pin;

use z5_core::{Event, EventKind, Session};

use crate::act::{Act, Deed};
use crate::expect::Expectation;
use crate::report::Report;

/// How far a planned deed has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    /// The call was over before its time.
    NotReached,
    /// Asked for; whether the session takes it is not known yet.
    Given,
    /// Taken; the far end has not agreed.
    Asked,
    /// The session did not take it, for this reason.
    Refused(String),
    Done,
}

/// Resolves when the session has taken or refused what it was told.
type Settling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The planned deeds of a call and how far each has come.
pub(super) struct Deeds<'a> {
    planned: &'a [Act],
    progress: Vec<Progress>,
    /// We hold the call.
    held: bool,
    /// A deed was given to the session.
    settling: Option<Settling>,
}

impl<'a> Deeds<'a> {
    pub(super) fn new(planned: &'a [Act]) -> Self {
        Self { planned, progress: vec![Progress::NotReached; planned.len()], held: false, settling: None }
    }

    /// The planned deed with this number was given to the session.
    pub(super) fn on_given(&mut self, number: usize, session: &Session) {
        let Some(act) = self.planned.get(number) else { return };
        self.settling = Some(Box::pin(session.settled()));
        let held = self.held || self.awaits(|deed| *deed == Deed::Hold);
        let progress = match act.deed == Deed::Resume && !held {
            true => Progress::Refused("refused: the call was not on hold".to_owned()),
            false => Progress::Given,
        };
        if let Some(known) = self.progress.get_mut(number) {
            *known = progress;
        }
    }

    /// A deed was given and the session has not looked at it.
    pub(super) fn settling(&self) -> bool {
        self.settling.is_some()
    }

    /// The session has looked at every deed that was given to it; when none is, never.
    pub(super) async fn settled(&mut self) {
        match &mut self.settling {
            Some(wait) => {
                wait.await;
                self.settling = None;
            }
            None => std::future::pending().await,
        }
    }

    /// What was given to the session and not refused is taken: what needs nobody's agreement is done.
    pub(super) fn on_settled(&mut self) {
        for (progress, act) in self.progress.iter_mut().zip(self.planned) {
            if *progress == Progress::Given {
                *progress = match &act.deed {
                    Deed::Hold if !self.held => Progress::Asked,
                    Deed::Resume if self.held => Progress::Asked,
                    Deed::Transfer(_) | Deed::Add(_) => Progress::Asked,
                    Deed::Hold
                    | Deed::Resume
                    | Deed::Mute(..)
                    | Deed::Keys(_)
                    | Deed::Text(_)
                    | Deed::Hangup => Progress::Done,
                };
            }
        }
    }

    /// What an event says of them.
    pub(super) fn on_event(&mut self, event: &Event) {
        if let EventKind::CommandRefused { error, .. } = &event.kind {
            self.on_refused(&error.to_string());
        }
        if let EventKind::CallHold { local, .. } = event.kind {
            self.held = local;
            self.agreed(|deed| matches!((deed, local), (Deed::Hold, true) | (Deed::Resume, false)));
        }
        if let EventKind::CallChanged { media, .. } = &event.kind {
            let flows = |kind| media.streams.iter().any(|stream| stream.kind == kind && stream.send);
            self.agreed(|deed| matches!(deed, Deed::Add(kind) if flows(*kind)));
        }
        if let EventKind::Transferred { .. } = event.kind {
            self.agreed(|deed| matches!(deed, Deed::Transfer(_)));
        }
    }

    /// The session did not take the deed that was given to it last.
    fn on_refused(&mut self, why: &str) {
        if let Some(progress) = self.progress.iter_mut().find(|progress| **progress == Progress::Given) {
            *progress = Progress::Refused(format!("refused: {why}"));
        }
    }

    /// The far end has agreed to what was asked for.
    fn agreed(&mut self, deed: impl Fn(&Deed) -> bool) {
        for (progress, act) in self.progress.iter_mut().zip(self.planned) {
            if matches!(progress, Progress::Asked | Progress::Given) && deed(&act.deed) {
                *progress = Progress::Done;
            }
        }
    }

    /// Such a deed was given and is not done.
    fn awaits(&self, deed: impl Fn(&Deed) -> bool) -> bool {
        let mut all = self.progress.iter().zip(self.planned);
        all.any(|(progress, act)| matches!(progress, Progress::Asked | Progress::Given) && deed(&act.deed))
    }

    /// Every planned deed was done, or the run has not passed.
    pub(super) fn judge(&self, report: &mut Report) {
        for (progress, act) in self.progress.iter().zip(self.planned) {
            let wanted = format!("{} after {}", act.deed.words(), humantime::format_duration(act.at));
            let measured = match progress {
                Progress::NotReached => "not reached: the call was over",
                Progress::Given | Progress::Asked => "asked for, not agreed to",
                Progress::Refused(why) => why,
                Progress::Done => "done",
            };
            let held = *progress == Progress::Done;
            report.expectations.push(Expectation::fact("at", &wanted, measured, held));
        }
    }
}
