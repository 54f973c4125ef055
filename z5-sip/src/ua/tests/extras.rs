//! What travels with a call beside its description: the owner's card, a location, emergency data, an asserted identity.

use super::script::{ANSWER, CALL, OFFER, Script};
use super::world::{World, capabilities, uri};
use crate::multipart;
use crate::ua::{
    BodyPart, CallFailure, CallInfo, CallKey, CallOptions, Command, Event, Location, Privacy, Reason, Side,
    UaConfig,
};
use crate::wire::{Message, Method, Name, Transport};

const CARD: &str = "<vcards><vcard/></vcards>";

fn owner(at: &str) -> CallInfo {
    CallInfo { uri: uri(at), purpose: "rue-owner".to_owned() }
}

/// The owner's card goes along as a part.
fn with_card(config: &mut UaConfig) {
    config.call_info = vec![owner("cid:card@z5.example")];
    config.parts = vec![BodyPart::referred("application/vcard+xml", "card@z5.example", CARD)];
}

fn invite(script: &mut Script, target: &str, options: CallOptions) -> Message {
    let (call, target, offer) = (CALL, uri(target), capabilities(20_000));
    script.command(Command::Invite { call, target, offer, options: Box::new(options) });
    script.next_request(Method::Invite)
}

fn kinds(message: &Message) -> Vec<String> {
    multipart::read(message).unwrap().iter().map(BodyPart::media_type).collect()
}

#[test]
fn both_ends_of_a_call_tell_who_owns_them() {
    let mut world = World::with(61, &["alice", "bob"], Transport::Tcp, with_card);
    world.register_all();
    world.connect_call();
    let told = |call_info: &[CallInfo], parts: &[BodyPart]| {
        call_info == [owner("cid:card@z5.example")]
            && parts[0].body.as_text() == Some(CARD)
            && parts[0].content_id.as_deref() == Some("card@z5.example")
    };
    let incoming = |event: &Event| {
        matches!(event, Event::Incoming { call_info, parts, offered, .. }
        if told(call_info, parts) && offered.media.len() == 2)
    };
    assert!(world.has(1, incoming), "{}", world.story());
    let taken = |event: &Event| matches!(event, Event::CallInfo { call: CallKey(1), call_info, parts } if told(call_info, parts));
    assert!(world.has(0, taken), "{}", world.story());
}

#[test]
fn a_caller_that_reads_no_parts_is_told_only_what_stands_elsewhere() {
    let tune = |config: &mut UaConfig| {
        with_card(config);
        config.call_info.push(owner("https://example.com/card"));
    };
    let accept = |extra: &str| {
        let mut script = Script::registered_with(tune);
        script.incoming(extra, OFFER);
        script.next_status(100);
        let call = script.incoming_call();
        script.command(Command::Accept { call, answer: capabilities(20_000) });
        script.next_status(200)
    };
    let plain = accept("");
    assert_eq!(plain.content_type(), Some("application/sdp"));
    let infos: Vec<&[u8]> = plain.headers(Name::CallInfo).collect();
    assert_eq!(infos, [&b"<https://example.com/card>;purpose=rue-owner"[..]]);
    let full = accept("Accept: application/sdp, multipart/mixed\n");
    assert_eq!(kinds(&full), ["application/sdp", "application/vcard+xml"]);
    assert_eq!(full.headers(Name::CallInfo).count(), 2);
}

#[test]
fn an_anonymous_call_names_no_owner() {
    let mut script = Script::registered_with(with_card);
    let options = CallOptions { privacy: Privacy::Anonymous, ..CallOptions::default() };
    let invite = invite(&mut script, "sip:bob@example.com", options);
    assert!(invite.header(Name::CallInfo).is_none());
    assert_eq!(invite.content_type(), Some("application/sdp"));
}

#[test]
fn an_emergency_call_carries_its_location_and_data_by_value() {
    let mut script = Script::registered();
    let location = Location::Value { content_id: "loc1@z5.example".to_owned(), pidf: "<presence/>".into() };
    let options = CallOptions { location: Some(location), ..CallOptions::default() };
    let data = "application/EmergencyCallData.SubscriberInfo+xml";
    let options = options.with_block("EmergencyCallData.SubscriberInfo", data, "sub1@z5.example", "<sub/>");
    let invite = invite(&mut script, "urn:service:sos", options);
    assert_eq!(invite.request_uri().unwrap().unwrap().as_str(), "urn:service:sos");
    assert_eq!(invite.header(Name::To), Some(&b"<urn:service:sos>"[..]));
    assert!(invite.text(Name::From).unwrap().contains("sip:alice@example.com"));
    assert!(invite.header(Name::Privacy).is_none() && invite.header(Name::Contact).is_some());
    assert_eq!(invite.header(Name::Geolocation), Some(&b"<cid:loc1@z5.example>"[..]));
    assert_eq!(invite.header(Name::GeolocationRouting), Some(&b"yes"[..]));
    assert!(invite.lists_token(Name::Supported, "geolocation-sip"));
    assert!(invite.lists_token(Name::Accept, "multipart/mixed"));
    let info = &b"<cid:sub1@z5.example>;purpose=EmergencyCallData.SubscriberInfo"[..];
    assert_eq!(invite.header(Name::CallInfo), Some(info));
    let parts = multipart::read(&invite).unwrap();
    assert_eq!(
        kinds(&invite),
        ["application/sdp", "application/emergencycalldata.subscriberinfo+xml", "application/pidf+xml"]
    );
    assert_eq!(parts[2].content_id.as_deref(), Some("loc1@z5.example"));
    assert_eq!(parts[2].body.as_text(), Some("<presence/>"));
    assert!(parts[0].body.as_text().unwrap().starts_with("v=0\r\n"));
    script.accept(&invite, "psap");
    script.next_request(Method::Ack);
    assert!(matches!(script.events.pop(), Some(Event::Established { .. })));
    assert!(
        !format!("{:?}", invite_debug()).contains("presence"),
        "where someone is stays out of debug lines"
    );
}

fn invite_debug() -> CallOptions {
    let location = Location::Value { content_id: "l".to_owned(), pidf: "<presence/>".into() };
    CallOptions { location: Some(location), ..CallOptions::default() }
}

#[test]
fn a_location_by_reference_names_where_it_is_given_out() {
    for (at, tag) in
        [("sips:loc@lis.example.com", "geolocation-sip"), ("https://lis.example.com/x", "geolocation-http")]
    {
        let mut script = Script::registered();
        let options = CallOptions { location: Some(Location::Reference(uri(at))), ..CallOptions::default() };
        let invite = invite(&mut script, "urn:service:sos", options);
        assert_eq!(invite.text(Name::Geolocation).unwrap(), format!("<{at}>"));
        assert!(invite.lists_token(Name::Supported, tag));
        assert_eq!(invite.content_type(), Some("application/sdp"));
    }
    // Unknown: neither Geolocation nor anything about it (R37).
    let mut script = Script::registered();
    let invite = invite(&mut script, "urn:service:sos", CallOptions::default());
    assert!(invite.header(Name::Geolocation).is_none() && invite.header(Name::GeolocationRouting).is_none());
}

#[test]
fn nothing_a_caller_gives_breaks_out_of_a_header() {
    let purpose = CallInfo { uri: uri("https://h/x"), purpose: "a\r\nX: y".to_owned() };
    let location = Location::Value { content_id: "a\r\nX: y".to_owned(), pidf: "x".into() };
    let part = BodyPart { content_type: "a/b\r\nX: y".to_owned(), ..BodyPart::default() };
    for options in [
        CallOptions { call_info: vec![purpose], ..CallOptions::default() },
        CallOptions { location: Some(location), ..CallOptions::default() },
        CallOptions { parts: vec![part], ..CallOptions::default() },
    ] {
        let mut script = Script::registered();
        let (call, target, offer) = (CALL, uri("sip:b@h"), capabilities(1));
        script.command(Command::Invite { call, target, offer, options: Box::new(options) });
        assert!(script.sent.is_empty());
        let failed = matches!(
            script.events.pop(),
            Some(Event::Failed { failure: CallFailure::Unbuildable { .. }, .. })
        );
        assert!(failed);
    }
}

fn mixed(parts: &[(&str, &str)]) -> String {
    let parts: String = parts.iter().map(|(head, body)| format!("--b\r\n{head}\r\n\r\n{body}\r\n")).collect();
    format!("{parts}--b--\r\n")
}

/// An INVITE with this body of several parts.
fn incoming(parts: &[(&str, &str)]) -> Script {
    let mut script = Script::registered();
    script.incoming("Content-Type: multipart/mixed;boundary=b\n", "");
    script.sent.clear();
    script.take_events();
    let mut script = Script::registered();
    let body = mixed(parts);
    let head = format!(
        "INVITE sip:alice@127.0.0.1:40001;transport=tcp SIP/2.0\r\nVia: SIP/2.0/TCP p.example.com;branch=z9hG4bKin1\r\n\
         Max-Forwards: 69\r\nFrom: <sip:carol@example.com>;tag=caroltag\r\nTo: <sip:alice@example.com>\r\n\
         Call-ID: incoming1\r\nCSeq: 10 INVITE\r\nContact: <sip:carol@192.0.2.3:5062;transport=tcp>\r\n\
         Content-Type: multipart/mixed;boundary=b\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let bytes = head.as_bytes();
    script.input(crate::ua::Input::Received { flow: super::script::FLOW, bytes });
    script
}

#[test]
fn an_offer_among_other_parts_is_found() {
    let pidf = ("Content-Type: application/pidf+xml\r\nContent-ID: <l@h>", "<presence/>");
    let image = ("Content-Type: image/png\r\nContent-Disposition: icon;handling=optional", "png");
    let mut script = incoming(&[pidf, ("Content-Type: application/sdp", OFFER), image]);
    script.next_status(100);
    let call = script.incoming_call();
    let found = |event: &Event| matches!(event, Event::Incoming { parts, offered, .. } if parts.len() == 2 && offered.media.len() == 1);
    assert!(script.take_events().iter().any(found));
    script.command(Command::Accept { call, answer: capabilities(20_000) });
    assert_eq!(script.next_status(200).content_type(), Some("application/sdp"));
    // Without an offer among them ours is in the 2xx.
    let mut script = incoming(&[pidf]);
    script.next_status(100);
    let call = script.incoming_call();
    script.command(Command::Accept { call, answer: capabilities(20_000) });
    assert!(!script.next_status(200).body().is_empty());
}

#[test]
fn a_part_that_must_be_understood_and_is_not_refuses_the_call() {
    for strange in [
        ("Content-Type: image/png", "png"),
        ("Content-Type: image/png\r\nContent-Disposition: x;handling=required\r\nContent-ID: <i@h>", "png"),
        ("Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64", "djA="),
    ] {
        let mut script = incoming(&[("Content-Type: application/sdp", OFFER), strange]);
        let refused = script.next_status(415);
        assert!(refused.lists_token(Name::Accept, "application/sdp"), "{strange:?}");
        assert!(!script.events.iter().any(|event| matches!(event, Event::Incoming { .. })));
    }
}

#[test]
fn an_answer_among_other_parts_is_found() {
    let mut script = Script::registered();
    let invite = script.invite();
    let body = mixed(&[("Content-Type: text/plain", "hello"), ("Content-Type: application/sdp", ANSWER)]);
    let ok = crate::wire::ResponseBuilder::to_request(&invite, 200, "").to_tag("b");
    let ok = ok.header(Name::Contact, "<sip:bob@192.0.2.7>").body("multipart/mixed;boundary=b", body);
    script.receive(&ok.build().unwrap());
    script.next_request(Method::Ack);
    assert!(matches!(script.take_events()[..], [Event::CallInfo { .. }, Event::Established { .. }]));
}

#[test]
fn the_identity_that_the_network_asserts_is_told() {
    let asserted = |extra: &str| {
        let mut script = Script::registered();
        script.incoming(extra, OFFER);
        let events = script.take_events();
        events.into_iter().find_map(|event| match event {
            Event::Incoming { asserted, .. } => Some(asserted.map(|uri| uri.to_string())),
            _ => None,
        })
    };
    let both = "P-Asserted-Identity: tel:+15555550100, \"C\" <sip:carol@carrier.example.com>\n";
    assert_eq!(asserted(both), Some(Some("sip:carol@carrier.example.com".to_owned())));
    assert_eq!(
        asserted("P-Asserted-Identity: <tel:+15555550100>\n"),
        Some(Some("tel:+15555550100".to_owned()))
    );
    assert_eq!(asserted(""), Some(None));
    // From elsewhere than our own proxy nothing is taken at all.
    let mut script = Script::new();
    script.incoming(both, OFFER);
    script.next_status(403);
    assert!(!script.events.iter().any(|event| matches!(event, Event::Incoming { .. })));
}

#[test]
fn a_call_answered_on_another_device_is_not_missed() {
    let cancelled = |extra: &str| -> Option<Reason> {
        let mut script = Script::registered();
        script.incoming("", OFFER);
        let call = script.incoming_call();
        script.command(Command::Ring { call, offer: None });
        script.take_events();
        script.raw(&format!(
            "CANCEL sip:alice@127.0.0.1:40001;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP p.example.com;branch=z9hG4bKin1\n\
             Max-Forwards: 69\nFrom: \"Carol\" <sip:carol@example.com>;tag=caroltag\nTo: <sip:alice@example.com>\n\
             Call-ID: incoming1\nCSeq: 10 CANCEL\n{extra}Content-Length: 0\n\n"
        ));
        match script.events.pop() {
            Some(Event::Failed { failure: CallFailure::Cancelled { by: Side::Remote, reason }, .. }) => {
                reason
            }
            other => panic!("{other:?}"),
        }
    };
    let elsewhere = "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\n";
    assert!(cancelled(elsewhere).is_some_and(|reason| reason.is_answered_elsewhere()));
    let both = "Reason: Q.850;cause=16, sip ;cause=200\n";
    assert!(cancelled(both).is_some_and(|reason| reason.is_answered_elsewhere()), "SIP's own reason counts");
    assert!(cancelled("Reason: SIP;cause=487\n").is_some_and(|reason| !reason.is_answered_elsewhere()));
    assert_eq!(cancelled(""), None);
}

/// By reference the header alone, by value the document as well; taking the binding back says no place.
#[test]
fn a_registration_carries_the_location_that_the_account_gives() {
    let register = |location: Option<Location>| {
        let mut script = Script::with(Transport::Tcp, |config| config.location = location);
        script.command(Command::Register);
        script.next_request(Method::Register)
    };
    let header = |message: &Message| message.header(Name::Geolocation).map(<[u8]>::to_vec);
    let plain = register(None);
    assert_eq!((header(&plain), plain.body().len()), (None, 0));
    let told = register(Some(Location::Reference(uri("https://where.example/alice"))));
    assert_eq!(header(&told).as_deref(), Some(&b"<https://where.example/alice>"[..]));
    assert!(told.header(Name::Supported).is_some_and(|value| value.ends_with(b", geolocation-http")));
    assert_eq!((told.body().len(), told.header(Name::GeolocationRouting)), (0, None));
    let document = Location::Value { content_id: "here@z5.example".to_owned(), pidf: "<presence/>".into() };
    let told = register(Some(document));
    assert_eq!(header(&told).as_deref(), Some(&b"<cid:here@z5.example>"[..]));
    let parts = multipart::read(&told).unwrap();
    assert_eq!(kinds(&told), ["application/pidf+xml"]);
    assert_eq!(parts[0].body.as_text(), Some("<presence/>"));
}
