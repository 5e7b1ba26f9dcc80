//! From messages of blocks to batches of items.

use overhand_common::block::{Block, Flags, HEADER_LEN, Header};

use super::{
    Batch, Expected, ReadStats,
    large::{Item, Large, Part},
    wanted::Wanted,
};
use crate::{
    ErrorKind, Result,
    codec::Unpacker,
    pool::{Buffer, Pool},
};

/// A batch is closed when the next block does not fit in: small enough to stay in the cache until it is read.
const BATCH_SIZE: usize = 256 << 10;

/// A message's body, and how far it was decoded.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) fetch: u64,
    pub(super) buffer: Buffer,
    pub(super) len: usize,
    pub(super) at: usize,
    /// Something in it was not as it was written.
    pub(super) damage: Option<String>,
}

/// Decodes blocks that are wanted and have not been decoded yet.
#[derive(Debug)]
pub(super) struct Decoder {
    pool: Pool,
    unpacker: Unpacker,
    pub(super) wanted: Wanted,
    pub(super) large: Large,
    open: Option<Batch>,
    pub(super) stats: ReadStats,
}

impl Decoder {
    pub(super) fn new(pool: Pool, unpacker: Unpacker, wanted: Wanted) -> Self {
        let (large, stats) = (Large::default(), ReadStats::default());
        Self { pool, unpacker, wanted, large, open: None, stats }
    }

    /// The next batch of a body; none when the body is used up.
    ///
    /// # Errors
    /// `Invalid` if the blocks can't be read with these settings at all. A damaged block is no error: it is noted in
    /// the body, and does not count as arrived.
    pub(super) fn next(&mut self, body: &mut Body) -> Result<Option<Batch>> {
        while body.at < body.len {
            let bytes = &mut body.buffer[body.at..body.len];
            let header = match Header::decode(bytes) {
                Ok((header, _)) if header.block_len() <= bytes.len() => header,
                Ok((header, _)) => {
                    let text = format!("a block of {} bytes, {} are left", header.block_len(), bytes.len());
                    body.damage.get_or_insert(text);
                    body.at = body.len;
                    break;
                }
                Err(error) => {
                    body.damage.get_or_insert(error.to_string());
                    body.at = body.len;
                    break;
                }
            };
            let what = Expected { partition: header.partition, attempt: header.attempt };
            let Some(piece) = self.wanted.find(what).filter(|piece| !self.wanted.has(*piece, header.seq)) else {
                self.stats.dropped_blocks += 1;
                body.at += header.block_len();
                continue;
            };
            let alone = header.flags.has(Flags::CONTINUES) || (header.items == 0 && header.raw_len > 0);
            if !alone && self.open.as_ref().is_some_and(|open| !open.takes(&header)) {
                return Ok(self.close());
            }
            body.at += header.block_len();
            let block = &mut bytes[..header.block_len()];
            let item = match self.block(piece, &header, block, alone) {
                Ok(item) => item,
                Err(error) if error.kind() == ErrorKind::DataLost => {
                    body.damage.get_or_insert(error.message().to_owned());
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(Item { buffer, len }) = item {
                return Ok(Some(self.count(Batch { buffer, len, partition: header.partition, items: 1 })));
            }
        }
        Ok(self.close())
    }

    fn close(&mut self) -> Option<Batch> {
        let batch = self.open.take()?;
        Some(self.count(batch))
    }

    fn count(&mut self, batch: Batch) -> Batch {
        self.stats.items += batch.items;
        self.stats.raw_bytes += batch.len as u64;
        batch
    }

    /// Checks and decodes one block; returns an item if the block ends a large one.
    fn block(&mut self, piece: usize, header: &Header, block: &mut [u8], alone: bool) -> Result<Option<Item>> {
        Block::split(block).map_err(|error| crate::Error::new(ErrorKind::DataLost, error.to_string()))?;
        let payload = &mut block[HEADER_LEN..];
        let raw_len = header.raw_len as usize;
        let mut item = None;
        let at = |error: crate::Error| {
            error.context(format!("partition {} {} block {}", header.partition, header.attempt, header.seq))
        };
        if alone {
            let mut buffer = self.pool.take(raw_len)?;
            self.unpacker.unpack(header, payload, &mut buffer[..raw_len]).map_err(at)?;
            let continues = header.flags.has(Flags::CONTINUES);
            let part = Part { buffer, len: raw_len, begins: header.items > 0, continues };
            // A part that does not fit with the others is not damage that another copy may not have.
            match self.large.add(&self.pool, piece, header.seq, part) {
                Ok(whole) => item = whole,
                Err(error) if error.kind() == ErrorKind::DataLost => self.wanted.breaks(piece),
                Err(error) => return Err(error),
            }
        } else if raw_len > 0 {
            let open = match &mut self.open {
                Some(open) => open,
                none => {
                    let buffer = self.pool.take(raw_len.max(BATCH_SIZE))?;
                    none.insert(Batch { buffer, len: 0, partition: header.partition, items: 0 })
                }
            };
            let room = &mut open.buffer[open.len..open.len + raw_len];
            self.unpacker.unpack(header, payload, room).map_err(at)?;
            open.len += raw_len;
            open.items += u64::from(header.items);
        }
        self.wanted.arrived(piece, header.seq, header.flags.has(Flags::LAST));
        self.stats.blocks += 1;
        self.stats.stored_bytes += header.block_len() as u64;
        Ok(item)
    }
}

impl Batch {
    fn takes(&self, header: &Header) -> bool {
        self.partition == header.partition && self.len + header.raw_len as usize <= self.buffer.len()
    }
}
