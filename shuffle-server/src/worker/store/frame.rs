//! A frame as it came, and the blocks in it.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use overhand_common::{
    Error, ErrorKind, Malformed, Result,
    block::{Block, Header},
    ids::{Attempt, ShardKey},
    message::{Fin, Push},
};

use crate::{memory::PooledBuf, segment::Position};

/// What a block takes of memory beside its bytes: its entry, once as it came and once sorted.
pub const BLOCK_OVERHEAD: usize = 2 * size_of::<Entry>();

/// Where an attempt stands on a shard; shared by its frames, so that a reader need not look it up.
#[derive(Debug, Default)]
pub struct Mark(AtomicU8);

impl Mark {
    const COMMITTED: u8 = 1;
    const DROPPED: u8 = 2;

    /// All that counts of it is here.
    pub fn commit(&self) {
        self.0.store(Self::COMMITTED, Ordering::Release);
    }

    /// Nobody will ever see its blocks.
    pub fn drop_attempt(&self) {
        self.0.store(Self::DROPPED, Ordering::Release);
    }

    /// Whether all that counts of it is here.
    pub fn is_committed(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::COMMITTED
    }

    /// Whether nobody will ever see its blocks.
    pub fn is_dropped(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::DROPPED
    }
}

/// A frame's memory and whose it is.
#[derive(Debug)]
pub struct Frame {
    /// The body as it came; shared with what forwards it to the next worker of the chain.
    pub body: Arc<PooledBuf>,
    /// Its attempt's.
    pub mark: Arc<Mark>,
}

/// A block in memory: its place in the order, and where it is.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The attempt.
    pub attempt: u64,
    /// The partition.
    pub partition: u32,
    /// The map index.
    pub map_index: u32,
    /// The sequence number.
    pub seq: u32,
    /// The frame's place in its memtable.
    pub frame: u32,
    /// Where the block begins in the frame.
    pub offset: u32,
    /// Header and payload, in bytes.
    pub len: u32,
}

impl Entry {
    /// Its place in the order.
    pub fn position(&self) -> Position {
        let Self { partition, map_index, attempt, seq, .. } = *self;
        Position { partition, map_index, attempt, seq }
    }
}

/// A frame whose blocks were all checked.
#[derive(Debug)]
pub struct Checked {
    /// Its blocks as they came; their `frame` is not set.
    pub entries: Box<[Entry]>,
    /// What it adds to what a [`Fin`] says.
    pub sums: Fin,
}

/// Checks that `body` is exactly `blocks` blocks of the push's attempt with partitions in `partitions` (the shard's),
/// each with the right checksum.
pub fn check(push: &Push, partitions: Range<u32>, body: &[u8], blocks: u32) -> Result<Checked> {
    check_blocks(Some(push.attempt), partitions, body, blocks).map_err(|what| {
        Error::new(ErrorKind::Invalid, format!("{} {} frame {}: {what}", push.key, push.attempt, push.frame))
    })
}

/// Checks that `body`, a part of a copy of `key`, is exactly `blocks` blocks of any attempts with partitions in
/// `partitions`, each with the right checksum. `DataLost` if it is not: the copy's source is damaged.
pub fn check_copy(key: &ShardKey, partitions: Range<u32>, body: &[u8], blocks: u32) -> Result<Checked> {
    let damaged = |what| Error::new(ErrorKind::DataLost, format!("{key}: a part of a copy: {what}"));
    check_blocks(None, partitions, body, blocks).map_err(damaged)
}

/// How many blocks `body` has, as far as their headers tell.
pub fn count(body: &[u8]) -> Result<u32, Malformed> {
    let (mut at, mut blocks) = (0, 0);
    while at < body.len() {
        at += Header::decode(&body[at..])?.0.block_len();
        blocks += 1;
    }
    Ok(blocks)
}

/// `attempt`: whose they must all be.
fn check_blocks(attempt: Option<Attempt>, partitions: Range<u32>, body: &[u8], blocks: u32) -> Result<Checked, String> {
    let mut entries = Vec::with_capacity(blocks as usize);
    let mut crc_xor = 0;
    let mut rest = body;
    while !rest.is_empty() {
        let offset = body.len() - rest.len();
        let (block, after) = Block::split(rest).map_err(|malformed| malformed.to_string())?;
        let header = block.header;
        if attempt.is_some_and(|attempt| attempt != header.attempt) {
            return Err(format!("a block of {} is in it", header.attempt));
        }
        if !partitions.contains(&header.partition) {
            return Err(format!("partition {} is not one of {partitions:?}", header.partition));
        }
        if entries.len() == blocks as usize {
            return Err(format!("it has more than the {blocks} blocks that it announces"));
        }
        crc_xor ^= block.crc;
        entries.push(Entry {
            attempt: header.attempt.attempt,
            partition: header.partition,
            map_index: header.attempt.map_index,
            seq: header.seq,
            frame: 0,
            offset: offset as u32,
            len: header.block_len() as u32,
        });
        rest = after;
    }
    if entries.len() != blocks as usize {
        return Err(format!("it has {} blocks and announces {blocks}", entries.len()));
    }
    let sums = Fin { frames: 1, blocks: u64::from(blocks), bytes: body.len() as u64, crc_xor };
    Ok(Checked { entries: entries.into(), sums })
}

/// Blocks of a frame in memory; keeps the frame's memory while it lives.
#[derive(Debug, Clone)]
pub struct Slice {
    frame: Arc<Frame>,
    range: Range<u32>,
}

impl Slice {
    /// The block of `entry`.
    pub(super) fn new(frame: &Arc<Frame>, entry: &Entry) -> Self {
        Self { frame: frame.clone(), range: entry.offset..entry.offset + entry.len }
    }

    /// Takes in the block of `entry` if it follows in the same frame.
    pub(super) fn extend(&mut self, frame: &Arc<Frame>, entry: &Entry) -> bool {
        let follows = Arc::ptr_eq(&self.frame, frame) && self.range.end == entry.offset;
        if follows {
            self.range.end += entry.len;
        }
        follows
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has none: never, in a piece.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        &self.frame.body[self.range.start as usize..self.range.end as usize]
    }
}
