//! A call that stands and changes: hold, resume, media that move, and commands that the user agent refuses.

use std::time::Instant;

use z5_sip::outbox::Outbox;
use z5_sip::sdp::Negotiated;
use z5_sip::ua::{CallKey, CommandRefusal};

use super::mid_call::Hold;
use super::{Calls, call_media};
use crate::call::{Side, StreamAgreement};
use crate::error::CallError;
use crate::events::{EventKind, MediaKind};
use crate::machine::io::{CodecPlan, Effect, KeyAndSalt, MediaChange, StreamPlan};

/// The far end's keys.
pub(super) fn keys(streams: &[StreamPlan]) -> Vec<(MediaKind, KeyAndSalt)> {
    let key = |plan: &StreamPlan| Some((plan.kind, plan.srtp.as_ref()?.1.clone()));
    streams.iter().filter_map(key).collect()
}

/// Our key and the far end's, when the far end's is a new one.
fn new_key(plan: &StreamPlan, before: &[(MediaKind, KeyAndSalt)]) -> Option<(KeyAndSalt, KeyAndSalt)> {
    let keys = plan.srtp.as_ref()?;
    let known = before.iter().any(|(kind, key)| *kind == plan.kind && *key == keys.1);
    (!known).then(|| keys.clone())
}

/// Whether the far end takes telephone events.
pub(super) fn digits(streams: &[StreamPlan]) -> bool {
    streams.iter().any(|plan| matches!(plan.codec, CodecPlan::Audio { telephone_event: Some(_), .. }))
}

impl Calls {
    /// The far end changed what flows: hold, resume, or an address that moved.
    pub(crate) fn on_renegotiated(
        &mut self,
        key: CallKey,
        negotiated: &Negotiated,
        out: &mut Outbox<Effect>,
    ) {
        let Some((id, call)) = self.by_key(key) else { return };
        match call_media::agreed(negotiated, &call.ready) {
            Err(error) => out.push(Effect::Emit(EventKind::CallTrouble { call: id, error })),
            Ok((streams, mut media)) => {
                let before = std::mem::take(&mut call.media);
                let runs = |kind| before.streams.iter().find(|stream| stream.kind == kind);
                let trouble = |why: String| {
                    Effect::Emit(EventKind::CallTrouble { call: id, error: CallError::Media { why } })
                };
                let (mut changes, mut added) = (Vec::new(), Vec::new());
                let hold = call.hold.after(&streams);
                for plan in &streams {
                    let kind = plan.kind;
                    let Some(old) = runs(kind) else {
                        match call.adding.contains(&kind) {
                            true => added.push(plan.clone()),
                            // Its ports were given back when the call was answered without it.
                            false => out.push(trouble(format!("{} cannot be added here", kind.name()))),
                        }
                        continue;
                    };
                    // Before RFC 3264, hold was written as the address 0.0.0.0.
                    let moved = old.remote != plan.remote && !plan.remote.ip().is_unspecified();
                    changes.push(MediaChange {
                        kind,
                        send: plan.send && !hold.local && !call.muted.contains(&kind),
                        receive: plan.receive,
                        moved: moved.then_some((plan.remote, plan.remote_rtcp)),
                        key: new_key(plan, &call.keys),
                    });
                }
                media.streams.retain(|stream| {
                    runs(stream.kind).is_some() || added.iter().any(|plan| plan.kind == stream.kind)
                });
                // A medium whose line was closed flows no more.
                for old in &before.streams {
                    if !media.streams.iter().any(|stream| stream.kind == old.kind) {
                        changes.push(MediaChange {
                            kind: old.kind,
                            send: false,
                            receive: false,
                            moved: None,
                            key: None,
                        });
                        media.streams.push(StreamAgreement { send: false, receive: false, ..old.clone() });
                    }
                }
                call.keys = keys(&streams);
                if !call.proposing {
                    call.adding.clear();
                }
                call.media = media.clone();
                let told = (call.hold.local, call.hold.remote);
                call.hold = hold;
                out.push(Effect::DirectMedia { call: id, changes });
                if !added.is_empty() {
                    out.push(Effect::StartMedia { call: id, streams: added });
                }
                if before.streams != media.streams {
                    out.push(Effect::Emit(EventKind::CallChanged { call: id, media }));
                }
                if told != (hold.local, hold.remote) {
                    let Hold { local, remote, .. } = hold;
                    out.push(Effect::Emit(EventKind::CallHold { call: id, local, remote }));
                }
                self.settle_proposal(id, out);
            }
        }
    }

    /// The user agent did not do what it was told.
    pub(crate) fn on_command_refused(
        &mut self,
        key: CallKey,
        why: CommandRefusal,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        // A call that is over here too: the command came after its end.
        let Some((id, call)) = self.by_key(key) else { return };
        match why {
            CommandRefusal::WrongState | CommandRefusal::BadStatus => {
                let error =
                    CallError::WrongState { call: id.0, state: call.state.name(), command: "the command" };
                out.push(Effect::Emit(EventKind::CommandRefused { call: id, error }));
            }
            CommandRefusal::UnknownCall | CommandRefusal::KeyTaken if call.established_at.is_some() => {
                self.on_ended(key, Side::Network, Some(why.to_string()), out);
            }
            // Never told of a call.
            CommandRefusal::UnknownSubscription => {}
            CommandRefusal::UnknownCall | CommandRefusal::KeyTaken => {
                self.fail(id, Side::Local, CallError::UnknownCall { call: id.0 }, now, out);
            }
        }
    }
}
