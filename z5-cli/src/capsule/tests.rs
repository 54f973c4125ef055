//! Capsules are read as they were written, and what is none is refused; time series keep every packet however long a call lasts.

use serde_json::json;
use z5_core::events::MediaKind;

use super::series::{Counters, MOST, Measured};
use super::*;

#[test]
fn what_is_no_capsule_is_refused_with_the_reason() {
    let refused = |text: &str| Capsule::parse(text.as_bytes(), "x.json").unwrap_err().to_string();
    assert!(refused("").contains("x.json is no capsule"));
    assert!(refused("{\"format\":\"other\",\"version\":1}").contains("\"other\""));
    assert!(refused("{\"format\":\"z5-capsule\",\"version\":2}").contains("use a newer z5"));
    assert!(
        refused("{\"format\":\"z5-capsule\",\"version\":1}").contains("line 1: `started_unix_s` is missing")
    );
    assert!(refused("\u{7f}ELF").ends_with("it is no JSON from line 1, column 1 on"));
    assert!(refused("{\"format\":\"z5-capsule\",").contains("it was cut off"));
    let typed = refused("{\"format\":\"z5-capsule\",\"version\":\"1\"}");
    assert!(
        typed.contains("the text \"1\" stands where a whole number from 0 to 4294967295 belongs"),
        "{typed}"
    );
    let deep = "[".repeat(100_000);
    assert!(refused(&deep).contains("no capsule"));
}

#[test]
fn members_that_came_later_may_be_missing() {
    let text = json!({
        "format": "z5-capsule", "version": 1, "started_unix_s": 0, "numbers_shown": false, "result": null, "events": [],
        "something_new": 7,
    });
    let capsule = Capsule::parse(text.to_string().as_bytes(), "x").unwrap();
    assert!(capsule.messages.is_empty() && capsule.streams.is_empty() && capsule.environment.is_null());
}

fn counted(at_ms: f64, received: u64, lost: u64) -> Counters {
    Counters { at_ms, received, lost: Some(lost), ..Counters::default() }
}

#[test]
fn a_long_call_loses_detail_and_no_packet() {
    let mut measured = Measured::new(1, MediaKind::Audio, 1000.0);
    let beats = 10 * MOST as u64 + 3;
    for beat in 1..=beats {
        // One packet of a hundred is lost.
        measured.push(counted(1000.0 + 500.0 * beat as f64, beat * 99, beat), beat == beats);
    }
    let series = measured.series();
    assert!(series.samples.len() <= MOST + 1, "{}", series.samples.len());
    let last = series.samples.last().unwrap();
    assert!((last.at_ms - (1000.0 + 500.0 * beats as f64)).abs() < 1e-6, "the end is kept");
    for sample in &series.samples {
        assert_eq!(sample.loss_percent, Some(1.0), "{sample:?}");
        assert_eq!(sample.frame_rate, None);
    }
}

#[test]
fn a_packet_that_comes_late_makes_no_negative_loss() {
    let mut measured = Measured::new(1, MediaKind::Audio, 0.0);
    measured.push(counted(500.0, 20, 5), false);
    measured.push(counted(1000.0, 50, 0), false);
    let losses: Vec<_> = measured.series().samples.iter().map(|sample| sample.loss_percent).collect();
    assert_eq!(losses, [Some(20.0), Some(0.0)]);
}

fn piece(speaker: Speaker, at_ms: f64, text: &str) -> Piece {
    let waits_ms = match speaker {
        Speaker::Local => text.chars().map(|_| Some(100.0)).collect(),
        Speaker::Remote => Vec::new(),
    };
    Piece { at_ms, speaker, text: text.to_owned(), source: None, waits_ms, echoes_ms: Vec::new() }
}

#[test]
fn the_way_of_each_character_and_back_is_told_when_it_is_an_echo() {
    use Speaker::{Local, Remote};
    let told = |pieces: &[Piece]| {
        let mut transcript = transcript::Transcript::default();
        pieces.iter().for_each(|piece| transcript.add(piece.clone()));
        transcript.pieces().into_iter().flat_map(|piece| piece.echoes_ms).collect::<Vec<_>>()
    };
    let (ours, more) = (piece(Local, 1000.0, "HEL"), piece(Local, 1300.0, "LO"));
    let echo = [ours.clone(), piece(Remote, 1010.0, "HE"), more.clone(), piece(Remote, 1320.0, "LL")];
    assert_eq!(told(&echo), [Some(110.0), Some(110.0), Some(420.0), Some(120.0), None]);
    assert_eq!(told(&[ours.clone(), piece(Remote, 1010.0, "HI")]), []);
    let mut several = piece(Remote, 1010.0, "HE");
    several.source = Some("0000002a".to_owned());
    assert_eq!(told(&[ours, several]), []);
}

#[test]
fn deletions_and_lines_are_as_a_person_reads_them() {
    assert_eq!(readable(["HELLP", "\u{8}O\u{2028}", "there"].into_iter()), "HELLO\nthere");
    assert_eq!(readable(["\u{8}\u{8}a"].into_iter()), "a");
}
