//! The inner loops of writers and readers, one by one.

use overhand_common::block::{Block, Codec, Flags, HEADER_LEN, Header};

use crate::{
    Attempt, Result,
    codec::{Effort, Packer, Unpacker},
    pool::Pool,
    writer::{Chunk, Index},
};

/// What a writer does before it compresses: sorts a batch of records by partition and gathers each partition's items.
#[derive(Debug)]
pub struct Scatter {
    index: Index,
    chunks: Vec<(Chunk, usize)>,
    gathered: Vec<u8>,
}

impl Scatter {
    /// A batch of packed records, as of [`Chunk`].
    ///
    /// # Errors
    /// `Internal` if there is no memory.
    pub fn new(records: &[u8]) -> Result<Self> {
        let mut chunk = Chunk::new(Pool::new(0).take(records.len())?);
        chunk.as_mut_slice()[..records.len()].copy_from_slice(records);
        let (index, chunks) = (Index::default(), vec![(chunk, records.len())]);
        Ok(Self { index, chunks, gathered: vec![0; records.len()] })
    }

    /// Sorts and gathers the batch; returns the bytes of all items.
    ///
    /// # Errors
    /// `Invalid` if the records are not as they should be.
    pub fn run(&mut self, partitions: u32) -> Result<usize> {
        self.index.build(&self.chunks, partitions)?;
        let mut len = 0;
        for partition in 0..partitions {
            for item in self.index.items(&self.chunks, partition) {
                self.gathered[len..][..item.len()].copy_from_slice(item);
                len += item.len();
            }
        }
        Ok(len)
    }
}

/// Payloads into blocks and back.
#[derive(Debug)]
pub struct Blocks {
    packer: Packer,
    unpacker: Unpacker,
    effort: Effort,
    block: Vec<u8>,
    raw: Vec<u8>,
}

impl Blocks {
    /// For payloads of up to `most` bytes.
    ///
    /// # Errors
    /// `Internal` if the codec can't be set up.
    pub fn new(codec: Codec, most: usize) -> Result<Self> {
        let block = vec![0; HEADER_LEN + Packer::bound(most)];
        let (packer, unpacker) = (Packer::new(codec, 1, None)?, Unpacker::new(None));
        Ok(Self { packer, unpacker, effort: Effort::default(), block, raw: vec![0; most] })
    }

    /// Compresses, if that pays, and seals a block; returns it whole.
    ///
    /// # Errors
    /// `Internal` if the codec fails.
    pub fn pack(&mut self, raw: &[u8]) -> Result<&[u8]> {
        let attempt = Attempt { map_index: 1, attempt: 2 };
        let (codec, flags) = (Codec::None, Flags::LAST);
        let mut header = Header { payload_len: 0, raw_len: 0, codec, flags, partition: 3, attempt, seq: 0, items: 1 };
        self.packer.pack(raw, &mut self.effort, &mut header, &mut self.block[HEADER_LEN..])?;
        let block = &mut self.block[..header.block_len()];
        header.seal(block);
        Ok(block)
    }

    /// Checks a block and takes out its payload.
    ///
    /// # Errors
    /// `DataLost` if it is damaged.
    pub fn unpack(&mut self, block: &mut [u8]) -> Result<&[u8]> {
        let header = Block::split(block)?.0.header;
        let out = &mut self.raw[..header.raw_len as usize];
        self.unpacker.unpack(&header, &mut block[HEADER_LEN..], out)?;
        Ok(out)
    }
}
