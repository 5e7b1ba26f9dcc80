//! A worker: takes blocks from writers, keeps them, and gives them to readers.
//!
//! - [`net`]: the data plane, over which clients push and fetch.
//! - [`store`]: what it keeps and where: the state machine behind the network.
//! - [`Reporter`]: tells the coordinators that it is alive and what it holds, and deletes what they say has ended.
//! - [`Describe`]: says everything about itself, for `overhand status`.

pub mod net;
pub mod store;

mod describe;
mod reporter;

pub use describe::Describe;
pub use reporter::{Place, Reporter};
