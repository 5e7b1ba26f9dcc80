//! What writers send: memory for it, frames, and what ends an attempt.

use std::{sync::Arc, time::Instant};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{AppId, Layout, ShardKey},
    message::{Ack, Fin, Last, Push},
};

use super::{
    Durability, Store,
    core::{closed, draining},
    frame, removal,
    shard::Shard,
};
use crate::memory::{Permit, Pool, PooledBuf};

impl Store {
    /// Waits until there is memory for a frame of `len` bytes in `blocks` blocks of `app`: the numbers of the message's
    /// header. Of those that wait, the application that holds the least goes first, and within it who came first.
    /// `Backpressure` when memory is full and no data folder can take anything,
    /// `Closed` after [`Store::close`].
    pub async fn reserve(&self, app: &AppId, len: usize, blocks: u32) -> Result<PooledBuf> {
        let core = &*self.core;
        let charge = Pool::charge(len, blocks as usize * frame::BLOCK_OVERHEAD)?;
        let permit = self.memory(app, charge).await?;
        core.pool.take(len, permit)
    }

    /// A permit for `charge` bytes.
    pub(super) async fn memory(&self, app: &AppId, charge: u32) -> Result<Permit> {
        match self.core.pool.budget().try_acquire(app, charge) {
            Some(permit) => Ok(permit),
            None => self.wait_for_memory(app, charge).await,
        }
    }

    async fn wait_for_memory(&self, app: &AppId, charge: u32) -> Result<Permit> {
        let core = &*self.core;
        core.metrics.memory_waits.increment(1);
        let began = Instant::now();
        let mut stalled = core.stalled.subscribe();
        let permit = core.pool.budget().acquire(app, charge);
        let mut permit = std::pin::pin!(permit);
        // Once polled it is counted as wanted; then the flusher is told.
        let permit = tokio::select! {
            biased;
            permit = &mut permit => permit,
            () = async { core.queue.wake() } => tokio::select! {
                biased;
                permit = permit => permit,
                _ = stalled.wait_for(|stalled| *stalled) => Err(Error::new(
                    ErrorKind::Backpressure,
                    "memory is full and no data folder takes data: all are full or failed",
                )),
            },
        };
        core.metrics.memory_wait_seconds.record(began.elapsed().as_secs_f64());
        permit
    }

    /// Checks and keeps a frame; `body` is exactly what followed the head, `blocks` the number in the header.
    /// When it returns, the frame may be acknowledged.
    pub async fn push(&self, app: &AppId, push: &Push, body: Arc<PooledBuf>, blocks: u32) -> Result<Ack> {
        let core = &*self.core;
        let taken = match &push.last {
            Some(Last::Settled(fin)) => self.settle(app, push, fin, body.len()),
            Some(Last::Whole(_)) | None => self.take(app, push, body, blocks),
        };
        let shard = taken.inspect_err(|_| core.metrics.refused_frames.increment(1))?;
        if core.pressed() {
            core.queue.wake();
        }
        if push.last.is_some()
            && core.settings.durability == Durability::Disk
            && let Some(flushed) = shard.wait_indexed(push.attempt)?
        {
            core.queue.push(&shard);
            flushed.await.map_err(|_| closed())??;
        }
        let most = core.settings.split_size;
        Ok(Ack { split: most > 0 && shard.held() > most })
    }

    /// Commits an attempt that went on in another epoch, if all that counts of it is here.
    fn settle(&self, app: &AppId, push: &Push, fin: &Fin, len: usize) -> Result<Arc<Shard>> {
        if len > 0 || push.frame != fin.frames {
            let text =
                format!("{} {}: what settles has no blocks, and the count as its number", push.key, push.attempt);
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let is_closed = self.core.closed.read();
        if *is_closed {
            return Err(closed());
        }
        let lost = |error: Error| match error.kind() {
            ErrorKind::NotFound => Error::new(ErrorKind::DataLost, error.message()),
            _ => error,
        };
        let shard = self.core.apps.shard(app, &push.key).map_err(lost)?;
        let new = shard.settle(push, fin).map_err(lost)?;
        self.core.metrics.commits.increment(u64::from(new));
        Ok(shard)
    }

    /// Finds the shard, and gives it the frame if it has not got it yet.
    fn take(&self, app: &AppId, push: &Push, body: Arc<PooledBuf>, blocks: u32) -> Result<Arc<Shard>> {
        let core = &*self.core;
        let shard = self.open_shard(app, &push.key, push.layout, push.attempt.attempt)?;
        if shard.has(push)? {
            core.metrics.repeated_frames.increment(1);
            return Ok(shard);
        }
        let checked = frame::check(push, push.layout.range(push.key.shard), &body, blocks)?;
        let bytes = checked.sums.bytes;
        // Locked until the frame is in its memtable: the flush of a close, and what a drain moves, come after it.
        let is_closed = core.closed.read();
        if *is_closed {
            return Err(closed());
        }
        if core.is_draining() {
            return Err(draining());
        }
        let taken = shard.take(push, body, checked, core.settings.memtable_max)?;
        drop(is_closed);
        if taken {
            core.metrics.pushed_frames.increment(1);
            core.metrics.pushed_blocks.increment(u64::from(blocks));
            core.metrics.pushed_bytes.increment(bytes);
            core.metrics.commits.increment(u64::from(push.last.is_some()));
        } else {
            core.metrics.repeated_frames.increment(1);
        }
        Ok(shard)
    }

    /// The shard for data of `attempt`, which begins a removed shuffle anew if it is newer than the removal.
    pub(super) fn open_shard(&self, app: &AppId, key: &ShardKey, layout: Layout, attempt: u64) -> Result<Arc<Shard>> {
        let is_closed = self.core.closed.read();
        if *is_closed {
            return Err(closed());
        }
        let shard = match self.core.apps.shard_or_new(app, key, layout) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if !removal::begin_anew(&self.core, app, key.shuffle, attempt)? {
                    return Err(error);
                }
                self.core.apps.shard_or_new(app, key, layout)?
            }
            other => other?,
        };
        self.core.apps.saw(app, key.shuffle, attempt);
        Ok(shard)
    }
}
