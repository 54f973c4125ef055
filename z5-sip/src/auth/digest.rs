//! The arithmetic of digest (RFC 7616 section 3.4, RFC 2617 section 3.2.2); no state, no messages.

#[cfg(test)]
mod tests;

use std::fmt;

use md5::Md5;
use sha2::{Sha256, Sha512_256};

/// A hash algorithm, plain or as a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// MD5: weak, and what most servers still offer.
    Md5,
    /// MD5 with a session key.
    Md5Sess,
    /// SHA-256.
    Sha256,
    /// SHA-256 with a session key.
    Sha256Sess,
    /// SHA-512 cut to 256 bits.
    Sha512_256,
    /// SHA-512 cut to 256 bits, with a session key.
    Sha512_256Sess,
}

impl Algorithm {
    /// All of them, strongest first.
    pub const ALL: [Self; 6] =
        [Self::Sha512_256, Self::Sha512_256Sess, Self::Sha256, Self::Sha256Sess, Self::Md5, Self::Md5Sess];

    /// From its token, without letter case.
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(token))
    }

    /// As it stands in a header.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
        }
    }

    /// True for the session variants.
    pub fn is_session(&self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess)
    }

    /// More is stronger; a session variant is as strong as its plain one.
    pub fn strength(&self) -> u8 {
        match self {
            Self::Md5 | Self::Md5Sess => 1,
            Self::Sha256 | Self::Sha256Sess => 2,
            Self::Sha512_256 | Self::Sha512_256Sess => 3,
        }
    }

    /// The hash of the parts joined by colons, in lower-case hex.
    pub fn hash(&self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 | Self::Md5Sess => joined::<Md5>(parts),
            Self::Sha256 | Self::Sha256Sess => joined::<Sha256>(parts),
            Self::Sha512_256 | Self::Sha512_256Sess => joined::<Sha512_256>(parts),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn joined<D: sha2::Digest>(parts: &[&[u8]]) -> String {
    let mut hash = D::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Quality of protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Qop {
    /// The request line and the nonce.
    Auth,
    /// The body too.
    AuthInt,
}

impl Qop {
    /// From its token, without letter case.
    pub fn from_token(token: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt].into_iter().find(|qop| qop.as_str().eq_ignore_ascii_case(token))
    }

    /// As it stands in a header.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// How the nonce was used: nothing of it exists in the oldest form of digest.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// The quality of protection.
    pub qop: Qop,
    /// How many requests used the nonce, this one included.
    pub nonce_count: u32,
    /// The client's nonce.
    pub cnonce: &'a str,
}

/// Everything a response is made of.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The user name, without quotes and escapes.
    pub username: &'a str,
    /// The realm, without quotes and escapes.
    pub realm: &'a str,
    /// The password.
    pub password: &'a str,
    /// The server's nonce.
    pub nonce: &'a str,
    /// With a session algorithm and no qop only `cnonce` of it counts.
    pub usage: Option<Use<'a>>,
    /// True to leave qop, count and cnonce out of the response although `usage` is there.
    pub legacy: bool,
    /// The method; empty for the server's own answer (`rspauth`).
    pub method: &'a str,
    /// The digest URI.
    pub uri: &'a str,
    /// The body, for auth-int.
    pub body: &'a [u8],
}

/// Nothing of it: user, password and response may not reach a log.
impl fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The `response` of a request, or with an empty method the `rspauth` of its answer.
pub fn response(inputs: &Inputs<'_>) -> String {
    let hash = |parts: &[&[u8]]| inputs.algorithm.hash(parts);
    let nonce = inputs.nonce.as_bytes();
    let cnonce = inputs.usage.map_or("", |usage| usage.cnonce).as_bytes();
    let mut a1 = hash(&[inputs.username.as_bytes(), inputs.realm.as_bytes(), inputs.password.as_bytes()]);
    if inputs.algorithm.is_session() {
        a1 = hash(&[a1.as_bytes(), nonce, cnonce]);
    }
    let usage = inputs.usage.filter(|_| !inputs.legacy);
    let (method, uri) = (inputs.method.as_bytes(), inputs.uri.as_bytes());
    let a2 = match usage.map(|usage| usage.qop) {
        Some(Qop::AuthInt) => hash(&[method, uri, hash(&[inputs.body]).as_bytes()]),
        Some(Qop::Auth) | None => hash(&[method, uri]),
    };
    match usage {
        Some(usage) => {
            let count = format!("{:08x}", usage.nonce_count);
            hash(&[
                a1.as_bytes(),
                nonce,
                count.as_bytes(),
                cnonce,
                usage.qop.as_str().as_bytes(),
                a2.as_bytes(),
            ])
        }
        None => hash(&[a1.as_bytes(), nonce, a2.as_bytes()]),
    }
}
