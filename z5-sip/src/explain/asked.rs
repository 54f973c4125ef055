//! A user agent that is registered and has no call is handed the message: what it answers is what z5 answers.

use std::net::SocketAddr;
use std::time::Instant;

use serde::Serialize;

use super::Framing;
use crate::flow::FlowId;
use crate::ident::Ident;
use crate::outbox::Outbox;
use crate::ua::{Command, Effect, Event, Input, Transport, UaConfig, UserAgent};
use crate::wire::{Frame, Framer, Limits, Message, Name, ResponseBuilder, Uri, reason_phrase};

/// What a user agent does with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserAgentSays {
    /// The final answer it gives at once; `None` when it gives none.
    pub status: Option<u16>,
    /// The phrase of that answer.
    pub phrase: Option<&'static str>,
    /// The call is offered to the user.
    pub rings: bool,
    /// The answer hangs on a call, a dialog or a method that this user agent does not have, not on the message.
    pub for_want_of_context: bool,
}

/// Answers that another user agent, or this one at another time, would not give to the same message: no such dialog
/// (481), a method or event package that is not served (405, 501, 489), a user that is away (480) or busy (486).
const CONTEXT: [u16; 6] = [405, 480, 481, 486, 489, 501];

const FLOW: FlowId = FlowId(1);

/// Hands the message to a user agent; `None` when one cannot be made.
pub(super) fn ask(message: &Message, framing: Framing, now: Instant) -> Option<UserAgentSays> {
    let config = UaConfig::new(Uri::parse("sip:z5@example.com").ok()?, Uri::parse("sip:example.com").ok()?);
    let mut agent = UserAgent::new(config, Ident::from_seed(1));
    let mut out = Outbox::new();
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let transport = match framing {
        Framing::Datagram => Transport::Udp,
        Framing::Stream => Transport::Tcp,
    };
    let up = Input::FlowUp { flow: FLOW, transport, local: address(5062), remote: address(5060), reg_id: 1 };
    agent.handle(up, now, &mut out);
    agent.handle(Input::Command(Command::Register), now, &mut out);
    let register = sent(&mut out).into_iter().find(Message::is_request)?;
    let contact = register.header(Name::Contact)?.to_vec();
    let granted = ResponseBuilder::to_request(&register, 200, "").to_tag("z5").header(Name::Contact, contact);
    let granted = granted.header(Name::Expires, "600").build().ok()?;
    agent.handle(Input::Received { flow: FLOW, bytes: granted.as_bytes() }, now, &mut out);
    out.drain().for_each(drop);

    agent.handle(Input::Received { flow: FLOW, bytes: message.as_bytes() }, now, &mut out);
    let rings = out.iter().any(|effect| matches!(effect, Effect::Event(Event::Incoming { .. })));
    let status = sent(&mut out).iter().filter_map(|message| message.status()).find(|status| *status >= 200);
    Some(UserAgentSays {
        status,
        phrase: status.map(reason_phrase),
        rings,
        for_want_of_context: status.is_some_and(|status| CONTEXT.contains(&status)),
    })
}

/// The messages that were sent.
fn sent(out: &mut Outbox<Effect>) -> Vec<Message> {
    let mut framer = Framer::new(Limits::default());
    for effect in out.drain() {
        if let Effect::Send { bytes, .. } = effect {
            framer.push(&bytes);
        }
    }
    let mut messages = Vec::new();
    while let Some(Ok(frame)) = framer.next() {
        if let Frame::Message(message) = frame {
            messages.push(message);
        }
    }
    messages
}
