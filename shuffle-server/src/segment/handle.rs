//! A finished segment.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Weak},
};

use overhand_common::segment::Identity;
use parking_lot::Mutex;

use crate::disk::SegmentName;

/// The lengths of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of the whole file.
    pub len: u64,
    /// Where its blocks end and its cuts begin.
    pub blocks_end: u64,
    /// How many blocks it has.
    pub blocks: u64,
}

/// A finished segment in the data folder with number `folder` of its store.
#[derive(Debug)]
pub struct Segment {
    /// Whose blocks it holds.
    pub identity: Identity,
    /// Which of the store's data folders it is in.
    pub folder: usize,
    /// Its file.
    pub path: PathBuf,
    /// Its lengths.
    pub extent: Extent,
    /// Open while somebody reads it: a worker may have more segments than a process may have open files.
    file: Mutex<Weak<File>>,
}

impl Segment {
    /// The segment at `path`.
    pub fn new(identity: Identity, folder: usize, path: PathBuf, extent: Extent) -> Self {
        Self { identity, folder, path, extent, file: Mutex::new(Weak::new()) }
    }

    /// The open file, shared by all who read it at the same time. One whose length is not what it was is an error:
    /// it was damaged from outside.
    pub fn open(&self) -> io::Result<Arc<File>> {
        let mut cached = self.file.lock();
        if let Some(file) = cached.upgrade() {
            return Ok(file);
        }
        let file = Arc::new(File::open(&self.path)?);
        let len = file.metadata()?.len();
        if len != self.extent.len {
            let text = format!("it has {len} bytes, {} were written", self.extent.len);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        *cached = Arc::downgrade(&file);
        Ok(file)
    }

    /// What its path says.
    pub fn name(&self) -> SegmentName {
        let Identity { app, key, number, .. } = &self.identity;
        SegmentName { app: app.clone(), key: *key, number: *number }
    }
}
