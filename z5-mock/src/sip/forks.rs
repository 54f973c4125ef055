//! One call, several devices (RFC 3261 section 16.7): an INVITE goes to each device at which a user is registered, and the best answer back.
//!
//! Whichever answers first has the call: the others are cancelled and told that it was taken elsewhere (RFC 3326). Refusals are acknowledged
//! here and kept until every device has refused, or one has refused for all (6xx). Two that answer at once both get through: the caller
//! ends one of the two (section 13.2.2.4).

use tokio::time::Instant;
use z5_sip::wire::{Message, RequestBuilder};

use super::ConnectionId;
use super::calls::Call;
use super::switch::Switch;
use super::trouble::cancel;

/// Why a device that rings has to stop.
pub(super) const ELSEWHERE: Option<&str> = Some("SIP;cause=200;text=\"Call completed elsewhere\"");

/// An INVITE on its way to one of several devices.
pub(crate) struct Fork {
    pub(crate) connection: ConnectionId,
    pub(crate) contact: String,
    /// As it was sent.
    invite: Message,
    /// The device's tag, once it has said something.
    tag: Option<String>,
    /// It has answered for good, or was told to stop.
    over: bool,
    refusal: Option<Message>,
}

impl Fork {
    pub(super) fn new(connection: ConnectionId, contact: String, invite: Message) -> Self {
        Self { connection, contact, invite, tag: None, over: false, refusal: None }
    }

    /// Whether this answers the INVITE to this device (section 17.1.3).
    fn is_answered_by(&self, response: &Message) -> bool {
        let (Ok(sent), Ok(came)) = (self.invite.via(), response.via()) else { return false };
        sent.branch().is_some() && sent.branch() == came.branch()
    }
}

/// What becomes of an answer to an INVITE.
pub(super) enum Goes {
    /// To the caller, as it is.
    On,
    /// To the caller in its place.
    Instead(Box<Message>),
    Nowhere,
}

impl Call {
    /// The device that this is the tag of.
    pub(super) fn fork_of(&mut self, tag: Option<&str>) -> Option<&mut Fork> {
        self.forks.iter_mut().find(|fork| tag.is_some() && fork.tag.as_deref() == tag)
    }

    /// Whether this is the device that has the call.
    pub(super) fn is_chosen(&self, contact: &str) -> bool {
        self.callee.contact.as_deref() == Some(contact)
    }
}

impl Switch {
    /// An answer to an INVITE that went to several devices.
    pub(super) fn on_fork(&mut self, call_id: &str, response: &Message, status: u16, now: Instant) -> Goes {
        let Some(call) = self.calls.find(call_id) else { return Goes::On };
        let established = call.established;
        // An answer to a later INVITE of the call has another branch, and belongs to no fork.
        let Some(fork) = call.forks.iter_mut().find(|fork| fork.is_answered_by(response)) else {
            return Goes::On;
        };
        if let Some(tag) = response.to().ok().and_then(|to| to.tag().map(str::to_owned)) {
            fork.tag = Some(tag);
        }
        match status {
            // Of a device that was told to stop nothing is news.
            ..200 if established || fork.over => Goes::Nowhere,
            ..200 => Goes::On,
            200..300 => {
                fork.over = true;
                if !established {
                    (call.callee.connection, call.callee.contact) =
                        (fork.connection, Some(fork.contact.clone()));
                    self.cancel_forks(call_id, ELSEWHERE);
                }
                Goes::On
            }
            300.. => {
                let known = fork.refusal.is_some();
                (fork.over, fork.refusal) = (true, Some(response.clone()));
                let (to, ack) = (fork.connection, acknowledged(&fork.invite, response));
                if let Some(ack) = ack {
                    self.send(to, ack);
                }
                if established || known {
                    return Goes::Nowhere;
                }
                if status >= 600 {
                    self.cancel_forks(call_id, None);
                }
                self.best(call_id, now)
            }
        }
    }

    /// Tells every device that has not answered to stop.
    pub(super) fn cancel_forks(&mut self, call_id: &str, reason: Option<&str>) {
        let Some(call) = self.calls.find(call_id) else { return };
        let mut cancels = Vec::new();
        for fork in call.forks.iter_mut().filter(|fork| !fork.over) {
            fork.over = true;
            cancels.extend(cancel(&fork.invite, reason).map(|cancel| (fork.connection, cancel)));
        }
        for (to, cancel) in cancels {
            self.send(to, cancel);
        }
    }

    /// The refusal that the caller gets once there is nobody left to wait for: 6xx before all others, else the lowest class
    /// (section 16.7 step 6).
    fn best(&mut self, call_id: &str, now: Instant) -> Goes {
        let Some(call) = self.calls.find(call_id).filter(|call| call.ended.is_none()) else {
            return Goes::Nowhere;
        };
        let refusals: Vec<&Message> = call.forks.iter().filter_map(|fork| fork.refusal.as_ref()).collect();
        let status = |refusal: &Message| refusal.status().unwrap_or_default();
        let rank = |refusal: &&&Message| match status(refusal) {
            600.. => (0, 0),
            other => (other / 100, other),
        };
        let for_all = refusals.iter().any(|refusal| status(refusal) >= 600);
        if refusals.len() < call.forks.len() && !for_all {
            return Goes::Nowhere;
        }
        let best = refusals.iter().min_by_key(rank).map(|best| Box::new((*best).clone()));
        call.end(now);
        best.map_or(Goes::Nowhere, Goes::Instead)
    }
}

/// The mark of a device in the branch of its INVITE; none for the first.
pub(super) fn mark(index: usize) -> String {
    if index == 0 { String::new() } else { format!(".{index}") }
}

/// The ACK of a refusal, which goes from hop to hop (RFC 3261 section 17.1.1.3).
fn acknowledged(invite: &Message, refusal: &Message) -> Option<Message> {
    RequestBuilder::ack(invite, refusal).ok()?.build().ok()
}
