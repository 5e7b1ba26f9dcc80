//! A real server process, and a client of the wire's messages that can also say what no real client would.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

mod cluster;
mod server;
mod servers;
mod wire;

use std::{
    path::Path,
    time::{Duration, Instant},
};

pub use cluster::Cluster;
pub use server::{Server, denied, old_token, overhand};
pub use servers::Servers;
pub use wire::{PARTITIONS, Wire, block, fin_of, is_sound, shard};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that another process does.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// All files under a folder whose names end so.
pub fn files(folder: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let mut found = vec![];
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found
}
