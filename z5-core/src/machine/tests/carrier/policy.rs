//! The policy of the group that the MCS gives with a licence: ports, codecs, bit rate; never in the way of an
//! emergency call but for the ports.

use super::*;
use crate::config::{PortRange, audio_codec};
use crate::events::MediaKind;
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
    for (policy, ports) in [
        (GroupPolicy::default(), PortRange::new(30_000, 30_099)),
        (
            GroupPolicy { rtp_ports: Some((40_000, 40_099)), ..GroupPolicy::default() },
            PortRange::new(40_000, 40_099),
        ),
    ] {
        let mut net = net(policy, own);
        sound(&mut net, 50, "echo");
        sound(&mut net, 51, "911");
        assert_eq!(net.prepared, [ports, ports]);
        let told = report(&net).rtp_ports;
        assert_eq!((told.client, told.in_force().0), (Some(PortRange::new(20_000, 20_099)), ports));
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

#[test]
fn the_bit_rate_of_the_group_holds_beside_that_of_the_licence() {
    let policy = |bits| GroupPolicy { max_bitrate: Some(bits), ..GroupPolicy::default() };
    let mut low = net(policy(300_000), |_| {});
    let told = report(&low).video_bitrate;
    assert_eq!((told.group, told.in_force), (Some(300_000), told.client.min(300_000)));
    assert!(!sound(&mut low, 50, "echo").starts_with("call."));
    let mut narrow = net(policy(32_000), |_| {});
    assert_eq!(sound(&mut narrow, 50, "echo"), "call.licence-forbids");
    assert!(!sound(&mut narrow, 51, "911").starts_with("call."));
}
