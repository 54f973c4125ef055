//! `z5 demo`: the five steps and a two-way call with sound, text and video against a mock carrier inside this process, judged.

use std::path::Path;
use std::time::{Duration, Instant};

use z5_core::config::{SrtpMode, VIDEO_CODEC, VideoSetting};
use z5_core::{Config, Step};
use z5_mock::Carrier;

use super::{finish, record, start};
use crate::args::DemoArgs;
use crate::audio::{AudioArg, TONE_DBM0, TONE_HZ};
use crate::exit::Exit;
use crate::expect::Expectation;
use crate::failure::{interrupted, usage};
use crate::output::Output;
use crate::report::Report;
use crate::script::{Kept, Media, Plan};

/// The far end of the mock that sends back what it gets.
const ECHO: &str = "+15555550900";
/// What is typed.
const TEXT: &str = "HELLO";
/// Long enough for a tone and a moving picture to be judged and for text with two redundant generations, 300 ms apart, both ways.
const DURATION: Duration = Duration::from_secs(2);

pub(super) async fn run(args: &DemoArgs, mut out: Output, process_start: Instant) -> Exit {
    let mut report = Report::new("demo", process_start).asking(&args.expect);
    if let Err(failure) = record(&args.report, None, &mut report) {
        report.fail_usage(failure);
        return finish(None, &mut report, &mut out);
    }
    let exit = match Carrier::builder().start().await {
        Ok(carrier) => {
            out.note("z5 demo: a mock carrier runs inside this process, on 127.0.0.1 only");
            let exit = against(&carrier, args, &mut report, &mut out).await;
            carrier.shutdown().await;
            exit
        }
        Err(error) => {
            report.fail_usage(usage("demo.mock", format!("the mock carrier did not start: {error}")));
            None
        }
    };
    if report.failure.is_none() && exit.is_none() {
        if !was_whole(&report) {
            report.fail(interrupted());
        }
        report.expectations = expectations(&report);
    }
    finish(exit, &mut report, &mut out)
}

/// The call took its time: one that an interrupt has shortened shows less than the demonstration promises.
fn was_whole(report: &Report) -> bool {
    let lasted_ms = report.call.as_ref().and_then(|call| call.duration_ms);
    lasted_ms.is_some_and(|ms| ms >= 0.9 * DURATION.as_secs_f64() * 1000.0)
}

async fn against(carrier: &Carrier, args: &DemoArgs, report: &mut Report, out: &mut Output) -> Option<Exit> {
    let config = match config(carrier) {
        Ok(config) => config,
        Err(why) => {
            report.fail_usage(usage("demo.configuration", why));
            return None;
        }
    };
    let plan = Plan::Call {
        target: ECHO.to_owned(),
        anonymous: false,
        location: None,
        media: Media {
            audio: AudioArg::Tone { hz: TONE_HZ, dbm0: TONE_DBM0 },
            video: Some(video()),
            kept: Kept::default(),
            text: vec![TEXT.to_owned()],
            typing: None,
            acts: Vec::new(),
            duration: Some(DURATION),
            echo: false,
        },
    };
    start(&plan, config, args.seed, &args.capture, report, out).await
}

/// The test pattern, or what there is of it without an encoder.
fn video() -> VideoSetting {
    match VIDEO_CODEC {
        true => "pattern".parse().unwrap_or(VideoSetting::Film),
        false => VideoSetting::Film,
    }
}

/// The configuration that `z5 mock --write-config` would write, with encryption on.
fn config(carrier: &Carrier) -> Result<Config, String> {
    let account = carrier.accounts().first().ok_or("the mock carrier has no account")?;
    let client =
        carrier.client_config(account.username()).ok_or("the mock carrier does not know its own account")?;
    let text = client.to_toml().map_err(|error| error.to_string())?;
    let mut config = Config::parse(&text, Path::new("demo")).map_err(|error| error.to_string())?;
    config.tls.ca_file = None;
    config.tls.ca_pem = Some(carrier.ca_pem().to_owned());
    config.media.srtp = SrtpMode::Required;
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

fn expectations(report: &Report) -> Vec<Expectation> {
    let timings = &report.timings_ms;
    let steps = [
        (Step::Resolve, timings.resolve),
        (Step::SignIn, timings.sign_in),
        (Step::Provision, timings.provision),
        (Step::Register, timings.register),
    ];
    let done: Vec<String> =
        steps.iter().filter(|(_, ms)| ms.is_some()).map(|(step, _)| step.number().to_string()).collect();
    let call = report.call.as_ref();
    let established = call.is_some_and(|call| call.established);
    let audio = call.and_then(|call| call.audio.as_ref());
    let encrypted = call.is_some_and(|call| {
        !call.media.streams.is_empty() && call.media.streams.iter().all(|stream| stream.crypto.is_some())
    });
    let mut all = vec![
        Expectation::fact(
            "steps",
            "1 to 4 done",
            format!("{} done", done.join(" ")),
            done.len() == steps.len(),
        ),
        Expectation::fact(
            "call",
            "established, encrypted",
            match (established, encrypted) {
                (true, true) => "established, encrypted",
                (true, false) => "established, not encrypted",
                (false, _) => "not established",
            },
            established && encrypted,
        ),
    ];
    all.extend(Expectation::tone(audio.and_then(|audio| audio.heard.as_ref()), TONE_HZ, TONE_DBM0));
    all.push(Expectation::text("text.echo", call.and_then(|call| call.text_received.as_deref()), TEXT));
    all
}
