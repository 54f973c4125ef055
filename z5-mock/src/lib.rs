//! A mock carrier: everything the five documented steps of a Z5 client talk to, with real sockets on loopback.
//!
//! One [`Carrier`] is a name server, a sign-in server (ZDial), a licence and address-book server and a SIP registrar with
//! proxy, media relay and far ends (the MCS), under names of the reserved top level `.test` with certificates of its own
//! authority. It can be told to go wrong ([`Fault`]) and records what crossed the wire ([`Recorder`]).
//!
//! Its formats are the open ones of docs/wire/; it says nothing about any production service. It shares no code with
//! z5-core: client and carrier meet only on the wire.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let carrier = z5_mock::Carrier::builder().start().await?;
//! println!("dns {}, sign-in {}", carrier.dns_addr(), carrier.zdial_url());
//! carrier.shutdown().await;
//! # Ok::<_, z5_mock::StartError>(())
//! # }).unwrap();
//! ```

mod builder;
mod carrier;
mod clock;
mod dns;
mod endpoint;
mod far_end;
mod http;
mod imagined;
mod link;
mod mail;
mod mcs;
mod pipe;
mod relay;
mod shaped;
mod sip;
mod state;
mod tls;
mod twice;
mod way;
mod zdial;

pub mod account;
pub mod client_config;
pub mod fault;
pub mod impairment;
pub mod names;
pub mod recorder;
pub mod scenario;
pub mod sim;

pub use account::{Account, Number, NumberState};
pub use builder::{Builder, ContactsBy};
pub use carrier::{Carrier, StartError};
pub use client_config::ClientConfig;
pub use far_end::Kind as FarEnd;
pub use far_end::script::{BadScript, Media as ScriptMedia, Script, Step as ScriptStep};
pub use fault::{AnswerFault, CertificateFault, Fault, Faults, Order, When};
pub use impairment::{BadImpairment, Burst, Impairment, Rate};
pub use mail::{Recorded, VideoMessage};
pub use mcs::address_book::{AddressBooks, vcard};
pub use mcs::licence::{LicenceKey, LicenceKeyError, LicenceOptions};
pub use mcs::list::{xcard, xcard_list};
pub use mcs::policy::GroupPolicy;
pub use names::Names;
pub use recorder::{Direction, Entry, Recorder, Service};
pub use relay::{PathStats, RelayStats};
pub use tls::TlsSetupError;
pub use twice::Twice;
