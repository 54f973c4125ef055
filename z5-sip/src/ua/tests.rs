//! Two user agents and a small proxy in one world with fake time (`world`), and one user agent against a scripted server
//! (`script`).
#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for one event among many")]

mod adrift;
mod answers;
mod bindings;
mod calls;
mod doorstep;
mod extras;
mod messages;
mod options;
mod redirects;
mod refusals;
mod register;
mod reliable;
mod renewals;
mod script;
mod seeds;
mod sequences;
mod stream;
mod subscriptions;
mod transfers;
mod world;
