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
//! - [`Folder`]: one data folder: its paths, its lock, its health, its latency, and threads of its own.
//! - [`Folders`]: all of them, and which one takes the next segment.
//!
//! # A disk that hangs
//! Writes and probes are done on the folder's own threads ([`Folder::begin`]). Who waits for one ([`Folder::finish`])
//! gives up when a single step of it takes too long: the folder is out of placement at once, and the caller goes on with
//! another one. The thread stays where it hangs, with what it writes; no more is begun there before it comes back.

mod folder;
mod medium;
mod membership;
mod paths;
mod placement;
mod threads;
mod watch;

pub use folder::{Folder, Health};
pub use medium::{Medium, RealMedium, Space};
pub use membership::{Member, Membership};
pub use paths::{SegmentName, segments_dir};
pub use placement::Folders;
pub use watch::{Task, Watch, Watched};

#[cfg(test)]
mod tests;
