//! Where the address book is when only its host is known (RFC 6764 section 6): `/.well-known/carddav` leads to who we are
//! (`DAV:current-user-principal`, RFC 5397), that to where our address books are (`addressbook-home-set`, RFC 6352 section 7.1.1), and of these
//! the first by its path is ours; whoever wants another one names it.
//!
//! Redirects and links are followed on the same host and port, and to others that may have the credentials (`trust`). Where a TXT record
//! says where to begin, that comes before the well-known place, which is asked when it leads nowhere, of the server that it has led to.

use bytes::Bytes;

use super::carddav::XML;
use super::lanes::Job;
use super::{BookPlace, Tools, Turn, bad, refused};
use crate::account::book::{encode, key_of, principal};
use crate::error::ProvisionError;
use crate::machine::exchange::Request;
use crate::machine::io::{HeaderText, HttpsReply};
use crate::machine::mcs::https_uri;

const WELL_KNOWN: &str = "/.well-known/carddav";
/// Redirects in a row.
const MAX_HOPS: u8 = 5;

/// What is being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Where a TXT record says, or where that leads.
    Context,
    WellKnown,
    /// Where the well-known place leads, or the root.
    Root,
    Principal,
    HomeSet,
}

/// The search under way.
#[derive(Debug, Clone)]
pub(super) struct Discovery {
    stage: Stage,
    path: String,
    hops: u8,
}

/// What a reply leads to.
#[derive(Debug)]
pub(super) enum Found {
    /// To the next question.
    Going,
    /// The path of the collection.
    Collection(String),
    /// To a server that may have the credentials: the search goes on there, or the collection is there.
    Elsewhere { host: String, port: u16, collection: Option<String> },
}

/// Where a reference leads.
#[derive(Debug, PartialEq, Eq)]
enum Lead {
    Here(String),
    Elsewhere(String, u16, String),
}

impl Discovery {
    pub(super) fn begin(tools: &mut Tools, turn: &mut Turn<'_, '_>) -> Self {
        let this = match tools.context_path.clone() {
            Some(path) => Self { stage: Stage::Context, path, hops: 0 },
            None => Self { stage: Stage::WellKnown, path: WELL_KNOWN.to_owned(), hops: 0 },
        };
        this.ask(tools, turn);
        this
    }

    /// One that has asked nothing.
    pub(super) fn at_root() -> Self {
        Self { stage: Stage::Root, path: "/".to_owned(), hops: 0 }
    }

    /// The same question at the server that it was led to.
    pub(super) fn go_on(&mut self, tools: &mut Tools, turn: &mut Turn<'_, '_>) {
        self.ask(tools, turn);
    }

    fn ask(&self, tools: &mut Tools, turn: &mut Turn<'_, '_>) {
        let depth = if self.stage == Stage::HomeSet { "1" } else { "0" };
        let request = Request {
            method: "PROPFIND",
            target: encode(&self.path),
            headers: vec![("depth", HeaderText::Plain(depth.to_owned()))],
            content: Some((XML, Bytes::from(principal::propfind()))),
        };
        tools.lanes.start(0, request, Job::Find, turn);
    }

    pub(super) fn on_reply(
        &mut self,
        job: Job,
        reply: &HttpsReply,
        tools: &mut Tools,
        turn: &mut Turn<'_, '_>,
    ) -> Result<Found, ProvisionError> {
        // No other job is begun before the collection is found.
        let Job::Find = job else { return Ok(Found::Going) };
        match reply.status {
            207 => {}
            301 | 302 | 303 | 307 | 308 if self.hops < MAX_HOPS => {
                let location = reply.location.as_deref();
                let location = location.ok_or_else(|| bad("location", "a redirect without it".to_owned()))?;
                let lead = lead("a redirect", location, &self.path, &tools.place)?;
                self.hops += 1;
                if self.stage == Stage::WellKnown {
                    self.stage = Stage::Root;
                }
                return Ok(self.follow(lead, tools, turn));
            }
            // RFC 6764 section 6: then the well-known place.
            200..=299 | 400 | 402..=428 | 430..=499 | 501 if self.stage == Stage::Context => {
                return Ok(self.at_well_known(tools, turn));
            }
            // RFC 6764 section 5: not every server has it.
            404 | 405 | 501 if self.stage == Stage::WellKnown => {
                (self.stage, self.path) = (Stage::Root, "/".to_owned());
                self.ask(tools, turn);
                return Ok(Found::Going);
            }
            _ => return Err(refused(reply, 207)),
        }
        let found = principal::read(&reply.body);
        let leads_on =
            found.as_ref().is_ok_and(|found| found.home_set.is_some() || found.principal.is_some());
        if self.stage == Stage::Context && !leads_on {
            return Ok(self.at_well_known(tools, turn));
        }
        let found = found.map_err(|why| bad("multistatus", why))?;
        if self.stage == Stage::HomeSet {
            let mut books = Vec::new();
            for href in &found.address_books {
                books.push(lead("the list of address books", href, &self.path, &tools.place)?);
            }
            let path_of = |lead: &Lead| match lead {
                Lead::Here(path) | Lead::Elsewhere(_, _, path) => path.clone(),
            };
            return match books.into_iter().min_by_key(path_of) {
                Some(Lead::Here(path)) => Ok(Found::Collection(path)),
                Some(Lead::Elsewhere(host, port, path)) => {
                    Ok(Found::Elsewhere { host, port, collection: Some(path) })
                }
                None => {
                    Err(bad("addressbook-home-set", format!("there is no address book in `{}`", self.path)))
                }
            };
        }
        let (stage, href) = match (&found.home_set, &found.principal) {
            (Some(home), _) => (Stage::HomeSet, home),
            (None, Some(principal)) if self.stage != Stage::Principal => (Stage::Principal, principal),
            (None, _) => {
                let field = if self.stage == Stage::Principal {
                    "addressbook-home-set"
                } else {
                    "current-user-principal"
                };
                let why = format!("`{}` says nothing of it; name the address book itself", self.path);
                return Err(bad(field, why));
            }
        };
        let lead = lead("a link", href, &self.path, &tools.place)?;
        self.stage = stage;
        Ok(self.follow(lead, tools, turn))
    }

    fn at_well_known(&mut self, tools: &mut Tools, turn: &mut Turn<'_, '_>) -> Found {
        (self.stage, self.path) = (Stage::WellKnown, WELL_KNOWN.to_owned());
        self.ask(tools, turn);
        Found::Going
    }

    fn follow(&mut self, lead: Lead, tools: &mut Tools, turn: &mut Turn<'_, '_>) -> Found {
        match lead {
            Lead::Here(path) => {
                self.path = path;
                self.ask(tools, turn);
                Found::Going
            }
            Lead::Elsewhere(host, port, path) => {
                self.path = path;
                Found::Elsewhere { host, port, collection: None }
            }
        }
    }
}

/// Where a reference leads, if credentials may go there.
fn lead(by: &'static str, reference: &str, from: &str, place: &BookPlace) -> Result<Lead, ProvisionError> {
    let reference = reference.trim();
    let key = |path: &str| key_of(path).ok_or_else(|| bad(by, format!("`{reference}` is no path")));
    if let Some(rest) = reference.strip_prefix("//") {
        return lead(by, &format!("https://{rest}"), from, place);
    }
    if reference.starts_with('/') {
        return Ok(Lead::Here(key(reference)?));
    }
    if !reference.contains("://") {
        let folder = from.rfind('/').map_or("/", |end| &from[..=end]);
        return Ok(Lead::Here(key(&format!("{folder}{reference}"))?));
    }
    let (host, port, path) = https_uri(reference).map_err(|why| bad(by, format!("`{reference}` {why}")))?;
    let path = key(&path)?;
    if host.eq_ignore_ascii_case(&place.server.host) && port == place.server.port {
        return Ok(Lead::Here(path));
    }
    match place.trust.covers(&host) {
        true => Ok(Lead::Elsewhere(host, port, path)),
        false => Err(place.foreign(by, format!("{host}:{port}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Whereabouts;
    use super::super::trust::Trust;
    use super::*;
    use crate::config::ContactsProtocol;
    use crate::machine::exchange::Server;
    use crate::secret::Secret;

    fn place(trust: Trust) -> BookPlace {
        BookPlace {
            server: Server { host: "dav.test".to_owned(), port: 8443, addresses: Vec::new() },
            whereabouts: Whereabouts::Known,
            trust,
            protocol: ContactsProtocol::CardDav,
            path: "/".to_owned(),
            username: String::new(),
            password: Secret::new(""),
        }
    }

    #[test]
    fn references_lead_to_paths_of_the_same_server_or_nowhere() {
        let place = place(Trust::default());
        let leads = |reference: &str| {
            lead("a link", reference, "/a/b", &place).map_err(|error| (error.code(), error.to_string()))
        };
        for (reference, expected) in [
            ("/c%20d/", "/c d/"),
            ("https://DAV.test:8443/c?x", "/c"),
            ("//dav.test:8443/c/", "/c/"),
            ("c/", "/a/c/"),
            ("https://dav.test:8443", "/"),
        ] {
            assert_eq!(leads(reference), Ok(Lead::Here(expected.to_owned())), "{reference}");
        }
        let (foreign, unusable) = ("provision.foreign-server", "provision.bad-reply");
        for (reference, code, words) in [
            ("https://dav.test/c", foreign, "leads to `dav.test:443`"),
            ("https://evil.test:8443/c", foreign, "leads to `evil.test:8443`"),
            ("//evil.test/c", foreign, "leads to `evil.test:443`"),
            ("http://dav.test:8443/c", unusable, "is not an https URI"),
            ("https://dav.test:8443@evil.test/c", unusable, "no usable host"),
        ] {
            let (seen, error) = leads(reference).unwrap_err();
            assert!(seen == code && error.contains(words), "{reference}: {error}");
        }
    }

    #[test]
    fn a_reference_leads_on_to_what_is_beneath_the_domain_and_to_what_is_configured() {
        let trust = Trust { domain: Some("dav.test".into()), servers: vec!["hoster.example".into()] };
        let place = place(trust);
        for host in ["a.dav.test", "dav.test", "hoster.example"] {
            let expected = Lead::Elsewhere(host.to_owned(), 443, "/c".to_owned());
            assert_eq!(lead("a redirect", &format!("https://{host}/c"), "/", &place), Ok(expected));
        }
        for host in ["evildav.test", "dav.test.evil.example", "a.hoster.example"] {
            let error = lead("a redirect", &format!("https://{host}/c"), "/", &place).unwrap_err();
            assert_eq!(error.code(), "provision.foreign-server", "{host}");
            assert!(
                error.to_string().contains("`dav.test` and what is beneath it, `hoster.example`"),
                "{error}"
            );
        }
    }
}
