//! An INVITE that is sent elsewhere (RFC 3261 section 8.1.3.4): the addresses of 300, 301 and 302 are tried one after the
//! other, the best first, each once, within the same call. 305 and 380 are told as failures: a proxy is the
//! configuration's choice, and an alternative service is the user's.

use super::call::{Call, Cancel, State};
use super::types::{CallKey, Event};
use super::{Turn, UserAgent};
use crate::wire::{Message, Uri};

/// Where a call may still go.
#[derive(Default)]
pub(super) struct Redirects {
    /// The best last.
    left: Vec<Uri>,
    /// Every address of this call so far.
    tried: Vec<String>,
}

impl UserAgent {
    /// Sends the INVITE elsewhere after a refusal, when there is an elsewhere; false when the refusal stands.
    pub(super) fn follow(
        &mut self,
        key: CallKey,
        number: u64,
        response: &Message,
        turn: &mut Turn<'_>,
    ) -> bool {
        let calls = &self.calls;
        self.redirects.retain(|key, _| matches!(calls.get(key), Some(Call { state: State::Calling(_), .. })));
        let status = response.status().unwrap_or_default();
        if !self.calling(key, number).is_some_and(|calling| calling.cancel == Cancel::No) {
            return false;
        }
        let Some(mut outline) = self.transactions.clients.get(&number).map(|client| client.outline.clone())
        else {
            return false;
        };
        if matches!(status, 300..=302) {
            let most = self.config.redirects;
            let redirects = self
                .redirects
                .entry(key)
                .or_insert_with(|| Redirects { left: Vec::new(), tried: vec![outline.uri.clone()] });
            redirects.add(super::targets(response), most);
        }
        // A global refusal is everybody's (section 16.7 step 5, seen from the caller).
        let next = match status {
            300..600 => self.redirects.get_mut(&key).and_then(|redirects| redirects.left.pop()),
            _ => None,
        };
        let Some(target) = next else { return false };
        outline.uri = bare(&target);
        turn.emit(Event::Redirected { call: key, status, target });
        self.repeat_invite(key, number, outline, turn);
        true
    }
}

impl Redirects {
    /// `targets` come best first.
    fn add(&mut self, targets: Vec<Uri>, most: u32) {
        let fresh = targets.into_iter().filter(|target| target.as_ref().is_sip());
        let mut fresh: Vec<Uri> = fresh
            .filter(|target| {
                let text = bare(target);
                // The first address is the caller's own choice.
                let room = self.tried.len() <= usize::try_from(most).unwrap_or(usize::MAX);
                let new = room && !self.tried.contains(&text);
                if new {
                    self.tried.push(text);
                }
                new
            })
            .collect();
        fresh.reverse();
        // What the last one named is nearer than what was named before.
        self.left.extend(fresh);
    }
}

/// The URI as a Request-URI: without headers (RFC 3261 section 19.1.1).
fn bare(uri: &Uri) -> String {
    let text = uri.as_str();
    text.split('?').next().unwrap_or(text).to_owned()
}
