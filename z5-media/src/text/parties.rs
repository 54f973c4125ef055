//! Text of several people in one stream (RFC 9071): the mixer names the source of each packet as its first CSRC, and the
//! redundancy of a packet is of that source too.
//!
//! Sequence numbers count the packets of all sources, so what a source said before is known by timestamps: a block later than
//! the last one shown of its source is new, whichever packet brought it. What sources are called is read elsewhere.

use super::{BOM, LOST};

/// Sources that are told apart; of more, the one that was silent longest is forgotten.
const MAX_SOURCES: usize = 32;
/// So many packets in a row may be lost before text may be gone: the redundant generations.
const COVERED: u64 = super::GENERATIONS as u64;

/// What a source said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The source, by the CSRC that the mixer gave it; `None` for a loss that may be anyone's.
    pub source: Option<u32>,
    /// The text.
    pub text: String,
}

/// A block with its place on its source's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamped<'a> {
    pub(super) timestamp: u32,
    /// It came as redundancy.
    pub(super) recovered: bool,
    pub(super) data: &'a [u8],
}

/// What is known of the people in a stream, the one who said something last at the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Parties {
    /// CSRC, and timestamp of the newest block shown.
    sources: Vec<(u32, u32)>,
    highest: Option<u64>,
}

impl Parties {
    /// Takes the blocks of a packet, oldest first. Returns how many characters came and how many of them by redundancy.
    pub(super) fn take<'a>(
        &mut self,
        source: u32,
        sequence: u64,
        blocks: impl Iterator<Item = Stamped<'a>>,
        said: &mut Vec<Said>,
    ) -> (u64, u64) {
        let missed = self.highest.map_or(0, |highest| sequence.saturating_sub(highest + 1));
        self.highest = Some(self.highest.map_or(sequence, |highest| highest.max(sequence)));
        if missed > COVERED {
            said.push(Said { source: None, text: LOST.to_string() });
        }
        let known = self.sources.iter().position(|(csrc, _)| *csrc == source);
        let last = known.map(|at| self.sources.remove(at).1);
        let mut newest = last;
        let (mut text, mut came, mut recovered) = (String::new(), 0, 0);
        for block in blocks {
            let new = newest.is_none_or(|newest| (block.timestamp.wrapping_sub(newest) as i32) > 0);
            if !new {
                continue;
            }
            newest = Some(block.timestamp);
            let piece = String::from_utf8_lossy(block.data).replace(BOM, "");
            let characters = piece.chars().filter(|c| *c != LOST).count() as u64;
            came += characters;
            recovered += if block.recovered { characters } else { 0 };
            text.push_str(&piece);
        }
        if let Some(newest) = newest {
            if self.sources.len() == MAX_SOURCES {
                self.sources.remove(0);
            }
            self.sources.push((source, newest));
        }
        if !text.is_empty() {
            said.push(Said { source: Some(source), text });
        }
        (came, recovered)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet of a mixer: source, sequence number, and its blocks as (timestamp, text).
    type Mixed = (u32, u64, Vec<(u32, String)>);

    fn mixed(words: &[(u32, String)]) -> Vec<Mixed> {
        let mut before: std::collections::HashMap<u32, Vec<(u32, String)>> = std::collections::HashMap::new();
        let packet = |(n, (source, word)): (usize, &(u32, String))| {
            let past = before.entry(*source).or_default();
            past.push((n as u32 * 330 + 1, word.clone()));
            let from = past.len().saturating_sub(3);
            (*source, n as u64, past[from..].to_vec())
        };
        words.iter().enumerate().map(packet).collect()
    }

    fn take(parties: &mut Parties, packet: &Mixed, said: &mut Vec<Said>) {
        let (source, sequence, blocks) = packet;
        let last = blocks.len() - 1;
        let stamped = blocks.iter().enumerate().map(|(at, (timestamp, text))| Stamped {
            timestamp: *timestamp,
            recovered: at < last,
            data: text.as_bytes(),
        });
        parties.take(*source, *sequence, stamped, said);
    }

    fn of(source: u32, said: &[Said]) -> String {
        said.iter().filter(|piece| piece.source == Some(source)).map(|piece| piece.text.as_str()).collect()
    }

    #[test]
    fn who_says_what_is_told_apart() {
        let words = [(7, "he".to_owned()), (9, "yes".to_owned()), (7, "llo".to_owned())];
        let (mut parties, mut said) = (Parties::default(), Vec::new());
        for packet in mixed(&words) {
            take(&mut parties, &packet, &mut said);
        }
        assert_eq!((of(7, &said), of(9, &said)), ("hello".to_owned(), "yes".to_owned()));
        assert!(said.iter().all(|piece| piece.source.is_some()));
    }

    #[test]
    fn a_loss_that_redundancy_cannot_cover_is_marked_once_and_is_nobodys() {
        let words: Vec<(u32, String)> = (0..8).map(|n| (n % 2, n.to_string())).collect();
        let (mut parties, mut said) = (Parties::default(), Vec::new());
        for packet in mixed(&words).iter().filter(|(_, sequence, _)| !(2..5).contains(sequence)) {
            take(&mut parties, packet, &mut said);
        }
        let marks: Vec<_> = said.iter().filter(|piece| piece.text.contains(LOST)).collect();
        assert_eq!((marks.len(), marks[0].source), (1, None));
    }

    #[test]
    fn sources_without_end_take_no_memory() {
        let (mut parties, mut said) = (Parties::default(), Vec::new());
        for n in 0..1000_u32 {
            take(&mut parties, &(n, n.into(), vec![(n, "x".into())]), &mut said);
        }
        assert_eq!(parties.sources.len(), MAX_SOURCES);
    }

    proptest! {
        #[test]
        fn any_two_losses_in_a_row_cost_no_character_while_each_source_goes_on(
            from in 0_usize..30, length in 1_usize..=2, swapped in 0_usize..40
        ) {
            // Three people in turn; each one's last words are followed by two more packets of theirs.
            let words: Vec<(u32, String)> = (0..42_u32).map(|n| (n % 3, format!("{n};"))).collect();
            let mut packets = mixed(&words);
            packets.swap(swapped, swapped + 1);
            let (mut parties, mut said) = (Parties::default(), Vec::new());
            for packet in packets.iter().filter(|(_, sequence, _)| !(from..from + length).contains(&(*sequence as usize))) {
                take(&mut parties, packet, &mut said);
            }
            for source in 0..3 {
                let wanted: String = words.iter().filter(|(of, _)| *of == source).map(|(_, word)| word.as_str()).collect();
                prop_assert_eq!(of(source, &said), wanted);
            }
        }
    }
}
