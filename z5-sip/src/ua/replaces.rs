//! An incoming call that takes the place of another one (RFC 3891).

use std::borrow::Cow;

use super::UserAgent;
use super::call::{Ending, State};
use super::types::CallKey;
use crate::dialog::DialogId;
use crate::wire::{Message, Name, Params};

/// Dialogs that are over and still known, so that a call that wants to replace one is declined and not called unknown.
pub(super) const ENDED_KEPT: usize = 32;

/// The value of a Replaces header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaces {
    /// The dialog as we see it: the header's to-tag is our tag.
    id: DialogId,
    early_only: bool,
}

impl Replaces {
    /// From the header's text; `None` when it cannot be read.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let end = value.find(';')?;
        let (call_id, params) = (value[..end].trim(), Params::new(&value.as_bytes()[end..]));
        let safe = !call_id.is_empty() && !value.bytes().any(|byte| byte < b' ');
        let word = |name| params.get(name).filter(|tag| !tag.is_empty()).map(str::to_owned);
        let (local_tag, remote_tag) = (word("to-tag")?, word("from-tag")?);
        // An end of RFC 2543 has no tag; zero stands for that (section 6.1).
        let remote_tag = if remote_tag == "0" { String::new() } else { remote_tag };
        let id = DialogId { call_id: call_id.to_owned(), local_tag, remote_tag };
        safe.then(|| Self { id, early_only: params.has("early-only") })
    }
}

impl UserAgent {
    /// The call that an INVITE wants to replace.
    ///
    /// # Errors
    /// The status with which the INVITE is refused (section 3).
    pub(super) fn replaced(&self, invite: &Message) -> Result<Option<CallKey>, u16> {
        let Some(value) = invite.text(Name::Replaces).map(Cow::into_owned) else { return Ok(None) };
        let replaces = Replaces::parse(&value).ok_or(400_u16)?;
        let Some(key) = self.dialogs.get(&replaces.id).copied() else {
            return Err(if self.ended.contains(&replaces.id) { 603 } else { 481 });
        };
        match self.calls.get(&key).map(|call| &call.state) {
            // It is on its way out.
            Some(State::Active(active)) if matches!(active.ending, Ending::Bye { .. }) => Err(603),
            Some(State::Active(_)) if replaces.early_only => Err(486),
            // An early dialog can be replaced by who opened it only.
            Some(State::Active(_) | State::Calling(_)) => Ok(Some(key)),
            Some(State::Ringing(_)) | None => Err(481),
        }
    }

    /// Remembers a dialog that is over.
    pub(super) fn remember_ended(&mut self, id: DialogId) {
        if self.ended.len() >= ENDED_KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaces_names_the_dialog_from_this_end() {
        let id = |remote: &str| DialogId {
            call_id: "98732@sip.example.com".to_owned(),
            local_tag: "ours".to_owned(),
            remote_tag: remote.to_owned(),
        };
        let parse = Replaces::parse;
        assert_eq!(
            parse("98732@sip.example.com ;from-tag=theirs ; to-tag=ours"),
            Some(Replaces { id: id("theirs"), early_only: false })
        );
        assert_eq!(
            parse("98732@sip.example.com;to-tag=ours;from-tag=0;early-only"),
            Some(Replaces { id: id(""), early_only: true })
        );
        for broken in ["", "x", "x;to-tag=a", "x;from-tag=a", ";to-tag=a;from-tag=b", "x;to-tag=;from-tag=b"]
        {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }
}
