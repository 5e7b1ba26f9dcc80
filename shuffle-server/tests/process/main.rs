//! Tests of the server as a process: a real `overhand standalone` on ports of its own choice, with a real store.
//!
//! - [`bad_input`]: whatever comes in on the data plane, the server goes on serving.
//! - [`chains`]: workers that forward frames to each other, and what breaks that; [`copies`]: one takes what another has.
//! - [`startup`]: starting and stopping; what is wrong is said clearly.
//! - [`restart`]: what is served after a restart, and what a damaged disk does.
//! - [`lifecycle`]: applications and shuffles come and go, and leave nothing.
//! - [`cluster`]: coordinators and workers as processes of their own, side by side; [`leases`], [`quotas`], [`drain`]: what
//!   the coordinators decide.
//! - [`memory`]: more data than memory, slow readers.
//! - [`bench`]: the load tool.
//! - [`reference`]: the generated pages are current.

mod bad_input;
mod bench;
mod chains;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod copies;
mod drain;
mod fetches;
mod leases;
mod lifecycle;
mod memory;
mod quotas;
mod reference;
mod restart;
mod startup;
