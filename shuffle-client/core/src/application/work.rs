//! What workers are to be told so that chains are as they should be, what of it is being done, and what must wait.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use overhand_common::ids::ShardKey;
use uuid::Uuid;

use crate::{Layout, Place};

/// For that long a worker that failed to take a copy of an epoch is not asked again.
pub const BARRED_FOR: Duration = Duration::from_secs(10);

/// Something to tell a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    Copy(Copy),
    Forget(Forget),
}

/// An epoch of a shard is to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Tells the shuffle from another one of the same id.
    pub born: u64,
    pub key: ShardKey,
    pub layout: Layout,
    pub from: Place,
    pub to: Place,
    /// Whose place in the chain it takes.
    pub replaces: Option<Place>,
}

impl Copy {
    /// Puts the target where it belongs in the chain.
    pub fn enter(&self, chain: &mut Vec<Place>) {
        let find = |id: Uuid| chain.iter().position(|place| place.worker.id == id);
        let at = self.replaces.as_ref().and_then(|before| find(before.worker.id));
        let there = find(self.to.worker.id);
        match (at, there) {
            (Some(at), Some(there)) if at != there => {
                chain.remove(at);
            }
            (Some(at), _) => chain[at] = self.to.clone(),
            (None, Some(_)) => {}
            (None, None) => chain.push(self.to.clone()),
        }
    }
}

/// A worker that was drained need not hold its copy any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    pub key: ShardKey,
    pub at: Place,
}

/// What is being done and what must wait.
#[derive(Debug, Default)]
pub struct Work {
    pub running: BTreeSet<ShardKey>,
    pub barred: HashMap<(ShardKey, Uuid), Instant>,
    /// How often an epoch's copies failed: the next one is taken from another member.
    pub failures: BTreeMap<ShardKey, usize>,
    /// Copies that are of no more use when their epoch is whole, also of workers that are lost: these may come back with
    /// their disks.
    pub leaving: BTreeMap<ShardKey, Vec<Place>>,
    /// Copies of workers that have lost a disk since.
    pub doubted: BTreeSet<(ShardKey, Uuid)>,
    /// Workers that may hold a part of a copy that failed, by shuffle.
    pub half: BTreeSet<(u32, Uuid)>,
}

impl Work {
    /// A shuffle was removed; what runs for it ends by itself.
    pub fn forget(&mut self, shuffle: u32) {
        self.barred.retain(|(key, _), _| key.shuffle != shuffle);
        self.failures.retain(|key, _| key.shuffle != shuffle);
        self.leaving.retain(|key, _| key.shuffle != shuffle);
        self.doubted.retain(|(key, _)| key.shuffle != shuffle);
        self.half.retain(|(of, _)| *of != shuffle);
    }

    pub fn is_barred(&self, key: ShardKey, worker: Uuid) -> bool {
        self.barred.contains_key(&(key, worker))
    }

    pub fn failed(&mut self, key: ShardKey, worker: Uuid, now: Instant) {
        self.running.remove(&key);
        self.barred.insert((key, worker), now + BARRED_FOR);
        *self.failures.entry(key).or_default() += 1;
    }
}
