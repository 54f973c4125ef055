//! Video from the command line: files, recordings, privacy, what cannot be sent, and a kill in the middle.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a result without what it must have has failed the test"
)]

mod common;

use common::{World, z5};
use serde_json::Value;

/// The film that is built in.
const FILM: &[u8] = include_bytes!("../../z5-media/assets/film.h264");

fn expectation<'a>(result: &'a Value, what: &str) -> &'a Value {
    let all = result["expectations"].as_array().unwrap();
    all.iter()
        .find(|expectation| expectation["what"] == what)
        .unwrap_or_else(|| panic!("no {what} in {all:?}"))
}

/// Whether what was recorded is what the film shows, from its beginning on and again and again.
fn is_the_film(recorded: &[u8]) -> bool {
    recorded.iter().eq(FILM.iter().cycle().take(recorded.len()))
}

#[test]
fn a_film_is_sent_comes_back_and_is_recorded() {
    let world = World::new(&[]);
    let film = world.folder.path().join("film.h264");
    std::fs::write(&film, FILM).unwrap();
    let record = world.folder.path().join("out");
    let (film, folder) = (film.to_str().unwrap(), record.to_str().unwrap());
    let decodes = cfg!(feature = "openh264");
    let mut call = vec!["call", "echo", "--video", film, "--record", folder, "--duration", "1500ms"];
    if decodes {
        call.push("--y4m");
    }
    let run = world.z5(&call);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let result = run.result();
    let moves = expectation(result, "video.moves");
    assert_eq!(moves["held"], true, "{moves}");
    let figures = &result["call"]["video"]["video"];
    assert_eq!((&figures["width"], &figures["height"]), (&320.into(), &240.into()), "{figures}");
    for member in ["first_picture", "first_video"] {
        assert!(result["timings_ms"][member].is_f64(), "{member}: {}", result["timings_ms"]);
    }
    let recorded = std::fs::read(record.join("seen.h264")).unwrap();
    assert!(recorded.len() > 1000 && is_the_film(&recorded), "{} bytes", recorded.len());
    assert_eq!(figures["seen"].is_object(), decodes, "{figures}");
    assert_eq!(record.join("seen.png").exists(), decodes);
    if decodes {
        let pictures = std::fs::read(record.join("seen.y4m")).unwrap();
        assert!(pictures.starts_with(b"YUV4MPEG2 W320 H240 F25:1 "), "{} bytes", pictures.len());
        let picture = b"FRAME\n".len() + 320 * 240 * 3 / 2;
        assert!(pictures.len() > picture, "at least one");
    }
}

#[test]
fn a_blank_picture_is_seen_and_need_not_move_and_video_that_is_added_is_judged_as_well() {
    let world = World::new(&[]);
    let run = world.z5(&["call", "echo", "--video", "blank", "--duration", "1500ms"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let seen = expectation(run.result(), "video.seen");
    assert_eq!(seen["held"], true, "{seen}");
    // Without video to begin with: what is added is a blank picture, and an echo brings it back.
    let run = world.z5(&["call", "echo", "--at", "200ms=add:video", "--duration", "2500ms"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let seen = expectation(run.result(), "video.seen");
    assert_eq!(seen["held"], true, "{seen}");
}

#[test]
fn little_bandwidth_makes_the_picture_smaller_and_it_still_moves() {
    if !cfg!(feature = "openh264") {
        return;
    }
    let world = World::new(&[]);
    world.edit("[media]\n", "[media]\nvideo_kbps = 150\n");
    let run = world.z5(&["call", "echo", "--video", "pattern:1280x720", "--duration", "2s"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let moves = expectation(run.result(), "video.moves");
    assert_eq!(moves["held"], true, "{moves}");
    let width = run.result()["call"]["video"]["video"]["width"].as_u64().unwrap();
    assert!(width <= 352, "{width}");
}

#[test]
fn a_call_without_video_says_so_and_leaves_no_film() {
    let world = World::new(&[]);
    let record = world.folder.path().join("out");
    let run = world.z5(&["call", "echo", "--record", record.to_str().unwrap(), "--duration", "200ms"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    assert_eq!(run.result()["call"]["video"], Value::Null);
    assert!(!record.join("seen.h264").exists());
}

#[test]
fn what_cannot_be_sent_is_told_before_anything_is() {
    let world = World::new(&[]);
    let run = world.z5(&["call", "echo", "--video", "there-is-no.h264"]);
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert_eq!(run.result()["failure"]["code"], "call.video-source");
    assert!(run.stderr.contains("there-is-no.h264"), "{}", run.stderr);
    for video in ["film.mp4", "pattern:7x7", "film.h264@0"] {
        let run = z5(&["call", "echo", "--video", video]);
        assert_eq!(run.status, 2, "{video}");
        assert!(run.stderr.contains(video.split(':').next_back().unwrap()), "{video}: {}", run.stderr);
    }
    if !cfg!(feature = "openh264") {
        let run = world.z5(&["call", "echo", "--video", "pattern"]);
        assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"call.video-source".into()));
    }
}

#[cfg(unix)]
#[test]
fn a_film_is_whole_after_a_kill_in_the_middle_of_a_call() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let world = World::new(&[]);
    let folder = world.folder.path().join("out");
    let config = world.config();
    let record = folder.to_str().unwrap();
    let arguments = [
        "--config",
        &config,
        "--json",
        "call",
        "echo",
        "--video",
        "film",
        "--record",
        record,
        "--at",
        "800ms=mute:text",
    ];
    let mut child = common::command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let muted = |line: &std::io::Result<String>| line.as_ref().unwrap().contains("\"event\":\"call-muted\"");
    assert!(lines.into_iter().any(|line| muted(&line)), "the call ended too early");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "killed");
    let recorded = std::fs::read(folder.join("seen.h264")).unwrap();
    assert!(recorded.len() > 1000 && is_the_film(&recorded), "{} bytes", recorded.len());
}
