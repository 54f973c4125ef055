//! Which server the address book is at, where only its domain is known (RFC 6764 section 6): the SRV records `_carddavs._tcp` in the order
//! of RFC 2782, else the domain itself; the TXT record beside them may say where to begin. `_carddav._tcp`, which is without TLS, is
//! never asked for. Then each server's addresses, when its turn comes: the next one is for when it cannot be reached.
//!
//! A target that must not have the credentials is left out; when no other is there, that is an error.

use std::collections::VecDeque;

use z5_sip::ident::Ident;
use z5_sip::locate::{Srv, weighted};
use z5_sip::outbox::Deadline;

use super::discovery::Discovery;
use super::{BookPlace, Tools, Turn};
use crate::account::book::key_of;
use crate::error::ProvisionError;
use crate::machine::resolve::Pair;

/// The service and its port where no SRV record says another (RFC 6764 section 3).
const SERVICE: &str = "_carddavs._tcp";
pub(super) const HTTPS_PORT: u16 = 443;
/// Servers that are tried. A zone with more is no help.
const MAX_SERVERS: usize = 8;
/// The longest path that a TXT record may say: one string of it (RFC 1035 section 3.3) is no longer.
const MAX_PATH: usize = 255;

/// The search under way.
#[derive(Debug)]
pub(super) struct Locating {
    pub(super) stage: Stage,
    pub(super) pair: Pair,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Which servers there are.
    Service,
    /// Where the one of `Tools::place` is.
    Host { then: Then },
}

/// What is done at a server when its addresses are known.
#[derive(Debug)]
pub(super) enum Then {
    /// As at any that serves the domain.
    Enter,
    /// The search that has led to it goes on.
    Search(Box<Discovery>),
    /// The collection is known, whatever its path is: nothing is looked for again.
    Fetch,
}

impl Locating {
    pub(super) fn service(tools: &Tools, turn: &mut Turn<'_, '_>) -> Self {
        let name = format!("{SERVICE}.{}", tools.place.server.host);
        Self { stage: Stage::Service, pair: Pair::service(&name, turn.context, turn.out) }
    }

    pub(super) fn host(tools: &Tools, then: Then, turn: &mut Turn<'_, '_>) -> Self {
        let pair = Pair::addresses(&tools.place.server.host, turn.context, turn.out);
        Self { stage: Stage::Host { then }, pair }
    }

    pub(super) fn next_deadline(&self) -> Deadline {
        self.pair.next_deadline()
    }
}

/// The servers to be tried, the first one first.
///
/// # Errors
/// When the domain has no such service, or none of its servers may have the credentials.
pub(super) fn candidates(
    records: &[Srv],
    place: &BookPlace,
    ident: &mut Ident,
) -> Result<VecDeque<(String, u16)>, ProvisionError> {
    let domain = &place.server.host;
    if records.is_empty() {
        return Ok([(domain.clone(), HTTPS_PORT)].into());
    }
    // RFC 2782: a target of `.` alone means that there is no such service. Port 0 is no server either.
    let real = |record: &Srv| record.port != 0 && !bare(&record.target).is_empty();
    let offered: Vec<Srv> = weighted(records, ident).into_iter().filter(real).collect();
    let Some(first) = offered.first() else {
        return Err(ProvisionError::NotOffered { domain: domain.clone() });
    };
    let server = format!("{}:{}", bare(&first.target), first.port);
    let ours = offered
        .iter()
        .filter(|record| place.trust.covers(&record.target))
        .map(|record| (bare(&record.target).to_ascii_lowercase(), record.port));
    let mut servers: Vec<(String, u16)> = Vec::new();
    for one in ours {
        if servers.len() < MAX_SERVERS && !servers.contains(&one) {
            servers.push(one);
        }
    }
    match servers.is_empty() {
        true => Err(place.foreign("an SRV record", server)),
        false => Ok(servers.into()),
    }
}

fn bare(target: &str) -> &str {
    target.strip_suffix('.').unwrap_or(target)
}

/// Where to begin, as a TXT record says it (`path=`, RFC 6764 section 4); none when it says nothing or no plain path: then the
/// well-known place is asked. The first `path` counts (RFC 6763 section 6.4).
pub(super) fn context_path(texts: &[String]) -> Option<String> {
    let value = texts.iter().find_map(|text| {
        let (key, value) = text.split_once('=')?;
        key.eq_ignore_ascii_case("path").then_some(value)
    })?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\\?#<>\"".contains(&byte);
    if value.len() > MAX_PATH || !value.starts_with('/') || value.contains("//") || !value.bytes().all(plain)
    {
        return None;
    }
    let path = key_of(value)?;
    let up = |segment: &str| segment == "." || segment == "..";
    (path != "/" && !path.contains(['\\', ' ']) && !path.split('/').any(up)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::super::place::Whereabouts;
    use super::super::trust::Trust;
    use super::*;
    use crate::config::ContactsProtocol;
    use crate::machine::exchange::Server;
    use crate::secret::Secret;

    fn place() -> BookPlace {
        BookPlace {
            server: Server { host: "dav.test".to_owned(), port: HTTPS_PORT, addresses: Vec::new() },
            whereabouts: Whereabouts::Domain,
            trust: Trust { domain: Some("dav.test".to_owned()), servers: Vec::new() },
            protocol: ContactsProtocol::CardDav,
            path: "/".to_owned(),
            username: String::new(),
            password: Secret::new(""),
        }
    }

    fn srv(&(priority, weight, port, target): &(u16, u16, u16, &str)) -> Srv {
        Srv { priority, weight, port, target: target.to_owned() }
    }

    type Sorted = Result<Vec<(String, u16)>, &'static str>;

    fn sorted(records: &[(u16, u16, u16, &str)], seed: u64) -> Sorted {
        let records: Vec<Srv> = records.iter().map(srv).collect();
        let found = candidates(&records, &place(), &mut Ident::from_seed(seed));
        found.map(Vec::from).map_err(|error| error.code())
    }

    #[test]
    fn the_servers_of_a_domain_come_in_their_order_and_strangers_not_at_all() {
        let names = |records| -> Result<Vec<String>, _> {
            sorted(records, 1)
                .map(|all| all.into_iter().map(|(host, port)| format!("{host}:{port}")).collect())
        };
        let good = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&[]), good(&["dav.test:443"]), "without records it is the domain itself");
        let records = [
            (30, 0, 8443, "c.dav.test."),
            (10, 0, 443, "A.dav.test."),
            (5, 0, 443, "evil.test."),
            (20, 0, 0, "zero.dav.test."),
            (40, 0, 443, "a.dav.test."),
            (40, 0, 443, "."),
        ];
        assert_eq!(names(&records), good(&["a.dav.test:443", "c.dav.test:8443"]));
        assert_eq!(names(&[(0, 0, 443, "evil.test.")]), Err("provision.foreign-server"));
        let nothing = [(0, 0, 0, "."), (0, 0, 443, "."), (0, 0, 0, "a.dav.test."), (0, 0, 0, "evil.test.")];
        for nothing in nothing.chunks(1) {
            assert_eq!(names(nothing), Err("provision.not-offered"), "{nothing:?}");
        }
        let mixed = [(1, 0, 0, "a.dav.test."), (2, 0, 443, "evil.test.")];
        assert_eq!(names(&mixed), Err("provision.foreign-server"));
        let hosts: Vec<String> = (0..40).map(|n| format!("s{n}.dav.test.")).collect();
        let many: Vec<_> = hosts.iter().map(|host| (0, 1, 443, host.as_str())).collect();
        assert_eq!(names(&many).unwrap().len(), MAX_SERVERS);
    }

    #[test]
    fn a_weight_is_a_share_of_the_clients() {
        let records = [(1, 1, 443, "a.dav.test."), (1, 3, 443, "b.dav.test.")];
        let to_b = (0..400).filter(|seed| sorted(&records, *seed).unwrap()[0].0 == "b.dav.test").count();
        assert!((240..=340).contains(&to_b), "{to_b} of 400");
    }

    #[test]
    fn a_txt_record_says_a_path_and_nothing_else() {
        let path =
            |texts: &[&str]| context_path(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(path(&["v=1", "PATH=/dav/a%20b/"]).as_deref(), None, "a blank in it");
        assert_eq!(path(&["v=1", "PATH=/dav/a%2Fb/", "path=/other/"]).as_deref(), Some("/dav/a%2Fb/"));
        assert_eq!(path(&["path=/dav"]).as_deref(), Some("/dav"));
        for bad in [
            "path=",
            "path=/",
            "path",
            "path=dav",
            "path=//evil.test/",
            "path=/a//b",
            "path=https://evil.test/",
            "path=/https://evil.test/",
            "path=/\\evil.test/",
            "path=/%5Cevil.test/",
            "path=/../a",
            "path=/a/%2e%2E/b",
            "path=/a b",
            "path=/a\r\nhost: evil.test",
            "path=/a?b",
            "path=/a#b",
            "path=/\u{e9}",
        ] {
            assert_eq!(path(&[bad]), None, "{bad}");
        }
        assert_eq!(path(&[&format!("path=/{}", "a".repeat(MAX_PATH))]), None);
    }
}
