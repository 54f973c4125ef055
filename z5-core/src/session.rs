//! The handle that an application holds. Cheap to clone; commands never wait; the core runs on its own thread.
//!
//! When the last handle is dropped, the session ends its calls, unregisters and stops within a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use z5_media::capture::Capture;

use crate::account::book::Book;
use crate::account::contacts::Contact;
use crate::account::vcard::Card;
use crate::call::{AudioIn, CallId, CallMedia, CallRequest, MessageId, Refusal, VideoIn};
use crate::config::{Config, RetryMode};
use crate::driver::{self, NewSource, Order, World};
use crate::error::StartError;
use crate::events::{CallState, Events, MediaKind, SessionState, StepTimings};
use crate::machine::io::{BookChange, Command};
use crate::simulation::Simulation;
use crate::store::{CallRecord, Store};
use crate::trace::SipTrace;

/// How a session is started.
#[derive(Debug, Clone, Default)]
pub struct StartOptions {
    /// Seeds every identifier on the wire, to repeat a run. Keys never come from it.
    pub seed: Option<u64>,
    /// With several numbers and none configured: wait for [`Session::choose_number`] instead of failing.
    pub interactive_number: bool,
    /// What SIP and RTP carry is written there, with the keys that open it. The application keeps a handle and calls
    /// [`Capture::finish`] after `Stopped`.
    pub capture: Option<Arc<Capture>>,
    /// What happens after a failure, when the configuration does not say it (`retry.mode`).
    pub retry: RetryMode,
    /// What survives a restart is kept there, in place of what the configuration names (`store`).
    pub store: Option<Arc<dyn Store>>,
    /// Every SIP message is noted there, redacted. The application keeps a handle and takes them when it likes.
    pub trace: Option<Arc<SipTrace>>,
    /// `CallFigures` comes this often while a call has media; none: never.
    pub figures_every: Option<Duration>,
    /// How far the session goes.
    pub goal: Goal,
}

/// How far a session goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Goal {
    /// All steps; then it stands until it is stopped.
    #[default]
    Calls,
    /// The address book is synced, both ways; then the session ends by itself. Nothing is registered, no licence is asked for,
    /// nothing is tried again.
    Contacts,
}

/// A running session.
#[derive(Debug, Clone)]
pub struct Session {
    orders: mpsc::UnboundedSender<Order>,
    call_ids: Arc<AtomicU64>,
    present: Arc<Mutex<Snapshot>>,
}

/// The present as a whole, for a late joiner.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    /// The sequence number of the last event that is in it.
    pub sequence: u64,
    /// Where the session is.
    pub state: SessionState,
    /// Our number, from step 2 on.
    pub number: Option<String>,
    /// Every call that is not over.
    pub calls: Vec<CallSnapshot>,
    /// How long the steps took.
    pub timings: StepTimings,
    /// The address book; empty before step 3 unless it was kept.
    #[serde(skip)]
    pub book: Arc<Book>,
    /// The calls that were, oldest first: those that the store keeps, and those of this session.
    #[serde(skip)]
    pub history: Arc<[CallRecord]>,
}

/// One call in a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallSnapshot {
    /// The call.
    pub call: CallId,
    /// Where it is.
    pub state: CallState,
    /// The far end called us.
    pub incoming: bool,
}

/// An identity for a contact that is added to a [`Book`] without a session (RFC 9562 version 4).
///
/// # Errors
/// When the system gives no random bytes.
pub fn contact_uuid() -> Result<String, StartError> {
    crate::entropy::uuid()
}

impl Session {
    /// Checks the configuration and starts walking the five steps. Returns at once; needs no async runtime.
    ///
    /// # Errors
    /// When the configuration cannot be used or the system gives no thread.
    pub fn start(config: Config) -> Result<(Self, Events), StartError> {
        Self::start_with(config, StartOptions::default())
    }

    /// The same with [`StartOptions`]: a store or a capture of the application's, how far it goes, how a test repeats it.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(config: Config, options: StartOptions) -> Result<(Self, Events), StartError> {
        Self::start_in(World::Real, config, options)
    }

    /// The same in simulated time, as a task of the runtime it is called in ([`crate::simulation`]).
    ///
    /// # Errors
    /// When the configuration cannot be used or there is no runtime.
    pub fn simulated(
        config: Config,
        options: StartOptions,
        simulation: Simulation,
    ) -> Result<(Self, Events), StartError> {
        Self::start_in(World::Simulated(simulation), config, options)
    }

    fn start_in(world: World, config: Config, options: StartOptions) -> Result<(Self, Events), StartError> {
        let call_ids = Arc::new(AtomicU64::new(1));
        let present = Arc::new(Mutex::new(Snapshot::default()));
        let (orders, events) =
            driver::start(config, options, world, Arc::clone(&call_ids), Arc::clone(&present))?;
        Ok((Self { orders, call_ids, present }, events))
    }

    /// Makes a call. What becomes of it is told by events: `CallEstablished` and `CallEnded`, or `CallFailed`.
    pub fn call(&self, request: CallRequest) -> CallId {
        let call = CallId(self.call_ids.fetch_add(1, Ordering::Relaxed));
        let CallRequest { target, media, anonymous, location } = request;
        let command = Command::Call { call, target, wanted: media.wanted(), anonymous, location };
        self.send(Order::Call { call, media: Box::new(media), command });
        call
    }

    /// Takes an incoming call.
    pub fn answer(&self, call: CallId, media: CallMedia) {
        let command = Command::Answer { call, wanted: media.wanted() };
        self.send(Order::Call { call, media: Box::new(media), command });
    }

    /// Declines an incoming call.
    pub fn reject(&self, call: CallId) {
        self.reject_with(call, Refusal::Decline);
    }

    /// Does not take an incoming call, and says why or who may.
    pub fn reject_with(&self, call: CallId, how: Refusal) {
        self.send(Order::Plain(Command::Reject { call, how }));
    }

    /// Ends a call, whatever its state.
    pub fn hangup(&self, call: CallId) {
        self.send(Order::Plain(Command::Hangup { call }));
    }

    /// Sends real-time text, keystroke by keystroke or in pieces.
    pub fn send_text(&self, call: CallId, text: &str) {
        self.send(Order::Plain(Command::SendText { call, text: text.to_owned() }));
    }

    /// Puts a call on hold: nothing of ours is sent and the far end is asked to send nothing (RFC 3264 section 8.4).
    /// `CallHold` tells when it has agreed.
    pub fn hold(&self, call: CallId) {
        self.send(Order::Plain(Command::Hold { call, hold: true }));
    }

    /// Takes a call off hold.
    pub fn resume(&self, call: CallId) {
        self.send(Order::Plain(Command::Hold { call, hold: false }));
    }

    /// Mutes a medium of a call on this side, or unmutes it, without signalling (RFC 9248 section 6.7). Keep-alives
    /// still go out, so that no NAT binding is lost; of video, a blank picture.
    pub fn mute(&self, call: CallId, kind: MediaKind, muted: bool) {
        self.send(Order::Plain(Command::Mute { call, kind, muted }));
    }

    /// Adds a medium to a call that stands, such as text to a call that began with sound alone (RFC 3264 section 8.1).
    /// `CallChanged` tells that the far end agreed, `CallTrouble` that it did not.
    pub fn add(&self, call: CallId, kind: MediaKind) {
        self.send(Order::Plain(Command::Add { call, kind }));
    }

    /// Sends another sound in a call that stands, from the next packet on: a tone, a file, silence, the application's own. The
    /// one before is dropped; nothing is signalled, time stamps go on. What cannot be sent is told by `CommandRefused`, and the
    /// one before goes on.
    pub fn set_audio_in(&self, call: CallId, source: AudioIn) {
        self.send(Order::Source { call, source: NewSource::Audio(source) });
    }

    /// The same of video: the far end sees the new source from its first key frame on. Refused besides where its pictures fit
    /// no packet whole and the far end takes no fragments (packetization mode 0), and for [`VideoIn::Off`]: a blank picture in
    /// place of any source is [`Self::mute`]. What is an echo stays one.
    pub fn set_video_in(&self, call: CallId, source: VideoIn) {
        self.send(Order::Source { call, source: NewSource::Video(source) });
    }

    /// Presses keys: 0-9, *, #, A-D, one after another (RFC 4733).
    pub fn send_digits(&self, call: CallId, digits: &str) {
        self.send(Order::Plain(Command::SendDigits { call, digits: digits.to_owned() }));
    }

    /// Hands a call over to someone else (a blind transfer, RFC 3515). `Transferred` tells that it worked, and the call
    /// ends; until then it goes on.
    pub fn transfer(&self, call: CallId, target: &str) {
        self.send(Order::Plain(Command::Transfer { call, target: target.to_owned() }));
    }

    /// Joins the far ends of two calls and leaves them (an attended transfer, RFC 3891).
    pub fn connect(&self, call: CallId, other: CallId) {
        self.send(Order::Plain(Command::Connect { call, other }));
    }

    /// Does what `TransferRequested` asks for; gives the new call. The far end ends the old one when the new one stands.
    pub fn accept_transfer(&self, call: CallId, media: CallMedia) -> CallId {
        let new = CallId(self.call_ids.fetch_add(1, Ordering::Relaxed));
        let command = Command::AcceptTransfer { call, new, wanted: media.wanted() };
        self.send(Order::Call { call: new, media: Box::new(media), command });
        new
    }

    /// Stays in the call that `TransferRequested` was about.
    pub fn reject_transfer(&self, call: CallId) {
        self.send(Order::Plain(Command::RejectTransfer { call }));
    }

    /// Sends a text message outside calls (RFC 3428). `MessageSent` or `MessageFailed` tells what became of it.
    pub fn message(&self, target: &str, text: &str) -> MessageId {
        let message = MessageId(self.call_ids.fetch_add(1, Ordering::Relaxed));
        let (target, text) = (target.to_owned(), text.to_owned());
        self.send(Order::Plain(Command::Message { message, target, text }));
        message
    }

    /// The network of this machine is another one, or is back: what hangs on the old one is made anew at once, names first,
    /// without waiting for a deadline. Calls keep their media. An application that hears of it from its system says it here; the
    /// session also looks by itself, once a second.
    pub fn network_changed(&self) {
        self.send(Order::Plain(Command::NetworkChanged));
    }

    /// Does now what waits for a pause to end (`Retrying`): for a button that says "try again".
    pub fn retry_now(&self) {
        self.send(Order::Plain(Command::RetryNow));
    }

    /// Chooses one of the numbers of `NumberRequired`.
    pub fn choose_number(&self, number: &str) {
        self.send(Order::Plain(Command::ChooseNumber { number: number.to_owned() }));
    }

    /// Ends calls, unregisters and stops, within a second. The last event is `Stopped`.
    pub fn stop(&self) {
        self.send(Order::Plain(Command::Stop));
    }

    /// Resolves when every command given so far was looked at: one that was refused has its `CommandRefused` among the
    /// events by then. It says nothing about what the far end makes of them. Resolves at once when the session is over.
    pub fn settled(&self) -> impl Future<Output = ()> + Send + use<> {
        let (done, settled) = oneshot::channel();
        self.send(Order::Settled(done));
        async move { drop(settled.await) }
    }

    /// The present as a whole.
    pub fn snapshot(&self) -> Snapshot {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The calls that were, oldest first: those that the store keeps, and those of this session.
    pub fn history(&self) -> Arc<[CallRecord]> {
        Arc::clone(&self.present.lock().unwrap_or_else(PoisonError::into_inner).history)
    }

    /// Forgets the calls that were, in the store too.
    pub fn clear_history(&self) {
        self.send(Order::Plain(Command::ClearHistory));
    }

    /// Every contact by name. To search them, [`Self::address_book`].
    pub fn contacts(&self) -> Vec<Contact> {
        self.address_book().contacts()
    }

    /// Adds a contact to the address book; the server gets it as soon as the session stands. `ContactsChanged` tells that it is
    /// there, `ContactNotChanged` that it is not.
    pub fn add_contact(&self, card: Card) {
        self.send(Order::Plain(Command::Contacts { change: BookChange::Add(card) }));
    }

    /// Replaces the card of a contact.
    pub fn change_contact(&self, id: &str, card: Card) {
        let id = id.to_owned();
        self.send(Order::Plain(Command::Contacts { change: BookChange::Change { id, card } }));
    }

    /// Removes a contact.
    pub fn remove_contact(&self, id: &str) {
        let id = id.to_owned();
        self.send(Order::Plain(Command::Contacts { change: BookChange::Remove { id } }));
    }

    /// Fetches news of the address book and sends changes, now. `ContactsSynced` tells what came of it; a session that does not
    /// stand yet does it when it does.
    pub fn sync_contacts(&self) {
        self.send(Order::Plain(Command::SyncContacts));
    }

    /// The address book as a whole, to search it, to read whole cards, or to export them.
    pub fn address_book(&self) -> Arc<Book> {
        Arc::clone(&self.present.lock().unwrap_or_else(PoisonError::into_inner).book)
    }

    /// A session that is over takes no more orders; its `Stopped` event has said so.
    fn send(&self, order: Order) {
        drop(self.orders.send(order));
    }
}
