//! The view is a pure function of what happened: snapshots of it, keys that mean what they say, and sizes that nobody has.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use z5_core::call::{EstablishedMedia, StreamAgreement};
use z5_core::events::{CallState, CallTimings, MediaKind, SessionState};
use z5_core::{CallId, Event, EventKind};

use super::keys::{Action, on_key};
use super::state::{Mode, State, comes};
use super::view::{Theme, draw};

fn call() -> CallId {
    CallId::from_number(1)
}

fn event(at_ms: f64, kind: EventKind) -> Event {
    Event { sequence: 1, at_ms, kind }
}

fn media(kinds: &[MediaKind]) -> EstablishedMedia {
    let stream = |kind: &MediaKind| StreamAgreement {
        kind: *kind,
        codec: match kind {
            MediaKind::Audio => "PCMU",
            MediaKind::Text => "t140 with red",
            MediaKind::Video => "H264",
        }
        .to_owned(),
        payload_type: 0,
        local: "127.0.0.1:20000".parse().unwrap(),
        remote: "127.0.0.1:30000".parse().unwrap(),
        crypto: (*kind == MediaKind::Audio).then_some("AEAD_AES_256_GCM"),
        send: true,
        receive: *kind != MediaKind::Video,
    };
    EstablishedMedia { streams: kinds.iter().map(stream).collect(), ..EstablishedMedia::default() }
}

const ALL: [MediaKind; 3] = [MediaKind::Audio, MediaKind::Text, MediaKind::Video];

/// A call that stands, with those media.
fn standing(kinds: &[MediaKind]) -> State {
    let mut state = State::new("+15555550900".to_owned());
    state.take(&event(1.0, EventKind::State { state: SessionState::Ready }));
    state.take(&event(
        2.0,
        EventKind::Ready { address: "sip:alice@mcs.test".to_owned(), timings: Default::default() },
    ));
    let timings = CallTimings::default();
    state.take(&event(1000.0, EventKind::CallEstablished { call: call(), media: media(kinds), timings }));
    state.take(&event(1000.0, EventKind::CallState { call: call(), state: CallState::Established }));
    state.now_ms = 73_000.0;
    state
}

fn screen(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, Theme { colour: true })).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(width.max(1)));
    let lines: Vec<String> = rows
        .map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned())
        .collect();
    lines.join("\n")
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

fn control(c: char) -> KeyEvent {
    KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)
}

#[test]
fn a_call_that_stands_is_shown_with_its_streams_and_its_text() {
    let mut state = standing(&ALL);
    state.typed("HELLP\u{8}O");
    state.take(&event(
        72_000.0,
        EventKind::Text {
            call: call(),
            text: "Good\u{2028}day \u{1b}[2J".to_owned(),
            source: None,
            label: None,
        },
    ));
    state.take(&event(72_100.0, EventKind::CallHold { call: call(), local: true, remote: false }));
    state.take(&event(72_200.0, EventKind::CallMuted { call: call(), kind: MediaKind::Audio, muted: true }));
    state.take(&event(72_300.0, EventKind::Digit { call: call(), digit: '5', duration_ms: 100 }));
    state.note("5 call  first packet        audio after 12.0 ms".to_owned());
    state.now_ms = 73_000.0;
    let audio = &mut state.meters[0];
    audio.level_dbm0 = Some(-10.0);
    audio.loss_percent = Some(2.5);
    audio.jitter_ms = Some(3.0);
    audio.received_kbps = Some(64.0);
    insta::assert_snapshot!(screen(&state, 100, 20));
}

#[test]
fn a_narrow_terminal_shows_one_side_above_the_other() {
    let mut state = standing(&[MediaKind::Text]);
    state.typed(&"words that need more than one line ".repeat(4));
    state.take(&event(
        72_000.0,
        EventKind::Text { call: call(), text: "yes".to_owned(), source: None, label: None },
    ));
    insta::assert_snapshot!(screen(&state, 40, 18));
}

#[test]
fn help_lists_every_key() {
    let mut state = standing(&ALL);
    assert_eq!(on_key(&mut state, key(KeyCode::F(1))), None);
    insta::assert_snapshot!(screen(&state, 100, 20));
    assert_eq!(on_key(&mut state, key(KeyCode::Char('x'))), None);
    assert_eq!(state.mode, Mode::Typing, "any key closes it and types nothing");
}

#[test]
fn no_size_and_no_text_is_too_much() {
    let mut state = standing(&ALL);
    state.typed(&"\u{1f468}\u{200d}\u{1f469} 漢字 \u{2028} \u{0}".repeat(500));
    for mode in [Mode::Typing, Mode::Keypad, Mode::Help] {
        state.mode = mode;
        for (width, height) in [(0, 0), (1, 1), (2, 40), (200, 1), (5, 5), (40, 10), (300, 100)] {
            screen(&state, width, height);
        }
    }
}

#[test]
fn what_is_typed_is_sent_and_taken_back() {
    let mut state = standing(&ALL);
    let typed = |text: &str| Some(Action::Type(text.to_owned()));
    assert_eq!(on_key(&mut state, key(KeyCode::Char('H'))), typed("H"));
    assert_eq!(on_key(&mut state, key(KeyCode::Char('é'))), typed("é"));
    assert_eq!(on_key(&mut state, key(KeyCode::Backspace)), typed("\u{8}"));
    assert_eq!(on_key(&mut state, control('h')), typed("\u{8}"), "as many terminals send it");
    assert_eq!(on_key(&mut state, key(KeyCode::Enter)), typed("\u{2028}"));
    assert_eq!(on_key(&mut state, control('z')), None);
    let altgr = KeyEvent::new(KeyCode::Char('@'), KeyModifiers::CONTROL | KeyModifiers::ALT);
    assert_eq!(on_key(&mut state, altgr), None);
    for c in "HELLO\u{8}\u{8}P".chars() {
        state.typed(c.encode_utf8(&mut [0; 4]));
    }
    assert_eq!(state.ours, "HELP");
}

#[test]
fn keys_do_what_the_list_says() {
    let mut state = standing(&[MediaKind::Audio, MediaKind::Text]);
    for (by_function, by_control, action) in [
        (KeyCode::F(2), 'o', Action::Hold(true)),
        (KeyCode::F(3), 'a', Action::Mute(MediaKind::Audio, true)),
        (KeyCode::F(10), 'x', Action::HangUp),
    ] {
        assert_eq!(on_key(&mut state, key(by_function)), Some(action.clone()));
        assert_eq!(on_key(&mut state, control(by_control)), Some(action));
    }
    assert_eq!(on_key(&mut state, control('c')), Some(Action::Interrupt));
    state.held.0 = true;
    state.muted.insert(MediaKind::Audio);
    assert_eq!(on_key(&mut state, key(KeyCode::F(2))), Some(Action::Hold(false)));
    assert_eq!(on_key(&mut state, key(KeyCode::F(3))), Some(Action::Mute(MediaKind::Audio, false)));
    assert_eq!(on_key(&mut state, key(KeyCode::F(4))), None);
    assert!(state.notice.is_some(), "there is no video");
    on_key(&mut state, key(KeyCode::F(5)));
    assert_eq!(on_key(&mut state, key(KeyCode::Char('#'))), Some(Action::Press('#')));
    assert_eq!(on_key(&mut state, key(KeyCode::Char('d'))), Some(Action::Press('D')));
    assert_eq!(on_key(&mut state, key(KeyCode::Char('x'))), None);
    assert!(state.notice.is_some_and(|notice| notice.contains("Esc")));
    on_key(&mut state, key(KeyCode::Esc));
    assert_eq!(on_key(&mut state, key(KeyCode::Char('5'))), Some(Action::Type("5".to_owned())));
}

#[test]
fn without_a_call_or_text_a_key_says_so() {
    let mut state = State::new("bob".to_owned());
    for code in [KeyCode::Char('a'), KeyCode::F(2), KeyCode::F(3)] {
        assert_eq!(on_key(&mut state, key(code)), None);
        assert_eq!(state.notice, Some("there is no call yet"));
    }
    let mut state = standing(&[MediaKind::Audio]);
    assert_eq!(on_key(&mut state, key(KeyCode::Char('a'))), None);
    assert_eq!(state.notice, Some("the far end takes no text"));
    assert!(screen(&state, 100, 20).contains("the far end takes no text"));
}

#[test]
fn without_colour_everything_is_still_said() {
    let mut state = standing(&ALL);
    state.held = (false, true);
    let mut terminal = Terminal::new(TestBackend::new(100, 20)).unwrap();
    terminal.draw(|frame| draw(frame, &state, Theme { colour: false })).unwrap();
    let buffer = terminal.backend().buffer();
    assert!(buffer.content().iter().all(|cell| cell.fg == ratatui::style::Color::Reset));
    assert!(screen(&state, 100, 20).contains("on hold by the far end"));
}

/// In few rows the text is what stays, and both sides of it can be read.
#[test]
fn few_rows_are_the_text_s() {
    let mut state = standing(&ALL);
    state.typed("our words");
    let theirs = EventKind::Text { call: call(), text: "their words".to_owned(), source: None, label: None };
    state.take(&event(72_000.0, theirs));
    for (width, height) in [(80, 12), (60, 12), (40, 12), (60, 8), (60, 5)] {
        let shown = screen(&state, width, height);
        for words in ["our words", "their words", "established", "F10 hang up"] {
            assert!(shown.contains(words), "{words} is not in {width}x{height}:\n{shown}");
        }
        assert_eq!(shown.contains("PCMU"), width >= 70 && height >= 12, "{shown}");
    }
    insta::assert_snapshot!(screen(&state, 60, 12));
}

#[test]
fn the_footer_names_the_keys_that_do_something() {
    let footer = |state: &State, width| screen(state, width, 24).lines().last().unwrap().to_owned();
    let mut state = State::new("+15555550900".to_owned());
    assert_eq!(footer(&state, 80), "F1 help  F10 leave");
    state.take(&event(2.0, EventKind::CallState { call: call(), state: CallState::Ringing }));
    assert_eq!(footer(&state, 80), "F1 help  F10 hang up");
    let mut state = standing(&[MediaKind::Audio, MediaKind::Text]);
    assert_eq!(footer(&state, 80), "F1 help  F2 hold  F3 mute  F5 keypad  F10 hang up");
    assert_eq!(footer(&state, 40), "F1 help  F2 hold  F3 mute  F10 hang up");
    state.held.0 = true;
    state.muted.insert(MediaKind::Audio);
    assert_eq!(footer(&state, 80), "F1 help  F2 resume  F3 unmute  F5 keypad  F10 hang up");
}

#[test]
fn a_stream_that_stands_still_has_no_level() {
    assert!(comes(None, 0) && comes(Some(50), 51));
    assert!(!comes(Some(50), 50));
}
