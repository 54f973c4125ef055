//! Draws the state: a pure function from it to the cells of a terminal of any size.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table};
use z5_core::events::MediaKind;

use super::keys::KEYS;
use super::state::{Meter, Mode, State};
use crate::output::plain;

/// Below this width the two sides of the text stand one above the other.
const WIDE: u16 = 70;
/// From this width on a level has more steps.
const ROOMY: u16 = 90;
/// Lines of the record that are shown where there is room.
const LOG: u16 = 6;
/// Rows that the text has before the record gets any.
const TEXT: u16 = 8;
/// Rows that the text has before anything else has more than one: a frame with three lines in it.
const TEXT_LEAST: u16 = 5;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Colours, or none (NO_COLOR); what they say is always said in words too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Theme {
    pub(crate) colour: bool,
}

impl Theme {
    fn paint(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// Frames are there to be looked past.
    fn frame(self, title: &'static str) -> Block<'static> {
        Block::bordered()
            .border_style(Style::new().add_modifier(Modifier::DIM))
            .title(Line::styled(title, BOLD))
    }

    fn warn(self) -> Style {
        self.paint(Color::Yellow).add_modifier(Modifier::BOLD)
    }
}

/// Draws everything. Where there is little room the text comes first: it is the conversation.
pub(crate) fn draw(frame: &mut Frame<'_>, state: &State, theme: Theme) {
    let rows = Rows::of(frame.area().height, state.meters.len() as u16);
    let [head, table, text, log, foot] = Layout::vertical([
        Constraint::Length(rows.head),
        Constraint::Length(rows.table),
        Constraint::Min(0),
        Constraint::Length(rows.record),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(heading(state, theme), head);
    frame.render_widget(meter_table(state, theme, table.width, rows.framed), table);
    draw_text(frame, state, theme, text);
    let lines: Vec<Line<'_>> = state.log.iter().map(|line| Line::raw(line.as_str())).collect();
    let hidden = lines.len().saturating_sub(usize::from(log.height.saturating_sub(1)));
    let record = Paragraph::new(lines)
        .block(Block::new().title(Line::styled("Record", BOLD)))
        .scroll((hidden as u16, 0));
    frame.render_widget(record, log);
    frame.render_widget(footer(state, theme, foot.width), foot);
    if state.mode == Mode::Help {
        help(frame, theme);
    }
}

/// How many rows each part has; what is left is the text's.
#[derive(Debug, PartialEq, Eq)]
struct Rows {
    head: u16,
    table: u16,
    /// The table has a frame.
    framed: bool,
    record: u16,
}

impl Rows {
    fn of(height: u16, meters: u16) -> Self {
        // a line of heading and the footer are always there
        let room = height.saturating_sub(2);
        let (framed, plain) = (meters.max(1) + 3, meters.max(1) + 1);
        let (table, framed) = match room {
            _ if room > framed + TEXT_LEAST => (framed, true),
            _ if room >= plain + TEXT_LEAST => (plain, false),
            _ => (0, false),
        };
        let second = u16::from(room > table + TEXT_LEAST);
        let record = room.saturating_sub(table + second + TEXT).min(LOG);
        // a title alone tells nothing
        Self { head: 1 + second, table, framed, record: if record > 1 { record } else { 0 } }
    }
}

fn heading(state: &State, theme: Theme) -> Paragraph<'static> {
    let call = match (state.call, state.session) {
        (Some(call), _) => call.to_owned(),
        (None, "ready") => "waiting for a call".to_owned(),
        (None, session) => session.to_owned(),
    };
    let mut first = vec![
        Span::styled(plain(&state.far_end).into_owned(), BOLD),
        Span::raw("  "),
        Span::styled(call, theme.paint(if state.is_established() { Color::Green } else { Color::Cyan })),
        Span::raw(format!("  {}", timer(state))),
    ];
    let held = match state.held {
        (true, true) => Some("  on hold by both sides"),
        (true, false) => Some("  on hold by us"),
        (false, true) => Some("  on hold by the far end"),
        (false, false) => None,
    };
    first.extend(held.map(|held| Span::styled(held, theme.warn())));
    for kind in &state.muted {
        let words = match kind {
            MediaKind::Audio => "  sound muted",
            MediaKind::Text => "  text muted",
            MediaKind::Video => "  picture blank",
        };
        first.push(Span::styled(words, theme.warn()));
    }
    let mut second = format!("we are {}", plain(&state.address));
    if !state.digits.is_empty() {
        second += &format!("; keys that came: {}", state.digits);
    }
    Paragraph::new(vec![Line::from(first), Line::raw(second)])
}

/// How long the call has lasted.
fn timer(state: &State) -> String {
    let Some(from) = state.established_ms else { return String::new() };
    let seconds = ((state.ended_ms.unwrap_or(state.now_ms) - from).max(0.0) / 1000.0) as u64;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// The columns with their widths, and whether they stand in a narrow terminal too.
const COLUMNS: [(&str, Constraint, bool); 9] = [
    ("", Constraint::Length(5), true),
    ("Codec", Constraint::Length(13), false),
    ("Keys", Constraint::Length(5), false),
    ("Flows", Constraint::Length(5), false),
    ("Comes", Constraint::Length(10), false),
    ("Loss", Constraint::Length(6), true),
    ("Jitter", Constraint::Length(6), true),
    ("Trip", Constraint::Length(6), true),
    ("Level or rate", Constraint::Min(10), true),
];

fn meter_table(state: &State, theme: Theme, width: u16, framed: bool) -> Table<'static> {
    let columns = || COLUMNS.iter().filter(move |(.., narrow)| *narrow || width >= WIDE);
    let head: Vec<&str> = columns().map(|(name, ..)| *name).collect();
    let widths: Vec<Constraint> = columns().map(|(_, width, _)| *width).collect();
    let rows: Vec<Row<'static>> = state.meters.iter().map(|meter| row(meter, theme, width)).collect();
    let none = rows.is_empty();
    let table = Table::new(rows, widths);
    match (framed, none) {
        (true, true) => table.block(theme.frame("Streams: none yet")),
        (true, false) => table.header(Row::new(head).style(BOLD)).block(theme.frame("Streams")),
        (false, true) => table.block(Block::new().title(Line::styled("Streams: none yet", BOLD))),
        (false, false) => table.header(Row::new(head).style(BOLD)),
    }
}

fn row(meter: &Meter, theme: Theme, width: u16) -> Row<'static> {
    let shown = |value: Option<f64>, unit: &str| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}{unit}"))
    };
    let flows = match (meter.send, meter.receive) {
        (true, true) => "both",
        (true, false) => "out",
        (false, true) => "in",
        (false, false) => "none",
    };
    let last = match meter.kind {
        MediaKind::Audio => {
            let cells = if width >= ROOMY { 10 } else { 5 };
            meter.level_dbm0.map_or_else(|| Line::raw("-"), |dbm0| level(dbm0, cells, theme))
        }
        MediaKind::Video => Line::raw(shown(meter.frame_rate, " pictures/s")),
        MediaKind::Text => Line::default(),
    };
    let loss = meter.loss_percent.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.1}%"));
    let cells = [
        Line::raw(meter.kind.name()),
        Line::raw(plain(&meter.codec).into_owned()),
        Line::raw(if meter.encrypted { "SRTP" } else { "none" }),
        Line::raw(flows),
        Line::raw(shown(meter.received_kbps, " kbit/s")),
        Line::raw(loss),
        Line::raw(shown(meter.jitter_ms, " ms")),
        Line::raw(shown(meter.round_trip_ms, " ms")),
        last,
    ];
    let shown = COLUMNS.iter().zip(cells).filter(|((.., narrow), _)| *narrow || width >= WIDE);
    let row = Row::new(shown.map(|(_, cell)| cell));
    if meter.loss_percent.is_some_and(|loss| loss >= 1.0) { row.style(theme.warn()) } else { row }
}

/// -60 dBm0 is nothing, 0 dBm0 is full.
fn level(dbm0: f64, cells: usize, theme: Theme) -> Line<'static> {
    let full = ((dbm0 / 60.0 + 1.0).clamp(0.0, 1.0) * cells as f64).round() as usize;
    let bar = format!("{}{}", "█".repeat(full), "░".repeat(cells - full));
    Line::from(vec![Span::styled(bar, theme.paint(Color::Green)), Span::raw(format!(" {dbm0:.0} dBm0"))])
}

fn draw_text(frame: &mut Frame<'_>, state: &State, theme: Theme, area: Rect) {
    let halves = [Constraint::Fill(1), Constraint::Fill(1)];
    // one above the other each has a frame: in few rows there would be nothing in it
    let [theirs, ours] = match area.width >= WIDE || area.height < TEXT {
        true => Layout::horizontal(halves).areas(area),
        false => Layout::vertical(halves).areas(area),
    };
    pane(frame, theme.frame("Far end"), &state.theirs, theirs, false);
    let title = match (state.mode, state.takes_text()) {
        (Mode::Keypad, _) => "Keypad: 0-9 * # A-D, Esc for text",
        (Mode::Typing | Mode::Help, true) => "You type here",
        (Mode::Typing | Mode::Help, false) if state.established_ms.is_none() => "Text: when the call stands",
        (Mode::Typing | Mode::Help, false) => "No text is agreed",
    };
    pane(frame, theme.frame(title), &state.ours, ours, state.takes_text() && state.mode == Mode::Typing);
}

fn pane(frame: &mut Frame<'_>, block: Block<'static>, text: &str, area: Rect, cursor: bool) {
    let inner = block.inner(area);
    let lines = wrap(text, inner.width);
    let hidden = lines.len().saturating_sub(usize::from(inner.height));
    let shown: Vec<Line<'_>> = lines[hidden..].iter().map(|line| Line::raw(line.as_str())).collect();
    if cursor && !inner.is_empty() {
        let column = shown.last().map_or(0, Line::width) as u16;
        let row = shown.len().saturating_sub(1) as u16;
        frame.set_cursor_position((inner.x + column.min(inner.width - 1), inner.y + row));
    }
    frame.render_widget(Paragraph::new(shown).block(block), area);
}

/// Lines of at most `width` columns; the last one is where the next character goes.
fn wrap(text: &str, width: u16) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        if c == '\n' {
            lines.push(String::new());
            used = 0;
            continue;
        }
        let shown = plain(c.encode_utf8(&mut [0; 4])).into_owned();
        let columns = Span::raw(shown.as_str()).width();
        if used + columns > usize::from(width) && used > 0 {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(&shown);
        }
        used += columns;
    }
    lines
}

fn footer(state: &State, theme: Theme, width: u16) -> Paragraph<'static> {
    if let Some(notice) = state.notice {
        return Paragraph::new(Line::styled(notice, theme.warn()));
    }
    Paragraph::new(hints(state, width)).style(Style::new().add_modifier(Modifier::REVERSED))
}

/// The keys that do something now, as many as there is room for; those that one must not miss go first.
fn hints(state: &State, width: u16) -> String {
    let muted = |kind| state.muted.contains(&kind);
    let call = state.is_established();
    let leave = if state.call.is_some() { "F10 hang up" } else { "F10 leave" };
    // by the place on the line, with what is dropped first last
    let all = [
        (0, "F1 help", true),
        (5, leave, true),
        (1, if state.held.0 { "F2 resume" } else { "F2 hold" }, call),
        (
            2,
            if muted(MediaKind::Audio) { "F3 unmute" } else { "F3 mute" },
            call && state.has(MediaKind::Audio),
        ),
        (4, "F5 keypad", call && state.has(MediaKind::Audio)),
        (
            3,
            if muted(MediaKind::Video) { "F4 picture" } else { "F4 blank" },
            call && state.has(MediaKind::Video),
        ),
    ];
    let mut used = 0;
    let mut shown: Vec<(i32, &str)> = Vec::new();
    for (place, words, applies) in all {
        if applies && used + words.len() <= usize::from(width) {
            used += words.len() + 2;
            shown.push((place, words));
        }
    }
    shown.sort_unstable();
    shown.iter().map(|(_, words)| *words).collect::<Vec<_>>().join("  ")
}

fn help(frame: &mut Frame<'_>, theme: Theme) {
    let area = frame.area();
    let wide = area.width.min(72);
    let high = area.height.min(KEYS.len() as u16 + 2);
    let middle = Rect::new((area.width - wide) / 2, (area.height - high) / 2, wide, high);
    let rows = KEYS.map(|(key, what)| Row::new([key, what]));
    let list = Table::new(rows, [Constraint::Length(14), Constraint::Fill(1)])
        .block(theme.frame("Keys: any of them closes this"));
    frame.render_widget(Clear, middle);
    frame.render_widget(list, middle);
}
