//! A running carrier: binds every port, starts every server, says where they are, ends them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hickory_server::Server;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::account::{self, Account, Number};
use crate::builder::Builder;
use crate::client_config::{self, ClientConfig};
use crate::clock::Clock;
use crate::dns::{self, Zone};
use crate::endpoint::{Endpoint, Reserved};
use crate::far_end::{FarEnds, Kind as FarEnd};
use crate::fault::{ArmedId, BadOrder, Fault, Faults, Order};
use crate::impairment::{Conditions, Impairment};
use crate::mail::VideoMessage;
use crate::mcs::address_book::{self, AddressBooks};
use crate::mcs::licence::{LicenceKey, LicenceKeyError};
use crate::mcs::list;
use crate::names::Names;
use crate::recorder::{Recorder, Service};
use crate::relay::{Relay, RelayFigures, RelayStats};
use crate::scenario::{self, ScenarioError};
use crate::sip::switch::{RegistrationLimits, Switch};
use crate::sip::{Door, Input, Numbers, SWITCH_INPUTS, datagrams};
use crate::state::{Addresses, State};
use crate::tls::{Tls, TlsSetupError};
use crate::{clock, http, mcs, zdial};

/// How many port numbers are tried until one is free on UDP and TCP alike, or at every address.
const PORT_TRIES: u32 = 32;

/// Why a carrier did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be had.
    #[error("{} server on {addr}: {}", service.name(), z5_media::file::words::system(source))]
    Port {
        /// Which server wanted it.
        service: Service,
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Certificates could not be made.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// A fault cannot be as it was ordered.
    #[error(transparent)]
    Order(#[from] BadOrder),
    /// A fault is to be at an address that the carrier does not have.
    #[error("{fault} is to be at {at}, which is no address of this carrier")]
    NoSuchAddress {
        /// Which.
        fault: Fault,
        /// Where.
        at: IpAddr,
    },
    /// A far end has a number or a name that somebody has already.
    #[error("far end {number}: {why}")]
    FarEnd {
        /// Its number.
        number: String,
        /// Whose it is.
        why: String,
    },
    /// The licence key could not be made.
    #[error(transparent)]
    LicenceKey(#[from] LicenceKeyError),
}

/// A mock carrier with real sockets on loopback. Dropping it ends every server and connection.
pub struct Carrier {
    state: Arc<State>,
    tasks: JoinSet<()>,
    dns: Vec<Server<Zone>>,
    relay_figures: RelayFigures,
    /// Of media, and of SIP.
    conditions: Conditions,
    sip_conditions: Conditions,
    /// The SIP switch; it ends with the tasks.
    switch: Option<mpsc::WeakSender<Input>>,
}

impl Carrier {
    /// Describes a carrier.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Describes a carrier by a scenario file ([`scenario`](crate::scenario)); nothing is opened yet.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn from_scenario(path: &std::path::Path) -> Result<Builder, ScenarioError> {
        scenario::load(path)
    }

    pub(crate) async fn start(builder: Builder) -> Result<Self, StartError> {
        let places = &builder.addresses;
        let address = places.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (faults, later) = builder.armed_faults();
        for order in &builder.faults {
            order.check()?;
            if let Some(at) = order.at.filter(|at| !places.contains(at)) {
                return Err(StartError::NoSuchAddress { fault: order.fault, at });
            }
        }
        let recorder = Recorder::new(builder.recorder_capacity);
        let dns = reserve_dns(places, builder.dns_port).await?;
        let zdial = reserve_all(Service::Zdial, places, builder.zdial_port)?;
        let mcs = reserve_all(Service::Mcs, places, builder.mcs_port)?;
        let (sip, sip_udp) = reserve_sip(places, builder.sip_port).await?;
        let sips = reserve_all(Service::Sip, places, builder.sips_port)?;
        let addresses = Addresses {
            dns: dns.first().map_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), |(_, tcp)| tcp.addr),
            zdial: first(&zdial),
            mcs: first(&mcs),
            sip: first(&sip),
            sips: first(&sips),
        };
        let zone = Zone::new(&builder.names, &builder.extra_hosts, places, faults.clone(), recorder.clone())
            .with_sip(&builder.names, addresses.sip.port(), addresses.sips.port())
            .with_address_book(&builder.names, addresses.mcs.port());
        let tls = Tls::new(&builder.names, places)?;
        let (rtp_ports, seed) = (builder.rtp_ports.clone(), builder.seed);
        let conditions = Conditions::new(builder.impairment.clone());
        let sip_conditions = Conditions::new(builder.sip_impairment.clone());
        let limits = builder.limits();
        let state = State::new(builder, addresses, Some(tls), faults, recorder, Clock::System)?;
        let state = Arc::new(state);
        let figures = RelayFigures::default();
        let relay =
            Relay::new(address, rtp_ports, state.faults.clone(), conditions.clone(), figures.clone(), seed);
        let mut carrier = Self {
            state,
            tasks: JoinSet::new(),
            dns: Vec::new(),
            switch: None,
            relay_figures: figures,
            conditions,
            sip_conditions,
        };
        for (udp, tcp) in dns {
            let zone = zone.at(tcp.addr.ip());
            carrier.serve_dns(udp, tcp, zone)?;
        }
        carrier.serve_https(Service::Zdial, zdial, zdial::router(Arc::clone(&carrier.state)));
        carrier.serve_https(Service::Mcs, mcs, mcs::router(Arc::clone(&carrier.state)));
        carrier.serve_sip((sip, sips, sip_udp), relay, limits, seed);
        for (order, armed) in later {
            carrier.tasks.spawn(in_time(carrier.state.faults.clone(), order, armed));
        }
        Ok(carrier)
    }

    fn serve_dns(&mut self, udp: UdpSocket, tcp: Reserved, zone: Zone) -> Result<(), StartError> {
        if self.state.faults.is_armed_at(Fault::Refuse(Service::Dns), tcp.addr.ip()) {
            // Neither protocol has a listener now; the port number stays ours on TCP.
            self.tasks.spawn(
                self.endpoint(Service::Dns, tcp.addr.ip()).serve(tcp, |_, _, _| std::future::ready(())),
            );
            return Ok(());
        }
        let addr = tcp.addr;
        let listener =
            tcp.listen().map_err(|source| StartError::Port { service: Service::Dns, addr, source })?;
        self.dns.push(dns::serve(udp, listener, zone));
        Ok(())
    }

    fn serve_https(&mut self, service: Service, reserved: Vec<Reserved>, router: axum::Router) {
        for reserved in reserved {
            let (state, router) = (Arc::clone(&self.state), router.clone());
            let handler = move |stream, peer, shape| {
                http::connection(Arc::clone(&state), service, router.clone(), (stream, shape), peer)
            };
            self.tasks.spawn(self.endpoint(service, reserved.addr.ip()).serve(reserved, handler));
        }
    }

    fn serve_sip(
        &mut self,
        (tcp, tls, udp): (Vec<Reserved>, Vec<Reserved>, Vec<UdpSocket>),
        relay: Relay,
        limits: RegistrationLimits,
        seed: u64,
    ) {
        let (switch, inputs) = mpsc::channel(SWITCH_INPUTS);
        self.switch = Some(switch.downgrade());
        let (to_far_ends, far_end_messages) = mpsc::unbounded_channel();
        let state = &self.state;
        let far_ends = FarEnds::new(Arc::clone(state), state.addresses.sip.ip());
        self.tasks.spawn(far_ends.run(far_end_messages, switch.clone()));
        self.tasks.spawn(Switch::new(Arc::clone(state), limits, Some(relay), to_far_ends).run(inputs));
        let door = Arc::new(Door {
            switch,
            faults: state.faults.clone(),
            recorder: state.recorder.clone(),
            numbers: Numbers::default(),
            conditions: self.sip_conditions.clone(),
            seed,
        });
        for reserved in tcp {
            let door = Arc::clone(&door);
            let handler = move |stream, peer, shape| {
                let door = Arc::clone(&door);
                async move { door.connection(stream, peer, shape).await }
            };
            self.tasks.spawn(self.endpoint(Service::Sip, reserved.addr.ip()).serve(reserved, handler));
        }
        for reserved in tls {
            let (door, state) = (Arc::clone(&door), Arc::clone(&self.state));
            let handler = move |stream, peer, shape| {
                let (door, state) = (Arc::clone(&door), Arc::clone(&state));
                async move {
                    if let Some(tls) = &state.tls {
                        door.secure_connection(stream, peer, shape, |fault| tls.acceptor(fault)).await;
                    }
                }
            };
            self.tasks.spawn(self.endpoint(Service::Sip, reserved.addr.ip()).serve(reserved, handler));
        }
        for socket in udp {
            let Ok(here) = socket.local_addr() else { continue };
            self.tasks.spawn(datagrams::socket::serve(Arc::clone(&door), socket, here.ip()));
        }
    }

    fn endpoint(&self, service: Service, address: IpAddr) -> Endpoint {
        Endpoint {
            service,
            address,
            faults: self.state.faults.clone(),
            recorder: self.state.recorder.clone(),
        }
    }

    /// Ends every server and waits until all their tasks are gone.
    pub async fn shutdown(mut self) {
        for dns in &mut self.dns {
            if let Err(error) = dns.shutdown_gracefully().await {
                tracing::debug!(%error, "the name server ended with an error");
            }
        }
        self.tasks.shutdown().await;
    }

    /// Where the name server listens, UDP and TCP.
    pub fn dns_addr(&self) -> SocketAddr {
        self.state.addresses.dns
    }

    /// The same at every address of the carrier.
    pub fn dns_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        let port = self.dns_addr().port();
        self.state.places.iter().map(move |place| SocketAddr::new(*place, port))
    }

    /// Where the sign-in server listens.
    pub fn zdial_addr(&self) -> SocketAddr {
        self.state.addresses.zdial
    }

    /// Where the MCS listens for HTTPS.
    pub fn mcs_addr(&self) -> SocketAddr {
        self.state.addresses.mcs
    }

    /// Where the MCS listens for SIP over TCP and UDP.
    pub fn sip_addr(&self) -> SocketAddr {
        self.state.addresses.sip
    }

    /// Where the MCS listens for SIP over TLS.
    pub fn sips_addr(&self) -> SocketAddr {
        self.state.addresses.sips
    }

    /// The sign-in server by name, such as `https://zdial.champvrs.test:40443`.
    pub fn zdial_url(&self) -> String {
        format!("https://{}:{}", self.state.names.zdial, self.zdial_addr().port())
    }

    /// The MCS by its generic name.
    pub fn mcs_url(&self) -> String {
        format!("https://{}:{}", self.state.names.mcs, self.mcs_addr().port())
    }

    /// The five names.
    pub fn names(&self) -> &Names {
        &self.state.names
    }

    /// The SIP domain.
    pub fn domain(&self) -> &str {
        self.state.names.domain()
    }

    /// The customers.
    pub fn accounts(&self) -> &[Account] {
        &self.state.accounts
    }

    /// The certificate of the carrier's authority.
    pub fn ca_pem(&self) -> &str {
        self.state.tls.as_ref().map_or("", |tls| tls.ca_pem.as_str())
    }

    /// The key that licences are signed with, as a client pins it.
    pub fn licence_key(&self) -> &LicenceKey {
        self.state.signer.public()
    }

    /// The address books, to look into or to change behind a client's back.
    pub fn address_books(&self) -> &AddressBooks {
        &self.state.address_books
    }

    /// The faults, to arm and disarm while running.
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// Ends every SIP connection at one of the carrier's addresses, as a server that is switched off does.
    pub async fn cut_sip(&self, here: IpAddr) {
        if let Some(switch) = self.switch.as_ref().and_then(mpsc::WeakSender::upgrade) {
            // A switch that has ended has no connections.
            let _ = switch.send(Input::Cut { here }).await;
        }
    }

    /// Leaves a video message for a number of the carrier, as a call to the far end `videomail` does; false when it has no such number.
    pub fn leave_video_message(&self, number: &str) -> bool {
        let Some((_, number)) = account::find(self.accounts(), number) else { return false };
        self.state.mail.leave(&number.sip_user, None, None);
        true
    }

    /// What is in the mailbox of a number, the oldest message first.
    pub fn video_messages(&self, number: &str) -> Vec<VideoMessage> {
        let found = account::find(self.accounts(), number);
        found.map(|(_, number)| self.state.mail.all(&number.sip_user)).unwrap_or_default()
    }

    /// Removes everything from the mailbox of a number; how many messages there were.
    pub fn empty_mailbox(&self, number: &str) -> usize {
        let found = account::find(self.accounts(), number);
        found.map_or(0, |(_, number)| self.state.mail.remove(&number.sip_user, None))
    }

    /// Every far end that can be dialled, by number and name: those of tests and scenario files first.
    pub fn far_ends(&self) -> Vec<(String, String)> {
        let scripts = self.state.scripts.iter().map(|script| (script.number.clone(), script.name.clone()));
        scripts.chain(FarEnd::all()).collect()
    }

    /// What crossed the wire.
    pub fn recorder(&self) -> &Recorder {
        &self.state.recorder
    }

    /// Impairs relayed media otherwise, from the next packet on.
    pub fn impair(&self, impairment: Impairment) {
        self.conditions.set(impairment);
    }

    /// Impairs SIP otherwise, from the next datagram on or the next bytes of a stream, on connections that stand too.
    pub fn impair_sip(&self, impairment: Impairment) {
        self.sip_conditions.set(impairment);
    }

    /// Figures of relayed media lines: those running and the last that ended.
    pub fn relay_stats(&self) -> Vec<RelayStats> {
        self.relay_figures.all()
    }

    /// A configuration of profile `z5` for an account; its only number is chosen, one of several is not.
    pub fn client_config(&self, username: &str) -> Option<ClientConfig> {
        ClientConfig::of(&self.state, username)
    }

    /// A configuration of profile `generic` for the default number of an account, over TCP: steps 2 and 3 are skipped.
    pub fn generic_config(&self, username: &str) -> Option<ClientConfig> {
        self.generic_config_over(username, "tcp")
    }

    /// The same that finds its servers by the domain's NAPTR and SRV records.
    pub fn generic_config_by_name(&self, username: &str, transport: &str) -> Option<ClientConfig> {
        let mut config = self.generic_config_over(username, transport)?;
        config.dns = Some(client_config::Dns {
            servers: vec![self.dns_addr().to_string()],
            system: false,
            hosts: Default::default(),
        });
        if let Some(sip) = &mut config.sip {
            sip.proxy = None;
        }
        Some(config)
    }

    /// The same over `tcp`, `tls` or `udp`.
    pub fn generic_config_over(&self, username: &str, transport: &str) -> Option<ClientConfig> {
        ClientConfig::generic(&self.state, username, transport)
    }
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carrier").field("addresses", &self.state.addresses).finish_non_exhaustive()
    }
}

fn reserve(service: Service, address: IpAddr, port: u16) -> Result<Reserved, StartError> {
    let addr = SocketAddr::new(address, port);
    Reserved::bind(addr).map_err(|source| StartError::Port { service, addr, source })
}

/// The same port at every address.
fn reserve_all(service: Service, places: &[IpAddr], port: u16) -> Result<Vec<Reserved>, StartError> {
    let mut tries = 1;
    loop {
        let mut reserved: Vec<Reserved> = Vec::with_capacity(places.len());
        let result = places.iter().try_for_each(|place| {
            let port = reserved.first().map_or(port, |first| first.addr.port());
            reserved.push(reserve(service, *place, port)?);
            Ok(())
        });
        match result {
            Ok(()) => return Ok(reserved),
            // The number that was free at the first address is not at another; ask for another number.
            Err(_) if port == 0 && !reserved.is_empty() && tries < PORT_TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

fn first(reserved: &[Reserved]) -> SocketAddr {
    reserved.first().map_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), |reserved| reserved.addr)
}

async fn reserve_sip(places: &[IpAddr], port: u16) -> Result<(Vec<Reserved>, Vec<UdpSocket>), StartError> {
    reserve_both(Service::Sip, places, port).await
}

async fn reserve_dns(places: &[IpAddr], port: u16) -> Result<Vec<(UdpSocket, Reserved)>, StartError> {
    let (tcp, udp) = reserve_both(Service::Dns, places, port).await?;
    Ok(udp.into_iter().zip(tcp).collect())
}

/// One port number for both protocols at every address.
async fn reserve_both(
    service: Service,
    places: &[IpAddr],
    port: u16,
) -> Result<(Vec<Reserved>, Vec<UdpSocket>), StartError> {
    let mut tries = 1;
    'again: loop {
        let tcp = reserve_all(service, places, port)?;
        let mut udp = Vec::with_capacity(tcp.len());
        for reserved in &tcp {
            match UdpSocket::bind(reserved.addr).await {
                Ok(socket) => udp.push(socket),
                Err(_) if port == 0 && tries < PORT_TRIES => {
                    tries += 1;
                    continue 'again;
                }
                Err(source) => {
                    return Err(StartError::Port { service, addr: reserved.addr, source });
                }
            }
        }
        return Ok((tcp, udp));
    }
}

/// Arms a fault when its time has come, and ends it when that is over.
async fn in_time(faults: Faults, order: Order, armed: Option<ArmedId>) {
    let armed = match armed {
        Some(armed) => armed,
        None => {
            clock::after(order.after).await;
            faults.arm_order(&order)
        }
    };
    if let Some(lasting) = order.lasting {
        clock::after(lasting).await;
        faults.end(armed);
    }
}

/// What not every client knows, for the first card of a list: it must survive what clients do to others.
const MORE: &str = "<note><text>Sends back what it gets.\nDay and night; always, too</text></note><x-service><parameters><x-kind>\
    <text>far end</text></x-kind></parameters><unknown>echo\\,1</unknown></x-service><about xmlns=\"urn:z5:mock\">a far end</about></vcard>";

/// Every number knows the echo far end and the other customers.
pub(crate) fn first_address_books(accounts: &[Account]) -> AddressBooks {
    let books = AddressBooks::default();
    let numbers: Vec<&Number> = accounts.iter().flat_map(|account| account.numbers()).collect();
    for owner in &numbers {
        let uid = |index: usize| format!("00000000-0000-4000-8000-{index:012}");
        books.put(&owner.sip_user, "echo.vcf", &address_book::vcard(&uid(0), "Echo", "+15555550900"));
        let mut list = vec![list::xcard(&uid(0), "Echo", "+15555550900").replace("</vcard>", MORE)];
        for (index, other) in numbers.iter().enumerate().filter(|(_, other)| other.e164 != owner.e164) {
            let card = address_book::vcard(&uid(index + 1), &other.display_name, &other.e164);
            books.put(&owner.sip_user, &format!("{}.vcf", other.sip_user), &card);
            list.push(list::xcard(&uid(index + 1), &other.display_name, &other.e164));
        }
        books.put_list(&owner.sip_user, &list::xcard_list(&list));
    }
    books
}
