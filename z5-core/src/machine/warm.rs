//! What can be done for step 3 before step 2 is over, because it needs no proof: the connections to the MCS, and what it asks of whoever
//! comes. Two OPTIONS requests without credentials and without a word about us; their answers are challenges (RFC 7616), which
//! spare step 3 a connection, a TLS handshake and a refused request for each of its two jobs.
//!
//! Nothing depends on it: without an answer, or with another one, step 3 begins from nothing.

use z5_sip::outbox::Outbox;

use super::exchange::{HttpAuth, Server};
use super::io::{Effect, HttpsFailure, HttpsReply, HttpsRequest, RequestId};
use super::plan::McsPlan;
use super::resolve::Resolved;

/// Step 3 has two jobs side by side, each with a connection of its own.
const JOBS: usize = 2;
/// Any path is challenged; this one is known to be there.
const TARGET: &str = "/mcs/v1/license";

/// Requests under way, and the challenges that came.
#[derive(Debug, Default)]
pub(super) struct Warm {
    host: String,
    port: u16,
    under_way: Vec<RequestId>,
    challenges: Vec<Vec<String>>,
}

impl Warm {
    /// Asks, unless it was asked already and nobody has used the answers.
    pub(super) fn begin(
        &mut self,
        resolved: &Resolved,
        mcs: &McsPlan,
        ids: &mut u64,
        out: &mut Outbox<Effect>,
    ) {
        let missing = JOBS.saturating_sub(self.under_way.len() + self.challenges.len());
        let Some(addresses) = resolved.addresses(&mcs.host) else { return };
        (self.host, self.port) = (mcs.host.clone(), mcs.https_port);
        for _ in 0..missing {
            *ids += 1;
            let id = RequestId(*ids);
            self.under_way.push(id);
            let request = HttpsRequest {
                method: "OPTIONS",
                host: mcs.host.clone(),
                port: mcs.https_port,
                addresses: addresses.to_vec(),
                target: TARGET.to_owned(),
                headers: Vec::new(),
                body: bytes::Bytes::new(),
            };
            out.push(Effect::Https { id, request });
        }
    }

    /// True when the reply was to one of these requests.
    pub(super) fn on_https(&mut self, id: RequestId, outcome: &Result<HttpsReply, HttpsFailure>) -> bool {
        let Some(index) = self.under_way.iter().position(|own| *own == id) else { return false };
        self.under_way.remove(index);
        if let Ok(HttpsReply { status: 401, challenges, .. }) = outcome {
            self.challenges.push(challenges.clone());
        }
        true
    }

    /// Credentials at a server; with the answer to its challenge, if that came.
    pub(super) fn auth(&mut self, server: &Server, mut auth: HttpAuth) -> HttpAuth {
        if server.host.eq_ignore_ascii_case(&self.host)
            && server.port == self.port
            && let Some(challenges) = self.challenges.pop()
        {
            auth.expect(&challenges);
        }
        auth
    }

    /// The network is another one.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
