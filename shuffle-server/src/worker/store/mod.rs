//! What a worker keeps: applications, their shuffles, their shards, in memory and on disk. No network in it.
//!
//! # Layout
//! - [`Store`]: the whole, with one method for each thing that is asked of a worker.
//! - `apps`: applications → shuffles → `shard`s, and the tombstones of shuffles that were removed.
//! - `shard`: one epoch of one shard: how far its `attempts` came, and a list of `table`s.
//! - `memtable`: the table that takes frames, and sealed ones; `frame`: a checked frame and its blocks.
//! - `pushes` and `copies`: how blocks come in, from writers and from other workers.
//! - `flusher` and `flush`: which shards become segments when, and how.
//! - [`Cursor`]: a fetch under way.
//! - `recovery`: what is found at start; `removal`: what goes.
//!
//! # A push, step by step
//! 1. [`Store::reserve`] waits for memory, fairly between applications, before the body is read.
//! 2. [`Store::push`] finds the shard and looks whether the frame is the attempt's next (a repeat is done here), checks
//!    every block outside of any lock, and gives the frame to the shard's memtable. A FIN must match what came; what
//!    settles an attempt must match its first so many frames.
//! 3. With [`Durability::Disk`] a FIN waits for the shard's next flush; all that come meanwhile wait for the same one.
//!
//! # A table's life
//! Memtable → sealed (a fetch needs its order, or it got large) → segment (memory is short, a commit must be on disk, or
//! the store closes). A sealed memtable and its segment have the same blocks in the same order, so a cursor goes on in
//! one where it was in the other.
//! A flush that fails leaves the sealed memtable where it is and takes the data folder out of placement. So does one
//! that hangs, on the folder's own thread; what it has written when it comes back is deleted.
//!
//! # Locks
//! In this order: the flusher's queue, applications, shuffles, shards, a table. None is held while a block is checked,
//! sorted, read or written. A shard's `flushing` is taken before all of them, by flushes and removals only.

mod apps;
mod attempts;
mod copies;
mod core;
mod cursor;
mod flush;
mod flusher;
mod frame;
mod memtable;
mod metrics;
mod open;
mod pushes;
mod recovery;
mod removal;
mod settings;
mod shard;
mod stats;
mod table;

use std::{
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{AppId, WorkerId},
    message::Fetch,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use self::core::{Core, blocking, closed, draining};
pub use self::{
    cursor::{Cursor, Piece},
    frame::Slice,
    metrics::Metrics,
    settings::{Durability, Settings},
    stats::{AppStats, Description, DiskStats, Held, ShuffleStats, Usage},
};
use crate::disk::Health;

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

    /// Begins a fetch. `NotFound` for a shuffle or a shard that is not here.
    pub fn fetch(&self, app: &AppId, fetch: &Fetch) -> Result<Cursor> {
        if *self.core.closed.read() {
            return Err(closed());
        }
        let found = self.core.apps.shard(app, &fetch.key);
        if fetch.ends {
            self.core.apps.end(app, &fetch.key);
        }
        let tables = found?.tables(&fetch.partitions)?;
        Ok(Cursor::new(self.core.clone(), fetch, tables))
    }

    /// From now on refuses new data with `Broken`, or takes it again. What was under way is either refused or here in
    /// full when it returns.
    pub fn set_draining(&self, draining: bool) {
        let _nothing_is_taken = self.core.closed.write();
        self.core.draining.store(draining, Ordering::Release);
    }

    /// Whether new data is refused.
    pub fn is_draining(&self) -> bool {
        self.core.is_draining()
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

    /// What each application has here: for quotas, and for how far a drain has come.
    pub fn held(&self) -> Vec<Held> {
        self.core.apps.held()
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
            disks_lost: folders.iter().map(|folder| folder.losses()).sum(),
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

    /// Whether it takes new data. `Broken` while it is being drained, else as [`Store::check`].
    pub fn takes_data(&self) -> Result<()> {
        self.check()?;
        if self.is_draining() {
            return Err(draining());
        }
        Ok(())
    }

    /// Tell when the health of a data folder changes, one for each folder.
    pub fn folders_health(&self) -> Vec<watch::Receiver<Health>> {
        self.core.folders.all().iter().map(|folder| folder.watch()).collect()
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
        metrics.folders_lost.absolute(usage.disks_lost);
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
            core.end_folders();
            done?;
            open::mark_clean(&core)
        })
        .await
    }

    /// Does one flush that is due, if any; whether there was one. For a store that was opened without threads.
    #[cfg(feature = "sim")]
    pub fn flush_some(&self) -> bool {
        flusher::flush_one(&self.core)
    }

    /// Measures the data folders now. For a store that was opened without threads.
    #[cfg(feature = "sim")]
    pub fn probe(&self) {
        flusher::probe_once(&self.core);
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
        self.core.end_folders();
    }
}

#[cfg(test)]
mod tests;
