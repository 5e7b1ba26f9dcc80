//! What was asked of others, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a client or an application has asked of others so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls to coordinators.
    pub coordinator_calls: u64,
    /// Questions to the driver.
    pub driver_calls: u64,
    /// Connections opened to workers.
    pub connections: u64,
    /// Frames sent, repeats included.
    pub frames: u64,
    /// Fetches sent, repeats included.
    pub fetches: u64,
    /// Fetches among these that were sent because another worker was slow.
    pub hedges: u64,
    /// Messages that granted credit.
    pub credits: u64,
    /// Messages of blocks received.
    pub data_messages: u64,
    /// Shuffles removed, counted once per worker.
    pub removals: u64,
}

/// The counters while they count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) coordinator_calls: AtomicU64,
    pub(crate) driver_calls: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) fetches: AtomicU64,
    pub(crate) hedges: AtomicU64,
    pub(crate) credits: AtomicU64,
    pub(crate) data_messages: AtomicU64,
    pub(crate) removals: AtomicU64,
}

impl Tally {
    pub(crate) fn read(&self) -> Counters {
        Counters {
            coordinator_calls: self.coordinator_calls.load(Relaxed),
            driver_calls: self.driver_calls.load(Relaxed),
            connections: self.connections.load(Relaxed),
            frames: self.frames.load(Relaxed),
            fetches: self.fetches.load(Relaxed),
            hedges: self.hedges.load(Relaxed),
            credits: self.credits.load(Relaxed),
            data_messages: self.data_messages.load(Relaxed),
            removals: self.removals.load(Relaxed),
        }
    }
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
