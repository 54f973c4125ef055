//! `z5 numbers` and `z5 licence`: a session that goes as far as its answer, and no further.

use std::path::Path;

use serde::Serialize;
use z5_core::config::{Media, PortRange, Profile};
use z5_core::events::{LicenceReport, NumberOffer, StepDetail};
use z5_core::policy::{BitRates, LocalRtpPorts, PolicyReport, PortSource, VideoRate};
use z5_core::{Advice, Config, EventKind, Failure, Step};

use super::asking::{Asking, Next};
use super::head::Head;
use super::load_file;
use crate::args::AccountArgs;
use crate::exit::Exit;
use crate::failure::usage;
use crate::output::{self, Output};
use crate::store;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The numbers of the account (step 2).
    Numbers,
    /// The licence (step 3).
    Licence,
}

/// The result object.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<Vec<NumberOffer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<LicenceReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyReport>,
}

/// What was found, or why not.
#[derive(Default)]
struct Found {
    numbers: Option<Vec<NumberOffer>>,
    licence: Option<LicenceReport>,
    policy: Option<PolicyReport>,
    failure: Option<Failure>,
    usage: bool,
    fault: bool,
    /// Ctrl-C came twice.
    twice: bool,
}

pub(super) async fn run(goal: Goal, args: &AccountArgs, path: Option<&Path>, out: &mut Output) -> Exit {
    let found = match load(args, path) {
        Ok(config) => ask(goal, config, out).await,
        Err(failure) => Found { failure: Some(failure), usage: true, ..Found::default() },
    };
    if found.twice {
        return Exit::Interrupted;
    }
    let exit = match &found.failure {
        _ if output::is_lost() => Exit::Expectation,
        _ if found.fault => Exit::Bug,
        None => Exit::Ok,
        Some(_) if found.usage => Exit::Usage,
        Some(Failure { step: Some(step), .. }) => Exit::Step(*step),
        Some(Failure { step: None, .. }) => Exit::Expectation,
    };
    for number in found.numbers.iter().flatten() {
        out.note(&output::plain(&number_line(number)));
    }
    if let (Some(licence), Some(policy)) = (&found.licence, &found.policy) {
        licence_lines(licence)
            .iter()
            .chain(&policy_lines(policy))
            .for_each(|line| out.note(&output::plain(line)));
    }
    if let Some(failure) = &found.failure {
        output::failure(failure);
    }
    let command = if goal == Goal::Numbers { "numbers" } else { "licence" };
    out.object(&Line {
        head: Head::new(command, exit, found.failure.as_ref()),
        numbers: found.numbers,
        licence: found.licence,
        policy: found.policy,
    });
    exit
}

pub(super) fn load(args: &AccountArgs, path: Option<&Path>) -> Result<Config, Failure> {
    let mut config = load_file(path)?;
    if config.profile == Profile::Generic {
        return Err(usage(
            "usage.profile",
            "profile generic has no sign-in: numbers and licences belong to profile z5",
        ));
    }
    trust(&mut config, args);
    if let (Some(number), Some(zdial)) = (&args.number, &mut config.zdial) {
        zdial.number = Some(number.clone());
    }
    // who asks wants an answer, also when that is a failure
    config.retry.mode = None;
    config.check().map_err(|error| usage(error.code(), error.to_string()))?;
    // a licence is for this installation, whichever command asks for it
    Ok(store::placed(config))
}

/// The authority that the command line names, in place of the configuration's.
pub(super) fn trust(config: &mut Config, args: &AccountArgs) {
    if let Some(ca) = &args.ca {
        config.tls.ca_file = Some(ca.clone());
        config.tls.ca_pem = None;
    }
}

/// Until the answer is there, then politely back.
async fn ask(goal: Goal, config: Config, out: &mut Output) -> Found {
    let mut session = match Asking::begin(config, z5_core::Goal::Calls) {
        Ok(session) => session,
        Err(failure) => return Found { failure: Some(failure), usage: true, ..Found::default() },
    };
    let mut found = Found::default();
    let mut reached = false;
    let mut ended = false;
    loop {
        let event = match session.next().await {
            Next::Event(event) => event,
            Next::Interrupted(failure) => {
                found.failure.get_or_insert(failure);
                continue;
            }
            Next::Twice => return Found { twice: true, ..found },
            Next::End => break,
        };
        if matches!(out, Output::Json) {
            out.event(&event);
        }
        // every other event is only shown
        if let EventKind::StepDone { detail, .. } = event.kind {
            if let (StepDetail::SignedIn { offered, .. }, Goal::Numbers) = (&detail, goal) {
                found.numbers = Some(offered.clone());
                reached = true;
            } else if let (StepDetail::Provisioned { licence, policy, .. }, Goal::Licence) = (&detail, goal) {
                found.licence = Some(licence.clone());
                found.policy = Some((**policy).clone());
                reached = true;
            }
        } else if let EventKind::NumberRequired { numbers } = event.kind {
            if goal == Goal::Numbers {
                found.numbers = Some(numbers);
                reached = true;
            } else {
                found.failure.get_or_insert(number_required());
                session.stop();
            }
        } else if let EventKind::StepFailed { error, .. } = event.kind {
            // what fails behind the answer is of no interest
            if !reached {
                found.failure.get_or_insert(error.failure());
            }
        } else if let EventKind::Stopped { error, fault } = event.kind {
            ended = true;
            if let Some(error) = error.filter(|_| !reached) {
                found.failure.get_or_insert(error.failure());
            }
            if let Some(fault) = fault {
                found.fault = true;
                found.failure = Some(fault.failure());
            }
        }
        if reached {
            session.stop();
        }
    }
    found.fault |= !ended;
    found
}

pub(super) fn number_required() -> Failure {
    Failure {
        step: Some(Step::SignIn),
        code: "sign-in.number-required",
        message: "the account has several numbers: choose one with --number".to_owned(),
        advice: Advice::CheckSettings,
        retry_after_s: None,
    }
}

fn number_line(number: &NumberOffer) -> String {
    let mut line = number.number.clone();
    for text in [&number.label, &number.display_name].into_iter().flatten() {
        line += &format!("  {text}");
    }
    let state = serde_json::to_value(number.state).ok();
    let state = state.as_ref().and_then(|state| state.as_str()).unwrap_or("unknown");
    let default = if number.default { ", default" } else { "" };
    let address = match number.emergency_address_on_file {
        true => "",
        false => ", no address for emergency calls on file",
    };
    format!("{line}  ({state}{default}{address})")
}

/// What the group has a say in, with everybody who has one and what each of them says; an arrow leads to what holds.
fn policy_lines(policy: &PolicyReport) -> Vec<String> {
    let usual = Media::default();
    let silent = || "says nothing".to_owned();
    let kbps = |bits: u64| format!("{} kbit/s", bits / 1000);
    let said = |bits: Option<u64>| bits.map_or_else(silent, kbps);
    let default = |is_usual: bool| if is_usual { " (default)" } else { "" };

    let LocalRtpPorts { client, sign_in, group } = policy.rtp_ports;
    let range = |ports: Option<PortRange>| ports.map_or_else(silent, |ports| ports.to_string());
    let of_client = client.map_or_else(|| "any (default)".to_owned(), |ports| ports.to_string());
    let ports = match policy.rtp_ports.in_force() {
        (_, PortSource::System) => "any that is free".to_owned(),
        (ports, PortSource::Group | PortSource::SignIn | PortSource::Client) => ports.to_string(),
    };

    let codecs = &policy.audio_codecs;
    let usual_codecs = usual.audio_codecs.iter().map(|codec| codec.name());
    let of_codecs = match codecs.in_force.is_empty() {
        true => "none: no call with sound".to_owned(),
        false => codecs.in_force.join(" "),
    };

    let BitRates { licence, group: bits_of_group, in_force } = policy.max_bitrate;
    let VideoRate { client: video, in_force: video_in_force } = policy.video_bitrate;
    vec![
        format!("group           {}", policy.group.as_deref().unwrap_or("without a name")),
        format!(
            "RTP ports       client {of_client}, sign-in {}, group {} -> {ports}",
            range(sign_in),
            range(group)
        ),
        format!(
            "audio codecs    client {}{}, group {} -> {of_codecs}",
            codecs.client.join(" "),
            default(usual_codecs.eq(codecs.client.iter().map(String::as_str))),
            codecs.group.as_ref().map_or_else(silent, |names| names.join(" ")),
        ),
        format!(
            "call bit rate   licence {}, group {} -> {} for all media together",
            said(licence),
            said(bits_of_group),
            in_force.map_or_else(|| "any".to_owned(), kbps)
        ),
        format!(
            "video bit rate  client {}{} -> {}",
            kbps(video),
            default(video == u64::from(usual.video_kbps) * 1000),
            kbps(video_in_force)
        ),
    ]
}

fn licence_lines(licence: &LicenceReport) -> Vec<String> {
    let days = licence.expires_in_s / 86_400;
    let left = if days >= 2 { format!("{days} days") } else { format!("{} h", licence.expires_in_s / 3600) };
    vec![
        format!("features        {}", licence.features.join(" ")),
        format!("calls at once   {}", licence.max_calls),
        format!("ends in         {left}"),
        format!("signed with     {}", licence.kid),
    ]
}
