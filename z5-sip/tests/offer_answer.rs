//! Properties of offer and answer (RFC 3264 section 6) over descriptions made at random: lines keep their number and
//! order, an answer says nothing that was not offered, offered numbers stay, and parsing loses nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail their test")]

use proptest::prelude::*;
use z5_sip::sdp::{
    Capabilities, Codec, CryptoSuite, Feedback, MediaCapability, MediaKind, NegotiationFailure, Origin,
    SdesKey, Security, SessionDescription, accept_answer, answer, make_offer, reoffer,
};

const ORIGIN: Origin = Origin { id: 1, version: 1 };
const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n";

/// One m-line as it may stand in an offer, known or not.
fn line() -> impl Strategy<Value = String> {
    let kinds = prop::sample::select(vec!["audio", "video", "text", "application", "image"]);
    let protos = prop::sample::select(vec![
        "RTP/AVP",
        "RTP/AVPF",
        "RTP/SAVP",
        "RTP/SAVPF",
        "UDP/TLS/RTP/SAVPF",
        "udptl",
    ]);
    let ports = prop_oneof![1 => Just(0_u16), 6 => 1024_u16..65_500];
    let encodings = prop::sample::select(vec![
        "PCMU/8000",
        "PCMA/8000",
        "opus/48000/2",
        "telephone-event/8000",
        "H264/90000",
        "VP8/90000",
        "t140/1000",
        "red/1000",
        "junk",
    ]);
    let formats = prop::collection::vec((96_u8..127, encodings), 0..5);
    let statics = prop::sample::subsequence(vec!["0", "8", "9", "18"], 0..4);
    let attributes = prop::sample::subsequence(
        vec![
            "a=sendonly",
            "a=inactive",
            "a=rtcp-mux",
            "a=rtcp:4999",
            "a=rtcp-fb:* nack pli",
            "a=rtcp-fb:* ccm fir",
            "a=ptime:20",
            "a=fingerprint:sha-256 AA",
            "a=x-unknown:1",
            "a=mid:0",
            "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20",
            "a=crypto:8 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|1:4",
        ],
        0..12,
    );
    (kinds, ports, protos, statics, formats, attributes).prop_map(
        |(kind, port, proto, statics, formats, attributes)| {
            let mut numbers: Vec<String> = statics.iter().map(ToString::to_string).collect();
            numbers.extend(formats.iter().map(|(number, _)| number.to_string()));
            if numbers.is_empty() {
                numbers.push("0".to_owned());
            }
            let mut text = format!("m={kind} {port} {proto} {}\r\n", numbers.join(" "));
            for (number, encoding) in formats {
                text.push_str(&format!("a=rtpmap:{number} {encoding}\r\n"));
                if encoding.starts_with("H264") {
                    text.push_str(&format!(
                        "a=fmtp:{number} profile-level-id=42E01F;packetization-mode={}\r\n",
                        number % 2
                    ));
                }
            }
            for attribute in attributes {
                text.push_str(attribute);
                text.push_str("\r\n");
            }
            text
        },
    )
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    let medium = |kind, codecs: Vec<Codec>| {
        (1024_u16..65_000, any::<bool>(), any::<bool>(), 0..3_u8).prop_map(
            move |(port, mux, profile, security)| {
                let keys = || vec![SdesKey::new(1, CryptoSuite::AesCm128HmacSha1_80, &[1; 30]).unwrap()];
                MediaCapability {
                    rtcp_mux: mux,
                    feedback_profile: profile,
                    feedback: vec![Feedback::PictureLoss],
                    security: match security {
                        0 => Security::Clear,
                        1 => Security::SdesOptional(keys()),
                        _ => Security::SdesRequired(keys()),
                    },
                    ..MediaCapability::new(kind, port, codecs.clone())
                }
            },
        )
    };
    let audio = medium(MediaKind::Audio, vec![Codec::pcmu(), Codec::pcma(), Codec::telephone_event(101)]);
    let video = medium(MediaKind::Video, vec![Codec::h264(97, 1, 31), Codec::h264(96, 0, 31)]);
    let text = medium(MediaKind::Text, vec![Codec::text_red(100, 98), Codec::t140(98)]);
    (audio, video, text, any::<bool>()).prop_map(|(audio, video, text, few)| Capabilities {
        address: [127, 0, 0, 1].into(),
        media: if few { vec![audio] } else { vec![audio, video, text] },
    })
}

/// The same with every dynamic number moved.
fn renumbered(mut capabilities: Capabilities, by: u8) -> Capabilities {
    for codec in capabilities.media.iter_mut().flat_map(|medium| &mut medium.codecs) {
        let moved = |number: u8| if number < 96 { number } else { number + by };
        if codec.name == "red" {
            let generations = codec.fmtp.take().unwrap();
            let moved = generations.split('/').map(|token| moved(token.parse().unwrap()).to_string());
            codec.fmtp = Some(moved.collect::<Vec<_>>().join("/"));
        }
        codec.payload_type = moved(codec.payload_type);
    }
    capabilities
}

/// Values of an attribute on a line.
fn values<'a>(media: &'a sdp_types::Media, name: &'a str) -> impl Iterator<Item = &'a str> {
    media.attributes.iter().filter(move |a| a.attribute == name).filter_map(|a| a.value.as_deref())
}

proptest! {
    #[test]
    fn an_answer_stays_within_its_offer(lines in prop::collection::vec(line(), 0..6), ours in capabilities()) {
        let text = format!("{HEAD}{}", lines.concat());
        let offer = SessionDescription::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(String::from_utf8(offer.to_bytes()).unwrap(), text, "nothing is lost");
        match answer(&offer, &ours, ORIGIN) {
            Err(NegotiationFailure::NothingInCommon { refused }) => prop_assert_eq!(refused.len(), lines.len()),
            Err(other) => prop_assert!(false, "{other}"),
            Ok((description, negotiated)) => {
                let (offered, answered) = (&offer.session().medias, &description.session().medias);
                prop_assert_eq!(answered.len(), offered.len());
                prop_assert_eq!(negotiated.media.len() + negotiated.refused.len(), offered.len());
                for (theirs, our) in offered.iter().zip(answered) {
                    prop_assert_eq!((&our.media, &our.proto), (&theirs.media, &theirs.proto), "in its place");
                    let numbers: Vec<&str> = theirs.fmt.split(' ').collect();
                    prop_assert!(our.fmt.split(' ').all(|number| numbers.contains(&number)), "{} {}", theirs.fmt, our.fmt);
                    prop_assert!(theirs.port != 0 || our.port == 0, "what is closed stays closed");
                    if our.port == 0 {
                        continue;
                    }
                    let tags: Vec<_> = values(theirs, "crypto").filter_map(|v| v.split(' ').next()).collect();
                    prop_assert!(values(our, "crypto").all(|v| tags.contains(&v.split(' ').next().unwrap())), "offered tags");
                    prop_assert!(!our.has_attribute("rtcp-mux") || theirs.has_attribute("rtcp-mux"));
                    let feedback: Vec<_> = values(theirs, "rtcp-fb").collect();
                    prop_assert!(values(our, "rtcp-fb").all(|v| feedback.contains(&v)), "offered feedback");
                    prop_assert!(!our.has_attribute("fingerprint") && !our.has_attribute("x-unknown"));
                }
                for media in &negotiated.media {
                    let line = &answered[media.index];
                    let numbers: Vec<String> = media.codecs.iter().map(|c| c.send_payload_type.to_string()).collect();
                    prop_assert_eq!(&line.fmt, &numbers.join(" "), "offered numbers, in the offerer's order");
                    let secure = line.proto.contains("SAVP");
                    prop_assert!(!secure || media.crypto.is_some(), "a secure line has a key");
                }
            }
        }
    }

    /// Two ends of this crate see one session, from both sides.
    #[test]
    fn both_ends_see_the_same_session(here in capabilities(), there in capabilities()) {
        let offer = make_offer(&here, ORIGIN);
        let received = SessionDescription::parse(&offer.to_bytes()).unwrap();
        prop_assert_eq!(received.to_bytes(), offer.to_bytes());
        let Ok((description, far)) = answer(&received, &there, ORIGIN) else { return Ok(()) };
        let back = SessionDescription::parse(&description.to_bytes()).unwrap();
        let near = accept_answer(&offer, &back, &here).unwrap();
        prop_assert_eq!(near.media.len(), far.media.len());
        for (near, far) in near.media.iter().zip(&far.media) {
            prop_assert_eq!((near.index, near.kind, near.rtcp_mux), (far.index, far.kind, far.rtcp_mux));
            prop_assert_eq!(near.direction, far.direction.reversed());
            prop_assert_eq!(&near.feedback, &far.feedback);
            let keys = (near.crypto.as_ref(), far.crypto.as_ref());
            prop_assert_eq!(keys.0.map(|k| k.remote.key_and_salt()), keys.1.map(|k| k.local.key_and_salt()));
            let numbers = |media: &z5_sip::sdp::NegotiatedMedia| -> Vec<u8> {
                media.codecs.iter().map(|codec| codec.send_payload_type).collect()
            };
            prop_assert_eq!(numbers(near), numbers(far));
        }
    }
    /// A session keeps the numbers of its first offer whoever offers next, so both ends send what the other expects.
    #[test]
    fn a_new_offer_of_the_answerer_keeps_the_numbers_both_ways(
        here in capabilities(),
        there in capabilities(),
        apart in 0..20_u8,
    ) {
        let offer = make_offer(&here, ORIGIN);
        let there = renumbered(there, apart);
        let Ok((agreed, far)) = answer(&offer, &there, ORIGIN) else { return Ok(()) };
        let again = reoffer(&there, ORIGIN, &agreed, &far);
        let (back, near) = answer(&again, &here, ORIGIN).unwrap();
        let far = accept_answer(&again, &back, &there).unwrap();
        prop_assert_eq!(near.media.len(), far.media.len());
        for (near, far) in near.media.iter().zip(&far.media) {
            let sent: Vec<u8> = near.codecs.iter().map(|codec| codec.send_payload_type).collect();
            let expected: Vec<u8> = far.codecs.iter().map(|codec| codec.receive_payload_type).collect();
            prop_assert_eq!(sent, expected);
        }
    }
}
