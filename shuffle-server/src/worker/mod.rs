//! A worker: takes blocks from writers, keeps them, and gives them to readers.
//!
//! - [`net`]: the data plane, over which clients push and fetch.
//! - [`store`]: what it keeps and where: the state machine behind the network.
//! - [`Reports`]: tells the coordinators that it is alive and what it holds. [`Deletions`]: deletes what they say is over.
//! - [`Describe`]: says everything about itself, for `overhand status`, and is told to drain.

pub mod net;
pub mod store;

mod describe;
mod reporter;

pub use describe::Describe;
pub use reporter::{Deletions, Place, Reports, Votes};
