//! Errors as a product: one type per step with exact reasons, each with a stable code, and what the user can do.
//!
//! The same code appears in Rust, in JSON lines and in the exit status. docs/errors.md lists them all.

mod book;
mod call;
mod network;
mod provision;
mod register;
mod resolve;
mod sign_in;
mod start;
mod store;

use serde::{Serialize, Serializer};

pub use book::BookError;
pub use call::CallError;
pub(crate) use network::millis;
pub use network::{Attempt, AttemptOutcome, TlsFailure};
pub use provision::ProvisionError;
pub use register::RegisterError;
pub use resolve::ResolveError;
pub use sign_in::SignInError;
pub use start::StartError;
pub use store::StoreError;

/// One of the five documented steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// 1: name resolution.
    Resolve,
    /// 2: sign-in at ZDial.
    SignIn,
    /// 3: licence and address book from the MCS.
    Provision,
    /// 4: SIP registration.
    Register,
    /// 5: calls.
    Call,
}

impl Step {
    /// All five in order.
    pub const ALL: [Self; 5] = [Self::Resolve, Self::SignIn, Self::Provision, Self::Register, Self::Call];

    /// 1 to 5. The exit status of a failed step is 10 more.
    pub const fn number(self) -> u8 {
        match self {
            Self::Resolve => 1,
            Self::SignIn => 2,
            Self::Provision => 3,
            Self::Register => 4,
            Self::Call => 5,
        }
    }

    /// What happens in it, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Resolve => "resolve names",
            Self::SignIn => "sign in at ZDial",
            Self::Provision => "licence and address book",
            Self::Register => "register with SIP",
            Self::Call => "call",
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::SignIn => "sign-in",
            Self::Provision => "provision",
            Self::Register => "register",
            Self::Call => "call",
        })
    }
}

/// What the user can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// Try again now.
    RetryNow,
    /// Try again later; the failure says when, if the server said it.
    RetryAfter,
    /// Look at the network: cable, firewall, the ports of the requirement.
    CheckNetwork,
    /// Look at the configuration.
    CheckSettings,
    /// Sign in with fresh credentials.
    SignInAgain,
    /// Install a newer version.
    UpdateApp,
    /// Ask the carrier.
    AskCarrier,
    /// Report it to the makers of z5.
    ReportBug,
}

impl Advice {
    /// One sentence for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::RetryNow => "try again",
            Self::RetryAfter => "try again later",
            Self::CheckNetwork => "check the network and the firewall",
            Self::CheckSettings => "check the configuration or what was asked for",
            Self::SignInAgain => "check user name and password and sign in again",
            Self::UpdateApp => "install a newer version",
            Self::AskCarrier => "ask the carrier",
            Self::ReportBug => "report this as a bug",
        }
    }
}

/// One table per error type: pattern, code, advice. `CODES` cannot forget one because it is the same table. Where the advice depends on
/// more than the code, `but` has the cases that differ.
macro_rules! codes {
    (
        $type:ident, $step:expr, { $($pattern:pat => $code:literal, $advice:ident;)+ }
        $(but { $($special:pat => $other:ident;)+ })?
    ) => {
        impl $type {
            /// Every code this type can have.
            pub const CODES: &'static [&'static str] = &[$($code),+];

            /// The stable code.
            pub fn code(&self) -> &'static str {
                match self { $($pattern => $code),+ }
            }

            /// What the user can do.
            pub fn advice(&self) -> $crate::error::Advice {
                match self {
                    $($($special => $crate::error::Advice::$other,)+)?
                    $($pattern => $crate::error::Advice::$advice),+
                }
            }

            /// The step it belongs to.
            pub const fn step(&self) -> $crate::error::Step {
                $step
            }
        }
    };
}
use codes;

/// Why a session did not become ready, or ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SessionError {
    /// Step 1.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Step 2.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// Step 3.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// Step 4.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

impl SessionError {
    /// The step.
    pub fn step(&self) -> Step {
        match self {
            Self::Resolve(error) => error.step(),
            Self::SignIn(error) => error.step(),
            Self::Provision(error) => error.step(),
            Self::Register(error) => error.step(),
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Resolve(error) => error.code(),
            Self::SignIn(error) => error.code(),
            Self::Provision(error) => error.code(),
            Self::Register(error) => error.code(),
        }
    }

    /// What the user can do.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Resolve(error) => error.advice(),
            Self::SignIn(error) => error.advice(),
            Self::Provision(error) => error.advice(),
            Self::Register(error) => error.advice(),
        }
    }

    /// Seconds to wait, when the server said so.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Resolve(_) => None,
            Self::SignIn(error) => error.retry_after_s(),
            Self::Provision(error) => error.retry_after_s(),
            Self::Register(error) => error.retry_after_s(),
        }
    }

    /// As a plain record.
    pub fn failure(&self) -> Failure {
        Failure {
            step: Some(self.step()),
            code: self.code(),
            message: self.to_string(),
            advice: self.advice(),
            retry_after_s: self.retry_after_s(),
        }
    }
}

impl Serialize for SessionError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.failure().serialize(serializer)
    }
}

/// An error as a record: what goes into JSON lines and over bindings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// The step; none for a failure inside z5 itself.
    pub step: Option<Step>,
    /// The stable code.
    pub code: &'static str,
    /// What was seen, for people.
    pub message: String,
    /// What to do.
    pub advice: Advice,
    /// Seconds to wait, when the server said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Failure {
    /// One that belongs to no step and to no server.
    pub const fn outside_steps(code: &'static str, message: String, advice: Advice) -> Self {
        Self { step: None, code, message, advice, retry_after_s: None }
    }
}

/// A fault of z5 itself. The exit status is 70.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InternalError {
    /// The core stopped at a programming error.
    #[error("the core of z5 stopped at a programming error: {what}")]
    Panic {
        /// The words of the panic.
        what: String,
    },
}

impl InternalError {
    /// Every code this type can have.
    pub const CODES: &'static [&'static str] = &["internal.panic"];

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Panic { .. } => "internal.panic",
        }
    }

    /// What the user can do.
    pub const fn advice(&self) -> Advice {
        Advice::ReportBug
    }

    /// As a plain record.
    pub fn failure(&self) -> Failure {
        Failure::outside_steps(self.code(), self.to_string(), self.advice())
    }
}

impl Serialize for InternalError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.failure().serialize(serializer)
    }
}

/// Every code z5-core can give.
pub fn all_codes() -> Vec<&'static str> {
    [
        crate::config::ConfigError::CODES,
        StartError::OWN_CODES,
        ResolveError::CODES,
        SignInError::CODES,
        ProvisionError::CODES,
        RegisterError::CODES,
        CallError::CODES,
        StoreError::CODES,
        BookError::CODES,
        InternalError::CODES,
    ]
    .concat()
}

#[cfg(test)]
mod tests;
