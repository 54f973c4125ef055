//! A call that stands and changes: hold, resume, media that move, and commands that the user agent refuses.

use std::time::Instant;

use z5_media::AudioFormat;
use z5_sip::outbox::Outbox;
use z5_sip::sdp::Negotiated;
use z5_sip::ua::{CallKey, CommandRefusal};

use super::mid_call::Hold;
use super::{Calls, Shares, call_media};
use crate::call::{Side, StreamAgreement};
use crate::error::CallError;
use crate::events::{EventKind, MediaKind};
use crate::machine::io::{CodecPlan, Effect, MediaChange, SrtpPlan, StreamPlan};

/// The keys in use.
pub(super) fn keys(streams: &[StreamPlan]) -> Vec<(MediaKind, SrtpPlan)> {
    streams.iter().filter_map(|plan| Some((plan.kind, plan.srtp.clone()?))).collect()
}

/// The keys of a plan, when they are not those in use.
fn new_keys(plan: &StreamPlan, before: &[(MediaKind, SrtpPlan)]) -> Option<SrtpPlan> {
    let keys = plan.srtp.as_ref()?;
    let known = before.iter().any(|(kind, known)| *kind == plan.kind && known == keys);
    (!known).then(|| keys.clone())
}

/// The codec of the sound, with its payload types.
pub(super) fn format(streams: &[StreamPlan]) -> Option<AudioFormat> {
    streams.iter().find_map(|plan| match &plan.codec {
        CodecPlan::Audio { format, .. } => Some(format.clone()),
        CodecPlan::Text { .. } | CodecPlan::Video(_) => None,
    })
}

/// The codec of a plan, when it is not the one in use.
fn new_format(plan: &StreamPlan, before: Option<&AudioFormat>) -> Option<AudioFormat> {
    format(std::slice::from_ref(plan)).filter(|format| Some(format) != before)
}

/// Whether the far end takes telephone events.
pub(super) fn digits(streams: &[StreamPlan]) -> bool {
    streams.iter().any(
        |plan| matches!(&plan.codec, CodecPlan::Audio { format, .. } if format.telephone_event.is_some()),
    )
}

impl Calls {
    /// The far end changed what flows: hold, resume, or an address that moved.
    pub(crate) fn on_renegotiated(
        &mut self,
        key: CallKey,
        (negotiated, by_us): (&Negotiated, bool),
        shares: Shares,
        out: &mut Outbox<Effect>,
    ) {
        let Some((id, call)) = self.by_key(key) else { return };
        match call_media::agreed(negotiated, &call.ready, call.suppresses(), shares.limits(call.emergency)) {
            Err(error) => out.push(Effect::Emit(EventKind::CallTrouble { call: id, error })),
            Ok((streams, mut media)) => {
                let before = std::mem::take(&mut call.media);
                let runs = |kind| before.streams.iter().find(|stream| stream.kind == kind);
                let trouble = |why: String| {
                    Effect::Emit(EventKind::CallTrouble { call: id, error: CallError::Media { why } })
                };
                let (mut changes, mut added) = (Vec::new(), Vec::new());
                let hold = call.hold.after(&streams, by_us);
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
                        send: plan.send && !hold.local && call.is_sent(kind),
                        receive: plan.receive,
                        moved: moved.then_some((plan.remote, plan.remote_rtcp)),
                        srtp: new_keys(plan, &call.keys),
                        format: new_format(plan, call.format.as_ref()),
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
                            srtp: None,
                            format: None,
                        });
                        media.streams.push(StreamAgreement { send: false, receive: false, ..old.clone() });
                    }
                }
                call.keys = keys(&streams);
                call.format = format(&streams);
                call.digits = digits(&streams);
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
                if by_us {
                    call.place_known();
                    self.settle_proposal(id, out);
                }
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
            CommandRefusal::WrongState | CommandRefusal::OfferOpen | CommandRefusal::BadStatus => {
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
