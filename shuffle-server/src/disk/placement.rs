//! Which data folder takes the next segment.

use std::sync::Arc;

use super::{Folder, Health};

/// A worker's data folders, in the order in which they were given.
#[derive(Clone)]
pub struct Folders {
    all: Vec<Arc<Folder>>,
}

impl Folders {
    /// These folders.
    pub fn new(all: Vec<Arc<Folder>>) -> Self {
        Self { all }
    }

    /// All of them, healthy or not.
    pub fn all(&self) -> &[Arc<Folder>] {
        &self.all
    }

    /// The folder for a segment of `len` bytes: among those that are healthy and have room, the one with the most room
    /// per time that the segment would take there. Those in `without` were tried. `None`: no folder can take it.
    pub fn choose(&self, len: u64, without: &[usize]) -> Option<usize> {
        let candidates = self.all.iter().enumerate().filter(|(at, _)| !without.contains(at));
        let scored = candidates.filter_map(|(at, folder)| {
            if folder.health() != Health::Ok {
                return None;
            }
            let available = folder.available();
            if available < len {
                folder.measure();
                return None;
            }
            // A folder whose speed is not known is tried first: so it gets known.
            let score = u128::from(available) * 1_000_000 / u128::from(folder.expected_nanos(len)).max(1);
            Some((score, at))
        });
        scored.max_by_key(|(score, at)| (*score, std::cmp::Reverse(*at))).map(|(_, at)| at)
    }

    /// Whether any takes data.
    pub fn any_healthy(&self) -> bool {
        self.all.iter().any(|folder| folder.health() == Health::Ok)
    }
}
