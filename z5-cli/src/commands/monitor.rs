//! `z5 monitor`: scenarios in rounds, one run at a time, with metrics for Prometheus and JSON lines, until a signal.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use z5_core::Failure;
use z5_core::clock::{self, WallAnchor};

use super::head::Head;
use super::reports::{self, Shelf};
use super::run::{conclude, interrupt, load};
use crate::args::MonitorArgs;
use crate::exit::Exit;
use crate::failure::usage;
use crate::metrics::{self, Metrics};
use crate::output::{self, Output};
use crate::scenario::{self, Mistake, Outcome, Stop};
use crate::script;

/// The first JSON line.
#[derive(Serialize)]
struct Started<'a> {
    event: &'static str,
    listen: String,
    every_ms: u128,
    scenarios: Vec<&'a str>,
}

/// The last one.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    runs: u64,
    failed: u64,
}

/// A scenario as it was read at the start: a file that changes meanwhile changes nothing.
struct Source {
    file: PathBuf,
    text: String,
    name: String,
    /// Where its reports are kept, with `--report`.
    shelf: Option<Shelf>,
}

pub(super) async fn run(args: &MonitorArgs, config: Option<&Path>, out: &mut Output) -> Exit {
    let sources = match sources(args, config) {
        Ok(sources) => sources,
        Err(failure) => return end(Some(failure), (0, 0), Exit::Usage, out),
    };
    let listener = match TcpListener::bind(args.listen).await {
        Ok(listener) => listener,
        Err(error) => {
            let failure = usage("usage.listen", format!("--listen {}: {error}", args.listen));
            return end(Some(failure), (0, 0), Exit::Usage, out);
        }
    };
    let listen = listener.local_addr().unwrap_or(args.listen);
    let metrics = Arc::new(Mutex::new(Metrics::default()));
    for source in &sources {
        lock(&metrics).expect(&source.name);
    }
    let serving = tokio::spawn(metrics::serve(listener, Arc::clone(&metrics)));
    let scenarios = sources.iter().map(|source| source.name.as_str()).collect();
    out.object(&Started {
        event: "monitor-started",
        listen: listen.to_string(),
        every_ms: args.every.as_millis(),
        scenarios,
    });
    let every = humantime::format_duration(args.every);
    out.note(&format!("metrics on http://{listen}/metrics; a round every {every}; Ctrl-C stops it"));
    let monitor = Monitor { args, config, sources, metrics, runs: 0, failed: 0 };
    let (counts, exit) = monitor.watch(out).await;
    serving.abort();
    if exit == Exit::Interrupted {
        return exit;
    }
    end(None, counts, exit, out)
}

fn lock(metrics: &Mutex<Metrics>) -> std::sync::MutexGuard<'_, Metrics> {
    metrics.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Monitor<'a> {
    args: &'a MonitorArgs,
    config: Option<&'a Path>,
    sources: Vec<Source>,
    metrics: Arc<Mutex<Metrics>>,
    runs: u64,
    failed: u64,
}

impl Monitor<'_> {
    /// Rounds until a signal.
    async fn watch(mut self, out: &mut Output) -> ((u64, u64), Exit) {
        let (stopper, stop) = watch::channel(Stop::No);
        let mut interrupts = script::interrupts();
        let wall = WallAnchor::read();
        let mut schedule = Schedule::new(self.args.every, self.args.jitter, clock::now(), wall.unix_s);
        let mut fault = false;
        'rounds: loop {
            let at = schedule.begins();
            tokio::select! {
                () = tokio::time::sleep_until(at.into()) => {}
                Some(()) = interrupts.recv() => break,
            }
            for number in 0..self.sources.len() {
                let running = self.one(number, &stopper, &stop, &mut interrupts, &mut schedule, &wall);
                let outcome = running.await;
                match *stop.borrow() {
                    Stop::No => {}
                    // it did not end by itself: it has no verdict
                    Stop::Politely => break 'rounds,
                    Stop::AtOnce => return ((self.runs, self.failed), Exit::Interrupted),
                }
                fault |= outcome.fault;
                self.runs += 1;
                self.failed += u64::from(!outcome.good());
                lock(&self.metrics).take(&outcome, wall.unix_s(clock::now()));
                conclude(&outcome, out);
                if output::is_lost() {
                    break 'rounds;
                }
            }
            lock(&self.metrics).skip(schedule.lapse(clock::now()));
            schedule.next(clock::now());
        }
        let exit = match () {
            () if fault => Exit::Bug,
            () if output::is_lost() => Exit::Expectation,
            () => Exit::Ok,
        };
        ((self.runs, self.failed), exit)
    }

    /// One run.
    async fn one(
        &mut self,
        number: usize,
        stopper: &watch::Sender<Stop>,
        stop: &watch::Receiver<Stop>,
        interrupts: &mut mpsc::UnboundedReceiver<()>,
        schedule: &mut Schedule,
        wall: &WallAnchor,
    ) -> Outcome {
        let (args, config, metrics) = (self.args, self.config, &self.metrics);
        let source = &mut self.sources[number];
        // it could be read at the start; a configuration that is gone since then is a failed run
        let read = read(source, args, config).and_then(|(mut scenario, world)| {
            let shelf = source.shelf.as_ref();
            let folder = shelf.map(|shelf| shelf.begin(wall.unix_s(clock::now()))).transpose()?;
            reports::record(&mut scenario, folder.as_deref(), args.report.show_numbers).inspect_err(
                |_| {
                    // a round that did not begin leaves nothing: such rounds may be many
                    folder.as_deref().map(std::fs::remove_dir_all);
                },
            )?;
            Ok((scenario, world, folder))
        });
        let (scenario, world, folder) = match read {
            Ok(read) => read,
            Err(failure) => return Outcome::not_run(&source.name, &source.file, failure),
        };
        let mut running = Box::pin(scenario::watched(scenario, world, stop.clone(), |_| {}));
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                // who looks at the metrics meanwhile sees that rounds are left out
                () = tokio::time::sleep_until(schedule.lapses().into()) => {
                    lock(metrics).skip(schedule.lapse(clock::now()));
                }
                Some(()) = interrupts.recv() => interrupt(stopper),
            }
        };
        if let (Some(shelf), Some(folder)) = (&mut source.shelf, folder) {
            shelf.end(&folder, outcome.good());
        }
        outcome
    }
}

/// When rounds begin.
struct Schedule {
    every: Duration,
    jitter: Duration,
    /// When the round that is next begins, without its jitter.
    due: Instant,
    /// Rounds after it that were due while it ran, and are left out.
    lapsed: u64,
    /// A generator for the jitter: Weyl sequence and mixing of SplitMix64. It keeps monitors apart and nothing secret.
    chance: u64,
}

impl Schedule {
    fn new(every: Duration, jitter: Duration, now: Instant, unix_s: u64) -> Self {
        let chance = unix_s ^ (u64::from(std::process::id()) << 32);
        Self { every: every.max(Duration::from_millis(1)), jitter, due: now, lapsed: 0, chance }
    }

    /// When the next round begins.
    fn begins(&mut self) -> Instant {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        self.due.checked_add(self.jitter.mul_f64(share)).unwrap_or(self.due)
    }

    /// When the next round is due that the one that runs now would let out.
    fn lapses(&self) -> Instant {
        self.behind(self.lapsed).unwrap_or_else(|| clock::now() + self.every)
    }

    /// Time has passed while a round runs: how many more are left out.
    fn lapse(&mut self, now: Instant) -> u64 {
        let late = now.saturating_duration_since(self.due).as_nanos() / self.every.as_nanos();
        let late = u64::try_from(late).unwrap_or(u64::MAX);
        let more = late.saturating_sub(self.lapsed);
        self.lapsed = late;
        more
    }

    /// The round is over: those that were left out are behind it.
    fn next(&mut self, now: Instant) {
        self.due = self.behind(self.lapsed).unwrap_or(now + self.every);
        self.lapsed = 0;
    }

    /// When the round after so many others is due.
    fn behind(&self, rounds: u64) -> Option<Instant> {
        let ahead =
            u32::try_from(rounds).ok()?.checked_add(1).and_then(|rounds| self.every.checked_mul(rounds))?;
        self.due.checked_add(ahead)
    }
}

fn sources(args: &MonitorArgs, config: Option<&Path>) -> Result<Vec<Source>, Failure> {
    super::run::given_once(&args.world)?;
    let mut all = Vec::new();
    for file in &args.files {
        let text = super::run::text(file)?;
        let mut source = Source { file: file.clone(), text, name: String::new(), shelf: None };
        let (scenario, _) = read(&source, args, config)?;
        if all.iter().any(|other: &Source| other.name == scenario.name) {
            let why = format!("{}: there is another scenario called {:?}", file.display(), scenario.name);
            return Err(usage("scenario.invalid", why));
        }
        source.name = scenario.name;
        let keep = usize::from(args.keep);
        let shelf = args.report.report.as_ref().map(|folder| Shelf::open(folder, &source.name, keep));
        source.shelf = shelf.transpose()?;
        all.push(source);
    }
    Ok(all)
}

fn read(
    source: &Source,
    args: &MonitorArgs,
    config: Option<&Path>,
) -> Result<(scenario::Scenario, scenario::World), Failure> {
    let folder = source.file.parent().unwrap_or(Path::new(""));
    load(&source.text, &source.file, folder, &args.world, config).map_err(|mistakes| {
        let told = |mistake: &Mistake| (mistake.told(source.file.display()), mistake.code);
        let (code, all) = scenario::all_told(&mistakes.iter().map(told).collect::<Vec<_>>());
        usage(code, all)
    })
}

fn end(failure: Option<Failure>, (runs, failed): (u64, u64), exit: Exit, out: &mut Output) -> Exit {
    match &failure {
        // it has not begun
        Some(failure) => output::failure(failure),
        None => out.note(&format!("stopped after {runs} runs, {failed} of them failed")),
    }
    out.object(&Line { head: Head::new("monitor", exit, failure.as_ref()), runs, failed });
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(jitter: u64) -> (Schedule, Instant) {
        let now = clock::now();
        (Schedule::new(Duration::from_secs(10), Duration::from_secs(jitter), now, 7), now)
    }

    #[test]
    fn rounds_keep_their_distance_and_late_ones_are_left_out() {
        let (mut schedule, start) = schedule(0);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(schedule.begins(), start);
        let mut next = |seconds| {
            let skipped = schedule.lapse(at(seconds));
            schedule.next(at(seconds));
            (skipped, schedule.begins())
        };
        assert_eq!(next(3), (0, at(10)));
        // it began at 10 and took until 35: those of 20 and 30 are left out
        assert_eq!(next(35), (2, at(40)));
        assert_eq!(next(40), (0, at(50)));
    }

    /// While a long round runs the rounds that it lets out are counted when they are due, each once.
    #[test]
    fn rounds_that_are_left_out_are_counted_while_a_long_one_runs() {
        let (mut schedule, start) = schedule(0);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!((schedule.lapse(at(9)), schedule.lapses()), (0, at(10)));
        assert_eq!((schedule.lapse(at(10)), schedule.lapses()), (1, at(20)));
        assert_eq!(schedule.lapse(at(19)), 0);
        assert_eq!((schedule.lapse(at(31)), schedule.lapses()), (2, at(40)));
        assert_eq!(schedule.lapse(at(35)), 0);
        schedule.next(at(35));
        assert_eq!((schedule.begins(), schedule.lapses()), (at(40), at(50)));
    }

    #[test]
    fn jitter_is_later_never_earlier_and_does_not_add_up() {
        let (mut schedule, start) = schedule(5);
        let mut seen = Vec::new();
        for round in 0..50 {
            let due = start + Duration::from_secs(10 * round);
            let begins = schedule.begins();
            assert!(begins >= due && begins < due + Duration::from_secs(5), "round {round}");
            seen.push(begins.duration_since(due));
            assert_eq!(schedule.lapse(begins), 0);
            schedule.next(begins);
        }
        seen.sort();
        seen.dedup();
        assert!(seen.len() > 40, "by chance: {seen:?}");
    }
}
