//! What a scenario says, once read: a world, parties, and steps with everything filled in. No behaviour.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use z5_core::config::{AudioCodec, ContactsProtocol, SrtpMode, SrtpSuite, Transport, VideoSetting};
use z5_core::{Location, Refusal};
use z5_mock::{Fault, Impairment, Order, Service, When};

use super::yaml::Place;
use crate::act::Deed;
use crate::audio::AudioArg;
use crate::capsule::Recorder;
use crate::expect::{Expr, Eyes};

/// A scenario that can be run.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// The file, or the name of a built-in one.
    pub(crate) file: PathBuf,
    /// Where its keys begin.
    pub(crate) at: Place,
    /// What it is called; the file's name without its extension when it says nothing.
    pub(crate) name: String,
    /// The mock carrier it wants.
    pub(crate) mock: Option<MockPlan>,
    /// Who takes part.
    pub(crate) parties: Vec<PartyPlan>,
    /// What they do.
    pub(crate) steps: Arc<Vec<Step>>,
    /// How long all of it may take.
    pub(crate) timeout: Duration,
    /// A report of each party, in their order; none without `--report`.
    pub(crate) reports: Vec<Recorder>,
}

/// The carrier inside this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct MockPlan {
    /// A scenario file of the mock carrier, which the rest changes.
    pub(crate) carrier: Option<(Place, PathBuf)>,
    pub(crate) seed: Option<u64>,
    pub(crate) faults: Vec<Order>,
    pub(crate) impairment: Option<Impairment>,
    pub(crate) sip_impairment: Option<Impairment>,
    /// SIP over TLS.
    pub(crate) tls: bool,
    pub(crate) ipv6: bool,
    /// Other accounts than the usual three.
    pub(crate) accounts: Vec<AccountPlan>,
    /// The longest registration that is granted.
    pub(crate) grant: Option<Duration>,
    /// The least that is asked for.
    pub(crate) min_expires: Option<Duration>,
}

/// A customer of the mock carrier.
#[derive(Debug, Clone)]
pub(crate) struct AccountPlan {
    pub(crate) name: String,
    pub(crate) number: String,
    /// Video messages that wait.
    pub(crate) messages: u32,
}

/// One party: a session of its own.
#[derive(Debug, Clone)]
pub(crate) struct PartyPlan {
    pub(crate) at: Place,
    pub(crate) name: String,
    /// The account of the mock carrier; the party's name when it says nothing.
    pub(crate) account: Option<String>,
    /// A configuration file, for a real carrier.
    pub(crate) config: Option<PathBuf>,
    /// Without steps 2 and 3, at the mock carrier.
    pub(crate) generic: bool,
    /// And where it stands.
    pub(crate) number: Option<(Place, String)>,
    pub(crate) transport: Option<Transport>,
    pub(crate) srtp: Option<SrtpMode>,
    pub(crate) suites: Vec<SrtpSuite>,
    pub(crate) codecs: Vec<AudioCodec>,
    /// Where the party is, as the configuration writes it; its registrations carry it.
    pub(crate) location: Option<String>,
    /// Which of the address books that the sign-in names.
    pub(crate) contacts: Option<ContactsProtocol>,
    pub(crate) seed: Option<u64>,
    /// Its calls by name, the one without a name first.
    pub(crate) legs: Vec<String>,
}

/// One step.
#[derive(Debug)]
pub(crate) struct Step {
    /// Where it stands.
    pub(crate) at: Place,
    /// Which of all, loops unrolled: every step has a number of its own.
    pub(crate) number: usize,
    /// The name that the author gave it.
    pub(crate) name: Option<String>,
    /// Who does it: an index into the parties. None: nobody in particular.
    pub(crate) party: Option<usize>,
    /// Which of the party's calls it is about: an index into its legs; 0 is the one without a name.
    pub(crate) leg: usize,
    /// How long it may take.
    pub(crate) within: Duration,
    /// It has to be refused, with this code.
    pub(crate) refused: Option<Expr>,
    /// It is done in such a world alone; in the other one the scenario is without it.
    pub(crate) only: Option<Only>,
    /// The key that says what it is.
    pub(crate) word: &'static str,
    /// What is done.
    pub(crate) action: Action,
}

/// A kind of world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Only {
    /// The mock carrier.
    Mock,
    /// Somebody else's.
    Real,
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Action {
    /// Begins a session.
    Start,
    /// Begins it when needed, and waits until it is registered.
    Register,
    /// Ends the session; the registrar has to confirm, unless told otherwise.
    Stop { confirmed: bool },
    /// Places a call.
    Call(Box<CallPlan>),
    /// Waits for a call, lets it ring, takes it.
    Answer { after: Duration, media: MediaPlan },
    /// Waits for a call, turns it down.
    Reject(Refusal),
    /// What is done with calls that come in from now on.
    Incoming(Policy),
    /// Whether the far end may hand calls over from now on.
    Transfers { follow: bool },
    /// Joins the far end of the call with that of another leg.
    Connect { other: usize },
    /// Judges whom a search of the address book finds; without names somebody.
    Search { text: String, finds: Option<Vec<String>> },
    /// Removes the contact of this name.
    Forget { name: String },
    /// Judges the calls that were.
    History { calls: usize, members: Vec<(String, TextTest)> },
    /// Something in the running call.
    Do(Deed),
    /// A text message outside calls.
    Message { to: String, text: String },
    /// Adds a contact; its server has to take it.
    Contact { name: String, numbers: Vec<String> },
    /// Syncs the address book.
    Sync,
    /// Judges that it is the same as that of another party: an index into the parties.
    SameContacts(usize),
    /// Waits for something.
    Wait(Wait),
    /// Lets time pass.
    Pause(Duration),
    /// Judges the party's result.
    Expect(Vec<Expr>),
    /// Arms a fault of the mock carrier.
    Fault(Fault, When),
    /// Disarms it.
    Mend(Fault),
    /// Impairs media or SIP otherwise.
    Impair(Impaired, Impairment),
    /// Ends every SIP connection of the mock carrier.
    Cut,
    /// Judges what crossed the wire.
    Wire(Wire),
    /// Several lists of steps at the same time.
    Parallel(Vec<Arc<Vec<Step>>>),
    /// Says something.
    Say(String),
}

/// What is done with calls that come in.
#[derive(Debug, Clone)]
pub(crate) enum Policy {
    /// They ring until a step takes them.
    Ring,
    /// They are taken; while there is a call the next one is told that we are busy.
    Answer(MediaPlan),
    /// They are turned down.
    Refuse(Refusal),
}

/// A call to be placed.
#[derive(Debug)]
pub(crate) struct CallPlan {
    pub(crate) target: String,
    pub(crate) anonymous: bool,
    pub(crate) location: Option<Location>,
    pub(crate) media: MediaPlan,
}

/// What a call sends and keeps.
#[derive(Debug, Clone)]
pub(crate) struct MediaPlan {
    pub(crate) audio: AudioArg,
    pub(crate) video: Option<VideoSetting>,
    /// A folder for recordings.
    pub(crate) record: Option<PathBuf>,
    /// Sound or pictures that were agreed may stay away.
    pub(crate) silent: bool,
    /// What comes goes back; `audio` and `video` are not sent.
    pub(crate) echo: bool,
}

/// What is waited for.
#[derive(Debug)]
pub(crate) enum Wait {
    /// A state of the party or its call: true already counts.
    State(Standing),
    /// Text (or keys) of the far end.
    Heard { what: Heard, test: TextTest },
    /// An event that was not waited for yet.
    Event { name: &'static str, members: Vec<(String, TextTest)> },
    /// A failure, of this code if one is named.
    Failed(Option<Expr>),
}

/// A state that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Registered,
    Calling,
    Ringing,
    Established,
    Over,
}

/// What of the far end is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Text,
    Digits,
}

/// What a text has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextTest {
    Is(String),
    Has(String),
}

impl TextTest {
    pub(crate) fn holds(&self, text: &str) -> bool {
        match self {
            Self::Is(wanted) => text == wanted,
            Self::Has(part) => text.contains(part),
        }
    }

    pub(crate) fn words(&self) -> String {
        match self {
            Self::Is(wanted) => format!("is {wanted:?}"),
            Self::Has(part) => format!("has {part:?}"),
        }
    }
}

/// What has to have crossed the wire.
#[derive(Debug)]
pub(crate) struct Wire {
    /// How the message (or remark) begins.
    pub(crate) start: String,
    /// Whose record is looked at; the carrier's where it is the mock, else z5's.
    pub(crate) seen: Option<Eyes>,
    /// What is at the carrier's end; none: anything.
    pub(crate) of: Option<Service>,
    /// Sent by the carrier, not by a client.
    pub(crate) by_carrier: bool,
    /// Only this header field is looked at.
    pub(crate) header: Option<String>,
    /// One message has all of these.
    pub(crate) has: Vec<String>,
    /// Each message has one of these.
    pub(crate) each: Vec<String>,
    /// No message has any of these.
    pub(crate) lacks: Vec<String>,
}

impl Wire {
    /// Why z5's own record has nothing of this.
    pub(crate) fn unseen_here(&self) -> Option<&'static str> {
        let of_sip = self.of == Some(Service::Sip);
        (!of_sip).then_some("z5's own record is of SIP alone: what HTTPS came to only the mock carrier tells")
    }
}

/// What an impairment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Impaired {
    Media,
    Sip,
}
