//! Scenarios: several parties, steps, conditions, in a YAML file. `z5 run`, `z5 acceptance` and `z5 monitor` run them.
//!
//! `yaml` text to a tree with places, `parse` to a `model` in which nothing is left to go wrong but the network, `world` the carrier and the
//! configurations, `run` the order of steps, `perform` one step of a `party`, `legs` its calls, `outcome` what came of it. docs/scenarios.md is the
//! reference, docs/schema/scenario.json the schema.

mod contacts;
mod history;
mod language;
mod legs;
mod model;
mod notes;
mod outcome;
mod parse;
mod party;
mod perform;
mod read;
mod run;
mod simulated;
mod venue;
mod wire;
mod words;
mod world;
mod yaml;

pub(crate) use model::Scenario;
pub(crate) use notes::notes;
pub(crate) use outcome::{NotReached, Outcome, StepOutcome, Told};
pub(crate) use parse::{Given, party_names as parties, scenario as read};
pub(crate) use run::{Stop, watched};
pub(crate) use world::{Clock, Configurations, World, judge};
pub(crate) use yaml::{Mistake, all_told};

/// The JSON schema of a scenario file.
pub(crate) const SCHEMA: &str = include_str!("../../docs/schema/scenario.json");
