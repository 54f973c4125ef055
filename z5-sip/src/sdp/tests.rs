//! Offer and answer between two ends, and against descriptions as they are met in the field.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::*;

mod dtls;
mod usual;
mod video;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ORIGIN: Origin = Origin { id: 7, version: 1 };

fn key(tag: u32, fill: u8) -> SdesKey {
    SdesKey::new(tag, CryptoSuite::AesCm128HmacSha1_80, &[fill; 30]).unwrap()
}

fn medium(kind: MediaKind, port: u16, codecs: Vec<Codec>) -> MediaCapability {
    MediaCapability::new(kind, port, codecs)
}

fn audio(port: u16) -> MediaCapability {
    medium(MediaKind::Audio, port, vec![Codec::pcmu(), Codec::pcma(), Codec::telephone_event(101)])
}

fn text(port: u16) -> MediaCapability {
    medium(MediaKind::Text, port, vec![Codec::text_red(100, 98), Codec::t140(98)])
}

fn caps(media: Vec<MediaCapability>) -> Capabilities {
    Capabilities { address: LOCAL, media }
}

fn parse(lines: &[&str]) -> SessionDescription {
    let mut text = String::from("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n");
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn text_of(description: &SessionDescription) -> String {
    String::from_utf8(description.to_bytes()).unwrap()
}

#[test]
fn two_ends_agree_on_audio_and_text() {
    let ours = caps(vec![audio(20_000), text(20_002)]);
    let theirs = caps(vec![text(30_002), audio(30_000)]);
    let offer = make_offer(&ours, ORIGIN);
    let received = SessionDescription::parse(&offer.to_bytes()).unwrap();
    let (description, answered) = answer(&received, &theirs, ORIGIN).unwrap();
    let back = SessionDescription::parse(&description.to_bytes()).unwrap();
    let accepted = accept_answer(&offer, &back, &ours).unwrap();

    assert!(answered.refused.is_empty() && accepted.refused.is_empty());
    let ours_audio = accepted.first(MediaKind::Audio).unwrap();
    assert_eq!(ours_audio.remote, SocketAddr::new(LOCAL, 30_000));
    assert_eq!(ours_audio.remote_rtcp, SocketAddr::new(LOCAL, 30_001));
    assert_eq!(ours_audio.primary().unwrap().codec.name, "PCMU");
    assert_eq!(ours_audio.codec("telephone-event").unwrap().send_payload_type, 101);
    let theirs_text = answered.first(MediaKind::Text).unwrap();
    assert_eq!((theirs_text.index, theirs_text.local_port), (1, 30_002));
    assert_eq!(theirs_text.codec("red").unwrap().codec.fmtp.as_deref(), Some("98/98/98"));
    assert_eq!(theirs_text.primary().unwrap().codec.name, "t140");
}

#[test]
fn the_answer_keeps_the_offered_numbers_and_order() {
    let offer = parse(&[
        "m=audio 4000 RTP/AVP 18 8 0 96",
        "a=rtpmap:96 telephone-event/8000",
        "a=fmtp:96 0-16",
        "m=text 4002 RTP/AVP 111 112",
        "a=rtpmap:111 t140/1000",
        "a=rtpmap:112 red/1000",
        "a=fmtp:112 111/111/111",
    ]);
    let (description, outcome) = answer(&offer, &caps(vec![audio(1000), text(1002)]), ORIGIN).unwrap();
    let printed = text_of(&description);
    assert!(printed.contains("m=audio 1000 RTP/AVP 8 0 96\r\n"), "{printed}");
    assert!(printed.contains("a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\n"), "{printed}");
    assert!(printed.contains("m=text 1002 RTP/AVP 111 112\r\n"), "{printed}");
    assert!(printed.contains("a=fmtp:112 111/111/111\r\n"), "{printed}");
    let audio = outcome.first(MediaKind::Audio).unwrap();
    assert_eq!(audio.primary().unwrap().codec.name, "PCMA");
    assert_eq!(audio.refused_codecs.len(), 1);
    assert_eq!(audio.refused_codecs[0].encoding.as_deref(), Some("G729/8000"));
    let text = outcome.first(MediaKind::Text).unwrap();
    assert_eq!(text.codec("t140").unwrap().receive_payload_type, 111);
}

#[test]
fn every_line_is_answered_in_its_place() {
    let offer = parse(&[
        "m=application 5000 UDP/BFCP *",
        "m=audio 4000 RTP/AVP 0",
        "m=video 0 RTP/AVP 99",
        "a=rtpmap:99 H264/90000",
        "m=audio 4010 RTP/AVP 0",
        "m=text 4020 UDP/TLS/RTP/SAVPF 98",
        "a=rtpmap:98 t140/1000",
    ]);
    let (description, outcome) = answer(&offer, &caps(vec![audio(1000), text(1002)]), ORIGIN).unwrap();
    let printed = text_of(&description);
    let lines: Vec<&str> = printed.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(lines[0], "m=application 0 UDP/BFCP *");
    assert_eq!(lines[1], "m=audio 1000 RTP/AVP 0");
    assert_eq!(lines[2], "m=video 0 RTP/AVP 99");
    assert_eq!(lines[3], "m=audio 0 RTP/AVP 0");
    assert_eq!(lines[4], "m=text 0 UDP/TLS/RTP/SAVPF 98");
    let why: Vec<&RefusedWhy> = outcome.refused.iter().map(|refused| &refused.why).collect();
    assert_eq!(*why[0], RefusedWhy::UnknownKind { token: "application".to_owned() });
    assert_eq!(*why[1], RefusedWhy::OfferedClosed);
    assert_eq!(*why[2], RefusedWhy::NotWanted { kind: MediaKind::Audio });
    assert_eq!(*why[3], RefusedWhy::Dtls { proto: "UDP/TLS/RTP/SAVPF".to_owned() });
}

#[test]
fn nothing_in_common_names_both_lists() {
    let offer = parse(&["m=audio 4000 RTP/AVP 18 101", "a=rtpmap:101 telephone-event/8000"]);
    let failure = answer(&offer, &caps(vec![audio(1000)]), ORIGIN).unwrap_err();
    let NegotiationFailure::NothingInCommon { refused } = failure else { panic!("{failure}") };
    assert_eq!(
        refused[0].why.to_string(),
        "no common codec: the far end has G729/8000, telephone-event/8000, we have PCMU/8000, PCMA/8000, telephone-event/8000"
    );
}

#[test]
fn directions_meet_in_the_middle() {
    use Direction::{Inactive, ReceiveOnly, SendOnly, SendReceive};
    for (offered, ours, expected) in [
        (SendReceive, SendReceive, SendReceive),
        (SendOnly, SendReceive, ReceiveOnly),
        (ReceiveOnly, SendReceive, SendOnly),
        (Inactive, SendReceive, Inactive),
        (SendOnly, SendOnly, Inactive),
        (SendReceive, SendOnly, SendOnly),
    ] {
        let offer = parse(&["m=audio 4000 RTP/AVP 0", &format!("a={}", offered.as_str())]);
        let mut medium = audio(1000);
        medium.direction = ours;
        let (description, outcome) = answer(&offer, &caps(vec![medium]), ORIGIN).unwrap();
        assert_eq!(outcome.media[0].direction, expected);
        assert!(text_of(&description).ends_with(&format!("a={}\r\n", expected.as_str())));
    }
}

#[test]
fn a_session_level_direction_holds_unless_the_line_has_its_own() {
    let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\na=sendonly\r\n\
                m=audio 4000 RTP/AVP 0\r\nm=text 4002 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\na=sendrecv\r\n";
    let offer = SessionDescription::parse(text.as_bytes()).unwrap();
    let (_, outcome) = answer(&offer, &caps(vec![audio(1000), text_only()]), ORIGIN).unwrap();
    assert_eq!(outcome.media[0].direction, Direction::ReceiveOnly);
    assert_eq!(outcome.media[1].direction, Direction::SendReceive);
}

fn text_only() -> MediaCapability {
    medium(MediaKind::Text, 1002, vec![Codec::t140(98)])
}

#[test]
fn the_unspecified_address_is_an_old_hold() {
    let offer = parse(&["m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0"]);
    let (_, outcome) = answer(&offer, &caps(vec![audio(1000)]), ORIGIN).unwrap();
    assert_eq!(outcome.media[0].direction, Direction::ReceiveOnly);
}

#[test]
fn best_effort_keys_are_taken_or_left() {
    let mut ours = audio(1000);
    ours.security = Security::SdesOptional(vec![key(1, 1)]);
    let ours = caps(vec![ours]);
    let offer = make_offer(&ours, ORIGIN);
    assert!(text_of(&offer).contains("RTP/AVP 0 8 101\r\n"));

    let mut theirs = audio(2000);
    theirs.security = Security::SdesRequired(vec![key(5, 2)]);
    let (description, answered) = answer(&offer, &caps(vec![theirs]), ORIGIN).unwrap();
    let accepted = accept_answer(&offer, &description, &ours).unwrap();
    let (far, near) =
        (answered.media[0].crypto.as_ref().unwrap(), accepted.media[0].crypto.as_ref().unwrap());
    assert_eq!(far.local.key_and_salt(), near.remote.key_and_salt());
    assert_eq!(near.local.key_and_salt(), far.remote.key_and_salt());
    assert_eq!(far.local.tag(), 1, "the answer repeats the offered tag");

    let (description, answered) = answer(&offer, &caps(vec![audio(2000)]), ORIGIN).unwrap();
    assert!(answered.media[0].crypto.is_none());
    assert!(accept_answer(&offer, &description, &ours).unwrap().media[0].crypto.is_none());
}

#[test]
fn required_encryption_is_never_lowered() {
    let mut ours = audio(1000);
    ours.security = Security::SdesRequired(vec![key(1, 1)]);
    let ours = caps(vec![ours]);
    let offer = make_offer(&ours, ORIGIN);
    assert!(text_of(&offer).contains("RTP/SAVP"));
    let failure = answer(&offer, &caps(vec![audio(2000)]), ORIGIN).unwrap_err();
    assert!(failure.to_string().contains("demands encryption"), "{failure}");

    let plain = parse(&["m=audio 4000 RTP/AVP 0 8 101", "a=rtpmap:101 telephone-event/8000"]);
    assert!(accept_answer(&offer, &plain, &ours).unwrap_err().to_string().contains("encryption is required"));
    assert!(answer(&plain, &ours, ORIGIN).is_err());

    let wrong_tag = parse(&["m=audio 4000 RTP/SAVP 0", &format!("a=crypto:{}", key(9, 3).to_attribute())]);
    let failure = accept_answer(&offer, &wrong_tag, &ours).unwrap_err();
    assert!(failure.to_string().contains("does not match"), "{failure}");
}

#[test]
fn a_key_is_never_shown() {
    let key = key(1, 0xAB);
    let shown = format!("{key:?}");
    assert!(shown.contains("[redacted]") && !shown.contains("171"), "{shown}");
    let mut media = audio(1);
    media.security = Security::SdesRequired(vec![key.clone()]);
    let secret = &key.to_attribute()[34..60];
    assert!(!format!("{media:?}").contains(secret));
    let offer = make_offer(&caps(vec![media]), ORIGIN);
    assert!(text_of(&offer).contains(secret), "the wire has it");
    assert!(!format!("{offer:?}").contains(secret), "and no log");
}

#[test]
fn crypto_lines_are_read_or_refused_exactly() {
    let inline = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let ok = SdesKey::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 {inline}|2^20 WSH=128")).unwrap();
    assert_eq!((ok.tag(), ok.key_and_salt().len()), (1, 30));
    for (value, expected) in [
        (format!("x AES_CM_128_HMAC_SHA1_80 {inline}"), CryptoError::Tag),
        (
            format!("1 F8_128_HMAC_SHA1_80 {inline}"),
            CryptoError::Suite { name: "F8_128_HMAC_SHA1_80".to_owned() },
        ),
        ("1 AES_CM_128_HMAC_SHA1_80 uri:x".to_owned(), CryptoError::Method),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:???".to_owned(), CryptoError::Encoding),
        (
            "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA".to_owned(),
            CryptoError::KeyLength { expected: 30, found: 3 },
        ),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {inline}|2^20|1:4"), CryptoError::KeyIdentifier),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {inline};{inline}"), CryptoError::SeveralKeys),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 {inline} UNENCRYPTED_SRTP"),
            CryptoError::SessionParameter { name: "UNENCRYPTED_SRTP".to_owned() },
        ),
    ] {
        assert_eq!(SdesKey::parse(&value).unwrap_err(), expected, "{value}");
    }
}

#[test]
fn an_answer_that_renumbers_is_taken_by_name() {
    let ours = caps(vec![audio(1000)]);
    let offer = make_offer(&ours, ORIGIN);
    let theirs = parse(&["m=audio 4000 RTP/AVP 0 120", "a=rtpmap:120 telephone-event/8000"]);
    let outcome = accept_answer(&offer, &theirs, &ours).unwrap();
    let event = outcome.media[0].codec("telephone-event").unwrap();
    assert_eq!((event.send_payload_type, event.receive_payload_type), (120, 101));
}

#[test]
fn an_answer_must_have_the_lines_of_the_offer() {
    let ours = caps(vec![audio(1000), text(1002)]);
    let offer = make_offer(&ours, ORIGIN);
    for lines in [
        &["m=audio 4000 RTP/AVP 0"][..],
        &["m=text 4000 RTP/AVP 98", "m=audio 4002 RTP/AVP 0"],
        &["m=audio 4000 RTP/AVP 0", "m=text 0 RTP/AVP 98", "m=text 0 RTP/AVP 98"],
    ] {
        let failure = accept_answer(&offer, &parse(lines), &ours).unwrap_err();
        assert!(matches!(failure, NegotiationFailure::LinesDiffer { offered: 2, .. }), "{failure}");
    }
    let partly = parse(&["m=audio 4000 RTP/AVP 0", "m=text 0 RTP/AVP 98"]);
    let outcome = accept_answer(&offer, &partly, &ours).unwrap();
    assert_eq!(outcome.refused[0].why, RefusedWhy::RefusedByPeer);
}

#[test]
fn rtcp_follows_the_attribute_or_shares_the_port() {
    let offer = parse(&["m=audio 4000 RTP/AVP 0", "a=rtcp:53020 IN IP4 192.0.2.77"]);
    let (_, outcome) = answer(&offer, &caps(vec![audio(1000)]), ORIGIN).unwrap();
    assert_eq!(outcome.media[0].remote_rtcp, "192.0.2.77:53020".parse().unwrap());

    let offer = parse(&["m=audio 4000 RTP/AVPF 0", "a=rtcp-mux"]);
    let mut medium = audio(1000);
    medium.rtcp_port = Some(1001);
    let (description, outcome) = answer(&offer, &caps(vec![medium.clone()]), ORIGIN).unwrap();
    assert!(outcome.media[0].rtcp_mux);
    assert_eq!(outcome.media[0].remote_rtcp, outcome.media[0].remote);
    assert!(text_of(&description).contains("m=audio 1000 RTP/AVPF 0\r\n"));
    assert!(text_of(&description).contains("a=rtcp-mux\r\n"));

    medium.rtcp_port = Some(1777);
    assert!(text_of(&make_offer(&caps(vec![medium]), ORIGIN)).contains("a=rtcp:1777\r\n"));
}

#[test]
fn an_address_that_cannot_be_used_refuses_its_line_only() {
    let offer = parse(&[
        "m=audio 4000 RTP/AVP 0",
        "c=IN IP4 media.example.com",
        "m=text 4002 RTP/AVP 98",
        "a=rtpmap:98 t140/1000",
    ]);
    let (_, outcome) = answer(&offer, &caps(vec![audio(1000), text(1002)]), ORIGIN).unwrap();
    assert_eq!(outcome.refused[0].why, RefusedWhy::Address { address: "media.example.com".to_owned() });
    assert_eq!(outcome.media[0].kind, MediaKind::Text);
}

#[test]
fn ipv6_is_written_and_read() {
    let ours = Capabilities { address: IpAddr::V6(Ipv6Addr::LOCALHOST), media: vec![audio(1000)] };
    let offer = make_offer(&ours, ORIGIN);
    assert!(text_of(&offer).contains("c=IN IP6 ::1\r\n"));
    let (_, outcome) = answer(&offer, &ours, ORIGIN).unwrap();
    assert_eq!(outcome.media[0].remote, "[::1]:1000".parse().unwrap());
    let mixed = answer(&offer, &caps(vec![audio(1000)]), ORIGIN).unwrap_err();
    assert!(mixed.to_string().contains("::1"), "{mixed}");
}

#[test]
fn redundancy_needs_its_primary() {
    let offer = parse(&["m=text 4002 RTP/AVP 100 98", "a=rtpmap:98 t140/1000", "a=rtpmap:100 red/1000"]);
    let (_, outcome) = answer(&offer, &caps(vec![text(1002)]), ORIGIN).unwrap();
    assert!(outcome.media[0].codec("red").is_none());
    assert_eq!(outcome.media[0].refused_codecs[0].format, "100");
}

#[test]
fn h264_needs_the_same_packetization_mode() {
    let h264 = |mode| {
        let fmtp = format!("profile-level-id=42E01F;packetization-mode={mode}");
        Codec::new("H264", 90_000, 99).with_fmtp(&fmtp)
    };
    let offer = parse(&[
        "m=video 4002 RTP/AVP 99 98",
        "a=rtpmap:99 H264/90000",
        "a=fmtp:99 profile-level-id=42e015; packetization-mode=1",
        "a=rtpmap:98 H264/90000",
    ]);
    let one = answer(&offer, &caps(vec![medium(MediaKind::Video, 1000, vec![h264(1)])]), ORIGIN).unwrap().1;
    assert_eq!(one.media[0].codecs[0].send_payload_type, 99);
    let zero = answer(&offer, &caps(vec![medium(MediaKind::Video, 1000, vec![h264(0)])]), ORIGIN).unwrap().1;
    assert_eq!(zero.media[0].codecs[0].send_payload_type, 98);
}

#[test]
fn latin1_does_not_fail_a_call() {
    let bytes = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=Caf\xe9\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    let offer = SessionDescription::parse(bytes).unwrap();
    assert_eq!(offer.session().session_name, "Café");
}

#[test]
fn a_broken_description_names_its_line() {
    let error =
        SessionDescription::parse(b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nm=audio nine RTP/AVP 0\r\n")
            .unwrap_err();
    assert_eq!(error.line, Some(4));
    assert!(SessionDescription::parse(b"").is_err());
}

#[test]
fn a_summary_shows_what_is_offered() {
    let offer = parse(&["m=audio 4000 RTP/SAVP 0 9", "a=crypto:1 x", "a=sendonly", "m=image 0 udptl t38"]);
    let summary = offer.summary();
    assert_eq!(summary.to_string(), "audio (PCMU/8000 G722/8000), other (t38)");
    assert!(summary.media[0].encrypted && !summary.media[0].closed && summary.media[1].closed);
    assert_eq!(summary.media[0].direction, Direction::SendOnly);
}

#[test]
fn a_new_offer_keeps_every_line_in_its_place() {
    let first = parse(&[
        "m=text 4002 RTP/AVP 111",
        "a=rtpmap:111 t140/1000",
        "m=video 4010 RTP/AVP 99",
        "a=rtpmap:99 H264/90000",
        "m=audio 4000 RTP/AVP 8 96",
        "a=rtpmap:96 telephone-event/8000",
    ]);
    let ours = caps(vec![audio(1000), text(1002)]);
    let (agreed, negotiated) = answer(&first, &ours, ORIGIN).unwrap();
    let mut held = ours.clone();
    held.media[0].direction = Direction::SendOnly;
    let offer = reoffer(&held, ORIGIN, &agreed, &negotiated);
    let printed = text_of(&offer);
    let lines: Vec<&str> = printed.lines().filter(|line| line.starts_with("m=")).collect();
    // PCMU had no number before and 0 is free; t140 keeps 111, its redundancy the number that is ours.
    assert_eq!(lines, ["m=text 1002 RTP/AVP 100 111", "m=video 0 RTP/AVP 99", "m=audio 1000 RTP/AVP 0 8 96"]);
    assert!(printed.contains("a=fmtp:100 111/111/111\r\n"), "{printed}");
    assert!(printed.ends_with("a=sendonly\r\n"));
}

#[test]
fn a_line_that_was_refused_is_used_again_when_its_medium_is_wanted() {
    let first = parse(&[
        "m=text 4002 RTP/AVP 111",
        "a=rtpmap:111 t140/1000",
        "m=audio 0 RTP/AVP 8",
        "m=audio 4000 RTP/AVP 8",
    ]);
    let (agreed, negotiated) = answer(&first, &caps(vec![audio(1000)]), ORIGIN).unwrap();
    assert_eq!(negotiated.media.len(), 1);
    let offer = reoffer(&caps(vec![audio(1000), text(1002)]), ORIGIN, &agreed, &negotiated);
    let printed = text_of(&offer);
    let lines: Vec<&str> = printed.lines().filter(|line| line.starts_with("m=")).collect();
    // The closed line of sound does not take the medium of the one that flows.
    assert!(lines[0].starts_with("m=text 1002 RTP/AVP "), "{lines:?}");
    assert!(lines[1].starts_with("m=audio 0 ") && lines[2].starts_with("m=audio 1000 "), "{lines:?}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn marks_hold_where_both_sides_write_them() {
    let marks = Marks { reduced_size: true, extended_reports: true, text_mixer: false };
    let ours = caps(vec![MediaCapability { marks, ..audio(1000) }]);
    let offer = parse(&["m=audio 4000 RTP/AVP 0", "a=rtcp-rsize", "a=rtt-mixer"]);
    let (description, outcome) = answer(&offer, &ours, ORIGIN).unwrap();
    assert_eq!(outcome.media[0].marks, Marks { reduced_size: true, ..Marks::default() });
    let text = text_of(&description);
    assert!(
        text.contains("a=rtcp-rsize\r\n") && !text.contains("rtcp-xr") && !text.contains("rtt-mixer"),
        "{text}"
    );
    let offered = text_of(&make_offer(&ours, ORIGIN));
    assert!(offered.contains("a=rtcp-xr:rcvr-rtt=all voip-metrics\r\n"), "{offered}");
}
