//! Permits, in bytes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use overhand_common::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;

/// A budget of bytes. Permits are given in order of arrival, so that a large request is never starved by small ones.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    capacity: u64,
    permits: Semaphore,
    held: AtomicU64,
    wanted: AtomicU64,
}

/// Bytes of a budget, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    bytes: u32,
}

impl Budget {
    /// A budget of `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        let permits = Semaphore::new(usize::try_from(capacity).map_or(Semaphore::MAX_PERMITS, |n| n));
        Self { shared: Arc::new(Shared { capacity, permits, held: AtomicU64::new(0), wanted: AtomicU64::new(0) }) }
    }

    /// All the bytes there are.
    pub fn capacity(&self) -> u64 {
        self.shared.capacity
    }

    /// Bytes held by permits.
    pub fn held(&self) -> u64 {
        self.shared.held.load(Ordering::Acquire)
    }

    /// Bytes that are being waited for.
    pub fn wanted(&self) -> u64 {
        self.shared.wanted.load(Ordering::Acquire)
    }

    /// Takes `bytes` if nobody waits and they are there.
    pub fn try_acquire(&self, bytes: u32) -> Option<Permit> {
        let permits = self.shared.permits.try_acquire_many(bytes).ok()?;
        permits.forget();
        Some(self.granted(bytes))
    }

    /// Waits for `bytes`. `Invalid` for more than there will ever be, `Closed` after [`Budget::close`].
    pub async fn acquire(&self, bytes: u32) -> Result<Permit> {
        if u64::from(bytes) > self.shared.capacity {
            let text = format!(
                "a frame that takes {bytes} bytes of memory is over the whole memory budget of {}: \
                 raise the budget or send smaller frames",
                self.shared.capacity
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let _wanted = Wanted::new(&self.shared, bytes);
        let closed = |_| Error::new(ErrorKind::Closed, "the worker is shutting down");
        self.shared.permits.acquire_many(bytes).await.map_err(closed)?.forget();
        Ok(self.granted(bytes))
    }

    /// Everybody who waits, now or later, gets `Closed`.
    pub fn close(&self) {
        self.shared.permits.close();
    }

    fn granted(&self, bytes: u32) -> Permit {
        self.shared.held.fetch_add(u64::from(bytes), Ordering::AcqRel);
        Permit { budget: self.clone(), bytes }
    }
}

impl Permit {
    /// How many bytes it is for.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let shared = &self.budget.shared;
        shared.held.fetch_sub(u64::from(self.bytes), Ordering::AcqRel);
        shared.permits.add_permits(self.bytes as usize);
    }
}

/// Counts a request as waiting while it lives.
struct Wanted<'a> {
    shared: &'a Shared,
    bytes: u32,
}

impl<'a> Wanted<'a> {
    fn new(shared: &'a Shared, bytes: u32) -> Self {
        shared.wanted.fetch_add(u64::from(bytes), Ordering::AcqRel);
        Self { shared, bytes }
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.shared.wanted.fetch_sub(u64::from(self.bytes), Ordering::AcqRel);
    }
}
