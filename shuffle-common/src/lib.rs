//! What the server and the client of Overhand share: the words, the formats and the errors.
//!
//! # Layout
//! - [`ids`]: applications, workers, shards; [`ids::Layout`] says which shard holds a partition.
//! - [`block`]: a block, the unit of data: one attempt's records for one partition, compressed, with its checksum.
//! - [`message`]: the data plane's messages: a fixed header, a head, and a body of blocks.
//! - [`segment`]: the immutable file that a memtable becomes.
//! - [`token`]: who a connection speaks for.
//! - [`error`]: what went wrong, in the few kinds that callers act on.
//!
//! # A byte, from here to there
//! A writer puts records into a [`block::Block`], blocks into the body of a [`message::Push`], and the last frame of
//! an attempt carries a [`message::Fin`]. The worker keeps the body as it came, block by block; a segment holds the
//! same bytes in another order; a reader gets the same bytes again in [`message::Kind::Data`]. Nobody between writer
//! and reader rewrites a block, so its checksum holds from the task that wrote it to the task that reads it.

pub mod block;
pub mod error;
pub mod ids;
pub mod message;
pub mod segment;
pub mod token;
mod wire;

pub use error::{Error, Kind as ErrorKind, Result};
pub use wire::Malformed;
