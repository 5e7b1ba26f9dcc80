//! Memory of the client: mapped once, used again and again.
//!
//! Touching memory for the first time costs ten times as much as copying into memory that was used before, so
//! chunks, frames and decoded batches all come from here and go back when dropped. Sizes are powers of two; one size's
//! free buffers are used last in, first out, so that the ones still in a cache go first.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use memmap2::{MmapMut, MmapOptions};
use parking_lot::Mutex;

use crate::{Error, ErrorKind, Result};

const MIN_SHIFT: u32 = 12;
const CLASSES: usize = 24;
/// From this size on it pays to ask for huge pages.
const HUGE: usize = 2 << 20;

/// Hands out [`Buffer`]s; clones share the memory.
#[derive(Debug, Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    free: Mutex<[Vec<MmapMut>; CLASSES]>,
    used: AtomicUsize,
    idle: AtomicUsize,
    idle_limit: usize,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("used", &self.used).field("idle", &self.idle).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool that keeps up to `idle_limit` bytes of unused buffers.
    pub(crate) fn new(idle_limit: usize) -> Self {
        Self(Arc::new(Shared {
            free: Mutex::new(std::array::from_fn(|_| vec![])),
            used: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
            idle_limit,
        }))
    }

    /// A buffer of `len` bytes or more. Its bytes are whatever the last user left.
    pub(crate) fn take(&self, len: usize) -> Result<Buffer> {
        let class = class_of(len);
        if class >= CLASSES {
            return Err(Error::new(ErrorKind::Invalid, format!("a buffer of {len} bytes is too large")));
        }
        let size = 1usize << (class as u32 + MIN_SHIFT);
        let reused = self.0.free.lock()[class].pop();
        let map = match reused {
            Some(map) => {
                self.0.idle.fetch_sub(size, Ordering::Relaxed);
                map
            }
            None => map(size)?,
        };
        self.0.used.fetch_add(size, Ordering::Relaxed);
        Ok(Buffer { map: Some(map), pool: Arc::clone(&self.0) })
    }

    /// Bytes in use and bytes kept.
    pub(crate) fn memory(&self) -> usize {
        self.0.used.load(Ordering::Relaxed) + self.0.idle.load(Ordering::Relaxed)
    }

    /// Bytes in use.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }
}

fn class_of(len: usize) -> usize {
    let shift = len.max(1).checked_next_power_of_two().map_or(usize::BITS, usize::trailing_zeros);
    shift.saturating_sub(MIN_SHIFT) as usize
}

fn map(size: usize) -> Result<MmapMut> {
    let map = MmapOptions::new().len(size).map_anon().map_err(|error| {
        Error::new(ErrorKind::Internal, format!("the system gave no {size} bytes of memory: {error}"))
    })?;
    #[cfg(target_os = "linux")]
    if size >= HUGE {
        // Where it is refused, small pages serve as well, only slower.
        let _ = map.advise(memmap2::Advice::HugePage);
    }
    Ok(map)
}

/// Memory of a pool, at an address that does not change; it goes back when dropped.
pub(crate) struct Buffer {
    map: Option<MmapMut>,
    pool: Arc<Shared>,
}

impl Buffer {
    fn map(&self) -> &MmapMut {
        self.map.as_ref().expect("taken only in drop")
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.map.as_mut().expect("taken only in drop")
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({})", self.len())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(map) = self.map.take() else { return };
        let size = map.len();
        self.pool.used.fetch_sub(size, Ordering::Relaxed);
        let idle = self.pool.idle.fetch_add(size, Ordering::Relaxed) + size;
        if idle > self.pool.idle_limit {
            self.pool.idle.fetch_sub(size, Ordering::Relaxed);
            return;
        }
        self.pool.free.lock()[class_of(size)].push(map);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_used_again() {
        let pool = Pool::new(1 << 20);
        let first = pool.take(5000).expect("small");
        assert_eq!((first.len(), pool.used(), pool.memory()), (8192, 8192, 8192));
        let address = first.as_ptr();
        drop(first);
        assert_eq!((pool.used(), pool.memory()), (0, 8192));
        assert_eq!(pool.take(8192).expect("small").as_ptr(), address);
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let pool = Pool::new(10_000);
        drop((pool.take(8192).expect("small"), pool.take(8192).expect("small")));
        assert_eq!((pool.used(), pool.memory()), (0, 8192));
    }

    #[test]
    fn sizes_out_of_bounds_are_refused() {
        let pool = Pool::new(0);
        assert!(pool.take(usize::MAX).is_err());
        assert_eq!(pool.take(0).expect("small").len(), 4096);
    }
}
