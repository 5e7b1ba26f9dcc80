//! Segments on disk: the files that memtables become. Their format is [`overhand_common::segment`].
//!
//! - [`write`]: one sequential sweep over the sorted blocks of a memtable.
//! - [`inspect`]: what a file says about itself, for an index that was lost.
//! - [`Segment`]: a finished one: where it is, and how long.
//! - [`find`]: the place in a segment where a read that began in the memtable goes on.
//!
//! # What is checked when
//! A block's CRC is checked before it is written; one that does not match is left out, loudly, and its reader finds
//! the gap. Preamble, cuts and trailer carry checksums that are checked when a segment is taken into an index. The
//! blocks of a file are not read at recovery: a flipped bit in one is found by the CRC check of whoever reads it, which
//! makes Spark redo that map task.

mod handle;
mod inspect;
mod scan;
mod write;

pub use handle::{Extent, Segment};
pub use inspect::{Inspected, inspect};
pub use scan::{Position, find};
pub use write::{Source, Written, write};

#[cfg(test)]
mod tests;
