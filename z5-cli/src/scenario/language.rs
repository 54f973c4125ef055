//! The words of the language: every action with the keys that may stand beside it, the keys of the file, of a party, of the mock.
//!
//! `parse` accepts exactly these; docs/schema/scenario.json and docs/scenarios.md are held to them by tests.

/// One action.
#[derive(Debug)]
pub(crate) struct Word {
    /// The key that names it.
    pub(crate) name: &'static str,
    /// The keys that may stand beside it, further than those of [`EVERY_STEP`].
    pub(crate) keys: &'static [&'static str],
    /// Somebody does it: `as` is needed when there are several parties.
    pub(crate) by_party: bool,
    /// `as` may stand all the same, to say whose.
    pub(crate) may_name_party: bool,
    /// It takes no value of its own, so its value is who does it: `hangup: alice`.
    pub(crate) names_party: bool,
    /// It needs the mock carrier.
    pub(crate) mock_only: bool,
}

const fn word(name: &'static str, keys: &'static [&'static str]) -> Word {
    Word { name, keys, by_party: true, names_party: false, may_name_party: false, mock_only: false }
}

const fn alone(name: &'static str, keys: &'static [&'static str]) -> Word {
    Word { name, keys, by_party: true, names_party: true, may_name_party: false, mock_only: false }
}

const fn of_the_mock(name: &'static str, keys: &'static [&'static str]) -> Word {
    Word { name, keys, by_party: false, names_party: false, may_name_party: false, mock_only: true }
}

const fn of_anybody(name: &'static str, keys: &'static [&'static str]) -> Word {
    Word { name, keys, by_party: false, may_name_party: true, names_party: false, mock_only: false }
}

const fn of_nobody(name: &'static str, keys: &'static [&'static str]) -> Word {
    Word { name, keys, by_party: false, names_party: false, may_name_party: false, mock_only: false }
}

/// Keys that every step may have.
pub(crate) const EVERY_STEP: &[&str] = &["name", "as", "within", "only"];

/// Every action.
pub(crate) const WORDS: &[Word] = &[
    alone("start", &[]),
    alone("register", &[]),
    alone("stop", &["confirmed"]),
    word("call", &["leg", "audio", "video", "record", "silent", "anonymous", "location"]),
    alone("answer", &["leg", "after", "audio", "video", "record", "silent", "echo"]),
    alone("reject", &["with", "to"]),
    word("incoming", &["to", "audio", "video", "silent", "echo"]),
    alone("hangup", &["leg"]),
    word("type", &["leg"]),
    word("dtmf", &["leg"]),
    alone("hold", &["leg", "refused"]),
    alone("resume", &["leg", "refused"]),
    word("mute", &["leg"]),
    word("unmute", &["leg"]),
    word("add", &["leg", "refused"]),
    word("transfer", &["leg", "refused"]),
    word("connect", &["leg", "refused"]),
    word("transfers", &[]),
    word("message", &["to"]),
    word("contact", &["numbers"]),
    word("search", &["finds"]),
    word("forget", &[]),
    alone("sync", &[]),
    word("same_contacts", &[]),
    word("history", &["where"]),
    word("wait", &["leg", "is", "has", "where", "code"]),
    word("expect", &["leg"]),
    of_nobody("pause", &[]),
    of_nobody("say", &[]),
    of_nobody("parallel", &[]),
    of_nobody("repeat", &["do"]),
    of_nobody("for", &["in", "do"]),
    of_the_mock("fault", &["from", "times"]),
    of_the_mock("mend", &[]),
    of_the_mock("impair", &["of"]),
    of_the_mock("cut", &[]),
    of_anybody("wire", &["seen", "of", "by", "header", "has", "each", "lacks"]),
];

/// Keys of the file.
pub(crate) const FILE: &[&str] =
    &["name", "about", "vars", "env", "mock", "parties", "timeout", "patience", "steps"];

/// Keys of a party.
pub(crate) const PARTY: &[&str] = &[
    "account",
    "config",
    "profile",
    "number",
    "transport",
    "srtp",
    "suites",
    "codecs",
    "location",
    "contacts",
    "seed",
];

/// Keys of `mock`.
pub(crate) const MOCK: &[&str] = &[
    "carrier",
    "seed",
    "faults",
    "impair",
    "impair_sip",
    "transport",
    "ipv6",
    "accounts",
    "grant",
    "min_expires",
];

/// Keys of an account of the mock.
pub(crate) const ACCOUNT: &[&str] = &["name", "number", "messages"];

/// Keys of an impairment.
pub(crate) const IMPAIR: &[&str] =
    &["loss", "burst", "burst_length", "delay", "jitter", "reorder", "duplicate", "rate", "queue"];

/// How a call that comes in is turned down.
pub(crate) const REFUSALS: &[&str] = &["decline", "busy", "unavailable", "redirect"];

/// What is done with calls that come in: [`REFUSALS`], and these.
pub(crate) const INCOMING: &[&str] = &["ring", "answer", "decline", "busy", "unavailable", "redirect"];

/// What is done when the far end wants to hand a call over.
pub(crate) const TRANSFERS: &[&str] = &["follow", "refuse"];

/// In which world a step is done.
pub(crate) const WORLDS: &[&str] = &["mock", "real"];

/// Whose record of the wire is looked at.
pub(crate) const EYES: &[&str] = &["carrier", "here"];

/// What is at the carrier's end of a wire.
pub(crate) const SERVERS: &[&str] = &["sip", "zdial", "mcs", "any"];

/// States that can be waited for, beside every event of docs/json.md.
pub(crate) const STATES: &[&str] =
    &["registered", "calling", "ringing", "established", "over", "failed", "text", "digits"];

/// Events that can be waited for: all but those that are states or stand for what `wait` says in another way.
pub(crate) const EVENTS: &[&str] = &[
    "step-started",
    "step-done",
    "step-failed",
    "server-failed",
    "flow-registered",
    "flow-lost",
    "ready",
    "incoming",
    "call-progress",
    "call-info",
    "call-established",
    "first-media",
    "first-picture",
    "media-silent",
    "media-back",
    "digit",
    "call-hold",
    "call-changed",
    "transfer-requested",
    "transfer-progress",
    "transferred",
    "message",
    "message-sent",
    "message-failed",
    "message-waiting",
    "mailbox-lost",
    "call-muted",
    "source-ended",
    "call-trouble",
    "call-ended",
    "call-failed",
    "command-refused",
    "retrying",
    "emergency-only",
    "licence-renewed",
    "configuration-renewed",
    "contacts-loaded",
    "contacts-changed",
    "contact-not-changed",
    "contact-merged",
    "contact-refused",
    "contacts-synced",
    "store-trouble",
    "network-changed",
    "clock-changed",
    "refreshed",
    "unregistered",
];
