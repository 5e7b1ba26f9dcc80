//! Blocks in, batches of items out.

use std::{fmt, ops::Range};

use crate::{Attempt, Error, ErrorKind};

/// One non-empty piece of output that the engine says is valid: what `attempt` wrote for `partition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Expected {
    /// The partition.
    pub partition: u32,
    /// The valid attempt of one map task.
    pub attempt: Attempt,
}

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// Half-open.
    pub partitions: Range<u32>,
    /// Half-open, of map indexes.
    pub maps: Range<u32>,
    /// Every non-empty piece in these ranges, in any order. Blocks of anything else are dropped; each of these must
    /// arrive whole.
    pub expected: Vec<Expected>,
}

/// Whole items of one partition, decoded, off any heap; the memory goes back to the client's pool when dropped.
///
/// Items are packed without gaps: a 32-bit length (little-endian), that many bytes.
#[derive(Debug)]
pub struct Batch {}

impl Batch {
    /// The items.
    pub fn as_slice(&self) -> &[u8] {
        todo!()
    }

    /// The partition that they belong to.
    pub fn partition(&self) -> u32 {
        todo!()
    }

    /// How many there are.
    pub fn items(&self) -> u64 {
        todo!()
    }
}

/// What a reader has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Items handed out.
    pub items: u64,
    /// Bytes of items handed out, their lengths included.
    pub raw_bytes: u64,
    /// Bytes of blocks that were decoded.
    pub stored_bytes: u64,
    /// Blocks that were decoded.
    pub blocks: u64,
    /// Blocks that were not wanted: other attempts, other map indexes, repeats.
    pub dropped_blocks: u64,
    /// Fetches started, those after a broken connection included.
    pub fetches: u64,
    /// Nanoseconds that [`Reader::next`] waited for data.
    pub wait_nanos: u64,
    /// Bytes of buffers held now, without the batches handed out.
    pub held_bytes: u64,
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// What went wrong.
    pub error: Error,
    /// With `DataLost`: every attempt that is missing or damaged in whole or in part, in the order of map indexes.
    pub lost: Vec<Attempt>,
}

impl ReadError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self { error, lost: vec![] }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ReadError {}

/// Reads a range of partitions. Dropping it early cancels what is on its way.
#[derive(Debug)]
pub struct Reader {}

impl Reader {
    /// The next items, in no promised order of map tasks; none when everything expected has been handed out.
    ///
    /// # Errors
    /// `DataLost` when something expected is missing or damaged: run [`ReadError::lost`] again, and throw away what
    /// this reader has handed out. Others as of the workers' answers. After an error every call returns it again.
    #[allow(clippy::should_implement_trait, reason = "it has errors and borrows nothing")]
    pub fn next(&mut self) -> Result<Option<Batch>, ReadError> {
        todo!()
    }

    /// What was done so far; also after the end.
    pub fn stats(&self) -> ReadStats {
        todo!()
    }
}
