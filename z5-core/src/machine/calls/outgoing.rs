//! Calls that we make: who may be called, and what the INVITE carries beside the offer.

use z5_sip::outbox::Outbox;
use z5_sip::ua::{CallKey, CallOptions, Privacy};

use super::licensed::{self, check_licence, licensed};
use super::{Call, Calls, Desk, Extras, nothing_to_carry};
use crate::call::{CallId, Side};
use crate::config::Profile;
use crate::error::CallError;
use crate::events::{CallState, CallTimings, EventKind, MediaKind};
use crate::machine::dial;
use crate::machine::io::{Effect, Wanted};

impl Calls {
    /// Makes a call: first ports, keys and files.
    pub(crate) fn dial(
        &mut self,
        id: CallId,
        target: &str,
        wanted: Wanted,
        extras: Extras,
        desk: &Desk<'_>,
        out: &mut Outbox<Effect>,
    ) {
        match self.check_dial(target, wanted, desk) {
            Err(error) => {
                out.push(Effect::ForgetWish { call: id });
                let timings = CallTimings::default();
                out.push(Effect::Emit(EventKind::CallFailed { call: id, by: Side::Local, error, timings }));
            }
            Ok((target, kinds)) => {
                let mut call = Call::new(CallKey(id.0), false, desk.now);
                call.target = Some(target.uri);
                call.emergency = target.emergency;
                if target.emergency {
                    self.emergency_at = Some(desk.now);
                }
                call.extras = extras;
                call.wanted.clone_from(&kinds);
                call.echo = wanted.echo;
                self.calls.insert(id, call);
                self.set_state(id, CallState::Dialling, out);
                self.prepare(id, kinds, desk, out);
            }
        }
    }

    fn check_dial(
        &self,
        target: &str,
        wanted: Wanted,
        desk: &Desk<'_>,
    ) -> Result<(dial::Target, Vec<MediaKind>), CallError> {
        let carrier = desk.plan.profile == Profile::Z5;
        let target = dial::target(target, &desk.account.domain, carrier)?;
        if target.emergency {
            return Ok((target, licensed::configured(wanted, desk)));
        }
        check_licence(desk)?;
        if let Some(licence) = &desk.account.licence
            && self.calls.len() >= licence.max_calls() as usize
        {
            return Err(CallError::TooManyCalls { max: licence.max_calls() });
        }
        let kinds = licensed(wanted, desk)?;
        match kinds.is_empty() {
            true => Err(nothing_to_carry()),
            false => Ok((target, kinds)),
        }
    }
}

impl Call {
    /// What an INVITE of ours carries beside the offer.
    pub(super) fn options(&self, desk: &Desk<'_>) -> CallOptions {
        let privacy = if self.extras.anonymous { Privacy::Anonymous } else { Privacy::Off };
        let mut options = CallOptions { privacy, ..CallOptions::default() };
        // What names a part must be told from that of every other message (RFC 2392).
        let name = |what: &str| format!("{what}.{}@{}.invalid", self.key.0, desk.plan.instance_id);
        let mut location = self.extras.location.as_ref();
        if self.emergency {
            location = location.or(desk.plan.emergency.location.as_ref());
            for (block, bytes) in &desk.plan.emergency.blocks {
                let (purpose, kind) = (
                    format!("EmergencyCallData.{block}"),
                    format!("application/EmergencyCallData.{block}+xml"),
                );
                options = options.with_block(&purpose, &kind, &name(block), bytes.clone());
            }
        }
        options.location =
            location.and_then(|location| location.to_sip(&desk.account.address, &name("location")));
        options
    }
}
