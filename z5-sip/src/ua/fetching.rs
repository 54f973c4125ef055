//! The fetch of bindings: a REGISTER without a Contact asks what the registrar holds (RFC 3261 section 10.2.3).

use std::time::Duration;

use super::apart::Apart;
use super::request_failure::RequestFailure;
use super::transactions::{Owner, StartError};
use super::types::{Binding, Event};
use super::{Turn, UserAgent};
use crate::registration::is_same;
use crate::wire::{Message, Name, NameAddr};

/// Bindings that are told; a longer list is cut.
const FETCHED: usize = 64;

impl UserAgent {
    pub(super) fn on_fetch_bindings(&mut self, turn: &mut Turn<'_>) {
        if let Err(error) = self.send_fetch(turn) {
            turn.emit(Event::FetchFailed { failure: error.into() });
        }
    }

    /// Under a Call-ID of its own, so that its CSeq never comes between those of a refresh.
    fn send_fetch(&mut self, turn: &mut Turn<'_>) -> Result<(), StartError> {
        let flow = self.current.ok_or(StartError::NoFlow)?;
        let (call_id, tag, cseq) = (self.ident.call_id(), self.ident.tag(), self.ident.cseq());
        let outline = self.register_request(call_id, &tag, cseq)?.with(Name::Supported, "path");
        self.start_client(outline, flow, Owner::Apart(Apart::Fetch), turn).map(|_| ())
    }

    pub(super) fn on_fetch_final(&self, response: &Message, turn: &mut Turn<'_>) {
        if !response.status().is_some_and(|status| (200..300).contains(&status)) {
            return turn.emit(Event::FetchFailed { failure: RequestFailure::from_response(response) });
        }
        let ours: Vec<String> = self.flows.values().map(|flow| self.contact_uri(flow)).collect();
        let header = response.expires().ok().flatten();
        let contacts = response.contacts().filter_map(Result::ok).filter_map(|contact| contact.addr());
        let bindings = contacts.take(FETCHED).map(|address| binding(&address, header, &ours)).collect();
        turn.emit(Event::Bindings { bindings });
    }
}

fn binding(address: &NameAddr<'_>, header: Option<u32>, ours: &[String]) -> Binding {
    let instance = address.params.get("+sip.instance");
    Binding {
        contact: address.uri.to_uri(),
        expires: address.expires().or(header).map(|seconds| Duration::from_secs(seconds.into())),
        q: address.q_thousandths(),
        instance: instance.map(|instance| instance.trim_matches(['<', '>']).to_owned()),
        reg_id: address.params.get("reg-id").and_then(|id| id.parse().ok()),
        ours: ours.iter().any(|ours| is_same(address, ours)),
    }
}
