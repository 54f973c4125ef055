//! The judge's own corners; whole messages are judged in the crate's `tests/torture.rs`.

use super::*;

#[test]
fn media_ranges() {
    for (range, kind, matches) in [
        ("*/*", "application/sdp", true),
        ("application/*", "Application/SDP", true),
        ("application/sdp", "application/sdp", true),
        ("multipart/*", "multipart/mixed", true),
        ("text/*", "application/sdp", false),
        ("application/sdp", "application/sdpx", false),
        ("", "application/sdp", false),
        ("application/sdp", "", false),
    ] {
        assert_eq!(media_matches(range, kind), matches, "{range} {kind}");
    }
}

#[test]
fn every_fault_has_its_status() {
    let header = Fault::Header { name: "To", why: HeaderError::Empty };
    for (fault, status) in [
        (Fault::Version, 505),
        (Fault::Scheme, 416),
        (Fault::Hops, 483),
        (Fault::Extensions(Vec::new()), 420),
        (Fault::MediaType, 415),
        (Fault::NotAcceptable, 406),
        (Fault::Missing("To"), 400),
        (Fault::Repeated("To"), 400),
        (Fault::Date, 400),
        (Fault::CSeqMethod, 400),
        (Fault::RequestUriHeaders, 400),
        (Fault::RequestUri(UriError::NoScheme), 400),
        (header, 400),
    ] {
        assert_eq!(answer(&fault).0, status, "{fault}");
    }
}
