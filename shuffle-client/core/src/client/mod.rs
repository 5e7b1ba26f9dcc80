//! One per executor: settings, connections, memory, counters.

use std::{sync::Arc, time::Duration};

use crate::{Attempt, Codec, Placement, ReadRequest, Reader, Result, Writer};

/// The settings of a [`Client`].
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// How blocks are compressed; a run that does not shrink is stored as it is.
    pub codec: Codec,
    /// ZSTD's level.
    pub zstd_level: i32,
    /// Encrypts blocks (AES-GCM) with this key of 16, 24 or 32 bytes.
    pub encryption_key: Option<Vec<u8>>,
    /// How many bytes of records to put into a block, before compression.
    pub block_size: usize,
    /// How many bytes of blocks to put into a frame.
    pub frame_size: usize,
    /// Runs shorter than this wait for the next batch, while [`Self::carry_limit`] allows.
    pub min_block_size: usize,
    /// Per writer: how many bytes of records may wait for the next batch.
    pub carry_limit: usize,
    /// Per writer: how many bytes of frames may be on their way unacknowledged.
    pub write_window: usize,
    /// Per reader: how many bytes of blocks may be on their way or waiting to be decoded.
    pub read_window: usize,
    /// Per reader: how many fetches run at a time.
    pub parallel_fetches: usize,
    /// Per client: how many bytes of unused buffers are kept for the next use.
    pub idle_memory: usize,
    /// Threads that sort, compress and encrypt.
    pub encode_threads: usize,
    /// Threads that send and receive.
    pub io_threads: usize,
    /// How long to wait for a worker to take a connection.
    pub connect_timeout: Duration,
    /// How long a worker may be out of reach before what needs it fails.
    pub retry_for: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            codec: Codec::Lz4,
            zstd_level: 1,
            encryption_key: None,
            block_size: 128 << 10,
            frame_size: 1 << 20,
            min_block_size: 16 << 10,
            carry_limit: 32 << 20,
            write_window: 16 << 20,
            read_window: 8 << 20,
            parallel_fetches: 4,
            idle_memory: 256 << 20,
            encode_threads: 2,
            io_threads: 1,
            connect_timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(20),
        }
    }
}

/// What a client or an application has asked of others so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls to coordinators.
    pub coordinator_calls: u64,
    /// Connections opened to workers.
    pub connections: u64,
    /// Frames sent.
    pub frames: u64,
    /// Fetches sent.
    pub fetches: u64,
    /// Messages that granted credit.
    pub credits: u64,
    /// Messages of blocks received.
    pub data_messages: u64,
    /// Shuffles removed, counted once per worker.
    pub removals: u64,
}

/// Writes and reads shuffles. Cheap to clone: all clones share connections, memory and threads, which go with the last
/// of them (writers and readers count as clones).
#[derive(Debug, Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
}

impl Client {
    /// A client with these settings; it connects to a worker when it first needs it.
    ///
    /// # Errors
    /// `Invalid` if a setting is out of bounds, `Internal` if threads can't be started.
    pub fn new(config: ClientConfig) -> Result<Self> {
        Ok(Self { config: Arc::new(config) })
    }

    /// A writer of one attempt's output.
    ///
    /// # Errors
    /// `Closed` after the client's end.
    pub fn writer(&self, placement: Arc<Placement>, attempt: Attempt) -> Result<Writer> {
        let _ = (placement, attempt, &self.config);
        todo!()
    }

    /// A reader of a range of partitions and map indexes.
    ///
    /// # Errors
    /// `Invalid` if a range is out of bounds or an expected attempt is outside of it.
    pub fn reader(&self, placement: Arc<Placement>, request: ReadRequest) -> Result<Reader> {
        let _ = (placement, request);
        todo!()
    }

    /// How many bytes of records to collect before a [`Writer::push`], so that the runs of `partitions` make decent
    /// blocks.
    pub fn batch_size(&self, partitions: u32) -> usize {
        (partitions as usize).saturating_mul(self.config.min_block_size).clamp(4 << 20, 32 << 20)
    }

    /// Calls and messages so far.
    pub fn counters(&self) -> Counters {
        todo!()
    }

    /// Bytes of buffers in use and kept for the next use, by all writers and readers together.
    pub fn memory(&self) -> usize {
        todo!()
    }
}
