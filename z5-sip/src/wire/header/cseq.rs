//! CSeq (RFC 3261 section 20.16) and RAck (RFC 3262 section 7.2).

use super::HeaderError;
use crate::wire::chars;
use crate::wire::method::Method;

/// The sequence number and the method it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31 in what is sent; the whole of 32 bits is read.
    pub number: u32,
    /// Must equal the request's method.
    pub method: Method,
}

impl CSeq {
    /// From a header value.
    pub fn parse(value: &[u8]) -> Result<Self, HeaderError> {
        let (number, rest) = number(value)?;
        let method = Method::from_bytes(chars::trim(rest)).ok_or(HeaderError::BadMethod)?;
        Ok(Self { number, method })
    }
}

/// What a PRACK acknowledges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RAck {
    /// The RSeq of the provisional response.
    pub rseq: u32,
    /// The CSeq of the request it answered.
    pub cseq: CSeq,
}

impl RAck {
    /// From a header value.
    pub fn parse(value: &[u8]) -> Result<Self, HeaderError> {
        let (rseq, rest) = number(value)?;
        Ok(Self { rseq, cseq: CSeq::parse(rest)? })
    }
}

/// A 32-bit number followed by white space, and what comes behind.
fn number(value: &[u8]) -> Result<(u32, &[u8]), HeaderError> {
    let value = chars::trim_start(value);
    let end = value.iter().position(|&b| !b.is_ascii_digit()).ok_or(HeaderError::BadMethod)?;
    if !chars::is_space(value[end]) {
        return Err(HeaderError::BadNumber);
    }
    let number = chars::decimal(&value[..end]).and_then(|n| u32::try_from(n).ok());
    Ok((number.ok_or(HeaderError::BadNumber)?, &value[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_method() {
        let cseq = |number, method| Ok(CSeq { number, method });
        assert_eq!(CSeq::parse(b"314159 INVITE"), cseq(314_159, Method::Invite));
        assert_eq!(CSeq::parse(b"0009\r\n  INVITE"), cseq(9, Method::Invite));
        assert_eq!(CSeq::parse(b"4294967295 ACK"), cseq(u32::MAX, Method::Ack));
        assert_eq!(CSeq::parse(b"1 invite"), cseq(1, Method::Other("invite".into())));
        assert_eq!(CSeq::parse(b"4294967296 ACK"), Err(HeaderError::BadNumber));
        assert_eq!(CSeq::parse(b"36893488147419103232 ACK"), Err(HeaderError::BadNumber));
        assert_eq!(CSeq::parse(b"-1 ACK"), Err(HeaderError::BadNumber));
        assert_eq!(CSeq::parse(b"1"), Err(HeaderError::BadMethod));
        assert_eq!(CSeq::parse(b"1 A B"), Err(HeaderError::BadMethod));
        assert_eq!(CSeq::parse(b""), Err(HeaderError::BadMethod));
    }

    #[test]
    fn rack() {
        let rack = RAck::parse(b"776656 1 INVITE");
        assert_eq!(rack, Ok(RAck { rseq: 776_656, cseq: CSeq { number: 1, method: Method::Invite } }));
    }
}
