//! Memory of the client: mapped once, used again and again.
//!
//! Touching memory for the first time costs ten times as much as copying into memory that was used before, so
//! chunks, frames and decoded batches all come from here and go back when dropped. Sizes are powers of two; one size's
//! free buffers are used last in, first out, so that the ones still in a cache go first. Where more would be kept than
//! allowed, those of the size that nobody has used for longest are given up: what writing has left, while an executor reads.

use std::{
    collections::VecDeque,
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
    free: Mutex<Free>,
    used: AtomicUsize,
    idle_limit: usize,
}

/// What is kept for the next use.
#[derive(Default)]
struct Free {
    classes: [Class; CLASSES],
    bytes: usize,
    /// Buffers taken and given back so far.
    clock: u64,
}

/// The free buffers of one size.
#[derive(Default)]
struct Class {
    /// The one given back last is the last.
    buffers: VecDeque<MmapMut>,
    /// When one was last taken or given back.
    used_at: u64,
}

impl Free {
    fn class(&mut self, class: usize) -> &mut Class {
        self.clock += 1;
        self.classes[class].used_at = self.clock;
        &mut self.classes[class]
    }

    fn take(&mut self, class: usize) -> Option<MmapMut> {
        let map = self.class(class).buffers.pop_back()?;
        self.bytes -= map.len();
        Some(map)
    }

    /// Keeps a buffer; returns those that are too many with it.
    fn keep(&mut self, map: MmapMut, limit: usize) -> Vec<MmapMut> {
        self.bytes += map.len();
        self.class(class_of(map.len())).buffers.push_back(map);
        let mut given_up = vec![];
        while self.bytes > limit {
            let kept = self.classes.iter_mut().filter(|class| !class.buffers.is_empty());
            let Some(map) = kept.min_by_key(|class| class.used_at).and_then(|class| class.buffers.pop_front()) else {
                break;
            };
            self.bytes -= map.len();
            given_up.push(map);
        }
        given_up
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("used", &self.used).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool that keeps up to `idle_limit` bytes of unused buffers.
    pub(crate) fn new(idle_limit: usize) -> Self {
        Self(Arc::new(Shared { free: Mutex::default(), used: AtomicUsize::new(0), idle_limit }))
    }

    /// A buffer of `len` bytes or more. Its bytes are whatever the last user left.
    pub(crate) fn take(&self, len: usize) -> Result<Buffer> {
        let class = class_of(len);
        if class >= CLASSES {
            return Err(Error::new(ErrorKind::Invalid, format!("a buffer of {len} bytes is too large")));
        }
        let size = 1usize << (class as u32 + MIN_SHIFT);
        let reused = self.0.free.lock().take(class);
        let map = reused.map_or_else(|| map(size), Ok)?;
        self.0.used.fetch_add(size, Ordering::Relaxed);
        Ok(Buffer { map: Some(map), pool: Arc::clone(&self.0) })
    }

    /// Bytes in use and bytes kept.
    pub(crate) fn memory(&self) -> usize {
        self.0.used.load(Ordering::Relaxed) + self.0.free.lock().bytes
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
        self.pool.used.fetch_sub(map.len(), Ordering::Relaxed);
        // Given back to the system after the lock.
        let given_up = self.pool.free.lock().keep(map, self.pool.idle_limit);
        drop(given_up);
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
    fn what_was_not_used_for_longest_is_given_up() {
        let pool = Pool::new(3 * 8192);
        let large: Vec<_> = (0..3).map(|_| pool.take(8192).expect("small")).collect();
        drop(large);
        drop(pool.take(16_384).expect("small"));
        assert_eq!(pool.memory(), 8192 + 16_384, "one of the smaller ones stays");
        let again = pool.take(16_384).expect("small");
        assert_eq!(pool.memory(), 8192 + 16_384, "and the larger one was kept");
        drop(again);
    }

    #[test]
    fn sizes_out_of_bounds_are_refused() {
        let pool = Pool::new(0);
        assert!(pool.take(usize::MAX).is_err());
        assert_eq!(pool.take(0).expect("small").len(), 4096);
    }
}
