//! Calls that a far end places because it was asked to (RFC 3261 section 13.2; RFC 3515 section 2.4.3), as the calling side, and how far they
//! have come. Its transactions need no timers: the connection to the proxy loses nothing.

use std::time::Duration;

use z5_sip::wire::{Message, Method, Name, RequestBuilder, Transport};

use super::offer::Keys;
use super::{Call, FarEnds, Later, answer, built, media, offer};
use crate::sip::switch::{SERVER, address};

/// Behind the Call-ID in the names of calls that were placed: both ends of one may be far ends.
pub(super) const PLACED: &str = " placed";
/// How long it rings.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a call has that was placed.
pub(super) struct Placed {
    /// The call in which it was asked for.
    pub(super) asked_in: String,
    pub(super) keys: Keys,
    /// Once it is answered.
    pub(super) dialog: Option<Dialog>,
    /// Of the answer, which may come again.
    pub(super) ack: Option<Message>,
}

/// A dialog as the calling side has it (RFC 3261 section 12.1.2).
#[derive(Clone)]
pub(super) struct Dialog {
    pub(super) target: String,
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) routes: Vec<Vec<u8>>,
}

/// Whom to call, and what goes along.
pub(super) struct Wish {
    pub(super) target: String,
    /// Replaces (RFC 3891), if the call is to take the place of another.
    pub(super) replaces: Option<String>,
    /// Referred-By (RFC 3892), as it came.
    pub(super) referred_by: Option<Vec<u8>>,
}

impl FarEnds {
    /// The name of the call that a message belongs to.
    pub(super) fn key(&self, message: &Message) -> Option<String> {
        let id = message.call_id().ok()?.to_owned();
        let ours = if message.is_request() { message.to() } else { message.from() };
        let tag = ours.ok().and_then(|address| address.tag().map(str::to_owned));
        let placed = format!("{id}{PLACED}");
        let is_placed = self.calls.get(&placed).is_some_and(|call| Some(&call.tag) == tag.as_ref());
        Some(if is_placed { placed } else { id })
    }

    /// Calls somebody, with the media of the call in which it was asked for. The name of the new call, and its INVITE.
    pub(super) fn place(&mut self, asked_in: &str, wish: Wish) -> Option<(String, Message)> {
        let old = self.calls.get(asked_in)?;
        let (kind, script, to) = (old.kind, old.script, old.invite.text(Name::To)?.into_owned());
        let agreed = old.description.clone();
        let mut media = media::Lines::default();
        let now = self.state.clock.now();
        let (description, keys) = offer::offer(&agreed, &mut media, &mut self.ports, now)?;
        let (tag, call_id) = (self.ident.tag(), self.ident.call_id());
        let contact = address(&format!("sip:far-end@{};transport=tcp", self.state.addresses.sip))?;
        let own = to.split(";tag=").next().unwrap_or_default();
        let invite = RequestBuilder::new(Method::Invite, &wish.target)
            .via(Transport::Tcp, format!("far-end.{}", self.state.names.domain()), &self.ident.branch())
            .max_forwards(70)
            .header(Name::From, format!("{own};tag={tag}"))
            .header(Name::To, format!("<{}>", wish.target))
            .call_id(&call_id)
            .cseq(1)
            .contact(&contact)
            .header(Name::UserAgent, SERVER)
            .header_opt(Name::Require, wish.replaces.as_ref().map(|_| "replaces"))
            .header_opt(Name::Replaces, wish.replaces)
            .header_opt(Name::ReferredBy, wish.referred_by)
            .body("application/sdp", description.clone())
            .build();
        let invite = built(invite)?;
        let call = Call {
            media,
            description,
            cseq: 1,
            placed: Some(Placed { asked_in: asked_in.to_owned(), keys, dialog: None, ack: None }),
            ..Call::new(kind, script, tag, &invite)
        };
        let key = format!("{call_id}{PLACED}");
        self.calls.insert(key.clone(), call);
        self.later(&key, Later::GiveUp, PATIENCE);
        Some((key, invite))
    }

    /// It has rung long enough.
    pub(super) fn on_give_up(&mut self, key: &str) -> Option<Message> {
        let call = self.calls.get(key).filter(|call| !call.answered)?;
        RequestBuilder::cancel(&call.invite).ok().and_then(|cancel| built(cancel.build()))
    }

    /// An answer to the INVITE of a call that was placed.
    pub(super) fn on_placed(&mut self, key: &str, response: &Message) -> Vec<Message> {
        let status = response.status().unwrap_or_default();
        let Some(call) = self.calls.get(key) else { return Vec::new() };
        let Some(placed) = &call.placed else { return Vec::new() };
        let asked_in = placed.asked_in.clone();
        if let Some(ack) = &placed.ack {
            // The 2xx again, because the ACK was late or lost.
            return if (200..300).contains(&status) { vec![ack.clone()] } else { Vec::new() };
        }
        let reason = response.reason().unwrap_or_default().into_owned();
        match status {
            0..=100 => Vec::new(),
            101..=199 => self.tell_progress(&asked_in, status, &reason).into_iter().collect(),
            200..=299 => self.on_placed_answered(key, response),
            _ => {
                let ack = RequestBuilder::ack(&call.invite, response).ok().and_then(|ack| built(ack.build()));
                self.calls.remove(key);
                ack.into_iter().chain(self.tell_progress(&asked_in, status, &reason)).collect()
            }
        }
    }

    fn on_placed_answered(&mut self, key: &str, response: &Message) -> Vec<Message> {
        let Some(mut call) = self.calls.remove(key) else { return Vec::new() };
        let (Some(mut placed), Some(dialog)) = (call.placed.take(), Dialog::of(&call.invite, response))
        else {
            return Vec::new();
        };
        let asked_in = placed.asked_in.clone();
        let script = call.script.and_then(|index| self.state.scripts.get(index));
        let says = answer::says(&call.invite, call.kind, script.map(|script| (script, &call.typing)));
        let (media, now) = (&mut call.media, self.state.clock.now());
        let agreed = offer::take(response, call.kind, &says, &placed.keys, media, &mut self.ports, now);
        placed.dialog = Some(dialog);
        call.placed = Some(placed);
        call.answered = true;
        // The ACK of a 2xx has the number of its INVITE (RFC 3261 section 13.2.2.4).
        call.cseq -= 1;
        let ack = self.request(&mut call, key, Method::Ack).and_then(|ack| built(ack.build()));
        if let Some(placed) = &mut call.placed {
            placed.ack.clone_from(&ack);
        }
        self.calls.insert(key.to_owned(), call);
        let mut out: Vec<Message> = ack.into_iter().collect();
        if agreed {
            out.extend(self.tell_progress(&asked_in, 200, "OK"));
        } else {
            out.extend(self.on_later(key, Later::HangUp));
            out.extend(self.tell_progress(&asked_in, 488, "Not Acceptable Here"));
        }
        out
    }
}

impl Dialog {
    fn of(invite: &Message, response: &Message) -> Option<Self> {
        let mut routes: Vec<Vec<u8>> = response.values(Name::RecordRoute).map(<[u8]>::to_vec).collect();
        routes.reverse();
        Some(Self {
            target: response.contact().ok()?.uri.as_str().to_owned(),
            local: invite.text(Name::From)?.into_owned(),
            remote: response.text(Name::To)?.into_owned(),
            routes,
        })
    }

    /// The same of a call that came.
    pub(super) fn called(invite: &Message, tag: &str) -> Option<Self> {
        Some(Self {
            target: invite.contact().ok()?.uri.as_str().to_owned(),
            local: format!("{};tag={tag}", invite.text(Name::To)?),
            remote: invite.text(Name::From)?.into_owned(),
            routes: invite.values(Name::RecordRoute).map(<[u8]>::to_vec).collect(),
        })
    }
}
