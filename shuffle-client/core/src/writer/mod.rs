//! Batches of records in, blocks out.
//!
//! # Parts
//! - [`Writer`]: what the engine holds; one batch at a time is in work behind it.
//! - `index`: which record belongs to which partition.
//! - `encoder`: runs into blocks, and which runs wait.
//! - `output`: blocks into frames, and which lane they take.
//! - `lane`: frames to one shard: their numbers, its epochs, the attempt's end there.
//!
//! # Memory
//! A writer holds the chunks that its caller fills, the batch in work, up to `carry_limit` of runs that wait (twice
//! that for a moment, while a batch is added to them), and up to `write_window` and one frame under way. A frame that is
//! sent again to another epoch is the same memory, and holds its place in that window all the while.

#[cfg(feature = "sim")]
pub(crate) use self::lane::sim;

mod encoder;
mod index;
mod lane;
mod output;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

pub(crate) use self::encoder::Workspace;
#[cfg(feature = "bench")]
pub(crate) use self::index::Index;
use self::{encoder::Encoder, output::Output};
use crate::{
    Attempt, Error, ErrorKind, Interrupt, Placement, Result,
    client::{Patience, Shared},
    codec::Packer,
    link::flow::Flow,
    pool::Buffer,
};

/// Memory for records, off any heap, at an address that does not change; goes back to the client's pool when dropped.
///
/// Records are packed without gaps: a 32-bit partition, a 32-bit length (both little-endian), that many bytes.
#[derive(Debug)]
pub struct Chunk(Buffer);

impl Chunk {
    #[cfg(any(test, feature = "bench"))]
    pub(crate) fn new(buffer: Buffer) -> Self {
        Self(buffer)
    }

    /// Where it starts.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    /// How many bytes it has.
    pub fn capacity(&self) -> usize {
        self.0.len()
    }

    /// Its bytes; what they are before they are written is left open.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a writer has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Records taken.
    pub records: u64,
    /// Bytes of items, their lengths included, before compression.
    pub raw_bytes: u64,
    /// Bytes of blocks, headers included.
    pub stored_bytes: u64,
    /// Blocks made.
    pub blocks: u64,
    /// Frames sent.
    pub frames: u64,
    /// Nanoseconds that calls waited for earlier batches or for acknowledgements.
    pub wait_nanos: u64,
    /// Bytes of buffers held now: batches in work, runs that wait, frames on their way.
    pub held_bytes: u64,
}

/// Workspaces that no batch uses now.
#[derive(Debug, Default)]
pub(crate) struct Workspaces(Mutex<Vec<Workspace>>);

impl Workspaces {
    fn take(&self, client: &Shared) -> Result<Workspace> {
        if let Some(space) = self.0.lock().pop() {
            return Ok(space);
        }
        let config = &client.config;
        let packer = Packer::new(config.codec, config.zstd_level, client.cipher.clone())?;
        Ok(Workspace::new(config, packer))
    }

    fn give_back(&self, space: Workspace) {
        self.0.lock().push(space);
    }
}

/// The encoder when no batch is in work, and what it has done.
#[derive(Debug)]
struct Desk {
    state: Mutex<DeskState>,
    changed: Condvar,
}

#[derive(Debug)]
struct DeskState {
    encoder: Option<Box<Encoder>>,
    stats: WriteStats,
    in_work: u64,
}

impl Desk {
    fn take(&self, patience: &Patience) -> Result<(Box<Encoder>, Duration)> {
        let mut state = self.state.lock();
        let start = Instant::now();
        patience.wait_while(&self.changed, &mut state, |state| state.encoder.is_none())?;
        let encoder = state.encoder.take().expect("waited for");
        Ok((encoder, start.elapsed()))
    }

    fn give_back(&self, encoder: Box<Encoder>) {
        let mut state = self.state.lock();
        state.stats = encoder.stats();
        state.encoder = Some(encoder);
        state.in_work = 0;
        self.changed.notify_all();
    }
}

/// A batch in work: the encoder goes back to its desk whatever happens.
struct Job {
    client: Arc<Shared>,
    desk: Arc<Desk>,
    flow: Arc<Flow>,
    encoder: Option<Box<Encoder>>,
}

impl Job {
    fn run(mut self, chunks: Vec<(Chunk, usize)>, last: bool) -> Result<()> {
        let encoder = self.encoder.as_mut().expect("taken only in drop");
        let mut space = self.client.workspaces.take(&self.client)?;
        let done = encoder.batch(&mut space, &chunks, last);
        self.client.workspaces.give_back(space);
        drop(chunks);
        done.inspect_err(|error| self.flow.fail(error.clone()))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.flow.fail(Error::new(ErrorKind::Internal, "encoding a batch panicked"));
        }
        if let Some(encoder) = self.encoder.take() {
            self.desk.give_back(encoder);
        }
    }
}

/// Writes one attempt's output. Dropping it without [`Writer::finish`] gives up: workers never commit the attempt.
#[derive(Debug)]
pub struct Writer {
    client: Arc<Shared>,
    desk: Arc<Desk>,
    flow: Arc<Flow>,
    patience: Patience,
    wait_nanos: u64,
    finished: bool,
}

impl Writer {
    pub(crate) fn new(client: Arc<Shared>, placement: Arc<Placement>, attempt: Attempt) -> Result<Self> {
        let flow = Arc::new(Flow::new(client.config.write_window));
        let layout = placement.layout;
        let output = Output::new(Arc::clone(&client), placement, attempt, Arc::clone(&flow));
        let encoder = Box::new(Encoder::new(output, layout, &client.config, client.pool.clone()));
        let state = DeskState { encoder: Some(encoder), stats: WriteStats::default(), in_work: 0 };
        let desk = Arc::new(Desk { state: Mutex::new(state), changed: Condvar::new() });
        Ok(Self { client, desk, flow, patience: Patience::default(), wait_nanos: 0, finished: false })
    }

    /// While a call waits, `interrupt` is asked about once a second, on the caller's thread; if it says yes, the call
    /// fails with `Closed`.
    pub fn set_interrupt(&mut self, interrupt: Interrupt) {
        self.patience = Patience::until(interrupt);
    }

    /// Memory for records: `min_len` bytes or somewhat more.
    ///
    /// # Errors
    /// `Internal` if the system has no memory.
    pub fn chunk(&mut self, min_len: usize) -> Result<Chunk> {
        self.client.pool.take(min_len).map(Chunk)
    }

    /// Takes chunks full of records, each with how many of its bytes are used; a record never spans two, and the
    /// chunks together have less than 4 GiB. Returns at once if the batch before is done, else when it is; the chunks
    /// go back to the pool when their records are encoded.
    ///
    /// # Errors
    /// Of this batch or of an earlier one: `Invalid` if the records are not as they should be, `Retry` if a worker is
    /// out of reach and there is no driver to ask, `Broken` if the driver has no epoch that takes data, `Closed` if the
    /// task was interrupted. After an error only dropping is left.
    pub fn push(&mut self, chunks: Vec<(Chunk, usize)>) -> Result<()> {
        let job = self.job(&chunks)?;
        self.client.threads.run(move || {
            // What fails is kept by the flow, for the next call.
            let _ = job.run(chunks, false);
        })
    }

    /// Takes the last chunks (maybe none), sends everything, and waits until every shard that was touched has
    /// committed the attempt, in every epoch that was used. Returns the stored bytes per partition.
    ///
    /// Handing the last records over here and not by [`Writer::push`] saves a block per partition.
    ///
    /// # Errors
    /// As of [`Writer::push`]; `DataLost` if no worker is left that holds what was acknowledged in an epoch, `Closed` if
    /// it was called before.
    pub fn finish(&mut self, chunks: Vec<(Chunk, usize)>) -> Result<Vec<u64>> {
        let job = self.job(&chunks)?;
        self.finished = true;
        let before = self.flow.wait_nanos();
        // From here on it is this thread that waits for the flow.
        self.flow.set_patience(self.patience.clone());
        let done = job.run(chunks, true).and_then(|()| self.flow.drained());
        // Others may keep the flow longer, on threads that don't belong to who gave the interrupt.
        self.flow.set_patience(Patience::default());
        self.wait_nanos += self.flow.wait_nanos() - before;
        done?;
        let mut state = self.desk.state.lock();
        let encoder = state.encoder.as_mut().expect("no batch is in work");
        encoder.output.check_done()?;
        Ok(encoder.output.take_stored())
    }

    fn job(&mut self, chunks: &[(Chunk, usize)]) -> Result<Job> {
        if self.finished {
            return Err(Error::new(ErrorKind::Closed, "the writer has finished"));
        }
        let (encoder, waited) = self.desk.take(&self.patience)?;
        self.wait_nanos += waited.as_nanos() as u64;
        self.desk.state.lock().in_work = chunks.iter().map(|(chunk, _)| chunk.capacity() as u64).sum();
        let job = Job {
            client: Arc::clone(&self.client),
            desk: Arc::clone(&self.desk),
            flow: Arc::clone(&self.flow),
            encoder: Some(encoder),
        };
        match self.flow.failure() {
            Some(error) => Err(error),
            None => Ok(job),
        }
    }

    /// Gives up: nothing more is sent, everything is freed. The same as dropping it.
    pub fn abort(self) {}

    /// What was done so far (of batches that are done); also after the end.
    pub fn stats(&self) -> WriteStats {
        let state = self.desk.state.lock();
        let held_bytes = state.stats.held_bytes + state.in_work + self.flow.bytes() as u64;
        WriteStats { wait_nanos: self.wait_nanos, held_bytes, ..state.stats }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flow.close();
    }
}
