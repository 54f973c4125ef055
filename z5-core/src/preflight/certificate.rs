//! Facts of a certificate for people who must find out why it is not believed: names, issuer, validity (RFC 5280 section 4.1).
//!
//! Reads only; whether it is believed is decided by the TLS library. What cannot be read is left out.

use serde::Serialize;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CertificateFacts {
    /// Its DNS names.
    pub names: Vec<String>,
    /// The common name of who signed it; none when it has none.
    pub issuer: Option<String>,
    /// Valid from then, in seconds since 1970.
    pub not_before_unix_s: Option<i64>,
    /// Valid until then.
    pub not_after_unix_s: Option<i64>,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const OBJECT: u8 = 0x06;
/// `[0] EXPLICIT` of the version.
const VERSION: u8 = 0xa0;
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

impl CertificateFacts {
    /// From DER.
    pub(crate) fn read(der: &[u8], names: Vec<String>) -> Self {
        let mut facts = Self { names, ..Self::default() };
        let Some((SEQUENCE, certificate, _)) = element(der) else { return facts };
        let Some((SEQUENCE, mut fields, _)) = element(certificate) else { return facts };
        if let Some((VERSION, _, rest)) = element(fields) {
            fields = rest;
        }
        // serial number, signature algorithm, issuer, validity
        let mut next = || {
            let (_, content, rest) = element(fields)?;
            fields = rest;
            Some(content)
        };
        let (Some(_), Some(_), Some(issuer), Some(validity)) = (next(), next(), next(), next()) else {
            return facts;
        };
        facts.issuer = common_name(issuer);
        if let Some((tag, from, rest)) = element(validity) {
            facts.not_before_unix_s = time(tag, from);
            facts.not_after_unix_s = element(rest).and_then(|(tag, until, _)| time(tag, until));
        }
        facts
    }

    /// In words, as seen at `now_s` (seconds since 1970).
    pub fn words(&self, now_s: u64) -> String {
        let mut words = match self.names.as_slice() {
            [] => "certificate without a DNS name".to_owned(),
            [first, second, third, more @ ..] if !more.is_empty() => {
                format!("certificate for {first}, {second}, {third} and {} more", more.len())
            }
            few => format!("certificate for {}", few.join(", ")),
        };
        if let Some(issuer) = &self.issuer {
            words += &format!(", signed by {issuer}");
        }
        let now = i64::try_from(now_s).unwrap_or(i64::MAX);
        if let Some(until) = self.not_after_unix_s {
            let days = until.saturating_sub(now) / 86_400;
            words += &match until < now {
                true => format!(", expired {} days ago", -days),
                false => format!(", valid for {days} days"),
            };
        }
        words
    }
}

/// Tag, content, and what follows (X.690 section 8.1: definite lengths of up to four octets).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (octets, rest) = rest.split_at_checked(count)?;
        (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn common_name(mut name: &[u8]) -> Option<String> {
    while let Some((SET, set, rest)) = element(name) {
        name = rest;
        let Some((SEQUENCE, pair, _)) = element(set) else { continue };
        if let Some((OBJECT, COMMON_NAME, value)) = element(pair) {
            let (_, text, _) = element(value)?;
            return Some(String::from_utf8_lossy(text).into_owned());
        }
    }
    None
}

/// RFC 5280 section 4.1.2.5: `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` after.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest): (i64, &str) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let year: i64 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        (GENERALIZED_TIME, 14) => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let (hour, minute, second) = (part(4)?, part(6)?, part(8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // days of the civil calendar, counted in years that begin in March
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(time(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, b"240229123456Z"), Some(1_709_210_096));
        assert_eq!(time(GENERALIZED_TIME, b"20500101000000Z"), Some(2_524_608_000));
        for bad in ["", "Z", "24022912345Z", "241329123456Z", "2402291234xxZ", "240229123456"] {
            assert_eq!(time(UTC_TIME, bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_certificate_says_who_signed_it_and_until_when() {
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(rcgen::DnType::OrganizationName, "Some Organisation");
        authority.distinguished_name.push(rcgen::DnType::CommonName, "Test Authority");
        let authority =
            rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().unwrap()).unwrap();
        let mut leaf = rcgen::CertificateParams::new(vec!["sip.example".to_owned()]).unwrap();
        leaf.not_before = rcgen::date_time_ymd(2026, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(2027, 1, 1);
        let leaf = leaf.signed_by(&rcgen::KeyPair::generate().unwrap(), &authority).unwrap();
        let facts = CertificateFacts::read(leaf.der(), vec!["sip.example".to_owned()]);
        assert_eq!(facts.issuer.as_deref(), Some("Test Authority"));
        assert_eq!(
            (facts.not_before_unix_s, facts.not_after_unix_s),
            (Some(1_767_225_600), Some(1_798_761_600))
        );
        assert_eq!(
            facts.words(1_798_761_600 - 10 * 86_400),
            "certificate for sip.example, signed by Test Authority, valid for 10 days"
        );
        assert!(facts.words(1_798_761_600 + 3 * 86_400).ends_with("expired 3 days ago"));
        // every beginning of it is read without a panic
        for end in 0..leaf.der().len() {
            drop(CertificateFacts::read(&leaf.der()[..end], Vec::new()));
        }
    }
}
