//! Video, feedback, shared ports, bandwidth, suites and profiles: what an offer says, what an answer takes, and what is
//! refused with which reason.

use super::*;

fn h264(port: u16) -> MediaCapability {
    MediaCapability {
        feedback: Feedback::ALL.to_vec(),
        feedback_profile: true,
        rtcp_mux: true,
        bandwidth_bps: Some(512_000),
        ..medium(MediaKind::Video, port, vec![Codec::h264(97, 1, 31), Codec::h264(96, 0, 31)])
    }
}

/// A key of each suite, tags from 1.
fn all_suites() -> Vec<SdesKey> {
    let keys = CryptoSuite::ALL.into_iter().zip(1..);
    keys.map(|(suite, tag)| SdesKey::new(tag, suite, &vec![tag as u8; suite.key_and_salt_len()]).unwrap())
        .collect()
}

#[test]
fn a_video_offer_says_everything_that_its_line_can_do() {
    let printed = text_of(&make_offer(&caps(vec![h264(4000)]), ORIGIN));
    let line = printed.split("m=").nth(1).unwrap();
    assert_eq!(
        line,
        "video 4000 RTP/AVPF 97 96\r\nb=AS:512\r\nb=TIAS:512000\r\n\
         a=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42E01F;packetization-mode=1\r\n\
         a=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=42E01F;packetization-mode=0\r\n\
         a=rtcp-fb:* nack\r\na=rtcp-fb:* nack pli\r\na=rtcp-fb:* ccm fir\r\na=rtcp-fb:* ccm tmmbr\r\n\
         a=rtcp-mux\r\na=sendrecv\r\n"
    );
}

#[test]
fn the_profile_of_an_offer_follows_security_and_feedback() {
    for (secure, profile, expected) in [
        (false, false, "RTP/AVP"),
        (false, true, "RTP/AVPF"),
        (true, false, "RTP/SAVP"),
        (true, true, "RTP/SAVPF"),
    ] {
        let mut line = h264(4000);
        line.feedback_profile = profile;
        if secure {
            line.security = Security::SdesRequired(vec![key(1, 1)]);
        }
        let ours = caps(vec![line]);
        let offer = make_offer(&ours, ORIGIN);
        assert!(text_of(&offer).contains(&format!("m=video 4000 {expected} ")), "{expected}");
        let mut theirs = h264(5000);
        theirs.security = ours.media[0].security.clone();
        let (answer, _) = answer(&offer, &caps(vec![theirs]), ORIGIN).unwrap();
        assert!(
            text_of(&answer).contains(&format!("m=video 5000 {expected} ")),
            "the offered token comes back"
        );
    }
}

#[test]
fn two_ends_agree_on_video_with_feedback_one_port_and_a_bit_rate() {
    let ours = caps(vec![h264(4000)]);
    let mut far = h264(5000);
    far.bandwidth_bps = Some(1_500_000);
    far.feedback = vec![Feedback::PictureLoss, Feedback::FullIntra];
    let offer = make_offer(&ours, ORIGIN);
    let (description, answered) = answer(&offer, &caps(vec![far]), ORIGIN).unwrap();
    let accepted = accept_answer(&offer, &description, &ours).unwrap();
    for (media, bandwidth) in [(&answered.media[0], 512_000), (&accepted.media[0], 1_500_000)] {
        assert!(media.rtcp_mux && media.remote_rtcp == media.remote);
        assert_eq!(media.feedback, [Feedback::PictureLoss, Feedback::FullIntra]);
        assert_eq!(media.bandwidth_bps, Some(bandwidth));
        let modes: Vec<_> = media.codecs.iter().map(|codec| codec.codec.fmtp.clone().unwrap()).collect();
        assert!(modes[0].contains("packetization-mode=1") && modes[1].contains("packetization-mode=0"));
    }
    let printed = text_of(&description);
    assert!(printed.contains("a=rtcp-fb:* nack pli\r\na=rtcp-fb:* ccm fir\r\na=rtcp-mux\r\n"), "{printed}");
    assert!(!printed.contains("tmmbr"));
}

#[test]
fn an_answer_without_rtcp_mux_falls_back_to_two_ports() {
    let mut ours = audio(1000);
    (ours.rtcp_mux, ours.rtcp_port) = (true, Some(1777));
    let ours = caps(vec![ours]);
    let offer = make_offer(&ours, ORIGIN);
    assert!(
        text_of(&offer).contains("a=rtcp-mux\r\na=rtcp:1777\r\n"),
        "the port for a far end that does not share"
    );
    let two = parse(&["m=audio 4000 RTP/AVP 0", "a=rtcp:4100"]);
    let media = &accept_answer(&offer, &two, &ours).unwrap().media[0];
    assert!(!media.rtcp_mux && media.remote_rtcp.port() == 4100);
    // an answer cannot bring in what was not offered
    let plain = caps(vec![audio(1000)]);
    let shared = parse(&["m=audio 4000 RTP/AVP 0", "a=rtcp-mux"]);
    let media = &accept_answer(&make_offer(&plain, ORIGIN), &shared, &plain).unwrap().media[0];
    assert!(!media.rtcp_mux && media.remote_rtcp.port() == 4001);
}

#[test]
fn a_new_offer_keeps_what_the_line_shares_and_both_packetization_modes() {
    let first = parse(&[
        "m=video 4000 RTP/AVPF 120 121",
        "a=rtpmap:120 H264/90000",
        "a=fmtp:120 profile-level-id=42E01F",
        "a=rtpmap:121 H264/90000",
        "a=fmtp:121 profile-level-id=42E01F;packetization-mode=1",
        "a=rtcp-mux",
    ]);
    let mut ours = h264(1000);
    ours.rtcp_mux = false;
    let ours = caps(vec![ours]);
    let (agreed, negotiated) = answer(&first, &ours, ORIGIN).unwrap();
    let printed = text_of(&reoffer(&ours, ORIGIN, &agreed, &negotiated));
    assert!(printed.contains("m=video 1000 RTP/AVPF 121 120\r\n"), "{printed}");
    assert!(printed.contains("a=fmtp:121 profile-level-id=42E01F;packetization-mode=1\r\n"), "{printed}");
    assert!(printed.contains("a=rtcp-mux\r\n"), "{printed}");
}

#[test]
fn feedback_is_answered_for_the_payloads_that_are_taken() {
    let offer = parse(&[
        "m=video 4000 RTP/AVP 96 99",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:99 H264/90000",
        "a=fmtp:99 profile-level-id=42E00C;packetization-mode=1",
        "a=rtcp-fb:96 nack pli",
        "a=rtcp-fb:99 ccm fir",
        "a=rtcp-fb:99 ccm tmmbr smaxpr=120",
        "a=rtcp-fb:99 goog-remb",
        "a=rtcp-fb:* nack",
    ]);
    let (description, outcome) = answer(&offer, &caps(vec![h264(1000)]), ORIGIN).unwrap();
    assert_eq!(outcome.media[0].feedback, [Feedback::FullIntra, Feedback::BitRate, Feedback::Nack]);
    let printed = text_of(&description);
    assert!(
        printed.contains("a=rtcp-fb:99 ccm fir\r\na=rtcp-fb:99 ccm tmmbr\r\na=rtcp-fb:* nack\r\n"),
        "{printed}"
    );
    assert!(!printed.contains("rtcp-fb:96") && !printed.contains("goog-remb"), "{printed}");
    assert!(printed.contains("a=fmtp:99 profile-level-id=42E00C;packetization-mode=1\r\n"), "{printed}");
    assert_eq!(outcome.media[0].refused_codecs[0].why, "not a codec of ours");
}

#[test]
fn every_refused_payload_has_its_own_reason() {
    let offer = parse(&[
        "m=video 4000 RTP/AVP 34 97 98 99",
        "a=rtpmap:97 H264/90000",
        "a=fmtp:97 profile-level-id=64001F;packetization-mode=1",
        "a=rtpmap:98 H264/90000",
        "a=fmtp:98 profile-level-id=42E01F",
        "a=rtpmap:99 H264/48000",
    ]);
    let line = medium(MediaKind::Video, 1000, vec![Codec::h264(97, 1, 31)]);
    let NegotiationFailure::NothingInCommon { refused } =
        answer(&offer, &caps(vec![line]), ORIGIN).unwrap_err()
    else {
        panic!("nothing is in common")
    };
    let why: Vec<_> = refused[0].codecs.iter().map(|codec| (codec.format.as_str(), codec.why)).collect();
    assert_eq!(
        why,
        [
            ("34", "not a codec of ours"),
            ("97", "H.264 of a profile that is not ours"),
            ("98", "H.264 in a packetization mode that is not ours"),
            ("99", "a codec of ours, but at another clock rate or number of channels"),
        ]
    );
}

#[test]
fn a_line_keyed_by_dtls_is_refused_with_that_reason_and_its_own_token() {
    for (proto, attribute) in [
        ("UDP/TLS/RTP/SAVPF", "a=setup:actpass"),
        ("UDP/TLS/RTP/SAVP", "a=setup:actpass"),
        ("RTP/SAVPF", "a=fingerprint:sha-256 AA:BB"),
        ("RTP/SAVP", "a=fingerprint:sha-256 AA:BB"),
    ] {
        let offer =
            parse(&["m=audio 4000 RTP/AVP 0", &format!("m=audio 4002 {proto} 0"), attribute, "a=rtcp-mux"]);
        let ours = caps(vec![audio(1000), audio(1002)]);
        let (description, outcome) = answer(&offer, &ours, ORIGIN).unwrap();
        assert_eq!(outcome.refused[0].why, RefusedWhy::Dtls { proto: proto.to_owned() });
        assert!(outcome.refused[0].why.to_string().contains("DTLS"), "{}", outcome.refused[0].why);
        assert!(text_of(&description).contains(&format!("m=audio 0 {proto} 0\r\n")));
        assert_eq!(offer.summary().media[1].unusable, None, "someone with a certificate can take it");
    }
}

#[test]
fn each_suite_is_offered_and_agreed_on_under_its_tag() {
    let mut ours = audio(1000);
    ours.security = Security::SdesRequired(all_suites());
    let ours = caps(vec![ours]);
    let offer = make_offer(&ours, ORIGIN);
    for (tag, suite) in (1..).zip(CryptoSuite::ALL) {
        assert!(text_of(&offer).contains(&format!("a=crypto:{tag} {} inline:", suite.as_str())));
        let mut far = audio(2000);
        let secret = vec![0x77; suite.key_and_salt_len()];
        far.security = Security::SdesRequired(vec![SdesKey::new(1, suite, &secret).unwrap()]);
        let (description, answered) = answer(&offer, &caps(vec![far]), ORIGIN).unwrap();
        let crypto = answered.media[0].crypto.as_ref().unwrap();
        assert_eq!((crypto.suite, crypto.local.tag()), (suite, tag));
        assert_eq!(
            answered.media[0].refused_keys.len(),
            tag as usize - 1,
            "the keys before it, each with a reason"
        );
        let accepted = accept_answer(&offer, &description, &ours).unwrap();
        assert_eq!(accepted.media[0].crypto.as_ref().unwrap().remote.key_and_salt(), secret);
    }
}

#[test]
fn lifetimes_are_read_and_key_identifiers_refused() {
    let inline = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let read = |rest: &str| SdesKey::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 {inline}{rest}"));
    for fine in ["", "|2^20", "|2^48", "|1048576", "|2^31 WSH=64"] {
        assert!(read(fine).is_ok(), "{fine}");
    }
    for bad in ["|2^49", "|0", "|2^", "|2^x", "|", "|20s", "|2^20|2^20"] {
        assert_eq!(read(bad).unwrap_err(), CryptoError::Lifetime, "{bad}");
    }
    for mki in ["|1:4", "|2^20|1:1", "|2^20|99:128"] {
        assert_eq!(read(mki).unwrap_err(), CryptoError::KeyIdentifier, "{mki}");
    }
    // the next line without one is taken
    let with_mki = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {inline}|2^20|1:4");
    let without = format!("a=crypto:2 AES_CM_128_HMAC_SHA1_80 {inline}|2^20");
    let offer = parse(&["m=audio 4000 RTP/SAVP 0", &with_mki, &without]);
    let mut ours = audio(1000);
    ours.security = Security::SdesOptional(vec![key(1, 1)]);
    let outcome = answer(&offer, &caps(vec![ours]), ORIGIN).unwrap().1;
    assert_eq!(outcome.media[0].crypto.as_ref().unwrap().local.tag(), 2);
    assert_eq!(outcome.media[0].refused_keys, [CryptoError::KeyIdentifier]);
}

#[test]
fn holds_of_every_kind_are_seen() {
    for (lines, expected) in [
        (&["a=sendonly"][..], Direction::ReceiveOnly),
        (&["a=inactive"], Direction::Inactive),
        (&["a=recvonly"], Direction::SendOnly),
        (&["c=IN IP4 0.0.0.0"], Direction::ReceiveOnly),
        (&["c=IN IP4 0.0.0.0", "a=sendonly"], Direction::ReceiveOnly),
        (&["c=IN IP4 0.0.0.0", "a=inactive"], Direction::Inactive),
    ] {
        let mut all = vec!["m=audio 4000 RTP/AVP 0"];
        all.extend(lines);
        let (_, outcome) = answer(&parse(&all), &caps(vec![audio(1000)]), ORIGIN).unwrap();
        assert_eq!(outcome.media[0].direction, expected, "{lines:?}");
    }
}

#[test]
fn a_bit_rate_is_read_from_the_line_or_the_session() {
    let rate = |lines: &[&str]| parse(lines).summary().media[0].bandwidth_bps;
    assert_eq!(rate(&["m=audio 4000 RTP/AVP 0"]), None);
    assert_eq!(rate(&["m=audio 4000 RTP/AVP 0", "b=AS:64"]), Some(64_000));
    assert_eq!(rate(&["m=audio 4000 RTP/AVP 0", "b=AS:80", "b=TIAS:64000"]), Some(64_000));
    assert_eq!(rate(&["m=audio 4000 RTP/AVP 0", "b=CT:80"]), None);
    let session = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nb=AS:512\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    let offer = SessionDescription::parse(session.as_bytes()).unwrap();
    assert_eq!(offer.summary().media[0].bandwidth_bps, Some(512_000));
}

#[test]
fn a_summary_says_what_no_capabilities_could_take() {
    let offer = parse(&[
        "m=audio 4000 RTP/AVP 0",
        "a=rtcp-mux",
        "a=rtcp-fb:* nack pli",
        "m=application 5000 UDP/BFCP *",
        "m=audio 0 RTP/AVP 0",
        "m=text 4002 TCP/RTP/AVP 98",
        "m=video 4004 RTP/AVP 99",
        "c=IN IP4 224.1.2.3/127",
    ]);
    let media = offer.summary().media;
    assert!(media[0].unusable.is_none() && media[0].rtcp_mux);
    assert_eq!(media[0].feedback, [Feedback::PictureLoss]);
    let why: Vec<_> = media[1..].iter().map(|line| line.unusable.clone().unwrap()).collect();
    assert_eq!(
        why,
        [
            RefusedWhy::UnknownKind { token: "application".to_owned() },
            RefusedWhy::OfferedClosed,
            RefusedWhy::Transport { proto: "TCP/RTP/AVP".to_owned() },
            RefusedWhy::Address { address: "224.1.2.3/127".to_owned() },
        ]
    );
}
