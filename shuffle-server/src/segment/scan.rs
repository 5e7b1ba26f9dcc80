//! Finding a block in a piece of a segment.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use overhand_common::block::{HEADER_LEN, Header};

/// A block's place in the order of memtables and segments: partition, map index, attempt, sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The partition.
    pub partition: u32,
    /// The map index.
    pub map_index: u32,
    /// The attempt.
    pub attempt: u64,
    /// The sequence number.
    pub seq: u32,
}

impl Position {
    /// The place of the block with this header.
    pub fn of(header: &Header) -> Self {
        let Header { partition, attempt, seq, .. } = *header;
        Self { partition, map_index: attempt.map_index, attempt: attempt.attempt, seq }
    }
}

/// Where in `range` (whole blocks of a segment) the first block after `position` begins; the range's end if none does.
pub fn find(file: &File, range: Range<u64>, position: Position) -> io::Result<u64> {
    let mut at = range.start;
    while at < range.end {
        let mut bytes = [0; HEADER_LEN];
        file.read_exact_at(&mut bytes, at)?;
        let (header, _) = Header::decode(&bytes)
            .map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed.to_string()))?;
        if Position::of(&header) > position {
            return Ok(at);
        }
        at += header.block_len() as u64;
    }
    Ok(range.end)
}
