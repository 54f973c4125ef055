//! HTTP authentication, challenge-driven: Digest with SHA-256 (RFC 7616), Basic over TLS (RFC 7617), and Bearer (RFC 6750) where somebody
//! has a token.
//!
//! Where tokens come from is not said here: accounts have them. Nonces are single strings remembered with their highest count, a bounded number of them; an
//! unknown or worn-out nonce is stale. The arithmetic is the mock's own, so that it can disagree with a client's.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::problem::Problem;
use crate::state::Dice;

/// Nonces remembered per realm.
const MAX_NONCES: usize = 1024;

/// One protection space.
pub(crate) struct Realm {
    name: &'static str,
    /// Somebody has a token.
    bearer: bool,
    nonces: Mutex<VecDeque<(String, Counts)>>,
}

enum Refusal {
    /// No credentials were given.
    Missing,
    /// Credentials that are not right.
    Wrong,
    /// Perhaps right, but for a nonce that is no longer good.
    Stale,
    /// A token that nobody has.
    WrongToken,
    /// A token that was good.
    ExpiredToken,
}

/// Who the credentials prove, and by what.
pub(crate) struct Proof {
    pub(crate) user: String,
    pub(crate) by_token: bool,
}

/// The counts seen of one nonce. Two connections may use a nonce side by side, so a count may come a little late, but
/// never twice.
#[derive(Default)]
struct Counts {
    highest: u32,
    /// Bit n: `highest - n` was seen.
    seen: u64,
}

impl Counts {
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            self.seen = self.seen.checked_shl(count - self.highest).unwrap_or(0) | 1;
            self.highest = count;
            return count > 0;
        }
        let bit = 1_u64.checked_shl(self.highest - count).unwrap_or(0);
        let fresh = count > 0 && bit != 0 && self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

impl Realm {
    pub(crate) fn new(name: &'static str, bearer: bool) -> Self {
        Self { name, bearer, nonces: Mutex::new(VecDeque::new()) }
    }

    /// The user name the request proved, or the 401 to answer. `password_of` gives the password of a user, `owner_of` the user of a
    /// token.
    pub(crate) fn check(
        &self,
        dice: &Dice,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        password_of: impl Fn(&str) -> Option<String>,
        owner_of: impl Fn(&str) -> Option<String>,
    ) -> Result<Proof, Box<Problem>> {
        let by_token = |user| Proof { user, by_token: true };
        let by_password = |user| Proof { user, by_token: false };
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let checked = match value.and_then(|value| value.split_once(' ')) {
            None => Err(Refusal::Missing),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") && self.bearer => {
                owner_of(rest.trim()).map(by_token).ok_or(Refusal::WrongToken)
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => {
                basic(rest.trim(), password_of).map(by_password)
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("digest") => {
                self.digest(&parameters(rest), method, uri, password_of).map(by_password)
            }
            Some(_) => Err(Refusal::Wrong),
        };
        checked.map_err(|refusal| Box::new(self.unauthorized(dice, &refusal)))
    }

    pub(crate) fn rejected(&self, dice: &Dice) -> Problem {
        self.unauthorized(dice, &Refusal::Wrong)
    }

    /// A challenge that calls the nonce of right credentials stale.
    pub(crate) fn stale(&self, dice: &Dice) -> Problem {
        self.unauthorized(dice, &Refusal::Stale)
    }

    /// A challenge that calls a good token expired.
    pub(crate) fn expired(&self, dice: &Dice) -> Problem {
        self.unauthorized(dice, &Refusal::ExpiredToken)
    }

    fn unauthorized(&self, dice: &Dice, refusal: &Refusal) -> Problem {
        let nonce = dice.token();
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.len() == MAX_NONCES {
            nonces.pop_front();
        }
        nonces.push_back((nonce.clone(), Counts::default()));
        let realm = self.name;
        let stale = if matches!(refusal, Refusal::Stale) { ", stale=true" } else { "" };
        let digest = format!(
            "Digest realm=\"{realm}\", qop=\"auth\", algorithm=SHA-256, nonce=\"{nonce}\", charset=UTF-8{stale}"
        );
        let (code, title) = match refusal {
            Refusal::Missing => ("credentials-required", "Credentials are required"),
            Refusal::Wrong => ("bad-credentials", "The user name or the password is wrong"),
            Refusal::Stale => ("stale-nonce", "The nonce is no longer good"),
            Refusal::WrongToken => ("bad-credentials", "The token is not known"),
            Refusal::ExpiredToken => ("token-expired", "The token has expired"),
        };
        let mut challenges = vec![digest, format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")];
        if self.bearer {
            // RFC 6750 section 3.1: both are an invalid token.
            let error = match refusal {
                Refusal::WrongToken | Refusal::ExpiredToken => {
                    format!(", error=\"invalid_token\", error_description=\"{title}\"")
                }
                Refusal::Missing | Refusal::Wrong | Refusal::Stale => String::new(),
            };
            challenges.insert(0, format!("Bearer realm=\"{realm}\"{error}"));
        }
        Problem::new(StatusCode::UNAUTHORIZED, code, title).challenges(challenges)
    }

    fn digest(
        &self,
        given: &[(String, String)],
        method: &Method,
        uri: &Uri,
        password_of: impl Fn(&str) -> Option<String>,
    ) -> Result<String, Refusal> {
        let part = |name: &str| given.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let (Some(user), Some(nonce), Some(response), Some(nc), Some(cnonce), Some(target)) =
            (part("username"), part("nonce"), part("response"), part("nc"), part("cnonce"), part("uri"))
        else {
            return Err(Refusal::Wrong);
        };
        let sha256 = part("algorithm").is_some_and(|algorithm| algorithm.eq_ignore_ascii_case("SHA-256"));
        let ours = part("realm") == Some(self.name) && part("qop") == Some("auth") && sha256;
        let same_target = target == uri.path_and_query().map_or("/", |target| target.as_str());
        let password = password_of(user).ok_or(Refusal::Wrong)?;
        let a1 = hex(&format!("{user}:{}:{password}", self.name));
        let a2 = hex(&format!("{method}:{target}"));
        let expected = hex(&format!("{a1}:{nonce}:{nc}:{cnonce}:auth:{a2}"));
        if !ours || !same_target || !response.eq_ignore_ascii_case(&expected) {
            return Err(Refusal::Wrong);
        }
        let count = u32::from_str_radix(nc, 16).map_err(|_| Refusal::Wrong)?;
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        match nonces.iter_mut().find(|(known, _)| known == nonce) {
            Some((_, counts)) => counts.take(count).then(|| user.to_owned()).ok_or(Refusal::Stale),
            None => Err(Refusal::Stale),
        }
    }
}

fn basic(encoded: &str, password_of: impl Fn(&str) -> Option<String>) -> Result<String, Refusal> {
    let decoded = STANDARD
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(Refusal::Wrong)?;
    let (user, password) = decoded.split_once(':').ok_or(Refusal::Wrong)?;
    if password_of(user).as_deref() == Some(password) { Ok(user.to_owned()) } else { Err(Refusal::Wrong) }
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// `name=value` pairs of an authorization header, values with or without quotes (RFC 9110 section 11.2).
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        found.push((name, value));
        rest = next;
    }
    found
}

fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => {
                value.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &text[at + 1..]),
            _ => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_read_quotes_escapes_and_commas() {
        let read = parameters("username=\"a \\\"b\\\", c\", qop=auth ,nc=00000001,uri=\"/x?y=1,2\"");
        let expected = [("username", "a \"b\", c"), ("qop", "auth"), ("nc", "00000001"), ("uri", "/x?y=1,2")];
        let expected: Vec<_> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(read, expected);
        assert!(parameters("no pairs").is_empty());
    }

    #[test]
    fn a_count_is_good_once_and_may_be_a_little_late() {
        let mut counts = Counts::default();
        let taken: Vec<_> =
            [2, 1, 1, 2, 0, 3, 500, 4, 499].into_iter().map(|count| counts.take(count)).collect();
        assert_eq!(taken, [true, true, false, false, false, true, true, false, true]);
    }

    /// RFC 7616 section 3.9.1 has this digest of "Mufasa:http-auth@example.org:Circle of Life".
    #[test]
    fn sha256_is_the_documented_one() {
        assert_eq!(
            hex("Mufasa:http-auth@example.org:Circle of Life"),
            "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"
        );
    }
}
