//! The commands: what each does with its arguments, from configuration to exit status.

mod acceptance;
mod account;
mod asking;
mod check;
mod config;
mod contacts;
mod demo;
mod describe;
mod echo;
mod explain;
mod firewall;
mod head;
mod history;
mod mock;
mod monitor;
mod page;
mod reports;
mod run;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use z5_core::config::{Millis, SrtpMode, VIDEO_CODEC, VideoSetting};
use z5_core::media::file::words;
use z5_core::{Advice, Config, Failure, Location, RetryMode, Session, StartOptions, Step};

use crate::args::{CaptureArgs, Cli, Command, MediaArgs, OfferArgs, ReportArgs, SessionArgs};
use crate::capsule::{self, Mask, Recorder};
use crate::capture;
use crate::exit::Exit;
use crate::failure::usage;
use crate::output::{self, Output};
use crate::report::Report;
use crate::script::{self, Kept, Media, Plan};
use crate::store;

/// Runs one command.
pub(crate) async fn run(cli: Cli, process_start: Instant) -> Exit {
    let mut out = Output::new(cli.json);
    cli.config.as_deref().into_iter().for_each(output::configured_by);
    match cli.command {
        Command::Explain(_) if cli.config.is_some() => {
            refused("explain needs no configuration and takes no --config")
        }
        Command::Capabilities | Command::Completions { .. } | Command::Man if cli.config.is_some() => {
            refused("this command needs no configuration and takes no --config")
        }
        Command::Demo(_) | Command::Mock(_) if cli.config.is_some() => {
            refused("demo and mock make their own configuration and take no --config")
        }
        Command::Demo(args) => demo::run(&args, out, process_start).await,
        Command::Mock(args) => mock::run(&args, out).await,
        Command::Explain(args) => explain::run(&args, out),
        Command::Acceptance(args) => acceptance::run(&args, cli.config.as_deref(), &mut out).await,
        Command::Monitor(args) => monitor::run(&args, cli.config.as_deref(), &mut out).await,
        Command::Run(args) => run::run(&args, cli.config.as_deref(), &mut out).await,
        Command::Page(_) if cli.config.is_some() => {
            refused("report needs no configuration and takes no --config")
        }
        Command::Page(args) => page::run(&args, &mut out),
        Command::Numbers(args) => {
            account::run(account::Goal::Numbers, &args, cli.config.as_deref(), &mut out).await
        }
        Command::Licence(args) => {
            account::run(account::Goal::Licence, &args, cli.config.as_deref(), &mut out).await
        }
        Command::History(args) => history::run(&args, cli.config.as_deref(), &mut out),
        Command::Contacts(args) => contacts::run(&args.command, cli.config.as_deref(), &mut out).await,
        Command::Config(args) => config::run(&args.command, cli.config.as_deref(), &mut out),
        Command::Capabilities => describe::capabilities(&mut out),
        Command::Completions { shell } => describe::completions(shell),
        Command::Man => describe::man(),
        Command::Check(args) => check::run(&args, cli.config.as_deref(), &mut out).await,
        Command::Firewall(args) => firewall::run(&args, cli.config.as_deref(), &mut out).await,
        Command::Register(args) => {
            let plan = |_: &mut Config| Ok(Plan::Register { stay: args.stay });
            configured("register", plan, cli.config.as_deref(), (&args.session, None), out, process_start)
                .await
        }
        Command::Call(args) => {
            let out = out.viewing(&args.target, args.media.plain);
            let plan = |config: &mut Config| {
                if let Some(time) = args.ring_timeout {
                    config.timeouts.call = Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                }
                let anonymous = args.anonymous;
                let location = location(args.location.as_deref())?;
                let media = media(args.media, false, config)?;
                Ok(Plan::Call { target: args.target, anonymous, location, media })
            };
            let overrides = (&args.session, Some(&args.offer));
            configured("call", plan, cli.config.as_deref(), overrides, out, process_start).await
        }
        Command::Message(args) => {
            let plan = |_: &mut Config| Ok(Plan::Message { target: args.target, text: args.text });
            configured("message", plan, cli.config.as_deref(), (&args.session, None), out, process_start)
                .await
        }
        Command::Answer(args) => {
            let out = out.viewing("z5 answer", args.media.plain || args.stay.is_some());
            let plan = |config: &mut Config| {
                if let Some(stay) = args.stay {
                    return Ok(Plan::Echo { stay });
                }
                let (wait, ring) = (args.wait, args.ring);
                media(args.media, args.echo, config).map(|media| Plan::Answer { wait, ring, media })
            };
            let overrides = (&args.session, Some(&args.offer));
            configured("answer", plan, cli.config.as_deref(), overrides, out, process_start).await
        }
    }
}

/// A configuration where there can be none.
fn refused(why: &str) -> Exit {
    output::failure(&usage("usage.config", why));
    Exit::Usage
}

/// A run with the user's configuration.
async fn configured(
    command: &'static str,
    plan: impl FnOnce(&mut Config) -> Result<Plan, Failure>,
    config: Option<&Path>,
    (session, offer): (&SessionArgs, Option<&OfferArgs>),
    mut out: Output,
    process_start: Instant,
) -> Exit {
    let mut report = Report::new(command, process_start).asking(&session.expect);
    // the configuration first: a wrong one leaves no trace in the folder of the recording
    let planned = load(config, session, offer)
        .map(store::placed)
        .and_then(|mut loaded| plan(&mut loaded).map(|plan| (loaded, plan)))
        .and_then(|planned| record(&session.report, config, &mut report).map(|()| planned));
    let exit = match planned {
        Ok((config, plan)) => {
            let exit = start(&plan, config, session.seed, &session.capture, &mut report, &mut out).await;
            remove_if_empty(&plan);
            exit
        }
        Err(failure) => {
            report.fail_usage(failure);
            None
        }
    };
    finish(exit, &mut report, &mut out)
}

/// Judges and tells.
fn finish(interrupted: Option<Exit>, report: &mut Report, out: &mut Output) -> Exit {
    if interrupted.is_some() {
        report.end_at_once();
    }
    report.expect_usual();
    let exit = report.finish();
    if interrupted.is_none() {
        out.result(report);
    }
    interrupted.unwrap_or(exit)
}

/// Starts a session and runs the plan on it.
async fn start(
    plan: &Plan,
    config: Config,
    seed: Option<u64>,
    capture: &CaptureArgs,
    report: &mut Report,
    out: &mut Output,
) -> Option<Exit> {
    if let Plan::Call { media, .. } | Plan::Answer { media, .. } = plan
        && let Err(error) = media.to_call_media().check()
    {
        report.fail_usage(error.failure());
        return None;
    }
    if let Plan::Call { media, .. } | Plan::Answer { media, .. } = plan {
        // video that is added in the call is sent by the same rule
        report.still_picture = media.echo || stands_still(media.video.as_ref(), &config);
    }
    let seed = match seed.map_or_else(seed_of_environment, |seed| Ok(Some(seed))) {
        Ok(seed) => seed,
        Err(failure) => {
            report.fail_usage(failure);
            return None;
        }
    };
    let interactive_number = !matches!(out, Output::Json) && output::can_ask();
    let capture = match capture::begin(capture) {
        Ok(capture) => capture,
        Err(failure) => {
            report.fail_usage(failure);
            return None;
        }
    };
    let handle = capture.as_ref().map(capture::Running::handle);
    let recorder = report.recorder();
    let options = StartOptions {
        seed,
        interactive_number,
        capture: handle,
        retry: RetryMode::Once,
        trace: recorder.map(Recorder::trace),
        figures_every: (recorder.is_some() || out.wants_figures()).then_some(capsule::EVERY),
        ..StartOptions::default()
    };
    report.session_starts();
    let exit = match Session::start_with(config, options) {
        Ok((session, events)) => script::run(plan, &session, events, report, out).await,
        Err(error) => {
            report.fail_usage(usage(error.code(), error.to_string()));
            None
        }
    };
    report.capture = capture.map(capture::Running::finish);
    exit
}

/// Begins the report that was asked for.
fn record(args: &ReportArgs, config: Option<&Path>, report: &mut Report) -> Result<(), Failure> {
    if let Some(recorder) = recorder(args.report.as_deref(), args.show_numbers, config)? {
        report.record(recorder);
    }
    Ok(())
}

/// What gathers a report in this folder, when there is one.
fn recorder(
    folder: Option<&Path>,
    show_numbers: bool,
    config: Option<&Path>,
) -> Result<Option<Recorder>, Failure> {
    let Some(folder) = folder else { return Ok(None) };
    let mask = if show_numbers { Mask::Off } else { Mask::On };
    let settings = config.and_then(|path| config::settings(path).ok());
    let environment = capsule::environment(settings.and_then(|table| serde_json::to_value(table).ok()));
    let begun = Recorder::begin(folder, mask, environment);
    begun.map(Some).map_err(|error| {
        usage("usage.report", format!("cannot write a report in {}: {error}", folder.display()))
    })
}

/// `Z5_SEED`, so that a run can be replayed without touching its command line.
fn seed_of_environment() -> Result<Option<u64>, Failure> {
    match std::env::var("Z5_SEED") {
        Ok(text) => match text.parse() {
            Ok(seed) => Ok(Some(seed)),
            Err(_) => {
                Err(usage("usage.seed", format!("Z5_SEED is {text:?}; it takes a whole number from 0")))
            }
        },
        Err(_) => Ok(None),
    }
}

/// The configuration as its file says.
fn load_file(path: Option<&Path>) -> Result<Config, Failure> {
    let Some(path) = path else {
        return Err(usage("usage.no-configuration", "this command needs a configuration, and none is named"));
    };
    Config::load(path).map_err(|error| usage(error.code(), error.to_string()))
}

/// The configuration with what the command line puts in place.
fn load(path: Option<&Path>, session: &SessionArgs, offer: Option<&OfferArgs>) -> Result<Config, Failure> {
    let mut config = load_file(path)?;
    if let Some(ca) = &session.ca {
        config.tls.ca_file = Some(ca.clone());
        config.tls.ca_pem = None;
    }
    if let Some(transport) = session.sip_transport {
        config.sip.transport = transport;
        config.check().map_err(|error| usage(error.code(), error.to_string()))?;
    }
    if let Some(offer) = offer {
        if !offer.codec.is_empty() {
            config.media.audio_codecs.clone_from(&offer.codec);
        }
        if !offer.suite.is_empty() {
            config.media.srtp_suites.clone_from(&offer.suite);
        }
        config.media.srtp = offer.srtp.unwrap_or(config.media.srtp);
        if !offer.suite.is_empty() && config.media.srtp == SrtpMode::Off {
            let message = "--suite names how media is encrypted, and media is not encrypted: add --srtp optional or --srtp \
                           required";
            return Err(usage("usage.suite", message));
        }
        config.check().map_err(|error| usage(error.code(), error.to_string()))?;
    }
    if let Some(number) = &session.number {
        match &mut config.zdial {
            Some(zdial) => zdial.number = Some(number.clone()),
            None => {
                return Err(usage(
                    "usage.number",
                    "--number needs a [zdial] account; this configuration has none",
                ));
            }
        }
        config.check().map_err(|error| usage(error.code(), error.to_string()))?;
    }
    Ok(config)
}

/// What `--location` names.
fn location(text: Option<&str>) -> Result<Option<Location>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let path = Path::new(text);
    let location = match path.is_file() || !text.contains(':') {
        true => Location::load(path),
        false => text.parse(),
    };
    location.map(Some).map_err(|error| usage("usage.location", format!("--location: {error}")))
}

/// Makes the folder of the recordings and picks file names that are free: nothing recorded earlier is lost.
fn media(args: MediaArgs, echo: bool, config: &Config) -> Result<Media, Failure> {
    let mut acts = args.at;
    acts.sort_by_key(|act| act.at);
    if let (Some(duration), Some(late)) =
        (args.duration, acts.last().filter(|act| Some(act.at) >= args.duration))
    {
        let (at, duration) = (humantime::format_duration(late.at), humantime::format_duration(duration));
        let message = format!("--at {at} is not before the end of the call, --duration {duration}");
        return Err(usage("usage.at", message));
    }
    let pictures = echo || shows(args.video.as_ref(), config);
    let kept = keep(args.record.as_deref(), pictures, args.y4m)?;
    let MediaArgs { audio, video, text, typing, duration, .. } = args;
    Ok(Media { audio, video, kept, text, typing, acts, duration, echo })
}

/// Whether the picture that a call sends stands still.
pub(crate) fn stands_still(video: Option<&VideoSetting>, config: &Config) -> bool {
    matches!(video.unwrap_or(&config.media.video), VideoSetting::Off | VideoSetting::Blank)
}

/// Whether a call that sends this has pictures.
pub(crate) fn shows(video: Option<&VideoSetting>, config: &Config) -> bool {
    video.unwrap_or(&config.media.video).is_on()
}

/// Reserves the files of a call in this folder; `pictures`: also those of what is seen, `y4m`: also one of every picture,
/// uncompressed.
pub(crate) fn keep(folder: Option<&Path>, pictures: bool, y4m: bool) -> Result<Kept, Failure> {
    let mut kept = Kept::default();
    if let Some(folder) = folder {
        let free = |name, extension| {
            free_name(folder, name, extension).map_err(|why| Failure {
                step: Some(Step::Call),
                code: "call.recording",
                message: match folder.is_file() {
                    true => format!("cannot record in {}: it is a file, and no folder", folder.display()),
                    false => format!("cannot record in {}: {}", folder.display(), words::system(&why)),
                },
                advice: Advice::CheckSettings,
                retry_after_s: None,
            })
        };
        kept.recording = Some(free("heard", "wav")?);
        if pictures {
            kept.film = Some(free("seen", "h264")?);
            kept.snapshot = VIDEO_CODEC.then(|| free("seen", "png")).transpose()?;
            kept.pictures = y4m.then(|| free("seen", "y4m")).transpose()?;
        }
    }
    Ok(kept)
}

/// Creates the file, so that a folder that cannot be written to is found before the far end rings, and no other run
/// takes the same name.
fn free_name(folder: &Path, name: &str, extension: &str) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    for n in 1_u32.. {
        let path = folder.join(match n {
            1 => format!("{name}.{extension}"),
            _ => format!("{name}-{n}.{extension}"),
        });
        match std::fs::File::create_new(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Takes reserved files away again when nothing was recorded.
fn remove_if_empty(plan: &Plan) {
    let (Plan::Call { media, .. } | Plan::Answer { media, .. }) = plan else { return };
    for path in media.kept.files() {
        if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
            let _ = std::fs::remove_file(path);
        }
    }
}
