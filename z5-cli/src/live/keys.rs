//! What a key means: text that is sent as it is typed, or something done with the call. A pure function of the key and the state.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use z5_core::events::MediaKind;

use super::state::{Mode, State};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send this text.
    Type(String),
    /// Press this key of a telephone.
    Press(char),
    /// Hold the call, or take it off hold.
    Hold(bool),
    /// Mute or unmute a medium.
    Mute(MediaKind, bool),
    /// End the call.
    HangUp,
    /// Ctrl-C.
    Interrupt,
    /// The terminal is gone: as Ctrl-C, and never the second one.
    Lost,
}

/// Every key with what it does, for the list that help shows.
pub(super) const KEYS: [(&str, &str); 10] = [
    ("any character", "is sent as it is typed; Enter begins a line"),
    ("Backspace", "takes a character back"),
    ("F2 or Ctrl-O", "hold the call, or take it off hold"),
    ("F3 or Ctrl-A", "mute our sound, or unmute it"),
    ("F4 or Ctrl-V", "show a blank picture, or the picture again"),
    ("F5 or Ctrl-K", "press 0-9 * # A-D as keys; Esc ends it"),
    ("F10 or Ctrl-X", "hang up"),
    ("Ctrl-C", "hang up and leave; twice: at once"),
    ("F1 or Ctrl-G", "this list; any key closes it"),
    ("Ctrl-L", "draw anew"),
];

/// T.140: ends a line.
const LINE_SEPARATOR: &str = "\u{2028}";
/// T.140: takes the last character back.
const BACKSPACE: &str = "\u{8}";

/// Takes a key. Changes the mode and the notice of the state itself; what concerns the call comes back.
pub(crate) fn on_key(state: &mut State, key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    state.notice = None;
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT) && !control;
    if control && key.code == KeyCode::Char('c') {
        return Some(Action::Interrupt);
    }
    if state.mode == Mode::Help {
        state.mode = Mode::Typing;
        return None;
    }
    match (key.code, control) {
        (KeyCode::F(1), _) | (KeyCode::Char('g'), true) => state.mode = Mode::Help,
        (KeyCode::F(2), _) | (KeyCode::Char('o'), true) => {
            return in_call(state, Action::Hold(!state.held.0));
        }
        (KeyCode::F(3), _) | (KeyCode::Char('a'), true) => return mute(state, MediaKind::Audio),
        (KeyCode::F(4), _) | (KeyCode::Char('v'), true) => return mute(state, MediaKind::Video),
        (KeyCode::F(5), _) | (KeyCode::Char('k'), true) => state.mode = Mode::Keypad,
        (KeyCode::F(10), _) | (KeyCode::Char('x'), true) => return Some(Action::HangUp),
        (KeyCode::Esc, _) => state.mode = Mode::Typing,
        (KeyCode::Char(c), false) if state.mode == Mode::Keypad => return press(state, c),
        (KeyCode::Char(c), false) if !alt => return type_text(state, c.to_string()),
        (KeyCode::Backspace, _) | (KeyCode::Char('h'), true) => {
            return type_text(state, BACKSPACE.to_owned());
        }
        (KeyCode::Enter, _) => return type_text(state, LINE_SEPARATOR.to_owned()),
        _ => {}
    }
    None
}

fn in_call(state: &mut State, action: Action) -> Option<Action> {
    if state.is_established() {
        return Some(action);
    }
    state.notice = Some("there is no call yet");
    None
}

fn mute(state: &mut State, kind: MediaKind) -> Option<Action> {
    if state.is_established() && !state.has(kind) {
        state.notice = Some("the call has no such medium");
        return None;
    }
    let muted = !state.muted.contains(&kind);
    in_call(state, Action::Mute(kind, muted))
}

fn press(state: &mut State, c: char) -> Option<Action> {
    let key = c.to_ascii_uppercase();
    if matches!(key, '0'..='9' | '*' | '#' | 'A'..='D') {
        return in_call(state, Action::Press(key));
    }
    state.notice = Some("keys are 0-9, *, # and A-D; Esc returns to text");
    None
}

fn type_text(state: &mut State, text: String) -> Option<Action> {
    if state.takes_text() {
        return Some(Action::Type(text));
    }
    state.notice = Some(match state.is_established() {
        true => "the far end takes no text",
        false => "there is no call yet",
    });
    None
}
