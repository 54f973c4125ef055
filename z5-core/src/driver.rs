//! The driver: one thread with its own small runtime. It carries facts to the machine and wishes to the network, and decides nothing.
//!
//! A panic in here (or in the machine) becomes the final event of the session; it never reaches the application's threads.

mod dns;
#[cfg(all(test, target_os = "linux"))]
mod elsewhere;
mod https;
mod imagined;
mod look;
mod media;
mod probe;
mod race;
mod sip;
mod store;
mod tap;
mod tls;
mod tracer;
mod wires;

pub(crate) use dns::system_nameservers;
pub(crate) use probe::Prober;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use z5_sip::ident::Ident;
use z5_sip::outbox::Outbox;
use z5_sip::ua::{FlowEnd, FlowId};

use crate::call::{AudioIn, CallId, CallMedia, VideoIn};
use crate::clock::{self, WallAnchor};
use crate::config::{Config, ConfigError, Problem};
use crate::egress::{Guard, Passage};
use crate::entropy::Entropy;
use crate::error::{Attempt, AttemptOutcome, InternalError, StartError, StoreError};
use crate::events::{EventKind, EventSender, Events, MediaKind, event_channel};
use crate::machine::Machine;
use crate::machine::io::{
    Command, Effect, HttpsFailure, HttpsReply, Input, LookupAnswer, LookupFailure, LookupId, MediaFact,
    RequestId,
};
use crate::machine::plan::Plan;
use crate::session::{CallSnapshot, Snapshot, StartOptions};
use crate::simulation::{Dice, Heard, Simulation};
use crate::store::Recalled;

use self::imagined::Imagined;
use self::wires::Wires;

/// What the session's handle sends.
pub(crate) enum Order {
    Plain(Command),
    /// A command with the sources and sinks that belong to it.
    Call {
        call: CallId,
        media: Box<CallMedia>,
        command: Command,
    },
    /// Another source for a call that stands.
    Source {
        call: CallId,
        source: NewSource,
    },
    /// Everything before this was handled.
    Settled(oneshot::Sender<()>),
}

/// What is sent instead from now on.
pub(crate) enum NewSource {
    Audio(AudioIn),
    Video(VideoIn),
}

impl NewSource {
    fn kind(&self) -> MediaKind {
        match self {
            Self::Audio(_) => MediaKind::Audio,
            Self::Video(_) => MediaKind::Video,
        }
    }
}

/// What the tasks of the driver report.
pub(crate) enum Fact {
    Looked {
        id: LookupId,
        outcome: Result<LookupAnswer, LookupFailure>,
    },
    Https {
        id: RequestId,
        outcome: Result<HttpsReply, HttpsFailure>,
    },
    Connected {
        flow: FlowId,
        link: sip::Link,
        /// The address that was connected to.
        remote: SocketAddr,
        tried: Vec<Attempt>,
    },
    ConnectFailed {
        flow: FlowId,
        attempts: Vec<Attempt>,
    },
    /// `room` is given back when the bytes were handled: it bounds what the reader queues.
    Received {
        flow: FlowId,
        bytes: Bytes,
        room: Option<OwnedSemaphorePermit>,
    },
    Closed {
        flow: FlowId,
        why: FlowEnd,
    },
    /// Something left the far end of a simulated connection.
    Heard {
        flow: FlowId,
        heard: Heard,
    },
    Stream {
        event: z5_media::StreamEvent,
    },
    Recalled(Box<Recalled>),
    NotKept(StoreError),
}

pub(crate) type Facts = mpsc::UnboundedSender<Fact>;

/// Facts handled before the outbox is emptied: bounds how long a burst delays a write.
const MAX_FACTS_PER_TURN: usize = 64;

/// What a session runs in.
pub(crate) enum World {
    /// A thread of its own, with sockets.
    Real,
    /// The runtime it is started in, in simulated time.
    Simulated(Simulation),
}

/// Checks everything that can be checked before the first packet and starts the thread, or in simulated time the task.
pub(crate) fn start(
    config: Config,
    options: StartOptions,
    world: World,
    call_ids: Arc<AtomicU64>,
    present: Arc<Mutex<Snapshot>>,
) -> Result<(mpsc::UnboundedSender<Order>, Events), StartError> {
    let started = clock::now();
    let real = matches!(world, World::Real);
    if !real && config.media.shared_ports {
        let why = "in simulated time there are no sockets that calls could share; leave it out";
        return Err(ConfigError::Invalid(vec![Problem::bad("media.shared_ports", why)]).into());
    }
    if !real && (config.media.packet_threads > 1 || config.media.realtime) {
        let why = "in simulated time there are no threads; leave it out";
        let key = if config.media.realtime { "media.realtime" } else { "media.packet_threads" };
        return Err(ConfigError::Invalid(vec![Problem::bad(key, why)]).into());
    }
    let entropy = match &world {
        World::Real => Entropy::System,
        World::Simulated(simulation) => Entropy::Seeded(Dice::new(simulation.seed)),
    };
    let system = if real && config.dns.system { system_nameservers() } else { Vec::new() };
    let plan = Plan::new(&config, &system, entropy.uuid()?, &options)?;
    let place = options.store.map(store::Place::Given).or_else(|| store::Place::configured(&config));
    if !real && place.is_some() {
        return Err(StartError::Simulated { setting: "store" });
    }
    let seed = match options.seed {
        Some(seed) => seed,
        None => entropy.number()?,
    };
    let (orders, orders_in) = mpsc::unbounded_channel();
    let (facts, facts_in) = mpsc::unbounded_channel();
    let (wires, wall, network) = match world {
        World::Real => {
            let client = https::Client::new(&config.tls)?;
            let trust = Arc::new(tls::Trust::new(&config.tls, options.capture.clone()));
            let real = wires::Real::new(client, trust, options.capture.clone(), facts.clone());
            (Wires::Real(Box::new(real)), WallAnchor::read(), None)
        }
        World::Simulated(simulation) => {
            let (wall, media) = (simulation.wall, simulation.media.clone());
            (Wires::Simulated(Box::new(Imagined::new(simulation, facts.clone()))), wall, Some(media))
        }
    };
    let (patience, video) = (config.timeouts.media_silent.duration(), config.media.video.clone());
    let location = config.emergency.location.clone();
    let guard = Guard::new(config.egress.guard, &config.egress.allow);
    let (capture, reach) = (options.capture.clone(), guard.reach());
    let (packet_threads, realtime) = (config.media.packet_threads, config.media.realtime);
    let source = media::Source { entropy, network, packet_threads, realtime };
    let media = media::Media::start(facts.clone(), source, capture, reach, patience, video)?;
    let (sender, events) = event_channel();
    let keeper = place.map(|place| store::Keeper::start(place, facts.clone())).transpose()?;
    let machine = Machine::new(plan, Ident::from_seed(seed), wall, call_ids, started);
    let core = Core {
        machine,
        started,
        sender,
        present,
        wires,
        media,
        guard,
        tracer: options.trace.map(|trace| tracer::Tracer::new(trace, started, location)),
        figures_every: options.figures_every,
        keeper,
        new_source: None,
        last_words: None,
    };
    let running = watched(core, orders_in, facts_in);
    if !real {
        let here = tokio::runtime::Handle::try_current()
            .map_err(|error| StartError::System { what: "runtime", why: error.to_string() })?;
        drop(here.spawn(running));
        return Ok((orders, events));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System { what: "runtime", why: error.to_string() })?;
    std::thread::Builder::new()
        .name("z5-core".to_owned())
        .spawn(move || runtime.block_on(running))
        .map_err(|error| StartError::System { what: "thread", why: error.to_string() })?;
    Ok((orders, events))
}

/// Runs it to its end, and tells if that was a panic.
async fn watched(
    mut core: Core,
    orders: mpsc::UnboundedReceiver<Order>,
    facts: mpsc::UnboundedReceiver<Fact>,
) {
    let mut run = Box::pin(core.run(orders, facts));
    let outcome = std::future::poll_fn(|context| {
        // What a panic leaves behind is only asked for its last event.
        match std::panic::catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    });
    let outcome = outcome.await;
    drop(run);
    if let Err(panic) = outcome {
        let what = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "without words".to_owned());
        core.emit(EventKind::Stopped { error: None, fault: Some(InternalError::Panic { what }) });
    }
}

/// The next beat; without a clock, never.
async fn tick(ticks: &mut Option<tokio::time::Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

struct Core {
    machine: Machine,
    started: Instant,
    sender: EventSender,
    present: Arc<Mutex<Snapshot>>,
    wires: Wires,
    media: media::Media,
    guard: Guard,
    keeper: Option<store::Keeper>,
    /// The source of the order of this turn; nobody's when the machine refuses it.
    new_source: Option<NewSource>,
    /// The last event, told when everything is kept.
    last_words: Option<EventKind>,
    tracer: Option<tracer::Tracer>,
    /// How often calls are measured while they run.
    figures_every: Option<Duration>,
}

impl Core {
    async fn run(
        &mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut facts: mpsc::UnboundedReceiver<Fact>,
    ) {
        let mut out = Outbox::new();
        let mut abandoned = false;
        let mut looking = Some(clock::ticks(look::PERIOD));
        let mut measuring = self.figures_every.map(clock::ticks);
        self.machine.handle(Input::Start, clock::now(), &mut out);
        self.perform(&mut out);
        while !self.machine.is_stopped() {
            let deadline = self.machine.next_deadline();
            tokio::select! {
                // Deadlines first: each is handled once, and nothing that floods in can put them off.
                biased;
                () = async {
                    match deadline {
                        Some(deadline) => clock::sleep_until(deadline.at).await,
                        None => std::future::pending().await,
                    }
                } => self.machine.handle(Input::Deadline, clock::now(), &mut out),
                () = tick(&mut looking) => {
                    let look = self.wires.look(self.machine.look_towards());
                    self.machine.handle(Input::Look(look), clock::now(), &mut out);
                }
                () = tick(&mut measuring) => {
                    for (call, figures) in self.media.figures() {
                        self.emit(EventKind::CallFigures { call, figures: Box::new(figures) });
                    }
                }
                order = orders.recv(), if !abandoned => match order {
                    Some(order) => self.on_order(order, &mut out),
                    None => {
                        // The last handle is gone.
                        abandoned = true;
                        self.machine.handle(Input::Command(Command::Stop), clock::now(), &mut out);
                    }
                },
                fact = facts.recv() => {
                    let mut next = fact;
                    let mut handled = 0;
                    while let Some(fact) = next {
                        self.on_fact(fact, &mut out);
                        handled += 1;
                        next = if handled < MAX_FACTS_PER_TURN { facts.try_recv().ok() } else { None };
                    }
                }
                fact = self.wires.arrived() => self.on_fact(fact, &mut out),
            }
            self.perform(&mut out);
        }
        self.wires.finish().await;
        let mut troubles = Vec::from_iter(self.finish_keeping().await);
        while let Ok(fact) = facts.try_recv() {
            if let Fact::NotKept(error) = fact {
                troubles.push(error);
            }
        }
        for error in troubles {
            self.emit(EventKind::StoreTrouble { error });
        }
        if let Some(kind) = self.last_words.take() {
            self.emit(kind);
        }
    }

    /// What was to be kept is on the disk before the last event is told: whoever waits for that may end the process.
    async fn finish_keeping(&mut self) -> Option<StoreError> {
        let keeper = self.keeper.take()?;
        keeper.finish().await.err()
    }

    fn on_order(&mut self, order: Order, out: &mut Outbox<Effect>) {
        let command = match order {
            Order::Plain(command) => command,
            Order::Call { call, media, command } => {
                self.media.keep(call, *media);
                command
            }
            Order::Source { call, source } => {
                let kind = source.kind();
                self.new_source = Some(source);
                Command::Source { call, kind }
            }
            // what the orders before it led to was performed at the end of their turns; who no longer waits has not missed it
            Order::Settled(done) => {
                let _ = done.send(());
                return;
            }
        };
        self.machine.handle(Input::Command(command), clock::now(), out);
    }

    fn on_fact(&mut self, fact: Fact, out: &mut Outbox<Effect>) {
        let now = clock::now();
        match fact {
            Fact::Looked { id, outcome } => self.machine.handle(Input::Looked { id, outcome }, now, out),
            Fact::Https { id, outcome } => self.machine.handle(Input::Https { id, outcome }, now, out),
            Fact::ConnectFailed { flow, attempts } => {
                self.machine.handle(Input::ConnectFailed { flow, attempts }, now, out);
            }
            Fact::Connected { flow, link, remote, mut tried } => {
                let transport = Some(crate::machine::transport_name(link.transport()));
                let tls = self.tracer.as_ref().and_then(|_| link.tls());
                match self.wires.open(flow, link, remote) {
                    Ok(ends) => {
                        let sip::Ends { transport, local, remote } = ends;
                        if let Some(tracer) = &mut self.tracer {
                            tracer.opened(flow, transport, (local, remote), tls);
                        }
                        let input = Input::Connected { flow, transport, local, remote, tried };
                        self.machine.handle(input, now, out);
                    }
                    // Gone again before it was looked at.
                    Err(error) => {
                        tracing::debug!(%error, "a new connection has no ends");
                        let outcome = AttemptOutcome::Reset;
                        tried.push(Attempt { address: remote, transport, outcome });
                        self.machine.handle(Input::ConnectFailed { flow, attempts: tried }, now, out);
                    }
                }
            }
            Fact::Received { flow, bytes, room } => {
                if let Some(tracer) = &mut self.tracer {
                    tracer.received(flow, &bytes, now);
                }
                self.machine.handle(Input::Received { flow, bytes: &bytes }, now, out);
                drop(room);
            }
            Fact::Closed { flow, why } => {
                self.wires.closed(flow);
                if let Some(tracer) = &mut self.tracer {
                    tracer.closed(flow);
                }
                self.machine.handle(Input::Closed { flow, why }, now, out);
            }
            Fact::Heard { flow, heard } => self.wires.heard(flow, heard),
            Fact::Recalled(recalled) => self.machine.handle(Input::Recalled(recalled), now, out),
            Fact::NotKept(error) => self.machine.handle(Input::NotKept(error), now, out),
            Fact::Stream { event } => {
                if let Some((call, kind, fact)) = self.media.translate(event) {
                    if let MediaFact::Text { text, .. } = &fact {
                        tracing::trace!(%call, text, "text received");
                    }
                    self.machine.handle(Input::Media { call, kind, fact }, now, out);
                }
            }
        }
    }

    /// Does what the machine wishes. All writes of the turn for one connection go out as one.
    fn perform(&mut self, out: &mut Outbox<Effect>) {
        let mut writes: BTreeMap<FlowId, Vec<Bytes>> = BTreeMap::new();
        while let Some(effect) = out.pop() {
            let effect = match self.guard.judge(effect) {
                Passage::Open(effect) => effect,
                Passage::Shut(input) => {
                    self.machine.handle(input, clock::now(), out);
                    continue;
                }
                Passage::Muted(effect, call, error) => {
                    self.emit(EventKind::CallTrouble { call, error });
                    effect
                }
            };
            match effect {
                Effect::Write { flow, bytes } => {
                    if let Some(tracer) = &mut self.tracer {
                        tracer.sent(flow, &bytes, clock::now());
                    }
                    writes.entry(flow).or_default().push(bytes);
                }
                Effect::Close { flow } => {
                    if let Some(messages) = writes.remove(&flow) {
                        self.wires.write(flow, messages);
                    }
                    if let Some(tracer) = &mut self.tracer {
                        tracer.closed(flow);
                    }
                    self.wires.close(flow);
                }
                Effect::Emit(kind @ EventKind::Stopped { .. }) if self.keeper.is_some() => {
                    self.last_words = Some(kind);
                }
                Effect::Emit(kind) => self.emit(kind),
                Effect::Recall => {
                    if let Some(keeper) = &self.keeper {
                        keeper.recall();
                    }
                }
                Effect::Keep(record) => {
                    if let Some(keeper) = &self.keeper {
                        keeper.keep(record);
                    }
                }
                Effect::Lookup { id, name, record, server, transport, patience } => {
                    self.wires.lookup(id, name, record, (server, transport), patience);
                }
                Effect::EndLookups(of) => self.wires.end_lookups(of),
                Effect::EndHttps => self.wires.end_https(),
                Effect::Https { id, request } => self.wires.https(id, request),
                Effect::Connect { flow, targets } => self.wires.connect(flow, targets),
                Effect::PrepareMedia { call, bind, ports, kinds, shared } => {
                    let outcome = self.media.prepare(call, bind, (ports, shared), &kinds);
                    self.machine.handle(Input::MediaReady { call, outcome }, clock::now(), out);
                }
                Effect::StartMedia { call, streams } => {
                    let outcome = self.media.start_streams(call, streams);
                    self.machine.handle(Input::MediaStarted { call, outcome }, clock::now(), out);
                }
                Effect::MoveMedia { call, bind, ports, streams } => {
                    let outcome = self.media.relocate(call, bind, ports, &streams);
                    self.machine.handle(Input::MediaMoved { call, outcome }, clock::now(), out);
                }
                Effect::DirectMedia { call, changes } => self.media.direct(call, &changes),
                Effect::Privacy { call, private } => self.media.set_privacy(call, private),
                Effect::SwitchSource { call, .. } => {
                    let switched = self
                        .new_source
                        .take()
                        .map_or(Ok(()), |source| self.media.switch_source(call, source));
                    if let Err(error) = switched {
                        self.emit(EventKind::CommandRefused { call, error });
                    }
                }
                Effect::SendKeyFrame { call } => self.media.send_key_frame(call),
                Effect::ForgetWish { call } => self.media.forget_wish(call),
                Effect::StopMedia { call } => {
                    let figures = Box::new(self.media.stop(call));
                    self.machine.handle(Input::MediaStopped { call, figures }, clock::now(), out);
                }
                Effect::SendText { call, text } => self.media.send_text(call, &text),
                Effect::SendDigits { call, digits } => self.media.send_digits(call, &digits),
            }
        }
        self.new_source = None;
        for (flow, messages) in writes {
            self.wires.write(flow, messages);
        }
    }

    fn emit(&mut self, kind: EventKind) {
        tracing::debug!(event = kind.name(), "event");
        let at_ms = clock::ms(self.started, clock::now());
        let view = self.machine.view();
        let calls =
            view.calls.into_iter().map(|(call, state, incoming)| CallSnapshot { call, state, incoming });
        let calls = calls.collect();
        // Held while the event is told: whoever has read it finds it in the snapshot.
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        *present = Snapshot {
            sequence: self.sender.send(at_ms, kind),
            state: view.state,
            number: view.number,
            calls,
            timings: view.timings,
            book: view.book,
            history: view.history,
        };
    }
}
