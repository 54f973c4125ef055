//! Where a scenario happens: the mock carrier in this process, or a real one; and the configuration of each party.
//!
//! Everything that can be wrong with configurations, accounts and files is found in `judge`, before anything is sent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use z5_core::Config;
use z5_mock::{Account, Builder, Carrier, ClientConfig, Number};

use super::language::WORDS;
use super::model::{Action, MediaPlan, MockPlan, Only, PartyPlan, Policy, Scenario, Step};
use super::read::unknown;
use super::yaml::{Mistake, Place};
use crate::expect::Eyes;
use crate::script::{Kept, Media};

/// The clock of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Clock {
    /// The one on the wall.
    #[default]
    Real,
    /// Simulated time, the same for the same seed.
    Simulated,
}

/// What is given from outside beside variables. Configurations are named on the command line. Any of them makes the carrier a real one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configurations {
    /// `--config`: for every party without one of its own.
    pub(crate) everyone: Option<PathBuf>,
    /// `--party NAME=FILE`.
    pub(crate) parties: BTreeMap<String, PathBuf>,
    /// `--clock`.
    pub(crate) clock: Clock,
}

impl Configurations {
    fn none(&self) -> bool {
        self.everyone.is_none() && self.parties.is_empty()
    }
}

/// A world that can be entered.
#[derive(Debug)]
pub(crate) enum World {
    /// The mock carrier as planned.
    Mock(Box<Builder>),
    /// The mock carrier in simulated time, and the seed of whoever comes to it.
    Simulated(Box<Builder>, u64),
    /// Somebody else's; one configuration for each party.
    Real(Vec<Config>),
}

impl Clock {
    /// As on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Simulated => "simulated",
        }
    }
}

impl World {
    pub(super) const fn clock(&self) -> Clock {
        match self {
            Self::Mock(_) | Self::Real(_) => Clock::Real,
            Self::Simulated(..) => Clock::Simulated,
        }
    }
}

/// Decides for a world, leaves the steps out that are not done there, and judges everything that needs no traffic.
///
/// # Errors
/// Every mistake.
pub(crate) fn judge(scenario: &mut Scenario, given: &Configurations) -> Result<World, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let world = if scenario.mock.is_some() && given.none() { Only::Mock } else { Only::Real };
    settle(&mut scenario.steps, world);
    if scenario.steps.is_empty() {
        let where_it_is = if world == Only::Mock { "the mock carrier" } else { "a real carrier" };
        mistakes
            .push(Mistake::new(scenario.at, format!("no step is done at {where_it_is}: each has `only`")));
    }
    let known =
        |name: &str| scenario.parties.iter().any(|party| party.name == name || account(party) == name);
    for name in given.parties.keys().filter(|name| !known(name)) {
        let names = scenario.parties.iter().map(|party| party.name.as_str());
        let why = unknown(&format!("--party: {} has no party", scenario.file.display()), name, names);
        mistakes.push(Mistake::of_the_command_line("usage.party", why));
    }
    let world = match (&scenario.mock, given.none()) {
        (Some(plan), true) => {
            let before = mistakes.len();
            let builder = Box::new(builder(plan, &mut mistakes));
            // of a carrier that cannot be read the accounts are not known
            if mistakes.len() == before {
                accounts(&builder.accounts(), &scenario.parties, &mut mistakes);
            }
            match given.clock {
                Clock::Real => World::Mock(builder),
                Clock::Simulated => {
                    of_real_time(&scenario.steps, &mut mistakes);
                    World::Simulated(builder, plan.seed.unwrap_or(1))
                }
            }
        }
        (mock, _) if given.clock == Clock::Simulated => {
            mistakes.push(match mock {
                Some(_) => Mistake::of_the_command_line(
                    "usage.clock",
                    "--clock simulated has no real carrier: leave --config and --party out",
                ),
                None => Mistake::new(
                    scenario.at,
                    "--clock simulated has the mock carrier only: the file has no `mock`",
                ),
            });
            World::Real(Vec::new())
        }
        (mock, _) => {
            mock_only(&scenario.steps, mock.is_some(), &mut mistakes);
            let configs = scenario
                .parties
                .iter()
                .filter_map(|party| real(party, given).map_err(|mistake| mistakes.push(mistake)).ok());
            World::Real(configs.collect())
        }
    };
    files(&scenario.steps, &mut mistakes);
    if mistakes.is_empty() { Ok(world) } else { Err(mistakes) }
}

/// Every party has an account of the mock carrier. Who signs in with SIP alone has its first number and no other.
fn accounts(accounts: &[Account], parties: &[PartyPlan], mistakes: &mut Vec<Mistake>) {
    for party in parties {
        let name = account(party);
        let Some(account) = accounts.iter().find(|account| account.username() == name) else {
            let what = format!("party `{}`: the mock carrier has no account", party.name);
            let known = accounts.iter().map(Account::username);
            mistakes.push(Mistake::new(party.at, unknown(&what, name, known)));
            continue;
        };
        let first = account.numbers().first().map(|number| number.e164.as_str());
        if let (true, Some((at, number)), Some(first)) = (party.generic, &party.number, first)
            && !is_same_number(first, number)
        {
            mistakes.push(Mistake::new(*at, other_number(party, first)));
        }
    }
}

/// A number as a user name may write it.
fn is_same_number(user: &str, number: &str) -> bool {
    user.trim_start_matches('+') == number.trim_start_matches('+')
}

fn other_number(party: &PartyPlan, user: &str) -> String {
    format!(
        "party `{}`: with a generic configuration there is no number to choose, it signs in as `{user}`: leave `number` out, or name \
         a configuration with [zdial]",
        party.name
    )
}

fn account(party: &PartyPlan) -> &str {
    party.account.as_deref().unwrap_or(&party.name)
}

/// Steps that need real time: no TLS is spoken.
fn of_real_time(steps: &[Step], mistakes: &mut Vec<Mistake>) {
    for step in steps {
        let mut refuse = |why: &str| mistakes.push(Mistake::new(step.at, why));
        if matches!(&step.action, Action::Wire(wire) if wire.start.starts_with("[TLS")) {
            refuse("--clock simulated speaks no TLS: there is no handshake to look at");
        }
        if let Action::Parallel(branches) = &step.action {
            branches.iter().for_each(|branch| of_real_time(branch, mistakes));
        }
    }
}

/// Leaves out the steps that are done in the other world only.
fn settle(steps: &mut Arc<Vec<Step>>, world: Only) {
    // as long as nothing runs nobody else has them
    let Some(steps) = Arc::get_mut(steps) else { return };
    steps.retain(|step| step.only.is_none_or(|only| only == world));
    for step in steps {
        if let Action::Parallel(branches) = &mut step.action {
            branches.iter_mut().for_each(|branch| settle(branch, world));
        }
    }
}

/// Steps that nobody but the mock carrier can do.
fn mock_only(steps: &[Step], has_mock: bool, mistakes: &mut Vec<Mistake>) {
    for step in steps {
        if WORDS.iter().any(|word| word.name == step.word && word.mock_only) {
            let why = match has_mock {
                true => "needs the mock carrier, and with --config or --party the run is against a real one",
                false => "needs the mock carrier: the file has no `mock`",
            };
            mistakes.push(Mistake::new(step.at, format!("`{}` {why}", step.word)));
        }
        if let Action::Wire(wire) = &step.action {
            let why = match wire.seen {
                Some(Eyes::Carrier) => {
                    Some("`seen: carrier` needs the mock carrier; `seen: here` looks at z5's own record")
                }
                Some(Eyes::Z5) | None => wire.unseen_here(),
            };
            mistakes.extend(why.map(|why| Mistake::new(step.at, why)));
        }
        if let Action::Parallel(branches) = &step.action {
            branches.iter().for_each(|branch| mock_only(branch, has_mock, mistakes));
        }
    }
}

/// Sound and picture files can be played.
fn files(steps: &[Step], mistakes: &mut Vec<Mistake>) {
    for step in steps {
        if let Action::Parallel(branches) = &step.action {
            branches.iter().for_each(|branch| files(branch, mistakes));
        }
        let Some(media) = media_of(&step.action) else { continue };
        if let Err(error) = self::media(media, Kept::default()).to_call_media().check() {
            mistakes.push(Mistake::new(step.at, error.to_string()));
        }
    }
}

/// What a step plays and shows.
fn media_of(action: &Action) -> Option<&MediaPlan> {
    match action {
        Action::Call(call) => Some(&call.media),
        Action::Answer { media, .. } | Action::Incoming(Policy::Answer(media)) => Some(media),
        Action::Start
        | Action::Register
        | Action::Stop { .. }
        | Action::Reject(_)
        | Action::Incoming(Policy::Ring | Policy::Refuse(_))
        | Action::Transfers { .. }
        | Action::Connect { .. }
        | Action::Search { .. }
        | Action::Forget { .. }
        | Action::History { .. }
        | Action::Do(_)
        | Action::Message { .. }
        | Action::Contact { .. }
        | Action::Sync
        | Action::SameContacts(_)
        | Action::Wait(_)
        | Action::Pause(_)
        | Action::Expect(_)
        | Action::Fault(..)
        | Action::Mend(_)
        | Action::Impair(..)
        | Action::Cut
        | Action::Wire(_)
        | Action::Say(_)
        | Action::Parallel(_) => None,
    }
}

/// As a call takes it.
pub(super) fn media(plan: &MediaPlan, kept: Kept) -> Media {
    let MediaPlan { audio, video, echo, .. } = plan.clone();
    Media { audio, video, kept, text: Vec::new(), typing: None, acts: Vec::new(), duration: None, echo }
}

/// The configuration of a party at a real carrier.
fn real(party: &PartyPlan, given: &Configurations) -> Result<Config, Mistake> {
    // several devices of one account may be named by that
    let of_account = given.parties.get(account(party));
    let of_party = given.parties.get(&party.name).or(of_account).map(|path| (path, "--party"));
    let of_file = || party.config.as_ref().map(|path| (path, ""));
    let of_everyone = || given.everyone.as_ref().map(|path| (path, "--config"));
    let Some((path, flag)) = of_party.or_else(of_file).or_else(of_everyone) else {
        let why = format!(
            "party `{0}` has no configuration: name one with --party {0}=FILE, `config` in the file, or --config; or let the file \
             have `mock`",
            party.name
        );
        return Err(Mistake::new(party.at, why));
    };
    let config = Config::load(path).map_err(|error| match flag {
        "" => Mistake::new(party.at, format!("party `{}`: {error}", party.name)),
        "--config" => Mistake::of_the_command_line(error.code(), format!("--config: {error}")),
        flag => Mistake::of_the_command_line(error.code(), format!("{flag} {}: {error}", party.name)),
    })?;
    settled(party, config).map_err(|(at, why)| Mistake::new(at, why))
}

/// With what the scenario says about the party in place of what the configuration says.
fn settled(party: &PartyPlan, mut config: Config) -> Result<Config, (Place, String)> {
    if let Some(transport) = party.transport {
        config.sip.transport = transport;
    }
    if let Some(srtp) = party.srtp {
        config.media.srtp = srtp;
    }
    if !party.suites.is_empty() {
        config.media.srtp_suites.clone_from(&party.suites);
    }
    if !party.codecs.is_empty() {
        config.media.audio_codecs.clone_from(&party.codecs);
    }
    if let Some(location) = &party.location {
        config.emergency.location = Some(location.clone());
        config.emergency.location_file = None;
        config.emergency.location_with_registration = true;
    }
    if let Some(protocol) = party.contacts {
        config.contacts.protocol = Some(protocol);
    }
    if let Some((at, number)) = &party.number {
        match (&mut config.zdial, &config.sip.username) {
            (Some(zdial), _) => zdial.number = Some(number.clone()),
            // there is one to sign in with, and it is this one
            (None, Some(user)) if is_same_number(user, number) => {}
            (None, user) => {
                let user = user.as_deref().unwrap_or_default();
                return Err((*at, other_number(party, user)));
            }
        }
    }
    // a scenario says itself what is tried again
    config.check().map_err(|error| (party.at, format!("party `{}`: {error}", party.name)))?;
    Ok(config)
}

/// The mock carrier that is wanted.
fn builder(plan: &MockPlan, mistakes: &mut Vec<Mistake>) -> Builder {
    let mut builder = match &plan.carrier {
        None => Carrier::builder(),
        Some((at, file)) => Carrier::from_scenario(file).unwrap_or_else(|error| {
            mistakes.push(Mistake::new(*at, format!("{}: {error}", file.display())));
            Carrier::builder()
        }),
    };
    for account in &plan.accounts {
        let mut number = Number::new(&account.number, &account.name);
        number.video_messages = account.messages;
        let account = Account::new(&account.name, &format!("{}-secret", account.name));
        builder = builder.account(account.number_with(number));
    }
    if let Some(impairment) = &plan.impairment {
        builder = builder.impairment(impairment.clone());
    }
    if let Some(impairment) = &plan.sip_impairment {
        builder = builder.sip_impairment(impairment.clone());
    }
    if let Some(seed) = plan.seed {
        builder = builder.seed(seed);
    }
    if plan.tls {
        builder = builder.proxies_over_tls();
    }
    if plan.ipv6 {
        builder = builder.on_ipv6();
    }
    if let Some(granted) = plan.grant {
        builder = builder.granted_expires(granted);
    }
    if let Some(least) = plan.min_expires {
        builder = builder.min_expires(least);
    }
    plan.faults.iter().fold(builder, |builder, order| builder.fault_order(*order))
}

/// The configuration of a party at the mock carrier; `client` gives that of an account, with or without steps 2 and 3.
pub(super) fn of_the_mock(
    party: &PartyPlan,
    ca_pem: Option<&str>,
    client: impl Fn(&str, bool) -> Option<ClientConfig>,
) -> Result<Config, String> {
    let account = account(party);
    let client = client(account, party.generic);
    let client = client.ok_or_else(|| format!("the mock carrier has no account `{account}`"))?;
    let text = client.to_toml().map_err(|error| error.to_string())?;
    let mut config = Config::parse(&text, Path::new("mock")).map_err(|error| error.to_string())?;
    config.tls.ca_file = None;
    config.tls.ca_pem = ca_pem.map(str::to_owned);
    settled(party, config).map_err(|(_, why)| why)
}
