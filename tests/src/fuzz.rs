//! What the fuzz targets run: one function per parser that meets bytes from outside. Each also holds what must be true
//! of whatever was accepted, so that a wrong result is found and not only a panic. `fuzz/fuzz_targets` gives these to
//! libFuzzer; `tests/tests/fuzz_corpora.rs` replays the committed corpora on every test run.

mod media;
#[cfg(feature = "session")]
mod session;

use std::net::IpAddr;

use bytes::Bytes;
use z5_media::{SrtpParams, SrtpSuite, clock, rtcp, rtp, text, video};
use z5_sip::auth::{Asker, Authenticator, Credentials};
use z5_sip::ident::Ident;
use z5_sip::sdp::{Capabilities, Codec, MediaCapability, MediaKind, Origin, SessionDescription, answer};
use z5_sip::wire::{Edit, Framer, Limits, Message, Method, Name, Rules, redact};

pub use media::{media_session, srtp_operations, telephone_event};
#[cfg(feature = "session")]
pub use session::{config, explain};

/// One target.
pub type Target = fn(&[u8]);

/// Every target with the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("sip_message", sip_message),
    ("sip_stream", sip_stream),
    ("sip_challenge", sip_challenge),
    #[cfg(feature = "session")]
    ("explain", explain),
    ("sdp", sdp),
    ("rtp", rtp_packet),
    ("rtcp", rtcp_compound),
    ("srtp", srtp_packet),
    ("text", text_packets),
    ("video", video_packets),
    ("media_session", media_session),
    ("srtp_operations", srtp_operations),
    ("telephone_event", telephone_event),
    #[cfg(feature = "session")]
    ("config", config),
];

/// A datagram: every typed view, both judgements, the form for logs, an edit.
///
/// # Panics
/// When an edit that changes nothing changes bytes.
pub fn sip_message(bytes: &[u8]) {
    let Ok(message) = Message::parse_datagram(Bytes::copy_from_slice(bytes)) else { return };
    let _ = (Rules::user_agent().validate(&message), Rules::proxy().validate(&message));
    let _ = (message.via().is_ok(), message.from().is_ok(), message.to().is_ok(), message.cseq().is_ok());
    let _ = (message.call_id().is_ok(), message.contact().is_ok(), message.max_forwards().is_ok());
    let _ = (message.vias().count(), message.contacts().count(), message.routes().count());
    let _ = (message.record_routes().count(), message.challenges().count(), message.request_uri().is_some());
    let _ = (message.expires().is_ok(), message.retry_after().is_ok(), message.rack().is_ok());
    assert!(!redact(&message).is_empty(), "a message has a first line");
    if let Ok(edited) = Edit::new(&message).append(Name::Other("X-Fuzz"), "1").build() {
        assert!(edited.as_bytes().len() > message.as_bytes().len(), "an edit adds what it was asked to add");
        assert_eq!(edited.body(), message.body(), "an edit leaves the body alone");
    }
}

/// A stream: cut where the first byte says, it gives the same frames as in one piece.
///
/// # Panics
/// When the cut changes what is read.
pub fn sip_stream(bytes: &[u8]) {
    let Some((step, stream)) = bytes.split_first() else { return };
    let step = usize::from(*step).max(1);
    let whole = frames(stream, stream.len().max(1));
    let cut = frames(stream, step);
    assert_eq!(whole, cut, "pieces of {step} bytes");
}

fn frames(stream: &[u8], step: usize) -> Vec<String> {
    let mut framer = Framer::accepting(Limits::default());
    let mut seen = Vec::new();
    for piece in stream.chunks(step) {
        framer.push(piece);
        while let Some(frame) = framer.next() {
            let end = frame.is_err();
            seen.push(format!("{frame:?}"));
            if end {
                return seen;
            }
        }
    }
    seen
}

/// A challenge in a 401: the client either answers it or says why not.
pub fn sip_challenge(bytes: &[u8]) {
    let mut response =
        b"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
        To: <sip:a@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nWWW-Authenticate: "
            .to_vec();
    response.extend_from_slice(bytes);
    response.extend_from_slice(b"\r\n\r\n");
    let request =
        b"REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
        To: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\n\r\n";
    let (Ok(request), Ok(response)) = (
        Message::parse_datagram(Bytes::from_static(request)),
        Message::parse_datagram(Bytes::from(response)),
    ) else {
        return;
    };
    let mut authenticator = Authenticator::new(vec![Credentials::new("a", "secret")]);
    let _ = authenticator.on_challenge(Asker::Registrar, &request, &response);
    let mut ident = Ident::from_seed(1);
    for (_, value) in authenticator.authorize(&Method::Register, "sip:h", b"", &mut ident) {
        assert!(!value.contains(['\r', '\n', '\0']), "no line break of a challenge reaches our header");
    }
}

/// An offer: answered with every m-line in its place.
///
/// # Panics
/// When the answer has another number of m-lines than the offer.
pub fn sdp(bytes: &[u8]) {
    let Ok(offer) = SessionDescription::parse(bytes) else { return };
    let capability = |kind, port, codecs| MediaCapability {
        ptime_ms: Some(20),
        ..MediaCapability::new(kind, port, codecs)
    };
    let ours = Capabilities {
        address: IpAddr::from([127, 0, 0, 1]),
        media: vec![
            capability(
                MediaKind::Audio,
                20_000,
                vec![Codec::pcmu(), Codec::pcma(), Codec::telephone_event(101)],
            ),
            capability(MediaKind::Text, 20_002, vec![Codec::text_red(100, 98), Codec::t140(98)]),
        ],
    };
    if let Ok((answer, negotiated)) = answer(&offer, &ours, Origin { id: 1, version: 1 }) {
        let lines = |description: &SessionDescription| description.session().medias.len();
        assert_eq!(lines(&offer), lines(&answer), "every m-line is answered in its place");
        assert_eq!(negotiated.media.len() + negotiated.refused.len(), lines(&offer), "and accounted for");
    }
}

/// One RTP packet: header, extensions, padding.
pub fn rtp_packet(bytes: &[u8]) {
    let _ = rtp::header_len(bytes);
    if let Ok(packet) = rtp::Packet::parse(bytes) {
        assert!(packet.payload.len() <= bytes.len(), "a payload lies inside its packet");
    }
}

/// One RTCP compound.
pub fn rtcp_compound(bytes: &[u8]) {
    let mut told = 0;
    let read = rtcp::read(bytes, |_| told += 1);
    assert!(read.is_ok() || told == 0, "a bad compound tells nothing");
}

/// SRTP and SRTCP that nobody who knows the key made: refused, and no state kept.
///
/// # Panics
/// When a forged packet is accepted.
pub fn srtp_packet(bytes: &[u8]) {
    for suite in SrtpSuite::ALL {
        let key = vec![1; suite.key_and_salt_len()];
        let Ok(params) = SrtpParams::new(suite, &key, &key) else { return };
        let Ok((_, mut receiver)) = params.contexts() else { return };
        assert!(receiver.unprotect_rtp(&mut bytes.to_vec()).is_err(), "a forged packet");
        assert!(receiver.unprotect_rtcp(&mut bytes.to_vec()).is_err(), "a forged report");
    }
}

/// Text packets, each `length, step of the sequence number, payload`: whatever comes, what is shown is bounded by it.
pub fn text_packets(mut bytes: &[u8]) {
    let mut receiver = text::TextReceiver::new(98, Some(100));
    let now = clock::now();
    let mut shown = String::new();
    let (mut sequence, mut given) = (1_000_u64, 0);
    while let [length, step, rest @ ..] = bytes {
        let (payload, tail) = rest.split_at(rest.len().min(usize::from(*length)));
        sequence = sequence.wrapping_add(u64::from(*step)).saturating_sub(3);
        given += payload.len() + usize::from(*step);
        let _ = receiver.take(sequence, if step % 2 == 0 { 100 } else { 98 }, payload, now, &mut shown);
        bytes = tail;
    }
    receiver.expire(now + text::REORDER_WAIT, &mut shown);
    // a lost-text mark is three bytes, and so is the mark for a bad byte
    assert!(shown.len() <= 3 * (given + 8 * 64), "{} bytes shown of {given}", shown.len());
}

/// Video packets, each `length, step of the sequence number, marker and timestamp, payload`: pictures that are shown are
/// whole, begin with a key frame, and hold no more than was given. The rest of the bytes is also read as a byte stream.
///
/// # Panics
/// When a picture is shown that could not be decoded.
pub fn video_packets(mut bytes: &[u8]) {
    let _ = video::AnnexBSource::of(bytes.to_vec());
    let _ = video::sequence_parameters(bytes);
    let now = clock::now();
    let mut receiver = video::VideoReceiver::new(std::time::Duration::from_millis(1), now);
    let (mut sequence, mut given, mut shown, mut begun) = (1_000_u64, 0, 0, false);
    while let [length, step, flags, rest @ ..] = bytes {
        let (payload, tail) = rest.split_at(rest.len().min(usize::from(*length)));
        sequence = sequence.wrapping_add(u64::from(*step % 8)).saturating_sub(2);
        given += payload.len();
        let mut show = |frame: video::VideoFrame<'_>| {
            assert!(begun || frame.key_frame, "the first picture is a key frame");
            begun = true;
            shown += frame.data.len();
        };
        let (marker, timestamp) = (flags & 1 == 1, u32::from(flags >> 1));
        let _ = receiver.take(sequence, timestamp, marker, payload, now, &mut show);
        bytes = tail;
    }
    receiver.expire(now + std::time::Duration::from_secs(1), &mut |frame| shown += frame.data.len());
    // a start code is four bytes, and an aggregate may hold a unit in every three
    assert!(shown <= 5 * given, "{shown} bytes shown of {given}");
}
