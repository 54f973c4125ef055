//! The list of codes is complete, unique and documented.

use super::*;

#[test]
fn codes_are_unique_and_carry_their_step() {
    let codes = all_codes();
    let mut seen = std::collections::BTreeSet::new();
    for code in &codes {
        assert!(seen.insert(code), "{code} twice");
    }
    let of_step = |step: Step, codes: &[&str]| {
        for code in codes {
            assert!(code.starts_with(&format!("{step}.")), "{code}");
        }
    };
    of_step(Step::Resolve, ResolveError::CODES);
    of_step(Step::SignIn, SignInError::CODES);
    of_step(Step::Provision, ProvisionError::CODES);
    of_step(Step::Register, RegisterError::CODES);
    of_step(Step::Call, CallError::CODES);
}

#[test]
fn docs_errors_lists_every_code_and_no_other() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md")).unwrap();
    let listed: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|rest| rest.split('`').next())
        .collect();
    assert_eq!(listed, all_codes());
}

/// What can be done about a message that was not taken depends on what was said.
#[test]
fn the_advice_on_a_message_is_that_on_a_call_with_the_same_status() {
    let advice = |status| CallError::MessageFailed { status, why: String::new() }.advice();
    assert_eq!(advice(Some(480)), Advice::RetryAfter);
    assert_eq!(advice(Some(404)), Advice::CheckSettings);
    assert_eq!(advice(Some(407)), Advice::SignInAgain);
    assert_eq!(advice(Some(403)), Advice::AskCarrier);
    assert_eq!(advice(None), Advice::RetryAfter);
}

#[test]
fn a_failure_is_a_plain_record() {
    let error = SessionError::from(SignInError::BadCredentials { host: "zdial.test".into() });
    let json = serde_json::to_value(&error).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "step": "sign-in",
            "code": "sign-in.bad-credentials",
            "message": "ZDial (zdial.test) rejects the user name or password (HTTP 401)",
            "advice": "sign-in-again",
        })
    );
}
