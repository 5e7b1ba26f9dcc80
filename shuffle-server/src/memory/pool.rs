//! Recycled memory.
//!
//! Each class has a range of address space as large as the budget, reserved when it is first used and divided into
//! slots. Reserving costs no memory: a slot takes some when it is first written, and gives it back when it is evicted
//! (`MADV_DONTNEED`). Slots are used from the lowest address up, so that those in use share huge pages.

use std::{
    collections::BTreeSet,
    ptr::{self, NonNull},
    sync::Arc,
};

use overhand_common::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

use super::{Budget, Permit, PooledBuf, buf::Memory, classes};

const HUGE_PAGE: usize = 2 << 20;
/// The most that is given back to the system at a time.
const EVICTED: u64 = 16 << 20;
/// Address space becomes writable in steps of this, so that what is only reserved is never counted against a limit.
const STEP: usize = 32 << 20;

/// Memory in size classes, all paid from one budget.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    arenas: Vec<Option<Arena>>,
    /// Bytes of all live buffers, as charged.
    live: u64,
    /// Bytes of slots that are kept for reuse.
    kept: u64,
}

/// The address space of one class.
#[derive(Debug)]
struct Arena {
    /// The mapping.
    mapping: NonNull<u8>,
    mapping_len: usize,
    /// Where slots begin: at the border of a huge page.
    base: NonNull<u8>,
    /// Bytes from the base to the mapping's end.
    len: usize,
    slot: usize,
    /// Bytes from the base that are writable.
    writable: usize,
    /// Slots that were used once: those below this number.
    touched: usize,
    /// Slots that have memory and no buffer.
    kept: BTreeSet<u32>,
    /// Slots below `touched` that have neither.
    empty: BTreeSet<u32>,
}

// SAFETY: an arena is address space that no thread owns; it is changed under the state's lock only.
unsafe impl Send for Arena {}

impl Pool {
    /// A pool that is paid from `budget`.
    pub fn new(budget: Budget) -> Self {
        let arenas = (0..classes::COUNT).map(|_| None).collect();
        Self { shared: Arc::new(Shared { budget, state: Mutex::new(State { arenas, live: 0, kept: 0 }) }) }
    }

    /// The budget.
    pub fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    /// The bytes of permits that a buffer of `len` bytes needs, with `overhead` bytes for what belongs to it elsewhere.
    /// `Invalid` when that is more than a permit can be for.
    pub fn charge(len: usize, overhead: usize) -> Result<u32> {
        let total = classes::charge(len).saturating_add(overhead);
        u32::try_from(total)
            .map_err(|_| Error::new(ErrorKind::Invalid, format!("a frame of {total} bytes is too large")))
    }

    /// Bytes that buffers hold or that are kept for reuse: at most the budget.
    pub fn mapped(&self) -> u64 {
        let state = self.shared.state.lock();
        state.live + state.kept
    }

    /// A buffer of `len` bytes for a permit of at least its charge.
    pub fn take(&self, len: usize, permit: Permit) -> Result<PooledBuf> {
        let bytes = u64::from(permit.bytes());
        assert!(bytes >= classes::charge(len) as u64, "a buffer is paid in full");
        let class = classes::of(len);
        let memory = {
            let mut state = self.shared.state.lock();
            let slot = match class {
                Some(class) => Some(state.slot(class, self.shared.budget.capacity())?),
                None => None,
            };
            state.live += bytes;
            state.evict(self.shared.budget.capacity());
            slot
        };
        let memory = match (class, memory) {
            (Some(class), Some((slot, base))) => Memory::Slot { class, slot, base },
            _ => Memory::Heap(vec![0; len].into_boxed_slice()),
        };
        Ok(PooledBuf::new(memory, len, self.shared.clone(), permit))
    }
}

impl Shared {
    /// A buffer holds so many bytes more.
    pub(super) fn paid(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.live += bytes;
        state.evict(self.budget.capacity());
    }

    /// Takes back what a buffer of `bytes` charged bytes used.
    pub(super) fn give_back(&self, slot: Option<(usize, u32)>, bytes: u64) {
        let mut state = self.state.lock();
        state.live -= bytes;
        if let Some((class, slot)) = slot {
            let arena = state.arenas[class].as_mut().expect("the slot is of this arena");
            arena.kept.insert(slot);
            state.kept += classes::size(class) as u64;
        }
    }
}

impl State {
    /// A slot of `class`, not yet counted as live.
    fn slot(&mut self, class: usize, capacity: u64) -> Result<(u32, NonNull<u8>)> {
        if self.arenas[class].is_none() {
            self.arenas[class] = Some(Arena::reserve(classes::size(class), capacity)?);
        }
        let arena = self.arenas[class].as_mut().expect("was just made");
        let slot = if let Some(slot) = arena.kept.pop_first() {
            self.kept -= arena.slot as u64;
            slot
        } else if let Some(slot) = arena.empty.pop_first() {
            slot
        } else {
            arena.extend()?
        };
        // SAFETY: the slot's bytes lie within the arena: `extend` made it, and checked that.
        let base = unsafe { arena.base.add(slot as usize * arena.slot) };
        Ok((slot, base))
    }

    /// Gives kept slots back to the system until live and kept bytes are within `capacity`: those of the class with
    /// the most, from the highest address down. Live bytes alone are within it, because each is paid for. Several go at
    /// a time, so that most of their huge pages go whole: of what is left of one, each small page would later cost as
    /// much to touch again as a huge one.
    fn evict(&mut self, capacity: u64) {
        let at_a_time = EVICTED.min(capacity / 64) as usize;
        while self.live + self.kept > capacity {
            let most = self.arenas.iter_mut().flatten().max_by_key(|arena| arena.kept.len() * arena.slot);
            match most.map_or(0, |arena| arena.release(at_a_time)) {
                0 => return,
                released => self.kept -= released as u64,
            }
        }
    }
}

impl Arena {
    fn reserve(slot: usize, capacity: u64) -> Result<Self> {
        // As many slots as the budget pays for, and one huge page more to begin at the border of one.
        let slots = usize::try_from(capacity).unwrap_or(usize::MAX / 2) / slot + 1;
        let mapping_len = slots * slot + HUGE_PAGE;
        // SAFETY: a new private mapping that nothing else refers to.
        let mapping = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                mapping_len,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        let mapping = mapping.map_err(|error| failed("reserving address space for buffers", mapping_len, error))?;
        // SAFETY: the range was just mapped. Advice is only that: without huge pages it is slower and as right.
        let _ = unsafe { rustix::mm::madvise(mapping, mapping_len, Advice::LinuxHugepage) };
        let mapping = NonNull::new(mapping.cast::<u8>()).expect("a mapping is not at address 0");
        let skipped = mapping.align_offset(HUGE_PAGE);
        // SAFETY: the mapping is longer than a huge page.
        let base = unsafe { mapping.add(skipped) };
        let (kept, empty) = (BTreeSet::new(), BTreeSet::new());
        let len = mapping_len - skipped;
        Ok(Self { mapping, mapping_len, base, len, slot, writable: 0, touched: 0, kept, empty })
    }

    /// A slot that was never used.
    fn extend(&mut self) -> Result<u32> {
        let slot = self.touched;
        let end = (slot + 1) * self.slot;
        assert!(end <= self.len, "the arena has a slot for every permit of the budget");
        if end > self.writable {
            let writable = end.next_multiple_of(STEP).min(self.len);
            // SAFETY: the range lies within the mapping.
            let done = unsafe {
                rustix::mm::mprotect(self.base.as_ptr().cast(), writable, MprotectFlags::READ | MprotectFlags::WRITE)
            };
            done.map_err(|error| failed("making memory writable", writable, error))?;
            self.writable = writable;
        }
        self.touched += 1;
        Ok(slot as u32)
    }

    /// Gives back the last of the kept slots, and those right before it up to so many bytes; how many bytes they were.
    fn release(&mut self, at_most: usize) -> usize {
        let Some(last) = self.kept.pop_last() else { return 0 };
        let (mut first, mut len) = (last, self.slot);
        while len + self.slot <= at_most && self.kept.last().is_some_and(|slot| slot + 1 == first) {
            self.kept.pop_last();
            first -= 1;
            len += self.slot;
        }
        // SAFETY: the slots lie within the arena and no buffer has them; their contents are not needed.
        let done = unsafe {
            let at = self.base.add(first as usize * self.slot);
            rustix::mm::madvise(at.as_ptr().cast(), len, Advice::LinuxDontNeed)
        };
        done.expect("whole pages of a private mapping can be given back");
        self.empty.extend(first..=last);
        len
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: buffers keep the pool alive, so none has a slot of this arena any more.
        let done = unsafe { rustix::mm::munmap(self.mapping.as_ptr().cast(), self.mapping_len) };
        debug_assert!(done.is_ok());
    }
}

fn failed(doing: &str, len: usize, error: rustix::io::Errno) -> Error {
    let text = format!("{doing} ({len} bytes): {error}; is there a limit on address space (ulimit -v)?");
    Error::new(ErrorKind::Backpressure, text)
}
