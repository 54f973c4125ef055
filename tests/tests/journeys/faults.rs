//! What goes wrong ends with its own code, in its own step, in bounded time.
#![expect(clippy::disallowed_methods, reason = "a test measures real time")]

use std::time::{Duration, Instant};

use z5_core::Session;
use z5_mock::recorder::Service;
use z5_mock::{CertificateFault, Fault};

use crate::support::{Client, carrier, config, load};

async fn code_with(fault: Fault) -> (u8, &'static str, String) {
    let carrier = carrier(|carrier| carrier.fault(fault)).await;
    Client::failure(config(&carrier, "alice", |_| {})).await
}

macro_rules! fault_ends_with {
    ($($name:ident: $fault:expr => $step:literal, $code:literal;)+) => {$(
        #[tokio::test]
        async fn $name() {
            let (step, code, message) = code_with($fault).await;
            assert_eq!((step, code), ($step, $code), "{message}");
        }
    )+};
}

fault_ends_with! {
    an_unknown_name: Fault::NameNotFound => 1, "resolve.name-not-found";
    a_name_without_an_address: Fault::NoAddress => 1, "resolve.no-records";
    a_failing_nameserver: Fault::NameServerFailed => 1, "resolve.server-failed";
    a_refusing_nameserver: Fault::NameServerRefused => 1, "resolve.refused";
    a_refused_zdial_port: Fault::Refuse(Service::Zdial) => 2, "sign-in.unreachable";
    an_unknown_authority: Fault::Certificate(Service::Zdial, CertificateFault::UnknownCa) => 2, "sign-in.tls-unknown-issuer";
    an_expired_certificate: Fault::Certificate(Service::Zdial, CertificateFault::Expired) => 2, "sign-in.tls-expired";
    a_certificate_of_another: Fault::Certificate(Service::Zdial, CertificateFault::WrongName) => 2, "sign-in.tls-wrong-name";
    something_that_is_not_tls: Fault::Garbage(Service::Zdial) => 2, "sign-in.tls-protocol";
    rejected_credentials: Fault::CredentialsRejected(Service::Zdial) => 2, "sign-in.bad-credentials";
    a_suspended_account: Fault::AccountSuspended => 2, "sign-in.account-locked";
    a_number_in_use: Fault::NumberInUse => 2, "sign-in.number-in-use";
    too_many_requests: Fault::RateLimited(Service::Zdial, Some(Duration::from_secs(7))) => 2, "sign-in.rate-limited";
    maintenance: Fault::Maintenance(Service::Zdial, None) => 2, "sign-in.unavailable";
    a_reply_that_is_not_json: Fault::BadDocument(Service::Zdial) => 2, "sign-in.bad-reply";
    a_reply_without_a_member: Fault::MissingMember(Service::Zdial) => 2, "sign-in.bad-reply";
    a_redirect_elsewhere: Fault::Redirect(Service::Zdial) => 2, "sign-in.refused";
    a_refused_mcs_port: Fault::Refuse(Service::Mcs) => 3, "provision.unreachable";
    an_unknown_authority_at_the_mcs: Fault::Certificate(Service::Mcs, CertificateFault::UnknownCa) => 3, "provision.tls-unknown-issuer";
    rejected_credentials_at_the_mcs: Fault::CredentialsRejected(Service::Mcs) => 3, "provision.bad-credentials";
    an_expired_licence: Fault::LicenceExpired => 3, "provision.licence-expired";
    a_licence_of_tomorrow: Fault::LicenceNotYetValid => 3, "provision.licence-not-yet-valid";
    a_forged_licence: Fault::LicenceForged => 3, "provision.licence-bad-signature";
    a_licence_with_a_foreign_key: Fault::LicenceForeignKey => 3, "provision.licence-unknown-key";
    a_licence_of_another_device: Fault::LicenceWrongDevice => 3, "provision.licence-wrong-device";
    a_licence_for_another_audience: Fault::LicenceWrongAudience => 3, "provision.licence-wrong-audience";
    a_licence_from_another_issuer: Fault::LicenceWrongIssuer => 3, "provision.licence-wrong-issuer";
    a_licence_without_signature: Fault::LicenceUnsigned => 3, "provision.licence-bad-document";
    no_licence: Fault::LicenceMissing => 3, "provision.licence-missing";
    a_denied_licence: Fault::LicenceDenied => 3, "provision.licence-denied";
    no_seat: Fault::SeatsUsed => 3, "provision.seats-used";
    an_address_book_that_is_down: Fault::AddressBookDown => 3, "provision.unavailable";
    a_refused_sip_port: Fault::Refuse(Service::Sip) => 4, "register.unreachable";
    a_forbidden_registration: Fault::RegisterForbidden => 4, "register.forbidden";
    an_unusable_challenge: Fault::ChallengeUnusable => 4, "register.no-usable-challenge";
    a_connection_dropped_by_the_registrar: Fault::DropAfterRegister => 4, "register.connection-lost";
    an_overloaded_registrar: Fault::RegisterStatus(503) => 4, "register.unavailable";
}

#[tokio::test]
async fn a_wrong_password() {
    let carrier = carrier(|carrier| carrier).await;
    let files = config(&carrier, "alice", |client| {
        if let Some(zdial) = &mut client.zdial {
            zdial.password = "not it".into();
        }
    });
    let (step, code, _) = Client::failure(files).await;
    assert_eq!((step, code), (2, "sign-in.bad-credentials"));
}

#[tokio::test]
async fn a_wrong_sip_password_of_a_plain_account() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = carrier.generic_config("alice").unwrap();
    if let Some(sip) = &mut client.sip {
        sip.password = "not it".into();
    }
    let (step, code, _) = Client::failure(load(&client)).await;
    assert_eq!((step, code), (4, "register.credentials-refused"));
}

#[tokio::test]
async fn an_authority_file_without_a_certificate_is_told_before_anything_starts() {
    let carrier = carrier(|carrier| carrier).await;
    let (configuration, files) = config(&carrier, "alice", |client| client.ca_pem = "nothing\n".into());
    let error = Session::start(configuration).unwrap_err();
    assert_eq!(error.code(), "start.ca-file");
    drop(files);
}

#[tokio::test]
async fn a_number_of_someone_else() {
    let carrier = carrier(|carrier| carrier).await;
    let files = config(&carrier, "alice", |client| {
        if let Some(zdial) = &mut client.zdial {
            zdial.number = Some("+15555550999".into());
        }
    });
    let (step, code, message) = Client::failure(files).await;
    assert_eq!((step, code), (2, "sign-in.unknown-number"));
    assert!(message.contains("+15555550999") && message.contains("+15555550101"), "{message}");
}

#[tokio::test]
async fn tls_where_the_carrier_has_none() {
    let carrier = carrier(|carrier| carrier).await;
    let (mut configuration, files) = config(&carrier, "alice", |_| {});
    configuration.sip.transport = z5_core::config::Transport::Tls;
    let (step, code, message) = Client::failure((configuration, files)).await;
    assert_eq!((step, code), (2, "sign-in.no-secure-proxy"));
    assert!(message.contains("sip.transport") && message.contains("transport=tcp"), "{message}");
}

#[tokio::test]
async fn several_numbers_and_none_chosen() {
    let carrier = carrier(|carrier| carrier).await;
    let files = config(&carrier, "carol", |client| {
        if let Some(zdial) = &mut client.zdial {
            zdial.number = None;
        }
    });
    let (step, code, message) = Client::failure(files).await;
    assert_eq!((step, code), (2, "sign-in.number-required"));
    assert!(message.contains("+15555550103") && message.contains("+15555550104"), "{message}");
}

#[tokio::test]
async fn a_black_hole_in_any_step_ends_at_that_steps_deadline() {
    let patience = z5_core::config::Millis(700);
    for (service, step, code) in [
        (Service::Dns, 1, "resolve.timed-out"),
        (Service::Zdial, 2, "sign-in.timed-out"),
        (Service::Mcs, 3, "provision.timed-out"),
        (Service::Sip, 4, "register.timed-out"),
    ] {
        let carrier = carrier(|carrier| carrier.fault(Fault::BlackHole(service))).await;
        let (mut configuration, files) = config(&carrier, "alice", |_| {});
        // Of this step alone: the others take what a busy machine makes them take.
        let timeouts = &mut configuration.timeouts;
        *match step {
            1 => &mut timeouts.dns,
            2 => &mut timeouts.sign_in,
            3 => &mut timeouts.provision,
            _ => &mut timeouts.register,
        } = patience;
        let began = Instant::now();
        let (seen, found, message) = Client::failure((configuration, files)).await;
        assert_eq!((seen, found), (step, code), "{message}");
        let took = began.elapsed();
        assert!(took >= patience.duration() && took < patience.duration() * 4, "{service:?}: {took:?}");
    }
}
