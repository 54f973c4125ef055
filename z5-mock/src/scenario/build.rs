//! Makes a builder of what a scenario file says.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use toml::Spanned;

use super::file::{FaultEntry, File, Licence, Policy, Ports, Registration};
use super::judge::{Judge, one_of};
use super::{accounts, far_ends, network};
use crate::builder::{Builder, ContactsBy};
use crate::fault::name::nearest;
use crate::fault::order::Order;
use crate::fault::{Fault, When};
use crate::mcs::policy::GroupPolicy;

pub(super) fn build(file: &File, judge: &mut Judge<'_>) -> Builder {
    let mut builder = Builder::default().seed(file.seed);
    builder = ports(&file.ports, builder, judge);
    builder = addresses(file, builder, judge);
    if file.sip_over_tls {
        builder = builder.proxies_over_tls();
    }
    if let Some((low, high)) = judge.ports("ports.rtp", file.ports.rtp.as_ref()) {
        builder = builder.rtp_ports(low..=high);
    }
    if let Some((low, high)) = judge.ports("configuration.rtp_ports", file.configuration.rtp_ports.as_ref()) {
        builder = builder.client_rtp_ports(low, high);
    }
    builder = registration(&file.registration, builder, judge);
    if let Some(lifetime) = judge.time("configuration.lifetime", &file.configuration.lifetime) {
        builder = builder.configuration_lifetime(lifetime);
    }
    if let Some(ways) = &file.configuration.contacts {
        let known: Vec<(&Spanned<String>, ContactsBy)> =
            ways.iter().filter_map(|way| Some((way, contacts_by(way, judge)?))).collect();
        for (at, (way, by)) in known.iter().enumerate() {
            if known[..at].iter().any(|(_, other)| other == by) {
                judge.wrong(way, "configuration.contacts", "it is there twice: leave one out");
            }
        }
        builder = builder.contacts_by(&known.into_iter().map(|(_, by)| by).collect::<Vec<_>>());
    }
    builder = builder.group_policy(policy(&file.policy, judge));
    builder = licence(&file.licence, builder, judge);
    if let Some(impairment) = network::impaired("impairment", &file.impairment, judge) {
        builder = builder.impairment(impairment);
    }
    if let Some(impairment) = network::impaired("sip_impairment", &file.sip_impairment, judge) {
        builder = builder.sip_impairment(impairment);
    }
    for account in accounts::accounts(&file.account, judge) {
        builder = builder.account(account);
    }
    for (name, texts) in &file.hosts {
        let addresses: Vec<IpAddr> = texts.iter().filter_map(|text| address("hosts", text, judge)).collect();
        builder = builder.host(name, &addresses);
    }
    for entry in &file.fault {
        if let Some(order) = fault(entry, judge) {
            if let Some(at) = order.at.filter(|at| !builder.addresses.contains(at)) {
                let place = entry.at.as_ref().unwrap_or(&entry.name);
                let known: Vec<String> = builder.addresses.iter().map(IpAddr::to_string).collect();
                judge.wrong(
                    place,
                    "fault.at",
                    format!("{at} is none of the carrier's addresses: {}", known.join(", ")),
                );
            }
            builder = builder.fault_order(order);
        }
    }
    for script in far_ends::far_ends(&file.far_end, &builder.accounts, judge) {
        builder = builder.far_end(script);
    }
    builder
}

/// Ports that were chosen are one each: all servers are at the same addresses.
fn ports(given: &Ports, mut builder: Builder, judge: &mut Judge<'_>) -> Builder {
    let all = [
        ("dns", &given.dns),
        ("zdial", &given.zdial),
        ("mcs", &given.mcs),
        ("sip", &given.sip),
        ("sips", &given.sips),
    ];
    for (at, (name, port)) in all.iter().enumerate() {
        let Some(port) = port.as_ref().filter(|port| *port.get_ref() != 0) else { continue };
        let before = all[..at].iter().find(|(_, other)| other.as_ref().is_some_and(|other| other == port));
        if let Some((other, _)) = before {
            let why = format!("ports.{other} has it already: choose another one, or 0 for any free one");
            judge.wrong(port, &format!("ports.{name}"), why);
        }
    }
    let [dns, zdial, mcs, sip, sips] = all.map(|(_, port)| port.as_ref().map_or(0, |port| *port.get_ref()));
    builder = builder.dns_port(dns).zdial_port(zdial).mcs_port(mcs).sip_port(sip).sips_port(sips);
    builder
}

fn registration(given: &Registration, mut builder: Builder, judge: &mut Judge<'_>) -> Builder {
    let granted = judge.time("registration.granted", &given.granted);
    let least = judge.time("registration.least", &given.least);
    if let (Some(text), Some(granted)) = (&given.granted, granted) {
        if granted.as_secs() == 0 {
            judge.wrong(text, "registration.granted", "nobody could be registered: write 1s at least");
        } else if least.is_some_and(|least| least > granted) {
            let why =
                "it is less than registration.least: who asks for what is granted would be answered 423";
            judge.wrong(text, "registration.granted", why);
        }
    }
    if let Some(granted) = granted {
        builder = builder.granted_expires(granted);
    }
    match least {
        Some(least) => builder.min_expires(least),
        None => builder,
    }
}

/// Encoding names of audio (the registry of RFC 4855): those of z5 first, then others that clients have.
const AUDIO_CODECS: [&str; 4] = ["opus", "G722", "PCMU", "PCMA"];
const OTHER_AUDIO_CODECS: [&str; 13] = [
    "AMR", "AMR-WB", "DVI4", "EVS", "G723", "G726-32", "G728", "G729", "GSM", "iLBC", "L16", "speex",
    "vorbis",
];
/// What goes beside a codec and makes no sound of speech.
const BESIDE: [&str; 3] = ["CN", "telephone-event", "RED"];

fn policy(given: &Policy, judge: &mut Judge<'_>) -> GroupPolicy {
    const KEY: &str = "policy.audio_codecs";
    if let Some(codecs) = &given.audio_codecs {
        let is = |names: &[&str], codec: &Spanned<String>| {
            names.iter().any(|name| name.eq_ignore_ascii_case(codec.get_ref()))
        };
        let list = codecs.get_ref();
        for (at, codec) in list.iter().enumerate() {
            let known =
                [&AUDIO_CODECS[..], &OTHER_AUDIO_CODECS, &BESIDE].iter().any(|names| is(names, codec));
            if !known {
                let all = AUDIO_CODECS.iter().chain(&OTHER_AUDIO_CODECS).chain(&BESIDE).copied();
                judge.wrong(codec, KEY, one_of(codec.get_ref(), &all.collect::<Vec<_>>()));
            } else if list[..at].iter().any(|other| other.get_ref().eq_ignore_ascii_case(codec.get_ref())) {
                judge.wrong(codec, KEY, format!("{:?} is there twice: leave one out", codec.get_ref()));
            }
        }
        if list.iter().all(|codec| is(&BESIDE, codec)) {
            let why =
                "no codec for sound is left: name one, such as \"PCMU\", or leave the key out to permit all";
            judge.wrong(codecs, KEY, why);
        }
    }
    GroupPolicy {
        rtp_ports: judge.ports("policy.rtp_ports", given.rtp_ports.as_ref()),
        audio_codecs: given
            .audio_codecs
            .as_ref()
            .map(|codecs| codecs.get_ref().iter().map(|codec| codec.get_ref().clone()).collect()),
        max_bitrate: bitrate("policy.max_bitrate", given.max_bitrate.as_ref(), judge),
    }
}

/// None permits nothing, which no client can do anything with.
fn bitrate(key: &str, given: Option<&Spanned<u64>>, judge: &mut Judge<'_>) -> Option<u64> {
    let given = given?;
    if *given.get_ref() == 0 {
        judge.wrong(
            given,
            key,
            "no media fits in 0 bits a second: write for example 2_000_000, or leave it out",
        );
    }
    Some(*given.get_ref())
}

fn address(key: &str, text: &Spanned<String>, judge: &mut Judge<'_>) -> Option<IpAddr> {
    let address = text.get_ref().parse().ok();
    if address.is_none() {
        judge.wrong(text, key, format!("{:?} is no IP address", text.get_ref()));
    }
    address
}

/// Everything is on loopback.
fn addresses(file: &File, mut builder: Builder, judge: &mut Judge<'_>) -> Builder {
    let ipv6 = file.ipv6.as_ref().filter(|ipv6| *ipv6.get_ref());
    if let (Some(ipv6), false) = (ipv6, file.addresses.is_empty()) {
        judge.wrong(
            ipv6,
            "ipv6",
            "the carrier is on ::1 then, and addresses names others: leave one of the two out",
        );
    } else if ipv6.is_some() {
        builder = builder.on_ipv6();
    }
    let mut places: Vec<IpAddr> = Vec::new();
    for text in &file.addresses {
        match text.get_ref().parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_loopback) {
            Some(address) if !places.contains(&IpAddr::V4(address)) => places.push(IpAddr::V4(address)),
            Some(_) => judge.wrong(text, "addresses", "it is there twice"),
            None => judge.wrong(
                text,
                "addresses",
                "write addresses of 127.0.0.0/8: the mock carrier is on loopback only",
            ),
        }
    }
    if !places.is_empty() {
        builder.addresses = places;
    }
    builder
}

fn contacts_by(way: &Spanned<String>, judge: &mut Judge<'_>) -> Option<ContactsBy> {
    let known = [
        ("carddav", ContactsBy::CardDav),
        ("carddav-domain", ContactsBy::CardDavDomain),
        ("xcard", ContactsBy::Xcard),
    ];
    let found = known.iter().find(|(name, _)| name == way.get_ref()).map(|(_, way)| *way);
    if found.is_none() {
        let why = format!("{:?} is none of carddav, carddav-domain and xcard", way.get_ref());
        judge.wrong(way, "configuration.contacts", why);
    }
    found
}

/// What licences name (docs/wire/licence.md).
const FEATURES: [&str; 4] = ["audio", "video", "text", "record"];

fn licence(given: &Licence, builder: Builder, judge: &mut Judge<'_>) -> Builder {
    let mut options = builder.licence.clone();
    if let Some(features) = &given.features {
        for (at, feature) in features.iter().enumerate() {
            let name = feature.get_ref();
            // There may be others to come (docs/wire/licence.md); what is nearly one of these is meant to be it.
            let meant = nearest(name, FEATURES.map(str::to_owned)).filter(|meant| meant != name);
            if name.is_empty() {
                judge.wrong(feature, "licence.features", "it is empty: name a feature, or leave it out");
            } else if let Some(meant) = meant {
                let why = format!("{name:?} is no feature that a client asks for; did you mean `{meant}`?");
                judge.wrong(feature, "licence.features", why);
            } else if features[..at].iter().any(|other| other == feature) {
                judge.wrong(feature, "licence.features", "it is there twice: leave one out");
            }
        }
        options.features = features.iter().map(|feature| feature.get_ref().clone()).collect();
    }
    options.max_calls = given.max_calls.unwrap_or(options.max_calls);
    options.max_bitrate =
        bitrate("licence.max_bitrate", given.max_bitrate.as_ref(), judge).unwrap_or(options.max_bitrate);
    options.lifetime = judge.time("licence.lifetime", &given.lifetime).unwrap_or(options.lifetime);
    options.grace = judge.time("licence.grace", &given.grace).unwrap_or(options.grace);
    options.refresh_after =
        judge.time("licence.refresh_after", &given.refresh_after).unwrap_or(options.refresh_after);
    builder.licence(options)
}

fn fault(entry: &FaultEntry, judge: &mut Judge<'_>) -> Option<Order> {
    let fault = entry.name.get_ref().parse::<Fault>();
    let mut count = |key, number: &Option<Spanned<u32>>| {
        let number = number.as_ref()?;
        if *number.get_ref() == 0 {
            judge.wrong(number, key, "occasions are counted from 1");
        }
        Some(*number.get_ref())
    };
    let from = count("fault.from", &entry.from).unwrap_or(1);
    let times = count("fault.times", &entry.times);
    let at = entry.at.as_ref().and_then(|text| address("fault.at", text, judge));
    let after = judge.time("fault.after", &entry.after).unwrap_or_default();
    let lasting = judge.time("fault.for", &entry.lasting);
    if let (Some(text), Some(Duration::ZERO)) = (&entry.lasting, lasting) {
        judge.wrong(
            text,
            "fault.for",
            "it would never strike: write a time, or leave it out for as long as the carrier runs",
        );
    }
    let checked = fault
        .map_err(Into::into)
        .and_then(|fault| Order { fault, when: When { from, times }, at, after, lasting }.check());
    checked.map_err(|why| judge.wrong(&entry.name, "fault.name", why)).ok()
}
