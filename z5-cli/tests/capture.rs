//! `--capture`: what is in the file, who may read it, what is refused; and recordings after a kill.

#![expect(clippy::unwrap_used, reason = "a capture that cannot be read has failed the test")]

mod common;

use std::path::Path;

use common::{World, z5};

/// The payloads of the UDP and TCP packets of a pcapng file with one RAW interface, each with both ports.
fn payloads(path: &Path) -> Vec<(u16, u16, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let len = word(at + 4);
        if word(at) == 6 {
            let packet = &bytes[at + 28..at + 28 + word(at + 20)];
            assert_eq!(packet[0], 0x45, "IPv4 without options");
            let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
            let head = if packet[9] == 17 { 8 } else { 20 };
            found.push((port(20), port(22), packet[20 + head..].to_vec()));
        }
        at += len;
    }
    found
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

#[test]
fn the_demo_leaves_a_capture_of_sip_and_rtp_with_the_keys_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.pcapng");
    let run = z5(&["demo", "--json", "--capture", path.to_str().unwrap()]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let result = run.result();
    let found = payloads(&path);
    assert_eq!(result["capture"]["packets"], found.len() as u64);
    assert_eq!(
        (&result["capture"]["left_out"], &result["capture"]["failure"]),
        (&0.into(), &serde_json::Value::Null)
    );
    // Messages that are ready together leave in one write, so that any of them may be the second in its packet.
    let sip = |start: &str| {
        found.iter().any(|(.., bytes)| {
            bytes.starts_with(start.as_bytes())
                || String::from_utf8_lossy(bytes).contains(&format!("\n{start}"))
        })
    };
    for start in ["REGISTER ", "SIP/2.0 200", "INVITE ", "ACK ", "BYE "] {
        assert!(sip(start), "no {start}");
    }
    // Every RTP packet that was counted is there, both ways, still encrypted.
    for kind in ["audio", "text"] {
        let stream = result["call"]["media"]["streams"]
            .as_array()
            .unwrap()
            .iter()
            .find(|s| s["kind"] == kind)
            .unwrap();
        let local: std::net::SocketAddr = stream["local"].as_str().unwrap().parse().unwrap();
        let rtp = |bytes: &[u8]| bytes[0] == 0x80 && !(192..=223).contains(&bytes[1]);
        let sent = found.iter().filter(|(from, _, bytes)| *from == local.port() && rtp(bytes)).count() as u64;
        let came = found.iter().filter(|(_, to, bytes)| *to == local.port() && rtp(bytes)).count() as u64;
        let figures = &result["call"][kind];
        assert_eq!(sent, figures["packets_sent"].as_u64().unwrap(), "{kind}");
        assert!(came >= figures["packets_received"].as_u64().unwrap(), "{kind}");
    }
    let keys = text(&folder.path().join("demo.pcapng.keys"));
    assert_eq!(keys.lines().count(), 6, "three streams, two directions");
    let suite = result["call"]["audio"]["security"].as_str().unwrap();
    let attribute = format!(" a=crypto:1 {suite} inline:");
    assert!(keys.lines().all(|line| line.contains(&attribute)), "{suite}");
    #[cfg(unix)]
    for name in ["demo.pcapng", "demo.pcapng.keys"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(!run.stdout.contains("inline:") && !run.stderr.contains("inline:"), "no key is printed");
}

#[test]
fn a_capture_is_not_overwritten_unasked_and_a_place_that_cannot_be_written_is_refused_before_anything_is_sent()
 {
    let world = World::new(&[]);
    let path = world.folder.path().join("mine.pcapng");
    std::fs::write(&path, "mine").unwrap();
    let file = path.to_str().unwrap();
    let refused = world.z5(&["register", "--capture", file]);
    assert_eq!(refused.status, 2, "{}", refused.stdout);
    assert_eq!(refused.result()["failure"]["code"], "usage.capture");
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);
    assert_eq!(text(&path), "mine");
    let nowhere = world.folder.path().join("no/such/place.pcapng");
    let refused = world.z5(&["register", "--capture", nowhere.to_str().unwrap()]);
    assert_eq!((refused.status, refused.events.len()), (2, 1), "nothing but the result: {}", refused.stdout);
    let replaced = world.z5(&["register", "--capture", file, "--overwrite"]);
    assert_eq!(replaced.status, 0, "{}", replaced.stderr);
    assert!(payloads(&path).iter().any(|(.., bytes)| bytes.starts_with(b"REGISTER ")));
    // --overwrite alone means nothing.
    assert_eq!(world.z5(&["register", "--overwrite"]).status, 2);
}

#[test]
fn over_tls_the_bytes_are_those_that_travelled_and_the_secrets_stand_in_the_file() {
    let world = World::over_tls();
    let path = world.folder.path().join("tls.pcapng");
    let run = world.z5(&["register", "--capture", path.to_str().unwrap()]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let all = text(&path);
    assert!(all.contains("CLIENT_HANDSHAKE_TRAFFIC_SECRET ") && all.contains("CLIENT_TRAFFIC_SECRET_0 "));
    assert!(!all.contains("REGISTER "), "nothing is in the clear");
    // The first bytes each way are a TLS handshake.
    let found = payloads(&path);
    assert_eq!(found.first().map(|(.., bytes)| bytes[0]), Some(22), "a ClientHello");
}

/// A limit on the size of files stands for the disk: the write fails in the middle of the call.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_in_the_middle_of_a_call_is_told_and_the_call_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.pcapng");
    // With the signal ignored a write beyond the limit fails as it does on a full disk.
    let limited = "trap '' XFSZ; ulimit -f 24; exec \"$0\" demo --json --capture \"$1\"";
    let output = std::process::Command::new("bash")
        .args(["-c", limited, env!("CARGO_BIN_EXE_z5"), path.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let result: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert!(result["capture"]["failure"].as_str().unwrap().contains("too large"), "{}", result["capture"]);
    let broken: Vec<_> = result["expectations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|expectation| expectation["held"] == false)
        .map(|expectation| expectation["what"].as_str().unwrap())
        .collect();
    assert_eq!(broken, ["capture.complete"], "the call itself held");
    // What was written before is a good file up to there.
    assert!(std::fs::metadata(&path).unwrap().len() <= 24 * 1024);
}

#[cfg(unix)]
#[test]
fn a_recording_and_a_capture_are_whole_after_a_kill_in_the_middle_of_a_call() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let world = World::new(&[]);
    let folder = world.folder.path().join("out");
    let capture = world.folder.path().join("killed.pcapng");
    let arguments = [
        "--config",
        &world.config(),
        "--json",
        "call",
        "echo",
        "--audio",
        "tone",
        "--record",
        folder.to_str().unwrap(),
        "--capture",
        capture.to_str().unwrap(),
        "--at",
        "1100ms=mute:text",
    ]
    .map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = common::command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // A second of the call is over when the program says that it has muted itself.
    let muted = |line: &std::io::Result<String>| line.as_ref().unwrap().contains("\"event\":\"call-muted\"");
    assert!(lines.into_iter().any(|line| muted(&line)), "the call ended too early");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "killed");
    let mut wav = hound::WavReader::open(folder.join("heard.wav")).unwrap();
    assert_eq!((wav.spec().sample_rate, wav.spec().channels), (8000, 1));
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    assert!(samples.len() >= 4000, "{} samples", samples.len());
    assert!(samples.iter().any(|sample| sample.unsigned_abs() > 2000), "the tone was heard");
    assert!(payloads(&capture).len() > 25, "the capture is read to its end");
}
