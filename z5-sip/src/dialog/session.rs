//! Offer and answer within one dialog (RFC 3264, RFC 6337): who offered what, and what holds.
//!
//! One exchange at a time: while an offer of ours is out there is no second one, and an offer that crosses it is refused
//! by the user agent (491). The version of our description grows only when it says something new.

use std::sync::Arc;

use crate::sdp::{
    Capabilities, Negotiated, NegotiationFailure, Origin, Security, SessionDescription, accept_answer,
    answer_within, make_offer, reoffer,
};

/// The session of one dialog. Each fork of a call has a copy, which shares what was offered.
#[derive(Clone)]
pub struct Session {
    origin: Origin,
    capabilities: Arc<Capabilities>,
    /// The last description of ours that both ends agreed on.
    agreed: Option<Arc<SessionDescription>>,
    /// The last description of ours that went out, agreed or not.
    sent: Option<Arc<SessionDescription>>,
    /// Our offer that waits for its answer, and what it was made of.
    offered: Option<(Arc<SessionDescription>, Arc<Capabilities>)>,
    negotiated: Option<Negotiated>,
}

impl Session {
    /// A session of which nothing is agreed yet.
    #[must_use]
    pub fn new(id: u64, capabilities: impl Into<Arc<Capabilities>>) -> Self {
        // Some far ends read the id as a signed 64-bit number.
        let origin = Origin { id: id >> 1, version: 1 };
        Self {
            origin,
            capabilities: capabilities.into(),
            agreed: None,
            sent: None,
            offered: None,
            negotiated: None,
        }
    }

    /// What holds now.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// What this end can do.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What this end can do of what flows now, to be offered by a refresh: what was refused is not pressed on the far end
    /// with each of them, and what is encrypted keeps its suite and key.
    #[must_use]
    pub fn flowing(&self) -> Capabilities {
        let mut capabilities = Capabilities::clone(&self.capabilities);
        let Some(negotiated) = &self.negotiated else { return capabilities };
        capabilities.media.retain_mut(|own| {
            let Some(media) = negotiated.media.iter().find(|media| media.kind == own.kind) else {
                return false;
            };
            if let (Security::SdesOptional(keys) | Security::SdesRequired(keys), Some(crypto)) =
                (&mut own.security, &media.crypto)
            {
                keys.retain(|key| key.suite() == crypto.suite);
            }
            true
        });
        capabilities
    }

    /// Whether an offer of ours waits for its answer.
    #[must_use]
    pub fn is_offering(&self) -> bool {
        self.offered.is_some()
    }

    /// Offers `capabilities`; within a session that stands, every line stays in its place (RFC 3264 section 8).
    pub fn offer(&mut self, capabilities: impl Into<Arc<Capabilities>>) -> Vec<u8> {
        let capabilities = capabilities.into();
        let description = match (&self.agreed, &self.negotiated) {
            (Some(agreed), Some(negotiated)) => reoffer(&capabilities, self.origin, agreed, negotiated),
            (Some(_) | None, Some(_) | None) => make_offer(&capabilities, self.origin),
        };
        let description = Arc::new(self.renumber(description));
        let bytes = description.to_bytes();
        self.sent = Some(description.clone());
        self.offered = Some((description, capabilities));
        bytes
    }

    /// Takes the answer to our offer. The session stays as it was when the answer cannot be used.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn accept(&mut self, body: &[u8]) -> Result<Negotiated, NegotiationFailure> {
        let Some((offer, capabilities)) = self.offered.take() else {
            return self
                .negotiated
                .clone()
                .ok_or(NegotiationFailure::NothingInCommon { refused: Vec::new() });
        };
        let answer = SessionDescription::parse(body)?;
        let negotiated = accept_answer(&offer, &answer, &capabilities)?;
        self.agreed = Some(offer);
        self.capabilities = capabilities;
        self.negotiated = Some(negotiated.clone());
        Ok(negotiated)
    }

    /// Our offer came to nothing: what held before holds on. Gives back what was offered.
    pub fn withdraw(&mut self) -> Option<Capabilities> {
        self.offered.take().map(|(_, capabilities)| Arc::unwrap_or_clone(capabilities))
    }

    /// Answers an offer with what this end can do.
    ///
    /// # Errors
    /// Why nothing is in common; what held before holds on.
    pub fn answer(&mut self, body: &[u8]) -> Result<(Vec<u8>, Negotiated), NegotiationFailure> {
        self.answer_to(&SessionDescription::parse(body)?)
    }

    /// The same for an offer that was read already.
    ///
    /// # Errors
    /// Why nothing is in common; what held before holds on.
    pub fn answer_to(
        &mut self,
        offer: &SessionDescription,
    ) -> Result<(Vec<u8>, Negotiated), NegotiationFailure> {
        let before = self.negotiated.as_ref();
        let (description, negotiated) = answer_within(offer, &self.capabilities, self.origin, before)?;
        let description = Arc::new(self.renumber(description));
        let bytes = description.to_bytes();
        self.sent = Some(description.clone());
        self.agreed = Some(description);
        self.negotiated = Some(negotiated.clone());
        Ok((bytes, negotiated))
    }

    /// Whether an offer of the far end wants more than we have prepared: a medium that does not flow now and that we have
    /// not refused before, or new keys. The application decides about it.
    #[must_use]
    pub fn asks_more(&self, body: &[u8]) -> bool {
        let (Ok(offer), Some(negotiated)) = (SessionDescription::parse(body), &self.negotiated) else {
            return false;
        };
        offer.asks_more(negotiated, &self.capabilities)
    }

    /// What this end can do from now on, as when an incoming call is taken.
    pub fn set_capabilities(&mut self, capabilities: impl Into<Arc<Capabilities>>) {
        self.capabilities = capabilities.into();
    }

    /// Counts the version up when the description differs from the last one that went out.
    fn renumber(&mut self, description: SessionDescription) -> SessionDescription {
        let Some(sent) = &self.sent else { return description };
        let description = description.with_origin_of(sent);
        match **sent != description {
            true => {
                self.origin.version += 1;
                description.with_version(self.origin.version)
            }
            false => description,
        }
    }
}
