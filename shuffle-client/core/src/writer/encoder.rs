//! From a batch of records to blocks.
//!
//! A partition's run is what the batch has for it, after what earlier batches left. A run that is long enough becomes
//! blocks at once; a short one waits for the next batch, while its memory is not needed: then the longest go first.

use overhand_common::block::Flags;

use super::{Chunk, WriteStats, index::Index, output::Output};
use crate::{
    Result,
    client::ClientConfig,
    codec::Packer,
    pool::{Buffer, Pool},
};

/// What encoding needs and one batch after the other can use.
#[derive(Debug)]
pub(crate) struct Workspace {
    index: Index,
    /// A block's items, one after another.
    raw: Vec<u8>,
    packer: Packer,
}

impl Workspace {
    pub(super) fn new(config: &ClientConfig, packer: Packer) -> Self {
        Self { index: Index::default(), raw: vec![0; 2 * config.block_size], packer }
    }
}

/// A run that waits.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    start: u32,
    len: u32,
    items: u32,
}

/// Runs that wait for the next batch, with their items packed as in a block.
#[derive(Debug, Default)]
struct Carry {
    /// Per partition; empty while none waits.
    runs: Vec<Run>,
    buffer: Option<Buffer>,
}

impl Carry {
    fn run(&self, partition: u32) -> Run {
        self.runs.get(partition as usize).copied().unwrap_or_default()
    }

    fn bytes(&self, run: Run) -> &[u8] {
        match &self.buffer {
            Some(buffer) => &buffer[run.start as usize..][..run.len as usize],
            None => &[],
        }
    }
}

/// Encodes the batches of one writer.
#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) output: Output,
    partitions: u32,
    shards: Vec<std::ops::Range<u32>>,
    block_size: usize,
    min_block_size: usize,
    carry_limit: usize,
    pool: Pool,
    carry: Carry,
    records: u64,
    raw_bytes: u64,
}

impl Encoder {
    pub(super) fn new(output: Output, layout: crate::Layout, config: &ClientConfig, pool: Pool) -> Self {
        Self {
            output,
            partitions: layout.partitions(),
            shards: (0..layout.shards()).map(|shard| layout.range(shard)).collect(),
            block_size: config.block_size,
            min_block_size: config.min_block_size,
            carry_limit: config.carry_limit,
            pool,
            carry: Carry::default(),
            records: 0,
            raw_bytes: 0,
        }
    }

    /// Encodes a batch; after the `last` one everything was given to the links.
    pub(super) fn batch(&mut self, space: &mut Workspace, chunks: &[(Chunk, usize)], last: bool) -> Result<()> {
        space.index.build(chunks, self.partitions)?;
        self.records += space.index.records() as u64;
        let (from, carried) = if last { (0, 0) } else { self.cut(&space.index) };
        let old = std::mem::take(&mut self.carry);
        let mut next = Next::new(&self.pool, self.partitions, carried)?;
        for shard in 0..self.shards.len() {
            let range = self.shards[shard].clone();
            let total = |partition| old.run(partition).len as usize + space.index.bytes(partition);
            let mut ahead: usize = range.clone().map(total).filter(|total| *total >= from).sum();
            for partition in range {
                let total = old.run(partition).len as usize + space.index.bytes(partition);
                self.raw_bytes += space.index.bytes(partition) as u64;
                if total == 0 {
                    if last && self.output.has(partition) {
                        let place = (partition, 0, Flags::LAST);
                        self.output.block(&mut space.packer, shard as u32, 0, place, &[])?;
                    }
                } else if total < from {
                    next.keep(partition, &old, space.index.items(chunks, partition));
                } else {
                    let mut run = Blocks {
                        output: &mut self.output,
                        packer: &mut space.packer,
                        raw: &mut space.raw,
                        len: 0,
                        items: 0,
                        left: total,
                        ahead,
                        shard: shard as u32,
                        partition,
                        last,
                    };
                    run.encode(self.block_size, &old, space.index.items(chunks, partition))?;
                    ahead -= total;
                }
            }
            self.output.flush(shard as u32, last)?;
        }
        self.carry = next.carry;
        Ok(())
    }

    /// From which length on runs become blocks now, and how many bytes the shorter ones have.
    fn cut(&self, index: &Index) -> (usize, usize) {
        let total = |partition| self.carry.run(partition).len as usize + index.bytes(partition);
        // Waiting is a copy, and pays where longer blocks compress better.
        let least = if self.output.compresses_alike() { self.min_block_size / 4 } else { self.min_block_size };
        let short = |total: &usize| *total > 0 && *total < least;
        let carried: usize = (0..self.partitions).map(total).filter(short).sum();
        if carried <= self.carry_limit {
            return (least, carried);
        }
        let mut runs: Vec<usize> = (0..self.partitions).map(total).filter(short).collect();
        runs.sort_unstable_by(|a, b| b.cmp(a));
        let mut left = carried;
        let mut from = least;
        for run in runs {
            if left <= self.carry_limit / 2 && run < from {
                break;
            }
            left -= run;
            from = run;
        }
        (from, left)
    }

    /// What was done so far.
    pub(super) fn stats(&self) -> WriteStats {
        let (stored_bytes, blocks, frames) = self.output.totals();
        let held_bytes = self.carry.buffer.as_ref().map_or(0, |buffer| buffer.len() as u64);
        let (records, raw_bytes) = (self.records, self.raw_bytes);
        WriteStats { records, raw_bytes, stored_bytes, blocks, frames, wait_nanos: 0, held_bytes }
    }
}

/// The carry of the next batch while it is filled.
struct Next {
    carry: Carry,
    len: usize,
}

impl Next {
    fn new(pool: &Pool, partitions: u32, bytes: usize) -> Result<Self> {
        if bytes == 0 {
            return Ok(Self { carry: Carry::default(), len: 0 });
        }
        let runs = vec![Run::default(); partitions as usize];
        Ok(Self { carry: Carry { runs, buffer: Some(pool.take(bytes)?) }, len: 0 })
    }

    fn keep<'a>(&mut self, partition: u32, old: &'a Carry, items: impl ExactSizeIterator<Item = &'a [u8]>) {
        let before = old.run(partition);
        let count = before.items + items.len() as u32;
        let start = self.len;
        let buffer = self.carry.buffer.as_mut().expect("it was made for all runs that are kept");
        for piece in std::iter::once(old.bytes(before)).chain(items) {
            buffer[self.len..][..piece.len()].copy_from_slice(piece);
            self.len += piece.len();
        }
        let len = (self.len - start) as u32;
        self.carry.runs[partition as usize] = Run { start: start as u32, len, items: count };
    }
}

/// Cuts one run into blocks.
struct Blocks<'a> {
    output: &'a mut Output,
    packer: &'a mut Packer,
    raw: &'a mut [u8],
    /// Bytes and items in `raw`.
    len: usize,
    items: u32,
    /// Bytes of the run that are in no block yet.
    left: usize,
    /// Bytes that the shard will still get.
    ahead: usize,
    shard: u32,
    partition: u32,
    /// It is the partition's last run.
    last: bool,
}

impl Blocks<'_> {
    /// Cuts blocks of about the same size, none of more than `block_size` and an item.
    fn encode<'a>(
        &mut self,
        block_size: usize,
        old: &Carry,
        items: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<()> {
        let target = self.left.div_ceil(self.left.div_ceil(block_size));
        let before = old.run(self.partition);
        self.add(old.bytes(before), before.items);
        for item in items {
            if item.len() > block_size {
                self.cut()?;
                self.large(item, block_size)?;
                continue;
            }
            if self.len >= target {
                self.cut()?;
            }
            self.add(item, 1);
        }
        self.cut()
    }

    fn add(&mut self, bytes: &[u8], items: u32) {
        self.raw[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        self.items += items;
    }

    fn cut(&mut self) -> Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        let (len, items) = (std::mem::take(&mut self.len), std::mem::take(&mut self.items));
        let place = (self.partition, items, self.flags(len));
        self.output.block(self.packer, self.shard, self.ahead, place, &self.raw[..len])?;
        self.used(len);
        Ok(())
    }

    /// An item in blocks of its own, that nothing else is in.
    fn large(&mut self, item: &[u8], block_size: usize) -> Result<()> {
        let mut begins = 1;
        let mut parts = item.chunks(block_size).peekable();
        while let Some(part) = parts.next() {
            let mut flags = self.flags(part.len());
            if parts.peek().is_some() {
                flags = flags.with(Flags::CONTINUES);
            }
            let place = (self.partition, begins, flags);
            self.output.block(self.packer, self.shard, self.ahead, place, part)?;
            self.used(part.len());
            begins = 0;
        }
        Ok(())
    }

    fn flags(&self, len: usize) -> Flags {
        if self.last && len == self.left { Flags::LAST } else { Flags::default() }
    }

    fn used(&mut self, len: usize) {
        self.left -= len;
        self.ahead -= len;
    }
}
