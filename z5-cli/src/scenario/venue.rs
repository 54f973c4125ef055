//! Where a running scenario happens, as its steps see it: sessions begin there, and where the carrier is a mock it can be told to
//! misbehave. Steps do not ask which venue it is; what a venue cannot do it says.

use z5_core::{Config, Events, Session, StartError, StartOptions};
use z5_mock::{Carrier, Entry, Fault, Impairment, When};

use super::model::{Impaired, PartyPlan};
use super::world::{self, World};

/// A venue that was entered.
#[derive(Debug)]
pub(super) enum Venue {
    /// Somebody else's carrier.
    Real,
    /// The mock carrier in this process.
    Mock(Box<Carrier>),
}

/// This venue has no mock carrier.
pub(super) struct NoMock;

impl Venue {
    /// Starts what has to be started; the configuration of each party.
    pub(super) async fn enter(world: World, parties: &[PartyPlan]) -> Result<(Self, Vec<Config>), String> {
        match world {
            World::Real(configs) => Ok((Self::Real, configs)),
            World::Mock(builder) => {
                let carrier = builder.start().await;
                let carrier = carrier.map_err(|error| format!("the mock carrier did not start: {error}"))?;
                let configs: Result<Vec<_>, String> =
                    parties.iter().map(|party| world::of_the_mock(&carrier, party)).collect();
                Ok((Self::Mock(Box::new(carrier)), configs?))
            }
        }
    }

    /// Begins a session.
    pub(super) fn session(
        &self,
        config: Config,
        options: StartOptions,
    ) -> Result<(Session, Events), StartError> {
        match self {
            Self::Real | Self::Mock(_) => Session::start_with(config, options),
        }
    }

    fn mock(&self) -> Result<&Carrier, NoMock> {
        match self {
            Self::Real => Err(NoMock),
            Self::Mock(carrier) => Ok(carrier),
        }
    }

    /// Lets the carrier misbehave.
    pub(super) fn arm(&self, fault: Fault, when: When) -> Result<(), NoMock> {
        self.mock().map(|carrier| {
            // It is ended by its name.
            let _ = carrier.faults().arm_when(fault, when);
        })
    }

    /// Ends that.
    pub(super) fn disarm(&self, fault: Fault) -> Result<(), NoMock> {
        self.mock().map(|carrier| carrier.faults().disarm(fault))
    }

    /// Impairs media or SIP otherwise, from the next packet on.
    pub(super) fn impair(&self, of: Impaired, impairment: Impairment) -> Result<(), NoMock> {
        self.mock().map(|carrier| match of {
            Impaired::Media => carrier.impair(impairment),
            Impaired::Sip => carrier.impair_sip(impairment),
        })
    }

    /// Ends every connection for SIP at the carrier's first address.
    pub(super) async fn cut(&self) -> Result<(), NoMock> {
        let carrier = self.mock()?;
        carrier.cut_sip(carrier.sip_addr().ip()).await;
        Ok(())
    }

    /// What crossed the wire.
    pub(super) fn recorded(&self) -> Result<Vec<Entry>, NoMock> {
        self.mock().map(|carrier| carrier.recorder().entries())
    }

    /// The end.
    pub(super) async fn leave(self) {
        match self {
            Self::Real => {}
            Self::Mock(carrier) => carrier.shutdown().await,
        }
    }
}
