//! The transcript: both sides as they read, then piece by piece with its times, then character by character.

use super::html::{Html, number};
use crate::capsule::{Capsule, Piece, Speaker, readable};
use crate::output;

/// Characters of the table at most.
const CHARACTERS: usize = 600;
/// Pieces of the table at most.
const PIECES: usize = 600;

pub(super) fn section(capsule: &Capsule) -> Html {
    let mut html = Html::new();
    let pieces = &capsule.transcript;
    if pieces.is_empty() {
        html.raw("<p>No text was typed, and none came.</p>");
        return html;
    }
    html.raw("<div class=\"two\">");
    for (speaker, name) in [(Speaker::Local, "This end typed"), (Speaker::Remote, "The far end typed")] {
        let said = pieces.iter().filter(|piece| piece.speaker == speaker).map(|piece| piece.text.as_str());
        let said = readable(said);
        html.raw("<div><h3>").raw(name).raw("</h3>");
        match said.is_empty() {
            true => html.raw("<p>nothing</p>"),
            false => html.raw("<p class=\"said\">").text(&said).raw("</p>"),
        };
        html.raw("</div>");
    }
    html.raw("</div>");
    if pieces.iter().any(|piece| piece.text.contains('\u{fffd}')) {
        html.raw("<p>\u{fffd} stands where text was lost on the way.</p>");
    }
    if capsule.transcript_left_out > 0 {
        html.raw("<p>").count(capsule.transcript_left_out as usize).raw(" later pieces were left out.</p>");
    }
    let base = pieces.first().map_or(0.0, |piece| piece.at_ms);
    each_piece(&mut html, pieces, base);
    each_character(&mut html, pieces, base);
    html
}

fn who(piece: &Piece) -> String {
    match (piece.speaker, &piece.source) {
        (Speaker::Local, _) => "this end".to_owned(),
        (Speaker::Remote, None) => "far end".to_owned(),
        (Speaker::Remote, Some(source)) => format!("far end, source {source}"),
    }
}

/// What cannot be seen gets a name.
fn visible(text: &str) -> String {
    text.chars().map(output::visible).collect()
}

fn span(values: &[Option<f64>]) -> String {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let least = known.iter().copied().fold(f64::INFINITY, f64::min);
    let most = known.iter().copied().fold(0.0, f64::max);
    match known.is_empty() {
        true => "–".to_owned(),
        false if number(least, 0) == number(most, 0) => format!("{} ms", number(most, 0)),
        false => format!("{} to {} ms", number(least, 0), number(most, 0)),
    }
}

fn each_piece(html: &mut Html, pieces: &[Piece], base: f64) {
    html.raw("<details><summary>Piece by piece: what each packet carried</summary>");
    html.table(
        "Pieces of text in the order in which they left and came; ⌫ deletes a character, ⏎ begins a line",
        &["After", "Who", "Text", "Waited to be sent", "Came back after"],
    );
    for piece in pieces.iter().take(PIECES) {
        html.raw("<tr><td class=\"n\">").number((piece.at_ms - base) / 1000.0, 2).raw(" s</td>");
        html.cell(&who(piece)).cell(&visible(&piece.text));
        html.cell(&span(&piece.waits_ms)).cell(&span(&piece.echoes_ms)).raw("</tr>");
    }
    html.end_table();
    if pieces.len() > PIECES {
        html.raw("<p>").count(pieces.len() - PIECES).raw(" more stand in the capsule.</p>");
    }
    html.raw("</details>");
}

fn each_character(html: &mut Html, pieces: &[Piece], base: f64) {
    let ours = pieces.iter().filter(|piece| piece.speaker == Speaker::Local);
    let all: usize = ours.clone().map(|piece| piece.text.chars().count()).sum();
    if all == 0 {
        return;
    }
    html.raw("<details><summary>Character by character: how long each one took</summary>");
    html.table(
        "Characters typed at this end; a dash: not measured",
        &["Character", "Left after", "Waited to be sent", "Was back after"],
    );
    let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |ms| format!("{} ms", number(ms, 1)));
    let characters = ours.flat_map(|piece| {
        let absent = || std::iter::repeat(None);
        let waits = piece.waits_ms.iter().copied().chain(absent());
        let echoes = piece.echoes_ms.iter().copied().chain(absent());
        piece.text.chars().zip(waits).zip(echoes).map(|((c, wait), echo)| (c, piece.at_ms, wait, echo))
    });
    for (c, at, wait, echo) in characters.take(CHARACTERS) {
        let name = if c == ' ' { "space".to_owned() } else { visible(c.encode_utf8(&mut [0; 4])) };
        html.raw("<tr>")
            .cell(&name)
            .raw("<td class=\"n\">")
            .number((at - base) / 1000.0, 2)
            .raw(" s</td><td class=\"n\">");
        html.text(&ms(wait)).raw("</td><td class=\"n\">").text(&ms(echo)).raw("</td></tr>");
    }
    html.end_table();
    if all > CHARACTERS {
        html.raw("<p>").count(all - CHARACTERS).raw(" more stand in the capsule.</p>");
    }
    html.raw("</details>");
}
