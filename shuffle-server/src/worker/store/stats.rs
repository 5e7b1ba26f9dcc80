//! What the store says about itself.

use std::path::PathBuf;

use overhand_common::ids::AppId;

/// Memory and disk, all folders together. Sizes are in bytes.
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
    /// How often a folder was taken for lost since the start: see [`Folder::tally`](crate::disk::Folder::tally).
    pub disks_lost: u64,
}

/// What there is, for `overhand status`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// The data folders, as they were given.
    pub disks: Vec<DiskStats>,
    /// The applications by id.
    pub apps: Vec<AppStats>,
}

/// What an application holds, in memory and on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The application.
    pub app: AppId,
    /// Bytes of blocks and segments.
    pub bytes: u64,
    /// Shuffles that have any.
    pub shuffles: u32,
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
    /// Bytes of blocks in memtables.
    pub memory_bytes: u64,
    /// Bytes in segments.
    pub disk_bytes: u64,
    /// Blocks in both.
    pub blocks: u64,
    /// Attempts that were committed, counted once per shard.
    pub commits: u64,
}
