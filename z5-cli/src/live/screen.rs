//! The terminal while the live view has it: raw mode and the second screen, given back whatever happens, and a thread that reads keys.

use std::io::{self, Stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyEvent};
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use tokio::sync::mpsc;

use super::state::State;
use super::view::{Theme, draw};
use crate::output;

/// How long the reader waits for a key before it says that time has passed.
const BEAT: Duration = Duration::from_millis(250);

/// What comes from the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// A key.
    Key(KeyEvent),
    /// The size is another one.
    Resized,
    /// Nothing for a while: timers are to be drawn.
    Beat,
    /// The terminal is gone.
    Lost,
}

/// The terminal is ours at the moment.
static OURS: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back; does nothing when it is not ours. Also called while a panic begins, before its words are printed.
fn give_back() {
    if OURS.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs nothing.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
        output::release_errors();
    }
}

/// The terminal, ours until it is dropped.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    theme: Theme,
    over: Arc<AtomicBool>,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("theme", &self.theme).finish_non_exhaustive()
    }
}

impl Screen {
    /// Takes the terminal. What it reads goes to `inputs`.
    pub(super) fn open(theme: Theme, inputs: mpsc::UnboundedSender<Input>) -> io::Result<Self> {
        restore_before_panics();
        OURS.store(true, Ordering::SeqCst);
        output::hold_errors();
        let opened = enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen))
            .and_then(|()| blank());
        let terminal = opened.inspect_err(|_| give_back())?;
        let over = Arc::new(AtomicBool::new(false));
        let reader = Arc::clone(&over);
        let reading =
            std::thread::Builder::new().name("z5-keys".to_owned()).spawn(move || read(&reader, &inputs));
        reading.inspect_err(|_| give_back())?;
        Ok(Self { terminal, theme, over })
    }

    /// Draws; an error means that the terminal is gone.
    pub(super) fn draw(&mut self, state: &State) -> io::Result<()> {
        if !OURS.load(Ordering::SeqCst) {
            // a panic elsewhere has given it back, and its words are to be read
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let theme = self.theme;
        self.terminal.draw(|frame| draw(frame, state, theme)).map(|_| ())
    }

    /// The next drawing draws everything.
    pub(super) fn redraw(&mut self) -> io::Result<()> {
        if OURS.load(Ordering::SeqCst) {
            self.terminal = blank()?;
        }
        Ok(())
    }
}

/// A screen with nothing on it. `Terminal::clear` would ask the terminal where its cursor is and wait for the answer, which
/// not every terminal gives.
fn blank() -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    execute!(io::stdout(), Clear(ClearType::All))?;
    Terminal::new(CrosstermBackend::new(io::stdout()))
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        give_back();
    }
}

/// Reads until the screen is closed, nobody listens, or the terminal is gone.
fn read(over: &AtomicBool, inputs: &mpsc::UnboundedSender<Input>) {
    while !over.load(Ordering::Relaxed) {
        let input = match event::poll(BEAT) {
            Ok(false) => Input::Beat,
            Ok(true) => match event::read() {
                Ok(Event::Key(key)) => Input::Key(key),
                Ok(Event::Resize(..)) => Input::Resized,
                Ok(Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_)) => continue,
                Err(_) => Input::Lost,
            },
            Err(_) => Input::Lost,
        };
        let last = input == Input::Lost;
        if inputs.send(input).is_err() || last {
            return;
        }
    }
}

/// Once: what a panic says is to be read on the first screen, in a terminal that shows lines as lines.
fn restore_before_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Set where this test is to be the program that panics.
    const PANICS: &str = "Z5_TEST_PANICS_IN_A_VIEW";

    /// The test starts itself once more, in a terminal of its own (by `script` of util-linux), and panics there.
    #[test]
    fn a_panic_gives_the_terminal_back_before_it_says_anything() {
        if std::env::var_os(PANICS).is_some() {
            let (inputs, _keys) = mpsc::unbounded_channel();
            let mut screen = Screen::open(Theme { colour: false }, inputs).unwrap();
            screen.draw(&State::new("echo".to_owned())).unwrap();
            panic!("words of the panic");
        }
        let this = std::env::current_exe().unwrap();
        let name = "live::screen::tests::a_panic_gives_the_terminal_back_before_it_says_anything";
        let session = format!(
            "stty rows 24 cols 80; stty -a; '{}' --exact {name} --nocapture; stty -a",
            this.display()
        );
        let run = Command::new("script")
            .args(["-q", "-e", "-c", &session, "/dev/null"])
            .env(PANICS, "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&run.stdout);
        let at = |what: &str| shown.find(what).unwrap_or_else(|| panic!("{what} is not in {shown}"));
        let (taken, given) = (at("\u{1b}[?1049h"), at("\u{1b}[?1049l"));
        assert!(taken < given && given < at("words of the panic"), "{shown}");
        assert_eq!(shown.matches(" icanon").count(), 2, "lines before and after: {shown}");
        assert_eq!(shown.matches(" -echo ").count(), 0, "{shown}");
    }
}
