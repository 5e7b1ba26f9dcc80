//! Blocks in memory: a memtable that takes frames, and one that is sealed.

use std::{
    mem,
    ops::Range,
    sync::{Arc, OnceLock},
};

use overhand_common::segment::Scope;
use parking_lot::Mutex;

use super::frame::{Checked, Entry, Frame, Slice};
use crate::segment::{Position, Source};

/// A memtable that takes frames.
#[derive(Debug, Default)]
pub struct Memtable {
    frames: Vec<Arc<Frame>>,
    entries: Vec<Box<[Entry]>>,
    totals: Totals,
    partitions: Option<(u32, u32)>,
}

/// What a memtable holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the memory budget that they hold.
    pub charge: u64,
}

impl Memtable {
    /// Takes a frame.
    pub fn add(&mut self, frame: Frame, checked: Checked) {
        self.totals.blocks += checked.sums.blocks;
        self.totals.bytes += checked.sums.bytes;
        self.totals.charge += frame.body.charge();
        for entry in &checked.entries {
            let (low, high) = self.partitions.unwrap_or((entry.partition, entry.partition));
            self.partitions = Some((low.min(entry.partition), high.max(entry.partition)));
        }
        self.frames.push(Arc::new(frame));
        self.entries.push(checked.entries);
    }

    /// What it holds.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether it may hold blocks of `partitions`.
    pub fn overlaps(&self, partitions: &Range<u32>) -> bool {
        self.partitions.is_some_and(|(low, high)| low < partitions.end && partitions.start <= high)
    }

    /// Frees the frames of dropped attempts.
    pub fn purge(&mut self) {
        let frames = mem::take(&mut self.frames);
        let entries = mem::take(&mut self.entries);
        self.totals = Totals::default();
        for (frame, entries) in frames.into_iter().zip(entries) {
            if frame.mark.is_dropped() {
                continue;
            }
            self.totals.blocks += entries.len() as u64;
            self.totals.bytes += frame.body.len() as u64;
            self.totals.charge += frame.body.charge();
            self.frames.push(frame);
            self.entries.push(entries);
        }
    }

    /// Seals it; a new one takes its place.
    pub fn seal(&mut self) -> Sealed {
        let Self { frames, entries, totals, .. } = mem::take(self);
        Sealed { frames, unsorted: Mutex::new(entries), sorted: OnceLock::new(), totals }
    }
}

/// Blocks of a sealed memtable, in order.
#[derive(Debug)]
pub struct Read {
    /// The blocks: one at least.
    pub slices: Vec<Slice>,
    /// Their bytes.
    pub bytes: usize,
    /// The place of the last one.
    pub last: Position,
    /// Whether others come after it.
    pub more: bool,
}

/// A memtable that no longer changes. It is sorted when somebody first needs the order, outside of any lock.
#[derive(Debug)]
pub struct Sealed {
    frames: Vec<Arc<Frame>>,
    unsorted: Mutex<Vec<Box<[Entry]>>>,
    sorted: OnceLock<Vec<Entry>>,
    totals: Totals,
}

impl Sealed {
    /// What it holds.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether the next read must sort so many blocks first that it should not be done on a reactor's thread.
    pub fn is_slow(&self) -> bool {
        self.sorted.get().is_none() && self.totals.blocks > 4096
    }

    /// Sorts it, if that was not done yet.
    pub fn sort(&self) {
        self.entries();
    }

    fn entries(&self) -> &[Entry] {
        self.sorted.get_or_init(|| {
            let unsorted = mem::take(&mut *self.unsorted.lock());
            let mut sorted = Vec::with_capacity(unsorted.iter().map(|entries| entries.len()).sum());
            for (frame, entries) in unsorted.iter().enumerate() {
                sorted.extend(entries.iter().map(|entry| Entry { frame: frame as u32, ..*entry }));
            }
            sorted.sort_unstable_by_key(Entry::position);
            sorted
        })
    }

    /// Blocks in `scope` that come after `after` in the order, all but those of dropped attempts: up to `max_bytes`, but
    /// one at least. `None` when there are no more.
    pub fn read(&self, scope: &Scope, after: Option<Position>, max_bytes: usize) -> Option<Read> {
        let entries = self.entries();
        let (mut slices, mut bytes, mut last, mut more) = (Vec::<Slice>::new(), 0, None, false);
        let mut at = match after {
            Some(after) => entries.partition_point(|entry| entry.position() <= after),
            None => skip(entries, 0, scope.partitions.start, scope.maps.start),
        };
        while let Some(entry) = entries.get(at) {
            if entry.partition >= scope.partitions.end {
                break;
            }
            match scope.next_map(entry.map_index) {
                Some(map_index) if map_index == entry.map_index => {}
                Some(map_index) => {
                    at = skip(entries, at, entry.partition, map_index);
                    continue;
                }
                None => {
                    at = skip(entries, at, entry.partition + 1, scope.maps.start);
                    continue;
                }
            }
            let frame = &self.frames[entry.frame as usize];
            if !frame.mark.is_dropped() {
                if bytes > 0 && bytes + entry.len as usize > max_bytes {
                    more = true;
                    break;
                }
                bytes += entry.len as usize;
                last = Some(entry.position());
                if !slices.last_mut().is_some_and(|slice| slice.extend(frame, entry)) {
                    slices.push(Slice::new(frame, entry));
                }
            }
            at += 1;
        }
        last.map(|last| Read { slices, bytes, last, more })
    }

    /// Everything that goes into a segment, in order: all but the blocks of dropped attempts.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        let entries = self.entries().iter();
        entries.filter_map(|entry| {
            let frame = &self.frames[entry.frame as usize];
            let bytes = &frame.body[entry.offset as usize..(entry.offset + entry.len) as usize];
            let source = Source { partition: entry.partition, map_index: entry.map_index, bytes };
            (!frame.mark.is_dropped()).then_some(source)
        })
    }
}

/// The first entry from `at` on whose partition and map index are not below these.
fn skip(entries: &[Entry], at: usize, partition: u32, map_index: u32) -> usize {
    at + entries[at..].partition_point(|entry| (entry.partition, entry.map_index) < (partition, map_index))
}
