//! The customers of a scenario file. Whatever one can be called by belongs to one of them alone.

use toml::Spanned;

use super::file::AccountEntry;
use super::judge::{Judge, one_of};
use crate::FarEnd;
use crate::account::{Account, Number, NumberState};

/// All of them, judged one by one and beside each other.
pub(super) fn accounts(entries: &[AccountEntry], judge: &mut Judge<'_>) -> Vec<Account> {
    let mut known: Vec<Account> = Vec::new();
    let tokens = entries.iter().flat_map(|entry| {
        let of_numbers =
            entry.number.iter().filter_map(|number| Some(("account.number.token", number.token.as_ref()?)));
        entry.token.iter().map(|token| ("account.token", token)).chain(of_numbers)
    });
    let mut seen: Vec<&String> = Vec::new();
    for (key, token) in tokens {
        if seen.contains(&token.get_ref()) {
            judge.wrong(token, key, "it is there twice: whose it is would not be known, give each its own");
        }
        seen.push(token.get_ref());
    }
    for entry in entries {
        let username = &entry.username;
        if username.get_ref().is_empty() {
            judge.wrong(username, "account.username", "nobody can sign in without a name: write one");
        } else if known.iter().any(|other| other.username() == username.get_ref()) {
            let why = format!("{:?} is the name of another account: give each its own", username.get_ref());
            judge.wrong(username, "account.username", why);
        }
        let account = account(entry, judge);
        for (at, (given, number)) in entry.number.iter().zip(account.numbers()).enumerate() {
            let before = known.iter().flat_map(Account::numbers).chain(&account.numbers()[..at]);
            let (mut number_of, mut user_of) = (None, None);
            for other in before {
                number_of = number_of.or_else(|| other.is_dialled_by(&number.e164).then_some(other));
                user_of = user_of.or_else(|| other.is_dialled_by(&number.sip_user).then_some(other));
            }
            match (number_of, user_of, &given.sip_user) {
                (Some(_), ..) => {
                    let why = format!("{} belongs to an account already: give each number once", number.e164);
                    judge.wrong(&given.number, "account.number.number", why);
                }
                (None, Some(other), Some(user)) => {
                    let why =
                        format!("{} is called by this name already: give each number its own", other.e164);
                    judge.wrong(user, "account.number.sip_user", why);
                }
                (None, ..) => {}
            }
        }
        known.push(account);
    }
    known
}

fn account(entry: &AccountEntry, judge: &mut Judge<'_>) -> Account {
    let username = entry.username.get_ref();
    let mut account = Account::new(username, &entry.password);
    for given in &entry.number {
        let text = given.number.get_ref();
        if !text.starts_with('+') || text.len() < 3 || !text[1..].bytes().all(|byte| byte.is_ascii_digit()) {
            judge.wrong(
                &given.number,
                "account.number.number",
                format!("{text:?} is no phone number: write it as +15555550101"),
            );
        }
        if FarEnd::of(text).is_some() {
            let why = format!(
                "{text} is a far end of the carrier (docs/mock.md), who calls it never gets here: take another"
            );
            judge.wrong(&given.number, "account.number.number", why);
        }
        let mut number = Number::new(text, given.display_name.as_deref().unwrap_or(username));
        number.state = match given.state.as_ref().map(|state| state.get_ref().as_str()) {
            None | Some("available") => NumberState::Available,
            Some("in-use") => NumberState::InUse,
            Some("suspended") => NumberState::Suspended,
            Some(other) => {
                if let Some(state) = &given.state {
                    judge.wrong(
                        state,
                        "account.number.state",
                        one_of(other, &["available", "in-use", "suspended"]),
                    );
                }
                NumberState::Available
            }
        };
        number.label = given.label.clone().unwrap_or(number.label);
        number.sip_user = given.sip_user.as_ref().map_or(number.sip_user, |user| user.get_ref().clone());
        number.sip_password = given.sip_password.clone().unwrap_or(number.sip_password);
        number.emergency_address_on_file = given.emergency_address_on_file.unwrap_or(true);
        number.video_messages = given.video_messages.unwrap_or(0);
        number.token = token("account.number.token", given.token.as_ref(), judge);
        account = account.number_with(number);
    }
    account.token = token("account.token", entry.token.as_ref(), judge);
    if entry.suspended { account.suspended() } else { account }
}

/// As it can stand in a header (RFC 6750 section 2.1: `b64token`).
fn token(key: &str, given: Option<&Spanned<String>>, judge: &mut Judge<'_>) -> Option<String> {
    let given = given?;
    let text = given.get_ref();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if text.is_empty() || !text.bytes().all(fits) {
        judge.wrong(given, key, "it is no token: letters, digits and - . _ ~ + / = make one");
    }
    Some(text.clone())
}
