//! How a store is set up.

use std::{path::PathBuf, time::Duration};

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
    /// Bytes at which a shard's memtable is sealed: what a segment has at most, and what a flush frees at a time. As long
    /// as memory lasts it stays in memory: writing what is deleted soon after is the dearest thing to do with it.
    pub memtable_max: u64,
    /// What an acknowledged FIN means.
    pub durability: Durability,
    /// Bytes that are left free on each data folder's file system.
    pub disk_reserve: u64,
    /// Bytes of a shard's epoch, in memory and on disk, beyond which its writers are told to go on in a new epoch; 0:
    /// they never are.
    pub split_size: u64,
    /// Threads that write segments; 0: none, and none that probes: who holds the store calls `Store::flush_some` and
    /// `Store::probe` (for simulations).
    pub flush_threads: usize,
    /// How often the data folders are probed for free space and for being writable.
    pub probe_interval: Duration,
    /// How long one step of writing to a data folder may take before the folder is taken out of placement.
    pub stall_timeout: Duration,
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
            split_size: 2 << 30,
            flush_threads: 2,
            probe_interval: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(10),
        }
    }
}
