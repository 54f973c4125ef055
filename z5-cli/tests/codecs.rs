//! Every audio codec and every SRTP suite in an echo call, and what the program says of names it does not know.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up its world has failed")]

mod common;

use common::{Run, World, z5};

/// One call to the echo for each set of arguments, side by side.
fn echo_calls<'a>(world: &World, each: impl IntoIterator<Item = Vec<&'a str>>) -> Vec<Run> {
    std::thread::scope(|scope| {
        let call = |more: Vec<&'a str>| {
            let mut arguments = vec!["call", "echo", "--audio", "tone:700", "--duration", "2500ms"];
            arguments.extend(more);
            scope.spawn(move || world.z5(&arguments))
        };
        let running: Vec<_> = each.into_iter().map(call).collect();
        running.into_iter().map(|run| run.join().unwrap()).collect()
    })
}

fn heard_hz(run: &Run) -> f64 {
    let heard = &run.result()["call"]["audio"]["heard"];
    heard["dominant_hz"].as_f64().unwrap_or_else(|| panic!("no tone: {heard}\n{}", run.stderr))
}

#[test]
fn every_suite_protects_an_echo_call() {
    let world = World::new(&[]);
    let suites = [
        "AEAD_AES_256_GCM",
        "AEAD_AES_128_GCM",
        "AES_256_CM_HMAC_SHA1_80",
        "AES_CM_128_HMAC_SHA1_80",
        "AES_CM_128_HMAC_SHA1_32",
    ];
    let runs = echo_calls(&world, suites.map(|suite| vec!["--srtp", "required", "--suite", suite]));
    for (suite, run) in suites.iter().zip(runs) {
        assert_eq!(run.status, 0, "{suite}: {}\n{}", run.stderr, run.stdout);
        let streams = run.result()["call"]["media"]["streams"].as_array().unwrap().clone();
        assert!(streams.iter().all(|stream| stream["crypto"] == *suite), "{suite}: {streams:?}");
        assert_eq!(run.result()["call"]["audio"]["security"], *suite);
        assert!((heard_hz(&run) - 700.0).abs() < 2.0, "{suite}: {}", heard_hz(&run));
    }
}

#[test]
fn the_strongest_suite_comes_first() {
    let world = World::new(&[]);
    let run = echo_calls(&world, [vec!["--srtp", "optional"]]).remove(0);
    assert_eq!(run.result()["call"]["audio"]["security"], "AEAD_AES_256_GCM", "{}", run.stderr);
}

#[test]
fn every_codec_comes_back_from_the_echo() {
    let world = World::new(&[]);
    let codecs = ["opus", "G722", "PCMU", "PCMA"];
    let runs = echo_calls(&world, codecs.map(|codec| vec!["--codec", codec]));
    for (codec, run) in codecs.iter().zip(runs) {
        assert_eq!(run.status, 0, "{codec}: {}\n{}", run.stderr, run.stdout);
        assert_eq!(run.result()["call"]["media"]["streams"][0]["codec"], *codec);
        assert!((heard_hz(&run) - 700.0).abs() < 2.0, "{codec}: {}", heard_hz(&run));
    }
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    for (arguments, near) in [
        (["call", "echo", "--codec", "G772"], "`G722`"),
        (["call", "echo", "--suite", "AEAD_AES_256_GCN"], "`AEAD_AES_256_GCM`"),
    ] {
        let run = z5(&arguments);
        assert_eq!(run.status, 2);
        assert!(run.stderr.contains(near), "{}", run.stderr);
    }
    let world = World::new(&[]);
    world.edit("[media]", "[media]\naudio_codecs = [\"PCNU\"]");
    let run = world.z5(&["call", "echo"]);
    assert_eq!((run.status, run.result()["failure"]["code"].as_str()), (2, Some("config.bad-value")));
    assert!(run.stderr.contains("did you mean `PCMU`"), "{}", run.stderr);
}

#[test]
fn suites_without_encryption_are_refused() {
    let world = World::new(&[]);
    let run = world.z5(&["call", "echo", "--suite", "AEAD_AES_128_GCM"]);
    assert_eq!((run.status, run.result()["failure"]["code"].as_str()), (2, Some("usage.suite")));
}
