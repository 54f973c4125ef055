//! Where the address book is when only its host is known (RFC 6764 section 6): `/.well-known/carddav` leads to who we are
//! (`DAV:current-user-principal`, RFC 5397), that to where our address books are (`addressbook-home-set`, RFC 6352 section 7.1.1), and of these
//! the first by its path is ours; whoever wants another one names it.
//!
//! Redirects and links are followed on the same host and port and nowhere else: credentials never go to another. Neither SRV nor TXT
//! records are asked: the host is the one that is configured.

use bytes::Bytes;

use super::carddav::XML;
use super::lanes::Job;
use super::{Tools, Turn, bad, refused};
use crate::account::book::{encode, key_of, principal};
use crate::error::ProvisionError;
use crate::machine::exchange::{Request, Server};
use crate::machine::io::{HeaderText, HttpsReply};
use crate::machine::mcs::https_uri;

const WELL_KNOWN: &str = "/.well-known/carddav";
/// Redirects in a row.
const MAX_HOPS: u8 = 5;

/// What is being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    WellKnown,
    /// Where the well-known place leads, or the root.
    Root,
    Principal,
    HomeSet,
}

/// The search under way.
#[derive(Debug)]
pub(super) struct Discovery {
    stage: Stage,
    path: String,
    hops: u8,
}

impl Discovery {
    pub(super) fn begin(tools: &mut Tools, turn: &mut Turn<'_, '_>) -> Self {
        let this = Self { stage: Stage::WellKnown, path: WELL_KNOWN.to_owned(), hops: 0 };
        this.ask(tools, turn);
        this
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

    /// The path of the collection when it is found.
    pub(super) fn on_reply(
        &mut self,
        job: Job,
        reply: &HttpsReply,
        tools: &mut Tools,
        turn: &mut Turn<'_, '_>,
    ) -> Result<Option<String>, ProvisionError> {
        // No other job is begun before the collection is found.
        let Job::Find = job else { return Ok(None) };
        let server = &tools.place.server;
        match reply.status {
            207 => {}
            301 | 302 | 303 | 307 | 308 if self.hops < MAX_HOPS => {
                let location = reply.location.as_deref();
                let location = location.ok_or_else(|| bad("location", "a redirect without it".to_owned()))?;
                self.path = here("location", location, &self.path, server)?;
                self.hops += 1;
                if self.stage == Stage::WellKnown {
                    self.stage = Stage::Root;
                }
                self.ask(tools, turn);
                return Ok(None);
            }
            // RFC 6764 section 5: not every server has it.
            404 | 405 | 501 if self.stage == Stage::WellKnown => {
                (self.stage, self.path) = (Stage::Root, "/".to_owned());
                self.ask(tools, turn);
                return Ok(None);
            }
            _ => return Err(refused(reply, 207)),
        }
        let found = principal::read(&reply.body).map_err(|why| bad("multistatus", why))?;
        if self.stage == Stage::HomeSet {
            let mut books = Vec::new();
            for href in &found.address_books {
                books.push(here("href", href, &self.path, server)?);
            }
            return match books.into_iter().min() {
                Some(path) => Ok(Some(path)),
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
        self.path = here("href", href, &self.path, server)?;
        self.stage = stage;
        self.ask(tools, turn);
        Ok(None)
    }
}

/// The path that a reference leads to, if it is on this server.
fn here(field: &str, reference: &str, from: &str, server: &Server) -> Result<String, ProvisionError> {
    let elsewhere = |host: &str| {
        let why = format!("it leads to `{host}`, and credentials go to no other host than `{}`", server.host);
        bad(field, format!("{why}; name the address book there, if it is yours"))
    };
    let reference = reference.trim();
    let path = if let Some(rest) = reference.strip_prefix("//") {
        return here(field, &format!("https://{rest}"), from, server);
    } else if reference.starts_with('/') {
        reference.to_owned()
    } else if reference.contains("://") {
        let (host, port, path) =
            https_uri(reference).map_err(|why| bad(field, format!("`{reference}` {why}")))?;
        if !host.eq_ignore_ascii_case(&server.host) || port != server.port {
            return Err(elsewhere(&format!("{host}:{port}")));
        }
        path
    } else {
        let folder = from.rfind('/').map_or("/", |end| &from[..=end]);
        format!("{folder}{reference}")
    };
    key_of(&path).ok_or_else(|| bad(field, format!("`{reference}` is no path")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lead_to_paths_of_the_same_server_or_nowhere() {
        let server = Server { host: "dav.test".to_owned(), port: 8443, addresses: Vec::new() };
        let path =
            |reference: &str| here("location", reference, "/a/b", &server).map_err(|error| error.to_string());
        for (reference, expected) in [
            ("/c%20d/", "/c d/"),
            ("https://DAV.test:8443/c?x", "/c"),
            ("//dav.test:8443/c/", "/c/"),
            ("c/", "/a/c/"),
            ("https://dav.test:8443", "/"),
        ] {
            assert_eq!(path(reference).as_deref(), Ok(expected), "{reference}");
        }
        for (reference, words) in [
            ("https://dav.test/c", "leads to `dav.test:443`"),
            ("https://evil.test:8443/c", "leads to `evil.test:8443`"),
            ("//evil.test/c", "leads to `evil.test:443`"),
            ("http://dav.test:8443/c", "is not an https URI"),
            ("https://dav.test:8443@evil.test/c", "no usable host"),
        ] {
            let error = path(reference).unwrap_err();
            assert!(error.contains(words), "{reference}: {error}");
        }
    }
}
