//! What a worker keeps: applications, their shuffles, their shards.

use std::{fs::File, io, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use overhand_common::{
    Result,
    ids::{AppId, WorkerId},
    message::{Fetch, Push},
};

use crate::memory::PooledBuf;

/// What an acknowledged FIN means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The attempt is in this worker's memory: it survives a clean shutdown, not a crash.
    #[default]
    Memory,
    /// The attempt's blocks are in synced segments and its commit is in the index: it survives a crash.
    Disk,
}

/// How a store is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folders, at least one; each is created if only its last part is missing.
    pub data_dirs: Vec<PathBuf>,
    /// Bytes of memory for blocks.
    pub memory_budget: u64,
    /// Bytes in use from which memtables are flushed, the largest first.
    pub high_mark: u64,
    /// Bytes in use down to which they are flushed.
    pub low_mark: u64,
    /// Bytes from which a shard's memtable is flushed whatever the memory.
    pub memtable_max: u64,
    /// What an acknowledged FIN means.
    pub durability: Durability,
    /// Bytes that are left free on each data folder's file system.
    pub disk_reserve: u64,
    /// Threads that write segments.
    pub flush_threads: usize,
    /// How often the data folders are probed for free space and for being writable.
    pub probe_interval: Duration,
}

impl Settings {
    /// The defaults for these folders and this much memory.
    pub fn new(data_dirs: Vec<PathBuf>, memory_budget: u64) -> Self {
        Self {
            data_dirs,
            memory_budget,
            high_mark: memory_budget / 100 * 80,
            low_mark: memory_budget / 100 * 60,
            memtable_max: (256 << 20).min(memory_budget / 4),
            durability: Durability::Memory,
            disk_reserve: 1 << 30,
            flush_threads: 2,
            probe_interval: Duration::from_secs(5),
        }
    }
}

/// The store's metrics, made once from the recorder that it is given.
#[derive(Clone)]
pub struct Metrics {}

impl Metrics {
    /// Registers and describes the metrics.
    pub fn new(_recorder: &dyn metrics::Recorder) -> Self {
        Self {}
    }
}

/// Memory and disk, all folders together, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Permits that are out.
    pub memory_used: u64,
    /// All permits.
    pub memory_budget: u64,
    /// Bytes in segments.
    pub disk_used: u64,
    /// Bytes that may still be written: free space without the reserve, of the folders that take data.
    pub disk_free: u64,
}

/// What there is, for `overhand status`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// The data folders, as they were given.
    pub disks: Vec<DiskStats>,
    /// The applications by id.
    pub apps: Vec<AppStats>,
}

/// A data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskStats {
    /// The folder.
    pub path: PathBuf,
    /// Bytes free on its file system.
    pub free: u64,
    /// Bytes in segments.
    pub used: u64,
    /// `ok`, or what is wrong.
    pub state: String,
}

/// An application's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppStats {
    /// The application.
    pub app: AppId,
    /// Its shuffles by number.
    pub shuffles: Vec<ShuffleStats>,
}

/// A shuffle's data here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShuffleStats {
    /// The shuffle.
    pub shuffle: u32,
    /// Its partitions.
    pub partitions: u32,
    /// Its shards, here or elsewhere.
    pub shards: u32,
    /// Bytes in memtables.
    pub memory_bytes: u64,
    /// Bytes in segments.
    pub disk_bytes: u64,
    /// Blocks in both.
    pub blocks: u64,
    /// Attempts that were committed, counted once per shard.
    pub commits: u64,
}

/// Blocks of a frame in memory; keeps the frame's memory while it lives.
#[derive(Debug, Clone)]
pub struct Slice {
    frame: Arc<PooledBuf>,
    range: Range<u32>,
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        &self.frame[self.range.start as usize..self.range.end as usize]
    }
}

/// The next part of what a fetch gives: whole blocks, [`overhand_common::message::MAX_BODY`] bytes at most.
#[derive(Debug)]
pub enum Piece {
    /// Blocks in memory, to be sent in this order.
    Memory(Vec<Slice>),
    /// Blocks in a segment; the file may be unlinked meanwhile, it is readable as long as it is held.
    File {
        /// The segment.
        file: Arc<File>,
        /// The bytes of it.
        range: Range<u64>,
    },
}

impl Piece {
    /// Bytes in it.
    pub fn len(&self) -> u64 {
        match self {
            Piece::Memory(slices) => slices.iter().map(|slice| slice.range.len() as u64).sum(),
            Piece::File { range, .. } => range.end - range.start,
        }
    }

    /// Whether there are none: never in a piece that a cursor returned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A fetch under way. It pins no memory between pieces.
pub struct Cursor {}

impl Cursor {
    /// The next piece: at most `max_bytes`, but at least one block. `None` when everything was given.
    /// `DataLost` when blocks that may have been in range are gone: it comes after everything that is still there,
    /// so that a reader who holds all that it expected can go on.
    pub async fn next(&mut self, max_bytes: usize) -> Result<Option<Piece>> {
        let _ = max_bytes;
        todo!()
    }

    /// Reports that the file of the piece that [`Cursor::next`] returned last can't be read: it is taken for lost, and
    /// its folder is probed.
    pub fn read_failed(&self, error: &io::Error) {
        let _ = error;
        todo!()
    }
}

/// The storage of a worker.
pub struct Store {}

impl Store {
    /// Opens the data folders and recovers what is in them. It blocks: call it before serving, or on a blocking thread.
    pub fn open(settings: Settings, metrics: Metrics) -> Result<Arc<Store>> {
        let _ = (settings, metrics);
        todo!()
    }

    /// Who this is: the id stays with the folders, the incarnation grows with every start that does not serve
    /// everything that was acknowledged.
    pub fn worker_id(&self) -> WorkerId {
        todo!()
    }

    /// Waits, in order of arrival, until there is memory for a frame of `len` bytes in `blocks` blocks (the numbers of
    /// the message's header, after [`overhand_common::message::Header::decode`]). `Backpressure` when memory is full and no data folder can
    /// take anything, `Closed` after [`Store::close`].
    pub async fn reserve(&self, len: usize, blocks: u32) -> Result<PooledBuf> {
        let _ = (len, blocks);
        todo!()
    }

    /// Checks and keeps a frame; `body` is exactly what followed the head, `blocks` the number in the header.
    /// When it returns, the frame may be acknowledged.
    pub async fn push(&self, app: &AppId, push: &Push, body: PooledBuf, blocks: u32) -> Result<()> {
        let _ = (app, push, body, blocks);
        todo!()
    }

    /// Begins a fetch. `NotFound` for a shuffle or a shard that is not here.
    pub fn fetch(&self, app: &AppId, fetch: &Fetch) -> Result<Cursor> {
        let _ = (app, fetch);
        todo!()
    }

    /// Deletes a shuffle and leaves a tombstone; no error if it is not there. When it returns, the disk is clean.
    pub async fn remove_shuffle(&self, app: &AppId, shuffle: u32) -> Result<()> {
        let _ = (app, shuffle);
        todo!()
    }

    /// Deletes an application with everything of it, tombstones included; no error if it is not there.
    pub async fn remove_app(&self, app: &AppId) -> Result<()> {
        let _ = app;
        todo!()
    }

    /// The applications that have something here.
    pub fn apps(&self) -> Vec<AppId> {
        todo!()
    }

    /// Everything that there is.
    pub fn describe(&self) -> Description {
        todo!()
    }

    /// Memory and disk.
    pub fn usage(&self) -> Usage {
        todo!()
    }

    /// Sets the gauges (memory, disk, folders, counts) to what is so now: call it before the metrics are rendered.
    pub fn refresh_metrics(&self) {
        todo!()
    }

    /// Refuses everything from now on, flushes all memtables, and marks the shutdown as clean. An error means that the
    /// next start is not clean.
    pub async fn close(&self) -> Result<()> {
        todo!()
    }
}
