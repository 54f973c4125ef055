//! What an explanation says, where it says it, and what it never says.

use std::time::Instant;

use super::*;
use crate::sdp::{
    Codec, CryptoSuite, DtlsIdentity, Fingerprint, FingerprintHash, MediaCapability, MediaKind, SdesKey,
    Security,
};

fn options() -> Options {
    let key = SdesKey::new(1, CryptoSuite::AesCm128HmacSha1_80, &[0x11; 30]).unwrap();
    let audio = MediaCapability {
        security: Security::SdesOptional(vec![key]),
        ..MediaCapability::new(MediaKind::Audio, 20_000, vec![Codec::pcmu(), Codec::telephone_event(101)])
    };
    Options {
        kind: None,
        framing: None,
        fix_newlines: false,
        capabilities: Capabilities { address: [127, 0, 0, 1].into(), media: vec![audio] },
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
    Instant::now()
}

fn told(text: &str) -> Explanation {
    explain(text.as_bytes(), &options(), now())
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n";

fn invite(extra: &str, body: &str) -> String {
    format!(
        "INVITE sip:bob:hunter2@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h:5060;branch=z9hG4bK1;rport\r\n\
         Max-Forwards: 70\r\nFrom: \"Alice\" <sip:alice@example.net>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: c1\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@h:5060>\r\n{extra}\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn offer(lines: &str) -> String {
    format!("{SDP}{lines}")
}

#[test]
fn a_good_invite_is_accepted_and_taken_apart() {
    let body = offer("m=audio 4000 RTP/AVP 0 18\r\na=x-own:1\r\n");
    let told = told(&invite("Supported: timer, 100rel\r\nSession-Expires: 1800;refresher=uac\r\n", &body));
    assert_eq!((told.judgement.verdict, told.kind), (Verdict::Accept, Kind::Sip));
    let message = &told.messages[0];
    assert!(message.user_agent.as_ref().unwrap().rings && message.faults.is_empty());
    let field = |name: &str| message.headers.iter().find(|field| field.name == name).unwrap();
    assert_eq!(
        (field("CSeq").line, &field("CSeq").typed[..]),
        (7, &[Typed::Cseq { number: 1, method: "INVITE".into() }][..])
    );
    assert_eq!(field("Supported").typed.len(), 2);
    assert_eq!(
        field("Session-Expires").typed,
        [Typed::SessionExpires { seconds: 1800, refresher: Some("uac".into()) }]
    );
    let Typed::Via { branch, rport, .. } = &field("Via").typed[0] else { panic!("a Via") };
    assert_eq!((branch.as_deref(), rport.as_deref()), (Some("z9hG4bK1"), Some("")));
    let line = &message.body.as_ref().unwrap().session.as_ref().unwrap().media[0];
    assert!(line.taken);
    assert_eq!((line.codecs[0].payload_type, line.codecs[0].encoding.as_str()), (0, "PCMU/8000"));
    assert_eq!((line.refused[0].format.as_str(), line.refused[0].why), ("18", "not a codec of ours"));
    assert_eq!(line.unknown_attributes, ["x-own"]);
}

#[test]
fn faults_have_their_header_and_place() {
    let text = invite(
        "Date: yesterday\r\nExpires: soon\r\nContact: <sip:a@h\r\n",
        &offer("m=audio 4000 RTP/AVP 0\r\n"),
    );
    let told = told(&text);
    assert_eq!((told.judgement.verdict, told.judgement.status), (Verdict::Refuse, Some(400)));
    let faults: Vec<_> =
        told.messages[0].faults.iter().map(|f| (f.header.clone().unwrap(), f.line)).collect();
    assert_eq!(faults, [("Expires".to_owned(), 10), ("Contact".to_owned(), 11)]);
    assert!(text[told.messages[0].faults[1].offset..].starts_with("Contact: <sip:a@h\r\n"));
    // a fault of structure stands on its line too
    let text = invite("this is no header\r\n", "");
    let fault = &explain(text.as_bytes(), &options(), now()).messages[0].faults[0];
    assert!(text[fault.offset..].starts_with("this is no header"));
    assert_eq!(fault.line, 9);
}

#[test]
fn what_hangs_on_a_call_or_on_the_method_leaves_the_verdict_alone() {
    for (method, to, status) in [("BYE", ";tag=9", 481), ("FROBNICATE", "", 405)] {
        let text = invite("", "")
            .replace("INVITE", method)
            .replace("bob@example.com>", &format!("bob@example.com>{to}"));
        let told = told(&text);
        assert_eq!(told.judgement.verdict, Verdict::Accept, "{method}");
        let says = told.messages[0].user_agent.as_ref().unwrap();
        assert_eq!((says.status, says.for_want_of_context), (Some(status), true), "{method}");
    }
}

#[test]
fn offers_that_come_to_nothing_are_refused_with_the_reasons() {
    for (body, status, words) in [
        (offer("m=audio 4000 RTP/AVP 18\r\n"), 488, "no common codec"),
        (offer("m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n"), 488, "DTLS"),
        ("v=0\r\nrubbish\r\n".to_owned(), 400, "cannot be read"),
    ] {
        let told = told(&invite("", &body));
        assert_eq!(told.judgement.status, Some(status), "{body}");
        assert!(told.judgement.reason.as_ref().unwrap().contains(words), "{:?}", told.judgement);
    }
    let told =
        told(&invite("Supported: timer\r\nSession-Expires: 10\r\n", &offer("m=audio 4000 RTP/AVP 0\r\n")));
    assert_eq!(told.judgement.status, Some(422), "{:?}", told.judgement);
}

#[test]
fn a_handshake_is_told_whether_this_side_has_a_certificate_or_not() {
    let fingerprint = vec!["AB"; 32].join(":");
    let lines = format!(
        "m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\na=fingerprint:md5 AA\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n"
    );
    let line = |told: &Explanation| {
        let session = told.messages[0].body.as_ref().unwrap().session.as_ref().unwrap();
        session.media[0].clone()
    };
    let without = told(&invite("", &offer(&lines)));
    let seen = line(&without);
    assert_eq!((without.judgement.status, seen.taken), (Some(488), false));
    assert!(seen.why.unwrap().contains("no certificate on this side"));
    let mut with = options();
    let certificate = Fingerprint::new(FingerprintHash::Sha256, &[1; 32]).unwrap();
    with.capabilities.media[0].dtls = Some(DtlsIdentity::new(certificate));
    let with = explain(invite("", &offer(&lines)).as_bytes(), &with, now());
    let seen = line(&with);
    assert_eq!((with.judgement.verdict, seen.taken), (Verdict::Accept, true));
    let handshake = seen.dtls.unwrap();
    assert_eq!((&handshake.hashes[..], handshake.setup.as_deref()), (&["sha-256"][..], Some("actpass")));
    assert_eq!((handshake.role, handshake.refused.len()), (Some("client"), 1));
}

#[test]
fn the_parts_of_a_body_are_told_and_the_session_among_them_judged() {
    let body = |formats: &str| {
        format!(
            "--b\r\nContent-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\n\r\n{}\
             --b\r\nContent-Type: application/pidf+xml\r\nContent-ID: <here@h>\r\n\
             Content-Disposition: by-reference;handling=optional\r\n\r\n<presence/>\r\n--b--\r\n",
            offer(&format!("m=audio 4000 RTP/AVP {formats}\r\n"))
        )
    };
    let plain = invite("", &body("0"));
    let text = plain.replace(
        "Content-Type: application/sdp\r\nContent-Length",
        "Content-Type: multipart/mixed;boundary=b\r\nContent-Length",
    );
    assert_ne!(plain, text, "{plain}");
    let taken = told(&text);
    assert_eq!(taken.judgement.verdict, Verdict::Accept, "{:?}", taken.judgement);
    let seen = taken.messages[0].body.as_ref().unwrap();
    let parts: Vec<_> =
        seen.parts.iter().map(|part| (part.media_type.as_str(), part.content_id.as_deref())).collect();
    assert_eq!(parts, [("application/sdp", None), ("application/pidf+xml", Some("here@h"))]);
    assert!(seen.session.as_ref().unwrap().media[0].taken);
    let refused = told(&text.replace("RTP/AVP 0\r\n", "RTP/AVP 4\r\n"));
    assert_eq!(refused.judgement.status, Some(488), "{:?}", refused.judgement);
}

#[test]
fn a_description_alone_is_explained_line_by_line() {
    let inline = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let text = offer(&format!(
        "m=audio 4000 RTP/SAVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=crypto:1 AEAD_AES_256_GCM inline:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\r\n\
         a=crypto:2 AES_CM_128_HMAC_SHA1_80 {inline}|2^20\r\na=sendonly\r\nm=video 4002 RTP/AVP 99\r\n"
    ));
    let told = told(&text);
    assert_eq!((told.kind, told.judgement.verdict), (Kind::Sdp, Verdict::Accept));
    let media = &told.session.as_ref().unwrap().media;
    assert_eq!(media[0].crypto, Some(Key { tag: 2, suite: "AES_CM_128_HMAC_SHA1_80" }));
    assert_eq!(media[0].refused_keys, ["the suite AEAD_AES_256_GCM is not switched on here"]);
    assert_eq!((media[0].direction, media[0].answered_direction), ("sendonly", Some("recvonly")));
    assert!(!media[1].taken && media[1].why.as_ref().unwrap().contains("video"));
    let broken =
        explain(b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nm=audio nine RTP/AVP 0\r\n", &options(), now());
    assert_eq!((broken.judgement.status, broken.session.unwrap().bad_line), (Some(400), Some(4)));
}

#[test]
fn secrets_are_in_no_explanation() {
    let secrets = [
        "hunter2",
        "c0ffee",
        "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        "opensesame",
        "deadbeef",
        "pw-of-ice",
        "bearer-x",
    ];
    let body = offer(
        "k=clear:opensesame\r\nm=audio 4000 RTP/SAVP 0\r\na=ice-pwd:pw-of-ice\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n",
    );
    let extra = "Authorization: Digest username=\"bob\", realm=\"r\", nonce=\"deadbeef\", uri=\"sip:bob:hunter2@h\", response=\"c0ffee\"\r\n\
        Proxy-Authorization: Basic opensesame\r\nAuthentication-Info: rspauth=\"c0ffee\"\r\nX-Token: bearer-x\r\n\
        Proxy-Authenticate: Digest realm=\"r\", nonce=\"deadbeef\"\r\n\
        Refer-To: <sips:eve:hunter2@h?Replaces=1>\r\nContact: sip:eve:hunter2@h\r\n";
    let text = invite(extra, &body);
    for secret in secrets {
        assert!(text.contains(secret), "{secret} is in the message");
    }
    let shown = format!("{:?}", told(&text));
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("***") && shown.contains("realm"));
}

#[test]
fn a_stream_is_explained_message_by_message() {
    let good = invite("", &offer("m=audio 4000 RTP/AVP 0\r\n"));
    let bad = good.replace("CSeq: 1 INVITE", "CSeq: 1 BYE");
    let told = told(&format!("{good}\r\n\r\n{bad}{good}"));
    assert_eq!((told.framing, told.keep_alives, told.messages.len()), (Some(Framing::Stream), 1, 3));
    let verdicts: Vec<_> = told.messages.iter().map(|message| message.judgement.verdict).collect();
    assert_eq!(verdicts, [Verdict::Accept, Verdict::Refuse, Verdict::Accept]);
    assert_eq!(
        (told.judgement.verdict, told.judgement.status),
        (Verdict::Refuse, Some(400)),
        "the worst of them"
    );
    assert_eq!(told.messages[1].offset, good.len() + 4);
    assert_eq!(told.messages[1].line, good.matches('\n').count() + 3);
}

#[test]
fn a_stream_that_cannot_be_cut_is_answered_and_closed() {
    let stream = Options { framing: Some(Framing::Stream), ..options() };
    let base = invite("", "");
    for (from, to, status) in [
        ("Content-Length: 0", "Content-Length: -1", 400),
        ("Content-Length: 0", "Content-Length: 0\r\nContent-Length: 1", 400),
        ("Content-Length: 0\r\n", "", 400),
        ("Content-Length: 0", "Content-Length: 99999999", 413),
        ("Call-ID: c1", &format!("Call-ID: {}", "c".repeat(9000)), 513),
    ] {
        let told = explain(base.replace(from, to).as_bytes(), &stream, now());
        assert_eq!(
            (told.judgement.verdict, told.judgement.status),
            (Verdict::Refuse, Some(status)),
            "{to:.40}"
        );
        assert!(told.messages[0].start.is_some());
    }
    let told =
        explain(base.replace("INVITE", "ACK").replace("Length: 0", "Length: x").as_bytes(), &stream, now());
    assert_eq!(told.judgement.verdict, Verdict::Drop, "an ACK is never answered");
    let told = explain(&base.as_bytes()[..60], &stream, now());
    assert!(told.judgement.reason.unwrap().contains("the stream ends before the message does"));
}

#[test]
fn a_text_file_says_what_it_is_and_can_be_read_all_the_same() {
    let text = invite("", &offer("m=audio 4000 RTP/AVP 0\r\n"));
    let plain = text.replace("\r\n", "\n");
    let told = told(&plain);
    assert_eq!((told.judgement.verdict, told.judgement.status), (Verdict::Refuse, Some(400)));
    assert!(told.judgement.reason.unwrap().contains("bare LF"));
    let fixed = explain(plain.as_bytes(), &Options { fix_newlines: true, ..options() }, now());
    assert_eq!(fixed.judgement.verdict, Verdict::Accept, "{:?}", fixed.judgement);
    assert!(fixed.notes[0].contains("bare LF"));
}

#[test]
fn nothing_and_rubbish_are_dropped_with_a_reason() {
    for bytes in [&b""[..], b"\r\n\r\n", b"hello", b"\0\xff\xfe", b"GET / HTTP/1.1\r\n\r\n"] {
        let told = explain(bytes, &options(), now());
        assert_eq!(told.judgement.verdict, Verdict::Drop);
        assert!(!told.judgement.reason.unwrap().is_empty());
    }
}
