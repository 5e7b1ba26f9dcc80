//! What the parts of a store share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{ShardKey, WorkerId},
};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::{apps::Apps, flusher::Queue, metrics::Metrics, settings::Settings};
use crate::{
    disk::{Folder, Folders, Membership},
    index::Index,
    memory::Pool,
};

/// The parts of a store, for its methods and its threads.
pub struct Core {
    /// How it was set up.
    pub settings: Settings,
    /// Whose folders these are.
    pub membership: Membership,
    /// Who this is.
    pub worker: WorkerId,
    /// Its data folders.
    pub folders: Folders,
    /// Their indexes, in the same order.
    pub indexes: Vec<Index>,
    /// Memory.
    pub pool: Pool,
    /// What it holds.
    pub apps: Apps,
    /// What is to be flushed.
    pub queue: Queue,
    /// Whether no data folder could take what had to be flushed. Who waits for memory then is refused, not left waiting.
    pub stalled: watch::Sender<bool>,
    /// Whether new data is refused, because the worker is being drained.
    pub draining: AtomicBool,
    /// True after close. Read-locked while a frame is taken, so that none slips in behind the last flush.
    pub closed: RwLock<bool>,
    /// Whether the threads should end.
    pub stopping: AtomicBool,
    /// Metrics.
    pub metrics: Metrics,
}

impl Core {
    /// A data folder.
    pub fn folder(&self, at: usize) -> &Arc<Folder> {
        &self.folders.all()[at]
    }

    /// Whether memtables must be flushed: more than the high mark is held, or somebody waits.
    pub fn pressed(&self) -> bool {
        let budget = self.pool.budget();
        budget.held() > self.settings.high_mark || budget.wanted() > 0
    }

    /// Bytes that flushing should free: down to the low mark, and as many as are waited for.
    pub fn excess(&self) -> u64 {
        if !self.pressed() {
            return 0;
        }
        let budget = self.pool.budget();
        let target = self.settings.low_mark.min(budget.capacity().saturating_sub(budget.wanted()));
        budget.held().saturating_sub(target)
    }

    /// Ends the data folders' threads, all but those that hang.
    pub fn end_folders(&self) {
        self.folders.all().iter().for_each(|folder| folder.end(self.settings.stall_timeout));
    }

    /// Whether new data is refused.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether the threads should end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// The error of a store that was closed.
pub fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the worker is shutting down")
}

/// The error of a store that is being drained.
pub fn draining() -> Error {
    Error::new(ErrorKind::Broken, "this worker is being drained and takes no new data")
}

/// The error for new data of an epoch that has ended.
pub fn ended(key: &ShardKey) -> Error {
    Error::new(ErrorKind::Broken, format!("{key} has ended, because it was copied: a newer epoch takes its new data"))
}

/// A blocking part of an async method that must have ended well or badly, not vanished. Without a runtime, as in a
/// simulation, it is done at once.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if tokio::runtime::Handle::try_current().is_err() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::new(ErrorKind::Internal, format!("a background step ended early: {error}"))),
    }
}
