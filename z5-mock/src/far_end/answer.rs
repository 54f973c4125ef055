//! A far end's answer to an offer (RFC 3264), written line by line.
//!
//! Every media line is answered in place, refused ones with port 0; payload type numbers stay as offered. SDES
//! (RFC 4568) is taken when offered, the first suite of the offer that z5-media has, whatever the profile. No rtcp-mux, ICE or DTLS. An
//! INVITE without an offer is refused.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;
use z5_media::AudioCodec;
use z5_media::srtp::{SrtpParams, SrtpSuite};
use z5_sip::wire::Message;

use super::media::{Lines, Plan, Sends};
use super::recording::{Carries, Tape};
use super::script::Script;
use super::text::Typing;
use super::{Kind, location};
use crate::mail::Recording;
use crate::relay::Ports;
use crate::sip::description;

/// Payload formats that a far end can send back unread, or make.
const AUDIO: [&str; 8] = ["PCMU", "PCMA", "G722", "OPUS", "CN", "TELEPHONE-EVENT", "L16", "SPEEX"];
/// Audio formats that a far end can make itself, and what goes with them.
#[cfg(feature = "opus")]
const MADE: &[&str] = &["OPUS", "G722", "PCMU", "PCMA", "CN", "TELEPHONE-EVENT"];
#[cfg(not(feature = "opus"))]
const MADE: &[&str] = &["G722", "PCMU", "PCMA", "CN", "TELEPHONE-EVENT"];
const TEXT: [&str; 2] = ["RED", "T140"];
const VIDEO: [&str; 4] = ["H264", "VP8", "H263-1998", "H263"];

/// A media line of a description.
#[derive(Default)]
pub(super) struct Offered<'a> {
    pub(super) kind: &'a str,
    pub(super) port: u16,
    pub(super) profile: &'a str,
    pub(super) formats: Vec<&'a str>,
    pub(super) attributes: Vec<&'a str>,
}

/// What a far end types: at once, and what it is told to later.
#[derive(Clone, Debug, Default)]
pub(super) struct Says {
    text: String,
    typing: Option<Typing>,
    /// Where what comes is recorded, if it is.
    pub(super) recording: Option<Recording>,
}

/// What a far end types to this caller.
pub(super) fn says(request: &Message, kind: Kind, script: Option<(&Script, &Typing)>) -> Says {
    if let Some((script, typing)) = script {
        let text = if kind.shows_film() { script.says.clone() } else { String::new() };
        return Says { text, typing: script.types().then(|| typing.clone()), recording: None };
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others say the usual words or nothing")]
    let text = match kind {
        Kind::Emergency => location::heard(request),
        Kind::Vrs => super::QUEUE_TEXT.to_owned(),
        Kind::Interpreter => super::INTERPRETER_TEXT.to_owned(),
        Kind::VideoMail => super::VIDEO_MAIL_TEXT.to_owned(),
        _ => super::ANNOUNCEMENT_TEXT.to_owned(),
    };
    Says { text, typing: None, recording: None }
}

/// The answer's text, with the media it describes running; `None` when nothing can be agreed on.
pub(super) fn answer(
    request: &Message,
    kind: Kind,
    says: &Says,
    lines: &mut Lines,
    ports: &mut Ports,
    now: Instant,
) -> Option<String> {
    let offer = description::of(request)?;
    let offer = std::str::from_utf8(&offer).ok()?;
    let (session, offered) = read(offer);
    let described = description::media_lines(offer);
    let address = ports.address;
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let session_direction = session.iter().find_map(|line| direction(line));
    let version = lines.next_version();
    let mut text = format!(
        "v=0\r\no=far-end {id} {version} IN {family} {address}\r\ns=z5-mock\r\nc=IN {family} {address}\r\nt=0 0\r\n",
        id = lines.session_id()
    );
    let mut accepted = 0;
    for (index, media) in offered.iter().enumerate() {
        let from = described.get(index).and_then(|line| Some(SocketAddr::new(line.address?, line.port)));
        let answered = accept(media, session_direction, kind, says).and_then(|accepted| {
            Some((lines.start(index, accepted.plan.clone()?, from, ports, now)?, accepted))
        });
        match answered {
            Some((port, media_answer)) => {
                accepted += 1;
                let formats = media_answer.formats.join(" ");
                text.push_str(&format!("m={} {port} {} {formats}\r\n", media.kind, media.profile));
                for line in media_answer.attributes {
                    text.push_str(&format!("a={line}\r\n"));
                }
            }
            None => {
                lines.stop(index);
                text.push_str(&format!(
                    "m={} 0 {} {}\r\n",
                    media.kind,
                    media.profile,
                    media.formats.join(" ")
                ));
            }
        }
    }
    (accepted > 0).then_some(text)
}

struct MediaAnswer<'a> {
    formats: Vec<&'a str>,
    attributes: Vec<String>,
    plan: Option<Plan>,
}

fn accept<'a>(
    media: &Offered<'a>,
    session_direction: Option<&'a str>,
    kind: Kind,
    says: &Says,
) -> Option<MediaAnswer<'a>> {
    if media.port == 0 || !media.profile.starts_with("RTP/") {
        return None;
    }
    let known: &[&str] = match (media.kind, kind) {
        ("audio", kind) if kind.echoes() => &AUDIO,
        ("audio", _) => MADE,
        ("text", _) => &TEXT,
        ("video", kind) if kind.echoes() => &VIDEO,
        ("video", kind) if kind.shows_film() => &["H264"],
        _ => return None,
    };
    let chosen: Vec<_> = media
        .formats
        .iter()
        .copied()
        .filter(|format| known.contains(&encoding(media, format).as_str()))
        .collect();
    if chosen.iter().all(|format| matches!(encoding(media, format).as_str(), "TELEPHONE-EVENT" | "CN")) {
        return None;
    }
    let mut attributes = Vec::new();
    for format in &chosen {
        let own = |line: &&&str| {
            let rest = line
                .strip_prefix("rtpmap:")
                .or_else(|| line.strip_prefix("fmtp:"))
                .or_else(|| line.strip_prefix("rtcp-fb:"));
            rest.and_then(|rest| rest.split(' ').next()) == Some(format)
        };
        attributes.extend(media.attributes.iter().filter(own).map(|line| (*line).to_owned()));
    }
    attributes.extend(
        media.attributes.iter().filter(|line| line.starts_with("rtcp-fb:* ")).map(|line| (*line).to_owned()),
    );
    let offered_direction = media.attributes.iter().find_map(|line| direction(line)).or(session_direction);
    let (answered_direction, sends) = match offered_direction {
        Some("sendonly") => ("recvonly", false),
        Some("recvonly") => ("sendonly", true),
        Some("inactive") => ("inactive", false),
        _ => ("sendrecv", true),
    };
    attributes.push(answered_direction.to_owned());
    let crypto = media.attributes.iter().find_map(|line| crypto(line));
    if crypto.is_none() && media.profile.starts_with("RTP/SAVP") {
        return None;
    }
    let mut srtp = None;
    if let Some((tag, suite, remote)) = crypto {
        let mut local = vec![0; suite.key_and_salt_len()];
        getrandom::fill(&mut local).ok()?;
        attributes.push(format!("crypto:{tag} {} inline:{}", suite.name(), STANDARD.encode(&local)));
        srtp = Some(SrtpParams::new(suite, &local, &remote).ok()?);
    }
    let plan = plan(media, &chosen, sends, kind, says, srtp);
    Some(MediaAnswer { formats: chosen, attributes, plan: Some(plan) })
}

/// What is played on a line that both sides have agreed on, with these formats of it.
pub(super) fn plan(
    media: &Offered<'_>,
    chosen: &[&str],
    sends: bool,
    kind: Kind,
    says: &Says,
    srtp: Option<SrtpParams>,
) -> Plan {
    let named = |format: &str| Some((format.parse().ok()?, encoding(media, format)));
    let formats: Vec<(u8, String)> = chosen.iter().filter_map(|format| named(format)).collect();
    let fragments = chosen.iter().find(|format| takes_fragments(media, format));
    let sends = match (sends, kind, media.kind) {
        (false, ..) => Sends::Nothing,
        (true, kind, "video") if kind.shows_film() => {
            let payload_type = fragments.and_then(|format| format.parse().ok());
            payload_type.map_or(Sends::Nothing, |payload_type| Sends::Film { payload_type })
        }
        (true, kind, medium) => what_to_send(medium, kind, says, &formats),
    };
    let tape = says.recording.clone().map(|recording| Tape::new(recording, carries(media.kind, &formats)));
    Plan { sends, video: media.kind == "video", srtp, tape }
}

/// How a line is recorded.
fn carries(media: &str, formats: &[(u8, String)]) -> Carries {
    match media {
        "video" => {
            let h264 = formats.iter().filter(|(_, name)| name == "H264");
            Carries::Pictures(h264.map(|(number, _)| *number).collect())
        }
        "text" => Carries::Text,
        _ => Carries::Sound,
    }
}

/// `formats` are the accepted ones in the offer's order, with their encoding names.
fn what_to_send(media: &str, kind: Kind, says: &Says, formats: &[(u8, String)]) -> Sends {
    // In the first codec that the far end can make: the one the offerer likes best.
    let tone = |hertz: f64| {
        let made = formats.iter().find_map(|(number, name)| Some((*number, AudioCodec::from_name(name)?)));
        made.map_or(Sends::Nothing, |(payload_type, codec)| Sends::Tone { payload_type, codec, hertz })
    };
    let numbered = |wanted: &str| formats.iter().find(|(_, name)| name == wanted).map(|(number, _)| *number);
    match (kind, media) {
        (kind, "text") if kind.types() || says.typing.is_some() => {
            let Says { text, typing, .. } = says.clone();
            numbered("T140").map_or(Sends::Nothing, |t140| Sends::Text {
                t140,
                red: numbered("RED"),
                text,
                typing,
            })
        }
        (kind, _) if kind.echoes() => Sends::Echo,
        (Kind::Tone, "audio") => tone(1000.0),
        (kind, "audio") if kind.shows_film() => tone(440.0),
        _ => Sends::Nothing,
    }
}

/// H.264 in packetization mode 1 (RFC 6184 section 8.1).
fn takes_fragments(media: &Offered<'_>, format: &str) -> bool {
    media.attributes.iter().any(|line| {
        let parameters = line.strip_prefix("fmtp:").and_then(|rest| rest.split_once(' '));
        parameters.is_some_and(|(number, rest)| {
            number == format && rest.split(';').any(|part| part.trim() == "packetization-mode=1")
        })
    })
}

/// The encoding name in capitals; static payload types have theirs without an `a=rtpmap` (RFC 3551 section 6).
fn encoding(media: &Offered<'_>, format: &str) -> String {
    let mapped = media.attributes.iter().find_map(|line| {
        let (number, rest) = line.strip_prefix("rtpmap:")?.split_once(' ')?;
        (number == format).then(|| rest.split('/').next().unwrap_or_default().to_ascii_uppercase())
    });
    mapped.unwrap_or_else(|| {
        match format {
            "0" => "PCMU",
            "8" => "PCMA",
            "9" => "G722",
            "13" => "CN",
            "34" => "H263",
            _ => "",
        }
        .to_owned()
    })
}

pub(super) fn direction(line: &str) -> Option<&str> {
    ["sendrecv", "sendonly", "recvonly", "inactive"].into_iter().find(|word| *word == line).map(|_| line)
}

pub(super) fn crypto(line: &str) -> Option<(&str, SrtpSuite, Vec<u8>)> {
    let mut words = line.strip_prefix("crypto:")?.split(' ').filter(|word| !word.is_empty());
    let tag = words.next()?;
    let suite = SrtpSuite::from_name(words.next()?)?;
    let key = words.next()?.strip_prefix("inline:")?.split('|').next()?;
    Some((tag, suite, STANDARD.decode(key).ok()?))
}

/// The session's attributes and the media lines.
pub(super) fn read(offer: &str) -> (Vec<&str>, Vec<Offered<'_>>) {
    let mut session = Vec::new();
    let mut media: Vec<Offered<'_>> = Vec::new();
    for line in offer.lines() {
        if let Some(rest) = line.strip_prefix("m=") {
            let mut words = rest.split(' ').filter(|word| !word.is_empty());
            media.push(Offered {
                kind: words.next().unwrap_or_default(),
                port: words.next().and_then(|port| port.split('/').next()?.parse().ok()).unwrap_or_default(),
                profile: words.next().unwrap_or_default(),
                formats: words.collect(),
                attributes: Vec::new(),
            });
        } else if let Some(attribute) = line.strip_prefix("a=") {
            media.last_mut().map_or(&mut session, |media| &mut media.attributes).push(attribute);
        }
    }
    (session, media)
}
