//! What must never stand in a log does not, and what helps does.

use bytes::Bytes;

use super::*;

/// By value or by reference is told, and nothing of where it is.
#[test]
fn a_location_shows_its_form_alone() {
    for (value, form) in
        [("<https://location.example/alice>", "<https:***>"), ("<cid:here@z5.example>", "<cid:***>")]
    {
        let text = format!("REGISTER sip:b.test SIP/2.0\r\nGeolocation: {value}\r\nCSeq: 1 REGISTER\r\n\r\n");
        let message = Message::parse_datagram(Bytes::from(text)).unwrap();
        for reveal in [Reveal::Nothing, Reveal::People] {
            assert!(redact_but(&message, reveal).contains(&format!("Geolocation: {form}\n")));
        }
    }
}

#[test]
fn no_number_name_credential_or_key() {
    let text = "INVITE sip:+15555550101@example.com;user=phone SIP/2.0\r\n\
        Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKabc\r\n\
        From: \"Mary 555-555-0102\" <sip:+15555550102@example.com;x=5555550102>;tag=t1\r\n\
        To: <tel:+1-555-555-0101>\r\n\
        Contact: <sip:5555550102@127.0.0.1:5060;transport=tcp>;+sip.instance=\"<urn:uuid:f81d4fae>\"\r\n\
        Call-ID: 5555550102@host\r\n\
        CSeq: 7 INVITE\r\n\
        P-Asserted-Identity: \"Mary\" <tel:+15555550102>\r\n\
        Proxy-Authorization: Digest username=\"mary\", realm=\"example.com\", nonce=\"n0nce\", uri=\"sip:+15555550101@example.com\", response=\"deadbeef\", cnonce=\"c0\", nc=00000001, qop=auth\r\n\
        Authorization: Bearer s3cret\r\n\
        Subject: call me on 5555550102\r\n\
        X-Number: +15555550102\r\n\
        Reason: SIP;cause=200;text=\"called +1 (555) 555.0101\"\r\n\
        User-Agent: z5/0.1\r\n\
        Content-Type: application/sdp\r\n\r\n\
        v=0\r\no=mary 1 1 IN IP4 127.0.0.1\r\ns=Mary\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20000 RTP/SAVP 0\r\n\
        a=rtpmap:0 PCMU/8000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n\
        a=ice-pwd:asd88fgpdd777uzjYhagZg\r\nk=clear:5555\r\na=sendrecv\r\n";
    let message = Message::parse_datagram(Bytes::from(text)).unwrap();
    for shown in [redact(&message), format!("{message:?}")] {
        for secret in [
            "5555550101",
            "5555550102",
            "555-555",
            "0101",
            "0102",
            "Mary",
            "mary",
            "n0nce",
            "deadbeef",
            "c0\"",
            "s3cret",
            "WVNfX",
            "asd88",
            "f81d4fae",
            "clear:5555",
            "call me",
        ] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
    let shown = redact(&message);
    for useful in [
        "INVITE sip:***@example.com;user=phone SIP/2.0",
        "Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKabc",
        "From: \"***\" <sip:***@example.com;x>;tag=t1",
        "To: <tel:***>",
        "Contact: <sip:***@127.0.0.1:5060;transport=tcp>;+sip.instance",
        "CSeq: 7 INVITE",
        "realm=\"example.com\"",
        "response=***",
        "Authorization: Bearer ***",
        "User-Agent: z5/0.1",
        "m=audio 20000 RTP/SAVP 0",
        "a=rtpmap:0 PCMU/8000",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 ***\n",
        "o=***",
    ] {
        assert!(shown.contains(useful), "{useful} not in {shown}");
    }
}

#[test]
fn one_call_has_one_mark_and_emergency_numbers_are_no_secret() {
    let show = |call: &str| {
        let text = format!("BYE urn:service:sos.fire SIP/2.0\r\ni: {call}\r\nl: 0\r\n\r\n");
        redact(&Message::parse_datagram(Bytes::from(text)).unwrap())
    };
    assert_eq!(show("a@b"), show("a@b"));
    assert_ne!(show("a@b"), show("a@c"));
    assert!(show("x").contains("BYE urn:service:sos.fire"));
}

#[test]
fn masks_numbers_as_people_write_them_and_little_else() {
    assert_eq!(mask("call +1 (555) 555-0101 now"), "call ***now");
    assert_eq!(mask("12345"), "***");
    assert_eq!(mask("1234"), "1234");
    assert_eq!(mask("z5/0.1.0 (linux)"), "z5/0.1.0 (linux)");
    assert_eq!(mask("a\r\nb"), "a  b");
}

#[test]
fn people_may_be_shown_and_secrets_are_not() {
    let text = "INVITE sip:+15555550101:s3cret@example.com SIP/2.0\r\n\
        From: \"Mary \\\"M\\\" <b>\" <sip:+15555550102@example.com>;tag=t1\r\n\
        To: <tel:+1-555-555-0101>\r\n\
        Call-ID: a\r\n\
        CSeq: 7 INVITE\r\n\
        Reason: SIP;text=\"called 5555550103\"\r\n\
        Authorization: Digest username=\"mary\", realm=\"r\", response=\"deadbeef\"\r\n\
        X-Token: t0ken\r\n\
        Content-Type: application/sdp\r\n\r\n\
        v=0\r\na=crypto:1 inline:WVNfX19z\r\na=ice-pwd:asd88\r\n";
    let message = Message::parse_datagram(Bytes::from(text)).unwrap();
    let shown = redact_but(&message, Reveal::People);
    for seen in [
        "INVITE sip:+15555550101@example.com SIP/2.0",
        "\"Mary \"M\" <b>\" <sip:+15555550102@example.com>",
        "<tel:+1-555-555-0101>",
        "called 5555550103",
    ] {
        assert!(shown.contains(seen), "{seen} not in {shown}");
    }
    for secret in ["s3cret", "mary", "deadbeef", "t0ken", "WVNfX", "asd88"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
