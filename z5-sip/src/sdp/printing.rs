//! The usual description, printed into one buffer (RFC 8866 section 5).
//!
//! Prints letter by letter what the container's own printer does (a property test compares them), at a fraction of its cost;
//! see docs/decisions/0006. A description with lines that hardly anyone writes is left to that printer.

use std::io::Write as _;

use sdp_types::{Attribute, Bandwidth, Connection, Media, Session};

/// Prints a description; false, and nothing written, for one that is unusual.
pub(super) fn print(session: &Session, out: &mut Vec<u8>) -> bool {
    if !is_usual(session) {
        return false;
    }
    out.extend_from_slice(b"v=0\r\no=");
    let origin = &session.origin;
    text(out, origin.username.as_deref().filter(|name| !name.is_empty()).unwrap_or("-"));
    out.push(b' ');
    text(out, &origin.sess_id);
    // Writing into a vector cannot fail, here and below.
    let _ = write!(out, " {} ", origin.sess_version);
    let (net, kind) = (origin.nettype.as_str(), origin.addrtype.as_str());
    line(out, "", &[net, " ", kind, " ", &origin.unicast_address]);
    line(out, "s=", &[&session.session_name]);
    session.connection.iter().for_each(|connection| print_connection(out, connection));
    session.bandwidths.iter().for_each(|bandwidth| print_bandwidth(out, bandwidth));
    for time in &session.times {
        let _ = write!(out, "t={} {}\r\n", time.start_time, time.stop_time);
    }
    if session.times.is_empty() {
        out.extend_from_slice(b"t=0 0\r\n");
    }
    session.attributes.iter().for_each(|attribute| print_attribute(out, attribute));
    session.medias.iter().for_each(|media| print_media(out, media));
    true
}

fn is_usual(session: &Session) -> bool {
    let more = [&session.session_description, &session.uri].into_iter().any(Option::is_some);
    let people = !session.emails.is_empty() || !session.phones.is_empty();
    let zones = !session.time_zones.is_empty() || session.times.iter().any(|time| !time.repeats.is_empty());
    let unusual =
        |media: &Media| media.media_title.is_some() || media.key.is_some() || media.num_ports.is_some();
    !(more || people || zones || session.key.is_some() || session.medias.iter().any(unusual))
}

fn print_media(out: &mut Vec<u8>, media: &Media) {
    out.extend_from_slice(b"m=");
    text(out, &media.media);
    let _ = write!(out, " {} ", media.port);
    line(out, "", &[&media.proto, " ", &media.fmt]);
    media.connections.iter().for_each(|connection| print_connection(out, connection));
    media.bandwidths.iter().for_each(|bandwidth| print_bandwidth(out, bandwidth));
    media.attributes.iter().for_each(|attribute| print_attribute(out, attribute));
}

fn print_connection(out: &mut Vec<u8>, connection: &Connection) {
    let (net, kind) = (connection.nettype.as_str(), connection.addrtype.as_str());
    line(out, "c=", &[net, " ", kind, " ", &connection.connection_address]);
}

fn print_bandwidth(out: &mut Vec<u8>, bandwidth: &Bandwidth) {
    out.extend_from_slice(b"b=");
    text(out, &bandwidth.bwtype);
    let _ = write!(out, ":{}\r\n", bandwidth.bandwidth);
}

fn print_attribute(out: &mut Vec<u8>, attribute: &Attribute) {
    match &attribute.value {
        Some(value) => line(out, "a=", &[&attribute.attribute, ":", value]),
        None => line(out, "a=", &[&attribute.attribute]),
    }
}

fn line(out: &mut Vec<u8>, key: &str, parts: &[&str]) {
    out.extend_from_slice(key.as_bytes());
    texts(out, parts);
    out.extend_from_slice(b"\r\n");
}

fn text(out: &mut Vec<u8>, text: &str) {
    texts(out, &[text]);
}

/// Without what would end the line.
fn texts(out: &mut Vec<u8>, parts: &[&str]) {
    let from = out.len();
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    if memchr::memchr3(b'\r', b'\n', 0, &out[from..]).is_some() {
        let kept: Vec<u8> = out.drain(from..).filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect();
        out.extend_from_slice(&kept);
    }
}
