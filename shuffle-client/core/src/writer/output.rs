//! Blocks and frames of one attempt: what is in them, and which lane they take.

use std::sync::Arc;

use overhand_common::{
    block::{Codec, Flags, HEADER_LEN, Header},
    message::Fin,
};

use super::lane::Lane;
use crate::{
    Attempt, Error, ErrorKind, Placement, Result,
    client::Shared,
    codec::{Effort, Packer},
    link::{flow::Flow, frame::Body},
    pool::Buffer,
};

/// A frame that is being filled.
#[derive(Debug)]
struct Open {
    shard: u32,
    body: Buffer,
    /// What is in it.
    sums: Fin,
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
    /// Per shard, if anything was sent there.
    lanes: Vec<Option<Arc<Lane>>>,
    /// Everything that was sent.
    sent: Fin,
    /// Per partition, blocks made.
    blocks: Vec<u32>,
    /// Per partition, bytes of blocks made.
    stored: Vec<u64>,
}

impl Output {
    pub(super) fn new(client: Arc<Shared>, placement: Arc<Placement>, attempt: Attempt, flow: Arc<Flow>) -> Self {
        let partitions = placement.layout.partitions() as usize;
        let lanes = vec![None; placement.layout.shards() as usize];
        let (blocks, stored) = (vec![0; partitions], vec![0; partitions]);
        let (effort, sent) = (Effort::default(), Fin::default());
        Self { client, placement, attempt, flow, effort, open: None, lanes, sent, blocks, stored }
    }

    /// Whether the partition has any block.
    pub(super) fn has(&self, partition: u32) -> bool {
        self.blocks[partition as usize] > 0
    }

    /// Whether short blocks compress as well as long ones, as far as it is known.
    pub(super) fn compresses_alike(&self) -> bool {
        self.effort.alike()
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
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.shard != shard || open.sums.bytes as usize + need > open.body.len())
        {
            self.send(false)?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let len = self.client.config.frame_size.min(ahead + ahead / 8 + 4096).max(need);
                none.insert(Open {
                    shard,
                    body: self.client.pool.take(len)?,
                    sums: Fin { frames: 1, ..Fin::default() },
                })
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
        let room = &mut open.body[open.sums.bytes as usize..];
        packer.pack(raw, &mut self.effort, &mut header, &mut room[HEADER_LEN..])?;
        let len = header.block_len();
        header.seal(&mut room[..len]);
        let crc = u32::from_le_bytes([room[0], room[1], room[2], room[3]]);
        *number += 1;
        self.stored[partition as usize] += len as u64;
        open.sums.blocks += 1;
        open.sums.bytes += len as u64;
        open.sums.crc_xor ^= crc;
        Ok(())
    }

    /// Sends what is in work for `shard`; with `fin`, closes the attempt there if the shard got anything.
    pub(super) fn flush(&mut self, shard: u32, fin: bool) -> Result<()> {
        if self.open.is_none() && fin && self.lanes[shard as usize].is_some() {
            return self.send_frame(shard, None, Fin { frames: 1, ..Fin::default() }, true);
        }
        self.send(fin)
    }

    fn send(&mut self, fin: bool) -> Result<()> {
        match self.open.take() {
            Some(open) => self.send_frame(open.shard, Some(open.body), open.sums, fin),
            None => Ok(()),
        }
    }

    fn send_frame(&mut self, shard: u32, buffer: Option<Buffer>, sums: Fin, last: bool) -> Result<()> {
        let cost = buffer.as_ref().map_or(0, |buffer| buffer.len());
        self.flow.enter(cost)?;
        self.sent.frames += 1;
        self.sent.blocks += sums.blocks;
        self.sent.bytes += sums.bytes;
        let (len, blocks) = (sums.bytes as usize, sums.blocks as u32);
        let body = Body::new(buffer, len, blocks, cost, &self.flow);
        let start = || Lane::start(&self.client, &self.placement, self.attempt, shard, &self.flow);
        self.lanes[shard as usize].get_or_insert_with(start).send(body, sums, last);
        Ok(())
    }

    /// Bytes of blocks, blocks and frames so far.
    pub(super) fn totals(&self) -> (u64, u64, u64) {
        let open = self.open.as_ref().map(|open| open.sums).unwrap_or_default();
        (self.sent.bytes + open.bytes, self.sent.blocks + open.blocks, u64::from(self.sent.frames))
    }

    /// Checks, when nothing is under way, that workers have confirmed everything.
    pub(super) fn check_done(&self) -> Result<()> {
        match self.lanes.iter().flatten().all(|lane| lane.is_done()) {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Internal, "the end was told before every shard had confirmed it")),
        }
    }

    /// Bytes of blocks per partition; nothing more can be written.
    pub(super) fn take_stored(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.stored)
    }
}
