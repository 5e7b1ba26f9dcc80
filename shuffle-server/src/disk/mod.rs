//! The data folders: what is in them, which of them take data, and how they fail.
//!
//! # Layout of a data folder
//! | path | what |
//! |---|---|
//! | `LOCK` | held (`flock`) by the process that uses the folder |
//! | `worker.json` | whose folder it is: see [`Membership`] |
//! | `index/` | RocksDB: see [`crate::index`] |
//! | `segments/APP/SHUFFLE-SHARD-EPOCH-NUMBER.seg` | a segment |
//! | `….seg.tmp` | a segment that is being written; one found at start was never finished, and goes |
//!
//! # Parts
//! - [`Medium`]: what is asked of the file system, so that tests can make it fail.
//! - [`Folder`]: one data folder: its paths, its lock, its health, its latency.
//! - [`Folders`]: all of them, and which one takes the next segment.

mod folder;
mod medium;
mod membership;
mod paths;
mod placement;

pub use folder::{Folder, Health};
pub use medium::{Medium, RealMedium, Space};
pub use membership::{Member, Membership};
pub use paths::{SegmentName, segments_dir};
pub use placement::Folders;

#[cfg(test)]
mod tests;
