//! Describes a carrier before it starts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::account::{self, Account};
use crate::carrier::{Carrier, StartError};
use crate::far_end::script::Script;
use crate::fault::{ArmedId, Fault, Faults, Order, When};
use crate::impairment::Impairment;
use crate::mcs::licence::LicenceOptions;
use crate::mcs::policy::GroupPolicy;
use crate::names::Names;
use crate::recorder;
use crate::sip::switch::RegistrationLimits;
use crate::state::Addresses;

/// One way in which a configuration document names the address book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactsBy {
    /// `x-z5` with `address-book-uri`: the CardDAV collection.
    CardDav,
    /// `carddav` (RFC 9248 section 9.2.2): its domain, whose SRV and TXT records lead to it (RFC 6764).
    CardDavDomain,
    /// `contacts` (RFC 9248 section 9.2.2): the list of xCards.
    Xcard,
}

/// What a carrier will be; [`Carrier::builder`] makes one, [`Builder::start`] starts it.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) seed: u64,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) names: Names,
    pub(crate) extra_hosts: Vec<(String, Vec<IpAddr>)>,
    pub(crate) dns_port: u16,
    pub(crate) zdial_port: u16,
    pub(crate) mcs_port: u16,
    pub(crate) sip_port: u16,
    pub(crate) sips_port: u16,
    pub(crate) proxies_over_tls: bool,
    pub(crate) impairment: Impairment,
    pub(crate) sip_impairment: Impairment,
    pub(crate) rtp_ports: RangeInclusive<u16>,
    pub(crate) client_rtp_ports: (u16, u16),
    pub(crate) policy: GroupPolicy,
    pub(crate) contacts_by: Vec<ContactsBy>,
    pub(crate) granted_expires: Duration,
    pub(crate) min_expires: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) licence: LicenceOptions,
    pub(crate) faults: Vec<Order>,
    pub(crate) scripts: Vec<Script>,
    pub(crate) recorder_capacity: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            seed: 1,
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            accounts: Vec::new(),
            names: Names::default(),
            extra_hosts: Vec::new(),
            dns_port: 0,
            zdial_port: 0,
            mcs_port: 0,
            sip_port: 0,
            sips_port: 0,
            proxies_over_tls: false,
            impairment: Impairment::default(),
            sip_impairment: Impairment::default(),
            rtp_ports: 0..=0,
            client_rtp_ports: (10_000, 65_535),
            policy: GroupPolicy::default(),
            contacts_by: vec![ContactsBy::CardDav, ContactsBy::Xcard],
            granted_expires: Duration::from_secs(600),
            min_expires: Duration::from_secs(60),
            lifetime: Duration::from_secs(86_400),
            licence: LicenceOptions::default(),
            faults: Vec::new(),
            scripts: Vec::new(),
            recorder_capacity: recorder::DEFAULT_CAPACITY,
        }
    }
}

impl Builder {
    /// Seeds nonces, tags, SSRCs and impairment. Keys are never seeded.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds an account; without any there are those of [`account::default_accounts`].
    #[must_use]
    pub fn account(mut self, account: Account) -> Self {
        self.accounts.push(account);
        self
    }

    /// The accounts there will be.
    #[must_use]
    pub fn accounts(&self) -> Vec<Account> {
        match self.accounts.is_empty() {
            true => account::default_accounts(),
            false => self.accounts.clone(),
        }
    }

    /// Replaces the five names.
    #[must_use]
    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Makes the name server answer differently for a name, or for one more name.
    #[must_use]
    pub fn host(mut self, name: &str, addresses: &[IpAddr]) -> Self {
        self.extra_hosts.push((name.to_owned(), addresses.to_vec()));
        self
    }

    /// One more loopback address for every server: every name has it too, after the ones before. The
    /// ports are the same at each. Systems other than Linux have only 127.0.0.1 unless told otherwise.
    #[must_use]
    pub fn further_address(mut self, address: Ipv4Addr) -> Self {
        self.addresses.push(IpAddr::V4(address));
        self
    }

    /// Port of the name server, UDP and TCP; 0: any.
    #[must_use]
    pub fn dns_port(mut self, port: u16) -> Self {
        self.dns_port = port;
        self
    }

    /// Port of the sign-in server; 0: any.
    #[must_use]
    pub fn zdial_port(mut self, port: u16) -> Self {
        self.zdial_port = port;
        self
    }

    /// HTTPS port of the MCS; 0: any.
    #[must_use]
    pub fn mcs_port(mut self, port: u16) -> Self {
        self.mcs_port = port;
        self
    }

    /// SIP port of the MCS, TCP and UDP; 0: any.
    #[must_use]
    pub fn sip_port(mut self, port: u16) -> Self {
        self.sip_port = port;
        self
    }

    /// Port of the MCS for SIP over TLS; 0: any.
    #[must_use]
    pub fn sips_port(mut self, port: u16) -> Self {
        self.sips_port = port;
        self
    }

    /// The sign-in server names its outbound proxies with TLS in place of TCP.
    #[must_use]
    pub fn proxies_over_tls(mut self) -> Self {
        self.proxies_over_tls = true;
        self
    }

    /// Every server is on `::1` and nowhere else, media too.
    #[must_use]
    pub fn on_ipv6(mut self) -> Self {
        self.addresses = vec![IpAddr::V6(Ipv6Addr::LOCALHOST)];
        self
    }

    /// UDP ports of the media relay; `0..=0`: any even port and the odd one after it.
    #[must_use]
    pub fn rtp_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.rtp_ports = ports;
        self
    }

    /// What happens to media in the relay.
    #[must_use]
    pub fn impairment(mut self, impairment: Impairment) -> Self {
        self.impairment = impairment;
        self
    }

    /// What happens to SIP on its way: over UDP to each datagram, over TCP and TLS delay, jitter and rate. What is lost or comes in
    /// another order there is TCP's to mend.
    #[must_use]
    pub fn sip_impairment(mut self, impairment: Impairment) -> Self {
        self.sip_impairment = impairment;
        self
    }

    /// What of it happens to SIP over UDP alone ([`Impairment::of_datagrams`]): a tester whose clients come by TCP or TLS sees nothing of
    /// it.
    pub fn sip_impairment_of_datagrams(&self) -> Vec<&'static str> {
        self.sip_impairment.of_datagrams()
    }

    /// The `rtp-port-range` that the group policy gives to clients.
    #[must_use]
    pub fn client_rtp_ports(mut self, low: u16, high: u16) -> Self {
        self.client_rtp_ports = (low, high);
        self
    }

    /// What the MCS says of the group with each licence; nothing by default.
    #[must_use]
    pub fn group_policy(mut self, policy: GroupPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How configuration documents name the address book; by default as a CardDAV collection and as a list of xCards.
    #[must_use]
    pub fn contacts_by(mut self, ways: &[ContactsBy]) -> Self {
        self.contacts_by = ways.to_vec();
        self
    }

    /// The longest registration that is granted, whatever was asked for.
    #[must_use]
    pub fn granted_expires(mut self, granted: Duration) -> Self {
        self.granted_expires = granted;
        self
    }

    /// A registration asking for less is answered 423 with this Min-Expires.
    #[must_use]
    pub fn min_expires(mut self, least: Duration) -> Self {
        self.min_expires = least;
        self
    }

    /// The `lifetime` of a configuration document.
    #[must_use]
    pub fn configuration_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// What licences allow.
    #[must_use]
    pub fn licence(mut self, options: LicenceOptions) -> Self {
        self.licence = options;
        self
    }

    /// Arms a fault from the start.
    #[must_use]
    pub fn fault(self, fault: Fault) -> Self {
        self.fault_when(fault, When::ALWAYS)
    }

    /// Arms a fault for some occasions.
    #[must_use]
    pub fn fault_when(mut self, fault: Fault, when: When) -> Self {
        self.faults.push(Order { when, ..Order::from(fault) });
        self
    }

    /// Arms a fault when, where and for as long as an order says.
    #[must_use]
    pub fn fault_order(mut self, order: Order) -> Self {
        self.faults.push(order);
        self
    }

    /// Adds a far end of the test's own, before those of the carrier.
    #[must_use]
    pub fn far_end(mut self, script: Script) -> Self {
        self.scripts.push(script);
        self
    }

    /// How many entries the recorder keeps; 0: none.
    #[must_use]
    pub fn recorder_capacity(mut self, entries: usize) -> Self {
        self.recorder_capacity = entries;
        self
    }

    /// Starts every server.
    pub async fn start(mut self) -> Result<Carrier, StartError> {
        if self.accounts.is_empty() {
            self.accounts = account::default_accounts();
        }
        Carrier::start(self).await
    }

    pub(crate) const fn limits(&self) -> RegistrationLimits {
        RegistrationLimits { granted_expires: self.granted_expires, min_expires: self.min_expires }
    }

    /// Where the servers are where no port has to be had from the system: the documented ports for those that are not chosen.
    pub(crate) fn fixed_addresses(&self, place: IpAddr) -> Addresses {
        let at = |port: u16, usual: u16| SocketAddr::new(place, if port == 0 { usual } else { port });
        Addresses {
            dns: at(self.dns_port, 53),
            zdial: at(self.zdial_port, 443),
            // On the same address as the sign-in server, so on another port.
            mcs: at(self.mcs_port, 8443),
            sip: at(self.sip_port, 5060),
            sips: at(self.sips_port, 5061),
        }
    }

    /// The faults that are armed from the start, and what is to be done later.
    pub(crate) fn armed_faults(&self) -> (Faults, Vec<(Order, Option<ArmedId>)>) {
        let faults = Faults::default();
        let mut later = Vec::new();
        for order in &self.faults {
            let now = order.after.is_zero().then(|| faults.arm_order(order));
            if now.is_none() || order.lasting.is_some() {
                later.push((*order, now));
            }
        }
        (faults, later)
    }
}
