//! Real-time text both ways, piece by piece, with what each character waited.

use serde::{Deserialize, Serialize};

/// Pieces kept at most; a piece is what one packet brought, up to three a second each way.
const MOST: usize = 4000;

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Speaker {
    /// This end.
    Local,
    /// The far end.
    Remote,
}

/// What one packet carried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// When it left or came, in milliseconds since the session started.
    pub(crate) at_ms: f64,
    /// Who.
    pub(crate) speaker: Speaker,
    /// U+0008 deletes a character, U+2028 begins a line, U+FFFD marks lost text.
    pub(crate) text: String,
    /// Who of several said it (RFC 9071).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// Ours: how long each character waited for its packet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) waits_ms: Vec<Option<f64>>,
    /// Ours, where the far end sends back what it gets: after what time each character was here again, counted from when it was typed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) echoes_ms: Vec<Option<f64>>,
}

/// What was said up to now.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    pieces: Vec<Piece>,
    pub(super) left_out: u64,
}

impl Transcript {
    pub(super) fn add(&mut self, piece: Piece) {
        match self.pieces.len() < MOST {
            true => self.pieces.push(piece),
            false => self.left_out += 1,
        }
    }

    /// The pieces, with the time each character took to come back where that can be told.
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let mut pieces = self.pieces.clone();
        echoes(&mut pieces);
        pieces
    }
}

/// An echo is what came when it is the beginning of what we typed, and nothing else. What several said is none.
fn echoes(pieces: &mut [Piece]) {
    let of = |speaker| pieces.iter().filter(move |piece| piece.speaker == speaker);
    let came: Vec<(char, f64)> =
        of(Speaker::Remote).flat_map(|piece| piece.text.chars().map(|c| (c, piece.at_ms))).collect();
    let ours: Vec<(char, Option<f64>)> = of(Speaker::Local)
        .flat_map(|piece| {
            let waits = piece.waits_ms.iter().copied().chain(std::iter::repeat(None));
            piece.text.chars().zip(waits).map(|(c, wait)| (c, wait.map(|wait| piece.at_ms - wait)))
        })
        .collect();
    let same = came.len() <= ours.len() && came.iter().zip(&ours).all(|((a, _), (b, _))| a == b);
    if came.is_empty() || !same || of(Speaker::Remote).any(|piece| piece.source.is_some()) {
        return;
    }
    let mut times = came.iter().zip(&ours).map(|((_, came), (_, typed))| {
        typed.map(|typed| ((came - typed) * 1000.0).round() / 1000.0).filter(|after| *after >= 0.0)
    });
    for piece in pieces.iter_mut().filter(|piece| piece.speaker == Speaker::Local) {
        piece.echoes_ms = piece.text.chars().map(|_| times.next().flatten()).collect();
    }
}

/// As a person reads it: deletions done, lines broken.
pub(crate) fn readable<'a>(pieces: impl Iterator<Item = &'a str>) -> String {
    let mut shown = String::new();
    for c in pieces.flat_map(str::chars) {
        match c {
            '\u{8}' => {
                shown.pop();
            }
            '\u{2028}' => shown.push('\n'),
            c => shown.push(c),
        }
    }
    shown
}
