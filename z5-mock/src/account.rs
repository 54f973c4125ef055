//! Customers of the mock carrier: a sign-in, and one or several phone numbers with their SIP credentials.

use std::fmt;

/// A customer who can sign in at ZDial.
#[derive(Clone)]
pub struct Account {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) numbers: Vec<Number>,
    pub(crate) suspended: bool,
    pub(crate) token: Option<String>,
}

/// One phone number of a customer; it is also one SIP user.
#[derive(Clone)]
pub struct Number {
    /// E.164 with the leading plus sign.
    pub e164: String,
    /// What the customer calls it ("Home").
    pub label: String,
    /// Shown to the person called.
    pub display_name: String,
    /// What the sign-in server says of it.
    pub state: NumberState,
    /// SIP user name (`user-name` of the RueConfig).
    pub sip_user: String,
    /// Password of the SIP user (`sip-password`); also that of the MCS's HTTPS services.
    pub sip_password: String,
    /// Whether an emergency address is on file.
    pub emergency_address_on_file: bool,
    /// Video messages that wait in the mailbox.
    pub video_messages: u32,
    /// A token that is as good as the SIP user name and password at the MCS's HTTPS services (RFC 6750).
    pub token: Option<String>,
}

/// What the sign-in server says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberState {
    /// May be chosen.
    Available,
    /// Registered elsewhere and not to be shared: choosing it is answered 409 `number-in-use`.
    InUse,
    /// Blocked by the carrier: choosing it is answered 403 `number-suspended`.
    Suspended,
}

impl NumberState {
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::InUse => "in-use",
            Self::Suspended => "suspended",
        }
    }
}

impl Number {
    /// A number with everything else derived from it: SIP user name = its digits, SIP password = `sip-` and the digits.
    pub fn new(e164: &str, display_name: &str) -> Self {
        let digits = digits(e164);
        Self {
            e164: format!("+{digits}"),
            label: "Home".to_owned(),
            display_name: display_name.to_owned(),
            state: NumberState::Available,
            sip_password: format!("sip-{digits}"),
            sip_user: digits,
            emergency_address_on_file: true,
            video_messages: 0,
            token: None,
        }
    }

    /// Whether a dialled user part means this number: E.164, its digits, or the SIP user name.
    pub(crate) fn is_dialled_by(&self, user: &str) -> bool {
        user == self.e164 || self.e164.strip_prefix('+') == Some(user) || user == self.sip_user
    }
}

impl Account {
    /// A customer without numbers yet.
    pub fn new(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            password: password.to_owned(),
            numbers: Vec::new(),
            suspended: false,
            token: None,
        }
    }

    /// Adds a number; the first one is the default.
    #[must_use]
    pub fn number(mut self, e164: &str) -> Self {
        let mut number = Number::new(e164, &self.display_name());
        if !self.numbers.is_empty() {
            number.label = format!("Phone {}", self.numbers.len() + 1);
        }
        self.numbers.push(number);
        self
    }

    /// Adds a number whose every field the caller chose.
    #[must_use]
    pub fn number_with(mut self, number: Number) -> Self {
        self.numbers.push(number);
        self
    }

    /// A token that is as good as the password at the sign-in (RFC 6750).
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Makes the sign-in answer 403 `account-suspended`.
    #[must_use]
    pub fn suspended(mut self) -> Self {
        self.suspended = true;
        self
    }

    /// The sign-in name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The sign-in password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The numbers, the default one first.
    pub fn numbers(&self) -> &[Number] {
        &self.numbers
    }

    fn display_name(&self) -> String {
        let mut letters = self.username.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    }
}

/// The accounts a carrier has when its builder was given none: two with one number, one with two.
pub fn default_accounts() -> Vec<Account> {
    vec![
        Account::new("alice", "alice-secret").number("+15555550101"),
        Account::new("bob", "bob-secret").number("+15555550102"),
        Account::new("carol", "carol-secret").number("+15555550103").number("+15555550104"),
    ]
}

/// Finds the number that a user part means: number, digits, SIP user name, or an account name (its default number).
pub(crate) fn find<'a>(accounts: &'a [Account], user: &str) -> Option<(&'a Account, &'a Number)> {
    let by_number = accounts.iter().find_map(|account| {
        account.numbers.iter().find(|number| number.is_dialled_by(user)).map(|number| (account, number))
    });
    by_number.or_else(|| {
        let account = accounts.iter().find(|account| account.username == user)?;
        Some((account, account.numbers.first()?))
    })
}

fn digits(e164: &str) -> String {
    e164.chars().filter(char::is_ascii_digit).collect()
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("username", &self.username)
            .field("password", &"[redacted]")
            .field("numbers", &self.numbers)
            .field("suspended", &self.suspended)
            .finish()
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Number")
            .field("e164", &self.e164)
            .field("label", &self.label)
            .field("state", &self.state)
            .field("sip_user", &self.sip_user)
            .field("sip_password", &"[redacted]")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_by_every_form() {
        let accounts = default_accounts();
        for user in ["+15555550101", "15555550101", "alice"] {
            let (account, number) = find(&accounts, user).unwrap();
            assert_eq!((account.username(), number.e164.as_str()), ("alice", "+15555550101"));
        }
        assert_eq!(find(&accounts, "carol").unwrap().1.e164, "+15555550103");
        assert!(find(&accounts, "nobody").is_none());
    }

    #[test]
    fn debug_output_has_no_password() {
        let text = format!("{:?}", default_accounts());
        assert!(!text.contains("secret") && !text.contains("sip-1555"), "{text}");
    }
}
