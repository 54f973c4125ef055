//! What the driver reaches other machines by: sockets, or what a simulation gives in their place. The driver does not ask which.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use z5_media::capture::Capture;
use z5_sip::locate::Target;
use z5_sip::ua::FlowId;

use super::imagined::Imagined;
use super::look::Lookout;
use super::{Fact, Facts, dns, https, sip, tls};
use crate::machine::io::{Asker, DnsTransport, HttpsRequest, Look, LookupId, Record, RequestId};

/// Both kinds.
pub(super) enum Wires {
    Real(Box<Real>),
    Simulated(Box<Imagined>),
}

/// Sockets.
pub(super) struct Real {
    dns: dns::Dns,
    client: https::Client,
    trust: Arc<tls::Trust>,
    sip: BTreeMap<FlowId, sip::Connection>,
    /// Connections whose last bytes are still going out.
    closing: Vec<JoinHandle<()>>,
    capture: Option<Arc<Capture>>,
    lookout: Lookout,
    facts: Facts,
}

impl Real {
    pub(super) fn new(
        client: https::Client,
        trust: Arc<tls::Trust>,
        capture: Option<Arc<Capture>>,
        facts: Facts,
    ) -> Self {
        let (sip, closing, lookout) = (BTreeMap::new(), Vec::new(), Lookout::default());
        Self { dns: dns::Dns::default(), client, trust, sip, closing, capture, lookout, facts }
    }
}

impl Wires {
    pub(super) fn lookup(
        &mut self,
        id: LookupId,
        name: String,
        record: Record,
        (server, transport): (SocketAddr, DnsTransport),
        patience: Duration,
    ) {
        match self {
            Self::Real(real) => {
                real.dns.lookup(id, name, record, (server, transport), patience, real.facts.clone());
            }
            Self::Simulated(world) => world.lookup(id, name, record, (server, transport), patience),
        }
    }

    pub(super) fn end_lookups(&mut self, of: Asker) {
        match self {
            Self::Real(real) => real.dns.end(of),
            Self::Simulated(world) => world.end_lookups(of),
        }
    }

    pub(super) fn https(&mut self, id: RequestId, request: HttpsRequest) {
        match self {
            Self::Real(real) => real.client.send(id, request, real.facts.clone()),
            Self::Simulated(world) => world.https(id, &request),
        }
    }

    pub(super) fn end_https(&mut self) {
        match self {
            Self::Real(real) => real.client.forget(),
            Self::Simulated(world) => world.end_https(),
        }
    }

    pub(super) fn connect(&mut self, flow: FlowId, targets: Vec<Target>) {
        match self {
            Self::Real(real) => {
                let (trust, capture) = (Arc::clone(&real.trust), real.capture.clone());
                sip::connect(flow, targets, trust, capture, real.facts.clone());
            }
            Self::Simulated(world) => world.connect(flow, targets),
        }
    }

    /// Takes over a connection that was made.
    pub(super) fn open(
        &mut self,
        flow: FlowId,
        link: sip::Link,
        remote: SocketAddr,
    ) -> std::io::Result<sip::Ends> {
        match (self, link) {
            (Self::Simulated(_), sip::Link::Simulated(ends)) => Ok(ends),
            (Self::Real(real), link) => {
                let capture = real.capture.as_ref();
                let (connection, ends) =
                    sip::Connection::open(flow, link, remote, capture, real.facts.clone())?;
                real.sip.insert(flow, connection);
                Ok(ends)
            }
            (Self::Simulated(_), _) => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }

    /// Sends the messages of one turn.
    pub(super) fn write(&mut self, flow: FlowId, messages: Vec<Bytes>) {
        match self {
            Self::Real(real) => {
                if let Some(connection) = real.sip.get_mut(&flow) {
                    connection.write(messages);
                }
            }
            Self::Simulated(world) => world.write(flow, &messages),
        }
    }

    /// Ends a connection; what was written before still goes out.
    pub(super) fn close(&mut self, flow: FlowId) {
        match self {
            Self::Real(real) => {
                if let Some(connection) = real.sip.remove(&flow) {
                    real.closing.retain(|last_bytes| !last_bytes.is_finished());
                    real.closing.push(connection.close());
                }
            }
            Self::Simulated(world) => world.close(flow),
        }
    }

    /// A connection has ended by itself.
    pub(super) fn closed(&mut self, flow: FlowId) {
        match self {
            Self::Real(real) => drop(real.sip.remove(&flow)),
            Self::Simulated(world) => world.closed(flow),
        }
    }

    /// What the machine is told of this computer.
    pub(super) fn look(&mut self, towards: Option<SocketAddr>) -> Look {
        match self {
            Self::Real(real) => real.lookout.look(towards),
            Self::Simulated(world) => world.look(),
        }
    }

    /// What has been under way long enough. Facts about sockets come by their channel.
    pub(super) async fn arrived(&mut self) -> Fact {
        match self {
            Self::Real(_) => std::future::pending().await,
            Self::Simulated(world) => world.arrived().await,
        }
    }

    /// Something was heard on a simulated connection: it comes when it has been under way.
    pub(super) fn heard(&mut self, flow: FlowId, heard: crate::simulation::Heard) {
        if let Self::Simulated(world) = self {
            world.heard(flow, heard);
        }
    }

    /// Ends every connection and waits for the last bytes.
    pub(super) async fn finish(&mut self) {
        let Self::Real(real) = self else { return };
        let open = std::mem::take(&mut real.sip).into_values().map(sip::Connection::close);
        for last_bytes in std::mem::take(&mut real.closing).into_iter().chain(open.collect::<Vec<_>>()) {
            // Each ends by itself within a bounded time, all of them at once.
            drop(last_bytes.await);
        }
    }
}
