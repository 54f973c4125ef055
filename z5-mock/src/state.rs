//! What the servers of one carrier share.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::account::Account;
use crate::builder::{Builder, ContactsBy};
use crate::carrier::{StartError, first_address_books};
use crate::clock::Clock;
use crate::far_end::script::{self, Script};
use crate::fault::Faults;
use crate::mail::Mail;
use crate::mcs::address_book::AddressBooks;
use crate::mcs::licence::Signer;
use crate::mcs::policy::GroupPolicy;
use crate::names::Names;
use crate::recorder::Recorder;
use crate::tls::Tls;

/// Where the servers listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) dns: SocketAddr,
    pub(crate) zdial: SocketAddr,
    pub(crate) mcs: SocketAddr,
    /// TCP and UDP.
    pub(crate) sip: SocketAddr,
    pub(crate) sips: SocketAddr,
}

pub(crate) struct State {
    pub(crate) names: Names,
    pub(crate) accounts: Vec<Account>,
    pub(crate) addresses: Addresses,
    /// The addresses of the sign-in server and the MCS.
    pub(crate) places: Vec<IpAddr>,
    pub(crate) faults: Faults,
    pub(crate) recorder: Recorder,
    /// None in a simulation, which makes no connections.
    pub(crate) tls: Option<Tls>,
    pub(crate) signer: Signer,
    pub(crate) address_books: AddressBooks,
    pub(crate) mail: Mail,
    /// Far ends of the test's own.
    pub(crate) scripts: Vec<Script>,
    pub(crate) client_rtp_ports: (u16, u16),
    pub(crate) policy: GroupPolicy,
    pub(crate) contacts_by: Vec<ContactsBy>,
    pub(crate) lifetime: Duration,
    /// What the sign-in server says about its proxies.
    pub(crate) proxies_over_tls: bool,
    pub(crate) dice: Dice,
    pub(crate) clock: Clock,
}

impl State {
    /// Everything but the servers.
    pub(crate) fn new(
        builder: Builder,
        addresses: Addresses,
        tls: Option<Tls>,
        faults: Faults,
        recorder: Recorder,
        clock: Clock,
    ) -> Result<Self, StartError> {
        script::check_all(&builder.scripts, &builder.accounts)
            .map_err(|(number, why)| StartError::FarEnd { number, why })?;
        Ok(Self {
            tls,
            signer: Signer::new(builder.licence, &builder.names.mcs)?,
            address_books: first_address_books(&builder.accounts),
            mail: Mail::new(&builder.accounts),
            names: builder.names,
            accounts: builder.accounts,
            addresses,
            places: builder.addresses,
            faults,
            recorder,
            scripts: builder.scripts,
            client_rtp_ports: builder.client_rtp_ports,
            policy: builder.policy,
            contacts_by: builder.contacts_by,
            lifetime: builder.lifetime,
            proxies_over_tls: builder.proxies_over_tls,
            dice: Dice::new(builder.seed),
            clock,
        })
    }
}

/// Seeded randomness for nonces and identifiers; a test carrier repeats itself for the same seed.
pub(crate) struct Dice(Mutex<ChaCha12Rng>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha12Rng::seed_from_u64(seed)))
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// 32 hexadecimal digits.
    pub(crate) fn token(&self) -> String {
        format!("{:016x}{:016x}", self.number(), self.number())
    }
}
