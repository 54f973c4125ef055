//! Drives the datagrams of one address at a real socket. The port closes and opens again as a fault says.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use z5_sip::wire::Transport;

use super::{Datagrams, Effect};
use crate::clock;
use crate::fault::Fault;
use crate::recorder::Service;
use crate::sip::{ConnectionId, Door, Input, OUTBOUND_MESSAGES};

const DATAGRAM: usize = 65_535;
/// How often a port that was refused is tried again.
const REBIND_PAUSE: Duration = Duration::from_millis(20);

/// What the switch sends to a source, or its end.
type Said = (ConnectionId, Option<Bytes>);

/// Serves one address until dropped.
pub(crate) async fn serve(door: Arc<Door>, mut socket: UdpSocket, here: IpAddr) {
    let Ok(local) = socket.local_addr() else { return };
    let mut changes = door.faults.subscribe();
    loop {
        if !door.faults.is_armed_at(Fault::Refuse(Service::Sip), here) {
            let mut server = Server::new(&door, local, socket);
            server.run(&mut changes, here).await;
            server.close().await;
        } else {
            drop(socket);
        }
        // The port is closed now: datagrams to it are refused by the system.
        while door.faults.is_armed_at(Fault::Refuse(Service::Sip), here) {
            if changes.changed().await.is_err() {
                return;
            }
        }
        socket = loop {
            match UdpSocket::bind(local).await {
                Ok(socket) => break socket,
                Err(_) => clock::after(REBIND_PAUSE).await,
            }
        };
    }
}

struct Server<'a> {
    door: &'a Door,
    local: SocketAddr,
    socket: UdpSocket,
    machine: Datagrams,
    /// A task for each source, which passes on what the switch sends to it.
    outlets: JoinSet<()>,
    to_here: mpsc::Sender<Said>,
    said: mpsc::Receiver<Said>,
    effects: Vec<Effect>,
}

impl<'a> Server<'a> {
    fn new(door: &'a Door, local: SocketAddr, socket: UdpSocket) -> Self {
        let given = (door.faults.clone(), door.recorder.clone());
        let machine = Datagrams::new(local, given, door.numbers.clone(), door.conditions.clone(), door.seed);
        let (to_here, said) = mpsc::channel(OUTBOUND_MESSAGES);
        Self { door, local, socket, machine, outlets: JoinSet::new(), to_here, said, effects: Vec::new() }
    }

    /// Returns when the port is to refuse.
    async fn run(&mut self, changes: &mut watch::Receiver<u64>, here: IpAddr) {
        let mut buffer = vec![0; DATAGRAM];
        // Until a new socket is known to take datagrams, it refuses them.
        if self.socket.writable().await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() || self.door.faults.is_armed_at(Fault::Refuse(Service::Sip), here) {
                        return;
                    }
                }
                Some(_) = self.outlets.join_next() => {}
                Some((id, bytes)) = self.said.recv() => match bytes {
                    Some(bytes) => self.machine.say(id, &bytes, now(), &mut self.effects),
                    None => self.machine.forget(id),
                },
                received = self.socket.recv_from(&mut buffer) => {
                    // An error is an ICMP message about a client that left.
                    let Ok((length, peer)) = received else { continue };
                    self.machine.receive(&buffer[..length], peer, now(), &mut self.effects);
                }
                () = until(self.machine.next_deadline()) => {
                    self.machine.on_deadline(now(), &mut self.effects);
                }
            }
            self.perform().await;
        }
    }

    async fn perform(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            let input = match effect {
                Effect::Send { peer, bytes } => {
                    // Loss is what UDP does.
                    drop(self.socket.try_send_to(&bytes, peer));
                    continue;
                }
                Effect::Opened { id, peer } => {
                    let (outlet, outbound) = mpsc::channel(OUTBOUND_MESSAGES);
                    self.outlets.spawn(pass_on(id, outbound, self.to_here.clone()));
                    Input::Opened { id, transport: Transport::Udp, peer, local: self.local, outlet }
                }
                Effect::Message { id, message } => Input::Message { id, message },
                Effect::Closed { id } => Input::Closed { id },
            };
            // The switch may be gone already; then nobody needs to know.
            let _ = self.door.switch.send(input).await;
        }
    }

    /// The port is closed before the switch hears of it.
    async fn close(self) {
        let Self { door, socket, machine, mut effects, .. } = self;
        drop(socket);
        machine.close(&mut effects);
        for effect in effects {
            if let Effect::Closed { id } = effect {
                let _ = door.switch.send(Input::Closed { id }).await;
            }
        }
    }
}

async fn pass_on(id: ConnectionId, mut outbound: mpsc::Receiver<Bytes>, here: mpsc::Sender<Said>) {
    while let Some(bytes) = outbound.recv().await {
        if here.send((id, Some(bytes))).await.is_err() {
            return;
        }
    }
    // The server may be gone already; then nobody needs to know.
    let _ = here.send((id, None)).await;
}

fn now() -> Instant {
    clock::now().into_std()
}

/// For ever where there is no time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
