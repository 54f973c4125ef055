//! Where a running scenario happens, as its steps see it: sessions begin there, and where the carrier is a mock it can be told to
//! misbehave. Steps do not ask which venue it is; what a venue cannot do it says.

use std::sync::Arc;

use tokio::task::AbortHandle;
use z5_core::{Config, Events, Session, StartError, StartOptions};
use z5_mock::{Carrier, Entry, Fault, Faults, Impairment, Recorder, When};

use super::model::{Impaired, PartyPlan};
use super::simulated::{self, Simulated};
use super::world::{self, World};

/// A venue that was entered.
#[derive(Debug)]
pub(super) enum Venue {
    /// Somebody else's carrier.
    Real,
    /// The mock carrier in this process.
    Mock(Box<Carrier>),
    /// The same in simulated time, and the task that lets it pass.
    Simulated(Arc<Simulated>, AbortHandle),
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
                let client = |account: &str, generic| match generic {
                    true => carrier.generic_config(account),
                    false => carrier.client_config(account),
                };
                let config = |party| world::of_the_mock(party, Some(carrier.ca_pem()), client);
                let configs = parties.iter().map(config).collect::<Result<Vec<_>, _>>()?;
                Ok((Self::Mock(Box::new(carrier)), configs))
            }
            World::Simulated(builder, seed) => {
                let simulated = Simulated::new(*builder, seed);
                let simulated =
                    simulated.map_err(|error| format!("the mock carrier did not start: {error}"))?;
                let client = |account: &str, generic| {
                    simulated.with(|sim, _| match generic {
                        true => sim.generic_config(account),
                        false => sim.client_config(account),
                    })
                };
                let config = |party| world::of_the_mock(party, None, client);
                let configs = parties.iter().map(config).collect::<Result<Vec<_>, _>>()?;
                let living = tokio::spawn(Arc::clone(&simulated).live()).abort_handle();
                Ok((Self::Simulated(simulated, living), configs))
            }
        }
    }

    /// What the calendar says at the beginning, where that is not the wall's.
    pub(super) const fn begins_unix_s(&self) -> Option<u64> {
        match self {
            Self::Real | Self::Mock(_) => None,
            Self::Simulated(..) => Some(simulated::BEGINS.as_secs()),
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
            Self::Simulated(simulated, _) => Session::simulated(config, options, simulated.simulation()),
        }
    }

    /// The faults of the mock carrier.
    fn faults(&self) -> Result<Faults, NoMock> {
        match self {
            Self::Real => Err(NoMock),
            Self::Mock(carrier) => Ok(carrier.faults().clone()),
            Self::Simulated(simulated, _) => Ok(simulated.with(|sim, _| sim.faults().clone())),
        }
    }

    /// Lets the carrier misbehave.
    pub(super) fn arm(&self, fault: Fault, when: When) -> Result<(), NoMock> {
        self.faults().map(|faults| {
            // It is ended by its name.
            let _ = faults.arm_when(fault, when);
        })
    }

    /// Ends that.
    pub(super) fn disarm(&self, fault: Fault) -> Result<(), NoMock> {
        self.faults().map(|faults| faults.disarm(fault))
    }

    /// Impairs media or SIP otherwise, from the next packet on.
    pub(super) fn impair(&self, of: Impaired, impairment: Impairment) -> Result<(), NoMock> {
        match (self, of) {
            (Self::Real, _) => return Err(NoMock),
            (Self::Mock(carrier), Impaired::Media) => carrier.impair(impairment),
            (Self::Mock(carrier), Impaired::Sip) => carrier.impair_sip(impairment),
            (Self::Simulated(simulated, _), Impaired::Media) => {
                simulated.with(|sim, _| sim.impair(impairment));
            }
            (Self::Simulated(simulated, _), Impaired::Sip) => {
                simulated.with(|sim, _| sim.impair_sip(impairment));
            }
        }
        Ok(())
    }

    /// Ends every connection for SIP at the carrier's first address.
    pub(super) async fn cut(&self) -> Result<(), NoMock> {
        match self {
            Self::Real => return Err(NoMock),
            Self::Mock(carrier) => carrier.cut_sip(carrier.sip_addr().ip()).await,
            Self::Simulated(simulated, _) => {
                simulated.with(|sim, now| sim.cut_sip(sim.sip_addr().ip(), now));
            }
        }
        Ok(())
    }

    /// What the mock carrier saw, and how much of it it has forgotten.
    pub(super) fn recorded(&self) -> Result<(Vec<Entry>, u64), NoMock> {
        let all = |recorder: &Recorder| (recorder.entries(), recorder.forgotten());
        match self {
            Self::Real => Err(NoMock),
            Self::Mock(carrier) => Ok(all(carrier.recorder())),
            Self::Simulated(simulated, _) => Ok(simulated.with(|sim, _| all(sim.recorder()))),
        }
    }

    /// The end.
    pub(super) async fn leave(self) {
        match self {
            Self::Real => {}
            Self::Mock(carrier) => carrier.shutdown().await,
            Self::Simulated(_, living) => living.abort(),
        }
    }
}
