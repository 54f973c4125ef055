//! `z5 explain`: verdicts, places, JSON, exit statuses. The program gets files and standard input, and sends nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail their test")]

mod common;

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use common::{command, z5};
use tempfile::TempDir;

const INVITE: &str = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h:5060;branch=z9hG4bK1\r\n\
    Max-Forwards: 70\r\nFrom: <sip:alice@example.net>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c1\r\n\
    CSeq: 1 INVITE\r\nContact: <sip:alice@h:5060>\r\nContent-Type: application/sdp\r\nContent-Length: 127\r\n\r\n\
    v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 18\r\na=rtcp-mux\r\nm=video 4002 RTP/AVP 34\r\n";

fn file(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_verdict_comes_first_and_the_reasons_follow() {
    let folder = tempfile::tempdir().unwrap();
    let run = z5(&["explain", &file(&folder, "a", INVITE)]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert_eq!(run.stdout.lines().next(), Some("accept"));
    for words in [
        "1 INVITE",
        "a user agent offers the call to its user",
        "m-line 0: audio 4000 RTP/AVP, taken",
        "0 PCMU/8000",
        "18 G729/8000: not a codec of ours",
        "192.0.2.9:4000, RTCP with it",
        "m-line 1: video 4002 RTP/AVP, refused: no video",
    ] {
        assert!(run.stdout.contains(words), "{words} is not in {}", run.stdout);
    }
    let run = z5(&["explain", &file(&folder, "b", INVITE.replace("CSeq: 1 INVITE", "CSeq: one INVITE"))]);
    let first = run.stdout.lines().next().unwrap();
    assert_eq!(
        (run.status, first),
        (0, "refuse 400 Bad Request: CSeq: a number is malformed or out of range")
    );
    assert!(run.stdout.contains("fault at line 7, byte "), "{}", run.stdout);
    let run = z5(&["explain", "--sip", &file(&folder, "c", "nothing of the kind")]);
    assert!(run.status == 0 && run.stdout.starts_with("drop: "), "{}", run.stdout);
}

#[test]
fn json_is_one_object_with_every_documented_member() {
    let folder = tempfile::tempdir().unwrap();
    let run = z5(&["--json", "explain", &file(&folder, "a", INVITE)]);
    assert_eq!((run.status, run.events.len(), run.stdout.lines().count()), (0, 1, 1), "{}", run.stderr);
    let result = run.result();
    assert_eq!((result["verdict"].as_str(), result["command"].as_str()), (Some("accept"), Some("explain")));
    assert!(result["status"].is_null() && result["exit_code"] == 0);
    let message = &result["messages"][0];
    assert_eq!(message["start"]["method"], "INVITE");
    assert_eq!(message["headers"][5]["typed"][0]["cseq"]["number"], 1);
    assert_eq!(message["user_agent"]["rings"], true);
    let media = &message["body"]["session"]["media"];
    assert_eq!(media[0]["codecs"][0]["payload_type"], 0);
    assert_eq!(media[0]["refused"][0]["why"], "not a codec of ours");
    assert_eq!(media[1]["taken"], false);

    // the document names what the object has, and nothing else
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md")).unwrap();
    let section = document.split("## z5 explain").nth(1).expect("a section of its own");
    let mut undocumented = Vec::new();
    let mut look = |value: &serde_json::Value| {
        for name in value.as_object().unwrap().keys() {
            if !section.contains(&format!("`{name}`")) {
                undocumented.push(name.clone());
            }
        }
    };
    for value in
        [result, message, &message["start"], &message["headers"][0], &message["user_agent"], &message["body"]]
    {
        look(value);
    }
    look(&message["body"]["session"]);
    look(&media[0]);
    look(&media[0]["codecs"][0]);
    look(&media[0]["refused"][0]);
    assert!(undocumented.is_empty(), "docs/json.md does not say what these are: {undocumented:?}");
}

#[test]
fn keys_by_dtls_are_taken_by_who_has_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let fingerprint = vec!["AB"; 32].join(":");
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n"
    );
    let path = file(&folder, "offer.sdp", offer);
    let without = z5(&["explain", "--expect", "488", &path]);
    assert_eq!(without.status, 0, "{}", without.stdout);
    assert!(without.stdout.contains("no certificate on this side"), "{}", without.stdout);
    let with = z5(&["explain", "--dtls", "--expect", "accept", &path]);
    assert_eq!(with.status, 0, "{}", with.stdout);
    assert!(with.stdout.contains("fingerprint sha-256, setup actpass, we are the client"), "{}", with.stdout);
    let told = z5(&["--json", "explain", "--dtls", &path]);
    assert_eq!(told.result()["session"]["media"][0]["dtls"]["role"], "client", "{}", told.stdout);
}

#[test]
fn standard_input_and_several_messages_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let two = format!("{INVITE}\r\n\r\n{}", INVITE.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"));
    let mut child = command(&["--json", "explain", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(two.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((result["framing"].as_str(), result["keep_alives"].as_u64()), (Some("stream"), Some(1)));
    assert_eq!((result["verdict"].as_str(), result["status"].as_u64()), (Some("refuse"), Some(505)));
    assert_eq!(result["messages"].as_array().unwrap().len(), 2);
    let name = file(&folder, "two", &two);
    let human = z5(&["explain", &name]);
    assert!(
        human.stdout.contains("message 2 of 2") && human.stdout.starts_with("refuse 505"),
        "{}",
        human.stdout
    );
    let one = z5(&["--json", "explain", "--datagram", &name]);
    assert_eq!(
        (one.result()["verdict"].as_str(), one.result()["notes"].as_array().unwrap().len()),
        (Some("accept"), 1)
    );
}

#[test]
fn an_expectation_decides_the_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "good", INVITE);
    let offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18\r\n";
    let offer = file(&folder, "offer", offer);
    for (input, expected, status) in [
        (&good, "accept", 0),
        (&good, "refuse", 1),
        (&good, "drop", 1),
        (&good, "488", 1),
        (&offer, "488", 0),
        (&offer, "refuse", 0),
        (&offer, "400", 1),
        (&good, "maybe", 2),
        (&good, "200", 2),
    ] {
        let run = z5(&["explain", input, "--expect", expected]);
        assert_eq!(run.status, status, "{expected}: {}", run.stderr);
    }
    let run = z5(&["--json", "explain", &good, "--expect", "drop"]);
    let expectation = &run.result()["expectations"][0];
    assert_eq!(
        (expectation["measured"].as_str(), expectation["held"].as_bool()),
        (Some("accept"), Some(false))
    );
}

/// Who names the wrong file is told so; who says what it is, or what it must come to, has it judged.
#[test]
fn a_file_that_is_neither_sip_nor_sdp_is_bad_usage() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [&b"\x7fELF\x02\x01\x01\0\0"[..], b"nothing of the kind\n", b"{\"x\": 1}", b""] {
        let input = file(&folder, "other", bytes);
        let run = z5(&["--json", "explain", &input]);
        assert_eq!((run.status, run.result()["failure"]["code"].as_str()), (2, Some("usage.input")));
        assert!(run.stderr.contains(&input), "{}", run.stderr);
        for meant in [&["--sip"][..], &["--datagram"], &["--expect", "drop"]] {
            let run = z5(&[&["explain", &*input][..], meant].concat());
            assert_eq!(run.status, 0, "{meant:?}: {}{}", run.stdout, run.stderr);
        }
    }
    // a slip in the first line is a fault of a message
    for line in [
        "invite sip:a@b sip/2.0\r\n\r\n",
        "\r\n\r\nSIP/2.0 200\r\n\r\n",
        "10:31 INVITE sip:a@b SIP/2.0\r\n\r\n",
    ] {
        assert_eq!(z5(&["explain", &file(&folder, "slip", line)]).status, 0, "{line}");
    }
}

#[test]
fn a_file_that_is_not_there_is_bad_usage() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    for input in [missing.to_str().unwrap(), folder.path().to_str().unwrap()] {
        let run = z5(&["--json", "explain", input]);
        assert_eq!((run.status, run.result()["failure"]["code"].as_str()), (2, Some("usage.input")));
        assert_eq!(run.result()["verdict"], "failed");
        assert!(run.stderr.contains("usage.input"));
    }
    assert_eq!(z5(&["explain"]).status, 2);
    assert_eq!(z5(&["explain", "--sip", "--sdp", "x"]).status, 2);
    assert_eq!(z5(&["--config", "x.toml", "explain", "x"]).status, 2);
}

#[test]
fn line_ends_of_a_text_file_are_named_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let plain = file(&folder, "plain", INVITE.replace("\r\n", "\n"));
    let run = z5(&["explain", &plain]);
    assert!(run.stdout.starts_with("refuse 400 Bad Request: every line ends in a bare LF"), "{}", run.stdout);
    assert!(run.stdout.contains("--fix-newlines"));
    let run = z5(&["explain", "--fix-newlines", &plain]);
    assert_eq!(run.stdout.lines().next(), Some("accept"), "{}", run.stdout);
}

#[test]
fn keys_and_passwords_are_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let text = format!(
        "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a:hunter2@h>;tag=1\r\n\
         To: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nAuthorization: Digest username=\"a\", realm=\"r\", nonce=\"n0nce\", \
         uri=\"sip:h\", response=\"{secret}\"\r\nContent-Length: 0\r\n\r\n"
    );
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{secret}\r\n"
    );
    for input in [file(&folder, "a", text), file(&folder, "b", sdp)] {
        for arguments in
            [&["explain", &*input][..], &["--json", "explain", &input], &["-vv", "explain", &input]]
        {
            let run = z5(arguments);
            let shown = run.stdout + &run.stderr;
            for word in [secret, "hunter2", "n0nce"] {
                assert!(!shown.contains(word), "{word} in {shown}");
            }
        }
    }
}
