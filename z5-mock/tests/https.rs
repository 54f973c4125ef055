//! Sign-in, licence and address book, used by a plain HTTPS client.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use z5_mock::{Account, Carrier, CertificateFault, Fault, Number, Service, When};

const ID: &str = "3f0e5b1c-6a0d-4f5e-9d5e-0a9a6f0f1a11";

fn client(carrier: &Carrier) -> Client {
    let mut builder = Client::builder()
        .tls_certs_only([Certificate::from_pem(carrier.ca_pem().as_bytes()).unwrap()])
        .redirect(reqwest::redirect::Policy::none());
    for name in carrier.names().all() {
        builder = builder.resolve(name, ([127, 0, 0, 1], 0).into());
    }
    builder.build().unwrap()
}

async fn zdial(carrier: &Carrier, path: &str, user: &str, password: &str) -> (StatusCode, Value) {
    let request =
        client(carrier).get(format!("{}{path}", carrier.zdial_url())).basic_auth(user, Some(password));
    let reply = request.send().await.unwrap();
    (reply.status(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

async fn licence(carrier: &Carrier) -> (StatusCode, Value) {
    let body = json!({ "instanceId": ID, "phone-number": "+15555550101", "client": { "name": "t", "version": "1", "platform": "t" } });
    let request = client(carrier)
        .post(format!("{}/mcs/v1/license", carrier.mcs_url()))
        .basic_auth("15555550101", Some("sip-15555550101"))
        .body(body.to_string());
    let reply = request.send().await.unwrap();
    (reply.status(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn a_challenge_offers_digest_and_basic_and_wrong_credentials_are_told_apart() {
    let carrier = Carrier::builder().start().await.unwrap();
    let url = format!("{}/zdial/v1/numbers?instanceId={ID}", carrier.zdial_url());
    let reply = client(&carrier).get(&url).send().await.unwrap();
    assert_eq!(reply.status(), 401);
    let offered: Vec<_> = reply
        .headers()
        .get_all("www-authenticate")
        .iter()
        .map(|value| value.to_str().unwrap().to_owned())
        .collect();
    assert!(
        offered[0].starts_with("Digest realm=\"zdial\"") && offered[0].contains("algorithm=SHA-256"),
        "{offered:?}"
    );
    assert!(offered[1].starts_with("Basic realm=\"zdial\""));
    assert_eq!(reply.headers()["content-type"], "application/problem+json");
    assert!(reply.text().await.unwrap().contains("\"code\":\"credentials-required\""));
    let (status, problem) =
        zdial(&carrier, &format!("/zdial/v1/numbers?instanceId={ID}"), "alice", "wrong").await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (401, Some("bad-credentials")));
    assert!(!carrier.recorder().to_text().contains("d3Jvbmc"), "credentials are not recorded");
    carrier.shutdown().await;
}

#[tokio::test]
async fn numbers_are_listed_and_one_of_several_must_be_chosen() {
    let carrier = Carrier::builder().start().await.unwrap();
    let (status, list) =
        zdial(&carrier, &format!("/zdial/v1/numbers?instanceId={ID}"), "carol", "carol-secret").await;
    assert_eq!(status, 200);
    assert_eq!(list["numbers"].as_array().unwrap().len(), 2);
    assert_eq!(list["numbers"][0]["default"], true);
    let (status, problem) =
        zdial(&carrier, &format!("/rum/v1/RueConfig?instanceId={ID}"), "carol", "carol-secret").await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (409, Some("number-selection-required")));
    assert_eq!(problem["type"], "urn:z5:problem:number-selection-required");
    assert_eq!(problem["numbers"], list["numbers"]);
    let path = format!("/rum/v1/RueConfig?instanceId={ID}&phone-number=%2B15555550104");
    let (status, config) = zdial(&carrier, &path, "carol", "carol-secret").await;
    assert_eq!((status.as_u16(), config["user-name"].as_str()), (200, Some("15555550104")));
    let path = format!("/rum/v1/RueConfig?instanceId={ID}&phone-number=%2B15555550101");
    let (status, problem) = zdial(&carrier, &path, "carol", "carol-secret").await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (404, Some("unknown-number")));
    let (status, _) = zdial(&carrier, "/rum/v1/RueConfig", "alice", "alice-secret").await;
    assert_eq!(status, 400, "instanceId is required");
    carrier.shutdown().await;
}

#[tokio::test]
async fn the_only_number_is_chosen_without_asking() {
    let carrier = Carrier::builder().start().await.unwrap();
    let (_, config) =
        zdial(&carrier, &format!("/rum/v1/RueConfig?instanceId={ID}"), "alice", "alice-secret").await;
    assert_eq!(config["phone-number"], "+15555550101");
    assert_eq!(config["provider-domain"], "csdvrs.test");
    let first = format!("sip:lb.mcs.csdvrs.test:{};transport=tcp", carrier.sip_addr().port());
    assert_eq!(config["outbound-proxies"][0], first.as_str());
    assert_eq!(config["x-z5"]["mcs"].as_array().unwrap().len(), 4);
    assert_eq!(config["x-z5"]["license-uri"], format!("{}/mcs/v1/license", carrier.mcs_url()));
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_licence_is_signed_by_the_pinned_key_with_every_claim() {
    let carrier = Carrier::builder().start().await.unwrap();
    let (status, document) = licence(&carrier).await;
    assert_eq!(status, 200);
    let token = document["license"].as_str().unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::EdDSA, Some("z5-licence+jwt")));
    assert_eq!(header.kid.as_deref(), Some(carrier.licence_key().kid.as_str()));
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_issuer(&["https://mcs.csdvrs.test"]);
    rules.set_audience(&["z5"]);
    let key = DecodingKey::from_ed_components(&carrier.licence_key().x).unwrap();
    let claims = jsonwebtoken::decode::<Value>(token, &key, &rules).unwrap().claims;
    assert_eq!(claims["sub"], "+15555550101");
    assert_eq!(claims["cnf"]["instanceId"], ID);
    for name in
        ["jti", "iat", "nbf", "exp", "features", "max_calls", "max_bitrate", "grace_s", "refresh_after"]
    {
        assert!(!claims[name].is_null(), "{name}");
    }
    carrier.shutdown().await;
}

fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut next = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (next(), next())
}

#[tokio::test]
async fn each_licence_fault_is_wrong_in_its_own_way() {
    let carrier = Carrier::builder().start().await.unwrap();
    let key = DecodingKey::from_ed_components(&carrier.licence_key().x).unwrap();
    let mut signature_only = Validation::new(Algorithm::EdDSA);
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    let (_, good) = parts(licence(&carrier).await.1["license"].as_str().unwrap());
    let (iat, grace) = (good["iat"].as_u64().unwrap(), good["grace_s"].as_u64().unwrap());
    for fault in Fault::all().into_iter().filter(|fault| fault.to_string().starts_with("licence.")) {
        carrier.faults().arm(fault);
        let (status, document) = licence(&carrier).await;
        carrier.faults().disarm(fault);
        if status != 200 {
            let code = document["code"].as_str().unwrap();
            assert!(["no-licence", "licence-denied", "seats-used"].contains(&code), "{fault}: {code}");
            continue;
        }
        let token = document["license"].as_str().unwrap();
        let (header, claims) = parts(token);
        let signed = jsonwebtoken::decode::<Value>(token, &key, &signature_only).is_ok();
        match fault {
            Fault::LicenceExpired => assert!(signed && claims["exp"].as_u64().unwrap() + grace < iat),
            Fault::LicenceNotYetValid => assert!(signed && claims["nbf"].as_u64().unwrap() > iat + 3600),
            Fault::LicenceWrongDevice => assert!(signed && claims["cnf"]["instanceId"] != ID),
            Fault::LicenceWrongNumber => assert!(signed && claims["sub"] != good["sub"]),
            Fault::LicenceWrongAudience => assert!(signed && claims["aud"] != "z5"),
            Fault::LicenceWrongIssuer => assert!(signed && claims["iss"] != good["iss"]),
            Fault::LicenceForged => assert!(!signed && header["kid"] == "mock-1"),
            Fault::LicenceForeignKey => assert!(!signed && header["kid"] != "mock-1"),
            Fault::LicenceNoFeatures => assert!(signed && claims["features"].as_array().unwrap().is_empty()),
            Fault::LicenceNoCalls => assert!(signed && claims["max_calls"] == 0),
            Fault::LicenceShort => {
                assert!(signed && claims["exp"].as_u64().unwrap() < iat + 60 && claims["grace_s"] == 0);
            }
            Fault::LicenceUnsigned => assert!(header["alg"] == "none" && token.ends_with('.')),
            other => panic!("{other} gave a licence"),
        }
    }
    carrier.shutdown().await;
}

#[tokio::test]
async fn https_faults_have_their_answers() {
    let carrier = Carrier::builder().start().await.unwrap();
    let path = format!("/rum/v1/RueConfig?instanceId={ID}");
    let cases = [
        ("zdial.account-suspended", 403, "account-suspended"),
        ("zdial.number-in-use", 409, "number-in-use"),
        ("zdial.rate-limited=30", 429, "rate-limited"),
        ("zdial.maintenance", 503, "maintenance"),
        ("zdial.credentials-rejected", 401, "bad-credentials"),
        ("zdial.server-error", 500, ""),
        ("zdial.redirect", 302, ""),
        ("zdial.bad-document", 200, ""),
        ("zdial.missing-member", 200, ""),
    ];
    for (name, status, code) in cases {
        let fault: Fault = name.parse().unwrap();
        carrier.faults().arm(fault);
        let (got, document) = zdial(&carrier, &path, "alice", "alice-secret").await;
        carrier.faults().disarm(fault);
        assert_eq!((got.as_u16(), document["code"].as_str().unwrap_or_default()), (status, code), "{name}");
        assert!(document["phone-number"].is_null(), "{name}");
    }
    let (status, _) = zdial(&carrier, &path, "alice", "alice-secret").await;
    assert_eq!(status, 200);
    carrier.faults().arm("mcs.rate-limited=30".parse().unwrap());
    let reply = client(&carrier).post(format!("{}/mcs/v1/license", carrier.mcs_url())).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.headers()["retry-after"].to_str().unwrap()), (429, "30"));
    carrier.shutdown().await;
}

/// Until the sign-in server takes connections, or refuses them.
async fn until_connects(carrier: &Carrier, wanted: bool) {
    let tried = async {
        while tokio::net::TcpStream::connect(carrier.zdial_addr()).await.is_ok() != wanted {
            tokio::task::yield_now().await;
        }
    };
    let patience = std::time::Duration::from_secs(60);
    assert!(tokio::time::timeout(patience, tried).await.is_ok(), "connections are taken: never {wanted}");
}

#[tokio::test]
async fn transport_faults_come_and_go() {
    let carrier = Carrier::builder().start().await.unwrap();
    let url = format!("{}/zdial/v1/numbers?instanceId={ID}", carrier.zdial_url());
    let certificates = [CertificateFault::UnknownCa, CertificateFault::Expired, CertificateFault::WrongName];
    let mut faults: Vec<_> = certificates.map(|kind| Fault::Certificate(Service::Zdial, kind)).to_vec();
    faults.extend([
        Fault::Reset(Service::Zdial),
        Fault::Garbage(Service::Zdial),
        Fault::Refuse(Service::Zdial),
    ]);
    for fault in faults {
        assert_eq!(client(&carrier).get(&url).send().await.unwrap().status(), 401, "before {fault}");
        carrier.faults().arm(fault);
        if fault == Fault::Refuse(Service::Zdial) {
            // The listener closes as soon as the server's task has run; a connection made before that is cut.
            until_connects(&carrier, false).await;
        }
        assert!(client(&carrier).get(&url).send().await.is_err(), "{fault}");
        carrier.faults().disarm(fault);
        if fault == Fault::Refuse(Service::Zdial) {
            until_connects(&carrier, true).await;
        }
    }
    assert_eq!(client(&carrier).get(&url).send().await.unwrap().status(), 401);
    carrier.shutdown().await;
}

async fn dav(carrier: &Carrier, method: &str, path: &str, body: &str) -> (StatusCode, String) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let url = format!("{}/carddav/15555550101/default/{path}", carrier.mcs_url());
    let request = client(carrier).request(method, url).basic_auth("15555550101", Some("sip-15555550101"));
    let reply = request.header("depth", "1").body(body.to_owned()).send().await.unwrap();
    (reply.status(), reply.text().await.unwrap())
}

fn sync(token: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><d:sync-collection xmlns:d=\"DAV:\" xmlns:c=\"urn:ietf:params:xml:ns:carddav\">\
         <d:sync-token>{token}</d:sync-token><d:sync-level>1</d:sync-level><d:prop><d:getetag/><c:address-data/></d:prop></d:sync-collection>"
    )
}

fn token(document: &str) -> &str {
    document.split("<D:sync-token>").nth(1).unwrap().split('<').next().unwrap()
}

#[tokio::test]
async fn the_address_book_synchronises_whole_and_by_change() {
    let carrier = Carrier::builder().start().await.unwrap();
    let (status, properties) = dav(&carrier, "PROPFIND", "", "").await;
    assert_eq!(status, 207);
    assert!(properties.contains("<C:addressbook/>") && properties.contains("sync-collection"));
    let (status, whole) = dav(&carrier, "REPORT", "", &sync("")).await;
    assert_eq!(status, 207);
    assert!(
        whole.contains("VERSION:4.0") && whole.contains("FN:Echo") && whole.contains("FN:Bob"),
        "{whole}"
    );
    let (status, card) = dav(&carrier, "GET", "echo.vcf", "").await;
    assert!(status == 200 && card.starts_with("BEGIN:VCARD\r\n"));
    carrier.address_books().remove("15555550101", "echo.vcf");
    let (status, _) =
        dav(&carrier, "PUT", "dora.vcf", &z5_mock::vcard("0", "Dora & Co", "+15555550177")).await;
    assert_eq!(status, 201);
    let (_, delta) = dav(&carrier, "REPORT", "", &sync(token(&whole))).await;
    assert!(
        delta.contains("echo.vcf</D:href><D:status>HTTP/1.1 404") && delta.contains("Dora &amp; Co"),
        "{delta}"
    );
    assert!(!delta.contains("FN:Bob"));
    let (status, _) = dav(&carrier, "REPORT", "", &sync("urn:z5:sync:999999")).await;
    assert_eq!(status, 403);
    carrier.faults().arm(Fault::SyncTokenInvalid);
    let (status, error) = dav(&carrier, "REPORT", "", &sync(token(&delta))).await;
    assert!(status == 403 && error.contains("valid-sync-token"));
    carrier.shutdown().await;
}

#[tokio::test]
async fn one_number_cannot_read_the_book_of_another() {
    let carrier = Carrier::builder().start().await.unwrap();
    let url = format!("{}/carddav/15555550102/default/", carrier.mcs_url());
    let request = client(&carrier).get(url).basic_auth("15555550101", Some("sip-15555550101"));
    assert_eq!(request.send().await.unwrap().status(), 403);
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_client_configuration_is_private_and_complete() {
    let carrier = Carrier::builder().start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = carrier.client_config("alice").unwrap().write_to(directory.path()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(table["profile"].as_str(), Some("z5"));
    assert_eq!(table["dns"]["servers"][0].as_str(), Some(carrier.dns_addr().to_string().as_str()));
    assert_eq!(table["zdial"]["number"].as_str(), Some("+15555550101"));
    assert_eq!(table["names"]["mcs_node2"].as_str(), Some("mcs2.mcs.csdvrs.test"));
    assert_eq!(table["licence"]["keys"][0]["kid"].as_str(), Some("mock-1"));
    assert_eq!(std::fs::read_to_string(directory.path().join("ca.pem")).unwrap(), carrier.ca_pem());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let generic = carrier.generic_config("bob").unwrap().to_toml().unwrap();
    assert!(generic.contains("profile = \"generic\"") && generic.contains("username = \"15555550102\""));
    assert!(carrier.client_config("carol").unwrap().zdial.unwrap().number.is_none());
    assert!(carrier.client_config("nobody").is_none());
    carrier.shutdown().await;
}

#[tokio::test]
async fn several_carriers_live_side_by_side_and_a_port_taken_is_told() {
    let one = Carrier::builder().start().await.unwrap();
    let two = Carrier::builder().start().await.unwrap();
    assert_ne!(one.zdial_addr(), two.zdial_addr());
    let taken = Carrier::builder().zdial_port(one.zdial_addr().port()).start().await;
    assert!(taken.unwrap_err().to_string().starts_with("zdial server on 127.0.0.1:"));
    let port = one.mcs_addr().port();
    one.shutdown().await;
    let again = Carrier::builder().mcs_port(port).start().await.unwrap();
    assert_eq!(again.mcs_addr().port(), port);
}

#[tokio::test]
async fn a_silent_a_slow_and_a_cut_server_give_no_answer() {
    let carrier = Carrier::builder().start().await.unwrap();
    let url = format!("{}/zdial/v1/numbers?instanceId={ID}", carrier.zdial_url());
    for (name, patience_ms) in [("zdial.black-hole", 300), ("zdial.slow", 300), ("zdial.cut", 60_000)] {
        let patience = std::time::Duration::from_millis(patience_ms);
        let fault: Fault = name.parse().unwrap();
        carrier.faults().arm(fault);
        let answer = client(&carrier).get(&url).timeout(patience).send().await;
        carrier.faults().disarm(fault);
        let error = answer.unwrap_err();
        assert_eq!(error.is_timeout(), name != "zdial.cut", "{name}: {error:?}");
    }
    carrier.faults().arm(Fault::HugeBody(Service::Zdial));
    let answer = client(&carrier).get(&url).send().await.unwrap();
    assert_eq!(answer.content_length(), Some(64 * 1024 * 1024));
    carrier.shutdown().await;
}

#[cfg(target_os = "linux")]
// macOS has 127.0.0.1 alone.
#[cfg(not(target_os = "macos"))]
#[tokio::test]
async fn one_of_two_addresses_can_refuse() {
    let (one, two) = ([127, 0, 0, 1].into(), [127, 0, 0, 2]);
    let carrier = Carrier::builder().further_address(two.into()).start().await.unwrap();
    carrier.faults().arm_at(Fault::Reset(Service::Zdial), one);
    let answers = |address: std::net::IpAddr| {
        let name = carrier.names().zdial.clone();
        let client = Client::builder()
            .tls_certs_only([Certificate::from_pem(carrier.ca_pem().as_bytes()).unwrap()])
            .resolve(&name, (address, 0).into())
            .build()
            .unwrap();
        let url = format!("{}/zdial/v1/numbers?instanceId={ID}", carrier.zdial_url());
        async move { client.get(url).send().await.is_ok() }
    };
    assert!(!answers(one).await);
    assert!(answers(two.into()).await);
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_token_is_as_good_as_a_password_until_it_has_expired() {
    let number = Number { token: Some("mcs-token".to_owned()), ..Number::new("+15555550101", "Alice") };
    let alice = Account::new("alice", "alice-secret").token("zdial-token").number_with(number);
    let carrier = Carrier::builder()
        .account(alice)
        .account(Account::new("bob", "bob-secret").number("+15555550102"))
        .fault_when(Fault::TokenExpired(Service::Zdial), When::from_nth(2))
        .start()
        .await
        .unwrap();
    let numbers = format!("{}/zdial/v1/numbers?instanceId={ID}", carrier.zdial_url());
    let ask = async |url: &str, token: &str| {
        let reply = client(&carrier).get(url).bearer_auth(token).send().await.unwrap();
        let offered = reply.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
        (reply.status().as_u16(), offered.unwrap_or_default(), reply.text().await.unwrap())
    };
    let unasked = client(&carrier).get(&numbers).send().await.unwrap();
    assert_eq!(unasked.headers()["www-authenticate"], "Bearer realm=\"zdial\"", "before Digest and Basic");
    let wrong = ask(&numbers, "mcs-token").await;
    assert!(wrong.0 == 401 && wrong.1.contains("error=\"invalid_token\""), "{wrong:?}");
    assert_eq!(ask(&numbers, "zdial-token").await.0, 200);
    let expired = ask(&numbers, "zdial-token").await;
    assert!(expired.0 == 401 && expired.1.contains("expired"), "{expired:?}");
    assert!(expired.2.contains("\"code\":\"token-expired\""), "{expired:?}");
    // A password is as good as it was.
    assert_eq!(
        zdial(&carrier, &format!("/zdial/v1/numbers?instanceId={ID}"), "alice", "alice-secret").await.0,
        200
    );
    let list = |user: &str| format!("{}/xcard/{user}/contacts.xml", carrier.mcs_url());
    let seen = ask(&list("15555550101"), "mcs-token").await;
    assert!(seen.0 == 200 && seen.2.contains("vcards"), "{seen:?}");
    assert_eq!(ask(&list("15555550102"), "mcs-token").await.0, 403, "of somebody else");
    carrier.faults().arm(Fault::TokenExpired(Service::Mcs));
    assert_eq!(ask(&list("15555550101"), "mcs-token").await.0, 401);
    let record = carrier.recorder().to_text();
    assert!(record.contains("Bearer [redacted]") && !record.contains("mcs-token"), "{record}");
    carrier.shutdown().await;
}
