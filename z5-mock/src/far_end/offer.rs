//! The offer of a far end that places a call (RFC 3264 section 5): what it had agreed on in the call that it was asked in, at new ports and
//! with new keys; and what it makes of the answer.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;
use z5_media::srtp::{SrtpParams, SrtpSuite};
use z5_sip::wire::Message;

use super::Kind;
use super::answer::{self, Says};
use super::media::{Lines, Plan, Sends};
use crate::relay::Ports;
use crate::sip::description;

/// What was offered for a line and is needed when the answer comes: suite and key of ours.
pub(super) type Keys = Vec<Option<(SrtpSuite, Vec<u8>)>>;

/// The offer's text and its keys; `None` when the description has no line that could be offered again.
pub(super) fn offer(
    agreed: &str,
    lines: &mut Lines,
    ports: &mut Ports,
    now: Instant,
) -> Option<(String, Keys)> {
    let (_, agreed) = answer::read(agreed);
    let address = ports.address;
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let (id, version) = (lines.session_id(), lines.next_version());
    let mut text = format!(
        "v=0\r\no=far-end {id} {version} IN {family} {address}\r\ns=z5-mock\r\nc=IN {family} {address}\r\nt=0 0\r\n"
    );
    let mut keys = Keys::new();
    for media in agreed.iter().filter(|media| media.port != 0) {
        // Until the answer is here nothing is sent, and what comes is not understood.
        let silent = Plan { sends: Sends::Nothing, video: media.kind == "video", srtp: None, tape: None };
        let port = lines.start(keys.len(), silent, None, ports, now)?;
        text.push_str(&format!("m={} {port} {} {}\r\n", media.kind, media.profile, media.formats.join(" ")));
        let kept = |line: &&&str| answer::direction(line).is_none() && !line.starts_with("crypto:");
        for line in media.attributes.iter().filter(kept) {
            text.push_str(&format!("a={line}\r\n"));
        }
        text.push_str("a=sendrecv\r\n");
        let key = match media.attributes.iter().find_map(|line| answer::crypto(line)) {
            Some((_, suite, _)) => {
                let mut key = vec![0; suite.key_and_salt_len()];
                getrandom::fill(&mut key).ok()?;
                text.push_str(&format!("a=crypto:1 {} inline:{}\r\n", suite.name(), STANDARD.encode(&key)));
                Some((suite, key))
            }
            None => None,
        };
        keys.push(key);
    }
    (!keys.is_empty()).then_some((text, keys))
}

/// Plays what the answer allows; false when it allows nothing, or cannot be read.
pub(super) fn take(
    response: &Message,
    kind: Kind,
    says: &Says,
    keys: &Keys,
    lines: &mut Lines,
    ports: &mut Ports,
    now: Instant,
) -> bool {
    let Some(text) = description::of(response) else { return false };
    let Ok(text) = std::str::from_utf8(&text) else { return false };
    let (session, answered) = answer::read(text);
    let described = description::media_lines(text);
    let of_session = session.iter().find_map(|line| answer::direction(line));
    let mut played = false;
    for (index, key) in keys.iter().enumerate() {
        let Some(media) = answered.get(index).filter(|media| media.port != 0) else {
            lines.stop(index);
            continue;
        };
        let theirs = media.attributes.iter().find_map(|line| answer::crypto(line));
        let srtp = match (key, theirs) {
            (None, None) => Ok(None),
            (Some((ours, key)), Some((_, suite, remote))) if *ours == suite => {
                SrtpParams::new(suite, key, &remote).map(Some).map_err(drop)
            }
            // One side means to encrypt and the other does not.
            (..) => Err(()),
        };
        let Ok(srtp) = srtp else {
            lines.stop(index);
            continue;
        };
        let direction = media.attributes.iter().find_map(|line| answer::direction(line)).or(of_session);
        let sends = !matches!(direction, Some("sendonly" | "inactive"));
        let plan = answer::plan(media, &media.formats, sends, kind, says, srtp);
        let from = described.get(index).and_then(|line| Some(SocketAddr::new(line.address?, line.port)));
        played |= lines.start(index, plan, from, ports, now).is_some();
    }
    played
}
