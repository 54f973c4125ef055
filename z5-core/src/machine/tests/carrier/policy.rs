//! The policy of the group that the MCS gives with a licence: ports, codecs, bit rate; never in the way of an
//! emergency call but for the ports.

use super::*;
use crate::config::{PortRange, audio_codec};
use crate::events::MediaKind;
use crate::policy::PortSource;
use z5_mock::{Carrier, GroupPolicy};

fn net(policy: GroupPolicy, change: impl FnOnce(&mut Config)) -> Net {
    let builder = Carrier::builder().client_rtp_ports(30_000, 30_099).group_policy(policy);
    let mut net = Net::new(builder, 1, change, RetryMode::Supervised);
    net.input(Input::Start);
    net.live(Duration::from_secs(3));
    assert_eq!(net.state(), SessionState::Ready, "{:?}", net.events);
    net
}

/// The codec of the sound of a call, or the code that it failed with.
fn sound(net: &mut Net, call: u64, target: &str) -> String {
    let from = net.events.len();
    net.call(call, target);
    net.live(Duration::from_secs(1));
    let told = |event: &EventKind| {
        if let EventKind::CallEstablished { media, .. } = event {
            return media
                .streams
                .iter()
                .find(|stream| stream.kind == MediaKind::Audio)
                .map(|stream| stream.codec.clone());
        }
        if let EventKind::CallFailed { error, .. } = event { Some(error.code().to_owned()) } else { None }
    };
    net.events[from..].iter().find_map(told).unwrap_or_else(|| panic!("{:?}", &net.events[from..]))
}

fn codecs(names: &[&str]) -> GroupPolicy {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    GroupPolicy { audio_codecs: Some(names), ..GroupPolicy::default() }
}

fn report(net: &Net) -> Box<crate::policy::PolicyReport> {
    let policy = |event: &EventKind| {
        if let EventKind::StepDone { detail: StepDetail::Provisioned { policy, .. }, .. } = event {
            return Some(policy.clone());
        }
        None
    };
    net.events.iter().find_map(policy).unwrap()
}

#[test]
fn the_ports_of_the_mcs_go_before_those_of_the_sign_in_and_of_the_client() {
    let own = |config: &mut Config| config.media.ports = Some(PortRange::new(20_000, 20_099));
    for (policy, ports, source) in [
        (GroupPolicy::default(), PortRange::new(30_000, 30_099), PortSource::SignIn),
        (
            GroupPolicy { rtp_ports: Some((40_000, 40_099)), ..GroupPolicy::default() },
            PortRange::new(40_000, 40_099),
            PortSource::Group,
        ),
    ] {
        let mut net = net(policy, own);
        sound(&mut net, 50, "echo");
        sound(&mut net, 51, "911");
        assert_eq!(net.prepared, [ports, ports]);
        let told = report(&net).rtp_ports;
        assert_eq!((told.client, told.in_force()), (Some(PortRange::new(20_000, 20_099)), (ports, source)));
        assert_eq!(
            told.group.is_some(),
            source == PortSource::Group,
            "what the sign-in says is not the group's"
        );
    }
}

#[test]
fn calls_are_held_to_the_codecs_of_the_group_and_emergency_calls_are_not() {
    let own = |config: &mut Config| {
        config.media.audio_codecs = ["G722", "PCMA", "PCMU"].map(|name| audio_codec(name).unwrap()).to_vec();
    };
    let mut free = net(GroupPolicy::default(), own);
    assert_eq!(sound(&mut free, 50, "echo"), "G722");
    let mut held = net(codecs(&["pcmu", "PCMA", "unheard-of"]), own);
    assert_eq!(sound(&mut held, 50, "echo"), "PCMA", "in the client's order");
    assert_eq!(sound(&mut held, 51, "911"), "G722");
    let told = report(&held).audio_codecs;
    assert_eq!(
        (told.client.len(), told.group.unwrap().len(), told.in_force),
        (3, 3, vec!["PCMA".into(), "PCMU".into()])
    );
    let mut none = net(codecs(&["unheard-of"]), own);
    assert_eq!(sound(&mut none, 50, "echo"), "call.no-common-codec");
    assert_eq!(sound(&mut none, 51, "911"), "G722");
}

fn most(bits: u64) -> GroupPolicy {
    GroupPolicy { max_bitrate: Some(bits), ..GroupPolicy::default() }
}

#[test]
fn the_bit_rate_of_the_group_holds_beside_that_of_the_licence() {
    let mut low = net(most(300_000), |_| {});
    let (whole, video) = (report(&low).max_bitrate, report(&low).video_bitrate);
    assert_eq!((whole.group, whole.in_force), (Some(300_000), Some(300_000)));
    assert!(whole.licence.is_some_and(|bits| bits > 300_000));
    assert_eq!((video.client, video.in_force), (1_500_000, 232_000));
    assert!(!sound(&mut low, 50, "echo").starts_with("call."));
    let mut narrow = net(most(32_000), |_| {});
    assert_eq!(report(&narrow).video_bitrate.in_force, 0);
    assert_eq!(sound(&mut narrow, 50, "echo"), "call.licence-forbids");
    assert!(!sound(&mut narrow, 51, "911").starts_with("call."));
}

/// What the far end may send of video by our offer, and what we may send of it.
fn video(net: &mut Net, call: u64, target: &str, wanted: io::Wanted) -> (Option<u32>, Option<u64>) {
    net.plans.clear();
    let from = net.sim.recorder().entries().len();
    let target = target.to_owned();
    net.command(Command::Call { call: CallId(call), target, wanted, anonymous: false, location: None });
    net.live(Duration::from_secs(1));
    let entries = net.sim.recorder().entries();
    let invite = entries[from..].iter().rev().find(|entry| entry.text.starts_with("INVITE ")).unwrap();
    let offered = invite.text.split("\nb=TIAS:").nth(1);
    let offered = offered.map(|rest| rest.split_whitespace().next().unwrap().parse().unwrap());
    let sent = net.plans.iter().find_map(|plan| {
        if let io::CodecPlan::Video(plan) = &plan.codec { Some(plan.max_bits_per_second) } else { None }
    });
    net.command(Command::Hangup { call: CallId(call) });
    net.live(Duration::from_secs(1));
    (offered, sent)
}

#[test]
fn video_gets_what_sound_and_text_leave_of_the_bit_rate_of_a_call() {
    let film = |config: &mut Config| config.media.video = crate::config::VideoSetting::Blank;
    let mut low = net(most(300_000), film);
    assert_eq!(video(&mut low, 50, "echo", SOUND), (Some(232_000), Some(232_000)));
    let silent =
        io::Wanted { audio: false, text: Some(false), video: Some(true), record: false, echo: false };
    assert_eq!(
        video(&mut low, 51, "echo", silent),
        (Some(232_000), Some(232_000)),
        "sound can be added at any time"
    );
    assert_eq!(video(&mut low, 52, "911", SOUND), (Some(1_500_000), Some(1_500_000)));

    // Too little is left: a call without video, or none where it was asked for.
    let mut narrow = net(most(120_000), film);
    assert_eq!(video(&mut narrow, 50, "echo", SOUND), (None, None));
    assert!(narrow.events.iter().any(|event| matches!(event, EventKind::CallEstablished { .. })));
    let (call, target) = (CallId(51), "echo".to_owned());
    let wanted = io::Wanted { video: Some(true), ..SOUND };
    let before = narrow.events.len();
    narrow.command(Command::Call { call, target, wanted, anonymous: false, location: None });
    narrow.live(Duration::from_secs(1));
    let failed: Vec<_> = narrow.events[before..]
        .iter()
        .filter_map(|event| if let EventKind::CallFailed { error, .. } = event { Some(error) } else { None })
        .collect();
    assert_eq!(failed.len(), 1, "once: {failed:?}");
    assert_eq!(failed[0].code(), "call.licence-forbids");
    assert!(failed[0].to_string().contains("video needs beside sound and text"), "{}", failed[0]);
}
