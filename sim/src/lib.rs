//! A seeded simulation of Overhand: one seed decides the data, the order of everything, and what fails when.
//!
//! # Layout
//! - [`run()`]: one seed's run, from setting up to the verdict; `world` is what fails and the cluster that it happens to.
//! - `clock`: virtual time and the tasks in it. `net`: connections, cuts. `disk`: disks that fail and lie.
//! - `worker`: the real store and order of answers behind simulated connections.
//! - `control`: the real coordinators, and calls to them; `reports`, `lease`: what workers and the driver say to them.
//!   `promise`: what that keeps from being deleted; `ending`: how the application ends.
//! - `writer`, `reader`, `driver`: the client's real state machines between simulated links (`link`).
//!
//! `docs/simulation.md` says what of the product this covers and what not.

mod clock;
mod control;
mod disk;
mod driver;
mod ending;
mod lease;
mod link;
mod net;
mod options;
mod promise;
mod reader;
mod reports;
mod run;
mod worker;
mod world;
mod writer;

pub use options::{Broken, Options};
pub use run::{Report, run};
