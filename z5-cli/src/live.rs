//! The live view of a call in a terminal: where it is, what each stream does, and the text both ways with a place to type.
//!
//! The steps before it are printed as lines, as ever; when the call begins the view takes the terminal, and when it is over the lines that were
//! meant for the terminal meanwhile are printed, so that the record is whole. Plain lines remain where standard input, output or error is no terminal,
//! with `--plain`, `--json` and TERM=dumb.

mod keys;
mod screen;
mod state;
#[cfg(test)]
mod tests;
mod view;

use std::time::Instant;

use tokio::sync::mpsc;
use z5_core::{Event, EventKind};

pub(crate) use keys::Action;
pub(crate) use screen::Input;
use screen::Screen;
use state::State;
use view::Theme;

use crate::output::Human;
use crate::report::Report;

/// The view and the lines that it holds back.
#[derive(Debug)]
pub(crate) struct Live {
    human: Human,
    state: State,
    theme: Theme,
    screen: Option<Screen>,
    inputs: mpsc::UnboundedSender<Input>,
    /// Given away once.
    keys: Option<mpsc::UnboundedReceiver<Input>>,
    /// When the latest event came, and its time in the session.
    anchor: Option<(Instant, f64)>,
}

impl Live {
    /// For a call with this far end, or one that is awaited.
    pub(crate) fn new(human: Human, far_end: &str, colour: bool) -> Self {
        let (inputs, keys) = mpsc::unbounded_channel();
        Self {
            human,
            state: State::new(far_end.to_owned()),
            theme: Theme { colour },
            screen: None,
            inputs,
            keys: Some(keys),
            anchor: None,
        }
    }

    /// What the terminal tells, for the loop of the run.
    pub(crate) fn inputs(&mut self) -> Option<mpsc::UnboundedReceiver<Input>> {
        self.keys.take()
    }

    /// Takes an event. The view opens when the session is ready for the call.
    pub(crate) fn event(&mut self, event: &Event) {
        self.anchor = Some((z5_core::clock::now(), event.at_ms));
        self.state.take(event);
        self.human.event(event);
        match matches!(event.kind, EventKind::Text { .. }) {
            // what came stands in its pane
            true => drop(self.human.news()),
            false => self.collect(),
        }
        if matches!(event.kind, EventKind::Ready { .. }) && self.screen.is_none() {
            // A terminal that cannot be taken gets lines.
            self.screen = Screen::open(self.theme, self.inputs.clone()).ok();
            self.human.hold(self.screen.is_some());
        }
        self.draw();
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.human.note(text);
        self.collect();
        self.draw();
    }

    /// Text of ours that no key made.
    pub(crate) fn typed(&mut self, text: &str) {
        self.state.typed(text);
        self.draw();
    }

    /// Takes what the terminal tells; gives what is to be done.
    pub(crate) fn input(&mut self, input: &Input) -> Option<Action> {
        let action = match input {
            Input::Key(key) if is_redraw(key) => {
                self.redraw();
                None
            }
            Input::Key(key) => keys::on_key(&mut self.state, *key),
            Input::Resized => {
                self.redraw();
                None
            }
            Input::Beat => None,
            Input::Lost => Some(Action::Lost),
        };
        if let Some(Action::Type(text)) = &action {
            self.state.typed(text);
        }
        self.draw();
        action
    }

    /// The verdict, on the terminal as it was.
    pub(crate) fn result(&mut self, report: &Report) {
        self.close();
        self.human.result(report);
    }

    /// Gives the terminal back and prints what was held.
    fn close(&mut self) {
        if self.screen.take().is_some() {
            self.human.release();
        }
    }

    /// New lines of the record also stand in the view.
    fn collect(&mut self) {
        for line in self.human.news() {
            self.state.note(line);
        }
    }

    fn redraw(&mut self) {
        if self.screen.as_mut().is_some_and(|screen| screen.redraw().is_err()) {
            self.close();
        }
    }

    fn draw(&mut self) {
        if let Some((at, ms)) = self.anchor {
            let since = z5_core::clock::now().saturating_duration_since(at);
            self.state.now_ms = ms + since.as_secs_f64() * 1000.0;
        }
        if self.screen.as_mut().is_some_and(|screen| screen.draw(&self.state).is_err()) {
            self.close();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.close();
    }
}

fn is_redraw(key: &ratatui::crossterm::event::KeyEvent) -> bool {
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};
    key.code == KeyCode::Char('l') && key.modifiers.contains(KeyModifiers::CONTROL)
}
