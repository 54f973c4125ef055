//! `z5 contacts`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::session::AccountArgs;

#[derive(Debug, Args)]
pub(crate) struct ContactsArgs {
    #[command(subcommand)]
    pub(crate) command: ContactsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContactsCommand {
    /// Every contact, from the store; nothing is sent
    #[command(after_help = "Example:\n  z5 --config z5.toml contacts list")]
    List,
    /// Contacts by the beginning of words of their name, or by the end of a number; nothing is sent
    #[command(after_help = "Examples:\n  z5 --config z5.toml contacts search bob\n  \
        z5 --config z5.toml contacts search 0102")]
    Search {
        /// What is looked for; case and accents are no matter
        text: String,
    },
    /// Add a contact
    #[command(after_help = "Examples:\n  z5 --config z5.toml contacts add Dora +15555550177\n  \
        z5 --config z5.toml contacts add --offline \"Dora D\" sip:dora@relay.test")]
    Add(ContactAddArgs),
    /// Remove a contact
    #[command(after_help = "Example:\n  z5 --config z5.toml contacts remove Dora")]
    Remove(ContactRemoveArgs),
    /// Add the contacts of a file: vCard 3.0 or 4.0, or xCard
    #[command(after_help = "Example:\n  z5 --config z5.toml contacts import friends.vcf")]
    Import(ContactImportArgs),
    /// Write every contact, to standard output without a file; nothing is sent
    #[command(after_help = "Examples:\n  z5 --config z5.toml contacts export friends.vcf\n  \
        z5 --config z5.toml contacts export friends.xml\n  z5 --config z5.toml contacts export --format vcard3")]
    Export(ContactExportArgs),
    /// Fetch what is new on the server, send what was changed here
    #[command(after_help = "Example:\n  z5 --config z5.toml contacts sync")]
    Sync(AccountArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Change it here alone; the server hears of it with the next sync
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) account: AccountArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ContactAddArgs {
    /// The name
    pub(crate) name: String,
    /// Numbers and SIP addresses
    #[arg(value_name = "NUMBER")]
    pub(crate) numbers: Vec<String>,
    /// Add it although a contact of this name has these numbers already
    #[arg(long)]
    pub(crate) again: bool,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ContactRemoveArgs {
    /// Its id (`list --json` shows them), or a name or number that only one contact has
    pub(crate) contact: String,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ContactImportArgs {
    /// The file; "-" is standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ContactExportArgs {
    /// Where; it must not be there yet
    pub(crate) file: Option<PathBuf>,
    /// How it is written; without it xcard for FILE.xml and vcard4 otherwise
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<CardFormat>,
}

/// How contacts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CardFormat {
    Vcard4,
    Vcard3,
    Xcard,
}
