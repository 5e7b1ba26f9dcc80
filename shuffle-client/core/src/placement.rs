//! Where the shards of one shuffle are.

use crate::{AppId, Layout, Result, WorkerId};

/// A worker that holds a copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Who it must be.
    pub worker: WorkerId,
    /// `host:port` of its data plane.
    pub address: String,
}

/// One epoch of a shard: a chain of workers, the primary first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// The epoch's number.
    pub epoch: u32,
    /// The workers, primary first; never empty.
    pub chain: Vec<Place>,
}

/// Where the shards of one shuffle are, and what a task needs to get there. The driver makes it, tasks get its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The application.
    pub app: AppId,
    /// The shuffle.
    pub shuffle: u32,
    /// How partitions are split over shards.
    pub layout: Layout,
    /// The application's token.
    pub token: String,
    /// When the token ends, in seconds since 1970.
    pub token_expires: u64,
    /// `host:port` of every coordinator, for a new token.
    pub coordinators: Vec<String>,
    /// Per shard its epochs, oldest first; new data goes to the last, all are read. None is empty.
    pub shards: Vec<Vec<Epoch>>,
}

impl Placement {
    /// The bytes, for the engine's own messages.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// `Invalid` if they are not a placement of a version that this code knows.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let _ = bytes;
        todo!()
    }
}
