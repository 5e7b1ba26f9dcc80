//! A table of a shard: a sealed memtable that becomes a segment.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;

use super::memtable::Sealed;
use crate::segment::Segment;

/// One table; the oldest of a shard come first.
#[derive(Debug)]
pub struct Table {
    state: Mutex<TableState>,
}

/// Where a table's blocks are.
#[derive(Debug, Clone)]
pub enum TableState {
    /// In memory.
    Memory(Arc<Sealed>),
    /// On disk.
    Segment(Arc<Segment>),
    /// Nowhere any more: a segment is torn, missing or can't be read.
    Lost(Arc<Lost>),
    /// It had none that anybody may see.
    Empty,
    /// They were removed with their shuffle.
    Removed,
}

/// A segment that is lost.
#[derive(Debug)]
pub struct Lost {
    /// How.
    pub reason: String,
    /// Its data folder.
    pub folder: usize,
    /// Its file, which goes with the shuffle, if it is still there.
    pub path: PathBuf,
    /// Its number, if the folder's index has it.
    pub number: Option<u64>,
    /// How many bytes of the folder's it counts for.
    pub counted: u64,
}

impl Table {
    /// A table in this state.
    pub fn new(state: TableState) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Where its blocks are now.
    pub fn state(&self) -> TableState {
        self.state.lock().clone()
    }

    /// They are elsewhere from now on; returns where they were.
    pub fn set(&self, state: TableState) -> TableState {
        std::mem::replace(&mut *self.state.lock(), state)
    }

    /// Marks `segment` as lost, if that is what the table still is. Whether it was.
    pub fn lose(&self, segment: &Segment, reason: String) -> bool {
        let mut state = self.state.lock();
        let same = matches!(&*state, TableState::Segment(now) if std::ptr::eq(&**now, segment));
        if same {
            *state = TableState::Lost(Arc::new(Lost {
                reason,
                folder: segment.folder,
                path: segment.path.clone(),
                number: Some(segment.identity.number),
                counted: segment.extent.len,
            }));
        }
        same
    }
}
