//! Calls that nobody ends: whoever would is gone. The proxy looks for them every few seconds while there are calls.
//!
//! A call goes on without signalling for a while, as a client that comes back expects (RFC 5626 section 4.5). One whose caller went before the
//! answer is given up as RFC 3261 section 16.8 has it; an established one is forgotten, and a far end of the carrier hears a BYE in the
//! name of who is gone. Ports of the relay through which nothing comes are given back.

use std::time::Duration;

use tokio::time::Instant;
use z5_sip::wire::{Message, Method, Name, RequestBuilder, Transport};

use super::FAR_ENDS;
use super::calls::Call;
use super::switch::Switch;
use super::trouble::cancel;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);
/// 64 times T1 (RFC 3261 section 17.1.1.1): whatever waits for an answer has given up by then.
const TRANSACTION: Duration = Duration::from_secs(32);
/// How long a party of an established call may be away.
const AWAY: Duration = Duration::from_secs(180);
/// After this time without a packet a party that is away is not heard either.
const SILENT: Duration = Duration::from_secs(60);
/// After this time without a packet, to or fro, a media line loses its ports; clients that say nothing keep a path open every 15 s or so
/// (RFC 6263).
const IDLE: Duration = Duration::from_secs(180);

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    /// Its INVITE is cancelled: the caller is gone.
    GivenUp,
    /// Nothing is left to be said, or nobody to say it.
    Forgotten,
}

impl Switch {
    /// When it looks for abandoned calls next; never while there are no calls.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.looks_at.filter(|_| self.calls.len() > 0)
    }

    /// A call has begun.
    pub(super) fn look_later(&mut self) {
        let at = self.state.clock.now() + EVERY;
        if self.next_deadline().is_none() {
            self.looks_at = Some(at);
        }
    }

    /// Looks, when it is time.
    pub(crate) fn on_deadline(&mut self) {
        let now = self.state.clock.now();
        if self.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        self.looks_at = Some(now + EVERY);
        for call_id in self.calls.ids() {
            match self.fate(&call_id, now) {
                Fate::Stays => {}
                Fate::GivenUp => {
                    let Some(call) = self.calls.find(&call_id) else { continue };
                    call.end(now);
                    let invite = call.invite.clone().filter(|_| call.forks.is_empty());
                    let to = call.callee.connection;
                    if let Some(cancel) = invite.and_then(|invite| cancel(&invite, None)) {
                        self.send(to, cancel);
                    }
                    self.cancel_forks(&call_id, None);
                }
                Fate::Forgotten => {
                    let bye = self.calls.find(&call_id).and_then(|call| bye(call, &call_id));
                    self.calls.remove(&call_id);
                    if let Some(bye) = bye {
                        self.send(FAR_ENDS, bye);
                    }
                }
            }
        }
    }

    fn fate(&mut self, call_id: &str, now: Instant) -> Fate {
        let Some(call) = self.calls.find(call_id) else { return Fate::Stays };
        for slot in &mut call.streams {
            if slot.as_ref().is_some_and(|stream| now >= stream.last_packet() + IDLE) {
                *slot = None;
            }
        }
        if let Some(ended) = call.ended {
            return if now >= ended + TRANSACTION { Fate::Forgotten } else { Fate::Stays };
        }
        let silent = call.streams.iter().flatten().all(|stream| now >= stream.last_packet() + SILENT);
        let (established, relayed) = (call.established, !call.streams.is_empty());
        let parties = [call.caller.clone(), call.callee.clone()];
        let mut away = parties.into_iter().map(|party| {
            // Who has registered anew is somewhere else; whether as who it was, its media says.
            let here = party.user.is_some_and(|user| self.bindings.newest(&user, now).is_some());
            !self.is_open(party.connection) && (!here || (relayed && silent))
        });
        let away = match established {
            true => away.any(|away| away) && silent,
            // A caller without a flow cannot be answered; a callee without one may come back and answer.
            false => away.next().unwrap_or_default(),
        };
        let Some(call) = self.calls.find(call_id) else { return Fate::Stays };
        if !away {
            call.away = None;
            return Fate::Stays;
        }
        let since = *call.away.get_or_insert(now);
        match established {
            true if now >= since + AWAY => Fate::Forgotten,
            false if now >= since + TRANSACTION => Fate::GivenUp,
            _ => Fate::Stays,
        }
    }
}

/// BYE from the caller to the far end of an established call, which looks at its Call-ID alone.
fn bye(call: &Call, call_id: &str) -> Option<Message> {
    if !call.established || call.ended.is_some() || call.callee.connection != FAR_ENDS {
        return None;
    }
    let invite = call.invite.as_ref()?;
    let via = invite.via().ok()?;
    let (from, to) = (invite.text(Name::From)?, invite.text(Name::To)?);
    RequestBuilder::new(Method::Bye, invite.request_uri()?.ok()?.as_str().to_owned())
        .via(Transport::Tcp, via.host.to_string(), "z9hG4bK-gone")
        .max_forwards(70)
        .header(Name::From, from.as_bytes())
        .header(Name::To, to.as_bytes())
        .call_id(call_id)
        .cseq(u32::MAX >> 1)
        .header(Name::Reason, "SIP;cause=408;text=\"Caller Gone\"")
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use tokio::net::UdpSocket;
    use tokio::sync::mpsc;

    use super::super::calls::Party;
    use super::*;
    use crate::clock::{self, Clock};
    use crate::impairment::Conditions;
    use crate::recorder::Recorder;
    use crate::relay::{Relay, RelayFigures, Side};
    use crate::state::State;
    use crate::{Builder, Faults};

    /// For what loopback carries at once; far more than a busy machine needs.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A switch with a relay of real sockets, whose clock is the test's.
    fn switch(now: Instant) -> Switch {
        let (builder, here) = (Builder::default(), [127, 0, 0, 1].into());
        let (limits, addresses) = (builder.limits(), builder.fixed_addresses(here));
        let (faults, clock) = (Faults::default(), Clock::simulated(now.into_std(), 0));
        let state = State::new(builder, addresses, None, faults.clone(), Recorder::new(0), clock).unwrap();
        let relay = Relay::new(here, 0..=0, faults, Conditions::default(), RelayFigures::default(), 1);
        Switch::new(Arc::new(state), limits, Some(relay), mpsc::unbounded_channel().0)
    }

    fn pass(switch: &mut Switch, now: Instant) {
        switch.state.clock.set(now.into_std());
        switch.on_deadline();
    }

    /// Both parties are far ends here, which are never away: what is seen is the relay alone.
    #[tokio::test]
    async fn a_line_through_which_nothing_comes_gives_its_ports_back() {
        let now = clock::now();
        let mut switch = switch(now);
        let party = Party { connection: FAR_ENDS, user: None, contact: None };
        let stream = switch.relay.as_mut().and_then(|relay| relay.open("a", 0, "audio", None));
        let port = stream.as_ref().unwrap().facing(Side::Caller);
        switch.calls.insert(
            "a",
            Call {
                caller_tag: String::new(),
                caller: party.clone(),
                callee: party,
                streams: vec![stream],
                access: None,
                invite: None,
                established: true,
                ended: None,
                away: None,
                spoiled: None,
                mailbox: None,
                forks: Vec::new(),
            },
        );
        switch.look_later();
        let has_line =
            |switch: &mut Switch| switch.calls.find("a").is_some_and(|call| call.streams[0].is_some());
        pass(&mut switch, now + IDLE - Duration::from_secs(1));
        assert!(has_line(&mut switch));
        // A packet through it is noted.
        let last = |switch: &mut Switch| {
            switch
                .calls
                .find("a")
                .and_then(|call| call.streams[0].as_ref().map(|stream| stream.last_packet()))
        };
        let opened = last(&mut switch);
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(&[0x80; 172], SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
        let noted = async {
            while last(&mut switch) == opened {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, noted).await.is_ok(), "the packet never reached the relay");
        pass(&mut switch, now + IDLE + IDLE / 2);
        assert!(!has_line(&mut switch), "so long after that packet too");
        let free = async {
            while UdpSocket::bind(("127.0.0.1", port)).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, free).await.is_ok(), "the relay keeps port {port}");
        assert_eq!(switch.calls.len(), 1, "the call itself stands");
        assert!(switch.next_deadline().is_some());
    }
}
