//! Blocks and frames of one attempt: numbering, what a worker must hold at the end, and the way out.

use std::sync::Arc;

use overhand_common::{
    block::{Codec, Flags, HEADER_LEN, Header},
    ids::ShardKey,
    message::{Fin, Last, Push, VERSION},
};

use crate::{
    Attempt, Placement, Result,
    client::Shared,
    codec::{Effort, Packer},
    link::{
        flow::Flow,
        push::{Frame, PushLink},
    },
    pool::Buffer,
};

/// A frame that is being filled.
#[derive(Debug)]
struct Open {
    shard: u32,
    body: Buffer,
    len: usize,
    blocks: u32,
}

/// What was sent to one shard.
#[derive(Debug, Default)]
struct Sent {
    link: Option<Arc<PushLink>>,
    fin: Fin,
}

/// The output of one attempt.
#[derive(Debug)]
pub(super) struct Output {
    client: Arc<Shared>,
    placement: Arc<Placement>,
    attempt: Attempt,
    flow: Arc<Flow>,
    effort: Effort,
    open: Option<Open>,
    shards: Vec<Sent>,
    /// Per partition, blocks made.
    blocks: Vec<u32>,
    /// Per partition, bytes of blocks made.
    stored: Vec<u64>,
}

impl Output {
    pub(super) fn new(client: Arc<Shared>, placement: Arc<Placement>, attempt: Attempt, flow: Arc<Flow>) -> Self {
        let partitions = placement.layout.partitions() as usize;
        let shards = (0..placement.layout.shards()).map(|_| Sent::default()).collect();
        let (blocks, stored) = (vec![0; partitions], vec![0; partitions]);
        Self { client, placement, attempt, flow, effort: Effort::default(), open: None, shards, blocks, stored }
    }

    /// Whether the partition has any block.
    pub(super) fn has(&self, partition: u32) -> bool {
        self.blocks[partition as usize] > 0
    }

    /// Makes the next block of a partition of `shard`, and sends the frame before it if that is full. `ahead` is how
    /// many bytes of items the shard will still get in this batch, this block's included.
    pub(super) fn block(
        &mut self,
        packer: &mut Packer,
        shard: u32,
        ahead: usize,
        (partition, items, flags): (u32, u32, Flags),
        raw: &[u8],
    ) -> Result<()> {
        let need = HEADER_LEN + Packer::bound(raw.len());
        if self.open.as_ref().is_some_and(|open| open.shard != shard || open.len + need > open.body.len()) {
            self.send(false)?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let len = self.client.config.frame_size.min(ahead + ahead / 8 + 4096).max(need);
                none.insert(Open { shard, body: self.client.pool.take(len)?, len: 0, blocks: 0 })
            }
        };
        let number = &mut self.blocks[partition as usize];
        let mut header = Header {
            payload_len: 0,
            raw_len: 0,
            codec: Codec::None,
            flags,
            partition,
            attempt: self.attempt,
            seq: *number,
            items,
        };
        let room = &mut open.body[open.len..];
        packer.pack(raw, &mut self.effort, &mut header, &mut room[HEADER_LEN..])?;
        let len = header.block_len();
        header.seal(&mut room[..len]);
        let crc = u32::from_le_bytes([room[0], room[1], room[2], room[3]]);
        *number += 1;
        self.stored[partition as usize] += len as u64;
        open.len += len;
        open.blocks += 1;
        let fin = &mut self.shards[shard as usize].fin;
        fin.blocks += 1;
        fin.bytes += len as u64;
        fin.crc_xor ^= crc;
        Ok(())
    }

    /// Sends what is in work for `shard`; with `fin`, closes the attempt there if the shard got anything.
    pub(super) fn flush(&mut self, shard: u32, fin: bool) -> Result<()> {
        if self.open.is_none() && fin && self.shards[shard as usize].fin.blocks > 0 {
            return self.send_frame(shard, None, 0, 0, true);
        }
        self.send(fin)
    }

    fn send(&mut self, fin: bool) -> Result<()> {
        match self.open.take() {
            Some(open) => self.send_frame(open.shard, Some(open.body), open.len, open.blocks, fin),
            None => Ok(()),
        }
    }

    fn send_frame(&mut self, shard: u32, body: Option<Buffer>, len: usize, blocks: u32, fin: bool) -> Result<()> {
        let cost = body.as_ref().map_or(0, |body| body.len());
        self.flow.enter(cost)?;
        let sent = &mut self.shards[shard as usize];
        let epoch = self.placement.current(shard);
        let number = sent.fin.frames;
        sent.fin.frames += 1;
        let push = Push {
            key: ShardKey { shuffle: self.placement.shuffle, shard, epoch: epoch.epoch },
            layout: self.placement.layout,
            attempt: self.attempt,
            frame: number,
            last: fin.then_some(Last::Whole(sent.fin)),
            chain: epoch.chain[1..].to_vec(),
        };
        let frame = Frame { head: push.encode(VERSION)?, body, len, blocks, cost, flow: Arc::clone(&self.flow) };
        let link = match &sent.link {
            Some(link) => link,
            None => sent.link.insert(self.client.push_link(&self.placement, epoch.primary())),
        };
        link.send(frame);
        Ok(())
    }

    /// Bytes of blocks, blocks and frames so far.
    pub(super) fn totals(&self) -> (u64, u64, u64) {
        let sum = |of: fn(&Fin) -> u64| self.shards.iter().map(|sent| of(&sent.fin)).sum();
        (sum(|fin| fin.bytes), sum(|fin| fin.blocks), sum(|fin| u64::from(fin.frames)))
    }

    /// Bytes of blocks per partition; nothing more can be written.
    pub(super) fn take_stored(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.stored)
    }
}
