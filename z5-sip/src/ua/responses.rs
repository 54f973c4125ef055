//! What comes back to requests of ours: to its transaction, through challenges, to whoever waits for it.

use super::apart::Apart;
use super::failure::{CallFailure, RegisterFailure};
use super::request_failure::RequestFailure;
use super::transactions::{Client, Owner, StartError};
use super::types::Event;
use super::{Turn, UserAgent};
use crate::auth::{Asker, ServerProof};
use crate::flow::FlowId;
use crate::transaction::ClientInput;
use crate::wire::{DropReason, Message, Method, Uri, Verdict};

impl UserAgent {
    pub(super) fn on_response(&mut self, flow: FlowId, response: Message, turn: &mut Turn<'_>) {
        match self.rules.validate(&response) {
            Verdict::Accept => {}
            Verdict::Drop { why: DropReason::NotForUs } => {
                return turn.emit(Event::Unexpected { flow, what: "a response for someone else" });
            }
            Verdict::Drop { .. } | Verdict::Refuse { .. } => {
                return turn.emit(Event::Unexpected { flow, what: "a malformed response" });
            }
        }
        match self.transactions.client_of(&response) {
            Some(number) => self.turn_client(number, ClientInput::Response(response), turn),
            // A 2xx whose transaction is gone would need its ACK; after 64 x T1 the far end has given up too.
            None => turn.emit(Event::Unexpected { flow, what: "a response to nothing" }),
        }
    }

    /// A response that a client transaction let through.
    pub(super) fn on_client_response(&mut self, number: u64, response: &Message, turn: &mut Turn<'_>) {
        let Some(client) = self.transactions.clients.get(&number) else { return };
        let (owner, method) = (client.owner, client.outline.method.clone());
        let status = response.status().unwrap_or_default();
        if status < 200 {
            match owner {
                Owner::Invite(call) => self.on_provisional(call, number, response, turn),
                // Its call has ended meanwhile.
                Owner::Reinvite(call) if !self.calls.contains_key(&call) => {
                    self.turn_client(number, ClientInput::Abandon, turn);
                }
                Owner::Reinvite(_)
                | Owner::Register(_)
                | Owner::Update(_)
                | Owner::Bye(_)
                | Owner::Cancel
                | Owner::Apart(_)
                | Owner::Refer(_)
                | Owner::Notify(_)
                | Owner::Info(_)
                | Owner::Prack
                | Owner::OfferingPrack(_)
                | Owner::Stray => {}
            }
            return;
        }
        if matches!(status, 401 | 407) && method != Method::Cancel {
            return self.on_challenge(number, owner, response, turn);
        }
        if let Some(client) = self.transactions.clients.get(&number) {
            let (flow, proof) = (client.flow, self.authenticator.on_response(client.request(), response));
            if proof == ServerProof::Wrong {
                turn.emit(Event::Unexpected {
                    flow,
                    what: "an answer that fails to prove who sent it (rspauth)",
                });
            }
        }
        match owner {
            Owner::Register(reg_id) => self.on_register_response(reg_id, number, response, turn),
            Owner::Invite(call) => self.on_invite_final(call, number, response, turn),
            Owner::Reinvite(call) => self.on_reinvite_final(call, number, response, turn),
            Owner::Update(call) => self.on_update_final(call, number, response, turn),
            Owner::OfferingPrack(call) => self.on_prack_final(call, number, response, turn),
            Owner::Bye(call) => self.on_bye_done(call, turn),
            Owner::Apart(apart) => self.on_apart_final(apart, number, response, turn),
            Owner::Refer(call) => self.on_refer_final(call, number, response, turn),
            Owner::Notify(call) => self.on_notify_final(call, Some(status), turn),
            Owner::Info(call) => self.on_info_final(call, status, turn),
            Owner::Cancel | Owner::Prack | Owner::Stray => {}
        }
    }

    /// 401 and 407: the same request again with credentials, as a new transaction (RFC 3261 section 22.2).
    fn on_challenge(&mut self, number: u64, owner: Owner, response: &Message, turn: &mut Turn<'_>) {
        let Some(client) = self.transactions.clients.get(&number) else { return };
        let (flow, mut outline) = (client.flow, client.outline.clone());
        let asker = self.asker(client);
        let answered = self.authenticator.on_challenge(asker, client.request(), response);
        if let Err(failure) = answered {
            return match owner {
                Owner::Register(reg_id) => {
                    let failure = RegisterFailure::from_challenge(failure);
                    let failure = self.counted(failure);
                    self.on_register_failed(reg_id, failure, turn);
                }
                Owner::Invite(call) => {
                    self.fail_calling(call, number, CallFailure::from_challenge(failure), turn)
                }
                // The timer ends the call when no refresh gets through.
                Owner::Reinvite(call) | Owner::Update(call) | Owner::OfferingPrack(call) => {
                    self.on_offer_failed(call, number, CallFailure::from_challenge(failure), turn);
                }
                Owner::Bye(call) => self.on_bye_done(call, turn),
                Owner::Apart(apart) => {
                    self.on_apart_lost(apart, number, RequestFailure::from_challenge(failure), turn);
                }
                Owner::Refer(call) => {
                    self.on_refer_failed(call, number, CallFailure::from_challenge(failure), turn);
                }
                Owner::Notify(call) => self.on_notify_final(call, None, turn),
                Owner::Info(call) => self.on_info_final(call, response.status().unwrap_or_default(), turn),
                Owner::Cancel | Owner::Prack | Owner::Stray => {}
            };
        }
        match owner {
            Owner::Register(reg_id) => self.repeat_register(reg_id, outline, turn),
            Owner::Invite(call) => self.repeat_invite(call, number, outline, turn),
            Owner::Notify(call) => {
                outline.cseq = self.next_report_cseq(call).unwrap_or(outline.cseq + 1);
                if self.start_client(outline, flow, owner, turn).is_err() {
                    self.on_notify_final(call, None, turn);
                }
            }
            Owner::Refer(call) => {
                outline.cseq = self.next_cseq_after(number).unwrap_or(outline.cseq + 1);
                let cseq = outline.cseq;
                match self.start_client(outline, flow, owner, turn) {
                    Ok(next) => self.follow_refer(call, number, next, cseq),
                    Err(error) => self.on_refer_failed(call, number, error.into(), turn),
                }
            }
            Owner::Info(call) => {
                outline.cseq = self.next_cseq_after(number).unwrap_or(outline.cseq + 1);
                if self.start_client(outline, flow, owner, turn).is_err() {
                    self.on_info_final(call, 500, turn);
                }
            }
            Owner::Reinvite(call) | Owner::Update(call) | Owner::OfferingPrack(call) | Owner::Bye(call) => {
                outline.cseq = self.next_cseq_after(number).unwrap_or(outline.cseq + 1);
                match (owner, self.start_client(outline, flow, owner, turn)) {
                    (Owner::Reinvite(_) | Owner::Update(_) | Owner::OfferingPrack(_), Ok(next)) => {
                        self.follow_offer(call, number, next)
                    }
                    (Owner::Reinvite(_) | Owner::Update(_) | Owner::OfferingPrack(_), Err(error)) => {
                        self.on_offer_failed(call, number, error.into(), turn)
                    }
                    (Owner::Bye(_), Err(_)) => self.on_bye_done(call, turn),
                    (_, _) => {}
                }
            }
            Owner::Apart(apart) => self.repeat_apart(apart, number, outline, flow, turn),
            Owner::Prack => {
                outline.cseq = self.next_cseq_after(number).unwrap_or(outline.cseq + 1);
                let _ = self.start_client(outline, flow, owner, turn);
            }
            Owner::Cancel | Owner::Stray => {
                outline.cseq += 1;
                // Nobody waits for it: when it cannot go out there is nobody to tell.
                let _ = self.start_client(outline, flow, owner, turn);
            }
        }
    }

    /// Who may ask for credentials in an answer to a request: the registrar; a server of ours, which is on the host of our
    /// domain or at the other end of the flow; where we subscribe to, because that was configured.
    fn asker(&self, client: &Client) -> Asker {
        if client.outline.method == Method::Register {
            return Asker::Registrar;
        }
        let configured = [Some(&self.config.registrar), Some(&self.config.aor), self.config.route.as_ref()];
        let mut hosts = configured.into_iter().flatten().filter_map(Uri::host);
        let uri = client.request().request_uri().and_then(Result::ok);
        let home = uri.and_then(|uri| uri.host()).is_some_and(|host| {
            let server = self.flows.get(&client.flow).map(|flow| flow.remote().ip());
            hosts.any(|own| own == host) || (host.ip().is_some() && host.ip() == server)
        });
        match home || matches!(client.owner, Owner::Apart(Apart::Subscription(_))) {
            true => Asker::Home,
            false => Asker::Stranger,
        }
    }

    /// The CSeq with which a request of a dialog is sent again.
    pub(super) fn next_cseq_after(&mut self, number: u64) -> Option<u32> {
        let request = self.transactions.clients.get(&number)?.request().clone();
        self.next_cseq(&request)
    }

    /// No final response came in time.
    pub(super) fn on_client_timeout(
        &mut self,
        number: u64,
        owner: Owner,
        timer: &'static str,
        turn: &mut Turn<'_>,
    ) {
        match owner {
            Owner::Register(reg_id) => self.on_register_timeout(reg_id, number, timer, turn),
            Owner::Invite(call) => self.fail_calling(call, number, CallFailure::TimedOut { timer }, turn),
            Owner::Reinvite(call) => self.on_reinvite_lost(call, number, turn),
            Owner::Apart(apart) => {
                self.on_apart_lost(apart, number, RequestFailure::TimedOut { timer }, turn);
            }
            Owner::Bye(call) => self.on_bye_done(call, turn),
            Owner::Update(call) | Owner::OfferingPrack(call) => {
                self.on_offer_failed(call, number, CallFailure::TimedOut { timer }, turn);
            }
            Owner::Refer(call) => self.on_refer_failed(call, number, CallFailure::TimedOut { timer }, turn),
            Owner::Notify(call) => self.on_notify_final(call, None, turn),
            Owner::Info(call) => self.on_info_final(call, 408, turn),
            Owner::Cancel | Owner::Prack | Owner::Stray => {}
        }
    }

    /// The flow went away before a final response.
    pub(super) fn on_client_flow_lost(&mut self, number: u64, owner: Owner, turn: &mut Turn<'_>) {
        if self.retry_as_datagram(number, owner, turn) {
            return;
        }
        match owner {
            Owner::Register(reg_id) => {
                self.on_register_failed(reg_id, RegisterFailure::ConnectionLost, turn);
            }
            Owner::Apart(apart) => {
                self.on_apart_lost(apart, number, RequestFailure::ConnectionLost, turn);
            }
            Owner::Invite(call) => self.fail_calling(call, number, CallFailure::ConnectionLost, turn),
            Owner::Reinvite(_) | Owner::Update(_) | Owner::OfferingPrack(_) => {
                self.set_offer_adrift(number, owner, turn);
            }
            Owner::Refer(call) => self.on_refer_failed(call, number, CallFailure::ConnectionLost, turn),
            Owner::Notify(call) => self.on_notify_final(call, None, turn),
            Owner::Info(call) => self.on_info_final(call, 503, turn),
            Owner::Bye(call) => {
                self.set_adrift(number, Owner::Stray, turn);
                self.on_bye_done(call, turn);
            }
            Owner::Prack | Owner::Stray => self.set_adrift(number, owner, turn),
            Owner::Cancel => {}
        }
    }
}

impl From<StartError> for CallFailure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::NoFlow => Self::NoFlow,
            StartError::Build(why) => Self::Unbuildable { why: why.to_string() },
            StartError::TooLarge { bytes } => {
                Self::Unbuildable { why: format!("{bytes} bytes are more than a datagram may have") }
            }
        }
    }
}
