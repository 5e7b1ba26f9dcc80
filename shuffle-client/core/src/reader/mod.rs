//! Blocks in, batches of items out.
//!
//! # Parts
//! - [`Reader`]: what the engine holds; it decodes on the thread that asks for the next batch.
//! - `fetches`: which fetches run, and what happens when one ends, breaks or is slow.
//! - `shards`, `members`: what is left to read, and of whom; plain state.
//! - `inbox`: what comes for a reader, and how it waits.
//! - `pace`: what all readers of a client have learned of how fast workers answer.
//! - `decoder`: messages of blocks into batches of items.
//! - `wanted`: what must arrive and what has.
//! - `large`: items that are larger than a block.
//!
//! # Who is asked
//! 1. Each epoch of a shard is read from one member of its chain. When that breaks, fails or is silent, another one goes
//!    on with what is not whole; when it is slow, another one is asked as well, and the first to end wins.
//! 2. When all epochs have been read and something is missing, the members that were not asked yet are asked for
//!    it, and then those again whose connections broke.
//! 3. When nobody is left, the driver is asked, and what is new in its placement is read.
//! 4. Only then is something lost.
//!
//! # Memory
//! A reader holds up to `read_window` of blocks on their way (a second fetch of the same has its part of
//! that), a batch, and the parts of items that are larger than a
//! block. What it must keep of the pieces that it expects is some 30 bytes each.

mod decoder;
mod fetches;
mod inbox;
mod large;
mod members;
mod pace;
mod shards;
mod wanted;

#[cfg(feature = "sim")]
pub(crate) mod sim {
    pub use super::{
        shards::{Next as NextRead, Read, Shards},
        wanted::{Lacking, Wanted},
    };
}

use std::{fmt, ops::Range, sync::Arc, time::Instant};

pub(crate) use self::pace::Pace;
use self::{
    decoder::{Body, Decoder},
    fetches::{Fetches, Step},
    shards::Shards,
    wanted::Wanted,
};
use crate::{
    Attempt, Error, ErrorKind, Place, Placement, Result,
    client::{Interrupt, Shared},
    codec::Unpacker,
    pool::Buffer,
};

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
pub struct Batch {
    buffer: Buffer,
    len: usize,
    partition: u32,
    items: u64,
}

impl Batch {
    /// The items; their address stays the same until the batch is dropped.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// The partition that they belong to.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// How many there are.
    pub fn items(&self) -> u64 {
        self.items
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
    /// Fetches among these that were started because another was slow.
    pub hedged: u64,
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
pub struct Reader {
    partitions: Range<u32>,
    fetches: Fetches,
    decoder: Decoder,
    body: Option<Body>,
    wait_nanos: u64,
    failed: Option<ReadError>,
}

impl Reader {
    pub(crate) fn new(client: Arc<Shared>, placement: Arc<Placement>, request: ReadRequest) -> Result<Self> {
        check(&placement, &request)?;
        let placement = client.placements.newest(&placement);
        let wanted = Wanted::new(request.expected);
        let mut shards = Shards::default();
        for (shard, epochs) in (0..).zip(&placement.shards) {
            if wanted.bounds(&placement.layout.range(shard)).is_some() {
                // Readers of different partitions start with different members.
                shards.add(shard, epochs, shard as usize + request.partitions.start as usize);
            }
        }
        let fetches = Fetches::start(Arc::clone(&client), placement, shards, &wanted);
        let decoder = Decoder::new(client.pool.clone(), Unpacker::new(client.cipher.clone()), wanted);
        Ok(Self { partitions: request.partitions, fetches, decoder, body: None, wait_nanos: 0, failed: None })
    }

    /// From now on a call that waits asks `interrupt` about once a second whether to go on.
    pub fn set_interrupt(&mut self, interrupt: Interrupt) {
        self.fetches.set_interrupt(interrupt);
    }

    /// The next items, in no promised order of map tasks; none when everything expected has been handed out.
    ///
    /// # Errors
    /// `DataLost` when something expected is missing or damaged: run [`ReadError::lost`] again, and throw away what
    /// this reader has handed out. `Closed` when interrupted. Others as of the workers' answers. After an error every call returns it again.
    #[allow(clippy::should_implement_trait, reason = "an iterator could not say that an error is its end")]
    pub fn next(&mut self) -> Result<Option<Batch>, ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.advance().inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn advance(&mut self) -> Result<Option<Batch>, ReadError> {
        loop {
            if let Some(body) = &mut self.body {
                if let Some(batch) = self.decoder.next(body)? {
                    return Ok(Some(batch));
                }
                if let Some(Body { fetch, buffer, len, damage, .. }) = self.body.take() {
                    self.fetches.used(fetch, buffer, len, damage);
                }
            }
            let start = Instant::now();
            let step = self.fetches.next(&self.decoder.wanted);
            self.wait_nanos += start.elapsed().as_nanos() as u64;
            match step {
                Step::Body(fetch, buffer, len) => self.body = Some(Body { fetch, buffer, len, at: 0, damage: None }),
                Step::Whole(shard) => self.check_parts(shard)?,
                Step::Lost(shard) => return Err(self.lost(shard)),
                Step::Refused(shard, place, error) => return Err(self.refused(shard, &place, error)),
                Step::Interrupted => return Err(Error::new(ErrorKind::Closed, "the task was interrupted").into()),
                Step::Finished => return Ok(None),
            }
        }
    }

    /// All blocks of a shard have come; they must fit together.
    fn check_parts(&mut self, shard: u32) -> Result<(), ReadError> {
        let range = self.range(shard);
        let wanted = &mut self.decoder.wanted;
        for piece in self.decoder.large.unfinished() {
            if range.contains(&wanted.partition(piece)) && wanted.whole(piece) {
                wanted.breaks(piece);
            }
        }
        let lost = wanted.missing(&range);
        if lost.is_empty() {
            return Ok(());
        }
        Err(self.data_lost(shard, "blocks contradict each other", lost))
    }

    /// Nobody has all that was expected of a shard.
    fn lost(&self, shard: u32) -> ReadError {
        if let Some(error) = self.fetches.shards.fault(shard) {
            return error.clone().context(format!("{} shard {shard}", self.place())).into();
        }
        // What goes with the same workers is lost as well: better now than after another try.
        let mut shards = self.fetches.shards.gone();
        shards.push(shard);
        let missing = |shard: u32| self.decoder.wanted.missing(&self.range(shard));
        let mut lost: Vec<Attempt> = shards.into_iter().flat_map(missing).collect();
        lost.sort_unstable();
        lost.dedup();
        let mut why = self.fetches.shards.why(shard);
        if let Some(error) = &self.fetches.unasked {
            why = format!("{why}; the driver could not be asked for another placement: {}", error.message());
        }
        self.data_lost(shard, &why, lost)
    }

    fn data_lost(&self, shard: u32, why: &str, lost: Vec<Attempt>) -> ReadError {
        let text = format!(
            "{} shard {shard} of partitions {:?} is not whole: {why}; {} map attempts must be run again, first {}",
            self.place(),
            self.partitions,
            lost.len(),
            lost[0]
        );
        ReadError { error: Error::new(ErrorKind::DataLost, text), lost }
    }

    fn refused(&self, shard: u32, place: &Place, error: Error) -> ReadError {
        error.context(format!("{} shard {shard} at {}", self.place(), place.address)).into()
    }

    fn range(&self, shard: u32) -> Range<u32> {
        self.fetches.placement.layout.range(shard)
    }

    fn place(&self) -> String {
        let placement = &self.fetches.placement;
        format!("application {} shuffle {}", placement.app, placement.shuffle)
    }

    /// What was done so far; also after the end.
    pub fn stats(&self) -> ReadStats {
        let held_bytes = self.fetches.held + self.decoder.large.held() as u64;
        let Fetches { started: fetches, hedged, .. } = self.fetches;
        ReadStats { fetches, hedged, wait_nanos: self.wait_nanos, held_bytes, ..self.decoder.stats }
    }
}

fn check(placement: &Placement, request: &ReadRequest) -> Result<()> {
    let ReadRequest { partitions, maps, expected } = request;
    let wrong = |text: String| Err(Error::new(ErrorKind::Invalid, text));
    if partitions.start > partitions.end || partitions.end > placement.layout.partitions() || maps.start > maps.end {
        return wrong(format!(
            "partitions {partitions:?} and map indexes {maps:?} of a shuffle with {} partitions",
            placement.layout.partitions()
        ));
    }
    let outside =
        |piece: &&Expected| !(partitions.contains(&piece.partition) && maps.contains(&piece.attempt.map_index));
    match expected.iter().find(outside) {
        Some(piece) => wrong(format!(
            "partition {} {} is expected, and is not in partitions {partitions:?} and map indexes {maps:?}",
            piece.partition, piece.attempt
        )),
        None => Ok(()),
    }
}
