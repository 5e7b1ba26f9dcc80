//! A coordinator: who is there, who is alive, and which data may go. It keeps soft state only.
//!
//! - [`Report`], [`Holdings`]: what a worker says about itself and about what it holds. [`Wellbeing`]: what a driver says
//!   about its data.
//! - [`State`]: the state machine, plain and synchronous: events with a clock go in, lists come out. [`Quotas`]: what
//!   tenants may have. [`Event`]: what happened, for logs and [`Metrics`].
//! - [`Service`]: the same over gRPC: decode, one call, encode.
//! - [`describe`], `status`: what `overhand status` shows, asked of every worker at once. `drain`: takes a worker out of
//!   service.
//!
//! # Invariants
//! - Data goes only for an application that was ended by its driver, or whose lease expired at every coordinator: the
//!   worker is told which of the two it is, and counts. Nothing expires before this coordinator has been up for longer
//!   than a lease: until then it may simply not have heard of a driver yet.
//! - An application that is known only by a worker's report gets a lease of its own when it is first seen.
//! - Whatever is here can be learnt again: workers report what they hold, drivers keep their leases.

pub mod describe;
mod drain;
mod event;
mod metrics;
mod quota;
mod report;
mod service;
mod state;
mod status;
mod wellbeing;

pub use event::Event;
pub use metrics::Metrics;
pub use quota::{EVERYBODY, Quotas};
pub use report::{Held, Holdings, Report};
pub use service::{Access, Cluster, Service};
pub use state::{Known, Leaving, Phase, Rules, State, Worker};
pub use wellbeing::Wellbeing;
