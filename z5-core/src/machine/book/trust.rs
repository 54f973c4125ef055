//! Who may be given the credentials of the address book when DNS (RFC 6764), a redirect or a link leads there.
//!
//! DNS proves nothing without DNSSEC: whoever forges an answer would be handed the credentials by a server with an honest certificate of
//! its own. So the target must be the domain that the sign-in names or lie beneath it (RFC 6764 section 8), or stand in
//! `contacts.servers`. That a domain where strangers own what is beneath (`co.uk`) is nobody's is not known here: no such list is carried,
//! the sign-in names the domain. Decision 12 has the reasons.

use std::net::IpAddr;

/// The longest name of a host (RFC 1035 section 2.3.4), without the dot at its end.
const LONGEST_NAME: usize = 253;
/// The longest part of one.
const LONGEST_LABEL: usize = 63;

/// Hosts besides the one that the address book is at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// This host and all beneath.
    pub(crate) domain: Option<String>,
    /// Hosts that the configuration names.
    pub(crate) servers: Vec<String>,
}

impl Trust {
    pub(super) fn covers(&self, host: &str) -> bool {
        let named = |server: &String| bare(server) == bare(host);
        is_host(host)
            && (self.servers.iter().any(named)
                || self.domain.as_deref().is_some_and(|domain| is_beneath(host, domain)))
    }

    /// For people; `here` is where the address book is.
    pub(super) fn words(&self, here: &str) -> String {
        let mut words = match &self.domain {
            Some(domain) => format!("`{domain}` and what is beneath it"),
            None => format!("`{here}`"),
        };
        for server in &self.servers {
            words.push_str(&format!(", `{server}`"));
        }
        words
    }
}

/// The same or beneath, label by label.
fn is_beneath(host: &str, domain: &str) -> bool {
    let (host, domain) = (bare(host), bare(domain));
    if host == domain {
        return !host.is_empty();
    }
    // An address has nothing beneath it, and what is beneath a top-level domain is anybody's.
    if domain.parse::<IpAddr>().is_ok() || !domain.contains('.') {
        return false;
    }
    host.strip_suffix(&domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// An address, or a name of letters, digits, hyphens and underscores. DNS can carry any byte in a name.
pub(crate) fn is_host(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.parse::<IpAddr>().is_ok() || (name.len() <= LONGEST_NAME && name.split('.').all(label))
}

fn bare(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_the_domain_and_what_is_beneath_it_label_by_label() {
        let trust = Trust { domain: Some("Example.org".into()), servers: vec!["dav.hoster.test.".into()] };
        for host in ["example.org", "EXAMPLE.ORG.", "dav.example.org", "a.b.example.org", "Dav.Hoster.test"] {
            assert!(trust.covers(host), "{host}");
        }
        for host in [
            "",
            ".",
            ".example.org",
            "org",
            "evilexample.org",
            "example.org.evil.test",
            "evil.test",
            "a.dav.hoster.test",
            "hoster.test",
            "evil.test/.example.org",
            "evil.test\\.example.org",
            "evil.test\0.example.org",
            "a@b.example.org",
            "a..example.org",
            "192.0.2.1",
        ] {
            assert!(!trust.covers(host), "{host}");
        }
    }

    #[test]
    fn nothing_is_beneath_an_address_or_a_top_level_domain() {
        for domain in ["192.0.2.1", "::1", "test", "", "."] {
            let trust = Trust { domain: Some(domain.into()), servers: Vec::new() };
            for host in ["a.192.0.2.1", "a.::1", "dav.test", "a", "a."] {
                assert!(!trust.covers(host), "{host} beneath {domain}");
            }
        }
        assert!(Trust { domain: Some("::1".into()), servers: Vec::new() }.covers("::1"));
        assert!(!Trust::default().covers("dav.test"));
    }
}
