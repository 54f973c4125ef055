//! The one form of a SIP date (RFC 3261 section 25.1, `SIP-date`): RFC 1123 in GMT.

use crate::wire::chars;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// True for `Sat, 13 Nov 2010 23:29:00 GMT`.
pub(super) fn is_sip_date(value: &[u8]) -> bool {
    let Some(text) = chars::text(value) else { return false };
    let Some((day, rest)) = text.split_once(',') else { return false };
    let parts: Vec<&str> = rest.split_ascii_whitespace().collect();
    let [date, month, year, time, zone] = parts[..] else { return false };
    let number = |text: &str, width: usize, range: std::ops::RangeInclusive<u64>| {
        text.len() == width && chars::decimal(text.as_bytes()).is_some_and(|n| range.contains(&n))
    };
    let clock: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = clock[..] else { return false };
    DAYS.contains(&day)
        && number(date, 2, 1..=31)
        && MONTHS.contains(&month)
        && number(year, 4, 0..=9999)
        && number(hour, 2, 0..=23)
        && number(minute, 2, 0..=59)
        && number(second, 2, 0..=60)
        && zone == "GMT"
}

#[cfg(test)]
mod tests {
    use super::is_sip_date;

    #[test]
    fn only_the_one_form() {
        assert!(is_sip_date(b"Sat, 13 Nov 2010 23:29:00 GMT"));
        for bad in [
            "Fri, 01 Jan 2010 16:00:00 EST",
            "Sat, 13 Nov 2010 24:00:00 GMT",
            "2010-11-13",
            "",
            "Sat, 32 Nov 2010 23:29:00 GMT",
        ] {
            assert!(!is_sip_date(bad.as_bytes()), "{bad}");
        }
    }
}
