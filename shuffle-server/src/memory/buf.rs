//! A frame's memory.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    slice,
    sync::Arc,
};

use super::{Permit, pool::Shared};

/// Memory for one frame, of exactly the length that was asked for, which holds its permit of the budget until it is
/// dropped. It is recycled: what is in it before it is written is stale, so never show more than was read into it.
pub struct PooledBuf {
    memory: Memory,
    len: usize,
    pool: Arc<Shared>,
    permit: Permit,
}

/// Where a buffer's bytes are.
pub(super) enum Memory {
    /// On the heap: it is short.
    Heap(Box<[u8]>),
    /// In a slot of a class's arena.
    Slot { class: usize, slot: u32, base: NonNull<u8> },
}

// SAFETY: a slot belongs to one buffer at a time, so it moves and is shared like a boxed slice.
unsafe impl Send for PooledBuf {}
// SAFETY: as above; bytes change through `&mut` only.
unsafe impl Sync for PooledBuf {}

impl PooledBuf {
    pub(super) fn new(memory: Memory, len: usize, pool: Arc<Shared>, permit: Permit) -> Self {
        Self { memory, len, pool, permit }
    }

    /// Pays for more that belongs to it elsewhere, with a permit of the same application.
    pub fn pay(&mut self, more: Permit) {
        self.pool.paid(u64::from(more.bytes()));
        self.permit.join(more);
    }

    /// The bytes of the budget that it holds.
    pub fn charge(&self) -> u64 {
        u64::from(self.permit.bytes())
    }
}

impl Deref for PooledBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Heap(bytes) => bytes,
            // SAFETY: the slot is at least `len` bytes of a mapping that the pool keeps, and nobody else has it. Fresh
            // pages read as zeros, used ones as what was there, so every byte is initialized.
            Memory::Slot { base, .. } => unsafe { slice::from_raw_parts(base.as_ptr(), self.len) },
        }
    }
}

impl DerefMut for PooledBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Heap(bytes) => bytes,
            // SAFETY: as for `deref`, and `self` is borrowed exclusively.
            Memory::Slot { base, .. } => unsafe { slice::from_raw_parts_mut(base.as_ptr(), self.len) },
        }
    }
}

impl fmt::Debug for PooledBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBuf").field("len", &self.len).field("charge", &self.charge()).finish()
    }
}

impl Drop for PooledBuf {
    /// The memory goes back first and the permit after it (as a field, when this is done): so whoever gets the permit
    /// finds the memory.
    fn drop(&mut self) {
        let slot = match self.memory {
            Memory::Heap(_) => None,
            Memory::Slot { class, slot, .. } => Some((class, slot)),
        };
        self.pool.give_back(slot, self.charge());
    }
}
