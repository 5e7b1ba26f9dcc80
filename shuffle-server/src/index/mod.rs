//! The index of a data folder: which segments are in it with their cuts, which attempts are committed, and which
//! shuffles were removed; after a clean close also how far the attempts came that were under way, and which epochs take no
//! new data. It is a RocksDB; keys
//! and values are in [`format`].
//!
//! # Losing it
//! Nothing is only here that a reader needs. An index that is gone is rebuilt from the segments, which describe
//! themselves. What is lost then: tombstones (a late push of a removed shuffle is taken, and goes with its application)
//! and the commits (a reader checks completeness itself, by each attempt's last blocks). One that is there but can't be
//! opened is an error that says to move it away: a disk that damages files is for people to look at.
//!
//! # Memory
//! Per data folder: a block cache of [`CACHE`] bytes, which holds index and filter blocks too, and at most
//! [`WRITE_BUFFERS`] write buffers of [`WRITE_BUFFER`] bytes.

pub mod format;
mod open;
mod query;
mod update;

use rocksdb::DB;

pub use update::Update;

/// Bytes of the block cache.
pub const CACHE: usize = 16 << 20;
/// Bytes of a write buffer.
pub const WRITE_BUFFER: usize = 4 << 20;
/// The most write buffers.
pub const WRITE_BUFFERS: i32 = 2;

/// A data folder's index.
pub struct Index {
    db: DB,
}

#[cfg(test)]
mod tests;
