//! What is kept between two runs could not be read or written. Never a reason to end a session: it goes on without.

use serde::{Serialize, Serializer};

use super::{Advice, Failure};

/// Why the store, or a record in it, is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another session has it.
    #[error(
        "another session uses the store {place}: this one goes on without; give it a store of its own (`store` in the configuration)"
    )]
    InUse {
        /// Where.
        place: String,
    },
    /// It was made for another account.
    #[error(
        "the store {place} belongs to another account: this session goes on without; give each account a store of its own"
    )]
    OtherAccount {
        /// Where.
        place: String,
    },
    /// A newer version of z5 wrote it. Nothing in it is touched.
    #[error(
        "{place} was written by a newer version of z5 (format {version}; this one knows up to {known}): nothing in it is touched"
    )]
    Newer {
        /// Where.
        place: String,
        /// The version that was seen.
        version: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// A directory with other things in it.
    #[error(
        "{place} is no store of z5 and has other things in it: name an empty directory, or one that does not exist"
    )]
    Foreign {
        /// Where.
        place: String,
    },
    /// Others can write there, or it belongs to somebody else.
    #[error("{place} cannot be trusted with secrets: {why}")]
    Permissions {
        /// Where.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// Others could read it; its permissions were mended.
    #[error(
        "others could read {place} (mode {mode:04o}); only its owner can now, but what is in it may be known"
    )]
    Exposed {
        /// Where.
        place: String,
        /// What its permissions were.
        mode: u32,
    },
    /// What is there is not what was written. It is kept under another name.
    #[error("{place} is damaged: {why}; {}", kept(moved_to.as_deref()))]
    Corrupt {
        /// Where.
        place: String,
        /// What is wrong.
        why: String,
        /// Where it is kept now; none when it stays where it is.
        moved_to: Option<String>,
    },
    /// The system does not let us read.
    #[error("{place} cannot be read: {why}")]
    Unreadable {
        /// Where.
        place: String,
        /// The system's words.
        why: String,
    },
    /// The system does not let us write. What was there before is still there.
    #[error("{place} cannot be written: {why}; what was kept before is still there")]
    Unwritable {
        /// Where.
        place: String,
        /// The system's words.
        why: String,
    },
    /// Reading or writing takes too long.
    #[error("the store did not answer within {after_ms} ms: the session goes on without")]
    TooSlow {
        /// How long it was waited for.
        after_ms: u64,
    },
}

fn kept(moved_to: Option<&str>) -> String {
    moved_to.map_or_else(
        || "it is left as it is".to_owned(),
        |place| format!("it is kept as {place} and made anew"),
    )
}

impl StoreError {
    /// Every code this type can have.
    pub const CODES: &'static [&'static str] = &[
        "store.in-use",
        "store.other-account",
        "store.newer-version",
        "store.foreign",
        "store.permissions",
        "store.exposed",
        "store.corrupt",
        "store.unreadable",
        "store.unwritable",
        "store.too-slow",
    ];

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "store.in-use",
            Self::OtherAccount { .. } => "store.other-account",
            Self::Newer { .. } => "store.newer-version",
            Self::Foreign { .. } => "store.foreign",
            Self::Permissions { .. } => "store.permissions",
            Self::Exposed { .. } => "store.exposed",
            Self::Corrupt { .. } => "store.corrupt",
            Self::Unreadable { .. } => "store.unreadable",
            Self::Unwritable { .. } => "store.unwritable",
            Self::TooSlow { .. } => "store.too-slow",
        }
    }

    /// What the user can do.
    pub const fn advice(&self) -> Advice {
        match self {
            Self::Newer { .. } => Advice::UpdateApp,
            Self::Exposed { .. } => Advice::SignInAgain,
            Self::TooSlow { .. } => Advice::RetryAfter,
            Self::InUse { .. }
            | Self::OtherAccount { .. }
            | Self::Foreign { .. }
            | Self::Permissions { .. }
            | Self::Corrupt { .. }
            | Self::Unreadable { .. }
            | Self::Unwritable { .. } => Advice::CheckSettings,
        }
    }

    /// As a plain record.
    pub fn failure(&self) -> Failure {
        Failure::outside_steps(self.code(), self.to_string(), self.advice())
    }
}

impl Serialize for StoreError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.failure().serialize(serializer)
    }
}
