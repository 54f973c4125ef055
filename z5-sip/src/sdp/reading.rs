//! The usual description, read in one pass into the container (RFC 8866 section 5).
//!
//! Takes `v=`, `o=`, `s=`, `c=`, `b=`, `t=`, `a=` and `m=` lines as everyone writes them and gives exactly what the container's
//! own reader gives (a property test compares them), at a fraction of its cost; see docs/decisions/0006. Everything else, and
//! everything malformed, is left to that reader, which then also says what is wrong.

use sdp_types::{Attribute, Bandwidth, Connection, Media, Origin, Session, Time};

/// Reads a description; `None` for one that is unusual in any way.
pub(super) fn read(text: &str) -> Option<Session> {
    let mut lines = Lines { rest: text };
    if lines.next()?? != (b'v', "0") {
        return None;
    }
    let (mut origin, mut name) = (None, None);
    let (mut connection, mut bandwidths, mut times) = (None, Vec::new(), Vec::new());
    let mut attributes = Vec::new();
    let mut medias: Vec<Media> = Vec::with_capacity(4);
    for line in lines {
        let (key, value) = line?;
        match (key, medias.last_mut()) {
            (b'm', _) => medias.push(media(value)?),
            (b'a', Some(media)) => media.attributes.push(attribute(value)),
            (b'a', None) => attributes.push(attribute(value)),
            (b'c', Some(media)) => media.connections.push(connection_of(value)?),
            (b'c', None) if connection.is_none() => connection = Some(connection_of(value)?),
            (b'b', Some(media)) => media.bandwidths.push(bandwidth(value)?),
            (b'b', None) => bandwidths.push(bandwidth(value)?),
            (b't', None) => times.push(time(value)?),
            (b'o', None) if origin.is_none() => origin = Some(origin_of(value)?),
            (b's', None) if name.is_none() => name = Some(value),
            (_, _) => return None,
        }
    }
    let mut session = Session::new(origin?, name?);
    session.connection = connection;
    session.bandwidths = bandwidths;
    session.times = times;
    session.attributes = attributes;
    session.medias = medias;
    Some(session)
}

/// Key and value of each line; `Some(None)` for a line that is no such pair, blank ones included.
struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Option<(u8, &'a str)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let line = match memchr::memchr(b'\n', self.rest.as_bytes()) {
            Some(end) => {
                let line = &self.rest[..end];
                self.rest = &self.rest[end + 1..];
                line.strip_suffix('\r').unwrap_or(line)
            }
            None => std::mem::take(&mut self.rest),
        };
        let sound = memchr::memchr2(b'\r', 0, line.as_bytes()).is_none();
        Some(match line.as_bytes() {
            [key, b'=', ..] if sound && key.is_ascii_lowercase() => Some((*key, &line[2..])),
            _ => None,
        })
    }
}

fn origin_of(value: &str) -> Option<Origin> {
    let [user, id, version, net, kind, address] = words(value)?;
    Some(Origin {
        username: (user != "-").then(|| user.to_owned()),
        sess_id: id.to_owned(),
        sess_version: version.parse().ok()?,
        nettype: usual(net)?.parse().ok()?,
        addrtype: usual(kind)?.parse().ok()?,
        unicast_address: address.to_owned(),
    })
}

fn connection_of(value: &str) -> Option<Connection> {
    let [net, kind, address] = words(value)?;
    Some(Connection {
        nettype: usual(net)?.parse().ok()?,
        addrtype: usual(kind)?.parse().ok()?,
        connection_address: address.to_owned(),
    })
}

/// The network and address types that are met.
fn usual(token: &str) -> Option<&str> {
    matches!(token, "IN" | "IP4" | "IP6").then_some(token)
}

/// As many words as are wanted, with one blank between them.
fn words<const N: usize>(value: &str) -> Option<[&str; N]> {
    let mut words = [""; N];
    let mut parts = value.split(' ');
    for word in &mut words {
        *word = parts.next().filter(|part| !part.is_empty())?;
    }
    parts.next().is_none().then_some(words)
}

fn bandwidth(value: &str) -> Option<Bandwidth> {
    let (name, number) = value.split_once(':')?;
    Some(Bandwidth { bwtype: name.to_owned(), bandwidth: number.parse().ok()? })
}

fn time(value: &str) -> Option<Time> {
    let [start, stop] = words(value)?;
    Some(Time { start_time: start.parse().ok()?, stop_time: stop.parse().ok()?, repeats: Vec::new() })
}

fn attribute(value: &str) -> Attribute {
    let (name, value) = match memchr::memchr(b':', value.as_bytes()) {
        Some(colon) => (&value[..colon], Some(value[colon + 1..].to_owned())),
        None => (value, None),
    };
    Attribute { attribute: name.to_owned(), value }
}

fn media(value: &str) -> Option<Media> {
    let mut parts = value.splitn(4, ' ');
    let (kind, port, proto, formats) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(Media {
        media: kind.to_owned(),
        port: port.parse().ok()?,
        num_ports: None,
        proto: proto.to_owned(),
        fmt: formats.to_owned(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::with_capacity(8),
    })
}
