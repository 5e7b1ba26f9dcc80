//! What a worker keeps: applications, their shuffles, their shards, in memory and on disk. No network in it.
//!
//! # Layout
//! - [`Store`]: the whole, with one method for each thing that is asked of a worker.
//! - `apps`: applications → shuffles → `shard`s, and the tombstones of shuffles that were removed.
//! - `shard`: one epoch of one shard: how far each attempt came, and a list of `table`s.
//! - `memtable`: the table that takes frames, and sealed ones; `frame`: a checked frame and its blocks.
//! - `flusher` and `flush`: which shards become segments when, and how.
//! - [`Cursor`]: a fetch under way.
//! - `recovery`: what is found at start; `removal`: what goes.
//!
//! # A push, step by step
//! 1. [`Store::reserve`] waits for memory, fairly between applications, before the body is read.
//! 2. [`Store::push`] finds the shard and looks whether the frame is the attempt's next (a repeat is done here), checks
//!    every block outside of any lock, and gives the frame to the shard's memtable. A FIN must match what came.
//! 3. With [`Durability::Disk`] a FIN waits for the shard's next flush; all that come meanwhile wait for the same one.
//!
//! # A table's life
//! Memtable → sealed (a fetch needs its order, or it got large) → segment (memory is short, a commit must be on disk, or
//! the store closes). A sealed memtable and its segment have the same blocks in the same order, so a cursor goes on in
//! one where it was in the other.
//! A flush that fails leaves the sealed memtable where it is and takes the data folder out of placement.
//!
//! # Locks
//! In this order: the flusher's queue, applications, shuffles, shards, a table. None is held while a block is checked,
//! sorted, read or written. A shard's `flushing` is taken before all of them, by flushes and removals only.

mod apps;
mod core;
mod cursor;
mod flush;
mod flusher;
mod frame;
mod memtable;
mod metrics;
mod open;
mod recovery;
mod removal;
mod settings;
mod shard;
mod stats;
mod table;

use std::{
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Instant,
};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{AppId, Layout, ShardKey, WorkerId},
    message::{Ack, Fetch, Push},
};
use parking_lot::Mutex;

use self::{
    core::{Core, blocking, closed},
    shard::Shard,
};
pub use self::{
    cursor::{Cursor, Piece},
    frame::Slice,
    metrics::Metrics,
    settings::{Durability, Settings},
    stats::{AppStats, Description, DiskStats, ShuffleStats, Usage},
};
use crate::{
    disk::Health,
    memory::{Pool, PooledBuf},
};

/// The storage of a worker. Dropping it without [`Store::close`] is like a crash.
pub struct Store {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Who this is: the id stays with the folders, the incarnation grows with every start that does not serve
    /// everything that was acknowledged.
    pub fn worker_id(&self) -> WorkerId {
        self.core.worker
    }

    /// Waits until there is memory for a frame of `len` bytes in `blocks` blocks of `app`: the numbers of the message's
    /// header. Of those that wait, the application that holds the least goes first, and within it who came first.
    /// `Backpressure` when memory is full and no data folder can take anything,
    /// `Closed` after [`Store::close`].
    pub async fn reserve(&self, app: &AppId, len: usize, blocks: u32) -> Result<PooledBuf> {
        let core = &*self.core;
        let charge = Pool::charge(len, blocks as usize * frame::BLOCK_OVERHEAD)?;
        let permit = match core.pool.budget().try_acquire(app, charge) {
            Some(permit) => permit,
            None => self.wait_for_memory(app, charge).await?,
        };
        core.pool.take(len, permit)
    }

    async fn wait_for_memory(&self, app: &AppId, charge: u32) -> Result<crate::memory::Permit> {
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
        let taken = self.take(app, push, body, blocks);
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
        Ok(Ack::default())
    }

    /// Finds the shard, and gives it the frame if it has not got it yet.
    fn take(&self, app: &AppId, push: &Push, body: Arc<PooledBuf>, blocks: u32) -> Result<Arc<Shard>> {
        let core = &*self.core;
        let shard = self.open_shard(app, push)?;
        if shard.has(push)? {
            core.metrics.repeated_frames.increment(1);
            return Ok(shard);
        }
        let checked = frame::check(push, push.layout.range(push.key.shard), &body, blocks)?;
        let bytes = checked.sums.bytes;
        // Locked until the frame is in its memtable: the flush of a close comes after it.
        let is_closed = core.closed.read();
        if *is_closed {
            return Err(closed());
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

    fn open_shard(&self, app: &AppId, push: &Push) -> Result<Arc<Shard>> {
        let is_closed = self.core.closed.read();
        if *is_closed {
            return Err(closed());
        }
        let shuffle = push.key.shuffle;
        let shard = match self.core.apps.shard_or_new(app, &push.key, push.layout) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if !removal::begin_anew(&self.core, app, shuffle, push.attempt.attempt)? {
                    return Err(error);
                }
                self.core.apps.shard_or_new(app, &push.key, push.layout)?
            }
            other => other?,
        };
        self.core.apps.saw(app, shuffle, push.attempt.attempt);
        Ok(shard)
    }

    /// Begins a fetch. `NotFound` for a shuffle or a shard that is not here.
    pub fn fetch(&self, app: &AppId, fetch: &Fetch) -> Result<Cursor> {
        if *self.core.closed.read() {
            return Err(closed());
        }
        let tables = self.core.apps.shard(app, &fetch.key)?.tables(&fetch.partitions)?;
        Ok(Cursor::new(self.core.clone(), fetch, tables))
    }

    /// Takes blocks of any attempts of a shard's epoch, which another worker holds too: a part of a copy. `body` is whole
    /// blocks, which are checked. What is here already may come again.
    pub async fn adopt(&self, app: &AppId, key: &ShardKey, layout: Layout, body: PooledBuf) -> Result<()> {
        let _ = (app, key, layout, body);
        Err(Error::new(ErrorKind::Internal, "copies can't be taken yet"))
    }

    /// Ends a copy: when it returns, what was adopted is kept as the settings promise.
    pub async fn adopted(&self, app: &AppId, key: &ShardKey) -> Result<()> {
        let _ = (app, key);
        Err(Error::new(ErrorKind::Internal, "copies can't be taken yet"))
    }

    /// Deletes what is here of a shard's epoch; no error if there is nothing. When it returns, the disk is clean.
    pub async fn forget(&self, app: &AppId, key: &ShardKey) -> Result<()> {
        let _ = (app, key);
        Err(Error::new(ErrorKind::Internal, "copies can't be deleted yet"))
    }

    /// From now on refuses new data with `Broken`, or takes it again.
    pub fn set_draining(&self, draining: bool) {
        self.core.draining.store(draining, Ordering::Release);
    }

    /// Whether new data is refused.
    pub fn is_draining(&self) -> bool {
        self.core.draining.load(Ordering::Acquire)
    }

    /// Deletes a shuffle and leaves a tombstone, which refuses the attempts that are older than it; no error if it is
    /// not there. When it returns, the disk is clean.
    pub async fn remove_shuffle(&self, app: &AppId, shuffle: u32) -> Result<()> {
        removal::remove_shuffle(&self.core, app, shuffle).await
    }

    /// Deletes an application with everything of it, tombstones included; no error if it is not there. When it
    /// returns, the disk is clean.
    pub async fn remove_app(&self, app: &AppId) -> Result<()> {
        removal::remove_app(&self.core, app).await
    }

    /// The applications that have something here.
    pub fn apps(&self) -> Vec<AppId> {
        self.core.apps.ids()
    }

    /// Everything that there is.
    pub fn describe(&self) -> Description {
        let disks = self.core.folders.all().iter().map(|folder| DiskStats {
            path: folder.path().to_owned(),
            free: folder.space().map_or(0, |space| space.free),
            used: folder.used(),
            state: folder.health().describe(),
        });
        Description { disks: disks.collect(), apps: self.core.apps.stats() }
    }

    /// Memory and disk.
    pub fn usage(&self) -> Usage {
        let folders = self.core.folders.all();
        let healthy = folders.iter().filter(|folder| folder.health() == Health::Ok);
        Usage {
            memory_used: self.core.pool.budget().held(),
            memory_budget: self.core.pool.budget().capacity(),
            disk_used: folders.iter().map(|folder| folder.used()).sum(),
            disk_free: healthy.map(|folder| folder.available()).sum(),
        }
    }

    /// Whether it can do its work: for readiness. The error says what is wrong.
    pub fn check(&self) -> Result<()> {
        if *self.core.closed.read() {
            return Err(closed());
        }
        if self.threads.lock().iter().any(JoinHandle::is_finished) {
            return Err(Error::new(ErrorKind::Internal, "a background thread of the store ended: see the log"));
        }
        if !self.core.folders.any_healthy() {
            return Err(Error::new(ErrorKind::Backpressure, "no data folder takes data: all are full or failed"));
        }
        Ok(())
    }

    /// Sets the gauges to what is so now: call it before the metrics are rendered.
    pub fn refresh_metrics(&self) {
        let (metrics, usage) = (&self.core.metrics, self.usage());
        metrics.memory_used_bytes.set(usage.memory_used as f64);
        metrics.memory_mapped_bytes.set(self.core.pool.mapped() as f64);
        metrics.memory_budget_bytes.set(usage.memory_budget as f64);
        metrics.disk_used_bytes.set(usage.disk_used as f64);
        metrics.disk_free_bytes.set(usage.disk_free as f64);
        let out = self.core.folders.all().iter().filter(|folder| folder.health() != Health::Ok).count();
        metrics.folders_out.set(out as f64);
        metrics.applications.set(self.core.apps.len() as f64);
    }

    /// Refuses everything from now on, flushes all memtables, and marks the shutdown as clean. An error means that the
    /// next start is not clean. Only the first call does anything.
    pub async fn close(&self) -> Result<()> {
        {
            let mut is_closed = self.core.closed.write();
            if *is_closed {
                return Ok(());
            }
            *is_closed = true;
        }
        self.core.pool.budget().close();
        let mut done = Ok(());
        let mut waiting = vec![];
        for shard in self.core.apps.shards() {
            waiting.extend(shard.wait_flushed());
            self.core.queue.push(&shard);
        }
        for flushed in waiting {
            let flushed = flushed.await.unwrap_or_else(|_| Err(closed()));
            done = done.and(flushed.or_else(|error| match error.kind() {
                ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }));
        }
        let threads = self.stop();
        let core = self.core.clone();
        blocking(move || {
            for thread in threads {
                thread.join().map_err(|_| Error::new(ErrorKind::Internal, "a background thread panicked"))?;
            }
            done?;
            open::mark_clean(&core)
        })
        .await
    }

    /// Tells the threads to end.
    fn stop(&self) -> Vec<JoinHandle<()>> {
        self.core.stopping.store(true, Ordering::Release);
        self.core.queue.stop();
        std::mem::take(&mut *self.threads.lock())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        for thread in self.stop() {
            // A panic was reported where it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
