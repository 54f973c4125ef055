//! Receives text: puts packets in order, fills gaps from redundancy, waits a second for late ones, marks what is lost.

use std::collections::BTreeMap;
use std::time::Instant;

use super::parties::{Parties, Said, Stamped};
use super::{BOM, LOST, REORDER_WAIT, blocks};
use crate::stats::{DropReason, TextFigures};

/// Packets held while one before them is missing.
const MAX_HELD: usize = 64;
/// Redundant generations believed; more are cut.
const MAX_GENERATIONS: u64 = 8;

/// What a packet said, from its own primary block or from a later packet's redundancy.
#[derive(Debug)]
struct Piece {
    text: String,
    recovered: bool,
}

/// The receiving half of a text stream.
#[derive(Debug)]
pub struct TextReceiver {
    t140: u8,
    red: Option<u8>,
    /// The next sequence number to be shown; `None` before the first packet.
    next: Option<u64>,
    held: BTreeMap<u64, Piece>,
    /// Since when `next` is missing while later packets are held.
    missing_since: Option<Instant>,
    /// Who speaks in a stream of several.
    parties: Parties,
    figures: TextFigures,
}

impl TextReceiver {
    /// A receiver of these payload types.
    #[must_use]
    pub fn new(t140: u8, red: Option<u8>) -> Self {
        let figures = TextFigures::default();
        Self {
            t140,
            red,
            next: None,
            held: BTreeMap::new(),
            missing_since: None,
            parties: Parties::default(),
            figures,
        }
    }

    /// Takes a packet and appends the text it completes to `shown`.
    ///
    /// # Errors
    /// When the payload is malformed.
    pub fn take(
        &mut self,
        sequence: u64,
        payload_type: u8,
        payload: &[u8],
        now: Instant,
        shown: &mut String,
    ) -> Result<(), DropReason> {
        if self.red == Some(payload_type) {
            let blocks = blocks(payload).ok_or(DropReason::MalformedPayload)?;
            self.take_blocks(sequence, blocks)?;
        } else {
            self.next.get_or_insert(sequence);
            self.hold(sequence, payload, false);
        }
        self.show(now, shown);
        Ok(())
    }

    fn take_blocks(&mut self, sequence: u64, mut blocks: super::Blocks<'_>) -> Result<(), DropReason> {
        if blocks.clone().any(|block| block.payload_type != self.t140) {
            return Err(DropReason::MalformedPayload);
        }
        if self.next.is_none() {
            // The stream's first packets may be lost; what redundancy brings of them is shown.
            let known = (0_u64..)
                .zip(blocks.clone())
                .find(|(_, block)| !block.data.is_empty())
                .map_or(0, |(n, _)| blocks.count_left() as u64 - 1 - n);
            self.next = Some(sequence.saturating_sub(known.min(MAX_GENERATIONS)));
        }
        while let Some(block) = blocks.next() {
            let age = blocks.count_left() as u64;
            if age <= MAX_GENERATIONS {
                self.hold(sequence.saturating_sub(age), block.data, age > 0);
            }
        }
        Ok(())
    }

    /// Keeps a piece unless it was shown or is held.
    fn hold(&mut self, sequence: u64, data: &[u8], recovered: bool) {
        let shown = self.next.is_some_and(|next| sequence < next);
        if shown || self.held.contains_key(&sequence) {
            return;
        }
        let text = String::from_utf8_lossy(data).replace(BOM, "");
        self.held.insert(sequence, Piece { text, recovered });
    }

    /// Shows what follows without a gap.
    fn show(&mut self, now: Instant, shown: &mut String) {
        let Some(mut next) = self.next else { return };
        loop {
            while let Some(piece) = self.held.remove(&next) {
                let characters = piece.text.chars().filter(|c| *c != LOST).count() as u64;
                self.figures.characters_received += characters;
                if piece.recovered {
                    self.figures.characters_recovered += characters;
                }
                shown.push_str(&piece.text);
                next += 1;
                self.missing_since = None;
            }
            self.next = Some(next);
            let Some(first_held) = self.held.keys().next().copied() else {
                self.missing_since = None;
                return;
            };
            let since = *self.missing_since.get_or_insert(now);
            if now.saturating_duration_since(since) < REORDER_WAIT && self.held.len() <= MAX_HELD {
                return;
            }
            // Given up: one mark for the whole gap.
            shown.push(LOST);
            self.figures.losses_marked += 1;
            self.missing_since = None;
            next = first_held;
        }
    }

    /// Takes a packet of a mixer that names its source (RFC 9071) and appends what the source said. `timestamp` is the
    /// packet's own.
    ///
    /// # Errors
    /// When the payload is malformed.
    pub fn take_of(
        &mut self,
        source: u32,
        sequence: u64,
        timestamp: u32,
        payload_type: u8,
        payload: &[u8],
        said: &mut Vec<Said>,
    ) -> Result<(), DropReason> {
        let (came, recovered) = if self.red == Some(payload_type) {
            let blocks = blocks(payload).ok_or(DropReason::MalformedPayload)?;
            if blocks.clone().any(|block| block.payload_type != self.t140) {
                return Err(DropReason::MalformedPayload);
            }
            let primary = blocks.count_left().saturating_sub(1);
            // An empty redundant block without offset stands for a generation that never was.
            let real = blocks.enumerate().filter(|(at, block)| *at == primary || block.offset > 0);
            let stamped = real.map(|(at, block)| Stamped {
                timestamp: timestamp.wrapping_sub(block.offset),
                recovered: at < primary,
                data: block.data,
            });
            self.parties.take(source, sequence, stamped, said)
        } else {
            let alone = Stamped { timestamp, recovered: false, data: payload };
            self.parties.take(source, sequence, std::iter::once(alone), said)
        };
        self.figures.characters_received += came;
        self.figures.characters_recovered += recovered;
        self.figures.losses_marked += said.iter().filter(|piece| piece.source.is_none()).count() as u64;
        Ok(())
    }

    /// When [`expire`](Self::expire) wants to be called, if a gap is being waited for.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.missing_since.map(|since| since + REORDER_WAIT)
    }

    /// Gives up waiting for what is overdue and appends what that completes.
    pub fn expire(&mut self, now: Instant, shown: &mut String) {
        self.show(now, shown);
    }

    /// Begins anew at another source or sequence: what is held is shown with its gaps marked.
    pub fn restart(&mut self, shown: &mut String) {
        while let Some((sequence, piece)) = self.held.pop_first() {
            if self.next.is_some_and(|next| next != sequence) {
                shown.push(LOST);
                self.figures.losses_marked += 1;
            }
            self.figures.characters_received += piece.text.chars().filter(|c| *c != LOST).count() as u64;
            shown.push_str(&piece.text);
            self.next = Some(sequence + 1);
        }
        self.next = None;
        self.missing_since = None;
        self.parties = Parties::default();
    }

    /// Figures of the receiving half.
    #[must_use]
    pub fn figures(&self) -> TextFigures {
        self.figures
    }
}
