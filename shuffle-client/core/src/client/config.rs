//! The settings of a client.

use std::time::Duration;

use overhand_common::{block, message};

use crate::{Codec, Error, ErrorKind, Result};

/// The settings of a [`Client`](crate::Client).
#[derive(Clone)]
pub struct ClientConfig {
    /// How blocks are compressed; what does not shrink is stored as it is.
    pub codec: Codec,
    /// ZSTD's level.
    pub zstd_level: i32,
    /// Encrypts blocks (AES-GCM) with this key of 16, 24 or 32 bytes.
    pub encryption_key: Option<Vec<u8>>,
    /// How many bytes of records to put into a block, before compression: 1 KiB to 1 MiB.
    pub block_size: usize,
    /// How many bytes of blocks to put into a frame: at least a block, at most 8 MiB.
    pub frame_size: usize,
    /// Runs shorter than this wait for the next batch, while [`Self::carry_limit`] allows; those shorter than a quarter
    /// of it where short blocks shrink as much as long ones.
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
    /// How long a worker may owe an answer with nothing moving before the connection is given up and made again.
    pub answer_timeout: Duration,
    /// How long a worker may owe an answer and say nothing at all before it is taken for gone. Live ones say that they
    /// are busy each second.
    pub silence: Duration,
    /// How long a worker may be out of reach before what needs it fails.
    pub retry_for: Duration,
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig")
            .field("codec", &self.codec)
            .field("encrypts", &self.encryption_key.is_some())
            .field("block_size", &self.block_size)
            .field("frame_size", &self.frame_size)
            .finish_non_exhaustive()
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            codec: Codec::Lz4,
            zstd_level: 1,
            encryption_key: None,
            block_size: 64 << 10,
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
            answer_timeout: Duration::from_secs(120),
            silence: Duration::from_secs(10),
            retry_for: Duration::from_secs(20),
        }
    }
}

impl ClientConfig {
    /// Every setting that is out of bounds, in one error.
    pub(super) fn validate(&self) -> Result<()> {
        let mut wrong = vec![];
        if !(1 << 10..=block::MAX_RAW / 4).contains(&self.block_size) {
            wrong.push(format!("block_size {} (1 KiB to 1 MiB)", self.block_size));
        }
        if !(self.block_size..=message::MAX_BODY / 2).contains(&self.frame_size) {
            wrong.push(format!("frame_size {} (block_size to 8 MiB)", self.frame_size));
        }
        if self.min_block_size > self.block_size {
            wrong.push(format!("min_block_size {} (up to block_size)", self.min_block_size));
        }
        if self.carry_limit > 1 << 30 {
            wrong.push(format!("carry_limit {} (up to 1 GiB)", self.carry_limit));
        }
        let threads = 1..=256;
        for (name, value) in [("encode_threads", self.encode_threads), ("io_threads", self.io_threads)] {
            if !threads.contains(&value) {
                wrong.push(format!("{name} {value} (1 to 256)"));
            }
        }
        if self.parallel_fetches == 0 || self.read_window < self.parallel_fetches {
            wrong.push("parallel_fetches and read_window (1 or more, and a byte for each fetch)".to_owned());
        }
        if self.silence < Duration::from_millis(100) {
            wrong.push(format!("silence {:?} (100 ms or more)", self.silence));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Invalid, format!("settings out of bounds: {}", wrong.join(", "))))
    }
}
