//! Scenario files: a carrier described in TOML, for `z5 mock --scenario FILE` and [`Carrier::from_scenario`](crate::Carrier::from_scenario).
//!
//! docs/mock.md lists the keys. Everything that is wrong is told at once, with line, key and the nearest name where a name is wrong;
//! nothing is opened before all of it is good.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::account::{Account, Number, NumberState};
use crate::builder::{Builder, ContactsBy};
use crate::far_end::script::{Media, Script, Step};
use crate::fault::name::nearest;
use crate::fault::order::{self, Order};
use crate::fault::{Fault, When};
use crate::impairment;
use crate::mcs::policy::GroupPolicy;

/// What is wrong with a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file.
    pub file: PathBuf,
    /// Each thing, in the order of the file.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Counted from 1; none when it is about the file.
    pub line: Option<usize>,
    /// Which key; empty when it is not known.
    pub key: String,
    /// What, with what may stand there.
    pub why: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", self.file.display())?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            match problem.key.is_empty() {
                true => write!(f, ": {}", problem.why)?,
                false => write!(f, ": {}: {}", problem.key, problem.why)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioError {}

/// A time as text, judged when everything is read.
type Time = Option<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    seed: u64,
    addresses: Vec<Spanned<String>>,
    ipv6: Option<Spanned<bool>>,
    sip_over_tls: bool,
    ports: Ports,
    registration: Registration,
    configuration: Configuration,
    policy: Policy,
    licence: Licence,
    impairment: ImpairmentTable,
    sip_impairment: ImpairmentTable,
    account: Vec<AccountEntry>,
    hosts: BTreeMap<String, Vec<Spanned<String>>>,
    fault: Vec<FaultEntry>,
    far_end: Vec<FarEndEntry>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            seed: 1,
            addresses: Vec::new(),
            ipv6: None,
            sip_over_tls: false,
            ports: Ports::default(),
            registration: Registration::default(),
            configuration: Configuration::default(),
            policy: Policy::default(),
            licence: Licence::default(),
            impairment: ImpairmentTable::default(),
            sip_impairment: ImpairmentTable::default(),
            account: Vec::new(),
            hosts: BTreeMap::new(),
            fault: Vec::new(),
            far_end: Vec::new(),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Ports {
    dns: u16,
    zdial: u16,
    mcs: u16,
    sip: u16,
    sips: u16,
    rtp: Option<Spanned<(u16, u16)>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Registration {
    granted: Time,
    least: Time,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Configuration {
    lifetime: Time,
    rtp_ports: Option<Spanned<(u16, u16)>>,
    contacts: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Policy {
    rtp_ports: Option<Spanned<(u16, u16)>>,
    audio_codecs: Option<Vec<String>>,
    max_bitrate: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Licence {
    features: Option<Vec<String>>,
    max_calls: Option<u32>,
    max_bitrate: Option<u64>,
    lifetime: Time,
    grace: Time,
    refresh_after: Time,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ImpairmentTable {
    loss: Option<Spanned<f64>>,
    burst: Option<Spanned<f64>>,
    burst_length: Option<Spanned<f64>>,
    reorder: Option<Spanned<f64>>,
    duplicate: Option<Spanned<f64>>,
    delay: Time,
    jitter: Time,
    rate: Option<Spanned<String>>,
    queue: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountEntry {
    username: String,
    password: String,
    #[serde(default)]
    suspended: bool,
    #[serde(default)]
    number: Vec<NumberEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberEntry {
    number: Spanned<String>,
    label: Option<String>,
    display_name: Option<String>,
    state: Option<Spanned<String>>,
    sip_user: Option<String>,
    sip_password: Option<String>,
    emergency_address_on_file: Option<bool>,
    video_messages: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultEntry {
    name: Spanned<String>,
    from: Option<Spanned<u32>>,
    times: Option<Spanned<u32>>,
    at: Option<Spanned<String>>,
    after: Time,
    #[serde(rename = "for")]
    lasting: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FarEndEntry {
    number: Spanned<String>,
    name: Option<String>,
    media: Option<Spanned<String>>,
    says: Option<String>,
    steps: Vec<Spanned<String>>,
}

/// What is wrong so far, with where it stands.
struct Judge<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Judge<'_> {
    fn wrong<T>(&mut self, place: &Spanned<T>, key: &str, why: impl fmt::Display) {
        let line = Some(line(self.text, place.span().start));
        self.problems.push(Problem { line, key: key.to_owned(), why: why.to_string() });
    }

    fn time(&mut self, key: &str, text: &Time) -> Option<Duration> {
        let text = text.as_ref()?;
        let time = order::duration(text.get_ref());
        if time.is_none() {
            self.wrong(
                text,
                key,
                format!("{:?} is no time; write for example 5s, 500ms, 2m or 1h", text.get_ref()),
            );
        }
        time
    }

    fn share(&mut self, key: &str, share: Option<&Spanned<f64>>) -> f64 {
        let Some(share) = share else { return 0.0 };
        if !(0.0..=1.0).contains(share.get_ref()) {
            self.wrong(
                share,
                key,
                format!("{} is no share; write 0 to 1, 0.02 for one packet in fifty", share.get_ref()),
            );
        }
        *share.get_ref()
    }

    fn ports(&mut self, key: &str, ports: Option<&Spanned<(u16, u16)>>) -> Option<(u16, u16)> {
        let ports = ports?;
        let (low, high) = *ports.get_ref();
        if low >= high || low == 0 {
            self.wrong(
                ports,
                key,
                "write the lower port first and then a higher one, such as [20000, 20100]",
            );
        }
        Some((low, high))
    }
}

fn line(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// Reads a file.
pub(crate) fn load(path: &Path) -> Result<Builder, ScenarioError> {
    let fails = |problems| ScenarioError { file: path.to_owned(), problems };
    let text = std::fs::read_to_string(path).map_err(|error| {
        fails(vec![Problem { line: None, key: String::new(), why: format!("it cannot be read: {error}") }])
    })?;
    read(&text).map_err(fails)
}

/// Reads the text of a file.
fn read(text: &str) -> Result<Builder, Vec<Problem>> {
    let file: File = toml::from_str(text).map_err(|error| vec![syntax(text, &error)])?;
    let mut judge = Judge { text, problems: Vec::new() };
    let builder = build(&file, &mut judge);
    judge.problems.sort();
    match judge.problems.is_empty() {
        true => Ok(builder),
        false => Err(judge.problems),
    }
}

/// What the reader of TOML says, with the nearest of the names it would have taken.
fn syntax(text: &str, error: &toml::de::Error) -> Problem {
    let said = error.message().replace('\n', ", ");
    let mut words = said.split('`').skip(1).step_by(2).map(str::to_owned);
    let (mut key, mut hint) = (String::new(), String::new());
    if said.starts_with("unknown field") {
        key = words.next().unwrap_or_default();
        hint = nearest(&key, words).map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    } else if said.starts_with("missing field") {
        key = words.next().unwrap_or_default();
    }
    let line = error.span().map(|span| line(text, span.start));
    Problem { line, key, why: format!("{said}{hint}") }
}

fn build(file: &File, judge: &mut Judge<'_>) -> Builder {
    let mut builder = Builder::default()
        .seed(file.seed)
        .dns_port(file.ports.dns)
        .zdial_port(file.ports.zdial)
        .mcs_port(file.ports.mcs)
        .sip_port(file.ports.sip)
        .sips_port(file.ports.sips);
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
    if let Some(granted) = judge.time("registration.granted", &file.registration.granted) {
        builder = builder.granted_expires(granted);
    }
    if let Some(least) = judge.time("registration.least", &file.registration.least) {
        builder = builder.min_expires(least);
    }
    if let Some(lifetime) = judge.time("configuration.lifetime", &file.configuration.lifetime) {
        builder = builder.configuration_lifetime(lifetime);
    }
    if let Some(ways) = &file.configuration.contacts {
        let ways: Vec<ContactsBy> = ways.iter().filter_map(|way| contacts_by(way, judge)).collect();
        builder = builder.contacts_by(&ways);
    }
    builder = builder.group_policy(GroupPolicy {
        rtp_ports: judge.ports("policy.rtp_ports", file.policy.rtp_ports.as_ref()),
        audio_codecs: file.policy.audio_codecs.clone(),
        max_bitrate: file.policy.max_bitrate,
    });
    builder = licence(&file.licence, builder, judge);
    if let Some(impairment) = impaired("impairment", &file.impairment, judge) {
        builder = builder.impairment(impairment);
    }
    if let Some(impairment) = impaired("sip_impairment", &file.sip_impairment, judge) {
        builder = builder.sip_impairment(impairment);
    }
    for entry in &file.account {
        builder = builder.account(account(entry, judge));
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
    for entry in &file.far_end {
        if let Some(script) = far_end(entry, judge) {
            builder = builder.far_end(script);
        }
    }
    builder
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

/// None where something is wrong with it.
fn impaired(table: &str, given: &ImpairmentTable, judge: &mut Judge<'_>) -> Option<crate::Impairment> {
    let key = |name: &str| format!("{table}.{name}");
    let length = given.burst_length.as_ref();
    if let Some(length) = length.filter(|length| !(1.0..=1e6).contains(length.get_ref())) {
        judge.wrong(length, &key("burst_length"), "a burst is one packet long at least");
    }
    let rate = given.rate.as_ref().and_then(|text| {
        let rate = impairment::bits(text.get_ref());
        if rate.is_none() {
            let why = format!(
                "{:?} is no rate; write bits a second, for example \"300k\" or \"2M\"",
                text.get_ref()
            );
            judge.wrong(text, &key("rate"), why);
        }
        rate
    });
    let parts = impairment::Parts {
        loss: judge.share(&key("loss"), given.loss.as_ref()),
        burst: given.burst.as_ref().map(|share| judge.share(&key("burst"), Some(share))),
        burst_length: length.map(|length| *length.get_ref()),
        reorder: judge.share(&key("reorder"), given.reorder.as_ref()),
        duplicate: judge.share(&key("duplicate"), given.duplicate.as_ref()),
        delay: judge.time(&key("delay"), &given.delay).unwrap_or_default(),
        jitter: judge.time(&key("jitter"), &given.jitter).unwrap_or_default(),
        rate,
        queue: judge.time(&key("queue"), &given.queue),
    };
    match (parts.whole(), length, &given.queue) {
        (Ok(impairment), ..) => return Some(impairment),
        (Err(why), Some(length), _) if parts.burst.is_none() => {
            judge.wrong(length, &key("burst_length"), why)
        }
        // A rate that cannot be read has been told already.
        (Err(why), _, Some(queue)) if given.rate.is_none() => judge.wrong(queue, &key("queue"), why),
        (Err(_), ..) => {}
    }
    None
}

fn licence(given: &Licence, builder: Builder, judge: &mut Judge<'_>) -> Builder {
    let mut options = builder.licence.clone();
    if let Some(features) = &given.features {
        options.features.clone_from(features);
    }
    options.max_calls = given.max_calls.unwrap_or(options.max_calls);
    options.max_bitrate = given.max_bitrate.unwrap_or(options.max_bitrate);
    options.lifetime = judge.time("licence.lifetime", &given.lifetime).unwrap_or(options.lifetime);
    options.grace = judge.time("licence.grace", &given.grace).unwrap_or(options.grace);
    options.refresh_after =
        judge.time("licence.refresh_after", &given.refresh_after).unwrap_or(options.refresh_after);
    builder.licence(options)
}

fn account(entry: &AccountEntry, judge: &mut Judge<'_>) -> Account {
    let mut account = Account::new(&entry.username, &entry.password);
    for given in &entry.number {
        let text = given.number.get_ref();
        if !text.starts_with('+') || text.len() < 3 || !text[1..].bytes().all(|byte| byte.is_ascii_digit()) {
            judge.wrong(
                &given.number,
                "account.number.number",
                format!("{text:?} is no phone number: write it as +15555550101"),
            );
        }
        let mut number = Number::new(text, given.display_name.as_deref().unwrap_or(&entry.username));
        number.state = match given.state.as_ref().map(|state| state.get_ref().as_str()) {
            None | Some("available") => NumberState::Available,
            Some("in-use") => NumberState::InUse,
            Some("suspended") => NumberState::Suspended,
            Some(other) => {
                if let Some(state) = &given.state {
                    judge.wrong(
                        state,
                        "account.number.state",
                        one_of(other, &["available", "in-use", "suspended"]),
                    );
                }
                NumberState::Available
            }
        };
        number.label = given.label.clone().unwrap_or(number.label);
        number.sip_user = given.sip_user.clone().unwrap_or(number.sip_user);
        number.sip_password = given.sip_password.clone().unwrap_or(number.sip_password);
        number.emergency_address_on_file = given.emergency_address_on_file.unwrap_or(true);
        number.video_messages = given.video_messages.unwrap_or(0);
        account = account.number_with(number);
    }
    if entry.suspended { account.suspended() } else { account }
}

fn one_of(word: &str, words: &[&str]) -> String {
    let hint = nearest(word, words.iter().map(|word| (*word).to_owned()));
    let hint = hint.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    format!("{word:?} is none of {}{hint}", words.join(", "))
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
    let checked = fault
        .map_err(Into::into)
        .and_then(|fault| Order { fault, when: When { from, times }, at, after, lasting }.check());
    checked.map_err(|why| judge.wrong(&entry.name, "fault.name", why)).ok()
}

fn far_end(entry: &FarEndEntry, judge: &mut Judge<'_>) -> Option<Script> {
    let mut steps = Vec::new();
    for text in &entry.steps {
        match text.get_ref().parse::<Step>() {
            Ok(step) => steps.push(step),
            Err(why) => judge.wrong(text, "far_end.steps", why),
        }
    }
    let mut script = Script::new(entry.number.get_ref(), steps)
        .map_err(|why| judge.wrong(&entry.number, "far_end", why))
        .ok()?;
    script.name = entry.name.clone().unwrap_or_default();
    if let Some(media) = &entry.media {
        script.media = match media.get_ref().as_str() {
            "echo" => Media::Echo,
            "tone" => Media::Tone,
            "announcement" => Media::Announcement,
            "silent" => Media::Silent,
            other => {
                judge.wrong(
                    media,
                    "far_end.media",
                    one_of(other, &["echo", "tone", "announcement", "silent"]),
                );
                Media::Echo
            }
        };
    }
    if let Some(says) = &entry.says {
        script.says.clone_from(says);
    }
    Some(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = include_str!("../../docs/scenario.toml");

    #[test]
    fn the_documented_file_is_read_and_means_what_it_says() {
        let builder = read(WHOLE).unwrap();
        assert_eq!(builder.seed, 7);
        assert_eq!(builder.addresses.len(), 2);
        assert_eq!(builder.accounts.len(), 2);
        assert_eq!(builder.licence.max_calls, 3);
        assert_eq!(builder.impairment.delay, Duration::from_millis(40));
        assert_eq!(builder.impairment.burst, Some(crate::Burst::of(0.03, 8.0)));
        let rate = crate::Rate { bits_per_second: 2_000_000, queue: Duration::from_millis(200) };
        assert_eq!(builder.impairment.rate, Some(rate));
        assert_eq!(builder.sip_impairment.jitter, Duration::from_millis(20));
        let faults: Vec<String> = builder.faults.iter().map(Order::to_string).collect();
        assert_eq!(
            faults,
            [
                "sip.register-status=503,from=2,times=1",
                "mcs.server-error,at=127.0.0.1,after=10000ms,for=30000ms"
            ]
        );
        assert_eq!(builder.scripts.len(), 1);
        assert_eq!(builder.scripts[0].steps.len(), 9);
    }

    /// Line, key and what is offered instead, for each kind of mistake; several are told at once.
    #[test]
    fn every_mistake_is_told_with_its_line_and_the_nearest_name() {
        for (text, line, key, part) in [
            ("sed = 1\n", 1, "sed", "did you mean `seed`"),
            ("\n[ports]\nsips = \"x\"\n", 3, "", "expected u16"),
            ("addresses = [\"10.0.0.1\"]\n", 1, "addresses", "loopback"),
            ("addresses = [\"127.0.0.1\"]\nipv6 = true\n", 2, "ipv6", "leave one"),
            ("[impairment]\nloss = 2.0\n", 2, "impairment.loss", "0 to 1"),
            ("[impairment]\ndelay = \"5\"\n", 2, "impairment.delay", "500ms"),
            ("[impairment]\nburst_length = 4\n", 2, "impairment.burst_length", "beside burst"),
            ("[impairment]\nburst = 0.1\nburst_length = 0.5\n", 3, "impairment.burst_length", "one packet"),
            ("[impairment]\nrate = \"fast\"\nqueue = \"1s\"\n", 2, "impairment.rate", "300k"),
            ("[sip_impairment]\nqueue = \"1s\"\n", 2, "sip_impairment.queue", "beside rate"),
            ("[[fault]]\nname = \"zdial.refused\"\n", 2, "fault.name", "did you mean zdial.refuse?"),
            ("[[fault]]\nname = \"zdial.refuse\"\nfrom = 0\n", 3, "fault.from", "from 1"),
            ("[[fault]]\nname = \"zdial.refuse\"\nat = \"127.0.0.9\"\n", 3, "fault.at", "127.0.0.1"),
            ("[[fault]]\nname = \"media.none\"\nat = \"127.0.0.1\"\n", 2, "fault.name", "same at all"),
            ("[[account]]\nusername = \"a\"\n", 1, "password", "missing"),
            ("[[far_end]]\nnumber = \"+1\"\nsteps = [\"anser\"]\n", 3, "far_end.steps", "no step"),
            (
                "[[far_end]]\nnumber = \"+1\"\nmedia = \"tones\"\nsteps = []\n",
                3,
                "far_end.media",
                "did you mean `tone`",
            ),
            ("[ports]\nrtp = [5, 4]\n", 2, "ports.rtp", "lower port first"),
            ("seed = \n", 1, "", ""),
        ] {
            let problems = read(text).err().unwrap_or_else(|| panic!("{text}"));
            let first = &problems[0];
            assert_eq!((first.line, first.key.as_str()), (Some(line), key), "{text}: {first:?}");
            assert!(first.why.contains(part), "{text}: {first:?}");
        }
        let several = "[impairment]\nloss = 2.0\ndelay = \"x\"\n[[fault]]\nname = \"no\"\n";
        assert_eq!(read(several).err().unwrap().len(), 3);
        let shown = load(Path::new("/nowhere/scenario.toml")).err().unwrap().to_string();
        assert!(shown.starts_with("/nowhere/scenario.toml: it cannot be read"), "{shown}");
    }
}
