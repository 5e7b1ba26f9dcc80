//! A coordinator: who is there, who is alive, and which data may go. It keeps soft state only.
//!
//! - [`Report`]: what a worker says about itself.
//! - [`State`]: the state machine, plain and synchronous: events with a clock go in, lists come out.
//! - [`Service`]: the same over gRPC: decode, one call, encode.
//! - [`describe`]: what `overhand status` shows, asked of every worker at once.
//!
//! # Invariants
//! - Data goes only for an application that was ended by its driver or whose lease expired here. Nothing expires before
//!   this coordinator has been up for longer than a lease: until then it may simply not have heard of a driver yet.
//! - An application that is known only by a worker's report gets a lease of its own when it is first seen.
//! - Whatever is here can be learnt again: workers report what they hold, drivers keep their leases.

pub mod describe;
mod report;
mod service;
mod state;

pub use report::Report;
pub use service::{Access, Service, WORKER_APP};
pub use state::{Known, Rules, State, Worker};
