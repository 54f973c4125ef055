//! Files that the command line names and that are none: devices, folders, pipes, files without end, bytes that are no text. Each is told as
//! what it is, with status 2, before anything is sent.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use std::path::Path;

use common::{Run, World, command, run, z5};

const SCENARIO: &str = "steps: [register]";

/// What the program says, wherever it says it: `mock` has no result object.
fn told(run: &Run) -> &str {
    assert_eq!(run.status, 2, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("what to do: "), "{}", run.stderr);
    &run.stderr
}

/// Every command that reads a file, with FILE in its place. The configuration is there for those that need one.
const READERS: [(&[&str], &str); 13] = [
    (&["--config", "FILE", "register"], "a configuration"),
    (&["--config", "FILE", "config", "show"], "a configuration"),
    (&["run", "FILE"], "a scenario"),
    (&["monitor", "--listen", "127.0.0.1:0", "FILE"], "a scenario"),
    (&["--config", "CONFIG", "register", "--ca", "FILE"], "a list of authorities"),
    (&["--config", "CONFIG", "licence", "--ca", "FILE"], "a list of authorities"),
    (&["--config", "CONFIG", "call", "911", "--location", "FILE"], "a location"),
    (&["--config", "CONFIG", "call", "echo", "--audio", "FILE"], "a WAV file"),
    (&["--config", "CONFIG", "contacts", "import", "FILE"], "a file of cards"),
    (&["run", "--party", "alice=FILE", "SCENARIO"], "a configuration"),
    (&["mock", "--duration", "1ms", "--scenario", "FILE"], "a scenario file"),
    (&["report", "FILE"], "a capsule"),
    (&["explain", "FILE"], "an input of explain"),
];

fn read(world: &World, arguments: &[&str], file: &Path) -> Run {
    let scenario = world.folder.path().join("scenario.yaml");
    std::fs::write(&scenario, SCENARIO).unwrap();
    let (config, file) = (world.config(), file.to_str().unwrap());
    let put = |word: &&str| match *word {
        "CONFIG" => config.clone(),
        "SCENARIO" => scenario.to_str().unwrap().to_owned(),
        word => word.replace("FILE", file),
    };
    let all: Vec<String> = arguments.iter().map(put).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    run(command(&all).env("XDG_DATA_HOME", world.folder.path().join("data")))
}

#[cfg(unix)]
#[test]
fn a_device_that_never_ends_is_told_as_one() {
    let world = World::new(&[]);
    for (arguments, what) in READERS {
        let run = read(&world, arguments, Path::new("/dev/zero"));
        let seen = format!("it is a device, and {what} is a file that has an end");
        assert!(told(&run).contains(&seen), "{arguments:?}: {}", run.stderr);
    }
    assert!(world.carrier.recorder().entries().is_empty(), "nothing was sent");
}

#[test]
fn a_folder_is_told_as_one() {
    let world = World::new(&[]);
    let folder = tempfile::tempdir().unwrap();
    for (arguments, what) in READERS.iter().filter(|(arguments, _)| arguments[0] != "report") {
        let run = read(&world, arguments, folder.path());
        let seen = format!("it is a folder, and {what} is a file: name the file in it");
        assert!(told(&run).contains(&seen), "{arguments:?}: {}", run.stderr);
    }
    // where the folder of a report is meant, it is the file in it that is missing
    let run = read(&world, &["report", "FILE"], folder.path());
    assert!(told(&run).contains("capsule.json: there is no such file"), "{}", run.stderr);
    assert!(world.carrier.recorder().entries().is_empty(), "nothing was sent");
}

#[test]
fn a_file_that_is_too_long_is_told_with_its_limit() {
    let world = World::new(&[]);
    let long = world.folder.path().join("long");
    // without a byte on the disk
    std::fs::File::create(&long).unwrap().set_len(65 << 20).unwrap();
    for (arguments, what) in READERS.iter().filter(|(arguments, _)| !arguments.contains(&"--audio")) {
        let run = read(&world, arguments, &long);
        let text = told(&run);
        let seen = text.contains("it has more than ") && text.contains(" is as long: name another file");
        assert!(seen || text.contains("has more than 64 KiB"), "{arguments:?}, {what}: {text}");
    }
    assert!(world.carrier.recorder().entries().is_empty(), "nothing was sent");
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_line() {
    let world = World::new(&[]);
    let latin = world.folder.path().join("latin");
    std::fs::write(&latin, b"a = 1\nname = \"Zo\xeb\"\n").unwrap();
    for (arguments, _) in &READERS[..4] {
        let run = read(&world, arguments, &latin);
        let seen = "line 2: the byte 0xeb is no text in UTF-8: save it as UTF-8";
        assert!(told(&run).contains(seen), "{arguments:?}: {}", run.stderr);
    }
}

/// A scenario is read once, so that `z5 run <(...)` of a shell is one; a configuration may be read again.
#[cfg(unix)]
#[test]
fn a_pipe_is_read_where_once_is_enough() {
    let world = World::new(&[]);
    let pipe = world.folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let name = pipe.to_str().unwrap();
    let run = z5(&["--config", name, "register"]);
    assert!(
        told(&run).contains("it is a pipe, and a configuration is a file that may be read"),
        "{}",
        run.stderr
    );
    let writes = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, format!("mock:\n{SCENARIO}"))
    });
    let run = z5(&["run", "--check", name]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    writes.join().unwrap().unwrap();
}
