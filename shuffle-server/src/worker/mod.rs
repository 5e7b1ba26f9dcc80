//! A worker: takes blocks from writers, keeps them, and gives them to readers.
//!
//! - [`store`]: what it keeps and where: the state machine behind the network.

pub mod store;
