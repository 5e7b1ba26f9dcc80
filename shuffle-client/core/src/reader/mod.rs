//! Blocks in, batches of items out.
//!
//! # Parts
//! - [`Reader`]: what the engine holds; it decodes on the thread that asks for the next batch.
//! - `fetches`: which fetches run, and what happens when one ends or breaks.
//! - `decoder`: messages of blocks into batches of items.
//! - `wanted`: what must arrive and what has.
//! - `large`: items that are larger than a block.
//!
//! # Memory
//! A reader holds up to `read_window` of blocks on their way, a batch, and the parts of items that are larger than a
//! block. What it must keep of the pieces that it expects is some 30 bytes each.

mod decoder;
mod fetches;
mod large;
mod wanted;

use std::{collections::VecDeque, fmt, ops::Range, sync::Arc, time::Instant};

use self::{
    decoder::{Body, Decoder},
    fetches::{Fetches, Plan, Step},
    wanted::Wanted,
};
use crate::{Attempt, Error, ErrorKind, Place, Placement, Result, client::Shared, codec::Unpacker, pool::Buffer};

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
    client: Arc<Shared>,
    placement: Arc<Placement>,
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
        let wanted = Wanted::new(request.expected);
        let mut plans = VecDeque::new();
        for (shard, epochs) in (0..).zip(&placement.shards) {
            let range = placement.layout.range(shard);
            if let Some((partitions, maps)) = wanted.bounds(&range) {
                let plan = |epoch| Plan { shard, epoch, partitions: partitions.clone(), maps: maps.clone() };
                plans.extend((0..epochs.len()).map(plan));
            }
        }
        let unpacker = Unpacker::new(client.cipher.clone());
        let decoder = Decoder::new(client.pool.clone(), unpacker, wanted);
        let fetches = Fetches::start(Arc::clone(&client), Arc::clone(&placement), plans);
        let partitions = request.partitions;
        Ok(Self { client, placement, partitions, fetches, decoder, body: None, wait_nanos: 0, failed: None })
    }

    /// The next items, in no promised order of map tasks; none when everything expected has been handed out.
    ///
    /// # Errors
    /// `DataLost` when something expected is missing or damaged: run [`ReadError::lost`] again, and throw away what
    /// this reader has handed out. Others as of the workers' answers. After an error every call returns it again.
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
            let step = self.fetches.next(self.client.config.answer_timeout);
            self.wait_nanos += start.elapsed().as_nanos() as u64;
            match step {
                Step::Body(fetch, buffer, len) => self.body = Some(Body { fetch, buffer, len, at: 0, damage: None }),
                Step::Done(plan, damage) => self.check_shard(&plan, damage)?,
                Step::Failed(plan, place, error) => return Err(self.failure(&plan, &place, error)),
                Step::Finished => return Ok(None),
            }
        }
    }

    /// When all epochs of a shard have been read, all that was expected of it must be there.
    fn check_shard(&mut self, plan: &Plan, damage: Option<String>) -> Result<(), ReadError> {
        if self.fetches.reads(plan.shard) {
            return Ok(());
        }
        let range = self.placement.layout.range(plan.shard);
        let wanted = &mut self.decoder.wanted;
        for piece in self.decoder.large.unfinished() {
            if range.contains(&wanted.partition(piece)) {
                wanted.breaks(piece);
            }
        }
        let lost = wanted.missing(&range);
        if lost.is_empty() {
            return Ok(());
        }
        let workers: Vec<_> =
            self.placement.shards[plan.shard as usize].iter().map(|epoch| epoch.chain[0].address.as_str()).collect();
        let why = damage.map_or("the worker no longer has all of it".to_owned(), |damage| format!("damaged: {damage}"));
        let text = format!(
            "{} shard {} of partitions {:?} is not whole at {}: {why}; {} map attempts must be run again, first {}",
            self.place(),
            plan.shard,
            self.partitions,
            workers.join(", "),
            lost.len(),
            lost[0]
        );
        Err(ReadError { error: Error::new(ErrorKind::DataLost, text), lost })
    }

    /// What a fetch that failed for good means.
    fn failure(&self, plan: &Plan, place: &Place, error: Error) -> ReadError {
        let about = format!("{} shard {} at {}", self.place(), plan.shard, place.address);
        // Out of reach, or another worker answers: all that it alone holds is lost. Else it is about this shard only.
        let whole_worker = match error.kind() {
            ErrorKind::Retry | ErrorKind::Stale | ErrorKind::Backpressure | ErrorKind::Closed | ErrorKind::Broken => {
                true
            }
            ErrorKind::NotFound | ErrorKind::DataLost => false,
            ErrorKind::Invalid | ErrorKind::Denied | ErrorKind::Internal => return error.context(about).into(),
        };
        let gone = |epochs: &[crate::Epoch]| epochs.iter().any(|epoch| epoch.chain.iter().all(|other| other == place));
        let mut lost: Vec<Attempt> = (0..)
            .zip(&self.placement.shards)
            .filter(|(shard, epochs)| *shard == plan.shard || (whole_worker && gone(epochs)))
            .flat_map(|(shard, _)| self.decoder.wanted.missing(&self.placement.layout.range(shard)))
            .collect();
        lost.sort_unstable();
        lost.dedup();
        let text = format!("{about}: {}; {} map attempts must be run again", error.message(), lost.len());
        ReadError { error: Error::new(ErrorKind::DataLost, text), lost }
    }

    fn place(&self) -> String {
        format!("application {} shuffle {}", self.placement.app, self.placement.shuffle)
    }

    /// What was done so far; also after the end.
    pub fn stats(&self) -> ReadStats {
        let held_bytes = self.fetches.held + self.decoder.large.held() as u64;
        let (fetches, wait_nanos) = (self.fetches.started, self.wait_nanos);
        ReadStats { fetches, wait_nanos, held_bytes, ..self.decoder.stats }
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
