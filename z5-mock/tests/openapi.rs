//! docs/wire/*.openapi.json against what the mock really answers, also under every fault that leaves HTTP well formed: status, media type,
//! required header fields and body are those of the document. The carrier runs in simulated time, without sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]
#![expect(clippy::disallowed_methods, reason = "simulated time begins somewhere")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::{Value, json};
use z5_mock::recorder::Service;
use z5_mock::sim::{HttpsOutcome, HttpsRequest, Sim};
use z5_mock::{Account, Carrier, Fault, Number, NumberState};

const ID: &str = "3f0e5b1c-6a0d-4f5e-9d5e-0a9a6f0f1a11";
const UNIX_S: u64 = 1_800_000_000;

/// One document.
struct Api {
    text: Value,
    name: &'static str,
}

/// What came.
struct Reply {
    status: u16,
    media_type: String,
    fields: Vec<String>,
    body: Bytes,
}

impl Api {
    fn new(name: &'static str, text: &str) -> Self {
        Self { text: serde_json::from_str(text).unwrap(), name }
    }

    /// Validates a value by the schema at a place of the document.
    fn validates(&self, pointer: &str, value: &Value) -> Result<(), String> {
        let url = format!("urn:z5:openapi:{}", self.name);
        let mut schemas = boon::Schemas::new();
        let mut compiler = boon::Compiler::new();
        compiler.set_default_draft(boon::Draft::V2020_12);
        compiler.add_resource(&url, self.text.clone()).unwrap();
        let schema = compiler.compile(&format!("{url}#{pointer}"), &mut schemas).unwrap();
        schemas.validate(value, schema).map_err(|error| format!("{error:#}"))
    }

    /// Whether a reply is what the document says of this operation.
    fn holds(&self, path: &str, method: &str, reply: &Reply) -> Result<(), String> {
        let place = format!("/paths/{}/{method}/responses/{}", path.replace('/', "~1"), reply.status);
        let documented =
            self.text.pointer(&place).ok_or_else(|| format!("status {} is not documented", reply.status))?;
        for (name, field) in documented["headers"].as_object().into_iter().flatten() {
            if field["required"] == true && !reply.fields.contains(&name.to_ascii_lowercase()) {
                return Err(format!("the field {name} is missing"));
            }
        }
        let Some(content) = documented["content"].as_object() else {
            return if reply.body.is_empty() {
                Ok(())
            } else {
                Err("a body that is not documented".to_owned())
            };
        };
        if !content.contains_key(&reply.media_type) {
            return Err(format!("the type {:?} is not documented", reply.media_type));
        }
        let value = match reply.media_type.ends_with("json") {
            true => serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?,
            false => Value::from(String::from_utf8_lossy(&reply.body).into_owned()),
        };
        let media_type = reply.media_type.replace('/', "~1");
        self.validates(&format!("{place}/content/{}/schema", media_type.replace(' ', "%20")), &value)
    }
}

struct World {
    sim: Sim,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let accounts = [
            Account::new("alice", "alice-secret")
                .number_with(Number { video_messages: 2, ..Number::new("+15555550101", "Alice") }),
            Account::new("bob", "bob-secret").number("+15555550102"),
            Account::new("carol", "carol-secret").number("+15555550103").number("+15555550104"),
            Account::new("dora", "dora-secret")
                .number_with(Number { state: NumberState::Suspended, ..Number::new("+15555550105", "Dora") }),
            Account::new("emil", "emil-secret").number("+15555550106").suspended(),
        ];
        let builder = accounts.into_iter().fold(Carrier::builder(), z5_mock::Builder::account);
        Self { sim: Sim::new(builder, now, UNIX_S).unwrap(), now }
    }

    fn ask(&mut self, method: &str, port: u16, target: &str, who: Option<&str>, body: &Value) -> Reply {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        self.ask_with((method, target), port, who, None, body)
    }

    fn ask_with(
        &mut self,
        (method, target): (&str, &str),
        port: u16,
        who: Option<&str>,
        condition: Option<(&str, &str)>,
        body: Bytes,
    ) -> Reply {
        self.now += Duration::from_secs(1);
        let credentials =
            who.map(|who| ("authorization".to_owned(), format!("Basic {}", STANDARD.encode(who))));
        let condition = condition.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = credentials.into_iter().chain(condition);
        let request = HttpsRequest {
            server: SocketAddr::from(([127, 0, 0, 1], port)),
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.collect(),
            body,
        };
        match self.sim.https(request, self.now) {
            HttpsOutcome::Reply { status, headers, body } => Reply {
                status,
                media_type: headers
                    .get("content-type")
                    .map_or_else(String::new, |value| value.to_str().unwrap().to_owned()),
                fields: headers.keys().map(|name| name.as_str().to_owned()).collect(),
                body,
            },
            other => panic!("{method} {target}: {other:?}"),
        }
    }

    /// Every operation as a client and as somebody who makes mistakes.
    fn ask_everything(&mut self, check: &mut dyn FnMut(&str, &str, &str, &Reply)) {
        const ALICE: &str = "alice:alice-secret";
        for (target, who) in [
            (format!("/zdial/v1/numbers?instanceId={ID}"), Some(ALICE)),
            (format!("/zdial/v1/numbers?instanceId={ID}"), Some("carol:carol-secret")),
            (format!("/zdial/v1/numbers?instanceId={ID}"), Some("emil:emil-secret")),
            (format!("/zdial/v1/numbers?instanceId={ID}"), Some("alice:wrong")),
            (format!("/zdial/v1/numbers?instanceId={ID}"), None),
            ("/zdial/v1/numbers".to_owned(), Some(ALICE)),
            (format!("/rum/v1/RueConfig?instanceId={ID}"), Some(ALICE)),
            (format!("/rum/v1/RueConfig?instanceId={ID}"), Some("carol:carol-secret")),
            (
                format!("/rum/v1/RueConfig?instanceId={ID}&phone-number=%2B15555550104"),
                Some("carol:carol-secret"),
            ),
            (format!("/rum/v1/RueConfig?instanceId={ID}&phone-number=%2B15555550109"), Some(ALICE)),
            (format!("/rum/v1/RueConfig?instanceId={ID}"), Some("dora:dora-secret")),
            ("/rum/v1/RueConfig".to_owned(), Some(ALICE)),
        ] {
            let reply = self.ask("GET", 443, &target, who, &Value::Null);
            check("zdial", target.split('?').next().unwrap(), "get", &reply);
        }
        let application = |number: &str| json!({ "instanceId": ID, "phone-number": number });
        let sip = Some("15555550101:sip-15555550101");
        for (body, who) in [
            (application("+15555550101"), sip),
            (application("+15555550104"), sip),
            (json!({ "instanceId": ID }), sip),
            (application("+15555550101"), None),
            (application("+15555550101"), Some("15555550101:wrong")),
        ] {
            let reply = self.ask("POST", 8443, "/mcs/v1/license", who, &body);
            check("mcs", "/mcs/v1/license", "post", &reply);
        }
        self.ask_for_contacts(check);
        self.ask_for_mail(check);
    }

    fn ask_for_mail(&mut self, check: &mut dyn FnMut(&str, &str, &str, &Reply)) {
        let alice = Some("15555550101:sip-15555550101");
        for (method, id, who) in [
            ("GET", "", alice),
            ("GET", "", None),
            ("GET", "/1", alice),
            ("GET", "/1", None),
            ("GET", "/none", alice),
            ("DELETE", "/1", None),
            ("DELETE", "/1", alice),
            ("DELETE", "/1", alice),
            ("DELETE", "", None),
            ("DELETE", "", alice),
            ("GET", "/2", alice),
        ] {
            let reply = self.ask(method, 8443, &format!("/mcs/v1/videomail{id}"), who, &Value::Null);
            let path = if id.is_empty() { "/mcs/v1/videomail" } else { "/mcs/v1/videomail/{id}" };
            check("video-mail", path, &method.to_lowercase(), &reply);
        }
    }

    fn ask_for_contacts(&mut self, check: &mut dyn FnMut(&str, &str, &str, &Reply)) {
        let (alice, bob) = (Some("15555550101:sip-15555550101"), Some("15555550102:sip-15555550102"));
        let vcard = z5_mock::vcard("n", "Nora", "+15555550120");
        let none = Some(("if-none-match", "*"));
        let stale = Some(("if-match", "\"r0\""));
        let cards = "/carddav/{user}/default/{card}";
        for (method, file, who, condition, body) in [
            ("GET", "echo.vcf", alice, None, ""),
            ("GET", "nobody.vcf", alice, None, ""),
            ("GET", "echo.vcf", None, None, ""),
            ("GET", "echo.vcf", bob, None, ""),
            ("PUT", "new.vcf", alice, none, vcard.as_str()),
            ("PUT", "new.vcf", alice, None, vcard.as_str()),
            ("PUT", "new.vcf", alice, none, vcard.as_str()),
            ("PUT", "new.vcf", alice, None, "no card"),
            ("PUT", "new.vcf", None, None, vcard.as_str()),
            ("PUT", "new.vcf", bob, None, vcard.as_str()),
            ("DELETE", "new.vcf", alice, stale, ""),
            ("DELETE", "new.vcf", alice, None, ""),
            ("DELETE", "new.vcf", alice, None, ""),
            ("DELETE", "new.vcf", None, None, ""),
            ("DELETE", "new.vcf", bob, None, ""),
        ] {
            let target = format!("/carddav/15555550101/default/{file}");
            let reply = self.ask_with((method, &target), 8443, who, condition, body.to_owned().into());
            check("address-book", cards, &method.to_lowercase(), &reply);
        }
        let list = z5_mock::xcard_list(&[z5_mock::xcard("n", "Nora", "+15555550120")]);
        let (path, target) = ("/xcard/{user}/contacts.xml", "/xcard/15555550101/contacts.xml");
        for (method, who, condition, body) in [
            ("GET", alice, None, ""),
            ("GET", alice, Some(("if-none-match", "\"l1\"")), ""),
            ("GET", bob, None, ""),
            ("GET", None, None, ""),
            ("POST", alice, Some(("if-match", "\"l0\"")), list.as_str()),
            ("POST", alice, None, list.as_str()),
            ("POST", alice, None, "<vcards/>"),
            ("POST", bob, None, list.as_str()),
            ("POST", None, None, list.as_str()),
        ] {
            let reply = self.ask_with((method, target), 8443, who, condition, body.to_owned().into());
            check("address-book", path, &method.to_lowercase(), &reply);
        }
        for who in [alice, None] {
            let reply = self.ask("GET", 8443, "/.well-known/carddav", who, &Value::Null);
            check("address-book", "/.well-known/carddav", "get", &reply);
        }
    }
}

fn apis() -> [Api; 4] {
    [
        Api::new("zdial", include_str!("../../docs/wire/zdial.openapi.json")),
        Api::new("mcs", include_str!("../../docs/wire/mcs.openapi.json")),
        Api::new("address-book", include_str!("../../docs/wire/address-book.openapi.json")),
        Api::new("video-mail", include_str!("../../docs/wire/video-mail.openapi.json")),
    ]
}

/// Faults whose answer is meant to be something else than the document says.
fn breaks_the_document(fault: Fault) -> bool {
    matches!(fault, Fault::BadDocument(_) | Fault::MissingMember(_) | Fault::HugeBody(_))
}

/// Faults that leave no HTTP answer.
fn leaves_no_answer(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Refuse(_)
            | Fault::BlackHole(_)
            | Fault::Reset(_)
            | Fault::Garbage(_)
            | Fault::Slow(_)
            | Fault::Cut(_)
            | Fault::ResetMidway(_)
            | Fault::HalfOpen(_)
            | Fault::Certificate(..)
    )
}

#[test]
fn every_answer_is_what_the_documents_say_also_under_faults() {
    let apis = apis();
    let (mut wrong, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
    let faults =
        Fault::all().into_iter().filter(|fault| !breaks_the_document(*fault) && !leaves_no_answer(*fault));
    for fault in [None].into_iter().chain(faults.map(Some)) {
        let mut world = World::new();
        if let Some(fault) = fault {
            world.sim.faults().arm(fault);
        }
        world.ask_everything(&mut |name, path, method, reply| {
            let api = apis.iter().find(|api| api.name == name).unwrap();
            seen.insert((name.to_owned(), path.to_owned(), method.to_owned(), reply.status));
            if let Err(why) = api.holds(path, method, reply) {
                wrong.push(format!("{fault:?} {method} {path}: {why}"));
            }
        });
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Everything that is documented was seen.
    for api in &apis {
        for (path, operations) in api.text["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                for status in operation["responses"].as_object().unwrap().keys() {
                    let key = (api.name.to_owned(), path.clone(), method.clone(), status.parse().unwrap());
                    assert!(seen.contains(&key), "never seen: {key:?}");
                }
            }
        }
    }
}

/// The same check says no where the mock is told to break its own format.
#[test]
fn what_is_broken_on_purpose_is_not_what_the_documents_say() {
    let apis = apis();
    for service in [Service::Zdial, Service::Mcs] {
        for fault in [Fault::BadDocument(service), Fault::MissingMember(service)] {
            let mut world = World::new();
            world.sim.faults().arm(fault);
            let mut refused = 0;
            world.ask_everything(&mut |name, path, method, reply| {
                let api = apis.iter().find(|api| api.name == name).unwrap();
                refused += usize::from(api.holds(path, method, reply).is_err());
            });
            assert!(refused > 0, "{fault}");
        }
    }
}

#[test]
fn a_licence_has_the_documented_claims() {
    let mut world = World::new();
    let body = json!({ "instanceId": ID, "phone-number": "+15555550101" });
    let reply = world.ask("POST", 8443, "/mcs/v1/license", Some("15555550101:sip-15555550101"), &body);
    let document: Value = serde_json::from_slice(&reply.body).unwrap();
    let claims = document["license"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let [_, mcs, ..] = apis();
    mcs.validates("/components/schemas/Claims", &claims).unwrap();
    // The simulation says what time it is.
    assert_eq!(claims["iat"], UNIX_S + 1);
}
