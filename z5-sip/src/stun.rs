//! STUN as far as the keep-alive of a UDP flow needs it (RFC 5626 section 4.4.2): the Binding request of RFC 8489, its
//! answer with our mapped address, and that answer as a server gives it.
//!
//! STUN and SIP share the port and are told apart by the first byte of a datagram (RFC 7983 section 7: 0 to 3 is STUN; a SIP
//! message begins with a letter). No authentication, no FINGERPRINT, no other method: RFC 5626 section 8 asks for none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The length of a header, which is all of a Binding request (RFC 8489 section 5).
pub const HEADER: usize = 20;

const MAGIC_COOKIE: u32 = 0x2112_A442;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// What an answer is known by: 96 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionId(pub [u8; 12]);

/// What a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Where it sees us.
    Mapped(SocketAddr),
    /// It is a STUN server and refuses, with a code such as 400 or 500.
    Refused(u16),
}

/// Why a datagram is no answer to a Binding request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StunError {
    /// Shorter than its header, or than its header says.
    #[error("it is cut off")]
    Cut,
    /// Without the magic cookie, or with a length that is no multiple of four.
    #[error("it is no STUN message")]
    NotStun,
    /// A request, an indication or another method.
    #[error("it is no answer to a Binding request")]
    OtherType,
    /// A success without an address that can be read.
    #[error("it names no address")]
    NoAddress,
    /// An error without a code.
    #[error("it names no error code")]
    NoCode,
}

/// Whether a datagram on a SIP port is STUN (RFC 7983 section 7).
#[must_use]
pub fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3))
}

/// A Binding request without attributes.
#[must_use]
pub fn request(id: TransactionId) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
    bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    bytes[8..].copy_from_slice(&id.0);
    bytes
}

/// Reads an answer to a Binding request. Unknown attributes are passed over.
///
/// # Errors
/// What it is instead.
pub fn read_answer(datagram: &[u8]) -> Result<(TransactionId, Answer), StunError> {
    let (kind, id, attributes) = split(datagram)?;
    let answer = match kind {
        BINDING_SUCCESS => {
            let xored = find(attributes, XOR_MAPPED_ADDRESS).and_then(|value| address(value, Some(id)));
            // Servers of RFC 3489 know the plain form only.
            let mapped =
                xored.or_else(|| find(attributes, MAPPED_ADDRESS).and_then(|value| address(value, None)));
            Answer::Mapped(mapped.ok_or(StunError::NoAddress)?)
        }
        BINDING_ERROR => {
            let value = find(attributes, ERROR_CODE).ok_or(StunError::NoCode)?;
            let (&class, &number) = value.get(2).zip(value.get(3)).ok_or(StunError::NoCode)?;
            Answer::Refused(u16::from(class & 7) * 100 + u16::from(number))
        }
        _ => return Err(StunError::OtherType),
    };
    Ok((id, answer))
}

/// What a server answers to a Binding request from `source`; `None` for anything else.
#[must_use]
pub fn answer(datagram: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    let (BINDING_REQUEST, id, _) = split(datagram).ok()? else { return None };
    let mask = mask(id);
    let mut value = vec![0, if source.is_ipv4() { 1 } else { 2 }];
    value.extend(source.port().to_be_bytes().iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
    let octets = match source.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    value.extend(octets.iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
    // An attribute of 8 or 20 bytes needs no padding.
    let length = u16::try_from(value.len()).ok()?;
    let mut bytes = Vec::with_capacity(HEADER + 4 + value.len());
    bytes.extend(BINDING_SUCCESS.to_be_bytes());
    bytes.extend((length + 4).to_be_bytes());
    bytes.extend(MAGIC_COOKIE.to_be_bytes());
    bytes.extend(id.0);
    bytes.extend(XOR_MAPPED_ADDRESS.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(value);
    Some(bytes)
}

/// Type, transaction and attributes of a message.
fn split(datagram: &[u8]) -> Result<(u16, TransactionId, &[u8]), StunError> {
    let (header, rest) = datagram.split_first_chunk::<HEADER>().ok_or(StunError::Cut)?;
    let [k0, k1, l0, l1, c0, c1, c2, c3, id @ ..] = *header;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if u32::from_be_bytes([c0, c1, c2, c3]) != MAGIC_COOKIE || k0 > 0x3F || !length.is_multiple_of(4) {
        return Err(StunError::NotStun);
    }
    let attributes = rest.get(..length).ok_or(StunError::Cut)?;
    Ok((u16::from_be_bytes([k0, k1]), TransactionId(id), attributes))
}

/// The first attribute of a type.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some((&[t0, t1, l0, l1], rest)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(..length)?;
        if u16::from_be_bytes([t0, t1]) == wanted {
            return Some(value);
        }
        // Values are padded to four bytes (section 14).
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// What an address is hidden with (section 14.2): the cookie, then the transaction.
fn mask(id: TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(&id.0);
    mask
}

fn address(value: &[u8], hidden: Option<TransactionId>) -> Option<SocketAddr> {
    let mask = hidden.map_or([0; 16], mask);
    let (&[_, family, p0, p1], octets) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([p0 ^ mask[0], p1 ^ mask[1]]);
    let ip = match family {
        1 => {
            let octets: [u8; 4] = octets.try_into().ok()?;
            Ipv4Addr::from(
                u32::from_be_bytes(octets) ^ u32::from_be_bytes([mask[0], mask[1], mask[2], mask[3]]),
            )
            .into()
        }
        2 => {
            let octets: [u8; 16] = octets.try_into().ok()?;
            Ipv6Addr::from(u128::from_be_bytes(octets) ^ u128::from_be_bytes(mask)).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([7; 12]);

    /// The transaction of the sample messages of RFC 5769.
    const SAMPLE: TransactionId =
        TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

    #[test]
    fn answers_of_rfc_5769_are_read() {
        // RFC 5769 sections 2.2 and 2.3, without what this does not look at (MESSAGE-INTEGRITY, FINGERPRINT).
        let software =
            [0x80, 0x22, 0x00, 0x0b, b't', b'e', b's', b't', b' ', b'v', b'e', b'c', b't', b'o', b'r', 0x20];
        let v4 = [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        let v6 = [
            0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79,
            0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        for (attribute, expected) in [
            (v4.as_slice(), "192.0.2.1:32853"),
            (v6.as_slice(), "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
        ] {
            let length = u8::try_from(software.len() + attribute.len()).unwrap();
            let mut message = vec![0x01, 0x01, 0x00, length, 0x21, 0x12, 0xa4, 0x42];
            message.extend(SAMPLE.0);
            message.extend(software);
            message.extend(attribute);
            assert_eq!(read_answer(&message), Ok((SAMPLE, Answer::Mapped(expected.parse().unwrap()))));
        }
    }

    #[test]
    fn what_a_server_answers_is_read_back_and_everything_else_refused() {
        for source in ["127.0.0.1:40000", "[2001:db8::1]:5060"] {
            let source: SocketAddr = source.parse().unwrap();
            let answered = answer(&request(ID), source).unwrap();
            assert!(is_stun(&answered));
            assert_eq!(read_answer(&answered), Ok((ID, Answer::Mapped(source))));
            for cut in 0..answered.len() {
                assert_eq!(read_answer(&answered[..cut]), Err(StunError::Cut), "{cut}");
            }
            assert_eq!(answer(&answered, source), None, "an answer is not answered");
        }
        assert_eq!(read_answer(&request(ID)), Err(StunError::OtherType));
        let mut refused = request(ID).to_vec();
        refused[..4].copy_from_slice(&[0x01, 0x11, 0, 8]);
        refused.extend([0, 9, 0, 4, 0, 0, 4, 20]);
        assert_eq!(read_answer(&refused), Ok((ID, Answer::Refused(420))));
        let mut bare = request(ID).to_vec();
        bare[0] = 1;
        assert_eq!(read_answer(&bare), Err(StunError::NoAddress));
        bare[4] = 0;
        assert_eq!(read_answer(&bare), Err(StunError::NotStun));
        assert!(!is_stun(b"OPTIONS sip:a SIP/2.0") && !is_stun(b"\r\n\r\n") && !is_stun(b""));
    }
}
